//! How this server is set, how its store is, and what it knows.

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
use crate::ui::workers::bytes_text;
use crate::view::store::{Store, StoreState};
use crate::view::workflow::Workflow;

pub(super) fn routes() -> Routes {
    Routes::new().page(Some(Role::Viewer), "GET", "/settings", get(show))
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Shown<'a> {
    p: &'a Page,
    t: &'static Places,
    store: Option<Store>,
    /// Why there is nothing to say of the store.
    store_error: Option<String>,
    workflows: Vec<Workflow>,
    tokens: usize,
    body_max: String,
    timeout_ms: u64,
    worker: String,
    version: &'static str,
    api: String,
}

impl Shown<'_> {
    fn store_word(&self, store: &Store) -> (&'static str, &'static str) {
        match store.health.state {
            StoreState::Ok => ("succeeded", self.t.store_ok),
            StoreState::Degraded => ("paused", self.t.store_degraded),
            StoreState::Poisoned => ("failed", self.t.store_poisoned),
            StoreState::Unreachable => ("failed", self.t.store_unreachable),
        }
    }
}

async fn show(State(app): State<App>, p: Page) -> Result<Response, Problem> {
    let none = || Params(NoParams {});
    let (store, store_error) = match api::store::show(State(app.clone()), p.who()?, none()).await {
        Ok(Json(store)) => (Some(store), None),
        // A page that tells of the state of things is for the time when they are bad.
        Err(problem) => (None, Some(problem.detail)),
    };
    let Json(workflows) = api::workflows::list(State(app.clone()), none()).await?;
    let options = app.options();
    p.show(&Shown {
        p: &p,
        t: Places::of(p.language),
        store,
        store_error,
        workflows: workflows.items,
        tokens: options.tokens.len(),
        body_max: bytes_text(u64::try_from(options.body_bytes_max).unwrap_or(u64::MAX)),
        timeout_ms: options.request_timeout_ms,
        worker: app.engine().worker().to_string(),
        version: env!("CARGO_PKG_VERSION"),
        api: p.api("/store", &[]),
    })
}
