//! Read-only views: folds of the journal, for people.

pub mod audit;
pub(crate) mod cancelled;
pub mod case_file;
pub mod cause;
pub mod check;
pub mod explain;
pub mod groups;
pub mod logs;
pub mod names;
pub mod past;
pub mod progress;
pub mod stats;
pub mod telling;
pub mod values;
pub mod verdict;
