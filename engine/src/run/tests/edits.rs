//! What people change in what a run has recorded, on paper.

use super::*;
use crate::run::event::{RequestRefused, WaitStarted};
use crate::run::fit::misfits;
use crate::workflow::graph::Until;

fn ada() -> Actor {
    Actor::Person("ada".to_owned())
}

fn place(text: &str) -> Place {
    text.parse().expect("a place")
}

fn held(reason: PauseReason, at: Option<Place>) -> RunPaused {
    RunPaused { reason, actor: Actor::Engine, message: String::new(), place: at, failure: None, code: None }
}

fn ask(verb: Verb, at: &str) -> Ask {
    Ask::new(verb, ada(), "because").at(place(at))
}

impl Paper {
    fn answer(&self, ask: &Ask) -> Event {
        let id = MessageId::new("m-1").expect("a valid id");
        ask.answer(&id, &self.state, Some((&self.graph, &self.limits)), self.now)
    }

    /// Asks, and has what was answered happen.
    fn ask(&mut self, ask: Ask) {
        let event = self.answer(&ask);
        assert!(!matches!(event, Event::RequestRefused(_)), "{event:?}");
        self.happen(event);
    }

    fn refusal(&self, ask: &Ask) -> String {
        match self.answer(ask) {
            Event::RequestRefused(RequestRefused { message, .. }) => message,
            event => panic!("it is not refused: {event:?}"),
        }
    }

    /// Comes to rest as the plan says.
    fn come_to_rest(&mut self) {
        match self.rest() {
            Rest::Pause { reason, place, .. } => self.happen(held(reason, place)),
            Rest::Fail { place, failure } => self.happen(RunFailed { place, failure }),
            rest => panic!("{rest:?}"),
        }
    }

    fn result(&mut self) -> String {
        let Rest::Succeed { result, output } = self.rest() else { panic!("the run succeeds") };
        let told = result.result(&self.state).expect("JSON").expect("a result");
        assert_eq!(told, output, "the shape tells the same result");
        output.text().to_owned()
    }
}

/// `a`, `b`, then `c`.
fn abc() -> Paper {
    Paper::chain(&[("a", plain()), ("b", plain()), ("c", plain())])
}

#[test]
fn a_skipped_step_gives_what_would_have_flowed_in_and_the_run_goes_on() {
    let mut run = abc();
    run.begin();
    run.succeed(at("a"), "2");
    run.begin();
    run.fail(at("b"), permanent());
    run.come_to_rest();
    assert_eq!(run.state.status, Status::Failed);
    run.ask(ask(Verb::Skip, "b"));
    assert_eq!(run.state.status, Status::Queued, "it stood in the way");
    run.happen(taken("w-1", 2));
    assert_eq!(run.begin(), ["c#1(2)"]);
    assert_eq!(misfits(&run.graph, &run.state), [], "a later owner sees nothing missing");
    run.succeed(at("c"), "4");
    assert_eq!(run.result(), "4");
}

#[test]
fn a_step_that_has_not_begun_is_skipped_with_an_output_while_the_run_stays_held() {
    let mut run = abc();
    run.happen(held(PauseReason::Requested, None));
    run.ask(ask(Verb::Skip, "b").with(Payload::null()));
    assert_eq!(run.state.status, Status::Paused, "it is held for another reason");
    assert_eq!(
        run.refusal(&ask(Verb::SetOutput, "c").with(json("1"))),
        "c has not begun: `skip` it with an output"
    );
    run.happen(RunResumed { actor: ada(), message: String::new(), retry: false });
    run.happen(taken("w-1", 2));
    assert_eq!(run.begin(), ["a#1(1)"]);
    run.succeed(at("a"), "2");
    assert_eq!(run.begin(), ["c#1(null)"]);
}

#[test]
fn a_result_that_a_person_sets_counts_as_the_step_s_own_and_the_history_tells_whose_it_is() {
    let mut run = Paper::chain(&[("a", plain().effect(Effect::NotIdempotent)), ("b", plain())]);
    run.begin();
    run.happen(AttemptLost { place: at("a"), attempt: 1, reason: LostReason::Crash });
    run.come_to_rest();
    let ask = ask(Verb::SetOutput, "a").with(json("null"));
    let Event::OutputSet(set) = run.answer(&ask) else { panic!("it is set") };
    let record = Event::from(set.clone()).record(stepwell_contract::Seq(9), NOW).expect("a record");
    let Event::OutputSet(read) = Event::read(&record).expect("readable") else { panic!("it is set") };
    assert_eq!((read.actor, read.message.as_str(), read.output.text()), (ada(), "because", "null"));
    run.happen(set);
    run.happen(taken("w-1", 2));
    assert_eq!(run.begin(), ["b#1(null)"]);
    assert_eq!(run.refusal(&ask), "a has its result; `restart` from it to have another");
}

