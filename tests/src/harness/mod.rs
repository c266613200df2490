//! The harnesses, one a file, and the work of the processes that they start.

pub mod io_faults;
pub mod kill_points;
pub mod lanes;
pub mod trial;
pub mod work;
pub mod zombies;
