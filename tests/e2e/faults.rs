//! What goes wrong, and how it is told and survived.

use std::fs::File;
use std::net::TcpListener;

use rustix::process::Signal;

use crate::support::engine::PrivateEngine;
use crate::support::{Project, free_port};

const ONE: &str = "
services:
  app:
    image: hoist-test/busybox
    command: sh -c 'echo begun; exec sleep 1000'
    stop_signal: SIGKILL
";

#[test]
fn a_run_survives_the_engine_s_stop_and_finds_its_containers_again() {
    let Some(mut engine) = PrivateEngine::start() else { return };
    let project = Project::on(engine.handle(), &format!("{ONE}    restart: always\n"));
    let session = project.up();
    session.wait_for("begun");
    let mark = session.mark();
    engine.stop();
    session.wait_from(mark, "engine");
    session.assert_running();
    engine.resume();
    project.eventually("the service runs again", || {
        session.assert_running();
        project.containers().iter().any(crate::support::engine::Container::runs)
    });
    // An engine may keep its containers running while it is away: that one runs says nothing about the connection.
    session.wait_from(mark, "the engine answers again");
    session.signal(Signal::INT);
    assert_eq!(session.exit_code(), Some(130), "{}", session.said());
    assert!(!project.container("app").runs());
    drop(project);
    drop(engine);
}

#[test]
fn an_interrupt_while_the_engine_is_away_stops_the_containers_when_it_is_back() {
    let Some(mut engine) = PrivateEngine::start_embedded() else { return };
    let project = Project::on(engine.handle(), ONE);
    let session = project.up();
    session.wait_for("begun");
    engine.kill();
    session.wait_for("waiting for it");
    session.signal(Signal::INT);
    session.wait_for("to stop what runs");
    engine.resume();
    assert_eq!(session.exit_code(), Some(130), "{}", session.said());
    assert!(!project.container("app").runs());
    drop(project);
    drop(engine);
}

#[test]
fn an_interrupt_while_the_engine_stays_away_says_what_still_runs_and_how_to_end_it() {
    let Some(mut engine) = PrivateEngine::start_embedded() else { return };
    let project = Project::on(engine.handle(), ONE);
    let session = project.up();
    session.wait_for("begun");
    engine.kill();
    session.wait_for("waiting for it");
    session.signal(Signal::TERM);
    let line = session.wait_for("may run on");
    assert!(line.contains("`app-1`"), "{line}");
    assert_eq!(session.exit_code(), Some(1), "{}", session.said());
    session.wait_for("hoist down");
    engine.resume();
    assert!(project.container("app").runs(), "the engine finds it again");
    project.hoist(&["down"]).success();
    assert!(project.containers().is_empty());
    drop(project);
    drop(engine);
}

#[test]
fn the_third_interrupt_ends_a_run_whose_engine_answers_nothing() {
    let Some(engine) = PrivateEngine::start_embedded() else { return };
    let project = Project::on(engine.handle(), ONE);
    let session = project.up();
    session.wait_for("begun");
    engine.freeze();
    for said in ["stopping", "killing"] {
        session.signal(Signal::INT);
        session.wait_for(said);
    }
    session.signal(Signal::INT);
    assert_eq!(session.exit_code(), Some(130), "{}", session.said());
    engine.thaw();
    project.hoist(&["down"]).success();
    drop(project);
    drop(engine);
}

#[test]
fn an_engine_that_is_not_there_is_an_error_with_a_next_step() {
    let project = Project::new(ONE).with("DOCKER_HOST", "unix:///nowhere/engine.sock");
    for command in [&["up", "-d"][..], &["ps"], &["down"]] {
        project.hoist(command).exits_with(1).says(&["/nowhere/engine.sock", "hint"]);
    }
}

#[test]
fn a_container_killed_from_outside_is_told_and_started_again_when_its_policy_says_so() {
    let project = Project::new(&format!(
        "{ONE}    restart: always\n  other:\n    image: hoist-test/busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n"
    ));
    let session = project.up();
    session.wait_for("begun");
    let other = project.container("other");
    project.engine().docker(&["kill", &other.id]).success();
    let line = session.wait_for("137");
    assert!(line.contains("other"), "{line}");
    session.assert_running();
    assert!(project.container("app").runs());
}

