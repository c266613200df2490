//! Finds the class of an error that nobody declared: by looking at the error and its sources, never by guessing.

use std::any::type_name;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell_contract::{BackendError, FaultKind, PayloadError};

use crate::error::{Error as EngineError, RunError};

use super::error::ErrorClass;
use super::failure::{NEEDS_MIGRATION, UNREAD, Unread};
use super::policy::ms;

/// What is known about an error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Classified {
    /// Its class.
    pub class: ErrorClass,
    /// A stable name for people, listings and alerts, such as `io.not_found`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The least delay before another attempt, in milliseconds, when the error names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Classified {
    /// An error of this class, without code and delay.
    #[must_use]
    pub fn of(class: ErrorClass) -> Self {
        Self { class, code: None, retry_after_ms: None }
    }

    /// What an HTTP status says: its class by [`class_of_status`] and the code `http.STATUS`.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        Self::of(class_of_status(status)).code(format!("http.{status}"))
    }

    /// What the first word of a Redis server error says: its class by [`class_of_redis_code`] and a code such as
    /// `redis.oom`. `None` for the words that do not tell.
    #[must_use]
    pub fn of_redis_code(code: &str) -> Option<Self> {
        let class = class_of_redis_code(code)?;
        Some(Self::of(class).code(format!("redis.{}", code.to_ascii_lowercase())))
    }

    /// With this code.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// With this least delay before another attempt.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after_ms = Some(ms(delay));
        self
    }
}

/// How the class of a failure was found. Shown as one line, such as `known: io::ErrorKind::NotFound`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassifiedBy {
    /// The step said it.
    Declared,
    /// The engine knows this sort of error; the text names it.
    Known(String),
    /// A classifier that the user registered said it; the text names the type it looked at.
    Registered(String),
    /// The engine itself saw it happen: a panic, a limit that ran out, a worker that went away.
    Observed,
    /// Nobody said.
    #[default]
    Unclassified,
}

impl fmt::Display for ClassifiedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declared => f.write_str("declared"),
            Self::Known(what) => write!(f, "known: {what}"),
            Self::Registered(what) => write!(f, "registered: {what}"),
            Self::Observed => f.write_str("observed"),
            Self::Unclassified => f.write_str("unclassified"),
        }
    }
}

/// An error that carries the status of an HTTP response. Made for [`Classifiers::with_status`].
pub trait StatusCode {
    /// The status of the response, if one came.
    fn status(&self) -> Option<u16>;

    /// Whether the call took too long.
    fn is_timeout(&self) -> bool {
        false
    }

    /// Whether no connection came about.
    fn is_connect(&self) -> bool {
        false
    }

