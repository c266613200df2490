//! What a workflow can consist of, end to end: engines in memory on simulated time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bench::{Bench, START, at, count, failed, waits};
use stepwell::contract::Status;
use stepwell::prelude::*;
use stepwell::run::place::Place;
use stepwell::run::state::StepStatus;
use stepwell::{BuildError, ItemResult, RunError};
use tokio::sync::Notify;
use until::{soon, until};

mod bench;
mod until;

/// Adds as much to what it is given.
macro_rules! add {
    ($more:expr) => {
        |_ctx: StepContext, n: u32| async move { Ok(n + $more) }
    };
}

// ---- choices

#[tokio::test]
async fn a_choice_is_recorded_once_and_a_changed_condition_does_not_decide_again() {
    let flow = |limit: u32| {
        Workflow::named("w")
            .input::<u32>()
            .branch(
                "is_large",
                move |n: &u32| *n > limit,
                |large| large.sleep("rest", hours(1)).step_fn("review", add!(1_000)),
                |small| small.step_fn("pass", add!(1)),
            )
            .build()
            .expect("a workflow")
    };
    let bench = Bench::new();
    let engine = bench.engine(flow(10)).await;
    let run = engine.start_run("w", "r-1", &100u32).await.expect("a run");
    waits(&engine, &run).await;
    engine.shutdown().await;

    // By now 100 would not be large.
    let engine = bench.engine(flow(500)).await;
    bench.time.advance(hours(1));
    let run = engine.find(run.key()).await.expect("the run");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 1_100);
    let state = engine.state(run.key()).await.expect("a state");
    assert_eq!(state.step(&at("is_large")).expect("decided").attempt, 1);
    assert_eq!(state.step(&at("pass")), None);
}

#[tokio::test]
async fn a_word_that_no_arm_has_fails_the_run_and_names_those_there_are() {
    let flow = Workflow::named("w").input::<u32>().choose(
        "route",
        |weight: &u32| if *weight > 100 { "rail" } else { "air" },
        |arms| arms.arm("sea", |f| f.step_fn("ship", add!(1))).arm("air", |f| f.step_fn("fly", add!(2))),
    );
    let bench = Bench::new();
    let engine = bench.engine(flow.build().expect("a workflow")).await;
    let light = engine.start_run("w", "light", &1u32).await.expect("a run");
    assert_eq!(light.result::<u32>().await.expect("a result"), 3);
    let heavy = engine.start_run("w", "heavy", &101u32).await.expect("a run");
    let error = heavy.result::<u32>().await.expect_err("there is no such arm");
    assert!(error.to_string().contains(r#"no arm is named "rail"; there is sea, air"#), "{error}");
    assert_eq!(failed(Err::<u32, _>(error)), ("route".to_owned(), "choose.no_arm".to_owned()));
}

#[tokio::test]
async fn a_step_that_is_passed_over_shows_as_skipped_and_gives_what_it_would_have_taken() {
    struct Discount;
    #[async_trait]
    impl Step for Discount {
        type Input = u32;
        type Output = u32;
        const NAME: &'static str = "discount";
        async fn run(&self, _ctx: &StepContext, cents: u32) -> StepResult<u32> {
            Ok(cents / 2)
        }
    }
    let flow = Workflow::named("w").input::<u32>().step_if(|cents: &u32| *cents > 1_000, Discount);
    let flow = flow.step_fn("tax", add!(1)).build().expect("a workflow");
    let bench = Bench::new();
    let engine = bench.engine(flow).await;
    for (id, cents, due, shown) in [("dear", 3_000, 1_501, "succeeded"), ("cheap", 200, 201, "skipped")] {
        let run = engine.start_run("w", id, &cents).await.expect("a run");
        assert_eq!(run.result::<u32>().await.expect("a result"), due);
        let progress = engine.progress(run.key()).await.expect("progress");
        let states: Vec<_> = progress.steps.iter().map(|step| (step.step.as_str(), step.state)).collect();
        assert_eq!(states, [("discount.if", "succeeded"), ("discount", shown), ("tax", "succeeded")]);
        assert!((progress.percent - 100.0).abs() < f64::EPSILON);
    }
}

// ---- time

#[tokio::test]
async fn a_sleep_of_three_days_costs_no_running_run_and_fires_once() {
    let flow = Workflow::named("w").input::<u32>().sleep("rest", days(3)).step_fn("wake", add!(1));
    let bench = Bench::new();
    let engine = bench.engine(flow.build().expect("a workflow")).await;
    let run = engine.start_run("w", "r-1", &1u32).await.expect("a run");
    waits(&engine, &run).await;
    assert_eq!(engine.running(), 0);
    assert_eq!(run.head().await.expect("a head").wake_at, Some(START.plus_ms(3 * 86_400_000)));

    bench.time.advance(days(3) - millis(1));
    let state = engine.state(run.key()).await.expect("a state");
    let asleep = state.step(&at("rest")).map(|step| step.status);
    assert_eq!(asleep, Some(StepStatus::Sleeping(START.plus_ms(3 * 86_400_000))));
    bench.time.advance(millis(1));
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 2);
    assert_eq!(count(&engine, &run, "timer_fired").await, 1);
    assert_eq!(count(&engine, &run, "step_started").await, 1, "`wake` alone is a step that runs");
}

#[tokio::test]
async fn a_timer_that_was_missed_during_an_outage_fires_at_once() {
    let flow = || {
        let flow = Workflow::named("w").input::<u32>().sleep("rest", hours(1)).step_fn("wake", add!(1));
        flow.build().expect("a workflow")
    };
    let bench = Bench::new();
    let engine = bench.engine(flow()).await;
    let run = engine.start_run("w", "r-1", &1u32).await.expect("a run");
    waits(&engine, &run).await;
    engine.shutdown().await;
    bench.time.advance(days(10));
    let engine = bench.engine(flow()).await;
    let run = engine.find(run.key()).await.expect("the run");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 2);
    assert_eq!(engine.now(), START.plus_ms(10 * 86_400_000), "no more time had to pass");
}

