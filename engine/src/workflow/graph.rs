//! The definition as data: what a workflow consists of, by name, without its code.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stepwell_contract::Name;

use crate::workflow::policy::StepPolicy;

/// The place of a step in its graph's list of steps. Never stored: names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepIndex(pub usize);

/// A step as the graph knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSpec {
    /// Its name, unique in the workflow: the key of its results.
    pub name: Name,
    /// The limits it sets itself.
    pub policy: StepPolicy,
}

/// How many items of a map may fail without the map failing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Tolerance {
    /// So many may.
    pub count: u32,
    /// This share of all items may, from 0 to 1, if that is more.
    pub share: f64,
}

impl Tolerance {
    /// Whether `failed` failed items of `total` are more than may fail.
    #[must_use]
    pub fn is_exceeded(&self, failed: usize, total: usize) -> bool {
        // A share that is not a number tolerates nothing.
        let share = if self.share.is_finite() { self.share } else { 0.0 };
        failed > self.count as usize && failed as f64 > share * total as f64
    }
}

/// One node of a workflow's sequence. Steps are named by their place in [`Graph::steps`].
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// One step. Its output is the node's.
    Step(StepIndex),
    /// Several steps on the same input at once. The node's output is the list of their outputs, in this order.
    Parallel(Vec<StepIndex>),
    /// One step for each item of a list. The node's output is the list of outputs in the order of the items; with a
    /// tolerance, of `{"ok": output}` and `{"failed": failure}`.
    Map {
        /// The step.
        step: StepIndex,
        /// How many items run at once, at most.
        concurrency: u32,
        /// How many may fail; `None` when none may and outputs are not wrapped.
        tolerance: Option<Tolerance>,
    },
}

impl Node {
    /// The steps in it.
    #[must_use]
    pub fn steps(&self) -> &[StepIndex] {
        match self {
            Self::Step(step) | Self::Map { step, .. } => std::slice::from_ref(step),
            Self::Parallel(steps) => steps,
        }
    }
}

/// What a workflow consists of: its nodes in sequence, and the steps in them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    /// All steps.
    pub steps: Vec<StepSpec>,
    /// The sequence.
    pub nodes: Vec<Node>,
}

impl Graph {
    /// The step at `index`.
    #[must_use]
    pub fn step(&self, index: StepIndex) -> &StepSpec {
        &self.steps[index.0]
    }

    /// The index of the step of that name.
    #[must_use]
    pub fn find(&self, name: &Name) -> Option<StepIndex> {
        self.steps.iter().position(|step| step.name == *name).map(StepIndex)
    }

    /// A name for the shape: nodes, their order and the names of their steps; not their limits, which may change
    /// under a run. 16 hexadecimal digits of a SHA-256.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for node in &self.nodes {
            let word = match node {
                Node::Step(_) => "step".to_owned(),
                Node::Parallel(_) => "parallel".to_owned(),
                Node::Map { tolerance, .. } => format!("map:{}", tolerance.is_some()),
            };
            hash.update(word.as_bytes());
            for step in node.steps() {
                hash.update(b"\0");
                hash.update(self.step(*step).name.as_str().as_bytes());
            }
            hash.update(b"\n");
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}
