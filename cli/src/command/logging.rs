//! What is logged to stderr, and how much of it.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::args::own::LogForm;
use crate::failure::Failure;

/// Who reads it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reader {
    /// Whoever gave a command: only what is wrong beside the answer.
    Caller,
    /// Whoever runs a server.
    Operator(LogForm),
}

/// Begins. `RUST_LOG` decides over flags.
pub(super) fn start(verbose: u8, reader: Reader) -> Result<(), Failure> {
    let default = match (reader, verbose) {
        // What the router in this process refuses is told as the answer.
        (Reader::Caller, 0) => "warn,stepwell_server=off",
        (Reader::Caller, 1) | (Reader::Operator(_), 0) => "info",
        (_, 1) => "info,stepwell=debug,stepwell_server=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().or_else(|error| match std::env::var_os("RUST_LOG") {
        Some(text) if !text.is_empty() => Err(Failure::usage(format!("RUST_LOG: {error}"))),
        _ => Ok(EnvFilter::new(default)),
    })?;
    let lines = fmt().with_env_filter(filter).with_writer(stderr);
    let started = match reader {
        Reader::Operator(LogForm::Json) => lines.json().try_init(),
        Reader::Operator(LogForm::Text) => lines.with_ansi(has_color()).try_init(),
        Reader::Caller => lines.with_ansi(has_color()).without_time().with_target(false).try_init(),
    };
    started.map_err(|error| Failure::Other(error.to_string()))
}

fn has_color() -> bool {
    stderr().is_terminal() && anstream::AutoStream::choice(&stderr()) != anstream::ColorChoice::Never
}
