//! Workers: which processes take runs, and how they do.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use crate::access::Role;
use crate::api;
use crate::app::App;
use crate::problem::Problem;
use crate::request::{NoParams, Params};
use crate::routes::Routes;
use crate::ui::page::Page;
use crate::ui::words::places::Places;
use crate::view::worker::Worker;

pub(super) fn routes() -> Routes {
    Routes::new().page(Some(Role::Viewer), "GET", "/workers", get(list))
}

#[derive(Template)]
#[template(path = "workers.html")]
struct Shown<'a> {
    p: &'a Page,
    t: &'static Places,
    workers: Vec<Worker>,
    api: String,
}

impl Shown<'_> {
    fn bytes(&self, bytes: &u64) -> String {
        bytes_text(*bytes)
    }

    fn percent(&self, percent: &f64) -> String {
        format!("{percent:.0} %")
    }

    fn takes(&self, worker: &Worker) -> String {
        match worker.queues.is_empty() {
            true => self.t.all_queues.to_owned(),
            false => self.p.fill_one(self.t.queues_word, worker.queues.join(", ")),
        }
    }

    fn held_href(&self, worker: &str) -> String {
        self.p.link("/runs", &[("q", &format!("worker:{worker} is:unfinished"))])
    }
}

/// A number of bytes, in the unit that suits it.
pub(crate) fn bytes_text(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, word)) => format!("{}.{} {word}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

async fn list(State(app): State<App>, p: Page) -> Result<Response, Problem> {
    let Json(listed) = api::workers::list(State(app), p.who()?, Params(NoParams {})).await?;
    let api = p.api("/workers", &[]);
    p.show(&Shown { p: &p, t: Places::of(p.language), workers: listed.items, api })
}
