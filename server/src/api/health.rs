//! Whether the server lives, and whether it can do its work.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use stepwell::Engine;
use stepwell::contract::Health;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::app::App;
use crate::problem::{Code, Problem};
use crate::routes::Routes;
use crate::view::store::{StoreHealth, StoreState};

/// How long the store may take to say how it is.
const STORE_ANSWERS_IN: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Routes {
    Routes::new().open(routes!(livez)).open(routes!(readyz))
}

/// How something is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Lives {
    /// `ok`.
    status: String,
}

impl Lives {
    fn ok() -> Json<Self> {
        Json(Self { status: "ok".to_owned() })
    }
}

/// Whether the process lives. It asks nothing of the store: start the process again when this is not answered.
#[utoipa::path(get, path = "/livez", tag = "server", operation_id = "isAlive",
    responses((status = 200, description = "It lives.", body = Lives)))]
async fn livez() -> Json<Lives> {
    Lives::ok()
}

/// Whether requests can be answered: the store answers and can be written, and the server is not stopping.
#[utoipa::path(get, path = "/readyz", tag = "server", operation_id = "isReady",
    responses((status = 200, description = "It is ready.", body = Lives)))]
async fn readyz(State(app): State<App>) -> Result<Json<Lives>, Problem> {
    if app.stopping().is_cancelled() {
        return Err(Problem::new(Code::Stopping, "the server is shutting down"));
    }
    // Whoever asks is not known: why the store is not well is told elsewhere.
    match app.reads().store(app.engine()).await.state {
        StoreState::Ok | StoreState::Degraded => Ok(Lives::ok()),
        StoreState::Poisoned => Err(Problem::new(Code::StoreDown, "the store is not written any more")),
        StoreState::Unreachable => Err(Problem::new(Code::StoreDown, "the store does not answer")),
    }
}

/// How the store is, said within some seconds.
pub(crate) async fn of_store(engine: &Engine) -> StoreHealth {
    match tokio::time::timeout(STORE_ANSWERS_IN, engine.store()).await {
        // The engine knows it from its own writes before the store may say so.
        Ok(Ok(info)) if info.health == Health::Ok && engine.is_poisoned() => StoreHealth {
            state: StoreState::Poisoned,
            why: Some("a write failed in a way after which nothing more may be written".to_owned()),
        },
        Ok(Ok(info)) => StoreHealth::of(info.health),
        Ok(Err(error)) => StoreHealth { state: StoreState::Unreachable, why: Some(error.to_string()) },
        Err(_) => StoreHealth {
            state: StoreState::Unreachable,
            why: Some(format!("no answer within {} s", STORE_ANSWERS_IN.as_secs())),
        },
    }
}
