//! What codes mean, and what to do.

use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;

use crate::access::Role;
use crate::api;
use crate::api::codes::{CodePart, LanguageParams};
use crate::app::App;
use crate::problem::{self, Problem};
use crate::request::{At, Params};
use crate::routes::Routes;
use crate::ui::page::{Page, part};
use crate::ui::words::places::Places;
use crate::view::code::{CodePage, CodeTitle};

pub(super) fn routes() -> Routes {
    Routes::new().page(Some(Role::Viewer), "GET", "/codes", get(list)).page(
        Some(Role::Viewer),
        "GET",
        "/codes/{code}",
        get(show),
    )
}

#[derive(Template)]
#[template(path = "codes.html")]
struct Shown<'a> {
    p: &'a Page,
    t: &'static Places,
    /// Those of diagnoses, and those of refusals, each under its heading.
    lists: [(&'static str, Vec<CodeTitle>); 2],
    api: String,
}

fn language(p: &Page) -> Params<LanguageParams> {
    Params(LanguageParams { language: Some(p.lang().to_owned()) })
}

async fn list(p: Page) -> Result<Response, Problem> {
    let t = Places::of(p.language);
    let Json(listed) = api::codes::list(language(&p)).await?;
    let is_refusal = |title: &CodeTitle| problem::Code::named(&title.code).is_some();
    let (refusals, diagnoses) = listed.items.into_iter().partition(is_refusal);
    let lists = [(t.diagnosis_codes, diagnoses), (t.refusal_codes, refusals)];
    p.show(&Shown { p: &p, t, lists, api: p.api("/codes", &[("language", p.lang())]) })
}

#[derive(Template)]
#[template(path = "code.html")]
struct ShownCode<'a> {
    p: &'a Page,
    t: &'static Places,
    code: CodePage,
    command: String,
    api: String,
}

impl ShownCode<'_> {
    fn runs_href(&self) -> String {
        self.p.link("/runs", &[("q", &format!("code:{}", self.code.code))])
    }
}

async fn show(
    State(app): State<App>,
    Path(CodePart { code }): Path<CodePart>,
    p: Page,
) -> Result<Response, Problem> {
    let at = At(CodePart { code: code.clone() });
    let Json(told) = api::codes::show(State(app), at, language(&p)).await?;
    p.show(&ShownCode {
        p: &p,
        t: Places::of(p.language),
        command: format!("stepwell explain {}", told.code),
        api: p.api(&format!("/codes/{}", part(&code)), &[("language", p.lang())]),
        code: told,
    })
}
