//! The texts of every code, in every language: what a diagnosis says and what the page of its code says.

mod actions;
mod data;
mod environment;
mod network;
mod sentences;
mod store;
#[cfg(test)]
mod tests;
mod time;
mod workers;
mod workflow;

use crate::diagnosis::text::Language;

/// The texts of a code in one language. `summary` and `cause` have parameters, the others none.
#[derive(Debug)]
pub(crate) struct Texts {
    pub(crate) title: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) cause: &'static str,
    pub(crate) confirm: &'static str,
    pub(crate) fix: &'static str,
}

/// A code.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) code: &'static str,
    /// The parameters of its texts, beside those that every diagnosis has ([`COMMON`]).
    pub(crate) params: &'static [&'static str],
    /// What to do, the best first.
    pub(crate) actions: &'static [&'static str],
    pub(crate) english: Texts,
    pub(crate) japanese: Texts,
}

/// A fact or an inference.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) says: &'static str,
    pub(crate) english: &'static str,
    pub(crate) japanese: &'static str,
}

/// An action.
#[derive(Debug)]
pub(crate) struct Deed {
    pub(crate) says: &'static str,
    pub(crate) command: Option<&'static str>,
    pub(crate) retry: bool,
    pub(crate) english: &'static str,
    pub(crate) japanese: &'static str,
}

/// The parameters that every diagnosis has.
#[cfg(test)]
pub(crate) const COMMON: &[&str] = &["run", "workflow", "step", "fingerprint"];

/// The code of what no rule knows.
pub(crate) const UNKNOWN: &str = "SW9001";

impl Entry {
    pub(crate) fn texts(&self, language: Language) -> &Texts {
        match language {
            Language::English => &self.english,
            Language::Japanese => &self.japanese,
        }
    }
}

impl Said {
    pub(crate) fn text(&self, language: Language) -> &'static str {
        match language {
            Language::English => self.english,
            Language::Japanese => self.japanese,
        }
    }
}

impl Deed {
    pub(crate) fn text(&self, language: Language) -> &'static str {
        match language {
            Language::English => self.english,
            Language::Japanese => self.japanese,
        }
    }
}

/// Every code, in order.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    let rooms = [
        data::ENTRIES,
        time::ENTRIES,
        environment::ENTRIES,
        network::ENTRIES,
        workers::ENTRIES,
        store::ENTRIES,
        workflow::ENTRIES,
    ];
    rooms.into_iter().flatten()
}

pub(crate) fn entry(code: &str) -> Option<&'static Entry> {
    entries().find(|entry| entry.code == code)
}

pub(crate) fn sentence(says: &str) -> Option<&'static Said> {
    sentences::FACTS.iter().chain(sentences::INFERENCES).find(|said| said.says == says)
}

pub(crate) fn deed(says: &str) -> Option<&'static Deed> {
    actions::DEEDS.iter().find(|deed| deed.says == says)
}
