//! The file system denies access.

use crate::diagnosis::compare::error;
use crate::diagnosis::evidence::PathState;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::signal::Signal;
use crate::diagnosis::text::Params;

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
    let mut finding = Finding::new("SW3003", seen.sure(by, lacks.is_some())).with("what", seen.path());
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

    pub(crate) fn positives() -> Specimens {
        let error = || known(ErrorClass::Config, "io.permission_denied", "Permission denied");
        let state = PathState {
            kind: FileKind::File,
            mode: Some(0o600),
            readable: Some(false),
            writable: Some(false),
            ..folder("/data/key")
        };
        vec![("SW3003", error().fact(path("/data/key", Some(state), "/data", &[]))), ("SW3003", error())]
    }

    pub(crate) fn decoys() -> Specimens {
        let bind = known(ErrorClass::Config, "io.permission_denied", "Permission denied");
        vec![
            ("SW9001", bind.fact(endpoint("127.0.0.1", 80, EndpointAnswer::Refuses))),
            ("SW5003", Dossier::failed(ErrorClass::Auth, Some("http.403"), "permission denied")),
        ]
    }

    use crate::diagnosis::evidence::Dossier;
}
