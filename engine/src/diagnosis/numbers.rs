//! Numbers and names of errors in a text: what programs write and people do not.

use crate::diagnosis::marks;
use crate::diagnosis::signal::{By, Signal};

/// What databases say of a value that is there already.
const DUPLICATES: &[&str] = &["duplicate entry", "duplicate key", "unique constraint"];
/// The reasons that belong to a status.
const REASONS: [(u16, &str); 17] = [
    (400, "bad request"),
    (401, "unauthorized"),
    (403, "forbidden"),
    (404, "not found"),
    (405, "method not allowed"),
    (407, "proxy authentication required"),
    (408, "request timeout"),
    (409, "conflict"),
    (410, "gone"),
    (413, "payload too large"),
    (422, "unprocessable entity"),
    (422, "unprocessable content"),
    (429, "too many requests"),
    (500, "internal server error"),
    (502, "bad gateway"),
    (503, "service unavailable"),
    (504, "gateway timeout"),
];
/// Ends of names that say no more than that it is an error.
const ENDS: [&str; 3] = ["exception", "error", "fault"];
/// Before a name of one word that a service gives an error.
const PLACES: [&str; 12] = [
    "error occurred (",
    "error from server (",
    "<code>",
    "\"code\":\"",
    "\"code\": \"",
    "'code': '",
    "\"error\":\"",
    "\"error\": \"",
    "\"errorcode\":\"",
    "\"reason\":\"",
    "\"reason\": \"",
    "statusruntimeexception: ",
];

/// Names in small letters that logins are refused by; the like of them are settings as well.
const OF_LOGINS: [&str; 8] = [
    "access_denied",
    "expired_token",
    "invalid_client",
    "invalid_grant",
    "invalid_token",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
];

/// What the numbers and names in a text say it is; `lower` is the text in small letters.
pub(super) fn of_text(text: &str, lower: &str) -> Option<Signal> {
    of_system(lower)
        .or_else(|| {
            capitals(text)
                .find_map(|name| marks::all().find(|mark| mark.codes.contains(&name)).map(|mark| mark.signal))
        })
        .or_else(|| names(text, lower).find_map(of_name))
        .or_else(|| of_curl(lower))
        .or_else(|| of_database(lower))
        .or_else(|| of_mail(lower))
        .or_else(|| of_shell(lower))
}

/// The number of an error as standard libraries write it: `(os error 2)`, `[Errno 2]`, `errno: 2`, `errno=2`, `Os { code: 2`.
fn of_system(lower: &str) -> Option<Signal> {
    let number = ["os error ", "errno ", "errno: ", "errno=", "errno:", "os { code: "]
        .iter()
        .find_map(|before| number_after(lower, before))?;
    marks::all().find(|mark| mark.errno.contains(&number)).map(|mark| mark.signal)
}

fn number_after(text: &str, before: &str) -> Option<u32> {
    let (_, after) = text.split_once(before)?;
    leading(after).map(|(number, _)| number)
}