#[test]
fn what_decides_is_told_what_to_decide_in_words_of_the_definition() {
    let arms = vec![("yes".to_owned(), vec![Node::Step(StepIndex(1))]), ("no".to_owned(), Vec::new())];
    let nodes = vec![Node::Choose { by: StepIndex(0), arms }];
    let mut run = Paper::new(nodes, &[("a", plain()), ("b", plain())], "1");
    run.begin();
    run.fail(at("a"), permanent());
    run.come_to_rest();
    assert!(run.refusal(&ask(Verb::Skip, "a")).contains("decides"));
    assert_eq!(
        run.refusal(&ask(Verb::SetOutput, "a").with(json("\"maybe\""))),
        "a has to give one of yes, no"
    );
    run.ask(ask(Verb::SetOutput, "a").with(json("\"yes\"")));
    run.happen(taken("w-1", 2));
    assert_eq!(run.begin(), ["b#1(1)"]);
}

#[test]
fn a_sleep_and_a_wait_are_skipped_and_a_wait_is_given_what_its_signal_would_have_said() {
    let nodes = || {
        let until = Until::After(60_000);
        let wait = Node::Wait { step: StepIndex(1), signals: vec![name("go")], timeout_ms: None };
        vec![Node::Sleep { step: StepIndex(0), until }, wait]
    };
    let asleep = || {
        let mut run = Paper::new(nodes(), &[("a", plain()), ("b", plain())], "1");
        run.begin();
        run.happen(RunReleased { wake_at: Some(NOW.plus_ms(60_000)), reason: ReleaseReason::Waiting });
        run
    };
    let mut run = asleep();
    assert!(run.refusal(&ask(Verb::SetOutput, "a").with(json("1"))).contains("no output"));
    run.ask(ask(Verb::Skip, "a"));
    assert_eq!(run.state.wake_at, Some(NOW), "it is due at once");
    run.happen(taken("w-1", 2));
    run.begin();
    let mut other = Paper { state: run.state.clone(), ..asleep() };
    run.ask(ask(Verb::Skip, "b"));
    assert_eq!(run.result(), "[1,null]");
    other.ask(ask(Verb::SetOutput, "b").with(json("\"went\"")));
    assert_eq!(other.result(), "[1,\"went\"]");
}

#[test]
fn a_restart_sets_aside_what_comes_after_and_gives_fresh_budgets_while_attempts_count_on() {
    let mut run = abc();
    for (step, output) in [("a", "2"), ("b", "3")] {
        run.begin();
        run.succeed(at(step), output);
    }
    run.begin();
    assert_eq!(run.fail(at("c"), transient()), Then::RetryAt(NOW.plus_ms(2_000)));
    run.happen(RunReleased { wake_at: None, reason: ReleaseReason::Waiting });
    run.ask(ask(Verb::Restart, "b"));
    assert_eq!(run.state.outputs.len(), 1);
    run.happen(taken("w-1", 2));
    assert_eq!(run.begin(), ["b#2(2)"]);
    run.succeed(at("b"), "30");
    assert_eq!(run.begin(), ["c#2(30)"]);
    assert!(matches!(run.fail(at("c"), transient()), Then::RetryAt(_)), "the first of a fresh budget");
    run.now = run.now.plus_ms(2_000);
    run.begin();
    run.succeed(at("c"), "4");
    assert_eq!(run.result(), "4");
}

