//! What saved files lead to when something else happens between, and what they never lead to.

use super::exchanges::{replacement, synced};
use super::*;

fn watching(name: &str, rules: impl IntoIterator<Item = (&'static str, WatchAction)>) -> Service {
    let rules = rules.into_iter().map(|(path, action)| WatchRule::new(path.into(), action));
    Service { watch: rules.collect(), ..service(name) }
}

fn sync() -> WatchAction {
    WatchAction::Sync { target: "/app".into() }
}

/// Its sources are copied, and its list of packages makes another image.
fn copied_and_built() -> Service {
    let build = service("api").built().build;
    let rules = [("/shop/api/src", sync()), ("/shop/common", sync()), ("/shop/api/package.json", WatchAction::Rebuild)];
    Service { build, image: None, ..watching("api", rules) }
}

#[test]
fn nothing_saved_begins_no_burst() {
    let (mut run, _) = Run::running(project([service("api").built()]));
    assert!(run.on(Event::Changed(BTreeMap::new())).is_empty());
    run.at(5_000).saved("/shop/api/main.js");
    assert_eq!(run.state.wake_at(), Some(Duration::from_millis(5_020)));
}

#[test]
fn saves_count_only_where_files_are_watched_and_only_until_the_end() {
    let (mut run, _) = Run::running(project([service("api").built()]));
    run.state.rules = None;
    run.saved("/shop/api/main.js");
    assert_eq!(run.state.wake_at(), None);
    let (mut run, _) = Run::running(project([service("api").built()]));
    run.interrupted();
    run.saved("/shop/api/main.js");
    assert_eq!(run.state.wake_at(), None);
}

#[test]
fn a_saved_file_is_unsettled_until_its_burst_is_over() {
    let (mut run, _) = Run::running(project([service("api").built()]));
    run.saved("/shop/api/main.js");
    assert!(run.state.is_unsettled("/shop/api/main.js".as_ref()));
    assert!(!run.state.is_unsettled("/shop/api/other.js".as_ref()));
    run.settled();
    assert!(!run.state.is_unsettled("/shop/api/main.js".as_ref()));
}

#[test]
fn a_rule_that_restarts_restarts_every_replica_of_its_service_and_nothing_else() {
    let api = watching("api", [("/shop/api", WatchAction::Restart)]).times(2);
    let mut run = Run::new(project([api, service("db")]), attached());
    let containers = [1, 2].map(|number| container(&run.project, "api", number, ContainerState::Running));
    let listing = with(prepared(&run.project), containers.clone());
    let listing = with(listing, [run.container("db", ContainerState::Running)]);
    assert!(run.on(Event::Observed(listing)).is_empty());
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled(), ["1: restart api-1"]);
    assert_eq!(run.done(1, now_a(&containers[0])), ["2: restart api-2"]);
    assert!(run.done(2, now_a(&containers[1])).is_empty());
}

#[test]
fn files_that_could_not_be_copied_go_with_those_of_the_next_save() {
    let (mut run, _) = Run::running(project([watching("api", [("/shop/api", sync())])]));
    run.saved("/shop/api/a.js");
    assert_eq!(run.settled(), ["1: sync 1 file to api"]);
    assert_eq!(run.failed(1, "no space left"), ["observe", "failed: sync 1 file to api, still running"]);
    assert!(run.listed().is_empty(), "it is not tried again by itself");
    run.saved("/shop/api/b.js");
    assert_eq!(run.settled(), ["2: sync 2 files to api"]);
}

#[test]
fn files_that_an_engine_that_is_away_did_not_take_are_copied_when_it_is_back() {
    let (mut run, _) = Run::running(project([watching("api", [("/shop/api", sync())])]));
    run.saved("/shop/api/a.js");
    assert_eq!(run.settled(), ["1: sync 1 file to api"]);
    let failure = Failure { reason: "closed".into(), output: Vec::new(), unreachable: true };
    let lost = Event::Answered { ticket: Ticket(1), answer: Answer::Failed(failure), parts: Vec::new() };
    assert_eq!(run.on(lost), ["engine lost", "observe"]);
    assert_eq!(run.listed(), ["engine back", "2: sync 1 file to api"]);
}

#[test]
fn what_is_called_off_is_told_of() {
    let (mut run, _) = Run::running(project([service("api").built()]));
    run.saved("/shop/api/main.js");
    run.settled_anew("api");
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["cancel 1"]);
    let answer = Event::Answered { ticket: Ticket(1), answer: Answer::Cancelled, parts: Vec::new() };
    assert_eq!(run.told(answer), ["cancelled: build image of api", "begins to build image of api for edit 2"]);
}

#[test]
fn a_build_that_is_called_off_has_not_failed_whatever_it_says() {
    let (mut run, _) = Run::running(project([service("api").built()]));
    run.saved("/shop/api/main.js");
    run.settled_anew("api");
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["cancel 1"]);
    assert_eq!(run.failed(1, "the build was interrupted"), ["2: build image of api"]);
}

#[test]
fn what_was_copied_before_a_build_is_in_its_image_and_is_not_copied_again() {
    let (mut run, _) = Run::running(project([copied_and_built()]));
    run.saved("/shop/api/src/main.js");
    assert_eq!(run.settled(), ["1: sync 1 file to api"]);
    run.done(1, Outcome::Nothing);
    run.saved("/shop/api/package.json");
    assert_eq!(run.settled_anew("api"), ["2: build image of api"]);
    assert_eq!(run.done(2, built("api", "newer")), ["3: create api-1"]);
    let new = replacement(&run, "new", 1, ContainerState::Created);
    assert_eq!(run.done(3, now_a(&new)), ["4: replace api-1"]);
}

