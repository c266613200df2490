//! What a rule may look at: everything that was read of a run at one moment.

use std::collections::{BTreeMap, BTreeSet};

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Fence, Head, Message, Record, RunKey, Seq, Timestamp};

use crate::diagnosis::evidence::WorkerFacts;
use crate::integrity::issue::{Issue, IssueKind};
use crate::run::event::{Event, EventError};
use crate::run::place::Place;
use crate::run::state::{FoldError, State};
use crate::run::waiting::{Child, Parent};

/// All that was read of a run at one moment: head, journal and inbox belong together.
#[derive(Debug)]
pub struct Sight<'a> {
    /// The head.
    pub head: &'a Head,
    /// What the journal tells.
    pub journal: Journal,
    /// The messages that wait, as far as they were read: see [`knows_mail`](Self::knows_mail).
    pub inbox: &'a [Message],
    /// The run that started it; `None` where none did, or where nobody looked.
    pub parent: Option<ParentSeen>,
    /// The runs that it started and of whose end it does not know.
    pub children: Vec<ChildSeen>,
    /// What it would do next, by a definition that fits it.
    pub ahead: Option<Ahead>,
    /// How long attempts may take, of those that run, in milliseconds.
    pub limits: BTreeMap<Place, u64>,
    /// When a schedule has to look again, by its times; the outer `None` for runs that are none.
    pub schedule: Option<Option<Timestamp>>,
    /// The runs that count for the limits of a queue, where it is the head of those.
    pub slots: Vec<SlotSeen>,
    /// The workers of the store; empty where nobody asked because nothing is late.
    pub workers: &'a [WorkerFacts],
    /// What could not be read of it besides its journal.
    pub unread: &'a [Unread],
    /// When it was read, by the store's clock.
    pub now: Timestamp,
    /// How late something may be before it is an issue, in milliseconds.
    pub patience_ms: u64,
}

impl Sight<'_> {
    /// An issue about something of this run.
    pub(crate) fn issue(&self, kind: IssueKind, about: impl Into<String>) -> Issue {
        Issue::new(kind, (&self.head.key, self.head.version), about)
    }

    /// The state, if the journal makes one.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.journal.state.as_ref().ok()
    }

    /// Whether something that was to be at `at` is late.
    #[must_use]
    pub fn is_late(&self, at: Timestamp) -> bool {
        at.plus_ms(self.patience_ms) < self.now
    }

    /// Since when a worker could have taken the run; `None` when none may.
    #[must_use]
    pub fn due_since(&self) -> Option<Timestamp> {
        let mail_since = self.mail_since();
        let is_due = self.head.is_due(mail_since.is_some(), self.now);
        let by_time = self.head.wake_at.filter(|at| *at <= self.now);
        // Whoever wrote the head last had it until then.
        by_time.into_iter().chain(mail_since).min().filter(|_| is_due).map(|at| at.max(self.head.updated_at))
    }

    /// Whether all of its messages were read: what is not among them is not there.
    #[must_use]
    pub fn knows_mail(&self) -> bool {
        self.inbox.len() < PAGE_ITEMS_MAX && !self.unread.iter().any(|unread| unread.what == INBOX)
    }

    /// Since when the oldest message waits.
    #[must_use]
    pub fn mail_since(&self) -> Option<Timestamp> {
        self.inbox.iter().map(|message| message.at).min()
    }
}

/// The messages that wait, as something that may not be readable.
pub const INBOX: &str = "inbox";

/// Something of a run that is damaged, besides its journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// What.
    pub what: &'static str,
    /// What the store or the form says of it.
    pub why: String,
}

/// What a journal tells.
#[derive(Debug)]
pub struct Journal {
    /// The state that it makes, or what keeps it from making one.
    pub state: Result<State, Fault>,
    /// How many records there are.
    pub records: u64,
    /// The highest fence that any takeover was given.
    pub fence: Fence,
    /// When the latest record was made.
    pub last_at: Timestamp,
    /// The children that it ever recorded as begun.
    pub begun: Vec<RunKey>,
    /// The issues that it tells of: which pass found each, and its fingerprint.
    pub issues: BTreeSet<(RunKey, String)>,
}

