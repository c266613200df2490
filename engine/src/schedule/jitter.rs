//! How long after its time a run is started, so that many schedules do not start theirs at once.

use sha2::{Digest, Sha256};
use stepwell_contract::{Name, Timestamp};

use crate::schedule::calendar::Calendar;

/// When the run of a time is started: up to `jitter_ms` later than the time, and always before the next time. It is the same at
/// every call, so that a crash does not move it.
#[must_use]
pub fn started_at(schedule: &Name, calendar: &Calendar, jitter_ms: u64, time: Timestamp) -> Timestamp {
    if jitter_ms == 0 {
        return time;
    }
    let gap_ms = calendar.next_after(time).map_or(jitter_ms, |next| next.since_ms(time));
    let mut digest = Sha256::new();
    digest.update(schedule.as_str());
    digest.update(time.0.to_be_bytes());
    let drawn = digest.finalize();
    let drawn = u64::from_be_bytes(drawn[..8].try_into().expect("a digest of 32 bytes has 8"));
    time.plus_ms(drawn % jitter_ms.min(gap_ms).max(1))
}
