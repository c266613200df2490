//! Random work on the store and on [`MemoryBackend`] side by side: after every step both must have answered the same
//! and show the same (all laws at once).
//!
//! The work follows from a seed. A failure prints it, with the command that repeats the run.

use std::sync::Arc;

use super::Harness;
use super::sample::{idle, message_id, name, payload, records, worker};
use super::store::{Store, Trace, must, names};
use crate::backend::Backend;
use crate::batch::{Batch, Guard, Verdict};
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::error::BackendError;
use crate::head::{Head, Lease, Status, Version};
use crate::key::{MessageId, RunId, RunKey, TenantId};
use crate::memory::MemoryBackend;
use crate::message::Message;
use crate::query::{Claim, Order, Query, WorkflowRef};
use crate::record::{Kind, Seq};

const STEPS: usize = 250;
/// Leases and timers are set on half hours and the clock moves by whole hours, so that the time which calls take on a
/// clock that runs decides nothing.
const HOUR_MS: i64 = 3_600_000;

/// How often each sort of step is drawn, against the sum of all.
#[derive(Debug, Clone, Copy)]
struct Mix {
    commit: u32,
    claim: u32,
    clock: u32,
    remove: u32,
    reopen: u32,
}

/// Random batches, valid, stale, repeated and contradicting, several to a call.
pub async fn random_commits_give_what_the_reference_gives(harness: &dyn Harness) {
    let mix = Mix { commit: 10, claim: 0, clock: 0, remove: 0, reopen: 0 };
    work(harness, 0x5eed_0001, mix).await;
}

/// Random claims and commits on a clock that jumps forward and back.
pub async fn random_claims_on_a_jumping_clock_give_what_the_reference_gives(harness: &dyn Harness) {
    let mix = Mix { commit: 6, claim: 4, clock: 3, remove: 0, reopen: 0 };
    work(harness, 0x5eed_0002, mix).await;
}

/// Random commits and removals, and ids used again.
pub async fn random_removals_give_what_the_reference_gives(harness: &dyn Harness) {
    let mix = Mix { commit: 7, claim: 1, clock: 0, remove: 3, reopen: 0 };
    work(harness, 0x5eed_0003, mix).await;
}

/// Everything at random, and the store closed and opened in between.
pub async fn random_work_across_reopenings_gives_what_the_reference_gives(harness: &dyn Harness) {
    let mix = Mix { commit: 10, claim: 3, clock: 2, remove: 2, reopen: 2 };
    work(harness, 0x5eed_0004, mix).await;
}

async fn work(harness: &dyn Harness, seed: u64, mix: Mix) {
    let seed = match std::env::var("STEPWELL_SEED").as_deref() {
        Ok("random") => fastrand::u64(..),
        Ok(text) => text.parse().expect("STEPWELL_SEED is a number or `random`"),
        Err(_) => seed,
    };
    let steps = std::env::var("STEPWELL_STEPS")
        .map_or(STEPS, |text| text.parse().expect("STEPWELL_STEPS is a number of steps"));
    let mut pair = Pair::open(harness, seed).await;
    for step in 0..steps {
        pair.random_step(mix).await;
        let differing = pair.differences().await;
        if !differing.is_empty() {
            let test = std::thread::current().name().unwrap_or("laws::model").to_owned();
            let package = std::env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "PACKAGE".to_owned());
            let last: Vec<&String> = pair.done.iter().rev().take(12).rev().collect();
            panic!(
                "seed {seed}, step {step}: the store differs from the reference\n{}\nthe last steps:\n{}\n\
                 repeat it with: STEPWELL_SEED={seed} STEPWELL_STEPS={} cargo test -p {package} {test}",
                differing.join("\n"),
                last.into_iter().map(|step| format!("  {step}")).collect::<Vec<_>>().join("\n"),
                step + 1,
            );
        }
    }
}

/// The store under test and the reference, with the same past.
struct Pair<'h> {
    store: Store<'h>,
    is_exclusive: bool,
    model: MemoryBackend,
    clock: ManualClock,
    random: fastrand::Rng,
    keys: Vec<RunKey>,
    /// The last version-writing batches, to repeat and to come late with.
    former: Vec<Batch>,
    made: u64,
    /// The longest time that one step took on the store's clock: 0 on one that stands still.
    slack_ms: u64,
    done: Vec<String>,
    differences: Vec<String>,
}

