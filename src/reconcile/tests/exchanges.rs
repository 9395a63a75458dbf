//! What a save does to containers, and what it never does.

use super::*;
use crate::plan::observed::Abilities;
use crate::project::UpdateOrder;

/// The container that is to take the place of `api-1`, or of another number.
pub(super) fn replacement(run: &Run, id: &str, number: u32, state: ContainerState) -> Container {
    let mut new = container(&run.project, "api", number, state);
    new.id = id.into();
    new.image_id = "sha256:newer".into();
    new.replaces = Some(format!("api-{number}"));
    new.created_at = 10;
    new.started_at = if state == ContainerState::Created { 0 } else { 11 };
    new
}

/// A service whose image is built anew until its replacement has been made.
pub(super) fn with_a_replacement(api: Service) -> Run {
    let (mut run, _) = Run::running(project([api]));
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["1: build image of api"]);
    assert_eq!(run.done(1, built("api", "newer")), ["2: create api-1"]);
    run
}

pub(super) fn gone_back(container: &Container) -> Outcome {
    Outcome::Reverted { container: Box::new(container.clone()), output: vec!["last words".into()] }
}

/// `sync+restart` of everything below its folder.
pub(super) fn synced(name: &str) -> Service {
    let mut service = service(name);
    let action = WatchAction::SyncRestart { target: "/app".into() };
    service.watch = vec![WatchRule::new(format!("/shop/{name}").into(), action)];
    service
}

#[test]
fn a_new_version_that_crashes_is_taken_back_and_the_next_save_tries_again() {
    let mut run = with_a_replacement(service("api").built());
    let new = replacement(&run, "new", 1, ContainerState::Created);
    assert_eq!(run.done(2, now_a(&new)), ["3: replace api-1"]);
    let new = replacement(&run, "new", 1, ContainerState::Running);
    assert!(run.done(3, now_a(&new)).is_empty());
    let new = replacement(&run, "new", 1, ContainerState::Exited(1));
    assert_eq!(run.became(new), ["4: take back api-1"]);
    let old = run.container("api", ContainerState::Running);
    assert_eq!(run.done(4, gone_back(&old)), ["api exited with code 1, taken back, running"]);
    assert!(run.later(60_000).is_empty(), "it is not tried again by itself");
    run.saved("/shop/api/main.js");
    let mut done = run.settled();
    done.extend(run.read("api", "once more"));
    assert_eq!(done, ["read api", "5: build image of api"]);
}

/// Docker tells that a container is gone long before the one that it was to replace runs again.
#[test]
fn a_new_version_that_is_gone_before_it_is_taken_back_has_failed_all_the_same() {
    let mut run = with_a_replacement(service("api").built());
    let new = replacement(&run, "new", 1, ContainerState::Created);
    assert_eq!(run.done(2, now_a(&new)), ["3: replace api-1"]);
    let new = replacement(&run, "new", 1, ContainerState::Exited(4));
    assert_eq!(run.done(3, now_a(&new)), ["4: take back api-1"]);
    assert!(run.on(Event::Container { id: "new".into(), container: None }).is_empty());
    let old = run.container("api", ContainerState::Running);
    assert_eq!(run.done(4, gone_back(&old)), ["api exited with code 4, taken back, running"]);
    assert!(run.later(60_000).is_empty(), "it is not tried again by itself");
    run.saved("/shop/api/main.js");
    let mut done = run.settled();
    done.extend(run.read("api", "once more"));
    assert_eq!(done, ["read api", "5: build image of api"]);
}

#[test]
fn a_new_version_that_is_unhealthy_is_taken_back() {
    let mut run = with_a_replacement(service("api").built().checked());
    let new = replacement(&run, "new", 1, ContainerState::Created);
    assert_eq!(run.done(2, now_a(&new)), ["3: replace api-1"]);
    let new = Container { health: Health::Starting, ..replacement(&run, "new", 1, ContainerState::Running) };
    assert_eq!(run.done(3, now_a(&new)), ["probe new"]);
    assert!(run.later(30_000).is_empty(), "its health decides, however long that takes");
    assert_eq!(run.became(Container { health: Health::Unhealthy, ..new }), ["4: take back api-1", "stop probing new"]);
}

