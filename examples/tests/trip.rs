//! What `trip` promises: all is booked or nothing is, also when the program is started again.

use std::process::Command;

use tempfile::TempDir;

fn run(folder: &TempDir, store: &str, line: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trip"));
    command.current_dir(folder.path()).env_remove("STEPWELL_STORE").env_remove("RUST_LOG");
    let output = command.args(["--store", store]).args(line.split(' ')).output().expect("the program starts");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().expect("it ends by itself"), said)
}

#[test]
fn a_trip_is_booked_whole_or_what_was_booked_is_cancelled_the_latest_first() {
    for store in ["file:./runs", "sled:./runs"] {
        let folder = tempfile::tempdir().expect("a folder");
        let (code, said) = run(&folder, store, "book alps");
        assert_eq!(code, 0, "{said}");
        for booked in [
            "flight as default/alps.flight/hold",
            "hotel as default/alps.hotel/hold",
            "car as default/alps.car/hold",
        ] {
            assert!(said.contains(booked), "{booked:?} in {said}");
        }
        // The same id again is the same trip.
        assert_eq!(run(&folder, store, "book alps"), (code, said));

        let (code, said) = run(&folder, store, "book coast --fail payment");
        assert_eq!(code, 1, "{said}");
        let undone: Vec<&str> = said.lines().filter(|line| line.ends_with("is cancelled")).collect();
        assert_eq!((undone.len(), undone[0]), (3, "coast: the car is cancelled"), "{said}");
        assert!(said.contains("the card was refused"), "{said}");
        let (_, said) = run(&folder, store, "show coast");
        assert!(said.contains("undoing") && said.ends_with("coast is failed\n"), "{said}");

        let (code, said) = run(&folder, store, "book fjord --fail hotel");
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("no hotel is left") && !said.contains("the car is cancelled"), "{said}");
    }
}
