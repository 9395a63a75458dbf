//! What a program finds when it starts, and what is said when it cannot.

use bollard_stubs::models::HostConfig;
use hoist::embedded::error::Error;
use hoist::embedded::process;
use hoist::embedded::root::Rootfs;

use super::home::{Home, end, groups, output, record};

#[tokio::test]
async fn output_goes_to_the_log_by_stream_and_the_exit_code_comes_back() {
    let home = Home::new();
    let container = home.container(&["sh", "-c", "echo out; echo err >&2; printf tail; exit 7"]);
    let (text, exit) = home.run(&container).await;
    assert_eq!(exit.code, 7, "{exit:?}");
    assert_eq!(exit.error, None);
    assert!(!exit.oom_killed);
    let log = std::fs::read_to_string(&container.log.as_ref().expect("a log").path).expect("the log is there");
    let of = |stream: &str| -> String {
        let records = log.lines().map(record).filter(|record| record["stream"] == stream);
        records.map(|record| record["log"].as_str().expect("a text").to_owned()).collect()
    };
    assert_eq!((of("stdout").as_str(), of("stderr").as_str()), ("out\ntail", "err\n"), "{text}");
    assert!(groups(&container.id).is_empty());
}

#[tokio::test]
async fn the_environment_has_what_docker_sets() {
    let home = Home::new();
    let container = home.container(&["env"]);
    let (text, exit) = home.run(&container).await;
    assert_eq!(exit.code, 0);
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(lines, ["HOME=/root", "HOSTNAME=box", path]);
}

