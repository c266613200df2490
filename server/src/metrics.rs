//! Figures for Prometheus: those of requests as they happen, those of runs, queues, workers and the store when asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use stepwell::contract::Tally;
use stepwell::{QueueView, WorkerView};

use crate::app::App;
use crate::view::store::{StoreHealth, StoreState};

/// Requests take so long, in seconds: the buckets of the histogram.
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
/// After so many requests what was noted of them is put into buckets, whether anybody asks for figures or not.
const UPKEEP_EVERY: u64 = 1_024;
/// Most workflows and most queues that have figures of their own; the others are counted together.
const NAMES_MAX: usize = 300;
/// The label of those others: no workflow has such a name.
const OTHERS: &str = "(others)";

/// The figures of one application.
pub(crate) struct Figures {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    noted: AtomicU64,
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures").field("noted", &self.noted).finish_non_exhaustive()
    }
}

/// What is read for the figures of the moment; what could not be read has none.
pub(crate) struct Moment<'a> {
    pub(crate) tally: Option<&'a [Tally]>,
    pub(crate) workers: Option<&'a [WorkerView]>,
    pub(crate) queues: Option<&'a [QueueView]>,
    pub(crate) overdue_ms: Option<u64>,
    pub(crate) store: &'a StoreHealth,
    pub(crate) running: usize,
    pub(crate) streams: usize,
    pub(crate) topics: usize,
}

impl Figures {
    pub(crate) fn new() -> Self {
        let recorder = recorder();
        metrics::with_local_recorder(&recorder, || {
            describe_counter!("stepwell_http_requests_total", "Requests answered.");
            describe_histogram!(
                "stepwell_http_request_duration_seconds",
                Unit::Seconds,
                "Time until an answer begins."
            );
        });
        Self { handle: recorder.handle(), recorder, noted: AtomicU64::new(0) }
    }

    fn note(&self, method: &'static str, route: String, status: u16, since: Instant) {
        metrics::with_local_recorder(&self.recorder, || {
            let of = [("method", method.to_owned()), ("route", route.clone())];
            histogram!("stepwell_http_request_duration_seconds", &of).record(since.elapsed());
            let status = status.to_string();
            counter!("stepwell_http_requests_total", "method" => method, "route" => route, "status" => status)
                .increment(1);
        });
        if self.noted.fetch_add(1, Ordering::Relaxed) % UPKEEP_EVERY == UPKEEP_EVERY - 1 {
            self.handle.run_upkeep();
        }
    }

    /// All figures in the text format of Prometheus.
    pub(crate) fn text(&self, moment: &Moment<'_>) -> String {
        // What is not there any more has no figure: those of the moment begin anew each time.
        let now = recorder();
        metrics::with_local_recorder(&now, || moment.set());
        self.handle.render() + &now.handle().render()
    }
}

fn recorder() -> PrometheusRecorder {
    match PrometheusBuilder::new().set_buckets(&SECONDS) {
        Ok(builder) => builder.build_recorder(),
        // There are buckets; without any the histogram would be a summary.
        Err(_) => PrometheusBuilder::new().build_recorder(),
    }
}

