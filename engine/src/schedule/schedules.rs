//! The schedules of a tenant: making, asking, steering.

use std::fmt;
use std::sync::Arc;

use stepwell_contract::{
    Clock, Cursor, Head, MessageId, Name, Query, RunId, RunKey, Status, TenantId, Timestamp,
};
use uuid::Uuid;

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::engine::Engine;
use crate::exec::outside::signal;
use crate::exec::{outlines, requests, start};
use crate::run::actor::Actor;
use crate::run::place::Place;
use crate::run::request::{SIGNAL as SIGNAL_KIND, SentSignal};
use crate::run::state::State;
use crate::schedule::error::ScheduleError;
use crate::schedule::keeper::{self, STEP, TAG, TURNS_MAX, WORKFLOW};
use crate::schedule::ledger::{Book, Ledger, Term};
use crate::schedule::run_id::{run_by, run_of, schedule_name};
use crate::schedule::said::{SIGNAL, Said, What};
use crate::schedule::spec::Schedule;
use crate::schedule::view::{PlanPreview, ScheduleView, next_of};
use crate::workflow::finite;

/// The most times of one backfill.
const BACKFILL_MAX: usize = 1_000;
/// A look for the present generation of a schedule takes in so many of its former ones.
const FORMER_MAX: usize = 64;

impl Engine {
    /// The schedules of the default tenant; [`of`](Schedules::of) those of another.
    #[must_use]
    pub fn schedules(&self) -> Schedules {
        Schedules { core: Arc::clone(self.core()), tenant: TenantId::default(), actor: Actor::Program }
    }
}

/// The schedules of a tenant. Their runs belong to that tenant too.
///
/// What is said to a schedule is durable once the call returns, and shown from then on; an engine that is
/// [started](crate::EngineBuilder::start) carries it out, now or when there is one. It counts from when it was said.
#[derive(Clone)]
pub struct Schedules {
    core: Arc<Core>,
    tenant: TenantId,
    actor: Actor,
}

/// A page of schedules, in the order in which their present runs were made, the newest first.
#[derive(Debug, Clone)]
pub struct SchedulePage {
    /// The schedules; may be fewer than asked for, even none, and still not all.
    pub items: Vec<ScheduleView>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<Cursor>,
}

/// A time of a backfill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillTime {
    /// The time.
    pub time: Timestamp,
    /// The run that is started for it.
    pub run: RunId,
    /// Where that run is, if it was started before: it is not started again.
    pub status: Option<Status>,
}

impl Schedules {
    /// Those of this tenant.
    #[must_use]
    pub fn of(mut self, tenant: TenantId) -> Self {
        self.tenant = tenant;
        self
    }

    /// Says who asks, for the records: the program if nothing is said.
    #[must_use]
    pub fn by(mut self, actor: Actor) -> Self {
        self.actor = actor;
        self
    }

    /// Makes a schedule of this name; its first time is the first one from now on. The same call again finds it as it is. A
    /// name is free again once its schedule was deleted; a time that was started stays started.
    ///
    /// # Errors
    /// [`ScheduleError::Conflict`] says what is not the same in the one that is there; [`ScheduleError::Engine`] with
    /// [`Error::UnknownWorkflow`] when neither this engine has the workflow nor another one has told of it nor the schedule names a
    /// version; what is wrong with the name or the schedule; [`Error::Store`], after which it may be there: call it again.
    ///
    /// # Cancellation
    /// Dropping the future leaves the schedule made or not: call it again.
    pub async fn create(&self, name: &str, schedule: Schedule) -> Result<ScheduleView, ScheduleError> {
        self.create_with(name, schedule, TURNS_MAX).await
    }

