//! What a running step knows and can do.

use std::any::{Any, TypeId, type_name};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stepwell_contract::{Clock, Fence, Name, Payload, RunId, RunKey, SystemClock, TenantId, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::exec::core::Core;
use crate::exec::runs::Runs;
use crate::lock::lock;
use crate::run::actor::Actor;
use crate::run::event::{
    Checkpointed, ChildStarted, ContextMerged, Event, IssueFound, LogLevel, LogLine, Memoised, Progress,
};
use crate::run::notes::within;
use crate::run::place::Place;
use crate::run::suspended::wait_key;
use crate::run::waiting::Child;
use crate::workflow::child::Children;
use crate::workflow::error::{StepError, StepResult};
use crate::workflow::failure::{Failure, Unread};
use crate::workflow::finite;
use crate::workflow::step::{Step, decode};
use crate::workflow::suspend::Woken;

/// Most log lines kept of one attempt between two writes; the oldest go first.
pub const LOG_LINES_MAX: usize = 200;
/// Longest log line kept, in bytes.
pub const LOG_LINE_BYTES_MAX: usize = 2 << 10;

const NO_ENGINE: &str = "this context has no engine, so there are no runs: in a test give it some with `StepContext::test().runs(…)`";

/// What a running step knows and can do. Clones are the same context.
#[derive(Clone)]
pub struct StepContext(Arc<Inner>);

struct Inner {
    key: RunKey,
    place: Place,
    attempt: u32,
    set_aside: u32,
    version: u32,
    fence: Fence,
    cancelled: CancellationToken,
    clock: Arc<dyn Clock>,
    outputs: Arc<Vec<(Name, Payload)>>,
    stale: Arc<BTreeMap<Name, String>>,
    cursor: Mutex<Option<Payload>>,
    memo: Mutex<Arc<BTreeMap<String, Payload>>>,
    children: Mutex<Children>,
    made: Mutex<Vec<String>>,
    run_context: Mutex<Arc<Value>>,
    resources: Resources,
    link: Option<mpsc::Sender<Ask>>,
    notes: Mutex<Notes>,
    beat_at: AtomicI64,
    board: Arc<Board>,
    engine: Option<Weak<Core>>,
}

/// How far the steps of a run say they are: the latest word, for whoever writes the head next.
#[derive(Debug, Default)]
pub(crate) struct Board {
    latest: Mutex<Option<(Place, Progress)>>,
    is_new: AtomicBool,
}

impl Board {
    fn put(&self, place: Place, progress: Progress) {
        *lock(&self.latest) = Some((place, progress));
        self.is_new.store(true, Ordering::Release);
    }

    /// Whether there is a word that [`read`](Self::read) has not given yet.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new.load(Ordering::Acquire)
    }

    /// The latest word.
    pub(crate) fn read(&self) -> Option<(Place, Progress)> {
        self.is_new.store(false, Ordering::Release);
        lock(&self.latest).clone()
    }

    /// The latest word of a step, which counts as not yet read.
    fn peek(&self, place: &Place) -> Option<Progress> {
        lock(&self.latest).as_ref().filter(|(of, _)| of == place).map(|(_, progress)| progress.clone())
    }

    /// Takes a step's word away once it has ended.
    pub(crate) fn clear(&self, place: &Place) {
        let mut latest = lock(&self.latest);
        if latest.as_ref().is_some_and(|(of, _)| of == place) {
            *latest = None;
        }
    }
}

/// What a step reports between its writes.
#[derive(Debug, Default)]
struct Notes {
    lines: VecDeque<LogLine>,
    dropped: u64,
}

/// An event that a step wants written before it goes on.
pub(crate) struct Ask {
    pub(crate) event: Event,
    pub(crate) reply: oneshot::Sender<Result<(), StepError>>,
}

/// What an attempt gets from its run.
pub(crate) struct Surroundings {
    pub(crate) key: RunKey,
    pub(crate) place: Place,
    pub(crate) attempt: u32,
    /// How many attempts were set aside before.
    pub(crate) set_aside: u32,
    /// The version of the form that its output has.
    pub(crate) version: u32,
    pub(crate) fence: Fence,
    pub(crate) cancelled: CancellationToken,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) outputs: Arc<Vec<(Name, Payload)>>,
    /// Steps whose stored outputs cannot be read, and why.
    pub(crate) stale: Arc<BTreeMap<Name, String>>,
    pub(crate) cursor: Option<Payload>,
    pub(crate) memo: Arc<BTreeMap<String, Payload>>,
    pub(crate) children: Children,
    pub(crate) run_context: Arc<Value>,
    pub(crate) resources: Resources,
    pub(crate) link: Option<mpsc::Sender<Ask>>,
    pub(crate) board: Arc<Board>,
    /// Not held: the engine holds the step.
    pub(crate) engine: Option<Weak<Core>>,
}

