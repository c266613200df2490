//! A case with what many rules ask of it, found out once.

use std::ops::Deref;

use crate::diagnosis::evidence::{
    AttemptEnd, AttemptRecord, Case, Endpoint, EndpointAnswer, EnvironmentFact, FileKind, PathState,
};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::signal::{self, By, Signal};
use crate::diagnosis::support::{self, Support};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;
use crate::run::event::LostReason;
use crate::workflow::classify::ClassifiedBy;
use crate::workflow::error::ErrorClass;

/// Most attempts that are compared, counted from the latest.
const ATTEMPTS_MAX: usize = 32;

/// A case, read once.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    case: Case<'a>,
    /// What the error of the latest attempt says it is.
    pub(crate) signal: Option<(Signal, By)>,
    /// What it named and was tried: an endpoint, and how it answers now.
    pub(crate) endpoint: Option<(Endpoint, Option<EndpointAnswer>)>,
}

impl<'a> Deref for Seen<'a> {
    type Target = Case<'a>;

    fn deref(&self) -> &Case<'a> {
        &self.case
    }
}

impl<'a> Seen<'a> {
    pub(crate) fn new(mut case: Case<'a>) -> Self {
        case.attempts = &case.attempts[case.attempts.len().saturating_sub(ATTEMPTS_MAX)..];
        let signal = case.failed().and_then(signal::of);
        let endpoint = endpoint(&case, signal.map(|(signal, _)| signal));
        let answer = endpoint.as_ref().map(|(_, answer)| *answer);
        // A class that whoever wrote the step gave it says the same as the words do, or not; one that was found by the type says it
        // once more.
        let has_class = |signal: &Signal| {
            let last = case.failed().filter(|last| !matches!(last.classified_by, ClassifiedBy::Known(_)));
            last.is_some_and(|last| signal.has_class(last.class))
        };
        let signal = signal.filter(|(signal, by)| match (by, support::of(&case, *signal, answer)) {
            // A pipe that broke without a word of another side is that of a child or of a file as well.
            (By::Code | By::Told, _) if *signal == Signal::Reset && endpoint.is_none() && is_pipe(&case) => {
                false
            }
            (By::Code | By::Number, _) => true,
            // Words count for nothing against what was seen, and those that people use too need something that they are about.
            (By::Words, support) => support != Support::Against,
            (By::Plain, support) => {
                matches!(support, Support::About | Support::For)
                    || support == Support::Nothing && has_class(signal)
            }
            (By::Told | By::Hint, support) => support == Support::For,
            (By::Loose, support) => {
                support == Support::For || support != Support::Against && has_class(signal)
            }
        });
        Self { signal, endpoint, case }
    }

    /// How the signal is known, if it is this one.
    pub(crate) fn says(&self, wanted: Signal) -> Option<By> {
        self.signal.filter(|(signal, _)| *signal == wanted).map(|(_, by)| by)
    }

    /// The status of a response, and how it is known.
    pub(crate) fn status(&self) -> Option<(u16, By)> {
        match self.signal {
            Some((Signal::Status(status), by)) => Some((status, by)),
            _ => None,
        }
    }

    pub(crate) fn answer(&self) -> Option<EndpointAnswer> {
        self.endpoint.as_ref().and_then(|(_, answer)| *answer)
    }

    /// What the failure is about, in a few words: a path, an endpoint, or the error itself.
    pub(crate) fn what(&self) -> String {
        if let Some((endpoint, _)) = &self.endpoint {
            return endpoint.to_string();
        }
        self.error_text()
    }

    /// The path that it is about, or the error itself.
    pub(crate) fn path(&self) -> String {
        let state = self.path_state().map(|state| state.path.to_owned());
        let of_facts = state.or_else(|| {
            self.facts().find_map(|fact| match fact {
                EnvironmentFact::Space { path, .. }
                | EnvironmentFact::ReadOnlyMount { path, .. }
                | EnvironmentFact::NameLength { path, .. } => Some(path.clone()),
                _ => None,
            })
        });
        let of_error = || self.last().and_then(|last| last.field("path")).map(str::to_owned);
        of_facts.or_else(of_error).unwrap_or_else(|| self.error_text())
    }

