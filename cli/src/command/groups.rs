//! `stepwell groups …`.

use crate::args::system::{
    GroupArgs, GroupForgetArgs, GroupSkipArgs, GroupVerbArgs, GroupsCommand, GroupsListArgs,
};
use crate::client::Call;
use crate::command::selection::{self, Chosen};
use crate::command::verbs::Asking;
use crate::command::{Desk, value};
use crate::confirm::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::note;
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

/// A group by itself.
const GROUP: &[Column] = &[
    column("group", &["/group"], As::Word),
    column("code", &["/code"], As::Word),
    column("cause", &["/summary"], As::Text),
    column("workflow", &["/workflow"], As::Word),
    column("step", &["/step"], As::Word),
    column("first seen", &["/first_seen"], As::Time),
    column("last seen", &["/last_seen"], As::Time),
    column("failed", &["/failed"], As::Word),
    column("held", &["/held"], As::Word),
    column("under way", &["/open"], As::Word),
    column("recovered", &["/recovered"], As::Word),
    column("cancelled", &["/cancelled"], As::Word),
    column("complete", &["/is_complete"], As::Word),
    column("tenants", &["/tenants"], As::Tally),
    column("workers", &["/workers"], As::Tally),
    column("versions", &["/versions"], As::Tally),
    column("code versions", &["/code_versions"], As::Tally),
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
        GroupsCommand::List(args) => list(desk, args).await,
        GroupsCommand::Show(args) => show(desk, args).await,
        GroupsCommand::Retry(args) => ask(desk, "retry", args).await,
        GroupsCommand::Resume(args) => ask(desk, "resume", args).await,
        GroupsCommand::Skip(args) => skip(desk, args).await,
        GroupsCommand::Forget(args) => forget(desk, &args).await,
    }
}

async fn list(desk: &Desk, args: GroupsListArgs) -> Result<Exit, Failure> {
    let call = Call::get(&["groups"])
        .maybe("code", args.code.as_ref())
        .maybe("workflow", args.workflow.as_ref())
        .maybe("in_trouble", (!args.past).then_some(true));
    desk.list(call, args.part, GROUPS, "no run is held or failed; --past shows groups of the past").await
}

async fn show(desk: &Desk, args: GroupArgs) -> Result<Exit, Failure> {
    let group = desk.client.call(Call::get(&["groups", &args.group])).await?;
    if !desk.output.is_for_people() {
        return desk.output.raw(&group).map(|()| Exit::Ok);
    }
    desk.output.one(GROUP, &group)?;
    desk.output.text("")?;
    let members = Call::get(&["groups", &args.group, "members"]);
    desk.list(members, args.part, MEMBERS, "none of its runs is left").await
}

async fn forget(desk: &Desk, args: &GroupForgetArgs) -> Result<Exit, Failure> {
    confirm(&format!("forget group {}?", args.group), 1, args.yes)?;
    desk.client.call(Call::delete(&["groups", &args.group])).await?;
    note(&format!("{} is forgotten", args.group));
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
