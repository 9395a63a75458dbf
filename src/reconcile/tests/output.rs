//! Whose output is passed on and from which moment, and whose health is asked for.

use super::*;

const SECOND: u64 = 1_000_000_000;

/// Whose output is passed on from now on, and since when.
fn followed(run: &mut Run, event: Event) -> Vec<(String, Option<u64>)> {
    let actions = step(&mut run.state, event, run.now);
    let follows = actions.into_iter().filter_map(|action| match action {
        Action::Follow { container, since, .. } => Some((container, since)),
        _ => None,
    });
    follows.collect()
}

fn news_of(container: &Container) -> Event {
    Event::Container { id: container.id.clone(), container: Some(Box::new(container.clone())) }
}

fn started(ticket: u64, container: &Container) -> Event {
    Event::Answered { ticket: Ticket(ticket), answer: Answer::Done(now_a(container)), parts: Vec::new() }
}

/// A run that passes on output, in which `api` is just being started.
fn starting() -> Run {
    let mut run = Run::new(project([service("api"), service("db")]), attached());
    run.state.follow = true;
    let containers = [run.container("api", ContainerState::Created), run.container("db", ContainerState::Running)];
    let listing = with(prepared(&run.project), containers);
    assert_eq!(run.on(Event::Observed(listing)), ["1: start api-1", "follow db-1"]);
    run
}

#[test]
fn what_runs_already_is_followed_from_now_on_and_what_the_run_starts_from_its_first_line() {
    let mut run = Run::new(project([service("api"), service("db")]), attached());
    run.state.follow = true;
    let containers = [run.container("api", ContainerState::Created), run.container("db", ContainerState::Running)];
    let listing = with(prepared(&run.project), containers);
    assert_eq!(followed(&mut run, Event::Observed(listing)), [("db-1".into(), None)]);
    let api = Container { created_at: 7, started_at: 9, ..run.container("api", ContainerState::Running) };
    assert_eq!(followed(&mut run, started(1, &api)), [("api-1".into(), Some(7))]);
    assert_eq!(followed(&mut run, news_of(&api)), [], "once for each start");
    let again = Container { started_at: 5 * SECOND, finished_at: 3 * SECOND, ..api };
    assert_eq!(followed(&mut run, news_of(&again)), [("api-1".into(), Some(3 * SECOND))]);
}

#[test]
fn output_is_followed_only_when_it_is_asked_for_and_only_of_the_runs_own_containers() {
    let mut run = Run::new(project([service("api"), service("db")]), attached());
    let containers = [run.container("api", ContainerState::Running), task(&run, "api"), stranger(&run)];
    let listing = with(prepared(&run.project), containers);
    let exited = run.container("db", ContainerState::Exited(0));
    let listing = with(listing, [exited]);
    assert_eq!(followed(&mut run, Event::Observed(listing.clone())), []);
    let mut run = Run::new(project([service("api"), service("db")]), attached());
    run.state.follow = true;
    assert_eq!(followed(&mut run, Event::Observed(listing)), [("api-1".into(), None)]);
}

#[test]
fn the_lines_of_a_container_that_exits_at_once_are_passed_on_too() {
    let mut run = starting();
    let mut api = run.container("api", ContainerState::Exited(1));
    (api.started_at, api.finished_at) = (2 * SECOND, 2 * SECOND + 1);
    let since = 2 * SECOND - SECOND / 10;
    assert_eq!(followed(&mut run, started(1, &api)), [("api-1".into(), Some(since))]);
}

#[test]
fn the_end_of_a_life_that_lasted_no_time_is_not_taken_for_the_end_of_the_one_before() {
    let mut run = starting();
    let mut api = run.container("api", ContainerState::Exited(1));
    (api.started_at, api.finished_at) = (2 * SECOND, 2 * SECOND);
    let since = 2 * SECOND - SECOND / 10;
    assert_eq!(followed(&mut run, started(1, &api)), [("api-1".into(), Some(since))]);
}

#[test]
fn an_end_that_is_noted_after_the_next_start_does_not_hide_the_first_lines() {
    let mut run = starting();
    let mut api = run.container("api", ContainerState::Running);
    (api.started_at, api.finished_at) = (2 * SECOND, 3 * SECOND);
    let since = 2 * SECOND - SECOND / 10;
    assert_eq!(followed(&mut run, started(1, &api)), [("api-1".into(), Some(since))]);
}

