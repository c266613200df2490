//! Commands on a program that has the workflows and serves them: runs move while they are looked at.

mod stage;

use serde_json::Value;
use stage::{Live, Stage, err, out};

/// The program, called on the live server.
struct Caller {
    stage: Stage,
    live: Live,
}

impl Caller {
    fn new() -> Self {
        Self { stage: Stage::empty(), live: Live::start() }
    }

    fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        ["--server", self.live.url.as_str()].into_iter().chain(args.iter().copied()).collect()
    }

    fn says(&self, code: i32, args: &[&str]) -> String {
        self.stage.says(code, &self.args(args))
    }

    fn json(&self, args: &[&str]) -> Value {
        self.stage.json(&self.args(args))
    }

    fn complains(&self, code: i32, args: &[&str]) -> String {
        self.stage.complains(code, &self.args(args))
    }
}

#[test]
fn a_run_is_started_once_and_waited_for() {
    let caller = Caller::new();
    let start =
        ["runs", "start", "greet", "{\"n\": 12345678901234567890123}", "--id", "r", "--tag", "region=eu"];
    let waited: Vec<_> = start.iter().copied().chain(["--wait", "--timeout", "60s"]).collect();
    assert!(caller.says(0, &waited).contains("succeeded"));
    let again = caller.stage.stepwell(&caller.args(&start)).assert().success();
    assert!(
        err(&again).contains("was there already") && out(&again).contains("region=eu"),
        "{}",
        out(&again)
    );
    caller.complains(4, &["runs", "start", "greet", "2", "--id", "r"]);
    caller.complains(4, &["runs", "start", "gret", "2"]);
    assert_eq!(caller.json(&["runs", "list", "tag:eu"])["items"][0]["run"], "r");
    caller.says(1, &["runs", "start", "check", "\"bad\"", "--id", "b", "--wait"]);
    caller.stage.write("good.json", "\"good\"");
    caller.says(0, &["runs", "start", "check", "@good.json", "--wait"]);
}

