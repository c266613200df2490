//! Mending what can be mended safely.
//!
//! A repair is worked out as the writes that it consists of, and these are either shown or made: a dry run shows what would
//! be written because it is the same. The first of them names who mends and why, and is guarded by the version at which the
//! issue was seen, so that nothing is mended that has moved since; what others are told follows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use stepwell_contract::{
    Batch, Clock, Guard, Head, Message, MessageId, Payload, Record, RunKey, Status, Timestamp, Verdict,
};

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::engine::Engine;
use crate::exec::limits::slots;
use crate::exec::outcome::Outcome;
use crate::exec::{family, heads, requests};
use crate::integrity::issue::{Issue, Mend};
use crate::integrity::look::{Kin, Looked, Read, Still, look_at, read};
use crate::integrity::validate::PATIENCE_MS;
use crate::run::actor::Actor;
use crate::run::event::{Event, Repaired};
use crate::run::request::{Ask, REQUEST, SIGNAL, Verb};
use crate::run::state::State;
use crate::run::summary::Summary;
use crate::schedule::watch;

/// What a repair came to, or would come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RepairReport {
    /// The issue as it was seen again.
    pub issue: Issue,
    /// Whether it was written.
    pub applied: bool,
    /// What was written, or would be, in this order.
    pub writes: Vec<PlannedWrite>,
}

/// One write of a repair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedWrite {
    /// The run that is written to.
    pub run: RunKey,
    /// The fields of its head that change: before and after. The version, which is new at every write, is left out.
    pub head: BTreeMap<String, (Value, Value)>,
    /// What is added to its journal.
    pub records: Vec<Record>,
    /// What is put into its inbox.
    pub messages: Vec<Message>,
}

impl Engine {
    /// Mends an issue, if it can be mended safely: see [`Issue::mend`]. The repair is recorded in the journal of the run with
    /// who mended it and why, and is refused once the run has moved since the issue was seen: look again then. After a
    /// dry run nothing is written, and the report says what would be.
    ///
    /// # Errors
    /// [`Error::Refused`] says why nothing was mended: it is for a person, it is stale, or a worker has the run;
    /// [`Error::NoSuchRun`]; [`Error::Store`], after which it may have been mended in part: look again, and mend what is found
    /// then.
    ///
    /// # Cancellation
    /// Dropping the future leaves it mended, in part or not: look again.
    pub async fn repair(
        &self,
        issue: &Issue,
        who: Actor,
        reason: &str,
        dry_run: bool,
    ) -> Result<RepairReport, Error> {
        let core = self.core();
        let (present, still) = seen_again(core, issue).await?;
        let said = Said { who, reason: requests::reason(reason.to_owned()), at: core.time.now() };
        let plan = plan(core, &present, &still, &said).await?;
        let writes = plan.iter().map(Planned::shown).collect();
        if !dry_run {
            carry_out(core, &present, &plan).await?;
        }
        Ok(RepairReport { issue: present, applied: !dry_run, writes })
    }
}

/// Who mends, why and when.
struct Said {
    who: Actor,
    reason: String,
    at: Timestamp,
}

/// A write, and the head that it replaces.
struct Planned {
    before: Option<Head>,
    batch: Batch,
}

fn refused(issue: &Issue, status: Status, why: String) -> Error {
    Error::Refused { key: issue.run.clone(), verb: "repair", status, why }
}

/// The issue as it is now, if it is the one that was seen.
async fn seen_again(core: &Arc<Core>, issue: &Issue) -> Result<(Issue, Box<Still>), Error> {
    let head = requests::head_of(core, &issue.run).await?;
    let stale = |why: &str| refused(issue, head.status, format!("{why}: look at the run again"));
    if head.version != issue.version {
        return Err(stale("the run has moved since the issue was seen"));
    }
    // What was late then is late now, whatever the one who looked called late.
    let patience_ms = if issue.kind.is_lateness() { 0 } else { PATIENCE_MS };
    let looked = match look_at(core, &issue.run, patience_ms, &mut Kin::default()).await? {
        // One who has more patience than another sees less.
        Looked::At(issues, _) if !has(&issues, issue) => {
            look_at(core, &issue.run, 0, &mut Kin::default()).await?
        }
        looked => looked,
    };
    match looked {
        Looked::At(issues, still) if still.head.version == issue.version => {
            let present = issues.into_iter().find(|present| present.fingerprint() == issue.fingerprint());
            Ok((present.ok_or_else(|| stale("the issue is not there any more"))?, still))
        }
        Looked::At(..) | Looked::Moving => Err(stale("the run has moved since the issue was seen")),
        Looked::Gone => Err(Error::NoSuchRun(issue.run.clone())),
    }
}

