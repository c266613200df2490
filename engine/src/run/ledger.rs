//! The attempt ledger: what is known of each attempt of a step, as a fold of the run's journal.
//!
//! Attempts stay in the ledger whatever comes later: a success, a resumption, a restart from an earlier step. Of many it keeps
//! the first [`FIRST_MAX`] and the last [`LAST_MAX`], and of those between the first of each kind of end (class, code and
//! text without its digits), at most [`DISTINCT_MAX`]. The journal itself has all of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use stepwell_contract::{Fence, Record, RunKey, Timestamp, WorkerId};

use crate::diagnosis::evidence::{AttemptEnd, AttemptRecord, ErrorLink};
use crate::redact::redact;
use crate::run::event::{AttemptFailed, Event, LogLine, Logged, RunTaken};
use crate::run::notes::within;
use crate::run::place::Place;
use crate::run::seen::CURSOR_BYTES_MAX;
use crate::run::waiting::Said;
use crate::workflow::failure::Failure;
use crate::workflow::policy::{Effective, StepPolicy, effective};

/// Of how many attempts at the beginning nothing is left out.
pub const FIRST_MAX: usize = 5;
/// Of how many attempts at the end nothing is left out.
pub const LAST_MAX: usize = 20;
/// Most attempts kept between these.
pub const DISTINCT_MAX: usize = 10;
/// Most log lines shown with an attempt, the last ones.
pub const LOG_LINES_MAX: usize = 20;

/// What is known of the attempts of one step.
#[derive(Debug, Clone)]
pub struct Ledger {
    place: Place,
    owner: Option<RunTaken>,
    /// The attempt that has begun and not ended.
    open: Option<AttemptRecord>,
    ended: Vec<AttemptRecord>,
    /// What tells the ends apart of those kept in the middle, and how many these are.
    kinds: BTreeSet<String>,
    middle: usize,
    origin: Option<RunKey>,
    is_copied: bool,
}

impl Ledger {
    /// The ledger of the step at `place`, empty.
    #[must_use]
    pub fn at(place: Place) -> Self {
        Self {
            place,
            owner: None,
            open: None,
            ended: Vec::new(),
            kinds: BTreeSet::new(),
            middle: 0,
            origin: None,
            is_copied: false,
        }
    }

    /// The same for a journal of which the beginning is not read: attempts are this owner's until it tells of another.
    #[must_use]
    pub fn owned_by(self, owner: Option<(WorkerId, Fence)>) -> Self {
        let owner = owner.map(|(worker, fence)| RunTaken { worker, fence, lost: None, code_version: None });
        Self { owner, ..self }
    }

    /// Takes in the next records of the journal. One that cannot be read tells nothing and is passed over.
    pub fn add(&mut self, records: &[Record]) {
        for record in records {
            if tells_of_attempts(record.kind.as_str())
                && let Ok(event) = Event::read(record)
                && event.place().is_none_or(|place| *place == self.place)
            {
                self.note(event, record.at);
            }
        }
    }

    /// The attempts that have ended, oldest first.
    #[must_use]
    pub fn attempts(self) -> Vec<AttemptRecord> {
        self.ended
    }

    /// The run in which the step ran, when its end was only copied from there.
    #[must_use]
    pub fn copied_from(&self) -> Option<&RunKey> {
        self.origin.as_ref().filter(|_| self.is_copied)
    }

