//! The step worked, and its output or input has no stored form.

use crate::diagnosis::compare::error;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.failed()?;
    match last.observed() {
        Some("oversize" | "payload.too_large") => {
            let sizes = last.output_bytes.zip(seen.stats).map(|(bytes, stats)| {
                let params = Params::new()
                    .with("bytes", bytes)
                    .with("median", stats.median_output_bytes)
                    .with("max", stats.max_output_bytes);
                ("output_size", params)
            });
            let (says, params) = error(last);
            Some(Finding::new("SW1201", Confidence::High).fact(says, params).fact_if(sizes))
        }
        Some("undecodable" | "payload.json") => {
            let (says, params) = error(last);
            Some(Finding::new("SW1202", Confidence::High).fact(says, params))
        }
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::Dossier;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    pub(crate) fn positives() -> Specimens {
        vec![
            ("SW1201", observed(ErrorClass::Bug, "oversize", "output of 2000000 bytes is over the limit")),
            ("SW1202", observed(ErrorClass::Bug, "undecodable", "output does not fit its type")),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![("SW9001", Dossier::failed(ErrorClass::Permanent, Some("oversize"), "parcel is oversize"))]
    }
}
