//! Why something is asked, and how carefully.

use clap::Args;

/// Why, and how carefully.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Care {
    /// Why, for the audit log
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Says what it would do, and does nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Does not ask; needed without a terminal for what takes something away or is about many runs
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// The run must not have changed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct IfMatch {
    /// Only if the run has not changed since: the `etag` that `show` gave
    #[arg(long, value_name = "ETAG")]
    pub(crate) if_match: Option<String>,
}

impl IfMatch {
    /// As it is sent.
    pub(crate) fn tag(&self) -> Option<String> {
        self.if_match.as_deref().map(|tag| format!("\"{}\"", tag.trim_matches('"')))
    }
}
