//! The harnesses that keep Stepwell's promises, end to end.
//!
//! A promise is tested in `tests/`, one file each, on every backend. What needs processes that die, disks that fail or
//! servers that go away is a harness in [`harness`] with a binary of its own: it starts the `worker` binary, harms
//! it, and audits what is left; `import_soak` harms the example `import`, and is a test of that package. Each prints one last line, `HARNESS name=… seed=… … violations=0`, and fails when a
//! promise was broken, and also when it did too little to tell.
//!
//! * [`witness`]: what a worker saw acknowledged, in a file that outlives it. [`audit`]: the store against that file.
//! * [`process`], [`strace`]: children that are watched, signalled and killed at a chosen system call.
//! * [`place`]: the four stores, opened, left and opened again. [`clock`]: a time for all of them that can be moved.
//!   [`site`]: the two together, with workers that come one after the other. [`chain`]: the workflow that is cut short.
//! * [`hold`]: a step that begins, tells so, and goes on when it is let.
//! * [`report`]: seeds, counts and the last line. [`wait`]: waiting for an event, with a deadline.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod audit;
pub mod chain;
pub mod clock;
pub mod harness;
pub mod hold;
pub mod place;
pub mod process;
pub mod report;
pub mod site;
pub mod strace;
pub mod wait;
pub mod witness;
