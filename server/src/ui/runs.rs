//! The list of runs: which ones is said in the query language, and kept in the address.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use stepwell::contract::{Order, Status};

use crate::access::Role;
use crate::app::App;
use crate::filter::Filter;
use crate::listing::{self, PAGE_DEFAULT};
use crate::problem::Problem;
use crate::reads::{by_status, is_of};
use crate::routes::Routes;
use crate::ui::bulk::RUNS_MAX;
use crate::ui::page::Page;
use crate::ui::spoken::command;
use crate::ui::verbs::{self, Deed};
use crate::ui::words::runs::Runs;
use crate::view::Listed;
use crate::view::run::{Run, RunStatus};
use crate::view::time;

pub(super) fn routes() -> Routes {
    Routes::new().page(Some(Role::Viewer), "GET", "/runs", get(list))
}

/// The statuses that have a tab, in the order in which people look for them.
const TABS: [Status; 8] = [
    Status::Running,
    Status::Queued,
    Status::Waiting,
    Status::Paused,
    Status::Failed,
    Status::Succeeded,
    Status::Cancelling,
    Status::Cancelled,
];

#[derive(Template)]
#[template(path = "runs.html")]
struct Shown<'a> {
    p: &'a Page,
    t: &'static Runs,
    q: &'a str,
    error: Option<String>,
    tabs: Vec<Tab>,
    views: Vec<(&'static str, String)>,
    runs: Vec<Run>,
    next: Option<String>,
    is_oldest: bool,
    deeds: Vec<&'static Deed>,
    command: String,
    api: String,
    events: String,
}

/// A tab, with how many runs it lists where that is known without looking at them.
struct Tab {
    word: &'static str,
    href: String,
    count: Option<u64>,
    is_here: bool,
}

impl Shown<'_> {
    /// How long a run took, or takes.
    fn took(&self, run: &Run) -> String {
        self.p.between(&run.created_at, &run.finished_at.unwrap_or_else(|| time(self.p.now())))
    }

    /// What is wrong with a run that is held or has failed.
    fn wrong(&self, run: &Run) -> Option<String> {
        run.trouble.as_ref().and_then(|_| self.p.wrong(run))
    }

    fn most(&self) -> String {
        self.p.number(RUNS_MAX)
    }

    /// The address of the list of what has a tag.
    fn tag_href(&self, name: &str, value: &str) -> String {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        self.p.link("/runs", &[("q", &format!("tag:\"{name}={value}\""))])
    }
}

async fn list(State(app): State<App>, p: Page) -> Result<Response, Problem> {
    let t = Runs::of(p.language);
    let q = p.asked("q").unwrap_or_default();
    let order = if p.asked("order") == Some("oldest") { Order::Oldest } else { Order::Newest };
    let read = Filter::parse(q, app.engine().now());
    let (filter, error) = match read {
        Ok(filter) => (filter, None),
        Err(error) => (Filter::default(), Some(error.to_string())),
    };
    let (tenant, cursor) = (p.tenant.as_ref(), p.asked("cursor"));
    let Listed { items, next_cursor } = match &error {
        Some(_) => Listed { items: Vec::new(), next_cursor: None },
        None => listing::shown(app.engine(), tenant, q, &filter, order, cursor, PAGE_DEFAULT).await?,
    };
    let (order_word, oldest) = if order == Order::Oldest { ("oldest", " --oldest") } else { ("", "") };
    p.show(&Shown {
        p: &p,
        t,
        q,
        tabs: tabs(&app, &p, t, &filter).await?,
        views: views(&p, t),
        runs: items,
        next: next_cursor.map(|next| p.with("cursor", &next)),
        is_oldest: order == Order::Oldest,
        deeds: verbs::for_many(),
        command: command("runs list", &[("query", q), ("tenant", p.tenant_text())]) + oldest,
        api: p.api("/runs", &[("q", q), ("order", order_word)]),
        events: if error.is_none() { events(&p, q) } else { String::new() },
        error,
    })
}

/// What tells of changes of the list. An empty query is one too: without any, only the counts would be told.
fn events(p: &Page, q: &str) -> String {
    let href = p.api("/events", &[("q", q)]);
    match (q.is_empty(), href.contains('?')) {
        (false, _) => href,
        (true, true) => format!("{href}&q="),
        (true, false) => format!("{href}?q="),
    }
}

async fn tabs(app: &App, p: &Page, t: &'static Runs, filter: &Filter) -> Result<Vec<Tab>, Problem> {
    let rest = filter.without_statuses();
    let counts = match filter.is_counted() {
        true => {
            let tally = app.reads().tally(app.engine()).await?;
            Some(by_status(&tally, |counted| {
                is_of(p.tenant.as_ref(), counted)
                    && filter.workflow.as_ref().is_none_or(|workflow| *workflow == counted.workflow)
                    && filter.queue.as_ref().is_none_or(|queue| *queue == counted.queue)
            }))
        }
        false => None,
    };
    let order = p.asked("order").unwrap_or_default();
    let href = |q: &str| p.link("/runs", &[("q", q.trim()), ("order", order)]);
    let mut tabs = vec![Tab {
        word: t.all,
        href: href(&rest),
        count: counts.as_ref().map(|counts| counts.values().sum()),
        is_here: filter.statuses.is_empty(),
    }];
    tabs.extend(TABS.into_iter().map(|status| {
        let shown = RunStatus::from(status);
        Tab {
            word: p.status_word(&shown),
            href: href(&format!("status:{} {rest}", status.as_str())),
            count: counts.as_ref().and_then(|counts| counts.get(&shown).copied()),
            is_here: filter.statuses == [status],
        }
    }));
    Ok(tabs)
}

/// Lists that people look at again and again.
fn views(p: &Page, t: &'static Runs) -> Vec<(&'static str, String)> {
    let rows = [
        (t.view_stuck, "is:stuck"),
        (t.view_day, "status:failed since:24h"),
        (t.view_waiting, "status:waiting"),
    ];
    rows.into_iter().map(|(word, q)| (word, p.link("/runs", &[("q", q)]))).collect()
}
