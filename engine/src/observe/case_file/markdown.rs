//! Case files as Markdown. Whatever comes from a run is shown as text: nothing in it can make a heading, a link or a tag.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::diagnosis::evidence::{AttemptEnd, AttemptRecord};
use crate::diagnosis::{Diagnosis, RetrySafety};
use crate::observe::case_file::{CaseFile, DiagnosisShown, LeftOut, Surroundings, Timeline, TimelineEntry};

/// A document in the making. Writing to a text cannot fail.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn heading(&mut self, level: usize, text: &str) {
        let break_before = if self.0.is_empty() || self.0.ends_with("\n\n") { "" } else { "\n" };
        self.line(&format!("{break_before}{} {}\n", "#".repeat(level), escaped(text)));
    }

    pub(super) fn line(&mut self, text: &str) {
        writeln!(self.0, "{text}").expect("a String takes any text");
    }

    /// A line of a list with a name and what is said of it.
    pub(super) fn item(&mut self, name: &str, said: &str) {
        self.line(&format!("- {}: {said}", escaped(name)));
    }

    fn item_if(&mut self, name: &str, said: Option<String>) {
        if let Some(said) = said {
            self.item(name, &said);
        }
    }

    pub(super) fn text(self) -> String {
        self.0
    }
}

/// Text that is shown as it is, on one line.
pub(super) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 8);
    for (nth, c) in text.chars().map(plain).enumerate() {
        let is_mark =
            matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '#' | '&' | '$' | '!');
        // At its beginning a text could make a list or a rule.
        if is_mark || nth == 0 && matches!(c, '-' | '+' | '=') || begins_list(text, nth) {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown
}

/// Whether the character at `nth` ends a number at the beginning of the text, as in `1.`.
fn begins_list(text: &str, nth: usize) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text.as_bytes().get(digits..).unwrap_or_default();
    let ends = matches!(rest, [b'.' | b')'] | [b'.' | b')', b' ' | b'\t' | b'\n' | b'\r', ..]);
    digits > 0 && nth == digits && ends
}

