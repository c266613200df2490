//! The walk through the nodes of a definition: where each sequence, branch, item and round is, and what it does next.
//!
//! A map looks only at the items in which something has happened since, so that one of ten thousand costs one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use stepwell_contract::{MessageId, Name, Payload, Timestamp};

use crate::run::actor::Actor;
use crate::run::decide::{PlanError, Rest, Start};
use crate::run::event::{Event, ItemFailed, StepSkipped, TimerFired, TimerStarted, WaitEnded, WaitStarted};
use crate::run::output::{failed, items, list, ok, word};
use crate::run::place::{Path, Place};
use crate::run::state::{Signal, State, StepStatus};
use crate::run::trouble;
use crate::workflow::failure::Failure;
use crate::workflow::graph::{Graph, Join, Node, StepIndex, Tolerance, Until};
use crate::workflow::policy::Effective;

/// Where a part of the walk is.
#[derive(Debug)]
pub(crate) enum At {
    /// It has its output.
    Done(Payload),
    /// A step of it runs or is started.
    Busy,
    /// It waits for a time or for something from outside.
    Idle,
    /// It could start a step if there were room.
    Wants,
    /// It cannot go on.
    Stuck(Box<Trouble>),
}

/// What stands in the way.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// How the run comes to rest because of it.
    pub(crate) rest: Rest,
    /// The failure, where a map may tolerate it.
    tolerable: Option<Failure>,
}

