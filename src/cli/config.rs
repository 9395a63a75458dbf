//! `hoist config`: the resolved manifest, or one fact of it.

use std::fmt::Write as _;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
    let loaded = session::load_as(global, &[], !arguments.no_interpolate)?;
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
