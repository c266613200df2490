//! What each answer of the server, and each silence, means to the caller: one table.

use redis::{ErrorKind, RedisError};
use stepwell_contract::{BackendError, Fault, FaultKind};

use crate::tls;

/// Whether the command had been sent when it failed, and whether it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No command was sent.
    Connecting,
    /// A command that changes nothing.
    Reading,
    /// A command that changes something.
    Writing,
}

/// What an error code of the server says about the command that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It was refused as a whole: nothing happened.
    Definite,
    /// It may have been carried out in part.
    Indefinite,
    /// This opening must not write any more.
    Poisoned,
}

use Outcome::{Definite, Indefinite, Poisoned};

/// Code of the server's answer, what it says about the command, of which kind it is, and what to do.
///
/// A script checks everything before its first write, and the server checks memory, disk and role at that first write,
/// so each of these comes before anything has changed.
const TABLE: &[(&str, Outcome, FaultKind, &str)] = &[
    ("LOADING", Definite, FaultKind::Unavailable, "Redis is loading its data: wait"),
    ("BUSY", Definite, FaultKind::Unavailable, "Redis is busy with a slow script: wait, or SCRIPT KILL it"),
    (
        "MASTERDOWN",
        Definite,
        FaultKind::Unavailable,
        "this replica has lost its primary: connect to a primary",
    ),
    ("CLUSTERDOWN", Definite, FaultKind::Unavailable, "the Redis Cluster is down: wait for its failover"),
    ("TRYAGAIN", Definite, FaultKind::Unavailable, "the slot is moving to another node: wait"),
    (
        "MOVED",
        Definite,
        FaultKind::Refused,
        "this is a node of a Redis Cluster: give the URL of a single primary",
    ),
    (
        "ASK",
        Definite,
        FaultKind::Refused,
        "this is a node of a Redis Cluster: give the URL of a single primary",
    ),
    (
        "CROSSSLOT",
        Definite,
        FaultKind::Other,
        "a script touched two slots: report this as a fault in stepwell",
    ),
    (
        "NOREPLICAS",
        Definite,
        FaultKind::Unavailable,
        "too few replicas are in step (min-replicas-to-write): mend them",
    ),
    ("READONLY", Definite, FaultKind::ReadOnly, "this Redis is a replica: connect to the primary"),
    (
        "MISCONF",
        Definite,
        FaultKind::ReadOnly,
        "Redis refuses writes because it cannot save to disk: see its log",
    ),
    ("OOM", Definite, FaultKind::Full, "Redis is at its maxmemory: raise it or remove finished runs"),
    (
        "NOSCRIPT",
        Definite,
        FaultKind::Unavailable,
        "Redis forgot a script right after it was loaded: try again",
    ),
    (
        "NOPERM",
        Definite,
        FaultKind::Refused,
        "the Redis login lacks a permission: allow it the keys and scripting",
    ),
    ("NOAUTH", Definite, FaultKind::Refused, "Redis wants a login: put user and password into the URL"),
    ("WRONGPASS", Definite, FaultKind::Refused, "Redis refuses the user or the password of the URL"),
    ("NOPROTO", Definite, FaultKind::Refused, "Redis does not speak this protocol version: use 6.2 or later"),
    (
        "DENIED",
        Definite,
        FaultKind::Refused,
        "Redis is in protected mode: set a password or bind it to loopback",
    ),
    ("INVALID", Definite, FaultKind::Invalid, "the request contradicts the store"),
    ("CORRUPT", Definite, FaultKind::Corrupt, "what is stored cannot be read"),
    ("IDENTITY", Poisoned, FaultKind::IdentityLost, IDENTITY_LOST),
    ("WRONGTYPE", Indefinite, FaultKind::Corrupt, "a key of the store holds something else"),
    ("UNKILLABLE", Indefinite, FaultKind::Unavailable, "Redis is stopping a script that has written"),
    ("EXECABORT", Definite, FaultKind::Other, "Redis gave up the transaction"),
    ("ERR", Indefinite, FaultKind::Other, "Redis answered with an error"),
];

/// What is said wherever the mark of the store is missing.
pub(crate) const IDENTITY_LOST: &str = "the Redis store is not the one that was opened: it was emptied, or replaced by \
     another. Restore its data and open it again; nothing was written";

/// What is asked for cannot be had as it is asked for.
pub(crate) fn refused(why: impl Into<String>) -> BackendError {
    BackendError::Definite(Fault::new(FaultKind::Refused, why))
}

/// What an error means to the caller.
pub(crate) fn classify(error: RedisError, stage: Stage) -> BackendError {
    let (outcome, kind, words) = judge(&error, stage);
    let fault = Fault::new(kind, format!("{words} ({error})")).caused_by(error);
    match outcome {
        Definite => BackendError::Definite(fault),
        Indefinite => BackendError::Indefinite(fault),
        Poisoned => BackendError::Poisoned(fault),
    }
}

