//! sled used in the way that suits it best: one value for each group, one flush, one `fdatasync` of its file.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::bare::{Entry, Sink};

/// A tree of groups by number.
#[derive(Debug)]
pub(crate) struct SledLog {
    db: sled::Db,
    file: File,
    next: u64,
    buffer: Vec<u8>,
}

impl SledLog {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        // Nothing is flushed but by us, as in the backend.
        let db = sled::Config::new().path(path).flush_every_ms(None).open()?;
        let file = File::open(path.join("db"))?;
        Ok(Self { db, file, next: 0, buffer: Vec::new() })
    }
}

impl Sink for SledLog {
    fn commit(&mut self, group: &[Entry]) -> io::Result<()> {
        self.buffer.clear();
        for Entry { bytes, .. } in group {
            let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            self.buffer.extend_from_slice(&len.to_le_bytes());
            self.buffer.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
            self.buffer.extend_from_slice(bytes);
        }
        self.db.insert(self.next.to_be_bytes(), self.buffer.as_slice())?;
        self.next += 1;
        self.db.flush()?;
        // sled's flush hands the bytes to the kernel and no further.
        self.file.sync_data()
    }
}
