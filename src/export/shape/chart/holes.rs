//! The places in an object that the values of a chart fill.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::super::digest::ANNOTATION;
use super::super::super::yaml::{self, Entry, Hole, Node};
use super::super::super::{Object, WriteError};
use super::super::{PODS, fields, image_parts, service_of};
use super::values::{Values, digest};

/// The texts of `ConfigMap`s that are variables, and of Secrets, are values of the chart.
pub(super) fn register_texts(object: &Object, values: &mut Values) {
    let fields = fields(object);
    if let Some((section, list)) = texts(object)
        && let Some(texts) = fields.get(list)
    {
        let schema = json!({ "type": "object", "additionalProperties": { "type": "string" } });
        values.add(&[section, object.name()], texts.clone(), schema);
    }
}

/// In which section of the values, and in which of its fields, an object has texts that are values.
fn texts(object: &Object) -> Option<(&'static str, &'static str)> {
    match object.kind().as_str() {
        "ConfigMap" if object.name().ends_with("-env") => Some(("config", "data")),
        "Secret" => Some(("secrets", "stringData")),
        _ => None,
    }
}

/// An object with its holes, and the expression without which it is not there at all.
pub(super) fn template(object: &Object, values: &mut Values) -> Result<(Node, Option<String>), WriteError> {
    let mut node = yaml::node(object)?;
    let fields = fields(object);
    let service = service_of(object).unwrap_or_else(|| object.name()).to_owned();
    let mut form = Form { node: &mut node, fields: &fields, service: &service, values };
    let guard = form.fill(object);
    Ok((node, guard))
}

/// An object that is being filled with holes.
struct Form<'a> {
    node: &'a mut Node,
    fields: &'a Value,
    service: &'a str,
    values: &'a mut Values,
}

