//! Reads what the rules look at, and touches nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{
    BackendError, Clock, FaultKind, Fence, Head, Message, RunKey, Seq, Status, Timestamp, WorkflowRef,
};

use crate::diagnosis::evidence::WorkerFacts;
use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::limits::{slots, system};
use crate::exec::load::Pages;
use crate::exec::workers::view;
use crate::integrity::issue::{Issue, Mend};
use crate::integrity::rules;
use crate::integrity::sight::{
    Ahead, ChildSeen, Fault, FaultSort, INBOX, Journal, ParentSeen, Sight, SlotSeen, Unread,
};
use crate::run::change::look_ahead;
use crate::run::decide::{Next, Plan, Rest};
use crate::run::event::Event;
use crate::run::state::{State, StepStatus};
use crate::run::waiting::Parent;
use crate::schedule;

/// How often a run is read that is written to all the time, before it is left for another look.
const READS_MAX: u32 = 8;
/// What the head of a queue's limits says, as something that may not be readable.
const LIMITS: &str = "limits";

/// A run as it was at one moment.
pub(super) struct Still {
    pub(super) head: Head,
    pub(super) inbox: Vec<Message>,
    /// What of it is damaged, besides the journal.
    pub(super) unread: Vec<Unread>,
    pub(super) journal: Journal,
}

/// What came of reading a run.
pub(super) enum Read {
    Still(Box<Still>),
    /// It is written to all the time.
    Moving,
    /// It is not there.
    Gone,
}

/// Reads a run until nothing has moved while it was read.
pub(super) async fn read(core: &Core, key: &RunKey) -> Result<Read, Error> {
    for _ in 0..READS_MAX {
        let Some(head) = core.backend.head(key).await? else { return Ok(Read::Gone) };
        // Before the journal: what is taken from it meanwhile is in one of the two.
        let (inbox, unread) = match core.backend.inbox(key, PAGE_ITEMS_MAX).await {
            Ok(inbox) => (inbox, Vec::new()),
            Err(error) => (Vec::new(), vec![Unread { what: INBOX, why: corruption(&error).ok_or(error)? }]),
        };
        let journal = journal(core, key).await?;
        match core.backend.head(key).await? {
            None => return Ok(Read::Gone),
            Some(after) if after.version == head.version => {
                return Ok(Read::Still(Box::new(Still { head, inbox, unread, journal })));
            }
            Some(_) => {}
        }
    }
    Ok(Read::Moving)
}

/// What the journal of a run tells, as far as the store has it.
pub(super) async fn journal(core: &Core, key: &RunKey) -> Result<Journal, Error> {
    let mut journal = Journal::default();
    let mut pages = Pages::new(core.backend.as_ref(), key, Seq::FIRST);
    loop {
        match pages.next().await {
            Ok(Some(page)) => journal.add(&page),
            Ok(None) => return Ok(journal),
            Err(error) => {
                // The store itself says that it is damaged: that is what is looked for.
                let why = corruption(&error).ok_or(error)?;
                let seq = Seq(journal.records + 1);
                journal.state = Err(Fault { sort: FaultSort::Unreadable, seq, why });
                return Ok(journal);
            }
        }
    }
}

fn corruption(error: &BackendError) -> Option<String> {
    (error.fault().kind == FaultKind::Corrupt).then(|| error.to_string())
}

/// What was read, or nothing of it where the store says that it is damaged, which is noted.
fn or_unread<T: Default>(
    read: Result<T, Error>,
    what: &'static str,
    unread: &mut Vec<Unread>,
) -> Result<T, Error> {
    match read {
        Err(Error::Store(error)) => {
            let why = corruption(&error).ok_or(Error::Store(error))?;
            unread.push(Unread { what, why });
            Ok(T::default())
        }
        read => read,
    }
}

