//! Random programs on the real engine, on simulated time, beside a model that knows nothing of time.
//!
//! The engines that run them are killed and replaced, work side by side on one store that loses replies and refuses calls,
//! and the clock leaps over leases, sleeps and retries. Signals come before and after they are waited for, those outside report
//! on what is left to them, late, wrongly and not at all; some runs are paused and let go on, some are cancelled, some cannot
//! be undone until a person says so. Whatever happens on the way, each run ends as the model says, and so do its children.

pub mod flow;
pub mod model;
pub mod outsider;
pub mod program;
pub mod relations;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stepwell::clock::SimulatedTime;
use stepwell::observe::cause::Cause;
use stepwell::run::event::Event;
use stepwell::run::place::Place as StepPlace;
use stepwell::run::state::State;
use stepwell::{Engine, EngineOptions, IntegrityFilter};
use stepwell_contract::fault::{Effect, FaultBackend, FaultPlan, Method};
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{
    Backend, BackendError, Clock, FaultKind, Head, MemoryBackend, Name, Payload, Query, Record, RunId,
    RunKey, Seq, Status, TenantId, WorkerId,
};

use crate::audit::{is_of_users, journal};
use crate::harness::programs::flow::{START, workflows};
use crate::harness::programs::model::Model;
use crate::harness::programs::outsider::Outsider;
use crate::harness::programs::program::{Data, Maker, Part, Shown, family};
use crate::harness::programs::relations::{Ended, agree};
use crate::harness::work::plant;
use crate::place::{Kind, Place};
use crate::report::{Arguments, Report};

/// Programs that share a store and its engines.
const GROUP: u64 = 100;
/// How long a group may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Real time between two looks at a group, and between two leaps of its clock.
const TICK: Duration = Duration::from_millis(1);
/// After so many looks without a write everybody waits for time to go on.
const IDLE_TICKS: u32 = 5;
/// So many runs that have not ended are few.
const FEW: usize = 10;
/// How often a run is read again that is still written to.
const READS_MAX: u32 = 100;
/// After so many broken promises no other group is begun.
const VIOLATIONS_MAX: usize = 5;
/// Most parts of a program.
const PARTS_MAX: u32 = 14;

/// Runs the harness. `--programs N`, `--first N` and `--store KIND` choose what is run.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    let mut report = Report::new("programs", arguments);
    plant(arguments);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            report.violations([format!("no runtime: {error}")]);
            return report.finish();
        }
    };
    let programs: u64 = arguments.value("programs", 20_000);
    let first: u64 = arguments.value("first", 0);
    let only = arguments.text("store");
    let seed = arguments.seed();
    let mut tally = Tally::default();
    if only.is_none_or(|only| only == "simulated") {
        let mut at = first;
        while at < first + programs && report.found() < VIOLATIONS_MAX {
            let group = Group::new(seed, at, GROUP.min(first + programs - at), Duration::from_secs(60));
            runtime.block_on(group.run(World::simulated(seed ^ at), &mut tally));
            report.violations(tally.violations.drain(..));
            at += GROUP;
        }
        report.count_at_least("programs", tally.ended, arguments.value("least", programs));
        report.count_at_least("engines_killed", tally.killed, programs / 100);
        report.count_at_least("faults", tally.faults, programs / 10);
        report.count_at_least("cancelled", tally.cancelled, programs / 200);
        report.count_at_least("paused", tally.paused, programs / 200);
        report.count_at_least("failed", tally.failed, programs / 20);
        report.count_at_least("undone", tally.undone, programs / 100);
        report.count_at_least("causes", tally.causes, programs / 20);
        report.count_at_least("checks", tally.checks, programs / 100);
        report.count_at_least("validated", tally.validated, programs);
        report.count_at_least("children", tally.children, programs / 4);
        report.count_at_least("children_cancelled", tally.children_cancelled, programs / 200);
        report.count_at_least("reports", tally.reports, programs / 10);
        report.count_at_least("stale_reports_refused", tally.stale, programs / 100);
        report.count_at_least("merges", tally.merges, programs / 20);
        report.count_at_least("retried_by_hand", tally.retried, programs / 500);
        report.count("signals", tally.signals);
        report.count("takeovers", tally.takeovers);
    }
    for kind in Kind::ALL {
        if only.is_some_and(|only| only != kind.as_str()) || kind == Kind::Memory && only.is_none() {
            continue;
        }
        let mut on_store = Tally::default();
        let count = arguments.value("on_each_store", 100);
        let group = Group::new(seed, first, count, Duration::from_millis(1));
        runtime.block_on(group.run(World::real(kind, seed), &mut on_store));
        report.count_at_least(kind.as_str(), on_store.ended, count);
        report.violations(on_store.violations);
    }
    report.finish()
}

