//! The one thread that writes: it takes whatever calls are waiting, writes their lines at once, syncs once, and only
//! then shows and answers them.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use stepwell_contract::seeded::{Bug, is_planted};
use stepwell_contract::{BackendError, Fault, FaultKind, Health};

use crate::entry;
use crate::fault::{fault, kind_of};
use crate::group::Group;
use crate::keeper::Task;
use crate::line;
use crate::opening::Tail;
use crate::request::Request;
use crate::rewrite;
use crate::run::SegmentId;
use crate::segment;
use crate::store::Store;

/// A group this long is written before more calls are taken in.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Space is set aside in steps from the first to the second of these, as the segment grows.
const AHEAD_BYTES: (u32, u32) = (256 << 10, 16 << 20);

/// The state of the writing thread.
#[derive(Debug)]
pub(crate) struct Writer {
    store: Arc<Store>,
    keeper: Sender<Task>,
    tail: Tail,
    /// Up to where space is set aside in the last segment.
    allocated: u32,
    group: Group,
    /// Why nothing may be written any more.
    poison: Option<String>,
    asked_keeper_at: u64,
    written_bytes: u64,
}

/// Why a write did not happen.
enum Refusal {
    /// It is as if it had not been tried.
    Definite(Fault),
    /// The files are not known any more.
    Poison(Fault),
}

impl Writer {
    pub(crate) fn new(store: Arc<Store>, keeper: Sender<Task>, tail: Tail) -> Self {
        let allocated = tail.end;
        let group = Group::default();
        Self { store, keeper, tail, allocated, group, poison: None, asked_keeper_at: 0, written_bytes: 0 }
    }

