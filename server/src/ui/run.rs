//! The pages of one run: what it is, why it is there, its graph, steps, timeline, logs, values and history, and what can be
//! asked of it.

mod card;
mod chart;
mod compare;
mod data;
pub(crate) mod entries;
mod fork;
mod graph;
mod header;
pub(crate) mod json;
mod layout;
mod looks;
mod sight;
mod steps;
mod tabs;
mod timeline;
mod words;

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use stepwell::contract::RunKey;

use crate::access::Role;
use crate::api::runs::head;
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::request::RunAt;
use crate::routes::Routes;
use crate::ui::page::Page;
use crate::ui::run::entries::Lines;
use crate::ui::run::header::{Header, Tab};
use crate::ui::run::sight::Sight;
use crate::ui::run::words::RunWords;

pub(crate) use timeline::Timeline;

pub(super) fn routes() -> Routes {
    let (viewer, operator) = (Some(Role::Viewer), Some(Role::Operator));
    Routes::new()
        .page(viewer, "GET", "/runs/{run}", get(tabs::overview))
        .page(viewer, "GET", "/runs/{run}/graph", get(tabs::graph))
        .page(viewer, "GET", "/runs/{run}/steps", get(tabs::steps))
        .page(viewer, "GET", "/runs/{run}/timeline", get(tabs::timeline))
        .page(viewer, "GET", "/runs/{run}/logs", get(tabs::logs))
        .page(viewer, "GET", "/runs/{run}/logs/text", get(log_file))
        .page(viewer, "GET", "/runs/{run}/data", get(tabs::data))
        .page(viewer, "GET", "/runs/{run}/data/raw", get(value_file))
        .page(viewer, "GET", "/runs/{run}/audit", get(tabs::audit))
        .page(operator, "GET", "/runs/{run}/fork", get(fork::look))
        .page(operator, "POST", "/runs/{run}/fork", post(fork::fork))
        .page(operator, "POST", "/runs/{run}/signal", post(fork::signal))
}

/// What every page of a run begins with.
struct Ready {
    sight: Sight,
    header: Header,
    w: &'static RunWords,
}

async fn ready(app: &App, p: &Page, key: &RunKey, tab: Tab) -> Result<Ready, Problem> {
    let sight = Sight::of(app, key).await?;
    let w = RunWords::of(p.language);
    let past = app.estimates().past(app.engine(), &sight.head).await?;
    let header = Header::of(p, w, &sight, tab, &past);
    Ok(Ready { sight, header, w })
}

/// A text as a file that browsers save and never show: whatever it holds, it is no page of this server.
fn file(media: &'static str, name: &str, text: String) -> Response {
    let name: String = name
        .chars()
        .map(|mark| if mark.is_ascii_alphanumeric() || ".-_".contains(mark) { mark } else { '_' })
        .collect();
    let saved = format!("attachment; filename=\"{name}\"");
    ([(CONTENT_TYPE, media.to_owned()), (CONTENT_DISPOSITION, saved)], text).into_response()
}

async fn log_file(State(app): State<App>, RunAt(key): RunAt, p: Page) -> Result<Response, Problem> {
    let head = head(&app, &key).await?;
    let journal = app.journals().of(app.engine(), &head).await?;
    let text = Lines::asked(&p).text(&p, &journal.records);
    Ok(file("text/plain; charset=utf-8", &format!("{}.log", key.run), text))
}

async fn value_file(State(app): State<App>, RunAt(key): RunAt, p: Page) -> Result<Response, Problem> {
    let sight = Sight::of(&app, &key).await?;
    let of = p.asked("of").unwrap_or_default();
    let step = p.asked("step");
    let value = data::raw(&p, &sight, of, step);
    let value = value.ok_or_else(|| Problem::new(Code::NotFound, "the run has no such value"))?;
    let name = format!("{}-{}.json", key.run, step.unwrap_or(of));
    Ok(file("application/json", &name, value))
}
