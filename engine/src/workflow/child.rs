//! Runs that steps start: their children.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stepwell_contract::{IdError, Name, Payload, RunId, RunKey, Status};

use crate::exec::start::{self, StartRun};
use crate::exec::{family, requests};
use crate::run::actor::Actor;
use crate::run::event::ChildStarted;
use crate::run::place::Place;
use crate::run::request::{Ask, Verb};
use crate::run::waiting::{self, ChildEnd, OnClose, Parent, Waiting};
use crate::workflow::context::{StepContext, unread};
use crate::workflow::definition::{Definition, Workflow};
use crate::workflow::error::{StepError, StepResult};
use crate::workflow::finite;
use crate::workflow::step::{ErasedStep, RawError, Undecodable, decode};

/// How a child that the definition itself starts is named among those of its step.
pub(crate) const OF_NODE: &str = "run";

/// A run that a step is to start: of which workflow, and how. It takes an `I` and gives an `O`.
pub struct ChildRun<I, O> {
    pub(crate) plan: ChildPlan,
    types: PhantomData<fn(I) -> O>,
}

/// The same with its types put aside.
#[derive(Debug, Clone)]
pub(crate) struct ChildPlan {
    pub(crate) workflow: String,
    pub(crate) version: Option<u32>,
    /// What its starter knows of the workflow although it has not registered it.
    pub(crate) definition: Option<Definition>,
    pub(crate) id: Option<String>,
    pub(crate) queue: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) priority: i16,
    pub(crate) on_close: OnClose,
    pub(crate) without_result: bool,
}

impl ChildPlan {
    /// What is known of the workflow without asking the engine.
    pub(crate) fn known(&self) -> Result<Option<Definition>, IdError> {
        if self.definition.is_some() {
            return Ok(self.definition.clone());
        }
        let Some(version) = self.version else { return Ok(None) };
        let queue = Name::new(self.queue.as_deref().unwrap_or("default"))?;
        Ok(Some(Definition::elsewhere(Name::new(&self.workflow)?, version, queue)))
    }
}

impl<I, O> ChildRun<I, O> {
    /// A run of the newest version of a workflow, as [`StartRun::new`] finds it. One that no engine has told of needs a
    /// [`version`](Self::version), and goes into queue `default` unless a [`queue`](Self::queue) is named: which one its
    /// workflow has is not known here.
    #[must_use]
    pub fn named(workflow: &str) -> Self {
        let plan = ChildPlan {
            workflow: workflow.to_owned(),
            version: None,
            definition: None,
            id: None,
            queue: None,
            tags: BTreeMap::new(),
            priority: 0,
            on_close: OnClose::default(),
            without_result: false,
        };
        Self { plan, types: PhantomData }
    }

    /// A run of this workflow, whether this engine has it registered or only others have.
    #[must_use]
    pub fn of(workflow: &Workflow<I, O>) -> Self {
        let definition = workflow.definition.clone();
        let mut child = Self::named(definition.name().as_str()).version(definition.version());
        child.plan.definition = Some(definition);
        child
    }

    /// Picks a version of the workflow.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.plan.version = Some(version);
        self
    }

    /// Sets its id; if not set, it is made of those of the parent's run and step. Only one run can be the parent of it: a fork of
    /// the parent that begins the step anew finds it taken, and fails.
    #[must_use]
    pub fn id(mut self, run: impl Into<String>) -> Self {
        self.plan.id = Some(run.into());
        self
    }

    /// Puts it into another queue than its workflow's.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.plan.queue = Some(queue.into());
        self
    }

    /// Adds a tag, which runs can be listed by. At most 31; names that begin with `stepwell.` are the engine's own.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.plan.tags.insert(name.into(), value.into());
        self
    }

    /// Puts it before runs of a lower priority that wait with it. 0 if not set.
    #[must_use]
    pub fn priority(mut self, priority: i16) -> Self {
        self.plan.priority = priority;
        self
    }

    /// Only whether it has ended is wanted, not with which result, which may then be of any size.
    #[must_use]
    pub fn without_result(mut self) -> ChildRun<I, ()> {
        self.plan.without_result = true;
        ChildRun { plan: self.plan, types: PhantomData }
    }

    /// Says what becomes of it when its parent ends first: it is cancelled if nothing is said.
    #[must_use]
    pub fn on_close(mut self, on_close: OnClose) -> Self {
        self.plan.on_close = on_close;
        self
    }
}

impl<I, O> Clone for ChildRun<I, O> {
    fn clone(&self) -> Self {
        Self { plan: self.plan.clone(), types: PhantomData }
    }
}

impl<I, O> From<&Workflow<I, O>> for ChildRun<I, O> {
    fn from(workflow: &Workflow<I, O>) -> Self {
        Self::of(workflow)
    }
}

impl<I, O> fmt::Debug for ChildRun<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

/// A run that the step has started; it gives an `O`.
pub struct Child<O> {
    part: String,
    run: RunKey,
    types: PhantomData<fn() -> O>,
}

