//! What the overview shows, kept while somebody looks: counts are compared every few seconds, so that what ended in each
//! minute is known without looking at runs; the rest is read at most every few seconds, and bounded.

mod series;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stepwell::contract::limits::PAGE_ITEMS_MAX;
use stepwell::contract::{Head, Query, Status, TenantId};
use stepwell::{Engine, Error, GroupFilter};

use crate::app::App;
use crate::memo::Memo;
use crate::reads::{by_status, is_of};
use crate::view::group::Group;
use crate::view::overview::{Overview, WorkflowDurations};
use crate::view::run::Run;
use crate::view::{count, time};

use series::Series;

/// So old the overview may be.
const LASTS: Duration = Duration::from_secs(3);
/// The counts are compared so often.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// After so long without a look nothing is compared any more.
const UNSEEN_MAX: Duration = Duration::from_secs(5 * 60);
/// Runs that are looked at for what ended before anybody looked, and for how long runs take.
const HEADS_MAX: usize = 2_000;
/// Most tenants whose overviews are kept.
const TENANTS_MAX: usize = 256;
const GROUPS_MAX: usize = 5;
const HELD_MAX: usize = 10;

/// The overviews of an application.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    kept: Mutex<HashMap<Option<TenantId>, Arc<Memo<Overview>>>>,
    series: Mutex<Series>,
    looks: Mutex<Option<Looks>>,
}

/// That counts are being compared.
#[derive(Debug)]
struct Looks {
    last: Instant,
}

impl Lookout {
    /// The overview of a tenant's runs, or of all.
    pub(crate) async fn overview(
        &self,
        app: &App,
        tenant: Option<&TenantId>,
    ) -> Result<Arc<Overview>, Error> {
        let memo = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let tenant = tenant.cloned();
            if kept.len() >= TENANTS_MAX && !kept.contains_key(&tenant) {
                kept.clear();
            }
            Arc::clone(kept.entry(tenant).or_insert_with(|| Arc::new(Memo::new(LASTS))))
        };
        memo.get(self.read(app, tenant)).await
    }

    async fn read(&self, app: &App, tenant: Option<&TenantId>) -> Result<Overview, Error> {
        let engine = app.engine();
        let newest = newest(engine, tenant).await?;
        let now = engine.now();
        let tally = app.reads().tally(engine).await?;
        if !self.is_seen() {
            let of_all = match tenant {
                Some(_) => &self::newest(engine, None).await?,
                None => &newest,
            };
            self.series().begin(of_all, now);
        }
        self.look(app);
        let series = self.series().last_hour(tenant, now);
        let filter = GroupFilter { tenant: tenant.cloned(), in_trouble: true, ..GroupFilter::default() };
        let mut groups = engine.failure_groups(&filter, None, usize::MAX).await?.items;
        groups.sort_by_key(|group| std::cmp::Reverse(group.failed + group.held));
        let held = Query { tenant: tenant.cloned(), statuses: vec![Status::Paused], ..Query::default() };
        let held = engine.list(&held, None, HELD_MAX).await?.items;
        let workers = app.reads().workers(engine).await?;
        let mut store = app.reads().store(engine).await.as_ref().clone();
        // What goes wrong there, and how many work there, is everyone's.
        let of_all = |workers: usize| tenant.is_none().then(|| count(workers));
        store.why = store.why.filter(|_| tenant.is_none());
        Ok(Overview {
            at: time(now),
            counts: by_status(&tally, |counted| is_of(tenant, counted)),
            series,
            workflows: durations(&newest, now),
            groups: groups.into_iter().take(GROUPS_MAX).map(Group::of).collect(),
            held: held.iter().map(Run::of).collect(),
            workers_alive: of_all(workers.iter().filter(|worker| worker.alive).count()),
            workers_known: of_all(workers.len()),
            store,
        })
    }

    fn series(&self) -> std::sync::MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that somebody looks, and compares counts from now on if that is not done already.
    fn look(&self, app: &App) {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = looks.is_none();
        *looks = Some(Looks { last: Instant::now() });
        if is_first {
            tokio::spawn(sample(app.clone()));
        }
    }

    /// Whether anybody has looked lately; if not, the next one begins anew.
    fn is_seen(&self) -> bool {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_seen = looks.as_ref().is_some_and(|looks| looks.last.elapsed() < UNSEEN_MAX);
        if !is_seen {
            *looks = None;
        }
        is_seen
    }
}

/// Compares counts as long as somebody looks.
async fn sample(app: App) {
    let lookout = app.lookout();
    loop {
        match app.engine().tally().await {
            Ok(tally) => lookout.series().counted(&tally, app.engine().now()),
            Err(error) => tracing::debug!(%error, "the counts could not be read"),
        }
        tokio::select! {
            () = app.stopping().cancelled() => return,
            () = tokio::time::sleep(SAMPLE_EVERY) => {}
        }
        if !lookout.is_seen() {
            return;
        }
    }
}

/// The heads of the newest runs.
async fn newest(engine: &Engine, tenant: Option<&TenantId>) -> Result<Vec<Head>, Error> {
    let query = Query { tenant: tenant.cloned(), ..Query::default() };
    let (mut heads, mut after) = (Vec::new(), None);
    while heads.len() < HEADS_MAX {
        let page = engine.list(&query, after, PAGE_ITEMS_MAX.min(HEADS_MAX - heads.len())).await?;
        heads.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(heads)
}

/// How long runs took that succeeded in the last hour.
fn durations(heads: &[Head], now: stepwell::contract::Timestamp) -> Vec<WorkflowDurations> {
    let mut by_workflow: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for head in heads.iter().filter(|head| head.status == Status::Succeeded) {
        if let Some(ended_at) = head.finished_at.filter(|at| now.since_ms(*at) <= series::HOUR_MS) {
            let took_ms = ended_at.since_ms(head.created_at);
            by_workflow.entry(head.workflow.as_str()).or_default().push(took_ms);
        }
    }
    by_workflow
        .into_iter()
        .map(|(workflow, mut took_ms)| {
            took_ms.sort_unstable();
            // The smallest that so many of a hundred do not exceed.
            let percentile = |percent: usize| {
                let rank = (took_ms.len() * percent).div_ceil(100).max(1);
                took_ms.get(rank - 1).copied().unwrap_or_default()
            };
            WorkflowDurations {
                workflow: workflow.to_owned(),
                count: count(took_ms.len()),
                p50_ms: percentile(50),
                p95_ms: percentile(95),
            }
        })
        .collect()
}
