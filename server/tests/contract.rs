//! The REST API answers as its own description says, whatever it is sent: tried by schemathesis, which makes requests of
//! `/openapi.json`, valid and invalid ones, against a real server over a store with runs in each status.

mod stage;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;
use stage::Stage;
use stepwell::StartRun;
use stepwell::contract::Name;
use stepwell::prelude::hours;
use stepwell_server::ServerOptions;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract");
/// What is looked at in each answer. That some valid requests are refused is as it should be: there is no such run.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,unsupported_method,\
                      allow_header_conformance";
/// Fewer requests than these prove nothing.
const CASES_MIN: u64 = 1_000;

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?} does not start: {error}. Install python3 and python3-venv")
    });
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    output
}

/// The folder of programs in which schemathesis is: made once for a list of requirements.
fn programs() -> PathBuf {
    let requirements = Path::new(FOLDER).join("requirements.txt");
    let wanted = std::fs::read(&requirements).expect("the list of requirements");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
    let made = folder.join("requirements.txt");
    if std::fs::read(&made).ok().as_ref() != Some(&wanted) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        let pip = folder.join("bin/pip");
        run(Command::new(pip)
            .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(&requirements));
        std::fs::write(&made, &wanted).expect("a note of what was installed");
    }
    folder.join("bin")
}

/// A server with runs in each status, a schedule, and a queue of its own.
async fn serving() -> (Stage, SocketAddr) {
    let mut options = ServerOptions::default();
    // Verbs that wait for a worker answer in time, too.
    options.request_timeout_ms = 20_000;
    let stage = Stage::with(options).await;
    let engine = &stage.engine;
    stage.run("greet", "succeeded", &json!("hello")).await;
    stage.run("check", "failed", &json!("bad")).await;
    for run in ["waiting", "paused", "cancelled"] {
        engine.start_run("wait", run, &json!(1)).await.expect("started");
        stage.until_so(&format!("/api/v1/runs/{run}"), |run| run["status"] == "waiting").await;
    }
    let ask = |run: &str, verb: &str| {
        let path = format!("/api/v1/runs/{run}/{verb}");
        let stage = &stage;
        async move { stage.call("POST", &path, None).await }
    };
    assert!(ask("paused", "pause").await.status.is_success());
    assert!(ask("cancelled", "cancel").await.status.is_success());
    let side = Name::new("side").expect("a name");
    let later = StartRun::new("greet", "queued", &json!(1)).expect("an input").queue(side).delay(hours(24));
    engine.start_with(later).await.expect("started");
    engine.start_run("hold", "running", &json!(1)).await.expect("started");
    stage.until_so("/api/v1/runs/running", |run| run["status"] == "running").await;
    let plan = stepwell::Schedule::every(hours(24 * 365)).starts("greet", &json!(1)).expect("a schedule");
    engine.schedules().create("yearly", plan).await.expect("made");
    let listener = stage.app.bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let app = stage.app.clone();
    tokio::spawn(async move { app.serve(listener, std::future::pending()).await });
    (stage, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_one_that_the_description_has_and_none_is_a_fault() {
    let programs = tokio::task::spawn_blocking(programs).await.expect("schemathesis is there");
    let (_stage, address) = serving().await;
    let mut st = Command::new(programs.join("st"));
    st.arg("run").arg(format!("http://{address}/openapi.json")).args(["--checks", CHECKS]);
    st.args(["--seed", "7", "--max-time", "100", "--phases", "examples,coverage,fuzzing"]);
    st.args(["--generation-database", "none", "--warnings", "off", "--no-color", "--continue-on-failure"]);
    st.args(["--request-timeout", "30"]);
    // A stream of events has no end that could be waited for: other tests read them.
    st.args(["--exclude-path", "/api/v1/events"]);
    st.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", FOLDER).env("PYTHONDONTWRITEBYTECODE", "1");
    st.current_dir(env!("CARGO_TARGET_TMPDIR"));
    let output = tokio::task::spawn_blocking(move || st.output()).await.expect("no panic").expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let cases = cases(&text);
    println!("HARNESS contract cases={cases}");
    assert!(cases >= CASES_MIN, "TOO LITTLE: {cases} requests\n{text}");
}

/// How many requests were made, as the last lines tell it.
fn cases(text: &str) -> u64 {
    let line = text.lines().find(|line| line.contains("generated")).unwrap_or_default();
    let number = line.split_whitespace().find_map(|word| word.replace(',', "").parse().ok());
    number.unwrap_or_default()
}
