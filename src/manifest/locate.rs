//! The place of a value that a later check finds wrong: its path is walked down the tree again, as far as it goes.

use super::node::{Node, Value};
use super::problem::Place;

/// Where a path leads. A part is a key, or the text of a list's item up to a `:` or `=`, or `#N` for its number.
pub(super) fn locate(tree: &Node, path: &[&str]) -> Option<Place> {
    let mut node = tree;
    let mut place = None;
    for part in path {
        match &node.value {
            Value::Map(map) => {
                let Some(entry) = map.get(part) else { break };
                place = Some(entry.key_place);
                node = &entry.value;
            }
            Value::List(items) => {
                let numbered = part.strip_prefix('#').and_then(|number| number.parse::<usize>().ok());
                let found = match numbered {
                    Some(number) => items.get(number),
                    None => items.iter().find(|item| names(item, part)),
                };
                let Some(item) = found else { break };
                place = Some(item.shown_place());
                node = item;
            }
            Value::Scalar(_) => break,
        }
    }
    place
}

/// Whether a path leads to something.
pub(super) fn leads(tree: &Node, path: &[&str]) -> bool {
    let Some((last, above)) = path.split_last() else { return true };
    let mut node = tree;
    for part in above {
        let Some(next) = node.get(part) else { return false };
        node = next;
    }
    match &node.value {
        Value::Map(map) => map.get(last).is_some(),
        Value::List(items) => items.iter().any(|item| names(item, last)),
        Value::Scalar(_) => node.as_text().is_some_and(|text| text.strip_prefix("service:") == Some(last)),
    }
}

/// Where a path leads, at the value when it is a scalar.
pub(super) fn locate_value(tree: &Node, path: &[&str]) -> Option<Place> {
    let place = locate(tree, path);
    let value = path.iter().try_fold(tree, |node, part| node.get(part));
    match value.map(|value| (value, &value.value)) {
        Some((value, Value::Scalar(_))) if !value.is_null() => Some(value.place),
        _ => place,
    }
}

fn names(item: &Node, name: &str) -> bool {
    let text = item.as_text().or_else(|| item.get("source").and_then(Node::as_text));
    text.is_some_and(|text| text.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '='])))
}
