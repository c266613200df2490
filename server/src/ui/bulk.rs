//! Asking the same of many runs. Which ones is settled first: the page that asks for confirmation carries the list, and asks
//! those and no others. One request asks as many as it has time for; the page that it is answered with shows how far that came,
//! and goes on with the rest.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use futures_util::FutureExt as _;
use stepwell::contract::{MessageId, RunId, RunKey, TenantId};
use stepwell::{Ask, Asked, AskedInTime, Error, Selection};
use uuid::Uuid;

use crate::access::{Access, Role};
use crate::api::selections::of_query;
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::routes::Routes;
use crate::ui::forms::Form;
use crate::ui::page::{Notice, Page};
use crate::ui::spoken::command;
use crate::ui::verbs::{self, Deed};
use crate::ui::words::fill;
use crate::ui::words::runs::Runs;
use crate::view::count;
use crate::view::group::RunName;
use crate::view::preview::Preview;

/// Most runs asked at once.
pub(crate) const RUNS_MAX: u64 = 10_000;
/// So many are looked at one by one before anything is done.
const SAMPLE: usize = 10;
/// So many refusals are listed.
const REFUSED_MAX: usize = 100;
/// How long one request asks runs before it shows how far it came.
const ASKS_FOR: Duration = Duration::from_secs(4);

pub(super) fn routes() -> Routes {
    Routes::new().page(Some(Role::Operator), "POST", "/bulk", post(confirm)).page(
        Some(Role::Operator),
        "POST",
        "/bulk/ask",
        post(ask),
    )
}

#[derive(Template)]
#[template(path = "bulk.html")]
struct Confirm<'a> {
    p: &'a Page,
    t: &'static Runs,
    deed: &'static Deed,
    selection: &'a Selection,
    runs: String,
    q: &'a str,
    group: &'a str,
    back: &'a str,
    sample: Vec<(RunName, Preview)>,
    command: String,
    api: String,
}

impl Confirm<'_> {
    fn count(&self) -> u64 {
        count(self.selection.runs.len())
    }
}

/// What has become of the runs that were asked so far: carried from page to page until none is left.
#[derive(Debug, Default)]
struct SoFar {
    done: u64,
    waits: u64,
    refused: u64,
    /// The first that refused, and why.
    why: Vec<(RunName, String)>,
}

impl SoFar {
    fn of(form: &Form) -> Self {
        let count = |name: &str| form.text(name).parse().unwrap_or_default();
        let why = form.text("why").lines().filter_map(|line| {
            let (run, why) = line.split_once(' ')?;
            let (tenant, run) = run.split_once('/')?;
            Some((RunName { tenant: tenant.to_owned(), run: run.to_owned() }, why.to_owned()))
        });
        let why = why.take(REFUSED_MAX).collect();
        Self { done: count("done"), waits: count("waits"), refused: count("refused"), why }
    }

    fn add(&mut self, Asked { run, outcome }: Asked) {
        match outcome {
            Ok(_) => self.done += 1,
            Err(Error::NoAnswerYet { .. }) => self.waits += 1,
            Err(error) => {
                self.refused += 1;
                if self.why.len() < REFUSED_MAX {
                    let why: Vec<_> = error.to_string().split_whitespace().map(str::to_owned).collect();
                    self.why.push((RunName::of(&run), why.join(" ")));
                }
            }
        }
    }

    fn asked(&self) -> u64 {
        self.done + self.waits + self.refused
    }

    fn more_refused(&self) -> u64 {
        self.refused.saturating_sub(count(self.why.len()))
    }

    /// The refusals as the next page is told of them.
    fn why_lines(&self) -> String {
        let lines: Vec<_> =
            self.why.iter().map(|(run, why)| format!("{}/{} {why}", run.tenant, run.run)).collect();
        lines.join("\n")
    }
}

#[derive(Template)]
#[template(path = "bulk_result.html")]
struct Outcome<'a> {
    p: &'a Page,
    t: &'static Runs,
    title: String,
    deed: &'static Deed,
    so_far: SoFar,
    left: u64,
    /// The runs that are left, as the next request names them.
    runs: String,
    id: &'a str,
    group: &'a str,
    reason: &'a str,
    back: &'a str,
}

fn access(p: &Page) -> Result<&Access, Problem> {
    p.access.as_ref().ok_or_else(|| Problem::new(Code::Unauthorized, "nobody is known to ask"))
}

fn deed(form: &Form) -> Result<&'static Deed, Problem> {
    let found = verbs::named(form.text("verb")).filter(|deed| deed.is_for_many());
    found.ok_or_else(|| Problem::bad(format!("many runs are not asked to {:?}", form.text("verb"))))
}

