//! `stepwell runs …`: looking at runs and starting them.

use axum::http::HeaderName;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use stepwell_server::quoted;
use stepwell_server::view::explanation::CanResume;
use stepwell_server::view::run::Run;

use crate::args::part::Part;
use crate::args::runs::{
    AttemptsArgs, HistoryArgs, Level, ListArgs, RunsCommand, StartArgs, StepsArgs, UnfinishedArgs,
};
use crate::client::{Call, Items};
use crate::command::{Desk, follow, value, verbs, wait};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::card::Explanation;
use crate::output::note;
use crate::output::table::{As, Column, column, fields, table};
use crate::output::words::safe;

/// A run in a list.
pub(super) const RUNS: &[Column] = &[
    column("RUN", &["/run"], As::Word),
    column("TENANT", &["/tenant"], As::Word),
    column("WORKFLOW", &["/workflow"], As::Word),
    column("STATUS", &["/status"], As::Mark),
    column("DONE", &["/done", "/of"], As::Of),
    column("CREATED", &["/created_at"], As::Time),
    column("CHANGED", &["/updated_at"], As::Time),
    column("STEP", &["/trouble/step", "/at/step"], As::Word),
    column("CODE", &["/said/code"], As::Word),
    column("WHAT", &["/said/summary", "/trouble/message", "/at/note"], As::Text),
];

/// What the steps of a run share, in short.
const SHARED: &[Column] =
    &[column("SHARED", &["/context/bytes"], As::Word), column("FIELDS", &["/context/fields"], As::Text)];

/// A run by itself.
pub(super) const RUN: &[Column] = &[
    column("run", &["/run"], As::Word),
    column("tenant", &["/tenant"], As::Word),
    column("workflow", &["/workflow"], As::Word),
    column("version", &["/version"], As::Word),
    column("status", &["/status"], As::Mark),
    column("done", &["/done", "/of"], As::Of),
    column("at", &["/at/step"], As::Word),
    column("says", &["/at/note"], As::Text),
    column("queue", &["/queue"], As::Word),
    column("priority", &["/priority"], As::Word),
    column("created", &["/created_at"], As::Time),
    column("changed", &["/updated_at"], As::Time),
    column("ended", &["/finished_at"], As::Time),
    column("begins", &["/not_before"], As::Time),
    column("wakes", &["/wake_at"], As::Time),
    column("worker", &["/worker"], As::Word),
    column("lease ends", &["/lease_until"], As::Time),
    column("tags", &["/tags"], As::Word),
    column("held for", &["/trouble/reason"], As::Word),
    column("step", &["/trouble/step", "/said/step"], As::Word),
    column("class", &["/trouble/class"], As::Word),
    column("error", &["/trouble/message"], As::Text),
    column("code", &["/said/code"], As::Word),
    column("cause", &["/said/summary"], As::Text),
    column("group", &["/said/group"], As::Word),
    column("etag", &["/etag"], As::Word),
];

const PROGRESS: &[Column] = &[
    column("status", &["/status"], As::Mark),
    column("done", &["/percent"], As::Percent),
    column("remaining", &["/remaining_ms"], As::Span),
];

const STEPS_PROGRESS: &[Column] = &[
    column("STEP", &["/step"], As::Word),
    column("STATE", &["/state"], As::Mark),
    column("TRY", &["/attempt"], As::Word),
    column("ITEMS", &["/items_done", "/items_begun"], As::Of),
    column("DONE", &["/fraction"], As::Share),
    column("TOOK", &["/elapsed_ms"], As::Span),
    column("SAYS", &["/note"], As::Text),
];

const STEPS: &[Column] = &[
    column("STEP", &["/step"], As::Word),
    column("ITEM", &["/item_name"], As::Word),
    column("STATE", &["/state"], As::Mark),
    column("TRY", &["/attempt"], As::Word),
    column("BEGAN", &["/began_at"], As::Time),
    column("UNTIL", &["/until"], As::Time),
    column("SIGNALS", &["/signals"], As::Word),
    column("RUNS", &["/runs"], As::Word),
    column("BY", &["/outsider"], As::Word),
    column("DONE", &["/fraction"], As::Share),
    column("SAYS", &["/note"], As::Text),
    column("CLASS", &["/failure/class"], As::Word),
    column("ERROR", &["/failure/message"], As::Text),
];

