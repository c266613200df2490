//! The operations of the REST API, one file for each thing operated on.

pub(crate) mod audit;
mod changes;
pub(crate) mod codes;
mod documents;
mod events;
pub(crate) mod fork;
mod graph;
pub(crate) mod groups;
pub(crate) mod health;
pub(crate) mod history;
mod integrity;
mod metrics;
mod outside;
mod overview;
mod posted;
pub(crate) mod queues;
pub(crate) mod repetition;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod selections;
pub(crate) mod signals;
mod stats;
mod steps;
pub(crate) mod store;
mod unfinished;
pub(crate) mod values;
pub(crate) mod verbs;
mod whoami;
mod why;
pub(crate) mod workers;
pub(crate) mod workflows;

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, SecurityRequirement};

use crate::problem::Problem;
use crate::routes::Routes;

/// Every operation.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .and(audit::routes())
        .and(changes::routes())
        .and(codes::routes())
        .and(documents::routes())
        .and(events::routes())
        .and(fork::routes())
        .and(graph::routes())
        .and(groups::routes())
        .and(health::routes())
        .and(history::routes())
        .and(integrity::routes())
        .and(metrics::routes())
        .and(outside::routes())
        .and(overview::routes())
        .and(posted::routes())
        .and(queues::routes())
        .and(runs::routes())
        .and(schedules::routes())
        .and(selections::routes())
        .and(signals::routes())
        .and(stats::routes())
        .and(steps::routes())
        .and(store::routes())
        .and(unfinished::routes())
        .and(values::routes())
        .and(verbs::routes())
        .and(whoami::routes())
        .and(why::routes())
        .and(workers::routes())
        .and(workflows::routes())
}

/// Says of the document what no operation says: the title, how callers are known, the form of refusals.
pub(crate) fn describe(document: &mut OpenApi) {
    document.info = InfoBuilder::new()
        .title("Stepwell")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Durable workflows: see them and steer them."))
        .build();
    let components = document.components.get_or_insert_with(|| ComponentsBuilder::new().build());
    components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    let (name, schema) =
        (<Problem as utoipa::ToSchema>::name().into_owned(), <Problem as utoipa::PartialSchema>::schema());
    components.schemas.insert(name, schema);
    document.security = Some(vec![SecurityRequirement::new::<_, [String; 0], String>("token", [])]);
}
