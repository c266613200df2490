//! A store that misbehaves on purpose: fails a call, drops it, holds it up, or carries it out and then says that it
//! does not know.
//!
//! [`FaultBackend`] stands around any other backend and is one itself. A [`FaultPlan`] says which calls are hit:
//! the n-th, each n-th, all from the n-th on, or some by chance. Chance comes from a seed, so that the same calls in
//! the same order meet the same faults. What was hit is counted: a test that meant to inject faults can fail when
//! none fired.
//!
//! ```
//! use std::sync::Arc;
//! use stepwell_contract::fault::{Effect, FaultBackend, FaultPlan, Method};
//! use stepwell_contract::{Backend, BackendError, MemoryBackend};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let plan = FaultPlan::seeded(7).nth(Method::Commit, 2, Effect::LoseReply);
//! let store = FaultBackend::new(Arc::new(MemoryBackend::new()), plan);
//! assert!(store.commit(&[]).await.is_ok());
//! assert!(matches!(store.commit(&[]).await, Err(BackendError::Indefinite(_))));
//! assert_eq!(store.counts().fired(Method::Commit), 1);
//! # }
//! ```

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::backend::Backend;
use crate::batch::{Batch, Verdict};
use crate::error::{BackendError, Fault, FaultKind};
use crate::head::Head;
use crate::info::{Health, StoreInfo};
use crate::key::RunKey;
use crate::message::Message;
use crate::query::{Claim, Cursor, Page, Query};
use crate::record::{Record, Seq};
use crate::tally::Tally;

/// A method of [`Backend`] that can be hit. `changed` is only a hint and is always passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// [`Backend::commit`].
    Commit,
    /// [`Backend::head`].
    Head,
    /// [`Backend::journal`].
    Journal,
    /// [`Backend::inbox`].
    Inbox,
    /// [`Backend::scan`].
    Scan,
    /// [`Backend::remove`].
    Remove,
    /// [`Backend::info`].
    Info,
    /// [`Backend::tally`].
    Tally,
    /// [`Backend::claim`].
    Claim,
}

impl Method {
    /// Every method, in the order of the trait.
    pub const ALL: [Self; 9] = [
        Self::Commit,
        Self::Head,
        Self::Journal,
        Self::Inbox,
        Self::Scan,
        Self::Remove,
        Self::Info,
        Self::Tally,
        Self::Claim,
    ];

    /// Whether it changes the store.
    #[must_use]
    pub fn is_write(self) -> bool {
        matches!(self, Self::Commit | Self::Remove | Self::Claim)
    }
}

/// A set of calls, counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Those of one method.
    Of(Method),
    /// `commit`, `remove` and `claim`.
    Writes,
    /// All others.
    Reads,
    /// All.
    Any,
}

impl Calls {
    fn has(self, method: Method) -> bool {
        match self {
            Self::Of(only) => only == method,
            Self::Writes => method.is_write(),
            Self::Reads => !method.is_write(),
            Self::Any => true,
        }
    }
}

impl From<Method> for Calls {
    fn from(method: Method) -> Self {
        Self::Of(method)
    }
}

/// What happens to a call that is hit.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Not carried out; fails as `Definite` of this kind.
    Refuse(FaultKind),
    /// Not carried out; fails as `Indefinite`.
    Drop,
    /// Carried out; then fails as `Indefinite`. An error of the store itself is passed on as it is.
    LoseReply,
    /// Waits this long on tokio's clock, then is carried out.
    Delay(Duration),
    /// Waits at the gate, then is carried out.
    Hold(Gate),
    /// Carried out; its reply waits at the gate.
    HoldReply(Gate),
    /// Not carried out; this and every later write fail as `Poisoned`, reads go on, and `info` says so.
    /// On a read it has no effect but to begin that.
    Poison,
}

/// A closed gate holds every call that reaches it until it is opened. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
    waiting: Arc<watch::Sender<usize>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::closed()
    }
}

impl Gate {
    /// A gate that holds what reaches it.
    #[must_use]
    pub fn closed() -> Self {
        Self { open: Arc::new(watch::Sender::new(false)), waiting: Arc::new(watch::Sender::new(0)) }
    }

    /// Lets through what waits and all that comes.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Returns as soon as at least `calls` calls have reached the gate since it was made.
    pub async fn reached_by(&self, calls: usize) {
        let mut waiting = self.waiting.subscribe();
        // The sender lives in `self`, so the wait cannot end any other way.
        let _ = waiting.wait_for(|reached| *reached >= calls).await;
    }

