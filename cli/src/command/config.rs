//! `stepwell config show`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::args::Place;
use crate::args::own::ConfigCommand;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::table::{As, Column, column};
use crate::settings::Settings;
use crate::target::{self, SERVER_VARIABLE, TOKEN_VARIABLE, Target};

const SETTINGS: &[Column] = &[
    column("SETTING", &["/name"], As::Word),
    column("VALUE", &["/value"], As::Text),
    column("FROM", &["/origin"], As::Text),
];

/// What is shown in place of a secret.
const MASKED: &str = "***";

pub(super) fn config(
    command: &ConfigCommand,
    place: &Place,
    settings: &Settings,
    output: Output,
) -> Result<Exit, Failure> {
    let ConfigCommand::Show(args) = command;
    let rows = rows(place, settings)?;
    let is_shown = |column: &&Column| args.origins || column.head != "FROM";
    let columns: Vec<_> = SETTINGS.iter().filter(is_shown).copied().collect();
    output.rows(&columns, &rows, "")?;
    Ok(Exit::Ok)
}

fn row(name: &str, value: impl ToString, origin: impl ToString) -> Value {
    json!({ "name": name, "value": value.to_string(), "origin": origin.to_string() })
}

/// Every setting with its value and where that came from.
pub(super) fn rows(place: &Place, settings: &Settings) -> Result<Vec<Value>, Failure> {
    let file = settings.file.as_ref().map(|file| file.path.display().to_string());
    let mut rows = Vec::new();
    match &file {
        Some(file) => {
            rows.push(row("config", file, if place.config.is_some() { "--config" } else { "found" }));
        }
        None => rows.push(row("config", "none", "there is no stepwell.toml here")),
    }
    match Target::choose(place, settings)? {
        Target::Server { url, origin, token } => {
            rows.push(row("server", url, origin));
            match token {
                Some(token) => rows.push(row("token", MASKED, token.origin)),
                None => rows.push(row("token", "none", format!("neither --token-file nor {TOKEN_VARIABLE}"))),
            }
        }
        Target::Store { url, origin } => rows.push(row("store", url, origin)),
    }
    if let (Some(flag), Some(_)) = (&place.store, target::variable(SERVER_VARIABLE)) {
        rows.push(row(SERVER_VARIABLE, "not used", format!("--store {flag} comes first")));
    }
    if let Some(tenant) = &place.tenant {
        rows.push(row("tenant", tenant, "--tenant"));
    }
    let in_file =
        |is_set: bool| if is_set { file.clone().unwrap_or_default() } else { "the default".to_owned() };
    let server = &settings.server;
    let options = server.options()?;
    let bind = server.bind.map_or_else(|| super::serve::BIND.to_owned(), |bind| bind.to_string());
    rows.push(row("server.bind", bind, in_file(server.bind.is_some())));
    rows.push(row("server.prefix", &options.prefix, in_file(server.prefix.is_some())));
    rows.push(row("server.hosts", options.hosts.join(", "), in_file(server.hosts.is_some())));
    rows.push(row("server.secure_cookies", options.secure_cookies, in_file(server.secure_cookies.is_some())));
    let span = |ms: u64| humantime::format_duration(Duration::from_millis(ms));
    rows.extend([
        row(
            "server.request_timeout",
            span(options.request_timeout_ms),
            in_file(server.request_timeout.is_some()),
        ),
        row("server.stall_timeout", span(options.stall_timeout_ms), in_file(server.stall_timeout.is_some())),
        row(
            "server.shutdown_grace",
            span(options.shutdown_grace_ms),
            in_file(server.shutdown_grace.is_some()),
        ),
        row("server.body_bytes_max", options.body_bytes_max, in_file(server.body_bytes_max.is_some())),
        row("server.connections_max", options.connections_max, in_file(server.connections_max.is_some())),
        row("server.requests_max", options.requests_max, in_file(server.requests_max.is_some())),
        row("server.streams_max", options.streams_max, in_file(server.streams_max.is_some())),
    ]);
    for token in &options.tokens {
        let tenant = token.tenant.as_ref().map(|tenant| format!(" of tenant {tenant}")).unwrap_or_default();
        let what = format!("{} is {}{tenant}, sha256 {MASKED}", token.name, token.role);
        rows.push(row("server.tokens", what, in_file(true)));
    }
    Ok(rows)
}
