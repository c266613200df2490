//! A program as a workflow of the real engine.

use std::time::Duration;

use serde_json::json;
use stepwell::prelude::*;
use stepwell::workflow::builder::WorkflowBuilder;
use stepwell::{BuildError, ChildRun, Heard, ItemResult, OnClose, Wait, Woken};
use stepwell_contract::Timestamp;

use crate::harness::programs::model::{FAILED, items_of, pushed};
use crate::harness::programs::program::{Data, Inner, Part, Sort, child_name, family, mix};

/// When the clock begins.
pub const START: Timestamp = Timestamp(1_700_000_000_000);

type Flow<I> = WorkflowBuilder<I, Data>;

/// The workflows of a program and of its children, whose minutes last as long as `minute`.
///
/// # Errors
/// [`BuildError`]: a fault of the harness.
pub fn workflows(
    name: &str,
    parts: &[Part],
    minute: Duration,
) -> Result<Vec<Workflow<Data, Data>>, BuildError> {
    let policy = StepPolicy::default()
        .retry(Retry::exponential(minute / 60).cap(minute * 120).unlimited_attempts().jitter())
        .no_deadline()
        .crash_max(u32::MAX);
    let family = family(name, parts).into_iter().map(|(name, parts)| {
        let start = Workflow::named(&name).step_policy(policy).input::<Data>();
        Builder { name: &name, minute }.add(parts, start).build()
    });
    family.collect()
}

/// Builds parts of the workflow of that name.
#[derive(Debug, Clone, Copy)]
struct Builder<'a> {
    name: &'a str,
    minute: Duration,
}

