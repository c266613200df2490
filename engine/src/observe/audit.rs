//! The audit log: everything that happened to a run, entry by entry, as people search it. A fold of the journal; there is no
//! second log.

mod table;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stepwell_contract::{Cursor, Kind, Name, Record, RunKey, Seq, TenantId, Timestamp};

use crate::observe::telling::{bounded, told};
use crate::run::actor::Actor;
use crate::run::event::{Event, EventError, LogLevel, Logged};
use crate::run::place::Place;

pub use crate::contract::Order;

/// Most entries of one page.
pub const PAGE_ENTRIES_MAX: usize = 1_000;
/// Most heads that one page of a search looks at.
pub const PAGE_HEADS_MAX: usize = 500;
/// Most records that one page of a search reads.
pub const PAGE_RECORDS_MAX: usize = 10_000;

/// What an entry is about. Each has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// The run came to be, was taken, given up, or ended.
    State,
    /// A step began, waits, or has its result; what steps log.
    Step,
    /// Somebody outside asked, told or changed something: a person, a program, another run.
    Operator,
    /// Something was saved beside results, or the store did not do what it was to do.
    Store,
    /// Data was refused: an input, a document, a value.
    Validation,
    /// Time: a limit ran out, something is slow, throttled or not taken in time.
    Performance,
    /// Something else failed.
    Error,
    /// What is recorded and what is there may differ: an effect in doubt, a record or value that is not read, code that no
    /// longer fits.
    Consistency,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 8] = [
        Self::State,
        Self::Step,
        Self::Operator,
        Self::Store,
        Self::Validation,
        Self::Performance,
        Self::Error,
        Self::Consistency,
    ];

    /// The word used in filters and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Step => "step",
            Self::Operator => "operator",
            Self::Store => "store",
            Self::Validation => "validation",
            Self::Performance => "performance",
            Self::Error => "error",
            Self::Consistency => "consistency",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// No category has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no category; there are state, step, operator, store, validation, performance, error and consistency"
)]
pub struct UnknownCategory(pub String);

impl FromStr for Category {
    type Err = UnknownCategory;

    fn from_str(word: &str) -> Result<Self, UnknownCategory> {
        let found = Self::ALL.into_iter().find(|category| category.as_str() == word);
        found.ok_or_else(|| UnknownCategory(word.to_owned()))
    }
}

/// One thing that happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The place of its record in the journal.
    pub seq: Seq,
    /// Which entry of its record, from 0: a record of log lines has one for each line.
    pub nth: u32,
    /// When it happened, by the clock of whoever wrote it.
    pub at: Timestamp,
    /// The kind of its record, such as `attempt_failed`; `logged` for a log line.
    pub kind: String,
    /// What it is about.
    pub category: Category,
    /// How much it matters.
    pub level: LogLevel,
    /// The step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Who did it; the engine, where nobody asked.
    pub actor: Actor,
    /// The code of the diagnosis, or else of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What happened, in a sentence, or what the line says: without secrets, and cut where it is long.
    pub text: String,
}

/// An entry with the run that it is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundEvent {
    /// The run.
    pub run: RunKey,
    /// Its workflow.
    pub workflow: Name,
    /// What happened.
    #[serde(flatten)]
    pub entry: AuditEntry,
}

/// Which entries are wanted: those that fit all that is set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventFilter {
    /// Of this run only.
    pub run: Option<RunKey>,
    /// Of runs of this tenant only.
    pub tenant: Option<TenantId>,
    /// Of runs of this workflow only.
    pub workflow: Option<Name>,
    /// Of records of this kind, such as `logged` for log lines.
    pub kind: Option<Kind>,
    /// About this step. A place that leaves items and rounds out, like `pack` for `pack[2]`, means all of them.
    pub place: Option<Place>,
    /// Of this attempt of its step.
    pub attempt: Option<u32>,
    /// Of one of these categories; empty for any.
    pub categories: Vec<Category>,
    /// Of this level or a higher one.
    pub level: Option<LogLevel>,
    /// With this code, such as `SW1203` or `io.not_found`.
    pub code: Option<String>,
    /// By this actor.
    pub actor: Option<Actor>,
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Whose text, kind, code or step has this in it, in capital or small letters. What was taken out of a text as a secret is
    /// not found.
    pub text: Option<String>,
    /// Runs by when they were made, and the entries of each by their place in its journal: the newest first, or the oldest.
    pub order: Order,
}

/// Where a page of a search begins: behind the last entry that was looked at. Stays right while runs go on and come and go;
/// use it with the filter that it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventCursor {
    /// The run that was looked at last.
    #[serde(flatten)]
    pub run: Cursor,
    /// How far in that run; nowhere when it was looked at to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
}

/// A place in a journal, with log lines told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// The record.
    pub seq: Seq,
    /// Which entry of it.
    pub nth: u32,
}

impl Mark {
    /// Whether what stands at this place comes behind `mark` in that order.
    #[must_use]
    pub fn is_behind(self, mark: Option<Self>, order: Order) -> bool {
        mark.is_none_or(|mark| match order {
            Order::Newest => self < mark,
            Order::Oldest => self > mark,
        })
    }
}

