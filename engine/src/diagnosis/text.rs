//! Texts with named parameters, so that what was said once can be said again in another language.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::run::notes::within;

/// Longest value of a parameter, in bytes, before the mark that it was cut.
pub const PARAM_BYTES_MAX: usize = 256;
/// Most parameters of one text.
pub const PARAMS_MAX: usize = 24;
/// Longest text made of a template, in bytes, before the mark that it was cut.
pub const TEXT_BYTES_MAX: usize = 1 << 10;

/// A language that diagnoses are told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Japanese.
    Japanese,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::English, Self::Japanese];

    /// Its tag, as in a setting: `en`, `ja`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Japanese => "ja",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// No language has this tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no texts in the language {0:?}; there are en and ja")]
pub struct UnknownLanguage(pub String);

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(tag: &str) -> Result<Self, UnknownLanguage> {
        let found = Self::ALL.into_iter().find(|language| language.as_str() == tag);
        found.ok_or_else(|| UnknownLanguage(tag.to_owned()))
    }
}

/// What a text says of the case at hand, by name. Bounded: long values are cut with a mark, values beyond the limit are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// No parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With this one.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.set(name, value);
        self
    }

    /// Sets one.
    pub fn set(&mut self, name: &str, value: impl fmt::Display) {
        if self.0.len() < PARAMS_MAX || self.0.contains_key(name) {
            self.0.insert(name.to_owned(), within(value.to_string(), PARAM_BYTES_MAX));
        }
    }

    /// The value of one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A template with the parameters in place of their names: `{path}` becomes the value of `path`. A name without a value stays as
/// it is, so that nothing is lost.
#[must_use]
pub fn fill(template: &str, params: &Params) -> String {
    let mut text = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        match after.split_once('}').and_then(|(name, left)| Some((params.get(name)?, left))) {
            Some((value, left)) => {
                text.push_str(value);
                rest = left;
            }
            None => {
                text.push('{');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    within(text, TEXT_BYTES_MAX)
}

/// The names in a template.
pub fn names(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|after| after.split_once('}').map(|(name, _)| name))
}

/// One thing that is said of a failure: a fact, or an inference from facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentence {
    /// Which sentence of the catalogue it is, such as `space_left`; empty when a rule of the user's told it in its own words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub says: String,
    /// What it says of the case at hand.
    #[serde(default, skip_serializing_if = "Params::is_empty")]
    pub params: Params,
    /// Its text.
    pub text: String,
}

impl Sentence {
    /// A sentence in a user's own words, in whatever language they are.
    #[must_use]
    pub fn told(text: impl Into<String>) -> Self {
        Self { says: String::new(), params: Params::new(), text: within(text.into(), TEXT_BYTES_MAX) }
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
