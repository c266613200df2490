//! How long work gets on: a bar on a terminal, a line at each change elsewhere. Always on stderr.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{is_watched, note};

/// Shows how work gets on.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    said: String,
    /// Whether changes are told line by line where there is no bar.
    is_told: bool,
}

impl Progress {
    /// Begins. `is_told`: whether changes are told line by line where there is no terminal.
    pub(crate) fn begin(is_told: bool) -> Self {
        let has_bar = is_watched() && crate::target::variable("CI").is_none();
        let bar = has_bar.then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(spinner());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, said: String::new(), is_told }
    }

    /// Says where it is, and how much is done, in percent, where that is known.
    pub(crate) fn say(&mut self, text: String, percent: Option<f64>) {
        match &self.bar {
            Some(bar) => {
                if let Some(percent) = percent {
                    bar.set_style(share());
                    bar.set_length(100);
                    bar.set_position(percent.clamp(0.0, 100.0) as u64);
                }
                bar.set_message(text);
            }
            None if self.is_told && text != self.said => {
                note(&text);
                self.said = text;
            }
            None => {}
        }
    }

    /// Does something that prints, with the bar out of the way.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg} ({elapsed})")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn share() -> ProgressStyle {
    let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg} ({elapsed})");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}
