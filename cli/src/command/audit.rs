//! `stepwell audit` and `stepwell changes`.

use crate::args::system::{AuditArgs, ChangesArgs};
use crate::client::Call;
use crate::command::Desk;
use crate::command::runs::{ENTRIES, level};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::table::{As, Column, column};

const DEEDS: &[Column] = &[
    column("AT", &["/at"], As::Time),
    column("WHO", &["/actor"], As::Word),
    column("WHAT", &["/what"], As::Word),
    column("ABOUT", &["/about"], As::Word),
    column("ANSWER", &["/outcome"], As::Word),
];

pub(super) async fn audit(desk: &Desk, args: AuditArgs) -> Result<Exit, Failure> {
    let text = args.text.join(" ");
    let call = Call::get(&["audit"])
        .maybe("run", args.run)
        .maybe("workflow", args.workflow)
        .maybe("category", args.category)
        .maybe("level", args.level.map(level))
        .maybe("code", args.code)
        .maybe("actor", args.actor)
        .maybe("since", args.since)
        .maybe("until", args.until)
        .maybe("text", (!text.is_empty()).then_some(text))
        .with("order", if args.oldest { "oldest" } else { "newest" });
    desk.list(call, args.part, ENTRIES, "nothing that fits happened").await
}

pub(super) async fn changes(desk: &Desk, args: ChangesArgs) -> Result<Exit, Failure> {
    desk.list(Call::get(&["changes"]), args.part, DEEDS, "nobody has changed anything").await
}
