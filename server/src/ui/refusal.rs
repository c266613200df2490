//! Refusals in words, for whoever looks at pages.

use askama::Template;
use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::access::identify::Caller;
use crate::app::App;
use crate::mount::Mount;
use crate::problem::{Code, MEDIA_TYPE, Problem};
use crate::ui::page::{Page, part};

/// Paths that programs ask for.
const FOR_PROGRAMS: [&str; 6] = ["/api/", "/events", "/livez", "/readyz", "/metrics", "/openapi.json"];
/// Longest problem that is read again, in bytes.
const PROBLEM_BYTES_MAX: usize = 1 << 20;

#[derive(Template)]
#[template(path = "refusal.html")]
struct Refusal<'a> {
    p: &'a Page,
    problem: &'a Problem,
    title: &'static str,
    /// What to do, in the language of the page.
    fix: &'a str,
}

/// Shows refusals of pages as pages, and sends those who are not known to the login.
pub(crate) async fn in_words(State(app): State<App>, request: Request, next: Next) -> Response {
    let has_route = request.extensions().get::<MatchedPath>().is_some();
    let is_page = wants_page(request.uri().path(), request.headers(), has_route);
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    let (headers, uri) = (request.headers().clone(), request.uri().clone());
    let mount = Mount::of(request.extensions(), &uri);
    let response = next.run(request).await;
    let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|media| media == MEDIA_TYPE);
    if !is_page || !is_problem {
        return response;
    }
    let caller = response.extensions().get::<Caller>().cloned();
    let page = Page::new(&app, mount, &headers, &uri).seen_by(caller.as_ref());
    match response.status() {
        StatusCode::UNAUTHORIZED if page.has_login => {
            let to = if is_get { page.here() } else { "/".to_owned() };
            page.go(&format!("/login?to={}", part(&to)), None)
        }
        _ => shown(&page, response).await,
    }
}

/// Whether a refusal is read by people: where there is no such page, only a browser says so.
fn wants_page(path: &str, headers: &HeaderMap, has_route: bool) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let is_program = accept.contains("json") && !accept.contains("html");
    let is_known = has_route || accept.contains("html");
    is_known && !is_program && !FOR_PROGRAMS.iter().any(|start| path.starts_with(start))
}

async fn shown(page: &Page, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, PROBLEM_BYTES_MAX).await else {
        return parts.status.into_response();
    };
    let Ok(problem) = serde_json::from_slice::<Problem>(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    let fix = Code::named(&problem.code).map_or(problem.fix.as_str(), |code| code.told(page.language).1);
    let refusal = Refusal { p: page, problem: &problem, title: title(page, parts.status), fix };
    match page.show_with(parts.status, &refusal) {
        Ok(shown) => shown,
        Err(_) => Response::from_parts(parts, Body::from(bytes)),
    }
}

fn title(page: &Page, status: StatusCode) -> &'static str {
    let w = page.w;
    match status.as_u16() {
        401 => w.refused_401,
        403 => w.refused_403,
        404 => w.refused_404,
        409 | 412 => w.refused_409,
        500.. => w.refused_5xx,
        _ => w.refused_other,
    }
}
