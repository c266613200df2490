//! The tutorial: an order that survives a crash.
//!
//! ```text
//! order --crash-at charge    the process dies after the card was charged, before that was written down
//! order                      the same command goes on: nothing is lost, the card is charged once
//! order --id order-7         another order
//! ```
//!
//! Read it from `workflow` down: what the order is, what its steps do, how they are run.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde::{Deserialize, Serialize};
use stepwell::contract::{RunId, RunKey, Status, TenantId};
use stepwell::prelude::*;
use stepwell::{RunError, workflow::definition::BuildError};
use stepwell_examples::exit::{self, Trouble};
use stepwell_examples::{
    logging,
    progress::Progress,
    serve::ServeFlag,
    signals::Stop,
    store::{StoreFlag, wait_for_lease},
};

// ---- the workflow: five steps; what one gives the next one takes, and the compiler checks that it fits

fn workflow() -> Result<Workflow<Order, Shipment>, BuildError> {
    Workflow::named("order").step(Validate).step(Charge).parallel((Pack, Invoice)).step(Ship).build()
}

// ---- the values between the steps: plain data, kept as JSON in the run's journal

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    item: String,
    pieces: u32,
    price_cents: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Invoiceable {
    order: Order,
    total_cents: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    order: Order,
    total_cents: u64,
    payment: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Parcel {
    grams: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    number: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Shipment {
    tracking: String,
}

// ---- the steps: ordinary structs. Each may run more than once, until its result is written; after that never again

struct Validate;

#[async_trait]
impl Step for Validate {
    type Input = Order;
    type Output = Invoiceable;
    const NAME: &'static str = "validate";

    async fn run(&self, ctx: &StepContext, order: Order) -> StepResult<Invoiceable> {
        if order.pieces == 0 {
            // The class of an error decides what follows: a wrong input is not tried again.
            return Err(StepError::validation("an order has at least one piece"));
        }
        let total_cents = order.price_cents * u64::from(order.pieces);
        ran(ctx, format_args!("{} × {} makes {}", order.pieces, order.item, euros(total_cents)))?;
        Ok(Invoiceable { order, total_cents })
    }
}

struct Charge;

#[async_trait]
impl Step for Charge {
    type Input = Invoiceable;
    type Output = Receipt;
    const NAME: &'static str = "charge";

    fn policy(&self) -> StepPolicy {
        StepPolicy::default()
            .attempt_timeout(secs(10))
            .retry(Retry::exponential(millis(200)).max_attempts(5).jitter())
            // The gateway recognises a repetition, so a crash in the middle is no reason to stop and ask.
            .effect(Effect::Idempotent)
    }

    async fn run(&self, ctx: &StepContext, due: Invoiceable) -> StepResult<Receipt> {
        // The key is the same in every attempt of this step of this order. It is what makes the effect happen once
        // although the step may run twice.
        let (payment, is_new) = ctx.resource::<Gateway>()?.charge(&ctx.idempotency_key(), due.total_cents)?;
        let how = if is_new { "charged" } else { "the gateway knows this key: not charged again," };
        ran(ctx, format_args!("{how} {}, payment {payment}", euros(due.total_cents)))?;
        Ok(Receipt { order: due.order, total_cents: due.total_cents, payment })
    }
}

struct Pack;

#[async_trait]
impl Step for Pack {
    type Input = Receipt;
    type Output = Parcel;
    const NAME: &'static str = "pack";

    async fn run(&self, ctx: &StepContext, receipt: Receipt) -> StepResult<Parcel> {
        let grams = u64::from(receipt.order.pieces) * 350 + 120;
        ran(ctx, format_args!("a parcel of {grams} g"))?;
        Ok(Parcel { grams })
    }
}

struct Invoice;

#[async_trait]
impl Step for Invoice {
    type Input = Receipt;
    type Output = Document;
    const NAME: &'static str = "invoice";

    async fn run(&self, ctx: &StepContext, receipt: Receipt) -> StepResult<Document> {
        let number = format!("INV-{}", receipt.payment.trim_start_matches("pay-"));
        ran(ctx, format_args!("{number} over {}", euros(receipt.total_cents)))?;
        Ok(Document { number })
    }
}

struct Ship;

#[async_trait]
impl Step for Ship {
    type Input = (Parcel, Document); // what the two parallel steps gave
    type Output = Shipment;
    const NAME: &'static str = "ship";

    async fn run(&self, ctx: &StepContext, (parcel, document): (Parcel, Document)) -> StepResult<Shipment> {
        let tracking = format!("TRK-{}-{}", document.number.trim_start_matches("INV-"), parcel.grams);
        ran(ctx, format_args!("{tracking}"))?;
        Ok(Shipment { tracking })
    }
}

/// Says that a step ran; then dies, if that was asked for. Nothing of this is Stepwell: a real step just returns.
fn ran(ctx: &StepContext, what: std::fmt::Arguments<'_>) -> StepResult<()> {
    let how = if ctx.attempt() == 1 { "ran".to_owned() } else { format!("ran, attempt {}", ctx.attempt()) };
    let step = &ctx.place().step;
    println!("  {:<9} {how:<15} {what}", step.as_str());
    if ctx.resource::<CrashAt>()?.0.as_deref() == Some(step.as_str()) {
        println!("  the process dies here: `{step}` has had its effect, and nothing says so yet");
        std::process::abort();
    }
    Ok(())
}

struct CrashAt(Option<String>);

// ---- a payment gateway, such as there are: it keeps a ledger, and takes each key once

struct Gateway {
    ledger: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    cents: u64,
    payment: String,
}

impl Gateway {
    /// Charges once for each key. Returns the payment, and whether it was made by this call.
    fn charge(&self, key: &str, cents: u64) -> StepResult<(String, bool)> {
        let entries = self.entries()?;
        if let Some(known) = entries.iter().find(|entry| entry.key == key) {
            return Ok((known.payment.clone(), false));
        }
        let payment = format!("pay-{:04}", entries.len() + 1);
        let entry = Entry { key: key.to_owned(), cents, payment: payment.clone() };
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.ledger)?;
        writeln!(file, "{}", serde_json::to_string(&entry)?)?;
        file.sync_all()?;
        Ok((payment, true))
    }

    fn entries(&self) -> StepResult<Vec<Entry>> {
        if !self.ledger.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&self.ledger)?;
        Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    /// How often the ledger has a key: what the order really cost its customer.
    fn times(&self, key: &str) -> StepResult<usize> {
        Ok(self.entries()?.iter().filter(|entry| entry.key == key).count())
    }
}

fn euros(cents: u64) -> String {
    format!("{}.{:02} EUR", cents / 100, cents % 100)
}

// ---- the program

/// An order that survives a crash: validate, charge, then pack and invoice at once, ship.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Try, in this order:
  order --crash-at charge    the process dies after the card was charged
  order                      goes on where it was; the card is charged once
  order                      the order is done: its result is read, nothing runs"
)]
struct Flags {
    /// The order. The same id is the same order, whatever happened to the process meanwhile
    #[arg(long, value_name = "ID", default_value = "order-1042")]
    id: String,
    /// Let the process die inside this step, after its effect
    #[arg(long, value_name = "STEP", value_parser = ["validate", "charge", "pack", "invoice", "ship"])]
    crash_at: Option<String>,
    /// The ledger of the payment gateway
    #[arg(long, value_name = "FILE", default_value = "order-ledger.jsonl")]
    ledger: PathBuf,
    #[command(flatten)]
    store: StoreFlag,
    #[command(flatten)]
    serve: ServeFlag,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit::with(run(Flags::parse()).await)
}