    fn note(&mut self, event: Event, at: Timestamp) {
        match event {
            Event::RunForked(forked) => self.origin = Some(forked.run),
            Event::StepCopied(_) => self.is_copied = true,
            Event::RunTaken(taken) => self.owner = Some(taken),
            Event::StepStarted(started) => {
                self.is_copied = false;
                self.open = Some(AttemptRecord {
                    attempt: started.attempt,
                    started_at: at,
                    worker: self.owner.as_ref().map(|owner| owner.worker.to_string()),
                    fence: self.owner.as_ref().map(|owner| owner.fence.0),
                    code_version: self.owner.as_ref().and_then(|owner| owner.code_version.clone()),
                    ..AttemptRecord::default()
                });
            }
            Event::Logged(logged) => {
                if let Some(open) = self.of_attempt(logged.attempt) {
                    log(open, logged);
                }
            }
            Event::Checkpointed(saved) => {
                if let Some(open) = self.of_attempt(saved.attempt) {
                    open.cursor = Some(within(redact(saved.cursor.text().to_owned()), CURSOR_BYTES_MAX));
                    open.progress = saved.progress.or(open.progress.take());
                    open.sign_of_life_at = Some(at);
                }
            }
            Event::Memoised(part) => {
                if let Some(open) = self.of_attempt(part.attempt) {
                    open.sign_of_life_at = Some(at);
                }
            }
            Event::StepSucceeded(done) => {
                if let Some(mut open) = self.close(done.attempt) {
                    open.ended = AttemptEnd::Succeeded;
                    open.output_bytes = Some(done.output.text().len() as u64);
                    self.keep(over(open, at, Some(done.elapsed_ms)));
                }
            }
            Event::AttemptFailed(failed) => {
                if let Some(open) = self.close(failed.attempt) {
                    let elapsed_ms = failed.elapsed_ms;
                    self.keep(over(told(open, failed), at, Some(elapsed_ms)));
                }
            }
            Event::AttemptLost(lost) => {
                if let Some(mut open) = self.close(lost.attempt) {
                    open.ended = AttemptEnd::Lost(lost.reason);
                    self.keep(over(open, at, None));
                }
            }
            Event::StepSuspended(suspended) => {
                if let Some(mut open) = self.close(suspended.attempt) {
                    open.ended = AttemptEnd::Suspended;
                    self.keep(over(open, at, Some(suspended.elapsed_ms)));
                }
            }
            Event::StepReported(reported) => {
                // An attempt that was left to someone outside ends with what they say.
                let Some(last) = self.ended.last_mut() else { return };
                if last.attempt != reported.attempt || last.ended != AttemptEnd::Suspended {
                    return;
                }
                if matches!(reported.said, Said::Succeeded { .. } | Said::Failed(_)) {
                    last.ended_at = Some(at);
                    last.elapsed_ms = Some(at.since_ms(last.started_at));
                } else {
                    last.sign_of_life_at = Some(at);
                    last.word_at = Some(at);
                }
                match reported.said {
                    Said::Succeeded { output } => {
                        last.ended = AttemptEnd::Succeeded;
                        last.output_bytes = Some(output.text().len() as u64);
                    }
                    Said::Failed(failed) => {
                        last.chain = failed.seen.chain;
                        fail(last, *failed.failure);
                    }
                    Said::Progress(progress) => last.progress = Some(progress),
                    Said::Started(by) => {
                        // What is compared with other attempts is who did it, not which worker left it to them.
                        last.worker = Some(by.name.clone());
                        last.outsider = Some(by.name);
                        (last.host, last.code_version) = (by.host, by.code_version);
                    }
                }
            }
            _ => {}
        }
    }

    fn of_attempt(&mut self, attempt: u32) -> Option<&mut AttemptRecord> {
        self.open.as_mut().filter(|open| open.attempt == attempt)
    }

    fn close(&mut self, attempt: u32) -> Option<AttemptRecord> {
        self.open.take_if(|open| open.attempt == attempt)
    }

    fn keep(&mut self, attempt: AttemptRecord) {
        self.ended.push(attempt);
        let oldest_of_last = FIRST_MAX + self.middle;
        if self.ended.len() > oldest_of_last + LAST_MAX {
            let leaving = &self.ended[oldest_of_last];
            if self.middle < DISTINCT_MAX && self.kinds.insert(kind_of_end(leaving)) {
                self.middle += 1;
            } else {
                self.ended.remove(oldest_of_last);
            }
        }
    }
}

/// The kinds of events that the ledger is made of: others are not even read.
fn tells_of_attempts(kind: &str) -> bool {
    matches!(
        kind,
        "run_forked"
            | "step_copied"
            | "run_taken"
            | "step_started"
            | "logged"
            | "checkpointed"
            | "memoised"
            | "step_succeeded"
            | "attempt_failed"
            | "attempt_lost"
            | "step_suspended"
            | "step_reported"
    )
}

fn over(attempt: AttemptRecord, at: Timestamp, elapsed_ms: Option<u64>) -> AttemptRecord {
    // What was gathered after the end does not count as part of it.
    let ended_at = elapsed_ms.map_or(at, |ms| attempt.started_at.plus_ms(ms).min(at));
    AttemptRecord { ended_at: Some(ended_at), elapsed_ms, ..attempt }
}

fn fail(attempt: &mut AttemptRecord, failure: Failure) {
    attempt.ended = AttemptEnd::Failed;
    attempt.class = Some(failure.class);
    attempt.classified_by = failure.classified_by;
    attempt.code = failure.code;
    attempt.message = failure.message;
    attempt.context = failure.context;
    attempt.location = failure.location;
    attempt.retry_after_ms = failure.retry_after_ms;
    if attempt.chain.is_empty() {
        attempt.chain =
            failure.chain.into_iter().map(|text| ErrorLink { text, ..ErrorLink::default() }).collect();
    }
}

