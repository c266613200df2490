//! The definition that a run goes on with, as a graph, and where the run is in it.

use axum::extract::State;
use utoipa_axum::routes;

use crate::access::Role;
use crate::api::runs::{Tagged, head};
use crate::api::steps::progress_of;
use crate::app::App;
use crate::problem::Problem;
use crate::request::{NoParams, Params, RunAt, etag};
use crate::routes::Routes;
use crate::view::graph::{GraphNode, RunGraph};

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Viewer, routes!(graph))
}

/// The graph of a run, and where its steps are.
#[utoipa::path(get, path = "/api/v1/runs/{run}/graph", tag = "runs", operation_id = "getGraph",
    params(("run" = String, Path, description = "Its id."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "The graph.", body = RunGraph)))]
async fn graph(
    State(app): State<App>,
    RunAt(key): RunAt,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<RunGraph>, Problem> {
    let head = head(&app, &key).await?;
    let (definition, progress) = progress_of(&app, &head).await?;
    let nodes = match &definition {
        Some(definition) => GraphNode::all(definition.graph()),
        None => progress.steps.iter().map(|step| GraphNode::named(&step.step)).collect(),
    };
    let graph = RunGraph {
        workflow: head.workflow.to_string(),
        version: definition.as_ref().map_or(head.workflow_version, |definition| definition.version()),
        fingerprint: definition.as_ref().map(|definition| definition.fingerprint().to_owned()),
        is_complete: definition.is_some(),
        nodes,
        steps: progress.steps,
    };
    Ok(Tagged(etag(&head), graph))
}
