//! What `up -d` brings about, and what it leaves alone.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::support::Project;

const PAIR: &str = "
services:
  db: { image: hoist-test/busybox, command: sleep 1000, stop_signal: SIGKILL }
  web:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    environment: { COLOUR: red }
    depends_on: [db]
";

/// Each container's id and start: two equal answers mean that nothing was touched in between.
fn identities(project: &Project) -> BTreeMap<String, (String, DateTime<Utc>)> {
    project.containers().into_iter().map(|container| (container.name, (container.id, container.started_at))).collect()
}

#[test]
fn services_start_when_their_conditions_hold() {
    let project = Project::new(
        "
services:
  app:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on:
      db: { condition: service_healthy }
      job: { condition: service_completed_successfully }
      cache: { condition: service_started }
  cache: { image: hoist-test/busybox, command: sleep 1000, stop_signal: SIGKILL }
  job:
    image: hoist-test/busybox
    command: sleep 0.4
    depends_on:
      db: { condition: service_healthy }
  db:
    image: hoist-test/busybox
    command: sh -c 'sleep 0.5; touch /tmp/ready; sleep 1000'
    stop_signal: SIGKILL
    healthcheck: { test: [CMD, test, -e, /tmp/ready], interval: 200ms, retries: 100 }
",
    );
    project.hoist(&["up", "-d"]).success();
    let (app, cache, job, db) =
        (project.container("app"), project.container("cache"), project.container("job"), project.container("db"));
    assert!(app.runs() && cache.runs() && db.runs());
    assert_eq!((job.status.as_str(), job.exit_code), ("exited", 0));
    assert!((job.started_at - db.started_at).num_milliseconds() >= 450, "the job waited for the database's health");
    assert!(app.started_at >= job.finished_at, "the app waited for the job's end");
    assert!(cache.started_at < app.started_at);
    assert!(cache.started_at < job.started_at, "what has no conditions does not wait for others'");
}

#[test]
fn names_labels_network_and_volumes_are_those_of_docker_compose() {
    let project = Project::new(
        "
services:
  db:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    volumes: [data:/data]
    labels: { team: shop }
volumes: { data: }
",
    );
    project.hoist(&["up", "-d"]).success();
    let db = project.container("db");
    let name = project.name();
    assert_eq!(db.name, format!("{name}-db-1"));
    assert_eq!(db.label("com.docker.compose.oneoff"), "False");
    assert_eq!(db.label("com.docker.compose.container-number"), "1");
    assert!(!db.label("com.docker.compose.config-hash").is_empty());
    assert!(!db.label("com.docker.compose.version").is_empty());
    assert!(db.label("com.docker.compose.project.config_files").ends_with("/compose.yaml"));
    assert!(!db.label("com.docker.compose.project.working_dir").is_empty());
    assert_eq!(db.label("team"), "shop");
    assert_eq!(project.engine().networks(name), [format!("{name}_default")]);
    assert_eq!(project.engine().volumes(name), [format!("{name}_data")]);
}

#[test]
fn with_nothing_to_do_nothing_is_touched() {
    let project = Project::new(PAIR);
    project.hoist(&["up", "-d", "--wait"]).success();
    let before = identities(&project);
    project.hoist(&["up", "-d", "--wait"]).success();
    assert_eq!(identities(&project), before);
}

#[test]
fn a_changed_service_alone_is_recreated() {
    let project = Project::new(PAIR);
    project.hoist(&["up", "-d"]).success();
    let before = identities(&project);
    project.write("compose.yaml", &PAIR.replace("red", "blue"));
    project.hoist(&["up", "-d"]).success();
    let after = identities(&project);
    let (db, web) = (format!("{}-db-1", project.name()), format!("{}-web-1", project.name()));
    assert_eq!(after[&db], before[&db]);
    assert_ne!(after[&web].0, before[&web].0);
    assert_eq!(after.len(), 2, "the one replaced is gone: {after:#?}");
}

