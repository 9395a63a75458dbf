//! Healthchecks that are run before their first interval has passed.

use crate::support::{Daemon, eventually};

/// Longer than any test waits.
const NEVER: [&str; 4] = ["--health-interval", "10m", "--health-retries", "1"];

fn engine() -> Daemon {
    let daemon = Daemon::start();
    daemon.busybox();
    daemon
}

fn starts(daemon: &Daemon, options: &[&str], check: &str, script: &str) {
    let run = [&["run", "-d", "--init", "--name", "web", "--health-cmd", check], options, &NEVER].concat();
    daemon.docker(&[&run[..], &["busybox", "sh", "-c", script]].concat()).ok();
}

fn health(daemon: &Daemon, format: &str) -> String {
    let format = format!("{{{{with .State.Health}}}}{format}{{{{end}}}}");
    daemon.docker(&["inspect", "--format", &format, "web"]).ok().trim().to_owned()
}

fn becomes_healthy(daemon: &Daemon) {
    eventually("it is healthy", || (health(daemon, "{{.Status}}") == "healthy").then_some(()));
    let events = ["events", "--since", "1h", "--until", "0s", "--filter", "event=health_status"];
    assert!(daemon.docker(&events).ok().contains("health_status: healthy"));
}

#[test]
fn a_healthcheck_is_run_as_soon_as_the_container_listens_on_a_port_of_its() {
    let daemon = engine();
    // The first probe by time alone would come too early, and the next ones are few.
    let script = "sleep 1; mkdir /w; echo well >/w/i; httpd -f -p 8080 -h /w";
    starts(&daemon, &["--expose", "8080"], "wget -q -O /dev/null http://127.0.0.1:8080/i", script);
    becomes_healthy(&daemon);
    assert_eq!(health(&daemon, "{{.FailingStreak}} {{(index .Log 0).ExitCode}}").split(' ').next(), Some("0"));
}

#[test]
fn without_a_known_port_a_healthcheck_is_run_soon_and_its_failures_count_for_nothing() {
    let daemon = engine();
    starts(&daemon, &[], "echo looked; test -e /well", "sleep 1; touch /well; sleep 1000");
    eventually("it is probed in vain", || {
        let seen = health(&daemon, "{{.Status}} {{.FailingStreak}} {{range .Log}}{{.ExitCode}} {{.Output}}{{end}}");
        (seen.starts_with("starting 0 1 looked")).then_some(())
    });
    becomes_healthy(&daemon);
}
