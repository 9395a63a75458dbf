//! What runs in the cluster: pods that come to what the names of their images say, at once or when they are told.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::store::{Place, Store};

/// Lets workloads come to what they come to, after something was applied or removed.
pub(crate) fn react(store: &mut Store, place: &Place) {
    let Some(object) = store.get(place).cloned() else {
        return end_pods(store, place);
    };
    let image = object.pointer("/spec/template/spec/containers/0/image").and_then(Value::as_str).unwrap_or_default();
    let image = image.to_owned();
    let generation = object["metadata"]["generation"].clone();
    let replicas = object["spec"]["replicas"].as_i64().unwrap_or(1);
    match place.plural.as_str() {
        "deployments" | "statefulsets" => {
            let ready = ["missing", "crash", "deadline", "pending"].iter().all(|word| !image.contains(word));
            let available = if ready { replicas } else { 0 };
            let mut status = json!({
                "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
                "readyReplicas": available, "availableReplicas": available, "updateRevision": "a", "currentRevision": "a"
            });
            if image.contains("deadline") {
                status["conditions"] = json!([{ "type": "Progressing", "status": "False",
                    "reason": "ProgressDeadlineExceeded", "message": "it has timed out progressing" }]);
            }
            end_pods(store, place);
            pod(store, place, &object, pod_status(&image));
            store.set_status(place, status);
        }
        "jobs" if image.contains("slow") => store.set_status(place, json!({ "active": 1 })),
        "jobs" => finish_job(store, place, !image.contains("crash")),
        _ => {}
    }
}

/// Ends a Job.
pub(crate) fn finish_job(store: &mut Store, place: &Place, well: bool) {
    let Some(object) = store.get(place).cloned() else { return };
    let (kind, succeeded) = if well { ("Complete", 1) } else { ("Failed", 0) };
    if !well {
        pod(store, place, &object, pod_status("crash"));
    }
    let condition =
        json!({ "type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": "it failed too often" });
    store.set_status(place, json!({ "succeeded": succeeded, "conditions": [condition] }));
}

fn pod_status(image: &str) -> Value {
    let container = |state: Value, restarts: i64, last: Value| json!({ "containerStatuses": [{ "name": "web", "restartCount": restarts, "state": state, "lastState": last }] });
    if image.contains("missing") {
        let waiting = json!({ "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image" } });
        return container(waiting, 0, json!({}));
    }
    if image.contains("crash") {
        let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 10s restarting" } });
        return container(waiting, 2, json!({ "terminated": { "exitCode": 1 } }));
    }
    if image.contains("pending") {
        return json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available" }] });
    }
    container(json!({ "running": {} }), 0, json!({}))
}

fn pod(store: &mut Store, owner: &Place, object: &Value, status: Value) {
    let mut labels = object.pointer("/spec/template/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    if owner.plural == "jobs" {
        labels["job-name"] = json!(owner.name);
    }
    let name = format!("{}-{}-0", owner.name, &owner.plural[..3]);
    let place = Place { plural: "pods".into(), namespace: owner.namespace.clone(), name };
    store.update(&place, "kubelet", |pod| {
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["labels"] = labels;
        pod["status"] = status;
    });
}

fn end_pods(store: &mut Store, owner: &Place) {
    let name = format!("{}-{}-0", owner.name, owner.plural.get(..3).unwrap_or_default());
    let place = Place { plural: "pods".into(), namespace: owner.namespace.clone(), name };
    // There need not have been one.
    let _ = store.delete(&place, None);
}

/// What containers have said: the last run's words and the present one's.
pub(crate) fn log(query: &BTreeMap<String, String>) -> String {
    match query.get("previous").map(String::as_str) {
        Some("true") => "cannot open the database\nboom\n".to_owned(),
        _ => "starting\n".to_owned(),
    }
}
