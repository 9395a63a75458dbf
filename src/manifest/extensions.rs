//! What the types of a manifest do not hold, and `config` shows all the same: keys that begin with `x-`, and values that
//! still name variables.

use std::collections::HashSet;

use serde_json::{Map, Value as Json};

use super::node::{Node, Value};
use super::raw::port::ports_in;
use super::sections::json;

/// A value beside the model: where it belongs, and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Extra {
    /// The keys that lead to the mapping or list; the number of a list's item as text.
    path: Vec<Box<str>>,
    /// Its key there; `None` is an item of a list.
    key: Option<Box<str>>,
    value: Json,
}

impl Extra {
    /// Puts it into the model, where its place is still there.
    pub fn insert(&self, model: &mut Json) {
        let Some((last, above)) = self.path.split_last() else { return };
        let Some(parent) = above.iter().try_fold(model, |node, part| step(node, part)) else { return };
        // An attribute in which nothing else is written is not in the model; a resource that is not there is not used.
        if let (Json::Object(attributes), [_, _, ..]) = (&mut *parent, above) {
            attributes.entry(last.to_string()).or_insert_with(|| Json::Object(Map::new()));
        }
        let Some(place) = step(parent, last) else { return };
        match (place, &self.key) {
            (Json::Object(map), Some(key)) if !map.contains_key(&**key) => {
                map.insert(key.to_string(), self.value.clone());
            }
            (place @ Json::Null, Some(key)) => {
                *place = Json::Object(Map::from_iter([(key.to_string(), self.value.clone())]));
            }
            (Json::Array(items), None) => items.push(self.value.clone()),
            _ => {}
        }
    }
}

fn step<'m>(node: &'m mut Json, part: &str) -> Option<&'m mut Json> {
    match node {
        Json::Object(map) => map.get_mut(part),
        Json::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    }
}

/// The sections whose mappings may have keys of anybody's own.
const SECTIONS: [&str; 6] = ["services", "networks", "volumes", "secrets", "configs", "models"];

/// Every `x-` key below the sections.
pub(super) fn extensions(tree: &Node) -> Vec<Extra> {
    let mut found = Vec::new();
    collect(tree, &mut |_, key| key.starts_with("x-"), &mut found);
    found
}

/// The values that were left out when the manifest was read, by their addresses.
pub(super) fn left_out(tree: &Node, skipped: &HashSet<usize>) -> Vec<Extra> {
    let mut found = Vec::new();
    collect(tree, &mut |node, _| skipped.contains(&(std::ptr::from_ref(node) as usize)), &mut found);
    found
}

fn collect(tree: &Node, wanted: &mut dyn FnMut(&Node, &str) -> bool, found: &mut Vec<Extra>) {
    for entry in tree.as_map().map(|map| map.entries.as_slice()).unwrap_or_default() {
        if SECTIONS.contains(&&*entry.key) {
            below(&entry.value, &mut vec![entry.key.clone()], wanted, found);
        }
    }
}

fn below(node: &Node, path: &mut Vec<Box<str>>, wanted: &mut dyn FnMut(&Node, &str) -> bool, found: &mut Vec<Extra>) {
    match &node.value {
        Value::Scalar(_) => {}
        Value::List(items) => {
            let are_ports =
                matches!(&path[..], [section, _, attribute] if &**section == "services" && &**attribute == "ports");
            let mut at = 0;
            for item in items {
                if wanted(item, "") {
                    found.push(Extra { path: path.clone(), key: None, value: json(item) });
                } else if !matches!(item.value, Value::Scalar(_)) {
                    path.push(at.to_string().into());
                    below(item, path, wanted, found);
                    path.pop();
                }
                // A range is as many ports in the model.
                at += item.as_text().filter(|_| are_ports).map_or(1, ports_in);
            }
        }
        Value::Map(map) => {
            let known = found.len();
            for entry in &map.entries {
                if wanted(&entry.value, &entry.key) {
                    found.push(Extra { path: path.clone(), key: Some(entry.key.clone()), value: json(&entry.value) });
                } else if !matches!(entry.value.value, Value::Scalar(_)) {
                    path.push(entry.key.clone());
                    below(&entry.value, path, wanted, found);
                    path.pop();
                }
            }
            found[known..].sort_by(|a, b| (&a.path, &a.key).cmp(&(&b.path, &b.key)));
        }
    }
}
