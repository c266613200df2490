//! Starting a run: idempotent by its id, and at once in this process when there is room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use stepwell_contract::limits::TAGS_MAX;
use stepwell_contract::{
    Batch, Clock, Fence, Head, IdError, Name, Payload, RunId, RunKey, Seq, Status, TenantId, Timestamp,
    Verdict, Version, WorkflowRef,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::Error;
use crate::exec::core::{Core, Registered};
use crate::exec::handle::RunHandle;
use crate::exec::heads;
use crate::exec::limits::keyed::{Once, Rule, start_once};
use crate::exec::limits::system;
use crate::exec::limits::tenants::Tenants;
use crate::exec::runner::{Left, Runner};
use crate::exec::slot::{Slot, WriteError};
use crate::exec::{outlines, posted, requests};
use crate::run::actor::Actor;
use crate::run::change::{Holdup, look_ahead};
use crate::run::event::{Event, RunCreated};
use crate::run::said::{OWN_TAGS, OWN_TAGS_MAX};
use crate::run::state::State;
use crate::run::summary::Summary;
use crate::run::waiting::Parent;
use crate::workflow::child::ChildPlan;
use crate::workflow::definition::Definition;
use crate::workflow::error::{StepError, StepResult};
use crate::workflow::finite;
use crate::workflow::step::VALUE_BYTES_MAX;

/// What a run is started with.
#[derive(Debug, Clone)]
#[must_use]
pub struct StartRun {
    workflow: String,
    version: Option<u32>,
    run: String,
    tenant: TenantId,
    input: Payload,
    tags: BTreeMap<Name, String>,
    priority: i16,
    queue: Option<Name>,
    actor: Actor,
    parent: Option<Parent>,
    /// The definition of a workflow that may be registered elsewhere only.
    known: Option<Definition>,
    limit_key: Option<Name>,
    begin: Begin,
    once: Option<Once>,
}

/// When a run begins at the earliest.
#[derive(Debug, Clone, Copy)]
enum Begin {
    Now,
    After(Duration),
    At(Timestamp),
}

impl StartRun {
    /// A run of the newest version of a workflow that the engine has registered, under an id. Where it has none, of one that other
    /// engines have told of ([`Engine::outlines`](crate::Engine::outlines)): the newest version that a worker has which is there,
    /// or else the one that was seen last. Such a run waits for a worker that has it.
    ///
    /// # Errors
    /// [`Error::Payload`] when the input has no JSON form, such as a number that is not finite, or is over the limit.
    pub fn new<I: Serialize + ?Sized>(workflow: &str, run: &str, input: &I) -> Result<Self, Error> {
        let input = finite::encode(input)?;
        let bytes = input.text().len();
        if bytes > VALUE_BYTES_MAX {
            return Err(stepwell_contract::PayloadError::TooLarge { bytes, limit: VALUE_BYTES_MAX }.into());
        }
        Ok(Self {
            workflow: workflow.to_owned(),
            version: None,
            run: run.to_owned(),
            tenant: TenantId::default(),
            input,
            tags: BTreeMap::new(),
            priority: 0,
            queue: None,
            actor: Actor::Program,
            parent: None,
            known: None,
            limit_key: None,
            begin: Begin::Now,
            once: None,
        })
    }

    /// The start of a child, which tells its parent how it ends.
    pub(crate) fn child(plan: &ChildPlan, run: &RunKey, parent: Parent, input: Payload) -> StepResult<Self> {
        let config = |error: IdError| StepError::config(error.to_string());
        let tags =
            plan.tags.iter().map(|(name, value)| Ok((Name::new(name).map_err(config)?, value.clone())));
        Ok(Self {
            workflow: plan.workflow.clone(),
            version: plan.version,
            run: run.run.to_string(),
            tenant: run.tenant.clone(),
            input,
            tags: tags.collect::<StepResult<_>>()?,
            priority: plan.priority,
            queue: plan.queue.as_ref().map(Name::new).transpose().map_err(config)?,
            actor: Actor::Run(parent.run.clone()),
            parent: Some(parent),
            known: plan.known().map_err(config)?,
            limit_key: None,
            begin: Begin::Now,
            once: None,
        })
    }

    /// Picks a version of the workflow: one that is registered here, or that other engines have told of.
    pub fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    /// Says whose run it is.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = tenant;
        self
    }

    /// Adds a tag, which runs can be listed by. At most 31; a name that begins with `stepwell.` is refused at the start.
    ///
    /// # Errors
    /// [`IdError`] when the tag's name is not one.
    pub fn tag(mut self, name: &str, value: impl Into<String>) -> Result<Self, IdError> {
        self.tags.insert(Name::new(name)?, value.into());
        Ok(self)
    }

    /// Puts it before runs of a lower priority that wait with it. 0 if not set.
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }

    /// Puts it into another queue than its workflow's.
    pub fn queue(mut self, queue: Name) -> Self {
        self.queue = Some(queue);
        self
    }

    /// Says what the limits of its queue count it by. Its tenant if not set.
    pub fn limit_key(mut self, key: Name) -> Self {
        self.limit_key = Some(key);
        self
    }

    /// It begins so long after it was started, at the earliest. What is said to it before is answered at once and does not
    /// begin it; the limits of its workflow on its time count from then on.
    pub fn delay(mut self, by: Duration) -> Self {
        self.begin = Begin::After(by);
        self
    }

    /// It begins at this time, at the earliest, as with [`delay`](Self::delay).
    pub fn not_before(mut self, at: Timestamp) -> Self {
        self.begin = Begin::At(at);
        self
    }

    /// Only if no run of the workflow that was started under this key is unfinished: otherwise the start returns that one,
    /// whatever its input. A run that failed counts as ended; one that is retried after that does not stand for its key
    /// any more. Of `singleton`, `dedup` and `debounce` the one set last counts.
    pub fn singleton(mut self, key: impl Into<String>) -> Self {
        self.once = Some(Once { key: key.into(), rule: Rule::Singleton });
        self
    }

    /// Only if no run of the workflow was made under this key within the `window` before: otherwise the start returns that
    /// one, whatever its input and wherever it is.
    pub fn dedup(mut self, key: impl Into<String>, window: Duration) -> Self {
        self.once = Some(Once { key: key.into(), rule: Rule::Dedup { window_ms: ms(window) } });
        self
    }

    /// Only the last of many starts in a row counts: it begins once there was no other under this key for as long as
    /// `quiet`, at the latest `max_wait` after the first. Until then each start gives the waiting run its input, which the
    /// run's history tells, and returns it. A start after the run has begun makes another one.
    pub fn debounce(mut self, key: impl Into<String>, quiet: Duration, max_wait: Duration) -> Self {
        let rule = Rule::Debounce { quiet_ms: ms(quiet), max_wait_ms: ms(max_wait) };
        self.once = Some(Once { key: key.into(), rule });
        self
    }

    /// When it begins at the earliest; `None` for at once.
    fn begins_at(&self, now: Timestamp) -> Option<Timestamp> {
        let asked = match self.begin {
            Begin::Now => None,
            Begin::After(by) => Some(now.plus_ms(ms(by))),
            Begin::At(at) => Some(at),
        };
        let quiet = match self.once {
            Some(Once { rule: Rule::Debounce { quiet_ms, max_wait_ms }, .. }) => {
                Some(now.plus_ms(quiet_ms.min(max_wait_ms)))
            }
            _ => None,
        };
        asked.max(quiet).filter(|at| *at > now)
    }

    /// Says who starts it.
    pub fn actor(mut self, actor: Actor) -> Self {
        self.actor = actor;
        self
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Starts a run, or finds the one that was started alike before.
pub(crate) async fn start(core: &Arc<Core>, start: StartRun) -> Result<RunHandle, Error> {
    if core.is_stopping() {
        return Err(Error::ShuttingDown);
    }
    let (registered, is_registered, key) = checked(core, &start).await?;
    Tenants::remember(core, &key.tenant);
    let now = core.time.now();
    let policy = registered.definition.policy();
    let not_before = start.begins_at(now);
    let counts_from = not_before.unwrap_or(now);
    let created = RunCreated {
        workflow: registered.definition.name().clone(),
        workflow_version: registered.definition.version(),
        fingerprint: registered.definition.fingerprint().to_owned(),
        input: start.input.clone(),
        actor: start.actor.clone(),
        parent: start.parent.clone(),
        deadline_at: policy.run_deadline_ms.map(|ms| counts_from.plus_ms(ms)),
        queue_until: policy.queue_wait_ms.map(|ms| counts_from.plus_ms(ms)),
        limits: registered.stated.clone(),
        limit_key: start.limit_key.clone(),
        not_before,
    };
    if is_registered {
        takes(&registered.definition, &created, now)?;
    }
    let head = first_head(&registered, key.clone(), &start, now);
    if let Some(once) = &start.once {
        let (found, made) = start_once(core, once, head, created, now).await?;
        if !made && found == key && !matches!(once.rule, Rule::Debounce { .. }) {
            same_as_before(core, &key, &start).await?;
        }
        return Ok(RunHandle::new(core, found, made));
    }
    // A run that has to ask before it begins is taken like one that comes from elsewhere.
    let has_to_wait = created.not_before.is_some() || core.limits.shut_gate(&head.queue).is_some();
    let is_ours = !has_to_wait && is_registered && core.is_working() && core.reads_queue(&head.queue);
    let made = match Arc::clone(&core.permits).try_acquire_owned() {
        Ok(permit) if is_ours => start_here(core, registered, head, created, permit, now).await?,
        _ => enqueue(core, head, created, now).await?,
    };
    if !made {
        same_as_before(core, &key, &start).await?;
    }
    Ok(RunHandle::new(core, key, made))
}

/// What a run is started of, whether this engine has its code, and the run's key, once all that can be said before it is written is
/// in order.
async fn checked(core: &Core, start: &StartRun) -> Result<(Arc<Registered>, bool, RunKey), Error> {
    let (registered, is_registered) = match find(core, start).await? {
        Found::Here(registered) => (registered, true),
        Found::Elsewhere(registered) => (registered, false),
    };
    let key = RunKey::new(start.tenant.clone(), RunId::new(&start.run)?);
    if system::is_own(&key) {
        return Err(Error::Options(format!(
            "tenant {} is the engine's own: start runs for another tenant",
            key.tenant
        )));
    }
    check_tags(&start.tags)?;
    Ok((registered, is_registered, key))
}

/// What a start would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartPreview {
    /// The workflow and the version that the run would be of.
    pub workflow: WorkflowRef,
    /// The queue that it would wait in.
    pub queue: Name,
    /// Whether this engine can run its steps; if not, it would wait for a worker that can.
    pub is_registered: bool,
    /// Whether the run is there, started alike before: nothing would happen.
    pub is_there: bool,
}

