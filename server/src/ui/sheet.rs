//! A form that is filled in: its texts, what they mean, and what is wrong with each, told beside the field.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use chrono::DateTime;
use serde_json::value::RawValue;

use crate::literal;
use crate::ui::forms::Form;
use crate::ui::words::fill;
use crate::ui::words::sheets::Sheets;
use crate::view::Time;

/// The texts of a form and its faults. Every reading gives `None` for a field that is empty, and for one with a fault.
#[derive(Debug)]
pub(crate) struct Sheet {
    t: &'static Sheets,
    texts: BTreeMap<&'static str, String>,
    faults: BTreeMap<&'static str, String>,
    /// What is wrong with no field of its own.
    whole: Option<String>,
}

impl Sheet {
    /// A form with these texts in it.
    pub(crate) fn new(t: &'static Sheets, texts: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self { t, texts: texts.into_iter().collect(), faults: BTreeMap::new(), whole: None }
    }

    /// The form that was sent.
    pub(crate) fn sent(t: &'static Sheets, form: &Form, fields: &[&'static str]) -> Self {
        Self::new(t, fields.iter().map(|field| (*field, form.text(field).to_owned())))
    }

    pub(crate) fn words(&self) -> &'static Sheets {
        self.t
    }

    /// What is in a field.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.texts.get(field).map_or("", String::as_str)
    }

    /// What is wrong with a field.
    pub(crate) fn fault(&self, field: &str) -> Option<&str> {
        self.faults.get(field).map(String::as_str)
    }

    /// What is wrong with the whole.
    pub(crate) fn whole(&self) -> Option<&str> {
        self.whole.as_deref()
    }

    /// Whether one of these fields says something, or has a fault.
    pub(crate) fn has_any(&self, fields: &[&str]) -> bool {
        fields.iter().any(|field| !self.text(field).is_empty() || self.fault(field).is_some())
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.faults.is_empty() && self.whole.is_none()
    }

    /// Says what is wrong: with a field, where it is known with which. What was said of it first stays.
    pub(crate) fn refuse(&mut self, field: Option<&'static str>, why: impl Into<String>) {
        match field {
            Some(field) => {
                self.faults.entry(field).or_insert_with(|| why.into());
            }
            None => {
                self.whole.get_or_insert_with(|| why.into());
            }
        }
    }

    fn read<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&str, &Sheets) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(field);
        if text.is_empty() {
            return None;
        }
        match read(text, self.t) {
            Ok(value) => Some(value),
            Err(why) => {
                self.refuse(Some(field), why);
                None
            }
        }
    }

    pub(crate) fn word(&mut self, field: &'static str) -> Option<String> {
        self.read(field, |text, _| Ok(text.to_owned()))
    }

    /// A text that has to be there.
    pub(crate) fn needed(&mut self, field: &'static str) -> String {
        if self.text(field).is_empty() {
            let why = self.t.needed;
            self.refuse(Some(field), why);
        }
        self.text(field).to_owned()
    }

    pub(crate) fn number<T: FromStr<Err: Display>>(&mut self, field: &'static str) -> Option<T> {
        self.read(field, |text, t| text.parse().map_err(|error| fill(t.no_number, &[&error])))
    }

    pub(crate) fn json(&mut self, field: &'static str) -> Option<Box<RawValue>> {
        self.read(field, |text, t| literal::value(text).map_err(|error| fill(t.no_json, &[&error])))
    }

    /// A span such as `90s` or `2h 30m`, in milliseconds.
    pub(crate) fn span_ms(&mut self, field: &'static str) -> Option<u64> {
        self.read(field, |text, t| {
            let span = humantime::parse_duration(text).map_err(|error| fill(t.no_span, &[&error]))?;
            u64::try_from(span.as_millis()).map_err(|error| fill(t.no_span, &[&error]))
        })
    }

    pub(crate) fn time(&mut self, field: &'static str) -> Option<Time> {
        self.read(field, |text, t| {
            let time = DateTime::parse_from_rfc3339(text).map_err(|error| fill(t.no_time, &[&error]))?;
            Ok(Time(time.to_utc()))
        })
    }

    /// Tags, one `name=value` a line.
    pub(crate) fn tags(&mut self, field: &'static str) -> BTreeMap<String, String> {
        let tags = self.read(field, |text, t| {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let tags = lines.map(|line| {
                let (name, value) = line.split_once('=').ok_or_else(|| fill(t.no_tag, &[&line]))?;
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            });
            tags.collect::<Result<BTreeMap<_, _>, String>>()
        });
        tags.unwrap_or_default()
    }
}

/// A span as it is typed.
pub(crate) fn span_text(ms: u64) -> String {
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}

/// Tags as they are typed.
pub(crate) fn tags_text(tags: &BTreeMap<String, String>) -> String {
    tags.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use stepwell::diagnosis::Language;

    use super::*;

    #[test]
    fn what_is_wrong_is_told_of_its_field_and_what_is_right_is_read() {
        let texts = [
            ("input", "{\"a\": 1"),
            ("version", "two"),
            ("delay", "soon"),
            ("tags", "eu"),
            ("from", "tomorrow"),
            ("priority", "-3"),
            ("every", "1h 30m"),
            ("good_tags", "region=eu\n\n a = b=c "),
        ];
        let texts = texts.map(|(field, text)| (field, text.to_owned()));
        let mut sheet = Sheet::new(Sheets::of(Language::English), texts);
        assert!(sheet.json("input").is_none() && sheet.number::<u32>("version").is_none());
        assert!(sheet.span_ms("delay").is_none() && sheet.time("from").is_none());
        assert!(sheet.tags("tags").is_empty() && sheet.needed("workflow").is_empty());
        assert_eq!(sheet.number::<i16>("priority"), Some(-3));
        assert_eq!(sheet.span_ms("every").map(span_text), Some("1h 30m".to_owned()));
        assert_eq!(tags_text(&sheet.tags("good_tags")), "a=b=c\nregion=eu");
        for field in ["input", "version", "delay", "tags", "from", "workflow"] {
            assert!(sheet.fault(field).is_some(), "{field}");
        }
        for field in ["priority", "every", "good_tags", "queue"] {
            assert_eq!(sheet.fault(field), None);
        }
        assert!(!sheet.is_sound());
    }
}
