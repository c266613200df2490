//! The typed builder of workflows: what one node gives is what the next one takes, or it does not compile.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stepwell_contract::{Name, Timestamp};

use crate::workflow::child::{ChildNode, ChildRun, Outside};
use crate::workflow::context::StepContext;
use crate::workflow::definition::{BuildError, ItemResult, MAP_CONCURRENCY_MAX, Workflow};
use crate::workflow::draft::Draft;
use crate::workflow::error::StepResult;
use crate::workflow::graph::{Join, Node, Sequence, StepIndex, Tolerance, Until};
use crate::workflow::policy::{Effect, StepPolicy, ms};
use crate::workflow::step::{Decision, Erased, Passive, SharedStep, Step, StepFn};
use crate::workflow::suspend::Heard;

/// A workflow of which only the name is known.
#[derive(Debug)]
#[must_use]
pub struct WorkflowStart {
    pub(super) draft: Draft,
}

impl WorkflowStart {
    pub(crate) fn of(draft: Draft) -> Self {
        Self { draft }
    }

    /// Sets the version. A worker takes only runs of versions that it has registered.
    pub fn version(mut self, version: u32) -> Self {
        self.draft.version = version;
        self
    }

    /// Sets the queue that its runs wait in; `default` if not set.
    pub fn queue(mut self, queue: impl AsRef<str>) -> Self {
        match Name::new(queue) {
            Ok(queue) => self.draft.queue = Some(queue),
            Err(error) => self.draft.refuse(error.into()),
        }
        self
    }

    /// Sets the limits of steps that set none themselves.
    pub fn step_policy(mut self, policy: StepPolicy) -> Self {
        self.draft.policy.step = policy;
        self
    }

    /// Sets the time after which a run fails: from its creation, or from the time that it was started for.
    pub fn run_deadline(mut self, limit: Duration) -> Self {
        self.draft.policy.run_deadline_ms = Some(ms(limit));
        self
    }

    /// Sets the time after which a run that no worker has taken pauses: from its creation, or from the time that it was
    /// started for.
    pub fn queue_wait(mut self, limit: Duration) -> Self {
        self.draft.policy.queue_wait_ms = Some(ms(limit));
        self
    }

    /// Names the type of the workflow's input; the first step's input says it too.
    pub fn input<I>(self) -> WorkflowBuilder<I, I> {
        WorkflowBuilder { draft: self.draft, types: PhantomData }
    }

    /// Begins with a step; see [`WorkflowBuilder::step`].
    pub fn step<S: Step>(self, step: S) -> WorkflowBuilder<S::Input, S::Output> {
        self.input::<S::Input>().step(step)
    }

    /// Begins with a closure; see [`WorkflowBuilder::step_fn`].
    pub fn step_fn<I, O, F, Fut>(self, name: impl AsRef<str>, run: F) -> WorkflowBuilder<I, O>
    where
        F: Fn(StepContext, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<O>> + Send + 'static,
        I: DeserializeOwned + Send + 'static,
        O: Serialize + Send + Sync + 'static,
    {
        self.input::<I>().step_fn(name, run)
    }

    /// Begins with several steps at once; see [`WorkflowBuilder::parallel`].
    pub fn parallel<I, B: Branches<I>>(self, branches: B) -> WorkflowBuilder<I, B::Output> {
        self.input::<I>().parallel(branches)
    }

    /// Begins with a map; see [`WorkflowBuilder::map`].
    pub fn map<S: Step>(self, step: S, concurrency: u32) -> WorkflowBuilder<Vec<S::Input>, Vec<S::Output>> {
        self.input::<Vec<S::Input>>().map(step, concurrency)
    }
}

/// A workflow under construction: it takes an `I`, and what is there so far gives a `C`.
#[must_use]
pub struct WorkflowBuilder<I, C> {
    pub(crate) draft: Draft,
    pub(crate) types: PhantomData<fn(I) -> C>,
}

impl<I, C> fmt::Debug for WorkflowBuilder<I, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.draft.fmt(f)
    }
}

