//! What callers send to the writer.

use std::ops::Range;

use stepwell_contract::{BackendError, Batch, Claim, Head, MessageId, RunKey, Seq, Timestamp, Verdict};
use tokio::sync::oneshot::Sender;

use crate::entry;

type Reply<T> = Sender<Result<T, BackendError>>;

/// One call that writes.
#[derive(Debug)]
pub(crate) enum Request {
    Commit(Vec<Prepared>, Vec<u8>, Reply<Vec<Verdict>>),
    Claim(Claim, Reply<Vec<Head>>),
    Remove(Vec<RunKey>, Reply<usize>),
    Close,
}

/// A batch with its line, made by the caller so that the one writer need not.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What there is to judge: the head as stamped, of the records the first only.
    pub(crate) batch: Batch,
    pub(crate) records: u16,
    pub(crate) first: Option<Seq>,
    pub(crate) post: Vec<MessageId>,
    /// Its line, unsealed, among those of the call.
    pub(crate) line: Range<usize>,
}

/// Checks the batches and writes their lines.
///
/// # Errors
/// `Definite` when one of them contradicts itself or is over a limit.
pub(crate) fn prepare(batches: &[Batch], now: Timestamp) -> Result<(Vec<Prepared>, Vec<u8>), BackendError> {
    for batch in batches {
        batch.check()?;
    }
    let mut lines = Vec::with_capacity(batches.len() * 1_024);
    let mut prepared = Vec::with_capacity(batches.len());
    for batch in batches {
        let head = batch.head.as_ref().map(|head| head.stamped(now));
        let start = lines.len();
        entry::write_batch(&mut lines, batch, head.as_ref());
        prepared.push(Prepared {
            records: u16::try_from(batch.append.len()).expect("`check` has limited the records"),
            first: batch.append.first().map(|record| record.seq),
            post: batch.post.iter().map(|message| message.id.clone()).collect(),
            line: start..lines.len(),
            batch: Batch {
                key: batch.key.clone(),
                guard: batch.guard,
                head,
                append: batch.append.first().cloned().into_iter().collect(),
                post: Vec::new(),
                take: batch.take.clone(),
            },
        });
    }
    Ok((prepared, lines))
}
