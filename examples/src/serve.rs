//! The dashboard of a program's own runs, beside its work: one router over the same engine.

use std::net::{Ipv4Addr, SocketAddr};

use stepwell::Engine;
use stepwell_server::{App, ServeError, ServerOptions};
use tokio::task::JoinHandle;

use crate::exit::{self, Trouble};
use crate::signals::Stop;

/// The port when nobody names one.
const PORT: u16 = 8080;

/// Whether the runs are shown.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeFlag {
    /// Show the runs live in a browser, and go on after the work is done, until Ctrl-C [default address: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT", num_args = 0..=1)]
    serve: Option<Option<SocketAddr>>,
}

/// A dashboard that is served.
#[derive(Debug)]
pub struct Dashboard {
    address: SocketAddr,
    served: JoinHandle<Result<(), ServeError>>,
}

impl ServeFlag {
    /// Serves the dashboard of an engine until the program is told to stop; `None` when that was not asked for.
    ///
    /// # Errors
    /// [`Trouble`] when the address cannot be listened at.
    pub async fn start(&self, engine: &Engine, stop: &Stop) -> Result<Option<Dashboard>, Trouble> {
        let Some(address) = self.serve else { return Ok(None) };
        let address = address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
        let not_served = |error| {
            Trouble::new(
                exit::USAGE,
                "the dashboard is not served",
                error,
                "name a free address with --serve",
            )
        };
        let app = App::new(engine, ServerOptions::default()).map_err(|error| {
            Trouble::new(exit::USAGE, "the dashboard is not served", error, "mend its settings")
        })?;
        let listener = app.bind(address).await.map_err(not_served)?;
        let address = listener.local_addr().map_err(|error| not_served(error.into()))?;
        println!("its runs are shown at http://{address}");
        let stopped = stop.0.clone();
        let served = tokio::spawn(async move { app.serve(listener, stopped.cancelled_owned()).await });
        Ok(Some(Dashboard { address, served }))
    }
}

impl Dashboard {
    /// Goes on until the program is told to stop: what has failed can be read, mended and tried again meanwhile.
    ///
    /// # Errors
    /// [`Trouble`] when the socket failed.
    pub async fn stays(self) -> Result<(), Trouble> {
        if !self.served.is_finished() {
            println!("the work is done; its runs stay at http://{} until Ctrl-C", self.address);
        }
        let failed = |error: &dyn std::fmt::Display| {
            Trouble::new(exit::FAILED, "the dashboard ended early", error, "run the same command again")
        };
        match self.served.await {
            Ok(served) => served.map_err(|error| failed(&error)),
            Err(error) => Err(failed(&error)),
        }
    }
}