#[tokio::test]
async fn each_item_sleeps_until_its_own_time_and_sleepers_take_no_room() {
    let flow = Workflow::named("w").input::<Vec<u32>>().map_flow(1, |item| {
        item.sleep_until("rest", |hours: &u32| START.plus_ms(u64::from(*hours) * 3_600_000))
            .step_fn("wake", add!(100))
    });
    let bench = Bench::new();
    let engine = bench.engine(flow.build().expect("a workflow")).await;
    // One item at a time may run a step; the first sleeps longest and holds up nobody.
    let run = engine.start_run("w", "r-1", &vec![3u32, 1, 2]).await.expect("a run");
    let awake = async || -> usize {
        let state = engine.state(run.key()).await.expect("a state");
        state.steps.get(&at("wake").step).map_or(0, |group| group.succeeded)
    };
    for hour in 0..3 {
        waits(&engine, &run).await;
        assert_eq!(awake().await, hour);
        bench.time.advance(hours(1));
        until("one more is awake", async || awake().await == hour + 1).await;
    }
    assert_eq!(soon("a result", run.result::<Vec<u32>>()).await.expect("a result"), [103, 101, 102]);
}

#[tokio::test]
async fn a_sleep_that_has_begun_keeps_its_end_also_while_its_run_is_held() {
    let flow = |time| {
        let flow = Workflow::named("w").input::<u32>().sleep("rest", time).step_fn("wake", add!(1));
        flow.build().expect("a workflow")
    };
    let bench = Bench::new();
    let engine = bench.engine(flow(hours(1))).await;
    let run = engine.start_run("w", "r-1", &1u32).await.expect("a run");
    waits(&engine, &run).await;
    engine.shutdown().await;

    let engine = bench.engine(flow(days(100))).await;
    let run = engine.find(run.key()).await.expect("the run");
    engine.pause(run.key(), "not now").await.expect("held");
    bench.time.advance(hours(2));
    assert_eq!(run.head().await.expect("a head").status, Status::Paused);
    engine.resume(run.key(), "now").await.expect("resumed");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 2);
}

// ---- signals

/// Waits for `word` within an hour, and says what came.
fn listener() -> Workflow<u32, (u32, Option<String>)> {
    let flow = Workflow::named("w").input::<u32>().wait_for_within::<String>("word", hours(1));
    flow.build().expect("a workflow")
}

type Heard = (u32, Option<String>);

