//! Networks that are defined otherwise than they were made: what makes room for them, and what does not.

use super::*;
use crate::plan::networks::changed_volumes;
use crate::plan::observed::ObservedNetwork;
use crate::plan::operation::Subject;
use crate::project::{NetworkAttachment, Networking};

/// A service on these networks.
fn on(service: Service, keys: &[&str]) -> Service {
    let places = keys.iter().map(|key| ((*key).to_owned(), NetworkAttachment::default()));
    Service { networking: Networking::Networks(places.collect()), ..service }
}

/// `db` and `api` are on the network `back`, `api` and `web` on the default one; `back` has a way out or none.
fn shop(internal: bool) -> Project {
    let mut shop = project([
        on(service("db"), &["back"]),
        on(service("api"), &["back", "default"]).needs("db", Condition::Started),
        service("web").needs("api", Condition::Started),
    ]);
    let network = Network { name: "shop_back".into(), internal, ..Network::default() };
    shop.networks.insert("back".into(), network);
    shop
}

fn set_state(observed: &mut Observed, ids: &[&str], state: ContainerState) {
    for id in ids {
        observed.containers.get_mut(*id).expect("it is there").state = state;
    }
}

/// Facts of a run that has stopped these containers.
fn stopped(project: &Project, ids: &[&str]) -> Facts {
    let ids: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    Facts { pending: ids.clone(), fallbacks: ids, ..Facts::new(project) }
}

#[test]
fn what_is_on_a_changed_network_stops_in_order_and_comes_up_on_the_new_one() {
    let (before, after) = (shop(false), shop(true));
    let mut observed = running(&before);
    assert_up(
        &after,
        &observed,
        "stop api-1 (network `back` changed)
         stop db-1 (network `back` changed): waits for `api` to stop
         remove network shop_back (configuration changed): waits for the containers that use it
         create network back (configuration changed): waits for the one before to be removed
         create db-1 (network `back` changed): waits for network `back`
         start db-1 (network `back` changed): waits for its container
         create api-1 (network `back` changed): waits for network `back`
         start api-1 (network `back` changed): waits for `db` to start, waits for its container",
    );

    set_state(&mut observed, &["api-1", "db-1"], ContainerState::Exited(143));
    let facts = stopped(&after, &["api-1", "db-1"]);
    let plan = text(&after, &goal_up(&after), &observed, &facts);
    let first = "remove network shop_back (configuration changed)\n\
                 create network back (configuration changed): waits for the one before to be removed\n\
                 create db-1 (network `back` changed): waits for network `back`\n";
    assert!(plan.starts_with(first), "{plan}");

    observed.networks.remove("shop_back");
    let plan = text(&after, &goal_up(&after), &observed, &facts);
    let first = "create network back (does not exist)\n\
                 create db-1 (network `back` changed): waits for network `back`\n";
    assert!(plan.starts_with(first), "nothing starts without its network: {plan}");
    let labels = prepared(&after).networks["shop_back"].labels.clone();
    observed.networks.insert("shop_back".into(), ObservedNetwork { id: "m".into(), created_at: 5, labels });
    let new = |name: &str| Container {
        id: format!("new {name}"),
        replaces: Some(format!("{name}-1")),
        created_at: 6,
        ..container(&after, name, 1, ContainerState::Created)
    };
    assert_plan(
        &after,
        &goal_up(&after),
        &with(observed.clone(), [new("db"), new("api")]),
        &facts,
        "keep db-1 (network `back` changed)
         keep api-1 (network `back` changed)",
    );
}

#[test]
fn a_network_that_nothing_is_on_is_made_anew_at_once() {
    let (before, after) = (shop(false), shop(true));
    assert_plan(
        &after,
        &Goal::Up(Up { services: ["db".into()].into(), ..up(&after, Until::Started) }),
        &prepared(&before),
        &Facts::new(&after),
        "remove network shop_back (configuration changed)
         create network back (configuration changed): waits for the one before to be removed
         create db-1 (does not exist): waits for network `back`
         start db-1 (does not exist): waits for its container",
    );
}

#[test]
fn networks_of_others_and_of_other_tools_and_those_of_a_run_that_recreates_nothing_stay() {
    let after = shop(true);
    let with_labels = |change: fn(&mut BTreeMap<String, String>)| {
        let mut observed = running(&shop(false));
        change(&mut observed.networks.get_mut("shop_back").expect("it is there").labels);
        observed
    };
    let unlabelled = with_labels(|labels| drop(labels.remove(label::DEFINITION)));
    assert_up(&after, &unlabelled, "");
    let of_another = with_labels(|labels| drop(labels.insert(label::PROJECT.into(), "other".into())));
    assert_up(&after, &of_another, "");
    let mut external = after.clone();
    external.networks.get_mut("back").expect("it is there").external = true;
    assert_up(&external, &running(&shop(false)), "");
    let keeping = Goal::Up(Up { no_recreate: true, ..up(&after, Until::Started) });
    assert_plan(&after, &keeping, &running(&shop(false)), &Facts::new(&after), "");
}

