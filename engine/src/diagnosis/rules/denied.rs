//! The file system denies access.

use crate::diagnosis::compare::error;
use crate::diagnosis::evidence::{EnvironmentFact, PathState};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{PathSeen, Seen};
use crate::diagnosis::signal::Signal;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let by = seen.says(Signal::Denied)?;
    // A socket can be denied too, which is no matter of files.
    if seen.endpoint.is_some() && seen.path_state().is_none() {
        return None;
    }
    let (says, params) = error(seen.last()?);
    let state = seen.path_state();
    let at = state.as_ref().and_then(|state| state.found.or(state.parent));
    let lacks = at.and_then(PathState::lacks);
    let paths = seen.facts().filter(|fact| matches!(fact, EnvironmentFact::Path { .. })).count();
    let proven = state.as_ref().is_some_and(PathSeen::is_denied);
    let sure = match paths {
        0 => Confidence::Low,
        1 => seen.sure(by, proven),
        // One of several is denied; that it is this one is likely.
        _ => seen.sure(by, proven).min(Confidence::Medium),
    };
    let mut finding = Finding::new("SW3003", sure).with("what", seen.path());
    if let (Some(at), Some(right)) = (at, lacks) {
        finding = finding.fact("path_denied", Params::new().with("right", right).with("path", &at.path));
    }
    let uid = state.as_ref().and_then(|state| state.uid);
    if let (Some(at), Some(uid)) = (at, uid)
        && let (Some(mode), Some(owner)) = (at.mode, at.owner)
    {
        let rights = Params::new()
            .with("path", &at.path)
            .with("mode", format!("{:04o}", mode & 0o7777))
            .with("owner", owner)
            .with("uid", uid);
        finding = finding.fact("path_rights", rights);
    }
    Some(finding.fact(says, params).known_by(by))
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::evidence::{EndpointAnswer, FileKind};
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    fn error() -> Dossier {
        known(ErrorClass::Config, "io.permission_denied", "Permission denied")
    }

    fn key(readable: bool) -> EnvironmentFact {
        let state = PathState {
            kind: FileKind::File,
            mode: Some(0o600),
            readable: Some(readable),
            writable: Some(false),
            ..folder("/data/key")
        };
        path("/data/key", Some(state), "/data", &[])
    }

    #[test]
    fn a_right_that_may_not_have_been_needed_proves_nothing() {
        let sure = |case: Dossier| told(&case).1;
        assert_eq!(sure(error().fact(key(false))), Confidence::High);
        assert_eq!(sure(error().fact(key(true))), Confidence::Medium);
        let open = path("/data/in", Some(folder("/data/in")), "/data", &[]);
        assert_eq!(sure(error().fact(open).fact(key(false))), Confidence::Medium);
        assert_eq!(sure(error()), Confidence::Low);
    }

    #[test]
    fn of_several_paths_it_is_the_one_that_is_denied() {
        let closed = PathState { writable: Some(false), ..folder("/srv") };
        let absent = EnvironmentFact::Path {
            path: "/srv/x".to_owned(),
            found: None,
            parent: Some(closed),
            uid: Some(1000),
            similar: Vec::new(),
        };
        let case = error().fact(key(true)).fact(absent);
        let diagnosis = crate::diagnosis::diagnose(&case.case(), &crate::diagnosis::Rules::none());
        assert_eq!(diagnosis.params.get("what"), Some("/srv/x"), "{diagnosis:?}");
    }

    pub(crate) fn positives() -> Specimens {
        vec![("SW3003", error().fact(key(false))), ("SW3003", error().fact(key(true))), ("SW3003", error())]
    }

    pub(crate) fn decoys() -> Specimens {
        let bind = known(ErrorClass::Config, "io.permission_denied", "Permission denied");
        vec![
            ("SW9001", bind.fact(endpoint("127.0.0.1", 80, EndpointAnswer::Refuses))),
            ("SW9001", kind_told("io.permission_denied", "user 12 may not approve")),
            ("SW5003", Dossier::failed(ErrorClass::Auth, Some("http.403"), "permission denied")),
        ]
    }

    use crate::diagnosis::evidence::Dossier;
}