#[test]
fn output_is_taken_up_again_when_the_engine_is_back() {
    let mut run = starting();
    let api = run.container("api", ContainerState::Running);
    followed(&mut run, started(1, &api));
    let lost = Event::EngineLost { reason: "closed".into() };
    assert_eq!(followed(&mut run, lost), [], "there is nobody to ask");
    let listing = run.state.observed().clone();
    let followed = followed(&mut run, Event::Observed(listing));
    assert_eq!(followed, [("api-1".into(), None), ("db-1".into(), None)]);
}

/// The probes that a listing with a `db` of unknown health leads to, and whether they are urgent.
fn probes(services: impl IntoIterator<Item = Service>, until: Until) -> Vec<(String, bool)> {
    let mut run = Run::new(project(services), until);
    let containers: Vec<Container> = run
        .project
        .services
        .keys()
        .map(|name| match name.as_str() {
            "db" => Container { health: Health::Starting, ..run.container(name, ContainerState::Running) },
            _ => run.container(name, ContainerState::Created),
        })
        .collect();
    let listing = with(prepared(&run.project), containers);
    let actions = step(&mut run.state, Event::Observed(listing), run.now);
    let probes = actions.into_iter().filter_map(|action| match action {
        Action::Probe { container, urgent, .. } => Some((container, urgent)),
        _ => None,
    });
    probes.collect()
}

#[test]
fn a_probe_is_urgent_when_something_waits_for_it() {
    let db = || service("db").checked();
    let api = || service("api").needs("db", Condition::Healthy);
    let ready = Until::Ready { timeout: None };
    assert_eq!(probes([db()], attached()), [("db-1".into(), false)], "who looks on can wait");
    assert_eq!(probes([db(), api()], attached()), [("db-1".into(), true)]);
    assert_eq!(probes([db()], ready), [("db-1".into(), true)]);
    assert_eq!(probes([db(), api()], Until::Started), [("db-1".into(), true)]);
    assert_eq!(probes([db()], Until::Started), [], "who starts and leaves does not care");
}

#[test]
fn a_probe_that_passed_counts_until_the_container_has_another_life() {
    let mut run = Run::new(project([service("db").checked()]), attached());
    let db = Container { health: Health::Starting, ..run.container("db", ContainerState::Running) };
    let listing = with(prepared(&run.project), [db.clone()]);
    assert_eq!(run.on(Event::Observed(listing)), ["probe db-1"]);
    assert_eq!(run.on(Event::ProbePassed { container: "db-1".into() }), ["stop probing db-1"]);
    assert!(run.became(db.clone()).is_empty(), "nothing has happened to it");
    assert_eq!(run.became(Container { started_at: 9, ..db.clone() }), ["probe db-1"]);
    assert_eq!(run.on(Event::ProbePassed { container: "db-1".into() }), ["stop probing db-1"]);
    run.became(Container { started_at: 9, state: ContainerState::Restarting, ..db.clone() });
    assert_eq!(run.became(Container { started_at: 9, ..db }), ["probe db-1"], "it was down meanwhile");
}

#[test]
fn that_a_container_is_healthy_is_told_once_and_of_none_that_has_exited() {
    let start = || {
        let mut run = Run::new(project([service("db").checked(), service("api")]), attached());
        let containers = [run.container("db", ContainerState::Created), run.container("api", ContainerState::Running)];
        let listing = with(prepared(&run.project), containers);
        run.on(Event::Observed(listing));
        let db = Container { health: Health::Starting, ..run.container("db", ContainerState::Running) };
        run.done(1, now_a(&db));
        run.now += Duration::from_secs(3);
        (run, db)
    };
    let passed = || Event::ProbePassed { container: "db-1".into() };
    let (mut run, db) = start();
    assert_eq!(run.told_of(&Container { health: Health::Healthy, ..db }), ["db healthy after 3s"]);
    assert!(run.told(passed()).is_empty(), "the engine was first");
    let (mut run, db) = start();
    assert_eq!(run.told(passed()), ["db healthy after 3s"]);
    assert!(run.told_of(&Container { health: Health::Healthy, ..db }).is_empty(), "the probe was first");
    let (mut run, db) = start();
    run.became(Container { state: ContainerState::Exited(1), ..db });
    assert!(run.told(passed()).is_empty(), "it came too late");
}

#[test]
fn what_serves_and_what_images_are_built_from_can_be_asked_for() {
    let (mut run, _) = Run::running(project([service("api").built(), service("db")]));
    assert_eq!(run.state.serving("api"), ["api-1".to_owned()].into());
    assert_eq!(run.state.inputs("api"), None);
    run.saved("/shop/api/main.js");
    run.settled_anew("api");
    assert_eq!(run.state.inputs("api").map(String::as_str), Some("others"));
}
