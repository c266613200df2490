//! Takes secrets out of texts that are kept with a failure: what stands behind a name such as `password=`, in the user part of
//! a URL, behind `Bearer`, or is a key by its own form.
//!
//! It knows forms, not meanings: a secret that looks like any other word stays. What it cannot tell apart it hides.
//!
//! Every pass is linear in the text: what is looked through is either hidden, and then not looked at again, or bounded.

use std::ops::Range;

/// Stands in place of what was taken out.
pub(crate) const REDACTED: &str = "[redacted]";

/// Parts of names behind which a secret stands, as letters alone.
const NAMES: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "apikey",
    "accesskey",
    "accountkey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "authorization",
    "cookie",
];
/// Names that ordinary sentences use too: behind a colon only what looks like a key is hidden.
const WEAK_NAMES: [&str; 6] = ["token", "signature", "credential", "credentials", "session", "sessionid"];
/// The same for names so short that other words contain them: a whole word of the name.
const WEAK_WORDS: [&str; 3] = ["pass", "pw", "sig"];
/// Names of addresses: what stands before their last `@` is a secret, and all of them that have none.
const ADDRESSES: [&str; 1] = ["dsn"];
/// Names whose secret goes on to the end of the line.
const LINES: [&str; 3] = ["authorization", "cookie", "cookies"];
/// Last words of names that say where a secret is kept, and not what it is.
const PLACES: [&str; 5] = ["file", "path", "dir", "rs", "toml"];
/// What goes on behind the name of an option in a sentence about it.
const PROSE: [&str; 12] =
    ["is", "was", "are", "must", "and", "or", "not", "needs", "requires", "cannot", "has", "option"];
/// Longest name that is looked at, with what stands between it and its mark, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// How much of a value shows whether it looks like a key, in bytes.
const LOOK_BYTES: usize = 64;
/// How keys begin that can be told by their form, and how many letters and digits follow at least.
const KEYS: [(&str, usize); 28] = [
    ("swt_", 40),
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
    ("ya29.", 16),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghs_", 20),
    ("ghu_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("npm_", 30),
    ("pypi-", 30),
    ("hf_", 20),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("rk_test_", 16),
    ("whsec_", 16),
    ("SG.", 30),
    ("sk-", 20),
    ("xoxa-", 16),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("xoxs-", 16),
    ("xapp-", 16),
    ("eyJ", 24),
];

/// The text without secrets.
pub(crate) fn redact(text: String) -> String {
    let mut hidden = Vec::new();
    named(&text, &mut hidden);
    users(&text, &mut hidden);
    logins(&text, &mut hidden);
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

/// What joins a name with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// `name=value`
    Equals,
    /// `name: value`
    Colon,
    /// `("name", "value")`
    Pair,
    /// `--name value`
    Option,
}

/// How surely a secret stands behind a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Strong,
    /// The least length of what looks like a key behind it.
    Weak(usize),
    /// An address that may hold a user.
    Address,
}

/// What stands behind a name, as in `password=…`, `"api_key": "…"`, `Authorization: …`, `--token …`.
fn named(text: &str, hidden: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut hidden_to = 0;
    for (at, found) in text.match_indices(['=', ':', ',', ' ']) {
        if at < hidden_to {
            continue;
        }
        let Some(mark) = mark_of(bytes, at, found) else { continue };
        let Some((begins, raw)) = name_before(text, at) else { continue };
        let is_option = mark != Mark::Option || raw.starts_with("--");
        let Some((name, is_line)) = name_of(raw, begins, bytes, mark).filter(|_| is_option) else { continue };
        let mut start = at + 1;
        start += usize::from(mark == Mark::Equals && bytes.get(start) == Some(&b'='));
        start += usize::from(mark == Mark::Equals && bytes.get(start) == Some(&b'>'));
        start += blanks(&bytes[start..]);
        let quoted_in = bytes[..begins].last().copied().filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
        let value = match mark {
            Mark::Colon if is_line => Some(line(text, start, quoted_in)),
            _ => value(text, at, start, mark, name),
        };
        if let Some(value) = value.filter(|it| !it.is_empty() && !text[it.start..].starts_with(REDACTED)) {
            hidden_to = value.end;
            hidden.push(value);
        }
    }
}