#[tokio::test]
async fn a_program_that_is_not_there_or_is_none_is_named_in_dockers_words() {
    let home = Home::new();
    for (program, words, code) in [
        ("nod", r#"exec: "nod": executable file not found in $PATH"#, 127),
        ("/nod", r#"exec: "/nod": stat /nod: no such file or directory"#, 127),
        ("/etc/data", r#"exec: "/etc/data": permission denied"#, 126),
        ("/etc", r#"exec: "/etc": is a directory"#, 126),
        ("garbage", "exec /bin/garbage: exec format error", 126),
    ] {
        let container = home.container(&[program]);
        let error = home.refusal(&container).await;
        assert_eq!(error, Error::Invalid(words.into()));
        assert_eq!(process::failure_code(&error), code, "{program}");
        assert!(groups(&container.id).is_empty(), "{program}");
        assert!(!home.layout.runtime(&container.id).exists(), "{program}");
    }
}

#[tokio::test]
async fn an_image_with_nothing_but_a_program_needs_no_path() {
    let home = Home::new();
    let mut container = home.container(&["/hello"]);
    let image = home.path("scratch");
    std::fs::create_dir(&image).expect("a folder can be made");
    std::fs::copy("/bin/busybox", image.join("hello")).expect("a static busybox is installed");
    if let Rootfs::Layers { lower, .. } = &mut container.rootfs {
        *lower = vec![image];
    }
    let (text, exit) = home.run(&container).await;
    // Busybox knows no command of that name: it has been executed.
    assert!(text.contains("applet not found"), "{text}");
    assert_eq!(exit.code, 127);
}

#[tokio::test]
async fn the_user_is_found_by_name_with_groups_and_home_and_has_no_capabilities() {
    let home = Home::new();
    let mut container = home.container(&["sh", "-c", "id; echo $HOME; grep Cap /proc/self/status; cat /etc/shadow"]);
    std::fs::write(home.image().join("etc/shadow"), "secret").expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(home.image().join("etc/shadow"), mode).expect("it is there");
    container.user = "jo".into();
    container.group_add = vec!["1234".into()];
    let (text, exit) = home.run(&container).await;
    assert_eq!(exit.code, 1, "{text}");
    assert!(
        text.contains("uid=1000(jo) gid=1000(jo)") && text.contains("77(extra)") && text.contains("1234"),
        "{text}"
    );
    assert!(text.contains("/home/jo\n"), "{text}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(text.contains(&format!("{set}:\t0000000000000000")), "{set}: {text}");
    }
    assert!(!text.contains("secret"));
    container = home.container(&["true"]);
    container.user = "nobody-here".into();
    let error = home.refusal(&container).await;
    assert!(error.to_string().contains("nobody-here"), "{error}");
}

#[tokio::test]
async fn the_superuser_has_dockers_capabilities_and_no_others() {
    let home = Home::new();
    let container = home.container(&["grep", "-E", "Cap|NoNewPrivs|Seccomp:", "/proc/self/status"]);
    let (text, _) = home.run(&container).await;
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert!(text.contains(&format!("{set}:\t00000000a80425fb")), "{set}: {text}");
    }
    assert!(text.contains("CapInh:\t0000000000000000") && text.contains("CapAmb:\t0000000000000000"), "{text}");
    assert!(text.contains("NoNewPrivs:\t0") && text.contains("Seccomp:\t2"), "{text}");
}

#[tokio::test]
async fn no_new_privileges_are_none() {
    let home = Home::new();
    let host = HostConfig { security_opt: Some(vec!["no-new-privileges".into()]), ..Default::default() };
    let container = home.with(&["grep", "-E", "NoNewPrivs|Seccomp:", "/proc/self/status"], &host);
    let (text, _) = home.run(&container).await;
    assert!(text.contains("NoNewPrivs:\t1") && text.contains("Seccomp:\t2"), "{text}");
}

#[tokio::test]
async fn a_broken_pipe_ends_a_program_and_no_signal_is_ignored_or_blocked() {
    let home = Home::new();
    let container = home.container(&["sh", "-c", "yes | head -n 1; echo over"]);
    assert_eq!(home.run(&container).await.0, "y\nover\n");
    let container = home.container(&["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]);
    let (text, exit) = home.run(&container).await;
    assert_eq!(exit.code, 0);
    let mask = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("it is told");
        // Those above are the C library's own.
        u64::from_str_radix(line.trim(), 16).expect("a number") & 0x7fff_ffff
    };
    assert_eq!((mask("SigBlk:"), mask("SigIgn:")), (0, 0), "{text}");
}

#[tokio::test]
async fn nothing_of_the_shim_is_open_in_the_container() {
    let home = Home::new();
    for init in [false, true] {
        let mut container = home.container(&["sh", "-c", "ls -l /proc/self/fd; ls -l /proc/1/fd"]);
        container.init = init;
        let (text, _) = home.run(&container).await;
        let open = text.lines().filter(|line| line.contains(" -> "));
        // Its streams, and the folder that is being listed.
        let mut others =
            open.filter(|line| ![" 0 -> ", " 1 -> ", " 2 -> ", "/fd"].iter().any(|known| line.contains(known)));
        // The reaper's own.
        assert!(others.all(|line| init && line.ends_with("[signalfd]")), "init {init}: {text}");
    }
}

#[tokio::test]
async fn a_process_one_of_the_engines_own_reaps_and_passes_signals_on() {
    let home = Home::new();
    let script = "trap 'echo caught; exit 3' TERM; (sleep 0.01 &) ; echo ready; while true; do sleep 0.05; done";
    let mut container = home.container(&["sh", "-c", script]);
    container.init = true;
    container.hold_output = true;
    let running = home.start(&container).await;
    let mut attached = running.attach().await.expect("it runs");
    super::home::until(&mut attached, "ready").await;
    let zombies = |pids: Vec<u32>| {
        let state = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        pids.into_iter().filter(|pid| state(*pid).contains(") Z ")).count()
    };
    assert_eq!(zombies(running.processes().await.expect("it runs")), 0);
    running.signal(15).await.expect("it runs");
    assert_eq!(end(&running).await.code, 3);
    assert!(output(&container).ends_with("caught\n"));
    let mut missing = home.container(&["nod"]);
    missing.init = true;
    let error = home.refusal(&missing).await;
    assert_eq!(process::failure_code(&error), 127, "{error}");
}

#[tokio::test]
async fn a_signal_ends_it_with_its_number() {
    let home = Home::new();
    let container = home.container(&["sleep", "1000"]);
    let running = home.start(&container).await;
    running.signal(9).await.expect("it runs");
    assert_eq!(end(&running).await.code, 137);
    let error = running.signal(9).await.expect_err("it has ended");
    assert!(matches!(error, Error::Conflict(_)), "{error:?}");
}

#[tokio::test]
async fn an_empty_volume_is_filled_and_the_working_directory_is_made() {
    let home = Home::new();
    let mut container = home.container(&["pwd"]);
    let volume = home.path("volume");
    std::fs::create_dir(&volume).expect("a folder can be made");
    container.populate = vec![(volume.clone(), "/etc".into())];
    let mut process = container.spec.process().clone().expect("it has a process");
    process.set_cwd("/work/deep".into());
    container.spec.set_process(Some(process));
    let (text, exit) = home.run(&container).await;
    assert_eq!((text.as_str(), exit.code), ("/work/deep\n", 0));
    assert!(volume.join("passwd").exists());
}

#[tokio::test]
async fn a_container_can_be_started_again_over_what_it_wrote() {
    let home = Home::new();
    let container = home.container(&["sh", "-c", "test -e /mark && echo again; touch /mark"]);
    home.run(&container).await;
    let (text, exit) = home.run(&container).await;
    assert_eq!((text.as_str(), exit.code), ("again\n", 0));
}

#[tokio::test]
async fn system_calls_that_docker_withholds_are_withheld() {
    let home = Home::new();
    let script =
        "unshare -r true 2>&1; unshare -m true 2>&1; mount -t tmpfs none /tmp 2>&1; (echo thread; sleep 0.01) & wait";
    let host = HostConfig { cap_add: Some(vec!["SYS_PTRACE".into()]), ..Default::default() };
    let mut container = home.with(&["sh", "-c", script], &host);
    let (text, _) = home.run(&container).await;
    assert_eq!(
        text.to_lowercase().matches("not permitted").count() + text.matches("permission denied").count(),
        3,
        "{text}"
    );
    assert!(text.ends_with("thread\n"), "{text}");
    container = home.container(&["unshare", "-r", "true"]);
    container.seccomp = hoist::embedded::process::Seccomp::Unconfined;
    let (text, exit) = home.run(&container).await;
    assert_eq!(exit.code, 0, "{text}");
}
