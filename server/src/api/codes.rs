//! What codes mean: those of diagnoses, and those of refused requests.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use stepwell::diagnosis::page::codes;
use stepwell::diagnosis::{Language, explain_code};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::problem::{self, Problem};
use crate::request::{At, Params};
use crate::routes::Routes;
use crate::view::Listed;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Viewer, routes!(list)).at(Role::Viewer, routes!(show))
}

/// A code in a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CodeTitle {
    /// The code.
    #[schema(example = "SW1203")]
    pub(crate) code: String,
    /// Its name.
    pub(crate) title: String,
}

/// What there is to say of a code, whatever the case: `{name}` stands for what a case says there.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CodePage {
    /// The code.
    #[schema(example = "SW1203")]
    pub(crate) code: String,
    /// Its name.
    pub(crate) title: String,
    /// What happened; missing, as what comes next, for codes of refused requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
    /// How to make sure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confirm: Option<String>,
    /// How to mend it.
    pub(crate) fix: String,
    /// What to do.
    pub(crate) actions: Vec<CodeAction>,
}

/// Something to do.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CodeAction {
    /// In words.
    pub(crate) text: String,
    /// The command that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
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
    let language = params.language()?;
    let pages = codes().filter_map(|code| explain_code(code, language));
    let told = pages.map(|page| CodeTitle { code: page.code.to_owned(), title: page.title.to_owned() });
    let own = problem::Code::ALL.iter();
    let own = own.map(|code| CodeTitle { code: code.as_str().to_owned(), title: code.title().to_owned() });
    let mut items: Vec<_> = told.chain(own).collect();
    items.sort_by(|a, b| a.code.cmp(&b.code));
    Ok(Json(Listed { items, next_cursor: None }))
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
    let language = params.language()?;
    let code = code.to_ascii_uppercase();
    if let Some(page) = explain_code(&code, language) {
        let actions = page
            .actions
            .into_iter()
            .map(|(text, command)| CodeAction { text: text.to_owned(), command: command.map(str::to_owned) });
        return Ok(Json(CodePage {
            code,
            title: page.title.to_owned(),
            summary: Some(page.summary.to_owned()),
            cause: Some(page.cause.to_owned()),
            confirm: Some(page.confirm.to_owned()),
            fix: page.fix.to_owned(),
            actions: actions.collect(),
        }));
    }
    let own = problem::Code::ALL.iter().find(|own| own.as_str() == code);
    let own = own.ok_or_else(|| {
        Problem::new(problem::Code::NotFound, format!("there is no code {code:?}; /api/v1/codes lists them"))
    })?;
    Ok(Json(CodePage {
        title: own.title().to_owned(),
        summary: None,
        cause: None,
        confirm: None,
        fix: own.fix().to_owned(),
        actions: Vec::new(),
        code,
    }))
}
