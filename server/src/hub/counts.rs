//! How many runs are in each status, watched.

use std::time::Duration;

use axum::body::Bytes;
use stepwell::Error;
use stepwell::contract::TenantId;

use crate::app::App;
use crate::hub::{Hub, Looked, Seen, Topic, Topics, frame};
use crate::reads::{by_status, is_of};

/// Whose runs; `None` for everyone's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CountsAsked(pub(crate) Option<TenantId>);

/// How many there are, as the event that tells it.
#[derive(Debug)]
pub(crate) struct Counts(pub(crate) Bytes);

impl Topic for CountsAsked {
    type Seen = Counts;
    const EVERY: Duration = Duration::from_secs(1);

    fn topics(hub: &Hub) -> &Topics<Self, Counts> {
        &hub.counts
    }

    async fn look(&self, app: &App, before: Seen<Counts>) -> Result<Looked<Counts>, Error> {
        let tally = app.reads().tally(app.engine()).await?;
        let counts = frame::event("tally", &by_status(&tally, |counted| is_of(self.0.as_ref(), counted)));
        let is_same = before.is_some_and(|before| before.0 == counts);
        Ok(if is_same { Looked::Same } else { Looked::New(Counts(counts)) })
    }
}
