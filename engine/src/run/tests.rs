//! Runs on paper: events in, decisions out, no store and no clock.

use std::sync::Arc;

use stepwell_contract::{Fence, MessageId, Name, Payload, Status, Timestamp, WorkerId};

use crate::run::actor::Actor;
use crate::run::decide::{Next, Plan, Rest};
use crate::run::event::{
    AttemptFailed, AttemptLost, CancelRequested, Checkpointed, Event, LostReason, Memoised, PauseReason,
    PauseRequested, Progress, ReleaseReason, RunCancelled, RunCreated, RunFailed, RunPaused, RunReleased,
    RunResumed, RunSucceeded, RunTaken, StepStarted, StepSucceeded, Then,
};
use crate::run::fit::{Misfit, misfits};
use crate::run::output::Shape;
use crate::run::place::Place;
use crate::run::request::{Ask, Verb};
use crate::run::state::State;
use crate::run::trouble::after_failure;
use crate::workflow::failure::Failure;
use crate::workflow::graph::{Graph, Join, Node, StepIndex, StepSpec, Tolerance};
use crate::workflow::policy::{Effect, Effective, OnExhausted, StepPolicy, effective, secs};
use crate::workflow::retry::Retry;

mod edits;
mod room;

const NOW: Timestamp = Timestamp(1_000_000);

fn name(text: &str) -> Name {
    Name::new(text).expect("a valid name")
}

fn json(text: &str) -> Payload {
    Payload::from_text(text).expect("JSON")
}

fn worker(text: &str) -> WorkerId {
    WorkerId::new(text).expect("a valid id")
}

/// A run on paper.
struct Paper {
    state: State,
    plan: Plan,
    graph: Arc<Graph>,
    limits: Arc<[Effective]>,
    now: Timestamp,
}

impl Paper {
    fn new(nodes: Vec<Node>, steps: &[(&str, StepPolicy)], input: &str) -> Self {
        Self::shaped(nodes, steps, input, |_| {})
    }

    fn shaped(
        nodes: Vec<Node>,
        steps: &[(&str, StepPolicy)],
        input: &str,
        shape: impl Fn(&mut Graph),
    ) -> Self {
        let specs = steps.iter().map(|(step, policy)| StepSpec::new(name(step), *policy));
        let mut graph = Graph { steps: specs.collect(), nodes };
        shape(&mut graph);
        graph.measure();
        let graph = Arc::new(graph);
        let defaults = StepPolicy::default();
        let limits: Arc<[Effective]> =
            graph.steps.iter().map(|step| effective(&step.policy, &defaults, &defaults)).collect();
        let created = RunCreated {
            workflow: name("w"),
            workflow_version: 1,
            fingerprint: graph.fingerprint(),
            input: json(input),
            actor: Actor::Program,
            parent: None,
            deadline_at: None,
            queue_until: None,
            limits: Default::default(),
            limit_key: None,
            not_before: None,
        };
        let state = State::new(created, NOW);
        let plan = Plan::new(Arc::clone(&graph), Arc::clone(&limits), &state);
        let mut paper = Self { state, plan, graph, limits, now: NOW };
        paper.happen(taken("w-1", 1));
        paper
    }

    fn chain(steps: &[(&str, StepPolicy)]) -> Self {
        let nodes = (0..steps.len()).map(|index| Node::Step(StepIndex(index))).collect();
        Self::new(nodes, steps, "1")
    }

    fn happen(&mut self, event: impl Into<Event>) {
        let event = event.into();
        self.state.apply(&event, self.now).expect("a legal event");
        self.plan.note(&event, &self.state);
    }

    fn refuses(&mut self, event: impl Into<Event>) -> bool {
        self.state.clone().apply(&event.into(), self.now).is_err()
    }

    fn next(&mut self) -> Next {
        self.plan.next(&self.state, self.now, 1_000).expect("a plan")
    }

    /// Decides, counts the attempts, and names them.
    fn begin(&mut self) -> Vec<String> {
        let next = self.next();
        assert!(next.rest.is_none(), "the run came to rest: {:?}", next.rest);
        for event in next.events {
            self.happen(event);
        }
        for start in &next.starts {
            self.happen(StepStarted { place: start.place.clone(), attempt: start.attempt });
        }
        next.starts
            .iter()
            .map(|start| format!("{}#{}({})", start.place, start.attempt, start.input.text()))
            .collect()
    }

