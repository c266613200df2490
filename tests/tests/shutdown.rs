//! A worker that is told to stop finishes what it can, gives up the rest, and its successor goes on at once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use stepwell_contract::{RunId, RunKey, TenantId};
use stepwell_redis::test_server::TestServer;
use stepwell_tests::audit::journal;
use stepwell_tests::harness::trial::PATIENCE;
use stepwell_tests::place::folder_in_memory;
use stepwell_tests::process::{Signal, Watched, binary};
use stepwell_tests::wait::wait_for;
use stepwell_tests::witness::{self, Line};

/// A store that several could share, with leases of an hour: whoever waits for one fails.
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

    /// A worker that has begun an attempt of the step.
    fn worker(&self, grace_ms: u64) -> Watched {
        let executed = self.executed();
        let mut command = Command::new(binary("worker"));
        command.args(["hold", "--store", &self.server.url("shutdown"), "--lease-ms", "3600000"]);
        command.arg("--witness").arg(self.path("witness")).arg("--go").arg(self.path("go"));
        command.args(["--grace-ms", &grace_ms.to_string()]);
        let worker = Watched::start(&mut command).expect("started");
        wait_for("an attempt", PATIENCE, || (self.executed() > executed).then_some(()))
            .unwrap_or_else(|late| panic!("{late}: {}", worker.last_words()));
        worker
    }

    fn executed(&self) -> usize {
        let lines = witness::read(&self.path("witness")).expect("the witness");
        lines.iter().filter(|line| matches!(line, Line::Executed { .. })).count()
    }

    fn let_go(&self) {
        std::fs::write(self.path("go"), "").expect("written");
    }

    async fn kinds(&self) -> Vec<String> {
        let backend = stepwell_backends::open(&self.server.url("shutdown")).await.expect("opens");
        let key = RunKey::new(TenantId::default(), RunId::new("held").expect("an id"));
        let records = journal(backend.as_ref(), &key).await.expect("a journal");
        records.iter().map(|record| record.kind.as_str().to_owned()).collect()
    }
}

fn said(path: &Path, word: &str) {
    let is_said = |line: &Line| matches!(line, Line::Said(words) if words[0] == word);
    wait_for(word, PATIENCE, || witness::read(path).ok()?.iter().any(is_said).then_some(()))
        .expect("it is said");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_ends_within_the_grace_time_is_finished() {
    let scene = Scene::new();
    let mut worker = scene.worker(30_000);
    worker.signal(Signal::TERM);
    said(&scene.path("witness"), "stopping");
    scene.let_go();
    assert_eq!(worker.wait(PATIENCE).expect("it ends").code(), Some(0));
    let kinds = scene.kinds().await;
    assert!(kinds.iter().any(|kind| kind == "step_succeeded"), "{kinds:?}");
    assert!(!kinds.iter().any(|kind| kind == "attempt_lost"), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_does_not_end_is_given_up_and_the_successor_takes_it_at_once() {
    let scene = Scene::new();
    let mut worker = scene.worker(300);
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait(PATIENCE).expect("it ends").code(), Some(0));
    let kinds = scene.kinds().await;
    assert_eq!(kinds.last().map(String::as_str), Some("run_released"), "{kinds:?}");
    let asked_at = Instant::now();
    let mut successor = scene.worker(300);
    assert!(asked_at.elapsed() < Duration::from_secs(20), "not after the lease of an hour");
    scene.let_go();
    assert_eq!(successor.wait(PATIENCE).expect("it ends").code(), Some(0));
    let kinds = scene.kinds().await;
    assert_eq!(kinds.last().map(String::as_str), Some("run_succeeded"), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_signal_ends_the_process_now() {
    let scene = Scene::new();
    let mut worker = scene.worker(3_600_000);
    worker.signal(Signal::TERM);
    said(&scene.path("witness"), "stopping");
    worker.signal(Signal::TERM);
    assert_eq!(worker.wait(PATIENCE).expect("it ends").code(), Some(130));
}
