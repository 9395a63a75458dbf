//! Commands in containers that run.

use bytes::Bytes;
use hoist::embedded::error::Error;
use hoist::embedded::process::{self, Exec, Running};

use super::home::{Home, PATIENCE, alive, command, end, eventually, rest, until};

async fn run(home: &Home, running: &Running, what: &process::ExecProcess) -> (String, i64) {
    let mut exec = running.exec(&home.layout, what).await.expect("the command starts");
    let text = rest(&mut exec.attached).await;
    (text, code(exec).await)
}

async fn code(exec: Exec) -> i64 {
    tokio::time::timeout(PATIENCE, exec.exit).await.expect("it ends").expect("it is told").code
}

#[tokio::test]
async fn a_command_sees_what_the_container_sees() {
    let home = Home::new();
    let container = home.container(&["sleep", "1000"]);
    let running = home.start(&container).await;
    let script =
        "for kind in pid mnt uts ipc net cgroup; do readlink /proc/self/ns/$kind; readlink /proc/1/ns/$kind; done";
    let (text, status) = run(&home, &running, &command(&["sh", "-c", script])).await;
    assert_eq!(status, 0);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 12, "{text}");
    assert!(lines.chunks(2).all(|pair| pair[0] == pair[1]), "{text}");
    let own = std::fs::read_link("/proc/self/ns/pid").expect("this process has one");
    assert_ne!(lines[0], own.to_string_lossy());
    let (text, status) =
        run(&home, &running, &command(&["sh", "-c", "hostname; echo $A$HOME; cat /proc/1/comm; exit 9"])).await;
    assert_eq!((text.as_str(), status), ("box\n1/root\nsleep\n", 9));
    let (text, _) =
        run(&home, &running, &command(&["grep", "-E", "Cap(Eff|Bnd)|Seccomp:|NoNewPrivs", "/proc/self/status"])).await;
    assert!(text.contains("CapEff:\t00000000a80425fb") && text.contains("CapBnd:\t00000000a80425fb"), "{text}");
    assert!(text.contains("NoNewPrivs:\t0") && text.contains("Seccomp:\t2"), "{text}");
    running.signal(9).await.expect("it runs");
    end(&running).await;
}

#[tokio::test]
async fn a_command_has_a_user_a_folder_and_privileges_of_its_own() {
    let home = Home::new();
    let container = home.container(&["sleep", "1000"]);
    let running = home.start(&container).await;
    let mut what = command(&["sh", "-c", "id -u; pwd; echo $HOME"]);
    (what.user, what.working_directory) = ("jo".into(), "/etc".into());
    assert_eq!(run(&home, &running, &what).await, ("1000\n/etc\n/home/jo\n".into(), 0));
    let mut what = command(&["grep", "CapEff", "/proc/self/status"]);
    what.privileged = true;
    let own = std::fs::read_to_string("/proc/self/status").expect("this process has a status");
    let own = own.lines().find(|line| line.starts_with("CapPrm")).expect("it names them").replace("Prm", "Eff");
    assert_eq!(run(&home, &running, &what).await.0.trim(), own);
    running.signal(9).await.expect("it runs");
    end(&running).await;
}

