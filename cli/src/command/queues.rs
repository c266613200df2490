//! `stepwell queues …`.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::args::system::{QueueVerbArgs, QueuesCommand};
use crate::client::Call;
use crate::command::Desk;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::note;
use crate::output::table::{As, Column, column};

const QUEUES: &[Column] = &[
    column("QUEUE", &["/queue"], As::Word),
    column("RUNNING", &["/load/running"], As::Word),
    column("PARKED", &["/load/parked"], As::Word),
    column("QUEUED", &["/load/queued"], As::Word),
    column("UNFINISHED", &["/unfinished"], As::Tally),
    column("AT ONCE", &["/concurrency"], As::Word),
    column("PER KEY", &["/per_key"], As::Word),
    column("RATE", &["/rate"], As::Rate),
    column("PAUSED", &["/paused/since"], As::Time),
    column("BY", &["/paused/by"], As::Word),
    column("WHY", &["/paused/reason"], As::Text),
];

const QUEUE: &[Column] = &[
    column("queue", &["/queue"], As::Word),
    column("running", &["/load/running"], As::Word),
    column("parked", &["/load/parked"], As::Word),
    column("queued", &["/load/queued"], As::Word),
    column("paused", &["/paused/since"], As::Time),
    column("by", &["/paused/by"], As::Word),
    column("why", &["/paused/reason"], As::Text),
];

/// What steering a queue would do.
const PREVIEW: &[Column] = &[
    column("changes", &["/changes"], As::Word),
    column("queue", &["/queue/queue"], As::Word),
    column("running", &["/queue/load/running"], As::Word),
    column("parked", &["/queue/load/parked"], As::Word),
    column("queued", &["/queue/load/queued"], As::Word),
    column("paused", &["/queue/paused/since"], As::Time),
    column("by", &["/queue/paused/by"], As::Word),
];

const EVENTS: &[Column] = &[
    column("AT", &["/at"], As::Time),
    column("KIND", &["/kind"], As::Word),
    column("SAID", &["/said"], As::Text),
];

pub(super) async fn queues(desk: &Desk, command: QueuesCommand) -> Result<Exit, Failure> {
    match command {
        QueuesCommand::List => {
            let found = desk.client.items(Call::get(&["queues"])).await?;
            desk.output.list(QUEUES, &found, "no queues yet; the first run makes one")?;
            Ok(Exit::Ok)
        }
        QueuesCommand::Pause(args) => ask(desk, "pause", &args).await,
        QueuesCommand::Resume(args) => ask(desk, "resume", &args).await,
        QueuesCommand::Drain(args) => ask(desk, "drain", &args).await,
        QueuesCommand::History(args) => {
            let found = desk.client.items(Call::get(&["queues", &args.queue, "history"])).await?;
            desk.output.list(EVENTS, &found, "nobody has steered it")?;
            Ok(Exit::Ok)
        }
    }
}

async fn ask(desk: &Desk, verb: &str, args: &QueueVerbArgs) -> Result<Exit, Failure> {
    let is_known = is_known(desk, &args.queue).await?;
    let call = Call::post(&["queues", &args.queue, verb]).body(&json!({ "reason": args.reason }))?;
    if args.dry_run {
        let answer = desk.client.call(call.with("dry_run", true)).await?;
        desk.output.one(PREVIEW, &answer)?;
        return Ok(Exit::Ok);
    }
    let answer = desk.client.call(call).await?;
    if answer.status.as_u16() == 202 {
        note("the queue is paused; some of its runs go on yet: ask again");
    }
    desk.output.one(QUEUE, &answer)?;
    if !is_known {
        let listed = desk.called.line("stepwell queues list");
        note(&format!(
            "no run has been in a queue {} yet: is it the one that is meant? {listed}",
            args.queue
        ));
    }
    Ok(Exit::Ok)
}

/// Whether a queue was there before anyone asks something of it, which makes it.
async fn is_known(desk: &Desk, queue: &str) -> Result<bool, Failure> {
    let found = desk.client.items(Call::get(&["queues"])).await?;
    let is_it =
        |item: &RawValue| serde_json::from_str::<Value>(item.get()).is_ok_and(|it| it["queue"] == queue);
    Ok(found.items.iter().any(|item| is_it(item)))
}
