//! How a worker was lost is told by whoever takes its run over, from what is left of its process.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use stepwell::EngineOptions;
use stepwell::diagnosis::Diagnosis;
use stepwell::prelude::*;
use stepwell_contract::{RunId, RunKey, TenantId};
use stepwell_redis::test_server::TestServer;
use stepwell_tests::harness::trial::PATIENCE;
use stepwell_tests::place::folder_in_memory;
use stepwell_tests::process::{Signal, Watched, binary};
use stepwell_tests::wait::wait_for;
use stepwell_tests::witness::{self, Line};

/// A shared store, and a worker with a step that waits until it is let go.
struct Scene {
    server: TestServer,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { server: TestServer::start(&[]).expect("a redis-server"), folder: folder_in_memory() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn worker(&self, more: &[&str]) -> Watched {
        let mut command = Command::new(binary("worker"));
        command.args(["hold", "--store", &self.server.url("lost"), "--lease-ms", "2000"]);
        command.arg("--witness").arg(self.path("witness")).arg("--go").arg(self.path("go")).args(more);
        let worker = Watched::start(&mut command).expect("started");
        let begun = || {
            let lines = witness::read(&self.path("witness")).ok()?;
            lines.iter().any(|line| matches!(line, Line::Executed { .. })).then_some(())
        };
        wait_for("an attempt", PATIENCE, begun)
            .unwrap_or_else(|late| panic!("{late}: {}", worker.last_words()));
        worker
    }

    async fn desk(&self) -> Engine {
        let backend = stepwell_backends::open(&self.server.url("lost")).await.expect("opens");
        // What is taken over is held, so that it can be looked at.
        let flow = Workflow::named("hold")
            .step_fn("held", |_: StepContext, (): ()| async move { Ok(()) })
            .policy(StepPolicy::default().effect(Effect::NotIdempotent))
            .build()
            .expect("a workflow");
        let options = EngineOptions { lease_ms: 2_000, poll_ms: 20, ..EngineOptions::default() };
        Engine::builder(backend).register(flow).options(options).build().await.expect("an engine")
    }
}

async fn soon<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("does not come: {what}"))
}

/// What is said of the worker that the process was, once it has been done in.
async fn found(do_in: impl FnOnce(&mut Watched)) -> Diagnosis {
    let scene = Scene::new();
    let mut worker = scene.worker(&[]);
    let desk = Arc::new(scene.desk().await);
    let pid = worker.id();
    let name = soon("the worker is listed", async || {
        let workers = desk.workers().await.expect("workers");
        workers.into_iter().find(|known| known.pid == pid && known.alive).map(|known| known.worker)
    })
    .await;
    let key = RunKey::new(TenantId::default(), RunId::new("held").expect("an id"));
    do_in(&mut worker);
    desk.work();
    let found = soon("it is said why", async || desk.diagnosis(&key).await.expect("readable")).await;
    assert!(found.summary.contains(name.as_str()), "{found:#?}");
    worker.kill();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_killed_is_known_to_be_gone() {
    let found = found(|worker| {
        worker.signal(Signal::KILL);
        worker.wait(PATIENCE).expect("it ends");
    })
    .await;
    assert_eq!(found.code, "SW6003", "{found:#?}");
    assert!(found.evidence.iter().any(|sentence| sentence.says == "process_gone"), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_stopped_is_known_to_be_there() {
    let found = found(|worker| worker.signal(Signal::STOP)).await;
    assert_eq!(found.code, "SW6014", "{found:#?}");
}
