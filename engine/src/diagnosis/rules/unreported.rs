//! Whoever was to do the step outside has not said in time how it ended.

use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_ms};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.ran_out("timeout.report")?;
    let end = last.ended_at?;
    let Some(word) = last.word_at else {
        let waited = Params::new().with("limit", told_ms(end.since_ms(last.started_at)));
        return Some(
            Finding::new("SW2009", Confidence::High)
                .with("limit", told_ms(end.since_ms(last.started_at)))
                .fact("nobody_began", waited),
        );
    };
    let silent = told_ms(end.since_ms(word));
    let begun = last.outsider.as_ref().map(|by| ("begun_by", Params::new().with("outsider", by)));
    Some(
        Finding::new("SW2010", Confidence::High)
            .with("silent", silent.clone())
            .with("outsider", last.outsider.as_deref().unwrap_or("?"))
            .fact_if(begun)
            .fact("last_sign", Params::new().with("ago", silent)),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use stepwell_contract::Timestamp;

    use crate::diagnosis::evidence::Dossier;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    fn silent(word_at: Option<Timestamp>, outsider: Option<&str>) -> Dossier {
        observed(ErrorClass::Timeout, "timeout.report", "report ran out").last(|last| {
            last.ended_at = Some(last.started_at.plus_ms(60_000));
            last.word_at = word_at;
            last.outsider = outsider.map(str::to_owned);
        })
    }

    pub(crate) fn positives() -> Specimens {
        vec![
            ("SW2009", silent(None, None)),
            ("SW2010", silent(Some(Timestamp(10_000)), Some("cutter-7"))),
            ("SW2010", silent(Some(Timestamp(10_000)), None)),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        // Whoever does the step says that it took too long.
        vec![("SW9001", known(ErrorClass::Timeout, "timeout.report", "the report took too long"))]
    }
}