/// One look at a run: what it reads, and what it has decided so far.
pub(crate) struct Walk<'a> {
    graph: &'a Graph,
    limits: &'a [Effective],
    state: &'a State,
    now: Timestamp,
    starts_max: usize,
    events: Vec<Event>,
    starts: Vec<Start>,
    timer: Option<Timestamp>,
    /// Sleeps and waits that begin with this look, and when they end.
    begun: HashMap<Place, Option<Timestamp>>,
    /// Signals that waits take with this look.
    taken: Vec<MessageId>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        graph: &'a Graph,
        limits: &'a [Effective],
        state: &'a State,
        now: Timestamp,
        starts_max: usize,
    ) -> Self {
        let (events, starts, begun, taken) = Default::default();
        Self { graph, limits, state, now, starts_max, events, starts, timer: None, begun, taken }
    }

    /// What was decided: events, starts, and when there is something to do again.
    pub(crate) fn decided(self) -> (Vec<Event>, Vec<Start>, Option<Timestamp>) {
        (self.events, self.starts, self.timer)
    }

    fn name(&self, step: StepIndex) -> &'a Name {
        &self.graph.step(step).name
    }

    fn place(&self, step: StepIndex, path: &Path) -> Place {
        Place { step: self.name(step).clone(), item: path.clone() }
    }

    fn wait_until(&mut self, at: Timestamp) -> At {
        self.timer = Some(self.timer.map_or(at, |timer| timer.min(at)));
        At::Idle
    }

    /// A step: it is started if it is its turn and there is room.
    pub(crate) fn step(&mut self, step: StepIndex, path: &Path, given: &Payload, may_start: bool) -> At {
        let place = self.place(step, path);
        let limits = &self.limits[step.0];
        let attempt = match self.state.step(&place) {
            None => self.state.attempts_before(&place) + 1,
            Some(present) => match present.status {
                StepStatus::Running => return At::Busy,
                StepStatus::Succeeded | StepStatus::Skipped => {
                    return At::Done(present.output.as_ref().unwrap_or(given).clone());
                }
                StepStatus::Failed => {
                    let rest = trouble::of_failed(limits, &place, present);
                    let failure = present.failure.clone();
                    let tolerable =
                        failure.filter(|failure| !trouble::is_in_doubt(failure, limits.effect.value));
                    return At::Stuck(Box::new(Trouble { rest, tolerable }));
                }
                StepStatus::Interrupted(reason) => {
                    if let Some(rest) = trouble::of_interrupted(limits, &place, present, reason) {
                        return At::Stuck(Box::new(Trouble { rest, tolerable: None }));
                    }
                    present.attempt + 1
                }
                StepStatus::Backoff(at) if at > self.now => return self.wait_until(at),
                StepStatus::Backoff(_) | StepStatus::Again => present.attempt + 1,
                // Whether names still mean the same is asked before a run is taken on.
                StepStatus::Sleeping(_) | StepStatus::Awaiting(_) => return At::Idle,
            },
        };
        if !may_start || self.starts.len() >= self.starts_max {
            return At::Wants;
        }
        self.starts.push(Start { step, place, attempt, input: given.clone() });
        At::Busy
    }

    fn sleep(&mut self, step: StepIndex, until: Timestamp, path: &Path, given: &Payload) -> At {
        let place = self.place(step, path);
        let wake_at = match self.state.step(&place).map(|step| step.status) {
            Some(StepStatus::Sleeping(wake_at)) => wake_at,
            Some(_) => return At::Done(given.clone()),
            None => {
                if self.begun.insert(place.clone(), None).is_none() {
                    self.events.push(TimerStarted { place: place.clone(), wake_at: until }.into());
                }
                until
            }
        };
        if wake_at > self.now {
            return self.wait_until(wake_at);
        }
        self.events.push(TimerFired { place }.into());
        At::Done(given.clone())
    }

    fn wait(
        &mut self,
        step: StepIndex,
        (signal, timeout_ms): (&Name, Option<u64>),
        path: &Path,
        given: &Payload,
    ) -> Result<At, PlanError> {
        let place = self.place(step, path);
        let present = self.state.step(&place);
        let until = match present.map(|step| step.status) {
            Some(StepStatus::Awaiting(until)) => until,
            Some(_) => {
                let said = present.and_then(|step| step.output.clone()).unwrap_or_else(Payload::null);
                return with(given, &said);
            }
            None => match self.begun.get(&place) {
                Some(until) => *until,
                None => {
                    let until = timeout_ms.map(|ms| self.now.plus_ms(ms));
                    self.begun.insert(place.clone(), until);
                    self.events
                        .push(WaitStarted { place: place.clone(), signal: signal.clone(), until }.into());
                    until
                }
            },
        };
        let came = self.state.signals.get(signal).into_iter().flatten();
        let came: Option<&Signal> = came.into_iter().find(|came| !self.taken.contains(&came.id));
        if let Some(came) = came {
            self.taken.push(came.id.clone());
            self.events.push(WaitEnded { place, signal: Some(came.id.clone()) }.into());
            return with(given, &came.payload);
        }
        match until {
            Some(until) if until <= self.now => {
                self.events.push(WaitEnded { place, signal: None }.into());
                with(given, &Payload::null())
            }
            Some(until) => Ok(self.wait_until(until)),
            None => Ok(At::Idle),
        }
    }

    fn strange(&self, step: StepIndex, path: &Path, wanted: &'static str, given: &Payload) -> PlanError {
        PlanError::Strange {
            step: self.place(step, path),
            wanted,
            given: given.text().chars().take(80).collect(),
        }
    }
}

/// The list of what flowed in and what a signal said.
fn with(given: &Payload, said: &Payload) -> Result<At, PlanError> {
    Ok(At::Done(list(vec![given.text().to_owned(), said.text().to_owned()])?))
}

fn fails(place: Place, code: &str, message: String) -> At {
    let failure = Failure::permanent(code, message);
    let rest = Rest::Fail { place: Some(place), failure: failure.clone() };
    At::Stuck(Box::new(Trouble { rest, tolerable: Some(failure) }))
}

/// How far a sequence is.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Its path, as far as it is in maps and loops.
    path: Path,
    node: usize,
    /// What flows into the present node.
    given: Payload,
    inner: Option<Inner>,
}

/// How far a node is that has sequences in it.
#[derive(Debug)]
enum Inner {
    Parallel(Vec<Branch>),
    Map(Box<Items>),
    Chosen(usize, Box<Flow>),
    Round(u32, Option<Box<Flow>>),
}

#[derive(Debug)]
enum Branch {
    Open(Flow),
    Done(Payload),
}

impl Flow {
    /// The outermost sequence.
    pub(crate) fn new(given: Payload) -> Self {
        Self::at(Path::root(), given)
    }

