//! What an error says in words alone: weak evidence, and the weaker the more it reads like a sentence of people.

use crate::diagnosis::evidence::AttemptRecord;
use crate::diagnosis::signal::{By, MARKS, Mark, Signal};
use crate::workflow::classify::ClassifiedBy;
use crate::workflow::error::ErrorClass;

/// How much of each text is read.
const READ_BYTES_MAX: usize = 2 << 10;
/// Codes of errors that pass on what others say.
const CARRIERS: &[&str] = &["io.invalid_data", "io.unexpected_eof"];
/// What databases say of a value that is there already.
const DUPLICATES: &[&str] = &["duplicate entry", "duplicate key", "unique constraint"];

/// What the words of an error say it is, and how much these words are worth.
pub(super) fn read(attempt: &AttemptRecord) -> Option<(Signal, By)> {
    // Errors about data quote data, and whoever says who was asked to wait or stop has said what it is.
    let is_told = matches!(
        attempt.class,
        Some(ErrorClass::Validation | ErrorClass::Throttled | ErrorClass::Auth | ErrorClass::Cancelled)
    );
    // What somebody classified by its type is that, whatever its words resemble.
    let is_typed = matches!(attempt.classified_by, ClassifiedBy::Known(_) | ClassifiedBy::Observed);
    let carries = is_typed && attempt.has_code(CARRIERS);
    if is_told || is_typed && !carries {
        return None;
    }
    let texts = attempt.chain.iter().rev().map(|link| link.text.as_str()).chain([attempt.message.as_str()]);
    let mut found = texts.filter_map(of_text).filter(|(signal, _)| !carries || *signal == Signal::Tls);
    found.next().map(|first| found.fold(first, |best, other| if other.1 > best.1 { other } else { best }))
}

/// What an answer to a request says beyond its status: that the other side wants fewer requests or other credentials.
pub(super) fn of_answer(attempt: &AttemptRecord) -> Option<(Signal, By)> {
    let texts = attempt.chain.iter().rev().map(|link| link.text.as_str()).chain([attempt.message.as_str()]);
    let named = |(signal, by): &(Signal, By)| {
        *by >= By::Words && matches!(signal, Signal::Login | Signal::Status(401 | 403 | 429))
    };
    // Beside the status of an answer these words are a name.
    texts.filter_map(of_text).find(named).map(|(signal, _)| (signal, By::Number))
}

pub(super) fn of_text(text: &str) -> Option<(Signal, By)> {
    let text = start_of(text);
    let lower = text.to_ascii_lowercase();
    if let Some(number) = errno(&lower) {
        return by(By::Number, |mark| mark.errno.contains(&number));
    }
    if let Some(found) = tokens(text).find_map(|token| by(By::Number, |mark| mark.codes.contains(&token))) {
        return Some(found);
    }
    let status = http_status(&lower);
    // What a server found wrong with a request is told by its words, where there are any.
    if let Some((status, by)) = status.filter(|(status, _)| !matches!(status, 400 | 422)) {
        return Some((Signal::Status(status), by));
    }
    match sqlstate(&lower) {
        Some("23505") => return Some((Signal::Exists, By::Number)),
        // One state for every rule of integrity that is broken: the words tell which.
        Some("23000") if DUPLICATES.iter().any(|words| lower.contains(words)) => {
            return Some((Signal::Exists, By::Number));
        }
        Some("28000" | "28p01") => return Some((Signal::Login, By::Number)),
        _ if lower.contains("e11000 duplicate key") => return Some((Signal::Exists, By::Number)),
        _ => {}
    }
    let all = MARKS.iter().flat_map(|mark| {
        let words = mark
            .words
            .iter()
            .filter_map(|words| form(&lower, words))
            .map(|whole| if whole { By::Words } else { By::Loose });
        let plain = mark
            .plain
            .iter()
            .filter_map(|words| form(&lower, words))
            .map(|whole| if whole { By::Plain } else { By::Loose });
        words.chain(plain).map(|by| (mark.signal, by)).collect::<Vec<_>>()
    });
    // Of those that are worth the same the first counts.
    all.fold(None, |best: Option<(Signal, By)>, other| match best {
        Some(best) if best.1 >= other.1 => Some(best),
        _ => Some(other),
    })
    .or_else(|| status.map(|(status, by)| (Signal::Status(status), by)))
}

fn by(by: By, is: impl Fn(&Mark) -> bool) -> Option<(Signal, By)> {
    MARKS.iter().find(|mark| is(mark)).map(|mark| (mark.signal, by))
}

fn start_of(text: &str) -> &str {
    let end = (0..=READ_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// The number of an error as standard libraries write it: `(os error 2)`, `[Errno 2]`, `errno: 2`, `errno=2`.
fn errno(text: &str) -> Option<u32> {
    ["os error ", "errno "].into_iter().chain(["errno: ", "errno=", "errno:"]).find_map(|before| {
        let (_, after) = text.split_once(before)?;
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        after[..digits].parse().ok()
    })
}

/// The status of an HTTP response as clients tell it: `HTTP status server error (503 Service Unavailable)`, `status code 429`. Other
/// things have codes of a status too, so that it counts for less where nothing says that it is an answer.
fn http_status(text: &str) -> Option<(u16, By)> {
    const NAMED: [&str; 7] = [
        "http status client error (",
        "http status server error (",
        "http status: ",
        "http status ",
        "httperror: ",
        "request failed with status code ",
        "responded with status code ",
    ];
    const UNNAMED: [&str; 2] = ["status code ", "status code: "];
    const REASONS: [&str; 9] = [
        "bad request",
        "unauthorized",
        "forbidden",
        "not found",
        "conflict",
        "too many requests",
        "internal server error",
        "bad gateway",
        "service unavailable",
    ];
    let after = |before: &&str| {
        let (_, after) = text.split_once(*before)?;
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let status: u16 = after[..digits].parse().ok().filter(|status| (400..=599).contains(status))?;
        Some((status, after[digits..].trim_start_matches([' ', '(', '-', ':', ','])))
    };
    let named = NAMED.iter().find_map(after).map(|(status, _)| (status, By::Number));
    named.or_else(|| {
        let (status, rest) = UNNAMED.iter().find_map(after)?;
        let is_answer = text.contains("http") || REASONS.iter().any(|reason| rest.starts_with(reason));
        Some((status, if is_answer { By::Number } else { By::Plain }))
    })
}

/// The words of a text that could be names of errors, such as `ENOENT`.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    parts.filter(|part| {
        part.len() > 3
            && part.starts_with('E')
            && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    })
}

