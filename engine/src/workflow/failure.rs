//! What is kept of a failure: plain data that goes into the journal.

use std::any::Any;
use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

use super::classify::{Classified, ClassifiedBy, Classifiers, chain};
use super::error::{Cause, Disposition, ErrorClass, Parts, StepError};
use crate::redact::redact;

/// Longest message kept, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// Most sources kept, and most lines of context.
pub const CHAIN_ENTRIES_MAX: usize = 16;
/// Longest text of one source or one line of context, in bytes. Together with the limits above it keeps the JSON
/// of the worst failure under the limit of one record.
pub const CHAIN_ENTRY_BYTES_MAX: usize = 2 << 10;
/// Longest code, place, or name of a classifier kept, in bytes.
pub const NAME_BYTES_MAX: usize = 512;

/// The code of a failure to read what is stored.
pub const NEEDS_MIGRATION: &str = "needs_migration";
/// How the class of an [`Unread`] is said to be found.
pub(super) const UNREAD: &str = "stored value";

/// What a step is told that cannot read what its run has stored. A type of its own, so that no step says it by chance.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unread(pub(super) String);

/// How an attempt or a run failed, as stored. Its texts are bounded, what was cut off says so, and what has the form of a
/// secret is taken out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failure {
    /// What sort of failure it was.
    pub class: ErrorClass,
    /// A stable name, such as `io.not_found`, `timeout.attempt` or one that the step chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The text of the error.
    #[serde(default)]
    pub message: String,
    /// The texts of its sources, the outermost first. A source that only repeats a text already there is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// How the class was found.
    #[serde(default)]
    pub classified_by: ClassifiedBy,
    /// No attempt may begin earlier than this many milliseconds after the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Where in the code, as `file:line:column`: the place of the panic, or of the `?` that gave up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What was going on, in the step's words, the innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<String>,
}

impl Failure {
    /// What a step returned. A class, code or delay that the step declared stands; what it left open is looked up
    /// in the error and its sources.
    #[must_use]
    pub fn from_step_error(error: StepError, classifiers: &Classifiers) -> Self {
        let Parts { class, code, message, retry_after_ms, context, location, cause } = error.into_parts();
        let (found, found_by, chain) = match &cause {
            Cause::Told | Cause::Suspended(_) => {
                (Classified::default(), ClassifiedBy::Unclassified, Vec::new())
            }
            Cause::Source(source) => {
                let (found, by) = classifiers.find(source.as_ref());
                (found, by, texts(source.as_ref(), &message))
            }
        };
        let (class, classified_by) = match class {
            Some(class) => (class, ClassifiedBy::Declared),
            // Whoever names a delay means another attempt.
            None if retry_after_ms.is_some() && !tells_to_retry(found.class) => {
                (ErrorClass::Transient, ClassifiedBy::Declared)
            }
            None => (found.class, found_by),
        };
        Self {
            class,
            code: code.or(found.code),
            message,
            chain,
            classified_by,
            retry_after_ms: retry_after_ms.or(found.retry_after_ms),
            location: Some(location.to_string()),
            context,
        }
        .bounded()
    }

    /// What someone outside says in its parts, who has no error of this program.
    pub(crate) fn told(
        class: Option<ErrorClass>,
        code: Option<String>,
        message: String,
        context: Vec<String>,
        retry_after_ms: Option<u64>,
    ) -> Self {
        let (class, classified_by) = match class {
            Some(class) => (class, ClassifiedBy::Declared),
            // Whoever names a delay means another attempt.
            None if retry_after_ms.is_some() => (ErrorClass::Transient, ClassifiedBy::Declared),
            None => (ErrorClass::Unclassified, ClassifiedBy::Unclassified),
        };
        Self { class, code, message, classified_by, retry_after_ms, context, ..Self::default() }.bounded()
    }

    /// The step's code panicked. `message` as [`payload_of_panic`] gives it, `location` as `file:line:column`.
    #[must_use]
    pub fn panic(message: impl Into<String>, location: Option<String>) -> Self {
        Self { location, ..Self::observed(ErrorClass::Bug, "panic", message) }
    }

    /// A limit of time ran out. `limit` is its name, such as `attempt_timeout`; `origin` says who set it.
    #[must_use]
    pub fn timeout(limit: &str, value_ms: u64, origin: impl fmt::Display) -> Self {
        let name = limit.strip_suffix("_ms").unwrap_or(limit);
        let code = format!("timeout.{}", name.strip_suffix("_timeout").unwrap_or(name));
        Self::observed(
            ErrorClass::Timeout,
            &code,
            format!("{name} of {value_ms} ms ran out (limit set by: {origin})"),
        )
    }

