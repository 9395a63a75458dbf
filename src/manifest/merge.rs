//! One manifest over another: mappings merge by key, lists append, scalars are replaced, and the specification's
//! exceptions. That an item of a list stands there once is seen to later, when items are typed.

use std::collections::HashMap;

use super::node::{Entry, Map, Node, Tag, Value};
use super::problem::{Place, Problem};
use super::trail::Trail;

/// What is done where two values meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Mappings by key, lists appended, scalars replaced.
    Deep,
    /// The later value alone, also when it is null.
    Replace,
    /// As [`Rule::Replace`], but null keeps the earlier value.
    ReplaceUnlessNull,
    /// A mapping or a list of `KEY=value`.
    KeyValues,
    /// One value or a list, appended.
    Append,
    /// A list of names, or a mapping from names to settings.
    Named,
    /// Like [`Rule::Named`], where a name alone asks for a started service.
    DependsOn,
    /// A folder alone is the context.
    Build,
    /// Hosts as a mapping or a list, appended as lines.
    Hosts,
    /// Options of one driver mean nothing to another.
    Logging,
    /// Pools of addresses, by subnet.
    Pools,
}

fn rule(path: &[Box<str>]) -> Rule {
    let parts: Vec<&str> = path.iter().map(|part| &**part).collect();
    match parts[..] {
        ["services", _, "command" | "entrypoint"] | ["services", _, "healthcheck", "test"] => Rule::Replace,
        ["services", _, "ulimits", _] => Rule::ReplaceUnlessNull,
        ["services", _, "environment" | "labels" | "annotations" | "sysctls"]
        | ["services", _, "build", "args" | "labels" | "additional_contexts"]
        | ["services", _, "deploy", "labels"]
        | ["networks" | "volumes" | "secrets" | "configs", _, "labels"] => Rule::KeyValues,
        ["services", _, "dns" | "dns_search" | "dns_opt" | "tmpfs" | "env_file" | "label_file"] => Rule::Append,
        ["services", _, "x-hoist", "allow"] | ["x-hoist", "allow"] => Rule::Append,
        ["services", _, "x-hoist", "kubernetes", "host" | "secret" | "plain" | "image_pull_secrets"]
        | ["x-hoist", "kubernetes", "image_pull_secrets"] => Rule::Append,
        ["services", _, "x-hoist", "kubernetes", "labels" | "annotations"]
        | ["x-hoist", "kubernetes", "labels" | "annotations"] => Rule::KeyValues,
        ["services", _, "networks" | "models"] => Rule::Named,
        ["services", _, "depends_on"] => Rule::DependsOn,
        ["services", _, "build"] => Rule::Build,
        ["services", _, "extra_hosts"] | ["services", _, "build", "extra_hosts"] => Rule::Hosts,
        ["services", _, "logging"] => Rule::Logging,
        ["networks", _, "ipam", "config"] => Rule::Pools,
        _ => Rule::Deep,
    }
}

/// Where a merge tells what it finds and does.
pub(super) struct Noted<'a> {
    pub(super) problems: &'a mut Vec<Problem>,
    pub(super) trail: &'a mut Trail,
}

/// Lays one value over another. The path is where they stand, which decides the rule.
pub(super) fn merge(base: &mut Node, over: Node, path: &mut Vec<Box<str>>, noted: &mut Noted<'_>) {
    let rule = rule(path);
    if over.tag == Tag::Override || rule == Rule::Replace {
        noted.trail.replace(base, &over);
        *base = over;
        base.tag = Tag::None;
        return;
    }
    if over.is_null() {
        return;
    }
    if base.is_null() || rule == Rule::ReplaceUnlessNull {
        noted.trail.replace(base, &over);
        *base = over;
        return;
    }
    match rule {
        Rule::KeyValues => merge_key_values(base, over, noted),
        Rule::Append => append(base, into_list(over)),
        Rule::Hosts => {
            *base = hosts(std::mem::replace(base, Node::null(over.place)));
            append(base, hosts(over));
        }
        Rule::Named => merge_named(base, over, path, noted, &Node::null),
        Rule::DependsOn => merge_named(base, over, path, noted, &started),
        Rule::Build => {
            *base = build(std::mem::replace(base, Node::null(over.place)));
            deep(base, build(over), path, noted);
        }
        Rule::Logging if driver(base).zip(driver(&over)).is_some_and(|(a, b)| a != b) => *base = over,
        Rule::Pools => merge_pools(base, over, path, noted),
        _ => deep(base, over, path, noted),
    }
}