const ATTEMPTS: &[Column] = &[
    column("STEP", &["/step"], As::Word),
    column("ATTEMPT", &["/attempt"], As::Word),
    column("ENDED", &["/ended"], As::Mark),
    column("BEGAN", &["/started_at"], As::Time),
    column("TOOK", &["/elapsed_ms"], As::Span),
    column("WORKER", &["/worker"], As::Word),
    column("CLASS", &["/class"], As::Word),
    column("CODE", &["/code"], As::Word),
    column("ERROR", &["/message", "/lost"], As::Text),
];

/// What happened, in a list.
pub(super) const ENTRIES: &[Column] = &[
    column("AT", &["/at"], As::Time),
    column("RUN", &["/run"], As::Word),
    column("LEVEL", &["/level"], As::Mark),
    column("KIND", &["/kind"], As::Word),
    column("STEP", &["/step"], As::Word),
    column("TRY", &["/attempt"], As::Word),
    column("WHO", &["/actor"], As::Word),
    column("CODE", &["/code"], As::Word),
    column("WHAT", &["/text"], As::Text),
];

pub(super) async fn runs(desk: &Desk, command: RunsCommand) -> Result<Exit, Failure> {
    match command {
        RunsCommand::List(args) => list(desk, args).await,
        RunsCommand::Show(args) => show(desk, &args.run).await,
        RunsCommand::Start(args) => start(desk, args).await,
        RunsCommand::Wait(args) => wait::wait(desk, &args).await,
        RunsCommand::Watch(args) => follow::watch(desk, &args).await,
        RunsCommand::Logs(args) => follow::logs(desk, &args).await,
        RunsCommand::History(args) => history(desk, args).await,
        RunsCommand::Explain(args) => explain(desk, &args.run).await,
        RunsCommand::Report(args) => report(desk, &args.run).await,
        RunsCommand::Attempts(args) => attempts(desk, &args).await,
        RunsCommand::Progress(args) => progress(desk, &args.run).await,
        RunsCommand::Steps(args) => list_steps(desk, args).await,
        RunsCommand::CanResume(args) => can_resume(desk, &args.run).await,
        RunsCommand::Unfinished(args) => unfinished(desk, args).await,
        RunsCommand::Input(args) => document(desk, &[&args.run, "input"], args.secrets).await,
        RunsCommand::Output(args) => match &args.step {
            Some(step) => document(desk, &[&args.run, "steps", step, "output"], args.secrets).await,
            None => document(desk, &[&args.run, "output"], args.secrets).await,
        },
        RunsCommand::Context(args) => document(desk, &[&args.run, "context"], args.secrets).await,
        RunsCommand::MergeContext(args) => verbs::merge_context(desk, args).await,
        RunsCommand::Fork(args) => verbs::fork(desk, args).await,
        RunsCommand::Signal(args) => verbs::signal(desk, args).await,
        RunsCommand::Retry(args) => verbs::ask(desk, "retry", args).await,
        RunsCommand::Resume(args) => verbs::ask(desk, "resume", args).await,
        RunsCommand::Pause(args) => verbs::hold(desk, "pause", args).await,
        RunsCommand::Interrupt(args) => verbs::hold(desk, "interrupt", args).await,
        RunsCommand::Cancel(args) => verbs::ask(desk, "cancel", args).await,
        RunsCommand::Undo(args) => verbs::ask(desk, "undo", args).await,
        RunsCommand::Terminate(args) => verbs::ask(desk, "terminate", args).await,
        RunsCommand::Restart(args) => verbs::ask_of_step(desk, "restart", args).await,
        RunsCommand::Skip(args) => verbs::ask_of_step(desk, "skip", args).await,
        RunsCommand::SetOutput(args) => verbs::set_output(desk, args).await,
        RunsCommand::EditInput(args) => verbs::edit_input(desk, args).await,
    }
}

async fn unfinished(desk: &Desk, args: UnfinishedArgs) -> Result<Exit, Failure> {
    let call = Call::get(&["unfinished"]).maybe("context", args.context.then_some(true));
    let columns: Vec<_> = RUNS.iter().chain(SHARED).copied().collect();
    desk.list(call, args.part, &columns, "every run has ended").await
}

