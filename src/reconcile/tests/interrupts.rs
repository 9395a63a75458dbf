//! Runs that somebody ends, and runs whose engine goes away and comes back, or does not.

use super::*;

#[test]
fn ctrl_c_stops_dependents_first_a_second_one_kills_and_a_third_leaves() {
    let services = [service("db"), service("api").needs("db", Condition::Started)];
    let (mut run, _) = Run::running(project(services));
    assert_eq!(run.on(Event::Interrupted { code: 130 }), ["1: stop api-1"]);
    assert_eq!(run.on(Event::Interrupted { code: 130 }), ["kill api-1", "kill db-1"]);
    let api = run.container("api", ContainerState::Exited(137));
    assert_eq!(run.done(1, now_a(&api)), ["2: stop db-1"]);
    assert_eq!(run.on(Event::Interrupted { code: 130 }), ["end with 130"]);
}

#[test]
fn ctrl_c_ends_with_130_when_everything_has_stopped() {
    let (mut run, _) = Run::running(project([service("api")]));
    assert_eq!(run.on(Event::Interrupted { code: 130 }), ["1: stop api-1"]);
    let api = run.container("api", ContainerState::Exited(0));
    assert_eq!(run.done(1, now_a(&api)), ["end with 130"]);
}

#[test]
fn ctrl_c_during_a_build_cancels_it() {
    let mut run = Run::new(project([service("api").built()]), attached());
    let mut listing = prepared(&run.project);
    listing.images.clear();
    assert_eq!(run.on(Event::Observed(listing)), ["1: build image of api"]);
    assert_eq!(run.on(Event::Interrupted { code: 130 }), ["cancel 1"]);
    let cancelled = Event::Answered { ticket: Ticket(1), answer: Answer::Cancelled, parts: Vec::new() };
    assert_eq!(run.on(cancelled), ["end with 130"]);
}

#[test]
fn a_start_that_fails_while_the_run_ends_does_not_keep_its_container_from_being_stopped() {
    let mut run = Run::new(project([service("api")]), attached());
    let listing = prepared(&run.project);
    assert_eq!(run.on(Event::Observed(listing.clone())), ["1: create api-1"]);
    let created = run.container("api", ContainerState::Created);
    assert_eq!(run.done(1, now_a(&created)), ["2: start api-1"]);
    assert_eq!(run.on(Event::Interrupted { code: 130 }), [""; 0]);
    assert_eq!(run.failed(2, "port 80 is taken"), ["observe", "failed: start api-1"]);
    let api = run.container("api", ContainerState::Running);
    assert_eq!(run.on(Event::Observed(with(listing, [api]))), ["3: stop api-1"]);
}

#[test]
fn nothing_is_begun_while_the_engine_is_away_and_its_return_brings_a_new_listing() {
    let services = [service("api").restart(RestartPolicy::Always)];
    let (mut run, _) = Run::running(project(services));
    assert_eq!(run.on(Event::EngineLost { reason: "closed".into() }), ["engine lost", "observe"]);
    assert!(run.on(Event::EngineLost { reason: "still closed".into() }).is_empty());
    let stopped = with(prepared(&run.project), [run.container("api", ContainerState::Exited(255))]);
    assert_eq!(run.on(Event::Observed(stopped.clone())), ["observe"], "what was lost twice is listed twice");
    let done = run.on(Event::Observed(stopped));
    assert_eq!(done, ["engine back", "api exited with 255, again in Some(1s)"]);
    run.now = run.state.wake_at().expect("the pause ends");
    assert_eq!(run.on(Event::Woken), ["1: start api-1"]);
}

#[test]
fn an_interrupt_while_the_engine_is_away_waits_for_it_and_then_stops_what_runs() {
    let (mut run, _) = Run::running(project([service("api")]));
    let api = run.container("api", ContainerState::Running);
    assert_eq!(run.on(Event::EngineLost { reason: "closed".into() }), ["engine lost", "observe"]);
    assert_eq!(run.at(60_000).on(Event::Interrupted { code: 130 }), ["waits 10s for the engine"]);
    assert_eq!(run.state.wake_at(), Some(Duration::from_secs(70)));
    assert!(run.at(69_000).on(Event::Woken).is_empty());
    let listing = with(prepared(&run.project), [api]);
    assert_eq!(run.on(Event::Observed(listing)), ["engine back", "1: stop api-1"]);
    let stopped = run.container("api", ContainerState::Exited(0));
    assert_eq!(run.at(90_000).done(1, now_a(&stopped)), ["end with 130"]);
}

#[test]
fn an_engine_that_does_not_come_back_ends_an_interrupted_run_with_the_names_of_what_it_left() {
    let (mut run, _) = Run::running(project([service("api")]));
    run.on(Event::EngineLost { reason: "closed".into() });
    run.on(Event::Interrupted { code: 130 });
    assert_eq!(run.at(70_000).on(Event::Woken), ["left running: [\"api-1\"]", "end with 1"]);
}

#[test]
fn a_second_interrupt_does_not_wait_for_an_engine_that_is_away() {
    let (mut run, _) = Run::running(project([service("api")]));
    run.on(Event::EngineLost { reason: "closed".into() });
    run.on(Event::Interrupted { code: 130 });
    assert_eq!(run.on(Event::Interrupted { code: 130 }), ["left running: [\"api-1\"]", "end with 130"]);
}

#[test]
fn an_engine_that_goes_away_while_a_run_stops_is_waited_for() {
    let (mut run, _) = Run::running(project([service("api")]));
    assert_eq!(run.on(Event::Interrupted { code: 130 }), ["1: stop api-1"]);
    assert_eq!(run.on(Event::EngineLost { reason: "closed".into() }), ["engine lost", "observe"]);
    assert_eq!(run.failed(1, "it does not answer"), ["failed: stop api-1, still running"]);
    let api = run.container("api", ContainerState::Exited(0));
    let listing = with(prepared(&run.project), [api]);
    run.on(Event::Observed(listing.clone()));
    assert_eq!(run.on(Event::Observed(listing)), ["engine back", "end with 130"]);
}

#[test]
fn a_run_that_ends_by_itself_waits_ten_seconds_for_the_engine() {
    let mut run = Run::new(project([service("api")]), Until::Started);
    assert_eq!(run.on(Event::EngineLost { reason: "refused".into() }), ["engine lost"]);
    assert_eq!(run.at(10_000).on(Event::Woken), ["end with 1"]);
}
