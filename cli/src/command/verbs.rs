//! What is asked of runs: of named ones each for itself, of many as a selection that stays as it was shown.

use axum::http::header::IF_MATCH;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use stepwell_server::view::preview::{Preview, SignalPreview};
use stepwell_server::view::run::{Run, RunStatus};

use crate::args::care::Care;
use crate::args::runs::{
    EditInputArgs, ForkArgs, HoldArgs, MergeContextArgs, SetOutputArgs, SignalArgs, StepVerbArgs, VerbArgs,
};
use crate::client::{Answer, Call};
use crate::command::runs::RUN;
use crate::command::selection::{self, Chosen};
use crate::command::{Desk, value};
use crate::confirm::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::note;
use crate::output::table::{As, Column, column};
use crate::output::words::safe;

/// Verbs that take something away: they are confirmed also for one run.
const TAKES_AWAY: &[&str] = &["cancel", "terminate", "undo", "restart"];

/// What became of a run.
const DONE: &[Column] = &[
    column("RUN", &["/run"], As::Word),
    column("STATUS", &["/status"], As::Mark),
    column("WHAT", &["/what"], As::Text),
];

/// A signal that was sent.
const SIGNALLED: &[Column] = &[
    column("run", &["/run"], As::Word),
    column("signal", &["/name"], As::Word),
    column("id", &["/id"], As::Word),
];

/// What a signal would do.
const SIGNAL_PREVIEW: &[Column] = &[
    column("status", &["/status"], As::Mark),
    column("refused", &["/refused"], As::Text),
    column("heard by", &["/heard_by"], As::Text),
    column("sent before", &["/is_repeat"], As::Word),
];

/// What is said with a verb.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Asking<'a> {
    pub(super) reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<&'a str>,
}

/// Holds runs, under a code of whoever asks.
pub(super) async fn hold(desk: &Desk, verb: &str, args: HoldArgs) -> Result<Exit, Failure> {
    ask_called(desk, verb, args.verb, args.code.as_deref()).await
}

pub(super) async fn ask(desk: &Desk, verb: &str, args: VerbArgs) -> Result<Exit, Failure> {
    ask_called(desk, verb, args, None).await
}

async fn ask_called(desk: &Desk, verb: &str, args: VerbArgs, code: Option<&str>) -> Result<Exit, Failure> {
    let asking = Asking { reason: &args.care.reason, step: None, value: None, code };
    let (chosen, if_match) = (Chosen::of(&args.many), args.if_match.tag());
    if if_match.is_some() && (chosen.is_some() || args.runs.len() > 1) {
        return Err(Failure::usage("--if-match is about one run"));
    }
    match chosen {
        Some(chosen) => selection::ask(desk, verb, &chosen, &asking, &args.care).await,
        None => named(desk, verb, &args.runs, &asking, &args.care, if_match.as_deref()).await,
    }
}

pub(super) async fn ask_of_step(desk: &Desk, verb: &str, args: StepVerbArgs) -> Result<Exit, Failure> {
    let step = args.step.as_deref().or(args.step_of_all.as_deref());
    let asking =
        Asking { reason: &args.care.reason, step, value: value::maybe(args.value.as_deref())?, code: None };
    match (Chosen::of(&args.many), args.runs) {
        (Some(chosen), _) => selection::ask(desk, verb, &chosen, &asking, &args.care).await,
        (None, run) => named(desk, verb, run.as_slice(), &asking, &args.care, None).await,
    }
}

pub(super) async fn set_output(desk: &Desk, args: SetOutputArgs) -> Result<Exit, Failure> {
    let value = Some(value::value(&args.value)?);
    let asking = Asking { reason: &args.care.reason, step: Some(&args.step), value, code: None };
    named(desk, "set-output", &[args.run], &asking, &args.care, None).await
}

pub(super) async fn edit_input(desk: &Desk, args: EditInputArgs) -> Result<Exit, Failure> {
    let value = Some(value::value(&args.value)?);
    let asking = Asking { reason: &args.care.reason, step: None, value, code: None };
    named(desk, "edit-input", &[args.run], &asking, &args.care, None).await
}

