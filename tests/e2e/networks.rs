//! Networks that are defined otherwise than they were made: in a running project, between two runs, and with somebody on
//! them who is not to be stopped.

use crate::support::Project;
use crate::support::engine::Container;
use crate::watch::edit;

const SHOP: &str = "
services:
  db: { image: hoist-test/busybox, command: sleep 1000, stop_signal: SIGKILL, networks: [back] }
  api:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    networks: [back, front]
    depends_on: [db]
  web: { image: hoist-test/busybox, command: sleep 1000, stop_signal: SIGKILL, networks: [front] }
networks:
  front:
  back: { internal: false }
";

/// Whether a network of the project has no way out.
fn is_internal(project: &Project, key: &str) -> bool {
    let name = format!("{}_{key}", project.name());
    let output = project.engine().docker(&["network", "inspect", "--format", "{{.Internal}}", &name]);
    output.stdout.trim() == "true"
}

/// Waits until the network is another one and the three containers run.
fn is_made_anew(project: &Project) {
    project.eventually("the network `back` is internal and everything runs", || {
        let containers = project.containers();
        is_internal(project, "back") && containers.len() == 3 && containers.iter().all(Container::runs)
    });
}

#[test]
fn a_network_that_is_edited_while_the_project_runs_is_made_anew_with_what_is_on_it_alone() {
    let project = Project::new(SHOP);
    let session = project.up();
    session.wait_for("3 containers up in");
    let (web, api) = (project.container("web"), project.container("api"));
    edit(&project, "internal: false", "internal: true");
    session.wait_for("manifest read anew: changes `api`, `db`");
    session.wait_for("db `compose.yaml` → replaced");
    session.wait_for("api `compose.yaml` → replaced");
    is_made_anew(&project);
    session.assert_running();
    let after = project.container("web");
    assert_eq!((after.id, after.started_at), (web.id, web.started_at), "{}", session.said());
    assert_ne!(project.container("api").id, api.id, "{}", session.said());
    // It has been made on the network that there is now, and can be started again there.
    project.hoist(&["restart", "api"]).success();
    is_made_anew(&project);
}

#[test]
fn a_network_that_was_edited_between_two_runs_is_made_anew_by_the_next_one() {
    let project = Project::new(SHOP);
    project.hoist(&["up", "-d"]).success();
    let web = project.container("web");
    edit(&project, "internal: false", "internal: true");
    project.hoist(&["plan"]).success().says(&["stop db-1", "network `back` changed", "remove network"]);
    project.hoist(&["up", "-d"]).success();
    is_made_anew(&project);
    let after = project.container("web");
    assert_eq!((after.id, after.started_at), (web.id, web.started_at));
    project.hoist(&["plan"]).success().says(&["nothing to do"]);
}

#[test]
fn a_network_that_others_of_the_project_are_on_stays_and_nothing_stops() {
    let project = Project::new(SHOP);
    project.hoist(&["up", "-d"]).success();
    let before = ["db", "api", "web"].map(|name| project.container(name).id);
    edit(&project, "internal: false", "internal: true");
    project.hoist(&["up", "-d", "db"]).fails().says(&["which is not part of this run"]);
    assert_eq!(["db", "api", "web"].map(|name| project.container(name).id), before);
    assert!(project.containers().iter().all(Container::runs) && !is_internal(&project, "back"));
}
