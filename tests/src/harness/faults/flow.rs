//! Runs that are stopped by others, or fail because of others.

use std::sync::Arc;
use std::time::Duration;

use stepwell::contract::{RunId, RunKey, Status, TenantId};
use stepwell::{Actor, Engine, Retry, StepContext, StepError, StepPolicy, Verb, Workflow};
use tokio::sync::Notify;

use crate::cases;
use crate::harness::faults::case::Case;
use crate::harness::faults::lab::Lab;
use crate::harness::faults::network::asks;
use crate::harness::faults::servers::refusing;
use crate::harness::faults::time::{nap, once};
use crate::wait::wait_until;

pub(super) const CASES: &[Case] = cases! {
    cancelled_by_a_person: Fault ["SW8001"] "ask_actor", |lab: Lab| async move {
        let begun = Arc::new(Notify::new());
        let tell = Arc::clone(&begun);
        let flow = lab.workflow(move |_, _| {
            tell.notify_one();
            async { nap("20000").await }
        })?;
        let engine = lab.engine(flow).await?;
        let run = engine.start_run("w", "r-1", &"in").await.map_err(|error| error.to_string())?;
        begun.notified().await;
        let ada = Actor::Person("ada".to_owned());
        engine.ask(run.key(), Verb::Cancel, ada, "a wrong order").await.map_err(|error| error.to_string())?;
        lab.comes_to_rest(&run).await?;
        lab.outcome(&engine, run.key(), None).await
    };
    cancelled_while_it_waits: Fault ["SW8001"] "ask_actor", |lab: Lab| async move {
        let flow = Workflow::named("w").input::<String>().wait_for::<String>("approved").build();
        let engine = lab.engine(flow.map_err(|error| error.to_string())?).await?;
        let run = engine.start_run("w", "r-1", &"in").await.map_err(|error| error.to_string())?;
        status(&engine, run.key(), Status::Waiting).await?;
        let bob = Actor::Person("bob".to_owned());
        engine.ask(run.key(), Verb::Cancel, bob, "too late").await.map_err(|error| error.to_string())?;
        lab.comes_to_rest(&run).await?;
        lab.outcome(&engine, run.key(), None).await
    };
    cancelled_with_its_parent: Fault ["SW8201"] "explain_other", |lab: Lab| async move {
        let child = Workflow::named("ship").input::<String>().sleep("rest", Duration::from_secs(60)).build();
        let child = child.map_err(|error| error.to_string())?;
        let parent = Workflow::named("w").input::<String>().child("shipment", &child).build();
        let parent = parent.map_err(|error| error.to_string())?;
        let engine = lab.builder().register(parent).register(child).start().await.map_err(|error| error.to_string())?;
        let run = engine.start_run("w", "r-1", &"in").await.map_err(|error| error.to_string())?;
        status(&engine, &key("r-1.shipment")?, Status::Waiting).await?;
        status(&engine, run.key(), Status::Waiting).await?;
        engine.cancel(run.key(), "a wrong order").await.map_err(|error| error.to_string())?;
        status(&engine, &key("r-1.shipment")?, Status::Cancelled).await?;
        lab.outcome(&engine, &key("r-1.shipment")?, None).await
    };
    a_child_that_failed: Fault ["SW8202"] "explain_other", |mut lab: Lab| async move {
        let child = Workflow::named("ship").step_fn("send", |_, _: String| async {
            Err::<String, _>(StepError::permanent("no van"))
        });
        let child = child.build().map_err(|error| error.to_string())?;
        let parent = Workflow::named("w").input::<String>().child("shipment", &child).build();
        let parent = parent.map_err(|error| error.to_string())?;
        let engine = lab.builder().register(parent).register(child).start().await.map_err(|error| error.to_string())?;
        let (run, took) = lab.rests(&engine, "w", "in").await?;
        lab.outcome(&engine, run.key(), took).await
    };
    a_step_beside_that_failed_first: Fault ["SW4001"] "start_dependency", |mut lab: Lab| async move {
        let at = refusing()?;
        let flow = Workflow::named("w").input::<String>().both(
            |left| left.step_fn("pack", |_: StepContext, _: String| async { nap("300").await }),
            |right| right.step_fn("bill", move |_: StepContext, _: String| async move { asks(at).await }).policy(once()),
        );
        let engine = lab.engine(flow.build().map_err(|error| error.to_string())?).await?;
        let (run, took) = lab.rests(&engine, "w", "in").await?;
        lab.outcome(&engine, run.key(), took).await
    };
    a_failure_of_its_own_beside_a_child: Decoy ["SW4001"] "", |mut lab: Lab| async move {
        let at = refusing()?;
        let child = Workflow::named("ship").step_fn("send", |_, _: String| async {
            Err::<String, _>(StepError::permanent("no van"))
        });
        let child = child.build().map_err(|error| error.to_string())?;
        let parent = Workflow::named("w").step_fn("act", move |ctx: StepContext, input: String| async move {
            let run = ctx.runs()?.start("ship", "s-1", &input).await?;
            // Whatever became of it: this step does without.
            let _ = run.output().await;
            asks(at).await
        });
        let parent = parent.policy(once()).build().map_err(|error| error.to_string())?;
        let engine = lab.builder().register(parent).register(child).start().await.map_err(|error| error.to_string())?;
        let (run, took) = lab.rests(&engine, "w", "in").await?;
        lab.outcome(&engine, run.key(), took).await
    };
    a_failure_before_somebody_cancelled: Decoy ["SW4001"] "", |mut lab: Lab| async move {
        let at = refusing()?;
        let lab_policy = StepPolicy::default().retry(Retry::none());
        lab = lab.policy(lab_policy);
        let engine = lab.engine(lab.workflow(move |_, _| async move { asks(at).await })?).await?;
        let (run, took) = lab.rests(&engine, "w", "in").await?;
        let outcome = lab.outcome(&engine, run.key(), took).await;
        engine.cancel(run.key(), "never mind").await.map_err(|error| error.to_string())?;
        outcome
    };
};

fn key(run: &str) -> Result<RunKey, String> {
    Ok(RunKey::new(TenantId::default(), RunId::new(run).map_err(|error| error.to_string())?))
}

async fn status(engine: &Engine, key: &RunKey, status: Status) -> Result<(), String> {
    wait_until("the status", Duration::from_secs(10), async || {
        let head = engine.get(key).await.ok().flatten()?;
        (head.status == status).then_some(())
    })
    .await
}