impl<I, C> WorkflowBuilder<I, C> {
    /// Adds a step, which takes what is there so far.
    pub fn step<S: Step<Input = C>>(self, step: S) -> WorkflowBuilder<I, S::Output> {
        self.step_named(S::NAME, step)
    }

    /// Adds a step under another name than its own, so that a workflow can have it twice.
    pub fn step_named<S: Step<Input = C>>(
        mut self,
        name: impl AsRef<str>,
        step: S,
    ) -> WorkflowBuilder<I, S::Output> {
        let policy = step.policy();
        let index = self.draft.add(name.as_ref(), policy, Arc::new(Erased(step)));
        self.draft.steps[index.0].0.version = S::VERSION;
        self.draft.nodes.push(Node::Step(index));
        self.then()
    }

    /// Adds a closure as a step. It gets the context by value.
    pub fn step_fn<O, F, Fut>(mut self, name: impl AsRef<str>, run: F) -> WorkflowBuilder<I, O>
    where
        F: Fn(StepContext, C) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<O>> + Send + 'static,
        C: DeserializeOwned + Send + 'static,
        O: Serialize + Send + Sync + 'static,
    {
        let index = self.draft.add(name.as_ref(), StepPolicy::default(), Arc::new(StepFn::new(run)));
        self.draft.nodes.push(Node::Step(index));
        self.then()
    }

    /// Adds several steps that all take what is there so far and run at the same time. What they give is joined to
    /// a tuple. When one fails for good, the others start nothing more; see [`wait_all`](Self::wait_all).
    pub fn parallel<B: Branches<C>>(mut self, branches: B) -> WorkflowBuilder<I, B::Output> {
        let added = branches.into_steps();
        let steps = added.into_iter().map(|branch| {
            let index = self.draft.add(branch.name, branch.policy, branch.step);
            self.draft.steps[index.0].0.version = branch.version;
            index
        });
        let branches = steps.map(|step| vec![Node::Step(step)]).collect();
        self.draft.nodes.push(Node::Parallel { branches, join: Join::FailFast });
        self.then()
    }

    /// Does two things of several steps each at the same time, both with what is there so far, and gives the pair of what
    /// they give.
    ///
    /// ```
    /// # use stepwell::prelude::*;
    /// # let say = |_ctx: StepContext, n: u32| async move { Ok(n) };
    /// let flow = Workflow::named("w").input::<u32>().both(
    ///     |pack| pack.step_fn("pick", say).step_fn("wrap", say),
    ///     |bill| bill.step_fn("bill", say),
    /// );
    /// # flow.build().unwrap();
    /// ```
    pub fn both<L, R>(
        self,
        left: impl FnOnce(WorkflowBuilder<C, C>) -> WorkflowBuilder<C, L>,
        right: impl FnOnce(WorkflowBuilder<C, C>) -> WorkflowBuilder<C, R>,
    ) -> WorkflowBuilder<I, (L, R)> {
        let (draft, left) = self.draft.within(left);
        let (mut draft, right) = draft.within(right);
        draft.nodes.push(Node::Parallel { branches: vec![left, right], join: Join::FailFast });
        Self::of(draft).then()
    }

    /// Lets the branches of the `parallel` or `both` before go on to their ends when one has failed. The run comes to rest
    /// after that.
    pub fn wait_all(mut self) -> Self {
        match self.draft.nodes.last_mut() {
            Some(Node::Parallel { join, .. }) => *join = Join::WaitAll,
            _ => {
                let workflow = self.draft.name.clone();
                self.draft.refuse(BuildError::NothingToJoin { workflow });
            }
        }
        self
    }