async fn run(flags: Flags) -> Result<ExitCode, Trouble> {
    let progress = Progress::new();
    logging::start(&progress);
    let run = RunId::new(&flags.id).map_err(|error| {
        Trouble::new(exit::USAGE, "that is no order id", error, "give another one with --id")
    })?;
    let stop = Stop::on_signals(&progress)?;
    let (backend, store) = flags.store.open().await?;

    // An engine is a store, the workflows it can run, and what their steps need.
    let workflow = workflow()?;
    let engine = Engine::builder(backend)
        .register(workflow)
        .resource(Gateway { ledger: flags.ledger.clone() })
        .resource(CrashAt(flags.crash_at))
        .build()
        .await?;
    tell_what_is_there(&engine, &RunKey::new(TenantId::default(), run.clone()), &store).await?;

    // From here on it takes runs: first of all those that a dead process left behind.
    engine.work();
    let dashboard = flags.serve.start(&engine, &stop).await?;

    // Starting is idempotent: the same id and input give the run that is there.
    let order = Order { item: "stepwell mug".to_owned(), pieces: 3, price_cents: 1990 };
    let handle = engine.start_run("order", run.as_str(), &order).await?;
    let Some(result) = stop.or(&engine, handle.result::<Shipment>()).await else {
        println!("given up for now; the same command goes on");
        return Ok(ExitCode::from(exit::INTERRUPTED));
    };
    let told = tell(result, &flags.ledger, handle.key());
    if let Some(dashboard) = dashboard {
        // What is wrong is told before, since this goes on until someone ends it.
        if let Err(trouble) = &told {
            eprintln!("{trouble}");
        }
        dashboard.stays().await?;
    }
    engine.shutdown().await;
    told.map(|()| ExitCode::SUCCESS)
}

/// Shows what the journal has of the run before anything is done.
async fn tell_what_is_there(engine: &Engine, key: &RunKey, store: &str) -> Result<(), Trouble> {
    let Some(head) = engine.get(key).await? else {
        println!("{} is new; its journal is kept in {store}", key.run);
        return Ok(());
    };
    if head.status == Status::Succeeded {
        println!("{} was done before; its result is read from {store}, nothing runs", key.run);
        return Ok(());
    }
    let then = match head.status {
        Status::Failed | Status::Paused => "it goes on once it is retried, from its journal",
        _ => "it goes on from its journal",
    };
    println!("{} was begun before and is {}; {then} in {store}", key.run, head.status);
    if let Some(wait) = wait_for_lease(&head, engine.now()) {
        println!("  {wait}");
    }
    for (step, _) in engine.state(key).await?.outputs.iter() {
        println!(
            "  {:<9} {:<15} its result is in the journal, it does not run again",
            step.as_str(),
            "restored"
        );
    }
    Ok(())
}

/// Tells how the order ended.
fn tell(result: Result<Shipment, RunError>, ledger: &Path, key: &RunKey) -> Result<(), Trouble> {
    let shipment = result.map_err(|error| stuck(&error, key))?;
    println!("done: {} is on its way as {}", key.run, shipment.tracking);
    tell_charges(ledger, key)
}

fn tell_charges(ledger: &Path, key: &RunKey) -> Result<(), Trouble> {
    let gateway = Gateway { ledger: ledger.to_owned() };
    let times = gateway.times(&format!("{key}/charge")).map_err(|error| {
        Trouble::new(exit::FAILED, "the ledger cannot be read", error, "see what is in it")
    })?;
    let words = if times == 1 { "charged once".to_owned() } else { format!("charged {times} times") };
    println!("{words}, says the ledger of the gateway, {}", ledger.display());
    Ok(())
}

fn stuck(error: &RunError, key: &RunKey) -> Trouble {
    let fix = format!("mend the cause, `stepwell runs retry {}`, then run the same command again", key.run);
    Trouble::new(exit::FAILED, "the order is not done", error, fix)
}