#[test]
fn who_depends_with_restart_follows_a_recreated_dependency() {
    let manifest = "
services:
  db: { image: hoist-test/busybox, command: sleep 1000, stop_signal: SIGKILL, environment: { COLOUR: red } }
  follower:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: { db: { condition: service_started, restart: true } }
  other:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: [db]
";
    let project = Project::new(manifest);
    project.hoist(&["up", "-d"]).success();
    let (follower, other) = (project.container("follower"), project.container("other"));
    project.write("compose.yaml", &manifest.replace("red", "blue"));
    project.hoist(&["up", "-d"]).success();
    let db = project.container("db");
    let again = project.container("follower");
    assert!(again.runs() && again.started_at > follower.started_at, "the follower started again");
    assert!(again.started_at >= db.started_at, "and after its dependency");
    let left = project.container("other");
    assert_eq!((left.id, left.started_at), (other.id, other.started_at), "who did not ask for it is left alone");
}

#[test]
fn force_recreate_replaces_all_and_no_recreate_none() {
    let project = Project::new(PAIR);
    project.hoist(&["up", "-d"]).success();
    let first = identities(&project);
    project.hoist(&["up", "-d", "--force-recreate"]).success();
    let second = identities(&project);
    assert_eq!(second.len(), 2);
    assert!(first.iter().all(|(name, identity)| second[name].0 != identity.0));
    project.write("compose.yaml", &PAIR.replace("red", "blue"));
    project.hoist(&["up", "-d", "--no-recreate"]).success();
    assert_eq!(identities(&project), second);
}

#[test]
fn named_services_start_with_what_they_need_unless_told_not_to() {
    let manifest =
        format!("{PAIR}  other: {{ image: hoist-test/busybox, command: sleep 1000, stop_signal: SIGKILL }}\n");
    let project = Project::new(&manifest);
    project.hoist(&["up", "-d", "--no-deps", "web"]).success();
    let services = || project.containers().into_iter().map(|container| container.service).collect::<Vec<_>>();
    assert_eq!(services(), ["web"]);
    project.hoist(&["up", "-d", "web"]).success();
    assert_eq!(services(), ["db", "web"]);
    project.hoist(&["up", "-d"]).success();
    assert_eq!(services(), ["db", "other", "web"]);
}

#[test]
fn replicas_are_numbered_and_scaled_both_ways() {
    let project = Project::new(
        "
services:
  worker: { image: hoist-test/busybox, command: sleep 1000, stop_signal: SIGKILL, deploy: { replicas: 2 } }
",
    );
    let numbers = || {
        let containers = project.containers();
        containers.iter().map(|one| one.label("com.docker.compose.container-number").to_owned()).collect::<Vec<_>>()
    };
    project.hoist(&["up", "-d"]).success();
    assert_eq!(numbers(), ["1", "2"]);
    let first = identities(&project);
    project.hoist(&["up", "-d", "--scale", "worker=3"]).success();
    assert_eq!(numbers(), ["1", "2", "3"]);
    assert!(first.iter().all(|(name, identity)| identities(&project)[name] == *identity), "the first two stay");
    project.hoist(&["up", "-d", "--scale", "worker=1"]).success();
    assert_eq!(numbers(), ["1"]);
    project.hoist(&["up", "-d", "--scale", "worker=0"]).success();
    assert!(numbers().is_empty());
}

#[test]
fn waiting_ends_when_everything_is_healthy_or_has_done_what_others_needed() {
    let project = Project::new(
        "
services:
  web:
    image: hoist-test/busybox
    command: sh -c 'sleep 0.5; touch /tmp/ready; sleep 1000'
    stop_signal: SIGKILL
    healthcheck: { test: [CMD, test, -e, /tmp/ready], interval: 200ms, retries: 100 }
    depends_on: { job: { condition: service_completed_successfully } }
  job: { image: hoist-test/busybox, command: 'true' }
",
    );
    project.hoist(&["up", "-d", "--wait"]).success();
    // The engine may learn of it at its next interval only.
    project.hoist(&["exec", "-T", "web", "test", "-e", "/tmp/ready"]).success();
    project.eventually("the engine says so too", || project.container("web").health == "healthy");
    assert_eq!(project.container("job").exit_code, 0);
}

