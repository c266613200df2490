//! What templates ask a page: words, times, numbers, and what whoever looks may do.

use std::borrow::Borrow;
use std::fmt::Display;

use stepwell::contract::{Status, TenantId, Timestamp};
use stepwell::diagnosis::{Language, explain_code};

use crate::access::Role;
use crate::ui::page::{Page, language_word};
use crate::ui::words::fill;
use crate::view::run::{Run, RunStatus};
use crate::view::{Time, time};

/// The code of a failure that no rule explains: what it says of every such failure is the same, and the error tells more.
pub(crate) const UNEXPLAINED: &str = "SW9001";

/// An entry of the menu.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: &'static str,
    pub(crate) word: &'static str,
    pub(crate) icon: &'static str,
    /// The letter that, after `g`, leads there.
    pub(crate) key: &'static str,
}

impl Page {
    /// The menu: what whoever looks may see.
    pub(crate) fn menu(&self) -> impl Iterator<Item = Entry> {
        let w = self.w;
        let entry = |path, word, icon, key| Entry { path, word, icon, key };
        [
            entry("/", w.overview, "overview", "o"),
            entry("/runs", w.runs, "runs", "r"),
            entry("/groups", w.groups, "groups", "f"),
            entry("/workers", w.workers, "workers", "w"),
            entry("/queues", w.queues, "queues", "q"),
            entry("/schedules", w.schedules, "schedules", "s"),
            entry("/audit", w.audit, "audit", "a"),
            entry("/settings", w.settings, "settings", "e"),
        ]
        .into_iter()
        .filter(|entry| entry.path != "/workers" || self.sees_all())
    }

    /// The word for `<html lang>`.
    pub(crate) fn lang(&self) -> &'static str {
        language_word(self.language)
    }

    /// The word of the other language.
    pub(crate) fn other_lang(&self) -> &'static str {
        match self.language {
            Language::Japanese => "en",
            _ => "ja",
        }
    }

    /// The theme that was chosen, or `auto`.
    pub(crate) fn theme(&self) -> &'static str {
        self.theme.unwrap_or("auto")
    }

    /// The theme that the switch leads to.
    pub(crate) fn other_theme(&self) -> &'static str {
        if self.theme == Some("dark") { "light" } else { "dark" }
    }

    pub(crate) fn prefix(&self) -> &str {
        match self.prefix.as_str() {
            "" => "/",
            prefix => prefix,
        }
    }

    /// Whether whoever looks may start and steer runs.
    pub(crate) fn is_operator(&self) -> bool {
        self.access.as_ref().is_some_and(|access| access.role >= Role::Operator)
    }

    /// Whether whoever looks may change what holds for all.
    pub(crate) fn is_admin(&self) -> bool {
        self.sees_all() && self.access.as_ref().is_some_and(|access| access.role >= Role::Admin)
    }

    /// Whether whoever looks sees what is everyone's: workers, and what queues do.
    pub(crate) fn sees_all(&self) -> bool {
        self.access.as_ref().is_some_and(|access| access.tenant.is_none())
    }

    /// Whether the menu marks a page as the one that is looked at.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        match path {
            "/" => self.path == "/",
            path => self.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// The word of a status as a name of styles and icons.
    pub(crate) fn status_name(&self, status: &RunStatus) -> &'static str {
        Status::from(*status).as_str()
    }

    /// The word of a status in the language of the page.
    pub(crate) fn status_word(&self, status: &RunStatus) -> &'static str {
        match status {
            RunStatus::Queued => self.w.queued,
            RunStatus::Running => self.w.running,
            RunStatus::Waiting => self.w.waiting,
            RunStatus::Paused => self.w.paused,
            RunStatus::Cancelling => self.w.cancelling,
            RunStatus::Succeeded => self.w.succeeded,
            RunStatus::Failed => self.w.failed,
            RunStatus::Cancelled => self.w.cancelled,
        }
    }

    /// What a diagnosis says happened. Journals keep its sentence in English; in another language the name of its code stands for it.
    pub(crate) fn said(&self, code: &str, summary: &str) -> String {
        let named = match self.language {
            Language::Japanese => explain_code(code, self.language),
            _ => None,
        };
        named.map_or_else(|| summary.to_owned(), |page| page.title.to_owned())
    }

    /// What is wrong with a run, in a sentence: its diagnosis, or the error itself where nothing explains it.
    pub(crate) fn wrong(&self, run: &Run) -> Option<String> {
        let own = || {
            let trouble = run.trouble.as_ref()?;
            let message = &trouble.message;
            // What is said of a run that is held names its step by itself.
            let step = trouble.step.as_deref().filter(|step| !message.starts_with(step));
            Some(step.map_or_else(|| message.clone(), |step| format!("{step}: {message}")))
        };
        match &run.said {
            Some(said) if said.code != UNEXPLAINED => Some(self.said(&said.code, &said.summary)),
            Some(said) => own().or_else(|| Some(self.said(&said.code, &said.summary))),
            None => own(),
        }
    }

    /// The tenant that is looked at, for commands; empty for all.
    pub(crate) fn tenant_text(&self) -> &str {
        self.tenant.as_ref().map_or("", TenantId::as_str)
    }

    /// A number with its thousands set apart.
    pub(crate) fn number(&self, number: impl Display) -> String {
        let digits = number.to_string();
        let mut text = String::with_capacity(digits.len() + 4);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    }

    /// A text with one thing put in.
    pub(crate) fn fill_one(&self, text: &str, value: impl Display) -> String {
        fill(text, &[&value])
    }

    /// A text with two things put in.
    pub(crate) fn fill_two(&self, text: &str, first: impl Display, second: impl Display) -> String {
        fill(text, &[&first, &second])
    }

    /// The time that the page is of.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// How long ago, or ahead, a time is.
    pub(crate) fn ago(&self, at: &Time) -> String {
        let past_ms = self.now.0.saturating_sub(at.0.timestamp_millis());
        if past_ms.unsigned_abs() < 1_000 {
            return self.w.just_now.to_owned();
        }
        let span = self.span(past_ms.unsigned_abs());
        fill(if past_ms > 0 { self.w.ago } else { self.w.ahead }, &[&span])
    }

    /// A stored time as it is shown.
    pub(crate) fn at(&self, at: &Timestamp) -> Time {
        time(*at)
    }

    /// A span of milliseconds, in the two units that matter.
    pub(crate) fn span(&self, ms: impl Borrow<u64>) -> String {
        let ms = *ms.borrow();
        let w = self.w;
        let gap = if self.language == Language::Japanese { "" } else { " " };
        let s = ms / 1_000;
        let two = |n: u64, unit: &str, rest: u64, small: &str| match rest {
            0 => format!("{n}{unit}"),
            rest => format!("{n}{unit}{gap}{rest}{small}"),
        };
        match s {
            0 => format!("{ms}{gap}{}", w.ms),
            1..=9 if ms % 1_000 >= 100 => format!("{s}.{}{}", ms % 1_000 / 100, w.s),
            1..=59 => format!("{s}{}", w.s),
            60..=599 => two(s / 60, w.m, s % 60, w.s),
            600..=3_599 => format!("{}{}", s / 60, w.m),
            3_600..=86_399 => two(s / 3_600, w.h, s % 3_600 / 60, w.m),
            _ => two(s / 86_400, w.d, s % 86_400 / 3_600, w.h),
        }
    }

    /// The span between two times.
    pub(crate) fn between(&self, from: &Time, to: &Time) -> String {
        self.span(u64::try_from((to.0 - from.0).num_milliseconds()).unwrap_or_default())
    }
}
