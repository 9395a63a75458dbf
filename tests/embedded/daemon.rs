//! The daemon's own life: one engine for a folder, what a crash and a restart of the machine leave, its end.

use std::fs;

use crate::support::{Daemon, eventually, run};

#[test]
fn a_second_engine_ends_with_a_sentence_that_names_the_first() {
    let daemon = Daemon::start();
    let second = run(&mut daemon.command(), b"");
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains(&format!("runs already: process {},", daemon.pid())), "{}", second.stderr);
    assert!(daemon.request("GET", "/_ping", "").unwrap().ends_with("OK"), "the first goes on");
}

#[test]
fn of_two_engines_that_start_at_once_one_serves() {
    let daemon = Daemon::start_idle("-");
    // The folder's engine is stopped, so that the two meet on even ground.
    let mut daemon = daemon;
    daemon.stop();
    let mut both = [daemon.command(), daemon.command()]
        .map(|mut command| command.stderr(std::process::Stdio::piped()).spawn().expect("the program can be started"));
    let loser = eventually("one of them gives up", || {
        both.iter_mut().position(|process| process.try_wait().expect("it is ours").is_some())
    });
    eventually("the other serves", || daemon.request("GET", "/_ping", ""));
    let [first, second] = both;
    let (loser, mut winner) = if loser == 0 { (first, second) } else { (second, first) };
    let output = loser.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains(&winner.id().to_string()));
    daemon.request("POST", "/hoist/stop", "{}").unwrap();
    eventually("it ends", || winner.try_wait().unwrap());
}

#[test]
fn an_engine_with_nothing_to_do_ends_by_itself() {
    let mut daemon = Daemon::start_idle("0.5");
    assert_eq!(daemon.ended(), 0);
    assert!(!daemon.socket().exists());
}

#[test]
fn an_open_stream_of_events_is_something_to_do() {
    let mut daemon = Daemon::start_idle("0.3");
    let until = chrono::Utc::now().timestamp() + 2;
    let began = std::time::Instant::now();
    let answer = daemon.request("GET", &format!("/events?until={until}"), "").expect("the engine is there to the end");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(began.elapsed().as_millis() > 900, "the stream ended early: {:?}", began.elapsed());
    assert_eq!(daemon.ended(), 0);
}

#[test]
fn events_until_now_are_those_that_have_happened() {
    let daemon = Daemon::start();
    daemon.docker(&["volume", "create", "data"]).ok();
    let told = daemon.docker(&["events", "--until", "0s", "--format", "{{.Type}} {{.Action}} {{.Actor.ID}}"]).ok();
    assert_eq!(told, "volume create data\n");
    daemon.docker(&["volume", "rm", "data"]).ok();
}

#[test]
fn a_killed_engine_is_followed_by_one_that_finds_its_containers() {
    let mut daemon = Daemon::start();
    daemon.busybox();
    let script = "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done";
    daemon.docker(&["run", "-d", "--name", "web", "busybox", "sh", "-c", script]).ok();
    daemon
        .docker(&[
            "run",
            "-d",
            "--name",
            "short",
            "busybox",
            "sh",
            "-c",
            "while [ ! -e /go ]; do sleep 0.1; done; exit 6",
        ])
        .ok();
    eventually("it listens", || (daemon.docker(&["logs", "web"]).ok() == "up\n").then_some(()));
    let pid = daemon.docker(&["inspect", "-f", "{{.State.Pid}}", "web"]).ok();
    let short = daemon.docker(&["inspect", "-f", "{{.State.Pid}}", "short"]).ok();
    daemon.kill();
    assert!(daemon.socket().exists(), "the stale socket is a part of this");
    // One of them ends while nobody looks.
    fs::write(format!("/proc/{}/root/go", short.trim()), "").unwrap();
    daemon.run();
    assert_eq!(daemon.docker(&["inspect", "-f", "{{.State.Pid}}", "web"]).ok(), pid, "it was left alone");
    assert_eq!(daemon.docker(&["wait", "short"]).ok(), "6\n");
    assert_eq!(daemon.docker(&["ps", "--format", "{{.Names}}"]).ok(), "web\n");
    assert_eq!(daemon.docker(&["logs", "web"]).ok(), "up\n");
    assert_eq!(daemon.docker(&["exec", "web", "echo", "in"]).ok(), "in\n");
    daemon.docker(&["stop", "web"]).ok();
    assert_eq!(daemon.docker(&["inspect", "-f", "{{.State.ExitCode}}", "web"]).ok(), "5\n");
    daemon.docker(&["rm", "web", "short"]).ok();
}

