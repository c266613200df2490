//! `stepwell audit`.

use crate::args::system::AuditArgs;
use crate::client::Call;
use crate::command::Desk;
use crate::command::runs::{ENTRIES, level};
use crate::exit::Exit;
use crate::failure::Failure;

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
