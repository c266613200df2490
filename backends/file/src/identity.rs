//! `store.json`: which store this is, and the form of its files. Its presence says that the store is complete.

use std::io;

use serde::{Deserialize, Serialize};
use stepwell_contract::{BackendError, Fault, FaultKind, StoreId, Timestamp};
use uuid::Uuid;

use crate::disk::{Disk, read_from};
use crate::entry::{self, FORMAT};
use crate::fault::{corrupt, definite};
use crate::line;

pub(crate) const NAME: &str = "store.json";
const NEW: &str = "store.json.tmp";

/// What `store.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) format: u32,
    pub(crate) id: StoreId,
    pub(crate) created_at: Timestamp,
    /// The number of the oldest segment that is still needed.
    pub(crate) first_segment: u32,
}

impl Identity {
    /// The identity of a store that is made now.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { format: FORMAT, id: StoreId(Uuid::new_v4()), created_at: now, first_segment: 1 }
    }

    /// Reads it; `None` when there is none.
    pub(crate) fn read(disk: &dyn Disk) -> Result<Option<Self>, BackendError> {
        let place = disk.describe(NAME);
        let file = match disk.open(NAME) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| definite(&place, "open", error))?,
        };
        let bytes = read_from(&*file, 0).map_err(|error| definite(&place, "read", error))?;
        let whole = line::check(&bytes).is_some_and(|prefix| prefix.len == bytes.len());
        if !whole {
            return Err(corrupt(format!("{place} is damaged; restore it from a backup of this store")));
        }
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let form: Form = parse(&place, &bytes)?;
        if form.format > FORMAT {
            let why = format!(
                "{place} has format {}, this program knows formats up to {FORMAT}: use a newer program",
                form.format
            );
            return Err(BackendError::Definite(Fault::new(FaultKind::Refused, why)));
        }
        parse(&place, &bytes).map(Some)
    }

    /// Writes it, durably, in place of a former one: after a crash one of them is there whole.
    pub(crate) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        let mut bytes = Vec::new();
        entry::write(&mut bytes, self);
        line::seal(&mut bytes, 0);
        match disk.remove(NEW) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(NEW)?;
        file.write_all_at(&bytes, 0)?;
        file.sync()?;
        disk.rename(NEW, NAME)?;
        disk.sync_folder(NAME)
    }
}

fn parse<T: serde::de::DeserializeOwned>(place: &str, bytes: &[u8]) -> Result<T, BackendError> {
    serde_json::from_slice(bytes).map_err(|error| corrupt(format!("{place} is not understood: {error}")))
}
