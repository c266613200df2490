//! Keeps case files within bounds, however much there is to say.

use crate::diagnosis::evidence::AttemptRecord;
use crate::observe::case_file::CaseFile;
use crate::run::notes::within;

/// Most bytes of a case file, in each of its forms.
pub const BYTES_MAX: usize = 256 << 10;
/// Longest text of an attempt, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 10;
/// Longest backtrace, in bytes.
const BACKTRACE_BYTES_MAX: usize = 4 << 10;
/// Longest log line, in bytes.
const LINE_BYTES_MAX: usize = 256;
/// Most errors of a chain, lines of context, and fields of an error.
const CHAIN_MAX: usize = 8;

/// An attempt as a file shows it.
pub(super) fn shortened(mut attempt: AttemptRecord) -> AttemptRecord {
    let short = |text: &mut String| *text = within(std::mem::take(text), TEXT_BYTES_MAX);
    short(&mut attempt.message);
    attempt.chain.truncate(CHAIN_MAX);
    for link in &mut attempt.chain {
        short(&mut link.text);
        link.fields = std::mem::take(&mut link.fields)
            .into_iter()
            .take(CHAIN_MAX)
            .map(|(name, value)| (name, within(value, LINE_BYTES_MAX)))
            .collect();
    }
    attempt.context.truncate(CHAIN_MAX);
    attempt.context.iter_mut().for_each(short);
    attempt.backtrace = attempt.backtrace.map(|text| within(text, BACKTRACE_BYTES_MAX));
    for line in &mut attempt.log_tail {
        line.text = within(std::mem::take(&mut line.text), LINE_BYTES_MAX);
    }
    attempt
}

/// Leaves out ever more until both forms of the file fit.
pub(super) fn fitted(mut file: CaseFile, bytes_max: usize) -> CaseFile {
    while file.json().len().max(file.markdown().len()) > bytes_max && halve(&mut file) {}
    file
}

/// Leaves out about half of what can be left out. Returns whether there was anything.
fn halve(file: &mut CaseFile) -> bool {
    let mut left_out = 0;
    left_out += halved(&mut file.timeline.first, 0);
    let keep = file.timeline.last.len().div_ceil(2);
    let early = file.timeline.last.len() - keep;
    file.timeline.last.drain(..early);
    left_out += early;
    file.timeline.left_out += left_out as u64;

    let steps = halved(&mut file.steps, 0);
    let diagnoses = halved(&mut file.diagnoses, 1);
    let limits = halved(&mut file.limits, 0);
    let places = halved(&mut file.attempts, 1);
    let mut attempts = 0;
    for of in &mut file.attempts {
        let early = of.attempts.len() / 2;
        of.attempts.drain(..early);
        attempts += early;
    }
    let outline = match &mut file.definition {
        Some(definition) => halved(&mut definition.outline, 0),
        None => 0,
    };
    // Each is cut, whether or not another was.
    let all = file.attempts.iter_mut().flat_map(|of| &mut of.attempts);
    let is_cut = all.map(cut).filter(|is_cut| *is_cut).count() > 0;
    let workers = halved(&mut file.environment.workers, 1);
    file.left_out.steps += steps as u64;
    file.left_out.diagnoses += diagnoses as u64;
    file.left_out.limits += limits as u64;
    file.left_out.attempts += (places + attempts) as u64;
    file.left_out.outline += outline as u64;
    file.left_out.is_cut |= is_cut;
    is_cut || left_out + steps + diagnoses + limits + places + attempts + outline + workers > 0
}

/// Cuts what an attempt says. Returns whether there was anything to cut.
fn cut(attempt: &mut AttemptRecord) -> bool {
    let had_backtrace = attempt.backtrace.take().is_some();
    let early = attempt.log_tail.len().div_ceil(2);
    attempt.log_tail.drain(..early);
    let chain = halved(&mut attempt.chain, 1);
    let context = halved(&mut attempt.context, 0);
    let facts = halved(&mut attempt.environment, 0);
    had_backtrace || early + chain + context + facts > 0
}

/// Drops the second half, but not the first `least`. Returns how many were dropped.
fn halved<T>(list: &mut Vec<T>, least: usize) -> usize {
    let keep = (list.len() / 2).max(least).min(list.len());
    let dropped = list.len() - keep;
    list.truncate(keep);
    dropped
}