/// What was done and found.
#[derive(Debug, Default)]
struct Tally {
    ended: u64,
    failed: u64,
    cancelled: u64,
    paused: u64,
    killed: u64,
    faults: u64,
    signals: u64,
    takeovers: u64,
    undone: u64,
    causes: u64,
    checks: u64,
    validated: u64,
    children: u64,
    children_cancelled: u64,
    reports: u64,
    stale: u64,
    merges: u64,
    retried: u64,
    violations: Vec<String>,
}

/// Where a group runs.
enum World {
    Simulated { time: SimulatedTime, store: Arc<FaultBackend>, seed: u64 },
    Real { place: Box<Place>, seed: u64 },
}

impl World {
    fn simulated(seed: u64) -> Self {
        let time = SimulatedTime::at(START);
        let store = MemoryBackend::with_clock(Arc::new(time.clone()) as Arc<dyn Clock>);
        // Faultless: it counts what reaches the store.
        let store = Arc::new(FaultBackend::new(Arc::new(store.shared()), FaultPlan::seeded(seed)));
        Self::Simulated { time, store, seed }
    }

    fn real(kind: Kind, seed: u64) -> Self {
        Self::Real { place: Box::new(Place::new(kind)), seed }
    }

    /// How many engines work at once.
    fn engines(&self) -> usize {
        match self {
            Self::Simulated { .. } => 2,
            Self::Real { place, .. } => {
                if place.kind() == Kind::Redis {
                    2
                } else {
                    1
                }
            }
        }
    }

    /// The store as it really is.
    async fn open(&mut self) -> Arc<dyn Backend> {
        match self {
            Self::Simulated { store, .. } => Arc::clone(store) as Arc<dyn Backend>,
            Self::Real { place, .. } => place.open().await,
        }
    }

    fn faults(&mut self) -> FaultPlan {
        let seed = match self {
            Self::Simulated { seed, .. } | Self::Real { seed, .. } => {
                *seed = seed.wrapping_add(1);
                *seed
            }
        };
        FaultPlan::seeded(seed)
            .chance(Method::Commit, 0.02, Effect::LoseReply)
            .chance(Method::Commit, 0.01, Effect::Drop)
            .chance(Method::Commit, 0.01, Effect::Refuse(FaultKind::Unavailable))
            .chance(Method::Claim, 0.02, Effect::LoseReply)
            .chance(Method::Journal, 0.01, Effect::Refuse(FaultKind::Unavailable))
            .chance(Method::Inbox, 0.01, Effect::Refuse(FaultKind::Unavailable))
    }

