//! Steps that wait in the middle of their work, and steps that are left to someone outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bench::{Bench, START, at, count, failed, waits};
use stepwell::contract::limits::{ID_BYTES_MAX, PAYLOAD_BYTES_MAX};
use stepwell::contract::{Backend, Batch, Message, MessageId, Name, Payload, PayloadError};
use stepwell::observe::cause::Cause;
use stepwell::prelude::*;
use stepwell::run::request::{SIGNAL, SentSignal};
use stepwell::run::state::StepStatus;
use stepwell::workflow::step::VALUE_BYTES_MAX;
use stepwell::{Actor, Error, Report, Token, Wait, Woken};
use until::{soon, until};

mod bench;
mod until;

/// A step that counts a part that must not be repeated, sleeps, waits for an answer and says what it heard.
fn asks(sent: &Arc<AtomicU32>) -> Workflow<String, String> {
    let sent = Arc::clone(sent);
    let ask = move |ctx: StepContext, whom: String| {
        let sent = Arc::clone(&sent);
        async move {
            ctx.once("mail", || async { Ok(sent.fetch_add(1, Ordering::Relaxed)) }).await?;
            ctx.sleep("patience", hours(1)).await?;
            let answer: Option<String> = ctx.wait_for_within("answer", days(2)).await?;
            Ok(format!("{whom}: {}", answer.unwrap_or_else(|| "nothing".to_owned())))
        }
    };
    Workflow::named("w").step_fn("ask", ask).build().expect("a workflow")
}

#[tokio::test]
async fn a_step_that_sleeps_and_waits_holds_nothing_and_goes_on_behind_its_parts_on_another_worker() {
    let (bench, sent) = (Bench::new(), Arc::new(AtomicU32::new(0)));
    let engine = bench.engine(asks(&sent)).await;
    let run = engine.start_run("w", "r-1", "ada").await.expect("a run");
    waits(&engine, &run).await;
    assert!(
        matches!(engine.cause(run.key()).await.expect("a cause"), Some(Cause::Timer { at, .. }) if at == START.plus_ms(3_600_000))
    );
    engine.shutdown().await;

    let engine = bench.engine(asks(&sent)).await;
    bench.time.advance(hours(1) - millis(1));
    let state = engine.state(run.key()).await.expect("a state");
    assert_eq!(state.step(&at("ask")).expect("begun").status, StepStatus::Suspended, "never early");
    bench.time.advance(millis(1));
    until("it waits for the answer", async || {
        matches!(engine.cause(run.key()).await.expect("a cause"), Some(Cause::Signal { .. }))
    })
    .await;
    engine.signal(run.key(), "answer", "m-1", "yes").await.expect("sent");
    let run = engine.find(run.key()).await.expect("the run");
    assert_eq!(soon("a result", run.result::<String>()).await.expect("a result"), "ada: yes");
    assert_eq!(sent.load(Ordering::Relaxed), 1, "what is recorded is not done again");
    assert_eq!(count(&engine, &run, "step_suspended").await, 2);
}

#[tokio::test]
async fn a_signal_that_came_before_counts_and_silence_ends_a_wait_in_time() {
    for (signal, heard) in [(true, "ada: yes"), (false, "ada: nothing")] {
        let (bench, sent) = (Bench::new(), Arc::new(AtomicU32::new(0)));
        let engine = bench.engine(asks(&sent)).await;
        let run = engine.start_run("w", "r-1", "ada").await.expect("a run");
        if signal {
            engine.signal(run.key(), "answer", "m-1", "yes").await.expect("sent");
        }
        waits(&engine, &run).await;
        bench.time.advance(hours(1));
        if !signal {
            until("it waits for the answer", async || {
                matches!(engine.cause(run.key()).await.expect("a cause"), Some(Cause::Signal { .. }))
            })
            .await;
            bench.time.advance(days(2));
        }
        assert_eq!(soon("a result", run.result::<String>()).await.expect("a result"), heard);
    }
}

