//! The target can only be read.

use crate::diagnosis::compare::error;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::signal::Signal;
use crate::diagnosis::text::Params;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let mount = seen.read_only_mount();
    let by = seen.says(Signal::ReadOnly).or_else(|| seen.says(Signal::Denied).filter(|_| mount.is_some()))?;
    let (says, params) = error(seen.last()?);
    // The error number says it as surely as the mount does.
    let sure = seen.sure(by, mount.is_some() || by == crate::diagnosis::signal::By::Code);
    let mounted = mount.map(|(path, mount)| {
        ("read_only_mount", Params::new().with("path", path).with("mount", mount))
    });
    Some(Finding::new("SW3005", sure).with("what", seen.path()).fact_if(mounted).fact(says, params).known_by(by))
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::EnvironmentFact;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    pub(crate) fn positives() -> Specimens {
        let mount = || EnvironmentFact::ReadOnlyMount { path: "/mnt/a".into(), mount: "/mnt".into() };
        vec![
            ("SW3005", known(ErrorClass::Config, "io.read_only_filesystem", "Read-only file system")),
            ("SW3005", known(ErrorClass::Config, "io.permission_denied", "denied").fact(mount())),
            ("SW3005", words("write: Read-only file system (os error 30)").fact(mount())),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        let denied = known(ErrorClass::Config, "io.permission_denied", "Permission denied");
        let mount = EnvironmentFact::ReadOnlyMount { path: "/mnt/a".into(), mount: "/mnt".into() };
        let refused = known(ErrorClass::Unavailable, "io.connection_refused", "refused").fact(mount);
        vec![("SW3003", denied), ("SW4001", refused)]
    }
}
