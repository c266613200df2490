//! What was seen around a failure, held against what its error says.

use crate::diagnosis::evidence::{Case, EndpointAnswer, EnvironmentFact, FileKind, PathState};
use crate::diagnosis::signal::Signal;
use crate::workflow::error::ErrorClass;

/// Open files from which on, in parts of a hundred of the limit, there are too many.
const MANY_FILES_PERCENT: u64 = 90;
/// Free space below which a write of an ordinary size fails, in bytes.
const FULL_BYTES: u64 = 1 << 20;

/// How what was seen stands to what the error says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// Something that was seen speaks against it.
    Against,
    /// Nothing was seen that it could be about.
    Nothing,
    /// There is something that it could be about.
    About,
    /// Something that was seen is as it says.
    For,
}

/// How what was seen stands to this. `answer` is that of the endpoint in question, `Some(None)` of one that was not tried.
pub(crate) fn of(case: &Case<'_>, signal: Signal, answer: Option<Option<EndpointAnswer>>) -> Support {
    if let Some(wanted) = answer_of(signal) {
        return match answer {
            None => Support::Nothing,
            Some(answer) if answer == Some(wanted) => Support::For,
            Some(_) => Support::About,
        };
    }
    if matches!(signal, Signal::Reset | Signal::Login | Signal::Status(_)) {
        return if answer.is_some() { Support::About } else { Support::Nothing };
    }
    let all = case.facts().filter(|fact| counts(case, fact)).filter_map(|fact| of_fact(signal, fact));
    all.max_by_key(|support| match support {
        // A path that is as it says outweighs another that is not.
        Support::For => 3,
        Support::Against => 2,
        Support::About => 1,
        Support::Nothing => 0,
    })
    .unwrap_or(Support::Nothing)
}

impl Signal {
    /// Whether errors of this class are mostly of this sort.
    pub(crate) fn has_class(self, class: Option<ErrorClass>) -> bool {
        matches!(
            (class, self),
            (
                Some(ErrorClass::Unavailable),
                Self::Refused
                    | Self::Reset
                    | Self::NoName
                    | Self::NoRoute
                    | Self::Tls
                    | Self::Status(500..=599)
            ) | (Some(ErrorClass::Timeout), Self::TimedOut | Self::Status(408 | 504))
        )
    }
}

/// How an endpoint answers afterwards of which this is said.
pub(crate) fn answer_of(signal: Signal) -> Option<EndpointAnswer> {
    match signal {
        Signal::Refused => Some(EndpointAnswer::Refuses),
        Signal::NoName => Some(EndpointAnswer::DoesNotResolve),
        Signal::TimedOut => Some(EndpointAnswer::TimesOut),
        Signal::NoRoute => Some(EndpointAnswer::Unreachable),
        // It takes connections: what fails comes after that.
        Signal::Tls => Some(EndpointAnswer::Accepts),
        _ => None,
    }
}

/// Whether the room that is told is room to write in: the kernel's own file systems have none, images for reading are always full,
/// and where not even the folder of a path is there it may be a path of another machine.
pub(crate) fn counts(case: &Case<'_>, fact: &EnvironmentFact) -> bool {
    let EnvironmentFact::Space { path, total_bytes, .. } = fact else { return true };
    let is_elsewhere = case.facts().any(|other| match other {
        EnvironmentFact::ReadOnlyMount { path: other, .. } => other == path,
        EnvironmentFact::Path { path: other, found: None, parent, .. } => {
            other == path && is_folder_missing(path, parent.as_ref())
        }
        _ => false,
    });
    *total_bytes > 0 && !is_elsewhere
}

/// Whether the nearest folder that is there is not the one that should hold the path.
pub(crate) fn is_folder_missing(path: &str, parent: Option<&PathState>) -> bool {
    let folder = path.trim_end_matches('/').rsplit_once('/').map(|(folder, _)| folder);
    match (folder, parent) {
        (Some(folder), Some(parent)) => {
            parent.path.trim_end_matches('/') != folder.trim_end_matches('/')
                || parent.kind != FileKind::Folder
        }
        _ => false,
    }
}

/// Whether access is denied to this, whatever is done with it: it may not be read or passed through, or it is not there and cannot be
/// made. That it may not be written to says nothing where nobody knows that it was written to.
pub(crate) fn is_denied(found: Option<&PathState>, parent: Option<&PathState>) -> bool {
    match (found, parent) {
        (Some(found), _) => found.lacks().is_some_and(|right| right != "write"),
        // Nobody makes files in the root: it is a route, or a path of another machine.
        (None, Some(parent)) => parent.path != "/" && parent.lacks().is_some(),
        (None, None) => false,
    }
}

fn of_fact(signal: Signal, fact: &EnvironmentFact) -> Option<Support> {
    let decided = |holds: bool| Some(if holds { Support::For } else { Support::Against });
    let likely = |holds: bool| Some(if holds { Support::For } else { Support::About });
    match (signal, fact) {
        // Where nothing of a path is there it may be a route, or a path of another machine.
        (Signal::NotFound, EnvironmentFact::Path { found: None, parent: Some(parent), .. })
            if parent.path == "/" =>
        {
            Some(Support::About)
        }
        (Signal::NotFound, EnvironmentFact::Path { found, .. }) => {
            decided(found.as_ref().is_none_or(|found| found.kind == FileKind::BrokenLink))
        }
        (Signal::Exists, EnvironmentFact::Path { found, .. }) => decided(found.is_some()),
        (Signal::Denied, EnvironmentFact::Path { found, parent, .. }) => {
            match is_denied(found.as_ref(), parent.as_ref()) {
                true => Some(Support::For),
                // It can be read; whether it was to be written to is not known.
                false if found.as_ref().is_some_and(|at| at.lacks().is_some()) => Some(Support::About),
                false => Some(Support::Against),
            }
        }
        (
            Signal::NotAFolder | Signal::ReadOnly | Signal::NameTooLong | Signal::TooManyFiles,
            EnvironmentFact::Path { .. },
        ) => Some(Support::About),
        (Signal::Full, EnvironmentFact::Space { free_bytes, total_bytes, free_inodes, .. }) => {
            decided(*free_bytes < FULL_BYTES || *free_bytes < total_bytes / 200 || *free_inodes == Some(0))
        }
        (Signal::Quota, EnvironmentFact::Space { .. }) => Some(Support::About),
        (Signal::ReadOnly, EnvironmentFact::ReadOnlyMount { .. })
        | (Signal::NameTooLong, EnvironmentFact::NameLength { .. }) => Some(Support::For),
        (Signal::TooManyFiles, EnvironmentFact::OpenFiles { count, limit }) => {
            likely(*count >= limit.saturating_mul(MANY_FILES_PERCENT) / 100).filter(|it| *it == Support::For)
        }
        _ => None,
    }
}

impl PathState {
    /// The right that this process lacks there.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        [(self.readable, "read"), (self.writable, "write"), (self.executable, "execute")]
            .into_iter()
            // A file that is no program need not be executed.
            .filter(|(_, right)| *right != "execute" || self.kind == FileKind::Folder)
            .find(|(allowed, _)| *allowed == Some(false))
            .map(|(_, right)| right)
    }
}
