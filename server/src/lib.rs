//! Stepwell over HTTP: a REST API with live events and metrics, and a dashboard, as one [`axum::Router`].
//!
//! Every surface asks the engine the same things in the same words: the REST API is the set of operations, the dashboard shows
//! its views, and the command line is a client of it, over a socket or in the same process.
//!
//! ```
//! # async fn embed(engine: stepwell::Engine, rule: stepwell_server::access::token::TokenRule) -> Result<(), stepwell_server::OptionsError> {
//! use stepwell_server::{ServerOptions, router};
//!
//! let options = ServerOptions::default().prefix("/stepwell").token(rule);
//! let app: axum::Router = axum::Router::new().merge(router(&engine, options)?);
//! # Ok(()) }
//! ```
//!
//! # Rooms
//!
//! * [`access`]: who may do what: tokens, roles, tenants, where a request may come from.
//! * [`filter`]: the query language of lists: `status:failed step:charge tag:eu since:2h`.
//! * [`view`]: what is shown of runs and of the rest, as JSON with a stable form.
//! * [`json`]: values laid out for people, digit by digit.
//! * [`problem`]: how a request is refused: `application/problem+json` with a code and what to do.
//! * `api`: the operations, one file for each thing operated on.
//! * `ui`: the dashboard, one file for each page.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod access;
mod api;
mod app;
mod estimates;
pub mod filter;
mod headers;
mod hub;
mod journals;
pub mod json;
mod limits;
mod listing;
mod literal;
mod lookout;
mod memo;
mod metrics;
mod mount;
mod options;
pub mod problem;
mod reads;
mod request;
mod routes;
mod serve;
mod trail;
mod ui;
pub mod view;
mod window;

pub use app::{App, router};
pub use options::{OptionsError, ServerOptions};
pub use routes::Route;
pub use serve::ServeError;
pub use ui::spoken::quoted;
