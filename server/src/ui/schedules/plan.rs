//! Making a schedule, and making it another: a form that shows the next times before anything is kept.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::api::schedules::{SchedulePart, plan, save};
use crate::app::App;
use crate::json::indented;
use crate::problem::{Fault, Problem};
use crate::ui::forms::Form;
use crate::ui::page::{Notice, Page, part};
use crate::ui::sheet::{Sheet, span_text, tags_text};
use crate::ui::start::known_workflows;
use crate::ui::words::fill;
use crate::ui::words::sheets::Sheets;
use crate::view::Time;
use crate::view::schedule::Plan;

/// The fields of the form, as the REST API names them; spans are written as people write them.
const FIELDS: [&str; 15] = [
    "name", "workflow", "version", "input", "cron", "timezone", "every", "from", "until", "tags", "queue",
    "priority", "overlap", "catch_up", "jitter",
];
/// The fields that stand behind `More`.
const RARE: [&str; 8] = ["version", "tags", "queue", "priority", "catch_up", "jitter", "from", "until"];
/// How many of the next times are shown.
const TIMES_SHOWN: usize = 5;

#[derive(Template)]
#[template(path = "schedule.html")]
struct Shown<'a> {
    p: &'a Page,
    t: &'static Sheets,
    sheet: &'a Sheet,
    /// The schedule that becomes another; `None` for a new one.
    edited: Option<&'a str>,
    /// The input that it has, without secrets.
    input: Option<String>,
    known: Vec<String>,
    next: Option<Vec<Time>>,
    action: String,
    api: String,
}

impl Shown<'_> {
    fn has_rare(&self) -> bool {
        self.sheet.has_any(&RARE)
    }

    /// What can happen when a run has not ended, each with its words.
    fn overlaps(&self) -> [(&'static str, &'static str); 4] {
        let t = self.t;
        [
            ("skip", t.overlap_skip),
            ("queue", t.overlap_queue),
            ("cancel_old", t.overlap_cancel_old),
            ("allow", t.overlap_allow),
        ]
    }

    fn is_chosen(&self, overlap: &str) -> bool {
        self.sheet.text("overlap") == overlap
    }

    fn title(&self) -> String {
        self.edited.map_or_else(|| self.t.new_schedule.to_owned(), |name| fill(self.t.edit_title, &[&name]))
    }
}

pub(super) async fn new(State(app): State<App>, p: Page) -> Result<Response, Problem> {
    let workflow = p.asked("workflow").unwrap_or_default().to_owned();
    let sheet = Sheet::new(Sheets::of(p.language), [("workflow", workflow)]);
    shown(&app, &p, &sheet, None, None, StatusCode::OK).await
}

pub(super) async fn edit(
    State(app): State<App>,
    Path(SchedulePart { name }): Path<SchedulePart>,
    p: Page,
) -> Result<Response, Problem> {
    let plan = plan(&app, &p.who()?, &name).await?;
    let number = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
    let span = |ms: Option<u64>| ms.map(span_text).unwrap_or_default();
    let time = |time: Option<Time>| time.map(|time| time.to_string()).unwrap_or_default();
    let texts = [
        ("workflow", plan.workflow),
        ("version", number(plan.version)),
        ("cron", plan.cron.unwrap_or_default()),
        ("timezone", plan.timezone.unwrap_or_default()),
        ("every", span(plan.every_ms)),
        ("from", time(plan.from)),
        ("until", time(plan.until)),
        ("tags", tags_text(&plan.tags)),
        ("queue", plan.queue.unwrap_or_default()),
        ("priority", if plan.priority == 0 { String::new() } else { plan.priority.to_string() }),
        ("overlap", plan.overlap.unwrap_or_default()),
        ("catch_up", span(plan.catch_up_ms)),
        ("jitter", span(Some(plan.jitter_ms).filter(|ms| *ms > 0))),
    ];
    let sheet = Sheet::new(Sheets::of(p.language), texts);
    shown(&app, &p, &sheet, Some(&name), None, StatusCode::OK).await
}

