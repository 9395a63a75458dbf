//! What a saved manifest leaves alone and what it takes up.

use super::*;
use crate::plan::goal::BuildPolicy;
use crate::project::{Model, ModelUse, PullPolicy};

/// A manifest with these services is read, and the engine is asked again.
fn reload(run: &mut Run, services: impl IntoIterator<Item = Service>) -> Vec<String> {
    let mut listing = run.state.observed().clone();
    let services: Vec<Service> = services.into_iter().collect();
    let images = prepared(&project(services.clone())).images;
    listing.images.extend(images);
    run.on(reloaded(services));
    run.on(Event::Observed(listing))
}

#[test]
fn a_service_that_comes_back_is_not_removed_any_more() {
    let (mut run, _) = Run::running(project([service("api"), service("old")]));
    assert_eq!(reload(&mut run, [service("api")]), ["1: remove old-1"]);
    assert!(run.done(1, Outcome::Nothing).is_empty());
    assert_eq!(reload(&mut run, [service("api"), service("old")]), ["2: create old-1"]);
    let old = Container { id: "old".into(), ..container(run.state.project(), "old", 1, ContainerState::Created) };
    assert_eq!(run.done(2, now_a(&old)), ["3: start old-1"]);
    assert!(run.done(3, now_a(&Container { state: ContainerState::Running, ..old })).is_empty());
}

#[test]
fn what_comes_into_the_run_is_started_and_a_job_that_was_there_is_not_run_again() {
    let (mut run, _) = Run::running(project([service("api"), service("job")]));
    run.became(run.container("job", ContainerState::Exited(0)));
    let with_new = project([service("api"), service("job"), service("new")]);
    run.became(container(&with_new, "new", 1, ContainerState::Exited(0)));
    assert_eq!(reload(&mut run, [service("api"), service("job"), service("new")]), ["1: start new-1"]);
}

#[test]
fn what_comes_into_the_run_and_runs_already_is_left_alone_even_when_it_exits_with_0() {
    let (mut run, _) = Run::running(project([service("api")]));
    let with_new = project([service("api"), service("new")]);
    run.became(container(&with_new, "new", 1, ContainerState::Running));
    assert!(reload(&mut run, [service("api"), service("new")]).is_empty());
    let exited = container(&with_new, "new", 1, ContainerState::Exited(0));
    assert_eq!(run.became(exited), ["new exited with 0, again in None"]);
}

#[test]
fn a_model_is_asked_for_again_only_when_it_is_another() {
    let of = |source: &str| {
        let variables = ModelUse { endpoint_variable: "LLM_URL".into(), model_variable: "LLM_MODEL".into() };
        let models = BTreeMap::from([("llm".to_owned(), variables)]);
        let mut project = project([Service { models, ..service("api") }]);
        let model = Model { source: source.into(), context_size: None, runtime_flags: Vec::new() };
        project.models.insert("llm".into(), model);
        project
    };
    let event = |project: Project| {
        let Event::Reloaded(Some(mut read)) = reloaded([]) else { unreachable!("it loads") };
        read.services = project.services.keys().cloned().collect();
        read.project = Arc::new(project);
        Event::Reloaded(Some(read))
    };
    let mut run = Run::new(of("ai/small"), attached());
    let listing = prepared(&run.project);
    assert_eq!(run.on(Event::Observed(listing)), ["1: prepare model llm"]);
    assert_eq!(run.done(1, Outcome::Model("http://models".into())), ["2: create api-1"]);
    let api = container(run.state.project(), "api", 1, ContainerState::Created);
    assert_eq!(run.done(2, now_a(&api)), ["3: start api-1"]);
    run.done(3, now_a(&Container { state: ContainerState::Running, ..api }));
    run.on(event(of("ai/small")));
    assert!(run.listed().is_empty());
    run.on(event(of("ai/large")));
    assert_eq!(run.listed(), ["4: prepare model llm"]);
}

