//! Limits, freezing and what is counted.

use bollard_stubs::models::HostConfig;
use libcontainer::oci_spec::runtime::{LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResourcesBuilder};

use super::home::{Home, end, eventually, output};

#[tokio::test]
async fn who_takes_too_much_memory_is_ended_and_it_is_said() {
    let home = Home::new();
    let host = HostConfig { memory: Some(16 << 20), ..Default::default() };
    let container = home.with(&["tail", "/dev/zero"], &host);
    let (text, exit) = home.run(&container).await;
    assert_eq!((exit.code, exit.oom_killed), (137, true), "{text}");
}

#[tokio::test]
async fn a_fork_bomb_stays_within_its_limit_and_can_be_stopped() {
    let home = Home::new();
    let host = HostConfig { pids_limit: Some(30), ..Default::default() };
    let container = home.with(&["sh", "-c", "f() { f | f & }; f & exec sleep 1000"], &host);
    let running = home.start(&container).await;
    eventually("the bomb goes off", || output(&container).contains("fork")).await;
    let usage = running.usage().await.expect("it runs");
    assert!(usage.pids <= 30 && usage.pids_limit == Some(30), "{usage:?}");
    running.signal(9).await.expect("it runs");
    assert_eq!(end(&running).await.code, 137);
}

#[tokio::test]
async fn it_can_be_paused_and_resumed_and_ended_while_paused() {
    let home = Home::new();
    let container = home.container(&["sh", "-c", "while true; do echo tick; sleep 0.01; done"]);
    let running = home.start(&container).await;
    eventually("it runs", || output(&container).contains("tick")).await;
    running.pause().await.expect("it can be paused");
    // What it had written before may still be on its way: two equal looks, with something else done in between.
    let mut before = usize::MAX;
    eventually("it stands", || std::mem::replace(&mut before, output(&container).len()) == output(&container).len())
        .await;
    running.resume().await.expect("it can be resumed");
    eventually("it goes on", || output(&container).len() > before).await;
    running.pause().await.expect("it can be paused");
    running.signal(9).await.expect("it is there");
    running.resume().await.expect("it can be resumed");
    assert_eq!(end(&running).await.code, 137);
}

#[tokio::test]
async fn limits_can_be_changed_while_it_runs() {
    let home = Home::new();
    let host = HostConfig { memory: Some(64 << 20), pids_limit: Some(50), ..Default::default() };
    let container = home.with(&["sleep", "1000"], &host);
    let running = home.start(&container).await;
    let usage = running.usage().await.expect("it runs");
    assert_eq!((usage.memory_limit, usage.pids_limit, usage.pids), (Some(64 << 20), Some(50), 1), "{usage:?}");
    assert!(usage.memory > 0 && usage.cpu > 0, "{usage:?}");
    let memory = LinuxMemoryBuilder::default().limit(32_i64 << 20).build().expect("a limit");
    let pids = LinuxPidsBuilder::default().limit(-1_i64).build().expect("a limit");
    let resources = LinuxResourcesBuilder::default().memory(memory).pids(pids).build().expect("limits");
    running.update(&resources).await.expect("they can be changed");
    let usage = running.usage().await.expect("it runs");
    assert_eq!((usage.memory_limit, usage.pids_limit), (Some(32 << 20), None), "{usage:?}");
    assert_eq!(running.processes().await.expect("it runs"), [running.pid()]);
    running.signal(9).await.expect("it runs");
    end(&running).await;
}

#[tokio::test]
async fn a_shim_is_small() {
    let home = Home::new();
    let container = home.container(&["sleep", "1000"]);
    let running = home.start(&container).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("it runs");
    let shim = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("it has a parent").trim();
    let maps = std::fs::read_to_string(format!("/proc/{shim}/smaps")).expect("the shim runs");
    // What the loader writes into the program's own pages depends on how it was built: a build for tests has six times as
    // much of it.
    let (mut counts, mut own) = (false, 0_u64);
    for line in maps.lines() {
        match line.strip_prefix("Private_Dirty:") {
            Some(size) if counts => own += size.trim().trim_end_matches(" kB").parse::<u64>().expect("a number"),
            None if line.split(' ').next().is_some_and(|word| word.contains('-')) => counts = !line.ends_with("/hoist"),
            _ => {}
        }
    }
    assert!(0 < own && own <= 1024, "the shim's own memory is {own} kB");
    running.signal(9).await.expect("it runs");
    end(&running).await;
}
