//! Binds through which mounts are passed on: who sees what the other side mounts.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Daemon, eventually};

/// A folder of the machine that is a mount of its own, which the machine shares; taken down when dropped.
struct Shared(TempDir);

impl Shared {
    fn new() -> Self {
        let folder = TempDir::with_prefix("hoist shared ").expect("a folder");
        mount(&["-t", "tmpfs", "tmpfs"], folder.path());
        mount(&["--make-shared"], folder.path());
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn bind(&self, word: &str) -> String {
        let word = if word.is_empty() { String::new() } else { format!(",bind-propagation={word}") };
        format!("type=bind,source={},target=/here{word}", self.0.path().display())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-R", "-l"]).arg(self.0.path()).status();
    }
}

fn mount(arguments: &[&str], at: &Path) {
    let mounted = Command::new("mount").args(arguments).arg(at).status();
    assert!(mounted.expect("mount is installed").success(), "mount {arguments:?} {}", at.display());
}

fn engine() -> Daemon {
    let daemon = Daemon::start();
    daemon.busybox();
    daemon
}

/// A container that has the folder as `/here`, mounts something at `/here/inner` and waits; it is named after the word.
fn container(daemon: &Daemon, shared: &Shared, word: &str) -> String {
    let name = format!("box-{}", if word.is_empty() { "private" } else { word });
    let script =
        "mkdir -p /here/inner && mount -t tmpfs none /here/inner && touch /here/inner/mine && echo ready && sleep 1000";
    let bind = shared.bind(word);
    let run = ["run", "-d", "--name", &name, "--privileged", "--mount", &bind, "busybox", "sh", "-c", script];
    daemon.docker(&run).ok();
    eventually("it has mounted", || daemon.docker(&["logs", &name]).ok().contains("ready").then_some(()));
    name
}

/// Whether the machine sees the container's mount, and the container the machine's.
fn seen(daemon: &Daemon, word: &str) -> (bool, bool) {
    let shared = Shared::new();
    std::fs::create_dir(shared.path("outer")).expect("a folder");
    let name = container(daemon, &shared, word);
    let outside = shared.path("inner/mine").exists();
    mount(&["-t", "tmpfs", "tmpfs"], &shared.path("outer"));
    std::fs::write(shared.path("outer/theirs"), "").expect("a file");
    let inside = daemon.docker(&["exec", &name, "ls", "/here/outer"]).ok().contains("theirs");
    daemon.docker(&["rm", "-f", &name]).ok();
    (outside, inside)
}

#[test]
fn a_shared_bind_passes_mounts_on_both_ways() {
    assert_eq!(seen(&engine(), "rshared"), (true, true));
}

#[test]
fn a_slave_bind_shows_what_the_machine_mounts_and_nothing_goes_out() {
    assert_eq!(seen(&engine(), "rslave"), (false, true));
}

#[test]
fn a_bind_passes_nothing_on_unless_it_is_asked_to() {
    assert_eq!(seen(&engine(), ""), (false, false));
}

#[test]
fn a_bind_that_is_private_stays_so_beside_one_that_is_shared() {
    let (daemon, shared, private) = (engine(), Shared::new(), Shared::new());
    let other = format!("type=bind,source={},target=/other", private.0.path().display());
    let script = "mkdir /other/inner && mount -t tmpfs none /other/inner && touch /other/inner/mine && ls /other/inner";
    let bind = shared.bind("rshared");
    let run = ["run", "--rm", "--privileged", "--mount", &bind, "--mount", &other, "busybox", "sh", "-c", script];
    assert_eq!(daemon.docker(&run).ok(), "mine\n");
    assert!(!private.path("inner/mine").exists());
}

#[test]
fn a_shared_bind_can_be_for_reading_only() {
    let (daemon, shared) = (engine(), Shared::new());
    let bind = format!("{},readonly", shared.bind("rshared"));
    let run = ["run", "--rm", "--mount", &bind, "busybox", "touch", "/here/file"];
    assert!(daemon.docker(&run).fails().contains("Read-only file system"));
    std::fs::write(shared.path("file"), "").expect("the machine writes as before");
}

#[test]
fn what_the_machine_does_not_share_is_no_shared_bind() {
    let (daemon, shared) = (engine(), Shared::new());
    mount(&["--make-private"], shared.0.path());
    for (word, kind) in [("rshared", "a shared mount"), ("rslave", "a shared or slave mount")] {
        let bind = shared.bind(word);
        let refused = daemon.docker(&["run", "--rm", "--mount", &bind, "busybox", "true"]).fails();
        let path = shared.0.path().display();
        assert!(refused.contains(&format!("path {path} is mounted on {path} but it is not {kind}")), "{refused}");
    }
}
