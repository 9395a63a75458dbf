//! What can never come does not keep a run waiting: it ends, and says why.

use super::*;
use crate::plan::goal::{Down, RemoveImages};
use crate::project::{Mount, MountSource, Networking, Volume};

/// The same listing again, for a run that asked for it.
fn again(run: &mut Run) -> Vec<String> {
    let listing = run.state.observed().clone();
    run.on(Event::Observed(listing))
}

#[test]
fn an_external_network_or_volume_that_is_not_there_ends_a_start_with_the_reason() {
    let source = MountSource::Volume { key: "data".into(), nocopy: false, subpath: None };
    let mount = Mount { target: "/data".into(), read_only: false, source };
    let mut with_volume = project([Service { mounts: vec![mount], ..service("db") }]);
    with_volume.volumes.insert("data".into(), Volume { name: "kept".into(), external: true, ..Volume::default() });
    let mut run = Run::new(with_volume, Until::Started);
    let listing = prepared(&run.project);
    let reason = "external volume `kept` does not exist; create it with `docker volume create kept`";
    assert_eq!(run.on(Event::Observed(listing)), [format!("db {reason}, needed by []"), "end with 1".into()]);

    let mut with_network = project([service("db"), service("api").needs("db", Condition::Started)]);
    with_network.networks.get_mut("default").expect("it has one").external = true;
    let mut run = Run::new(with_network, Until::Started);
    let mut listing = prepared(&run.project);
    listing.networks.clear();
    let reason = "external network `shop_default` does not exist; create it with `docker network create shop_default`";
    let done = run.on(Event::Observed(listing));
    assert!(done.contains(&format!("db {reason}, needed by []")), "{done:?}");
    assert!(done.contains(&"end with 1".to_owned()), "{done:?}");
}

#[test]
fn a_network_that_cannot_be_made_ends_a_start() {
    let mut run = Run::new(project([service("api")]), Until::Started);
    let mut listing = prepared(&run.project);
    listing.networks.clear();
    assert_eq!(run.on(Event::Observed(listing)), ["1: create network default"]);
    assert_eq!(run.failed(1, "no address left"), ["observe", "failed: create network default"]);
    assert_eq!(again(&mut run), ["end with 1"]);
}

#[test]
fn a_build_that_fails_ends_the_start_of_those_that_only_use_its_image() {
    let web = Service { image: Some("app:1".into()), build: service("web").built().build, ..service("web") };
    let cron = Service { image: Some("app:1".into()), ..service("cron") };
    let mut run = Run::new(project([web, cron]), Until::Started);
    let mut listing = prepared(&run.project);
    listing.images.clear();
    assert_eq!(run.on(Event::Observed(listing)), ["1: build image of web"]);
    run.failed(1, "exit code 1");
    let done = again(&mut run);
    assert_eq!(done, ["web cannot be built: exit code 1, needed by [\"cron\"]", "end with 1"]);
}

#[test]
fn a_restart_that_fails_ends_the_restart_of_those_that_need_it() {
    let shop = project([service("db"), service("api").needs("db", Condition::Started)]);
    let services = shop.services.keys().cloned().collect();
    let mut run = Run::towards(shop, Goal::Restart { services, grace: None, no_deps: false });
    let both = ["db", "api"].map(|name| run.container(name, ContainerState::Running));
    let listing = with(prepared(&run.project), both);
    assert_eq!(run.on(Event::Observed(listing)), ["1: restart db-1"]);
    assert_eq!(run.failed(1, "port taken"), ["observe", "failed: restart db-1, still running"]);
    let stopped = [run.container("db", ContainerState::Exited(0)), run.container("api", ContainerState::Running)];
    let listing = with(prepared(&run.project), stopped);
    let done = run.on(Event::Observed(listing));
    let failed = "db cannot start: port taken, needed by [\"api\"]";
    assert_eq!(done, ["db exited with 0, again in None", failed, "end with 1"]);
}

#[test]
fn a_dependency_without_a_container_ends_a_start_that_makes_none() {
    let shop = project([service("db"), service("api").needs("db", Condition::Started)]);
    let services = shop.services.keys().cloned().collect();
    let mut run = Run::towards(shop, Goal::Start { services });
    let listing = with(prepared(&run.project), [run.container("api", ContainerState::Exited(0))]);
    let done = run.on(Event::Observed(listing));
    assert_eq!(done, ["db has no container, needed by [\"api\"]", "end with 1"]);
}

#[test]
fn a_start_that_makes_none_is_content_with_the_replicas_that_there_are() {
    let shop = project([service("db").times(2), service("api").needs("db", Condition::Started)]);
    let services = shop.services.keys().cloned().collect();
    let mut run = Run::towards(shop, Goal::Start { services });
    let both = [run.container("db", ContainerState::Running), run.container("api", ContainerState::Exited(0))];
    let listing = with(prepared(&run.project), both);
    assert_eq!(run.on(Event::Observed(listing)), ["1: start api-1"]);
}

#[test]
fn a_stop_that_fails_ends_the_run_although_others_wait_for_it() {
    let shop = || {
        project([
            service("db"),
            service("api").needs("db", Condition::Started),
            service("web").needs("api", Condition::Started),
        ])
    };
    let services = std::collections::BTreeSet::new();
    let down = Down { services, volumes: true, images: RemoveImages::None, remove_orphans: false, grace: None };
    let mut run = Run::towards(shop(), Goal::Down(down));
    let all = ["db", "api", "web"].map(|name| run.container(name, ContainerState::Running));
    let listing = with(prepared(&run.project), all);
    assert_eq!(run.on(Event::Observed(listing)), ["1: stop web-1"]);
    assert_eq!(run.failed(1, "permission denied"), ["observe", "failed: stop web-1, still running"]);
    assert_eq!(again(&mut run), ["end with 1"]);

    let (mut run, _) = Run::running(shop());
    assert_eq!(run.on(Event::Interrupted { code: 130 }), ["1: stop web-1"]);
    run.failed(1, "permission denied");
    assert_eq!(again(&mut run), ["end with 130"]);
}

#[test]
fn what_uses_the_network_of_a_container_that_cannot_be_made_is_not_waited_for() {
    let api = Service { networking: Networking::Service("vpn".into()), ..service("api") };
    let mut run = Run::new(project([service("vpn"), api.needs("vpn", Condition::Started)]), Until::Started);
    let listing = prepared(&run.project);
    assert_eq!(run.on(Event::Observed(listing)), ["1: create vpn-1"]);
    run.failed(1, "no such device");
    assert_eq!(again(&mut run), ["vpn cannot start: no such device, needed by [\"api\"]", "end with 1"]);
}

#[test]
fn replicas_that_wait_for_one_whose_dependency_failed_are_not_waited_for() {
    let of = |user: Option<&str>| {
        let api = Service { user: user.map(Into::into), ..service("api").times(2) };
        project([service("db").checked(), api.needs("db", Condition::Healthy)])
    };
    let before = of(None);
    let mut run = Run::new(of(Some("1000")), Until::Started);
    let db = Container { health: Health::Unhealthy, ..run.container("db", ContainerState::Running) };
    let old = [1, 2].map(|number| container(&before, "api", number, ContainerState::Running));
    let listing = with(with(prepared(&run.project), old), [db]);
    assert_eq!(run.on(Event::Observed(listing)), ["1: create api-1"]);
    let new = run.container("api", ContainerState::Created);
    let new = Container { id: "new".into(), replaces: Some("api-1".into()), created_at: 5, ..new };
    let done = run.done(1, now_a(&new));
    assert_eq!(done, ["db is unhealthy, needed by [\"api\"]", "end with 1"]);
}
