//! A workflow without its code: what an engine that has not registered it needs to know to start its runs and to tell how far
//! they are.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stepwell_contract::{Name, WorkflowRef};

use crate::workflow::definition::Definition;
use crate::workflow::graph::Graph;
use crate::workflow::policy::{RunPolicy, StepPolicy};

/// A workflow without its code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    /// Its name.
    pub name: Name,
    /// Its version.
    pub version: u32,
    /// The queue that its runs wait in.
    pub queue: Name,
    /// The limits of its runs, and of those steps that set none.
    #[serde(default)]
    pub policy: RunPolicy,
    /// What the engine that has it registered says for steps where neither they nor the workflow say anything.
    #[serde(default)]
    pub engine: StepPolicy,
    /// What it consists of.
    pub graph: Arc<Graph>,
    /// A name for its shape; see [`Graph::fingerprint`].
    pub fingerprint: String,
    /// The older versions whose runs it goes on with.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub takes_over: BTreeSet<u32>,
}

impl Outline {
    /// That of a definition, where an engine says this for all steps.
    pub(crate) fn of(definition: &Definition, engine: StepPolicy) -> Self {
        Self {
            name: definition.name.clone(),
            version: definition.version,
            queue: definition.queue.clone(),
            policy: definition.policy,
            engine,
            graph: Arc::clone(&definition.graph),
            fingerprint: definition.fingerprint.clone(),
            takes_over: BTreeSet::clone(&definition.takes_over),
        }
    }

    /// Its name and version.
    #[must_use]
    pub fn reference(&self) -> WorkflowRef {
        WorkflowRef { name: self.name.clone(), version: self.version }
    }

    /// The definition without the code of its steps: nothing can run by it.
    pub(crate) fn definition(&self) -> Definition {
        Definition {
            policy: self.policy,
            takes_over: Arc::new(self.takes_over.clone()),
            graph: Arc::clone(&self.graph),
            fingerprint: self.fingerprint.clone(),
            ..Definition::elsewhere(self.name.clone(), self.version, self.queue.clone())
        }
    }
}
