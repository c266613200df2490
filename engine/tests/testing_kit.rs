//! The testing kit, tested.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stepwell::contract::Status;
use stepwell::prelude::*;
use stepwell::run::event::PauseReason;
use stepwell::testing::{self, CrashTest, End, Problem, Rehearsal, RehearsalError, Rehearsed};
use stepwell::{Actor, Ask, ChildRun, OnClose, Report, Verb};

/// Two steps that do nothing but count: `charge`, then `ship`.
fn order() -> Workflow<u64, String> {
    order_with(StepPolicy::default())
}

fn order_with(charge: StepPolicy) -> Workflow<u64, String> {
    Workflow::named("order")
        .step_fn("charge", |_ctx, cents: u64| async move { Ok(format!("paid {cents}")) })
        .policy(charge)
        .step_fn("ship", |_ctx, receipt: String| async move { Ok(format!("shipped, {receipt}")) })
        .build()
        .expect("a workflow")
}

/// Runs a rehearsal and sees that it took next to no time.
async fn at_once<O: serde::de::DeserializeOwned>(rehearsal: Rehearsal<u64, O>) -> Rehearsed<O> {
    let began = Instant::now();
    let run = rehearsal.run(&7).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}\n{run}", began.elapsed());
    run
}

#[tokio::test]
async fn a_stand_in_for_a_step_that_is_not_there_is_refused_with_the_nearest_name() {
    let wrong: [(Rehearsal<u64, String>, &str); 5] = [
        (Rehearsal::new(order()).mock("chrage", |_: u64| Ok(())), "did you mean \"charge\"?"),
        (Rehearsal::new(order()).fail("shipp", 1, StepError::transient("x")), "did you mean \"ship\"?"),
        (Rehearsal::new(order()).hang("charg[3]", 1), "did you mean \"charge\"?"),
        (Rehearsal::new(order()).mock("invoice", |_: u64| Ok(())), "it has charge, ship"),
        (Rehearsal::new(order()).hang("ship", 0), "no attempt 0"),
    ];
    for (rehearsal, hint) in wrong {
        let error = rehearsal.try_run(&1).await.expect_err("a refusal");
        assert!(error.to_string().contains(hint), "{error}");
        assert!(!matches!(error, RehearsalError::Engine(_)));
    }
}

#[tokio::test]
async fn delays_of_years_pass_without_anybody_sleeping_and_are_reported() {
    let patient = StepPolicy::default().retry(Retry::fixed(days(100)).max_attempts(20));
    let mut rehearsal = Rehearsal::new(order_with(patient));
    for attempt in 1..20 {
        rehearsal = rehearsal.fail("charge", attempt, StepError::unavailable("down"));
    }
    let run = at_once(rehearsal).await;
    assert_eq!(run.assert_succeeded(), "shipped, paid 7");
    run.assert_attempts("charge", 20);
    assert_eq!(run.failures_of("charge").len(), 19);
    assert_eq!(run.elapsed(), days(1_900));
}

#[tokio::test]
async fn short_and_long_delays_are_each_waited_for_exactly() {
    for delay in [millis(1), millis(999), millis(1_000), millis(1_001), hours(5)] {
        let policy = StepPolicy::default().retry(Retry::fixed(delay));
        let failing = Rehearsal::new(order_with(policy)).fail("charge", 1, StepError::transient("x"));
        let run = at_once(failing).await;
        assert_eq!(run.assert_succeeded(), "shipped, paid 7");
        assert_eq!(run.elapsed(), delay, "{run}");
    }
}

