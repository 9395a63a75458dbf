//! `up` as people run it: attached, with logs, until an interrupt or an end.

use rustix::process::Signal;

use crate::support::Project;

const POLITE: &str = "sh -c 'trap \"echo leaving; exit 0\" TERM; echo ready; while :; do sleep 0.05; done'";

fn pair() -> Project {
    Project::new(&format!(
        "
services:
  db: {{ image: hoist-test/busybox, command: {POLITE} }}
  web: {{ image: hoist-test/busybox, command: {POLITE}, depends_on: [db] }}
"
    ))
}

#[test]
fn lines_carry_their_service_and_an_interrupt_stops_all_in_reverse_order() {
    let project = pair();
    let session = project.up();
    let line = session.wait_for("ready");
    assert!(line.starts_with("db") || line.starts_with("web"), "{line}");
    assert!(line.ends_with("| ready"), "{line}");
    project.eventually("both are ready", || session.count("| ready") == 2);
    session.signal(Signal::INT);
    assert_eq!(session.exit_code(), Some(130), "{}", session.said());
    let (db, web) = (project.container("db"), project.container("web"));
    assert_eq!((db.status.as_str(), web.status.as_str()), ("exited", "exited"));
    assert_eq!((db.exit_code, web.exit_code), (0, 0), "{}", session.said());
    assert!(web.finished_at <= db.finished_at);
}

#[test]
fn a_second_interrupt_kills() {
    let project = Project::new(
        "services:\n  deaf: { image: hoist-test/busybox, command: sh -c 'trap \"echo no\" TERM; echo ready; while :; do sleep 0.05; done', stop_grace_period: 80s }\n",
    );
    let session = project.up();
    session.wait_for("ready");
    session.signal(Signal::INT);
    session.wait_for("| no");
    session.signal(Signal::INT);
    assert_eq!(session.exit_code(), Some(130), "{}", session.said());
    project.eventually("it is killed", || project.container("deaf").exit_code == 137);
}

#[test]
fn a_run_ends_when_everything_has_ended() {
    let project =
        Project::new("services:\n  job: { image: hoist-test/busybox, command: sh -c 'echo did it; exit 3' }\n");
    let output = project.hoist(&["up", "--no-watch"]).success();
    assert!(output.stdout.contains("did it"), "the lines of containers are data: {output}");
}

#[test]
fn abort_on_container_exit_stops_the_others_and_takes_the_code() {
    let project = Project::new(&format!(
        "
services:
  test: {{ image: hoist-test/busybox, command: sh -c 'sleep 0.5; exit 7' }}
  db: {{ image: hoist-test/busybox, command: {POLITE} }}
"
    ));
    project.hoist(&["up", "--abort-on-container-exit"]).exits_with(7);
    assert!(project.containers().iter().all(|one| one.status == "exited"));
}

#[test]
fn exit_code_from_takes_the_named_service_s_code() {
    let project = Project::new(
        "
services:
  test: { image: hoist-test/busybox, command: sh -c 'sleep 0.3; exit 4' }
  other: { image: hoist-test/busybox, command: sleep 1000, stop_signal: SIGKILL }
",
    );
    project.hoist(&["up", "--exit-code-from", "test"]).exits_with(4);
}

#[test]
fn a_container_that_dies_is_started_again_by_its_policy() {
    let project = Project::new(
        "
services:
  flaky:
    image: hoist-test/busybox
    command: sh -c 'echo begun; exec sleep 1000'
    stop_signal: SIGKILL
    restart: on-failure
",
    );
    let session = project.up();
    session.wait_for("begun");
    let before = project.container("flaky");
    project.hoist(&["exec", "-T", "flaky", "true"]).success();
    let pid = before.raw["State"]["Pid"].as_i64().expect("a running container has a process").to_string();
    std::process::Command::new("kill").args(["-9", &pid]).status().expect("run kill");
    project.eventually("it runs again", || {
        let now = project.container("flaky");
        now.runs() && now.started_at > before.started_at
    });
    session.assert_running();
    project.eventually("its second life is shown too", || session.count("begun") == 2);
}

#[test]
fn output_that_never_ends_a_line_or_holds_control_characters_is_shown_safely() {
    let project = Project::new(
        "services:\n  app: { image: hoist-test/busybox, command: [sh, -c, 'printf \"\\033[2J\\033]0;title\\007shown\\n\"; printf tail'] }\n",
    );
    let output = project.hoist(&["up", "--no-watch"]).success().says(&["shown", "tail"]);
    assert!(!output.stdout.contains("\u{1b}[2J"), "the screen is not cleared by a service: {output}");
}
