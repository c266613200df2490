//! The run that keeps a schedule: what a crash at any of its writes, and the change from one generation to the next, cost.

use std::sync::Arc;
use std::time::Duration;

use stepwell_contract::{
    Backend, Clock, MemoryBackend, Name, Order, Query, RunKey, Status, Timestamp, Version,
};

use crate::config::EngineOptions;
use crate::error::Error;
use crate::exec::engine::Engine;
use crate::schedule::keeper::{STEP, key_of};
use crate::schedule::schedules::Schedules;
use crate::schedule::{Overlap, Schedule, ScheduleView, WORKFLOW};
use crate::testing::clock::{Pulse, SkippingTime, really};
use crate::testing::stage::{Death, Side, Stage};
use crate::workflow::context::StepContext;
use crate::workflow::definition::Workflow;
use crate::workflow::policy::{days, hours};

/// What outlives a process.
struct World {
    time: Arc<SkippingTime>,
    pulse: Pulse,
}

/// One process.
struct Process {
    stage: Arc<Stage>,
    engine: Engine,
}

impl World {
    fn new() -> Self {
        let pulse = Pulse::new();
        Self { time: Arc::new(SkippingTime::new(pulse.clone())), pulse }
    }

    fn store(&self) -> MemoryBackend {
        MemoryBackend::with_clock(Arc::clone(&self.time) as Arc<dyn Clock>)
    }

    /// The nth full hour after the beginning.
    fn hour(&self, n: u64) -> Timestamp {
        crate::testing::clock::START.plus_ms(n * 3_600_000)
    }

    async fn process(&self, store: MemoryBackend, death: Option<Death>) -> Process {
        let stage = Stage::new(store, death, self.pulse.clone());
        let quick = Workflow::named("quick")
            .step_fn("note", |_ctx: StepContext, n: u32| async move { Ok(n) })
            .build()
            .expect("a workflow");
        let options = EngineOptions { threads: 2, poll_ms: 10, ..EngineOptions::default() };
        let builder =
            Engine::builder(Arc::clone(&stage) as Arc<dyn Backend>).register(quick).keep_schedules();
        let builder = builder.options(options).time(Arc::clone(&self.time) as Arc<dyn crate::clock::Time>);
        let engine = builder.build().await.expect("an engine");
        engine.work_without_rounds();
        Process { stage, engine }
    }
}

impl Process {
    /// Does something, unless the process dies before it is done.
    async fn lives<T>(&self, doing: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = doing => Some(done),
            () = self.stage.died() => None,
            () = really(Duration::from_secs(20)) => panic!("nothing comes of it"),
        }
    }

    /// The schedule once everything is decided up to this time and everything that was started has ended.
    async fn settled(&self, until: Timestamp) -> ScheduleView {
        loop {
            // What is told belongs together only if the keeper did not move while it was read.
            let before = self.keeper_at_rest().await;
            let view = self.engine.schedules().get("s").await.expect("a schedule");
            let due = Query { due: true, ..Query::default() };
            let due = self.engine.list(&due, None, 1).await.expect("a page").items;
            let is_idle = due.is_empty() && self.engine.running() == 0;
            if is_idle
                && view.next.first().is_some_and(|next| next.time > until)
                && before.is_some()
                && before == self.keeper_at_rest().await
            {
                return view;
            }
            really(Duration::from_millis(1)).await;
        }
    }

    /// The keeper and its version while it waits, and nobody holds it.
    async fn keeper_at_rest(&self) -> Option<(RunKey, Version)> {
        let keeper = self.engine.schedules().get("s").await.expect("a schedule").keeper;
        let head = self.engine.get(&keeper).await.expect("a head").expect("a run");
        (head.status == Status::Waiting && head.lease.is_none()).then_some((keeper, head.version))
    }

    async fn ids_of(&self, workflow: &str) -> Vec<String> {
        let workflow = Name::new(workflow).ok();
        let query = Query { workflow, order: Order::Oldest, ..Query::default() };
        let page = self.engine.list(&query, None, 1_000).await.expect("a page");
        let ended = page.items.iter().filter(|head| head.status == Status::Succeeded);
        let mut ids: Vec<String> = ended.map(|head| head.key.run.to_string()).collect();
        ids.sort();
        ids
    }
}

