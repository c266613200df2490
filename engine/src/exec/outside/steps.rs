//! The steps that wait for someone outside: what a process that does them looks for.

use serde::Serialize;
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{
    Clock, Cursor, Head, Name, Order, Page, Payload, Query, RunKey, Status, TenantId, Timestamp,
};

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::engine::Engine;
use crate::exec::{posted, requests};
use crate::run::event::Progress;
use crate::run::given::given_outside;
use crate::run::outsider::Begun;
use crate::run::place::Place;
use crate::run::report::open;
use crate::run::summary::Summary;
use crate::run::token::Token;

/// Bytes of inputs from which on a page is full.
const INPUT_BYTES: usize = 4 << 20;

/// Which steps that wait for someone outside are wanted: those that fit all that is set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutsideFilter {
    /// Of runs of this tenant.
    pub tenant: Option<TenantId>,
    /// Of runs of this workflow.
    pub workflow: Option<Name>,
    /// Steps of this name.
    pub step: Option<Name>,
    /// Also those that somebody has begun.
    pub with_begun: bool,
}

/// A step that waits for someone outside to do it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutsideStep {
    /// What reports on it have to name: the run, the step and its attempt.
    pub token: Token,
    /// The run's workflow.
    pub workflow: Name,
    /// Its version.
    pub version: u32,
    /// What the step is given; `None` where this engine does not have the workflow.
    pub input: Option<Payload>,
    /// The same for all attempts of the step: for receivers that recognise a repetition by it.
    pub idempotency_key: String,
    /// When the attempt began.
    pub since: Timestamp,
    /// When it fails if nobody has told of its end; `None` for never.
    pub timeout_at: Option<Timestamp>,
    /// How long it is likely to take, in milliseconds.
    pub estimate_ms: Option<u64>,
    /// Who has begun it, and when.
    pub begun: Option<Begun>,
    /// How far it was said to be.
    pub progress: Option<Progress>,
}

impl Engine {
    /// A page of the steps that wait for someone outside, those of the oldest runs first. Steps of runs that are held or being
    /// cancelled are not among them. A page may have fewer than `limit`, even none, and still have a next one; of a run with more
    /// steps than fit, the others come once the first are begun. Reads the heads of the runs that have not ended, and the journals
    /// of those that have such steps.
    ///
    /// A run that this version cannot read is passed over.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn outside_steps(
        &self,
        filter: &OutsideFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<OutsideStep>, Error> {
        let query = Query {
            tenant: filter.tenant.clone(),
            workflow: filter.workflow.clone(),
            statuses: vec![Status::Queued, Status::Running, Status::Waiting],
            order: Order::Oldest,
            ..Query::default()
        };
        let core = self.core();
        let page = self.list(&query, after, PAGE_ITEMS_MAX).await?;
        let has_any = |head: &&Head| {
            let summary: Summary = head.summary.decode().unwrap_or_default();
            summary.outside_open > 0 || (filter.with_begun && summary.outside_begun > 0)
        };
        let having: Vec<&Head> = page.items.iter().filter(has_any).collect();
        if having.iter().any(|head| core.definition_of(head).is_none()) {
            posted::learn(core).await?;
        }
        let (mut items, mut bytes) = (Vec::new(), 0);
        for head in having {
            let steps = match of_run(core, head).await {
                Ok(steps) => steps,
                Err(Error::Journal { source, .. }) => {
                    // Whoever looks for work is not kept from that of other runs; it may have been removed.
                    tracing::debug!(run = %head.key, error = %source, "the run cannot be read");
                    continue;
                }
                Err(error) => return Err(error),
            };
            for step in steps {
                let is_open = filter.with_begun || step.begun.is_none();
                let is_named = filter.step.as_ref().is_none_or(|name| *name == step.token.place.step);
                if is_open && is_named && items.len() < limit {
                    bytes += step.input.as_ref().map_or(0, |input| input.text().len());
                    items.push(step);
                }
            }
            if items.len() >= limit || bytes >= INPUT_BYTES {
                return Ok(Page { items, next: Some(Cursor::of(head)) });
            }
        }
        Ok(Page { items, next: page.next })
    }

    /// The step of a run that waits for someone outside, as it is now.
    ///
    /// # Errors
    /// [`Error::Refused`] when it has not begun, has its result, or is not left to anyone; [`Error::NoSuchRun`];
    /// [`Error::Journal`]; [`Error::Store`].
    pub async fn outside_step(&self, run: &RunKey, place: &Place) -> Result<OutsideStep, Error> {
        let token = self.token_of(run, place).await?;
        let head = requests::head_of(self.core(), run).await?;
        posted::definition_of(self.core(), &head).await?;
        let step = of_run(self.core(), &head).await?.into_iter().find(|step| step.token == token);
        step.ok_or_else(|| refused(&head, format!("{place} has gone on meanwhile")))
    }

    /// What reports on the present attempt of a step have to name. Whoever did an earlier attempt would report on this one by it:
    /// they should keep the token that they were given.
    ///
    /// # Errors
    /// As for [`outside_step`](Self::outside_step).
    pub async fn token_of(&self, run: &RunKey, place: &Place) -> Result<Token, Error> {
        let head = requests::head_of(self.core(), run).await?;
        let state = requests::load_state(self.core(), run).await?;
        let step = open(&state, place).map_err(|why| refused(&head, why))?;
        if !step.is_left_outside() {
            return Err(refused(&head, format!("{place} is not left to anyone outside")));
        }
        Ok(Token { run: run.clone(), place: place.clone(), attempt: step.attempt })
    }
}

fn refused(head: &Head, why: String) -> Error {
    Error::Refused { key: head.key.clone(), verb: "report on", status: head.status, why }
}

/// The steps of a run that are left outside.
async fn of_run(core: &Core, head: &Head) -> Result<Vec<OutsideStep>, Error> {
    let state = requests::load_state(core, &head.key).await?;
    let registered = core.definition_of(head);
    let mut inputs = registered
        .as_ref()
        .map(|known| given_outside(known.definition.graph(), &known.limits, &state, core.time.now()))
        .unwrap_or_default();
    let places = state.outside.open.iter().chain(&state.outside.begun);
    let steps = places.filter_map(|place| {
        let step = state.step(place)?;
        let limits = registered.as_ref().and_then(|known| {
            let index = known.definition.graph().find(&place.step)?;
            known.limits.get(index.0)
        });
        Some(OutsideStep {
            token: Token { run: head.key.clone(), place: place.clone(), attempt: step.attempt },
            workflow: head.workflow.clone(),
            version: state.workflow_version,
            input: inputs.remove(place),
            idempotency_key: place.idempotency_key(&head.key),
            since: step.started_at,
            timeout_at: step.waiting.as_ref().and_then(|waiting| waiting.until),
            estimate_ms: limits.and_then(|limits| limits.estimate_ms.value),
            begun: step.outsider.as_deref().cloned(),
            progress: step.progress.clone(),
        })
    });
    Ok(steps.collect())
}
