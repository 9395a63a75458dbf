//! Files that are put into containers and taken out of them, running or not.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::{DEADLINE, Daemon};

fn engine() -> Daemon {
    let daemon = Daemon::start();
    daemon.busybox();
    daemon
}

/// Asks for the removal of files in a container; the status of the answer, and what it says.
fn erase(daemon: &Daemon, container: &str, paths: &[&str]) -> (String, String) {
    let asked: Vec<String> = paths.iter().map(|path| format!("path={path}")).collect();
    let answer = daemon.request("DELETE", &format!("/containers/{container}/archive?{}", asked.join("&")), "");
    let answer = answer.expect("the engine answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head.split(' ').nth(1).unwrap_or_default().to_owned(), body.to_owned())
}

/// The files below a folder of a running container.
fn listing(daemon: &Daemon, container: &str, folder: &str) -> String {
    let found = daemon.docker(&["exec", container, "find", folder]).ok();
    let mut lines: Vec<&str> = found.lines().collect();
    lines.sort_unstable();
    lines.join(" ")
}

#[test]
fn files_and_folders_are_removed_from_a_running_container_and_from_one_that_does_not_run() {
    let daemon = engine();
    let script = "mkdir -p /w/a/b /w/c; echo 1 >/w/a/b/x; echo 2 >/w/c/y; echo 3 >/w/z; ln -s /w/c /w/link; sleep 1000";
    daemon.docker(&["run", "-d", "--init", "--name", "web", "busybox", "sh", "-c", script]).ok();
    let all = "/w /w/a /w/a/b /w/a/b/x /w/c /w/c/y /w/link /w/z";
    crate::support::eventually("they are there", || (listing(&daemon, "web", "/w") == all).then_some(()));
    assert_eq!(erase(&daemon, "web", &["/w/a", "/w/z", "/w/none", "/w/z/none"]).0, "204");
    assert_eq!(listing(&daemon, "web", "/w"), "/w /w/c /w/c/y /w/link");
    // A link on the way leads where it leads inside, one at the end goes itself.
    assert_eq!(erase(&daemon, "web", &["/w/link/y"]).0, "204");
    assert_eq!(listing(&daemon, "web", "/w"), "/w /w/c /w/link");
    assert_eq!(erase(&daemon, "web", &["/w/link"]).0, "204");
    assert_eq!(listing(&daemon, "web", "/w"), "/w /w/c");
    daemon.docker(&["stop", "web"]).ok();
    // Of the image as well: what is below is hidden.
    assert_eq!(erase(&daemon, "web", &["/w/c", "/etc/group"]).0, "204");
    let there = |path: &str| daemon.docker(&["cp", &format!("web:{path}"), "-"]).code == 0;
    assert!(there("/w") && there("/etc/passwd"));
    assert!(!there("/w/c") && !there("/etc/group"));
}

#[test]
fn what_is_removed_is_inside_the_container_wherever_its_links_lead() {
    let daemon = engine();
    let folder = tempfile::tempdir().expect("a folder");
    let (victim, volume) = (folder.path().join("victim"), folder.path().join("volume"));
    for path in [&victim, &volume] {
        fs::create_dir(path).expect("a folder");
        fs::write(path.join("file"), "of the machine").expect("a file");
    }
    let script = format!("ln -s {0} /out; ln -s {0}/file /file; echo ready; sleep 1000", victim.display());
    let bind = format!("{}:/volume", volume.display());
    let read_only = format!("{}:/fixed:ro", victim.display());
    daemon
        .docker(&[
            "run", "-d", "--init", "--name", "web", "-v", &bind, "-v", &read_only, "busybox", "sh", "-c", &script,
        ])
        .ok();
    crate::support::eventually("it is ready", || daemon.docker(&["logs", "web"]).ok().contains("ready").then_some(()));
    assert_eq!(erase(&daemon, "web", &["/out/file", "/file", "/out"]).0, "204");
    for refused in ["/", "", "/..", "/volume/../../file"] {
        assert_eq!(erase(&daemon, "web", &[refused]).0, "400", "{refused:?}");
    }
    // As with any other way of writing there: what is bound in is the machine's own folder.
    let (status, why) = erase(&daemon, "web", &["/fixed/file"]);
    assert_eq!(status, "500", "{why}");
    assert!(why.contains("Read-only file system"), "{why}");
    let (status, why) = erase(&daemon, "web", &["/volume"]);
    assert_eq!(status, "500", "a mount is not removed: {why}");
    assert!(victim.join("file").exists() && volume.join("file").exists());
    assert_eq!(erase(&daemon, "web", &["/volume/file"]).0, "204");
    assert!(!volume.join("file").exists());
    assert_eq!(erase(&daemon, "none", &["/file"]).0, "404");
}

/// Puts a small file into a container, as a sync does.
fn put(daemon: &Daemon, container: &str, text: &str) {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, "note.txt", text.as_bytes()).expect("a tar can be written");
    let tar = tar.into_inner().expect("a tar can be written");
    let mut stream = UnixStream::connect(daemon.socket()).expect("the engine listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let head = format!(
        "PUT /containers/{container}/archive?path=/tmp HTTP/1.1\r\nHost: engine\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        tar.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&tar)).expect("the engine reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the engine answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_small_file_is_in_a_running_container_at_once() {
    let daemon = engine();
    daemon.docker(&["run", "-d", "--init", "--name", "web", "busybox", "sleep", "1000"]).ok();
    let mut times: Vec<Duration> = (0..50)
        .map(|number| {
            let begun = Instant::now();
            put(&daemon, "web", &number.to_string());
            begun.elapsed()
        })
        .collect();
    assert_eq!(daemon.docker(&["exec", "web", "cat", "/tmp/note.txt"]).ok(), "49");
    times.sort();
    eprintln!("a small file: p50 {:?}, p90 {:?}", times[25], times[45]);
    // A few milliseconds when the machine does nothing else.
    assert!(times[25] < Duration::from_millis(500), "a small file took {:?}", times[25]);
}
