//! Values as words: times, spans, statuses.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

use crate::args::Times;
use crate::output::Words;

impl Words {
    /// A point in time.
    pub(crate) fn time(&self, text: &str) -> String {
        match (self.times, text.parse::<DateTime<Utc>>()) {
            (_, Err(_)) => safe(text),
            (Times::Iso, Ok(at)) => at.to_rfc3339_opts(SecondsFormat::Millis, true),
            (Times::Human, Ok(at)) => {
                let past_ms = (self.now - at).num_milliseconds();
                match past_ms {
                    -999..=999 => "now".to_owned(),
                    1_000.. => format!("{} ago", rough(past_ms.unsigned_abs())),
                    _ => format!("in {}", rough(past_ms.unsigned_abs())),
                }
            }
        }
    }

    /// A word in a style, where styles are shown.
    pub(crate) fn styled(&self, text: &str, style: Style) -> String {
        if self.is_coloured { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// A span by its largest unit.
fn rough(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(unit, _)| ms >= *unit);
    unit.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

/// A span of so many milliseconds, by its two largest units.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{}m {}s", ms / 60_000, ms % 60_000 / 1_000),
        3_600_000..86_400_000 => format!("{}h {}m", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{}d {}h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

/// The colour of a status, a level or a verdict. The word itself is always printed.
pub(crate) fn color(word: &str) -> Option<AnsiColor> {
    Some(match word {
        "succeeded" | "ok" | "done" | "recovered" => AnsiColor::Green,
        "failed" | "error" | "fail" | "lost" | "critical" => AnsiColor::Red,
        "paused" | "warn" | "warning" | "cancelling" | "held" | "refused" => AnsiColor::Yellow,
        "running" => AnsiColor::Blue,
        "waiting" | "waits" | "queued" | "info" => AnsiColor::Cyan,
        "cancelled" | "debug" => AnsiColor::BrightBlack,
        _ => return None,
    })
}

/// The style of such a word.
pub(crate) fn style(word: &str) -> Style {
    color(word).map_or_else(Style::new, |color| Style::new().fg_color(Some(color.into())))
}

/// Text of others without what would steer the terminal, or turn the direction of what stands beside it.
pub(crate) fn safe(text: &str) -> String {
    let shown = |char: char| match char {
        '\n' => '\n',
        '\t' => ' ',
        char if steers(char) => char::REPLACEMENT_CHARACTER,
        char => char,
    };
    text.chars().map(shown).collect()
}

/// JSON without what would steer the terminal: its values are the same.
pub(crate) fn json_safe(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        // Those before the space JSON escapes itself, in texts; between them they are layout.
        if char > ' ' && steers(char) {
            let _ = write!(text, "\\u{:04x}", u32::from(char));
        } else {
            text.push(char);
        }
    }
    text
}

/// Control characters, marks of direction, and separators of lines that are none here.
fn steers(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A value as one word or line.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => safe(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(figure) => format!("{figure:.1}"),
            None => number.to_string(),
        },
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let pairs = fields.iter().map(|(name, value)| format!("{}={}", safe(name), plain(value)));
            pairs.collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_steers_no_terminal() {
        let hostile = serde_json::json!("\u{1b}[2J\u{9b}31mred\u{7}\r\nnext");
        let shown = plain(&hostile);
        assert!(!shown.chars().any(|char| char.is_control() && char != '\n'), "{shown:?}");
        assert!(shown.contains("red") && shown.ends_with("\nnext"), "{shown:?}");
        assert_eq!(safe("a\tb\u{202e}c"), "a b\u{fffd}c");
        let json = "{\"a\": \"\u{9b}2J\u{202e}\u{7f}é\"}";
        let same = json_safe(json);
        assert_eq!(same, "{\"a\": \"\\u009b2J\\u202e\\u007fé\"}");
        let read = |json: &str| serde_json::from_str::<Value>(json).expect("JSON");
        assert_eq!(read(&same), read(json));
        let key = plain(&serde_json::json!({ "\u{1b}[2J": 1 }));
        assert!(!key.contains('\u{1b}'), "{key:?}");
    }

    #[test]
    fn times_are_told_from_now_in_both_directions() {
        let now = "2026-01-31T12:00:00Z".parse().expect("a time");
        let words = Words { times: Times::Human, is_coloured: false, now, width: None };
        let rows = [
            ("2026-01-31T12:00:00.400Z", "now"),
            ("2026-01-31T11:59:18Z", "42s ago"),
            ("2026-01-29T11:00:00Z", "2d ago"),
            ("2026-01-31T12:05:00Z", "in 5m"),
            ("soon", "soon"),
        ];
        for (text, told) in rows {
            assert_eq!(words.time(text), told);
        }
        for (ms, told) in [(7, "7ms"), (1_240, "1.2s"), (61_000, "1m 1s"), (90_000_000, "1d 1h")] {
            assert_eq!(span(ms), told);
        }
    }
}