#[tokio::test]
async fn a_step_that_hangs_is_cut_off_by_its_limit_and_by_nothing_else() {
    let limited = StepPolicy::default().attempt_timeout(hours(3)).retry(Retry::fixed(mins(30)));
    let run = at_once(Rehearsal::new(order_with(limited)).hang("charge", 1)).await;
    assert_eq!(run.assert_succeeded(), "shipped, paid 7");
    assert_eq!(run.failures_of("charge")[0].class, ErrorClass::Timeout);
    assert_eq!(run.elapsed(), mins(210), "{run}");
    assert_eq!(run.attempts("charge"), 2);

    let doubtful = limited.effect(Effect::NotIdempotent);
    let run = at_once(Rehearsal::new(order_with(doubtful)).hang("charge", 1)).await;
    assert!(run.assert_paused(PauseReason::InDoubt).contains("charge"), "{run}");
    assert_eq!(run.attempts("ship"), 0);

    let silent = StepPolicy::default().heartbeat_timeout(mins(2)).retry(Retry::none());
    let run = at_once(Rehearsal::new(order_with(silent)).hang("charge", 1)).await;
    assert_eq!(
        (run.pause().map(|(reason, _)| reason), run.elapsed()),
        (Some(PauseReason::Exhausted), mins(2))
    );
}

#[tokio::test]
async fn while_one_step_hangs_the_retries_of_its_sibling_come_first() {
    struct Slow;
    #[async_trait]
    impl Step for Slow {
        type Input = u64;
        type Output = u64;
        const NAME: &'static str = "slow";
        async fn run(&self, _ctx: &StepContext, n: u64) -> StepResult<u64> {
            Ok(n)
        }
    }
    struct Shaky;
    #[async_trait]
    impl Step for Shaky {
        type Input = u64;
        type Output = u64;
        const NAME: &'static str = "shaky";
        async fn run(&self, _ctx: &StepContext, n: u64) -> StepResult<u64> {
            Ok(n + 1)
        }
        fn policy(&self) -> StepPolicy {
            StepPolicy::default().retry(Retry::fixed(mins(1)))
        }
    }
    for _ in 0..20 {
        let limits = StepPolicy::default().attempt_timeout(hours(1)).retry(Retry::fixed(mins(1)));
        let flow =
            Workflow::named("both").parallel((Slow, Shaky)).policy(limits).build().expect("a workflow");
        let run =
            at_once(Rehearsal::new(flow).hang("slow", 1).fail("shaky", 1, StepError::transient("a")).fail(
                "shaky",
                2,
                StepError::transient("b"),
            ))
            .await;
        assert_eq!(*run.assert_succeeded(), (7, 8));
        assert_eq!(run.elapsed(), mins(61), "{run}");
        assert_eq!((run.attempts("slow"), run.attempts("shaky")), (2, 3));
    }
}

#[tokio::test]
async fn what_can_never_go_on_comes_back_with_the_reason() {
    let unlimited = StepPolicy::default().no_attempt_timeout();
    let hanging = at_once(Rehearsal::new(order_with(unlimited)).hang("charge", 1)).await;
    let End::GivenUp { why } = hanging.end() else { panic!("{hanging}") };
    assert!(why.contains("charge does not end, and no limit"), "{why}");
    assert_eq!(hanging.status(), Status::Running);

    let for_ever = StepPolicy::default().retry(Retry::fixed(millis(1)).unlimited_attempts());
    let down = |_: u64| Err::<String, _>(StepError::unavailable("down"));
    let endless = at_once(Rehearsal::new(order_with(for_ever)).mock("charge", down)).await;
    let End::GivenUp { why } = endless.end() else { panic!("{endless}") };
    assert!(why.contains("charge was tried 1000 times"), "{why}");

    let held = at_once(
        Rehearsal::new(order())
            .mock("charge", |_: u64| Err::<String, _>(StepError::auth("the key is not valid"))),
    )
    .await;
    assert!(held.assert_paused(PauseReason::NeedsAttention).contains("the key is not valid"));
    assert_eq!(held.result(), None);

    let late = at_once(Rehearsal::new(order()).at_most(Duration::ZERO)).await;
    let End::GivenUp { why } = late.end() else { panic!("{late}") };
    assert!(why.contains("was not over after 0ns of real time"), "{why}");

    let misfit = at_once(Rehearsal::new(order()).mock("ship", |_: Vec<bool>| Ok(String::new()))).await;
    let said = misfit.assert_paused(PauseReason::NeedsMigration);
    assert!(said.contains("input") && said.contains("expected a sequence"), "{said}");
}