#[tokio::test]
async fn a_signal_that_comes_before_the_run_waits_for_it_counts() {
    let bench = Bench::new();
    let engine = bench.idle_engine(listener()).await;
    let run = engine.start_run("w", "r-1", &7u32).await.expect("a run");
    engine.signal(run.key(), "word", "s-1", "early").await.expect("sent");
    assert_eq!(run.head().await.expect("a head").status, Status::Queued, "nobody works yet");
    engine.work();
    let heard = soon("a result", run.result::<Heard>()).await.expect("a result");
    assert_eq!(heard, (7, Some("early".to_owned())));
    let late = engine.signal(run.key(), "word", "s-2", "late").await.expect_err("it has ended");
    assert!(late.to_string().contains("it has ended"), "{late}");
}

#[tokio::test]
async fn a_signal_that_comes_while_the_run_is_held_is_kept_until_it_goes_on() {
    let bench = Bench::new();
    let engine = bench.engine(listener()).await;
    let run = engine.start_run("w", "r-1", &7u32).await.expect("a run");
    waits(&engine, &run).await;
    engine.pause(run.key(), "not now").await.expect("held");
    engine.signal(run.key(), "word", "s-1", "meanwhile").await.expect("sent");
    let held = run.result::<Heard>().await.expect_err("it is held");
    assert!(matches!(held, RunError::Paused { .. }), "{held}");
    engine.resume(run.key(), "now").await.expect("resumed");
    let heard = soon("a result", run.result::<Heard>()).await.expect("a result");
    assert_eq!(heard, (7, Some("meanwhile".to_owned())));
}

#[tokio::test]
async fn a_wait_whose_time_is_over_gives_nothing_and_one_that_was_answered_has_no_timeout() {
    let bench = Bench::new();
    let engine = bench.engine(listener()).await;
    let silent = engine.start_run("w", "silent", &1u32).await.expect("a run");
    let heard = engine.start_run("w", "heard", &2u32).await.expect("a run");
    waits(&engine, &silent).await;
    waits(&engine, &heard).await;
    engine.signal(heard.key(), "word", "s-1", "yes").await.expect("sent");
    let result = soon("a result", heard.result::<Heard>()).await.expect("a result");
    assert_eq!(result, (2, Some("yes".to_owned())));
    bench.time.advance(hours(1));
    assert_eq!(soon("a result", silent.result::<Heard>()).await.expect("a result"), (1, None));
    assert_eq!(count(&engine, &heard, "wait_ended").await, 1);
}

#[tokio::test]
async fn the_same_signal_id_counts_once_also_after_it_was_taken() {
    let count_ticks = |_ctx: StepContext, (n, more): (u32, u32)| async move { Ok(n + more) };
    let flow = Workflow::named("w").input::<u32>().repeat_while(
        "wants_more",
        10,
        |n: &u32| *n < 2,
        |round| round.wait_for::<u32>("tick").step_fn("add", count_ticks),
    );
    let bench = Bench::new();
    let engine = bench.engine(flow.build().expect("a workflow")).await;
    let run = engine.start_run("w", "r-1", &0u32).await.expect("a run");
    for _ in 0..2 {
        engine.signal(run.key(), "tick", "first", &1u32).await.expect("sent");
    }
    let waits_in_round = async |round: u32| {
        let place = Place { item: round.into(), ..at("tick") };
        until("it waits in this round", async || {
            let state = engine.state(run.key()).await.expect("a state");
            state.step(&place).is_some_and(|step| matches!(step.status, StepStatus::Awaiting(_)))
        })
        .await;
    };
    waits_in_round(1).await;
    waits(&engine, &run).await;
    engine.signal(run.key(), "tick", "first", &1u32).await.expect("sent, without effect");
    assert_eq!(count(&engine, &run, "signal_received").await, 1);
    engine.signal(run.key(), "tick", "second", &1u32).await.expect("sent");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 2);
    assert_eq!(count(&engine, &run, "signal_received").await, 2);
}

// ---- loops

