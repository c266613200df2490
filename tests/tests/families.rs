//! Runs that wait for each other and for those outside, on every store: their workers die wherever they wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use stepwell::observe::cause::Cause;
use stepwell::prelude::*;
use stepwell::{EngineOptions, Heard, Report, RunHandle, Token, Verb};
use stepwell_contract::{Query, RunId, RunKey, Status, TenantId};
use stepwell_tests::audit::check_journal;
use stepwell_tests::hold::PATIENCE;
use stepwell_tests::on_every_store;
use stepwell_tests::place::{Kind, Place};
use stepwell_tests::wait::wait_until;

/// How often the parts of an order were done.
#[derive(Debug, Default)]
struct Done {
    letters: AtomicU32,
    packed: AtomicU32,
}

fn shipment(done: &Arc<Done>) -> Workflow<String, String> {
    let done = Arc::clone(done);
    let pack = move |_ctx: StepContext, order: String| {
        done.packed.fetch_add(1, Ordering::Relaxed);
        async move { Ok(format!("{order}, packed")) }
    };
    let address =
        |_ctx: StepContext, (order, city): (String, String)| async move { Ok(format!("{order} to {city}")) };
    Workflow::named("shipment")
        .step_fn("pack", pack)
        .wait_for::<String>("address")
        .step_fn("label", address)
        .build()
        .expect("a valid definition")
}

/// Asks in the middle of a step, starts a child, is weighed by someone outside, and waits for one of two signals.
fn order(done: &Arc<Done>) -> Workflow<String, String> {
    let own = Arc::clone(done);
    let ask = move |ctx: StepContext, order: String| {
        let done = Arc::clone(&own);
        async move {
            ctx.once("letter", || async { Ok(done.letters.fetch_add(1, Ordering::Relaxed)) }).await?;
            ctx.sleep("patience", millis(20)).await?;
            let colour: String = ctx.wait_for("colour").await?;
            ctx.merge_run_context(&json!({"order": {"colour": colour}})).await?;
            Ok(order)
        }
    };
    let close = |ctx: StepContext, (parcel, heard): (String, Option<Heard>)| async move {
        let shared: Value = ctx.run_context()?;
        let weight: u32 = ctx.output_of("weigh")?;
        let heard = heard.map(|heard| heard.signal.to_string()).unwrap_or_default();
        Ok(format!("{parcel}, {weight} g, {heard}, {shared}"))
    };
    Workflow::named("order")
        .step_fn("ask", ask)
        .child("shipment", &shipment(done))
        .external::<u32>("weigh", None)
        .recall_of::<String>("shipment")
        .wait_any("verdict", &["accepted", "returned"], None)
        .step_fn("close", close)
        .build()
        .expect("a valid definition")
}

async fn start(place: &mut Place, done: &Arc<Done>) -> Engine {
    let options = EngineOptions { lease_ms: 1_000, poll_ms: 20, threads: 2, ..EngineOptions::default() };
    let builder = Engine::builder(place.open().await).register(order(done)).register(shipment(done));
    builder.options(options).start().await.expect("the engine starts")
}

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

/// Waits until a run waits for what is looked for.
async fn waits<T>(engine: &Engine, run: &str, what: &str, look: impl Fn(Cause) -> Option<T>) -> T {
    let seen = wait_until(what, PATIENCE, async || {
        engine.get(&key(run)).await.expect("a head")?;
        engine.cause(&key(run)).await.expect("a cause").and_then(&look)
    });
    seen.await.unwrap_or_else(|late| panic!("{run}: {late}"))
}

fn signal(name: &'static str) -> impl Fn(Cause) -> Option<()> {
    move |cause| match cause {
        Cause::Signal { signals, .. } => signals.iter().any(|signal| signal.as_str() == name).then_some(()),
        _ => None,
    }
}

async fn waiting_runs_go_on_where_they_were_after_each_death_of_their_worker(kind: Kind) {
    let (mut place, done) = (Place::new(kind), Arc::<Done>::default());
    let engine = start(&mut place, &done).await;
    engine.start_run("order", "o-1", "a lamp").await.expect("started");
    waits(&engine, "o-1", "a question of the colour", signal("colour")).await;
    drop(engine);

    let engine = start(&mut place, &done).await;
    engine.signal(&key("o-1"), "colour", "m-1", "red").await.expect("sent");
    waits(&engine, "o-1.shipment", "the child asks for an address", signal("address")).await;
    waits(&engine, "o-1", "the parent waits for its child", |cause| {
        matches!(cause, Cause::Child { .. }).then_some(())
    })
    .await;
    drop(engine);

    let engine = start(&mut place, &done).await;
    engine.signal(&key("o-1.shipment"), "address", "m-2", "Turin").await.expect("sent");
    let token: Token = waits(&engine, "o-1", "it is left outside", |cause| match cause {
        Cause::Outside { token, .. } => Some(token),
        _ => None,
    })
    .await;
    engine
        .merge_context(&key("o-1"), &json!({"order": {"rush": true}}), "they called")
        .await
        .expect("merged");
    drop(engine);

    let engine = start(&mut place, &done).await;
    engine.report(&token, Report::succeeded(&1_200u32).expect("JSON")).await.expect("taken");
    waits(&engine, "o-1", "a verdict", signal("accepted")).await;
    drop(engine);

    let engine = start(&mut place, &done).await;
    let told = engine.signal_all(&Query::default(), "accepted", "m-3", &()).await.expect("listed");
    assert_eq!(told.len(), 1, "the child has ended: {told:?}");
    let run: RunHandle = engine.find(&key("o-1")).await.expect("the run");
    let said: String = run.result().await.expect("a result");
    assert_eq!(said, r#"a lamp, packed to Turin, 1200 g, accepted, {"order":{"colour":"red","rush":true}}"#);
    assert_eq!((done.letters.load(Ordering::Relaxed), done.packed.load(Ordering::Relaxed)), (1, 1));
    for run in ["o-1", "o-1.shipment"] {
        let records = engine.history(&key(run)).await.expect("a history");
        assert_eq!(check_journal(&key(run), &records), Vec::<String>::new());
    }
    engine.shutdown().await;
}
on_every_store!(waiting_runs_go_on_where_they_were_after_each_death_of_their_worker);

async fn a_parent_that_is_ended_takes_its_children_with_it(kind: Kind) {
    for verb in [Verb::Cancel, Verb::Terminate] {
        let (mut place, done) = (Place::new(kind), Arc::<Done>::default());
        let engine = start(&mut place, &done).await;
        engine.start_run("order", "o-1", "a lamp").await.expect("started");
        engine.signal(&key("o-1"), "colour", "m-1", "red").await.expect("sent");
        waits(&engine, "o-1.shipment", "the child asks for an address", signal("address")).await;
        engine.ask(&key("o-1"), verb, stepwell::Actor::Program, "no longer").await.expect("asked");
        for run in ["o-1", "o-1.shipment"] {
            let ended = wait_until("its end", PATIENCE, async || {
                let head = engine.get(&key(run)).await.expect("the store answers").expect("a run");
                (head.status == Status::Cancelled).then_some(())
            });
            ended.await.unwrap_or_else(|late| panic!("{run}: {late}"));
        }
        engine.shutdown().await;
    }
}
on_every_store!(a_parent_that_is_ended_takes_its_children_with_it);
