//! Says why: gathers what bears on a failure when nothing more follows from it by itself, and records the diagnosis behind it,
//! in the same write.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use stepwell_contract::{BackendError, Clock, Name, Query, Record, RunKey, Seq, Status, Timestamp, WorkerId};

use crate::diagnosis::evidence::{
    AttemptRecord, Case, LostWorker, Relation, Relative, RunFacts, StepFacts, StepStats, UnreadValue,
};
use crate::diagnosis::{Diagnosis, diagnose};
use crate::exec::core::{Core, Registered};
use crate::exec::load::Pages;
use crate::exec::runner::{Left, Runner};
use crate::exec::stats;
use crate::exec::workers::autopsy;
use crate::run::decide::Rest;
use crate::run::event::{Diagnosed, PauseReason, Then};
use crate::run::ledger::Ledger;
use crate::run::place::Place;
use crate::run::spent::Spent;
use crate::run::state::{State, StepState, StepStatus};
use crate::run::unread::Stored;
use crate::run::waiting::ChildEnd;
use crate::workflow::failure::Failure;
use crate::workflow::nearest::nearest;

/// Most diagnoses of steps that fail while a worker has the run: of a map with thousands of items that all fail, the first
/// ones tell.
pub(super) const DIAGNOSES_MAX: usize = 16;
/// Most diagnoses of attempts that one worker left behind. They went together, and whoever takes their run over is to go on soon.
const LOST_MAX: usize = 4;
/// Longest time for reading journals, in milliseconds: what is not read by then is missing in the evidence.
const READ_MS: u64 = 100;
/// Most records of the run's own journal that are read, the latest ones.
const RECORDS_MAX: u64 = 10_000;
/// As many for attempts that were lost: those before them, and how often it happened in a row.
const LOST_RECORDS_MAX: u64 = 1_000;
/// How many runs that have succeeded are looked at where this process knows no success of the step.
const PAST_RUNS: usize = 3;

/// What the journals tell of failures.
struct Read {
    /// Of each step that was asked for, in that order.
    attempts: Vec<Vec<AttemptRecord>>,
    spent: Spent,
    past: Option<StepStats>,
}

impl Runner {
    /// Records why a step has failed for good, directly behind the event that says so.
    pub(super) async fn explain_step(&mut self, place: &Place) -> Result<(), Left> {
        if self.explained.len() >= DIAGNOSES_MAX {
            return Ok(());
        }
        let attempt = self.state.step(place).map(|step| step.attempt);
        let diagnosis = self.judge(Some(place), None).await;
        self.record_why(Some(place), attempt, diagnosis)
    }

    /// The worker that has not given the run up.
    pub(super) fn lost_owner(&self) -> Option<WorkerId> {
        self.state.owner.as_ref().map(|(owner, _)| owner.clone())
    }

    /// Records why the attempts were lost that a worker left behind, as far as that can be known now.
    pub(super) async fn explain_lost(
        &mut self,
        lost: Option<WorkerId>,
        places: &[Place],
    ) -> Result<(), Left> {
        let began =
            places.iter().filter_map(|place| self.state.step(place)).map(|step| step.started_at).max();
        let (Some(worker), Some(began)) = (lost, began) else { return Ok(()) };
        let core = Arc::clone(&self.core);
        let known = autopsy::of_lost(&core, &worker, began).await;
        let places = &places[..places.len().min(LOST_MAX)];
        let mut read = self.read(None, places, LOST_RECORDS_MAX).await;
        for (place, attempts) in places.iter().zip(std::mem::take(&mut read.attempts)) {
            let attempt = self.state.step(place).map(|step| step.attempt);
            let diagnosis = self.weigh(Some(place), Some(&known), None, attempts, &read);
            self.record_why(Some(place), attempt, diagnosis)?;
        }
        Ok(())
    }

