//! Waits until runs have ended or are held.

use std::time::Duration;

use serde_json::Value;
use stepwell_server::view::run::{Run, RunStatus};
use tokio::time::Instant;

use crate::args::runs::{Until, WaitArgs};
use crate::client::{Call, Patience};
use crate::command::Desk;
use crate::command::runs::RUNS;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::note;
use crate::output::progress::Progress;

/// How often is looked, at first and at the least.
const LOOK_FIRST: Duration = Duration::from_millis(50);
const LOOK_LAST: Duration = Duration::from_secs(1);

/// Whether there is nothing more to wait for.
pub(super) fn is_over(status: RunStatus, until: Until) -> bool {
    match status {
        RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled => true,
        RunStatus::Paused => until == Until::Rest,
        RunStatus::Queued | RunStatus::Running | RunStatus::Waiting | RunStatus::Cancelling => false,
    }
}

pub(super) async fn wait(desk: &Desk, args: &WaitArgs) -> Result<Exit, Failure> {
    over(desk, &args.runs, args.timeout, args.until).await
}

/// Waits for one run that was just started.
pub(super) async fn one(desk: &Desk, run: String, timeout: Option<Duration>) -> Result<Exit, Failure> {
    over(desk, &[run], timeout, Until::Rest).await
}

async fn over(desk: &Desk, ids: &[String], timeout: Option<Duration>, until: Until) -> Result<Exit, Failure> {
    let ends = timeout.map(|timeout| Instant::now() + timeout);
    let mut seen: Vec<Option<Run>> = vec![None; ids.len()];
    let mut progress = Progress::begin(false);
    let (mut pause, mut is_late, mut patience) = (LOOK_FIRST, false, Patience::default());
    loop {
        match look(desk, ids, until, &mut seen).await {
            Ok(()) => patience.answered(),
            Err(failure) => {
                let silence = patience.pause(failure)?;
                if is_late {
                    break;
                }
                progress.aside(|| note(&silence.words));
                let next = Instant::now() + silence.time;
                is_late = ends.is_some_and(|ends| ends <= next);
                tokio::time::sleep_until(ends.map_or(next, |ends| ends.min(next))).await;
                continue;
            }
        }
        let left: Vec<_> = seen.iter().flatten().filter(|run| !is_over(run.status, until)).collect();
        let Some(first) = left.first() else { break };
        if is_late {
            break;
        }
        progress.say(told(first, left.len()), share(first).filter(|_| left.len() == 1));
        let next = Instant::now() + pause;
        // At the end of the time is looked once more.
        is_late = ends.is_some_and(|ends| ends <= next);
        tokio::time::sleep_until(ends.map_or(next, |ends| ends.min(next))).await;
        pause = (pause * 2).min(LOOK_LAST);
    }
    drop(progress);
    let runs: Vec<Run> = seen.into_iter().flatten().collect();
    let rows =
        runs.iter().map(serde_json::to_value).collect::<Result<Vec<Value>, _>>().map_err(Failure::other)?;
    desk.output.rows(RUNS, &rows, "")?;
    let waiting = ids.len() - runs.iter().filter(|run| is_over(run.status, until)).count();
    if waiting > 0 {
        note(&format!("the time is over; {waiting} of {} are still on their way", ids.len()));
        return Ok(Exit::TimedOut);
    }
    let is_well = runs.iter().all(|run| run.status == RunStatus::Succeeded);
    Ok(if is_well { Exit::Ok } else { Exit::Failed })
}

/// Looks at every run that was not over when it was seen last.
async fn look(desk: &Desk, ids: &[String], until: Until, seen: &mut [Option<Run>]) -> Result<(), Failure> {
    for (id, seen) in ids.iter().zip(seen) {
        if !seen.as_ref().is_some_and(|run| is_over(run.status, until)) {
            *seen = Some(desk.client.call(Call::get(&["runs", id])).await?.json()?);
        }
    }
    Ok(())
}

/// How far a run is, in percent, where it says.
fn share(run: &Run) -> Option<f64> {
    (run.of > 0).then(|| run.done as f64 / run.of as f64 * 100.0)
}

fn told(run: &Run, left: usize) -> String {
    let word = serde_json::to_value(run.status).ok().and_then(|word| word.as_str().map(str::to_owned));
    let others = if left > 1 { format!(", and {} others", left - 1) } else { String::new() };
    format!("{} is {}{others}", run.run, word.unwrap_or_default())
}
