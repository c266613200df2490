//! Which steps were executed, noted so that a kill of the process does not lose it.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// One execution: a run and a step of it.
pub(crate) type Execution = (u64, u32);

/// Bytes of one note.
const NOTE_BYTES: usize = 12;

/// A file that each executed step is noted in. What was noted is in the kernel: it outlives the process.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
    noted: AtomicU64,
}

impl Ledger {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file, noted: AtomicU64::new(0) })
    }

    /// Notes an execution and returns how many this process noted.
    pub(crate) fn note(&self, run: u64, step: u32) -> io::Result<u64> {
        let mut note = [0; NOTE_BYTES];
        note[..8].copy_from_slice(&run.to_le_bytes());
        note[8..].copy_from_slice(&step.to_le_bytes());
        (&self.file).write_all(&note)?;
        Ok(self.noted.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// How many this process noted.
    pub(crate) fn noted(&self) -> u64 {
        self.noted.load(Ordering::Relaxed)
    }

    /// Every execution noted in a file.
    pub(crate) fn read(path: &Path) -> io::Result<HashSet<Execution>> {
        let bytes = std::fs::read(path)?;
        let notes = bytes.chunks_exact(NOTE_BYTES).map(|note| {
            let (mut run, mut step) = ([0; 8], [0; 4]);
            run.copy_from_slice(&note[..8]);
            step.copy_from_slice(&note[8..]);
            (u64::from_le_bytes(run), u32::from_le_bytes(step))
        });
        Ok(notes.collect())
    }
}
