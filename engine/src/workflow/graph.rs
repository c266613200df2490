//! The definition as data: what a workflow consists of, by name, without its code.

mod stored;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stepwell_contract::{Name, Timestamp};

use crate::workflow::graph::stored::StoredGraph;
use crate::workflow::policy::StepPolicy;

/// The place of a step in its graph's list of steps. Never stored: names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepIndex(pub usize);

/// A step as the graph knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSpec {
    /// Its name, unique in the workflow: the key of its results.
    pub name: Name,
    /// The limits it sets itself.
    pub policy: StepPolicy,
    /// The version of the form of its output.
    pub version: u32,
    /// How many maps and loops it is in.
    pub depth: usize,
    /// The step that undoes it.
    pub undo: Option<StepIndex>,
}

impl StepSpec {
    /// A step of that name.
    #[must_use]
    pub fn new(name: Name, policy: StepPolicy) -> Self {
        Self { name, policy, version: 1, depth: 0, undo: None }
    }
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

/// What happens to the other branches when one of a [`Node::Parallel`] has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// They start nothing more; what runs may end.
    #[default]
    FailFast,
    /// They go on to their ends first.
    WaitAll,
}

/// Until when a run sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// So many milliseconds from when the sleep is recorded.
    After(u64),
    /// This time by the store's clock.
    At(Timestamp),
    /// The time that a step gives for what flows in, in milliseconds since 1970.
    Said(StepIndex),
}

/// Nodes one after the other: each takes what the one before it gives.
pub type Sequence = Vec<Node>;

/// A node of a workflow. Steps are named by their place in [`Graph::steps`].
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// One step. Its output is the node's.
    Step(StepIndex),
    /// Several branches on the same input at once. The node's output is the list of what they give, in this order.
    Parallel {
        /// The branches.
        branches: Vec<Sequence>,
        /// What one branch's failure means for the others.
        join: Join,
    },
    /// A body for each item of a list. The node's output is the list of what they give in the order of the items; with a
    /// tolerance, of `{"ok": output}` and `{"failed": failure}`.
    Map {
        /// What is done with each item.
        body: Sequence,
        /// How many items have a step running at once, at most.
        concurrency: u32,
        /// How many may fail; `None` when none may and outputs are not wrapped.
        tolerance: Option<Tolerance>,
        /// The step that says how people call the items: its output is the list of their names.
        names: Option<StepIndex>,
    },
    /// One of several bodies, by the word that a step gives for what flows in. An empty body gives what flows in.
    Choose {
        /// The step that decides, once: its output is the word of an arm.
        by: StepIndex,
        /// The arms, by their words.
        arms: Vec<(String, Sequence)>,
    },
    /// A body over and over, as long as a step says `true` of what the last round gave.
    Repeat {
        /// The step that decides before each round.
        by: StepIndex,
        /// A round.
        body: Sequence,
        /// Most rounds; a run that wants more fails.
        rounds_max: u32,
    },
    /// Nothing, for a time. It gives what flows in.
    Sleep {
        /// The name under which it is recorded.
        step: StepIndex,
        /// Until when.
        until: Until,
    },
    /// A signal from outside. The node's output is the list of what flows in and what the signal says, `null` when its
    /// time was over; where it waits for one of several, `{"signal": name, "said": …}`.
    Wait {
        /// The name under which it is recorded.
        step: StepIndex,
        /// The signals, any of which ends it.
        signals: Vec<Name>,
        /// How long, in milliseconds; `None` for ever.
        timeout_ms: Option<u64>,
    },
    /// Nothing: it gives the output of a step that stands before it, outside maps and loops.
    Recall {
        /// The step.
        step: StepIndex,
    },
}

impl Node {
    /// The steps of the node itself: those that decide, in a node that chooses or repeats.
    #[must_use]
    pub fn own_steps(&self) -> Vec<StepIndex> {
        match self {
            Self::Sleep { step, until: Until::Said(by) } => vec![*by, *step],
            Self::Step(step)
            | Self::Sleep { step, .. }
            | Self::Wait { step, .. }
            | Self::Choose { by: step, .. }
            | Self::Repeat { by: step, .. } => vec![*step],
            Self::Map { names, .. } => names.iter().copied().collect(),
            Self::Parallel { .. } | Self::Recall { .. } => Vec::new(),
        }
    }

    /// The sequences in it.
    #[must_use]
    pub fn bodies(&self) -> Vec<&[Self]> {
        match self {
            Self::Step(_) | Self::Sleep { .. } | Self::Wait { .. } | Self::Recall { .. } => Vec::new(),
            Self::Parallel { branches, .. } => branches.iter().map(Vec::as_slice).collect(),
            Self::Map { body, .. } | Self::Repeat { body, .. } => vec![body],
            Self::Choose { arms, .. } => arms.iter().map(|(_, body)| body.as_slice()).collect(),
        }
    }

