//! Starts under a key: one run at a time, one in a stretch of time, or one for many starts in a row.
//!
//! The key's head names the run before the run is made, with all that making it needs. So whoever finds a run named that is
//! not there makes it: a crash between the two writes loses nothing and makes nothing twice.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell_contract::{Clock, Head, Kind, Payload, RunKey, Status, Timestamp};

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::limits::gate::{Change, Kept};
use crate::exec::limits::system::Sort;
use crate::exec::{requests, start};
use crate::run::event::{RunCreated, StartMoved};
use crate::run::summary::Summary;

/// How long a run that is named and was not made is made by whoever comes, in milliseconds: later it was removed.
const UNMADE_MS: u64 = 24 * 3_600_000;
/// How often, and how many times, a run that is just being claimed is looked at again.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 25;

/// What a start under a key finds there.
#[derive(Debug, Clone)]
pub(crate) struct Once {
    pub(crate) key: String,
    pub(crate) rule: Rule,
}

/// When a start under a key makes a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    /// When the earlier one has ended.
    Singleton,
    /// When the earlier start was so long ago, in milliseconds.
    Dedup { window_ms: u64 },
    /// When the earlier one has begun.
    Debounce { quiet_ms: u64, max_wait_ms: u64 },
}

impl Rule {
    fn as_str(self) -> &'static str {
        match self {
            Self::Singleton => "singleton",
            Self::Dedup { .. } => "dedup",
            Self::Debounce { .. } => "debounce",
        }
    }
}

/// The latest start under a key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Latest {
    run: Option<RunKey>,
    #[serde(default)]
    at: Timestamp,
    /// Whether the run was made after it was named.
    #[serde(default)]
    is_made: bool,
}

/// All that making a run needs.
#[derive(Debug, Serialize, Deserialize)]
struct Intent {
    head: Head,
    created: RunCreated,
}

/// Starts a run under a key, or finds the one that stands for it. Returns its key, and whether it was made.
///
/// # Cancellation
/// Dropping the future leaves the run started or not: call it again.
pub(crate) async fn start_once(
    core: &Arc<Core>,
    once: &Once,
    head: Head,
    created: RunCreated,
    now: Timestamp,
) -> Result<(RunKey, bool), Error> {
    let parts = [once.rule.as_str(), head.workflow.as_str(), head.key.tenant.as_str(), &once.key];
    let kept = Kept::<Latest>::new(Sort::Start, Sort::Start.key(&parts)?, head.queue.clone());
    loop {
        let latest = kept.read(core).await?;
        if let Some(earlier) = standing(core, &kept, &latest).await? {
            let stands = match once.rule {
                Rule::Singleton => !earlier.status.is_finished(),
                Rule::Dedup { window_ms } => now < latest.at.plus_ms(window_ms),
                Rule::Debounce { quiet_ms, max_wait_ms } => {
                    let latest_ms = earlier.created_at.plus_ms(max_wait_ms);
                    let not_before = now.plus_ms(quiet_ms).min(latest_ms);
                    let (input, actor) = (created.input.clone(), created.actor.clone());
                    put_off(core, earlier.clone(), StartMoved { not_before, input, actor }).await?
                }
            };
            if stands {
                return Ok((earlier.key, false));
            }
        }
        if core.backend.head(&head.key).await?.is_some() {
            // The same call again.
            return Ok((head.key, false));
        }
        let intent = Payload::encode(&Intent { head: head.clone(), created: created.clone() })?;
        let mine = Latest { run: Some(head.key.clone()), at: now, is_made: false };
        let named = kept.change(core, |stored, _| {
            if *stored != latest {
                return Change::Refuse(false);
            }
            stored.clone_from(&mine);
            Change::Write(true, Some((Kind::of("start_intended"), intent.clone())))
        });
        if named.await? {
            let key = head.key.clone();
            // Somebody else may have made it meanwhile, on behalf of this start.
            start::enqueue(core, head, created, now).await?;
            note_made(core, &kept, &mine).await?;
            return Ok((key, true));
        }
    }
}

/// The head of the run that the key names; it is made where whoever named it did not come to that.
async fn standing(core: &Arc<Core>, kept: &Kept<Latest>, latest: &Latest) -> Result<Option<Head>, Error> {
    let Some(run) = &latest.run else { return Ok(None) };
    let present = core.backend.head(run).await?;
    if present.is_some() || latest.is_made || core.time.now().since_ms(latest.at) > UNMADE_MS {
        return Ok(present);
    }
    let named = requests::head_of(core, kept.key()).await?;
    let last = stepwell_contract::Seq(named.next_seq.0.saturating_sub(1));
    let Some(record) = core.backend.journal(kept.key(), last, 1).await?.pop() else { return Ok(None) };
    record.verify()?;
    let intent: Intent = record.payload.decode()?;
    if intent.head.key == *run {
        start::enqueue(core, intent.head, intent.created, latest.at).await?;
        note_made(core, kept, latest).await?;
    }
    Ok(core.backend.head(run).await?)
}

async fn note_made(core: &Core, kept: &Kept<Latest>, named: &Latest) -> Result<(), Error> {
    let note = |stored: &mut Latest, _| {
        if stored.run != named.run || stored.is_made {
            return Change::Refuse(());
        }
        stored.is_made = true;
        Change::write(())
    };
    kept.change(core, note).await
}

/// Moves the start of a run that has not begun. Returns `false` when it has.
async fn put_off(core: &Arc<Core>, mut head: Head, moved: StartMoved) -> Result<bool, Error> {
    for _ in 0..LOOKS_MAX {
        let has_begun = head.summary.decode::<Summary>().is_ok_and(|summary| summary.begun);
        if head.status != Status::Queued || has_begun {
            return Ok(false);
        }
        // Its worker is about to begin it, or to put it back.
        if head.live_lease(core.time.now()).is_some() {
            core.time.pause(LOOK).await;
        } else if requests::amend(core, &head, moved.clone().into()).await? {
            return Ok(true);
        }
        match core.backend.head(&head.key).await? {
            Some(present) => head = present,
            None => return Ok(false),
        }
    }
    Ok(false)
}
