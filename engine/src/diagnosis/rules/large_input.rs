//! Only inputs above a size fail.

use crate::diagnosis::compare::only_larger;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let (bytes, max, sure) = only_larger(seen)?;
    let median = seen.stats?.median_input_bytes;
    let said = Params::new().with("bytes", bytes).with("median", median).with("max", max);
    Some(Finding::new("SW1302", sure).with("bytes", bytes).with("max_bytes", max).fact("input_size", said))
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::{Dossier, Endpoint, Neighbour, StepStats};
    use crate::diagnosis::rules::fixtures::*;
    use crate::diagnosis::verdict::Confidence;

    fn of(bytes: u64) -> Dossier {
        words("request body rejected")
            .times(2, |attempt| attempt.input_bytes = Some(bytes))
            .stats(StepStats { median_input_bytes: 1_000, max_input_bytes: 4_000, ..stats(50, 10, 20) })
    }

    #[test]
    fn one_input_is_one_observation_however_often_it_fails() {
        assert_eq!(told(&of(9_000)), ("SW1302".to_owned(), Confidence::Low));
        let server = Endpoint { host: "render".into(), port: None };
        let another = Neighbour { input_bytes: Some(8_000), ..neighbour("charge", "run-2", false, &server) };
        let two = Dossier { neighbours: vec![another], ..of(9_000) };
        assert_eq!(told(&two), ("SW1302".to_owned(), Confidence::Medium));
    }

    pub(crate) fn positives() -> Specimens {
        vec![("SW1302", of(9_000))]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![("SW9001", of(4_100))]
    }
}