/// Asks named runs, one after the other. A refusal by one does not keep the others from being asked; what is worst decides the exit.
async fn named(
    desk: &Desk,
    verb: &str,
    runs: &[String],
    asking: &Asking<'_>,
    care: &Care,
    if_match: Option<&str>,
) -> Result<Exit, Failure> {
    let call = |run: &str| Call::post(&["runs", run, verb]).header(IF_MATCH, if_match).body(asking);
    if care.dry_run {
        if let [run] = runs {
            let answer = desk.client.call(call(run)?.with("dry_run", true)).await?;
            return preview(desk, run, &answer);
        }
        let mut told = Vec::new();
        for run in runs {
            told.push((run.as_str(), desk.client.call(call(run)?.with("dry_run", true)).await));
        }
        return previews(desk, told);
    }
    if TAKES_AWAY.contains(&verb) || runs.len() > 1 {
        let what = if let [run] = runs { run.clone() } else { format!("{} runs", runs.len()) };
        confirm(&format!("{verb} {what}?"), runs.len(), care.yes)?;
    }
    if let [run] = runs {
        let answer = desk.client.call(call(run)?).await?;
        done(desk, &answer)?;
        return Ok(Exit::Ok);
    }
    let (mut rows, mut exit, mut is_gone) = (Vec::new(), Exit::Ok, false);
    for run in runs {
        if is_gone {
            rows.push(json!({ "run": run, "status": "not asked", "done": false }));
            continue;
        }
        match desk.client.call(call(run)?).await {
            Ok(answer) => {
                let now: Run = answer.json()?;
                rows.push(json!({ "run": run, "status": now.status, "done": answer.status.as_u16() == 200, "what": waits(&answer) }));
            }
            Err(failure) => {
                exit = exit.max(failure.exit());
                // Whoever cannot be reached for one run is not there for the next.
                is_gone = !matches!(failure, Failure::Problem(_));
                let (code, what) = said(&failure);
                let status = if is_gone { "unknown" } else { "refused" };
                rows.push(json!({ "run": run, "status": status, "code": code, "done": false, "what": what }));
            }
        }
    }
    desk.output.rows(DONE, &rows, "")?;
    Ok(exit)
}

/// A failure in a row: its code, if it has one, and what it says.
fn said(failure: &Failure) -> (Option<String>, String) {
    match failure {
        Failure::Problem(problem) => (Some(problem.code.clone()), problem.detail.clone()),
        other => (None, other.text().trim().trim_start_matches("error: ").replace('\n', ";")),
    }
}

/// What is told of a request that its worker has not answered.
fn waits(answer: &Answer) -> &'static str {
    if answer.status.as_u16() == 202 { "the request waits in its inbox for a worker" } else { "" }
}

/// Prints the run after something was asked of it.
pub(super) fn done(desk: &Desk, answer: &Answer) -> Result<(), Failure> {
    if desk.output.is_for_people() {
        let run: Run = answer.json()?;
        let row = json!({ "run": run.run, "status": run.status, "what": waits(answer) });
        return desk.output.rows(DONE, &[row], "");
    }
    if answer.status.as_u16() == 202 {
        note(waits(answer));
    }
    desk.output.raw(answer)
}

fn preview(desk: &Desk, run: &str, answer: &Answer) -> Result<Exit, Failure> {
    let preview: Preview = answer.json()?;
    if desk.output.is_for_people() {
        desk.output.text(&told(run, &preview))?;
    } else {
        desk.output.raw(answer)?;
    }
    Ok(outlook(&preview))
}

/// How it would end.
fn outlook(preview: &Preview) -> Exit {
    if preview.refused.is_some() { Exit::Refused } else { Exit::Ok }
}

