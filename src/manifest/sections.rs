//! The finished tree → its sections, typed. Every problem of form is told on the way.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;

use super::keys;
use super::nearest::nearest;
use super::node::{Entry, Node};
use super::problem::Problem;
use super::raw::fields::fields_of;
use super::raw::manifest::Manifest;
use super::raw::network::Network;
use super::raw::service::{Nullable, Service};
use super::raw::storage::{Config, Model, Secret, Volume};
use super::read::{self, Context};
use super::scalar::Resolved;

/// A manifest as written.
#[derive(Debug, Clone, Default)]
pub(super) struct Sections {
    pub(super) services: BTreeMap<String, Service>,
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) volumes: BTreeMap<String, Volume>,
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) configs: BTreeMap<String, Config>,
    pub(super) models: BTreeMap<String, Model>,
    /// The resources whose name was written, yet is empty, by section and key.
    pub(super) nameless: Vec<(&'static str, String)>,
    /// The `x-…` of the top.
    pub(super) extensions: IndexMap<String, serde_json::Value>,
    /// The `x-…` of services.
    pub(super) service_extensions: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

/// Reads all sections.
pub(super) fn read(tree: &Node, context: &Context<'_>) -> Sections {
    let mut sections = Sections::default();
    let Some(map) = tree.as_map() else { return sections };
    for entry in &map.entries {
        match &*entry.key {
            "services" => {
                let mut ports = 0;
                sections.services = section_while(entry, context, |service: &Service| {
                    ports += service.ports.0.len();
                    ports <= MAX_PORTS
                });
                if ports > MAX_PORTS {
                    let message = format!("the services publish more than {MAX_PORTS} ports");
                    context.report(Problem::error(message).at(entry.key_place));
                }
                sections.service_extensions = service_extensions(&entry.value);
            }
            "networks" => sections.networks = nullable(section(entry, context)),
            "volumes" => sections.volumes = nullable(section(entry, context)),
            "secrets" => sections.secrets = section(entry, context),
            "configs" => sections.configs = section(entry, context),
            "models" => sections.models = section(entry, context),
            "version" => version(entry, context),
            "name" => name(entry, context),
            key if key.starts_with("x-") => {
                sections.extensions.insert(key.to_owned(), json(&entry.value));
            }
            _ => unknown(entry, context),
        }
    }
    sections
}

/// How many ports all services together may publish: ranges make that many of few words.
const MAX_PORTS: usize = 65535;

fn section<T: DeserializeOwned>(entry: &Entry, context: &Context<'_>) -> BTreeMap<String, T> {
    section_while(entry, context, |_| true)
}

/// Reads items as long as they are wanted.
fn section_while<T: DeserializeOwned>(
    entry: &Entry,
    context: &Context<'_>,
    mut wanted: impl FnMut(&T) -> bool,
) -> BTreeMap<String, T> {
    let mut items = BTreeMap::new();
    let Some(map) = entry.value.as_map() else {
        if entry.value.is_null() && &*entry.key != "services" {
            return items;
        }
        let problem = Problem::error(format!("expected a mapping of {}", entry.key)).at(entry.place());
        context.report(problem.hint("write a name and its settings below each other"));
        return items;
    };
    for item in map.entries.iter().filter(|item| !item.key.starts_with("x-")) {
        let legal = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        if item.key.is_empty() || !item.key.chars().all(legal) {
            let problem = Problem::error(format!("`{}` cannot be a name", item.key)).at(item.key_place);
            context.report(problem.hint("use letters, digits, `.`, `_` and `-`"));
            continue;
        }
        if let Some(value) = read::read(&item.value, item.place(), context) {
            if !wanted(&value) {
                break;
            }
            items.insert(item.key.to_string(), value);
        }
    }
    items
}

fn nullable<T: Default>(items: BTreeMap<String, Nullable<T>>) -> BTreeMap<String, T> {
    items.into_iter().map(|(key, Nullable(value))| (key, value.unwrap_or_default())).collect()
}

fn version(entry: &Entry, context: &Context<'_>) {
    if entry.value.resolved().is_none_or(|resolved| !matches!(resolved, Resolved::Text(_))) {
        let problem = Problem::error("expected text for `version`").at(entry.place());
        context.report(problem.hint("take `version` away: it has no effect"));
        return;
    }
    let problem = Problem::warning("`version` is obsolete and has no effect").at(entry.key_place);
    context.report(problem.hint("take the line away"));
}

fn name(entry: &Entry, context: &Context<'_>) {
    if !matches!(entry.value.resolved(), Some(Resolved::Text(_))) {
        let problem = Problem::error("expected text for the project's `name`").at(entry.place());
        context.report(problem.hint("write it in quotes"));
    }
}

fn unknown(entry: &Entry, context: &Context<'_>) {
    let (_, fields) = fields_of::<Manifest>();
    let problem = Problem::error(format!("unknown key `{}`", entry.key)).at(entry.key_place);
    context.report(match nearest(&entry.key, fields.iter().copied()) {
        Some(name) => problem.hint(format!("did you mean `{name}`?")),
        None => problem.hint(keys::where_known(&entry.key, "Manifest")),
    });
}

fn service_extensions(services: &Node) -> BTreeMap<String, BTreeMap<String, serde_json::Value>> {
    let mut found = BTreeMap::new();
    for service in services.as_map().map(|map| map.entries.as_slice()).unwrap_or_default() {
        let entries = service.value.as_map().map(|map| map.entries.as_slice()).unwrap_or_default();
        let own = entries.iter().filter(|entry| entry.key.starts_with("x-"));
        let own: BTreeMap<_, _> = own.map(|entry| (entry.key.to_string(), json(&entry.value))).collect();
        if !own.is_empty() {
            found.insert(service.key.to_string(), own);
        }
    }
    found
}

/// A value that is free of form, as JSON.
pub(super) fn json(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    if let Some(items) = node.as_list() {
        return items.iter().map(json).collect();
    }
    if let Some(map) = node.as_map() {
        let mut sorted: Vec<_> = map.entries.iter().collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        return Json::Object(sorted.iter().map(|entry| (entry.key.to_string(), json(&entry.value))).collect());
    }
    match node.resolved() {
        Some(Resolved::Flag(value)) => value.into(),
        Some(Resolved::Integer(value)) => value.into(),
        Some(Resolved::Unsigned(value)) => value.into(),
        Some(Resolved::Float(value)) => value.into(),
        Some(Resolved::Text(text)) => text.into(),
        Some(Resolved::Null) | None => Json::Null,
    }
}