    /// The delay that the response asked for (`Retry-After`).
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// The class of an HTTP response by its status. What is no failure at all (1xx to 3xx) is unclassified.
#[must_use]
pub fn class_of_status(status: u16) -> ErrorClass {
    match status {
        401 | 403 | 407 | 511 => ErrorClass::Auth,
        408 | 504 => ErrorClass::Timeout,
        425 => ErrorClass::Transient,
        429 => ErrorClass::Throttled,
        400 | 422 => ErrorClass::Validation,
        402 | 404..=499 => ErrorClass::Permanent,
        501 | 505 => ErrorClass::Permanent,
        502 | 503 => ErrorClass::Unavailable,
        500..=599 => ErrorClass::Transient,
        _ => ErrorClass::Unclassified,
    }
}

const REDIS_CODES: [(&str, ErrorClass); 24] = [
    ("ASK", ErrorClass::Transient),
    ("BUSY", ErrorClass::Transient),
    ("BUSYGROUP", ErrorClass::Permanent),
    ("BUSYKEY", ErrorClass::Permanent),
    ("CLUSTERDOWN", ErrorClass::Unavailable),
    ("CROSSSLOT", ErrorClass::Permanent),
    ("DENIED", ErrorClass::Config),
    ("INPROG", ErrorClass::Transient),
    ("IOERR", ErrorClass::Transient),
    ("LOADING", ErrorClass::Unavailable),
    ("MASTERDOWN", ErrorClass::Unavailable),
    ("MISCONF", ErrorClass::Config),
    ("MOVED", ErrorClass::Transient),
    ("NOAUTH", ErrorClass::Auth),
    ("NOGROUP", ErrorClass::Permanent),
    ("NOPERM", ErrorClass::Auth),
    ("NOPROTO", ErrorClass::Config),
    ("NOREPLICAS", ErrorClass::Unavailable),
    ("NOSCRIPT", ErrorClass::Transient),
    ("OOM", ErrorClass::Config),
    // A write that met a demoted primary: right after a failover it passes by itself.
    ("READONLY", ErrorClass::Unavailable),
    ("TRYAGAIN", ErrorClass::Transient),
    ("WRONGPASS", ErrorClass::Auth),
    ("WRONGTYPE", ErrorClass::Permanent),
];

/// The class of a Redis server error by its first word, such as `OOM`. `None` for the words that do not tell, such
/// as `ERR`.
#[must_use]
pub fn class_of_redis_code(code: &str) -> Option<ErrorClass> {
    REDIS_CODES.iter().find(|(known, _)| *known == code).map(|(_, class)| *class)
}

type Classifier = dyn Fn(&(dyn Error + 'static)) -> Option<Classified> + Send + Sync;

/// What the engine knows about errors: first what users registered, in their order, then what is built in.
///
/// Built in are `std::io`, `serde_json`, tokio's timeouts and tasks, the parse errors of the standard library,
/// `uuid` and `chrono`, the engine and the stores of Stepwell. For everything else register a closure for its type. It sees
/// each error of that type anywhere in the chain of sources, the outermost first, and returns `None` where it
/// cannot tell.
///
/// With `reqwest`, a response status is found after `response.error_for_status()?`:
///
/// ```
/// # mod reqwest {
/// #     #[derive(Debug, thiserror::Error)]
/// #     #[error("HTTP status 429")]
/// #     pub struct Error;
/// #     pub struct StatusCode(u16);
/// #     impl StatusCode { pub fn as_u16(&self) -> u16 { self.0 } }
/// #     impl Error {
/// #         pub fn is_timeout(&self) -> bool { false }
/// #         pub fn is_connect(&self) -> bool { false }
/// #         pub fn status(&self) -> Option<StatusCode> { Some(StatusCode(429)) }
/// #     }
/// # }
/// use stepwell::workflow::classify::{Classified, Classifiers};
/// use stepwell::workflow::error::ErrorClass;
///
/// let classifiers = Classifiers::default().with::<reqwest::Error>(|error| match error.status() {
///     Some(status) => Some(Classified::of_status(status.as_u16())),
///     None if error.is_timeout() => Some(Classified::of(ErrorClass::Timeout)),
///     None if error.is_connect() => Some(Classified::of(ErrorClass::Unavailable)),
///     None => None,
/// });
/// assert_eq!(classifiers.classify(&reqwest::Error).class, ErrorClass::Throttled);
/// ```
///
/// With `redis`, whose broken connections are found by the `std::io` error inside:
///
/// ```
/// # mod redis {
/// #     #[derive(Debug, thiserror::Error)]
/// #     #[error("command not allowed when used memory > 'maxmemory'")]
/// #     pub struct RedisError;
/// #     impl RedisError { pub fn code(&self) -> Option<&str> { Some("OOM") } }
/// # }
/// use stepwell::workflow::classify::{Classified, Classifiers};
/// # use stepwell::workflow::error::ErrorClass;
///
/// let classifiers =
///     Classifiers::default().with::<redis::RedisError>(|error| Classified::of_redis_code(error.code()?));
/// assert_eq!(classifiers.classify(&redis::RedisError).class, ErrorClass::Config);
/// ```
///
/// An `anyhow::Error` hides the type of its outermost error; with `.note("…")` the type can be seen.
#[derive(Clone, Default)]
pub struct Classifiers {
    registered: Vec<(&'static str, Arc<Classifier>)>,
}

impl Classifiers {
    /// Adds a classifier for the errors of type `E`, after those already there. It must not panic.
    #[must_use]
    pub fn with<E: Error + 'static>(
        mut self,
        classify: impl Fn(&E) -> Option<Classified> + Send + Sync + 'static,
    ) -> Self {
        let classifier = move |error: &(dyn Error + 'static)| error.downcast_ref::<E>().and_then(&classify);
        self.registered.push((type_name::<E>(), Arc::new(classifier)));
        self
    }

    /// Adds the classifier of errors that carry an HTTP status: a timeout is [`ErrorClass::Timeout`], a connection
    /// that did not come about [`ErrorClass::Unavailable`], anything else as [`class_of_status`] says.
    #[must_use]
    pub fn with_status<E: StatusCode + Error + 'static>(self) -> Self {
        self.with::<E>(|error| {
            let mut classified = match error.status() {
                _ if error.is_timeout() => Classified::of(ErrorClass::Timeout),
                _ if error.is_connect() => Classified::of(ErrorClass::Unavailable),
                status => Classified::of_status(status?),
            };
            classified.retry_after_ms = error.retry_after().map(ms);
            Some(classified)
        })
    }

    /// What is known about the error: the registered classifiers along the whole chain of sources, then the
    /// built-in ones. [`ErrorClass::Unclassified`] when none of them knows.
    #[must_use]
    pub fn classify(&self, error: &(dyn Error + 'static)) -> Classified {
        self.find(error).0
    }

    pub(super) fn find(&self, error: &(dyn Error + 'static)) -> (Classified, ClassifiedBy) {
        let registered = || {
            chain(error).find_map(|error| {
                self.registered.iter().find_map(|(name, classifier)| {
                    Some((classifier(error)?, ClassifiedBy::Registered((*name).to_owned())))
                })
            })
        };
        let known = || {
            chain(error).find_map(known).map(|Known { class, code, what }| {
                (Classified::of(class).code(code), ClassifiedBy::Known(what))
            })
        };
        registered().or_else(known).unwrap_or_default()
    }
}

impl fmt::Debug for Classifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.registered.iter().map(|(name, _)| name)).finish()
    }
}

/// Errors looked at in one chain, at most: a chain that leads back into itself must end too.
const CHAIN_WALK_MAX: usize = 128;

/// The error and its sources, the outermost first.
pub(super) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| inner(*error)).take(CHAIN_WALK_MAX)
}

fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    // These pass over the error they hold: their `source` is the source of it.
    if let Some(held) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        return Some(held);
    }
    if let Some(held) = error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
        return Some(held.as_ref());
    }
    if let Some(held) = error.downcast_ref::<Arc<io::Error>>() {
        return Some(held.as_ref());
    }
    if let Some(held) = error.downcast_ref::<Arc<BackendError>>() {
        return Some(held.as_ref());
    }
    if let Some(RunError::Engine(held)) = error.downcast_ref::<RunError>() {
        return Some(held);
    }
    if let Some(EngineError::Payload(held)) = error.downcast_ref::<EngineError>() {
        return Some(held);
    }
    error.source()
}

pub(super) struct Known {
    class: ErrorClass,
    pub(super) code: &'static str,
    pub(super) what: String,
}

/// `Type => class, code` for errors that have one meaning whatever they hold.
macro_rules! types {
    ($error:ident: $($type:ty => $class:ident, $code:literal;)*) => {
        $(if $error.is::<$type>() {
            let what = stringify!($type).replace(' ', "");
            return Some(Known { class: ErrorClass::$class, code: $code, what });
        })*
    };
}

pub(super) fn known(error: &(dyn Error + 'static)) -> Option<Known> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return known_io(error);
    }
    if let Some(error) = error.downcast_ref::<serde_json::Error>() {
        use serde_json::error::Category;
        let code = match error.classify() {
            Category::Syntax => "json.syntax",
            Category::Data => "json.data",
            Category::Eof => "json.eof",
            // It passes over the `io::Error` it holds, and shows only its kind.
            Category::Io => return error.io_error_kind().and_then(known_io_kind),
        };
        return Some(Known { class: ErrorClass::Validation, code, what: "serde_json::Error".to_owned() });
    }
    if let Some(error) = error.downcast_ref::<BackendError>() {
        return known_store(error);
    }
    if let Some(error) = error.downcast_ref::<EngineError>() {
        return known_engine(error);
    }
    if error.is::<Unread>() {
        return Some(Known { class: ErrorClass::Bug, code: NEEDS_MIGRATION, what: UNREAD.to_owned() });
    }
    if let Some(error) = error.downcast_ref::<PayloadError>() {
        let (class, code) = match error {
            PayloadError::TooLarge { .. } => (ErrorClass::Bug, "payload.too_large"),
            PayloadError::Json(_) => (ErrorClass::Bug, "payload.json"),
            PayloadError::Damaged { .. } => (ErrorClass::Permanent, "payload.damaged"),
        };
        return Some(Known { class, code, what: "PayloadError".to_owned() });
    }
    if let Some(error) = error.downcast_ref::<tokio::task::JoinError>() {
        // A task that was stopped is no wish of a person to stop the run: a worker that shuts down does it too.
        let (class, code) = if error.is_panic() {
            (ErrorClass::Bug, "tokio.task_panicked")
        } else {
            (ErrorClass::Transient, "tokio.task_cancelled")
        };
        return Some(Known { class, code, what: "tokio::task::JoinError".to_owned() });
    }
    types! { error:
        tokio::time::error::Elapsed => Timeout, "tokio.elapsed";
        std::env::VarError => Config, "env.variable";
        std::str::Utf8Error => Validation, "text.utf8";
        std::string::FromUtf8Error => Validation, "text.utf8";
        std::string::FromUtf16Error => Validation, "text.utf16";
        std::num::ParseIntError => Validation, "parse.int";
        std::num::ParseFloatError => Validation, "parse.float";
        std::num::TryFromIntError => Validation, "parse.int_range";
        std::str::ParseBoolError => Validation, "parse.bool";
        std::char::ParseCharError => Validation, "parse.char";
        std::char::CharTryFromError => Validation, "parse.char";
        std::net::AddrParseError => Validation, "parse.address";
        uuid::Error => Validation, "parse.uuid";
        chrono::ParseError => Validation, "parse.time";
    }
    None
}

