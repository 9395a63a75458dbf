//! How long a new version is watched, what it proves itself by, and what becomes of those between.

use super::exchanges::{gone_back, replacement, synced, with_a_replacement};
use super::*;

/// A run in which the new version of `api` has just been started.
fn on_trial(api: Service) -> (Run, Container) {
    let mut run = with_a_replacement(api);
    let new = replacement(&run, "new", 1, ContainerState::Created);
    assert_eq!(run.done(2, now_a(&new)), ["3: replace api-1"]);
    let new = replacement(&run, "new", 1, ContainerState::Running);
    run.done(3, now_a(&new));
    (run, new)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn without_a_healthcheck_a_second_alive_is_enough_and_time_alone_decides() {
    let (mut run, new) = on_trial(service("api").built());
    assert_eq!(run.state.wake_at(), Some(run.now + seconds(1)));
    assert!(run.later(999).is_empty());
    assert_eq!(run.later(1), ["4: keep api-1"]);
    assert_eq!(run.state.wake_at(), None);
    assert!(run.done(4, now_a(&new)).is_empty());
}

#[test]
fn with_a_healthcheck_time_decides_nothing() {
    let (mut run, new) = on_trial(service("api").built().checked());
    assert_eq!(run.state.wake_at(), None);
    assert!(run.later(60_000).is_empty(), "the engine has not even said that it is checked");
    assert_eq!(run.became(Container { health: Health::Healthy, ..new }), ["4: keep api-1", "stop probing new"]);
}

#[test]
fn the_healthcheck_of_an_image_counts_as_well() {
    let mut run = with_a_replacement(service("api").built());
    let new = replacement(&run, "new", 1, ContainerState::Created);
    run.done(2, now_a(&new));
    let new = Container { health: Health::Starting, ..replacement(&run, "new", 1, ContainerState::Running) };
    assert!(run.done(3, now_a(&new)).is_empty());
    assert!(run.later(60_000).is_empty());
    assert_eq!(run.became(Container { health: Health::Healthy, ..new }), ["4: keep api-1"]);
}

#[test]
fn the_second_begins_when_the_new_version_runs_and_not_when_it_is_made() {
    let api = service("api").built().needs("db", Condition::Started);
    let (mut run, _) = Run::running(project([api, service("db")]));
    run.saved("/shop/api/main.js");
    run.settled_anew("api");
    assert_eq!(run.done(1, built("api", "newer")), ["2: create api-1"]);
    let db = run.container("db", ContainerState::Running);
    run.on(Event::Container { id: db.id.clone(), container: None });
    let new = replacement(&run, "new", 1, ContainerState::Created);
    assert!(run.done(2, now_a(&new)).is_empty(), "it waits for the database");
    assert!(run.later(5_000).is_empty());
    let made = run.container("db", ContainerState::Created);
    assert_eq!(run.done(3, now_a(&made)), ["4: start db-1"]);
    assert_eq!(run.done(4, now_a(&db)), ["5: replace api-1"]);
    let new = replacement(&run, "new", 1, ContainerState::Running);
    assert!(run.done(5, now_a(&new)).is_empty());
    assert_eq!(run.state.wake_at(), Some(run.now + seconds(1)));
}

#[test]
fn the_second_begins_when_the_start_is_answered_however_long_that_takes() {
    let mut run = with_a_replacement(service("api").built());
    let new = replacement(&run, "new", 1, ContainerState::Created);
    run.done(2, now_a(&new));
    let new = replacement(&run, "new", 1, ContainerState::Running);
    assert!(run.became(new.clone()).is_empty());
    assert_eq!(run.state.wake_at(), None);
    assert!(run.later(5_000).is_empty());
    assert!(run.done(3, now_a(&new)).is_empty());
    assert_eq!(run.state.wake_at(), Some(run.now + seconds(1)));
}

#[test]
fn nothing_is_decided_while_the_next_version_is_being_made() {
    let (mut run, _) = on_trial(service("api").built());
    run.saved("/shop/api/main.js");
    run.settled_anew("api");
    assert_eq!(run.done(4, built("api", "newest")), ["5: create api-1"]);
    assert_eq!(run.state.wake_at(), None);
    assert!(run.later(5_000).is_empty());
}

#[test]
fn what_has_proved_itself_is_not_tried_again_when_it_cannot_be_given_its_place() {
    let (mut run, _) = on_trial(service("api").built());
    assert_eq!(run.later(1_000), ["4: keep api-1"]);
    assert_eq!(run.failed(4, "the name is taken"), ["observe", "failed: keep api-1, still running"]);
    assert!(run.listed().is_empty());
    assert_eq!(run.state.wake_at(), None);
}

#[test]
fn what_has_proved_itself_and_fails_before_it_has_its_place_is_taken_back() {
    let (mut run, new) = on_trial(service("api").built());
    assert_eq!(run.on(Event::Reconnected), ["observe"]);
    assert!(run.later(1_000).is_empty(), "it has proved itself, but nothing is begun");
    let mut listing = run.state.observed().clone();
    let new = Container { state: ContainerState::Exited(1), ..new };
    listing.containers.insert("new".into(), new);
    let done = run.on(Event::Observed(listing));
    assert_eq!(done, ["api exited with 1, again in None", "4: take back api-1"]);
}

#[test]
fn what_has_proved_itself_while_nothing_could_be_begun_is_kept_afterwards() {
    let (mut run, _) = on_trial(service("api").built());
    assert_eq!(run.on(Event::Reconnected), ["observe"]);
    assert!(run.later(1_000).is_empty());
    assert_eq!(run.listed(), ["4: keep api-1"]);
}

#[test]
fn a_new_version_that_comes_to_its_end_where_the_one_before_ran_on_is_taken_back() {
    let (mut run, new) = on_trial(service("api").built());
    assert_eq!(run.became(Container { state: ContainerState::Exited(0), ..new }), ["4: take back api-1"]);
    let old = run.container("api", ContainerState::Running);
    assert_eq!(run.done(4, gone_back(&old)), ["api exited with code 0, taken back, running"]);
}

#[test]
fn a_new_version_that_comes_to_its_end_beside_the_one_before_is_taken_back() {
    let (mut run, _) = Run::running(project([service("api").built(), service("web").needs("api", Condition::Started)]));
    run.saved("/shop/api/main.js");
    run.settled_anew("api");
    run.done(1, built("api", "newer"));
    let new = replacement(&run, "new", 1, ContainerState::Created);
    assert_eq!(run.done(2, now_a(&new)), ["3: start api-1"]);
    let new = replacement(&run, "new", 1, ContainerState::Running);
    run.done(3, now_a(&new));
    assert_eq!(run.became(Container { state: ContainerState::Exited(0), ..new }), ["4: take back api-1"]);
}

/// The newest version is made and waits for one more build when the one between exits.
#[test]
fn the_first_version_serves_again_when_the_one_between_exits_before_the_newest_can_start() {
    let (mut run, new) = on_trial(service("api").built());
    run.saved("/shop/api/main.js");
    run.settled_anew("api");
    assert_eq!(run.done(4, built("api", "newest")), ["5: create api-1"]);
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["6: build image of api"]);
    let mut newest = replacement(&run, "newest", 1, ContainerState::Created);
    (newest.image_id, newest.created_at) = ("sha256:newest".into(), 20);
    assert!(run.done(5, now_a(&newest)).is_empty());
    assert_eq!(run.became(Container { state: ContainerState::Exited(1), ..new }), ["7: remove api-1"]);
    assert_eq!(run.done(7, Outcome::Nothing), ["8: start api-1"]);
    let old = run.container("api", ContainerState::Running);
    assert!(run.done(8, now_a(&old)).is_empty());
    assert_eq!(run.state.serving("api"), ["api-1".to_owned()].into());
}

