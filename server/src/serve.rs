//! The application behind a socket, until it is told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::app::App;

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
        source: std::io::Error,
    },
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Socket(#[from] std::io::Error),
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

    /// Serves until `shutdown` is done. Then no connection is accepted any more, streams of events end, and requests have
    /// [`shutdown_grace_ms`](crate::ServerOptions::shutdown_grace_ms) to end; it returns when they have, or when that time is
    /// over. The engine goes on: it is the caller's to shut down, afterwards.
    ///
    /// # Errors
    /// [`ServeError::Exposed`] as for [`bind`](Self::bind); [`ServeError::Socket`].
    ///
    /// # Cancellation
    /// Dropping the future closes the listener; requests that are being answered go on.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        self.may_serve(listener.local_addr()?)?;
        let (app, grace) = (self.clone(), Duration::from_millis(self.options().shutdown_grace_ms));
        let stop = async move {
            shutdown.await;
            app.stop();
        };
        let mut served =
            std::pin::pin!(axum::serve(listener, self.router()).with_graceful_shutdown(stop).into_future());
        let grace_is_over = async {
            self.stopping().cancelled().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            ended = &mut served => Ok(ended?),
            () = grace_is_over => {
                tracing::warn!("requests go on after {} ms of grace: they are given up", grace.as_millis());
                Ok(())
            }
        }
    }

    fn may_serve(&self, address: SocketAddr) -> Result<(), ServeError> {
        // An IPv4 address in the form of an IPv6 one is that IPv4 address.
        if address.ip().to_canonical().is_loopback() || !self.options().tokens.is_empty() {
            return Ok(());
        }
        Err(ServeError::Exposed(address))
    }
}