    /// The text of the error.
    pub(crate) fn error_text(&self) -> String {
        self.last().map(|last| last.message.as_str()).unwrap_or_default().to_owned()
    }

    /// The attempts that failed, oldest first.
    pub(crate) fn failures(&self) -> impl DoubleEndedIterator<Item = &'a AttemptRecord> + use<'a> {
        self.case.attempts.iter().filter(|attempt| attempt.ended == AttemptEnd::Failed)
    }

    /// The attempts that a dead worker left behind, oldest first.
    pub(crate) fn crashes(&self) -> impl DoubleEndedIterator<Item = &'a AttemptRecord> + use<'a> {
        self.case.attempts.iter().filter(|attempt| attempt.ended == AttemptEnd::Lost(LostReason::Crash))
    }

    /// The latest attempt, when the engine itself ended it for this limit of time.
    pub(crate) fn ran_out(&self, code: &str) -> Option<&'a AttemptRecord> {
        self.failed().filter(|last| last.class == Some(ErrorClass::Timeout) && last.observed() == Some(code))
    }

    /// Whether others that need the same endpoint succeeded since the first of these attempts began.
    pub(crate) fn neighbours_succeeded(&self) -> usize {
        let since = self.case.attempts.first().map(|first| first.started_at);
        let meanwhile = |at| since.is_none_or(|since| at >= since);
        self.case.neighbours.iter().filter(|other| other.succeeded && meanwhile(other.at)).count()
    }

    /// How far the clock is off by the largest measure there is, in milliseconds.
    pub(crate) fn clock_offset_ms(&self) -> u64 {
        let offsets = self.facts().filter_map(|fact| match fact {
            EnvironmentFact::ClockOffset { offset_ms } => Some(offset_ms.unsigned_abs()),
            _ => None,
        });
        offsets.max().unwrap_or(0)
    }

    /// The most sure a rule may be of what the error says: words alone prove nothing.
    pub(crate) fn sure(&self, by: By, proven: bool) -> Confidence {
        match (by, proven) {
            (By::Code, true) => Confidence::High,
            (By::Code, false) | (By::Told | By::Plain | By::Words | By::Number, true) => Confidence::Medium,
            (By::Hint | By::Loose, _) | (By::Told | By::Plain | By::Words | By::Number, false) => {
                Confidence::Low
            }
        }
    }
}

impl Finding {
    /// With what the endpoint answers now, and what that means.
    pub(crate) fn endpoint_now(self, seen: &Seen<'_>) -> Self {
        let Some((endpoint, Some(answer))) = &seen.endpoint else { return self };
        let says = match answer {
            EndpointAnswer::Accepts => "endpoint_accepts",
            EndpointAnswer::Refuses => "endpoint_refuses",
            EndpointAnswer::TimesOut => "endpoint_times_out",
            EndpointAnswer::Unreachable => "endpoint_unreachable",
            EndpointAnswer::DoesNotResolve => "endpoint_unknown",
        };
        self.fact(says, Params::new().with("endpoint", endpoint))
    }

    /// With the mark that it rests on words, where it does.
    pub(crate) fn known_by(self, by: By) -> Self {
        self.infer_if(by < By::Code, "by_words", Params::new())
    }
}

fn is_pipe(case: &Case<'_>) -> bool {
    let of = |codes: &[&str]| case.failed().is_some_and(|last| last.has_typed_code(codes));
    of(&["io.broken_pipe", "EPIPE"]) && !of(&["io.connection_reset", "io.connection_aborted", "ECONNRESET"])
}