    /// Lets the clock leap from now on, until the task is dropped. What waits for it is never the one who moves it.
    /// Once `few` are left it leaps more often: nothing else is kept from its work then.
    ///
    /// Time goes on with the work: a machine that is slow or busy is not late by that, else leases would run out before their
    /// holders had a chance to do anything.
    fn leap(&self, mut random: fastrand::Rng, few: &Arc<AtomicBool>) -> Option<AbortOnDrop> {
        let Self::Simulated { time, store, .. } = self else { return None };
        let (time, store, few) = (time.clone(), Arc::clone(store), Arc::clone(few));
        // Mostly a little; now and then over leases and sleeps, but not so often that nobody gets anything done.
        let small = [0, 20, 200];
        let large = [2_000, 60_000, 1_200_000, 86_400_000, 3 * 86_400_000];
        Some(AbortOnDrop(tokio::spawn(async move {
            let (mut commits, mut idle_ticks, mut since_large) = (0, 0, 0);
            loop {
                tokio::time::sleep(TICK).await;
                let commits_now = store.counts().calls(Method::Commit);
                let done = commits_now - std::mem::replace(&mut commits, commits_now);
                idle_ticks = if done == 0 { idle_ticks + 1 } else { 0 };
                since_large += done;
                let is_idle = idle_ticks >= IDLE_TICKS;
                if done == 0 && !is_idle {
                    continue;
                }
                let (one_of, worth) = if few.load(Ordering::Relaxed) { (6, 10) } else { (15, 40) };
                let is_large = random.u32(0..one_of) == 0 && (is_idle || since_large >= worth);
                since_large = if is_large { 0 } else { since_large };
                let leaps: &[u64] = if is_large { &large } else { &small };
                time.advance(Duration::from_millis(leaps[random.usize(0..leaps.len())]));
            }
        })))
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A run of a program, and what it must come to.
struct Case {
    nth: u64,
    parts: Vec<Part>,
    key: RunKey,
    input: Data,
    signals: BTreeMap<String, (u64, u32)>,
    may_cancel: bool,
    is_paused: bool,
    is_merged: bool,
}

/// Programs that run side by side.
struct Group {
    cases: Vec<Case>,
    random: fastrand::Rng,
    minute: Duration,
}

impl Group {
    fn new(seed: u64, first: u64, count: u64, minute: Duration) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ first);
        let case = |nth: u64| {
            let own = seed.wrapping_mul(31).wrapping_add(nth);
            let parts = Maker::program(own, PARTS_MAX);
            let input = Data { v: own % 1_000, left: Vec::new() };
            let mut model = Model::default();
            model.run(&parts, input.clone());
            let id = RunId::new(format!("program-{nth}")).expect("a valid id");
            let key = RunKey::new(TenantId::default(), id);
            let [may_cancel, is_paused, is_merged] = [(); 3].map(|()| random.u32(0..12) == 0);
            Case { nth, parts, key, input, signals: model.signals, may_cancel, is_paused, is_merged }
        };
        let cases = (first..first + count).map(case).collect();
        Self { cases, random, minute }
    }

