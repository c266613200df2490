//! Workflows that are posted as data, whose steps processes do that do not link the library, on a store in memory.

use bench::{Bench, at, count};
use serde_json::value::RawValue;
use stepwell::contract::{Name, Query, RunId, RunKey, Status, TenantId};
use stepwell::observe::cause::Cause;
use stepwell::prelude::*;
use stepwell::run::state::StepStatus;
use stepwell::{
    Actor, Error, OutsideFailure, OutsideFilter, OutsideStep, Outsider, PostedWorkflow, Report, RunHandle,
    Token,
};
use until::{soon, until};

mod bench;
mod until;

fn film(steps: &str) -> PostedWorkflow {
    serde_json::from_str(&format!(r#"{{"name": "film", "steps": {steps}}}"#)).expect("it is read")
}

const CUT: &str = r#"{"name": "cut", "timeout_ms": 60000, "estimate_ms": 20000, "max_attempts": 2, "retry_delay_ms": 1000}"#;
const DUB: &str = r#"{"name": "dub", "timeout_ms": 60000, "estimate_ms": 5000}"#;

fn cut_and_dub() -> PostedWorkflow {
    film(&format!("[{CUT}, {DUB}]"))
}

/// An engine that has nothing but what was posted.
async fn engine(bench: &Bench, posted: PostedWorkflow) -> Engine {
    let engine = bench.builder().start().await.expect("an engine");
    engine.post_workflow(posted, Actor::Person("nina".to_owned())).await.expect("posted");
    engine
}

async fn left(engine: &Engine, run: &RunHandle, step: &str) -> OutsideStep {
    let token = soon("the step is left outside", async {
        loop {
            if let Ok(step) = engine.outside_step(run.key(), &at(step)).await
                && engine.running() == 0
            {
                return step;
            }
            tokio::task::yield_now().await;
        }
    });
    token.await
}

/// Returns once the run waits for a report, and for nothing else.
async fn waits(engine: &Engine, run: &RunHandle) {
    until("it waits to be reported on", async || {
        matches!(engine.cause(run.key()).await.expect("a cause"), Some(Cause::Outside { .. }))
    })
    .await;
}

async fn open(engine: &Engine) -> Vec<OutsideStep> {
    engine.outside_steps(&OutsideFilter::default(), None, 10).await.expect("a page").items
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("JSON")
}

fn done(text: &str) -> Report {
    Report::succeeded(&*raw(text)).expect("JSON")
}

fn why(refused: Result<stepwell::contract::Head, Error>) -> String {
    match refused {
        Err(Error::Refused { why, .. }) => why,
        other => panic!("it was to be refused: {other:?}"),
    }
}

#[tokio::test]
async fn values_pass_through_posted_steps_digit_by_digit() {
    let bench = Bench::new();
    let side =
        r#"{"parallel": [{"name": "dub", "timeout_ms": 60000}, {"name": "grade", "timeout_ms": 60000}]}"#;
    let engine = engine(&bench, film(&format!("[{CUT}, {side}]"))).await;
    let large = r#"{"id":123456789012345678901234567890,"share":0.10000000000000000055,"none":null}"#;
    let run = engine.start_run("film", "r-1", &*raw(large)).await.expect("a run");
    let cut = left(&engine, &run, "cut").await;
    assert_eq!(cut.input.expect("its input").text(), large);
    assert_eq!((cut.estimate_ms, cut.idempotency_key.as_str()), (Some(20_000), "default/r-1/cut"));
    engine.report(&cut.token, done(large)).await.expect("taken");
    for step in ["dub", "grade"] {
        let step = left(&engine, &run, step).await;
        assert_eq!(step.input.as_ref().expect("its input").text(), large);
        engine.report(&step.token, done("18446744073709551616")).await.expect("taken");
    }
    let result: Box<RawValue> = soon("a result", run.result()).await.expect("a result");
    assert_eq!(result.get(), "[18446744073709551616,18446744073709551616]");
}

#[tokio::test]
async fn the_first_who_begins_a_step_has_it_and_it_is_no_longer_offered() {
    let bench = Bench::new();
    let engine = engine(&bench, cut_and_dub()).await;
    let run = engine.start_run("film", "r-1", "reel").await.expect("a run");
    let offered = left(&engine, &run, "cut").await;
    assert_eq!(open(&engine).await.as_slice(), std::slice::from_ref(&offered));
    assert_eq!(offered.timeout_at, Some(bench.now().plus_ms(60_000)));

    bench.time.advance(secs(50));
    let ada = Outsider::named("ada").on_host("h-1").with_code("7");
    engine.report(&offered.token, Report::started(ada.clone())).await.expect("it is hers");
    engine.report(&offered.token, Report::started(ada.clone())).await.expect("it still is");
    assert_eq!(count(&engine, &run, "step_reported").await, 1, "what is said twice is recorded once");
    let late = engine.report(&offered.token, Report::started(Outsider::named("bob"))).await;
    assert_eq!(why(late), "attempt 1 of cut was begun by ada");
    assert_eq!(open(&engine).await, []);
    let all = OutsideFilter { with_begun: true, ..OutsideFilter::default() };
    let all = engine.outside_steps(&all, None, 10).await.expect("a page").items;
    let begun = all[0].begun.as_ref().expect("begun");
    assert_eq!((&begun.by, begun.at), (&ada, bench.now()));
    // Whoever begins late has all the time.
    assert_eq!(all[0].timeout_at, Some(bench.now().plus_ms(60_000)));

    waits(&engine, &run).await;
    bench.time.advance(secs(59));
    let cause = engine.cause(run.key()).await.expect("a cause");
    assert!(matches!(cause, Some(Cause::Outside { .. })), "{cause:?}");
    engine.report(&offered.token, done("1")).await.expect("in time");
    left(&engine, &run, "dub").await;
}

#[tokio::test]
async fn an_end_that_is_told_twice_counts_once_and_one_of_a_former_attempt_not_at_all() {
    let bench = Bench::new();
    let engine = engine(&bench, cut_and_dub()).await;
    let run = engine.start_run("film", "r-1", "reel").await.expect("a run");
    let first = left(&engine, &run, "cut").await.token;
    let slipped = || {
        let told = r#"{"class": "unavailable", "code": "http.503", "message": "the archive is down",
            "details": {"host": "archive.example", "status": 503}}"#;
        Report::failure(serde_json::from_str::<OutsideFailure>(told).expect("a failure"))
    };
    engine.report(&first, Report::started(Outsider::named("ada").on_host("h-1"))).await.expect("taken");
    engine.report(&first, slipped()).await.expect("taken");
    engine.report(&first, slipped()).await.expect("it was told before");
    until("it is tried again", async || {
        let state = engine.state(run.key()).await.expect("a state");
        matches!(state.step(&at("cut")).expect("begun").status, StepStatus::Backoff(_))
    })
    .await;
    bench.time.advance(secs(1));
    until("the second attempt is left outside", async || {
        engine.token_of(run.key(), &at("cut")).await.is_ok_and(|token| token.attempt == 2)
    })
    .await;
    let second = left(&engine, &run, "cut").await;
    assert_eq!((second.token.attempt, second.begun), (2, None), "nobody has begun it anew");
    assert!(why(engine.report(&first, done("1")).await).contains("attempt 1 of cut is over"));
    let begun = Report::started(Outsider::named("ada").on_host("h-1"));
    assert!(
        why(engine.report(&first, begun).await).contains("attempt 1 of cut is over"),
        "it is hers no more"
    );

    let attempts = engine.attempts(run.key(), &at("cut")).await.expect("attempts");
    let ended = &attempts[0];
    assert_eq!((ended.class, ended.code.as_deref()), (Some(ErrorClass::Unavailable), Some("http.503")));
    assert_eq!((ended.worker.as_deref(), ended.host.as_deref()), (Some("ada"), Some("h-1")));
    assert_eq!(ended.chain[0].fields["status"], "503");

    let token = engine.token_of(run.key(), &at("cut")).await.expect("a token");
    engine.report(&token, done("1")).await.expect("taken");
    let last = left(&engine, &run, "dub").await.token;
    engine.report(&last, done("2")).await.expect("taken");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 2);
    engine.report(&last, done("2")).await.expect("it was told before, also after the run has ended");
    assert!(why(engine.report(&last, done("3")).await).contains("it has succeeded"));
}

