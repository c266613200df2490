//! How long a list of many runs takes to open: its counts, and the first page of what people narrow it by.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use stepwell_contract::{
    Batch, Fence, Head, Kind as Event, Name, Payload, Query, Record, RunId, RunKey, Seq, Status, TenantId,
    Timestamp, Version,
};

use crate::Failure;
use crate::line::Line;
use crate::meter::{median, rss_mb};
use crate::place::{Kind, Place};
use crate::worker::Worker;

/// Runs that one commit of the filling carries.
const AT_ONCE: u64 = 500;
/// Heads on the page.
const PAGE: usize = 50;
/// How often each query is asked.
const ASKED: usize = 7;

/// Fills a store, closes it, and measures in a new process.
pub(crate) async fn measure(kind: Kind, runs: u64, data: &Path, redis: Option<&str>) -> Result<(), Failure> {
    let place = Place::new(kind, data, redis)?;
    let begun = Instant::now();
    let mut filler = Worker::start(&["fill-list", &place.url(), &runs.to_string()])?;
    filler.hear("filled")?;
    filler.wait()?;
    let fill_s = begun.elapsed().as_secs_f64();
    let mut looker = Worker::start(&["look", &place.url()])?;
    while let Some(text) = looker.line()? {
        if let Some(measured) = text.strip_prefix("looked ") {
            let line = Line::of("list", kind).text("runs", runs).figure("fill_s", fill_s);
            println!("{line} {measured}");
        }
    }
    looker.wait()
}

/// Numbers that look drawn by chance and are the same each time.
fn scattered(run: u64) -> u64 {
    let mut mixed = run.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^= mixed >> 29;
    mixed = mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 32)
}

/// The only batch of a run: most have succeeded; one in a thousand failed, is of workflow `rare` or carries the tag.
fn run(nth: u64) -> Result<Batch, Failure> {
    let drawn = scattered(nth);
    let status = match drawn % 10_000 {
        0..10 => Status::Failed,
        10..20 => Status::Cancelled,
        other @ 20..45 => {
            let open = [Status::Queued, Status::Running, Status::Waiting, Status::Paused, Status::Cancelling];
            open[usize::try_from(other % 5)?]
        }
        _ => Status::Succeeded,
    };
    let workflow = match (drawn >> 16) % 1_000 {
        0 => "rare".to_owned(),
        other => format!("workflow-{}", other % 7),
    };
    let tag = ((drawn >> 32).is_multiple_of(1_000))
        .then(|| Name::new("customer").map(|name| (name, "7".to_owned())))
        .transpose()?;
    let at = Timestamp(1_760_000_000_000 + i64::try_from(nth)?);
    let said = Payload::encode(&serde_json::json!({"done": 10, "of": 10, "note": "as many runs have it"}))?;
    let head = Head {
        key: RunKey::new(TenantId::default(), RunId::new(format!("run-{nth:07}"))?),
        version: Version { counter: 1, nonce: drawn },
        workflow: Name::new(workflow)?,
        workflow_version: 1,
        queue: Name::new(if drawn & 1 == 0 { "default" } else { "slow" })?,
        priority: 0,
        status,
        wake_at: None,
        lease: None,
        fence: Fence(1),
        next_seq: Seq::FIRST.plus(1),
        created_at: at,
        updated_at: at,
        finished_at: status.is_finished().then_some(at),
        tags: Arc::new(tag.into_iter().collect::<BTreeMap<_, _>>()),
        summary: said.clone(),
    };
    Ok(Batch::create(head, vec![Record::new(Seq::FIRST, Event::of("run_created"), at, 1, said)]))
}

/// The process that fills the store and closes it.
pub(crate) async fn fill(url: &str, runs: u64) -> Result<(), Failure> {
    let backend = stepwell_backends::open(url).await?;
    let mut first = 0;
    while first < runs {
        let batches: Vec<Batch> = (first..runs.min(first + AT_ONCE)).map(run).collect::<Result<_, _>>()?;
        first += AT_ONCE;
        if !backend.commit(&batches).await?.iter().all(|verdict| verdict.is_accepted()) {
            return Err("the store refused a batch".into());
        }
    }
    drop(backend);
    println!("filled");
    Ok(())
}

/// The process that looks.
pub(crate) async fn look(url: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    let backend = stepwell_backends::open(url).await?;
    let open_ms = begun.elapsed().as_secs_f64() * 1e3;
    let mut line =
        Line::default().figure("open_ms", open_ms).figure("rss_mb", rss_mb()?).text("query", "tally");
    let mut times = Vec::new();
    for _ in 0..ASKED {
        let begun = Instant::now();
        let tally = backend.tally().await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        line = if times.len() == 1 { line.text("sorts", tally.len()) } else { line };
    }
    print(line.figure("first_ms", times[0]).figure("median_ms", median(times)));
    for (name, query) in queries()? {
        let mut looks = Vec::new();
        let mut wholes = Vec::new();
        let (mut found, mut pages) = (0, 0);
        for _ in 0..ASKED {
            let begun = Instant::now();
            (found, pages) = (0, 0);
            let mut after = None;
            loop {
                let page = backend.scan(&query, after, PAGE - found).await?;
                pages += 1;
                found += page.items.len();
                if pages == 1 {
                    looks.push(begun.elapsed().as_secs_f64() * 1e3);
                }
                after = page.next;
                if found == PAGE || after.is_none() {
                    break;
                }
            }
            wholes.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        let line = Line::default().text("query", name).text("found", found).text("looks", pages);
        print(
            line.figure("first_ms", wholes[0])
                .figure("median_ms", median(wholes))
                .figure("look_ms", median(looks)),
        );
    }
    let rss = Line::default().text("query", "none").figure("rss_mb", rss_mb()?);
    print(rss);
    Ok(())
}

fn print(line: Line) {
    println!("{}", line.to_string().replacen("BENCH", "looked", 1));
}

fn queries() -> Result<Vec<(&'static str, Query)>, Failure> {
    let any = Query::default();
    let workflow = |name: &str| Ok::<_, Failure>(Some(Name::new(name)?));
    let tag = |value: &str| Ok::<_, Failure>(Some((Name::new("customer")?, value.to_owned())));
    let failed = vec![Status::Failed];
    Ok(vec![
        ("newest", any.clone()),
        ("failed", Query { statuses: failed.clone(), ..any.clone() }),
        ("running", Query { statuses: vec![Status::Running], ..any.clone() }),
        ("workflow", Query { workflow: workflow("workflow-3")?, ..any.clone() }),
        ("rare-workflow", Query { workflow: workflow("rare")?, ..any.clone() }),
        ("no-workflow", Query { workflow: workflow("none")?, ..any.clone() }),
        ("failed-of-workflow", Query { workflow: workflow("workflow-3")?, statuses: failed, ..any.clone() }),
        ("queue", Query { queue: workflow("slow")?, ..any.clone() }),
        ("rare-tag", Query { tag: tag("7")?, ..any.clone() }),
        ("no-tag", Query { tag: tag("8")?, ..any.clone() }),
        ("no-tenant", Query { tenant: Some(TenantId::new("none")?), ..any }),
    ])
}