    fn at(path: Path, given: Payload) -> Self {
        Self { path, node: 0, given, inner: None }
    }

    /// How many of its nodes have their output.
    pub(crate) fn done(&self) -> usize {
        self.node
    }

    /// Goes on as far as it can.
    pub(crate) fn advance(&mut self, nodes: &[Node], walk: &mut Walk<'_>) -> Result<At, PlanError> {
        self.go(nodes, true, walk)
    }

    fn go(&mut self, nodes: &[Node], may_start: bool, walk: &mut Walk<'_>) -> Result<At, PlanError> {
        while let Some(node) = nodes.get(self.node) {
            match self.go_node(node, may_start, walk)? {
                At::Done(output) => {
                    self.node += 1;
                    self.given = output;
                    self.inner = None;
                }
                other => return Ok(other),
            }
        }
        Ok(At::Done(self.given.clone()))
    }

    fn go_node(&mut self, node: &Node, may_start: bool, walk: &mut Walk<'_>) -> Result<At, PlanError> {
        match node {
            Node::Step(step) => Ok(walk.step(*step, &self.path, &self.given, may_start)),
            Node::Parallel { branches, join } => self.go_parallel(branches, *join, may_start, walk),
            Node::Map { body, concurrency, tolerance } => {
                let items = match &mut self.inner {
                    Some(Inner::Map(items)) => items,
                    inner => {
                        let items = Items::new(&self.path, &self.given, body, walk)?;
                        match inner.insert(Inner::Map(Box::new(items))) {
                            Inner::Map(items) => items,
                            _ => return Ok(At::Idle),
                        }
                    }
                };
                items.go(body, (*concurrency, *tolerance), may_start, walk)
            }
            Node::Choose { by, arms } => self.go_choose(*by, arms, may_start, walk),
            Node::Repeat { by, body, rounds_max } => self.go_repeat(*by, body, *rounds_max, may_start, walk),
            Node::Sleep { step, until } => {
                let until = match until {
                    Until::After(ms) => walk.now.plus_ms(*ms),
                    Until::At(at) => *at,
                    Until::Said(by) => match walk.step(*by, &self.path, &self.given, may_start) {
                        At::Done(said) => {
                            let at = said.decode::<i64>();
                            Timestamp(at.map_err(|_| {
                                walk.strange(*by, &self.path, "a time in milliseconds", &said)
                            })?)
                        }
                        other => return Ok(other),
                    },
                };
                Ok(walk.sleep(*step, until, &self.path, &self.given))
            }
            Node::Wait { step, signal, timeout_ms } => {
                walk.wait(*step, (signal, *timeout_ms), &self.path, &self.given)
            }
        }
    }

    fn go_parallel(
        &mut self,
        bodies: &[Vec<Node>],
        join: Join,
        may_start: bool,
        walk: &mut Walk<'_>,
    ) -> Result<At, PlanError> {
        let open = || bodies.iter().map(|_| Branch::Open(Self::at(self.path.clone(), self.given.clone())));
        if self.inner.is_none() {
            self.inner = Some(Inner::Parallel(open().collect()));
        }
        let Some(Inner::Parallel(branches)) = &mut self.inner else { return Ok(At::Idle) };
        let (mut stuck, mut busy, mut wants, mut idle) = (None, false, false, false);
        for (branch, body) in branches.iter_mut().zip(bodies) {
            let Branch::Open(flow) = branch else { continue };
            match flow.go(body, may_start, walk)? {
                At::Done(output) => *branch = Branch::Done(output),
                At::Busy => busy = true,
                At::Idle => idle = true,
                At::Wants => wants = true,
                At::Stuck(trouble) if join == Join::FailFast => return Ok(At::Stuck(trouble)),
                At::Stuck(trouble) => stuck = stuck.or(Some(trouble)),
            }
        }
        Ok(match stuck {
            _ if busy => At::Busy,
            _ if wants => At::Wants,
            _ if idle => At::Idle,
            Some(trouble) => At::Stuck(trouble),
            None => {
                let done = branches.iter().filter_map(|branch| match branch {
                    Branch::Done(output) => Some(output.text().to_owned()),
                    Branch::Open(_) => None,
                });
                At::Done(list(done.collect())?)
            }
        })
    }

