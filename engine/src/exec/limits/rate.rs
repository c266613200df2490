//! How many runs begin in a time: the generic cell rate algorithm, with turns that are given out ahead.
//!
//! Runs that may not begin yet get turns one interval after the other and come back at their time, so that nobody has to
//! ask again and again. A turn is a place in the order and no permission: whoever comes too late for it must not make
//! several begin at once, so that a start is granted only an interval after the last one granted.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell_contract::Timestamp;

/// A start that is due so soon is waited for with the run at hand, in microseconds.
const SOON_US: i64 = 250_000;

/// So many runs in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many runs.
    pub runs: u32,
    /// In how long, in milliseconds.
    pub per_ms: u64,
}

impl Rate {
    pub(crate) fn new(runs: u32, per: Duration) -> Self {
        Self { runs, per_ms: u64::try_from(per.as_millis()).unwrap_or(u64::MAX) }
    }

    /// The time between two starts, in microseconds, rounded up: never more than `runs` in `per_ms`.
    fn interval_us(self) -> i64 {
        let interval = self.per_ms.saturating_mul(1_000).div_ceil(u64::from(self.runs.max(1)));
        i64::try_from(interval).unwrap_or(i64::MAX / 4)
    }
}

/// What was granted and given out so far, in microseconds of the store's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Meter {
    /// When the next start can be granted.
    #[serde(default)]
    granted_to_us: i64,
    /// The first turn that is not given out.
    #[serde(default)]
    turns_to_us: i64,
}

/// What a run is told that wants to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Begin at this time, which is now or in a moment: it is counted.
    Granted(Timestamp),
    /// Come back then.
    At(Timestamp),
}

impl Meter {
    /// Grants a start or gives out a turn. `turn` is what the run was told before.
    pub(super) fn ask(&mut self, rate: Rate, turn: Option<Timestamp>, now: Timestamp) -> Turn {
        if let Some(turn) = turn
            && turn > now
        {
            return Turn::At(turn);
        }
        let interval = rate.interval_us();
        let now_us = now.0.saturating_mul(1_000);
        // Who comes for the first time stands behind all who have a turn.
        let line = if turn.is_none() { self.turns_to_us } else { i64::MIN };
        let earliest = now_us.max(self.granted_to_us).max(line);
        if earliest - now_us <= SOON_US {
            self.granted_to_us = earliest.saturating_add(interval);
            self.turns_to_us = self.turns_to_us.max(self.granted_to_us);
            return Turn::Granted(in_ms(earliest));
        }
        let turn = earliest.max(self.turns_to_us);
        self.turns_to_us = turn.saturating_add(interval);
        Turn::At(in_ms(turn))
    }

    /// Takes back the latest start granted, of a run that does not begin for another reason. Returns whether it was the
    /// latest: one that others were granted starts behind stays counted.
    pub(super) fn take_back(&mut self, rate: Rate, granted: Timestamp) -> bool {
        let start_us = self.granted_to_us.saturating_sub(rate.interval_us());
        let is_latest = in_ms(start_us) == granted;
        if is_latest {
            // A turn that was given out behind it keeps its place.
            if self.turns_to_us == self.granted_to_us {
                self.turns_to_us = start_us;
            }
            self.granted_to_us = start_us;
        }
        is_latest
    }

    /// What [`ask`](Self::ask) would say, without counting anything.
    pub(super) fn look(mut self, rate: Rate, turn: Option<Timestamp>, now: Timestamp) -> Turn {
        self.ask(rate, turn, now)
    }
}