impl Form<'_> {
    fn fill(&mut self, object: &Object) -> Option<String> {
        if let Some((section, list)) = texts(object)
            && self.fields.get(list).is_some()
        {
            let expression = super::values::expression(&[section, object.name()]);
            self.put(&format!("/{list}"), Hole::Block(expression));
        }
        self.namespaces();
        self.number("/spec/replicas", &["replicas"], 0);
        if let Some(path) = PODS.iter().find(|path| self.fields.pointer(path).is_some()) {
            self.pods(path);
        }
        match object.kind().as_str() {
            "PersistentVolumeClaim" => self.claim("/spec", object.name()),
            "StatefulSet" => self.claims_of_set(),
            "CronJob" => self.text("/spec/schedule", &["schedule"]),
            "Service" if object.name() == self.service => self.text("/spec/type", &["serviceType"]),
            "Service" => self.text("/spec/type", &["serviceTypes", object.name()]),
            "Ingress" => self.ingress(),
            "HTTPRoute" => self.hosts("/spec/hostnames"),
            "HorizontalPodAutoscaler" => {
                self.number("/spec/minReplicas", &["autoscaling", "minReplicas"], 1);
                self.number("/spec/maxReplicas", &["autoscaling", "maxReplicas"], 1);
                return self.switch(&["services", self.service, "autoscaling", "enabled"]);
            }
            "PodDisruptionBudget" => {
                return self.switch(&["services", self.service, "disruptionBudget", "enabled"]);
            }
            "NetworkPolicy" => return self.switch(&["networkPolicies", "enabled"]),
            _ => {}
        }
        None
    }

    /// Wherever a namespace is named, it is that of the release.
    fn namespaces(&mut self) {
        let subjects = list(self.fields, "/subjects").len();
        let places = (0..subjects).map(|index| format!("/subjects/{index}/namespace"));
        for place in places.chain(["/metadata/namespace".to_owned()]) {
            self.put(&place, Hole::Scalar(".Release.Namespace | quote".to_owned()));
        }
    }

    /// Whether there is such an object at all.
    fn switch(&mut self, path: &[&str]) -> Option<String> {
        self.values.add(path, json!(true), json!({ "type": "boolean" }))
    }

    fn put(&mut self, pointer: &str, hole: Hole) {
        if let Some(place) = place(self.node, pointer) {
            *place = Node::Hole(hole);
        }
    }

    fn add(&mut self, path: &[&str], value: Value, schema: Value) -> Option<String> {
        let path: Vec<&str> = ["services", self.service].iter().chain(path).copied().collect();
        self.values.add(&path, value, schema)
    }

    fn number(&mut self, pointer: &str, path: &[&str], minimum: i64) {
        let schema = json!({ "type": "integer", "minimum": minimum });
        if let Some(number) = self.fields.pointer(pointer).filter(|value| value.is_i64())
            && let Some(expression) = self.add(path, number.clone(), schema)
        {
            self.put(pointer, Hole::Scalar(format!("{expression} | int")));
        }
    }

    fn text(&mut self, pointer: &str, path: &[&str]) {
        if let Some(text) = self.fields.pointer(pointer).filter(|value| value.is_string())
            && let Some(expression) = self.add(path, text.clone(), json!({ "type": "string" }))
        {
            self.put(pointer, Hole::Scalar(format!("{expression} | quote")));
        }
    }

    /// Images, resources and the digest of what a pod reads.
    fn pods(&mut self, path: &str) {
        for list in ["containers", "initContainers"] {
            let containers = self.fields.pointer(&format!("{path}/{list}")).and_then(Value::as_array);
            for (index, container) in containers.into_iter().flatten().enumerate() {
                self.container(&format!("{path}/{list}/{index}"), container, list == "containers");
            }
        }
        let template = path.trim_end_matches("/spec");
        let annotation = format!("{template}/metadata/annotations/{}", ANNOTATION.replace('/', "~1"));
        let Some(exported) = self.fields.pointer(&annotation).and_then(Value::as_str) else { return };
        let mut read = BTreeSet::new();
        references(self.fields.pointer(path).unwrap_or(&Value::Null), &mut read);
        let read: Vec<[&str; 2]> = read
            .iter()
            .map(|(section, name)| [*section, name.as_str()])
            .filter(|path| self.values.get(path).is_some())
            .collect();
        let now: Vec<Value> = read.iter().filter_map(|path| self.values.get(path).cloned()).collect();
        if now.is_empty() {
            return;
        }
        let list: Vec<String> = read.iter().map(|path| format!("({})", super::values::expression(path))).collect();
        let expression = format!(
            "include \"hoist.digest\" (dict \"exported\" \"{exported}\" \"untouched\" \"{}\" \"now\" (list {}))",
            digest(&Value::Array(now)),
            list.join(" ")
        );
        self.put(&annotation, Hole::Scalar(expression));
    }

    fn container(&mut self, pointer: &str, container: &Value, is_main: bool) {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let (name, image) = (text(container.get("name")), text(container.get("image")));
        let schema = json!({
            "type": "object",
            "properties": {
                "repository": { "type": "string", "minLength": 1 },
                "tag": { "type": "string" },
                "digest": { "type": "string", "pattern": "^$|^sha256:[0-9a-f]{64}$" }
            },
            "required": ["repository"],
            "additionalProperties": false
        });
        let parts = image_values(&image);
        let expression = if is_main && name == self.service {
            self.add(&["image"], parts, schema)
        } else {
            let short = image_parts(&image).0.rsplit('/').next().unwrap_or_default().to_owned();
            let short = short.split('@').next().unwrap_or_default().to_owned();
            let taken = self.values.get(&["images", &short]).is_some_and(|other| *other != parts);
            let key = if taken { format!("{short}-of-{name}") } else { short };
            self.values.add(&["images", &key], parts, schema)
        };
        if let Some(expression) = expression {
            let hole = format!("include \"hoist.image\" ({expression}) | quote");
            self.put(&format!("{pointer}/image"), Hole::Scalar(hole));
        }
        if is_main
            && name == self.service
            && let Some(resources) = container.get("resources").filter(|value| value.is_object())
        {
            let quantities = json!({ "type": "object", "additionalProperties": { "type": ["string", "number"] } });
            let schema = json!({
                "type": "object",
                "properties": { "limits": quantities, "requests": quantities },
            });
            if let Some(expression) = self.add(&["resources"], resources.clone(), schema) {
                self.put(&format!("{pointer}/resources"), Hole::Block(expression));
            }
        }
    }

    fn claims_of_set(&mut self) {
        let claims = self.fields.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
        for (index, claim) in claims.into_iter().flatten().enumerate() {
            let name = claim.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            self.claim(&format!("/spec/volumeClaimTemplates/{index}/spec"), name);
        }
    }

    /// The size of a volume, and its class where the environment has one.
    fn claim(&mut self, pointer: &str, name: &str) {
        let size = format!("{pointer}/resources/requests/storage");
        if let Some(value) = self.fields.pointer(&size) {
            let schema = json!({ "type": "string", "minLength": 1 });
            if let Some(expression) = self.values.add(&["volumes", name, "size"], value.clone(), schema) {
                self.put(&size, Hole::Scalar(format!("{expression} | quote")));
            }
        }
        let class = self.fields.pointer(&format!("{pointer}/storageClassName"));
        let default = class.cloned().unwrap_or_else(|| json!(""));
        let expression = self.values.add(&["volumes", name, "storageClass"], default, json!({ "type": "string" }));
        if let (Some(expression), Some(Node::Map(entries))) = (expression, place(self.node, pointer)) {
            entries.retain(|entry| entry.key != "storageClassName");
            entries.push(Entry {
                key: "storageClassName".to_owned(),
                node: Node::Hole(Hole::Scalar(format!("{expression} | quote"))),
                guard: Some(expression),
            });
        }
    }

    /// The hosts of an Ingress, wherever in it they are named.
    fn ingress(&mut self) {
        self.text("/spec/ingressClassName", &["ingressClass"]);
        let mut places = Vec::new();
        for (index, rule) in list(self.fields, "/spec/rules").iter().enumerate() {
            places.extend(rule.get("host").map(|host| (format!("/spec/rules/{index}/host"), host.clone())));
        }
        let hosts: Vec<Value> = places.iter().map(|(_, host)| host.clone()).collect();
        for (index, entry) in list(self.fields, "/spec/tls").iter().enumerate() {
            for (number, host) in list(entry, "/hosts").iter().enumerate() {
                places.push((format!("/spec/tls/{index}/hosts/{number}"), host.clone()));
            }
        }
        if hosts.is_empty() {
            return;
        }
        let Some(expression) = self.add(&["hosts"], json!(hosts), hosts_schema(hosts.len())) else { return };
        for (pointer, host) in places {
            if let Some(number) = hosts.iter().position(|other| *other == host) {
                self.put(&pointer, Hole::Scalar(format!("{expression} {number} | quote")));
            }
        }
    }

    fn hosts(&mut self, pointer: &str) {
        if let Some(hosts) = self.fields.pointer(pointer).filter(|value| value.is_array())
            && let Some(expression) = self.add(&["hosts"], hosts.clone(), hosts_schema(1))
        {
            self.put(pointer, Hole::Block(expression));
        }
    }
}

