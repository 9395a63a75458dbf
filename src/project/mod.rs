//! What the user asked for, resolved: the one model that the graph, the plan, the engine and the export read.
//!
//! Everything here is meant, nothing is merely written: short forms are long, relative paths absolute, variables
//! replaced, profiles applied. A field is an `Option` only where absence means something of its own (most often
//! "what the image says"). The model does no I/O and never changes once it is loaded.
//! Sources: the chapters of the [Compose Specification](https://github.com/compose-spec/compose-spec).

mod hash;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

pub use hash::{config_hash, hexadecimal};

/// A resolved project: what `up` is to bring about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

    /// The name of a service's container with this number, counted from 1.
    #[must_use]
    pub fn container_name(&self, service: &Service, number: u32) -> String {
        service.container_name.clone().unwrap_or_else(|| format!("{}-{}-{number}", self.name, service.name))
    }
}

/// One service (Compose Specification, chapter 5).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
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
    /// `os/arch` that the image must have.
    pub platform: Option<String>,
    /// The rules of `develop.watch`, as written; empty lets hoist infer them.
    pub watch: Vec<WatchRule>,
    /// Free extension keys (`x-…`) of the service.
    pub extensions: BTreeMap<String, serde_json::Value>,
}

impl Service {
    /// Whether it runs on this machine's own root file system, for want of an image.
    #[must_use]
    pub fn is_on_machine(&self) -> bool {
        self.image.as_deref() == Some(MACHINE_IMAGE)
    }
}

/// How an image is built (Compose Build Specification).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Build {
    /// Where the files come from.
    pub context: BuildContext,
    /// The Dockerfile, relative to the context or absolute; `Dockerfile` when nothing else is said.
    pub dockerfile: String,
    /// The Dockerfile's text itself, in place of a file.
    pub dockerfile_inline: Option<String>,
    /// Build arguments; `None` is a bare `KEY` that is set nowhere.
    pub args: BTreeMap<String, Option<String>>,
    /// The stage to build; `None` is the last one.
    pub target: Option<String>,
}

/// Where a build's files come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum BuildContext {
    /// A folder of this machine, absolute.
    Local(PathBuf),
    /// A git repository or archive that the engine fetches itself.
    Remote(String),
}

/// A published port (chapter 5, `ports`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Published {
    /// The engine picks a free one.
    Ephemeral,
    /// This one.
    Port(u16),
    /// The engine picks a free one of these, both ends included.
    Range(u16, u16),
}

/// A port's transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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

/// Something mounted into a container (chapter 5, `volumes` and `tmpfs`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// The absolute path inside the container, cleaned.
    pub target: String,
    /// Not writable from inside.
    pub read_only: bool,
    /// What is mounted there.
    pub source: MountSource,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum MountSource {
    /// A file or folder of the host.
    Bind {
        /// Absolute path on the host.
        path: PathBuf,
        /// Make a missing folder instead of failing.
        create_host_path: bool,
        /// `rprivate`, `shared`, …
        propagation: Option<String>,
        /// `z` or `Z`.
        selinux: Option<String>,
    },
    /// A volume of the project, by its key.
    Volume {
        /// The key under the top-level `volumes`.
        key: String,
        /// Do not fill an empty volume from the image.
        nocopy: bool,
        /// A folder inside the volume.
        subpath: Option<String>,
    },
    /// A volume without a name that lives as long as its container's successors.
    Anonymous {
        /// Do not fill it from the image.
        nocopy: bool,
    },
    /// Memory.
    Tmpfs {
        /// Limit in bytes.
        size: Option<u64>,
        /// Permissions.
        mode: Option<u32>,
        /// Options as written in the short form (`noexec,size=1m`), when it was used.
        options: Option<String>,
    },
}

/// A secret or config that a service is given as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileGrant {
    /// The key under the top-level `secrets` or `configs`.
    pub key: String,
    /// The absolute path inside the container.
    pub target: String,
    /// Owner, when written.
    pub uid: Option<String>,
    /// Group, when written.
    pub gid: Option<String>,
    /// Permissions, when written; 0444 otherwise.
    pub mode: Option<u32>,
}

/// A top-level secret or config (chapters 8 and 9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileObject {
    /// The name that the engine would know it by.
    pub name: String,
    /// Where its content is.
    pub source: FileSource,
}

/// Where the content of a secret or config is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum FileSource {
    /// A file of the host, absolute; it is mounted.
    File(PathBuf),
    /// The value of an environment variable, already looked up; it is copied in.
    Environment {
        /// The variable's name.
        variable: String,
        /// Its value when the manifest was loaded.
        value: String,
    },
    /// Text written in the manifest; it is copied in.
    Content(String),
    /// Something that exists outside the project.
    External,
}

/// What a service waits for (chapter 5, `depends_on`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// The state that the other service must have reached.
    pub condition: Condition,
    /// Whether the other service must be there at all.
    pub required: bool,
    /// Restart this service when the other one is recreated.
    pub restart: bool,
}

/// The state of a dependency that a start waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
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

/// How a service is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Networking {
    /// Networks of the project by key.
    Networks(BTreeMap<String, NetworkAttachment>),
    /// The host's own network.
    Host,
    /// No network at all.
    None,
    /// The network of another service's container.
    Service(String),
    /// The network of a container of any project.
    Container(String),
}

impl Default for Networking {
    fn default() -> Self {
        Self::Networks(BTreeMap::new())
    }
}

/// A service's place in one network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NetworkAttachment {
    /// More names that it answers to there, besides the service's and the container's.
    pub aliases: Vec<String>,
    /// A fixed IPv4 address.
    pub ipv4_address: Option<String>,
    /// A fixed IPv6 address.
    pub ipv6_address: Option<String>,
    /// A fixed hardware address.
    pub mac_address: Option<String>,
    /// The highest one gives the container its default route.
    pub priority: i32,
}

/// A network of the project (chapter 6).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Network {
    /// Its name in the engine: `<project>_<key>` unless written.
    pub name: String,
    /// Made and removed by somebody else.
    pub external: bool,
    /// `None` is the engine's default, `bridge`.
    pub driver: Option<String>,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// No way out.
    pub internal: bool,
    /// Other containers may join.
    pub attachable: bool,
    /// Addresses of version 6 too.
    pub enable_ipv6: Option<bool>,
    /// Labels of the network.
    pub labels: BTreeMap<String, String>,
    /// Address pools.
    pub ipam: Ipam,
}

/// How a network's addresses are given out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Ipam {
    /// `None` is the engine's default.
    pub driver: Option<String>,
    /// The pools, in order.
    pub pools: Vec<IpamPool>,
}

/// One pool of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct IpamPool {
    /// The whole subnet in CIDR form.
    pub subnet: Option<String>,
    /// The part containers get addresses from.
    pub ip_range: Option<String>,
    /// The router's address.
    pub gateway: Option<String>,
    /// Addresses taken by the driver, by host name.
    pub aux_addresses: BTreeMap<String, String>,
}

/// A volume of the project (chapter 7).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Volume {
    /// Its name in the engine: `<project>_<key>` unless written.
    pub name: String,
    /// Made and removed by somebody else.
    pub external: bool,
    /// `None` is the engine's default, `local`.
    pub driver: Option<String>,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// Labels of the volume.
    pub labels: BTreeMap<String, String>,
}

/// A rule of `develop.watch` (Compose Develop Specification).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

/// What a change leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

/// A command that is run inside a running container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
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
