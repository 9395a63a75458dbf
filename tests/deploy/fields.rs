//! Sets of fields, as a server keeps them for each manager of an object, and values found and changed by them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// A step into a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// A field of a map.
    Field(String),
    /// The element of a list that has these keys, as JSON.
    Key(String),
}

/// Where a value is.
pub(crate) type Path = Vec<Step>;

/// By which of its fields an element of a list is known; lists that are not here are replaced whole.
fn keys(list: &str, element: &Value) -> Option<&'static [&'static str]> {
    Some(match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => &["name"],
        "volumeMounts" => &["mountPath"],
        "ports" if element.get("containerPort").is_some() => &["containerPort", "protocol"],
        "ports" if element.get("port").is_some() => &["port", "protocol"],
        _ => return None,
    })
}

fn key_of(list: &str, element: &Value) -> Option<String> {
    let mut found = Map::new();
    for key in keys(list, element)? {
        let default = if *key == "protocol" { json!("TCP") } else { Value::Null };
        found.insert((*key).to_owned(), element.get(*key).cloned().unwrap_or(default));
    }
    Some(Value::Object(found).to_string())
}

/// The fields that a value has; `list` is the field that it is in.
pub(crate) fn leaves(value: &Value, list: &str, at: &mut Path, found: &mut BTreeSet<Path>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                at.push(Step::Field(name.clone()));
                leaves(value, name, at, found);
                at.pop();
            }
        }
        Value::Array(items) if !items.is_empty() && items.iter().all(|item| key_of(list, item).is_some()) => {
            for item in items {
                at.extend(key_of(list, item).map(Step::Key));
                found.insert(at.clone());
                leaves(item, "", at, found);
                at.pop();
            }
        }
        _ => {
            found.insert(at.clone());
        }
    }
}

/// The value at a path.
pub(crate) fn get<'a>(value: &'a Value, path: &[Step], list: &str) -> Option<&'a Value> {
    let Some((step, rest)) = path.split_first() else { return Some(value) };
    match step {
        Step::Field(name) => get(value.get(name)?, rest, name),
        Step::Key(key) => {
            let items = value.as_array()?;
            get(items.iter().find(|item| key_of(list, item).as_ref() == Some(key))?, rest, "")
        }
    }
}

/// Puts a value in its place; what is above it is made.
pub(crate) fn set(value: &mut Value, path: &[Step], new: &Value, list: &str) {
    let Some((step, rest)) = path.split_first() else {
        *value = new.clone();
        return;
    };
    match step {
        Step::Field(name) => {
            if !value.is_object() {
                *value = json!({});
            }
            set(&mut value[name.as_str()], rest, new, name);
        }
        Step::Key(key) => {
            if !value.is_array() {
                *value = json!([]);
            }
            let items = value.as_array_mut().expect("it is a list");
            let index = items.iter().position(|item| key_of(list, item).as_ref() == Some(key)).unwrap_or_else(|| {
                items.push(serde_json::from_str(key).expect("a key is JSON"));
                items.len() - 1
            });
            if !rest.is_empty() {
                set(&mut items[index], rest, new, "");
            }
        }
    }
}

/// Takes a value out of its place.
pub(crate) fn remove(value: &mut Value, path: &[Step], list: &str) {
    match path {
        [Step::Field(name)] => {
            value.as_object_mut().and_then(|fields| fields.remove(name));
        }
        [Step::Key(key)] => {
            if let Some(items) = value.as_array_mut() {
                items.retain(|item| key_of(list, item).as_ref() != Some(key));
            }
        }
        [Step::Field(name), rest @ ..] => {
            if let Some(inner) = value.get_mut(name) {
                remove(inner, rest, name);
                if *inner == json!({}) || *inner == json!([]) {
                    value.as_object_mut().and_then(|fields| fields.remove(name));
                }
            }
        }
        [Step::Key(key), rest @ ..] => {
            let items = value.as_array_mut().into_iter().flatten();
            items.filter(|item| key_of(list, item).as_ref() == Some(key)).for_each(|item| remove(item, rest, ""));
        }
        [] => {}
    }
}

/// A set of fields as objects carry it: `fieldsV1`.
pub(crate) fn encoded(paths: &BTreeSet<Path>) -> Value {
    let mut root = json!({});
    for path in paths {
        let mut at = &mut root;
        for step in path {
            let name = match step {
                Step::Field(name) => format!("f:{name}"),
                Step::Key(key) => format!("k:{key}"),
            };
            at = &mut at[name];
            if at.is_null() {
                *at = json!({});
            }
        }
        if matches!(path.last(), Some(Step::Key(_))) {
            at["."] = json!({});
        }
    }
    root
}

/// A path as a server writes it in a conflict: `.spec.replicas`.
pub(crate) fn shown(path: &[Step]) -> String {
    path.iter().fold(String::new(), |text, step| match step {
        Step::Field(name) => format!("{text}.{name}"),
        Step::Key(key) => format!("{text}[{key}]"),
    })
}