#[tokio::test]
async fn failures_from_outside_are_diagnosed_and_form_groups_like_those_of_steps() {
    let bench = Bench::new();
    let engine = engine(&bench, cut_and_dub()).await;
    for nth in 0..2 {
        let run = engine.start_run("film", &format!("r-{nth}"), "reel").await.expect("a run");
        let token = left(&engine, &run, "cut").await.token;
        let told =
            r#"{"class": "auth", "code": "http.401", "message": "the archive refuses the login of ada"}"#;
        let refused = serde_json::from_str::<OutsideFailure>(told).expect("a failure");
        engine.report(&token, Report::failure(refused)).await.expect("taken");
        until("it is held", async || run.head().await.expect("a head").status == Status::Paused).await;
        let diagnosis = engine.diagnosis(run.key()).await.expect("it is read").expect("a diagnosis");
        assert!(diagnosis.code.starts_with("SW5"), "{diagnosis:?}");
    }
    until("they are one group", async || {
        let groups =
            engine.failure_groups(&stepwell::GroupFilter::default(), None, 10).await.expect("groups");
        matches!(groups.items.as_slice(), [group] if group.held == 2)
    })
    .await;
    assert_eq!(open(&engine).await, [], "what is held is not offered");
}

#[tokio::test]
async fn silence_is_a_timeout_that_tells_who_was_silent() {
    let bench = Bench::new();
    let once = r#"[{"name": "cut", "timeout_ms": 60000, "max_attempts": 1}]"#;
    let engine = engine(&bench, film(once)).await;
    for (run, begun, code, says) in
        [("r-1", false, "SW2009", "no one reported"), ("r-2", true, "SW2010", "by ada")]
    {
        let run = engine.start_run("film", run, "reel").await.expect("a run");
        let token = left(&engine, &run, "cut").await.token;
        if begun {
            engine.report(&token, Report::started(Outsider::named("ada"))).await.expect("taken");
            waits(&engine, &run).await;
        }
        bench.time.advance(mins(1));
        until("it is held", async || run.head().await.expect("a head").status == Status::Paused).await;
        let diagnosis = engine.diagnosis(run.key()).await.expect("it is read").expect("a diagnosis");
        assert_eq!(diagnosis.code, code, "{diagnosis:?}");
        assert!(diagnosis.summary.contains(says), "{}", diagnosis.summary);
        let state = engine.state(run.key()).await.expect("a state");
        let failure = state.step(&at("cut")).expect("begun").failure.clone().expect("a failure");
        assert_eq!((failure.class, failure.code.as_deref()), (ErrorClass::Timeout, Some("timeout.report")));
        let late = engine.report(&token, done("1")).await;
        assert!(why(late).contains("not left to anyone outside"));
    }
}

