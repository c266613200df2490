//! What an error says it is: first by its codes and types, and only where these are silent by its words.

use crate::diagnosis::evidence::AttemptRecord;
use crate::workflow::classify::ClassifiedBy;

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
    Status(u16),
}

/// How it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    /// By words alone, which may be about something else.
    Words,
    /// By a code, a type or a field.
    Code,
}

struct Mark {
    signal: Signal,
    codes: &'static [&'static str],
    errno: &'static [u32],
    words: &'static [&'static str],
}

const MARKS: &[Mark] = &[
    Mark {
        signal: Signal::NotFound,
        codes: &["io.not_found", "ENOENT"],
        errno: &[2],
        words: &["no such file or directory"],
    },
    Mark {
        signal: Signal::NotAFolder,
        codes: &["io.not_a_directory", "io.is_a_directory", "ENOTDIR", "EISDIR"],
        errno: &[20, 21],
        words: &["not a directory", "is a directory"],
    },
    Mark {
        signal: Signal::Denied,
        codes: &["io.permission_denied", "EACCES", "EPERM"],
        errno: &[1, 13],
        words: &["permission denied", "operation not permitted"],
    },
    Mark {
        signal: Signal::Full,
        codes: &["io.storage_full", "ENOSPC"],
        errno: &[28],
        words: &["no space left on device"],
    },
    Mark {
        signal: Signal::Quota,
        codes: &["io.quota_exceeded", "EDQUOT"],
        errno: &[122],
        words: &["disk quota exceeded"],
    },
    Mark {
        signal: Signal::ReadOnly,
        codes: &["io.read_only_filesystem", "EROFS"],
        errno: &[30],
        words: &["read-only file system"],
    },
    Mark {
        signal: Signal::NameTooLong,
        codes: &["io.invalid_filename", "ENAMETOOLONG"],
        errno: &[36],
        words: &["file name too long"],
    },
    Mark {
        signal: Signal::TooManyFiles,
        codes: &["io.too_many_open_files", "EMFILE", "ENFILE"],
        errno: &[23, 24],
        words: &["too many open files"],
    },
    Mark {
        signal: Signal::Exists,
        codes: &["io.already_exists", "io.directory_not_empty", "EEXIST"],
        errno: &[17],
        words: &["file exists", "duplicate key value violates"],
    },
    Mark {
        signal: Signal::NoName,
        codes: &["io.dns", "EAI_NONAME", "EAI_AGAIN"],
        errno: &[],
        words: &[
            "failed to lookup address",
            "name or service not known",
            "temporary failure in name resolution",
            "nodename nor servname",
        ],
    },
    Mark {
        signal: Signal::Tls,
        codes: &[],
        errno: &[],
        words: &["certificate", "tls handshake", "ssl routines"],
    },
    Mark {
        signal: Signal::Refused,
        codes: &["io.connection_refused", "ECONNREFUSED"],
        errno: &[111],
        words: &["connection refused"],
    },
    Mark {
        signal: Signal::Reset,
        codes: &["io.connection_reset", "io.connection_aborted", "io.broken_pipe", "ECONNRESET", "EPIPE"],
        errno: &[32, 103, 104],
        words: &["connection reset", "broken pipe", "connection closed before message completed"],
    },
    Mark {
        signal: Signal::NoRoute,
        codes: &[
            "io.host_unreachable",
            "io.network_unreachable",
            "io.network_down",
            "EHOSTUNREACH",
            "ENETUNREACH",
        ],
        errno: &[101, 113],
        words: &["no route to host", "network is unreachable"],
    },
    Mark {
        signal: Signal::TimedOut,
        codes: &["io.timed_out", "tokio.elapsed", "ETIMEDOUT"],
        errno: &[110],
        words: &["operation timed out", "connection timed out", "deadline has elapsed"],
    },
];

/// Types whose errors are about the encryption of a connection.
const TLS_TYPES: &[&str] = &["rustls::", "native_tls::", "openssl::", "webpki::"];
/// How much of each text is read for words and error numbers.
const READ_BYTES_MAX: usize = 2 << 10;

/// What the error of an attempt says it is.
pub(crate) fn of(attempt: &AttemptRecord) -> Option<(Signal, By)> {
    if let Some(status) = status(attempt) {
        return Some((Signal::Status(status), By::Code));
    }
    if is_tls(attempt) {
        return Some((Signal::Tls, By::Code));
    }
    // The innermost error is the nearest to the cause.
    for code in attempt.codes().collect::<Vec<_>>().into_iter().rev() {
        if let Some(mark) = MARKS.iter().find(|mark| mark.codes.contains(&code)) {
            return Some((mark.signal, By::Code));
        }
    }
    by_words(attempt)
}

fn by_words(attempt: &AttemptRecord) -> Option<(Signal, By)> {
    // What somebody classified by its type is that, whatever its words resemble.
    if matches!(attempt.classified_by, ClassifiedBy::Known(_) | ClassifiedBy::Observed) {
        return None;
    }
    let texts = attempt.chain.iter().rev().map(|link| link.text.as_str()).chain([attempt.message.as_str()]);
    for text in texts {
        let text = start_of(text).to_ascii_lowercase();
        let errno = errno(&text);
        let found = MARKS.iter().find(|mark| match errno {
            Some(errno) => mark.errno.contains(&errno),
            None => mark.words.iter().any(|words| text.contains(words)),
        });
        if let Some(mark) = found {
            return Some((mark.signal, By::Words));
        }
    }
    None
}

fn start_of(text: &str) -> &str {
    let end = (0..=READ_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// The number in `(os error 2)`, as the standard library writes it.
fn errno(text: &str) -> Option<u32> {
    let (_, after) = text.split_once("(os error ")?;
    after.split_once(')')?.0.parse().ok()
}

fn status(attempt: &AttemptRecord) -> Option<u16> {
    let of_code = attempt.codes().find_map(|code| code.strip_prefix("http.")?.parse().ok());
    of_code.or_else(|| attempt.field("status")?.parse().ok())
}

fn is_tls(attempt: &AttemptRecord) -> bool {
    let typed = |name: &str| TLS_TYPES.iter().any(|tls| name.contains(tls));
    attempt.codes().any(|code| code == "tls" || code.starts_with("tls."))
        || matches!(attempt.field("detail"), Some("tls" | "certificate"))
        || attempt.chain.iter().filter_map(|link| link.type_name.as_deref()).any(typed)
}

impl AttemptRecord {
    /// The code of the failure, then those of its chain, the outermost first.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.code.as_deref().into_iter().chain(self.chain.iter().filter_map(|link| link.code.as_deref()))
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
    fn an_error_number_in_the_text_goes_before_its_words() {
        assert_eq!(said("no such file or directory (os error 13)"), Some((Signal::Denied, By::Words)));
        assert_eq!(said("Connection refused"), Some((Signal::Refused, By::Words)));
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
