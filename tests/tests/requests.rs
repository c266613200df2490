//! Each verb in each state, asked by another engine than the one that has the run: what is allowed happens, what is
//! refused changes nothing.

use std::sync::Arc;
use std::time::Duration;

use stepwell::prelude::*;
use stepwell::{Actor, Ask, EngineOptions, Error, StartRun, Verb};
use stepwell_contract::{Backend, Head, Name, Payload, Record, RunKey, Status};
use stepwell_tests::audit::{check_journal, journal};
use stepwell_tests::hold::{Hold, PATIENCE};
use stepwell_tests::on_every_store;
use stepwell_tests::place::{Kind, Place};
use stepwell_tests::wait::wait_until;

/// The states a run can be asked in; `cancelling` lasts only as long as its step takes to stop.
const STATES: [Status; 8] = [
    Status::Queued,
    Status::Running,
    Status::Waiting,
    Status::Paused,
    Status::Cancelling,
    Status::Succeeded,
    Status::Failed,
    Status::Cancelled,
];

/// Two engines on one store: `owner` takes runs, `other` only asks.
struct Scene {
    owner: Engine,
    other: Engine,
    backend: Arc<dyn Backend>,
    hold: Hold,
    _place: Place,
}

impl Scene {
    async fn new(kind: Kind) -> Self {
        let mut place = Place::new(kind);
        let backend = place.open().await;
        let hold = Hold::default();
        let build = |hold: &Hold, backend: &Arc<dyn Backend>| {
            let fails = |ctx: StepContext, permanent: bool| async move {
                ctx.heartbeat();
                let failure = StepError::transient("later");
                if permanent { Err::<(), _>(StepError::permanent("never")) } else { Err(failure) }
            };
            let hourly =
                StepPolicy::default().retry(Retry::fixed(hours(1)).max_attempts(9)).deadline(days(9));
            let failing = Workflow::named("failing").step_fn("fails", fails).policy(hourly);
            let quick =
                Workflow::named("quick").step_fn("passes", |_ctx: StepContext, (): ()| async { Ok(()) });
            let options = EngineOptions {
                queues: vec![Name::new("default").expect("a name")],
                // As long as a step that was told to stop may go on, `cancelling` lasts.
                stop_grace_ms: 400,
                poll_ms: 20,
                threads: 2,
                ..EngineOptions::default()
            };
            Engine::builder(Arc::clone(backend))
                .register(hold.workflow(StepPolicy::default()))
                .register(failing.build().expect("valid"))
                .register(quick.build().expect("valid"))
                .options(options)
        };
        let owner = build(&hold, &backend).start().await.expect("the owner starts");
        let other = build(&hold, &backend).build().await.expect("the other starts");
        Self { owner, other, backend, hold, _place: place }
    }

    /// A run in that state.
    async fn run_in(&self, status: Status, id: &str) -> RunKey {
        let begun = self.hold.count();
        let start = match status {
            Status::Queued => StartRun::new("quick", id, &()).map(|start| start.queue(nobody())),
            Status::Running | Status::Cancelling => StartRun::new("hold", id, &()),
            Status::Waiting => StartRun::new("failing", id, &false),
            Status::Failed => StartRun::new("failing", id, &true),
            Status::Paused | Status::Cancelled => {
                StartRun::new("quick", id, &()).map(|start| start.queue(nobody()))
            }
            Status::Succeeded => StartRun::new("quick", id, &()),
        };
        let handle = self.owner.start_with(start.expect("valid")).await.expect("started");
        let key = handle.key().clone();
        match status {
            Status::Running => self.hold.begun(begun + 1).await,
            Status::Paused => drop(self.owner.pause(&key, "for the test").await.expect("paused")),
            Status::Cancelled => drop(self.owner.cancel(&key, "for the test").await.expect("cancelled")),
            Status::Cancelling => {
                self.hold.begun(begun + 1).await;
                self.owner.cancel(&key, "for the test").await.expect("asked");
            }
            _ => {}
        }
        self.comes_to(&key, status).await;
        key
    }

    /// The step of the run's workflow.
    fn step_of(&self, head: &Head) -> &'static str {
        match head.workflow.as_str() {
            "failing" => "fails",
            "quick" => "passes",
            _ => "held",
        }
    }

    async fn head(&self, key: &RunKey) -> Head {
        self.backend.head(key).await.expect("the store answers").expect("the run is there")
    }

    async fn records(&self, key: &RunKey) -> Vec<Record> {
        journal(self.backend.as_ref(), key).await.expect("a journal")
    }

    async fn comes_to(&self, key: &RunKey, status: Status) {
        let came = wait_until("the status", PATIENCE, async || {
            (self.head(key).await.status == status).then_some(())
        });
        if let Err(late) = came.await {
            panic!("{key} does not come to {status}, it is {}: {late}", self.head(key).await.status);
        }
    }
}

/// A queue that no worker reads.
fn nobody() -> Name {
    Name::new("nobody").expect("a name")
}

/// Where an allowed request leads; `None` when the run just goes on.
fn leads_to(verb: Verb) -> Option<Status> {
    match verb {
        Verb::Pause | Verb::Interrupt => Some(Status::Paused),
        Verb::Cancel | Verb::Undo | Verb::Terminate => Some(Status::Cancelled),
        _ => None,
    }
}

