//! What was read lately: asked for by many at once it is read once, and reading it takes no more than a small part of the time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was read is kept at least so many times as long as reading it took.
const RESTS: u32 = 20;
/// The longest that anything is kept.
const LASTS_MAX: Duration = Duration::from_secs(60);

/// What was read last, for as long as it counts as new. While one reads it anew the others get the old.
#[derive(Debug)]
pub(crate) struct Memo<T> {
    lasts: Duration,
    lasts_max: Duration,
    kept: Mutex<Kept<T>>,
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Kept<T> {
    value: Option<Arc<T>>,
    /// Until when it counts as new.
    until: Instant,
    /// How often it was forgotten: what was being read then is not kept.
    forgotten: u64,
}

impl<T> Memo<T> {
    pub(crate) fn new(lasts: Duration) -> Self {
        let kept = Kept { value: None, until: Instant::now(), forgotten: 0 };
        Self { lasts, lasts_max: LASTS_MAX, kept: Mutex::new(kept), reading: tokio::sync::Mutex::default() }
    }

    /// One that is kept no longer than said, however long reading it took.
    pub(crate) fn brief(lasts: Duration) -> Self {
        Self { lasts_max: lasts, ..Self::new(lasts) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_one(&self) -> Option<Arc<T>> {
        let kept = self.lock();
        kept.value.clone().filter(|_| Instant::now() < kept.until)
    }

    /// What was read last, or what `read` gives now when that is too old. What cannot be read is not kept.
    pub(crate) async fn get<E>(&self, read: impl Future<Output = Result<T, E>>) -> Result<Arc<T>, E> {
        if let Some(value) = self.new_one() {
            return Ok(value);
        }
        let old = self.lock().value.clone();
        let _reading = match (self.reading.try_lock(), old) {
            (Ok(reading), _) => reading,
            (Err(_), Some(old)) => return Ok(old),
            (Err(_), None) => self.reading.lock().await,
        };
        // Whoever read it meanwhile has read it for this one, too.
        if let Some(value) = self.new_one() {
            return Ok(value);
        }
        let (since, forgotten) = (Instant::now(), self.lock().forgotten);
        let value = Arc::new(read.await?);
        let took = since.elapsed();
        let mut kept = self.lock();
        if kept.forgotten == forgotten {
            kept.value = Some(Arc::clone(&value));
            kept.until = Instant::now() + self.lasts.max((took * RESTS).min(self.lasts_max));
        }
        Ok(value)
    }

    /// Forgets it: who changes something shows what came of it.
    pub(crate) fn forget(&self) {
        let mut kept = self.lock();
        kept.value = None;
        kept.forgotten += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_many_ask_for_at_once_is_read_once_until_it_is_forgotten() {
        let memo = Memo::new(Duration::from_secs(3_600));
        let reads = AtomicUsize::new(0);
        let read = || async {
            tokio::task::yield_now().await;
            Ok::<_, ()>(reads.fetch_add(1, Ordering::Relaxed))
        };
        let (first, second) = tokio::join!(memo.get(read()), memo.get(read()));
        assert_eq!((first.as_deref(), second.as_deref()), (Ok(&0), Ok(&0)));
        memo.forget();
        assert_eq!(memo.get(read()).await.as_deref(), Ok(&1));
    }

    #[tokio::test]
    async fn what_was_being_read_when_it_changed_is_not_kept() {
        let memo = Memo::new(Duration::from_secs(3_600));
        let old = memo.get(async {
            memo.forget();
            Ok::<_, ()>("old")
        });
        assert_eq!(old.await.as_deref(), Ok(&"old"));
        assert_eq!(memo.get(async { Ok::<_, ()>("new") }).await.as_deref(), Ok(&"new"));
    }
}
