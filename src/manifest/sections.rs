//! The finished tree → its sections, typed. Every problem of form is told on the way.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;

use super::keys;
use super::node::{Entry, Map, Node};
use super::problem::Problem;
use super::raw::fields::fields_of;
use super::raw::manifest::Manifest;
use super::raw::network::Network;
use super::raw::own::ProjectOwn;
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
    /// What is meant for hoist alone, of the whole project.
    pub(super) own: Option<ProjectOwn>,
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
                if key == "x-hoist" && !entry.value.is_null() {
                    sections.own = read::read(entry, "", context);
                }
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
        if !entry.value.is_null() || &*entry.key == "services" {
            context.report(no_mapping(entry));
        }
        return items;
    };
    let kind = match &*entry.key {
        "services" => "the service ",
        "networks" => "the network ",
        "volumes" => "the volume ",
        "secrets" => "the secret ",
        "configs" => "the config ",
        _ => "",
    };
    let beside = if kind == "the service " { beside_a_service(map) } else { None };
    if let Some((_, problem)) = &beside {
        context.report(problem.clone());
    }
    let not_beside = |item: &&Entry| beside.as_ref().is_none_or(|(keys, _)| !keys.contains(&&*item.key));
    for item in map.entries.iter().filter(|item| !item.key.starts_with("x-")).filter(not_beside) {
        let legal = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        if item.key.is_empty() || !item.key.chars().all(legal) {
            let problem = Problem::error(format!("`{}` cannot be a name", item.key)).at(item.key_place);
            let fit: String =
                item.key.chars().map(|character| if legal(character) { character } else { '-' }).collect();
            let rule = "letters, digits, `.`, `_` and `-`";
            context.report(problem.hint(match fit.trim_matches('-') {
                "" => format!("use {rule}"),
                fit => format!("write `{fit}`: names have {rule}"),
            }));
            continue;
        }
        if let Some(value) = read::read(item, kind, context) {
            if !wanted(&value) {
                break;
            }
            items.insert(item.key.to_string(), value);
        }
    }
    items
}

fn no_mapping(entry: &Entry) -> Problem {
    let example = match &*entry.key {
        "services" => "`web:`",
        "networks" => "`backend:`",
        "volumes" => "`data:`",
        "secrets" => "`token:`",
        "configs" => "`settings:`",
        _ => "`name:`",
    };
    let problem = Problem::error(format!("expected a mapping for `{}`, found {}", entry.key, described(&entry.value)));
    match entry.value.as_list() {
        Some(_) => {
            problem.at(entry.value.shown_place()).hint(format!("write names with a colon and no `- `: {example}"))
        }
        None => problem.at(entry.place()).hint(format!("write names with a colon below it, indented: {example}")),
    }
}

fn described(node: &Node) -> String {
    match node.as_text() {
        Some(text) if matches!(node.resolved(), Some(Resolved::Text(_))) => format!("the text `{text}`"),
        Some(text) => format!("`{text}`"),
        None if node.as_list().is_some() => "a list".to_owned(),
        None if node.as_map().is_some() => "a mapping".to_owned(),
        None => "nothing".to_owned(),
    }
}

/// A service with nothing below it, and its attributes beside it: the keys that are told with it.
fn beside_a_service(map: &Map) -> Option<(Vec<&str>, Problem)> {
    let (_, fields) = fields_of::<Service>();
    let at = map.entries.windows(2).position(|pair| {
        pair[0].value.is_null() && !fields.contains(&&*pair[0].key) && fields.contains(&&*pair[1].key)
    })?;
    let name = &map.entries[at];
    let attributes = map.entries[at + 1..].iter().take_while(|entry| fields.contains(&&*entry.key));
    let keys: Vec<&str> = attributes.map(|entry| &*entry.key).collect();
    let listed: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    let (stand, them) = if keys.len() == 1 { ("stands", "it") } else { ("stand", "them") };
    let problem =
        Problem::error(format!("{} {stand} beside the service `{}` and not below it", listed.join(", "), name.key))
            .at(map.entries[at + 1].key_place)
            .related(name.key_place, "nothing stands below it")
            .hint(format!("indent {them} further than `{}`", name.key));
    Some((std::iter::once(&*name.key).chain(keys).collect(), problem))
}

fn nullable<T: Default>(items: BTreeMap<String, Nullable<T>>) -> BTreeMap<String, T> {
    items.into_iter().map(|(key, Nullable(value))| (key, value.unwrap_or_default())).collect()
}

fn version(entry: &Entry, context: &Context<'_>) {
    if entry.value.resolved().is_none_or(|resolved| !matches!(resolved, Resolved::Text(_))) {
        let found = described(&entry.value);
        let problem = Problem::error(format!("expected text for `version`, found {found}")).at(entry.place());
        context.report(problem.hint("take the line away: `version` has no effect"));
        return;
    }
    let problem = Problem::warning("`version` is obsolete and has no effect").code("H008").at(entry.key_place);
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
    let (hint, _) = keys::unknown(&entry.key, &entry.value, "Manifest", fields);
    context.report(Problem::error(format!("unknown key `{}`", entry.key)).at(entry.key_place).hint(hint));
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
