//! Input, output and files of containers.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::support::{Daemon, Ran, eventually, run};

fn engine() -> Daemon {
    let daemon = Daemon::start();
    daemon.busybox();
    daemon
}

/// Runs the `docker` program in a terminal (of `script`, which is on every Debian), with something typed.
fn in_terminal(daemon: &Daemon, command: &str, typed: &[u8]) -> Ran {
    run(&mut terminal(daemon, command), typed)
}

fn terminal(daemon: &Daemon, command: &str) -> Command {
    let docker = daemon.docker_command();
    let mut script = Command::new("script");
    script.args(["-qec", &format!("stty rows 33 cols 99; docker {command}"), "/dev/null"]);
    for (name, value) in docker.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script
}

#[test]
fn run_reads_what_is_piped_in() {
    let daemon = engine();
    assert_eq!(daemon.docker_with(&["run", "--rm", "-i", "busybox", "cat"], b"one\ntwo").ok(), "one\ntwo");
    let long = "0123456789abcdef".repeat(64 << 10);
    let counted = daemon.docker_with(&["run", "--rm", "-i", "busybox", "wc", "-c"], long.as_bytes()).ok();
    assert_eq!(counted.trim(), long.len().to_string());
}

#[test]
fn run_loses_none_of_much_output() {
    let daemon = engine();
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done";
    let output = daemon.docker(&["run", "--rm", "busybox", "sh", "-c", script]).ok();
    assert_eq!(output.lines().count(), 20_000);
    assert!(output.ends_with("line 19999\n"));
}

#[test]
fn a_terminal_has_the_clients_size_and_carries_what_is_typed() {
    let daemon = engine();
    let ran = in_terminal(&daemon, "run --rm -it busybox sh", b"tty; sleep 0.2; stty size; exit 3\n");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.contains("/dev/pts/0") && ran.stdout.contains("33 99"), "{ran:?}");
}

#[test]
fn exec_in_a_terminal_has_one_of_its_own() {
    let daemon = engine();
    daemon.docker(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]).ok();
    let ran = in_terminal(&daemon, "exec -it web sh", b"tty; sleep 0.2; stty size; exit 4\n");
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stdout.contains("/dev/pts/") && ran.stdout.contains("33 99"), "{ran:?}");
}

#[test]
fn the_detach_keys_leave_a_terminal_and_the_container_goes_on() {
    let daemon = engine();
    let mut script = terminal(&daemon, "run -it --name web busybox cat");
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script can be started");
    let mut input = child.stdin.take().expect("it is piped");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    input.write_all(b"hello\n").unwrap();
    // The container has answered, so the client's terminal passes on every key by now.
    eventually("the container answers", || {
        let logs = daemon.docker(&["logs", "web"]);
        logs.stdout.matches("hello").nth(1).map(|_| ())
    });
    input.write_all(b"\x10\x11").unwrap();
    let said: String = lines.by_ref().map_while(Result::ok).collect();
    assert!(said.contains("hello"), "{said}");
    child.wait().unwrap();
    assert_eq!(daemon.docker(&["inspect", "-f", "{{.State.Running}}", "web"]).ok(), "true\n");
}

#[test]
fn exec_passes_on_input_output_and_exit_code() {
    let daemon = engine();
    daemon.docker(&["run", "-d", "--name", "web", "-e", "A=1", "busybox", "sleep", "1000"]).ok();
    let ran = daemon.docker(&["exec", "web", "sh", "-c", "echo $A; echo err >&2; exit 9"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (9, "1\n", "err\n"));
    assert_eq!(daemon.docker_with(&["exec", "-i", "web", "cat"], b"in").ok(), "in");
    let arguments = ["exec", "-e", "B=2", "-w", "/tmp", "-u", "nobody", "web", "sh", "-c", "echo $B; pwd; id -un"];
    assert_eq!(daemon.docker(&arguments).ok(), "2\n/tmp\nnobody\n");
    let ran = daemon.docker(&["exec", "web", "nod"]);
    assert!(matches!(ran.code, 126 | 127), "{ran:?}");
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("nod"), "{ran:?}");
    daemon.docker(&["exec", "-d", "web", "touch", "/tmp/detached"]).ok();
    eventually("the detached command has run", || {
        (daemon.docker(&["exec", "web", "test", "-e", "/tmp/detached"]).code == 0).then_some(())
    });
    daemon.docker(&["kill", "web"]).ok();
    assert!(daemon.docker(&["exec", "web", "true"]).fails().contains("is not running"));
}

