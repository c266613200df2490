//! `stepwell workflows …`.

use stepwell_server::view::workflow::Workflow;

use crate::args::system::{WorkflowArgs, WorkflowsCommand};
use crate::client::Call;
use crate::command::{Desk, value};
use crate::exit::Exit;
use crate::failure::{Failure, not_found};
use crate::output::table::{As, Column, column, fields, table};

const WORKFLOWS: &[Column] = &[
    column("WORKFLOW", &["/workflow"], As::Word),
    column("VERSION", &["/version"], As::Word),
    column("QUEUE", &["/queue"], As::Word),
    column("STEPS", &["/steps"], As::Count),
    column("TAKES OVER", &["/takes_over"], As::Word),
    column("SHAPE", &["/fingerprint"], As::Word),
];

const WORKFLOW: &[Column] = &[
    column("workflow", &["/workflow"], As::Word),
    column("version", &["/version"], As::Word),
    column("queue", &["/queue"], As::Word),
    column("takes over", &["/takes_over"], As::Word),
    column("shape", &["/fingerprint"], As::Word),
];

const STEPS: &[Column] = &[
    column("STEP", &["/step"], As::Word),
    column("WITHIN", &["/depth"], As::Word),
    column("EFFECT", &["/effect"], As::Word),
    column("UNDONE BY", &["/undone_by"], As::Word),
];

const POSTED: &[Column] = &[
    column("workflow", &["/name"], As::Word),
    column("version", &["/version"], As::Word),
    column("posted by", &["/by"], As::Word),
    column("at", &["/at"], As::Time),
    column("in use", &["/in_use"], As::Word),
];

pub(super) async fn workflows(desk: &Desk, command: WorkflowsCommand) -> Result<Exit, Failure> {
    match command {
        WorkflowsCommand::List => {
            let found = desk.client.items(Call::get(&["workflows"])).await?;
            let none = "no program has registered a workflow here, and none was posted";
            desk.output.list(WORKFLOWS, &found, none)?;
        }
        WorkflowsCommand::Show(args) => show(desk, &args).await?,
        WorkflowsCommand::Post(args) => {
            let call = Call::post(&["workflows"]).body(&value::value(&args.value)?)?;
            desk.output.one(POSTED, &desk.client.call(call).await?)?;
        }
    }
    Ok(Exit::Ok)
}

async fn show(desk: &Desk, args: &WorkflowArgs) -> Result<(), Failure> {
    let found = desk.client.items(Call::get(&["workflows"])).await?;
    let mut known = Vec::new();
    for item in &found.items {
        let read = serde_json::from_str::<Workflow>(item.get());
        known.push(read.map_err(|error| Failure::Foreign(format!("the answer is not understood: {error}")))?);
    }
    let is_it =
        |it: &&Workflow| it.workflow == args.name && args.version.is_none_or(|version| it.version == version);
    let Some(it) = known.iter().filter(is_it).max_by_key(|it| it.version) else {
        let version = args.version.map(|version| format!(" version {version}")).unwrap_or_default();
        let names = known.iter().map(|it| it.workflow.as_str());
        return Err(not_found(&format!("workflow {}{version}", args.name), &args.name, names));
    };
    let it = serde_json::to_value(it).map_err(Failure::other)?;
    if !desk.output.is_for_people() {
        return desk.output.value(&it);
    }
    desk.output.text(fields(WORKFLOW, &it, desk.output.words).trim_end())?;
    let steps = it["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_nested = steps.iter().any(|step| step["depth"] != 0);
    let columns: Vec<_> =
        STEPS.iter().filter(|column| is_nested || column.head != "WITHIN").copied().collect();
    desk.output.text(&format!("\n{}", table(&columns, steps, desk.output.words)))
}
