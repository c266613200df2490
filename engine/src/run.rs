//! What happens to one run, pure: no waiting, no input or output, no clock, no randomness.

pub mod actor;
mod attempts;
pub mod change;
pub mod code;
pub mod cut;
pub mod decide;
mod edit;
pub mod event;
pub mod fit;
pub mod fork;
pub mod forms;
pub(crate) mod given;
mod items;
pub mod ledger;
pub mod mail;
pub mod notes;
pub mod output;
pub mod outsider;
pub mod parked;
mod permit;
pub mod place;
pub mod preview;
mod reason;
mod record;
mod reopen;
pub mod report;
pub mod request;
pub mod said;
pub mod seen;
pub mod spent;
pub mod state;
mod steps;
mod subject;
pub mod summary;
pub(crate) mod suspended;
pub mod takeover;
pub mod token;
pub mod trouble;
pub mod unread;
pub mod waiting;
mod walk;

#[cfg(test)]
mod tests;