#[test]
fn a_saved_manifest_recreates_what_changed_starts_what_is_new_and_removes_what_is_gone() {
    let (mut run, _) = Run::running(project([service("api"), service("db"), service("old")]));
    assert!(run.at(100).saved("/shop/compose.yaml").is_empty(), "an editor may not be done yet");
    assert_eq!(run.settled(), ["reload"]);
    let told = run.on(reloaded([service("api").checked(), service("db"), service("new")]));
    assert_eq!(told, [r#"changed ["api"], added ["new"], removed ["old"]"#, "observe"]);
    let mut listing = prepared(&project([service("api"), service("db"), service("new")]));
    listing.containers = run.state.observed().containers.clone();
    let done = run.on(Event::Observed(listing));
    assert_eq!(done, ["1: remove old-1", "2: create api-1", "3: create new-1"]);
}

#[test]
fn a_saved_manifest_is_one_edit_of_all_that_it_changes_and_brings() {
    let (mut run, _) = Run::running(project([service("api"), service("db")]));
    run.at(100).saved("/shop/compose.yaml");
    run.settled();
    run.on(reloaded([service("api").checked(), service("db"), service("new")]));
    let mut listing = prepared(&project([service("api"), service("db"), service("new")]));
    listing.containers = run.state.observed().containers.clone();
    let told = run.told(Event::Observed(listing));
    assert_eq!(told, ["begins to create api-1 for edit 1", "begins to create new-1 for edit 1"]);
    let mut new = container(run.state.project(), "new", 1, ContainerState::Created);
    run.done(2, now_a(&new));
    new.state = ContainerState::Running;
    let done = Event::Answered { ticket: Ticket(3), answer: Answer::Done(now_a(&new)), parts: Vec::new() };
    assert_eq!(run.told(done), ["done: start new-1 for edit 1", "edit [1] of new done: [started]"]);
    let of_api = run.state.edits.get("api").expect("its container is still being made");
    assert!(format!("{of_api:?}").contains("/shop/compose.yaml"), "{of_api:?}");
}

#[test]
fn saves_of_a_manifest_that_is_being_read_are_in_one_edit_with_it() {
    let (mut run, _) = Run::running(project([service("api")]));
    for at in [100, 300] {
        run.at(at).saved("/shop/compose.yaml");
        run.settled();
    }
    run.on(reloaded([service("api").checked()]));
    run.on(reloaded([service("api").checked()]));
    assert_eq!(run.state.edit_of(Some("api")), Some(2));
    run.on(Event::Reloaded(None));
    run.at(900).saved("/shop/compose.yaml");
    run.settled();
    run.on(Event::Reloaded(None));
    run.on(reloaded([service("api").checked()]));
    assert_eq!(run.state.edit_of(Some("api")), Some(2), "one that did not load has led to nothing");
}

#[test]
fn a_saved_manifest_that_says_the_same_does_nothing() {
    let (mut run, _) = Run::running(project([service("api"), service("db")]));
    run.at(100).saved("/shop/compose.yaml");
    assert_eq!(run.settled(), ["reload"]);
    let told = run.on(reloaded([service("api"), service("db")]));
    assert_eq!(told, ["changed [], added [], removed []", "observe"]);
    let listing = run.state.observed().clone();
    assert!(run.on(Event::Observed(listing)).is_empty());
}

#[test]
fn a_manifest_that_does_not_load_leaves_everything_as_it_is_and_the_next_save_counts() {
    let (mut run, _) = Run::running(project([service("api")]));
    run.at(100).saved("/shop/compose.yaml");
    assert_eq!(run.settled(), ["reload"]);
    assert!(run.on(Event::Reloaded(None)).is_empty());
    run.at(200).saved("/shop/compose.yaml");
    assert_eq!(run.settled(), ["reload"]);
}

#[test]
fn a_manifest_that_is_saved_while_it_is_read_is_read_once_more() {
    let (mut run, _) = Run::running(project([service("api")]));
    run.at(100).saved("/shop/compose.yaml");
    assert_eq!(run.settled(), ["reload"]);
    run.at(200).saved("/shop/compose.yaml");
    assert!(run.settled().is_empty(), "one reading at a time");
    run.at(300).saved("/shop/compose.yaml");
    assert!(run.settled().is_empty());
    assert_eq!(run.on(reloaded([service("api").checked()])), ["reload"], "what was read is old");
    let told = run.on(reloaded([service("api").checked()]));
    assert_eq!(told, [r#"changed ["api"], added [], removed []"#, "observe"]);
}

#[test]
fn a_service_that_is_built_otherwise_is_built_anew_at_once() {
    let (mut run, _) = Run::running(project([service("api").built()]));
    run.at(100).saved("/shop/compose.yaml");
    assert_eq!(run.settled(), ["reload"]);
    let mut other = service("api").built();
    other.build.as_mut().expect("it is built").target = Some("dev".into());
    run.on(reloaded([other]));
    let listing = run.state.observed().clone();
    let done = run.on(Event::Observed(listing));
    assert_eq!(done, ["1: build image of api"]);
}

#[test]
fn the_files_of_a_service_that_comes_back_are_read_even_when_their_last_save_was_never_built() {
    let (mut run, _) = Run::running(project([service("api").built(), service("db")]));
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled(), ["read api"]);
    run.on(reloaded([service("db")]));
    let done = run.on(reloaded([service("api").built(), service("db")]));
    assert!(done.contains(&"read api".to_owned()), "{done:?}");
}

/// `new` has an image and runs; both were made by an earlier run.
fn with_a_built_one_that_comes(build: BuildPolicy, policy: PullPolicy) -> (Run, Vec<String>) {
    let new = Service { pull_policy: policy, ..service("new").built() };
    let before = project([service("api")]);
    let mut goal = up(&before, attached());
    goal.build = build;
    let mut run = Run::towards(before, Goal::Up(goal));
    let of_both = project([service("api"), new.clone()]);
    let runs = ["api", "new"].map(|name| container(&of_both, name, 1, ContainerState::Running));
    let mut listing = with(prepared(&of_both), runs);
    listing.images.get_mut("shop-new").expect("it is built").labels.insert(label::INPUTS.into(), "first".into());
    run.on(Event::Observed(listing));
    run.saved("/shop/compose.yaml");
    run.settled();
    let Event::Reloaded(Some(mut read)) = reloaded([service("api"), new]) else { unreachable!("it loads") };
    read.inputs.insert("new".into(), "first".into());
    let mut done = run.on(Event::Reloaded(Some(read)));
    done.extend(run.listed());
    (run, done)
}

#[test]
fn a_save_before_the_files_of_a_new_service_are_watched_is_found_by_reading_them_once_more() {
    let (mut run, done) = with_a_built_one_that_comes(BuildPolicy::Needed, PullPolicy::Missing);
    assert!(done.contains(&"read new".to_owned()) && !done.iter().any(|line| line.contains("build")), "{done:?}");
    assert_eq!(run.read("new", "second"), ["1: build image of new"]);
    let (mut run, _) = with_a_built_one_that_comes(BuildPolicy::Needed, PullPolicy::Missing);
    assert!(run.read("new", "first").is_empty());
}

#[test]
fn what_is_built_or_not_whatever_its_files_are_is_not_read_once_more() {
    for (build, policy) in [
        (BuildPolicy::Always, PullPolicy::Missing),
        (BuildPolicy::Never, PullPolicy::Missing),
        (BuildPolicy::Needed, PullPolicy::Build),
    ] {
        let (_, done) = with_a_built_one_that_comes(build, policy);
        assert!(!done.contains(&"read new".to_owned()), "{build:?} {policy:?}: {done:?}");
    }
}
