//! What one write changes, the condition on it, and the pure rule that decides.

use crate::error::{BackendError, Fault, FaultKind};
use crate::head::{Head, Version};
use crate::key::{MessageId, RunKey};
use crate::limits::{BATCH_BYTES_MAX, BATCH_ITEMS_MAX, SUMMARY_BYTES_MAX, TAG_BYTES_MAX, TAGS_MAX};
use crate::message::Message;
use crate::record::Record;
use crate::seeded::{Bug, is_planted};

/// The condition under which a batch is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// There is no such run.
    Absent,
    /// The run's head has exactly this version.
    At(Version),
    /// The run is there, whatever its version. Such a batch can only post messages.
    Exists,
}

/// A change to one run, applied whole or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The run.
    pub key: RunKey,
    /// The condition.
    pub guard: Guard,
    /// The head after the change. Its version follows the guarded one.
    pub head: Option<Head>,
    /// Records to add to the journal, from the present head's `next_seq` on, without gap.
    pub append: Vec<Record>,
    /// Messages to put into the inbox; those whose id was seen before are left out.
    pub post: Vec<Message>,
    /// Messages to remove from the inbox; ids that are not there have no effect.
    pub take: Vec<MessageId>,
}

impl Batch {
    /// A batch that makes a run.
    #[must_use]
    pub fn create(head: Head, append: Vec<Record>) -> Self {
        let key = head.key.clone();
        Self { key, guard: Guard::Absent, head: Some(head), append, post: Vec::new(), take: Vec::new() }
    }

    /// A batch that replaces the head which has version `from`.
    #[must_use]
    pub fn replace(from: Version, head: Head, append: Vec<Record>) -> Self {
        let key = head.key.clone();
        Self { key, guard: Guard::At(from), head: Some(head), append, post: Vec::new(), take: Vec::new() }
    }

    /// A batch that posts one message to a run that is there.
    #[must_use]
    pub fn post(key: RunKey, message: Message) -> Self {
        Self {
            key,
            guard: Guard::Exists,
            head: None,
            append: Vec::new(),
            post: vec![message],
            take: Vec::new(),
        }
    }

    /// The version that the head has once the batch is applied; `None` when it writes no head.
    #[must_use]
    pub fn written_version(&self) -> Option<Version> {
        self.head.as_ref().map(|head| head.version)
    }

    /// Checks the shape and the sizes of the batch, without looking at a store.
    ///
    /// # Errors
    /// [`BackendError::Definite`] of kind [`FaultKind::TooLarge`] or [`FaultKind::Invalid`]: the caller has to
    /// change the batch; nothing was written.
    pub fn check(&self) -> Result<(), BackendError> {
        let invalid = |why: String| Err(BackendError::Definite(Fault::new(FaultKind::Invalid, why)));
        match (&self.guard, &self.head) {
            (Guard::Exists, Some(_)) => {
                return invalid(format!("batch for {}: guard `Exists` writes no head", self.key));
            }
            (Guard::Exists, None) if !self.append.is_empty() || !self.take.is_empty() => {
                return invalid(format!("batch for {}: guard `Exists` only posts", self.key));
            }
            (Guard::Absent | Guard::At(_), None) => {
                return invalid(format!("batch for {}: guards `Absent` and `At` write a head", self.key));
            }
            (Guard::Absent, Some(head)) if head.version.counter != 1 => {
                return invalid(format!("batch for {}: a new head has version 1", self.key));
            }
            (Guard::At(from), Some(head)) if Some(head.version.counter) != from.counter.checked_add(1) => {
                return invalid(format!(
                    "batch for {}: version {} does not follow {from}",
                    self.key, head.version
                ));
            }
            _ => {}
        }
        if let Some(head) = &self.head {
            if head.key != self.key {
                return invalid(format!("batch for {} carries the head of {}", self.key, head.key));
            }
            if let Some(last) = self.append.last()
                && last.seq.plus(1) != head.next_seq
            {
                return invalid(format!("batch for {}: next_seq does not follow the last record", self.key));
            }
        }
        if self.append.windows(2).any(|pair| pair[0].seq.plus(1) != pair[1].seq) {
            return invalid(format!("batch for {}: records are not in sequence", self.key));
        }
        self.check_sizes()
    }