#[tokio::test]
async fn a_step_that_waits_in_vain_is_cut_off_by_its_limit_after_the_patience_of_the_test() {
    let flow = Workflow::named("vain")
        .step_fn("wait", |_ctx, _n: u64| std::future::pending::<StepResult<u64>>())
        .policy(StepPolicy::default().attempt_timeout(hours(1)).retry(Retry::none()))
        .build()
        .expect("a workflow");
    let run = at_once(Rehearsal::new(flow).patience(millis(50))).await;
    assert_eq!(run.failure().map(|failure| failure.class), Some(ErrorClass::Timeout), "{run}");
    assert_eq!(run.elapsed(), hours(1));

    let blocked = Arc::new(std::sync::Barrier::new(2));
    let barrier = Arc::clone(&blocked);
    let flow = Workflow::named("blocked")
        .step_fn("block", move |_ctx, n: u64| {
            barrier.wait();
            async move { Ok(n) }
        })
        .build()
        .expect("a workflow");
    let run = at_once(Rehearsal::new(flow).patience(millis(50))).await;
    blocked.wait();
    let End::GivenUp { why } = run.end() else { panic!("{run}") };
    assert!(why.contains("block does not end when it is told to"), "{why}");
}

#[tokio::test]
async fn a_deadline_of_the_run_ends_it_on_time() {
    let flow = Workflow::named("late")
        .run_deadline(days(2))
        .step_fn("work", |_ctx, n: u64| async move { Ok(n) })
        .policy(StepPolicy::default().retry(Retry::fixed(hours(40)).unlimited_attempts()))
        .build()
        .expect("a workflow");
    let down = |_: u64| Err::<u64, _>(StepError::unavailable("down"));
    let run = at_once(Rehearsal::new(flow).mock("work", down)).await;
    assert_eq!(run.assert_failed().class, ErrorClass::Timeout);
    assert_eq!((run.elapsed(), run.attempts("work")), (days(2), 2), "{run}");
}

#[tokio::test]
async fn items_of_a_map_are_named_by_their_number() {
    struct Pack;
    #[async_trait]
    impl Step for Pack {
        type Input = u64;
        type Output = u64;
        const NAME: &'static str = "pack";
        async fn run(&self, _ctx: &StepContext, n: u64) -> StepResult<u64> {
            Ok(n * 10)
        }
    }
    let flow = Workflow::named("parcels")
        .step_fn("split", |_ctx, n: u64| async move { Ok((0..n).collect::<Vec<_>>()) })
        .map(Pack, 2)
        .build()
        .expect("a workflow");
    let run = at_once(Rehearsal::new(flow).fail("pack[2]", 1, StepError::transient("torn"))).await;
    assert_eq!(run.assert_succeeded(), &[0, 10, 20, 30, 40, 50, 60]);
    assert_eq!((run.attempts("pack"), run.attempts("pack[2]"), run.attempts("pack[3]")), (8, 2, 1));
    assert_eq!(run.output_of::<u64>("pack[6]"), 60);
    assert_eq!(run.order_of_steps()[..3], ["split", "pack[0]", "pack[1]"]);
}

#[tokio::test]
async fn a_failed_assertion_prints_what_happened() {
    let run = testing::run(order(), 7).await;
    let said = |assert: &(dyn Fn() + std::panic::RefUnwindSafe)| {
        let panic = std::panic::catch_unwind(assert).expect_err("the assertion fails");
        panic.downcast_ref::<String>().expect("a text").clone()
    };
    let run = std::panic::AssertUnwindSafe(&run);
    for text in [
        said(&|| run.assert_attempts("charge", 3)),
        said(&|| {
            run.assert_failed();
        }),
        said(&|| {
            let _ = run.output_of::<bool>("ship");
        }),
    ] {
        for line in ["order was started with 7", "charge succeeded: \"paid 7\"", "the run succeeded"] {
            assert!(text.contains(line), "{text}");
        }
    }
    assert!(
        said(&|| {
            let _ = run.attempts("chip");
        })
        .contains("did you mean \"ship\"?")
    );
}

#[test]
fn a_rehearsal_needs_no_runtime_of_its_own_and_no_paused_one_disturbs_it() {
    futures_lite::future::block_on(testing::run(order(), 7)).assert_succeeded();
    let threads = tokio::runtime::Runtime::new().expect("a runtime");
    let run = threads.block_on(threads.spawn(testing::run(order(), 7))).expect("no panic");
    run.assert_succeeded();
    let paused = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    paused.block_on(testing::run(order(), 7)).assert_succeeded();
}

