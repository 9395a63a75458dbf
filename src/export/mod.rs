//! A project as Kubernetes objects: the owner of each service's pods, the Service by which others reach it, its
//! environment and files as `ConfigMap`s and `Secret`s, its volumes as claims, what leads hosts to it and what keeps it
//! apart from others; and a list of what could not be carried over.
//!
//! What this module never does: read files (it is handed their content), talk to a cluster, or leave something of the
//! manifest out without saying so. Every field is a typed one; [`check`] holds the result against the rules that a real
//! API server has beyond types.

mod check;
mod command;
mod container;
pub mod custom;
pub mod diagram;
mod digest;
mod entry;
mod environment;
mod files;
mod hosts;
mod image;
mod kompose;
mod loss;
mod name;
mod object;
mod options;
mod placement;
mod pod;
mod policy;
mod ports;
mod probe;
pub mod reference;
mod resources;
mod scale;
mod secrecy;
mod secrets;
mod security;
mod services;
pub mod shape;
mod storage;
mod supplied;
mod update;
mod wait;
mod workload;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};

use crate::project::kubernetes::{Kubernetes, WorkloadKind};
use crate::project::{Condition, Mount, MountSource, Networking, Project, RestartPolicy, Service, VolumesSource};

pub use check::{Violation, check};
pub use digest::update_digests;
pub use files::{File, FolderFile, wanted_files};
pub use loss::{Fate, Loss, Refusal, Supply};
pub use object::{Kind, Object, Reference};
pub use options::{Options, SecretValues};
pub use supplied::keep_supplied;
pub use yaml::{WriteError, document, stream};

use hosts::Hosts;
use image::Facts;
use name::Names;
use ports::PodPort;

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
    /// Why a service's pods are not held to the restricted Pod Security Standard, by service.
    pub unrestricted: BTreeMap<String, String>,
    /// The images that the project builds, by service, as the objects name them.
    pub images: BTreeMap<String, String>,
    /// What has to be added to the manifest before it can be exported at all; then the objects are not whole.
    pub refusals: Vec<Refusal>,
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
    /// What is asked for, the manifest's own words filled in.
    options: Options,
    names: Names,
    hosts: Hosts,
    /// Values that are kept in Secrets.
    secret_values: BTreeSet<&'a str>,
    /// The services that somebody waits for until they have exited.
    waited_for: BTreeSet<&'a str>,
    /// The services that somebody needs while they run.
    needed: BTreeSet<&'a str>,
    /// What each service is in a cluster.
    settings: BTreeMap<&'a str, Kubernetes>,
    /// What is known of each service's image.
    facts: BTreeMap<&'a str, Facts>,
    /// The services whose containers share a pod, by the one that owns it, which comes first.
    pods: BTreeMap<&'a str, Vec<&'a Service>>,
    /// The owner of the pod that a service's containers are in, when it is another one.
    owners: BTreeMap<&'a str, &'a str>,
    /// The pods that mount each named volume, by its key: the owner, and whether it writes.
    volume_users: BTreeMap<&'a str, BTreeMap<&'a str, bool>>,
    /// What owns the pods of each service that owns some.
    kinds: BTreeMap<&'a str, WorkloadKind>,
    /// The ports of each service.
    ports: BTreeMap<&'a str, Vec<PodPort>>,
    /// Somebody waits for a Job, which only the cluster's API tells of.
    asks_api: bool,
    /// For a service that the project does not have.
    nothing: (Kubernetes, Facts),
}