pub(super) async fn make(State(app): State<App>, p: Page, form: Form) -> Result<Response, Problem> {
    sent(&app, &p, &form, None).await
}

pub(super) async fn change(
    State(app): State<App>,
    Path(SchedulePart { name }): Path<SchedulePart>,
    p: Page,
    form: Form,
) -> Result<Response, Problem> {
    sent(&app, &p, &form, Some(&name)).await
}

async fn sent(app: &App, p: &Page, form: &Form, edited: Option<&str>) -> Result<Response, Problem> {
    let (t, who) = (Sheets::of(p.language), p.who()?);
    let mut sheet = Sheet::sent(t, form, &FIELDS);
    let name = edited.map_or_else(|| sheet.needed("name"), str::to_owned);
    let mut asked = asked_for(&mut sheet);
    match (edited, plan(app, &who, &name).await) {
        (Some(_), Ok(before)) => asked.input = asked.input.or(before.input),
        (Some(_), Err(problem)) => return Err(problem),
        (None, Ok(_)) if !name.is_empty() => sheet.refuse(Some("name"), t.exists),
        _ => {}
    }
    let next = match asked.clone().upcoming(app.engine().now(), TIMES_SHOWN) {
        Ok(next) => Some(next),
        Err(fault) => {
            refuse(&mut sheet, fault)?;
            None
        }
    };
    if sheet.is_sound() && form.text("check").is_empty() {
        match save(app, &who, &name, asked, form.text("reason")).await {
            Ok((is_new, _)) => {
                let said = fill(if is_new { t.saved_new } else { t.saved }, &[&name]);
                return Ok(p.go(&p.below("/schedules", &[]), Some(Notice::good(said))));
            }
            Err(fault) => refuse(&mut sheet, fault)?,
        }
    }
    let status = if sheet.is_sound() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let next = next.filter(|_| sheet.is_sound());
    shown(app, p, &sheet, edited, next, status).await
}

/// Tells what is wrong beside its field.
///
/// # Errors
/// What the form has no part in.
pub(super) fn refuse(sheet: &mut Sheet, Fault { field, problem }: Fault) -> Result<(), Problem> {
    if problem.status >= 500 {
        return Err(problem);
    }
    sheet.refuse(field, problem.detail);
    Ok(())
}

/// The plan that the form asks for.
fn asked_for(sheet: &mut Sheet) -> Plan {
    let plan = Plan {
        cron: sheet.word("cron"),
        timezone: sheet.word("timezone"),
        every_ms: sheet.span_ms("every"),
        from: sheet.time("from"),
        until: sheet.time("until"),
        workflow: sheet.needed("workflow"),
        version: sheet.number("version"),
        input: sheet.json("input"),
        tags: sheet.tags("tags"),
        queue: sheet.word("queue"),
        priority: sheet.number("priority").unwrap_or_default(),
        overlap: sheet.word("overlap"),
        catch_up_ms: sheet.span_ms("catch_up"),
        jitter_ms: sheet.span_ms("jitter").unwrap_or_default(),
    };
    let has_both = plan.cron.is_some() && plan.every_ms.is_some();
    if has_both || !sheet.has_any(&["cron", "every"]) {
        let why = sheet.words().one_of_both;
        sheet.refuse(Some("every"), why);
    }
    plan
}

async fn shown(
    app: &App,
    p: &Page,
    sheet: &Sheet,
    edited: Option<&str>,
    next: Option<Vec<Time>>,
    status: StatusCode,
) -> Result<Response, Problem> {
    let input = match edited {
        Some(name) => super::without_secrets(app, p, name).await?.map(|input| indented(input.get())),
        None => None,
    };
    let path =
        edited.map_or_else(|| "/schedules/new".to_owned(), |name| format!("/schedules/{}/edit", part(name)));
    let page = Shown {
        t: Sheets::of(p.language),
        sheet,
        edited,
        input,
        known: known_workflows(app).await?,
        next,
        action: p.href(&path),
        api: p.api(&format!("/schedules/{}", edited.map_or_else(|| "NAME".to_owned(), part)), &[]),
        p,
    };
    p.show_with(status, &page)
}
