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

impl<'a> Marks<'a> {
    /// Those of a failure of a step of which nothing else is known, and that nobody has diagnosed.
    #[must_use]
    pub fn of_step(workflow: &'a str, step: &'a str) -> Self {
        Self { code: "", class: None, workflow, step, error_code: "", text: "", panic_at: "" }
    }
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

/// Names behind which a short number says what happened, and is no data.
const NUMBERED: [&str; 9] =
    ["status", "code", "error", "answered", "exit", "errno", "sqlstate", "ora", "http"];
/// Names behind which a quoted word is a name too, of the code or of the schema, and is no data.
const NAMED: [&str; 14] = [
    "code",
    "type",
    "reason",
    "kind",
    "relation",
    "column",
    "key",
    "keyerror",
    "table",
    "field",
    "constraint",
    "index",
    "status",
    "error",
];
/// Longest number that says what happened, in digits.
const NUMBER_DIGITS_MAX: usize = 5;
/// Longest name that is looked back at, in bytes.
const NAME_BYTES_MAX: usize = 48;
/// What numbers count, as small letters. A number and its unit are one.
const UNITS: [&str; 22] = [
    "ns", "us", "µs", "ms", "s", "sec", "secs", "min", "m", "h", "d", "b", "kb", "mb", "gb", "tb", "kib",
    "mib", "gib", "tib", "bytes", "k",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The text with everything masked that differs from run to run: quoted values, paths, hosts, dates, ids, numbers. Names in
/// backticks stay, and quoted names behind words such as `column`: they are names of the code. So do short numbers behind words
/// such as `status`: they say what happened.
#[must_use]
pub fn normalise(text: &str) -> String {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let text = without_quoted(&text[..end]);
    let mut normal = String::with_capacity(text.len());
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let inner = word.trim_matches(is_mark);
        // `1.5 s` is `1.5s`.
        if normal.ends_with('#') && inner.len() > 1 && UNITS.contains(&inner.to_lowercase().as_str()) {
            normal.push_str(&word[inner.len() + word.find(inner).unwrap_or(0)..]);
            continue;
        }
        if !normal.is_empty() {
            normal.push(' ');
        }
        let next = words.peek().map_or("", |next| *next);
        if is_date_word(inner, next, &normal) {
            normal.push('#');
            normal.push_str(word.trim_start_matches(is_mark).strip_prefix(inner).unwrap_or_default());
            continue;
        }
        mask_word(word, &mut normal);
    }
    normal
}

fn mask_word(word: &str, normal: &mut String) {
    let mut word = word;
    // What is named may be a path or a host, and the name stays: `file=/data/x`.
    while let Some((name, value)) = word.split_once('=') {
        let name_inner = name.trim_start_matches(is_mark);
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name_inner.is_empty() || value.is_empty() || !name_inner.chars().all(is_name) {
            break;
        }
        normal.push_str(&name[..name.len() - name_inner.len()]);
        mask_ids(name_inner, normal);
        normal.push('=');
        word = value;
    }
    let bare = word.trim_end_matches([',', '.', ';', ':', ')']);
    if bare.parse::<std::net::SocketAddr>().is_ok() {
        normal.push_str("<host>");
        normal.push_str(&word[bare.len()..]);
        return;
    }
    let inner = word.trim_matches(is_mark);
    let (before, after) = word.split_once(inner).unwrap_or(("", ""));
    normal.push_str(before);
    mask(inner, normal);
    normal.push_str(after);
}

fn is_mark(c: char) -> bool {
    matches!(c, ',' | '.' | ';' | ':' | '(' | ')' | '[' | ']' | '{' | '}' | '!' | '?' | '=')
}

/// Whether it is the name of a weekday or of a month, as part of a date. `May`, `Sun` and others are ordinary words too.
fn is_date_word(word: &str, next: &str, normal: &str) -> bool {
    let is = |names: &[&str], word: &str| names.iter().any(|name| word == *name || word == &name[..3]);
    let begins_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let is_month = is(&MONTHS, word) && (begins_number(next) || normal.trim_end().ends_with('#'));
    let is_weekday = WEEKDAYS.contains(&word)
        || is(&WEEKDAYS, word) && (begins_number(next) || is(&MONTHS, next.trim_matches(is_mark)));
    is_month || is_weekday
}

/// What is between quotation marks becomes `"…"`, unless it is a name. An apostrophe within a word is none.
fn without_quoted(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = text[at..].find(['"', '\'']) {
        let opens = at + found;
        kept.push_str(&text[at..opens]);
        let quote = &text[opens..=opens];
        let in_word = quote == "'" && text[..opens].ends_with(char::is_alphanumeric);
        match text[opens + 1..].find(quote).filter(|_| !in_word) {
            Some(len) => {
                let quoted = &text[opens + 1..opens + 1 + len];
                at = opens + len + 2;
                if is_name(quoted.trim_end_matches('\\'), &text[..opens]) {
                    kept.push('"');
                    kept.push_str(quoted);
                    kept.push('"');
                } else {
                    kept.push_str("\"…\"");
                }
            }
            None => {
                kept.push_str(quote);
                at = opens + 1;
            }
        }
    }
    kept.push_str(&text[at..]);
    kept
}

/// Whether a quoted word is a name: it is written as one, or what stands before it says so. Its numbers are masked later.
fn is_name(quoted: &str, before: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if quoted.is_empty() || quoted.len() > NAME_BYTES_MAX || !quoted.chars().all(is_part) {
        return false;
    }
    let is_snake = quoted.contains('_')
        && quoted.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        && quoted.starts_with(|c: char| c.is_ascii_lowercase());
    is_snake || is_behind(before, &NAMED, &[]) || NAMED.contains(&quoted)
}

/// Whether the last word of a text is one of the names, or ends in one as `exit_code` and `ErrorCode` do. Behind the names in
/// `sentences` a colon begins a sentence.
fn is_behind(before: &str, names: &[&str], sentences: &[&str]) -> bool {
    let between =
        |c: char| matches!(c, ' ' | ':' | '=' | '(' | '"' | '\'' | '\\' | '>' | '-' | '[' | '#' | '<');
    let from =
        (before.len().saturating_sub(NAME_BYTES_MAX)..=before.len()).find(|at| before.is_char_boundary(*at));
    let near = &before[from.unwrap_or(before.len())..];
    let told = near.trim_end_matches(between);
    let marks = &near[told.len()..];
    if marks.is_empty() || marks.len() > 5 || marks.contains(['#', '<']) {
        return false;
    }
    let word = told.rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(told, |at| {
        let mark = told[at..].chars().next().map_or(1, char::len_utf8);
        &told[at + mark..]
    });
    let is = |word: &str| {
        let known = names.iter().find(|name| word.eq_ignore_ascii_case(name));
        known.is_some_and(|known| marks != ": " || !sentences.contains(known))
    };
    let last_capital = word.rfind(|c: char| c.is_ascii_uppercase()).filter(|at| *at > 0);
    is(word)
        || last_capital
            .is_some_and(|at| word[..at].ends_with(|c: char| c.is_ascii_lowercase()) && is(&word[at..]))
}

fn mask(word: &str, into: &mut String) {
    let is_mail = word.split_once('@').is_some_and(|(user, host)| {
        user.ends_with(|c: char| c.is_ascii_alphanumeric())
            && host.starts_with(|c: char| c.is_ascii_alphanumeric())
    });
    if word.contains("://") {
        into.push_str("<url>");
    } else if is_path(word) {
        into.push_str("<path>");
    } else if is_mail {
        into.push_str("<mail>");
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

/// Ids and numbers become `#`, with their units. They are one: an id may consist of digits alone.
fn mask_ids(word: &str, into: &mut String) {
    let mut rest = word;
    let mut last_is_id = false;
    while !rest.is_empty() {
        if let Some(id) = rest.get(..UUID_BYTES).filter(|id| uuid::Uuid::try_parse(id).is_ok()) {
            push_number(into);
            rest = &rest[id.len()..];
            last_is_id = false;
            continue;
        }
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (part, after) = rest.split_at(len);
        // A pod is named by its name, a hash and five letters.
        let is_suffix =
            last_is_id && into.ends_with("#-") && part.len() == 5 && part.bytes().all(is_of_suffix);
        let is_id = is_suffix || is_id(part);
        // The hyphen behind an id does not part it from its suffix.
        last_is_id = is_id || (last_is_id && part.is_empty());
        if is_id {
            push_number(into);
            rest = after;
        } else if part.starts_with(|c: char| c.is_ascii_digit()) {
            rest = number(rest, into);
        } else if part.is_empty() {
            let mut chars = rest.chars();
            let mark = chars.next();
            let is_first = !into.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '#' | '_' | ')'));
            let is_sign = matches!(mark, Some('-' | '+')) && is_first && !into.ends_with(['-', '+']);
            // The sign belongs to the number.
            if !(is_sign && chars.as_str().starts_with(|c: char| c.is_ascii_digit())) {
                into.extend(mark);
            }
            rest = chars.as_str();
        } else {
            let mut is_in_number = false;
            for c in part.chars() {
                if !c.is_ascii_digit() {
                    into.push(c);
                } else if !is_in_number {
                    into.push('#');
                }
                is_in_number = c.is_ascii_digit();
            }
            rest = after;
        }
    }
}

/// The length of a UUID with its hyphens.
const UUID_BYTES: usize = 36;

fn push_number(into: &mut String) {
    if !into.ends_with('#') {
        into.push('#');
    }
}

/// Takes a number from the front, as `17`, `10.50`, `1.5s`, `1h30m`, and returns what is left.
fn number<'a>(word: &'a str, into: &mut String) -> &'a str {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let first = digits(word);
    let mut len = first;
    while word[len..].starts_with(['.', ',']) && digits(&word[len + 1..]) > 0 {
        len += 1 + digits(&word[len + 1..]);
    }
    let is_whole = len == first && !word[len..].starts_with(|c: char| c.is_alphanumeric());
    if is_whole && first <= NUMBER_DIGITS_MAX && is_behind(into, &NUMBERED, &["error"]) {
        into.push_str(&word[..len]);
        return &word[len..];
    }
    push_number(into);
    let rest = &word[len..];
    let unit = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    if !UNITS.contains(&rest[..unit].to_lowercase().as_str()) {
        return rest;
    }
    let rest = &rest[unit..];
    if digits(rest) > 0 { number(rest, into) } else { rest }
}

