//! Starting runs by the clock: schedules.
//!
//! A schedule is a run of a workflow that the engine brings along. What it has decided, who paused it and what it was asked
//! are records of that run, and it goes on where it was after a crash like any other.
//!
//! * [`Schedule`] says when which workflow is started, with what, and what happens when runs overlap or times were missed.
//! * [`Calendar`] gives the times of a schedule; [`due`](mod@due) decides what becomes of those that have come. Both are pure.

pub mod calendar;
pub mod due;
pub mod error;
pub mod jitter;
pub(crate) mod keeper;
mod ledger;
pub mod run_id;
mod said;
pub mod schedules;
pub mod spec;
pub mod times;
mod view;
pub(crate) mod watch;

pub use calendar::Calendar;
pub use due::{Decision, Position, SkipReason, Span, due};
pub use error::ScheduleError;
pub use keeper::{TAG, WORKFLOW};
pub use ledger::{Backfill, Cause, Counts, PassedOver, Paused, Started};
pub use run_id::time_of;
pub use schedules::{BackfillTime, SchedulePage, Schedules};
pub use spec::{Overlap, Schedule};
pub use times::Times;
pub use view::{PlanPreview, ScheduleView, Upcoming};

#[cfg(test)]
mod tests;
