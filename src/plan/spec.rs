//! What an engine is asked to make: containers, networks, volumes and builds, with the names and labels that docker
//! compose gives them, so that either tool sees the other's work.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::observed::ContainerId;
use crate::project::{
    Build, FileGrant, FileObject, FileSource, MountSource, Network, Networking, Project, Service, Volume, config_hash,
    network_hash, volume_hash,
};

/// The labels of docker compose that hoist reads and writes.
pub mod label {
    /// The project's name, on everything.
    pub const PROJECT: &str = "com.docker.compose.project";
    /// The service, on containers and built images.
    pub const SERVICE: &str = "com.docker.compose.service";
    /// The version of the tool that made it.
    pub const VERSION: &str = "com.docker.compose.version";
    /// The folder of the project.
    pub const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
    /// The manifest's files, separated by commas.
    pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
    /// The files given with `--env-file`, separated by commas.
    pub const ENVIRONMENT_FILE: &str = "com.docker.compose.project.environment_file";
    /// `True` for containers of `run`, else `False`.
    pub const ONE_OFF: &str = "com.docker.compose.oneoff";
    /// The number within the service, from 1.
    pub const NUMBER: &str = "com.docker.compose.container-number";
    /// The hash of the configuration.
    pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
    /// The image's id.
    pub const IMAGE: &str = "com.docker.compose.image";
    /// The dependencies: `db:service_healthy:true,…`.
    pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
    /// On a replacement, the container that it replaces.
    pub const REPLACE: &str = "com.docker.compose.replace";
    /// A network's key in the manifest.
    pub const NETWORK: &str = "com.docker.compose.network";
    /// A volume's key in the manifest.
    pub const VOLUME: &str = "com.docker.compose.volume";
    /// On a network or a volume: the hash of what the manifest says of it. It is not docker compose's `config-hash`, which
    /// is of another form: either tool would take the other's for a change.
    pub const DEFINITION: &str = "dev.hoist.definition";
    /// On a container whose program can be started again without it: `program`.
    pub const RESTARTS: &str = "dev.hoist.restarts";
    /// On a built image: the digest of the files and arguments that it was built from.
    pub const INPUTS: &str = "dev.hoist.inputs";
}

/// A container to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// The image's reference.
    pub image: String,
    /// The service whose attributes it gets.
    pub service: Service,
    /// All its labels: the service's own and docker compose's.
    pub labels: BTreeMap<String, String>,
    /// The networks to join, the one with the default route first; empty with a shared or no network.
    pub networks: Vec<NetworkEndpoint>,
    /// The engine's name of every volume of the project, by key.
    pub volumes: BTreeMap<String, String>,
    /// Files of the host to mount read-only: secrets and configs with `file`.
    pub file_mounts: Vec<(PathBuf, String)>,
    /// Files to copy in before the start: secrets and configs with `environment` or `content`.
    pub copied_files: Vec<CopiedFile>,
    /// The container whose anonymous volumes it takes over.
    pub volumes_from: Option<String>,
    /// The containers whose namespaces or volumes it uses, by service (`network_mode: service:…`, `volumes_from`).
    pub companions: BTreeMap<String, ContainerId>,
    /// Containers that it reaches under another name: `container:alias`.
    pub links: Vec<String>,
    /// What runs in it is to be started again when files are saved, which can be made ready for.
    pub restarts_program: bool,
    /// The folder of the project, which files of the engine's own options are relative to.
    pub directory: PathBuf,
    /// What the manifest asks for and the container does not get, in words for people.
    pub left_out: Vec<String>,
}

/// A container's place in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkEndpoint {
    /// The engine's name of the network.
    pub network: String,
    /// The names that it answers to: service, container, own aliases.
    pub aliases: Vec<String>,
    /// A fixed IPv4 address.
    pub ipv4_address: Option<String>,
    /// A fixed IPv6 address.
    pub ipv6_address: Option<String>,
    /// A fixed hardware address.
    pub mac_address: Option<String>,
    /// Addresses for the link alone.
    pub link_local_ips: Vec<String>,
    /// The name of the interface in the container.
    pub interface_name: Option<String>,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// The highest one gives the default route.
    pub gateway_priority: Option<i64>,
}

/// A file that is written into a container before it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedFile {
    /// The absolute path inside.
    pub target: String,
    /// What is in it.
    pub content: FileContent,
    /// Permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
}

/// Where the bytes of a copied file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// Here.
    Text(String),
    /// In a file of the host, as it is when the container is made.
    File(PathBuf),
}

/// A network to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSpec {
    /// What was asked for; its `name` is the engine's.
    pub network: Network,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSpec {
    /// What was asked for; its `name` is the engine's.
    pub volume: Volume,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
}

