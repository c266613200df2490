//! The server behind a socket: who may reach it, how it stops, and what it does with too much.

mod stage;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use stage::Stage;
use stepwell_server::access::Role;
use stepwell_server::access::token::TokenRule;
use stepwell_server::{ServeError, ServerOptions};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A server at a free port, until it is told to stop.
async fn serving(stage: &Stage) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<Result<(), ServeError>>) {
    let listener = stage.app.bind(ANY).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let app = stage.app.clone();
    let served = tokio::spawn(async move {
        let stopped = async {
            // Told, or nobody is left to tell.
            let _ = stopped.await;
        };
        app.serve(listener, stopped).await
    });
    (address, stop, served)
}

/// A request of which the server has all but the end.
fn half_sent(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).expect("a connection");
    let head = "POST /api/v1/runs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 20\r\nconnection: close\r\n\r\n{";
    socket.write_all(head.as_bytes()).expect("sent");
    socket
}

/// Sends the end of it.
fn finish(mut socket: &TcpStream) {
    socket.write_all(b"\"workflow\":\"greet\"}").expect("sent");
}

async fn answer(mut socket: TcpStream) -> String {
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    let read = move || {
        let mut text = String::new();
        socket.read_to_string(&mut text).map(|_| text)
    };
    tokio::task::spawn_blocking(read).await.expect("no panic").expect("an answer within a minute")
}

async fn get(address: SocketAddr, path: &str) -> http::Response<Body> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let uri = format!("http://{address}{path}").parse().expect("an address");
    client.get(uri).await.expect("an answer").map(Body::new)
}

/// Asks until that many requests are being answered: one that has just been sent may not have been read.
async fn until_full(address: SocketAddr) {
    let full = async { while get(address, "/api/v1/whoami").await.status() != 429 {} };
    tokio::time::timeout(Duration::from_secs(60), full).await.expect("the server is full");
}

#[tokio::test]
async fn an_address_that_others_reach_is_refused_without_tokens() {
    let open = SocketAddr::from(([0, 0, 0, 0], 0));
    let stage = Stage::new().await;
    let refused = stage.app.bind(open).await.expect_err("refused").to_string();
    assert!(refused.contains("tokens") && refused.contains("127.0.0.1"), "{refused}");
    // Nor is a listener taken that somebody else has made.
    let listener = tokio::net::TcpListener::bind(open).await.expect("a free port");
    let refused = stage.app.serve(listener, std::future::pending()).await;
    assert!(matches!(refused, Err(ServeError::Exposed(_))), "{refused:?}");
    let (_, rule) = TokenRule::draw("ci", Role::Viewer, None).expect("random numbers");
    let stage = Stage::with(ServerOptions::default().token(rule)).await;
    stage.app.bind(open).await.expect("with tokens it may");
}

#[tokio::test]
async fn stopping_ends_streams_lets_requests_end_and_takes_no_new_ones() {
    let stage = Stage::new().await;
    let (address, stop, served) = serving(&stage).await;
    let mut events = get(address, "/events").await;
    assert_eq!(events.status(), 200);
    let half = half_sent(address);
    // Once this is answered the one before it was accepted, too.
    assert_eq!(get(address, "/livez").await.status(), 200);
    stop.send(()).expect("it serves");
    while let Some(frame) = events.frame().await {
        frame.expect("the stream ends and does not break");
    }
    finish(&half);
    let text = answer(half).await;
    assert!(text.starts_with("HTTP/1.1 201"), "{text}");
    served.await.expect("no panic").expect("it has stopped");
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn requests_that_do_not_end_are_given_up_after_the_grace_time() {
    let mut options = ServerOptions::default();
    options.shutdown_grace_ms = 100;
    options.requests_max = 1;
    let stage = Stage::with(options).await;
    let (address, stop, served) = serving(&stage).await;
    let _half = half_sent(address);
    until_full(address).await;
    stop.send(()).expect("it serves");
    let served = tokio::time::timeout(Duration::from_secs(60), served).await;
    served.expect("within the grace time").expect("no panic").expect("it has stopped");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_with_that() {
    let mut options = ServerOptions::default();
    options.request_timeout_ms = 100;
    let stage = Stage::with(options).await;
    let (address, _stop, _served) = serving(&stage).await;
    let text = answer(half_sent(address)).await;
    assert!(text.starts_with("HTTP/1.1 504") && text.contains("SW9524"), "{text}");
}

#[tokio::test]
async fn a_full_server_says_when_to_come_again_and_that_it_lives() {
    let mut options = ServerOptions::default();
    options.requests_max = 1;
    let stage = Stage::with(options).await;
    let (address, _stop, _served) = serving(&stage).await;
    let half = half_sent(address);
    until_full(address).await;
    let refused = get(address, "/api/v1/runs").await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (429, &"1".parse().expect("a value"))
    );
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(get(address, path).await.status(), 200, "{path}");
    }
    finish(&half);
    assert!(answer(half).await.starts_with("HTTP/1.1 201"));
    assert_eq!(get(address, "/api/v1/runs").await.status(), 200);
}
