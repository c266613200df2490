//! What can be found out about a worker that was lost: by what it left, and by looking where it was.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stepwell_contract::{Clock, Timestamp, WorkerId};
use tokio::net::{TcpStream, lookup_host};

use crate::diagnosis::evidence::LostWorker;
use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::limits::system::Sort;
use crate::exec::process;
use crate::exec::workers::presence::{Presence, here};
use crate::lock::lock;

/// How much later than it should a lease may be renewed, in milliseconds.
const SLACK_MS: u64 = 2_000;
/// How long a takeover waits for the answer of a host.
const ANSWER_WITHIN: Duration = Duration::from_millis(200);
/// How long the answer of a host is waited for in the background, for the takeovers that follow.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer holds.
const ANSWER_HOLDS: Duration = Duration::from_secs(60);
/// Hosts of which the answer is remembered.
const HOSTS_MAX: usize = 64;
/// Nothing listens there, and a host that is up says so.
const DISCARD_PORT: u16 = 9;

/// Whether hosts answer, as far as was asked lately.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts(Arc<Mutex<HashMap<String, Answer>>>);

/// When a host was asked, and whether it answered.
type Answer = (Instant, Option<bool>);

/// What is known of the worker that had an attempt which began at `began`; its name alone when it left nothing.
pub(crate) async fn of_lost(core: &Core, worker: &WorkerId, began: Timestamp) -> LostWorker {
    let unknown = || LostWorker { worker: worker.to_string(), ..LostWorker::default() };
    match told_by(core, worker, began).await {
        Ok(Some(presence)) => examine(core, presence).await,
        Ok(None) => unknown(),
        Err(error) => {
            tracing::debug!(%worker, %error, "what a lost worker left could not be read");
            unknown()
        }
    }
}

/// What the worker told last that was there at that time, not a later one of the same name.
async fn told_by(core: &Core, worker: &WorkerId, at: Timestamp) -> Result<Option<Presence>, Error> {
    let head = core.backend.head(&Sort::Worker.key(&[worker.as_str()])?).await?;
    let last = head.and_then(|head| head.summary.decode::<Presence>().ok());
    let was_there = |presence: &Presence| presence.started_at <= at;
    Ok(last.and_then(|last| match last.before {
        _ if was_there(&last) => Some(last),
        Some(before) => Some(*before).filter(was_there),
        None => None,
    }))
}

async fn examine(core: &Core, told: Presence) -> LostWorker {
    let scene = Scene::of(core, &told);
    let process_alive = scene.process_alive(core, &told);
    let host_restarted = scene.restarted;
    let is_gone = process_alive == Some(false)
        || host_restarted == Some(true)
        // Whoever holds the lock of a store that one process owns shows that no other does.
        || (core.store.exclusive && !scene.same_process);
    let clean_exit = if told.left.is_some() { Some(true) } else { is_gone.then_some(false) };
    let group = told.group.as_ref().filter(|_| scene.same_boot);
    let elsewhere = !scene.same_host && clean_exit.is_none() && process_alive.is_none();
    let host = told.host.clone();
    let host_answers = match &host {
        Some(host) if elsewhere && core.witness.may_connect() => core.telling.hosts.answers(core, host).await,
        _ => None,
    };
    LostWorker {
        worker: told.worker,
        host,
        pid: Some(told.pid),
        heartbeat: Some(told.heartbeat),
        oom_kills_after: group.and_then(|group| group.read()?.oom_kills),
        clean_exit,
        ending: None,
        process_alive,
        host_answers,
        host_restarted,
    }
}

/// How the place where the worker was stands to this process.
#[derive(Debug, Clone, Copy)]
struct Scene {
    same_host: bool,
    /// The same start of the same machine.
    same_boot: bool,
    same_pids: bool,
    same_process: bool,
    restarted: Option<bool>,
}

impl Scene {
    fn of(core: &Core, told: &Presence) -> Self {
        Self::between(told, &here(core))
    }

    fn between(told: &Presence, own: &Presence) -> Self {
        let same = |of: fn(&Presence) -> Option<&str>| of(told).is_some() && of(told) == of(own);
        let same_host = same(|presence| presence.host.as_deref());
        let same_boot = same(|presence| presence.boot.as_deref());
        let same_pids = same_boot && told.pid_space.is_some() && told.pid_space == own.pid_space;
        // A name moves to another machine more easily than a machine's own mark.
        let same_machine = same_host && same(|presence| presence.machine.as_deref());
        let restarted =
            if same_boot { Some(false) } else { (same_machine && own.boot.is_some()).then_some(true) };
        let same_process = same_pids && told.pid == own.pid && told.began == own.began;
        Self { same_host, same_boot, same_pids, same_process, restarted: restarted.filter(|_| same_host) }
    }