/// A page of a search. It may hold fewer entries than asked for, even none, and still have a next one.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// What was found, in the order of the filter.
    pub items: Vec<FoundEvent>,
    /// Where the next page begins; `None` behind the last.
    pub next: Option<EventCursor>,
}

/// What a record is about; one that cannot be read is an inconsistency.
#[must_use]
pub fn category_of(read: &Result<Event, EventError>) -> Category {
    read.as_ref().map_or(Category::Consistency, |event| table::sort_of(event).0)
}

/// What is known of an entry before its text is made.
struct Draft {
    nth: u32,
    at: Timestamp,
    category: Category,
    level: LogLevel,
    place: Option<Place>,
    attempt: Option<u32>,
    actor: Actor,
    code: Option<String>,
}

impl EventFilter {
    /// The entries of a record that fit, in the order in which they happened. A record that cannot be read is one too.
    #[must_use]
    pub fn entries(&self, record: &Record) -> Vec<AuditEntry> {
        // Before the record is read: most are of another kind where one is asked for.
        if self.kind.as_ref().is_some_and(|kind| *kind != record.kind) {
            return Vec::new();
        }
        match Event::read(record) {
            Ok(Event::Logged(logged)) => self.lines(record, &logged),
            Ok(event) => {
                let (category, level) = table::sort_of(&event);
                let draft = Draft {
                    nth: 0,
                    at: record.at,
                    category,
                    level,
                    place: event.place().cloned(),
                    attempt: table::attempt_of(&event),
                    actor: table::actor_of(&event).clone(),
                    code: table::code_of(&event).map(str::to_owned),
                };
                self.complete(record, draft, || told(&event)).into_iter().collect()
            }
            Err(error) => {
                let level = match &error {
                    EventError::Unknown { .. } | EventError::Newer { .. } => LogLevel::Warn,
                    EventError::Unreadable { .. } => LogLevel::Error,
                };
                let draft = Draft {
                    nth: 0,
                    at: record.at,
                    category: Category::Consistency,
                    level,
                    place: None,
                    attempt: None,
                    actor: Actor::Engine,
                    code: None,
                };
                self.complete(record, draft, || error.to_string()).into_iter().collect()
            }
        }
    }

    /// Each line is an entry, and that lines before them were dropped is one too.
    fn lines(&self, record: &Record, logged: &Logged) -> Vec<AuditEntry> {
        let line = |at, level, nth: usize| Draft {
            nth: u32::try_from(nth).unwrap_or(u32::MAX),
            at,
            category: Category::Step,
            level,
            place: Some(logged.place.clone()),
            attempt: Some(logged.attempt),
            actor: Actor::Engine,
            code: None,
        };
        let dropped = (logged.dropped > 0).then(|| {
            let text = || format!("{} lines before these were dropped", logged.dropped);
            self.complete(record, line(record.at, LogLevel::Warn, 0), text)
        });
        let lines = (1..).zip(&logged.lines);
        let lines = lines
            .map(|(nth, said)| self.complete(record, line(said.at, said.level, nth), || said.text.clone()));
        dropped.into_iter().chain(lines).flatten().collect()
    }

    fn complete(&self, record: &Record, draft: Draft, text: impl FnOnce() -> String) -> Option<AuditEntry> {
        let is_there = |wanted: &Place| {
            let place = draft.place.as_ref();
            place.is_some_and(|place| place.is_within(wanted))
        };
        let fits = (self.categories.is_empty() || self.categories.contains(&draft.category))
            && self.place.as_ref().is_none_or(is_there)
            && self.attempt.is_none_or(|attempt| draft.attempt == Some(attempt))
            && self.level.is_none_or(|least| draft.level >= least)
            && self.code.as_ref().is_none_or(|code| draft.code.as_ref() == Some(code))
            && self.actor.as_ref().is_none_or(|actor| draft.actor == *actor)
            && self.since.is_none_or(|since| draft.at >= since)
            && self.until.is_none_or(|until| draft.at < until);
        if !fits {
            return None;
        }
        let Draft { nth, at, category, level, place, attempt, actor, code } = draft;
        let (kind, text) = (record.kind.as_str().to_owned(), bounded(text()));
        let entry =
            AuditEntry { seq: record.seq, nth, at, kind, category, level, place, attempt, actor, code, text };
        self.text.as_ref().is_none_or(|sought| entry.says(sought)).then_some(entry)
    }
}

impl AuditEntry {
    /// Its place in the journal.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { seq: self.seq, nth: self.nth }
    }

    fn says(&self, sought: &str) -> bool {
        let sought = sought.to_lowercase();
        let place = self.place.as_ref().map(ToString::to_string).unwrap_or_default();
        [&self.text, &self.kind, self.code.as_deref().unwrap_or_default(), &place]
            .into_iter()
            .any(|text| text.to_lowercase().contains(&sought))
    }
}
