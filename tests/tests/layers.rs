//! The shape of the workspace, kept by reading its manifests and sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Longest source file, in lines.
const LINES_MAX: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every file below `folder` whose name ends so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries.map(|entry| entry.expect("a readable folder")) {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                found.extend(files(&path, end));
            }
        } else if name.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The code of a source file, line by line: without comments, and without the tests at its end.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = text(path);
    let upto = text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len());
    let lines = text[..upto].lines().enumerate();
    let without_comment = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    lines
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(nth, line)| (nth + 1, without_comment(line)))
        .collect()
}

/// Lines of code below `folder` that hold one of the words, as `path:line: text`.
fn mentions(folder: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in files(&root().join(folder), ".rs") {
        for (nth, line) in code(&path) {
            if words.iter().any(|word| line.contains(word)) {
                let shown = path.strip_prefix(root()).expect("below the root").display();
                found.push(format!("{shown}:{nth}: {}", line.trim()));
            }
        }
    }
    found
}

fn none(found: &[String]) {
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The folders of the workspace's members.
fn members() -> Vec<String> {
    let manifest = text(&root().join("Cargo.toml"));
    let (_, list) = manifest.split_once("members = [").expect("members");
    let (list, _) = list.split_once(']').expect("their end");
    list.lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// The crates of this workspace that a member needs outside its own tests.
fn needs(member: &str) -> BTreeSet<String> {
    let manifest = text(&root().join(member).join("Cargo.toml"));
    let mut within = false;
    let mut found = BTreeSet::new();
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            within = section.ends_with("dependencies") && !section.contains("dev-dependencies");
        } else if within && line.starts_with("stepwell") {
            let end = line.find(['.', ' ', '=']).unwrap_or(line.len());
            found.insert(line[..end].to_owned());
        }
    }
    found
}

fn is_backend(member: &str) -> bool {
    member.starts_with("backends/") && member != "backends/contract"
}

fn contract_alone() -> BTreeSet<String> {
    BTreeSet::from(["stepwell-contract".to_owned()])
}

#[test]
fn the_engine_knows_no_backend() {
    assert_eq!(needs("engine"), contract_alone());
}

#[test]
fn a_backend_knows_the_contract_alone() {
    let backends: Vec<_> = members().into_iter().filter(|member| is_backend(member)).collect();
    assert!(backends.len() >= 3, "{backends:?}");
    for member in backends {
        assert_eq!(needs(&member), contract_alone(), "{member}");
    }
    assert_eq!(needs("backends/contract"), BTreeSet::new());
}

#[test]
fn a_run_is_decided_without_a_clock_a_store_or_a_thread() {
    none(&mentions(
        "engine/src/run",
        &[
            "async ",
            ".await",
            "tokio",
            "SystemTime",
            "Instant::now",
            "Backend",
            "fastrand",
            "std::fs",
            "std::thread",
        ],
    ));
}

#[test]
fn a_backend_never_looks_inside_a_payload() {
    for member in members().iter().filter(|member| is_backend(member)) {
        // A payload may be stored and copied; what makes sense of it is called one of these.
        none(&mentions(
            &format!("{member}/src"),
            &[
                "payload.decode",
                "payload().decode",
                "summary.decode",
                "payload.text().contains",
                "payload.text().find",
                "from_str(record.payload",
            ],
        ));
    }
}

#[test]
fn only_the_committer_writes() {
    let callers = mentions("engine/src", &["backend.commit(", "backend().commit("]);
    let others: Vec<_> = callers
        .iter()
        .filter(|line| {
            !["engine/src/exec/committer.rs", "engine/src/backup"].iter().any(|path| line.starts_with(path))
        })
        .cloned()
        .collect();
    none(&others);
    assert!(!callers.is_empty(), "the committer has moved: say where to");
}

#[test]
fn libraries_never_read_the_environment() {
    let words = ["env::var", "env::args", "env::set_var"];
    let mut found = Vec::new();
    for member in members()
        .iter()
        .filter(|member| is_backend(member) || matches!(member.as_str(), "engine" | "backends/contract"))
    {
        found.extend(mentions(&format!("{member}/src"), &words));
    }
    found.extend(mentions("backends/src", &words));
    // The server for tests, and the rule by which a binary finds its store.
    let allowed =
        ["backends/redis/src/test_server.rs", "backends/src/settings", "backends/contract/src/conformance"];
    found.retain(|line| !allowed.iter().any(|path| line.starts_with(path)) && !line.contains("/src/tests/"));
    none(&found);
}

#[test]
fn diagnosis_and_the_rules_of_the_integrity_check_are_pure() {
    let words = [
        "async fn",
        "async move",
        ".await",
        "std::fs",
        "TcpStream",
        "std::process",
        "SystemTime",
        "Instant::",
        "crate::exec",
    ];
    none(&mentions("engine/src/diagnosis", &words));
    none(&mentions("engine/src/integrity/rules", &words));
}

#[test]
fn execution_and_observation_do_not_know_each_other() {
    none(&mentions("engine/src/exec", &["crate::observe"]));
    none(&mentions("engine/src/observe", &["crate::exec"]));
}

#[test]
fn no_crate_has_unsafe_code() {
    for member in members() {
        let source = root().join(&member).join("src");
        let roots = ["lib.rs", "main.rs"].map(|name| source.join(name));
        let roots: Vec<_> = roots.into_iter().filter(|path| path.exists()).collect();
        assert!(!roots.is_empty(), "{member} has no root");
        for path in roots {
            assert!(text(&path).contains("#![forbid(unsafe_code)]"), "{}", path.display());
        }
        let manifest = text(&root().join(&member).join("Cargo.toml"));
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{member} does not take the workspace's lints"
        );
    }
}

#[test]
fn no_source_file_is_too_long_to_read() {
    let long = files(&root(), ".rs").into_iter().filter_map(|path| {
        let lines = text(&path).lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines", path.display()))
    });
    none(&long.collect::<Vec<_>>());
}

#[test]
fn the_licences_are_there() {
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "Cargo.lock"] {
        assert!(root().join(name).exists(), "{name}");
    }
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for path in files(&root(), ".md") {
        let folder = path.parent().expect("a folder");
        let text = text(&path);
        for (_, rest) in text.match_indices("](").map(|(at, _)| text.split_at(at + 2)) {
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            let target = target.split('#').next().unwrap_or_default();
            let is_elsewhere = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !is_elsewhere && !folder.join(target).exists() {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    none(&broken);
}
