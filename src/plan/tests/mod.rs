//! Plans as text: what is there, what is asked for, what is left to do.

mod commands;
mod conditions;
mod copies;
mod exchange;
mod images;
mod networks;
mod spec;
mod stuck;
mod teardown;

use std::collections::{BTreeMap, BTreeSet};

use super::fixtures::{ServiceExt as _, container, goal_up, image, prepared, project, service, up, with};
use super::goal::{BuildPolicy, Down, Goal, RemoveImages, Until, Up};
use super::observed::{Container, ContainerState, Health, Observed, ObservedVolume, PublishedPort};
use super::operation::{Keep, Operation, Subject};
use super::spec::label;
use super::{Facts, PendingSync, Situation, plan};
use crate::change::SyncFiles;
use crate::graph::Graph;
use crate::project::{
    Condition, Hook, ModelUse, Mount, MountSource, Network, Port, Project, Protocol, Published, RestartPolicy, Service,
    Volume,
};

fn text(project: &Project, goal: &Goal, observed: &Observed, facts: &Facts) -> String {
    let graph = Graph::new(project).expect("the tests' projects have no cycles");
    plan(Situation { project, graph: &graph, goal, observed, facts }).to_string()
}

#[track_caller]
fn assert_up(project: &Project, observed: &Observed, expected: &str) {
    let facts = Facts::new(project);
    assert_plan(project, &goal_up(project), observed, &facts, expected);
}

#[track_caller]
fn assert_plan(project: &Project, goal: &Goal, observed: &Observed, facts: &Facts, expected: &str) {
    let expected: String = expected.lines().map(|line| format!("{}\n", line.trim())).filter(|it| it != "\n").collect();
    similar(&text(project, goal, observed, facts), &expected);
}

#[track_caller]
fn similar(actual: &str, expected: &str) {
    assert!(actual == expected, "the plan is\n{actual}\ninstead of\n{expected}");
}

fn running(project: &Project) -> Observed {
    let containers = project.services.values().map(|service| {
        let mut made = container(project, &service.name, 1, ContainerState::Running);
        made.health = if service.healthcheck.is_some() { Health::Healthy } else { Health::None };
        made
    });
    with(prepared(project), containers)
}

/// Files of a service that are waiting to be copied to where it has them.
fn pending(names: &[&str]) -> PendingSync {
    let copied = names.iter().map(|name| (format!("/shop/{name}").into(), format!("/app/{name}"))).collect();
    PendingSync { files: SyncFiles { copied, ..SyncFiles::default() }, ..PendingSync::default() }
}

#[test]
fn a_first_up_makes_the_network_and_images_then_containers_then_starts_by_condition() {
    let project = project([service("db").checked(), service("api").built().needs("db", Condition::Healthy)]);
    assert_up(
        &project,
        &Observed::default(),
        "create network default (does not exist)
         pull image of db (does not exist)
         create db-1 (does not exist): waits for image `db:1`, waits for network `default`
         start db-1 (does not exist): waits for its container
         build image of api (does not exist)
         create api-1 (does not exist): waits for image `shop-api`, waits for network `default`
         start api-1 (does not exist): waits for `db` to be healthy, waits for its container",
    );
}

#[test]
fn nothing_is_left_to_do_when_everything_runs_as_asked() {
    let project = project([service("db").checked(), service("api").needs("db", Condition::Healthy)]);
    assert_up(&project, &running(&project), "");
}

#[test]
fn containers_of_an_earlier_run_are_started_again_in_order() {
    let project = project([service("db").checked(), service("api").needs("db", Condition::Healthy)]);
    let stopped = |name| container(&project, name, 1, ContainerState::Exited(0));
    let observed = with(prepared(&project), [stopped("db"), stopped("api")]);
    let facts = Facts { pending: ["db-1".into(), "api-1".into()].into(), ..Facts::new(&project) };
    assert_plan(
        &project,
        &goal_up(&project),
        &observed,
        &facts,
        "start db-1 (is not running)
         start api-1 (is not running): waits for `db` to be healthy",
    );
}

#[test]
fn a_container_that_exits_is_started_again_only_when_its_policy_says_so() {
    let project = project([
        service("always").restart(RestartPolicy::Always),
        service("failing").restart(RestartPolicy::OnFailure { max_retries: None }),
        service("done").restart(RestartPolicy::OnFailure { max_retries: None }),
        service("once"),
    ]);
    let exited = |name, code| container(&project, name, 1, ContainerState::Exited(code));
    let containers = [exited("always", 0), exited("failing", 1), exited("done", 0), exited("once", 1)];
    let facts = Facts { back_off: [("failing".into(), 1)].into(), ..Facts::new(&project) };
    assert_plan(
        &project,
        &goal_up(&project),
        &with(prepared(&project), containers),
        &facts,
        "start always-1 (exited with code 0)
         start failing-1 (exited with code 1): is tried again shortly",
    );
}

