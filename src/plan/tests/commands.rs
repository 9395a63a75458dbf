//! `start` and `restart`: nothing is made, and every container is dealt with once.

use super::*;

fn all(project: &Project) -> BTreeSet<String> {
    project.services.keys().cloned().collect()
}

fn pair() -> Project {
    project([service("db"), service("api").needs("db", Condition::Started)])
}

#[test]
fn start_starts_what_did_not_run_when_it_began_and_makes_nothing() {
    let shop =
        project([service("db"), service("api").needs("db", Condition::Started), service("gone"), service("web")]);
    let containers = [
        container(&shop, "db", 1, ContainerState::Exited(0)),
        container(&shop, "api", 1, ContainerState::Created),
        container(&shop, "web", 1, ContainerState::Running),
    ];
    let goal = Goal::Start { services: all(&shop) };
    let observed = with(prepared(&shop), containers);
    let mut facts = Facts { pending: ["db-1", "api-1", "web-1"].map(String::from).into(), ..Facts::new(&shop) };
    assert_plan(
        &shop,
        &goal,
        &observed,
        &facts,
        "start db-1 (is not running)
         start api-1 (is not running): waits for `db` to start",
    );
    // What has been started and has exited since is not started again.
    facts.pending.remove("db-1");
    assert_plan(&shop, &goal, &observed, &facts, "start api-1 (is not running)");
}

#[test]
fn restart_restarts_every_container_once_dependencies_first() {
    let shop = pair();
    let goal = Goal::Restart { services: all(&shop), grace: None, no_deps: false };
    let mut facts = Facts { pending: ["db-1", "api-1"].map(String::from).into(), ..Facts::new(&shop) };
    assert_plan(
        &shop,
        &goal,
        &running(&shop),
        &facts,
        "restart db-1 (asked for)
         restart api-1 (asked for): waits for db",
    );
    facts.pending.remove("db-1");
    assert_plan(&shop, &goal, &running(&shop), &facts, "restart api-1 (asked for)");
    facts.pending.clear();
    assert_plan(&shop, &goal, &running(&shop), &facts, "");
}

#[test]
fn start_is_content_with_the_replicas_that_there_are_but_not_without_any() {
    let shop = project([service("db").times(2), service("api").needs("db", Condition::Started)]);
    let goal = Goal::Start { services: all(&shop) };
    let facts = Facts { pending: ["api-1".into()].into(), ..Facts::new(&shop) };
    let alone = with(prepared(&shop), [container(&shop, "api", 1, ContainerState::Created)]);
    let expected = "start api-1 (is not running): dependency `db` has no container";
    assert_plan(&shop, &goal, &alone, &facts, expected);
    let one = with(alone, [container(&shop, "db", 1, ContainerState::Running)]);
    assert_plan(&shop, &goal, &one, &facts, "start api-1 (is not running)");
}

#[test]
fn start_says_which_network_a_container_cannot_start_without() {
    let shop = project([service("api"), service("db")]);
    let containers =
        ["api", "db"].map(|name| Container { started_at: 5, ..container(&shop, name, 1, ContainerState::Exited(0)) });
    let goal = Goal::Start { services: all(&shop) };
    let mut observed = with(prepared(&shop), containers);
    let facts = Facts { pending: ["api-1", "db-1"].map(String::from).into(), ..Facts::new(&shop) };
    assert_plan(&shop, &goal, &observed, &facts, "start api-1 (is not running)\nstart db-1 (is not running)");
    let gone = "failed: cannot start: its network `shop_default` is gone; `hoist up` makes a new container";
    let expected = format!("start api-1 (is not running): {gone}\nstart db-1 (is not running): {gone}");
    observed.networks.get_mut("shop_default").expect("it is there").created_at = 6;
    assert_plan(&shop, &goal, &observed, &facts, &expected);
    observed.networks.clear();
    assert_plan(&shop, &goal, &observed, &facts, &expected);
}
