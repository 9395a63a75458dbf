//! What the user asked for, resolved: the one model that the graph, the plan, the engine and the export read.
//!
//! Everything here is meant, nothing is merely written: short forms are long, relative paths absolute, variables
//! replaced, profiles applied. A field is an `Option` only where absence means something of its own (most often
//! "what the image says"). The model does no I/O and never changes once it is loaded.
//! Sources: the chapters of the [Compose Specification](https://github.com/compose-spec/compose-spec).

mod build;
pub mod cluster;
mod hash;
pub mod kubernetes;
mod machine;
mod network;
pub mod provided;
mod storage;
pub mod syntax;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use build::{Build, BuildContext};
pub use cluster::Cluster;
pub use hash::{ConfigHashes, config_hash, hexadecimal, network_hash, volume_hash};
pub use kubernetes::{Kubernetes, ProjectKubernetes};
pub use machine::{
    BlockLimits, BlockRate, BlockWeight, Device, DeviceRequest, Devices, Dns, Limits, Logging, Namespaces, Sharing,
    Ulimit,
};
pub use network::{Ipam, IpamPool, Network, NetworkAttachment, Networking};
pub use storage::{FileGrant, FileObject, FileSource, Mount, MountSource, Recursion, Volume};

/// A resolved project: what `up` is to bring about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// The name that prefixes containers, networks and volumes; `^[a-z0-9][a-z0-9_-]*$`.
    pub name: String,
    /// The folder that relative paths start from, absolute.
    pub directory: PathBuf,
    /// The manifest's files in the order in which they were merged, absolute.
    pub files: Vec<PathBuf>,
    /// The files given with `--env-file`, absolute; empty when only the default `.env` was read.
    pub environment_files: Vec<PathBuf>,
    /// The services that the chosen profiles leave in.
    pub services: BTreeMap<String, Service>,
    /// The services that the chosen profiles leave out.
    pub disabled: BTreeMap<String, Service>,
    /// The networks in use, by their key in the manifest (`default` is the implicit one).
    pub networks: BTreeMap<String, Network>,
    /// The declared volumes, by their key in the manifest.
    pub volumes: BTreeMap<String, Volume>,
    /// The declared secrets, by their key in the manifest.
    pub secrets: BTreeMap<String, FileObject>,
    /// The declared configs, by their key in the manifest.
    pub configs: BTreeMap<String, FileObject>,
    /// The declared models, by their key in the manifest.
    pub models: BTreeMap<String, Model>,
    /// What it is in a cluster (`x-hoist.kubernetes`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub kubernetes: ProjectKubernetes,
}

/// Whether nothing is said that is not so anyway.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The image that stands for this machine's own root file system: what services run that name neither an image nor a
/// build. Only hoist's embedded engine has it.
pub const MACHINE_IMAGE: &str = "hoist/machine:latest";

impl Project {
    /// The image that a service runs: what it names, else the name that its build is given.
    #[must_use]
    pub fn image_of(&self, service: &Service) -> String {
        service.image.clone().unwrap_or_else(|| format!("{}-{}", self.name, service.name))
    }

    /// A service, whether a profile switches it on or not.
    #[must_use]
    pub fn any_service(&self, name: &str) -> Option<&Service> {
        self.services.get(name).or_else(|| self.disabled.get(name))
    }

    /// The services whose images a service's own is built with, and those with which theirs are.
    #[must_use]
    pub fn bases_of<'a>(&'a self, service: &'a Service) -> Vec<&'a Service> {
        let mut bases: Vec<&Service> = Vec::new();
        let mut left: Vec<&str> = service.build.iter().flat_map(Build::bases).collect();
        while let Some(name) = left.pop() {
            if let Some(base) = self.any_service(name).filter(|_| bases.iter().all(|known| known.name != name)) {
                bases.push(base);
                left.extend(base.build.iter().flat_map(Build::bases));
            }
        }
        bases
    }

    /// Services and those whose images theirs are built with, which need not be among them.
    #[must_use]
    pub fn with_bases<'a>(&self, services: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for name in services {
            let bases = self.services.get(name).map(|service| self.bases_of(service)).unwrap_or_default();
            all.extend(bases.into_iter().map(|base| base.name.clone()));
            all.insert(name.clone());
        }
        all
    }

    /// The name of a service's container with this number, counted from 1.
    #[must_use]
    pub fn container_name(&self, service: &Service, number: u32) -> String {
        service.container_name.clone().unwrap_or_else(|| format!("{}-{}-{number}", self.name, service.name))
    }
}

