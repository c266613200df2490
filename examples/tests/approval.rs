//! What `approval` promises: a person's word counts whenever it comes, time passes without a worker, nobody is asked twice.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use stepwell_redis::test_server;
use tempfile::TempDir;

struct Bench {
    folder: TempDir,
    store: String,
}

impl Bench {
    fn new(store: &str) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), store: store.to_owned() }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_approval"));
        command.current_dir(self.folder.path()).env_remove("STEPWELL_STORE").env_remove("RUST_LOG");
        command.args(["--store", &self.store]).args(line.split(' '));
        command
    }

    /// Its exit code and what it says.
    fn run(&self, line: &str) -> (i32, String) {
        let output = self.command(line).output().expect("the program starts");
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().expect("it ends by itself"), text)
    }

    fn says(&self, line: &str, code: i32, expected: &[&str]) -> String {
        let (ended, text) = self.run(line);
        assert_eq!(ended, code, "{line} on {}: {text}", self.store);
        for expected in expected {
            assert!(text.contains(expected), "{line} on {}: {expected:?} in {text}", self.store);
        }
        text
    }

    /// A worker, once it has said this, with what it said and what it will say.
    fn worker(&self, line: &str, until: &str) -> (Child, String, impl Read) {
        let mut command = self.command(line);
        let mut worker =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
        let mut out = BufReader::new(worker.stdout.take().expect("it is piped"));
        let mut said = String::new();
        while !said.contains(until) {
            let read = out.read_line(&mut said).expect("a line");
            assert!(read > 0, "it ended without {until:?}: {said}");
        }
        (worker, said, out)
    }
}

const STORES: [&str; 2] = ["file:./runs", "sled:./runs"];

#[test]
fn a_worker_that_is_killed_while_a_request_waits_costs_nothing_and_time_passes_without_it() {
    for store in STORES {
        let bench = Bench::new(store);
        bench.says("start trip", 0, &["trip is there now"]);
        let (mut worker, said, _) =
            bench.worker("work --escalate-after 3s --give-up-after 3days", "waiting for somebody: trip");
        assert!(said.contains("the reviewer is asked") && said.contains("held by this worker: 0"), "{said}");
        bench.says("approve trip", 5, &["wait for that process or stop it"]);
        worker.kill().expect("it is killed");
        worker.wait().expect("it is dead");

        // The reviewer's time runs out while nobody is there.
        while !bench
            .says("show trip", 0, &["waits for reviewer.answer, "])
            .contains("reviewer.answer, 0s left")
        {}
        let said = bench.says("work --until-idle", 0, &["the head of department is asked"]);
        assert!(!said.contains("the reviewer is asked"), "{store}: nobody is asked twice: {said}");
        bench.says("show trip", 0, &["trip is waiting", "waits for head.answer, "]);

        bench.says("approve trip --by ada", 0, &["that is durable"]);
        bench.says("show trip", 0, &["the answer ada-approves has arrived"]);
        let said = bench.says("work", 0, &["approved, since ada approved it", "nothing is left to do"]);
        assert!(!said.contains("is asked"), "{store}: {said}");
        bench.says("show trip", 0, &["trip is succeeded", "approved, since ada approved it"]);
    }
}

#[test]
fn a_word_counts_before_the_request_waits_and_the_same_word_again_has_no_effect() {
    for store in STORES {
        let bench = Bench::new(store);
        bench.says("start early", 0, &[]);
        bench.says("start late", 0, &[]);
        bench.says("reject early --by bob", 0, &[]);
        bench.says("reject early --by bob", 0, &[]);
        bench.says("show early", 0, &["early is queued", "the answer bob-rejects has arrived"]);
        bench.says("work --until-idle", 0, &["early: rejected, since bob rejected it", "somebody: late"]);
        bench.says("approve late", 0, &[]);
        bench.says("work", 0, &["late: approved", "nothing is left to do"]);
    }
}

#[test]
fn a_request_that_nobody_answers_is_escalated_and_then_rejected() {
    let bench = Bench::new("file:./runs");
    bench.says("start alone", 0, &[]);
    let said =
        bench.says("work --escalate-after 100ms --give-up-after 100ms", 0, &["nobody answered in time"]);
    assert_eq!(said.matches("is asked").count(), 2, "{said}");
}

#[test]
fn on_a_store_of_several_processes_a_word_reaches_a_worker_that_runs() {
    let bench = Bench::new(&test_server::shared_url("approval").expect("a redis-server"));
    bench.says("start trip", 0, &[]);
    let (mut worker, _, mut rest) = bench.worker("work", "waiting for somebody: trip");
    bench.says("approve trip --by ada", 0, &[]);
    let mut said = String::new();
    rest.read_to_string(&mut said).expect("it is read");
    assert!(said.contains("trip: approved, since ada approved it"), "{said}");
    assert!(worker.wait().expect("it ends").success());
    bench.says("show trip", 0, &["approved, since ada approved it"]);
}

#[test]
fn wrong_usage_ends_with_2_and_what_cannot_be_with_1() {
    let bench = Bench::new("file:./runs");
    bench.says("--help", 0, &["approval approve trip-7", "Exit codes"]);
    bench.says("start a/b", 2, &["that is no id"]);
    bench.says("work --escalate-after soon", 2, &["soon"]);
    bench.says("approve nothing", 1, &["there is no such request", "approval start ID"]);
    bench.says("show nothing", 1, &["there is no such request"]);
    bench.says("start trip", 0, &[]);
    bench.says("start trip", 0, &["was there before"]);
    bench.says("start trip --what other", 2, &["there is another request of that id"]);
    bench.says("approve trip", 0, &[]);
    bench.says("work", 0, &["approved"]);
    bench.says("reject trip", 1, &["it was decided before", "approval show"]);
    bench.says("work", 0, &["nothing is left to do"]);
}