    fn go_choose(
        &mut self,
        by: StepIndex,
        arms: &[(String, Vec<Node>)],
        may_start: bool,
        walk: &mut Walk<'_>,
    ) -> Result<At, PlanError> {
        if self.inner.is_none() {
            let said = match walk.step(by, &self.path, &self.given, may_start) {
                At::Done(said) => said,
                other => return Ok(other),
            };
            let word = word(&said).ok_or_else(|| walk.strange(by, &self.path, "a word", &said))?;
            let Some(arm) = arms.iter().position(|(known, _)| *known == word) else {
                let known: Vec<&str> = arms.iter().map(|(known, _)| known.as_str()).collect();
                let message = format!("no arm is named {word:?}; there is {}", known.join(", "));
                return Ok(fails(walk.place(by, &self.path), "choose.no_arm", message));
            };
            // A lone step with nothing in its place shows as skipped.
            if let [(_, one), (_, other)] = arms
                && let ([Node::Step(step)], []) | ([], [Node::Step(step)]) =
                    (one.as_slice(), other.as_slice())
                && arms[arm].1.is_empty()
            {
                let place = walk.place(*step, &self.path);
                if walk.state.step(&place).is_none() {
                    let reason = format!("{} said {word}", walk.name(by));
                    walk.events
                        .push(StepSkipped { place, reason, actor: Actor::Engine, output: None }.into());
                }
            }
            let flow = Self::at(self.path.clone(), self.given.clone());
            self.inner = Some(Inner::Chosen(arm, Box::new(flow)));
        }
        match &mut self.inner {
            Some(Inner::Chosen(arm, flow)) => flow.go(&arms[*arm].1, may_start, walk),
            _ => Ok(At::Idle),
        }
    }

    fn go_repeat(
        &mut self,
        by: StepIndex,
        body: &[Node],
        rounds_max: u32,
        may_start: bool,
        walk: &mut Walk<'_>,
    ) -> Result<At, PlanError> {
        loop {
            let inner = self.inner.get_or_insert(Inner::Round(0, None));
            let Inner::Round(round, flow) = inner else { return Ok(At::Idle) };
            let path = self.path.item(*round);
            let flow = match flow {
                Some(flow) => flow,
                None => {
                    let said = match walk.step(by, &path, &self.given, may_start) {
                        At::Done(said) => said,
                        other => return Ok(other),
                    };
                    match said.text() {
                        "false" => return Ok(At::Done(self.given.clone())),
                        "true" if *round >= rounds_max => {
                            let message = format!("{rounds_max} rounds are done and it wants another");
                            return Ok(fails(walk.place(by, &path), "repeat.rounds_max", message));
                        }
                        "true" => flow.insert(Box::new(Self::at(path, self.given.clone()))),
                        _ => return Err(walk.strange(by, &path, "true or false", &said)),
                    }
                }
            };
            match flow.go(body, may_start, walk)? {
                At::Done(output) => {
                    let next = *round + 1;
                    self.given = output;
                    self.inner = Some(Inner::Round(next, None));
                }
                other => return Ok(other),
            }
        }
    }

    /// Something happened at a place: looks there the next time.
    pub(crate) fn touch(&mut self, place: &Place, depth: usize) {
        match &mut self.inner {
            Some(Inner::Parallel(branches)) => {
                for branch in branches {
                    if let Branch::Open(flow) = branch {
                        flow.touch(place, depth);
                    }
                }
            }
            Some(Inner::Map(items)) => items.touch(place, depth),
            Some(Inner::Chosen(_, flow)) => flow.touch(place, depth),
            Some(Inner::Round(_, Some(flow))) => flow.touch(place, depth + 1),
            Some(Inner::Round(_, None)) | None => {}
        }
    }

