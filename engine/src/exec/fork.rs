//! A new run that goes on from a step of another one.

use std::sync::Arc;

use serde::Serialize;
use stepwell_contract::{
    Batch, Clock, Fence, Head, Payload, Record, RunId, RunKey, Seq, Status, Timestamp, Verdict, Version,
    WorkflowRef,
};

use crate::error::Error;
use crate::exec::core::{Core, Registered};
use crate::exec::engine::value_of;
use crate::exec::handle::RunHandle;
use crate::exec::{heads, outlines, requests};
use crate::run::actor::Actor;
use crate::run::event::{Event, RunCreated, RunForked};
use crate::run::fit::misfits;
use crate::run::fork::copies;
use crate::run::place::Place;
use crate::run::preview::{Preview, compare, refusal};
use crate::run::state::State;
use crate::run::summary::Summary;

/// What a run is forked into.
#[derive(Debug, Clone)]
#[must_use]
pub struct ForkRun {
    run: String,
    place: Place,
    version: Option<u32>,
    input: Option<Payload>,
    actor: Actor,
    message: String,
    seen: Option<Seq>,
}

impl ForkRun {
    /// A new run under an id, in the tenant of the old one, that begins again at a step.
    pub fn new(run: &str, place: Place) -> Self {
        let (run, message) = (run.to_owned(), String::new());
        Self { run, place, version: None, input: None, actor: Actor::Program, message, seen: None }
    }

    /// Goes on with another version of the workflow, which has to fit what is copied. The old run's if not set.
    pub fn version(self, version: u32) -> Self {
        Self { version: Some(version), ..self }
    }

    /// Begins with another input; only where no result is copied.
    ///
    /// # Errors
    /// [`Error::Payload`] when the input has no JSON form or is over the limit.
    pub fn input<T: Serialize + ?Sized>(self, input: &T) -> Result<Self, Error> {
        Ok(Self { input: Some(value_of(input)?), ..self })
    }

    /// Only if the old run has recorded nothing after `seen`.
    pub fn if_unchanged_since(self, seen: Seq) -> Self {
        Self { seen: Some(seen), ..self }
    }

    /// Says who forks it.
    pub fn actor(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }

    /// Says why.
    pub fn message(self, message: &str) -> Self {
        Self { message: requests::reason(message.to_owned()), ..self }
    }
}

/// A fork that is worked out and not written.
struct Prepared {
    registered: Arc<Registered>,
    before: State,
    state: State,
    records: Vec<Record>,
}

/// Makes the run, or finds the one that was forked alike before.
pub(crate) async fn fork(core: &Arc<Core>, from: &RunKey, fork: ForkRun) -> Result<RunHandle, Error> {
    if core.is_stopping() {
        return Err(Error::ShuttingDown);
    }
    let old = requests::head_of(core, from).await?;
    let key = RunKey::new(from.tenant.clone(), RunId::new(&fork.run)?);
    if let Some(handle) = forked_before(core, from, &key, &fork).await? {
        return Ok(handle);
    }
    let now = core.time.now();
    let Prepared { registered, state, records, .. } = prepare(core, &old, &fork, now).await?;
    let mut head = Head {
        key: key.clone(),
        version: Version { counter: 0, nonce: 0 }.next(fastrand::u64(..)),
        workflow_version: registered.definition.version(),
        status: Status::Queued,
        lease: None,
        fence: Fence(0),
        next_seq: state.last_seq.plus(1),
        created_at: now,
        updated_at: now,
        ..old
    };
    let summary = Summary::of(&state, (0, registered.definition.graph().nodes.len()), None);
    heads::follow(&mut head, &state, summary.payload()?, now);
    match core.committer.commit(Batch::create(head, records)).await? {
        Verdict::Accepted => Ok(RunHandle::new(core, key, true)),
        Verdict::Rejected { .. } => match forked_before(core, from, &key, &fork).await? {
            Some(handle) => Ok(handle),
            None => Err(Error::NoSuchRun(key)),
        },
    }
}

