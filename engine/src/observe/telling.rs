//! What happened, in a sentence for each event: for people who search, and for the documents of runs. Values that steps and
//! workflows take and give are never told, only how large they are.

use stepwell_contract::{Payload, Timestamp};

use crate::redact::redact;
use crate::run::actor::Actor;
use crate::run::code::OwnCode;
use crate::run::event::{Event, LostReason, PauseReason, Progress, ReleaseReason, Then};
use crate::run::fork::CopiedEnd;
use crate::run::notes::within;
use crate::run::waiting::{ChildEnd, RunEnd, Said, Waiting, WokenBy};
use crate::workflow::context::LOG_LINE_BYTES_MAX;
use crate::workflow::failure::Failure;

/// Longest text of an entry, in bytes, before the mark that it was cut: a line that a step logged fits, with the mark that it was
/// cut when it was logged.
pub const TEXT_BYTES_MAX: usize = LOG_LINE_BYTES_MAX + 128;

/// A text without secrets and within bounds.
pub(super) fn bounded(text: String) -> String {
    within(redact(text), TEXT_BYTES_MAX)
}

/// What happened.
#[must_use]
pub(super) fn told(event: &Event) -> String {
    match event {
        Event::RunCreated(made) => format!(
            "the run of {} version {} was made by {}, with an input of {}{}{}",
            made.workflow,
            made.workflow_version,
            made.actor,
            size(&made.input),
            made.parent.as_ref().map(|parent| format!(", for run {}", parent.run)).unwrap_or_default(),
            made.deadline_at.map(|at| format!(", to end before {at}")).unwrap_or_default(),
        ),
        Event::RunForked(forked) => {
            format!(
                "forked from run {} at {} by {}{}",
                forked.run,
                forked.from,
                forked.actor,
                said(&forked.message)
            )
        }
        Event::StepCopied(copied) => {
            let how = match &copied.ended {
                CopiedEnd::Succeeded { .. } => "succeeded",
                CopiedEnd::Skipped { .. } => "was passed over",
                CopiedEnd::Failed { .. } => "failed",
            };
            format!("{} {how} in the run that this one was forked from", copied.place)
        }
        Event::RunTaken(taken) => {
            let lost = taken.lost.as_ref();
            let lost = lost.map(|lost| format!(" from worker {lost}, which did not give it up"));
            format!("worker {} took the run, fence {}{}", taken.worker, taken.fence, lost.unwrap_or_default())
        }
        Event::RunReleased(released) => {
            let why = match released.reason {
                ReleaseReason::Waiting => "there is nothing to do",
                ReleaseReason::Shutdown => "it shuts down",
            };
            format!("the worker gave the run up: {why}{}", upto(released.wake_at))
        }
        Event::DefinitionChanged(changed) => format!(
            "the run goes on with version {} of its workflow, after version {}",
            changed.to, changed.from
        ),
        Event::StepStarted(started) => format!("{} began attempt {}", started.place, started.attempt),
        Event::StepSucceeded(done) => format!(
            "{} succeeded in attempt {} after {} ms, with a result of {}",
            done.place,
            done.attempt,
            done.elapsed_ms,
            size(&done.output)
        ),
        Event::AttemptFailed(failed) => format!(
            "attempt {} of {} failed after {} ms: {}; {}",
            failed.attempt,
            failed.place,
            failed.elapsed_ms,
            why(&failed.failure),
            then(&failed.then)
        ),
        Event::Diagnosed(told) => {
            let by = told
                .late_by
                .as_ref()
                .map(|worker| format!(" by worker {worker}, too late"))
                .unwrap_or_default();
            let (code, sure) = (&told.diagnosis.code, told.diagnosis.confidence);
            format!(
                "diagnosed{by} as {code} with confidence {sure}: {} {}",
                told.diagnosis.summary, told.diagnosis.cause
            )
        }
        Event::AttemptLost(lost) => {
            let how = match lost.reason {
                LostReason::Crash => "its worker went away",
                LostReason::Shutdown => "its worker shut down",
                LostReason::Stopped => "it was stopped",
            };
            format!("attempt {} of {} was lost: {how}", lost.attempt, lost.place)
        }
        Event::Checkpointed(saved) => {
            format!("{} saved where it is{}", saved.place, far(saved.progress.as_ref()))
        }
        Event::Memoised(part) => format!("{} has the result of its part {:?}", part.place, part.name),
        Event::StepSuspended(suspended) => {
            format!("{} waits for {}", suspended.place, waits(&suspended.waiting))
        }
        Event::StepWoken(woken) => {
            let by = match &woken.by {
                WokenBy::Signal { name, .. } => format!("signal {name}"),
                WokenBy::Child(part) => format!("the end of its child {part:?}"),
                WokenBy::Time => "its time".to_owned(),
            };
            format!("what {} waited for has come: {by}", woken.place)
        }
        Event::StepReported(reported) => {
            let what = match &reported.said {
                Said::Succeeded { .. } => "it succeeded".to_owned(),
                Said::Failed(failed) => {
                    format!("it failed: {}; {}", why(&failed.failure), then(&failed.then))
                }
                Said::Progress(progress) => format!("it is under way{}", far(Some(progress))),
                Said::Started(by) => {
                    let host = by.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
                    format!("{}{host} has begun it", by.name)
                }
            };
            format!("{} told of attempt {} of {}: {what}", reported.actor, reported.attempt, reported.place)
        }
        Event::ChildStarted(child) => {
            format!("{} started run {} of {}", child.place, child.run, child.workflow)
        }
        Event::ChildEnded(child) => {
            let how = match &child.ended {
                ChildEnd::Succeeded { .. } => "succeeded".to_owned(),
                ChildEnd::Failed { failure } => format!("failed: {}", why(failure)),
                ChildEnd::Cancelled => "was cancelled".to_owned(),
            };
            format!("run {}, which {} started, {how}", child.run, child.place)
        }
        Event::ContextMerged(merged) => {
            let by = merged.place.as_ref().map_or_else(|| merged.actor.to_string(), ToString::to_string);
            format!("{by} changed the shared document{}", said(&merged.message))
        }
        Event::TimerStarted(timer) => format!("{} sleeps{}", timer.place, upto(Some(timer.wake_at))),
        Event::TimerFired(timer) => format!("the sleep {} is over", timer.place),
        Event::WaitStarted(wait) => {
            let names: Vec<_> = wait.signals.iter().map(ToString::to_string).collect();
            format!("{} waits for signal {}{}", wait.place, names.join(" or "), upto(wait.until))
        }
        Event::WaitEnded(wait) => match wait.signal {
            Some(_) => format!("the wait {} is over: its signal came", wait.place),
            None => format!("the wait {} is over: its time ran out", wait.place),
        },
        Event::SignalReceived(signal) => {
            format!("signal {} came from {}, with {}", signal.name, signal.actor, size(&signal.payload))
        }
        Event::StepSkipped(skipped) => {
            format!("{} passed over {}{}", by(&skipped.actor), skipped.place, said(&skipped.reason))
        }
        Event::ItemFailed(failed) => {
            let at = failed.at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
            format!("an item of the map {} failed{at}: {}", failed.map, why(&failed.failure))
        }
        Event::UndoStarted(undo) => match &undo.failure {
            Some(failure) => format!("what the steps did is undone: {}", why(failure)),
            None => "what the steps did is undone, as somebody asked".to_owned(),
        },
        Event::OutputSet(set) => format!(
            "{} said what the result of {} is, {}{}",
            set.actor,
            set.place,
            size(&set.output),
            said(&set.message)
        ),
        Event::StepsReset(reset) => {
            let input = if reset.input.is_some() { " with another input" } else { "" };
            format!(
                "{} let the run begin again at {}{input}{}",
                reset.actor,
                reset.from,
                said(&reset.message)
            )
        }
        Event::InputEdited(edited) => {
            format!(
                "{} changed the input to one of {}{}",
                edited.actor,
                size(&edited.input),
                said(&edited.message)
            )
        }
        Event::StartMoved(moved) => {
            format!("{} moved the beginning of the run to {}", moved.actor, moved.not_before)
        }
        Event::Logged(logged) => format!("{} logged {} lines", logged.place, logged.lines.len()),
        Event::RunPaused(paused) => {
            let place = paused.place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
            let failure =
                paused.failure.as_ref().filter(|failure| !paused.message.contains(&failure.message));
            let failure = failure.map(|failure| format!("; {}", why(failure))).unwrap_or_default();
            format!(
                "{} held the run{place}, since {}{}{}{failure}",
                by(&paused.actor),
                held(paused.reason),
                said(&paused.message),
                called(paused.code.as_ref())
            )
        }
        Event::RunResumed(resumed) => {
            let retry = if resumed.retry { ", with fresh budgets of attempts" } else { "" };
            format!("{} let the run go on{retry}{}", resumed.actor, said(&resumed.message))
        }
        Event::CancelRequested(asked) => {
            let undo = if asked.undo { ", undoing what its steps did" } else { "" };
            format!("{} asked the run to stop for good{undo}{}", asked.actor, said(&asked.message))
        }
        Event::PauseRequested(asked) => {
            let how = if asked.interrupt { "stop and hold" } else { "hold" };
            let code = called(asked.code.as_ref());
            format!("{} asked the run to {how}{}{code}", asked.actor, said(&asked.message))
        }
        Event::RequestRefused(refused) => {
            format!(
                "{} asked for {}, which was refused{}",
                refused.actor,
                refused.verb,
                said(&refused.message)
            )
        }
        Event::IssueFound(found) => found.issue.to_string(),
        Event::Repaired(repaired) => format!(
            "{} mended {} of {}{}",
            repaired.actor,
            repaired.issue,
            repaired.about,
            said(&repaired.message)
        ),
        Event::RunEnding(ending) => match &ending.end {
            RunEnd::Succeeded { .. } => "the run is about to succeed".to_owned(),
            RunEnd::Failed { failure, .. } => format!("the run is about to fail: {}", why(failure)),
            RunEnd::Cancelled => "the run is about to end as cancelled".to_owned(),
        },
        Event::RunSucceeded(_) => "the run succeeded".to_owned(),
        Event::RunFailed(failed) => {
            let place = failed.place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
            format!("the run failed{place}: {}", why(&failed.failure))
        }
        Event::RunCancelled(_) => "the run was cancelled".to_owned(),
        Event::RunTerminated(ended) => {
            format!("{} ended the run at once{}", ended.actor, said(&ended.message))
        }
    }
}

