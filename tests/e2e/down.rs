//! What `down` removes, and what it leaves.

use crate::support::Project;

const MANIFEST: &str = "
services:
  db:
    image: hoist-test/busybox
    command: sh -c 'trap \"exit 0\" TERM; while :; do sleep 0.05; done'
    volumes: ['data:/data']
  web:
    build: .
    command: sh -c 'trap \"exit 0\" TERM; while :; do sleep 0.05; done'
    depends_on: [db]
volumes: { data: }
";

fn project() -> Project {
    let project = Project::new(MANIFEST);
    project.write("Dockerfile", "FROM hoist-test/busybox\nENV HELLO=world\n");
    project
}

#[test]
fn down_removes_containers_and_networks_and_keeps_volumes_and_images() {
    let project = project();
    project.hoist(&["up", "-d"]).success();
    project.hoist(&["down"]).success();
    let (engine, name) = (project.engine(), project.name());
    assert!(project.containers().is_empty());
    assert!(engine.networks(name).is_empty());
    assert_eq!(engine.volumes(name), [format!("{name}_data")]);
    assert!(engine.image(&format!("{name}-web")).is_some());
    project.hoist(&["down"]).success();
}

#[test]
fn down_with_volumes_and_images_leaves_nothing_of_the_project() {
    let project = project();
    project.hoist(&["up", "-d"]).success();
    project.hoist(&["down", "-v", "--rmi", "local"]).success();
    let (engine, name) = (project.engine(), project.name());
    assert!(project.containers().is_empty());
    assert!(engine.volumes(name).is_empty());
    assert_eq!(engine.image(&format!("{name}-web")), None);
    assert!(engine.image("hoist-test/busybox").is_some(), "an image that the manifest names is not local");
}

#[test]
fn dependents_stop_first() {
    let project = project();
    project.hoist(&["up", "-d"]).success();
    let session = project.start(&["stop"]);
    assert_eq!(session.exit_code(), Some(0));
    let (db, web) = (project.container("db"), project.container("web"));
    assert!(web.finished_at <= db.finished_at, "{} then {}", web.finished_at, db.finished_at);
    assert_eq!((db.exit_code, web.exit_code), (0, 0), "both had their chance to end by themselves");
}

#[test]
fn down_needs_a_name_and_no_manifest() {
    let project = project();
    project.hoist(&["up", "-d"]).success();
    std::fs::remove_file(project.path("compose.yaml")).expect("remove the manifest");
    project.hoist(&["-p", project.name(), "down"]).success();
    assert!(project.containers().is_empty());
    assert!(project.engine().networks(project.name()).is_empty());
}

#[test]
fn down_waits_no_longer_than_it_is_told_to() {
    let project = Project::new("services:\n  deaf: { image: hoist-test/busybox, command: sleep 1000 }\n");
    project.hoist(&["up", "-d"]).success();
    let output = project.hoist(&["down", "-t", "0"]).success();
    assert!(output.took.as_secs() < 8, "process 1 ignores the signal, and has no 10 s to do so: {output}");
    assert!(project.containers().is_empty());
}

#[test]
fn down_of_some_services_keeps_the_others_and_the_network() {
    let project = project();
    project.hoist(&["up", "-d"]).success();
    project.hoist(&["down", "web"]).success();
    assert_eq!(project.containers().len(), 1);
    assert!(project.container("db").runs());
    assert_eq!(project.engine().networks(project.name()).len(), 1);
}

#[test]
fn orphans_go_when_asked_for() {
    let project = project();
    project.hoist(&["up", "-d"]).success();
    project.write("compose.yaml", "services:\n  db: { image: hoist-test/busybox, command: sleep 1000 }\n");
    project.hoist(&["down", "--remove-orphans", "-t", "1"]).success();
    assert!(project.containers().is_empty());
}
