//! What is built, tagged and pulled, and what waits for it.

use super::*;
use crate::project::{MACHINE_IMAGE, PullPolicy};

#[test]
fn an_image_that_differs_replaces_the_container_and_one_that_is_the_same_does_not() {
    let project = project([service("api").built()]);
    let mut observed = running(&project);
    let mut rebuilt = image("api");
    rebuilt.id = "sha256:other".into();
    observed.images.insert("shop-api".into(), rebuilt.clone());
    assert_up(&project, &observed, "");
    rebuilt.identity = "something else".into();
    observed.images.insert("shop-api".into(), rebuilt);
    assert_up(
        &project,
        &observed,
        "create api-1 (image changed)
         replace api-1 (image changed): waits for its container",
    );
}

#[test]
fn saved_sources_are_built_and_the_container_stays_until_the_image_is_there() {
    let project = project([service("api").built(), service("web").needs("api", Condition::Started)]);
    let facts = Facts { generations: [("api".into(), 2)].into(), ..Facts::new(&project) };
    let expected = "build image of api (sources changed): waits for its files to be read";
    assert_plan(&project, &goal_up(&project), &running(&project), &facts, expected);
    let facts = Facts { read: [("api".into(), 2)].into(), ..facts };
    let expected = "build image of api (sources changed)";
    assert_plan(&project, &goal_up(&project), &running(&project), &facts, expected);
    let facts = Facts { built: [("api".into(), 2)].into(), ..facts };
    assert_plan(&project, &goal_up(&project), &running(&project), &facts, "");
}

#[test]
fn sources_that_changed_while_nobody_watched_are_built_when_the_image_says_what_it_was_built_from() {
    let project = project([service("api").built()]);
    let mut observed = running(&project);
    let facts = Facts { inputs: [("api".into(), "new".into())].into(), ..Facts::new(&project) };
    assert_plan(&project, &goal_up(&project), &observed, &facts, "");
    let mut labelled = image("api");
    labelled.labels.insert(label::INPUTS.into(), "old".into());
    observed.images.insert("shop-api".into(), labelled);
    let expected = "build image of api (sources changed since the image was built)";
    assert_plan(&project, &goal_up(&project), &observed, &facts, expected);
}

#[test]
fn a_failed_build_holds_itself_and_leaves_what_runs_alone() {
    let project = project([service("api").built(), service("web").needs("api", Condition::Started)]);
    let facts = Facts {
        generations: [("api".into(), 1)].into(),
        read: [("api".into(), 1)].into(),
        failures: [(Subject::Image("api".into()), "exit code 1".into())].into(),
        ..Facts::new(&project)
    };
    let expected = "build image of api (sources changed): failed: exit code 1";
    assert_plan(&project, &goal_up(&project), &running(&project), &facts, expected);
}

#[test]
fn a_service_that_cannot_be_built_fails_those_that_need_it_but_not_the_others() {
    let project = project([service("api").built(), service("web").needs("api", Condition::Started), service("mail")]);
    let mut observed = prepared(&project);
    observed.images.remove("shop-api");
    let facts =
        Facts { failures: [(Subject::Image("api".into()), "exit code 1".into())].into(), ..Facts::new(&project) };
    let plan = text(&project, &goal_up(&project), &observed, &facts);
    assert!(plan.contains("start web-1 (does not exist): dependency `api` cannot start: exit code 1"), "{plan}");
    assert!(plan.contains("create mail-1 (does not exist)\n"), "{plan}");
}

#[test]
fn without_building_a_missing_image_is_a_failure_that_says_so() {
    let project = project([service("api").built()]);
    let mut observed = prepared(&project);
    observed.images.clear();
    let mut up = up(&project, Until::Started);
    up.build = BuildPolicy::Never;
    let plan = text(&project, &Goal::Up(up), &observed, &Facts::new(&project));
    assert!(plan.starts_with("build image of api (does not exist): failed: image `shop-api` does not exist"), "{plan}");
}

#[test]
fn an_image_of_other_files_is_not_taken_for_that_of_a_service_that_is_built_from_the_same() {
    let worker = Service { build: service("api").built().build, ..service("worker").built() };
    let project = project([service("api").built(), worker]);
    let mut observed = running(&project);
    let mut labelled = image("api");
    labelled.labels.insert(label::INPUTS.into(), "as built".into());
    observed.images.insert("shop-api".into(), labelled);
    let mut facts = Facts::new(&project);
    facts.generations.insert("worker".into(), 1);
    facts.inputs.insert("worker".into(), "as saved".into());
    let wants = |facts: &Facts, expected: &str| {
        let planned = text(&project, &goal_up(&project), &observed, facts);
        assert!(planned.lines().any(|line| line == expected), "{planned}");
    };
    wants(&facts, "build image of worker (sources changed): waits for its files to be read");
    facts.read.insert("worker".into(), 1);
    wants(&facts, "build image of worker (sources changed)");
    facts.inputs.insert("worker".into(), "as built".into());
    wants(&facts, "tag image of worker (built from the same as another)");
}

#[test]
fn of_files_that_nobody_can_compare_the_image_of_before_a_save_is_not_taken() {
    let worker = Service { build: service("api").built().build, ..service("worker").built() };
    let project = project([service("api").built(), worker]);
    let mut observed = running(&project);
    let mut facts = Facts::new(&project);
    facts.built.insert("api".into(), 0);
    facts.generations.insert("worker".into(), 1);
    facts.read.insert("worker".into(), 1);
    let planned = text(&project, &goal_up(&project), &observed, &facts);
    assert_eq!(planned.lines().next(), Some("build image of worker (sources changed)"));

    observed.images.remove("shop-worker");
    let facts = Facts::new(&project);
    let planned = text(&project, &goal_up(&project), &observed, &facts);
    assert_eq!(
        planned.lines().next(),
        Some("build image of worker (does not exist)"),
        "nobody knows how old the other is"
    );
}