#[test]
fn a_run_is_watched_until_it_is_over() {
    let caller = Caller::new();
    caller.says(0, &["runs", "start", "wait", "1", "--id", "w"]);
    let mut watching = std::process::Command::new(snapbox::cmd::cargo_bin!("stepwell"))
        .args(caller.args(&["runs", "watch", "w", "-o", "jsonl"]))
        .current_dir(caller.stage.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a process");
    caller.complains(124, &["runs", "wait", "w", "--timeout", "50ms"]);
    let sent = caller.json(&["runs", "signal", "w", "go", "\"ok\"", "--id", "s-1"]);
    assert_eq!((&sent["name"], &sent["id"]), (&Value::from("go"), &Value::from("s-1")), "{sent}");
    assert!(watching.wait().expect("an end").success());
    let seen = std::io::read_to_string(watching.stdout.take().expect("stdout")).expect("text");
    let kinds: Vec<Value> = seen.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(kinds.first().map(|entry| &entry["kind"]), Some(&Value::from("run_created")), "{seen}");
    assert_eq!(kinds.last().map(|entry| &entry["kind"]), Some(&Value::from("run_succeeded")), "{seen}");
    caller.says(0, &["runs", "wait", "w"]);
}

#[test]
fn what_happened_to_a_run_is_told() {
    let caller = Caller::new();
    caller.says(1, &["runs", "start", "check", "\"later\"", "--id", "h", "--wait"]);
    caller.says(0, &["runs", "start", "greet", "{\"n\":12345678901234567890123}", "--id", "g", "--wait"]);
    let rows: [(&[&str], &[&str]); 8] = [
        (&["runs", "history", "h"], &["attempt_failed", "run_paused", "the gateway is down"]),
        (&["runs", "history", "h", "--level", "error"], &["attempt_failed"]),
        (&["runs", "attempts", "h"], &["check  1", "check  2", "unavailable"]),
        (&["runs", "attempts", "h", "check"], &["the gateway is down"]),
        (&["runs", "logs", "g"], &["info  greet#1 hello"]),
        (&["runs", "explain", "h"], &["a person can change it", "SW9001", "stepwell explain SW9001"]),
        (&["runs", "report", "h"], &["# ", "the gateway is down"]),
        (&["runs", "input", "g"], &["12345678901234567890123"]),
    ];
    for (args, holds) in rows {
        let shown = caller.says(0, args);
        for text in holds {
            assert!(shown.contains(text), "{args:?}: {text}: {shown}");
        }
        assert!(!shown.contains('\u{1b}'), "{args:?}: {shown}");
    }
    assert!(caller.says(0, &["runs", "logs", "g", "--level", "error"]).is_empty());
    assert_eq!(caller.json(&["runs", "attempts", "h"])["items"][1]["attempt"], 2);
    assert_eq!(caller.json(&["runs", "explain", "h"])["diagnosis"]["code"], "SW9001");
    assert!(caller.says(0, &["runs", "output", "g"]).contains("\"n\""));
}

#[test]
fn a_verb_for_many_runs_is_for_those_that_were_shown() {
    let caller = Caller::new();
    for run in ["h-1", "h-2", "h-3"] {
        caller.says(1, &["runs", "start", "check", "\"later\"", "--id", run, "--wait"]);
    }
    caller.says(0, &["runs", "start", "wait", "1", "--id", "w"]);
    let query = ["runs", "cancel", "--query", "status:paused"];
    let with = |more: &[&'static str]| query.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>();
    let dry = caller.says(0, &with(&["--dry-run"]));
    assert!(dry.contains("h-2: paused -> cancelled") && !dry.contains('w'), "{dry}");
    let refused = caller.complains(4, &with(&[]));
    assert!(refused.contains("3 runs: ") && refused.contains("--yes"), "{refused}");
    let group = caller.json(&["groups", "list"])["items"][0]["group"].as_str().expect("a group").to_owned();
    caller.stage.write("good.json", "\"good\"");
    caller.says(0, &["runs", "edit-input", "h-1", "@good.json"]);
    caller.says(0, &["runs", "retry", "h-1"]);
    caller.says(0, &["runs", "wait", "h-1"]);
    let skipped = caller.says(0, &["groups", "skip", &group, "check", "--value", "\"by hand\"", "--yes"]);
    assert!(skipped.contains("h-2") && skipped.contains("h-3") && !skipped.contains("h-1"), "{skipped}");
    caller.says(0, &["runs", "wait", "h-2", "h-3"]);
    assert!(caller.complains(0, &with(&["--yes"])).contains("no run fits"));
    let forked = caller.json(&["runs", "fork", "h-2", "--from", "check", "--id", "f"]);
    assert_eq!(forked["run"], "f", "{forked}");
    caller.complains(1, &["runs", "wait", "f"]);
}

#[test]
fn schedules_are_shown_and_steered() {
    let caller = Caller::new();
    let listed = caller.says(0, &["schedules", "list"]);
    assert!(listed.contains("hourly") && listed.contains("1h 0m") && listed.contains("in "), "{listed}");
    let paused = caller.json(&["schedules", "pause", "hourly", "--reason", "a holiday"]);
    assert_eq!(paused["paused"]["reason"], "a holiday", "{paused}");
    assert!(caller.says(0, &["schedules", "show", "hourly"]).contains("a holiday"));
    assert!(caller.json(&["schedules", "resume", "hourly"])["paused"].is_null());
    let run = caller.json(&["schedules", "trigger", "hourly", "--id", "now"])["run"].clone();
    let again = caller.json(&["schedules", "trigger", "hourly", "--id", "now"])["run"].clone();
    assert_eq!(run, again, "the same request starts one run");
    let span = ["--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T02:30:00Z"];
    let backfill = |more: &[&'static str]| {
        ["schedules", "backfill", "hourly"]
            .into_iter()
            .chain(span)
            .chain(more.iter().copied())
            .collect::<Vec<_>>()
    };
    let planned = caller.json(&backfill(&["--dry-run"]));
    assert_eq!(planned["items"].as_array().map(Vec::len), Some(3), "{planned}");
    assert!(caller.complains(4, &backfill(&[])).contains("start 3 runs"));
    let started = caller.json(&backfill(&["--yes"]));
    assert_eq!(started["items"], planned["items"]);
    caller.complains(3, &["schedules", "show", "nightly"]);
}

#[test]
fn logs_of_a_step_are_those_of_all_its_items_also_when_they_are_followed() {
    let caller = Caller::new();
    caller.says(0, &["runs", "start", "each", "[7, 8]", "--id", "e", "--wait"]);
    let rows: [(&[&str], &[&str]); 4] = [
        (&[], &["pack[0]#1 packing 7", "pack[1]#1 packing 8"]),
        (&["pack"], &["pack[0]#1 packing 7", "pack[1]#1 packing 8"]),
        (&["pack[1]"], &["pack[1]#1 packing 8"]),
        (&["pack", "--attempt", "2"], &[]),
    ];
    for (args, lines) in rows {
        for follow in [&[][..], &["-f"]] {
            let args: Vec<_> = ["runs", "logs", "e"].iter().chain(args).chain(follow).copied().collect();
            let shown = caller.says(0, &args);
            assert_eq!(shown.lines().count(), lines.len(), "{args:?}: {shown}");
            assert!(lines.iter().all(|line| shown.contains(line)), "{args:?}: {shown}");
        }
    }
    caller.complains(2, &["runs", "logs", "e", "pack[x]", "-f"]);
}
