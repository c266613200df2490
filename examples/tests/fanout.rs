//! What `fanout` promises: every file is counted or told as failed, and a kill costs at most what was in flight.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const FILES: usize = 60;
const CONCURRENCY: usize = 4;

fn fanout(folder: &Path, store: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanout"));
    command.current_dir(folder).env_remove("STEPWELL_STORE").env_remove("RUST_LOG");
    command.args(["--store", store]).args(arguments);
    command
}

fn ended(mut command: Command) -> (Output, String) {
    let output = command.output().expect("the program starts");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

fn counted(text: &str) -> usize {
    text.matches("  counted ").count()
}

#[test]
fn every_file_is_counted_or_told_and_a_kill_costs_at_most_what_was_in_flight() {
    for store in ["file:./runs", "sled:./runs"] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("in")).expect("made");
        for number in 0..FILES {
            let text = "well ".repeat(number + 1);
            fs::write(folder.path().join(format!("in/{number:02}.txt")), text).expect("written");
        }
        fs::write(folder.path().join("in/picture.bin"), b"\xff\xd8\xff").expect("written");

        let paced = ["in", "--pace-ms", "20", "--concurrency", "4"];
        let mut command = fanout(folder.path(), store, &paced);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut first = Vec::new();
        while first.iter().filter(|line: &&String| line.starts_with("  counted ")).count() < 12 {
            first.push(lines.next().expect("it goes on").expect("a line"));
        }
        child.kill().expect("it is killed");
        child.wait().expect("it is dead");
        first.extend(lines.map_while(Result::ok));

        let (output, text) = ended(fanout(folder.path(), store, &paced));
        assert_eq!(output.status.code(), Some(0), "{store}: {text}");
        assert!(text.contains("was begun before"), "{store}: {text}");
        let words = FILES * (FILES + 1) / 2;
        assert!(text.contains(&format!("files={FILES} words={words} failed=1")), "{store}: {text}");
        assert!(text.contains("picture.bin") && text.contains("it is no text: byte 0"), "{text}");
        assert!(text.contains("60 × well"), "{text}");
        let done = counted(&first.join("\n")) + counted(&text);
        assert!((FILES..=FILES + CONCURRENCY).contains(&done), "{store}: {done} were counted\n{text}");

        let (output, text) = ended(fanout(folder.path(), store, &paced));
        assert_eq!((output.status.code(), counted(&text)), (Some(0), 0), "it is read: {text}");
        assert!(text.contains("done before") && text.contains(&format!("files={FILES}")), "{text}");
    }
}

#[test]
fn a_folder_without_any_text_fails_and_wrong_usage_ends_with_2() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("pictures")).expect("made");
    for number in 0..5 {
        fs::write(folder.path().join(format!("pictures/{number}")), b"\xff\xd8").expect("written");
    }
    let run = |arguments: &[&str]| {
        let (output, text) = ended(fanout(folder.path(), "file:./runs", arguments));
        (output.status.code(), text)
    };
    let (code, text) = run(&["pictures"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("it is no text") && text.contains("--id"), "{text}");
    for (arguments, expected) in [
        (&["nowhere"][..], "name a folder that is there"),
        (&["--concurrency", "0"], "1..=1000"),
        (&["."], "an id of its own with --id"),
    ] {
        let (code, text) = run(arguments);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(expected), "{text}");
    }
    let (code, text) = run(&["--id", "samples"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("files=4 words=106 failed=5"), "{text}");
}
