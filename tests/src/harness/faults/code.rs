//! Faults of code and of data.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};
use stepwell::{Retry, StepContext, StepError, StepPolicy, StepResult, StepResultExt as _, Workflow};

use crate::cases;
use crate::harness::faults::case::Case;
use crate::harness::faults::files::text;
use crate::harness::faults::lab::Lab;
use crate::harness::faults::network::asks;
use crate::harness::faults::servers::refusing;
use crate::harness::faults::time::once;

pub(super) const CASES: &[Case] = cases! {
    #[quick] a_panic: Fault ["SW1001"] "deploy_fix", |lab: Lab| {
        lab.fails(|| async {
            let customers: Vec<String> = Vec::new();
            Ok(customers.into_iter().next().expect("an order has a customer"))
        })
    };
    #[quick] an_index_out_of_bounds: Fault ["SW1001"] "deploy_fix", |lab: Lab| {
        lab.plays(&["in"], |_, input| async move { Ok(input.split(';').collect::<Vec<_>>()[7].to_owned()) })
    };
    #[quick] a_panic_in_a_task_of_the_step: Fault ["SW1001"] "deploy_fix", |lab: Lab| {
        lab.fails(|| async {
            let task = tokio::spawn(async { panic!("the worker task broke") });
            task.await?;
            Ok(String::new())
        })
    };
    #[quick] an_output_that_is_too_large: Fault ["SW1201"] "return_reference", |lab: Lab| {
        lab.fails(|| async { Ok("x".repeat(2 << 20)) })
    };
    an_output_that_is_no_json: Fault ["SW1202"] "deploy_fix", |mut lab: Lab| async move {
        let flow = Workflow::named("w")
            .step_fn("act", |_, _: String| async { Ok::<_, StepError>(BTreeMap::from([(vec![1, 2], 3)])) })
            .build();
        let engine = lab.engine(flow.map_err(|error| error.to_string())?).await?;
        let (run, took) = lab.rests(&engine, "w", "in").await?;
        lab.outcome(&engine, run.key(), took).await
    };
    a_value_that_changed_code_does_not_read: Fault ["SW1203"] "deploy_reader", |mut lab: Lab| async move {
        let old = Workflow::named("w")
            .step_fn("quote", |_, _: String| async { Ok::<_, StepError>(Quote { total: "12.50".to_owned() }) })
            .step_fn("charge", |_, _: Quote| async { Err::<u32, _>(StepError::config("the till is locked")) })
            .build();
        let engine = lab.engine(old.map_err(|error| error.to_string())?).await?;
        let (run, _) = lab.rests(&engine, "w", "in").await?;
        engine.shutdown().await;
        let new = Workflow::named("w")
            .step_fn("quote", |_, _: String| async { Ok::<_, StepError>(NewQuote { total: 12.5, tax: 1.0 }) })
            .step_fn("charge", |_, quote: NewQuote| async move { Ok::<_, StepError>((quote.total + quote.tax) as u32) })
            .build();
        let engine = lab.engine(new.map_err(|error| error.to_string())?).await?;
        engine.retry(run.key(), "the till is open").await.map_err(|error| error.to_string())?;
        let run = engine.find(run.key()).await.map_err(|error| error.to_string())?;
        let took = lab.comes_to_rest(&run).await?;
        lab.outcome(&engine, run.key(), took).await
    };
    a_step_that_the_worker_does_not_have: Fault ["SW8101"] "register_step", |mut lab: Lab| async move {
        let fail = |_: StepContext, _: String| async { Err::<String, _>(StepError::config("the till is locked")) };
        let old = Workflow::named("w").step_fn("charge_card", fail).build();
        let engine = lab.engine(old.map_err(|error| error.to_string())?).await?;
        let (run, _) = lab.rests(&engine, "w", "in").await?;
        engine.shutdown().await;
        let new = Workflow::named("w").step_fn("charge", fail).build();
        let engine = lab.engine(new.map_err(|error| error.to_string())?).await?;
        engine.retry(run.key(), "the till is open").await.map_err(|error| error.to_string())?;
        let run = engine.find(run.key()).await.map_err(|error| error.to_string())?;
        let took = lab.comes_to_rest(&run).await?;
        lab.outcome(&engine, run.key(), took).await
    };
    #[quick] an_input_that_the_step_refuses: Fault ["SW1101"] "edit_input", |lab: Lab| {
        lab.fails(|| async { Err(StepError::validation("quantity is negative")) })
    };
    an_input_that_fails_where_others_pass: Fault ["SW1101"] "edit_input", |lab: Lab| async move {
        let at_once = Workflow::named("w").step_fn("act", tariff).policy(
            StepPolicy::default().retry(Retry::fixed(std::time::Duration::from_millis(150)).max_attempts(3)),
        );
        let engine = lab.engine(at_once.build().map_err(|error| error.to_string())?).await?;
        let bad = engine.start_run("w", "bad", &"zone 9").await.map_err(|error| error.to_string())?;
        for nth in 0..4 {
            let good = engine.start_run("w", &format!("good-{nth}"), &"zone 1").await;
            lab.comes_to_rest(&good.map_err(|error| error.to_string())?).await?;
        }
        let took = lab.comes_to_rest(&bad).await?;
        lab.outcome(&engine, bad.key(), took).await
    };
    #[quick] json_with_an_error_at_a_place: Fault ["SW1102"] "edit_input", |lab: Lab| async move {
        let path = lab.path("orders.json");
        fs::write(&path, "{\n \"id\": 7,\n \"total\": }\n").map_err(text)?;
        lab.fails(move || {
            let path = path.clone();
            async move {
                let read: serde_json::Value = serde_json::from_slice(&fs::read(&path)?).note(format!("reading {path}"))?;
                Ok(read.to_string())
            }
        }).await
    };
    #[quick] text_that_is_no_utf8: Fault ["SW1102", "SW1101"] "edit_input", |lab: Lab| {
        lab.fails(|| async { String::from_utf8(b"caf\xe9".to_vec()).note("decoding the name") })
    };
    #[quick] a_number_that_is_none: Fault ["SW1101"] "edit_input", |lab: Lab| {
        lab.plays(&["twelve"], |_, input| async move { Ok(input.parse::<u32>()?.to_string()) })
    };
    only_large_inputs_fail: Fault ["SW1302"] "split_input", |lab: Lab| {
        let small = "x".repeat(1_000);
        let large = "x".repeat(50_000);
        async move {
            let inputs = [small.as_str(), &small, &small, &small, &large];
            lab.attempts(2).plays(&inputs, |_, input| async move {
                match input.len() {
                    0..10_000 => Ok(String::new()),
                    _ => Err(StepError::transient("the renderer gave up")),
                }
            }).await
        }
    };
    only_since_a_version: Fault ["SW1301"] "roll_back", |lab: Lab| async move {
        let mut lab = lab.code_version("1.4.0");
        let works = |_: StepContext, input: String| async move { Ok::<_, StepError>(input) };
        let engine = lab.engine(flow(works)?).await?;
        for input in ["a", "b", "c", "d"] {
            lab.rests(&engine, "w", input).await?;
        }
        engine.shutdown().await;
        let mut lab = lab.code_version("1.5.0");
        let fails = |_: StepContext, _: String| async { Err::<String, _>(StepError::permanent("totals differ")) };
        let engine = lab.engine(flow(fails)?).await?;
        lab.rests(&engine, "w", "e").await?;
        let (run, took) = lab.rests(&engine, "w", "f").await?;
        lab.outcome(&engine, run.key(), took).await
    };
    #[quick] a_duplicate_key: Fault ["SW1103"] "check_effect", |lab: Lab| {
        lab.fails(|| async { Err(StepError::permanent("orders_pkey").caused_by(Unique { key: 7 })) })
    };
    a_run_that_exists_with_another_input: Fault ["SW1103"] "check_effect", |mut lab: Lab| async move {
        let other = Workflow::named("other").step_fn("noop", |_, n: u32| async move { Ok::<_, StepError>(n) }).build();
        let act = |ctx: StepContext, _: String| async move {
            for input in [1u32, 2] {
                ctx.runs()?.start("other", "o-7", &input).await?;
            }
            Ok::<_, StepError>(String::new())
        };
        let flow = Workflow::named("w").step_fn("act", act).policy(once()).build();
        let (flow, other) = (flow.map_err(|error| error.to_string())?, other.map_err(|error| error.to_string())?);
        let engine = lab.builder().register(flow).register(other).start().await.map_err(|error| error.to_string())?;
        let (run, took) = lab.rests(&engine, "w", "in").await?;
        lab.outcome(&engine, run.key(), took).await
    };
    a_large_input_with_a_cause_of_its_own: Decoy ["SW4001"] "", |lab: Lab| async move {
        let at = refusing()?;
        let (small, large) = ("x".repeat(1_000), "x".repeat(50_000));
        let inputs = [small.as_str(), &small, &small, &small, &large];
        lab.attempts(2).plays(&inputs, move |_, input| async move {
            if input.len() < 10_000 { Ok(String::new()) } else { asks(at).await }
        }).await
    };
    the_first_failure_after_a_deploy: Decoy ["SW9001"] "", |lab: Lab| async move {
        let mut lab = lab.code_version("1.4.0");
        let engine = lab.engine(flow(tariff)?).await?;
        for input in ["a", "b", "c", "d"] {
            lab.rests(&engine, "w", input).await?;
        }
        engine.shutdown().await;
        let mut lab = lab.code_version("1.5.0");
        let engine = lab.engine(flow(tariff)?).await?;
        let (run, took) = lab.rests(&engine, "w", "zone 9").await?;
        lab.outcome(&engine, run.key(), took).await
    };
    only_on_one_worker: Fault ["SW6008"] "compare_workers", |mut lab: Lab| async move {
        let works = |_: StepContext, input: String| async move { Ok::<_, StepError>(input) };
        let fails = |_: StepContext, _: String| async { Err::<String, _>(StepError::transient("the printer does not print")) };
        let well = lab.engine(flow(works)?).await?;
        let retried = StepPolicy::default().retry(Retry::fixed(std::time::Duration::from_millis(300)).max_attempts(2));
        let ill = Workflow::named("w").step_fn("act", fails).policy(retried).build().map_err(|error| error.to_string())?;
        let ill = lab.engine(ill).await?;
        let first = ill.start_run("w", "ill-1", &"in").await.map_err(|error| error.to_string())?;
        let second = ill.start_run("w", "ill-2", &"in").await.map_err(|error| error.to_string())?;
        for input in ["a", "b", "c", "d"] {
            lab.rests(&well, "w", input).await?;
        }
        lab.comes_to_rest(&first).await?;
        let took = lab.comes_to_rest(&second).await?;
        lab.outcome(&ill, second.key(), took).await
    };
    a_new_version_with_a_cause_of_its_own: Decoy ["SW3004"] "", |lab: Lab| async move {
        let mut lab = lab.code_version("1.4.0");
        let works = |_: StepContext, input: String| async move { Ok::<_, StepError>(input) };
        let engine = lab.engine(flow(works)?).await?;
        for input in ["a", "b", "c", "d"] {
            lab.rests(&engine, "w", input).await?;
        }
        engine.shutdown().await;
        let mut lab = lab.code_version("1.5.0");
        let fails = |_: StepContext, _: String| async {
            fs::write("/dev/full", "x").note("writing /dev/full")?;
            Ok::<_, StepError>(String::new())
        };
        let engine = lab.engine(flow(fails)?).await?;
        lab.rests(&engine, "w", "e").await?;
        let (run, took) = lab.rests(&engine, "w", "f").await?;
        lab.outcome(&engine, run.key(), took).await
    };
    an_error_for_every_input: Decoy ["SW9001"] "", |lab: Lab| {
        lab.attempts(3).plays(&["a", "b", "c"], |_, _| async { Err(StepError::permanent("no tariff is loaded")) })
    };
};

fn flow<F, Fut>(act: F) -> Result<Workflow<String, String>, String>
where
    F: Fn(StepContext, String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = StepResult<String>> + Send + 'static,
{
    Workflow::named("w").step_fn("act", act).policy(once()).build().map_err(|error| error.to_string())
}

async fn tariff(_: StepContext, input: String) -> StepResult<String> {
    match input.as_str() {
        "zone 9" => Err(std::io::Error::other("no tariff for this zone").into()),
        _ => Ok(input),
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Quote {
    total: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct NewQuote {
    total: f64,
    tax: f64,
}

/// As the drivers of databases say it.
#[derive(Debug, thiserror::Error)]
#[error(
    "db error: ERROR: duplicate key value violates unique constraint \"orders_pkey\" DETAIL: Key (id)=({key}) already exists."
)]
struct Unique {
    key: u32,
}