/// The command that tells why a run is where it is.
pub(super) fn explanation_of(desk: &Desk, run: &str) -> String {
    desk.called.line(&format!("stepwell runs explain {}", quoted(run)))
}

async fn list(desk: &Desk, args: ListArgs) -> Result<Exit, Failure> {
    let mut terms = args.terms;
    terms.extend(args.query);
    let call =
        Call::get(&["runs"]).with("q", terms.join(" ")).maybe("order", args.oldest.then_some("oldest"));
    desk.list(call, args.part, RUNS, "no runs that fit").await
}

async fn show(desk: &Desk, run: &str) -> Result<Exit, Failure> {
    let answer = desk.client.call(Call::get(&["runs", run])).await?;
    desk.output.one(RUN, &answer)?;
    if desk.output.is_for_people() && answer.json::<Run>()?.trouble.is_some() {
        note(&format!("why, and what to do: {}", explanation_of(desk, run)));
    }
    Ok(Exit::Ok)
}

#[derive(Debug, Serialize)]
struct NewRun<'a> {
    workflow: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Box<RawValue>>,
    tags: std::collections::BTreeMap<&'a str, &'a str>,
    priority: i16,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
}

async fn start(desk: &Desk, args: StartArgs) -> Result<Exit, Failure> {
    let mut tags = std::collections::BTreeMap::new();
    for text in &args.tags {
        let tag = text.split_once('=');
        let (name, value) = tag.ok_or_else(|| Failure::usage(format!("--tag {text}: write NAME=VALUE")))?;
        tags.insert(name, value);
    }
    let new = NewRun {
        workflow: &args.workflow,
        version: args.version,
        run: args.id.as_deref(),
        input: value::maybe(args.input.as_deref())?,
        tags,
        priority: args.priority,
        queue: args.queue.as_deref(),
        delay_ms: args.delay.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
    };
    let key = HeaderName::from_static("idempotency-key");
    let call = Call::post(&["runs"]).header(key, args.idempotency_key.as_deref()).body(&new)?;
    let answer = desk.client.call(call).await?;
    let run: Run = answer.json()?;
    if answer.status.as_u16() == 200 {
        note(&format!("run {} was there already", run.run));
    }
    if args.wait {
        return wait::one(desk, run.run, args.timeout).await;
    }
    desk.output.one(RUN, &answer)?;
    Ok(Exit::Ok)
}

async fn history(desk: &Desk, args: HistoryArgs) -> Result<Exit, Failure> {
    let call = Call::get(&["runs", &args.run, "history"])
        .maybe("category", args.category.as_ref())
        .maybe("level", args.level.map(level))
        .maybe("order", args.newest.then_some("newest"));
    desk.list(call, args.part, ENTRIES, "nothing that fits happened").await
}

