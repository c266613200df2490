//! What the tutorial promises: whatever step the process dies in, the order is finished and charged once.

use std::path::Path;
use std::process::{Command, Output};

fn order(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_order"));
    command.current_dir(folder).env_remove("STEPWELL_STORE").env_remove("RUST_LOG").args(arguments);
    command.output().expect("the program starts")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn charges(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("order-ledger.jsonl")).map_or(0, |ledger| ledger.lines().count())
}

#[test]
fn an_order_is_charged_once_whatever_step_its_process_dies_in() {
    for store in ["file:./data", "sled:./data"] {
        for step in ["validate", "charge", "pack", "invoice", "ship"] {
            let folder = tempfile::tempdir().expect("a folder");
            let died = order(folder.path(), &["--store", store, "--crash-at", step]);
            assert_eq!(died.status.code(), None, "it dies of a signal: {}", text(&died));
            let restored = match step {
                "validate" => 0,
                "charge" => 1,
                "pack" | "invoice" => 2,
                _ => 4,
            };
            let done = order(folder.path(), &["--store", store]);
            assert_eq!(done.status.code(), Some(0), "{step}: {}", text(&done));
            // A sibling of the step that died may have been written or not.
            let shown = text(&done).matches(" restored ").count();
            assert!((restored..=restored + 1).contains(&shown), "{step}: {}", text(&done));
            assert!(text(&done).contains("attempt 2"), "{step} runs again: {}", text(&done));
            assert!(text(&done).contains("charged once"), "{}", text(&done));
            assert_eq!(charges(folder.path()), 1, "{step}");
        }
    }
}

#[test]
fn an_order_that_is_done_is_read_and_nothing_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = order(folder.path(), &[]);
    assert_eq!(first.status.code(), Some(0), "{}", text(&first));
    let again = order(folder.path(), &["--crash-at", "charge"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert!(text(&again).contains("done before") && !text(&again).contains(" ran "), "{}", text(&again));
    assert_eq!(order(folder.path(), &["--id", "order-7"]).status.code(), Some(0));
    assert_eq!(charges(folder.path()), 2, "one for each order");
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, expected) in [
        (&["--crash-at", "nowhere"][..], "possible values"),
        (&["--id", "a b"], "give another one with --id"),
        (&["--store", "data"], "did you mean `file:data`?"),
    ] {
        let refused = order(folder.path(), arguments);
        assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
        assert!(text(&refused).contains(expected), "{}", text(&refused));
    }
    let help = order(folder.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help).contains("order --crash-at charge"), "{}", text(&help));
}
