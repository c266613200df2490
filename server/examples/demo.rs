//! The dashboard over a store in memory that is full of runs: some done, some under way, some that need a person.
//!
//! ```text
//! cargo run -p stepwell-server --example demo [PORT]
//! ```

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use stepwell::contract::{MemoryBackend, Name, RunId, RunKey, TenantId};
use stepwell::prelude::*;
use stepwell::{Actor, Queue, Schedule, StartRun};
use stepwell_server::{App, ServerOptions};

type Done = Result<(), Box<dyn Error + Send + Sync>>;

/// Takes a moment, and says how far it is.
async fn work(ctx: &StepContext, ms: u64, what: &str) {
    ctx.info(format!("{what}: begun"));
    for tenth in 1..=10u32 {
        tokio::time::sleep(Duration::from_millis(ms / 10)).await;
        ctx.progress(f64::from(tenth) / 10.0, format!("{what} {tenth}0 %"));
    }
}

fn order() -> Result<Workflow<Value, (Value, Value)>, stepwell::BuildError> {
    Workflow::named("order")
        .step_fn("validate", |ctx: StepContext, order: Value| async move {
            work(&ctx, 20, "checking").await;
            match order["total"].as_i64() {
                Some(total) if total >= 0 => Ok(order),
                _ => {
                    Err(StepError::validation(format!("total is {}, not a number of cents", order["total"])))
                }
            }
        })
        .step_fn("charge", |ctx: StepContext, order: Value| async move {
            work(&ctx, order["ms"].as_u64().unwrap_or(60), "charging").await;
            match order["card"].as_str() {
                Some("declined") => Err(StepError::permanent("the card was declined").code("CARD_DECLINED")),
                Some("gateway-down") => Err(StepError::unavailable(
                    "POST https://pay.example/v1/charges: 503 Service Unavailable",
                )),
                _ => Ok(order),
            }
        })
        .policy(StepPolicy::default().retry(Retry::fixed(millis(40)).max_attempts(3)))
        .step_fn("pack", |ctx: StepContext, order: Value| async move {
            work(&ctx, order["pack_ms"].as_u64().unwrap_or(30), "packing").await;
            Ok(order)
        })
        .wait_for::<Value>("approved")
        .build()
}

fn import() -> Result<Workflow<Vec<u32>, u32>, stepwell::BuildError> {
    Workflow::named("import")
        .queue("bulk")
        .input::<Vec<u32>>()
        .map_flow(4, |row| {
            row.step_fn("load", |ctx: StepContext, row: u32| async move {
                work(&ctx, 400, "loading").await;
                if row == 13 { Err(StepError::permanent("row 13 has no customer")) } else { Ok(row) }
            })
        })
        .step_fn("sum", |_: StepContext, rows: Vec<u32>| async move { Ok(rows.iter().sum::<u32>()) })
        .build()
}

/// Every kind of node: side by side, item by item, one way of several, round by round, a sleep, a child and a signal.
fn trip(refund: &Workflow<Value, Value>) -> Result<Workflow<Value, (Value, Value)>, stepwell::BuildError> {
    Workflow::named("trip")
        .step_fn("validate", |ctx: StepContext, trip: Value| async move {
            work(&ctx, 300, "validating").await;
            Ok(trip)
        })
        .both(
            |hotel| {
                hotel.step_fn("reserve-hotel", |ctx: StepContext, trip: Value| async move {
                    work(&ctx, 700, "the hotel").await;
                    Ok(trip)
                })
            },
            |flight| {
                flight
                    .step_fn("reserve-flight", |ctx: StepContext, trip: Value| async move {
                        work(&ctx, 400, "the flight").await;
                        match ctx.attempt() {
                            1 | 2 => Err(StepError::transient("connection reset by peer").code("io.reset")),
                            _ => Ok(trip),
                        }
                    })
                    .policy(StepPolicy::default().retry(Retry::fixed(millis(500)).max_attempts(5)))
                    .step_fn("check-in", |_: StepContext, trip: Value| async move { Ok(trip) })
            },
        )
        .step_fn("list-travellers", |_: StepContext, _: (Value, Value)| async move {
            Ok((1..=7).collect::<Vec<u32>>())
        })
        .name_items("names", |nth: &u32| format!("traveller {nth}"))
        .map_flow_tolerant(3, Tolerance { count: 2, share: 0.0 }, |traveller| {
            traveller
                .step_fn("scan-passport", |ctx: StepContext, nth: u32| async move {
                    work(&ctx, 200, "scanning").await;
                    if nth == 4 { Err(StepError::validation("the passport has expired")) } else { Ok(nth) }
                })
                .step_fn("issue-ticket", |ctx: StepContext, nth: u32| async move {
                    work(&ctx, if nth == 6 { 600_000 } else { 300 }, "the ticket").await;
                    Ok(nth)
                })
        })
        .step_fn("count", |_: StepContext, all: Vec<stepwell::ItemResult<u32>>| async move { Ok(all.len()) })
        .choose(
            "route",
            |people: &usize| if *people > 100 { "sea" } else { "air" },
            |arms| {
                arms.arm("sea", |f| {
                    f.step_fn("ship", |_: StepContext, people: usize| async move { Ok(people) })
                })
                .arm("air", |f| f.step_fn("fly", |_: StepContext, people: usize| async move { Ok(people) }))
            },
        )
        .repeat_while(
            "is-unconfirmed",
            9,
            |left: &usize| *left > 5,
            |round| round.step_fn("poll-airline", |_: StepContext, left: usize| async move { Ok(left - 1) }),
        )
        .sleep("settle", secs(2))
        .step_fn("wrap", |_: StepContext, left: usize| async move { Ok(json!({ "left": left })) })
        .child("insurance", refund)
        .wait_for::<Value>("approved")
        .build()
}