#[test]
fn what_a_killed_engine_has_left_is_removed_by_another_once_its_containers_are_gone() {
    let mut killed = Daemon::start();
    killed.busybox();
    killed.docker(&["network", "create", "mine"]).ok();
    killed.docker(&["run", "-d", "--name", "web", "--net", "mine", "busybox", "httpd", "-f", "-p", "80"]).ok();
    let address = "{{.NetworkSettings.Networks.mine.IPAddress}}";
    let address = format!("{}:80", killed.docker(&["inspect", "-f", address, "web"]).ok().trim());
    let answers = || std::net::TcpStream::connect(&address).is_ok();
    eventually("the container listens", || answers().then_some(()));
    killed.kill();
    let there = on_the_machine(&killed);
    for what in ["link", "route", "table", "mount"] {
        assert!(there.iter().any(|left| left.starts_with(what)), "a killed engine leaves a {what}: {there:#?}");
    }
    // Its container lives: nothing of it is anybody else's.
    let mut other = Daemon::start();
    assert_eq!(on_the_machine(&killed), there);
    assert!(answers(), "the container is no longer reached");
    end_processes(&killed);
    other.stop();
    other.run();
    assert_eq!(on_the_machine(&killed), Vec::<String>::new());
    assert!(on_the_machine(&other).iter().any(|left| left.starts_with("link")), "its own are there");
    assert!(other.request("GET", "/_ping", "").unwrap().ends_with("OK"));
    // And the one that was killed may come back.
    killed.run();
    killed.docker(&["start", "web"]).ok();
    eventually("the container is reached again", || answers().then_some(()));
    killed.docker(&["rm", "-f", "web"]).ok();
}

#[test]
fn the_files_of_a_container_without_an_image_outlive_the_cleaning_up_after_its_engine() {
    let mut killed = Daemon::start();
    killed.docker(&["run", "--name", "own", "hoist/machine", "sh", "-c", "echo text > /root/note"]).ok();
    killed.kill();
    let _other = Daemon::start();
    killed.run();
    let copied = killed.docker(&["cp", "own:/root/note", "-"]).ok();
    assert!(copied.contains("text"), "{copied:?}");
    killed.docker(&["rm", "own"]).ok();
}

/// What the machine has of an engine: its link, routes, rules and mounts.
fn on_the_machine(daemon: &Daemon) -> Vec<String> {
    use sha2::{Digest as _, Sha256};
    let home = daemon.home().canonicalize().expect("it is there");
    let digest = Sha256::digest(home.join("run").as_os_str().as_encoded_bytes());
    let name = format!("{:08x}", u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]));
    let lines = |what: &'static str, text: String, sought: String| {
        let lines: Vec<_> = text.lines().filter(|line| line.contains(&sought)).map(str::to_owned).collect();
        lines.into_iter().map(move |line| format!("{what}: {line}"))
    };
    let output = |words: &[&str]| run(std::process::Command::new(words[0]).args(&words[1..]), b"").stdout;
    let interfaces = output(&["ip", "-o", "link"]);
    let rules = output(&["nft", "list", "chain", "ip", "filter", "DOCKER-USER"]);
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read the mounts");
    let all = [
        lines("link", interfaces, format!("hoist{name}")),
        lines("route", output(&["ip", "route"]), format!("hoist{name}")),
        lines("table", output(&["nft", "list", "tables"]), format!("hoist_{name}")),
        lines("rule", rules, format!("hoist{name}")),
        lines("mount", mounts, home.to_string_lossy().into_owned()),
    ];
    all.into_iter().flatten().collect()
}

