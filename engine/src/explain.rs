//! Why a run is where it is: where its head, its journal, its mail, the limits of its queue and the workers of the store meet.

use std::time::Duration;

use stepwell_contract::{Head, Message, RunKey, Status, TenantId, Timestamp};

use crate::diagnosis::Diagnosis;
use crate::error::Error;
use crate::exec::engine::Engine;
use crate::exec::limits::queues::QueuePause;
use crate::exec::load;
use crate::exec::workers::view;
use crate::observe::cause::{Cause, cause};
use crate::observe::explain::{Beside, Explanation, explain, without_owner, worker_of};
use crate::run::mail::is_request;
use crate::run::request::Ask;
use crate::run::state::{FoldError, State};
use crate::run::summary::Summary;

/// How often, and with which rests, a run is looked at again that moves while it is looked at.
const LOOKS_MAX: u32 = 8;
/// Runs that count for a limit which are looked at.
const HOLDERS_MAX: usize = 20;
const LOOK: Duration = Duration::from_millis(2);
/// Messages that are looked at.
const MAIL_MAX: usize = 100;
/// Runs that a run waits for whose own reasons are told.
const CHILDREN_MAX: usize = 3;

/// A run as it was at one moment.
struct Sight {
    head: Head,
    state: Result<State, FoldError>,
    mail: Vec<Message>,
}

impl Engine {
    /// Why a run is where it is: one reason for every run in every state, by the same rules that decide when it moves, with what is
    /// known of the queue, of its limits and of the workers of the store.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Store`]. A journal that this version cannot read is a reason and no error.
    pub async fn explain(&self, key: &RunKey) -> Result<Explanation, Error> {
        self.explain_to(key, None).await
    }

    /// The same for people of one tenant: runs of others that stand in its way are counted and not named. For everybody without a
    /// tenant.
    ///
    /// # Errors
    /// As for [`explain`](Self::explain).
    pub async fn explain_to(&self, key: &RunKey, tenant: Option<&TenantId>) -> Result<Explanation, Error> {
        self.explain_from(key, tenant, None).await
    }

    /// The same for those who have folded the run's journal a moment ago: `known` is the state that they have, and only what the
    /// journal has behind it is read.
    ///
    /// # Errors
    /// As for [`explain`](Self::explain).
    pub async fn explain_from(
        &self,
        key: &RunKey,
        tenant: Option<&TenantId>,
        known: Option<State>,
    ) -> Result<Explanation, Error> {
        let sight = self.sight(key, known).await?;
        let reason = self.reason(&sight);
        let (reason, mut beside) = self.with_surroundings(&sight, reason).await?;
        let reason = match tenant {
            Some(tenant) => reason.for_tenant(tenant),
            None => reason,
        };
        if let Cause::Child { runs, .. } = &reason {
            for run in runs.iter().take(CHILDREN_MAX) {
                beside.children.push(self.why_child(run).await?);
            }
        }
        if matches!(reason, Cause::Person { .. } | Cause::Ended { status: Status::Failed, .. }) {
            beside.diagnosis = self.last_diagnosis(key).await?;
        }
        Ok(explain(&sight.head, sight.state.as_ref().ok(), reason, beside, tenant))
    }

    /// Head, journal and mail of the same moment, as far as the run rests long enough for that.
    async fn sight(&self, key: &RunKey, mut known: Option<State>) -> Result<Sight, Error> {
        let (mut looks, mut before) = (0, None);
        loop {
            let head = self.get(key).await?.ok_or_else(|| Error::NoSuchRun(key.clone()))?;
            let mail = self.backend().inbox(key, MAIL_MAX).await?;
            let state = match load::state_from(self.backend().as_ref(), key, known.take()).await {
                Ok(state) => Ok(state),
                Err(left) => match left.into_error(key) {
                    Error::Journal { source, .. } => Err(source),
                    error => return Err(error),
                },
            };
            let fits = state.as_ref().is_ok_and(|state| state.last_seq.plus(1) == head.next_seq);
            looks += 1;
            // What does not fit and does not move either is so, and not on its way.
            let seen = Some((head.version, state.as_ref().map(|state| state.last_seq).ok()));
            if fits || seen == before || looks == LOOKS_MAX {
                return Ok(Sight { head, state, mail });
            }
            before = seen;
            known = state.ok();
            self.core().time.pause(LOOK).await;
        }
    }

