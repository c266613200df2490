//! A trip of several bookings, some by runs of their own: when one fails, what was booked before is cancelled again.
//!
//! ```text
//! trip book alps              a flight and a hotel at the same time, then a car, then the payment
//! trip book coast --fail car  there is no car: hotel and flight are cancelled, the latest first
//! trip show coast             what was booked and what was undone, from the journal
//! ```

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use stepwell::contract::{RunId, RunKey, TenantId};
use stepwell::prelude::*;
use stepwell::run::event::Event;
use stepwell::{BuildError, Error, RunError};
use stepwell_examples::exit::{self, Trouble};
use stepwell_examples::{logging, progress::Progress, signals::Stop, store::StoreFlag};

// ---- the workflows: a booking is a run of its own, a trip is made of several

const TRIP: &str = "trip";
const BOOKING: &str = "booking";

/// One booking with one provider: searched, then held.
fn booking() -> Result<Workflow<Wish, Booked>, BuildError> {
    Workflow::named(BOOKING)
        .step_fn("search", |ctx: StepContext, wish: Wish| async move {
            ctx.info(format!("looking for a {}", wish.what));
            match wish.fails {
                true => Err(StepError::permanent(format!("no {} is left", wish.what)).code("sold_out")),
                false => Ok(wish),
            }
        })
        .step_fn("hold", |ctx: StepContext, wish: Wish| async move {
            // A provider takes the key, and holds one seat however often it is asked.
            Ok(Booked { what: wish.what, reference: ctx.idempotency_key() })
        })
        .build()
}

fn trip() -> Result<Workflow<Trip, Vec<Booked>>, BuildError> {
    let booking = booking()?;
    let cancel = |ctx: StepContext, booked: Booked| async move {
        println!("{}: the {} is cancelled", ctx.run_id(), booked.what);
        Ok(())
    };
    let wish = |what: &'static str| {
        move |_ctx: StepContext, trip: Trip| async move {
            Ok(Wish { what: what.to_owned(), fails: trip.fail.as_deref() == Some(what) })
        }
    };
    Workflow::named(TRIP)
        .step_fn("plan", |_ctx: StepContext, trip: Trip| async move { Ok(trip) })
        .both(
            |air| air.step_fn("flight.wish", wish("flight")).child("flight", &booking).compensate_fn(cancel),
            |bed| bed.step_fn("hotel.wish", wish("hotel")).child("hotel", &booking).compensate_fn(cancel),
        )
        .recall_of::<Trip>("plan")
        .step_fn("car.wish", wish("car"))
        .child("car", &booking)
        .compensate_fn(cancel)
        .step_fn("pay", |ctx: StepContext, car: Booked| async move {
            let trip: Trip = ctx.output_of("plan")?;
            if trip.fail.as_deref() == Some("payment") {
                return Err(StepError::permanent("the card was refused").code("card_refused"));
            }
            Ok(vec![ctx.output_of("flight")?, ctx.output_of("hotel")?, car])
        })
        .build()
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Trip {
    /// What is to fail, so that one can see it.
    fail: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Wish {
    what: String,
    fails: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Booked {
    what: String,
    reference: String,
}

// ---- the program

/// A trip of several bookings: when one fails, what was booked before is cancelled again.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 booked; 1 not booked, and what was is undone; 2 wrong usage; 5 the store does not open; 130 \
stopped by a signal (the same command goes on).

Try:
  trip book alps
  trip book coast --fail car
  trip show coast"
)]
struct Flags {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    store: StoreFlag,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Book a trip. The same id again is the same trip
    Book {
        id: String,
        /// What is to fail
        #[arg(long, value_name = "WHAT", value_parser = ["flight", "hotel", "car", "payment"])]
        fail: Option<String>,
    },
    /// Tell what was booked and what was undone
    Show { id: String },
}

#[tokio::main]
async fn main() -> ExitCode {
    exit::with(run(Flags::parse()).await)
}

async fn run(flags: Flags) -> Result<ExitCode, Trouble> {
    let progress = Progress::new();
    logging::start(&progress);
    let (backend, _) = flags.store.open().await?;
    let (trip, booking) = (trip()?, booking()?);
    let engine = Engine::builder(backend).register(trip).register(booking).build().await?;
    match flags.command {
        Command::Book { id, fail } => {
            let stop = Stop::on_signals(&progress)?;
            engine.work();
            match stop.or(&engine, book(&engine, &id, Trip { fail })).await {
                Some(code) => {
                    engine.shutdown().await;
                    code
                }
                None => Ok(ExitCode::from(exit::INTERRUPTED)),
            }
        }
        Command::Show { id } => show(&engine, &id).await,
    }
}

async fn book(engine: &Engine, id: &str, trip: Trip) -> Result<ExitCode, Trouble> {
    let handle = match engine.start_run(TRIP, id, &trip).await {
        Err(error @ Error::Conflict { .. }) => {
            let fix = "give this trip an id of its own";
            return Err(Trouble::new(exit::USAGE, "there is another trip of that id", error, fix));
        }
        handle => handle?,
    };
    match handle.result::<Vec<Booked>>().await {
        Ok(booked) => {
            for Booked { what, reference } in booked {
                println!("{id}: {what} as {reference}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(RunError::Failed { failure, .. }) => {
            println!("{id}: not booked, since {failure}");
            Ok(ExitCode::from(exit::FAILED))
        }
        Err(error) => Err(Trouble::new(exit::FAILED, "the trip is held", error, "see `trip show`")),
    }
}

async fn show(engine: &Engine, id: &str) -> Result<ExitCode, Trouble> {
    let key = RunKey::new(TenantId::default(), RunId::new(id)?);
    for record in engine.history(&key).await? {
        match Event::read(&record) {
            Ok(Event::ChildStarted(child)) => println!("{}: started {}", child.place, child.run),
            Ok(Event::UndoStarted(_)) => println!("undoing"),
            Ok(Event::StepSucceeded(done)) => println!("{}: done", done.place),
            Ok(Event::AttemptFailed(failed)) => println!("{}: {}", failed.place, failed.failure),
            _ => {}
        }
    }
    println!("{id} is {}", engine.find(&key).await?.head().await?.status);
    Ok(ExitCode::SUCCESS)
}
