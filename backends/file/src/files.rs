//! The segments' files, opened when they are read and kept open while they are among the last ones used.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Disk, DiskFile};
use crate::run::SegmentId;

/// So that a long journal does not use up the process's file descriptors.
const OPEN_MAX: usize = 64;

/// Segments open for reading.
#[derive(Debug)]
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    open: Mutex<VecDeque<(SegmentId, Arc<dyn DiskFile>)>>,
}

impl Files {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, open: Mutex::default() }
    }

    /// The segment's file.
    pub(crate) fn get(&self, id: SegmentId) -> io::Result<Arc<dyn DiskFile>> {
        let found = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let at = open.iter().position(|(present, _)| *present == id);
            at.and_then(|at| open.remove(at))
        };
        let file = match found {
            Some((_, file)) => file,
            None => self.disk.open(&id.file_name())?,
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(present, _)| *present != id);
        open.push_front((id, Arc::clone(&file)));
        open.truncate(OPEN_MAX);
        Ok(file)
    }

    /// Forgets a file that is going to be removed.
    pub(crate) fn forget(&self, id: SegmentId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|(present, _)| *present != id);
    }
}
