//! Deployments that come to a good end.

use std::fs;

use serde_json::json;

use super::{Case, place, said};

const SHOP: &str = "
services:
  web:
    image: registry.example.com/web:1
    ports: ['80']
    environment: {LOG_LEVEL: info}
    deploy: {replicas: 2}
  db:
    image: registry.example.com/db:1
    volumes: ['data:/var/lib/db']
volumes:
  data:
";

#[test]
fn a_first_deployment_makes_the_namespace_and_everything_in_its_order() {
    let case = Case::new(SHOP);
    let output = case.deploy(&[]).success().says(&[
        "create  Namespace `team`",
        "create  Deployment `web`",
        "web ready, 2 of 2",
        "deployed to namespace `team`",
    ]);
    assert_eq!(output.stdout, "");
    let done = case.done();
    let at = |what: &str| done.iter().position(|one| one == what).unwrap_or_else(|| panic!("no {what} in {done:?}"));
    assert_eq!(done[..2], ["apply namespaces/team", "apply configmaps/hoist-shop"]);
    assert!(at("apply configmaps/web-env") < at("apply services/web"));
    assert!(at("apply services/web") < at("apply deployments/web"));
    let web = case.object("deployments", "web").expect("it is there");
    let parent = case.object("configmaps", "hoist-shop").expect("it is there");
    let set = &parent["metadata"]["labels"]["applyset.kubernetes.io/id"];
    assert_eq!(&web["metadata"]["labels"]["applyset.kubernetes.io/part-of"], set);
    let annotations = &parent["metadata"]["annotations"];
    assert!(annotations["applyset.kubernetes.io/tooling"].as_str().expect("text").starts_with("hoist/v"));
    let kinds = annotations["applyset.kubernetes.io/contains-group-kinds"].as_str().expect("text");
    assert!(kinds.split(',').any(|kind| kind == "Deployment.apps"), "{kinds}");
}

#[test]
fn a_second_deployment_of_the_same_changes_nothing() {
    let case = Case::with(SHOP, true);
    case.deploy(&[]).success();
    case.done();
    let before = case.server.inside().store.names();
    case.deploy(&[]).success().says(&["as they should be", "deployed to namespace `team`"]);
    let done = case.done();
    assert!(done.iter().all(|one| one == "apply configmaps/hoist-shop"), "{done:?}");
    assert_eq!(case.server.inside().store.names(), before);
}

#[test]
fn only_what_changed_is_applied_and_the_diff_shows_it_first() {
    let case = Case::new(SHOP);
    case.deploy(&[]).success();
    case.done();
    case.write(&SHOP.replace("web:1", "web:1\n    working_dir: /app"));
    let output = case.deploy(&["--diff"]).success().says(&["change  Deployment `web`"]);
    for line in ["--- Deployment/web (in the cluster)\n", "+        workingDir: /app\n"] {
        assert!(output.stdout.contains(line), "`{line}` in {output}");
    }
    case.deploy(&["--dry-run=server"]).success().says(&["the cluster accepts all of it; nothing was done"]);
    assert_eq!(case.done(), [""; 0], "looking does nothing");
    case.deploy(&["--yes"]).success();
    let mut done = case.done();
    done.retain(|one| one != "apply configmaps/hoist-shop");
    assert_eq!(done, ["apply deployments/web"]);
}

#[test]
fn what_the_project_no_longer_has_is_removed_and_nothing_else() {
    let case = Case::new(SHOP);
    case.deploy(&[]).success();
    case.server.change(|inside| {
        inside.store.update(&place("services", "somebody-elses"), "kubectl", |object| {
            object["metadata"]["labels"] = json!({ "app.kubernetes.io/part-of": "shop" });
        });
    });
    case.done();
    case.write("services: {web: {image: 'registry.example.com/web:1', ports: ['80'], environment: {LOG_LEVEL: info}, deploy: {replicas: 2}}}\n");
    let output = case.deploy(&[]).success();
    assert!(output.stderr.contains("remove ") && output.stderr.contains("`db`"), "{output}");
    let removed: Vec<String> = case.done().into_iter().filter(|one| one.starts_with("delete")).collect();
    assert!(!removed.is_empty() && removed.iter().all(|one| one.ends_with("/db")), "{removed:?}");
    assert!(case.object("services", "somebody-elses").is_some());
}