    /// All steps in it, in the order of the definition.
    #[must_use]
    pub fn steps(&self) -> Vec<StepIndex> {
        let mut steps = self.own_steps();
        for body in self.bodies() {
            steps.extend(body.iter().flat_map(Self::steps));
        }
        steps
    }

    /// The same node in a graph whose steps stand so much further on.
    #[must_use]
    pub(crate) fn shifted(&self, by: usize) -> Self {
        let to = |step: &StepIndex| StepIndex(step.0 + by);
        let all = |body: &Sequence| body.iter().map(|node| node.shifted(by)).collect::<Sequence>();
        match self {
            Self::Step(step) => Self::Step(to(step)),
            Self::Parallel { branches, join } => {
                Self::Parallel { branches: branches.iter().map(all).collect(), join: *join }
            }
            Self::Map { body, concurrency, tolerance, names } => Self::Map {
                body: all(body),
                concurrency: *concurrency,
                tolerance: *tolerance,
                names: names.as_ref().map(to),
            },
            Self::Choose { by, arms } => Self::Choose {
                by: to(by),
                arms: arms.iter().map(|(word, body)| (word.clone(), all(body))).collect(),
            },
            Self::Repeat { by, body, rounds_max } => {
                Self::Repeat { by: to(by), body: all(body), rounds_max: *rounds_max }
            }
            Self::Sleep { step, until } => {
                let until = if let Until::Said(by) = until { Until::Said(to(by)) } else { *until };
                Self::Sleep { step: to(step), until }
            }
            Self::Wait { step, signals, timeout_ms } => {
                Self::Wait { step: to(step), signals: signals.clone(), timeout_ms: *timeout_ms }
            }
            Self::Recall { step } => Self::Recall { step: to(step) },
        }
    }

    /// A word for its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Step(_) => "step",
            Self::Parallel { .. } => "parallel",
            Self::Map { .. } => "map",
            Self::Choose { .. } => "choose",
            Self::Repeat { .. } => "repeat",
            Self::Sleep { .. } => "sleep",
            Self::Wait { .. } => "wait",
            Self::Recall { .. } => "recall",
        }
    }
}

/// What a workflow consists of: its nodes in sequence, and the steps in them. Where it is stored, nodes name their steps.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(into = "StoredGraph", try_from = "StoredGraph")]
pub struct Graph {
    /// All steps.
    pub steps: Vec<StepSpec>,
    /// The sequence.
    pub nodes: Sequence,
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

    /// Works out how many maps and loops each step is in.
    pub(crate) fn measure(&mut self) {
        let nodes = std::mem::take(&mut self.nodes);
        self.measure_from(&nodes, 0);
        self.nodes = nodes;
    }

    fn measure_from(&mut self, nodes: &[Node], depth: usize) {
        for node in nodes {
            let own = depth + usize::from(matches!(node, Node::Repeat { .. }));
            for step in node.own_steps() {
                self.steps[step.0].depth = own;
                if let Some(undo) = self.steps[step.0].undo {
                    self.steps[undo.0].depth = own;
                }
            }
            let inner = depth + usize::from(matches!(node, Node::Repeat { .. } | Node::Map { .. }));
            for body in node.bodies() {
                self.measure_from(body, inner);
            }
        }
    }

    /// A step in a map or loop of which a node recalls the output: it has as many as items or rounds.
    pub(crate) fn recalled_from_within(&self) -> Option<&Name> {
        fn find<'a>(graph: &'a Graph, nodes: &[Node]) -> Option<&'a Name> {
            nodes.iter().find_map(|node| match node {
                Node::Recall { step } if graph.step(*step).depth > 0 => Some(&graph.step(*step).name),
                node => node.bodies().into_iter().find_map(|body| find(graph, body)),
            })
        }
        find(self, &self.nodes)
    }

    /// A name for the shape: nodes, their order and the names of their steps; not their limits, which may change
    /// under a run. 16 hexadecimal digits of a SHA-256.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        self.describe(&self.nodes, &mut hash);
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    fn describe(&self, nodes: &[Node], hash: &mut Sha256) {
        for node in nodes {
            hash.update(node.kind().as_bytes());
            match node {
                Node::Map { tolerance: Some(_), .. } => hash.update(b" tolerant"),
                Node::Choose { arms, .. } => {
                    arms.iter().for_each(|(word, _)| hash.update(format!(" {word:?}").as_bytes()));
                }
                Node::Wait { signals, .. } => {
                    signals.iter().for_each(|signal| hash.update(format!(" for {signal}").as_bytes()));
                }
                Node::Recall { step } => {
                    hash.update(format!(" {}", self.step(*step).name).as_bytes());
                }
                _ => {}
            }
            for step in node.own_steps() {
                hash.update(b"\0");
                hash.update(self.step(step).name.as_str().as_bytes());
                if let Some(undo) = self.step(step).undo {
                    hash.update(format!(" undone by {}", self.step(undo).name).as_bytes());
                }
            }
            for body in node.bodies() {
                hash.update(b"(");
                self.describe(body, hash);
                hash.update(b")");
            }
            hash.update(b"\n");
        }
    }
}
