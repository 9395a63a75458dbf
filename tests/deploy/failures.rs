//! Deployments that something is in the way of, and what is told of it.

use serde_json::json;

use super::server::Health;
use super::{Case, place, said};

const WEB: &str = "services: {web: {image: 'registry.example.com/web:1', ports: ['80'], deploy: {replicas: 2}}}\n";

#[test]
fn an_object_of_the_same_name_that_others_made_is_left_alone_until_it_is_adopted() {
    let case = Case::new(WEB);
    case.server.change(|inside| {
        let namespace =
            super::store::Place { plural: "namespaces".into(), namespace: String::new(), name: "team".into() };
        inside.store.update(&namespace, "kubectl-create", |_| {});
        inside.store.update(&place("services", "web"), "kubectl-client-side-apply", |object| {
            object["spec"] = json!({ "type": "NodePort" });
        });
    });
    case.deploy(&[]).exits_with(1).says(&[
        "Service `web`, made by kubectl-client-side-apply",
        "hint: deploy into another namespace with `-n`, or take them over with `--adopt`",
    ]);
    assert_eq!(case.done(), [""; 0], "nothing was done");
    case.deploy(&["--adopt"]).success();
    assert_eq!(
        case.object("services", "web").expect("it is there")["spec"]["selector"]["app.kubernetes.io/name"],
        "web"
    );
}

#[test]
fn an_object_of_another_set_is_not_even_adopted() {
    let case = Case::new(WEB);
    case.deploy(&[]).success();
    case.done();
    let other = case.path("other");
    std::fs::create_dir(&other).expect("a folder");
    std::fs::write(other.join("compose.yaml"), format!("name: other\n{WEB}")).expect("it can be written");
    let mut command = case.command(&["--adopt"]);
    command.current_dir(&other);
    let output = super::process::run(command, super::DEADLINE).exits_with(1);
    assert!(output.stderr.contains("of the set `applyset-"), "{output}");
    assert_eq!(case.done(), [""; 0]);
}

#[test]
fn a_field_that_somebody_else_has_set_is_told_and_taken_over_only_when_asked() {
    let case = Case::new(WEB);
    case.deploy(&[]).success();
    case.server.change(|inside| {
        inside
            .store
            .update(&place("deployments", "web"), "kubectl-scale", |object| object["spec"]["replicas"] = json!(7));
    });
    case.deploy(&[]).exits_with(1).says(&[
        "Deployment `web`: others have set `.spec.replicas` (kubectl-scale)",
        "hint: `--force-conflicts` takes over",
    ]);
    case.deploy(&["--force-conflicts"]).success();
    assert_eq!(case.object("deployments", "web").expect("it is there")["spec"]["replicas"], 2);
}

#[test]
fn a_rollout_that_does_not_get_on_says_why_and_with_its_last_words() {
    for (image, told) in [
        ("missing", &["ImagePullBackOff: Back-off pulling image", "not ready after 5 s: Deployment `web`"][..]),
        ("crash", &["CrashLoopBackOff", "last lines of `web` in `web-dep-0`:", "    boom"]),
        ("pending", &["Unschedulable: 0/3 nodes are available"]),
        ("deadline", &["the rollout failed: Deployment `web`", "ProgressDeadlineExceeded"]),
    ] {
        let case = Case::new(&WEB.replace("web:1", image));
        case.deploy(&["--timeout", "5s"]).exits_with(1).says(told).says(&["applied: ", "Deployment `web`"]);
    }
}

#[test]
fn a_job_that_fails_ends_the_deployment_before_who_waits_for_it() {
    let case = Case::new(
        "services: {web: {image: w, depends_on: {init: {condition: service_completed_successfully}}}, init: {image: crash}}\n",
    );
    let told = ["the rollout failed: Job `init`", "BackoffLimitExceeded", "boom"];
    case.deploy(&[]).exits_with(1).says(&told);
    assert!(case.object("deployments", "web").is_none());
}