/// A character that neither ends the line nor turns what follows around.
fn plain(c: char) -> char {
    match c {
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        '\u{2028}' | '\u{2029}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    }
}

/// Text as code, on one line.
pub(super) fn code(text: &str) -> String {
    let text: String = text.chars().map(plain).collect();
    if text.trim().is_empty() {
        return "(empty)".to_owned();
    }
    let fence = "`".repeat(longest_run(&text) + 1);
    let space = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

/// Text as a block of code, line by line.
pub(super) fn block(text: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    let kept = |c: char| if c == '\n' { c } else { plain(c) };
    let text: String = text.chars().map(kept).collect();
    format!("{fence}text\n{}\n{fence}", text.trim_end_matches('\n'))
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// A value as compact JSON.
fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| error.to_string())
}

pub(super) fn file(file: &CaseFile) -> String {
    let mut page = Page::default();
    page.heading(1, &format!("Run {}: {}", file.run.key, file.run.status));
    about(&mut page, file, 2);
    page.text()
}

/// Everything under the title.
pub(super) fn about(page: &mut Page, file: &CaseFile, level: usize) {
    let run = &file.run;
    page.line(&escaped(&file.what_happened));
    page.line("");
    page.item("Run", &code(&run.key));
    page.item("Workflow", &format!("{} version {}", code(&run.workflow), run.workflow_version));
    page.item("Status", &code(run.status.as_str()));
    page.item_if("Waits for", file.waits_for.as_deref().map(escaped));
    page.item("Made", &run.created_at.to_string());
    page.item("Last written", &run.updated_at.to_string());
    page.item_if("Ended", run.finished_at.map(|at| at.to_string()));
    page.item_if("Deadline", run.deadline_at.map(|at| at.to_string()));
    page.item("Queue", &format!("{}, priority {}", code(&run.queue), run.priority));
    page.item_if("Started by run", run.parent.as_deref().map(code));
    page.item_if("Input", run.input_bytes.map(|bytes| format!("{bytes} bytes, not shown")));
    page.item("Records", &run.records.to_string());
    for (name, value) in &run.tags {
        page.item(&format!("Tag {name}"), &code(value));
    }
    page.item("File made", &file.made_at.to_string());

    if !file.diagnoses.is_empty() {
        page.heading(level, "Diagnosis");
        for (nth, shown) in file.diagnoses.iter().enumerate() {
            if nth > 0 {
                page.heading(level + 1, "Before that");
            }
            diagnosed(page, shown, level);
        }
    }
    if !file.attempts.is_empty() {
        page.heading(level, "Attempts");
        for of in &file.attempts {
            page.heading(level + 1, &of.place);
            for attempt in &of.attempts {
                self::attempt(page, attempt);
            }
        }
    }
    if !file.steps.is_empty() {
        page.heading(level, "Steps");
        for step in &file.steps {
            let output =
                step.output_bytes.map(|bytes| format!(", result of {bytes} bytes")).unwrap_or_default();
            let (status, attempts) = (escaped(&step.status), step.attempts);
            page.line(&format!(
                "- {} {status}, attempts: {attempts}, began {}{output}",
                code(&step.place),
                step.started_at
            ));
        }
    }
    page.heading(level, "Timeline");
    timeline(page, &file.timeline);
    page.heading(level, "Environment");
    environment(page, &file.environment);
    if !file.limits.is_empty() {
        page.heading(level, "Limits");
        for (step, limits) in &file.limits {
            page.item(step, &code(limits));
        }
    }
    if let Some(definition) = &file.definition {
        page.heading(level, "Definition");
        page.line(&format!(
            "{} version {}, fingerprint {}.",
            code(&definition.workflow),
            definition.version,
            code(&definition.fingerprint)
        ));
        if let Some(of_run) = &definition.run_fingerprint {
            page.line(&format!("The run goes by another definition, with fingerprint {}.", code(of_run)));
        }
        page.line("");
        page.line(&block(&definition.outline.join("\n")));
    }
    left_out(page, &file.left_out, file.timeline.left_out, level);
}

fn diagnosed(page: &mut Page, shown: &DiagnosisShown, level: usize) {
    let attempt = shown.attempt.map(|attempt| format!(", attempt {attempt}")).unwrap_or_default();
    let place = shown.place.as_deref().map_or("the run".to_owned(), code);
    let late = shown.late_by.as_deref().map(|by| format!(", told too late by worker {}", code(by)));
    page.line(&format!("Of {place}{attempt}{}, at {}.", late.unwrap_or_default(), shown.at));
    page.line("");
    diagnosis(page, &shown.diagnosis, level + 1);
}

pub(super) fn diagnosis(page: &mut Page, told: &Diagnosis, level: usize) {
    page.item("Code", &code(&told.code));
    page.item("What happened", &escaped(&told.summary));
    page.item("Cause", &escaped(&told.cause));
    page.item("Confidence", told.confidence.as_str());
    let retry = match told.retry {
        RetrySafety::Safe => "safe",
        RetrySafety::Unsafe => "not safe: the effect of the step may have happened",
        RetrySafety::Unknown => "nobody can tell",
    };
    page.item("Trying again", retry);
    page.item("Fingerprint", &code(&told.fingerprint));
    if !told.docs.is_empty() {
        page.item("More", &code(&told.docs));
    }
    for (name, sentences) in [("Evidence (facts)", &told.evidence), ("Inference", &told.inference)] {
        if !sentences.is_empty() {
            page.heading(level, name);
            for sentence in sentences {
                page.line(&format!("- {}", escaped(&sentence.text)));
            }
        }
    }
    if !told.actions.is_empty() {
        page.heading(level, "Actions");
        for action in &told.actions {
            let command = action.command.as_deref().map(|command| format!(" {}", code(command)));
            let retry = if action.safe_to_retry { " Then it is safe to try again." } else { "" };
            page.line(&format!("- {}{}{retry}", escaped(&action.text), command.unwrap_or_default()));
        }
    }
}

fn attempt(page: &mut Page, attempt: &AttemptRecord) {
    let how = match attempt.ended {
        AttemptEnd::Succeeded => "succeeded".to_owned(),
        AttemptEnd::Failed => {
            let class = attempt.class.map(|class| format!(", {class}")).unwrap_or_default();
            let by_code = attempt.code.as_deref().map(|by| format!(" {}", code(by))).unwrap_or_default();
            format!("failed{class}{by_code}")
        }
        AttemptEnd::Lost(reason) => format!("lost ({})", code(&json(&reason))),
        AttemptEnd::Suspended => "waited".to_owned(),
    };
    let took = attempt.elapsed_ms.map(|ms| format!(", {ms} ms")).unwrap_or_default();
    page.line(&format!("- Attempt {} {how}: began {}{took}", attempt.attempt, attempt.started_at));
    let mut more = |name: &str, said: Option<String>| {
        if let Some(said) = said {
            page.line(&format!("  - {name}: {said}"));
        }
    };
    let text = |text: &str| (!text.is_empty()).then(|| escaped(text));
    let as_code = |text: &Option<String>| text.as_deref().map(code);
    let number = |number: Option<u64>, unit: &str| number.map(|number| format!("{number}{unit}"));
    more("error", text(&attempt.message));
    for link in &attempt.chain {
        let name = link.type_name.as_deref().map(|name| format!("{} ", code(name))).unwrap_or_default();
        let by_code = link.code.as_deref().map(|by| format!(" {}", code(by))).unwrap_or_default();
        let fields =
            if link.fields.is_empty() { String::new() } else { format!(" {}", code(&json(&link.fields))) };
        more("source", Some(format!("{name}{}{by_code}{fields}", escaped(&link.text))));
    }
    for context in &attempt.context {
        more("while", text(context));
    }
    more("gave up at", as_code(&attempt.location));
    more("panicked at", as_code(&attempt.panic_at));
    let worker = [("worker", &attempt.worker), ("host", &attempt.host), ("code", &attempt.code_version)];
    let worker =
        worker.into_iter().filter_map(|(name, of)| of.as_deref().map(|of| format!("{name} {}", code(of))));
    let pid = attempt.pid.map(|pid| format!("process {pid}"));
    let fence = attempt.fence.map(|fence| format!("fence {fence}"));
    let ran: Vec<_> = worker.chain(pid).chain(fence).collect();
    more("ran on", (!ran.is_empty()).then(|| ran.join(", ")));
    let input = attempt.input_bytes.map(|bytes| {
        format!("{bytes} bytes, hash {}", code(attempt.input_hash.as_deref().unwrap_or("unknown")))
    });
    more("input", input);
    more("output", number(attempt.output_bytes, " bytes"));
    more("cursor", as_code(&attempt.cursor));
    more("progress", attempt.progress.as_ref().map(|progress| code(&json(progress))));
    more("last sign of life", attempt.sign_of_life_at.map(|at| at.to_string()));
    more("processor time", number(attempt.cpu_ms, " ms"));
    more("kept its thread for", number(attempt.blocked_ms, " ms"));
    more("memory of the process, at most", number(attempt.rss_peak_bytes, " bytes"));
    let stated = attempt.limits.as_ref().map(|limits| limits.stated()).filter(|stated| !stated.is_empty());
    more("limits that were set", stated.map(|stated| code(&json(&stated))));
    for fact in &attempt.environment {
        more("surroundings", Some(code(&json(fact))));
    }
    for line in &attempt.log_tail {
        more(
            "logged",
            Some(format!("{} {} {}", line.at, json(&line.level).trim_matches('"'), escaped(&line.text))),
        );
    }
    more("backtrace", as_code(&attempt.backtrace));
}

fn timeline(page: &mut Page, timeline: &Timeline) {
    for entry in &timeline.first {
        told(page, entry);
    }
    if timeline.left_out > 0 {
        page.line(&format!("- … {} entries are left out here …", timeline.left_out));
    }
    for entry in &timeline.last {
        told(page, entry);
    }
}

fn told(page: &mut Page, entry: &TimelineEntry) {
    let level = json(&entry.level);
    let level = level.trim_matches('"');
    page.line(&format!("- {} #{} {}/{level}: {}", entry.at, entry.seq, entry.category, escaped(&entry.text)));
}

pub(super) fn environment(page: &mut Page, around: &Surroundings) {
    let store = format!("{}, {}", code(&around.store), escaped(&around.durability));
    page.item("Store", &store);
    page.item("Store id", &code(&around.store_id));
    page.item("Store health", &escaped(&around.health));
    facts(page, "Store", &around.facts);
    page.item("Stepwell", &code(&around.engine));
    let host = around.host.as_deref().map(|host| format!(" on {}", code(host))).unwrap_or_default();
    page.item("File made by", &format!("{}{host}, {}", code(&around.worker), escaped(&around.system)));
    let settings: BTreeMap<_, _> =
        around.settings.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    facts(page, "Setting", &settings);
    for seen in &around.workers {
        let version =
            seen.code_version.as_deref().map(|of| format!(", code {}", code(of))).unwrap_or_default();
        let worker = code(&seen.worker);
        page.item("Had the run", &format!("{worker} from {}, fence {}{version}", seen.at, seen.fence));
    }
}

fn facts(page: &mut Page, of: &str, facts: &BTreeMap<String, String>) {
    for (name, value) in facts {
        page.item(&format!("{of} {name}"), &code(value));
    }
}

fn left_out(page: &mut Page, left_out: &LeftOut, entries: u64, level: usize) {
    let counts = [
        ("entries of the timeline", entries),
        ("older diagnoses", left_out.diagnoses),
        ("attempts, or steps with attempts", left_out.attempts),
        ("steps", left_out.steps),
        ("lines of the definition", left_out.outline),
        ("limits of steps", left_out.limits),
    ];
    let mut lines: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("- {what}: {count}"))
        .collect();
    if left_out.is_cut {
        lines.push("- parts of what attempts say".to_owned());
    }
    if let Some(why) = &left_out.unreadable {
        lines.push(format!("- the state of the run, which cannot be read: {}", escaped(why)));
    }
    lines.push("- the values that the workflow and its steps take and give".to_owned());
    page.heading(level, "Left out");
    for line in lines {
        page.line(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_anything_else() {
        let table = [
            ("a\n# b", "a \\# b"),
            ("<img src=x>", "\\<img src=x\\>"),
            ("[x](http://y)", "\\[x\\](http://y)"),
            ("- no list", "\\- no list"),
            ("12. no list", "12\\. no list"),
            ("a-b 1.5 c", "a-b 1.5 c"),
            ("37.2 GiB", "37.2 GiB"),
            ("![x]", "\\!\\[x\\]"),
            ("`x` *y* | z", "\\`x\\` \\*y\\* \\| z"),
            ("abc\u{202e}def", "abc\u{fffd}def"),
        ];
        for (text, shown) in table {
            assert_eq!(escaped(text), shown);
        }
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(block("x\n````\ny"), "`````text\nx\n````\ny\n`````");
    }
}
