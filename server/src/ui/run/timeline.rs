//! What a run and its steps did when: a fold of the journal into rows of spans, and their places on a scale. Pure.

use std::collections::HashMap;

use stepwell::contract::{Record, Timestamp};
use stepwell::run::event::{Event, LostReason, ReleaseReason, Then};
use stepwell::run::place::Place;
use stepwell::run::waiting::{Said, Waiting};

/// Rows of one page.
pub(crate) const ROWS: usize = 200;
/// Most spans kept of one row: the first and, of the others, the last.
const SPANS_MAX: usize = 60;
const FIRST_SPANS: usize = 20;
/// The width of the scale, and the least width of a bar on it.
pub(crate) const SCALE: u64 = 1_000;
const BAR_MIN: u64 = 4;

/// What goes on in a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The run waits for a worker.
    Queued,
    /// A worker has the run.
    Taken,
    /// The run waits for its time or a message.
    Idle,
    /// The run is held.
    Held,
    /// An attempt that has not ended.
    Running,
    Succeeded,
    Failed,
    /// Nobody recorded how the attempt ended.
    Lost,
    /// The attempt was told to stop.
    Stopped,
    /// The attempt ended in a wait.
    Suspended,
    /// The time until the next attempt.
    Backoff,
    Sleep,
    Signal,
    Child,
    Outside,
    Skipped,
    /// Someone said what the result is.
    Set,
    /// Its end was copied from another run.
    Copied,
}

impl Kind {
    /// Whether it is an attempt.
    pub(crate) fn is_attempt(self) -> bool {
        matches!(
            self,
            Self::Running | Self::Succeeded | Self::Failed | Self::Lost | Self::Stopped | Self::Suspended
        )
    }
}

/// From when until when something went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) kind: Kind,
    /// Which attempt; 0 for what is none.
    pub(crate) attempt: u32,
    pub(crate) from: Timestamp,
    /// `None` while it goes on.
    pub(crate) to: Option<Timestamp>,
}

impl Span {
    /// How long it took; never less than nothing, whatever the clocks of several workers say.
    pub(crate) fn ms(&self, now: Timestamp) -> u64 {
        self.to.unwrap_or(now).since_ms(self.from)
    }
}

/// What the run or one of its steps did.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Row {
    /// The step; `None` for the run itself.
    pub(crate) place: Option<Place>,
    pub(crate) spans: Vec<Span>,
    /// Spans that were left out.
    pub(crate) left_out: usize,
    pub(crate) attempts: u32,
    is_open: bool,
}

/// A run in time: its own row, and those of its steps in the order in which they began.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Timeline {
    pub(crate) run: Row,
    pub(crate) steps: Vec<Row>,
    at: HashMap<Place, usize>,
}

impl Row {
    fn open(&mut self, kind: Kind, attempt: u32, from: Timestamp) {
        self.close(from, None);
        self.add(Span { kind, attempt, from, to: None });
        self.is_open = true;
    }

    /// Ends what goes on, as what it turned out to be.
    fn close(&mut self, at: Timestamp, kind: Option<Kind>) {
        if let Some(last) = self.spans.last_mut().filter(|_| self.is_open) {
            last.kind = kind.unwrap_or(last.kind);
            last.to = Some(at.max(last.from));
        }
        self.is_open = false;
    }

    fn instant(&mut self, kind: Kind, at: Timestamp) {
        self.close(at, None);
        self.add(Span { kind, attempt: 0, from: at, to: Some(at) });
    }

    fn add(&mut self, span: Span) {
        self.attempts += u32::from(span.kind == Kind::Running);
        self.spans.push(span);
        if self.spans.len() > SPANS_MAX {
            self.spans.remove(FIRST_SPANS);
            self.left_out += 1;
        }
    }

    /// Its attempts and waits together.
    pub(crate) fn ms(&self, now: Timestamp) -> u64 {
        match (self.spans.first(), self.spans.last()) {
            (Some(first), Some(last)) => last.to.unwrap_or(now).since_ms(first.from),
            _ => 0,
        }
    }

