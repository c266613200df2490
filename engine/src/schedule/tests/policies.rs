//! What becomes of the times that have come.

use proptest::prelude::*;
use stepwell_contract::Timestamp;

use super::{at, name, schedule};
use crate::schedule::due::{COUNT_MAX, Decision, Position, SkipReason, Span, due};
use crate::schedule::{Overlap, Schedule};
use crate::workflow::policy::{days, hours, mins, secs};

const MIDNIGHT: &str = "2030-01-01T00:00:00Z";

/// The full hour of the first of January 2030.
fn hour(n: i64) -> Timestamp {
    Timestamp(at(MIDNIGHT).0 + n * 3_600_000)
}

fn hourly(overlap: Overlap) -> Schedule {
    schedule(Schedule::every(hours(1))).overlap(overlap)
}

fn decide(
    schedule: &Schedule,
    from: Position,
    now: Timestamp,
    is_running: bool,
) -> (Vec<Decision>, Position) {
    due(&name(), schedule, &schedule.calendar().expect("sound times"), from, now, is_running)
}

fn decided(until: Timestamp) -> Position {
    Position { decided_until: until, waiting: None }
}

fn skip(first: i64, last: i64, why: SkipReason) -> Decision {
    let count = u64::try_from(last - first + 1).expect("a span");
    Decision::Skip(Span { first: hour(first), until: hour(last), count }, why)
}

#[test]
fn each_policy_decides_about_a_run_that_has_not_ended() {
    use Decision::{CancelOld, Start, Wait};
    use Overlap as O;
    use SkipReason::{OneWaits, StillRunning, Superseded};
    let table = [
        // One time has come, and nothing runs.
        (O::Skip, None, 1, false, vec![Start(hour(1))], None),
        (O::Queue, None, 1, false, vec![Start(hour(1))], None),
        (O::CancelOld, None, 1, false, vec![Start(hour(1))], None),
        (O::Allow, None, 1, false, vec![Start(hour(1))], None),
        // One time has come, and a run has not ended.
        (O::Skip, None, 1, true, vec![skip(1, 1, StillRunning)], None),
        (O::Queue, None, 1, true, vec![Wait(hour(1))], Some(hour(1))),
        (O::CancelOld, None, 1, true, vec![CancelOld, Wait(hour(1))], Some(hour(1))),
        (O::Allow, None, 1, true, vec![Start(hour(1))], None),
        // One waits already, and a run has not ended.
        (O::Queue, Some(0), 1, true, vec![skip(1, 1, OneWaits)], Some(hour(0))),
        (O::CancelOld, Some(0), 1, true, vec![skip(0, 0, Superseded), Wait(hour(1))], Some(hour(1))),
        (O::CancelOld, Some(0), 0, true, vec![], Some(hour(0))),
        // One waits, and the last run has ended.
        (O::Queue, Some(0), 0, false, vec![Start(hour(0))], None),
        (O::CancelOld, Some(0), 0, false, vec![Start(hour(0))], None),
        (O::Queue, Some(0), 1, false, vec![Start(hour(0)), Wait(hour(1))], Some(hour(1))),
        // Several have come at once: an outage.
        (O::Skip, None, 4, false, vec![Start(hour(1)), skip(2, 4, StillRunning)], None),
        (O::Queue, None, 4, false, vec![Start(hour(1)), Wait(hour(2)), skip(3, 4, OneWaits)], Some(hour(2))),
        (O::CancelOld, None, 4, false, vec![skip(1, 3, Superseded), Start(hour(4))], None),
        (O::CancelOld, None, 4, true, vec![skip(1, 3, Superseded), CancelOld, Wait(hour(4))], Some(hour(4))),
        (O::Allow, None, 3, true, vec![Start(hour(1)), Start(hour(2)), Start(hour(3))], None),
    ];
    for (overlap, waiting, now, is_running, expected, waits) in table {
        let from = Position { decided_until: hour(0), waiting: waiting.map(hour) };
        let (decisions, then) = decide(&hourly(overlap), from, hour(now), is_running);
        let case = format!("{overlap:?}, waiting {waiting:?}, at {now}, running {is_running}");
        assert_eq!(decisions, expected, "{case}");
        assert_eq!(then, Position { decided_until: hour(now), waiting: waits }, "{case}");
    }
}

