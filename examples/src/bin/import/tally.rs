//! How the items of a session stand, read back from their runs.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use stepwell::contract::{Head, Name, Query, Status};
use stepwell::run::summary::Summary;
use stepwell::{Error, RunError, Runs};

use crate::item::{ITEM, Outcome};

/// The tag that names an item's session.
pub(crate) const SESSION_TAG: &str = "session";
/// Most failures that are told one by one.
const FAILURES_MAX: usize = 50;
/// Heads read at once, and results.
const PAGE: usize = 1_000;
const READS: usize = 32;

/// How the items of a session stand.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) imported: usize,
    pub(crate) duplicates: usize,
    pub(crate) failed: usize,
    /// Those that have begun and not ended.
    pub(crate) unfinished: usize,
    /// Why the first of the failed ones failed.
    pub(crate) failures: Vec<String>,
}

/// Adds up the items of a session.
pub(crate) async fn tally(runs: &Runs, session: &str) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let heads = items(runs, session).await?;
    let mut ended = Vec::new();
    for head in heads {
        match head.status {
            Status::Succeeded => ended.push(head),
            // A held item waits for a person; the session does not.
            Status::Failed | Status::Cancelled | Status::Paused => {
                tally.failed += 1;
                if tally.failures.len() < FAILURES_MAX {
                    tally.failures.push(trouble(&head));
                }
            }
            Status::Queued | Status::Running | Status::Waiting | Status::Cancelling => tally.unfinished += 1,
        }
    }
    let outcomes = stream::iter(ended).map(|head| outcome(runs, head)).buffer_unordered(READS);
    let outcomes: Vec<Option<Outcome>> = outcomes.try_collect().await?;
    for outcome in outcomes {
        match outcome {
            Some(Outcome::Imported(_)) => tally.imported += 1,
            Some(Outcome::Duplicate(_)) => tally.duplicates += 1,
            None => tally.failed += 1,
        }
    }
    tally.failures.sort();
    Ok(tally)
}

/// The heads of the items of a session.
pub(crate) async fn items(runs: &Runs, session: &str) -> Result<Vec<Head>, Error> {
    let query = Query {
        workflow: Some(Name::new(ITEM)?),
        tag: Some((Name::new(SESSION_TAG)?, session.to_owned())),
        ..Query::default()
    };
    let mut heads = Vec::new();
    let mut after = None;
    loop {
        let page = runs.list(&query, after, PAGE).await?;
        heads.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(heads);
        }
    }
}

async fn outcome(runs: &Runs, head: Head) -> Result<Option<Outcome>, Error> {
    match runs.find(&head.key).await?.result().await {
        Ok(outcome) => Ok(Some(outcome)),
        Err(RunError::Engine(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

fn trouble(head: &Head) -> String {
    let summary = head.summary.decode::<Summary>().unwrap_or_default();
    let path = head.tags.iter().find(|(name, _)| name.as_str() == "path").map(|(_, path)| path.as_str());
    match (summary.trouble, path) {
        // The steps name the file themselves; what the engine says does not.
        (Some(trouble), _) if trouble.message.starts_with("cannot ") => trouble.message,
        (Some(trouble), Some(path)) => format!("{path}: {}", trouble.message),
        (_, path) => format!("{}: {}", path.unwrap_or(head.key.run.as_str()), head.status),
    }
}