    fn rest(&mut self) -> Rest {
        self.next().rest.expect("the run comes to rest")
    }

    fn succeed(&mut self, place: Place, output: &str) {
        let attempt = self.state.step(&place).expect("begun").attempt;
        self.happen(StepSucceeded { place, attempt, output: json(output), version: 1, elapsed_ms: 1 });
    }

    fn fail(&mut self, place: Place, failure: Failure) -> Then {
        let step = self.state.step(&place).expect("begun").clone();
        let index = self.index_of(&place);
        let then = after_failure(&step, &self.limits[index], &failure, self.now, 0.5);
        let attempt = step.attempt;
        self.happen(AttemptFailed {
            place,
            attempt,
            failure,
            elapsed_ms: 1,
            then: then.clone(),
            limits: serde_json::Value::Null,
            seen: Box::default(),
        });
        then
    }

    fn index_of(&self, place: &Place) -> usize {
        self.graph.find(&place.step).expect("a step").0
    }
}

fn taken(by: &str, fence: u64) -> RunTaken {
    RunTaken { worker: worker(by), fence: Fence(fence), lost: None, code_version: None }
}

fn at(step: &str) -> Place {
    Place::of(name(step))
}

fn item(step: &str, item: u32) -> Place {
    Place { step: name(step), item: item.into() }
}

fn transient() -> Failure {
    Failure {
        class: crate::workflow::error::ErrorClass::Transient,
        message: "try again".to_owned(),
        ..Failure::default()
    }
}

fn permanent() -> Failure {
    Failure {
        class: crate::workflow::error::ErrorClass::Permanent,
        message: "no".to_owned(),
        ..Failure::default()
    }
}

fn plain() -> StepPolicy {
    StepPolicy::default().retry(Retry::fixed(secs(2)).max_attempts(2))
}

#[test]
fn a_chain_hands_each_output_to_the_next_step() {
    let mut run = Paper::chain(&[("a", plain()), ("b", plain())]);
    assert_eq!(run.begin(), ["a#1(1)"]);
    assert!(run.begin().is_empty(), "a running step is not started twice");
    run.succeed(at("a"), "2");
    assert_eq!(run.begin(), ["b#1(2)"]);
    run.succeed(at("b"), "3");
    assert_eq!(run.rest(), Rest::Succeed { result: Shape::Step(name("b")), output: json("3") });
}

#[test]
fn parallel_steps_share_their_input_and_join_in_the_order_of_the_definition() {
    let branches = vec![vec![Node::Step(StepIndex(0))], vec![Node::Step(StepIndex(1))]];
    let node = Node::Parallel { branches, join: Join::FailFast };
    let mut run = Paper::new(vec![node], &[("a", plain()), ("b", plain())], "7");
    assert_eq!(run.begin(), ["a#1(7)", "b#1(7)"]);
    run.succeed(at("b"), "\"second\"");
    assert!(run.begin().is_empty());
    run.succeed(at("a"), "\"first\"");
    let Rest::Succeed { output, .. } = run.rest() else { panic!("the run succeeds") };
    assert_eq!(output.text(), "[\"first\",\"second\"]");
}

#[test]
fn a_failed_attempt_is_tried_again_after_its_delay_and_then_the_run_pauses() {
    let mut run = Paper::chain(&[("a", plain())]);
    run.begin();
    assert_eq!(run.fail(at("a"), transient()), Then::RetryAt(NOW.plus_ms(2_000)));
    let next = run.next();
    assert!(next.starts.is_empty());
    assert_eq!(next.timer, Some(NOW.plus_ms(2_000)));
    run.now = NOW.plus_ms(2_000);
    assert_eq!(run.begin(), ["a#2(1)"]);
    assert_eq!(run.fail(at("a"), transient()), Then::Exhausted("max_attempts".to_owned()));
    let Rest::Pause { reason, message, .. } = run.rest() else { panic!("the run pauses") };
    assert_eq!(reason, PauseReason::Exhausted);
    assert!(message.contains("failed 2 times") && message.contains("retry"), "{message}");
}