fn has(issues: &[Issue], issue: &Issue) -> bool {
    issues.iter().any(|present| present.fingerprint() == issue.fingerprint())
}

/// The writes that mend an issue, in order.
async fn plan(core: &Arc<Core>, issue: &Issue, still: &Still, said: &Said) -> Result<Vec<Planned>, Error> {
    let Some(mend) = &issue.mend else {
        return Err(refused(
            issue,
            still.head.status,
            format!("it is for a person: {}", issue.recommendation),
        ));
    };
    let of_run = match mend {
        Mend::RewriteHead | Mend::Wake | Mend::ReleaseLease | Mend::NudgeSchedule => {
            Planned::noted(issue, mend, still, said)?
        }
        Mend::CancelChild { .. } => Planned::noted(issue, mend, still, said)?,
        // The parent may have an owner, whose next write must not fail: the child has none any more.
        Mend::TellParent { child } => {
            let child = match read(core, child).await? {
                Read::Still(child) => *child,
                Read::Moving => {
                    return Err(refused(
                        issue,
                        still.head.status,
                        format!("{child} is written to all the time"),
                    ));
                }
                Read::Gone => return Err(Error::NoSuchRun(child.clone())),
            };
            let noted = Planned::noted(issue, mend, &child, said)?;
            let state = state_of(issue, &child)?;
            let id = message_id(issue, child.head.next_seq.0)?;
            let told = family::end_told(&child.head.key, state, id, said.at)?;
            let (parent, message) = told.ok_or_else(|| {
                refused(issue, child.head.status, format!("{} does not tell how it ended", child.head.key))
            })?;
            return Ok(vec![noted, Planned { before: None, batch: Batch::post(parent, message) }]);
        }
        Mend::FreeSlot { holder, fence } => {
            let payload = json!({
                "run": holder, "fence": fence, "issue": issue.kind, "actor": said.who, "message": said.reason,
            });
            let freed = slots::without(&still.head, holder, *fence, Payload::encode(&payload)?, said.at)?;
            let batch =
                freed.ok_or_else(|| refused(issue, still.head.status, format!("{holder} counts no more")))?;
            Planned { before: Some(still.head.clone()), batch }
        }
    };
    let mut plan = vec![of_run];
    let id = message_id(issue, still.head.next_seq.0)?;
    match mend {
        Mend::CancelChild { child } => {
            let ask = Ask::new(Verb::Cancel, said.who.clone(), format!("its parent {} has ended", issue.run));
            let message = Message::new(id, REQUEST, said.at, Payload::encode(&ask)?);
            plan.push(Planned { before: None, batch: Batch::post(child.clone(), message) });
        }
        Mend::NudgeSchedule => {
            let message = Message::new(id, SIGNAL, said.at, watch::nudge(&said.who, &said.reason, said.at)?);
            plan.push(Planned { before: None, batch: Batch::post(issue.run.clone(), message) });
        }
        _ => {}
    }
    Ok(plan)
}

fn state_of<'a>(issue: &Issue, still: &'a Still) -> Result<&'a State, Error> {
    let state = still.journal.state.as_ref();
    state.map_err(|fault| refused(issue, still.head.status, format!("{}: {}", still.head.key, fault.why)))
}

/// The same for the same issue at the same point of a run: told twice, it is heard once.
fn message_id(issue: &Issue, seq: u64) -> Result<MessageId, Error> {
    Ok(MessageId::new(format!("repair-{}-{seq}", issue.fingerprint()))?)
}

