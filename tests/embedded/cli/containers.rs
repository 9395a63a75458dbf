//! Containers' lives.

use crate::support::{Daemon, eventually};

/// A container that runs until it is told to end, and ends at once then.
const SLEEPER: &str = "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done";

fn engine() -> Daemon {
    let daemon = Daemon::start();
    daemon.busybox();
    daemon
}

fn sleeper(daemon: &Daemon, name: &str) -> String {
    let id = daemon.docker(&["run", "-d", "--name", name, "busybox", "sh", "-c", SLEEPER]).ok().trim().to_owned();
    listens(daemon, name, 1);
    id
}

/// Waits until a sleeper listens to signals, after so many starts.
fn listens(daemon: &Daemon, name: &str, starts: usize) {
    eventually("the container listens", || {
        (daemon.docker(&["logs", name]).ok().lines().count() == starts).then_some(())
    });
}

#[test]
fn run_passes_on_output_and_exit_code() {
    let daemon = engine();
    let ran = daemon.docker(&["run", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (7, "out\n", "err\n"));
}

#[test]
fn run_rm_leaves_no_container() {
    let daemon = engine();
    assert_eq!(daemon.docker(&["run", "--rm", "busybox", "true"]).ok(), "");
    eventually("the container is gone", || daemon.docker(&["ps", "-aq"]).ok().is_empty().then_some(()));
}

#[test]
fn a_program_that_is_not_there_is_said_to_be_missing() {
    let daemon = engine();
    let ran = daemon.docker(&["run", "busybox", "nod"]);
    assert_eq!(ran.code, 127, "{ran:?}");
    assert!(ran.stderr.contains("nod") && ran.stderr.contains("not found"), "{ran:?}");
    let ran = daemon.docker(&["run", "busybox", "/etc/passwd"]);
    assert_eq!(ran.code, 126, "{ran:?}");
}

#[test]
fn run_takes_settings_of_the_command_line() {
    let daemon = engine();
    let arguments =
        ["run", "--rm", "-e", "A=b c", "-w", "/tmp", "-u", "nobody", "--hostname", "box", "--entrypoint", "sh"];
    let script = "echo $A; pwd; id -un; hostname";
    let output = daemon.docker(&[&arguments[..], &["busybox", "-c", script]].concat()).ok();
    assert_eq!(output, "b c\n/tmp\nnobody\nbox\n");
}

#[test]
fn ps_lists_filters_and_formats() {
    let daemon = engine();
    let id = sleeper(&daemon, "web");
    daemon.docker(&["create", "--name", "later", "--label", "tier=back", "busybox"]).ok();
    let names = |arguments: &[&str]| {
        let output = daemon.docker(&[&["ps", "--format", "{{.Names}}"][..], arguments].concat()).ok();
        output.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["web"]);
    assert_eq!(names(&["-a"]), ["later", "web"], "the newest first");
    assert_eq!(names(&["-a", "-f", "label=tier"]), ["later"]);
    assert_eq!(names(&["-a", "-f", "label=tier=front"]), [""; 0]);
    assert_eq!(names(&["-a", "-f", "name=we"]), ["web"]);
    assert_eq!(names(&["-a", "-f", "status=created"]), ["later"]);
    assert_eq!(names(&["-a", "-f", &format!("id={}", &id[..8])]), ["web"]);
    assert_eq!(names(&["-a", "-f", "ancestor=busybox"]).len(), 2);
    assert_eq!(names(&["-a", "-n", "1"]), ["later"]);
    let row = daemon.docker(&["ps", "--format", "{{.ID}} {{.Image}} {{.State}} {{.Status}} {{.Labels}}"]).ok();
    assert!(row.starts_with(&format!("{} busybox running Up ", &id[..12])), "{row}");
    let table = daemon.docker(&["ps", "-s"]).ok();
    assert!(table.contains("CONTAINER ID") && table.contains("virtual"), "{table}");
}

#[test]
fn stop_ends_a_container_that_listens_and_one_that_does_not() {
    let daemon = engine();
    sleeper(&daemon, "listens");
    daemon
        .docker(&["run", "-d", "--name", "deaf", "busybox", "sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
        .ok();
    daemon.docker(&["stop", "listens"]).ok();
    daemon.docker(&["stop", "-t", "1", "deaf"]).ok();
    let code = |name: &str| daemon.docker(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name]).ok();
    assert_eq!(code("listens"), "exited 0\n");
    assert_eq!(code("deaf"), "exited 137\n");
    daemon.docker(&["stop", "deaf"]).ok();
}

#[test]
fn start_restart_kill_and_wait_follow_a_container() {
    let daemon = engine();
    sleeper(&daemon, "web");
    let pid = || daemon.docker(&["inspect", "-f", "{{.State.Pid}}", "web"]).ok();
    let first = pid();
    daemon.docker(&["restart", "web"]).ok();
    assert_ne!(pid(), first);
    let waiting = {
        let mut wait = daemon.docker_command();
        wait.args(["wait", "web"]).stdout(std::process::Stdio::piped());
        wait.spawn().expect("docker can be started")
    };
    daemon.docker(&["kill", "web"]).ok();
    let waited = waiting.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&waited.stdout), "137\n");
    assert!(daemon.docker(&["kill", "web"]).fails().contains("is not running"));
    daemon.docker(&["start", "web"]).ok();
    listens(&daemon, "web", 3);
    daemon.docker(&["kill", "-s", "TERM", "web"]).ok();
    assert_eq!(daemon.docker(&["wait", "web"]).ok(), "0\n");
}

