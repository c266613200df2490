//! Which step of a run: its name, and its item when it runs once for each item of a map.

use std::fmt;

use serde::{Deserialize, Serialize};
use stepwell_contract::Name;

/// A step of a run. Its result is recorded under this, never under a position in the code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The step's name.
    pub step: Name,
    /// Which item, from 0; `None` outside a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
}

impl Place {
    /// The step of that name, outside a map.
    #[must_use]
    pub fn of(step: Name) -> Self {
        Self { step, item: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item {
            None => self.step.fmt(f),
            Some(item) => write!(f, "{}[{item}]", self.step),
        }
    }
}
