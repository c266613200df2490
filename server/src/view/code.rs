//! What codes mean, as it is shown: those of diagnoses, and those of refused requests.

use serde::{Deserialize, Serialize};
use stepwell::diagnosis::page::codes;
use stepwell::diagnosis::{Language, explain_code};
use utoipa::ToSchema;

use crate::problem::Code;

/// A code in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CodeTitle {
    /// The code.
    #[schema(example = "SW1203")]
    pub code: String,
    /// Its name.
    pub title: String,
}

/// What there is to say of a code, whatever the case: `{name}` stands for what a case says there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CodePage {
    /// The code.
    #[schema(example = "SW1203")]
    pub code: String,
    /// Its name.
    pub title: String,
    /// What happened; missing, as what comes next, for codes of refused requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// How to make sure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// How to mend it.
    pub fix: String,
    /// What to do.
    pub actions: Vec<CodeAction>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CodeAction {
    /// In words.
    pub text: String,
    /// The command that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl CodeTitle {
    /// Every code, in order.
    #[must_use]
    pub fn all(language: Language) -> Vec<Self> {
        let of = |code: &str, title: &str| Self { code: code.to_owned(), title: title.to_owned() };
        let said = codes().filter_map(|code| explain_code(code, language));
        let said = said.map(|page| of(page.code, page.title));
        let refusals = Code::ALL.iter().map(|code| of(code.as_str(), code.told(language).0));
        let mut all: Vec<_> = said.chain(refusals).collect();
        all.sort_by(|a, b| a.code.cmp(&b.code));
        all
    }
}

impl CodePage {
    /// The page of a code, in capitals or not; `None` when there is no such code.
    #[must_use]
    pub fn of(code: &str, language: Language) -> Option<Self> {
        let code = code.to_ascii_uppercase();
        let Some(page) = explain_code(&code, language) else {
            let (title, fix) = Code::named(&code)?.told(language);
            return Some(Self {
                code,
                title: title.to_owned(),
                summary: None,
                cause: None,
                confirm: None,
                fix: fix.to_owned(),
                actions: Vec::new(),
            });
        };
        let actions = page
            .actions
            .into_iter()
            .map(|(text, command)| CodeAction { text: text.to_owned(), command: command.map(str::to_owned) });
        Some(Self {
            title: page.title.to_owned(),
            summary: Some(page.summary.to_owned()),
            cause: Some(page.cause.to_owned()),
            confirm: Some(page.confirm.to_owned()),
            fix: page.fix.to_owned(),
            actions: actions.collect(),
            code,
        })
    }
}