#[test]
fn a_network_that_somebody_else_of_the_project_is_on_stays_with_the_reason() {
    let (before, after) = (shop(false), shop(true));
    let goal = Goal::Up(Up { services: ["db".into()].into(), ..up(&after, Until::Started) });
    assert_plan(
        &after,
        &goal,
        &running(&before),
        &Facts::new(&after),
        "remove network shop_back (configuration changed): failed: network `shop_back` is defined otherwise now and stays as \
         it was made while `shop-api-1` is on it, which is not part of this run; stop that first, or run `hoist up` for all \
         services",
    );
    let task =
        Container { id: "task".into(), name: "shop-db-run-1".into(), one_off: true, ..observed_of(&before, "db") };
    let plan = text(&after, &goal_up(&after), &with(running(&before), [task]), &Facts::new(&after));
    assert!(
        plan.ends_with("while `shop-db-run-1` is on it, which is not part of this run; stop that first\n"),
        "{plan}"
    );
}

fn observed_of(project: &Project, service: &str) -> Container {
    container(project, service, 1, ContainerState::Running)
}

/// The first line of a plan that begins so.
fn line(plan: &str, start: &str) -> String {
    plan.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no `{start}` in\n{plan}")).to_owned()
}

/// A container of another configuration has stopped, and its successor runs and has yet to prove itself.
fn with_new_version(mut observed: Observed, project: &Project, service: &str) -> Observed {
    let old = format!("{service}-1");
    let container = observed.containers.get_mut(&old).expect("it is there");
    (container.config_hash, container.state) = (Some("another".into()), ContainerState::Exited(143));
    let new = Container { id: "new".into(), replaces: Some(old), created_at: 5, ..observed_of(project, service) };
    with(observed, [new])
}

#[test]
fn what_is_removed_anyway_keeps_no_network_as_it_is() {
    let (mut before, after) = (shop(false), shop(true));
    before.services.insert("old".into(), on(service("old"), &["back"]));
    let goal = Goal::Up(Up { remove_orphans: true, ..up(&after, Until::Started) });
    let plan = text(&after, &goal, &running(&before), &Facts::new(&after));
    assert!(plan.contains("remove old-1"), "{plan}");
    assert!(plan.starts_with("stop api-1 (network `back` changed)\n"), "{plan}");
    assert!(!plan.contains("stays as it was made") && !plan.contains("stop old-1"), "{plan}");
}

#[test]
fn what_stopped_for_a_network_that_could_not_be_removed_is_started_again() {
    let (before, after) = (shop(false), shop(true));
    let mut observed = running(&before);
    set_state(&mut observed, &["api-1", "db-1"], ContainerState::Exited(143));
    let mut facts = stopped(&after, &["api-1", "db-1"]);
    facts.failures.insert(Subject::Network("shop_back".into()), "it has active endpoints".into());
    assert_plan(
        &after,
        &goal_up(&after),
        &observed,
        &facts,
        "remove network shop_back (configuration changed): failed: it has active endpoints, failed: network `shop_back` \
         stays as it was made; stop what else is on it, which `docker network inspect shop_back` names, and run `hoist up` \
         again
         start db-1 (is not running)
         start api-1 (is not running): waits for `db` to start",
    );
}

#[test]
fn what_ran_without_a_dependency_runs_without_it_again_where_the_network_stays() {
    let after = shop(true);
    let mut observed = running(&shop(false));
    set_state(&mut observed, &["api-1"], ContainerState::Exited(143));
    set_state(&mut observed, &["db-1"], ContainerState::Exited(1));
    let mut facts = stopped(&after, &["api-1"]);
    facts.failures.insert(Subject::Network("shop_back".into()), "it has active endpoints".into());
    let plan = text(&after, &goal_up(&after), &observed, &facts);
    assert!(plan.ends_with("start api-1 (is not running)\n"), "{plan}");
}

