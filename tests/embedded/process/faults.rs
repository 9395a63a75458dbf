//! What happens when one of those who belong together is gone.

use std::path::Path;

use hoist::embedded::process::{self, Found};

use super::home::{Home, alive, command, end, eventually, groups, output};

fn parent(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("it has a parent");
    parent.trim().parse().expect("a number")
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().expect("small")).expect("not zero");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is there");
}

#[tokio::test]
async fn a_shim_that_is_killed_takes_its_container_with_it_and_it_is_said() {
    let home = Home::new();
    for (user, init) in [("", false), ("jo", false), ("jo", true)] {
        let mut container = home.container(&["sh", "-c", "sleep 1000 & sleep 1000"]);
        (container.user, container.init) = (user.into(), init);
        let running = home.start(&container).await;
        let mut pids = running.processes().await.expect("it runs");
        pids.push(running.pid());
        kill(parent(running.pid()));
        let exit = end(&running).await;
        assert_eq!((exit.code, exit.error.as_deref()), (137, Some("its shim was killed")));
        eventually("its processes end", || !pids.iter().any(|pid| alive(*pid))).await;
        assert!(groups(&container.id).is_empty());
        assert!(matches!(process::find(&home.layout, &container.id).await, Ok(Found::Ended(found)) if found == exit));
    }
}

#[tokio::test]
async fn a_daemon_that_comes_back_finds_what_runs_and_what_has_ended() {
    let home = Home::new();
    let container = home.container(&["sh", "-c", "echo ready; read line; exit 5"]);
    let mut container = container;
    container.stdin = true;
    let running = home.start(&container).await;
    let (pid, started_at) = (running.pid(), running.started_at());
    drop(running);
    eventually("it runs", || output(&container) == "ready\n").await;
    let Ok(Found::Running(found)) = process::find(&home.layout, &container.id).await else { panic!("it runs") };
    assert_eq!((found.pid(), found.started_at(), found.id()), (pid, started_at, container.id.as_str()));
    let attached = found.attach().await.expect("it runs");
    attached.input.as_ref().expect("it is open").send("go\n".into()).await.expect("it reads");
    assert_eq!(end(&found).await.code, 5);
    drop(found);
    let Ok(Found::Ended(exit)) = process::find(&home.layout, &container.id).await else { panic!("it has ended") };
    assert_eq!(exit.code, 5);
    process::forget(&home.layout, &container.id).await.expect("it can be forgotten");
    assert!(matches!(process::find(&home.layout, &container.id).await, Ok(Found::Lost)));
}

#[tokio::test]
async fn a_container_that_ended_while_no_daemon_ran_is_found_with_its_code() {
    let home = Home::new();
    let container = home.container(&["sh", "-c", "sleep 0.1; exit 8"]);
    drop(home.start(&container).await);
    let record = home.layout.runtime(&container.id).join("exit.json");
    eventually("it is recorded", || record.exists()).await;
    let by = std::time::Instant::now() + super::home::PATIENCE;
    // Its shim may still be about to go.
    let exit = loop {
        match process::find(&home.layout, &container.id).await {
            Ok(Found::Ended(exit)) => break exit,
            Ok(Found::Running(running)) => break end(&running).await,
            other => assert!(std::time::Instant::now() < by, "{other:?}"),
        }
    };
    assert_eq!(exit.code, 8);
}

#[tokio::test]
async fn what_is_left_of_a_shim_that_was_killed_while_no_daemon_ran_is_taken_away() {
    let home = Home::new();
    let container = home.container(&["sleep", "1000"]);
    let running = home.start(&container).await;
    let pid = running.pid();
    drop(running);
    kill(parent(pid));
    assert!(matches!(process::find(&home.layout, &container.id).await, Ok(Found::Lost)));
    eventually("its process ends", || !alive(pid)).await;
    assert!(groups(&container.id).is_empty());
    assert!(!home.layout.runtime(&container.id).exists());
    // And it can be started again.
    let again = home.start(&container).await;
    again.signal(9).await.expect("it runs");
    end(&again).await;
}

#[tokio::test]
async fn the_process_of_a_command_that_is_killed_takes_the_command_with_it() {
    let home = Home::new();
    let container = home.container(&["sleep", "1000"]);
    let running = home.start(&container).await;
    let exec = running.exec(&home.layout, &command(&["sleep", "1000"])).await.expect("it starts");
    kill(parent(exec.pid));
    let exit = exec.exit.await.expect("it is told");
    assert_eq!(exit.code, 137);
    eventually("the command ends", || !alive(exec.pid)).await;
    running.signal(9).await.expect("it runs");
    end(&running).await;
}

#[tokio::test]
async fn two_hundred_rounds_leave_nothing_behind() {
    let home = Home::new();
    for round in 0..200 {
        let container = home.container(&["echo", "x"]);
        let (text, exit) = home.run(&container).await;
        assert_eq!((text.as_str(), exit.code, exit.error.as_deref()), ("x\n", 0, None), "round {round}");
        assert!(groups(&container.id).is_empty(), "round {round}");
        process::forget(&home.layout, &container.id).await.expect("it can be forgotten");
    }
    let empty = |folder: &Path| std::fs::read_dir(folder).map_or(0, Iterator::count) == 0;
    assert!(empty(&home.layout.mounts()), "no mount point is left");
    assert!(empty(&home.layout.run().join("c")), "no folder is left");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("the machine tells its mounts");
    let own = home.folder.path().to_string_lossy().into_owned();
    assert_eq!(mounts.lines().filter(|line| line.contains(&own)).count(), 1, "the tmpfs alone: {mounts}");
    let mentions =
        |pid: &Path| std::fs::read(pid.join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&own));
    let gone = || !std::fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| mentions(&entry.path()));
    eventually("all shims have gone", gone).await;
}
