//! Failure groups on every store: found by the tags of heads that change, kept over a restart, asked together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stepwell::exec::start::StartRun;
use stepwell::prelude::*;
use stepwell::{Actor, Ask, EngineOptions, GroupEntry, GroupFilter, Verb};
use stepwell_contract::TenantId;
use stepwell_tests::audit::check_journal;
use stepwell_tests::hold::PATIENCE;
use stepwell_tests::on_every_store;
use stepwell_tests::place::{Kind, Place};
use stepwell_tests::wait::wait_until;

/// Even orders have no file, odd ones no price, as long as nothing is mended.
fn order(is_mended: &Arc<AtomicBool>) -> Workflow<u32, u32> {
    let is_mended = Arc::clone(is_mended);
    let price = move |_ctx: StepContext, order: u32| {
        let is_mended = is_mended.load(Ordering::Relaxed);
        async move {
            if is_mended {
                return Ok(order);
            }
            if order.is_multiple_of(2) {
                std::fs::read(format!("/nowhere/{order}/prices.csv"))
                    .note(format!("reading order {order}"))?;
            }
            Err(StepError::config(format!("order-{order} has no price at db{order}.example.com:{order}")))
        }
    };
    Workflow::named("order").step_fn("price", price).build().expect("a valid definition")
}

async fn start(place: &mut Place, is_mended: &Arc<AtomicBool>) -> Engine {
    let options = EngineOptions { lease_ms: 1_000, poll_ms: 20, threads: 2, ..EngineOptions::default() };
    let builder = Engine::builder(place.open().await).register(order(is_mended)).options(options);
    builder.start().await.expect("the engine starts")
}

fn tenant(nth: u32) -> TenantId {
    TenantId::new(if nth < 4 { "ada" } else { "bob" }).expect("an id")
}

async fn fail(engine: &Engine, orders: std::ops::Range<u32>) {
    for nth in orders {
        let start = StartRun::new("order", &format!("o-{nth}"), &nth).expect("a start").tenant(tenant(nth));
        let run = engine.start_with(start).await.expect("started");
        run.result::<u32>().await.expect_err("it fails");
    }
}

async fn groups(engine: &Engine, filter: &GroupFilter, count: usize) -> Vec<GroupEntry> {
    let listed = wait_until("the groups", PATIENCE, async || {
        let listed = engine.failure_groups(filter, None, 100).await.expect("groups").items;
        (listed.len() == count).then_some(listed)
    });
    listed.await.unwrap_or_else(|late| panic!("{late}"))
}

async fn failures_of_one_cause_are_found_counted_and_retried_together(kind: Kind) {
    let (mut place, is_mended) = (Place::new(kind), Arc::<AtomicBool>::default());
    let engine = start(&mut place, &is_mended).await;
    fail(&engine, 0..8).await;
    let all = GroupFilter::default();
    let before = groups(&engine, &all, 2).await;
    let [priceless, fileless] = &before[..] else { panic!("two: {before:?}") };
    assert_eq!((fileless.failed, fileless.held, priceless.failed, priceless.held), (4, 0, 0, 4));
    assert_ne!(fileless.group.code, priceless.group.code);
    drop(engine);

    let engine = start(&mut place, &is_mended).await;
    assert_eq!(groups(&engine, &all, 2).await, before, "they outlive the engine");
    let (ada, bob) = (tenant(0), tenant(7));
    for (group, late) in [(&priceless.group, 9), (&fileless.group, 8)] {
        is_mended.store(false, Ordering::Relaxed);
        let selected = engine.select_group(&group.fingerprint, Some(&ada), 100).await.expect("listed");
        assert!(selected.is_complete && selected.runs.len() == 2, "{selected:?}");
        fail(&engine, late..late + 1).await;
        is_mended.store(true, Ordering::Relaxed);
        let ask = Ask::new(Verb::Retry, Actor::Program, "mended").of_group(&group.fingerprint);
        let dry = engine.dry_run_all(&selected, &ask, 2).await.expect("a preview");
        assert!(dry.runs == 2 && dry.sample.iter().all(|(_, preview)| preview.is_allowed()), "{dry:?}");
        for asked in engine.ask_all(&selected, &ask).await {
            asked.outcome.expect("retried");
            let run = engine.find(&asked.run).await.expect("the run");
            run.result::<u32>().await.expect("a result");
        }
        let view = async |tenant| {
            let view = engine.failure_group(&group.fingerprint, tenant).await.expect("read").expect("known");
            assert!(view.is_complete);
            view.members.standings
        };
        let (adas, bobs) = (view(Some(&ada)).await, view(Some(&bob)).await);
        assert_eq!((adas.recovered, adas.in_trouble()), (2, 0));
        assert_eq!((bobs.recovered, bobs.in_trouble()), (0, 3), "the late one was not asked");
        assert_eq!(view(None).await.all(), adas.all() + bobs.all());
        let of_bob = engine.group_members(&group.fingerprint, Some(&bob), None, 10).await.expect("members");
        assert!(of_bob.items.iter().all(|member| member.run.tenant == bob));
        for member in of_bob.items {
            let records = engine.history(&member.run).await.expect("a history");
            assert_eq!(check_journal(&member.run, &records), Vec::<String>::new());
        }
    }
    let adas = GroupFilter { tenant: Some(ada), in_trouble: true, ..GroupFilter::default() };
    groups(&engine, &adas, 0).await;
    engine.shutdown().await;
}
on_every_store!(failures_of_one_cause_are_found_counted_and_retried_together);
