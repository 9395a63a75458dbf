//! `hoist config`: the resolved manifest, or one fact of it.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::error::Error;
use super::global::Global;
use super::output::print;
use super::session;
use crate::manifest::Loaded;
use crate::project::config_hash;

/// Show the manifest as it is understood
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// The services to show, with all that they depend on; all when none is named
    #[arg(value_name = "SERVICE")]
    names: Vec<String>,
    /// How to print the whole of it
    #[arg(long, value_name = "FORMAT", default_value = "yaml", hide_default_value = true)]
    format: Format,
    /// Print the services' names
    #[arg(long, group = "fact")]
    services: bool,
    /// Print the volumes' names
    #[arg(long, group = "fact")]
    volumes: bool,
    /// Print the networks' names
    #[arg(long, group = "fact")]
    networks: bool,
    /// Print the images
    #[arg(long, group = "fact")]
    images: bool,
    /// Print the profiles
    #[arg(long, group = "fact")]
    profiles: bool,
    /// Print the configuration hash of a service, or of all for `*`
    #[arg(long, value_name = "SERVICE", group = "fact")]
    hash: Option<String>,
    /// Print the variables that the manifest is read with
    #[arg(long, group = "fact")]
    environment: bool,
    /// Print nothing but problems
    #[arg(short, long, group = "fact")]
    quiet: bool,
    /// Leave `$` variables as they are written
    #[arg(long)]
    no_interpolate: bool,
    /// Write to a file
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
}

/// How the whole model is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// As YAML.
    Yaml,
    /// As JSON.
    Json,
}

/// Runs the command.
pub(super) fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let mut loaded = session::load_as(global, &arguments.names, !arguments.no_interpolate)?;
    loaded.keep_only(&arguments.names);
    let file = arguments.output.clone();
    if let Some(name) = arguments.hash.as_ref().filter(|name| *name != "*") {
        session::check_services(std::slice::from_ref(name), loaded.project.services.keys())?;
    }
    let text = print_config(&loaded, &output(arguments));
    match file {
        Some(file) => std::fs::write(&file, text).map_err(Error::io(format!("write `{}`", file.display())))?,
        None => print(&text)?,
    }
    Ok(0)
}

fn output(arguments: Arguments) -> Output {
    let facts = [
        (arguments.services, Output::Services),
        (arguments.volumes, Output::Volumes),
        (arguments.networks, Output::Networks),
        (arguments.images, Output::Images),
        (arguments.profiles, Output::Profiles),
        (arguments.environment, Output::Environment),
        (arguments.quiet, Output::Quiet),
    ];
    let whole = match arguments.format {
        Format::Yaml => Output::Yaml,
        Format::Json => Output::Json,
    };
    let hash = arguments.hash.map(|name| Output::Hash(vec![name]));
    hash.or_else(|| facts.into_iter().find_map(|(asked, fact)| asked.then_some(fact))).unwrap_or(whole)
}

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
        Output::Yaml => escaped(loaded, yaml(loaded)),
        Output::Json => escaped(loaded, json(loaded)),
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

/// Doubles every dollar sign, so that the text can be read as a manifest again.
fn escaped(loaded: &Loaded, text: String) -> String {
    if loaded.interpolated && text.contains('$') { text.replace('$', "$$") } else { text }
}

/// The model as JSON; models have never been in it, and what is empty only when variables are replaced.
fn json(loaded: &Loaded) -> String {
    if loaded.interpolated && loaded.model.get("models").is_none() {
        return format!("{:#}\n", loaded.model);
    }
    let mut model = loaded.model.clone();
    if let Value::Object(map) = &mut model {
        map.shift_remove("models");
    }
    if !loaded.interpolated {
        drop_empty(&mut model);
    }
    format!("{model:#}\n")
}

/// The model as YAML, with the extensions of services and without what only programs want to see.
fn yaml(loaded: &Loaded) -> String {
    let mut model = loaded.model.clone();
    if let Some(Value::Object(services)) = model.get_mut("services") {
        for (name, service) in services {
            let extensions = loaded.project.services.get(name).map(|service| &service.extensions);
            if let Value::Object(map) = service {
                map.extend(extensions.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
            }
        }
    }
    drop_empty(&mut model);
    guard(&mut model);
    match serde_yaml::to_string(&model) {
        Ok(text) => unguarded(&text),
        Err(error) => format!("# {error}\n"),
    }
}

/// Takes out what only programs want to see: commands that are the image's, mappings with nothing in them.
fn drop_empty(model: &mut Value) {
    for section in ["services", "networks"] {
        for value in
            model.get_mut(section).and_then(Value::as_object_mut).into_iter().flat_map(serde_json::Map::values_mut)
        {
            if let Value::Object(map) = value {
                map.retain(|key, value| !(value.is_null() && (key == "command" || key == "entrypoint")));
            }
            without_empty(value);
        }
    }
}

/// Takes out the mappings that programs expect even when nothing is in them.
fn without_empty(value: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Object(map) => map.values().all(Value::is_null),
        _ => false,
    };
    match value {
        Value::Object(map) => {
            map.retain(|key, value| {
                !(matches!(key.as_str(), "ipam" | "resources" | "placement" | "exec") && is_empty(value))
            });
            map.values_mut().for_each(without_empty);
        }
        Value::Array(items) => items.iter_mut().for_each(without_empty),
        _ => {}
    }
}

/// Marks words that older readers of YAML take for flags, because the writer leaves them without quotes.
const MARK: char = '\u{e000}';

fn is_old_flag(text: &str) -> bool {
    text.len() <= 3 && matches!(text.to_lowercase().as_str(), "y" | "n" | "yes" | "no" | "on" | "off")
}

fn guard(value: &mut Value) {
    match value {
        Value::String(text) if is_old_flag(text) => text.insert(0, MARK),
        Value::Array(items) => items.iter_mut().for_each(guard),
        Value::Object(map) => map.values_mut().for_each(guard),
        _ => {}
    }
}

fn unguarded(text: &str) -> String {
    let mut parts = text.split(MARK);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(part.len());
        let (word, rest) = part.split_at(end);
        let _ = write!(result, "\"{word}\"{rest}");
    }
    result
}

fn lines<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().fold(String::new(), |mut text, item| {
        let _ = writeln!(text, "{item}");
        text
    })
}