#[tokio::test]
async fn the_remaining_time_is_estimated_until_there_is_experience() {
    let bench = Bench::new();
    let engine = engine(&bench, cut_and_dub()).await;
    let remaining = async |run: &RunHandle| {
        engine.progress(run.key()).await.expect("progress").remaining_ms.expect("it is known")
    };
    let first = engine.start_run("film", "r-1", "reel").await.expect("a run");
    let cut = left(&engine, &first, "cut").await.token;
    assert_eq!(remaining(&first).await, 25_000);
    engine.report(&cut, Report::started(Outsider::named("ada"))).await.expect("taken");
    engine.report(&cut, Report::progress(0.5, "half of it")).await.expect("taken");
    assert_eq!(remaining(&first).await, 15_000);
    bench.time.advance(secs(8));
    waits(&engine, &first).await;
    let progress = engine.progress(first.key()).await.expect("progress");
    assert_eq!((progress.steps[0].state, progress.steps[0].elapsed_ms), ("runs outside", Some(8_000)));
    engine.report(&cut, done("1")).await.expect("taken");
    let dub = left(&engine, &first, "dub").await.token;
    engine.report(&dub, done("2")).await.expect("taken");
    soon("a result", first.result::<u32>()).await.expect("a result");

    let second = engine.start_run("film", "r-2", "reel").await.expect("a run");
    left(&engine, &second, "cut").await;
    // Nobody said when they had begun to dub.
    assert_eq!(remaining(&second).await, 8_000 + 5_000);
}

#[tokio::test]
async fn what_is_posted_is_posted_once_and_tells_who_posted_it() {
    let bench = Bench::new();
    let registered =
        Workflow::named("film").version(2).step_fn("cut", |_ctx: StepContext, n: u32| async move { Ok(n) });
    let engine = bench.engine(registered.build().expect("a workflow")).await;
    let (nina, otto) = (Actor::Person("nina".to_owned()), Actor::Person("otto".to_owned()));
    let first = engine.post_workflow(cut_and_dub(), nina.clone()).await.expect("posted");
    assert_eq!((&first.actor, first.at, first.in_use), (&nina, bench.now(), true));
    bench.time.advance(secs(1));
    let again = engine.post_workflow(cut_and_dub(), otto.clone()).await.expect("the same");
    assert_eq!(again, first);
    assert_eq!(engine.posted_workflows().await.expect("a list"), [first]);

    for (posted, says) in [
        (film(&format!("[{CUT}]")), "nina posted another one of that name and version, with other steps"),
        (PostedWorkflow { version: 2, ..cut_and_dub() }, "this program has registered one"),
        (
            PostedWorkflow { name: Name::new("stepwell.x").expect("a name"), ..cut_and_dub() },
            "the engine's own",
        ),
    ] {
        let error = engine.post_workflow(posted, otto.clone()).await.expect_err(says);
        assert!(error.to_string().contains(says), "{error}");
    }
    let system = TenantId::new("stepwell.system").expect("an id");
    let workflow = Some(Name::new("stepwell.posted").expect("a name"));
    let query = Query { tenant: Some(system), workflow, ..Query::default() };
    let heads = engine.list(&query, None, 10).await.expect("a page").items;
    let records = engine.history(&heads[0].key).await.expect("a history");
    assert_eq!(records.iter().map(|record| record.kind.as_str()).collect::<Vec<_>>(), ["workflow_posted"]);
    let all = Query::default();
    assert_eq!(engine.remove_finished(&all, None, 10).await.expect("looked through").removed, 0);
}