async fn confirm(State(app): State<App>, p: Page, form: Form) -> Result<Response, Problem> {
    let (t, deed) = (Runs::of(p.language), deed(&form)?);
    let (q, group, back) = (form.text("q"), form.text("group"), form.text("back"));
    let selection = match form.text("scope") {
        "all" if !group.is_empty() => select_group(&app, &p, group).await?,
        "all" => of_query(&app, &p.who()?, q, most()).await?,
        _ => {
            let runs = named(access(&p)?, form.all("run"))?;
            if runs.is_empty() {
                return Ok(p.go(back, Some(Notice::bad(t.nothing_selected))));
            }
            Selection { id: new_id()?, runs, is_complete: true }
        }
    };
    let request = asking(access(&p)?, deed, "", group);
    let preview = app.engine().dry_run_all(&selection, &request, SAMPLE).await?;
    let sample = preview.sample.into_iter().map(|(key, preview)| (RunName::of(&key), Preview::of(preview)));
    let verb = format!("runs {}", deed.name);
    p.show(&Confirm {
        p: &p,
        t,
        deed,
        runs: lines(&selection.runs),
        selection: &selection,
        q,
        group,
        back,
        sample: sample.collect(),
        command: match group {
            "" => command(&verb, &[("query", q), ("tenant", p.tenant_text()), ("reason", "…")]),
            group => command(&verb, &[("group", group), ("tenant", p.tenant_text()), ("reason", "…")]),
        },
        api: p.api("/selections", &[]),
    })
}

async fn ask(State(app): State<App>, p: Page, form: Form) -> Result<Response, Problem> {
    let (t, deed) = (Runs::of(p.language), deed(&form)?);
    let access = access(&p)?;
    let runs = named(access, form.text("runs").lines())?;
    if u64::try_from(runs.len()).is_ok_and(|runs| runs > RUNS_MAX) {
        return Err(Problem::new(Code::Unprocessable, format!("at most {RUNS_MAX} runs are asked at once")));
    }
    let id = MessageId::new(form.text("id")).map_err(Problem::bad)?;
    let selection = Selection { id, runs, is_complete: true };
    let request = asking(access, deed, form.text("reason"), form.text("group"));
    let mut so_far = SoFar::of(&form);
    let within = app.options().answers_within().min(ASKS_FOR);
    // In a box: what it borrows need not be told from outside.
    let AskedInTime { asked, left } = app.engine().ask_within(&selection, &request, within).boxed().await;
    asked.into_iter().for_each(|asked| so_far.add(asked));
    let (word, back) = (deed.word(t), form.text("back"));
    let mut title = fill(t.bulk_result, &[&word, &so_far.done, &so_far.refused]);
    if left.is_empty() && so_far.waits > 0 {
        title = format!("{title}. {}", fill(t.bulk_waits, &[&so_far.waits]));
    }
    if left.is_empty() && so_far.refused == 0 {
        return Ok(p.go(back, Some(Notice::good(title))));
    }
    if !left.is_empty() {
        let all = so_far.asked() + count(left.len());
        title = fill(t.bulk_so_far, &[&word, &p.number(so_far.asked()), &p.number(all)]);
    }
    p.show(&Outcome {
        p: &p,
        t,
        title,
        deed,
        so_far,
        left: count(left.len()),
        runs: lines(&left),
        id: form.text("id"),
        group: form.text("group"),
        reason: form.text("reason"),
        back,
    })
}

fn asking(access: &Access, deed: &Deed, reason: &str, group: &str) -> Ask {
    let ask = Ask::new(deed.verb, access.actor(), reason);
    // A run that has gone on since, or met with something else, refuses it.
    if group.is_empty() { ask } else { ask.of_group(group) }
}

fn new_id() -> Result<MessageId, Problem> {
    MessageId::new(Uuid::now_v7().simple().to_string()).map_err(Problem::bad)
}

/// The runs that texts like `tenant/run` name, once each, as far as they are the caller's to see.
fn named<'a>(access: &Access, texts: impl Iterator<Item = &'a str>) -> Result<Vec<RunKey>, Problem> {
    let mut runs = Vec::new();
    for text in texts.map(str::trim).filter(|text| !text.is_empty()) {
        let read = text.split_once('/');
        let (tenant, run) =
            read.ok_or_else(|| Problem::bad(format!("{text:?} is not a tenant and a run")))?;
        let tenant = TenantId::new(tenant).map_err(Problem::bad)?;
        let key = RunKey::new(tenant, RunId::new(run).map_err(Problem::bad)?);
        if !access.sees(&key) {
            return Err(Problem::new(Code::NotFound, format!("there is no run {run}")));
        }
        runs.push(key);
    }
    runs.sort();
    runs.dedup();
    Ok(runs)
}

fn lines(runs: &[RunKey]) -> String {
    let lines: Vec<_> = runs.iter().map(|key| format!("{}/{}", key.tenant, key.run)).collect();
    lines.join("\n")
}

fn most() -> usize {
    usize::try_from(RUNS_MAX).unwrap_or(usize::MAX)
}

async fn select_group(app: &App, p: &Page, group: &str) -> Result<Selection, Problem> {
    Ok(app.engine().select_group(group, p.tenant.as_ref(), most()).await?)
}
