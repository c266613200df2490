//! What attempts show beside each other and beside what normally happens.

use std::collections::BTreeSet;

use crate::diagnosis::evidence::{AttemptRecord, EnvironmentFact, Neighbour};
use crate::diagnosis::fingerprint::{Marks, fingerprint, normalise};
use crate::diagnosis::seen::{Seen, told_bytes, told_ms};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(crate) type Said = (&'static str, Params);

/// Successes elsewhere from which on it says something that there are none here.
const ELSEWHERE_MIN: u64 = 3;
/// Inputs that differ by less are of one size, in bytes.
const LARGER_MIN_BYTES: u64 = 1 << 10;
/// Most durations that are told.
const DURATIONS_MAX: usize = 6;
/// Durations this near to each other, in parts of a hundred, have one cause.
const SAME_TIME_PERCENT: u64 = 3;
/// Shorter attempts than this end together by chance.
const SAME_TIME_MIN_MS: u64 = 1_000;

/// What is told of every failure, whatever it is.
pub(crate) fn facts(seen: &Seen<'_>) -> Vec<Said> {
    let mut facts = Vec::new();
    let Some(last) = seen.last() else { return facts };
    if seen.failed().is_some() {
        facts.push(error(last));
        if !last.message.is_empty() {
            facts.push(("error", Params::new().with("text", &last.message)));
        }
        if last.root_text() != last.message {
            facts.push(("error_root", Params::new().with("text", last.root_text())));
        }
    }
    if seen.attempts.len() > 1 {
        let ended = seen.failures().count() + seen.crashes().count();
        facts.push(("attempts", Params::new().with("count", ended)));
    }
    let durations: Vec<_> = seen.failures().filter_map(|attempt| attempt.elapsed_ms).map(told_ms).collect();
    if !durations.is_empty() {
        let latest = &durations[durations.len().saturating_sub(DURATIONS_MAX)..];
        facts.push(("took", Params::new().with("durations", latest.join(", "))));
    }
    if let Some(stats) = seen.stats.filter(|stats| stats.count > 0) {
        facts.push((
            "usual",
            Params::new()
                .with("count", stats.count)
                .with("median", told_ms(stats.median_ms))
                .with("p95", told_ms(stats.p95_ms)),
        ));
    }
    if let Some(progress) = &last.progress {
        facts.push(("progress", Params::new().with("percent", (progress.fraction * 100.0).round())));
    }
    facts.extend(last.environment.iter().filter_map(of_environment));
    facts
}

/// What the engine knows of the error itself.
pub(crate) fn error(attempt: &AttemptRecord) -> Said {
    let class = attempt.class.unwrap_or_default();
    let params = Params::new().with("class", class).with("by", &attempt.classified_by);
    match &attempt.code {
        Some(code) => ("error_code", params.with("code", code)),
        None => ("error_class", params),
    }
}

fn of_environment(fact: &EnvironmentFact) -> Option<Said> {
    Some(match fact {
        EnvironmentFact::Space { path, free_bytes, total_bytes, .. } => {
            space(path, *free_bytes, *total_bytes)
        }
        EnvironmentFact::Path { path, found, .. } => {
            (if found.is_some() { "path_there" } else { "path_missing" }, Params::new().with("path", path))
        }
        EnvironmentFact::OpenFiles { count, limit } => {
            ("open_files", Params::new().with("count", count).with("limit", limit))
        }
        EnvironmentFact::ClockOffset { offset_ms } if offset_ms.unsigned_abs() >= 1_000 => {
            ("clock_offset", Params::new().with("offset", told_ms(offset_ms.unsigned_abs())))
        }
        _ => return None,
    })
}

pub(crate) fn space(path: &str, free_bytes: u64, total_bytes: u64) -> Said {
    let (free, total) = (told_bytes(free_bytes), told_bytes(total_bytes));
    ("space", Params::new().with("free", free).with("total", total).with("path", path))
}

/// What goes together with the failure, told beside whatever its code is.
pub(crate) fn inferences(seen: &Seen<'_>, code: &str) -> Vec<Said> {
    let mut inferences = Vec::new();
    // Where a worker, a store or a person ended it, comparisons of errors mean nothing.
    if seen.failed().is_none() || code >= "SW6" {
        return inferences;
    }
    if let Some(ms) = same_time(seen).filter(|_| seen.ran_out("timeout.attempt").is_none()) {
        inferences.push(("own_timeout", Params::new().with("duration", told_ms(ms))));
    }
    if let Some(OnlyWorker { worker, .. }) = only_worker(seen) {
        inferences.push(("only_worker", Params::new().with("worker", worker)));
    }
    if let Some(OnlyVersion { version, .. }) = only_version(seen).filter(|_| code != "SW1301") {
        inferences.push(("only_version", Params::new().with("version", version)));
    }
    if let Some((_, max, _)) = only_larger(seen).filter(|_| code != "SW1302") {
        inferences.push(("only_larger", Params::new().with("max", max)));
    }
    inferences
}

/// The time after which at least two attempts ended, if it is the same for all.
pub(crate) fn same_time(seen: &Seen<'_>) -> Option<u64> {
    let mut times: Vec<_> = seen.failures().filter_map(|attempt| attempt.elapsed_ms).collect();
    times.sort_unstable();
    let (least, most) = (*times.first()?, *times.last()?);
    let near = most - least <= most / 100 * SAME_TIME_PERCENT;
    (times.len() > 1 && least >= SAME_TIME_MIN_MS && near).then_some(most)
}

/// Whether at least two attempts failed, all with the same error at the same place.
pub(crate) fn same_end(seen: &Seen<'_>) -> bool {
    let mark = |attempt: &AttemptRecord| {
        (attempt.class, attempt.code.clone(), attempt.location.clone(), normalise(&attempt.message))
    };
    let mut marks = seen.failures().map(mark);
    let first = marks.next();
    let mut others = marks.peekable();
    others.peek().is_some() && others.all(|mark| Some(mark) == first)
}

/// In how many different ways the attempts failed.
pub(crate) fn different_ends(seen: &Seen<'_>) -> usize {
    let mut kinds: Vec<_> = seen
        .failures()
        .map(|attempt| match crate::diagnosis::signal::of(attempt) {
            Some((signal, _)) => format!("{signal:?}"),
            None => normalise(&attempt.message),
        })
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.len()
}

/// Whether all attempts that say so had the same input, and more than one does.
pub(crate) fn same_input(seen: &Seen<'_>) -> bool {
    let mut hashes = seen.failures().filter_map(|attempt| attempt.input_hash.as_deref());
    let first = hashes.next();
    let mut others = hashes.peekable();
    others.peek().is_some() && others.all(|hash| Some(hash) == first)
}

/// A worker on which everything failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnlyWorker<'a> {
    pub(crate) worker: &'a str,
    /// Successes elsewhere.
    pub(crate) count: u64,
    /// Runs that failed on it.
    pub(crate) runs: usize,
}