    /// The worker went away in the middle of the attempt.
    #[must_use]
    pub fn lost_worker(worker: impl fmt::Display) -> Self {
        let message = format!("worker {worker} held the run and stopped renewing its lease");
        Self::observed(ErrorClass::LostWorker, "lost_worker", message)
    }

    /// Stored JSON does not have the shape that the code expects, or a value has no JSON form. `what` names the
    /// value, such as `the input of step charge`; `detail` says where in it and what is wrong.
    #[must_use]
    pub fn undecodable(what: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self::observed(ErrorClass::Bug, "undecodable", format!("{what} does not fit its type: {detail}"))
    }

    /// The same for a value that is read from the store: what is stored has another form than the code at hand, and another
    /// attempt by the same code would read it the same way.
    #[must_use]
    pub(crate) fn unread(self) -> Self {
        Self { code: Some(NEEDS_MIGRATION.to_owned()), ..self }
    }

    /// A stored value that could not be read, found before any attempt.
    #[must_use]
    pub(crate) fn unread_value(what: impl fmt::Display) -> Self {
        Self::observed(ErrorClass::Bug, NEEDS_MIGRATION, what.to_string())
    }

    /// Whether something stored could not be read. The engine says so; a step that gives an error of its own the same code does
    /// not.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        let by_engine = match &self.classified_by {
            ClassifiedBy::Observed => true,
            ClassifiedBy::Known(what) => what == UNREAD,
            ClassifiedBy::Declared | ClassifiedBy::Registered(_) | ClassifiedBy::Unclassified => false,
        };
        by_engine && self.code.as_deref() == Some(NEEDS_MIGRATION)
    }

    /// An output is too large to be stored.
    #[must_use]
    pub fn oversize(bytes: usize, limit: usize) -> Self {
        let message = format!(
            "output of {bytes} bytes is over the limit of {limit}; keep large data outside and return a reference to it"
        );
        Self::observed(ErrorClass::Bug, "oversize", message)
    }

    /// The size of an output that was too large, in bytes.
    pub(crate) fn oversize_bytes(&self) -> Option<u64> {
        let is_oversize = self.code.as_deref() == Some("oversize");
        let observed = Some(self).filter(|_| is_oversize && self.classified_by == ClassifiedBy::Observed)?;
        observed.message.strip_prefix("output of ")?.split(' ').next()?.parse().ok()
    }

    /// What trying again cannot help, by the definition's own rules.
    #[must_use]
    pub fn permanent(code: &str, message: impl Into<String>) -> Self {
        Self::observed(ErrorClass::Permanent, code, message)
    }

    /// Someone asked for the run to stop.
    #[must_use]
    pub fn cancelled(reason: impl Into<String>) -> Self {
        Self::observed(ErrorClass::Cancelled, "cancelled", reason)
    }

    fn observed(class: ErrorClass, code: &str, message: impl Into<String>) -> Self {
        Self {
            class,
            code: Some(code.to_owned()),
            message: message.into(),
            classified_by: ClassifiedBy::Observed,
            ..Self::default()
        }
        .bounded()
    }

    /// What it means for the next attempt.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        self.class.disposition()
    }

    fn bounded(self) -> Self {
        let name = |text| cut(text, NAME_BYTES_MAX);
        Self {
            class: self.class,
            code: self.code.map(name),
            message: cut(redact(self.message), MESSAGE_BYTES_MAX),
            chain: fewer(self.chain),
            classified_by: match self.classified_by {
                ClassifiedBy::Known(what) => ClassifiedBy::Known(name(what)),
                ClassifiedBy::Registered(what) => ClassifiedBy::Registered(name(what)),
                by @ (ClassifiedBy::Declared | ClassifiedBy::Observed | ClassifiedBy::Unclassified) => by,
            },
            retry_after_ms: self.retry_after_ms,
            location: self.location.map(name),
            context: fewer(self.context),
        }
    }
}

fn tells_to_retry(class: ErrorClass) -> bool {
    class != ErrorClass::Unclassified && class.disposition() == Disposition::Retryable
}

