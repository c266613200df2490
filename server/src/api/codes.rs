//! What codes mean: those of diagnoses, and those of refused requests.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use stepwell::diagnosis::Language;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::request::{At, Params};
use crate::routes::Routes;
use crate::view::Listed;
use crate::view::code::{CodePage, CodeTitle};

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Viewer, routes!(list)).at(Role::Viewer, routes!(show))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LanguageParams {
    /// `en` or `ja`; `en` when missing. Codes of refused requests are told in English.
    #[param(pattern = "^(en|ja)$")]
    pub(crate) language: Option<String>,
}

impl LanguageParams {
    fn language(&self) -> Result<Language, Problem> {
        self.language.as_deref().map_or(Ok(Language::English), |tag| tag.parse().map_err(Problem::bad))
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct CodePart {
    pub(crate) code: String,
}

/// Every code, in order.
#[utoipa::path(get, path = "/api/v1/codes", tag = "codes", operation_id = "listCodes",
    params(LanguageParams, ("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "The codes.", body = Listed<CodeTitle>)))]
pub(crate) async fn list(Params(params): Params<LanguageParams>) -> Result<Json<Listed<CodeTitle>>, Problem> {
    Ok(Json(Listed { items: CodeTitle::all(params.language()?), next_cursor: None }))
}

/// What a code means, and what to do.
#[utoipa::path(get, path = "/api/v1/codes/{code}", tag = "codes", operation_id = "getCode",
    params(LanguageParams, ("code" = String, Path, description = "The code, as in `SW1203`."),
        ("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "What it means.", body = CodePage)))]
pub(crate) async fn show(
    State(_): State<App>,
    At(CodePart { code }): At<CodePart>,
    Params(params): Params<LanguageParams>,
) -> Result<Json<CodePage>, Problem> {
    let page = CodePage::of(&code, params.language()?);
    page.map(Json).ok_or_else(|| {
        Problem::new(Code::NotFound, format!("there is no code {code:?}; /api/v1/codes lists them"))
    })
}
