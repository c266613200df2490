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
    let child = relative(seen, Relation::Child)?;
    let last = seen.failed()?;
    last.has_code(&["child.failed", "child.cancelled"]).then(|| follows("SW8202", child))
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
