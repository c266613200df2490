//! `stepwell schedules …`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::system::{BackfillArgs, ScheduleVerbArgs, SchedulesCommand, TriggerArgs};
use crate::client::Call;
use crate::command::Desk;
use crate::confirm::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::table::{As, Column, column};

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
        SchedulesCommand::List => {
            let found = desk.client.pages(Call::get(&["schedules"])).await?;
            desk.output.list(SCHEDULES, &found, "no schedules")?;
        }
        SchedulesCommand::Show(args) => {
            let answer = desk.client.call(Call::get(&["schedules", &args.name])).await?;
            desk.output.outline(&answer)?;
        }
        SchedulesCommand::Pause(args) => ask(desk, "pause", &args).await?,
        SchedulesCommand::Resume(args) => ask(desk, "resume", &args).await?,
        SchedulesCommand::Trigger(args) => trigger(desk, &args).await?,
        SchedulesCommand::Backfill(args) => backfill(desk, &args).await?,
    }
    Ok(Exit::Ok)
}

async fn ask(desk: &Desk, verb: &str, args: &ScheduleVerbArgs) -> Result<(), Failure> {
    let call = Call::post(&["schedules", &args.name, verb]).body(&json!({ "reason": args.reason }))?;
    let call = if args.dry_run { call.with("dry_run", true) } else { call };
    desk.output.outline(&desk.client.call(call).await?)
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
