//! What an error says it is: first by its codes and types, and only where these are silent by its words.

use crate::diagnosis::evidence::{AttemptRecord, ErrorLink};
use crate::diagnosis::marks;
use crate::diagnosis::wording;
use crate::workflow::classify::ClassifiedBy;
use crate::workflow::links::KIND_TOLD;

/// What sort of trouble an error names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Signal {
    NotFound,
    NotAFolder,
    Denied,
    Full,
    Quota,
    ReadOnly,
    NameTooLong,
    TooManyFiles,
    Exists,
    Refused,
    Reset,
    NoName,
    Tls,
    TimedOut,
    NoRoute,
    Login,
    /// A receiver's rule that a value breaks.
    Rejected,
    /// Data that has not the form it should have.
    Malformed,
    /// A setting that was not given.
    Unset,
    Status(u16),
}

/// How it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    /// By words that only lead to where to look: what was seen there has to say it.
    Hint,
    /// By words in the middle of a sentence, which may be about anything.
    Loose,
    /// By the kind that a program gave an error in words of its own, which may be about anything.
    Told,
    /// By words that people use too, where a system would put them.
    Plain,
    /// By words that only systems use, where they put them: `open x: no such file or directory`.
    Words,
    /// By a number or name of an error in the text: `[Errno 2]`, `ENOENT`, `SQLSTATE 23505`.
    Number,
    /// By a code, a type or a field.
    Code,
}

/// Types whose errors are about the encryption of a connection.
const TLS_TYPES: &[&str] = &["rustls::", "native_tls::", "openssl::", "webpki::"];
/// What the error of an attempt says it is.
pub(crate) fn of(attempt: &AttemptRecord) -> Option<(Signal, By)> {
    if let Some(status) = status(attempt) {
        let named = match status {
            // Some services answer 400 to whatever it is, and say what by its name.
            400 | 422 => wording::of_answer(attempt),
            // Some refuse, or say that they cannot, whoever is too quick.
            403 | 500..=503 => {
                wording::of_answer(attempt).filter(|(signal, _)| *signal == Signal::Status(429))
            }
            _ => None,
        };
        return Some(named.unwrap_or((Signal::Status(status), By::Code)));
    }
    if is_tls(attempt) {
        return Some((Signal::Tls, By::Code));
    }
    // The innermost error is the nearest to the cause.
    let of_links = attempt.chain.iter().rev().filter_map(|link| Some((link.code.as_deref()?, Some(link))));
    let of_attempt = attempt.typed_code().map(|code| (code, None));
    for (code, link) in of_links.chain(of_attempt) {
        if let Some(mark) = marks::all().find(|mark| mark.codes.contains(&code)) {
            return Some((mark.signal, link.map_or(By::Code, |link| by_kind(link, mark.signal))));
        }
    }
    wording::read(attempt)
}

/// How an error of the chain is known by its code: what only has the kind that a program gave it may be no error of the system.
fn by_kind(link: &ErrorLink, signal: Signal) -> By {
    let is_told = link.fields.get(KIND_TOLD.0).is_some_and(|kind| kind == KIND_TOLD.1);
    if !is_told || link.code.as_deref() == Some("io.dns") {
        return By::Code;
    }
    match wording::of_text(&link.text).filter(|(said, _)| *said == signal) {
        // It passes on the number that the system gave.
        Some((_, By::Number)) => By::Code,
        Some((_, by)) => by.max(By::Told),
        None => By::Told,
    }
}

fn status(attempt: &AttemptRecord) -> Option<u16> {
    let of_code = attempt.codes().find_map(|code| code.strip_prefix("http.")?.parse().ok());
    of_code.or_else(|| attempt.field("status")?.parse().ok())
}

fn is_tls(attempt: &AttemptRecord) -> bool {
    let typed = |name: &str| TLS_TYPES.iter().any(|tls| name.contains(tls));
    attempt.typed_codes().any(|code| code == "tls" || code.starts_with("tls."))
        || matches!(attempt.field("detail"), Some("tls" | "certificate"))
        || attempt.chain.iter().filter_map(|link| link.type_name.as_deref()).any(typed)
}