#[test]
fn a_job_is_not_run_once_more_because_its_next_version_has_to_wait() {
    let mut run = Run::new(project([service("api").built()]), attached());
    let mut old = run.container("api", ContainerState::Exited(0));
    (old.config_hash, old.finished_at) = (Some("another".into()), 5);
    let listing = with(prepared(&run.project), [old]);
    assert_eq!(run.on(Event::Observed(listing)), ["1: create api-1"]);
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["2: build image of api"]);
    let new = replacement(&run, "new", 1, ContainerState::Created);
    let new = Container { image_id: "sha256:api".into(), ..new };
    assert!(run.done(1, now_a(&new)).is_empty(), "it waits for its image");
}

#[test]
fn a_new_version_that_exits_with_new_files_goes_as_a_whole() {
    let mut api = synced("api").built();
    api.watch.push(WatchRule::new("/base".into(), WatchAction::Rebuild));
    let (mut run, _) = Run::running(project([api]));
    run.saved("/base/Dockerfile");
    run.settled_anew("api");
    assert_eq!(run.done(1, built("api", "newer")), ["2: create api-1"]);
    let new = replacement(&run, "new", 1, ContainerState::Created);
    assert_eq!(run.done(2, now_a(&new)), ["3: replace api-1"]);
    let new = replacement(&run, "new", 1, ContainerState::Running);
    run.done(3, now_a(&new));
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled(), ["4: sync 1 file to api"]);
    run.done(4, Outcome::Nothing);
    assert_eq!(run.became(Container { state: ContainerState::Exited(1), ..new }), ["5: take back api-1"]);
}