/// Why a run is held.
#[must_use]
pub(super) fn held(reason: PauseReason) -> &'static str {
    match reason {
        PauseReason::Exhausted => "the retries of a step are used up",
        PauseReason::NeedsAttention => "a step failed in a way that a person can mend",
        PauseReason::InDoubt => "a step that must not be repeated blindly was interrupted",
        PauseReason::Quarantined => "a step was running each time its worker died",
        PauseReason::Requested => "somebody asked",
        PauseReason::Interrupted => "somebody asked, and running attempts were stopped",
        PauseReason::QueueWait => "no worker took it in time",
        PauseReason::DefinitionChanged => "the definition is not the one it began with",
        PauseReason::NeedsMigration => "a stored value has a form that the code does not read",
    }
}

fn by(actor: &Actor) -> String {
    actor.to_string()
}

/// What went wrong: the class, the code and the text.
fn why(failure: &Failure) -> String {
    let code = failure.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    format!("{}{code}: {}", failure.class.as_str(), failure.message)
}

fn then(then: &Then) -> String {
    match then {
        Then::RetryAt(at) => format!("it is tried again at {at}"),
        Then::Exhausted(limit) => format!("it is not tried again: {limit} is used up"),
        Then::Never => "trying again cannot help".to_owned(),
        Then::Stopped => "it was stopped on request".to_owned(),
    }
}

fn waits(waiting: &Waiting) -> String {
    let mut parts: Vec<String> = waiting.signals.iter().map(|signal| format!("signal {signal}")).collect();
    parts.extend(waiting.children.iter().map(|child| format!("its child {child:?}")));
    parts.extend(waiting.outside.then(|| "a report from outside".to_owned()));
    parts.extend(waiting.until.map(|at| format!("the time {at}")));
    if parts.is_empty() { "nothing that ends".to_owned() } else { parts.join(" or ") }
}

fn far(progress: Option<&Progress>) -> String {
    let Some(progress) = progress else { return String::new() };
    let note = if progress.note.is_empty() { String::new() } else { format!(", {}", progress.note) };
    format!(": {:.0} %{note}", progress.fraction * 100.0)
}

fn upto(at: Option<Timestamp>) -> String {
    at.map(|at| format!(", until {at}")).unwrap_or_default()
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn called(code: Option<&OwnCode>) -> String {
    code.map(|code| format!(" ({code})")).unwrap_or_default()
}

fn size(payload: &Payload) -> String {
    format!("{} bytes", payload.text().len())
}
