//! Writes the pages of all codes into `docs/errors/`.
#![forbid(unsafe_code)]

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
    std::fs::create_dir_all(&folder)?;
    for (name, text) in stepwell::diagnosis::page::documents() {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
