//! What a worker had in hand that finds that another one has its run. None of it can be recorded by this worker any more: what it
//! was and how late it came is told to the run, for whoever answers its mail.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use stepwell_contract::{BackendError, Clock, Message, MessageId, Payload, Timestamp, WorkerId};
use uuid::Uuid;

use crate::diagnosis::evidence::{AttemptEnd, AttemptRecord, Case, LeaseFacts, RunFacts};
use crate::diagnosis::{Rules, diagnose};
use crate::error::Error;
use crate::exec::family;
use crate::exec::outcome::Outcome;
use crate::exec::runner::{Left, Runner};
use crate::exec::slot::WriteError;
use crate::run::event::{Diagnosed, Event, LostReason};
use crate::run::mail::STALE_OWNER;
use crate::run::place::Place;
use crate::run::state::StepStatus;

/// Most attempts that are told of: what kept the worker from its lease is the same for all.
const TOLD_MAX: usize = 4;
/// Longest time for telling, in milliseconds: the run is another worker's, and this one has others.
const TELL_MS: u64 = 2_000;
/// Most records of others that are looked at for who has the run.
const RECORDS_MAX: usize = 100;

/// An attempt whose end is not recorded.
#[derive(Debug, Clone)]
pub(super) struct InHand {
    pub(super) place: Place,
    pub(super) attempt: u32,
    pub(super) started_at: Timestamp,
    /// `None` while it was still at work.
    pub(super) ended_at: Option<Timestamp>,
}

impl Runner {
    /// Drives the run until it comes to rest, is given up or lost.
    ///
    /// # Cancellation
    /// Dropping the future is like a crash: the run is left to its next owner.
    pub(crate) async fn drive(mut self) -> Result<Outcome, Left> {
        let driven = self.drive_on().await;
        if let Err(Left::Write(WriteError::Lost)) = &driven {
            let (core, key) = (Arc::clone(&self.core), self.slot.key.clone());
            let limit = core.time.pause(Duration::from_millis(TELL_MS));
            match select(Box::pin(self.tell_late()), Box::pin(limit)).await {
                Either::Left((Ok(()), _)) => {}
                Either::Left((Err(error), _)) => {
                    tracing::warn!(run = %key, %error, "what was in hand could not be told");
                }
                Either::Right(_) => {
                    tracing::warn!(run = %key, "it takes long to tell what was in hand");
                }
            }
        }
        driven
    }

    /// Tells the run what this worker had in hand of it, if another worker has taken it.
    async fn tell_late(&mut self) -> Result<(), Error> {
        let refused_at = self.core.time.own_now();
        let mut in_hand = self.unwritten.clone();
        in_hand.extend(self.live.iter().map(|(place, live)| InHand {
            place: place.clone(),
            attempt: live.attempt,
            started_at: live.started_at,
            ended_at: None,
        }));
        if in_hand.is_empty() {
            return Ok(());
        }
        let Some(lease) = self.lease_lost(refused_at).await? else { return Ok(()) };
        let core = &self.core;
        for of in in_hand.into_iter().take(TOLD_MAX) {
            let told = Payload::encode(&self.late_word(&of, &lease))?;
            let id = MessageId::new(format!("stale-{}", Uuid::now_v7().simple()))?;
            family::post(core, &self.slot.key, Message::new(id, STALE_OWNER, core.time.now(), told)).await?;
        }
        // One that has ended meanwhile, or is held, is never due by itself.
        Ok(family::take_in(core, &self.slot.key).await?)
    }

