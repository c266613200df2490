//! What keeps one caller from taking the server away from the others: how many requests at once, and for how long. Streams are
//! answered as soon as they begin, so that neither counts for them.

pub(crate) mod shares;

use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::access::identify::{Caller, Holder};
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::serve::IsSpare;

use shares::Full;

/// What is answered however much there is to do: whoever watches the server must not take load for death.
const ALWAYS: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Requests at once of callers who are not known: those who log in.
pub(crate) const STRANGERS_MAX: usize = 32;
/// How long such a request may take.
const STRANGERS_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers in time, or says that there are too many requests or that it took too long.
pub(crate) async fn limit(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let is_always = ALWAYS.iter().any(|always| path.ends_with(always));
    if !is_always && request.extensions().get::<IsSpare>().is_some() {
        let detail = format!(
            "{} connections are open, which is as many as there may be",
            app.options().connections_max
        );
        return Problem::new(Code::Crowded, detail).into_response();
    }
    // Whoever is not known has a few turns of their own, and a short time: they cannot take those of the others.
    let is_stranger = matches!(request.extensions().get::<Caller>(), Some(Caller::Unknown));
    let turns = if is_stranger { app.strangers() } else { app.turns() };
    let _turn = match turns.take(request.extensions().get::<Holder>()) {
        Ok(turn) => Some(turn),
        Err(_) if is_always => None,
        Err(full) => {
            let detail = match full {
                Full::All(_) => "as many requests are being answered as there may be at once".to_owned(),
                Full::Own(most) => {
                    format!("{most} requests of this caller are being answered; the rest is for others")
                }
            };
            return Problem::new(Code::TooMany, detail).into_response();
        }
    };
    let timeout = app.options().request_timeout();
    let timeout = if is_stranger { timeout.min(STRANGERS_TIMEOUT) } else { timeout };
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("there was no answer within {} ms", timeout.as_millis());
            Problem::new(Code::TimedOut, detail).into_response()
        }
    }
}
