//! Makes a case file: a fold of the journal, with what is known from elsewhere put beside it.

use std::collections::VecDeque;

use stepwell_contract::{Head, Record, Seq, Status, Timestamp};

use crate::diagnosis::evidence::AttemptRecord;
use crate::observe::audit::{AuditEntry, EventFilter};
use crate::observe::case_file::bounds::{BYTES_MAX, fitted, shortened};
use crate::observe::case_file::outline::outline;
use crate::observe::case_file::secrets::without_secrets;
use crate::observe::case_file::{
    CaseFile, DefinitionShown, DiagnosisShown, FORMAT, LeftOut, RunShown, StepAttempts, StepShown,
    Surroundings, Timeline, TimelineEntry, WorkerSeen,
};
use crate::run::event::Event;
use crate::run::notes::within;
use crate::run::place::Place;
use crate::run::state::{State, StepState, StepStatus};
use crate::run::summary::{Summary, Trouble};
use crate::workflow::definition::Definition;

/// How many entries at the beginning of a timeline are kept.
const FIRST_MAX: usize = 100;
/// How many entries at its end are kept.
const LAST_MAX: usize = 300;
/// Longest text of an entry, in bytes, before the mark that it was cut: diagnoses and attempts tell the rest.
const ENTRY_BYTES_MAX: usize = 400;
/// Most diagnoses.
const DIAGNOSES_MAX: usize = 5;
/// Most steps whose attempts are told.
const PLACES_MAX: usize = 6;
/// Most attempts of one step, the last ones.
const ATTEMPTS_MAX: usize = 10;
/// Most steps.
const STEPS_MAX: usize = 200;
/// Most lines of a definition.
const OUTLINE_MAX: usize = 300;
/// Most workers.
const WORKERS_MAX: usize = 16;
/// Most steps whose limits are told.
const LIMITS_MAX: usize = 50;

/// What is taken from a journal.
#[derive(Debug)]
pub struct Gathering {
    /// The last record that there is, as far as is known.
    last_seq: Seq,
    /// The last record that was taken in.
    read_to: Seq,
    state: Option<Result<State, String>>,
    records: u64,
    entries: u64,
    first: Vec<TimelineEntry>,
    last: VecDeque<TimelineEntry>,
    diagnoses: VecDeque<(DiagnosisShown, Option<Place>)>,
    more_diagnoses: u64,
    /// The latest last.
    workers: Vec<WorkerSeen>,
}

/// What is known from elsewhere.
#[derive(Debug)]
pub struct Around<'a> {
    /// When the file is made.
    pub now: Timestamp,
    /// The head of the run.
    pub head: &'a Head,
    /// What it waits for, where that is known.
    pub waits_for: Option<String>,
    /// The definition that goes on with it, where it is registered.
    pub definition: Option<&'a Definition>,
    /// The attempts of the steps that [`Gathering::places`] names.
    pub attempts: Vec<(Place, Vec<AttemptRecord>)>,
    /// The store and the engine that makes the file; the workers are added.
    pub environment: Surroundings,
}

