//! Which session it is: the same command means the same one until that has ended and was told.

use std::fmt::Display;
use std::path::Path;

use sha2::{Digest, Sha256};
use stepwell::Engine;
use stepwell::contract::{Name, Query, RunId};
use stepwell_examples::exit::{self, Trouble};

use crate::library::has_list;
use crate::path::hex;
use crate::session::{SESSION, Session};

/// The tag by which the sessions of one folder and library are found.
pub(crate) const ORIGIN_TAG: &str = "origin";
/// Longest session id: the ids of its items are longer.
const SESSION_BYTES_MAX: usize = 90;

/// A name that was given by hand.
pub(crate) fn given(id: String) -> Result<String, Trouble> {
    let wrong = |why: &dyn Display| {
        Trouble::new(exit::USAGE, format!("{id:?} is no session id"), why, "give another one with --session")
    };
    RunId::new(&id).map_err(|error| wrong(&error))?;
    if id.len() > SESSION_BYTES_MAX {
        return Err(wrong(&format!("it is longer than {SESSION_BYTES_MAX} bytes")));
    }
    Ok(id)
}

/// What the sessions of one folder and one library have in common: part of their names.
pub(crate) fn origin(input: &Session) -> String {
    let mut hash = Sha256::new();
    hash.update(input.folder.bytes());
    hash.update(b"\0");
    hash.update(input.library.bytes());
    let name = input.folder.as_path().file_name().unwrap_or_default().to_string_lossy();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    format!("{}-{}", if name.is_empty() { "import" } else { &name }, hex(&hash.finalize()[..5]))
}

/// The session of this folder and library that has not ended, or of which nobody was told how; else a new one, with the
/// next number.
pub(crate) async fn next(engine: &Engine, input: &Session, library: &Path) -> Result<String, Trouble> {
    let origin = origin(input);
    let query = Query {
        workflow: Some(Name::new(SESSION)?),
        tag: Some((Name::new(ORIGIN_TAG)?, origin.clone())),
        ..Query::default()
    };
    let latest = engine.list(&query, None, 1).await?.items.into_iter().next();
    let number_of = |id: &str| id.strip_prefix(&format!("{origin}."))?.parse::<u64>().ok();
    Ok(match latest {
        Some(head) if !head.status.is_finished() || has_list(library, head.key.run.as_str()) => {
            head.key.run.to_string()
        }
        Some(head) => format!("{origin}.{}", number_of(head.key.run.as_str()).unwrap_or(0) + 1),
        None => format!("{origin}.1"),
    })
}
