//! Commands that tell and change nothing.

use crate::support::Project;

const SHOP: &str = "
services:
  web:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    ports: ['8080:80']
    environment: { COLOUR: '${COLOUR:-red}' }
    volumes: ['data:/data']
    depends_on: { db: { condition: service_healthy } }
  db:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: { test: [CMD, test, -e, /tmp/ready], interval: 200ms, retries: 1000 }
volumes: { data: }
";

#[test]
fn config_is_the_resolved_manifest_and_a_manifest_again() {
    let project = Project::new(SHOP).with("COLOUR", "blue");
    let yaml = project.hoist(&["config"]).success().says(&["COLOUR: blue", "published: \"8080\""]);
    project.write("compose.yaml", &yaml.stdout);
    assert_eq!(project.hoist(&["config"]).success().stdout, yaml.stdout);
    let json = project.hoist(&["config", "--format", "json"]).success().json();
    assert_eq!(json["name"], project.name());
    assert_eq!(json["services"]["web"]["environment"]["COLOUR"], "blue");
    assert_eq!(json["services"]["web"]["ports"][0]["published"], "8080");
    assert_eq!(project.hoist(&["config", "--services"]).success().lines(), ["db", "web"]);
    let hashes = project.hoist(&["config", "--hash", "*"]).success();
    assert_eq!(hashes.lines().len(), 2, "{hashes}");
    project.hoist(&["config", "-q"]).success();
}

#[test]
fn graph_draws_the_dependencies_in_four_forms() {
    let project = Project::new(SHOP);
    project.hoist(&["graph"]).success().says(&["web", "db"]);
    project.hoist(&["graph", "--format", "dot"]).success().says(&["digraph", "\"web\" -> \"db\""]);
    project.hoist(&["graph", "--format", "mermaid"]).success().says(&["flowchart"]);
    let json = project.hoist(&["graph", "--format", "json"]).success().json().to_string();
    assert!(json.contains("web") && json.contains("db"), "{json}");
}

#[test]
fn plan_tells_what_up_would_do_and_does_nothing() {
    let project = Project::new(SHOP);
    project.hoist(&["plan"]).success().says(&["web", "db"]);
    assert!(project.containers().is_empty());
    assert!(project.engine().networks(project.name()).is_empty());
    project.hoist(&["up", "-d", "db"]).success();
    let json = project.hoist(&["plan", "db", "--format", "json"]).success().json();
    assert!(
        json.as_array().is_none_or(Vec::is_empty) || !json.to_string().contains("\"db\""),
        "nothing is left: {json}"
    );
}

#[test]
fn why_names_what_a_service_waits_for() {
    let project = Project::new(SHOP);
    let session = project.start(&["up", "--no-watch"]);
    project.eventually("the database runs", || {
        project.containers().iter().any(|container| container.service == "db" && container.runs())
    });
    project.hoist(&["why", "web"]).says(&["web", "db", "healthy"]);
    project.hoist(&["exec", "-T", "db", "touch", "/tmp/ready"]).success();
    project.eventually("the web runs", || project.container("web").runs());
    project.hoist(&["why", "web"]).success().says(&["web", "run"]);
    session.assert_running();
}

#[test]
fn why_names_the_exit_of_what_has_ended() {
    let project = Project::new("services:\n  job: { image: hoist-test/busybox, command: sh -c 'exit 9' }\n");
    project.hoist(&["up", "-d"]).success();
    project.eventually("it has ended", || project.container("job").status == "exited");
    project.hoist(&["why", "job"]).says(&["job", "9"]);
}

#[test]
fn export_writes_kubernetes_objects_to_a_folder_or_to_standard_output() {
    let project = Project::new(SHOP);
    let all = project.hoist(&["export", "kubernetes", "--stdout"]).success();
    for kind in ["Deployment", "Service", "PersistentVolumeClaim"] {
        assert!(all.stdout.contains(&format!("kind: {kind}")), "{kind} in {all}");
    }
    project.hoist(&["export", "kubernetes", "-o", "objects"]).success();
    for file in ["base/kustomization.yaml", "base/db-deployment.yaml", "overlays/production/kustomization.yaml"] {
        assert!(project.path("objects").join(file).is_file(), "{file}");
    }
}

#[test]
fn schema_and_completions_are_printed() {
    let project = Project::new(SHOP);
    let schema = project.hoist(&["schema"]).success().json();
    assert!(schema["properties"]["services"].is_object());
    for shell in ["bash", "zsh", "fish"] {
        project.hoist(&["completions", shell]).success().says(&["hoist"]);
    }
}
