//! What workers tell of themselves, and what is said of those that were lost.

use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use stepwell::clock::SimulatedTime;
use stepwell::contract::{
    Backend, Batch, Clock, Head, MemoryBackend, Name, Payload, Query, RunKey, TenantId, Timestamp, WorkerId,
};
use stepwell::diagnosis::{Confidence, Diagnosis};
use stepwell::prelude::*;
use stepwell::{EngineOptions, WorkerView};
use until::until;

mod until;

const START: Timestamp = Timestamp(1_800_000_000_000);

/// A store with a clock, and workers whose step never ends.
struct Site {
    time: SimulatedTime,
    backend: Arc<MemoryBackend>,
    /// Each worker holds it as long as anything of it is left.
    held: Arc<()>,
}

impl Site {
    fn new() -> Self {
        let time = SimulatedTime::at(START);
        let backend = MemoryBackend::with_clock(Arc::new(time.clone()) as Arc<dyn Clock>);
        Self { time, backend: Arc::new(backend.shared()), held: Arc::default() }
    }

    fn options(name: &str) -> EngineOptions {
        let worker = Some(WorkerId::new(name).expect("an id"));
        EngineOptions { worker, stop_grace_ms: 1, shutdown_grace_ms: 1, ..EngineOptions::default() }
    }

    async fn worker(&self, options: EngineOptions) -> Engine {
        let policy = StepPolicy::default().effect(Effect::NotIdempotent);
        let flow = Workflow::named("w")
            .step_fn("act", |_: StepContext, _: String| async move {
                std::future::pending::<()>().await;
                Ok(String::new())
            })
            .policy(policy)
            .build()
            .expect("a workflow");
        let backend: Arc<dyn Backend> = Arc::clone(&self.backend) as _;
        let builder = Engine::builder(backend).time(Arc::new(self.time.clone())).options(options);
        let builder = builder.resource(Arc::clone(&self.held)).code_version("1.4");
        builder.register(flow).start().await.expect("an engine")
    }

    /// Returns once nothing is left of the workers that were dropped: until then their threads may see time pass.
    async fn gone(&self) {
        until("the workers are gone", async || Arc::strong_count(&self.held) == 1).await;
    }

    /// The head of the worker as it is stored.
    async fn told(&self, name: &str) -> Option<(Head, Value)> {
        let query = Query {
            tenant: Some(TenantId::new("stepwell.system").expect("a name")),
            workflow: Some(Name::new("stepwell.worker").expect("a name")),
            ..Query::default()
        };
        let heads = self.backend.scan(&query, None, 100).await.expect("heads").items;
        let told = heads.into_iter().map(|head| {
            let said: Value = head.summary.decode().expect("json");
            (head, said)
        });
        told.into_iter().find(|(_, said)| said["worker"] == name)
    }

    /// A worker that took a run and vanished in the middle of its step, having told this of itself last.
    async fn lost(&self, tell: impl FnOnce(&mut Value)) -> RunKey {
        let worker = self.worker(Self::options("w-1")).await;
        until("it has told", async || self.told("w-1").await.is_some()).await;
        let run = worker.start_run("w", "r-1", "in").await.expect("a run");
        let key = run.key().clone();
        drop((run, worker));
        self.gone().await;
        let (head, mut said) = self.told("w-1").await.expect("told");
        tell(&mut said);
        let summary = Payload::encode(&said).expect("json");
        let next = Head { version: head.version.next(1), summary, ..head.clone() };
        let batch = Batch::replace(head.version, next, Vec::new());
        let verdict = self.backend.commit(&[batch]).await.expect("written").remove(0);
        assert!(verdict.is_accepted());
        key
    }

    /// What the next worker says of it.
    async fn found(&self, key: &RunKey) -> Diagnosis {
        self.time.advance(hours(1));
        let next = self.worker(Self::options("w-2")).await;
        until("it is said why", async || next.diagnosis(key).await.expect("readable").is_some()).await;
        next.diagnosis(key).await.expect("readable").expect("a diagnosis")
    }
}

/// When a process began, as the system counts.
fn began(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let (_, after) = text.rsplit_once(')').expect("a name");
    after.split_whitespace().nth(19).expect("a field").parse().expect("a number")
}

/// A process of its own that stands for that of the worker.
fn other_process() -> Child {
    Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().expect("a process")
}