/// One service (Compose Specification, chapter 5).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Service {
    /// Its key in the manifest.
    pub name: String,
    /// The image as written; `None` when only `build` says where it comes from.
    pub image: Option<String>,
    /// How its image is built.
    pub build: Option<Build>,
    /// Arguments in place of the image's `CMD`; `None` leaves the image's, an empty list clears it.
    pub command: Option<Vec<String>>,
    /// Words in place of the image's `ENTRYPOINT`; `None` leaves the image's, an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Variables of the container, from `env_file` and `environment`; `None` is a bare `KEY` that is set nowhere, and
    /// unsets the image's.
    pub environment: BTreeMap<String, Option<String>>,
    /// Ports that are published on the host.
    pub ports: Vec<Port>,
    /// Ports that only other containers reach: `80`, `8000-8010`, `53/udp`.
    pub expose: Vec<String>,
    /// Everything mounted: `volumes` and `tmpfs`, in the order written.
    pub mounts: Vec<Mount>,
    /// Secrets given as files.
    pub secrets: Vec<FileGrant>,
    /// Configs given as files.
    pub configs: Vec<FileGrant>,
    /// The services that must be up before this one starts.
    pub depends_on: BTreeMap<String, Dependency>,
    /// How the engine finds out whether it is healthy; `None` leaves the image's.
    pub healthcheck: Option<Healthcheck>,
    /// What the engine does when the container exits.
    pub restart: RestartPolicy,
    /// The networks it joins, or whose network it shares.
    pub networking: Networking,
    /// In place of the image's `WORKDIR`.
    pub working_dir: Option<String>,
    /// In place of the image's `USER`: `name`, `uid`, `uid:gid`.
    pub user: Option<String>,
    /// Labels of the container.
    pub labels: BTreeMap<String, String>,
    /// The profiles that switch it on; none means always.
    pub profiles: Vec<String>,
    /// In place of the image's `STOPSIGNAL`.
    pub stop_signal: Option<String>,
    /// How long it may take to stop before it is killed; `None` is the engine's 10 s.
    pub stop_grace_period: Option<Duration>,
    /// Runs an init as process 1 that forwards signals and reaps; `None` is the engine's default.
    pub init: Option<bool>,
    /// A name of its own instead of `<project>-<service>-<number>`; excludes more than one replica.
    pub container_name: Option<String>,
    /// The container's host name; `None` is the engine's (its short id).
    pub hostname: Option<String>,
    /// Lines for `/etc/hosts`: `name:address`.
    pub extra_hosts: Vec<String>,
    /// Capabilities beyond the engine's default.
    pub cap_add: Vec<String>,
    /// Capabilities taken from the engine's default.
    pub cap_drop: Vec<String>,
    /// All capabilities and devices of the host.
    pub privileged: bool,
    /// A root file system that cannot be written.
    pub read_only: bool,
    /// A terminal for process 1.
    pub tty: bool,
    /// Standard input held open.
    pub stdin_open: bool,
    /// How many containers run; from `scale`, `deploy.replicas` or `--scale`.
    pub replicas: u32,
    /// Which of two containers goes first when one takes the other's place; `None` leaves it to what is safe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_order: Option<UpdateOrder>,
    /// `os/arch` that the image must have.
    pub platform: Option<String>,
    /// What it may use of the machine.
    pub limits: Limits,
    /// Devices of the machine.
    pub devices: Devices,
    /// Whose namespaces it uses.
    pub namespaces: Namespaces,
    /// How it finds names.
    pub dns: Dns,
    /// Where its output goes; `None` is the engine's default.
    pub logging: Option<Logging>,
    /// The domain of its host name.
    pub domainname: Option<String>,
    /// More groups of its user.
    pub group_add: Vec<String>,
    /// Kernel parameters of its namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Options of security modules, as written; `seccomp` profiles are files.
    pub security_opt: Vec<String>,
    /// Options of the storage of its root file system.
    pub storage_opt: BTreeMap<String, String>,
    /// Notes for the runtime.
    pub annotations: BTreeMap<String, String>,
    /// The runtime; `None` is the engine's default.
    pub runtime: Option<String>,
    /// How it is isolated, on Windows.
    pub isolation: Option<String>,
    /// A fixed hardware address, in the first of its networks.
    pub mac_address: Option<String>,
    /// Services that it reaches under another name.
    pub links: Vec<Link>,
    /// Containers outside the project that it reaches under another name.
    pub external_links: Vec<Link>,
    /// Services and containers whose volumes it mounts too.
    pub volumes_from: Vec<VolumesFrom>,
    /// It is given the engine's socket and the credentials of its registries.
    pub use_api_socket: bool,
    /// When its image is pulled.
    #[serde(default, skip_serializing_if = "PullPolicy::is_default")]
    pub pull_policy: PullPolicy,
    /// What is run in a container after its start.
    pub post_start: Vec<Hook>,
    /// What is run in a container before it stops.
    pub pre_stop: Vec<Hook>,
    /// `up` leaves its output out.
    pub hides_output: bool,
    /// The program that provides it in place of containers.
    pub provider: Option<Provider>,
    /// The models that it uses, by key.
    pub models: BTreeMap<String, ModelUse>,
    /// The rules of `develop.watch`, as written; empty lets hoist infer them.
    pub watch: Vec<WatchRule>,
    /// Free extension keys (`x-…`) of the service.
    pub extensions: BTreeMap<String, serde_json::Value>,
    /// Files that are saved change nothing about it while it runs (`x-hoist.watch: false`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignores_changes: bool,
    /// How a cluster runs it (`deploy`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub cluster: Cluster,
    /// What it is in a cluster (`x-hoist.kubernetes`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub kubernetes: Kubernetes,
}

