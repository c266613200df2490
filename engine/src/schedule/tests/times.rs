//! Which times a schedule has.

use proptest::prelude::*;
use stepwell_contract::{RunId, Timestamp};

use super::{at, cron, name, said, schedule};
use crate::schedule::Schedule;
use crate::schedule::jitter::started_at;
use crate::schedule::run_id::{run_by, run_of, time_of};
use crate::workflow::policy::{hours, millis, mins, secs};

/// The `n` times after `after`.
fn next(expression: &str, zone: &str, after: &str, n: usize) -> Vec<String> {
    let calendar = cron(expression, zone);
    said(std::iter::successors(calendar.next_after(at(after)), |time| calendar.next_after(*time)).take(n))
}

#[test]
fn cron_expressions_mean_what_they_say() {
    let table = [
        (
            "0 9 * * MON-FRI",
            "Asia/Tokyo",
            "2030-01-04T00:00:00Z",
            ["2030-01-07T00:00:00Z", "2030-01-08T00:00:00Z"],
        ),
        // A leap day comes in leap years alone.
        ("0 0 29 2 *", "UTC", "2029-01-01T00:00:00Z", ["2032-02-29T00:00:00Z", "2036-02-29T00:00:00Z"]),
        // The 31st is left out where there is none; the last day is in every month.
        ("0 0 31 * *", "UTC", "2030-01-31T00:00:00Z", ["2030-03-31T00:00:00Z", "2030-05-31T00:00:00Z"]),
        ("0 0 L * *", "UTC", "2030-01-31T00:00:00Z", ["2030-02-28T00:00:00Z", "2030-03-31T00:00:00Z"]),
        ("0 0 * * 5#2", "UTC", "2030-01-01T00:00:00Z", ["2030-01-11T00:00:00Z", "2030-02-08T00:00:00Z"]),
        // Seconds first, years last.
        ("30 0 12 * * *", "UTC", "2030-01-01T12:00:30Z", ["2030-01-02T12:00:30Z", "2030-01-03T12:00:30Z"]),
        (
            "0 0 0 1 1 * 2031,2033",
            "UTC",
            "2030-01-01T00:00:00Z",
            ["2031-01-01T00:00:00Z", "2033-01-01T00:00:00Z"],
        ),
        ("@daily", "UTC", "2030-01-01T00:00:00.500Z", ["2030-01-02T00:00:00Z", "2030-01-03T00:00:00Z"]),
        // Either a day of month or a day of week.
        ("0 0 1 * SUN", "UTC", "2030-01-28T00:00:00Z", ["2030-02-01T00:00:00Z", "2030-02-03T00:00:00Z"]),
    ];
    for (expression, zone, after, expected) in table {
        assert_eq!(next(expression, zone, after, 2), expected, "{expression} in {zone}");
    }
}

#[test]
fn a_time_of_day_that_does_not_exist_comes_behind_the_gap_and_one_that_comes_twice_comes_once() {
    let table = [
        // 02:30 does not exist on 31 March 2030 in Berlin: 03:00 there, which is 01:00 UTC.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2030-03-30T12:00:00Z",
            ["2030-03-31T01:00:00Z", "2030-04-01T00:30:00Z"],
        ),
        // 02:30 comes twice on 27 October 2030: the first is summer time.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2030-10-26T12:00:00Z",
            ["2030-10-27T00:30:00Z", "2030-10-28T01:30:00Z"],
        ),
        (
            "30 2 * * *",
            "America/New_York",
            "2030-03-09T12:00:00Z",
            ["2030-03-10T07:00:00Z", "2030-03-11T06:30:00Z"],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2030-11-02T12:00:00Z",
            ["2030-11-03T05:30:00Z", "2030-11-04T06:30:00Z"],
        ),
    ];
    for (expression, zone, after, expected) in table {
        assert_eq!(next(expression, zone, after, 2), expected, "{expression} in {zone}");
    }
}

#[test]
fn every_hour_and_the_like_leave_the_gap_out_and_come_in_both_of_two_hours() {
    let table = [
        ("Europe/Berlin", "2030-03-31T00:00:00Z", ["00:30", "01:00", "01:30"]),
        ("Europe/Berlin", "2030-10-27T00:00:00Z", ["00:30", "01:00", "01:30"]),
        ("America/New_York", "2030-03-10T06:30:00Z", ["07:00", "07:30", "08:00"]),
        ("America/New_York", "2030-11-03T05:30:00Z", ["06:00", "06:30", "07:00"]),
    ];
    for (zone, after, expected) in table {
        let times = next("*/30 * * * *", zone, after, 3);
        assert_eq!(times.iter().map(|time| &time[11..16]).collect::<Vec<_>>(), expected, "{zone}");
    }
}

