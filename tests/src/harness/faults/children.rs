//! Workers that die.

use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use serde_json::json;
use stepwell::contract::{Name, RunId, RunKey, TenantId};
use stepwell::observe::cause::Cause;
use stepwell::{Engine, EngineOptions, Queue, StartRun, StepContext, StepError, StepPolicy, Workflow};
use stepwell_redis::test_server::TestServer;

use crate::cases;
use crate::harness::faults::case::{Case, Outcome};
use crate::harness::faults::files::text;
use crate::harness::faults::lab::Lab;
use crate::harness::faults::memory::{SmallMemory, rewrite, tell_of_kill};
use crate::harness::faults::time::nap;
use crate::process::{Signal, Watched, was_ended_by};
use crate::report::Arguments;
use crate::wait::wait_until;

/// How long a worker may live.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a worker may hold that needs more.
const MEMORY_BYTES: u64 = 96 << 20;

pub(super) const CASES: &[Case] = cases! {
    an_input_that_kills_every_worker: Fault ["SW6007"] "isolate", |lab: Lab| async move {
        let store = lab.path("store");
        for _ in 0..3 {
            dies(&store, "abort").await?;
        }
        let backend = stepwell_backends::open(&format!("file:{store}")).await.map_err(|error| error.to_string())?;
        let lab = lab.on(backend);
        let engine = lab.builder().queue(queue()?).register(deadly("none", "")?).start().await;
        let engine = engine.map_err(|error| error.to_string())?;
        let run = engine.find(&key()?).await.map_err(|error| error.to_string())?;
        lab.comes_to_rest(&run).await?;
        lab.outcome(&engine, run.key(), None).await
    };
    a_worker_that_was_killed: Fault ["SW6003"] "find_killer", |lab: Lab| async move {
        let store = format!("file:{}", lab.path("store"));
        drop(begins(&lab, &store, LEASE_MS).await?);
        taken_over(lab, &store).await
    };
    a_worker_that_ran_out_of_memory: Fault ["SW6002"] "raise_memory", |mut lab: Lab| async move {
        let store = format!("file:{}", lab.path("store"));
        let group = SmallMemory::make(MEMORY_BYTES);
        match &group {
            Some(group) => {
                let own = std::env::current_exe().map_err(text)?;
                let status = ends(as_worker(group.command(&own), &store, "eat")).await?;
                if !was_ended_by(status, Signal::KILL) {
                    return Err(format!("it ended with {status}"));
                }
            }
            None => {
                lab.stand_in("a control group that only tells of it");
                drop(begins(&lab, &store, LEASE_MS).await?);
                tell_of_kill(&store, &lab.path("group")).await?;
            }
        }
        let outcome = taken_over(lab, &store).await;
        drop(group);
        outcome
    };
    a_worker_that_left_without_a_word: Fault ["SW6003"] "find_killer", |lab: Lab| async move {
        let store = lab.path("store");
        dies(&store, "exit").await?;
        taken_over(lab, &format!("file:{store}")).await
    };
    a_worker_that_was_killed_on_a_shared_store: Fault ["SW6003"] "find_killer", |lab: Lab| async move {
        let server = TestServer::start(&[]).map_err(text)?;
        let store = server.url("killed");
        drop(begins(&lab, &store, 1_000).await?);
        let outcome = taken_over(lab, &store).await;
        drop(server);
        outcome
    };
    a_worker_that_sleeps_beyond_its_lease: Fault ["SW6014"] "look_at_stall", |lab: Lab| async move {
        let server = TestServer::start(&[]).map_err(text)?;
        let store = server.url("asleep");
        let worker = begins(&lab, &store, 1_000).await?;
        worker.signal(Signal::STOP);
        let outcome = taken_over(lab, &store).await;
        drop(worker);
        drop(server);
        outcome
    };
    a_worker_that_woke_when_another_had_its_run: Fault ["SW6001"] "look_at_stall", |lab: Lab| async move {
        let server = TestServer::start(&[]).map_err(text)?;
        let store = server.url("woken");
        let worker = begins(&lab, &store, 1_000).await?;
        worker.signal(Signal::STOP);
        let backend = stepwell_backends::open(&store).await.map_err(|error| error.to_string())?;
        let lab = lab.on(backend);
        let engine = lab.builder().queue(queue()?).register(deadly("none", "")?).start().await;
        let engine = engine.map_err(|error| error.to_string())?;
        lab.told(&engine, &key()?).await?;
        worker.signal(Signal::CONT);
        let outcome = lab.told_late(&engine, &key()?).await;
        engine.shutdown().await;
        drop((worker, server));
        outcome
    };
    a_host_that_was_started_anew: Fault ["SW6006"] "look_at_host", |mut lab: Lab| async move {
        let store = format!("file:{}", lab.path("store"));
        lab.stand_in("the record of a worker that tells of an earlier start of this machine");
        drop(begins(&lab, &store, LEASE_MS).await?);
        rewrite(&store, |said| said["boot"] = json!("another-start")).await?;
        taken_over(lab, &store).await
    };
    a_worker_that_shut_down_over_a_step_that_did_not_stop: Fault ["SW6004"] "lengthen_grace", |lab: Lab| async move {
        let store = format!("file:{}", lab.path("store"));
        let mut worker = as_worker(Command::new(std::env::current_exe().map_err(text)?), &store, "deaf");
        worker.args(["--sign", &lab.path("begun")]);
        ends(worker).await?;
        taken_over(lab, &store).await
    };
    a_limit_held_by_a_dead_run: Fault ["SW6011"] "release_limit", |lab: Lab| async move {
        let server = TestServer::start(&[]).map_err(text)?;
        let store = server.url("limit");
        drop(begins(&lab, &store, 60_000).await?);
        let backend = stepwell_backends::open(&store).await.map_err(|error| error.to_string())?;
        let lab = lab.on(backend);
        let engine = lab.builder().queue(queue()?).register(deadly("none", "")?).start().await;
        let engine = engine.map_err(|error| error.to_string())?;
        let run = engine.start_run("w", "r-2", &"in").await.map_err(|error| error.to_string())?;
        let outcome = lab.told(&engine, run.key()).await;
        engine.shutdown().await;
        drop(server);
        outcome
    };
    a_queue_that_nobody_reads: Fault ["SW6009"] "start_worker", |lab: Lab| async move {
        let lines = lab.builder().options(EngineOptions { queues: vec![name("mail")?], poll_ms: 20, ..EngineOptions::default() });
        let engine = lines.register(deadly("none", "")?).start().await.map_err(|error| error.to_string())?;
        let run = StartRun::new("w", "r-1", &"in").map_err(|error| error.to_string())?.queue(name("mial")?);
        let run = engine.start_with(run).await.map_err(|error| error.to_string())?;
        lab.told(&engine, run.key()).await
    };
    a_version_that_no_worker_has: Fault ["SW6010"] "deploy_version", |lab: Lab| async move {
        let old = lab.builder().register(deadly("none", "")?).build().await.map_err(|error| error.to_string())?;
        let run = old.start_run("w", "r-1", &"in").await.map_err(|error| error.to_string())?;
        let other = Workflow::named("wx").step_fn("act", |_, input: String| async move { Ok::<_, StepError>(input) });
        let engine = lab.engine(other.build().map_err(|error| error.to_string())?).await?;
        lab.told(&engine, run.key()).await
    };
    a_run_that_waits_its_turn: Decoy ["none"] "", |lab: Lab| async move {
        let flow = Workflow::named("w").queue("narrow").step_fn("act", |_, _: String| async { nap("20000").await });
        let flow = flow.build().map_err(|error| error.to_string())?;
        let engine = lab.builder().queue(queue()?).register(flow).start().await.map_err(|error| error.to_string())?;
        let first = engine.start_run("w", "r-1", &"in").await.map_err(|error| error.to_string())?;
        let second = engine.start_run("w", "r-2", &"in").await.map_err(|error| error.to_string())?;
        let waits = wait_until("the second waits", PATIENCE, async || {
            let cause = engine.cause(second.key()).await.ok().flatten()?;
            matches!(cause, Cause::Limit { .. }).then_some(())
        });
        waits.await?;
        let outcome = lab.outcome(&engine, second.key(), None).await;
        drop(first);
        outcome
    };
};

