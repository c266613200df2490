//! Drives one run: decide, write, act, wait; over and over until it comes to rest.
//!
//! The order inside [`Runner::turn`] is the promise of the engine: results, counts of new attempts and the renewed
//! lease are durable in one write *before* the attempts begin.

mod ended;
mod late;
mod why;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use stepwell_contract::seeded::{Bug, is_planted};
use stepwell_contract::{Clock, Head, Name, Record, Seq, Status, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use crate::exec::attempt::{Attempt, Bounds, Ended};
use crate::exec::core::{Core, Registered};
use crate::exec::family;
use crate::exec::heads;
pub(crate) use crate::exec::left::Left;
use crate::exec::outcome::Outcome;
use crate::exec::requests::MAIL_MAX;
use crate::exec::runner::late::InHand;
use crate::exec::slot::{Slot, Write, WriteError};
use crate::run::actor::Actor;
use crate::run::change::{Holdup, look_ahead, unfit};
use crate::run::decide::{Next, Plan, Rest, Start};
use crate::run::event::{
    AttemptLost, DefinitionChanged, Event, LostReason, ReleaseReason, RunCancelled, RunEnding, RunFailed,
    RunPaused, RunReleased, RunSucceeded, StepStarted,
};
use crate::run::mail::answer;
use crate::run::place::Place;
use crate::run::report::overdue;
use crate::run::request::held_as_asked;
use crate::run::state::{Request, State};
use crate::run::summary::Summary;
use crate::run::takeover::takeover;
use crate::run::unread::unread_by_undo;
use crate::workflow::context::{Ask, StepContext, Surroundings};
use crate::workflow::error::StepError;
use crate::workflow::failure::Failure;
use crate::workflow::graph::StepIndex;
use crate::workflow::step::VALUE_BYTES_MAX;

/// Most attempts that begin with one write.
const STARTS_MAX: usize = 1_000;
/// Payload bytes and records after which a write is sent although more is there to write: well within the limits of one
/// batch, whatever one more event may add.
pub(crate) const WRITE_BYTES: usize = 1 << 20;
const WRITE_RECORDS: usize = 4_000;
/// Waits shorter than this are waited out with the run at hand instead of giving it up.
const HOLD_MS: u64 = 1_000;
/// A run with more records than this that waits for the work of others is kept at hand for as long: to read it again for each
/// of a thousand children costs more than to keep it.
const KEEP_RECORDS: u64 = 512;
/// How long a step that ignores cancellation is renewed beyond its last limit.
const HOLD_GRACE_MS: u64 = 30_000;
/// How often, and with which rests, the mail of a run is looked at that has come to rest.
const TAKE_IN_TRIES: u32 = 5;
const TAKE_IN_REST: Duration = Duration::from_millis(20);

/// Drives one run.
pub(crate) struct Runner {
    core: Arc<Core>,
    slot: Arc<Slot>,
    registered: Arc<Registered>,
    state: State,
    plan: Plan,
    /// What is to be written next; the state has it already.
    pending: Write,
    pending_bytes: usize,
    next_seq: Seq,
    attempts: FuturesUnordered<BoxFuture<'static, (Place, Ended)>>,
    live: HashMap<Place, Live>,
    /// The attempts whose ends are only to be written.
    unwritten: Vec<InHand>,
    asks: mpsc::Receiver<Ask>,
    ask: mpsc::Sender<Ask>,
    waiting_asks: Vec<oneshot::Sender<Result<(), StepError>>>,
    stop: CancellationToken,
    /// Tells what steps have spawned when the run is lost or left.
    _stop_when_left: DropGuard,
    stop_reason: LostReason,
    hold_until: Timestamp,
    /// When something was last recorded of the run.
    active_at: Timestamp,
    /// What keeps the definition from going on with the run.
    holdup: Option<Holdup>,
    /// Steps whose stored outputs the present code cannot read, and why.
    stale: Arc<BTreeMap<Name, String>>,
    /// The attempts of which it was said why they failed.
    explained: BTreeSet<(Place, u32)>,
    /// Whether what is to be written says why something failed.
    has_diagnosed: bool,
    _permit: OwnedSemaphorePermit,
}

/// An attempt that runs now.
struct Live {
    ctx: StepContext,
    step: StepIndex,
    attempt: u32,
    started_at: Timestamp,
    input_bytes: usize,
}

/// What a turn leads to.
enum Turn {
    /// Nothing to do before this time, unless something happens.
    Wait(Option<Timestamp>),
    /// The run has come to rest or was given up.
    Over(Outcome),
}

impl Runner {
    /// A runner for a run that its first turn makes.
    pub(crate) fn create(
        core: &Arc<Core>,
        registered: Arc<Registered>,
        slot: Arc<Slot>,
        state: State,
        created: Record,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, Left> {
        let mut runner = Self::new(core, registered, slot, state, permit);
        runner.pending.append.push(created);
        runner.take_over()?;
        Ok(runner)
    }

    /// A runner for a run that was just claimed: reads its journal and takes account of what its last owner left.
    pub(crate) async fn resume(
        core: &Arc<Core>,
        registered: Arc<Registered>,
        slot: Arc<Slot>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, Left> {
        let state = crate::exec::load::state(core.backend.as_ref(), &slot.key).await?;
        let mut runner = Self::new(core, registered, slot, state, permit);
        // Mail may be why the run was due. It is answered for the run as it was found: one that waits can be resumed,
        // one that was taken only to read its mail could not be any more.
        runner.read_mail().await?;
        if runner.state.status != Status::Paused && !runner.state.status.is_finished() {
            let (lost, left_behind) = (runner.lost_owner(), runner.state.running_places());
            runner.take_over()?;
            runner.explain_lost(lost, &left_behind).await?;
            // One whose end is decided needs no code any more.
            if runner.state.ending.is_none() {
                runner.look_ahead()?;
            }
        }
        Ok(runner)
    }

    fn new(
        core: &Arc<Core>,
        registered: Arc<Registered>,
        slot: Arc<Slot>,
        state: State,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let plan =
            Plan::new(Arc::clone(registered.definition.graph()), Arc::clone(&registered.limits), &state);
        let (ask, asks) = mpsc::channel(64);
        let stop = CancellationToken::new();
        Self {
            core: Arc::clone(core),
            slot,
            registered,
            next_seq: state.last_seq.plus(1),
            state,
            plan,
            pending: Write::default(),
            pending_bytes: 0,
            attempts: FuturesUnordered::new(),
            live: HashMap::new(),
            unwritten: Vec::new(),
            asks,
            ask,
            waiting_asks: Vec::new(),
            _stop_when_left: stop.clone().drop_guard(),
            stop,
            stop_reason: LostReason::Stopped,
            hold_until: Timestamp(i64::MAX),
            active_at: Timestamp(i64::MIN),
            holdup: None,
            stale: Arc::default(),
            explained: BTreeSet::new(),
            has_diagnosed: false,
            _permit: permit,
        }
    }

    /// Records the takeover, and the attempts whose end nobody recorded.
    fn take_over(&mut self) -> Result<(), Left> {
        for event in
            takeover(&self.state, &self.core.worker, self.slot.fence, self.core.witness.code_version())
        {
            if let Event::AttemptLost(AttemptLost { place, attempt, .. }) = &event {
                tracing::warn!(run = %self.slot.key, step = %place, attempt, "the worker was lost during this attempt");
            }
            self.push(event)?;
        }
        Ok(())
    }

    /// Looks whether the definition at hand can go on with the run, before anything of it begins.
    fn look_ahead(&mut self) -> Result<(), Left> {
        let registered = Arc::clone(&self.registered);
        let definition = &registered.definition;
        match look_ahead(definition, &mut self.state) {
            Ok(ahead) => {
                self.stale = Arc::new(ahead.stale.steps());
                // What flows through it may have another form now.
                self.plan =
                    Plan::new(Arc::clone(definition.graph()), Arc::clone(&registered.limits), &self.state);
                if let Some(from) = ahead.moves_from {
                    let (to, fingerprint) = (definition.version(), definition.fingerprint().to_owned());
                    let worker = self.core.worker.clone();
                    self.push(DefinitionChanged { from, to, fingerprint, worker }.into())?;
                }
            }
            Err(holdup) => self.holdup = Some(holdup),
        }
        Ok(())
    }

    /// Takes the first turn: after it the run and its first attempts are durable.
    pub(crate) async fn begin(&mut self) -> Result<Option<Outcome>, Left> {
        match self.turn().await? {
            Turn::Wait(_) => Ok(None),
            Turn::Over(outcome) => Ok(Some(outcome)),
        }
    }

    async fn drive_on(&mut self) -> Result<Outcome, Left> {
        loop {
            match self.turn().await? {
                Turn::Over(outcome) => return Ok(outcome),
                Turn::Wait(timer) => self.wait(timer).await?,
            }
        }
    }

    /// Decides what to do, writes it, and then does it.
    async fn turn(&mut self) -> Result<Turn, Left> {
        if self.state.owner.is_none() {
            // Its mail put it to rest before it was taken.
            let outcome = Outcome::of(&self.state)?;
            self.write().await?;
            self.slot.end();
            return Ok(Turn::Over(outcome));
        }
        let now = self.core.time.now();
        // A request to stop is carried out whether the definition fits or not; but only one that fits knows how to undo.
        let needs_fit =
            self.state.ending.is_none() && matches!(self.state.request, None | Some(Request::Undo));
        let holdup = self.holdup.as_ref().filter(|_| needs_fit);
        let mut next = if let Some(holdup) = holdup {
            self.held(holdup.rest(&self.registered.definition))
        } else {
            // A worker that shuts down starts nothing more.
            let starts_max = if self.core.is_stopping() { 0 } else { STARTS_MAX };
            match self.plan.next(&self.state, now, starts_max) {
                Ok(next) => next,
                Err(error) => self.held(unfit(&self.registered.definition, &error)),
            }
        };
        let definition = &self.registered.definition;
        if let Some(unread) = unread_by_undo(definition, &self.state, &self.stale, &next.starts) {
            next.starts.clear();
            next.rest = Some(Holdup::Unread(unread).rest(definition));
        }
        if next.stop {
            self.stop_attempts(LostReason::Stopped);
        }
        // What could go on now is due at once for the next owner; what waits goes on waiting.
        let wake_at = if next.wants { Some(now) } else { next.timer };
        for event in std::mem::take(&mut next.events) {
            self.push_within(event).await?;
        }
        for start in &next.starts {
            self.push_within(StepStarted { place: start.place.clone(), attempt: start.attempt }.into())
                .await?;
        }
        let is_overdue = !next.overdue.is_empty();
        let timer = self.timer(&next, now);
        for place in &next.overdue {
            self.take_overdue(place, now)?;
        }
        let mut outcome = None;
        if let Some(rest) = next.rest.take() {
            let rest = self.tellable(rest);
            self.explain_rest(&rest).await?;
            self.tell_of_end(&rest).await?;
            outcome = Some(self.come_to_rest(rest)?);
        } else if next.starts.is_empty()
            && next.overdue.is_empty()
            && self.state.running == 0
            && let Some(reason) = self.reason_to_release(timer, now)
        {
            self.push(RunReleased { wake_at, reason }.into())?;
            outcome = Some(Outcome::Released);
        }
        let is_made = self.pending.append.first().is_none_or(|record| record.seq > Seq::FIRST);
        if !(is_planted(Bug::AttemptCountedAfter) && is_made && !next.starts.is_empty()) {
            self.write().await?;
        }
        if let Some(outcome) = outcome {
            self.slot.end();
            self.take_in_late().await;
            return Ok(Turn::Over(outcome));
        }
        for start in next.starts {
            self.launch(start);
        }
        // What follows from a step that is overdue is decided with the next look.
        Ok(Turn::Wait(if is_overdue { Some(now) } else { timer }))
    }

    /// When there is something to do again: for a long run that waits for the work of others, to see that nothing has come.
    fn timer(&self, next: &Next, now: Timestamp) -> Option<Timestamp> {
        let is_kept = next.is_busy && self.state.running == 0 && self.state.last_seq.0 > KEEP_RECORDS;
        let idle_at = self.active_at.plus_ms(HOLD_MS);
        next.timer.into_iter().chain((is_kept && idle_at > now).then_some(idle_at)).min()
    }

    /// Fails a step that was left to someone outside who has said nothing in time.
    fn take_overdue(&mut self, place: &Place, now: Timestamp) -> Result<(), Left> {
        let index = self.registered.definition.graph().find(&place.step);
        let Some(limits) = index.map(|index| &self.registered.limits[index.0]) else { return Ok(()) };
        match overdue(&self.state, place, limits, now, fastrand::f64()) {
            Some(event) => self.push(event),
            None => Ok(()),
        }
    }

    /// The end of a child as its parent can be told of it: a result that no message holds is none.
    fn tellable(&self, rest: Rest) -> Rest {
        let wants = self.state.created.parent.as_ref().is_some_and(|parent| !parent.without_result);
        match &rest {
            Rest::Succeed { output, .. } if wants && output.text().len() > VALUE_BYTES_MAX => {
                Rest::Fail { place: None, failure: Failure::oversize(output.text().len(), VALUE_BYTES_MAX) }
            }
            _ => rest,
        }
    }

    /// Tells of the run's end whom it concerns, before it is final: how it ends is recorded first, so that a crash in between
    /// leaves it to the next owner to tell the same.
    async fn tell_of_end(&mut self, rest: &Rest) -> Result<(), Left> {
        let Some(end) = rest.end() else { return Ok(()) };
        if !self.state.has_to_tell() || is_planted(Bug::ParentNotTold) {
            return Ok(());
        }
        if self.state.ending.is_none() {
            self.push(RunEnding { end }.into())?;
            self.write().await?;
        }
        family::tell(&self.core, &self.slot.key, &self.state).await.map_err(WriteError::from)?;
        Ok(())
    }

    /// Takes in what its family told it while it came to rest: whoever told it saw that it had an owner, and nobody claims a
    /// run that is held or has failed for its mail.
    async fn take_in_late(&mut self) {
        let may_be_told = match self.state.status {
            Status::Failed => self.state.open_children().next().is_some(),
            Status::Paused => self.state.created.parent.is_some(),
            _ => false,
        };
        for _ in 0..if may_be_told { TAKE_IN_TRIES } else { 0 } {
            match family::take_in(&self.core, &self.slot.key).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(run = %self.slot.key, %error, "what the run was told is not taken in yet");
                    self.core.time.pause(TAKE_IN_REST).await;
                }
            }
        }
    }

    /// A worker that shuts down, or has nothing to do for a while, gives the run up.
    fn reason_to_release(&self, timer: Option<Timestamp>, now: Timestamp) -> Option<ReleaseReason> {
        if self.core.is_stopping() {
            return Some(ReleaseReason::Shutdown);
        }
        match timer {
            Some(at) if at.since_ms(now) <= HOLD_MS => None,
            _ => Some(ReleaseReason::Waiting),
        }
    }

    /// The run cannot go on with this definition: it is held, and nothing else is touched.
    fn held(&self, rest: Rest) -> Next {
        Next { rest: (self.state.running == 0).then_some(rest), stop: true, ..Next::default() }
    }

    fn come_to_rest(&mut self, rest: Rest) -> Result<Outcome, Left> {
        Ok(match rest {
            Rest::Succeed { result, output } => {
                self.push(RunSucceeded { result }.into())?;
                Outcome::Succeeded(output)
            }
            Rest::Fail { place, failure } => {
                self.push(RunFailed { place: place.clone(), failure: failure.clone() }.into())?;
                Outcome::Failed { place, failure, said: self.state.diagnoses.resting().cloned() }
            }
            Rest::Pause { reason, place, message, failure } => {
                let event = match reason.is_asked_for() {
                    true => held_as_asked(&self.state, reason, message),
                    false => RunPaused { reason, actor: Actor::Engine, message, place, failure, code: None },
                };
                self.push(event.clone().into())?;
                let said = self.state.diagnoses.resting().cloned();
                let RunPaused { reason, place, message, failure, .. } = event;
                Outcome::Paused { reason, place, message, failure, said }
            }
            Rest::Cancel => {
                self.push(RunCancelled {}.into())?;
                Outcome::Cancelled
            }
        })
    }

    /// Adds an event to the state and to what is written next.
    fn push(&mut self, event: Event) -> Result<(), Left> {
        let now = self.core.time.now();
        let record = event.record(self.next_seq, now)?;
        self.state.apply(&event, now)?;
        self.plan.note(&event, &self.state);
        self.next_seq = self.next_seq.plus(1);
        self.active_at = now;
        self.pending_bytes += record.payload.text().len();
        self.pending.append.push(record);
        Ok(())
    }

    /// Like [`push`](Self::push), for what may be more than one write holds.
    async fn push_within(&mut self, event: Event) -> Result<(), Left> {
        if self.is_full() {
            self.write().await?;
        }
        self.push(event)
    }

    /// Whether what is pending is to be written before more is taken in.
    fn is_full(&self) -> bool {
        self.pending_bytes >= WRITE_BYTES || self.pending.append.len() >= WRITE_RECORDS
    }

    /// Writes what is pending, if anything is; then lets those steps go on that waited for it.
    async fn write(&mut self) -> Result<(), Left> {
        if self.pending.append.is_empty() && self.pending.take.is_empty() {
            return Ok(());
        }
        let write = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let summary = Summary::of(&self.state, self.plan.progress(), self.slot.board.read());
        let (state, core) = (&self.state, &self.core);
        let summary = summary.payload()?;
        let edit = |head: &mut Head| heads::follow(head, state, summary, core.time.now());
        let written = self.slot.write(&core.committer, &core.time, write, edit).await;
        for reply in self.waiting_asks.drain(..) {
            let answer = written.clone().map_err(|error| {
                StepError::cancelled(format!("not written: {error}"))
                    .class(crate::workflow::error::ErrorClass::LostWorker)
            });
            // The attempt that asked may be gone.
            let _ = reply.send(answer);
        }
        if std::mem::take(&mut self.has_diagnosed) && written.is_ok() {
            core.groups.note(&self.slot.key, state, core.time.own_now());
        }
        written?;
        self.unwritten.clear();
        Ok(())
    }

    /// Begins an attempt that was counted durably.
    fn launch(&mut self, start: Start) {
        let core = &self.core;
        let (now, own_now) = (core.time.now(), core.time.own_now());
        let Some(step) = self.state.step(&start.place) else { return };
        let limits = &self.registered.limits[start.step.0];
        let bounds = Bounds::of(limits, step.began_at, now);
        let ctx = StepContext::new(Surroundings {
            key: self.slot.key.clone(),
            place: start.place.clone(),
            attempt: start.attempt,
            set_aside: self.state.attempts_before(&start.place),
            version: self.registered.definition.graph().step(start.step).version,
            fence: self.slot.fence,
            cancelled: self.stop.child_token(),
            clock: Arc::clone(&core.time) as Arc<dyn Clock>,
            outputs: self.state.outputs_at(&start.place.item),
            stale: Arc::clone(&self.stale),
            cursor: step.cursor.clone(),
            memo: Arc::clone(&step.memo),
            children: Arc::clone(&step.children),
            run_context: Arc::clone(&self.state.context),
            resources: core.resources.clone(),
            link: Some(self.ask.clone()),
            board: Arc::clone(&self.slot.board),
            engine: Some(Arc::downgrade(core)),
        });
        let input_bytes = start.input.text().len();
        let attempt = Attempt {
            step: Arc::clone(self.registered.definition.step(start.step)),
            ctx: ctx.clone(),
            input: start.input,
            bounds,
            time: Arc::clone(&core.time),
            classifiers: core.classifiers.clone(),
            stop_grace_ms: core.options.stop_grace_ms,
            witness: Arc::clone(&core.witness),
            is_alone: self.live.is_empty() && core.runners.len() <= 1,
        };
        let span = tracing::info_span!("step", step = %start.place, attempt = start.attempt);
        let place = start.place.clone();
        let work = async move { (place, attempt.run().await) }.instrument(span);
        // A lone attempt runs inside its run's own task; several get tasks of their own, to use more than one thread.
        let work = if self.live.is_empty() && self.state.running == 1 {
            work.boxed()
        } else {
            let task = core.pool.spawn(self.slot.key.clone(), work).fallible();
            // It is gone only with the engine, and then this run is too.
            async move { if let Some(ended) = task.await { ended } else { std::future::pending().await } }
                .boxed()
        };
        self.extend_hold(bounds.end_ms(), own_now);
        self.attempts.push(work);
        let live = Live { ctx, step: start.step, attempt: start.attempt, started_at: now, input_bytes };
        self.live.insert(start.place, live);
    }

    /// Bounds how long the keeper holds the lease for an attempt that may never return.
    fn extend_hold(&mut self, limit_ms: Option<u64>, now: Timestamp) {
        let end = limit_ms.map_or(Timestamp(i64::MAX), |ms| now.plus_ms(ms).plus_ms(HOLD_GRACE_MS));
        self.hold_until = if self.live.is_empty() { end } else { self.hold_until.max(end) };
        self.slot.hold_until(self.hold_until);
    }

    fn stop_attempts(&mut self, reason: LostReason) {
        if !self.stop.is_cancelled() {
            self.stop_reason = reason;
            self.stop.cancel();
        }
    }

    /// Waits until something happens, and takes it in.
    async fn wait(&mut self, timer: Option<Timestamp>) -> Result<(), Left> {
        let core = Arc::clone(&self.core);
        let slot = Arc::clone(&self.slot);
        if self.attempts.is_empty() && timer.is_none() && self.state.running > 0 {
            tracing::error!(run = %slot.key, "attempts are counted that do not run");
        }
        tokio::select! {
            biased;
            Some((place, ended)) = self.attempts.next(), if !self.attempts.is_empty() => {
                self.take_end(place, ended).await?;
                // Whatever else ended meanwhile goes into the same write.
                while !self.is_full()
                    && let Some(Some((place, ended))) = self.attempts.next().now_or_never()
                {
                    self.take_end(place, ended).await?;
                }
                while !self.is_full() && let Ok(ask) = self.asks.try_recv() {
                    self.take_ask(ask)?;
                }
            }
            Some(ask) = self.asks.recv() => {
                self.take_ask(ask)?;
                while !self.is_full() && let Ok(ask) = self.asks.try_recv() {
                    self.take_ask(ask)?;
                }
            }
            () = slot.lost.cancelled() => return Err(WriteError::Lost.into()),
            () = slot.wake.notified() => {
                if slot.has_mail.swap(false, std::sync::atomic::Ordering::AcqRel) {
                    self.read_mail().await?;
                }
            }
            () = core.grace_over.cancelled(), if !self.stop.is_cancelled() => self.stop_attempts(LostReason::Shutdown),
            () = core.stopping.cancelled(), if self.attempts.is_empty() => {}
            () = sleep_until(&core, timer), if timer.is_some() => {}
        }
        Ok(())
    }

    /// Records what a step reports. An event that the state refuses is the asker's mistake, told to it alone.
    fn take_ask(&mut self, ask: Ask) -> Result<(), Left> {
        match self.push(ask.event) {
            Ok(()) => self.waiting_asks.push(ask.reply),
            Err(Left::Illegal(error)) => {
                let _ = ask.reply.send(Err(StepError::bug(error.to_string())));
            }
            Err(Left::Payload(error)) => {
                let _ = ask.reply.send(Err(StepError::bug(error.to_string())));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Answers requests from outside. Each is taken together with the event that answers it.
    async fn read_mail(&mut self) -> Result<(), Left> {
        let mail = match self.core.backend.inbox(&self.slot.key, MAIL_MAX).await {
            Ok(mail) => mail,
            Err(error) => {
                // No reason to stop a step: the keeper tells of the mail again.
                tracing::warn!(run = %self.slot.key, %error, "mail could not be read");
                return Ok(());
            }
        };
        for message in mail {
            if self.is_full() {
                self.slot.tell_mail();
                break;
            }
            if self.pending.take.contains(&message.id) {
                continue;
            }
            let known = Some(self.registered.known());
            self.push(answer(&message, &self.state, known, self.core.time.now()))?;
            self.pending.take.push(message.id);
        }
        Ok(())
    }
}

async fn sleep_until(core: &Core, at: Option<Timestamp>) {
    match at {
        Some(at) => core.time.sleep_until(at).await,
        None => std::future::pending().await,
    }
}
