//! A store against what was seen: nothing acknowledged is lost, nothing is recorded twice, everything has ended as it
//! should.

use std::collections::{BTreeMap, HashMap, HashSet};

use stepwell::run::state::State;
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Backend, Record, RunKey, Seq, Status};

use crate::witness::{Line, place_of};

/// Whether a run is no head of the engine's own.
#[must_use]
pub fn is_of_users(key: &RunKey) -> bool {
    key.tenant.as_str() != "stepwell.system"
}

/// What an audit counted and found.
#[derive(Debug, Default)]
pub struct Audit {
    /// Records that were acknowledged.
    pub acknowledged: u64,
    /// Attempts that ran.
    pub executed: u64,
    /// Attempts that ran of steps that had run before: what a crash costs.
    pub repeated: u64,
    /// Broken promises.
    pub violations: Vec<String>,
}

impl Audit {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.executed += other.executed;
        self.repeated += other.repeated;
        self.violations.extend(other.violations);
    }
}

/// The whole journal of a run.
///
/// # Errors
/// What the store says.
pub async fn journal(
    backend: &dyn Backend,
    key: &RunKey,
) -> Result<Vec<Record>, stepwell_contract::BackendError> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let from = records.last().map_or(Seq::FIRST, |last| last.seq.plus(1));
        let page = backend.journal(key, from, PAGE_ITEMS_MAX).await?;
        let is_last = page.len() < PAGE_ITEMS_MAX;
        records.extend(page);
        if is_last {
            return Ok(records);
        }
    }
}

/// Audits runs that have to have ended, each with its result as JSON, against the witness. What the file says of
/// other runs is left aside.
pub async fn audit(backend: &dyn Backend, expected: &[(RunKey, String)], lines: &[Line]) -> Audit {
    let (mut audit, uncounted) = order(lines);
    let mut journals = HashMap::new();
    for (key, result) in expected {
        match journal(backend, key).await {
            Ok(records) => {
                audit.violations.extend(check_run(backend, key, &records, result).await);
                journals.insert(key.run.to_string(), records);
            }
            Err(error) => audit.violations.push(format!("{key}: the journal cannot be read: {error}")),
        }
    }
    for line in lines {
        let Line::Acknowledged { run, seq, kind, crc, .. } = line else { continue };
        let Some(records) = journals.get(run) else { continue };
        let found = usize::try_from(*seq).ok().and_then(|seq| records.get(seq.wrapping_sub(1)));
        match found {
            Some(record) if record.kind.as_str() == kind && record.crc == *crc => {}
            Some(record) => audit.violations.push(format!(
                "{run}: record {seq} was acknowledged as {kind} and is {} now",
                record.kind.as_str()
            )),
            None => {
                audit.violations.push(format!("{run}: record {seq} ({kind}) was acknowledged and is lost"));
            }
        }
    }
    // After a reply that was lost the engine reads back: nobody was told, and the journal alone knows.
    let replies_lost =
        lines.iter().any(|line| matches!(line, Line::Failed { class, .. } if class == "Indefinite"));
    for (run, step, attempt) in uncounted {
        let is_recorded = journals.get(run).is_none_or(|records| has_started(records, step, attempt));
        if !(replies_lost && is_recorded) {
            audit.violations.push(format!("{run}: attempt {attempt} of {step} ran before it was counted"));
        }
    }
    audit
}

/// One run by itself: its journal has no gap, makes a state, records each result once, and ends as it should.
pub async fn check_run(backend: &dyn Backend, key: &RunKey, records: &[Record], result: &str) -> Vec<String> {
    let mut violations = check_journal(key, records);
    let head = match backend.head(key).await {
        Ok(Some(head)) => head,
        Ok(None) => return vec![format!("{key}: it is lost")],
        Err(error) => return vec![format!("{key}: the head cannot be read: {error}")],
    };
    if head.next_seq != Seq::FIRST.plus(records.len()) {
        violations.push(format!("{key}: next_seq is {} after {} records", head.next_seq, records.len()));
    }
    match State::fold(records) {
        Err(error) => violations.push(format!("{key}: the journal makes no state: {error}")),
        Ok(state) => {
            if state.status != Status::Succeeded || head.status != Status::Succeeded {
                violations
                    .push(format!("{key}: it is {} (head {}), not succeeded", state.status, head.status));
            }
            let output = state.result.as_ref().and_then(|shape| shape.result(&state).ok().flatten());
            let output = output.map_or("none".to_owned(), |output| output.text().to_owned());
            if output != result {
                violations.push(format!("{key}: the result is {output}, not {result}"));
            }
        }
    }
    violations
}

