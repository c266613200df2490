//! The timeline of a run as its page draws it: bars on a scale, each with what it says in words.

use stepwell::contract::Timestamp;

use crate::ui::page::Page;
use crate::ui::run::header::{Header, Tab};
use crate::ui::run::sight::Sight;
use crate::ui::run::steps::Turn;
use crate::ui::run::timeline::{Kind, ROWS, Row, Scale, Span};
use crate::ui::run::words::RunWords;
use crate::ui::words::fill;

/// Parts that the scale is marked in.
const PARTS: u64 = 4;

/// A span as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) x: u64,
    pub(crate) w: u64,
    pub(crate) name: &'static str,
    /// Attempts are as high as their row, waits are not.
    pub(crate) is_attempt: bool,
    pub(crate) title: String,
}

/// A row as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BarRow {
    pub(crate) name: String,
    pub(crate) href: Option<String>,
    pub(crate) bars: Vec<Bar>,
    pub(crate) took: String,
    pub(crate) attempts: u32,
    pub(crate) left_out: usize,
    /// All of it in words, for those who do not see the bars.
    pub(crate) words: String,
}

/// The timeline as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Chart {
    pub(crate) rows: Vec<BarRow>,
    pub(crate) marks: Vec<String>,
    pub(crate) steps: usize,
    pub(crate) turn: Turn,
    pub(crate) legend: Vec<(&'static str, &'static str)>,
}

/// Most spans that a row tells in words.
const WORDS_MAX: usize = 6;

pub(crate) fn chart(p: &Page, w: &RunWords, h: &Header, sight: &Sight) -> Chart {
    let timeline = sight.timeline();
    let now = sight.head.finished_at.unwrap_or(p.now());
    let turn = Turn::of(p, timeline.steps.len(), ROWS);
    let page = timeline.page(turn.page - 1);
    // One page tells the whole run; of several, each has the time that its own rows took.
    let whole = (timeline.pages() == 1).then_some(&timeline.run);
    let Some(scale) =
        Scale::over(page.iter().chain(whole), now).or_else(|| Scale::over([&timeline.run].into_iter(), now))
    else {
        return Chart { turn, ..Chart::default() };
    };
    let begun = timeline.run.spans.first().map_or(scale.from, |first| first.from);
    let offset = scale.from.since_ms(begun);
    let rows: Vec<_> =
        [&timeline.run].into_iter().chain(page).map(|row| drawn(p, w, h, row, &scale, now)).collect();
    let mut seen: Vec<Kind> = Vec::new();
    for span in [&timeline.run].into_iter().chain(page).flat_map(|row| &row.spans) {
        if !seen.contains(&span.kind) {
            seen.push(span.kind);
        }
    }
    Chart {
        rows,
        marks: (0..=PARTS).map(|part| format!("+{}", p.span(offset + scale.ms_at(part, PARTS)))).collect(),
        steps: timeline.steps.len(),
        turn,
        legend: seen.into_iter().map(|kind| (name(kind), word(kind, w))).collect(),
    }
}

fn drawn(p: &Page, w: &RunWords, h: &Header, row: &Row, scale: &Scale, now: Timestamp) -> BarRow {
    let place = row.place.as_ref().map(ToString::to_string);
    let bars = row.spans.iter().filter_map(|span| {
        let (x, width) = scale.bar(span, now)?;
        let title = told(p, w, span, now);
        Some(Bar { x, w: width, name: name(span.kind), is_attempt: span.kind.is_attempt(), title })
    });
    let words: Vec<_> =
        row.spans.iter().rev().take(WORDS_MAX).rev().map(|span| told(p, w, span, now)).collect();
    BarRow {
        href: place.as_deref().map(|place| h.href(p, Tab::Steps, &[("step", place)])),
        name: place.unwrap_or_else(|| w.row_run.to_owned()),
        bars: bars.collect(),
        took: p.span(row.ms(now)),
        attempts: row.attempts,
        left_out: row.left_out,
        words: words.join("; "),
    }
}

fn told(p: &Page, w: &RunWords, span: &Span, now: Timestamp) -> String {
    let said = word(span.kind, w);
    let took = p.span(span.ms(now));
    match span.attempt {
        0 => format!("{said}, {took}"),
        attempt => format!("{} {said}, {took}", fill(w.attempt_no, &[&attempt])),
    }
}

/// The name of a kind in styles.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Queued => "queued",
        Kind::Taken => "taken",
        Kind::Idle => "idle",
        Kind::Held => "held",
        Kind::Running => "running",
        Kind::Succeeded => "succeeded",
        Kind::Failed => "failed",
        Kind::Lost => "lost",
        Kind::Stopped => "stopped",
        Kind::Suspended => "suspended",
        Kind::Backoff => "backoff",
        Kind::Sleep => "sleep",
        Kind::Signal => "signal",
        Kind::Child => "child",
        Kind::Outside => "outside",
        Kind::Skipped => "skipped",
        Kind::Set => "set",
        Kind::Copied => "copied",
    }
}

fn word(kind: Kind, w: &RunWords) -> &'static str {
    match kind {
        Kind::Queued => w.span_queued,
        Kind::Taken => w.span_taken,
        Kind::Idle => w.span_idle,
        Kind::Held => w.span_held,
        Kind::Running => w.span_running,
        Kind::Succeeded => w.span_succeeded,
        Kind::Failed => w.span_failed,
        Kind::Lost => w.span_lost,
        Kind::Stopped => w.span_stopped,
        Kind::Suspended => w.span_suspended,
        Kind::Backoff => w.span_backoff,
        Kind::Sleep => w.span_sleep,
        Kind::Signal => w.span_signal,
        Kind::Child => w.span_child,
        Kind::Outside => w.span_outside,
        Kind::Skipped => w.span_skipped,
        Kind::Set => w.span_set,
        Kind::Copied => w.span_copied,
    }
}
