//! Takes secrets out of texts that are kept with a failure: what stands behind a name such as `password=`, in the user part of
//! a URL, behind `Bearer`, or is a key by its own form.
//!
//! It knows forms, not meanings: a secret that looks like any other word stays. What it cannot tell apart it hides.

use std::ops::Range;

/// Stands in place of what was taken out.
pub(crate) const REDACTED: &str = "[redacted]";

/// Parts of names behind which a secret stands, as letters alone.
const NAMES: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "apikey",
    "accesskey",
    "privatekey",
    "authorization",
    "cookie",
];
/// Names that ordinary sentences use too: behind a colon only what looks like a key is hidden.
const WEAK_NAMES: [&str; 3] = ["token", "signature", "credential"];
/// Names whose secret goes on to the end of the line.
const LINES: [&str; 2] = ["authorization", "cookie"];
/// How keys begin that can be told by their form, and how many letters and digits follow at least.
const KEYS: [(&str, usize); 13] = [
    ("AKIA", 16),
    ("ASIA", 16),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghs_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("sk_live_", 16),
    ("rk_live_", 16),
    ("sk-", 20),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("eyJ", 24),
];

/// The text without secrets.
pub(crate) fn redact(text: String) -> String {
    let mut hidden = Vec::new();
    named(&text, &mut hidden);
    users(&text, &mut hidden);
    schemes(&text, &mut hidden);
    keys(&text, &mut hidden);
    blocks(&text, &mut hidden);
    if hidden.is_empty() {
        return text;
    }
    hidden.sort_unstable_by_key(|range| (range.start, range.end));
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for range in hidden {
        if range.start >= at {
            shown.push_str(&text[at..range.start]);
            shown.push_str(REDACTED);
        }
        at = at.max(range.end);
    }
    shown.push_str(&text[at..]);
    shown
}

/// What stands behind a name, as in `password=…`, `"api_key": "…"`, `Authorization: …`.
fn named(text: &str, hidden: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    for (at, mark) in text.match_indices(['=', ':']) {
        let is_colon = mark == ":";
        let Some(name) = name_before(text, at) else { continue };
        let is_strong = NAMES.iter().any(|known| name.contains(known));
        let is_weak = WEAK_NAMES.iter().any(|known| name.ends_with(known));
        if !is_strong && !is_weak {
            continue;
        }
        let mut start = at + 1;
        while bytes.get(start).is_some_and(|byte| matches!(byte, b' ' | b'=' | b'>' | b'\\')) {
            start += 1;
        }
        let quote = bytes.get(start).copied().filter(|byte| matches!(byte, b'"' | b'\''));
        start += usize::from(quote.is_some());
        let rest = &text[start..];
        if rest.starts_with(REDACTED) {
            continue;
        }
        let is_line = LINES.iter().any(|known| name.ends_with(known));
        let len = match quote {
            Some(quote) => rest.find([char::from(quote), '\\', '\n']),
            None if is_line => rest.find(['\n', '\r', '"', '\'']),
            None => rest.find(|c: char| c.is_whitespace() || ",;&\"'<>)}]|".contains(c)),
        };
        let end = start + len.unwrap_or(rest.len());
        let looks_random = || end - start >= 8 && text[start..end].contains(|c: char| c.is_ascii_digit());
        if end > start && (is_strong || !is_colon || quote.is_some() || looks_random()) {
            hidden.push(start..end);
        }
    }
}

/// The name in front of a mark, in small letters, without what joins its words.
fn name_before(text: &str, at: usize) -> Option<String> {
    let before = text[..at].trim_end_matches([' ', '"', '\'', '\\', ']']);
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let start = before
        .rfind(|c| !is_part(c))
        .map_or(0, |last| last + before[last..].chars().next().map_or(1, char::len_utf8));
    let name: String =
        before[start..].chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    (!name.is_empty()).then_some(name)
}

/// The user part of URLs.
fn users(text: &str, hidden: &mut Vec<Range<usize>>) {
    for (at, mark) in text.match_indices("://") {
        let start = at + mark.len();
        let rest = &text[start..];
        let end = rest.find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c)).unwrap_or(rest.len());
        if let Some(user) = rest[..end].rfind('@').filter(|user| *user > 0) {
            hidden.push(start..start + user);
        }
    }
}

/// What stands behind the word for a way to log in.
fn schemes(text: &str, hidden: &mut Vec<Range<usize>>) {
    let small = text.to_ascii_lowercase();
    for scheme in ["bearer ", "basic "] {
        for (at, _) in small.match_indices(scheme) {
            let start = at + scheme.len();
            let rest = &text[start..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-._~+/=".contains(c)));
            let end = start + end.unwrap_or(rest.len());
            let told = &text[start..end];
            if told.len() >= 8 && told.contains(|c: char| c.is_ascii_digit() || c == '=') {
                hidden.push(start..end);
            }
        }
    }
}

/// Keys that are known by their form.
fn keys(text: &str, hidden: &mut Vec<Range<usize>>) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    for (begins, least) in KEYS {
        for (at, _) in text.match_indices(begins) {
            let is_inside = text[..at].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric());
            let rest = &text[at + begins.len()..];
            let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            if !is_inside && len >= least {
                hidden.push(at..at + begins.len() + len);
            }
        }
    }
}

/// Private keys in PEM form.
fn blocks(text: &str, hidden: &mut Vec<Range<usize>>) {
    for (at, _) in text.match_indices("-----BEGIN ") {
        let rest = &text[at..];
        if rest.lines().next().is_some_and(|first| first.contains("PRIVATE KEY")) {
            let end = rest
                .find("-----END ")
                .map_or(rest.len(), |end| rest[end..].find('\n').map_or(rest.len(), |line| end + line));
            hidden.push(at..at + end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_of_what_is_kept() {
        let table = [
            ("login failed: password=hunter2, user=ada", "login failed: password=[redacted], user=ada"),
            (r#"{"client_secret": "s p a c e", "n": 1}"#, r#"{"client_secret": "[redacted]", "n": 1}"#),
            (r#"{\"api_key\":\"abc\"}"#, r#"{\"api_key\":\"[redacted]\"}"#),
            ("GET /?token=abc&page=2 gave 401", "GET /?token=[redacted]&page=2 gave 401"),
            ("Authorization: Bearer abc.def.ghi\nHost: x", "Authorization: [redacted]\nHost: x"),
            ("sent `Bearer a1b2c3d4e5`", "sent `Bearer [redacted]`"),
            ("postgres://ada:hunter2@db:5432/x is down", "postgres://[redacted]@db:5432/x is down"),
            ("key AKIAIOSFODNN7EXAMPLE is gone", "key [redacted] is gone"),
            ("AWS_SECRET_ACCESS_KEY=wJalr/K7", "AWS_SECRET_ACCESS_KEY=[redacted]"),
            ("access token: a1b2c3d4e5f6", "access token: [redacted]"),
            ("passwörd password='ä b' end", "passwörd password='[redacted]' end"),
            ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nx", "[redacted]\nx"),
        ];
        for (text, shown) in table {
            assert_eq!(redact(text.to_owned()), shown);
            assert_eq!(redact(shown.to_owned()), shown, "once is enough");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let table = [
            "unexpected token: } at line 3 column 7",
            "cannot open /etc/app.toml: No such file or directory (os error 2)",
            "connect to http://db:5432/x?page=2: refused",
            "basic authentication failed; mail ada@example.org",
            "the password was refused",
            "risk-averse task-42 sk-1",
        ];
        for text in table {
            assert_eq!(redact(text.to_owned()), text);
        }
    }
}
