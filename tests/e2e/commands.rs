//! Commands on a project that runs.

use rustix::process::Signal;

use crate::support::Project;

const PAIR: &str = "
services:
  db: { image: hoist-test/busybox, command: sh -c 'echo db is there; exec sleep 1000', stop_signal: SIGKILL }
  web:
    image: hoist-test/busybox
    command: sh -c 'echo web one; echo web two; exec sleep 1000'
    stop_signal: SIGKILL
    environment: { COLOUR: red }
    depends_on: [db]
";

fn running(manifest: &str) -> Project {
    let project = Project::new(manifest);
    project.hoist(&["up", "-d"]).success();
    project
}

#[test]
fn ps_lists_what_runs_and_with_all_what_has_ended() {
    let project = running(&format!("{PAIR}  job: {{ image: hoist-test/busybox, command: sh -c 'exit 3' }}\n"));
    project.eventually("the job has ended", || project.container("job").status == "exited");
    let names = |arguments: &[&str]| {
        let output = project.hoist(arguments).success();
        output.lines().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&["ps", "--services"]), ["db", "web"]);
    assert_eq!(names(&["ps", "-a", "--services"]), ["db", "job", "web"]);
    assert_eq!(names(&["ps", "-q"]).len(), 2);
    let table = project.hoist(&["ps"]).success().says(&["NAME", "IMAGE", "SERVICE", "STATUS"]);
    assert!(!table.stdout.contains("-job-1"), "{table}");
    project.hoist(&["ps", "-a"]).success().says(&["-job-1", "Exited (3)"]);
}

#[test]
fn ps_as_json_is_an_object_a_line_with_docker_compose_s_keys() {
    let project = running(PAIR);
    let output = project.hoist(&["ps", "--format", "json"]).success();
    let lines = output.lines();
    assert_eq!(lines.len(), 2, "{output}");
    let web: serde_json::Value = serde_json::from_str(lines[1]).expect("a line is an object");
    assert_eq!(web["Name"], format!("{}-web-1", project.name()));
    assert_eq!(web["Service"], "web");
    assert_eq!(web["State"], "running");
    assert_eq!(web["Project"], project.name());
    assert_eq!(web["ExitCode"], 0);
    assert_eq!(web["ID"].as_str(), Some(&project.container("web").id[..12]));
}

#[test]
fn logs_are_prefixed_and_can_be_narrowed() {
    let project = running(PAIR);
    project.eventually("all is logged", || project.hoist(&["logs"]).success().stdout.lines().count() == 3);
    let all = project.hoist(&["logs"]).success();
    assert!(all.lines().iter().any(|line| line.starts_with("web ") && line.ends_with("| web one")), "{all}");
    assert!(all.lines().iter().any(|line| line.starts_with("db ") && line.ends_with("| db is there")), "{all}");
    assert_eq!(project.hoist(&["logs", "--no-log-prefix", "--tail", "1", "web"]).success().lines(), ["web two"]);
    let timed = project.hoist(&["logs", "-t", "--no-log-prefix", "db"]).success();
    assert!(timed.lines()[0].starts_with("20"), "{timed}");
}

#[test]
fn followed_logs_go_on_until_the_interrupt() {
    let project = running(
        "services:\n  app: { image: hoist-test/busybox, command: sh -c 'while :; do echo tick; sleep 0.1; done', stop_signal: SIGKILL }\n",
    );
    let session = project.start(&["logs", "-f"]);
    session.wait_for("tick");
    let mark = session.mark();
    session.wait_from(mark, "tick");
    session.signal(Signal::INT);
    assert_eq!(session.exit_code(), Some(130));
    assert!(project.container("app").runs());
}

#[test]
fn followed_logs_end_with_the_last_container() {
    let project =
        running("services:\n  app: { image: hoist-test/busybox, command: sh -c 'echo begun; sleep 1; echo done' }\n");
    let session = project.start(&["logs", "-f"]);
    assert_eq!(session.exit_code(), Some(0));
    session.wait_for("done");
}

#[test]
fn exec_gives_the_command_s_output_and_code() {
    let project = running(PAIR);
    let output = project.hoist(&["exec", "-T", "web", "sh", "-c", "echo out; echo err >&2; exit 7"]).exits_with(7);
    assert_eq!((output.stdout.as_str(), output.stderr.trim()), ("out\n", "err"));
    let set = project.hoist(&["exec", "-T", "-e", "COLOUR=blue", "-w", "/tmp", "web", "sh", "-c", "echo $COLOUR; pwd"]);
    assert_eq!(set.success().lines(), ["blue", "/tmp"]);
    let user = project.hoist(&["exec", "-T", "-u", "1000", "web", "id", "-u"]).success();
    assert_eq!(user.lines(), ["1000"]);
    project.hoist(&["exec", "-T", "wbe", "true"]).fails().says(&["`wbe`", "`web`"]);
    project.hoist(&["stop", "web"]).success();
    project.hoist(&["exec", "-T", "web", "true"]).exits_with(1).says(&["web"]);
}

