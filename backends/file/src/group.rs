//! What goes into one write: the calls that were waiting, judged one after the other as if each were applied already.

use std::collections::HashMap;
use std::sync::Arc;

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{BackendError, Claim, Head, Judgement, RunKey, Seq, Timestamp, Verdict};
use tokio::sync::oneshot::Sender;

use crate::entry;
use crate::line;
use crate::request::Prepared;
use crate::run::{Change, Place, Run, SegmentId};
use crate::store::Store;

/// Lines for one write, what they change, and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) bytes: Vec<u8>,
    effects: Vec<Effect>,
    answers: Vec<Answer>,
    /// The heads as they are once the group is applied; `None` for runs that it removes.
    heads: HashMap<RunKey, Option<Arc<Head>>>,
    synced: u32,
    start: u32,
    segment: Option<SegmentId>,
    removes: bool,
}

/// A run's head as of the end of a group, and the run if it has to be brought into memory before it changes.
type Present = (Option<Arc<Head>>, Option<Arc<Run>>);

#[derive(Debug)]
enum Effect {
    /// A finished run comes into memory, unless it is there, to be changed.
    Adopt(Arc<Run>),
    Change(Change),
    /// Removed runs, and the length of the line that says so.
    Remove(Vec<RunKey>, u32),
}

/// A waiting caller with the answer it gets once the group is durable.
#[derive(Debug)]
enum Answer {
    Commit(Sender<Result<Vec<Verdict>, BackendError>>, Vec<Verdict>),
    Claim(Sender<Result<Vec<Head>, BackendError>>, Vec<Head>),
    Remove(Sender<Result<usize, BackendError>>, usize),
}

impl Group {
    /// Empties it for the next write, which begins at `start` of the segment.
    pub(crate) fn begin(&mut self, segment: SegmentId, start: u32, synced: u32) {
        self.bytes.clear();
        self.effects.clear();
        self.answers.clear();
        self.heads.clear();
        self.removes = false;
        (self.segment, self.start, self.synced) = (Some(segment), start, synced);
    }

    /// Whether it removes runs.
    pub(crate) fn removes(&self) -> bool {
        self.removes
    }

    /// Whether nothing in it changes a head: only then does the index of due runs agree with it.
    pub(crate) fn is_without_effect(&self) -> bool {
        self.effects.is_empty()
    }

    /// Takes in a commit. A call that cannot be answered is answered with its error at once and leaves nothing.
    pub(crate) fn commit(
        &mut self,
        store: &Store,
        batches: Vec<Prepared>,
        lines: &mut [u8],
        reply: Sender<Result<Vec<Verdict>, BackendError>>,
        now: Timestamp,
    ) {
        let (bytes, effects) = (self.bytes.len(), self.effects.len());
        let mut former = Vec::new();
        let mut verdicts = Vec::with_capacity(batches.len());
        for prepared in batches {
            match self.admit(store, prepared, lines, now, &mut former) {
                Ok(verdict) => verdicts.push(verdict),
                Err(error) => {
                    self.bytes.truncate(bytes);
                    self.effects.truncate(effects);
                    for (key, head) in former.into_iter().rev() {
                        match head {
                            Some(head) => self.heads.insert(key, head),
                            None => self.heads.remove(&key),
                        };
                    }
                    let _ = reply.send(Err(error));
                    return;
                }
            }
        }
        self.answers.push(Answer::Commit(reply, verdicts));
    }

    fn admit(
        &mut self,
        store: &Store,
        mut prepared: Prepared,
        lines: &mut [u8],
        now: Timestamp,
        former: &mut Vec<(RunKey, Option<Option<Arc<Head>>>)>,
    ) -> Result<Verdict, BackendError> {
        let key = prepared.batch.key.clone();
        let (current, stored) = self.head(store, &key)?;
        match prepared.batch.judge(current.as_deref())? {
            Judgement::Repeat => return Ok(Verdict::Accepted),
            Judgement::Reject(current) => return Ok(Verdict::Rejected { current }),
            Judgement::Apply => {}
        }
        self.effects.extend(stored.map(Effect::Adopt));
        // The lease runs from the write on, not from when the caller began to wait for it.
        let head = prepared.batch.head.take().map(|mut head| {
            if let Some(lease) = &mut head.lease {
                lease.expires_at = now.plus_ms(lease.ttl_ms);
            }
            Arc::new(head)
        });
        let next = head.as_ref().or(current.as_ref()).map_or(Seq::FIRST, |head| head.next_seq);
        let line = &mut lines[prepared.line];
        let place = self.push(line, prepared.first.unwrap_or(next), prepared.records);
        let has_mail = !prepared.post.is_empty() || !prepared.batch.take.is_empty();
        if let Some(head) = &head {
            former.push((key.clone(), self.heads.insert(key.clone(), Some(Arc::clone(head)))));
        }
        self.effects.push(Effect::Change(Change {
            key,
            head,
            post: prepared.post,
            take: prepared.batch.take,
            place: Place { has_mail, ..place },
        }));
        Ok(Verdict::Accepted)
    }