fn in_ms(us: i64) -> Timestamp {
    Timestamp(us.saturating_add(999).div_euclid(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { runs: 3, per_ms: 1_000 };
    const NOW: Timestamp = Timestamp(1_000_000);

    /// No stretch of the rate's time has more starts than it allows.
    fn assert_kept(starts: &mut [Timestamp], rate: Rate) {
        starts.sort_unstable();
        for (nth, start) in starts.iter().enumerate() {
            let within = starts[nth..].iter().take_while(|at| at.since_ms(*start) < rate.per_ms).count();
            assert!(within <= rate.runs as usize, "{within} starts from {start} on: {starts:?}");
        }
    }

    #[test]
    fn a_thousand_runs_at_once_get_turns_one_interval_after_the_other() {
        let mut meter = Meter::default();
        let told: Vec<Turn> = (0..1_000).map(|_| meter.ask(RATE, None, NOW)).collect();
        assert_eq!(told[0], Turn::Granted(NOW));
        assert_eq!(told[1], Turn::At(NOW.plus_ms(334)));
        assert_eq!(told[3], Turn::At(NOW.plus_ms(1_001)));
        assert_eq!(told[999], Turn::At(NOW.plus_ms(333_001)));
    }

    #[test]
    fn whoever_comes_at_its_turn_begins() {
        let mut meter = Meter::default();
        let mut starts = Vec::new();
        for told in (0..20).map(|_| meter.ask(RATE, None, NOW)).collect::<Vec<_>>() {
            starts.push(match told {
                Turn::Granted(at) => at,
                Turn::At(turn) => match meter.ask(RATE, Some(turn), turn) {
                    Turn::Granted(at) => at,
                    Turn::At(later) => panic!("the turn at {turn} was moved to {later}"),
                },
            });
        }
        assert_kept(&mut starts, RATE);
    }

    #[test]
    fn runs_that_come_at_random_and_late_never_exceed_the_rate() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let rate = Rate { runs: random.u32(1..20), per_ms: random.u64(1..5_000) };
            let mut meter = Meter::default();
            let mut coming: Vec<(Timestamp, Option<Timestamp>)> =
                (0..60).map(|_| (NOW.plus_ms(random.u64(0..10_000)), None)).collect();
            let mut starts = Vec::new();
            while !coming.is_empty() {
                coming.sort_unstable_by(|a, b| b.cmp(a));
                let (now, turn) = coming.pop().expect("not empty");
                match meter.ask(rate, turn, now) {
                    Turn::Granted(at) => starts.push(at),
                    // Its worker may be late, by nothing or by a lot.
                    Turn::At(turn) => {
                        let late_ms = if random.bool() { 0 } else { random.u64(0..20_000) };
                        coming.push((turn.plus_ms(late_ms).max(now), Some(turn)));
                    }
                }
            }
            assert_eq!(starts.len(), 60);
            assert_kept(&mut starts, rate);
        }
    }

    #[test]
    fn a_start_that_is_taken_back_is_the_next_ones_unless_another_was_granted_behind_it() {
        let mut meter = Meter::default();
        assert_eq!(meter.ask(RATE, None, NOW), Turn::Granted(NOW));
        assert!(meter.take_back(RATE, NOW));
        assert_eq!(meter.ask(RATE, None, NOW), Turn::Granted(NOW));
        let next = NOW.plus_ms(334);
        assert_eq!(meter.ask(RATE, None, next), Turn::Granted(next));
        assert!(!meter.take_back(RATE, NOW));
        assert_eq!(meter.ask(RATE, None, next), Turn::At(next.plus_ms(334)));
        assert!(meter.take_back(RATE, next));
        assert_eq!(meter.ask(RATE, None, next), Turn::At(next.plus_ms(667)), "the turn before is taken");
        assert_eq!(meter.ask(RATE, Some(next), next), Turn::Granted(next));
    }

    #[test]
    fn after_an_outage_those_whose_turns_have_passed_do_not_begin_at_once() {
        let mut meter = Meter::default();
        let turns: Vec<Turn> = (0..100).map(|_| meter.ask(RATE, None, NOW)).collect();
        let late = NOW.plus_ms(1_000_000);
        let granted = turns.into_iter().filter(|told| {
            let Turn::At(turn) = *told else { return false };
            matches!(meter.ask(RATE, Some(turn), late), Turn::Granted(_))
        });
        assert_eq!(granted.count(), 1);
    }
}
