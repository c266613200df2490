//! The harnesses find the bugs that they are there to find, and find nothing where there is none.

use std::process::Command;

use stepwell_contract::seeded::Bug;
use stepwell_tests::report::passes;

/// The harness that has to find a bug, how it is run, and a word of what it then says.
fn hunter(bug: Bug) -> (&'static str, &'static [&'static str], &'static str) {
    let points = env!("CARGO_BIN_EXE_kill_points");
    let faults = env!("CARGO_BIN_EXE_io_faults");
    let programs = env!("CARGO_BIN_EXE_programs");
    let zombies = env!("CARGO_BIN_EXE_zombies");
    match bug {
        Bug::AckBeforeSync => {
            (points, &["--store", "file", "--points", "8", "--least", "4"], "before the sync")
        }
        Bug::AttemptCountedAfter => {
            (points, &["--store", "file", "--points", "8", "--least", "4"], "before it was counted")
        }
        Bug::SyncRetried => {
            (faults, &["--points", "2", "--least", "20"], "after a failed sync it acknowledged")
        }
        Bug::VersionIgnored => (zombies, &["--zombies", "20"], "a stale blind write"),
        Bug::ParentNotTold => (
            programs,
            &["--store", "simulated", "--programs", "200"],
            "an integrity check: error parent_not_told",
        ),
        Bug::NonceIgnored => (zombies, &["--zombies", "20"], "a stale same counter"),
    }
}

#[test]
fn each_planted_bug_is_found_by_its_harness() {
    let mut found = 0;
    for bug in Bug::ALL {
        let (binary, arguments, word) = hunter(bug);
        let output = Command::new(binary).args(arguments).args(["--plant", bug.as_str()]).output();
        let output = output.expect("the harness starts");
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success(), "{}: not found\n{said}{told}", bug.as_str());
        assert!(told.contains(word), "{}: found, but not for what it is\n{said}{told}", bug.as_str());
        assert!(said.contains("REPRO: "), "{said}");
        found += 1;
    }
    println!("HARNESS name=seeded_bugs found={found} of={} violations=0", Bug::ALL.len());
}

#[test]
fn the_same_harnesses_find_nothing_where_nothing_is_planted() {
    for bug in [Bug::AckBeforeSync, Bug::SyncRetried, Bug::NonceIgnored] {
        let (binary, arguments, _) = hunter(bug);
        passes(binary, arguments);
    }
}