    /// How the lease was lost; `None` when no other worker has the run or had it.
    async fn lease_lost(&mut self, refused_at: Timestamp) -> Result<Option<LeaseFacts>, Arc<BackendError>> {
        let (core, key) = (&self.core, &self.slot.key);
        let held = self.slot.held().await;
        let Some(head) = core.backend.head(key).await?.filter(|head| head.fence > held.fence) else {
            return Ok(None);
        };
        let others = core.backend.journal(key, held.next_seq, RECORDS_MAX).await?;
        let takers = others.iter().filter(|record| record.kind.as_str() == "run_taken");
        let mut taken = takers.filter_map(|record| match Event::read(record) {
            Ok(Event::RunTaken(taken)) if taken.fence > held.fence => Some(taken.worker),
            _ => None,
        });
        // Whoever has claimed it a moment ago has not recorded that yet.
        let holder: Option<WorkerId> = taken.next_back().or(head.lease.map(|lease| lease.worker));
        let holder = holder.filter(|holder| *holder != core.worker);
        Ok(holder.map(|holder| LeaseFacts {
            worker: core.worker.to_string(),
            fence: held.fence.0,
            fence_now: head.fence.0,
            holder_now: Some(holder.to_string()),
            renewed_at: held.renewed_at,
            lease_ms: held.lease_ms,
            refused_at,
            stalled_ms: core.witness.stalled_since(held.renewed_at, &core.time),
        }))
    }

    /// What is said of one attempt.
    fn late_word(&self, of: &InHand, lease: &LeaseFacts) -> Diagnosed {
        let (core, key, state) = (&self.core, &self.slot.key, &self.state);
        let now = core.time.now();
        let known = state.step(&of.place);
        let attempts = [self.attempt_in_hand(of, lease, now)];
        let step = self.step_facts(&of.place, known);
        let run = RunFacts {
            tenant: key.tenant.to_string(),
            run: key.run.to_string(),
            workflow: state.created.workflow.to_string(),
            version: state.workflow_version,
            created_at: state.created_at,
            deadline_at: state.deadline_at,
            ..RunFacts::default()
        };
        let case =
            Case { step: Some(&step), attempts: &attempts, lease: Some(lease), ..Case::new(&run, now) };
        // That the lease was lost is the engine's matter: no rule of the program's own is asked.
        let diagnosis = diagnose(&case, &Rules::default());
        let (code, summary) = (&diagnosis.code, &diagnosis.summary);
        tracing::warn!(run = %key, step = %of.place, attempt = of.attempt, code, "{summary}");
        let (place, attempt) = (Some(of.place.clone()), Some(of.attempt));
        Diagnosed { place, attempt, diagnosis: Box::new(diagnosis), late_by: Some(core.worker.clone()) }
    }

    fn attempt_in_hand(&self, of: &InHand, lease: &LeaseFacts, now: Timestamp) -> AttemptRecord {
        let ended_at = of.ended_at.unwrap_or(now);
        let record = AttemptRecord {
            attempt: of.attempt,
            ended: AttemptEnd::Lost(LostReason::Stopped),
            started_at: of.started_at,
            ended_at: Some(ended_at),
            elapsed_ms: Some(ended_at.since_ms(of.started_at)),
            worker: Some(lease.worker.clone()),
            fence: Some(lease.fence),
            code_version: self.core.witness.code_version().map(str::to_owned),
            ..AttemptRecord::default()
        };
        // What ended is in the state of this worker, which nobody else has seen; the next attempt may be counted there too.
        let Some(step) = self.state.step(&of.place).filter(|_| of.ended_at.is_some()) else { return record };
        let ended = if step.attempt > of.attempt { StepStatus::Failed } else { step.status };
        match (ended, &step.failure) {
            (StepStatus::Succeeded, _) => AttemptRecord {
                ended: AttemptEnd::Succeeded,
                output_bytes: step.output.as_ref().map(|output| output.text().len() as u64),
                ..record
            },
            (StepStatus::Suspended, _) => AttemptRecord { ended: AttemptEnd::Suspended, ..record },
            (StepStatus::Failed | StepStatus::Backoff(_), Some(failure)) => AttemptRecord {
                ended: AttemptEnd::Failed,
                class: Some(failure.class),
                classified_by: failure.classified_by.clone(),
                code: failure.code.clone(),
                message: failure.message.clone(),
                ..record
            },
            _ => record,
        }
    }
}
