//! `stepwell explain SWnnnn`: from the texts in this program, without a store.

use std::fmt::Write as _;

use stepwell::diagnosis::Language;
use stepwell_server::view::code::{CodePage, CodeTitle};

use crate::args::own::{ExplainArgs, Tongue};
use crate::exit::Exit;
use crate::failure::{Failure, not_found};
use crate::output::Output;
use crate::output::table::{As, Column, column};

const CODES: &[Column] = &[column("CODE", &["/code"], As::Word), column("WHAT", &["/title"], As::Text)];

pub(super) fn explain(args: &ExplainArgs, output: Output) -> Result<Exit, Failure> {
    let language = match args.language {
        Tongue::En => Language::English,
        Tongue::Ja => Language::Japanese,
    };
    let Some(asked) = &args.code else {
        let rows = CodeTitle::all(language).iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>();
        return output.rows(CODES, &rows.map_err(Failure::other)?, "").map(|()| Exit::Ok);
    };
    let digits = asked.trim().to_ascii_uppercase();
    let code = if digits.starts_with("SW") { digits } else { format!("SW{digits}") };
    let Some(page) = CodePage::of(&code, language) else {
        let known = CodeTitle::all(language);
        let mut failure =
            not_found(&format!("code {code}"), &code, known.iter().map(|known| known.code.as_str()));
        if let Failure::Problem(problem) = &mut failure {
            problem.fix =
                "`stepwell explain` lists them; codes of a program's own rules are told by that program"
                    .to_owned();
        }
        return Err(failure);
    };
    if output.is_for_people() {
        output.text(told(&page).trim_end())?;
    } else {
        output.value(&page)?;
    }
    Ok(Exit::Ok)
}

/// The page of a code for people.
fn told(page: &CodePage) -> String {
    let mut text = format!("{}: {}\n", page.code, page.title);
    page.summary.iter().for_each(|summary| text.push_str(&format!("\n{summary}\n")));
    let parts =
        [("cause", &page.cause), ("to be sure", &page.confirm), ("to mend it", &Some(page.fix.clone()))];
    for (title, part) in parts {
        if let Some(part) = part {
            let _ = write!(text, "\n{title}\n  {part}\n");
        }
    }
    for (nth, action) in page.actions.iter().enumerate() {
        let _ = writeln!(text, "  {}. {}", nth + 1, action.text);
        if let Some(command) = &action.command {
            let _ = writeln!(text, "       {command}");
        }
    }
    // What a case fills in.
    text.replace('{', "<").replace('}', ">")
}
