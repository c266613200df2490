//! An errand with one of everything: it begins late, maps, has children, waits inside a step, is weighed by someone outside,
//! and one of its children fails and is undone; beside it a schedule starts a run. And the process that sees it through.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use stepwell::observe::cause::Cause;
use stepwell::prelude::*;
use stepwell::schedule::{Overlap, Schedule};
use stepwell::{ChildRun, EngineOptions, Error, ItemResult, Report, StartRun};
use stepwell_contract::{Backend, RunKey, Status};
use stepwell_redis::{RedisBackend, RedisOptions};

use crate::clock::MovedClock;
use crate::harness::dying::{Death, DyingBackend};
use crate::harness::work::{GAVE_UP, UNOPENED};
use crate::report::Arguments;
use crate::site::key;
use crate::wait::wait_until;
use crate::witness::{Witness, WitnessedBackend};

/// How long a lease lasts.
const LEASE_MS: u64 = 30_000;
/// How much later by its clock each process comes than the one before: the leases of the dead are over.
pub const LATER_MS: u64 = 60_000;
/// How long the errand may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// The run.
pub const RUN: &str = "errand";
/// The run that the schedule starts.
const SCHEDULED: &str = "nightly-by-once";

/// How runs of an errand have to end, with their results as JSON.
pub const ENDS: [(&str, Result<&str, Status>); 6] = [
    (RUN, Ok(r#""38, 1200 g, 20, failed""#)),
    ("errand.ask.bill", Ok("7")),
    ("errand.booking.0", Ok("20")),
    ("errand.booking.1", Err(Status::Failed)),
    ("errand.shipment", Ok("31")),
    (SCHEDULED, Ok("5")),
];

/// What is done to the outside world: in which run, at which place.
pub const EFFECTS: [(&str, &str); 10] = [
    (RUN, "post[0]"),
    (RUN, "post[1]"),
    (RUN, "post[2]"),
    (RUN, "letter"),
    ("errand.ask.bill", "note"),
    ("errand.booking.0", "book"),
    ("errand.booking.1", "book"),
    ("errand.booking.1", "book.undo"),
    ("errand.shipment", "pack"),
    (SCHEDULED, "note"),
];

/// Tells that an attempt runs, and what it does to the outside world.
fn does(witness: &Witness, ctx: &StepContext) {
    witness.executes(ctx);
    witness.tell(&format!("effect {} {}", ctx.run_id(), ctx.place()));
}

/// A step that has an effect and gives a number.
fn acting(
    witness: &Witness,
    gives: fn(u32) -> u32,
) -> impl Fn(StepContext, u32) -> std::future::Ready<StepResult<u32>> + Send + Sync + 'static + use<> {
    let witness = witness.clone();
    move |ctx, n| {
        does(&witness, &ctx);
        std::future::ready(Ok(gives(n)))
    }
}

fn note(witness: &Witness) -> Workflow<u32, u32> {
    Workflow::named("note").step_fn("note", acting(witness, |n| n)).build().expect("a workflow")
}

fn shipment(witness: &Witness) -> Workflow<u32, u32> {
    Workflow::named("shipment").step_fn("pack", acting(witness, |n| n + 1)).build().expect("a workflow")
}

/// What is booked is undone when it cannot be paid.
fn booking(witness: &Witness) -> Workflow<u32, u32> {
    let undone = witness.clone();
    let undo = move |ctx: StepContext, _booked: u32| {
        does(&undone, &ctx);
        async { Ok(()) }
    };
    let pay = |_ctx: StepContext, n: u32| async move {
        if n % 2 == 1 { Err(StepError::permanent("odd")) } else { Ok(n * 10) }
    };
    let flow = Workflow::named("booking").step_fn("book", acting(witness, |n| n)).compensate_fn(undo);
    flow.step_fn("pay", pay).build().expect("a workflow")
}

fn errand(witness: &Witness) -> Workflow<u32, String> {
    let letters = witness.clone();
    let ask = move |ctx: StepContext, n: u32| {
        let letters = letters.clone();
        async move {
            ctx.once("letter", || async {
                letters.tell(&format!("part {} {} letter", ctx.run_id(), ctx.place()));
                letters.tell(&format!("effect {} letter", ctx.run_id()));
                Ok(())
            })
            .await?;
            ctx.sleep("patience", millis(20)).await?;
            let said: u32 = ctx.wait_for("answer").await?;
            let bill = ctx.start_child("bill", ChildRun::<u32, u32>::named("note"), &said).await?;
            Ok(n + bill.result(&ctx).await?)
        }
    };
    let close = |ctx: StepContext, booked: Vec<ItemResult<u32>>| async move {
        let (asked, weight): (u32, u32) = (ctx.output_of("ask")?, ctx.output_of("weigh")?);
        let booked = booked.iter().map(|one| match one {
            ItemResult::Ok(n) => n.to_string(),
            _ => "failed".to_owned(),
        });
        Ok(format!("{asked}, {weight} g, {}", booked.collect::<Vec<_>>().join(", ")))
    };
    Workflow::named("errand")
        .step_fn("list", |_ctx: StepContext, n: u32| async move { Ok((0..n).collect::<Vec<u32>>()) })
        .map_flow(2, |item| item.step_fn("post", acting(witness, |n| n * 10)))
        .step_fn("sum", |_ctx: StepContext, posted: Vec<u32>| async move { Ok(posted.iter().sum::<u32>()) })
        .child("shipment", &shipment(witness))
        .step_fn("ask", ask)
        .external::<u32>("weigh", None)
        .step_fn("wishes", |_ctx: StepContext, _weight: u32| async move { Ok(vec![2_u32, 3]) })
        .map_flow_tolerant(2, Tolerance { count: 1, share: 0.0 }, |item| {
            item.child("booking", &booking(witness))
        })
        .step_fn("close", close)
        .build()
        .expect("a workflow")
}

/// Opens the store, in Redis by a clock that is so far ahead.
async fn open(url: &str, ahead_ms: &Arc<AtomicI64>) -> Result<Arc<dyn Backend>, String> {
    if url.starts_with("redis") {
        let options = RedisOptions::default().clock_shift_ms(Arc::clone(ahead_ms));
        let backend = RedisBackend::open(url, options).await.map_err(|error| error.to_string())?;
        return Ok(Arc::new(backend));
    }
    stepwell_backends::open(url).await.map_err(|error| error.to_string())
}

/// Starts the errand, or finds it, and sees it through: answers it, weighs for it, and waits for its end. With `--die`
/// the process ends where that says; with `--life N` it is the n-th on this store.
pub async fn work(arguments: &Arguments, witness: &Witness) -> u8 {
    let clock = MovedClock::default();
    clock.pass(Duration::from_millis(arguments.value("life", 0) * LATER_MS));
    let store = match open(arguments.needed("store"), &clock.ahead_ms()).await {
        Ok(store) => Arc::new(WitnessedBackend::new(store, witness.clone())),
        Err(error) => {
            witness.tell(&format!("unopened {}", error.replace('\n', " ")));
            return UNOPENED;
        }
    };
    let death = arguments.text("die").map(|text| Death::read(text).expect("a death"));
    let store = Arc::new(DyingBackend::new(store, death));
    // What the worker tells of itself would be a commit at a time of its own.
    let options = EngineOptions {
        lease_ms: LEASE_MS,
        poll_ms: 10,
        threads: 2,
        heartbeat_ms: 0,
        ..EngineOptions::default()
    };
    let builder = Engine::builder(Arc::clone(&store) as _).options(options).time(Arc::new(clock));
    let builder = builder.register(note(witness)).register(shipment(witness)).register(booking(witness));
    let engine = match builder.register(errand(witness)).start().await {
        Ok(engine) => engine,
        Err(error) => {
            witness.tell(&format!("unstarted {}", error.to_string().replace('\n', " ")));
            return UNOPENED;
        }
    };
    let seen = match tokio::time::timeout(PATIENCE, see_through(&engine)).await {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            witness.tell(&format!("gave-up {error}"));
            GAVE_UP
        }
        Err(_) => {
            witness.tell("gave-up it takes too long");
            GAVE_UP
        }
    };
    engine.shutdown().await;
    drop(engine);
    let (commits, claims) = store.counts();
    witness.tell(&format!("counts {commits} {claims}"));
    seen
}