/// An image to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSpec {
    /// The service it is for.
    pub service: String,
    /// The reference that it is tagged with.
    pub image: String,
    /// Where from and how.
    pub build: Build,
    /// Labels of the image, without [`label::INPUTS`], which the engine adds from what it really read.
    pub labels: BTreeMap<String, String>,
    /// `os/arch`.
    pub platform: Option<String>,
    /// Try to pull newer base images.
    pub pull: bool,
    /// Do not use the build cache.
    pub no_cache: bool,
    /// Secrets that its steps may read, by id.
    pub secrets: BTreeMap<String, FileSource>,
    /// Files that go with its folder and do not count in what it is built from: the manifest, which says what runs and not
    /// what is in it.
    pub aside: BTreeSet<PathBuf>,
}

/// The version that hoist writes where docker compose writes its own.
const VERSION: &str = concat!("hoist-", env!("CARGO_PKG_VERSION"));

/// What a new container is to take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaces<'a> {
    /// The id of the container that holds the place.
    pub old: &'a str,
    /// The id of the newest one that was made for it, which is the same where there is no other.
    pub newest: &'a str,
}

/// The container with this number of a service.
///
/// One that is made to take another's place has a name of its own until the exchange: no other one that is there has it,
/// because each was made after another one.
#[must_use]
pub fn container(
    project: &Project,
    service: &Service,
    number: u32,
    image_id: &str,
    replaces: Option<Replaces<'_>>,
) -> ContainerSpec {
    let final_name = project.container_name(service, number);
    let mut labels = service.labels.clone();
    labels.extend(project_labels(project));
    labels.insert(label::SERVICE.into(), service.name.clone());
    labels.insert(label::ONE_OFF.into(), "False".into());
    labels.insert(label::NUMBER.into(), number.to_string());
    labels.insert(label::CONFIG_HASH.into(), config_hash(project, service));
    labels.insert(label::IMAGE.into(), image_id.into());
    labels.insert(label::DEPENDS_ON.into(), depends_on_label(service));
    if let Some(Replaces { old, .. }) = replaces {
        labels.insert(label::REPLACE.into(), old.into());
    }
    let name = match replaces {
        Some(Replaces { old, newest }) => {
            let told_apart_by = blake3::hash(format!("{old} {newest}").as_bytes());
            format!("{}_{final_name}", &told_apart_by.to_hex()[..12])
        }
        None => final_name.clone(),
    };
    let Files { mounted: file_mounts, copied: copied_files, left_out } = files(project, service);
    ContainerSpec {
        name,
        image: project.image_of(service),
        service: service.clone(),
        labels,
        networks: endpoints(project, service, &final_name),
        volumes: used_volumes(project, service),
        file_mounts,
        copied_files,
        volumes_from: replaces.map(|it| it.old.into()),
        companions: BTreeMap::new(),
        links: links(project, service),
        restarts_program: false,
        directory: project.directory.clone(),
        left_out,
    }
}

/// Every container of a linked service answers to the alias, and to its own two names.
fn links(project: &Project, service: &Service) -> Vec<String> {
    let mut links = Vec::new();
    for link in &service.links {
        let Some(other) = project.services.get(&link.target) else { continue };
        for number in 1..=other.replicas {
            let container = project.container_name(other, number);
            links.push(format!("{container}:{}", link.alias));
            links.push(format!("{container}:{}-{number}", other.name));
            links.push(format!("{container}:{}-{}-{number}", project.name, other.name));
        }
    }
    links.extend(service.external_links.iter().map(|link| format!("{}:{}", link.target, link.alias)));
    links
}

/// A network of the project, by its key.
#[must_use]
pub fn network(project: &Project, key: &str, network: &Network) -> NetworkSpec {
    let mut labels = network.labels.clone();
    labels.insert(label::PROJECT.into(), project.name.clone());
    labels.insert(label::VERSION.into(), VERSION.into());
    labels.insert(label::NETWORK.into(), key.into());
    labels.insert(label::DEFINITION.into(), network_hash(network));
    NetworkSpec { network: network.clone(), labels }
}

/// A volume of the project, by its key.
#[must_use]
pub fn volume(project: &Project, key: &str, volume: &Volume) -> VolumeSpec {
    let mut labels = volume.labels.clone();
    labels.insert(label::PROJECT.into(), project.name.clone());
    labels.insert(label::VERSION.into(), VERSION.into());
    labels.insert(label::VOLUME.into(), key.into());
    labels.insert(label::DEFINITION.into(), volume_hash(volume));
    VolumeSpec { volume: volume.clone(), labels }
}

