//! Workers that are stopped inside a step for longer than their lease, and wake when another one has ended their runs.
//!
//! Every way in which a stale owner can write is tried, through the engine and, past it, at the store itself. Stores
//! that one process owns are tried without processes: there an owner is stale when its lease has ended and another
//! claim was made.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use stepwell::StepContext;
use stepwell::run::event::{Checkpointed, Event, Memoised, StepSucceeded};
use stepwell::run::place::Place as StepPlace;
use stepwell_contract::{
    Backend, Batch, Claim, Clock, Fence, Guard, Head, Kind as RecordKind, Lease, ManualClock, Name, Payload,
    Record, RunId, RunKey, Seq, Status, TenantId, Timestamp, Verdict, Version, WorkerId, WorkflowRef,
};
use stepwell_redis::test_server::TestServer;

use crate::audit::{check_journal, check_run, journal};
use crate::place::{Kind, Place, folder_in_memory};
use crate::process::{Signal, Watched, binary};
use crate::report::{Arguments, Report};
use crate::wait::wait_for;
use crate::witness::{self, Line};

/// How long a lease lasts.
pub const LEASE_MS: u64 = 1_000;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that a worker might write which believes that the run is as in `mine`, while it is as in `present`.
///
/// # Panics
/// When the events have no stored form, which they have.
#[must_use]
pub fn stale_batches(mine: &Head, present: &Head, step: &str) -> Vec<(&'static str, Batch)> {
    let place = StepPlace::of(Name::new(step).expect("a step's name"));
    let attempt = 1;
    let payload = Payload::encode(&"stale").expect("json");
    let events: [(&'static str, Option<Event>); 4] = [
        ("renewal", None),
        (
            "checkpoint",
            Some(
                Checkpointed { place: place.clone(), attempt, cursor: payload.clone(), progress: None }
                    .into(),
            ),
        ),
        (
            "once",
            Some(
                Memoised { place: place.clone(), attempt, name: "stale".to_owned(), value: payload.clone() }
                    .into(),
            ),
        ),
        ("result", Some(StepSucceeded { place, attempt, output: payload, version: 1, elapsed_ms: 1 }.into())),
    ];
    let mut batches = Vec::new();
    for (what, event) in events {
        batches.push((what, write(mine, mine.version, event.as_ref())));
    }
    // As if all but the version fitted: then nothing but the version is left to refuse it.
    batches.push(("blind write", write(present, mine.version, None)));
    // As a store that lost data makes it look: the same counter again, drawn by somebody else.
    let twin = Version { counter: present.version.counter, nonce: mine.version.nonce };
    batches.push(("same counter", write(present, twin, None)));
    batches
}

fn write(head: &Head, from: Version, event: Option<&Event>) -> Batch {
    let mut next = head.clone();
    next.version = from.next(fastrand::u64(..));
    let records: Vec<Record> = event
        .into_iter()
        .map(|event| event.record(head.next_seq, head.updated_at).expect("an event has a stored form"))
        .collect();
    next.next_seq = head.next_seq.plus(records.len());
    Batch { guard: Guard::At(from), ..Batch::replace(from, next, records) }
}

/// The answers to stale writes, in words: the kind of write, and whether it was refused.
pub async fn try_stale(backend: &dyn Backend, mine: &Head, step: &str) -> Vec<(&'static str, bool)> {
    let Ok(Some(present)) = backend.head(&mine.key).await else { return vec![("head", false)] };
    let mut answers = Vec::new();
    for (what, batch) in stale_batches(mine, &present, step) {
        // An error that says that nothing was done is a refusal too.
        let refused = match backend.commit(&[batch]).await {
            Ok(verdicts) => matches!(verdicts.as_slice(), [Verdict::Rejected { .. }]),
            Err(error) => matches!(error, stepwell_contract::BackendError::Definite(_)),
        };
        answers.push((what, refused));
    }
    answers
}

/// What a stopped worker tries through its context once it is awake. Each answer is `true` when it was refused.
pub async fn try_through(ctx: &StepContext) -> Vec<(&'static str, bool)> {
    let checkpoint = ctx.checkpoint(&"stale", 0.5).await;
    let once = ctx.once("stale", || async { Ok(1) }).await;
    vec![("ctx.checkpoint", checkpoint.is_err()), ("ctx.once", once.is_err())]
}

/// Runs the harness. `--zombies N` stops so many workers.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    let mut report = Report::new("zombies", arguments);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    fastrand::seed(arguments.seed());
    crate::harness::work::plant(arguments);
    let rounds = arguments.value("rounds", 60);
    let mut refused = 0;
    for kind in Kind::EXCLUSIVE {
        match runtime.block_on(in_process(kind, rounds)) {
            Ok(answers) => refused += judge(&mut report, kind.as_str(), &answers),
            Err(error) => report.violations([format!("{}: {error}", kind.as_str())]),
        }
    }
    report.count_at_least("refused_in_process", refused, 500);
    let zombies: u32 = arguments.value("zombies", 24);
    match stop_workers(zombies, &runtime) {
        Ok((answers, violations)) => {
            report.count_at_least("pauses", zombies, 20);
            let refused = judge(&mut report, "redis", &answers);
            report.count_at_least("refused", refused, u64::from(zombies) * 8);
            report.violations(violations);
        }
        Err(error) => report.violations([format!("redis: {error}")]),
    }
    report.finish()
}

