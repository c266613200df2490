//! Case files: what is known of a run or of several in one document, in every state, without secrets and within bounds.

mod bench;
mod until;

use std::collections::BTreeMap;

use stepwell::contract::{
    Backend, Batch, Guard, Kind, Payload, Record, RunId, RunKey, Status, TenantId, Version,
};
use stepwell::observe::case_file::{BYTES_MAX, MEMBERS_MAX};
use stepwell::prelude::*;
use stepwell::{Actor, Ask, CaseFile, EventFilter, RunHandle, StartRun, Verb};

use crate::bench::{Bench, waits};
use crate::until::{soon, until};

const SECRET: &str = "hunter2-s3cret-0x";

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

/// Both forms of the file, which belong together and are within bounds.
async fn file(engine: &Engine, key: &RunKey) -> (CaseFile, String) {
    let file = engine.case_file(key).await.expect("a case file");
    let (json, markdown) = (file.json(), file.markdown());
    assert!(json.len() <= BYTES_MAX && markdown.len() <= BYTES_MAX, "{} {}", json.len(), markdown.len());
    assert_eq!(serde_json::from_str::<CaseFile>(&json).expect("the same form"), file);
    let title = markdown.lines().next().expect("a title");
    assert!(title.starts_with("# Run ") && title.contains(file.run.status.as_str()), "{title}");
    for heading in ["## Timeline", "## Environment", "## Left out"] {
        assert_eq!(markdown.lines().filter(|line| *line == heading).count(), 1, "{heading}: {markdown}");
    }
    (file, markdown)
}

/// A step that does as its input says.
fn flow() -> Workflow<String, String> {
    Workflow::named("w")
        .step_fn("act", |ctx: StepContext, input: String| async move {
            match input.as_str() {
                "fail" => Err(StepError::permanent("it is broken").code("act.broken")),
                "hold" => Err(StepError::auth("the key has expired")),
                "hang" => {
                    ctx.cancelled().cancelled().await;
                    Ok(input)
                }
                _ => Ok(input),
            }
        })
        .policy(StepPolicy::default().retry(Retry::none()))
        .wait_for::<u32>("go")
        .step_fn("end", |_: StepContext, (input, _): (String, u32)| async move { Ok(input) })
        .build()
        .expect("a workflow")
}

async fn started(engine: &Engine, id: &str, input: &str) -> RunHandle {
    engine.start_run("w", id, input).await.expect("a run")
}

#[tokio::test]
async fn a_run_in_every_state_has_its_case_file() {
    let bench = Bench::new();
    let idle = bench.idle_engine(flow()).await;
    started(&idle, "queued", "fine").await;
    let (queued, markdown) = file(&idle, &key("queued")).await;
    assert_eq!(queued.run.status, Status::Queued);
    assert!(queued.waits_for.is_some() && markdown.contains("has not begun"), "{markdown}");
    idle.terminate(&key("queued"), "enough").await.expect("ended");
    let (ended, _) = file(&idle, &key("queued")).await;
    assert_eq!((ended.run.status, ended.waits_for), (Status::Cancelled, None));
    drop(idle);

    let engine = bench.engine(flow()).await;
    let failed = started(&engine, "failed", "fail").await;
    let held = started(&engine, "held", "hold").await;
    let running = started(&engine, "running", "hang").await;
    let waiting = started(&engine, "waiting", "fine").await;
    let done = started(&engine, "done", "fine").await;
    for run in [&failed, &held] {
        soon("the run comes to rest", run.output()).await.expect_err("no result");
    }
    engine.signal(done.key(), "go", "s-1", &1_u32).await.expect("a signal");
    soon("the run ends", done.output()).await.expect("a result");
    for (run, status) in [(&running, Status::Running), (&waiting, Status::Waiting)] {
        until("the status", async || run.head().await.expect("a head").status == status).await;
    }

    let (failed, markdown) = file(&engine, failed.key()).await;
    assert_eq!(failed.run.status, Status::Failed);
    let told = &failed.diagnoses.first().expect("a diagnosis").diagnosis;
    assert!(failed.what_happened.contains(&told.summary), "{}", failed.what_happened);
    for part in
        [told.code.as_str(), "Evidence (facts)", "Actions", "## Attempts", "act.broken", "## Definition"]
    {
        assert!(markdown.contains(part), "{part} is in: {markdown}");
    }
    assert_eq!(failed.attempts.len(), 1);
    assert_eq!(failed.attempts[0].attempts.len(), 1);
    assert_eq!(failed.environment.store, "memory");
    assert_eq!(failed.environment.workers.len(), 1);
    assert!(
        failed.definition.as_ref().is_some_and(|of| of.outline == ["act", "go: wait for signal go", "end"])
    );

    let (held, markdown) = file(&engine, held.key()).await;
    assert_eq!(held.run.status, Status::Paused);
    assert!(held.waits_for.is_some() && markdown.contains("held until somebody lets it go on"), "{markdown}");
    let (running, _) = file(&engine, &key("running")).await;
    assert!(running.steps.iter().any(|step| step.place == "act" && step.status == "running"));
    let (waiting, _) = file(&engine, waiting.key()).await;
    assert!(waiting.waits_for.as_ref().is_some_and(|cause| cause.contains("signal go")), "{waiting:?}");
    let (done, markdown) = file(&engine, done.key()).await;
    assert_eq!((done.run.status, done.diagnoses.len()), (Status::Succeeded, 0));
    assert!(!markdown.contains("## Diagnosis"), "{markdown}");
    assert!(done.timeline.last.is_empty() && done.timeline.left_out == 0);

    // Whoever has not the workflow has the definition as its worker told of it.
    let other = bench.builder().build().await.expect("an engine");
    until("it is told", async || other.outline("w", 1).await.expect("readable").is_some()).await;
    assert_eq!(file(&other, &key("done")).await.0.definition, done.definition);
    assert!(other.case_file(&key("missing")).await.is_err());
}