fn hourly() -> Schedule {
    let schedule = Schedule::every(hours(1)).starts("quick", &1u32).expect("sound");
    schedule.overlap(Overlap::Allow).catch_up(days(2))
}

/// A schedule over three hours in generations of two turns, with a trigger in between; the process dies at one write and another
/// one goes on. `false` when it did not come to that write.
async fn three_hours(death: Option<Death>) -> bool {
    let world = World::new();
    let mut process = world.process(world.store(), death).await;
    let mut has_died = false;
    let mut hour = 0;
    while hour <= 3 {
        let now = world.hour(hour);
        if world.time.now() < now {
            world.time.skip_to(now);
        }
        let lived = process
            .lives(async {
                let schedules: Schedules = process.engine.schedules();
                // Each may have been done before the crash.
                schedules.create_with("s", hourly(), 2).await.expect("a schedule");
                if hour == 2 {
                    schedules.trigger("s", "by-hand", "").await.expect("a run");
                }
                process.settled(now).await
            })
            .await;
        match lived {
            Some(_) => hour += 1,
            None => {
                has_died = true;
                process = world.process(process.stage.reopened(), None).await;
            }
        }
    }
    let view = process.settled(world.hour(3)).await;
    let case = format!("{death:?}");
    let mut expected: Vec<String> = (1..=3).map(|n| format!("s-20300101T{:02}0000Z", 12 + n)).collect();
    expected.push("s-by-by-hand".to_owned());
    assert_eq!(process.ids_of("quick").await, expected, "{case}");
    assert_eq!((view.counts.started, view.counts.missed, view.counts.skipped), (4, 0, 0), "{case}");
    assert!(view.keeper.run.as_str() >= "schedule.s.2", "{case}: {}", view.keeper);
    has_died
}

#[tokio::test]
async fn a_crash_at_any_write_neither_loses_a_time_nor_starts_it_twice() {
    assert!(!three_hours(None).await);
    let mut crashes = 0;
    for nth in 1.. {
        let mut has_died = false;
        for side in [Side::Before, Side::After] {
            has_died |= three_hours(Some(Death { nth, side })).await;
        }
        crashes += usize::from(has_died) * 2;
        if !has_died {
            break;
        }
    }
    assert!(crashes > 60, "{crashes}");
}

#[tokio::test]
async fn what_was_said_to_a_generation_that_ended_is_heard_by_the_next() {
    let world = World::new();
    let process = world.process(world.store(), None).await;
    let schedules = process.engine.schedules();
    let first = schedules.create_with("s", hourly(), 1).await.expect("a schedule").keeper;
    process.settled(world.hour(0)).await;
    // Both come before the first of them is heard; the first ends the generation.
    for said in ["one", "two"] {
        schedules.trigger("s", said, "").await.expect("a run");
    }
    process.settled(world.hour(0)).await;
    assert_eq!(process.ids_of("quick").await, ["s-by-one", "s-by-two"]);
    let ended = process.engine.get(&first).await.expect("a head").expect("a run");
    assert_eq!(ended.status, Status::Succeeded);
    assert_eq!(process.ids_of(WORKFLOW).await.first().map(String::as_str), Some("schedule.s.1"));
    assert_eq!(schedules.list(None, 10).await.expect("a page").items.len(), 1);
}

#[tokio::test]
async fn nobody_else_sends_a_schedule_the_signals_that_steer_it() {
    let world = World::new();
    let process = world.process(world.store(), None).await;
    let schedules = process.engine.schedules();
    let view = schedules.create("s", hourly()).await.expect("a schedule");
    let forged = process.engine.signal(&view.keeper, "schedule", "stray", &"nonsense").await;
    assert!(matches!(forged, Err(Error::Refused { .. })), "{forged:?}");
    world.time.skip_to(world.hour(1));
    let view = process.settled(world.hour(1)).await;
    assert_eq!((view.counts.started, view.status), (1, Status::Waiting));
    assert_eq!(view.keeper, key_of(&view.keeper.tenant, &view.name, 1));
    let state = process.engine.state(&view.keeper).await.expect("a state");
    assert!(state.steps.contains_key(&Name::new(STEP).expect("a name")));
}
