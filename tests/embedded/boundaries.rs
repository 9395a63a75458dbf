//! What a container can see or touch of the machine: nothing that Docker's default would not allow. A test a boundary.
//!
//! Where a Docker Engine answers beside, what a script finds in its container is held against what it finds here.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::{Command, Stdio};

use crate::support::{Daemon, eventually};

/// The image of all containers here.
const BUSYBOX: &str = "busybox";

/// What a script prints in a fresh container.
fn inside(daemon: &Daemon, options: &[&str], script: &str) -> String {
    let mut arguments = vec!["run", "--rm"];
    arguments.extend(options);
    arguments.extend([BUSYBOX, "sh", "-c", script]);
    let output = daemon.docker(&arguments);
    format!("{}{}", output.stdout, output.stderr)
}

/// The same in a container of Docker's own, where one answers.
fn inside_docker(options: &[&str], script: &str) -> Option<String> {
    let mut command = Command::new("docker");
    command.args(["run", "--rm"]).args(options).args(["hoist-test/busybox:latest", "sh", "-c", script]);
    let output = command.env_remove("DOCKER_HOST").stdin(Stdio::null()).output().ok()?;
    if !output.status.success() {
        eprintln!(
            "\n*** LEFT OUT: the comparison with Docker, which does not answer or lacks hoist-test/busybox ***\n"
        );
        return None;
    }
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_container_sees_no_process_but_its_own() {
    let daemon = Daemon::start();
    daemon.busybox();
    let found = inside(&daemon, &[], "ls -d /proc/[0-9]* | wc -l; readlink /proc/1/root");
    let count: u32 = found.lines().next().unwrap_or_default().trim().parse().expect("a number");
    // The shell, `ls` and `wc`.
    assert!(count <= 3, "{found}");
    assert!(found.contains("\n/\n"), "{found}");
}

#[test]
fn a_container_cannot_signal_a_process_of_the_machine() {
    let daemon = Daemon::start();
    daemon.busybox();
    let mut bystander = Command::new("sleep").arg("1000").spawn().expect("start a process");
    let found = inside(&daemon, &[], &format!("kill -9 {} || echo refused; kill -9 -1; true", bystander.id()));
    let ended = bystander.try_wait().expect("ask for the process");
    bystander.kill().expect("end the process");
    bystander.wait().expect("wait for its end");
    assert_eq!(ended, None, "{found}");
    assert!(found.contains("refused"), "{found}");
}

#[test]
fn a_container_sees_no_file_of_the_machine() {
    let daemon = Daemon::start();
    daemon.busybox();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = folder.path().join("secret");
    fs::write(&secret, "of the machine").expect("write a file");
    let path = secret.display();
    let found = inside(
        &daemon,
        &[],
        &format!("cat {path} /proc/1/root{path} /proc/self/cwd/../../../../..{path}; cat /proc/mounts"),
    );
    assert!(!found.contains("of the machine"), "{found}");
    assert!(
        !found.contains(&*daemon.home().to_string_lossy().into_owned()) || only_names_of_mounts(&found, &daemon),
        "{found}"
    );
}

/// The options of an overlay and the sources of `hosts` and its like name folders of the machine, as Docker's do.
fn only_names_of_mounts(found: &str, daemon: &Daemon) -> bool {
    let home = daemon.home().to_string_lossy().into_owned();
    let named = found.lines().filter(|line| line.contains(&home));
    named.into_iter().all(|line| line.starts_with("overlay / overlay") || line.contains(" /etc/"))
}

#[test]
fn a_container_cannot_change_the_kernel_through_proc_and_sys() {
    let daemon = Daemon::start();
    daemon.busybox();
    let script = "
        for file in /proc/sys/kernel/domainname /proc/sys/vm/swappiness /proc/sysrq-trigger /proc/irq/default_smp_affinity \
            /sys/kernel/profiling /sys/kernel/mm/ksm/run /sys/power/state; do
            [ -e $file ] || continue
            (echo 1 >$file) 2>/dev/null && echo wrote $file
        done
        for file in /proc/kcore /proc/keys /proc/timer_list /proc/latency_stats; do
            [ -s $file ] && echo saw $file
        done
        ls /proc/scsi /sys/firmware 2>/dev/null | head -n 3
        true";
    let found = inside(&daemon, &[], script);
    assert!(!found.contains("wrote") && !found.contains("saw"), "{found}");
    if let Some(docker) = inside_docker(&[], script) {
        assert_eq!(found, docker);
    }
}

#[test]
fn a_container_has_the_devices_that_docker_gives_and_no_others() {
    let daemon = Daemon::start();
    daemon.busybox();
    let script = "cd /dev; ls; ls -l console full null ptmx random tty urandom zero 2>&1 | cut -c 1-10";
    let found = inside(&daemon, &[], script);
    assert!(found.contains("null") && !found.contains("sda") && !found.contains("vda"), "{found}");
    if let Some(docker) = inside_docker(&[], script) {
        assert_eq!(found, docker);
    }
}

#[test]
fn a_container_cannot_open_a_disk_even_by_a_node_of_its_own() {
    let daemon = Daemon::start();
    daemon.busybox();
    let device = fs::metadata("/").expect("look at the root").dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let script = format!("mknod /disk b {major} {minor}; head -c 1 /disk >/dev/null && echo opened");
    let found = inside(&daemon, &[], &script);
    assert!(!found.contains("opened"), "{found}");
    assert!(found.to_lowercase().contains("not permitted"), "{found}");
}

#[test]
fn a_container_reaches_nothing_on_another_network_nor_on_the_machines_loopback() {
    let daemon = Daemon::start();
    daemon.busybox();
    daemon.docker(&["network", "create", "one"]).ok();
    daemon.docker(&["network", "create", "other"]).ok();
    daemon
        .docker(&[
            "run",
            "-d",
            "--name",
            "server",
            "--network",
            "one",
            BUSYBOX,
            "sh",
            "-c",
            "mkdir /w; echo it >/w/i; httpd -f -h /w",
        ])
        .ok();
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = daemon.docker(&["inspect", "-f", format, "server"]).ok().trim().to_owned();
    let get = format!("printf 'GET /i HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} 80 | tail -n 1 | grep it");
    let fetch = format!("{get} || echo unreachable");
    let eventually = format!("for n in 1 2 3 4 5 6 7 8 9; do {get} && break; usleep 100000; done");
    assert_eq!(inside(&daemon, &["--network", "one"], &eventually), "it\n");
    assert!(inside(&daemon, &["--network", "other"], &fetch).contains("unreachable"));
    assert!(inside(&daemon, &[], &fetch).contains("unreachable"));
    assert!(inside(&daemon, &["--network", "none"], &fetch).contains("unreachable"));

    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listen on the machine");
    let port = listener.local_addr().expect("a bound listener has an address").port();
    let found = inside(&daemon, &[], &format!("nc -w 2 127.0.0.1 {port} </dev/null || echo unreachable"));
    assert!(found.contains("unreachable"), "{found}");
}

#[test]
fn a_container_cannot_mount() {
    let daemon = Daemon::start();
    daemon.busybox();
    let script = "
        mkdir /m
        mount -t tmpfs none /m && echo mounted
        mount -o bind /etc /m && echo bound
        mount -o remount,rw /proc/sys && echo remounted
        umount /proc/kcore && echo unmasked
        true";
    let found = inside(&daemon, &[], script);
    for word in ["mounted", "bound", "unmasked"] {
        assert!(!found.contains(word), "{found}");
    }
}

#[test]
fn a_container_has_dockers_capabilities_and_another_user_has_none() {
    let daemon = Daemon::start();
    daemon.busybox();
    let script = "grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status";
    let found = inside(&daemon, &[], script);
    assert!(found.contains("CapBnd:\t00000000a80425fb"), "{found}");
    assert!(found.contains("Seccomp:\t2"), "{found}");
    for options in [
        &[][..],
        &["--user", "1000"],
        &["--cap-drop", "ALL"],
        &["--cap-add", "NET_ADMIN"],
        &["--security-opt", "no-new-privileges"],
    ] {
        let found = inside(&daemon, options, script);
        if let Some(docker) = inside_docker(options, script) {
            assert_eq!(found, docker, "{options:?}");
        }
    }
}

#[test]
fn a_command_run_in_a_container_is_held_by_the_same_boundaries() {
    let daemon = Daemon::start();
    daemon.busybox();
    daemon.docker(&["run", "-d", "--name", "held", BUSYBOX, "sleep", "1000"]).ok();
    let script = "grep -E 'Cap|Seccomp:' /proc/self/status; ls -d /proc/[0-9]* | wc -l; cat /proc/net/dev | wc -l; ls -l /proc/self/fd | wc -l";
    let found = daemon.docker(&["exec", "held", "sh", "-c", script]).ok();
    assert!(found.contains("CapEff:\t00000000a80425fb") && found.contains("Seccomp:\t2"), "{found}");
    let root = inside(&daemon, &[], "grep -E 'Cap|Seccomp:' /proc/self/status");
    assert!(found.starts_with(&root), "{found}\n{root}");
    let user = daemon.docker(&["exec", "-u", "1000", "held", "grep", "CapEff", "/proc/self/status"]).ok();
    assert_eq!(user, "CapEff:\t0000000000000000\n");
}

#[test]
fn a_container_cannot_make_namespaces_that_would_give_it_more() {
    let daemon = Daemon::start();
    daemon.busybox();
    let script = "unshare -U true && echo user; unshare -m true && echo mount; unshare -n true && echo network; true";
    let found = inside(&daemon, &[], script);
    for word in ["user\n", "mount\n", "network\n"] {
        assert!(!found.contains(word), "{found}");
    }
}

#[test]
fn a_container_cannot_change_the_clock_the_host_name_or_read_the_kernels_log() {
    let daemon = Daemon::start();
    daemon.busybox();
    let name = fs::read_to_string("/proc/sys/kernel/hostname").expect("the machine's name");
    let script =
        "date -s 2001-01-01 && echo set; hostname other && echo named; dmesg | head -n 1 | grep . && echo read; true";
    let found = inside(&daemon, &[], script);
    assert!(!found.contains("named\n"), "{found}");
    assert!(found.contains("date: can't set date"), "{found}");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").expect("the machine's name"), name);
    if let Some(docker) = inside_docker(&[], "dmesg 2>&1 | head -n 1 | grep -c ermitted") {
        assert_eq!(inside(&daemon, &[], "dmesg 2>&1 | head -n 1 | grep -c ermitted"), docker);
    }
}

#[test]
fn a_container_sees_no_shared_memory_but_its_own() {
    let daemon = Daemon::start();
    daemon.busybox();
    let file = tempfile::NamedTempFile::new_in("/dev/shm").expect("a file in shared memory");
    let name = file.path().file_name().expect("a name").to_string_lossy().into_owned();
    let found = inside(&daemon, &[], "ls -A /dev/shm; readlink /proc/self/ns/ipc");
    assert!(!found.contains(&name), "{found}");
    let own = fs::read_link("/proc/self/ns/ipc").expect("the machine's namespace");
    assert!(!found.contains(&*own.to_string_lossy()), "{found}");
}

#[test]
fn a_container_cannot_change_its_limits() {
    let daemon = Daemon::start();
    daemon.busybox();
    let script = "
        for file in $(find /sys/fs/cgroup -name release_agent -o -name cgroup.procs -o -name memory.max \
            -o -name memory.limit_in_bytes -o -name devices.allow 2>/dev/null); do
            (echo 1 >$file) 2>/dev/null && echo wrote $file
        done
        true";
    assert_eq!(inside(&daemon, &["--memory", "64m"], script), "");
}

#[test]
fn a_fork_bomb_stays_within_its_limit() {
    let daemon = Daemon::start();
    daemon.busybox();
    let script = "bomb() { bomb | bomb & }; bomb 2>/dev/null; usleep 300000; cat /sys/fs/cgroup/pids/pids.current \
                  /sys/fs/cgroup/pids.current 2>/dev/null; true";
    let output = daemon.docker(&["run", "--name", "bomb", "--pids-limit", "20", BUSYBOX, "sh", "-c", script]);
    let current: Option<u32> = output.stdout.lines().next().and_then(|line| line.trim().parse().ok());
    assert!(current.is_none_or(|current| current <= 20), "{}", output.stdout);
    // The engine is as quick as before, and the bomb goes.
    daemon.docker(&["run", "--rm", BUSYBOX, "true"]).ok();
    daemon.docker(&["rm", "-f", "bomb"]).ok();
}

#[test]
fn no_file_descriptor_of_the_machine_reaches_a_container() {
    let daemon = Daemon::start();
    daemon.busybox();
    // The three of its own, and that of the listing.
    let found = inside(&daemon, &[], "ls /proc/self/fd | wc -l; ls -l /proc/1/fd");
    assert!(found.starts_with("4\n"), "{found}");
    for number in 3..12 {
        let folder = format!("/proc/self/fd/{number}");
        let found = inside(&daemon, &["--workdir", &folder], "cat ../../../etc/shadow ../../../../../etc/shadow; pwd");
        assert!(!found.contains("root:"), "{folder}: {found}");
    }
}

#[test]
fn a_container_cannot_replace_the_program_that_started_it() {
    let daemon = Daemon::start();
    daemon.busybox();
    let before = fs::metadata(env!("CARGO_BIN_EXE_hoist")).expect("look at the program");
    let script = "for n in 1 2 3 4 5; do for exe in /proc/[0-9]*/exe; do (echo overwritten >$exe) 2>/dev/null && echo wrote $exe; done; done";
    daemon
        .docker(&["run", "-d", "--name", "target", BUSYBOX, "sh", "-c", &format!("while true; do {script}; done")])
        .ok();
    for _ in 0..10 {
        daemon.docker(&["exec", "target", "true"]);
    }
    let found = daemon.docker(&["logs", "target"]).ok();
    let after = fs::metadata(env!("CARGO_BIN_EXE_hoist")).expect("look at the program");
    assert_eq!((before.len(), before.mtime()), (after.len(), after.mtime()), "{found}");
}

#[test]
fn a_link_in_a_container_leads_nowhere_outside_when_files_are_copied() {
    let daemon = Daemon::start();
    daemon.busybox();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (secret, target) = (folder.path().join("secret"), folder.path().join("written"));
    fs::write(&secret, "of the machine").expect("write a file");
    fs::create_dir(&target).expect("create a folder");
    let script =
        format!("ln -s {} /to-file; ln -s {} /to-folder; echo linked; sleep 1000", secret.display(), target.display());
    daemon.docker(&["run", "-d", "--name", "links", BUSYBOX, "sh", "-c", &script]).ok();
    // The client copies a link as one when it is not there yet while the client looks at it.
    eventually("the links are there", || daemon.docker(&["logs", "links"]).ok().contains("linked").then_some(()));
    let out = folder.path().join("out");
    daemon.docker(&["cp", "-L", "links:/to-file", out.to_str().expect("text")]);
    assert!(!fs::read_to_string(&out).unwrap_or_default().contains("of the machine"));
    let payload = folder.path().join("payload");
    fs::write(&payload, "from outside").expect("write a file");
    daemon.docker(&["cp", payload.to_str().expect("text"), "links:/to-folder/payload"]);
    assert!(!target.join("payload").exists());
    // A hostile tar.
    let tar = folder.path().join("hostile.tar");
    let hostile = folder.path().join("hostile");
    fs::create_dir(&hostile).expect("create a folder");
    symlink(&target, hostile.join("link")).expect("make a link");
    Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&hostile).arg("link").status().expect("run tar");
    fs::remove_file(hostile.join("link")).expect("remove the link");
    fs::create_dir(hostile.join("link")).expect("create a folder");
    fs::write(hostile.join("link/escaped"), "x").expect("write a file");
    Command::new("tar").arg("-rf").arg(&tar).arg("-C").arg(&hostile).arg("link/escaped").status().expect("run tar");
    daemon.docker_with(&["cp", "-", "links:/"], &fs::read(&tar).expect("read the tar"));
    assert!(!target.join("escaped").exists());
}

#[test]
fn names_of_volumes_and_containers_cannot_leave_the_engines_folder() {
    let daemon = Daemon::start();
    daemon.busybox();
    for name in ["../../../tmp/escaped", "..", "a/b", "a\nb"] {
        daemon.docker(&["volume", "create", name]).fails();
        daemon.docker(&["create", "--name", name, BUSYBOX, "true"]).fails();
    }
}
