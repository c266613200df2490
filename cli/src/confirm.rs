//! Asks before something is taken away.

use std::io::{self, IsTerminal as _, Write as _};

use crate::failure::Failure;

/// So many things need more than a `y`: the number itself.
const MANY: usize = 100;

/// Asks whether it is to be done to so many things.
///
/// # Errors
/// [`Failure::NotConfirmed`] when the answer is no, and without a terminal unless `--yes` was given.
pub(crate) fn confirm(question: &str, count: usize, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::NotConfirmed {
            what: format!(
                "nothing was done: `{}` has to be confirmed, and there is no terminal",
                question.trim_end_matches('?')
            ),
            fix: "say --yes, or look first, with --dry-run".to_owned(),
        });
    }
    let wanted = if count > MANY { count.to_string() } else { "y".to_owned() };
    let hint = if count > MANY { format!("type {count} to confirm") } else { "y/N".to_owned() };
    let mut err = anstream::stderr().lock();
    write!(err, "{question} [{hint}] ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(Failure::other)?;
    let answer = answer.trim();
    if answer.eq_ignore_ascii_case(&wanted) || (count <= MANY && answer.eq_ignore_ascii_case("yes")) {
        return Ok(());
    }
    Err(Failure::NotConfirmed { what: "nothing was done: not confirmed".to_owned(), fix: String::new() })
}