/// The build of a service that has one.
#[must_use]
pub fn build(project: &Project, service: &Service) -> Option<BuildSpec> {
    let mut build = service.build.clone()?;
    for source in build.additional_contexts.values_mut() {
        if let Some(base) = source.strip_prefix("service:").and_then(|name| project.any_service(name)) {
            *source = format!("docker-image://{}", project.image_of(base));
        }
    }
    let mut labels = build.labels.clone();
    labels.insert(label::PROJECT.into(), project.name.clone());
    labels.insert(label::SERVICE.into(), service.name.clone());
    labels.insert(label::VERSION.into(), VERSION.into());
    let secret = |grant: &FileGrant| Some((grant.target.clone(), project.secrets.get(&grant.key)?.source.clone()));
    // Several platforms make an image that only a registry can keep: here it is built for one.
    let only_platform = match &build.platforms[..] {
        [platform] => Some(platform.clone()),
        _ => None,
    };
    Some(BuildSpec {
        service: service.name.clone(),
        image: project.image_of(service),
        labels,
        platform: service.platform.clone().or(only_platform),
        pull: build.pull,
        no_cache: build.no_cache,
        secrets: build.secrets.iter().filter_map(secret).collect(),
        aside: project.files.iter().cloned().collect(),
        build,
    })
}

fn project_labels(project: &Project) -> BTreeMap<String, String> {
    let paths = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(",");
    let mut labels = BTreeMap::from([
        (label::PROJECT.into(), project.name.clone()),
        (label::VERSION.into(), VERSION.into()),
        (label::WORKING_DIR.into(), project.directory.display().to_string()),
        (label::CONFIG_FILES.into(), paths(&project.files)),
    ]);
    if !project.environment_files.is_empty() {
        labels.insert(label::ENVIRONMENT_FILE.into(), paths(&project.environment_files));
    }
    labels
}

fn depends_on_label(service: &Service) -> String {
    let entries: Vec<String> = service
        .depends_on
        .iter()
        .map(|(name, dependency)| format!("{name}:{}:{}", dependency.condition.as_str(), dependency.restart))
        .collect();
    entries.join(",")
}

fn endpoints(project: &Project, service: &Service, container_name: &str) -> Vec<NetworkEndpoint> {
    let Networking::Networks(attachments) = &service.networking else { return Vec::new() };
    let mut sorted: Vec<_> = attachments.iter().collect();
    sorted.sort_by_key(|(key, attachment)| (-i64::from(attachment.priority), *key));
    sorted
        .into_iter()
        .filter_map(|(key, attachment)| {
            let mut aliases = vec![container_name.to_owned(), service.name.clone()];
            aliases.extend(attachment.aliases.iter().cloned());
            Some(NetworkEndpoint {
                network: project.networks.get(key)?.name.clone(),
                aliases,
                ipv4_address: attachment.ipv4_address.clone(),
                ipv6_address: attachment.ipv6_address.clone(),
                mac_address: attachment.mac_address.clone(),
                link_local_ips: attachment.link_local_ips.clone(),
                interface_name: attachment.interface_name.clone(),
                driver_opts: attachment.driver_opts.clone(),
                gateway_priority: attachment.gateway_priority,
            })
        })
        .collect()
}

fn used_volumes(project: &Project, service: &Service) -> BTreeMap<String, String> {
    service
        .mounts
        .iter()
        .filter_map(|mount| match &mount.source {
            MountSource::Volume { key, .. } => Some((key.clone(), project.volumes.get(key)?.name.clone())),
            _ => None,
        })
        .collect()
}

/// The secrets and configs of a container.
#[derive(Default)]
struct Files {
    mounted: Vec<(PathBuf, String)>,
    copied: Vec<CopiedFile>,
    left_out: Vec<String>,
}

fn files(project: &Project, service: &Service) -> Files {
    let mut files = Files::default();
    let of = |kind: &'static str, grants: &'_ [FileGrant], objects: &'_ BTreeMap<String, FileObject>| {
        let found = |grant: &FileGrant| Some((kind, grant.clone(), objects.get(&grant.key)?.source.clone()));
        grants.iter().filter_map(found).collect::<Vec<_>>()
    };
    let secrets = of("secret", &service.secrets, &project.secrets);
    for (kind, grant, source) in secrets.into_iter().chain(of("config", &service.configs, &project.configs)) {
        let owned = grant.uid.is_some() || grant.gid.is_some() || grant.mode.is_some();
        match source {
            // What is mounted belongs to whom it belongs on the host. Nothing can be copied into a read-only container.
            FileSource::File(path) if owned && !service.read_only => {
                files.copied.push(copied(grant, FileContent::File(path)));
            }
            FileSource::File(path) => {
                if owned {
                    let key = &grant.key;
                    files.left_out.push(format!(
                        "`uid`, `gid` and `mode` of the {kind} `{key}` have no effect: a read-only container has it mounted"
                    ));
                }
                files.mounted.push((path, grant.target));
            }
            FileSource::Environment { value: content, .. } | FileSource::Content(content) => {
                files.copied.push(copied(grant, FileContent::Text(content)));
            }
            FileSource::External => files.left_out.push(format!(
                "the external {kind} `{}` is not there: only Docker Swarm keeps one outside the project",
                grant.key
            )),
        }
    }
    files
}

fn copied(grant: FileGrant, content: FileContent) -> CopiedFile {
    let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
    CopiedFile {
        uid: number(&grant.uid),
        gid: number(&grant.gid),
        mode: grant.mode.unwrap_or(0o444),
        target: grant.target,
        content,
    }
}