/// Ends all processes of an engine: its shims, and their containers with them.
fn end_processes(daemon: &Daemon) {
    let home = daemon.home().to_string_lossy();
    eventually("all processes have ended", || {
        let left = crate::support::processes_of(&home);
        for line in &left {
            let pid = line.split(' ').next().unwrap_or_default();
            run(std::process::Command::new("kill").args(["-9", pid]), b"");
        }
        left.is_empty().then_some(())
    });
}

#[test]
fn a_signal_ends_the_engine_and_leaves_containers_to_the_next() {
    let mut daemon = Daemon::start();
    daemon.busybox();
    daemon.docker(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]).ok();
    let pid = daemon.docker(&["inspect", "-f", "{{.State.Pid}}", "web"]).ok();
    run(std::process::Command::new("kill").arg(daemon.pid().to_string()), b"").ok();
    assert_eq!(daemon.ended(), 0);
    assert!(!daemon.socket().exists());
    daemon.run();
    assert_eq!(daemon.docker(&["inspect", "-f", "{{.State.Pid}}", "web"]).ok(), pid);
    daemon.docker(&["rm", "-f", "web"]).ok();
}

#[test]
fn a_stop_is_refused_while_a_container_runs_unless_it_may_be_stopped() {
    let daemon = Daemon::start();
    daemon.busybox();
    daemon.docker(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]).ok();
    let refusal = daemon.request("POST", "/hoist/stop", "{}").unwrap();
    assert!(refusal.starts_with("HTTP/1.1 409") && refusal.contains("a container runs"), "{refusal}");
    daemon.docker(&["exec", "web", "true"]).ok();
}

#[test]
fn a_container_that_runs_is_something_to_do() {
    let mut daemon = Daemon::start_idle("3");
    daemon.busybox();
    daemon.docker(&["run", "-d", "busybox", "sleep", "6"]).ok();
    let began = std::time::Instant::now();
    assert_eq!(daemon.ended(), 0);
    assert!(began.elapsed().as_secs() >= 5, "it ended early: {:?}", began.elapsed());
}

#[test]
fn what_is_left_of_before_a_restart_of_the_machine_is_cleaned_up() {
    let mut daemon = Daemon::start();
    daemon.busybox();
    daemon.docker(&["run", "-d", "--name", "again", "--restart", "always", "busybox", "sleep", "1000"]).ok();
    daemon.docker(&["run", "-d", "--name", "once", "busybox", "sleep", "1000"]).ok();
    daemon.kill();
    let run = daemon.home().join("run");
    // The shims end with the machine, and their containers with them.
    end_processes(&daemon);
    // As after a restart of a machine whose run folder is on a disk; and a mount, which is what is hard to remove.
    fs::write(run.join("boot"), "another\n").unwrap();
    fs::write(run.join("netns/stale"), "").unwrap();
    fs::create_dir(run.join("c/0123456789abcdef")).unwrap();
    fs::create_dir(run.join("mounts/stale")).unwrap();
    daemon.run();
    for gone in ["netns/stale", "c/0123456789abcdef", "mounts/stale"] {
        assert!(!run.join(gone).exists(), "{gone} is still there");
    }
    eventually("what is always to run runs again", || {
        (daemon.docker(&["exec", "again", "echo", "in"]).stdout == "in\n").then_some(())
    });
    assert_eq!(daemon.docker(&["ps", "-a", "-f", "status=exited", "--format", "{{.Names}}"]).ok(), "once\n");
    daemon.docker(&["rm", "-f", "again", "once"]).ok();
}

#[test]
fn a_stopped_engine_gives_everything_back() {
    let mut daemon = Daemon::start();
    daemon.stop();
    assert!(!daemon.home().join("run").exists());
    assert_eq!(daemon.leftovers(), Vec::<String>::new());
}

#[test]
fn folders_and_socket_are_closed_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let daemon = Daemon::start();
    let mode = |path: &str| fs::metadata(daemon.home().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("lib"), 0o700);
    assert_eq!(mode("run"), 0o711);
    assert_eq!(mode("run/engine.sock"), 0o660);
    assert_eq!(mode("run/mounts"), 0o700);
    assert_eq!(mode("run/netns"), 0o700);
    assert_eq!(mode("run/engine.lock"), 0o600);
}