    /// Goes on in one of two ways, by a condition on what is there so far. The condition is a step of that name: its answer
    /// is recorded once, and code that changes later does not decide again.
    ///
    /// ```
    /// # use stepwell::prelude::*;
    /// # let say = |_ctx: StepContext, n: u32| async move { Ok(n) };
    /// let flow = Workflow::named("w").input::<u32>().branch(
    ///     "is_large",
    ///     |total: &u32| *total > 1_000,
    ///     |large| large.step_fn("review", say),
    ///     |small| small,
    /// );
    /// # flow.build().unwrap();
    /// ```
    pub fn branch<D>(
        self,
        name: impl AsRef<str>,
        condition: impl Fn(&C) -> bool + Send + Sync + 'static,
        then: impl FnOnce(WorkflowBuilder<C, C>) -> WorkflowBuilder<C, D>,
        otherwise: impl FnOnce(WorkflowBuilder<C, C>) -> WorkflowBuilder<C, D>,
    ) -> WorkflowBuilder<I, D>
    where
        C: DeserializeOwned + Send + 'static,
    {
        self.choose(name, condition, |arms| arms.arm("true", then).arm("false", otherwise))
    }

    /// Goes on in one of several ways, by the word that a step of that name gives for what is there so far. A word that no
    /// arm has fails the run.
    ///
    /// ```
    /// # use stepwell::prelude::*;
    /// # let say = |_ctx: StepContext, n: u32| async move { Ok(n) };
    /// let flow = Workflow::named("w").input::<u32>().choose(
    ///     "route",
    ///     |weight: &u32| if *weight > 100 { "sea" } else { "air" },
    ///     |arms| arms.arm("sea", |f| f.step_fn("ship", say)).arm("air", |f| f.step_fn("fly", say)),
    /// );
    /// # flow.build().unwrap();
    /// ```
    pub fn choose<W, D>(
        mut self,
        name: impl AsRef<str>,
        by: impl Fn(&C) -> W + Send + Sync + 'static,
        arms: impl FnOnce(Arms<C, D>) -> Arms<C, D>,
    ) -> WorkflowBuilder<I, D>
    where
        C: DeserializeOwned + Send + 'static,
        W: Serialize + 'static,
    {
        let by = self.decision(name.as_ref(), by);
        let Arms { mut draft, arms, .. } =
            arms(Arms { draft: self.draft, arms: Vec::new(), types: PhantomData });
        let words: BTreeSet<&String> = arms.iter().map(|(word, _)| word).collect();
        if words.is_empty() || words.len() < arms.len() {
            let (workflow, step) = (draft.name.clone(), name.as_ref().to_owned());
            draft.refuse(BuildError::Arms { workflow, step });
        }
        draft.nodes.push(Node::Choose { by, arms });
        Self::of(draft).then()
    }

    /// Adds a step that is passed over when a condition on what is there so far does not hold; then it gives what it would
    /// have taken. The condition is a step of its own, `NAME.if`.
    pub fn step_if<S: Step<Input = C, Output = C>>(
        self,
        condition: impl Fn(&C) -> bool + Send + Sync + 'static,
        step: S,
    ) -> Self
    where
        C: DeserializeOwned + Send + 'static,
    {
        self.branch(format!("{}.if", S::NAME), condition, |then| then.step(step), |otherwise| otherwise)
    }

    /// Does something over and over, as long as a condition on what the last round gave holds; it is asked before the first
    /// round too. The condition is a step of that name. A run that wants more than `rounds_max` rounds fails.
    pub fn repeat_while(
        mut self,
        name: impl AsRef<str>,
        rounds_max: u32,
        condition: impl Fn(&C) -> bool + Send + Sync + 'static,
        body: impl FnOnce(WorkflowBuilder<C, C>) -> WorkflowBuilder<C, C>,
    ) -> Self
    where
        C: DeserializeOwned + Send + 'static,
    {
        let by = self.decision(name.as_ref(), condition);
        let (mut draft, body) = self.draft.within(body);
        draft.nodes.push(Node::Repeat { by, body, rounds_max });
        Self::of(draft)
    }

    /// Says how the step before is undone: by a step that takes what it gave. When the run fails for good, or someone asks
    /// with [`Verb::Undo`](crate::Verb::Undo), the steps that have their results are undone in reverse order of their
    /// completion, each under its own limits and recorded like any step; then the run ends. One that cannot be undone
    /// holds the run.
    pub fn compensate<S: Step<Input = C>>(self, undo: S) -> Self {
        let policy = undo.policy();
        self.add_undo(Some(S::NAME), policy, S::VERSION, Arc::new(Erased(undo)))
    }

