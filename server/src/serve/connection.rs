//! One connection: answered until it ends, stands still, or the server stops.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Largest head of a request, and most that is read ahead of a connection, in bytes.
const READ_BYTES_MAX: usize = 64 << 10;
/// How long a connection beyond the limit may take to say what it wants.
const SPARE_ASKS_IN: Duration = Duration::from_secs(2);
/// How long it may last.
const SPARE_LASTS: Duration = Duration::from_secs(5);

/// Marks a request of a connection beyond the limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IsSpare;

/// A connection that was accepted.
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) peer: SocketAddr,
    /// Whether it is one beyond the limit: it has one short request, and is closed.
    pub(super) is_spare: bool,
}

/// How connections are answered.
#[derive(Clone)]
pub(super) struct Answering {
    pub(super) router: Router,
    /// How long a connection may stand still.
    pub(super) stall: Duration,
    /// No further request is taken once this is so.
    pub(super) stopping: CancellationToken,
    /// What is being answered is given up once this is so.
    pub(super) given_up: CancellationToken,
}

impl Answering {
    /// Answers a connection until it is over.
    pub(super) async fn answer(self, connection: Connection) {
        let Connection { socket, peer, is_spare } = connection;
        // Events are to arrive when they happen. A connection is as good without.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%peer, %error, "a connection gathers what is sent");
        }
        let mut socket = TimeoutStream::new(socket);
        socket.set_write_timeout(Some(self.stall));
        let router = self.router;
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            if is_spare {
                request.extensions_mut().insert(IsSpare);
            }
            router.clone().oneshot(request)
        });
        let mut served = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(if is_spare { self.stall.min(SPARE_ASKS_IN) } else { self.stall })
                .max_buf_size(READ_BYTES_MAX)
                .keep_alive(!is_spare)
                .serve_connection(TokioIo::new(Box::pin(socket)), service)
        );
        let until_over = async {
            tokio::select! {
                ended = served.as_mut() => return ended,
                () = self.stopping.cancelled() => served.as_mut().graceful_shutdown(),
            }
            served.await
        };
        let too_long = async {
            match is_spare {
                true => tokio::time::sleep(SPARE_LASTS).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = until_over => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "a connection was cut");
                }
            }
            () = too_long => tracing::debug!(%peer, "a connection beyond the limit was cut"),
            () = self.given_up.cancelled() => {}
        }
    }
}
