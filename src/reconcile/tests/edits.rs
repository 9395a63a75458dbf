//! What is told of an edit: its number at everything that follows from it, and one line at its end.

use super::exchanges::{replacement, synced, with_a_replacement};
use super::*;
use crate::project::Hook;

/// The line that ends an edit, if an event does that: what was done, what failed, and which parts it took.
fn edited(run: &mut Run, event: Event) -> Option<(Vec<Deed>, Option<String>, Vec<Part>)> {
    step(&mut run.state, event, run.now).into_iter().find_map(|action| match action {
        Action::Tell(Notice::Edited { deeds, failure, parts, .. }) => {
            Some((deeds, failure, parts.into_iter().map(|(part, _)| part).collect()))
        }
        _ => None,
    })
}

fn answered(ticket: u64, outcome: Outcome) -> Event {
    Event::Answered { ticket: Ticket(ticket), answer: Answer::Done(outcome), parts: Vec::new() }
}

fn failed(ticket: u64, reason: &str) -> Event {
    let failure = Failure { reason: reason.into(), output: Vec::new(), unreachable: false };
    Event::Answered { ticket: Ticket(ticket), answer: Answer::Failed(failure), parts: Vec::new() }
}

fn watching(name: &str, action: WatchAction) -> Service {
    let mut service = service(name);
    service.watch = vec![WatchRule::new(format!("/shop/{name}").into(), action)];
    service
}

#[test]
fn all_that_follows_from_an_edit_bears_its_number_and_each_edit_has_another() {
    let (mut run, _) = Run::running(project([watching("api", WatchAction::Sync { target: "/app".into() })]));
    for number in 1..=3 {
        run.saved("/shop/api/main.js");
        run.now = run.state.wake_at().expect("a burst has to settle");
        let told = run.told(Event::Woken);
        let began = format!("begins to sync 1 file to api for edit {number}");
        assert_eq!(told, [format!("edit {number} concerns api"), began]);
        let told = run.told(answered(number, Outcome::Nothing));
        let done = format!("done: sync 1 file to api for edit {number}");
        assert_eq!(told, [done, format!("edit [{number}] of api done: [synced]")]);
    }
}

#[test]
fn an_edit_that_follows_nothing_has_no_number() {
    let mut run = Run::new(project([service("api")]), attached());
    let listing = with(prepared(&run.project), [run.container("api", ContainerState::Created)]);
    assert_eq!(run.told(Event::Observed(listing)), ["begins to start api-1"]);
}

#[test]
fn commands_that_are_run_after_the_copying_are_a_deed_of_their_own() {
    let exec = Hook { command: vec!["reload".into()], ..Hook::default() };
    let action = WatchAction::SyncExec { target: "/app".into(), exec };
    let (mut run, _) = Run::running(project([watching("api", action)]));
    run.saved("/shop/api/main.js");
    run.settled();
    let (deeds, _, parts) = edited(&mut run, answered(1, Outcome::Nothing)).expect("it is over");
    assert_eq!((deeds, parts), (vec![Deed::Synced, Deed::Executed], vec![Part::Settle, Part::Sync]));
}

#[test]
fn a_restart_is_over_when_it_is_answered_where_nothing_measures_health() {
    let (mut run, _) = Run::running(project([synced("api")]));
    run.state.observed.containers.values_mut().for_each(|it| it.health = Health::None);
    run.saved("/shop/api/main.js");
    run.settled();
    assert_eq!(edited(&mut run, answered(1, Outcome::Nothing)), None, "it is restarted");
    let api = run.container("api", ContainerState::Running);
    let (deeds, _, parts) = edited(&mut run, answered(2, now_a(&api))).expect("it is over");
    let expected = vec![Part::Settle, Part::Sync, Part::Start];
    assert_eq!((deeds, parts), (vec![Deed::Synced, Deed::Restarted], expected));
}

#[test]
fn an_edit_does_not_wait_for_the_health_of_what_ran_before_it() {
    let api = Service { healthcheck: service("api").checked().healthcheck, ..synced("api") };
    let api = Service { watch: watching("api", WatchAction::Sync { target: "/app".into() }).watch, ..api };
    let mut run = Run::new(project([api]), attached());
    let container = Container { health: Health::Starting, ..run.container("api", ContainerState::Running) };
    let listing = with(prepared(&run.project), [container]);
    run.on(Event::Observed(listing));
    run.saved("/shop/api/main.js");
    run.settled();
    assert!(edited(&mut run, answered(1, Outcome::Nothing)).is_some());
}

