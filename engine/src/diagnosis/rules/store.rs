//! The engine's own store failed.

use stepwell_contract::FaultKind;

use crate::diagnosis::compare::error;
use crate::diagnosis::evidence::StoreFault;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

/// The code of each sort of fault, and the word that a failed step has for it.
const KINDS: &[(FaultKind, &str, &str)] = &[
    (FaultKind::Unavailable, "store.unavailable", "SW7001"),
    (FaultKind::Timeout, "store.timeout", "SW7002"),
    (FaultKind::Full, "store.full", "SW7003"),
    (FaultKind::ReadOnly, "store.read_only", "SW7004"),
    (FaultKind::Corrupt, "store.corrupt", "SW7005"),
    (FaultKind::Locked, "store.locked", "SW7006"),
    (FaultKind::Refused, "store.refused", "SW7007"),
    (FaultKind::IdentityLost, "store.identity_lost", "SW7008"),
    (FaultKind::TooLarge, "store.too_large", "SW7010"),
    (FaultKind::Invalid, "store.invalid", "SW7010"),
    (FaultKind::Closed, "store.closed", "SW7011"),
];
const POISONED: (&str, &str) = ("store.poisoned", "SW7009");

/// What helps with one store in particular: its scheme, the diagnosis, the action.
const ADVICE: &[(&str, &str, &str)] = &[
    ("redis", "SW7002", "redis_slow"),
    ("redis", "SW7003", "redis_memory"),
    ("redis", "SW7004", "redis_primary"),
    ("redis", "SW7007", "redis_persistence"),
    ("redis", "SW7008", "redis_identity"),
    ("sled", "SW7005", "sled_reopen"),
    ("file", "SW7005", "file_repair"),
];

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    match seen.failed() {
        // A step that met the store, by starting a run for instance.
        Some(last) => {
            let codes: Vec<_> = KINDS.iter().map(|(_, word, code)| (*word, *code)).chain([POISONED]).collect();
            let code = codes.into_iter().find(|(word, _)| last.has_known_code(&[word])).map(|(_, code)| code)?;
            let backend = seen.store_faults.last().map_or("?", |fault| fault.backend.as_str());
            let (says, params) = error(last);
            Some(of(code, backend).fact(says, params))
        }
        None => {
            let fault = seen.store_faults.last().filter(|_| seen.last().is_none())?;
            let said = Params::new().with("kind", format!("{:?}", fault.kind)).with("text", &fault.text);
            Some(of(code_of(fault)?, &fault.backend).fact("store", said))
        }
    }
}

fn code_of(fault: &StoreFault) -> Option<&'static str> {
    if fault.poisoned {
        return Some(POISONED.1);
    }
    KINDS.iter().find(|(kind, ..)| *kind == fault.kind).map(|(.., code)| *code)
}

fn of(code: &'static str, backend: &str) -> Finding {
    let finding = Finding::new(code, Confidence::High).with("backend", backend);
    let advice = ADVICE.iter().find(|(store, of, _)| backend.starts_with(store) && *of == code);
    match advice {
        Some((.., action)) => finding.action(action),
        None => finding,
    }
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::evidence::Dossier;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;
    use stepwell_contract::Timestamp;

    fn fault(backend: &str, kind: FaultKind, poisoned: bool) -> Dossier {
        let backend = backend.to_owned();
        let fault = StoreFault { backend, kind, poisoned, code: None, text: "x".into(), at: Timestamp(0) };
        let mut case = Dossier::of_step("order", "charge");
        case.store_faults = vec![fault];
        case
    }

    pub(crate) fn positives() -> Specimens {
        let mut all: Specimens = Vec::new();
        for (kind, word, code) in KINDS {
            for backend in ["file", "sled", "redis", "redis-cluster"] {
                all.push((*code, fault(backend, *kind, false)));
            }
            all.push((*code, known(ErrorClass::Unavailable, word, "x")));
        }
        all.push((POISONED.1, fault("file", FaultKind::Other, true)));
        all
    }

    pub(crate) fn decoys() -> Specimens {
        let mut own = known(ErrorClass::Unavailable, "io.connection_refused", "refused");
        own.store_faults = fault("redis", FaultKind::Timeout, false).store_faults;
        // A step that talks to a Redis of its own.
        let redis = known(ErrorClass::Config, "redis.oom", "OOM command not allowed");
        let mut all = vec![("SW4001", own), ("SW4009", redis), ("SW9001", fault("file", FaultKind::Other, false))];
        // A shop may be closed, full or locked as well.
        for code in ["store.closed", "store.full", "store.locked"] {
            all.push(("SW9001", Dossier::failed(ErrorClass::Permanent, Some(code), "the Kyoto shop is closed today")));
            let found = known(ErrorClass::Permanent, code, "the shelf is not there").last(|last| {
                last.chain = vec![link(Some("std::io::Error"), Some("io.unsupported"), &[])];
            });
            all.push(("SW9001", found));
        }
        all
    }
}