impl<O> Child<O> {
    /// The name that the step gave to it.
    #[must_use]
    pub fn part(&self) -> &str {
        &self.part
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> &RunKey {
        &self.run
    }

    /// Its result. While it has none, the attempt of this step ends with an early return, as with
    /// [`StepContext::wait`], and the step is run again once the child has ended.
    ///
    /// # Errors
    /// The early return; class `permanent` with code `child.failed` or `child.cancelled` when it ended without a result: a
    /// `retry` of this run retries the child where it failed, and a `retry` of the child lets this run go on. Class `bug` when
    /// its result is of another type.
    pub async fn result(&self, ctx: &StepContext) -> StepResult<O>
    where
        O: DeserializeOwned,
    {
        let output = output(ctx, &self.part, &self.run)?;
        decode(&output, &format!("result of run {}", self.run)).map_err(unread)
    }
}

impl<O> fmt::Debug for Child<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Child({:?}: {})", self.part, self.run)
    }
}

impl StepContext {
    /// Starts a run, the child of this step, under a name that no other child of the step has, for the tenant of this run.
    /// Once this returns it is there; a later attempt of the step finds the same one. When the parent ends first, the child is
    /// cancelled unless [`ChildRun::on_close`] says otherwise.
    ///
    /// ```
    /// # use stepwell::prelude::*;
    /// # use stepwell::ChildRun;
    /// # async fn demo(ctx: &StepContext) -> StepResult<()> {
    /// let first = ctx.start_child("first", ChildRun::named("ship"), &1u32).await?;
    /// let second = ctx.start_child("second", ChildRun::named("ship"), &2u32).await?;
    /// let (first, second): (String, String) = (first.result(ctx).await?, second.result(ctx).await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Class `config` when the workflow is not known or the context has no engine; `permanent` when another run has the id;
    /// `validation` when the input has no JSON form or is over the limit; `lost_worker` when this run was lost to another
    /// worker; what the store says.
    ///
    /// # Cancellation
    /// Dropping the future leaves the child recorded, started or not, or about to be: the next attempt finds or starts it.
    pub async fn start_child<I: Serialize, O>(
        &self,
        part: &str,
        child: impl Into<ChildRun<I, O>>,
        input: &I,
    ) -> StepResult<Child<O>> {
        let input = finite::encode(input).map_err(|error| StepError::validation(error.to_string()))?;
        let run = start(self, part, &child.into().plan, input).await?;
        Ok(Child { part: part.to_owned(), run, types: PhantomData })
    }
}

/// Longest name of a child or a wait in its step, in bytes.
const PART_BYTES_MAX: usize = 256;

/// Refuses a name that would not fit the records that carry it.
pub(crate) fn check_part(part: &str) -> StepResult<()> {
    match part.len() {
        1..=PART_BYTES_MAX => Ok(()),
        _ => Err(StepError::bug(format!(
            "a child or a wait in a step needs a name of 1 to {PART_BYTES_MAX} bytes, not {}",
            part.len()
        ))),
    }
}

/// The output of a child, or why there is none.
fn output(ctx: &StepContext, part: &str, run: &RunKey) -> StepResult<Payload> {
    match ctx.child(part).and_then(|child| child.ended) {
        Some(ChildEnd::Succeeded { output }) => Ok(output),
        Some(ChildEnd::Failed { failure }) => {
            Err(StepError::permanent(format!("run {run} failed: {failure}")).code("child.failed"))
        }
        Some(ChildEnd::Cancelled) => {
            Err(StepError::permanent(format!("run {run} was cancelled")).code("child.cancelled"))
        }
        None => {
            let children = vec![part.to_owned()];
            Err(StepError::suspended(Waiting { part: part.to_owned(), children, ..Waiting::default() }))
        }
    }
}

/// Starts the child, or finds it as an earlier attempt has started it.
async fn start(ctx: &StepContext, part: &str, plan: &ChildPlan, input: Payload) -> StepResult<RunKey> {
    check_part(part)?;
    let core = ctx.engine()?;
    let (ctx, part, plan) = (ctx.clone(), part.to_owned(), plan.clone());
    core.apart(async move { begin(&ctx, &part, &plan, input).await }).await.map_err(refused)?
}

async fn begin(ctx: &StepContext, part: &str, plan: &ChildPlan, input: Payload) -> StepResult<RunKey> {
    let run = match ctx.child(part) {
        Some(child) if child.is_renewed => renew(ctx, part, plan, &child).await?,
        Some(child) if child.ended.is_some() || child.is_made => return Ok(child.run),
        Some(child) => child.run,
        None => record(ctx, part, plan, default_id(ctx, part)).await?,
    };
    let parent = Parent {
        run: ctx.key().clone(),
        place: ctx.place().clone(),
        part: part.to_owned(),
        without_result: plan.without_result,
        on_close: plan.on_close,
    };
    let how = StartRun::child(plan, &run, parent, input)?;
    let core = ctx.engine()?;
    let handle = start::start(&core, how).await.map_err(refused)?;
    if handle.is_new() {
        family::cancel_if_orphaned(&core, (ctx.key(), ctx.fencing_token()), &run, plan.on_close)
            .await
            .map_err(refused)?;
    } else {
        // It may have told already, a step that was set aside or has been tried again since.
        family::tell_again(&core, &run).await.map_err(refused)?;
    }
    ctx.has_made(part);
    Ok(run)
}