#[test]
fn an_atomic_deployment_that_fails_puts_everything_back_as_it_was() {
    let case = Case::new(WEB);
    case.deploy(&[]).success();
    case.server.change(|inside| {
        inside.store.update(&place("deployments", "web"), "kubectl", |object| {
            object["metadata"]["annotations"] = json!({ "mine": "1" });
        });
    });
    let before = (case.object("deployments", "web"), case.object("services", "web"));
    case.write("services: {web: {image: 'registry.example.com/missing', working_dir: /x, ports: ['81'], deploy: {replicas: 3}}, new: {image: n}}\n");
    let told = ["not ready after 5 s: Deployment `web`", "put back as before, and ready again"];
    case.deploy(&["--timeout", "5s", "--atomic"]).exits_with(1).says(&told);
    let strip = |object: Option<serde_json::Value>| {
        object.map(|mut object| {
            object.as_object_mut().expect("a map").remove("status");
            object
        })
    };
    assert_eq!(strip(case.object("deployments", "web")), strip(before.0));
    assert_eq!(case.object("services", "web"), before.1);
    assert!(case.object("deployments", "new").is_none(), "what is new is gone");
}

#[test]
fn a_cluster_that_goes_away_half_way_is_told_with_what_was_applied() {
    let case = Case::new(WEB);
    case.server.inside().health = Health::EndsAfter(4);
    let output = case.deploy(&[]).exits_with(1);
    let output =
        output.says(&["the cluster does not answer", "applied: ", "hint: see whether `kubectl get nodes` answers"]);
    assert!(!output.stderr.contains("Deployment `web` created"), "{output}");
    case.server.change(|inside| inside.health = Health::Well);
    case.deploy(&[]).success();
    assert!(case.object("deployments", "web").is_some());
}

#[test]
fn a_cluster_that_is_away_for_a_moment_is_waited_for() {
    let case = Case::new(&WEB.replace("web:1", "pending"));
    let child = case.start(&["--timeout", "60s"]);
    case.eventually("the workload is applied", |inside| inside.store.get(&place("deployments", "web")).is_some());
    case.server.change(|inside| inside.health = Health::Gone);
    case.eventually("nobody is connected", |inside| inside.connections == 0);
    case.server.change(|inside| {
        let status = json!({ "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 });
        inside.store.set_status(&place("deployments", "web"), status);
        inside.health = Health::Well;
    });
    let (code, text) = said(child);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("web ready, 2 of 2"), "{text}");
}

#[test]
fn a_cluster_that_only_refuses_is_given_up() {
    let case = Case::new(WEB);
    case.server.inside().health = Health::Refuses(500);
    case.deploy(&[])
        .exits_with(1)
        .says(&["error: cannot look at the cluster: the cluster does not answer: etcd has no leader"]);
}

#[test]
fn an_interrupt_ends_it_and_says_what_was_applied() {
    let case = Case::new(&WEB.replace("web:1", "pending"));
    let child = case.start(&["--timeout", "60s"]);
    case.eventually("the workload is applied", |inside| inside.store.get(&place("deployments", "web")).is_some());
    let process = rustix::process::Pid::from_child(&child);
    // The pod's trouble is told once the rollout is watched; an interrupt counts at any time.
    rustix::process::kill_process(process, rustix::process::Signal::INT).expect("it runs");
    let (code, text) = said(child);
    assert_eq!(code, Some(130), "{text}");
    assert!(text.contains("interrupted; applied: ") && text.contains("Deployment `web`"), "{text}");
}

#[test]
fn a_context_that_is_not_there_gets_the_nearest_name() {
    let case = Case::new(WEB);
    case.deploy(&["--context", "tset"]).exits_with(1).says(&["hint: did you mean `test`?"]);
    let mut command = case.command(&[]);
    command.env("KUBECONFIG", case.path("nowhere"));
    super::process::run(command, super::DEADLINE)
        .exits_with(1)
        .says(&["`KUBECONFIG` or `~/.kube/config` says where clusters are"]);
}