impl<'h> Pair<'h> {
    async fn open(harness: &'h dyn Harness, seed: u64) -> Self {
        let store = Store::open(harness).await;
        let clock = ManualClock::at(store.start);
        let keys = ["a/x", "a/x.1", "a/y", "b/x", "b/z", "a.x/1", "B/x"].map(|text| {
            let (tenant, run) = text.split_once('/').expect("tenant and run");
            RunKey::new(TenantId::new(tenant).expect("valid"), RunId::new(run).expect("valid"))
        });
        Self {
            is_exclusive: store.info().await.exclusive,
            model: MemoryBackend::with_clock(Arc::new(clock.clone())),
            clock,
            store,
            random: fastrand::Rng::with_seed(seed),
            keys: keys.into(),
            former: Vec::new(),
            made: 0,
            slack_ms: 0,
            done: Vec::new(),
            differences: Vec::new(),
        }
    }

    async fn random_step(&mut self, mix: Mix) {
        // The reference follows the clock of the store.
        let before = self.store.now().await;
        self.clock.advance_ms(before.0 - self.clock.now().0);
        let mut drawn = self.random.u32(0..mix.commit + mix.claim + mix.clock + mix.remove + mix.reopen);
        let mut falls_in = |weight: u32| {
            let hit = drawn < weight;
            drawn = drawn.wrapping_sub(weight);
            hit
        };
        if falls_in(mix.commit) {
            self.commit().await;
        } else if falls_in(mix.claim) {
            self.claim().await;
        } else if falls_in(mix.clock) {
            let ms = self.random.i64(-3..=6) * HOUR_MS;
            self.done.push(format!("clock moved by {ms} ms"));
            self.store.advance_ms(ms);
            self.clock.advance_ms(ms);
            return;
        } else if falls_in(mix.remove) {
            self.remove().await;
        } else {
            self.done.push("closed and opened".to_owned());
            self.store.reopen().await;
            if self.is_exclusive {
                self.model = self.model.reopened();
            }
        }
        self.measure().await;
    }

    async fn measure(&mut self) {
        self.slack_ms = self.slack_ms.max(self.store.now().await.since_ms(self.clock.now()));
    }

    async fn commit(&mut self) {
        let mut batches = Vec::new();
        for _ in 0..self.random.usize(1..=4) {
            batches.push(self.random_batch().await);
        }
        let (found, expected) =
            (self.store.backend().commit(&batches).await, self.model.commit(&batches).await);
        let told = |outcome: &Result<Vec<Verdict>, BackendError>| match outcome {
            Ok(verdicts) => format!("{verdicts:?}"),
            Err(error) => format!("{} {:?}", class(error), error.kind()),
        };
        let shown: Vec<String> = batches.iter().map(sketch).collect();
        self.done.push(format!("commit {} -> {}", shown.join("; "), told(&expected)));
        self.expect_same("commit", &told(&found), &told(&expected));
        self.former.extend(batches.into_iter().filter(|batch| batch.head.is_some()));
        let surplus = self.former.len().saturating_sub(20);
        self.former.drain(..surplus);
    }

    async fn claim(&mut self) {
        let claim = Claim {
            worker: worker(&format!("w{}", self.random.u8(1..=3))),
            ttl_ms: self.half_hours(),
            queues: if self.random.bool() { vec![name(self.queue())] } else { Vec::new() },
            workflows: if self.random.u8(0..4) == 0 {
                vec![WorkflowRef { name: name("order"), version: self.random.u32(1..=2) }]
            } else {
                Vec::new()
            },
            tenant: if self.random.u8(0..4) == 0 { TenantId::new("a").ok() } else { None },
            limit: self.random.usize(1..=4),
            nonce: self.random.u64(..),
        };
        let found = self.store.claim(&claim).await;
        let expected = must(self.model.claim(&claim).await, "the reference's claim");
        self.measure().await;
        self.done.push(format!("claim {claim:?} -> {:?}", names(&expected)));
        let (found, expected) = (self.levelled(found, &expected), expected);
        self.expect_same("claim", &found, &expected);
    }

    async fn remove(&mut self) {
        let keys: Vec<RunKey> = (0..self.random.usize(1..=3)).map(|_| self.key()).collect();
        let found = self.store.remove(&keys).await;
        let expected = must(self.model.remove(&keys).await, "the reference's remove");
        self.done.push(format!("remove {keys:?} -> {expected}"));
        self.expect_same("remove", &found, &expected);
    }