/// What [`start`] would do; nothing is written.
pub(crate) async fn dry_run(core: &Core, start: &StartRun) -> Result<StartPreview, Error> {
    let (registered, is_registered, key) = checked(core, start).await?;
    let is_there = core.backend.head(&key).await?.is_some();
    if is_there {
        same_as_before(core, &key, start).await?;
    }
    let definition = &registered.definition;
    Ok(StartPreview {
        workflow: definition.reference(),
        queue: start.queue.clone().unwrap_or_else(|| definition.queue().clone()),
        is_registered,
        is_there,
    })
}

/// Tags that the engine gives itself are nobody else's, and have room in every head.
fn check_tags(tags: &BTreeMap<Name, String>) -> Result<(), Error> {
    let first_own = Name::new(OWN_TAGS)?;
    if let Some((own, _)) =
        tags.range(first_own..).next().filter(|(tag, _)| tag.as_str().starts_with(OWN_TAGS))
    {
        return Err(Error::Options(format!(
            "tag {own}: names that begin with {OWN_TAGS:?} are the engine's own"
        )));
    }
    if tags.len() > TAGS_MAX - OWN_TAGS_MAX {
        let most = TAGS_MAX - OWN_TAGS_MAX;
        return Err(Error::Options(format!("{} tags: a run has at most {most}", tags.len())));
    }
    Ok(())
}