/// How long the lease of a worker lasts.
const LEASE_MS: u64 = 2_000;

fn name(name: &str) -> Result<Name, String> {
    Name::new(name).map_err(|error| error.to_string())
}

/// A queue with room for one run.
fn queue() -> Result<Queue, String> {
    Ok(Queue::named("narrow").map_err(|error| error.to_string())?.concurrency(1))
}

/// A worker that has begun the step and stays in it.
async fn begins(lab: &Lab, store: &str, lease_ms: u64) -> Result<Watched, String> {
    let sign = lab.path("begun");
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(own);
    command.args(["worker", "--store", store, "--act", "hang", "--sign", &sign]);
    command.args(["--lease-ms", &lease_ms.to_string()]);
    let mut worker = Watched::start(&mut command).map_err(|error| error.to_string())?;
    let begun = wait_until("the step", PATIENCE, async || {
        let is_begun = std::path::Path::new(&sign).exists();
        (is_begun || worker.ended().is_some()).then_some(is_begun)
    });
    if begun.await? { Ok(worker) } else { Err(worker.last_words()) }
}

/// What is said of the worker that had the run, by an engine that takes it over.
async fn taken_over(lab: Lab, store: &str) -> Result<Outcome, String> {
    let backend = stepwell_backends::open(store).await.map_err(|error| error.to_string())?;
    let lab = lab.on(backend);
    let builder = lab.builder().queue(queue()?).register(deadly("none", "")?);
    let engine = builder.start().await.map_err(|error| error.to_string())?;
    let told = lab.told(&engine, &key()?).await;
    engine.shutdown().await;
    told
}

