//! The checks, one function for each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::args::part::Part;
use crate::client::{Call, Client};
use crate::command::check::findings;
use crate::command::doctor::{Check, Verdict};
use crate::settings::Settings;
use crate::target::Target;

/// A clock that is so far off, in milliseconds, makes times misleading; so far, leases and schedules go wrong.
const OFF_MS: u64 = 1_000;
const FAR_OFF_MS: u64 = 30_000;
/// So little space, in bytes, is soon used up; so little is none.
const LITTLE_BYTES: u64 = 1 << 30;
const NO_BYTES: u64 = 64 << 20;

/// What the store says of itself.
#[derive(Debug, Deserialize)]
struct Store {
    backend: String,
    durability: String,
    survives: String,
    now: DateTime<Utc>,
    health: Health,
    #[serde(default)]
    facts: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Health {
    state: String,
    why: Option<String>,
}

/// Where settings came from.
pub(super) fn settings(settings: &Settings, target: &Target) -> Check {
    let file = match &settings.file {
        Some(file) => file.path.display().to_string(),
        None => "no stepwell.toml".to_owned(),
    };
    let target = match target {
        Target::Store { url, origin } => format!("store {url} from {origin}"),
        Target::Server { url, origin, token } => {
            let token = token.as_ref().map_or("without a token", |_| "with a token");
            format!("server {url} from {origin}, {token}")
        }
    };
    Check::ok("settings", format!("{target}; {file}"))
}

/// Whether the store answers, what it promises, and how its clock stands to this one. Says whether it answers.
pub(super) async fn store(client: &Client, opened_ms: u128, checks: &mut Vec<Check>) -> bool {
    let asked_at = Utc::now();
    let store = match client.call(Call::get(&["store"])).await.and_then(|answer| answer.json::<Store>()) {
        Ok(store) => store,
        Err(failure) => {
            checks.push(Check::failed("store", &failure));
            return false;
        }
    };
    let answered_at = Utc::now();
    let what = format!("{} opened in {opened_ms} ms, survives: {}", store.backend, store.survives);
    let why = store.health.why.unwrap_or_default();
    checks.push(match store.health.state.as_str() {
        "ok" => Check::ok("store", what),
        "degraded" => Check::warn("store", format!("{what}; {why}"), "do what the message says"),
        state => Check::fail(
            "store",
            format!("{what}; it is {state}: {why}"),
            "end the process that owns it, and start it again",
        ),
    });
    checks.push(match store.durability.as_str() {
        "D0" | "D1" if store.backend == "memory" => Check::ok("durability", store.survives),
        "D0" | "D1" => Check::warn(
            "durability",
            store.survives,
            "leave `sync=false` out, or set `appendfsync always` (Redis): a power cut loses what was acknowledged",
        ),
        _ => Check::ok("durability", store.survives),
    });
    if !store.facts.is_empty() {
        let facts = store.facts.iter().map(|(name, value)| format!("{name} {value}"));
        checks.push(Check::ok("facts", facts.collect::<Vec<_>>().join(", ")));
    }
    let middle = asked_at + (answered_at - asked_at) / 2;
    let off_ms = (store.now - middle).num_milliseconds();
    checks.push(clock(off_ms));
    true
}

fn clock(off_ms: i64) -> Check {
    let direction = if off_ms < 0 { "behind" } else { "ahead" };
    let what = format!("the store's clock is {} ms {direction} of this host's", off_ms.unsigned_abs());
    let fix = "let a time service keep both clocks right: timedatectl status";
    match off_ms.unsigned_abs() {
        0..=OFF_MS => Check::ok("clock", what),
        off if off <= FAR_OFF_MS => Check::warn("clock", what, fix),
        _ => Check::fail("clock", what, fix),
    }
}

/// How much space is left where the store keeps its files.
pub(super) fn space(target: &Target) -> Option<Check> {
    let Target::Store { url, .. } = target else { return None };
    let folder = url.folder()?;
    // A store that was never opened has no folder yet: the disk is that of the nearest one above.
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| PathBuf::from(folder));
    let nearest = absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    Some(match rustix::fs::statvfs(nearest) {
        Ok(disk) => space_left(disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_favail, nearest),
        Err(error) => Check::warn(
            "space",
            format!("{}: {}", nearest.display(), std::io::Error::from(error)),
            "look at the folder's rights",
        ),
    })
}

