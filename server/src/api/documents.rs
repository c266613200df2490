//! The description of the API itself.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa_axum::routes;

use crate::app::App;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new().open(routes!(openapi))
}

/// What this API is, as OpenAPI 3.1.
#[utoipa::path(get, path = "/openapi.json", tag = "server", operation_id = "getOpenapi",
    responses((status = 200, description = "The document.", body = serde_json::Value)))]
async fn openapi() -> impl IntoResponse {
    // The routes are the same as long as the program runs.
    static DOCUMENT: LazyLock<Bytes> =
        LazyLock::new(|| App::openapi().to_json().map(Bytes::from).unwrap_or_default());
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.clone())
}
