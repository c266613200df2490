//! What an error says in words alone: weak evidence, and the weaker the more it reads like a sentence of people.

use std::borrow::Cow;

use crate::diagnosis::evidence::AttemptRecord;
use crate::diagnosis::marks;
use crate::diagnosis::numbers;
use crate::diagnosis::signal::{By, Signal};
use crate::workflow::classify::ClassifiedBy;
use crate::workflow::error::ErrorClass;

/// How much of each text is read.
const READ_BYTES_MAX: usize = 2 << 10;
/// Codes of errors that pass on what others say.
const CARRIERS: &[&str] = &["io.invalid_data", "io.unexpected_eof"];
/// How logs mark lines that tell of no error.
const LESS: &[&str] = &["warning", "warn", "info", "notice", "debug", "trace"];
/// How far into a line its level is looked for, in bytes.
const LEVEL_BYTES_MAX: usize = 64;

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
    let mut found =
        texts(attempt).filter_map(of_text).filter(|(signal, _)| !carries || *signal == Signal::Tls);
    found.next().map(|first| found.fold(first, |best, other| if other.1 > best.1 { other } else { best }))
}

/// What an answer to a request says beyond its status: that the other side wants fewer requests or other credentials.
pub(super) fn of_answer(attempt: &AttemptRecord) -> Option<(Signal, By)> {
    let named = |(signal, by): &(Signal, By)| {
        *by >= By::Words && matches!(signal, Signal::Login | Signal::Status(401 | 403 | 429))
    };
    // Beside the status of an answer these words are a name.
    texts(attempt).filter_map(of_text).find(named).map(|(signal, _)| (signal, By::Number))
}

/// What an error and its sources say, the innermost first, each once.
fn texts(attempt: &AttemptRecord) -> impl Iterator<Item = &str> {
    let links = || attempt.chain.iter().rev().map(|link| link.text.as_str());
    let own = Some(attempt.message.as_str()).filter(|message| !links().any(|text| text == *message));
    links().chain(own)
}

pub(super) fn of_text(text: &str) -> Option<(Signal, By)> {
    let text = failing(start_of(text));
    let lower = text.to_ascii_lowercase();
    if let Some(signal) = numbers::of_text(&text, &lower) {
        return Some((signal, By::Number));
    }
    let status = numbers::http_status(&lower);
    let said = of_words(&lower);
    match (status, said) {
        (None, said) => said,
        (Some((status, by)), None) => Some((Signal::Status(status), by)),
        // What a server found wrong with a request is told by its words, where there are any.
        (Some((400 | 422, _)), Some(said)) => Some(said),
        // Who is let in and how fast, an answer tells by its words too.
        (Some(_), Some((signal @ (Signal::Login | Signal::Status(429)), by))) if by >= By::Words => {
            Some((signal, by))
        }
        (Some((status, by)), Some(_)) => Some((Signal::Status(status), by)),
    }
}

fn of_words(lower: &str) -> Option<(Signal, By)> {
    let all = marks::all().flat_map(|mark| {
        let forms = |words: &'static [&'static str], whole: By| {
            let found = words.iter().filter_map(|words| form(lower, words));
            found.map(|is_whole| if is_whole { whole } else { By::Loose }).max()
        };
        let anywhere = |words: &[&str], by: By| words.iter().any(|words| lower.contains(words)).then_some(by);
        let found = [
            anywhere(mark.phrases, By::Words),
            forms(mark.words, By::Words),
            forms(mark.plain, By::Plain),
            anywhere(mark.hints, By::Hint),
        ];
        found.into_iter().flatten().map(|by| (mark.signal, by))
    });
    // Of those that are worth the same the first counts.
    all.fold(None, |best: Option<(Signal, By)>, other| match best {
        Some(best) if best.1 >= other.1 => Some(best),
        _ => Some(other),
    })
}

/// The text without the lines that call themselves less than an error: what a program only warned of did not end it.
fn failing(text: &str) -> Cow<'_, str> {
    let is_less = |line: &&str| {
        let start = line.get(..LEVEL_BYTES_MAX).unwrap_or(line);
        let words = start.split([' ', '\t', '[', ']', '|', '"']);
        words.into_iter().any(|word| match word.strip_suffix(':') {
            Some(level) => LESS.iter().any(|less| level.eq_ignore_ascii_case(less)),
            None => LESS.iter().any(|less| word == less.to_ascii_uppercase()),
        })
    };
    if !text.contains('\n')
        || text.lines().all(|line| is_less(&line))
        || !text.lines().any(|line| is_less(&line))
    {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.lines().filter(|line| !is_less(line)).collect::<Vec<_>>().join("\n"))
}

fn start_of(text: &str) -> &str {
    let end = (0..=READ_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
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
            ("ERROR: null value in column \"total\" (SQLSTATE 23502)", Some((Signal::Rejected, By::Number))),
            ("ERROR 1452 (23000): a foreign key constraint fails", Some((Signal::Rejected, By::Number))),
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
            ("ThrottlingException: Rate exceeded", Some((Signal::Status(429), By::Number))),
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
