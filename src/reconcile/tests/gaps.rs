//! What must not be lost between runs, builds and edits of the manifest.

use super::exchanges::replacement;
use super::*;
use crate::change::SyncFiles;

#[test]
fn a_start_that_fails_in_part_keeps_what_runs_and_the_next_save_mends_it() {
    let mut run = Run::new(project([service("api").built(), service("db")]), attached());
    let mut listing = with(prepared(&run.project), [run.container("db", ContainerState::Running)]);
    listing.images.remove("shop-api");
    assert_eq!(run.on(Event::Observed(listing)), ["1: build image of api"]);
    run.failed(1, "no compiler");
    let listing = run.state.observed().clone();
    let actions = step(&mut run.state, Event::Observed(listing), run.now);
    let up = actions.iter().find_map(|action| match action {
        Action::Tell(Notice::Up { running, without, .. }) => Some((*running, without.clone())),
        _ => None,
    });
    assert_eq!(up, Some((1, vec!["api".to_owned()])));
    assert_eq!(actions.iter().filter_map(worded).collect::<Vec<_>>(), Vec::<String>::new(), "it does not end");
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["2: build image of api"]);
}

#[test]
fn a_start_of_which_nothing_runs_ends_when_it_fails() {
    let mut run = Run::new(project([service("api").built()]), attached());
    let mut listing = prepared(&run.project);
    listing.images.clear();
    assert_eq!(run.on(Event::Observed(listing)), ["1: build image of api"]);
    run.failed(1, "no compiler");
    let listing = run.state.observed().clone();
    assert!(run.on(Event::Observed(listing)).contains(&"end with 1".to_owned()));
}

#[test]
fn what_an_initial_sync_brings_every_later_container_has_too() {
    let rule = WatchRule {
        initial_sync: true,
        ..WatchRule::new("/elsewhere".into(), WatchAction::Sync { target: "/x".into() })
    };
    let api = || {
        let mut api = service("api");
        api.watch.push(rule.clone());
        api
    };
    let (mut run, _) = Run::running(project([service("db")]));
    run.saved("/shop/compose.yaml");
    run.settled();
    let Event::Reloaded(Some(mut read)) = reloaded([service("db"), api()]) else { unreachable!("it loads") };
    let copied = [("/elsewhere/a.js".into(), "/x/a.js".into())].into();
    read.initial_syncs.insert("api".into(), SyncFiles { copied, ..SyncFiles::default() });
    run.project = Arc::clone(&read.project);
    run.on(Event::Reloaded(Some(read)));
    let listing = with(prepared(&run.project), [run.container("db", ContainerState::Running)]);
    assert_eq!(run.on(Event::Observed(listing)), ["1: create api-1"]);
    let made = run.container("api", ContainerState::Created);
    assert_eq!(run.done(1, now_a(&made)), ["2: sync 1 file to api"]);
    assert_eq!(run.done(2, Outcome::Nothing), ["3: start api-1"]);
    let api_runs = run.container("api", ContainerState::Running);
    run.done(3, now_a(&api_runs));
    run.saved("/shop/compose.yaml");
    run.settled();
    run.on(reloaded([service("db"), Service { hostname: Some("new".into()), ..api() }]));
    let listing = run.state.observed().clone();
    assert_eq!(run.on(Event::Observed(listing)), ["4: create api-1"]);
    let mut new = run.container("api", ContainerState::Created);
    (new.id, new.replaces) = ("new".into(), Some("api-1".into()));
    new.config_hash = run.state.facts.hashes.services.get("api").cloned();
    assert_eq!(run.done(4, now_a(&new)), ["5: sync 1 file to api"]);
}

#[test]
fn files_from_outside_the_build_outlive_it() {
    let mut api = service("api").built();
    api.watch.push(WatchRule::new("/elsewhere".into(), WatchAction::Sync { target: "/x".into() }));
    api.watch.push(WatchRule::new("/shop/api".into(), WatchAction::Rebuild));
    let (mut run, _) = Run::running(project([api]));
    run.saved("/elsewhere/a.js");
    assert_eq!(run.settled(), ["1: sync 1 file to api"]);
    run.done(1, Outcome::Nothing);
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["2: build image of api"]);
    assert_eq!(run.done(2, built("api", "newer")), ["3: create api-1"]);
    let new = replacement(&run, "new", 1, ContainerState::Created);
    assert_eq!(run.done(3, now_a(&new)), ["4: sync 1 file to api"]);
}

#[test]
fn a_service_that_comes_back_is_judged_by_its_files_as_they_are_now() {
    let (mut run, _) = Run::running(project([service("api").built(), service("db")]));
    run.saved("/shop/api/main.js");
    run.settled_anew("api");
    run.done(1, built("api", "newer"));
    run.saved("/shop/compose.yaml");
    run.settled();
    run.on(reloaded([service("db")]));
    run.saved("/shop/compose.yaml");
    run.settled();
    let done = run.on(reloaded([service("api").built(), service("db")]));
    assert!(done.contains(&"read api".to_owned()), "{done:?}");
    run.read("api", "edited while it was out");
    let listing = run.state.observed().clone();
    run.on(Event::Observed(listing.clone()));
    let done = run.on(Event::Observed(listing));
    assert!(done.iter().any(|line| line.ends_with("build image of api")), "{done:?}");
}

