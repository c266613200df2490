//! Whether what the store holds is whole and agrees with itself, and the mending of what can be mended safely.
//!
//! * [`validate`] reads runs without touching them and judges each by [`rules`], which are pure: head, journal and inbox of a
//!   run are judged together only when they belong to one moment.
//! * [`repair`] mends an issue, if nothing has moved since it was found.
//! * [`WORKFLOW`] is the workflow that looks by the clock and records what it finds.

pub mod issue;
pub(crate) mod keeper;
mod look;
pub mod repair;
pub mod rules;
pub mod sight;
pub mod validate;

pub use keeper::{PassReport, SCHEDULE, WORKFLOW};