    /// Records why the run is held or fails, unless that was said with the step that it is about.
    pub(super) async fn explain_rest(&mut self, rest: &Rest) -> Result<(), Left> {
        let (place, failure) = match rest {
            Rest::Fail { place, failure } => (place.clone(), Some(failure)),
            // The definition at hand does not have a step of the run: that step is what it is about, not an attempt of it.
            Rest::Pause { reason: PauseReason::DefinitionChanged, failure, .. } => {
                let missing = self.missing_step();
                let failure = failure.as_ref().filter(|_| missing.is_none());
                (missing, failure)
            }
            Rest::Pause { reason, place, failure, .. } if !reason.is_asked_for() => {
                (place.clone(), failure.as_ref())
            }
            Rest::Pause { .. } | Rest::Succeed { .. } | Rest::Cancel => return Ok(()),
        };
        let attempt = place.as_ref().and_then(|place| self.state.step(place)).map(|step| step.attempt);
        let is_said =
            place.clone().is_some_and(|place| self.explained.contains(&(place, attempt.unwrap_or(0))));
        if is_said || self.state.ending.is_some() {
            return Ok(());
        }
        let diagnosis = self.judge(place.as_ref(), failure).await;
        self.record_why(place.as_ref(), attempt, diagnosis)
    }

    /// A step that the run has begun and the definition at hand does not have.
    fn missing_step(&self) -> Option<Place> {
        let graph = self.registered.definition.graph();
        self.state.places().map(|(place, _)| place).find(|place| graph.find(&place.step).is_none())
    }

    fn record_why(
        &mut self,
        place: Option<&Place>,
        attempt: Option<u32>,
        diagnosis: Diagnosis,
    ) -> Result<(), Left> {
        let (code, summary) = (&diagnosis.code, &diagnosis.summary);
        tracing::warn!(run = %self.slot.key, step = place.map(tracing::field::display), code, "{summary}");
        if let Some(place) = place {
            self.explained.insert((place.clone(), attempt.unwrap_or(0)));
        }
        self.has_diagnosed = true;
        let diagnosis = Box::new(diagnosis);
        self.push(Diagnosed { place: place.cloned(), attempt, diagnosis, late_by: None }.into())
    }

    /// Reads what is known, and judges it. `failure` is of the run, where no attempt has it.
    async fn judge(&mut self, place: Option<&Place>, failure: Option<&Failure>) -> Diagnosis {
        let past_of = place.filter(|_| self.state.status == Status::Running);
        let places = place.map(std::slice::from_ref).unwrap_or_default();
        let mut read = self.read(past_of, places, RECORDS_MAX).await;
        let attempts = read.attempts.pop().unwrap_or_default();
        self.weigh(place, None, failure, attempts, &read)
    }

    /// Makes a case of what was read, and judges it.
    fn weigh(
        &self,
        place: Option<&Place>,
        lost: Option<&LostWorker>,
        failure: Option<&Failure>,
        mut attempts: Vec<AttemptRecord>,
        read: &Read,
    ) -> Diagnosis {
        let Read { spent, past, .. } = read;
        let core = &self.core;
        let now = core.time.now();
        let index = place.and_then(|place| self.registered.definition.graph().find(&place.step));
        let own = index.and_then(|step| {
            self.registered.successes.of(step, core.worker.as_str(), core.witness.code_version())
        });
        let usual = own.or_else(|| past.clone());
        let state = place.and_then(|place| self.state.step(place));
        // A failure that no attempt has is the whole run's, or was found before any attempt.
        let is_of_attempt = state.is_some_and(|state| state.status == StepStatus::Failed);
        if let Some(failure) = failure.filter(|_| !is_of_attempt) {
            attempts.push(AttemptRecord {
                attempt: 0,
                class: Some(failure.class),
                classified_by: failure.classified_by.clone(),
                code: failure.code.clone(),
                message: failure.message.clone(),
                started_at: now,
                ended_at: Some(now),
                ..AttemptRecord::default()
            });
        }
        let run = self.run_facts(spent, place, now);
        let step = place.map(|place| self.step_facts(place, state));
        let of_last = attempts.last().map(|last| last.environment.as_slice()).unwrap_or_default();
        let of_step = place.map(|place| (self.state.created.workflow.as_str(), place.step.as_str()));
        let neighbours = core.lately.near(of_step, of_last, now);
        let unread = state
            .and_then(|state| state.failure.as_ref())
            .or(failure)
            .filter(|failure| failure.is_unread())
            .map(|failure| unread_value(failure, &self.state));
        let jump = core.witness.jump_since(self.state.created_at, &core.time);
        let case = Case {
            environment: jump.as_slice(),
            step: step.as_ref(),
            attempts: &attempts,
            stats: usual.as_ref(),
            neighbours: &neighbours,
            lost_worker: lost,
            unread: unread.as_ref(),
            ..Case::new(&run, now)
        };
        diagnose(&case, &core.rules)
    }

