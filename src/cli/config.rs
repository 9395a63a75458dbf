//! `hoist config`: the resolved manifest, or one fact of it.

use std::fmt::Write as _;

use crate::manifest::Loaded;
use crate::project::config_hash;

/// What `config` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The whole model as YAML.
    Yaml,
    /// The whole model as JSON.
    Json,
    /// The names of the services, a line each.
    Services,
    /// The keys of the volumes, a line each.
    Volumes,
    /// The keys of the networks, a line each.
    Networks,
    /// The images, a line each.
    Images,
    /// The profiles that the manifest knows, a line each.
    Profiles,
    /// `service hash` lines of these services; empty or `*` is all.
    Hash(Vec<String>),
    /// The variables that the manifest was read with, `KEY=value` lines.
    Environment,
    /// Nothing: only problems are shown.
    Quiet,
}

/// The text for standard output, ending in a line end unless empty.
#[must_use]
pub fn print_config(loaded: &Loaded, output: &Output) -> String {
    let project = &loaded.project;
    match output {
        Output::Yaml => serde_yaml::to_string(&loaded.model).unwrap_or_else(|error| format!("# {error}\n")),
        Output::Json => format!("{:#}\n", loaded.model),
        Output::Services => lines(project.services.keys()),
        Output::Volumes => lines(project.volumes.keys()),
        Output::Networks => lines(project.networks.keys()),
        Output::Images => lines(project.services.values().map(|service| project.image_of(service))),
        Output::Profiles => {
            let all = project.services.values().chain(project.disabled.values());
            lines(all.flat_map(|service| &service.profiles).collect::<std::collections::BTreeSet<_>>())
        }
        Output::Hash(names) => project
            .services
            .values()
            .filter(|service| names.iter().all(|name| name == "*") || names.contains(&service.name))
            .fold(String::new(), |mut text, service| {
                let _ = writeln!(text, "{} {}", service.name, config_hash(project, service));
                text
            }),
        Output::Environment => lines(loaded.environment.iter().map(|(key, value)| format!("{key}={value}"))),
        Output::Quiet => String::new(),
    }
}

fn lines<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().fold(String::new(), |mut text, item| {
        let _ = writeln!(text, "{item}");
        text
    })
}
