//! A network that a saved manifest defines otherwise: what is done, in which order, and what is told.

use super::*;
use crate::plan::operation::Subject;
use crate::project::{Network, NetworkAttachment, Networking};

/// `db` and `api`, which needs it, are on the network `back`; `web` is not.
fn shop(internal: bool) -> Project {
    let on_back = |name| {
        let places = [("back".to_owned(), NetworkAttachment::default())].into();
        Service { networking: Networking::Networks(places), ..service(name) }
    };
    let mut shop = project([on_back("db"), on_back("api").needs("db", Condition::Started), service("web")]);
    shop.networks.insert("back".into(), Network { name: "shop_back".into(), internal, ..Network::default() });
    shop
}

fn read(project: Project) -> Event {
    let Event::Reloaded(Some(mut read)) = reloaded([]) else { unreachable!("it loads") };
    read.services = project.services.keys().cloned().collect();
    read.project = Arc::new(project);
    Event::Reloaded(Some(read))
}

/// A manifest with the other network was read, and the engine was asked again.
fn edited() -> Run {
    let (mut run, done) = Run::running(shop(false));
    assert!(done.is_empty(), "{done:?}");
    assert_eq!(run.on(read(shop(true))), [r#"changed ["api", "db"], added [], removed []"#, "observe"]);
    assert_eq!(run.listed(), ["1: stop api-1"]);
    run
}

fn stopped(run: &Run, service: &str) -> Outcome {
    now_a(&Container { finished_at: 9, ..run.container(service, ContainerState::Exited(143)) })
}

fn started_again(run: &Run, service: &str) -> Outcome {
    now_a(&Container { started_at: 12, ..run.container(service, ContainerState::Running) })
}

/// A network is gone and is being made; with what is there otherwise.
fn making() -> (Run, Observed) {
    let (mut run, _) = Run::running(shop(false));
    let mut listing = run.state.observed().clone();
    listing.networks.remove("shop_back");
    run.on(read(shop(false)));
    assert_eq!(run.on(Event::Observed(listing.clone())), ["1: create network back"]);
    (run, listing)
}

#[test]
fn a_saved_network_is_made_anew_and_only_what_is_on_it_is_replaced() {
    let mut run = edited();
    assert_eq!(run.done(1, stopped(&run, "api")), ["2: stop db-1"]);
    assert_eq!(run.done(2, stopped(&run, "db")), ["3: remove network shop_back"]);
    assert_eq!(run.done(3, Outcome::Nothing), ["4: create network back"]);
    assert_eq!(run.done(4, Outcome::Nothing), ["5: create db-1", "6: create api-1"]);
    let new = |run: &Run, service: &str| Container {
        id: format!("new-{service}"),
        replaces: Some(format!("{service}-1")),
        created_at: 10,
        ..container(run.state.project(), service, 1, ContainerState::Created)
    };
    let (db, api) = (new(&run, "db"), new(&run, "api"));
    assert_eq!(run.done(5, now_a(&db)), ["7: keep db-1"]);
    assert_eq!(run.done(7, now_a(&db)), ["8: start db-1"]);
    assert_eq!(run.done(6, now_a(&api)), ["9: keep api-1"]);
    assert!(run.done(9, now_a(&api)).is_empty(), "it waits for what it needs");
    let runs = |made: Container| now_a(&Container { state: ContainerState::Running, started_at: 11, ..made });
    assert_eq!(run.done(8, runs(db)), ["10: start api-1"]);
    assert!(run.done(10, runs(api)).is_empty());
    assert!(run.listed().is_empty() && run.state.plan().entries.is_empty(), "{}", run.state.plan());
}

#[test]
fn a_network_that_is_made_anew_is_a_new_try_for_what_had_failed_on_it_alone() {
    let (mut run, _) = Run::running(shop(false));
    for (name, code) in [("api", 1), ("web", 1)] {
        run.became(run.container(name, ContainerState::Exited(code)));
    }
    run.on(read(shop(true)));
    assert_eq!(run.listed(), ["1: stop db-1"]);
    assert_eq!(run.done(1, stopped(&run, "db")), ["2: remove network shop_back"]);
    assert_eq!(run.done(2, Outcome::Nothing), ["3: create network back"]);
    assert_eq!(run.done(3, Outcome::Nothing), ["4: create db-1", "5: create api-1"]);
}

#[test]
fn a_network_that_another_manifest_defines_otherwise_again_is_tried_again() {
    let mut run = edited();
    run.done(1, stopped(&run, "api"));
    assert_eq!(run.done(2, stopped(&run, "db")), ["3: remove network shop_back"]);
    run.failed(3, "it has active endpoints");
    run.listed();
    assert_eq!(run.done(4, started_again(&run, "db")), ["5: start api-1"]);
    run.done(5, started_again(&run, "api"));
    let subject = Subject::Network("shop_back".into());
    run.on(read(shop(true)));
    assert!(run.state.facts.failures.contains_key(&subject), "as before: it would stop all that is on it in vain");
    run.listed();
    let mut other = shop(true);
    other.networks.get_mut("back").expect("it is there").enable_ipv6 = Some(true);
    run.on(read(other));
    assert!(!run.state.facts.failures.contains_key(&subject));
    assert_eq!(run.listed(), ["6: stop api-1"]);
}

#[test]
fn a_network_that_was_being_made_while_another_manifest_was_read_is_looked_at() {
    let (mut run, listing) = making();
    run.on(read(shop(true)));
    assert!(run.on(Event::Observed(listing.clone())).is_empty());
    assert_eq!(run.done(1, Outcome::Nothing), ["observe"], "it was made as the manifest before had it");
    run.on(Event::Observed(with(prepared(&shop(false)), listing.containers.into_values())));
    assert!(run.state.plan().to_string().contains("remove network shop_back"), "{}", run.state.plan());
}

#[test]
fn a_network_that_could_not_be_made_is_made_when_the_manifest_is_saved_again() {
    let (mut run, listing) = making();
    run.failed(1, "no address left");
    assert!(run.on(Event::Observed(listing.clone())).is_empty());
    run.on(read(shop(false)));
    assert_eq!(run.on(Event::Observed(listing)), ["2: create network back"]);
}

#[test]
fn a_network_that_cannot_be_removed_stays_and_is_not_tried_again_by_the_next_save() {
    let mut run = edited();
    run.done(1, stopped(&run, "api"));
    assert_eq!(run.done(2, stopped(&run, "db")), ["3: remove network shop_back"]);
    assert_eq!(run.failed(3, "it has active endpoints"), ["observe", "failed: remove network shop_back"]);
    let listing = run.state.observed().clone();
    let told = run.told(Event::Observed(listing));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("`docker network inspect shop_back` names"), "{told:?}");
    assert_eq!(told[1], "begins to start db-1");
    assert_eq!(run.done(4, started_again(&run, "db")), ["5: start api-1"]);
    assert!(run.done(5, started_again(&run, "api")).is_empty());
    let mut with_more = shop(true);
    with_more.services.get_mut("web").expect("it is there").user = Some("1000".into());
    run.on(read(with_more));
    assert_eq!(run.listed(), ["6: create web-1"]);
    run.on(read(shop(false)));
    run.listed();
    assert!(run.state.plan().entries.iter().all(|it| it.operation.service() == Some("web")), "{}", run.state.plan());
}

#[test]
fn why_a_network_stays_is_told_once_and_it_is_made_anew_when_nothing_keeps_it() {
    let (mut run, _) = Run::running(shop(false));
    run.on(Event::Container { id: "task".into(), container: Some(Box::new(task(&run, "db"))) });
    run.on(read(shop(true)));
    let listing = run.state.observed().clone();
    let told = run.told(Event::Observed(listing.clone()));
    assert!(matches!(&told[..], [one] if one.contains("which is not part of this run; stop that first")), "{told:?}");
    assert!(run.told(Event::Observed(listing)).is_empty(), "it has been told");
    assert_eq!(run.on(Event::Container { id: "task".into(), container: None }), ["1: stop api-1"]);
}

#[test]
fn a_start_that_has_to_leave_a_network_as_it_is_ends_with_that_failure() {
    let mut run = Run::new(shop(true), Until::Started);
    let all = ["db", "api", "web"].map(|name| run.container(name, ContainerState::Running));
    let listing = with(with(prepared(&shop(false)), all), [task(&run, "db")]);
    assert_eq!(run.on(Event::Observed(listing)), ["end with 1"]);
}

#[test]
fn a_run_that_is_interrupted_while_it_makes_a_network_anew_stops_what_still_runs() {
    let mut run = edited();
    assert_eq!(run.interrupted(), ["2: stop web-1"]);
    assert_eq!(run.done(1, stopped(&run, "api")), ["3: stop db-1"]);
    run.done(2, stopped(&run, "web"));
    assert_eq!(run.done(3, stopped(&run, "db")), ["end with 130"]);
}