/// The engine's own errors, as a step meets them that starts runs or asks about them.
fn known_engine(error: &EngineError) -> Option<Known> {
    let (class, code) = match error {
        EngineError::ShuttingDown => (ErrorClass::Cancelled, "engine.shutting_down"),
        EngineError::UnknownWorkflow { .. } => (ErrorClass::Config, "engine.unknown_workflow"),
        EngineError::Conflict { .. } => (ErrorClass::Permanent, "run.conflict"),
        EngineError::NoSuchRun(_) => (ErrorClass::Permanent, "run.not_found"),
        EngineError::Refused { .. } => (ErrorClass::Permanent, "run.refused"),
        EngineError::NoAnswerYet { .. } => (ErrorClass::Transient, "run.no_answer_yet"),
        EngineError::Id(_) => (ErrorClass::Validation, "run.id"),
        // What they hold tells more, or nobody can tell.
        _ => return None,
    };
    Some(Known { class, code, what: "stepwell::Error".to_owned() })
}

fn known_io(error: &io::Error) -> Option<Known> {
    #[cfg(unix)]
    if matches!(error.raw_os_error(), Some(23 | 24)) {
        let what = "ENFILE or EMFILE".to_owned();
        return Some(Known { class: ErrorClass::Unavailable, code: "io.too_many_open_files", what });
    }
    // The standard library gives name resolution no kind of its own, only this text.
    if error
        .get_ref()
        .is_some_and(|held| held.to_string().starts_with("failed to lookup address information"))
    {
        return Some(Known {
            class: ErrorClass::Unavailable,
            code: "io.dns",
            what: "name resolution".to_owned(),
        });
    }
    known_io_kind(error.kind())
}

fn known_io_kind(kind: io::ErrorKind) -> Option<Known> {
    let (class, code) = io_rule(kind)?;
    Some(Known { class, code, what: format!("io::ErrorKind::{kind:?}") })
}

