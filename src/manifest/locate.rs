//! The place of a value that a later check finds wrong: its path is walked down the tree again, as far as it goes.

use std::collections::HashMap;

use super::node::{Node, Value};
use super::problem::{Place, Problem};

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

/// Says of each problem with a place what it is about in the finished tree: `services.web.ports[0]`.
pub(super) fn name_paths(tree: &Node, problems: &mut [Problem]) {
    let nameless = |problem: &&Problem| problem.path.is_none();
    let wanted = problems.iter().filter(nameless).filter_map(|problem| Some((problem.place?, None)));
    let mut paths: HashMap<Place, Option<String>> = wanted.collect();
    if !paths.is_empty() {
        find_paths(tree, "", &mut paths);
    }
    for problem in problems.iter_mut().filter(|problem| problem.path.is_none()) {
        problem.path = problem.place.and_then(|place| paths.get(&place).cloned().flatten());
    }
}

/// The first path to each place that is wanted. A place inside a text is not found.
fn find_paths(node: &Node, path: &str, paths: &mut HashMap<Place, Option<String>>) {
    if let Some(wanted) = paths.get_mut(&node.place).filter(|_| node.as_map().is_none() && !path.is_empty()) {
        wanted.get_or_insert_with(|| path.to_owned());
    }
    match &node.value {
        Value::Scalar(_) => {}
        Value::List(items) => {
            for (number, item) in items.iter().enumerate() {
                find_paths(item, &format!("{path}[{number}]"), paths);
            }
        }
        Value::Map(map) => {
            for entry in &map.entries {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{}", entry.key);
                if let Some(wanted) = paths.get_mut(&entry.key_place) {
                    wanted.get_or_insert_with(|| path.clone());
                }
                find_paths(&entry.value, &path, paths);
            }
        }
    }
}

fn names(item: &Node, name: &str) -> bool {
    let text = item.as_text().or_else(|| item.get("source").and_then(Node::as_text));
    text.is_some_and(|text| text.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '='])))
}

#[cfg(test)]
mod tests {
    use super::name_paths;
    use crate::manifest::parse::parse;
    use crate::manifest::problem::{Place, Problem};

    #[test]
    fn a_place_is_named_by_its_path() {
        let text = "services:\n  web:\n    ports:\n      - 80:80\n      - target: 81\n    image: x\n";
        let (documents, _) = parse(text, 0);
        let at = |part: &str| {
            let start = text.find(part).expect("it is there");
            let offset = |at: usize| u32::try_from(at).expect("a short text");
            Problem::error(part).at(Place { file: 0, start: offset(start), end: offset(start + part.len()) })
        };
        let mut problems = ["web", "80:80", "target", "81", "image", "x", "t"].map(at);
        name_paths(&documents[0], &mut problems);
        assert_eq!(
            problems.map(|problem| problem.path.unwrap_or_default()),
            [
                "services.web",
                "services.web.ports[0]",
                "services.web.ports[1].target",
                "services.web.ports[1].target",
                "services.web.image",
                "services.web.image",
                ""
            ]
        );
    }
}
