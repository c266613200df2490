//! By what each sort of trouble is known: numbers, names and wordings of systems, drivers and programs. One table, in three parts.

mod answers;
mod files;
mod network;

use crate::diagnosis::signal::Signal;

/// What stands for one sort of trouble.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) signal: Signal,
    /// Codes that types have, and names of error numbers.
    pub(super) codes: &'static [&'static str],
    /// Numbers of the operating system, Windows' too where they mean nothing else.
    pub(super) errno: &'static [u32],
    /// Names that services, drivers and languages give their errors: in small letters, without `_` and without an ending such as
    /// `Exception`.
    pub(super) names: &'static [&'static str],
    /// States that databases name by five characters, in small letters.
    pub(super) states: &'static [&'static str],
    /// Numbers of MySQL.
    pub(super) mysql: &'static [u32],
    /// What `curl` ends with.
    pub(super) curl: &'static [u32],
    /// What only systems say, where they put it: between punctuation.
    pub(super) words: &'static [&'static str],
    /// What only systems say, wherever it stands.
    pub(super) phrases: &'static [&'static str],
    /// What people say too.
    pub(super) plain: &'static [&'static str],
    /// What leads to where to look.
    pub(super) hints: &'static [&'static str],
}

const NONE: Mark = Mark {
    signal: Signal::NotFound,
    codes: &[],
    errno: &[],
    names: &[],
    states: &[],
    mysql: &[],
    curl: &[],
    words: &[],
    phrases: &[],
    plain: &[],
    hints: &[],
};

/// All of them: of those that say the same of a text the first counts.
pub(super) fn all() -> impl Iterator<Item = &'static Mark> {
    [files::MARKS, network::MARKS, answers::MARKS].into_iter().flatten()
}
