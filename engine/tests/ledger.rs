//! What is kept of attempts: of those that failed, what the engine saw at the moment of it.

mod until;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use stepwell::contract::MemoryBackend;
use stepwell::diagnosis::evidence::{AttemptEnd, AttemptRecord};
use stepwell::exec::builder::EngineBuilder;
use stepwell::prelude::*;
use stepwell::{ForkRun, Place, RunHandle};

use crate::until::{soon, until};

fn place(text: &str) -> Place {
    text.parse().expect("a place")
}

fn builder() -> EngineBuilder {
    Engine::builder(Arc::new(MemoryBackend::new())).code_version("1.4.2")
}

/// The end of a run of a workflow with one step.
async fn ends(engine: &Engine, input: &str) -> RunHandle {
    let run = engine.start_run("w", "r-1", &input).await.expect("a run");
    let _ = soon("the run comes to rest", run.output()).await;
    run
}

/// The attempts of the step `act` after a run with it has come to rest.
async fn attempts<F, Fut>(builder: EngineBuilder, retry: Retry, input: &str, act: F) -> Vec<AttemptRecord>
where
    F: Fn(StepContext, String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = StepResult<String>> + Send + 'static,
{
    let flow = Workflow::named("w")
        .step_fn("act", move |ctx: StepContext, input: String| act(ctx, input))
        .policy(StepPolicy::default().retry(retry))
        .build()
        .expect("a workflow");
    let engine = builder.register(flow).start().await.expect("an engine");
    let run = ends(&engine, input).await;
    engine.attempts(run.key(), &place("act")).await.expect("attempts")
}

fn once() -> Retry {
    Retry::none()
}

fn field<'a>(attempt: &'a AttemptRecord, name: &str) -> Option<&'a str> {
    attempt.chain.iter().rev().find_map(|link| link.fields.get(name)).map(String::as_str)
}

#[tokio::test]
async fn a_failed_attempt_tells_who_ran_it_on_what_and_what_its_error_holds() {
    let input = "x".repeat(70_000);
    let found = attempts(builder(), once(), &input, |ctx, _| async move {
        ctx.info("connecting with password=hunter2");
        ctx.checkpoint(&serde_json::json!({"line": 7, "token": "t0ken-0123456789"}), 0.5).await?;
        std::fs::read("/nowhere/at/all").note("reading /nowhere/at/all for http://ada:hunter2@db/")?;
        Ok(String::new())
    })
    .await;
    let [last] = &found[..] else { panic!("one attempt: {found:?}") };
    assert_eq!((last.attempt, last.ended), (1, AttemptEnd::Failed));
    assert_eq!(last.class, Some(ErrorClass::Permanent));
    assert_eq!(field(last, "errno"), Some("ENOENT"));
    assert_eq!(last.pid, Some(std::process::id()));
    assert_eq!(last.code_version.as_deref(), Some("1.4.2"));
    assert!(last.host.is_some() && last.worker.is_some() && last.fence.is_some(), "{last:?}");
    assert_eq!(last.input_bytes, Some(70_002));
    assert_eq!(last.input_hash.as_ref().map(String::len), Some(16));
    assert_eq!(last.progress.as_ref().map(|progress| progress.fraction), Some(0.5));
    assert!(last.cursor.as_ref().is_some_and(|cursor| cursor.contains("\"line\":7")), "{last:?}");
    assert!(last.rss_peak_bytes > Some(0) && last.limits.is_some(), "{last:?}");
    assert_eq!(last.log_tail.len(), 1);
    let all = format!("{last:?}");
    assert!(!all.contains("hunter2") && !all.contains("t0ken"), "{all}");
}

#[tokio::test]
async fn a_panic_leaves_its_place() {
    let found = attempts(builder(), once(), "", |_, _| async move { panic!("of all things") }).await;
    let last = found.last().expect("an attempt");
    assert!(last.panic_at.as_ref().is_some_and(|at| at.contains("tests/ledger.rs:")), "{last:?}");
}

#[tokio::test]
async fn an_output_that_is_too_large_shows_its_size() {
    let found = attempts(builder(), once(), "", |_, _| async move { Ok("x".repeat(2 << 20)) }).await;
    assert_eq!(found.last().and_then(|last| last.output_bytes), Some((2 << 20) + 2));
}