/// The head of a run that is not written yet and that nobody owns.
fn first_head(registered: &Registered, key: RunKey, start: &StartRun, now: Timestamp) -> Head {
    Head {
        key,
        version: Version { counter: 0, nonce: 0 },
        workflow: registered.definition.name().clone(),
        workflow_version: registered.definition.version(),
        queue: start.queue.clone().unwrap_or_else(|| registered.definition.queue().clone()),
        priority: start.priority,
        status: Status::Queued,
        wake_at: Some(now),
        lease: None,
        fence: Fence(0),
        next_seq: Seq::FIRST,
        created_at: now,
        updated_at: now,
        finished_at: None,
        tags: Arc::new(start.tags.clone()),
        summary: Payload::null(),
    }
}

/// Whether the first steps read the input; nothing of them runs but how it is decoded.
fn takes(definition: &Definition, created: &RunCreated, now: Timestamp) -> Result<(), Error> {
    let mut state = State::new(created.clone(), now);
    match look_ahead(definition, &mut state) {
        Err(Holdup::Unread(unread)) => {
            Err(Error::Input { workflow: definition.name().to_string(), why: unread.to_string() })
        }
        Ok(_) | Err(Holdup::Refused { .. } | Holdup::Misfit(_)) => Ok(()),
    }
}

