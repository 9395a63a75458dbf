//! What an engine says is there: the observed side of a plan. Engines fill it, the pure core reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An engine's id of a container.
pub type ContainerId = String;

/// Everything of one project that an engine knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// The project's containers by id, one-off ones included.
    pub containers: BTreeMap<ContainerId, Container>,
    /// Networks by name: the project's own (by label), and external ones that were asked about.
    pub networks: BTreeMap<String, ObservedNetwork>,
    /// Volumes by name, likewise.
    pub volumes: BTreeMap<String, ObservedVolume>,
    /// Images that exist, by every reference and id that was asked about or that a container runs.
    pub images: BTreeMap<String, Image>,
    /// What the engine can do beyond the Docker Engine API.
    pub abilities: Abilities,
}

/// What an engine can do beyond the Docker Engine API, by the labels that it tells in `GET /info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Abilities {
    /// A container that is made to replace another may run beside it although both publish the same ports
    /// (`dev.hoist.hands-over-ports`).
    pub hands_over_ports: bool,
    /// It runs a healthcheck as soon as that can pass (`dev.hoist.probes-early`).
    pub probes_early: bool,
    /// It removes files of a container, running or not (`dev.hoist.removes-files`).
    #[serde(default)]
    pub removes_files: bool,
}

/// A container as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The engine's id.
    pub id: ContainerId,
    /// Its name, without a leading slash.
    pub name: String,
    /// The service it was made for (`com.docker.compose.service`).
    pub service: String,
    /// Its number within the service, from 1 (`com.docker.compose.container-number`).
    pub number: u32,
    /// Made by `run`, not by `up` (`com.docker.compose.oneoff`).
    pub one_off: bool,
    /// The hash of the configuration that it was made from (`com.docker.compose.config-hash`).
    pub config_hash: Option<String>,
    /// The id or name of the container that it was made to replace (`com.docker.compose.replace`).
    pub replaces: Option<String>,
    /// The image's reference as given at creation.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// What it is doing.
    pub state: ContainerState,
    /// What its healthcheck says.
    pub health: Health,
    /// The number of its first process while it runs, as its engine's machine counts.
    pub process: Option<u32>,
    /// When it was made: nanoseconds since 1970 on the engine's clock.
    pub created_at: u64,
    /// When it last started, likewise; 0 when it never did (or when only a summary was asked for).
    pub started_at: u64,
    /// When it last exited, likewise; 0 when it never did (or when only a summary was asked for).
    pub finished_at: u64,
    /// Its published ports, as the engine gave them out.
    pub ports: Vec<PublishedPort>,
    /// The names of the networks that it is attached to.
    pub networks: Vec<String>,
    /// It has a volume, named or not, that it can write to.
    pub writes_volumes: bool,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// The command, shortened as the engine shortens it.
    pub command: String,
    /// The engine's own words for its state, such as `Up 3 minutes (healthy)`.
    pub status: String,
}

/// What a container is doing (Docker API, `State.Status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// Made and never started.
    Created,
    /// Running.
    Running,
    /// Running, but held still.
    Paused,
    /// Exited, and about to be started again by the engine.
    Restarting,
    /// Being removed.
    Removing,
    /// Exited with this code.
    Exited(i64),
    /// Broken beyond starting; can only be removed.
    Dead,
}

impl ContainerState {
    /// Whether a process of it is alive.
    #[must_use]
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// Whether it ran and is over, for now or for good.
    #[must_use]
    pub fn has_exited(self) -> bool {
        matches!(self, Self::Exited(_) | Self::Restarting)
    }

    /// Docker's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited(_) => "exited",
            Self::Dead => "dead",
        }
    }
}

/// What a healthcheck says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// There is no healthcheck.
    None,
    /// It has not passed yet.
    Starting,
    /// It passes.
    Healthy,
    /// It has failed too often.
    Unhealthy,
}

/// A port as the engine published it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The address on the host; empty when it is not published.
    pub host_ip: String,
    /// The port on the host; 0 when it is not published.
    pub host_port: u16,
    /// The port inside.
    pub target: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// A network as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ObservedNetwork {
    /// The engine's id.
    pub id: String,
    /// When it was made: nanoseconds since 1970 on the engine's clock; 0 where nobody knows.
    #[serde(default)]
    pub created_at: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ObservedVolume {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// An image as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Image {
    /// The engine's id.
    pub id: String,
    /// A digest of what a container of it would see: its layers and its configuration, without the labels that hoist
    /// itself adds. Two builds that give the same thing have the same identity, whatever their ids.
    pub identity: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it last got one of its names, by a pull or a build: nanoseconds since 1970; 0 where nobody knows.
    pub tagged_at: u64,
    /// Whether it brings a healthcheck of its own.
    pub has_healthcheck: bool,
}
