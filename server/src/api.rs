//! The operations of the REST API, one file for each thing operated on.

mod runs;
pub(crate) mod verbs;

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, SecurityRequirement};

use crate::problem::Problem;
use crate::routes::Routes;

/// Every operation.
pub(crate) fn routes() -> Routes {
    Routes::new().and(runs::routes()).and(verbs::routes())
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
