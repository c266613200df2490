//! How far the work is: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// How far the work is. Clones are the same progress.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bar: ProgressBar,
    is_terminal: bool,
    last_line: Mutex<Instant>,
}

impl Progress {
    /// A progress that shows nothing before there is a total.
    #[must_use]
    pub fn new() -> Self {
        let is_terminal = stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        // A template that indicatif does not take would be found by whoever changes it: the default still works.
        if let Ok(style) = ProgressStyle::with_template("  {bar:32} {pos} of {len}, {eta} left") {
            bar.set_style(style.progress_chars("█▌░"));
        }
        Self(Arc::new(Inner { bar, is_terminal, last_line: Mutex::new(Instant::now()) }))
    }

    /// Says how much there is to do and how much of it is done already, and begins to show it.
    pub fn begin(&self, done: u64, total: u64) {
        self.0.bar.set_length(total);
        self.0.bar.set_position(done);
        self.0.bar.reset_eta();
        if self.0.is_terminal {
            self.0.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Counts one more as done.
    pub fn done(&self) {
        self.0.bar.inc(1);
        if self.0.is_terminal {
            return;
        }
        let mut last = self.0.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            eprintln!("  {} of {}", self.0.bar.position(), self.0.bar.length().unwrap_or_default());
        }
    }

    /// Shows nothing any more.
    pub fn end(&self) {
        self.0.bar.finish_and_clear();
    }

    /// Does something else with the terminal, such as printing a line.
    pub fn aside<T>(&self, other: impl FnOnce() -> T) -> T {
        self.0.bar.suspend(other)
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
