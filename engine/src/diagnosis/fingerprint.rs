//! Which failures are of one cause: the same text but for what differs from run to run.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::workflow::error::ErrorClass;

/// How much of a text counts.
const TEXT_BYTES_MAX: usize = 1 << 10;
/// Bytes of the hash that are kept.
const HASH_BYTES: usize = 12;

/// What makes two failures one.
#[derive(Debug, Clone, Copy)]
pub struct Marks<'a> {
    /// The code of the diagnosis.
    pub code: &'a str,
    /// The class of the failure.
    pub class: Option<ErrorClass>,
    /// The workflow.
    pub workflow: &'a str,
    /// The step; empty when it is about the run.
    pub step: &'a str,
    /// The code that the error had.
    pub error_code: &'a str,
    /// The text of the error.
    pub text: &'a str,
    /// The place of a panic.
    pub panic_at: &'a str,
}

/// The fingerprint of a failure: its diagnosis code, then a hash of everything else. It is never equal for different codes.
#[must_use]
pub fn fingerprint(marks: Marks<'_>) -> String {
    let mut hash = Sha256::new();
    let class = marks.class.map_or("", ErrorClass::as_str);
    let text = normalise(marks.text);
    for part in [class, marks.workflow, marks.step, marks.error_code, marks.panic_at, &text] {
        // The length keeps the parts apart.
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut told = format!("{}-", marks.code);
    for byte in &hash.finalize()[..HASH_BYTES] {
        write!(told, "{byte:02x}").expect("a String takes any text");
    }
    told
}

/// The text with everything masked that differs from run to run: quoted values, paths, hosts, ids, numbers. Names in backticks
/// stay: they are names of the code.
#[must_use]
pub fn normalise(text: &str) -> String {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let text = without_quoted(&text[..end]);
    let mut normal = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !normal.is_empty() {
            normal.push(' ');
        }
        let bare = word.trim_end_matches([',', '.', ';', ':', ')']);
        if bare.parse::<std::net::SocketAddr>().is_ok() {
            normal.push_str("<host>");
            normal.push_str(&word[bare.len()..]);
            continue;
        }
        let inner = word.trim_matches(is_mark);
        let (before, after) = word.split_once(inner).unwrap_or(("", ""));
        normal.push_str(before);
        mask(inner, &mut normal);
        normal.push_str(after);
    }
    normal
}

fn is_mark(c: char) -> bool {
    matches!(c, ',' | '.' | ';' | ':' | '(' | ')' | '[' | ']' | '{' | '}' | '!' | '?' | '=')
}

/// What is between quotation marks becomes `"…"`. An apostrophe within a word is none.
fn without_quoted(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'']) {
        let (before, quoted) = rest.split_at(at);
        kept.push_str(before);
        let quote = &quoted[..1];
        let in_word = quote == "'" && before.ends_with(char::is_alphanumeric);
        match quoted[1..].find(quote).filter(|_| !in_word) {
            Some(end) => {
                kept.push_str("\"…\"");
                rest = &quoted[end + 2..];
            }
            None => {
                kept.push_str(quote);
                rest = &quoted[1..];
            }
        }
    }
    kept.push_str(rest);
    kept
}

fn mask(word: &str, into: &mut String) {
    if word.contains("://") {
        into.push_str("<url>");
    } else if is_path(word) {
        into.push_str("<path>");
    } else if is_host(word) {
        into.push_str("<host>");
    } else {
        mask_ids(word, into);
    }
}

fn is_path(word: &str) -> bool {
    let windows = word.get(1..3) == Some(":\\");
    let starts = ["/", "./", "../", "~/"].iter().any(|start| word.starts_with(start));
    windows || (starts && word.len() > 1) || word.matches('/').count() >= 2
}

/// Last labels that make a dotted word the name of a host. Dotted words are mostly names of the code.
const LAST_LABELS: &[&str] = &[
    "com", "net", "org", "io", "dev", "app", "cloud", "local", "internal", "lan", "svc", "jp", "de", "eu",
    "uk",
];

