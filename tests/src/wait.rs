//! Waiting for an event: looks until it is there, and fails when it takes too long.

use std::time::{Duration, Instant};

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Returns what `look` finds, as soon as it finds something.
///
/// # Errors
/// Names what did not come within `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() >= until {
            return Err(format!("{what} did not come within {} ms", limit.as_millis()));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// As [`wait_for`], for looks that are futures.
///
/// # Errors
/// As for [`wait_for`].
pub async fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Result<T, String> {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if Instant::now() >= until {
            return Err(format!("{what} did not come within {} ms", limit.as_millis()));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
