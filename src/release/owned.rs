//! What of an object in the cluster is hoist's: the fields that its managed fields name. Applied again, they put the
//! object back to what hoist had made of it, and touch nothing of anybody else's.

use serde_json::{Map, Value, json};

use super::MANAGER;

/// What hoist had applied of an object; `None` where it had applied nothing.
#[must_use]
pub fn applied(live: &Value) -> Option<Value> {
    let fields = fields(live)?;
    let mut body = extract(live, fields);
    body["apiVersion"] = live["apiVersion"].clone();
    body["kind"] = live["kind"].clone();
    body["metadata"]["name"] = live["metadata"]["name"].clone();
    Some(body)
}

/// Whether hoist had applied a field, by its names from the top.
#[must_use]
pub fn has_applied(live: &Value, path: &[&str]) -> bool {
    let found = path.iter().try_fold(fields(live), |fields, name| Some(fields?.get(format!("f:{name}"))));
    found.flatten().is_some()
}

/// Who else has set fields of an object, sorted.
#[must_use]
pub fn managers(live: &Value) -> Vec<String> {
    let entries = live["metadata"]["managedFields"].as_array().into_iter().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.get("subresource").is_none())
        .filter_map(|entry| entry["manager"].as_str())
        .filter(|manager| *manager != MANAGER)
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

fn fields(live: &Value) -> Option<&Value> {
    let entries = live["metadata"]["managedFields"].as_array()?;
    let ours = |entry: &&Value| {
        entry["manager"] == MANAGER && entry["operation"] == "Apply" && entry.get("subresource").is_none()
    };
    entries.iter().find(ours).map(|entry| &entry["fieldsV1"])
}

/// The part of a value that a set of fields names.
fn extract(value: &Value, fields: &Value) -> Value {
    let Some(fields) = fields.as_object().filter(|fields| !fields.is_empty()) else { return value.clone() };
    match value {
        Value::Object(object) => {
            let mut part = Map::new();
            for (key, inner) in fields {
                let name = key.strip_prefix("f:").unwrap_or_default();
                if let Some(value) = object.get(name) {
                    part.insert(name.to_owned(), extract(value, inner));
                }
            }
            Value::Object(part)
        }
        Value::Array(items) => {
            let parts = items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| fields.iter().find_map(|(key, inner)| element(item, index, key, inner)));
            parts.collect()
        }
        value => value.clone(),
    }
}

/// An element of a list, when this key of a set of fields means it.
fn element(item: &Value, index: usize, key: &str, inner: &Value) -> Option<Value> {
    if let Some(keys) = key.strip_prefix("k:") {
        let keys: Map<String, Value> = serde_json::from_str(keys).ok()?;
        // A key that the list has a default for need not have been written.
        if !keys.iter().all(|(name, value)| item.get(name).is_none_or(|found| found == value)) {
            return None;
        }
        let mut part = extract(item, inner);
        if let Some(part) = part.as_object_mut() {
            part.extend(keys);
        }
        return Some(part);
    }
    let is_it = match (key.strip_prefix("v:"), key.strip_prefix("i:")) {
        (Some(value), _) => serde_json::from_str::<Value>(value).is_ok_and(|value| value == *item),
        (_, Some(number)) => number.parse() == Ok(index),
        _ => false,
    };
    is_it.then(|| extract(item, inner))
}

/// An object without what the cluster says of it, as somebody would write it.
#[must_use]
pub fn written(live: &Value) -> Value {
    let mut body = live.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = body["metadata"].as_object_mut() {
        for key in
            ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink", "namespace"]
        {
            metadata.remove(key);
        }
    }
    if body["metadata"] == json!(null) {
        body["metadata"] = json!({});
    }
    body
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{applied, has_applied, managers};

    #[test]
    fn what_hoist_applied_is_told_from_what_others_set() {
        let live = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "uid": "1", "labels": { "a": "1", "b": "2" },
                "managedFields": [
                    { "manager": "hoist", "operation": "Apply", "fieldsV1": {
                        "f:metadata": { "f:labels": { "f:a": {} } },
                        "f:spec": { "f:template": { "f:spec": { "f:containers": {
                            "k:{\"name\":\"web\"}": {
                                ".": {}, "f:name": {}, "f:command": {},
                                "f:ports": { "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": { ".": {}, "f:containerPort": {} } }
                            }
                        } } } }
                    } },
                    { "manager": "kubectl", "operation": "Update", "fieldsV1": { "f:spec": { "f:replicas": {} } } },
                    { "manager": "kube-controller-manager", "operation": "Update", "subresource": "status", "fieldsV1": {} }
                ]
            },
            "spec": { "replicas": 5, "template": { "spec": { "containers": [
                { "name": "sidecar", "image": "x" },
                { "name": "web", "image": "y", "command": ["a", "b"], "ports": [
                    { "containerPort": 80, "protocol": "TCP" }, { "containerPort": 81, "protocol": "TCP" }
                ] }
            ] } } },
            "status": {}
        });
        assert_eq!(
            applied(&live),
            Some(json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": { "name": "web", "labels": { "a": "1" } },
                "spec": { "template": { "spec": { "containers": [
                    { "name": "web", "command": ["a", "b"], "ports": [{ "containerPort": 80, "protocol": "TCP" }] }
                ] } } }
            }))
        );
        assert!(has_applied(&live, &["metadata", "labels", "a"]) && !has_applied(&live, &["spec", "replicas"]));
        assert_eq!(managers(&live), ["kubectl"]);
        assert_eq!(applied(&json!({ "metadata": { "name": "x" } })), None);
    }
}
