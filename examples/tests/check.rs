//! What `check` promises: a release that cannot go on with a run says so before it takes any, and touches nothing.

use std::path::Path;
use std::process::Command;

fn check(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_check"));
    command.current_dir(folder).env_remove("STEPWELL_STORE").env_remove("RUST_LOG");
    let output =
        command.args(["--store", "file:./runs"]).args(arguments).output().expect("the program starts");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

#[test]
fn a_release_says_before_it_takes_any_run_with_which_it_cannot_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |arguments: &[&str]| check(folder.path(), arguments);
    for id in ["inv-1", "inv-2"] {
        assert_eq!(check(&["begin", id]), (Some(0), format!("{id} waits to be paid\n")));
    }
    assert_eq!(check(&["look"]), (Some(0), "2 fine, 0 need migration, 0 blocked\n".to_owned()));
    let (code, text) = check(&["look", "--release", "2"]);
    assert_eq!(code, Some(1), "{text}");
    let said = "default/inv-1  invoice 1  waiting  needs migration: book cannot read the output of total, stored in \
                version 1 where this code has version 2: there is no migration from version 1";
    assert!(text.contains(said), "{text}");
    assert!(text.ends_with("0 fine, 2 need migration, 0 blocked\n"), "{text}");
    assert_eq!(check(&["look", "--release", "3"]).0, Some(0));

    // Who does not look holds the run, and the next release goes on with it.
    let (code, text) = check(&["pay", "inv-1", "--release", "2"]);
    assert!(code == Some(1) && text.contains("book cannot read the output of total"), "{text}");
    let booked = |id: &str| (Some(0), format!("{id}: Ada has paid 27000 EUR-cents\n"));
    for id in ["inv-1", "inv-2"] {
        assert_eq!(check(&["pay", id, "--release", "3"]), booked(id));
    }
}
