//! `stepwell serve`, and the same commands through it.

mod stage;

use std::io::BufRead as _;

use snapbox::str;
use stage::{Server, Stage, out};

#[test]
fn a_server_gives_the_answers_that_its_store_gives() {
    let stage = Stage::new();
    let commands: [&[&str]; 4] = [
        &["runs", "list", "-o", "json"],
        &["runs", "show", "held", "-o", "json"],
        &["groups", "list", "-o", "json"],
        &["audit", "-o", "jsonl"],
    ];
    let direct: Vec<_> = commands.iter().map(|args| stage.says(0, args)).collect();
    let server = Server::start(&stage, &[]);
    for (args, direct) in commands.iter().zip(&direct) {
        let remote: Vec<_> = ["--server", &server.url].into_iter().chain(args.iter().copied()).collect();
        assert_eq!(&stage.says(0, &remote), direct, "{args:?}");
    }
    let followed =
        stage.stepwell(&["--server", &server.url, "runs", "logs", "good", "-f"]).assert().success();
    followed.stdout_eq(str![[r#"
[..] info  greet#1 hello [..]there

"#]]);
    let taken = stage.complains(5, &["runs", "list"]);
    assert!(taken.contains("is open in process") && taken.contains("--server"), "{taken}");
    let checks = stage.json(&["--server", &server.url, "doctor"]);
    assert!(
        checks["items"].as_array().expect("checks").iter().all(|check| check["verdict"] != "fail"),
        "{checks}"
    );
    server.signal("TERM");
    assert_eq!(server.exit(), Some(0), "SIGTERM lets it end in good order");
    assert_eq!(stage.says(0, commands[0]), direct[0], "it has let the store go");
}

#[test]
fn a_token_opens_what_its_role_and_tenant_allow() {
    let stage = Stage::new();
    let drawn = |name: &str, tenant: &[&str]| {
        let args: Vec<_> =
            ["token", "new", name, "-o", "json"].into_iter().chain(tenant.iter().copied()).collect();
        let rows: serde_json::Value = serde_json::from_str(&stage.says(0, &args)).expect("JSON");
        let row = rows["items"][0].clone();
        (
            row["token"].as_str().expect("a token").to_owned(),
            row["sha256"].as_str().expect("a hash").to_owned(),
        )
    };
    let (viewer, viewer_hash) = drawn("viewer", &[]);
    let (foreign, foreign_hash) = drawn("foreign", &["--tenant", "acme"]);
    stage.write(
        "stepwell.toml",
        &format!(
            "[[server.tokens]]\nname = \"viewer\"\nrole = \"viewer\"\nsha256 = \"{viewer_hash}\"\n\
             [[server.tokens]]\nname = \"foreign\"\nrole = \"admin\"\ntenant = \"acme\"\nsha256 = \"{foreign_hash}\"\n"
        ),
    );
    stage.write("viewer.token", &format!("{viewer}\n"));
    let server = Server::start(&stage, &[]);
    let rows: [(i32, Option<&str>, &[&str]); 5] = [
        (4, None, &["runs", "list"]),
        (4, Some("swt_wrong"), &["runs", "list"]),
        (0, Some(&viewer), &["runs", "show", "good"]),
        (4, Some(&viewer), &["runs", "retry", "held"]),
        (3, Some(&foreign), &["runs", "show", "good"]),
    ];
    for (code, token, args) in rows {
        let args: Vec<_> = ["--server", &server.url].into_iter().chain(args.iter().copied()).collect();
        let command = stage.stepwell(&args);
        let command = match token {
            Some(token) => command.env("STEPWELL_TOKEN", token),
            None => command,
        };
        command.assert().code(code);
    }
    let doctor = stage.stepwell(&["--server", &server.url, "doctor"]).env("STEPWELL_TOKEN", &foreign);
    assert!(out(&doctor.assert().success()).contains("those of acme only"));
    let by_file = stage.stepwell(&["--server", &server.url, "--token-file", "viewer.token", "runs", "list"]);
    assert!(out(&by_file.assert().success()).contains("held"));
}

#[test]
fn an_interrupt_ends_what_follows_a_run() {
    let stage = Stage::new();
    let mut watching = std::process::Command::new(snapbox::cmd::cargo_bin!("stepwell"))
        .args(["runs", "watch", "waits", "-o", "jsonl"])
        .current_dir(stage.path())
        .env_remove("STEPWELL_STORE")
        .env_remove("STEPWELL_SERVER")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a process");
    let mut first = String::new();
    // Whoever closes it ends the program, too.
    let mut stdout = std::io::BufReader::new(watching.stdout.take().expect("stdout"));
    stdout.read_line(&mut first).expect("a line");
    assert!(first.contains("run_created"), "{first}");
    let pid = watching.id().to_string();
    let sent = std::process::Command::new("kill").args(["-s", "INT", &pid]).status().expect("kill");
    assert!(sent.success());
    assert_eq!(watching.wait().expect("an end").code(), Some(130));
}

#[test]
fn others_are_let_in_only_with_tokens() {
    let stage = Stage::empty();
    let refused = stage.complains(4, &["serve", "--store", "memory:", "--bind", "0.0.0.0:0"]);
    assert!(refused.contains("no tokens are set") && refused.contains("token new"), "{refused}");
}
