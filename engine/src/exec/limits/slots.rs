//! The runs that count for the limits of a queue, as the integrity check sees and frees them.

use std::sync::Arc;

use stepwell_contract::{Batch, Fence, Head, Kind, Name, Payload, PayloadError, Record, RunKey, Timestamp};

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::limits::line;
use crate::exec::limits::roster::Roster;
use crate::exec::limits::system::{self, Sort};

/// Who counts for the limits that a head keeps, and under which fence; nobody where it keeps none. Room that is only kept for
/// a run lapses by itself.
///
/// # Errors
/// The head is damaged.
pub(crate) fn held(head: &Head) -> Result<Vec<(RunKey, Fence)>, PayloadError> {
    if !keeps_limits(head) {
        return Ok(Vec::new());
    }
    let roster: Roster = head.summary.decode()?;
    let held = roster.held.into_iter().filter(|holder| holder.until.is_none());
    Ok(held.map(|holder| (holder.run, holder.fence)).collect())
}

fn keeps_limits(head: &Head) -> bool {
    system::is_own(&head.key) && Sort::Queue.key(&[head.queue.as_str()]).is_ok_and(|key| key == head.key)
}

/// The write that counts a run no longer, with a record that says so; `None` when it does not count under that fence.
///
/// # Errors
/// The head is damaged.
pub(crate) fn without(
    head: &Head,
    holder: &RunKey,
    fence: Fence,
    said: Payload,
    now: Timestamp,
) -> Result<Option<Batch>, PayloadError> {
    let mut roster: Roster = head.summary.decode()?;
    if !keeps_limits(head) || !roster.free(holder, fence) {
        return Ok(None);
    }
    let mut freed = head.clone();
    freed.version = head.version.next(fastrand::u64(..));
    freed.summary = Payload::encode(&roster)?;
    freed.updated_at = now;
    freed.next_seq = head.next_seq.plus(1);
    let record = Record::new(head.next_seq, Kind::of("slot_freed"), now, 1, said);
    Ok(Some(Batch::replace(head.version, freed, vec![record])))
}

/// Hands on what room there is to those who wait.
///
/// # Errors
/// [`Error::Store`]: who waits looks again by itself.
pub(crate) async fn hand_on(core: &Arc<Core>, queue: &Name) -> Result<(), Error> {
    let gate = core.limits.gate(queue)?;
    // What this process knew is not what is stored any more.
    gate.state.read(core).await?;
    line::serve(core, &gate, None).await
}