#[tokio::test]
async fn a_run_that_is_held_lets_nobody_begin_and_takes_the_word_of_whoever_has() {
    let bench = Bench::new();
    let engine = engine(&bench, cut_and_dub()).await;
    let run = engine.start_run("film", "r-1", "reel").await.expect("a run");
    let token = left(&engine, &run, "cut").await.token;
    engine.pause(run.key(), "wait").await.expect("held");
    assert!(why(engine.report(&token, Report::started(Outsider::named("ada"))).await).contains("is held"));
    assert_eq!(open(&engine).await, []);
    engine.report(&token, done("1")).await.expect("what is done is done");
    engine.resume(run.key(), "go on").await.expect("on its way");
    left(&engine, &run, "dub").await;
    engine.restart(run.key(), &at("cut"), "the reel was torn").await.expect("set aside");
    until("it is offered again, and nothing else is", async || {
        open(&engine).await.iter().map(|step| step.token.place.clone()).collect::<Vec<_>>() == [at("cut")]
    })
    .await;
    assert_eq!(open(&engine).await[0].token.attempt, 2);
    engine.skip(run.key(), &at("cut"), "it is cut by hand").await.expect("passed over");
    left(&engine, &run, "dub").await;
    assert_eq!(open(&engine).await.len(), 1, "what was passed over is not offered");
}

#[tokio::test]
async fn what_nobody_outside_has_is_not_found() {
    let bench = Bench::new();
    let engine = engine(&bench, cut_and_dub()).await;
    let run = engine.start_run("film", "r-1", "reel").await.expect("a run");
    left(&engine, &run, "cut").await;
    let early = engine.token_of(run.key(), &at("dub")).await.expect_err("it has not begun");
    assert!(early.to_string().contains("dub has not begun"), "{early}");
    let nobody = RunKey::new(TenantId::default(), RunId::new("r-2").expect("an id"));
    assert!(matches!(engine.token_of(&nobody, &at("cut")).await, Err(Error::NoSuchRun(_))));
    let token = Token { run: nobody, place: at("cut"), attempt: 1 };
    assert!(matches!(engine.report(&token, done("1")).await, Err(Error::NoSuchRun(_))));
    let filter = OutsideFilter { step: Name::new("dub").ok(), ..OutsideFilter::default() };
    assert_eq!(engine.outside_steps(&filter, None, 10).await.expect("a page").items, []);
    engine.cancel(run.key(), "no more").await.expect("cancelled");
    let (_, code) = (run.key(), engine.report(&token_of(&run), done("1")).await);
    assert!(why(code).contains("cancelled"));
}

fn token_of(run: &RunHandle) -> Token {
    Token { run: run.key().clone(), place: at("cut"), attempt: 1 }
}

#[tokio::test]
async fn engines_that_work_learn_what_others_post_and_tell_that_they_have_it() {
    let bench = Bench::shared();
    // It has nothing to do yet.
    let worker = bench.builder().start().await.expect("an engine");
    let desk = bench.builder().build().await.expect("an engine");
    let far = bench.builder().build().await.expect("an engine");
    desk.post_workflow(cut_and_dub(), Actor::Program).await.expect("posted");
    assert!(worker.definitions().is_empty());
    until("the worker has it", async || {
        bench.time.advance(secs(1));
        !worker.definitions().is_empty()
    })
    .await;
    until("it tells that it has it", async || {
        bench.time.advance(secs(1));
        let workers = desk.workers().await.expect("workers");
        workers.iter().any(|view| view.workflows.iter().any(|known| known.name.as_str() == "film"))
    })
    .await;
    // One that was there before and takes no runs learns it with the first that it starts.
    let run = far.start_run("film", "r-1", "reel").await.expect("a run");
    let token = left(&far, &run, "cut").await.token;
    far.report(&token, done("1")).await.expect("taken");
    left(&far, &run, "dub").await;
}

#[tokio::test]
async fn what_another_program_has_registered_is_not_posted() {
    let bench = Bench::shared();
    let film = Workflow::named("film").step_fn("cut", |_ctx: StepContext, n: u32| async move { Ok(n) });
    let worker = bench.engine(film.build().expect("a workflow")).await;
    until("it tells that it has it", async || !worker.workers().await.expect("workers").is_empty()).await;
    let desk = bench.builder().build().await.expect("an engine");
    let refused = desk.post_workflow(cut_and_dub(), Actor::Program).await.expect_err("it is there");
    assert!(refused.to_string().contains("another program has registered"), "{refused}");
    assert_eq!(desk.posted_workflows().await.expect("a list"), []);
}
