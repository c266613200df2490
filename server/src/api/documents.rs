//! The description of the API itself.

use std::sync::LazyLock;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use utoipa::openapi::{OpenApi, RefOr, Server};
use utoipa_axum::routes;

use crate::app::App;
use crate::mount::Mount;
use crate::problem::{Code, Problem};
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new().open(routes!(openapi))
}

/// What this API is, as OpenAPI 3.1.
#[utoipa::path(get, path = "/openapi.json", tag = "server", operation_id = "getOpenapi",
    responses((status = 200, description = "The document.", body = serde_json::Value)))]
async fn openapi(State(app): State<App>, Mount(mount): Mount) -> Response {
    // The routes are the same as long as the program runs, and so are the settings of an application.
    static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(App::openapi);
    let mut document = DOCUMENT.clone();
    document.servers = Some(vec![Server::new(if mount.is_empty() { "/" } else { &mount })]);
    let too_large = Code::TooLarge.status().as_u16().to_string();
    let description =
        format!("{}: it may have {} bytes", Code::TooLarge.title(), app.options().body_bytes_max);
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            if let Some(RefOr::T(answer)) = operation.responses.responses.get_mut(&too_large) {
                answer.description.clone_from(&description);
            }
        }
    }
    match document.to_json() {
        Ok(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => Problem::new(Code::Internal, error.to_string()).into_response(),
    }
}
