//! When a dependency lets those that need it start, and when it fails them.

use super::*;

#[test]
fn a_dependency_that_exited_with_an_error_or_is_unhealthy_fails_its_dependents() {
    let project = project([
        service("seed"),
        service("db").checked(),
        service("api").needs("seed", Condition::Completed).needs("db", Condition::Healthy),
    ]);
    let mut unhealthy = container(&project, "db", 1, ContainerState::Running);
    unhealthy.health = Health::Unhealthy;
    let seed = container(&project, "seed", 1, ContainerState::Exited(3));
    let api = container(&project, "api", 1, ContainerState::Created);
    assert_up(
        &project,
        &with(prepared(&project), [unhealthy, seed, api]),
        "start api-1 (is not running): dependency `db` is unhealthy, dependency `seed` exited with code 3",
    );
}

#[test]
fn a_job_that_has_completed_lets_its_dependents_start_and_is_not_run_again() {
    let project = project([service("seed"), service("api").needs("seed", Condition::Completed)]);
    let seed = container(&project, "seed", 1, ContainerState::Exited(0));
    let api = container(&project, "api", 1, ContainerState::Created);
    assert_up(&project, &with(prepared(&project), [seed, api]), "start api-1 (is not running)");
}

#[test]
fn a_dependency_that_is_not_required_may_fail() {
    let mut web = service("web").needs("cache", Condition::Started);
    web.depends_on.get_mut("cache").expect("just added").required = false;
    let project = project([service("cache"), web]);
    let web = container(&project, "web", 1, ContainerState::Created);
    let facts = Facts { failures: [(Subject::Replica("cache".into(), 1), "no".into())].into(), ..Facts::new(&project) };
    let plan = text(&project, &goal_up(&project), &with(prepared(&project), [web]), &facts);
    assert!(plan.ends_with("start web-1 (is not running)\n"), "{plan}");
}

#[test]
fn a_dependent_that_asks_for_it_is_restarted_after_its_dependency_was_replaced() {
    let project = project([service("db").checked(), service("api").restarts_with("db"), service("web")]);
    let mut observed = running(&project);
    observed.containers.get_mut("db-1").expect("it runs").created_at = 100;
    assert_up(&project, &observed, "restart api-1 (dependency `db` was replaced)");
}
