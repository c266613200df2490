//! The steps of a run: how far it is, where each is, its attempts and its result.

use std::collections::btree_map;
use std::ops::Bound;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use stepwell::Definition;
use stepwell::contract::{Head, Name, RunKey};
use stepwell::diagnosis::evidence::AttemptEnd;
use stepwell::observe::names::item_name;
use stepwell::observe::progress;
use stepwell::run::place::{Path, Place};
use stepwell::run::state::{State as RunState, StepGroup, StepState, StepStatus};
use stepwell::workflow::graph::Graph;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::access::Role;
use crate::api::runs::{Tagged, head};
use crate::api::values::{SecretsParams, value_of};
use crate::app::App;
use crate::listing::{self, List};
use crate::problem::{Code, Problem};
use crate::request::{NoParams, Params, RunAt, StepAt, Who, etag};
use crate::routes::Routes;
use crate::view::Listed;
use crate::view::attempt::Attempt;
use crate::view::progress::Progress;
use crate::view::step::{STATES, Step};

pub(super) fn routes() -> Routes {
    Routes::new()
        .at(Role::Viewer, routes!(progress))
        .at(Role::Viewer, routes!(list))
        .at(Role::Viewer, routes!(show))
        .at(Role::Viewer, routes!(attempts))
        .at(Role::Viewer, routes!(output))
}

/// How far a run is: its percentage, how long it may still take, and every step, those not begun included.
#[utoipa::path(get, path = "/api/v1/runs/{run}/progress", tag = "runs", operation_id = "getProgress",
    params(("run" = String, Path, description = "Its id."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "How far it is.", body = Progress)))]
async fn progress(
    State(app): State<App>,
    RunAt(key): RunAt,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<Progress>, Problem> {
    let head = head(&app, &key).await?;
    let (_, progress) = progress_of(&app, &head).await?;
    Ok(Tagged(etag(&head), progress))
}

/// How far a run is, and what it executes where that is known; without, only the steps that have begun are.
pub(super) async fn progress_of(app: &App, head: &Head) -> Result<(Option<Definition>, Progress), Problem> {
    let (engine, key) = (app.engine(), &head.key);
    let journal = app.journals().of(engine, head).await?;
    let (state, definition) = (journal.state(key)?, engine.definition_of(head).await?);
    let found = match &definition {
        Some(known) => {
            let past = app.estimates().past(engine, head).await?;
            progress::progress(head, state, known.graph(), &past, engine.now())
        }
        None => progress::begun(head, state, engine.now()),
    };
    Ok((definition, Progress::of(found)))
}

/// Which steps, how many and from where on.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StepsParams {
    /// Only this step, with all its items and rounds.
    step: Option<String>,
    /// Only steps that are there, by the word that `state` has in the answer, as in `failed`.
    state: Option<String>,
    /// How many at most, from 1 to 200; 50 when missing.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// Where the page begins: the `next_cursor` of the one before.
    cursor: Option<String>,
}

/// The steps of a run as they are now, in the order of the definition, each item and round of a map or loop by itself; those not
/// begun too, where the server has the definition.
#[utoipa::path(get, path = "/api/v1/runs/{run}/steps", tag = "runs", operation_id = "listSteps",
    params(StepsParams, ("run" = String, Path, description = "Its id."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "A page of steps.", body = Listed<Step>)))]
async fn list(
    State(app): State<App>,
    RunAt(key): RunAt,
    Params(params): Params<StepsParams>,
) -> Result<Tagged<Listed<Step>>, Problem> {
    let limit = listing::limit(params.limit)?;
    let list = List::of("steps", &(&key, &params.step, &params.state));
    let after = list.cursor::<Place>(params.cursor.as_deref())?;
    let only = params.step.as_deref().map(Name::new).transpose().map_err(Problem::bad)?;
    if let Some(word) = params.state.as_deref().filter(|word| !STATES.contains(word)) {
        return Err(Problem::bad(format!("`state` is {word:?}; it is one of {}", STATES.join(", "))));
    }
    let head = head(&app, &key).await?;
    let definition = app.engine().definition_of(&head).await?;
    let journal = app.journals().of(app.engine(), &head).await?;
    let state = journal.state(&key)?;
    let graph = definition.as_ref().map(|definition| definition.graph().as_ref());
    if let Some(only) = &only
        && !state.steps.contains_key(only)
        && graph.and_then(|graph| graph.find(only)).is_none()
    {
        return Err(no_step(&key, &Place::of(only.clone())));
    }
    let mut listed = Listed { items: Vec::new(), next_cursor: None };
    for (place, step) in steps(state, graph, after.as_ref()) {
        if only.as_ref().is_some_and(|only| *only != place.step) {
            continue;
        }
        let view = view(&key, state, graph, &place, step);
        if params.state.as_ref().is_some_and(|wanted| *wanted != view.state) {
            continue;
        }
        listed.items.push(view);
        if listed.items.len() == limit {
            listed.next_cursor = Some(list.cursor_text(&place));
            break;
        }
    }
    Ok(Tagged(etag(&head), listed))
}

/// One step of a run as it is now.
#[utoipa::path(get, path = "/api/v1/runs/{run}/steps/{step}", tag = "runs", operation_id = "getStep",
    params(("run" = String, Path, description = "The run."), ("step" = String, Path, description = "The step, as in `pack` or `pack[2]`."),
        ("tenant" = Option<String>, Query, description = "Whose run it is.")),
    responses((status = 200, description = "The step.", body = Step)))]