    fn kind_at_rest(&self) -> Option<Kind> {
        self.spans.last().map(|span| span.kind)
    }
}

impl Timeline {
    /// The timeline of a journal. Records that cannot be read tell nothing and are passed over.
    pub(crate) fn of(records: &[Record]) -> Self {
        let mut timeline = Self::default();
        for record in records {
            if tells_of_time(record.kind.as_str())
                && let Ok(event) = Event::read(record)
            {
                timeline.note(&event, record.at);
            }
        }
        timeline
    }

    fn row(&mut self, place: &Place) -> &mut Row {
        let nth = *self.at.entry(place.clone()).or_insert_with(|| {
            self.steps.push(Row { place: Some(place.clone()), ..Row::default() });
            self.steps.len() - 1
        });
        &mut self.steps[nth]
    }

    fn note(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::RunCreated(_) => self.run.open(Kind::Queued, 0, at),
            Event::RunTaken(_) => self.run.open(Kind::Taken, 0, at),
            Event::RunReleased(released) => {
                let idle = released.reason == ReleaseReason::Waiting;
                self.run.open(if idle { Kind::Idle } else { Kind::Queued }, 0, at);
            }
            Event::RunPaused(_) => self.run.open(Kind::Held, 0, at),
            // A request to hold that was taken back held nothing.
            Event::RunResumed(_) if self.run.kind_at_rest() == Some(Kind::Taken) => {}
            Event::RunResumed(_) => self.run.open(Kind::Queued, 0, at),
            Event::StepsReset(reset) => {
                for row in &mut self.steps {
                    let place = row.place.as_ref();
                    let covers = |place: &Place| {
                        reset.cuts.iter().any(|cut| cut.step == place.step && cut.covers(&place.item))
                    };
                    if place.is_some_and(covers) {
                        row.close(at, None);
                    }
                }
                self.run.open(Kind::Queued, 0, at);
            }
            Event::RunSucceeded(_)
            | Event::RunFailed(_)
            | Event::RunCancelled(_)
            | Event::RunTerminated(_) => {
                self.run.close(at, None);
                for row in &mut self.steps {
                    let cut_off = (row.kind_at_rest() == Some(Kind::Running)).then_some(Kind::Stopped);
                    row.close(at, cut_off);
                }
            }
            Event::StepStarted(started) => {
                self.row(&started.place).open(Kind::Running, started.attempt, at);
            }
            Event::StepSucceeded(done) => self.row(&done.place).close(at, Some(Kind::Succeeded)),
            Event::AttemptFailed(failed) => {
                let row = self.row(&failed.place);
                row.close(at, Some(Kind::Failed));
                row.wait_for_next(&failed.then, at);
            }
            Event::AttemptLost(lost) => {
                let crashed = lost.reason == LostReason::Crash;
                self.row(&lost.place).close(at, Some(if crashed { Kind::Lost } else { Kind::Stopped }));
            }
            Event::StepSuspended(suspended) => {
                let row = self.row(&suspended.place);
                row.close(at, Some(Kind::Suspended));
                row.open(of_waiting(&suspended.waiting), 0, at);
            }
            Event::StepWoken(woken) => self.row(&woken.place).close(at, None),
            Event::StepReported(reported) => {
                let row = self.row(&reported.place);
                match &reported.said {
                    Said::Progress(_) | Said::Started(_) => {}
                    // One that still runs is left to its own end.
                    _ if row.kind_at_rest() == Some(Kind::Running) => {}
                    Said::Succeeded { .. } => row.instant(Kind::Succeeded, at),
                    Said::Failed(failed) => {
                        row.instant(Kind::Failed, at);
                        row.wait_for_next(&failed.then, at);
                    }
                }
            }
            Event::TimerStarted(timer) => self.row(&timer.place).open(Kind::Sleep, 0, at),
            Event::TimerFired(fired) => self.row(&fired.place).close(at, None),
            Event::WaitStarted(wait) => self.row(&wait.place).open(Kind::Signal, 0, at),
            Event::WaitEnded(ended) => self.row(&ended.place).close(at, None),
            Event::StepSkipped(skipped) => self.row(&skipped.place).instant(Kind::Skipped, at),
            Event::OutputSet(set) => self.row(&set.place).instant(Kind::Set, at),
            Event::StepCopied(copied) => self.row(&copied.place).instant(Kind::Copied, at),
            _ => {}
        }
    }

    /// How many pages its steps fill, at least one.
    pub(crate) fn pages(&self) -> usize {
        self.steps.len().div_ceil(ROWS).max(1)
    }

    /// The steps of a page, from 0.
    pub(crate) fn page(&self, nth: usize) -> &[Row] {
        self.steps.chunks(ROWS).nth(nth).unwrap_or_default()
    }
}