async fn each_verb_in_each_state(kind: Kind) {
    let scene = Scene::new(kind).await;
    let (mut allowed, mut refused) = (0, 0);
    for status in STATES {
        // The others say more than their verb.
        for verb in Verb::ALL.into_iter().filter(|verb| !verb.is_edit()) {
            let what = format!("{} when {status}", verb.as_str());
            let key = scene.run_in(status, &format!("{}-{status}", verb.as_str())).await;
            let (head, records) = (scene.head(&key).await, scene.records(&key).await);
            let ask = scene.other.ask(&key, verb, Actor::Person("ada".to_owned()), "why not");
            let answer = tokio::time::timeout(Duration::from_secs(60), ask).await.expect(&what);
            match verb.allowed(status) {
                Ok(()) => {
                    allowed += 1;
                    match answer {
                        Ok(_) => {}
                        // While it is being cancelled the run moves by itself, and may have ended before it is asked.
                        Err(Error::Refused { status: Status::Cancelled, .. })
                            if status == Status::Cancelling => {}
                        Err(error) => panic!("{what}: {error}"),
                    }
                    // A pause waits for the step that runs.
                    if verb == Verb::Pause && status == Status::Running {
                        scene.hold.release();
                    }
                    match leads_to(verb) {
                        Some(status) => {
                            scene.comes_to(&key, status).await;
                            scene.hold.hold_again();
                        }
                        None => {
                            let records = scene.records(&key).await;
                            assert!(
                                records.iter().any(|record| record.kind.as_str() == "run_resumed"),
                                "{what}"
                            );
                        }
                    }
                }
                Err(_) => {
                    refused += 1;
                    let error = answer.map(|head| head.status).expect_err(&what);
                    assert!(matches!(error, Error::Refused { .. }), "{what}: {error}");
                    // While it is being cancelled the run moves by itself.
                    if status != Status::Cancelling && status != Status::Running {
                        assert_eq!(scene.head(&key).await, head, "{what}");
                        assert_eq!(scene.records(&key).await, records, "{what}");
                    }
                }
            }
            assert!(check_journal(&key, &scene.records(&key).await).is_empty());
        }
    }
    assert_eq!((allowed, refused), (24, 32));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_verb_is_answered_in_each_state_in_memory() {
    each_verb_in_each_state(Kind::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_verb_is_answered_in_each_state_across_workers_on_redis() {
    each_verb_in_each_state(Kind::Redis).await;
}

/// What a request that changes something says more than its verb.
fn edit(verb: Verb, step: &str) -> Ask {
    let json = |value: &serde_json::Value| Payload::encode(value).expect("JSON");
    let ask = Ask::new(verb, Actor::Person("ada".to_owned()), "why not");
    let at = |ask: Ask| ask.at(step.parse().expect("a place"));
    match verb {
        Verb::SetOutput => at(ask).with(json(&serde_json::json!(7))),
        Verb::EditInput => ask.with(json(&serde_json::json!(null))),
        Verb::MergeContext => ask.with(json(&serde_json::json!({"seen": {"by": "ada"}}))),
        Verb::Report => {
            at(ask).with(json(&serde_json::json!({"attempt": 1, "said": {"succeeded": {"output": 7}}})))
        }
        _ => at(ask),
    }
}

/// Asked by another engine on the same store: what a dry run foretells is what happens, and a refusal changes nothing.
async fn each_edit_in_each_state_does_what_its_dry_run_says(kind: Kind) {
    let scene = Scene::new(kind).await;
    let (mut allowed, mut refused) = (0, 0);
    for status in STATES {
        for verb in Verb::ALL.into_iter().filter(|verb| verb.is_edit()) {
            let what = format!("{} when {status}", verb.as_str());
            let key = scene.run_in(status, &format!("{}-{status}", verb.as_str())).await;
            let (head, records) = (scene.head(&key).await, scene.records(&key).await);
            let ask = edit(verb, scene.step_of(&head));
            let foretold = scene.other.dry_run(&key, &ask).await.expect(&what);
            let answer = tokio::time::timeout(Duration::from_secs(60), scene.other.send(&key, ask)).await;
            let answer = answer.expect(&what);
            // A run that is running or being cancelled moves by itself between the two.
            let moves = matches!(status, Status::Running | Status::Cancelling);
            match (foretold.is_allowed(), answer) {
                (true, Ok(_)) => allowed += 1,
                (false, Err(Error::Refused { .. })) => {
                    refused += 1;
                    if !moves {
                        assert_eq!(scene.head(&key).await, head, "{what}");
                        assert_eq!(scene.records(&key).await, records, "{what}");
                    }
                }
                (_, answer) => assert!(moves, "{what}: foretold {foretold:?}, and then {answer:?}"),
            }
            assert!(check_journal(&key, &scene.records(&key).await).is_empty(), "{what}");
            scene.hold.release();
            scene.hold.hold_again();
        }
    }
    assert!(allowed >= 12 && refused >= 12, "{allowed} allowed, {refused} refused");
}
on_every_store!(each_edit_in_each_state_does_what_its_dry_run_says);