/// A gateway that recognises no key: each call charges.
#[derive(Default)]
struct Ledger(Mutex<Vec<String>>);

impl Ledger {
    fn charge(&self, key: String) {
        self.0.lock().expect("no panic").push(key);
    }
}

fn charging(policy: StepPolicy) -> Workflow<u64, u64> {
    Workflow::named("order")
        .step_fn("price", |_ctx, pieces: u64| async move { Ok(pieces * 100) })
        .step_fn("charge", |ctx: StepContext, cents: u64| async move {
            ctx.resource::<Ledger>()?.charge(ctx.idempotency_key());
            Ok(cents)
        })
        .policy(policy)
        .step_fn("ship", |_ctx, cents: u64| async move { Ok(cents) })
        .build()
        .expect("a workflow")
}

fn charged_once(ledger: &Arc<Ledger>, run: &Rehearsed<u64>) -> Result<(), String> {
    let times = ledger.0.lock().expect("no panic").len();
    // In doubt, a person finds out.
    let is_right = if run.result().is_some() { times == 1 } else { times <= 1 };
    if is_right { Ok(()) } else { Err(format!("charged {times} times")) }
}

#[tokio::test]
async fn a_charge_that_calls_itself_idempotent_and_is_not_is_found() {
    let report = CrashTest::in_world(Arc::<Ledger>::default, |ledger| {
        Rehearsal::new(charging(StepPolicy::default())).shared(Arc::clone(ledger))
    })
    .check(charged_once)
    .run(&3)
    .await;
    assert_eq!(report.crashes().len(), 8, "{report}");
    assert_eq!((report.same(), report.in_doubt()), (8, 0));
    let [Problem::World { at: Some(at), found, .. }] = report.problems() else { panic!("{report}") };
    assert_eq!(
        (found.as_str(), at.to_string().as_str()),
        ("charged 2 times", "before write 3 (charge succeeded, ship begins)")
    );
    assert_eq!((report.step("charge").again_after_effect, report.step("charge").ran), (1, 9), "{report}");
    let loud = std::panic::catch_unwind(|| report.assert_survives()).expect_err("it does not survive");
    assert!(loud.downcast_ref::<String>().is_some_and(|text| text.contains("charged 2 times")));
}

#[tokio::test]
async fn a_charge_that_is_not_idempotent_and_says_so_is_in_doubt_and_never_repeated() {
    let report = CrashTest::in_world(Arc::<Ledger>::default, |ledger| {
        let policy = StepPolicy::default().effect(Effect::NotIdempotent);
        Rehearsal::new(charging(policy)).shared(Arc::clone(ledger))
    })
    .check(charged_once)
    .run(&3)
    .await;
    report.assert_survives();
    // Once it was charged and not yet written, once written and not yet charged.
    let charge = report.step("charge");
    assert_eq!((charge.in_doubt, charge.again_after_effect, charge.again_after_cut), (2, 0, 0), "{report}");
    assert_eq!((report.crashes().len(), report.same()), (8, 6));
    assert!(report.to_string().contains("not idempotent"));
    std::panic::catch_unwind(|| report.assert_never_in_doubt()).expect_err("it is in doubt");
}

#[tokio::test]
async fn a_step_that_keeps_its_effect_in_the_memory_of_its_process_is_found() {
    let forgetful = || {
        let memory = Arc::new(AtomicU32::new(0));
        let (write, read) = (Arc::clone(&memory), memory);
        Workflow::named("forgetful")
            .step_fn("remember", move |_ctx, n: u32| {
                write.store(n, Ordering::SeqCst);
                async { Ok(()) }
            })
            .step_fn("recall", move |_ctx, (): ()| {
                let found = read.load(Ordering::SeqCst);
                async move { Ok(found) }
            })
            .build()
            .expect("a workflow")
    };
    let report = testing::crash_at_every_commit(forgetful, 7).await;
    let lost: Vec<String> = report
        .problems()
        .iter()
        .map(|problem| match problem {
            Problem::OtherEnd { at, .. } => at.to_string(),
            other => panic!("{other}"),
        })
        .collect();
    // Its result was written, and the process that had it in memory died before anybody read it.
    let places = [
        "after write 2 (remember succeeded, recall begins)",
        "before write 3 (recall succeeded, run succeeded)",
    ];
    assert_eq!(lost, places, "{report}");
}

