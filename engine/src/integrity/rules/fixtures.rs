//! A run to look at, made of events.

use std::collections::BTreeMap;
use std::sync::Arc;

use stepwell_contract::{
    Fence, Head, Message, Name, Payload, Record, RunId, RunKey, Seq, Status, TenantId, Timestamp, Version,
    WorkerId,
};

use crate::integrity::sight::{Journal, Sight};
use crate::run::actor::Actor;
use crate::run::event::{
    AttemptFailed, Event, ItemFailed, PauseReason, ReleaseReason, RunCreated, RunFailed, RunPaused,
    RunReleased, RunSucceeded, RunTaken, StepStarted, StepSucceeded, Then,
};
use crate::run::output::Shape;
use crate::run::place::Path;
use crate::run::state::State;
use crate::run::summary::{Summary, not_before};
use crate::run::waiting::{OnClose, Parent};
use crate::workflow::failure::Failure;

pub(super) const NOW: Timestamp = Timestamp(1_000_000);
pub(super) const PATIENCE_MS: u64 = 10_000;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(super) fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

pub(super) fn parent(run: &str) -> Parent {
    let place = "pack".parse().expect("a place");
    Parent { run: key(run), place, part: "part".to_owned(), without_result: false, on_close: OnClose::Cancel }
}

/// A run, its records and what waits for it.
pub(super) struct Fixture {
    pub(super) head: Head,
    pub(super) records: Vec<Record>,
    pub(super) inbox: Vec<Message>,
    pub(super) now: Timestamp,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let created = RunCreated {
            workflow: name("w"),
            workflow_version: 1,
            fingerprint: String::new(),
            input: Payload::null(),
            actor: Actor::Program,
            parent: None,
            deadline_at: None,
            queue_until: None,
            limits: BTreeMap::new(),
            limit_key: None,
            not_before: None,
        };
        let head = Head {
            key: key("r-1"),
            version: Version { counter: 1, nonce: 7 },
            workflow: name("w"),
            workflow_version: 1,
            queue: name("default"),
            priority: 0,
            status: Status::Queued,
            wake_at: Some(NOW),
            lease: None,
            fence: Fence(0),
            next_seq: Seq(2),
            created_at: NOW,
            updated_at: NOW,
            finished_at: None,
            tags: Arc::default(),
            summary: Payload::encode(&Summary::default()).expect("JSON"),
        };
        let mut fixture = Self { head, records: Vec::new(), inbox: Vec::new(), now: NOW };
        fixture.force(created.into());
        fixture
    }

    /// Adds an event that has to be legal.
    pub(super) fn add(&mut self, event: Event) {
        self.force(event);
        State::fold(&self.records).expect("legal");
    }

    /// Adds an event, legal or not.
    pub(super) fn force(&mut self, event: Event) {
        let seq = Seq::FIRST.plus(self.records.len());
        self.records.push(event.record(seq, NOW).expect("a record"));
        self.head.next_seq = seq.plus(1);
    }

    /// Makes the head say what the records say.
    pub(super) fn follow(&mut self) {
        let state = State::fold(&self.records).expect("legal");
        let head = &mut self.head;
        head.status = state.status;
        head.wake_at = if state.owner.is_some() { Some(NOW) } else { state.wake_at };
        head.wake_at = head.wake_at.map(|at| not_before(&state).map_or(at, |before| at.max(before)));
        head.finished_at = state.status.is_finished().then_some(NOW);
        let mut journal = Journal::default();
        journal.add(&self.records);
        head.fence = head.fence.max(journal.fence);
        head.summary = Payload::encode(&Summary::default().with_trouble_of(&state)).expect("JSON");
        head.next_seq = state.last_seq.plus(1);
    }

    pub(super) fn sight(&self) -> Sight<'_> {
        let mut journal = Journal::default();
        journal.add(&self.records);
        Sight {
            head: &self.head,
            journal,
            inbox: &self.inbox,
            parent: None,
            children: Vec::new(),
            ahead: None,
            limits: BTreeMap::new(),
            schedule: None,
            slots: Vec::new(),
            workers: &[],
            unread: &[],
            now: self.now,
            patience_ms: PATIENCE_MS,
        }
    }
}

pub(super) fn taken(fence: u64) -> Event {
    let worker = WorkerId::new("w-1").expect("an id");
    RunTaken { worker, fence: Fence(fence), lost: None, code_version: None }.into()
}

pub(super) fn started(place: &str, attempt: u32) -> Event {
    StepStarted { place: place.parse().expect("a place"), attempt }.into()
}

pub(super) fn succeeded(place: &str, attempt: u32) -> Event {
    let place = place.parse().expect("a place");
    StepSucceeded { place, attempt, output: Payload::null(), version: 1, elapsed_ms: 1 }.into()
}

fn failure() -> Failure {
    Failure::panic("no", None)
}

pub(super) fn failed_step(place: &str, attempt: u32) -> Event {
    let (place, failure) = (place.parse().expect("a place"), failure());
    let (limits, seen) = (serde_json::Value::Null, Box::default());
    AttemptFailed { place, attempt, failure, elapsed_ms: 1, then: Then::Never, limits, seen }.into()
}

pub(super) fn failed_item(map: &str, nth: u32) -> Event {
    let at = Some(format!("{map}[{nth}]").parse().expect("a place"));
    ItemFailed { map: name(map), item: Path::root().item(nth), at, failure: failure() }.into()
}

pub(super) fn released(wake_at: Timestamp) -> Event {
    RunReleased { wake_at: Some(wake_at), reason: ReleaseReason::Waiting }.into()
}

pub(super) fn released_for_good() -> Event {
    RunReleased { wake_at: None, reason: ReleaseReason::Waiting }.into()
}

pub(super) fn paused() -> Event {
    let (reason, actor, message) = (PauseReason::Requested, Actor::Program, "held".to_owned());
    RunPaused { reason, actor, message, place: None, failure: None, code: None }.into()
}

pub(super) fn failed() -> Event {
    RunFailed { place: None, failure: failure() }.into()
}

pub(super) fn ended() -> Event {
    RunSucceeded { result: Shape::Given }.into()
}