#[test]
fn nothing_stops_for_a_network_before_the_images_of_what_comes_after_it_are_there() {
    let with_image = |internal, built| {
        let mut shop = shop(internal);
        let api = shop.services.remove("api").expect("it is there");
        shop.services.insert("api".into(), if built { api.built() } else { api });
        shop
    };
    let after = with_image(true, true);
    let mut observed = running(&with_image(false, true));
    observed.images.remove("shop-api");
    let plan = text(&after, &goal_up(&after), &observed, &Facts::new(&after));
    assert!(plan.contains("stop api-1 (network `back` changed): waits for image `shop-api`\n"), "{plan}");
    assert!(plan.contains("stop db-1 (network `back` changed): waits for image `shop-api`, waits for `api`"), "{plan}");

    let failed = [(Subject::Image("api".into()), "exit code 1".into())].into();
    let facts = Facts { failures: failed, ..Facts::new(&after) };
    let plan = text(&after, &goal_up(&after), &observed, &facts);
    let reason = "network `shop_back` stays as it was made: `api` cannot be built: exit code 1";
    assert!(plan.contains(&format!("remove network shop_back (configuration changed): failed: {reason}\n")), "{plan}");
    assert!(!plan.contains("stop "), "{plan}");
}

#[test]
fn a_network_waits_for_the_images_of_those_alone_that_leave_it_or_come_to_it() {
    let of = |internal, api: &[&str], web: &[&str]| {
        let mut shop = shop(internal);
        shop.services.insert("api".into(), on(service("api"), api).built().needs("db", Condition::Started));
        shop.services.insert("web".into(), on(service("web"), web).built());
        shop
    };
    let (back, default) = (["back"], ["default"]);
    let first_stop = |after: &Project, missing: &str| {
        let mut observed = running(&of(false, &back, &default));
        observed.images.remove(missing);
        let plan = text(after, &goal_up(after), &observed, &Facts::new(after));
        line(&plan, "stop ")
    };
    let stays_away = of(true, &back, &default);
    assert_eq!(first_stop(&stays_away, "shop-web"), "stop api-1 (network `back` changed)");
    let comes = of(true, &back, &back);
    assert_eq!(first_stop(&comes, "shop-web"), "stop api-1 (network `back` changed): waits for image `shop-web`");
    let leaves = of(true, &default, &default);
    assert_eq!(first_stop(&leaves, "shop-api"), "stop api-1 (network `back` changed): waits for image `shop-api`");
}

#[test]
fn a_new_version_elsewhere_keeps_no_network_as_it_is() {
    let after = shop(true);
    let observed = with_new_version(running(&shop(false)), &after, "web");
    let plan = text(&after, &goal_up(&after), &observed, &Facts::new(&after));
    assert!(plan.contains("keep web-1 (configuration changed)"), "{plan}");
    assert!(plan.contains("stop api-1 (network `back` changed)\n"), "{plan}");
}

#[test]
fn a_network_is_in_use_while_something_is_under_way_on_it() {
    let mut after = shop(true);
    after.services.insert("api".into(), service("api"));
    let all = running(&shop(false));
    let removal = |running: &[&str], busy: &str| {
        let mut observed = all.clone();
        observed.containers.retain(|id, _| running.contains(&id.as_str()));
        set_state(&mut observed, running, ContainerState::Exited(143));
        let facts = Facts { busy: [Subject::Replica(busy.into(), 1)].into(), ..Facts::new(&after) };
        let plan = text(&after, &goal_up(&after), &observed, &facts);
        line(&plan, "remove network")
    };
    let (free, in_use) = (
        "remove network shop_back (configuration changed)",
        "remove network shop_back (configuration changed): waits for the containers that use it",
    );
    assert_eq!(removal(&["api-1"], "api"), in_use, "the manifest does not have it there any more, but it was");
    assert_eq!(removal(&["db-1"], "api"), free);
    assert_eq!(removal(&["db-1", "web-1"], "web"), free, "it was never there");
    assert_eq!(removal(&["web-1"], "db"), in_use, "it is to be there");
    assert_eq!(removal(&["db-1"], "gone"), in_use, "it may be about to be made there");
}

#[test]
fn a_network_stays_as_it_is_where_what_runs_on_it_could_not_come_up_again() {
    let of = |internal| {
        let mut shop = shop(internal);
        shop.services.insert("mail".into(), service("mail").built());
        shop.services.insert("cron".into(), on(service("cron"), &["back"]));
        let job = on(service("job"), &["back"]).needs("mail", Condition::Started);
        shop.services.insert("job".into(), job);
        let db = on(service("db"), &["back"]).needs("job", Condition::Completed);
        shop.services.insert("db".into(), db);
        shop
    };
    let after = of(true);
    let mut observed = running(&of(false));
    set_state(&mut observed, &["job-1"], ContainerState::Exited(0));
    observed.containers.remove("mail-1");
    observed.images.remove("shop-mail");
    let failures = [(Subject::Image("mail".into()), "exit code 1".into())];
    let facts = Facts { failures: failures.into(), ..Facts::new(&after) };
    let removal = |observed: &Observed| {
        let plan = text(&after, &goal_up(&after), observed, &facts);
        line(&plan, "remove network")
    };
    let kept = removal(&observed);
    assert!(kept.ends_with("stays as it was made: `mail` cannot start: exit code 1"), "{kept}");
    set_state(&mut observed, &["db-1", "api-1"], ContainerState::Exited(143));
    let in_use = "remove network shop_back (configuration changed): waits for the containers that use it";
    assert_eq!(removal(&observed), in_use, "what still runs there needs nothing that failed");
}