impl AttemptRecord {
    /// The code of the failure, then those of its chain, the outermost first.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.code.as_deref().into_iter().chain(self.chain.iter().filter_map(|link| link.code.as_deref()))
    }

    /// The code of the failure, if something else than the step's own word gave it: the engine, a type that is known, a classifier.
    fn typed_code(&self) -> Option<&str> {
        let is_typed = match self.classified_by {
            ClassifiedBy::Observed | ClassifiedBy::Registered(_) => true,
            // What a type told is in the chain too; a step may have put another code over it.
            ClassifiedBy::Known(_) => self.chain.is_empty(),
            ClassifiedBy::Declared | ClassifiedBy::Unclassified => false,
        };
        self.code.as_deref().filter(|_| is_typed)
    }

    /// The codes that types, classifiers and the engine gave, the outermost first: what the step calls its own errors says nothing of
    /// the system.
    pub(crate) fn typed_codes(&self) -> impl Iterator<Item = &str> {
        self.typed_code().into_iter().chain(self.chain.iter().filter_map(|link| link.code.as_deref()))
    }

    /// Whether one of these is a code that a type, a classifier or the engine gave.
    pub(crate) fn has_typed_code(&self, codes: &[&str]) -> bool {
        self.typed_codes().any(|code| codes.contains(&code))
    }

    /// Whether one of these is a code that the engine itself or a type that it knows gave.
    pub(crate) fn has_known_code(&self, codes: &[&str]) -> bool {
        let registered = matches!(self.classified_by, ClassifiedBy::Registered(_));
        self.has_typed_code(codes)
            && !(registered
                && self
                    .chain
                    .iter()
                    .all(|link| link.code.as_deref().is_none_or(|code| !codes.contains(&code))))
    }

    /// Whether one of these is the code of the failure or of an error in its chain.
    #[must_use]
    pub fn has_code(&self, codes: &[&str]) -> bool {
        self.codes().any(|code| codes.contains(&code))
    }

    /// The code, if the engine itself saw what it says: no step can pretend it.
    #[must_use]
    pub fn observed(&self) -> Option<&str> {
        self.code.as_deref().filter(|_| self.classified_by == ClassifiedBy::Observed)
    }

    /// What an error of the chain says in this field, the innermost first.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.chain.iter().rev().find_map(|link| link.fields.get(name)).map(String::as_str)
    }

    /// The text of the innermost error.
    #[must_use]
    pub fn root_text(&self) -> &str {
        self.chain
            .iter()
            .rev()
            .map(|link| link.text.as_str())
            .find(|text| !text.is_empty())
            .unwrap_or(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::evidence::ErrorLink;

    fn said(text: &str) -> Option<(Signal, By)> {
        of(&AttemptRecord { message: text.to_owned(), ..AttemptRecord::default() })
    }

    #[test]
    fn codes_go_before_words_and_the_innermost_before_the_outermost() {
        let link = |code: &str, text: &str| ErrorLink {
            code: Some(code.to_owned()),
            text: text.to_owned(),
            ..ErrorLink::default()
        };
        let attempt = AttemptRecord {
            message: "permission denied".to_owned(),
            chain: vec![link("X", "no space left on device"), link("ENOENT", "")],
            ..AttemptRecord::default()
        };
        assert_eq!(of(&attempt), Some((Signal::NotFound, By::Code)));
    }

    #[test]
    fn the_code_that_a_step_gives_its_own_error_and_the_kind_that_a_program_gives_are_no_word_of_the_system()
    {
        let own = AttemptRecord {
            code: Some("ENOSPC".to_owned()),
            classified_by: ClassifiedBy::Declared,
            ..AttemptRecord::default()
        };
        assert_eq!(of(&own), None);
        let told = |text: &str| ErrorLink {
            code: Some("io.not_found".to_owned()),
            text: text.to_owned(),
            fields: [(KIND_TOLD.0.to_owned(), KIND_TOLD.1.to_owned())].into(),
            ..ErrorLink::default()
        };
        let of_kind = |text: &str| of(&AttemptRecord { chain: vec![told(text)], ..AttemptRecord::default() });
        assert_eq!(of_kind("order 7 not found"), Some((Signal::NotFound, By::Told)));
        let passed_on = of_kind("/x: No such file or directory (os error 2)");
        assert_eq!(passed_on, Some((Signal::NotFound, By::Code)));
    }

    #[test]
    fn an_error_number_in_the_text_goes_before_its_words() {
        assert_eq!(said("no such file or directory (os error 13)"), Some((Signal::Denied, By::Number)));
        assert_eq!(said("Connection refused"), Some((Signal::Refused, By::Plain)));
        assert_eq!(said("the ledger does not balance (os error 99999)"), None);
    }

    #[test]
    fn what_was_recognised_by_its_type_is_not_read_for_words() {
        let attempt = AttemptRecord {
            message: "missing field `permission denied`".to_owned(),
            classified_by: ClassifiedBy::Known("serde_json::Error".to_owned()),
            code: Some("json.data".to_owned()),
            ..AttemptRecord::default()
        };
        assert_eq!(of(&attempt), None);
    }
}