#[tokio::test]
async fn attempts_that_end_in_a_wait_use_up_no_retries_and_no_time() {
    let ask = |ctx: StepContext, _: ()| async move {
        for nth in 0..5 {
            ctx.sleep(&format!("round-{nth}"), hours(1)).await?;
        }
        // The first try after all the waiting fails.
        if ctx.attempt() == 6 {
            return Err(StepError::transient("not yet"));
        }
        Ok(ctx.attempt())
    };
    let policy = StepPolicy::default().retry(Retry::fixed(millis(1)).max_attempts(2)).deadline(mins(1));
    let flow =
        Workflow::named("w").input::<()>().step_fn("ask", ask).policy(policy).build().expect("a workflow");
    let bench = Bench::new();
    let engine = bench.engine(flow).await;
    let run = engine.start_run("w", "r-1", &()).await.expect("a run");
    for nth in 1..=5 {
        until("it sleeps", async || count(&engine, &run, "step_suspended").await == nth).await;
        waits(&engine, &run).await;
        bench.time.advance(hours(1));
    }
    until("it failed once", async || count(&engine, &run, "attempt_failed").await == 1).await;
    bench.time.advance(secs(1));
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 7);
}

#[tokio::test]
async fn a_wait_for_any_takes_what_comes_first_and_leaves_the_other() {
    let flow = Workflow::named("w")
        .input::<u32>()
        .wait_any("answer", &["approved", "refused"], days(1))
        .step_fn("say", |_ctx: StepContext, (n, heard): (u32, Option<stepwell::Heard>)| async move {
            Ok(heard.map_or_else(
                || format!("{n}: nobody"),
                |heard| format!("{n}: {} {}", heard.signal, heard.said),
            ))
        });
    let bench = Bench::new();
    let engine = bench.engine(flow.build().expect("a workflow")).await;
    let run = engine.start_run("w", "r-1", &7u32).await.expect("a run");
    waits(&engine, &run).await;
    engine.signal(run.key(), "refused", "m-1", &"too dear").await.expect("sent");
    assert_eq!(soon("a result", run.result::<String>()).await.expect("a result"), r#"7: refused "too dear""#);
    let silent = engine.start_run("w", "r-2", &8u32).await.expect("a run");
    waits(&engine, &silent).await;
    bench.time.advance(days(1));
    assert_eq!(soon("a result", silent.result::<String>()).await.expect("a result"), "8: nobody");
}

#[tokio::test]
async fn a_wait_for_nothing_and_a_swallowed_wait_are_told_as_what_they_are() {
    let flow = |name: &str, asks: bool| {
        let step = move |ctx: StepContext, _: ()| async move {
            if asks {
                // Whoever does not pass the early return on goes on without waiting.
                let _ = ctx.sleep("nap", hours(1)).await;
                return Ok("awake".to_owned());
            }
            ctx.wait("nothing", Wait::new()).await.map(|woken| format!("{woken:?}"))
        };
        let once = StepPolicy::default().retry(Retry::none());
        Workflow::named(name).input::<()>().step_fn("step", step).policy(once).build().expect("a workflow")
    };
    let bench = Bench::new();
    let engine = bench.builder().register(flow("nothing", false)).register(flow("swallows", true));
    let engine = engine.start().await.expect("an engine");
    let run = engine.start_run("nothing", "r-1", &()).await.expect("a run");
    let error = run.result::<String>().await.expect_err("it would never end");
    assert!(error.to_string().contains("waits for nothing"), "{error}");
    let run = engine.start_run("swallows", "r-2", &()).await.expect("a run");
    assert_eq!(run.result::<String>().await.expect("a result"), "awake");
}

// ---- left to someone outside

fn left_outside(within: Option<std::time::Duration>) -> Workflow<u32, u32> {
    let policy =
        StepPolicy::default().retry(Retry::fixed(mins(1)).max_attempts(2)).on_exhausted(OnExhausted::Fail);
    let flow = Workflow::named("w").input::<u32>().external::<u32>("weigh", within).policy(policy);
    flow.step_fn("double", |_ctx: StepContext, n: u32| async move { Ok(2 * n) }).build().expect("a workflow")
}

async fn token(engine: &Engine, run: &stepwell::RunHandle) -> Token {
    match engine.cause(run.key()).await.expect("a cause") {
        Some(Cause::Outside { token, .. }) => token,
        other => panic!("it is left to someone outside: {other:?}"),
    }
}

#[tokio::test]
async fn a_step_without_code_ends_with_what_is_reported_from_outside() {
    let bench = Bench::new();
    let engine = bench.engine(left_outside(None)).await;
    let run = engine.start_run("w", "r-1", &1u32).await.expect("a run");
    waits(&engine, &run).await;
    let first = token(&engine, &run).await;
    assert_eq!(first.to_string(), "default/r-1/weigh/1");

    engine.report(&first, Report::progress(0.4, "on the scales")).await.expect("taken");
    let progress = engine.progress(run.key()).await.expect("progress");
    assert_eq!((progress.steps[0].fraction, progress.steps[0].note.as_str()), (0.4, "on the scales"));
    assert_eq!(progress.steps[0].state, "waits to be reported on");

    engine.report(&first, Report::failed(StepError::transient("it slipped"))).await.expect("taken");
    until("it is to be tried again", async || {
        let state = engine.state(run.key()).await.expect("a state");
        matches!(state.step(&at("weigh")).expect("begun").status, StepStatus::Backoff(_))
    })
    .await;
    bench.time.advance(mins(1));
    until("the second attempt is left outside", async || {
        let state = engine.state(run.key()).await.expect("a state");
        let step = state.step(&at("weigh")).expect("begun");
        step.attempt == 2 && step.status == StepStatus::Suspended
    })
    .await;
    let late = engine.report(&first, Report::succeeded(&1u32).expect("JSON")).await;
    assert!(
        matches!(&late, Err(Error::Refused { why, .. }) if why.contains("attempt 1 of weigh is over")),
        "{late:?}"
    );
    let second = token(&engine, &run).await;
    engine.report(&second, Report::succeeded(&21u32).expect("JSON")).await.expect("taken");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 42);
    let again = engine.report(&second, Report::succeeded(&22u32).expect("JSON")).await;
    assert!(matches!(again, Err(Error::Refused { .. })), "{again:?}");
}