fn mark_of(bytes: &[u8], at: usize, found: &str) -> Option<Mark> {
    let before = bytes[..at].last().copied()?;
    let after = bytes.get(at + 1).copied().unwrap_or(b' ');
    match found {
        "=" => Some(Mark::Equals),
        // `a::b` is a path in the code, `a://` a scheme.
        ":" => {
            (before != b':' && after != b':' && !bytes[at + 1..].starts_with(b"//")).then_some(Mark::Colon)
        }
        "," => {
            let next = at + 1 + blanks(&bytes[at + 1..]);
            let next = next + bytes[next..].iter().take_while(|byte| **byte == b'\\').count();
            let is_quote = |byte: u8| matches!(byte, b'"' | b'\'');
            let is_pair =
                is_quote(before) && bytes.get(next).is_some_and(|byte| is_quote(*byte) || *byte == b'b');
            is_pair.then_some(Mark::Pair)
        }
        _ => (before != b' ' && before != b',').then_some(Mark::Option),
    }
}

fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// The name in front of a mark, and where it begins.
fn name_before(text: &str, at: usize) -> Option<(usize, &str)> {
    let from =
        (at.saturating_sub(NAME_BYTES_MAX)..=at).find(|from| text.is_char_boundary(*from)).unwrap_or(at);
    let before = text[from..at].trim_end_matches([' ', '"', '\'', '\\', ']']);
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let start = before
        .rfind(|c| !is_part(c))
        .map_or(0, |last| last + before[last..].chars().next().map_or(1, char::len_utf8));
    (start < before.len()).then_some((from + start, &before[start..]))
}

/// How surely the name is the name of a secret, and whether the secret is the rest of the line.
fn name_of(raw: &str, begins: usize, bytes: &[u8], mark: Mark) -> Option<(Name, bool)> {
    let letters = raw.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase());
    let name: String = letters.collect();
    let last = raw.rsplit(['_', '-', '.']).next().unwrap_or(raw);
    if PLACES.iter().any(|place| last.eq_ignore_ascii_case(place)) {
        return None;
    }
    let is_line = LINES.iter().any(|known| name.ends_with(known));
    if NAMES.iter().any(|known| name.contains(known)) {
        // `/run/secrets/db_password: Permission denied` names a file.
        let is_file = mark == Mark::Colon && bytes[..begins].last() == Some(&b'/');
        return Some(if is_file { (Name::Weak(8), false) } else { (Name::Strong, is_line) });
    }
    if WEAK_NAMES.iter().any(|known| name.ends_with(known)) {
        return Some((Name::Weak(8), false));
    }
    if ADDRESSES.iter().any(|known| last.eq_ignore_ascii_case(known)) {
        return Some((Name::Address, false));
    }
    let mut words = raw.split(['_', '-', '.']).flat_map(camel_words);
    let is_known = words.any(|word| WEAK_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known)));
    is_known.then_some((Name::Weak(6), false))
}

/// The words of `dbPass`.
fn camel_words(raw: &str) -> impl Iterator<Item = &str> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        let bytes = rest.as_bytes();
        let ends = (1..bytes.len())
            .find(|at| bytes[*at].is_ascii_uppercase() && !bytes[*at - 1].is_ascii_uppercase())
            .unwrap_or(bytes.len());
        let (word, after) = rest.split_at(ends);
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

/// The rest of the line, within the quotation marks that its name stands in.
fn line(text: &str, start: usize, quoted_in: Option<u8>) -> Range<usize> {
    let rest = &text[start..];
    if rest.starts_with(['{', '[', '\\', '"', '\'']) {
        return value(text, start, start, Mark::Equals, Name::Strong).unwrap_or(start..start);
    }
    let is_end = |c: char| c == '\n' || c == '\r' || quoted_in.is_some_and(|quote| c == char::from(quote));
    start..start + rest.find(is_end).unwrap_or(rest.len())
}

