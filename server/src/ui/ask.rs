//! Asking something of one run: first what it would do, then, with a reason, doing it.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use stepwell::Verb;
use stepwell::contract::{RunId, RunKey};
use stepwell::observe::values::{HIDDEN, without_secrets};

use crate::access::{Access, Role};
use crate::api::verbs::{Asking, Outcome, carry_out};
use crate::app::App;
use crate::json::indented;
use crate::literal;
use crate::problem::{Code, Problem};
use crate::routes::Routes;
use crate::ui::forms::Form;
use crate::ui::page::{Notice, Page};
use crate::ui::seen::{Resting, Seen};
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
    code: &'a str,
    value: &'a str,
    preview: Option<Preview>,
    /// What the form carries of what is shown.
    seen: String,
    input_now: Option<String>,
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

    fn has_hidden(&self) -> bool {
        self.value.contains(HIDDEN)
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
    code: &'a str,
    value: &'a str,
}

impl Said<'_> {
    fn asking(&self, deed: &Deed, t: &Runs) -> Result<Asking, Problem> {
        let value = match self.value {
            "" => None,
            text if deed.takes_value => {
                Some(literal::value(text).map_err(|error| Problem::bad(fill(t.bad_json, &[&error])))?)
            }
            _ => None,
        };
        let step = (!self.step.is_empty()).then(|| self.step.to_owned());
        let code = (deed.takes_code && !self.code.is_empty()).then(|| self.code.to_owned());
        Ok(Asking { reason: self.reason.to_owned(), step, value, code, seen: None })
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
        Verb::EditInput => {
            indented(without_secrets(&app.engine().state(&at.key).await?.created.input).text())
        }
        _ => String::new(),
    };
    let said = Said { step: p.asked("step").unwrap_or_default(), value: &input, ..Said::default() };
    shown(&app, &p, &at, &said, Told::Nothing).await
}

