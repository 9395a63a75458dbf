//! `hoist config`: the resolved manifest, or one fact of it.

mod json;
mod yaml;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::cli::check::{self, Asked, Report};
use crate::cli::error::Error;
use crate::cli::global::Global;
use crate::cli::output::print;
use crate::cli::session;
use crate::manifest::{Loaded, Steps, Use};
use crate::project::config_hash;

/// Show the manifest as it is understood
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// The services to show, with all that they depend on; all when none is named
    #[arg(value_name = "SERVICE")]
    names: Vec<String>,
    /// How to print the whole of it; with `--check` what is found, as text unless said otherwise
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
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
    /// Print the variables that the manifest names, with their defaults
    #[arg(long, group = "fact")]
    variables: bool,
    /// Print the models' names
    #[arg(long, group = "fact")]
    models: bool,
    /// Say what is wrong and what will bite; `hoist explain` knows the rules
    #[arg(long, group = "fact")]
    check: bool,
    /// With `--check`: let warnings fail too
    #[arg(short = 'D', long, requires = "check")]
    strict: bool,
    /// Leave `$` variables as they are written
    #[arg(long)]
    no_interpolate: bool,
    /// Leave away what is not written but meant
    #[arg(long)]
    no_normalize: bool,
    /// Leave paths as they are written
    #[arg(long)]
    no_path_resolution: bool,
    /// Taken for docker compose's sake, where it changes nothing
    #[arg(long, hide = true)]
    no_env_resolution: bool,
    /// Show also what contradicts itself
    #[arg(long)]
    no_consistency: bool,
    /// Write to a file
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
}

impl Arguments {
    fn steps(&self) -> Steps {
        Steps {
            interpolate: !self.no_interpolate,
            normalize: !self.no_normalize,
            paths: !self.no_path_resolution,
            // Names and the like are known without reading what containers are given.
            variables: !(self.no_interpolate
                || self.services
                || self.volumes
                || self.networks
                || self.images
                || self.models
                || self.profiles),
            checks: !self.no_consistency,
            ports: false,
        }
    }
}

/// How the whole model is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// As YAML.
    Yaml,
    /// As JSON.
    Json,
    /// As SARIF, which code hosts and editors read; with `--check` only.
    Sarif,
}

/// Runs the command.
pub(super) fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    if arguments.check {
        return check::run(global, &Asked::of(arguments));
    }
    if arguments.format == Some(Format::Sarif) {
        return Err(Error::Usage {
            message: "`--format sarif` is for what `--check` finds".into(),
            hint: Some("run `hoist config --check --format sarif`".into()),
        });
    }
    if arguments.variables {
        let uses = session::variables(global, &arguments.names)?;
        return print(&variables_table(&uses)).map(|()| 0);
    }
    let mut loaded = session::load_as(global, &arguments.names, arguments.steps())?;
    // A list of names is always that of all.
    if !(arguments.services || arguments.volumes || arguments.networks || arguments.models || arguments.profiles) {
        loaded.keep_only(&arguments.names);
    }
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

impl Asked {
    fn of(arguments: Arguments) -> Self {
        let report = match arguments.format {
            None | Some(Format::Yaml) => Report::Text,
            Some(Format::Json) => Report::Json,
            Some(Format::Sarif) => Report::Sarif,
        };
        Self {
            report,
            services: arguments.names,
            interpolate: !arguments.no_interpolate,
            strict: arguments.strict,
            file: arguments.output,
        }
    }
}

fn output(arguments: Arguments) -> Output {
    let facts = [
        (arguments.services, Output::Services),
        (arguments.volumes, Output::Volumes),
        (arguments.networks, Output::Networks),
        (arguments.images, Output::Images),
        (arguments.profiles, Output::Profiles),
        (arguments.models, Output::Models),
        (arguments.environment, Output::Environment),
        (arguments.quiet, Output::Quiet),
    ];
    let whole = match arguments.format {
        Some(Format::Json) => Output::Json,
        _ => Output::Yaml,
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
    /// The keys of the models, a line each.
    Models,
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
        Output::Models => lines(loaded.model.get("models").and_then(Value::as_object).into_iter().flat_map(Map::keys)),
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

/// The variables that a manifest names as a table, as wide as it must be.
#[must_use]
pub fn variables_table(uses: &BTreeMap<String, Use>) -> String {
    let head = ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"].map(str::to_owned);
    let row = |(name, known): (&String, &Use)| {
        [name.clone(), known.required.to_string(), known.default.clone(), known.alternate.clone()]
    };
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(uses.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count() + 3).max().unwrap_or(0).max(20);
    let widths = [width(0), width(1), width(2)];
    rows.iter().fold(String::new(), |mut text, row| {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(text, "{cell:width$}");
        }
        let _ = writeln!(text, "{}", row[3]);
        text
    })
}

/// Doubles every dollar sign, so that the text can be read as a manifest again.
fn escaped(loaded: &Loaded, text: String) -> String {
    if loaded.interpolated && text.contains('$') { text.replace('$', "$$") } else { text }
}

/// The model as JSON; models have never been in it, and what is empty only when variables are replaced.
fn json(loaded: &Loaded) -> String {
    let Value::Object(map) = &loaded.model else { return String::new() };
    let mut sections: Vec<(&String, &Value)> = map.iter().filter(|(key, _)| *key != "models").collect();
    sections.sort_unstable_by_key(|(key, _)| *key);
    let mut model: Value = sections.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    if !loaded.interpolated {
        for extra in &loaded.extras {
            extra.insert(&mut model);
        }
        drop_empty(&mut model);
        model.sort_all_objects();
    }
    json::write(&model)
}

/// The model as YAML, with the extensions of services and without what only programs want to see.
fn yaml(loaded: &Loaded) -> String {
    let mut model = loaded.model.clone();
    for extra in &loaded.extras {
        extra.insert(&mut model);
    }
    drop_empty(&mut model);
    if !loaded.interpolated {
        model.sort_all_objects();
    }
    yaml::write(&model)
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
            if section == "services" {
                small_keys(value);
            }
        }
    }
}

/// The limits of block devices, whose keys only programs know with capital letters.
fn small_keys(service: &mut Value) {
    let limits = service.get_mut("blkio_config").and_then(Value::as_object_mut);
    for item in limits.into_iter().flat_map(Map::values_mut).filter_map(Value::as_array_mut).flatten() {
        if let Value::Object(map) = item {
            *map = std::mem::take(map).into_iter().map(|(key, value)| (key.to_lowercase(), value)).collect();
        }
    }
}

/// Takes out the mappings that programs expect even when nothing is in them.
fn without_empty(value: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Object(map) => map.iter().all(|(key, value)| value.is_null() && !key.starts_with("x-")),
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

fn lines<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().fold(String::new(), |mut text, item| {
        let _ = writeln!(text, "{item}");
        text
    })
}