#[test]
fn a_person_s_retry_gives_a_fresh_budget_and_attempts_count_on() {
    let mut run = Paper::chain(&[("a", plain())]);
    for _ in 0..2 {
        run.begin();
        run.fail(at("a"), transient());
        run.now = run.now.plus_ms(2_000);
    }
    run.happen(RunPaused {
        reason: PauseReason::Exhausted,
        actor: Actor::Engine,
        message: String::new(),
        place: None,
        failure: None,
        code: None,
    });
    let resume = |retry| RunResumed { actor: Actor::Person("ada".to_owned()), message: String::new(), retry };
    run.happen(resume(true));
    run.happen(taken("w-1", 2));
    assert_eq!(run.begin(), ["a#3(1)"]);
    assert_eq!(run.fail(at("a"), transient()), Then::RetryAt(run.now.plus_ms(2_000)));
}

#[test]
fn a_permanent_failure_ends_the_run_at_once() {
    let mut run = Paper::chain(&[("a", plain())]);
    run.begin();
    assert_eq!(run.fail(at("a"), permanent()), Then::Never);
    assert!(matches!(run.rest(), Rest::Fail { place: Some(_), .. }));
}

#[test]
fn exhausted_retries_fail_the_run_where_the_policy_says_so() {
    let mut run =
        Paper::chain(&[("a", StepPolicy::default().retry(Retry::none()).on_exhausted(OnExhausted::Fail))]);
    run.begin();
    run.fail(at("a"), transient());
    assert!(matches!(run.rest(), Rest::Fail { .. }));
}

#[test]
fn a_step_that_must_not_be_repeated_blindly_pauses_in_doubt_when_it_is_cut_off() {
    let policy = || plain().effect(Effect::NotIdempotent);
    let mut crashed = Paper::chain(&[("a", policy())]);
    crashed.begin();
    crashed.happen(AttemptLost { place: at("a"), attempt: 1, reason: LostReason::Crash });
    assert!(matches!(crashed.rest(), Rest::Pause { reason: PauseReason::InDoubt, .. }));

    let mut late = Paper::chain(&[("a", policy())]);
    late.begin();
    assert_eq!(late.fail(at("a"), Failure::timeout("attempt_timeout", 5, "step")), Then::Never);
    assert!(matches!(late.rest(), Rest::Pause { reason: PauseReason::InDoubt, .. }));

    let mut refused = Paper::chain(&[("a", policy())]);
    refused.begin();
    assert!(
        matches!(refused.fail(at("a"), transient()), Then::RetryAt(_)),
        "an error it returned is no doubt"
    );
}

#[test]
fn a_step_that_kills_its_worker_too_often_is_quarantined() {
    let mut run = Paper::chain(&[("a", plain().crash_max(2))]);
    run.begin();
    run.happen(AttemptLost { place: at("a"), attempt: 1, reason: LostReason::Crash });
    assert_eq!(run.begin(), ["a#2(1)"], "the lost attempt was counted");
    run.happen(AttemptLost { place: at("a"), attempt: 2, reason: LostReason::Crash });
    assert!(matches!(run.rest(), Rest::Pause { reason: PauseReason::Quarantined, .. }));
}

#[test]
fn a_shutdown_uses_up_no_attempt() {
    let mut run = Paper::chain(&[("a", plain())]);
    for attempt in 1..=5 {
        assert_eq!(run.begin(), [format!("a#{attempt}(1)")]);
        run.happen(AttemptLost { place: at("a"), attempt, reason: LostReason::Shutdown });
    }
    run.begin();
    assert!(matches!(run.fail(at("a"), transient()), Then::RetryAt(_)));
}

fn map(concurrency: u32, tolerance: Option<Tolerance>, input: &str) -> Paper {
    Paper::new(
        vec![Node::Map { body: vec![Node::Step(StepIndex(0))], concurrency, tolerance, names: None }],
        &[("a", plain())],
        input,
    )
}

#[test]
fn a_map_starts_items_in_order_up_to_its_concurrency_and_keeps_their_order() {
    let mut run = map(2, None, "[10,20,30]");
    assert_eq!(run.begin(), ["a[0]#1(10)", "a[1]#1(20)"]);
    run.succeed(item("a", 1), "21");
    assert_eq!(run.begin(), ["a[2]#1(30)"]);
    run.succeed(item("a", 2), "31");
    run.succeed(item("a", 0), "11");
    let Rest::Succeed { output, .. } = run.rest() else { panic!("the run succeeds") };
    assert_eq!(output.text(), "[11,21,31]");
}

#[test]
fn a_map_over_nothing_gives_nothing() {
    let Rest::Succeed { output, .. } = map(2, None, "[]").rest() else { panic!("the run succeeds") };
    assert_eq!(output.text(), "[]");
}