/// What is known of runs that others have in common, while one page is looked at.
#[derive(Debug, Default)]
pub(super) struct Kin {
    /// What a parent ever recorded as begun; `None` when its journal cannot be read.
    begun: BTreeMap<RunKey, Option<BTreeSet<RunKey>>>,
    /// The workers of the store, once something was late.
    workers: Option<Arc<Vec<WorkerFacts>>>,
}

/// Parents that are remembered.
const PARENTS_MAX: usize = 16;

impl Kin {
    /// Whether a parent has recorded a child as begun; `None` when that cannot be told.
    async fn has_begun(
        &mut self,
        core: &Core,
        parent: &RunKey,
        child: &RunKey,
    ) -> Result<Option<bool>, Error> {
        let known = self.begun.get(parent).and_then(Option::as_ref);
        // It only ever grows: what is not there may have come since.
        if known.is_some_and(|begun| begun.contains(child)) {
            return Ok(Some(true));
        }
        let journal = journal(core, parent).await?;
        let begun = journal.state.is_ok().then(|| journal.begun.into_iter().collect::<BTreeSet<_>>());
        let has_begun = begun.as_ref().map(|begun| begun.contains(child));
        if self.begun.len() >= PARENTS_MAX {
            self.begun.clear();
        }
        self.begun.insert(parent.clone(), begun);
        Ok(has_begun)
    }

    async fn workers(&mut self, core: &Core) -> Result<Arc<Vec<WorkerFacts>>, Error> {
        if let Some(workers) = &self.workers {
            return Ok(Arc::clone(workers));
        }
        let workers = Arc::new(view::facts(core).await?);
        self.workers = Some(Arc::clone(&workers));
        Ok(workers)
    }
}

/// What a look at a run came to.
pub(super) enum Looked {
    /// These issues, most often none, and the run as it was then.
    At(Vec<Issue>, Box<Still>),
    /// It was written to all the time.
    Moving,
    /// It is not there.
    Gone,
}

/// Looks at a run or at a head of the engine's own, and looks again at what it finds: only what is there both times counts.
pub(super) async fn look_at(
    core: &Arc<Core>,
    key: &RunKey,
    patience_ms: u64,
    kin: &mut Kin,
) -> Result<Looked, Error> {
    let (first, children) = match once(core, key, patience_ms, kin, None).await? {
        Once::At(issues, still, _) if issues.is_empty() => return Ok(Looked::At(issues, still)),
        Once::At(issues, _, children) => (issues, children),
        Once::Moving => return Ok(Looked::Moving),
        Once::Gone => return Ok(Looked::Gone),
    };
    // Runs are read one after the other and tell each other things meanwhile. This time the children are read before what
    // they have told, so that a word on its way is seen at one end or at the other.
    let mut early = BTreeMap::new();
    for child in children {
        if let Some(head) = core.backend.head(&child).await? {
            early.insert(child, head);
        }
    }
    let seen: BTreeMap<String, Option<Mend>> =
        first.into_iter().map(|issue| (issue.fingerprint(), issue.mend)).collect();
    let mut again = Kin { workers: kin.workers.clone(), ..Kin::default() };
    match once(core, key, patience_ms, &mut again, Some(&early)).await? {
        Once::At(mut issues, still, _) => {
            // Room that a run holds under another fence now was given to it anew.
            issues.retain(|issue| seen.get(&issue.fingerprint()) == Some(&issue.mend));
            Ok(Looked::At(issues, still))
        }
        Once::Moving => Ok(Looked::Moving),
        Once::Gone => Ok(Looked::Gone),
    }
}

enum Once {
    At(Vec<Issue>, Box<Still>, Vec<RunKey>),
    Moving,
    Gone,
}

