//! The description of the API agrees with itself: generators of clients take it as it is.

mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use stage::Stage;
use stepwell_server::{App, ServerOptions};

/// What a document refers to.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn what_the_document_refers_to_is_in_it() {
    let document = serde_json::to_value(App::openapi()).expect("a document");
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 50, "{found:?}");
    for reference in found {
        let at = reference.strip_prefix('#').expect("in the document");
        assert!(document.pointer(at).is_some(), "{reference} is not there");
    }
}

/// The names of the types of a source that have a schema.
fn with_schema(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut has_schema = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[derive(") {
            has_schema = line.contains("ToSchema");
        }
        let line = line
            .trim_start_matches("pub(super) ")
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub ");
        let item = line.strip_prefix("struct ").or_else(|| line.strip_prefix("enum "));
        if let Some(item) = item {
            let name: String = item.chars().take_while(|c| c.is_alphanumeric()).collect();
            found.extend(has_schema.then_some(name));
            has_schema = false;
        }
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn a_name_of_the_document_is_of_one_type() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for name in files.iter().flat_map(|file| with_schema(file)) {
        *counts.entry(name).or_default() += 1;
    }
    assert!(counts.len() > 90, "{counts:?}");
    counts.retain(|_, types| *types > 1);
    assert_eq!(counts, BTreeMap::new());
}

#[tokio::test]
async fn the_document_says_what_a_body_may_be() {
    let stage = Stage::new().await;
    let document = stage.call("GET", "/openapi.json", None).await.json();
    let body = |path: &str| {
        let body = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"];
        let name = body["$ref"].as_str().unwrap_or_else(|| panic!("{path}: {body}"));
        document.pointer(&name[1..]).expect("a schema")["properties"].clone()
    };
    let run = body("/api/v1/runs");
    assert_eq!((&run["priority"]["minimum"], &run["priority"]["maximum"]), (&json!(-32768), &json!(32767)));
    assert!(run["run"]["pattern"].is_string() && run["delay_ms"]["maximum"].is_u64(), "{run}");
    assert!(body("/api/v1/workflows")["steps"]["items"]["$ref"].is_string());
    let too_large = &document["paths"]["/api/v1/runs"]["post"]["responses"]["413"]["description"];
    assert!(too_large.as_str().expect("text").contains("2097152 bytes"), "{too_large}");
}

#[tokio::test]
async fn a_client_made_of_the_document_asks_where_the_server_is() {
    let stage = Stage::with(ServerOptions::default().prefix("/stepwell")).await;
    let document = stage.call("GET", "/stepwell/openapi.json", None).await.json();
    assert_eq!(document["servers"], json!([{ "url": "/stepwell" }]));
}