    /// Something happened that may concern any part: looks everywhere the next time.
    pub(crate) fn touch_all(&mut self) {
        match &mut self.inner {
            Some(Inner::Parallel(branches)) => {
                for branch in branches {
                    if let Branch::Open(flow) = branch {
                        flow.touch_all();
                    }
                }
            }
            Some(Inner::Map(items)) => items.touch_all(),
            Some(Inner::Chosen(_, flow)) | Some(Inner::Round(_, Some(flow))) => flow.touch_all(),
            Some(Inner::Round(_, None)) | None => {}
        }
    }
}

/// How far the items of a map are.
#[derive(Debug)]
struct Items {
    path: Path,
    /// The first step of the body, by which the map is known.
    map: Option<Name>,
    given: Vec<Payload>,
    /// What became of those that have ended.
    ended: Vec<Option<Ended>>,
    ended_count: usize,
    failed_count: usize,
    open: BTreeMap<u32, Item>,
    /// How many have a step running.
    busy: usize,
    /// Those in which something has happened.
    touched: BTreeSet<u32>,
    /// Those that could start something if there were room.
    wants: BTreeSet<u32>,
    timers: BTreeSet<(Timestamp, u32)>,
    /// The first that has not begun.
    next: u32,
    stuck: Option<Box<Trouble>>,
}

#[derive(Debug)]
struct Item {
    flow: Flow,
    is_busy: bool,
    timer: Option<Timestamp>,
}

#[derive(Debug)]
enum Ended {
    Done(Payload),
    Failed(Failure),
}

impl Items {
    /// The items of a list, those in which anything was recorded as begun.
    fn new(path: &Path, list: &Payload, body: &[Node], walk: &Walk<'_>) -> Result<Self, PlanError> {
        let steps: Vec<StepIndex> = body.iter().flat_map(Node::steps).collect();
        let given = items(list).map_err(|source| {
            let step = steps.first().map(|step| walk.name(*step).to_string()).unwrap_or_default();
            PlanError::NotAList { step, source }
        })?;
        let level = path.numbers().len();
        let begun = steps.iter().filter_map(|step| walk.state.steps.get(walk.name(*step)));
        // Items begin in order: the last one of each step tells how many have.
        let begun = begun.filter_map(|group| {
            let last = group.within(path).filter_map(|(path, _)| path.numbers().get(level)).max();
            last.map(|last| last + 1)
        });
        let next = begun.max().unwrap_or(0).min(u32::try_from(given.len()).unwrap_or(u32::MAX));
        let mut items = Self {
            path: path.clone(),
            map: steps.first().map(|step| walk.name(*step).clone()),
            ended: given.iter().map(|_| None).collect(),
            given,
            ended_count: 0,
            failed_count: 0,
            open: BTreeMap::new(),
            busy: 0,
            touched: (0..next).collect(),
            wants: BTreeSet::new(),
            timers: BTreeSet::new(),
            next,
            stuck: None,
        };
        for nth in 0..next {
            match items.key(nth).and_then(|key| walk.state.failed_items.get(&key)) {
                Some(item) => {
                    items.failed_count += 1;
                    items.touched.remove(&nth);
                    items.end(nth, Ended::Failed(item.failure.clone()));
                }
                None => items.open(nth),
            }
        }
        Ok(items)
    }

    /// Under what the failure of an item is recorded.
    fn key(&self, nth: u32) -> Option<(Name, Path)> {
        Some((self.map.clone()?, self.path.item(nth)))
    }

    fn open(&mut self, nth: u32) {
        let flow = Flow::at(self.path.item(nth), self.given[nth as usize].clone());
        self.open.insert(nth, Item { flow, is_busy: false, timer: None });
    }

