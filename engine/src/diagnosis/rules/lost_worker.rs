//! How the worker went away, as far as anybody saw: what is not known is not said.

use crate::diagnosis::evidence::{Ending, LostWorker};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_bytes};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

/// Memory from which on, in parts of a hundred of the limit, a kill for want of it is likely.
const NEAR_LIMIT_PERCENT: u64 = 90;
/// Memory below which another process of the group is more likely to have been the one that was killed.
const FAR_FROM_LIMIT_PERCENT: u64 = 50;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let lost = seen.lost_worker.filter(|_| seen.failed().is_none())?;
    let of = |code, sure| Finding::new(code, sure).with("worker", &lost.worker);
    if lost.clean_exit == Some(true) || lost.ending == Some(Ending::Exit(0)) {
        let mark = (lost.clean_exit == Some(true)).then(|| ("exit_clean", Params::new()));
        return Some(of("SW6004", Confidence::High).fact_if(mark).fact_if(ended(lost)));
    }
    if lost.process_alive == Some(true) {
        let pid = lost.pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
        return Some(of("SW6014", Confidence::High).fact("process_there", Params::new().with("pid", pid)));
    }
    let killed = lost.ending.is_none_or(|ending| ending == Ending::Signal(SIGKILL));
    match (oom_kills(lost), percent(lost)) {
        (Some((before, after)), used) if after > before && killed => {
            let sure = match used {
                Some(used) if used < FAR_FROM_LIMIT_PERCENT => Confidence::Medium,
                _ => Confidence::High,
            };
            return Some(with_memory(of("SW6002", sure), lost));
        }
        (None, Some(used)) if used >= NEAR_LIMIT_PERCENT && killed => {
            let said = Params::new().with("percent", used);
            return Some(with_memory(of("SW6002", Confidence::Medium), lost).infer("memory_near_limit", said));
        }
        _ => {}
    }
    match lost.ending {
        Some(Ending::Signal(SIGKILL)) => {
            Some(with_memory(of("SW6003", Confidence::High).fact_if(ended(lost)), lost))
        }
        Some(Ending::Signal(SIGTERM)) => Some(of("SW6003", Confidence::Medium).fact_if(ended(lost))),
        Some(ending) => {
            Some(of("SW6013", Confidence::High).with("ending", told(ending)).fact_if(ended(lost)))
        }
        // The process is known to be gone without a goodbye: that is all that is known.
        None if lost.clean_exit == Some(false) || lost.process_alive == Some(false) => {
            let unclean = (lost.clean_exit == Some(false)).then(|| ("exit_unclean", Params::new()));
            let gone = lost.pid.filter(|_| lost.process_alive == Some(false));
            let gone = gone.map(|pid| ("process_gone", Params::new().with("pid", pid)));
            let finding = of("SW6003", Confidence::Medium).fact_if(unclean).fact_if(gone);
            Some(with_memory(finding, lost).infer("unclean_only", Params::new()))
        }
        None => None,
    }
}

fn ended(lost: &LostWorker) -> Option<(&'static str, Params)> {
    lost.ending.map(|ending| ("ended_by", Params::new().with("ending", told(ending))))
}

fn told(ending: Ending) -> String {
    match ending {
        Ending::Exit(code) => format!("exit {code}"),
        Ending::Signal(signal) => match signal {
            4 => "SIGILL".to_owned(),
            6 => "SIGABRT".to_owned(),
            7 => "SIGBUS".to_owned(),
            8 => "SIGFPE".to_owned(),
            SIGKILL => "SIGKILL".to_owned(),
            11 => "SIGSEGV".to_owned(),
            SIGTERM => "SIGTERM".to_owned(),
            other => format!("signal {other}"),
        },
    }
}

fn oom_kills(lost: &LostWorker) -> Option<(u64, u64)> {
    lost.heartbeat?.oom_kills.zip(lost.oom_kills_after)
}

/// Whether the process is known to be gone, and nothing speaks for somebody having ended it from outside.
pub(super) fn has_died_by_itself(lost: &LostWorker) -> bool {
    let is_gone = lost.process_alive == Some(false) || lost.clean_exit == Some(false);
    match lost.ending {
        Some(Ending::Signal(SIGTERM)) => false,
        Some(ending) if ending != Ending::Signal(SIGKILL) => true,
        _ => is_gone && oom_kills(lost).is_none_or(|(before, after)| after > before),
    }
}

/// The memory at the last heartbeat in parts of a hundred of what it may hold.
fn percent(lost: &LostWorker) -> Option<u64> {
    let heartbeat = lost.heartbeat?;
    let limit = heartbeat.memory_limit_bytes.filter(|limit| *limit > 0)?;
    Some(heartbeat.rss_bytes?.saturating_mul(100) / limit)
}

/// With what is known of the memory of the worker.
pub(super) fn with_memory(mut finding: Finding, lost: &LostWorker) -> Finding {
    if let Some((before, after)) = oom_kills(lost) {
        finding = if after > before {
            finding.fact("oom_counted", Params::new().with("before", before).with("after", after))
        } else {
            finding.fact("oom_not_counted", Params::new().with("count", after))
        };
    }
    let memory = lost.heartbeat.and_then(|heartbeat| heartbeat.rss_bytes.zip(heartbeat.memory_limit_bytes));
    finding.fact_if(memory.map(|(rss, limit)| {
        ("heartbeat", Params::new().with("rss", told_bytes(rss)).with("limit", told_bytes(limit)))
    }))
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::evidence::Heartbeat;
    use crate::diagnosis::rules::fixtures::*;

    fn at(percent: u64, oom_kills: Option<u64>, after: Option<u64>) -> LostWorker {
        let heartbeat = Heartbeat {
            rss_bytes: Some(percent << 20),
            memory_limit_bytes: Some(100 << 20),
            oom_kills,
            ..Heartbeat::default()
        };
        let (worker, heartbeat) = ("w1".to_owned(), Some(heartbeat));
        LostWorker { worker, heartbeat, oom_kills_after: after, ..LostWorker::default() }
    }

    pub(crate) fn positives() -> Specimens {
        let gone = |ending| LostWorker { ending: Some(ending), ..at(40, Some(3), Some(3)) };
        vec![
            ("SW6002", lost(at(96, Some(3), Some(4)), 1)),
            ("SW6002", lost(at(97, None, None), 1)),
            ("SW6003", lost(gone(Ending::Signal(9)), 1)),
            // The counter was there and did not move: it was not the memory, however full it was.
            ("SW6003", lost(LostWorker { clean_exit: Some(false), ..at(97, Some(3), Some(3)) }, 1)),
            ("SW6004", lost(LostWorker { clean_exit: Some(true), ..at(40, None, None) }, 1)),
            ("SW6013", lost(gone(Ending::Signal(11)), 1)),
            ("SW6013", lost(gone(Ending::Exit(101)), 1)),
            // A crash of its own beside somebody else's kill.
            ("SW6013", lost(LostWorker { ending: Some(Ending::Signal(6)), ..at(40, Some(3), Some(4)) }, 1)),
            ("SW6014", lost(LostWorker { process_alive: Some(true), pid: Some(7), ..at(40, None, None) }, 1)),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        let failed = known(crate::ErrorClass::Unavailable, "io.connection_refused", "refused");
        let failed = crate::diagnosis::evidence::Dossier { lost_worker: Some(at(97, None, None)), ..failed };
        vec![("SW9001", lost(at(40, None, None), 1)), ("SW4001", failed)]
    }
}
