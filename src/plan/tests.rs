//! Plans as text: what is there, what is asked for, what is left to do.

use super::fixtures::{ServiceExt as _, container, goal_up, image, prepared, project, service, up, with};
use super::goal::{BuildPolicy, Down, Goal, RemoveImages, Until};
use super::observed::{ContainerState, Health, Observed};
use super::operation::Subject;
use super::spec::label;
use super::{Facts, Situation, plan};
use crate::graph::Graph;
use crate::project::{Condition, Project, RestartPolicy, Service};

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
fn a_changed_configuration_replaces_only_that_service() {
    let before = project([service("db"), service("api").needs("db", Condition::Started)]);
    let observed = running(&before);
    let mut changed = service("api").needs("db", Condition::Started);
    changed.environment.insert("LEVEL".into(), Some("debug".into()));
    let after = project([service("db"), changed]);
    assert_up(
        &after,
        &observed,
        "create api-1 (configuration changed)
         replace api-1 (configuration changed): waits for its container",
    );
}

#[test]
fn a_replacement_that_was_made_is_exchanged_for_the_old_container() {
    let before = project([service("api")]);
    let mut changed = service("api");
    changed.user = Some("1000".into());
    let after = project([changed]);
    let mut replacement = container(&after, "api", 1, ContainerState::Created);
    replacement.id = "new".into();
    replacement.replaces = Some("api-1".into());
    replacement.created_at = 5;
    let observed = with(running(&before), [replacement]);
    assert_up(&after, &observed, "replace api-1 (configuration changed)");
}

#[test]
fn while_a_replacement_is_held_back_what_ran_before_is_started_again() {
    let before = project([service("api").built()]);
    let mut changed = service("api").built();
    changed.user = Some("1000".into());
    let after = project([changed]);
    let mut replacement = container(&after, "api", 1, ContainerState::Created);
    (replacement.id, replacement.replaces, replacement.created_at) = ("new".into(), Some("api-1".into()), 5);
    let old = container(&before, "api", 1, ContainerState::Exited(1));
    let observed = with(prepared(&after), [old, replacement]);
    let mut facts = Facts::new(&after);
    facts.fallbacks.insert("api-1".into());
    let text = |facts: &Facts| text(&after, &goal_up(&after), &observed, facts);
    // Nothing keeps it back: it takes the place itself.
    assert_eq!(text(&facts), "replace api-1 (configuration changed)\n");
    facts.generations.insert("api".into(), 1);
    assert_eq!(
        text(&facts),
        "build image of api (sources changed): waits for its files to be read\n\
         start api-1 (is not running)\n\
         replace api-1 (configuration changed): waits for image `shop-api`\n"
    );
}

#[test]
fn a_replacement_left_with_its_temporary_name_is_renamed() {
    let project = project([service("api")]);
    let mut replacement = container(&project, "api", 1, ContainerState::Running);
    replacement.name = "0123_shop-api-1".into();
    replacement.replaces = Some("gone".into());
    let observed = with(prepared(&project), [replacement]);
    assert_up(&project, &observed, "rename api-1 (an earlier exchange was cut short)");
}

#[test]
fn an_image_that_differs_replaces_the_container_and_one_that_is_the_same_does_not() {
    let project = project([service("api").built()]);
    let mut observed = running(&project);
    let mut rebuilt = image("api");
    rebuilt.id = "sha256:other".into();
    observed.images.insert("shop-api".into(), rebuilt.clone());
    assert_up(&project, &observed, "");
    rebuilt.identity = "something else".into();
    observed.images.insert("shop-api".into(), rebuilt);
    assert_up(
        &project,
        &observed,
        "create api-1 (image changed)
         replace api-1 (image changed): waits for its container",
    );
}

