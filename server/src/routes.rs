//! Routes with the role that each needs. There is no other way to mount an operation, so the table of routes is complete.

use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ContentBuilder, ObjectBuilder, Ref, Response, ResponseBuilder, Type};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::access::{Role, identify};
use crate::app::App;
use crate::headers;
use crate::problem::{Code, MEDIA_TYPE};

/// One operation: how it is asked for, and who may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The HTTP method.
    pub method: &'static str,
    /// The path, with `{names}` for what differs.
    pub path: String,
    /// The least role that may; `None` for everybody.
    pub role: Option<Role>,
}

/// The refusals that any operation can answer with, beside its own answers.
const COMMON: [Code; 16] = [
    Code::BadRequest,
    Code::Unauthorized,
    Code::Forbidden,
    Code::NotFound,
    Code::NoMethod,
    Code::Conflict,
    Code::Changed,
    Code::TooLarge,
    Code::MediaType,
    Code::Unprocessable,
    Code::ForeignHost,
    Code::TooMany,
    Code::Internal,
    Code::StoreDown,
    Code::TimedOut,
    Code::Refused,
];

/// Routes, and the table of them.
pub(crate) struct Routes {
    pub(crate) router: OpenApiRouter<App>,
    pub(crate) table: Vec<Route>,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self { router: OpenApiRouter::new(), table: Vec::new() }
    }

    /// Mounts operations of the REST API for whoever has the role.
    pub(crate) fn at(self, role: Role, operations: UtoipaMethodRouter<App>) -> Self {
        self.mount(Some(role), operations)
    }

    /// Mounts operations of the REST API for everybody: they tell nothing of any run.
    pub(crate) fn open(self, operations: UtoipaMethodRouter<App>) -> Self {
        self.mount(None, operations)
    }

    fn mount(mut self, role: Option<Role>, operations: UtoipaMethodRouter<App>) -> Self {
        let (schemas, mut paths, methods) = operations;
        for (path, item) in &mut paths.paths {
            let found = [
                ("GET", &mut item.get),
                ("POST", &mut item.post),
                ("PUT", &mut item.put),
                ("PATCH", &mut item.patch),
                ("DELETE", &mut item.delete),
            ];
            for (method, operation) in found {
                let Some(operation) = operation else { continue };
                self.table.push(Route { method, path: path.clone(), role });
                match role {
                    Some(role) => {
                        let extensions = operation.extensions.get_or_insert_default();
                        extensions.insert("x-role".to_owned(), role.as_str().into());
                    }
                    // Over the document's own: no token is needed.
                    None => operation.security = Some(Vec::new()),
                }
                if method == "GET" && headers::is_of_the_tag(path) {
                    let answers = &mut operation.responses.responses;
                    answers
                        .insert("304".to_owned(), ResponseBuilder::new().description(KNOWN).build().into());
                    operation.parameters.get_or_insert_default().push(if_none_match().into());
                }
                for code in COMMON {
                    let answers = &mut operation.responses.responses;
                    answers.entry(code.status().as_u16().to_string()).or_insert_with(|| problem(code).into());
                }
            }
        }
        let methods = guarded(role, methods);
        self.router = self.router.routes((schemas, paths, methods));
        self
    }

    /// Mounts a page of the dashboard for whoever has the role, or for everybody.
    pub(crate) fn page(
        mut self,
        role: Option<Role>,
        method: &'static str,
        path: &str,
        page: MethodRouter<App>,
    ) -> Self {
        let page = guarded(role, page);
        self.table.push(Route { method, path: path.to_owned(), role });
        self.router = self.router.route(path, page);
        self
    }

    /// All that others have mounted, too.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.table.extend(other.table);
        self
    }
}

fn guarded(role: Option<Role>, methods: MethodRouter<App>) -> MethodRouter<App> {
    match role {
        Some(role) => methods.route_layer(from_fn_with_state(role, identify::require)),
        None => methods,
    }
}

const KNOWN: &str = "It is what the caller has by the tag in `If-None-Match`.";

fn if_none_match() -> Parameter {
    ParameterBuilder::new()
        .name("If-None-Match")
        .parameter_in(ParameterIn::Header)
        .description(Some("The ETag of what the caller has."))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn problem(code: Code) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(code.title()).content(MEDIA_TYPE, content).build()
}