#[test]
fn what_others_are_built_with_is_built_when_it_is_saved_although_it_does_not_run() {
    let mut api = service("api").built();
    let build = api.build.as_mut().expect("it is built");
    build.additional_contexts.insert("base".into(), "service:base".into());
    let mut project = project([api]);
    project.disabled.insert("base".into(), service("base").built());
    let mut run = Run::new(project, attached());
    let mut listing = with(prepared(&run.project), [run.container("api", ContainerState::Running)]);
    listing.images.insert("shop-base".into(), image("base"));
    assert!(run.on(Event::Observed(listing)).is_empty());
    run.saved("/shop/base/lib.js");
    assert_eq!(run.settled(), ["read base"]);
    assert_eq!(run.read("base", "others"), ["1: build image of base"]);
    assert_eq!(run.done(1, built("base", "newer")), ["2: build image of api"]);
}

#[test]
fn an_end_that_is_asked_for_while_a_version_is_taken_back_stops_the_one_that_serves_again() {
    let (mut run, _) = Run::running(project([service("api").built()]));
    run.saved("/shop/api/main.js");
    run.settled_anew("api");
    run.done(1, built("api", "newer"));
    let mut new = replacement(&run, "new", 1, ContainerState::Created);
    run.done(2, now_a(&new));
    new.state = ContainerState::Running;
    run.done(3, now_a(&new));
    new.state = ContainerState::Exited(1);
    assert!(run.became(new).contains(&"4: take back api-1".to_owned()));
    run.on(Event::Interrupted { code: 130 });
    let old = run.container("api", ContainerState::Running);
    let done = run.done(4, Outcome::Reverted { container: Box::new(old), output: Vec::new() });
    assert!(done.iter().any(|line| line.ends_with("stop api-1")), "{done:?}");
}

#[test]
fn of_replicas_whose_exchanges_have_both_begun_one_goes_on() {
    let mut run = Run::new(project([service("api").built().times(2)]), attached());
    let numbered = |run: &Run, id: &str, number: u32, replaces: Option<&str>| {
        let made = container(&run.project, "api", number, ContainerState::Running);
        Container { id: id.into(), replaces: replaces.map(Into::into), image_id: "sha256:older".into(), ..made }
    };
    let containers = [
        numbered(&run, "a", 1, None),
        numbered(&run, "b", 2, None),
        numbered(&run, "newer-a", 1, Some("a")),
        numbered(&run, "newer-b", 2, Some("b")),
    ];
    let listing = with(prepared(&run.project), containers);
    assert_eq!(run.on(Event::Observed(listing)), ["1: create api-1"]);
}

#[test]
fn of_two_replicas_the_one_whose_exchange_has_begun_goes_on() {
    let mut run = Run::new(project([service("api").built().times(2)]), attached());
    let older = |run: &Run, id: &str, number: u32, replaces: Option<&str>| {
        let made = container(&run.project, "api", number, ContainerState::Running);
        Container { id: id.into(), replaces: replaces.map(Into::into), image_id: "sha256:older".into(), ..made }
    };
    let containers = [older(&run, "a", 1, None), older(&run, "b", 2, None), older(&run, "newer-b", 2, Some("b"))];
    let listing = with(prepared(&run.project), containers);
    assert_eq!(run.on(Event::Observed(listing)), ["1: create api-2"]);
}

#[test]
fn a_file_that_is_as_it_was_before_its_burst_is_over_leads_to_nothing() {
    let mut web = service("web");
    web.watch.push(WatchRule::new("/shop/web".into(), WatchAction::Restart));
    let (mut run, _) = Run::running(project([web]));
    run.at(1_000).saved("/shop/web/a");
    run.on(Event::Undone(["/shop/web/a".into()].into()));
    assert_eq!(run.state.wake_at(), None, "nothing has to settle");
    run.saved("/shop/web/a");
    run.saved("/shop/web/b");
    run.on(Event::Undone(["/shop/web/a".into(), "/shop/web/never".into()].into()));
    assert_eq!(run.settled(), ["1: restart web-1"]);
    run.on(Event::Undone(["/shop/web/b".into()].into()));
    assert!(run.later(1_000).is_empty(), "what was acted on cannot be taken back");
}