    async fn run(mut self, mut world: World, tally: &mut Tally) {
        let deadline = Instant::now() + PATIENCE;
        let few = Arc::new(AtomicBool::new(false));
        let _clock = world.leap(self.random.fork(), &few);
        let mut store = Some(world.open().await);
        let mut engines = Vec::new();
        for nth in 0..world.engines() {
            engines.push(self.engine(&mut world, &store, nth).await);
        }
        for case in &self.cases {
            let name = case.key.run.as_str();
            // The store may refuse, or lose the reply: then the same call again finds out.
            while let Err(error) = engines[0].0.start_run(name, name, &case.input).await {
                if Instant::now() > deadline {
                    tally.violations.push(format!("{} did not start: {error}", case.key));
                    return;
                }
            }
        }
        let mut late: Vec<(RunKey, String, u64, u32)> = Vec::new();
        for case in &self.cases {
            for (name, (said, count)) in &case.signals {
                for nth in 0..*count {
                    late.push((case.key.clone(), name.clone(), *said, nth));
                }
            }
        }
        self.random.shuffle(&mut late);
        let mut asks: Vec<(RunKey, &str)> = Vec::new();
        for case in &self.cases {
            let verb = if case.nth.is_multiple_of(2) { "cancel" } else { "undo" };
            asks.extend(case.may_cancel.then(|| (case.key.clone(), verb)));
            asks.extend(case.is_paused.then(|| (case.key.clone(), "pause")));
            asks.extend(case.is_merged.then(|| (case.key.clone(), "merge")));
        }
        let programs: BTreeMap<String, &[Part]> =
            self.cases.iter().flat_map(|case| family(case.key.run.as_str(), &case.parts)).collect();
        let outsider = Outsider::new(&programs);
        tally.signals += late.len() as u64;
        let (mut ticks, mut looked_until) = (0u32, None);
        loop {
            tokio::time::sleep(TICK).await;
            ticks += 1;
            // A few signals and requests at each tick.
            for _ in 0..late.len().min(10) {
                if let Some((key, name, said, nth)) = late.pop() {
                    let engine = &engines[0].0;
                    let sent = engine.signal(&key, &name, &format!("{name}-{nth}"), &said).await;
                    if let Err(error) = sent
                        && !matches!(error, stepwell::Error::Refused { .. })
                    {
                        late.push((key, name, said, nth));
                    }
                }
            }
            if self.random.u32(0..4) == 0
                && let Some((key, verb)) = asks.pop()
            {
                let engine = engines[0].0.clone();
                tokio::spawn(async move {
                    // Refused when it came too late, or its engine was killed: either may be.
                    let _ = match verb {
                        "cancel" => engine.cancel(&key, "by chance").await,
                        "undo" => engine.undo(&key, "by chance").await,
                        "merge" => engine.merge_context(&key, &outside(), "by chance").await,
                        _ => engine.pause(&key, "by chance").await,
                    };
                });
            }
            if self.random.u32(0..25) == 0 && ticks < 400 {
                // Killed: nothing is given up, nothing is told.
                let nth = self.random.usize(0..engines.len());
                let (engine, faulty) = engines.swap_remove(nth);
                tally.faults += faulty.counts().fired_in_all();
                drop((engine, faulty));
                tally.killed += 1;
                if world.engines() == 1 {
                    // The folder has to be let go of before.
                    drop(store.take());
                    store = Some(world.open().await);
                }
                engines.push(self.engine(&mut world, &store, tally.killed as usize + 10).await);
            }
            if ticks.is_multiple_of(4)
                && let Some(store) = &store
            {
                outsider.look(&engines[0].0, store.as_ref(), &mut self.random).await;
            }
            // Whatever a run waits for at a moment has a name.
            let asked = &self.cases[self.random.usize(0..self.cases.len())].key;
            if let Ok(Some(cause)) = engines[0].0.cause(asked).await {
                tally.causes += 1;
                if cause == Cause::Nothing {
                    tally.violations.push(format!(
                        "nothing will move {asked}: {}",
                        latest(engines[0].0.backend().as_ref(), asked).await
                    ));
                }
            }
            // Wherever a run is, the definitions that brought it there go on with it.
            if ticks.is_multiple_of(50)
                && let Ok(report) = engines[0].0.check().await
            {
                tally.checks += 1;
                if !report.is_fine() {
                    tally.violations.push(format!("a check under the same code: {report}"));
                }
            }
            // Nothing is ever wrong with what the store holds, whoever has just died.
            if ticks.is_multiple_of(10)
                && let Ok(found) = engines[0].0.validate(&every_run(), looked_until.take()).await
            {
                tally.validated += found.looked_at as u64;
                looked_until = found.next;
                tally
                    .violations
                    .extend(found.issues.iter().map(|issue| format!("an integrity check: {issue}")));
                if !found.issues.is_empty() {
                    return;
                }
            }
            if ticks.is_multiple_of(20) && late.is_empty() && asks.is_empty() {
                let Some(store) = &store else { continue };
                let open = unfinished(&engines[0].0, store.as_ref(), tally).await;
                if open.is_empty() {
                    break;
                }
                few.store(open.len() <= FEW, Ordering::Relaxed);
                if Instant::now() > deadline {
                    for head in open {
                        let (key, status) = (&head.key, head.status);
                        let shown =
                            programs.get(head.workflow.as_str()).map(|parts| Shown(parts).to_string());
                        let (why, shown) = (latest(store.as_ref(), key).await, shown.unwrap_or_default());
                        tally.violations.push(format!("{key} is stuck, {status}: {why}: {shown}"));
                    }
                    return;
                }
            }
        }
        for (_, faulty) in &engines {
            faulty.calm_down();
            tally.faults += faulty.counts().fired_in_all();
        }
        let Some(store) = &store else { return };
        let (reports, stale, mut violations) = outsider.done();
        tally.reports += reports;
        tally.stale += stale;
        tally.violations.append(&mut violations);
        match self.check(&programs, store.as_ref(), tally).await {
            Ok(()) => {}
            Err(error) => tally.violations.push(format!("the store cannot be read: {error}")),
        }
    }

