//! The audit log: everything that happened, to whichever run.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::value::StrDeserializer;
use stepwell::contract::{Name, Order, RunId, RunKey, TenantId};
use stepwell::run::notes::LogLevel;
use stepwell::{Actor, Category, EventCursor, EventFilter};
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::listing::{self, List};
use crate::problem::Problem;
use crate::request::{Params, Who};
use crate::routes::Routes;
use crate::view::Listed;
use crate::view::entry::FoundEntry;
use crate::window;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Viewer, routes!(search))
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditParams {
    /// Of this run only.
    pub(crate) run: Option<String>,
    /// Of runs of this workflow only.
    pub(crate) workflow: Option<String>,
    /// Of one of these categories, with commas between: `state`, `step`, `operator`, `store`, `validation`, `performance`,
    /// `error`, `consistency`.
    pub(crate) category: Option<String>,
    /// Of this level or a higher one: `debug`, `info`, `warn`, `error`.
    pub(crate) level: Option<String>,
    /// With this code, such as `SW1203`.
    pub(crate) code: Option<String>,
    /// By this actor: `engine`, `program`, `run:RUN`, or the name of a person; `person:NAME` for one with such a name.
    pub(crate) actor: Option<String>,
    /// Not before this time: a span like `2h` that counts back from now, or a time.
    pub(crate) since: Option<String>,
    /// Before this time.
    pub(crate) until: Option<String>,
    /// Whose text, kind, code or step has this in it, in capital or small letters.
    pub(crate) text: Option<String>,
    /// `newest` or `oldest` runs first, and the entries of each in the same order.
    #[param(pattern = "^(newest|oldest)$")]
    pub(crate) order: Option<String>,
    /// How many at most, from 1 to 200; 50 when missing.
    #[param(minimum = 1, maximum = 200)]
    pub(crate) limit: Option<usize>,
    /// Where the page begins: the `next_cursor` of the one before.
    pub(crate) cursor: Option<String>,
}

impl AuditParams {
    /// What the engine is asked.
    pub(crate) fn filter(
        &self,
        tenant: Option<&TenantId>,
        now: stepwell::contract::Timestamp,
    ) -> Result<EventFilter, Problem> {
        let of = tenant.cloned().unwrap_or_default();
        let run = self.run.as_ref().map(|run| RunId::new(run).map(|run| RunKey::new(of.clone(), run)));
        let categories = self.category.as_deref().unwrap_or_default().split(',').map(str::trim);
        let categories = categories.filter(|word| !word.is_empty());
        Ok(EventFilter {
            run: run.transpose().map_err(Problem::bad)?,
            tenant: tenant.cloned(),
            workflow: self.workflow.as_ref().map(Name::new).transpose().map_err(Problem::bad)?,
            categories: categories
                .map(|word| word.parse::<Category>().map_err(Problem::bad))
                .collect::<Result<_, _>>()?,
            level: self.level.as_deref().map(|word| word_of::<LogLevel>("level", word)).transpose()?,
            code: self.code.as_deref().map(code),
            actor: self.actor.as_deref().map(|text| actor(text, &of)).transpose()?,
            since: window::maybe("since", self.since.as_deref(), now)?,
            until: window::maybe("until", self.until.as_deref(), now)?,
            text: self.text.clone(),
            order: match self.order.as_deref() {
                None | Some("newest") => Order::Newest,
                Some("oldest") => Order::Oldest,
                Some(other) => {
                    return Err(Problem::bad(format!("`order` is {other:?}; it is `newest` or `oldest`")));
                }
            },
            ..EventFilter::default()
        })
    }
}

/// What a word of a list of words means.
fn word_of<T: DeserializeOwned>(name: &str, word: &str) -> Result<T, Problem> {
    let read = T::deserialize(StrDeserializer::<serde::de::value::Error>::new(word));
    read.map_err(|error| Problem::bad(format!("`{name}`: {error}")))
}

/// A code as it is stored: those of the engine are in capital letters, others as their steps name them.
fn code(text: &str) -> String {
    let is_own = text.get(..2).is_some_and(|front| front.eq_ignore_ascii_case("sw"));
    if is_own { text.to_ascii_uppercase() } else { text.to_owned() }
}

fn actor(text: &str, tenant: &TenantId) -> Result<Actor, Problem> {
    Ok(match text.split_once(':') {
        Some(("run", run)) => Actor::Run(RunKey::new(tenant.clone(), RunId::new(run).map_err(Problem::bad)?)),
        Some(("person", name)) => Actor::Person(name.to_owned()),
        _ => match text {
            "engine" => Actor::Engine,
            "program" => Actor::Program,
            name => Actor::Person(name.to_owned()),
        },
    })
}

/// Searches what happened to runs. Runs come by when they were made, and the entries of each by their place in its journal. A
/// page may have fewer entries than asked for, even none, and a next one.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", operation_id = "searchAudit",
    params(AuditParams, ("tenant" = Option<String>, Query, description = "Only this tenant's runs; a token of one tenant sees only its own.")),
    responses((status = 200, description = "A page of entries.", body = Listed<FoundEntry>)))]
pub(crate) async fn search(
    State(app): State<App>,
    who: Who,
    Params(params): Params<AuditParams>,
) -> Result<Json<Listed<FoundEntry>>, Problem> {
    let filter = params.filter(who.tenant.as_ref(), app.engine().now())?;
    let list = List::of("audit", &(&who.tenant, AuditParams { limit: None, cursor: None, ..params.clone() }));
    let after = list.cursor::<EventCursor>(params.cursor.as_deref())?;
    // A cursor names a run: one that the caller does not see is not gone on with.
    if after.as_ref().is_some_and(|after| !who.access.sees(&after.run.key)) {
        return Err(Problem::bad("`cursor` is not one that a page of this list gave as `next_cursor`"));
    }
    let page = app.engine().search(&filter, after, listing::limit(params.limit)?).await?;
    Ok(Json(Listed {
        items: page.items.into_iter().map(FoundEntry::of).collect(),
        next_cursor: page.next.as_ref().map(|next| list.cursor_text(next)),
    }))
}