/// An attempt with what its failure says and what the engine saw.
fn told(attempt: AttemptRecord, failed: AttemptFailed) -> AttemptRecord {
    let seen = *failed.seen;
    let mut attempt = AttemptRecord {
        limits: limits(failed.limits),
        host: seen.host,
        pid: seen.pid,
        code_version: seen.code_version.or(attempt.code_version),
        input_bytes: seen.input_bytes,
        input_hash: seen.input_hash,
        output_bytes: seen.output_bytes,
        chain: seen.chain,
        panic_at: seen.panic_at,
        backtrace: seen.backtrace,
        cursor: seen.cursor.or(attempt.cursor),
        progress: seen.progress.or(attempt.progress),
        sign_of_life_at: seen.sign_of_life_at.max(attempt.sign_of_life_at),
        cpu_ms: seen.cpu_ms,
        blocked_ms: seen.blocked_ms,
        rss_peak_bytes: seen.rss_peak_bytes,
        environment: seen.environment,
        ..attempt
    };
    fail(&mut attempt, failed.failure);
    attempt
}

fn log(attempt: &mut AttemptRecord, logged: Logged) {
    attempt.sign_of_life_at = attempt.sign_of_life_at.max(logged.lines.last().map(|line| line.at));
    let lines = logged.lines.into_iter().map(|line| LogLine { text: redact(line.text), ..line });
    attempt.log_tail.extend(lines);
    let left_out = attempt.log_tail.len().saturating_sub(LOG_LINES_MAX);
    attempt.log_tail.drain(..left_out);
}

/// All limits of an attempt, of which the journal has those that somebody set.
fn limits(stated: Value) -> Option<Effective> {
    let plain = StepPolicy::default();
    let Ok(Value::Object(all)) = serde_json::to_value(effective(&plain, &plain, &plain)) else { return None };
    let stated = match stated {
        Value::Object(stated) => stated,
        _ => Map::new(),
    };
    let all: BTreeMap<String, Value> = all.into_iter().chain(stated).collect();
    serde_json::from_value(Value::Object(all.into_iter().collect())).ok()
}

/// The same for ends that tell nothing new beside each other.
fn kind_of_end(attempt: &AttemptRecord) -> String {
    let text: String = attempt.message.chars().filter(|c| !c.is_ascii_digit()).take(200).collect();
    format!("{:?} {:?} {:?} {text}", attempt.ended, attempt.class, attempt.code)
}

#[cfg(test)]
mod tests {
    use stepwell_contract::{Name, Seq};

    use super::*;
    use crate::run::event::{Seen, StepStarted, Then};
    use crate::workflow::error::ErrorClass;

    fn ledger_of(messages: impl Iterator<Item = String>) -> Vec<AttemptRecord> {
        let place = Place::of(Name::new("a").expect("a name"));
        let mut ledger = Ledger::at(place.clone());
        for (attempt, message) in (1..).zip(messages) {
            let at = Timestamp(i64::from(attempt) * 10);
            let failed = AttemptFailed {
                place: place.clone(),
                attempt,
                failure: Failure { class: ErrorClass::Transient, message, ..Failure::default() },
                elapsed_ms: 4,
                then: Then::Never,
                limits: serde_json::json!({"crash_max": {"value": 9, "from": "step"}}),
                seen: Box::new(Seen { pid: Some(7), ..Seen::default() }),
            };
            let events: [Event; 2] = [StepStarted { place: place.clone(), attempt }.into(), failed.into()];
            let records = events.map(|event| event.record(Seq(1), at.plus_ms(5)).expect("a record"));
            ledger.add(&records);
        }
        ledger.attempts()
    }

    #[test]
    fn of_many_attempts_the_first_the_last_and_those_that_differ_stay() {
        let odd = [40, 41, 77];
        let kept = ledger_of((1..=200).map(|nth| match odd.contains(&nth) {
            true => "the other disk is full".to_owned(),
            false => format!("try {nth} was refused"),
        }));
        let numbers: Vec<u32> = kept.iter().map(|attempt| attempt.attempt).collect();
        let expected: Vec<u32> = (1..=6).chain([40]).chain(181..=200).collect();
        assert_eq!(numbers, expected);
        let last = kept.last().expect("the last");
        assert_eq!((last.pid, last.elapsed_ms), (Some(7), Some(4)));
        assert_eq!(last.limits.map(|limits| limits.crash_max.value), Some(9));
    }

    #[test]
    fn however_much_the_ends_differ_the_ledger_is_bounded() {
        let word = |nth: usize| (0..nth).map(|at| if at % 2 == 0 { 'a' } else { 'b' }).collect();
        assert_eq!(ledger_of((1..=150).map(word)).len(), FIRST_MAX + DISTINCT_MAX + LAST_MAX);
    }
}