impl Gathering {
    /// Takes in the journal of this run, from its first record on.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        Self {
            last_seq: Seq(head.next_seq.0.saturating_sub(1)),
            read_to: Seq(0),
            state: None,
            records: 0,
            entries: 0,
            first: Vec::new(),
            last: VecDeque::new(),
            diagnoses: VecDeque::new(),
            more_diagnoses: 0,
            workers: Vec::new(),
        }
    }

    /// Takes in the next records of the journal.
    pub fn add(&mut self, records: &[Record]) {
        self.records += records.len() as u64;
        self.read_to = records.last().map_or(self.read_to, |record| record.seq);
        self.state = match self.state.take() {
            None if records.is_empty() => None,
            None => Some(State::fold(records).map_err(|error| error.to_string())),
            Some(Ok(mut state)) => {
                let replayed = records.iter().try_for_each(|record| state.replay(record));
                Some(replayed.map(|()| state).map_err(|error| error.to_string()))
            }
            Some(Err(error)) => Some(Err(error)),
        };
        for record in records {
            // What is left out is only counted: making its texts would cost more than all the rest.
            let is_last = record.seq.plus(LAST_MAX) > self.last_seq;
            if self.first.len() < FIRST_MAX || is_last {
                EventFilter::default().entries(record).into_iter().for_each(|entry| self.tell(entry));
            } else {
                self.entries += count(record);
            }
            if matches!(record.kind.as_str(), "diagnosed" | "run_taken") {
                self.keep(record);
            }
        }
    }

    /// Whether the records were those that this head stands for.
    #[must_use]
    pub fn is_of(&self, head: &Head) -> bool {
        self.read_to.plus(1) == head.next_seq
    }

    fn tell(&mut self, entry: AuditEntry) {
        let text = match (&entry.place, entry.kind.as_str()) {
            (Some(place), "logged") => format!("{place} logged: {}", entry.text),
            _ => entry.text,
        };
        let told = TimelineEntry {
            seq: entry.seq.0,
            at: entry.at,
            category: entry.category,
            level: entry.level,
            actor: entry.actor.to_string(),
            text: within(text, ENTRY_BYTES_MAX),
        };
        self.entries += 1;
        if self.first.len() < FIRST_MAX {
            self.first.push(told);
        } else {
            if self.last.len() == LAST_MAX {
                self.last.pop_front();
            }
            self.last.push_back(told);
        }
    }

    fn keep(&mut self, record: &Record) {
        match Event::read(record) {
            Ok(Event::Diagnosed(told)) => {
                if self.diagnoses.len() == DIAGNOSES_MAX {
                    self.diagnoses.pop_back();
                    self.more_diagnoses += 1;
                }
                let shown = DiagnosisShown {
                    at: record.at,
                    place: told.place.as_ref().map(ToString::to_string),
                    attempt: told.attempt,
                    late_by: told.late_by.as_ref().map(ToString::to_string),
                    diagnosis: *told.diagnosis,
                };
                self.diagnoses.push_front((shown, told.place));
            }
            Ok(Event::RunTaken(taken)) => {
                let worker = taken.worker.to_string();
                self.workers.retain(|seen| seen.worker != worker);
                let fence = taken.fence.0;
                self.workers.push(WorkerSeen {
                    worker,
                    at: record.at,
                    fence,
                    code_version: taken.code_version,
                });
                if self.workers.len() > WORKERS_MAX {
                    self.workers.remove(0);
                }
            }
            _ => {}
        }
    }

    fn state(&self) -> Option<&State> {
        self.state.as_ref()?.as_ref().ok()
    }

    /// The steps whose attempts are of interest, the most of it first: those that diagnoses are about, the one for which the
    /// run is held or failed, then those that are under way or have failed.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let diagnosed = self.diagnoses.iter().filter_map(|(_, place)| place.clone());
        let mut places: Vec<Place> = Vec::new();
        let mut add = |place: Place| {
            if places.len() < PLACES_MAX && !places.contains(&place) {
                places.push(place);
            }
        };
        diagnosed.for_each(&mut add);
        if let Some(state) = self.state() {
            state.pause.iter().filter_map(|pause| pause.place.clone()).for_each(&mut add);
            state.failure.iter().filter_map(|(place, _)| place.clone()).for_each(&mut add);
            let of_interest = |state: &StepState| state.failure.is_some() || interest(state.status) < 2;
            steps(state)
                .filter(|(_, state)| of_interest(state))
                .take(PLACES_MAX * 2)
                .for_each(|(place, _)| add(place));
        }
        places
    }

    /// The file: without secrets, and within bounds.
    ///
    /// # Errors
    /// The file does not come back from its JSON form: a fault in its types.
    pub fn file(self, around: Around<'_>) -> Result<CaseFile, serde_json::Error> {
        self.file_within(around, BYTES_MAX)
    }

    pub(super) fn file_within(
        self,
        around: Around<'_>,
        bytes_max: usize,
    ) -> Result<CaseFile, serde_json::Error> {
        Ok(fitted(without_secrets(&self.whole(around))?, bytes_max))
    }

    fn whole(self, around: Around<'_>) -> CaseFile {
        let mut left_out = LeftOut { diagnoses: self.more_diagnoses, ..LeftOut::default() };
        let head = around.head;
        let mut said = self.diagnoses.iter().map(|(shown, _)| shown).filter(|shown| shown.late_by.is_none());
        let what_happened = what_happened(head, self.state(), said.next());
        let run = run(head, self.state(), self.records);
        let mut shown: Vec<_> = self.state().into_iter().flat_map(steps).collect();
        shown.sort_by_key(|(_, state)| interest(state.status));
        left_out.steps = shown.len().saturating_sub(STEPS_MAX) as u64;
        let steps = shown.into_iter().take(STEPS_MAX).map(|(place, state)| step(&place, state)).collect();
        let stated = self.state().map(|state| &state.created.limits);
        let limits =
            stated.into_iter().flatten().map(|(step, limits)| (step.to_string(), limits.to_string()));
        let mut limits: Vec<_> = limits.collect();
        left_out.limits = limits.len().saturating_sub(LIMITS_MAX) as u64;
        limits.truncate(LIMITS_MAX);
        let definition = around.definition.map(|definition| {
            let mut outline = outline(definition.graph());
            left_out.outline = outline.len().saturating_sub(OUTLINE_MAX) as u64;
            outline.truncate(OUTLINE_MAX);
            let fingerprint = definition.fingerprint().to_owned();
            let of_run = self.state().map(|state| state.fingerprint.clone());
            DefinitionShown {
                workflow: definition.name().to_string(),
                version: definition.version(),
                run_fingerprint: of_run.filter(|of_run| *of_run != fingerprint),
                fingerprint,
                outline,
            }
        });
        let attempts = around.attempts.into_iter().map(|(place, mut attempts)| {
            let early = attempts.len().saturating_sub(ATTEMPTS_MAX);
            left_out.attempts += early as u64;
            attempts.drain(..early);
            let attempts = attempts.into_iter().map(shortened).collect();
            StepAttempts { place: place.to_string(), attempts }
        });
        let attempts: Vec<_> = attempts.filter(|of| !of.attempts.is_empty()).collect();
        left_out.unreadable = self.state.and_then(Result::err);
        let told = (self.first.len() + self.last.len()) as u64;
        CaseFile {
            format: FORMAT,
            made_at: around.now,
            run,
            what_happened,
            waits_for: around.waits_for,
            diagnoses: self.diagnoses.into_iter().map(|(shown, _)| shown).collect(),
            attempts,
            steps,
            timeline: Timeline { first: self.first, left_out: self.entries - told, last: self.last.into() },
            environment: Surroundings {
                workers: self.workers.into_iter().rev().collect(),
                ..around.environment
            },
            limits,
            definition,
            left_out,
        }
    }
}

