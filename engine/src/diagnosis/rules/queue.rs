//! The run waits, and no live worker can take it.

use crate::diagnosis::evidence::WorkerFacts;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;
use crate::workflow::posted::OWN;

/// How alike two names must be for one to be taken for the other misspelt, from 0 to 1.
const NEAR: f64 = 0.7;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    // Only a whole list proves that nobody is there.
    let queue = seen.queue.filter(|queue| queue.workers_complete)?;
    let (name, version) = (&seen.run.workflow, seen.run.version);
    // A server that goes on with nothing but what every engine brings along is no worker to whoever waits for one.
    let works = |worker: &WorkerFacts| {
        worker.workflows.iter().any(|(its, _)| its == name || !its.starts_with(OWN))
    };
    let alive: Vec<_> = queue.workers.iter().filter(|worker| worker.alive && works(worker)).collect();
    let takes =
        |worker: &&&WorkerFacts| worker.queues.is_empty() || worker.queues.contains(&queue.queue);
    let listening: Vec<_> = alive.iter().filter(takes).collect();
    let workers = Params::new()
        .with("alive", alive.len())
        .with("listening", listening.len())
        .with("queue", &queue.queue);
    if listening.is_empty() {
        let names = alive.iter().flat_map(|worker| worker.queues.iter().map(String::as_str));
        let finding = Finding::new("SW6009", Confidence::High)
            .with("queue", &queue.queue)
            .with("alive", alive.len())
            .fact("workers", workers)
            .untouched();
        return Some(meant(finding, nearest(&queue.queue, names)));
    }
    let has = |worker: &&&&WorkerFacts| worker.workflows.iter().any(|(n, v)| n == name && *v == version);
    if listening.iter().any(|worker| has(&worker)) {
        return None;
    }
    let known = || listening.iter().flat_map(|worker| &worker.workflows);
    let mut names: Vec<_> = known().map(|(name, version)| format!("{name} {version}")).collect();
    names.sort_unstable();
    names.dedup();
    let like = nearest(name, known().map(|(name, _)| name.as_str()));
    let version_like = like.and_then(|like| {
        let versions = known().filter(|(name, _)| name == like).map(|(_, version)| *version);
        versions.min_by_key(|known| (known.abs_diff(version), u32::MAX - known))
    });
    let finding = Finding::new("SW6010", Confidence::High)
        .with("wanted", format!("{name} {version}"))
        .with("queue", &queue.queue)
        .fact("workers", workers)
        .fact("workflows", Params::new().with("names", names.join(", ")))
        .untouched();
    let like = like.zip(version_like).map(|(name, version)| format!("{name} {version}"));
    Some(meant(finding, like.as_deref()))
}

fn meant(finding: Finding, name: Option<&str>) -> Finding {
    match name {
        Some(name) => finding.infer("nearest", Params::new().with("name", name)),
        None => finding,
    }
}

fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let rated = names.map(|name| (strsim::jaro_winkler(name, wanted), name));
    let near = rated.filter(|(likeness, _)| *likeness > NEAR);
    near.max_by(|(a, one), (b, other)| a.total_cmp(b).then_with(|| other.cmp(one))).map(|(_, name)| name)
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::evidence::{Dossier, QueueFacts};
    use crate::diagnosis::rules::fixtures::*;

    fn worker(alive: bool, queues: &[&str], workflow: &str, version: u32) -> WorkerFacts {
        WorkerFacts {
            worker: "w1".into(),
            alive,
            queues: queues.iter().map(|name| (*name).to_owned()).collect(),
            workflows: vec![(workflow.to_owned(), version)],
            ..WorkerFacts::default()
        }
    }

    fn waits(workers: Vec<WorkerFacts>, complete: bool) -> Dossier {
        let queue =
            QueueFacts { queue: "bulk".into(), workers, workers_complete: complete, ..QueueFacts::default() };
        Dossier { queue: Some(queue), ..Dossier::of_step("order", "charge") }
    }

    pub(crate) fn positives() -> Specimens {
        vec![
            ("SW6009", waits(vec![worker(true, &["default"], "order", 1)], true)),
            ("SW6009", waits(vec![worker(false, &["bulk"], "order", 1)], true)),
            ("SW6009", waits(vec![], true)),
            ("SW6009", waits(vec![worker(true, &[], "stepwell.schedule", 1)], true)),
            ("SW6010", waits(vec![worker(true, &[], "stepwell.schedule", 1), worker(true, &[], "order", 2)], true)),
            ("SW6010", waits(vec![worker(true, &[], "order", 2)], true)),
            ("SW6010", waits(vec![worker(true, &["bulk"], "ordre", 1)], true)),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![
            ("SW9001", waits(vec![worker(true, &["bulk"], "order", 1)], true)),
            ("SW9001", waits(vec![], false)),
        ]
    }
}
