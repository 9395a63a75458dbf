//! Services that a program provides, and models: the programs are shell scripts that speak as real ones do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::support::Project;

/// Keeps a record of what it is asked for in the project's folder.
const CLOUD: &str = r#"#!/bin/sh
echo "$*" >> "$CLOUD_RECORD"
case "$*" in
"compose metadata")
    echo '{"description": "a cloud", "up": {"parameters": [{"name": "size", "required": true}, {"name": "zone"}]},
        "down": {"parameters": []}, "stop": {}}' ;;
"compose --project-name="*" up "*)
    echo '{"type": "info", "message": "asking for a database"}'
    echo 'a word beside' >&2
    [ -e "$CLOUD_RECORD.broken" ] && { echo '{"type": "error", "message": "no credits left"}'; exit 1; }
    [ -e "$CLOUD_RECORD.slow" ] && exec sleep 1000
    printf '{"type": "setenv", "message": "URL=db://of-the-cloud?a=b"}{"type": "rawsetenv", "message": "CLOUD=yes"}' ;;
esac
"#;

const MANIFEST: &str = "services:
  database:
    provider: { type: cloud, options: { size: 2, zone: [a, b], colour: red } }
  api:
    image: hoist-test/busybox
    command: sh -c 'echo url=$$DATABASE_URL cloud=$$CLOUD; exec sleep 1000'
    stop_signal: SIGKILL
    depends_on: [database]
";

fn with_cloud() -> Project {
    let project = Project::new(MANIFEST);
    script(&project, "bin/cloud", CLOUD);
    let path = format!("{}:{}", project.path("bin").display(), std::env::var("PATH").expect("a path"));
    let record = project.path("record").display().to_string();
    project.with("PATH", &path).with("CLOUD_RECORD", &record)
}

fn script(project: &Project, path: &str, text: &str) {
    project.write(path, text);
    fs::set_permissions(project.path(path), fs::Permissions::from_mode(0o755)).expect("make it a program");
}

/// What the program was asked for, without what it can do.
fn asked(project: &Project) -> Vec<String> {
    let record = project.read("record");
    let lines = record.lines().filter(|line| *line != "compose metadata");
    lines.map(|line| line.replace(project.name(), "NAME")).collect()
}

#[test]
fn what_depends_on_a_provider_learns_what_it_tells_and_down_gives_it_up() {
    let project = with_cloud();
    project.hoist(&["up", "-d"]).success().says(&["database", "provided", "api-1"]);
    assert_eq!(asked(&project), ["compose --project-name=NAME up --size=2 --zone=a --zone=b database"]);
    project.hoist(&["logs", "api"]).success().says(&["url=db://of-the-cloud?a=b cloud=yes"]);
    let before = project.container("api").id;
    project.hoist(&["up", "-d"]).success();
    assert_eq!(project.container("api").id, before, "the same was told, so nothing changed");
    let run = project.hoist(&["run", "--rm", "-T", "api", "sh", "-c", "echo here $DATABASE_URL"]).success();
    assert_eq!(run.stdout, "here db://of-the-cloud?a=b\n");
    project.hoist(&["stop"]).success();
    project.hoist(&["down"]).success().says(&["withdrawn"]);
    let last = asked(&project).split_off(3);
    assert_eq!(last, ["compose --project-name=NAME stop database", "compose --project-name=NAME down database"]);
}

#[test]
fn a_provider_that_says_no_is_heard_and_nothing_that_needs_it_is_made() {
    let project = with_cloud();
    project.write("record.broken", "");
    project.hoist(&["up", "-d"]).exits_with(1).says(&["database", "`cloud up`: no credits left"]);
    assert!(project.containers().is_empty());
    project.write("compose.yaml", &MANIFEST.replace("size: 2, ", ""));
    project.hoist(&["up", "-d"]).exits_with(1).says(&["provider `cloud` needs the option `size`"]);
    project.write("compose.yaml", &MANIFEST.replace("type: cloud", "type: clowd"));
    project.hoist(&["up", "-d"]).exits_with(1).says(&["there is no provider `clowd`"]);
}

#[test]
fn an_interrupt_ends_a_provider_that_is_still_at_work() {
    let project = with_cloud();
    project.write("record.slow", "");
    let session = project.start(&["up"]);
    project.eventually("the provider works", || project.path("record").exists() && asked(&project).len() == 1);
    session.signal(Signal::INT);
    assert_eq!(session.exit_code(), Some(130), "{}", session.said());
    assert_eq!(asked(&project).pop().as_deref(), Some("compose --project-name=NAME stop database"));
}

#[test]
fn a_model_is_pulled_set_up_and_made_known() {
    let project = Project::new(
        "services:
  api:
    image: hoist-test/busybox
    command: sh -c 'echo at $$LLM_URL is $$LLM_MODEL; exec sleep 1000'
    stop_signal: SIGKILL
    models: [llm]
models:
  llm: { model: ai/small, context_size: 1024, runtime_flags: [--quick] }
",
    );
    script(
        &project,
        "docker/cli-plugins/docker-model",
        r#"#!/bin/sh
echo "$*" >> "$CLOUD_RECORD"
case "$1" in
ls) echo '[{"id": "sha256:1", "tags": ["ai/other"]}]' ;;
status) echo '{"running": true, "endpoint": "http://model-runner/v1/"}' ;;
*) echo "$1 is under way" ;;
esac
"#,
    );
    let (folder, record) = (project.path("docker").display().to_string(), project.path("record").display().to_string());
    let project = project.with("DOCKER_CONFIG", &folder).with("CLOUD_RECORD", &record);
    project.hoist(&["up", "-d"]).success().says(&["model llm", "ready"]);
    let expected = ["ls --json", "pull ai/small", "configure --context-size 1024 ai/small -- --quick", "status --json"];
    assert_eq!(asked(&project), expected);
    project.hoist(&["logs", "api"]).success().says(&["at http://model-runner/v1/ is ai/small"]);
    let run = project.hoist(&["run", "--rm", "-T", "api", "sh", "-c", "echo $LLM_MODEL"]).success();
    assert_eq!(run.stdout, "ai/small\n");
    let project = project.with("DOCKER_CONFIG", "/nowhere");
    project.hoist(&["up", "-d"]).exits_with(1).says(&["models need the plugin `docker-model`"]);
}