fn io_rule(kind: io::ErrorKind) -> Option<(ErrorClass, &'static str)> {
    use io::ErrorKind as Kind;
    Some(match kind {
        Kind::Interrupted => (ErrorClass::Transient, "io.interrupted"),
        Kind::WouldBlock => (ErrorClass::Transient, "io.would_block"),
        Kind::ConnectionReset => (ErrorClass::Transient, "io.connection_reset"),
        Kind::ConnectionAborted => (ErrorClass::Transient, "io.connection_aborted"),
        Kind::BrokenPipe => (ErrorClass::Transient, "io.broken_pipe"),
        Kind::NotConnected => (ErrorClass::Transient, "io.not_connected"),
        // Mostly a peer that hung up; a file that is too short uses up its attempts.
        Kind::UnexpectedEof => (ErrorClass::Transient, "io.unexpected_eof"),
        Kind::ResourceBusy => (ErrorClass::Transient, "io.resource_busy"),
        Kind::ExecutableFileBusy => (ErrorClass::Transient, "io.executable_file_busy"),
        Kind::Deadlock => (ErrorClass::Transient, "io.deadlock"),
        Kind::StaleNetworkFileHandle => (ErrorClass::Transient, "io.stale_network_file_handle"),
        Kind::TimedOut => (ErrorClass::Timeout, "io.timed_out"),
        Kind::ConnectionRefused => (ErrorClass::Unavailable, "io.connection_refused"),
        Kind::HostUnreachable => (ErrorClass::Unavailable, "io.host_unreachable"),
        Kind::NetworkUnreachable => (ErrorClass::Unavailable, "io.network_unreachable"),
        Kind::NetworkDown => (ErrorClass::Unavailable, "io.network_down"),
        // Ports that are used up or not yet released come back by themselves; a wrong address does not.
        Kind::AddrInUse => (ErrorClass::Unavailable, "io.addr_in_use"),
        Kind::AddrNotAvailable => (ErrorClass::Unavailable, "io.addr_not_available"),
        Kind::OutOfMemory => (ErrorClass::Unavailable, "io.out_of_memory"),
        Kind::StorageFull => (ErrorClass::Config, "io.storage_full"),
        Kind::QuotaExceeded => (ErrorClass::Config, "io.quota_exceeded"),
        Kind::FileTooLarge => (ErrorClass::Config, "io.file_too_large"),
        Kind::ReadOnlyFilesystem => (ErrorClass::Config, "io.read_only_filesystem"),
        Kind::PermissionDenied => (ErrorClass::Config, "io.permission_denied"),
        Kind::TooManyLinks => (ErrorClass::Config, "io.too_many_links"),
        Kind::NotFound => (ErrorClass::Permanent, "io.not_found"),
        Kind::AlreadyExists => (ErrorClass::Permanent, "io.already_exists"),
        Kind::NotADirectory => (ErrorClass::Permanent, "io.not_a_directory"),
        Kind::IsADirectory => (ErrorClass::Permanent, "io.is_a_directory"),
        Kind::DirectoryNotEmpty => (ErrorClass::Permanent, "io.directory_not_empty"),
        Kind::InvalidInput => (ErrorClass::Permanent, "io.invalid_input"),
        Kind::InvalidData => (ErrorClass::Permanent, "io.invalid_data"),
        Kind::InvalidFilename => (ErrorClass::Permanent, "io.invalid_filename"),
        Kind::ArgumentListTooLong => (ErrorClass::Permanent, "io.argument_list_too_long"),
        Kind::NotSeekable => (ErrorClass::Permanent, "io.not_seekable"),
        Kind::CrossesDevices => (ErrorClass::Permanent, "io.crosses_devices"),
        Kind::Unsupported => (ErrorClass::Permanent, "io.unsupported"),
        _ => return None,
    })
}