#[test]
fn saved_sources_are_built_and_the_container_stays_until_the_image_is_there() {
    let project = project([service("api").built(), service("web").needs("api", Condition::Started)]);
    let facts = Facts { generations: [("api".into(), 2)].into(), ..Facts::new(&project) };
    let expected = "build image of api (sources changed): waits for its files to be read";
    assert_plan(&project, &goal_up(&project), &running(&project), &facts, expected);
    let facts = Facts { read: [("api".into(), 2)].into(), ..facts };
    let expected = "build image of api (sources changed)";
    assert_plan(&project, &goal_up(&project), &running(&project), &facts, expected);
    let facts = Facts { built: [("api".into(), 2)].into(), ..facts };
    assert_plan(&project, &goal_up(&project), &running(&project), &facts, "");
}

#[test]
fn sources_that_changed_while_nobody_watched_are_built_when_the_image_says_what_it_was_built_from() {
    let project = project([service("api").built()]);
    let mut observed = running(&project);
    let facts = Facts { inputs: [("api".into(), "new".into())].into(), ..Facts::new(&project) };
    assert_plan(&project, &goal_up(&project), &observed, &facts, "");
    let mut labelled = image("api");
    labelled.labels.insert(label::INPUTS.into(), "old".into());
    observed.images.insert("shop-api".into(), labelled);
    let expected = "build image of api (sources changed since the image was built)";
    assert_plan(&project, &goal_up(&project), &observed, &facts, expected);
}

#[test]
fn a_failed_build_holds_itself_and_leaves_what_runs_alone() {
    let project = project([service("api").built(), service("web").needs("api", Condition::Started)]);
    let facts = Facts {
        generations: [("api".into(), 1)].into(),
        read: [("api".into(), 1)].into(),
        failures: [(Subject::Image("api".into()), "exit code 1".into())].into(),
        ..Facts::new(&project)
    };
    let expected = "build image of api (sources changed): failed: exit code 1";
    assert_plan(&project, &goal_up(&project), &running(&project), &facts, expected);
}