#[test]
fn a_healthy_new_version_takes_its_place_at_once() {
    let mut run = with_a_replacement(service("api").built().checked());
    let new = replacement(&run, "new", 1, ContainerState::Created);
    run.done(2, now_a(&new));
    let new = Container { health: Health::Starting, ..replacement(&run, "new", 1, ContainerState::Running) };
    run.done(3, now_a(&new));
    assert_eq!(run.on(Event::ProbePassed { container: "new".into() }), ["4: keep api-1", "stop probing new"]);
}

#[test]
fn a_new_version_that_cannot_even_start_is_taken_back() {
    let mut run = with_a_replacement(service("api").built());
    let new = replacement(&run, "new", 1, ContainerState::Created);
    assert_eq!(run.done(2, now_a(&new)), ["3: replace api-1"]);
    assert_eq!(run.failed(3, "no such command"), ["observe"]);
    let listing = with(run.state.observed().clone(), []);
    assert_eq!(run.on(Event::Observed(listing)), ["4: take back api-1"]);
    let old = run.container("api", ContainerState::Running);
    let told = run.done(4, gone_back(&old));
    assert_eq!(told, ["api cannot start: no such command, taken back, running"]);
}

#[test]
fn a_save_while_a_version_is_taken_back_is_tried_all_the_same() {
    let mut run = with_a_replacement(service("api").built());
    let new = replacement(&run, "new", 1, ContainerState::Created);
    run.done(2, now_a(&new));
    let new = replacement(&run, "new", 1, ContainerState::Running);
    run.done(3, now_a(&new));
    assert_eq!(run.became(replacement(&run, "new", 1, ContainerState::Exited(1))), ["4: take back api-1"]);
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["5: build image of api"]);
    assert!(run.done(5, built("api", "newest")).is_empty(), "one thing at a time is done to a container");
    let old = run.container("api", ContainerState::Running);
    let done = run.done(4, gone_back(&old));
    assert_eq!(done, ["api exited with code 1, taken back, running", "6: create api-1"]);
}

#[test]
fn a_save_while_a_version_proves_itself_replaces_that_one_and_keeps_the_one_before() {
    let mut run = with_a_replacement(service("api").built());
    let new = replacement(&run, "new", 1, ContainerState::Created);
    run.done(2, now_a(&new));
    let new = replacement(&run, "new", 1, ContainerState::Running);
    run.done(3, now_a(&new));
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["4: build image of api"]);
    assert_eq!(run.done(4, built("api", "newest")), ["5: create api-1"]);
    let mut newest = replacement(&run, "newest", 1, ContainerState::Created);
    (newest.image_id, newest.created_at) = ("sha256:newest".into(), 20);
    assert_eq!(run.done(5, now_a(&newest)), ["6: replace api-1"]);
    (newest.state, newest.started_at) = (ContainerState::Running, 21);
    assert_eq!(run.done(6, now_a(&newest)), ["7: remove api-1"], "the one between is of no use");
    assert!(run.done(7, Outcome::Nothing).is_empty());
    (newest.state, newest.finished_at) = (ContainerState::Exited(2), 22);
    assert_eq!(run.became(newest), ["8: take back api-1"]);
}

#[test]
fn a_job_that_comes_to_its_end_has_proved_itself() {
    let mut run = Run::new(project([service("api")]), attached());
    let mut old = run.container("api", ContainerState::Exited(0));
    old.config_hash = Some("another".into());
    let listing = with(prepared(&run.project), [old, run.container("api", ContainerState::Exited(0))]);
    let mut listing = listing;
    listing.containers.values_mut().for_each(|it| it.config_hash = Some("another".into()));
    assert_eq!(run.on(Event::Observed(listing)), ["1: create api-1"]);
    let new = replacement(&run, "new", 1, ContainerState::Created);
    let new = Container { image_id: "sha256:api".into(), ..new };
    assert_eq!(run.done(1, now_a(&new)), ["2: replace api-1"]);
    let new = Container { state: ContainerState::Exited(0), started_at: 11, ..new };
    assert_eq!(run.done(2, now_a(&new)), ["3: keep api-1"]);
}