#[test]
fn logs_are_kept_followed_and_cut() {
    let daemon = engine();
    let script = "echo one; echo two >&2; while [ ! -e /go ]; do sleep 0.05; done; echo three";
    daemon.docker(&["run", "-d", "--name", "web", "busybox", "sh", "-c", script]).ok();
    let mut follow = daemon.docker_command();
    let mut follow = follow.args(["logs", "-f", "web"]).stdout(Stdio::piped()).spawn().expect("docker can be started");
    let mut lines = BufReader::new(follow.stdout.take().expect("it is piped")).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    daemon.docker(&["exec", "web", "touch", "/go"]).ok();
    assert_eq!(lines.next().unwrap().unwrap(), "three");
    assert!(lines.next().is_none(), "following ends with the container");
    assert!(follow.wait().unwrap().success());
    let logs = daemon.docker(&["logs", "web"]);
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("one\nthree\n", "two\n"));
    assert_eq!(daemon.docker(&["logs", "--tail", "1", "web"]).ok(), "three\n");
    let dated = daemon.docker(&["logs", "-t", "--tail", "1", "web"]).ok();
    let (date, rest) = dated.split_once(' ').expect("a time and a line");
    assert!(chrono::DateTime::parse_from_rfc3339(date).is_ok() && rest == "three\n", "{dated}");
    assert_eq!(daemon.docker(&["logs", "--since", date, "web"]).ok(), "three\n");
    assert_eq!(daemon.docker(&["logs", "--until", "2001-01-01T00:00:00Z", "web"]).ok(), "");
}

#[test]
fn attach_joins_what_runs() {
    let daemon = engine();
    daemon
        .docker(&["run", "-d", "-i", "--name", "echo", "busybox", "sh", "-c", "while read x; do echo got $x; done"])
        .ok();
    let mut attach = daemon.docker_command();
    let mut attach =
        attach.args(["attach", "echo"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("docker starts");
    let mut input = attach.stdin.take().expect("it is piped");
    let mut lines = BufReader::new(attach.stdout.take().expect("it is piped")).lines();
    input.write_all(b"a\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "got a");
    daemon.docker(&["kill", "echo"]).ok();
    assert!(lines.next().is_none());
    assert_eq!(attach.wait().unwrap().code(), Some(137));
}

#[test]
fn cp_copies_both_ways_while_it_runs_and_after() {
    let daemon = engine();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().expect("a temporary path is text").to_owned();
    fs::create_dir_all(folder.path().join("in/deep")).unwrap();
    fs::write(path("in/a"), "a").unwrap();
    fs::write(path("in/deep/b"), "b").unwrap();
    daemon.docker(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]).ok();
    daemon.docker(&["cp", &path("in"), "web:/tmp/"]).ok();
    assert_eq!(daemon.docker(&["exec", "web", "cat", "/tmp/in/a", "/tmp/in/deep/b"]).ok(), "ab");
    daemon.docker(&["exec", "web", "sh", "-c", "echo out > /tmp/c"]).ok();
    daemon.docker(&["cp", "web:/tmp/c", &path("c")]).ok();
    assert_eq!(fs::read_to_string(path("c")).unwrap(), "out\n");
    daemon.docker(&["kill", "web"]).ok();
    daemon.docker(&["cp", "web:/tmp/in", &path("back")]).ok();
    assert_eq!(fs::read_to_string(path("back/deep/b")).unwrap(), "b");
    daemon.docker(&["cp", &path("c"), "web:/tmp/d"]).ok();
    let tar = daemon.docker(&["cp", "web:/tmp/d", "-"]).ok();
    assert!(tar.contains("out\n"));
    let refusal = daemon.docker(&["cp", "web:/nowhere", &path("e")]).fails();
    assert!(refusal.contains("nowhere"), "{refusal}");
}

#[test]
fn diff_lists_what_has_changed() {
    let daemon = engine();
    daemon.docker(&["run", "--name", "web", "busybox", "sh", "-c", "touch /tmp/new; rm /etc/group"]).ok();
    let diff = daemon.docker(&["diff", "web"]).ok();
    let mut lines: Vec<_> = diff.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A /tmp/new", "C /etc", "C /tmp", "D /etc/group"]);
}
