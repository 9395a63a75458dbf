//! What is there when a run begins, what it is about, and what is made, removed and asked for once.

use std::collections::BTreeSet;

use super::*;
use crate::plan::goal::{Down, RemoveImages, Up};
use crate::plan::observed::ObservedVolume;
use crate::project::{Mount, MountSource, Volume};

fn down(services: &[&str]) -> Goal {
    let services = services.iter().map(|name| (*name).to_owned()).collect();
    Goal::Down(Down { services, volumes: true, images: RemoveImages::Local, remove_orphans: false, grace: None })
}

fn restart(services: &[&str], no_deps: bool) -> Goal {
    let services = services.iter().map(|name| (*name).to_owned()).collect();
    Goal::Restart { services, grace: None, no_deps }
}

/// A project whose service `db` keeps its data in a volume.
fn with_a_volume() -> Project {
    let source = MountSource::Volume { key: "data".into(), nocopy: false, subpath: None };
    let mut db = service("db").built();
    db.mounts.push(Mount { target: "/data".into(), read_only: false, source });
    let mut project = project([db]);
    project.volumes.insert("data".into(), Volume { name: "shop_data".into(), ..Volume::default() });
    project
}

#[test]
fn what_has_exited_before_a_run_is_started_and_what_runs_is_left_alone() {
    let mut run = Run::new(project([service("api"), service("db")]), attached());
    let containers = [run.container("api", ContainerState::Exited(0)), run.container("db", ContainerState::Running)];
    let listing = with(prepared(&run.project), containers);
    assert_eq!(run.on(Event::Observed(listing)), ["1: start api-1"]);
}

#[test]
fn what_runs_is_made_anew_when_that_is_asked_for() {
    let project = project([service("api")]);
    let goal = Goal::Up(Up { force_recreate: true, ..up(&project, attached()) });
    let mut run = Run::towards(project, goal);
    let listing = with(prepared(&run.project), [run.container("api", ContainerState::Running)]);
    assert_eq!(run.on(Event::Observed(listing)), ["1: create api-1"]);
}

#[test]
fn what_comes_into_a_run_later_is_not_made_anew_because_the_first_ones_were_to_be() {
    let project = project([service("api"), service("db")]);
    let goal = Goal::Up(Up { services: ["api".into()].into(), force_recreate: true, ..up(&project, attached()) });
    let mut run = Run::towards(project, goal);
    let listing = with(prepared(&run.project), [run.container("db", ContainerState::Running)]);
    assert_eq!(run.on(Event::Observed(listing)), ["1: create api-1"]);
    let api = run.container("api", ContainerState::Created);
    assert_eq!(run.done(1, now_a(&api)), ["2: start api-1"]);
    let api = run.container("api", ContainerState::Running);
    run.done(2, now_a(&api));
    run.on(reloaded([service("api"), service("db")]));
    assert!(run.listed().is_empty());
}

