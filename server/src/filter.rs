//! The query language of lists: `status:failed step:charge tag:eu since:2h`. The command line, the REST API and the dashboard
//! read the same.
//!
//! A query is a list of terms; a run is listed when all of them fit. `key:value` names what has to fit, several statuses with
//! commas mean any of them, quotes hold spaces together, and a word without a key is looked for in the run's id, its
//! workflow and what is wrong with it.
//!
//! | term | fits |
//! |---|---|
//! | `status:failed,paused` | runs in one of these statuses |
//! | `is:unfinished` | `unfinished`, `finished`, `held`, `stuck` (held, or failed) |
//! | `workflow:order` | runs of that workflow |
//! | `queue:bulk` | runs in that queue |
//! | `step:charge` | runs that are at that step or failed there |
//! | `tag:region=eu`, `tag:eu` | runs with that tag and value; with a tag of that name or value |
//! | `code:SW1203` | runs of which that was said last |
//! | `class:timeout` | runs that failed so |
//! | `group:FINGERPRINT` | runs of that failure group |
//! | `worker:w-1` | runs that this worker has or had last |
//! | `id:order-10` | runs whose id begins so |
//! | `since:2h`, `until:2026-01-31T12:00:00Z` | runs made since, until; a span counts back from now |

mod parse;

use std::fmt;

use stepwell::ErrorClass;
use stepwell::contract::{Head, Name, Query, Status, TenantId, Timestamp, WorkerId};
use stepwell::run::said::FAILURE_TAG;
use stepwell::run::summary::Summary;
use stepwell::workflow::posted::is_own;

pub use parse::{FilterError, KEYS};

/// Which runs a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// In one of these statuses; empty for any.
    pub statuses: Vec<Status>,
    /// Of this workflow.
    pub workflow: Option<Name>,
    /// In this queue.
    pub queue: Option<Name>,
    /// With these tags.
    pub tags: Vec<TagTerm>,
    /// At this step, or failed there.
    pub step: Option<Name>,
    /// Of which this code was said last.
    pub code: Option<String>,
    /// That failed with an error of this class.
    pub class: Option<ErrorClass>,
    /// Of this failure group.
    pub group: Option<String>,
    /// That this worker has or had last.
    pub worker: Option<WorkerId>,
    /// Whose id begins so.
    pub id: Option<String>,
    /// Made at this time or later.
    pub since: Option<Timestamp>,
    /// Made before this time.
    pub until: Option<Timestamp>,
    /// Words to be found in the id, the workflow or what is wrong, in lower case.
    pub words: Vec<String>,
    terms: Vec<String>,
}

/// A tag asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagTerm {
    /// This name with this value.
    Is(Name, String),
    /// This name, or this value of any name.
    Has(String),
}

impl Filter {
    /// Reads a query; `now` is what spans of time count back from.
    ///
    /// # Errors
    /// [`FilterError`] names the term, and what was probably meant.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, FilterError> {
        parse::parse(text, now)
    }

    /// What the store's index is asked. It finds all runs that fit, and others.
    #[must_use]
    pub fn query(&self, tenant: Option<&TenantId>) -> Query {
        let exact = self.tags.iter().find_map(|tag| match tag {
            TagTerm::Is(name, value) => Some((name.clone(), value.clone())),
            TagTerm::Has(_) => None,
        });
        let group = self.group.clone().map(|group| (FAILURE_TAG.clone(), group));
        Query {
            tenant: tenant.cloned(),
            statuses: self.statuses.clone(),
            workflow: self.workflow.clone(),
            queue: self.queue.clone(),
            tag: group.or(exact),
            leased_by: self.worker.clone(),
            ..Query::default()
        }
    }

    /// The query without what it says of statuses, as it would be typed.
    #[must_use]
    pub fn without_statuses(&self) -> String {
        let other = self.terms.iter().filter(|term| !term.starts_with("status:") && !term.starts_with("is:"));
        other.map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Whether the counts by workflow, queue and status tell how many runs fit, whatever the statuses.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        let Self {
            statuses: _,
            workflow: _,
            queue: _,
            tags,
            step,
            code,
            class,
            group,
            worker,
            id,
            since,
            until,
            words,
            terms: _,
        } = self;
        tags.is_empty()
            && words.is_empty()
            && [step.is_none(), code.is_none(), class.is_none(), group.is_none(), worker.is_none()]
                .into_iter()
                .chain([id.is_none(), since.is_none(), until.is_none()])
                .all(|is_free| is_free)
    }

    /// Whether the index alone decides, so that every run it finds fits.
    #[must_use]
    pub fn is_all_in_the_index(&self) -> bool {
        let tags = self.tags.len() + usize::from(self.group.is_some());
        let looked_up =
            self.step.is_none() && self.code.is_none() && self.class.is_none() && self.id.is_none();
        looked_up
            && tags <= 1
            && !self.tags.iter().any(|tag| matches!(tag, TagTerm::Has(_)))
            && self.words.is_empty()
            && self.since.is_none()
            && self.until.is_none()
    }

    /// Whether a run that the index has found fits.
    #[must_use]
    pub fn fits(&self, head: &Head) -> bool {
        let in_time = self.since.is_none_or(|since| head.created_at >= since)
            && self.until.is_none_or(|until| head.created_at < until);
        let plain = in_time
            // What the engine keeps runs for itself, such as schedules, is listed for whoever names it.
            && (self.workflow.is_some() || !is_own(&head.workflow))
            && self.id.as_ref().is_none_or(|id| head.key.run.as_str().starts_with(id.as_str()))
            && self.tags.iter().all(|tag| tag.fits(head))
            && self.group.as_ref().is_none_or(|group| head.tags.get(&*FAILURE_TAG) == Some(group));
        if !plain
            || (self.step.is_none() && self.code.is_none() && self.class.is_none() && self.words.is_empty())
        {
            return plain;
        }
        // The rest is told by the summary, which is decoded for the few that are left.
        let summary: Summary = head.summary.decode().unwrap_or_default();
        let trouble = summary.trouble.as_ref();
        let is_at = |step: &Name| {
            let places = [
                summary.at.as_ref().map(|at| &at.place),
                trouble.and_then(|trouble| trouble.place.as_ref()),
                summary.said.as_ref().and_then(|said| said.place.as_ref()),
            ];
            places.into_iter().flatten().any(|place| place.step == *step)
        };
        let code = |code: &String| {
            let own = trouble.and_then(|trouble| trouble.code.as_ref());
            let said = summary.said.as_ref().map(|said| &said.code);
            [own, said].into_iter().flatten().any(|found| found.eq_ignore_ascii_case(code))
        };
        let holds = |word: &String| {
            let texts = [
                Some(head.key.run.as_str()),
                Some(head.workflow.as_str()),
                trouble.map(|trouble| trouble.message.as_str()),
                summary.said.as_ref().map(|said| said.summary.as_str()),
            ];
            texts.into_iter().flatten().any(|text| text.to_lowercase().contains(word.as_str()))
        };
        self.step.as_ref().is_none_or(is_at)
            && self.code.as_ref().is_none_or(code)
            && self.class.is_none_or(|class| trouble.and_then(|trouble| trouble.class) == Some(class))
            && self.words.iter().all(holds)
    }
}

impl TagTerm {
    fn fits(&self, head: &Head) -> bool {
        match self {
            Self::Is(name, value) => head.tags.get(name) == Some(value),
            Self::Has(text) => head.tags.iter().any(|(name, value)| name.as_str() == text || value == text),
        }
    }
}

/// The query again, as it would be typed.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.terms.join(" "))
    }
}
