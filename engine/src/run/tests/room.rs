//! Who may begin when there is little room: after a takeover, and in a worker that starts nothing more.

use super::*;
use crate::run::event::StepSuspended;
use crate::run::waiting::Waiting;

fn outside(place: Place) -> StepSuspended {
    let waiting = Waiting { outside: true, ..Waiting::default() };
    StepSuspended { place, attempt: 1, waiting, elapsed_ms: 1 }
}

#[test]
fn an_item_that_waits_for_work_elsewhere_keeps_its_room_through_a_takeover() {
    let mut run = map(1, None, "[1,2]");
    run.begin();
    run.fail(item("a", 0), transient());
    assert_eq!(run.begin(), ["a[1]#1(2)"], "one that waits to be tried again takes no room");
    run.happen(outside(item("a", 1)));
    run.now = run.now.plus_ms(2_000);
    assert_eq!(run.begin(), [""; 0], "the other one has the room");
    run.happen(RunReleased { wake_at: None, reason: ReleaseReason::Waiting });
    run.happen(taken("w-2", 2));
    run.plan = Plan::new(Arc::clone(&run.graph), Arc::clone(&run.limits), &run.state);
    let next = run.next();
    assert_eq!((next.starts.len(), next.is_busy), (0, true), "whoever takes the run over sees the same");
}

#[test]
fn a_branch_that_could_go_on_is_due_at_once_although_another_one_waits_for_work_elsewhere() {
    let branches = vec![vec![Node::Step(StepIndex(0))], vec![Node::Step(StepIndex(1))]];
    let node = Node::Parallel { branches, join: Join::FailFast };
    let mut run = Paper::new(vec![node], &[("a", plain()), ("b", plain())], "7");
    run.begin();
    run.happen(outside(at("a")));
    run.happen(AttemptLost { place: at("b"), attempt: 1, reason: LostReason::Shutdown });
    let next = run.plan.next(&run.state, run.now, 0).expect("a plan");
    assert!(
        next.wants && next.starts.is_empty(),
        "a worker that shuts down leaves it to the next one: {next:?}"
    );
    assert!(!run.next().wants, "with room it begins");

    let mut run = map(2, None, "[1,2]");
    run.begin();
    run.happen(outside(item("a", 0)));
    run.happen(AttemptLost { place: item("a", 1), attempt: 1, reason: LostReason::Shutdown });
    assert!(run.plan.next(&run.state, run.now, 0).expect("a plan").wants, "so with the items of a map");
}
