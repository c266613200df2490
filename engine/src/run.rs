//! What happens to one run, pure: no waiting, no input or output, no clock, no randomness.

pub mod actor;
pub mod decide;
pub mod event;
pub mod fit;
pub mod output;
pub mod place;
pub mod request;
pub mod state;
pub mod summary;
pub mod takeover;
mod trouble;
mod walk;

#[cfg(test)]
mod tests;