#[test]
fn what_was_under_way_when_a_file_was_saved_is_no_part_of_its_edit() {
    let mut web = service("web");
    web.watch.push(WatchRule::new("/shop/web".into(), WatchAction::Restart));
    let (mut run, _) = Run::running(project([web]));
    run.at(1_000);
    let mut changed = service("web");
    (changed.hostname, changed.watch) = (Some("new".into()), run.project.services["web"].watch.clone());
    run.on(reloaded([changed]));
    let listing = run.state.observed().clone();
    assert_eq!(run.on(Event::Observed(listing)), ["1: create web-1"]);
    let mut new = run.container("web", ContainerState::Created);
    (new.id, new.replaces) = ("new".into(), Some("web-1".into()));
    new.config_hash = run.state.facts.hashes.services.get("web").cloned();
    assert_eq!(run.done(1, now_a(&new)), ["2: replace web-1"]);
    run.at(2_000).saved("/shop/web/a");
    run.settled();
    new.state = ContainerState::Running;
    let answer = Answer::Done(now_a(&new));
    let parts = vec![(Part::Stop, Duration::from_secs(10))];
    let actions = step(&mut run.state, Event::Answered { ticket: Ticket(2), answer, parts }, run.now);
    let told = actions.iter().find_map(|action| match action {
        Action::Tell(Notice::Edited { parts, .. }) => Some(parts.clone()),
        _ => None,
    });
    let parts = told.expect("the new container has seen the file");
    assert!(parts.iter().all(|(part, _)| *part != Part::Stop), "{parts:?}");
}

#[test]
fn an_end_also_stops_what_was_taken_out_of_the_manifest_and_still_runs() {
    let (mut run, _) = Run::running(project([service("web"), service("db")]));
    run.saved("/shop/compose.yaml");
    run.settled();
    run.on(reloaded([service("web")]));
    run.on(Event::Interrupted { code: 130 });
    let listing = run.state.observed().clone();
    run.on(Event::Observed(listing.clone()));
    let done = run.on(Event::Observed(listing));
    assert!(done.is_empty() || done.iter().any(|line| line.contains("stop")), "{done:?}");
    let planned = run.state.plan().to_string();
    assert!(planned.contains("stop db-1") && planned.contains("stop web-1"), "{planned}");
}

/// `a.js` is copied and `package.json` rebuilds; the image holds both as they were first.
fn overlaid() -> Run {
    let mut api = service("api").built();
    let sync = WatchAction::SyncRestart { target: "/app".into() };
    api.watch = vec![
        WatchRule::new("/shop/api/a.js".into(), sync),
        WatchRule::new("/shop/api/package.json".into(), WatchAction::Rebuild),
    ];
    let mut run = Run::new(project([api]), attached());
    let mut listing = with(prepared(&run.project), [run.container("api", ContainerState::Running)]);
    listing.images.insert("shop-api".into(), image_from("first"));
    run.on(Event::Observed(listing));
    run.saved("/shop/api/a.js");
    assert_eq!(run.settled(), ["1: sync 1 file to api"]);
    assert_eq!(run.done(1, Outcome::Nothing), ["2: restart api-1"]);
    run.done(2, now_a(&Container { started_at: 9, ..run.container("api", ContainerState::Running) }));
    assert_eq!(run.later(1_000), Vec::<String>::new());
    run
}

#[test]
fn copied_files_that_are_put_back_together_with_what_rebuilds_go_with_their_container() {
    let mut run = overlaid();
    let both = ["/shop/api/a.js", "/shop/api/package.json"].map(|path| (path.into(), PathState::Present));
    run.on(Event::Changed(both.into()));
    assert_eq!(run.settled(), ["read api"]);
    assert_eq!(run.read("api", "first"), ["3: create api-1"], "the image is as it should be, the container is not");
    let made = Container { replaces: Some("api-1".into()), ..replacement(&run, "new", 1, ContainerState::Created) };
    let made = Container { image_id: run.container("api", ContainerState::Created).image_id, ..made };
    assert_eq!(run.done(3, now_a(&made)), ["4: replace api-1"], "nothing is copied over it");
}

#[test]
fn a_rebuild_of_other_files_takes_what_was_copied_along() {
    let mut run = overlaid();
    run.saved("/shop/api/package.json");
    assert_eq!(run.settled(), ["read api"]);
    assert_eq!(run.read("api", "second"), ["3: build image of api"]);
}

#[test]
fn a_container_into_which_an_earlier_run_copied_other_files_is_replaced_although_its_image_is_current() {
    let api = project([service("api").built()]);
    let goal = Goal::Up(up(&api, attached()));
    let state_of = |listing: &Observed, goal: &Goal| {
        let mut setup = Run::setup(Arc::new(api.clone()), goal.clone());
        setup.inputs.insert("api".into(), "first".into());
        setup.stale.insert("api-1".into());
        State::looking(setup, listing.clone()).expect("no cycle").plan().to_string()
    };
    let mut listing = with(prepared(&api), [container(&api, "api", 1, ContainerState::Running)]);
    listing.images.insert("shop-api".into(), image_from("first"));
    assert_eq!(
        state_of(&listing, &goal),
        "create api-1 (sources changed)\nreplace api-1 (sources changed): waits for its container\n"
    );
    // It was about to take the place of one that has other files, too.
    let of = Container { id: "api-0".into(), ..listing.containers["api-1"].clone() };
    let mut pair = with(listing.clone(), [of]);
    let new = pair.containers.get_mut("api-1").expect("it is there");
    (new.replaces, new.state) = (Some("api-0".into()), ContainerState::Exited(143));
    assert_eq!(state_of(&pair, &goal), "remove api-1 (sources changed)\n");
    let Goal::Up(mut up) = goal else { unreachable!("it is one") };
    up.no_recreate = true;
    assert_eq!(state_of(&listing, &Goal::Up(up)), "");
}
