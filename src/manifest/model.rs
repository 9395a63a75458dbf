//! The canonical model: completed sections as JSON, as `config --format json` has always printed it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::raw::Blank;
use super::sections::Sections;

/// The model of a project, sections that are empty left out.
pub(super) fn model(name: &str, sections: &Sections) -> Value {
    let mut model = Map::new();
    model.insert("name".to_owned(), name.into());
    let mut services = json(&sections.services);
    services.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(drop_zeros);
    model.insert("services".to_owned(), services);
    insert(&mut model, "networks", &sections.networks);
    insert(&mut model, "volumes", &sections.volumes);
    insert(&mut model, "secrets", &sections.secrets);
    insert(&mut model, "configs", &sections.configs);
    insert(&mut model, "models", &sections.models);
    model.extend(sections.extensions.iter().map(|(key, value)| (key.clone(), value.clone())));
    let mut model = Value::Object(model);
    for (section, key) in &sections.nameless {
        if let Some(Value::Object(item)) = model.get_mut(section).and_then(|items| items.get_mut(key)) {
            item.shift_remove("name");
        }
    }
    model
}

/// Numbers that mean nothing else than that there is none, by where they stand.
const ZEROS: &[(&[&str], &[&str])] = &[
    (
        &[],
        &[
            "cpu_count",
            "cpu_percent",
            "cpu_period",
            "cpu_quota",
            "cpu_rt_period",
            "cpu_rt_runtime",
            "cpu_shares",
            "cpus",
            "mem_swappiness",
            "oom_score_adj",
            "pids_limit",
        ],
    ),
    (&["blkio_config"], &["weight"]),
    (&["networks", "*"], &["gw_priority", "priority"]),
    (&["deploy", "placement"], &["max_replicas_per_node"]),
    (&["deploy", "resources", "*"], &["cpus", "pids"]),
    (&["deploy", "update_config"], &["delay", "max_failure_ratio", "monitor"]),
    (&["deploy", "rollback_config"], &["delay", "max_failure_ratio", "monitor"]),
];

fn drop_zeros(service: &mut Value) {
    for (path, keys) in ZEROS {
        each(service, path, &mut |map| {
            map.retain(|key, value| {
                let zero = value.as_f64() == Some(0.0) || matches!(value.as_str(), Some("0" | "0s"));
                !(zero && keys.contains(&key.as_str()))
            });
        });
    }
}

/// Does something to each mapping that a path leads to; `*` is every key.
fn each(value: &mut Value, path: &[&str], action: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Value::Object(map) = value else { return };
    match path.split_first() {
        None => action(map),
        Some((&"*", rest)) => map.values_mut().for_each(|value| each(value, rest, action)),
        Some((key, rest)) => {
            if let Some(value) = map.get_mut(*key) {
                each(value, rest, action);
            }
        }
    }
}

fn insert<T: Serialize + Blank>(model: &mut Map<String, Value>, key: &str, section: &T) {
    if !section.is_blank() {
        model.insert(key.to_owned(), json(section));
    }
}

fn json<T: Serialize>(value: &T) -> Value {
    // Only keys that are no text could fail, and there are none.
    serde_json::to_value(value).unwrap_or_default()
}