#[test]
fn a_failed_item_stops_a_map_that_tolerates_none_once_the_others_have_ended() {
    let mut run = map(2, None, "[1,2,3]");
    run.begin();
    run.fail(item("a", 0), permanent());
    let next = run.next();
    assert!(next.starts.is_empty() && next.rest.is_none(), "item 1 may end: {next:?}");
    run.succeed(item("a", 1), "2");
    let Rest::Fail { place, .. } = run.rest() else { panic!("the run fails") };
    assert_eq!(place, Some(item("a", 0)));
}

#[test]
fn a_tolerant_map_tells_what_became_of_each_item() {
    let mut run = map(3, Some(Tolerance { count: 1, share: 0.0 }), "[1,2]");
    run.begin();
    run.fail(item("a", 0), permanent());
    run.succeed(item("a", 1), "5");
    let Rest::Succeed { output, .. } = run.rest() else { panic!("the run succeeds") };
    assert!(
        output.text().starts_with("[{\"failed\":{") && output.text().ends_with(",{\"ok\":5}]"),
        "{output:?}"
    );
}

#[test]
fn items_are_tried_again_before_new_ones_begin() {
    let mut run = map(1, None, "[1,2]");
    run.begin();
    run.fail(item("a", 0), transient());
    assert_eq!(run.begin(), ["a[1]#1(2)"], "a waiting item takes no place");
    run.succeed(item("a", 1), "2");
    run.now = run.now.plus_ms(2_000);
    assert_eq!(run.begin(), ["a[0]#2(1)"]);
}

#[test]
fn a_request_is_carried_out_when_running_attempts_have_ended() {
    let ask =
        |interrupt| PauseRequested { actor: Actor::Program, message: String::new(), interrupt, code: None };
    let mut run = Paper::chain(&[("a", plain()), ("b", plain())]);
    run.begin();
    run.happen(ask(false));
    let next = run.next();
    assert!(!next.stop && next.rest.is_none(), "a pause waits for the attempt");
    run.happen(ask(true));
    assert!(run.next().stop, "an interruption does not");
    run.happen(CancelRequested { actor: Actor::Program, message: String::new(), undo: false });
    run.happen(AttemptLost { place: at("a"), attempt: 1, reason: LostReason::Stopped });
    assert_eq!(run.rest(), Rest::Cancel);
}

#[test]
fn a_run_past_its_deadline_fails() {
    let mut run = Paper::chain(&[("a", plain())]);
    let mut created = (*run.state.created).clone();
    created.deadline_at = Some(NOW.plus_ms(100));
    run.state = State::new(created, NOW);
    run.happen(taken("w-1", 1));
    run.begin();
    assert_eq!(run.next().timer, Some(NOW.plus_ms(100)));
    run.now = NOW.plus_ms(100);
    assert!(run.next().stop);
    run.happen(AttemptLost { place: at("a"), attempt: 1, reason: LostReason::Stopped });
    let Rest::Fail { failure, .. } = run.rest() else { panic!("the run fails") };
    assert_eq!(failure.code.as_deref(), Some("timeout.run_deadline"));
}

#[test]
fn an_illegal_event_is_refused_and_changes_nothing() {
    let mut run = Paper::chain(&[("a", plain()), ("b", plain())]);
    let succeed =
        |attempt| StepSucceeded { place: at("a"), attempt, output: json("1"), version: 1, elapsed_ms: 0 };
    assert!(run.refuses(succeed(1)), "a result of a step that never began");
    assert!(run.refuses(StepStarted { place: at("a"), attempt: 2 }), "a second attempt without a first");
    run.begin();
    assert!(run.refuses(StepStarted { place: at("a"), attempt: 2 }), "two attempts at once");
    assert!(run.refuses(succeed(2)), "a result of another attempt");
    assert!(run.refuses(RunSucceeded { result: Shape::Given }), "an end while a step runs");
    assert!(run.refuses(RunCancelled {}), "a cancellation that nobody asked for");
    assert!(
        run.refuses(RunReleased { wake_at: None, reason: ReleaseReason::Waiting }),
        "giving up while a step runs"
    );
    run.happen(succeed(1));
    assert!(run.refuses(succeed(1)), "a second result");
    run.begin();
    run.succeed(at("b"), "3");
    run.happen(RunSucceeded { result: Shape::Step(name("b")) });
    assert_eq!(run.state.status, Status::Succeeded);
    assert!(run.refuses(taken("w-2", 2)), "a takeover after the end");
    let retry = RunResumed { actor: Actor::Program, message: String::new(), retry: true };
    assert!(run.refuses(retry), "a retry after success");
}

