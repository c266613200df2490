//! Reads a query, term by term.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use stepwell::ErrorClass;
use stepwell::contract::{Name, Status, Timestamp, WorkerId};

use crate::filter::{Filter, TagTerm};
use crate::window;

/// The keys that terms have.
pub const KEYS: [&str; 13] = [
    "status", "is", "workflow", "queue", "step", "tag", "code", "class", "group", "worker", "id", "since",
    "until",
];
const IS: [&str; 4] = ["unfinished", "finished", "held", "stuck"];
/// Longest query, in bytes.
const BYTES_MAX: usize = 2_000;
/// How alike two words are, from 0 to 1, for one to be taken for a slip in the other.
const NEAR: f64 = 0.7;

/// Why a query is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It is too long.
    #[error("the query is longer than {BYTES_MAX} bytes")]
    TooLong,
    /// A quote is not closed.
    #[error("a quote is opened and not closed: {0}")]
    OpenQuote(String),
    /// There is no such key.
    #[error("`{term}`: there is no key `{key}`{hint}; known are {}", KEYS.join(", "))]
    Key {
        /// The term.
        term: String,
        /// Its key.
        key: String,
        /// What was probably meant.
        hint: String,
    },
    /// The value is not one of its key.
    #[error("`{term}`: {why}")]
    Value {
        /// The term.
        term: String,
        /// What is wrong with it.
        why: String,
    },
}

pub(super) fn parse(text: &str, now: Timestamp) -> Result<Filter, FilterError> {
    if text.len() > BYTES_MAX {
        return Err(FilterError::TooLong);
    }
    let mut filter = Filter::default();
    for term in terms(text)? {
        add(&mut filter, &term, now)?;
        filter.terms.push(term.written());
    }
    Ok(filter)
}

/// A term: with a key, or a word to look for.
#[derive(Debug)]
struct Term {
    key: Option<String>,
    value: String,
}

impl Term {
    fn written(&self) -> String {
        let needs_quotes = self.value.is_empty()
            || self.value.contains(|c: char| c.is_whitespace() || c == '"')
            || (self.key.is_none() && self.value.contains(':'));
        let value = if needs_quotes {
            format!("\"{}\"", self.value.replace('\\', "\\\\").replace('"', "\\\""))
        } else {
            self.value.clone()
        };
        match &self.key {
            Some(key) => format!("{key}:{value}"),
            None => value,
        }
    }

    fn wrong(&self, why: impl ToString) -> FilterError {
        FilterError::Value { term: self.written(), why: why.to_string() }
    }
}

fn terms(text: &str) -> Result<Vec<Term>, FilterError> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.peek() {
        if first.is_whitespace() {
            chars.next();
            continue;
        }
        let mut term = Term { key: None, value: String::new() };
        let mut is_plain = true;
        while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
            match c {
                '"' => {
                    is_plain = false;
                    loop {
                        match chars.next() {
                            Some('"') => break,
                            Some('\\') => term.value.extend(chars.next()),
                            Some(c) => term.value.push(c),
                            None => return Err(FilterError::OpenQuote(term.value)),
                        }
                    }
                }
                ':' if term.key.is_none() && is_plain && !term.value.is_empty() => {
                    term.key = Some(std::mem::take(&mut term.value).to_lowercase());
                }
                c => term.value.push(c),
            }
        }
        found.push(term);
    }
    Ok(found)
}

fn add(filter: &mut Filter, term: &Term, now: Timestamp) -> Result<(), FilterError> {
    let Some(key) = term.key.as_deref() else {
        filter.words.push(term.value.to_lowercase());
        return Ok(());
    };
    match key {
        "status" => {
            let named = term.value.split(',').map(|word| status(term, word));
            narrow(filter, term, named.collect::<Result<_, _>>()?)?;
        }
        "is" => narrow(filter, term, statuses(term)?)?,
        "workflow" => once(term, &mut filter.workflow, name(term)?)?,
        "queue" => once(term, &mut filter.queue, name(term)?)?,
        "step" => once(term, &mut filter.step, name(term)?)?,
        "tag" => filter.tags.push(match term.value.split_once(['=', ':']) {
            Some((name, value)) => TagTerm::Is(Name::new(name).map_err(|e| term.wrong(e))?, value.to_owned()),
            None => TagTerm::Has(term.value.clone()),
        }),
        "code" => once(term, &mut filter.code, term.value.clone())?,
        "class" => once(term, &mut filter.class, class(term)?)?,
        "group" => once(term, &mut filter.group, term.value.clone())?,
        "worker" => {
            let worker = WorkerId::new(&term.value).map_err(|e| term.wrong(e))?;
            once(term, &mut filter.worker, worker)?;
        }
        "id" => once(term, &mut filter.id, term.value.clone())?,
        "since" => once(term, &mut filter.since, time(term, now)?)?,
        "until" => once(term, &mut filter.until, time(term, now)?)?,
        key => {
            let hint = nearest(key, KEYS).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            return Err(FilterError::Key { term: term.written(), key: key.to_owned(), hint });
        }
    }
    Ok(())
}

