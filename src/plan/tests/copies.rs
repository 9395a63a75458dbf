//! Files that are copied into containers: when, and what they are restarted for.

use super::*;

/// Three replicas that run.
fn three() -> (Project, Observed) {
    let shop = project([service("api").times(3)]);
    let observed =
        with(prepared(&shop), [1, 2, 3].map(|number| container(&shop, "api", number, ContainerState::Running)));
    (shop, observed)
}

fn ids<const N: usize>(numbers: [u32; N]) -> BTreeSet<String> {
    numbers.map(|number| format!("api-{number}")).into()
}

#[test]
fn replicas_are_restarted_for_copied_files_one_after_the_other() {
    let (shop, observed) = three();
    let facts = Facts { restarts: ids([1, 2, 3]), ..Facts::new(&shop) };
    assert_plan(
        &shop,
        &goal_up(&shop),
        &observed,
        &facts,
        "restart api-1 (sources changed)
         restart api-2 (sources changed): waits for `api-1` to be restarted
         restart api-3 (sources changed): waits for `api-1` to be restarted, waits for `api-2` to be restarted",
    );
    let facts = Facts { restarts: ids([2]), ..facts };
    assert_plan(&shop, &goal_up(&shop), &observed, &facts, "restart api-2 (sources changed)");
}

#[test]
fn no_replica_is_restarted_before_the_one_on_trial_is_seen_to_run_with_its_files() {
    let (shop, observed) = three();
    for on_trial in [1, 3] {
        let facts = Facts { restarts: ids([2]), unproven_syncs: ids([on_trial]), ..Facts::new(&shop) };
        let expected = format!("restart api-2 (sources changed): waits for `api-{on_trial}` to be restarted");
        assert_plan(&shop, &goal_up(&shop), &observed, &facts, &expected);
    }
    // Those that got newer files since are not on trial: their turn comes again.
    let facts = Facts { restarts: ids([1, 2]), unproven_syncs: ids([1, 2]), ..Facts::new(&shop) };
    assert_plan(
        &shop,
        &goal_up(&shop),
        &observed,
        &facts,
        "restart api-1 (sources changed)
         restart api-2 (sources changed): waits for `api-1` to be restarted",
    );
}

#[test]
fn no_replica_is_restarted_while_something_is_done_to_another() {
    let (shop, observed) = three();
    for busy in [1, 3] {
        let busy_replica = [Subject::Replica("api".into(), busy)].into();
        let facts = Facts { restarts: ids([2]), busy: busy_replica, ..Facts::new(&shop) };
        let expected = format!("restart api-2 (sources changed): waits for `api-{busy}` to be restarted");
        assert_plan(&shop, &goal_up(&shop), &observed, &facts, &expected);
    }
}

#[test]
fn nothing_else_is_done_to_a_container_while_files_are_copied_into_it() {
    let shop = project([service("api")]);
    let copying = || Facts { busy: [Subject::Files("api".into())].into(), ..Facts::new(&shop) };
    let facts = Facts { restarts: ids([1]), ..copying() };
    let expected = "restart api-1 (sources changed): waits for an operation under way";
    assert_plan(&shop, &goal_up(&shop), &running(&shop), &facts, expected);
    let facts = Facts { restores: [("api-1".into(), "exited with code 1".into())].into(), ..copying() };
    let expected = "restore api-1 (the new version exited with code 1): waits for an operation under way";
    assert_plan(&shop, &goal_up(&shop), &running(&shop), &facts, expected);
}