#[test]
fn what_others_call_is_started_beside_the_one_before_unless_a_port_can_have_only_one_of_them() {
    let start = |api: Service, able: bool| {
        let mut run = Run::new(project([api, service("web").needs("api", Condition::Started)]), attached());
        let mut old = run.container("api", ContainerState::Running);
        old.config_hash = Some("another".into());
        let mut listing = with(prepared(&run.project), [old, run.container("web", ContainerState::Running)]);
        listing.abilities = Abilities { hands_over_ports: able, ..Abilities::default() };
        run.on(Event::Observed(listing));
        let new = replacement(&run, "new", 1, ContainerState::Created);
        let new = Container { image_id: "sha256:api".into(), ..new };
        run.done(1, now_a(&new)).join(", ")
    };
    let published = |mut api: Service| {
        let published = crate::project::Published::Port(8080);
        let (host_ip, name, app_protocol) = (None, None, None);
        let protocol = crate::project::Protocol::Tcp;
        api.ports.push(crate::project::Port { target: 80, published, host_ip, protocol, name, app_protocol });
        api
    };
    let ordered = |order| Service { update_order: Some(order), ..service("api") };
    assert_eq!(start(service("api"), false), "2: start api-1");
    assert_eq!(start(ordered(UpdateOrder::StopFirst), true), "2: replace api-1");
    assert_eq!(start(published(service("api")), false), "2: replace api-1");
    assert_eq!(start(published(service("api")), true), "2: start api-1");
    assert_eq!(start(published(ordered(UpdateOrder::StartFirst)), false), "2: replace api-1");
    assert_eq!(start(service("api").privileged(), true), "2: replace api-1");
}

#[test]
fn replicas_are_replaced_one_after_the_other_and_not_at_all_once_one_has_failed() {
    let mut run = Run::new(project([service("api").times(2)]), attached());
    let mut containers = [1, 2].map(|number| container(&run.project, "api", number, ContainerState::Running));
    for container in &mut containers {
        container.config_hash = Some("another".into());
    }
    let listing = with(prepared(&run.project), containers.clone());
    assert_eq!(run.on(Event::Observed(listing)), ["1: create api-1"]);
    let of = |run: &Run, number, state| {
        let new = replacement(run, &format!("new-{number}"), number, state);
        Container { image_id: "sha256:api".into(), ..new }
    };
    let new = of(&run, 1, ContainerState::Created);
    assert_eq!(run.done(1, now_a(&new)), ["2: replace api-1"]);
    let new = of(&run, 1, ContainerState::Running);
    assert!(run.done(2, now_a(&new)).is_empty());
    assert_eq!(run.later(1_000), ["3: keep api-1"]);
    assert_eq!(run.done(3, now_a(&new)), ["4: create api-2"]);
    assert_eq!(run.failed(4, "no space left"), ["observe", "failed: create api-2, still running"]);
}

#[test]
fn files_that_keep_a_container_from_coming_up_are_taken_out_again_and_go_with_the_next_save() {
    let (mut run, _) = Run::running(project([synced("api")]));
    run.saved("/shop/api/broken.js");
    assert_eq!(run.settled(), ["1: sync 1 file to api"]);
    assert_eq!(run.done(1, Outcome::Nothing), ["2: restart api-1"]);
    let api = run.container("api", ContainerState::Running);
    assert!(run.done(2, now_a(&api)).is_empty());
    assert_eq!(run.became(run.container("api", ContainerState::Exited(1))), ["3: restore api-1"]);
    assert_eq!(run.done(3, gone_back(&api)), ["api exited with code 1, taken back, running"]);
    assert!(run.later(60_000).is_empty());
    run.saved("/shop/api/fixed.js");
    assert_eq!(run.settled(), ["4: sync 2 files to api"]);
}

#[test]
fn files_that_a_container_comes_up_with_stay_in_it() {
    let (mut run, _) = Run::running(project([synced("api")]));
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled(), ["1: sync 1 file to api"]);
    run.done(1, Outcome::Nothing);
    let api = run.container("api", ContainerState::Running);
    run.done(2, now_a(&api));
    assert!(run.later(1_000).is_empty());
    let told = run.became(run.container("api", ContainerState::Exited(1)));
    assert_eq!(told, ["api exited with 1, again in None"], "a crash later on is nobody's fault");
}

#[test]
fn changes_during_a_restart_are_one_more_restart() {
    let (mut run, _) = Run::running(project([synced("api")]));
    run.saved("/shop/api/a.js");
    assert_eq!(run.settled(), ["1: sync 1 file to api"]);
    assert_eq!(run.done(1, Outcome::Nothing), ["2: restart api-1"]);
    for file in ["b", "c"] {
        run.saved(&format!("/shop/api/{file}.js"));
        assert!(run.settled().is_empty(), "files are not copied while it restarts");
    }
    let api = run.container("api", ContainerState::Running);
    assert_eq!(run.done(2, now_a(&api)), ["3: sync 2 files to api"]);
    assert_eq!(run.done(3, Outcome::Nothing), ["4: restart api-1"]);
    assert!(run.done(4, now_a(&api)).is_empty());
}

