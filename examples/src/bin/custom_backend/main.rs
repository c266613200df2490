//! A store of your own: one trait, seven methods, and a kit that tells whether it keeps its promises.
//!
//! `json_file` is the store: one JSON file. It is opened here under a scheme of its own,
//! beside those that Stepwell brings. `cargo test --bin custom_backend` runs every law of the contract on it.

mod json_file;
#[cfg(test)]
mod laws;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use stepwell::contract::{Backend, SystemClock};
use stepwell::prelude::*;
use stepwell_examples::exit::{self, Trouble};
use stepwell_examples::{logging, progress::Progress, signals::Stop};

use crate::json_file::JsonFile;

/// Runs a workflow on a store that is not part of Stepwell: one JSON file.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Try:
  custom_backend Ada Grace             every step's result is written to runs.json
  custom_backend Ada Grace             the run is there already: its result is read
  custom_backend --store memory: Ada   the same program on a store that Stepwell brings"
)]
struct Flags {
    /// Whom to greet
    #[arg(default_values = ["Ada", "Grace"])]
    names: Vec<String>,
    /// The id of the run
    #[arg(long, value_name = "ID", default_value = "hello")]
    id: String,
    /// Where runs are kept: json:FILE, or any store that Stepwell knows
    #[arg(long, value_name = "URL", env = "STEPWELL_STORE", default_value = "json:./runs.json")]
    store: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit::with(run(Flags::parse()).await)
}

/// Opens `json:FILE` itself and leaves every other scheme to Stepwell.
async fn open(url: &str) -> Result<Arc<dyn Backend>, Trouble> {
    let trouble = |why: &dyn std::fmt::Display| {
        Trouble::new(
            exit::STORE,
            format!("{url} does not open"),
            why,
            "mend that, or choose another with --store",
        )
    };
    match url.strip_prefix("json:") {
        Some(path) => match JsonFile::open(path, Arc::new(SystemClock)) {
            Ok(store) => Ok(Arc::new(store)),
            Err(error) => Err(trouble(&error)),
        },
        None => stepwell_backends::open(url).await.map_err(|error| trouble(&error)),
    }
}

async fn run(flags: Flags) -> Result<ExitCode, Trouble> {
    let progress = Progress::new();
    logging::start(&progress);
    let stop = Stop::on_signals(&progress)?;
    let backend = open(&flags.store).await?;
    let workflow = Workflow::named("greetings")
        .step_fn("greet", |_, names: Vec<String>| async move {
            Ok(names.iter().map(|name| format!("Hello, {name}")).collect::<Vec<_>>())
        })
        .step_fn("join", |_, greetings: Vec<String>| async move { Ok(greetings.join(". ")) })
        .build();
    let workflow = workflow?;

    let engine = Engine::builder(backend).register(workflow).start().await?;
    let info = engine.store().await?;
    println!("store: {}, {}", info.backend, info.durability);
    let handle = engine.start_run("greetings", &flags.id, &flags.names).await?;
    println!("run {}: {}", flags.id, if handle.is_new() { "new" } else { "there already" });
    let Some(result) = stop.or(&engine, handle.result::<String>()).await else {
        return Ok(ExitCode::from(exit::INTERRUPTED));
    };
    for record in engine.history(handle.key()).await? {
        println!("  {:>3} {:<15} {}", record.seq.0, record.kind.as_str(), record.payload.text());
    }
    engine.shutdown().await;
    let greeting = result.map_err(|error| {
        Trouble::new(
            exit::FAILED,
            "the run has no result",
            error,
            "mend the cause, then run the same command again",
        )
    })?;
    println!("{greeting}.");
    Ok(ExitCode::SUCCESS)
}
