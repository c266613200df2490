//! The workflow that keeps a schedule: one step that waits, decides, records what it decided and then does it.
//!
//! What is decided is recorded before it is done, and doing it again changes nothing: a crash in between neither loses a time
//! nor starts it twice.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use stepwell_contract::{MessageId, Name, Payload, RunId, RunKey, TenantId, Timestamp};

use crate::error::Error;
use crate::exec::outside::signal;
use crate::exec::requests;
use crate::exec::start::{self, StartRun};
use crate::run::actor::Actor;
use crate::run::request::{Ask, SIGNAL as SIGNAL_KIND, SentSignal, Verb};
use crate::run::state::StepState;
use crate::run::suspended::wait_key;
use crate::run::waiting::OnClose;
use crate::schedule::ledger::{Act, Book, Paused, Term};
use crate::schedule::said::{SIGNAL, Said};
use crate::schedule::schedules::said_to;
use crate::workflow::child::ChildRun;
use crate::workflow::context::StepContext;
use crate::workflow::definition::{Definition, Workflow};
use crate::workflow::error::{ErrorClass, StepError, StepResult};
use crate::workflow::policy::{Effect, StepPolicy, mins, secs};
use crate::workflow::retry::Retry;
use crate::workflow::step::Step;
use crate::workflow::suspend::{Heard, Wait, Woken};

/// The name of the workflow.
pub const WORKFLOW: &str = "stepwell.schedule";
/// The tag that a schedule's own run and those that it starts carry: the schedule's name.
pub const TAG: &str = "schedule";
/// The tag of a run that is started for a time.
const TIME_TAG: &str = "scheduled_for";
/// The name of its step.
pub(super) const STEP: &str = "keep";
/// After so many turns a run of it hands over to the next.
pub(super) const TURNS_MAX: u32 = 500;
/// How often runs that others have started are looked at, while something waits for their end, in milliseconds.
const LOOK_MS: u64 = 10_000;

/// How often a generation is looked at that is about to end, and how many times before this run is given up for a while.
const FORMER_LOOK: Duration = Duration::from_millis(20);
const FORMER_LOOKS: u32 = 25;

/// Why a run is not started that is there already.
const STARTED_BEFORE: &str = "a run of that id was started before";

/// How a run of the workflow ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Closing {
    /// Another run goes on.
    HandedOver { next: RunId },
    /// The schedule was deleted.
    Deleted(Paused),
}

/// The workflow that keeps schedules.
pub(crate) fn definition() -> Definition {
    let workflow = Workflow::named(WORKFLOW).step(Keep).build();
    workflow.expect("one step of a valid name").into_definition()
}

pub(super) fn default_queue() -> Name {
    Name::new("default").expect("a valid name")
}

/// The run that keeps a schedule in its nth generation.
pub(super) fn key_of(tenant: &TenantId, name: &Name, generation: u32) -> RunKey {
    let run = RunId::new(format!("schedule.{name}.{generation}"));
    RunKey::new(tenant.clone(), run.expect("a schedule's name leaves room for more than this"))
}

/// Which generation of the schedule the run is.
pub(super) fn generation_of(name: &Name, run: &RunId) -> Option<u32> {
    let of_name = run.as_str().strip_prefix("schedule.")?.strip_prefix(name.as_str())?;
    of_name.strip_prefix('.')?.parse().ok()
}

/// What starts the run of a term.
pub(super) fn start_of(term: &Term, tenant: &TenantId, actor: &Actor) -> Result<StartRun, Error> {
    let run = key_of(tenant, &term.name, term.generation).run;
    let start = StartRun::new(WORKFLOW, run.as_str(), term)?.tag(TAG, term.name.as_str())?;
    Ok(start.tenant(tenant.clone()).queue(term.queue.clone()).actor(actor.clone()))
}

/// What the wait of a turn has heard.
pub(super) fn answer_of(step: &StepState, turn: u32) -> Option<Said> {
    let answer: Heard = step.memo.get(&wait_key(&part_of(turn)))?.decode().ok()?;
    answer.said().ok()
}

fn part_of(turn: u32) -> String {
    format!("turn-{turn}")
}

struct Keep;

#[async_trait]
impl Step for Keep {
    type Input = Term;
    type Output = Closing;
    const NAME: &'static str = STEP;

    fn policy(&self) -> StepPolicy {
        // It fails when the store does not answer, and goes on when it does.
        let retry = Retry::exponential(secs(1)).cap(mins(1)).unlimited_attempts().jitter();
        StepPolicy::default().no_attempt_timeout().no_deadline().retry(retry).effect(Effect::Idempotent)
    }