async fn once(
    core: &Arc<Core>,
    key: &RunKey,
    patience_ms: u64,
    kin: &mut Kin,
    early: Option<&BTreeMap<RunKey, Head>>,
) -> Result<Once, Error> {
    let still = match read(core, key).await? {
        Read::Still(still) => *still,
        Read::Moving => return Ok(Once::Moving),
        Read::Gone => return Ok(Once::Gone),
    };
    let Still { head, inbox, mut unread, journal } = still;
    let now = core.time.now();
    let state = journal.state.as_ref().ok().filter(|_| !system::is_own(key));
    let (mut parent, mut children, mut slots) = (None, Vec::new(), Vec::new());
    if system::is_own(key) {
        match slots::held(&head) {
            Ok(held) => slots = or_unread(slots_of(core, held).await, LIMITS, &mut unread)?,
            Err(error) => unread.push(Unread { what: LIMITS, why: error.to_string() }),
        }
    } else if let Some(state) = state {
        parent = or_unread(parent_of(core, key, state, kin).await, "parent", &mut unread)?;
        children = or_unread(children_of(core, &head, state, early).await, "children", &mut unread)?;
    }
    let ahead = state.and_then(|state| ahead(core, &head, state, now));
    let limits = state.map(|state| limits(core, state)).unwrap_or_default();
    let is_schedule = head.workflow.as_str() == schedule::WORKFLOW;
    let schedule = state.filter(|_| is_schedule).map(|state| schedule::watch::wakes_at(state, now));
    let mut sight = Sight {
        head: &head,
        journal,
        inbox: &inbox,
        parent,
        children,
        ahead,
        limits,
        schedule,
        slots,
        workers: &[],
        unread: &unread,
        now,
        patience_ms,
    };
    // Most often nothing is late, and nobody needs to be asked.
    let workers = match sight.due_since().is_some_and(|since| sight.is_late(since)) {
        true => kin.workers(core).await?,
        false => Arc::default(),
    };
    sight.workers = &workers;
    let issues = if system::is_own(key) { rules::judge_own(&sight) } else { rules::judge(&sight) };
    let children = sight.children.iter().map(|seen| seen.child.run.clone()).collect();
    let journal = sight.journal;
    Ok(Once::At(issues, Box::new(Still { head, inbox, unread, journal }), children))
}

async fn slots_of(core: &Core, held: Vec<(RunKey, Fence)>) -> Result<Vec<SlotSeen>, Error> {
    let mut seen = Vec::new();
    for (holder, fence) in held {
        let head = core.backend.head(&holder).await?;
        seen.push(SlotSeen { holder, fence, head });
    }
    Ok(seen)
}

async fn parent_of(
    core: &Core,
    key: &RunKey,
    state: &State,
    kin: &mut Kin,
) -> Result<Option<ParentSeen>, Error> {
    let Some(parent) = state.created.parent.clone() else { return Ok(None) };
    let is_there = core.backend.head(&parent.run).await?.is_some();
    let has_begun_it = if is_there { kin.has_begun(core, &parent.run, key).await? } else { None };
    Ok(Some(ParentSeen { parent, is_there, has_begun_it }))
}

async fn children_of(
    core: &Core,
    head: &Head,
    state: &State,
    early: Option<&BTreeMap<RunKey, Head>>,
) -> Result<Vec<ChildSeen>, Error> {
    let mut seen = Vec::new();
    for (place, part, child) in state.open_children() {
        let step = state.step(&place);
        let is_awaited = step.is_some_and(|step| {
            let waits = |part: &str| {
                step.waiting.as_ref().is_some_and(|waiting| waiting.children.iter().any(|name| name == part))
            };
            step.status == StepStatus::Suspended && waits(part)
        });
        let child_head = match early.and_then(|early| early.get(&child.run)) {
            Some(head) => Some(head.clone()),
            None => core.backend.head(&child.run).await?,
        };
        let (parent, is_read) = match &child_head {
            Some(_) => first_word(core, &child.run).await?,
            None => (None, false),
        };
        let is_open = child_head.as_ref().is_some_and(|head| !head.status.is_finished());
        let has_mail = head.status.is_finished() && is_open && has_mail(core, &child.run).await?;
        let (part, child) = (part.to_owned(), child.clone());
        seen.push(ChildSeen { place, part, child, is_awaited, head: child_head, parent, is_read, has_mail });
    }
    Ok(seen)
}