fn judge(error: &RedisError, stage: Stage) -> (Outcome, FaultKind, &'static str) {
    let unless_writing = |outcome| if stage == Stage::Writing { outcome } else { Definite };
    if let Some(code) = error.code() {
        let row = TABLE.iter().find(|row| row.0 == code);
        // A code nobody knows may come from anywhere in a script.
        let (_, outcome, kind, words) = row.copied().unwrap_or((
            "",
            Indefinite,
            FaultKind::Other,
            "Redis answered with an unknown error",
        ));
        return (if outcome == Indefinite { unless_writing(outcome) } else { outcome }, kind, words);
    }
    if let Some((kind, words)) = tls::judge(error) {
        return (unless_writing(Indefinite), kind, words);
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            (Definite, FaultKind::Refused, "Redis refuses the user or the password of the URL")
        }
        ErrorKind::InvalidClientConfig | ErrorKind::RESP3NotSupported => {
            (Definite, FaultKind::Refused, "Redis cannot be reached this way")
        }
        _ if error.is_timeout() && stage == Stage::Connecting => (
            Definite,
            FaultKind::Timeout,
            "Redis did not answer in time: look at host and port, and whether TLS is spoken there (rediss://) or not \
             (use redis://)",
        ),
        _ if error.is_timeout() => {
            (unless_writing(Indefinite), FaultKind::Timeout, "Redis did not answer in time")
        }
        ErrorKind::Io if stage == Stage::Connecting && is_closed(error) => (
            Definite,
            FaultKind::Unavailable,
            "Redis closed the connection at once: if that port speaks TLS, use rediss://",
        ),
        ErrorKind::Parse if stage == Stage::Connecting => (
            Definite,
            FaultKind::Refused,
            "what answers there does not speak like Redis: if that port speaks TLS, use rediss://",
        ),
        ErrorKind::Io if stage == Stage::Connecting => {
            (Definite, FaultKind::Unavailable, "Redis cannot be reached")
        }
        ErrorKind::Io => {
            (unless_writing(Indefinite), FaultKind::Unavailable, "the connection to Redis broke")
        }
        _ => {
            (unless_writing(Indefinite), FaultKind::Other, "Redis answered with something else than expected")
        }
    }
}

/// Whether somebody took the connection and closed it.
fn is_closed(error: &RedisError) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let closed = [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof];
    wrapped::<std::io::Error>(error).is_some_and(|error| closed.contains(&error.kind()))
}

/// The error that the client library was given and has wrapped, if it is such a one.
pub(crate) fn wrapped<T: std::error::Error + 'static>(error: &RedisError) -> Option<&T> {
    type Shared = std::sync::Arc<dyn std::error::Error + Send + Sync>;
    std::error::Error::source(error)?.downcast_ref::<Shared>()?.downcast_ref()
}

/// A call that outlived its own time limit.
pub(crate) fn late(stage: Stage) -> BackendError {
    let fault = Fault::new(FaultKind::Timeout, "Redis did not answer in time");
    if stage == Stage::Writing { BackendError::Indefinite(fault) } else { BackendError::Definite(fault) }
}

/// Something in the store that cannot be read.
pub(crate) fn corrupt(what: &str, why: impl std::fmt::Display) -> BackendError {
    BackendError::Definite(Fault::new(FaultKind::Corrupt, format!("{what} in Redis cannot be read: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("an error is a value");
        value.extract_error().expect_err("it is one")
    }

    #[test]
    fn every_code_of_the_table_is_read_as_its_row_says() {
        for (code, outcome, kind, words) in TABLE {
            let error = classify(answer(&format!("{code} some detail")), Stage::Writing);
            let found = match &error {
                BackendError::Definite(_) => Definite,
                BackendError::Indefinite(_) => Indefinite,
                BackendError::Poisoned(_) => Poisoned,
            };
            assert_eq!((found, error.kind()), (*outcome, *kind), "{code}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn silence_is_indefinite_only_once_a_write_was_sent() {
        let broken = || RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        let timeout = || RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        assert!(matches!(classify(broken(), Stage::Connecting), BackendError::Definite(_)));
        assert!(matches!(classify(broken(), Stage::Reading), BackendError::Definite(_)));
        assert!(matches!(classify(broken(), Stage::Writing), BackendError::Indefinite(_)));
        assert!(matches!(classify(timeout(), Stage::Writing), BackendError::Indefinite(_)));
        assert_eq!(classify(timeout(), Stage::Reading).kind(), FaultKind::Timeout);
    }

    #[test]
    fn a_code_nobody_knows_leaves_a_write_unknown_and_a_read_undone() {
        assert!(matches!(classify(answer("SURPRISE x"), Stage::Writing), BackendError::Indefinite(_)));
        assert!(matches!(classify(answer("SURPRISE x"), Stage::Reading), BackendError::Definite(_)));
    }
}