#[test]
fn intervals_are_counted_from_their_beginning() {
    let every = Schedule::every(hours(6)).calendar().expect("sound times");
    let day = every.between(at("2030-01-01T00:00:00Z"), at("2030-01-01T18:00:00Z"));
    let quarters =
        ["2030-01-01T00:00:00Z", "2030-01-01T06:00:00Z", "2030-01-01T12:00:00Z", "2030-01-01T18:00:00Z"];
    assert_eq!(said(day), quarters);

    let from =
        Schedule::every(mins(90)).from(at("2030-01-01T00:10:00.250Z")).until(at("2030-01-01T04:00:00Z"));
    let calendar = from.calendar().expect("sound times");
    let times = calendar.between(Timestamp(0), Timestamp(i64::MAX));
    assert_eq!(said(times), ["2030-01-01T00:10:00Z", "2030-01-01T01:40:00Z", "2030-01-01T03:10:00Z"]);
}

#[test]
fn what_is_wrong_with_a_schedule_is_told_with_how_it_is_right() {
    let table = [
        (Schedule::cron("0 25 * * *"), r#""0 25 * * *" is no cron expression: "#),
        (Schedule::cron("0 25 * * *"), r#"One that is: "0 9 * * MON-FRI""#),
        (Schedule::cron("every day"), "is no cron expression"),
        (Schedule::cron(""), "is no cron expression"),
        (Schedule::cron("0 0 30 2 *"), "never comes"),
        (Schedule::cron("* * * * *").timezone("Europe/Berln"), r#"did you mean "Europe/Berlin"?"#),
        (Schedule::cron("* * * * *").timezone("Mars"), "is no time zone"),
        (Schedule::every(millis(1_500)), "whole seconds"),
        (Schedule::every(secs(0)), "whole seconds"),
        (Schedule::every(hours(1)).timezone("UTC"), "an interval has no time zone"),
        (
            Schedule::every(hours(1)).from(Timestamp(5_000)).until(Timestamp(4_000)),
            "it ends before it begins",
        ),
    ];
    for (times, expected) in table {
        let error = times.starts("report", &()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_schedule_is_the_same_when_it_was_stored() {
    let kept = schedule(Schedule::cron("0 9 * * *").timezone("Asia/Tokyo").from(at("2030-01-01T00:00:00Z")))
        .overlap(crate::schedule::Overlap::CancelOld)
        .tag("team", "ops")
        .expect("a tag");
    let text = serde_json::to_string(&kept).expect("JSON");
    assert!(
        text.starts_with(r#"{"times":{"cron":"0 9 * * *","timezone":"Asia/Tokyo","from":1893456000000}"#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Schedule>(&text).expect("a schedule"), kept);
}

#[test]
fn the_id_of_a_run_tells_its_time() {
    let run = run_of(&name(), at("2030-01-31T09:00:00Z"));
    assert_eq!(run.as_str(), "nightly-20300131T090000Z");
    assert_eq!(time_of(&run), Some(at("2030-01-31T09:00:00Z")));
    let asked = run_by(&name(), "deploy-7").expect("an id");
    assert_eq!((asked.as_str(), time_of(&asked)), ("nightly-by-deploy-7", None));
    for other in ["20300131T090000Z", "-20300131T090000Z", "x-20300131T096100Z", "x"] {
        assert_eq!(time_of(&RunId::new(other).expect("an id")), None, "{other}");
    }
}

/// Cron expressions of several kinds, in zones with and without summer time.
fn some_times() -> impl Strategy<Value = crate::schedule::Times> {
    let expressions =
        vec!["*/7 * * * *", "30 2 * * *", "0 */5 * * SUN", "0 0 29 2 *", "15 10,22 L * *", "*/20 30 1 * * *"];
    let zones = vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"];
    prop_oneof![
        (prop::sample::select(expressions), prop::sample::select(zones))
            .prop_map(|(expression, zone)| Schedule::cron(expression).timezone(zone)),
        (1u64..200_000, 0i64..2_000_000_000_000)
            .prop_map(|(s, from)| Schedule::every(secs(s)).from(Timestamp(from))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn a_next_time_is_later_and_none_lies_between(
        times in some_times(), after in 0i64..4_000_000_000_000, back in 1i64..100_000_000,
    ) {
        let calendar = times.calendar().expect("sound times");
        let next = calendar.next_after(Timestamp(after)).expect("a time");
        prop_assert!(next > Timestamp(after));
        prop_assert_eq!(next.0 % 1_000, 0);
        // Asked from any moment before, the time is found on the way.
        let on_the_way: Vec<Timestamp> = calendar.between(Timestamp(after - back), next).collect();
        prop_assert_eq!(on_the_way.last(), Some(&next));
        prop_assert!(on_the_way.is_sorted_by(|a, b| a < b));
        prop_assert!(on_the_way.iter().filter(|time| time.0 > after).count() == 1);
    }

    #[test]
    fn jitter_is_the_same_each_time_and_stays_before_the_next_time(
        times in some_times(), after in 0i64..4_000_000_000_000, jitter_ms in 0u64..10_000_000,
    ) {
        let calendar = times.calendar().expect("sound times");
        let time = calendar.next_after(Timestamp(after)).expect("a time");
        let start_at = started_at(&name(), &calendar, jitter_ms, time);
        prop_assert!(start_at >= time && start_at.since_ms(time) <= jitter_ms);
        prop_assert!(calendar.next_after(time).is_none_or(|next| start_at < next));
        prop_assert_eq!(start_at, started_at(&name(), &calendar, jitter_ms, time));
    }
}
