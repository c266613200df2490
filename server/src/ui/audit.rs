//! Searching what happened, to whichever run.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use stepwell::Category;

use crate::access::Role;
use crate::api;
use crate::api::audit::AuditParams;
use crate::app::App;
use crate::problem::Problem;
use crate::request::Params;
use crate::routes::Routes;
use crate::ui::page::Page;
use crate::ui::run::entries::{LEVELS, level_word};
use crate::ui::spoken::{command, quoted};
use crate::ui::words::places::Places;
use crate::view::Listed;
use crate::view::entry::FoundEntry;

pub(super) fn routes() -> Routes {
    Routes::new().page(Some(Role::Viewer), "GET", "/audit", get(search))
}

/// The names of the fields, as the REST API has them.
const FIELDS: [&str; 10] =
    ["text", "run", "workflow", "category", "level", "code", "actor", "since", "until", "order"];

#[derive(Template)]
#[template(path = "audit.html")]
struct Shown<'a> {
    p: &'a Page,
    t: &'static Places,
    entries: Vec<FoundEntry>,
    error: Option<String>,
    next: Option<String>,
    command: String,
    api: String,
}

impl Shown<'_> {
    fn said(&self, field: &str) -> &str {
        self.p.asked(field).unwrap_or_default()
    }

    fn categories(&self) -> [&'static str; 8] {
        Category::ALL.map(Category::as_str)
    }

    fn levels(&self) -> [&'static str; 4] {
        LEVELS.map(level_word)
    }

    /// The status that has the colour of a level.
    fn tint(&self, level: &str) -> &'static str {
        match level {
            "error" => "failed",
            "warn" => "paused",
            _ => "",
        }
    }
}

async fn search(State(app): State<App>, p: Page) -> Result<Response, Problem> {
    let asked = AuditParams {
        run: p.asked_for("run"),
        workflow: p.asked_for("workflow"),
        category: p.asked_for("category"),
        level: p.asked_for("level"),
        code: p.asked_for("code"),
        actor: p.asked_for("actor"),
        since: p.asked_for("since"),
        until: p.asked_for("until"),
        text: p.asked_for("text"),
        order: p.asked_for("order"),
        limit: None,
        cursor: p.asked_for("cursor"),
    };
    let (Listed { items, next_cursor }, error) =
        match api::audit::search(State(app), p.who()?, Params(asked)).await {
            Ok(Json(listed)) => (listed, None),
            // What is wrong with a field is said beside the fields.
            Err(problem) if problem.status < 500 => {
                (Listed { items: Vec::new(), next_cursor: None }, Some(problem.detail))
            }
            Err(problem) => return Err(problem),
        };
    let said = |field: &'static str| (field, p.asked(field).unwrap_or_default());
    let options: Vec<_> =
        FIELDS.into_iter().filter(|field| !["text", "order"].contains(field)).map(said).collect();
    let text = p.asked("text").map(|text| format!(" {}", quoted(text))).unwrap_or_default();
    let oldest = if p.asked("order") == Some("oldest") { " --oldest" } else { "" };
    let tenant = [("tenant", p.tenant_text())];
    p.show(&Shown {
        p: &p,
        t: Places::of(p.language),
        entries: items,
        error,
        next: next_cursor.map(|next| p.with("cursor", &next)),
        command: command(&format!("audit{text}"), &[options.as_slice(), &tenant].concat()) + oldest,
        api: p.api("/audit", &FIELDS.map(said)),
    })
}