/// Prints what would become of each run; one that cannot be asked does not hide the others.
fn previews(desk: &Desk, answers: Vec<(&str, Result<Answer, Failure>)>) -> Result<Exit, Failure> {
    let (mut exit, mut rows) = (Exit::Ok, Vec::new());
    for (run, answer) in answers {
        match answer {
            Ok(answer) => {
                let preview: Preview = answer.json()?;
                exit = exit.max(outlook(&preview));
                if desk.output.is_for_people() {
                    desk.output.text(&told(run, &preview))?;
                }
                rows.push(json!({ "run": run, "preview": preview }));
            }
            Err(failure) => {
                exit = exit.max(failure.exit());
                let (code, what) = said(&failure);
                if desk.output.is_for_people() {
                    desk.output.text(&safe(&format!("{run}: {what}")))?;
                }
                rows.push(json!({ "run": run, "code": code, "what": what }));
            }
        }
    }
    if !desk.output.is_for_people() {
        desk.output.rows(&[], &rows, "")?;
    }
    Ok(exit)
}

fn word(status: RunStatus) -> String {
    serde_json::to_value(status).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A preview in words.
pub(super) fn told(run: &str, preview: &Preview) -> String {
    let verb = preview.verb.replace('_', "-");
    if let Some(why) = &preview.refused {
        return format!("{run}: {verb} would be refused: {why}");
    }
    let mut text = format!("{run}: {} -> {}", word(preview.status), word(preview.status_after));
    let list = |title: &str, steps: Vec<String>| {
        if steps.is_empty() { String::new() } else { format!("\n  {title}: {}", steps.join(", ")) }
    };
    let again = |steps: &[stepwell_server::view::preview::StepAgain]| {
        let one = |step: &stepwell_server::view::preview::StepAgain| {
            let effect = step.effect.as_deref().map(|effect| format!(", {}", effect.replace('_', " ")));
            format!("{} (attempts {}{})", step.step, step.attempts, effect.unwrap_or_default())
        };
        steps.iter().map(one).collect::<Vec<_>>()
    };
    text.push_str(&list("sets aside", preview.set_aside.clone()));
    text.push_str(&list("stops", again(&preview.stopped)));
    text.push_str(&list("runs again", again(&preview.runs_again)));
    safe(&text)
}

pub(super) async fn merge_context(desk: &Desk, args: MergeContextArgs) -> Result<Exit, Failure> {
    let reason = (!args.care.reason.is_empty()).then_some(&args.care.reason);
    let call = Call::patch(&["runs", &args.run, "context"])
        .maybe("reason", reason)
        .header(IF_MATCH, args.if_match.tag().as_deref())
        .body(&value::value(&args.value)?)?;
    if args.care.dry_run {
        let answer = desk.client.call(call.with("dry_run", true)).await?;
        return preview(desk, &args.run, &answer);
    }
    done(desk, &desk.client.call(call).await?)?;
    Ok(Exit::Ok)
}

#[derive(Debug, Serialize)]
struct Fork<'a> {
    step: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Box<RawValue>>,
    reason: &'a str,
}

pub(super) async fn fork(desk: &Desk, args: ForkArgs) -> Result<Exit, Failure> {
    let fork = Fork {
        step: &args.from,
        run: args.id.as_deref(),
        version: args.version,
        input: value::maybe(args.input.as_deref())?,
        reason: &args.care.reason,
    };
    let call = Call::post(&["runs", &args.run, "fork"]).body(&fork)?;
    if args.care.dry_run {
        let answer = desk.client.call(call.with("dry_run", true)).await?;
        return preview(desk, &args.run, &answer);
    }
    let answer = desk.client.call(call).await?;
    desk.output.one(RUN, &answer)?;
    Ok(Exit::Ok)
}

pub(super) async fn signal(desk: &Desk, args: SignalArgs) -> Result<Exit, Failure> {
    let value = value::maybe(args.value.as_deref())?;
    #[derive(Serialize)]
    struct Signal<'a> {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Box<RawValue>>,
    }
    let signal = Signal { name: &args.name, id: args.id.as_deref(), value };
    let call = Call::post(&["runs", &args.run, "signals"]).body(&signal)?;
    if args.dry_run {
        let answer = desk.client.call(call.with("dry_run", true)).await?;
        let preview: SignalPreview = answer.json()?;
        desk.output.one(SIGNAL_PREVIEW, &answer)?;
        return Ok(if preview.refused.is_some() { Exit::Refused } else { Exit::Ok });
    }
    desk.output.one(SIGNALLED, &desk.client.call(call).await?)?;
    Ok(Exit::Ok)
}
