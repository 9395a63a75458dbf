//! When a dependency lets those that need it start, and when it fails them.

use super::*;
use crate::plan::conditions::{Standing, standing};
use crate::project::provided::Variables;
use crate::project::{Healthcheck, Provider};

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
    // One that was made in the instant in which the dependent started may be the one that it was started for.
    let started_at = observed.containers["api-1"].started_at;
    observed.containers.get_mut("db-1").expect("it runs").created_at = started_at;
    assert_up(&project, &observed, "");
}

/// How the containers of `db` stand towards a condition, in words.
fn standing_of(db: &Service, condition: Condition, containers: &[Container], facts: &Facts) -> String {
    let project = project([db.clone()]);
    let (graph, goal) = (Graph::new(&project).expect("it has no cycles"), goal_up(&project));
    let observed = with(Observed::default(), containers.iter().cloned());
    let situation = Situation { project: &project, graph: &graph, goal: &goal, observed: &observed, facts };
    match standing(situation, db, condition) {
        Standing::Met => "met".into(),
        Standing::Waiting => "waits".into(),
        Standing::Failed(reason) => reason,
    }
}

#[test]
fn what_a_container_does_decides_whether_a_condition_is_met_awaited_or_out_of_reach() {
    use ContainerState::{Created, Dead, Exited, Paused, Removing, Restarting, Running};
    let unchecked = "has no healthcheck";
    let cases = [
        (Created, ["waits", "waits", "waits"]),
        (Running, ["met", unchecked, "waits"]),
        (Paused, ["met", unchecked, "waits"]),
        (Restarting, ["met", "waits", "waits"]),
        (Removing, ["waits", "waits", "waits"]),
        (Exited(0), ["met", "exited with code 0", "met"]),
        (Exited(3), ["met", "exited with code 3", "exited with code 3"]),
        (Dead, ["is dead", "is dead", "is dead"]),
    ];
    let db = service("db");
    for (state, expected) in cases {
        let made = [container(&project([db.clone()]), "db", 1, state)];
        let conditions = [Condition::Started, Condition::Healthy, Condition::Completed];
        let found = conditions.map(|condition| standing_of(&db, condition, &made, &Facts::default()));
        assert_eq!(found, expected, "{state:?}");
    }
}

#[test]
fn a_dependency_that_its_policy_brings_back_is_waited_for_until_its_retries_are_used_up() {
    let db = service("db").restart(RestartPolicy::OnFailure { max_retries: Some(1) });
    let made = [container(&project([db.clone()]), "db", 1, ContainerState::Exited(1))];
    let mut facts = Facts::default();
    assert_eq!(standing_of(&db, Condition::Healthy, &made, &facts), "waits");
    facts.exhausted.insert(("db".into(), 1));
    assert_eq!(standing_of(&db, Condition::Healthy, &made, &facts), "exited with code 1");
}

#[test]
fn a_healthcheck_of_the_manifest_is_waited_for_even_before_the_engine_reports_it() {
    let inherited = Healthcheck { start_period: Some(std::time::Duration::from_secs(1)), ..Healthcheck::default() };
    let cases = vec![
        (service("db").checked(), Health::None, "waits"),
        (service("db"), Health::None, "has no healthcheck"),
        (Service { healthcheck: Some(inherited), ..service("db") }, Health::None, "has no healthcheck"),
        (service("db").checked(), Health::Starting, "waits"),
        (service("db").checked(), Health::Healthy, "met"),
        (service("db").checked(), Health::Unhealthy, "is unhealthy"),
    ];
    for (db, health, expected) in cases {
        let made = Container { health, ..container(&project([db.clone()]), "db", 1, ContainerState::Running) };
        let found = standing_of(&db, Condition::Healthy, std::slice::from_ref(&made), &Facts::default());
        assert_eq!(found, expected, "{health:?} of {:?}", db.healthcheck);
        let facts = Facts { healthy: ["db-1".into()].into(), ..Facts::default() };
        assert_eq!(standing_of(&db, Condition::Healthy, &[made], &facts), "met", "a probe was first: {health:?}");
    }
}

