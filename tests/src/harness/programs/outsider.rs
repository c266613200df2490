//! Whoever reports on steps that are left to someone outside: in time, wrongly, or not at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stepwell::prelude::*;
use stepwell::run::state::{State, StepStatus};
use stepwell::{Report, Token};
use stepwell_contract::{Backend, Query, Status};

use crate::audit::journal;
use crate::harness::programs::model::said;
use crate::harness::programs::program::{External, Part, Sort, mix, visit};

/// Most runs that are looked at at once.
const LOOKS_MAX: usize = 12;
/// How long a report may take before its sender gives it up, to say it again when it looks the next time.
const REPORT_MAX: Duration = Duration::from_millis(300);

/// Someone outside.
#[derive(Debug)]
pub struct Outsider {
    /// What to say of each step of each workflow.
    steps: BTreeMap<String, BTreeMap<String, (External, u64)>>,
    done: Arc<Mutex<Done>>,
}

#[derive(Debug, Default)]
struct Done {
    reports: u64,
    stale: u64,
    violations: Vec<String>,
}

impl Outsider {
    /// One who knows these programs.
    #[must_use]
    pub fn new(programs: &BTreeMap<String, &[Part]>) -> Self {
        let mut steps: BTreeMap<String, BTreeMap<String, (External, u64)>> = BTreeMap::new();
        for (workflow, parts) in programs {
            visit(parts, &mut |part| {
                if let Sort::External(external) = part.sort {
                    let of = steps.entry(workflow.clone()).or_default();
                    of.insert(part.name.clone(), (external, said(part)));
                }
            });
        }
        Self { steps, done: Arc::default() }
    }

    /// Looks at some runs and reports on what they wait for.
    pub async fn look(&self, engine: &Engine, store: &dyn Backend, random: &mut fastrand::Rng) {
        let statuses = vec![Status::Queued, Status::Waiting, Status::Running];
        let page = store.scan(&Query { statuses, ..Query::default() }, None, 1_000).await;
        let mut heads = page.map(|page| page.items).unwrap_or_default();
        heads.retain(|head| self.steps.contains_key(head.workflow.as_str()));
        random.shuffle(&mut heads);
        for head in heads.into_iter().take(LOOKS_MAX) {
            let Ok(records) = journal(store, &head.key).await else { continue };
            let Ok(state) = State::fold(&records) else { continue };
            for (place, step) in state.places() {
                let is_outside = step.waiting.as_ref().is_some_and(|waiting| waiting.outside);
                let known = self.steps[head.workflow.as_str()].get(place.step.as_str());
                let Some((external, said)) = known.filter(|_| is_outside) else { continue };
                if step.status != StepStatus::Suspended || (external.is_silent && step.attempt == 1) {
                    continue;
                }
                let token = Token { run: head.key.clone(), place, attempt: step.attempt };
                self.tell(engine, token, *external, *said, random.u32(0..4));
            }
        }
    }

    /// Reports on one attempt, in the background.
    fn tell(&self, engine: &Engine, token: Token, external: External, said: u64, manner: u32) {
        let (engine, done) = (engine.clone(), Arc::clone(&self.done));
        tokio::spawn(async move {
            let work = async {
                if manner == 0 && token.attempt > 1 {
                    let stale = Token { attempt: token.attempt - 1, ..token.clone() };
                    let wrong = Report::succeeded(&mix(said, 1)).expect("a number has a JSON form");
                    match engine.report(&stale, wrong).await {
                        Ok(_) => note(&done, |done| done.violations.push(format!("{stale} was taken"))),
                        Err(stepwell::Error::Refused { .. }) => note(&done, |done| done.stale += 1),
                        // It may be refused later: nothing is known.
                        Err(_) => {}
                    }
                }
                if manner == 1 {
                    // Whether it is taken changes nothing.
                    let _ = engine.report(&token, Report::progress(0.5, "half of it")).await;
                }
                let report = match token.attempt <= external.fails {
                    true => Report::failed(StepError::transient("not yet")),
                    false => Report::succeeded(&said).expect("a number has a JSON form"),
                };
                let told = engine.report(&token, report).await;
                note(&done, |done| done.reports += u64::from(told.is_ok()));
            };
            // Given up: the next look says it again.
            let _ = tokio::time::timeout(REPORT_MAX, work).await;
        });
    }

    /// How many reports were taken, how many stale ones were refused, and which were not.
    #[must_use]
    pub fn done(&self) -> (u64, u64, Vec<String>) {
        let mut done = self.done.lock().expect("nobody panics with it");
        (done.reports, done.stale, std::mem::take(&mut done.violations))
    }
}

fn note(done: &Mutex<Done>, change: impl FnOnce(&mut Done)) {
    change(&mut done.lock().expect("nobody panics with it"));
}
