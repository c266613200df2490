//! The application behind a socket, until it is told to stop.

mod connection;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
pub(crate) use connection::IsSpare;
use connection::{Answering, Connection};

/// So many connections beyond the limit are told at once that there are too many; others wait until one of those was told.
const SPARE_MAX: usize = 32;
/// How long nothing is accepted after the system had no room for a connection.
const NO_ROOM_RESTS: Duration = Duration::from_secs(1);

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Others than this host could reach the server, and it would let anybody in.
    #[error(
        "{0} can be reached from other hosts, and no tokens are set: anybody could steer every run. Set tokens, or serve \
         127.0.0.1 and let others in by a proxy that knows who they are"
    )]
    Exposed(SocketAddr),
    /// The address cannot be listened at: it is in use, or not one of this host.
    #[error("cannot listen at {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
}

impl App {
    /// Listens at an address. Port 0 takes a free one: ask the listener which.
    ///
    /// # Errors
    /// [`ServeError::Exposed`] for an address that is not one of this host alone while no tokens are set;
    /// [`ServeError::Bind`].
    pub async fn bind(&self, address: SocketAddr) -> Result<TcpListener, ServeError> {
        self.may_serve(address)?;
        TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })
    }

    /// Serves until `shutdown` is done, or [`stop`](Self::stop) was called. Then no connection is accepted any more, streams of
    /// events end, connections without a request are closed, and requests have
    /// [`shutdown_grace_ms`](crate::ServerOptions::shutdown_grace_ms) to end; it returns when they have, or gives them up when
    /// that time is over. The engine goes on: it is the caller's to shut down, afterwards.
    ///
    /// There are at most [`connections_max`](crate::ServerOptions::connections_max) connections. One that comes beyond those
    /// has one request, which is refused with a code of its own; `/livez`, `/readyz` and `/metrics` are answered even then.
    ///
    /// # Errors
    /// [`ServeError::Exposed`] as for [`bind`](Self::bind); [`ServeError::Socket`].
    ///
    /// # Cancellation
    /// Dropping the future closes the listener; connections that were accepted are answered on.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        self.may_serve(listener.local_addr()?)?;
        let door = Door::of(self);
        tokio::select! {
            () = shutdown => self.stop(),
            () = self.stopping().cancelled() => {}
            never = door.accept(&listener) => match never {},
        }
        drop(listener);
        door.close(Duration::from_millis(self.options().shutdown_grace_ms)).await;
        Ok(())
    }

    fn may_serve(&self, address: SocketAddr) -> Result<(), ServeError> {
        // An IPv4 address in the form of an IPv6 one is that IPv4 address.
        let options = self.options();
        if address.ip().to_canonical().is_loopback() || !options.tokens.is_empty() || options.trust_everyone {
            return Ok(());
        }
        Err(ServeError::Exposed(address))
    }
}

/// Where connections come in, no more than there may be.
struct Door {
    answering: Answering,
    places: Arc<Semaphore>,
    spare: Arc<Semaphore>,
    open: TaskTracker,
}

impl Door {
    fn of(app: &App) -> Self {
        let options = app.options();
        let answering = Answering {
            router: app.alone(),
            stall: Duration::from_millis(options.stall_timeout_ms),
            stopping: app.stopping().clone(),
            given_up: CancellationToken::new(),
        };
        let places = options.connections_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            answering,
            places: Arc::new(Semaphore::new(places)),
            spare: Arc::new(Semaphore::new(SPARE_MAX)),
            open: TaskTracker::new(),
        }
    }

    async fn accept(&self, listener: &TcpListener) -> Infallible {
        loop {
            let (socket, peer) = accepted(listener).await;
            let (place, is_spare) = self.place().await;
            let answered = self.answering.clone().answer(Connection { socket, peer, is_spare });
            self.open.spawn(async move {
                answered.await;
                drop(place);
            });
        }
    }

    /// A place for a connection, and whether it is one beyond the limit.
    async fn place(&self) -> (Option<OwnedSemaphorePermit>, bool) {
        tokio::select! {
            biased;
            place = Arc::clone(&self.places).acquire_owned() => (place.ok(), false),
            place = Arc::clone(&self.spare).acquire_owned() => (place.ok(), true),
        }
    }

    /// Lets what is being answered end, for so long.
    async fn close(&self, grace: Duration) {
        self.open.close();
        if tokio::time::timeout(grace, self.open.wait()).await.is_err() {
            tracing::warn!("requests go on after {} ms of grace: they are given up", grace.as_millis());
            self.answering.given_up.cancel();
            self.open.wait().await;
        }
    }
}

/// The next connection.
async fn accepted(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // It was one connection's, which is gone.
            Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) => {
            }
            Err(error) => {
                tracing::error!(%error, "a connection could not be accepted");
                tokio::time::sleep(NO_ROOM_RESTS).await;
            }
        }
    }
}
