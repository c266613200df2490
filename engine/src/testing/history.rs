//! What happened to a run, for people.

use std::fmt::Write as _;
use std::time::Duration;

use stepwell_contract::{Batch, Record, Timestamp};

use crate::run::event::{Event, Then};
use crate::run::waiting::{ChildEnd, Said, Waiting, WokenBy};
use crate::testing::life::key;

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

/// What one write says, in a few words.
pub(crate) fn words(batches: &[Batch]) -> String {
    let mut words = Vec::new();
    for batch in batches {
        let whose = if batch.key == key() { String::new() } else { format!("{}: ", batch.key.run) };
        let records = batch.append.iter().map(short);
        let messages =
            batch.post.iter().map(|message| format!("sent a {}", message.kind.as_str().replace('_', " ")));
        words.extend(records.chain(messages).map(|word| format!("{whose}{word}")));
    }
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
        Event::StepSuspended(e) => format!("{} waits{}", e.place, awaited(&e.waiting, first)),
        Event::StepWoken(e) => match e.by {
            WokenBy::Signal { name, .. } => format!("{} goes on: signal {name} came", e.place),
            WokenBy::Child(part) => format!("{} goes on: its run {part} ended", e.place),
            WokenBy::Time => format!("{} goes on: its time is over", e.place),
        },
        Event::StepReported(e) => match e.said {
            Said::Succeeded { output } => format!("{} was reported done: {}", e.place, cut(output.text())),
            Said::Failed(failed) => {
                format!("{} was reported failed, attempt {}: {}", e.place, e.attempt, failed.failure)
            }
            Said::Progress(progress) => format!("{} was reported so far: {}", e.place, progress.note),
            Said::Started(by) => format!("{} was begun by {}", e.place, by.name),
        },
        Event::ChildStarted(e) => format!("{} starts run {} of {}", e.place, e.run.run, e.workflow),
        Event::ChildEnded(e) => match e.ended {
            ChildEnd::Succeeded { output } => format!("run {} succeeded: {}", e.run.run, cut(output.text())),
            ChildEnd::Failed { failure } => format!("run {} failed: {failure}", e.run.run),
            ChildEnd::Cancelled => format!("run {} was cancelled", e.run.run),
        },
        Event::SignalReceived(e) => format!("signal {} came: {}", e.name, cut(e.payload.text())),
        Event::RunPaused(e) => format!("the run paused, {:?}: {}", e.reason, e.message),
        Event::RunSucceeded(_) => "the run succeeded".to_owned(),
        Event::RunFailed(e) => format!("the run failed: {}", e.failure),
        Event::RunCancelled(_) => "the run was cancelled".to_owned(),
        _ => raw(),
    }
}

/// What a step waits for, in words.
fn awaited(waiting: &Waiting, first: Timestamp) -> String {
    let signals = waiting.signals.iter().map(|name| format!("signal {name}"));
    let children = waiting.children.iter().map(|name| format!("run {name}"));
    let outside = waiting.outside.then(|| "to be reported on".to_owned());
    let for_any = signals.chain(children).chain(outside).collect::<Vec<_>>().join(" or ");
    let for_any = if for_any.is_empty() { for_any } else { format!(" for {for_any}") };
    let until = waiting.until.map(|at| format!(" until {}", since(first, at))).unwrap_or_default();
    format!("{for_any}{until}")
}

fn short(record: &Record) -> String {
    match Event::read(record) {
        Ok(Event::StepStarted(e)) => format!("{} begins", e.place),
        Ok(Event::StepSucceeded(e)) => format!("{} succeeded", e.place),
        Ok(Event::AttemptFailed(e)) => format!("{} failed", e.place),
        Ok(Event::AttemptLost(e)) => format!("{} was lost", e.place),
        Ok(Event::Checkpointed(e)) => format!("{} saved its place", e.place),
        Ok(Event::Memoised(e)) => format!("{} kept {}", e.place, e.name),
        Ok(Event::StepSuspended(e)) => format!("{} waits", e.place),
        Ok(Event::StepWoken(e)) => format!("{} goes on", e.place),
        Ok(Event::StepReported(e)) => format!("{} was reported on", e.place),
        Ok(Event::ChildStarted(e)) => format!("{} starts run {}", e.place, e.run.run),
        Ok(Event::ChildEnded(e)) => format!("run {} ended", e.run.run),
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
