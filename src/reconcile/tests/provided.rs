//! Services that a program provides, and models.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::plan::goal::{Down, RemoveImages};
use crate::project::provided::Variables;
use crate::project::{Model, ModelUse, Provider};

fn provided(name: &str) -> Service {
    let provider = Provider { program: "cloud".into(), options: BTreeMap::new() };
    Service { image: None, replicas: 0, provider: Some(provider), ..service(name) }
}

fn told(variables: &[(&str, &str)]) -> Outcome {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Outcome::Provided(Variables { named: variables.iter().map(owned).collect(), plain: BTreeMap::new() })
}

fn pair() -> Project {
    project([provided("database"), service("api").needs("database", Condition::Started)])
}

/// The container of `api` that knows this address.
fn knowing(run: &Run, address: &str, state: ContainerState) -> Container {
    let mut project = Project::clone(&run.project);
    let api = project.services.get_mut("api").expect("it is in the project");
    api.environment.insert("DATABASE_URL".into(), Some(address.into()));
    container(&project, "api", 1, state)
}

fn variable<'a>(run: &'a Run, service: &str, name: &str) -> Option<&'a str> {
    run.state.project().services[service].environment.get(name)?.as_deref()
}

#[test]
fn a_dependent_is_made_once_its_provider_has_told_what_it_has_to_know() {
    let mut run = Run::new(pair(), Until::Started);
    let listing = prepared(&run.project);
    assert_eq!(run.on(Event::Observed(listing)), ["1: provide database"]);
    assert_eq!(run.done(1, told(&[("URL", "db://1")])), ["2: create api-1"]);
    assert_eq!(variable(&run, "api", "DATABASE_URL"), Some("db://1"));
    let made = knowing(&run, "db://1", ContainerState::Created);
    assert_eq!(run.done(2, now_a(&made)), ["3: start api-1"]);
    let runs = knowing(&run, "db://1", ContainerState::Running);
    assert_eq!(run.done(3, now_a(&runs)), ["end with 0"]);
}

#[test]
fn what_runs_already_is_made_anew_only_when_the_provider_tells_something_else() {
    for (address, then) in [("db://1", "end with 0"), ("db://2", "2: create api-1")] {
        let mut run = Run::new(pair(), Until::Started);
        let listing = with(prepared(&run.project), [knowing(&run, "db://1", ContainerState::Running)]);
        assert_eq!(run.on(Event::Observed(listing)), ["1: provide database"]);
        assert_eq!(run.done(1, told(&[("URL", address)])), [then]);
    }
}

#[test]
fn a_provider_that_fails_ends_the_start_and_keeps_what_depends_on_it_from_being_made() {
    let mut run = Run::new(pair(), Until::Started);
    let listing = prepared(&run.project);
    run.on(Event::Observed(listing));
    assert_eq!(run.failed(1, "no credits"), ["observe", "failed: provide database"]);
    let listing = prepared(&run.project);
    let done = run.on(Event::Observed(listing));
    assert_eq!(done, ["database cannot start: no credits, needed by [\"api\"]", "end with 1"]);
}

#[test]
fn an_interrupt_while_a_provider_works_calls_it_off_and_has_it_stop() {
    let mut run = Run::new(pair(), attached());
    let listing = prepared(&run.project);
    run.on(Event::Observed(listing));
    assert_eq!(run.on(Event::Interrupted { code: 130 }), ["cancel 1"]);
    let cancelled = Event::Answered { ticket: Ticket(1), answer: Answer::Cancelled, parts: Vec::new() };
    assert_eq!(run.on(cancelled), ["2: stop database"]);
    assert_eq!(run.done(2, Outcome::Nothing), ["end with 130"]);
}

#[test]
fn dependents_stop_before_what_is_provided_is_given_up() {
    let (services, images) = (BTreeSet::new(), RemoveImages::None);
    let down = Down { services, volumes: false, images, remove_orphans: true, grace: None };
    let mut run = Run::towards(pair(), Goal::Down(down));
    let listing = with(prepared(&run.project), [knowing(&run, "db://1", ContainerState::Running)]);
    assert_eq!(run.on(Event::Observed(listing)), ["1: stop api-1"]);
    let stopped = knowing(&run, "db://1", ContainerState::Exited(0));
    let done = run.done(1, now_a(&stopped));
    assert!(
        done.contains(&"3: withdraw database".to_owned()) || done.contains(&"2: withdraw database".to_owned()),
        "{done:?}"
    );
}

#[test]
fn a_saved_manifest_asks_only_the_providers_that_it_asks_for_something_else() {
    let mut run = Run::new(pair(), attached());
    let listing = with(prepared(&run.project), [knowing(&run, "db://1", ContainerState::Running)]);
    run.on(Event::Observed(listing));
    assert!(run.done(1, told(&[("URL", "db://1")])).is_empty());
    let same = reloaded([provided("database"), service("api").needs("database", Condition::Started)]);
    assert_eq!(run.on(same), ["changed [], added [], removed []", "observe"]);
    let listing = with(prepared(&run.project), [knowing(&run, "db://1", ContainerState::Running)]);
    assert_eq!(run.on(Event::Observed(listing.clone())), [""; 0]);
    assert_eq!(variable(&run, "api", "DATABASE_URL"), Some("db://1"));
    let mut database = provided("database");
    if let Some(provider) = &mut database.provider {
        provider.options.insert("size".into(), vec!["2".into()]);
    }
    run.on(reloaded([database, service("api").needs("database", Condition::Started)]));
    assert_eq!(run.on(Event::Observed(listing)), ["2: provide database"]);
    assert_eq!(run.done(2, told(&[("URL", "db://1")])), [""; 0]);
}

#[test]
fn a_model_is_made_ready_once_for_all_who_use_it() {
    let uses = || {
        let variables = ModelUse { endpoint_variable: "LLM_URL".into(), model_variable: "LLM_MODEL".into() };
        BTreeMap::from([("llm".to_owned(), variables)])
    };
    let mut project = project([service("api"), service("job")]);
    project.services.values_mut().for_each(|service| service.models = uses());
    let model = Model { source: "ai/small".into(), context_size: None, runtime_flags: Vec::new() };
    project.models.insert("llm".into(), model);
    let mut run = Run::new(project, Until::Started);
    let listing = prepared(&run.project);
    assert_eq!(run.on(Event::Observed(listing)), ["1: prepare model llm"]);
    let done = run.done(1, Outcome::Model("http://models".into()));
    assert_eq!(done, ["2: create api-1", "3: create job-1"]);
    assert_eq!(variable(&run, "job", "LLM_URL"), Some("http://models"));
    assert_eq!(variable(&run, "job", "LLM_MODEL"), Some("ai/small"));
}