/// Makes the run with this worker as its owner, the first attempts counted in the same write.
async fn start_here(
    core: &Arc<Core>,
    registered: Arc<Registered>,
    mut head: Head,
    created: RunCreated,
    permit: OwnedSemaphorePermit,
    now: Timestamp,
) -> Result<bool, Error> {
    if core.registry.slot(&head.key).is_some() {
        return Ok(false);
    }
    head.lease = Some(core.lease());
    head.fence = Fence(1);
    let key = head.key.clone();
    let first = Event::from(created.clone()).record(Seq::FIRST, now)?;
    let state = State::new(created, now);
    let slot = Arc::new(Slot::unborn(head, core.time.own_now()));
    let mut runner = Runner::create(core, registered, Arc::clone(&slot), state, first, permit)
        .map_err(|left| left.into_error(&key))?;
    // Driven from the first write on by a task of its own: whoever asked may go while it is written.
    let (tell, told) = oneshot::channel();
    let own_core = Arc::clone(core);
    let own_slot = Arc::clone(&slot);
    core.spawn(slot, async move {
        let begun = runner.begin().await;
        let answer = match &begun {
            Ok(_) => Ok(true),
            Err(Left::Write(WriteError::Lost)) => Ok(false),
            Err(Left::Write(WriteError::Store(error))) => Err(Arc::clone(error).into()),
            Err(error) => Err(Error::Internal(error.to_string())),
        };
        if let Ok(None) = &begun {
            // Before the answer: the keeper and whoever asks next have to find it.
            own_core.registry.add_slot(&own_slot);
        }
        // Whoever asked may have gone.
        let _ = tell.send(answer);
        match begun? {
            Some(outcome) => Ok(outcome),
            None => runner.drive().await,
        }
    });
    told.await.unwrap_or(Err(Error::ShuttingDown))
}

/// Makes the run for whichever worker is free first.
pub(crate) async fn enqueue(
    core: &Core,
    mut head: Head,
    created: RunCreated,
    now: Timestamp,
) -> Result<bool, Error> {
    let state = State::new(created.clone(), now);
    heads::follow(&mut head, &state, Summary::of(&state, (0, 0), None).payload()?, now);
    head.version = head.version.next(fastrand::u64(..));
    head.next_seq = state.last_seq.plus(1);
    let record = Event::from(created).record(Seq::FIRST, now)?;
    let verdict = core.committer.commit(Batch::create(head, vec![record])).await?;
    Ok(verdict == Verdict::Accepted)
}

/// Whether the run that is there was started with the same workflow and input.
async fn same_as_before(core: &Core, key: &RunKey, start: &StartRun) -> Result<(), Error> {
    let conflict = |what| Error::Conflict { key: key.clone(), what };
    let head = requests::head_of(core, key).await?;
    if head.workflow.as_str() != start.workflow {
        return Err(conflict("workflow"));
    }
    let first = core.backend.journal(key, Seq::FIRST, 1).await?;
    let first = first.first().ok_or_else(|| Error::NoSuchRun(key.clone()))?;
    let event =
        Event::read(first).map_err(|error| Error::Journal { key: key.clone(), source: error.into() })?;
    let Event::RunCreated(created) = event else { return Err(conflict("beginning")) };
    if created.parent != start.parent {
        return Err(conflict("parent"));
    }
    // The same value may be written in another order of its fields.
    let before: serde_json::Value = created.input.decode()?;
    let now: serde_json::Value = start.input.decode()?;
    if before == now { Ok(()) } else { Err(conflict("input")) }
}

/// The definition that a run is started by.
enum Found {
    /// This engine has it.
    Here(Arc<Registered>),
    /// Others have it: there is no code.
    Elsewhere(Arc<Registered>),
}

async fn find(core: &Core, start: &StartRun) -> Result<Found, Error> {
    if let Some(here) = find_here(core, start) {
        return Ok(Found::Here(here));
    }
    if let Some(known) = &start.known {
        let told = if known.is_bare() { outlines::of(core, &known.reference()).await? } else { None };
        let registered = told.map(|told| Arc::clone(&told.registered));
        return Ok(Found::Elsewhere(
            registered.unwrap_or_else(|| Arc::new(Registered::new(known.clone(), &core.options.step))),
        ));
    }
    // It may have been posted since this engine last looked.
    posted::learn(core).await?;
    match find_here(core, start) {
        Some(here) => Ok(Found::Here(here)),
        None => Ok(Found::Elsewhere(outlines::find(core, &start.workflow, start.version).await?)),
    }
}

fn find_here(core: &Core, start: &StartRun) -> Option<Arc<Registered>> {
    let definitions = core.definitions.all();
    let named = definitions.iter().filter(|(reference, _)| reference.name.as_str() == start.workflow);
    let wanted =
        named.filter(|(reference, _)| start.version.is_none_or(|version| version == reference.version));
    let newest = wanted.max_by_key(|(reference, _)| reference.version);
    newest.map(|(_, registered)| Arc::clone(registered))
}
