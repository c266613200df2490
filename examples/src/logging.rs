//! Log lines: to stderr, as `RUST_LOG` says, above the progress bar.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use crate::progress::Progress;

/// Sends log lines to stderr from here on. `RUST_LOG` says which; without it, warnings and errors.
///
/// The engine's own warnings about failed attempts and lost workers are left out by default: the examples report those
/// themselves. `RUST_LOG=warn` shows them.
pub fn start(progress: &Progress) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,stepwell::exec=error"));
    let progress = progress.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(move || AboveBar(progress.clone()))
        .init();
}

/// Writes a line where the progress bar does not overwrite it.
struct AboveBar(Progress);

impl Write for AboveBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.aside(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
