//! Starting a run from a page: first what would happen, then, if all is in order, the run.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use stepwell::StartPreview;
use stepwell::contract::Order;
use uuid::Uuid;

use crate::access::Role;
use crate::api::repetition::IdempotencyKey;
use crate::api::runs::{NewRun, begin, preview};
use crate::api::values::as_shown;
use crate::app::App;
use crate::filter::Filter;
use crate::listing;
use crate::problem::{Fault, Problem};
use crate::routes::Routes;
use crate::ui::forms::Form;
use crate::ui::page::{Notice, Page};
use crate::ui::run::json::{Shown as Json, shown_within};
use crate::ui::sheet::Sheet;
use crate::ui::spoken::quoted;
use crate::ui::words::fill;
use crate::ui::words::sheets::Sheets;

/// The fields that say which run, as the REST API names them; the rare ones last.
const FIELDS: [&str; 9] =
    ["key", "workflow", "input", "run", "version", "tags", "queue", "priority", "delay"];
/// The fields that stand behind `More`.
const RARE: [&str; 6] = ["run", "version", "tags", "queue", "priority", "delay"];
/// Most bytes of an example.
const EXAMPLE_BYTES_MAX: usize = 4 << 10;

pub(super) fn routes() -> Routes {
    Routes::new().page(Some(Role::Operator), "GET", "/start", get(look)).page(
        Some(Role::Operator),
        "POST",
        "/start",
        axum::routing::post(start),
    )
}

#[derive(Template)]
#[template(path = "start.html")]
struct Shown<'a> {
    p: &'a Page,
    t: &'static Sheets,
    sheet: &'a Sheet,
    tenant: String,
    known: Vec<String>,
    /// What the latest run of the workflow began with.
    example: Option<Json>,
    told: Option<StartPreview>,
    command: String,
    api: String,
}

impl Shown<'_> {
    fn has_rare(&self) -> bool {
        self.sheet.has_any(&RARE)
    }

    fn would_start(&self, told: &StartPreview) -> String {
        fill(self.t.would_start, &[&told.workflow.name, &told.workflow.version, &told.queue])
    }
}

async fn look(State(app): State<App>, p: Page) -> Result<Response, Problem> {
    let t = Sheets::of(p.language);
    let asked = |field| (field, p.asked(field).unwrap_or_default().to_owned());
    let mut texts = vec![("key", Uuid::now_v7().to_string())];
    texts.extend(["workflow", "version", "queue"].map(asked));
    shown(&app, &p, &Sheet::new(t, texts), None, StatusCode::OK).await
}

async fn start(State(app): State<App>, p: Page, form: Form) -> Result<Response, Problem> {
    let t = Sheets::of(p.language);
    let mut sheet = Sheet::sent(t, &form, &FIELDS);
    let new = asked_for(&mut sheet);
    let refused = StatusCode::UNPROCESSABLE_ENTITY;
    if !sheet.is_sound() {
        return shown(&app, &p, &sheet, None, refused).await;
    }
    let who = p.who()?;
    // Whoever names the run names the request by that.
    let key = Some(form.text("key")).filter(|key| !key.is_empty() && new.run.is_none());
    let key = IdempotencyKey::of(key);
    let Fault { field, problem } = if form.text("check").is_empty() {
        match begin(&app, &who, &new, &key).await {
            Ok((is_new, head)) => {
                let said = fill(if is_new { t.started } else { t.was_there }, &[&head.key.run]);
                return Ok(p.go(&p.run_below(&head.key), Some(Notice::good(said))));
            }
            Err(refused) => refused,
        }
    } else {
        match preview(&app, &who, &new, &key).await {
            Ok(told) => return shown(&app, &p, &sheet, Some(told), StatusCode::OK).await,
            Err(refused) => refused,
        }
    };
    if problem.status >= 500 {
        return Err(problem);
    }
    let status = StatusCode::from_u16(problem.status).unwrap_or(refused);
    sheet.refuse(field, problem.detail);
    shown(&app, &p, &sheet, None, status).await
}

/// The run that the form asks for.
fn asked_for(sheet: &mut Sheet) -> NewRun {
    NewRun {
        workflow: sheet.needed("workflow"),
        version: sheet.number("version"),
        run: sheet.word("run"),
        input: sheet.json("input"),
        tags: sheet.tags("tags"),
        priority: sheet.number("priority").unwrap_or_default(),
        queue: sheet.word("queue"),
        delay_ms: sheet.span_ms("delay"),
    }
}

/// The workflows that runs can be started of: those that are here, and those that other engines have told of.
pub(super) async fn known_workflows(app: &App) -> Result<Vec<String>, Problem> {
    let here = app.engine().definitions();
    let mut names: Vec<_> = here.iter().map(|definition| definition.name().to_string()).collect();
    names.extend(app.engine().outlines().await?.into_iter().map(|told| told.outline.name.to_string()));
    // Those of the engine itself are started by the engine itself.
    names.retain(|name| !name.starts_with("stepwell."));
    names.sort();
    names.dedup();
    Ok(names)
}

/// What the latest run of a workflow began with, as far as whoever looks may see: inputs have no other description.
pub(super) async fn example_input(app: &App, p: &Page, workflow: &str) -> Result<Option<Json>, Problem> {
    let Ok(filter) = Filter::parse(&format!("workflow:{workflow}"), app.engine().now()) else {
        return Ok(None);
    };
    let page = listing::page(app.engine(), p.tenant.as_ref(), &filter, Order::Newest, None, 1).await?;
    let Some(head) = page.items.first() else { return Ok(None) };
    // An example that cannot be read is none.
    let Ok(state) = app.engine().state(&head.key).await else { return Ok(None) };
    Ok(Some(shown_within(as_shown(&state.created.input, false).text(), EXAMPLE_BYTES_MAX)))
}

async fn shown(
    app: &App,
    p: &Page,
    sheet: &Sheet,
    told: Option<StartPreview>,
    status: StatusCode,
) -> Result<Response, Problem> {
    let workflow = sheet.text("workflow");
    let example = match workflow {
        "" => None,
        workflow => example_input(app, p, workflow).await?,
    };
    let named = if workflow.is_empty() { "WORKFLOW".to_owned() } else { quoted(workflow) };
    let page = Shown {
        t: Sheets::of(p.language),
        sheet,
        tenant: p.tenant.clone().unwrap_or_default().to_string(),
        known: known_workflows(app).await?,
        example,
        told,
        command: format!("stepwell runs start {named} '…'"),
        api: p.api("/runs", &[]),
        p,
    };
    p.show_with(status, &page)
}
