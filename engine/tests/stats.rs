//! Figures over many runs: what is counted is what is there.

mod bench;
mod until;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use serde_json::Value;
use stepwell::contract::{Name, Query, RunKey, Status, Timestamp};
use stepwell::prelude::*;
use stepwell::{Stats, StatsFilter};

use crate::bench::Bench;
use crate::until::{soon, until};

/// What each run is to do: for each of two steps how often it fails first, and how long it takes, in milliseconds.
type Script = Vec<(u32, u64)>;

fn flow(name: &str, bench: &Bench) -> Workflow<Script, Script> {
    let time = bench.time.clone();
    let step = move |nth: usize| {
        let time = time.clone();
        move |ctx: StepContext, script: Script| {
            let time = time.clone();
            async move {
                let (fails, takes_ms) = script[nth];
                time.advance(millis(takes_ms));
                match fails {
                    9 => Err(StepError::validation("no such customer")),
                    8 => Err(StepError::auth("the key has expired")),
                    fails if ctx.attempt() <= fails => Err(StepError::transient("not yet")),
                    _ => Ok(script),
                }
            }
        }
    };
    let retry = || StepPolicy::default().retry(Retry::fixed(millis(1)).max_attempts(3));
    Workflow::named(name)
        .step_fn("first", step(0))
        .policy(retry())
        .step_fn("second", step(1))
        .policy(retry())
        .build()
        .expect("a workflow")
}

/// The same figures of a step, counted from the texts of journals.
#[derive(Debug, Default, PartialEq)]
struct Counted {
    attempts: u64,
    retries: u64,
    succeeded: u64,
    failed: u64,
    durations: Vec<u64>,
}

/// What journals say, record by record, without the engine's own reading of them.
async fn counted(engine: &Engine, keys: &[RunKey]) -> (BTreeMap<String, Counted>, BTreeMap<String, u64>) {
    let (mut steps, mut codes) = (BTreeMap::<String, Counted>::new(), BTreeMap::new());
    for key in keys {
        for record in engine.history(key).await.expect("a history") {
            let data: Value = serde_json::from_str(record.payload.text()).expect("json");
            let step = data["step"].as_str().unwrap_or_default().to_owned();
            match record.kind.as_str() {
                "step_started" => {
                    let of = steps.entry(step).or_default();
                    of.attempts += 1;
                    of.retries += u64::from(data["attempt"].as_u64() > Some(1));
                }
                "step_succeeded" => {
                    let of = steps.entry(step).or_default();
                    of.succeeded += 1;
                    of.durations.push(data["ms"].as_u64().expect("a number"));
                }
                "attempt_failed" => steps.entry(step).or_default().failed += 1,
                "diagnosed" => {
                    let code = data["diagnosis"]["code"].as_str().expect("a code").to_owned();
                    *codes.entry(code).or_insert(0) += 1;
                }
                _ => {}
            }
        }
    }
    (steps, codes)
}

/// The least of the values that at least so many in a hundred do not exceed.
fn percentile(values: &[u64], percent: usize) -> u64 {
    let fits =
        |value: &&u64| values.iter().filter(|other| other <= value).count() * 100 >= values.len() * percent;
    values.iter().filter(fits).min().copied().unwrap_or(0)
}

fn compare(stats: &Stats, steps: &BTreeMap<String, Counted>, codes: &BTreeMap<String, u64>) {
    assert_eq!(
        stats.steps.iter().map(|step| step.step.clone()).collect::<Vec<_>>(),
        steps.keys().cloned().collect::<Vec<_>>()
    );
    for figures in &stats.steps {
        let of = &steps[&figures.step];
        assert_eq!(
            (figures.attempts, figures.retries, figures.succeeded, figures.failed, figures.lost),
            (of.attempts, of.retries, of.succeeded, of.failed, 0)
        );
        let durations = figures.durations;
        assert_eq!(durations.count, of.durations.len() as u64);
        assert_eq!(durations.p50_ms, percentile(&of.durations, 50));
        assert_eq!(durations.p95_ms, percentile(&of.durations, 95));
        assert_eq!(durations.p99_ms, percentile(&of.durations, 99));
        assert_eq!(durations.max_ms, of.durations.iter().max().copied().unwrap_or(0));
        let mean = of.durations.iter().sum::<u64>() as f64 / of.durations.len().max(1) as f64;
        assert!((durations.mean_ms - mean).abs() < 1e-9, "{} {mean}", durations.mean_ms);
    }
    assert_eq!(stats.codes.iter().cloned().collect::<BTreeMap<_, _>>(), *codes);
    assert!(stats.codes.windows(2).all(|pair| pair[0].1 >= pair[1].1), "{:?}", stats.codes);
}

async fn come_to_rest(engine: &Engine, bench: &Bench, key: &RunKey) {
    until("the run comes to rest", async || {
        bench.time.advance(millis(1));
        let status = engine.get(key).await.expect("readable").expect("a head").status;
        status.is_finished() || status == Status::Paused
    })
    .await;
}

