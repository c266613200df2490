//! What comes to runs from outside: signals, word of steps that are done elsewhere, changes of what their steps share.

use futures_util::{StreamExt, stream};
use serde::Serialize;
use stepwell_contract::{Head, MessageId, Name, Payload, Query, RunKey, Status};

use crate::error::Error;
use crate::exec::engine::{Engine, value_of};
use crate::exec::{bulk, requests};
use crate::run::actor::Actor;
use crate::run::report::Report;
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
        let (signal, payload) = (Name::new(signal)?, value_of(says)?);
        let sent = SentSignal { signal, payload, actor: Actor::Program };
        requests::signal(self.core(), key, MessageId::new(id)?, &sent).await
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
            let told = requests::signal(self.core(), &key, id.clone(), &sent).await;
            (key, told)
        });
        Ok(stream::iter(told).buffered(AT_ONCE).collect().await)
    }

    /// Tells how an attempt of a step ended that was left to someone outside, or how far it is. Returns the run's head once
    /// that is recorded.
    ///
    /// # Errors
    /// [`Error::Refused`] when the step has its result, is at another attempt by now, or was not left to anyone; the other
    /// errors of [`ask`](Self::ask). After [`Error::NoAnswerYet`] the report stays: it is taken in by a worker that has the
    /// run's workflow.
    ///
    /// # Cancellation
    /// Dropping the future leaves the report sent or not: send it again; one that came before makes the later one refused.
    pub async fn report(&self, token: &Token, report: Report) -> Result<Head, Error> {
        let told = Payload::encode(&report.told(token.attempt))?;
        let ask = Ask::new(Verb::Report, Actor::Program, "").at(token.place.clone()).with(told);
        self.send(&token.run, ask).await
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