    /// What the run's own head, journal and mail say.
    fn reason(&self, sight: &Sight) -> Cause {
        let Sight { head, state, mail } = sight;
        // Only requests move a run that is held or has failed; what else is in its inbox waits with it.
        if matches!(head.status, Status::Paused | Status::Failed)
            && let Some(request) = mail.iter().find(|message| is_request(message))
        {
            let verb = request.payload.decode::<Ask>().map(|ask| ask.verb.as_str());
            let what = verb.unwrap_or(request.kind.as_str()).to_owned();
            return Cause::Unanswered { what, since: request.at };
        }
        let unreadable = |message| Cause::Unreadable { message };
        match state {
            _ if matches!(head.status, Status::Succeeded | Status::Cancelled) => {
                Cause::Ended { status: head.status, message: String::new() }
            }
            Err(error) => unreadable(error.to_string()),
            Ok(state) if head.status == Status::Failed => {
                let message = state.failure.as_ref().map(|(_, failure)| failure.message.clone());
                Cause::Ended { status: head.status, message: message.unwrap_or_default() }
            }
            Ok(state) if state.last_seq.plus(1) != head.next_seq && head.live_lease(self.now()).is_none() => {
                unreadable(format!(
                    "the head stands at record {}, the journal at {}",
                    head.next_seq, state.last_seq
                ))
            }
            Ok(state) => cause(head, state, !mail.is_empty(), self.now()).unwrap_or(Cause::Nothing),
        }
    }

    /// The reason in the light of what is known beside the run.
    async fn with_surroundings(&self, sight: &Sight, reason: Cause) -> Result<(Cause, Beside), Error> {
        let head = &sight.head;
        let mut beside = Beside::default();
        let reason = match reason {
            Cause::FreeWorker { .. } => self.with_takers(head, reason, &mut beside).await?,
            Cause::QueuePaused { queue, since, .. } => match self.queue_pause(&queue).await? {
                Some(pause) => paused(head, pause),
                None => looked_at_again(head, since),
            },
            Cause::Limit { queue, key, limit, others, since, .. } => {
                let (holders, has_room) = self.counted_beside(head, &queue).await?;
                if has_room {
                    looked_at_again(head, since)
                } else {
                    for run in holders.iter().take(HOLDERS_MAX) {
                        let is_advanced =
                            self.get(run).await?.is_some_and(|head| head.live_lease(self.now()).is_some());
                        beside.stuck.extend((!is_advanced).then(|| run.clone()));
                    }
                    Cause::Limit { queue, key, limit, holders, others, since }
                }
            }
            other => other,
        };
        let Some(worker) = worker_of(&reason) else { return Ok((reason, beside)) };
        Ok(match view::sign_of(self.core(), worker).await? {
            Some((told_at, false)) => (without_owner(reason, Some(told_at)), beside),
            Some((told_at, true)) => {
                beside.told_at = Some(told_at);
                (reason, beside)
            }
            None => (reason, beside),
        })
    }

    /// Who takes a run that is due: a live worker, if its queue is not paused.
    async fn with_takers(&self, head: &Head, reason: Cause, beside: &mut Beside) -> Result<Cause, Error> {
        let workers = view::facts(self.core()).await?;
        let (reason, takers) = reason.among(&workers);
        beside.takers = takers;
        let is_ending = head.summary.decode::<Summary>().is_ok_and(|summary| summary.ending);
        // Whoever is on its way to its end is let through.
        if takers.is_none() || head.status == Status::Cancelling || is_ending {
            return Ok(reason);
        }
        Ok(self.queue_pause(&head.queue).await?.map_or(reason, |pause| paused(head, pause)))
    }

    /// A run that another waits for, and why it is where it is: nothing when it is not there.
    async fn why_child(&self, key: &RunKey) -> Result<(RunKey, Option<Cause>), Error> {
        let sight = match self.sight(key, None).await {
            Ok(sight) => sight,
            Err(Error::NoSuchRun(_)) => return Ok((key.clone(), None)),
            Err(error) => return Err(error),
        };
        let reason = self.reason(&sight);
        let (reason, _) = self.with_surroundings(&sight, reason).await?;
        Ok((key.clone(), Some(reason)))
    }

    async fn last_diagnosis(&self, key: &RunKey) -> Result<Option<Diagnosis>, Error> {
        match self.diagnosis(key).await {
            Err(Error::Journal { .. } | Error::NoSuchRun(_)) => Ok(None),
            other => other,
        }
    }
}

fn paused(head: &Head, pause: QueuePause) -> Cause {
    let QueuePause { actor: by, message, since } = pause;
    Cause::QueuePaused { queue: head.queue.clone(), by, message, since }
}

/// What it was parked for is over: it is woken, or looks again by itself at its time.
fn looked_at_again(head: &Head, since: Timestamp) -> Cause {
    Cause::Time { at: head.wake_at.unwrap_or(since) }
}