fn scripts() -> impl Strategy<Value = Vec<Script>> {
    let fails = prop::sample::select(vec![0, 0, 0, 1, 2, 5, 8, 9]);
    prop::collection::vec(prop::collection::vec((fails, 0_u64..400), 2), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_figures_of_random_runs_are_what_a_count_of_their_journals_gives(scripts in scripts(), cut in any::<prop::sample::Index>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let bench = Bench::new();
            let engine = bench.builder().register(flow("w", &bench)).register(flow("other", &bench));
            let engine = engine.start().await.expect("an engine");
            let mut keys = Vec::new();
            for (nth, script) in scripts.iter().enumerate() {
                let run = engine.start_run("w", &format!("r-{nth}"), script).await.expect("a run");
                come_to_rest(&engine, &bench, run.key()).await;
                keys.push(run.key().clone());
                let other = engine.start_run("other", &format!("o-{nth}"), &vec![(0_u32, 1_u64); 2]).await.expect("a run");
                soon("the run ends", other.output()).await.expect("a result");
                bench.time.advance(millis(1_000));
            }
            let of = Some(Name::new("w").expect("a name"));
            let filter = StatsFilter { workflow: of, ..StatsFilter::default() };
            let stats = engine.stats(&filter).await.expect("figures");
            let (steps, codes) = counted(&engine, &keys).await;
            compare(&stats, &steps, &codes);
            assert_eq!((stats.runs, stats.is_complete, stats.unread_records), (keys.len() as u64, true, 0));
            let mut by_status = BTreeMap::new();
            for key in &keys {
                *by_status.entry(engine.get(key).await.expect("readable").expect("a head").status).or_insert(0) += 1;
            }
            assert_eq!(stats.by_status, by_status);
            let count = |status| by_status.get(&status).copied().unwrap_or(0) as f64;
            let ended = count(Status::Succeeded) + count(Status::Failed);
            let rate = (ended > 0.0).then(|| count(Status::Failed) / ended);
            assert_eq!(stats.error_rate, rate);
            let hours = (stats.to.0 - stats.from.0) as f64 / 3_600_000.0;
            assert!((stats.ended_per_hour - ended / hours).abs() < 1e-6, "{stats:?}");

            // A window takes those that were made in it, and a limit the newest of these.
            let nth = cut.index(keys.len());
            let since = engine.get(&keys[nth]).await.expect("readable").expect("a head").created_at;
            let stats = engine.stats(&StatsFilter { since: Some(since), ..filter.clone() }).await.expect("figures");
            let (steps, codes) = counted(&engine, &keys[nth..]).await;
            compare(&stats, &steps, &codes);
            assert_eq!((stats.is_complete, stats.from), (true, since));
            let stats = engine.stats(&StatsFilter { until: Some(since), ..filter.clone() }).await.expect("figures");
            let (steps, codes) = counted(&engine, &keys[..nth]).await;
            compare(&stats, &steps, &codes);
            assert_eq!((stats.runs, stats.is_complete), (nth as u64, true));
            let stats = engine.stats(&StatsFilter { runs_max: nth, ..filter.clone() }).await.expect("figures");
            let (steps, codes) = counted(&engine, &keys[keys.len() - nth..]).await;
            compare(&stats, &steps, &codes);
            assert_eq!((stats.runs, stats.is_complete), (nth as u64, false));
        });
    }
}

#[tokio::test]
async fn what_may_be_inconsistent_is_counted_by_its_day() {
    let bench = Bench::new();
    let flow = Workflow::named("w")
        .step_fn("act", |_: StepContext, input: u32| async move { Ok(input) })
        .sleep("later", days(3))
        .build()
        .expect("a workflow");
    let engine = bench.engine(flow).await;
    let run = engine.start_run("w", "r-1", &1_u32).await.expect("a run");
    bench::waits(&engine, &run).await;
    drop(engine);
    // The same version of the workflow with another shape holds the run two days later.
    bench.time.advance(days(3));
    let flow = Workflow::named("w")
        .step_fn("other", |_: StepContext, input: u32| async move { Ok(input) })
        .sleep("later", days(3))
        .build()
        .expect("a workflow");
    let engine = bench.engine(flow).await;
    let run = engine.find(run.key()).await.expect("the run");
    until("it is held", async || run.head().await.expect("a head").status == Status::Paused).await;
    let stats = engine.stats(&StatsFilter::default()).await.expect("figures");
    let days: Vec<_> =
        stats.inconsistencies_by_day.iter().map(|(day, count)| (day.to_string(), *count)).collect();
    assert_eq!(days.len(), 1);
    assert_eq!(days[0].0, "2023-11-17");
    assert!(days[0].1 >= 1);
    let query = Query { statuses: vec![Status::Paused], ..Query::default() };
    assert_eq!(engine.list(&query, None, 10).await.expect("a list").items.len(), 1);
    assert!(stats.to >= Timestamp(stats.from.0 + 3 * 24 * 3_600_000));
}

#[tokio::test]
async fn an_attempt_whose_worker_died_is_lost_and_the_next_one_is_a_retry() {
    let bench = Bench::new();
    let started = Arc::new(AtomicBool::new(false));
    let flow = |started: Arc<AtomicBool>| {
        Workflow::named("w")
            .step_fn("act", move |ctx: StepContext, input: u32| {
                let started = Arc::clone(&started);
                async move {
                    started.store(true, Ordering::SeqCst);
                    if ctx.attempt() == 1 {
                        std::future::pending::<()>().await;
                    }
                    Ok(input)
                }
            })
            .policy(StepPolicy::default().effect(Effect::Idempotent))
            .build()
            .expect("a workflow")
    };
    let first = bench.engine(flow(Arc::clone(&started))).await;
    let run = first.start_run("w", "r-1", &1_u32).await.expect("a run");
    until("the step runs", async || started.load(Ordering::SeqCst)).await;
    let key = run.key().clone();
    drop((run, first));
    bench.time.advance(secs(60));
    let second = bench.engine(flow(started)).await;
    come_to_rest(&second, &bench, &key).await;
    let stats = second.stats(&StatsFilter::default()).await.expect("figures");
    let [act] = &stats.steps[..] else { panic!("one step: {stats:?}") };
    assert_eq!((act.attempts, act.retries, act.lost, act.failed, act.succeeded), (2, 1, 1, 0, 1));
}
