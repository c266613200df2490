//! One request to many runs: the runs are listed first, then each is asked.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Head, MessageId, Payload, Query, RunKey};
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::limits::system::digest;
use crate::exec::requests::Sent;
use crate::exec::{limits, requests};
use crate::run::preview::Preview;
use crate::run::request::Ask;

/// How many runs are asked at once.
const AT_ONCE: usize = 16;
/// How long one run's owner is waited for where there are others to be asked: long enough for one that hangs to lose a run that
/// is to be ended at once.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs that were listed to be asked together. Store it to ask the same ones again: each has the same request once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Names the selection: asked again for the same under the same id, a run is not asked twice.
    pub id: MessageId,
    /// The runs.
    pub runs: Vec<RunKey>,
    /// Whether there were no more.
    pub is_complete: bool,
}

/// What a request would do to the runs of a selection.
#[derive(Debug, Serialize)]
pub struct BulkPreview {
    /// How many runs would be asked.
    pub runs: usize,
    /// What it would do to the first of them.
    pub sample: Vec<(RunKey, Preview)>,
}

/// What became of a request to one of many runs.
#[derive(Debug)]
pub struct Asked {
    /// The run.
    pub run: RunKey,
    /// Its head after the request was answered, or why it was not carried out.
    pub outcome: Result<Head, Error>,
}

/// What became of a request to many runs within some time.
#[derive(Debug)]
pub struct AskedInTime {
    /// Those that were asked, in the order of the selection.
    pub asked: Vec<Asked>,
    /// Those that it did not come to: ask them under the same id.
    pub left: Vec<RunKey>,
}

/// Lists at most `limit` runs.
pub(crate) async fn select(core: &Core, query: &Query, limit: usize) -> Result<Selection, Error> {
    select_where(core, query, limit, |_| true).await
}

/// Lists at most `limit` runs of those whose heads are wanted.
pub(crate) async fn select_where(
    core: &Core,
    query: &Query,
    limit: usize,
    is_wanted: impl Fn(&Head) -> bool,
) -> Result<Selection, Error> {
    let id = MessageId::new(Uuid::now_v7().simple().to_string())?;
    let mut selection = Selection { id, runs: Vec::new(), is_complete: false };
    let (mut listed, mut after) = (HashSet::new(), None);
    while selection.runs.len() < limit {
        let wanted = (limit - selection.runs.len()).min(PAGE_ITEMS_MAX);
        let page = limits::list(core, query, after, wanted).await?;
        // A run that changes while the pages are read may be on two of them.
        for head in page.items {
            if is_wanted(&head) && listed.insert(head.key.clone()) {
                selection.runs.push(head.key);
            }
        }
        after = page.next;
        if after.is_none() {
            selection.is_complete = true;
            break;
        }
    }
    Ok(selection)
}

/// What the request would do to the first `sample` runs.
pub(crate) async fn dry_run(
    core: &Core,
    selection: &Selection,
    ask: &Ask,
    sample: usize,
) -> Result<BulkPreview, Error> {
    let mut previews = Vec::new();
    for run in selection.runs.iter().take(sample) {
        match requests::dry_run(core, run, ask).await {
            Ok(preview) => previews.push((run.clone(), preview)),
            // Removed since it was listed.
            Err(Error::NoSuchRun(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(BulkPreview { runs: selection.runs.len(), sample: previews })
}

/// The id under which the runs of a selection have a request: another one is another request, also of the same runs. Who asks it
/// and why makes no difference.
fn id_of(selection: &Selection, ask: &Ask) -> Result<MessageId, Error> {
    let step = ask.place.as_ref().map(ToString::to_string).unwrap_or_default();
    let value = ask.value.as_ref().map(Payload::text).unwrap_or_default();
    let code = ask.code.as_ref().map(ToString::to_string).unwrap_or_default();
    let parts = [selection.id.as_str(), ask.verb.as_str(), &step, value, &code];
    Ok(MessageId::new(digest(&parts))?)
}

/// Asks each run, and tells what became of each, in the order of the selection.
pub(crate) async fn ask_all(core: &Arc<Core>, selection: &Selection, ask: &Ask) -> Vec<Asked> {
    // Each future owns its run: one that borrowed it from the closure could not be sent to another thread.
    let asked = selection.runs.iter().cloned().map(|run| async move {
        let outcome = async {
            let id = id_of(selection, ask)?;
            requests::ask_as(core, &run, ask.clone(), id, true).await
        };
        Asked { outcome: outcome.await, run }
    });
    stream::iter(asked).buffered(AT_ONCE).collect().await
}

/// Asks runs as long as there is time, and tells what became of each.
pub(crate) async fn ask_within(
    core: &Arc<Core>,
    selection: &Selection,
    ask: &Ask,
    within: Duration,
) -> AskedInTime {
    let until = Instant::now() + within;
    let told = selection.runs.iter().cloned().map(|run| async move {
        let outcome = ask_until(core, &run, ask, selection, until, within / 2).await;
        (run, outcome)
    });
    let told: Vec<_> = stream::iter(told).buffered(AT_ONCE).collect().await;
    let mut in_time = AskedInTime { asked: Vec::new(), left: Vec::new() };
    for (run, outcome) in told {
        match outcome {
            Some(outcome) => in_time.asked.push(Asked { run, outcome }),
            None => in_time.left.push(run),
        }
    }
    in_time
}

/// Asks a run if there is still time; `None` when there is none, or when the store has not said for longer than `slack` after it
/// whether the run has the request.
async fn ask_until(
    core: &Arc<Core>,
    run: &RunKey,
    ask: &Ask,
    selection: &Selection,
    until: Instant,
    slack: Duration,
) -> Option<Result<Head, Error>> {
    if Instant::now() >= until {
        return None;
    }
    // What is on its way is waited for: whether the run has it is to be told.
    let id = match id_of(selection, ask) {
        Ok(id) => id,
        Err(error) => return Some(Err(error)),
    };
    let sent = requests::send(core, run, ask.clone(), id, true);
    let sent = tokio::time::timeout_at(until + slack, sent).await.ok()?;
    Some(match sent {
        Err(error) => Err(error),
        Ok(Sent::Answered(head)) => Ok(head),
        Ok(Sent::Posted(posted)) => {
            let until = until.min(Instant::now() + PATIENCE);
            let answered = tokio::time::timeout_at(until, posted.answered(core)).await;
            answered.unwrap_or_else(|_| Err(Error::NoAnswerYet { key: run.clone() }))
        }
    })
}