/// Why a journal makes no state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What sort of fault.
    pub sort: FaultSort,
    /// The record that it is about.
    pub seq: Seq,
    /// In words.
    pub why: String,
}

/// The sorts of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultSort {
    /// A record that does not read.
    Unreadable,
    /// A record that a newer version wrote.
    Newer,
    /// A record that is not there, or there twice.
    Gap,
    /// A record that contradicts those before it.
    Illegal,
}

impl Fault {
    fn of(error: &FoldError, seq: Seq) -> Self {
        let sort = match error {
            FoldError::Event(EventError::Unreadable { .. }) => FaultSort::Unreadable,
            FoldError::Event(EventError::Unknown { .. } | EventError::Newer { .. }) => FaultSort::Newer,
            FoldError::NoBeginning | FoldError::Gap { .. } => FaultSort::Gap,
            FoldError::Illegal { .. } => FaultSort::Illegal,
        };
        Self { sort, seq, why: error.to_string() }
    }
}

impl Default for Journal {
    fn default() -> Self {
        let fault = Fault::of(&FoldError::NoBeginning, Seq::FIRST);
        Self {
            state: Err(fault),
            records: 0,
            fence: Fence::default(),
            last_at: Timestamp(0),
            begun: Vec::new(),
            issues: BTreeSet::new(),
        }
    }
}

impl Journal {
    /// Takes in the next records, in order.
    pub(crate) fn add(&mut self, records: &[Record]) {
        for record in records {
            match &mut self.state {
                _ if self.records == 0 => {
                    self.state = State::fold([record]).map_err(|error| Fault::of(&error, record.seq));
                }
                Ok(state) => {
                    if let Err(error) = state.replay(record) {
                        let at =
                            if let FoldError::Gap { expected, .. } = error { expected } else { record.seq };
                        self.state = Err(Fault::of(&error, at));
                    }
                }
                Err(_) => {}
            }
            self.records += 1;
            self.last_at = record.at;
            match record.kind.as_str() {
                "run_taken" => {
                    if let Ok(Event::RunTaken(taken)) = Event::read(record) {
                        self.fence = self.fence.max(taken.fence);
                    }
                }
                "child_started" => {
                    if let Ok(Event::ChildStarted(started)) = Event::read(record) {
                        self.begun.push(started.run);
                    }
                }
                "issue_found" => {
                    if let Ok(Event::IssueFound(found)) = Event::read(record) {
                        self.issues.insert((found.pass, found.issue.fingerprint()));
                    }
                }
                _ => {}
            }
        }
    }
}

/// The run that started another one, as the other one's rules see it.
#[derive(Debug, Clone)]
pub struct ParentSeen {
    /// As the child names it.
    pub parent: Parent,
    /// Whether it is there.
    pub is_there: bool,
    /// Whether its journal ever recorded the child as begun; `None` when it cannot be read.
    pub has_begun_it: Option<bool>,
}

/// A run that a step started and of whose end it does not know, as the parent's rules see it.
#[derive(Debug, Clone)]
pub struct ChildSeen {
    /// The step.
    pub place: Place,
    /// The name that the step gave to it.
    pub part: String,
    /// As the parent knows it.
    pub child: Child,
    /// Whether the step waits for its end.
    pub is_awaited: bool,
    /// Its head; `None` when it is not there.
    pub head: Option<Head>,
    /// Who started it, by its own word; `None` when nobody did or when it cannot be read.
    pub parent: Option<Parent>,
    /// Whether its own word could be read.
    pub is_read: bool,
    /// Whether it has unread mail, which may ask it to cancel.
    pub has_mail: bool,
}

/// What a run would do next, by a definition that fits it.
#[derive(Debug, Clone, Default)]
pub struct Ahead {
    /// When there is something to do; `None` when only a message leads on.
    pub at: Option<Timestamp>,
    /// Of a run that succeeded: what its definition still wants of it, in words.
    pub undone: Option<String>,
}

/// A run that counts for the limits of a queue.
#[derive(Debug, Clone)]
pub struct SlotSeen {
    /// The run.
    pub holder: RunKey,
    /// Under which fence it counts.
    pub fence: Fence,
    /// Its head; `None` when it is not there.
    pub head: Option<Head>,
}