#[test]
fn a_restart_inside_a_map_leaves_the_other_items_alone() {
    let body = vec![Node::Step(StepIndex(0)), Node::Step(StepIndex(1))];
    let nodes =
        vec![Node::Map { body, concurrency: 9, tolerance: None, names: None }, Node::Step(StepIndex(2))];
    let steps = [("a", plain()), ("b", plain()), ("c", plain())];
    let restarted = |at: &str| {
        let mut run = Paper::new(nodes.clone(), &steps, "[1,2]");
        for step in ["a", "b"] {
            run.begin();
            (0..2).for_each(|nth| run.succeed(item(step, nth), "5"));
        }
        run.begin();
        run.fail(Place::of(name("c")), permanent());
        run.come_to_rest();
        run.ask(ask(Verb::Restart, at));
        run.happen(taken("w-1", 2));
        run
    };
    let mut run = restarted("b[1]");
    assert_eq!(run.begin(), ["b[1]#2(5)"]);
    run.succeed(item("b", 1), "6");
    assert_eq!(run.begin(), ["c#2([5,6])"]);
    assert_eq!(restarted("a[0]").begin(), ["a[0]#2(1)"]);
    assert_eq!(restarted("b").begin(), ["b[0]#2(5)", "b[1]#2(5)"], "without an item: in all of them");
    assert_eq!(restarted("c").begin(), ["c#2([5,5])"]);
}

#[test]
fn a_restart_inside_a_loop_sets_aside_the_later_rounds() {
    let body = vec![Node::Step(StepIndex(1)), Node::Step(StepIndex(2))];
    let nodes = vec![Node::Repeat { by: StepIndex(0), body, rounds_max: 9 }];
    let steps = [("more", plain()), ("x", plain()), ("y", plain())];
    let restarted = |at: &str| {
        let mut run = Paper::new(nodes.clone(), &steps, "1");
        for round in 0..2 {
            for (step, gives) in [("more", "true"), ("x", "10"), ("y", "20")] {
                run.begin();
                run.succeed(item(step, round), gives);
            }
        }
        run.begin();
        run.fail(item("more", 2), permanent());
        run.come_to_rest();
        run.ask(ask(Verb::Restart, at));
        run.happen(taken("w-1", 2));
        run
    };
    let mut run = restarted("y[0]");
    assert_eq!(run.begin(), ["y[0]#2(10)"]);
    run.succeed(item("y", 0), "7");
    assert_eq!(run.begin(), ["more[1]#2(7)"]);
    run.succeed(item("more", 1), "false");
    assert_eq!(run.result(), "7");
    assert_eq!(restarted("more[1]").begin(), ["more[1]#2(20)"]);
    assert_eq!(restarted("x").begin(), ["more[0]#2(1)"], "without a round: from the first one");
}

#[test]
fn a_restart_from_a_branch_leaves_its_siblings_alone_and_a_wait_waits_anew() {
    let wait = Node::Wait { step: StepIndex(1), signals: vec![name("go")], timeout_ms: None };
    let branches = vec![vec![Node::Step(StepIndex(0))], vec![wait]];
    let nodes = vec![Node::Parallel { branches, join: Join::FailFast }, Node::Step(StepIndex(2))];
    let mut run = Paper::new(nodes, &[("a", plain()), ("b", plain()), ("c", plain())], "1");
    run.begin();
    run.succeed(at("a"), "2");
    run.happen(crate::run::event::SignalReceived {
        id: MessageId::new("s-1").expect("an id"),
        name: name("go"),
        payload: json("3"),
        actor: ada(),
    });
    assert_eq!(run.begin(), ["c#1([2,[1,3]])"]);
    run.fail(at("c"), permanent());
    run.come_to_rest();
    run.ask(ask(Verb::Restart, "b"));
    run.happen(taken("w-1", 2));
    let next = run.next();
    let waits = WaitStarted { place: at("b"), signals: vec![name("go")], until: None };
    assert_eq!(
        (next.events, next.starts.len()),
        (vec![waits.into()], 0),
        "a signal that was taken is not given again"
    );
}

