//! What differs between development and production, where nobody has said so: the few things that do so in any project.

use serde_json::{Map, Value, json};

use super::super::{Kind, Object};
use super::{PODS, fields};

/// Kinds that only production has: one replica needs neither.
pub(super) fn is_for_production(kind: Kind) -> bool {
    matches!(kind.as_str(), "HorizontalPodAutoscaler" | "PodDisruptionBudget")
}

/// How many pods a workload asks for.
pub(super) fn replicas(object: &Object) -> Option<i64> {
    fields(object).pointer("/spec/replicas")?.as_i64()
}

/// A patch that lets a workload reserve nothing, so that a small cluster has room for all; its limits stay. `None` for one
/// that reserves nothing anyway. Kubernetes reserves what is a limit where no request is named.
pub(super) fn without_reservations(object: &Object) -> Option<Value> {
    let fields = fields(object);
    let (place, pod) = PODS.iter().find_map(|path| Some((*path, fields.pointer(path)?)))?;
    let mut lists = Map::new();
    for key in ["containers", "initContainers"] {
        let containers = pod.get(key).and_then(Value::as_array);
        let unreserved: Vec<Value> = containers.into_iter().flatten().filter_map(without_requests).collect();
        if !unreserved.is_empty() {
            lists.insert(key.to_owned(), unreserved.into());
        }
    }
    if lists.is_empty() {
        return None;
    }
    let inner = place.rsplit('/').filter(|key| !key.is_empty());
    let mut patch = inner.fold(Value::Object(lists), |value, key| json!({ key: value }));
    identify(&mut patch, &fields);
    Some(patch)
}

fn without_requests(container: &Value) -> Option<Value> {
    let mut requests = Map::new();
    for list in ["limits", "requests"] {
        let named = container.pointer(&format!("/resources/{list}")).and_then(Value::as_object);
        requests.extend(named.into_iter().flatten().map(|(resource, _)| (resource.clone(), json!("0"))));
    }
    requests.retain(|resource, _| ["cpu", "memory"].contains(&resource.as_str()));
    (!requests.is_empty()).then(|| json!({ "name": container["name"], "resources": { "requests": requests } }))
}

/// A patch that lets programs say less in production than while they are written: `None` unless a variable that is a log
/// level by its name asks for more than `info`.
pub(super) fn quieter(object: &Object) -> Option<Value> {
    let fields = fields(object);
    if object.kind() != Kind::ConfigMap {
        return None;
    }
    let data = fields.get("data")?.as_object()?;
    let levels = data.iter().filter_map(|(key, value)| {
        let is_level = key.to_ascii_uppercase().replace('_', "").ends_with("LOGLEVEL");
        let quiet = quiet(value.as_str()?)?;
        is_level.then(|| (key.clone(), json!(quiet)))
    });
    let levels: Map<String, Value> = levels.collect();
    if levels.is_empty() {
        return None;
    }
    let mut patch = json!({ "data": levels });
    identify(&mut patch, &fields);
    Some(patch)
}

/// `info`, written as the talkative level is.
fn quiet(level: &str) -> Option<&'static str> {
    match level {
        "debug" | "trace" | "verbose" | "silly" => Some("info"),
        "DEBUG" | "TRACE" | "VERBOSE" => Some("INFO"),
        "Debug" | "Trace" | "Verbose" => Some("Info"),
        _ => None,
    }
}

/// Says in a patch which object it is for.
fn identify(patch: &mut Value, fields: &Value) {
    patch["apiVersion"] = fields["apiVersion"].clone();
    patch["kind"] = fields["kind"].clone();
    patch["metadata"] = json!({ "name": fields["metadata"]["name"] });
}
