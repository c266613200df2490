//! Making a store, and recognising it.
//!
//! A store is made in three moves, each of which changes nothing when it was made before: the description is put as
//! `making` unless there is one; each shard is marked with the id that stands in it; the description becomes `ready`.
//! An opener that finds it `making` completes it, whoever began. A `ready` store with an unmarked shard has lost data.

use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stepwell_contract::{BackendError, Clock, Fault, FaultKind, StoreId, SystemClock, Timestamp};
use uuid::Uuid;

use crate::fault::{Stage, corrupt};
use crate::layout::Layout;
use crate::link::Link;
use crate::options::RedisOptions;

/// The form of keys and values. A store of another form is refused.
const FORMAT: u32 = 1;
const SHARDS: u16 = 4;

/// The store's description, as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    pub(crate) id: StoreId,
    pub(crate) format: u32,
    pub(crate) shards: u16,
    pub(crate) created_at: Timestamp,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Making,
    Ready,
}

/// Finds the store at the prefix, or makes it, and checks that it is the expected one.
///
/// # Errors
/// `Definite(IdentityLost)` when another store was expected, or parts of this one are gone; `Definite(Refused)` when it
/// has another form or number of shards. Nothing was written then.
pub(crate) async fn establish(link: &Link, options: &RedisOptions) -> Result<Description, BackendError> {
    let witnessed = options.witness.as_deref().map(read_witness).transpose()?.flatten();
    let expected = options.expect_id.or(witnessed);
    if let (Some(asked), Some(seen)) = (options.expect_id, witnessed)
        && asked != seen
    {
        let why =
            format!("the witness file knows store {seen} where {asked} is expected: one of them is wrong");
        return Err(BackendError::Definite(Fault::new(FaultKind::IdentityLost, why)));
    }
    let mut layout = Layout { prefix: options.prefix.clone(), shards: options.shards.unwrap_or(SHARDS) };
    let found = read(link, &layout).await?;
    if let Some(expected) = expected
        && found.as_ref().is_none_or(|found| found.id != expected)
    {
        return Err(lost(link, &layout, expected, found.map(|found| found.id)));
    }
    let description = match found {
        Some(found) => found,
        None => propose(link, &layout).await?,
    };
    if description.format != FORMAT {
        let why = format!(
            "the Redis store {} has form {}, this program reads form {FORMAT}: use a program that fits",
            description.id, description.format
        );
        return Err(BackendError::Definite(Fault::new(FaultKind::Refused, why)));
    }
    if let Some(asked) = options.shards.filter(|asked| *asked != description.shards) {
        let why = format!(
            "the Redis store {} was made with {} shards and keeps them: leave out shards={asked}",
            description.id, description.shards
        );
        return Err(BackendError::Definite(Fault::new(FaultKind::Refused, why)));
    }
    layout.shards = description.shards;
    mark_shards(link, &layout, &description).await?;
    if let (Some(path), None) = (options.witness.as_deref(), witnessed) {
        write_witness(path, description.id)?;
    }
    Ok(description)
}

async fn read(link: &Link, layout: &Layout) -> Result<Option<Description>, BackendError> {
    let stored: Option<Vec<u8>> = link.query(redis::cmd("GET").arg(layout.store()), Stage::Reading).await?;
    let parse =
        |json: Vec<u8>| serde_json::from_slice(&json).map_err(|error| corrupt(&layout.store(), error));
    stored.map(parse).transpose()
}

/// Puts a description unless somebody was faster; returns the one that stands.
async fn propose(link: &Link, layout: &Layout) -> Result<Description, BackendError> {
    let ours = Description {
        id: StoreId(Uuid::new_v4()),
        format: FORMAT,
        shards: layout.shards,
        created_at: SystemClock.now(),
        state: State::Making,
    };
    put(link, layout, &ours, "NX").await?;
    let vanished = || {
        BackendError::Definite(Fault::new(FaultKind::IdentityLost, "the store vanished while it was made"))
    };
    read(link, layout).await?.ok_or_else(vanished)
}

async fn put(link: &Link, layout: &Layout, what: &Description, condition: &str) -> Result<(), BackendError> {
    let json = serde_json::to_string(what).map_err(|error| corrupt("the description of the store", error))?;
    let mut set = redis::cmd("SET");
    set.arg(layout.store()).arg(json).arg(condition);
    // Done twice it changes nothing, so a lost reply only means: open again.
    match link.query::<redis::Value>(&set, Stage::Writing).await {
        Err(BackendError::Indefinite(fault)) => Err(BackendError::Definite(fault)),
        other => other.map(drop),
    }
}

async fn mark_shards(link: &Link, layout: &Layout, store: &Description) -> Result<(), BackendError> {
    let id = store.id.to_string();
    if store.state == State::Making {
        for shard in 0..layout.shards {
            let mut set = redis::cmd("SET");
            set.arg(layout.shard_mark(shard)).arg(&id).arg("NX");
            match link.query::<redis::Value>(&set, Stage::Writing).await {
                Err(BackendError::Indefinite(fault)) => return Err(BackendError::Definite(fault)),
                other => drop(other?),
            }
        }
    }
    for shard in 0..layout.shards {
        let mark: Option<String> =
            link.query(redis::cmd("GET").arg(layout.shard_mark(shard)), Stage::Reading).await?;
        if mark.as_deref() != Some(&id) {
            let why = format!(
                "shard {shard} of the Redis store {id} at {}, prefix {}, {}: restore its data",
                link.address(),
                layout.prefix,
                mark.map_or("is gone".to_owned(), |other| format!("belongs to store {other}")),
            );
            return Err(BackendError::Definite(Fault::new(FaultKind::IdentityLost, why)));
        }
    }
    if store.state == State::Making {
        put(link, layout, &Description { state: State::Ready, ..store.clone() }, "XX").await?;
    }
    Ok(())
}

fn lost(link: &Link, layout: &Layout, expected: StoreId, found: Option<StoreId>) -> BackendError {
    let found = found.map_or("there is none".to_owned(), |id| format!("there is store {id}"));
    let why = format!(
        "store {expected} is expected at {}, prefix {}, but {found}. Restore its data (append-only file, backup) or \
         correct the address; to begin anew on purpose, drop the expected id or delete the witness file",
        link.address(),
        layout.prefix
    );
    BackendError::Definite(Fault::new(FaultKind::IdentityLost, why))
}

fn read_witness(path: &Path) -> Result<Option<StoreId>, BackendError> {
    let refused = |why: String| {
        let why = format!("the witness file {} cannot be used: {why}", path.display());
        BackendError::Definite(Fault::new(FaultKind::Refused, why))
    };
    match std::fs::read_to_string(path) {
        Ok(text) => match text.trim().parse() {
            Ok(id) => Ok(Some(StoreId(id))),
            Err(_) => Err(refused("it does not hold a store's id".to_owned())),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// Written whole or not at all: a witness cut in half would refuse its own store.
fn write_witness(path: &Path, id: StoreId) -> Result<(), BackendError> {
    let write = || {
        let next = path.with_extension("next");
        let mut file = std::fs::File::create(&next)?;
        writeln!(file, "{id}")?;
        file.sync_all()?;
        std::fs::rename(&next, path)
    };
    write().map_err(|error: std::io::Error| {
        let why = format!("the witness file {} cannot be written: {error}", path.display());
        BackendError::Definite(Fault::new(FaultKind::Refused, why))
    })
}
