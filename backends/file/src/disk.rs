//! The few operations on files that the store needs, so that tests can put a disk that loses power in their place.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

mod real;
#[cfg(test)]
pub(crate) mod sim;

pub(crate) use real::{RealDisk, open_file};

/// A store's folder. Names are relative to it: `store.json`, `journal/00000001.jsonl`.
pub(crate) trait Disk: Debug + Send + Sync + 'static {
    /// The names in the journal's folder.
    fn list_journal(&self) -> io::Result<Vec<String>>;
    /// Makes a file that is not there yet.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that is there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name within its folder, in place of a file of that name. Durable after [`Disk::sync_folder`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the names in the folder that holds `name` durable.
    fn sync_folder(&self, name: &str) -> io::Result<()>;
    /// Opens the index, or makes an empty one.
    fn open_index(&self, name: &str, settings: &redb::Builder)
    -> Result<redb::Database, redb::DatabaseError>;
    /// How people find the file.
    fn describe(&self, name: &str) -> String;
}

/// An open file.
pub(crate) trait DiskFile: Debug + Send + Sync + 'static {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Fills the buffer from `offset` on.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all bytes at `offset`. After an error any part of them may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes content and length durable. After an error nothing is known, and it must not be tried again.
    fn sync(&self) -> io::Result<()>;
    /// Cuts the file to `len` bytes and gives back the space behind.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Sets space aside behind the end without changing the length; has no effect where the file system cannot.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Drops what is cached of the file, so that the next read shows what is on the disk.
    fn forget_cache(&self) -> io::Result<()>;
}

/// The whole content of a file from `offset` on.
pub(crate) fn read_from(file: &dyn DiskFile, offset: u64) -> io::Result<Vec<u8>> {
    let rest = file.len()?.saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(rest).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}