fn space_left(bytes: u64, files: u64, path: &Path) -> Check {
    let what =
        format!("{:.1} GiB and {files} files free at {}", bytes as f64 / (1u64 << 30) as f64, path.display());
    let fix = "free space on that disk, or enlarge it";
    match bytes {
        // Some file systems have no limit of files, and say 0 of both.
        ..NO_BYTES => Check::fail("space", what, fix),
        NO_BYTES..LITTLE_BYTES => Check::warn("space", what, fix),
        _ => Check::ok("space", what),
    }
}

/// Who works, and who stopped without saying so.
pub(super) async fn workers(client: &Client) -> Check {
    #[derive(Deserialize)]
    struct Worker {
        worker: String,
        alive: bool,
        #[serde(default)]
        held: u64,
        left_at: Option<Value>,
        workflows: Vec<Value>,
    }
    let found = match client.items(Call::get(&["workers"])).await {
        Ok(found) => found,
        Err(failure) => return Check::failed("workers", &failure),
    };
    let workers: Vec<Worker> =
        found.items.iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect();
    // A server without workflows tells of itself, too; it advances no run.
    let alive = workers.iter().filter(|worker| worker.alive && !worker.workflows.is_empty()).count();
    let stale: Vec<_> = workers.iter().filter(|worker| !worker.alive && worker.left_at.is_none()).collect();
    let what = format!("{alive} alive, {} gone without a word", stale.len());
    if alive == 0 {
        let fix = "start a program with the workflows; while none is there, runs wait";
        return Check::warn("workers", what, fix);
    }
    let holding: Vec<_> =
        stale.iter().filter(|worker| worker.held > 0).map(|worker| worker.worker.as_str()).collect();
    if !holding.is_empty() {
        let what = format!("{what}; {} still have runs", holding.join(", "));
        return Check::warn(
            "workers",
            what,
            "others take these runs when the leases end; `stepwell workers` shows them",
        );
    }
    Check::ok("workers", what)
}

/// Runs that only a person moves on.
pub(super) async fn stuck(client: &Client) -> Check {
    const LOOK_AT: usize = 200;
    let call = Call::get(&["runs"]).with("q", "is:stuck");
    match client.list(call, Part { limit: Some(LOOK_AT), cursor: None }).await {
        Ok(found) if found.items.is_empty() => Check::ok("stuck runs", "none"),
        Ok(found) => {
            let more = if found.next_cursor.is_some() { "or more " } else { "" };
            let what = format!("{} {more}held or failed", found.items.len());
            Check::warn("stuck runs", what, "stepwell groups list; stepwell runs list is:stuck")
        }
        Err(failure) => Check::failed("stuck runs", &failure),
    }
}

/// Whether journals can be read and agree with what is shown of them.
pub(super) async fn journals(client: &Client, runs_max: u64, look: impl FnMut(u64)) -> Check {
    let found = findings(client, Some(runs_max), look).await;
    let (found, is_complete) = match found {
        Ok(found) => found,
        Err(failure) => return Check::failed("journals", &failure),
    };
    let scope = if is_complete { "all" } else { "the newest" };
    if found.issues.is_empty() {
        return Check::ok("journals", format!("{scope} {} runs agree with themselves", found.looked_at));
    }
    let issues: Vec<Value> =
        found.issues.iter().filter_map(|issue| serde_json::from_str(issue.get()).ok()).collect();
    let verdict = issues.iter().map(severity).max().unwrap_or(Verdict::Warn);
    let what = format!("{} issues in {scope} {} runs", issues.len(), found.looked_at);
    let fix = "stepwell check shows them; stepwell check --repair mends what is safe to mend".to_owned();
    Check { check: "journals", verdict, what, fix }
}

fn severity(issue: &Value) -> Verdict {
    match issue["severity"].as_str() {
        Some("warning") => Verdict::Warn,
        _ => Verdict::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_follow_from_figures() {
        for (off_ms, verdict) in [(-900, Verdict::Ok), (1_500, Verdict::Warn), (-60_000, Verdict::Fail)] {
            assert_eq!(clock(off_ms).verdict, verdict, "{off_ms}");
        }
        for (bytes, verdict) in [(5 << 30, Verdict::Ok), (512 << 20, Verdict::Warn), (1 << 20, Verdict::Fail)]
        {
            let check = space_left(bytes, 9, Path::new("/"));
            assert_eq!(check.verdict, verdict, "{bytes}");
            assert_eq!(check.fix.is_empty(), verdict == Verdict::Ok);
        }
    }
}
