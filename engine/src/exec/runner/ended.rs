//! What is recorded when an attempt has ended: the step's last words, its end, what follows from it, and why.

use std::sync::Arc;

use serde_json::json;
use stepwell_contract::Clock;

use crate::exec::attempt::{Ended, Failing};
use crate::exec::lately::Of;
use crate::exec::runner::late::InHand;
use crate::exec::runner::{Left, Runner, why};
use crate::exec::stats::Sample;
use crate::run::event::{AttemptFailed, AttemptLost, Event, Logged, StepSucceeded, StepSuspended, Then};
use crate::run::place::Place;
use crate::run::trouble::after_failure;
use crate::run::waiting::Waiting;
use crate::workflow::child::OF_NODE;
use crate::workflow::error::ErrorClass;

impl Runner {
    /// Records how an attempt ended.
    pub(super) async fn take_end(&mut self, place: Place, ended: Ended) -> Result<(), Left> {
        let Some(live) = self.live.remove(&place) else { return Ok(()) };
        self.slot.board.clear(&place);
        // What the step asked for and did not wait for comes before its end.
        while !self.is_full()
            && let Ok(ask) = self.asks.try_recv()
        {
            self.take_ask(ask)?;
        }
        let now = self.core.time.now();
        let elapsed_ms = now.since_ms(live.started_at);
        let (lines, dropped) = live.ctx.take_lines();
        if !lines.is_empty() {
            self.push(Logged { place: place.clone(), attempt: live.attempt, lines, dropped }.into())?;
        }
        let attempt = live.attempt;
        let (started_at, ended_at) = (live.started_at, Some(now));
        self.unwritten.push(InHand { place: place.clone(), attempt, started_at, ended_at });
        let core = Arc::clone(&self.core);
        let (key, worker) = (&self.slot.key, core.worker.as_str());
        let workflow = self.registered.definition.name().as_str();
        let of = Of { key, workflow, place: &place, worker, at: now };
        let mut is_for_good = false;
        let event: Event = match ended {
            Ended::Succeeded(output) => {
                // What a child gave has the form that was wanted when it was started.
                let child = self.state.step(&place).and_then(|step| step.children.get(OF_NODE));
                let spec = self.registered.definition.graph().step(live.step);
                let stored = child.map_or(spec.version, |child| child.version);
                let migrated = self.registered.definition.migrations.output(spec, stored, &output);
                // What cannot be migrated holds whoever reads it.
                let (output, version) = match migrated {
                    Ok(migrated) => (migrated, spec.version),
                    Err(_) => (output, stored),
                };
                self.registered.successes.note(live.step, || Sample {
                    at: now,
                    elapsed_ms,
                    input_bytes: Some(live.input_bytes as u64),
                    output_bytes: output.text().len() as u64,
                    is_retry: attempt > 1,
                });
                core.lately.succeeded(of);
                StepSucceeded { place, attempt, output, version, elapsed_ms }.into()
            }
            Ended::Suspended(waiting) => {
                let waiting = Waiting { made: live.ctx.take_made(), ..*waiting };
                StepSuspended { place, attempt, waiting, elapsed_ms }.into()
            }
            Ended::Dropped => AttemptLost { place, attempt, reason: self.stop_reason }.into(),
            Ended::Failed(failing) => {
                let Failing { failure, ended_at, seen } = *failing;
                let elapsed_ms = ended_at.since_ms(live.started_at);
                let limits = &self.registered.limits[live.step.0];
                let then = match self.state.step(&place) {
                    // A step that was told to stop and says so has not failed.
                    _ if (self.stop.is_cancelled() || self.core.is_stopping())
                        && failure.class == ErrorClass::Cancelled =>
                    {
                        Then::Stopped
                    }
                    Some(step) => after_failure(step, limits, &failure, now, fastrand::f64()),
                    None => Then::Never,
                };
                tracing::warn!(run = %self.slot.key, step = %place, attempt, %failure, ?then, "an attempt failed");
                core.lately.failed(of, &failure, &seen);
                is_for_good = why::is_for_good(&then);
                let stated = limits.stated();
                let limits = if stated.is_empty() { serde_json::Value::Null } else { json!(stated) };
                AttemptFailed { place, attempt, failure, elapsed_ms, then, limits, seen }.into()
            }
        };
        let failed = event.place().filter(|_| is_for_good).cloned();
        self.push(event)?;
        match failed {
            Some(place) => self.explain_step(&place).await,
            None => Ok(()),
        }
    }
}
