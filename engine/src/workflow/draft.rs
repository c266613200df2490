//! What a builder has collected. The first mistake is kept and told at the end.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use stepwell_contract::Name;

use crate::workflow::builder::WorkflowBuilder;
use crate::workflow::definition::{BuildError, Definition};
use crate::workflow::graph::{Graph, Node, Sequence, StepIndex, StepSpec};
use crate::workflow::migrate::Migrations;
use crate::workflow::policy::{OnChange, RunPolicy, StepPolicy};
use crate::workflow::step::SharedStep;

/// What a builder has collected; the first mistake is kept and told by `build`.
pub(crate) struct Draft {
    /// Tells drafts from each other: a body must go on with the one it was given.
    id: u64,
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) queue: Option<Name>,
    pub(crate) policy: RunPolicy,
    /// The versions whose runs it takes over.
    pub(crate) takes_over: BTreeSet<u32>,
    pub(crate) migrations: Migrations,
    pub(crate) steps: Vec<(StepSpec, SharedStep)>,
    pub(crate) nodes: Vec<Node>,
    /// The step that names the items of the map that comes next.
    pub(crate) names: Option<StepIndex>,
    refused: Option<BuildError>,
}

impl Draft {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            id: fastrand::u64(..),
            name: name.to_owned(),
            version: 1,
            queue: None,
            policy: RunPolicy::default(),
            takes_over: BTreeSet::new(),
            migrations: Migrations::default(),
            steps: Vec::new(),
            nodes: Vec::new(),
            names: None,
            refused: None,
        }
    }

    pub(crate) fn refuse(&mut self, error: BuildError) {
        self.refused.get_or_insert(error);
    }

    pub(crate) fn add(&mut self, name: &str, policy: StepPolicy, step: SharedStep) -> StepIndex {
        let index = StepIndex(self.steps.len());
        let name = Name::new(name).unwrap_or_else(|error| {
            self.refuse(error.into());
            // Never seen: `build` returns the refusal.
            Name::new("refused").expect("a valid name")
        });
        if self.steps.iter().any(|(spec, _)| spec.name == name) {
            self.refuse(BuildError::DuplicateStep { workflow: self.name.clone(), step: name.clone() });
        }
        self.steps.push((StepSpec::new(name, policy), step));
        index
    }

    /// The text as a name; a text that is none is refused.
    pub(crate) fn name(&mut self, text: &str) -> Option<Name> {
        Name::new(text).map_err(|error| self.refuse(error.into())).ok()
    }

    /// Builds a sequence inside the present one.
    pub(crate) fn within<C, D>(
        mut self,
        body: impl FnOnce(WorkflowBuilder<C, C>) -> WorkflowBuilder<C, D>,
    ) -> (Self, Sequence) {
        let (id, name) = (self.id, self.name.clone());
        let outer = std::mem::take(&mut self.nodes);
        let mut draft = body(WorkflowBuilder { draft: self, types: PhantomData }).draft;
        if draft.id != id {
            draft.refuse(BuildError::ForeignBody { workflow: name });
        }
        let inner = std::mem::replace(&mut draft.nodes, outer);
        (draft, inner)
    }

    /// Adds the steps and nodes of another definition, its steps' names behind a prefix.
    pub(crate) fn include(&mut self, prefix: &str, definition: &Definition) {
        let offset = self.steps.len();
        for (spec, code) in definition.graph.steps.iter().zip(definition.steps.iter()) {
            // What it says for all its steps holds for them here too.
            let policy = spec.policy.or(definition.policy.step);
            let index = self.add(&format!("{prefix}{}", spec.name), policy, Arc::clone(code));
            self.steps[index.0].0.version = spec.version;
            self.steps[index.0].0.undo = spec.undo.map(|undo| StepIndex(undo.0 + offset));
        }
        self.migrations.include(&definition.migrations, |step| Name::new(format!("{prefix}{step}")).ok());
        self.nodes.extend(definition.graph.nodes.iter().map(|node| node.shifted(offset)));
    }

    pub(crate) fn finish(self) -> Result<Definition, BuildError> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        if self.names.is_some() {
            return Err(BuildError::NothingToName { workflow: self.name });
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
        self.check_takeover()?;
        let (steps, code): (Vec<StepSpec>, Vec<_>) = self.steps.into_iter().unzip();
        if let Some(step) = steps.iter().find(|step| step.version == 0) {
            let why = format!("{} has version 0: versions begin with 1", step.name);
            return Err(BuildError::Migration { workflow: self.name, why });
        }
        self.migrations.check(&self.name, self.version, &steps)?;
        let mut graph = Graph { steps, nodes: self.nodes };
        graph.measure();
        if let Some(step) = graph.recalled_from_within() {
            return Err(BuildError::NothingToRecall { workflow: self.name, step: step.to_string() });
        }
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
            takes_over: Arc::new(self.takes_over),
            migrations: Arc::new(self.migrations),
            graph: Arc::new(graph),
            steps: code.into(),
            fingerprint,
        })
    }
}

impl Draft {
    /// Which versions it takes over says the same as what becomes of their runs.
    fn check_takeover(&self) -> Result<(), BuildError> {
        let migrates = self.policy.on_change == OnChange::Migrate;
        let why = match self.takes_over.last() {
            None if migrates => "`OnChange::Migrate` needs `takes_over` to say of which versions",
            Some(_) if !migrates => "`takes_over` needs `on_change(OnChange::Migrate)`",
            Some(newest) if *newest >= self.version => "`takes_over` names a version that is not older",
            _ => return Ok(()),
        };
        Err(BuildError::Takeover { workflow: self.name.clone(), why })
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<_> = self.steps.iter().map(|(spec, _)| &spec.name).collect();
        f.debug_struct("Workflow").field("name", &self.name).field("steps", &steps).finish_non_exhaustive()
    }
}
