//! One object to be applied.

use std::fmt;

use base64::Engine as _;
use serde_json::{Map, Value, json};

use crate::export::Object;

use super::applyset;

/// Which object is meant, in one namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Its group; empty for the first one.
    pub group: String,
    /// Its version: `v1`.
    pub version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Id {
    /// The identity that an object names.
    #[must_use]
    pub fn of(body: &Value) -> Self {
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let api_version = text("/apiVersion");
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        Self { group: group.to_owned(), version: version.to_owned(), kind: text("/kind"), name: text("/metadata/name") }
    }

    /// Group and version as objects write them: `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} `{}`", self.kind, self.name)
    }
}

/// An object to be applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Which it is.
    pub id: Id,
    /// What it says.
    pub body: Value,
}

impl Item {
    /// The service that it is of, by the name that it has in the cluster.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.body.pointer("/metadata/labels/app.kubernetes.io~1name")?.as_str()
    }
}

/// The objects of an export as members of an apply set. Namespaces are left out: where objects go is for who deploys to
/// say.
#[must_use]
pub fn items(objects: &[Object], set: &str) -> Vec<Item> {
    let bodies = objects.iter().filter_map(|object| serde_json::to_value(object).ok());
    bodies.map(|body| member(body, set)).filter(|item| item.id.kind != "Namespace").collect()
}

fn member(mut body: Value, set: &str) -> Item {
    body["metadata"]["labels"][applyset::PART_OF] = json!(set);
    if let Some(metadata) = body["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    if body["kind"] == "Secret" {
        encode(&mut body);
    }
    Item { id: Id::of(&body), body }
}

/// Texts of a Secret among its bytes. Server-side apply does not know that the two are the same.
fn encode(body: &mut Value) {
    let Some(Value::Object(texts)) = body.as_object_mut().and_then(|fields| fields.remove("stringData")) else {
        return;
    };
    let encoded = texts.into_iter().filter_map(|(key, text)| Some((key, json!(base64(text.as_str()?)))));
    let encoded: Map<String, Value> = encoded.collect();
    match body.get_mut("data").and_then(Value::as_object_mut) {
        Some(data) => data.extend(encoded),
        None => body["data"] = encoded.into(),
    }
}

/// A text as Secrets hold it.
#[must_use]
pub fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Id, member};

    #[test]
    fn a_secret_has_bytes_only_and_every_object_its_set() {
        let body = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "s", "namespace": "x" },
            "stringData": { "a": "hi" }, "data": { "b": "aGk=" }
        });
        let item = member(body, "applyset-x");
        assert_eq!(item.body["data"], json!({ "a": "aGk=", "b": "aGk=" }));
        assert_eq!(item.body["metadata"]["labels"]["applyset.kubernetes.io/part-of"], "applyset-x");
        assert!(item.body.get("stringData").is_none() && item.body["metadata"].get("namespace").is_none());
    }

    #[test]
    fn an_object_says_which_it_is() {
        let id = Id::of(&json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" } }));
        assert_eq!((id.group.as_str(), id.version.as_str(), id.api_version().as_str()), ("apps", "v1", "apps/v1"));
        assert_eq!(id.to_string(), "Deployment `web`");
    }
}
