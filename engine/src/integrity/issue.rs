//! What is wrong with what the store holds: data, the same for whoever looks.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stepwell_contract::{Fence, RunKey, Version};

/// Declares the kinds of issues: name, word in stores, severity, recommendation.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $severity:ident, $advice:literal;)*) => {
        /// What sort of issue it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum IssueKind {
            $($(#[$doc])* $name,)*
        }

        impl IssueKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word used in stores, listings and filters.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// How bad it is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$name => Severity::$severity,)*
                }
            }

            /// What to do about it.
            #[must_use]
            pub fn recommendation(self) -> &'static str {
                match self {
                    $(Self::$name => $advice,)*
                }
            }
        }
    };
}

kinds! {
    /// A record is damaged, of a newer form, or not what its kind says; or something else of a run is damaged.
    UnreadableRecord = "unreadable_record", Critical,
        "if a newer version wrote it, let workers of that version have the run; else restore the run from a backup, or start it anew";
    /// Records are missing or repeated, or the journal ends elsewhere than the head says.
    JournalGap = "journal_gap", Critical,
        "acknowledged records are gone: stop writing to this store, look at its disk or its replication, and restore from a backup";
    /// A record contradicts those before it.
    IllegalTransition = "illegal_transition", Critical,
        "nothing goes on with the run: restore it from a backup, or start it anew; please report it with the run's history";
    /// The head says something else than the journal.
    HeadDiffers = "head_differs", Error,
        "repair writes the head anew from the journal";
    /// A run that has not ended was started by a run that is not there.
    ParentMissing = "parent_missing", Warning,
        "nobody waits for its result: cancel it if it is not wanted, or let it end";
    /// A run says that a step started it of which that step's run knows nothing.
    ParentUnaware = "parent_unaware", Error,
        "its parent will never take its result: cancel it, and restart the parent's step if it waits";
    /// A run has ended, and the run that waits for that was not told.
    ParentNotTold = "parent_not_told", Error,
        "repair tells the parent again";
    /// A step waits for a run that is not there.
    ChildMissing = "child_missing", Error,
        "it will wait for ever: restart the step, or set its output";
    /// A step waits for a run that another step started.
    ChildOfAnother = "child_of_another", Error,
        "that run tells its end to somebody else: restart the step under another run id, or set its output";
    /// A run has ended, and one that was to be cancelled with it goes on.
    ChildLeftOpen = "child_left_open", Error,
        "repair asks the child to cancel";
    /// What a run has recorded of the items of a map does not agree with itself or with its definition.
    ItemsDiffer = "items_differ", Error,
        "do not rely on the result: fork the run from the map's first step, or restart that if the run has not ended";
    /// The result of a run is made of outputs that are not there.
    ResultMissing = "result_missing", Error,
        "whoever asks for the result gets none: fork the run from the step whose output is missing";
    /// The lease names a worker that is gone, and nobody took the run over, or nobody can.
    LeaseOrphaned = "lease_orphaned", Error,
        "start a worker that reads its queue and has its workflow in that version; a lease without end is released by repair";
    /// The run could go on for long, and no worker takes it.
    RunUnclaimed = "run_unclaimed", Warning,
        "start a worker that reads its queue and has its workflow in that version";
    /// An attempt runs for longer than its own limit allows.
    NoProgress = "no_progress", Warning,
        "its step does not stop: interrupt the run, or terminate it when that is not answered";
    /// Messages wait for long in an inbox that nobody reads.
    MailUnread = "mail_unread", Warning,
        "an engine that has the run's workflow answers it: start one, or look why the run's worker does not";
    /// The run has something to do at a time at which nothing wakes it.
    TimerMissed = "timer_missed", Error,
        "repair wakes the run";
    /// A run that has ended counts for the limits of its queue.
    SlotHeld = "slot_held", Error,
        "repair lets the room go, and who waits for it begins";
    /// A schedule starts nothing any more although its times go on.
    ScheduleStopped = "schedule_stopped", Error,
        "repair wakes the schedule; one that has failed goes on after retry";
}