impl Service {
    /// Whether it runs on this machine's own root file system, for want of an image.
    #[must_use]
    pub fn is_on_machine(&self) -> bool {
        self.image.as_deref() == Some(MACHINE_IMAGE)
    }

    /// The services whose containers its own are made of: their namespaces or their volumes are used.
    pub fn companions(&self) -> impl Iterator<Item = &str> {
        let network = match &self.networking {
            Networking::Service(name) => Some(name.as_str()),
            _ => None,
        };
        let volumes = self.volumes_from.iter().filter_map(|from| match &from.source {
            VolumesSource::Service(name) => Some(name.as_str()),
            VolumesSource::Container(_) => None,
        });
        let namespaces = [&self.namespaces.pid, &self.namespaces.ipc].into_iter().filter_map(|sharing| match sharing {
            Some(Sharing::Service(name)) => Some(name.as_str()),
            _ => None,
        });
        network.into_iter().chain(namespaces).chain(volumes)
    }
}

/// Another name for a service or a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The service or container.
    pub target: String,
    /// The name that it is reached under.
    pub alias: String,
}

/// What volumes are mounted from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    /// Whose they are.
    pub source: VolumesSource,
    /// They cannot be written; `None` leaves each as it is there.
    pub read_only: Option<bool>,
}

/// Whose volumes are mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumesSource {
    /// A service of the project.
    Service(String),
    /// A container of any project.
    Container(String),
}

/// Which of two containers goes first (Compose Deploy Specification, `update_config.order`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateOrder {
    /// The old one stops before the new one starts.
    StopFirst,
    /// The new one starts beside the old one.
    StartFirst,
}

/// When an image is pulled (chapter 5, `pull_policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PullPolicy {
    /// When it is missing.
    #[default]
    Missing,
    /// Whenever the project comes up.
    Always,
    /// Never: a missing image is an error.
    Never,
    /// It is built in any case.
    Build,
    /// When it was pulled longer ago than this.
    Every(Duration),
}

impl PullPolicy {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A program that provides a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// The program's name: a plugin of the docker CLI, or a program on the path.
    pub program: String,
    /// What it is told, each with one value or several.
    pub options: BTreeMap<String, Vec<String>>,
}

/// A model of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// What its registry calls it.
    pub source: String,
    /// How much it keeps in view, in tokens.
    pub context_size: Option<i64>,
    /// Flags for the program that runs it.
    pub runtime_flags: Vec<String>,
}

/// How a service learns of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelUse {
    /// The variable that gets its address.
    pub endpoint_variable: String,
    /// The variable that gets its name.
    pub model_variable: String,
}

