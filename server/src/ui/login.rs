//! Logging in with a token, and out again.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};

use crate::access::identify::{Caller, cookie};
use crate::access::{session, token};
use crate::app::App;
use crate::mount::Mount;
use crate::problem::{Code, Problem};
use crate::routes::Routes;
use crate::trail::Stranger;
use crate::ui::forms::Form;
use crate::ui::page::Page;

pub(super) fn routes() -> Routes {
    Routes::new().page(None, "GET", "/login", get(ask)).page(None, "POST", "/login", post(log_in)).page(
        None,
        "POST",
        "/logout",
        post(log_out),
    )
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    p: &'a Page,
    to: &'a str,
    is_wrong: bool,
}

async fn ask(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let page = Page::new(&app, mount, &headers, &uri);
    if !page.has_login {
        return Ok(page.go("/", None));
    }
    page.show(&Login { p: &page, to: page.asked("to").unwrap_or("/"), is_wrong: false })
}

async fn log_in(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    uri: Uri,
    form: Form,
) -> Result<Response, Problem> {
    let page = Page::new(&app, mount, &headers, &uri);
    let Some(rule) = token::find(&app.options().tokens, form.text("token")) else {
        let again = Login { p: &page, to: form.text("to"), is_wrong: true };
        let mut response = page.show_with(StatusCode::UNAUTHORIZED, &again)?;
        response.extensions_mut().insert(Stranger);
        return Ok(response);
    };
    let begun = app.sessions().begin(rule.access());
    let secret = begun.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let kept = page.cookie(session::COOKIE, &secret, session::LASTS.as_secs(), true);
    let mut response = page.go_with(form.text("to"), &[kept]);
    // From here on they are known: the trail tells who has logged in.
    response.extensions_mut().insert(Caller::Known(rule.access()));
    Ok(response)
}

async fn log_out(State(app): State<App>, mount: Mount, headers: HeaderMap, uri: Uri) -> Response {
    let page = Page::new(&app, mount, &headers, &uri);
    if let Some(secret) = cookie(&headers, session::COOKIE) {
        app.sessions().end(secret);
    }
    page.go_with("/login", &[page.cookie(session::COOKIE, "", 0, true)])
}
