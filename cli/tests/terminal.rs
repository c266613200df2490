//! The program at a terminal.

mod stage;

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use stage::Stage;

#[test]
fn an_interrupt_ends_a_question_at_once() {
    let stage = Stage::new();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("granted");
    unlockpt(&terminal).expect("unlocked");
    let name = ptsname(&terminal, Vec::new()).expect("a name").into_string().expect("text");
    let end = || Stdio::from(File::options().read(true).write(true).open(&name).expect("its other end"));
    let mut asking = std::process::Command::new(snapbox::cmd::cargo_bin!("stepwell"))
        .args(["runs", "cancel", "waits"])
        .current_dir(stage.path())
        .env_remove("STEPWELL_STORE")
        .env_remove("STEPWELL_SERVER")
        .env_remove("CI")
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .expect("a process");
    let (mut terminal, mut shown, mut byte) = (File::from(terminal), String::new(), [0]);
    while !shown.contains("cancel waits? [y/N] ") {
        terminal.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error}: {shown}"));
        shown.push(char::from(byte[0]));
    }
    let pid = asking.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "INT", &pid]).status().expect("kill").success());
    // Nobody presses a key.
    assert_eq!(asking.wait().expect("an end").code(), Some(130));
    assert_eq!(stage.json(&["runs", "show", "waits"])["status"], "waiting");
}
