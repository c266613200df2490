//! Going on elsewhere, and being told: a fork of a run, with what it would do first, and signals to it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::value::RawValue;
use stepwell::ForkRun;
use stepwell::contract::RunKey;
use stepwell::run::place::Place;
use uuid::Uuid;

use crate::access::Access;
use crate::api::runs::head;
use crate::app::App;
use crate::problem::Problem;
use crate::request::RunAt;
use crate::ui::forms::Form;
use crate::ui::page::{Notice, Page};
use crate::ui::run::words::RunWords;
use crate::ui::spoken::quoted;
use crate::ui::words::fill;
use crate::ui::words::runs::Runs;
use crate::view::preview::Preview;

/// Longest beginning of the id of a fork that is taken from the run's own, in characters.
const ID_CHARS: usize = 100;
/// Steps that a preview names.
const NAMED_MAX: usize = 20;

/// What was filled in so far.
#[derive(Debug, Default)]
struct Filled {
    step: String,
    id: String,
    input: String,
    reason: String,
}

/// What is wrong with it, by field.
#[derive(Debug, Default)]
struct Faults {
    step: Option<String>,
    input: Option<String>,
    whole: Option<String>,
}

#[derive(Template)]
#[template(path = "run/fork.html")]
struct ForkPage<'a> {
    p: &'a Page,
    w: &'static RunWords,
    t: &'static Runs,
    run: &'a str,
    filled: &'a Filled,
    faults: Faults,
    preview: Option<Preview>,
    action: String,
    back: String,
    command: String,
}

impl ForkPage<'_> {
    fn named<'a>(&self, steps: &'a [String]) -> &'a [String] {
        &steps[..steps.len().min(NAMED_MAX)]
    }
}

impl Filled {
    fn place(&self) -> Result<Place, String> {
        self.step.parse::<Place>().map_err(|error| error.to_string())
    }

    /// The input that the new run begins with; nothing where it keeps the old one.
    fn input(&self, w: &RunWords) -> Result<Option<Box<RawValue>>, String> {
        match self.input.as_str() {
            "" => Ok(None),
            text => serde_json::from_str(text).map(Some).map_err(|error| fill(w.json_wrong, &[&error])),
        }
    }

    fn fork(&self, id: &str, access: &Access, input: Option<Box<RawValue>>) -> Result<ForkRun, String> {
        let fork = ForkRun::new(id, self.place()?).actor(access.actor()).message(&self.reason);
        match input {
            Some(input) => fork.input(&input).map_err(|error| error.to_string()),
            None => Ok(fork),
        }
    }
}

pub(super) async fn look(State(app): State<App>, RunAt(key): RunAt, p: Page) -> Result<Response, Problem> {
    head(&app, &key).await?;
    let drawn = Uuid::now_v7().simple().to_string();
    let start: String = key.run.as_str().chars().take(ID_CHARS).collect();
    let filled = Filled {
        step: p.asked("step").unwrap_or_default().to_owned(),
        id: format!("{start}-{}", &drawn[drawn.len() - 6..]),
        ..Filled::default()
    };
    shown(&app, &p, &key, &filled, Faults::default(), StatusCode::OK).await
}

pub(super) async fn fork(
    State(app): State<App>,
    RunAt(key): RunAt,
    p: Page,
    form: Form,
) -> Result<Response, Problem> {
    head(&app, &key).await?;
    let w = RunWords::of(p.language);
    let text = |name| form.text(name).to_owned();
    let filled = Filled { step: text("step"), id: text("id"), input: text("input"), reason: text("reason") };
    let refused = StatusCode::UNPROCESSABLE_ENTITY;
    let input = match filled.input(w) {
        Ok(input) => input,
        Err(error) => {
            let faults = Faults { input: Some(error), ..Faults::default() };
            return shown(&app, &p, &key, &filled, faults, refused).await;
        }
    };
    let forked = match filled.fork(&filled.id, &p.who()?.access, input) {
        Ok(fork) => app.engine().fork(&key, fork).await.map_err(Problem::from),
        Err(error) => {
            let faults = Faults { step: Some(error), ..Faults::default() };
            return shown(&app, &p, &key, &filled, faults, refused).await;
        }
    };
    match forked {
        Ok(run) => {
            let said = Notice::good(fill(w.fork_done, &[&key.run]));
            Ok(p.go(&p.run_below(run.key()), Some(said)))
        }
        Err(problem) if problem.status < 500 && problem.status != 404 => {
            let status = StatusCode::from_u16(problem.status).unwrap_or(refused);
            let faults = Faults { whole: Some(problem.detail), ..Faults::default() };
            shown(&app, &p, &key, &filled, faults, status).await
        }
        Err(problem) => Err(problem),
    }
}

async fn shown(
    app: &App,
    p: &Page,
    key: &RunKey,
    filled: &Filled,
    mut faults: Faults,
    status: StatusCode,
) -> Result<Response, Problem> {
    let w = RunWords::of(p.language);
    let access = p.who()?.access;
    let preview = match filled.step.as_str() {
        "" => None,
        // An input that is not understood is told of beside its field: what runs again does not depend on it.
        _ => match filled.fork("preview", &access, filled.input(w).ok().flatten()) {
            Ok(fork) => match app.engine().dry_run_fork(key, &fork).await.map_err(Problem::from) {
                Ok(preview) => Some(Preview::of(preview)),
                Err(problem) if problem.status < 500 && problem.status != 404 => {
                    faults.whole.get_or_insert(problem.detail);
                    None
                }
                Err(problem) => return Err(problem),
            },
            Err(error) => {
                faults.step.get_or_insert(error);
                None
            }
        },
    };
    let (tenant, run) = (key.tenant.as_str(), key.run.as_str());
    let page = ForkPage {
        t: Runs::of(p.language),
        run,
        filled,
        faults,
        preview,
        action: p.run_href(tenant, run, "/fork"),
        back: p.run_href(tenant, run, ""),
        command: format!("stepwell runs fork {} --from {}", quoted(run), quoted(&filled.step)),
        p,
        w,
    };
    p.show_with(status, &page)
}

/// Sends a signal to a run that waits for one, or will.
pub(super) async fn signal(
    State(app): State<App>,
    RunAt(key): RunAt,
    p: Page,
    form: Form,
) -> Result<Response, Problem> {
    let w = RunWords::of(p.language);
    let to = p.run_below(&key);
    let (name, id) = (form.text("name"), form.text("id"));
    if name.is_empty() {
        return Ok(p.go(&to, Some(Notice::bad(w.name_needed))));
    }
    let value: Box<RawValue> = match serde_json::from_str(form.text("value")) {
        Ok(value) => value,
        Err(error) => return Ok(p.go(&to, Some(Notice::bad(fill(w.json_wrong, &[&error]))))),
    };
    let drawn = Uuid::now_v7().to_string();
    let id = if id.is_empty() { &drawn } else { id };
    match app.engine().signal_by(p.who()?.access.actor(), &key, name, id, &value).await.map_err(Problem::from)
    {
        Ok(()) => Ok(p.go(&to, Some(Notice::good(fill(w.signal_sent, &[&name]))))),
        Err(problem) if problem.status < 500 && problem.status != 404 => {
            Ok(p.go(&to, Some(Notice::bad(problem.detail))))
        }
        Err(problem) => Err(problem),
    }
}
