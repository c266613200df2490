//! What callers have changed, as whoever answers them tells it: who asked for what, and how that ended. What happens to runs is in
//! their journals as well; this is also of what has none, such as logins. Each day has a head of the engine's own, and the newest
//! days are kept.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Batch, Clock, Head, Kind, Name, Payload, Record, RunKey, Seq, Timestamp, Verdict};

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::engine::Engine;
use crate::exec::limits::system::Sort;
use crate::exec::limits::{forget, heads_of};
use crate::run::actor::Actor;
use crate::run::notes::within;

/// How many days are kept.
pub const DAYS_MAX: usize = 90;
/// Most deeds that are kept of a day: what comes behind them is told to the log of the program alone.
pub const OF_A_DAY_MAX: u64 = 100_000;
/// Most deeds of one write.
const AT_ONCE_MAX: usize = 500;
/// Longest text of a deed, in bytes.
const TEXT_BYTES_MAX: usize = 512;
const DAY_MS: i64 = 86_400_000;
const DONE: Kind = Kind::of("deed");

/// Something that a caller has asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// Who; nobody where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// What, such as `POST /api/v1/queues/{queue}/pause`. Cut at 512 bytes, as are the other texts.
    pub what: String,
    /// About what, such as `/api/v1/queues/mail/pause`. It holds no secret.
    pub about: String,
    /// How it ended, such as `200`.
    pub outcome: String,
    /// How the log of the program names the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// A deed, and when it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundDeed {
    /// When, by the clock of whoever wrote it.
    pub at: Timestamp,
    /// What was done.
    #[serde(flatten)]
    pub deed: Deed,
}

/// A place in the list of deeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeedCursor {
    day: i64,
    before: Seq,
}

/// A page of deeds, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeedPage {
    /// The deeds.
    pub items: Vec<FoundDeed>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<DeedCursor>,
}

impl Deed {
    fn bounded(&self) -> Self {
        let cut = |text: &String| within(text.clone(), TEXT_BYTES_MAX);
        Self {
            actor: self.actor.clone(),
            what: cut(&self.what),
            about: cut(&self.about),
            outcome: cut(&self.outcome),
            request: self.request.as_ref().map(cut),
        }
    }
}

impl Engine {
    /// Keeps what callers have done: durable once this returns, for [`DAYS_MAX`] days, and of a day at most [`OF_A_DAY_MAX`].
    ///
    /// # Errors
    /// [`Error::Store`], after which some of them may be kept.
    ///
    /// # Cancellation
    /// Dropping the future leaves some of them kept and others not.
    pub async fn note_deeds(&self, deeds: &[Deed]) -> Result<(), Error> {
        for some in deeds.chunks(AT_ONCE_MAX) {
            note(self.core(), some).await?;
        }
        Ok(())
    }

    /// A page of at most `limit` deeds, the newest first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn deeds(&self, after: Option<DeedCursor>, limit: usize) -> Result<DeedPage, Error> {
        let backend = &self.core().backend;
        let mut days = days(self.core()).await?;
        days.retain(|(day, _)| after.is_none_or(|after| *day <= after.day));
        let mut items = Vec::new();
        for (day, head) in days {
            let mut before =
                after.filter(|after| after.day == day).map_or(head.next_seq, |after| after.before);
            while before > Seq::FIRST {
                let wanted = (limit - items.len()).min(PAGE_ITEMS_MAX);
                if wanted == 0 {
                    return Ok(DeedPage { items, next: Some(DeedCursor { day, before }) });
                }
                let from = Seq(before.0.saturating_sub(u64::try_from(wanted).unwrap_or(u64::MAX)).max(1));
                let records = backend.journal(&head.key, from, wanted).await?;
                for record in records.iter().rev().filter(|record| record.seq < before) {
                    items.push(FoundDeed { at: record.at, deed: record.payload.decode()? });
                }
                before = from;
            }
        }
        Ok(DeedPage { items, next: None })
    }
}

/// The days that there are, the newest first, each with its head.
async fn days(core: &Core) -> Result<Vec<(i64, Head)>, Error> {
    let heads = heads_of(core, Sort::Trail).await?.into_iter();
    let days = heads.map(|head| Ok((head.summary.decode()?, head)));
    let mut days = days.collect::<Result<Vec<(i64, Head)>, Error>>()?;
    days.sort_by_key(|(day, _)| Reverse(*day));
    Ok(days)
}

async fn note(core: &Core, deeds: &[Deed]) -> Result<(), Error> {
    loop {
        let now = core.time.now();
        let day = now.0.div_euclid(DAY_MS);
        let key: RunKey = Sort::Trail.key(&[&day.to_string()])?;
        let present = core.backend.head(&key).await?;
        let is_first = present.is_none();
        let before = match &present {
            Some(head) if head.next_seq.0 > OF_A_DAY_MAX => {
                tracing::warn!(
                    deeds = deeds.len(),
                    "the trail of today is full: what callers do is not kept"
                );
                return Ok(());
            }
            Some(head) => head.clone(),
            None => Head {
                summary: Payload::encode(&day)?,
                ..Sort::Trail.head(key, &Name::new("default")?, now)?
            },
        };
        let mut records = Vec::with_capacity(deeds.len());
        for deed in deeds {
            let said = Payload::encode(&deed.bounded())?;
            records.push(Record::new(before.next_seq.plus(records.len()), DONE, now, 1, said));
        }
        let head = Head {
            version: before.version.next(fastrand::u64(..)),
            next_seq: before.next_seq.plus(records.len()),
            updated_at: now,
            ..before.clone()
        };
        let batch = match is_first {
            true => Batch::create(head, records),
            false => Batch::replace(before.version, head, records),
        };
        if let Verdict::Accepted = core.committer.commit(batch).await? {
            if is_first {
                for (_, old) in days(core).await?.into_iter().skip(DAYS_MAX) {
                    forget(core, &old).await?;
                }
            }
            return Ok(());
        }
    }
}