    /// The head as of the end of the group, and the run itself if it has to be brought into memory before it changes.
    fn head(&self, store: &Store, key: &RunKey) -> Result<Present, BackendError> {
        if let Some(head) = self.heads.get(key) {
            return Ok((head.clone(), None));
        }
        let Some(run) = store.find(key)? else { return Ok((None, None)) };
        let head = Arc::clone(&run.head);
        // One that is in memory now may have left it for the catalogue when the group is applied.
        let may_leave = head.status.is_finished();
        Ok((Some(head), may_leave.then_some(run)))
    }

    /// Takes in a claim of the heads that the index says are due. Nothing else may be in the group yet.
    pub(crate) fn claim(
        &mut self,
        store: &Store,
        claim: &Claim,
        reply: Sender<Result<Vec<Head>, BackendError>>,
        now: Timestamp,
    ) {
        let taken = store.state().index.claim(claim, now);
        for head in &taken {
            let mut line = Vec::with_capacity(768);
            entry::write_head(&mut line, head);
            let place = self.push(&mut line, head.next_seq, 0);
            let head = Arc::new(head.clone());
            self.heads.insert(head.key.clone(), Some(Arc::clone(&head)));
            self.effects.push(Effect::Change(Change {
                key: head.key.clone(),
                head: Some(head),
                post: Vec::new(),
                take: Vec::new(),
                place,
            }));
        }
        self.answers.push(Answer::Claim(reply, taken));
    }

    /// Takes in a removal of those of the runs that are finished.
    pub(crate) fn remove(
        &mut self,
        store: &Store,
        keys: Vec<RunKey>,
        reply: Sender<Result<usize, BackendError>>,
    ) {
        let effects = self.effects.len();
        let mut gone = Vec::new();
        for key in keys {
            match self.head(store, &key) {
                Ok((Some(head), stored)) if head.status.is_finished() => {
                    self.effects.extend(stored.map(Effect::Adopt));
                    self.heads.insert(key.clone(), None);
                    gone.push(key);
                }
                Ok(_) => {}
                Err(error) => {
                    for key in gone {
                        self.heads.remove(&key);
                    }
                    self.effects.truncate(effects);
                    let _ = reply.send(Err(error));
                    return;
                }
            }
        }
        let removed = gone.len();
        self.removes |= removed > 0;
        for keys in gone.chunks(PAGE_ITEMS_MAX) {
            let mut line = Vec::new();
            entry::write_removal(&mut line, keys);
            let place = self.push(&mut line, Seq::FIRST, 0);
            self.effects.push(Effect::Remove(keys.to_vec(), place.len));
        }
        self.answers.push(Answer::Remove(reply, removed));
    }

    fn push(&mut self, line: &mut [u8], first: Seq, records: u16) -> Place {
        line::seal(line, self.synced);
        let offset = self.start as usize + self.bytes.len();
        self.bytes.extend_from_slice(line);
        Place {
            segment: self.segment.expect("`begin` comes first"),
            offset: u32::try_from(offset).expect("segments are far smaller than 4 GiB"),
            len: u32::try_from(line.len()).expect("lines are far smaller than 4 GiB"),
            first,
            records,
            has_mail: false,
        }
    }

    /// Shows the group to readers. It is durable.
    pub(crate) fn apply(&mut self, store: &Store) {
        let Some(id) = self.segment else { return };
        let mut state = store.state();
        let counts = state.segments.entry(id).or_default();
        counts.bytes += self.bytes.len() as u64;
        state.writes += 1;
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Adopt(run) => state.adopt(run),
                Effect::Change(change) => state.apply(change),
                Effect::Remove(keys, bytes) => {
                    for key in &keys {
                        state.remove(key);
                    }
                    state.segments.entry(id).or_default().removals += u64::from(bytes);
                }
            }
        }
        let end = self.start as usize + self.bytes.len();
        state.end.segment = id.number;
        state.end.offset = u32::try_from(end).expect("segments are far smaller than 4 GiB");
    }

    /// Gives every waiting caller its answer.
    pub(crate) fn answer(&mut self) {
        for answer in self.answers.drain(..) {
            // A caller that went away does not want its answer.
            match answer {
                Answer::Commit(reply, verdicts) => drop(reply.send(Ok(verdicts))),
                Answer::Claim(reply, heads) => drop(reply.send(Ok(heads))),
                Answer::Remove(reply, removed) => drop(reply.send(Ok(removed))),
            }
        }
    }

    /// Gives every waiting caller an error.
    pub(crate) fn fail(&mut self, error: impl Fn() -> BackendError) {
        for answer in self.answers.drain(..) {
            match answer {
                Answer::Commit(reply, _) => drop(reply.send(Err(error()))),
                Answer::Claim(reply, _) => drop(reply.send(Err(error()))),
                Answer::Remove(reply, _) => drop(reply.send(Err(error()))),
            }
        }
    }
}
