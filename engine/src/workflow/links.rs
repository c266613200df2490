//! What the types of an error and its sources tell beyond their texts.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;

use super::classify::{Known, chain, known};
use super::error::{Cause, StepError};
use crate::diagnosis::evidence::ErrorLink;
use crate::redact::redact;
use crate::run::notes::within;
use crate::run::seen::{LINK_BYTES_MAX, LINKS_MAX};

/// The names of error numbers that say something about the surroundings.
const ERRNO: [(i32, &str); 26] = [
    (1, "EPERM"),
    (2, "ENOENT"),
    (4, "EINTR"),
    (5, "EIO"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (18, "EXDEV"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (22, "EINVAL"),
    (23, "ENFILE"),
    (24, "EMFILE"),
    (27, "EFBIG"),
    (28, "ENOSPC"),
    (30, "EROFS"),
    (32, "EPIPE"),
    (36, "ENAMETOOLONG"),
    (40, "ELOOP"),
    (101, "ENETUNREACH"),
    (104, "ECONNRESET"),
    (110, "ETIMEDOUT"),
    (111, "ECONNREFUSED"),
    (113, "EHOSTUNREACH"),
    (122, "EDQUOT"),
];

/// The field of an error whose kind a program gave it together with a text of its own.
pub(crate) const KIND_TOLD: (&str, &str) = ("kind", "told");

/// The error behind what a step returned and its sources, the outermost first; empty where the step told it in words alone.
pub(crate) fn links(error: &StepError) -> Vec<ErrorLink> {
    match error.cause() {
        Cause::Told | Cause::Suspended(_) => Vec::new(),
        Cause::Source(source) => {
            let source: &(dyn Error + 'static) = source.as_ref();
            let mut links: Vec<ErrorLink> = Vec::new();
            for error in chain(source) {
                let (link, is_full) = (link(error), links.len() == LINKS_MAX);
                // Many errors show the one they hold as themselves.
                match links.last_mut() {
                    Some(outer) if outer.text == link.text && outer.type_name.is_none() => *outer = link,
                    Some(outer) if outer.text == link.text && link.type_name.is_none() => {}
                    _ if is_full => {
                        // The innermost is the nearest to the cause.
                        links.pop();
                        links.push(link);
                    }
                    _ => links.push(link),
                }
            }
            links
        }
    }
}

fn link(error: &(dyn Error + 'static)) -> ErrorLink {
    let mut link =
        ErrorLink { text: within(redact(error.to_string()), LINK_BYTES_MAX), ..ErrorLink::default() };
    if let Some(Known { code, what, .. }) = known(error) {
        link.type_name = Some(what);
        link.code = Some(code.to_owned());
    }
    link.fields = fields(error);
    if error.is::<io::Error>() {
        link.type_name = Some("std::io::Error".to_owned());
        link.code = link.code.or_else(|| link.fields.get("errno").cloned());
    }
    link
}

fn fields(error: &(dyn Error + 'static)) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    if let Some(number) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
        let name = ERRNO.iter().find(|(known, _)| cfg!(target_os = "linux") && *known == number);
        fields.insert(
            "errno".to_owned(),
            name.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned()),
        );
    }
    // The kind is then the word of whoever made the error, as its text is.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.get_ref().is_some()) {
        fields.insert(KIND_TOLD.0.to_owned(), KIND_TOLD.1.to_owned());
    }
    if let Some(json) = error.downcast_ref::<serde_json::Error>().filter(|json| json.line() > 0) {
        fields.insert("line".to_owned(), json.line().to_string());
        fields.insert("column".to_owned(), json.column().to_string());
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_tell_codes_numbers_and_places() {
        let denied = links(&StepError::from(io::Error::from_raw_os_error(13)));
        assert_eq!(denied[0].type_name.as_deref(), Some("std::io::Error"));
        assert_eq!(denied[0].code.as_deref(), Some("io.permission_denied"));
        assert_eq!(denied[0].fields.get("errno").map(String::as_str), Some("EACCES"));
        assert_eq!(denied[0].fields.get(KIND_TOLD.0), None);

        let told = links(&StepError::from(io::Error::new(io::ErrorKind::NotFound, "no such order")));
        assert_eq!(told[0].fields.get(KIND_TOLD.0).map(String::as_str), Some(KIND_TOLD.1));

        let json = serde_json::from_str::<u32>("\n  x").expect_err("no number");
        let json = links(&StepError::from(io::Error::other(json)));
        let place = |name: &str| json[1].fields.get(name).map(String::as_str);
        assert_eq!((place("line"), place("column")), (Some("2"), Some("3")), "{json:?}");
        assert_eq!(links(&StepError::permanent("told in words")), []);
    }
}
