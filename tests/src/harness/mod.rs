//! The harnesses, one a file, and the work of the processes that they start.

pub mod commit_deaths;
pub mod dying;
pub mod errand;
pub mod eyewitness;
pub mod faults;
pub mod harm;
pub mod import_soak;

pub mod io_faults;
pub mod kill_points;
pub mod kill_soak;
pub mod lanes;
pub mod ledger;
pub mod library;
pub mod limited;
pub mod programs;
pub mod queue_limits;
pub mod redis_kills;
pub mod soaked;
pub mod source;
pub mod trial;
pub mod work;
pub mod zombies;
