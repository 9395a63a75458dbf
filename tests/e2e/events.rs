//! What a run tells while it goes on, to those who follow it from elsewhere, and what its start was spent on.

use rustix::process::Signal;

use crate::support::Project;

const SHOP: &str = "
services:
  db:
    image: hoist-test/busybox
    command: sh -c 'sleep 0.6; touch /ready; exec sleep 1000'
    stop_signal: SIGKILL
    healthcheck: { test: [CMD, test, -e, /ready], interval: 5s }
  web:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on:
      db: { condition: service_healthy }
    develop:
      watch:
        - { action: sync, path: ./src, target: /src }
";

#[test]
fn events_tell_of_a_start_and_of_a_save_to_whoever_follows() {
    let project = Project::new(SHOP);
    project.write("src/a.txt", "one");
    let events = project.start(&["events", "--since", "1h"]);
    let objects = project.start(&["events", "--since", "1h", "--format", "json", "web"]);
    let up = project.up();
    events.wait_for("db-1 healthy in");
    events.wait_for("2 containers up in");
    project.write("src/a.txt", "two");
    events.wait_for("src/a.txt` → synced");
    objects.wait_for(r#""notice":"edited","edits":[1],"service":"web""#);
    let (said, told) = (events.said(), objects.said());
    assert!(!said.contains("changed: "), "only the whole is told: {said}");
    assert!(!told.contains(r#""service":"db""#), "only what was asked for: {told}");
    let earlier = project.hoist(&["events", "--since", "1h", "--until", "0s", "web"]).success();
    earlier.says(&["web-1 started in", "src/a.txt` → synced"]);
    assert_eq!(project.hoist(&["events", "--until", "0s"]).success().stdout, "", "nothing comes after now");
    for session in [&events, &up] {
        session.signal(Signal::INT);
        assert_eq!(session.exit_code(), Some(130), "{}", session.said());
    }
}

#[test]
fn a_start_says_on_request_what_it_waited_for_and_what_would_shorten_it() {
    let project = Project::new(SHOP);
    project.write("src/a.txt", "one");
    let up = project.hoist(&["up", "-d", "--wait", "--timings"]).success();
    up.says(&[
        "AT ",
        "CRITICAL PATH",
        "engine asked what is there",
        "db-1 started",
        "db-1 healthy; web waits for service_healthy",
        "web-1 started",
        "less: let `db` be ready sooner, or `web` need `condition: service_started` only",
    ]);
    let quiet = project.hoist(&["up", "-d"]).success();
    assert!(!quiet.stderr.contains("CRITICAL PATH"), "{quiet}");
}