#[tokio::test]
async fn what_cannot_be_run_is_said_in_dockers_words() {
    let home = Home::new();
    let container = home.container(&["sleep", "1000"]);
    let running = home.start(&container).await;
    for (program, words, code) in [
        ("nod", r#"exec: "nod": executable file not found in $PATH"#, 127),
        ("/etc/data", r#"exec: "/etc/data": permission denied"#, 126),
        ("garbage", "exec /bin/garbage: exec format error", 126),
    ] {
        let error = running.exec(&home.layout, &command(&[program])).await.expect_err("it cannot run");
        assert_eq!(error, Error::Invalid(words.into()));
        assert_eq!(process::failure_code(&error), code);
    }
    let mut what = command(&["true"]);
    what.working_directory = "/nowhere".into();
    let error = running.exec(&home.layout, &what).await.expect_err("it cannot run");
    assert!(error.to_string().contains(r#"chdir to cwd ("/nowhere")"#), "{error}");
    assert!(error.to_string().contains("no such file or directory"), "{error}");
    running.signal(9).await.expect("it runs");
    end(&running).await;
    running.exec(&home.layout, &command(&["true"])).await.expect_err("the container has ended");
}

#[tokio::test]
async fn a_command_has_input_and_a_terminal() {
    let home = Home::new();
    let container = home.container(&["sleep", "1000"]);
    let running = home.start(&container).await;
    let mut what = command(&["cat"]);
    what.stdin = true;
    let mut exec = running.exec(&home.layout, &what).await.expect("it starts");
    let input = exec.attached.input.take().expect("it is open");
    input.send("in and out".into()).await.expect("it reads");
    drop(input);
    assert_eq!(rest(&mut exec.attached).await, "in and out");
    assert_eq!(code(exec).await, 0);
    let mut what = command(&[
        "sh",
        "-c",
        "tty; while [ \"$(stty size)\" != '21 71' ]; do stty size; sleep 0.01; done; read line; exit 6",
    ]);
    (what.stdin, what.terminal) = (true, Some((70, 20)));
    let mut exec = running.exec(&home.layout, &what).await.expect("it starts");
    let text = until(&mut exec.attached, "20 70").await;
    assert!(text.contains("/dev/pts/"), "{text}");
    exec.resize.send((71, 21)).await.expect("it runs");
    let input = exec.attached.input.clone().expect("it is open");
    input.send(Bytes::from_static(b"\n")).await.expect("it reads");
    assert_eq!(code(exec).await, 6);
    running.signal(9).await.expect("it runs");
    end(&running).await;
}

#[tokio::test]
async fn many_commands_run_at_once() {
    let home = Home::new();
    let container = home.container(&["sleep", "1000"]);
    let running = home.start(&container).await;
    let all = (0..16).map(|number| {
        let (home, running) = (&home, &running);
        async move {
            let number = number.to_string();
            let (text, status) = run(home, running, &command(&["sh", "-c", "echo $0; exit $0", &number])).await;
            assert_eq!((text.trim(), status.to_string()), (number.as_str(), number.clone()));
        }
    });
    futures_util::future::join_all(all).await;
    running.signal(9).await.expect("it runs");
    end(&running).await;
}

#[tokio::test]
async fn a_command_goes_on_without_its_client_and_ends_with_the_container() {
    let home = Home::new();
    let container = home.container(&["sleep", "1000"]);
    let running = home.start(&container).await;
    let exec =
        running.exec(&home.layout, &command(&["sh", "-c", "sleep 0.1; echo late; touch /mark; sleep 1000"])).await;
    let pid = exec.expect("it starts").pid;
    let mark = match &container.rootfs {
        hoist::embedded::root::Rootfs::Layers { upper, .. } => upper.join("mark"),
        hoist::embedded::root::Rootfs::Machine { .. } => unreachable!("it has layers"),
    };
    eventually("the command goes on", || mark.exists()).await;
    assert!(alive(pid));
    running.signal(9).await.expect("it runs");
    end(&running).await;
    eventually("the command ends", || !alive(pid)).await;
}

#[tokio::test]
async fn a_command_comes_to_its_end_however_early_its_container_does() {
    let home = Home::new();
    let container = home.container(&["sleep", "1000"]);
    for round in 0..15 {
        let running = home.start(&container).await;
        let commands = (0..4).map(|_| {
            let (home, running) = (&home, &running);
            async move {
                // Whether it still starts is a matter of luck.
                if let Ok(mut exec) = running.exec(&home.layout, &command(&["cat", "/etc/passwd"])).await {
                    rest(&mut exec.attached).await;
                    code(exec).await;
                }
            }
        });
        let ended = async {
            tokio::time::sleep(std::time::Duration::from_millis(4 * round)).await;
            running.signal(9).await.expect("it runs");
            end(&running).await;
        };
        let all = futures_util::future::join(futures_util::future::join_all(commands), ended);
        tokio::time::timeout(PATIENCE, all).await.expect("all of it comes to its end");
    }
}