#[test]
fn every_replica_that_is_wanted_has_to_meet_a_condition_and_more_of_them_do_no_harm() {
    use ContainerState::{Created, Running};
    let containers = |states: &[ContainerState]| -> Vec<Container> {
        let db = project([service("db")]);
        (1..).zip(states).map(|(number, state)| container(&db, "db", number, *state)).collect()
    };
    let cases: [(u32, &[ContainerState], &str); 5] = [
        (2, &[Running], "waits"),
        (2, &[Running, Running], "met"),
        (1, &[Running, Running], "met"),
        (2, &[Created, Running], "waits"),
        (2, &[Running, ContainerState::Dead], "is dead"),
    ];
    for (wanted, states, expected) in cases {
        let found =
            standing_of(&service("db").times(wanted), Condition::Started, &containers(states), &Facts::default());
        assert_eq!(found, expected, "{states:?} of {wanted}");
    }
}

#[test]
fn between_the_end_of_one_container_and_the_start_of_the_next_a_dependency_is_waited_for() {
    use ContainerState::{Created, Exited, Running};
    let db = service("db");
    let made = |id: &str, state| {
        let made = container(&project([db.clone()]), "db", 1, state);
        let (replaces, created_at) = if id == "new" { (Some("db-1".into()), 5) } else { (None, 1) };
        Container { id: id.into(), replaces, created_at, ..made }
    };
    let cases = [(Exited(0), Created, "waits"), (Running, Created, "met"), (Exited(0), Running, "met")];
    for (old, new, expected) in cases {
        let both = [made("db-1", old), made("new", new)];
        let found = standing_of(&db, Condition::Started, &both, &Facts::default());
        assert_eq!(found, expected, "{old:?} and {new:?}");
    }
}

#[test]
fn what_an_earlier_run_left_behind_counts_only_while_it_runs() {
    let facts = Facts { pending: ["db-1".into()].into(), ..Facts::default() };
    let cases = [(ContainerState::Exited(0), "waits"), (ContainerState::Running, "met")];
    for (state, expected) in cases {
        let made = [container(&project([service("db")]), "db", 1, state)];
        assert_eq!(standing_of(&service("db"), Condition::Started, &made, &facts), expected, "{state:?}");
    }
    let made = [container(&project([service("db")]), "db", 1, ContainerState::Exited(0))];
    assert_eq!(standing_of(&service("db"), Condition::Completed, &made, &facts), "waits");
}

#[test]
fn a_dependency_that_is_not_in_the_run_or_is_wanted_no_times_is_not_waited_for() {
    let shop = project([service("db"), service("api").needs("db", Condition::Started)]);
    let api = container(&shop, "api", 1, ContainerState::Created);
    let alone = Up { services: ["api".into()].into(), ..up(&shop, Until::Started) };
    let observed = with(prepared(&shop), [api]);
    assert_plan(&shop, &Goal::Up(alone), &observed, &Facts::new(&shop), "start api-1 (is not running)");
    let none = project([service("db").times(0), service("api").needs("db", Condition::Started)]);
    assert_up(&none, &observed, "start api-1 (is not running)");
    let one_too_many = with(observed, [container(&none, "db", 1, ContainerState::Running)]);
    let expected = "remove db-1 (more replicas than wanted)
                    start api-1 (is not running)";
    assert_up(&none, &one_too_many, expected);
}

#[test]
fn a_failure_goes_on_to_those_that_need_the_one_that_needs_it() {
    let shop = project([
        service("db").checked(),
        service("api").needs("db", Condition::Healthy),
        service("web").needs("api", Condition::Started),
    ]);
    let unhealthy = Container { health: Health::Unhealthy, ..container(&shop, "db", 1, ContainerState::Running) };
    let others = ["api", "web"].map(|name| container(&shop, name, 1, ContainerState::Created));
    assert_up(
        &shop,
        &with(with(prepared(&shop), [unhealthy]), others),
        "start api-1 (is not running): dependency `db` is unhealthy
         start web-1 (is not running): dependency `api` cannot start: dependency `db` is unhealthy",
    );
}

