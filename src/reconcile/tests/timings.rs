//! Where the time of a start went, as the run tells it at the end.

use std::fmt::Write as _;

use super::*;
use crate::reconcile::timings::{Leg, Stage};

/// The legs, a line each: when, how long, what it would save, what.
fn path(actions: &[Action]) -> String {
    let told = actions.iter().find_map(|action| match action {
        Action::Tell(Notice::Up { path, .. }) => Some(path),
        _ => None,
    });
    told.expect("everything is up").iter().fold(String::new(), |mut text, leg: &Leg| {
        let what = match &leg.stage {
            Stage::Look => "look".to_owned(),
            Stage::Operation(operation) => operation.to_string(),
            Stage::Unchanged { service } => format!("{service} unchanged"),
            Stage::Healthy { service, .. } => format!("{service} healthy"),
            Stage::Completed { service, .. } => format!("{service} completed"),
        };
        let (at, took, saves) = (leg.at.as_millis(), leg.took.as_millis(), leg.saves.as_millis());
        write!(text, "{at} {took} {saves} {what}").expect("a string takes all");
        if let Some((service, condition)) = &leg.holds {
            write!(text, ", {service} waits for {}", condition.as_str()).expect("a string takes all");
        }
        text + "\n"
    })
}

fn begin(run: &mut Run, millis: u64) {
    let listing = prepared(&run.project);
    run.at(millis).on(Event::Observed(listing));
}

fn actions(run: &mut Run, millis: u64, event: Event) -> Vec<Action> {
    run.now = Duration::from_millis(millis);
    step(&mut run.state, event, run.now)
}

fn answered(ticket: u64, container: &Container) -> Event {
    Event::Answered { ticket: Ticket(ticket), answer: Answer::Done(now_a(container)), parts: Vec::new() }
}

#[test]
fn the_critical_path_goes_through_what_was_over_last_and_says_what_each_part_costs() {
    let services = [
        service("db").checked(),
        service("cache"),
        service("api").needs("db", Condition::Healthy).needs("cache", Condition::Started),
    ];
    let mut run = Run::new(project(services), Until::Started);
    begin(&mut run, 40);
    let created = |run: &Run, name| run.container(name, ContainerState::Created);
    let running = |run: &Run, name| run.container(name, ContainerState::Running);
    // The tickets: 1 makes cache, 2 db, 3 api.
    let (api, cache, db) = (created(&run, "api"), created(&run, "cache"), created(&run, "db"));
    actions(&mut run, 60, answered(1, &cache));
    actions(&mut run, 70, answered(2, &db));
    actions(&mut run, 80, answered(3, &api));
    let mut db = running(&run, "db");
    db.health = Health::Starting;
    actions(&mut run, 200, answered(5, &db));
    let cache = running(&run, "cache");
    // The cache takes long: without the database's health the start would wait for it.
    actions(&mut run, 900, answered(4, &cache));
    actions(&mut run, 1_200, Event::ProbePassed { container: "db-1".into() });
    let api = running(&run, "api");
    let last = actions(&mut run, 1_500, answered(6, &api));
    assert_eq!(
        path(&last),
        "0 40 40 look\n\
         40 30 30 create db-1\n\
         70 130 130 start db-1\n\
         200 1000 300 db healthy, api waits for service_healthy\n\
         1200 300 300 start api-1\n"
    );
}

#[test]
fn a_job_that_must_be_over_is_a_part_of_the_path() {
    let services = [service("seed"), service("api").needs("seed", Condition::Completed)];
    let mut run = Run::new(project(services), Until::Started);
    begin(&mut run, 10);
    let (api, seed) = (run.container("api", ContainerState::Created), run.container("seed", ContainerState::Created));
    actions(&mut run, 20, answered(2, &api));
    actions(&mut run, 30, answered(1, &seed));
    let seed = run.container("seed", ContainerState::Running);
    actions(&mut run, 50, answered(3, &seed));
    let seed = run.container("seed", ContainerState::Exited(0));
    actions(&mut run, 450, Event::Container { id: seed.id.clone(), container: Some(Box::new(seed)) });
    let api = run.container("api", ContainerState::Running);
    let last = actions(&mut run, 500, answered(4, &api));
    assert_eq!(
        path(&last),
        "0 10 10 look\n\
         10 20 20 create seed-1\n\
         30 20 20 start seed-1\n\
         50 400 400 seed completed, api waits for service_completed_successfully\n\
         450 50 50 start api-1\n"
    );
}

#[test]
fn a_start_with_nothing_to_do_only_looks() {
    let mut run = Run::new(project([service("db")]), Until::Started);
    let listing = with(prepared(&run.project), [run.container("db", ContainerState::Running)]);
    let last = actions(&mut run, 30, Event::Observed(listing));
    assert_eq!(path(&last), "0 30 30 look\n");
}
