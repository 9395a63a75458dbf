//! Images that are built with those of other services.

use super::*;

fn made_with(name: &str, base: &str) -> Service {
    let mut service = service(name).built();
    if let Some(build) = &mut service.build {
        build.additional_contexts.insert("base".into(), format!("service:{base}"));
    }
    service
}

#[test]
fn a_base_is_built_first_even_when_it_is_not_in_the_run() {
    let project = project([service("base").built(), made_with("web", "base")]);
    let goal = Goal::Up(crate::plan::goal::Up { services: ["web".into()].into(), ..up(&project, Until::Started) });
    let mut run = Run::towards(project, goal);
    let mut listing = prepared(&run.project);
    listing.images.clear();
    assert_eq!(run.on(Event::Observed(listing)), ["1: build image of base"]);
    assert_eq!(run.done(1, built("base", "1")), ["2: build image of web"]);
    assert_eq!(run.done(2, built("web", "1")), ["3: create web-1"]);
}

#[test]
fn a_base_that_is_another_one_after_a_save_has_those_built_again_that_are_made_with_it() {
    let mut base = service("base").built();
    base.watch = vec![WatchRule::new("/base".into(), WatchAction::Rebuild)];
    let (mut run, _) = Run::running(project([base, made_with("web", "base")]));
    run.saved("/base/file");
    assert_eq!(run.settled_anew("base"), ["1: build image of base"]);
    assert_eq!(run.done(1, built("base", "2")), ["2: create base-1", "3: build image of web"]);
}

#[test]
fn a_base_that_cannot_be_built_ends_the_start() {
    let mut run = Run::new(project([service("base").built(), made_with("web", "base")]), Until::Started);
    let mut listing = prepared(&run.project);
    listing.images.clear();
    run.on(Event::Observed(listing.clone()));
    run.failed(1, "step 2 failed");
    let done = run.on(Event::Observed(listing));
    assert_eq!(done.last().map(String::as_str), Some("end with 1"), "{done:?}");
}

#[test]
fn images_that_are_made_with_each_other_are_refused() {
    let mut run = Run::new(project([made_with("a", "b"), made_with("b", "a")]), Until::Started);
    let mut listing = prepared(&run.project);
    listing.images.clear();
    let done = run.on(Event::Observed(listing));
    assert!(done.iter().any(|line| line.contains("with itself")), "{done:?}");
    assert_eq!(done.last().map(String::as_str), Some("end with 1"));
}
