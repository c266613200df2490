//! The dashboard: pages made on the server from the views of the REST API. Everything works without JavaScript; with it the
//! pages keep themselves up to date.

#[macro_use]
pub(crate) mod words;

mod ask;
mod assets;
mod audit;
mod bulk;
mod chart;
mod codes;
mod forms;
mod groups;
mod login;
mod overview;
pub(crate) mod page;
mod queues;
pub(crate) mod refusal;
pub(crate) mod run;
mod runs;
mod schedules;
mod seen;
mod settings;
mod sheet;
pub(crate) mod spoken;
mod start;
pub(crate) mod verbs;
mod workers;

use crate::routes::Routes;

/// Every page.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .and(ask::routes())
        .and(assets::routes())
        .and(audit::routes())
        .and(bulk::routes())
        .and(codes::routes())
        .and(groups::routes())
        .and(login::routes())
        .and(overview::routes())
        .and(queues::routes())
        .and(run::routes())
        .and(runs::routes())
        .and(schedules::routes())
        .and(settings::routes())
        .and(start::routes())
        .and(workers::routes())
}