    /// Whether the process of the worker is there, where that can be seen. What other engines of this process do cannot.
    fn process_alive(&self, core: &Core, told: &Presence) -> Option<bool> {
        if told.left.is_some() {
            return None;
        }
        if self.same_process {
            return (told.instance == core.telling.instance).then_some(true);
        }
        if self.same_pids {
            return told.began.map(|began| process::began(told.pid) == Some(began));
        }
        // A lease is renewed after a third of its time. That of the run has ended: it was last renewed a whole time ago or earlier, and
        // the worker has told that it is there when it should have been renewed again.
        let within_ms = (told.lease_ms - told.lease_ms / 3).saturating_sub(SLACK_MS);
        let was_there = told.heartbeat.at.plus_ms(within_ms) > core.time.now();
        (!core.store.exclusive && was_there).then_some(true)
    }
}

/// Whether the process of a worker is known to have gone, by what it told last.
pub(super) fn is_gone(core: &Core, told: &Presence) -> bool {
    told.left.is_some() || Scene::of(core, told).process_alive(core, told) == Some(false)
}

impl Hosts {
    /// Whether a host answers; `None` when nothing can be told, or not yet. A firewall is as silent as a host that is down.
    async fn answers(&self, core: &Core, host: &str) -> Option<bool> {
        {
            let mut known = lock(&self.0);
            known.retain(|_, (asked, _)| asked.elapsed() < ANSWER_HOLDS);
            match known.get(host) {
                Some((_, answer)) => return *answer,
                None if known.len() >= HOSTS_MAX => return None,
                None => drop(known.insert(host.to_owned(), (Instant::now(), None))),
            }
        }
        let (host, known) = (host.to_owned(), self.clone());
        let asking = core.runtime.spawn(async move {
            let answer = tokio::time::timeout(CONNECT_WITHIN, ask(&host)).await.ok().flatten();
            lock(&known.0).insert(host, (Instant::now(), answer));
            answer
        });
        tokio::select! {
            answer = asking => answer.ok().flatten(),
            () = core.time.pause(ANSWER_WITHIN) => None,
        }
    }
}

async fn ask(host: &str) -> Option<bool> {
    let address = lookup_host((host, DISCARD_PORT)).await.ok()?.next()?;
    // A name that leads back here is not that of another host.
    if address.ip().is_loopback() {
        return None;
    }
    match TcpStream::connect(address).await {
        Ok(_) => Some(true),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Some(true),
            ErrorKind::HostUnreachable => Some(false),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, boot: &str, machine: Option<&str>) -> Presence {
        let own = |text: &str| Some(text.to_owned());
        Presence {
            host: own(host),
            boot: own(boot),
            machine: machine.map(str::to_owned),
            pid: 7,
            began: Some(100),
            pid_space: Some(1),
            ..Presence::default()
        }
    }

    #[test]
    fn a_restart_is_told_only_of_the_same_machine() {
        let told = at("h1", "a", Some("m"));
        let restarted = |own: &Presence| Scene::between(&told, own).restarted;
        assert_eq!(restarted(&at("h1", "a", Some("m"))), Some(false));
        assert_eq!(restarted(&at("h1", "b", Some("m"))), Some(true));
        assert_eq!(restarted(&at("h2", "b", Some("m"))), None, "another host");
        assert_eq!(restarted(&at("h1", "b", None)), None, "the name may have moved to another machine");
    }

    #[test]
    fn processes_are_told_apart_only_where_their_numbers_mean_the_same() {
        let told = at("h1", "a", None);
        let scene = |own: Presence| Scene::between(&told, &own);
        assert!(scene(at("h1", "a", None)).same_process);
        assert!(!scene(Presence { began: Some(101), ..at("h1", "a", None) }).same_process, "a later one");
        assert!(!scene(Presence { pid_space: Some(2), ..at("h1", "a", None) }).same_pids, "a container");
        assert!(!scene(at("h1", "b", None)).same_pids, "another start of the machine");
    }
}