    /// Reads what journals tell, as far as time allows: of the steps at `places`, and of successes of one in past runs.
    async fn read(&mut self, past_of: Option<&Place>, places: &[Place], records_max: u64) -> Read {
        let (core, slot) = (Arc::clone(&self.core), Arc::clone(&self.slot));
        let registered = Arc::clone(&self.registered);
        let upto = self.state.last_seq.0;
        let owner = self.state.owner.clone();
        let mut ledgers: Vec<Ledger> =
            places.iter().map(|place| Ledger::at(place.clone()).owned_by(owner.clone())).collect();
        let (mut spent, mut past) = (Spent::default(), None);
        let reading = async {
            let from = Seq(upto.saturating_sub(records_max).max(Seq::FIRST.0));
            let mut pages = Pages::new(core.backend.as_ref(), &slot.key, from);
            while let Some(page) = pages.next().await? {
                ledgers.iter_mut().for_each(|ledger| ledger.add(&page));
                spent.add(&page);
            }
            if let Some(place) = past_of {
                past = successes(&core, &registered, &slot.key, place).await?;
            }
            Ok::<(), BackendError>(())
        };
        let limit = core.time.pause(Duration::from_millis(READ_MS));
        match select(Box::pin(reading), Box::pin(limit)).await {
            Either::Left((Ok(()), _)) => {}
            Either::Left((Err(error), _)) => {
                tracing::debug!(run = %slot.key, %error, "evidence could not be read");
            }
            Either::Right(((), _)) => tracing::debug!(run = %slot.key, "evidence takes long to read"),
        }
        // What is about to be written is known already.
        let pending: &[Record] = &self.pending.append;
        ledgers.iter_mut().for_each(|ledger| ledger.add(pending));
        spent.add(pending);
        Read { attempts: ledgers.into_iter().map(Ledger::attempts).collect(), spent, past }
    }

    fn run_facts(&self, spent: &Spent, place: Option<&Place>, now: Timestamp) -> RunFacts {
        let (state, key) = (&self.state, &self.slot.key);
        let (graph, worker) = (self.registered.definition.graph(), self.core.worker.as_str());
        let mut steps = spent.steps();
        for step in &mut steps {
            let index = graph.steps.iter().position(|known| known.name.as_str() == step.step);
            let index = index.map(crate::workflow::graph::StepIndex);
            let usual = index.and_then(|index| self.registered.successes.of(index, worker, None));
            step.usual_ms = usual.map(|usual| usual.median_ms);
        }
        RunFacts {
            tenant: key.tenant.to_string(),
            run: key.run.to_string(),
            workflow: state.created.workflow.to_string(),
            version: state.workflow_version,
            created_at: state.created_at,
            deadline_at: state.deadline_at,
            cancelled: spent.cancelled().cloned(),
            spent: steps,
            held_ms: spent.held_ms(now),
            relatives: place.and_then(|place| state.step(place)).map(children).unwrap_or_default(),
        }
    }

