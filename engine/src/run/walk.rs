//! The walk through the nodes of a definition: where each sequence, branch, item and round is, and what it does next.

use std::collections::HashMap;

use stepwell_contract::{Name, Payload, Timestamp};

use crate::run::actor::Actor;
use crate::run::decide::{PlanError, Rest, Start};
use crate::run::event::{Event, StepSkipped, StepWoken, TimerFired, TimerStarted, WaitEnded, WaitStarted};
use crate::run::items::Items;
use crate::run::output::{list, word};
use crate::run::place::{Path, Place};
use crate::run::state::{Signal, State, StepState, StepStatus};
use crate::run::suspended::heard;
use crate::run::trouble;
use crate::run::waiting::WokenBy;
use crate::workflow::failure::Failure;
use crate::workflow::graph::{Graph, Join, Node, StepIndex, Until};
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
    pub(super) tolerable: Option<Failure>,
}

/// One look at a run: what it reads, and what it has decided so far.
pub(crate) struct Walk<'a> {
    graph: &'a Graph,
    limits: &'a [Effective],
    pub(super) state: &'a State,
    pub(super) now: Timestamp,
    pub(super) starts_max: usize,
    pub(super) events: Vec<Event>,
    pub(super) starts: Vec<Start>,
    pub(super) timer: Option<Timestamp>,
    /// Sleeps and waits that begin with this look, and when they end.
    begun: HashMap<Place, Option<Timestamp>>,
    /// How many signals of each name waits take with this look, those that came first.
    taken: HashMap<&'a Name, usize>,
    /// Steps left to someone outside, who has said nothing in time.
    pub(super) overdue: Vec<Place>,
    /// Whether more could be started but for `starts_max`.
    pub(super) lacks_room: bool,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        graph: &'a Graph,
        limits: &'a [Effective],
        state: &'a State,
        now: Timestamp,
        starts_max: usize,
    ) -> Self {
        let (events, starts, begun, taken, overdue) = Default::default();
        let (timer, lacks_room) = (None, false);
        Self {
            graph,
            limits,
            state,
            now,
            starts_max,
            events,
            starts,
            timer,
            begun,
            taken,
            overdue,
            lacks_room,
        }
    }

    /// What was decided: events, starts, and when there is something to do again.
    pub(crate) fn decided(self) -> (Vec<Event>, Vec<Start>, Option<Timestamp>) {
        (self.events, self.starts, self.timer)
    }

    pub(super) fn name(&self, step: StepIndex) -> &'a Name {
        &self.graph.step(step).name
    }

    fn place(&self, step: StepIndex, path: &Path) -> Place {
        Place { step: self.name(step).clone(), item: path.clone() }
    }

    /// Whether one more attempt may start. Where none may, it is noted that one was to.
    pub(super) fn has_room(&mut self) -> bool {
        let has_room = self.starts.len() < self.starts_max;
        self.lacks_room |= !has_room;
        has_room
    }

    pub(super) fn wait_until(&mut self, at: Timestamp) -> At {
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
                        failure.filter(|failure| trouble::is_tolerable(failure, limits.effect.value));
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
                StepStatus::Suspended => match self.suspended(&place, present) {
                    None => present.attempt + 1,
                    Some(at) => return at,
                },
            },
        };
        if !may_start || !self.has_room() {
            return At::Wants;
        }
        self.starts.push(Start { step, place, attempt, input: given.clone() });
        At::Busy
    }

    /// A step that waits in the middle of its work; `None` when what it waits for has come.
    fn suspended(&mut self, place: &Place, step: &StepState) -> Option<At> {
        // A second look at a step that has been woken with this one.
        if self.begun.contains_key(place) {
            return None;
        }
        let waiting = step.waiting.as_ref()?;
        let ended = |name: &&String| step.children.get(*name).is_some_and(|child| child.ended.is_some());
        let by = if let Some((name, signal)) = self.take_signal(&waiting.signals) {
            WokenBy::Signal { id: signal.id.clone(), name: name.clone() }
        } else if let Some(child) = waiting.children.iter().find(ended) {
            WokenBy::Child(child.clone())
        } else if let Some(until) = waiting.until.filter(|until| *until > self.now || waiting.outside) {
            if until <= self.now {
                self.overdue.push(place.clone());
            }
            self.wait_until(until);
            return Some(if waiting.is_on_work() { At::Busy } else { At::Idle });
        } else if waiting.until.is_some() {
            WokenBy::Time
        } else {
            return Some(if waiting.is_on_work() { At::Busy } else { At::Idle });
        };
        self.begun.insert(place.clone(), None);
        self.events.push(StepWoken { place: place.clone(), part: waiting.part.clone(), by }.into());
        None
    }

    /// The first signal of one of these names that no other wait takes with this look.
    fn take_signal(&mut self, names: &[Name]) -> Option<(&'a Name, &'a Signal)> {
        let state = self.state;
        names.iter().find_map(|name| {
            let (name, came) = state.signals.get_key_value(name)?;
            let taken = self.taken.entry(name).or_default();
            let signal = came.get(*taken)?;
            *taken += 1;
            Some((name, signal))
        })
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
        (signals, timeout_ms): (&[Name], Option<u64>),
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
                        .push(WaitStarted { place: place.clone(), signals: signals.to_vec(), until }.into());
                    until
                }
            },
        };
        if let Some((name, came)) = self.take_signal(signals) {
            self.events.push(WaitEnded { place, signal: Some(came.id.clone()) }.into());
            return match signals.len() {
                1 => with(given, &came.payload),
                _ => with(given, &heard(name, &came.payload)),
            };
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

    pub(super) fn at(path: Path, given: Payload) -> Self {
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

    pub(super) fn go(
        &mut self,
        nodes: &[Node],
        may_start: bool,
        walk: &mut Walk<'_>,
    ) -> Result<At, PlanError> {
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
            Node::Map { body, concurrency, tolerance, names } => {
                if let (None, Some(names)) = (&self.inner, names) {
                    match walk.step(*names, &self.path, &self.given, may_start) {
                        At::Done(_) => {}
                        other => return Ok(other),
                    }
                }
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
            Node::Wait { step, signals, timeout_ms } => {
                walk.wait(*step, (signals, *timeout_ms), &self.path, &self.given)
            }
            Node::Recall { step } => {
                let place = Place::of(walk.name(*step).clone());
                let output = walk.state.step(&place).and_then(|step| step.output.clone());
                output.map(At::Done).ok_or_else(|| PlanError::NothingToRecall { step: place })
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
                    let (actor, output, version) = (Actor::Engine, None, 1);
                    walk.events.push(StepSkipped { place, reason, actor, output, version }.into());
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
