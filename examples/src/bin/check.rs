//! A new release of a program looks at the runs that an older one has begun, before it takes any of them.
//!
//! ```text
//! check begin inv-1               release 1 makes an invoice, which then waits to be paid
//! check look --release 2          release 2 has changed what a step gives: exits with 1 and says which runs that concerns
//! check look --release 3          release 3 says how the old form becomes the new one: exits with 0
//! check pay inv-1 --release 3     and goes on with the invoice
//! ```
//!
//! In a pipeline `look` runs with the new binary against the store of the old one, which keeps running on stores that
//! several processes share.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stepwell::contract::{RunId, RunKey, Status, TenantId};
use stepwell::prelude::*;
use stepwell::{BuildError, Error, RunError};
use stepwell_examples::exit::{self, Trouble};
use stepwell_examples::store::StoreFlag;

const INVOICE: &str = "invoice";

// ---- three releases of one program; yours has one of them at a time

/// Release 1: a sum is a number of cents.
fn first() -> Result<Workflow<u32, String>, BuildError> {
    Workflow::named(INVOICE)
        .step_fn("total", |_ctx: StepContext, hours: u32| async move { Ok(hours * 9_000) })
        .wait_for::<String>("paid")
        .step_fn("book", |_ctx: StepContext, (cents, by): (u32, String)| async move {
            Ok(format!("{by} has paid {cents} cents"))
        })
        .build()
}

#[derive(Debug, Serialize, Deserialize)]
struct Sum {
    cents: u32,
    currency: String,
}

struct Total;

#[async_trait]
impl Step for Total {
    type Input = u32;
    type Output = Sum;
    const NAME: &'static str = "total";
    /// Version 1 gave the cents alone.
    const VERSION: u32 = 2;

    async fn run(&self, _ctx: &StepContext, hours: u32) -> StepResult<Sum> {
        Ok(Sum { cents: hours * 9_000, currency: "EUR".to_owned() })
    }
}

/// Release 2: a sum has a currency. Release 3: and a sum of release 1 is read as one in euros.
fn later(release: u8) -> Result<Workflow<u32, String>, BuildError> {
    let flow = Workflow::named(INVOICE).step(Total).wait_for::<String>("paid").step_fn(
        "book",
        |_ctx: StepContext, (sum, by): (Sum, String)| async move {
            Ok(format!("{by} has paid {} {}-cents", sum.cents, sum.currency))
        },
    );
    match release {
        2 => flow.build(),
        _ => flow.migrate::<Total>(1, in_euros).build(),
    }
}

fn in_euros(cents: Value) -> Result<Value, String> {
    let cents = cents.as_u64().ok_or("it is no number of cents")?;
    Ok(json!({ "cents": cents, "currency": "EUR" }))
}

// ---- the program

/// Looks whether a release of a program can go on with the runs that are under way.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done, or every run can go on; 1 some run cannot; 2 wrong usage; 5 the store does not open."
)]
struct Flags {
    #[command(subcommand)]
    command: Command,
    /// Which release of the program this is
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    release: u8,
    #[command(flatten)]
    store: StoreFlag,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an invoice
    Begin { id: String },
    /// Look at every run that has not ended. Touches none
    Look,
    /// Pay an invoice and book it
    Pay { id: String },
}

#[tokio::main]
async fn main() -> ExitCode {
    exit::with(run(Flags::parse()).await)
}

async fn run(flags: Flags) -> Result<ExitCode, Trouble> {
    let workflow = if flags.release == 1 { first() } else { later(flags.release) };
    let workflow = workflow?;
    let (backend, _) = flags.store.open().await?;
    let engine = Engine::builder(backend).register(workflow).build().await?;
    let code = match flags.command {
        Command::Look => {
            // The whole of it: in a program of yours this is `yourprogram check`.
            let report = engine.check().await?;
            println!("{report}");
            ExitCode::from(report.exit_code())
        }
        Command::Begin { id } => begin(&engine, &id).await?,
        Command::Pay { id } => pay(&engine, &id).await?,
    };
    engine.shutdown().await;
    Ok(code)
}

async fn begin(engine: &Engine, id: &str) -> Result<ExitCode, Trouble> {
    engine.work();
    let run = engine.start_run(INVOICE, id, &3_u32).await?;
    while matches!(run.head().await?.status, Status::Queued | Status::Running) {
        tokio::time::sleep(millis(10)).await;
    }
    println!("{id} waits to be paid");
    Ok(ExitCode::SUCCESS)
}

async fn pay(engine: &Engine, id: &str) -> Result<ExitCode, Trouble> {
    let key = RunKey::new(TenantId::default(), RunId::new(id)?);
    let run = engine.find(&key).await?;
    if run.head().await?.status == Status::Paused {
        engine.resume(&key, "with another release").await?;
    } else {
        engine.signal(&key, "paid", "by-ada", "Ada").await?;
    }
    engine.work();
    match run.result::<String>().await {
        Ok(booked) => {
            println!("{id}: {booked}");
            Ok(ExitCode::SUCCESS)
        }
        Err(RunError::Paused { message, .. }) => {
            Err(Trouble::new(exit::FAILED, format!("{id} is held"), message, "run the next release"))
        }
        Err(error) => Err(Error::Internal(error.to_string()).into()),
    }
}
