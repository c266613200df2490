//! A run that is watched: its head and its latest records.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use stepwell::contract::{Head, Record, RunKey, Seq, Version};
use stepwell::{Error, EventFilter};

use crate::app::App;
use crate::hub::{Hub, Looked, Seen, Topic, Topics, frame};
use crate::view::entry::Entry;
use crate::view::run::Run;

/// Records that are kept for those who watch; who wants older ones reads them.
const TAIL_MAX: usize = 512;
/// Records read at once.
const RECORDS_AT_ONCE: usize = 200;

/// A run as it was seen last.
#[derive(Debug)]
pub(crate) struct RunSeen {
    /// Which write of its head it was.
    pub(crate) version: Version,
    /// The event that tells its view.
    pub(crate) run: Bytes,
    /// Whether it has ended.
    pub(crate) is_finished: bool,
    /// The place behind its last record.
    pub(crate) next_seq: u64,
    /// Its latest records, the oldest first.
    pub(crate) tail: VecDeque<Arc<SeenRecord>>,
}

/// A record with the events that tell it.
#[derive(Debug)]
pub(crate) struct SeenRecord {
    pub(crate) seq: u64,
    /// One for each entry; empty when there is none.
    pub(crate) told: Bytes,
}

impl SeenRecord {
    fn of(record: &Record) -> Self {
        let (seq, entries) = (record.seq.0, EventFilter::default().entries(record));
        let count = entries.len();
        let frames = (1..).zip(entries).map(|(nth, entry)| {
            // Who has seen half of a record gets the whole of it again.
            frame::with_id("record", &Entry::of(entry), (nth == count).then_some(seq))
        });
        let frames: Vec<Bytes> = frames.collect();
        Self { seq, told: frame::joined(frames.iter()).unwrap_or_default() }
    }

    /// Some records of a run from a place on, with what they tell.
    pub(crate) async fn read(app: &App, key: &RunKey, from: u64) -> Result<Vec<Arc<Self>>, Error> {
        let records = app.engine().backend().journal(key, Seq(from), RECORDS_AT_ONCE).await?;
        Ok(records.iter().map(|record| Arc::new(Self::of(record))).collect())
    }
}

impl RunSeen {
    /// The place of the first record that is kept.
    pub(crate) fn tail_from(&self) -> u64 {
        self.tail.front().map_or(self.next_seq, |record| record.seq)
    }

    async fn read(app: &App, head: &Head, before: Seen<Self>) -> Result<Self, Error> {
        let next_seq = head.next_seq.0;
        let earliest = next_seq.saturating_sub(TAIL_MAX as u64).max(Seq::FIRST.0);
        // Under the id of a run that was removed another one may have begun.
        let kept = before.filter(|before| before.next_seq <= next_seq && before.next_seq >= earliest);
        let mut tail = kept.as_ref().map(|kept| kept.tail.clone()).unwrap_or_default();
        let mut from = kept.map_or(earliest, |kept| kept.next_seq);
        while from < next_seq {
            let records = SeenRecord::read(app, &head.key, from).await?;
            let Some(last) = records.last() else { break };
            from = last.seq + 1;
            tail.extend(records.into_iter().filter(|record| record.seq < next_seq));
        }
        tail.drain(..tail.len().saturating_sub(TAIL_MAX));
        Ok(Self {
            version: head.version,
            run: frame::event("run", &Run::of(head)),
            is_finished: head.status.is_finished(),
            next_seq,
            tail,
        })
    }
}

impl Topic for RunKey {
    type Seen = RunSeen;
    const EVERY: Duration = Duration::from_millis(250);

    fn topics(hub: &Hub) -> &Topics<Self, RunSeen> {
        &hub.runs
    }

    async fn look(&self, app: &App, before: Seen<RunSeen>) -> Result<Looked<RunSeen>, Error> {
        let Some(head) = app.engine().get(self).await? else { return Ok(Looked::Gone) };
        if before.as_ref().is_some_and(|before| before.version == head.version) {
            return Ok(Looked::Same);
        }
        Ok(Looked::New(RunSeen::read(app, &head, before).await?))
    }
}