#[test]
fn what_a_step_saved_is_there_for_its_next_attempt_and_gone_after_its_success() {
    let mut run = Paper::chain(&[("a", plain())]);
    run.begin();
    run.happen(Checkpointed { place: at("a"), attempt: 1, cursor: json("42"), progress: None });
    run.happen(Memoised { place: at("a"), attempt: 1, name: "part".to_owned(), value: json("\"done\"") });
    run.fail(at("a"), transient());
    let step = run.state.step(&at("a")).expect("begun");
    assert_eq!(step.cursor, Some(json("42")));
    assert_eq!(step.memo.get("part"), Some(&json("\"done\"")));
    run.now = run.now.plus_ms(2_000);
    run.begin();
    run.succeed(at("a"), "1");
    let step = run.state.step(&at("a")).expect("begun");
    assert!(step.cursor.is_none() && step.memo.is_empty());
}

#[test]
fn a_journal_folds_to_the_state_that_wrote_it() {
    let mut run = Paper::chain(&[("a", plain()), ("b", plain())]);
    let mut events: Vec<Event> = vec![(*run.state.created).clone().into(), taken("w-1", 1).into()];
    let mut happen = |run: &mut Paper, event: Event| {
        run.happen(event.clone());
        events.push(event);
    };
    happen(&mut run, StepStarted { place: at("a"), attempt: 1 }.into());
    happen(
        &mut run,
        StepSucceeded {
            place: at("a"),
            attempt: 1,
            output: json("{\"x\":[1,2.50]}"),
            version: 1,
            elapsed_ms: 3,
        }
        .into(),
    );
    happen(&mut run, StepStarted { place: at("b"), attempt: 1 }.into());
    let records: Vec<_> = events
        .iter()
        .enumerate()
        .map(|(nth, event)| event.record(stepwell_contract::Seq(nth as u64 + 1), NOW).expect("a record"))
        .collect();
    let folded = State::fold(&records).expect("a state");
    assert_eq!(folded, run.state);
    assert!(State::fold(&records[1..]).is_err(), "a journal without its beginning is refused");
    assert!(State::fold(records.iter().take(2).chain(&records[3..])).is_err(), "a gap is refused");
}

#[test]
fn a_definition_that_lost_a_step_or_gained_one_in_the_middle_does_not_fit() {
    let mut run = Paper::chain(&[("a", plain()), ("b", plain())]);
    run.begin();
    run.succeed(at("a"), "2");
    run.begin();
    let graph = |steps: &[&str]| Graph {
        steps: steps.iter().map(|step| StepSpec::new(name(step), plain())).collect(),
        nodes: (0..steps.len()).map(|index| Node::Step(StepIndex(index))).collect(),
    };
    assert_eq!(misfits(&graph(&["a", "b", "c"]), &run.state), []);
    assert_eq!(misfits(&graph(&["a"]), &run.state), [Misfit::StepGone(name("b"))]);
    let inserted = Misfit::Inserted { missing: name("x"), begun: name("b") };
    assert_eq!(misfits(&graph(&["a", "x", "b"]), &run.state), [inserted]);
}

#[test]
fn a_retry_leaves_tolerated_items_as_later_steps_have_seen_them() {
    let nodes = vec![
        Node::Map {
            body: vec![Node::Step(StepIndex(0))],
            concurrency: 2,
            tolerance: Some(Tolerance { count: 1, share: 0.0 }),
            names: None,
        },
        Node::Step(StepIndex(1)),
    ];
    let mut run = Paper::new(nodes, &[("a", plain()), ("b", plain())], "[1,2]");
    run.begin();
    run.fail(item("a", 0), permanent());
    run.succeed(item("a", 1), "2");
    run.begin();
    run.fail(at("b"), permanent());
    let Rest::Fail { place, failure } = run.rest() else { panic!("the run fails") };
    run.happen(RunFailed { place, failure });
    run.happen(RunResumed { actor: Actor::Program, message: String::new(), retry: true });
    run.happen(taken("w-1", 2));
    let again = run.begin();
    assert_eq!(again.len(), 1, "{again:?}");
    assert!(again[0].starts_with("b#2"), "{again:?}");
}

