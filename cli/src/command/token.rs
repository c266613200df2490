//! `stepwell token new`.

use serde_json::json;
use stepwell::contract::TenantId;
use stepwell_server::access::token::TokenRule;

use crate::args::Place;
use crate::args::own::{TokenArgs, TokenCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, note};

pub(super) fn token(command: &TokenCommand, place: &Place, output: Output) -> Result<Exit, Failure> {
    match command {
        TokenCommand::New(args) => new(args, place, output),
    }
}

fn new(args: &TokenArgs, place: &Place, output: Output) -> Result<Exit, Failure> {
    let tenant = place.tenant.as_deref().map(TenantId::new).transpose().map_err(Failure::usage)?;
    let drawn = TokenRule::draw(&args.name, args.role, tenant.clone());
    let (token, rule) = drawn.map_err(|error| Failure::other(format!("no random numbers: {error}")))?;
    let sha256 = rule.hash.to_string();
    if !output.is_for_people() {
        let tenant = tenant.map(|tenant| tenant.to_string());
        let row = json!({ "name": args.name, "role": args.role, "tenant": tenant, "sha256": sha256, "token": token });
        return output.rows(&[], &[row], "").map(|()| Exit::Ok);
    }
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let tenant = tenant.map(|tenant| format!("tenant = {}\n", quoted(tenant.as_str()))).unwrap_or_default();
    note("The token, shown once. Give it to its holder, as STEPWELL_TOKEN or in a file:");
    output.text(&token)?;
    note(&format!(
        "\nFor the server's stepwell.toml, which keeps only its hash:\n\n[[server.tokens]]\nname = {}\nrole = \"{}\"\n{tenant}sha256 = \"{sha256}\"",
        quoted(&args.name),
        args.role,
    ));
    Ok(Exit::Ok)
}
