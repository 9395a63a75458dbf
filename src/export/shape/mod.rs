//! Folders that an export is written to: a kustomize base with overlays, a Helm chart, and how a second export meets what
//! somebody has edited since the first.
//!
//! What this module never does: read or write files. A folder is a [`Tree`] of texts; everything in it is made from typed
//! objects, never from text with holes.

pub mod chart;
mod environment;
pub mod folder;
pub mod kustomize;
pub mod last;
mod lines;

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Kind, Object};

/// Files by their path in a folder, with `/` between its parts.
pub type Tree = BTreeMap<String, Text>;

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// What it says.
    pub content: String,
    /// It holds values that only its owner is to read.
    pub private: bool,
}

impl Text {
    /// A file that anybody may read.
    #[must_use]
    pub fn public(content: String) -> Self {
        Self { content, private: false }
    }
}

/// Whether only its owner is to read an object's file.
fn is_private(object: &Object) -> bool {
    object.kind() == Kind::Secret
}

/// The label that says which service an object is of.
const NAME: &str = "app.kubernetes.io/name";

/// The service that an object is of, by the name that it has in the cluster.
fn service_of(object: &Object) -> Option<&str> {
    object.metadata().labels.as_ref()?.get(NAME).map(String::as_str)
}

/// The fields of an object; empty for one that cannot be written, which writing it tells.
fn fields(object: &Object) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// Where the pod of a workload stands in its fields, for every kind that has one.
const PODS: [&str; 2] = ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];

/// The containers of an object's pods, those that run before the others last.
fn containers(fields: &Value) -> impl Iterator<Item = &Value> {
    let pod = PODS.iter().find_map(|path| fields.pointer(path));
    let lists = ["containers", "initContainers"].into_iter().filter_map(move |key| pod?.get(key)?.as_array());
    lists.flatten()
}

/// An image in two: what it is called, and its tag; an image with a digest keeps it in its name's place.
fn image_parts(image: &str) -> (&str, Option<&str>) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && !image.contains('@') => (name, Some(tag)),
        _ => (image, None),
    }
}

#[cfg(test)]
mod tests {
    use super::image_parts;

    #[test]
    fn a_port_is_no_tag_and_a_digest_has_none() {
        assert_eq!(image_parts("web"), ("web", None));
        assert_eq!(image_parts("localhost:5000/web"), ("localhost:5000/web", None));
        assert_eq!(image_parts("localhost:5000/web:1"), ("localhost:5000/web", Some("1")));
        assert_eq!(image_parts("web:1@sha256:ab"), ("web:1@sha256:ab", None));
    }
}