#[test]
fn what_was_copied_from_elsewhere_before_a_build_that_failed_is_copied_into_new_containers_of_the_image_before() {
    let (mut run, _) = Run::running(project([copied_and_built()]));
    run.saved("/shop/common/log.js");
    assert_eq!(run.settled(), ["1: sync 1 file to api"]);
    run.done(1, Outcome::Nothing);
    run.saved("/shop/api/package.json");
    assert_eq!(run.settled_anew("api"), ["2: build image of api"]);
    run.failed(2, "exit code 1");
    run.listed();
    // It is as it was before, so that nothing has to be built.
    run.state.observed.images.insert("shop-api".into(), image_from("as built"));
    run.saved("/shop/api/package.json");
    assert_eq!(run.settled(), ["read api"]);
    assert!(run.read("api", "as built").is_empty());
    assert_eq!(run.on(Event::Container { id: "api-1".into(), container: None }), ["3: create api-1"]);
    let api = run.container("api", ContainerState::Created);
    assert_eq!(run.done(3, now_a(&api)), ["4: sync 1 file to api"]);
}

#[test]
fn files_that_cannot_be_read_are_built_for_the_build_to_say_why() {
    let (mut run, _) = Run::running(project([service("api").built()]));
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled(), ["read api"]);
    let unread = Event::InputsRead { service: "api".into(), generation: 1, digest: None };
    assert_eq!(run.on(unread), ["1: build image of api"]);
}

#[test]
fn a_reading_that_newer_saves_have_overtaken_counts_for_nothing() {
    let mut run = Run::built_from("as built");
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled(), ["read api"]);
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled(), ["read api"]);
    assert_eq!(run.read("api", "others"), ["1: build image of api"]);
    assert_eq!(run.done(1, built("api", "newer")), ["2: create api-1"]);
    let late = Event::InputsRead { service: "api".into(), generation: 1, digest: Some("as built".into()) };
    assert!(run.on(late).is_empty(), "nothing is built once more");
    assert_eq!(run.state.inputs("api").map(String::as_str), Some("others"));
}

#[test]
fn a_save_is_no_new_try_for_another_service_that_has_used_up_its_retries() {
    let job = service("job").restart(RestartPolicy::OnFailure { max_retries: Some(0) });
    let (mut run, _) = Run::running(project([job, service("api").built()]));
    assert_eq!(run.on(Event::Exited { id: "job-1".into(), code: 1 }), ["job exited with 1, again in None"]);
    assert!(run.later(60_000).is_empty());
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["1: build image of api"]);
    assert!(run.later(60_000).is_empty(), "it stays down");
}

#[test]
fn a_save_ends_the_pause_before_a_restart_and_the_next_one_is_short_again() {
    let api = synced("api").restart(RestartPolicy::Always);
    let (mut run, _) = Run::running(project([api, service("db").restart(RestartPolicy::Always)]));
    let exited = |name: &str| Event::Exited { id: format!("{name}-1"), code: 0 };
    for (ticket, pause) in [(1, 1), (2, 2)] {
        assert_eq!(run.on(exited("api")), [format!("api exited with 0, again in Some({pause}s)")]);
        assert_eq!(run.later(pause * 1_000), [format!("{ticket}: start api-1")]);
        let api = run.container("api", ContainerState::Running);
        assert!(run.done(ticket, now_a(&api)).is_empty());
    }
    assert_eq!(run.on(exited("api")), ["api exited with 0, again in Some(4s)"]);
    assert_eq!(run.on(exited("db")), ["db exited with 0, again in Some(1s)"]);
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled(), ["3: sync 1 file to api"]);
    assert_eq!(run.done(3, Outcome::Nothing), ["4: start api-1"], "nobody has to wait after a save");
    let api = run.container("api", ContainerState::Running);
    assert!(run.done(4, now_a(&api)).is_empty());
    assert_eq!(run.later(1_000), ["5: start db-1"], "the other one's pause goes on");
    assert_eq!(run.on(exited("api")), ["api exited with 0, again in Some(1s)"]);
}

#[test]
fn a_save_of_what_is_not_in_the_run_leads_to_nothing_unless_an_image_is_made_with_it() {
    let mut api = service("api").built();
    let build = api.build.as_mut().expect("it is built");
    build.additional_contexts.insert("base".into(), "service:base".into());
    let mut base = service("base").built();
    base.watch = vec![
        WatchRule::new("/shop/base/src".into(), sync()),
        WatchRule::new("/shop/base/Dockerfile".into(), WatchAction::Rebuild),
    ];
    let project = project([api, base, service("web").built()]);
    let services = ["api".to_owned()].into();
    let mut run =
        Run::towards(project.clone(), Goal::Up(crate::plan::goal::Up { services, ..up(&project, attached()) }));
    let listing = with(prepared(&run.project), [run.container("api", ContainerState::Running)]);
    assert!(run.on(Event::Observed(listing)).is_empty());
    for (path, then) in [("web/main.js", None), ("base/src/main.js", None), ("base/Dockerfile", Some("read base"))] {
        run.saved(&format!("/shop/{path}"));
        assert_eq!(run.settled(), then.into_iter().collect::<Vec<_>>(), "{path}");
    }
}
