//! What comes to runs from outside: signals, word of steps that are done elsewhere, changes of what their steps share.

pub mod signal;
pub mod steps;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use stepwell_contract::{Head, MessageId, Name, Query, RunKey, Seq, Status};

use crate::error::Error;
use crate::exec::engine::{Engine, value_of};
use crate::exec::outside::signal::SignalRun;
use crate::exec::{bulk, load, posted, requests};
use crate::run::actor::Actor;
use crate::run::event::Event;
use crate::run::preview::Preview;
use crate::run::report::{Report, Told};
use crate::run::request::{Ask, SentSignal, Verb};
use crate::run::token::Token;

/// How many runs get a signal at once.
const AT_ONCE: usize = 16;
/// Most runs that one signal is sent to.
const RUNS_MAX: usize = 100_000;

impl Engine {
    /// Sends a signal to a run, which has it once this returns: what waits for it there gets it, now or when it comes to
    /// wait. The same `id` again has no effect.
    ///
    /// # Errors
    /// [`Error::Refused`] when the run has ended; [`Error::NoSuchRun`]; [`Error::Id`] when the name or the id is not one;
    /// [`Error::Payload`] when what it says has no JSON form or is over [`VALUE_BYTES_MAX`](crate::workflow::step::VALUE_BYTES_MAX)
    /// bytes of it; [`Error::Store`], after which the signal may have been sent: send it again under the same id.
    ///
    /// # Cancellation
    /// Dropping the future leaves the signal sent or not: send it again under the same id.
    pub async fn signal<T: Serialize + ?Sized>(
        &self,
        key: &RunKey,
        signal: &str,
        id: &str,
        says: &T,
    ) -> Result<(), Error> {
        self.signal_by(Actor::Program, key, signal, id, says).await
    }

    /// The same for someone else than the program.
    ///
    /// # Errors
    /// As for [`signal`](Self::signal).
    ///
    /// # Cancellation
    /// As for [`signal`](Self::signal).
    pub async fn signal_by<T: Serialize + ?Sized>(
        &self,
        actor: Actor,
        key: &RunKey,
        signal: &str,
        id: &str,
        says: &T,
    ) -> Result<(), Error> {
        self.send_signal(key, SignalRun::new(signal, id, says)?.by(actor)).await
    }

    /// Sends a signal to every run that fits a query and has not ended: by a tag that says what they are about, for instance.
    /// Returns those runs, and for each why it did not get it, if so. The same `id` again has no effect on those that have
    /// it. A run that is started later does not get it.
    ///
    /// # Errors
    /// [`Error::Id`] when the name or the id is not one; [`Error::Payload`] as for [`signal`](Self::signal);
    /// [`Error::Store`] when the runs cannot be listed.
    ///
    /// # Cancellation
    /// Dropping the future leaves some of the runs without it: send it again under the same id.
    pub async fn signal_all<T: Serialize + ?Sized>(
        &self,
        query: &Query,
        signal: &str,
        id: &str,
        says: &T,
    ) -> Result<Vec<(RunKey, Result<(), Error>)>, Error> {
        let (signal, payload, id) = (Name::new(signal)?, value_of(says)?, MessageId::new(id)?);
        let sent = SentSignal { signal, payload, actor: Actor::Program };
        let open = Status::ALL.into_iter().filter(|status| !status.is_finished());
        let statuses = match query.statuses.is_empty() {
            true => open.collect(),
            false => query.statuses.clone(),
        };
        let selection = bulk::select(self.core(), &Query { statuses, ..query.clone() }, RUNS_MAX).await?;
        let told = selection.runs.into_iter().map(|key| async {
            let told = signal::send(self.core(), &key, id.clone(), &sent, None).await;
            (key, told)
        });
        Ok(stream::iter(told).buffered(AT_ONCE).collect().await)
    }

    /// Tells that an attempt of a step that was left to someone outside has begun there, how far it is, or how it ended. Returns
    /// the run's head once that is recorded. How it ended can be told again: it counts once. So can that it has begun, by
    /// whoever has it, while the attempt is under way.
    ///
    /// # Errors
    /// [`Error::Refused`] when the step has its result, is at another attempt by now, was not left to anyone, or was begun by
    /// somebody else; [`Error::Changed`] for a report that was only for a run that has not gone on; the other errors of [`ask`](Self::ask). After [`Error::NoAnswerYet`] the report stays: it is taken in by
    /// a worker that has the run's workflow.
    ///
    /// # Cancellation
    /// Dropping the future leaves the report sent or not: send it again; another one that came before makes it refused.
    pub async fn report(&self, token: &Token, report: Report) -> Result<Head, Error> {
        let head = requests::head_of(self.core(), &token.run).await?;
        posted::definition_of(self.core(), &head).await?;
        let (told, ask) = report.ask(token.place.clone(), token.attempt)?;
        match self.send(&token.run, ask).await {
            Err(refused @ (Error::Refused { .. } | Error::Changed { .. })) => {
                match self.was_told(token, &told).await? {
                    true => requests::head_of(self.core(), &token.run).await,
                    false => Err(refused),
                }
            }
            answered => answered,
        }
    }

    /// What a [`report`](Self::report) would do. Nothing is written.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Journal`]; [`Error::Store`]. What would be refused is no error.
    pub async fn dry_run_report(&self, token: &Token, report: Report) -> Result<Preview, Error> {
        let head = requests::head_of(self.core(), &token.run).await?;
        posted::definition_of(self.core(), &head).await?;
        let (_, ask) = report.ask(token.place.clone(), token.attempt)?;
        requests::dry_run(self.core(), &token.run, &ask).await
    }

    /// Whether just this was reported before, and still holds.
    async fn was_told(&self, token: &Token, told: &Told) -> Result<bool, Error> {
        let core = self.core();
        if !told.is_end() {
            let state = requests::load_state(core, &token.run).await?;
            let step = state.step(&token.place).filter(|step| step.attempt == token.attempt);
            if step.is_none_or(|step| !step.is_left_outside()) {
                return Ok(false);
            }
        }
        let mut pages = load::Pages::new(core.backend.as_ref(), &token.run, Seq::FIRST);
        while let Some(page) = pages.next().await? {
            let is_it = page.iter().filter(|record| record.kind.as_str() == "step_reported").any(|record| {
                matches!(Event::read(record), Ok(Event::StepReported(event)) if told.made(&token.place, &event))
            });
            if is_it {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Changes the document that all steps of a run share: a JSON merge patch (RFC 7396), in which objects are merged deeply
    /// and `null` takes a field away. Steps that run now see it with their next attempt.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask); [`Error::Refused`] also when the change is not an object.
    pub async fn merge_context<T: Serialize + ?Sized>(
        &self,
        key: &RunKey,
        change: &T,
        reason: &str,
    ) -> Result<Head, Error> {
        self.send(key, Ask::new(Verb::MergeContext, Actor::Program, reason).with(value_of(change)?)).await
    }
}
