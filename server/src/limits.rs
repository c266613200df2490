//! What keeps one caller from taking the server away from the others: how many requests at once, and for how long. Streams are
//! answered as soon as they begin, so that neither counts for them.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::app::App;
use crate::problem::{Code, Problem};

/// What is answered however much there is to do: whoever watches the server must not take load for death.
const ALWAYS: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Answers in time, or says that there are too many requests or that it took too long.
pub(crate) async fn limit(State(app): State<App>, request: Request, next: Next) -> Response {
    let prefix = &app.options().prefix;
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let is_always = ALWAYS.contains(&path.strip_prefix(prefix.as_str()).unwrap_or(path));
    let _turn = match app.turns().try_acquire() {
        Ok(turn) => Some(turn),
        Err(_) if is_always => None,
        Err(_) => {
            let detail = format!("{} requests are being answered", app.options().requests_max);
            return Problem::new(Code::TooMany, detail).into_response();
        }
    };
    let timeout = app.options().request_timeout();
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("there was no answer within {} ms", timeout.as_millis());
            Problem::new(Code::TimedOut, detail).into_response()
        }
    }
}
