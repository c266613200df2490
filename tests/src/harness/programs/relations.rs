//! Parents and children at the end: each child was begun once, and what it came to is what its parent knows.

use std::collections::BTreeMap;

use stepwell::OnClose;
use stepwell::run::event::Event;
use stepwell::run::state::State;
use stepwell::run::waiting::ChildEnd;
use stepwell_contract::{Record, RunKey, Status};

/// A run as it is at the end.
#[derive(Debug)]
pub struct Ended {
    /// Its journal.
    pub records: Vec<Record>,
    /// What that makes.
    pub state: State,
}

/// Checks a child against its parent.
///
/// # Errors
/// Where they do not agree.
pub fn agree(key: &RunKey, runs: &BTreeMap<RunKey, Ended>) -> Result<(), String> {
    let child = &runs[key].state;
    let Some(parent) = &child.created.parent else { return Err(format!("{key} has no parent")) };
    let Some(of) = runs.get(&parent.run) else { return Err(format!("{key} has lost its parent")) };
    let begun = of.records.iter().filter_map(|record| match Event::read(record) {
        Ok(Event::ChildStarted(started)) if started.run == *key => Some(started),
        _ => None,
    });
    if begun.count() != 1 {
        return Err(format!("{key} was not begun once by {}", parent.run));
    }
    let known = of.state.step(&parent.place).and_then(|step| step.children.get(&parent.part));
    let Some(known) = known else { return Err(format!("{} does not know {key}", parent.run)) };
    match (&known.ended, child.status) {
        (Some(ChildEnd::Succeeded { output }), Status::Succeeded) => {
            let result = child.result.as_ref().and_then(|shape| shape.result(child).ok().flatten());
            match result.as_ref() == Some(output) {
                true => Ok(()),
                false => Err(format!("{} knows another result of {key}", parent.run)),
            }
        }
        (Some(ChildEnd::Failed { .. }), Status::Failed) | (Some(ChildEnd::Cancelled), Status::Cancelled) => {
            Ok(())
        }
        // Those that have ended with a result or on request take in nothing more. A child that is tried again with its
        // parent has no end until it is.
        (None, status) => match (of.state.status, status, known.on_close) {
            (Status::Failed, _, _) if !known.is_renewed => {
                Err(format!("{} has failed and was not told that {key} is {status}", parent.run))
            }
            (Status::Succeeded | Status::Failed, Status::Cancelled, OnClose::Abandon) => {
                Err(format!("{key} was to go on alone and was cancelled"))
            }
            _ => Ok(()),
        },
        (known, status) => Err(format!("{key} is {status}, and {} knows {known:?}", parent.run)),
    }
}