#[test]
fn nothing_is_made_on_a_network_that_is_being_removed_whatever_fails_meanwhile() {
    let after = shop(true);
    let mut observed = running(&shop(false));
    set_state(&mut observed, &["api-1", "db-1"], ContainerState::Exited(143));
    let facts = Facts {
        busy: [Subject::Network("shop_back".into())].into(),
        failures: [(Subject::Replica("db".into(), 1), "no".into())].into(),
        ..stopped(&after, &["api-1", "db-1"])
    };
    let plan = text(&after, &goal_up(&after), &observed, &facts);
    assert!(plan.contains("create api-1 (network `back` changed): waits for network `back`\n"), "{plan}");
    assert!(!plan.contains("stays as it was made"), "{plan}");
}

#[test]
fn a_new_version_proves_itself_before_its_network_is_made_anew() {
    let (before, after) = (shop(false), shop(true));
    let observed = with_new_version(running(&before), &after, "db");
    let plan = text(&after, &goal_up(&after), &observed, &Facts::new(&after));
    assert!(plan.contains("stop api-1 (network `back` changed): waits for what is under way on it\n"), "{plan}");
    assert!(
        plan.contains("keep db-1 (configuration changed): waits for the new container to prove itself\n"),
        "{plan}"
    );
}

#[test]
fn a_job_that_is_done_is_not_done_again_for_a_network() {
    let of = |internal| {
        let mut shop = shop(internal);
        shop.services.insert("job".into(), on(service("job"), &["back"]));
        shop
    };
    let mut observed = running(&of(false));
    set_state(&mut observed, &["job-1"], ContainerState::Exited(0));
    let plan = text(&of(true), &goal_up(&of(true)), &observed, &Facts::new(&of(true)));
    assert!(plan.contains("stop db-1") && !plan.contains("job"), "{plan}");
}

#[test]
fn a_container_whose_network_was_removed_by_hand_is_made_anew_instead_of_started() {
    let shop = shop(false);
    let mut observed = running(&shop);
    set_state(&mut observed, &["db-1"], ContainerState::Exited(0));
    observed.containers.remove("api-1");
    observed.containers.remove("web-1");
    observed.networks.get_mut("shop_back").expect("it is there").created_at = 5;
    let goal = Goal::Up(Up { services: ["db".into()].into(), ..up(&shop, Until::Started) });
    assert_plan(
        &shop,
        &goal,
        &observed,
        &stopped(&shop, &["db-1"]),
        "create db-1 (network `back` changed)
         start db-1 (network `back` changed): waits for its container",
    );
}

#[test]
fn a_volume_that_is_defined_otherwise_stays_and_is_named() {
    let of = |driver: &str| {
        let source = MountSource::Volume { key: "data".into(), nocopy: false, subpath: None };
        let mount = Mount { target: "/data".into(), read_only: false, source };
        let mut shop = project([Service { mounts: vec![mount], ..service("db") }]);
        let volume = Volume { name: "shop_data".into(), driver: Some(driver.into()), ..Volume::default() };
        shop.volumes.insert("data".into(), volume);
        shop
    };
    let (before, after) = (of("local"), of("other"));
    let mut observed = running(&after);
    let labels = crate::plan::spec::volume(&before, "data", &before.volumes["data"]).labels;
    observed.volumes.insert("shop_data".into(), ObservedVolume { labels });
    assert_up(&after, &observed, "");
    let changed = |project: &Project, services: &[&str]| {
        let (graph, goal, facts) = (Graph::new(project).expect("no cycle"), goal_up(project), Facts::new(project));
        let situation = Situation { project, graph: &graph, goal: &goal, observed: &observed, facts: &facts };
        let services = services.iter().map(|it| (*it).to_owned()).collect();
        changed_volumes(situation, &services).into_iter().cloned().collect::<Vec<String>>()
    };
    assert_eq!(changed(&after, &["db"]), ["shop_data"]);
    assert!(changed(&after, &[]).is_empty(), "nobody of the run uses it");
    assert!(changed(&before, &["db"]).is_empty());
}