/// Whether a run has unread mail. Where that is damaged it may have been asked anything.
async fn has_mail(core: &Core, key: &RunKey) -> Result<bool, Error> {
    match core.backend.inbox(key, 1).await {
        Ok(inbox) => Ok(!inbox.is_empty()),
        Err(error) => Ok(corruption(&error).ok_or(error).map(|_| true)?),
    }
}

/// Who started a run, by its first record, and whether that could be read.
async fn first_word(core: &Core, key: &RunKey) -> Result<(Option<Parent>, bool), Error> {
    let first = core.backend.journal(key, Seq::FIRST, 1).await;
    let first = match first {
        Err(error) if corruption(&error).is_some() => return Ok((None, false)),
        first => first?,
    };
    match first.first().map(Event::read) {
        Some(Ok(Event::RunCreated(created))) => Ok((created.parent, true)),
        _ => Ok((None, false)),
    }
}

/// What a run that is at rest or has succeeded would do next, if the definition at hand is one for it.
fn ahead(core: &Core, head: &Head, state: &State, now: Timestamp) -> Option<Ahead> {
    let has_succeeded = state.status == Status::Succeeded;
    let is_at_rest = state.owner.is_none()
        && matches!(state.status, Status::Queued | Status::Waiting | Status::Cancelling);
    if !has_succeeded && !is_at_rest {
        return None;
    }
    let reference = WorkflowRef { name: head.workflow.clone(), version: state.workflow_version };
    let registered = core.definition_for(&reference)?;
    let definition = &registered.definition;
    let is_same =
        definition.version() == state.workflow_version && definition.fingerprint() == state.fingerprint;
    let mut state = state.clone();
    if has_succeeded {
        // What came too late for others is past for it.
        state.deadline_at = None;
    }
    if !is_same || look_ahead(definition, &mut state).is_err() {
        return None;
    }
    let (graph, limits) = (Arc::clone(definition.graph()), Arc::clone(&registered.limits));
    let mut plan = Plan::new(graph, limits, &state);
    match plan.next(&state, now, usize::MAX) {
        Ok(next) if has_succeeded => Some(Ahead { at: None, undone: undone(&next) }),
        Ok(next) => {
            let is_now =
                !next.starts.is_empty() || !next.events.is_empty() || next.wants || next.rest.is_some();
            Some(Ahead { at: if is_now { Some(now) } else { next.timer }, undone: None })
        }
        Err(error) if has_succeeded => Some(Ahead { at: None, undone: Some(error.to_string()) }),
        // A worker that has it holds it, and says why.
        Err(_) => None,
    }
}

/// What a definition still wants of a run that has succeeded.
fn undone(next: &Next) -> Option<String> {
    if matches!(next.rest, Some(Rest::Succeed { .. })) {
        return None;
    }
    let places: Vec<String> = next.starts.iter().take(5).map(|start| start.place.to_string()).collect();
    Some(match places.is_empty() {
        true => "it is not at its end".to_owned(),
        false => format!("{} is still to be done", places.join(", ")),
    })
}

/// How long the attempts that run may take.
fn limits(core: &Core, state: &State) -> BTreeMap<crate::Place, u64> {
    if state.running == 0 {
        return BTreeMap::new();
    }
    let name = state.created.workflow.clone();
    let reference = WorkflowRef { name, version: state.workflow_version };
    let Some(registered) = core.definition_for(&reference) else { return BTreeMap::new() };
    let limit = |place: crate::Place| {
        let step = registered.definition.graph().find(&place.step)?;
        Some((place, registered.limits[step.0].attempt_timeout_ms.value?))
    };
    state.running_places().into_iter().filter_map(limit).collect()
}
