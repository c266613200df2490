//! What there is to look at in the surroundings of a failure: the paths and endpoints that its error names.
//!
//! Nothing is looked at that the error does not name, and an error about data names nothing: its text may come from anywhere.

use crate::diagnosis::evidence::{Endpoint, ErrorLink};
use crate::redact::REDACTED;
use crate::workflow::error::ErrorClass;
use crate::workflow::failure::Failure;

/// Most paths of one failure that are looked at.
pub(crate) const PATHS_MAX: usize = 4;
/// Most endpoints of one failure that are tried.
pub(crate) const ENDPOINTS_MAX: usize = 3;
/// Longest text that is searched, in bytes.
const TEXT_BYTES_MAX: usize = 4 << 10;
/// Longest path that is looked at, in bytes: a little more than any system takes.
const PATH_BYTES_MAX: usize = 8 << 10;

/// The ports of services that URLs name by their scheme.
const PORTS: [(&str, u16); 18] = [
    ("http", 80),
    ("https", 443),
    ("ws", 80),
    ("wss", 443),
    ("postgres", 5432),
    ("postgresql", 5432),
    ("mysql", 3306),
    ("redis", 6379),
    ("rediss", 6379),
    ("mongodb", 27017),
    ("amqp", 5672),
    ("amqps", 5671),
    ("nats", 4222),
    ("smtp", 25),
    ("ftp", 21),
    ("ssh", 22),
    ("ldap", 389),
    ("grpc", 443),
];

/// Ends of names that are files, not hosts.
const FILES: [&str; 40] = [
    "rs", "py", "js", "ts", "go", "java", "c", "cpp", "h", "rb", "toml", "json", "yaml", "yml", "csv", "tsv",
    "txt", "xml", "html", "md", "ini", "conf", "cfg", "env", "log", "db", "sqlite", "parquet", "pem", "crt",
    "key", "zip", "gz", "tar", "sock", "lock", "tmp", "bin", "dat", "pdf",
];
/// Ends of names that are code.
const CODE: [&str; 14] =
    ["rs", "py", "js", "mjs", "cjs", "ts", "go", "java", "c", "cpp", "h", "rb", "php", "kt"];
/// What stands around a path.
const QUOTES: [(char, char); 9] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('‘', '’'),
    ('“', '”'),
    ('„', '“'),
    ('»', '«'),
    ('«', '»'),
    ('「', '」'),
];
/// Words before a colon and a number that are no hosts.
const WORDS: [&str; 18] = [
    "line", "column", "col", "row", "code", "status", "error", "errno", "port", "id", "attempt", "at",
    "position", "offset", "index", "record", "byte", "exit",
];

/// What there is to look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Targets {
    pub(crate) paths: Vec<String>,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// The paths and endpoints that a failure names.
pub(crate) fn targets(failure: &Failure, chain: &[ErrorLink]) -> Targets {
    let mut found = Targets::default();
    if !is_about_surroundings(failure.class) {
        return found;
    }
    let codes = || failure.code.iter().chain(chain.iter().filter_map(|link| link.code.as_ref()));
    // What a server answered is about its own paths.
    let is_answer = codes().any(|code| code.starts_with("http."));
    let is_io = codes().any(|code| code.starts_with("io.") || code.starts_with('E'));
    let field = |name: &str| chain.iter().rev().find_map(|link| link.fields.get(name).cloned());
    if let Some(path) = field("path") {
        found.path(&path);
    }
    if let Some(host) = field("host") {
        found.endpoint(&host, field("port").and_then(|port| port.parse().ok()));
    }
    let told = failure.context.iter().chain([&failure.message]).chain(&failure.chain);
    for text in told.chain(chain.iter().map(|link| &link.text)) {
        let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        let text = text[..end.unwrap_or(0)].replace(&format!("{REDACTED}@"), "");
        let mut before = ["", "", ""];
        for word in words(&text).filter(|word| !word.is_empty()) {
            if let Some((scheme, rest)) = word.split_once("://") {
                found.url(scheme, rest);
            } else if !found.port_of(before, word)
                && !found.host_and_port(word)
                && !is_answer
                && before[2] != "File"
            {
                found.word(word, is_io);
            }
            before = [before[1], before[2], word];
        }
    }
    found
}

