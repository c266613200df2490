//! Which step of a run: its name, and which time it runs where it runs more than once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use stepwell_contract::{IdError, Name, RunKey};

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

    /// The outermost levels of it: as many as that, or all.
    #[must_use]
    pub fn outer(&self, levels: usize) -> Self {
        Self(self.0.iter().take(levels).copied().collect())
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
    /// What receivers recognise a repetition of the step in that run by: the same for all its attempts.
    pub(crate) fn idempotency_key(&self, run: &RunKey) -> String {
        format!("{run}/{self}")
    }

    /// Whether it is `outer`, or an item or round of it: `pack[2]` is within `pack`.
    #[must_use]
    pub fn is_within(&self, outer: &Self) -> bool {
        self.step == outer.step && self.item.is_within(&outer.item)
    }

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

/// Why a text is not a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The name is not one.
    #[error(transparent)]
    Name(#[from] IdError),
    /// What stands behind the name does not count items and rounds.
    #[error(
        "{0:?} is not a place: a step is named like `pack`, the third item or round of it like `pack[2]`"
    )]
    Numbers(String),
}

impl FromStr for Place {
    type Err = PlaceError;

    /// Reads what `Display` writes: `pack`, or `pack[2][0]` where it is in a map or loop.
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (name, numbers) = text.split_at(text.find('[').unwrap_or(text.len()));
        let mut item = Path::root();
        for part in numbers.split_inclusive(']') {
            let nth = part.strip_prefix('[').and_then(|part| part.strip_suffix(']'));
            let nth = nth.and_then(|nth| nth.parse().ok());
            item = item.item(nth.ok_or_else(|| PlaceError::Numbers(text.to_owned()))?);
        }
        Ok(Self { step: Name::new(name)?, item })
    }
}
