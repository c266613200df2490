//! How long the pages of a run take that has very many items.

use std::path::Path;

use super::call::Caller;
use super::site::{Site, timed};
use crate::Failure;
use crate::flow;
use crate::line::Line;
use crate::place::{Kind, Place};

/// Items of the run.
const ITEMS: u64 = 10_000;

/// What is asked for, by what it is called in the results.
const PAGES: [(&str, &str); 12] = [
    ("overview", "/runs/large"),
    ("graph", "/runs/large/graph"),
    ("steps", "/runs/large/steps"),
    ("items", "/runs/large/steps?step=echo"),
    ("one-item", "/runs/large/steps?step=echo%5B9000%5D"),
    ("timeline", "/runs/large/timeline"),
    ("logs", "/runs/large/logs"),
    ("data", "/runs/large/data"),
    ("audit", "/runs/large/audit"),
    ("api-progress", "/api/v1/runs/large/progress"),
    ("api-graph", "/api/v1/runs/large/graph"),
    ("api-steps", "/api/v1/runs/large/steps?limit=200"),
];

/// Makes the run and measures its pages.
pub(crate) async fn measure(kind: Kind, data: &Path, redis: Option<&str>) -> Result<(), Failure> {
    let place = Place::new(kind, data, redis)?;
    let engine = flow::engine(place.open().await?, 4, 15_000, None).await?;
    let items: Vec<u64> = (0..ITEMS).collect();
    let output: Vec<u64> = engine.start_run("map", "large", &items).await?.result().await?;
    if output != items {
        return Err("a wrong result of the map".into());
    }
    let site = Site::open(&engine).await?;
    let mut caller = Caller::connect(&site.address).await?;
    for (name, path) in PAGES {
        let line = Line::of("large", kind).text("items", ITEMS).text("page", name);
        println!("{}", timed(&mut caller, path, line).await?.0);
    }
    drop(caller);
    site.close().await?;
    engine.shutdown().await;
    Ok(())
}
