//! What Stepwell costs, beside what a bare log costs. `scripts/bench` builds and runs it.
//!
//! Each setting is measured in a process of its own, together with its references, round by round.
#![forbid(unsafe_code)]

mod bare;
mod ceiling;
mod chain;
mod count;
mod flow;
mod goals;
mod ledger;
mod line;
mod list;
mod load;
mod map;
mod meter;
mod place;
mod plan;
mod recovery;
mod reopen;
mod surfaces;
mod worker;

use std::error::Error;
use std::path::Path;

use crate::plan::Plan;

/// Whatever ends a measurement: nothing here goes on after an error.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Clients are to take as little as they can of the machine that is measured.
    let runtime = match *words.as_slice() {
        ["crowd", ..] => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        _ => tokio::runtime::Runtime::new()?,
    };
    runtime.block_on(async {
        match *words.as_slice() {
            // What this program asks of itself in other processes.
            ["fill", url, finished] => reopen::fill(url, finished.parse()?).await,
            ["reopen", url] => reopen::reopen(url).await,
            ["fill-list", url, runs] => list::fill(url, runs.parse()?).await,
            ["look-pages", url] => surfaces::pages::look(url).await,
            ["look", url] => list::look(url).await,
            ["crowd", address, seconds] => surfaces::crowd::crowd(address, seconds.parse()?).await,
            ["work", url, ledger, runs] => recovery::work(url, Path::new(ledger), runs.parse()?).await,
            ["finish", url, ledger, runs] => recovery::finish(url, Path::new(ledger), runs.parse()?).await,
            ["one", ref rest @ ..] => plan::one(rest).await,
            ref options => Plan::read(options)?.run(),
        }
    })
}