    /// Like [`compensate`](Self::compensate), with a closure, as the step `NAME.undo`.
    pub fn compensate_fn<F, Fut>(self, undo: F) -> Self
    where
        F: Fn(StepContext, C) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<()>> + Send + 'static,
        C: DeserializeOwned + Send + 'static,
    {
        self.add_undo(None, StepPolicy::default(), 1, Arc::new(StepFn::new(undo)))
    }

    fn add_undo(mut self, name: Option<&str>, policy: StepPolicy, version: u32, code: SharedStep) -> Self {
        let Some(Node::Step(step)) = self.draft.nodes.last() else {
            let workflow = self.draft.name.clone();
            self.draft.refuse(BuildError::NothingToUndo { workflow });
            return self;
        };
        let step = step.0;
        let of_step = format!("{}.undo", self.draft.steps[step].0.name);
        let undo = self.draft.add(name.unwrap_or(&of_step), policy, code);
        self.draft.steps[undo.0].0.version = version;
        self.draft.steps[step].0.undo = Some(undo);
        self
    }

    /// Lets time pass, by the store's clock. A run that sleeps costs no thread and no lease, however long; when its time
    /// came while no worker was there, it goes on as soon as one is.
    pub fn sleep(mut self, name: impl AsRef<str>, time: Duration) -> Self {
        let step = self.draft.add(name.as_ref(), StepPolicy::default(), Arc::new(Passive));
        self.draft.nodes.push(Node::Sleep { step, until: Until::After(ms(time)) });
        self
    }

    /// Lets time pass until the time that a step, `NAME.at`, gives for what is there so far.
    pub fn sleep_until(
        mut self,
        name: impl AsRef<str>,
        until: impl Fn(&C) -> Timestamp + Send + Sync + 'static,
    ) -> Self
    where
        C: DeserializeOwned + Send + 'static,
    {
        let by = self.decision(&format!("{}.at", name.as_ref()), until);
        let step = self.draft.add(name.as_ref(), StepPolicy::default(), Arc::new(Passive));
        self.draft.nodes.push(Node::Sleep { step, until: Until::Said(by) });
        self
    }

    /// Waits for a signal of that name, for ever, and gives what is there so far together with what the signal says. A
    /// signal that came before counts. Send it with [`Engine::signal`](crate::Engine::signal).
    pub fn wait_for<T: DeserializeOwned>(self, signal: impl AsRef<str>) -> WorkflowBuilder<I, (C, T)> {
        self.add_wait(signal.as_ref(), None).then()
    }

    /// Like [`wait_for`](Self::wait_for), for a limited time; after it, without what a signal says.
    pub fn wait_for_within<T: DeserializeOwned>(
        self,
        signal: impl AsRef<str>,
        time: Duration,
    ) -> WorkflowBuilder<I, (C, Option<T>)> {
        self.add_wait(signal.as_ref(), Some(ms(time))).then()
    }

    /// Waits, under a name, for whichever of several signals comes first, for a limited time or for ever, and gives what is
    /// there so far together with it; without one when the time was over. For all of several put one wait into each branch of
    /// [`both`](Self::both).
    pub fn wait_any(
        mut self,
        name: impl AsRef<str>,
        signals: &[&str],
        time: impl Into<Option<Duration>>,
    ) -> WorkflowBuilder<I, (C, Option<Heard>)> {
        let step = self.draft.add(name.as_ref(), StepPolicy::default(), Arc::new(Passive));
        let named: Vec<Name> = signals.iter().filter_map(|signal| self.draft.name(signal)).collect();
        let distinct: BTreeSet<&Name> = named.iter().collect();
        if distinct.len() < 2 || distinct.len() < signals.len() {
            let (workflow, step) = (self.draft.name.clone(), name.as_ref().to_owned());
            self.draft.refuse(BuildError::Signals { workflow, step });
        }
        self.draft.nodes.push(Node::Wait { step, signals: named, timeout_ms: time.into().map(ms) });
        self.then()
    }

