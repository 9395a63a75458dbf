//! Nothing stays behind: what the machine holds is counted before and after many containers have come and gone.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{RemoveContainerOptions, StartContainerOptions, WaitContainerOptions};
use futures_util::StreamExt as _;

use crate::support::{DEADLINE, Daemon, eventually};

/// How often a container is made, started and removed; `HOIST_ROUNDS` asks for more.
const ROUNDS: usize = 300;
/// How many are under way at once.
const AT_ONCE: usize = 8;
/// What the hub keeps: its loopback, the bridge, its end of the pair to the machine.
const LINKS: usize = 3;

/// What there is of this engine's on the machine, where other engines may come and go.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    mounts: usize,
    links: usize,
    cgroups: usize,
    processes: usize,
    files: usize,
    descriptors: usize,
}

impl Holdings {
    fn of(daemon: &Daemon, made: &HashSet<String>) -> Self {
        let home = daemon.home().to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read the mounts");
        let pid = daemon.pid();
        Self {
            mounts: mounts.lines().filter(|line| line.contains(&home)).count(),
            links: links(daemon),
            cgroups: count(Path::new("/sys/fs/cgroup"), &|path| {
                path.file_name().is_some_and(|name| made.contains(&*name.to_string_lossy()))
            }),
            processes: processes_of(&home),
            files: count(daemon.home(), &|_| true),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).expect("read the engine's descriptors").count(),
        }
    }
}

#[test]
fn rounds_of_create_start_and_remove_leave_nothing_behind() {
    let rounds = std::env::var("HOIST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let daemon = Daemon::start();
    daemon.busybox();
    // What the first containers bring with them stays: the hub, folders.
    let mut made = run(&daemon, AT_ONCE * 4);
    let home = daemon.home().to_string_lossy().into_owned();
    eventually("the first containers have gone", || {
        (processes_of(&home) <= 1 && links(&daemon) <= LINKS).then_some(())
    });
    let (before, memory) = (Holdings::of(&daemon, &made), resident(daemon.pid()));
    made.extend(run(&daemon, rounds));
    let mut after = Holdings::of(&daemon, &made);
    let end = Instant::now() + DEADLINE;
    while after != before && Instant::now() < end {
        thread::sleep(Duration::from_millis(20));
        after = Holdings::of(&daemon, &made);
    }
    assert_eq!(after, before);
    let grown = resident(daemon.pid()).saturating_sub(memory);
    eprintln!("{rounds} rounds: {after:?}; the engine's memory has grown by {grown} KiB");
    assert!(grown < 20 * 1024, "the engine has grown by {grown} KiB");
}

/// Makes so many containers, waits for the end of each and removes it; their ids.
fn run(daemon: &Daemon, rounds: usize) -> HashSet<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let socket = daemon.socket();
    let client = Docker::connect_with_unix(socket.to_str().expect("text"), 60, bollard::API_DEFAULT_VERSION);
    let client = client.expect("a client");
    runtime.block_on(async {
        let rounds = futures_util::stream::iter(0..rounds).map(|_| one(&client));
        rounds.buffer_unordered(AT_ONCE).collect().await
    })
}

async fn one(client: &Docker) -> String {
    let body = ContainerCreateBody {
        image: Some("busybox".to_owned()),
        cmd: Some(vec!["true".to_owned()]),
        ..ContainerCreateBody::default()
    };
    let id = client.create_container(None, body).await.expect("make a container").id;
    client.start_container(&id, None::<StartContainerOptions>).await.expect("start it");
    let ended = client.wait_container(&id, None::<WaitContainerOptions>).next().await.expect("an answer");
    assert_eq!(ended.expect("it ends").status_code, 0);
    client.remove_container(&id, None::<RemoveContainerOptions>).await.expect("remove it");
    id
}

/// The links in the engine's hub: bridges, and an end of each pair.
fn links(daemon: &Daemon) -> usize {
    let hub = format!("--net={}", daemon.home().join("run/netns/hub").display());
    let shown = Command::new("nsenter").arg(hub).args(["ip", "-o", "link"]).output().expect("look into the hub");
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    String::from_utf8_lossy(&shown.stdout).lines().count()
}

fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("read the engine's status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its resident memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
}

/// Processes that name the engine's folder: itself and its shims.
fn processes_of(home: &str) -> usize {
    let entries = fs::read_dir("/proc").expect("read /proc").flatten();
    let lines = entries.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(home)).count()
}

/// How many paths below a folder are so.
fn count(folder: &Path, is_so: &dyn Fn(&Path) -> bool) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .map(|path| {
            let below = if path.is_dir() && !path.is_symlink() { count(&path, is_so) } else { 0 };
            below + usize::from(is_so(&path))
        })
        .sum()
}
