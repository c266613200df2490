//! `stepwell groups …`.

use crate::args::system::{GroupArgs, GroupSkipArgs, GroupVerbArgs, GroupsCommand, GroupsListArgs};
use crate::client::Call;
use crate::command::selection::{self, Chosen};
use crate::command::verbs::Asking;
use crate::command::{Desk, value};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::table::{As, Column, column};

const GROUPS: &[Column] = &[
    column("FINGERPRINT", &["/group"], As::Word),
    column("CODE", &["/code"], As::Word),
    column("WORKFLOW", &["/workflow"], As::Word),
    column("STEP", &["/step"], As::Word),
    column("FAILED", &["/failed"], As::Word),
    column("HELD", &["/held"], As::Word),
    column("LAST", &["/last_seen"], As::Time),
    column("WHAT", &["/summary"], As::Text),
];

const MEMBERS: &[Column] = &[
    column("RUN", &["/run"], As::Word),
    column("TENANT", &["/tenant"], As::Word),
    column("STATUS", &["/status"], As::Mark),
    column("STANDING", &["/standing"], As::Mark),
    column("CHANGED", &["/updated_at"], As::Time),
    column("WHAT", &["/said/summary"], As::Text),
];

pub(super) async fn groups(desk: &Desk, command: GroupsCommand) -> Result<Exit, Failure> {
    match command {
        GroupsCommand::List(args) => list(desk, &args).await,
        GroupsCommand::Show(args) => show(desk, &args).await,
        GroupsCommand::Retry(args) => ask(desk, "retry", args).await,
        GroupsCommand::Resume(args) => ask(desk, "resume", args).await,
        GroupsCommand::Skip(args) => skip(desk, args).await,
    }
}

async fn list(desk: &Desk, args: &GroupsListArgs) -> Result<Exit, Failure> {
    let call = Call::get(&["groups"])
        .maybe("code", args.code.as_ref())
        .maybe("workflow", args.workflow.as_ref())
        .maybe("in_trouble", (!args.all).then_some(true));
    let found = desk.client.pages(call).await?;
    desk.output.list(GROUPS, &found, "no run is held or failed; --all shows groups of the past")?;
    Ok(Exit::Ok)
}

async fn show(desk: &Desk, args: &GroupArgs) -> Result<Exit, Failure> {
    let group = desk.client.call(Call::get(&["groups", &args.group])).await?;
    if !desk.output.is_for_people() {
        return desk.output.raw(&group).map(|()| Exit::Ok);
    }
    desk.output.outline(&group)?;
    let members = desk.client.pages(Call::get(&["groups", &args.group, "members"])).await?;
    desk.output.text("")?;
    desk.output.list(MEMBERS, &members, "none of its runs is left")?;
    Ok(Exit::Ok)
}

async fn ask(desk: &Desk, verb: &str, args: GroupVerbArgs) -> Result<Exit, Failure> {
    let asking = Asking { reason: &args.care.reason, step: None, value: None, code: None };
    selection::ask(desk, verb, &Chosen::group(args.group, args.max), &asking, &args.care).await
}

async fn skip(desk: &Desk, args: GroupSkipArgs) -> Result<Exit, Failure> {
    let value = value::maybe(args.value.as_deref())?;
    let asking = Asking { reason: &args.care.reason, step: Some(&args.step), value, code: None };
    selection::ask(desk, "skip", &Chosen::group(args.group, args.max), &asking, &args.care).await
}