#[tokio::test]
async fn attempts_stay_known_after_a_success_and_a_fork_shows_those_of_its_origin() {
    let tries = Arc::new(AtomicU32::new(0));
    let flow = Workflow::named("w")
        .step_fn("act", move |_: StepContext, input: String| {
            let nth = tries.fetch_add(1, Ordering::SeqCst);
            async move { if nth < 2 { Err(StepError::transient("not yet")) } else { Ok(input) } }
        })
        .policy(StepPolicy::default().retry(Retry::fixed(millis(1)).max_attempts(5)))
        .step_fn("after", |_: StepContext, input: String| async move { Ok(input) })
        .build()
        .expect("a workflow");
    let engine = builder().register(flow).start().await.expect("an engine");
    let run = ends(&engine, "in").await;
    let found = engine.attempts(run.key(), &place("act")).await.expect("attempts");
    let told: Vec<_> = found.iter().map(|attempt| (attempt.attempt, attempt.ended)).collect();
    assert_eq!(told, [(1, AttemptEnd::Failed), (2, AttemptEnd::Failed), (3, AttemptEnd::Succeeded)]);
    assert_eq!(found[2].output_bytes, Some(4));
    assert_eq!(found[0].input_hash, found[1].input_hash);

    let fork = engine.fork(run.key(), ForkRun::new("r-2", place("after"))).await.expect("a fork");
    soon("the fork ends", fork.output()).await.expect("a result");
    assert_eq!(engine.attempts(fork.key(), &place("act")).await.expect("attempts"), found);
    until("the fork has an attempt of its own", async || {
        engine.attempts(fork.key(), &place("after")).await.expect("attempts").len() == 1
    })
    .await;
}

#[cfg(unix)]
mod surroundings {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use stepwell::diagnosis::evidence::{EndpointAnswer, EnvironmentFact, FileKind};

    use super::*;

    /// What the only attempt of a step saw that failed with this error, noted with these words.
    async fn seen(
        words: String,
        fail: impl Fn() -> std::io::Error + Send + Sync + 'static,
    ) -> Vec<EnvironmentFact> {
        let act = move |_, _| {
            let (error, words) = (fail(), words.clone());
            async move { Err(error).note(words) }
        };
        let mut found = attempts(builder(), once(), "", act).await;
        found.pop().expect("an attempt").environment
    }

    #[tokio::test]
    async fn a_missing_file_shows_what_is_there_instead() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("orders.csv"), "x").expect("written");
        let missing = folder.path().join("order.csv");
        let named = missing.display().to_string();
        let facts = seen(format!("reading {named}"), move || {
            std::fs::File::open(&missing).expect_err("it is missing")
        })
        .await;
        let path = facts.iter().find_map(|fact| match fact {
            EnvironmentFact::Path { path, found, parent, similar, .. } if *path == named => {
                Some((found, parent, similar))
            }
            _ => None,
        });
        let (found, parent, similar) = path.expect("the path is looked at");
        assert_eq!(*found, None);
        assert_eq!(similar, &["orders.csv"]);
        let parent = parent.as_ref().expect("its folder");
        assert_eq!(
            (parent.kind, parent.path.as_str()),
            (FileKind::Folder, folder.path().to_str().expect("text"))
        );
        assert!(
            facts
                .iter()
                .any(|fact| matches!(fact, EnvironmentFact::Space { total_bytes, .. } if *total_bytes > 0))
        );
        assert!(
            facts.iter().any(|fact| matches!(fact, EnvironmentFact::OpenFiles { count, .. } if *count > 0))
        );
    }

    #[tokio::test]
    async fn a_file_that_may_not_be_read_shows_its_mode_and_owner() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o200)).expect("changed");
        let named = file.path().display().to_string();
        // Root may read everything: what it may do is told, not what the mode says.
        let may = std::fs::File::open(file.path()).and_then(|mut file| file.read(&mut [0])).is_ok();
        let facts = seen(named.clone(), || std::io::Error::from_raw_os_error(13)).await;
        let state = facts.iter().find_map(|fact| match fact {
            EnvironmentFact::Path { path, found: Some(found), uid, .. } if *path == named => {
                Some((found, uid))
            }
            _ => None,
        });
        let (found, uid) = state.expect("the path is looked at");
        assert_eq!((found.mode, found.readable), (Some(0o200), Some(may)));
        assert_eq!(found.owner, *uid);
    }

    #[tokio::test]
    async fn a_refused_port_is_told_from_one_that_takes_connections() {
        let taking = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let open = taking.local_addr().expect("its address");
        let closed = {
            let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            other.local_addr().expect("its address")
        };
        let words = format!("asked {closed} and http://{open}/x");
        let facts = seen(words, move || std::net::TcpStream::connect(closed).expect_err("refused")).await;
        let answers: Vec<_> = facts
            .iter()
            .filter_map(|fact| match fact {
                EnvironmentFact::Endpoint { endpoint, answer, .. } => Some((endpoint.port, *answer)),
                _ => None,
            })
            .collect();
        let expected =
            [(Some(closed.port()), EndpointAnswer::Refuses), (Some(open.port()), EndpointAnswer::Accepts)];
        assert_eq!(answers, expected);
    }

    #[tokio::test]
    async fn an_engine_without_probes_looks_at_nothing() {
        let options = stepwell::EngineOptions { probes: false, ..Default::default() };
        let act = |_, _| async move { Err(std::io::Error::from_raw_os_error(2)).note("/nowhere") };
        let found = attempts(builder().options(options), once(), "", act).await;
        let last = found.last().expect("an attempt");
        assert_eq!(last.environment, []);
        assert_eq!(last.pid, Some(std::process::id()));
    }
}

