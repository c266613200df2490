//! The best that a plain workflow loop could do: twelve durable records for a run, each made as JSON, the next step
//! only after the one before is on the disk. No engine: no lookup, no leases, no retries, nothing to recover with.

use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Failure;
use crate::bare::{Appender, Committer, FileLog};
use crate::flow::{Parcel, STEPS};
use crate::load::{Pace, Sample, drive};
use crate::place::Place;

/// What a plain loop would write for an event: about 285 bytes of JSON.
#[derive(Debug, Serialize)]
struct Event<'a> {
    tenant: &'a str,
    run: &'a str,
    seq: u32,
    kind: &'a str,
    workflow: &'a str,
    step: &'a str,
    attempt: u32,
    worker: &'a str,
    at: u64,
    elapsed_ms: u64,
    output: &'a Parcel,
}

/// One run of the loop.
async fn run(log: &Appender, nth: u64) -> Result<(), Failure> {
    let name = format!("run-{nth}");
    let mut parcel = Parcel::of(nth);
    for seq in 0..STEPS + 2 {
        let kind = match seq {
            0 => "run_created",
            last if last == STEPS + 1 => "run_succeeded",
            _ => {
                parcel = Parcel { step: parcel.step + 1, ..parcel };
                "step_succeeded"
            }
        };
        let at = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        let event = Event {
            tenant: "default",
            run: &name,
            seq,
            kind,
            workflow: "chain",
            step: "step-01",
            attempt: 1,
            worker: "w-0123456789ab",
            at,
            elapsed_ms: 0,
            output: &parcel,
        };
        log.append(nth, serde_json::to_vec(&event)?).await?;
    }
    Ok(())
}

/// Measures the loop on a new file.
pub(crate) async fn measure(place: &Place, concurrency: usize, pace: Pace) -> Result<Sample<()>, Failure> {
    let committer = Committer::start(FileLog::create(&place.file("ceiling"))?)?;
    let log = committer.appender();
    let once = move |nth| {
        let log = log.clone();
        async move { run(&log, nth).await }
    };
    let sample = drive(concurrency, pace, || Ok(()), once).await;
    // The error of the log says more than that of the clients it left.
    committer.finish()?;
    sample
}

/// Measures how fast records of `bytes` get into the bare store, in rounds of as many as a run writes; `None` where
/// there is no bare store.
pub(crate) async fn measure_floor(
    place: &Place,
    concurrency: usize,
    pace: Pace,
    bytes: usize,
    writes: usize,
) -> Result<Option<Sample<()>>, Failure> {
    let Some(committer) = place.bare()? else { return Ok(None) };
    let log = committer.appender();
    let once = move |nth| {
        let log = log.clone();
        async move {
            for _ in 0..writes {
                log.append(nth, payload(nth, bytes)).await?;
            }
            Ok(())
        }
    };
    let sample = drive(concurrency, pace, || Ok(()), once).await;
    committer.finish()?;
    sample.map(Some)
}

/// Bytes that differ from run to run.
fn payload(nth: u64, bytes: usize) -> Vec<u8> {
    let mut payload = vec![b'x'; bytes];
    let mark = nth.to_le_bytes();
    let end = mark.len().min(bytes);
    payload[..end].copy_from_slice(&mark[..end]);
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_the_loop_is_as_long_as_one_of_an_engine() {
        let parcel = Parcel::of(7);
        let event = Event {
            tenant: "default",
            run: "run-12345",
            seq: 7,
            kind: "step_succeeded",
            workflow: "chain",
            step: "step-01",
            attempt: 1,
            worker: "w-0123456789ab",
            at: 1_800_000_000_000,
            elapsed_ms: 0,
            output: &parcel,
        };
        let bytes = serde_json::to_string(&event).expect("json").len();
        assert!((270..=300).contains(&bytes), "{bytes}");
    }
}
