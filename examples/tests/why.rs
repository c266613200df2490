//! What `why` promises: a failure is shown with its cause, what was seen, and what to do, and the cause is the right one.

use std::process::Command;

fn why(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_why"));
    command.current_dir(folder.path()).env_remove("STEPWELL_STORE").env_remove("RUST_LOG");
    let output =
        command.args(["--store", "file:./runs"]).args(arguments).output().expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn each_failure_is_shown_with_its_cause_and_what_to_do() {
    let cases = [
        ("missing-file", "SW3002 ", "prices/today.csv is not there.", "make the folder"),
        ("refused", "SW4001 ", "refuses connections now.", "Bring the service back"),
        ("bad-data", "SW1102 ", "The data is wrong at line 1, column 30.", "Correct the input"),
        ("panic", "SW1001 ", "It panicked at examples/src/bin/why.rs:", "Mend the code"),
    ];
    for (fault, code, seen, todo) in cases {
        let said = why(&[fault]);
        let card = said.split_once("\n\n").map_or("", |(_, card)| card);
        assert!(card.starts_with(code), "{fault}: {said}");
        assert!(card.contains(seen) && card.contains(todo), "{fault}: {said}");
    }
}

#[test]
fn a_diagnosis_can_be_read_in_japanese() {
    let said = why(&["refused", "--language", "ja"]);
    assert!(said.contains("はいま接続を拒否します。") && said.contains("対処:"), "{said}");
}