fn key() -> Result<RunKey, String> {
    Ok(RunKey::new(TenantId::default(), RunId::new("r-1").map_err(|error| error.to_string())?))
}

/// Runs a worker that dies of its step.
async fn dies(store: &str, act: &str) -> Result<(), String> {
    let own = std::env::current_exe().map_err(text)?;
    ends(as_worker(Command::new(own), &format!("file:{store}"), act)).await.map(drop)
}

/// The command of a worker whose step does this to it.
fn as_worker(mut command: Command, store: &str, act: &str) -> Command {
    command.args(["worker", "--store", store, "--act", act]);
    command
}

/// Runs a worker to its end, which is not of its own will unless it says so.
async fn ends(mut worker: Command) -> Result<ExitStatus, String> {
    let ending = tokio::task::spawn_blocking(move || {
        let mut worker = Watched::start(&mut worker).map_err(text)?;
        let status = worker.wait(PATIENCE)?;
        if status.success() && !worker.last_words().contains(LEAVES) {
            Err(format!("it lives: {}", worker.last_words()))
        } else {
            Ok(status)
        }
    });
    ending.await.map_err(|error| error.to_string())?
}

/// What a worker says that leaves by itself.
const LEAVES: &str = "leaves";

fn deadly(act: &str, sign: &str) -> Result<Workflow<String, String>, String> {
    let (act, sign) = (act.to_owned(), sign.to_owned());
    let step = move |_: StepContext, input: String| {
        let (act, sign) = (act.clone(), sign.clone());
        async move {
            match act.as_str() {
                "abort" => std::process::abort(),
                "exit" => {
                    println!("{LEAVES}");
                    std::process::exit(0)
                }
                // Slowly, so that the worker has told of itself before.
                "eat" => {
                    let mut eaten = Vec::new();
                    loop {
                        eaten.push(vec![1_u8; 1 << 20]);
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
                "hang" => {
                    std::fs::write(&sign, "begun")?;
                    std::future::pending().await
                }
                // It cannot be told to stop.
                "deaf" => {
                    std::fs::write(&sign, "begun")?;
                    println!("{LEAVES}");
                    std::thread::sleep(PATIENCE);
                    Ok(input)
                }
                _ => Ok::<_, StepError>(input),
            }
        }
    };
    let policy = StepPolicy::default().crash_max(3);
    Workflow::named("w")
        .queue("narrow")
        .step_fn("act", step)
        .policy(policy)
        .build()
        .map_err(|error| error.to_string())
}

/// What a worker does: takes or starts the run, and whatever its step does to it.
pub(super) fn work(arguments: &Arguments) -> ExitCode {
    let (store, act) = (arguments.needed("store").to_owned(), arguments.needed("act").to_owned());
    let (sign, lease_ms) =
        (arguments.text("sign").unwrap_or_default(), arguments.value("lease-ms", LEASE_MS));
    let worked: Result<(), String> = super::block_on(async {
        let backend = stepwell_backends::open(&store).await.map_err(|error| error.to_string())?;
        let options = EngineOptions {
            lease_ms,
            poll_ms: 20,
            threads: 2,
            stop_grace_ms: 50,
            shutdown_grace_ms: 200,
            ..EngineOptions::default()
        };
        let engine = Engine::builder(backend)
            .options(options)
            .queue(queue()?)
            .register(deadly(&act, sign)?)
            .start()
            .await;
        let engine = engine.map_err(|error| error.to_string())?;
        let run = engine.start_run("w", "r-1", &"in").await.map_err(|error| error.to_string())?;
        if act == "deaf" {
            let begun = async || std::path::Path::new(sign).exists().then_some(());
            wait_until("the step", PATIENCE, begun).await?;
            engine.shutdown().await;
            return Ok(());
        }
        let _ = tokio::time::timeout(PATIENCE, run.output()).await;
        if act == "hang" {
            // Another worker has ended the run: what this one still says of it takes a moment.
            tokio::time::sleep(PATIENCE).await;
        }
        Ok(())
    });
    match worked {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}