#[tokio::test]
async fn a_loop_asks_before_each_round_and_fails_when_it_wants_more_than_its_bound() {
    let flow = Workflow::named("w").input::<u32>().repeat_while(
        "is_small",
        5,
        |n: &u32| *n < 100,
        |round| round.step_fn("double", |_ctx: StepContext, n: u32| async move { Ok(n * 2) }),
    );
    let bench = Bench::new();
    let engine = bench.engine(flow.build().expect("a workflow")).await;
    for (id, from, to, rounds) in [("none", 100u32, 100u32, 0), ("some", 30, 120, 2), ("all", 4, 128, 5)] {
        let run = engine.start_run("w", id, &from).await.expect("a run");
        assert_eq!(run.result::<u32>().await.expect("a result"), to);
        let state = engine.state(run.key()).await.expect("a state");
        assert_eq!(state.steps.get(&at("double").step).map_or(0, |group| group.items.len()), rounds);
    }
    let run = engine.start_run("w", "more", &3u32).await.expect("a run");
    let (place, code) = failed(run.result::<u32>().await);
    assert_eq!((place.as_str(), code.as_str()), ("is_small[5]", "repeat.rounds_max"));
}

#[tokio::test]
async fn a_loop_that_failed_at_its_bound_goes_on_with_the_next_round_under_a_wider_one() {
    let flow = |rounds_max| {
        let flow = Workflow::named("w").input::<u32>();
        let flow = flow.repeat_while("is_small", rounds_max, |n: &u32| *n < 6, |f| f.step_fn("add", add!(1)));
        flow.build().expect("a workflow")
    };
    let bench = Bench::new();
    let engine = bench.engine(flow(4)).await;
    let run = engine.start_run("w", "r-1", &0u32).await.expect("a run");
    failed(run.result::<u32>().await);
    engine.shutdown().await;

    let engine = bench.engine(flow(6)).await;
    let run = engine.find(run.key()).await.expect("the run");
    engine.retry(run.key(), "the bound was too small").await.expect("let go on");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 6);
    // Six rounds, and seven answers: nothing was done again.
    assert_eq!(count(&engine, &run, "step_started").await, 13);
}

// ---- side by side

#[tokio::test]
async fn with_wait_all_the_other_branch_goes_on_to_its_end_and_without_it_starts_nothing_more() {
    for (waits_for_all, ended) in [(true, 2), (false, 1)] {
        let (has_failed, steps) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
        let (told, first, second) = (Arc::clone(&has_failed), Arc::clone(&steps), Arc::clone(&steps));
        let flow = Workflow::named("w").input::<u32>().both(
            |left| {
                left.step_fn("fail", |_ctx: StepContext, _: u32| async move {
                    Err::<u32, _>(StepError::permanent("no"))
                })
            },
            |right| {
                right
                    .step_fn("first", move |_ctx: StepContext, n: u32| {
                        let (told, first) = (Arc::clone(&told), Arc::clone(&first));
                        async move {
                            told.notified().await;
                            first.fetch_add(1, Ordering::SeqCst);
                            Ok(n)
                        }
                    })
                    .step_fn("second", move |_ctx: StepContext, n: u32| {
                        second.fetch_add(1, Ordering::SeqCst);
                        async move { Ok(n) }
                    })
            },
        );
        let flow = if waits_for_all { flow.wait_all() } else { flow };
        let bench = Bench::new();
        let engine = bench.engine(flow.build().expect("a workflow")).await;
        let run = engine.start_run("w", "r-1", &1u32).await.expect("a run");
        until("the left branch has failed", async || {
            let state = engine.state(run.key()).await.expect("a state");
            state.step(&at("fail")).is_some_and(|step| step.status == StepStatus::Failed)
        })
        .await;
        has_failed.notify_one();
        let (place, _) = failed(soon("an end", run.result::<(u32, u32)>()).await);
        assert_eq!((place.as_str(), steps.load(Ordering::SeqCst)), ("fail", ended));
    }
}

#[tokio::test]
async fn a_step_in_the_flow_of_a_map_reads_the_outputs_of_its_own_item_and_of_what_came_before() {
    let flow = Workflow::named("w")
        .step_fn("list", |_ctx: StepContext, n: u32| async move { Ok((1..=n).collect::<Vec<u32>>()) })
        .map_flow(2, |item| {
            item.step_fn("square", |_ctx: StepContext, n: u32| async move { Ok(n * n) }).step_fn(
                "tell",
                |ctx: StepContext, square: u32| async move {
                    let list: Vec<u32> = ctx.output_of("list")?;
                    let own: u32 = ctx.output_of("square")?;
                    Ok((list.len(), own, square))
                },
            )
        });
    let bench = Bench::new();
    let engine = bench.engine(flow.build().expect("a workflow")).await;
    let run = engine.start_run("w", "r-1", &4u32).await.expect("a run");
    let told = run.result::<Vec<(usize, u32, u32)>>().await.expect("a result");
    assert_eq!(told, [(4, 1, 1), (4, 4, 4), (4, 9, 9), (4, 16, 16)]);
}