#[test]
fn a_volume_that_the_project_no_longer_has_stays_until_its_removal_is_asked_for() {
    let case = Case::new(
        "services: {a: {image: a, volumes: ['data:/d'], deploy: {replicas: 2}}, b: {image: b, volumes: ['data:/d']}}\nvolumes: {data: }\n",
    );
    case.deploy(&[]).success();
    assert!(case.object("persistentvolumeclaims", "data").is_some(), "{:?}", case.server.inside().store.names());
    case.write("services: {a: {image: a, deploy: {replicas: 2}}, b: {image: b}}\n");
    case.deploy(&[]).success().says(&["keep    PersistentVolumeClaim `data`"]);
    assert!(case.object("persistentvolumeclaims", "data").is_some());
    case.deploy(&[]).success().says(&["keep    PersistentVolumeClaim `data`"]);
    case.deploy(&["--prune-volumes"]).success();
    assert!(case.object("persistentvolumeclaims", "data").is_none());
}

#[test]
fn who_waits_for_a_job_is_applied_after_its_end() {
    let manifest = "
services:
  web:
    image: registry.example.com/web:1
    depends_on: {migrate: {condition: service_completed_successfully}}
  migrate:
    image: registry.example.com/slow:1
";
    let case = Case::new(manifest);
    let child = case.start(&["--timeout", "60s"]);
    case.eventually("the Job runs", |inside| inside.store.get(&place("jobs", "migrate")).is_some());
    // What comes after everything that does not wait would be there by now: the watch of the Job has begun.
    case.eventually("its rollout is watched", |inside| {
        inside.store.get(&place("jobs", "migrate")).is_some_and(|job| job["status"]["active"] == 1)
    });
    assert!(case.object("deployments", "web").is_none());
    case.server.change(|inside| super::world::finish_job(&mut inside.store, &place("jobs", "migrate"), true));
    let (code, text) = said(child);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("migrate done"), "{text}");
    case.write(&manifest.replace("slow:1", "fast:2"));
    case.deploy(&[]).success().says(&["replace Job `migrate`", "Job `migrate` replaced"]);
    assert!(case.done().contains(&"delete jobs/migrate".to_owned()));
}

#[test]
fn a_secret_is_supplied_by_hand_or_from_this_machine_and_never_by_a_placeholder() {
    let case = Case::new("services: {web: {image: web, environment: {API_TOKEN: hidden}}}\n");
    let output = case.deploy(&[]).exits_with(1);
    let told = ["somebody has to supply these first:", "Secret `web-env`: API_TOKEN", "--from-literal=API_TOKEN=…"];
    let output = output.says(&told);
    assert!(!output.stderr.contains("hidden"), "{output}");
    assert_eq!(case.done(), [""; 0]);
    case.deploy(&["--secrets", "values"]).success();
    let value = |case: &Case| case.object("secrets", "web-env").map(|secret| secret["data"]["API_TOKEN"].clone());
    assert_eq!(value(&case), Some(json!("aGlkZGVu")));
    // Once there, a placeholder takes nothing away, whoever has changed it since.
    case.deploy(&[]).success();
    assert_eq!(value(&case), Some(json!("aGlkZGVu")));
    case.server.change(|inside| {
        inside
            .store
            .update(&place("secrets", "web-env"), "kubectl", |secret| secret["data"]["API_TOKEN"] = json!("bmV3"));
    });
    let output = case.deploy(&["--diff"]).success();
    assert!(!output.stdout.contains("bmV3") && !output.stdout.contains("aGlkZGVu"), "{output}");
    case.deploy(&[]).success();
    assert_eq!(value(&case), Some(json!("bmV3")));
}

#[test]
fn down_removes_what_was_deployed_and_keeps_volumes_until_asked() {
    let case = Case::new(
        "services: {a: {image: a, volumes: ['data:/d'], deploy: {replicas: 2}}, b: {image: b, volumes: ['data:/d'], ports: ['1']}}\nvolumes: {data: }\n",
    );
    case.deploy(&[]).success();
    case.server.change(|inside| {
        inside.store.update(&place("configmaps", "mine"), "kubectl", |object| object["data"] = json!({ "a": "b" }));
    });
    fs::remove_file(case.path("compose.yaml")).expect("it is there");
    let mut down = case.command(&[]);
    down = {
        let mut command = std::process::Command::new(down.get_program());
        command.env_clear().env("KUBECONFIG", case.path("kubeconfig")).current_dir(case.folder.path());
        command.args(["-p", "shop", "deploy", "down", "-n", super::NAMESPACE]);
        command
    };
    super::process::run(down, super::DEADLINE).success().says(&["1 volume stays"]);
    let names = case.server.inside().store.names();
    let left: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(left, ["configmaps/hoist-shop", "configmaps/mine", "namespaces/team", "persistentvolumeclaims/data"]);
    case.write("services: {a: {image: a}}\n");
    case.deploy(&["down", "--volumes"]).success().says(&["1 object removed from namespace `team`"]);
    let names = case.server.inside().store.names();
    assert_eq!(names, ["configmaps/mine", "namespaces/team"]);
    case.deploy(&["down"]).success().says(&["nothing of `shop` is deployed to namespace `team`"]);
}