impl Moment<'_> {
    fn set(&self) {
        self.tally.inspect(|tally| set_runs(tally));
        self.queues.inspect(|queues| set_queues(queues));
        self.workers.inspect(|workers| set_workers(workers));
        if let Some(overdue_ms) = self.overdue_ms {
            describe_gauge!(
                "stepwell_overdue_seconds",
                Unit::Seconds,
                "How long the run has been due that waits longest for a worker; 0 when none is due."
            );
            gauge!("stepwell_overdue_seconds").set(overdue_ms as f64 / 1_000.0);
        }
        describe_gauge!("stepwell_engine_running", "Runs that the engine of this process advances.");
        gauge!("stepwell_engine_running").set(self.running as f64);
        describe_gauge!("stepwell_event_streams", "Streams of events that are open.");
        gauge!("stepwell_event_streams").set(self.streams as f64);
        describe_gauge!("stepwell_event_topics", "Different things that these streams watch.");
        gauge!("stepwell_event_topics").set(self.topics as f64);
        describe_gauge!("stepwell_store_health", "1 for the state that the store is in.");
        let states = [
            ("ok", StoreState::Ok),
            ("degraded", StoreState::Degraded),
            ("poisoned", StoreState::Poisoned),
            ("unreachable", StoreState::Unreachable),
        ];
        for (word, state) in states {
            let is_so = f64::from(u8::from(self.store.state == state));
            gauge!("stepwell_store_health", "state" => word).set(is_so);
        }
        describe_gauge!("stepwell_build_info", "The version of the server.");
        gauge!("stepwell_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    }
}

fn set_runs(tally: &[Tally]) {
    describe_gauge!(
        "stepwell_runs",
        "Runs in the store by workflow and status, those that have ended included."
    );
    for ((workflow, status), runs) in sums(tally, |counted| counted.workflow.as_str()) {
        gauge!("stepwell_runs", "workflow" => workflow, "status" => status).set(runs as f64);
    }
    let unfinished: Vec<Tally> =
        tally.iter().filter(|counted| !counted.status.is_finished()).cloned().collect();
    describe_gauge!("stepwell_queue_runs", "Runs that have not ended, by queue and status.");
    for ((queue, status), runs) in sums(&unfinished, |counted| counted.queue.as_str()) {
        gauge!("stepwell_queue_runs", "queue" => queue, "status" => status).set(runs as f64);
    }
}

fn set_queues(queues: &[QueueView]) {
    describe_gauge!("stepwell_queue_paused", "Whether a queue is paused.");
    describe_gauge!("stepwell_queue_parked", "Runs that wait for a limit or for the paused queue.");
    for queue in queues.iter().take(NAMES_MAX) {
        let paused = f64::from(u8::from(queue.paused.is_some()));
        gauge!("stepwell_queue_paused", "queue" => queue.name.to_string()).set(paused);
        gauge!("stepwell_queue_parked", "queue" => queue.name.to_string()).set(queue.parked as f64);
    }
}

fn set_workers(workers: &[WorkerView]) {
    let alive: Vec<&WorkerView> = workers.iter().filter(|worker| worker.alive).collect();
    let total =
        |figure: fn(&WorkerView) -> usize| alive.iter().map(|worker| figure(worker)).sum::<usize>() as f64;
    describe_gauge!("stepwell_workers_alive", "Workers that are there.");
    gauge!("stepwell_workers_alive").set(alive.len() as f64);
    describe_gauge!("stepwell_workers_concurrency", "Runs that the workers can advance at once.");
    gauge!("stepwell_workers_concurrency").set(total(|worker| worker.concurrency));
    describe_gauge!("stepwell_workers_running", "Runs that the workers advance.");
    gauge!("stepwell_workers_running").set(total(|worker| worker.running));
}

/// How many runs there are by a name and the status; names beyond a number are summed up.
fn sums(tally: &[Tally], name: impl Fn(&Tally) -> &str) -> BTreeMap<(String, &'static str), u64> {
    let mut by_name: BTreeMap<&str, u64> = BTreeMap::new();
    for counted in tally {
        *by_name.entry(name(counted)).or_default() += counted.runs;
    }
    let mut largest: Vec<_> = by_name.into_iter().collect();
    largest.sort_by_key(|(name, runs)| (std::cmp::Reverse(*runs), *name));
    largest.truncate(NAMES_MAX);
    let own: std::collections::BTreeSet<&str> = largest.into_iter().map(|(name, _)| name).collect();
    let mut sums = BTreeMap::new();
    for counted in tally {
        let name = name(counted);
        let label = if own.contains(name) { name } else { OTHERS };
        *sums.entry((label.to_owned(), counted.status.as_str())).or_default() += counted.runs;
    }
    sums
}

/// Notes each request with its route and how it was answered.
pub(crate) async fn note(State(app): State<App>, request: Request, next: Next) -> Response {
    let since = Instant::now();
    // The route and not the path, a known word and not the method as it was sent: labels stay few whatever is asked.
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "(none)".to_owned(), |route| route.as_str().to_owned());
    let method = match request.method().as_str() {
        "GET" | "HEAD" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "(other)",
    };
    let response = next.run(request).await;
    app.figures().note(method, route, response.status().as_u16(), since);
    response
}

#[cfg(test)]
mod tests {
    use stepwell::contract::{Name, Status, TenantId};

    use super::*;

    #[test]
    fn many_workflows_make_no_more_series_than_are_allowed() {
        let name = |nth: u32| Name::new(format!("w{nth}")).expect("a name");
        let counted = |nth: u32| Tally {
            tenant: TenantId::default(),
            workflow: name(nth),
            queue: name(0),
            status: Status::Failed,
            runs: u64::from(nth),
        };
        let tally: Vec<Tally> = (1..=1_000).map(counted).collect();
        let sums = sums(&tally, |counted| counted.workflow.as_str());
        assert_eq!(sums.len(), NAMES_MAX + 1);
        assert_eq!(sums.values().sum::<u64>(), 500_500);
        assert_eq!(sums[&("w1000".to_owned(), "failed")], 1_000);
    }
}
