//! Which step of a run: its name, and which time it runs where it runs more than once.

use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use stepwell_contract::Name;

/// Which item of a map and which round of a loop, from the outermost to the innermost, each from 0. Empty outside them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Path(SmallVec<[u32; 2]>);

impl Path {
    /// The path of what is outside maps and loops.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// One level further in.
    #[must_use]
    pub fn item(&self, nth: u32) -> Self {
        let mut path = self.clone();
        path.0.push(nth);
        path
    }

    /// Whether it is outside maps and loops.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The numbers, outermost first.
    #[must_use]
    pub fn numbers(&self) -> &[u32] {
        &self.0
    }

    /// Whether it is `outer` or further in.
    #[must_use]
    pub fn is_within(&self, outer: &Self) -> bool {
        self.0.starts_with(&outer.0)
    }
}

impl From<u32> for Path {
    fn from(item: u32) -> Self {
        Self::root().item(item)
    }
}

/// A step of a run. Its result is recorded under this, never under a position in the code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The step's name.
    pub step: Name,
    /// Which time, where it runs more than once.
    #[serde(default, skip_serializing_if = "Path::is_root")]
    pub item: Path,
}

impl Place {
    /// The step of that name, outside maps and loops.
    #[must_use]
    pub fn of(step: Name) -> Self {
        Self { step, item: Path::root() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.step.fmt(f)?;
        self.item.numbers().iter().try_for_each(|nth| write!(f, "[{nth}]"))
    }
}