/// The state that databases name by five characters: `SQLSTATE 23505`, `SQLSTATE[23000]`, `ERROR 1062 (23000)`.
fn sqlstate(text: &str) -> Option<&str> {
    let named = text
        .split_once("sqlstate")
        .map(|(_, after)| after.trim_start_matches([' ', ':', '=', '[', '(', '"', '\'']));
    let numbered = || {
        let (_, after) = text.split_once("error ")?;
        let (number, after) = after.split_once(" (")?;
        number
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then_some(after)
            .filter(|after| after.as_bytes().get(5) == Some(&b')'))
    };
    let state = named.or_else(numbered)?.get(..5)?;
    state
        .bytes()
        .all(|b| b.is_ascii_alphanumeric())
        .then_some(state)
        .filter(|state| state.as_bytes()[0].is_ascii_digit())
}

/// Whether these words stand in a text, and then whether they stand there by themselves, between the punctuation that programs set.
fn form(text: &str, words: &str) -> Option<bool> {
    let mut whole = None;
    for (at, _) in text.match_indices(words) {
        let before = text[..at].trim_end_matches([' ', '\t']).chars().next_back();
        let after = text[at + words.len()..].trim_start_matches([' ', '\t']).chars().next();
        // The end of a sentence is no sign of a program, a name with dots is.
        let in_name = text[..at].ends_with('.');
        let begins = in_name || before.is_none_or(|c| "\n:;(['\"->,)]".contains(c));
        let ends = after.is_none_or(|c| "\n:;)]('\",.{".contains(c));
        whole = Some(whole.unwrap_or(false) || begins && ends);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_system_says_counts_for_more_than_what_people_say() {
        let table = [
            ("open /x: no such file or directory", Some((Signal::NotFound, By::Words))),
            ("dial tcp 10.0.0.1:5432: connect: connection refused", Some((Signal::Refused, By::Plain))),
            ("connection refused by the customer", Some((Signal::Refused, By::Loose))),
            ("no space left on device shelf 7", Some((Signal::Full, By::Loose))),
            (
                "FileNotFoundError: [Errno 2] No such file or directory: 'x'",
                Some((Signal::NotFound, By::Number)),
            ),
            ("Error: connect ECONNREFUSED 127.0.0.1:1", Some((Signal::Refused, By::Number))),
            ("ERROR 1062 (23000): Duplicate entry 'a'", Some((Signal::Exists, By::Number))),
            ("FATAL: no (SQLSTATE 28P01)", Some((Signal::Login, By::Number))),
            (
                "HTTP status server error (503 Service Unavailable) for url (http://x/)",
                Some((Signal::Status(503), By::Number)),
            ),
            ("java.nio.file.NoSuchFileException: /data/in.csv", Some((Signal::NotFound, By::Words))),
            ("the order has status 404", None),
            ("team 13 lost 28 to 30, error 2 was decisive", None),
            ("the EVENT was not in the ERROR log", None),
            ("this certificate was printed already", None),
            ("part E11000 is no longer made", None),
            ("E11000 duplicate key error collection: shop.orders", Some((Signal::Exists, By::Number))),
            ("ERROR: null value in column \"total\" (SQLSTATE 23502)", None),
            ("ERROR 1452 (23000): a foreign key constraint fails", None),
            ("address error 4 (28195) Bremen", None),
            ("the parcel has status code 429: held at customs", Some((Signal::Status(429), By::Plain))),
            ("request to http://x/ gave status code 503", Some((Signal::Status(503), By::Number))),
            ("http status: 503", Some((Signal::Status(503), By::Number))),
            (
                "error returned from database: password authentication failed for user \"app\"",
                Some((Signal::Login, By::Words)),
            ),
            ("NOAUTH: Authentication required.", Some((Signal::Login, By::Words))),
            (
                "WRONGPASS: invalid username-password pair or user is disabled.",
                Some((Signal::Login, By::Words)),
            ),
            ("ThrottlingException: Rate exceeded", Some((Signal::Status(429), By::Words))),
            (
                "code: 'The service is currently unavailable', message: \"down\"",
                Some((Signal::Status(503), By::Words)),
            ),
            ("no records found for Query { name: Name(\"x.\") }", Some((Signal::NoName, By::Words))),
        ];
        for (text, expected) in table {
            assert_eq!(of_text(text), expected, "{text}");
        }
    }

    #[test]
    fn an_error_about_data_is_not_read_for_words() {
        let attempt = AttemptRecord {
            message: "missing field `ENOSPC`".to_owned(),
            class: Some(ErrorClass::Validation),
            ..AttemptRecord::default()
        };
        assert_eq!(read(&attempt), None);
    }
}
