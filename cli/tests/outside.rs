//! Workflows that are posted, on a server without workflows of its own: their steps are done outside.

mod stage;

use serde_json::Value;
use stage::{Server, Stage};

#[test]
fn a_server_moves_posted_workflows_on_and_their_steps_are_reported_from_outside() {
    let stage = Stage::empty();
    let server = Server::start(&stage, &["--store", "memory:"]);
    let args = |args: &[&'static str]| -> Vec<String> {
        ["--server", server.url.as_str()].iter().chain(args).map(|word| (*word).to_owned()).collect()
    };
    let says = |code: i32, words: &[&'static str]| {
        stage.says(code, &args(words).iter().map(String::as_str).collect::<Vec<_>>())
    };
    let json = |words: &[&'static str]| -> Value {
        serde_json::from_str(&says(0, &[words, &["-o", "json"]].concat())).expect("JSON")
    };
    stage.write(
        "photo.json",
        r#"{ "name": "photo", "version": 1, "steps": [{ "name": "cut", "timeout_ms": 60000 }, { "name": "print", "timeout_ms": 60000 }] }"#,
    );
    assert_eq!(json(&["workflows", "post", "@photo.json"])["in_use"], true);
    assert_eq!(json(&["workflows", "list"])["items"][0]["workflow"], "photo");
    assert_eq!(json(&["workflows", "show", "photo"])["steps"][1]["step"], "print");
    says(3, &["workflows", "show", "photo", "--version", "2"]);
    assert!(says(0, &["workers", "--alive"]).contains("yes"), "whoever advances runs is a worker");

    says(0, &["runs", "start", "photo", "{\"n\": 12345678901234567890123}", "--id", "p"]);
    // It is taken in a moment.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while json(&["outside", "list"])["items"].as_array().is_none_or(Vec::is_empty) {
        assert!(std::time::Instant::now() < deadline, "nobody moves the run on");
    }
    assert!(says(0, &["outside", "list", "-o", "jsonl"]).contains("12345678901234567890123"));
    says(0, &["outside", "start", "p", "cut", "--attempt", "1", "--name", "ben"]);
    says(4, &["outside", "start", "p", "cut", "--name", "cem"]);
    says(0, &["outside", "progress", "p", "cut", "0.5", "half of it"]);
    assert!(says(0, &["outside", "list", "--with-begun"]).contains("ben"));
    assert!(says(0, &["runs", "progress", "p"]).contains("half of it"));
    assert_eq!(json(&["runs", "steps", "p", "cut"])["items"][0]["outsider"], "ben");
    says(
        0,
        &[
            "outside",
            "failure",
            "p",
            "cut",
            "the saw is hot",
            "--class",
            "transient",
            "--details",
            "{\"status\": 503}",
        ],
    );
    assert!(says(0, &["runs", "attempts", "p", "cut"]).contains("the saw is hot"));

    assert!(says(0, &["runs", "merge-context", "p", "{\"a\": 1}", "--dry-run"]).contains("p: "));
    assert_eq!(json(&["runs", "context", "p"]), Value::Null);
    says(0, &["runs", "merge-context", "p", "{\"a\": 1}", "--reason", "a test"]);
    assert_eq!(json(&["runs", "context", "p"])["a"], 1);
    assert!(says(0, &["runs", "unfinished", "--context"]).contains("SHARED"));
    assert_eq!(json(&["runs", "can-resume", "p"])["can_resume"], true);

    // The second attempt begins in a moment.
    while json(&["runs", "steps", "p", "cut"])["items"][0]["attempt"] != 2 {
        assert!(std::time::Instant::now() < deadline, "it is not tried again");
    }
    says(0, &["outside", "success", "p", "cut", "{\"pieces\": 3}", "--attempt", "2"]);
    assert_eq!(json(&["runs", "output", "p", "cut"])["pieces"], 3);
    while json(&["outside", "list", "--step", "print"])["items"].as_array().is_none_or(Vec::is_empty) {
        assert!(std::time::Instant::now() < deadline, "the next step does not begin");
    }
    says(0, &["outside", "success", "p", "print"]);
    says(0, &["runs", "wait", "p", "--timeout", "60s"]);
    says(4, &["runs", "can-resume", "p"]);

    let plan = "{\"workflow\": \"photo\", \"every_ms\": 3600000, \"input\": {\"n\": 1}}";
    assert_eq!(json(&["schedules", "put", "hourly", plan])["plan"]["every_ms"], 3_600_000);
    assert!(says(0, &["schedules", "list"]).contains("hourly"));
    says(4, &["schedules", "delete", "hourly"]);
    says(0, &["schedules", "delete", "hourly", "--yes", "--reason", "a test"]);
    says(3, &["schedules", "show", "hourly"]);
    says(3, &["groups", "forget", "SW1101-0", "--yes"]);
}