#[test]
fn a_service_that_cannot_be_built_fails_those_that_need_it_but_not_the_others() {
    let project = project([service("api").built(), service("web").needs("api", Condition::Started), service("mail")]);
    let mut observed = prepared(&project);
    observed.images.remove("shop-api");
    let facts =
        Facts { failures: [(Subject::Image("api".into()), "exit code 1".into())].into(), ..Facts::new(&project) };
    let plan = text(&project, &goal_up(&project), &observed, &facts);
    assert!(plan.contains("start web-1 (does not exist): dependency `api` cannot start: exit code 1"), "{plan}");
    assert!(plan.contains("create mail-1 (does not exist)\n"), "{plan}");
}

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
fn without_building_a_missing_image_is_a_failure_that_says_so() {
    let project = project([service("api").built()]);
    let mut observed = prepared(&project);
    observed.images.clear();
    let mut up = up(&project, Until::Started);
    up.build = BuildPolicy::Never;
    let plan = text(&project, &Goal::Up(up), &observed, &Facts::new(&project));
    assert!(plan.starts_with("build image of api (does not exist): failed: image `shop-api` does not exist"), "{plan}");
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
fn what_runs_is_stopped_dependents_first() {
    let project = project([
        service("db"),
        service("api").needs("db", Condition::Started),
        service("web").needs("api", Condition::Started),
    ]);
    let goal = Goal::Stop { services: project.services.keys().cloned().collect(), grace: None };
    assert_plan(
        &project,
        &goal,
        &running(&project),
        &Facts::new(&project),
        "stop api-1 (stopping): waits for `web` to stop
         stop db-1 (stopping): waits for `api` to stop
         stop web-1 (stopping)",
    );
}

#[test]
fn a_service_whose_dependent_is_just_starting_is_not_stopped_before_it() {
    let project = project([service("db"), service("api").needs("db", Condition::Started)]);
    let containers =
        [container(&project, "db", 1, ContainerState::Running), container(&project, "api", 1, ContainerState::Created)];
    let api = Subject::Replica("api".into(), 1);
    let facts = Facts { busy: [api.clone()].into(), starting: [api].into(), ..Facts::new(&project) };
    let goal = Goal::Stop { services: project.services.keys().cloned().collect(), grace: None };
    assert_plan(
        &project,
        &goal,
        &with(prepared(&project), containers),
        &facts,
        "stop api-1 (stopping): waits for an operation under way
         stop db-1 (stopping): waits for `api` to stop",
    );
}

fn down() -> Down {
    Down {
        services: std::collections::BTreeSet::new(),
        volumes: false,
        images: RemoveImages::None,
        remove_orphans: false,
        grace: None,
    }
}

#[test]
fn down_stops_dependents_first_and_the_network_goes_when_nothing_runs_in_it() {
    let project = project([service("db"), service("api").needs("db", Condition::Started)]);
    assert_plan(
        &project,
        &Goal::Down(down()),
        &running(&project),
        &Facts::new(&project),
        "stop api-1 (stopping)
         stop db-1 (stopping): waits for `api` to stop
         remove network shop_default (asked for): waits for the containers that use it",
    );
    let api = container(&project, "api", 1, ContainerState::Exited(0));
    let db = container(&project, "db", 1, ContainerState::Exited(0));
    let stopped = with(prepared(&project), [api, db]);
    let facts = Facts { stopping: [Subject::Replica("db".into(), 1)].into(), ..Facts::new(&project) };
    assert_plan(
        &project,
        &Goal::Down(down()),
        &stopped,
        &facts,
        "remove api-1 (asked for)
         remove db-1 (asked for)
         remove network shop_default (asked for): waits for the containers that use it",
    );
    assert_plan(
        &project,
        &Goal::Down(down()),
        &stopped,
        &Facts::new(&project),
        "remove api-1 (asked for)
         remove db-1 (asked for)
         remove network shop_default (asked for)",
    );
    let expected = "remove network shop_default (asked for)";
    assert_plan(&project, &Goal::Down(down()), &prepared(&project), &Facts::new(&project), expected);
}

#[test]
fn down_of_one_service_leaves_the_network() {
    let project = project([service("db"), service("api")]);
    let goal = Goal::Down(Down { services: ["db".into()].into(), ..down() });
    assert_plan(&project, &goal, &running(&project), &Facts::new(&project), "stop db-1 (stopping)");
    let stopped = with(prepared(&project), [container(&project, "db", 1, ContainerState::Exited(0))]);
    assert_plan(&project, &goal, &stopped, &Facts::new(&project), "remove db-1 (asked for)");
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
fn an_image_of_other_files_is_not_taken_for_that_of_a_service_that_is_built_from_the_same() {
    let worker = Service { build: service("api").built().build, ..service("worker").built() };
    let project = project([service("api").built(), worker]);
    let mut observed = running(&project);
    let mut labelled = image("api");
    labelled.labels.insert(label::INPUTS.into(), "as built".into());
    observed.images.insert("shop-api".into(), labelled);
    let mut facts = Facts::new(&project);
    facts.generations.insert("worker".into(), 1);
    facts.inputs.insert("worker".into(), "as saved".into());
    let wants = |facts: &Facts, expected: &str| {
        let planned = text(&project, &goal_up(&project), &observed, facts);
        assert!(planned.lines().any(|line| line == expected), "{planned}");
    };
    wants(&facts, "build image of worker (sources changed): waits for its files to be read");
    facts.read.insert("worker".into(), 1);
    wants(&facts, "build image of worker (sources changed)");
    facts.inputs.insert("worker".into(), "as built".into());
    wants(&facts, "tag image of worker (built from the same as another)");
}

#[test]
fn an_image_of_several_services_is_built_once_and_not_pulled() {
    let shared = |name: &str| Service { image: Some("app:1".into()), ..service(name) };
    let build = service("app").built().build;
    let project = project([
        Service { build: build.clone(), ..shared("web") },
        Service { build, ..shared("worker") },
        shared("cron"),
    ]);
    let planned = text(&project, &goal_up(&project), &Observed::default(), &Facts::new(&project));
    let images: Vec<&str> = planned.lines().filter(|line| line.contains(" image of ")).collect();
    assert_eq!(
        images,
        [
            "build image of web (does not exist)",
            "tag image of worker (built from the same as another): waits for image `app:1`"
        ],
        "{planned}"
    );
    assert!(planned.contains("create cron-1 (does not exist): waits for image `app:1`"), "{planned}");
}