fn known_store(error: &BackendError) -> Option<Known> {
    let (class, code) = match (error, error.kind()) {
        // Another worker, or this one after it has reopened the store, may go on.
        (BackendError::Poisoned(_), _) => (ErrorClass::Unavailable, "store.poisoned"),
        (_, FaultKind::Unavailable) => (ErrorClass::Unavailable, "store.unavailable"),
        (_, FaultKind::Timeout) => (ErrorClass::Timeout, "store.timeout"),
        (_, FaultKind::ReadOnly) => (ErrorClass::Unavailable, "store.read_only"),
        (_, FaultKind::Closed) => (ErrorClass::Unavailable, "store.closed"),
        (_, FaultKind::Full) => (ErrorClass::Config, "store.full"),
        (_, FaultKind::Locked) => (ErrorClass::Config, "store.locked"),
        (_, FaultKind::Refused) => (ErrorClass::Config, "store.refused"),
        (_, FaultKind::IdentityLost) => (ErrorClass::Config, "store.identity_lost"),
        (_, FaultKind::Corrupt) => (ErrorClass::Permanent, "store.corrupt"),
        (_, FaultKind::TooLarge) => (ErrorClass::Bug, "store.too_large"),
        (_, FaultKind::Invalid) => (ErrorClass::Bug, "store.invalid"),
        _ => return None,
    };
    Some(Known { class, code, what: format!("BackendError, FaultKind::{:?}", error.kind()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stepwell_contract::Fault;

    #[derive(Debug, thiserror::Error)]
    #[error("while shipping")]
    struct Wrapped(#[source] Box<dyn Error + Send + Sync>);

    #[derive(Debug, thiserror::Error)]
    #[error("shared")]
    struct Shared(#[source] Arc<dyn Error + Send + Sync>);

    #[derive(Debug, thiserror::Error)]
    #[error("gateway")]
    struct Gateway {
        status: Option<u16>,
        slow: bool,
    }

    impl StatusCode for Gateway {
        fn status(&self) -> Option<u16> {
            self.status
        }
        fn is_timeout(&self) -> bool {
            self.slow
        }
        fn retry_after(&self) -> Option<Duration> {
            Some(Duration::from_secs(7))
        }
    }

    fn built_in(error: impl Into<Box<dyn Error + Send + Sync>>) -> (ErrorClass, Option<String>, String) {
        let error = error.into();
        let (classified, by) = Classifiers::default().find(error.as_ref());
        (classified.class, classified.code, by.to_string())
    }

    #[test]
    fn known_errors_are_found_at_any_depth() {
        let io = |kind| io::Error::from(kind);
        let json = |text| serde_json::from_str::<u8>(text).expect_err("wrong");
        let store = |fault| BackendError::Definite(Fault::new(fault, "x"));
        let shared: Arc<dyn Error + Send + Sync> = Arc::new(io(io::ErrorKind::ConnectionRefused));
        let table: [(Box<dyn Error + Send + Sync>, ErrorClass, &str); 17] = [
            (io(io::ErrorKind::NotFound).into(), ErrorClass::Permanent, "io.not_found"),
            (io(io::ErrorKind::StorageFull).into(), ErrorClass::Config, "io.storage_full"),
            (io(io::ErrorKind::TimedOut).into(), ErrorClass::Timeout, "io.timed_out"),
            (io::Error::other(io(io::ErrorKind::BrokenPipe)).into(), ErrorClass::Transient, "io.broken_pipe"),
            (Shared(shared).into(), ErrorClass::Unavailable, "io.connection_refused"),
            (
                io::Error::other("failed to lookup address information: x").into(),
                ErrorClass::Unavailable,
                "io.dns",
            ),
            (json("").into(), ErrorClass::Validation, "json.eof"),
            (json("}").into(), ErrorClass::Validation, "json.syntax"),
            (json("\"a\"").into(), ErrorClass::Validation, "json.data"),
            (
                serde_json::Error::io(io(io::ErrorKind::ConnectionReset)).into(),
                ErrorClass::Transient,
                "io.connection_reset",
            ),
            ("x".parse::<u8>().expect_err("wrong").into(), ErrorClass::Validation, "parse.int"),
            (
                "x".parse::<std::net::IpAddr>().expect_err("wrong").into(),
                ErrorClass::Validation,
                "parse.address",
            ),
            (String::from_utf8(vec![0xff]).expect_err("wrong").into(), ErrorClass::Validation, "text.utf8"),
            (store(FaultKind::Full).into(), ErrorClass::Config, "store.full"),
            (store(FaultKind::Timeout).into(), ErrorClass::Timeout, "store.timeout"),
            (
                BackendError::Poisoned(Fault::new(FaultKind::Other, "x")).into(),
                ErrorClass::Unavailable,
                "store.poisoned",
            ),
            (PayloadError::TooLarge { bytes: 2, limit: 1 }.into(), ErrorClass::Bug, "payload.too_large"),
        ];
        for (error, class, code) in table {
            let shown = format!("{error:?}");
            let (found, found_code, by) = built_in(Wrapped(error));
            assert_eq!((found, found_code.as_deref()), (class, Some(code)), "{shown}");
            assert!(by.starts_with("known: "), "{by}");
        }
        assert_eq!(built_in(io(io::ErrorKind::NotFound)).2, "known: io::ErrorKind::NotFound");
    }

    #[cfg(unix)]
    #[test]
    fn a_worker_out_of_file_handles_tries_again() {
        assert_eq!(built_in(io::Error::from_raw_os_error(24)).1.as_deref(), Some("io.too_many_open_files"));
    }

    #[test]
    fn an_unknown_error_is_not_guessed_at() {
        assert_eq!(
            built_in("disk full, connection refused"),
            (ErrorClass::Unclassified, None, "unclassified".into())
        );
        assert_eq!(built_in(io::Error::other("x")).0, ErrorClass::Unclassified);
    }

    #[tokio::test]
    async fn tokio_errors_are_known_and_a_stopped_task_does_not_cancel_the_run() {
        let elapsed =
            tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await.expect_err("slow");
        assert_eq!(built_in(elapsed).0, ErrorClass::Timeout);
        let panicked = tokio::spawn(async { panic!("wrong") }).await.expect_err("panicked");
        assert_eq!(built_in(panicked).0, ErrorClass::Bug);
        let task = tokio::spawn(std::future::pending::<()>());
        task.abort();
        assert_eq!(built_in(task.await.expect_err("stopped")).0, ErrorClass::Transient);
    }

    #[test]
    fn the_errors_of_the_engine_itself_are_known_and_looked_into() {
        let store = || BackendError::Definite(stepwell_contract::Fault::new(FaultKind::Full, "full"));
        let store_class = built_in(store()).0;
        assert_ne!(store_class, ErrorClass::Unclassified);
        assert_eq!(built_in(EngineError::from(store())).0, store_class);
        assert_eq!(built_in(RunError::Engine(store().into())).0, store_class);
        assert_eq!(built_in(EngineError::ShuttingDown).0, ErrorClass::Cancelled);
        let payload = PayloadError::TooLarge { bytes: 2, limit: 1 };
        assert_eq!(built_in(EngineError::from(payload)).0, ErrorClass::Bug);
    }

    #[test]
    fn what_users_register_goes_before_what_is_built_in() {
        let classifiers = Classifiers::default()
            .with::<io::Error>(|error| match error.kind() {
                io::ErrorKind::NotFound => Some(Classified::of(ErrorClass::Transient).code("not_yet")),
                _ => None,
            })
            .with::<io::Error>(|_| Some(Classified::of(ErrorClass::Bug)));
        let at = |kind| classifiers.find(&Wrapped(io::Error::from(kind).into()));
        let (classified, by) = at(io::ErrorKind::NotFound);
        assert_eq!(classified, Classified::of(ErrorClass::Transient).code("not_yet"));
        assert_eq!(by, ClassifiedBy::Registered("std::io::error::Error".into()));
        assert_eq!(at(io::ErrorKind::StorageFull).0.class, ErrorClass::Bug, "the next one is asked");
        assert_eq!(
            classifiers.classify(&"x".parse::<u8>().expect_err("wrong")).class,
            ErrorClass::Validation
        );
    }

    #[test]
    fn a_response_is_classified_by_its_status() {
        let classifiers = Classifiers::default().with_status::<Gateway>();
        let at = |status, slow| classifiers.classify(&Gateway { status, slow });
        assert_eq!(
            at(Some(429), false),
            Classified::of(ErrorClass::Throttled).code("http.429").retry_after(Duration::from_secs(7))
        );
        assert_eq!(at(None, true).class, ErrorClass::Timeout);
        assert_eq!(at(None, false).class, ErrorClass::Unclassified);

        let table: [(&[u16], ErrorClass); 9] = [
            (&[401, 403, 407], ErrorClass::Auth),
            (&[408, 504], ErrorClass::Timeout),
            (&[429], ErrorClass::Throttled),
            (&[425, 500, 520, 599], ErrorClass::Transient),
            (&[502, 503], ErrorClass::Unavailable),
            (&[400, 422], ErrorClass::Validation),
            (&[402, 404, 409, 410, 413, 499], ErrorClass::Permanent),
            (&[501, 505], ErrorClass::Permanent),
            (&[0, 100, 200, 302, 600, u16::MAX], ErrorClass::Unclassified),
        ];
        for (statuses, class) in table {
            for status in statuses {
                assert_eq!(class_of_status(*status), class, "{status}");
            }
        }
    }

    #[test]
    fn redis_codes_tell_what_a_person_must_mend_from_what_passes() {
        for (code, class) in [
            ("OOM", Some(ErrorClass::Config)),
            ("NOAUTH", Some(ErrorClass::Auth)),
            ("READONLY", Some(ErrorClass::Unavailable)),
            ("LOADING", Some(ErrorClass::Unavailable)),
            ("TRYAGAIN", Some(ErrorClass::Transient)),
            ("WRONGTYPE", Some(ErrorClass::Permanent)),
            ("ERR", None),
        ] {
            assert_eq!(class_of_redis_code(code), class, "{code}");
        }
        assert_eq!(Classified::of_redis_code("OOM").and_then(|oom| oom.code).as_deref(), Some("redis.oom"));
    }
}