#[test]
fn a_retry_past_the_deadline_gives_the_run_its_time_once_more() {
    let mut run = Paper::chain(&[("a", plain())]);
    let mut created = (*run.state.created).clone();
    created.deadline_at = Some(NOW.plus_ms(100));
    run.state = State::new(created, NOW);
    run.happen(taken("w-1", 1));
    run.now = NOW.plus_ms(100);
    let Rest::Fail { place, failure } = run.rest() else { panic!("the run fails") };
    run.happen(RunFailed { place, failure });
    run.now = NOW.plus_ms(500);
    run.happen(RunResumed { actor: Actor::Program, message: String::new(), retry: true });
    run.happen(taken("w-1", 2));
    assert_eq!(run.begin(), ["a#1(1)"]);
    assert_eq!(run.state.deadline_at, Some(NOW.plus_ms(600)));
}

#[test]
fn a_step_that_stopped_when_told_is_in_doubt_and_has_used_up_no_attempt() {
    let stopped = |run: &mut Paper| {
        run.begin();
        let failure = Failure::cancelled("told to stop");
        let then = Then::Stopped;
        run.happen(AttemptFailed {
            place: at("a"),
            attempt: 1,
            failure,
            elapsed_ms: 1,
            then,
            limits: serde_json::Value::Null,
            seen: Box::default(),
        });
    };
    let mut careful = Paper::chain(&[("a", plain().effect(Effect::NotIdempotent))]);
    stopped(&mut careful);
    assert!(matches!(careful.rest(), Rest::Pause { reason: PauseReason::InDoubt, .. }));
    let mut plain = Paper::chain(&[("a", plain())]);
    stopped(&mut plain);
    plain.begin();
    assert!(matches!(plain.fail(at("a"), transient()), Then::RetryAt(_)));
}

#[test]
fn resume_is_refused_where_the_run_would_pause_again_at_once() {
    let mut run = Paper::chain(&[("a", plain())]);
    let paused = |reason| RunPaused {
        reason,
        actor: Actor::Engine,
        message: String::new(),
        place: None,
        failure: None,
        code: None,
    };
    let ask = |verb| Ask::new(verb, Actor::Program, "");
    let id = MessageId::new("m-1").expect("a valid id");
    run.happen(paused(PauseReason::Exhausted));
    assert!(matches!(ask(Verb::Resume).answer(&id, &run.state, None, NOW), Event::RequestRefused(_)));
    assert!(matches!(ask(Verb::Retry).answer(&id, &run.state, None, NOW), Event::RunResumed(_)));
    let mut run = Paper::chain(&[("a", plain())]);
    run.happen(paused(PauseReason::Requested));
    assert!(matches!(ask(Verb::Resume).answer(&id, &run.state, None, NOW), Event::RunResumed(_)));
}

#[test]
fn whatever_a_step_says_of_its_progress_can_be_read_back() {
    for fraction in [f64::NAN, f64::INFINITY, -1.0, 0.5, 7.0] {
        let progress = Some(Progress::new(fraction, "\0".repeat(10_000)));
        let saved = Checkpointed { place: at("a"), attempt: 1, cursor: json("1"), progress };
        let event = Event::from(saved);
        let record = event.record(stepwell_contract::Seq(1), NOW).expect("a record");
        assert_eq!(Event::read(&record).expect("readable"), event);
        assert!(record.payload.text().len() < 2_000);
    }
}

/// A chain of steps, each undone by a step of its name and `.undo`.
fn saga(steps: &[&str]) -> Paper {
    let named: Vec<String> = steps.iter().map(|step| format!("{step}.undo")).collect();
    let all: Vec<(&str, StepPolicy)> =
        steps.iter().copied().chain(named.iter().map(String::as_str)).map(|step| (step, plain())).collect();
    let nodes = (0..steps.len()).map(|index| Node::Step(StepIndex(index))).collect();
    Paper::shaped(nodes, &all, "1", |graph| {
        for index in 0..steps.len() {
            graph.steps[index].undo = Some(StepIndex(index + steps.len()));
        }
    })
}