impl<'a> Context<'a> {
    fn new(project: &'a Project, options: &Options) -> Self {
        let options = options.over(project);
        let owners = owners(project);
        let mut pods: BTreeMap<&str, Vec<&Service>> = BTreeMap::new();
        for service in project.services.values().filter(|service| !owners.contains_key(service.name.as_str())) {
            pods.insert(&service.name, vec![service]);
        }
        for (name, owner) in &owners {
            if let (Some(pod), Some(service)) = (pods.get_mut(owner), project.services.get(*name)) {
                pod.push(service);
            }
        }
        let settings: BTreeMap<_, _> =
            project.services.values().map(|service| (service.name.as_str(), kompose::settings(service))).collect();
        let facts = project
            .services
            .values()
            .map(|service| (service.name.as_str(), image::facts(service, &options.files)))
            .collect();
        let mut context = Self {
            names: Names::of(project),
            hosts: Hosts::of(project),
            secret_values: secrecy::known_values(project, &settings),
            waited_for: dependencies(project, |condition| condition == Condition::Completed).collect(),
            needed: dependencies(project, |condition| condition != Condition::Completed).collect(),
            volume_users: volume_users(project, &pods),
            settings,
            facts,
            pods,
            owners,
            options,
            project,
            kinds: BTreeMap::new(),
            ports: BTreeMap::new(),
            asks_api: false,
            nothing: Default::default(),
        };
        let owners = context.pods.keys().filter_map(|name| project.services.get(*name));
        context.kinds = owners.map(|owner| (owner.name.as_str(), workload::kind(&context, owner))).collect();
        let ports = project.services.values().map(|service| (service.name.as_str(), ports::find(&context, service)));
        context.ports = ports.collect();
        context.asks_api = wait::asks_api(&context);
        context
    }

    fn settings(&self, service: &Service) -> &Kubernetes {
        self.settings.get(service.name.as_str()).unwrap_or(&self.nothing.0)
    }

    fn facts(&self, service: &Service) -> &Facts {
        self.facts.get(service.name.as_str()).unwrap_or(&self.nothing.1)
    }

    /// The service whose pods a service's containers are in.
    fn owner(&self, service: &'a Service) -> &'a Service {
        let owner = self.owners.get(service.name.as_str());
        owner.and_then(|owner| self.project.services.get(*owner)).unwrap_or(service)
    }

    /// What owns the pods of a service.
    fn kind(&self, service: &'a Service) -> WorkloadKind {
        let owner = self.owner(service);
        self.kinds.get(owner.name.as_str()).copied().unwrap_or(WorkloadKind::Deployment)
    }

    /// Whether a service's pods run to their end.
    fn is_job(&self, service: &'a Service) -> bool {
        matches!(self.kind(service), WorkloadKind::Job | WorkloadKind::CronJob)
    }
}

/// Turns a project into Kubernetes objects.
#[must_use]
pub fn kubernetes(project: &Project, options: &Options) -> Export {
    let context = Context::new(project, options);
    let mut export = Export::default();
    namespace(&context, &mut export);
    storage::claims(&context, &mut export);
    files::shared(&context, &mut export);
    for pod in context.pods.values() {
        let services: Vec<&Service> = pod.iter().copied().filter(|service| is_exported(service, &mut export)).collect();
        let Some(owner) = services.first().copied() else { continue };
        workload::write(&context, &services, &mut export);
        scale::write(&context, owner, &mut export);
        for service in &services {
            services::write(&context, service, &mut export);
            entry::write(&context, service, &mut export);
        }
        policy::write(&context, &services, &mut export);
    }
    note_project(&context, &mut export);
    digest::update_digests(&mut export.objects);
    secrets::externalise(&context, &mut export);
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

/// Whether a service has pods. One without an image has to be given one first.
fn is_exported(service: &Service, export: &mut Export) -> bool {
    if let Some(provider) = &service.provider {
        let reason = format!("`{}` provides it here; a cluster's has to be set up there", provider.program);
        export.dropped(service_key(service, "provider"), reason);
        return false;
    }
    if service.is_on_machine() {
        export.refusals.push(Refusal {
            key: format!("services.{}", service.name),
            message: format!("the service `{}` has no image", service.name),
            hint: "give it an `image`, or a `build` whose Dockerfile puts its program into one".to_owned(),
        });
        return false;
    }
    true
}

/// The namespace, when it is known, and the accounts of services.
fn namespace(context: &Context<'_>, export: &mut Export) {
    if let Some(name) = &context.options.namespace {
        let mut metadata = pod::metadata(context, name, None);
        metadata.namespace = None;
        export.objects.push(Namespace { metadata, ..Namespace::default() }.into());
    }
}

/// The account that a service's pods act as: it may do nothing, and pods are given no token of it.
fn account(context: &Context<'_>, service: &Service, export: &mut Export) -> String {
    if let Some(name) = &context.settings(service).service_account {
        export.external.insert(Reference { kind: Kind::ServiceAccount, name: name.clone() });
        return name.clone();
    }
    let name = context.names.service(&service.name);
    let metadata = pod::metadata(context, &name, Some(service));
    let account =
        ServiceAccount { metadata, automount_service_account_token: Some(false), ..ServiceAccount::default() };
    export.objects.push(account.into());
    name
}

/// The group of Kompose's that a service belongs to.
fn group(service: &Service) -> Option<&String> {
    service.labels.get("kompose.service.group").filter(|group| !group.is_empty())
}

/// Whose pods containers belong into that share another service's network, or a group of Kompose's.
fn owners(project: &Project) -> BTreeMap<&str, &str> {
    let mut first: BTreeMap<&String, &str> = BTreeMap::new();
    for service in project.services.values() {
        if let Some(group) = group(service) {
            first.entry(group).or_insert(&service.name);
        }
    }
    let next = |service: &'_ Service| {
        let of_network = match &service.networking {
            Networking::Service(other) => project.services.get_key_value(other).map(|(name, _)| name.as_str()),
            _ => None,
        };
        of_network.or_else(|| first.get(group(service)?).copied()).filter(|owner| *owner != service.name)
    };
    let mut owners = BTreeMap::new();
    for service in project.services.values() {
        let mut seen = BTreeSet::from([service.name.as_str()]);
        let mut owner = next(service);
        // Whoever shares with one that shares is with the last of them.
        while let Some(further) = owner.and_then(|owner| next(project.services.get(owner)?)) {
            if !seen.insert(further) {
                owner = None;
                break;
            }
            owner = Some(further);
        }
        if let Some(owner) = owner {
            owners.insert(service.name.as_str(), owner);
        }
    }
    owners
}

fn volume_users<'a>(
    project: &'a Project,
    pods: &BTreeMap<&'a str, Vec<&'a Service>>,
) -> BTreeMap<&'a str, BTreeMap<&'a str, bool>> {
    let mut users: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
    let mut add = |owner: &'a str, mount: &'a Mount, read_only: bool| {
        if let MountSource::Volume { key, .. } = &mount.source {
            *users.entry(key).or_default().entry(owner).or_default() |= !read_only;
        }
    };
    for (owner, services) in pods {
        for service in services {
            service.mounts.iter().for_each(|mount| add(owner, mount, mount.read_only));
            for from in &service.volumes_from {
                let VolumesSource::Service(name) = &from.source else { continue };
                let mounts = project.services.get(name).into_iter().flat_map(|other| &other.mounts);
                mounts.for_each(|mount| add(owner, mount, from.read_only.unwrap_or(mount.read_only)));
            }
        }
    }
    users
}

