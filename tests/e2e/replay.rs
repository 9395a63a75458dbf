//! The journal that a run leaves, and what `hoist replay` makes of it.

use crate::support::Project;

const PAIR: &str = "
services:
  db:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: { test: [CMD, 'true'], interval: 200ms }
  web:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    environment: { PASSWORD: hunter2-and-more }
    depends_on:
      db: { condition: service_healthy }
";

#[test]
fn a_run_that_is_replayed_decides_what_it_decided() {
    let project = Project::new(PAIR);
    project.hoist(&["replay"]).fails().says(&["no run of", "has left a journal", "--no-journal"]);
    project.hoist(&["--no-journal", "up", "-d"]).success();
    project.hoist(&["replay"]).fails().says(&["has left a journal"]);
    project.hoist(&["up", "-d", "--force-recreate"]).success();
    let replayed = project.hoist(&["replay"]).success();
    let replayed =
        replayed.says(&["the run begins", "keep db-1", "end with code 0", "replayed as they were journaled"]);
    assert!(!replayed.stdout.contains("hunter2"), "{replayed}");
    // What runs is as it was asked for, although the journal does not know the values that it was made from.
    project.hoist(&["up", "-d"]).success();
    let again = project.hoist(&["replay"]).success();
    assert!(!again.stdout.contains("create "), "{again}");
    let objects = project.hoist(&["replay", "--format", "json"]).success();
    let first: serde_json::Value = serde_json::from_str(objects.lines()[0]).expect("an object a line");
    assert_eq!(first["step"], 0);
}