#[test]
fn a_container_that_is_down_gets_the_files_before_it_is_started() {
    let (mut run, _) = Run::running(project([synced("api")]));
    run.became(run.container("api", ContainerState::Exited(1)));
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled(), ["1: sync 1 file to api"]);
    assert_eq!(run.done(1, Outcome::Nothing), ["2: start api-1"]);
}

#[test]
fn what_was_copied_since_the_image_was_built_is_copied_into_a_new_container_too() {
    let (mut run, _) = Run::running(project([synced("api")]));
    run.saved("/shop/api/main.js");
    run.settled();
    run.done(1, Outcome::Nothing);
    let api = run.container("api", ContainerState::Running);
    run.done(2, now_a(&api));
    run.later(1_000);
    run.saved("/shop/compose.yaml");
    run.settled();
    run.on(reloaded([Service { hostname: Some("new".into()), ..synced("api") }]));
    let listing = run.state.observed().clone();
    assert_eq!(run.on(Event::Observed(listing)), ["3: create api-1"]);
    let mut new = replacement(&run, "new", 1, ContainerState::Created);
    new.image_id = "sha256:api".into();
    new.config_hash = run.state.facts.hashes.services.get("api").cloned();
    assert_eq!(run.done(3, now_a(&new)), ["4: sync 1 file to api"]);
    assert_eq!(run.done(4, Outcome::Nothing), ["5: replace api-1"]);
}

#[test]
fn files_that_are_as_they_were_when_the_image_was_built_build_nothing() {
    let mut run = Run::built_from("as built");
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled(), ["read api"]);
    assert!(run.read("api", "as built").is_empty());
    assert!(run.state.plan().entries.is_empty());
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled(), ["read api"]);
    assert_eq!(run.read("api", "others"), ["1: build image of api"]);
}

#[test]
fn services_that_are_built_from_the_same_are_built_once() {
    let worker = Service { build: service("api").built().build, image: None, ..service("worker") };
    let mut run = Run::new(project([service("api").built(), worker]), attached());
    let mut listing = prepared(&run.project);
    listing.images.clear();
    assert_eq!(run.on(Event::Observed(listing)), ["1: build image of api"]);
    assert_eq!(run.done(1, built("api", "1")), ["2: create api-1", "3: tag image of worker"]);
    assert_eq!(run.done(3, built("api", "1")), ["4: create worker-1"]);
}

#[test]
fn an_edit_is_one_line_with_what_was_done_and_how_long_what_took() {
    let mut run = with_a_replacement(service("api").built().checked());
    let new = replacement(&run, "new", 1, ContainerState::Created);
    run.done(2, now_a(&new));
    let new = Container { health: Health::Starting, ..replacement(&run, "new", 1, ContainerState::Running) };
    let millis = Duration::from_millis;
    let parts = vec![(Part::Stop, millis(9)), (Part::Start, millis(31))];
    run.on(Event::Answered { ticket: Ticket(3), answer: Answer::Done(now_a(&new)), parts });
    run.now += millis(16);
    let actions = step(&mut run.state, Event::ProbePassed { container: "new".into() }, run.now);
    let told = actions.into_iter().find_map(|action| match action {
        Action::Tell(Notice::Edited { edits, service, deeds, failure, parts, .. }) => {
            Some((edits, service, deeds, failure, parts))
        }
        _ => None,
    });
    let (edits, service, deeds, failure, parts) = told.expect("it is told");
    let expected = vec![Deed::Rebuilt, Deed::Replaced, Deed::Healthy];
    assert_eq!((edits, service.as_str(), deeds, failure), (vec![1], "api", expected, None));
    let took = |wanted: Part| parts.iter().find(|(part, _)| *part == wanted).map(|(_, took)| took.as_millis());
    let all = [Part::Build, Part::Stop, Part::Start, Part::Healthy].map(took);
    assert_eq!(all, [Some(0), Some(9), Some(31), Some(16)], "{parts:?}");
}