    fn add_wait(mut self, signal: &str, timeout_ms: Option<u64>) -> Self {
        let step = self.draft.add(signal, StepPolicy::default(), Arc::new(Passive));
        let signal = self.draft.steps[step.0].0.name.clone();
        self.draft.nodes.push(Node::Wait { step, signals: vec![signal], timeout_ms });
        self
    }

    /// Runs a workflow as a run of its own, the child of this one, with what is there so far, and goes on with its result. The
    /// child has its own journal, limits and workers; its id is made of those of the run and of `name`. A child that is held
    /// holds nothing here: the run waits. One that ended without a result fails the run, and a `retry` of either goes on where
    /// the child failed. When the run ends first, the child is cancelled unless [`ChildRun::on_close`] says otherwise.
    ///
    /// ```
    /// # use stepwell::prelude::*;
    /// # let say = |_ctx: StepContext, n: u32| async move { Ok(n) };
    /// let ship = Workflow::named("ship").input::<u32>().step_fn("pack", say).build()?;
    /// let order = Workflow::named("order").input::<u32>().child("shipment", &ship).build()?;
    /// # Ok::<(), stepwell::BuildError>(())
    /// ```
    pub fn child<D>(
        mut self,
        name: impl AsRef<str>,
        child: impl Into<ChildRun<C, D>>,
    ) -> WorkflowBuilder<I, D> {
        let code = Arc::new(ChildNode(child.into().plan));
        let index = self.draft.add(name.as_ref(), StepPolicy::default().effect(Effect::Idempotent), code);
        self.draft.nodes.push(Node::Step(index));
        self.then()
    }

    /// Leaves a step to someone outside: another process, a service, a person. It has no code here; whoever does it names it by
    /// its [`Token`](crate::Token) and tells how it ended with [`Engine::report`](crate::Engine::report). A failure, and
    /// silence for `within`, is followed by what the step's policy says.
    pub fn external<D>(
        mut self,
        name: impl AsRef<str>,
        within: impl Into<Option<Duration>>,
    ) -> WorkflowBuilder<I, D> {
        let code = Arc::new(Outside { within_ms: within.into().map(ms) });
        let index = self.draft.add(name.as_ref(), StepPolicy::default(), code);
        self.draft.nodes.push(Node::Step(index));
        self.then()
    }

    /// Goes on with the output of an earlier step in place of what is there so far: with a list that was made before, for
    /// instance, to map over it. The step must stand before this, outside maps and loops.
    pub fn recall<S: Step>(self) -> WorkflowBuilder<I, S::Output> {
        self.recall_of(S::NAME)
    }

    /// Like [`recall`](Self::recall), of a step that was added under this name.
    pub fn recall_of<D>(mut self, step: &str) -> WorkflowBuilder<I, D> {
        match self.draft.steps.iter().position(|(spec, _)| spec.name.as_str() == step) {
            Some(index) => self.draft.nodes.push(Node::Recall { step: StepIndex(index) }),
            None => {
                let (workflow, step) = (self.draft.name.clone(), step.to_owned());
                self.draft.refuse(BuildError::NothingToRecall { workflow, step });
            }
        }
        self.then()
    }

    /// Goes on with what another workflow does, as if its steps stood here. Their names must be new.
    pub fn include<D>(self, workflow: &Workflow<C, D>) -> WorkflowBuilder<I, D> {
        self.add_included("", workflow)
    }

    /// Like [`include`](Self::include), with the names of its steps behind `prefix.`, so that it can stand here twice.
    pub fn include_as<D>(self, prefix: &str, workflow: &Workflow<C, D>) -> WorkflowBuilder<I, D> {
        self.add_included(&format!("{prefix}."), workflow)
    }

    fn add_included<D>(mut self, prefix: &str, workflow: &Workflow<C, D>) -> WorkflowBuilder<I, D> {
        self.draft.include(prefix, &workflow.definition);
        self.then()
    }

