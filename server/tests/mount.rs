//! One line in somebody's own axum program: wherever the router is put there, its links lead to it and nothing of theirs is taken.

mod stage;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use http_body_util::BodyExt as _;
use stage::Stage;
use stepwell_server::{ServerOptions, router};
use tower::ServiceExt as _;

async fn ask(app: &Router, method: &str, path: &str, body: &'static str) -> Response<Body> {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    let request = request.header("content-type", "application/json").body(Body::from(body));
    app.clone().oneshot(request.expect("a request")).await.expect("an answer")
}

async fn text(answer: Response<Body>) -> String {
    let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Every address that a page names, but for those of its own parts.
fn links(page: &str) -> Vec<String> {
    let of = |name: &'static str| page.split(name).skip(1).filter_map(|rest| rest.split('"').next());
    let all = ["href=\"", "src=\"", "action=\"", "data-events=\""].into_iter().flat_map(of);
    let links = all.filter(|link| !link.is_empty() && !link.starts_with('#') && !link.starts_with("data:"));
    links.map(|link| link.split('#').next().unwrap_or_default().replace("&amp;", "&")).collect()
}

#[tokio::test]
async fn links_and_assets_are_right_wherever_the_router_is_put() {
    let stage = Stage::new().await;
    stage.run("greet", "one", &"hello".into()).await;
    let of = |prefix: &str| {
        router(&stage.engine, ServerOptions::default().trust_everyone().prefix(prefix)).expect("settings")
    };
    let theirs = || {
        let hello = Router::new().route("/hello", get(async || "hello"));
        hello.fallback(async || (StatusCode::IM_A_TEAPOT, "theirs"))
    };
    let rows = [
        ("merged at the root", theirs().merge(of("")), ""),
        ("merged under its prefix", theirs().merge(of("/stepwell")), "/stepwell"),
        ("nested", theirs().nest("/tools/stepwell", of("")), "/tools/stepwell"),
        ("nested with a prefix", theirs().nest("/tools", of("/stepwell")), "/tools/stepwell"),
    ];
    for (how, app, mount) in rows {
        let mut followed = 0;
        for page in ["", "/runs", "/runs/one", "/queues", "/settings"] {
            let path = if mount.is_empty() && page.is_empty() { "/" } else { &format!("{mount}{page}") };
            let answer = ask(&app, "GET", path, "").await;
            assert_eq!(answer.status(), StatusCode::OK, "{how}: {path}");
            for link in links(&text(answer).await) {
                let is_below = link
                    .strip_prefix(mount)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
                assert!(is_below, "{how}: {path} links to {link}");
                if !link.contains("/ask/") && !link.contains("/events") {
                    let status = ask(&app, "GET", &link, "").await.status();
                    let is_form = status == StatusCode::METHOD_NOT_ALLOWED;
                    assert!(status == StatusCode::OK || is_form, "{how}: {link} of {path}: {status}");
                    followed += 1;
                }
            }
        }
        assert!(followed > 50, "{how}: {followed} links");
        let made =
            ask(&app, "POST", &format!("{mount}/api/v1/runs"), r#"{"workflow":"greet","run":"two"}"#).await;
        assert_eq!(made.headers()["location"], format!("{mount}/api/v1/runs/two"), "{how}");
        let problem = ask(&app, "GET", &format!("{mount}/api/v1/runs/none"), "").await;
        assert_eq!((problem.status(), text(problem).await.contains("SW9504")), (StatusCode::NOT_FOUND, true));
        assert_eq!(text(ask(&app, "GET", "/hello", "").await).await, "hello", "{how}");
        assert_eq!(text(ask(&app, "GET", "/nowhere", "").await).await, "theirs", "{how}");
    }
}