    async fn run(&self, ctx: &StepContext, term: Term) -> StepResult<Closing> {
        let recorded = ctx.cursor()?;
        if recorded.is_none() && term.takes_over {
            take_over_mail(ctx, &term).await?;
        }
        let ledger = recorded.unwrap_or_else(|| term.ledger.clone());
        let mut book = Book::new(&term.name, &term.schedule, ledger).map_err(unsound)?;
        loop {
            carry_out(ctx, &term, &mut book).await?;
            if let Some(deleted) = book.ledger.deleted.clone() {
                return Ok(Closing::Deleted(deleted));
            }
            if book.ledger.turn >= term.turns_max {
                return hand_over(ctx, &term, &book).await;
            }
            let woken = ctx.wait(&part_of(book.ledger.turn), wait_of(&book, ctx.now())).await?;
            book.ledger.turn += 1;
            if let Woken::Signal(heard) = woken {
                let said = heard.said::<Said>().map_err(|error| error.to_string());
                let taken =
                    said.and_then(|said| book.hear(said, ctx.now()).map_err(|error| error.to_string()));
                if let Err(why) = taken {
                    ctx.warn(format!("a signal that is none for a schedule was passed over: {why}"));
                }
            }
            forget_ended(ctx, &mut book).await?;
            book.plan(ctx.now());
            ctx.checkpoint(&book.ledger, 0.0).await?;
        }
    }
}

/// What ends a turn: what someone says, a time, or the end of a run when something waits for that.
fn wait_of(book: &Book, now: Timestamp) -> Wait {
    let mut wait = Wait::new().signal(SIGNAL);
    let mut until = book.wakes_at(now);
    if book.waits_for_ends() {
        for open in &book.ledger.open {
            match &open.part {
                Some(part) => wait = wait.child_named(part),
                // Those of a former generation tell that one.
                None => until = Some(until.map_or(now.plus_ms(LOOK_MS), |at| at.min(now.plus_ms(LOOK_MS)))),
            }
        }
    }
    match until {
        Some(at) => wait.until(at),
        None => wait,
    }
}