impl Planned {
    /// The record of a repair in a run that nobody has, and the head as it is mended.
    fn noted(issue: &Issue, mend: &Mend, still: &Still, said: &Said) -> Result<Self, Error> {
        let head = &still.head;
        let is_release = *mend == Mend::ReleaseLease;
        if !is_release && let Some(lease) = head.live_lease(said.at) {
            let why =
                format!("worker {} has the run: once its lease has ended it can be mended", lease.worker);
            return Err(refused(issue, head.status, why));
        }
        let event: Event = Repaired {
            issue: issue.kind,
            about: issue.about.clone(),
            mend: mend.clone(),
            actor: said.who.clone(),
            message: said.reason.clone(),
        }
        .into();
        let mut state = state_of(issue, still)?.clone();
        state.apply(&event, said.at)?;
        let mut mended = head.clone();
        match mend {
            Mend::RewriteHead => rewrite(&mut mended, &state, still, said.at)?,
            Mend::Wake => mended.wake_at = Some(said.at),
            Mend::ReleaseLease => {
                mended.lease = None;
                mended.wake_at = Some(said.at);
            }
            Mend::TellParent { .. }
            | Mend::CancelChild { .. }
            | Mend::FreeSlot { .. }
            | Mend::NudgeSchedule => {}
        }
        mended.version = head.version.next(fastrand::u64(..));
        mended.next_seq = head.next_seq.plus(1);
        mended.updated_at = said.at;
        let record = event.record(head.next_seq, said.at)?;
        let batch = Batch::replace(head.version, mended, vec![record]);
        Ok(Self { before: Some(head.clone()), batch })
    }

    fn shown(&self) -> PlannedWrite {
        let fields = |head: &Head| match serde_json::to_value(head) {
            Ok(Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let before = self.before.as_ref().map(fields).unwrap_or_default();
        let after = self.batch.head.as_ref().map(fields).unwrap_or_default();
        let names = before.keys().chain(after.keys()).filter(|name| *name != "version");
        let change = |name: &String| {
            let of = |fields: &serde_json::Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
            let change = (of(&before), of(&after));
            (change.0 != change.1).then(|| (name.clone(), change))
        };
        PlannedWrite {
            run: self.batch.key.clone(),
            head: names.filter_map(change).collect(),
            records: self.batch.append.clone(),
            messages: self.batch.post.clone(),
        }
    }
}

/// Makes the head say what the journal says.
fn rewrite(head: &mut Head, state: &State, still: &Still, now: Timestamp) -> Result<(), Error> {
    let before: Summary = head.summary.decode().unwrap_or_default();
    // One that waited for others of its queue asks again.
    let mut summary = Summary { parked: None, ..before }.with_trouble_of(state);
    if !state.begun {
        // It still has to be taken in time.
        summary.queue_until = state.created.queue_until;
    }
    let ended_at = head.finished_at.unwrap_or(still.journal.last_at);
    head.workflow = state.created.workflow.clone();
    heads::follow(head, state, summary.payload()?, now);
    head.finished_at = state.status.is_finished().then_some(ended_at);
    head.fence = head.fence.max(still.journal.fence);
    Ok(())
}

/// Makes the writes of a repair.
async fn carry_out(core: &Arc<Core>, issue: &Issue, plan: &[Planned]) -> Result<(), Error> {
    for planned in plan {
        let verdict = core.committer.commit(planned.batch.clone()).await?;
        if let Verdict::Rejected { current } = verdict {
            return Err(match (current, planned.batch.guard) {
                (Some(_), Guard::At(_)) => {
                    let status = planned.before.as_ref().map_or(Status::Running, |head| head.status);
                    refused(
                        issue,
                        status,
                        "the run has moved since the issue was seen: look at it again".to_owned(),
                    )
                }
                _ => Error::NoSuchRun(planned.batch.key.clone()),
            });
        }
    }
    for planned in plan {
        if let Some(slot) = core.registry.slot(&planned.batch.key) {
            slot.tell_mail();
        }
        if !planned.batch.post.is_empty() {
            family::take_in(core, &planned.batch.key).await?;
        }
    }
    match issue.mend {
        Some(Mend::FreeSlot { .. }) => {
            if let Some(head) = plan.first().and_then(|planned| planned.before.as_ref()) {
                slots::hand_on(core, &head.queue).await?;
            }
        }
        Some(Mend::RewriteHead) => {
            let state = requests::load_state(core, &issue.run).await?;
            if let Ok(outcome) = Outcome::of(&state) {
                core.registry.tell(&issue.run, &outcome);
            }
        }
        _ => {}
    }
    Ok(())
}