    /// Checks every run of the store.
    async fn check(
        &self,
        programs: &BTreeMap<String, &[Part]>,
        store: &dyn Backend,
        tally: &mut Tally,
    ) -> Result<(), BackendError> {
        let mut runs = BTreeMap::new();
        let mut heads = heads(store).await?;
        for head in &mut heads {
            // What was asked late is refused late: head and journal are read until they belong together.
            let mut records = journal(store, &head.key).await?;
            for _ in 0..READS_MAX {
                if head.next_seq == Seq::FIRST.plus(records.len()) {
                    break;
                }
                tokio::time::sleep(TICK).await;
                *head = store.head(&head.key).await?.unwrap_or_else(|| head.clone());
                records = journal(store, &head.key).await?;
            }
            match State::fold(&records) {
                Ok(state) => drop(runs.insert(head.key.clone(), Ended { records, state })),
                Err(error) => {
                    tally.violations.push(format!("the journal of {} does not fold: {error}", head.key));
                }
            }
        }
        for head in heads.iter().filter(|head| runs.contains_key(&head.key)) {
            let case = self.cases.iter().find(|case| case.key == head.key);
            let ended = &runs[&head.key];
            let parts = programs[head.workflow.as_str()];
            let may_cancel = case.is_none_or(|case| case.may_cancel);
            let mut found = check(parts, may_cancel, head, ended, tally);
            if found.is_ok() && case.is_none() {
                found = agree(&head.key, &runs);
                tally.children += 1;
                tally.children_cancelled += u64::from(head.status == Status::Cancelled);
            }
            match found {
                Ok(()) => tally.ended += u64::from(case.is_some()),
                Err(why) => {
                    let (input, shown) = (&ended.state.created.input, Shown(parts));
                    tally.violations.push(format!("{} on {input:?}: {why}: {shown}", head.key));
                }
            }
        }
        let missing = self.cases.iter().filter(|case| !runs.contains_key(&case.key));
        tally.violations.extend(missing.map(|case| format!("program {} is gone", case.nth)));
        Ok(())
    }

    async fn engine(
        &self,
        world: &mut World,
        store: &Option<Arc<dyn Backend>>,
        nth: usize,
    ) -> (Engine, Arc<FaultBackend>) {
        let store = store.clone().expect("the store is open");
        let faulty = Arc::new(FaultBackend::new(store, world.faults()));
        // Time leaps at every look here, and what is told at a time would be told each time.
        let options = EngineOptions {
            heartbeat_ms: 0,
            worker: Some(WorkerId::new(format!("w-{nth}")).expect("a valid id")),
            poll_ms: 2,
            lease_ms: 10_000,
            concurrency: 1_000,
            ..EngineOptions::default()
        };
        let mut builder = Engine::builder(Arc::clone(&faulty) as Arc<dyn Backend>).options(options);
        if let World::Simulated { time, .. } = world {
            builder = builder.time(Arc::new(time.clone()));
        }
        for case in &self.cases {
            let flows = workflows(case.key.run.as_str(), &case.parts, self.minute).expect("a sound program");
            builder = flows.into_iter().fold(builder, |builder, flow| builder.register(flow));
        }
        (builder.start().await.expect("an engine starts"), faulty)
    }
}

/// The heads of all runs of a store.
async fn heads(store: &dyn Backend) -> Result<Vec<Head>, BackendError> {
    let (mut heads, mut after) = (Vec::new(), None);
    loop {
        let page = store.scan(&Query::default(), after, PAGE_ITEMS_MAX).await?;
        heads.extend(page.items.into_iter().filter(|head| is_of_users(&head.key)));
        after = page.next;
        if after.is_none() {
            return Ok(heads);
        }
    }
}

/// The runs that have not ended. Those that are held are let go on: by `resume` where they were held by request, by `retry`
/// where something has failed.
async fn unfinished(engine: &Engine, store: &dyn Backend, tally: &mut Tally) -> Vec<Head> {
    let mut open = heads(store).await.unwrap_or_default();
    open.retain(|head| !head.status.is_finished());
    for head in open.iter().filter(|head| head.status == Status::Paused) {
        match engine.resume(&head.key, "goes on").await {
            Ok(_) => tally.paused += 1,
            Err(_) => tally.retried += u64::from(engine.retry(&head.key, "was looked at").await.is_ok()),
        }
    }
    open
}

/// All runs, some at a time. The clock leaps over days: nothing is ever late.
fn every_run() -> IntegrityFilter {
    IntegrityFilter { runs: 25, patience_ms: 100 * 365 * 86_400_000, ..IntegrityFilter::default() }
}

/// What somebody outside writes into the document of a run.
fn outside() -> serde_json::Value {
    serde_json::json!({ "outside": { "was": { "here": true } } })
}