#[test]
fn a_new_version_is_over_when_it_runs_and_its_making_and_its_start_are_parts() {
    let mut run = with_a_replacement(service("api").built());
    let new = replacement(&run, "new", 1, ContainerState::Created);
    assert_eq!(edited(&mut run, answered(2, now_a(&new))), None);
    let new = replacement(&run, "new", 1, ContainerState::Running);
    let (deeds, failure, parts) = edited(&mut run, answered(3, now_a(&new))).expect("it is over");
    let expected = [Part::Settle, Part::Read, Part::Build, Part::Create, Part::Start];
    assert_eq!((deeds, failure, parts), (vec![Deed::Rebuilt, Deed::Replaced], None, expected.to_vec()));
}

#[test]
fn what_is_started_in_the_place_of_another_has_not_been_started_besides() {
    let services = [service("api").built(), service("web").needs("api", Condition::Started)];
    let (mut run, _) = Run::running(project(services));
    run.saved("/shop/api/main.js");
    run.settled_anew("api");
    run.done(1, built("api", "newer"));
    let new = replacement(&run, "new", 1, ContainerState::Created);
    assert_eq!(run.done(2, now_a(&new)), ["3: start api-1"]);
    let new = replacement(&run, "new", 1, ContainerState::Running);
    let (deeds, _, parts) = edited(&mut run, answered(3, now_a(&new))).expect("it is over");
    assert_eq!(deeds, [Deed::Rebuilt, Deed::Replaced]);
    assert_eq!(parts.last(), Some(&Part::Start));
}

#[test]
fn what_was_down_has_been_started() {
    let (mut run, _) = Run::running(project([service("api").built()]));
    run.became(run.container("api", ContainerState::Exited(1)));
    run.saved("/shop/api/main.js");
    run.settled_anew("api");
    assert_eq!(run.done(1, built("api", "identity of api")), ["image of api unchanged", "2: start api-1"]);
    let api = run.container("api", ContainerState::Running);
    let (deeds, _, parts) = edited(&mut run, answered(2, now_a(&api))).expect("it is over");
    let expected = vec![Part::Settle, Part::Read, Part::Build, Part::Start];
    assert_eq!((deeds, parts), (vec![Deed::Unchanged, Deed::Started], expected));
}

#[test]
fn what_was_gone_has_been_made_and_started() {
    let (mut run, _) = Run::running(project([service("api").built(), service("db")]));
    run.saved("/shop/api/main.js");
    run.settled_anew("api");
    run.on(Event::Container { id: "api-1".into(), container: None });
    assert_eq!(run.done(1, built("api", "newer")), ["2: create api-1"]);
    let api = Container { image_id: "sha256:newer".into(), ..run.container("api", ContainerState::Created) };
    assert_eq!(edited(&mut run, answered(2, now_a(&api))), None);
    let api = Container { state: ContainerState::Running, ..api };
    let (deeds, _, parts) = edited(&mut run, answered(3, now_a(&api))).expect("it is over");
    let expected = vec![Part::Settle, Part::Read, Part::Build, Part::Create, Part::Start];
    assert_eq!((deeds, parts), (vec![Deed::Rebuilt, Deed::Started], expected));
}

#[test]
fn files_that_are_as_they_were_end_an_edit_when_they_are_read() {
    let mut run = Run::built_from("as built");
    run.saved("/shop/api/main.js");
    run.settled();
    let read = Event::InputsRead { service: "api".into(), generation: 1, digest: Some("as built".into()) };
    let (deeds, _, parts) = edited(&mut run, read).expect("it is over");
    assert_eq!((deeds, parts), (vec![Deed::Current], vec![Part::Settle, Part::Read]));
}

#[test]
fn an_edit_that_fails_says_what_did() {
    let (mut run, _) = Run::running(project([service("api").built()]));
    run.saved("/shop/api/main.js");
    run.settled_anew("api");
    let told = run.told(failed(1, "exit code 1"));
    let expected =
        ["failed: build image of api: exit code 1 for edit 1", "edit [1] of api done: [], build failed: exit code 1"];
    assert_eq!(told, expected);
}

#[test]
fn an_edit_whose_container_cannot_be_made_is_over_although_its_start_is_still_planned() {
    let mut run = with_a_replacement(service("api").built());
    let (deeds, failure, _) = edited(&mut run, failed(2, "no space left")).expect("it is over");
    assert_eq!((deeds, failure.as_deref()), (vec![Deed::Rebuilt], Some("no space left")));
}
