//! What stops, what is removed, and in which order.

use super::*;
use crate::project::Provider;

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
fn stop_leaves_other_services_and_containers_of_run_alone() {
    let shop = project([service("db"), service("api")]);
    let job = |id: &str, of: &str| {
        let made = container(&shop, of, 1, ContainerState::Running);
        Container { id: id.into(), one_off: true, ..made }
    };
    let observed = with(running(&shop), [job("job", "db"), job("other", "api")]);
    let goal = Goal::Stop { services: ["db".into()].into(), grace: None };
    assert_plan(&shop, &goal, &observed, &Facts::new(&shop), "stop db-1 (stopping)");
}

#[test]
fn down_removes_the_projects_volumes_only_when_asked_and_of_all_services() {
    let mut shop = project([service("db")]);
    let volume = |name: &str, external| Volume { name: name.into(), external, ..Volume::default() };
    shop.volumes = [
        ("data".into(), volume("shop_data", false)),
        ("never-made".into(), volume("shop_never-made", false)),
        ("outside".into(), volume("outside", true)),
    ]
    .into();
    let volumes = ["shop_data", "outside", "unrelated"].map(|it| (it.into(), ObservedVolume::default())).into();
    let observed = Observed { volumes, ..Observed::default() };
    let all = Down { volumes: true, ..down() };
    let one = Down { services: ["db".into()].into(), ..all.clone() };
    for (down, expected) in [(down(), ""), (one, ""), (all, "remove volume shop_data (asked for)")] {
        assert_plan(&shop, &Goal::Down(down), &observed, &Facts::new(&shop), expected);
    }
}

#[test]
fn down_removes_the_images_that_it_is_asked_to() {
    let mut shop = project([service("db"), service("api").built(), service("never-built").built()]);
    shop.disabled.insert("debug".into(), service("debug").built());
    let images = ["db:1", "shop-api", "shop-debug", "unrelated"].map(|it| (it.into(), image(it))).into();
    let observed = Observed { images, ..Observed::default() };
    let of = |images, services: &[&str]| {
        let services = services.iter().map(|name| (*name).into()).collect();
        let goal = Goal::Down(Down { services, images, ..down() });
        text(&shop, &goal, &observed, &Facts::new(&shop))
    };
    let removed = |names: &[&str]| {
        let lines: Vec<String> = names.iter().map(|it| format!("remove image {it} (asked for)\n")).collect();
        lines.concat()
    };
    assert_eq!(of(RemoveImages::None, &[]), "");
    assert_eq!(of(RemoveImages::Local, &[]), removed(&["shop-api", "shop-debug"]));
    assert_eq!(of(RemoveImages::All, &[]), removed(&["db:1", "shop-api", "shop-debug"]));
    assert_eq!(of(RemoveImages::All, &["db"]), removed(&["db:1"]));
    assert_eq!(of(RemoveImages::Local, &["db"]), "");
}

#[test]
fn what_a_provider_provides_is_withdrawn_after_those_that_use_it_and_only_when_it_is_meant() {
    let provider = Provider { program: "cloud".into(), options: BTreeMap::new() };
    let db = Service { provider: Some(provider), image: None, ..service("db") };
    let shop = project([db, service("api").needs("db", Condition::Started)]);
    let api = || container(&shop, "api", 1, ContainerState::Running);
    let none = Observed::default();
    let of = |services: &[&str]| {
        Goal::Down(Down { services: services.iter().map(|name| (*name).into()).collect(), ..down() })
    };
    let mut facts = Facts::new(&shop);
    assert_plan(&shop, &of(&[]), &none, &facts, "withdraw db (asked for)");
    assert_plan(&shop, &of(&["db"]), &none, &facts, "withdraw db (asked for)");
    assert_plan(&shop, &of(&["api"]), &none, &facts, "");
    assert_plan(
        &shop,
        &of(&[]),
        &with(Observed::default(), [api()]),
        &facts,
        "stop api-1 (stopping)
         withdraw db (asked for): waits for `api` to stop",
    );
    facts.withdrawn.insert("db".into());
    assert_plan(&shop, &of(&[]), &none, &facts, "");
}