/// Counts refusals; whatever was accepted is a violation.
fn judge(report: &mut Report, store: &str, answers: &[(String, String, bool)]) -> u64 {
    let accepted = answers.iter().filter(|(_, _, refused)| !refused);
    report
        .violations(accepted.map(|(run, what, _)| format!("{store}: a stale {what} of {run} was accepted")));
    answers.iter().filter(|(_, _, refused)| *refused).count() as u64
}

/// Two owners, one after the other, on a store of this process.
async fn in_process(kind: Kind, rounds: u32) -> Result<Vec<(String, String, bool)>, String> {
    let clock = ManualClock::at(Timestamp(1_700_000_000_000));
    let mut place = Place::with_clock(kind, Arc::new(clock.clone()));
    let backend = place.open().await;
    let say = |error: stepwell_contract::BackendError| error.to_string();
    let mut answers = Vec::new();
    for round in 1..=rounds {
        let key = RunKey::new(TenantId::default(), RunId::new(format!("run-{round}")).expect("an id"));
        let made = new_head(&key, clock.now());
        let record = Record::new(Seq::FIRST, RecordKind::of("made"), clock.now(), 1, Payload::null());
        backend.commit(&[Batch::create(made, vec![record])]).await.map_err(say)?;
        let mut first = claim(&*backend, "first").await?;
        for _ in 0..fastrand::u32(0..3) {
            first = advance(&*backend, &first).await?;
        }
        clock.advance_ms(i64::try_from(LEASE_MS).unwrap_or(0) + 1);
        let mut second = claim(&*backend, "second").await?;
        for _ in 0..fastrand::u32(0..3) {
            second = advance(&*backend, &second).await?;
        }
        let tried = try_stale(&*backend, &first, "hold").await;
        answers.extend(tried.into_iter().map(|(what, refused)| (key.to_string(), what.to_owned(), refused)));
        if answers.iter().any(|(_, _, refused)| !refused) {
            return Ok(answers);
        }
        // The owner is not disturbed by any of it, and ends the run.
        let mut last = advance(&*backend, &second).await?;
        last.status = Status::Succeeded;
        let end = write(&last, last.version, None);
        if !backend.commit(&[end]).await.map_err(say)?.iter().all(|verdict| verdict.is_accepted()) {
            return Err(format!("the owner of {key} was refused"));
        }
        let records = journal(&*backend, &key).await.map_err(say)?;
        if let Some(violation) = check_journal(&key, &records).pop() {
            return Err(violation);
        }
    }
    Ok(answers)
}

fn new_head(key: &RunKey, now: Timestamp) -> Head {
    Head {
        key: key.clone(),
        version: Version { counter: 1, nonce: fastrand::u64(..) },
        workflow: Name::new("zombie").expect("a name"),
        workflow_version: 1,
        queue: Name::new("default").expect("a name"),
        priority: 0,
        status: Status::Queued,
        wake_at: Some(now),
        lease: None,
        fence: Fence(0),
        next_seq: Seq::FIRST.plus(1),
        created_at: now,
        updated_at: now,
        finished_at: None,
        tags: Arc::default(),
        summary: Payload::null(),
    }
}

async fn claim(backend: &dyn Backend, worker: &str) -> Result<Head, String> {
    let claim = Claim {
        worker: WorkerId::new(worker).expect("an id"),
        ttl_ms: LEASE_MS,
        queues: Vec::new(),
        workflows: vec![WorkflowRef { name: Name::new("zombie").expect("a name"), version: 1 }],
        tenant: None,
        limit: 1,
        nonce: fastrand::u64(..),
    };
    let heads = backend.claim(&claim).await.map_err(|error| error.to_string())?;
    heads.into_iter().next().ok_or_else(|| format!("{worker} found nothing to claim"))
}