/// Whether letters and digits look drawn at random: hexadecimal of a hash, or letters and digits in turns.
fn is_id(part: &str) -> bool {
    let hex = part.strip_prefix("0x").unwrap_or(part);
    let has = |is: fn(&u8) -> bool| hex.bytes().any(|byte| is(&byte));
    let is_hex = hex.len() >= 7
        && hex.bytes().all(|b| b.is_ascii_hexdigit())
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic);
    let turns =
        part.as_bytes().windows(2).filter(|two| two[0].is_ascii_digit() != two[1].is_ascii_digit()).count();
    is_hex || (part.len() >= 5 && turns >= 3 && !is_duration(part))
}

/// Whether it is a span of time, as `1h30m5s`: a number with units, and no id.
fn is_duration(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_digit())
        && part
            .split(|c: char| c.is_ascii_digit())
            .filter(|unit| !unit.is_empty())
            .all(|unit| UNITS[..11].contains(&unit))
}

/// Whether it is one of the letters and digits from which the suffixes of pods are drawn.
fn is_of_suffix(byte: u8) -> bool {
    b"bcdfghjklmnpqrstvwxz2456789".contains(&byte)
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
            ("took 1.5s of 10", "took 850ms of 10.50"),
            ("took 1h30m5s", "took 2 ms"),
            ("balance is -3, left 1,000.50", "balance is 3, left 7"),
            ("offset=-3 of 12 MB", "offset=3 of 1.5 GiB"),
            (
                "order-018f3f5e-7b7a-7cc0-9c3d-0123456789ab is gone",
                "order-118f3f5e-7b7a-7cc0-9c3d-ba9876543210 is gone",
            ),
            (
                "denied (RequestId=018f3f5e-7b7a-7cc0-9c3d-0123456789ab)",
                "denied (RequestId=aaaf3f5e-1111-7cc0-9c3d-ba9876543210)",
            ),
            ("run 01ARZ3NDEKTSV4RRFFQ69G5FAV ended", "run 01BX5ZZKBKACTAV9WEVGEMMVRZ ended"),
            ("pod pay-7d9f8b6c5-x2k9p is gone", "pod pay-5c6b7f9d84-bcdfg is gone"),
            ("charge ch_3MmlLrLkdIwHu7ix0snN0B15 refused", "charge ch_1GqIC8LkdIwHu7ix2snN9B44 refused"),
            ("commit 3a2ec7c is gone", "commit 0471afb is gone"),
            ("blob 12345678 is gone", "blob 1234567 is gone"),
            ("since Sun, 22 Nov 2026 13:16:35 GMT", "since Fri, 01 May 2026 01:02:03 GMT"),
            ("since Sun Nov 22 13:16:35 2026", "since Fri May  1 01:02:03 2026"),
            ("read file=/x failed", "read file=/data/a/y.csv failed"),
            ("peer=10.0.0.1:80 refused", "peer=db1.example.com:443 refused"),
            ("order code 4711000", "order code 4711001"),
            ("parse error: 17 of 20 rows", "parse error: 18 of 20 rows"),
            ("mail to ada@example.org bounced", "mail to bob@a.example bounced"),
            (r#"{"customer":"Miller"}"#, r#"{"customer":"Smith"}"#),
            ("barcode 4711 is unknown", "barcode 4712 is unknown"),
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
            (r#"{"code":"card_declined"}"#, r#"{"code":"expired_card"}"#),
            (r#"{"code":"declined"}"#, r#"{"code":"expired"}"#),
            (r#"{\"code\":\"declined\"}"#, r#"{\"code\":\"expired\"}"#),
            (r#"{"status":404}"#, r#"{"status":500}"#),
            ("relation \"orders\" does not exist", "relation \"prices\" does not exist"),
            ("KeyError: 'price'", "KeyError: 'name'"),
            ("no 'card_declined' here", "no 'expired_card' here"),
            ("server answered 500", "server answered 404"),
            ("exit status: 137", "exit status: 1"),
            ("exit_code=137", "exit_code=1"),
            ("ORA-00942: table", "ORA-01017: table"),
            ("ErrorCode(17)", "ErrorCode(42)"),
            ("failed (os error 2)", "failed (os error 13)"),
            ("it May fail", "it Sun fail"),
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