mod diagnosed {
    use stepwell::contract::{Record, RunKey};
    use stepwell::diagnosis::evidence::Case;
    use stepwell::diagnosis::{Diagnose, Diagnosis, Rules, Told};
    use stepwell::run::event::Event;

    use super::*;

    /// Runs a step that fails so to its rest.
    async fn failed<F>(builder: EngineBuilder, policy: StepPolicy, fail: F) -> (Engine, RunKey)
    where
        F: Fn() -> StepError + Send + Sync + 'static,
    {
        let flow = Workflow::named("w")
            .step_fn("act", move |_: StepContext, _: String| {
                let failed = Err::<String, _>(fail());
                async move { failed }
            })
            .policy(policy)
            .build()
            .expect("a workflow");
        let engine = builder.register(flow).start().await.expect("an engine");
        let key = ends(&engine, "in").await.key().clone();
        (engine, key)
    }

    async fn diagnosis(engine: &Engine, key: &RunKey) -> Diagnosis {
        engine.diagnosis(key).await.expect("readable").expect("a diagnosis")
    }

    fn kinds(history: &[Record]) -> Vec<&str> {
        history.iter().map(|record| record.kind.as_str()).collect()
    }

    #[tokio::test]
    async fn a_failure_for_good_has_its_diagnosis_right_behind_it() {
        let policy = StepPolicy::default().retry(Retry::fixed(millis(1)).max_attempts(2));
        let fail =
            || StepError::from(std::io::Error::from_raw_os_error(2)).transient().note("/nowhere/x.csv");
        let (engine, key) = failed(builder(), policy, fail).await;
        let history = engine.history(&key).await.expect("a history");
        let kinds = kinds(&history);
        assert_eq!(kinds[kinds.len() - 4..], ["step_started", "attempt_failed", "diagnosed", "run_paused"]);
        assert_eq!(
            kinds.iter().filter(|kind| **kind == "diagnosed").count(),
            1,
            "none while it is tried again"
        );
        let Ok(Event::Diagnosed(event)) = Event::read(&history[kinds.len() - 2]) else {
            panic!("unreadable")
        };
        assert_eq!((event.place, event.attempt), (Some(place("act")), Some(2)));
        let found = diagnosis(&engine, &key).await;
        assert_eq!(found, *event.diagnosis);
        assert!(found.code.starts_with("SW") && found.code != "SW9001", "{found:#?}");
        assert!(found.summary.contains("/nowhere/x.csv"), "{found:#?}");
    }

    #[tokio::test]
    async fn a_run_that_fails_as_a_whole_is_diagnosed_too() {
        let flow = Workflow::named("w")
            .run_deadline(millis(200))
            .step_fn("act", |ctx: StepContext, input: String| async move {
                ctx.cancelled().cancelled().await;
                Ok(input)
            })
            .build()
            .expect("a workflow");
        let engine = builder().register(flow).start().await.expect("an engine");
        let run = ends(&engine, "in").await;
        let found = diagnosis(&engine, run.key()).await;
        assert!(found.code.starts_with("SW"), "{found:#?}");
        assert!(found.params.get("workflow").is_none_or(|name| name == "w"), "{found:#?}");
    }

    #[derive(Debug)]
    struct Quota;

    impl Diagnose for Quota {
        fn code(&self) -> &str {
            "SHIP0007"
        }

        fn diagnose(&self, case: &Case<'_>) -> Option<Told> {
            let seen = case.failed().filter(|last| last.code.as_deref() == Some("carrier.quota"))?;
            Some(Told::new(format!("the quota is used up on attempt {}", seen.attempt), "too many parcels"))
        }
    }

    #[tokio::test]
    async fn a_rule_of_the_programs_own_goes_first_and_says_nothing_of_others() {
        let rules = || Rules::none().with(Quota).expect("a rule");
        let fail = || StepError::permanent("no more today").code("carrier.quota");
        let (engine, key) = failed(builder().diagnose(rules()), StepPolicy::default(), fail).await;
        assert_eq!(diagnosis(&engine, &key).await.code, "SHIP0007");

        let fail = || StepError::permanent("something else");
        let (engine, key) = failed(builder().diagnose(rules()), StepPolicy::default(), fail).await;
        assert!(diagnosis(&engine, &key).await.code.starts_with("SW"));
    }

    #[tokio::test]
    async fn a_run_that_succeeds_has_no_diagnosis_and_no_event_more_than_it_needs() {
        let flow = Workflow::named("w")
            .step_fn("act", |_: StepContext, input: String| async move { Ok(input) })
            .build()
            .expect("a workflow");
        let engine = builder().register(flow).start().await.expect("an engine");
        let run = ends(&engine, "in").await;
        assert_eq!(engine.diagnosis(run.key()).await.expect("readable"), None);
        let history = engine.history(run.key()).await.expect("a history");
        let expected = ["run_created", "run_taken", "step_started", "step_succeeded", "run_succeeded"];
        assert_eq!(kinds(&history), expected);
        let text: String = history.iter().map(|record| record.payload.text()).collect();
        assert!(!text.contains("seen") && !text.contains("host"), "{text}");
    }
}
