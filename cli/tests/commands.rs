//! The commands on a store: what they print, and how they end.

mod stage;

use serde_json::{Value, json};
use snapbox::str;
use stage::{Stage, err, out};

#[test]
fn runs_are_shown_as_tables_and_as_the_api_answers() {
    let stage = Stage::new();
    let list = stage.stepwell(&["runs", "list", "--oldest", "--time-format", "iso"]).assert().success();
    list.stdout_eq(str![[r#"
RUN    WORKFLOW  STATUS     DONE  CREATED                   CHANGED                   STEP   CODE    WHAT
good   greet     succeeded  1/1   [..]
bad    check     failed     0/1   [..]  check  SW1101  Step check refuses its input.
held   check     paused     0/1   [..]  check  SW9001  check failed, and what was seen does not tell why.
waits  wait      waiting    1/2   [..]

"#]])
        .stderr_eq("");
    let show = stage.stepwell(&["runs", "show", "held"]).assert().success();
    show.stdout_eq(str![[r#"
run       held
tenant    default
workflow  check
version   1
status    paused
done      0/1
queue     default
priority  0
created   [..]
changed   [..]
held for  exhausted
step      check
class     unavailable
error     check failed 2 times (max_attempts is used up), last: unavailable: the gateway is down. Mend the cause, then `retry`
code      SW9001
cause     check failed, and what was seen does not tell why.
group     SW9001-[..]
etag      [..]

"#]])
        .stderr_eq("why, and what to do: stepwell runs explain held\n");
    let good = stage.json(&["runs", "show", "good"]);
    assert_eq!((&good["status"], &good["done"]), (&Value::from("succeeded"), &Value::from(1)), "{good}");
    let lines = stage.says(0, &["runs", "list", "status:failed,succeeded", "-o", "jsonl"]);
    let runs: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(runs.iter().map(|run| &run["run"]).collect::<Vec<_>>(), ["bad", "good"]);
    let page = stage.json(&["runs", "list", "--limit", "3"]);
    let cursor = page["next_cursor"].as_str().expect("another page");
    let rest = stage.json(&["runs", "list", "--cursor", cursor]);
    assert_eq!(rest["items"][0]["run"], "good", "{rest}");
    assert_eq!(stage.json(&["runs", "list", "--all"])["items"].as_array().map(Vec::len), Some(4));
}

#[test]
fn the_system_is_shown_as_tables_and_json() {
    let stage = Stage::new();
    let rows: [(&[&str], &[&str]); 7] = [
        (&["groups", "list"], &["FINGERPRINT", "SW1101-", "Step check refuses its input."]),
        (&["workers"], &["WORKER", "w-", "no"]),
        (&["queues", "list"], &["QUEUE    RUNNING", "paused=1 waiting=1"]),
        (&["stats"], &["by status       failed=1 paused=1", "P95"]),
        (&["audit", "-n", "5"], &["KIND", "wait_started", "go waits for signal go"]),
        (&["explain", "SW1203"], &["stepwell runs resume <run>"]),
        (&["explain", "9506", "-o", "json"], &["\"code\": \"SW9506\""]),
    ];
    for (args, holds) in rows {
        let shown = stage.says(0, args);
        for text in holds {
            assert!(shown.contains(text), "{args:?}: {text}: {shown}");
        }
    }
    assert!(stage.says(0, &["explain", "SW1203", "--language", "ja"]).contains('。'));
    let group = stage.json(&["groups", "list", "--code", "SW1101"])["items"][0]["group"].clone();
    let shown = stage.says(0, &["groups", "show", group.as_str().expect("a group")]);
    assert!(shown.contains("STANDING") && shown.contains("bad"), "{shown}");
    assert_eq!(stage.json(&["schedules", "list"])["items"].as_array().map(Vec::len), Some(0));
    assert_eq!(stage.json(&["stats"])["runs"], 4);
    assert_eq!(stage.json(&["queues", "pause", "default", "--reason", "a deploy"])["paused"]["by"], "ann");
    assert!(stage.says(0, &["queues", "history", "default"]).contains("a deploy"));
    assert!(stage.says(0, &["queues", "resume", "default"]).contains("queue"));
    let changes = stage.json(&["changes", "--all"]);
    let told: Vec<_> = changes["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|deed| (&deed["actor"], &deed["about"]))
        .collect();
    assert_eq!(
        told[0],
        (&json!("ann"), &json!("/api/v1/queues/default/resume")),
        "the newest first: {changes}"
    );
    assert!(stage.says(0, &["changes"]).contains("POST /api/v1/queues/{queue}/pause"));
}

#[test]
fn verbs_are_tried_dry_confirmed_and_refused() {
    let stage = Stage::new();
    let dry = stage.stepwell(&["runs", "cancel", "waits", "--dry-run"]).assert().success();
    dry.stdout_eq("waits: waiting -> cancelled\n");
    let refused = stage.complains(4, &["runs", "cancel", "waits"]);
    assert!(refused.contains("no terminal") && refused.contains("--yes"), "{refused}");
    assert_eq!(stage.json(&["runs", "show", "waits"])["status"], "waiting");
    let etag = stage.json(&["runs", "show", "waits"])["etag"].as_str().expect("a tag").to_owned();
    stage.says(
        0,
        &["runs", "cancel", "waits", "--yes", "--reason", "a test", "--if-match", etag.trim_matches('"')],
    );
    assert_eq!(stage.json(&["runs", "show", "waits"])["status"], "cancelled");
    assert!(stage.says(0, &["audit", "--actor", "ann"]).contains("a test"));
    assert!(stage.complains(4, &["runs", "retry", "waits", "--if-match", &etag]).contains("SW95"));
    let both = stage.stepwell(&["runs", "retry", "good", "bad", "--yes"]).assert().code(4);
    both.stdout_eq(str![[r#"
RUN   STATUS   WHAT
good  refused  cannot retry run default/good: it has succeeded
bad   queued

"#]]);
    stage.write("input.json", " \"good\"\n");
    let edited = stage.json(&["runs", "edit-input", "held", "@input.json"]);
    assert_eq!(edited["run"], "held", "{edited}");
    assert!(
        stage.complains(2, &["runs", "edit-input", "held", "good"]).contains("a string needs its quotes")
    );
}

#[test]
fn every_way_to_end_has_its_exit_code() {
    let stage = Stage::new();
    let rows: [(i32, &[&str], &str); 12] = [
        (0, &["runs", "wait", "good"], ""),
        (1, &["runs", "wait", "bad"], ""),
        (1, &["runs", "wait", "good", "held"], ""),
        (124, &["runs", "wait", "waits", "--timeout", "20ms"], "still on their way"),
        (2, &["runs", "list", "stauts:failed"], "did you mean `status`"),
        (2, &["--store", "./data", "workers"], "--store: `./data` names no kind of store"),
        (2, &["--store", "memory:", "--server", "http://h", "workers"], "cannot be used with"),
        (3, &["runs", "show", "none"], "there is no run default/none"),
        (3, &["--tenant", "acme", "runs", "show", "good"], "acme/good"),
        (4, &["runs", "pause", "bad"], "allowed now: "),
        (4, &["runs", "start", "gret", "1"], "greet"),
        (5, &["--server", "http://127.0.0.1:1", "workers"], "no server answers at http://127.0.0.1:1"),
    ];
    for (code, args, said) in rows {
        let complaint = stage.complains(code, args);
        assert!(complaint.contains(said), "{args:?}: {complaint}");
    }
    stage.write("stepwell.toml", "stroe = \"memory:\"\n");
    let complaint = stage.complains(2, &["runs", "list"]);
    assert!(
        complaint.contains("stepwell.toml:1") && complaint.contains("did you mean `store`?"),
        "{complaint}"
    );
}

#[test]
fn the_doctor_examines_what_there_is_and_says_what_to_do() {
    let stage = Stage::new();
    let checks = stage.json(&["doctor"])["items"].as_array().expect("checks").clone();
    let verdict = |name: &str| {
        let check = checks.iter().find(|check| check["check"] == name);
        check.unwrap_or_else(|| panic!("{name}: {checks:?}"))["verdict"].clone()
    };
    for name in ["settings", "store", "durability", "clock", "write", "journals"] {
        assert_eq!(verdict(name), "ok", "{name}: {checks:?}");
    }
    for name in ["workers", "stuck runs"] {
        assert_eq!(verdict(name), "warn", "{name}");
    }
    assert!(checks.iter().all(|check| check["verdict"] == "ok" || check["fix"].is_string()), "{checks:?}");
    assert_eq!(
        stage.json(&["runs", "list", "--all"])["items"].as_array().map(Vec::len),
        Some(4),
        "no trace is left"
    );
    assert!(stage.complains(0, &["check"]).contains("nothing is wrong"));
    let out_of_reach = stage.says(5, &["--store", "redis://u:hunter2@127.0.0.1:1/0", "doctor", "-o", "json"]);
    assert!(out_of_reach.contains("\"fail\"") && !out_of_reach.contains("hunter2"), "{out_of_reach}");
    stage.write("stepwell.toml", "[server]\nbnd = 1\n");
    assert!(stage.says(6, &["doctor"]).contains("did you mean `bind`?"));
}

#[test]
fn settings_are_shown_with_their_origins_and_without_secrets() {
    let stage = Stage::empty();
    let token =
        stage.stepwell(&["token", "new", "ci", "--role", "operator", "--tenant", "acme"]).assert().success();
    let (secret, lines) = (out(&token), err(&token));
    let lines = &lines[lines.find("[[server.tokens]]").expect("lines to paste")..];
    stage.write("stepwell.toml", &format!("store = \"redis://u:hunter2@h/0\"\n{lines}"));
    let shown = stage.says(0, &["config", "show", "--origins"]);
    for text in ["redis://u:***@h/0", "stepwell.toml", "ci is operator of tenant acme", "the default"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let hash =
        lines.lines().find_map(|line| line.strip_prefix("sha256 = ")).expect("a hash").trim_matches('"');
    for hidden in ["hunter2", secret.trim(), hash] {
        assert!(!shown.contains(hidden), "{hidden}: {shown}");
    }
    let from = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = stage.stepwell(args);
        for (name, value) in variables {
            command = command.env(name, value);
        }
        out(&command.assert().success())
    };
    let show = ["config", "show", "--origins"];
    let by_variable = from(&show, &[("STEPWELL_STORE", "memory:")]);
    assert!(by_variable.contains("memory:") && by_variable.contains("STEPWELL_STORE"), "{by_variable}");
    let server = [("STEPWELL_SERVER", "http://h:1"), ("STEPWELL_TOKEN", "swt_secret")];
    let by_server = from(&show, &server);
    assert!(by_server.contains("STEPWELL_SERVER") && by_server.contains("STEPWELL_TOKEN"), "{by_server}");
    assert!(!by_server.contains("swt_secret"), "{by_server}");
}

#[test]
fn colours_follow_the_flag_and_the_environment() {
    let stage = Stage::new();
    let has_colour = |args: &[&str], variable: Option<&str>| {
        let mut command = stage.stepwell(args);
        if let Some(name) = variable {
            command = command.env(name, "1");
        }
        out(&command.assert().success()).contains('\u{1b}')
    };
    let list = ["runs", "list", "--color"];
    let with = |when: &'static str| list.iter().copied().chain([when]).collect::<Vec<_>>();
    assert!(!has_colour(&with("auto"), None), "a pipe is no terminal");
    assert!(has_colour(&with("always"), None));
    assert!(has_colour(&with("auto"), Some("CLICOLOR_FORCE")));
    assert!(!has_colour(&with("auto"), Some("NO_COLOR")));
    assert!(!has_colour(&with("never"), Some("CLICOLOR_FORCE")));
    assert!(
        !has_colour(&["runs", "show", "bad", "--color", "always", "-o", "json"], None),
        "data has no colours"
    );
}

#[test]
fn a_store_that_nobody_has_made_is_told_of_and_not_made() {
    let stage = Stage::empty();
    for store in ["file:./typo", "sled:./typo"] {
        for args in [
            &["runs", "list"][..],
            &["runs", "start", "greet", "1"],
            &["queues", "pause", "default"],
            &["check"],
            &["schedules", "list"],
        ] {
            let args: Vec<_> = ["--store", store].iter().chain(args).copied().collect();
            let told = stage.complains(5, &args);
            assert!(told.contains(&format!("there is no store at {store} (--store)")), "{args:?}: {told}");
        }
        assert!(stage.says(5, &["--store", store, "doctor"]).contains("there is no store"));
        assert!(!stage.path().join("typo").exists(), "{store}");
    }
    let workflow =
        "{\"name\": \"photo\", \"version\": 1, \"steps\": [{\"name\": \"cut\", \"timeout_ms\": 60000}]}";
    stage.says(0, &["--store", "file:./new", "workflows", "post", workflow]);
    assert!(stage.says(0, &["--store", "file:./new", "workflows", "list"]).contains("photo"));
}

#[test]
fn of_several_runs_each_is_told_of_and_the_worst_decides_the_exit() {
    let stage = Stage::new();
    let rows: [(i32, &[&str], &[&str]); 4] = [
        (
            3,
            &["waits", "none", "held"],
            &["waits: waiting -> cancelled", "none: there is no run", "held: paused -> cancelled"],
        ),
        (
            4,
            &["none", "good", "held"],
            &["none: there is no run", "good: cancel would be refused", "held: paused -> cancelled"],
        ),
        (4, &["good"], &["would be refused"]),
        (3, &["none"], &[]),
    ];
    for (code, runs, holds) in rows {
        let args: Vec<_> = ["runs", "cancel"].iter().chain(runs).chain(&["--dry-run"]).copied().collect();
        let shown = stage.says(code, &args);
        assert!(holds.iter().all(|text| shown.contains(text)), "{args:?}: {shown}");
    }
    let told = stage.says(3, &["runs", "cancel", "none", "held", "--dry-run", "-o", "json"]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["items"][0]["code"], "SW9504", "{told}");
    assert_eq!(told["items"][1]["preview"]["status_after"], "cancelled", "{told}");
    let done = stage.says(4, &["runs", "cancel", "none", "good", "held", "--yes"]);
    assert!(done.contains("held  cancelled") && done.contains("there is no run default/none"), "{done}");
}

#[test]
fn every_list_goes_on_where_it_says_that_it_does() {
    let stage = Stage::new();
    for list in [
        &["runs", "list"][..],
        &["runs", "unfinished"],
        &["audit"],
        &["runs", "history", "held"],
        &["groups", "list"],
    ] {
        let with = |more: &[&str]| {
            let args: Vec<_> = list.iter().chain(more).map(|word| (*word).to_owned()).collect();
            let assert =
                stage.stepwell(&args.iter().map(String::as_str).collect::<Vec<_>>()).assert().success();
            (out(&assert), err(&assert))
        };
        let (first, hint) = with(&["-n", "1", "-o", "jsonl"]);
        assert_eq!(first.lines().count(), 1, "{list:?}: {first}");
        let cursor = hint.trim().rsplit(' ').next().expect("a cursor").to_owned();
        assert!(hint.contains("there is more") && hint.contains("--cursor "), "{list:?}: {hint}");
        let (second, _) = with(&["-n", "1", "-o", "jsonl", "--cursor", &cursor]);
        assert!(second.lines().count() == 1 && second != first, "{list:?}: {second}");
        let all: &[&str] =
            if list[1..].contains(&"history") { &["-o", "jsonl"] } else { &["--all", "-o", "jsonl"] };
        let (all, hint) = with(all);
        assert!(all.starts_with(&format!("{first}{second}")) && hint.is_empty(), "{list:?}: {all}");
    }
}

#[test]
fn commands_that_are_printed_can_be_pasted() {
    let stage = Stage::new();
    let url = format!("file:{}", stage.path().join("data").display());
    let called = ["--store", &url, "--tenant", "default"];
    let with = |args: &[&'static str]| called.iter().copied().chain(args.iter().copied()).collect::<Vec<_>>();
    let hint = stage.complains(0, &with(&["runs", "show", "held"]));
    let told = stage.says(0, &with(&["runs", "explain", "bad"]));
    let begin = format!("stepwell --store {url} --tenant default ");
    let commands: Vec<_> = [hint.as_str(), &told]
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.find("stepwell --store").map(|at| &line[at..]))
        .collect();
    assert!(commands.len() > 2 && commands.iter().all(|command| command.starts_with(&begin)), "{commands:?}");
    let binary = snapbox::cmd::cargo_bin!("stepwell").display().to_string();
    let looks =
        commands.iter().filter(|command| command.contains(" explain ") || command.contains(" input "));
    let mut tried = 0;
    for command in looks {
        let line = command.replacen("stepwell", &binary, 1);
        let ended = std::process::Command::new("sh").args(["-c", &line]).current_dir(stage.path()).output();
        let ended = ended.expect("a shell");
        assert!(ended.status.success(), "{line}: {}", String::from_utf8_lossy(&ended.stderr));
        tried += 1;
    }
    assert!(tried > 0, "{commands:?}");
}

#[test]
fn what_is_missing_is_told_with_what_was_probably_meant() {
    let stage = Stage::new();
    let rows: [(&[&str], &str); 6] = [
        (&["runs", "show", "hel"], "did you mean held?"),
        (&["runs", "retry", "heldd"], "did you mean held?"),
        (&["runs", "logs", "held", "chekc"], "did you mean check?"),
        (&["runs", "attempts", "held", "chekc"], "did you mean check?"),
        (&["groups", "show", "SW9001-"], "did you mean SW9001-"),
        (&["workflows", "show", "gret"], "did you mean greet?"),
    ];
    for (args, meant) in rows {
        let told = stage.complains(3, args);
        assert!(told.contains(meant), "{args:?}: {told}");
    }
    let told = stage.complains(0, &["queues", "pause", "defualt"]);
    assert!(told.contains("no run has been in a queue defualt yet"), "{told}");
    assert!(stage.complains(0, &["queues", "pause", "default"]).is_empty());
}