#[tokio::test]
async fn silence_from_outside_is_a_failure_that_the_steps_policy_deals_with() {
    let bench = Bench::new();
    let engine = bench.engine(left_outside(Some(hours(2)))).await;
    let run = engine.start_run("w", "r-1", &1u32).await.expect("a run");
    waits(&engine, &run).await;
    bench.time.advance(hours(2));
    until("it is to be tried again", async || count(&engine, &run, "step_reported").await == 1).await;
    bench.time.advance(mins(1));
    until("the second attempt is left outside", async || count(&engine, &run, "step_suspended").await == 2)
        .await;
    bench.time.advance(hours(2));
    let (step, code) = failed(soon("an end", run.result::<u32>()).await);
    assert_eq!((step.as_str(), code.as_str()), ("weigh", "timeout.report"));
}

#[tokio::test]
async fn a_report_on_a_step_that_was_not_left_to_anyone_is_refused_and_changes_nothing() {
    let bench = Bench::new();
    let engine = bench.engine(asks(&Arc::default())).await;
    let run = engine.start_run("w", "r-1", "ada").await.expect("a run");
    waits(&engine, &run).await;
    let before = engine.history(run.key()).await.expect("a history").len();
    let token = Token { run: run.key().clone(), place: at("ask"), attempt: 1 };
    let refused = engine.report(&token, Report::succeeded("x").expect("JSON")).await;
    assert!(
        matches!(&refused, Err(Error::Refused { why, .. }) if why.contains("not left to anyone")),
        "{refused:?}"
    );
    assert_eq!(engine.history(run.key()).await.expect("a history").len(), before);
}

// ---- what steps share

#[tokio::test]
async fn steps_and_whoever_is_outside_change_one_document_by_deep_merges() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Shared {
        customer: Customer,
        #[serde(default)]
        note: Option<String>,
    }
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Customer {
        name: String,
        city: Option<String>,
    }
    let first = |ctx: StepContext, _: ()| async move {
        ctx.merge_run_context(
            &serde_json::json!({"customer": {"name": "Ada", "city": "Turin"}, "note": "x"}),
        )
        .await?;
        let own: Shared = ctx.run_context()?;
        Ok(own.customer.name)
    };
    let last = |ctx: StepContext, _: (String, ())| async move {
        let shared: Shared = ctx.run_context()?;
        Ok(format!("{shared:?}"))
    };
    let flow =
        Workflow::named("w").input::<()>().step_fn("first", first).wait_for::<()>("go").step_fn("last", last);
    let bench = Bench::new();
    let engine = bench.engine(flow.build().expect("a workflow")).await;
    let run = engine.start_run("w", "r-1", &()).await.expect("a run");
    waits(&engine, &run).await;
    let change = serde_json::json!({"customer": {"city": null}, "note": "rush"});
    engine.merge_context(run.key(), &change, "the customer called").await.expect("merged");
    let refused = engine.merge_context(run.key(), "all of it", "no").await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    engine.signal(run.key(), "go", "m-1", &()).await.expect("sent");
    let expected =
        Shared { customer: Customer { name: "Ada".to_owned(), city: None }, note: Some("rush".to_owned()) };
    assert_eq!(soon("a result", run.result::<String>()).await.expect("a result"), format!("{expected:?}"));
}

