//! A workflow: the typed builder, and the definition it makes.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stepwell_contract::{IdError, Name};

use crate::workflow::context::StepContext;
use crate::workflow::error::StepResult;
use crate::workflow::failure::Failure;
use crate::workflow::graph::{Graph, Node, StepIndex, StepSpec, Tolerance};
use crate::workflow::policy::{PolicyError, RunPolicy, StepPolicy, ms};
use crate::workflow::step::{Erased, ErasedStep, SharedStep, Step, StepFn};

/// Most items of a map that run at once.
pub const MAP_CONCURRENCY_MAX: u32 = 1_000;

/// A definition that can be registered: what a run does, by name, and the code of its steps.
///
/// `I` is its input, `O` its result.
pub struct Workflow<I, O> {
    definition: Definition,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> Workflow<I, O> {
    /// The definition with its types put aside.
    #[must_use]
    pub fn into_definition(self) -> Definition {
        self.definition
    }
}

impl Workflow<(), ()> {
    /// Begins a workflow of that name, version 1.
    pub fn named(name: impl AsRef<str>) -> WorkflowStart {
        WorkflowStart { draft: Draft::new(name.as_ref()) }
    }
}

impl<I, O> fmt::Debug for Workflow<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.definition.fmt(f)
    }
}

/// A workflow with its types put aside.
#[derive(Clone)]
pub struct Definition {
    name: Name,
    version: u32,
    queue: Name,
    policy: RunPolicy,
    graph: Arc<Graph>,
    steps: Arc<[SharedStep]>,
    fingerprint: String,
}

impl Definition {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The queue that its runs wait in.
    #[must_use]
    pub fn queue(&self) -> &Name {
        &self.queue
    }

    /// The limits of its runs, and of those steps that set none.
    #[must_use]
    pub fn policy(&self) -> &RunPolicy {
        &self.policy
    }

    /// What it consists of.
    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// A name for its shape; see [`Graph::fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(crate) fn step(&self, index: StepIndex) -> &Arc<dyn ErasedStep> {
        &self.steps[index.0]
    }

    /// The same definition with other code behind its steps.
    pub(crate) fn with_code(&self, code: impl Fn(&Name, &SharedStep) -> SharedStep) -> Self {
        let steps = self.graph.steps.iter().zip(self.steps.iter()).map(|(spec, step)| code(&spec.name, step));
        Self { steps: steps.collect(), ..self.clone() }
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definition")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("graph", &self.graph)
            .finish_non_exhaustive()
    }
}

/// Why a definition is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// A name is not one.
    #[error(transparent)]
    Name(#[from] IdError),
    /// Two steps have the same name: results are kept under names, so each needs its own.
    #[error(
        "workflow {workflow} has two steps named {step}: give one of them another name with `step_named`"
    )]
    DuplicateStep {
        /// The workflow.
        workflow: String,
        /// The name.
        step: Name,
    },
    /// There is no step.
    #[error("workflow {workflow} has no steps")]
    Empty {
        /// The workflow.
        workflow: String,
    },
    /// The limits of a step contradict each other.
    #[error("workflow {workflow}, {of}: {source}")]
    Policy {
        /// The workflow.
        workflow: String,
        /// Whose limits.
        of: String,
        /// What contradicts.
        source: PolicyError,
    },
    /// A map lets no item run, or more at once than one write can count.
    #[error("workflow {workflow}: map {step} needs a concurrency from 1 to {MAP_CONCURRENCY_MAX}")]
    Concurrency {
        /// The workflow.
        workflow: String,
        /// The map's step.
        step: String,
    },
    /// A policy was given before there was a step to take it.
    #[error("workflow {workflow}: `policy` applies to the step before it, and there is none")]
    PolicyBeforeStep {
        /// The workflow.
        workflow: String,
    },
}

/// The result of one item of a map that tolerates failures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemResult<T> {
    /// Its output.
    Ok(T),
    /// Why it has none.
    Failed(Failure),
}

/// A workflow of which only the name is known.
#[derive(Debug)]
#[must_use]
pub struct WorkflowStart {
    draft: Draft,
}

impl WorkflowStart {
    /// Sets the version. A worker takes only runs of versions that it has registered.
    pub fn version(mut self, version: u32) -> Self {
        self.draft.version = version;
        self
    }

    /// Sets the queue that its runs wait in; `default` if not set.
    pub fn queue(mut self, queue: impl AsRef<str>) -> Self {
        match Name::new(queue) {
            Ok(queue) => self.draft.queue = Some(queue),
            Err(error) => self.draft.refuse(error.into()),
        }
        self
    }

    /// Sets the limits of steps that set none themselves.
    pub fn step_policy(mut self, policy: StepPolicy) -> Self {
        self.draft.policy.step = policy;
        self
    }

    /// Sets the time from its creation after which a run fails.
    pub fn run_deadline(mut self, limit: Duration) -> Self {
        self.draft.policy.run_deadline_ms = Some(ms(limit));
        self
    }