#[test]
fn a_run_that_fails_undoes_what_it_did_in_reverse_order_and_then_has_failed() {
    let mut run = saga(&["a", "b", "c"]);
    for (step, output) in [("a", "2"), ("b", "3")] {
        run.begin();
        run.succeed(at(step), output);
    }
    run.begin();
    run.fail(at("c"), permanent());
    assert_eq!(run.begin(), ["b.undo#1(3)"], "what failed is not undone; an undo takes what the step gave");
    run.succeed(at("b.undo"), "null");
    assert_eq!(run.begin(), ["a.undo#1(2)"]);
    run.succeed(at("a.undo"), "null");
    let Rest::Fail { place, .. } = run.rest() else { panic!("the run fails") };
    assert_eq!(place, Some(at("c")), "for the reason it had");
}

#[test]
fn an_undo_that_fails_holds_the_run_and_a_retry_goes_on_with_it() {
    let mut run = saga(&["a", "b"]);
    run.begin();
    run.succeed(at("a"), "2");
    run.begin();
    run.fail(at("b"), permanent());
    run.begin();
    run.fail(at("a.undo"), permanent());
    let Rest::Pause { reason, place, message, failure } = run.rest() else { panic!("the run is held") };
    assert_eq!((reason, place.clone()), (PauseReason::NeedsAttention, Some(at("a.undo"))));
    assert!(message.contains("could not be undone"), "{message}");
    run.happen(RunPaused { reason, actor: Actor::Engine, message, place, failure, code: None });
    let id = MessageId::new("m-1").expect("a valid id");
    let retry = Ask::new(Verb::Retry, Actor::Program, "");
    let resumed = retry.answer(&id, &run.state, None, NOW);
    run.happen(resumed);
    run.happen(taken("w-2", 2));
    assert_eq!(run.begin(), ["a.undo#2(2)"]);
    run.succeed(at("a.undo"), "null");
    assert!(matches!(run.rest(), Rest::Fail { .. }));
}

#[test]
fn a_run_is_undone_on_request_and_ends_as_cancelled() {
    let mut run = saga(&["a", "b"]);
    run.begin();
    run.succeed(at("a"), "2");
    run.begin();
    run.happen(CancelRequested { actor: Actor::Program, message: String::new(), undo: true });
    assert!(run.next().stop, "what runs is stopped first");
    run.happen(AttemptLost { place: at("b"), attempt: 1, reason: LostReason::Stopped });
    assert!(run.refuses(RunCancelled {}), "nothing was undone yet");
    assert_eq!(run.begin(), ["a.undo#1(2)"]);
    run.succeed(at("a.undo"), "null");
    assert_eq!(run.rest(), Rest::Cancel);
}

#[test]
fn an_undo_on_request_that_fails_is_held_and_goes_on_to_its_end_once_retried() {
    let mut run = saga(&["a", "b"]);
    run.begin();
    run.succeed(at("a"), "2");
    run.happen(CancelRequested { actor: Actor::Program, message: String::new(), undo: true });
    assert_eq!(run.begin(), ["a.undo#1(2)"]);
    run.fail(at("a.undo"), permanent());
    let Rest::Pause { reason, place, message, failure } = run.rest() else { panic!("the run is held") };
    run.happen(RunPaused { reason, actor: Actor::Engine, message, place, failure, code: None });
    let id = MessageId::new("m-1").expect("a valid id");
    let retry = Ask::new(Verb::Retry, Actor::Program, "");
    run.happen(retry.answer(&id, &run.state, None, NOW));
    run.happen(taken("w-2", 2));
    assert_eq!(run.begin(), ["a.undo#2(2)"]);
    run.succeed(at("a.undo"), "null");
    assert_eq!(run.rest(), Rest::Cancel);
    run.happen(RunCancelled {});
    assert_eq!(run.state.status, Status::Cancelled);
}

#[test]
fn a_run_that_was_undone_is_not_tried_again() {
    let mut run = saga(&["a", "b"]);
    run.begin();
    run.succeed(at("a"), "2");
    run.begin();
    run.fail(at("b"), permanent());
    run.begin();
    run.succeed(at("a.undo"), "null");
    let Rest::Fail { place, failure } = run.rest() else { panic!("the run fails") };
    run.happen(RunFailed { place, failure });
    let id = MessageId::new("m-1").expect("a valid id");
    let retry = Ask::new(Verb::Retry, Actor::Program, "");
    assert!(matches!(retry.answer(&id, &run.state, None, NOW), Event::RequestRefused(_)));
}
