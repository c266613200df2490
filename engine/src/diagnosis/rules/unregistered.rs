//! The run needs a step that this worker's definition does not have.

use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let step = seen.step.filter(|step| step.registered == Some(false))?;
    let mut finding = Finding::new("SW8101", Confidence::High)
        .with("wanted", &step.step)
        .fact("known_steps", Params::new().with("names", step.known.join(", ")))
        .untouched();
    if let Some(name) = &step.nearest {
        finding = finding.infer("nearest", Params::new().with("name", name));
    }
    Some(finding)
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::Dossier;
    use crate::diagnosis::rules::fixtures::*;

    pub(crate) fn positives() -> Specimens {
        let mut case = Dossier::of_step("order", "chrage");
        if let Some(step) = &mut case.step {
            step.registered = Some(false);
            step.known = vec!["validate".into(), "charge".into()];
            step.nearest = Some("charge".into());
        }
        vec![("SW8101", case)]
    }

    pub(crate) fn decoys() -> Specimens {
        let mut case = words("step charge is not registered with the bank");
        case.step.as_mut().expect("a step").registered = Some(true);
        vec![("SW9001", case)]
    }
}