#[test]
fn what_fails_for_a_dependency_that_runs_on_does_not_fail_those_that_need_it() {
    let shop = project([service("db").built(), service("api").needs("db", Condition::Started)]);
    let db = container(&shop, "db", 1, ContainerState::Running);
    let api = container(&shop, "api", 1, ContainerState::Created);
    let facts = Facts {
        generations: [("db".into(), 1)].into(),
        read: [("db".into(), 1)].into(),
        failures: [(Subject::Image("db".into()), "exit code 1".into())].into(),
        ..Facts::new(&shop)
    };
    assert_plan(
        &shop,
        &goal_up(&shop),
        &with(prepared(&shop), [db, api]),
        &facts,
        "build image of db (sources changed): failed: exit code 1
         start api-1 (is not running)",
    );
}

#[test]
fn a_dependency_that_something_is_done_to_is_waited_for_unless_files_are_merely_copied() {
    let shop = project([service("db"), service("api").needs("db", Condition::Started)]);
    let db = container(&shop, "db", 1, ContainerState::Running);
    let api = container(&shop, "api", 1, ContainerState::Created);
    let observed = with(prepared(&shop), [db, api]);
    for subject in [Subject::Replica("db".into(), 1), Subject::Image("db".into())] {
        let facts = Facts { busy: [subject].into(), ..Facts::new(&shop) };
        let expected = "start api-1 (is not running): waits for `db` to start";
        assert_plan(&shop, &goal_up(&shop), &observed, &facts, expected);
    }
    let syncs = [("db".into(), pending(&["a.js"]))].into();
    let facts = Facts { syncs, busy: [Subject::Files("db".into())].into(), ..Facts::new(&shop) };
    assert_plan(
        &shop,
        &goal_up(&shop),
        &observed,
        &facts,
        "sync 1 file to db (sources changed): waits for an operation under way
         start api-1 (is not running)",
    );
}

fn provided(name: &str) -> Service {
    let provider = Provider { program: "cloud".into(), options: BTreeMap::new() };
    Service { provider: Some(provider), image: None, ..service(name) }
}

#[test]
fn what_a_provider_provides_is_there_once_it_is_provided() {
    let shop = project([provided("db"), service("api").needs("db", Condition::Healthy)]);
    let api = container(&shop, "api", 1, ContainerState::Created);
    let mut facts = Facts::new(&shop);
    facts.provided.services.insert("db".into(), Variables::default());
    let observed = with(prepared(&shop), [api]);
    assert_plan(&shop, &goal_up(&shop), &observed, &facts, "start api-1 (is not running)");
}

#[test]
fn a_provider_is_waited_for_although_it_has_no_containers() {
    let shop = project([provided("db").times(0), service("api").needs("db", Condition::Started)]);
    let api = container(&shop, "api", 1, ContainerState::Created);
    let planned = text(&shop, &goal_up(&shop), &with(prepared(&shop), [api]), &Facts::new(&shop));
    // What it is to be told is not known yet, so that it is not even known to be the container that is wanted.
    assert_eq!(planned, "provide db (asked for)\n");
    assert_up(
        &shop,
        &prepared(&shop),
        "provide db (asked for)
         create api-1 (does not exist): waits for `db` to start
         start api-1 (does not exist): waits for `db` to start, waits for its container",
    );
}

#[test]
fn a_provider_that_fails_keeps_back_only_those_that_require_it() {
    let facts_of = |shop: &Project| Facts {
        failures: [(Subject::Provider("db".into()), "no credit".into())].into(),
        ..Facts::new(shop)
    };
    let mut optional = service("api").needs("db", Condition::Started);
    optional.depends_on.get_mut("db").expect("just added").required = false;
    let shop = project([provided("db"), optional]);
    assert_plan(
        &shop,
        &goal_up(&shop),
        &prepared(&shop),
        &facts_of(&shop),
        "provide db (asked for): failed: no credit
         create api-1 (does not exist)
         start api-1 (does not exist): waits for its container",
    );
    let shop = project([provided("db"), service("api").needs("db", Condition::Started)]);
    assert_plan(
        &shop,
        &goal_up(&shop),
        &prepared(&shop),
        &facts_of(&shop),
        "provide db (asked for): failed: no credit
         create api-1 (does not exist): dependency `db` cannot start: no credit
         start api-1 (does not exist): dependency `db` cannot start: no credit, waits for its container",
    );
}