fn run(head: &Head, state: Option<&State>, records: u64) -> RunShown {
    let created = state.map(|state| &state.created);
    RunShown {
        key: head.key.to_string(),
        workflow: head.workflow.to_string(),
        workflow_version: head.workflow_version,
        status: head.status,
        queue: head.queue.to_string(),
        priority: head.priority,
        tags: head.tags.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
        created_at: head.created_at,
        updated_at: head.updated_at,
        finished_at: head.finished_at,
        deadline_at: state.and_then(|state| state.deadline_at),
        input_bytes: created.map(|created| created.input.text().len() as u64),
        parent: created.and_then(|created| created.parent.as_ref().map(|parent| parent.run.to_string())),
        records,
    }
}

fn steps(state: &State) -> impl Iterator<Item = (Place, &StepState)> {
    state.steps.iter().flat_map(|(step, group)| {
        group.all().map(move |(item, state)| (Place { step: step.clone(), item }, state))
    })
}

/// How many entries a record has.
fn count(record: &Record) -> u64 {
    match record.kind.as_str() {
        "logged" => match Event::read(record) {
            Ok(Event::Logged(logged)) => logged.lines.len() as u64 + u64::from(logged.dropped > 0),
            _ => 1,
        },
        _ => 1,
    }
}

/// The smaller, the more of interest.
fn interest(status: StepStatus) -> u8 {
    match status {
        StepStatus::Failed | StepStatus::Interrupted(_) => 0,
        StepStatus::Running | StepStatus::Backoff(_) | StepStatus::Again => 1,
        StepStatus::Sleeping(_) | StepStatus::Awaiting(_) | StepStatus::Suspended => 2,
        StepStatus::Succeeded | StepStatus::Skipped => 3,
    }
}

