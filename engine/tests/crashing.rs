//! A crash before and after every write of runs that start others, wait in their steps and are left to those outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde::de::DeserializeOwned;
use stepwell::contract::Status;
use stepwell::prelude::*;
use stepwell::run::event::Event;
use stepwell::testing::{CrashReport, CrashTest, Rehearsal, Rehearsed};
use stepwell::{Actor, Ask, ChildRun, OnClose, Report, Verb};

/// What steps did to the outside world: how often under each key.
#[derive(Default)]
struct Effects(Mutex<BTreeMap<String, u32>>);

impl Effects {
    fn add(&self, key: String) {
        *self.0.lock().expect("no panic").entry(key).or_default() += 1;
    }

    fn keys(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }
}

/// Crashes it everywhere, and sees after each that so many effects happened and that the children are those.
async fn crashed<I: Serialize, O: DeserializeOwned + Serialize>(
    process: impl Fn() -> Rehearsal<I, O>,
    input: &I,
    (effects, children): (usize, &[(&str, Status)]),
) -> CrashReport {
    let report =
        CrashTest::in_world(Arc::<Effects>::default, |effects| process().shared(Arc::clone(effects)))
            .check(|world, run| {
                let ended: Vec<_> = run.children().iter().map(|child| (child.id(), child.status())).collect();
                match (world.keys(), starts_once(run)) {
                    (keys, _) if keys != effects => Err(format!("{keys} effects, not {effects}")),
                    (_, Err(why)) => Err(why),
                    _ if ended != children => Err(format!("its children are {ended:?}")),
                    _ => Ok(()),
                }
            })
            .run(input)
            .await;
    println!("{report}");
    report.assert_never_in_doubt();
    report
}

/// Sees that each child is recorded in whoever started it, and no other; one that is tried again is recorded again.
fn starts_once<O>(run: &Rehearsed<O>) -> Result<(), String> {
    let started: BTreeSet<String> = run
        .journal()
        .iter()
        .filter_map(|record| match Event::read(record) {
            Ok(Event::ChildStarted(started)) => Some(started.run.to_string()),
            _ => None,
        })
        .collect();
    match run.children().len() {
        children if children == started.len() => Ok(()),
        children => Err(format!("{children} children, and these are recorded: {started:?}")),
    }
}

/// A child whose second step has an effect, and fails for an odd number.
fn send() -> Workflow<u32, u32> {
    Workflow::named("send")
        .step_fn("weigh", |_ctx: StepContext, n: u32| async move { Ok(n) })
        .step_fn("post", |ctx: StepContext, n: u32| async move {
            if n % 2 == 1 {
                return Err(StepError::permanent("odd"));
            }
            ctx.resource::<Effects>()?.add(ctx.idempotency_key());
            Ok(n * 10)
        })
        .build()
        .expect("a workflow")
}

#[tokio::test]
async fn of_two_children_one_may_fail_and_the_parent_goes_on_without_it() {
    let process = || {
        let tolerance = Tolerance { count: 1, share: 0.0 };
        let flow = Workflow::named("w").input::<Vec<u32>>();
        let flow = flow.map_flow_tolerant(2, tolerance, |item| item.child("c", &send()));
        Rehearsal::new(flow.build().expect("a workflow")).with(send())
    };
    let children = [("rehearsal.c.0", Status::Succeeded), ("rehearsal.c.1", Status::Failed)];
    let report = crashed(process, &vec![2u32, 3], (1, &children)).await;
    assert!(report.crashes().len() >= 20, "{report}");
}

#[tokio::test]
async fn a_step_that_waits_for_all_sorts_of_things_is_the_same_after_every_crash() {
    let process = || {
        let ask = |ctx: StepContext, n: u32| async move {
            let key = format!("{}/mail", ctx.idempotency_key());
            let effects = ctx.resource::<Effects>()?;
            ctx.once("mail", || async {
                effects.add(key);
                Ok(())
            })
            .await?;
            ctx.sleep("patience", hours(1)).await?;
            let said: u32 = ctx.wait_for("answer").await?;
            let child = ctx.start_child("post", ChildRun::<u32, u32>::named("send"), &(n + said)).await?;
            Ok(child.result(&ctx).await? + said)
        };
        let flow = Workflow::named("w").step_fn("ask", ask).build().expect("a workflow");
        Rehearsal::new(flow).with(send()).answer_after("answer", hours(5), 7u32)
    };
    let report = crashed(process, &1u32, (2, &[("rehearsal.ask.post", Status::Succeeded)])).await;
    assert!(report.crashes().len() >= 30, "{report}");
}