    /// Sets the time from its creation after which a run that no worker has taken pauses.
    pub fn queue_wait(mut self, limit: Duration) -> Self {
        self.draft.policy.queue_wait_ms = Some(ms(limit));
        self
    }

    /// Names the type of the workflow's input; the first step's input says it too.
    pub fn input<I>(self) -> WorkflowBuilder<I, I> {
        WorkflowBuilder { draft: self.draft, types: PhantomData }
    }

    /// Begins with a step; see [`WorkflowBuilder::step`].
    pub fn step<S: Step>(self, step: S) -> WorkflowBuilder<S::Input, S::Output> {
        self.input::<S::Input>().step(step)
    }

    /// Begins with a closure; see [`WorkflowBuilder::step_fn`].
    pub fn step_fn<I, O, F, Fut>(self, name: impl AsRef<str>, run: F) -> WorkflowBuilder<I, O>
    where
        F: Fn(StepContext, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<O>> + Send + 'static,
        I: DeserializeOwned + Send + 'static,
        O: Serialize + Send + Sync + 'static,
    {
        self.input::<I>().step_fn(name, run)
    }

    /// Begins with several steps at once; see [`WorkflowBuilder::parallel`].
    pub fn parallel<I, B: Branches<I>>(self, branches: B) -> WorkflowBuilder<I, B::Output> {
        self.input::<I>().parallel(branches)
    }

    /// Begins with a map; see [`WorkflowBuilder::map`].
    pub fn map<S: Step>(self, step: S, concurrency: u32) -> WorkflowBuilder<Vec<S::Input>, Vec<S::Output>> {
        self.input::<Vec<S::Input>>().map(step, concurrency)
    }
}

/// A workflow under construction: it takes an `I`, and what is there so far gives a `C`.
#[must_use]
pub struct WorkflowBuilder<I, C> {
    draft: Draft,
    types: PhantomData<fn(I) -> C>,
}

impl<I, C> fmt::Debug for WorkflowBuilder<I, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.draft.fmt(f)
    }
}

impl<I, C> WorkflowBuilder<I, C> {
    /// Adds a step, which takes what is there so far.
    pub fn step<S: Step<Input = C>>(self, step: S) -> WorkflowBuilder<I, S::Output> {
        self.step_named(S::NAME, step)
    }

    /// Adds a step under another name than its own, so that a workflow can have it twice.
    pub fn step_named<S: Step<Input = C>>(
        mut self,
        name: impl AsRef<str>,
        step: S,
    ) -> WorkflowBuilder<I, S::Output> {
        let policy = step.policy();
        let index = self.draft.add(name.as_ref(), policy, Arc::new(Erased(step)));
        self.draft.nodes.push(Node::Step(index));
        self.then()
    }

    /// Adds a closure as a step. It gets the context by value.
    pub fn step_fn<O, F, Fut>(mut self, name: impl AsRef<str>, run: F) -> WorkflowBuilder<I, O>
    where
        F: Fn(StepContext, C) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<O>> + Send + 'static,
        C: DeserializeOwned + Send + 'static,
        O: Serialize + Send + Sync + 'static,
    {
        let index = self.draft.add(name.as_ref(), StepPolicy::default(), Arc::new(StepFn::new(run)));
        self.draft.nodes.push(Node::Step(index));
        self.then()
    }

    /// Adds several steps that all take what is there so far and run at the same time. What they give is joined to
    /// a tuple.
    pub fn parallel<B: Branches<C>>(mut self, branches: B) -> WorkflowBuilder<I, B::Output> {
        let added = branches.into_steps();
        let steps =
            added.into_iter().map(|branch| self.draft.add(branch.name, branch.policy, branch.step)).collect();
        self.draft.nodes.push(Node::Parallel(steps));
        self.then()
    }

    /// Sets the limits of the step before, in place of its own; after `parallel`, of all its steps.
    pub fn policy(mut self, policy: StepPolicy) -> Self {
        let steps = self.draft.nodes.last().map(|node| node.steps().to_vec()).unwrap_or_default();
        if steps.is_empty() {
            let workflow = self.draft.name.clone();
            self.draft.refuse(BuildError::PolicyBeforeStep { workflow });
        }
        for step in steps {
            self.draft.steps[step.0].0.policy = policy;
        }
        self
    }

    /// Makes the definition.
    ///
    /// # Errors
    /// [`BuildError`] says what is wrong with it and what to do.
    pub fn build(self) -> Result<Workflow<I, C>, BuildError> {
        Ok(Workflow { definition: self.draft.finish()?, types: PhantomData })
    }

    fn then<D>(self) -> WorkflowBuilder<I, D> {
        WorkflowBuilder { draft: self.draft, types: PhantomData }
    }
}

impl<I, T> WorkflowBuilder<I, Vec<T>> {
    /// Runs a step for each item of the list that is there so far, at most `concurrency` at once, and gives the list
    /// of their outputs in the order of the items. When an item fails for good no further ones are started.
    pub fn map<S: Step<Input = T>>(self, step: S, concurrency: u32) -> WorkflowBuilder<I, Vec<S::Output>> {
        self.add_map(step, concurrency, None)
    }

