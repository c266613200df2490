//! One measurement as one line: `BENCH name=value …`.

use std::fmt;

/// A line of results.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Line(Vec<(String, String)>);

impl Line {
    pub(crate) fn of(workload: &str, backend: impl fmt::Display) -> Self {
        Self::default().text("workload", workload).text("backend", backend)
    }

    /// Adds a word or a whole number.
    pub(crate) fn text(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.0.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a figure, with as many decimals as it takes to tell something.
    pub(crate) fn figure(self, name: &str, value: f64) -> Self {
        match value.abs() {
            large if large >= 100.0 => self.text(name, format_args!("{value:.0}")),
            middling if middling >= 10.0 => self.text(name, format_args!("{value:.1}")),
            _ => self.text(name, format_args!("{value:.3}")),
        }
    }

    /// Reads a line that was printed; `None` when it is something else.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let fields = text.strip_prefix("BENCH ")?.split_whitespace().map(|field| {
            let (name, value) = field.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        fields.collect::<Option<_>>().map(Self)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.parse().ok()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BENCH")?;
        self.0.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_line_is_read_back() {
        let line = Line::of("chain", "file").figure("steps_per_s", 70_123.4).figure("ratio", 0.512);
        assert_eq!(line.to_string(), "BENCH workload=chain backend=file steps_per_s=70123 ratio=0.512");
        assert_eq!(Line::read(&line.to_string()), Some(line));
        assert_eq!(Line::read("# a remark"), None);
    }
}