impl StepContext {
    pub(crate) fn new(around: Surroundings) -> Self {
        let beat_at = AtomicI64::new(around.clock.now().0);
        Self(Arc::new(Inner {
            key: around.key,
            place: around.place,
            attempt: around.attempt,
            set_aside: around.set_aside,
            version: around.version,
            made: Mutex::default(),
            fence: around.fence,
            cancelled: around.cancelled,
            clock: around.clock,
            outputs: around.outputs,
            stale: around.stale,
            cursor: Mutex::new(around.cursor),
            memo: Mutex::new(around.memo),
            children: Mutex::new(around.children),
            run_context: Mutex::new(around.run_context),
            resources: around.resources,
            link: around.link,
            notes: Mutex::default(),
            beat_at,
            board: around.board,
            engine: around.engine,
        }))
    }

    /// A context for calling a step from a test: attempt 1 of run `test`, with nothing behind it. What is written
    /// with [`once`](Self::once) and [`checkpoint`](Self::checkpoint) is kept in memory.
    #[must_use]
    pub fn for_test() -> Self {
        TestContext::default().build()
    }

    /// Like [`for_test`](Self::for_test), with resources, earlier outputs, a cursor or a later attempt.
    #[must_use]
    pub fn test() -> TestContext {
        TestContext::default()
    }

    /// The run.
    #[must_use]
    pub fn run_id(&self) -> &RunId {
        &self.0.key.run
    }

