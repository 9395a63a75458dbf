//! What the manifest says of a service reaches its container; what is wrong with a manifest reaches the person.

use crate::support::{Project, free_port, http};

#[test]
fn what_the_manifest_says_reaches_the_container() {
    let project = Project::new(
        "
services:
  app:
    image: hoist-test/busybox
    entrypoint: [sh, -c]
    command: ['exec sleep 1000']
    stop_signal: SIGKILL
    environment: { PLAIN: 'a b', FROM_SHELL: , GIVEN: '${GIVEN:-default}', DOLLAR: '$$HOME' }
    env_file: [extra.env]
    working_dir: /srv
    user: '1000:1000'
    hostname: apphost
    extra_hosts: ['elsewhere:192.0.2.7']
    cap_drop: [ALL]
    cap_add: [NET_ADMIN]
    read_only: true
    init: true
    tmpfs: [/scratch]
    volumes:
      - ./seen:/seen:ro
      - { type: tmpfs, target: /memory, tmpfs: { size: 1048576 } }
    stop_grace_period: 3s
    restart: on-failure:3
",
    )
    .with("FROM_SHELL", "shell")
    .with("GIVEN", "given");
    project.write("extra.env", "FROM_FILE=file\nPLAIN=loses\n");
    project.write("seen/file", "visible");
    project.hoist(&["up", "-d"]).success();
    let inside = |command: &str| project.hoist(&["exec", "-T", "app", "sh", "-c", command]).success().stdout;
    let environment = inside("env");
    for line in ["PLAIN=a b", "FROM_SHELL=shell", "GIVEN=given", "DOLLAR=$HOME", "FROM_FILE=file"] {
        assert!(environment.lines().any(|found| found == line), "{line} in {environment}");
    }
    assert_eq!(
        inside("pwd; id -u; hostname; cat /seen/file").split_whitespace().collect::<Vec<_>>(),
        ["/srv", "1000", "apphost", "visible"]
    );
    assert!(inside("cat /etc/hosts").contains("192.0.2.7"));
    assert!(inside("mount").contains("/scratch"));
    assert_eq!(inside("touch /anywhere 2>/dev/null || echo refused").trim(), "refused");
    let raw = project.container("app").raw;
    assert_eq!(raw["HostConfig"]["Init"], true);
    assert_eq!(raw["HostConfig"]["ReadonlyRootfs"], true);
    assert_eq!(raw["HostConfig"]["RestartPolicy"]["Name"], "on-failure");
    assert_eq!(raw["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], 3);
    assert_eq!(raw["HostConfig"]["CapDrop"][0], "ALL");
    assert_eq!(raw["Config"]["StopSignal"], "SIGKILL");
    assert_eq!(raw["Config"]["StopTimeout"], 3);
}

#[test]
fn secrets_and_configs_are_files_inside() {
    let project = Project::new(
        "
services:
  app:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    secrets: [from_file, from_variable]
    configs: [from_file, { source: inline, target: /etc/inline.conf }]
secrets:
  from_file: { file: ./secret.txt }
  from_variable: { environment: THE_SECRET }
configs:
  from_file: { file: ./config.txt }
  inline: { content: 'colour=${COLOUR:-red}' }
",
    )
    .with("THE_SECRET", "from the shell");
    project.write("secret.txt", "from a file");
    project.write("config.txt", "configured");
    project.hoist(&["up", "-d"]).success();
    let read = |path: &str| project.hoist(&["exec", "-T", "app", "cat", path]).success().stdout;
    assert_eq!(read("/run/secrets/from_file"), "from a file");
    assert_eq!(read("/run/secrets/from_variable"), "from the shell");
    assert_eq!(read("/from_file"), "configured");
    assert_eq!(read("/etc/inline.conf"), "colour=red");
}

#[test]
fn services_find_each_other_by_name_and_alias_and_only_on_shared_networks() {
    let project = Project::new(
        "
services:
  web:
    image: hoist-test/busybox
    command: sh -c 'echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp'
    stop_signal: SIGKILL
    networks: { front: { aliases: [www] } }
  friend: { image: hoist-test/node, command: sleep 1000, stop_signal: SIGKILL, networks: [front] }
  stranger: { image: hoist-test/node, command: sleep 1000, stop_signal: SIGKILL, networks: [back] }
networks: { front: , back: }
",
    );
    project.hoist(&["up", "-d"]).success();
    let fetch = |from: &str, host: &str| {
        // Not busybox's wget: a static program cannot load what looks names up.
        let script =
            format!("fetch('http://{host}/').then((page) => page.text()).then((text) => console.log(text.trim()))");
        project.hoist(&["exec", "-T", from, "node", "-e", &script])
    };
    for host in ["web", "www"] {
        project.eventually("the page is served", || fetch("friend", host).stdout.trim() == "hello");
    }
    assert_ne!(fetch("stranger", "web").code, Some(0));
}

#[test]
fn a_published_port_answers_on_the_host() {
    let port = free_port();
    let project = Project::new(&format!(
        "
services:
  web:
    image: hoist-test/busybox
    command: sh -c 'echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp'
    stop_signal: SIGKILL
    ports: ['127.0.0.1:{port}:80']
"
    ));
    project.hoist(&["up", "-d"]).success();
    project.eventually("the page is served", || http::get(port, "/").is_some_and(|body| body.trim() == "hello"));
}

#[test]
fn a_profile_is_off_until_it_is_named() {
    let project = Project::new(
        "
services:
  app: { image: hoist-test/busybox, command: sleep 1000, stop_signal: SIGKILL }
  debug: { image: hoist-test/busybox, command: sleep 1000, stop_signal: SIGKILL, profiles: [debug] }
",
    );
    project.hoist(&["up", "-d"]).success();
    assert_eq!(project.containers().len(), 1);
    project.hoist(&["--profile", "debug", "up", "-d"]).success();
    assert_eq!(project.containers().len(), 2);
}

#[test]
fn several_files_and_an_override_make_one_project() {
    let project = Project::new("services:\n  app: { image: nowhere, command: sleep 1000, stop_signal: SIGKILL }\n");
    project.write(
        "compose.override.yaml",
        "services:\n  app: { image: hoist-test/busybox, labels: { from: override } }\n",
    );
    project.hoist(&["up", "-d"]).success();
    assert_eq!(project.container("app").label("from"), "override");
    project.write("other.yaml", "services:\n  app: { image: hoist-test/busybox, labels: { from: other } }\n");
    project.hoist(&["-f", "compose.yaml", "-f", "other.yaml", "up", "-d"]).success();
    assert_eq!(project.container("app").label("from"), "other");
}

#[test]
fn the_manifest_is_found_from_a_folder_below_it() {
    let project = Project::new("services:\n  app: { image: hoist-test/busybox }\n");
    project.write("deep/down/file", "");
    let manifest = project.path("compose.yaml");
    let services = project.hoist(&["config", "--services"]).success().stdout;
    let below =
        project.hoist(&["--project-directory", "deep", "-f", manifest.to_str().expect("text"), "config", "--services"]);
    assert_eq!(services, below.success().stdout);
}

#[test]
fn every_problem_of_a_manifest_is_shown_with_its_place() {
    let project = Project::new(
        "services:
  web:
    image: hoist-test/busybox
    enviroment: { A: b }
    ports: ['80:eighty']
    depends_on: [databse]
  database:
    image: hoist-test/busybox
    stop_grace_period: 5 parsecs
    tty: perhaps
",
    );
    let output = project.hoist(&["up", "-d"]).exits_with(2).says(&[
        "compose.yaml:4:5",
        "environment",
        "compose.yaml:5:",
        "eighty",
        "compose.yaml:6:",
        "database",
        "compose.yaml:9:",
        "parsecs",
        "compose.yaml:10:",
    ]);
    assert!(output.stdout.is_empty(), "problems are not data: {output}");
    assert!(project.containers().is_empty());
}

#[test]
fn a_cycle_is_shown_whole() {
    let service =
        |name: &str, needs: &str| format!("  {name}: {{ image: hoist-test/busybox, depends_on: [{needs}] }}\n");
    let project = Project::new(&format!("services:\n{}{}{}", service("a", "b"), service("b", "c"), service("c", "a")));
    project.hoist(&["up", "-d"]).exits_with(2).says(&["a → b → c → a"]);
}

#[test]
fn a_missing_variable_and_a_duplicate_key_are_errors() {
    let project = Project::new("services:\n  a: { image: 'x${NOT_SET_ANYWHERE:?please set it}' }\n");
    project.hoist(&["config"]).exits_with(2).says(&["NOT_SET_ANYWHERE", "please set it"]);
    project.write("compose.yaml", "services:\n  a: { image: x }\n  a: { image: y }\n");
    project.hoist(&["config"]).exits_with(2).says(&["compose.yaml:3:3"]);
}

#[test]
fn a_port_published_twice_is_an_error() {
    let project =
        Project::new("services:\n  a: { image: x, ports: ['18080:80'] }\n  b: { image: x, ports: ['18080:80'] }\n");
    project.hoist(&["up", "-d"]).exits_with(2).says(&["18080"]);
}

#[test]
fn a_legal_attribute_that_does_nothing_yet_is_named_once() {
    let project = Project::new(
        "services:\n  a: { image: hoist-test/busybox, command: sleep 1000, stop_signal: SIGKILL, blkio_config: { weight: 300 } }\n",
    );
    let output = project.hoist(&["up", "-d"]).success();
    assert!(output.stderr.matches("`blkio_config` is not supported").count() <= 1, "{output}");
}

#[test]
fn without_a_manifest_the_next_step_is_told() {
    let project = Project::new("");
    std::fs::remove_file(project.path("compose.yaml")).expect("remove the manifest");
    project.hoist(&["up", "-d"]).fails().says(&["compose.yaml"]);
}
