//! What waits for a run goes on when whoever answers is busy, starts again or is gone for a while.

mod stage;

use std::process::{Child, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use stage::relay::{Way, relay};
use stage::{Live, Stage};

/// A server with a run `w` that waits for the signal `go`.
fn waiting() -> (Stage, Live) {
    let (stage, live) = (Stage::empty(), Live::start());
    stage.says(0, &["--server", &live.url, "runs", "start", "wait", "1", "--id", "w"]);
    (stage, live)
}

fn begin(stage: &Stage, args: &[&str]) -> Child {
    std::process::Command::new(snapbox::cmd::cargo_bin!("stepwell"))
        .args(args)
        .current_dir(stage.path())
        .env("CI", "true")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process")
}

/// Waits until so many connections have begun.
fn connections(seen: &Receiver<()>, count: usize) {
    for nth in 0..count {
        seen.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{nth} of {count} connections"));
    }
}

#[test]
fn whoever_waits_outlasts_a_busy_server_and_lost_connections() {
    let (stage, live) = waiting();
    let rows: [&[&str]; 3] = [
        &["runs", "wait", "w"],
        &["runs", "watch", "w", "-o", "jsonl"],
        &["runs", "logs", "w", "-f", "-o", "jsonl"],
    ];
    let ways = [
        Way::Busy("429 Too Many Requests"),
        Way::CutBehind("\"run\":\"w\""),
        Way::Busy("503 Service Unavailable"),
        Way::Cut,
        Way::Whole,
    ];
    let mut begun = Vec::new();
    for args in rows {
        let (url, seen) = relay(&live.url, &ways);
        let args: Vec<_> = ["--server", &url].into_iter().chain(args.iter().copied()).collect();
        begun.push((begin(&stage, &args), seen));
    }
    for (_, seen) in &begun {
        connections(seen, ways.len());
    }
    stage.says(0, &["--server", &live.url, "runs", "signal", "w", "go", "1"]);
    for ((child, _), args) in begun.into_iter().zip(rows) {
        let ended = child.wait_with_output().expect("an end");
        let said = String::from_utf8(ended.stderr).expect("text");
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {said}");
        let pauses = said.lines().filter(|line| line.contains("; asking again in ")).count();
        assert!(pauses >= 3, "{args:?}: {said}");
        assert!(said.contains("429") && said.contains("503"), "{args:?}: {said}");
        let shown = String::from_utf8(ended.stdout).expect("text");
        let created = shown.lines().filter(|line| line.contains("\"kind\":\"run_created\"")).count();
        assert_eq!(created, usize::from(args[1] == "watch"), "nothing is told twice: {args:?}: {shown}");
    }
}

#[test]
fn a_wait_that_is_given_a_time_ends_with_it_also_while_nobody_answers() {
    let (stage, live) = waiting();
    let (url, _seen) = relay(&live.url, &[Way::Busy("503 Service Unavailable")]);
    for verb in ["wait", "watch"] {
        let said = stage.complains(124, &["--server", &url, "runs", verb, "w", "--timeout", "700ms"]);
        assert!(said.contains("asking again in 1s") && said.contains("the time is over"), "{verb}: {said}");
    }
}
