//! A stored value, or what a run was given, has a form that this worker's code does not read.

use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;
use crate::workflow::failure::NEEDS_MIGRATION;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let Some(unread) = seen.unread else {
        let last = seen.failed().filter(|last| last.observed() == Some(NEEDS_MIGRATION))?;
        let said = Params::new().with("text", &last.message);
        return Some(
            Finding::new("SW1203", Confidence::High).with("what", &last.message).fact("error", said).untouched(),
        );
    };
    let said = Params::new()
        .with("what", &unread.what)
        .with("where", &unread.place)
        .with("detail", &unread.detail);
    if unread.is_first_input {
        // Code that has changed since would look the same.
        return Some(
            Finding::new("SW1104", Confidence::Medium).with("what", &unread.what).fact("unread", said).untouched(),
        );
    }
    let forms = unread.stored_form.zip(unread.code_form).filter(|(stored, code)| stored != code);
    Some(
        Finding::new("SW1203", Confidence::High)
            .with("what", &unread.what)
            .fact("unread", said)
            .fact_if(forms.map(|(stored, code)| {
                ("forms", Params::new().with("stored", stored).with("code", code))
            }))
            .untouched(),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::{Dossier, UnreadValue};
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    pub(crate) fn positives() -> Specimens {
        let unread = UnreadValue {
            what: "the output of step charge".into(),
            place: "total".into(),
            detail: "expected u64".into(),
            stored_form: Some(1),
            code_form: Some(2),
            ..UnreadValue::default()
        };
        let input = UnreadValue {
            what: "validate cannot read the input of the workflow: missing field `items`".into(),
            is_first_input: true,
            ..UnreadValue::default()
        };
        vec![
            ("SW1104", Dossier { unread: Some(input), ..Dossier::of_step("order", "validate") }),
            ("SW1203", Dossier { unread: Some(unread), ..Dossier::of_step("order", "ship") }),
            ("SW1203", observed(ErrorClass::Bug, "needs_migration", "the input does not fit")),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        // A step may use the word for something of its own.
        vec![("SW9001", Dossier::failed(ErrorClass::Permanent, Some("needs_migration"), "schema 4"))]
    }
}