#[test]
fn what_is_kept_of_the_files_before_is_added_to_while_a_container_is_on_trial() {
    let (shop, observed) = three();
    let keep_of = |sync: PendingSync, unproven_syncs| {
        let syncs = [("api".into(), sync)].into();
        let facts = Facts { syncs, unproven_syncs, ..Facts::new(&shop) };
        let graph = Graph::new(&shop).expect("it has no cycles");
        let goal = goal_up(&shop);
        let situation = Situation { project: &shop, graph: &graph, goal: &goal, observed: &observed, facts: &facts };
        let operations = plan(situation).entries.into_iter().map(|entry| entry.operation);
        let keeps = operations.filter_map(|it| if let Operation::Sync { keep, .. } = it { Some(keep) } else { None });
        keeps.collect::<Vec<_>>()
    };
    let keep = |restart, unproven| keep_of(PendingSync { restart, ..pending(&["a.js"]) }, unproven);
    assert_eq!(keep(false, ids([])), [Keep::Anew]);
    assert_eq!(keep(false, ids([2])), [Keep::More]);
    assert_eq!(keep(true, ids([])), [Keep::Anew]);
    assert_eq!(keep(true, ids([2])), [Keep::More]);
    assert_eq!(keep_of(PendingSync { compare: true, ..pending(&["a.js"]) }, ids([])), [Keep::Nothing]);
    let many: Vec<String> = (0..65).map(|number| format!("{number}.js")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(keep_of(pending(&many), ids([2])), [Keep::Nothing]);
    assert_eq!(keep_of(pending(&many[1..]), ids([])), [Keep::Anew]);
    assert_eq!(keep_of(PendingSync { restart: true, ..pending(&many) }, ids([])), [Keep::Anew]);
}

#[test]
fn copied_and_deleted_files_are_counted_together() {
    let shop = project([service("api")]);
    let mut files = pending(&["a.js"]);
    let planned = |files: &PendingSync| {
        let facts = Facts { syncs: [("api".into(), files.clone())].into(), ..Facts::new(&shop) };
        text(&shop, &goal_up(&shop), &running(&shop), &facts)
    };
    assert_eq!(planned(&files), "sync 1 file to api (sources changed)\n");
    files.files.deleted = ["/app/b.js".into(), "/app/c.js".into()].into();
    assert_eq!(planned(&files), "sync 3 files to api (sources changed)\n");
    files.files.copied.clear();
    assert_eq!(planned(&files), "sync 2 files to api (sources changed)\n");
}

#[test]
fn of_two_saves_the_later_word_on_a_path_counts_and_every_wish_is_kept_once() {
    let hook = |word: &str| Hook { command: vec![word.into()], ..Hook::default() };
    let mut files = pending(&["kept.js", "gone.js"]);
    files.files.deleted = ["/app/back.js".into(), "/app/away.js".into()].into();
    files.exec = vec![hook("migrate"), hook("warm")];
    let mut newer = pending(&["back.js"]);
    newer.files.deleted = ["/app/gone.js".into()].into();
    newer.exec = vec![hook("warm"), hook("clear")];
    files.add_newer(newer);
    let mut expected = pending(&["back.js", "kept.js"]);
    expected.files.deleted = ["/app/away.js".into(), "/app/gone.js".into()].into();
    expected.exec = vec![hook("warm"), hook("clear"), hook("migrate")];
    assert_eq!(files, expected);
}

#[test]
fn a_wish_of_either_of_two_saves_is_a_wish_of_both() {
    for (older, newer) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut restarts = PendingSync { restart: older, ..PendingSync::default() };
        restarts.add_newer(PendingSync { restart: newer, ..PendingSync::default() });
        assert_eq!((restarts.restart, restarts.compare), (older || newer, false));
        let mut compares = PendingSync { compare: older, ..PendingSync::default() };
        compares.add_newer(PendingSync { compare: newer, ..PendingSync::default() });
        assert_eq!((compares.restart, compares.compare), (false, older || newer));
    }
}

#[test]
fn a_container_that_does_not_run_gets_its_files_before_it_is_started() {
    let shop = project([service("api")]);
    let observed = with(prepared(&shop), [container(&shop, "api", 1, ContainerState::Created)]);
    let facts = Facts { syncs: [("api".into(), pending(&["a.js"]))].into(), ..Facts::new(&shop) };
    assert_plan(
        &shop,
        &goal_up(&shop),
        &observed,
        &facts,
        "start api-1 (is not running): waits for its files to be copied
         sync 1 file to api (sources changed)",
    );
    let facts = Facts { busy: [Subject::Files("api".into())].into(), ..Facts::new(&shop) };
    let expected = "start api-1 (is not running): waits for its files to be copied";
    assert_plan(&shop, &goal_up(&shop), &observed, &facts, expected);
}

#[test]
fn files_are_not_copied_while_something_is_done_to_a_container_of_the_service() {
    let shop = project([service("api"), service("web")]);
    let syncs: BTreeMap<_, _> = [("api".into(), pending(&["a.js"]))].into();
    for (busy, expected) in [
        ("api", "sync 1 file to api (sources changed): waits for an operation under way"),
        ("web", "sync 1 file to api (sources changed)"),
    ] {
        let busy = [Subject::Replica(busy.into(), 1)].into();
        let facts = Facts { syncs: syncs.clone(), busy, ..Facts::new(&shop) };
        assert_plan(&shop, &goal_up(&shop), &running(&shop), &facts, expected);
    }
}

#[test]
fn the_files_of_an_initial_sync_may_be_there_already() {
    let files = pending(&["a.js"]).files;
    let expected = PendingSync { compare: true, ..pending(&["a.js"]) };
    assert_eq!(PendingSync::initial(files), expected);
}