#[tokio::test]
async fn a_planted_secret_is_in_no_document() {
    let bench = Bench::new();
    let flow = Workflow::named("w")
        .step_fn("connect", |ctx: StepContext, input: String| async move {
            ctx.info(format!("logging in with password={SECRET}"));
            ctx.warn(format!("Authorization: Bearer {SECRET}"));
            ctx.checkpoint(&serde_json::json!({"token": SECRET}), 0.1).await?;
            let error = std::io::Error::other(format!("https://ada:{SECRET}@db.example.org/x refused"));
            Err::<String, _>(error)
                .note(format!("asking https://db.example.org/?api_key={SECRET} for {}", input.len()))
        })
        .policy(StepPolicy::default().retry(Retry::fixed(millis(1)).max_attempts(2)))
        .build()
        .expect("a workflow");
    let engine = bench.engine(flow).await;
    let input = format!("the word is {SECRET}");
    let start = StartRun::new("w", "r-1", &input).expect("a start").tag("secret", SECRET).expect("a tag");
    let run = engine.start_with(start).await.expect("a run");
    until("it is tried again", async || {
        bench.time.advance(millis(10));
        run.head().await.expect("a head").status == Status::Paused
    })
    .await;
    let why = format!("found client_secret={SECRET} in the config");
    let ask = Ask::new(Verb::Cancel, Actor::Person("ada".to_owned()), why);
    engine.send(run.key(), ask).await.expect("cancelled");

    let (one, markdown) = file(&engine, run.key()).await;
    let joint = engine.joint_case_file([run.key().clone()]).await.expect("a joint case file");
    for text in [one.json(), markdown.clone(), joint.json(), joint.markdown()] {
        let at = text.find(SECRET).map(|at| &text[at.saturating_sub(200)..]);
        assert_eq!(at, None, "the secret is shown");
        assert!(text.contains("[redacted]") || text.contains("\\[redacted\\]"));
    }
    assert!(markdown.contains("db.example.org"), "what is no secret stays");
    let found = engine.search(&EventFilter::default(), None, 100).await.expect("a page");
    assert!(!format!("{found:?}").contains(SECRET), "{found:#?}");
    let sought = EventFilter { text: Some(SECRET.to_owned()), ..Default::default() };
    let found = engine.search(&sought, None, 100).await.expect("a page");
    assert_eq!(found.items, [], "nobody finds out a secret by asking for it");
}

#[tokio::test]
async fn what_a_run_says_cannot_change_the_form_of_the_document() {
    let bench = Bench::new();
    let flow = Workflow::named("w")
        .step_fn("act", |ctx: StepContext, _: String| async move {
            ctx.info("## Timeline\n<script>alert(1)</script> [x](javascript:y)");
            Err::<String, _>(StepError::permanent("x\n\n# Run nothing: succeeded\n```\n| a | b |"))
        })
        .build()
        .expect("a workflow");
    let engine = bench.engine(flow).await;
    let run = started(&engine, "r-1", "x").await;
    soon("the run comes to rest", run.output()).await.expect_err("no result");
    let (_, markdown) = file(&engine, run.key()).await;
    for line in markdown.lines() {
        let is_heading = line.starts_with('#');
        assert!(!is_heading || !line.contains("nothing"), "{line}");
    }
    assert!(!markdown.contains("<script>") && !markdown.contains("[x](javascript"), "{markdown}");
    assert_eq!(markdown.lines().filter(|line| line.starts_with("# ")).count(), 1);
}

fn of_run(key: &RunKey) -> EventFilter {
    EventFilter { run: Some(key.clone()), ..EventFilter::default() }
}

