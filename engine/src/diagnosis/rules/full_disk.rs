//! No room is left on the disk, in bytes, in files or in the share that is allotted.

use crate::diagnosis::compare::{error, space};
use crate::diagnosis::evidence::EnvironmentFact;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::signal::{By, Signal};
use crate::diagnosis::support;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

/// Free space below which a write of an ordinary size fails, in bytes.
const FULL_BYTES: u64 = 1 << 20;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let (says, params) = error(seen.failed()?);
    if let Some(by) = seen.says(Signal::Quota) {
        let finding = Finding::new("SW3010", seen.sure(by, by == By::Code)).with("what", seen.path());
        return Some(finding.fact(says, params).known_by(by));
    }
    let by = seen.says(Signal::Full)?;
    // Of several disks it is the fullest.
    let rooms = seen.facts().filter(|fact| support::counts(seen, fact)).filter_map(|fact| match fact {
        EnvironmentFact::Space { path, free_bytes, total_bytes, free_inodes } => {
            Some((path, *free_bytes, *total_bytes, *free_inodes))
        }
        _ => None,
    });
    let room = rooms.min_by_key(|(_, free, _, inodes)| (*inodes != Some(0), *free));
    let of = |code, sure| Finding::new(code, sure).with("what", seen.path()).known_by(by);
    match room {
        Some((path, free, total, Some(0))) if free >= FULL_BYTES => {
            let inodes = Params::new().with("count", 0).with("path", path);
            let (of_space, space) = space(path, free, total);
            Some(of("SW3009", seen.sure(by, true)).fact("inodes", inodes).fact(of_space, space))
        }
        Some((path, free, total, _)) if free < FULL_BYTES || free < total / 200 => {
            let (of_space, space) = space(path, free, total);
            Some(of("SW3004", seen.sure(by, true)).fact(of_space, space).fact(says, params))
        }
        // There is room now; the number of the error is still true of then, words are not.
        Some(_) if by < By::Number => None,
        Some(_) => {
            let sure = if by == By::Code { Confidence::Medium } else { Confidence::Low };
            Some(of("SW3004", sure).fact(says, params).infer("space_again", Params::new()))
        }
        // The same number says that there are too many watches, or no room in a queue.
        None => Some(of("SW3004", seen.sure(by, false)).fact(says, params)),
    }
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    fn free(free_bytes: u64, free_inodes: u64) -> EnvironmentFact {
        let (path, free_inodes) = ("/data".to_owned(), Some(free_inodes));
        EnvironmentFact::Space { path, free_bytes, total_bytes: 10 << 30, free_inodes }
    }

    #[test]
    fn a_disk_that_nobody_has_seen_is_not_known_to_be_full() {
        let full = || known(ErrorClass::Config, "io.storage_full", "No space left on device");
        assert_eq!(told(&full()), ("SW3004".to_owned(), Confidence::Medium));
        assert_eq!(told(&full().fact(free(0, 900))).1, Confidence::High);
        let space = |path: &str, total_bytes| EnvironmentFact::Space {
            path: path.to_owned(),
            free_bytes: 0,
            total_bytes,
            free_inodes: None,
        };
        assert_eq!(told(&full().fact(space("/proc/7", 0))).1, Confidence::Medium);
        let mount = EnvironmentFact::ReadOnlyMount { path: "/snap/x".into(), mount: "/snap/x".into() };
        assert_eq!(told(&full().fact(space("/snap/x", 9 << 20)).fact(mount)).1, Confidence::Medium);
    }

    pub(crate) fn positives() -> Specimens {
        let full = || known(ErrorClass::Config, "io.storage_full", "No space left on device");
        vec![
            ("SW3004", full().fact(free(0, 900))),
            ("SW3004", full()),
            ("SW3004", full().fact(free(5 << 30, 900))),
            ("SW3004", words("sqlite: No space left on device (os error 28)").fact(free(0, 900))),
            ("SW3009", full().fact(free(5 << 30, 0))),
            ("SW3010", known(ErrorClass::Config, "io.quota_exceeded", "Disk quota exceeded")),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![
            // The words are about the other side's disk.
            ("SW9001", words("remote said: no space left on device").fact(free(5 << 30, 900))),
            ("SW9001", kind_told("io.quota_exceeded", "customer 7 used its 100 invoices")),
            ("SW4001", known(ErrorClass::Unavailable, "io.connection_refused", "refused").fact(free(0, 0))),
        ]
    }
}