fn hosts_schema(least: usize) -> Value {
    json!({ "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": least })
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An image as the values name it.
fn image_values(image: &str) -> Value {
    let (image, digest) = image.split_once('@').map_or((image, None), |(image, digest)| (image, Some(digest)));
    let (repository, tag) = image_parts(image);
    let mut parts = json!({ "repository": repository });
    if let Some(tag) = tag {
        parts["tag"] = json!(tag);
    }
    if let Some(digest) = digest {
        parts["digest"] = json!(digest);
    }
    parts
}

/// The `ConfigMap`s and Secrets that a pod reads.
fn references(value: &Value, found: &mut BTreeSet<(&'static str, String)>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let (section, name) = match key.as_str() {
                    "configMapRef" | "configMapKeyRef" | "configMap" => ("config", value.get("name")),
                    "secretRef" | "secretKeyRef" => ("secrets", value.get("name")),
                    "secret" => ("secrets", value.get("secretName").or_else(|| value.get("name"))),
                    _ => ("", None),
                };
                if let Some(name) = name.and_then(Value::as_str) {
                    found.insert((section, name.to_owned()));
                }
                references(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// The node at a JSON pointer.
fn place<'a>(node: &'a mut Node, pointer: &str) -> Option<&'a mut Node> {
    let mut node = node;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/");
        node = match node {
            Node::Map(entries) => &mut entries.iter_mut().find(|entry| entry.key == step)?.node,
            Node::List(items) => items.get_mut(step.parse::<usize>().ok()?)?,
            Node::Scalar(_) | Node::Hole(_) => return None,
        };
    }
    Some(node)
}