async fn ask(
    State(app): State<App>,
    Path(asked): Path<Asked>,
    p: Page,
    form: Form,
) -> Result<Response, Problem> {
    let at = At::of(&p, &asked)?;
    let t = Runs::of(p.language);
    let said = Said {
        step: form.text("step"),
        reason: form.text("reason"),
        code: form.text("code"),
        value: form.text("value"),
    };
    let seen = form.field("seen").map(Seen::read);
    let done = match said.asking(at.deed, t) {
        Ok(asking) => act(&app, &at, asking, seen.as_ref().map(Option::as_ref)).await,
        Err(problem) => Err(problem),
    };
    let text = match done {
        Ok(Outcome::Done(_) | Outcome::Previewed(_)) => t.done,
        Ok(Outcome::Waits(_)) => t.waits,
        Err(problem) if problem.status == Code::Changed.status().as_u16() => {
            return shown(&app, &p, &at, &said, Told::Unseen(seen.flatten())).await;
        }
        Err(problem) if problem.status < 500 && problem.status != 404 => {
            return shown(&app, &p, &at, &said, Told::Wrong(problem.detail)).await;
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

/// How often it is tried to ask a run that goes on all the while.
const TRIES: u32 = 5;

/// Asks it of the run that the page has shown, as long as the same would be done. A form without the field is of a program, which
/// has been shown nothing.
///
/// # Errors
/// [`Code::Changed`] when it is not the run that was shown; as for [`carry_out`].
async fn act(app: &App, at: &At, asking: Asking, seen: Option<Option<&Seen>>) -> Result<Outcome, Problem> {
    let changed = || Problem::new(Code::Changed, format!("run {} has gone on since it was shown", at.key));
    let Some(seen) = seen else {
        return carry_out(app, &at.access, &at.key, at.deed.verb, asking, false).await;
    };
    let seen = seen.ok_or_else(changed)?;
    let step = asking.step.clone().unwrap_or_default();
    for _ in 0..TRIES {
        // As it was shown: without the value.
        let plain = Asking { value: None, code: None, ..asking.clone() };
        let now = app.engine().dry_run(&at.key, &plain.ask(at.deed.verb, &at.access)?).await?;
        let resting = match seen.holds(&now, &step).ok_or_else(changed)? {
            Resting::On(seq) => Some(seq),
            Resting::Anything => None,
        };
        let asking = Asking { seen: resting, ..asking.clone() };
        match carry_out(app, &at.access, &at.key, at.deed.verb, asking, false).await {
            Err(problem) if problem.status == Code::Changed.status().as_u16() => {}
            done => return done,
        }
    }
    Err(changed())
}

/// What the page that asks for confirmation tells of what was sent.
enum Told {
    /// Nothing was sent.
    Nothing,
    /// This is wrong with it.
    Wrong(String),
    /// What it would do is not what was shown: that was this, or nothing.
    Unseen(Option<Seen>),
}

/// The page that asks for confirmation, with what the run is now.
async fn shown(app: &App, p: &Page, at: &At, said: &Said<'_>, told: Told) -> Result<Response, Problem> {
    let t = Runs::of(p.language);
    // A value that is not understood is told of by whoever sends the form; what would be done does not depend on it.
    let plain = Said { value: "", code: "", ..*said };
    let ask = plain.asking(at.deed, t)?.ask(at.deed.verb, &at.access);
    let preview = match ask {
        Ok(ask) => Ok(app.engine().dry_run(&at.key, &ask).await?),
        // The step may still be named in the form; and that the value is missing is told when it is sent.
        Err(problem) => Err(problem),
    };
    let has_gone_on = match (&told, &preview) {
        (Told::Unseen(Some(seen)), Ok(now)) => seen.is_behind(now),
        _ => false,
    };
    let (status, error) = match told {
        Told::Wrong(error) => (StatusCode::OK, Some(error)),
        Told::Unseen(_) if has_gone_on => (StatusCode::PRECONDITION_FAILED, Some(t.gone_on.to_owned())),
        // Another step than was shown: now it is.
        Told::Nothing | Told::Unseen(_) => (StatusCode::OK, None),
    };
    let error = error.or_else(|| {
        preview.as_ref().err().filter(|_| !said.step.is_empty()).map(|problem| problem.detail.clone())
    });
    // What somebody else has made of it is not written over unseen.
    let input_now = match at.deed.verb {
        Verb::EditInput if has_gone_on => {
            let input = app.engine().state(&at.key).await?.created.input.clone();
            Some(indented(without_secrets(&input).text()))
        }
        _ => None,
    };
    let seen = preview.as_ref().ok().map(|preview| Seen::of(preview, said.step).to_string());
    let preview = match preview {
        Ok(plain) if plain.refused.is_some() && at.deed.takes_value => {
            valued(app, at, said, t, plain).await?
        }
        other => other.ok(),
    };
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
        code: said.code,
        value: said.value,
        preview: preview.map(Preview::of),
        seen: seen.unwrap_or_default(),
        input_now,
        error,
        command: format!("stepwell runs {} {}{step} --reason '…'", at.deed.name, quoted(run)),
        api: p.api(&format!("/runs/{run}/{}", at.deed.name), &[("dry_run", "true")]),
    };
    p.show_with(status, &shown)
}

/// What would be done once there is a value, where all that is missing without one is a value; `None` where that depends on which.
async fn valued(
    app: &App,
    at: &At,
    said: &Said<'_>,
    t: &Runs,
    plain: stepwell::Preview,
) -> Result<Option<stepwell::Preview>, Problem> {
    let value = if said.value.is_empty() { "null" } else { said.value };
    let asking = Said { value, code: "", ..*said }.asking(at.deed, t);
    let Ok(ask) = asking.and_then(|asking| asking.ask(at.deed.verb, &at.access)) else { return Ok(None) };
    let valued = app.engine().dry_run(&at.key, &ask).await?;
    Ok(match valued.refused == plain.refused {
        true => Some(plain),
        false => Some(valued).filter(stepwell::Preview::is_allowed),
    })
}