#[test]
fn a_container_removed_from_outside_does_not_end_the_run() {
    let project = Project::new(&format!(
        "{ONE}  other:\n    image: hoist-test/busybox\n    command: sleep 1000\n    stop_signal: SIGKILL\n"
    ));
    let session = project.up();
    session.wait_for("begun");
    project.engine().docker(&["rm", "-f", &project.container("other").id]).success();
    session.wait_for("other");
    session.assert_running();
    session.signal(Signal::INT);
    assert_eq!(session.exit_code(), Some(130), "{}", session.said());
}

#[test]
fn after_a_kill_of_hoist_the_next_up_takes_over_what_is_there() {
    let project = Project::new(
        "
services:
  slow:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: { test: [CMD, test, -e, /tmp/ready], interval: 200ms, retries: 1000 }
  late:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: { slow: { condition: service_healthy } }
",
    );
    let session = project.start(&["up"]);
    project.eventually("the first service runs", || {
        project.containers().iter().any(|container| container.service == "slow" && container.runs())
    });
    session.signal(Signal::KILL);
    assert_eq!(session.exit_code(), None);
    let before = project.container("slow");
    assert!(before.runs(), "containers outlive hoist");
    project.hoist(&["exec", "-T", "slow", "touch", "/tmp/ready"]).success();
    project.hoist(&["up", "-d", "--wait"]).success();
    let after = project.container("slow");
    assert_eq!((after.id, after.started_at), (before.id, before.started_at));
    assert!(project.container("late").runs());
    project.hoist(&["down"]).success();
    assert!(project.containers().is_empty());
}

#[test]
fn after_a_kill_in_the_middle_of_a_replacement_one_container_is_left() {
    let manifest = "
services:
  app: { image: hoist-test/busybox, command: sh -c 'trap true TERM; while :; do sleep 0.1; done', stop_grace_period: 2s, environment: { A: first } }
";
    let project = Project::new(manifest);
    project.hoist(&["up", "-d"]).success();
    project.write("compose.yaml", &manifest.replace("first", "second"));
    let session = project.start(&["up", "-d"]);
    project.eventually("the replacement is under way", || {
        let containers = project.containers();
        containers.len() > 1 || containers.iter().any(|one| !one.runs())
    });
    session.signal(Signal::KILL);
    assert_eq!(session.exit_code(), None);
    project.hoist(&["up", "-d", "--wait"]).success();
    let app = project.container("app");
    assert!(app.runs());
    assert_eq!(app.name, format!("{}-app-1", project.name()));
    assert!(app.raw["Config"]["Env"].to_string().contains("A=second"));
}

#[test]
fn a_dockerfile_that_fails_shows_its_step_and_its_words() {
    let project =
        Project::new("services:\n  app: { build: . }\n  web: { image: hoist-test/busybox, depends_on: [app] }\n");
    project.write("Dockerfile", "FROM hoist-test/busybox\nRUN echo unexpected token && exit 3\n");
    project.hoist(&["up", "-d"]).exits_with(1).says(&["app", "unexpected token", "3"]);
    project.hoist(&["build"]).exits_with(1).says(&["app", "unexpected token"]);
    project.write("Dockerfile", "FORM hoist-test/busybox\n");
    project.hoist(&["build"]).exits_with(1).says(&["FORM"]);
}

#[test]
fn a_port_that_a_process_holds_is_named_with_its_holder() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind to any port");
    let port = listener.local_addr().expect("a bound listener has an address").port();
    let project = Project::new(&format!("{ONE}    ports: ['127.0.0.1:{port}:80']\n"));
    let pid = std::process::id().to_string();
    project.hoist(&["up", "-d"]).exits_with(1).says(&["app", &port.to_string(), &pid]);
}

#[test]
fn a_port_that_a_container_holds_is_named_with_its_holder() {
    let port = free_port();
    let manifest = format!("{ONE}    ports: ['127.0.0.1:{port}:80']\n");
    let (first, second) = (Project::new(&manifest), Project::new(&manifest));
    first.hoist(&["up", "-d"]).success();
    let holder = first.container("app").name;
    second.hoist(&["up", "-d"]).exits_with(1).says(&[&port.to_string(), &holder]);
}