#[test]
fn containers_that_the_manifest_does_not_have_are_named_when_they_are_to_stay() {
    let told = |goal: &dyn Fn(&Project) -> Goal, is_there: bool| {
        let project = project([service("api")]);
        let goal = goal(&project);
        let mut run = Run::towards(project, goal);
        let listing = with(prepared(&run.project), [run.container("api", ContainerState::Running)]);
        let listing = with(listing, is_there.then(|| stranger(&run)));
        run.told(Event::Observed(listing)).into_iter().filter(|line| line.starts_with("orphans")).collect::<Vec<_>>()
    };
    let stay = |project: &Project| Goal::Up(up(project, attached()));
    let go = |project: &Project| Goal::Up(Up { remove_orphans: true, ..up(project, attached()) });
    let start = |_: &Project| Goal::Start { services: ["api".into()].into() };
    assert_eq!(told(&stay, true), [r#"orphans: ["shop-stranger-1"]"#]);
    assert_eq!(told(&stay, false), [""; 0]);
    assert_eq!(told(&go, true), [""; 0], "they are removed");
    assert_eq!(told(&start, true), [""; 0], "nobody asked");
}

#[test]
fn a_restart_takes_those_along_that_restart_with_it_unless_it_is_to_be_alone() {
    let restarted = |no_deps| {
        let services = [service("db"), service("api").restarts_with("db"), service("web")];
        let mut run = Run::towards(project(services), restart(&["db"], no_deps));
        let containers = ["api", "db", "web"].map(|name| run.container(name, ContainerState::Running));
        let listing = with(prepared(&run.project), containers);
        let mut done = run.on(Event::Observed(listing));
        let db = run.container("db", ContainerState::Running);
        done.extend(run.done(1, now_a(&db)));
        done
    };
    assert_eq!(restarted(false), ["1: restart db-1", "2: restart api-1"]);
    assert_eq!(restarted(true), ["1: restart db-1", "end with 0"]);
}

#[test]
fn networks_and_volumes_are_made_before_the_container_that_uses_them() {
    let mut run = Run::new(with_a_volume(), Until::Started);
    let mut listing = prepared(&run.project);
    listing.networks.clear();
    assert_eq!(run.on(Event::Observed(listing)), ["1: create network default", "2: create volume data"]);
    assert!(run.done(1, Outcome::Nothing).is_empty());
    assert_eq!(run.done(2, Outcome::Nothing), ["3: create db-1"]);
}

#[test]
fn an_image_that_is_not_there_is_pulled_once() {
    let pulled = Service { pull_policy: crate::project::PullPolicy::Always, ..service("db") };
    let mut run = Run::new(project([pulled]), Until::Started);
    let mut listing = prepared(&run.project);
    listing.images.clear();
    assert_eq!(run.on(Event::Observed(listing)), ["1: pull image of db"]);
    assert_eq!(run.done(1, built("db", "1")), ["2: create db-1"]);
}

#[test]
fn what_is_taken_down_goes_with_its_network_its_volumes_and_its_image() {
    let mut run = Run::towards(with_a_volume(), down(&[]));
    let mut listing = with(prepared(&run.project), [run.container("db", ContainerState::Running)]);
    listing.volumes.insert("shop_data".into(), ObservedVolume::default());
    assert_eq!(run.on(Event::Observed(listing)), ["1: stop db-1"]);
    let db = run.container("db", ContainerState::Exited(0));
    assert_eq!(run.done(1, now_a(&db)), ["2: remove db-1", "3: remove network shop_default"]);
    assert!(run.done(3, Outcome::Nothing).is_empty());
    assert_eq!(run.done(2, Outcome::Nothing), ["4: remove volume shop_data", "5: remove image shop-db"]);
    assert!(run.done(4, Outcome::Nothing).is_empty());
    assert_eq!(run.done(5, Outcome::Nothing), ["end with 0"]);
}

#[test]
fn while_a_part_is_taken_down_only_its_own_exits_are_told_of() {
    let told = |services: &[&str]| {
        let parts = [service("api").needs("db", Condition::Started), service("db"), service("web")];
        let mut run = Run::towards(project(parts), down(services));
        let containers = ["api", "db", "web"].map(|name| run.container(name, ContainerState::Running));
        let listing = with(prepared(&run.project), containers);
        run.on(Event::Observed(listing));
        let own = run.container("db", ContainerState::Exited(1));
        run.told_of(&own)
    };
    let exit = "db exited with 1, again in None";
    assert!(told(&[]).contains(&exit.to_owned()), "all of it is meant");
    assert!(told(&["api", "db"]).contains(&exit.to_owned()));
    assert!(!told(&["api"]).contains(&exit.to_owned()));
}

#[test]
fn a_container_that_is_stopped_has_not_exited_by_itself() {
    let services: BTreeSet<String> = ["api".to_owned()].into();
    let stop = Goal::Stop { services, grace: None };
    let mut run = Run::towards(project([service("api").restart(RestartPolicy::Always)]), stop);
    let listing = with(prepared(&run.project), [run.container("api", ContainerState::Running)]);
    assert_eq!(run.on(Event::Observed(listing)), ["1: stop api-1"]);
    let api = run.container("api", ContainerState::Exited(0));
    assert_eq!(run.done(1, now_a(&api)), ["end with 0"]);
}

#[test]
fn an_exit_is_told_of_when_it_is_the_runs_and_news() {
    let (mut run, _) = Run::running(project([service("api"), service("db")]));
    let task = task(&run, "api");
    run.became(task.clone());
    let over = Container { state: ContainerState::Exited(1), ..task };
    assert!(run.became(over).is_empty(), "it is somebody else's");
    let exited = run.container("api", ContainerState::Exited(1));
    assert_eq!(run.became(exited.clone()), ["api exited with 1, again in None"]);
    assert!(run.became(exited.clone()).is_empty(), "it is known");
    let again = Container { started_at: 9, ..exited };
    assert_eq!(run.became(again.clone()), ["api exited with 1, again in None"], "it ran in between");
    assert!(run.became(Container { state: ContainerState::Restarting, ..again.clone() }).is_empty());
    assert_eq!(run.became(again), ["api exited with 1, again in None"], "the engine has given up");
}

#[test]
fn an_exit_of_what_is_being_restarted_is_not_told_of() {
    let mut run = Run::towards(project([service("api")]), restart(&["api"], false));
    let listing = with(prepared(&run.project), [run.container("api", ContainerState::Running)]);
    assert_eq!(run.on(Event::Observed(listing)), ["1: restart api-1"]);
    let exited = run.container("api", ContainerState::Exited(143));
    assert!(run.became(exited).is_empty());
}

#[test]
fn a_rule_for_files_that_a_bind_mount_shows_already_is_told_of_once() {
    let source = MountSource::Bind {
        path: "/shop/src".into(),
        create_host_path: true,
        propagation: None,
        selinux: None,
        recursion: None,
    };
    let mut api = service("api");
    api.watch = vec![WatchRule::new("/shop/src".into(), WatchAction::Sync { target: "/app".into() })];
    api.mounts = vec![Mount { target: "/app".into(), read_only: false, source }];
    let mut run = Run::new(project([api]), attached());
    let listing = with(prepared(&run.project), [run.container("api", ContainerState::Running)]);
    let told = run.told(Event::Observed(listing));
    let about = |told: &[String]| told.iter().filter(|line| line.contains("not copied to `/app`")).count();
    assert_eq!(about(&told), 1, "{told:?}");
    assert!(run.saved("/shop/src/main.js").is_empty());
    let told = run.told(Event::Woken);
    assert_eq!(about(&told), 0, "{told:?}");
}