#[test]
fn an_image_of_several_services_is_built_once_and_not_pulled() {
    let shared = |name: &str| Service { image: Some("app:1".into()), ..service(name) };
    let build = service("app").built().build;
    let project = project([
        Service { build: build.clone(), ..shared("web") },
        Service { build, ..shared("worker") },
        shared("cron"),
    ]);
    let planned = text(&project, &goal_up(&project), &Observed::default(), &Facts::new(&project));
    let images: Vec<&str> = planned.lines().filter(|line| line.contains(" image of ")).collect();
    assert_eq!(
        images,
        [
            "build image of web (does not exist)",
            "tag image of worker (built from the same as another): waits for image `app:1`"
        ],
        "{planned}"
    );
    assert!(planned.contains("create cron-1 (does not exist): waits for image `app:1`"), "{planned}");
}

#[test]
fn without_building_an_image_that_is_there_is_taken_as_it_is() {
    let shop = project([service("api").built()]);
    let goal = Goal::Up(Up { build: BuildPolicy::Never, ..up(&shop, Until::Started) });
    let facts = Facts { generations: [("api".into(), 1)].into(), ..Facts::new(&shop) };
    assert_plan(&shop, &goal, &running(&shop), &facts, "");
}

/// A service that is built with the images of others.
fn built_with(name: &str, bases: &[&str]) -> Service {
    let mut service = service(name).built();
    let build = service.build.as_mut().expect("it is built");
    build.additional_contexts = bases.iter().map(|base| ((*base).into(), format!("service:{base}"))).collect();
    service
}

#[test]
fn an_image_is_built_after_those_that_it_is_built_with_and_theirs() {
    let shop = project([built_with("api", &["base"]), built_with("base", &["root"]), service("root").built()]);
    let planned = text(&shop, &goal_up(&shop), &Observed::default(), &Facts::new(&shop));
    let images: Vec<&str> = planned.lines().filter(|line| line.contains(" image of ")).collect();
    let expected = [
        "build image of root (does not exist)",
        "build image of base (does not exist): waits for image `shop-root`",
        "build image of api (does not exist): waits for image `shop-base`",
    ];
    assert_eq!(images, expected, "{planned}");
}

#[test]
fn images_that_are_to_be_built_with_each_other_are_a_failure_that_says_so() {
    let shop = project([built_with("api", &["base"]), built_with("base", &["root"]), built_with("root", &["base"])]);
    let planned = text(&shop, &goal_up(&shop), &Observed::default(), &Facts::new(&shop));
    let expected = "build image of api (does not exist): failed: the image of `base` is to be built with itself\n";
    assert!(planned.contains(expected), "{planned}");
}

#[test]
fn an_image_that_is_there_is_pulled_again_once_a_run_when_its_policy_asks_for_it() {
    let day = std::time::Duration::from_hours(24);
    let nanos = 86_400_000_000_000_u64;
    let on_machine = Service { image: Some(MACHINE_IMAGE.into()), ..service("api") };
    let cases = vec![
        ("missing", service("api"), PullPolicy::Missing, 0, false),
        ("never", service("api"), PullPolicy::Never, 0, false),
        ("always", service("api"), PullPolicy::Always, 5 * nanos, true),
        ("always, on the machine's files", on_machine, PullPolicy::Always, 0, false),
        ("daily, an older one", service("api"), PullPolicy::Every(day), 3 * nanos, true),
        ("daily, one of a day ago", service("api"), PullPolicy::Every(day), 4 * nanos, true),
        ("daily, a newer one", service("api"), PullPolicy::Every(day), 4 * nanos + 1, false),
        ("daily, one of the future", service("api"), PullPolicy::Every(day), 9 * nanos, false),
    ];
    for (what, service, pull_policy, tagged_at, is_pulled) in cases {
        let shop = project([Service { pull_policy, ..service }]);
        let mut observed = running(&shop);
        observed.images.values_mut().for_each(|image| image.tagged_at = tagged_at);
        let mut facts = Facts { began: 5 * nanos, ..Facts::new(&shop) };
        let expected = if is_pulled { "pull image of api (its `pull_policy` asks for it)\n" } else { "" };
        assert_eq!(text(&shop, &goal_up(&shop), &observed, &facts), expected, "{what}");
        facts.pulled.insert("api".into());
        assert_eq!(text(&shop, &goal_up(&shop), &observed, &facts), "", "{what}, after it was");
    }
}

#[test]
fn an_image_that_may_not_be_pulled_fails_those_that_need_it_with_the_reason() {
    let shop = project([
        Service { pull_policy: PullPolicy::Never, ..service("db") },
        service("api").needs("db", Condition::Started),
    ]);
    let mut observed = prepared(&shop);
    observed.images.remove("db:1");
    let planned = text(&shop, &goal_up(&shop), &observed, &Facts::new(&shop));
    let reason = "image `db:1` does not exist and `pull_policy: never` forbids pulling it";
    assert!(
        planned.contains(&format!("start api-1 (does not exist): dependency `db` cannot start: {reason}")),
        "{planned}"
    );
}