/// A step with a part of its own, whose write cuts it in the middle when the process dies there.
fn in_two_parts(policy: StepPolicy) -> Workflow<u64, u64> {
    Workflow::named("parts")
        .step_fn("work", |ctx: StepContext, n: u64| async move {
            let alone = ctx.resource::<tokio::sync::Mutex<()>>()?;
            let _alone =
                alone.try_lock().map_err(|_| StepError::permanent("the process before still runs"))?;
            ctx.once("part", || async { Ok(n) }).await
        })
        .policy(policy)
        .build()
        .expect("a workflow")
}

#[tokio::test]
async fn a_step_is_cut_in_the_middle_and_gone_before_the_next_process_begins() {
    let crash = |effect| {
        CrashTest::in_world(Arc::<tokio::sync::Mutex<()>>::default, move |alone| {
            Rehearsal::new(in_two_parts(StepPolicy::default().effect(effect))).shared(Arc::clone(alone))
        })
        .run(&7)
    };
    let again = crash(Effect::Idempotent).await;
    again.assert_never_in_doubt();
    let work = again.step("work");
    // Three writes: begun, the part kept, ended.
    assert_eq!((again.crashes().len(), work.again_after_cut, work.again_after_effect), (6, 2, 1), "{again}");
    let doubtful = crash(Effect::NotIdempotent).await;
    doubtful.assert_survives();
    let work = doubtful.step("work");
    assert_eq!((work.in_doubt, work.again_after_cut, work.again_after_effect), (4, 0, 0), "{doubtful}");
}

/// Blocks its thread until the channel is closed.
struct Blocks(Arc<tokio::sync::Notify>, Mutex<Receiver<()>>);

#[async_trait]
impl Step for Blocks {
    type Input = u64;
    type Output = u64;
    const NAME: &'static str = "blocks";
    async fn run(&self, _ctx: &StepContext, n: u64) -> StepResult<u64> {
        self.0.notify_one();
        let closed = self.1.lock().map_err(|_| StepError::bug("poisoned"))?.recv();
        closed.map_or(Ok(n), |()| Err(StepError::bug("nobody sends")))
    }
}

/// Ends once the other one has begun to block.
struct Ends(Arc<tokio::sync::Notify>);

#[async_trait]
impl Step for Ends {
    type Input = u64;
    type Output = u64;
    const NAME: &'static str = "ends";
    async fn run(&self, _ctx: &StepContext, n: u64) -> StepResult<u64> {
        self.0.notified().await;
        Ok(n)
    }
}

#[tokio::test]
async fn a_step_that_the_death_of_its_process_does_not_stop_is_told_and_not_raced() {
    let open = Mutex::new(Vec::new());
    let process = || {
        let (entered, (sender, receiver)) = (Arc::<tokio::sync::Notify>::default(), channel());
        let mut open = open.lock().expect("no panic");
        // The undisturbed run is not blocked at all.
        let is_first = open.is_empty();
        open.push((!is_first).then_some(sender));
        let blocks = Blocks(Arc::clone(&entered), Mutex::new(receiver));
        let flow = Workflow::named("both").parallel((blocks, Ends(entered))).build().expect("a workflow");
        Rehearsal::new(flow).patience(millis(50))
    };
    let refused = CrashTest::new(process).try_run(&7).await.expect_err("a refusal");
    assert!(matches!(&refused, RehearsalError::Unstoppable { steps, .. } if steps == "blocks"), "{refused}");
}