impl Row {
    fn wait_for_next(&mut self, then: &Then, at: Timestamp) {
        if let Then::RetryAt(_) = then {
            self.open(Kind::Backoff, 0, at);
        }
    }
}

fn of_waiting(waiting: &Waiting) -> Kind {
    match waiting {
        Waiting { outside: true, .. } => Kind::Outside,
        Waiting { children, .. } if !children.is_empty() => Kind::Child,
        Waiting { signals, .. } if !signals.is_empty() => Kind::Signal,
        _ => Kind::Sleep,
    }
}

/// The kinds of events that a timeline is made of: others, such as log lines and checkpoints, are not even read.
fn tells_of_time(kind: &str) -> bool {
    matches!(
        kind,
        "run_created"
            | "run_taken"
            | "run_released"
            | "run_paused"
            | "run_resumed"
            | "run_succeeded"
            | "run_failed"
            | "run_cancelled"
            | "run_terminated"
            | "steps_reset"
            | "step_started"
            | "step_succeeded"
            | "attempt_failed"
            | "attempt_lost"
            | "step_suspended"
            | "step_woken"
            | "step_reported"
            | "timer_started"
            | "timer_fired"
            | "wait_started"
            | "wait_ended"
            | "step_skipped"
            | "output_set"
            | "step_copied"
    )
}

/// A time range that is laid over the width of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) from: Timestamp,
    pub(crate) ms: u64,
}

impl Scale {
    /// The one in which all spans of these rows have room.
    pub(crate) fn over<'a>(rows: impl Iterator<Item = &'a Row>, now: Timestamp) -> Option<Self> {
        let mut range: Option<(Timestamp, Timestamp)> = None;
        for span in rows.flat_map(|row| &row.spans) {
            let (from, to) = (span.from, span.to.unwrap_or(now).max(span.from));
            range = Some(range.map_or((from, to), |(first, last)| (first.min(from), last.max(to))));
        }
        range.map(|(from, to)| Self { from, ms: to.since_ms(from).max(1) })
    }

    /// Where a span lies on it, as its left end and its width; `None` outside.
    pub(crate) fn bar(&self, span: &Span, now: Timestamp) -> Option<(u64, u64)> {
        let at = |time: Timestamp| {
            let ms = u128::from(time.since_ms(self.from).min(self.ms));
            u64::try_from(ms * u128::from(SCALE) / u128::from(self.ms)).unwrap_or(SCALE)
        };
        let to = span.to.unwrap_or(now).max(span.from);
        if to < self.from || span.from.since_ms(self.from) > self.ms {
            return None;
        }
        let (left, right) = (at(span.from), at(to));
        let width = right.saturating_sub(left).max(BAR_MIN);
        Some((left.min(SCALE - width), width))
    }

    /// How far a part of it is from its beginning, in milliseconds.
    pub(crate) fn ms_at(&self, part: u64, of: u64) -> u64 {
        self.ms.saturating_mul(part) / of.max(1)
    }
}

#[cfg(test)]
mod tests {
    use stepwell::contract::{Name, Seq};
    use stepwell::run::event::{RunCreated, RunPaused, RunSucceeded, StepStarted, StepSucceeded};
    use stepwell::run::output::Shape;

    use super::*;

