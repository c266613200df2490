//! The workflow that looks through the store by the clock and records what it finds.
//!
//! A schedule starts one run of it after the other; each is one pass. A pass looks at every run that has not ended, and at
//! some of those that have, going on where the pass before left off, so that all of them come round. What it finds is recorded
//! once, as an event of the run that it is about where nobody has that run, else of the pass: the next pass knows it from the
//! report of the last one, and says it again only after it was gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use stepwell_contract::{Batch, Clock, Cursor, Name, Order, Query, RunKey, Status, Verdict};

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::engine::Engine;
use crate::integrity::issue::{Issue, IssueKind};
use crate::integrity::look::{Kin, Looked, Read, journal, look_at, read};
use crate::integrity::validate::{Findings, IntegrityFilter, PATIENCE_MS, validate};
use crate::run::event::{Event, IssueFound};
use crate::schedule::{Overlap, Schedule, ScheduleError, ScheduleView};
use crate::workflow::context::StepContext;
use crate::workflow::definition::{Definition, Workflow};
use crate::workflow::error::{StepError, StepResult};
use crate::workflow::policy::{Effect, StepPolicy, mins, secs};
use crate::workflow::retry::Retry;
use crate::workflow::step::Step;

/// The name of the workflow whose runs are passes.
pub const WORKFLOW: &str = "stepwell.validate";
/// The name of the schedule that starts them.
pub const SCHEDULE: &str = "stepwell.validate";

/// Runs looked at between two checkpoints.
const PAGE_RUNS: usize = 100;
/// Pages of ended runs that one pass looks at.
const ENDED_PAGES: u32 = 10;
/// Most issues that one pass records, and most that are known from one pass to the next. Others come with later passes.
const RAISED_MAX: usize = 1_000;
const KNOWN_MAX: usize = 2_000;

impl Engine {
    /// Looks through the store every so often, from now on and after each restart, for all workers together: a schedule of the
    /// default tenant, named [`SCHEDULE`], of a workflow that every engine brings along which is
    /// [started](crate::EngineBuilder::start). What it finds is recorded once as `issue_found`, in the journal of the run that it
    /// is about where no worker has that run, else in that of the pass; the report of a pass is its result, a
    /// [`PassReport`]. Calling it again with another interval changes that. It is paused and deleted like any schedule.
    ///
    /// # Errors
    /// As for [`Schedules::create`](crate::schedule::Schedules::create).
    pub async fn keep_validating(&self, every: Duration) -> Result<ScheduleView, ScheduleError> {
        // After all engines were down one pass is enough.
        let schedule = Schedule::every(every).starts(WORKFLOW, &())?.overlap(Overlap::Skip).catch_up(every);
        match self.schedules().create(SCHEDULE, schedule.clone()).await {
            Err(ScheduleError::Conflict { .. }) => {
                self.schedules().update(SCHEDULE, schedule, "another interval").await
            }
            made => made,
        }
    }
}

/// The workflow whose runs are passes.
pub(crate) fn definition() -> Definition {
    let workflow = Workflow::named(WORKFLOW).step(Look).build();
    workflow.expect("one step of a valid name").into_definition()
}

/// What a pass came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PassReport {
    /// How many runs were looked at.
    pub looked_at: u64,
    /// How many were written to all the time, so that nothing is known of them.
    pub moving: u64,
    /// How many issues there are, by kind.
    pub issues: BTreeMap<IssueKind, u64>,
    /// How many of them were recorded by this pass: the others were known.
    pub raised: u64,
    /// The issues that were recorded, by this pass or before, and are still there: fingerprints, with the runs.
    pub known: BTreeMap<String, RunKey>,
    /// What was late in this pass, and is recorded if it is in the next.
    pub late: BTreeSet<String>,
    /// Where the next pass goes on with runs that have ended; `None` for the oldest.
    pub ended_until: Option<Cursor>,
}

/// How far a pass is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Pass {
    /// The pass before, whose report is read anew where this one goes on.
    follows: Option<RunKey>,
    report: PassReport,
    /// Where it is among the runs that have not ended; past them once `ended_pages` counts.
    open_until: Option<Cursor>,
    ended_pages: Option<u32>,
}

struct Look;

#[async_trait]
impl Step for Look {
    type Input = ();
    type Output = PassReport;
    const NAME: &'static str = "look";

    fn policy(&self) -> StepPolicy {
        // It fails when the store does not answer, and goes on when it does.
        let retry = Retry::exponential(secs(1)).cap(mins(1)).unlimited_attempts().jitter();
        StepPolicy::default().no_attempt_timeout().no_deadline().retry(retry).effect(Effect::Idempotent)
    }