#[tokio::test]
async fn a_node_goes_on_with_the_output_of_an_earlier_step() {
    let list = |_ctx: StepContext, n: u32| async move { Ok((0..n).collect::<Vec<u32>>()) };
    let flow = Workflow::named("w")
        .input::<u32>()
        .step_fn("list", list)
        .step_fn("sum", |_ctx: StepContext, all: Vec<u32>| async move { Ok(all.iter().sum::<u32>()) })
        .recall_of::<Vec<u32>>("list")
        .map_flow(2, |item| item.step_fn("square", |_ctx: StepContext, n: u32| async move { Ok(n * n) }));
    let bench = Bench::new();
    let engine = bench.engine(flow.build().expect("a workflow")).await;
    let run = engine.start_run("w", "r-1", &4u32).await.expect("a run");
    assert_eq!(run.result::<Vec<u32>>().await.expect("a result"), [0, 1, 4, 9]);

    let missing = Workflow::named("w").input::<u32>().recall_of::<u32>("nowhere").build();
    assert!(missing.expect_err("there is no such step").to_string().contains("no output of nowhere"));
    let inside = Workflow::named("w")
        .input::<Vec<u32>>()
        .map_flow(2, |item| item.step_fn("square", |_ctx: StepContext, n: u32| async move { Ok(n * n) }))
        .recall_of::<u32>("square")
        .build();
    assert!(inside.is_err(), "it has as many outputs as there are items");
}

#[tokio::test]
async fn a_signal_that_is_taken_in_along_with_a_request_wakes_the_run_all_the_same() {
    let flow = || Workflow::named("w").input::<u32>().wait_for::<u32>("news").build().expect("a workflow");
    let bench = Bench::new();
    let engine = bench.engine(flow()).await;
    let run = engine.start_run("w", "r-1", &1u32).await.expect("a run");
    waits(&engine, &run).await;
    engine.shutdown().await;
    // Nobody works: whoever asks answers all the mail that is there.
    let idle = bench.idle_engine(flow()).await;
    idle.signal(run.key(), "news", "m-1", &2u32).await.expect("sent");
    idle.merge_context(run.key(), &serde_json::json!({"seen": true}), "noted").await.expect("merged");
    idle.work();
    let run = idle.find(run.key()).await.expect("the run");
    assert_eq!(soon("a result", run.result::<(u32, u32)>()).await.expect("a result"), (1, 2));
}

#[tokio::test]
async fn a_signal_reaches_every_run_about_the_same_thing_and_no_other() {
    let flow = Workflow::named("w").input::<u32>().wait_for::<String>("news").build().expect("a workflow");
    let bench = Bench::new();
    let engine = bench.engine(flow).await;
    let mut runs = Vec::new();
    for (id, customer) in [("r-1", "ada"), ("r-2", "bob"), ("r-3", "ada")] {
        let start =
            stepwell::StartRun::new("w", id, &1u32).expect("JSON").tag("customer", customer).expect("a tag");
        runs.push(engine.start_with(start).await.expect("a run"));
    }
    for run in &runs {
        waits(&engine, run).await;
    }
    let tag = Some((stepwell::contract::Name::new("customer").expect("a name"), "ada".to_owned()));
    let query = stepwell::contract::Query { tag, ..Default::default() };
    for _ in 0..2 {
        let told = engine.signal_all(&query, "news", "m-1", "rain").await.expect("listed");
        assert!(told.len() <= 2 && told.iter().all(|(key, _)| key != runs[1].key()), "{told:?}");
    }
    for nth in [0, 2] {
        let heard = soon("a result", runs[nth].result::<(u32, String)>()).await.expect("a result");
        assert_eq!(heard, (1, "rain".to_owned()));
    }
    waits(&engine, &runs[1]).await;
}

