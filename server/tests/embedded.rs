//! The router in a program of somebody else's: whom it answers to without tokens, what a proxy and those who watch meet, and what it
//! says when the store is away.

mod stage;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;
use stage::Stage;
use stepwell::Engine;
use stepwell::contract::{Backend as _, MemoryBackend, Query, RunId, RunKey, TenantId};
use stepwell_contract::fault::{Effect, FaultBackend, FaultPlan, Gate, Method};
use stepwell_server::access::Role;
use stepwell_server::access::token::TokenRule;
use stepwell_server::{App, ServerOptions, router};
use tower::ServiceExt as _;

async fn engine() -> Engine {
    Engine::builder(Arc::new(MemoryBackend::new())).build().await.expect("an engine over memory")
}

/// What is answered to a request that comes from there; nobody says where from when that is missing.
async fn asked(router: &Router, peer: Option<&str>, host: &str) -> (u16, String) {
    let mut request =
        Request::get("/api/v1/whoami").header("host", host).body(Body::empty()).expect("a request");
    if let Some(peer) = peer {
        let peer: SocketAddr = peer.parse().expect("an address");
        request.extensions_mut().insert(ConnectInfo(peer));
    }
    let answer = router.clone().oneshot(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.into_body().collect().await.expect("a body").to_bytes();
    let problem: Value = serde_json::from_slice(&text).expect("JSON");
    (status, format!("{} {}", problem["detail"], problem["fix"]))
}

#[tokio::test]
async fn without_tokens_a_router_answers_to_this_host_alone_unless_everyone_is_trusted() {
    let engine = engine().await;
    let plain = router(&engine, ServerOptions::default()).expect("settings");
    for (peer, host, status) in [
        (Some("127.0.0.1:9"), "localhost", 200),
        (Some("[::1]:9"), "localhost", 200),
        (Some("[::ffff:127.0.0.1]:9"), "localhost", 200),
        (Some("10.0.0.7:9"), "localhost", 403),
        (Some("127.0.0.1:9"), "evil.example", 421),
        (None, "localhost", 403),
    ] {
        let (found, text) = asked(&plain, peer, host).await;
        assert_eq!(found, status, "{peer:?} {host}: {text}");
    }
    let (_, text) = asked(&plain, None, "localhost").await;
    for way_out in ["tokens", "into_make_service_with_connect_info", "trust_everyone"] {
        assert!(text.contains(way_out), "{text}");
    }
    let open = router(&engine, ServerOptions::default().trust_everyone()).expect("settings");
    for peer in [None, Some("10.0.0.7:9")] {
        assert_eq!(asked(&open, peer, "flows.example").await.0, 200);
    }
    let app = App::new(&engine, ServerOptions::default().trust_everyone()).expect("settings");
    app.bind(SocketAddr::from(([0, 0, 0, 0], 0))).await.expect("it was said that it may");
}

#[tokio::test]
async fn those_who_watch_are_answered_by_an_address_and_with_a_foreign_token() {
    let (_, rule) = TokenRule::draw("ci", Role::Viewer, None).expect("random numbers");
    let mut with_names = ServerOptions::default().token(rule);
    with_names.hosts = vec!["flows.example".to_owned()];
    for options in [ServerOptions::default(), with_names] {
        let stage = Stage::with(options).await;
        for path in ["/livez", "/readyz", "/openapi.json"] {
            let headers = [("host", "10.0.0.7:8080"), ("authorization", "Bearer of-somebody-else")];
            let answer = stage.send("GET", path, &headers, None).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn who_is_not_known_is_told_how_to_say_it_and_streams_pass_proxies() {
    let (token, rule) = TokenRule::draw("ci", Role::Viewer, None).expect("random numbers");
    let stage = Stage::with(ServerOptions::default().token(rule)).await;
    let unknown = stage.call("GET", "/api/v1/runs", None).await;
    assert_eq!(
        (unknown.status.as_u16(), &unknown.headers["www-authenticate"]),
        (401, &"Bearer".parse().expect("text"))
    );
    let request = Request::get("/api/v1/events").header("authorization", format!("Bearer {token}"));
    let request = request.body(Body::empty()).expect("a request");
    let stream = stage.router.clone().oneshot(request).await.expect("an answer");
    assert_eq!(stream.headers()["x-accel-buffering"], "no");
}

/// Asks the store something.
async fn call(store: &FaultBackend, method: Method) {
    let key = RunKey::new(TenantId::default(), RunId::new("none").expect("an id"));
    let is_answered = match method {
        Method::Head => store.head(&key).await.is_ok(),
        Method::Scan => store.scan(&Query::default(), None, 1).await.is_ok(),
        Method::Info => store.info().await.is_ok(),
        Method::Tally => store.tally().await.is_ok(),
        other => panic!("say here how {other:?} is asked"),
    };
    assert!(is_answered);
}

/// From this call of each method on the store does not answer.
const AWAY_FROM: u64 = 2_000;

#[tokio::test]
async fn figures_that_could_not_be_read_are_left_out_and_in_time() {
    let gate = Gate::closed();
    let away = [Method::Head, Method::Scan, Method::Info, Method::Tally];
    let plan = FaultPlan::seeded(1);
    let plan = away.iter().fold(plan, |plan, of| plan.from(*of, AWAY_FROM, Effect::Hold(gate.clone())));
    let store = Arc::new(FaultBackend::new(Arc::new(MemoryBackend::new()), plan));
    let engine = Engine::builder(store.clone()).build().await.expect("an engine over memory");
    let stage = Stage::of(engine.clone(), ServerOptions::default());
    let figures = stage.call("GET", "/metrics", None).await.text;
    for name in ["stepwell_workers_alive", "stepwell_overdue_seconds 0"] {
        assert!(figures.contains(name), "{name}: {figures}");
    }
    for method in away {
        while store.counts().fired(method) == 0 {
            // The one that is held is not waited for.
            let _ = tokio::time::timeout(Duration::from_millis(200), call(&store, method)).await;
        }
    }
    // One that has kept nothing of before.
    let stage = Stage::of(engine, ServerOptions::default());
    let since = Instant::now();
    let figures = stage.call("GET", "/metrics", None).await;
    assert!(since.elapsed() < Duration::from_secs(9), "{:?}", since.elapsed());
    assert_eq!(figures.status, 200, "{}", figures.text);
    for name in ["stepwell_workers", "stepwell_runs", "stepwell_queue", "stepwell_overdue"] {
        assert!(!figures.text.contains(name), "{name}: {}", figures.text);
    }
    assert!(figures.text.contains("stepwell_store_health{state=\"unreachable\"} 1"), "{}", figures.text);
}
