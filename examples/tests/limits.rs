//! What the example promises: the queue's limits are kept, and starts in a row count once.

use std::path::Path;
use std::process::{Command, Output};

fn limits(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limits"));
    command.current_dir(folder).env_remove("STEPWELL_STORE").env_remove("RUST_LOG").args(arguments);
    command.output().expect("the program starts")
}

#[test]
fn mails_are_sent_within_the_limits_of_their_queue_on_every_store_of_one_process() {
    for store in ["file:./data", "sled:./data", "memory:"] {
        let folder = tempfile::tempdir().expect("a folder");
        let output = limits(folder.path(), &["--store", store]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(
            said.contains("15 starts made 13 mails; at most 3 at once, at most 1 to one person"),
            "{said}"
        );
        assert!(
            said.contains("change 3") && !said.contains("change 1") && !said.contains("change 2"),
            "{said}"
        );
    }
}

#[test]
fn a_limit_that_is_none_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = limits(folder.path(), &["--store", "memory:", "--at-once", "0"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("concurrency must be 1 to 64"), "{told}");
}