    /// Like [`map`](Self::map), but goes on when items fail, as many as `tolerance` allows, and gives what became of
    /// each.
    pub fn map_tolerant<S: Step<Input = T>>(
        self,
        step: S,
        concurrency: u32,
        tolerance: Tolerance,
    ) -> WorkflowBuilder<I, Vec<ItemResult<S::Output>>> {
        self.add_map(step, concurrency, Some(tolerance))
    }

    fn add_map<S: Step, D>(
        mut self,
        step: S,
        concurrency: u32,
        tolerance: Option<Tolerance>,
    ) -> WorkflowBuilder<I, D> {
        if !(1..=MAP_CONCURRENCY_MAX).contains(&concurrency) {
            let workflow = self.draft.name.clone();
            self.draft.refuse(BuildError::Concurrency { workflow, step: S::NAME.to_owned() });
        }
        let index = self.draft.add(S::NAME, step.policy(), Arc::new(Erased(step)));
        self.draft.nodes.push(Node::Map { step: index, concurrency, tolerance });
        self.then()
    }
}

/// Steps that run at the same time on the same input: a tuple of two to eight.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tuple of steps that all take `{Input}`",
    note = "`parallel` takes a tuple of two to eight steps whose `Input` is the `Output` of the step before"
)]
pub trait Branches<Input> {
    /// The tuple of their outputs.
    type Output;

    #[doc(hidden)]
    fn into_steps(self) -> Vec<Branch>;
}

/// A step of a `parallel` node: name, limits and code.
#[doc(hidden)]
pub struct Branch {
    name: &'static str,
    policy: StepPolicy,
    step: SharedStep,
}

impl fmt::Debug for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl Branch {
    fn new<S: Step>(step: S) -> Self {
        Self { name: S::NAME, policy: step.policy(), step: Arc::new(Erased(step)) }
    }
}

macro_rules! branches {
    ($($step:ident),+) => {
        impl<Input, $($step: Step<Input = Input>),+> Branches<Input> for ($($step,)+) {
            type Output = ($($step::Output,)+);

            fn into_steps(self) -> Vec<Branch> {
                #[allow(non_snake_case, reason = "one binding for each type")]
                let ($($step,)+) = self;
                vec![$(Branch::new($step)),+]
            }
        }
    };
}

branches!(A, B);
branches!(A, B, C);
branches!(A, B, C, D);
branches!(A, B, C, D, E);
branches!(A, B, C, D, E, F);
branches!(A, B, C, D, E, F, G);
branches!(A, B, C, D, E, F, G, H);

/// What a builder has collected; the first mistake is kept and told by `build`.
struct Draft {
    name: String,
    version: u32,
    queue: Option<Name>,
    policy: RunPolicy,
    steps: Vec<(StepSpec, SharedStep)>,
    nodes: Vec<Node>,
    refused: Option<BuildError>,
}

impl Draft {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: 1,
            queue: None,
            policy: RunPolicy::default(),
            steps: Vec::new(),
            nodes: Vec::new(),
            refused: None,
        }
    }

    fn refuse(&mut self, error: BuildError) {
        self.refused.get_or_insert(error);
    }

    fn add(&mut self, name: &str, policy: StepPolicy, step: SharedStep) -> StepIndex {
        let index = StepIndex(self.steps.len());
        let name = Name::new(name).unwrap_or_else(|error| {
            self.refuse(error.into());
            // Never seen: `build` returns the refusal.
            Name::new("refused").expect("a valid name")
        });
        if self.steps.iter().any(|(spec, _)| spec.name == name) {
            self.refuse(BuildError::DuplicateStep { workflow: self.name.clone(), step: name.clone() });
        }
        self.steps.push((StepSpec { name, policy }, step));
        index
    }

    fn finish(self) -> Result<Definition, BuildError> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        if self.nodes.is_empty() {
            return Err(BuildError::Empty { workflow: self.name });
        }
        let name = Name::new(&self.name)?;
        let refuse = |of: String| {
            let workflow = self.name.clone();
            move |source| BuildError::Policy { workflow, of, source }
        };
        for (spec, _) in &self.steps {
            spec.policy.check().map_err(refuse(format!("step {}", spec.name)))?;
        }
        self.policy.check().map_err(refuse("the workflow itself".to_owned()))?;
        let (steps, code): (Vec<_>, Vec<_>) = self.steps.into_iter().unzip();
        let graph = Graph { steps, nodes: self.nodes };
        let fingerprint = graph.fingerprint();
        let queue = match self.queue {
            Some(queue) => queue,
            None => Name::new("default")?,
        };
        Ok(Definition {
            name,
            version: self.version,
            queue,
            policy: self.policy,
            graph: Arc::new(graph),
            steps: code.into(),
            fingerprint,
        })
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<_> = self.steps.iter().map(|(spec, _)| &spec.name).collect();
        f.debug_struct("Workflow").field("name", &self.name).field("steps", &steps).finish_non_exhaustive()
    }
}