    /// A step that decides something about what is there so far.
    fn decision<W>(&mut self, name: &str, decide: impl Fn(&C) -> W + Send + Sync + 'static) -> StepIndex
    where
        C: DeserializeOwned + Send + 'static,
        W: Serialize + 'static,
    {
        self.draft.add(name, StepPolicy::default(), Arc::new(Decision::new(decide)))
    }

    fn of(draft: Draft) -> Self {
        Self { draft, types: PhantomData }
    }

    /// Sets the limits of the step before, in place of its own; after `parallel` and the like, of all steps in it.
    pub fn policy(mut self, policy: StepPolicy) -> Self {
        let steps = self.draft.nodes.last().map(Node::steps).unwrap_or_default();
        if steps.is_empty() {
            let workflow = self.draft.name.clone();
            self.draft.refuse(BuildError::PolicyBeforeStep { workflow });
        }
        for step in steps {
            self.draft.steps[step.0].0.policy = policy;
        }
        self
    }

    /// Makes the definition.
    ///
    /// # Errors
    /// [`BuildError`] says what is wrong with it and what to do.
    pub fn build(self) -> Result<Workflow<I, C>, BuildError> {
        Ok(Workflow { definition: self.draft.finish()?, types: PhantomData })
    }

    fn then<D>(self) -> WorkflowBuilder<I, D> {
        WorkflowBuilder::of(self.draft)
    }
}

impl<I, T> WorkflowBuilder<I, Vec<T>> {
    /// Runs a step for each item of the list that is there so far, at most `concurrency` at once, and gives the list
    /// of their outputs in the order of the items. When an item fails for good no further ones are started.
    pub fn map<S: Step<Input = T>>(self, step: S, concurrency: u32) -> WorkflowBuilder<I, Vec<S::Output>> {
        self.add_map(step, concurrency, None)
    }

    /// Like [`map`](Self::map), but goes on when items fail, as many as `tolerance` allows, and gives what became of
    /// each.
    pub fn map_tolerant<S: Step<Input = T>>(
        self,
        step: S,
        concurrency: u32,
        tolerance: Tolerance,
    ) -> WorkflowBuilder<I, Vec<ItemResult<S::Output>>> {
        self.add_map(step, concurrency, Some(tolerance))
    }

    /// Runs a step for each item of the list that is there so far, one after the other; see [`map`](Self::map).
    pub fn for_each<S: Step<Input = T>>(self, step: S) -> WorkflowBuilder<I, Vec<S::Output>> {
        self.map(step, 1)
    }

    /// Like [`map`](Self::map), with several steps for each item. Of at most `concurrency` items a step runs at once; one
    /// that sleeps or waits does not count.
    ///
    /// ```
    /// # use stepwell::prelude::*;
    /// # let say = |_ctx: StepContext, n: u32| async move { Ok(n) };
    /// let flow = Workflow::named("w")
    ///     .input::<Vec<u32>>()
    ///     .map_flow(8, |photo| photo.step_fn("shrink", say).step_fn("upload", say));
    /// # flow.build().unwrap();
    /// ```
    pub fn map_flow<D>(
        self,
        concurrency: u32,
        body: impl FnOnce(WorkflowBuilder<T, T>) -> WorkflowBuilder<T, D>,
    ) -> WorkflowBuilder<I, Vec<D>> {
        self.add_map_flow(body, concurrency, None).then()
    }

    /// Says how people call the items of the `map` that comes next: the history, progress and errors show their names beside
    /// their numbers. The names are recorded before the first item begins, as the output of a step of this name.
    ///
    /// ```
    /// # use stepwell::prelude::*;
    /// # let say = |_ctx: StepContext, n: u32| async move { Ok(n) };
    /// let flow = Workflow::named("w")
    ///     .input::<Vec<u32>>()
    ///     .name_items("photos", |photo: &u32| format!("IMG_{photo:04}"))
    ///     .map_flow(8, |photo| photo.step_fn("shrink", say));
    /// # flow.build().unwrap();
    /// ```
    pub fn name_items(
        mut self,
        name: impl AsRef<str>,
        called: impl Fn(&T) -> String + Send + Sync + 'static,
    ) -> Self
    where
        T: DeserializeOwned + Send + 'static,
    {
        let names = self.draft.add(
            name.as_ref(),
            StepPolicy::default(),
            Arc::new(Decision::new(move |items: &Vec<T>| items.iter().map(&called).collect::<Vec<String>>())),
        );
        self.draft.names = Some(names);
        self
    }