    async fn run(&self, ctx: &StepContext, (): ()) -> StepResult<PassReport> {
        let core = ctx.engine()?;
        let (mut pass, before) = match ctx.cursor::<Pass>()? {
            Some(pass) => {
                let before = report_of(&core, pass.follows.clone()).await?;
                (pass, before)
            }
            None => {
                let follows = last_pass(&core, ctx.key()).await?;
                let before = report_of(&core, follows.clone()).await?;
                let report = PassReport { ended_until: before.ended_until.clone(), ..PassReport::default() };
                (Pass { follows, report, ..Pass::default() }, before)
            }
        };
        // One that was cut off has recorded what it finds again on the page that it was at.
        let recorded = recorded_by(&core, ctx.key()).await?;
        while let Some(filter) = pass.next_filter() {
            if ctx.cancelled().is_cancelled() {
                return Err(StepError::cancelled("the pass goes on from its last page"));
            }
            let (own, after) = (Arc::clone(&core), pass.after());
            // Apart from the run that has this step, which may be among those that are read.
            let found = core.apart(async move { validate(&own, &filter, after).await }).await;
            let found = found.and_then(|found| found).map_err(store)?;
            for issue in pass.take_in(&before, &found) {
                if !recorded.contains(&issue.fingerprint()) {
                    raise(ctx, &core, issue).await?;
                }
            }
            pass.go_on(&found);
            ctx.checkpoint(&pass, 0.0).await?;
        }
        for run in pass.not_seen(&before) {
            let (own, key) = (Arc::clone(&core), run.clone());
            let look = async move { look_at(&own, &key, PATIENCE_MS, &mut Kin::default()).await };
            let looked = core.apart(look).await.and_then(|looked| looked).map_err(store)?;
            pass.take_in_again(&before, &run, &looked);
            ctx.heartbeat();
        }
        Ok(pass.report)
    }
}

impl Pass {
    /// Which runs come next; `None` when the pass is over.
    fn next_filter(&self) -> Option<IntegrityFilter> {
        let is_ended = match self.ended_pages {
            None => false,
            Some(pages) if pages < ENDED_PAGES => true,
            Some(_) => return None,
        };
        let statuses = Status::ALL.into_iter().filter(|status| status.is_finished() == is_ended).collect();
        let query = Query { statuses, order: Order::Oldest, ..Query::default() };
        Some(IntegrityFilter { query, runs: PAGE_RUNS, ..IntegrityFilter::default() })
    }

    fn after(&self) -> Option<Cursor> {
        if self.ended_pages.is_none() { self.open_until.clone() } else { self.report.ended_until.clone() }
    }

    /// Takes in what a page came to, and returns what is to be recorded of it.
    fn take_in<'a>(&mut self, before: &PassReport, found: &'a Findings) -> Vec<&'a Issue> {
        self.report.looked_at += found.looked_at as u64;
        self.report.moving += found.moving.len() as u64;
        let mut raised = Vec::new();
        for issue in &found.issues {
            *self.report.issues.entry(issue.kind).or_default() += 1;
            let name = issue.fingerprint();
            if self.report.known.contains_key(&name) || self.report.late.contains(&name) {
                continue;
            }
            let is_known = before.known.contains_key(&name);
            // After all workers were down everything is late for a moment.
            let is_first = issue.kind.is_lateness() && !before.late.contains(&name);
            let is_full = self.report.known.len() >= KNOWN_MAX || self.report.raised >= RAISED_MAX as u64;
            if is_known {
                self.report.known.insert(name, issue.run.clone());
            } else if is_first || is_full {
                if self.report.late.len() < KNOWN_MAX {
                    self.report.late.insert(name);
                }
            } else {
                self.report.known.insert(name, issue.run.clone());
                self.report.raised += 1;
                raised.push(issue);
            }
        }
        raised
    }

    /// What the last pass knew and this one has not come by: runs that have ended, and those that moved.
    fn not_seen(&self, before: &PassReport) -> BTreeSet<RunKey> {
        let known = before.known.iter().filter(|(name, _)| !self.report.known.contains_key(*name));
        known.map(|(_, run)| run.clone()).collect()
    }

    /// Takes in what a look at one of those came to.
    fn take_in_again(&mut self, before: &PassReport, run: &RunKey, looked: &Looked) {
        let is_still_so = |name: &String| match looked {
            Looked::At(issues, _) => issues.iter().any(|issue| issue.fingerprint() == *name),
            Looked::Moving => true,
            Looked::Gone => false,
        };
        let known = before.known.iter().filter(|(name, of)| *of == run && is_still_so(name));
        self.report.known.extend(known.map(|(name, of)| (name.clone(), of.clone())));
    }

    fn go_on(&mut self, found: &Findings) {
        match &mut self.ended_pages {
            None => {
                self.open_until.clone_from(&found.next);
                if found.next.is_none() {
                    self.ended_pages = Some(0);
                }
            }
            Some(pages) => {
                self.report.ended_until.clone_from(&found.next);
                // All have come round: the next pass begins with the oldest.
                *pages = if found.next.is_none() { ENDED_PAGES } else { *pages + 1 };
            }
        }
    }
}

