//! An engine's dashboard and API behind a socket of this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use stepwell::Engine;
use stepwell_server::{App, ServeError, ServerOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::call::Caller;
use crate::Failure;
use crate::line::Line;
use crate::meter::median;

/// How often a page is asked for.
const ASKED: usize = 7;

/// What is served.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) address: String,
    stop: CancellationToken,
    served: JoinHandle<Result<(), ServeError>>,
}

impl Site {
    pub(super) async fn open(engine: &Engine) -> Result<Self, Failure> {
        let app = App::new(engine, ServerOptions::default())?;
        let listener = app.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let address = listener.local_addr()?.to_string();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let served = tokio::spawn(async move { app.serve(listener, stopped).await });
        Ok(Self { address, stop, served })
    }

    pub(super) async fn close(self) -> Result<(), Failure> {
        self.stop.cancel();
        Ok(self.served.await??)
    }
}

/// Asks for a page some times, and adds to the line how long that took the first time and in the middle, and how large it is.
/// Returns the page.
pub(super) async fn timed(caller: &mut Caller, path: &str, line: Line) -> Result<(Line, String), Failure> {
    let (mut times, mut page) = (Vec::new(), String::new());
    for _ in 0..ASKED {
        let begun = Instant::now();
        let bytes = caller.get(path).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        page = String::from_utf8(bytes.to_vec())?;
    }
    let kib = page.len() as f64 / 1024.0;
    let most = times.iter().copied().fold(0.0, f64::max);
    let line = line.figure("first_ms", times[0]).figure("median_ms", median(times));
    Ok((line.figure("most_ms", most).figure("kib", kib), page))
}