/// Whether what failed is what the step reached out to, not the data it was given.
fn is_about_surroundings(class: ErrorClass) -> bool {
    match class {
        ErrorClass::Transient
        | ErrorClass::Timeout
        | ErrorClass::Unavailable
        | ErrorClass::Config
        | ErrorClass::Permanent
        | ErrorClass::Bug
        | ErrorClass::Unclassified => true,
        ErrorClass::Throttled
        | ErrorClass::Auth
        | ErrorClass::Validation
        | ErrorClass::LostWorker
        | ErrorClass::Cancelled => false,
    }
}

/// The words of a text; what stands in quotes is one word, blanks included, and so is `[::1]:80`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || "({,;=)]}>".contains(c));
        let first = rest.chars().next()?;
        let inner = &rest[first.len_utf8()..];
        if first == '<' {
            // The end of an element is no path.
            rest = inner
                .strip_prefix('/')
                .map_or(inner, |name| name.split_once('>').map_or("", |(_, after)| after));
            return Some("");
        }
        if let Some((_, closing)) = QUOTES.iter().find(|(opening, _)| *opening == first) {
            let (word, after) = inner.split_once(*closing).unwrap_or(("", inner));
            rest = after;
            return Some(word);
        }
        let address = if first == '[' { inner.find(']').filter(|end| is_ipv6(&inner[..*end])) } else { None };
        let from = address.map_or(0, |end| end + 2);
        if first == '[' && address.is_none() {
            rest = inner;
            return Some("");
        }
        let end = rest[from..].find(|c: char| c.is_whitespace() || "\"'`)]}>,;=‘’“”„«»「」".contains(c));
        let (word, after) = rest.split_at(end.map_or(rest.len(), |end| from + end));
        rest = after;
        Some(word.trim_end_matches(['.', ':', '!', '?']))
    })
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

impl Targets {
    fn path(&mut self, path: &str) {
        let is_path = path.len() > 1 && path.len() <= PATH_BYTES_MAX && !path.contains(['\0', '\n']);
        if is_path
            && !path.contains(REDACTED)
            && self.paths.len() < PATHS_MAX
            && !self.paths.iter().any(|it| it == path)
        {
            self.paths.push(path.to_owned());
        }
    }