    /// Works until it is told to close, or nobody is left to tell it.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        let mut waiting = VecDeque::new();
        'open: while let Ok(request) = requests.recv() {
            waiting.push_back(request);
            waiting.extend(requests.try_iter());
            while let Some(request) = waiting.pop_front() {
                if matches!(request, Request::Close) {
                    break 'open;
                }
                waiting.push_front(request);
                self.write_next(&mut waiting);
            }
        }
        self.close();
    }

    /// Takes in calls from the front of the queue, as many as one write may carry, and writes them.
    fn write_next(&mut self, waiting: &mut VecDeque<Request>) {
        if let Some(why) = &self.poison {
            let error = || BackendError::Poisoned(Fault::new(FaultKind::Other, why.clone()));
            match waiting.pop_front() {
                Some(Request::Commit(_, _, reply)) => drop(reply.send(Err(error()))),
                Some(Request::Claim(_, reply)) => drop(reply.send(Err(error()))),
                Some(Request::Remove(_, reply)) => drop(reply.send(Err(error()))),
                Some(Request::Close) | None => {}
            }
            return;
        }
        let rotated = if self.tail.end >= self.store.options.segment_bytes { self.rotate() } else { Ok(()) };
        let now = self.store.clock.now();
        self.store.state().moved.clear();
        self.group.begin(self.tail.id, self.tail.end, self.tail.synced);
        while self.group.bytes.len() < GROUP_BYTES_MAX {
            match waiting.pop_front() {
                Some(Request::Commit(batches, mut lines, reply)) => {
                    self.group.commit(&self.store, batches, &mut lines, reply, now);
                }
                Some(Request::Claim(claim, reply)) if self.group.is_without_effect() => {
                    self.group.claim(&self.store, &claim, reply, now);
                }
                Some(Request::Remove(keys, reply)) => self.group.remove(&self.store, keys, reply),
                Some(other) => {
                    waiting.push_front(other);
                    break;
                }
                None => break,
            }
        }
        match rotated.and_then(|()| self.write()) {
            Ok(()) => {
                if !self.group.bytes.is_empty() {
                    // Durable before visible, visible before answered.
                    self.group.apply(&self.store);
                    self.store.written.notify_waiters();
                }
                self.group.answer();
                self.ask_keeper();
            }
            Err(Refusal::Definite(fault)) => {
                let (kind, message) = (fault.kind, fault.to_string());
                self.group.fail(|| BackendError::Definite(Fault::new(kind, message.clone())));
            }
            Err(Refusal::Poison(fault)) => {
                let (kind, message) = (fault.kind, fault.to_string());
                tracing::error!(error = %message, "the store takes no more writes until it is opened again");
                self.store.state().health = Health::Poisoned(message.clone());
                self.group.fail(|| BackendError::Poisoned(Fault::new(kind, message.clone())));
                self.poison = Some(message);
            }
        }
    }

    /// Makes the group durable.
    fn write(&mut self) -> Result<(), Refusal> {
        let bytes = self.group.bytes.len();
        if bytes == 0 {
            return Ok(());
        }
        let end = self.tail.end + u32::try_from(bytes).expect("a group is far smaller than 4 GiB");
        self.allocate(end).map_err(|error| Refusal::Poison(self.fault("set space aside", error)))?;
        if let Err(error) = self.tail.file.write_all_at(&self.group.bytes, self.tail.end.into()) {
            let is_full = kind_of(&error) == FaultKind::Full;
            let failure = self.fault("write", error);
            // Half a line may be there; a later line must never stand behind it.
            let cut = if is_full { self.tail.file.truncate(self.tail.end.into()) } else { Ok(()) };
            self.allocated = self.tail.end;
            return Err(match cut {
                Ok(()) if is_full => Refusal::Definite(failure),
                Ok(()) => Refusal::Poison(failure),
                Err(error) => Refusal::Poison(self.fault("cut back a write that failed", error)),
            });
        }
        if self.store.options.sync && !is_planted(Bug::AckBeforeSync) {
            // A failed sync is never tried again: the second one may succeed though the data is gone.
            let synced = self.tail.file.sync();
            let synced =
                if is_planted(Bug::SyncRetried) { synced.or_else(|_| self.tail.file.sync()) } else { synced };
            synced.map_err(|error| Refusal::Poison(self.fault("sync", error)))?;
            self.tail.synced = end;
        }
        self.tail.end = end;
        self.tail.is_closed = false;
        self.written_bytes += bytes as u64;
        Ok(())
    }

    /// What went wrong with the last segment.
    fn fault(&self, what: &str, error: io::Error) -> Fault {
        fault(&self.store.disk.describe(&self.tail.id.file_name()), what, error)
    }

    /// Sets space aside in large steps, so that a sync need not write the file's size and place each time.
    fn allocate(&mut self, end: u32) -> io::Result<()> {
        if end <= self.allocated {
            return Ok(());
        }
        let ahead = end.clamp(AHEAD_BYTES.0, AHEAD_BYTES.1).min(self.store.options.segment_bytes);
        let upto = end.saturating_add(ahead);
        let from = self.allocated.max(self.tail.end);
        match self.tail.file.allocate(from.into(), (upto - from).into()) {
            // The write itself will tell whether there is enough for it.
            Err(error) if kind_of(&error) == FaultKind::Full => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                self.allocated = upto;
                Ok(())
            }
        }
    }

    /// Begins the next segment. The one before it is on the disk to its end, and has no space set aside any more.
    fn rotate(&mut self) -> Result<(), Refusal> {
        let seal = self.tail.file.truncate(self.tail.end.into()).and_then(|()| self.tail.file.sync());
        seal.map_err(|error| Refusal::Poison(self.fault("sync", error)))?;
        self.tail.synced = self.tail.end;
        self.allocated = self.tail.end;
        let id = SegmentId::first(self.tail.id.number + 1);
        let place = self.store.disk.describe(&id.file_name());
        match segment::create(&*self.store.disk, self.store.id(), id) {
            Ok((file, end)) => {
                self.tail = Tail { id, file, end, synced: end, is_closed: false };
                self.allocated = end;
                self.store.state().segments.entry(id).or_default().bytes = end.into();
                Ok(())
            }
            Err(error) => {
                let is_full = kind_of(&error) == FaultKind::Full;
                let failure = fault(&place, "begin a segment", error);
                let removed = match self.store.disk.remove(&id.file_name()) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => false,
                    _ => self.store.disk.sync_folder(&id.file_name()).is_ok(),
                };
                Err(if is_full && removed { Refusal::Definite(failure) } else { Refusal::Poison(failure) })
            }
        }
    }

    /// Asks the keeper to tidy up when there is enough to do.
    fn ask_keeper(&mut self) {
        let options = &self.store.options;
        let is_long = self.written_bytes - self.asked_keeper_at >= options.replay_bytes_max;
        let mut state = self.store.state();
        let is_many = state.recent.len() >= options.recent_runs_max;
        let is_wasteful = self.group.removes()
            && rewrite::next(&state, state.end.segment, options.segment_bytes.into()).is_some();
        if (is_long || is_many || is_wasteful) && !state.keeper_asked {
            state.keeper_asked = true;
            self.asked_keeper_at = self.written_bytes;
            // It is there for as long as the writer is.
            let _ = self.keeper.send(Task::Tidy);
        }
    }

    /// Writes the last line, which says that all others are on the disk.
    fn close(mut self) {
        if self.poison.is_none() && !self.tail.is_closed {
            self.group.begin(self.tail.id, self.tail.end, self.tail.end);
            let synced = if self.store.options.sync { Ok(()) } else { self.tail.file.sync() };
            let mut line = Vec::new();
            entry::write_closed(&mut line, self.store.clock.now());
            line::seal(&mut line, self.tail.end);
            self.group.bytes = line;
            let written =
                synced.map_err(|error| Refusal::Poison(fault(&self.tail.id.file_name(), "sync", error)));
            match written.and_then(|()| self.write()) {
                Ok(()) => self.group.apply(&self.store),
                // Opening does without it: it then looks at the end of the journal as after a crash.
                Err(Refusal::Definite(fault) | Refusal::Poison(fault)) => {
                    tracing::warn!(error = %fault, "the journal could not be closed in an orderly way");
                }
            }
        }
        // Gives back the space set aside; what is there stays as it is.
        if self.poison.is_none()
            && let Err(error) = self.tail.file.truncate(self.tail.end.into())
        {
            tracing::warn!(%error, "space set aside for the journal could not be given back");
        }
        let _ = self.keeper.send(Task::Close);
    }
}