#[test]
fn replicas_are_added_at_free_numbers_and_removed_from_the_highest() {
    let more = project([service("api").times(3)]);
    let observed = with(prepared(&more), [container(&more, "api", 2, ContainerState::Running)]);
    assert_up(
        &more,
        &observed,
        "create api-1 (does not exist)
         start api-1 (does not exist): waits for its container
         create api-3 (does not exist)
         start api-3 (does not exist): waits for its container",
    );
    let fewer = project([service("api")]);
    let both = [1, 2].map(|number| container(&fewer, "api", number, ContainerState::Running));
    assert_up(&fewer, &with(prepared(&fewer), both), "remove api-2 (more replicas than wanted)");
}

#[test]
fn orphans_are_removed_only_when_asked() {
    let before = project([service("api"), service("old")]);
    let observed = running(&before);
    let after = project([service("api")]);
    assert_up(&after, &observed, "");
    let mut up = up(&after, Until::Started);
    up.remove_orphans = true;
    let expected = "remove old-1 (not in the manifest)";
    assert_plan(&after, &Goal::Up(up), &observed, &Facts::new(&after), expected);
}

#[test]
fn an_external_network_that_is_not_there_is_a_failure_that_says_how_to_make_it() {
    let mut project = project([service("api")]);
    project.networks.get_mut("default").expect("it has one").external = true;
    let mut observed = prepared(&project);
    observed.networks.clear();
    let plan = text(&project, &goal_up(&project), &observed, &Facts::new(&project));
    assert!(plan.contains("external network `shop_default` does not exist; create it with"), "{plan}");
}

#[test]
fn nothing_is_done_twice_at_once_to_the_same_thing() {
    let project = project([service("api")]);
    let facts = Facts { busy: [Subject::Replica("api".into(), 1)].into(), ..Facts::new(&project) };
    assert_plan(
        &project,
        &goal_up(&project),
        &prepared(&project),
        &facts,
        "create api-1 (does not exist): waits for an operation under way
         start api-1 (does not exist): waits for its container, waits for an operation under way",
    );
}

#[test]
fn the_volumes_that_services_use_are_made_before_their_containers() {
    let volume = |name: &str| Volume { name: name.into(), ..Volume::default() };
    let source = MountSource::Volume { key: "data".into(), nocopy: false, subpath: None };
    let mount = Mount { target: "/data".into(), read_only: false, source };
    let mut project = project([Service { mounts: vec![mount], ..service("db") }]);
    project.volumes = [("data".into(), volume("shop_data")), ("unused".into(), volume("shop_unused"))].into();
    let mut observed = prepared(&project);
    assert_up(
        &project,
        &observed,
        "create volume data (does not exist)
         create db-1 (does not exist): waits for volume `data`
         start db-1 (does not exist): waits for its container",
    );
    observed.volumes.insert("shop_data".into(), ObservedVolume::default());
    assert_up(
        &project,
        &observed,
        "create db-1 (does not exist)
         start db-1 (does not exist): waits for its container",
    );
}

#[test]
fn states_are_called_what_docker_calls_them() {
    use ContainerState::{Created, Dead, Exited, Paused, Removing, Restarting, Running};
    let words = [Created, Running, Paused, Restarting, Removing, Exited(1), Dead].map(ContainerState::as_str);
    assert_eq!(words, ["created", "running", "paused", "restarting", "removing", "exited", "dead"]);
}

#[test]
fn what_a_saved_manifest_takes_out_is_removed_and_frees_its_port_first() {
    let before = project([service("api"), service("old")]);
    let port = Port {
        target: 80,
        published: Published::Port(80),
        host_ip: None,
        protocol: Protocol::Tcp,
        name: None,
        app_protocol: None,
    };
    let after = project([service("api"), Service { ports: vec![port], ..service("new") }]);
    let mut observed = running(&before);
    observed.images.extend(prepared(&after).images);
    let published = PublishedPort { host_ip: "0.0.0.0".into(), host_port: 80, target: 80, protocol: "tcp".into() };
    observed.containers.get_mut("old-1").expect("it runs").ports = vec![published];
    let job = Container { id: "job".into(), one_off: true, ..container(&before, "old", 7, ContainerState::Running) };
    let facts = Facts { dropped: ["old".into()].into(), ..Facts::new(&after) };
    assert_plan(
        &after,
        &goal_up(&after),
        &with(observed, [job]),
        &facts,
        "remove old-1 (not in the manifest)
         create new-1 (does not exist)
         start new-1 (does not exist): waits for its container, waits for `shop-old-1` to be removed",
    );
}

#[test]
fn models_are_made_ready_once_before_the_containers_that_are_told_of_them() {
    let variables = || ModelUse { endpoint_variable: "LLM_URL".into(), model_variable: "LLM_MODEL".into() };
    let shop = project([Service { models: [("llm".into(), variables())].into(), ..service("api") }]);
    let mut facts = Facts::new(&shop);
    assert_plan(
        &shop,
        &goal_up(&shop),
        &prepared(&shop),
        &facts,
        "prepare model llm (asked for)
         create api-1 (does not exist): waits for model `llm`
         start api-1 (does not exist): waits for its container",
    );
    facts.provided.models.insert("llm".into(), "http://models".into());
    assert_plan(
        &shop,
        &goal_up(&shop),
        &prepared(&shop),
        &facts,
        "create api-1 (does not exist)
         start api-1 (does not exist): waits for its container",
    );
}
