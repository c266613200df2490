//! The first page: how everything is.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use crate::access::Role;
use crate::app::App;
use crate::problem::Problem;
use crate::routes::Routes;
use crate::ui::chart::Chart;
use crate::ui::groups::Causes;
use crate::ui::page::Page;
use crate::ui::spoken::command;
use crate::ui::words::fill;
use crate::ui::words::places::Places;
use crate::view::overview::Overview;
use crate::view::run::RunStatus;
use crate::view::store::StoreState;

pub(super) fn routes() -> Routes {
    Routes::new().page(Some(Role::Viewer), "GET", "/", get(show))
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Shown<'a> {
    p: &'a Page,
    t: &'static Places,
    o: Arc<Overview>,
    causes: Causes,
    figures: Vec<Figure>,
    chart: Chart,
    is_empty: bool,
    command: String,
    api: String,
}

/// How many runs are in a status.
struct Figure {
    status: RunStatus,
    count: u64,
    href: String,
}

impl Shown<'_> {
    fn store_word(&self) -> &'static str {
        match self.o.store.state {
            StoreState::Ok => self.t.store_ok,
            StoreState::Degraded => self.t.store_degraded,
            StoreState::Poisoned => self.t.store_poisoned,
            StoreState::Unreachable => self.t.store_unreachable,
        }
    }

    /// The status that has the colour of the store's state.
    fn store_tint(&self) -> &'static str {
        match self.o.store.state {
            StoreState::Ok => "succeeded",
            StoreState::Degraded => "paused",
            StoreState::Poisoned | StoreState::Unreachable => "failed",
        }
    }

    fn chart_label(&self) -> String {
        let Chart { ended, failed, most, .. } = &self.chart;
        fill(self.t.chart_label, &[ended, failed, most])
    }
}

async fn show(State(app): State<App>, p: Page) -> Result<Response, Problem> {
    let o = app.overview(p.tenant.as_ref()).await?;
    let figures = o.counts.iter().map(|(status, count)| Figure {
        status: *status,
        count: *count,
        href: p.link("/runs", &[("q", &format!("status:{}", p.status_name(status)))]),
    });
    let figures = figures.collect();
    p.show(&Shown {
        p: &p,
        t: Places::of(p.language),
        causes: Causes::of_groups(&app, &p, &o.groups).await?,
        is_empty: o.counts.values().all(|count| *count == 0),
        figures,
        chart: Chart::of(&o.series),
        command: command("stats", &[("tenant", p.tenant_text())]),
        api: p.api("/overview", &[]),
        o,
    })
}
