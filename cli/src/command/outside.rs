//! `stepwell outside …`: steps that processes of any kind do.

use axum::http::header::IF_MATCH;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::args::outside::{OutsideCommand, TaskArgs, TasksArgs};
use crate::client::Call;
use crate::command::verbs::done;
use crate::command::{Desk, value};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::table::{As, Column, TENANT, column};

const TASKS: &[Column] = &[
    column("RUN", &["/run"], As::Word),
    column(TENANT, &["/tenant"], As::Word),
    column("STEP", &["/step"], As::Word),
    column("TRY", &["/attempt"], As::Word),
    column("WORKFLOW", &["/workflow"], As::Word),
    column("SINCE", &["/since"], As::Time),
    column("FAILS", &["/timeout_at"], As::Time),
    column("ESTIMATE", &["/estimate_ms"], As::Span),
    column("BEGUN BY", &["/begun_by"], As::Word),
    column("DONE", &["/fraction"], As::Share),
    column("SAYS", &["/note"], As::Text),
    column("INPUT", &["/input"], As::Json),
];

pub(super) async fn outside(desk: &Desk, command: OutsideCommand) -> Result<Exit, Failure> {
    match command {
        OutsideCommand::List(args) => list(desk, args).await,
        OutsideCommand::Start(args) => {
            let said = json!({ "name": args.name, "host": args.host, "code_version": args.code_version });
            report(desk, &args.task, "start", &said).await
        }
        OutsideCommand::Progress(args) => {
            let said = json!({ "fraction": args.fraction, "note": args.note });
            report(desk, &args.task, "progress", &said).await
        }
        OutsideCommand::Success(args) => {
            let said = Success { output: value::maybe(args.value.as_deref())? };
            report(desk, &args.task, "success", &said).await
        }
        OutsideCommand::Failure(args) => {
            let said = Failed {
                message: &args.message,
                class: args.class.as_deref(),
                code: args.code.as_deref(),
                context: &args.context,
                details: value::maybe(args.details.as_deref())?,
                retry_after_ms: args
                    .retry_after
                    .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            };
            report(desk, &args.task, "failure", &said).await
        }
    }
}

async fn list(desk: &Desk, args: TasksArgs) -> Result<Exit, Failure> {
    let call = Call::get(&["outside"])
        .maybe("workflow", args.workflow)
        .maybe("step", args.step)
        .maybe("with_begun", args.with_begun.then_some(true));
    desk.list(call, args.part, TASKS, "no step waits for someone outside").await
}

/// The result, digit by digit.
#[derive(Debug, Serialize)]
struct Success {
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
struct Failed<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    context: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// A report with the attempt that it is about.
#[derive(Debug, Serialize)]
struct Report<'a, S> {
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(flatten)]
    said: &'a S,
}

async fn report(desk: &Desk, task: &TaskArgs, what: &str, said: &impl Serialize) -> Result<Exit, Failure> {
    let call = Call::post(&["runs", &task.run, "steps", &task.step, what])
        .header(IF_MATCH, task.if_match.tag().as_deref())
        .body(&Report { attempt: task.attempt, said })?;
    done(desk, &desk.client.call(call).await?)?;
    Ok(Exit::Ok)
}
