//! What happened to a run, and what its steps logged: windows of the journal, bounded whatever its length.

use stepwell::contract::{Order, Record, Seq};
use stepwell::observe::audit::AuditEntry;
use stepwell::run::event::LogLevel;
use stepwell::{Actor, Category, EventFilter};

use crate::api::history::LOGGED;
use crate::ui::page::Page;
use crate::ui::run::header::{Header, Tab, with_query};
use crate::ui::run::words::RunWords;
use crate::view::Time;

/// Entries of one page.
pub(crate) const ENTRIES: usize = 200;
/// Log lines of one page.
pub(crate) const LINES: usize = 500;

/// One thing that happened, or one line, as its page shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Its name on the page: `L12-1`.
    pub(crate) anchor: String,
    /// The address that leads to it for good.
    pub(crate) link: String,
    pub(crate) at: Time,
    pub(crate) level: &'static str,
    pub(crate) category: &'static str,
    pub(crate) kind: String,
    /// The step, its attempt, and where both are shown.
    pub(crate) step: Option<(String, String, String)>,
    /// Who did it, if it was not the engine.
    pub(crate) actor: Option<String>,
    pub(crate) code: Option<(String, Option<String>)>,
    pub(crate) text: String,
}

/// Entries that stand beside each other, and where others are.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Window {
    pub(crate) entries: Vec<Entry>,
    /// What shows those before, if there are any.
    pub(crate) earlier: Option<String>,
    /// What shows those after, if there are any.
    pub(crate) later: Option<String>,
}

/// The word of a level.
pub(crate) fn level_word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

/// Every level, the least first.
pub(crate) const LEVELS: [LogLevel; 4] = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];

/// The level that a page is asked for.
pub(crate) fn level(p: &Page) -> Option<LogLevel> {
    let asked = p.asked("level")?;
    LEVELS.into_iter().find(|level| level_word(*level) == asked)
}

/// The category that a page is asked for.
pub(crate) fn category(p: &Page) -> Option<Category> {
    p.asked("category")?.parse().ok()
}

fn seq(p: &Page, name: &str) -> Option<Seq> {
    p.asked(name)?.parse().ok().map(Seq)
}

/// The lines that the page asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    filter: EventFilter,
    step: Option<String>,
    attempt: Option<u32>,
}

impl Lines {
    pub(crate) fn asked(p: &Page) -> Self {
        let step = p.asked("step").map(str::to_owned);
        let attempt = p.asked("attempt").and_then(|attempt| attempt.parse().ok());
        Self { filter: EventFilter { level: level(p), ..EventFilter::default() }, step, attempt }
    }

    /// The lines of a record that fit. A step by its name means all of its items.
    fn of(&self, record: &Record) -> Vec<AuditEntry> {
        if record.kind != LOGGED {
            return Vec::new();
        }
        let mut entries = self.filter.entries(record);
        entries.retain(|entry| {
            let fits = |step: &String| {
                entry
                    .place
                    .as_ref()
                    .is_some_and(|place| place.step.as_str() == step.as_str() || place.to_string() == *step)
            };
            self.step.as_ref().is_none_or(fits)
                && self.attempt.is_none_or(|attempt| entry.attempt == Some(attempt))
        });
        entries
    }

    /// The window that the page asks for: from a record on, before one, or else the last lines.
    pub(crate) fn window(&self, p: &Page, w: &RunWords, h: &Header, records: &[Record]) -> Window {
        let here = |name: &str, seq: Seq| {
            let kept = [("level", "level"), ("step", "step"), ("attempt", "attempt")];
            let kept: Vec<_> =
                kept.into_iter().map(|(name, key)| (name, p.asked(key).unwrap_or_default())).collect();
            with_query(h.href(p, Tab::Logs, &kept), &[(name, &seq.0.to_string())])
        };
        let mut found: Vec<AuditEntry> = Vec::new();
        let (mut has_earlier, mut has_later) = (false, false);
        if let Some(from) = seq(p, "from") {
            let start = records.partition_point(|record| record.seq < from);
            has_earlier = records[..start].iter().rev().any(|record| !self.of(record).is_empty());
            for record in &records[start..] {
                if found.len() >= LINES {
                    has_later = true;
                    break;
                }
                found.extend(self.of(record));
            }
        } else {
            let before = seq(p, "before");
            let end =
                before.map_or(records.len(), |before| records.partition_point(|record| record.seq < before));
            has_later = end < records.len() && before.is_some();
            for record in records[..end].iter().rev() {
                let lines = self.of(record);
                if found.len() >= LINES && !lines.is_empty() {
                    has_earlier = true;
                    break;
                }
                found.extend(lines.into_iter().rev());
            }
            found.reverse();
        }
        let first = found.first().map(|entry| entry.seq);
        let last = found.last().map(|entry| entry.seq.plus(1)).or_else(|| seq(p, "before"));
        Window {
            earlier: first.filter(|_| has_earlier).map(|first| here("before", first)),
            later: last.filter(|_| has_later).map(|last| here("from", last)),
            entries: found.into_iter().map(|entry| shown(p, w, h, Tab::Logs, entry)).collect(),
        }
    }

