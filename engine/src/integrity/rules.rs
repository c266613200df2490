//! What is looked for: one rule a file, pure.

use crate::integrity::issue::Issue;
use crate::integrity::sight::Sight;

mod children;
mod head;
mod items;
mod lease;
mod mail;
mod parent;
mod progress;
mod records;
mod result;
mod schedule;
mod slots;
mod timer;
mod unclaimed;

#[cfg(test)]
mod fixtures;

/// A rule: what it finds wrong with a run.
type Rule = fn(&Sight<'_>) -> Vec<Issue>;

/// The rules for runs.
const OF_RUNS: &[Rule] = &[
    records::look,
    records::unread,
    head::look,
    parent::look,
    children::look,
    items::look,
    result::look,
    lease::look,
    unclaimed::look,
    progress::look,
    mail::look,
    timer::look,
    schedule::look,
];

/// The rules for what the engine keeps for itself.
const OF_SYSTEM: &[Rule] = &[slots::look, records::unread];

/// Everything that is wrong with a run, the worst first.
#[must_use]
pub fn judge(sight: &Sight<'_>) -> Vec<Issue> {
    found(OF_RUNS, sight)
}

/// Everything that is wrong with a head of the engine's own.
#[must_use]
pub fn judge_own(sight: &Sight<'_>) -> Vec<Issue> {
    found(OF_SYSTEM, sight)
}

fn found(rules: &[Rule], sight: &Sight<'_>) -> Vec<Issue> {
    let mut found: Vec<Issue> = rules.iter().flat_map(|rule| rule(sight)).collect();
    found.sort_by_key(|issue| std::cmp::Reverse(issue.severity));
    found
}