fn dependencies(project: &Project, wanted: impl Fn(Condition) -> bool) -> impl Iterator<Item = &str> {
    project
        .services
        .values()
        .flat_map(|service| &service.depends_on)
        .filter(move |(_, dependency)| wanted(dependency.condition))
        .map(|(name, _)| name.as_str())
}

/// Whether a service is started again whenever it exits, so that it never comes to an end.
fn restarts_always(service: &Service) -> bool {
    matches!(service.restart, RestartPolicy::Always | RestartPolicy::UnlessStopped)
}

/// What concerns the project as a whole.
fn note_project(context: &Context<'_>, export: &mut Export) {
    let project = context.project;
    for service in project.disabled.values() {
        export.dropped(service_key(service, "profiles"), "its profiles are not active; export it with `--profile`");
    }
    let joined: BTreeSet<&String> = project.services.values().flat_map(pod::networks_of).collect();
    for (key, network) in &project.networks {
        let apart = joined.len() > 1 && joined.contains(key);
        if context.options.network_policies {
            if network.external {
                export.dropped(format!("networks.{key}.external"), "what is outside the project has no pods here");
            }
        } else if network.internal {
            let reason = "a cluster's pods reach the outside; `--network-policies` forbids it";
            export.dropped(format!("networks.{key}.internal"), reason);
        } else if apart {
            let reason = "every pod of the cluster reaches every other; `--network-policies` keeps them apart";
            export.dropped(format!("networks.{key}"), reason);
        }
    }
    for key in project.models.keys() {
        export
            .dropped(format!("models.{key}"), "a cluster has no runner of models; give the service an address of one");
    }
}

/// The key of a service's attribute as people write it: `services.web.user`.
fn service_key(service: &Service, attribute: &str) -> String {
    format!("services.{}.{attribute}", service.name)
}
