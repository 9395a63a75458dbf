//! Apply sets (KEP-3659): a label on every object of a project, and a parent object that says which kinds there are, so
//! that what the project no longer has is found again, by hoist and by every other tool that knows them.

use std::collections::BTreeSet;

use base64::Engine as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::item::Id;

/// The label of members.
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";

/// The label of the parent.
const ID: &str = "applyset.kubernetes.io/id";

/// The annotation of the parent that says who looks after the set.
const TOOLING: &str = "applyset.kubernetes.io/tooling";

/// The annotation of the parent that says which kinds have members.
const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";

/// The parent of a project's objects: a `ConfigMap` of this name.
#[must_use]
pub fn parent_id(project: &str) -> Id {
    let (group, version, kind) = (String::new(), "v1".to_owned(), "ConfigMap".to_owned());
    Id { group, version, kind, name: format!("hoist-{}", crate::export::label(project)) }
}

/// The identity of a set, by its parent and the namespace of that.
#[must_use]
pub fn id(parent: &Id, namespace: &str) -> String {
    let text = format!("{}.{namespace}.{}.{}", parent.name, parent.kind, parent.group);
    let digest = Sha256::digest(text.as_bytes());
    format!("applyset-{}-v1", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest))
}

/// The parent, of a set with members of these kinds.
#[must_use]
pub fn parent(parent: &Id, set: &str, project: &str, kinds: &BTreeSet<GroupKind>) -> Value {
    let kinds: Vec<String> = kinds.iter().map(GroupKind::to_string).collect();
    json!({
        "apiVersion": parent.api_version(),
        "kind": parent.kind,
        "metadata": {
            "name": parent.name,
            "labels": { ID: set, "app.kubernetes.io/managed-by": "hoist" },
            "annotations": { TOOLING: tooling(), KINDS: kinds.join(",") }
        },
        "data": { "project": project }
    })
}

fn tooling() -> String {
    format!("hoist/v{}", env!("CARGO_PKG_VERSION"))
}

/// A kind of object, of whatever version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKind {
    /// The kind.
    pub kind: String,
    /// The group; empty for the first one.
    pub group: String,
}

impl GroupKind {
    /// Of an object.
    #[must_use]
    pub fn of(id: &Id) -> Self {
        Self { kind: id.kind.clone(), group: id.group.clone() }
    }
}

impl std::fmt::Display for GroupKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.kind)?;
        if self.group.is_empty() { Ok(()) } else { write!(formatter, ".{}", self.group) }
    }
}

/// What a parent in the cluster says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parent {
    /// It is hoist's; its set has members of these kinds.
    Ours(BTreeSet<GroupKind>),
    /// It is somebody else's, whose name this is.
    Foreign(String),
}

/// Reads the parent.
#[must_use]
pub fn read(parent: &Value, set: &str) -> Parent {
    let annotation = |key: &str| parent["metadata"]["annotations"][key].as_str().unwrap_or_default();
    let tooling = annotation(TOOLING);
    let labelled = parent["metadata"]["labels"][ID] == set;
    if !labelled || tooling.split('/').next() != Some("hoist") {
        return Parent::Foreign(if tooling.is_empty() { "somebody else".to_owned() } else { tooling.to_owned() });
    }
    let kinds = annotation(KINDS).split(',').filter(|text| !text.is_empty()).map(|text| {
        let (kind, group) = text.split_once('.').unwrap_or((text, ""));
        GroupKind { kind: kind.to_owned(), group: group.to_owned() }
    });
    Parent::Ours(kinds.collect())
}

/// The set that an object in the cluster belongs to.
#[must_use]
pub fn set_of(object: &Value) -> Option<&str> {
    object["metadata"]["labels"][PART_OF].as_str()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::{GroupKind, Parent, id, parent, parent_id, read};

    #[test]
    fn the_identity_is_that_of_the_proposal() {
        // python3: base64.urlsafe_b64encode(hashlib.sha256(b"hoist-shop.default.ConfigMap.").digest()), without its "=".
        let parent = parent_id("shop");
        assert_eq!(id(&parent, "default"), "applyset-xHE3CibWD6CKxzEO1gBmhJzewi9s7o9A5jf-_0xDr_Y-v1");
        assert_ne!(id(&parent, "other"), id(&parent, "default"));
    }

    #[test]
    fn a_parent_is_read_as_it_was_written_and_another_tools_is_known() {
        let this = parent_id("shop");
        let kinds: BTreeSet<GroupKind> = [("Deployment", "apps"), ("ConfigMap", ""), ("HTTPRoute", "gateway.x.io")]
            .map(|(kind, group)| GroupKind { kind: kind.to_owned(), group: group.to_owned() })
            .into();
        let mut object = parent(&this, "applyset-x-v1", "shop", &kinds);
        let listed = "ConfigMap,Deployment.apps,HTTPRoute.gateway.x.io";
        assert_eq!(object["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"], listed);
        assert_eq!(read(&object, "applyset-x-v1"), Parent::Ours(kinds));
        object["metadata"]["annotations"]["applyset.kubernetes.io/tooling"] = json!("kubectl/v1.33");
        assert_eq!(read(&object, "applyset-x-v1"), Parent::Foreign("kubectl/v1.33".to_owned()));
    }
}