/// Runs that must fail alike on one worker, or with one version, until it is not the run.
pub(crate) const RUNS_MIN: usize = 2;

/// The worker on which everything failed while others succeeded, and how often these did. Every process has an id of its own, so
/// that a worker without successes says nothing by itself: it must have failed twice while others succeeded.
pub(crate) fn only_worker<'a>(seen: &Seen<'a>) -> Option<OnlyWorker<'a>> {
    let worker = seen.failed()?.worker.as_deref()?;
    if seen.failures().any(|attempt| attempt.worker.as_deref() != Some(worker)) {
        return None;
    }
    let stats = seen.stats?;
    if stats.by_worker.get(worker).is_some_and(|here| here.count > 0) {
        return None;
    }
    let with_it = failed_alike(seen, |other| other.worker.as_deref() == Some(worker));
    let without_it = failed_near(seen)
        .filter(|other| other.worker.as_deref().is_some_and(|other| other != worker))
        .count();
    let since = seen.failures().next()?.started_at;
    let meanwhile = stats.by_worker.values().any(|there| there.last_at >= since);
    let count: u64 = stats.by_worker.values().map(|there| there.count).sum();
    let holds =
        count >= ELSEWHERE_MIN && meanwhile && without_it == 0 && seen.failures().count() + with_it >= 2;
    holds.then_some(OnlyWorker { worker, count, runs: 1 + with_it })
}