/// All terms have to fit: statuses that one names and another does not are out.
fn narrow(filter: &mut Filter, term: &Term, named: Vec<Status>) -> Result<(), FilterError> {
    let is_first = filter.statuses.is_empty();
    let before = std::mem::take(&mut filter.statuses);
    filter.statuses = named.into_iter().filter(|status| is_first || before.contains(status)).collect();
    if filter.statuses.is_empty() {
        return Err(term.wrong("no run fits this and a term before it: a run is in one status"));
    }
    Ok(())
}

/// A run has one of it: a second term could only contradict the first.
fn once<T>(term: &Term, place: &mut Option<T>, value: T) -> Result<(), FilterError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(term.wrong("its key is there twice, and a run has only one of it")),
    }
}

fn name(term: &Term) -> Result<Name, FilterError> {
    Name::from_str(&term.value).map_err(|error| term.wrong(error))
}

fn status(term: &Term, word: &str) -> Result<Status, FilterError> {
    let words = Status::ALL.map(Status::as_str);
    let found = Status::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(word));
    found.ok_or_else(|| term.wrong(no_such("status", word, &words)))
}

fn statuses(term: &Term) -> Result<Vec<Status>, FilterError> {
    let all = Status::ALL.into_iter();
    Ok(match term.value.as_str() {
        "unfinished" => all.filter(|status| !status.is_finished()).collect(),
        "finished" => all.filter(|status| status.is_finished()).collect(),
        "held" => vec![Status::Paused],
        "stuck" => vec![Status::Paused, Status::Failed],
        word => return Err(term.wrong(no_such("word for `is`", word, &IS))),
    })
}

fn class(term: &Term) -> Result<ErrorClass, FilterError> {
    /// The classes read themselves as they are written in journals.
    fn read<T: DeserializeOwned>(word: &str) -> Option<T> {
        serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
    }
    read(&term.value.to_lowercase()).ok_or_else(|| term.wrong("there is no such class of errors"))
}

/// A span that counts back from now, or a point in time.
fn time(term: &Term, now: Timestamp) -> Result<Timestamp, FilterError> {
    window::time_of(&term.value, now).ok_or_else(|| {
        term.wrong("a span like `2h` or `7d`, or a time like `2026-01-31T12:00:00Z`, is expected")
    })
}

fn no_such(what: &str, word: &str, known: &[&'static str]) -> String {
    let hint = nearest(word, known.iter().copied()).map(|near| format!(", did you mean `{near}`?"));
    format!("there is no {what} {word:?}{}; known are {}", hint.unwrap_or_default(), known.join(", "))
}

fn nearest(word: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let rated = known.into_iter().map(|known| (strsim::jaro_winkler(known, word), known));
    let near = rated.filter(|(likeness, _)| *likeness > NEAR);
    near.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    #[test]
    fn a_query_means_what_it_says_and_is_written_back_the_same() {
        let text = "status:failed,paused step:charge tag:region=eu tag:eu since:2h \"two words\" late";
        let filter = Filter::parse(text, NOW).expect("a query");
        assert_eq!(filter.statuses, [Status::Failed, Status::Paused]);
        assert_eq!(filter.step.as_ref().map(Name::as_str), Some("charge"));
        assert_eq!(filter.tags[1], TagTerm::Has("eu".to_owned()));
        assert_eq!(filter.since, Some(Timestamp(NOW.0 - 7_200_000)));
        assert_eq!(filter.words, ["two words", "late"]);
        assert_eq!(filter.to_string(), text);
        assert_eq!(Filter::parse(&filter.to_string(), NOW), Ok(filter));
        let both = Filter::parse("is:unfinished status:paused,failed", NOW).expect("a query");
        assert_eq!(both.statuses, [Status::Paused]);
    }

    #[test]
    fn what_is_not_understood_is_named_with_what_was_probably_meant() {
        let rows = [
            ("stauts:failed", "there is no key `stauts`, did you mean `status`?"),
            ("status:faild", "there is no status \"faild\", did you mean `failed`?"),
            ("is:stuk", "did you mean `stuck`?"),
            ("since:yesterday", "a span like `2h`"),
            ("workflow:a/b", "only ASCII letters"),
            ("class:slow", "no such class"),
            ("workflow:a workflow:b", "its key is there twice"),
            ("is:unfinished status:succeeded", "no run fits this and a term before it"),
            ("\"open", "a quote is opened and not closed"),
        ];
        for (text, expected) in rows {
            let error = Filter::parse(text, NOW).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn no_text_makes_the_reader_fail_otherwise_than_by_saying_so() {
        for text in [
            "",
            "   ",
            ":",
            "::",
            "a:",
            "\"\"",
            "\\",
            "\"\\\"",
            "tag:",
            "tag:=",
            "é:ü",
            "since:-1h",
            "since:9999999999y",
        ] {
            let _ = Filter::parse(text, NOW);
        }
    }
}
