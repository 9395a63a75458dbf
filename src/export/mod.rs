//! A project as Kubernetes objects: a Deployment or Job for each service, the Service by which others reach it, its
//! environment and files as `ConfigMap`s and `Secret`s, its volumes as claims, and a list of what could not be carried
//! over.
//!
//! What this module never does: read files (it is handed their content), talk to a cluster, or leave something of the
//! manifest out without saying so. Every field is the typed one of `k8s-openapi`; [`check`] holds the result against
//! the rules that a real API server has beyond types.

mod check;
mod container;
pub mod diagram;
mod environment;
mod files;
mod hosts;
mod loss;
mod name;
mod object;
mod ports;
mod probe;
mod secrecy;
pub mod shape;
mod storage;
mod supplied;
mod workload;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::project::{Condition, Project, RestartPolicy, Service};

pub use check::{Violation, check};
pub use container::built_images;
pub use files::{File, wanted_files};
pub use loss::{Fate, Loss, Supply};
pub use object::{Kind, Object, Reference};
pub use supplied::keep_supplied;
pub use yaml::{WriteError, document, stream};

use hosts::Hosts;
use name::Names;

/// How a project is exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What goes before the names of images that the project builds: `registry.example.com/team`.
    pub registry: Option<String>,
    /// What stands in the Secrets.
    pub secrets: SecretValues,
    /// The files that [`wanted_files`] asked for; one that is missing here is dropped with a note.
    pub files: BTreeMap<PathBuf, File>,
}

/// What stands in the exported Secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretValues {
    /// A word that says that the value is still to be supplied.
    Placeholder,
    /// The values of this machine.
    Values,
}

/// What stands in a Secret for a value that is to be supplied.
pub const PLACEHOLDER: &str = "REPLACE_ME";

/// An exported project.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Export {
    /// The objects, sorted by kind (what is referred to comes first) and name.
    pub objects: Vec<Object>,
    /// What could not be carried over as it is, sorted by manifest key.
    pub losses: Vec<Loss>,
    /// The values that must be supplied before the objects are applied, sorted.
    pub supplies: Vec<Supply>,
    /// Objects that are referred to but made by somebody else.
    pub external: BTreeSet<Reference>,
}

impl Export {
    fn dropped(&mut self, key: String, reason: impl Into<String>) {
        self.losses.push(Loss { key, fate: Fate::Dropped, reason: reason.into() });
    }

    fn approximated(&mut self, key: String, reason: impl Into<String>) {
        self.losses.push(Loss { key, fate: Fate::Approximated, reason: reason.into() });
    }
}

/// What every part of an export looks things up in.
struct Context<'a> {
    project: &'a Project,
    options: &'a Options,
    names: Names,
    hosts: Hosts,
    /// Values that are kept in Secrets.
    secret_values: BTreeSet<&'a str>,
    /// The services that somebody waits for until they have exited.
    one_shot: BTreeSet<&'a str>,
    /// The services that somebody needs while they run.
    needed: BTreeSet<&'a str>,
}

/// Turns a project into Kubernetes objects.
#[must_use]
pub fn kubernetes(project: &Project, options: &Options) -> Export {
    let context = Context {
        project,
        options,
        names: Names::of(project),
        hosts: Hosts::of(project),
        secret_values: secrecy::known_values(project),
        one_shot: one_shot_services(project),
        needed: needed_services(project),
    };
    let mut export = Export::default();
    storage::claims(&context, &mut export);
    files::shared(&context, &mut export);
    for service in project.services.values() {
        if service.is_on_machine() {
            let reason = "it runs on this machine's own files; give it an `image` or a `build` that holds its program";
            export.dropped(service_key(service, "image"), reason);
            continue;
        }
        workload::write(&context, service, &mut export);
        ports::write(&context, service, &mut export);
    }
    note_project(project, &mut export);
    export.objects.sort_by(|a, b| (a.kind(), a.name()).cmp(&(b.kind(), b.name())));
    export.losses.sort();
    export.losses.dedup();
    export.supplies.sort();
    export.supplies.dedup();
    export
}

/// What the services are called in the cluster, by their names in the manifest.
#[must_use]
pub fn service_names(project: &Project) -> BTreeMap<String, String> {
    Names::of(project).services
}

/// The nearest name that an object may have.
#[must_use]
pub fn label(text: &str) -> String {
    name::label(text)
}

/// An object that is a value already as a YAML document, its fields in the usual order.
#[must_use]
pub fn text_of(object: serde_json::Value) -> String {
    yaml::value(yaml::identity_first(object))
}

/// Services that others wait for to exit with code 0. One that is restarted whenever it exits never does.
fn one_shot_services(project: &Project) -> BTreeSet<&str> {
    dependencies(project, |condition| condition == Condition::Completed)
        .filter(|name| {
            project
                .services
                .get(*name)
                .is_some_and(|service| !matches!(service.restart, RestartPolicy::Always | RestartPolicy::UnlessStopped))
        })
        .collect()
}

fn needed_services(project: &Project) -> BTreeSet<&str> {
    dependencies(project, |condition| condition != Condition::Completed).collect()
}

fn dependencies(project: &Project, wanted: impl Fn(Condition) -> bool) -> impl Iterator<Item = &str> {
    project
        .services
        .values()
        .flat_map(|service| &service.depends_on)
        .filter(move |(_, dependency)| wanted(dependency.condition))
        .map(|(name, _)| name.as_str())
}

/// What concerns the project as a whole.
fn note_project(project: &Project, export: &mut Export) {
    for service in project.disabled.values() {
        export.dropped(service_key(service, "profiles"), "its profiles are not active; export it with `--profile`");
    }
    let joined: BTreeSet<&String> = project.services.values().flat_map(workload::networks_of).collect();
    for (key, network) in &project.networks {
        if network.internal {
            export.dropped(
                format!("networks.{key}.internal"),
                "a cluster's pods reach the outside; write a NetworkPolicy",
            );
        } else if joined.len() > 1 && joined.contains(key) {
            export.dropped(
                format!("networks.{key}"),
                "every pod of the cluster reaches every other; write a NetworkPolicy",
            );
        }
    }
}

/// The key of a service's attribute as people write it: `services.web.user`.
fn service_key(service: &Service, attribute: &str) -> String {
    format!("services.{}.{attribute}", service.name)
}