    fn key(&mut self) -> RunKey {
        let i = self.random.usize(0..self.keys.len());
        self.keys[i].clone()
    }

    fn queue(&mut self) -> &'static str {
        if self.random.bool() { "fast" } else { "slow" }
    }

    fn half_hours(&mut self) -> u64 {
        (self.random.u64(0..5) * 2 + 1) * HOUR_MS as u64 / 2
    }

    fn version(&mut self, after: u64) -> Version {
        Version { counter: after + 1, nonce: self.random.u64(..) }
    }

    fn messages(&mut self) -> Vec<Message> {
        (0..self.random.usize(0..=3))
            .map(|_| {
                let id = self.message_id();
                let said = payload(&serde_json::json!({"n": self.random.u32(..)}));
                Message::new(id, Kind::of("signal"), Timestamp(self.random.i64(0..1_000_000)), said)
            })
            .collect()
    }

    fn message_id(&mut self) -> MessageId {
        message_id(&format!("m{}", self.random.u8(0..12)))
    }

    /// A batch for a random run: mostly what an owner who knows the present head would write, or a message from
    /// outside; sometimes what a stale owner writes, a former batch again, or a contradiction.
    async fn random_batch(&mut self) -> Batch {
        let key = self.key();
        let present = must(self.model.head(&key).await, "the reference's head");
        if !self.former.is_empty() && self.random.u8(0..8) == 0 {
            let i = self.random.usize(0..self.former.len());
            return self.former[i].clone();
        }
        if self.random.u8(0..3) == 0 {
            let post = self.messages();
            return Batch {
                key,
                guard: Guard::Exists,
                head: None,
                append: Vec::new(),
                post,
                take: Vec::new(),
            };
        }
        let is_creation = match present {
            None => self.random.u8(0..8) != 0,
            Some(_) => self.random.u8(0..8) == 0,
        };
        let mut from = match present {
            Some(head) if !is_creation => head,
            // Times differ, so that the order of a claim among equals is never asked.
            _ => {
                self.made += 1;
                idle(key.clone(), self.store.start.plus_ms(self.made))
            }
        };
        if !is_creation && self.random.u8(0..6) == 0 {
            match self.random.u8(0..3) {
                0 => from.version.counter += 1,
                1 => from.version.nonce ^= 1,
                _ => from.version.counter = from.version.counter.saturating_sub(1).max(1),
            }
        }
        let mut append = records(from.next_seq, self.random.usize(0..=3));
        for record in &mut append {
            record.payload = payload(&serde_json::json!({"said": self.random.u64(..)}));
            record.crc = record.payload.checksum();
        }
        let (guard, after) =
            if is_creation { (Guard::Absent, 0) } else { (Guard::At(from.version), from.version.counter) };
        let mut head =
            Head { version: self.version(after), next_seq: from.next_seq.plus(append.len()), ..from };
        self.edit(&mut head).await;
        if self.random.u8(0..25) == 0 {
            match self.random.u8(0..3) {
                0 => head.next_seq = head.next_seq.plus(1),
                1 => head.version.counter += 1,
                _ => head.created_at = head.created_at.plus_ms(1),
            }
        }
        let take: Vec<MessageId> = (0..self.random.usize(0..=3)).map(|_| self.message_id()).collect();
        // A batch that takes an id does not post it too.
        let post = self.messages().into_iter().filter(|message| !take.contains(&message.id)).collect();
        Batch { key, guard, head: Some(head), append, post, take }
    }

    async fn edit(&mut self, head: &mut Head) {
        let now = self.store.start;
        let drawn = self.random.usize(0..Status::ALL.len() * 2);
        // Half of them can be claimed.
        head.status = Status::ALL.get(drawn).copied().unwrap_or(Status::Running);
        head.finished_at = head.status.is_finished().then(|| now.plus_ms(self.random.u64(0..20)));
        let wakes_in_ms = self.random.i64(-4..8) * HOUR_MS + HOUR_MS / 2;
        head.wake_at = (self.random.u8(0..3) > 0).then_some(Timestamp(now.0 + wakes_in_ms));
        let by = worker(&format!("w{}", self.random.u8(1..=3)));
        let ttl_ms = self.half_hours();
        let ends = Timestamp(self.random.i64(0..i64::MAX / 2));
        head.lease = (self.random.u8(0..3) == 0).then_some(Lease { worker: by, ttl_ms, expires_at: ends });
        head.priority = self.random.i16(-2..=2);
        head.queue = name(self.queue());
        head.workflow = name(if self.random.u8(0..4) == 0 { "ship" } else { "order" });
        head.workflow_version = self.random.u32(1..=2);
        head.fence.0 += u64::from(self.random.u8(0..4) == 0);
        head.updated_at = now.plus_ms(self.random.u64(0..1_000));
        head.tags = super::sample::tag("customer", if self.random.bool() { "7" } else { "8" });
        head.summary = payload(&serde_json::json!({"done": self.random.u8(..)}));
    }

    fn queries(&mut self) -> Vec<Query> {
        let mut queries =
            vec![Query { order: Order::Oldest, ..Query::default() }, Query { due: true, ..Query::default() }];
        let order = if self.random.bool() { Order::Oldest } else { Order::Newest };
        let mut random = Query { order, ..Query::default() };
        match self.random.u8(0..8) {
            0 => random.tenant = TenantId::new("a").ok(),
            1 => random.statuses = vec![Status::Running, Status::Failed],
            2 => random.workflow = Some(name("ship")),
            3 => random.queue = Some(name("fast")),
            4 => random.tag = Some((name("customer"), "7".to_owned())),
            5 => random.leased_by = Some(worker("w1")),
            6 => random.with_mail = true,
            _ => random.finished_before = Some(self.store.start.plus_ms(10)),
        }
        queries.push(random);
        queries
    }

    /// Reads everything from both and returns what differs, together with what the last step's answers did.
    async fn differences(&mut self) -> Vec<String> {
        for key in self.keys.clone() {
            let found = self.store.trace(&key).await;
            let expected = Trace {
                head: must(self.model.head(&key).await, "the reference's head"),
                journal: must(self.model.journal(&key, Seq::FIRST, 1_000).await, "the reference's journal"),
                inbox: must(self.model.inbox(&key, 1_000).await, "the reference's inbox"),
            };
            let heads = |head: &Option<Head>| head.iter().cloned().collect::<Vec<_>>();
            let head = self.levelled(heads(&found.head), &heads(&expected.head));
            self.expect_same(&format!("the head of {key}"), &head, &heads(&expected.head));
            self.expect_same(&format!("the inbox of {key}"), &found.inbox, &expected.inbox);
            self.expect_same(
                &format!("the journal of {key}"),
                &found.journal[..found.journal.len().min(1_000)].to_vec(),
                &expected.journal,
            );
        }
        let found = self.store.tally().await;
        let expected = must(self.model.tally().await, "the reference's tally");
        self.expect_same("the tally", &found, &expected);
        for query in self.queries() {
            let limit = self.random.usize(1..=9);
            let found = self.store.scan_by(&query, limit).await;
            let expected = must(self.model.scan(&query, None, 1_000).await, "the reference's scan").items;
            let found = self.levelled(found, &expected);
            self.expect_same(&format!("the scan by {limit} for {query:?}"), &found, &expected);
        }
        std::mem::take(&mut self.differences)
    }

    fn expect_same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: &T, expected: &T) {
        if found != expected {
            self.differences.push(format!("{what}:\n  expected {expected:?}\n  found    {found:?}"));
        }
    }

    /// The heads with the ends of leases set to the expected ones where they differ by no more than a step takes.
    fn levelled(&self, mut heads: Vec<Head>, expected: &[Head]) -> Vec<Head> {
        for (head, expected) in heads.iter_mut().zip(expected) {
            if let (Some(lease), Some(expected)) = (&mut head.lease, &expected.lease) {
                let (one, two) = (lease.expires_at, expected.expires_at);
                if one.since_ms(two).max(two.since_ms(one)) <= self.slack_ms {
                    lease.expires_at = two;
                }
            }
        }
        heads
    }
}

fn class(error: &BackendError) -> &'static str {
    match error {
        BackendError::Definite(_) => "Definite",
        BackendError::Indefinite(_) => "Indefinite",
        BackendError::Poisoned(_) => "Poisoned",
    }
}

fn sketch(batch: &Batch) -> String {
    let ids = |ids: Vec<&MessageId>| ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(",");
    format!(
        "{} {:?} -> {:?} +{} records, posts [{}], takes [{}]",
        batch.key,
        batch.guard,
        batch.head.as_ref().map(|head| (head.version.to_string(), head.status, head.wake_at, &head.lease)),
        batch.append.len(),
        ids(batch.post.iter().map(|message| &message.id).collect()),
        ids(batch.take.iter().collect())
    )
}
