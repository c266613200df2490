//! Tables and lists of fields, from what the API answers: each column says where in an item its value is, and what it is.

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::Value;

use crate::output::Words;
use crate::output::words::{color, plain, safe, span, style};

/// Narrower than this, words for people are not put into a column.
const TEXT_WIDTH_MIN: usize = 24;

/// The column that says whose something is.
pub(crate) const TENANT: &str = "TENANT";

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// A word or a name: never broken.
    Word,
    /// Words for people, which may be broken into lines.
    Text,
    /// A word with a colour: a status, a level, a verdict.
    Mark,
    /// A point in time.
    Time,
    /// Milliseconds.
    Span,
    /// A share from 0 to 100.
    Percent,
    /// JSON, on one line.
    Json,
    /// A share from 0 to 1.
    Share,
    /// How many there are in a list.
    Count,
    /// So many runs in so many milliseconds.
    Rate,
    /// How many there are of each; what there is none of is left out.
    Tally,
    /// The value at the first pointer of that at the second.
    Of,
}

/// A column of a table, or a field of a list of fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) head: &'static str,
    /// Where its value is: JSON pointers, of which the first that leads to a value counts.
    pub(crate) at: &'static [&'static str],
    /// What its value is.
    pub(crate) is: As,
}

/// A column.
pub(crate) const fn column(head: &'static str, at: &'static [&'static str], is: As) -> Column {
    Column { head, at, is }
}

impl Column {
    fn value(&self, item: &Value, words: Words) -> String {
        if self.is == As::Of {
            let parts: Vec<_> = self.at.iter().filter_map(|at| item.pointer(at)).map(plain).collect();
            return if parts.iter().any(|part| part != "0") { parts.join("/") } else { String::new() };
        }
        let found = self.at.iter().filter_map(|at| item.pointer(at)).find(|value| !value.is_null());
        let Some(value) = found else { return String::new() };
        match self.is {
            As::Word | As::Text | As::Mark | As::Of => plain(value),
            As::Tally => {
                let mut counts = value.clone();
                if let Some(counts) = counts.as_object_mut() {
                    counts.retain(|_, count| count.as_u64() != Some(0));
                }
                plain(&counts)
            }
            As::Time => value.as_str().map_or_else(|| plain(value), |text| words.time(text)),
            As::Span => value.as_f64().map_or_else(String::new, |ms| span(ms.max(0.0) as u64)),
            As::Share => value.as_f64().map_or_else(String::new, |share| format!("{:.0}%", share * 100.0)),
            As::Percent => value.as_f64().map_or_else(String::new, |share| format!("{share:.0}%")),
            As::Json => safe(&value.to_string()),
            As::Rate => rate(value),
            As::Count => value.as_array().map_or_else(|| plain(value), |items| items.len().to_string()),
        }
    }
}

fn rate(value: &Value) -> String {
    let figures = value["runs"].as_u64().zip(value["per_ms"].as_u64());
    figures.map_or_else(|| plain(value), |(runs, per_ms)| format!("{runs} in {}", span(per_ms)))
}

/// A table. A column without any value is left out, unless it is the first; so is that of tenants, where there is only the default.
pub(crate) fn table(columns: &[Column], rows: &[Value], words: Words) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| columns.iter().map(|column| one_line(&column.value(row, words), column.is)).collect())
        .collect();
    let kept: Vec<usize> = (0..columns.len())
        .filter(|nth| *nth == 0 || cells.iter().any(|row| !is_silent(columns[*nth].head, &row[*nth])))
        .collect();
    let bare = laid_out(columns, &cells, &without_texts(columns, &kept), words, None);
    let texts: Vec<usize> = kept.iter().copied().filter(|nth| columns[*nth].is == As::Text).collect();
    let Some(width) = words.width.filter(|_| !texts.is_empty()) else {
        return laid_out(columns, &cells, &kept, words, None).join("\n");
    };
    let taken = bare.iter().map(|line| measured(line)).max().unwrap_or(0);
    if width >= taken + texts.len() * TEXT_WIDTH_MIN {
        return laid_out(columns, &cells, &kept, words, Some(width)).join("\n");
    }
    // Beside the rest there is no room for words: they stand below it.
    let mut lines = Vec::new();
    for (nth, line) in bare.into_iter().enumerate() {
        lines.push(line);
        let Some(row) = nth.checked_sub(1).map(|row| &cells[row]) else { continue };
        let said = texts.iter().filter(|nth| !row[**nth].is_empty());
        lines.extend(said.map(|nth| format!("    {}", row[*nth])));
    }
    lines.join("\n")
}