    /// Whose run it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.0.key.tenant
    }

    /// Which step this is, and which item of a map.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// Which attempt this is, from 1. It was counted, durably, before it began.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The same text for every attempt of this step of this run, and for no other step or run. Give it to whoever
    /// can drop repeated requests: then the effect happens once although the step may run more than once.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        self.0.place.idempotency_key(&self.0.key)
    }

    /// Grows with every new owner of the run. Give it to whoever can refuse smaller ones: then a worker that was
    /// taken for dead cannot overwrite what its successor did.
    #[must_use]
    pub fn fencing_token(&self) -> Fence {
        self.0.fence
    }

    /// Is cancelled when the step should stop: the run is cancelled or interrupted, or the worker shuts down; soon after,
    /// the future is dropped. When the step's time is over or the run was lost, the future is dropped at once, and this
    /// tells what the step has spawned.
    #[must_use]
    pub fn cancelled(&self) -> &CancellationToken {
        &self.0.cancelled
    }

    /// Is cancelled as soon as the worker begins to shut down, some time before [`cancelled`](Self::cancelled): a step that
    /// has come to a good place to stop, such as behind a checkpoint, can end there with
    /// [`StepError::cancelled`] and lose nothing; the next worker goes on with it at once. Cancelling it oneself stops
    /// nobody else.
    ///
    /// In a context made for a test it follows [`cancelled`](Self::cancelled).
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        let Some(engine) = &self.0.engine else { return self.0.cancelled.child_token() };
        match engine.upgrade() {
            Some(core) => core.stopping.child_token(),
            None => {
                let gone = CancellationToken::new();
                gone.cancel();
                gone
            }
        }
    }

    /// The runs of the engine that runs this step, to start others and to ask about them; those that it
    /// [starts](Runs::start) belong to the tenant of this run.
    ///
    /// # Errors
    /// Class `config` when there is no engine, in a context made for a test: give it one with [`TestContext::runs`].
    pub fn runs(&self) -> StepResult<Runs> {
        let engine = self.0.engine.clone().ok_or_else(|| StepError::config(NO_ENGINE))?;
        Ok(Runs::new(engine, self.0.key.tenant.clone()))
    }

    /// What was put into the engine with [`resource`](crate::EngineBuilder::resource).
    ///
    /// # Errors
    /// Class `config` when there is none of that type: add it where the engine is built.
    pub fn resource<T: Any + Send + Sync>(&self) -> StepResult<Arc<T>> {
        self.0.resources.get::<T>().ok_or_else(|| {
            StepError::config(format!(
                "the engine has no resource of type {}: add it with `.resource(…)` where the engine is built",
                type_name::<T>()
            ))
        })
    }

    /// The recorded output of an earlier step of this run.
    ///
    /// # Errors
    /// Class `bug` when that step has no recorded output (it comes later, or is in a map), or its output no longer
    /// decodes.
    pub fn output<S: Step>(&self) -> StepResult<S::Output> {
        self.output_of(S::NAME)
    }

    /// Like [`output`](Self::output), of a step that was added under this name, such as with `step_named` or `step_fn`.
    ///
    /// # Errors
    /// As for [`output`](Self::output); class `bug` also when the output is of another type.
    pub fn output_of<T: DeserializeOwned>(&self, step: &str) -> StepResult<T> {
        let found = self.0.outputs.iter().rev().find(|(name, _)| name.as_str() == step);
        let (name, payload) = found.ok_or_else(|| {
            StepError::bug(format!("step {step} has no recorded output before {}", self.0.place))
        })?;
        if let Some(why) = self.0.stale.get(name) {
            return Err(Unread(format!("output of step {step}: {why}")).into());
        }
        decode(payload, &format!("output of step {step}")).map_err(unread)
    }

    /// Runs a part of the step once: its result is written under `name`, and later attempts of the step get it
    /// without running the part.
    ///
    /// # Errors
    /// Those of the part; class `lost_worker` when the run was lost to another worker before the result was written;
    /// class `bug` when the stored result no longer decodes.
    ///
    /// # Cancellation
    /// Dropping the future leaves the part unwritten or written, like a crash.
    pub async fn once<T, F, Fut>(&self, name: &str, part: F) -> StepResult<T>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = StepResult<T>>,
    {
        let known = lock(&self.0.memo).get(name).cloned();
        if let Some(known) = known {
            let what = format!("result of part {name:?}");
            return decode(&known, &what).map_err(unread);
        }
        let value = part().await?;
        let payload =
            finite::encode(&value).map_err(|error| StepError::bug(format!("part {name:?}: {error}")))?;
        let event = Memoised {
            place: self.0.place.clone(),
            attempt: self.0.attempt,
            name: name.to_owned(),
            value: payload.clone(),
        };
        self.write(event.into()).await?;
        Arc::make_mut(&mut *lock(&self.0.memo)).insert(name.to_owned(), payload);
        Ok(value)
    }

    /// Saves where the step is, so that its next attempt can go on from there. Once this returns, the cursor is
    /// durable; a worker that has lost the run cannot save one.
    ///
    /// # Errors
    /// Class `lost_worker` when the run was lost to another worker; class `bug` when the cursor has no JSON form or
    /// is over the limit.
    pub async fn checkpoint<C: Serialize>(&self, cursor: &C, fraction: f64) -> StepResult<()> {
        let cursor = finite::encode(cursor).map_err(|error| StepError::bug(format!("cursor: {error}")))?;
        let progress = Progress::new(fraction, String::new());
        let event = Checkpointed {
            place: self.0.place.clone(),
            attempt: self.0.attempt,
            cursor: cursor.clone(),
            progress: Some(progress),
        };
        self.write(event.into()).await?;
        *lock(&self.0.cursor) = Some(cursor);
        Ok(())
    }

    /// The cursor that this or an earlier attempt saved last.
    ///
    /// # Errors
    /// Class `bug` when the stored cursor no longer decodes.
    pub fn cursor<C: DeserializeOwned>(&self) -> StepResult<Option<C>> {
        let cursor = lock(&self.0.cursor).clone();
        let decoded = cursor.map(|cursor| decode(&cursor, "cursor")).transpose();
        decoded.map_err(unread)
    }

    /// The document that all steps of the run share, as it was when this attempt began, with what it has merged since.
    ///
    /// # Errors
    /// Class `bug` when it is of another type. While nothing was merged it is `null`.
    pub fn run_context<T: DeserializeOwned>(&self) -> StepResult<T> {
        let document = Arc::clone(&lock(&self.0.run_context));
        serde_path_to_error::deserialize(&*document)
            .map_err(|error| StepError::bug(format!("run context at {}: {}", error.path(), error.inner())))
    }

    /// Changes the document that all steps of the run share: a JSON merge patch (RFC 7396), in which objects are merged deeply
    /// and `null` takes a field away. Once this returns the change is durable. Changes of steps that run at the same time
    /// are made one after the other.
    ///
    /// # Errors
    /// Class `bug` when the change is not an object or has no JSON form; `lost_worker` when the run was lost to another
    /// worker.
    pub async fn merge_run_context<T: Serialize>(&self, change: &T) -> StepResult<()> {
        let patch =
            finite::encode(change).map_err(|error| StepError::bug(format!("run context: {error}")))?;
        let change: Value = patch.decode().map_err(|error| StepError::bug(error.to_string()))?;
        if !change.is_object() {
            return Err(StepError::bug("a change of the run context has to be an object"));
        }
        let place = Some(self.0.place.clone());
        let event = ContextMerged { patch, place, actor: Actor::Engine, message: String::new() };
        self.write(event.into()).await?;
        json_patch::merge(Arc::make_mut(&mut lock(&self.0.run_context)), &change);
        Ok(())
    }

    /// Tells how far the step is, from 0 to 1. Cheap: it is written
    /// along with whatever is written next, at the latest after about a second. It also
    /// counts as a [`heartbeat`](Self::heartbeat).
    pub fn progress(&self, fraction: f64, note: impl Into<String>) {
        let progress = Progress::new(fraction, note);
        self.0.board.put(self.0.place.clone(), progress);
        self.heartbeat();
    }

    /// Tells that the step is alive, where its policy has a heartbeat timeout.
    pub fn heartbeat(&self) {
        self.0.beat_at.store(self.0.clock.now().0, Ordering::Relaxed);
    }

    /// Keeps a line with this attempt, in the run's journal. Control characters are replaced, and of a line of more than
    /// [`LOG_LINE_BYTES_MAX`] bytes only the beginning is kept.
    pub fn log(&self, level: LogLevel, text: impl Into<String>) {
        let text = within(text.into(), LOG_LINE_BYTES_MAX);
        let mut notes = lock(&self.0.notes);
        if notes.lines.len() == LOG_LINES_MAX {
            notes.lines.pop_front();
            notes.dropped += 1;
        }
        notes.lines.push_back(LogLine { at: self.0.clock.now(), level, text });
    }

    /// Keeps an ordinary line; see [`log`](Self::log).
    pub fn info(&self, text: impl Into<String>) {
        self.log(LogLevel::Info, text);
    }

    /// Keeps a line about something unusual; see [`log`](Self::log).
    pub fn warn(&self, text: impl Into<String>) {
        self.log(LogLevel::Warn, text);
    }

    pub(crate) fn key(&self) -> &RunKey {
        &self.0.key
    }

    pub(crate) fn set_aside(&self) -> u32 {
        self.0.set_aside
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(crate) fn memo(&self, name: &str) -> Option<Payload> {
        lock(&self.0.memo).get(name).cloned()
    }

    /// What is known of a child of the step.
    pub(crate) fn child(&self, part: &str) -> Option<Child> {
        lock(&self.0.children).get(part).cloned()
    }

    /// Records a child before it is made.
    pub(crate) async fn write_child(&self, started: ChildStarted) -> StepResult<()> {
        let (part, run) = (started.part.clone(), started.run.clone());
        let (on_close, version) = (started.on_close, started.version);
        self.write(started.into()).await?;
        let child = Child { run, on_close, ended: None, is_renewed: false, is_made: false, version };
        Arc::make_mut(&mut *lock(&self.0.children)).insert(part, child);
        Ok(())
    }

    /// Records what was found wrong with another run that cannot be told itself.
    pub(crate) async fn write_issue(&self, found: IssueFound) -> StepResult<()> {
        self.write(found.into()).await
    }

    /// Takes note that a child is there.
    pub(crate) fn has_made(&self, part: &str) {
        lock(&self.0.made).push(part.to_owned());
    }

    /// The children that this attempt has made.
    pub(crate) fn take_made(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0.made))
    }

    /// The version of the form that the step's output has.
    pub(crate) fn version(&self) -> u32 {
        self.0.version
    }

    /// The engine that runs the step.
    pub(crate) fn engine(&self) -> StepResult<Arc<Core>> {
        let engine = self.0.engine.as_ref().ok_or_else(|| StepError::config(NO_ENGINE))?;
        engine.upgrade().ok_or_else(|| StepError::cancelled("the engine is gone"))
    }

    pub(crate) fn last_beat(&self) -> Timestamp {
        Timestamp(self.0.beat_at.load(Ordering::Relaxed))
    }

    /// The cursor that was saved last, as stored.
    pub(crate) fn saved_cursor(&self) -> Option<Payload> {
        lock(&self.0.cursor).clone()
    }

    /// How far the step said it was last.
    pub(crate) fn last_progress(&self) -> Option<Progress> {
        self.0.board.peek(&self.0.place)
    }

    /// What was reported since the last call.
    pub(crate) fn take_lines(&self) -> (Vec<LogLine>, u64) {
        let mut notes = lock(&self.0.notes);
        (std::mem::take(&mut notes.lines).into(), std::mem::take(&mut notes.dropped))
    }

    async fn write(&self, event: Event) -> StepResult<()> {
        self.heartbeat();
        let Some(link) = &self.0.link else { return Ok(()) };
        let gone = || StepError::cancelled("the run has ended or was lost while the step ran");
        let (reply, answer) = oneshot::channel();
        link.send(Ask { event, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// What a step is told that cannot read what its run has stored.
pub(crate) fn unread(failure: Failure) -> StepError {
    Unread(failure.message).into()
}

impl fmt::Debug for StepContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepContext")
            .field("run", &self.0.key)
            .field("place", &self.0.place)
            .field("attempt", &self.0.attempt)
            .finish_non_exhaustive()
    }
}

/// Values shared by all steps of an engine, one of each type.
#[derive(Clone, Default)]
pub(crate) struct Resources(Arc<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Resources {
    pub(crate) fn put<T: Any + Send + Sync>(&mut self, value: Arc<T>) {
        Arc::make_mut(&mut self.0).insert(TypeId::of::<T>(), value);
    }

    /// Puts those in whose type is not there.
    pub(crate) fn put_missing(&mut self, others: &Self) {
        let resources = Arc::make_mut(&mut self.0);
        for (id, value) in others.0.iter() {
            resources.entry(*id).or_insert_with(|| Arc::clone(value));
        }
    }

    fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(self.0.get(&TypeId::of::<T>())?).downcast().ok()
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resources({})", self.0.len())
    }
}

/// A context for tests, with what it should hold.
#[derive(Debug, Default)]
pub struct TestContext {
    attempt: Option<u32>,
    cursor: Option<Payload>,
    outputs: Vec<(Name, Payload)>,
    memo: BTreeMap<String, Payload>,
    run_context: Value,
    resources: Resources,
    engine: Option<Weak<Core>>,
}

impl TestContext {
    /// Adds a resource.
    #[must_use]
    pub fn resource<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.resources.put(Arc::new(value));
        self
    }

    /// Lets the step reach these runs with [`StepContext::runs`].
    #[must_use]
    pub fn runs(mut self, runs: &Runs) -> Self {
        self.engine = Some(runs.core().clone());
        self
    }

    /// Makes it an attempt that has waited: the wait of this name was ended so.
    ///
    /// # Panics
    /// When what a signal says has no JSON form.
    #[must_use]
    pub fn woken(mut self, part: &str, by: &Woken) -> Self {
        let answer = match by {
            Woken::Signal(heard) => Payload::encode(heard),
            Woken::Child(child) => Payload::encode(&serde_json::json!({ "child": child })),
            Woken::Time => Ok(Payload::null()),
        };
        self.memo.insert(wait_key(part), answer.expect("JSON has a JSON form"));
        self
    }

    /// Sets the document that all steps of the run share.
    #[must_use]
    pub fn run_context(mut self, document: Value) -> Self {
        self.run_context = document;
        self
    }

    /// Makes it this attempt.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = Some(attempt);
        self
    }

    /// Adds the output of an earlier step.
    ///
    /// # Panics
    /// When the output has no JSON form: it could not have been recorded.
    #[must_use]
    pub fn output<S: Step>(self, output: &S::Output) -> Self {
        self.output_of(S::NAME, output)
    }

    /// Adds the output of an earlier step of this name.
    ///
    /// # Panics
    /// When the name is not one, or the output has no JSON form: it could not have been recorded.
    #[must_use]
    pub fn output_of<T: Serialize>(mut self, step: &str, output: &T) -> Self {
        let name = Name::new(step).expect("a step has a valid name");
        self.outputs.push((name, Payload::encode(output).expect("an output has a JSON form")));
        self
    }

    /// Sets the cursor that an earlier attempt saved.
    ///
    /// # Panics
    /// When the cursor has no JSON form: it could not have been saved.
    #[must_use]
    pub fn cursor<C: Serialize>(mut self, cursor: &C) -> Self {
        self.cursor = Some(Payload::encode(cursor).expect("a cursor has a JSON form"));
        self
    }

    /// The context.
    #[must_use]
    pub fn build(self) -> StepContext {
        let name = |text: &str| Name::new(text).expect("a valid name");
        StepContext::new(Surroundings {
            key: RunKey::new(TenantId::default(), RunId::new("test").expect("a valid id")),
            place: Place::of(name("test")),
            attempt: self.attempt.unwrap_or(1),
            set_aside: 0,
            version: 1,
            fence: Fence(1),
            cancelled: CancellationToken::new(),
            clock: Arc::new(SystemClock),
            outputs: Arc::new(self.outputs),
            stale: Arc::default(),
            cursor: self.cursor,
            memo: Arc::new(self.memo),
            children: Arc::default(),
            run_context: Arc::new(self.run_context),
            resources: self.resources,
            link: None,
            board: Arc::default(),
            engine: self.engine,
        })
    }
}