/// What others met with at the same step that failed there.
fn failed_near<'a>(seen: &Seen<'a>) -> impl Iterator<Item = &'a Neighbour> {
    let own = seen.step;
    let near = move |step: &str| own.is_none_or(|own| own.step == step);
    seen.neighbours.iter().filter(move |other| !other.succeeded && near(&other.step))
}

/// How many other runs failed at the same step with the same error, as far as theirs is known.
fn failed_alike(seen: &Seen<'_>, fits: impl Fn(&Neighbour) -> bool) -> usize {
    let Some(last) = seen.failed() else { return 0 };
    let marks = Marks {
        class: last.class,
        error_code: last.code.as_deref().unwrap_or_default(),
        text: &last.message,
        panic_at: last.panic_at.as_deref().unwrap_or_default(),
        ..Marks::of_step(&seen.run.workflow, seen.step.map_or("", |step| &step.step))
    };
    let own = fingerprint(marks);
    let is_alike = |other: &&Neighbour| other.fingerprint.as_ref().is_none_or(|other| *other == own);
    let others = failed_near(seen).filter(|other| other.run != seen.run.run && fits(other)).filter(is_alike);
    others.map(|other| &other.run).collect::<BTreeSet<_>>().len()
}

/// A version of the code that never succeeded although others did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnlyVersion<'a> {
    pub(crate) version: &'a str,
    /// Successes of others.
    pub(crate) count: u64,
    /// Runs that failed with it in the same way.
    pub(crate) runs: usize,
}

/// The version of the code that never succeeded although others did. Right after a deploy that is so of whatever fails first.
pub(crate) fn only_version<'a>(seen: &Seen<'a>) -> Option<OnlyVersion<'a>> {
    let version = seen.failed()?.code_version.as_deref()?;
    let stats = seen.stats?;
    if stats.by_code_version.get(version).is_some_and(|here| here.count > 0) {
        return None;
    }
    let count: u64 = stats.by_code_version.values().map(|there| there.count).sum();
    if count < ELSEWHERE_MIN
        || seen.failures().any(|attempt| attempt.code_version.as_deref() != Some(version))
    {
        return None;
    }
    let with_it = failed_alike(seen, |other| other.code_version.as_deref() == Some(version));
    Some(OnlyVersion { version, count, runs: 1 + with_it })
}

/// The size of the input and the largest that ever succeeded, where the first is well above the second, and how sure it is that
/// this matters.
pub(crate) fn only_larger(seen: &Seen<'_>) -> Option<(u64, u64, Confidence)> {
    let bytes = seen.failed()?.input_bytes?;
    let stats = seen.stats.filter(|stats| stats.count >= ELSEWHERE_MIN && stats.max_input_bytes > 0)?;
    // A little more than ever before happens every day.
    if bytes < stats.max_input_bytes.saturating_add((stats.max_input_bytes / 2).max(LARGER_MIN_BYTES)) {
        return None;
    }
    // However often one input fails, it is one input.
    let others = failed_near(seen).filter(|other| other.run != seen.run.run);
    let mut sizes = others.filter_map(|other| other.input_bytes).peekable();
    let all_larger = sizes.peek().is_some() && sizes.all(|other| other > stats.max_input_bytes);
    let confidence = if all_larger { Confidence::Medium } else { Confidence::Low };
    Some((bytes, stats.max_input_bytes, confidence))
}