/// What a run of a map with tolerance gives, as it is read from the store: outputs, and codes or messages of failures.
async fn ended_as(flow: Workflow<Vec<u32>, Vec<ItemResult<u32>>>, input: &[u32]) -> Vec<Result<u32, String>> {
    let bench = Bench::new();
    let engine = bench.engine(flow).await;
    let run = engine.start_run("w", "r-1", input).await.expect("a run");
    until("it has ended", async || run.head().await.expect("a head").status == Status::Succeeded).await;
    let ended = run.result::<Vec<ItemResult<u32>>>().await.expect("a result");
    let ended = ended.into_iter().map(|ended| match ended {
        ItemResult::Ok(output) => Ok(output),
        ItemResult::Failed(failure) => Err(failure.code.unwrap_or(failure.message)),
    });
    ended.collect()
}

const ONE: Tolerance = Tolerance { count: 1, share: 0.0 };

#[tokio::test]
async fn a_tolerated_failure_of_an_item_is_in_its_place_and_one_more_fails_the_run() {
    let flow = || {
        let flow = Workflow::named("w").input::<Vec<u32>>().map_flow_tolerant(2, ONE, |item| {
            item.step_fn("check", |_ctx: StepContext, n: u32| async move {
                if n == 2 { Err(StepError::validation("two is not taken")) } else { Ok(n) }
            })
            .step_fn("add", add!(10))
        });
        flow.build().expect("a workflow")
    };
    let ended = ended_as(flow(), &[1, 2, 3]).await;
    assert_eq!(ended, [Ok(11), Err("two is not taken".to_owned()), Ok(13)]);
    let bench = Bench::new();
    let engine = bench.engine(flow()).await;
    let run = engine.start_run("w", "r-1", &vec![2u32, 2]).await.expect("a run");
    // Whichever of the two fails last is the one too many.
    let (place, _) = failed(run.result::<Vec<ItemResult<u32>>>().await);
    assert!(place.starts_with("check["), "{place}");
}

// ---- definitions

#[tokio::test]
async fn workflows_under_two_prefixes_wait_for_the_same_signal_one_after_the_other() {
    let add = |_ctx: StepContext, (n, more): (u32, u32)| async move { Ok(n + more) };
    let part = Workflow::named("part").input::<u32>().wait_for::<u32>("more").step_fn("add", add);
    let part = part.build().expect("a workflow");
    let whole = Workflow::named("w").input::<u32>().include_as("one", &part).include_as("two", &part);
    let bench = Bench::new();
    let engine = bench.engine(whole.build().expect("a workflow")).await;
    let run = engine.start_run("w", "r-1", &1u32).await.expect("a run");
    engine.signal(run.key(), "more", "s-1", &10u32).await.expect("sent");
    until("the second part waits", async || {
        let state = engine.state(run.key()).await.expect("a state");
        state.step(&at("two.more")).is_some_and(|step| step.status == StepStatus::Awaiting(None))
    })
    .await;
    engine.signal(run.key(), "more", "s-2", &100u32).await.expect("sent");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 111);
}

#[tokio::test]
async fn a_workflow_can_stand_twice_in_another_under_two_prefixes() {
    let part = Workflow::named("part")
        .step_fn("double", |_ctx: StepContext, n: u32| async move { Ok(n * 2) })
        .step_fn("add", |ctx: StepContext, n: u32| async move { Ok((n + 1, ctx.idempotency_key())) })
        .step_fn("keep", |ctx: StepContext, (n, key): (u32, String)| async move {
            ctx.info(key);
            Ok(n)
        })
        .build()
        .expect("a workflow");
    let whole = Workflow::named("w").input::<u32>().include_as("one", &part).include_as("two", &part);
    let bench = Bench::new();
    let engine = bench.engine(whole.build().expect("a workflow")).await;
    let run = engine.start_run("w", "r-1", &1u32).await.expect("a run");
    assert_eq!(run.result::<u32>().await.expect("a result"), 7);
    let progress = engine.progress(run.key()).await.expect("progress");
    let names: Vec<_> = progress.steps.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(names, ["one.double", "one.add", "one.keep", "two.double", "two.add", "two.keep"]);
    let logged = engine.logs(run.key()).await.expect("logs");
    let keys: Vec<_> = logged.iter().map(|line| line.line.text.as_str()).collect();
    assert_eq!(keys, ["default/r-1/one.add", "default/r-1/two.add"], "each has a key of its own");

    let twice = Workflow::named("w").input::<u32>().include(&part).include(&part).build();
    assert!(matches!(twice, Err(BuildError::DuplicateStep { .. })), "{twice:?}");
}