#[tokio::test]
async fn retries_maps_and_siblings_survive_a_crash_at_every_write() {
    struct Double;
    #[async_trait]
    impl Step for Double {
        type Input = u64;
        type Output = u64;
        const NAME: &'static str = "double";
        async fn run(&self, ctx: &StepContext, n: u64) -> StepResult<u64> {
            ctx.once("half", || async { Ok(n) }).await.map(|n| n * 2)
        }
    }
    let flow = || {
        let flow = Workflow::named("many")
            .step_fn("list", |_ctx, n: u64| async move { Ok((0..n).collect::<Vec<_>>()) })
            .map(Double, 2)
            .step_fn("sum", |_ctx, all: Vec<u64>| async move { Ok(all.iter().sum::<u64>()) })
            .policy(StepPolicy::default().retry(Retry::fixed(hours(2))))
            .build()
            .expect("a workflow");
        Rehearsal::new(flow).fail("sum", 1, StepError::transient("not yet"))
    };
    let report = testing::crash_at_every_commit(flow, 4).await;
    report.assert_never_in_doubt();
    assert!(report.crashes().len() >= 16, "{report}");
    assert!(report.step("double").again_after_effect + report.step("double").again_after_cut > 0, "{report}");
}

#[tokio::test]
async fn a_crash_test_of_what_does_not_end_says_so_and_stops() {
    let hanging = || {
        let unlimited = StepPolicy::default().no_attempt_timeout();
        Rehearsal::new(order_with(unlimited)).hang("charge", 1)
    };
    let report = testing::crash_at_every_commit(hanging, 1).await;
    assert!(matches!(report.problems(), [Problem::NoEnd { .. }]), "{report}");
    std::panic::catch_unwind(|| report.assert_survives()).expect_err("nothing was tried");
}

// ---- runs that wait, and runs that start others

/// A step that sleeps, asks for an answer, and leaves the rest to someone outside.
fn asking() -> Workflow<u64, (u64, String)> {
    Workflow::named("asking")
        .step_fn("ask", |ctx: StepContext, n: u64| async move {
            ctx.sleep("patience", hours(1)).await?;
            Ok(n + ctx.wait_for::<u64>("answer").await?)
        })
        .external::<u64>("weigh", days(1))
        .wait_for::<String>("approved")
        .build()
        .expect("a workflow")
}

#[tokio::test]
async fn a_workflow_that_waits_for_those_outside_runs_to_its_end_in_one_line() {
    let run = Rehearsal::new(asking())
        .answer_after("answer", hours(2), 7u64)
        .report_after("weigh", hours(4), Report::succeeded(&42u64).expect("JSON"))
        .answer("approved", "by Ada");
    let run = at_once(run).await;
    assert_eq!(run.assert_succeeded(), &(42, "by Ada".to_owned()));
    assert_eq!((run.output_of::<u64>("ask"), run.output_of::<u64>("weigh")), (14, 42));
    assert_eq!(run.elapsed(), hours(1 + 2 + 4), "{run}");

    let unanswered = at_once(Rehearsal::new(asking())).await;
    assert_eq!((unanswered.end(), unanswered.elapsed()), (&End::Waiting, hours(1)), "{unanswered}");
    let early = at_once(Rehearsal::new(asking()).signal_at(mins(5), "answer", 1u64)).await;
    assert_eq!(early.output_of::<u64>("ask"), 8, "what came before the wait counts");
    let stopped = Ask::new(Verb::Cancel, Actor::Program, "no longer");
    let stopped = at_once(Rehearsal::new(asking()).ask_at(hours(3), stopped)).await;
    assert_eq!((stopped.end(), stopped.elapsed()), (&End::Cancelled, hours(3)));
}

#[tokio::test]
async fn the_first_wait_gets_the_first_answer_and_the_rest_get_the_last() {
    let ask = |ctx: StepContext, n: u64| async move {
        let mut heard = vec![n];
        for nth in 0..4 {
            let wait = stepwell::Wait::new().signal("answer");
            let stepwell::Woken::Signal(said) = ctx.wait(&format!("ask-{nth}"), wait).await? else {
                return Err(StepError::bug("woken by something else"));
            };
            heard.push(said.said()?);
        }
        Ok(heard)
    };
    let flow = || Workflow::named("w").step_fn("ask", ask).build().expect("a workflow");
    let process = || Rehearsal::new(flow()).answer("answer", 1u64).answer("answer", 2u64);
    assert_eq!(at_once(process()).await.assert_succeeded(), &[7, 1, 2, 2, 2]);
    testing::crash_at_every_commit(process, 7).await.assert_never_in_doubt();
    let wrong = Rehearsal::new(flow()).answer("no name", 1u64).try_run(&7).await;
    assert!(wrong.expect_err("a refusal").to_string().contains("no name"));
}