    async fn pass(&self) {
        self.waiting.send_modify(|reached| *reached += 1);
        let mut open = self.open.subscribe();
        let _ = open.wait_for(|open| *open).await;
    }
}

#[derive(Debug, Clone, Copy)]
enum When {
    Nth(u64),
    Every(u64),
    From(u64),
    Chance(f64),
}

type Filter = Arc<dyn Fn(&[Batch]) -> bool + Send + Sync>;

#[derive(Clone)]
struct Rule {
    calls: Calls,
    filter: Option<Filter>,
    when: When,
    effect: Effect,
    met: u64,
}

impl Rule {
    /// Counts the call if it is one of the rule's, and says whether it is hit.
    fn hits(&mut self, method: Method, batches: &[Batch], random: &mut fastrand::Rng) -> bool {
        if !self.calls.has(method) || self.filter.as_ref().is_some_and(|fits| !fits(batches)) {
            return false;
        }
        self.met += 1;
        match self.when {
            When::Nth(nth) => self.met == nth,
            When::Every(nth) => self.met.is_multiple_of(nth.max(1)),
            When::From(nth) => self.met >= nth,
            When::Chance(chance) => random.f64() < chance,
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}: {:?}", self.when, self.calls, self.effect)
    }
}

/// Which calls are hit, and how. Every rule counts the calls it is about from 1 on; of the rules that hit a call, the
/// one added first has effect.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    seed: u64,
    rules: Vec<Rule>,
}

impl FaultPlan {
    /// A plan that hits nothing; chances added to it are drawn from `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { seed, rules: Vec::new() }
    }

    /// Hits the `nth` call only.
    #[must_use]
    pub fn nth(self, calls: impl Into<Calls>, nth: u64, effect: Effect) -> Self {
        self.with(calls.into(), None, When::Nth(nth), effect)
    }

    /// Hits each `nth` call: the `nth`, twice the `nth`, ….
    #[must_use]
    pub fn every(self, calls: impl Into<Calls>, nth: u64, effect: Effect) -> Self {
        self.with(calls.into(), None, When::Every(nth), effect)
    }

    /// Hits the `nth` call and all after it.
    #[must_use]
    pub fn from(self, calls: impl Into<Calls>, nth: u64, effect: Effect) -> Self {
        self.with(calls.into(), None, When::From(nth), effect)
    }

    /// Hits each call with this chance, from 0.0 to 1.0.
    #[must_use]
    pub fn chance(self, calls: impl Into<Calls>, chance: f64, effect: Effect) -> Self {
        self.with(calls.into(), None, When::Chance(chance), effect)
    }

    /// Hits the `nth` of those commits whose batches fit.
    #[must_use]
    pub fn nth_commit_that(
        self,
        fits: impl Fn(&[Batch]) -> bool + Send + Sync + 'static,
        nth: u64,
        effect: Effect,
    ) -> Self {
        self.with(Calls::Of(Method::Commit), Some(Arc::new(fits)), When::Nth(nth), effect)
    }

    /// Hits those commits whose batches fit, each with this chance.
    #[must_use]
    pub fn chance_of_commit_that(
        self,
        fits: impl Fn(&[Batch]) -> bool + Send + Sync + 'static,
        chance: f64,
        effect: Effect,
    ) -> Self {
        self.with(Calls::Of(Method::Commit), Some(Arc::new(fits)), When::Chance(chance), effect)
    }

    fn with(mut self, calls: Calls, filter: Option<Filter>, when: When, effect: Effect) -> Self {
        self.rules.push(Rule { calls, filter, when, effect, met: 0 });
        self
    }
}

/// How many calls there were and how many of them were hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultCounts {
    calls: [u64; Method::ALL.len()],
    fired: [u64; Method::ALL.len()],
}

impl FaultCounts {
    /// Calls of the method, hit or not.
    #[must_use]
    pub fn calls(&self, method: Method) -> u64 {
        self.calls[method as usize]
    }

    /// Calls of the method that were hit.
    #[must_use]
    pub fn fired(&self, method: Method) -> u64 {
        self.fired[method as usize]
    }

    /// All calls that were hit.
    #[must_use]
    pub fn fired_in_all(&self) -> u64 {
        self.fired.iter().sum()
    }
}

/// A backend around another one that misbehaves by plan.
#[derive(Debug)]
pub struct FaultBackend {
    inner: Arc<dyn Backend>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rules: Vec<Rule>,
    random: fastrand::Rng,
    counts: FaultCounts,
    poisoned: bool,
}

