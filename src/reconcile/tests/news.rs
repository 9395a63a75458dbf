//! What the engine tells early, late and out of order.

use super::*;

fn asked_again(run: &mut Run) -> Observed {
    let listing = run.state.observed().clone();
    assert_eq!(run.on(Event::Reconnected), ["observe"]);
    listing
}

fn state_of(run: &Run, id: &str) -> Option<ContainerState> {
    run.state.observed().containers.get(id).map(|container| container.state)
}

#[test]
fn what_is_heard_while_a_listing_is_under_way_counts_and_not_what_the_listing_saw_before() {
    let (mut run, _) = Run::running(project([service("api"), service("db")]));
    let listing = asked_again(&mut run);
    let exited = Container { finished_at: 5, ..run.container("api", ContainerState::Exited(1)) };
    assert_eq!(run.became(exited), ["api exited with 1, again in None"]);
    run.on(Event::Container { id: "db-1".into(), container: None });
    let done = run.on(Event::Observed(listing.clone()));
    assert_eq!(done, ["1: create db-1"], "it is not told that anything is as it was before");
    assert_eq!(state_of(&run, "api-1"), Some(ContainerState::Exited(1)));
    assert_eq!(state_of(&run, "db-1"), None);
    // Of the next one nothing is known better.
    assert_eq!(run.on(Event::Reconnected), ["observe"]);
    run.on(Event::Observed(listing));
    assert_eq!(state_of(&run, "api-1"), Some(ContainerState::Running));
}

#[test]
fn a_listing_that_saw_more_of_a_container_than_was_heard_counts() {
    let (mut run, _) = Run::running(project([service("api")]));
    let mut listing = asked_again(&mut run);
    run.became(Container { finished_at: 5, ..run.container("api", ContainerState::Exited(1)) });
    listing
        .containers
        .insert("api-1".into(), Container { started_at: 9, ..run.container("api", ContainerState::Running) });
    run.on(Event::Observed(listing));
    assert_eq!(state_of(&run, "api-1"), Some(ContainerState::Running));
}

#[test]
fn an_exit_that_is_known_early_ends_a_life_that_was_long_enough_to_recover() {
    let api = service("api").restart(RestartPolicy::Always);
    let (mut run, _) = Run::running(project([api]));
    let begin = |run: &mut Run, at: u64| {
        let started = Container { started_at: at * 1_000_000, ..run.container("api", ContainerState::Running) };
        run.at(at).became(started);
    };
    let exit = |run: &mut Run, at: u64| run.at(at).on(Event::Exited { id: "api-1".into(), code: 1 });
    begin(&mut run, 1_000);
    assert_eq!(exit(&mut run, 2_000), ["api exited with 1, again in Some(1s)"]);
    begin(&mut run, 3_000);
    assert_eq!(exit(&mut run, 4_000), ["api exited with 1, again in Some(2s)"]);
    begin(&mut run, 7_000);
    assert_eq!(exit(&mut run, 27_000), ["api exited with 1, again in Some(1s)"]);
}