#[test]
fn paths_that_do_not_exist_are_named() {
    let project = Project::new("services:\n  app: { build: ./not-there }\n");
    project.hoist(&["up", "-d"]).fails().says(&["not-there"]);
    project.write("compose.yaml", "services:\n  app: { image: hoist-test/busybox, env_file: [missing.env] }\n");
    project.hoist(&["up", "-d"]).fails().says(&["missing.env"]);
    let bind = "{ type: bind, source: ./no-folder, target: /x, bind: { create_host_path: false } }";
    project.write("compose.yaml", &format!("services:\n  app: {{ image: hoist-test/busybox, volumes: [{bind}] }}\n"));
    project.hoist(&["up", "-d"]).fails().says(&["no-folder"]);
    let secret =
        "services:\n  app: { image: hoist-test/busybox, secrets: [s] }\nsecrets: { s: { file: ./no-secret } }\n";
    project.write("compose.yaml", secret);
    project.hoist(&["up", "-d"]).fails().says(&["no-secret"]);
    project.hoist(&["-f", "no-manifest.yaml", "up", "-d"]).says(&["no-manifest.yaml"]);
}

#[test]
fn a_needed_service_that_exits_at_once_fails_the_run_with_its_last_words() {
    let project = Project::new(
        "
services:
  db: { image: hoist-test/busybox, command: sh -c 'echo no disk left >&2; exit 3' }
  web:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: { db: { condition: service_completed_successfully } }
",
    );
    project.hoist(&["up", "-d"]).exits_with(1).says(&["db", "web", "3", "no disk left"]);
    assert!(!project.containers().iter().any(|one| one.service == "web" && one.runs()));
}

#[test]
fn a_needed_service_that_is_never_healthy_fails_the_run() {
    let project = Project::new(
        "
services:
  db:
    image: hoist-test/busybox
    command: sh -c 'echo waiting for nothing; exec sleep 1000'
    stop_signal: SIGKILL
    healthcheck: { test: [CMD, 'false'], interval: 100ms, retries: 2 }
  web: { image: hoist-test/busybox, depends_on: { db: { condition: service_healthy } } }
",
    );
    project.hoist(&["up", "-d"]).exits_with(1).says(&["db", "unhealthy", "waiting for nothing"]);
}

#[test]
fn a_command_that_is_not_in_the_image_is_an_error_that_names_it() {
    let project = Project::new("services:\n  app: { image: hoist-test/busybox, command: not-a-program }\n");
    project.hoist(&["up", "-d"]).exits_with(1).says(&["app", "not-a-program"]);
}

#[test]
fn sigterm_stops_all_as_an_interrupt_does() {
    let project = Project::new(
        "services:\n  app: { image: hoist-test/busybox, command: sh -c 'trap \"echo leaving; exit 0\" TERM; echo ready; while :; do sleep 0.05; done' }\n",
    );
    let session = project.up();
    session.wait_for("ready");
    session.signal(Signal::TERM);
    assert!(matches!(session.exit_code(), Some(130 | 143)), "{}", session.said());
    let app = project.container("app");
    assert_eq!((app.status.as_str(), app.exit_code), ("exited", 0));
    session.wait_for("leaving");
}

#[test]
fn an_excluded_file_of_a_gigabyte_costs_nothing() {
    let project = Project::new("services:\n  app: { build: ., command: sleep 1000, stop_signal: SIGKILL }\n");
    project.write("Dockerfile", "FROM hoist-test/busybox\nCOPY . /app\n");
    project.write(".dockerignore", "*.img\n");
    project.write("kept", "");
    let huge = File::create(project.path("disk.img")).expect("create a file");
    huge.set_len(1 << 30).expect("make it sparse");
    let output = project.hoist(&["up", "-d"]).success();
    assert!(output.took.as_secs() < 20, "{output}");
    assert_eq!(project.hoist(&["exec", "-T", "app", "ls", "/app"]).success().stdout.matches("disk.img").count(), 0);
}

#[test]
fn two_projects_do_not_touch_each_other() {
    let (first, second) = (Project::new(ONE), Project::new(ONE));
    first.hoist(&["up", "-d"]).success();
    second.hoist(&["up", "-d"]).success();
    first.hoist(&["down"]).success();
    assert!(first.containers().is_empty());
    assert!(second.container("app").runs());
}

#[test]
fn a_closed_pipe_ends_the_reader_quietly() {
    let project = Project::new("services:\n  app: { image: hoist-test/busybox, command: sh -c 'seq 1 2000' }\n");
    project.hoist(&["up", "-d"]).success();
    project.eventually("it has ended", || project.container("app").status == "exited");
    let script = format!("'{}' logs --no-log-prefix | head -n 1", crate::support::binary().display());
    let output = project.shell(&script).success();
    assert_eq!(output.lines().len(), 1, "{output}");
    assert!(!output.stderr.contains("panic"), "{output}");
}