impl FaultBackend {
    /// Stands around `inner` and follows the plan from the next call on.
    #[must_use]
    pub fn new(inner: Arc<dyn Backend>, plan: FaultPlan) -> Self {
        let state = State {
            rules: plan.rules,
            random: fastrand::Rng::with_seed(plan.seed),
            counts: FaultCounts::default(),
            poisoned: false,
        };
        Self { inner, state: Mutex::new(state) }
    }

    /// The store behind it, for looking at what really happened.
    #[must_use]
    pub fn inner(&self) -> &Arc<dyn Backend> {
        &self.inner
    }

    /// Hits the next such call, before every rule of the plan.
    pub fn hit_next(&self, calls: impl Into<Calls>, effect: Effect) {
        let rule = Rule { calls: calls.into(), filter: None, when: When::Nth(1), effect, met: 0 };
        self.lock().rules.insert(0, rule);
    }

    /// Drops every rule: nothing more is hit. A poisoned store stays poisoned, as a real one does until reopened.
    pub fn calm_down(&self) {
        self.lock().rules.clear();
    }

    /// What was called and hit so far.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        self.lock().counts
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A filter of the caller may panic under the lock; the state holds no invariant that this could break.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, method: Method, batches: &[Batch]) -> Option<Effect> {
        let mut state = self.lock();
        let State { rules, random, counts, poisoned } = &mut *state;
        counts.calls[method as usize] += 1;
        let mut effect = None;
        // Every rule counts the call, and draws, whether or not an earlier one hits: rules do not disturb each other.
        for rule in rules {
            if rule.hits(method, batches, random) && effect.is_none() {
                effect = Some(rule.effect.clone());
            }
        }
        if *poisoned && method.is_write() {
            effect = Some(Effect::Poison);
        }
        *poisoned |= matches!(effect, Some(Effect::Poison));
        counts.fired[method as usize] += u64::from(effect.is_some());
        effect
    }

    async fn through<T: Send>(
        &self,
        method: Method,
        batches: &[Batch],
        call: impl Future<Output = Result<T, BackendError>> + Send,
    ) -> Result<T, BackendError> {
        let told = |what: &str| format!("injected fault: {method:?} {what}");
        match self.decide(method, batches) {
            None => call.await,
            Some(Effect::Refuse(kind)) => {
                Err(BackendError::Definite(Fault::new(kind, told("was refused and not carried out"))))
            }
            Some(Effect::Drop) => {
                Err(BackendError::Indefinite(Fault::new(FaultKind::Timeout, told("got no reply"))))
            }
            Some(Effect::LoseReply) => {
                call.await?;
                Err(BackendError::Indefinite(Fault::new(FaultKind::Timeout, told("got no reply"))))
            }
            Some(Effect::Delay(time)) => {
                tokio::time::sleep(time).await;
                call.await
            }
            Some(Effect::Hold(gate)) => {
                gate.pass().await;
                call.await
            }
            Some(Effect::HoldReply(gate)) => {
                let reply = call.await;
                gate.pass().await;
                reply
            }
            Some(Effect::Poison) if method.is_write() => {
                Err(BackendError::Poisoned(Fault::new(FaultKind::Other, told("met a poisoned store"))))
            }
            Some(Effect::Poison) => call.await,
        }
    }
}

#[async_trait]
impl Backend for FaultBackend {
    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        self.through(Method::Commit, batches, self.inner.commit(batches)).await
    }

    async fn head(&self, key: &RunKey) -> Result<Option<Head>, BackendError> {
        self.through(Method::Head, &[], self.inner.head(key)).await
    }

    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        self.through(Method::Journal, &[], self.inner.journal(key, from, limit)).await
    }

    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        self.through(Method::Inbox, &[], self.inner.inbox(key, limit)).await
    }

    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        self.through(Method::Scan, &[], self.inner.scan(query, after, limit)).await
    }

    async fn remove(&self, keys: &[RunKey]) -> Result<usize, BackendError> {
        self.through(Method::Remove, &[], self.inner.remove(keys)).await
    }

    async fn info(&self) -> Result<StoreInfo, BackendError> {
        let mut info = self.through(Method::Info, &[], self.inner.info()).await?;
        if self.lock().poisoned {
            info.health = Health::Poisoned("injected fault: writing has ended".to_owned());
        }
        Ok(info)
    }

    async fn tally(&self) -> Result<Vec<Tally>, BackendError> {
        self.through(Method::Tally, &[], self.inner.tally()).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        self.through(Method::Claim, &[], self.inner.claim(claim)).await
    }

    async fn changed(&self, up_to: Duration) {
        self.inner.changed(up_to).await;
    }
}
