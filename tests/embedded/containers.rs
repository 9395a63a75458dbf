//! Containers' lives, asked for with the `docker` program.

use std::thread;

use crate::support::{Daemon, eventually};

fn engine() -> Daemon {
    let daemon = Daemon::start();
    daemon.busybox();
    daemon
}

fn inspect(daemon: &Daemon, container: &str, format: &str) -> String {
    daemon.docker(&["inspect", "--format", format, container]).ok().trim().to_owned()
}

fn until(daemon: &Daemon, container: &str, format: &str, wanted: &str) {
    eventually(&format!("{format} of {container} is {wanted}"), || {
        (inspect(daemon, container, format) == wanted).then_some(())
    });
}

#[test]
fn a_container_runs_tells_how_it_ended_and_goes() {
    let daemon = engine();
    let ran = daemon.docker(&["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (7, "out\n", "err\n"));
    assert_eq!(daemon.docker(&["ps", "-aq"]).ok(), "");
    let missing = daemon.docker(&["run", "--name", "broken", "busybox", "nothing-of-that-name"]);
    assert_eq!(missing.code, 127, "{missing:?}");
    assert!(missing.stderr.contains("executable file not found"), "{missing:?}");
    assert_eq!(inspect(&daemon, "broken", "{{.State.Status}} {{.State.ExitCode}}"), "created 127");
    daemon.docker(&["rm", "broken"]).ok();
}

#[test]
fn input_reaches_a_container_and_its_first_byte_reaches_the_client() {
    let daemon = engine();
    let input = "a line\n".repeat(5000);
    let ran = daemon.docker_with(&["run", "--rm", "-i", "busybox", "cat"], input.as_bytes());
    assert_eq!(ran.ok(), input);
}

#[test]
fn a_name_is_taken_once_and_running_containers_are_not_removed() {
    let daemon = engine();
    let id = daemon.docker(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]).ok();
    let refused = daemon.docker(&["create", "--name", "web", "busybox"]).fails();
    assert!(refused.contains("The container name \"/web\" is already in use"), "{refused}");
    let refused = daemon.docker(&["rm", "web"]).fails();
    assert!(refused.contains("container is running: stop the container before removing or force remove"), "{refused}");
    daemon.docker(&["rename", "web", "other"]).ok();
    assert_eq!(inspect(&daemon, &id.trim()[..12], "{{.Name}}"), "/other");
    daemon.docker(&["rm", "-f", "other"]).ok();
    assert!(daemon.docker(&["inspect", "other"]).fails().contains("No such"));
}

#[test]
fn one_that_ignores_its_stop_signal_is_killed_and_nobody_waits_for_that_to_look_at_it() {
    let daemon = engine();
    let script = "trap '' TERM; echo ready; while true; do sleep 0.1; done";
    daemon.docker(&["run", "-d", "--name", "deaf", "busybox", "sh", "-c", script]).ok();
    eventually("it is ready", || daemon.docker(&["logs", "deaf"]).ok().contains("ready").then_some(()));
    let client = {
        let mut command = daemon.docker_command();
        command.args(["stop", "-t", "1000", "deaf"]);
        thread::spawn(move || command.output().expect("docker runs"))
    };
    eventually("the stop has begun", || {
        let events = daemon.docker(&["events", "--since", "1h", "--until", "0s", "--filter", "event=kill"]).ok();
        events.contains("signal=15").then_some(())
    });
    assert_eq!(inspect(&daemon, "deaf", "{{.State.Status}}"), "running");
    daemon.docker(&["kill", "deaf"]).ok();
    assert!(client.join().expect("no panic").status.success());
    assert_eq!(inspect(&daemon, "deaf", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
}

#[test]
fn the_end_of_a_log_can_be_had_with_times_and_a_followed_one_ends_with_its_container() {
    let daemon = engine();
    let script = "for i in 1 2 3 4 5; do echo $i; done; sleep 0.3; echo 6";
    daemon.docker(&["run", "-d", "--name", "talks", "busybox", "sh", "-c", script]).ok();
    assert_eq!(daemon.docker(&["logs", "-f", "talks"]).ok(), "1\n2\n3\n4\n5\n6\n");
    assert_eq!(daemon.docker(&["logs", "--tail", "2", "talks"]).ok(), "5\n6\n");
    let timed = daemon.docker(&["logs", "-t", "--tail", "1", "talks"]).ok();
    assert!(timed.starts_with("20") && timed.trim_end().ends_with("Z 6"), "{timed}");
}

#[test]
fn a_log_that_is_rotated_while_it_is_followed_loses_nothing() {
    let daemon = engine();
    let options = ["--log-opt", "max-size=20k", "--log-opt", "max-file=100"];
    let script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done";
    let run = [&["run", "-d", "--name", "much"][..], &options[..], &["busybox", "sh", "-c", script]].concat();
    daemon.docker(&run).ok();
    let lines: Vec<String> = (0..2000).map(|number| format!("line {number}")).collect();
    let expected = lines.join("\n") + "\n";
    assert_eq!(daemon.docker(&["logs", "-f", "much"]).ok(), expected);
    assert_eq!(daemon.docker(&["logs", "much"]).ok(), expected);
}

#[test]
fn a_restart_policy_gives_up_after_its_retries() {
    let daemon = engine();
    daemon.docker(&["run", "-d", "--name", "fails", "--restart", "on-failure:2", "busybox", "false"]).ok();
    until(&daemon, "fails", "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}", "exited 2 1");
    daemon.docker(&["run", "-d", "--name", "again", "--restart", "always", "busybox", "sleep", "1000"]).ok();
    let pid = inspect(&daemon, "again", "{{.State.Pid}}");
    let process = rustix::process::Pid::from_raw(pid.parse().expect("a number")).expect("it runs");
    rustix::process::kill_process(process, rustix::process::Signal::KILL).expect("it is ours");
    eventually("it runs again", || {
        (!["0", &pid].contains(&inspect(&daemon, "again", "{{.State.Pid}}").as_str())).then_some(())
    });
    daemon.docker(&["stop", "-t", "0", "again"]);
    until(&daemon, "again", "{{.State.Running}}", "false");
}

#[test]
fn a_healthcheck_is_run_and_told_of() {
    let daemon = engine();
    let check = ["--health-cmd", "test -e /tmp/well", "--health-interval", "50ms", "--health-retries", "2"];
    let run = [&["run", "-d", "--name", "ill"][..], &check[..], &["busybox", "sleep", "1000"]].concat();
    daemon.docker(&run).ok();
    until(&daemon, "ill", "{{.State.Health.Status}}", "unhealthy");
    daemon.docker(&["exec", "ill", "touch", "/tmp/well"]).ok();
    until(&daemon, "ill", "{{.State.Health.Status}}", "healthy");
    assert!(daemon.docker(&["ps"]).ok().contains("(healthy)"));
    eventually("its health is told of", || {
        let events = daemon.docker(&["events", "--since", "1h", "--until", "0s"]).ok();
        events.contains("health_status: healthy").then_some(())
    });
    daemon.docker(&["rm", "-f", "ill"]).ok();
}

#[test]
fn containers_outlive_a_killed_engine_with_their_output_and_their_ends() {
    let mut daemon = engine();
    daemon.docker(&["run", "-d", "--name", "stays", "busybox", "sh", "-c", "echo first; sleep 1000"]).ok();
    daemon.docker(&["run", "-d", "--name", "goes", "busybox", "sh", "-c", "sleep 0.5; echo last; exit 3"]).ok();
    let pid = inspect(&daemon, "stays", "{{.State.Pid}}");
    daemon.kill();
    daemon.run();
    assert_eq!(inspect(&daemon, "stays", "{{.State.Status}} {{.State.Pid}}"), format!("running {pid}"));
    assert_eq!(daemon.docker(&["logs", "stays"]).ok(), "first\n");
    assert_eq!(daemon.docker(&["exec", "stays", "echo", "here"]).ok(), "here\n");
    until(&daemon, "goes", "{{.State.Status}} {{.State.ExitCode}}", "exited 3");
    assert_eq!(daemon.docker(&["logs", "goes"]).ok(), "last\n");
    daemon.docker(&["stop", "-t", "0", "stays"]).ok();
}

#[test]
fn what_was_stopped_by_hand_stays_stopped_when_the_engine_starts_again() {
    let mut daemon = engine();
    for name in ["stopped", "runs"] {
        daemon.docker(&["run", "-d", "--name", name, "--restart", "always", "busybox", "sleep", "1000"]).ok();
    }
    daemon.docker(&["stop", "-t", "0", "stopped"]).ok();
    daemon.kill();
    daemon.run();
    // What is to start begins to before the engine answers; this one is asked for after it.
    daemon.docker(&["restart", "-t", "0", "runs"]).ok();
    assert_eq!(inspect(&daemon, "runs", "{{.State.Status}}"), "running");
    assert_eq!(inspect(&daemon, "stopped", "{{.State.Status}}"), "exited");
    daemon.docker(&["rm", "-f", "stopped", "runs"]).ok();
}

#[test]
fn a_command_in_a_container_has_its_own_exit_code() {
    let daemon = engine();
    daemon.docker(&["run", "-d", "--name", "host", "-e", "A=1", "busybox", "sleep", "1000"]).ok();
    let ran = daemon.docker(&["exec", "-e", "B=2", "host", "sh", "-c", "echo $A$B; exit 5"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (5, "12\n"), "{ran:?}");
    let ran = daemon.docker_with(&["exec", "-i", "host", "cat"], b"through");
    assert_eq!(ran.ok(), "through");
    let top = daemon.docker(&["top", "host"]).ok();
    assert!(top.contains("UID") && top.contains("sleep 1000"), "{top}");
    let stats = daemon.docker(&["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "host"]).ok();
    assert_eq!(stats.trim(), "host 1");
    daemon.docker(&["pause", "host"]).ok();
    assert_eq!(inspect(&daemon, "host", "{{.State.Status}}"), "paused");
    daemon.docker(&["unpause", "host"]).ok();
    daemon.docker(&["rm", "-f", "host"]).ok();
}

#[test]
fn a_volume_keeps_what_is_written_and_begins_with_the_images_files() {
    let daemon = engine();
    daemon
        .docker(&["run", "--rm", "-v", "data:/etc", "busybox", "sh", "-c", "cat /etc/group; echo more > /etc/mine"])
        .ok();
    let listed = daemon.docker(&["run", "--rm", "-v", "data:/x:ro", "busybox", "ls", "/x"]).ok();
    assert!(listed.contains("group") && listed.contains("mine"), "{listed}");
    let refused = daemon.docker(&["run", "--rm", "-v", "data:/x:ro", "busybox", "touch", "/x/y"]);
    assert!(refused.stderr.contains("Read-only file system"), "{refused:?}");
    daemon.docker(&["create", "--name", "user", "-v", "data:/x", "busybox"]).ok();
    assert!(daemon.docker(&["volume", "rm", "data"]).fails().contains("in use"));
    daemon.docker(&["rm", "user"]).ok();
    daemon.docker(&["volume", "rm", "data"]).ok();
    let missing = daemon.docker(&["run", "--rm", "--mount", "type=bind,src=/nowhere/at/all,dst=/x", "busybox"]).fails();
    assert!(missing.contains("bind source path does not exist: /nowhere/at/all"), "{missing}");
    daemon.docker(&["run", "--rm", "-v", "/x", "busybox"]).ok();
    assert_eq!(daemon.docker(&["volume", "ls", "-q"]).ok(), "", "an anonymous volume goes with its container");
}
