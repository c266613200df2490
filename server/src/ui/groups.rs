//! Failure groups: why runs fail, across runs.

use std::collections::BTreeMap;

use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use stepwell::contract::{RunId, RunKey, TenantId};

use crate::access::Role;
use crate::api;
use crate::api::groups::{GroupParams, GroupPart};
use crate::app::App;
use crate::listing::Paging;
use crate::problem::Problem;
use crate::request::{At, NoParams, Params};
use crate::routes::Routes;
use crate::ui::page::{Page, UNEXPLAINED, part};
use crate::ui::spoken::{command, quoted};
use crate::ui::verbs::{self, Deed};
use crate::ui::words::places::Places;
use crate::ui::words::runs::Runs;
use crate::view::Listed;
use crate::view::group::{Group, GroupDetail, Member, RunName};
use crate::view::run::Run;

pub(super) fn routes() -> Routes {
    Routes::new().page(Some(Role::Viewer), "GET", "/groups", get(list)).page(
        Some(Role::Viewer),
        "GET",
        "/groups/{group}",
        get(show),
    )
}

/// What failure groups are about: of those that nothing explains, the error of the first run tells more than the diagnosis.
#[derive(Debug)]
pub(crate) struct Causes(BTreeMap<String, String>);

impl Causes {
    /// Looks at the first runs of the groups that need it, and that whoever looks may see.
    ///
    /// # Errors
    /// What reading a head gives.
    pub(crate) async fn of_groups(app: &App, p: &Page, groups: &[Group]) -> Result<Self, Problem> {
        let mut told = BTreeMap::new();
        for group in groups.iter().filter(|group| group.code == UNEXPLAINED) {
            let RunName { tenant, run } = &group.sample;
            let (Ok(tenant), Ok(run)) = (TenantId::new(tenant), RunId::new(run)) else { continue };
            if p.tenant.as_ref().is_some_and(|own| *own != tenant) {
                continue;
            }
            let head = app.engine().get(&RunKey::new(tenant, run)).await?;
            let trouble = head.and_then(|head| Run::of(&head).trouble);
            told.extend(trouble.map(|trouble| (group.group.clone(), trouble.message)));
        }
        Ok(Self(told))
    }

    /// What a group is about, in a sentence.
    pub(crate) fn of(&self, p: &Page, group: &Group) -> String {
        self.0.get(&group.group).cloned().unwrap_or_else(|| p.said(&group.code, &group.summary))
    }
}

#[derive(Template)]
#[template(path = "groups.html")]
struct Shown<'a> {
    p: &'a Page,
    t: &'static Places,
    groups: Vec<Group>,
    causes: Causes,
    is_in_trouble: bool,
    next: Option<String>,
    command: String,
    api: String,
}

async fn list(State(app): State<App>, p: Page) -> Result<Response, Problem> {
    let is_in_trouble = p.asked("in_trouble") != Some("false");
    let asked = GroupParams {
        code: p.asked_for("code"),
        workflow: p.asked_for("workflow"),
        in_trouble: is_in_trouble,
        limit: None,
        cursor: p.asked_for("cursor"),
    };
    let Json(Listed { items, next_cursor }) =
        api::groups::list(State(app.clone()), p.who()?, Params(asked)).await?;
    let causes = Causes::of_groups(&app, &p, &items).await?;
    let all = if is_in_trouble { "" } else { " --all" };
    let query = [
        ("code", p.asked("code").unwrap_or_default()),
        ("workflow", p.asked("workflow").unwrap_or_default()),
        ("in_trouble", if is_in_trouble { "true" } else { "" }),
    ];
    p.show(&Shown {
        p: &p,
        t: Places::of(p.language),
        groups: items,
        causes,
        is_in_trouble,
        next: next_cursor.map(|next| p.with("cursor", &next)),
        command: command("groups list", &[("tenant", p.tenant_text())]) + all,
        api: p.api("/groups", &query),
    })
}

#[derive(Template)]
#[template(path = "group.html")]
struct ShownGroup<'a> {
    p: &'a Page,
    t: &'static Places,
    r: &'static Runs,
    detail: GroupDetail,
    members: Vec<Member>,
    next: Option<String>,
    deeds: Vec<&'static Deed>,
    command: String,
    api: String,
}

impl ShownGroup<'_> {
    fn in_trouble(&self) -> u64 {
        self.detail.group.failed + self.detail.group.held
    }

    /// The figures of what became of the runs, each with the status that has its colour.
    fn standings(&self) -> [(&'static str, &'static str, u64); 5] {
        let (t, detail) = (self.t, &self.detail);
        [
            ("failed", t.failed_now, detail.group.failed),
            ("paused", t.held_now, detail.group.held),
            ("running", t.open, detail.open),
            ("succeeded", t.recovered, detail.recovered),
            ("cancelled", t.cancelled, detail.cancelled),
        ]
    }

    /// Who and what is affected, each with the counts by name.
    fn affected(&self) -> [(&'static str, String); 4] {
        let (t, detail) = (self.t, &self.detail);
        let told = |counts: &std::collections::BTreeMap<String, u64>| {
            let told: Vec<_> =
                counts.iter().map(|(name, runs)| format!("{name} ({})", self.p.number(runs))).collect();
            told.join(", ")
        };
        [
            (t.affected_versions, told(&detail.versions)),
            (t.affected_code, told(&detail.code_versions)),
            (t.affected_workers, told(&detail.workers)),
            (t.affected_tenants, told(&detail.tenants)),
        ]
    }
}

async fn show(
    State(app): State<App>,
    Path(GroupPart { group }): Path<GroupPart>,
    p: Page,
) -> Result<Response, Problem> {
    let at = || At(GroupPart { group: group.clone() });
    let Json(detail) = api::groups::show(State(app.clone()), p.who()?, at(), Params(NoParams {})).await?;
    let paging = Paging { limit: None, cursor: p.asked_for("cursor") };
    let Json(Listed { items, next_cursor }) =
        api::groups::members(State(app), p.who()?, at(), Params(paging)).await?;
    p.show(&ShownGroup {
        p: &p,
        t: Places::of(p.language),
        r: Runs::of(p.language),
        members: items,
        next: next_cursor.map(|next| p.with("cursor", &next)),
        deeds: verbs::for_many(),
        command: command(&format!("groups show {}", quoted(&group)), &[("tenant", p.tenant_text())]),
        api: p.api(&format!("/groups/{}", part(&group)), &[]),
        detail,
    })
}