/// A parent with a child of two steps.
fn family(on_close: OnClose) -> Rehearsal<u64, String> {
    let ship = Workflow::named("ship")
        .step_fn("pack", |_ctx, n: u64| async move { Ok(n) })
        .sleep("pause", hours(10))
        .step_fn("send", |ctx: StepContext, n: u64| async move {
            Ok(format!("{} sent {n}", ctx.resource::<String>()?))
        })
        .build()
        .expect("a workflow");
    let child = ChildRun::of(&ship).on_close(on_close);
    let flow = Workflow::named("order").input::<u64>().child("shipment", child).build().expect("a workflow");
    Rehearsal::new(flow).with(Rehearsal::new(ship).resource("Bob".to_owned()))
}

#[tokio::test]
async fn a_rehearsal_takes_the_workflows_that_its_workflow_starts_and_their_stand_ins() {
    let run = at_once(family(OnClose::Cancel)).await;
    assert_eq!((run.assert_succeeded().as_str(), run.elapsed()), ("Bob sent 7", hours(10)));
    let child = run.child("rehearsal.shipment");
    assert_eq!(
        (child.order_of_steps(), child.status()),
        (vec!["pack".into(), "send".into()], Status::Succeeded)
    );
    assert!(run.to_string().contains("ship, run rehearsal.shipment: succeeded"), "{run}");

    let mocked =
        at_once(family(OnClose::Cancel).mock("shipment", |n: u64| Ok(format!("not sent {n}")))).await;
    assert_eq!((mocked.assert_succeeded().as_str(), mocked.children().len()), ("not sent 7", 0));

    let alone = Workflow::named("order")
        .input::<u64>()
        .child("shipment", ChildRun::<u64, u64>::named("ship").version(1))
        .build()
        .expect("a workflow");
    let End::GivenUp { why } = at_once(Rehearsal::new(alone)).await.end().clone() else { panic!("it ended") };
    assert!(why.contains("needs a worker that has workflow ship: add it with `with`"), "{why}");
    let wrong = family(OnClose::Cancel).with(Rehearsal::new(order()).hang("shipp", 1)).try_run(&1).await;
    assert!(wrong.expect_err("a refusal").to_string().contains("did you mean \"ship\""));
}

#[tokio::test]
async fn what_a_run_leaves_behind_goes_on_to_its_end_and_is_no_part_of_its_time() {
    let cancel = || Ask::new(Verb::Cancel, Actor::Program, "no longer");
    for (on_close, status) in [(OnClose::Cancel, Status::Cancelled), (OnClose::Abandon, Status::Succeeded)] {
        let run = at_once(family(on_close).ask_at(hours(1), cancel())).await;
        assert_eq!((run.end(), run.elapsed()), (&End::Cancelled, hours(1)), "{run}");
        assert_eq!(run.child("rehearsal.shipment").status(), status, "{run}");
    }
}

#[tokio::test]
async fn a_child_that_is_in_doubt_after_a_crash_is_reported_as_its_step() {
    let process = || {
        let pay = Workflow::named("pay").step_fn("charge", |_ctx, n: u64| async move { Ok(n) });
        let pay =
            pay.policy(StepPolicy::default().effect(Effect::NotIdempotent)).build().expect("a workflow");
        let flow =
            Workflow::named("order").input::<u64>().child("payment", &pay).build().expect("a workflow");
        Rehearsal::new(flow).with(pay)
    };
    let report = testing::crash_at_every_commit(process, 7).await;
    report.assert_survives();
    // How many writes lie around the charge varies: the parent writes at the same time.
    assert!(report.in_doubt() >= 1, "{report}");
    assert_eq!(report.step("pay/charge").in_doubt, report.in_doubt(), "{report}");
    assert!(report.to_string().contains("pay/charge"), "{report}");
}
