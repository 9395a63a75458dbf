//! How a rollout stands: what the status of a workload says, and what its pods say when it does not get on.

use serde_json::Value;

/// How far a workload has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is on its way.
    Rolling,
    /// It is there.
    Ready,
    /// The cluster has given it up.
    Failed,
}

/// How a workload stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How far it has got.
    pub phase: Phase,
    /// Pods that are new and ready, or have ended well.
    pub ready: i64,
    /// Pods that there are to be.
    pub desired: i64,
    /// Why it was given up.
    pub reason: Option<String>,
}

/// Reads how a workload stands out of its status.
#[must_use]
pub fn standing(workload: &Value) -> Standing {
    let kind = workload["kind"].as_str().unwrap_or_default();
    let status = |key: &str| workload["status"][key].as_i64().unwrap_or(0);
    let wanted = |key: &str| workload["spec"][key].as_i64().unwrap_or(1);
    let observed = status("observedGeneration") >= workload["metadata"]["generation"].as_i64().unwrap_or(0);
    match kind {
        "Deployment" => {
            let desired = wanted("replicas");
            let ready = status("updatedReplicas").min(status("availableReplicas"));
            let only_new = status("replicas") <= status("updatedReplicas");
            let gave_up = condition(workload, "Progressing", "False")
                .filter(|_| observed)
                .filter(|found| found["reason"] == "ProgressDeadlineExceeded");
            standing_of(observed && only_new && ready >= desired, ready, desired, gave_up)
        }
        "StatefulSet" => {
            let desired = wanted("replicas");
            let same = workload["status"]["updateRevision"] == workload["status"]["currentRevision"];
            let updated = if same { status("readyReplicas") } else { status("updatedReplicas") };
            let ready = updated.min(status("readyReplicas"));
            // With this strategy it is the person who deletes pods, so there is nothing to wait for.
            let by_hand = workload["spec"]["updateStrategy"]["type"] == "OnDelete";
            standing_of(observed && (by_hand || ready >= desired), ready, desired, None)
        }
        "DaemonSet" => {
            let desired = status("desiredNumberScheduled");
            let ready = status("updatedNumberScheduled").min(status("numberAvailable"));
            standing_of(observed && ready >= desired, ready, desired, None)
        }
        "Job" => {
            let desired = wanted("completions");
            let done = condition(workload, "Complete", "True").is_some();
            let failed = condition(workload, "Failed", "True");
            standing_of(done, status("succeeded"), desired, failed)
        }
        _ => Standing { phase: Phase::Ready, ready: 0, desired: 0, reason: None },
    }
}

fn standing_of(is_ready: bool, ready: i64, desired: i64, gave_up: Option<&Value>) -> Standing {
    let phase = match gave_up {
        Some(_) => Phase::Failed,
        None if is_ready => Phase::Ready,
        None => Phase::Rolling,
    };
    let reason = gave_up.map(|condition| {
        let text = |key: &str| condition[key].as_str().unwrap_or_default();
        format!("{}: {}", text("reason"), text("message"))
    });
    Standing { phase, ready, desired, reason }
}

fn condition<'a>(object: &'a Value, kind: &str, status: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|condition| condition["type"] == kind && condition["status"] == status)
}

/// What keeps a pod from being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The pod.
    pub pod: String,
    /// The container, when it is one.
    pub container: Option<String>,
    /// The cluster's word for it: `ImagePullBackOff`.
    pub reason: String,
    /// The cluster's sentence.
    pub message: String,
    /// The container has run and ended, so that it has last words; how often it has been started again.
    pub restarts: Option<i64>,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.reason)?;
        if self.message.is_empty() { Ok(()) } else { write!(formatter, ": {}", self.message) }
    }
}

/// What keeps a pod from being ready, when something does.
#[must_use]
pub fn trouble(pod: &Value) -> Option<Trouble> {
    let name = pod["metadata"]["name"].as_str()?;
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().trim().to_owned();
    if let Some(unscheduled) = condition(pod, "PodScheduled", "False") {
        let reason = text(unscheduled, "reason");
        let message = text(unscheduled, "message");
        return Some(Trouble { pod: name.to_owned(), container: None, reason, message, restarts: None });
    }
    let lists = ["initContainerStatuses", "containerStatuses"].into_iter();
    let statuses = lists.filter_map(|list| pod["status"][list].as_array()).flatten();
    let troubles = statuses.filter_map(|status| {
        let waiting = &status["state"]["waiting"];
        let reason = text(waiting, "reason");
        let ended =
            ["state", "lastState"].iter().map(|key| &status[*key]["terminated"]).find(|ended| ended.is_object());
        let failed = ended.filter(|ended| ended["exitCode"].as_i64().is_some_and(|code| code != 0));
        let (reason, message) = match reason.as_str() {
            "" if status["state"]["terminated"].is_object() => {
                let failed = failed?;
                (text(failed, "reason"), format!("exit code {}", failed["exitCode"]))
            }
            "" | "ContainerCreating" | "PodInitializing" => return None,
            _ => (reason, text(waiting, "message")),
        };
        Some(Trouble {
            pod: name.to_owned(),
            container: status["name"].as_str().map(str::to_owned),
            reason,
            message,
            restarts: ended.map(|_| status["restartCount"].as_i64().unwrap_or(0)),
        })
    });
    troubles.into_iter().next()
}