#[test]
fn after_an_outage_what_was_missed_by_more_than_the_window_is_counted_and_the_rest_is_started() {
    let (start, miss) = (Decision::Start, |first, until: Timestamp, count| {
        Decision::Miss(Span { first: hour(first), until, count })
    });
    let after_ten_hours = Timestamp(hour(10).0 + 60_000);
    let table = [
        // A window of no time is one of ten seconds.
        (secs(0), vec![miss(1, Timestamp(after_ten_hours.0 - 10_001), 10)]),
        (mins(2), vec![miss(1, Timestamp(hour(10).0 - 60_001), 9), start(hour(10))]),
        (hours(2), vec![miss(1, Timestamp(hour(8).0 + 59_999), 8), start(hour(9)), start(hour(10))]),
        (
            hours(9),
            vec![miss(1, Timestamp(hour(1).0 + 59_999), 1)]
                .into_iter()
                .chain((2..=10).map(|n| start(hour(n))))
                .collect(),
        ),
        (days(1), (1..=10).map(|n| start(hour(n))).collect()),
    ];
    for (window, expected) in table {
        let schedule = hourly(Overlap::Allow).catch_up(window);
        let (decisions, then) = decide(&schedule, decided(hour(0)), after_ten_hours, false);
        assert_eq!(decisions, expected, "{window:?}");
        assert!(
            then.decided_until >= Timestamp(after_ten_hours.0 - 10_001) || then.decided_until == hour(10)
        );
        assert_eq!(decide(&schedule, then, after_ten_hours, false).0, [], "{window:?}");
    }
}

#[test]
fn an_outage_of_years_costs_no_look_at_every_second() {
    let schedule = schedule(Schedule::cron("* * * * * *")).catch_up(secs(10));
    let now = Timestamp(hour(0).0 + 20 * 366 * 86_400_000);
    let (decisions, _) = decide(&schedule, decided(hour(0)), now, false);
    assert!(matches!(decisions[0], Decision::Miss(Span { count: COUNT_MAX, .. })), "{decisions:?}");
    assert_eq!(decisions[1], Decision::Start(Timestamp(now.0 - 10_000)));
}

#[test]
fn a_time_that_jitter_holds_back_is_not_missed() {
    let schedule = hourly(Overlap::Skip).jitter(mins(50)).catch_up(secs(10));
    let mut at = decided(hour(0));
    let mut started = Vec::new();
    for second in 0..4 * 360 {
        let (decisions, then) = decide(&schedule, at, Timestamp(hour(0).0 + second * 10_000), false);
        at = then;
        started.extend(decisions);
    }
    assert_eq!(started, (1..=3).map(|n| Decision::Start(hour(n))).collect::<Vec<_>>());
}

#[test]
fn a_clock_that_was_put_back_decides_nothing_again() {
    let schedule = hourly(Overlap::Allow);
    let (_, at) = decide(&schedule, decided(hour(0)), hour(5), false);
    assert_eq!(decide(&schedule, at, hour(2), false), (vec![], at));
    assert_eq!(decide(&schedule, at, hour(6), false).0, [Decision::Start(hour(6))]);
}

#[test]
fn many_starts_are_taken_in_turns() {
    let schedule = schedule(Schedule::every(mins(1))).overlap(Overlap::Allow);
    let (first, at) = decide(&schedule, decided(hour(0)), hour(2), false);
    let (second, at) = decide(&schedule, at, hour(2), true);
    assert_eq!((first.len(), second.len()), (100, 20));
    assert_eq!(at, decided(hour(2)));
}

/// The times that a decision is about, of a schedule with a time each minute.
fn times_of(decision: Decision) -> Vec<Timestamp> {
    match decision {
        Decision::Start(time) => vec![time],
        Decision::Wait(_) | Decision::CancelOld => vec![],
        Decision::Skip(span, _) | Decision::Miss(span) => {
            let step = |n: u64| span.first.plus_ms(n * 60_000);
            (0..span.count).map(step).collect()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn every_time_is_decided_once_whatever_the_clock_does(
        overlap in prop::sample::select(&[Overlap::Skip, Overlap::Queue, Overlap::CancelOld, Overlap::Allow][..]),
        catch_up_s in 0u64..2_000,
        jitter_s in 0u64..60,
        looks in prop::collection::vec((-400i64..3_000, any::<bool>()), 1..40),
    ) {
        let schedule = schedule(Schedule::every(mins(1))).overlap(overlap).catch_up(secs(catch_up_s)).jitter(secs(jitter_s));
        let (mut now, mut at) = (hour(0), decided(hour(0)));
        let mut seen = Vec::new();
        for (move_s, is_running) in looks {
            now = Timestamp(now.0 + move_s * 1_000);
            let (decisions, then) = decide(&schedule, at, now, is_running);
            prop_assert!(then.decided_until >= at.decided_until);
            at = then;
            seen.extend(decisions.into_iter().flat_map(times_of));
        }
        seen.extend(at.waiting);
        let calendar = schedule.calendar().expect("sound times");
        let expected: Vec<Timestamp> = calendar.between(Timestamp(hour(0).0 + 1), at.decided_until).collect();
        seen.sort_unstable();
        prop_assert!(seen == expected, "{seen:?}");
    }
}
