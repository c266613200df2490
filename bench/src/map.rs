//! One run whose map has many items that do nothing.

use std::path::Path;
use std::time::Instant;

use crate::Failure;
use crate::flow::{self, MAP_AT_ONCE};
use crate::line::Line;
use crate::meter::median;
use crate::place::{Kind, Place};

/// The two sizes that are compared.
const ITEMS: [u64; 2] = [1_000, 10_000];

/// Measures both sizes and prints a line for each.
pub(crate) async fn measure(
    kind: Kind,
    rounds: usize,
    data: &Path,
    redis: Option<&str>,
) -> Result<(), Failure> {
    let place = Place::new(kind, data, redis)?;
    let engine = flow::engine(place.open().await?, 4, 15_000, None).await?;
    let mut times_ms = [Vec::new(), Vec::new()];
    // The first round warms up.
    for round in 0..=rounds {
        for (items, times) in ITEMS.iter().zip(&mut times_ms) {
            let input: Vec<u64> = (0..*items).collect();
            let begun = Instant::now();
            let run = engine.start_run("map", &format!("map-{items}-{round}"), &input).await?;
            let output: Vec<u64> = run.result().await?;
            let took_ms = begun.elapsed().as_secs_f64() * 1e3;
            if output != input {
                return Err("a wrong result of the map".into());
            }
            if round > 0 {
                times.push(took_ms);
            }
        }
    }
    engine.shutdown().await;
    let [small, large] = times_ms.map(median);
    println!(
        "{}",
        Line::of("map", kind)
            .text("concurrency", MAP_AT_ONCE)
            .figure("ms_1000", small)
            .figure("ms_10000", large)
            .figure("growth", large / small)
            .figure("items_per_s", 1e6 / small)
    );
    Ok(())
}
