//! `stepwell schedules …`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::system::{
    BackfillArgs, DeleteArgs, PutArgs, ScheduleVerbArgs, SchedulesCommand, TriggerArgs,
};
use crate::client::{Answer, Call};
use crate::command::{Desk, value};
use crate::confirm::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::note;
use crate::output::table::{As, Column, column, table};

const SCHEDULES: &[Column] = &[
    column("SCHEDULE", &["/schedule"], As::Word),
    column("WORKFLOW", &["/plan/workflow"], As::Word),
    column("STATUS", &["/status"], As::Mark),
    column("CRON", &["/plan/cron"], As::Word),
    column("EVERY", &["/plan/every_ms"], As::Span),
    column("NEXT", &["/next/0/start_at"], As::Time),
    column("RUNNING", &["/running"], As::Count),
    column("STARTED", &["/started"], As::Word),
    column("MISSED", &["/missed"], As::Word),
    column("PAUSED", &["/paused/since"], As::Time),
    column("BY", &["/paused/by"], As::Word),
    column("WHY", &["/paused/reason"], As::Text),
];

/// A schedule by itself.
const SCHEDULE: &[Column] = &[
    column("schedule", &["/schedule"], As::Word),
    column("tenant", &["/tenant"], As::Word),
    column("workflow", &["/plan/workflow"], As::Word),
    column("version", &["/plan/version"], As::Word),
    column("cron", &["/plan/cron"], As::Word),
    column("time zone", &["/plan/timezone"], As::Word),
    column("every", &["/plan/every_ms"], As::Span),
    column("from", &["/plan/from"], As::Time),
    column("until", &["/plan/until"], As::Time),
    column("input", &["/plan/input"], As::Json),
    column("tags", &["/plan/tags"], As::Tally),
    column("queue", &["/plan/queue"], As::Word),
    column("priority", &["/plan/priority"], As::Word),
    column("overlap", &["/plan/overlap"], As::Word),
    column("catches up", &["/plan/catch_up_ms"], As::Span),
    column("jitter", &["/plan/jitter_ms"], As::Span),
    column("status", &["/status"], As::Mark),
    column("paused", &["/paused/since"], As::Time),
    column("by", &["/paused/by"], As::Word),
    column("why", &["/paused/reason"], As::Text),
    column("next", &["/next/0/start_at"], As::Time),
    column("then", &["/next/1/start_at"], As::Time),
    column("running", &["/running"], As::Word),
    column("waiting", &["/waiting"], As::Time),
    column("backfills", &["/backfills"], As::Word),
    column("started", &["/started"], As::Word),
    column("skipped", &["/skipped"], As::Word),
    column("missed", &["/missed"], As::Word),
    column("keeper", &["/keeper"], As::Word),
];

/// The runs that it started last.
const RECENT: &[Column] = &[
    column("STARTED", &["/run"], As::Word),
    column("FOR", &["/time"], As::Time),
    column("AT", &["/at"], As::Time),
    column("BECAUSE OF", &["/cause"], As::Word),
    column("BY", &["/by"], As::Word),
    column("REFUSED", &["/refused"], As::Text),
];

/// The times for which it started none.
const PASSED_OVER: &[Column] = &[
    column("PASSED OVER", &["/count"], As::Word),
    column("FROM", &["/first"], As::Time),
    column("UNTIL", &["/until"], As::Time),
    column("WHY", &["/why"], As::Word),
];

/// What a pause or its end would do.
const HELD: &[Column] = &[
    column("changes", &["/changes"], As::Word),
    column("schedule", &["/schedule/schedule"], As::Word),
    column("status", &["/schedule/status"], As::Mark),
    column("paused", &["/schedule/paused/since"], As::Time),
    column("next", &["/schedule/next/0/start_at"], As::Time),
];

const TRIGGERED: &[Column] = &[
    column("run", &["/run"], As::Word),
    column("tenant", &["/tenant"], As::Word),
    column("there already", &["/status"], As::Mark),
];

const TIMES: &[Column] = &[
    column("TIME", &["/time"], As::Word),
    column("RUN", &["/run"], As::Word),
    column("THERE ALREADY", &["/status"], As::Mark),
];

/// The times of a backfill.
#[derive(Debug, Deserialize)]
struct Backfill {
    times: Vec<Value>,
}

