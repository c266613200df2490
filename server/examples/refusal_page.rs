//! Writes what the codes of refused requests mean into `docs/refusals.md`.
#![forbid(unsafe_code)]

use std::path::Path;

fn main() -> std::io::Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/refusals.md");
    std::fs::write(file, stepwell_server::problem::document())
}