#[test]
fn pause_freezes_and_unpause_goes_on() {
    let daemon = engine();
    sleeper(&daemon, "web");
    daemon.docker(&["pause", "web"]).ok();
    assert_eq!(daemon.docker(&["inspect", "-f", "{{.State.Status}} {{.State.Paused}}", "web"]).ok(), "paused true\n");
    assert!(daemon.docker(&["ps"]).ok().contains("(Paused)"));
    assert!(daemon.docker(&["exec", "web", "true"]).fails().contains("is paused"));
    daemon.docker(&["unpause", "web"]).ok();
    daemon.docker(&["exec", "web", "true"]).ok();
}

#[test]
fn rename_gives_another_name_and_a_taken_one_is_refused() {
    let daemon = engine();
    sleeper(&daemon, "web");
    daemon.docker(&["rename", "web", "site"]).ok();
    assert_eq!(daemon.docker(&["ps", "--format", "{{.Names}}"]).ok(), "site\n");
    let refusal = daemon.docker(&["create", "--name", "site", "busybox"]).fails();
    assert!(refusal.contains("The container name \"/site\" is already in use by container"), "{refusal}");
    assert!(daemon.docker(&["inspect", "web"]).fails().contains("No such object: web"));
}

#[test]
fn rm_refuses_what_runs_unless_forced() {
    let daemon = engine();
    sleeper(&daemon, "web");
    let refusal = daemon.docker(&["rm", "web"]).fails();
    assert!(refusal.contains("running") || refusal.contains("stop the container"), "{refusal}");
    assert_eq!(daemon.docker(&["rm", "-f", "web"]).ok(), "web\n");
    assert!(daemon.docker(&["rm", "web"]).fails().contains("No such container: web"));
}

#[test]
fn inspect_has_what_clients_look_for() {
    let daemon = engine();
    let id = sleeper(&daemon, "web");
    let text = daemon.docker(&["inspect", "web"]).ok();
    let found: serde_json::Value = serde_json::from_str(&text).expect("inspect is JSON");
    let found = &found[0];
    assert_eq!(found["Id"], id.as_str());
    assert_eq!(found["Name"], "/web");
    assert_eq!(found["State"]["Running"], true);
    assert_eq!(found["Config"]["Image"], "busybox");
    assert_eq!(found["Config"]["Labels"], serde_json::json!({}));
    assert_eq!(found["Mounts"], serde_json::json!([]));
    assert!(found["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!(found["HostConfig"]["NetworkMode"], "bridge");
    assert_eq!(found["Path"], "sh");
    assert_eq!(found["RestartCount"], 0);
    for time in ["Created", "State.StartedAt", "State.FinishedAt"] {
        let value = time.split('.').fold(found, |value, part| &value[part]);
        let text = value.as_str().unwrap_or_default();
        assert!(chrono::DateTime::parse_from_rfc3339(text).is_ok(), "{time}: {value}");
    }
}

#[test]
fn top_and_stats_tell_what_runs() {
    let daemon = engine();
    sleeper(&daemon, "web");
    let top = daemon.docker(&["top", "web"]).ok();
    assert!(top.starts_with("UID") && top.contains("while :"), "{top}");
    let stats = daemon.docker(&["stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}"]).ok();
    assert!(stats.starts_with("web ") && stats.contains("iB / "), "{stats}");
}

#[test]
fn update_changes_limits_of_a_running_container() {
    let daemon = engine();
    sleeper(&daemon, "web");
    daemon.docker(&["update", "--memory", "64m", "--memory-swap", "64m", "--restart", "on-failure:3", "web"]).ok();
    let format =
        "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}";
    assert_eq!(daemon.docker(&["inspect", "-f", format, "web"]).ok(), "67108864 on-failure 3\n");
}

#[test]
fn a_restart_policy_brings_back_what_ends() {
    let daemon = engine();
    daemon.docker(&["run", "-d", "--name", "again", "--restart", "on-failure:2", "busybox", "false"]).ok();
    eventually("it has been started twice again", || {
        let text = daemon.docker(&["inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "again"]).ok();
        (text == "2 exited\n").then_some(())
    });
}

#[test]
fn prune_removes_what_does_not_run() {
    let daemon = engine();
    sleeper(&daemon, "web");
    let ended = daemon.docker(&["create", "busybox"]).ok();
    let pruned = daemon.docker(&["container", "prune", "-f"]).ok();
    assert!(pruned.contains(ended.trim()), "{pruned}");
    assert_eq!(daemon.docker(&["ps", "-a", "--format", "{{.Names}}"]).ok(), "web\n");
}

#[test]
fn info_and_version_tell_what_the_engine_is() {
    let daemon = engine();
    sleeper(&daemon, "web");
    let format = "{{.Driver}} {{.Containers}} {{.ContainersRunning}} {{.Images}} {{.OSType}} {{.Swarm.LocalNodeState}}";
    assert_eq!(daemon.docker(&["info", "-f", format]).ok(), "overlay2 1 1 1 linux inactive\n");
    let info = daemon.docker(&["info"]).ok();
    assert!(info.contains("Storage Driver: overlay2") && info.contains("seccomp"), "{info}");
    let version = daemon.docker(&["version", "-f", "{{.Server.Platform.Name}} {{.Server.APIVersion}}"]).ok();
    assert_eq!(version, "hoist 1.47\n");
    assert!(daemon.docker(&["swarm", "join-token", "worker"]).fails().contains("not a swarm manager"));
}
