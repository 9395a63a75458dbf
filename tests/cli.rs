//! What the binary says without an engine: help, wrong words, wrong manifests.

use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

/// The binary in an empty folder, with nothing of this machine's settings.
fn hoist(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("hoist").expect("the binary is built");
    command.current_dir(folder).env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// Exit code, standard output and standard error of a command line.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = TempDir::new().expect("a temporary folder can be made");
    run_in(folder.path(), arguments)
}

fn run_in(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = hoist(folder).args(arguments).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn without_arguments_it_prints_its_help() {
    let (code, out, error) = run(&[]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(out.contains("Usage: hoist [OPTIONS] COMMAND"), "{out}");
    for command in ["up", "down", "logs", "exec", "export", "completions"] {
        assert!(out.lines().any(|line| line.trim_start().starts_with(command)), "no `{command}` in:\n{out}");
    }
    assert!(!out.contains('\u{1b}'), "colours where there is no terminal");
}

#[test]
fn every_command_has_a_help_of_its_own() {
    let (_, out, _) = run(&["--help"]);
    let commands =
        out.lines().skip_while(|line| !line.starts_with("Run:")).take_while(|line| !line.starts_with("Options:"));
    let names: Vec<&str> =
        commands.filter(|line| line.starts_with("  ")).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        let (code, out, error) = run(&[name, "--help"]);
        assert_eq!((code, error.as_str()), (Some(0), ""), "`{name}`");
        assert!(out.contains(&format!("Usage: hoist {name}")), "{out}");
    }
}

#[test]
fn a_wrong_word_gets_the_nearest_one() {
    let cases = [
        (vec!["pss"], "error: unknown command `pss`\nhint: did you mean `ps`?\n"),
        (vec!["engine"], "error: a command is missing\nhint: see `hoist engine --help`\n"),
        (vec!["up", "--detatch"], "error: unknown option `--detatch`\nhint: did you mean `--detach`?\n"),
        (
            vec!["ps", "--format", "jsn"],
            "error: `jsn` is not a value of `--format <FORMAT>`\nhint: did you mean `json`?\n",
        ),
        (
            vec!["up", "--profile", "dev"],
            "error: unknown option `--profile`\nhint: `--profile` goes before the command: `hoist --profile … up`\n",
        ),
        (
            vec!["up", "--no-journal"],
            "error: unknown option `--no-journal`\nhint: `--no-journal` goes before the command: `hoist --no-journal up`\n",
        ),
    ];
    for (arguments, expected) in cases {
        let (code, out, error) = run(&arguments);
        assert_eq!((code, out.as_str(), error.as_str()), (Some(2), "", expected), "{arguments:?}");
    }
}

#[test]
fn options_that_exclude_each_other_are_named() {
    let (code, _, error) = run(&["up", "-d", "--abort-on-container-exit"]);
    assert_eq!(code, Some(2));
    assert_eq!(
        error,
        "error: `--detach` cannot be used with `--abort-on-container-exit`\nhint: see `hoist up --help`\n"
    );
}

#[test]
fn a_project_name_is_checked_before_the_engine_is_asked() {
    let (code, _, error) = run(&["-p", "My Shop", "ps"]);
    assert_eq!(code, Some(2));
    assert!(error.starts_with("error: `My Shop` is not a project name\nhint: "), "{error}");
}

#[test]
fn an_engine_that_does_not_answer_is_a_failure_with_a_hint() {
    let (code, out, error) = run(&["--engine", "unix:///nowhere/docker.sock", "-p", "shop", "ps"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(error.starts_with("error: cannot reach a container engine: "), "{error}");
    assert!(error.contains("hint: "), "{error}");
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, error) = run(&["completions", shell]);
        assert_eq!((code, error.as_str()), (Some(0), ""), "`{shell}`");
        assert!(out.contains("hoist"), "`{shell}`");
    }
}

#[test]
fn colours_come_when_they_are_asked_for_and_stay_away_otherwise() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let stderr = |arguments: &[&str]| run_in(folder.path(), arguments).2;
    assert!(stderr(&["--ansi", "always", "-p", "A", "ps"]).contains('\u{1b}'));
    assert!(!stderr(&["--ansi", "auto", "-p", "A", "ps"]).contains('\u{1b}'));
    assert!(!stderr(&["--ansi", "never", "-p", "A", "ps"]).contains('\u{1b}'));
}

#[test]
fn what_comes_after_the_service_belongs_to_its_command() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let manifest = "services: { web: { image: busybox } }\n";
    std::fs::write(folder.path().join("compose.yaml"), manifest).expect("a file can be written");
    for arguments in [&["exec", "-it", "web", "ls", "--help"][..], &["run", "--rm", "web", "--help"]] {
        let arguments = [&["--engine", "unix:///nowhere/docker.sock"], arguments].concat();
        let (code, out, error) = run_in(folder.path(), &arguments);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}: {error}");
        assert!(error.starts_with("error: cannot reach a container engine"), "{arguments:?}: {error}");
    }
    let (code, _, error) = run_in(folder.path(), &["exec", "web"]);
    assert_eq!(code, Some(2));
    assert_eq!(error, "error: a command is missing\nhint: `hoist exec web sh` opens a shell\n");
}

#[test]
fn a_service_that_is_not_there_gets_the_nearest_name() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let manifest = "services: { web: { image: busybox }, db: { image: busybox } }\n";
    std::fs::write(folder.path().join("compose.yaml"), manifest).expect("a file can be written");
    for arguments in [["up", "wbe"], ["graph", "wbe"], ["build", "wbe"]] {
        let (code, _, error) = run_in(folder.path(), &arguments);
        assert_eq!(code, Some(2), "{arguments:?}");
        assert_eq!(error, "error: there is no service `wbe`\nhint: did you mean `web`?\n", "{arguments:?}");
    }
}

#[test]
fn a_folder_without_a_manifest_is_told_so() {
    let (code, out, error) = run(&["up"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(error.starts_with("error: no manifest found in "), "{error}");
    assert!(error.contains("\nhint: "), "{error}");
}