/// The texts of the error and its sources that say something new after `message`.
fn texts(error: &(dyn std::error::Error + 'static), message: &str) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for error in chain(error) {
        let text = error.to_string();
        if text == message {
            continue;
        }
        let text = cut(text, CHAIN_ENTRY_BYTES_MAX);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

/// Cuts a text at a character, with a mark that tells how much is missing. The result fits `bytes_max` with its
/// mark.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    const MARK_BYTES_MAX: usize = "… [cut, 18446744073709551615 bytes]".len();
    let mut end = bytes_max.saturating_sub(MARK_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let missing = text.len() - end;
    text.truncate(end);
    text.push_str(&format!("… [cut, {missing} bytes]"));
    text
}

/// Keeps the beginning and the very last entry, which is the root cause of a chain.
fn fewer(mut entries: Vec<String>) -> Vec<String> {
    if entries.len() > CHAIN_ENTRIES_MAX {
        let missing = entries.len() - (CHAIN_ENTRIES_MAX - 1);
        let mark = format!("… [cut, {missing} entries]");
        entries.splice(CHAIN_ENTRIES_MAX - 2..CHAIN_ENTRIES_MAX - 2 + missing, [mark]);
    }
    entries.into_iter().map(|entry| cut(redact(entry), CHAIN_ENTRY_BYTES_MAX)).collect()
}

/// One line: `class [code]: context, the outermost first: message: sources`. Control characters are escaped, and
/// so are the marks that reorder or break text, because the text may come from anywhere and go to a terminal.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = String::new();
        let told_in_order = self.context.iter().rev().chain([&self.message]).chain(&self.chain);
        for text in told_in_order {
            // Many errors repeat their source in their own text.
            if told.contains(text.as_str()) {
                continue;
            }
            if !told.is_empty() {
                told.push_str(": ");
            }
            told.push_str(text);
        }
        write!(f, "{}", self.class)?;
        if let Some(code) = &self.code {
            f.write_str(" [")?;
            escape(code, f)?;
            f.write_char(']')?;
        }
        if !told.is_empty() {
            f.write_str(": ")?;
            escape(&told, f)?;
        }
        Ok(())
    }
}

fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for c in text.chars() {
        let reorders_or_breaks =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || reorders_or_breaks {
            write!(f, "{}", c.escape_default())?;
        } else {
            f.write_char(c)?;
        }
    }
    Ok(())
}