fn was(said: &mut Value, process: &Child) {
    said["pid"] = json!(process.id());
    said["began"] = json!(began(process.id()));
}

fn told(found: &Diagnosis, fact: &str) -> bool {
    found.evidence.iter().any(|sentence| sentence.says == fact)
}

#[tokio::test]
async fn a_worker_whose_process_is_gone_without_a_word_was_killed() {
    let (site, mut process) = (Site::new(), other_process());
    let key = site.lost(|said| was(said, &process)).await;
    process.kill().expect("killed");
    process.wait().expect("gone");
    let found = site.found(&key).await;
    assert_eq!((found.code.as_str(), found.confidence), ("SW6003", Confidence::Medium), "{found:#?}");
    assert!(told(&found, "process_gone") && told(&found, "exit_unclean"), "{found:#?}");
}

#[tokio::test]
async fn a_worker_whose_process_is_there_and_does_nothing_is_told_from_a_dead_one() {
    let (site, mut process) = (Site::new(), other_process());
    let key = site.lost(|said| was(said, &process)).await;
    let found = site.found(&key).await;
    process.kill().expect("killed");
    process.wait().expect("gone");
    assert_eq!((found.code.as_str(), told(&found, "process_there")), ("SW6014", true), "{found:#?}");
}

#[tokio::test]
async fn a_later_process_of_the_same_number_is_not_taken_for_the_worker() {
    let (site, mut process) = (Site::new(), other_process());
    let key = site
        .lost(|said| {
            was(said, &process);
            said["began"] = json!(began(process.id()) - 1);
        })
        .await;
    let found = site.found(&key).await;
    process.kill().expect("killed");
    process.wait().expect("gone");
    assert_eq!(found.code, "SW6003", "{found:#?}");
}

#[tokio::test]
async fn a_kill_for_want_of_memory_is_told_by_the_count_of_the_kernel_and_not_by_full_memory_alone() {
    for (kills, code, sure) in [(4, "SW6002", Confidence::High), (3, "SW6003", Confidence::Medium)] {
        let (site, mut process) = (Site::new(), other_process());
        let group = tempfile::tempdir().expect("a folder");
        for (file, text) in [("memory.max", "1000000"), ("memory.current", "1"), ("memory.events", "")] {
            std::fs::write(group.path().join(file), text).expect("written");
        }
        std::fs::write(group.path().join("memory.events"), format!("oom 9\noom_kill {kills}\n"))
            .expect("written");
        let id = std::fs::metadata(group.path()).expect("there").ino();
        let key = site
            .lost(|said| {
                was(said, &process);
                said["group"] = json!({ "folder": group.path(), "id": id, "version": 2 });
                said["heartbeat"]["rss_bytes"] = json!(960_000);
                said["heartbeat"]["memory_limit_bytes"] = json!(1_000_000);
                said["heartbeat"]["oom_kills"] = json!(3);
            })
            .await;
        process.kill().expect("killed");
        process.wait().expect("gone");
        let found = site.found(&key).await;
        assert_eq!((found.code.as_str(), found.confidence), (code, sure), "{found:#?}");
        assert!(told(&found, "heartbeat"), "{found:#?}");
    }
}

#[tokio::test]
async fn a_machine_that_was_started_anew_is_known_by_its_own_mark() {
    for is_same_machine in [true, false] {
        let site = Site::new();
        let key = site
            .lost(|said| {
                said["boot"] = json!("another start");
                if !is_same_machine {
                    said["machine"] = json!("another machine");
                }
            })
            .await;
        let found = site.found(&key).await;
        let has_mark = std::fs::read_to_string("/etc/machine-id").is_ok_and(|mark| !mark.trim().is_empty());
        assert_eq!(found.code == "SW6006", is_same_machine && has_mark, "{found:#?}");
    }
}

#[tokio::test]
async fn a_worker_that_left_with_a_step_that_did_not_stop_says_so() {
    let site = Site::new();
    let key = site.lost(|said| said["left"] = json!({ "at": START, "runs_left": 1 })).await;
    let found = site.found(&key).await;
    assert_eq!((found.code.as_str(), told(&found, "exit_clean")), ("SW6004", true), "{found:#?}");
}

