//! The walk through the items of a map. It looks only at those in which something has happened since, so that one of ten
//! thousand costs one.

use std::collections::{BTreeMap, BTreeSet};

use stepwell_contract::{Name, Payload, Timestamp};

use crate::run::decide::PlanError;
use crate::run::event::ItemFailed;
use crate::run::output::{failed, items, list, ok};
use crate::run::place::{Path, Place};
use crate::run::walk::{At, Flow, Trouble, Walk};
use crate::workflow::failure::Failure;
use crate::workflow::graph::{Node, StepIndex, Tolerance};

/// How far the items of a map are.
#[derive(Debug)]
pub(super) struct Items {
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
    /// Whether no look has told yet which of those that have begun take up room.
    is_new: bool,
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
    pub(super) fn new(
        path: &Path,
        list: &Payload,
        body: &[Node],
        walk: &Walk<'_>,
    ) -> Result<Self, PlanError> {
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
            is_new: true,
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

    pub(super) fn go(
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
        let may_begin = |items: &Self| may_start && items.stuck.is_none() && items.busy < concurrency;
        // Whoever takes over a run finds items that take up room while they wait: what they leave is given away, not more.
        let is_new = std::mem::take(&mut self.is_new);
        while let Some(nth) = self.touched.pop_first() {
            let is_busy = self.open.get(&nth).is_some_and(|item| item.is_busy);
            let may_start =
                may_start && !is_new && self.stuck.is_none() && (is_busy || self.busy < concurrency);
            self.go_item(nth, body, tolerance, may_start, walk)?;
        }
        while may_begin(self)
            && !self.wants.is_empty()
            && walk.has_room()
            && let Some(nth) = self.wants.pop_first()
        {
            self.go_item(nth, body, tolerance, true, walk)?;
        }
        while may_begin(self) && (self.next as usize) < total && walk.has_room() {
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

    pub(super) fn touch(&mut self, place: &Place, depth: usize) {
        let Some(nth) = place.item.numbers().get(depth) else { return };
        if let Some(item) = self.open.get_mut(nth) {
            self.touched.insert(*nth);
            item.flow.touch(place, depth + 1);
        }
    }

    pub(super) fn touch_all(&mut self) {
        for (nth, item) in &mut self.open {
            self.touched.insert(*nth);
            item.flow.touch_all();
        }
    }
}