/// The text of what `catch_unwind` or a joined task caught.
#[must_use]
pub fn payload_of_panic(payload: Box<dyn Any + Send>) -> String {
    let payload = match payload.downcast::<String>() {
        Ok(text) => return *text,
        Err(payload) => payload,
    };
    match payload.downcast::<&'static str>() {
        Ok(text) => (*text).to_owned(),
        Err(payload) => {
            // Its destructor is foreign code and may panic in turn; what is lost is a few bytes.
            std::mem::forget(payload);
            "panic with a value that is no text".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::{StepResult, StepResultExt};
    use super::super::policy::Origin;
    use super::*;
    use std::error::Error;
    use std::io;
    use std::time::Duration;
    use stepwell_contract::Payload;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    }

    fn layer(text: impl Into<String>, source: Option<Box<dyn Error + Send + Sync>>) -> Layer {
        Layer { text: text.into(), source }
    }

    fn stored(error: StepError) -> Failure {
        Failure::from_step_error(error, &Classifiers::default())
    }

    #[test]
    fn what_the_step_declares_stands_and_the_rest_is_looked_up() {
        let not_found = || io::Error::from(io::ErrorKind::NotFound);
        let table = [
            (
                StepError::from(not_found()),
                ErrorClass::Permanent,
                Some("io.not_found"),
                "known: io::ErrorKind::NotFound",
            ),
            (
                StepError::from(not_found()).transient(),
                ErrorClass::Transient,
                Some("io.not_found"),
                "declared",
            ),
            (
                StepError::from(not_found()).code("X"),
                ErrorClass::Permanent,
                Some("X"),
                "known: io::ErrorKind::NotFound",
            ),
            (StepError::from("what?"), ErrorClass::Unclassified, None, "unclassified"),
            (StepError::auth("key expired"), ErrorClass::Auth, None, "declared"),
            (StepError::auth("x").caused_by(not_found()), ErrorClass::Auth, Some("io.not_found"), "declared"),
        ];
        for (error, class, code, by) in table {
            let failure = stored(error);
            assert_eq!((failure.class, failure.code.as_deref()), (class, code), "{failure}");
            assert_eq!(failure.classified_by.to_string(), by, "{failure}");
        }
    }

    #[test]
    fn an_error_that_names_a_delay_is_tried_again() {
        let delay = Duration::from_secs(3);
        let of = |error: StepError| {
            let failure = stored(error.retry_after(delay));
            assert_eq!(failure.retry_after_ms, Some(3000));
            failure.class
        };
        assert_eq!(of(StepError::from("what?")), ErrorClass::Transient);
        assert_eq!(of(StepError::from(io::Error::from(io::ErrorKind::NotFound))), ErrorClass::Transient);
        assert_eq!(of(StepError::from(io::Error::from(io::ErrorKind::TimedOut))), ErrorClass::Timeout);
        assert_eq!(of(StepError::permanent("no")), ErrorClass::Permanent, "what was declared stands");
    }

    #[test]
    fn the_whole_chain_is_kept_once() {
        fn step() -> StepResult<()> {
            let reset = io::Error::new(io::ErrorKind::ConnectionReset, "reset by peer");
            let http = layer("request failed", Some(layer("request failed", Some(reset.into())).into()));
            Err(http).note("charging the card").note("order 7")
        }
        let failure = stored(step().unwrap_err());
        assert_eq!(failure.message, "request failed");
        assert_eq!(failure.chain, ["reset by peer"]);
        assert_eq!(failure.context, ["charging the card", "order 7"]);
        assert!(failure.location.as_deref().is_some_and(|at| at.starts_with(file!())), "{failure:?}");
        assert_eq!(
            failure.to_string(),
            "transient [io.connection_reset]: order 7: charging the card: request failed: reset by peer"
        );
    }

    #[test]
    fn the_worst_failure_fits_one_record_and_says_what_is_missing() {
        let mut error = layer("\u{1}".repeat(100_000), None);
        for depth in 0..40 {
            error = layer(format!("{depth}{}", "\u{1}".repeat(100_000)), Some(error.into()));
        }
        let mut error = StepError::from(error).code("\u{1}".repeat(100_000));
        for line in 0..40 {
            error = error.note(format!("{line}{}", "ö".repeat(100_000)));
        }
        let failure = stored(error);
        Payload::encode(&failure).expect("fits one record");
        assert!(failure.message.len() <= MESSAGE_BYTES_MAX);
        assert!(failure.message.ends_with(&format!("… [cut, {} bytes]", 100_002 - (MESSAGE_BYTES_MAX - 37))));
        assert_eq!((failure.chain.len(), failure.context.len()), (CHAIN_ENTRIES_MAX, CHAIN_ENTRIES_MAX));
        assert!(failure.chain[CHAIN_ENTRIES_MAX - 1].starts_with('\u{1}'), "the root cause is kept");
        assert_eq!(failure.chain[CHAIN_ENTRIES_MAX - 2], "… [cut, 25 entries]");
        assert!(failure.context.iter().all(|line| line.len() <= CHAIN_ENTRY_BYTES_MAX));
    }

    #[test]
    fn text_from_outside_cannot_break_the_line() {
        let failure = stored(StepError::permanent("a\nb\u{1b}[31m\u{202e}c").code("x\ty"));
        assert_eq!(failure.message, "a\nb\u{1b}[31m\u{202e}c", "stored as it was");
        assert_eq!(failure.to_string(), r"permanent [x\ty]: a\nb\u{1b}[31m\u{202e}c");
    }

    #[test]
    fn what_the_engine_sees_has_a_class_and_a_code() {
        let table = [
            (Failure::panic("boom", Some("a.rs:1:2".into())), ErrorClass::Bug, "panic"),
            (
                Failure::timeout("attempt_timeout_ms", 30_000, Origin::Step),
                ErrorClass::Timeout,
                "timeout.attempt",
            ),
            (Failure::timeout("run_deadline", 5, "start"), ErrorClass::Timeout, "timeout.run_deadline"),
            (Failure::lost_worker("w1"), ErrorClass::LostWorker, "lost_worker"),
            (Failure::undecodable("the input", "items[2]: not a number"), ErrorClass::Bug, "undecodable"),
            (Failure::oversize(2_000_000, 1 << 20), ErrorClass::Bug, "oversize"),
            (Failure::cancelled("by hand"), ErrorClass::Cancelled, "cancelled"),
        ];
        for (failure, class, code) in table {
            assert_eq!((failure.class, failure.code.as_deref()), (class, Some(code)));
            assert_eq!(failure.classified_by, ClassifiedBy::Observed);
        }
        assert_eq!(
            Failure::timeout("attempt_timeout_ms", 30_000, Origin::Step).to_string(),
            "timeout [timeout.attempt]: attempt_timeout of 30000 ms ran out (limit set by: step)"
        );
    }

    #[test]
    fn a_failure_is_stored_small_and_read_back_the_same() {
        let plain = Failure::cancelled("by hand");
        assert_eq!(
            serde_json::to_string(&plain).unwrap(),
            r#"{"class":"cancelled","code":"cancelled","message":"by hand","classified_by":"observed"}"#
        );
        let full = stored(StepError::from(io::Error::from(io::ErrorKind::TimedOut)).note("x"));
        for failure in [plain, full] {
            let text = serde_json::to_string(&failure).unwrap();
            assert_eq!(serde_json::from_str::<Failure>(&text).unwrap(), failure);
        }
        assert_eq!(
            serde_json::from_str::<Failure>(r#"{"class":"bug"}"#).unwrap(),
            Failure { class: ErrorClass::Bug, ..Failure::default() }
        );
    }

    #[test]
    fn the_text_of_a_panic_is_found() {
        let caught = |run: fn()| payload_of_panic(std::panic::catch_unwind(run).expect_err("panics"));
        assert_eq!(caught(|| panic!("plain")), "plain");
        assert_eq!(caught(|| panic!("with {}", 7)), "with 7");
        assert_eq!(caught(|| std::panic::panic_any(7_u8)), "panic with a value that is no text");
    }
}
