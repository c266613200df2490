//! The best plain log: one file with space set aside, one write and one `fdatasync` for each group.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

use crate::bare::{Entry, Sink};

/// Space is set aside in steps of this size.
const AHEAD_BYTES: u64 = 64 << 20;

/// An append-only file of records, each behind its length and its CRC-32.
#[derive(Debug)]
pub(crate) struct FileLog {
    file: File,
    end: u64,
    allocated: u64,
    buffer: Vec<u8>,
}

impl FileLog {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = File::create_new(path)?;
        fallocate(&file, FallocateFlags::empty(), 0, AHEAD_BYTES)?;
        file.sync_all()?;
        Ok(Self { file, end: 0, allocated: AHEAD_BYTES, buffer: Vec::new() })
    }
}

impl Sink for FileLog {
    fn commit(&mut self, group: &[Entry]) -> io::Result<()> {
        self.buffer.clear();
        for Entry { bytes, .. } in group {
            let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            self.buffer.extend_from_slice(&len.to_le_bytes());
            self.buffer.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
            self.buffer.extend_from_slice(bytes);
        }
        let end = self.end + self.buffer.len() as u64;
        if end > self.allocated {
            fallocate(&self.file, FallocateFlags::empty(), self.allocated, AHEAD_BYTES)?;
            self.allocated += AHEAD_BYTES;
        }
        self.file.write_all_at(&self.buffer, self.end)?;
        self.file.sync_data()?;
        self.end = end;
        Ok(())
    }
}
