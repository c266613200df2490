//! One process at a time: the folder is checked, and its lock is held for as long as the store is open.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat};
use serde::{Deserialize, Serialize};
use stepwell_contract::{BackendError, Fault, FaultKind, Timestamp};

use crate::disk::{RealDisk, open_file};
use crate::fault::definite;

const NAME: &str = "lock";
/// A holder's note is far shorter.
const NOTE_BYTES_MAX: u64 = 4096;

/// What the holder writes into the lock file, for people. The lock itself is the kernel's, and ends with the process.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    pid: u32,
    since: Timestamp,
}

/// The held lock.
#[derive(Debug)]
pub(crate) struct FolderLock(#[expect(dead_code, reason = "held, not used")] File);

/// Opens the folder for this process alone.
///
/// # Errors
/// `Locked` when someone holds it, and then nothing was changed; `Refused` when others could write to it.
pub(crate) fn open_folder(path: &Path, now: Timestamp) -> Result<(FolderLock, RealDisk), BackendError> {
    let place = path.display().to_string();
    let folder = RealDisk::folder(path).map_err(|error| definite(&place, "open the folder", error))?;
    check_owner(&place, &folder)?;
    let mut file =
        open_file(&folder, NAME, OFlags::CREATE).map_err(|error| definite(&place, "open the lock", error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(locked(&place, &mut file)),
        Err(TryLockError::Error(error)) => return Err(definite(&place, "lock", error)),
    }
    let note = Note { pid: std::process::id(), since: now };
    let mut text = serde_json::to_vec(&note).expect("numbers have a JSON form");
    text.push(b'\n');
    let noted = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&text));
    if let Err(error) = noted {
        // The lock is held all the same; who meets it learns less.
        tracing::warn!(%error, "the lock could not be labelled");
    }
    let disk = RealDisk::within(path, folder).map_err(|error| definite(&place, "open the folder", error))?;
    Ok((FolderLock(file), disk))
}

/// Whoever can write to the folder can put anything into the journal.
fn check_owner(place: &str, folder: &OwnedFd) -> Result<(), BackendError> {
    let refused = |why: String| Err(BackendError::Definite(Fault::new(FaultKind::Refused, why)));
    let stat = fstat(folder).map_err(|error| definite(place, "look at", error.into()))?;
    let us = rustix::process::geteuid().as_raw();
    if stat.st_uid != us {
        return refused(format!(
            "{place} belongs to user {}, this process runs as user {us}: use a folder of its own",
            stat.st_uid
        ));
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(Mode::WGRP | Mode::WOTH) {
        return refused(format!("others can write to {place}: run `chmod go-w {place}`"));
    }
    Ok(())
}

fn locked(place: &str, file: &mut File) -> BackendError {
    let mut text = String::new();
    let note = file.take(NOTE_BYTES_MAX).read_to_string(&mut text).ok();
    let holder = match note.and_then(|_| serde_json::from_str::<Note>(&text).ok()) {
        Some(note) => format!("process {}", note.pid),
        None => "another process".to_owned(),
    };
    let what = format!("{place} is open in {holder}: stop it, or use another folder");
    BackendError::Definite(Fault::new(FaultKind::Locked, what))
}