    fn go(
        &mut self,
        body: &[Node],
        (concurrency, tolerance): (u32, Option<Tolerance>),
        may_start: bool,
        walk: &mut Walk<'_>,
    ) -> Result<At, PlanError> {
        while let Some((at, nth)) = self.timers.first().copied()
            && at <= walk.now
        {
            self.timers.pop_first();
            self.touched.insert(nth);
        }
        let concurrency = concurrency as usize;
        let total = self.given.len();
        let has_room = |items: &Self, walk: &Walk<'_>| {
            may_start
                && items.stuck.is_none()
                && items.busy < concurrency
                && walk.starts.len() < walk.starts_max
        };
        while let Some(nth) = self.touched.pop_first() {
            let is_busy = self.open.get(&nth).is_some_and(|item| item.is_busy);
            let may_start = may_start && self.stuck.is_none() && (is_busy || self.busy < concurrency);
            self.go_item(nth, body, tolerance, may_start, walk)?;
        }
        while has_room(self, walk)
            && let Some(nth) = self.wants.pop_first()
        {
            self.go_item(nth, body, tolerance, true, walk)?;
        }
        while has_room(self, walk) && (self.next as usize) < total {
            let nth = self.next;
            self.next += 1;
            self.open(nth);
            self.go_item(nth, body, tolerance, true, walk)?;
        }
        if let Some((at, _)) = self.timers.first() {
            walk.wait_until(*at);
        }
        Ok(match &self.stuck {
            Some(trouble) => At::Stuck(trouble.clone()),
            None if self.ended_count == total => At::Done(self.output(tolerance.is_some())?),
            None if self.busy > 0 => At::Busy,
            None if !self.wants.is_empty() || (self.next as usize) < total => At::Wants,
            None => At::Idle,
        })
    }

    fn go_item(
        &mut self,
        nth: u32,
        body: &[Node],
        tolerance: Option<Tolerance>,
        may_start: bool,
        walk: &mut Walk<'_>,
    ) -> Result<(), PlanError> {
        let Some(item) = self.open.get_mut(&nth) else { return Ok(()) };
        if let Some(timer) = item.timer.take() {
            self.timers.remove(&(timer, nth));
        }
        self.wants.remove(&nth);
        self.busy -= usize::from(item.is_busy);
        item.is_busy = false;
        let outside = walk.timer.take();
        let at = item.flow.go(body, may_start, walk)?;
        item.timer = std::mem::replace(&mut walk.timer, outside);
        if let Some(timer) = item.timer {
            self.timers.insert((timer, nth));
        }
        match at {
            At::Busy => {
                item.is_busy = true;
                self.busy += 1;
            }
            At::Idle => {}
            At::Wants => {
                self.wants.insert(nth);
            }
            At::Done(output) => self.end(nth, Ended::Done(output)),
            At::Stuck(trouble) => match (tolerance, &trouble.tolerable) {
                (Some(tolerance), Some(failure)) => {
                    self.failed_count += 1;
                    if tolerance.is_exceeded(self.failed_count, self.given.len()) {
                        self.stuck.get_or_insert(trouble);
                    } else {
                        let failure = failure.clone();
                        if let Some((map, item)) = self.key(nth) {
                            let (at, failure) = (trouble.rest.place().cloned(), failure.clone());
                            walk.events.push(ItemFailed { map, item, at, failure }.into());
                        }
                        self.end(nth, Ended::Failed(failure));
                    }
                }
                _ => {
                    self.stuck.get_or_insert(trouble);
                }
            },
        }
        Ok(())
    }

    fn end(&mut self, nth: u32, ended: Ended) {
        if let Some(Item { timer: Some(timer), .. }) = self.open.remove(&nth) {
            self.timers.remove(&(timer, nth));
        }
        self.ended[nth as usize] = Some(ended);
        self.ended_count += 1;
    }

    fn output(&self, is_tolerant: bool) -> Result<Payload, PlanError> {
        let mut parts = Vec::with_capacity(self.ended.len());
        for ended in self.ended.iter().flatten() {
            parts.push(match ended {
                Ended::Done(output) if is_tolerant => ok(output),
                Ended::Done(output) => output.text().to_owned(),
                Ended::Failed(failure) => failed(failure).map_err(|error| PlanError::Output(error.into()))?,
            });
        }
        Ok(list(parts)?)
    }

    fn touch(&mut self, place: &Place, depth: usize) {
        let Some(nth) = place.item.numbers().get(depth) else { return };
        if let Some(item) = self.open.get_mut(nth) {
            self.touched.insert(*nth);
            item.flow.touch(place, depth + 1);
        }
    }

    fn touch_all(&mut self) {
        for (nth, item) in &mut self.open {
            self.touched.insert(*nth);
            item.flow.touch_all();
        }
    }
}