#[test]
fn what_cannot_be_restarted_or_edited_is_refused_with_the_reason() {
    let mut run = abc();
    run.begin();
    let why = |run: &Paper, verb: Verb, at: &str| run.refusal(&ask(verb, at).with(json("1")));
    assert!(why(&run, Verb::Restart, "a").contains("interrupt"));
    assert!(why(&run, Verb::SetOutput, "a").contains("is running"));
    run.succeed(at("a"), "2");
    run.happen(PauseRequested { actor: ada(), message: String::new(), interrupt: false, code: None });
    run.come_to_rest();
    assert_eq!(why(&run, Verb::Restart, "x"), "its workflow has no step x");
    assert_eq!(why(&run, Verb::Restart, "a[0]"), "a[0] is not a place: a is in 0 maps and loops, like a");
    assert_eq!(why(&run, Verb::Restart, "b"), "b has not begun");
    assert!(why(&run, Verb::EditInput, "a").contains("a has gone on from its input"));
    assert!(
        run.refusal(&ask(Verb::Skip, "b").if_unchanged_since(stepwell_contract::Seq(2))).contains("gone on")
    );
    let id = MessageId::new("m-1").expect("a valid id");
    let blind = ask(Verb::Skip, "b").answer(&id, &run.state, None, NOW);
    assert!(matches!(blind, Event::RequestRefused(_)), "without the definition nobody knows the step");
    for (ends, says) in [(true, "succeeded"), (false, "cancelled")] {
        let mut run = Paper::chain(&[("a", plain())]);
        run.begin();
        if ends {
            run.succeed(at("a"), "2");
            run.happen(RunSucceeded { result: Shape::Step(name("a")) });
        } else {
            run.happen(crate::run::event::RunTerminated { actor: ada(), message: String::new() });
        }
        let why = why(&run, Verb::Restart, "a");
        assert!(why.contains(says) && why.contains("fork"), "{why}");
        assert!(run.refuses(crate::run::event::StepsReset {
            from: at("a"),
            cuts: Vec::new(),
            input: None,
            actor: ada(),
            message: String::new()
        }));
    }
}

#[test]
fn an_input_is_edited_before_anything_was_made_of_it_and_at_a_restart_from_the_first_step() {
    let mut run = abc();
    run.begin();
    run.happen(Checkpointed { place: at("a"), attempt: 1, cursor: json("42"), progress: None });
    run.fail(at("a"), permanent());
    run.come_to_rest();
    run.ask(Ask::new(Verb::EditInput, ada(), "").with(json("7")));
    assert_eq!(run.state.status, Status::Failed, "a `retry` lets it go on");
    run.happen(RunResumed { actor: ada(), message: String::new(), retry: true });
    run.happen(taken("w-1", 2));
    assert_eq!(run.begin(), ["a#2(7)"]);
    assert_eq!(run.state.step(&at("a")).and_then(|step| step.cursor.clone()), None);
    run.succeed(at("a"), "8");
    run.begin();
    run.fail(at("b"), permanent());
    run.come_to_rest();
    assert!(run.refusal(&ask(Verb::Restart, "b").with(json("9"))).contains("first step"));
    run.ask(ask(Verb::Restart, "a").with(json("9")));
    run.happen(taken("w-1", 3));
    assert_eq!(run.begin(), ["a#3(9)"]);
}

#[test]
fn a_fork_has_what_ended_before_its_step_and_begins_the_rest_anew() {
    let each = Node::Map {
        body: vec![Node::Step(StepIndex(0))],
        concurrency: 9,
        tolerance: Some(Tolerance { count: 1, share: 0.0 }),
        names: None,
    };
    let nodes = vec![each, Node::Step(StepIndex(1)), Node::Step(StepIndex(2))];
    let steps = [("a", plain()), ("b", plain()), ("c", plain())];
    let mut run = Paper::new(nodes.clone(), &steps, "[1,2]");
    run.begin();
    run.fail(item("a", 0), permanent());
    run.succeed(item("a", 1), "null");
    run.begin();
    run.succeed(at("b"), "3");
    run.begin();
    run.succeed(at("c"), "4");
    run.happen(RunSucceeded { result: Shape::Step(name("c")) });
    let copied = crate::run::fork::copies(&run.graph, &run.state, &place("b")).expect("copies");
    let mut forked = Paper::new(nodes, &steps, "[1,2]");
    forked.state = State::new((*run.state.created).clone(), NOW);
    for event in copied {
        let record = event.record(stepwell_contract::Seq(2), NOW).expect("a record");
        forked.happen(Event::read(&record).expect("readable"));
    }
    forked.happen(taken("w-1", 1));
    let begun = forked.begin();
    assert!(begun.len() == 1 && begun[0].starts_with("b#1([{\"failed\":{"), "{begun:?}");
    assert!(begun[0].ends_with(",{\"ok\":null}])"), "{begun:?}");
    assert_eq!(misfits(&forked.graph, &forked.state), []);
}