/// Lets a child go on that ended without a result, or begins another in its place. What it tells counts again once it is
/// recorded anew.
async fn renew(
    ctx: &StepContext,
    part: &str,
    plan: &ChildPlan,
    child: &waiting::Child,
) -> StepResult<RunKey> {
    let core = ctx.engine()?;
    let head = core.backend.head(&child.run).await.map_err(|error| refused(error.into()))?;
    let goes_on = match head.map(|head| head.status) {
        None => true,
        Some(Status::Cancelled) => false,
        Some(Status::Failed) => {
            let why = format!("its parent {} is tried again", ctx.key());
            let ask = Ask::new(Verb::Retry, Actor::Run(ctx.key().clone()), why);
            // What was undone cannot go on.
            let may = requests::dry_run(&core, &child.run, &ask).await.map_err(refused)?.is_allowed();
            if may {
                requests::ask(&core, &child.run, ask).await.map_err(refused)?;
            }
            may
        }
        Some(_) => {
            let state = requests::load_state(&core, &child.run).await.map_err(refused)?;
            if state.ending.is_some() || state.status == Status::Cancelling {
                return Err(StepError::transient(format!(
                    "run {} is about to end: wait for that",
                    child.run
                )));
            }
            true
        }
    };
    match goes_on {
        true => record_as(ctx, part, plan, child.run.run.as_str()).await,
        false => record_as(ctx, part, plan, &format!("{}.again", child.run.run)).await,
    }
}

/// Records the child before it is made: under the id that it was given, or else under this one.
async fn record(ctx: &StepContext, part: &str, plan: &ChildPlan, id: String) -> StepResult<RunKey> {
    record_as(ctx, part, plan, plan.id.as_deref().unwrap_or(&id)).await
}

async fn record_as(ctx: &StepContext, part: &str, plan: &ChildPlan, id: &str) -> StepResult<RunKey> {
    let run = RunId::new(id)
        .map_err(|error| StepError::config(format!("{error}: name the child with `ChildRun::id`")))?;
    let run = RunKey::new(ctx.tenant().clone(), run);
    let workflow = Name::new(&plan.workflow).map_err(|error| StepError::config(error.to_string()))?;
    ctx.write_child(ChildStarted {
        place: ctx.place().clone(),
        attempt: ctx.attempt(),
        part: part.to_owned(),
        run: run.clone(),
        workflow,
        on_close: plan.on_close,
        version: ctx.version(),
    })
    .await?;
    Ok(run)
}

/// `PARENT.STEP`, with the items and the part where there are any.
fn default_id(ctx: &StepContext, part: &str) -> String {
    let Place { step, item } = ctx.place();
    let mut id = format!("{}.{step}", ctx.run_id());
    for nth in item.numbers() {
        id.push_str(&format!(".{nth}"));
    }
    if part != OF_NODE {
        id.push('.');
        id.push_str(part);
    }
    // A step that was set aside and begun again begins its children again.
    if ctx.set_aside() > 0 {
        id.push_str(&format!(".{}", ctx.set_aside() + 1));
    }
    id
}

fn refused(error: crate::error::Error) -> StepError {
    use crate::error::Error;
    match &error {
        Error::Conflict { .. } => StepError::permanent(error.to_string()),
        Error::UnknownWorkflow { .. } | Error::Id(_) | Error::Options(_) => {
            StepError::config(error.to_string())
        }
        Error::Payload(_) => StepError::validation(error.to_string()),
        Error::ShuttingDown => StepError::cancelled(error.to_string()),
        _ => StepError::unavailable(error.to_string()).caused_by(error),
    }
}

/// The code of a node that is a child run: starts it, and gives what it gives.
pub(crate) struct ChildNode(pub(crate) ChildPlan);

#[async_trait]
impl ErasedStep for ChildNode {
    async fn run_raw(&self, ctx: &StepContext, input: &Payload) -> Result<Payload, RawError> {
        let run = start(ctx, OF_NODE, &self.0, input.clone()).await.map_err(RawError::Step)?;
        output(ctx, OF_NODE, &run).map_err(RawError::Step)
    }

    fn check_input(&self, _input: &Payload) -> Result<(), Undecodable> {
        Ok(())
    }
}

/// The code of a node that is left to someone outside.
pub(crate) struct Outside {
    pub(crate) within_ms: Option<u64>,
}

#[async_trait]
impl ErasedStep for Outside {
    async fn run_raw(&self, ctx: &StepContext, _input: &Payload) -> Result<Payload, RawError> {
        ctx.report_later(self.within_ms.map(std::time::Duration::from_millis)).map_err(RawError::Step)
    }

    fn check_input(&self, _input: &Payload) -> Result<(), Undecodable> {
        Ok(())
    }
}

/// What a context knows of the children of its step.
pub(crate) type Children = Arc<BTreeMap<String, waiting::Child>>;
