//! What `schedule` promises: reports come by the clock, what was missed is caught up with or counted, and people steer it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

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
        let mut command = Command::new(env!("CARGO_BIN_EXE_schedule"));
        command.current_dir(self.folder.path()).env_remove("STEPWELL_STORE").env_remove("RUST_LOG");
        command.args(["--store", &self.store]).args(line.split(' '));
        command
    }

    fn says(&self, line: &str, code: i32, expected: &[&str]) -> String {
        let output = self.command(line).output().expect("the program starts");
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{line} on {}: {text}", self.store);
        for expected in expected {
            assert!(text.contains(expected), "{line} on {}: {expected:?} in {text}", self.store);
        }
        text
    }

    /// A worker, once it has said this.
    fn worker(&self, line: &str, until: &str) -> Child {
        let mut command = self.command(line);
        let mut worker =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
        let mut out = BufReader::new(worker.stdout.take().expect("it is piped"));
        let mut said = String::new();
        while !said.contains(until) {
            let read = out.read_line(&mut said).expect("a line");
            assert!(read > 0, "it ended without {until:?}: {said}");
        }
        worker
    }
}

#[test]
fn a_worker_that_is_killed_leaves_the_schedule_to_the_next_one() {
    for store in ["file:./runs", "sled:./runs"] {
        let bench = Bench::new(store);
        let mut worker = bench.worker("work --every 1s --overlap allow", "sales until");
        worker.kill().expect("it is killed");
        worker.wait().expect("it is dead");
        // With what came meanwhile it is no other schedule: the times are the same ones.
        let said =
            bench.says("work --every 1s --overlap allow --until-done 3", 0, &["nightly is", "sales until"]);
        assert!(!said.contains("other settings"), "{said}");
        let said = bench.says("show", 0, &["started nightly-", " 0 skipped, 0 missed"]);
        assert_eq!(said.matches("next ").count(), 5, "{said}");
    }
}

#[test]
fn people_pause_trigger_and_change_a_schedule_while_no_worker_is_there() {
    let bench = Bench::new("file:./runs");
    bench.says("show", 1, &["there is no schedule yet", "schedule work"]);
    bench.says("work --every 1s --overlap allow --until-done 1", 0, &["sales until"]);
    bench.says("trigger monday", 0, &["nightly-by-monday is started by the worker"]);
    bench.says("trigger monday", 0, &[]);
    let said = bench.says("pause --reason paper", 0, &["nightly is paused"]);
    assert!(!said.contains("next"), "{said}");
    bench.says("show", 0, &["paused by operator", "paper"]);
    let changed = "work --cron 0\u{a0}9\u{a0}*\u{a0}*\u{a0}MON-FRI --until-done 2".replace('\u{a0}', "_");
    bench.says(&changed, 2, &["is no cron expression", "0 9 * * MON-FRI"]);
    bench.says("resume", 0, &["next "]);
    bench.says(
        "work --until-done 2",
        0,
        &["gets other settings: times", "nightly-by-monday: sales until now"],
    );
    bench.says("backfill 2030-01-31T09:00:00Z 2030-02-01T09:00:00Z --dry-run", 0, &["0 times"]);
    bench.says("delete", 0, &["its reports stay"]);
    bench.says("show", 1, &["there is no schedule yet"]);
}
