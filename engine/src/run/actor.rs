//! Who did something: kept with every request and transition.

use std::fmt;

use serde::{Deserialize, Serialize};
use stepwell_contract::RunKey;

/// Who did something to a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The engine itself, by a policy.
    #[default]
    Engine,
    /// The program that links the engine.
    Program,
    /// A run, for itself: a parent for its children.
    Run(RunKey),
    /// A person, by the name they gave.
    Person(String),
}

impl Actor {
    pub(crate) fn is_engine(&self) -> bool {
        *self == Self::Engine
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine => f.write_str("the engine"),
            Self::Program => f.write_str("the program"),
            Self::Run(key) => write!(f, "run {key}"),
            Self::Person(name) => name.escape_debug().fmt(f),
        }
    }
}
