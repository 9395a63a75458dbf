//! Files that are copied into a program which takes them up by itself, or does not survive them.

use super::*;

/// A service into whose running program files are copied.
fn live(name: &str) -> Service {
    let mut service = service(name);
    let action = WatchAction::Sync { target: "/app".into() };
    service.watch = vec![WatchRule::new(format!("/shop/{name}").into(), action)];
    service
}

/// A file was saved and is in the containers.
fn copied(api: Service) -> Run {
    let (mut run, _) = Run::running(project([api]));
    run.at(20_000).saved("/shop/api/a.js");
    assert_eq!(run.settled(), ["1: sync 1 file to api"]);
    assert!(run.done(1, Outcome::Nothing).is_empty());
    run
}

fn restored(container: Container) -> Outcome {
    Outcome::Reverted { container: Box::new(container), output: Vec::new() }
}

#[test]
fn a_program_that_does_not_survive_new_files_gets_the_files_before_them_back() {
    let mut run = copied(live("api"));
    run.became(run.container("api", ContainerState::Running));
    let exited = run.container("api", ContainerState::Exited(1));
    assert_eq!(run.became(exited), ["2: restore api-1"]);
    let told = run.done(2, restored(run.container("api", ContainerState::Running)));
    assert_eq!(told, ["api exited with code 1, taken back, running"]);
    run.saved("/shop/api/b.js");
    assert_eq!(run.settled(), ["3: sync 2 files to api"], "those that were taken back go with the next save's");
}

#[test]
fn being_healthy_before_proves_nothing_of_new_files() {
    let mut run = copied(live("api").checked());
    let healthy = Container { health: Health::Healthy, ..run.container("api", ContainerState::Running) };
    assert!(run.became(healthy).is_empty());
    let exited = run.container("api", ContainerState::Exited(1));
    assert_eq!(run.became(exited), ["2: restore api-1"]);
}

#[test]
fn a_second_after_the_files_an_exit_has_other_reasons() {
    let mut run = copied(live("api"));
    assert!(run.later(999).is_empty());
    assert!(run.state.wake_at().is_some_and(|at| at <= run.now + Duration::from_millis(1)));
    assert!(run.later(1).is_empty());
    let exited = run.container("api", ContainerState::Exited(1));
    assert_eq!(run.became(exited), ["api exited with 1, again in None"]);
}

#[test]
fn a_program_that_comes_to_a_good_end_has_not_failed() {
    let mut run = copied(live("api"));
    let exited = run.container("api", ContainerState::Exited(0));
    assert_eq!(run.became(exited), ["api exited with 0, again in None", "end with 0"]);
}

#[test]
fn what_exits_after_newer_files_is_tried_with_them_before_any_are_put_back() {
    let mut run = copied(live("api"));
    run.saved("/shop/api/a.js");
    assert_eq!(run.settled(), ["2: sync 1 file to api"]);
    assert!(run.done(2, Outcome::Nothing).is_empty());
    assert_eq!(run.became(run.container("api", ContainerState::Exited(1))), ["3: start api-1"]);
    // Seed 5567 of the simulation: also where its replacement cannot be started.
    assert!(run.state.facts.fallbacks.contains("api-1"));
    assert!(run.done(3, now_a(&run.container("api", ContainerState::Running))).is_empty());
    assert_eq!(run.became(run.container("api", ContainerState::Exited(1))), ["4: restore api-1"]);
}

/// It had exited, and was started again with a file that was saved.
fn started_with(api: Service, path: &str) -> Run {
    let (mut run, _) = Run::running(project([api]));
    run.became(run.container("api", ContainerState::Exited(1)));
    run.saved(path);
    assert_eq!(run.settled(), ["1: sync 1 file to api"]);
    assert_eq!(run.done(1, Outcome::Nothing), ["2: start api-1"]);
    assert!(run.done(2, now_a(&run.container("api", ContainerState::Running))).is_empty());
    run
}

#[test]
fn what_exits_for_what_it_was_started_with_is_tried_with_the_files_that_came_since() {
    let mut run = started_with(live("api"), "/shop/api/a.js");
    run.saved("/shop/api/a.js");
    assert_eq!(run.settled(), ["3: sync 1 file to api"]);
    assert!(run.done(3, Outcome::Nothing).is_empty());
    assert_eq!(run.became(run.container("api", ContainerState::Exited(1))), ["4: start api-1"]);
}

#[test]
fn what_was_started_ten_seconds_ago_exits_for_the_files_that_came_since() {
    let mut run = started_with(live("api"), "/shop/api/a.js");
    let started = run.now;
    assert!(run.later(9_000).is_empty());
    run.saved("/shop/api/a.js");
    assert_eq!(run.settled(), ["3: sync 1 file to api"]);
    run.now = started + Duration::from_secs(10);
    assert!(run.done(3, Outcome::Nothing).is_empty());
    assert_eq!(run.became(run.container("api", ContainerState::Exited(1))), ["4: restore api-1"]);
}

#[test]
fn too_many_files_to_be_kept_put_nothing_on_trial() {
    let (mut run, _) = Run::running(project([live("api")]));
    let many = (0..65).map(|number| (format!("/shop/api/{number}.js").into(), PathState::Present));
    run.at(20_000).on(Event::Changed(many.collect()));
    assert_eq!(run.settled(), ["1: sync 65 files to api"]);
    assert!(run.done(1, Outcome::Nothing).is_empty());
    assert_eq!(run.became(run.container("api", ContainerState::Exited(1))), ["api exited with 1, again in None"]);
}

/// Its files were copied just after its start, and it is to be replaced.
fn just_started(api: Service) -> Run {
    let mut run = started_with(api, "/shop/api/live/a.js");
    run.saved("/shop/api/live/a.js");
    assert_eq!(run.settled(), ["3: sync 1 file to api"]);
    assert!(run.done(3, Outcome::Nothing).is_empty());
    run
}

/// Seed 7607 of the simulation.
#[test]
fn what_exits_over_files_while_its_image_is_built_serves_again_until_that_is_there() {
    let mut api = service("api").built();
    let live = WatchRule::new("/shop/api/live".into(), WatchAction::Sync { target: "/app".into() });
    let rebuild = WatchRule::new("/shop/api/main.js".into(), WatchAction::Rebuild);
    api.watch = vec![live, rebuild];
    let mut run = just_started(api);
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["4: build image of api"]);
    assert_eq!(run.became(run.container("api", ContainerState::Exited(1))), ["5: start api-1"]);
}
