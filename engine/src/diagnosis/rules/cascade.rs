//! The failure follows from that of another run or step.

use crate::diagnosis::evidence::{AttemptEnd, Relation, Relative};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;
use crate::run::actor::Actor;
use crate::run::event::LostReason;
use crate::workflow::error::ErrorClass;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    from_parent(seen).or_else(|| from_child(seen)).or_else(|| from_step(seen))
}

fn relative<'a>(seen: &Seen<'a>, relation: Relation) -> Option<&'a Relative> {
    let relatives = seen.run.relatives.iter();
    relatives.filter(|other| other.relation == relation && other.ended != "succeeded").min_by_key(|other| {
        // The first to end is the cause; what nobody knows the time of comes last.
        (other.ended_at.is_none(), other.ended_at)
    })
}

/// Stopped, and not failed in its own right.
fn was_stopped(seen: &Seen<'_>) -> bool {
    seen.last().is_none_or(|last| {
        last.ended == AttemptEnd::Lost(LostReason::Stopped) || last.class == Some(ErrorClass::Cancelled)
    })
}

fn from_parent(seen: &Seen<'_>) -> Option<Finding> {
    let parent = relative(seen, Relation::Parent)?;
    let by_parent = match seen.run.cancelled.as_ref().map(|cancelled| &cancelled.actor) {
        Some(Actor::Run(key)) => key.to_string().contains(&parent.run),
        Some(Actor::Engine) | None => true,
        Some(_) => false,
    };
    (by_parent && was_stopped(seen)).then(|| follows("SW8201", parent).untouched())
}

fn from_child(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.failed()?;
    // Several may have failed of which the step put up with all but one: its error names that one.
    let named = seen.run.relatives.iter().find(|other| {
        other.relation == Relation::Child && other.ended != "succeeded" && names(&last.message, &other.run)
    });
    let child = named.or_else(|| relative(seen, Relation::Child))?;
    last.has_code(&["child.failed", "child.cancelled"]).then(|| follows("SW8202", child))
}

/// Whether a text names a run, and not only one whose id begins or ends like its own.
fn names(text: &str, run: &str) -> bool {
    let is_id = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    text.match_indices(run).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + run.len()..].chars();
        let ends = match after.next() {
            Some('.') => !after.next().is_some_and(is_id),
            other => !other.is_some_and(is_id),
        };
        !before.is_some_and(is_id) && ends
    })
}

fn from_step(seen: &Seen<'_>) -> Option<Finding> {
    if seen.run.cancelled.is_some() || seen.last().is_none() || !was_stopped(seen) {
        return None;
    }
    let step = relative(seen, Relation::Upstream).or_else(|| relative(seen, Relation::Beside))?;
    Some(follows("SW8203", step))
}

fn follows(code: &'static str, from: &Relative) -> Finding {
    let other = from.step.as_ref().unwrap_or(&from.run);
    let said = Params::new().with("other", other).with("ended", &from.ended).with("summary", &from.summary);
    Finding::new(code, Confidence::High).with("other", other).with("other_run", &from.run).fact("relative", said)
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::evidence::Dossier;
    use crate::diagnosis::rules::fixtures::*;

    fn other(relation: Relation, step: Option<&str>, ended: &str) -> Relative {
        Relative {
            relation,
            run: "run-0".into(),
            step: step.map(str::to_owned),
            ended: ended.into(),
            ended_at: None,
            class: None,
            code: Some("SW3001".into()),
            summary: "a file is not there".into(),
        }
    }

    fn with(mut case: Dossier, relative: Relative) -> Dossier {
        case.run.relatives = vec![relative];
        case
    }

    fn stopped() -> Dossier {
        words("stopped").last(|last| last.ended = AttemptEnd::Lost(LostReason::Stopped))
    }

    #[test]
    fn of_several_children_it_is_the_one_that_the_error_names() {
        let mut case = Dossier::failed(ErrorClass::Permanent, Some("child.failed"), "run pack/run-10 failed: x");
        let child = |run: &str| Relative { run: run.into(), ..other(Relation::Child, None, "failed") };
        case.run.relatives = vec![child("run-1"), child("run-10")];
        let diagnosis = crate::diagnosis::diagnose(&case.case(), &crate::diagnosis::Rules::none());
        assert_eq!((diagnosis.code.as_str(), diagnosis.params.get("other_run")), ("SW8202", Some("run-10")));
    }

    pub(crate) fn positives() -> Specimens {
        let child = Dossier::failed(ErrorClass::Permanent, Some("child.failed"), "run run-0 failed: x");
        vec![
            ("SW8201", with(stopped(), other(Relation::Parent, None, "failed"))),
            ("SW8202", with(child, other(Relation::Child, None, "failed"))),
            ("SW8203", with(stopped(), other(Relation::Beside, Some("pack"), "failed"))),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        let own = || known(ErrorClass::Unavailable, "io.connection_refused", "refused");
        vec![
            // It failed by itself, whatever became of its relatives.
            ("SW4001", with(own(), other(Relation::Parent, None, "failed"))),
            ("SW4001", with(own(), other(Relation::Child, None, "failed"))),
            ("SW4001", with(own(), other(Relation::Beside, Some("pack"), "failed"))),
            ("SW9001", with(stopped(), other(Relation::Beside, Some("pack"), "succeeded"))),
        ]
    }
}