fn deep(base: &mut Node, over: Node, path: &mut Vec<Box<str>>, noted: &mut Noted<'_>) {
    let over_place = over.shown_place();
    let base_place = base.shown_place();
    if matches!((&base.value, &over.value), (Value::Scalar(_), Value::Scalar(_))) {
        noted.trail.replace(base, &over);
    }
    let (form, base_form) = (form(&over), form(base));
    match (&mut base.value, over.value) {
        (Value::Map(base), Value::Map(over)) => merge_maps(base, over, path, noted),
        (Value::List(base), Value::List(over)) => base.extend(over),
        (Value::Scalar(_), value @ Value::Scalar(_)) => {
            base.value = value;
            base.place = over.place;
        }
        (_, _) => {
            let name = path.last().map_or("", |name| name);
            noted.problems.push(
                Problem::error(format!("`{name}` is {form} here, but {base_form} where it is set before"))
                    .at(over_place)
                    .related(base_place, format!("{base_form}, set before"))
                    .hint(format!("write {base_form} here too, or replace it wholly: `{name}: !override`")),
            );
        }
    }
}

fn form(node: &Node) -> &'static str {
    match &node.value {
        Value::Scalar(_) => "a single value",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
    }
}

fn merge_maps(base: &mut Map, over: Map, path: &mut Vec<Box<str>>, noted: &mut Noted<'_>) {
    // Few keys are found faster by looking than by hashing.
    let index: Option<HashMap<Box<str>, usize>> = (base.entries.len() > 16)
        .then(|| base.entries.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at)).collect());
    let mut removed = Vec::new();
    for entry in over.entries {
        let at = match &index {
            Some(index) => index.get(&entry.key).copied(),
            None => base.entries.iter().position(|known| known.key == entry.key),
        };
        match at {
            Some(at) if entry.value.tag == Tag::Reset => removed.push(at),
            Some(at) => {
                path.push(entry.key);
                base.entries[at].key_place = entry.key_place;
                merge(&mut base.entries[at].value, entry.value, path, noted);
                path.pop();
            }
            None if entry.value.tag == Tag::Reset => {}
            None => base.entries.push(entry),
        }
    }
    removed.sort_unstable();
    for at in removed.into_iter().rev() {
        base.entries.remove(at);
    }
}

fn append(base: &mut Node, over: Node) {
    if !matches!(base.value, Value::List(_)) {
        let place = base.place;
        *base = into_list(std::mem::replace(base, Node::null(place)));
    }
    if let (Value::List(base), Value::List(over)) = (&mut base.value, over.value) {
        base.extend(over);
    }
}

fn into_list(node: Node) -> Node {
    if node.as_list().is_some() {
        return node;
    }
    let place = node.place;
    Node::list(vec![node], place)
}

fn merge_key_values(base: &mut Node, over: Node, noted: &mut Noted<'_>) {
    let place = base.place;
    *base = key_values(std::mem::replace(base, Node::null(place)));
    let over = key_values(over);
    let (Value::Map(base), Value::Map(over)) = (&mut base.value, over.value) else { return };
    for entry in over.entries {
        let reset = entry.value.tag == Tag::Reset;
        match base.entries.iter().position(|known| known.key == entry.key) {
            Some(at) if reset => {
                base.entries.remove(at);
            }
            Some(at) => {
                noted.trail.replace(&base.entries[at].value, &entry.value);
                base.entries[at] = entry;
            }
            None if reset => {}
            None => base.entries.push(entry),
        }
    }
}