/// What the fork would do. Nothing is written.
pub(crate) async fn dry_run(core: &Arc<Core>, from: &RunKey, fork: &ForkRun) -> Result<Preview, Error> {
    let old = requests::head_of(core, from).await?;
    let key = RunKey::new(from.tenant.clone(), RunId::new(&fork.run)?);
    forked_before(core, from, &key, fork).await?;
    match prepare(core, &old, fork, core.time.now()).await {
        Ok(Prepared { registered, before, state, .. }) => {
            let known = (registered.definition.graph().as_ref(), &registered.limits[..]);
            Ok(compare(FORK, &before, &state, state.status, Some(known)))
        }
        Err(Error::Refused { why, status, .. }) => {
            Ok(refusal(FORK, status, why, Seq(old.next_seq.0.saturating_sub(1))))
        }
        Err(error) => Err(error),
    }
}

const FORK: &str = "fork";

async fn prepare(core: &Core, old: &Head, fork: &ForkRun, now: Timestamp) -> Result<Prepared, Error> {
    let refused = |why| Error::Refused { key: old.key.clone(), verb: FORK, status: old.status, why };
    let version = fork.version.unwrap_or(old.workflow_version);
    let wanted = WorkflowRef { name: old.workflow.clone(), version };
    let registered = match core.definitions.get(&wanted) {
        Some(here) => here,
        None => outlines::find(core, old.workflow.as_str(), Some(version)).await?,
    };
    let definition = &registered.definition;
    // What is copied is of this moment, whatever the old run does until it is written.
    let before = requests::load_state(core, &old.key).await?;
    if fork.seen.is_some_and(|seen| before.last_seq > seen) {
        return Err(Error::Changed { key: old.key.clone(), verb: FORK });
    }
    let copied = copies(definition.graph(), &before, &fork.place).map_err(refused)?;
    if fork.input.is_some() && !copied.is_empty() {
        let why = "results are copied that were made of the old input: fork from the first step";
        return Err(refused(why.to_owned()));
    }
    let created = RunCreated {
        workflow: old.workflow.clone(),
        workflow_version: version,
        fingerprint: definition.fingerprint().to_owned(),
        input: fork.input.clone().unwrap_or_else(|| before.created.input.clone()),
        actor: fork.actor.clone(),
        parent: None,
        deadline_at: definition.policy().run_deadline_ms.map(|ms| now.plus_ms(ms)),
        queue_until: None,
        limits: registered.stated.clone(),
        limit_key: before.created.limit_key.clone(),
        not_before: None,
    };
    let mut state = State::new(created.clone(), now);
    let origin = RunForked {
        run: old.key.clone(),
        seen: before.last_seq,
        from: fork.place.clone(),
        input_version: (fork.input.is_none() && before.input_version != version)
            .then_some(before.input_version),
        actor: fork.actor.clone(),
        message: fork.message.clone(),
    };
    let mut records = vec![Event::from(created).record(Seq::FIRST, now)?];
    for event in std::iter::once(Event::from(origin)).chain(copied) {
        state.apply(&event, now)?;
        records.push(event.record(state.last_seq, now)?);
    }
    if let Some(misfit) = misfits(definition.graph(), &state).first() {
        return Err(refused(misfit.to_string()));
    }
    Ok(Prepared { registered, before, state, records })
}

/// The run of that id if it was forked alike; `None` when there is none.
async fn forked_before(
    core: &Arc<Core>,
    from: &RunKey,
    key: &RunKey,
    fork: &ForkRun,
) -> Result<Option<RunHandle>, Error> {
    let beginning = core.backend.journal(key, Seq::FIRST, 2).await?;
    if beginning.is_empty() {
        return Ok(None);
    }
    let origin = beginning.get(1).map(Event::read);
    match origin {
        Some(Ok(Event::RunForked(origin))) if origin.run == *from && origin.from == fork.place => {
            Ok(Some(RunHandle::new(core, key.clone(), false)))
        }
        _ => Err(Error::Conflict { key: key.clone(), what: "beginning" }),
    }
}