/// Whether a pod is one of a workload's.
#[must_use]
pub fn is_pod_of(pod: &Value, workload: &Value) -> bool {
    let labels = &pod["metadata"]["labels"];
    if workload["kind"] == "Job" {
        let name = &workload["metadata"]["name"];
        return labels["job-name"] == *name || labels["batch.kubernetes.io/job-name"] == *name;
    }
    let selector = workload["spec"]["selector"]["matchLabels"].as_object();
    selector.is_some_and(|selector| !selector.is_empty() && selector.iter().all(|(key, value)| labels[key] == *value))
        && labels.get("job-name").is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Phase, is_pod_of, standing, trouble};

    fn deployment(status: &Value) -> Value {
        json!({ "kind": "Deployment", "metadata": { "generation": 2 }, "spec": { "replicas": 2 }, "status": status })
    }

    #[test]
    fn a_deployment_is_ready_when_all_its_pods_are_new_and_available() {
        let ready = json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 });
        assert_eq!(standing(&deployment(&ready)).phase, Phase::Ready);
        for (key, value) in
            [("observedGeneration", 1), ("replicas", 3), ("updatedReplicas", 1), ("availableReplicas", 1)]
        {
            let mut status = ready.clone();
            status[key] = json!(value);
            assert_eq!(standing(&deployment(&status)).phase, Phase::Rolling, "{key}");
        }
        let mut late = json!({ "observedGeneration": 2, "conditions": [
            { "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too late" }
        ] });
        assert_eq!(standing(&deployment(&late)).reason.as_deref(), Some("ProgressDeadlineExceeded: too late"));
        late["observedGeneration"] = json!(1);
        assert_eq!(standing(&deployment(&late)).phase, Phase::Rolling, "that was the last one");
    }

    #[test]
    fn a_job_ends_well_or_badly() {
        let job = |kind: &str| {
            json!({ "kind": "Job", "spec": {}, "status": {
            "succeeded": 1, "conditions": [{ "type": kind, "status": "True", "reason": "R", "message": "m" }]
        } })
        };
        assert_eq!(standing(&job("Complete")).phase, Phase::Ready);
        assert_eq!(standing(&job("Failed")).phase, Phase::Failed);
        assert_eq!(standing(&json!({ "kind": "Job", "spec": {}, "status": { "active": 1 } })).phase, Phase::Rolling);
    }

    #[test]
    fn a_stateful_set_and_a_daemon_set_wait_for_the_new_revision() {
        let set = |current: &str, updated: i64, ready: i64| {
            let status = json!({ "observedGeneration": 1, "updateRevision": "b", "currentRevision": current,
                "updatedReplicas": updated, "readyReplicas": ready });
            standing(&json!({ "kind": "StatefulSet", "metadata": { "generation": 1 }, "spec": { "replicas": 2 }, "status": status })).phase
        };
        assert_eq!((set("b", 0, 2), set("a", 1, 2), set("a", 2, 2)), (Phase::Ready, Phase::Rolling, Phase::Ready));
        let daemons = json!({ "kind": "DaemonSet", "metadata": { "generation": 1 }, "status": {
            "observedGeneration": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 2
        } });
        assert_eq!((standing(&daemons).phase, standing(&daemons).ready), (Phase::Rolling, 2));
    }

    #[test]
    fn a_pod_says_what_keeps_it_in_the_clusters_words() {
        let pod = |status: Value| json!({ "metadata": { "name": "web-1" }, "status": status });
        let said = |status: Value| trouble(&pod(status)).map(|trouble| (trouble.to_string(), trouble.restarts));
        let waiting = json!({ "containerStatuses": [{ "name": "web", "restartCount": 0, "state": {
            "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\"" }
        } }] });
        assert_eq!(said(waiting), Some(("ImagePullBackOff: Back-off pulling image \"x\"".to_owned(), None)));
        let crashing = json!({ "containerStatuses": [{ "name": "web", "restartCount": 3,
            "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 40s" } },
            "lastState": { "terminated": { "exitCode": 1 } } }] });
        assert_eq!(said(crashing), Some(("CrashLoopBackOff: back-off 40s".to_owned(), Some(3))));
        let unschedulable = json!({ "conditions": [
            { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes" }
        ] });
        assert_eq!(said(unschedulable), Some(("Unschedulable: 0/1 nodes".to_owned(), None)));
        let ended = json!({ "containerStatuses": [{ "name": "a", "restartCount": 0,
            "state": { "terminated": { "exitCode": 2, "reason": "Error" } } }] });
        assert_eq!(said(ended), Some(("Error: exit code 2".to_owned(), Some(0))));
        let fine = json!({ "containerStatuses": [{ "name": "a", "state": { "waiting": { "reason": "ContainerCreating" } } },
            { "name": "b", "state": { "running": {} } }] });
        assert_eq!(said(fine), None);
    }

    #[test]
    fn pods_are_told_apart_by_their_labels() {
        let web = json!({ "kind": "Deployment", "spec": { "selector": { "matchLabels": { "a": "web" } } } });
        let job = json!({ "kind": "Job", "metadata": { "name": "web" } });
        let pod = |labels: Value| json!({ "metadata": { "labels": labels } });
        assert!(is_pod_of(&pod(json!({ "a": "web", "b": "1" })), &web));
        assert!(!is_pod_of(&pod(json!({ "a": "web", "job-name": "x" })), &web));
        assert!(is_pod_of(&pod(json!({ "a": "web", "job-name": "web" })), &job));
        assert!(!is_pod_of(&pod(json!({})), &json!({ "kind": "Deployment", "spec": {} })));
    }
}