#[test]
fn what_made_room_for_its_replacement_is_not_stopped_once_more() {
    let (mut run, _) = on_trial(service("api").built());
    assert_eq!(run.interrupted(), ["4: stop api-1"]);
    let new = replacement(&run, "new", 1, ContainerState::Exited(0));
    assert_eq!(run.done(4, now_a(&new)), ["end with 130"]);
}

#[test]
fn a_save_after_a_version_is_gone_and_before_that_is_answered_is_a_new_try() {
    let (mut run, new) = on_trial(service("api").built());
    assert_eq!(run.became(Container { state: ContainerState::Exited(1), ..new }), ["4: take back api-1"]);
    assert!(run.on(Event::Container { id: "new".into(), container: None }).is_empty());
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["5: build image of api"]);
    assert!(run.done(5, built("api", "newest")).is_empty());
    let old = run.container("api", ContainerState::Running);
    let done = run.done(4, gone_back(&old));
    assert_eq!(done, ["api exited with code 1, taken back, running", "6: create api-1"]);
}

#[test]
fn a_save_before_a_version_can_be_taken_back_is_a_new_try() {
    let (mut run, new) = on_trial(service("api").built());
    assert_eq!(run.on(Event::Reconnected), ["observe"]);
    assert!(run.became(Container { state: ContainerState::Exited(1), ..new }).is_empty());
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled(), ["read api"]);
    run.read("api", "others");
    assert_eq!(run.listed(), ["4: build image of api", "5: take back api-1"]);
    let old = run.container("api", ContainerState::Running);
    assert_eq!(run.done(5, gone_back(&old)), ["api exited with code 1, taken back, running"]);
    assert_eq!(run.done(4, built("api", "newest")), ["6: create api-1"]);
}

#[test]
fn nothing_is_remembered_of_a_version_that_has_been_taken_back_or_has_its_place() {
    let is_forgotten = |run: &Run| {
        let facts = &run.state.facts;
        run.state.trials.is_empty() && facts.proven.is_empty() && facts.rejected.is_empty()
    };
    let (mut run, new) = on_trial(service("api").built());
    run.became(Container { state: ContainerState::Exited(1), ..new });
    assert!(!is_forgotten(&run), "it is being taken back");
    let old = run.container("api", ContainerState::Running);
    run.done(4, gone_back(&old));
    assert!(is_forgotten(&run));
    let (mut run, new) = on_trial(service("api").built());
    assert_eq!(run.later(1_000), ["4: keep api-1"]);
    assert!(!is_forgotten(&run), "it is being kept");
    run.done(4, now_a(&new));
    assert!(is_forgotten(&run));
}

#[test]
fn a_version_that_fails_after_the_next_save_keeps_that_one_from_nothing() {
    let (mut run, new) = on_trial(service("api").built());
    run.saved("/shop/api/main.js");
    run.settled();
    assert_eq!(run.read("api", "even newer"), ["4: build image of api"]);
    let failed = Container { state: ContainerState::Exited(1), ..new };
    assert_eq!(run.became(failed), ["5: take back api-1"]);
    assert!(run.on(Event::Container { id: "new".into(), container: None }).is_empty(), "the engine tells this first");
    let old = run.container("api", ContainerState::Running);
    assert_eq!(run.done(5, gone_back(&old)), ["api exited with code 1, taken back, running"]);
    assert_eq!(run.done(4, built("api", "even newer")), ["6: create api-1"]);
}
