//! `stepwell serve`.

use std::net::SocketAddr;

use stepwell::Engine;
use stepwell_server::{App, ServeError};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::Place;
use crate::args::own::ServeArgs;
use crate::client::not_open;
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::settings::Settings;
use crate::target;

/// Where it listens unless something else is said.
pub(super) const BIND: &str = "127.0.0.1:8080";

pub(super) async fn serve(args: &ServeArgs, place: &Place, settings: &Settings) -> Result<Exit, Failure> {
    if place.server.is_some() || place.tenant.is_some() {
        return Err(Failure::usage("`serve` is about a store: leave --server and --tenant out"));
    }
    let mut options = settings.server.options()?;
    if let Some(prefix) = &args.prefix {
        options.prefix.clone_from(prefix);
    }
    let prefix = options.prefix.clone();
    let address = match args.bind.or(settings.server.bind) {
        Some(address) => address,
        None => BIND.parse::<SocketAddr>().map_err(Failure::other)?,
    };
    let (url, origin) = target::store(place, settings)?;
    let backend = stepwell_backends::open_url(&url).await.map_err(|error| not_open(&url, &error))?;
    // It advances runs of posted workflows, and so it is one of the workers.
    let engine = Engine::builder(backend).start().await;
    let engine = engine.map_err(|error| Failure::Unreachable {
        what: format!("the store {url} does not answer: {}", chain(&error)),
        fix: format!("`stepwell doctor --store {url}` says more"),
    })?;
    let app = App::new(&engine, options).map_err(Failure::usage)?;
    let listener = app.bind(address).await.map_err(|error| not_served(&error))?;
    let at = listener.local_addr().map_err(Failure::other)?;
    tracing::info!("serving {url} ({origin}) at http://{at}{prefix}/");
    let draining = CancellationToken::new();
    let (stop, drain) = (draining.clone(), draining.clone());
    let serving = async move {
        let served = app.serve(listener, async move { drain.cancelled().await }).await;
        engine.shutdown().await;
        served
    };
    let mut serving = std::pin::pin!(serving);
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::other)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::other)?;
    loop {
        tokio::select! {
            served = &mut serving => {
                return served.map(|()| Exit::Ok).map_err(|error| not_served(&error));
            }
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if stop.is_cancelled() {
            tracing::warn!("a second signal: requests in flight are given up");
            return Ok(Exit::Interrupted);
        }
        tracing::info!(
            "draining: requests in flight end, no others are taken; a second signal stops at once"
        );
        stop.cancel();
    }
}

fn not_served(error: &ServeError) -> Failure {
    match error {
        ServeError::Exposed(_) => Failure::Refused {
            what: chain(error),
            fix: "`stepwell token new NAME --role operator` makes a token and the lines for stepwell.toml"
                .to_owned(),
        },
        error => Failure::other(chain(error)),
    }
}
