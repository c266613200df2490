//! Writes something into the store, reads it back and takes it away again.

use std::sync::Arc;
use std::time::Instant;

use stepwell::Engine;
use stepwell::contract::{
    Backend, BackendError, Batch, Fence, Head, Kind, Name, Payload, Record, RunId, RunKey, Seq, Status,
    TenantId, Timestamp, Verdict, Version,
};
use uuid::Uuid;

use crate::command::doctor::Check;
use crate::failure::chain;

const CHECK: &str = "write";
/// The tenant of what is the engine's own: lists of runs leave it out.
const TENANT: &str = "stepwell.system";
/// A write that takes longer, in milliseconds, holds every step up.
const SLOW_MS: u128 = 250;

/// Whether the store takes a write, gives it back and forgets it.
pub(super) async fn probe(engine: &Engine) -> Check {
    let began = Instant::now();
    match cycle(engine.backend(), engine.now()).await {
        Ok(()) => {
            let took_ms = began.elapsed().as_millis();
            let what = format!("a record was written, read and removed in {took_ms} ms");
            if took_ms > SLOW_MS {
                return Check::warn(
                    CHECK,
                    what,
                    "every step waits for such a write: use a faster disk or a nearer store",
                );
            }
            Check::ok(CHECK, what)
        }
        Err(why) => Check::fail(
            CHECK,
            why,
            "free space, make the store writable, or restart it: the message says which",
        ),
    }
}

async fn cycle(backend: &Arc<dyn Backend>, now: Timestamp) -> Result<(), String> {
    let told = |error: BackendError| chain(&error);
    let (batch, key, payload) = batch(now)?;
    let verdicts = backend.commit(&[batch]).await.map_err(told)?;
    if !matches!(verdicts.as_slice(), [Verdict::Accepted]) {
        return Err(format!("a new record was not accepted: {verdicts:?}"));
    }
    let read = backend.journal(&key, Seq::FIRST, 1).await.map_err(told);
    // Also what cannot be read is taken away.
    let removed = backend.remove(std::slice::from_ref(&key)).await.map_err(told)?;
    let read = read?;
    if read.first().map(|record| record.payload.text()) != Some(payload.text()) {
        return Err("what was read is not what was written".to_owned());
    }
    if removed != 1 || backend.head(&key).await.map_err(told)?.is_some() {
        return Err("what was removed is still there".to_owned());
    }
    Ok(())
}

fn batch(now: Timestamp) -> Result<(Batch, RunKey, Payload), String> {
    let text = |error: stepwell::contract::IdError| error.to_string();
    let probe = Uuid::new_v4();
    let name = Name::new("stepwell.doctor").map_err(text)?;
    let run = RunId::new(format!("stepwell.doctor.{}", probe.simple())).map_err(text)?;
    let key = RunKey::new(TenantId::new(TENANT).map_err(text)?, run);
    let payload = Payload::encode(&probe).map_err(|error| error.to_string())?;
    let head = Head {
        key: key.clone(),
        version: Version { counter: 1, nonce: probe.as_u64_pair().0 },
        workflow: name.clone(),
        workflow_version: 1,
        queue: name,
        priority: 0,
        status: Status::Succeeded,
        wake_at: None,
        lease: None,
        fence: Fence::default(),
        next_seq: Seq::FIRST.plus(1),
        created_at: now,
        updated_at: now,
        finished_at: Some(now),
        tags: Arc::default(),
        summary: payload.clone(),
    };
    let record = Record::new(Seq::FIRST, Kind::of("doctor_probe"), now, 1, payload.clone());
    Ok((Batch::create(head, vec![record]), key, payload))
}
