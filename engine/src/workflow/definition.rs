//! A workflow: the definition that a builder makes.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stepwell_contract::{IdError, Name, Payload, WorkflowRef};

use crate::workflow::builder::WorkflowStart;
use crate::workflow::draft::Draft;
use crate::workflow::failure::{Failure, payload_of_panic};
use crate::workflow::graph::{Graph, StepIndex};
use crate::workflow::migrate::Migrations;
use crate::workflow::policy::{PolicyError, RunPolicy};
use crate::workflow::step::{ErasedStep, SharedStep, Undecodable};

/// Most items of a map that run at once.
pub const MAP_CONCURRENCY_MAX: u32 = 1_000;

/// A definition that can be registered: what a run does, by name, and the code of its steps.
///
/// `I` is its input, `O` its result.
pub struct Workflow<I, O> {
    pub(crate) definition: Definition,
    pub(crate) types: PhantomData<fn(I) -> O>,
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
        WorkflowStart::of(Draft::new(name.as_ref()))
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
    pub(crate) name: Name,
    pub(crate) version: u32,
    pub(crate) queue: Name,
    pub(crate) policy: RunPolicy,
    pub(crate) takes_over: Arc<BTreeSet<u32>>,
    pub(crate) migrations: Arc<Migrations>,
    pub(crate) graph: Arc<Graph>,
    pub(crate) steps: Arc<[SharedStep]>,
    pub(crate) fingerprint: String,
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

    /// The older versions whose runs it goes on with; see [`OnChange::Migrate`](crate::OnChange::Migrate).
    pub fn takes_over(&self) -> impl Iterator<Item = u32> {
        self.takes_over.iter().copied()
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

    /// What is known of a workflow that only other engines have.
    pub(crate) fn elsewhere(name: Name, version: u32, queue: Name) -> Self {
        let graph = Arc::default();
        let (policy, steps, fingerprint) = (RunPolicy::default(), Arc::new([]), String::new());
        let (takes_over, migrations) = Default::default();
        Self { name, version, queue, policy, takes_over, migrations, graph, steps, fingerprint }
    }

    pub(crate) fn reference(&self) -> WorkflowRef {
        WorkflowRef { name: self.name.clone(), version: self.version }
    }

    /// Whether no more is known of it than its name, version and queue.
    pub(crate) fn is_bare(&self) -> bool {
        self.graph.nodes.is_empty()
    }

    pub(crate) fn step(&self, index: StepIndex) -> &Arc<dyn ErasedStep> {
        &self.steps[index.0]
    }

    /// Whether a step can read an input; nothing of the step runs but how its input is decoded.
    pub(crate) fn check_input(&self, step: StepIndex, input: &Payload) -> Result<(), Undecodable> {
        // Decoding is code of the user too.
        let checked = catch_unwind(AssertUnwindSafe(|| self.step(step).check_input(input)));
        checked.unwrap_or_else(|panic| {
            let why = format!("decoding it panicked: {}", payload_of_panic(panic));
            Err(Undecodable { path: ".".to_owned(), why })
        })
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
    /// `wait_all` does not stand behind a `parallel` or `both`.
    #[error(
        "workflow {workflow}: `wait_all` applies to the `parallel` or `both` before it, and there is none"
    )]
    NothingToJoin {
        /// The workflow.
        workflow: String,
    },
    /// A compensation does not stand behind a step.
    #[error("workflow {workflow}: `compensate` says how the step before it is undone, and there is none")]
    NothingToUndo {
        /// The workflow.
        workflow: String,
    },
    /// A step whose output is recalled does not stand before that, outside maps and loops.
    #[error(
        "workflow {workflow}: there is no output of {step} to recall: it has to be a step that stands before, outside maps and loops"
    )]
    NothingToRecall {
        /// The workflow.
        workflow: String,
        /// The step.
        step: String,
    },
    /// Items were named and no map came after that.
    #[error(
        "workflow {workflow}: `name_items` names the items of the map that comes next, and there is none"
    )]
    NothingToName {
        /// The workflow.
        workflow: String,
    },
    /// A wait for one of several signals names fewer than two, or one of them twice.
    #[error(
        "workflow {workflow}: {step} needs at least two signals, each named once; `wait_for` waits for one"
    )]
    Signals {
        /// The workflow.
        workflow: String,
        /// The wait.
        step: String,
    },
    /// A choice has no arms, or two of the same word.
    #[error("workflow {workflow}: {step} needs at least one arm, each with a word of its own")]
    Arms {
        /// The workflow.
        workflow: String,
        /// The step that chooses.
        step: String,
    },
    /// A migration of stored values that nothing could use, or one that is missing between others.
    #[error("workflow {workflow}: {why}")]
    Migration {
        /// The workflow.
        workflow: String,
        /// What is wrong.
        why: String,
    },
    /// What it says of runs of older versions contradicts itself.
    #[error("workflow {workflow}: {why}")]
    Takeover {
        /// The workflow.
        workflow: String,
        /// What contradicts.
        why: &'static str,
    },
    /// A body gave back another builder than it was given.
    #[error("workflow {workflow}: a body must go on with the builder that it is given")]
    ForeignBody {
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
