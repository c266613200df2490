//! `stepwell explain SWnnnn`: from the texts in this program, without a store.

use std::fmt::Write as _;

use serde_json::{Value, json};
use stepwell::diagnosis::page::codes;
use stepwell::diagnosis::{Language, explain_code};
use stepwell_server::problem::Code;

use crate::args::own::{ExplainArgs, Tongue};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::table::{As, Column, column};

const CODES: &[Column] = &[column("CODE", &["/code"], As::Word), column("WHAT", &["/title"], As::Text)];

pub(super) fn explain(args: &ExplainArgs, output: Output) -> Result<Exit, Failure> {
    let language = match args.language {
        Tongue::En => Language::English,
        Tongue::Ja => Language::Japanese,
    };
    let Some(asked) = &args.code else {
        let rows: Vec<_> =
            every(language).map(|(code, title)| json!({ "code": code, "title": title })).collect();
        return output.rows(CODES, &rows, "").map(|()| Exit::Ok);
    };
    let digits = asked.trim().to_ascii_uppercase();
    let code = if digits.starts_with("SW") { digits } else { format!("SW{digits}") };
    let page = page(&code, language);
    let Some((page, text)) = page else {
        let near = every(language).map(|(known, _)| known);
        let near = near.max_by(|a, b| strsim::jaro(a, &code).total_cmp(&strsim::jaro(b, &code)));
        let meant = near.map(|near| format!("; the nearest is {near}")).unwrap_or_default();
        let mut problem =
            stepwell_server::problem::Problem::new(Code::NotFound, format!("there is no code {code}{meant}"));
        problem.fix =
            "`stepwell explain` lists them; codes of a program's own rules are told by that program"
                .to_owned();
        return Err(problem.into());
    };
    if output.is_for_people() {
        output.text(text.trim_end())?;
    } else {
        output.rows(&[], &[page], "")?;
    }
    Ok(Exit::Ok)
}

/// Every code with its title: those of diagnoses, then those of refusals.
fn every(language: Language) -> impl Iterator<Item = (&'static str, &'static str)> {
    let said =
        codes().filter_map(move |code| explain_code(code, language)).map(|page| (page.code, page.title));
    said.chain(Code::ALL.iter().map(|code| (code.as_str(), code.title())))
}

/// The page of a code, for programs and for people.
fn page(code: &str, language: Language) -> Option<(Value, String)> {
    if let Some(page) = explain_code(code, language) {
        let mut text = format!(
            "{}: {}\n\n{}\n\ncause\n  {}\nto be sure\n  {}\nto mend it\n  {}\n",
            page.code, page.title, page.summary, page.cause, page.confirm, page.fix
        );
        let mut actions = Vec::new();
        for (nth, (action, command)) in page.actions.iter().enumerate() {
            let _ = writeln!(text, "  {}. {action}", nth + 1);
            if let Some(command) = command {
                let _ = writeln!(text, "       {command}");
            }
            actions.push(json!({ "text": action, "command": command }));
        }
        // What a case fills in.
        let text = text.replace('{', "<").replace('}', ">");
        let json = json!({
            "code": page.code, "title": page.title, "summary": page.summary, "cause": page.cause,
            "confirm": page.confirm, "fix": page.fix, "actions": actions,
        });
        return Some((json, text));
    }
    let refusal = Code::ALL.iter().find(|known| known.as_str() == code)?;
    let (title, fix) = (refusal.title(), refusal.fix());
    let text = format!("{code}: {title}\n\nto mend it\n  {fix}\n");
    Some((json!({ "code": code, "title": title, "fix": fix, "status": refusal.status().as_u16() }), text))
}
