//! Keeps the outlines of what this engine has registered. They are written when it begins to work, where the store does not have them
//! as they are: an engine that is started again writes nothing. Whoever writes last counts.

use std::sync::Arc;

use stepwell_contract::{Batch, Clock, Head, Kind, Name, Payload, Record, Verdict};

use crate::error::Error;
use crate::exec::core::{Core, is_built_in};
use crate::exec::limits::forget;
use crate::exec::limits::system::{Sort, digest};
use crate::exec::outlines::{Told, key};
use crate::workflow::outline::Outline;

/// The kind of the record that holds an outline.
const OUTLINED: Kind = Kind::of("workflow_outlined");
/// After how long a store that failed is tried again, in milliseconds.
const RETRY_MS: u64 = 1_000;
/// Records of an outline from which on its journal begins anew: a definition can change often under one version while it is made.
const RECORDS_MAX: u64 = 50;

/// Keeps them, until the store has all or the engine stops; not where the engine is to tell nothing.
pub(crate) async fn keep(core: Arc<Core>) {
    if core.options.heartbeat_ms == 0 {
        return;
    }
    let registered = core.definitions.all();
    let own = registered
        .values()
        .filter(|known| known.posted.is_none() && !is_built_in(known.definition.name()))
        .map(|known| Outline::of(&known.definition, core.options.step));
    let mut left: Vec<Outline> = own.collect();
    left.sort_by_key(Outline::reference);
    loop {
        let mut failed = Vec::new();
        for outline in left {
            match tell(&core, &outline).await {
                Ok(()) => {}
                Err(Error::Store(error)) => {
                    tracing::debug!(workflow = %outline.name, %error, "an outline could not be kept");
                    failed.push(outline);
                }
                Err(error) => {
                    let Outline { name, version, .. } = outline;
                    tracing::warn!(workflow = %name, version, %error, "engines that do not have the workflow do not learn of it");
                }
            }
        }
        left = failed;
        if left.is_empty() {
            return;
        }
        tokio::select! {
            () = core.time.sleep(RETRY_MS) => {}
            () = core.stopping.cancelled() => return,
        }
    }
}

/// Writes an outline where the store does not have it as it is.
async fn tell(core: &Core, outline: &Outline) -> Result<(), Error> {
    let payload = payload(outline)?;
    let digest = digest(&[payload.text()]);
    let key = key(&outline.reference())?;
    loop {
        let stored = core.backend.head(&key).await?;
        let told = stored.as_ref().and_then(|head| head.summary.decode::<Told>().ok());
        if told.is_some_and(|told| told.digest == digest) {
            return Ok(());
        }
        if let Some(long) = stored.as_ref().filter(|head| head.next_seq.0 > RECORDS_MAX) {
            forget(core, long).await?;
            continue;
        }
        let now = core.time.now();
        let before = stored.as_ref().map(|head| head.version);
        let head = match stored {
            Some(head) => head,
            None => Sort::Outline.head(key.clone(), &Name::new("default")?, now)?,
        };
        let told = Told {
            workflow: outline.reference(),
            record: head.next_seq,
            digest: digest.clone(),
            worker: core.worker.clone(),
            at: now,
        };
        let record = Record::new(head.next_seq, OUTLINED, now, 1, payload.clone());
        let head = Head {
            version: head.version.next(fastrand::u64(..)),
            next_seq: head.next_seq.plus(1),
            updated_at: now,
            summary: Payload::encode(&told)?,
            ..head
        };
        let batch = match before {
            None => Batch::create(head, vec![record]),
            Some(before) => Batch::replace(before, head, vec![record]),
        };
        if core.committer.commit(batch).await? == Verdict::Accepted {
            return Ok(());
        }
    }
}

/// What is stored of an outline: only what reads as the same again.
fn payload(outline: &Outline) -> Result<Payload, Error> {
    let payload = Payload::encode(outline)?;
    match payload.decode::<Outline>() {
        Ok(read) if read == *outline => Ok(payload),
        Ok(_) => Err(Error::Internal("its outline reads as another one".to_owned())),
        Err(error) => Err(error.into()),
    }
}
