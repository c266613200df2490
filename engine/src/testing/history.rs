//! What happened to a run, for people.

use std::fmt::Write as _;
use std::time::Duration;

use stepwell_contract::{Record, Timestamp};

use crate::run::event::{Event, Then};

/// Longest piece of JSON that is shown, in characters.
const SHOWN_MAX: usize = 160;

/// The history of a run, a line for each record, with the time since the first.
pub(crate) fn history(records: &[Record]) -> String {
    let Some(first) = records.first() else { return "  the journal is empty\n".to_owned() };
    let mut text = String::new();
    for record in records {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{:>12}  {}", since(first.at, record.at), line(record, first.at));
    }
    text
}

/// The records of one write in a few words.
pub(crate) fn words(records: &[&Record]) -> String {
    let words: Vec<String> = records.iter().map(|record| short(record)).collect();
    words.join(", ")
}

/// A span of time as people write it: `1h 0m 3.004s`.
pub(crate) fn span(time: Duration) -> String {
    let (seconds, ms) = (time.as_secs(), time.subsec_millis());
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    let mut text = String::new();
    for (value, unit) in [(days, 'd'), (hours, 'h'), (minutes, 'm')] {
        if value > 0 || !text.is_empty() {
            let _ = write!(text, "{value}{unit} ");
        }
    }
    match ms {
        0 => write!(text, "{seconds}s"),
        ms => write!(text, "{seconds}.{ms:03}s"),
    }
    .map_or_else(|_| String::new(), |()| text)
}

fn since(first: Timestamp, at: Timestamp) -> String {
    format!("+{}", span(Duration::from_millis(at.since_ms(first))))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn line(record: &Record, first: Timestamp) -> String {
    let raw = || format!("{} {}", record.kind.as_str(), cut(record.payload.text()));
    let Ok(event) = Event::read(record) else { return raw() };
    match event {
        Event::RunCreated(e) => format!("{} was started with {}", e.workflow, cut(e.input.text())),
        Event::RunTaken(e) if e.lost.is_some() => "a new process took the run over".to_owned(),
        Event::RunTaken(_) => "a process took the run".to_owned(),
        Event::RunReleased(e) => match e.wake_at {
            Some(at) => format!("nothing to do until {}", since(first, at)),
            None => "nothing to do until a message comes".to_owned(),
        },
        Event::StepStarted(e) => format!("{} began, attempt {}", e.place, e.attempt),
        Event::StepSucceeded(e) => format!("{} succeeded: {}", e.place, cut(e.output.text())),
        Event::AttemptFailed(e) => {
            let then = match e.then {
                Then::RetryAt(at) => format!("again at {}", since(first, at)),
                Then::Exhausted(limit) => format!("not again: {limit} is used up"),
                Then::Never => "not again".to_owned(),
                Then::Stopped => "it was told to stop".to_owned(),
            };
            format!("{} failed, attempt {}: {}; {then}", e.place, e.attempt, e.failure)
        }
        Event::AttemptLost(e) => format!("{} was lost, attempt {}: {:?}", e.place, e.attempt, e.reason),
        Event::Checkpointed(e) => format!("{} is at {}", e.place, cut(e.cursor.text())),
        Event::Memoised(e) => format!("{} has its part {}: {}", e.place, e.name, cut(e.value.text())),
        Event::Logged(e) => {
            let lines: Vec<&str> = e.lines.iter().map(|line| line.text.as_str()).collect();
            format!("{} says: {}", e.place, cut(&lines.join(" | ")))
        }
        Event::RunPaused(e) => format!("the run paused, {:?}: {}", e.reason, e.message),
        Event::RunSucceeded(_) => "the run succeeded".to_owned(),
        Event::RunFailed(e) => format!("the run failed: {}", e.failure),
        Event::RunCancelled(_) => "the run was cancelled".to_owned(),
        _ => raw(),
    }
}

fn short(record: &Record) -> String {
    match Event::read(record) {
        Ok(Event::StepStarted(e)) => format!("{} begins", e.place),
        Ok(Event::StepSucceeded(e)) => format!("{} succeeded", e.place),
        Ok(Event::AttemptFailed(e)) => format!("{} failed", e.place),
        Ok(Event::AttemptLost(e)) => format!("{} was lost", e.place),
        Ok(Event::Checkpointed(e)) => format!("{} saved its place", e.place),
        Ok(Event::Memoised(e)) => format!("{} kept {}", e.place, e.name),
        _ => record.kind.as_str().replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_as_people_write_it() {
        let table = [(0, "0s"), (3_004, "3.004s"), (3_600_000, "1h 0m 0s"), (90_061_000, "1d 1h 1m 1s")];
        for (ms, text) in table {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }
}
