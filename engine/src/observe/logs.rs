//! What the steps of a run logged.

use serde::Serialize;
use stepwell_contract::Record;

use crate::run::event::{Event, EventError, LogLine};
use crate::run::place::Place;

/// A line with the attempt that logged it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptLine {
    /// Which step.
    pub place: Place,
    /// Which attempt.
    pub attempt: u32,
    /// The line.
    #[serde(flatten)]
    pub line: LogLine,
}

/// The lines in a journal, in the order in which they were written.
///
/// # Errors
/// [`EventError`] when a record of lines cannot be read. Records of other kinds are not looked at.
pub fn lines(records: &[Record]) -> Result<Vec<AttemptLine>, EventError> {
    let mut found = Vec::new();
    for record in records.iter().filter(|record| record.kind.as_str() == "logged") {
        if let Event::Logged(logged) = Event::read(record)? {
            let (place, attempt) = (logged.place, logged.attempt);
            found.extend(logged.lines.into_iter().map(|line| AttemptLine {
                place: place.clone(),
                attempt,
                line,
            }));
        }
    }
    Ok(found)
}