    fn endpoint(&mut self, host: &str, port: Option<u16>) {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_host = !host.is_empty()
            && host.len() <= 253
            && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c));
        let endpoint = Endpoint { host: host.to_ascii_lowercase(), port };
        if is_host && self.endpoints.len() < ENDPOINTS_MAX && !self.endpoints.contains(&endpoint) {
            self.endpoints.push(endpoint);
        }
    }

    fn url(&mut self, scheme: &str, rest: &str) {
        let scheme = scheme.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        if scheme == "file" {
            return self.path(rest);
        }
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        let known = PORTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(scheme)).map(|(_, port)| *port);
        match host.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => self.endpoint(host, Some(port)),
            _ => self.endpoint(host, known),
        }
    }

    /// A number after the word `port` and a host, as in `connect to db port 5432` or `at "10.0.0.1", port 5432`; whether it is one.
    fn port_of(&mut self, [to, host, port]: [&str; 3], number: &str) -> bool {
        let Some(number) = number.parse().ok().filter(|_| port == "port") else { return false };
        let host = host.trim_end_matches(':');
        if host.contains(['.', ':']) || host == "localhost" || matches!(to, "to" | "at" | "host") {
            self.endpoint(host, Some(number));
        }
        true
    }

    /// A word such as `db.internal:5432`; whether it is one.
    fn host_and_port(&mut self, word: &str) -> bool {
        let Some((host, port)) = word.rsplit_once(':') else { return false };
        let port = port.split('/').next().unwrap_or_default();
        let Some(port) = port.parse::<u16>().ok().filter(|port| *port > 0) else { return false };
        let last = host.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let is_ipv4 = host.parse::<std::net::Ipv4Addr>().is_ok();
        let is_ipv6 = host.starts_with('[') && host.ends_with(']');
        let is_name = host.starts_with(|c: char| c.is_ascii_alphabetic())
            && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))
            && !(host.contains('.') && FILES.contains(&last.as_str()))
            && !WORDS.contains(&last.as_str());
        if is_ipv4 || is_ipv6 || is_name {
            self.endpoint(host, Some(port));
            return true;
        }
        false
    }

    /// A word that may be a path: an absolute one, or, where an operation on files failed, one that looks like a file. The place in it,
    /// as in `/data/in.csv:17`, is no part of it.
    fn word(&mut self, word: &str, is_io: bool) {
        let path = word.trim_end_matches(|c: char| c == ':' || c.is_ascii_digit());
        let (path, has_place) = if word[path.len()..].contains(':') { (path, true) } else { (word, false) };
        let is_absolute = path.starts_with('/') && !path.starts_with("//");
        let end = path.rsplit_once('.').map(|(name, end)| (name, end.to_ascii_lowercase()));
        let of = |ends: &[&str]| {
            end.as_ref().is_some_and(|(name, end)| !name.is_empty() && ends.contains(&end.as_str()))
        };
        let is_relative = path.starts_with("./") || path.starts_with("../") || (is_io && of(&FILES));
        // Places in code are no files that a step works with.
        let is_code = has_place && of(&CODE) || path.ends_with(".rs") && !is_absolute;
        if (is_absolute || is_relative) && !is_code {
            self.path(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(class: ErrorClass, code: &str, message: &str) -> (Vec<String>, Vec<String>) {
        let failure =
            Failure { class, code: Some(code.to_owned()), message: message.to_owned(), ..Failure::default() };
        let targets = targets(&failure, &[]);
        (targets.paths, targets.endpoints.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_an_error_names_is_found_and_nothing_else() {
        let table: [(&str, &[&str], &[&str]); 22] = [
            (
                "cannot open /etc/app/x.toml: No such file or directory (os error 2)",
                &["/etc/app/x.toml"],
                &[],
            ),
            ("reading `/data/two words.csv`", &["/data/two words.csv"], &[]),
            ("path=\"/srv/in\", mode=3", &["/srv/in"], &[]),
            ("open config/app.toml failed", &["config/app.toml"], &[]),
            ("./in.csv is not there", &["./in.csv"], &[]),
            ("connect to db.internal:5432: refused", &[], &["db.internal:5432"]),
            (
                "error sending request for url (https://api.example.com/v1/x?y=1)",
                &[],
                &["api.example.com:443"],
            ),
            ("redis://[redacted]@cache:6380/0 is down", &[], &["cache:6380"]),
            ("tcp connect error: 127.0.0.1:81", &[], &["127.0.0.1:81"]),
            ("connect to [::1]:9 failed", &[], &["::1:9"]),
            ("panicked at src/main.rs:12:5 at 12:30:45, line:7", &[], &[]),
            ("status: 503, code:14, took 3/4 of it", &[], &[]),
            ("file:///tmp/x is missing", &["/tmp/x"], &[]),
            ("no targets here", &[], &[]),
            ("mkdir: cannot create directory ‘/srv/in’: File exists", &["/srv/in"], &[]),
            ("<h1>502 Bad Gateway</h1></center></body>", &[], &[]),
            ("File \"/usr/lib/python3/http.py\", line 216, in open\n'/data/in.csv'", &["/data/in.csv"], &[]),
            ("at load (/srv/app/load.js:12:7)", &[], &[]),
            ("/data/in.csv:17: a bad row", &["/data/in.csv"], &[]),
            ("Failed to connect to db port 5432 after 0 ms", &[], &["db:5432"]),
            ("connection to server at \"10.0.0.1\", port 5432 failed", &[], &["10.0.0.1:5432"]),
            ("the ship leaves from port 12", &[], &[]),
        ];
        for (text, paths, endpoints) in table {
            let (found_paths, found_endpoints) = found(ErrorClass::Unavailable, "io.x", text);
            assert_eq!(
                (&found_paths[..], &found_endpoints[..]),
                (&strings(paths)[..], &strings(endpoints)[..]),
                "{text}"
            );
        }
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn wrong_data_sends_the_engine_nowhere_and_a_servers_paths_are_not_ours() {
        let nothing = (Vec::new(), Vec::new());
        assert_eq!(found(ErrorClass::Validation, "x", "no host at http://10.0.0.1:22/etc/passwd"), nothing);
        assert_eq!(found(ErrorClass::Permanent, "http.404", "GET /orders/7 gave 404"), nothing);
    }

    #[test]
    fn there_is_an_end_to_what_is_looked_at() {
        let text: String = (0..99).map(|nth| format!("/p/{nth} h{nth}.net:80 ")).collect();
        let (paths, endpoints) = found(ErrorClass::Transient, "x", &text);
        assert_eq!((paths.len(), endpoints.len()), (PATHS_MAX, ENDPOINTS_MAX));
    }
}