impl fmt::Display for IssueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl IssueKind {
    /// Whether it is only that something is late: after all workers were down, everything is for a moment.
    #[must_use]
    pub fn is_lateness(self) -> bool {
        matches!(self, Self::LeaseOrphaned | Self::RunUnclaimed | Self::NoProgress | Self::MailUnread)
    }
}

/// How bad an issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something is late or odd; nothing is lost.
    Warning,
    /// A run does not go on, or is told wrongly; what is recorded is whole.
    Error,
    /// What was recorded is gone or contradicts itself.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        })
    }
}

/// How an issue is mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mend {
    /// The head is written anew from the journal.
    RewriteHead,
    /// The run is made due.
    Wake,
    /// The lease is taken away, and the run is due.
    ReleaseLease,
    /// A parent is told how its child ended.
    TellParent {
        /// The child.
        child: RunKey,
    },
    /// A child is asked to cancel.
    CancelChild {
        /// The child.
        child: RunKey,
    },
    /// A run counts no longer for the limits of its queue.
    FreeSlot {
        /// The run that counts.
        holder: RunKey,
        /// Under which fence it counts.
        fence: Fence,
    },
    /// A schedule is told to go on, which makes it look for its next time.
    NudgeSchedule,
}

/// Something that is wrong with a run, or with what the engine keeps for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// What sort of issue it is.
    pub kind: IssueKind,
    /// How bad it is.
    pub severity: Severity,
    /// Which run it is about.
    pub run: RunKey,
    /// What of the run it is about: a field, a record, a step, another run. The same issue has the same word at each look.
    pub about: String,
    /// In one sentence.
    pub summary: String,
    /// What was seen, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
    /// What to do about it.
    pub recommendation: String,
    /// How [`repair`](crate::Engine::repair) mends it; `None` when that is for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<Mend>,
    /// The version of the run's head at which it was seen: a repair is refused once the run has moved.
    pub version: Version,
}

impl Issue {
    /// An issue of a kind, about something of the run that has this key and version.
    pub(crate) fn new(kind: IssueKind, of: (&RunKey, Version), about: impl Into<String>) -> Self {
        Self {
            kind,
            severity: kind.severity(),
            run: of.0.clone(),
            about: about.into(),
            summary: String::new(),
            facts: BTreeMap::new(),
            recommendation: kind.recommendation().to_owned(),
            mend: None,
            version: of.1,
        }
    }

    pub(crate) fn saying(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    pub(crate) fn fact(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.facts.insert(name.to_owned(), value.to_string());
        self
    }

    pub(crate) fn mended_by(mut self, mend: Mend) -> Self {
        self.mend = Some(mend);
        self
    }

    /// Names the issue: the same at each look, whatever else happens to the run.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for part in [self.kind.as_str(), &self.run.to_string(), &self.about] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of run {}: {}", self.severity, self.kind, self.run, self.summary)?;
        for (name, value) in &self.facts {
            write!(f, "; {name}: {value}")?;
        }
        write!(f, ". {}", self.recommendation)
    }
}

#[cfg(test)]
mod tests {
    use stepwell_contract::{RunId, TenantId};

    use super::*;

    #[test]
    fn an_issue_has_one_name_however_often_and_at_whichever_version_it_is_seen() {
        let run = |text| RunKey::new(TenantId::default(), RunId::new(text).expect("an id"));
        let at = |counter| Version { counter, nonce: counter };
        let (key, other) = (run("a"), run("b"));
        let seen = |key, counter, about: &str| {
            Issue::new(IssueKind::HeadDiffers, (key, at(counter)), about).fact("seen", counter).fingerprint()
        };
        assert_eq!(seen(&key, 1, "status"), seen(&key, 2, "status"));
        assert_ne!(seen(&key, 1, "status"), seen(&key, 1, "wake_at"));
        assert_ne!(seen(&key, 1, "status"), seen(&other, 1, "status"));
    }

    #[test]
    fn the_words_of_kinds_are_those_in_stored_issues_and_in_the_guide() {
        for kind in IssueKind::ALL {
            let row = format!("| `{kind}` | {} |", kind.severity());
            assert!(include_str!("../../../docs/integrity.md").contains(&row), "the guide has no row {row}");
            assert_eq!(serde_json::to_string(kind).expect("JSON"), format!("{:?}", kind.as_str()));
        }
    }
}