    pub(super) fn step_facts(&self, place: &Place, state: Option<&StepState>) -> StepFacts {
        let graph = self.registered.definition.graph();
        let index = graph.find(&place.step);
        let known: Vec<String> = match index {
            Some(_) => Vec::new(),
            None => graph.steps.iter().map(|step| step.name.to_string()).collect(),
        };
        let item: String = place.item.numbers().iter().map(|nth| format!("[{nth}]")).collect();
        StepFacts {
            step: place.step.to_string(),
            item,
            limits: index.map(|index| self.registered.limits[index.0]),
            began_at: state.map(|state| state.began_at),
            crashes: state.map_or(0, |state| state.crashes),
            registered: Some(index.is_some()),
            nearest: match index {
                Some(_) => None,
                None => nearest(place.step.as_str(), graph.steps.iter().map(|step| &step.name))
                    .map(Name::to_string),
            },
            known,
            will_retry: state.is_some_and(|state| {
                matches!(state.status, StepStatus::Interrupted(_) | StepStatus::Backoff(_))
            }),
        }
    }
}

/// Successes of a step in the latest runs of its workflow, where this process has seen none.
async fn successes(
    core: &Core,
    registered: &Registered,
    key: &RunKey,
    place: &Place,
) -> Result<Option<StepStats>, BackendError> {
    let step = registered.definition.graph().find(&place.step);
    if !place.item.is_root() || step.is_none_or(|step| registered.successes.has_any(step)) {
        return Ok(None);
    }
    let query = Query {
        tenant: Some(key.tenant.clone()),
        workflow: Some(registered.definition.name().clone()),
        statuses: vec![Status::Succeeded],
        ..Query::default()
    };
    let mut attempts = Vec::new();
    let page = core.backend.scan(&query, None, PAST_RUNS).await?;
    if page.items.is_empty() {
        // No run of the workflow has ever succeeded, as far as the store goes back; unless it has only not looked so far.
        return Ok(page.next.is_none().then(StepStats::default));
    }
    for head in page.items {
        let mut ledger = Ledger::at(place.clone());
        // Of a run that is longer than a page the later part is passed over.
        if let Some(page) = Pages::new(core.backend.as_ref(), &head.key, Seq::FIRST).next().await? {
            ledger.add(&page);
        }
        attempts.extend(ledger.attempts());
    }
    Ok(stats::of_attempts(&attempts))
}

/// Whether nothing more follows from a failed attempt by itself.
pub(super) fn is_for_good(then: &Then) -> bool {
    match then {
        Then::Exhausted(_) | Then::Never => true,
        Then::RetryAt(_) | Then::Stopped => false,
    }
}

/// The children of a step that have ended without a result.
fn children(step: &StepState) -> Vec<Relative> {
    let ended = step.children.values().filter_map(|child| Some((child, child.ended.as_ref()?)));
    ended
        .filter_map(|(child, ended)| {
            let (ended, class, summary) = match ended {
                ChildEnd::Succeeded { .. } => return None,
                ChildEnd::Failed { failure } => ("failed", Some(failure.class), failure.message.clone()),
                ChildEnd::Cancelled => ("cancelled", None, String::new()),
            };
            Some(Relative {
                relation: Relation::Child,
                run: child.run.run.to_string(),
                step: None,
                ended: ended.to_owned(),
                ended_at: None,
                class,
                code: None,
                summary,
            })
        })
        .collect()
}

/// What the engine said of a stored value that it could not read, in its parts.
fn unread_value(failure: &Failure, state: &State) -> UnreadValue {
    let of_input = Stored::Input.to_string();
    let is_first_input = failure.message.contains(&of_input) && state.outputs.iter().next().is_none();
    match failure.message.split_once(" does not fit its type: ") {
        Some((what, detail)) => UnreadValue {
            what: what.to_owned(),
            detail: detail.to_owned(),
            is_first_input,
            ..UnreadValue::default()
        },
        None => UnreadValue { what: failure.message.clone(), is_first_input, ..UnreadValue::default() },
    }
}
