//! Queues: how full they are, and steering them.

use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::access::Role;
use crate::api::queues::{self, QueueVerb, Steered};
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::request::{NoParams, Params};
use crate::routes::Routes;
use crate::ui::forms::Form;
use crate::ui::page::{Notice, Page, part};
use crate::ui::spoken::command;
use crate::ui::words::fill;
use crate::ui::words::places::Places;
use crate::view::queue::{Queue, Rate};

pub(super) fn routes() -> Routes {
    Routes::new().page(Some(Role::Viewer), "GET", "/queues", get(list)).page(
        Some(Role::Admin),
        "POST",
        "/queues/{queue}/{verb}",
        post(steer),
    )
}

#[derive(Template)]
#[template(path = "queues.html")]
struct Shown<'a> {
    p: &'a Page,
    t: &'static Places,
    queues: Vec<Queue>,
    command: String,
    api: String,
}

impl Shown<'_> {
    fn limits(&self, queue: &Queue) -> String {
        let (p, t) = (self.p, self.t);
        let rate = |rate: &Rate| p.fill_two(t.rate, rate.runs, p.span(rate.per_ms));
        let rows = [
            queue.concurrency.map(|runs| p.fill_one(t.at_once, runs)),
            queue.per_key.map(|runs| p.fill_one(t.per_key, runs)),
            queue.rate.as_ref().map(rate),
            queue.rate_per_key.as_ref().map(|limit| p.fill_one(t.per_key, rate(limit))),
        ];
        let told: Vec<_> = rows.into_iter().flatten().collect();
        if told.is_empty() { t.no_limits.to_owned() } else { told.join(" · ") }
    }

    fn runs_href(&self, queue: &str) -> String {
        self.p.link("/runs", &[("q", &format!("queue:{queue} is:unfinished"))])
    }

    fn steer_href(&self, queue: &str, verb: &str) -> String {
        self.p.href(&format!("/queues/{}/{verb}", part(queue)))
    }
}

async fn list(State(app): State<App>, p: Page) -> Result<Response, Problem> {
    let Json(listed) = queues::list(State(app), p.who()?, Params(NoParams {})).await?;
    p.show(&Shown {
        p: &p,
        t: Places::of(p.language),
        queues: listed.items,
        command: command("queues list", &[("tenant", p.tenant_text())]),
        api: p.api("/queues", &[]),
    })
}

#[derive(Debug, Deserialize)]
struct Asked {
    queue: String,
    verb: String,
}

async fn steer(
    State(app): State<App>,
    Path(Asked { queue, verb }): Path<Asked>,
    p: Page,
    form: Form,
) -> Result<Response, Problem> {
    let t = Places::of(p.language);
    let verb = match verb.as_str() {
        "pause" => QueueVerb::Pause,
        "resume" => QueueVerb::Resume,
        "drain" => QueueVerb::Drain,
        other => return Err(Problem::new(Code::NotFound, format!("a queue is not asked to {other:?}"))),
    };
    let steered = queues::steer(&app, &p.who()?, &queue, verb, form.text("reason"), false).await?;
    let text = match (verb, steered) {
        (QueueVerb::Pause, _) => t.queue_paused,
        (QueueVerb::Resume, _) => t.queue_resumed,
        (QueueVerb::Drain, Steered::Drains(_)) => t.queue_drains,
        (QueueVerb::Drain, _) => t.queue_drained,
    };
    let said = fill(text, &[&queue]);
    Ok(p.go(&p.below("/queues", &[]), Some(Notice::good(said))))
}
