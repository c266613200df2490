//! Two attempts of a step beside each other: what differs is marked. Pure.

use stepwell::diagnosis::evidence::{AttemptEnd, AttemptRecord};
use stepwell::run::event::LostReason;

use crate::ui::page::Page;
use crate::ui::run::words::RunWords;

/// One thing that is known of attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) label: &'static str,
    pub(crate) left: String,
    /// The same of the other attempt; empty when there is none to compare with.
    pub(crate) right: String,
    pub(crate) differs: bool,
    /// Whether it is text of a program: a hash, a name, a place in the code.
    pub(crate) is_code: bool,
}

/// How an attempt ended, in a word.
pub(crate) fn end_word(attempt: &AttemptRecord, w: &RunWords) -> &'static str {
    match attempt.ended {
        AttemptEnd::Succeeded => w.has_succeeded,
        AttemptEnd::Failed => w.has_failed,
        AttemptEnd::Lost(LostReason::Crash) => w.was_lost,
        AttemptEnd::Lost(_) => w.was_stopped,
        AttemptEnd::Suspended => w.was_suspended,
    }
}

/// What is known of an attempt, and of another one where there is one. Lines of which neither says anything are left out;
/// times of the clock differ always, and are not marked; nor are figures that are about the same.
pub(crate) fn lines(
    left: &AttemptRecord,
    right: Option<&AttemptRecord>,
    w: &RunWords,
    p: &Page,
) -> Vec<Line> {
    let line = |label, is_code, is_marked, say: &dyn Fn(&AttemptRecord) -> String| {
        let (ours, theirs) = (say(left), right.map(say).unwrap_or_default());
        let differs = is_marked && right.is_some() && ours != theirs;
        Line { label, left: ours, right: theirs, differs, is_code }
    };
    let far = |figure: fn(&AttemptRecord) -> Option<u64>| match (figure(left), right.and_then(figure)) {
        (Some(ours), Some(theirs)) => is_far(ours, theirs),
        _ => true,
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let span = |ms: Option<u64>| ms.map(|ms| p.span(ms)).unwrap_or_default();
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| size(usize::try_from(bytes).unwrap_or(usize::MAX)));
    let time =
        |at: Option<stepwell::contract::Timestamp>| at.map(|at| p.at(&at).to_string()).unwrap_or_default();
    let lines = [
        line(w.ended, false, true, &|a| end_word(a, w).to_owned()),
        line(w.class, false, true, &|a| a.class.map(|class| class.to_string()).unwrap_or_default()),
        line(w.code, true, true, &|a| text(&a.code)),
        line(w.error, false, true, &|a| a.message.clone()),
        line(w.location, true, true, &|a| text(&a.panic_at.clone().or_else(|| a.location.clone()))),
        line(w.duration, false, far(|a| a.elapsed_ms), &|a| span(a.elapsed_ms)),
        line(w.started, false, false, &|a| p.at(&a.started_at).to_string()),
        line(w.ended_at, false, false, &|a| time(a.ended_at)),
        line(w.worker, true, true, &|a| text(&a.worker)),
        line(w.host, true, true, &|a| text(&a.host)),
        line(w.code_version, true, true, &|a| text(&a.code_version)),
        line(w.input_hash, true, true, &|a| text(&a.input_hash)),
        line(w.input_size, false, true, &|a| bytes(a.input_bytes).unwrap_or_default()),
        line(w.output_size, false, true, &|a| bytes(a.output_bytes).unwrap_or_default()),
        line(w.sign_of_life, false, false, &|a| time(a.sign_of_life_at)),
        line(w.cpu, false, far(|a| a.cpu_ms), &|a| span(a.cpu_ms)),
        line(w.memory_peak, false, far(|a| a.rss_peak_bytes), &|a| {
            bytes(a.rss_peak_bytes).unwrap_or_default()
        }),
        line(w.cursor, true, true, &|a| text(&a.cursor)),
    ];
    lines.into_iter().filter(|line| !line.left.is_empty() || !line.right.is_empty()).collect()
}

/// Whether two figures are further apart than those of two attempts alike: the larger is by a quarter more.
fn is_far(one: u64, other: u64) -> bool {
    one.max(other).saturating_mul(4) > one.min(other).saturating_mul(5)
}

/// A number of bytes for people.
pub(crate) fn size(bytes: usize) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let (mut left, mut unit) = (bytes as f64 / 1_024.0, 0);
    while left >= 1_000.0 && unit + 1 < UNITS.len() {
        (left, unit) = (left / 1_024.0, unit + 1);
    }
    format!("{left:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_are_about_the_same_do_not_count_as_different() {
        assert!(!is_far(132, 138) && !is_far(0, 0));
        assert!(is_far(100, 126) && is_far(0, 1) && is_far(9, 1));
    }

    #[test]
    fn sizes_are_said_in_the_unit_that_suits_them() {
        let said = [36, 2_048, 999 << 10, 5 << 30].map(size);
        assert_eq!(said, ["36 B", "2.0 KiB", "999.0 KiB", "5.0 GiB"]);
    }
}