/// The word for a level.
pub(super) fn level(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

async fn explain(desk: &Desk, run: &str) -> Result<Exit, Failure> {
    let answer = desk.client.call(Call::get(&["runs", run, "explain"])).await?;
    if desk.output.is_for_people() {
        desk.output.text(&answer.json::<Explanation>()?.told(desk.output.words, &desk.called))?;
    } else {
        desk.output.raw(&answer)?;
    }
    Ok(Exit::Ok)
}

async fn report(desk: &Desk, run: &str) -> Result<Exit, Failure> {
    let is_for_people = desk.output.is_for_people();
    let format = if is_for_people { "markdown" } else { "json" };
    let answer = desk.client.call(Call::get(&["runs", run, "report"]).with("format", format)).await?;
    if is_for_people {
        desk.output.text(crate::output::words::safe(&answer.text).trim_end())?;
    } else {
        desk.output.raw(&answer)?;
    }
    Ok(Exit::Ok)
}

/// A document of a run, or of a step of it: JSON for people, too.
async fn document(desk: &Desk, parts: &[&str], secrets: bool) -> Result<Exit, Failure> {
    let parts: Vec<_> = ["runs"].iter().chain(parts).copied().collect();
    let answer = desk.client.call(Call::get(&parts).maybe("secrets", secrets.then_some(true))).await?;
    desk.output.raw(&answer)?;
    Ok(Exit::Ok)
}

async fn progress(desk: &Desk, run: &str) -> Result<Exit, Failure> {
    let answer = desk.client.call(Call::get(&["runs", run, "progress"])).await?;
    if !desk.output.is_for_people() {
        return desk.output.raw(&answer).map(|()| Exit::Ok);
    }
    let progress: Value = answer.json()?;
    desk.output.text(fields(PROGRESS, &progress, desk.output.words).trim_end())?;
    if let Some(steps) = progress["steps"].as_array().filter(|steps| !steps.is_empty()) {
        desk.output.text(&format!("\n{}", table(STEPS_PROGRESS, steps, desk.output.words)))?;
    }
    if progress["is_complete"] == false {
        note("the workflow is not known here: steps not yet begun are missing");
    }
    Ok(Exit::Ok)
}

async fn can_resume(desk: &Desk, run: &str) -> Result<Exit, Failure> {
    let answer = desk.client.call(Call::get(&["runs", run, "can-resume"])).await?;
    let verdict: CanResume = answer.json()?;
    if desk.output.is_for_people() {
        desk.output.text(if verdict.can_resume { "yes" } else { "no" })?;
        for reason in &verdict.reasons {
            desk.output.text(&format!("  - {}", safe(&reason.text)))?;
        }
    } else {
        desk.output.raw(&answer)?;
    }
    Ok(if verdict.can_resume { Exit::Ok } else { Exit::Refused })
}

async fn list_steps(desk: &Desk, args: StepsArgs) -> Result<Exit, Failure> {
    let call = Call::get(&["runs", &args.run, "steps"]);
    let call = call.maybe("step", args.step.as_ref()).maybe("state", args.state.as_ref());
    desk.list(call, args.part, STEPS, "no step that fits").await
}

async fn attempts(desk: &Desk, args: &AttemptsArgs) -> Result<Exit, Failure> {
    let steps = match &args.step {
        Some(step) => vec![step.clone()],
        None => steps(desk, &args.run).await?,
    };
    let mut found = Items::default();
    for step in &steps {
        let call = Call::get(&["runs", &args.run, "steps", step, "attempts"]);
        for attempt in desk.client.items(call).await?.items {
            found.items.push(of_step(step, &attempt)?);
        }
    }
    if found.items.is_empty() {
        is_there(desk, &args.run, args.step.as_deref()).await?;
    }
    desk.output.list(ATTEMPTS, &found, "no step has begun")?;
    Ok(Exit::Ok)
}

/// Refuses a step that a run does not have: where nothing is found, it may have been mistyped.
pub(super) async fn is_there(desk: &Desk, run: &str, step: Option<&str>) -> Result<(), Failure> {
    match step {
        Some(step) => desk.client.call(Call::get(&["runs", run, "steps", step])).await.map(|_| ()),
        None => Ok(()),
    }
}

/// An attempt with its step, which is said in the path: the rest stays as it was sent.
fn of_step(step: &str, attempt: &RawValue) -> Result<Box<RawValue>, Failure> {
    let name = serde_json::to_string(step).map_err(Failure::other)?;
    let fields = attempt.get().trim_start().strip_prefix('{').unwrap_or_default();
    RawValue::from_string(format!("{{\"step\":{name},{fields}"))
        .map_err(|error| Failure::Foreign(format!("the answer is not understood: {error}")))
}

/// The steps of a run that have begun.
async fn steps(desk: &Desk, run: &str) -> Result<Vec<String>, Failure> {
    #[derive(serde::Deserialize)]
    struct Step {
        step: String,
        #[serde(default)]
        attempt: u32,
    }
    let found = desk.client.list(Call::get(&["runs", run, "steps"]), Part::default()).await?;
    let read = |item: &RawValue| serde_json::from_str::<Step>(item.get());
    let steps = found.items.iter().map(|item| read(item)).collect::<Result<Vec<_>, _>>();
    let steps = steps.map_err(|error| Failure::Foreign(format!("the answer is not understood: {error}")))?;
    Ok(steps.into_iter().filter(|step| step.attempt > 0).map(|step| step.step).collect())
}