/// The value that begins at `start`, if it is to be hidden.
fn value(text: &str, at: usize, start: usize, mark: Mark, name: Name) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let rest = &text[start..];
    if rest.starts_with(REDACTED) {
        return None;
    }
    // `\"`, `b"`, `&"`
    let prefix = rest.bytes().take_while(|byte| matches!(byte, b'&' | b'b' | b'r' | b'#' | b'\\')).count();
    if let Some(quote) = bytes.get(start + prefix).copied().filter(|byte| matches!(byte, b'"' | b'\'')) {
        let level = rest[..prefix].bytes().rev().take_while(|byte| *byte == b'\\').count();
        let start = start + prefix + 1;
        let len = quoted_len(&text[start..], quote, level);
        let user = text[start..start + len].rfind('@').filter(|user| *user > 0 && name == Name::Address);
        if name == Name::Address && text[start..start + len].contains("://") {
            return None;
        }
        return Some(start..start + user.unwrap_or(len));
    }
    if let Some(opens) = opening(rest) {
        let start = start + opens;
        let inner = &text[start..];
        let is_told = name == Name::Strong || inner.starts_with('"') || inner.starts_with("\\\"");
        let is_hidden = is_told && !inner.starts_with(REDACTED);
        return is_hidden.then(|| start..start + group_len(inner));
    }
    let block = || block_scalar(text, at, start);
    if let Some(block) = (mark == Mark::Colon && name == Name::Strong).then(block).flatten() {
        return Some(block);
    }
    let is_end = |c: char| c.is_whitespace() || ",;&\"'<>)}]|".contains(c);
    let least = match name {
        Name::Weak(least) if mark == Mark::Colon => least,
        Name::Address if mark == Mark::Colon => 6,
        Name::Weak(_) | Name::Address | Name::Strong => 0,
    };
    let look_to = (0..=LOOK_BYTES.min(rest.len())).rev().find(|to| rest.is_char_boundary(*to)).unwrap_or(0);
    let look = rest[..look_to].split(is_end).next().unwrap_or_default();
    let has_digit = look.bytes().any(|byte| byte.is_ascii_digit());
    let has_letter = look.bytes().any(|byte| byte.is_ascii_alphabetic());
    let is_number = has_digit && look.len() <= 3 && look.bytes().all(|byte| byte.is_ascii_digit());
    let is_ordinary = matches!(look, "None" | "null" | "nil")
        || (name != Name::Strong && is_number)
        || (mark == Mark::Option && (look.starts_with('-') || PROSE.contains(&look)))
        || (least > 0 && !(has_digit && look.len() >= least && (has_letter || least >= 8)))
        // Only the user part of a URL is a secret.
        || (name == Name::Address && look.contains("://"));
    if is_ordinary {
        return None;
    }
    let len = rest.find(is_end).unwrap_or(rest.len());
    let len = if mark == Mark::Colon && name == Name::Strong { len + more_words(&rest[len..]) } else { len };
    let user = rest[..len].rfind('@').filter(|user| *user > 0 && name == Name::Address);
    Some(start..start + user.unwrap_or(len))
}

/// How long what is quoted is: up to its mark that is not escaped. `level` is how many backslashes stand before the mark that
/// opened it, as in `{\"name\":\"value\"}`. Without an end everything belongs to it: the text was cut.
fn quoted_len(rest: &str, quote: u8, level: usize) -> usize {
    let bytes = rest.as_bytes();
    let mut escapes = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'\\' {
            escapes += 1;
        } else if *byte == quote {
            let is_doubled = level == 0 && at > 0 && bytes.get(at + 1) == Some(&quote);
            let is_end = escapes < level || escapes % (2 * (level + 1)) == level;
            if is_end && !is_doubled {
                return at - escapes.min(level);
            }
            at += usize::from(is_end && is_doubled);
            escapes = 0;
        } else {
            escapes = 0;
        }
        at += 1;
    }
    rest.len()
}