#[tokio::test]
async fn a_long_journal_is_cut_in_the_middle_and_the_file_says_so() {
    let bench = Bench::new();
    let flow = Workflow::named("w")
        .step_fn("list", |_: StepContext, n: u32| async move { Ok((0..n).collect::<Vec<u32>>()) })
        .map_flow(8, |item| {
            item.step_fn("pack", |ctx: StepContext, n: u32| async move {
                for nth in 0..10 {
                    ctx.info(format!("{nth} {}", "*_<".repeat(300)));
                }
                if n > 500 { Err(StepError::permanent("*".repeat(9_000))) } else { Ok(n) }
            })
            .policy(StepPolicy::default().retry(Retry::none()))
        })
        .build()
        .expect("a workflow");
    let engine = bench.engine(flow).await;
    let run = engine.start_run("w", "long", &600_u32).await.expect("a run");
    let _ = soon("the run comes to rest", run.output()).await;
    let (long, markdown) = file(&engine, run.key()).await;
    let told = (long.timeline.first.len() + long.timeline.last.len()) as u64;
    let (mut entries, mut after) = (0, None);
    loop {
        let page = engine.search(&of_run(run.key()), after, 1_000).await.expect("a page");
        entries += page.items.len() as u64;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(told + long.timeline.left_out, entries, "what is left out is counted");
    assert!(told < entries / 2, "{told} of {entries}");
    assert!(long.timeline.first.first().is_some_and(|entry| entry.seq == 1), "the beginning stays");
    let last = long.timeline.last.last().expect("the end stays");
    assert_eq!(last.seq, long.run.records);
    assert!(markdown.contains(&format!("… {} entries are left out here …", long.timeline.left_out)));
    assert!(long.left_out.steps > 0 && !long.attempts.is_empty() && !long.diagnoses.is_empty());
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_has_a_file_that_says_so() {
    let bench = Bench::new();
    let engine = bench.engine(flow()).await;
    let run = started(&engine, "r-1", "fine").await;
    waits(&engine, &run).await;
    let mut head = bench.store.head(run.key()).await.expect("readable").expect("a head");
    let from = head.version;
    let payload = Payload::encode(&1).expect("json");
    let record = Record::new(head.next_seq, Kind::of("teleported"), bench.now(), 1, payload);
    head.version = Version { counter: from.counter + 1, nonce: 99 };
    head.next_seq = head.next_seq.plus(1);
    let batch = Batch {
        key: run.key().clone(),
        guard: Guard::At(from),
        head: Some(head),
        append: vec![record],
        post: Vec::new(),
        take: Vec::new(),
    };
    assert!(bench.store.commit(&[batch]).await.expect("written")[0].is_accepted());
    let (unread, markdown) = file(&engine, run.key()).await;
    assert!(unread.left_out.unreadable.as_ref().is_some_and(|why| why.contains("teleported")), "{unread:?}");
    assert!(markdown.contains("teleported"), "{markdown}");
    assert!(unread.timeline.first.len() > 3);
}

#[tokio::test]
async fn several_runs_have_one_document() {
    let bench = Bench::new();
    let engine = bench.engine(flow()).await;
    let mut keys = Vec::new();
    for nth in 0..30 {
        let input = if nth == 7 { "hold" } else { "fail" };
        let run = started(&engine, &format!("r-{nth}"), input).await;
        soon("the run comes to rest", run.output()).await.expect_err("no result");
        keys.push(run.key().clone());
        bench.time.advance(millis(5));
    }
    keys.push(key("removed"));
    let joint = engine.joint_case_file(keys).await.expect("a joint case file");
    assert_eq!((joint.runs, joint.missing, joint.is_complete), (30, 1, true));
    assert_eq!(joint.by_status, BTreeMap::from([(Status::Paused, 1), (Status::Failed, 29)]));
    assert_eq!(joint.by_code.values().sum::<u64>(), 30);
    assert_eq!(joint.by_code.len(), 2);
    let mut samples: Vec<_> = joint.samples.iter().map(|sample| sample.run.key.as_str()).collect();
    samples.sort_unstable();
    assert_eq!(samples, ["default/r-0", "default/r-29", "default/r-7"]);
    let markdown = joint.markdown();
    assert!(
        markdown.starts_with("# Case file of 30 runs") && markdown.contains("## Run default/r-7"),
        "{markdown}"
    );
    assert!(joint.json().len() <= BYTES_MAX && markdown.len() <= BYTES_MAX);

    // However many are named, so many are looked at.
    let endless = (0_u64..).map(|nth| key(&format!("none-{nth}")));
    let joint = engine.joint_case_file(endless).await.expect("a joint case file");
    assert_eq!((joint.runs, joint.missing, joint.is_complete), (0, MEMBERS_MAX as u64, false));
    assert!(joint.markdown().contains("There are more runs"));
}