    fn check_sizes(&self) -> Result<(), BackendError> {
        let large = |what: String| Err(BackendError::Definite(Fault::new(FaultKind::TooLarge, what)));
        if self.append.len().max(self.post.len()).max(self.take.len()) > BATCH_ITEMS_MAX {
            return large(format!("batch for {} has more than {BATCH_ITEMS_MAX} items of a sort", self.key));
        }
        let records = self.append.iter().map(|record| record.payload.text().len());
        let messages = self.post.iter().map(|message| message.payload.text().len());
        let bytes: usize = records.chain(messages).sum();
        if bytes > BATCH_BYTES_MAX {
            return large(format!(
                "batch for {} has {bytes} payload bytes; the limit is {BATCH_BYTES_MAX}",
                self.key
            ));
        }
        let Some(head) = &self.head else { return Ok(()) };
        if head.summary.text().len() > SUMMARY_BYTES_MAX {
            return large(format!("the summary of {} is over {SUMMARY_BYTES_MAX} bytes", self.key));
        }
        if head.tags.len() > TAGS_MAX || head.tags.values().any(|value| value.len() > TAG_BYTES_MAX) {
            return large(format!(
                "{} has over {TAGS_MAX} tags, or one over {TAG_BYTES_MAX} bytes",
                self.key
            ));
        }
        Ok(())
    }

    /// Decides the batch against the present head of its run. Every store decides alike.
    ///
    /// # Errors
    /// [`BackendError::Definite`] of kind [`FaultKind::Invalid`] when the guard holds and the batch still
    /// contradicts the head: a fault in the caller, never a race.
    pub fn judge(&self, current: Option<&Head>) -> Result<Judgement, BackendError> {
        let version = current.map(|head| head.version);
        // The same write again, after a reply that was lost: done already.
        if let (Some(written), Some(present)) = (self.written_version(), version)
            && written == present
        {
            return Ok(Judgement::Repeat);
        }
        let holds = match self.guard {
            Guard::Absent => version.is_none(),
            Guard::At(from) => {
                version == Some(from)
                    || (is_planted(Bug::NonceIgnored) && version.is_some_and(|at| at.counter == from.counter))
                    || (is_planted(Bug::VersionIgnored) && version.is_some())
            }
            Guard::Exists => version.is_some(),
        };
        if !holds {
            return Ok(Judgement::Reject(version));
        }
        if let Some(head) = &self.head {
            let next = current.map_or(crate::record::Seq::FIRST, |present| present.next_seq);
            let first = self.append.first().map_or(head.next_seq, |record| record.seq);
            if first != next {
                let why =
                    format!("batch for {} continues at record {first}, the journal at {next}", self.key);
                return Err(BackendError::Definite(Fault::new(FaultKind::Invalid, why)));
            }
            if current
                .is_some_and(|present| head.fence < present.fence || head.created_at != present.created_at)
            {
                let why = format!("batch for {} lowers the fence or moves created_at", self.key);
                return Err(BackendError::Definite(Fault::new(FaultKind::Invalid, why)));
            }
        }
        Ok(Judgement::Apply)
    }
}

/// What the present head says to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The guard holds: apply it.
    Apply,
    /// It is what wrote the present head: it was applied before.
    Repeat,
    /// The guard does not hold; here is the present version.
    Reject(Option<Version>),
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Applied, now or before, and durable.
    Accepted,
    /// Not applied: the guard did not hold. No trace of it is left.
    Rejected {
        /// The version of the present head; `None` when there is no such run.
        current: Option<Version>,
    },
}

impl Verdict {
    /// Whether the batch is applied.
    #[must_use]
    pub fn is_accepted(self) -> bool {
        self == Self::Accepted
    }
}
