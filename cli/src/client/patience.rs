//! How often and for how long is asked again when whoever answers cannot just now, or has gone away in the middle.

use std::time::Duration;

use crate::client::Failure;

/// The first pause, and the longest that is taken unasked.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LAST: Duration = Duration::from_secs(15);
/// After so much waiting in vain it is given up.
const WAITED_MAX: Duration = Duration::from_secs(600);

/// What is left of it.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// Whether anybody has ever answered: an address that nobody answers at is more likely wrong than busy.
    has_answered: bool,
    tries: u32,
    waited: Duration,
}

/// A pause before it is asked again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) time: Duration,
    /// Why, for whoever waits.
    pub(crate) words: String,
}

impl Patience {
    /// There was an answer: the next silence is a new one.
    pub(crate) fn answered(&mut self) {
        *self = Self { has_answered: true, ..Self::default() };
    }

    /// How long to wait before asking again.
    ///
    /// # Errors
    /// The failure itself, when it does not pass with time or has lasted for ten minutes.
    pub(crate) fn pause(&mut self, failure: Failure) -> Result<Pause, Failure> {
        let (what, wanted) = match &failure {
            Failure::Passing { what, retry_after, .. } => {
                self.has_answered = true;
                (what, *retry_after)
            }
            Failure::Unreachable { what, .. } if self.has_answered => (what, None),
            _ => return Err(failure),
        };
        if self.waited >= WAITED_MAX {
            return Err(failure);
        }
        let own = PAUSE_FIRST.saturating_mul(1 << self.tries.min(5)).min(PAUSE_LAST);
        let time = wanted.map_or(own, |wanted| wanted.max(own)).min(WAITED_MAX);
        let words = format!("{what}; asking again in {}", humantime::format_duration(time));
        self.tries += 1;
        self.waited += time;
        Ok(Pause { time, words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(seconds: Option<u64>) -> Failure {
        let (what, fix) = ("too many".to_owned(), String::new());
        Failure::Passing { what, fix, retry_after: seconds.map(Duration::from_secs) }
    }

    fn gone() -> Failure {
        Failure::Unreachable { what: "nobody answers".to_owned(), fix: String::new() }
    }

    #[test]
    fn pauses_grow_are_as_long_as_was_asked_for_and_end() {
        let mut patience = Patience::default();
        assert!(patience.pause(gone()).is_err(), "an address that never answered is not waited for");
        assert!(patience.pause(Failure::usage("x")).is_err());
        let pause = |patience: &mut Patience, failure| {
            patience.pause(failure).map(|pause| pause.time.as_millis()).ok()
        };
        assert_eq!(pause(&mut patience, busy(None)), Some(500));
        assert_eq!(pause(&mut patience, busy(Some(7))), Some(7_000));
        assert_eq!(pause(&mut patience, gone()), Some(2_000), "who has answered once comes back");
        patience.answered();
        assert_eq!(pause(&mut patience, gone()), Some(500));
        let mut waited = Duration::ZERO;
        while let Ok(pause) = patience.pause(gone()) {
            assert!(pause.time <= PAUSE_LAST);
            waited += pause.time;
        }
        assert!(waited >= WAITED_MAX - PAUSE_LAST && waited <= WAITED_MAX + PAUSE_LAST, "{waited:?}");
    }
}