impl Builder<'_> {
    fn add<I: 'static>(self, parts: &[Part], flow: Flow<I>) -> Flow<I> {
        parts.iter().fold(flow, |flow, part| self.add_part(part, flow))
    }

    fn add_part<I: 'static>(self, part: &Part, flow: Flow<I>) -> Flow<I> {
        let (name, salt) = (part.name.clone(), part.salt);
        match part.sort.clone() {
            Sort::Step { fails, dies, undo, undo_dies, merges } => {
                let flow = flow.step_fn(name, move |ctx: StepContext, data: Data| async move {
                    if dies > 0 && data.v.is_multiple_of(dies) {
                        return Err(StepError::validation("it dies of this number"));
                    }
                    // Some give way first, so that a worker can be lost in the middle.
                    if salt.is_multiple_of(3) {
                        tokio::task::yield_now().await;
                    }
                    if ctx.attempt() <= fails {
                        return Err(StepError::transient("not yet"));
                    }
                    let data = data.mixed(salt);
                    if merges {
                        let place = ctx.place().to_string();
                        let passing = format!("passing-{place}");
                        ctx.merge_run_context(&json!({ "steps": {}, passing.as_str(): 1 })).await?;
                        let change = json!({ "steps": { place: data.v }, passing: null });
                        ctx.merge_run_context(&change).await?;
                    }
                    Ok(data)
                });
                let undo_fails = fails / 2;
                let undone = move |ctx: StepContext, _done: Data| async move {
                    match ctx.attempt() {
                        attempt if attempt <= undo_fails => Err(StepError::transient("not yet")),
                        attempt if undo_dies && attempt == undo_fails + 1 => {
                            Err(StepError::permanent("someone has to look at this"))
                        }
                        _ => Ok(()),
                    }
                };
                if undo { flow.compensate_fn(undone) } else { flow }
            }
            Sort::StepIf => flow.branch(
                format!("{name}.if"),
                |data: &Data| data.v.is_multiple_of(2),
                |then| compute(then, name, move |data: Data| data.mixed(salt)),
                |otherwise| otherwise,
            ),
            Sort::Sleep { minutes } => {
                flow.sleep(name, self.minute * u32::try_from(minutes).unwrap_or(u32::MAX))
            }
            Sort::SleepUntil => {
                flow.sleep_until(name, |data: &Data| START.plus_ms(data.v % (7 * 24 * 3_600_000)))
            }
            Sort::Wait => {
                let joined = format!("{name}.said");
                compute(flow.wait_for::<u64>(name), joined, |(data, said): (Data, u64)| data.mixed(said))
            }
            Sort::WaitWithin { comes } => {
                let joined = format!("{name}.said");
                let time = if comes { days(10_000) } else { self.minute * 30 };
                compute(
                    flow.wait_for_within::<u64>(name, time),
                    joined,
                    |(data, said): (Data, Option<u64>)| data.mixed(said.unwrap_or(1)),
                )
            }
            Sort::WaitAny { comes } => {
                let joined = format!("{name}.said");
                let (first, second) = (format!("{name}.a"), format!("{name}.b"));
                let time = comes.is_none().then_some(self.minute * 30);
                compute(
                    flow.wait_any(name, &[&first, &second], time),
                    joined,
                    |(data, heard): (Data, Option<Heard>)| match heard {
                        Some(heard) => data.mixed(heard_as(&heard)),
                        None => data.mixed(1),
                    },
                )
            }
            Sort::Waits(waits) => self.add_waits(name, waits, flow),
            Sort::External(external) => {
                let beside = format!("{name}.beside");
                let within = external.is_silent.then_some(self.minute * 60);
                let joined = format!("{name}.told");
                let pair = flow.both(
                    |flow| compute(flow, beside, |data: Data| data),
                    |flow| flow.external::<u64>(name, within),
                );
                compute(pair, joined, |(data, told): (Data, u64)| data.mixed(told))
            }
            Sort::Child(_) => {
                let child = ChildRun::<Data, Data>::named(&child_name(self.name, &name, 0));
                flow.child(name, child)
            }
            Sort::LeftChild { is_abandoned, .. } => {
                let workflow = child_name(self.name, &name, 0);
                flow.step_fn(name, move |ctx: StepContext, data: Data| {
                    let on_close = if is_abandoned { OnClose::Abandon } else { OnClose::Cancel };
                    let child = ChildRun::<Data, Data>::named(&workflow).on_close(on_close);
                    async move {
                        ctx.start_child("left", child, &data).await?;
                        Ok(data.mixed(salt))
                    }
                })
            }
            Sort::Recall { of } => flow.recall_of::<Data>(&of),
            Sort::Both { left, right, wait_all } => {
                let flow = flow.both(|flow| self.add(&left, flow), |flow| self.add(&right, flow));
                let flow = if wait_all { flow.wait_all() } else { flow };
                compute(flow, format!("{name}.both"), |(left, right): (Data, Data)| Data {
                    v: mix(left.v, right.v),
                    left: left.left,
                })
            }
            Sort::Map { items, concurrency, tolerated, body } => {
                // What flowed in is needed again after the map: it flows beside it.
                let beside = format!("{name}.beside");
                let list = format!("{name}.list");
                let pair = flow.both(
                    |flow| compute(flow, beside, |data: Data| data),
                    |flow| {
                        let items = compute(flow, list, move |data: Data| items_of(&data, items));
                        match tolerated {
                            None => {
                                let ended = items.map_flow(concurrency, |item| self.add(&body, item));
                                compute(ended, format!("{name}.ended"), |ended: Vec<Data>| {
                                    ended.into_iter().map(|item| item.v).collect::<Vec<u64>>()
                                })
                            }
                            Some(count) => {
                                let tolerance = Tolerance { count, share: 0.0 };
                                let ended = items
                                    .map_flow_tolerant(concurrency, tolerance, |item| self.add(&body, item));
                                compute(ended, format!("{name}.ended"), |ended: Vec<ItemResult<Data>>| {
                                    let v = |item| match item {
                                        ItemResult::Ok(Data { v, .. }) => v,
                                        ItemResult::Failed(_) => FAILED,
                                    };
                                    ended.into_iter().map(v).collect::<Vec<u64>>()
                                })
                            }
                        }
                    },
                );
                compute(pair, format!("{name}.sum"), |(data, ended): (Data, Vec<u64>)| Data {
                    v: ended.into_iter().fold(data.v, mix),
                    left: data.left,
                })
            }
            Sort::Branch { then, otherwise } => flow.branch(
                name,
                |data: &Data| data.v.is_multiple_of(2),
                |flow| self.add(&then, flow),
                |flow| self.add(&otherwise, flow),
            ),
            Sort::Choose { arms: [a, b, c] } => flow.choose(
                name,
                |data: &Data| ["zero", "one", "two"][(data.v % 3) as usize],
                |arms| {
                    arms.arm("zero", |flow| self.add(&a, flow))
                        .arm("one", |flow| self.add(&b, flow))
                        .arm("two", |flow| self.add(&c, flow))
                },
            ),
            Sort::Repeat { rounds, body } => {
                let flow = compute(flow, format!("{name}.enter"), move |data: Data| {
                    let left = pushed(&data.left, (data.v % rounds) as u32);
                    Data { left, ..data }
                });
                let next = format!("{name}.next");
                let flow = flow.repeat_while(
                    &name,
                    10,
                    |data: &Data| data.left.last().is_some_and(|left| *left > 0),
                    |round| {
                        compute(self.add(&body, round), next, |mut data: Data| {
                            if let Some(left) = data.left.last_mut() {
                                *left -= 1;
                            }
                            data
                        })
                    },
                );
                compute(flow, format!("{name}.leave"), |mut data: Data| {
                    data.left.pop();
                    data
                })
            }
        }
    }
}