/// What holds in every journal, finished or not.
#[must_use]
pub fn check_journal(key: &RunKey, records: &[Record]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut results: BTreeMap<String, u32> = BTreeMap::new();
    let mut owners: Vec<(u64, String)> = Vec::new();
    for (nth, record) in records.iter().enumerate() {
        if record.seq != Seq::FIRST.plus(nth) {
            violations.push(format!("{key}: record {} stands at place {}", record.seq, nth + 1));
        }
        if let Err(error) = record.verify() {
            violations.push(format!("{key}: record {}: {error}", record.seq));
        }
        let fields: serde_json::Value = record.payload.decode().unwrap_or_default();
        match record.kind.as_str() {
            "step_succeeded" => {
                let place = format!("{}{}", fields["step"], fields["item"]);
                *results.entry(place).or_default() += 1;
            }
            "run_taken" => {
                let fence = fields["fence"].as_u64().unwrap_or(0);
                let worker = fields["worker"].to_string();
                if let Some((before, owner)) = owners.last()
                    && (fence < *before || (fence == *before && worker != *owner))
                {
                    violations.push(format!("{key}: fence {fence} of {worker} follows {before} of {owner}"));
                }
                owners.push((fence, worker));
            }
            _ => {}
        }
    }
    for (place, times) in results.into_iter().filter(|(_, times)| *times > 1) {
        violations.push(format!("{key}: {place} has {times} results"));
    }
    violations
}

/// Whether the attempt was counted.
fn has_started(records: &[Record], step: &str, attempt: u32) -> bool {
    records.iter().filter(|record| record.kind.as_str() == "step_started").any(|record| {
        let fields: serde_json::Value = record.payload.decode().unwrap_or_default();
        place_of(&fields) == step && fields["attempt"].as_u64() == Some(attempt.into())
    })
}

/// What has to hold in the order of the lines: nothing that was acknowledged as done runs again, and no attempt runs
/// twice. Also returns the attempts that ran before anybody was told that they were counted.
fn order(lines: &[Line]) -> (Audit, Vec<(&str, &str, u32)>) {
    let mut audit = Audit::default();
    let mut uncounted = Vec::new();
    let mut done = HashMap::new();
    let mut parts_done = HashSet::new();
    let mut counted = HashSet::new();
    let mut attempts = HashSet::new();
    let mut ran = HashSet::new();
    for line in lines {
        match line {
            Line::Acknowledged { run, kind, step, attempt, .. } => {
                audit.acknowledged += 1;
                match kind.as_str() {
                    "step_succeeded" => drop(done.insert((run, step), *attempt)),
                    "step_started" => drop(counted.insert((run, step, *attempt))),
                    "memoised" => drop(parts_done.insert((run, step))),
                    _ => {}
                }
            }
            Line::Executed { run, step, attempt, .. } => {
                audit.executed += 1;
                audit.repeated += u64::from(!ran.insert((run, step)));
                // An earlier attempt may wake late, in a worker that was stopped: only a new one is a repetition.
                if done.get(&(run, step)).is_some_and(|done| attempt > done) {
                    audit
                        .violations
                        .push(format!("{run}: {step} ran again after its result was acknowledged"));
                }
                if !attempts.insert((run, step, *attempt)) {
                    audit.violations.push(format!("{run}: attempt {attempt} of {step} ran twice"));
                }
                if !counted.contains(&(run, step, *attempt)) {
                    uncounted.push((run.as_str(), step.as_str(), *attempt));
                }
            }
            Line::Part { run, step, name } if parts_done.contains(&(run, step)) => {
                audit
                    .violations
                    .push(format!("{run}: part {name} of {step} ran again after it was acknowledged"));
            }
            _ => {}
        }
    }
    (audit, uncounted)
}
