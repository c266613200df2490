//! Commands as they are typed: what pages print so that a terminal gives the same.

/// A word of a command line for a POSIX shell, in quotes where it needs them.
#[must_use]
pub fn quoted(word: &str) -> String {
    let is_plain = !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:=@,+%".contains(&byte));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// A command with the options that say something.
pub(crate) fn command(verb: &str, options: &[(&str, &str)]) -> String {
    let said = options.iter().filter(|(_, value)| !value.is_empty());
    said.fold(format!("stepwell {verb}"), |line, (name, value)| format!("{line} --{name} {}", quoted(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word_in_a_shell() {
        assert_eq!(quoted("order-1"), "order-1");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(
            command("runs list", &[("query", "status:failed since:2h"), ("tenant", "")]),
            "stepwell runs list --query 'status:failed since:2h'"
        );
    }
}
