//! What ended in each minute of the last hour: by how counts changed while somebody looked, and by the newest runs for the time
//! before. Pure: it is told the time.

use std::collections::{BTreeMap, HashMap};

use stepwell::contract::{Head, Status, Tally, TenantId, Timestamp};

use crate::view::overview::Minute;
use crate::view::time;

pub(super) const HOUR_MS: u64 = 60 * MINUTE_MS as u64;
const MINUTE_MS: i64 = 60_000;
const MINUTES: i64 = 60;

/// What ended, by minute and tenant.
#[derive(Debug, Default)]
pub(super) struct Series {
    minutes: BTreeMap<i64, HashMap<TenantId, Ended>>,
    /// How many had ended when counts were last looked at.
    counted: Option<HashMap<TenantId, Ended>>,
}

/// How many ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ended {
    all: u64,
    failed: u64,
}

impl Ended {
    fn add(&mut self, status: Status, runs: u64) {
        if status.is_finished() {
            self.all += runs;
            self.failed += if status == Status::Failed { runs } else { 0 };
        }
    }
}

fn minute_of(at: Timestamp) -> i64 {
    at.0.div_euclid(MINUTE_MS)
}

impl Series {
    /// Takes in the counts of now. Runs that were removed meanwhile hide as many that ended.
    pub(super) fn counted(&mut self, tally: &[Tally], now: Timestamp) {
        let mut counted: HashMap<TenantId, Ended> = HashMap::new();
        for sort in tally {
            counted.entry(sort.tenant.clone()).or_default().add(sort.status, sort.runs);
        }
        if let Some(before) = &self.counted {
            let minute = self.minutes.entry(minute_of(now)).or_default();
            for (tenant, ended) in &counted {
                let before = before.get(tenant).copied().unwrap_or_default();
                let (all, failed) =
                    (ended.all.saturating_sub(before.all), ended.failed.saturating_sub(before.failed));
                if all + failed > 0 {
                    let sum = minute.entry(tenant.clone()).or_default();
                    // A run that has failed again after it went on is both at once.
                    sum.all += all.max(failed);
                    sum.failed += failed;
                }
            }
        }
        self.counted = Some(counted);
        self.forget_before(now);
    }

    /// Begins to compare counts anew: what they were is too long ago to say when what changed. Until now a minute has at least
    /// those of the newest runs that ended in it.
    pub(super) fn begin(&mut self, newest: &[Head], now: Timestamp) {
        self.counted = None;
        let mut found: HashMap<(i64, &TenantId), Ended> = HashMap::new();
        for head in newest {
            if let Some(at) = head.finished_at {
                found.entry((minute_of(at), &head.key.tenant)).or_default().add(head.status, 1);
            }
        }
        for ((minute, tenant), ended) in found {
            let known = self.minutes.entry(minute).or_default().entry(tenant.clone()).or_default();
            known.all = known.all.max(ended.all);
            known.failed = known.failed.max(ended.failed);
        }
        self.forget_before(now);
    }

    fn forget_before(&mut self, now: Timestamp) {
        let first = minute_of(now) - MINUTES;
        self.minutes.retain(|minute, _| *minute > first);
    }

    /// Each minute of the last hour, the oldest first.
    pub(super) fn last_hour(&self, tenant: Option<&TenantId>, now: Timestamp) -> Vec<Minute> {
        let last = minute_of(now);
        let minutes = (last - MINUTES + 1)..=last;
        let of = |minute: i64| {
            let mut sum = Ended::default();
            for (whose, ended) in self.minutes.get(&minute).into_iter().flatten() {
                if tenant.is_none_or(|tenant| tenant == whose) {
                    sum.all += ended.all;
                    sum.failed += ended.failed;
                }
            }
            Minute { at: time(Timestamp(minute * MINUTE_MS)), ended: sum.all, failed: sum.failed }
        };
        minutes.map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use stepwell::contract::Name;

    use super::*;

    #[test]
    fn what_ends_between_two_looks_is_counted_in_its_minute_and_for_an_hour() {
        let name = |text| Name::new(text).expect("a name");
        let tally = |succeeded, failed| {
            [(Status::Succeeded, succeeded), (Status::Failed, failed), (Status::Queued, 9)].map(
                |(status, runs)| Tally {
                    tenant: TenantId::default(),
                    workflow: name("w"),
                    queue: name("q"),
                    status,
                    runs,
                },
            )
        };
        let at = |minute: i64| Timestamp(1_700_000_000_000 + minute * MINUTE_MS);
        let mut series = Series::default();
        series.counted(&tally(5, 1), at(0));
        series.counted(&tally(8, 2), at(1));
        series.counted(&tally(8, 2), at(2));
        let hour = series.last_hour(None, at(2));
        let shown: Vec<(u64, u64)> = hour.iter().map(|minute| (minute.ended, minute.failed)).collect();
        assert_eq!((shown.len(), &shown[57..]), (60, [(0, 0), (4, 1), (0, 0)].as_slice()));
        let other = TenantId::new("other").expect("an id");
        assert!(series.last_hour(Some(&other), at(2)).iter().all(|minute| minute.ended == 0));
        // Fewer than before: some were removed.
        series.counted(&tally(1, 0), at(61));
        assert!(series.last_hour(None, at(61)).iter().all(|minute| minute.ended == 0));
    }
}