/// A list of `KEY=value` as a mapping; what is no text stays as it is and is told later.
fn key_values(node: Node) -> Node {
    match node.value {
        Value::List(items) if items.iter().all(|item| item.as_text().is_some()) => {
            let entries = items.into_iter().map(|item| {
                let text = item.as_text().unwrap_or_default();
                match text.split_once('=') {
                    Some((key, value)) => Entry::new(key, item.place, Node::text(value, item.place)),
                    None => Entry::new(text, item.place, Node::null(item.place)),
                }
            });
            let mut map = Map::default();
            for entry in entries {
                map.entries.retain(|known: &Entry| known.key != entry.key);
                map.entries.push(entry);
            }
            Node::map(map, node.place)
        }
        _ => node,
    }
}

fn merge_named(
    base: &mut Node,
    over: Node,
    path: &mut Vec<Box<str>>,
    noted: &mut Noted<'_>,
    alone: &dyn Fn(Place) -> Node,
) {
    let place = base.place;
    *base = named(std::mem::replace(base, Node::null(place)), alone);
    deep(base, named(over, alone), path, noted);
}

fn named(node: Node, alone: &dyn Fn(Place) -> Node) -> Node {
    match node.value {
        Value::List(items) if items.iter().all(|item| item.as_text().is_some()) => {
            let entry = |item: Node| Entry::new(item.as_text().unwrap_or_default(), item.place, alone(item.place));
            Node::map(Map { entries: items.into_iter().map(entry).collect() }, node.place)
        }
        _ => node,
    }
}

fn started(place: Place) -> Node {
    let condition = Entry::new("condition", place, Node::text("service_started", place));
    let required = Entry::new("required", place, Node::text("true", place));
    Node::map(Map { entries: vec![condition, required] }, place)
}

fn build(node: Node) -> Node {
    match node.value {
        Value::Scalar(_) => {
            let place = node.place;
            Node::map(Map { entries: vec![Entry::new("context", place, node)] }, place)
        }
        _ => node,
    }
}

fn hosts(node: Node) -> Node {
    let Value::Map(map) = node.value else { return node };
    let mut lines = Vec::new();
    for entry in map.entries {
        let line = |address: &Node| {
            let text = format!("{}={}", entry.key, address.as_text().unwrap_or_default());
            Node::text(text, address.place)
        };
        match &entry.value.value {
            Value::List(addresses) => lines.extend(addresses.iter().map(line)),
            _ => lines.push(line(&entry.value)),
        }
    }
    Node::list(lines, node.place)
}

fn driver(logging: &Node) -> Option<&str> {
    logging.get("driver")?.as_text()
}

fn merge_pools(base: &mut Node, over: Node, path: &mut Vec<Box<str>>, noted: &mut Noted<'_>) {
    let (Value::List(base), Value::List(over)) = (&mut base.value, over.value) else { return };
    let subnet = |pool: &Node| pool.get("subnet").and_then(Node::as_text).map(str::to_owned);
    for pool in over {
        let wanted = subnet(&pool);
        match base.iter_mut().find(|known| wanted.is_some() && subnet(known) == wanted) {
            Some(known) => {
                path.push("*".into());
                merge(known, pool, path, noted);
                path.pop();
            }
            None => base.push(pool),
        }
    }
}

/// Takes out what `!reset` marks and nothing below has.
pub(super) fn drop_reset(node: &mut Node) {
    match &mut node.value {
        Value::Scalar(_) => {}
        Value::List(items) => items.iter_mut().for_each(drop_reset),
        Value::Map(map) => {
            map.entries.retain(|entry| entry.value.tag != Tag::Reset);
            map.entries.iter_mut().for_each(|entry| drop_reset(&mut entry.value));
        }
    }
}
