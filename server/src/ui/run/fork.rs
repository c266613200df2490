//! Going on elsewhere, and being told: a fork of a run, with what it would do first, and signals to it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::value::RawValue;
use stepwell::contract::{RunKey, Seq};
use stepwell::run::place::Place;
use uuid::Uuid;

use crate::access::Access;
use crate::api::fork::{Forked, Forking, carry_out};
use crate::api::repetition::IdempotencyKey;
use crate::api::runs::head;
use crate::api::signals::{self, NewSignal};
use crate::app::App;
use crate::literal;
use crate::problem::{Code, Problem};
use crate::request::RunAt;
use crate::ui::forms::Form;
use crate::ui::page::{Notice, Page};
use crate::ui::run::words::RunWords;
use crate::ui::seen::{Resting, Seen};
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
    /// What the form carries of what is shown.
    seen: String,
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
    /// The input that the new run begins with; nothing where it keeps the old one.
    fn input(&self, w: &RunWords) -> Result<Option<Box<RawValue>>, String> {
        match self.input.as_str() {
            "" => Ok(None),
            text => literal::value(text).map(Some).map_err(|error| fill(w.json_wrong, &[&error])),
        }
    }

    fn forking(&self, input: Option<Box<RawValue>>, seen: Option<Seq>) -> Forking {
        Forking {
            step: self.step.clone(),
            run: Some(self.id.clone()),
            version: None,
            input,
            reason: self.reason.clone(),
            seen,
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
    if let Err(error) = filled.step.parse::<Place>() {
        let faults = Faults { step: Some(error.to_string()), ..Faults::default() };
        return shown(&app, &p, &key, &filled, faults, refused).await;
    }
    let access = p.who()?.access;
    let resting = match form.field("seen").map(Seen::read) {
        // A form without the field is of a program, which has been shown nothing.
        None => None,
        Some(seen) => {
            let now = dry_run(&app, &access, &key, filled.forking(None, None)).await?;
            match seen.as_ref().and_then(|seen| seen.holds(&now, &filled.step)) {
                Some(Resting::On(seq)) => Some(seq),
                Some(Resting::Anything) => None,
                None => {
                    let is_behind = seen.is_some_and(|seen| seen.is_behind(&now));
                    let (status, whole) = match is_behind {
                        true => {
                            (StatusCode::PRECONDITION_FAILED, Some(Runs::of(p.language).gone_on.to_owned()))
                        }
                        false => (StatusCode::OK, None),
                    };
                    return shown(&app, &p, &key, &filled, Faults { whole, ..Faults::default() }, status)
                        .await;
                }
            }
        }
    };
    match carry_out(&app, &access, &key, filled.forking(input, resting), &IdempotencyKey::of(None), false)
        .await
    {
        Ok(Forked::Made { head, .. }) => {
            let said = Notice::good(fill(w.fork_done, &[&key.run]));
            Ok(p.go(&p.run_below(&head.key), Some(said)))
        }
        Ok(Forked::Previewed(_)) => Ok(p.go(&p.run_below(&key), None)),
        Err(problem) if problem.status < 500 && problem.status != 404 => {
            let status = StatusCode::from_u16(problem.status).unwrap_or(refused);
            let whole = match status {
                StatusCode::PRECONDITION_FAILED => Runs::of(p.language).gone_on.to_owned(),
                _ => problem.detail,
            };
            let faults = Faults { whole: Some(whole), ..Faults::default() };
            shown(&app, &p, &key, &filled, faults, status).await
        }
        Err(problem) => Err(problem),
    }
}

/// What the fork would do.
async fn dry_run(
    app: &App,
    access: &Access,
    key: &RunKey,
    forking: Forking,
) -> Result<stepwell::Preview, Problem> {
    // Under an id of its own: one that is in use is told of when it is sent.
    let forking = Forking { run: None, ..forking };
    match carry_out(app, access, key, forking, &IdempotencyKey::of(None), true).await? {
        Forked::Previewed(preview) => Ok(preview),
        Forked::Made { .. } => Err(Problem::new(Code::Internal, "a dry run has made a run")),
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
    // An input that is not understood is told of beside its field: what runs again does not depend on it.
    let preview = match filled.step.parse::<Place>() {
        _ if filled.step.is_empty() => None,
        Err(error) => {
            faults.step.get_or_insert(error.to_string());
            None
        }
        Ok(_) => match dry_run(app, &access, key, filled.forking(None, None)).await {
            Ok(preview) => Some(preview),
            Err(problem) if problem.status < 500 && problem.status != 404 => {
                faults.whole.get_or_insert(problem.detail);
                None
            }
            Err(problem) => return Err(problem),
        },
    };
    let (tenant, run) = (key.tenant.as_str(), key.run.as_str());
    let seen = preview.as_ref().map(|preview| Seen::of(preview, &filled.step).to_string());
    let page = ForkPage {
        t: Runs::of(p.language),
        run,
        filled,
        faults,
        preview: preview.map(Preview::of),
        seen: seen.unwrap_or_default(),
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
    let value = match literal::value(form.text("value")) {
        Ok(value) => value,
        Err(error) => return Ok(p.go(&to, Some(Notice::bad(fill(w.json_wrong, &[&error]))))),
    };
    let new = NewSignal {
        name: name.to_owned(),
        id: (!id.is_empty()).then(|| id.to_owned()),
        value: Some(value),
        // Where the run was at rest, and the page showed it so.
        seen: form.text("seen").parse().ok().map(Seq),
    };
    match signals::carry_out(&app, &p.who()?.access, &key, new, false).await {
        Ok(_) => Ok(p.go(&to, Some(Notice::good(fill(w.signal_sent, &[&name]))))),
        Err(problem) if problem.status == Code::Changed.status().as_u16() => {
            Ok(p.go(&to, Some(Notice::bad(Runs::of(p.language).gone_on))))
        }
        Err(problem) if problem.status < 500 && problem.status != 404 => {
            Ok(p.go(&to, Some(Notice::bad(problem.detail))))
        }
        Err(problem) => Err(problem),
    }
}