async fn show(
    State(app): State<App>,
    RunAt(key): RunAt,
    StepAt(place): StepAt,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<Step>, Problem> {
    let head = head(&app, &key).await?;
    let definition = app.engine().definition_of(&head).await?;
    let journal = app.journals().of(app.engine(), &head).await?;
    let state = journal.state(&key)?;
    let graph = definition.as_ref().map(|definition| definition.graph().as_ref());
    let is_known = graph.is_some_and(|graph| graph.find(&place.step).is_some());
    match state.step(&place) {
        None if !is_known => Err(no_step(&key, &place)),
        step => Ok(Tagged(etag(&head), view(&key, state, graph, &place, step))),
    }
}

/// The attempts of a step, oldest first, with what was seen of each; of very many, some are left out.
#[utoipa::path(get, path = "/api/v1/runs/{run}/steps/{step}/attempts", tag = "runs", operation_id = "listAttempts",
    params(("run" = String, Path, description = "The run."), ("step" = String, Path, description = "The step, as in `pack` or `pack[2]`."),
        ("tenant" = Option<String>, Query, description = "Whose run it is.")),
    responses((status = 200, description = "Its attempts; none when it has not begun.", body = Listed<Attempt>)))]
async fn attempts(
    State(app): State<App>,
    RunAt(key): RunAt,
    StepAt(place): StepAt,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<Listed<Attempt>>, Problem> {
    let head = head(&app, &key).await?;
    let mut told = app.engine().attempts(&key, &place).await?;
    let journal = app.journals().of(app.engine(), &head).await?;
    let step = journal.state(&key)?.step(&place);
    if step.is_none() && told.is_empty() {
        let definition = app.engine().definition_of(&head).await?;
        if definition.is_none_or(|definition| definition.graph().find(&place.step).is_none()) {
            return Err(no_step(&key, &place));
        }
    }
    let is_under_way = |step: &&StepState| step.status == StepStatus::Running || step.is_left_outside();
    let running = step.filter(is_under_way);
    // One that was left outside is told as one that waits: it goes on until somebody reports its end.
    let left = running.and_then(|step| {
        told.pop_if(|last| last.attempt == step.attempt && last.ended == AttemptEnd::Suspended)
    });
    // What has ended since the state was read is not under way.
    let latest = told.last().map_or(0, |attempt| attempt.attempt);
    let running = running.filter(|step| step.attempt > latest);
    let mut items: Vec<_> = told.into_iter().map(Attempt::of).collect();
    items.extend(running.map(|step| Attempt::running(step, left)));
    Ok(Tagged(etag(&head), Listed { items, next_cursor: None }))
}

/// The result of a step, as JSON: without what has the form of a secret, and otherwise digit by digit.
#[utoipa::path(get, path = "/api/v1/runs/{run}/steps/{step}/output", tag = "runs", operation_id = "getStepOutput",
    params(SecretsParams, ("run" = String, Path, description = "The run."),
        ("step" = String, Path, description = "The step, as in `pack` or `pack[2]`."),
        ("tenant" = Option<String>, Query, description = "Whose run it is.")),
    responses((status = 200, description = "Its result.", body = serde_json::Value)))]
async fn output(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    StepAt(place): StepAt,
    Params(params): Params<SecretsParams>,
) -> Result<Response, Problem> {
    let head = head(&app, &key).await?;
    let journal = app.journals().of(app.engine(), &head).await?;
    let output = journal.state(&key)?.step(&place).and_then(|step| step.output.as_ref());
    let output = output.ok_or_else(|| {
        Problem::new(Code::NotFound, format!("step {place} of run {key} has no result of its own"))
    })?;
    value_of(&who, params, &head, output)
}

fn no_step(key: &RunKey, place: &Place) -> Problem {
    Problem::new(Code::NotFound, format!("run {key} has no step {place}"))
}

/// The steps of a run behind `after`: in the order of the definition as far as it is known, then by name.
fn steps<'a>(
    state: &'a RunState,
    graph: Option<&'a Graph>,
    after: Option<&'a Place>,
) -> impl Iterator<Item = (Place, Option<&'a StepState>)> {
    let defined = graph.into_iter().flat_map(|graph| &graph.steps).map(|spec| &spec.name);
    let is_defined = move |name: &Name| graph.is_some_and(|graph| graph.find(name).is_some());
    let others = state.steps.keys().filter(move |name| !is_defined(name));
    let names = defined.chain(others);
    let names = names.skip_while(move |name| after.is_some_and(|after| after.step != **name));
    names.flat_map(move |name| {
        let passed = after.filter(|after| after.step == *name).map(|after| &after.item);
        let place = |item: &Path| Place { step: name.clone(), item: item.clone() };
        match state.steps.get(name) {
            Some(group) => {
                let single = group.single.as_ref().filter(|_| passed.is_none());
                let single = single.map(|step| (place(&Path::root()), Some(step)));
                let items = items(group, passed).map(|(item, step)| (place(item), Some(step)));
                single.into_iter().chain(items).collect::<Vec<_>>()
            }
            None if passed.is_none() => vec![(place(&Path::root()), None)],
            None => Vec::new(),
        }
    })
}

fn items<'a>(group: &'a StepGroup, passed: Option<&'a Path>) -> btree_map::Range<'a, Path, StepState> {
    match passed {
        Some(passed) => group.items.range((Bound::Excluded(passed), Bound::Unbounded)),
        None => group.items.range::<Path, _>(..),
    }
}

fn view(
    key: &RunKey,
    state: &RunState,
    graph: Option<&Graph>,
    place: &Place,
    step: Option<&StepState>,
) -> Step {
    let Some(step) = step else { return Step::not_begun(place) };
    let name = graph.filter(|_| !place.item.is_root()).and_then(|graph| item_name(graph, state, place));
    Step::of(key, place, step, name)
}