/// Does what was decided, which may have been done before.
async fn carry_out(ctx: &StepContext, term: &Term, book: &mut Book) -> StepResult<()> {
    for act in std::mem::take(&mut book.ledger.todo) {
        match act {
            Act::Cancel { run } => cancel(ctx, term, book.ledger.turn, run).await?,
            Act::Start { run, part, time } => {
                // Recorded as a child before it was made: one that is there and is none was started otherwise.
                match (ctx.child(&part).is_some(), is_finished(ctx, &run).await?.is_some()) {
                    (true, true) => continue,
                    (false, true) => {
                        book.ledger.refuse(&run, &part, STARTED_BEFORE);
                        continue;
                    }
                    (_, false) => {}
                }
                let child = child_run(ctx, term, book, &run, time)?;
                match ctx.start_child(&part, child, &book.schedule.input).await {
                    Ok(_) => {}
                    Err(error) if error.declared_class() == Some(ErrorClass::Permanent) => {
                        ctx.warn(format!("{run} was not started: {error}"));
                        book.ledger.refuse(&run, &part, error.message());
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(())
}

fn child_run(
    ctx: &StepContext,
    term: &Term,
    book: &Book,
    run: &RunId,
    time: Option<Timestamp>,
) -> StepResult<ChildRun<Payload, ()>> {
    let schedule = &book.schedule;
    let core = ctx.engine()?;
    let is_here = core.definitions.all().keys().any(|known| known.name == schedule.workflow);
    let mut child = ChildRun::<Payload, ()>::named(schedule.workflow.as_str())
        .without_result()
        .id(run.as_str())
        .priority(schedule.priority)
        .on_close(OnClose::Abandon);
    child = match (schedule.version, is_here) {
        (Some(version), _) => child.version(version),
        (None, true) => child,
        // Another worker takes it: as it was known where the schedule was made.
        (None, false) => child.version(book.ledger.known_version),
    };
    child = match (&schedule.queue, is_here) {
        (Some(queue), _) => child.queue(queue.as_str()),
        (None, true) => child,
        (None, false) => child.queue(term.queue.as_str()),
    };
    for (tag, value) in &schedule.tags {
        child = child.tag(tag.as_str(), value.clone());
    }
    child = child.tag(TAG, term.name.as_str());
    if let Some(time) = time.and_then(|time| DateTime::from_timestamp_millis(time.0)) {
        child = child.tag(TIME_TAG, time.to_rfc3339_opts(SecondsFormat::Secs, true));
    }
    Ok(child)
}

/// Asks a run to cancel, once.
async fn cancel(ctx: &StepContext, term: &Term, turn: u32, run: RunId) -> StepResult<()> {
    let key = RunKey::new(ctx.tenant().clone(), run);
    let why = format!("schedule {} starts a newer one", term.name);
    let ask = Ask::new(Verb::Cancel, Actor::Run(ctx.key().clone()), why);
    let id = MessageId::new(format!("schedule-{}-{turn}", term.generation))
        .map_err(|error| StepError::bug(error.to_string()))?;
    match requests::ask_as(&ctx.engine()?, &key, ask, id, true).await {
        // It has ended or is ending, or has the request and will answer.
        Ok(_) | Err(Error::Refused { .. } | Error::NoAnswerYet { .. } | Error::NoSuchRun(_)) => Ok(()),
        Err(error) => Err(store(error)),
    }
}

/// Forgets the runs that have ended, or are gone.
async fn forget_ended(ctx: &StepContext, book: &mut Book) -> StepResult<()> {
    let mut open = std::mem::take(&mut book.ledger.open);
    let mut left = Vec::with_capacity(open.len());
    for run in open.drain(..) {
        // What was decided a moment ago is not there yet.
        let is_to_come = book
            .ledger
            .todo
            .iter()
            .any(|act| matches!(act, Act::Start { part, .. } if Some(part) == run.part.as_ref()));
        if is_to_come || is_finished(ctx, &run.run).await? == Some(false) {
            left.push(run);
        }
    }
    book.ledger.open = left;
    Ok(())
}

/// Whether a run has ended; `None` when it is not there.
async fn is_finished(ctx: &StepContext, run: &RunId) -> StepResult<Option<bool>> {
    let key = RunKey::new(ctx.tenant().clone(), run.clone());
    let head = ctx.engine()?.backend.head(&key).await.map_err(|error| store(error.into()))?;
    Ok(head.map(|head| head.status.is_finished()))
}

/// Starts the run that goes on in the place of this one.
async fn hand_over(ctx: &StepContext, term: &Term, book: &Book) -> StepResult<Closing> {
    let next = Term {
        generation: term.generation + 1,
        takes_over: true,
        schedule: book.schedule.clone(),
        ledger: book.ledger.handed_over(),
        ..term.clone()
    };
    let run = key_of(ctx.tenant(), &term.name, next.generation).run;
    let start = start_of(&next, ctx.tenant(), &Actor::Run(ctx.key().clone())).map_err(store)?;
    start::start(&ctx.engine()?, start).await.map_err(store)?;
    Ok(Closing::HandedOver { next: run })
}

/// Takes what was said to the generation before and not heard there. That one takes nothing in any more once it has ended; who
/// speaks to it later than that speaks to this one too.
async fn take_over_mail(ctx: &StepContext, term: &Term) -> StepResult<()> {
    let core = ctx.engine()?;
    let former = key_of(ctx.tenant(), &term.name, term.generation - 1);
    let mut looks = 0;
    loop {
        let head = core.backend.head(&former).await.map_err(|error| store(error.into()))?;
        if head.is_none_or(|head| head.status.is_finished()) {
            break;
        }
        looks += 1;
        // It has nothing left to do but to end. One whose worker died there ends when another has it.
        match looks % FORMER_LOOKS {
            0 => ctx.wait(&format!("former-{looks}"), Wait::new().within(secs(1))).await.map(|_| ())?,
            _ => core.time.pause(FORMER_LOOK).await,
        }
    }
    let mail = core.backend.inbox(&former, usize::MAX).await.map_err(|error| store(error.into()))?;
    let mail = mail.into_iter().filter(|message| message.kind == SIGNAL_KIND);
    let mail = mail.filter_map(|message| Some((message.id, message.payload.decode::<SentSignal>().ok()?)));
    let unheard = match requests::load_state(&core, &former).await {
        Ok(state) => said_to(&state),
        // It was removed: then it had ended long ago.
        Err(Error::NoSuchRun(_)) => Vec::new(),
        Err(error) => return Err(store(error)),
    };
    for (id, sent) in unheard.into_iter().chain(mail) {
        signal::send_own(&core, ctx.key(), id, &sent).await.map_err(store)?;
    }
    Ok(())
}

fn unsound(error: crate::schedule::error::ScheduleError) -> StepError {
    StepError::config(error.to_string())
}

fn store(error: Error) -> StepError {
    StepError::unavailable(error.to_string()).caused_by(error)
}