fn step(place: &Place, state: &StepState) -> StepShown {
    let status = match state.status {
        StepStatus::Running => "running".to_owned(),
        StepStatus::Backoff(at) => format!("tried again at {at}"),
        StepStatus::Interrupted(_) => "interrupted".to_owned(),
        StepStatus::Again => "to be tried again".to_owned(),
        StepStatus::Succeeded => "succeeded".to_owned(),
        StepStatus::Failed => "failed".to_owned(),
        StepStatus::Sleeping(at) => format!("sleeps until {at}"),
        StepStatus::Awaiting(Some(at)) => format!("waits, at most until {at}"),
        StepStatus::Awaiting(None) | StepStatus::Suspended => "waits".to_owned(),
        StepStatus::Skipped => "passed over".to_owned(),
    };
    StepShown {
        place: place.to_string(),
        status,
        attempts: state.attempt,
        started_at: state.started_at,
        output_bytes: state.output.as_ref().map(|output| output.text().len() as u64),
    }
}

/// How a run stands, in a few sentences.
fn what_happened(head: &Head, state: Option<&State>, latest: Option<&DiagnosisShown>) -> String {
    let trouble = head.summary.decode::<Summary>().ok().and_then(|summary| summary.trouble);
    let of = format!("The run of {} version {}", head.workflow, head.workflow_version);
    let after = |at: Timestamp| format!("{} ms after it was made", at.since_ms(head.created_at));
    let ended = head.finished_at.map(|at| format!(" {}", after(at))).unwrap_or_default();
    let why = || trouble.as_ref().map(say).unwrap_or_default();
    let stands = match head.status {
        Status::Queued => format!("{of} has not begun."),
        Status::Running => {
            let running = state.map(|state| state.running).unwrap_or_default();
            format!("{of} is under way; attempts that run: {running}.")
        }
        Status::Waiting => format!("{of} waits."),
        Status::Paused => format!("{of} is held until somebody lets it go on{}.", why()),
        Status::Cancelling => format!("{of} is about to end as cancelled."),
        Status::Succeeded => format!("{of} succeeded{ended}."),
        Status::Failed => format!("{of} failed{ended}{}.", why()),
        Status::Cancelled => format!("{of} was cancelled{ended}."),
    };
    let is_of_now = matches!(head.status, Status::Paused | Status::Failed);
    match latest.map(|latest| &latest.diagnosis) {
        Some(latest) if is_of_now => format!("{stands} {} {}", latest.summary, latest.cause),
        Some(latest) => format!("{stands} Earlier, something in it failed: {}", latest.summary),
        None => stands,
    }
}

fn say(trouble: &Trouble) -> String {
    let place = trouble.place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
    let code = trouble.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    let message = trouble.message.trim_end_matches('.');
    format!("{place}{code}: {message}")
}
