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

#[test]
fn an_image_that_is_pulled_and_one_that_is_built_anew_in_vain_are_parts_of_the_path() {
    let mut run = Run::new(project([service("db")]), Until::Started);
    let mut listing = prepared(&run.project);
    listing.images.clear();
    run.at(10).on(Event::Observed(listing));
    let pulled = Event::Answered { ticket: Ticket(1), answer: Answer::Done(built("db", "1")), parts: Vec::new() };
    actions(&mut run, 500, pulled);
    let db = |state| Container { image_id: "sha256:1".into(), ..container(&run.project, "db", 1, state) };
    let (created, running) = (db(ContainerState::Created), db(ContainerState::Running));
    actions(&mut run, 520, answered(2, &created));
    let last = actions(&mut run, 550, answered(3, &running));
    assert_eq!(
        path(&last),
        "0 10 10 look\n\
         10 490 490 pull image of db\n\
         500 20 20 create db-1\n\
         520 30 30 start db-1\n"
    );
}

#[test]
fn a_build_that_gave_the_same_image_is_a_part_of_the_path() {
    let project = project([service("api").built()]);
    let build = crate::plan::goal::BuildPolicy::Always;
    let goal = Goal::Up(crate::plan::goal::Up { build, ..up(&project, Until::Started) });
    let mut run = Run::towards(project, goal);
    let listing = with(prepared(&run.project), [run.container("api", ContainerState::Running)]);
    run.at(10).on(Event::Observed(listing));
    let outcome = built("api", "identity of api");
    let same = Event::Answered { ticket: Ticket(1), answer: Answer::Done(outcome), parts: Vec::new() };
    let last = actions(&mut run, 300, same);
    assert_eq!(path(&last), "0 10 10 look\n10 290 290 api unchanged\n");
}

#[test]
fn files_that_are_copied_at_first_are_no_part_of_the_path() {
    let mut run = Run::new(project([service("api")]), Until::Started);
    let files = crate::change::SyncFiles { copied: [("/a".into(), "/b".into())].into(), ..Default::default() };
    run.state.facts.syncs.insert("api".into(), crate::plan::PendingSync::initial(files));
    begin(&mut run, 10);
    let (created, running) =
        (run.container("api", ContainerState::Created), run.container("api", ContainerState::Running));
    actions(&mut run, 20, answered(1, &created));
    let copied = Event::Answered { ticket: Ticket(2), answer: Answer::Done(Outcome::Nothing), parts: Vec::new() };
    actions(&mut run, 520, copied);
    let last = actions(&mut run, 550, answered(3, &running));
    assert_eq!(path(&last), "0 10 10 look\n10 10 10 create api-1\n520 30 30 start api-1\n");
}

#[test]
fn a_job_takes_as_long_as_since_its_own_start() {
    let services = [service("cache"), service("seed"), service("api").needs("seed", Condition::Completed)];
    let mut run = Run::new(project(services), Until::Started);
    let containers = ["api", "cache", "seed"].map(|name| run.container(name, ContainerState::Created));
    let listing = with(prepared(&run.project), containers);
    assert_eq!(run.at(10).on(Event::Observed(listing)), ["1: start seed-1", "2: start cache-1"]);
    let running = ["api", "cache", "seed"].map(|name| run.container(name, ContainerState::Running));
    actions(&mut run, 50, answered(1, &running[2]));
    actions(&mut run, 200, answered(2, &running[1]));
    let seed = run.container("seed", ContainerState::Exited(0));
    actions(&mut run, 450, Event::Container { id: seed.id.clone(), container: Some(Box::new(seed)) });
    let last = actions(&mut run, 500, answered(3, &running[0]));
    assert_eq!(
        path(&last),
        "0 10 10 look\n\
         10 40 40 start seed-1\n\
         50 400 300 seed completed, api waits for service_completed_successfully\n\
         450 50 50 start api-1\n"
    );
}

#[test]
fn a_start_of_too_many_parts_is_noted_up_to_a_limit() {
    let parts = |count: usize| {
        let mut timings = crate::reconcile::timings::Timings::default();
        let done = |key: String| {
            let (operation, took) = (crate::plan::operation::Operation::CreateNetwork { key }, Duration::ZERO);
            Action::Tell(Notice::Done { operation, took, edit: None })
        };
        let first: Vec<Action> = (1..count).map(|number| done(number.to_string())).collect();
        timings.note(&first, Duration::from_secs(1));
        timings.note(&[done("last".into())], Duration::from_secs(2));
        timings.path(&project([])).last().map(|leg| leg.at)
    };
    assert_eq!(parts(20_000), Some(Duration::from_secs(2)));
    assert_eq!(parts(20_001), Some(Duration::from_secs(1)));
}