#[test]
fn waiting_gives_up_on_what_is_never_healthy() {
    let project = Project::new(
        "
services:
  web:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: { test: [CMD, 'false'], interval: 100ms, retries: 2 }
",
    );
    project.hoist(&["up", "-d", "--wait"]).exits_with(1).says(&["web", "unhealthy"]);
}

#[test]
fn waiting_ends_after_its_timeout() {
    let project = Project::new(
        "
services:
  web:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: { test: [CMD, 'false'], interval: 1s, retries: 1000 }
",
    );
    let output = project.hoist(&["up", "-d", "--wait", "--wait-timeout", "1"]).exits_with(1);
    assert!(output.took.as_secs() < 20, "{output}");
}

#[test]
fn an_image_is_built_when_it_is_missing_and_again_only_when_its_files_changed() {
    let project = Project::new("services:\n  app: { build: ., command: sleep 1000, stop_signal: SIGKILL }\n");
    project.write("Dockerfile", "FROM hoist-test/busybox\nCOPY note /note\n");
    project.write("note", "one");
    let image = format!("{}-app", project.name());
    assert_eq!(project.engine().image(&image), None);
    project.hoist(&["up", "-d", "--no-build"]).exits_with(1).says(&["app"]);
    project.hoist(&["up", "-d"]).success();
    let first = project.container("app");
    assert_eq!(project.engine().image(&image).as_deref(), Some(first.image.as_str()));
    project.hoist(&["up", "-d"]).success();
    assert_eq!(project.container("app").id, first.id, "the same files give the same container");
    project.write("note", "two");
    project.hoist(&["up", "-d", "--build"]).success();
    let second = project.container("app");
    assert_ne!(second.image, first.image);
    assert_eq!(project.hoist(&["exec", "-T", "app", "cat", "/note"]).success().stdout.trim(), "two");
}

#[test]
fn building_again_without_a_change_keeps_the_container() {
    let project = Project::new("services:\n  app: { build: ., command: sleep 1000, stop_signal: SIGKILL }\n");
    project.write("Dockerfile", "FROM hoist-test/busybox\nCOPY note /note\n");
    project.write("note", "one");
    project.hoist(&["up", "-d"]).success();
    let before = identities(&project);
    project.hoist(&["up", "-d", "--build"]).success();
    assert_eq!(identities(&project), before);
}

#[test]
fn containers_of_services_that_are_gone_are_named_and_removed_on_demand() {
    let project = Project::new(PAIR);
    project.hoist(&["up", "-d"]).success();
    let lonely = "services:\n  db: { image: hoist-test/busybox, command: sleep 1000, stop_signal: SIGKILL }\n";
    project.write("compose.yaml", lonely);
    let orphan = format!("{}-web-1", project.name());
    project.hoist(&["up", "-d"]).success().says(&[&orphan]);
    assert!(project.container("web").runs());
    project.hoist(&["up", "-d", "--remove-orphans"]).success();
    assert!(project.containers().iter().all(|container| container.service == "db"));
}

#[test]
fn a_volume_keeps_its_data_when_the_container_is_replaced() {
    let project = Project::new(
        "
services:
  db:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    volumes: ['data:/named', /anonymous]
volumes: { data: }
",
    );
    project.hoist(&["up", "-d"]).success();
    project.hoist(&["exec", "-T", "db", "sh", "-c", "echo kept | tee /named/file /anonymous/file"]).success();
    project.hoist(&["up", "-d", "--force-recreate"]).success();
    let kept = project.hoist(&["exec", "-T", "db", "cat", "/named/file", "/anonymous/file"]).success();
    assert_eq!(kept.lines(), ["kept", "kept"]);
}

#[test]
fn a_stopped_service_is_started_again_and_not_recreated() {
    let project = Project::new(PAIR);
    project.hoist(&["up", "-d"]).success();
    let before = project.container("web");
    project.hoist(&["stop", "web"]).success();
    assert_eq!(project.container("web").status, "exited");
    project.hoist(&["up", "-d"]).success();
    let after = project.container("web");
    assert!(after.runs());
    assert_eq!(after.id, before.id);
}
