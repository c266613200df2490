//! What `photos` promises: the index has each photo once, in order, and a stop costs at most the photo in flight.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const PNG: &[u8] = include_bytes!("../data/photos/stepwell.png");
const PHOTOS: usize = 120;

fn photos(folder: &Path, store: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_photos"));
    command.current_dir(folder).env_remove("STEPWELL_STORE").env_remove("RUST_LOG");
    command.args(["--store", store]).args(arguments);
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// How often a photo was looked at.
fn looked_at(output: &Output) -> usize {
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.ends_with(".png")).count()
}

fn with_photos() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("in")).expect("made");
    for number in 0..PHOTOS {
        fs::write(folder.path().join(format!("in/{number:03}.png")), PNG).expect("written");
    }
    fs::write(folder.path().join("in/notes.txt"), "no photo").expect("written");
    folder
}

/// The index has each photo once, in order.
fn assert_index(folder: &Path) {
    let index = fs::read_to_string(folder.join("photos.jsonl")).expect("an index");
    let paths: Vec<String> = index
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a whole line"))
        .map(|entry| entry["path"].as_str().expect("a path").to_owned())
        .collect();
    let all: Vec<String> = (0..PHOTOS).map(|number| format!("{number:03}.png")).collect();
    assert_eq!(paths, all);
}

#[test]
fn a_process_that_dies_before_its_place_is_saved_does_that_one_photo_again() {
    for store in ["file:./runs", "sled:./runs"] {
        let folder = with_photos();
        let died = photos(folder.path(), store, &["in", "--crash-at", "30"]).output().expect("it starts");
        assert_eq!((died.status.code(), looked_at(&died)), (None, 30), "{}", text(&died));
        let done = photos(folder.path(), store, &["in"]).output().expect("it starts");
        assert_eq!(done.status.code(), Some(0), "{store}: {}", text(&done));
        assert!(text(&done).contains("goes on at photo 30 of 120; done again: 1"), "{}", text(&done));
        assert!(text(&done).contains("photos=120 broken=0 again=1 attempts=2"), "{}", text(&done));
        assert_eq!(looked_at(&done), PHOTOS - 29);
        assert_index(folder.path());
        let read = photos(folder.path(), store, &["in"]).output().expect("it starts");
        assert!(text(&read).contains("done before") && looked_at(&read) == 0, "{}", text(&read));
    }
}

#[test]
fn a_process_that_is_killed_again_and_again_does_at_most_one_photo_again_each_time() {
    for (store, seed) in [("file:./runs", 1), ("sled:./runs", 2)] {
        let folder = with_photos();
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut kills, mut looks) = (0, 0);
        let done = loop {
            let mut command = photos(folder.path(), store, &["in", "--pace-ms", "3"]);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
            if kills < 8 {
                std::thread::sleep(Duration::from_millis(random.u64(30..90)));
                kills += usize::from(child.try_wait().expect("its state is known").is_none());
                child.kill().expect("it is killed");
            }
            let ended = child.wait_with_output().expect("it ends");
            looks += looked_at(&ended);
            if ended.status.code().is_some() {
                break ended;
            }
        };
        assert_eq!(done.status.code(), Some(0), "{store}: {}", text(&done));
        assert!(kills > 0, "it was too quick to be killed");
        assert!(looks <= PHOTOS + kills, "{store}: {looks} looks at {PHOTOS} photos, {kills} kills");
        assert_index(folder.path());
    }
}

#[test]
fn a_signal_ends_it_between_two_photos_and_nothing_is_done_again() {
    let folder = with_photos();
    let mut command = photos(folder.path(), "file:./runs", &["in", "--pace-ms", "10"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let index = folder.path().join("photos.jsonl");
    while fs::metadata(&index).map_or(0, |index| index.len()) < 1_000 {
        assert!(child.try_wait().expect("its state is known").is_none(), "it is at work");
    }
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
    assert!(told.success());
    let stopped = child.wait_with_output().expect("it ends");
    assert_eq!(stopped.status.code(), Some(130), "{}", text(&stopped));
    assert!(text(&stopped).contains("the same command goes on"), "{}", text(&stopped));
    let done = photos(folder.path(), "file:./runs", &["in"]).output().expect("it starts");
    assert!(text(&done).contains("again=0 attempts=2"), "{}", text(&done));
    assert_eq!(looked_at(&stopped) + looked_at(&done), PHOTOS, "each once");
    assert_index(folder.path());
}

#[test]
fn an_index_that_was_cut_short_is_told_and_wrong_usage_ends_with_2() {
    let folder = with_photos();
    let run = |arguments: &[&str]| {
        let ended = photos(folder.path(), "file:./runs", arguments).output().expect("it starts");
        (ended.status.code(), text(&ended))
    };
    assert_eq!(run(&["in", "--crash-at", "9"]).0, None);
    fs::write(folder.path().join("photos.jsonl"), "").expect("written");
    let (code, said) = run(&["in"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("should have") && said.contains("another --id"), "{said}");
    for (arguments, expected) in [
        (&["nowhere"][..], "name a folder that is there"),
        (&["in", "--into", "other.jsonl"], "an id of their own with --id"),
        (&["--id", "a b"], "that is no id"),
    ] {
        let (code, said) = run(arguments);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