fn leading(text: &str) -> Option<(u32, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

/// The words of a text that could be names of error numbers, such as `ENOENT`.
fn capitals(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    parts.filter(|part| {
        part.len() > 3
            && part.starts_with('E')
            && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    })
}

/// The words of a text that are spelt as only programs spell: `SlowDown`, `invalid_grant`; and those in places where services put the
/// names of errors.
fn names<'a>(text: &'a str, lower: &'a str) -> impl Iterator<Item = &'a str> {
    let part = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let spelt = text.split(part).filter(move |name| {
        let bytes = name.as_bytes();
        let has_hump =
            bytes.windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
        let is_capital = name.contains('_') && !bytes.iter().any(u8::is_ascii_lowercase);
        has_hump && !of_files(text, name) || is_capital || OF_LOGINS.contains(name)
    });
    let placed = PLACES.iter().filter_map(move |before| {
        let at = lower.find(before)? + before.len();
        lower[at..].split(part).next().filter(|name| !name.is_empty())
    });
    spelt.chain(placed)
}

/// Java has one name more than once: what it says of files is no answer of a service.
fn of_files(text: &str, name: &str) -> bool {
    text.split(name).next().is_some_and(|before| before.ends_with("nio.file."))
}

fn of_name(name: &str) -> Option<Signal> {
    let name: String = name.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect();
    let short = ENDS.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    marks::all().find(|mark| mark.names.iter().any(|it| *it == short || *it == name)).map(|mark| mark.signal)
}

/// What `curl` says it ends with: `curl: (7) …`.
fn of_curl(lower: &str) -> Option<Signal> {
    let number = number_after(lower, "curl: (")?;
    marks::all().find(|mark| mark.curl.contains(&number)).map(|mark| mark.signal)
}

/// States and numbers of databases: `SQLSTATE 23505`, `ERROR 1062 (23000)`, `ERROR 23000 (1062)`, `(2013, 'Lost …')`.
fn of_database(lower: &str) -> Option<Signal> {
    if lower.contains("e11000 duplicate key") {
        return Some(Signal::Exists);
    }
    let state = sqlstate(lower);
    match state {
        // One state for every rule of integrity that is broken: the words tell which.
        Some("23000") if DUPLICATES.iter().any(|words| lower.contains(words)) => return Some(Signal::Exists),
        Some(state) => {
            if let Some(mark) = marks::all().find(|mark| mark.states.contains(&state)) {
                return Some(mark.signal);
            }
        }
        None => {}
    }
    let number = mysql(lower)?;
    marks::all().find(|mark| mark.mysql.contains(&number)).map(|mark| mark.signal)
}

/// The number of an error of MySQL, in the forms of its client and of drivers.
fn mysql(lower: &str) -> Option<u32> {
    let of_client = || {
        let (first, rest) = lower.split_once("error ")?.1.split_once(" (")?;
        let second = rest.split_once(')')?.0;
        let is_state = |text: &str| {
            let begins = text.starts_with(|c: char| c.is_ascii_digit()) || text.starts_with("hy");
            begins && text.len() == 5 && text.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        let is_number =
            |text: &str| (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        match (is_state(first), is_state(second)) {
            (_, true) if is_number(first) => first.parse().ok(),
            (true, _) if is_number(second) => second.parse().ok(),
            _ => None,
        }
    };
    let of_driver = || {
        lower.match_indices('(').find_map(|(at, _)| {
            let (number, rest) = leading(&lower[at + 1..])?;
            (number >= 1_000 && (rest.starts_with(", '") || rest.starts_with(", \""))).then_some(number)
        })
    };
    // A year and a name have the form of an error of a driver.
    of_client().or_else(|| of_driver().filter(|_| lower.contains("mysql")))
}

/// The state that databases name by five characters: `SQLSTATE 23505`, `SQLSTATE[23000]`, `ERROR 1062 (23000)`.
fn sqlstate(lower: &str) -> Option<&str> {
    let named = lower
        .split_once("sqlstate")
        .map(|(_, after)| after.trim_start_matches([' ', ':', '=', '[', '(', '"', '\'']));
    let numbered = || {
        let (_, after) = lower.split_once("error ")?;
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

/// What mail servers answer: a number and a status in three parts, such as `(421): 4.7.0` or `535 5.7.8`.
fn of_mail(lower: &str) -> Option<Signal> {
    lower.match_indices(['4', '5']).find_map(|(at, _)| {
        let (number, rest) =
            leading(&lower[at..]).filter(|_| !lower[..at].ends_with(|c: char| c.is_ascii_alphanumeric()))?;
        let rest = rest.trim_start_matches([')', ':', ' ', '-']);
        let (class, rest) = leading(rest)?;
        let (subject, rest) = leading(rest.strip_prefix('.')?)?;
        let (detail, _) = leading(rest.strip_prefix('.')?)?;
        match (number, class, subject, detail) {
            (530 | 534 | 535 | 538, 5, 7, _) => Some(Signal::Login),
            (421 | 450..=452, 4, 7, _) => Some(Signal::Status(429)),
            (421 | 451 | 454, 4, 3, _) => Some(Signal::Status(503)),
            (421 | 451, 4, 4, _) => Some(Signal::Reset),
            _ => None,
        }
    })
}

/// What shells end with when a program is not there, or may not be run.
fn of_shell(lower: &str) -> Option<Signal> {
    let number = ["exit status: ", "exit status ", "exit code: ", "exit code "]
        .iter()
        .find_map(|before| number_after(lower, before))?;
    match number {
        126 if lower.contains("permission denied") => Some(Signal::Denied),
        127 if lower.contains("not found") => Some(Signal::NotFound),
        _ => None,
    }
}

/// The status of an HTTP response as clients tell it: `HTTP status server error (503 Service Unavailable)`, `status code 429`. Other
/// things have codes of a status too, so that it counts for less where nothing says that it is an answer.
pub(super) fn http_status(lower: &str) -> Option<(u16, By)> {
    const NAMED: [&str; 15] = [
        "an error occurred (",
        "serviceexception: ",
        "http status client error (",
        "http status server error (",
        "http status: ",
        "http status ",
        "http error ",
        "http/1.1 ",
        "http/2 ",
        "http ",
        "httperror: ",
        "http error: ",
        "request failed with status code ",
        "responded with status code ",
        "the requested url returned error: ",
    ];
    const UNNAMED: [&str; 4] = ["status code ", "status code: ", "error code: ", " code: "];
    let after = |before: &&str| {
        let (status, rest) = leading(lower.split_once(*before)?.1)?;
        let status = u16::try_from(status).ok().filter(|status| (400..=599).contains(status))?;
        Some((status, rest.trim_start_matches([' ', '(', '-', ':', ','])))
    };
    let named = NAMED.iter().find_map(after).map(|(status, _)| (status, By::Number));
    let unnamed = || {
        let (status, rest) = UNNAMED.iter().find_map(after)?;
        let is_answer = lower.contains("http") || REASONS.iter().any(|(_, reason)| rest.starts_with(reason));
        Some((status, if is_answer { By::Number } else { By::Plain }))
    };
    // A number beside the reason that belongs to it is the beginning of an answer.
    let with_reason = || {
        REASONS.iter().find_map(|(status, reason)| {
            let at = lower
                .find(&format!("{status} {reason}"))
                .or_else(|| lower.find(&format!("{status}: {reason}")))?;
            (!lower[..at].ends_with(|c: char| c.is_ascii_alphanumeric())).then_some((*status, By::Words))
        })
    };
    named.or_else(unnamed).or_else(with_reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Option<Signal> {
        of_text(text, &text.to_ascii_lowercase())
    }

    #[test]
    fn what_only_programs_write_tells_what_it_is() {
        let table = [
            ("curl: (7) Failed to connect to 10.0.0.1 port 80", Signal::Refused),
            ("ERROR 23000 (1062): Duplicate entry '42'", Signal::Exists),
            ("(2013, 'Lost connection to MySQL server during query')", Signal::Reset),
            ("could not extend file: disk full (SQLSTATE 53100)", Signal::Full),
            ("permanent error (535): 5.7.8 authentication failed", Signal::Login),
            ("421 4.7.0 too many messages", Signal::Status(429)),
            ("{\"error\":\"invalid_grant\"}", Signal::Login),
            ("An error occurred (Throttling) when calling X", Signal::Status(429)),
            ("<Code>SlowDown</Code>", Signal::Status(429)),
            ("Os { code: 13, kind: PermissionDenied, message: \"Permission denied\" }", Signal::Denied),
            ("exit status: 127: bash: x: command not found", Signal::NotFound),
        ];
        for (text, signal) in table {
            assert_eq!(said(text), Some(signal), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_it_tells_nothing() {
        for text in [
            "no price for (2006, 'Bordeaux')",
            "read_timeout must be above connect_timeout",
            "java.nio.file.AccessDeniedException: /data",
            "tours 421 4.7 and 535 5.7 are full",
            "{\"code\":\"OutOfStock\"}",
            "exit status: 127",
            "the slow down of sales",
        ] {
            assert_eq!(said(text), None, "{text}");
        }
    }

    #[test]
    fn a_status_beside_its_reason_is_an_answer() {
        assert_eq!(http_status("503 service unavailable: x"), Some((503, By::Words)));
        assert_eq!(http_status("http 403: {}"), Some((403, By::Number)));
        assert_eq!(http_status("order 1503 service unavailable"), None);
        assert_eq!(http_status("batch 429 failed"), None);
    }
}
