//! The page of a code: in the program, and as a document.

use std::fmt::Write;

use crate::diagnosis::catalogue::{self, Entry};
use crate::diagnosis::text::Language;

/// What there is to say of a code, whatever the case. In `summary` and `cause`, `{name}` stands for what a case says there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The code.
    pub code: &'static str,
    /// Its name.
    pub title: &'static str,
    /// What happened.
    pub summary: &'static str,
    /// Why.
    pub cause: &'static str,
    /// How to make sure.
    pub confirm: &'static str,
    /// How to mend it.
    pub fix: &'static str,
    /// What to do, each with the command that does it.
    pub actions: Vec<(&'static str, Option<&'static str>)>,
}

/// The page of a code; `None` when there is no such code. Codes of the program's own rules have none.
///
/// ```
/// use stepwell::diagnosis::{Language, explain_code};
///
/// let page = explain_code("SW1203", Language::English).expect("a page");
/// assert_eq!(page.title, "A stored value is not read by the present code");
/// assert_eq!(explain_code("SW0000", Language::English), None);
/// ```
#[must_use]
pub fn explain_code(code: &str, language: Language) -> Option<Page> {
    catalogue::entry(code).map(|entry| of_entry(entry, language))
}

/// Every code with a page, in order.
pub fn codes() -> impl Iterator<Item = &'static str> {
    catalogue::entries().map(|entry| entry.code)
}

fn of_entry(entry: &'static Entry, language: Language) -> Page {
    let texts = entry.texts(language);
    let actions = entry.actions.iter().filter_map(|says| catalogue::deed(says));
    Page {
        code: entry.code,
        title: texts.title,
        summary: texts.summary,
        cause: texts.cause,
        confirm: texts.confirm,
        fix: texts.fix,
        actions: actions.map(|deed| (deed.text(language), deed.command)).collect(),
    }
}

/// Where the page of a code is, from the root of the project.
pub(crate) fn path(code: &str) -> String {
    format!("docs/errors/{code}.md")
}

/// What the codes of one range are about.
const RANGES: &[(&str, &str)] = &[
    ("SW1", "Code and data"),
    ("SW2", "Time and limits"),
    ("SW3", "Environment"),
    ("SW4", "Network and dependencies"),
    ("SW5", "Access"),
    ("SW6", "Workers, leases and queues"),
    ("SW7", "Store"),
    ("SW8", "Workflow and people"),
    ("SW9", "Unknown"),
];

/// The pages of `docs/errors/`: each with the name of its file and its text.
#[must_use]
pub fn documents() -> Vec<(String, String)> {
    let pages = codes().filter_map(|code| explain_code(code, Language::English));
    let mut documents: Vec<_> = pages.map(|page| (format!("{}.md", page.code), document(&page))).collect();
    documents.push(("README.md".to_owned(), index()));
    documents
}

/// A template for people: what a case fills in is shown as such.
fn shown(template: &str) -> String {
    template.replace('{', "`<").replace('}', ">`")
}

fn document(page: &Page) -> String {
    let mut text = format!(
        "# {}: {}\n\n{}\n\n## Cause\n\n{}\n\n## How to confirm\n\n{}\n\n## How to fix\n\n{}\n",
        page.code,
        page.title,
        shown(page.summary),
        shown(page.cause),
        page.confirm,
        page.fix
    );
    text.push_str("\n## Actions\n\n");
    for (action, command) in &page.actions {
        match command {
            Some(command) => {
                let command = command.replace('{', "<").replace('}', ">");
                writeln!(text, "- {action} `{command}`")
            }
            None => writeln!(text, "- {action}"),
        }
        .expect("a String takes any text");
    }
    text.push_str("\n[All codes](README.md)\n");
    text
}

fn index() -> String {
    let mut text = String::from(
        "# Codes of diagnoses\n\n\
         A diagnosis names its cause by one of these codes, says how sure it is, and keeps what was seen apart from what seems to\n\
         follow. Codes are stable. `stepwell::diagnosis::explain_code` gives the same pages in the program, also in Japanese.\n\
         Rules of a program's own have codes with another prefix. Refused requests have [codes of their own](../refusals.md).\n",
    );
    for (prefix, about) in RANGES {
        write!(text, "\n## {prefix}xxx: {about}\n\n").expect("a String takes any text");
        for entry in catalogue::entries().filter(|entry| entry.code.starts_with(prefix)) {
            writeln!(text, "- [{code}]({code}.md) {title}", code = entry.code, title = entry.english.title)
                .expect("a String takes any text");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_documents_say_what_the_catalogue_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
        let again = "run `cargo run -p stepwell --example error_pages`";
        let mut names = BTreeSet::new();
        for (name, text) in documents() {
            let written = std::fs::read_to_string(folder.join(&name));
            assert_eq!(written.ok().as_deref(), Some(text.as_str()), "{name} is out of date: {again}");
            names.insert(name);
        }
        let there = std::fs::read_dir(folder).expect("docs/errors");
        for entry in there {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            assert!(names.contains(&name), "{name} is of no code: {again}");
        }
    }

    #[test]
    fn every_code_is_explained_in_every_language_and_belongs_to_a_range() {
        for code in codes() {
            for language in Language::ALL {
                let page = explain_code(code, language).expect("a page");
                assert!(!page.actions.is_empty(), "{code}");
            }
            assert!(RANGES.iter().any(|(prefix, _)| code.starts_with(prefix)), "{code}");
        }
    }
}
