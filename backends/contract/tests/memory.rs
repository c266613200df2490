//! The reference passes the laws.

mod stores;

stepwell_contract::conformance!(stores::Memory::new());

/// A law that is written and not listed would never run.
#[test]
fn every_law_of_the_kit_is_listed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance");
    let not_laws = ["mod", "laws", "sample", "store", "shaken"];
    let mut written = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the kit's sources are there") {
        let path = entry.expect("the folder can be read").path();
        let module = path.file_stem().and_then(|stem| stem.to_str()).expect("a source file").to_owned();
        if not_laws.contains(&module.as_str()) {
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("a source file can be read");
        for line in source.lines() {
            if let Some(law) = line.strip_prefix("pub async fn ").and_then(|rest| rest.split('(').next()) {
                written.push(format!("{module}::{law}"));
            }
        }
    }
    let mut listed: Vec<&str> = stepwell_contract::conformance::LAWS.to_vec();
    written.sort();
    listed.sort_unstable();
    assert_eq!(listed, written);
}
