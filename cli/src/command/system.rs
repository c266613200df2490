//! `stepwell workers` and `stepwell stats`.

use serde_json::Value;

use crate::args::system::{StatsArgs, WorkersArgs};
use crate::client::Call;
use crate::command::Desk;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::table::{As, Column, column, fields, table};

const WORKERS: &[Column] = &[
    column("WORKER", &["/worker"], As::Word),
    column("ALIVE", &["/alive"], As::Word),
    column("HOST", &["/host"], As::Word),
    column("PID", &["/pid"], As::Word),
    column("RUNNING", &["/running", "/concurrency"], As::Of),
    column("HELD", &["/held"], As::Word),
    column("TOLD", &["/told_at"], As::Time),
    column("BEGAN", &["/started_at"], As::Time),
    column("LEFT", &["/left_at"], As::Time),
    column("CODE", &["/code_version"], As::Word),
    column("QUEUES", &["/queues"], As::Word),
];

const STATS: &[Column] = &[
    column("runs", &["/runs"], As::Word),
    column("complete", &["/is_complete"], As::Word),
    column("from", &["/from"], As::Time),
    column("to", &["/to"], As::Time),
    column("by status", &["/by_status"], As::Tally),
    column("ended per hour", &["/ended_per_hour"], As::Word),
    column("error rate", &["/error_rate"], As::Share),
];

const STEPS: &[Column] = &[
    column("WORKFLOW", &["/workflow"], As::Word),
    column("STEP", &["/step"], As::Word),
    column("ATTEMPTS", &["/attempts"], As::Word),
    column("RETRIES", &["/retries"], As::Word),
    column("SUCCEEDED", &["/succeeded"], As::Word),
    column("FAILED", &["/failed"], As::Word),
    column("LOST", &["/lost"], As::Word),
    column("P50", &["/p50_ms"], As::Span),
    column("P95", &["/p95_ms"], As::Span),
    column("P99", &["/p99_ms"], As::Span),
];

pub(super) async fn workers(desk: &Desk, args: &WorkersArgs) -> Result<Exit, Failure> {
    let mut found = desk.client.items(Call::get(&["workers"])).await?;
    if args.alive {
        let is_alive = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|it| it["alive"] == true);
        found.items.retain(|item| is_alive(item.get()));
    }
    desk.output.list(WORKERS, &found, "no worker has told of itself; a program with workflows is one")?;
    Ok(Exit::Ok)
}

pub(super) async fn stats(desk: &Desk, args: &StatsArgs) -> Result<Exit, Failure> {
    let call = Call::get(&["stats"])
        .maybe("workflow", args.workflow.as_ref())
        .maybe("since", args.since.as_ref())
        .maybe("until", args.until.as_ref());
    let answer = desk.client.call(call).await?;
    if !desk.output.is_for_people() {
        return desk.output.raw(&answer).map(|()| Exit::Ok);
    }
    let stats: Value = answer.json()?;
    desk.output.text(fields(STATS, &stats, desk.output.words).trim_end())?;
    if let Some(steps) = stats["steps"].as_array().filter(|steps| !steps.is_empty()) {
        desk.output.text(&format!("\n{}", table(STEPS, steps, desk.output.words)))?;
    }
    Ok(Exit::Ok)
}
