//! What is asked of a schedule with care: starting the runs of times gone by, and ending it.

use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::api;
use crate::api::schedules::{Backfill, SchedulePart, WhyParams};
use crate::app::App;
use crate::problem::Problem;
use crate::request::{At, Body, DryRun, Params};
use crate::ui::forms::Form;
use crate::ui::page::{Notice, Page, part};
use crate::ui::sheet::Sheet;
use crate::ui::spoken::quoted;
use crate::ui::words::fill;
use crate::ui::words::sheets::Sheets;
use crate::view::schedule::Backfilled;

const FIELDS: [&str; 3] = ["from", "to", "reason"];
/// How many times of a backfill are named.
const NAMED_MAX: usize = 20;

#[derive(Template)]
#[template(path = "backfill.html")]
struct Shown<'a> {
    p: &'a Page,
    t: &'static Sheets,
    name: &'a str,
    sheet: &'a Sheet,
    /// The times of the span, once it was looked at.
    times: Option<Vec<Backfilled>>,
    action: String,
    command: String,
    api: String,
}

impl Shown<'_> {
    fn title(&self) -> String {
        fill(self.t.backfill_title, &[&self.name])
    }

    fn named<'a>(&self, times: &'a [Backfilled]) -> &'a [Backfilled] {
        &times[..times.len().min(NAMED_MAX)]
    }

    fn left_out(&self, times: &[Backfilled]) -> usize {
        times.len().saturating_sub(NAMED_MAX)
    }

    fn counted(&self, times: &[Backfilled]) -> String {
        let new = times.iter().filter(|time| time.status.is_none()).count();
        fill(self.t.backfill_times, &[&times.len(), &new])
    }
}

pub(super) async fn look(
    State(app): State<App>,
    Path(SchedulePart { name }): Path<SchedulePart>,
    p: Page,
) -> Result<Response, Problem> {
    // It has to be there.
    api::schedules::plan(&app, &p.who()?, &name).await?;
    shown(&p, &name, &Sheet::new(Sheets::of(p.language), []), None, StatusCode::OK)
}

pub(super) async fn backfill(
    State(app): State<App>,
    Path(SchedulePart { name }): Path<SchedulePart>,
    p: Page,
    form: Form,
) -> Result<Response, Problem> {
    let t = Sheets::of(p.language);
    let mut sheet = Sheet::sent(t, &form, &FIELDS);
    for field in ["from", "to"] {
        sheet.needed(field);
    }
    let refused = StatusCode::UNPROCESSABLE_ENTITY;
    let (Some(from), Some(to)) = (sheet.time("from"), sheet.time("to")) else {
        return shown(&p, &name, &sheet, None, refused);
    };
    let asked = Backfill { from, to, reason: sheet.text("reason").to_owned() };
    let dry_run = form.text("confirmed").is_empty();
    let (at, params) = (At(SchedulePart { name: name.clone() }), Params(DryRun { dry_run }));
    match api::schedules::backfill(State(app), p.who()?, at, params, Body(asked)).await {
        Ok(Json(told)) if dry_run => shown(&p, &name, &sheet, Some(told.times), StatusCode::OK),
        Ok(Json(told)) => {
            let started = told.times.iter().filter(|time| time.status.is_none()).count();
            let said = Notice::good(fill(t.backfilled, &[&name, &started]));
            Ok(p.go(&p.below("/schedules", &[]), Some(said)))
        }
        Err(problem) if problem.status < 500 && problem.status != 404 => {
            sheet.refuse(None, problem.detail);
            shown(&p, &name, &sheet, None, refused)
        }
        Err(problem) => Err(problem),
    }
}

fn shown(
    p: &Page,
    name: &str,
    sheet: &Sheet,
    times: Option<Vec<Backfilled>>,
    status: StatusCode,
) -> Result<Response, Problem> {
    let page = Shown {
        p,
        t: Sheets::of(p.language),
        name,
        sheet,
        times,
        action: p.href(&format!("/schedules/{}/backfill", part(name))),
        command: format!("stepwell schedules backfill {} …", quoted(name)),
        api: p.api(&format!("/schedules/{}/backfill", part(name)), &[]),
    };
    p.show_with(status, &page)
}

#[derive(Template)]
#[template(path = "schedule_delete.html")]
struct ShownEnd<'a> {
    p: &'a Page,
    t: &'static Sheets,
    name: &'a str,
    action: String,
    api: String,
}

impl ShownEnd<'_> {
    fn title(&self) -> String {
        fill(self.t.delete_title, &[&self.name])
    }
}

pub(super) async fn ask_end(
    State(app): State<App>,
    Path(SchedulePart { name }): Path<SchedulePart>,
    p: Page,
) -> Result<Response, Problem> {
    api::schedules::plan(&app, &p.who()?, &name).await?;
    p.show(&ShownEnd {
        p: &p,
        t: Sheets::of(p.language),
        action: p.href(&format!("/schedules/{}/delete", part(&name))),
        api: p.api(&format!("/schedules/{}", part(&name)), &[]),
        name: &name,
    })
}

pub(super) async fn end(
    State(app): State<App>,
    Path(SchedulePart { name }): Path<SchedulePart>,
    p: Page,
    form: Form,
) -> Result<Response, Problem> {
    let why = Params(WhyParams { reason: form.text("reason").to_owned(), dry_run: false });
    api::schedules::delete(State(app), p.who()?, At(SchedulePart { name: name.clone() }), why).await?;
    let said = fill(Sheets::of(p.language).deleted, &[&name]);
    Ok(p.go(&p.below("/schedules", &[]), Some(Notice::good(said))))
}