/// The last pass that came to its end.
async fn last_pass(core: &Arc<Core>, own: &RunKey) -> StepResult<Option<RunKey>> {
    let query = Query {
        tenant: Some(own.tenant.clone()),
        workflow: Name::new(WORKFLOW).ok(),
        statuses: vec![Status::Succeeded],
        ..Query::default()
    };
    let reading = Arc::clone(core);
    let read = async move {
        let mut after = None;
        loop {
            // A page that has none may only have looked at others.
            let page = reading.backend.scan(&query, after, 1).await?;
            after = page.next;
            if let Some(head) = page.items.into_iter().next() {
                return Ok(Some(head.key));
            }
            if after.is_none() {
                return Ok::<_, Error>(None);
            }
        }
    };
    core.apart(read).await.and_then(|read| read).map_err(store)
}

/// What a pass has reported; nothing where it is gone or damaged, or another version wrote it.
async fn report_of(core: &Arc<Core>, pass: Option<RunKey>) -> StepResult<PassReport> {
    let Some(pass) = pass else { return Ok(PassReport::default()) };
    let reading = Arc::clone(core);
    let read = async move {
        let Ok(state) = journal(&reading, &pass).await?.state else { return Ok(None) };
        let Some(shape) = &state.result else { return Ok(None) };
        Ok::<_, Error>(shape.result(&state)?)
    };
    let report = core.apart(read).await.and_then(|read| read).map_err(store)?;
    Ok(report.and_then(|report| report.decode().ok()).unwrap_or_default())
}

/// What a pass has recorded in its own journal: fingerprints.
async fn recorded_by(core: &Arc<Core>, pass: &RunKey) -> StepResult<BTreeSet<String>> {
    let (reading, key) = (Arc::clone(core), pass.clone());
    let journal = core.apart(async move { journal(&reading, &key).await }).await;
    let journal = journal.and_then(|journal| journal).map_err(store)?;
    Ok(journal.issues.into_iter().filter(|(by, _)| by == pass).map(|(_, name)| name).collect())
}

/// Records an issue: in the journal of the run that it is about where nobody has that run, else in that of the pass.
async fn raise(ctx: &StepContext, core: &Arc<Core>, issue: &Issue) -> StepResult<()> {
    tracing::warn!(run = %issue.run, kind = %issue.kind, severity = %issue.severity, "{issue}");
    let found = IssueFound { issue: Box::new(issue.clone()), pass: ctx.key().clone() };
    let (own, event) = (Arc::clone(core), found.clone());
    let noted = core.apart(async move { note(&own, event).await }).await;
    match noted.and_then(|noted| noted).map_err(store)? {
        true => Ok(()),
        false => ctx.write_issue(found).await,
    }
}

/// Sees to it that the event is in the journal of its run and leaves everything else as it is. Returns `false` where somebody has the run,
/// where it has moved since, or where its journal takes nothing in.
async fn note(core: &Arc<Core>, found: IssueFound) -> Result<bool, Error> {
    let issue = &found.issue;
    let Read::Still(still) = read(core, &issue.run).await? else { return Ok(false) };
    // A pass that was cut off may have.
    if still.journal.issues.contains(&(found.pass.clone(), issue.fingerprint())) {
        return Ok(true);
    }
    let (mut head, now) = (still.head, core.time.now());
    let is_free = head.version == issue.version && head.live_lease(now).is_none();
    // Its first worker is told by the number of records that it is the first.
    let Some(mut state) = still.journal.state.ok().filter(|state| is_free && state.begun) else {
        return Ok(false);
    };
    if state.last_seq.plus(1) != head.next_seq {
        return Ok(false);
    }
    let event = Event::from(found);
    state.apply(&event, now)?;
    let record = event.record(head.next_seq, now)?;
    let before = head.version;
    // `updated_at` stays: what is late is measured by it, and is so no less for being recorded.
    head.version = before.next(fastrand::u64(..));
    head.next_seq = head.next_seq.plus(1);
    let verdict = core.committer.commit(Batch::replace(before, head, vec![record])).await?;
    Ok(verdict == Verdict::Accepted)
}

fn store(error: Error) -> StepError {
    StepError::unavailable(error.to_string()).caused_by(error)
}