    fn place(nth: u32) -> Place {
        Place { step: Name::new("pack").expect("a name"), item: nth.into() }
    }

    fn journal(events: Vec<(i64, Event)>) -> Vec<Record> {
        let numbered = (1..).zip(events);
        let record = |(seq, (at, event)): (u64, (i64, Event))| event.record(Seq(seq), Timestamp(at));
        numbered.map(|numbered| record(numbered).expect("a record")).collect()
    }

    fn done(nth: u32) -> Event {
        let output = stepwell::contract::Payload::null();
        StepSucceeded { place: place(nth), attempt: 1, output, version: 1, elapsed_ms: 1 }.into()
    }

    fn started(nth: u32) -> Event {
        StepStarted { place: place(nth), attempt: 1 }.into()
    }

    #[test]
    fn clocks_that_go_backwards_make_no_negative_width() {
        let records = journal(vec![
            (1_000, started(0)),
            (400, done(0)),
            (390, started(1)),
            (395, done(1)),
            (9_000, RunSucceeded { result: Shape::Given }.into()),
        ]);
        let timeline = Timeline::of(&records);
        let now = Timestamp(0);
        let scale = Scale::over(timeline.steps.iter(), now).expect("a scale");
        for span in timeline.steps.iter().flat_map(|row| &row.spans) {
            let (left, width) = scale.bar(span, now).expect("a bar");
            assert!(width >= BAR_MIN && left + width <= SCALE, "{span:?}: {left} {width}");
        }
        assert_eq!(timeline.steps[0].ms(now), 0);
    }

    #[test]
    fn an_end_of_the_run_ends_all_that_goes_on() {
        let records = journal(vec![(0, started(0)), (10, RunSucceeded { result: Shape::Given }.into())]);
        let timeline = Timeline::of(&records);
        let span = timeline.steps[0].spans[0];
        assert_eq!((span.kind, span.to), (Kind::Stopped, Some(Timestamp(10))));
    }

    #[test]
    fn a_row_of_ten_thousand_attempts_keeps_its_first_and_last_ones() {
        let mut events = Vec::new();
        for at in 0..10_000 {
            events.push((at, started(0)));
            events.push((at, done(0)));
        }
        let timeline = Timeline::of(&journal(events));
        let row = &timeline.steps[0];
        assert_eq!((row.spans.len(), row.attempts), (SPANS_MAX, 10_000));
        assert_eq!(row.left_out, 10_000 - SPANS_MAX);
        assert_eq!(row.spans[FIRST_SPANS - 1].from, Timestamp(19));
    }

    #[test]
    fn steps_come_in_pages_and_none_is_lost() {
        let events = (0..450).flat_map(|nth| [(0, started(nth)), (5, done(nth))]).collect();
        let timeline = Timeline::of(&journal(events));
        assert_eq!(timeline.pages(), 3);
        let rows: usize = (0..4).map(|page| timeline.page(page).len()).sum();
        assert_eq!(rows, 450);
    }

    #[test]
    fn a_run_that_is_held_and_let_go_shows_both() {
        let made = RunCreated {
            workflow: Name::new("w").expect("a name"),
            workflow_version: 1,
            fingerprint: String::new(),
            input: stepwell::contract::Payload::null(),
            actor: stepwell::Actor::Program,
            parent: None,
            deadline_at: None,
            queue_until: None,
            limits: std::collections::BTreeMap::new(),
            limit_key: None,
            not_before: None,
        };
        let held = RunPaused {
            reason: stepwell::run::event::PauseReason::Requested,
            actor: stepwell::Actor::Program,
            message: String::new(),
            place: None,
            failure: None,
            code: None,
        };
        let timeline = Timeline::of(&journal(vec![(0, made.into()), (5, held.into())]));
        let kinds: Vec<_> = timeline.run.spans.iter().map(|span| span.kind).collect();
        assert_eq!(kinds, [Kind::Queued, Kind::Held]);
        assert_eq!(timeline.run.spans[1].ms(Timestamp(9)), 4);
    }
}
