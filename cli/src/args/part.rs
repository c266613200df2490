//! Which part of a list is wanted.

use clap::Args;

/// How many items a list has when nobody says how many.
pub(crate) const LIMIT: u32 = 50;

/// Which part of a list that grows without end.
#[derive(Debug, Clone, Args)]
pub(crate) struct PartArgs {
    /// How many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = LIMIT, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// All of them, page by page; with `-o jsonl` each page is printed as it comes
    #[arg(short, long, conflicts_with = "limit")]
    pub(crate) all: bool,
    /// Goes on where a list before ended
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
}

/// Which part of a list that belongs to one run.
#[derive(Debug, Clone, Args)]
pub(crate) struct OwnPartArgs {
    /// How many at most; all when missing
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Goes on where a list before ended
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
}

/// A part of a list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    /// How many items at most; all when missing.
    pub(crate) limit: Option<usize>,
    /// Where it begins; at the beginning when missing.
    pub(crate) cursor: Option<String>,
}

fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

impl From<PartArgs> for Part {
    fn from(args: PartArgs) -> Self {
        Self { limit: (!args.all).then(|| count(args.limit)), cursor: args.cursor }
    }
}

impl From<OwnPartArgs> for Part {
    fn from(args: OwnPartArgs) -> Self {
        Self { limit: args.limit.map(count), cursor: args.cursor }
    }
}