async fn fill(engine: &Engine) -> Done {
    let run = |id: String, input: Value| StartRun::new("order", &id, &input);
    let key = |id: &str| -> Result<RunKey, Box<dyn Error + Send + Sync>> {
        Ok(RunKey::new(TenantId::default(), RunId::new(id)?))
    };
    for nth in 0..36u32 {
        let (region, id) = (["eu", "us", "jp"][nth as usize % 3], format!("order-{}", 1_000 + nth));
        engine.start_with(run(id, json!({ "total": 4_200 + nth }))?.tag("region", region)?).await?;
    }
    for nth in 0..3u32 {
        let input = json!({ "total": 900, "card": "declined" });
        engine.start_with(run(format!("order-{}", 2_000 + nth), input)?.tag("region", "eu")?).await?;
    }
    for nth in 0..6u32 {
        let input = json!({ "total": 900, "card": "gateway-down" });
        engine.start_with(run(format!("order-{}", 2_100 + nth), input)?.tag("region", "us")?).await?;
    }
    engine.start_with(run("order-2200".to_owned(), json!({ "total": "many" }))?).await?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    for nth in 0..28u32 {
        let key = key(&format!("order-{}", 1_000 + nth))?;
        engine.signal(&key, "approved", "by-ann", &json!({ "by": "ann" })).await?;
    }
    engine.cancel(&key("order-1030")?, "the customer changed their mind").await?;
    engine.pause(&key("order-1031")?, "looking into it").await?;
    for nth in 0..5u32 {
        let input = json!({ "total": 77, "ms": 900_000 / u64::from(nth + 1) });
        engine.start_with(run(format!("order-{}", 3_000 + nth), input)?.tag("region", "eu")?).await?;
    }
    engine.start_run("trip", "trip-1", &json!({ "to": "Kyoto", "legs": ["FRA", "KIX"] })).await?;
    engine.start_run("import", "import-7", &(1..=60).collect::<Vec<u32>>()).await?;
    engine.start_run("import", "import-8", &[11, 12, 13]).await?;
    let input = json!({ "total": 5 });
    let acme = run("order-1".to_owned(), input)?.tenant(TenantId::new("acme")?);
    engine.start_with(acme).await?;
    engine.pause_queue("mail", Actor::Person("ann".to_owned()), "the mail server moves tonight").await?;
    for nth in 0..4u32 {
        let waiting = run(format!("mail-{nth}"), json!({ "total": 1 }))?.queue(Name::new("mail")?);
        engine.start_with(waiting).await?;
    }
    let nightly =
        Schedule::cron("0 2 * * *").timezone("Europe/Berlin").starts("order", &json!({ "total": 1 }))?;
    engine.schedules().create("nightly-report", nightly).await?;
    let often = Schedule::every(Duration::from_secs(3_600)).starts("import", &[1, 2, 3])?;
    engine.schedules().create("hourly-import", often).await?;
    engine.schedules().pause("hourly-import", "until the new format is there").await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Done {
    let port = std::env::args().nth(1).map_or(Ok(8_080), |port| port.parse::<u16>())?;
    let refund = Workflow::named("insurance");
    let refund = refund.step_fn("insure", |_: StepContext, trip: Value| async move { Ok(trip) }).build()?;
    let engine = Engine::builder(Arc::new(MemoryBackend::new()))
        .register(order()?)
        .register(import()?)
        .register(trip(&refund)?)
        .register(refund)
        .queue(Queue::named("mail")?.concurrency(2).rate(100, mins(1)))
        .queue(Queue::named("bulk")?.concurrency(8))
        .code_version("1.4.2")
        .concurrency(64)
        .keep_schedules()
        .start()
        .await?;
    fill(&engine).await?;
    let app = App::new(&engine, ServerOptions::default())?;
    let listener = app.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    println!("http://{}", listener.local_addr()?);
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    app.serve(listener, stop).await?;
    engine.shutdown().await;
    Ok(())
}
