//! The catalogue is complete, in every language, and says nothing that nobody fills in.

use std::collections::BTreeSet;

use super::*;
use crate::diagnosis::text::names;

fn set(template: &str) -> BTreeSet<&str> {
    names(template).collect()
}

fn is_japanese(text: &str) -> bool {
    text.chars().any(|c| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}'))
}

#[test]
fn every_code_is_told_in_every_language_with_the_same_parameters() {
    for entry in entries() {
        let all = |texts: &Texts| [texts.title, texts.summary, texts.cause, texts.confirm, texts.fix];
        for (english, japanese) in all(&entry.english).into_iter().zip(all(&entry.japanese)) {
            assert!(!english.trim().is_empty() && !is_japanese(english), "{}: {english}", entry.code);
            assert!(is_japanese(japanese), "{} is not translated: {english}", entry.code);
            assert_eq!(
                set(english).difference(&set(japanese)).count(),
                0,
                "{}: {english} / {japanese}",
                entry.code
            );
            assert_eq!(set(japanese).difference(&set(english)).count(), 0, "{}: {japanese}", entry.code);
        }
        for text in [entry.english.title, entry.english.confirm, entry.english.fix] {
            assert!(set(text).is_empty(), "{}: a page has no parameters: {text}", entry.code);
        }
    }
    for said in sentences::FACTS.iter().chain(sentences::INFERENCES) {
        assert!(is_japanese(said.japanese) && !is_japanese(said.english), "{}", said.says);
        assert_eq!(set(said.english), set(said.japanese), "{}", said.says);
    }
    for deed in actions::DEEDS {
        assert!(is_japanese(deed.japanese) && !is_japanese(deed.english), "{}", deed.says);
        assert!(set(deed.english).is_empty() && set(deed.japanese).is_empty(), "{}", deed.says);
    }
}

#[test]
fn every_parameter_of_a_code_is_declared_and_used() {
    for entry in entries() {
        let declared: BTreeSet<_> = entry.params.iter().copied().collect();
        let mut used = set(entry.english.summary);
        used.extend(set(entry.english.cause));
        for says in entry.actions {
            let deed = deed(says).unwrap_or_else(|| panic!("{}: no action {says}", entry.code));
            used.extend(deed.command.into_iter().flat_map(names));
        }
        let unknown: Vec<_> =
            used.iter().filter(|name| !declared.contains(*name) && !COMMON.contains(name)).collect();
        assert!(unknown.is_empty(), "{} uses {unknown:?} without declaring it", entry.code);
        let unused: Vec<_> = declared.difference(&used).collect();
        assert!(unused.is_empty(), "{} declares {unused:?} and does not use it", entry.code);
    }
}

#[test]
fn codes_and_names_are_there_once_and_in_order() {
    let codes: Vec<_> = entries().map(|entry| entry.code).collect();
    assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
    for code in codes {
        let digits = code.strip_prefix("SW").unwrap_or_default();
        assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{code}");
    }
    let says = sentences::FACTS.iter().chain(sentences::INFERENCES).map(|said| said.says);
    let says: Vec<_> = says.chain(actions::DEEDS.iter().map(|deed| deed.says)).collect();
    let facts: BTreeSet<_> = says.iter().take(sentences::FACTS.len() + sentences::INFERENCES.len()).collect();
    assert_eq!(facts.len(), sentences::FACTS.len() + sentences::INFERENCES.len());
    assert_eq!(
        actions::DEEDS.iter().map(|deed| deed.says).collect::<BTreeSet<_>>().len(),
        actions::DEEDS.len()
    );
}
