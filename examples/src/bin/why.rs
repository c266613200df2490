//! A step fails, and the run says why: not the error alone, but what was seen around it and what to do.
//!
//! ```text
//! why missing-file      a file that is not there, in a folder that is
//! why refused           a server that does not listen
//! why slow              a server that answers after the step's time is up
//! why bad-data          the same bad line at every attempt
//! why panic             a bug in the step
//! why refused --language ja
//! ```
//!
//! The diagnosis was stored with the failure, in the same write: it is still there when the process is not.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use stepwell::diagnosis::Language;
use stepwell::prelude::*;
use stepwell_examples::exit::{self, Trouble};
use stepwell_examples::store::StoreFlag;
use uuid::Uuid;

#[derive(Debug, Clone, Copy, ValueEnum, serde::Serialize, serde::Deserialize)]
enum Fault {
    MissingFile,
    Refused,
    Slow,
    BadData,
    Panic,
}

/// Reads prices from somewhere, and fails.
struct ReadPrices;

#[async_trait]
impl Step for ReadPrices {
    type Input = Fault;
    type Output = u32;
    const NAME: &'static str = "read_prices";

    fn policy(&self) -> StepPolicy {
        StepPolicy::default().attempt_timeout(millis(300)).retry(Retry::fixed(millis(20)).max_attempts(3))
    }

    async fn run(&self, ctx: &StepContext, fault: Fault) -> StepResult<u32> {
        ctx.info(format!("attempt {}", ctx.attempt()));
        match fault {
            Fault::MissingFile => {
                let path = Path::new("prices").join("today.csv");
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
                Ok(text.parse::<u32>().permanent()?)
            }
            Fault::Refused => {
                // A port that was free a moment ago: nobody listens there.
                let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
                TcpStream::connect(address)
                    .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
                Ok(1)
            }
            Fault::Slow => {
                tokio::time::sleep(secs(5)).await;
                Ok(1)
            }
            Fault::BadData => {
                let prices = r#"{"apples": 120, "pears": "n/a"}"#;
                let prices: std::collections::BTreeMap<String, u32> = serde_json::from_str(prices)?;
                Ok(prices.values().sum())
            }
            Fault::Panic => {
                let prices: Vec<u32> = Vec::new();
                Ok(prices[0])
            }
        }
    }
}

/// Lets a step fail, and shows the diagnosis that is stored with its run.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 1 the step failed, as it should; 2 wrong usage; 5 the store does not open."
)]
struct Flags {
    /// What goes wrong
    fault: Fault,
    /// The language of the diagnosis: en or ja
    #[arg(long, default_value_t = Language::English)]
    language: Language,
    #[command(flatten)]
    store: StoreFlag,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit::with(run(Flags::parse()).await)
}

async fn run(flags: Flags) -> Result<ExitCode, Trouble> {
    let (backend, _) = flags.store.open().await?;
    let workflow = Workflow::named("prices").step(ReadPrices).build()?;
    let engine = Engine::builder(backend).register(workflow).build().await?;
    engine.work();
    let run =
        engine.start_run("prices", &format!("prices-{}", Uuid::now_v7().simple()), &flags.fault).await?;
    if let Err(error) = run.result::<u32>().await {
        println!("{error}\n");
    }
    if let Some(diagnosis) = engine.diagnosis(run.key()).await? {
        println!("{}", diagnosis.in_language(flags.language));
    }
    engine.shutdown().await;
    Ok(ExitCode::from(exit::FAILED))
}
