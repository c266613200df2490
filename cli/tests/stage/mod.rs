//! What tests of the program stand on: a store in a folder with a few runs in it, and the program called on it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod relay;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use snapbox::cmd::{Command, OutputAssert};
use stepwell::prelude::*;
use tempfile::TempDir;

/// Gives back its input.
struct Greet;

#[async_trait]
impl Step for Greet {
    type Input = Value;
    type Output = Value;
    const NAME: &'static str = "greet";

    async fn run(&self, ctx: &StepContext, input: Value) -> StepResult<Value> {
        ctx.log(stepwell::run::event::LogLevel::Info, "hello \u{1b}[31mthere");
        Ok(input)
    }
}

/// Refuses every input but `"good"`.
struct Check;

#[async_trait]
impl Step for Check {
    type Input = Value;
    type Output = Value;
    const NAME: &'static str = "check";

    async fn run(&self, _: &StepContext, input: Value) -> StepResult<Value> {
        match input.as_str() {
            Some("good") => Ok(input),
            Some("later") => Err(StepError::unavailable("the gateway is down")),
            _ => Err(StepError::validation(format!("the input is {input}, not \"good\""))),
        }
    }

    fn policy(&self) -> StepPolicy {
        StepPolicy::default().retry(stepwell::Retry::fixed(millis(1)).max_attempts(2))
    }
}

/// An engine at work on a store, with `greet`, `check`, `wait` (which waits for the signal `go`) and `each` (which packs each item).
async fn engine(url: &str) -> Engine {
    let greet = Workflow::named("greet").step(Greet).build().expect("a workflow");
    let check = Workflow::named("check").step(Check).build().expect("a workflow");
    let wait = Workflow::named("wait").step(Greet).wait_for::<Value>("go").build().expect("a workflow");
    let each = Workflow::named("each").input::<Vec<u32>>().map_flow(2, |item| {
        item.step_fn("pack", |ctx: StepContext, nth: u32| async move {
            ctx.info(format!("packing {nth}"));
            Ok(nth)
        })
    });
    let each = each.build().expect("a workflow");
    let backend = stepwell_backends::open(url).await.expect("a store");
    let engine = Engine::builder(backend).register(greet).register(check).register(wait).register(each);
    engine.start().await.expect("an engine")
}

/// A program with workflows that serves its store, in this process.
#[derive(Debug)]
pub struct Live {
    _runtime: tokio::runtime::Runtime,
    pub url: String,
}

impl Live {
    /// Starts it on a store in memory, with the schedule `hourly` of `greet`; it goes on until it is dropped.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let url = runtime.block_on(async {
            let engine = engine("memory:").await;
            let hour = std::time::Duration::from_secs(3_600);
            let hourly = stepwell::Schedule::every(hour).starts("greet", &json!(1)).expect("a schedule");
            engine.schedules().create("hourly", hourly).await.expect("made");
            let app = stepwell_server::App::new(&engine, stepwell_server::ServerOptions::default())
                .expect("settings");
            let listener = app.bind("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
            let url = format!("http://{}", listener.local_addr().expect("an address"));
            // It ends with the runtime.
            tokio::spawn(async move { app.serve(listener, std::future::pending()).await });
            url
        });
        Self { _runtime: runtime, url }
    }
}

/// A store with runs: `good` has succeeded, `bad` has failed, `held` is held after two attempts, `waits` waits for a signal.
#[derive(Debug)]
pub struct Stage {
    folder: TempDir,
}

impl Stage {
    /// Makes it. Nobody has the store open afterwards.
    pub fn new() -> Self {
        let stage = Self::empty();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let url = format!("file:{}", stage.path().join("data").display());
        runtime.block_on(async {
            let engine = engine(&url).await;
            for (workflow, run, input) in [
                ("greet", "good", json!({ "n": 1 })),
                ("check", "bad", json!("bad")),
                ("check", "held", json!("later")),
                ("wait", "waits", json!(1)),
            ] {
                let run = engine.start_run(workflow, run, &input).await.expect("started");
                if workflow == "wait" {
                    while engine
                        .get(run.key())
                        .await
                        .expect("a head")
                        .is_none_or(|head| head.status != stepwell::contract::Status::Waiting)
                    {
                        tokio::task::yield_now().await;
                    }
                } else {
                    // Whatever the end: the test looks at it.
                    let _ = run.result::<Value>().await;
                }
            }
            engine.shutdown().await;
        });
        drop(runtime);
        // What the engine did in the background lets the store go a moment later.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while ended(stepwell_backends::open(&url)).is_err() {
            assert!(std::time::Instant::now() < deadline, "the store is not let go");
            std::thread::yield_now();
        }
        stage
    }

    /// A folder without a store.
    pub fn empty() -> Self {
        Self { folder: TempDir::new().expect("a folder") }
    }

    /// Where the program is called.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file there.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("written");
    }

    /// The program, called there with the default store, without anything of this process's environment that it reads.
    pub fn stepwell(&self, args: &[&str]) -> Command {
        let mut command =
            Command::new(snapbox::cmd::cargo_bin!("stepwell")).current_dir(self.path()).args(args);
        for name in
            ["STEPWELL_STORE", "STEPWELL_SERVER", "STEPWELL_TOKEN", "NO_COLOR", "CLICOLOR_FORCE", "RUST_LOG"]
        {
            command = command.env_remove(name);
        }
        command.env("USER", "ann").env("CI", "true")
    }

    /// What it says on stdout, once it exits so.
    pub fn says(&self, code: i32, args: &[&str]) -> String {
        out(&self.stepwell(args).assert().code(code))
    }

    /// The same as JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        let args: Vec<_> = args.iter().copied().chain(["-o", "json"]).collect();
        let text = self.says(0, &args);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    /// What it says on stderr, once it exits so.
    pub fn complains(&self, code: i32, args: &[&str]) -> String {
        err(&self.stepwell(args).assert().code(code))
    }
}

/// What comes of a future, in a runtime of its own.
fn ended<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(future)
}

/// What was said on stdout.
pub fn out(ended: &OutputAssert) -> String {
    String::from_utf8(ended.get_output().stdout.clone()).expect("text")
}

/// What was said on stderr.
pub fn err(ended: &OutputAssert) -> String {
    String::from_utf8(ended.get_output().stderr.clone()).expect("text")
}

/// `stepwell serve` on a store in memory or elsewhere.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    /// Starts it, and waits until it listens.
    pub fn start(stage: &Stage, args: &[&str]) -> Self {
        let child = std::process::Command::new(snapbox::cmd::cargo_bin!("stepwell"))
            .args(["serve", "--bind", "127.0.0.1:0"])
            .args(args)
            .current_dir(stage.path())
            .env_remove("STEPWELL_STORE")
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut server = Self { child, url: String::new() };
        let mut lines = BufReader::new(server.child.stderr.take().expect("stderr")).lines();
        let mut said = Vec::new();
        for line in lines.by_ref() {
            let line = line.expect("text");
            if let Some((_, url)) = line.split_once(" at http://") {
                server.url = format!("http://{}", url.trim().trim_end_matches('/'));
                // What it says later has to go somewhere, or it would wait for a reader.
                std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
                return server;
            }
            said.push(line);
        }
        panic!("it does not serve: {said:?}");
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &pid]).status().expect("kill");
        assert!(sent.success());
    }

    /// With what it exits.
    pub fn exit(mut self) -> Option<i32> {
        self.child.wait().expect("an end").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed leaves it running; one that has ended it before does not mind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
