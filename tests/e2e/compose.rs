//! hoist and docker compose on the same project: each sees what the other made.

use crate::support::{Project, free_port, http, peers_are_here};

const PAIR: &str = "
services:
  db:
    image: hoist-test/busybox
    command: sh -c 'echo from db; exec sleep 1000'
    stop_signal: SIGKILL
    volumes: ['data:/data']
  web:
    image: hoist-test/busybox
    command: sh -c 'echo from web; exec sleep 1000'
    stop_signal: SIGKILL
    depends_on: [db]
volumes: { data: }
";

#[test]
fn docker_compose_sees_and_ends_a_project_of_hoist() {
    if !peers_are_here() {
        return;
    }
    let project = Project::new(PAIR);
    project.hoist(&["up", "-d"]).success();
    assert_eq!(project.compose(&["ps", "--services"]).success().lines().len(), 2);
    project.eventually("docker compose shows the logs", || {
        let logs = project.compose(&["logs"]).success();
        logs.stdout.contains("from db") && logs.stdout.contains("from web")
    });
    project.compose(&["exec", "-T", "web", "true"]).success();
    project.compose(&["restart", "web"]).success();
    project.compose(&["down", "-v"]).success();
    assert!(project.containers().is_empty());
    assert!(project.engine().networks(project.name()).is_empty());
    assert!(project.engine().volumes(project.name()).is_empty());
}

#[test]
fn hoist_sees_and_ends_a_project_of_docker_compose() {
    if !peers_are_here() {
        return;
    }
    let project = Project::new(PAIR);
    project.compose(&["up", "-d"]).success();
    assert_eq!(project.hoist(&["ps", "--services"]).success().lines(), ["db", "web"]);
    project.eventually("hoist shows the logs", || {
        let logs = project.hoist(&["logs"]).success();
        logs.stdout.contains("from db") && logs.stdout.contains("from web")
    });
    project.hoist(&["exec", "-T", "web", "true"]).success();
    project.hoist(&["stop", "web"]).success();
    project.hoist(&["down", "-v"]).success();
    assert!(project.containers().is_empty());
    assert!(project.engine().networks(project.name()).is_empty());
    assert!(project.engine().volumes(project.name()).is_empty());
}

#[test]
fn hoist_takes_over_what_docker_compose_started() {
    if !peers_are_here() {
        return;
    }
    let project = Project::new(PAIR);
    project.compose(&["up", "-d"]).success();
    project.hoist(&["up", "-d", "--wait"]).success();
    assert_eq!(project.containers().len(), 2);
    assert!(project.containers().iter().all(crate::support::engine::Container::runs));
}

#[test]
fn both_read_the_same_project_out_of_the_examples() {
    if !peers_are_here() {
        return;
    }
    for example in ["shop", "ledger"] {
        let project = Project::example(example);
        let read = |output: crate::support::Output| {
            let mut json = output.success().json();
            // Where docker compose was told nothing it says nothing; what matters is what both say.
            json["services"].take()
        };
        let (ours, theirs) = (
            read(project.hoist(&["config", "--format", "json"])),
            read(project.compose(&["config", "--format", "json"])),
        );
        let (ours, theirs) = (ours.as_object().expect("services"), theirs.as_object().expect("services"));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        for (name, service) in theirs {
            for key in ["build", "ports", "environment", "volumes", "depends_on", "healthcheck", "restart"] {
                assert_eq!(ours[name].get(key), service.get(key), "`{key}` of `{name}` of {example}");
            }
        }
    }
}

#[test]
fn docker_compose_builds_runs_watches_and_ends_the_shop() {
    if !peers_are_here() {
        return;
    }
    let port = free_port();
    // The classic builder is the one that every engine has.
    let project = Project::example("shop").with("SHOP_PORT", &port.to_string()).with("DOCKER_BUILDKIT", "0");
    project.compose(&["build"]).success();
    project.compose(&["up", "-d", "--wait"]).success();
    assert_eq!(project.compose(&["ps", "--services", "--status", "running"]).success().lines().len(), 5);
    project.eventually("the shop is open", || http::get(port, "/").is_some_and(|page| page.contains("Ada")));
    http::post(port, "/orders", r#"{"user": 2, "sku": "lamp", "quantity": 1}"#).expect("the order is taken");
    project.eventually("the logs tell of the order", || {
        project.compose(&["logs", "notifier"]).success().stdout.contains("to everyone: order 2")
    });
    project.compose(&["exec", "-T", "orders", "node", "-e", "process.exit(7)"]).exits_with(7);

    let watch = project.start_compose(&["watch", "--no-up"]);
    watch.wait_for("Watch enabled");
    let code = project.read("users/server.js");
    project.write("users/server.js", &code.replace("Grace", "Barbara"));
    project.eventually("the new name is served", || http::get(port, "/").is_some_and(|page| page.contains("Barbara")));
    drop(watch);

    project.compose(&["down", "-v"]).success();
    assert!(project.containers().is_empty());
    assert!(project.engine().networks(project.name()).is_empty());
}
