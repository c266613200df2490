//! Schedules: runs by the clock.

mod past;
mod plan;

use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::access::Role;
use crate::api::schedules::{self, SchedulePart, Trigger, Triggered};
use crate::api::values::SecretsParams;
use crate::app::App;
use crate::listing::Paging;
use crate::problem::{Code, Problem};
use crate::request::{At, Params};
use crate::routes::Routes;
use crate::ui::forms::Form;
use crate::ui::page::{Notice, Page, part};
use crate::ui::spoken::command;
use crate::ui::words::fill;
use crate::ui::words::places::Places;
use crate::ui::words::sheets::Sheets;
use crate::view::Listed;
use crate::view::schedule::{Schedule, StartedRun};

pub(super) fn routes() -> Routes {
    let operator = Some(Role::Operator);
    Routes::new()
        .page(Some(Role::Viewer), "GET", "/schedules", get(list))
        .page(operator, "GET", "/schedules/new", get(plan::new))
        .page(operator, "POST", "/schedules/new", post(plan::make))
        .page(operator, "GET", "/schedules/{name}/edit", get(plan::edit))
        .page(operator, "POST", "/schedules/{name}/edit", post(plan::change))
        .page(operator, "GET", "/schedules/{name}/backfill", get(past::look))
        .page(operator, "POST", "/schedules/{name}/backfill", post(past::backfill))
        .page(operator, "GET", "/schedules/{name}/delete", get(past::ask_end))
        .page(operator, "POST", "/schedules/{name}/delete", post(past::end))
        .page(operator, "POST", "/schedules/{name}/{verb}", post(steer))
}

#[derive(Template)]
#[template(path = "schedules.html")]
struct Shown<'a> {
    p: &'a Page,
    t: &'static Places,
    f: &'static Sheets,
    tenant: String,
    schedules: Vec<Schedule>,
    next: Option<String>,
    command: String,
    api: String,
}

impl Shown<'_> {
    /// When it starts runs.
    fn times(&self, schedule: &Schedule) -> String {
        let plan = &schedule.plan;
        let zone = plan.timezone.as_deref().map(|zone| format!(" · {zone}")).unwrap_or_default();
        match (&plan.cron, plan.every_ms) {
            (Some(cron), _) => format!("{cron}{zone}"),
            (None, ms) => self.p.fill_one(self.t.every, self.p.span(ms.unwrap_or_default())),
        }
    }

    /// The runs that it started last, the newest first.
    fn latest<'a>(&self, schedule: &'a Schedule) -> impl Iterator<Item = &'a StartedRun> {
        schedule.recent.iter().rev().take(3)
    }

    fn counts(&self, schedule: &Schedule) -> String {
        let Schedule { started, skipped, missed, .. } = schedule;
        fill(self.t.counts_line, &[started, skipped, missed])
    }

    fn steer_href(&self, schedule: &str, verb: &str) -> String {
        self.p.href(&format!("/schedules/{}/{verb}", part(schedule)))
    }
}

async fn list(State(app): State<App>, p: Page) -> Result<Response, Problem> {
    let who = p.who()?;
    let tenant = who.tenant.clone().unwrap_or_default().to_string();
    let asked = Paging { limit: None, cursor: p.asked_for("cursor") };
    let Json(Listed { items, next_cursor }) = schedules::list(State(app), who, Params(asked)).await?;
    p.show(&Shown {
        p: &p,
        t: Places::of(p.language),
        f: Sheets::of(p.language),
        tenant,
        schedules: items,
        next: next_cursor.map(|next| p.with("cursor", &next)),
        command: command("schedules list", &[("tenant", p.tenant_text())]),
        api: p.api("/schedules", &[]),
    })
}

/// The input of a schedule as it may be shown.
async fn without_secrets(app: &App, p: &Page, name: &str) -> Result<Option<Box<RawValue>>, Problem> {
    let at = At(SchedulePart { name: name.to_owned() });
    let hidden = Params(SecretsParams { secrets: false });
    let Json(schedule) = schedules::show(State(app.clone()), p.who()?, at, hidden).await?;
    Ok(schedule.plan.input)
}

#[derive(Debug, Deserialize)]
struct Asked {
    name: String,
    verb: String,
}

async fn steer(
    State(app): State<App>,
    Path(Asked { name, verb }): Path<Asked>,
    p: Page,
    form: Form,
) -> Result<Response, Problem> {
    let t = Places::of(p.language);
    let (who, reason) = (p.who()?, form.text("reason"));
    let said = match verb.as_str() {
        "pause" => {
            schedules::hold(&app, &who, &name, true, reason, false).await?;
            fill(t.schedule_paused, &[&name])
        }
        "resume" => {
            schedules::hold(&app, &who, &name, false, reason, false).await?;
            fill(t.schedule_resumed, &[&name])
        }
        "trigger" => {
            let asked = Trigger { id: None, reason: reason.to_owned() };
            match schedules::start_now(&app, &who, &name, asked, false).await? {
                Triggered::Started(run) => fill(t.schedule_triggered, &[&run.run]),
                Triggered::Previewed(preview) => preview.run.run,
            }
        }
        other => return Err(Problem::new(Code::NotFound, format!("a schedule is not asked to {other:?}"))),
    };
    Ok(p.go(&p.below("/schedules", &[]), Some(Notice::good(said))))
}
