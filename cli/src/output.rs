//! What is printed: data on stdout in the form that was asked for, everything else on stderr.

pub(crate) mod card;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod words;

use std::io::{self, IsTerminal as _, Write as _};

use chrono::{DateTime, Utc};
use serde_json::Value;
use serde_json::value::RawValue;
use stepwell_server::json::{indented, on_one_line};
use stepwell_server::view::Listed;

use crate::args::{Color, Form, Shown, Times};
use crate::client::{Answer, Items};
use crate::failure::Failure;
use table::Column;

/// Where answers go, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) form: Form,
    pub(crate) words: Words,
}

/// How values become words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    pub(crate) times: Times,
    /// Whether words may be coloured.
    pub(crate) is_coloured: bool,
    /// What times are told from.
    pub(crate) now: DateTime<Utc>,
    /// How wide lines are, on a terminal.
    pub(crate) width: Option<usize>,
}

impl Output {
    /// As the flags, the environment and the terminal want it.
    pub(crate) fn new(shown: &Shown) -> Self {
        let choice = match shown.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        let chosen = anstream::AutoStream::choice(&io::stdout());
        let is_coloured = chosen != anstream::ColorChoice::Never;
        let words = Words { times: shown.time_format, is_coloured, now: Utc::now(), width: width() };
        Self { form: shown.output, words }
    }

    /// Whether people read it, in tables.
    pub(crate) fn is_for_people(&self) -> bool {
        self.form == Form::Table
    }

    /// A list.
    pub(crate) fn list(&self, columns: &[Column], found: &Items, none: &str) -> Result<(), Failure> {
        match self.form {
            Form::Json => self.json(&page(found)?),
            Form::Jsonl => found.items.iter().try_for_each(|item| self.json(item.get())),
            Form::Table => {
                let rows: Vec<Value> = found.items.iter().map(|item| read(item)).collect::<Result<_, _>>()?;
                if rows.is_empty() {
                    note(none);
                    return Ok(());
                }
                self.text(&table::table(columns, &rows, self.words))?;
                found.next_cursor.iter().for_each(|cursor| more(cursor));
                Ok(())
            }
        }
    }

    /// Rows that were made here.
    pub(crate) fn rows(&self, columns: &[Column], rows: &[Value], none: &str) -> Result<(), Failure> {
        let items = rows.iter().map(serde_json::value::to_raw_value);
        let items = items.collect::<Result<_, _>>().map_err(Failure::other)?;
        self.list(columns, &Items { items, next_cursor: None }, none)
    }

    /// One thing: for people its fields, one below the other.
    pub(crate) fn one(&self, fields: &[Column], answer: &Answer) -> Result<(), Failure> {
        match self.form {
            Form::Table => self.text(table::fields(fields, &answer.json()?, self.words).trim_end()),
            _ => self.raw(answer),
        }
    }

    /// What was answered, as JSON.
    pub(crate) fn raw(&self, answer: &Answer) -> Result<(), Failure> {
        self.json(&answer.text)
    }

    /// One thing that was made or chosen here, as JSON.
    pub(crate) fn value(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        self.json(&serde_json::to_string(value).map_err(Failure::other)?)
    }

    /// JSON, for people, too: with a line for each member, unless each item is to have one.
    pub(crate) fn json(&self, json: &str) -> Result<(), Failure> {
        let json = words::json_safe(json);
        self.text(&if self.form == Form::Jsonl { on_one_line(&json) } else { indented(&json) })
    }

    /// Lines.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()?;
        Ok(())
    }
}

/// Items as the API would answer them in one page.
fn page(found: &Items) -> Result<String, Failure> {
    let page = Listed { items: found.items.iter().collect(), next_cursor: found.next_cursor.clone() };
    serde_json::to_string(&page).map_err(Failure::other)
}

/// How wide the terminal is, if stdout is one and says so.
fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

fn read(item: &RawValue) -> Result<Value, Failure> {
    let read = serde_json::from_str(item.get());
    read.map_err(|error| Failure::Foreign(format!("the answer is not understood: {error}")))
}

/// Says that a list goes on.
pub(crate) fn more(cursor: &str) {
    note(&format!("there is more: --all, or --cursor {cursor}"));
}

/// Says something that is no data.
pub(crate) fn note(text: &str) {
    anstream::eprintln!("{text}");
}

/// Whether someone reads what is said there.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}