/// The endpoint that it is about: of several that were tried, the one that answers as the error says.
fn endpoint(case: &Case<'_>, signal: Option<Signal>) -> Option<(Endpoint, Option<EndpointAnswer>)> {
    let all = || {
        case.facts()
            .filter_map(|fact| match fact {
                EnvironmentFact::Endpoint { endpoint, answer, .. } => Some((endpoint.clone(), Some(*answer))),
                _ => None,
            })
            // `order:17` has the form of an endpoint and is none.
            .filter(|(endpoint, answer)| {
                let is_host =
                    signal == Some(Signal::NoName) || *answer != Some(EndpointAnswer::DoesNotResolve);
                is_host || endpoint.host.contains(['.', ':'])
            })
    };
    let fits = |answer: Option<EndpointAnswer>| {
        signal.and_then(support::answer_of).is_some_and(|it| answer == Some(it))
    };
    let tried = all().find(|(_, answer)| fits(*answer)).or_else(|| all().next());
    let named = || {
        let last = case.last()?;
        let host = last.field("host")?.to_owned();
        Some((Endpoint { host, port: last.field("port").and_then(|port| port.parse().ok()) }, None))
    };
    tried.or_else(named)
}

/// What is known of the path in question.
#[derive(Debug)]
pub(crate) struct PathSeen<'a> {
    pub(crate) path: &'a str,
    pub(crate) found: Option<&'a PathState>,
    pub(crate) parent: Option<&'a PathState>,
    pub(crate) uid: Option<u32>,
    pub(crate) similar: &'a [String],
}

impl<'a> Seen<'a> {
    /// The path that it is about: of several that were looked at, one that is as the error says.
    pub(crate) fn path_state(&self) -> Option<PathSeen<'a>> {
        let all = || {
            self.facts().filter_map(|fact| match fact {
                EnvironmentFact::Path { path, found, parent, uid, similar } => Some(PathSeen {
                    path,
                    found: found.as_ref(),
                    parent: parent.as_ref(),
                    uid: *uid,
                    similar,
                }),
                _ => None,
            })
        };
        let fits = |state: &PathSeen<'_>| match self.signal {
            Some((Signal::NotFound, _)) => state.is_absent(),
            Some((Signal::Denied, _)) => state.is_denied(),
            _ => true,
        };
        // What only may not be written to comes before what nothing is wrong with.
        let may = |state: &PathSeen<'_>| {
            matches!(self.signal, Some((Signal::Denied, _))) && state.lacks().is_some()
        };
        all().find(fits).or_else(|| all().find(may)).or_else(|| all().next())
    }

    pub(crate) fn read_only_mount(&self) -> Option<(&'a str, &'a str)> {
        self.facts().find_map(|fact| match fact {
            EnvironmentFact::ReadOnlyMount { path, mount } => Some((path.as_str(), mount.as_str())),
            _ => None,
        })
    }
}

impl PathSeen<'_> {
    /// The right that this process lacks there: at the path, or at the folder that should hold it.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        self.found.or(self.parent).and_then(PathState::lacks)
    }

    /// Whether access to it is denied for whatever is done with it.
    pub(crate) fn is_denied(&self) -> bool {
        support::is_denied(self.found, self.parent)
    }

    /// Whether nothing of it is there, not even where it begins: it may be no path at all, or one of another machine.
    pub(crate) fn is_foreign(&self) -> bool {
        self.found.is_none() && self.parent.is_some_and(|parent| parent.path == "/")
    }

    /// Whether nothing is there, or only a link that leads nowhere.
    pub(crate) fn is_absent(&self) -> bool {
        self.found.is_none_or(|found| found.kind == FileKind::BrokenLink)
    }

    /// Whether the folder that should hold it is not there either.
    pub(crate) fn folder_is_missing(&self) -> bool {
        self.found.is_none() && support::is_folder_missing(self.path, self.parent)
    }
}

/// A duration for people: two units at most, the same in every language.
pub(crate) fn told_ms(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => tenths(ms, 1_000, "s"),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        3_600_000..172_800_000 => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{} d {} h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

/// A size for people.
pub(crate) fn told_bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => tenths(bytes, 1_024, "KiB"),
        1_048_576..1_073_741_824 => tenths(bytes, 1_048_576, "MiB"),
        _ => tenths(bytes, 1_073_741_824, "GiB"),
    }
}

fn tenths(value: u64, unit: u64, name: &str) -> String {
    match (value / unit, value % unit * 10 / unit) {
        (whole, 0) => format!("{whole} {name}"),
        (whole, tenth) => format!("{whole}.{tenth} {name}"),
    }
}
