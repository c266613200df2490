//! Testing a workflow: an order whose card is charged by a gateway that recognises nothing.
//!
//! `workflow` is what a program has; the tests below it are what a program's tests look like. None of them needs a store,
//! a server or a minute.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use stepwell::Report;
use stepwell::prelude::*;
use stepwell::run::event::PauseReason;
use stepwell::testing::{self, CrashTest, Rehearsal, Rehearsed};

// ---- the program

fn workflow() -> Workflow<Order, Shipment> {
    Workflow::named("order").step(Reserve).step(Charge).step(Ship).build().expect("a sound workflow")
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    item: String,
    cents: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    payment: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Shipment {
    tracking: String,
}

struct Reserve;

#[async_trait]
impl Step for Reserve {
    type Input = Order;
    type Output = Order;
    const NAME: &'static str = "reserve";

    fn policy(&self) -> StepPolicy {
        // The warehouse goes home at night.
        StepPolicy::default().retry(Retry::fixed(hours(8)).max_attempts(4))
    }

    async fn run(&self, ctx: &StepContext, order: Order) -> StepResult<Order> {
        ctx.resource::<Warehouse>()?.reserve(&ctx.idempotency_key(), &order.item)?;
        Ok(order)
    }
}

struct Charge;

#[async_trait]
impl Step for Charge {
    type Input = Order;
    type Output = Receipt;
    const NAME: &'static str = "charge";

    fn policy(&self) -> StepPolicy {
        // The gateway takes no key: a repetition charges again.
        StepPolicy::default().attempt_timeout(secs(30)).effect(Effect::NotIdempotent)
    }

    async fn run(&self, ctx: &StepContext, order: Order) -> StepResult<Receipt> {
        Ok(Receipt { payment: ctx.resource::<Gateway>()?.charge(order.cents)? })
    }
}

struct Ship;

#[async_trait]
impl Step for Ship {
    type Input = Receipt;
    type Output = Shipment;
    const NAME: &'static str = "ship";

    async fn run(&self, _ctx: &StepContext, receipt: Receipt) -> StepResult<Shipment> {
        Ok(Shipment { tracking: format!("TRK-{}", receipt.payment) })
    }
}

/// Keeps one piece for each key, however often it is asked.
#[derive(Default)]
struct Warehouse(Mutex<Vec<String>>);

impl Warehouse {
    fn reserve(&self, key: &str, item: &str) -> StepResult<()> {
        let line = format!("{key} {item}");
        let mut reserved = self.0.lock().map_err(|_| StepError::bug("poisoned"))?;
        if !reserved.contains(&line) {
            reserved.push(line);
        }
        Ok(())
    }

    fn pieces(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }
}

/// Charges each time it is asked.
#[derive(Default)]
struct Gateway(Mutex<Vec<u64>>);

impl Gateway {
    fn charge(&self, cents: u64) -> StepResult<String> {
        let mut charges = self.0.lock().map_err(|_| StepError::bug("poisoned"))?;
        charges.push(cents);
        Ok(format!("pay-{}", charges.len()))
    }

    fn charges(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }
}

// ---- its tests

fn order() -> Order {
    Order { item: "stepwell mug".to_owned(), cents: 1990 }
}

fn rehearsal() -> Rehearsal<Order, Shipment> {
    Rehearsal::new(workflow()).resource(Warehouse::default()).resource(Gateway::default())
}

#[tokio::test]
async fn an_order_is_shipped() {
    let run = rehearsal().run(&order()).await;
    assert_eq!(run.assert_succeeded().tracking, "TRK-pay-1");
    assert_eq!(run.order_of_steps(), ["reserve", "charge", "ship"]);
    assert_eq!(run.output_of::<Receipt>("charge").payment, "pay-1");
}

#[tokio::test]
async fn one_step_is_tested_without_a_workflow() {
    let ctx = StepContext::test().resource(Gateway::default()).build();
    let receipt = Charge.run(&ctx, order()).await.expect("a receipt");
    assert_eq!(receipt.payment, "pay-1");
}

#[tokio::test]
async fn a_closed_warehouse_is_asked_again_the_next_morning() {
    let closed = || StepError::unavailable("nobody is there");
    let run = rehearsal().fail("reserve", 1, closed()).fail("reserve", 2, closed()).run(&order()).await;
    run.assert_succeeded();
    run.assert_attempts("reserve", 3);
    assert_eq!(run.elapsed(), hours(16)); // which took the test some milliseconds
}

#[tokio::test]
async fn an_order_waits_for_a_person_when_the_warehouse_stays_closed() {
    let closed = |_: Order| Err::<Order, _>(StepError::unavailable("nobody is there"));
    let run = rehearsal().mock("reserve", closed).run(&order()).await;
    assert!(run.assert_paused(PauseReason::Exhausted).contains("reserve failed 4 times"));
    assert_eq!(run.attempts("charge"), 0);
}

#[tokio::test]
async fn a_refused_card_fails_the_order_and_ships_nothing() {
    let run = rehearsal()
        .mock("charge", |_: Order| Err::<Receipt, _>(StepError::permanent("card refused").code("REFUSED")))
        .run(&order())
        .await;
    assert_eq!(run.assert_failed().code.as_deref(), Some("REFUSED"));
    assert_eq!(run.attempts("ship"), 0);
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_leaves_the_order_in_doubt_and_is_not_asked_again() {
    let run = rehearsal().hang("charge", 1).run(&order()).await;
    run.assert_paused(PauseReason::InDoubt);
    assert_eq!((run.attempts("charge"), run.elapsed()), (1, secs(30)));
}

#[tokio::test]
async fn a_step_can_be_played_by_another() {
    struct Pickup;
    #[async_trait]
    impl Step for Pickup {
        type Input = Receipt;
        type Output = Shipment;
        const NAME: &'static str = "pickup";
        async fn run(&self, ctx: &StepContext, _receipt: Receipt) -> StepResult<Shipment> {
            Ok(Shipment { tracking: format!("at the counter, {}", ctx.run_id()) })
        }
    }
    let run = rehearsal().replace("ship", Pickup).run(&order()).await;
    assert_eq!(run.assert_succeeded().tracking, "at the counter, rehearsal");
}

#[tokio::test]
async fn an_order_that_a_person_approves_and_a_carrier_delivers_ends_in_one_line() {
    let delivery = Workflow::named("delivery")
        .input::<Shipment>()
        .external::<String>("carry", days(3)) // the carrier tells when it has arrived
        .build()
        .expect("a sound workflow");
    let whole = Workflow::named("approved-order")
        .step(Reserve)
        .wait_for::<String>("approved")
        .step_fn("thank", |_ctx, (order, _by): (Order, String)| async move { Ok(order) })
        .step(Charge)
        .step(Ship)
        .child("delivery", &delivery)
        .build()
        .expect("a sound workflow");
    let run = Rehearsal::new(whole)
        .resource(Warehouse::default())
        .resource(Gateway::default())
        .answer_after("approved", hours(5), "by Ada")
        .with(Rehearsal::new(delivery).report_after(
            "carry",
            days(2),
            Report::succeeded("left with the neighbour").expect("it has a JSON form"),
        ))
        .run(&order())
        .await;
    assert_eq!(run.assert_succeeded(), "left with the neighbour");
    assert_eq!(run.elapsed(), hours(5) + days(2));
}

/// What a process of the program finds outside, and what its death leaves.
#[derive(Default)]
struct World {
    warehouse: Arc<Warehouse>,
    gateway: Arc<Gateway>,
}

/// What must be so after every run, crash or not.
fn in_order(world: &World, run: &Rehearsed<Shipment>) -> Result<(), String> {
    let (pieces, charges) = (world.warehouse.pieces(), world.gateway.charges());
    match run.result() {
        Some(_) if (pieces, charges) == (1, 1) => Ok(()),
        // A person finds out whether the card was charged.
        None if pieces == 1 && charges <= 1 => Ok(()),
        _ => Err(format!("{pieces} pieces reserved, charged {charges} times")),
    }
}

#[tokio::test]
async fn no_crash_charges_a_card_twice() {
    let report = CrashTest::in_world(World::default, |world| {
        Rehearsal::new(workflow())
            .shared(Arc::clone(&world.warehouse))
            .shared(Arc::clone(&world.gateway))
            // Also while a retry is waited for.
            .fail("reserve", 1, StepError::unavailable("nobody is there"))
    })
    .check(in_order)
    .run(&order())
    .await;
    report.assert_survives();
    assert_eq!(report.step("reserve").again_after_effect, 1); // the warehouse knew the key
    assert_eq!(report.step("charge").again_after_effect, 0);
    assert_eq!(report.step("charge").in_doubt, 2); // charged and not written; written and not charged
    println!("{report}"); // the table in docs/testing.md
}

#[tokio::test]
async fn once_the_gateway_knows_its_keys_no_crash_needs_a_person() {
    let process = || {
        let steady = Workflow::named("order")
            .step(Reserve)
            .step(Charge)
            .policy(StepPolicy::default().effect(Effect::Idempotent))
            .step(Ship)
            .build()
            .expect("a sound workflow");
        Rehearsal::new(steady).resource(Warehouse::default()).resource(Gateway::default())
    };
    testing::crash_at_every_commit(process, order()).await.assert_never_in_doubt();
}