    pub(super) async fn create_with(
        &self,
        name: &str,
        schedule: Schedule,
        turns_max: u32,
    ) -> Result<ScheduleView, ScheduleError> {
        let name = schedule_name(name)?;
        schedule.check()?;
        let (known_version, queue) = self.known(&schedule).await?;
        // Twice: whoever else makes it at the same moment is found the second time.
        for _ in 0..2 {
            let present = self.latest(&name).await?;
            let generation = match &present {
                Some((_, head)) if !is_over(head.status) => return self.same(&name, &schedule).await,
                Some((generation, _)) => generation + 1,
                None => 1,
            };
            let ledger = Ledger::new(self.core.time.now(), known_version);
            let (name, schedule, queue) = (name.clone(), schedule.clone(), queue.clone());
            let term = Term { name, generation, takes_over: false, turns_max, queue, schedule, ledger };
            match start::start(&self.core, keeper::start_of(&term, &self.tenant, &self.actor)?).await {
                Ok(_) => {}
                Err(Error::Conflict { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        self.same(&name, &schedule).await
    }

    /// A schedule.
    ///
    /// # Errors
    /// [`ScheduleError::NoSuchSchedule`]; [`ScheduleError::Engine`] with [`Error::Store`] or [`Error::Journal`].
    pub async fn get(&self, name: &str) -> Result<ScheduleView, ScheduleError> {
        let head = self.present(&schedule_name(name)?).await?;
        self.view(&head).await
    }

    /// A page of the schedules of the tenant.
    ///
    /// # Errors
    /// [`ScheduleError::Engine`] with [`Error::Store`] or [`Error::Journal`].
    pub async fn list(&self, after: Option<Cursor>, limit: usize) -> Result<SchedulePage, ScheduleError> {
        let statuses = Status::ALL.into_iter().filter(|status| !is_over(*status)).collect();
        let query = Query { statuses, ..self.query(None) };
        let page = self.core.backend.scan(&query, after, limit).await.map_err(Error::from)?;
        let mut items = Vec::with_capacity(page.items.len());
        for head in &page.items {
            match self.view(head).await {
                Ok(view) => items.push(view),
                // It ended meanwhile.
                Err(ScheduleError::NoSuchSchedule { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(SchedulePage { items, next: page.next })
    }

    /// Starts nothing by the clock until [`resume`](Self::resume): times that come meanwhile are skipped, those of them too that
    /// had come and were not started yet. Runs that were started go on. One that is paused stays paused by whoever did it.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub async fn pause(&self, name: &str, reason: &str) -> Result<ScheduleView, ScheduleError> {
        self.say(name, What::Pause, reason, None).await
    }

    /// Starts runs by the clock again, from the next time on. One that is not paused stays as it is.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub async fn resume(&self, name: &str, reason: &str) -> Result<ScheduleView, ScheduleError> {
        self.say(name, What::Resume, reason, None).await
    }

    /// Starts a run now, whatever else runs and even when the schedule is paused, and returns its key. The same `id` again has
    /// no effect.
    ///
    /// # Errors
    /// As for [`get`](Self::get); [`ScheduleError::Id`] when the id is not one or too long.
    pub async fn trigger(&self, name: &str, id: &str, reason: &str) -> Result<RunKey, ScheduleError> {
        let run = run_by(&schedule_name(name)?, id)?;
        self.say(name, What::Trigger(id.to_owned()), reason, Some(MessageId::new(format!("trigger-{id}"))?))
            .await?;
        Ok(RunKey::new(self.tenant.clone(), run))
    }

    /// Starts the runs of all times from `from` to `to` that have gone by, whatever became of them, but those that were
    /// started: at once with [`Overlap::Allow`](crate::schedule::Overlap::Allow), else one after the other, each when no other
    /// run of the schedule is left. Returns the times.
    ///
    /// # Errors
    /// As for [`get`](Self::get); [`ScheduleError::BackfillTooLong`].
    pub async fn backfill(
        &self,
        name: &str,
        from: Timestamp,
        to: Timestamp,
        reason: &str,
    ) -> Result<Vec<BackfillTime>, ScheduleError> {
        let times = self.dry_run_backfill(name, from, to).await?;
        self.say(name, What::Backfill { from, to }, reason, None).await?;
        Ok(times)
    }

    /// The times of a [`backfill`](Self::backfill). Nothing is written.
    ///
    /// # Errors
    /// As for [`backfill`](Self::backfill).
    pub async fn dry_run_backfill(
        &self,
        name: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<BackfillTime>, ScheduleError> {
        let head = self.present(&schedule_name(name)?).await?;
        let (term, book) = self.book(&head).await?;
        let times: Vec<Timestamp> = book.backfill(from, to).take(BACKFILL_MAX + 1).collect();
        if times.len() > BACKFILL_MAX {
            return Err(ScheduleError::BackfillTooLong { limit: BACKFILL_MAX });
        }
        let mut listed = Vec::with_capacity(times.len());
        for time in times {
            let run = run_of(&term.name, time);
            let key = RunKey::new(self.tenant.clone(), run.clone());
            let head = self.core.backend.head(&key).await.map_err(Error::from)?;
            listed.push(BackfillTime { time, run, status: head.map(|head| head.status) });
        }
        Ok(listed)
    }

    /// Makes it another schedule from now on. What had come by then is decided by the old one; the first time of the new one
    /// is the first from now on. Runs that were started go on. It stays paused if it was.
    ///
    /// # Errors
    /// As for [`get`](Self::get); as for [`create`](Self::create) when something is wrong with the schedule.
    pub async fn update(
        &self,
        name: &str,
        schedule: Schedule,
        reason: &str,
    ) -> Result<ScheduleView, ScheduleError> {
        schedule.check()?;
        let (known_version, _) = self.known(&schedule).await?;
        let what = What::Update { schedule: Box::new(schedule), known_version };
        self.say(name, what, reason, None).await
    }

    /// What [`create`](Self::create) or [`update`](Self::update) would make of it. Nothing is written.
    ///
    /// # Errors
    /// As for [`create`](Self::create), but that one which is there is no conflict.
    pub async fn dry_run_plan(&self, name: &str, schedule: &Schedule) -> Result<PlanPreview, ScheduleError> {
        schedule.check()?;
        let (known_version, _) = self.known(schedule).await?;
        let present = match self.get(name).await {
            Ok(view) => Some(view),
            Err(ScheduleError::NoSuchSchedule { .. }) => None,
            Err(error) => return Err(error),
        };
        let book =
            Book::new(&schedule_name(name)?, schedule, Ledger::new(self.core.time.now(), known_version))?;
        let is_paused = present.as_ref().is_some_and(|view| view.paused.is_some());
        Ok(PlanPreview {
            is_new: present.is_none(),
            differences: present.map(|view| view.schedule.differences(schedule)).unwrap_or_default(),
            next: if is_paused { Vec::new() } else { next_of(&book) },
        })
    }

    /// The run that a [`trigger`](Self::trigger) would start, and where it is, if it was started before: then nothing would happen.
    /// Nothing is written.
    ///
    /// # Errors
    /// As for [`trigger`](Self::trigger).
    pub async fn dry_run_trigger(
        &self,
        name: &str,
        id: &str,
    ) -> Result<(RunKey, Option<Status>), ScheduleError> {
        let name = schedule_name(name)?;
        let key = RunKey::new(self.tenant.clone(), run_by(&name, id)?);
        self.view(&self.present(&name).await?).await?;
        let head = self.core.backend.head(&key).await.map_err(Error::from)?;
        Ok((key, head.map(|head| head.status)))
    }

    /// Ends a schedule. Runs that were started go on. Its own run stays for reading, as the latest one tagged with its name.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub async fn delete(&self, name: &str, reason: &str) -> Result<(), ScheduleError> {
        match self.say(name, What::Delete, reason, None).await {
            // It is gone already.
            Ok(_) | Err(ScheduleError::NoSuchSchedule { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Says something to the run of a schedule.
    async fn say(
        &self,
        name: &str,
        what: What,
        reason: &str,
        id: Option<MessageId>,
    ) -> Result<ScheduleView, ScheduleError> {
        let name = schedule_name(name)?;
        let id = match id {
            Some(id) => id,
            None => MessageId::new(Uuid::now_v7().simple().to_string())?,
        };
        let at = self.core.time.now();
        let said = Said { what, by: self.actor.clone(), reason: requests::reason(reason.to_owned()), at };
        let signal = Name::new(SIGNAL)?;
        let sent = SentSignal { signal, payload: finite::encode(&said)?, actor: self.actor.clone() };
        let mut head = self.present(&name).await?;
        loop {
            match signal::send_own(&self.core, &head.key, id.clone(), &sent).await {
                // It handed over between the look and the message.
                Ok(()) | Err(Error::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            // One that ended before it took the message hands over what it has, but may have done so before it had this: then
            // the next one is told too, under the same id.
            let present = self.present(&name).await?;
            if present.key == head.key {
                return self.view(&present).await;
            }
            head = present;
        }
    }

    /// The view of the schedule of that name, if it is the same as this one.
    async fn same(&self, name: &Name, schedule: &Schedule) -> Result<ScheduleView, ScheduleError> {
        let view = self.view(&self.present(name).await?).await?;
        let what = view.schedule.differences(schedule);
        if what.is_empty() { Ok(view) } else { Err(ScheduleError::Conflict { name: name.clone(), what }) }
    }

    /// The version of the workflow that is there, and the queue of its runs.
    async fn known(&self, schedule: &Schedule) -> Result<(u32, Name), ScheduleError> {
        let definitions = self.core.definitions.all();
        let known = definitions.values().map(|registered| &registered.definition);
        let known = known.filter(|definition| {
            definition.name() == schedule.workflow()
                && schedule.version.is_none_or(|version| version == definition.version())
        });
        let newest = known.max_by_key(|definition| definition.version());
        let newest = match newest.map(|definition| (definition.version(), definition.queue().clone())) {
            Some(here) => Ok(here),
            // Others may have told of it.
            None => match outlines::find(&self.core, schedule.workflow().as_str(), schedule.version).await {
                Ok(told) => Ok((told.definition.version(), told.definition.queue().clone())),
                Err(error @ Error::UnknownWorkflow { .. }) => {
                    schedule.version.map(|version| (version, keeper::default_queue())).ok_or(error)
                }
                Err(error) => Err(error),
            },
        };
        let (version, queue) = newest?;
        Ok((version, schedule.queue.clone().unwrap_or(queue)))
    }

    fn query(&self, name: Option<&Name>) -> Query {
        let tag = name.map(|name| (TAG, name.to_string()));
        let tag = tag.and_then(|(tag, name)| Some((Name::new(tag).ok()?, name)));
        Query {
            tenant: Some(self.tenant.clone()),
            workflow: Name::new(WORKFLOW).ok(),
            tag,
            ..Query::default()
        }
    }

    /// The latest run of the schedule, ended or not.
    async fn latest(&self, name: &Name) -> Result<Option<(u32, Head)>, ScheduleError> {
        let backend = &self.core.backend;
        let (mut latest, mut after): (Option<(u32, Head)>, Option<Cursor>) = (None, None);
        loop {
            let page = backend.scan(&self.query(Some(name)), after, FORMER_MAX).await.map_err(Error::from)?;
            for head in page.items {
                let generation = keeper::generation_of(name, &head.key.run);
                if let Some(generation) = generation
                    && latest.as_ref().is_none_or(|(known, _)| generation > *known)
                {
                    latest = Some((generation, head));
                }
            }
            after = page.next;
            // The newest are first, as far as clocks tell: what follows another is asked for below.
            if latest.is_some() || after.is_none() {
                break;
            }
        }
        while let Some((generation, _)) = latest {
            let key = keeper::key_of(&self.tenant, name, generation + 1);
            match backend.head(&key).await.map_err(Error::from)? {
                Some(head) => latest = Some((generation + 1, head)),
                None => break,
            }
        }
        Ok(latest)
    }

    /// The run that keeps the schedule now.
    async fn present(&self, name: &Name) -> Result<Head, ScheduleError> {
        let latest = self.latest(name).await?;
        match latest.filter(|(_, head)| !is_over(head.status)) {
            Some((_, head)) => Ok(head),
            None => Err(self.no_such(name)),
        }
    }

    fn no_such(&self, name: &Name) -> ScheduleError {
        ScheduleError::NoSuchSchedule { name: name.clone(), tenant: self.tenant.clone() }
    }

    async fn view(&self, head: &Head) -> Result<ScheduleView, ScheduleError> {
        let (term, book) = self.book(head).await?;
        if book.ledger.deleted.is_some() {
            return Err(self.no_such(&term.name));
        }
        let mut running = Vec::new();
        for open in &book.ledger.open {
            let key = RunKey::new(self.tenant.clone(), open.run.clone());
            let head = self.core.backend.head(&key).await.map_err(Error::from)?;
            if head.is_some_and(|head| !head.status.is_finished()) {
                running.push(open.run.clone());
            }
        }
        Ok(ScheduleView::new(book, running, head.key.clone(), head.status))
    }

    /// What the schedule's run has recorded, and what was said to it that it has not taken in yet.
    async fn book(&self, head: &Head) -> Result<(Term, Book), ScheduleError> {
        // Before the journal: what is taken from the inbox meanwhile is in one of the two.
        let mail = self.core.backend.inbox(&head.key, usize::MAX).await.map_err(Error::from)?;
        let state = requests::load_state(&self.core, &head.key).await?;
        let term: Term = state.created.input.decode()?;
        let place = Place::of(Name::new(STEP)?);
        let step = state.step(&place);
        let ledger = match step.and_then(|step| step.cursor.as_ref()) {
            Some(cursor) => cursor.decode()?,
            None => term.ledger.clone(),
        };
        let mut book = Book::new(&term.name, &term.schedule, ledger)?;
        let now = self.core.time.now();
        let answer = step.and_then(|step| keeper::answer_of(step, book.ledger.turn));
        let mail = mail.iter().filter(|message| message.kind == SIGNAL_KIND);
        let mail = mail
            .filter_map(|message| Some((message.id.clone(), message.payload.decode::<SentSignal>().ok()?)));
        let mut heard: Vec<MessageId> = Vec::new();
        let unheard = said_to(&state).into_iter().chain(mail);
        let said = unheard.filter_map(|(id, sent)| {
            let is_new = sent.signal.as_str() == SIGNAL && !heard.contains(&id);
            heard.push(id);
            is_new.then(|| sent.payload.decode::<Said>().ok()).flatten()
        });
        for said in answer.into_iter().chain(said) {
            book.hear(said, now)?;
        }
        Ok((term, book))
    }
}

/// Whether a schedule has ended with its run. One whose run has failed goes on when that is retried.
fn is_over(status: Status) -> bool {
    matches!(status, Status::Succeeded | Status::Cancelled)
}

/// What the run has received and not taken in yet.
pub(super) fn said_to(state: &State) -> Vec<(MessageId, SentSignal)> {
    let received = state.signals.iter().flat_map(|(name, signals)| {
        signals.iter().map(move |signal| {
            let sent =
                SentSignal { signal: name.clone(), payload: signal.payload.clone(), actor: Actor::Engine };
            (signal.id.clone(), sent)
        })
    });
    received.collect()
}

impl fmt::Debug for Schedules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedules")
            .field("tenant", &self.tenant)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}
