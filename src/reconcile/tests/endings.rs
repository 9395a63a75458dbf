//! When a run is over, with which code, and what it says and leaves behind.

use super::*;

fn ready(timeout: Option<u64>) -> Until {
    Until::Ready { timeout: timeout.map(Duration::from_millis) }
}

#[test]
fn only_the_containers_of_the_run_are_killed() {
    let (mut run, _) = Run::running(project([service("api")]));
    run.became(task(&run, "api"));
    run.became(stranger(&run));
    assert_eq!(run.interrupted(), ["1: stop api-1"]);
    assert_eq!(run.interrupted(), ["kill api-1"]);
}

#[test]
fn what_is_left_running_is_named_even_between_two_restarts_and_without_what_is_not_the_runs() {
    let (mut run, _) = Run::running(project([service("api"), service("db"), service("job")]));
    run.became(task(&run, "api"));
    run.became(stranger(&run));
    run.became(run.container("db", ContainerState::Restarting));
    run.became(run.container("job", ContainerState::Exited(1)));
    run.lost();
    assert_eq!(run.interrupted(), ["waits 10s for the engine"]);
    assert_eq!(run.interrupted(), [r#"left running: ["api-1", "db-1"]"#, "end with 130"]);
}

#[test]
fn a_detached_start_that_is_interrupted_waits_for_what_is_under_way_and_leaves_it() {
    let mut run = Run::new(project([service("db")]), Until::Started);
    let listing = prepared(&run.project);
    assert_eq!(run.on(Event::Observed(listing)), ["1: create db-1"]);
    assert!(run.interrupted().is_empty());
    let db = run.container("db", ContainerState::Created);
    assert_eq!(run.done(1, now_a(&db)), ["end with 130"]);
}

#[test]
fn a_detached_start_that_is_interrupted_does_not_wait_for_an_engine_that_is_away() {
    let mut run = Run::new(project([service("db")]), Until::Started);
    let listing = prepared(&run.project);
    run.on(Event::Observed(listing));
    run.lost();
    assert_eq!(run.interrupted(), ["end with 130"]);
}

#[test]
fn an_attached_run_of_which_nothing_runs_does_not_wait_for_an_engine_that_is_away() {
    let (mut run, _) = Run::running(project([service("api")]));
    run.became(run.container("api", ContainerState::Exited(1)));
    run.lost();
    assert_eq!(run.interrupted(), ["end with 130"]);
}

#[test]
fn an_interrupt_while_a_listing_is_awaited_stops_what_that_shows() {
    let (mut run, _) = Run::running(project([service("api")]));
    run.became(run.container("api", ContainerState::Exited(1)));
    assert_eq!(run.on(Event::Reconnected), ["observe"]);
    assert!(run.interrupted().is_empty(), "somebody may have started it again");
    let listing = with(prepared(&run.project), [run.container("api", ContainerState::Running)]);
    assert_eq!(run.on(Event::Observed(listing)), ["1: stop api-1"]);
}

#[test]
fn a_run_waits_for_a_lost_engine_only_when_it_would_end_by_itself() {
    let mut run = Run::new(project([service("api")]), Until::Started);
    run.at(5_000).lost();
    assert_eq!(run.state.wake_at(), Some(Duration::from_secs(15)));
    let (mut run, _) = Run::running(project([service("api")]));
    run.at(5_000).lost();
    assert_eq!(run.state.wake_at(), None);
}

#[test]
fn the_time_for_readiness_runs_out_while_the_engine_is_away_too() {
    let mut run = Run::new(project([service("api").checked()]), ready(Some(5_000)));
    let api = Container { health: Health::Starting, ..run.container("api", ContainerState::Running) };
    let listing = with(prepared(&run.project), [api]);
    run.on(Event::Observed(listing));
    assert_eq!(run.at(1_000).lost(), ["engine lost", "observe"]);
    let done = run.at(5_000).on(Event::Woken);
    assert_eq!(done, ["timed out: [\"api\"]", "stop probing api-1", "end with 1"]);
}

#[test]
fn others_containers_do_not_keep_a_run_alive_whose_own_have_all_exited() {
    let mut run = Run::new(project([service("job")]), attached());
    let containers = [run.container("job", ContainerState::Running), task(&run, "job"), stranger(&run)];
    let listing = with(prepared(&run.project), containers);
    assert!(run.on(Event::Observed(listing)).is_empty());
    let job = run.container("job", ContainerState::Exited(0));
    assert_eq!(run.became(job), ["job exited with 0, again in None", "end with 0"]);
}

#[test]
fn a_run_goes_on_while_a_restart_policy_brings_its_last_container_back() {
    let (mut run, _) = Run::running(project([service("api").restart(RestartPolicy::Always)]));
    let api = run.container("api", ContainerState::Exited(0));
    assert_eq!(run.became(api), ["api exited with 0, again in Some(1s)"]);
    assert_eq!(run.later(1_000), ["1: start api-1"]);
}

#[test]
fn that_everything_is_up_is_told_once_and_counts_the_containers_of_the_run() {
    let mut run = Run::new(project([service("api"), service("db")]), attached());
    let api = run.container("api", ContainerState::Created);
    let containers = [api, run.container("db", ContainerState::Running), task(&run, "db"), stranger(&run)];
    let listing = with(prepared(&run.project), containers);
    let told = run.told(Event::Observed(listing));
    assert_eq!(told, [r#"orphans: ["shop-stranger-1"]"#, "begins to start api-1"]);
    let api = run.container("api", ContainerState::Running);
    let answer = Event::Answered { ticket: Ticket(1), answer: Answer::Done(now_a(&api)), parts: Vec::new() };
    assert_eq!(run.told(answer), ["done: start api-1", "up: 2 running"]);
    assert!(run.told(Event::Woken).is_empty());
}

#[test]
fn the_container_that_gives_the_exit_code_gives_it_when_another_one_ends_the_run() {
    let until =
        Until::Interrupted { abort_on_exit: true, abort_on_failure: false, exit_code_from: Some("test".into()) };
    let mut run = Run::new(project([service("db"), service("test")]), until);
    let containers = ["db", "test"].map(|name| run.container(name, ContainerState::Running));
    let listing = with(prepared(&run.project), containers);
    run.on(Event::Observed(listing));
    run.became(run.container("db", ContainerState::Exited(3)));
    let test = run.container("test", ContainerState::Exited(7));
    assert_eq!(run.done(1, now_a(&test)), ["end with 7"]);
}

#[test]
fn abort_on_container_failure_leaves_the_rest_alone_when_a_job_is_done() {
    let until = Until::Interrupted { abort_on_exit: false, abort_on_failure: true, exit_code_from: None };
    let mut run = Run::new(project([service("db"), service("one"), service("two")]), until);
    let containers = ["db", "one", "two"].map(|name| run.container(name, ContainerState::Running));
    let listing = with(prepared(&run.project), containers);
    run.on(Event::Observed(listing));
    let one = run.container("one", ContainerState::Exited(0));
    assert_eq!(run.became(one), ["one exited with 0, again in None"]);
    let two = run.container("two", ContainerState::Exited(3));
    assert_eq!(run.became(two), ["two exited with 3, again in None", "1: stop db-1"]);
}

#[test]
fn a_failure_names_the_container_that_is_unhealthy() {
    let services = [service("db").checked(), service("api").needs("db", Condition::Healthy)];
    let mut run = Run::new(project(services), Until::Started);
    let db = Container { health: Health::Unhealthy, ..run.container("db", ContainerState::Running) };
    let listing = with(prepared(&run.project), [run.container("api", ContainerState::Created), db]);
    assert_eq!(run.told(Event::Observed(listing)), [r#"db is unhealthy, see Some("db-1")"#]);
}

#[test]
fn of_several_containers_the_one_that_exited_is_named() {
    let services = [service("seed").times(2), service("api").needs("seed", Condition::Completed)];
    let mut run = Run::new(project(services), Until::Started);
    let seed = |number, state| container(&run.project, "seed", number, state);
    let (first, second) = (seed(1, ContainerState::Running), seed(2, ContainerState::Running));
    let failed = seed(2, ContainerState::Exited(3));
    let listing = with(prepared(&run.project), [run.container("api", ContainerState::Created), first, second]);
    run.on(Event::Observed(listing));
    let told = run.told_of(&failed);
    assert_eq!(told, ["seed exited with 3, again in None", r#"seed exited with code 3, see Some("seed-2")"#]);
}

#[test]
fn of_a_container_that_has_never_run_there_are_no_last_lines() {
    let services = [service("db"), service("api").needs("db", Condition::Started)];
    let mut run = Run::new(project(services), Until::Started);
    let containers = ["api", "db"].map(|name| run.container(name, ContainerState::Created));
    let listing = with(prepared(&run.project), containers);
    assert_eq!(run.on(Event::Observed(listing)), ["1: start db-1"]);
    run.failed(1, "no such command");
    let listing = run.state.observed().clone();
    let told = run.told(Event::Observed(listing));
    assert_eq!(told, ["db cannot start: no such command, see None"]);
}

#[test]
fn waiting_includes_that_a_new_version_proves_itself() {
    let mut run = Run::new(project([service("api")]), ready(Some(500)));
    let mut old = run.container("api", ContainerState::Running);
    old.config_hash = Some("another".into());
    let listing = with(prepared(&run.project), [old]);
    assert_eq!(run.on(Event::Observed(listing)), ["1: create api-1"]);
    let mut new = run.container("api", ContainerState::Created);
    (new.id, new.replaces, new.created_at) = ("new".into(), Some("api-1".into()), 10);
    assert_eq!(run.done(1, now_a(&new)), ["2: replace api-1"]);
    (new.state, new.started_at) = (ContainerState::Running, 11);
    assert!(run.done(2, now_a(&new)).is_empty());
    assert_eq!(run.later(500), ["timed out: [\"api\"]", "end with 1"]);
}

#[test]
fn waiting_is_for_health_where_the_image_has_a_healthcheck_and_for_the_start_where_nothing_has() {
    let mut run = Run::new(project([service("api"), service("db")]), ready(None));
    let api = Container { health: Health::Starting, ..run.container("api", ContainerState::Running) };
    let listing = with(prepared(&run.project), [api.clone(), run.container("db", ContainerState::Running)]);
    assert!(run.on(Event::Observed(listing)).is_empty());
    assert_eq!(run.became(Container { health: Health::Healthy, ..api }), ["end with 0"]);
}

#[test]
fn waiting_is_not_over_while_there_is_something_left_to_do() {
    let mut run = Run::new(project([service("api").built().checked()]), ready(None));
    let api = Container { health: Health::Starting, ..run.container("api", ContainerState::Running) };
    let listing = with(prepared(&run.project), [api.clone()]);
    assert_eq!(run.on(Event::Observed(listing)), ["probe api-1"]);
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled(), ["read api"]);
    assert_eq!(run.became(Container { health: Health::Healthy, ..api }), ["stop probing api-1"]);
    assert_eq!(run.read("api", "others"), ["1: build image of api"]);
}

#[test]
fn waiting_ends_when_services_are_healthy_and_jobs_that_others_need_have_completed() {
    let until = Until::Ready { timeout: None };
    let services = [service("seed"), service("api").checked().needs("seed", Condition::Completed)];
    let mut run = Run::new(project(services), until);
    let mut api = run.container("api", ContainerState::Running);
    api.health = Health::Starting;
    let listing = with(prepared(&run.project), [run.container("seed", ContainerState::Running), api.clone()]);
    assert_eq!(run.on(Event::Observed(listing)), ["probe api-1"]);
    api.health = Health::Healthy;
    assert_eq!(run.became(api), ["stop probing api-1"]);
    let seed = run.container("seed", ContainerState::Exited(0));
    assert_eq!(run.became(seed), ["seed exited with 0, again in None", "end with 0"]);
}

#[test]
fn waiting_fails_when_a_service_exits_that_should_run() {
    let mut run = Run::new(project([service("api")]), Until::Ready { timeout: None });
    let listing = with(prepared(&run.project), [run.container("api", ContainerState::Created)]);
    assert_eq!(run.on(Event::Observed(listing)), ["1: start api-1"]);
    let exited = run.container("api", ContainerState::Exited(0));
    let done = run.done(1, now_a(&exited));
    assert_eq!(done, ["api exited with 0, again in None", "api exited with code 0, needed by []", "end with 1"]);
}

#[test]
fn waiting_gives_up_when_its_time_is_over_and_names_who_was_not_ready() {
    let mut run = Run::new(project([service("api").checked()]), Until::Ready { timeout: Some(Duration::from_secs(2)) });
    let mut api = run.container("api", ContainerState::Running);
    api.health = Health::Starting;
    let listing = with(prepared(&run.project), [api]);
    assert_eq!(run.on(Event::Observed(listing)), ["probe api-1"]);
    assert_eq!(run.state.wake_at(), Some(Duration::from_secs(2)));
    let done = run.at(2_000).on(Event::Woken);
    assert_eq!(done, ["timed out: [\"api\"]", "stop probing api-1", "end with 1"]);
}

#[test]
fn the_run_ends_when_the_last_container_has_exited_and_no_save_could_bring_it_back() {
    let (mut run, _) = Run::running(project([service("job")]));
    let job = run.container("job", ContainerState::Exited(0));
    assert_eq!(run.became(job), ["job exited with 0, again in None", "end with 0"]);
}

#[test]
fn abort_on_container_exit_stops_the_rest_and_exit_code_from_gives_the_code() {
    let until =
        Until::Interrupted { abort_on_exit: true, abort_on_failure: false, exit_code_from: Some("test".into()) };
    let mut run = Run::new(project([service("db"), service("test")]), until);
    let containers = ["db", "test"].map(|name| run.container(name, ContainerState::Running));
    let listing = with(prepared(&run.project), containers);
    assert!(run.on(Event::Observed(listing)).is_empty());
    let test = run.container("test", ContainerState::Exited(7));
    assert_eq!(run.became(test), ["test exited with 7, again in None", "1: stop db-1"]);
    let db = run.container("db", ContainerState::Exited(143));
    assert_eq!(run.done(1, now_a(&db)), ["end with 7"]);
}

#[test]
fn a_start_that_fails_in_part_goes_on_only_where_a_save_can_mend_it_and_nobody_asked_for_an_end() {
    let goes_on = |until: Until, is_watching: bool| {
        let mut run = Run::new(project([service("api").built(), service("db")]), until);
        if !is_watching {
            run.state.rules = None;
        }
        let mut listing = with(prepared(&run.project), [run.container("db", ContainerState::Running)]);
        listing.images.remove("shop-api");
        assert_eq!(run.on(Event::Observed(listing)), ["1: build image of api"]);
        run.failed(1, "no compiler");
        !run.listed().contains(&"2: stop db-1".to_owned())
    };
    let asked = |abort_on_exit, abort_on_failure, code: Option<&str>| {
        let exit_code_from = code.map(str::to_owned);
        Until::Interrupted { abort_on_exit, abort_on_failure, exit_code_from }
    };
    assert!(goes_on(attached(), true));
    assert!(!goes_on(attached(), false));
    assert!(!goes_on(asked(true, false, None), true));
    assert!(!goes_on(asked(false, true, None), true));
    assert!(!goes_on(asked(false, false, Some("db")), true));
}