/// A published port (chapter 5, `ports`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The port inside the container.
    pub target: u16,
    /// The port on the host.
    pub published: Published,
    /// The address on the host; `None` is every address.
    pub host_ip: Option<String>,
    /// The transport.
    pub protocol: Protocol,
    /// A name for people, from the long form.
    pub name: Option<String>,
    /// The application's protocol (`http`, …), from the long form.
    pub app_protocol: Option<String>,
}

/// The host's side of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Published {
    /// The engine picks a free one.
    Ephemeral,
    /// This one.
    Port(u16),
    /// The engine picks a free one of these, both ends included.
    Range(u16, u16),
}

/// A port's transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The word that Compose and Docker use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// What a service waits for (chapter 5, `depends_on`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The state that the other service must have reached.
    pub condition: Condition,
    /// Whether the other service must be there at all.
    pub required: bool,
    /// Restart this service when the other one is recreated.
    pub restart: bool,
}

/// The state of a dependency that a start waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Condition {
    /// Its containers run.
    Started,
    /// Its healthcheck passes.
    Healthy,
    /// It has exited with code 0.
    Completed,
}

impl Condition {
    /// The word of the manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "service_started",
            Self::Healthy => "service_healthy",
            Self::Completed => "service_completed_successfully",
        }
    }
}

/// A healthcheck (chapter 5). Durations that are `None` are the image's, else the engine's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Healthcheck {
    /// The command.
    pub test: HealthTest,
    /// Time between two runs (engine: 30 s).
    pub interval: Option<Duration>,
    /// Time after which a run has failed (engine: 30 s).
    pub timeout: Option<Duration>,
    /// Failures in a row that make it unhealthy (engine: 3).
    pub retries: Option<u32>,
    /// Time during which failures do not count (engine: 0 s).
    pub start_period: Option<Duration>,
    /// Time between two runs during `start_period` (engine: 5 s).
    pub start_interval: Option<Duration>,
}

/// What a healthcheck runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum HealthTest {
    /// What the image says.
    #[default]
    Inherit,
    /// Nothing: the image's healthcheck is switched off.
    Disabled,
    /// A program and its arguments.
    Command(Vec<String>),
    /// A line for the container's shell.
    Shell(String),
}

/// What the engine does when a container exits (chapter 5, `restart`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Nothing.
    #[default]
    No,
    /// Start it again.
    Always,
    /// Start it again, unless somebody stopped it.
    UnlessStopped,
    /// Start it again when its code is not 0, so often at most.
    OnFailure {
        /// `None` is without limit.
        max_retries: Option<u32>,
    },
}

/// A rule of `develop.watch` (Compose Develop Specification).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRule {
    /// The file or folder watched, absolute.
    pub path: PathBuf,
    /// What a change leads to.
    pub action: WatchAction,
    /// Patterns in `.dockerignore` style, anchored at `path`, whose files do not count.
    pub ignore: Vec<String>,
    /// Patterns of which one must match, when there are any.
    pub include: Vec<String>,
    /// Bring the container up to date before the first change.
    pub initial_sync: bool,
}

impl WatchRule {
    /// A rule for every file at or below a path, from the first change on.
    #[must_use]
    pub fn new(path: PathBuf, action: WatchAction) -> Self {
        Self { path, action, ignore: Vec::new(), include: Vec::new(), initial_sync: false }
    }
}

/// What a change leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchAction {
    /// Build the image and exchange the container.
    Rebuild,
    /// Restart the container.
    Restart,
    /// Copy the files into the container.
    Sync {
        /// Where `path` lies in the container.
        target: String,
    },
    /// Copy the files, then restart.
    SyncRestart {
        /// Where `path` lies in the container.
        target: String,
    },
    /// Copy the files, then run a command in the container.
    SyncExec {
        /// Where `path` lies in the container.
        target: String,
        /// What is run.
        exec: Hook,
    },
}

impl WatchAction {
    /// Where the path of its rule lies in the container, if files are copied at all.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::Rebuild | Self::Restart => None,
            Self::Sync { target } | Self::SyncRestart { target } | Self::SyncExec { target, .. } => Some(target),
        }
    }
}

/// A command that is run inside a running container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hook {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// As whom; `None` is the container's user.
    pub user: Option<String>,
    /// With all privileges.
    pub privileged: bool,
    /// Where; `None` is the container's folder.
    pub working_dir: Option<String>,
    /// More variables.
    pub environment: BTreeMap<String, Option<String>>,
}
