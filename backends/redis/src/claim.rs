//! Claiming: every shard names what stands ready, the first of all of them are chosen, each shard leases its own.
//!
//! Between naming and leasing another worker may be faster; leasing looks at each head again and leaves out what is not
//! due any more, so a run has one claimer. What was left out is made up for by another round.

use std::collections::{HashMap, VecDeque};

use futures_util::future::{join_all, try_join_all};
use redis::Value;
use stepwell_contract::limits::CLAIM_RUNS_MAX;
use stepwell_contract::{BackendError, Claim, Fault, FaultKind, Head};

use crate::backend::RedisBackend;
use crate::fault::Stage;
use crate::layout::{self, ready_run};
use crate::link::Arguments;
use crate::script;

/// How many runs whose time has come one call makes ready: longer calls would hold up everybody else.
const RIPEN_MAX: usize = 256;
/// How many such calls one claim makes: a mass of leases that ended together is worked off by several claims.
const RIPEN_CALLS_MAX: usize = 64;
/// How many runs of each lane are named at once.
const NAMED_MAX: usize = 128;
/// How often a claim tries again for what it did not get.
const ROUNDS_MAX: usize = 16;

/// A run that a shard says stands ready.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// Priority, age and id: sorts as claims have to be served.
    member: String,
    lane: String,
    shard: u16,
}

/// What the shards offer, in the order of claims.
#[derive(Debug, Default)]
struct Offer {
    candidates: Vec<Candidate>,
    /// Behind this member there may be runs that were not named.
    horizon: Option<String>,
}

impl RedisBackend {
    pub(crate) async fn lease_due(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        let limit = claim.limit.min(CLAIM_RUNS_MAX);
        // The versions' nonces count on from the claim's; one that was not used is used for another run.
        let mut free: VecDeque<u64> = (0..limit as u64).map(|nth| claim.nonce.wrapping_add(nth)).collect();
        let mut taken: Vec<(String, Head)> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let wanted = limit - taken.len();
            if wanted == 0 {
                break;
            }
            let offer = self.offer(claim, wanted).await?;
            let complete = offer.horizon.is_none();
            let mut chosen = offer.candidates;
            chosen.truncate(wanted);
            if chosen.is_empty() {
                break;
            }
            let asked = chosen.len();
            let before = taken.len();
            match self.take(claim, chosen, &mut free, &mut taken).await {
                Ok(()) => {}
                // What was leased is the caller's all the same.
                Err(error) if !taken.is_empty() && !matches!(error, BackendError::Poisoned(_)) => {
                    tracing::warn!(%error, "a claim was cut short");
                    break;
                }
                Err(error) => return Err(error),
            }
            if taken.len() - before == asked && asked < wanted && complete {
                break;
            }
        }
        taken.sort_by(|(a, _), (b, _)| a.cmp(b));
        let heads: Vec<Head> = taken.into_iter().map(|(_, head)| head).collect();
        self.known.learn(&heads);
        Ok(heads)
    }

    /// Leases the chosen runs. What was leased is in `taken` also when this fails.
    async fn take(
        &self,
        claim: &Claim,
        chosen: Vec<Candidate>,
        free: &mut VecDeque<u64>,
        taken: &mut Vec<(String, Head)>,
    ) -> Result<(), BackendError> {
        let mut parts: HashMap<u16, Vec<(Candidate, u64)>> = HashMap::new();
        for candidate in chosen {
            let nonce =
                free.pop_front().expect("no more are chosen than are wanted, and each taken one used one");
            parts.entry(candidate.shard).or_default().push((candidate, nonce));
        }
        let calls = parts.into_iter().map(async |(shard, part)| {
            let mut arguments = Arguments::default();
            arguments.push_number(self.options.shift()).push(claim.worker.as_str()).push_number(claim.ttl_ms);
            for (candidate, nonce) in &part {
                arguments.push(&candidate.member).push(&candidate.lane).push(format!("{nonce:016x}"));
            }
            let heads: Result<Vec<Vec<u8>>, _> =
                self.run(&script::TAKE, shard, &arguments, Stage::Writing).await;
            (part, heads)
        });
        let mut result = Ok(());
        let mut unused = Vec::new();
        for (part, heads) in join_all(calls).await {
            match heads {
                Err(error) => result = Err(error),
                Ok(heads) => {
                    for ((candidate, nonce), value) in part.into_iter().zip(heads) {
                        if value.is_empty() {
                            unused.push(nonce);
                            continue;
                        }
                        let Some(key) = ready_run(&candidate.member) else { continue };
                        match self.stored(&key, &value) {
                            Ok(stored) => taken.push((candidate.member, stored.head)),
                            Err(error) => result = Err(error),
                        }
                    }
                }
            }
        }
        unused.sort_unstable_by(|a, b| b.cmp(a));
        unused.into_iter().for_each(|nonce| free.push_front(nonce));
        result
    }

    async fn offer(&self, claim: &Claim, wanted: usize) -> Result<Offer, BackendError> {
        let shards = (0..self.layout.shards).map(|shard| self.offer_of(shard, claim, wanted.min(NAMED_MAX)));
        let mut whole = Offer::default();
        for part in try_join_all(shards).await? {
            whole.candidates.extend(part.candidates);
            whole.horizon = [whole.horizon, part.horizon].into_iter().flatten().min();
        }
        whole.candidates.sort_unstable();
        if let Some(horizon) = &whole.horizon {
            whole.candidates.retain(|candidate| candidate.member <= *horizon);
        }
        Ok(whole)
    }

    async fn offer_of(&self, shard: u16, claim: &Claim, named: usize) -> Result<Offer, BackendError> {
        let mut arguments = Arguments::default();
        arguments.push_number(self.options.shift()).push_number(RIPEN_MAX).push_number(named);
        arguments.push(claim.tenant.as_ref().map_or("", |tenant| tenant.as_str()));
        arguments.push_number(claim.queues.len());
        for queue in &claim.queues {
            arguments.push(queue.as_str());
        }
        arguments.push_number(claim.workflows.len());
        for workflow in &claim.workflows {
            arguments.push(layout::workflow(&workflow.name, workflow.version));
        }
        let mut answer = Vec::new();
        for _ in 0..RIPEN_CALLS_MAX {
            answer = self.run::<Vec<Value>>(&script::OFFER, shard, &arguments, Stage::Writing).await?;
            if answer.first() != Some(&Value::Int(1)) {
                break;
            }
        }
        let mut offer = Offer::default();
        let mut rest = answer.into_iter().skip(1);
        while let (Some(lane), Some(members)) = (rest.next(), rest.next()) {
            let lane: String = redis::from_redis_value(lane).map_err(strange)?;
            let members: Vec<String> = redis::from_redis_value(members).map_err(strange)?;
            if members.len() == named {
                offer.horizon = offer.horizon.into_iter().chain(members.last().cloned()).min();
            }
            let candidate = |member| Candidate { member, lane: lane.clone(), shard };
            offer.candidates.extend(members.into_iter().map(candidate));
        }
        Ok(offer)
    }
}

fn strange(error: redis::ParsingError) -> BackendError {
    BackendError::Definite(Fault::new(FaultKind::Other, format!("a script gave another answer: {error}")))
}
