//! How long the pages of lists take on a store of many runs.

use std::path::Path;
use std::time::Instant;

use stepwell::Engine;

use super::call::Caller;
use super::site::{Site, timed};
use crate::Failure;
use crate::line::Line;
use crate::place::{Kind, Place};
use crate::worker::Worker;

/// The pages, by what they are called in the results.
const PAGES: [(&str, &str); 13] = [
    ("runs", "/runs"),
    ("failed", "/runs?q=status%3Afailed"),
    ("succeeded", "/runs?q=status%3Asucceeded"),
    ("unfinished", "/runs?q=is%3Aunfinished"),
    ("workflow", "/runs?q=workflow%3Aworkflow-3"),
    ("rare-workflow", "/runs?q=workflow%3Arare"),
    ("failed-of-workflow", "/runs?q=status%3Afailed+workflow%3Aworkflow-3"),
    ("oldest", "/runs?order=oldest"),
    ("rare-tag", "/runs?q=tag%3Acustomer%3D7"),
    ("api", "/api/v1/runs"),
    ("overview", "/"),
    ("groups", "/groups"),
    ("queues", "/queues"),
];

/// Fills a store, closes it, and measures in a new process.
pub(crate) async fn measure(kind: Kind, runs: u64, data: &Path, redis: Option<&str>) -> Result<(), Failure> {
    let place = Place::new(kind, data, redis)?;
    let mut filler = Worker::start(&["fill-list", &place.url(), &runs.to_string()])?;
    filler.hear("filled")?;
    filler.wait()?;
    let mut looker = Worker::start(&["look-pages", &place.url()])?;
    while let Some(text) = looker.line()? {
        if let Some(measured) = text.strip_prefix("BENCH ") {
            println!("{} {measured}", Line::of("pages", kind).text("runs", runs));
        }
    }
    looker.wait()
}

/// The process that serves the pages and asks for them.
pub(crate) async fn look(url: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    let backend = stepwell_backends::open(url).await?;
    let open_ms = begun.elapsed().as_secs_f64() * 1e3;
    let engine = Engine::builder(backend).start().await?;
    println!("{}", Line::default().text("page", "none").figure("open_ms", open_ms));
    let site = Site::open(&engine).await?;
    let mut caller = Caller::connect(&site.address).await?;
    for (name, path) in PAGES {
        let (line, page) = timed(&mut caller, path, Line::default().text("page", name)).await?;
        println!("{line}");
        if name == "runs" {
            let next = next_of(&page).ok_or("the list has no next page")?;
            println!("{}", timed(&mut caller, &next, Line::default().text("page", "next")).await?.0);
        }
    }
    drop(caller);
    site.close().await?;
    engine.shutdown().await;
    Ok(())
}

/// The address of the next page of a list.
fn next_of(page: &str) -> Option<String> {
    let hrefs = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    hrefs
        .filter(|href| href.contains("cursor="))
        .map(|href| href.replace("&amp;", "&").replace("&#38;", "&"))
        .next()
}
