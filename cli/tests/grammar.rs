//! The grammar: helps that stay as they are, commands that diagnoses name, completions and pages.

mod stage;

use std::path::Path;

use snapbox::Data;
use stage::Stage;
use stepwell::diagnosis::page::codes;
use stepwell::diagnosis::{Language, explain_code};

/// The paths of all commands: `runs`, `runs list`, ….
fn paths(command: &clap::Command, path: &[String]) -> Vec<Vec<String>> {
    let mut found = vec![path.to_vec()];
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        let path: Vec<_> = path.iter().cloned().chain([child.get_name().to_owned()]).collect();
        found.extend(paths(child, &path));
    }
    found
}

/// A help without the options that every command has.
fn own(help: &str) -> String {
    let (mut is_own, mut text) = (true, String::new());
    for line in help.lines() {
        match line {
            "Where:" | "Output:" => is_own = false,
            line if !line.is_empty() && !line.starts_with(' ') => is_own = true,
            _ => {}
        }
        if is_own {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[test]
fn the_help_of_every_command_is_what_was_agreed() {
    let stage = Stage::empty();
    for path in paths(&stepwell_cli::command(), &[]) {
        let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
        args.push("--help");
        let help = stage.says(0, &args);
        let (name, shown) = match path.as_slice() {
            [] => ("stepwell".to_owned(), help),
            path => (path.join("-"), own(&help)),
        };
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/help/{name}.txt"));
        snapbox::assert_data_eq!(shown, Data::read_from(&file, None).raw());
    }
}

#[test]
fn every_command_that_a_diagnosis_names_is_one() {
    let mut checked = 0;
    for code in codes() {
        let page = explain_code(code, Language::English).expect("a page");
        for command in page.actions.iter().filter_map(|(_, command)| *command) {
            let Some(rest) = command.strip_prefix("stepwell ") else { continue };
            let args: Vec<_> = rest
                .split_whitespace()
                .map(|word| if word.starts_with('{') { "x".to_owned() } else { word.to_owned() })
                .collect();
            let parsed = stepwell_cli::command()
                .try_get_matches_from(std::iter::once("stepwell".to_owned()).chain(args));
            assert!(parsed.is_ok(), "{code}: {command}: {}", parsed.expect_err("refused"));
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

/// The words of a line of a shell, as far as guides use it.
fn words(line: &str) -> Vec<String> {
    let line = line.split(" #").next().unwrap_or_default().split(" | ").next().unwrap_or_default();
    let mut words = Vec::new();
    for (nth, part) in line.split('\'').enumerate() {
        match nth % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[test]
fn every_command_of_the_guides_is_one_and_every_exit_code_is_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let text = |name: &str| std::fs::read_to_string(root.join(name)).expect("a guide");
    let guide = text("docs/cli.md");
    let mut helps = String::new();
    for path in paths(&stepwell_cli::command(), &[]) {
        let mut command = stepwell_cli::command();
        let found = path.iter().try_fold(&mut command, |command, name| command.find_subcommand_mut(name));
        helps.push_str(&found.expect("a command").render_long_help().to_string());
    }
    let mut checked = 0;
    for text in [&guide, &text("README.md"), &helps] {
        for line in text.lines().map(str::trim).filter(|line| line.starts_with("stepwell ")) {
            let parsed = stepwell_cli::command().try_get_matches_from(words(line));
            assert!(parsed.is_ok(), "{line}: {}", parsed.expect_err("refused"));
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
    for (exit, means) in stepwell_cli::Exit::ALL {
        assert!(guide.contains(&format!("| {} | {means} |", exit.code())), "{exit:?}");
    }
}

#[test]
fn completions_are_scripts_that_their_shells_read_and_pages_render() {
    let stage = Stage::empty();
    for (shell, holds) in
        [("bash", "complete"), ("zsh", "#compdef stepwell"), ("fish", "complete -c stepwell")]
    {
        let script = stage.says(0, &["completions", shell]);
        assert!(script.contains(holds) && script.contains("set-output"), "{shell}");
    }
    stage.write("stepwell.bash", &stage.says(0, &["completions", "bash"]));
    let parsed =
        std::process::Command::new("bash").args(["-n", "stepwell.bash"]).current_dir(stage.path()).status();
    assert!(parsed.expect("bash").success());
    let page = stage.says(0, &["man"]);
    assert!(page.contains(".TH stepwell 1") && page.contains("Exit codes"), "{page}");
    stage.says(0, &["man", "--dir", "man"]);
    assert!(stage.path().join("man/stepwell-runs-retry.1").exists());
}

#[test]
fn what_was_probably_meant_is_said_and_short_forms_are_understood() {
    let stage = Stage::empty();
    let rows = [
        (&["rnus", "list"][..], "'runs'"),
        (&["runs", "lst"][..], "'list'"),
        (&["runs", "retry", "x", "--dry-rn"][..], "'--dry-run'"),
        (&["-o", "jsn", "workers"][..], "'json'"),
        (&["explain", "SW1230"][..], "SW12"),
    ];
    for (args, meant) in rows {
        let code = if args[0] == "explain" { 3 } else { 2 };
        let said = stage.complains(code, args);
        assert!(said.contains(meant), "{args:?}: {said}");
    }
    assert!(stepwell_cli::command().try_get_matches_from(["stepwell", "run", "ls", "--query", "x"]).is_ok());
}