#[test]
fn run_is_a_container_beside_the_service_with_what_it_needs() {
    let project = Project::new(PAIR);
    let output =
        project.hoist(&["run", "--rm", "-T", "-e", "SIZE=big", "web", "sh", "-c", "echo $COLOUR $SIZE; exit 5"]);
    let output = output.exits_with(5);
    assert_eq!(output.stdout, "red big\n");
    assert!(project.container("db").runs(), "what it needs was started");
    assert!(project.containers().iter().all(|one| one.service == "db"), "and it is gone itself");
    project.hoist(&["run", "--no-deps", "-T", "--name", &format!("{}-kept", project.name()), "web", "true"]).success();
    assert_eq!(project.container("web").label("com.docker.compose.oneoff"), "True");
    let up = project.hoist(&["up", "-d"]).success();
    assert_eq!(project.containers().len(), 3, "one-off containers are no replicas: {up}");
    project.hoist(&["down", "--remove-orphans"]).success();
    assert!(project.containers().is_empty());
}

#[test]
fn cp_copies_both_ways() {
    let project = running(PAIR);
    project.write("here/file", "there and back");
    project.hoist(&["cp", "here/file", "web:/tmp/file"]).success();
    assert_eq!(project.hoist(&["exec", "-T", "web", "cat", "/tmp/file"]).success().stdout, "there and back");
    project.hoist(&["cp", "web:/tmp/file", "back"]).success();
    assert_eq!(project.read("back"), "there and back");
    project.hoist(&["cp", "here", "web:/tmp/folder"]).success();
    assert_eq!(project.hoist(&["exec", "-T", "web", "cat", "/tmp/folder/file"]).success().stdout, "there and back");
    project.hoist(&["cp", "web:/not/there", "."]).exits_with(1);
    project.hoist(&["cp", "nowhere", "web:/tmp"]).exits_with(1).says(&["nowhere"]);
}

#[test]
fn wait_ends_with_the_service_and_takes_its_code() {
    let project = running("services:\n  job: { image: hoist-test/busybox, command: sh -c 'sleep 1; exit 4' }\n");
    project.hoist(&["wait", "job"]).exits_with(4);
    project.hoist(&["wait", "job"]).exits_with(4);
}

#[test]
fn kill_sends_its_signal() {
    let manifest = "
services:
  app:
    image: hoist-test/busybox
    command: sh -c 'trap \"echo reloaded\" HUP; while :; do sleep 0.05; done'
";
    let project = running(manifest);
    project.hoist(&["kill", "-s", "SIGHUP"]).success();
    project.eventually("the signal arrived", || project.hoist(&["logs"]).stdout.contains("reloaded"));
    project.hoist(&["kill", "app"]).success();
    project.eventually("it is killed", || project.container("app").exit_code == 137);
}

#[test]
fn stop_start_and_restart_keep_the_containers() {
    let project = running(PAIR);
    let before = project.container("web");
    project.hoist(&["stop", "web"]).success();
    assert_eq!(project.container("web").status, "exited");
    assert!(project.container("db").runs());
    project.hoist(&["start", "web"]).success();
    let started = project.container("web");
    assert!(started.runs() && started.started_at > before.started_at);
    project.hoist(&["restart", "web"]).success();
    let restarted = project.container("web");
    assert!(restarted.runs() && restarted.started_at > started.started_at);
    assert_eq!(restarted.id, before.id);
    assert_eq!(project.hoist(&["stop"]).success().code, Some(0));
    assert!(project.containers().iter().all(|one| one.status == "exited"));
}

#[test]
fn a_service_that_is_not_there_is_refused_with_the_nearest_name() {
    let project = Project::new(PAIR);
    let commands = ["up", "stop", "start", "restart", "kill", "logs", "build", "pull", "wait", "why", "plan"];
    let told = |command: &&str| {
        let output = project.hoist(&[command, "dbb"]).fails();
        output.stderr.contains("`dbb`") && output.stderr.contains("`db`")
    };
    let silent: Vec<_> = commands.iter().filter(|command| !told(command)).collect();
    assert!(silent.is_empty(), "these do not name the nearest: {silent:?}");
}

#[test]
fn build_makes_images_and_starts_nothing() {
    let project = Project::new("services:\n  app: { build: { context: ., target: last, args: { WORD: hello } } }\n");
    project.write(
        "Dockerfile",
        "FROM hoist-test/busybox AS first\nARG WORD\nRUN echo $WORD > /word\nFROM first AS last\nENV LAST=yes\nFROM first\n",
    );
    project.hoist(&["build"]).success();
    let image = format!("{}-app", project.name());
    assert!(project.engine().image(&image).is_some());
    assert!(project.containers().is_empty());
    let inside = project.engine().docker(&["run", "--rm", &image, "sh", "-c", "cat /word; echo $LAST"]).success();
    assert_eq!(inside.lines(), ["hello", "yes"]);
}

#[test]
fn pulling_what_no_registry_has_is_an_error_that_names_the_image() {
    let project = Project::new("services:\n  app: { image: 'localhost:1/no/such:image' }\n");
    project.hoist(&["pull"]).exits_with(1).says(&["localhost:1/no/such:image"]);
    project.hoist(&["up", "-d"]).exits_with(1).says(&["localhost:1/no/such:image"]);
}