#[tokio::test]
async fn a_child_that_failed_goes_on_behind_its_effect_when_the_parent_is_tried_again() {
    let process = || {
        let child = Workflow::named("c")
            .step_fn("pay", |ctx: StepContext, n: u32| async move {
                ctx.resource::<Effects>()?.add(ctx.idempotency_key());
                Ok(n)
            })
            .step_fn("post", |_ctx: StepContext, n: u32| async move { Ok(n * 10) })
            .build()
            .expect("a workflow");
        let gather = |ctx: StepContext, n: u32| async move {
            let other = ctx.start_child("other", ChildRun::<u32, u32>::named("send"), &(2 * n)).await?;
            let other = other.result(&ctx).await?;
            let paid = ctx.start_child("paid", ChildRun::<u32, u32>::named("c"), &n).await?;
            Ok(other + paid.result(&ctx).await?)
        };
        let flow = Workflow::named("w").step_fn("gather", gather).build().expect("a workflow");
        let retry = Ask::new(Verb::Retry, Actor::Program, "the van is back");
        let child = Rehearsal::new(child).fail("post", 1, StepError::permanent("no van"));
        Rehearsal::new(flow).with(child).with(send()).ask_at(hours(1), retry)
    };
    let ends = [("rehearsal.gather.other", Status::Succeeded), ("rehearsal.gather.paid", Status::Succeeded)];
    let report = crashed(process, &3u32, (2, &ends)).await;
    assert!(report.crashes().len() >= 30, "{report}");
}

#[tokio::test]
async fn a_step_left_outside_takes_a_failure_a_late_word_and_a_result_across_every_crash() {
    let process = || {
        let policy = StepPolicy::default().retry(Retry::fixed(mins(30)).max_attempts(5));
        let flow = Workflow::named("w")
            .input::<u32>()
            .external::<u32>("weigh", hours(2))
            .policy(policy)
            .step_fn("note", |ctx: StepContext, n: u32| async move {
                ctx.resource::<Effects>()?.add(ctx.idempotency_key());
                Ok(2 * n)
            });
        Rehearsal::new(flow.build().expect("a workflow"))
            .report("weigh", Report::failed(StepError::transient("it slipped")))
            .report_after("weigh", mins(140), Report::succeeded(&1u32).expect("JSON"))
            .report("weigh", Report::succeeded(&21u32).expect("JSON"))
    };
    let run = process().resource(Effects::default()).run(&1).await;
    assert_eq!((run.assert_succeeded(), run.attempts("weigh")), (&42, 3));
    assert_eq!(run.elapsed(), mins(30 + 120 + 30), "{run}");
    let codes: Vec<_> = run.failures_of("weigh").iter().map(|failure| failure.code.as_deref()).collect();
    assert_eq!(codes, [None, Some("timeout.report")]);
    let report = crashed(process, &1u32, (1, &[])).await;
    assert!(report.crashes().len() >= 20, "{report}");
}

/// A parent that starts a child which sleeps for a day, and ends before it; or does not end.
fn left(on_close: OnClose, ends: bool) -> Rehearsal<u32, u32> {
    let nap = Workflow::named("nap").input::<u32>().sleep("rest", days(1)).build().expect("a workflow");
    let start = move |ctx: StepContext, n: u32| async move {
        ctx.resource::<Effects>()?.add(ctx.idempotency_key());
        let child = ChildRun::<u32, u32>::named("nap").on_close(on_close);
        let child = ctx.start_child("nap", child, &n).await?;
        if ends { Ok(n) } else { child.result(&ctx).await }
    };
    let flow = Workflow::named("w").step_fn("start", start).build().expect("a workflow");
    Rehearsal::new(flow).with(nap)
}

#[tokio::test]
async fn a_child_that_is_left_is_cancelled_or_goes_on_alone_after_every_crash() {
    for (on_close, end) in [(OnClose::Cancel, Status::Cancelled), (OnClose::Abandon, Status::Succeeded)] {
        let report = crashed(|| left(on_close, true), &1u32, (1, &[("rehearsal.start.nap", end)])).await;
        assert!(report.crashes().len() >= 12, "{report}");
    }
}

#[tokio::test]
async fn a_parent_that_is_cancelled_or_ended_at_once_takes_its_child_along_after_every_crash() {
    for verb in [Verb::Cancel, Verb::Terminate, Verb::Undo] {
        for (on_close, end) in [(OnClose::Cancel, Status::Cancelled), (OnClose::Abandon, Status::Succeeded)] {
            let process =
                || left(on_close, false).ask_at(hours(1), Ask::new(verb, Actor::Program, "no more"));
            let report = crashed(process, &1u32, (1, &[("rehearsal.start.nap", end)])).await;
            assert!(report.crashes().len() >= 12, "{verb:?} {report}");
        }
    }
}

#[tokio::test]
async fn a_child_that_is_held_is_cancelled_with_its_parent() {
    let process = || {
        let hold = Ask::new(Verb::Pause, Actor::Program, "wait");
        let nap = Workflow::named("nap").input::<u32>().sleep("rest", days(1)).build().expect("a workflow");
        let flow = Workflow::named("w").input::<u32>().child("nap", &nap).build().expect("a workflow");
        Rehearsal::new(flow)
            .with(Rehearsal::new(nap).ask_at(hours(1), hold))
            .ask_at(hours(2), Ask::new(Verb::Cancel, Actor::Program, "no more"))
    };
    crashed(process, &1u32, (0, &[("rehearsal.nap", Status::Cancelled)])).await;
}