    /// Like [`map_flow`](Self::map_flow), but goes on when items fail, as many as `tolerance` allows, and gives what became of
    /// each.
    pub fn map_flow_tolerant<D>(
        self,
        concurrency: u32,
        tolerance: Tolerance,
        body: impl FnOnce(WorkflowBuilder<T, T>) -> WorkflowBuilder<T, D>,
    ) -> WorkflowBuilder<I, Vec<ItemResult<D>>> {
        self.add_map_flow(body, concurrency, Some(tolerance)).then()
    }

    fn add_map<S: Step<Input = T>, D>(
        self,
        step: S,
        concurrency: u32,
        tolerance: Option<Tolerance>,
    ) -> WorkflowBuilder<I, D> {
        self.add_map_flow(|item| item.step(step), concurrency, tolerance).then()
    }

    fn add_map_flow<D>(
        self,
        body: impl FnOnce(WorkflowBuilder<T, T>) -> WorkflowBuilder<T, D>,
        concurrency: u32,
        tolerance: Option<Tolerance>,
    ) -> Self {
        let mut draft = self.draft;
        let names = draft.names.take();
        let (mut draft, body) = draft.within(body);
        if !(1..=MAP_CONCURRENCY_MAX).contains(&concurrency) {
            let steps = body.iter().flat_map(Node::steps);
            let names: Vec<&str> = steps.map(|step| draft.steps[step.0].0.name.as_str()).collect();
            let (workflow, step) = (draft.name.clone(), names.join(", "));
            draft.refuse(BuildError::Concurrency { workflow, step });
        }
        draft.nodes.push(Node::Map { body, concurrency, tolerance, names });
        Self::of(draft)
    }
}

/// The arms of a choice, under construction.
#[must_use]
pub struct Arms<C, D> {
    draft: Draft,
    arms: Vec<(String, Sequence)>,
    types: PhantomData<fn(C) -> D>,
}

impl<C, D> fmt::Debug for Arms<C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.arms.iter().map(|(word, _)| word)).finish()
    }
}

impl<C, D> Arms<C, D> {
    /// Adds what is done when the word is this one.
    pub fn arm(
        self,
        word: impl Into<String>,
        body: impl FnOnce(WorkflowBuilder<C, C>) -> WorkflowBuilder<C, D>,
    ) -> Self {
        let (draft, body) = self.draft.within(body);
        let mut arms = self.arms;
        arms.push((word.into(), body));
        Self { draft, arms, types: PhantomData }
    }
}

/// Steps that run at the same time on the same input: a tuple of two to eight.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tuple of steps that all take `{Input}`",
    note = "`parallel` takes a tuple of two to eight steps whose `Input` is the `Output` of the step before"
)]
pub trait Branches<Input> {
    /// The tuple of their outputs.
    type Output;

    #[doc(hidden)]
    fn into_steps(self) -> Vec<Branch>;
}

/// A step of a `parallel` node: name, limits and code.
#[doc(hidden)]
pub struct Branch {
    name: &'static str,
    policy: StepPolicy,
    version: u32,
    step: SharedStep,
}

impl fmt::Debug for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl Branch {
    fn new<S: Step>(step: S) -> Self {
        Self { name: S::NAME, policy: step.policy(), version: S::VERSION, step: Arc::new(Erased(step)) }
    }
}

macro_rules! branches {
    ($($step:ident),+) => {
        impl<Input, $($step: Step<Input = Input>),+> Branches<Input> for ($($step,)+) {
            type Output = ($($step::Output,)+);

            fn into_steps(self) -> Vec<Branch> {
                #[allow(non_snake_case, reason = "one binding for each type")]
                let ($($step,)+) = self;
                vec![$(Branch::new($step)),+]
            }
        }
    };
}

branches!(A, B);
branches!(A, B, C);
branches!(A, B, C, D);
branches!(A, B, C, D, E);
branches!(A, B, C, D, E, F);
branches!(A, B, C, D, E, F, G);
branches!(A, B, C, D, E, F, G, H);