#[test]
fn what_an_included_workflow_says_for_its_steps_holds_for_them_where_they_stand() {
    let careful = StepPolicy::default().effect(Effect::NotIdempotent);
    let part =
        Workflow::named("part").step_policy(careful).step_fn("charge", add!(1)).build().expect("a part");
    let whole = Workflow::named("w").input::<u32>().include(&part).build().expect("a workflow");
    let graph = whole.into_definition();
    assert_eq!(graph.graph().steps[0].policy.effect, Some(Effect::NotIdempotent));
}

#[test]
fn a_body_that_gives_back_another_builder_is_refused() {
    let foreign = || Workflow::named("other").input::<u32>().step_fn("theirs", add!(1));
    let within_branch =
        Workflow::named("w").input::<u32>().branch("is_odd", |n: &u32| n % 2 == 1, |_| foreign(), |f| f);
    let within_loop =
        Workflow::named("w").input::<u32>().repeat_while("is_odd", 3, |n: &u32| n % 2 == 1, |_| foreign());
    let within_map = Workflow::named("w").input::<Vec<u32>>().map_flow(2, |_| foreign());
    for refused in [within_branch.build().err(), within_loop.build().err(), within_map.build().err()] {
        assert_eq!(refused, Some(BuildError::ForeignBody { workflow: "w".to_owned() }));
    }
}

#[test]
fn what_stands_where_it_has_no_meaning_is_refused() {
    let nothing_to_join = Workflow::named("w").step_fn("a", add!(1)).wait_all().build();
    assert!(matches!(nothing_to_join, Err(BuildError::NothingToJoin { .. })));
    let same_words = Workflow::named("w").input::<u32>().choose(
        "by",
        |_: &u32| "x",
        |arms| arms.arm("x", |f| f).arm("x", |f| f),
    );
    assert!(matches!(same_words.build(), Err(BuildError::Arms { .. })));
    let too_wide = Workflow::named("w").input::<Vec<u32>>().map_flow(0, |item| item.step_fn("a", add!(1)));
    assert!(matches!(too_wide.build(), Err(BuildError::Concurrency { .. })));
}

#[tokio::test]
async fn the_items_of_a_map_are_shown_by_the_names_that_people_give_them() {
    let (held, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&held), Arc::clone(&release));
    let shrink = move |_ctx: StepContext, photo: (String, u32)| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            tell.notify_one();
            wait.notified().await;
            Ok(photo.1)
        }
    };
    let flow = Workflow::named("w")
        .input::<Vec<(String, u32)>>()
        .name_items("photos", |photo: &(String, u32)| photo.0.clone())
        .map_flow(1, |photo| photo.step_fn("shrink", shrink));
    let bench = Bench::new();
    let engine = bench.engine(flow.build().expect("a workflow")).await;
    let photos = vec![("dawn.jpg".to_owned(), 1u32), ("dusk.jpg".to_owned(), 2)];
    let run = engine.start_run("w", "r-1", &photos).await.expect("a run");
    soon("the first item runs", held.notified()).await;
    let progress = engine.progress(run.key()).await.expect("progress");
    assert_eq!(progress.steps[1].running, ["shrink[0] dawn.jpg"]);
    let second = "shrink[1]".parse().expect("a place");
    assert_eq!(engine.item_name(run.key(), &second).await.expect("read").as_deref(), Some("dusk.jpg"));
    release.notify_one();
    soon("the second item runs", held.notified()).await;
    release.notify_one();
    assert_eq!(soon("a result", run.result::<Vec<u32>>()).await.expect("a result"), [1, 2]);
    let dangling = Workflow::named("w").input::<Vec<u32>>().name_items("n", |n: &u32| n.to_string());
    assert!(matches!(
        dangling.step_fn("s", |_ctx: StepContext, n: Vec<u32>| async move { Ok(n) }).build(),
        Err(BuildError::NothingToName { .. })
    ));
}