async fn see_through(engine: &Engine) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // By the clock it would start one on a leap day; it is asked for one.
    let schedule = Schedule::cron("0 0 29 2 *").starts("note", &5_u32)?.overlap(Overlap::Skip);
    engine.schedules().create("nightly", schedule).await?;
    engine.schedules().trigger("nightly", "once", "to see it").await?;
    // The same call again is the same run.
    engine.start_with(StartRun::new("errand", RUN, &3_u32)?.delay(millis(30))).await?;
    let (errand, scheduled) = (key(RUN), key(SCHEDULED));
    let mut failed = None;
    wait_until("the end of the errand", PATIENCE, async || {
        match advance(engine, &errand, &scheduled).await {
            Ok(true) => Some(()),
            Ok(false) => None,
            Err(error) => {
                failed = Some(error);
                Some(())
            }
        }
    })
    .await?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Gives the errand what it waits for. Returns whether all has ended.
async fn advance(engine: &Engine, errand: &RunKey, scheduled: &RunKey) -> Result<bool, Error> {
    match engine.cause(errand).await? {
        Some(Cause::Signal { .. }) => engine.signal(errand, "answer", "m-1", &7_u32).await?,
        Some(Cause::Outside { token, .. }) => {
            // It may have been told already: by one that died before it heard so.
            match engine.report(&token, Report::succeeded(&1_200_u32)?).await {
                Ok(_) | Err(Error::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        _ => {}
    }
    let has_ended = async |key: &RunKey| {
        Ok::<_, Error>(engine.get(key).await?.is_some_and(|head| head.status.is_finished()))
    };
    Ok(has_ended(errand).await? && has_ended(scheduled).await?)
}
