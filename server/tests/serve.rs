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

/// Sends a request, and waits for the beginning of the answer: the connection is kept.
fn asked(address: SocketAddr, path: &str) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
    let mut bytes = [0; 4096];
    let read = socket.read(&mut bytes).expect("an answer within a minute");
    (socket, String::from_utf8_lossy(&bytes[..read]).into_owned())
}

/// Reads until the server closes, and returns how much there was.
fn until_cut(mut socket: TcpStream) -> u64 {
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    match std::io::copy(&mut socket, &mut std::io::sink()) {
        Ok(read) => read,
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it is cut within a minute");
            0
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stands_still_is_cut() {
    let mut options = ServerOptions::default();
    options.stall_timeout_ms = 300;
    let stage = Stage::with(options).await;
    let (address, _stop, _served) = serving(&stage).await;
    // One that sends its head a byte at a time, one that sends nothing, and one that asks for nothing more.
    let mut slow = TcpStream::connect(address).expect("a connection");
    let silent = TcpStream::connect(address).expect("a connection");
    let (idle, text) = asked(address, "/livez");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    slow.set_read_timeout(Some(Duration::from_millis(20))).expect("a limit");
    let dripping = tokio::task::spawn_blocking(move || {
        let head =
            "GET /livez HTTP/1.1\r\nhost: localhost\r\nx-slow: ".bytes().chain(std::iter::repeat(b'a'));
        head.take(3_000).any(|byte| {
            let is_gone = |error: &std::io::Error| error.kind() != std::io::ErrorKind::WouldBlock;
            let sent = slow.write_all(&[byte]);
            sent.is_err() || slow.read(&mut [0]).map_or_else(|error| is_gone(&error), |read| read == 0)
        })
    });
    for socket in [silent, idle] {
        tokio::task::spawn_blocking(move || until_cut(socket)).await.expect("cut");
    }
    assert!(dripping.await.expect("no panic"), "it was not cut");
    // One that asks and asks and takes nothing of the answers.
    let greedy = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(address).expect("a connection");
        socket.set_write_timeout(Some(Duration::from_secs(60))).expect("a limit");
        let ask = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
        (0..1_000_000).find_map(|_| socket.write_all(ask).err())
    });
    let cut = greedy.await.expect("no panic").expect("it was not cut").kind();
    assert!(matches!(cut, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe), "{cut:?}");
    assert_eq!(get(address, "/livez").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_told_so_and_whether_the_server_lives() {
    let mut options = ServerOptions::default();
    options.connections_max = 3;
    let stage = Stage::with(options).await;
    let (address, stop, served) = serving(&stage).await;
    let mut held: Vec<_> = (0..3).map(|_| asked(address, "/livez").0).collect();
    let (socket, text) = asked(address, "/api/v1/runs");
    let is_told =
        text.starts_with("HTTP/1.1 503") && text.contains("SW9516") && text.contains("retry-after: 1");
    assert!(is_told && text.contains("connection: close"), "{text}");
    until_cut(socket);
    // Even when more than are told at once say nothing at all.
    let _silent: Vec<_> = (0..40).map(|_| TcpStream::connect(address).expect("a connection")).collect();
    for path in ["/livez", "/readyz", "/metrics"] {
        let (socket, text) = asked(address, path);
        assert!(text.starts_with("HTTP/1.1 200"), "{path}: {text}");
        drop(socket);
    }
    held.pop();
    let free = async { while get(address, "/api/v1/whoami").await.status() != 200 {} };
    tokio::time::timeout(Duration::from_secs(60), free).await.expect("a place that was left is taken");
    // Connections without a request do not hold the end up.
    stop.send(()).expect("it serves");
    let served = tokio::time::timeout(Duration::from_secs(8), served).await;
    served.expect("before the grace time is over").expect("no panic").expect("it has stopped");
}