/// The columns that are never broken.
fn without_texts(columns: &[Column], kept: &[usize]) -> Vec<usize> {
    kept.iter().copied().filter(|nth| columns[*nth].is != As::Text).collect()
}

/// How wide a line is on a terminal, without what colours it.
fn measured(line: &str) -> usize {
    anstream::adapter::strip_str(line).to_string().chars().count()
}

/// A header and a line for each row, or several where words are broken to fit a width.
fn laid_out(
    columns: &[Column],
    cells: &[Vec<String>],
    kept: &[usize],
    words: Words,
    width: Option<usize>,
) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if words.is_coloured {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    match width.and_then(|width| u16::try_from(width).ok()) {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    let bold = |text: &str| Cell::new(text).add_attribute(Attribute::Bold);
    table.set_header(kept.iter().map(|nth| bold(columns[*nth].head)));
    for row in cells {
        table.add_row(kept.iter().map(|nth| {
            let cell = Cell::new(&row[*nth]);
            match color(&row[*nth]).filter(|_| columns[*nth].is == As::Mark) {
                Some(color) => cell.fg(shade(color)),
                None => cell,
            }
        }));
    }
    for (shown, nth) in kept.iter().enumerate() {
        if let Some(column) = table.column_mut(shown) {
            column.set_padding((0, 2));
            if columns[*nth].is != As::Text {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

fn is_silent(head: &str, cell: &str) -> bool {
    cell.is_empty() || (head == TENANT && cell == "default")
}

fn one_line(text: &str, is: As) -> String {
    if is == As::Text {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    } else {
        text.replace('\n', " ")
    }
}

fn shade(color: anstyle::AnsiColor) -> Color {
    match color {
        anstyle::AnsiColor::Green => Color::DarkGreen,
        anstyle::AnsiColor::Red => Color::DarkRed,
        anstyle::AnsiColor::Yellow => Color::DarkYellow,
        anstyle::AnsiColor::Blue => Color::DarkBlue,
        anstyle::AnsiColor::Cyan => Color::DarkCyan,
        _ => Color::DarkGrey,
    }
}

/// Fields one below the other, those without a value left out.
pub(crate) fn fields(fields: &[Column], item: &Value, words: Words) -> String {
    let told: Vec<_> = fields.iter().map(|field| (field, field.value(item, words))).collect();
    let width = told.iter().filter(|(_, value)| !value.is_empty()).map(|(field, _)| field.head.len()).max();
    let mut text = String::new();
    for (field, value) in told.iter().filter(|(_, value)| !value.is_empty()) {
        let value = match field.is {
            As::Mark => words.styled(value, style(value)),
            _ => value.replace('\n', &format!("\n{}", " ".repeat(width.unwrap_or(0) + 2))),
        };
        text.push_str(&format!("{:<width$}  {value}\n", field.head, width = width.unwrap_or(0)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Times;

    #[test]
    fn on_a_narrow_terminal_words_stand_below_their_row() {
        let columns = [column("RUN", &["/run"], As::Word), column("WHAT", &["/what"], As::Text)];
        let row = serde_json::json!({ "run": "order-1\nfake", "what": "the card was declined by the bank of the customer" });
        let shown = |width| {
            let words =
                Words { times: Times::Human, is_coloured: false, now: chrono::DateTime::default(), width };
            table(&columns, std::slice::from_ref(&row), words)
        };
        let whole = "RUN           WHAT\norder-1 fake  the card was declined by the bank of the customer";
        assert_eq!(shown(None), whole, "what is piped has one line for each item");
        assert_eq!(shown(Some(120)), whole);
        let broken = shown(Some(44));
        assert!(broken.lines().count() > 2 && broken.lines().all(|line| line.len() <= 44), "{broken}");
        assert_eq!(
            shown(Some(30)),
            "RUN\norder-1 fake\n    the card was declined by the bank of the customer"
        );
    }
}