/// An honest write of the owner: one record, the lease renewed.
async fn advance(backend: &dyn Backend, head: &Head) -> Result<Head, String> {
    let mut next = head.clone();
    next.version = head.version.next(fastrand::u64(..));
    next.next_seq = head.next_seq.plus(1);
    let lease = head.lease.as_ref().map(|lease| Lease { ttl_ms: LEASE_MS, ..lease.clone() });
    next.lease = lease;
    let record = Record::new(head.next_seq, RecordKind::of("worked"), head.updated_at, 1, Payload::null());
    let batch = Batch::replace(head.version, next.clone(), vec![record]);
    match backend.commit(&[batch]).await.map_err(|error| error.to_string())?.as_slice() {
        [Verdict::Accepted] => Ok(next),
        other => Err(format!("an honest write of {} was answered {other:?}", head.key)),
    }
}

/// Answers and violations of real workers, stopped by a signal inside a step.
type Stopped = (Vec<(String, String, bool)>, Vec<String>);

fn stop_workers(zombies: u32, runtime: &tokio::runtime::Runtime) -> Result<Stopped, String> {
    let server = TestServer::start(&[]).map_err(|error| error.to_string())?;
    let folder = folder_in_memory();
    let witness = folder.path().join("witness");
    let go = folder.path().join("go");
    let url = server.url("zombies");
    let start = |run: &str| {
        let mut command = Command::new(binary("worker"));
        command.args(["zombie", "--store", &url, "--run", run, "--lease-ms", &LEASE_MS.to_string()]);
        command.arg("--witness").arg(&witness).arg("--go").arg(&go);
        Watched::start(&mut command).map_err(|error| error.to_string())
    };
    let runs: Vec<String> = (1..=zombies).map(|nth| format!("run-{nth}")).collect();
    let mut stopped = Vec::new();
    for run in &runs {
        stopped.push(start(run)?);
    }
    for (run, zombie) in runs.iter().zip(&stopped) {
        said(&witness, &["holding", run])?;
        zombie.signal(Signal::STOP);
    }
    // Nobody shows life any more: the successor takes the runs as their leases end.
    let mut successor = start("none")?;
    let ended = successor_ends(&witness, &runs, &mut successor);
    let stale_from = witness::read(&witness).map_err(|error| error.to_string())?.len();
    std::fs::write(&go, "").map_err(|error| error.to_string())?;
    for zombie in &stopped {
        zombie.signal(Signal::CONT);
    }
    ended?;
    let mut violations = Vec::new();
    for (run, zombie) in runs.iter().zip(&mut stopped) {
        let status = zombie.wait(PATIENCE)?;
        if !status.success() {
            violations
                .push(format!("{run}: its stopped worker ended with {status}: {}", zombie.last_words()));
        }
    }
    successor.kill();
    let lines = witness::read(&witness).map_err(|error| error.to_string())?;
    for line in &lines[stale_from..] {
        // What it says of itself as a worker is its own; that it came too late anyone may write.
        if let Line::Acknowledged { run, seq, kind, .. } = line
            && !run.starts_with("stepwell.")
            && kind != "diagnosed"
        {
            violations.push(format!("{run}: record {seq} ({kind}) was accepted from a stopped worker"));
        }
    }
    let answers = lines.iter().filter_map(|line| match line {
        Line::Said(words) if words[0] == "answer" => {
            Some((words[1].clone(), words[3..].join(" "), words[2] == "refused"))
        }
        _ => None,
    });
    violations.extend(runtime.block_on(audit_runs(&url, &runs)));
    Ok((answers.collect(), violations))
}

/// Returns when the successor has ended every run.
fn successor_ends(witness: &Path, runs: &[String], successor: &mut Watched) -> Result<(), String> {
    wait_for("the end of all runs by the successor", PATIENCE, || {
        let lines = witness::read(witness).ok()?;
        let succeeded = lines
            .iter()
            .filter(|line| matches!(line, Line::Acknowledged { kind, .. } if kind == "run_succeeded"));
        (succeeded.count() >= runs.len() || successor.ended().is_some()).then_some(())
    })
}

fn said(witness: &Path, words: &[&str]) -> Result<(), String> {
    wait_for(&words.join(" "), PATIENCE, || {
        let lines = witness::read(witness).ok()?;
        lines.iter().any(|line| matches!(line, Line::Said(said) if said == words)).then_some(())
    })
}

async fn audit_runs(url: &str, runs: &[String]) -> Vec<String> {
    let backend = match stepwell_backends::open(url).await {
        Ok(backend) => backend,
        Err(error) => return vec![error.to_string()],
    };
    let mut violations = Vec::new();
    for run in runs {
        let key = RunKey::new(TenantId::default(), RunId::new(run).expect("an id"));
        match journal(&*backend, &key).await {
            Ok(records) => violations.extend(check_run(&*backend, &key, &records, "\"successor\"").await),
            Err(error) => violations.push(format!("{key}: {error}")),
        }
    }
    violations
}
