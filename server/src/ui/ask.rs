//! Asking something of one run: first what it would do, then, with a reason, doing it.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::value::RawValue;
use stepwell::Verb;
use stepwell::contract::{RunId, RunKey};

use crate::access::{Access, Role};
use crate::api::verbs::{Asking, Outcome, carry_out};
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::routes::Routes;
use crate::ui::forms::Form;
use crate::ui::page::{Notice, Page};
use crate::ui::run::json::indented;
use crate::ui::spoken::quoted;
use crate::ui::verbs::{self, Deed};
use crate::ui::words::fill;
use crate::ui::words::runs::Runs;
use crate::view::preview::Preview;

pub(super) fn routes() -> Routes {
    Routes::new().page(Some(Role::Operator), "GET", "/runs/{run}/ask/{verb}", get(preview)).page(
        Some(Role::Operator),
        "POST",
        "/runs/{run}/ask/{verb}",
        post(ask),
    )
}

#[derive(Debug, Deserialize)]
struct Asked {
    run: String,
    verb: String,
}

#[derive(Template)]
#[template(path = "ask.html")]
struct Shown<'a> {
    p: &'a Page,
    t: &'static Runs,
    deed: &'static Deed,
    run: &'a str,
    action: String,
    back: String,
    step: &'a str,
    reason: &'a str,
    value: &'a str,
    preview: Option<Preview>,
    error: Option<String>,
    command: String,
    api: String,
}

impl Shown<'_> {
    fn effect(&self, effect: &str) -> &'static str {
        match effect {
            "not_idempotent" => self.t.effect_not_idempotent,
            "idempotent" => self.t.effect_idempotent,
            _ => self.t.effect_pure,
        }
    }

    fn refused(&self) -> Option<&str> {
        self.preview.as_ref().and_then(|preview| preview.refused.as_deref())
    }
}

/// What was put into the form so far.
#[derive(Debug, Default)]
struct Said<'a> {
    step: &'a str,
    reason: &'a str,
    value: &'a str,
}

impl Said<'_> {
    fn asking(&self, deed: &Deed, t: &Runs) -> Result<Asking, Problem> {
        let value = match self.value {
            "" => None,
            text if deed.takes_value => {
                let read = RawValue::from_string(text.to_owned());
                Some(read.map_err(|error| Problem::bad(fill(t.bad_json, &[&error])))?)
            }
            _ => None,
        };
        let step = (!self.step.is_empty()).then(|| self.step.to_owned());
        Ok(Asking { reason: self.reason.to_owned(), step, value })
    }
}

/// Where a request is about.
struct At {
    access: Access,
    key: RunKey,
    deed: &'static Deed,
}

impl At {
    fn of(p: &Page, asked: &Asked) -> Result<Self, Problem> {
        let deed = verbs::named(&asked.verb);
        let deed =
            deed.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no verb {:?}", asked.verb)))?;
        let access = p.access.clone();
        let access = access.ok_or_else(|| Problem::new(Code::Unauthorized, "nobody is known to ask"))?;
        let run = RunId::new(&asked.run).map_err(Problem::bad)?;
        Ok(Self { access, key: RunKey::new(p.tenant.clone().unwrap_or_default(), run), deed })
    }
}

async fn preview(State(app): State<App>, Path(asked): Path<Asked>, p: Page) -> Result<Response, Problem> {
    let at = At::of(&p, &asked)?;
    // An input is corrected, so what is there is what the editor begins with.
    let input = match at.deed.verb {
        Verb::EditInput => indented(app.engine().state(&at.key).await?.created.input.text()),
        _ => String::new(),
    };
    let said = Said { step: p.asked("step").unwrap_or_default(), value: &input, ..Said::default() };
    shown(&app, &p, &at, &said, None).await
}

async fn ask(
    State(app): State<App>,
    Path(asked): Path<Asked>,
    p: Page,
    form: Form,
) -> Result<Response, Problem> {
    let at = At::of(&p, &asked)?;
    let t = Runs::of(p.language);
    let said = Said { step: form.text("step"), reason: form.text("reason"), value: form.text("value") };
    let done = match said.asking(at.deed, t) {
        Ok(asking) => carry_out(&app, &at.access, &at.key, at.deed.verb, asking, false).await,
        Err(problem) => Err(problem),
    };
    let text = match done {
        Ok(Outcome::Done(_) | Outcome::Previewed(_)) => t.done,
        Ok(Outcome::Waits(_)) => t.waits,
        Err(problem) if problem.status < 500 && problem.status != 404 => {
            return shown(&app, &p, &at, &said, Some(problem.detail)).await;
        }
        Err(problem) => return Err(problem),
    };
    let notice = Notice::good(fill(text, &[&at.key.run, &at.deed.word(t)]));
    let back = match form.text("back") {
        "" => p.run_below(&at.key),
        back => back.to_owned(),
    };
    Ok(p.go(&back, Some(notice)))
}

async fn shown(
    app: &App,
    p: &Page,
    at: &At,
    said: &Said<'_>,
    error: Option<String>,
) -> Result<Response, Problem> {
    let t = Runs::of(p.language);
    // A value that is not understood is told of by whoever sends the form; what would be done does not depend on it.
    let plain = Said { value: "", ..*said };
    let preview =
        match carry_out(app, &at.access, &at.key, at.deed.verb, plain.asking(at.deed, t)?, true).await {
            Ok(Outcome::Previewed(preview)) => Ok(Some(preview)),
            Ok(Outcome::Done(_) | Outcome::Waits(_)) => Ok(None),
            // The step may still be named in the form; and that the value is missing is told when it is sent.
            Err(problem) if problem.status == 404 || problem.status >= 500 => return Err(problem),
            Err(problem) => Err(problem),
        };
    let error = error.or_else(|| {
        preview.as_ref().err().filter(|_| !said.step.is_empty()).map(|problem| problem.detail.clone())
    });
    let (tenant, run) = (at.key.tenant.as_str(), at.key.run.as_str());
    let step = if said.step.is_empty() { String::new() } else { format!(" {}", quoted(said.step)) };
    let shown = Shown {
        p,
        t,
        deed: at.deed,
        run,
        action: p.ask_href(tenant, run, at.deed.name, ""),
        back: p.run_below(&at.key),
        step: said.step,
        reason: said.reason,
        value: said.value,
        preview: preview.ok().flatten(),
        error,
        command: format!("stepwell runs {} {}{step} --reason '…'", at.deed.name, quoted(run)),
        api: p.api(&format!("/runs/{run}/{}", at.deed.name), &[("dry_run", "true")]),
    };
    p.show(&shown)
}