/// What happened last to a run.
async fn latest(store: &dyn Backend, key: &RunKey) -> String {
    let records = journal(store, key).await.unwrap_or_default();
    let last = records.iter().rev().take(12).rev();
    let words =
        last.map(|record| format!("{} {} {}", record.seq, record.kind.as_str(), record.payload.text()));
    words.collect::<Vec<_>>().join("; ")
}

/// Compares how a run ended with what the model says, and its head and result with its journal.
fn check(
    parts: &[Part],
    may_cancel: bool,
    head: &Head,
    Ended { records, state }: &Ended,
    tally: &mut Tally,
) -> Result<(), String> {
    let input: Data = state.created.input.decode().map_err(|error| error.to_string())?;
    let mut model = Model::default();
    let expected = model.run(parts, input);
    tally.takeovers += records.iter().filter(|record| record.kind.as_str() == "run_taken").count() as u64 - 1;
    if state.status != head.status || state.last_seq.plus(1) != head.next_seq {
        return Err(format!("its head says {} and its journal {}", head.status, state.status));
    }
    tally.undone += undone(head.status, records)?;
    tally.merges += merged(state, &model)?;
    match (head.status, &expected) {
        (Status::Cancelled, _) if may_cancel => tally.cancelled += 1,
        (Status::Failed, None) => tally.failed += 1,
        (Status::Succeeded, Some(expected)) => {
            let shape = state.result.as_ref().ok_or("it has no result")?;
            let output =
                shape.result(state).map_err(|error| error.to_string())?.ok_or("its result is not whole")?;
            let wanted = Payload::encode(expected).map_err(|error| error.to_string())?;
            if output != wanted {
                return Err(format!("it gave {output:?} where the model gives {wanted:?}"));
            }
        }
        (status, expected) => {
            let why = state.failure.as_ref().map(|(_, failure)| failure.to_string()).unwrap_or_default();
            return Err(format!("it is {status} where the model gives {expected:?}: {why}"));
        }
    }
    Ok(())
}

/// Checks the document that the steps of a run share: all that they wrote, and nothing else. Returns how much that is.
fn merged(state: &State, model: &Model) -> Result<u64, String> {
    let nothing = serde_json::Map::new();
    let document = state.context.as_object().unwrap_or(&nothing);
    let steps = document.get("steps").and_then(|steps| steps.as_object()).unwrap_or(&nothing);
    let is_whole = state.status == Status::Succeeded && !model.has_failed;
    for (place, v) in steps {
        if model.merged.get(place).copied() != v.as_u64() {
            return Err(format!("{place} wrote {v}, not {:?}", model.merged.get(place)));
        }
    }
    for (name, value) in document {
        match name.as_str() {
            "steps" => {}
            "outside" if *value == outside()["outside"] => {}
            name if name.starts_with("passing-") && !is_whole => {}
            name => return Err(format!("its document has {name}: {value}")),
        }
    }
    match is_whole && steps.len() != model.merged.len() {
        true => Err(format!("its document has {} of {} writes", steps.len(), model.merged.len())),
        false => Ok(steps.len() as u64),
    }
}

/// Checks that a run which failed, or was to be undone, has undone what it did, the latest first. Returns how many steps
/// were.
fn undone(status: Status, records: &[Record]) -> Result<u64, String> {
    let (mut done, mut undone, mut has_begun) = (Vec::new(), Vec::new(), false);
    for record in records {
        match Event::read(record).map_err(|error| error.to_string())? {
            Event::UndoStarted(_) => has_begun = true,
            Event::StepSucceeded(step) if has_begun => undone.push(step.place),
            Event::StepSucceeded(step) => done.push(step.place),
            _ => {}
        }
    }
    if !has_begun && status != Status::Failed {
        return Ok(0);
    }
    let limits = match records.first().map(Event::read) {
        Some(Ok(Event::RunCreated(created))) => created.limits,
        _ => return Err("it does not begin with its creation".to_owned()),
    };
    let undo_of = |place: &StepPlace| {
        let step = Name::new(format!("{}.undo", place.step)).ok()?;
        limits.contains_key(&step).then(|| StepPlace { step, item: place.item.clone() })
    };
    let wanted: Vec<StepPlace> = done.iter().rev().filter_map(undo_of).collect();
    if undone != wanted {
        return Err(format!("it undid {undone:?} where {wanted:?} was to be undone"));
    }
    Ok(undone.len() as u64)
}
