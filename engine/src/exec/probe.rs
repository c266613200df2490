//! Looks at the surroundings of a failure while they are as they were: at paths, endpoints, the disk, open files, memory.
//!
//! All of it together takes at most [`PROBE_MS`], on the engine's own runtime: what is not known by then is left out, and only the
//! attempt that has failed waits for it. A look that hangs in the operating system keeps one of [`LOOKS_MAX`] places until it
//! comes back.

mod paths;
pub(crate) mod targets;

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::diagnosis::evidence::{Endpoint, EndpointAnswer, EnvironmentFact};
use crate::exec::probe::targets::Targets;
use crate::exec::process;

/// Longest time for everything, in milliseconds.
pub(crate) const PROBE_MS: u64 = 250;
/// Longest time for one endpoint, its name included, in milliseconds.
const CONNECT_MS: u64 = 200;
/// Shortest time without an answer after which an endpoint is said not to answer, in milliseconds.
const SILENT_MS: u64 = 150;
/// Most looks that wait for the operating system at once.
const LOOKS_MAX: usize = 16;
/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 2;

/// Looks at surroundings.
#[derive(Debug)]
pub(crate) struct Probe {
    io: Handle,
    looks: Arc<Semaphore>,
}

impl Probe {
    pub(crate) fn new(io: Handle) -> Self {
        Self { io, looks: Arc::new(Semaphore::new(LOOKS_MAX)) }
    }

    /// What there is to tell, in a fixed order.
    ///
    /// # Cancellation
    /// Dropping the future leaves looks to end by themselves.
    pub(crate) async fn look(&self, targets: Targets) -> Vec<EnvironmentFact> {
        let looks = Arc::clone(&self.looks);
        let looking = self.io.spawn(async move {
            let of_paths =
                targets.paths.into_iter().map(|path| blocking(&looks, move || paths::facts(&path)));
            let of_endpoints = targets.endpoints.into_iter().map(|endpoint| {
                let looks = Arc::clone(&looks);
                async move { connect(&looks, endpoint).await.into_iter().collect() }.boxed()
            });
            let all = of_paths.chain(of_endpoints).chain([blocking(&looks, of_process)]);
            let numbered = all.enumerate().map(|(nth, look)| look.map(move |facts| (nth, facts)));
            let mut running: FuturesUnordered<_> = numbered.collect();
            let mut found: Vec<(usize, Vec<EnvironmentFact>)> = Vec::new();
            let gather = async {
                while let Some(facts) = running.next().await {
                    found.push(facts);
                }
            };
            // What is known by then is kept.
            let _ = tokio::time::timeout(Duration::from_millis(PROBE_MS), gather).await;
            found.sort_by_key(|(nth, _)| *nth);
            found.into_iter().flat_map(|(_, facts)| facts).collect()
        });
        // The runtime is gone only with the engine.
        looking.await.unwrap_or_default()
    }
}

/// Asks the operating system where that may take long.
fn blocking<T>(looks: &Arc<Semaphore>, look: impl FnOnce() -> T + Send + 'static) -> BoxFuture<'static, T>
where
    T: Default + Send + 'static,
{
    let looks = Arc::clone(looks);
    async move {
        let Ok(place) = looks.acquire_owned().await else { return T::default() };
        let looked = tokio::task::spawn_blocking(move || {
            let _place = place;
            look()
        });
        looked.await.unwrap_or_default()
    }
    .boxed()
}

fn of_process() -> Vec<EnvironmentFact> {
    let files = process::open_files().map(|(count, limit)| EnvironmentFact::OpenFiles { count, limit });
    let group = process::cgroup();
    let group = (group != process::Cgroup::default()).then_some(EnvironmentFact::Cgroup {
        memory_max_bytes: group.memory_max_bytes,
        memory_bytes: group.memory_bytes,
        oom_kills: group.oom_kills,
    });
    files.into_iter().chain(group).collect()
}

/// How an endpoint answers now. Nothing is sent to it.
async fn connect(looks: &Arc<Semaphore>, endpoint: Endpoint) -> Option<EnvironmentFact> {
    let began = Instant::now();
    let named = (endpoint.host.clone(), endpoint.port.unwrap_or(0));
    let within = Duration::from_millis(CONNECT_MS);
    let resolving = blocking(looks, move || Some(named.to_socket_addrs()));
    // A name that nobody answers for in time says nothing of its host.
    let answer = match tokio::time::timeout(within, resolving).await.ok()?? {
        Err(_) => EndpointAnswer::DoesNotResolve,
        Ok(_) if endpoint.port.is_none() => return None,
        Ok(found) => {
            let left = within.saturating_sub(began.elapsed());
            match tokio::time::timeout(left, answer_of_any(found.take(ADDRESSES_MAX))).await {
                Ok(answer) => answer?,
                // Where the name took its time, nobody waited long enough for the host.
                Err(_) if left < Duration::from_millis(SILENT_MS) => return None,
                Err(_) => EndpointAnswer::TimesOut,
            }
        }
    };
    let after_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Some(EnvironmentFact::Endpoint { endpoint, answer, after_ms })
}

/// How the first address answers that takes connections, or else the last.
async fn answer_of_any(addresses: impl Iterator<Item = SocketAddr>) -> Option<EndpointAnswer> {
    let mut answer = None;
    for address in addresses {
        answer = match TcpStream::connect(address).await {
            Ok(_) => return Some(EndpointAnswer::Accepts),
            Err(error) => answer_of(error.kind()).or(answer),
        };
    }
    answer
}

fn answer_of(kind: std::io::ErrorKind) -> Option<EndpointAnswer> {
    use std::io::ErrorKind;
    match kind {
        ErrorKind::ConnectionRefused => Some(EndpointAnswer::Refuses),
        ErrorKind::TimedOut => Some(EndpointAnswer::TimesOut),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            Some(EndpointAnswer::Unreachable)
        }
        _ => None,
    }
}