/// How many bytes open a group: `{`, `[`, `Some(`, `Secret {`.
fn opening(rest: &str) -> Option<usize> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    let ident = rest.bytes().take(LOOK_BYTES).take_while(|byte| is_part(*byte)).count();
    let blank = usize::from(ident > 0 && rest[ident..].starts_with(" {"));
    matches!(rest.as_bytes().get(ident + blank), Some(b'(' | b'{' | b'[')).then_some(ident + blank + 1)
}

/// How long the inside of a group is, up to what closes it. Without an end everything belongs to it: the text was cut.
fn group_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let level =
                    bytes[..at].iter().rev().take(LOOK_BYTES).take_while(|byte| **byte == b'\\').count();
                at += 1 + quoted_len(&rest[at + 1..], b'"', level) + level;
            }
            b'(' | b'{' | b'[' => depth += 1,
            b')' | b'}' | b']' if depth == 0 => return at,
            b')' | b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    rest.len()
}

/// The lines of a YAML value that begins below its name: those that stand further in.
fn block_scalar(text: &str, at: usize, start: usize) -> Option<Range<usize>> {
    let is_style = |byte: &u8| matches!(byte, b'|' | b'>' | b'+' | b'-' | b'1'..=b'9');
    let style = text[start..].bytes().take(3).take_while(is_style).count();
    let style = &text[start..start + style];
    let line_end = text[start + style.len()..].strip_prefix('\r').unwrap_or(&text[start + style.len()..]);
    if !line_end.starts_with('\n') || !(style.is_empty() || style.starts_with(['|', '>'])) {
        return None;
    }
    let begins = text.len() - line_end.len() + 1;
    let line_start = text[..at].rfind('\n').map_or(0, |line| line + 1);
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let outer = indent(&text[line_start..at]);
    let (mut ends, mut next) = (begins, begins);
    for line in text[begins..].split_inclusive('\n') {
        let shown = line.trim_end();
        next += line.len();
        if shown.is_empty() {
            continue;
        }
        if indent(shown) <= outer {
            break;
        }
        ends = next - line.len() + shown.len();
        if style.is_empty() {
            break;
        }
    }
    let begins = begins + indent(&text[begins..ends]);
    (ends > begins).then_some(begins..ends)
}

/// How many more words belong to a value that may be a sentence: up to a mark, a new name, an address or the end of the line.
fn more_words(rest: &str) -> usize {
    let mut len = 0;
    while let Some(word) = rest[len..].strip_prefix(' ') {
        let ends = word.find(|c: char| c.is_whitespace() || ",;&\"'<>)}]|".contains(c)).unwrap_or(word.len());
        let told = &word[..ends];
        if told.is_empty() || told.starts_with(['(', '[', '/', '-']) || told.contains(['=', ':', '@']) {
            break;
        }
        len += 1 + ends;
    }
    len
}

/// The user part of URLs, up to the last `@` of it: a password may hold what would end the host.
fn users(text: &str, hidden: &mut Vec<Range<usize>>) {
    let mut seen_to = 0;
    for (at, mark) in text.match_indices("://") {
        if at < seen_to {
            continue;
        }
        let start = at + mark.len();
        let rest = &text[start..];
        // Of several addresses in one word each has its own user.
        let next = rest.find("://").unwrap_or(rest.len());
        let is_end = |c: char| c.is_whitespace() || "\"'<>`".contains(c);
        let rest = match rest[..next].find(is_end) {
            Some(end) => &rest[..end],
            None if next == rest.len() => rest,
            None => &rest[..rest[..next].rfind([',', ';', '=', '&']).unwrap_or(next)],
        };
        seen_to = start + rest.len();
        let ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(ends);
        let reach = if authority.contains('@') && behind.starts_with('/') {
            ends + behind.find('?').unwrap_or(behind.len())
        } else if authority.contains('@') || behind.is_empty() {
            rest.len()
        } else {
            // Behind the colon of a host stands a number. Anything else there is the beginning of a password.
            let port =
                authority.rsplit_once(':').filter(|(host, _)| !host.starts_with('[')).map(|(_, port)| port);
            let is_port =
                |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && behind.starts_with('/');
            if port.is_some_and(|port| !is_port(port)) { rest.len() } else { 0 }
        };
        if let Some(user) = rest[..reach].rfind('@').filter(|user| *user > 0) {
            hidden.push(start..start + user);
        }
    }
}