impl Builder<'_> {
    /// A step that waits in the middle of its work.
    fn add_waits<I: 'static>(self, name: String, waits: Vec<Inner>, flow: Flow<I>) -> Flow<I> {
        let (workflow, minute) = (self.name.to_owned(), self.minute);
        let step = name.clone();
        flow.step_fn(name, move |ctx: StepContext, data: Data| {
            let (workflow, waits, step) = (workflow.clone(), waits.clone(), step.clone());
            async move {
                let mut data = data;
                for (nth, wait) in waits.iter().enumerate() {
                    let signal = format!("{step}.{nth}");
                    let said = match wait {
                        Inner::Sleep { minutes } => {
                            let time = minute * u32::try_from(*minutes).unwrap_or(u32::MAX);
                            ctx.sleep(&signal, time).await?;
                            2
                        }
                        Inner::Signal => ctx.wait_for::<u64>(&signal).await?,
                        Inner::Within { comes } => {
                            let time = if *comes { days(10_000) } else { minute * 30 };
                            ctx.wait_for_within::<u64>(&signal, time).await?.unwrap_or(1)
                        }
                        Inner::Any { .. } => {
                            let either =
                                Wait::new().signal(format!("{signal}.a")).signal(format!("{signal}.b"));
                            match ctx.wait(&signal, either).await? {
                                Woken::Signal(heard) => heard_as(&heard),
                                other => return Err(StepError::bug(format!("woken by {other:?}"))),
                            }
                        }
                        Inner::Child { tolerates, .. } => {
                            let child = ChildRun::<Data, Data>::named(&child_name(&workflow, &step, nth));
                            let input = Data { v: data.v, left: Vec::new() };
                            let child = ctx.start_child(&format!("c{nth}"), child, &input).await?;
                            match child.result(&ctx).await {
                                Ok(ended) => ended.v,
                                Err(error) if *tolerates && !error.is_suspension() => FAILED,
                                Err(error) => return Err(error),
                            }
                        }
                    };
                    // What is kept is the same whenever the step comes by again.
                    data = ctx.once(&format!("part-{nth}"), || async { Ok(data.mixed(said)) }).await?;
                }
                Ok(data)
            }
        })
    }
}

/// What one of several signals counts for.
fn heard_as(heard: &Heard) -> u64 {
    mix(heard.said.as_u64().unwrap_or(0), u64::from(heard.signal.as_str().ends_with(".b")))
}

/// A step that computes.
fn compute<I, A, B>(
    flow: WorkflowBuilder<I, A>,
    name: String,
    compute: impl Fn(A) -> B + Clone + Send + Sync + 'static,
) -> WorkflowBuilder<I, B>
where
    A: serde::de::DeserializeOwned + Send + 'static,
    B: serde::Serialize + Send + Sync + 'static,
{
    flow.step_fn(name, move |_ctx, given: A| {
        let given = compute(given);
        async move { Ok(given) }
    })
}
