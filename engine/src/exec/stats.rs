//! What steps are like when they succeed, so that a failure can be compared with what normally happens.
//!
//! This covers the last [`KEPT_MAX`] successes of each step in this process since it was started. Where a process has none yet,
//! a failure looks at the journals of the latest runs that have succeeded instead; those do not tell sizes of inputs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use stepwell_contract::Timestamp;

use crate::diagnosis::evidence::{AttemptEnd, AttemptRecord, StepStats, Successes};
use crate::lock::lock;
use crate::workflow::graph::StepIndex;

/// How many successes of a step are kept.
pub(crate) const KEPT_MAX: usize = 128;

/// One success.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: Timestamp,
    pub(crate) elapsed_ms: u64,
    pub(crate) input_bytes: Option<u64>,
    pub(crate) output_bytes: u64,
    /// Whether it was not the first attempt.
    pub(crate) is_retry: bool,
}

/// The latest successes of every step of a definition.
#[derive(Debug)]
pub(crate) struct StepsStats(Box<[Mutex<VecDeque<Sample>>]>);

impl StepsStats {
    pub(crate) fn new(steps: usize) -> Self {
        Self((0..steps).map(|_| Mutex::default()).collect())
    }

    /// Takes a success in.
    pub(crate) fn note(&self, step: StepIndex, sample: impl FnOnce() -> Sample) {
        let Some(kept) = self.0.get(step.0) else { return };
        let mut kept = lock(kept);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(sample());
    }

    /// Whether a step has succeeded in this process.
    pub(crate) fn has_any(&self, step: StepIndex) -> bool {
        self.0.get(step.0).is_some_and(|kept| !lock(kept).is_empty())
    }

    /// What the successes of a step have in common; `None` when there is none. All of them are this worker's, of this code.
    pub(crate) fn of(&self, step: StepIndex, worker: &str, code_version: Option<&str>) -> Option<StepStats> {
        let kept: Vec<Sample> = lock(self.0.get(step.0)?).iter().copied().collect();
        let last_at = kept.last()?.at;
        let mut stats = summary(&kept);
        let all = Successes { count: kept.len() as u64, last_at };
        stats.by_worker.insert(worker.to_owned(), all);
        stats.by_code_version.extend(code_version.map(|version| (version.to_owned(), all)));
        Some(stats)
    }
}

/// The same from attempts that journals tell of; `None` when none of them has succeeded.
pub(crate) fn of_attempts(attempts: &[AttemptRecord]) -> Option<StepStats> {
    let succeeded = || attempts.iter().filter(|attempt| attempt.ended == AttemptEnd::Succeeded);
    let samples: Vec<Sample> = succeeded()
        .map(|attempt| Sample {
            at: attempt.ended_at.unwrap_or(attempt.started_at),
            elapsed_ms: attempt.elapsed_ms.unwrap_or(0),
            input_bytes: attempt.input_bytes,
            output_bytes: attempt.output_bytes.unwrap_or(0),
            is_retry: attempt.attempt > 1,
        })
        .collect();
    if samples.is_empty() {
        return None;
    }
    let mut stats = summary(&samples);
    for (attempt, sample) in succeeded().zip(&samples) {
        count(&mut stats.by_worker, attempt.worker.as_ref(), sample.at);
        count(&mut stats.by_code_version, attempt.code_version.as_ref(), sample.at);
    }
    Some(stats)
}

fn count(by: &mut BTreeMap<String, Successes>, name: Option<&String>, at: Timestamp) {
    if let Some(name) = name {
        let successes = by.entry(name.clone()).or_default();
        successes.count += 1;
        successes.last_at = successes.last_at.max(at);
    }
}

fn summary(samples: &[Sample]) -> StepStats {
    let sorted = |of: fn(&Sample) -> Option<u64>| {
        let mut values: Vec<u64> = samples.iter().filter_map(of).collect();
        values.sort_unstable();
        values
    };
    let durations = sorted(|sample| Some(sample.elapsed_ms));
    let inputs = sorted(|sample| sample.input_bytes);
    let outputs = sorted(|sample| Some(sample.output_bytes));
    StepStats {
        count: samples.len() as u64,
        median_ms: share(&durations, 50),
        p95_ms: share(&durations, 95),
        max_ms: share(&durations, 100),
        median_input_bytes: share(&inputs, 50),
        max_input_bytes: share(&inputs, 100),
        median_output_bytes: share(&outputs, 50),
        max_output_bytes: share(&outputs, 100),
        last_at: samples.iter().map(|sample| sample.at).max(),
        after_retry: samples.iter().filter(|sample| sample.is_retry).count() as u64,
        ..StepStats::default()
    }
}

/// The value that so many in a hundred do not exceed; 0 when there is none.
fn share(sorted: &[u64], percent: usize) -> u64 {
    let nth = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(nth).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_successes_count_and_no_more_are_kept() {
        let steps = StepsStats::new(1);
        let step = StepIndex(0);
        assert_eq!(steps.of(step, "w", None), None);
        for nth in 1..=300 {
            let (input_bytes, output_bytes) = (Some(nth * 2), nth * 3);
            let at = Timestamp(i64::try_from(nth).expect("small"));
            steps.note(step, || Sample {
                at,
                elapsed_ms: nth,
                input_bytes,
                output_bytes,
                is_retry: nth > 299,
            });
        }
        let stats = steps.of(step, "w", Some("1.4")).expect("successes");
        assert_eq!((stats.count, stats.median_ms, stats.p95_ms, stats.max_ms), (128, 236, 294, 300));
        assert_eq!((stats.max_input_bytes, stats.max_output_bytes, stats.after_retry), (600, 900, 1));
        assert_eq!(stats.by_worker["w"], Successes { count: 128, last_at: Timestamp(300) });
        assert_eq!(stats.by_code_version["1.4"].count, 128);
    }
}