pub(super) async fn schedules(desk: &Desk, command: SchedulesCommand) -> Result<Exit, Failure> {
    match command {
        SchedulesCommand::List(part) => {
            return desk.list(Call::get(&["schedules"]), part, SCHEDULES, "no schedules").await;
        }
        SchedulesCommand::Put(args) => put(desk, &args).await?,
        SchedulesCommand::Delete(args) => delete(desk, &args).await?,
        SchedulesCommand::Show(args) => {
            let answer = desk.client.call(Call::get(&["schedules", &args.name])).await?;
            show(desk, &answer)?;
        }
        SchedulesCommand::Pause(args) => ask(desk, "pause", &args).await?,
        SchedulesCommand::Resume(args) => ask(desk, "resume", &args).await?,
        SchedulesCommand::Trigger(args) => trigger(desk, &args).await?,
        SchedulesCommand::Backfill(args) => backfill(desk, &args).await?,
    }
    Ok(Exit::Ok)
}

/// A schedule by itself: what it is, and what it did last.
fn show(desk: &Desk, answer: &Answer) -> Result<(), Failure> {
    desk.output.one(SCHEDULE, answer)?;
    if !desk.output.is_for_people() {
        return Ok(());
    }
    let schedule: Value = answer.json()?;
    for (columns, list) in [(RECENT, "recent"), (PASSED_OVER, "passed_over")] {
        if let Some(rows) = schedule[list].as_array().filter(|rows| !rows.is_empty()) {
            desk.output.text(&format!("\n{}", table(columns, rows, desk.output.words)))?;
        }
    }
    Ok(())
}

async fn put(desk: &Desk, args: &PutArgs) -> Result<(), Failure> {
    let reason = (!args.reason.is_empty()).then_some(&args.reason);
    let call =
        Call::put(&["schedules", &args.name]).maybe("reason", reason).body(&value::value(&args.value)?)?;
    show(desk, &desk.client.call(call).await?)
}

async fn delete(desk: &Desk, args: &DeleteArgs) -> Result<(), Failure> {
    confirm(&format!("delete schedule {}?", args.name), 1, args.yes)?;
    let reason = (!args.reason.is_empty()).then_some(&args.reason);
    desk.client.call(Call::delete(&["schedules", &args.name]).maybe("reason", reason)).await?;
    note(&format!("schedule {} is gone", args.name));
    Ok(())
}

async fn ask(desk: &Desk, verb: &str, args: &ScheduleVerbArgs) -> Result<(), Failure> {
    let call = Call::post(&["schedules", &args.name, verb]).body(&json!({ "reason": args.reason }))?;
    let call = if args.dry_run { call.with("dry_run", true) } else { call };
    let answer = desk.client.call(call).await?;
    if args.dry_run { desk.output.one(HELD, &answer) } else { show(desk, &answer) }
}

async fn trigger(desk: &Desk, args: &TriggerArgs) -> Result<(), Failure> {
    let mut body = json!({ "reason": args.reason });
    if let Some(id) = &args.id {
        body["id"] = Value::from(id.as_str());
    }
    let call = Call::post(&["schedules", &args.name, "trigger"]).body(&body)?;
    let call = if args.dry_run { call.with("dry_run", true) } else { call };
    desk.output.one(TRIGGERED, &desk.client.call(call).await?)
}

async fn backfill(desk: &Desk, args: &BackfillArgs) -> Result<(), Failure> {
    let body = json!({ "from": args.from, "to": args.to, "reason": args.care.reason });
    let call = Call::post(&["schedules", &args.name, "backfill"]).body(&body)?;
    // What it would start is known before anyone is asked.
    let planned: Backfill = desk.client.call(call.clone().with("dry_run", true)).await?.json()?;
    let count = planned.times.iter().filter(|time| time["status"].is_null()).count();
    if args.care.dry_run || count == 0 {
        return desk.output.rows(TIMES, &planned.times, "no time lies between these; nothing is started");
    }
    confirm(&format!("start {count} runs of times gone by?"), count, args.care.yes)?;
    let done: Backfill = desk.client.call(call).await?.json()?;
    desk.output.rows(TIMES, &done.times, "no time lies between these; nothing was started")
}
