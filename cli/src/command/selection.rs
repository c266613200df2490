//! One verb for many runs: the runs are chosen once, shown, confirmed, and then asked. What comes to fit later is left alone.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stepwell_server::view::preview::Preview;

use crate::args::care::Care;
use crate::args::runs::Many;
use crate::client::Call;
use crate::command::Desk;
use crate::command::verbs::{self, Asking};
use crate::confirm::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::note;
use crate::output::progress::Progress;
use crate::output::table::{As, Column, column};

/// How many of the runs are named before it is asked whether to go on.
const SAMPLE: usize = 5;
/// How many runs are asked with one request.
const AT_ONCE: usize = 50;

const OUTCOMES: &[Column] = &[
    column("RUN", &["/run"], As::Word),
    column("TENANT", &["/tenant"], As::Word),
    column("OUTCOME", &["/outcome"], As::Mark),
    column("STATUS", &["/status"], As::Mark),
    column("CODE", &["/problem/code"], As::Word),
    column("WHY", &["/problem/detail"], As::Text),
];

/// Which runs are meant.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    by: By,
    max: u32,
}

#[derive(Debug, Clone)]
enum By {
    Query(String),
    Group(String),
}

impl Chosen {
    /// What the flags choose, if they choose many.
    pub(super) fn of(many: &Many) -> Option<Self> {
        let by = match (&many.query, &many.group) {
            (Some(query), _) => By::Query(query.clone()),
            (None, Some(group)) => By::Group(group.clone()),
            (None, None) => return None,
        };
        Some(Self { by, max: many.max })
    }

    /// The runs of a failure group.
    pub(super) fn group(group: String, max: u32) -> Self {
        Self { by: By::Group(group), max }
    }
}

#[derive(Debug, Serialize)]
struct Select<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    limit: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Key {
    tenant: String,
    run: String,
}

#[derive(Debug, Deserialize)]
struct Selection {
    id: String,
    runs: Vec<Key>,
    is_complete: bool,
    group: Option<String>,
}

#[derive(Debug, Serialize)]
struct AskAll<'a> {
    id: &'a str,
    runs: &'a [Key],
    verb: &'a str,
    /// A run that has met with something else since refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(flatten)]
    asking: &'a Asking<'a>,
}

#[derive(Debug, Deserialize)]
struct Outcomes {
    runs: Vec<Value>,
    refused: usize,
    waits: usize,
    /// Those that the time of the request was not enough for.
    #[serde(default)]
    left: Vec<Key>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Previews {
    runs: usize,
    sample: Vec<RunPreview>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RunPreview {
    tenant: String,
    run: String,
    preview: Preview,
}

/// Asks all runs that are chosen now.
pub(super) async fn ask(
    desk: &Desk,
    verb: &str,
    chosen: &Chosen,
    asking: &Asking<'_>,
    care: &Care,
) -> Result<Exit, Failure> {
    let (q, group) = match &chosen.by {
        By::Query(query) => (Some(query.as_str()), None),
        By::Group(group) => (None, Some(group.as_str())),
    };
    let select = Call::post(&["selections"]).body(&Select { q, group, limit: chosen.max })?;
    let selection: Selection = desk.client.call(select).await?.json()?;
    let count = selection.runs.len();
    if count == 0 {
        return desk.output.rows(OUTCOMES, &[], "no run fits; nothing was asked").map(|()| Exit::Ok);
    }
    if !selection.is_complete {
        note(&format!("more than {} runs fit; the first {count} are meant (--max N for more)", chosen.max));
    }
    let call = |runs: &[Key]| {
        let group = selection.group.as_deref();
        Call::post(&["selections", "ask"]).body(&AskAll { id: &selection.id, runs, verb, group, asking })
    };
    if care.dry_run {
        let part = &selection.runs[..count.min(AT_ONCE)];
        let told: Previews = desk.client.call(call(part)?.with("dry_run", true)).await?.json()?;
        return previews(desk, verb, &Previews { runs: count, sample: told.sample });
    }
    let sample: Vec<_> = selection.runs.iter().take(SAMPLE).map(|key| key.run.as_str()).collect();
    let others = if count > SAMPLE { format!(" and {} others", count - SAMPLE) } else { String::new() };
    let runs = counted(count);
    note(&format!("{runs}: {}{others}", sample.join(", ")));
    confirm(&format!("{verb} {runs}?"), count, care.yes)?;
    let mut progress = Progress::begin(false);
    let (mut outcomes, mut refused, mut waits) = (Vec::with_capacity(count), 0, 0);
    let mut rest = selection.runs.clone();
    let mut failure = None;
    while !rest.is_empty() {
        let later = rest.split_off(rest.len().min(AT_ONCE));
        let told: Outcomes = match desk.client.call(call(&rest)?).await.and_then(|answer| answer.json()) {
            Ok(told) => told,
            // What was done so far is told before.
            Err(error) => {
                failure = Some(error);
                rest.extend(later);
                break;
            }
        };
        (refused, waits) = (refused + told.refused, waits + told.waits);
        let is_stuck = told.runs.is_empty();
        outcomes.extend(told.runs);
        rest = told.left;
        rest.extend(later);
        if is_stuck {
            break;
        }
        let percent = outcomes.len() as f64 / count as f64 * 100.0;
        progress.say(format!("{verb}: {} of {count}", outcomes.len()), Some(percent));
    }
    drop(progress);
    let left = rest.len();
    outcomes
        .extend(rest.iter().map(|key| json!({ "tenant": key.tenant, "run": key.run, "outcome": "left" })));
    let is_of_many = outcomes.iter().any(|told| told["tenant"] != "default");
    let is_shown = |column: &&Column| is_of_many || column.head != "TENANT";
    desk.output.rows(&OUTCOMES.iter().filter(is_shown).copied().collect::<Vec<_>>(), &outcomes, "")?;
    note(&format!(
        "{} done, {waits} wait in the inbox for a worker, {refused} refused",
        count - refused - waits - left
    ));
    if left > 0 {
        note(&format!("{} not asked, or not known to be: ask the same again", counted(left)));
    }
    match failure {
        Some(failure) => Err(failure),
        None => Ok(if refused + left > 0 { Exit::Refused } else { Exit::Ok }),
    }
}

/// So many runs, in words.
fn counted(runs: usize) -> String {
    if runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") }
}

fn previews(desk: &Desk, verb: &str, told: &Previews) -> Result<Exit, Failure> {
    if desk.output.is_for_people() {
        for one in &told.sample {
            desk.output.text(&verbs::told(&one.run, &one.preview))?;
        }
        note(&format!("{verb} would be asked of {}", counted(told.runs)));
        if told.sample.len() < told.runs {
            note(&format!("shown is what it would do to {} of them", told.sample.len()));
        }
    } else {
        desk.output.text(&serde_json::to_string_pretty(told).map_err(Failure::other)?)?;
    }
    Ok(Exit::Ok)
}