/// `user:password@` in front of `host:port` or `tcp(…)` without a scheme, and what is given to the command `AUTH`.
fn logins(text: &str, hidden: &mut Vec<Range<usize>>) {
    let mut start = 0;
    let mut is_auth = 0_u8;
    for word in text.split(char::is_whitespace) {
        let at = start;
        start += word.len() + text[start + word.len()..].chars().next().map_or(0, char::len_utf8);
        let bare = word.trim_matches(|c: char| "\"'`,;()".contains(c));
        let has = |is: fn(&u8) -> bool| bare.bytes().any(|byte| is(&byte));
        if is_auth > 0 && bare.len() >= 6 && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) {
            let from = at + word.find(bare).unwrap_or(0);
            hidden.push(from..from + bare.len());
        }
        is_auth = if bare == "AUTH" { 2 } else { is_auth.saturating_sub(1) };
        let Some((front, host)) = word.rsplit_once('@').filter(|_| !word.contains("://")) else { continue };
        let Some(colon) = front.find(':').filter(|colon| colon + 1 < front.len()) else { continue };
        let name = host
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
            .count();
        let digits = host[name..].strip_prefix(':').map(|port| {
            let digits = port.bytes().take_while(u8::is_ascii_digit).count();
            (digits, port.as_bytes().get(digits).copied())
        });
        let is_port = digits.is_some_and(|(digits, next)| {
            (1..=5).contains(&digits) && !next.is_some_and(|byte| byte.is_ascii_alphanumeric())
        });
        if name > 0 && (host[name..].starts_with('(') || is_port) {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            let from = front[..colon].trim_end_matches(is_part).len();
            hidden.push(at + from..at + front.len());
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
            let is_key = told.len() >= 8 && told.contains(|c: char| c.is_ascii_digit() || c == '=');
            if is_key || (scheme == "basic " && is_user_and_password(told)) {
                hidden.push(start..end);
            }
        }
    }
}

/// Whether it is `user:password` in base 64.
fn is_user_and_password(told: &str) -> bool {
    let (mut bits, mut held, mut has_colon) = (0_u32, 0_u32, false);
    for byte in told.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return false,
        };
        held = (held << 6 | u32::from(six)) & 0xFFFF;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            let char = (held >> bits) & 0xFF;
            if char < 0x20 || char == 0x7F {
                return false;
            }
            has_colon |= char == u32::from(b':');
        }
    }
    has_colon
}

/// Keys that are known by their form.
fn keys(text: &str, hidden: &mut Vec<Range<usize>>) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    for (begins, least) in KEYS {
        let mut seen_to = 0;
        for (at, _) in text.match_indices(begins) {
            let is_inside = text[..at].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric());
            if is_inside || at < seen_to {
                continue;
            }
            let rest = &text[at + begins.len()..];
            let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            seen_to = at + begins.len() + len;
            // Names in small letters alone are names.
            if len >= least && rest[..len].contains(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase()) {
                hidden.push(at..seen_to);
            }
        }
    }
}

/// Private keys in PEM form.
fn blocks(text: &str, hidden: &mut Vec<Range<usize>>) {
    let mut hidden_to = 0;
    for (at, _) in text.match_indices("-----BEGIN ") {
        let rest = &text[at..];
        let first =
            rest.bytes().take(LOOK_BYTES).take_while(|byte| byte.is_ascii() && *byte != b'\n').count();
        if at >= hidden_to && rest[..first].contains("PRIVATE KEY") {
            let end = rest
                .find("-----END ")
                .map_or(rest.len(), |end| rest[end..].find('\n').map_or(rest.len(), |line| end + line));
            hidden_to = at + end;
            hidden.push(at..hidden_to);
        }
    }
}

#[cfg(test)]
mod tests;