    /// The first line of the highest level, as the record and the line of it.
    pub(crate) fn first_error(records: &[Record]) -> Option<(Seq, u32)> {
        let filter = EventFilter { level: Some(LogLevel::Error), ..EventFilter::default() };
        let logged = records.iter().filter(|record| record.kind == LOGGED);
        let first = logged.flat_map(|record| filter.entries(record)).next();
        first.map(|entry| (entry.seq, entry.nth))
    }

    /// All lines that fit, as text for a file.
    pub(crate) fn text(&self, p: &Page, records: &[Record]) -> String {
        let mut text = String::new();
        for entry in records.iter().flat_map(|record| self.of(record)) {
            let place = entry.place.map(|place| place.to_string()).unwrap_or_default();
            let attempt = entry.attempt.unwrap_or_default();
            let level = level_word(entry.level);
            let line = entry.text.replace('\n', "\n    ");
            text.push_str(&format!("{} {level:5} {place}#{attempt} {line}\n", p.at(&entry.at)));
        }
        text
    }
}

/// The newest entries that fit before the one that the page names.
pub(crate) fn audit(p: &Page, w: &RunWords, h: &Header, records: &[Record]) -> Window {
    let filter = EventFilter {
        level: level(p),
        categories: category(p).into_iter().collect(),
        text: p.asked("text").map(str::to_owned),
        order: Order::Newest,
        ..EventFilter::default()
    };
    let before = seq(p, "before");
    let end = before.map_or(records.len(), |before| records.partition_point(|record| record.seq < before));
    let mut found: Vec<AuditEntry> = Vec::new();
    let mut has_earlier = false;
    for record in records[..end].iter().rev() {
        if found.len() >= ENTRIES {
            has_earlier = true;
            break;
        }
        found.extend(filter.entries(record).into_iter().rev());
    }
    let earlier = found.last().filter(|_| has_earlier).map(|last| p.with("before", &last.seq.0.to_string()));
    Window {
        earlier,
        later: before.map(|_| p.with("before", "")),
        entries: found.into_iter().map(|entry| shown(p, w, h, Tab::Audit, entry)).collect(),
    }
}

/// The last things that happened, the newest first.
pub(crate) fn latest(p: &Page, w: &RunWords, h: &Header, records: &[Record], count: usize) -> Vec<Entry> {
    let filter = EventFilter { level: Some(LogLevel::Info), order: Order::Newest, ..EventFilter::default() };
    let happened = records.iter().rev().filter(|record| record.kind != LOGGED);
    let entries = happened.flat_map(|record| filter.entries(record)).take(count);
    entries.map(|entry| shown(p, w, h, Tab::Audit, entry)).collect()
}

fn shown(p: &Page, _: &RunWords, h: &Header, tab: Tab, entry: AuditEntry) -> Entry {
    let anchor = format!("L{}-{}", entry.seq.0, entry.nth);
    let (name, at) = match tab {
        Tab::Logs => ("from", entry.seq.0),
        _ => ("before", entry.seq.0 + 1),
    };
    let link = format!("{}#{anchor}", h.href(p, tab, &[(name, &at.to_string())]));
    let step = entry.place.map(|place| {
        let place = place.to_string();
        let attempt = entry.attempt.map(|attempt| attempt.to_string()).unwrap_or_default();
        let href = h.href(p, Tab::Steps, &[("step", &place), ("attempt", &attempt)]);
        (place, attempt, href)
    });
    Entry {
        anchor,
        link,
        at: p.at(&entry.at),
        level: level_word(entry.level),
        category: entry.category.as_str(),
        kind: entry.kind,
        step,
        actor: (entry.actor != Actor::Engine).then(|| entry.actor.to_string()),
        code: entry.code.map(|code| {
            let href = code.starts_with("SW").then(|| p.code_href(&code));
            (code, href)
        }),
        text: entry.text,
    }
}