#[tokio::test]
async fn of_a_worker_elsewhere_that_is_silent_nothing_is_claimed() {
    let elsewhere = |said: &mut Value| {
        said["host"] = json!("stepwell-no-such-host.invalid");
        said["boot"] = json!("another start");
        said["machine"] = json!("another machine");
    };
    let site = Site::new();
    let key = site.lost(elsewhere).await;
    assert_eq!(site.found(&key).await.code, "SW9001");
    // This engine itself went without shutting down: it cannot know how from inside.
    let site = Site::new();
    let key = site.lost(|_| {}).await;
    assert_eq!(site.found(&key).await.code, "SW9001");
}

#[tokio::test]
async fn a_later_worker_of_the_same_name_is_not_taken_for_the_lost_one() {
    let (site, mut process) = (Site::new(), other_process());
    let key = site.lost(|said| was(said, &process)).await;
    process.kill().expect("killed");
    process.wait().expect("gone");
    site.time.advance(hours(1));
    let again = site.worker(Site::options("w-1")).await;
    until("it is said why", async || again.diagnosis(&key).await.expect("readable").is_some()).await;
    let found = again.diagnosis(&key).await.expect("readable").expect("a diagnosis");
    assert_eq!(found.code, "SW6003", "{found:#?}");
}

async fn one(engine: &Engine, name: &str) -> WorkerView {
    let workers = engine.workers().await.expect("workers");
    workers.into_iter().find(|worker| worker.worker.as_str() == name).expect("the worker")
}

#[tokio::test]
async fn workers_are_listed_with_what_they_take_and_hold_and_how_they_left() {
    let site = Site::new();
    let queues = vec![Name::new("bulk").expect("a name"), Name::new("default").expect("a name")];
    let worker = site.worker(EngineOptions { queues: queues.clone(), ..Site::options("w-1") }).await;
    let other = site.worker(Site::options("w-2")).await;
    let desk = Engine::builder(Arc::clone(&site.backend) as Arc<dyn Backend>);
    let desk = desk.time(Arc::new(site.time.clone())).build().await.expect("an engine");
    until("both have told", async || desk.workers().await.expect("workers").len() == 2).await;
    worker.start_run("w", "r-1", "in").await.expect("a run");
    let view = one(&desk, "w-1").await;
    assert_eq!((view.alive, view.held, &view.queues), (true, 1, &queues));
    let known: Vec<_> = view.workflows.iter().map(|known| (known.name.as_str(), known.version)).collect();
    assert!(known.contains(&("w", 1)), "{known:?}");
    assert_eq!((view.pid, view.code_version.as_deref()), (std::process::id(), Some("1.4")));
    assert!(view.heartbeat.rss_bytes.is_some_and(|bytes| bytes > 0), "{view:?}");
    assert_eq!(one(&desk, "w-2").await.held, 0);

    other.shutdown().await;
    let left = one(&desk, "w-2").await;
    assert_eq!((left.alive, left.left.expect("it said so").runs_left), (false, 0));
    // One that is dropped says nothing, and is taken to be there until it has been silent for long.
    drop((worker, other));
    site.gone().await;
    assert!(one(&desk, "w-1").await.alive);
    site.time.advance(secs(31));
    let gone = one(&desk, "w-1").await;
    assert_eq!((gone.alive, gone.left, gone.held), (false, None, 1));
    assert!(
        desk.list(&Query::default(), None, 10).await.expect("runs").items.len() == 1,
        "workers are no runs"
    );
}

#[tokio::test]
async fn a_worker_tells_again_and_again_and_is_forgotten_when_it_is_long_gone() {
    let site = Site::new();
    site.worker(Site::options("w-1")).await.shutdown().await;
    let _worker = site.worker(Site::options("w-2")).await;
    let _silent = site.worker(EngineOptions { heartbeat_ms: 0, ..Site::options("w-3") }).await;
    until("it has told", async || site.told("w-2").await.is_some()).await;
    // It may not sleep yet when the time passes that it is to sleep for.
    let time_passes = async || {
        site.time.advance(secs(10));
        tokio::task::yield_now().await;
    };
    let again = |said: &Value| said["heartbeat"]["at"] != json!(START);
    until("it tells again", async || {
        time_passes().await;
        site.told("w-2").await.is_some_and(|(_, said)| again(&said))
    })
    .await;
    assert!(site.told("w-3").await.is_none(), "it is told not to");
    site.time.advance(days(8));
    until("the other is forgotten", async || {
        time_passes().await;
        site.told("w-1").await.is_none()
    })
    .await;
    assert!(site.told("w-2").await.is_some());
}