#[tokio::test]
async fn a_step_that_waits_can_be_tried_in_a_plain_test() {
    struct Ask;
    #[async_trait]
    impl Step for Ask {
        type Input = ();
        type Output = bool;
        const NAME: &'static str = "ask";
        async fn run(&self, ctx: &StepContext, _input: ()) -> StepResult<bool> {
            Ok(ctx.wait("answer", Wait::new().signal("yes").within(days(1))).await? == Woken::Time)
        }
    }
    let waits = Ask.run(&StepContext::for_test(), ()).await.expect_err("it waits");
    assert!(waits.is_suspension());
    let woken = StepContext::test().attempt(2).woken("answer", &Woken::Time).build();
    assert!(Ask.run(&woken, ()).await.expect("nobody answered"));
}

#[tokio::test]
async fn a_signal_that_was_accepted_can_be_recorded() {
    let flow = Workflow::named("w").input::<u32>().wait_for::<String>("go").build().expect("a workflow");
    let bench = Bench::new();
    let engine = bench.engine(flow).await;
    let run = engine.start_run("w", "r", &1u32).await.expect("a run");
    waits(&engine, &run).await;
    // Two bytes are its quotation marks.
    let largest = "x".repeat(VALUE_BYTES_MAX - 2);
    let refused = engine.signal(run.key(), "go", "m-1", &format!("{largest}x")).await;
    assert!(
        matches!(&refused, Err(Error::Payload(PayloadError::TooLarge { bytes, limit }))
            if (*bytes, *limit) == (VALUE_BYTES_MAX + 1, VALUE_BYTES_MAX)),
        "{refused:?}"
    );
    let name = "n".repeat(ID_BYTES_MAX);
    engine.signal(run.key(), &name, &"i".repeat(ID_BYTES_MAX), &largest).await.expect("sent");
    engine.signal(run.key(), "go", "m-2", &largest).await.expect("sent");
    let (n, heard) = soon("a result", run.result::<(u32, String)>()).await.expect("a result");
    assert_eq!((n, heard.len()), (1, largest.len()));
    assert_eq!(count(&engine, &run, "signal_received").await, 2);
}

#[tokio::test]
async fn a_message_that_cannot_be_recorded_is_refused_and_stands_in_nobodys_way() {
    for is_held in [false, true] {
        let flow = Workflow::named("w").input::<u32>().wait_for::<String>("go").build().expect("a workflow");
        let bench = Bench::new();
        let engine = bench.engine(flow).await;
        let run = engine.start_run("w", "r", &1u32).await.expect("a run");
        waits(&engine, &run).await;
        if is_held {
            engine.pause(run.key(), "hold").await.expect("paused");
        }
        // A program of another kind may post what fits a message and no record.
        let sent = |bytes: usize| {
            let (signal, payload) = (Name::new("go").expect("a name"), Payload::encode(&"x".repeat(bytes)));
            SentSignal { signal, payload: payload.expect("json"), actor: Actor::Program }
        };
        let around = Payload::encode(&sent(0)).expect("json").text().len();
        let largest = Payload::encode(&sent(PAYLOAD_BYTES_MAX - around)).expect("it fits a message");
        let id = MessageId::new("m-1").expect("an id");
        let message = Message::new(id, SIGNAL, bench.now(), largest);
        bench.store.commit(&[Batch::post(run.key().clone(), message)]).await.expect("posted");
        if is_held {
            engine.resume(run.key(), "go on").await.expect("resumed");
        }
        engine.signal(run.key(), "go", "m-2", "yes").await.expect("sent");
        let result = soon("a result", run.result::<(u32, String)>()).await.expect("a result");
        assert_eq!(result, (1, "yes".to_owned()));
        assert_eq!(count(&engine, &run, "request_refused").await, 1);
    }
}

#[tokio::test]
async fn a_run_that_is_held_and_has_large_mail_can_be_resumed() {
    let flow = Workflow::named("w").input::<u32>().wait_for::<String>("go").build().expect("a workflow");
    let bench = Bench::new();
    let engine = bench.engine(flow).await;
    let run = engine.start_run("w", "r", &1u32).await.expect("a run");
    waits(&engine, &run).await;
    engine.pause(run.key(), "hold").await.expect("paused");
    let large = "x".repeat(900_000);
    for nth in 0..6 {
        engine.signal(run.key(), "other", &format!("m-{nth}"), &large).await.expect("sent");
    }
    engine.resume(run.key(), "go on").await.expect("resumed");
    engine.signal(run.key(), "go", "m", "yes").await.expect("sent");
    let result = soon("a result", run.result::<(u32, String)>()).await.expect("a result");
    assert_eq!(result, (1, "yes".to_owned()));
    assert_eq!(count(&engine, &run, "signal_received").await, 7, "none is lost");
}