fn is_host(word: &str) -> bool {
    let (name, port) = match word.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => (name, true),
        _ => (word, false),
    };
    let name = name.trim_matches(['[', ']']);
    if name.parse::<std::net::IpAddr>().is_ok() || name == "localhost" {
        return true;
    }
    let of_host = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let named =
        name.split_once('.').is_some() && name.rsplit('.').next().is_some_and(|l| LAST_LABELS.contains(&l));
    // `main.rs:12` is a place in the code, and its line is masked as a number.
    let in_code = name.ends_with(".rs");
    !name.is_empty()
        && name.chars().all(of_host)
        && !in_code
        && (named || (port && name.chars().any(char::is_alphabetic)))
}

/// Ids become `<id>`, runs of digits `#`.
fn mask_ids(word: &str, into: &mut String) {
    if uuid::Uuid::try_parse(word).is_ok() {
        into.push_str("<id>");
        return;
    }
    let mut rest = word;
    while !rest.is_empty() {
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (part, after) = rest.split_at(len);
        let hex = part.strip_prefix("0x").unwrap_or(part);
        if hex.len() >= 8
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
            && hex.bytes().any(|b| b.is_ascii_digit())
        {
            into.push_str("<id>");
        } else {
            let mut in_number = false;
            for c in part.chars() {
                if !c.is_ascii_digit() {
                    into.push(c);
                } else if !in_number {
                    into.push('#');
                }
                in_number = c.is_ascii_digit();
            }
        }
        let mut chars = after.chars();
        into.extend(chars.next());
        rest = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(text: &str) -> Marks<'_> {
        Marks {
            code: "SW3001",
            class: Some(ErrorClass::Permanent),
            workflow: "order",
            step: "charge",
            error_code: "io.not_found",
            text,
            panic_at: "",
        }
    }

    #[test]
    fn failures_that_differ_only_in_data_are_one() {
        for (one, other) in [
            ("open /data/a/17.csv: no such file", "open /srv/b.csv: no such file"),
            ("order 1042 has no price", "order 7 has no price"),
            ("order-1042 has no price", "order-7 has no price"),
            ("row \"Miller\" is no row", "row \"O'Neill\" is no row"),
            ("row 'a b' at 3", "row 'c' at 12"),
            ("dial db1.example.com:5432: refused", "dial db2.example.com:5433: refused"),
            ("dial 10.0.0.1:80: refused", "dial [::1]:81: refused"),
            (
                "run 018f3f5e-7b7a-7cc0-9c3d-0123456789ab ended",
                "run 018f3f5e-7b7a-7cc0-9c3d-ba9876543210 ended",
            ),
            ("blob deadbeef01 is gone", "blob 00c0ffee22 is gone"),
            ("GET https://a.example/x?id=1 failed", "GET https://b.example/y failed"),
            ("took 1.5s", "took 22.75s"),
        ] {
            assert_eq!(
                fingerprint(marks(one)),
                fingerprint(marks(other)),
                "{one} / {other}: {}",
                normalise(one)
            );
        }
    }

    #[test]
    fn failures_of_different_causes_are_not() {
        for (one, other) in [
            ("missing field `name`", "missing field `price`"),
            ("order 7 has no price", "order 7 has no buyer"),
            ("customer's card refused", "customer's card expired"),
            ("serde.json missing", "serde.toml missing"),
            ("read failed", "write failed"),
            ("/a/b: no such file", "no such file"),
        ] {
            assert_ne!(fingerprint(marks(one)), fingerprint(marks(other)), "{one} / {other}");
        }
    }

    #[test]
    fn different_codes_classes_steps_and_panics_never_merge() {
        let base = marks("x");
        let others = [
            Marks { code: "SW3002", ..base },
            Marks { class: Some(ErrorClass::Bug), ..base },
            Marks { workflow: "refund", ..base },
            Marks { step: "ship", ..base },
            Marks { error_code: "io.invalid_data", ..base },
            Marks { panic_at: "src/a.rs:7", ..base },
            // Where one part ends and the next begins counts.
            Marks { workflow: "orderc", step: "harge", ..base },
        ];
        for other in others {
            assert_ne!(fingerprint(base), fingerprint(other), "{other:?}");
        }
        assert!(fingerprint(base).starts_with("SW3001-"));
    }

    #[test]
    fn any_text_is_taken() {
        for text in ["", "'", "\"", "a'b'c", "…'ö'…", "{", "::::", "0x", "\u{0}", "C:\\", "é:\\x"] {
            let _ = normalise(text);
        }
        let _ = normalise(&"é'\"/0".repeat(10_000));
    }
}
