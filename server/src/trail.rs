//! The trail of callers: every request that has changed something is noted with who asked and through which route, durably, before
//! it is answered.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use stepwell::Deed;

use crate::access::identify::Caller;
use crate::app::App;
use crate::problem::REQUEST_ID;

/// What is sent like a change and only shows something.
const LOOKS: [&str; 2] = ["/api/v1/selections", "/bulk"];
/// The page that answers with what it has done, where all others lead on to another page.
const TELLS: &str = "/bulk/ask";
/// Most logins that failed noted in a [`SPAN`]: what strangers send must not fill the store.
const FAILED_MAX: u32 = 20;
const SPAN: Duration = Duration::from_secs(60);

/// Says of an answer that somebody has tried to log in and is not known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stranger;

/// What waits to be written, and what strangers did lately.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    waiting: Mutex<Vec<Deed>>,
    /// Whoever has it writes all that waits; the others find theirs written.
    pen: tokio::sync::Mutex<()>,
    failed: Mutex<Option<(Instant, u32)>>,
}

impl Trail {
    fn push(&self, deed: Deed) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(deed);
    }

    /// Writes all that waits, in one write.
    async fn write(&self, app: &App) {
        let _pen = self.pen.lock().await;
        let deeds = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if deeds.is_empty() {
            return;
        }
        // What was asked is done: it is not refused because of this.
        if let Err(error) = app.engine().note_deeds(&deeds).await {
            for Deed { actor, what, about, outcome, .. } in &deeds {
                tracing::error!(?actor, what, about, outcome, %error, "a change is not in the trail");
            }
        }
    }

    /// Whether one more login that failed is noted.
    fn has_room(&self) -> bool {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, before) =
            failed.filter(|(since, _)| since.elapsed() < SPAN).unwrap_or((Instant::now(), 0));
        *failed = Some((since, before.saturating_add(1)));
        before < FAILED_MAX
    }
}

/// A request that is under way: whoever asked may leave before it is answered, and it may have changed something by then.
struct UnderWay {
    app: App,
    /// `None` once it is answered.
    deed: Option<Deed>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Some(deed) = self.deed.take() else { return };
        let app = self.app.clone();
        app.trail().push(deed);
        // Without a runtime it is written with the next one.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { app.trail().write(&app).await });
        }
    }
}

/// Notes a request that has changed something, and a login.
pub(crate) async fn note(State(app): State<App>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let prefix = app.options().prefix.as_str();
    let below = |path: &str| path.strip_prefix(prefix).unwrap_or(path).to_owned();
    let Some(route) = request.extensions().get::<MatchedPath>().map(|route| below(route.as_str())) else {
        return next.run(request).await;
    };
    let is_dry =
        request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "dry_run=true"));
    let about = below(request.uri().path());
    let what = format!("{} {route}", request.method());
    let caller = request.extensions().get::<Caller>().cloned();
    let actor = |caller: Option<&Caller>| match caller {
        Some(Caller::Known(access)) => Some(access.actor()),
        _ => None,
    };
    let id = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let outcome = "unanswered".to_owned();
    let deed = Deed { actor: actor(caller.as_ref()), what, about, outcome, request: id };
    // Nothing is known to have changed by whoever is not known, nor by a look.
    let is_known = matches!(caller, Some(Caller::Known(_)));
    let is_open = is_known && !is_dry && !LOOKS.contains(&route.as_str());
    let mut under_way = UnderWay { app: app.clone(), deed: is_open.then(|| deed.clone()) };
    let response = next.run(request).await;
    under_way.deed = None;
    let is_stranger = response.extensions().get::<Stranger>().is_some();
    let is_noted = match is_stranger {
        true => app.trail().has_room(),
        false => !is_dry && has_changed(&route, response.status()),
    };
    if is_noted {
        let known = response.extensions().get::<Caller>().map(|caller| actor(Some(caller)));
        let outcome = response.status().as_u16().to_string();
        let actor = if is_stranger { None } else { known.unwrap_or(deed.actor) };
        app.trail().push(Deed { actor, outcome, ..deed });
        // By a task of its own: what others wait for must not be lost with whoever has asked here.
        let writing = tokio::spawn(async move { app.trail().write(&app).await });
        if let Err(error) = writing.await {
            tracing::error!(%error, "the trail was not written");
        }
    }
    response
}

/// Whether a request that was answered so may have changed something. A page that has done what was asked leads on to another one.
fn has_changed(route: &str, status: StatusCode) -> bool {
    if LOOKS.contains(&route) {
        return false;
    }
    match route.starts_with("/api/") || route == TELLS {
        true => status.is_success() || status.is_redirection(),
        false => status.is_redirection(),
    }
}
