//! `deploy`: how many containers run, and what they may use.

use super::Blank;
use super::forms::Labels;
use super::limits::{DeviceCount, MemoryText};
use super::scalars::{Real, Span, Texts, Whole, Within};

/// How the service is deployed.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Deploy {
    /// `replicated`, or `global` for one container a node.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) mode: String,
    /// How many containers run.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) replicas: Option<Whole>,
    /// Labels of the service, not of its containers.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) labels: Labels,
    /// How containers are exchanged for newer ones.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) update_config: Option<UpdateConfig>,
    /// How a failed update is taken back.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) rollback_config: Option<UpdateConfig>,
    /// What a container may use, and what is kept for it.
    #[serde(default)]
    pub(crate) resources: Resources,
    /// When an exited container is started again.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) restart_policy: Option<DeployRestart>,
    /// On which nodes containers run.
    #[serde(default)]
    pub(crate) placement: Placement,
    /// `vip` or `dnsrr`.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) endpoint_mode: String,
}

raw! {
    /// How containers are exchanged.
    UpdateConfig {
        /// How many at a time.
        parallelism: Option<Within<0, { i64::MAX }>>,
        /// The time between two groups.
        delay: Option<Span>,
        /// What happens when an update fails: `continue`, `rollback` or `pause`.
        failure_action: String,
        /// How long an exchanged container is watched for a failure.
        monitor: Option<Span>,
        /// The share of failures that is put up with.
        max_failure_ratio: Option<Real>,
        /// `start-first` or `stop-first`.
        order: Option<Order>,
    }
}

/// Which container of an exchange goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// The new one starts before the old one stops.
    StartFirst,
    /// The old one stops before the new one starts.
    StopFirst,
}

raw! {
    /// What a container may use, and what is kept for it.
    Resources {
        /// The most that it may use.
        limits: Option<Limits>,
        /// What is kept for it.
        reservations: Option<Reservations>,
    }
}

raw! {
    /// The most that a container may use.
    Limits {
        /// Processors, such as `0.5`.
        cpus: Option<Real>,
        /// Memory, such as `512M`.
        memory: Option<MemoryText>,
        /// Processes.
        pids: Option<Whole>,
    }
}

raw! {
    /// What is kept for a container.
    Reservations {
        /// Processors, such as `0.5`.
        cpus: Option<Real>,
        /// Memory, such as `512M`.
        memory: Option<MemoryText>,
        /// Devices such as GPUs.
        devices: Vec<DeviceRequest>,
        /// Resources that the platform counts, by kind.
        generic_resources: Vec<GenericResource>,
    }
}

raw! {
    /// A resource that the platform counts.
    GenericResource {
        /// Which, and how many.
        discrete_resource_spec: Option<DiscreteResource>,
    }
}

raw! {
    /// A kind of resource and how many of it.
    DiscreteResource {
        /// The kind.
        kind: String,
        /// How many.
        value: Option<Whole>,
    }
}

raw! {
    /// A request for devices.
    DeviceRequest {
        /// What the devices must be able to do, such as `gpu`.
        capabilities: Texts,
        /// The driver.
        driver: String,
        /// How many: a number or `all`.
        count: Option<DeviceCount>,
        /// Which, by their ids.
        device_ids: Texts,
        /// Options of the driver.
        options: Labels,
    }
}

raw! {
    /// When an exited container is started again.
    DeployRestart {
        /// `none`, `on-failure` or `any`.
        condition: String,
        /// The time before a start.
        delay: Option<Span>,
        /// How often at most.
        max_attempts: Option<Whole>,
        /// How long a container must run for its start to count as good.
        window: Option<Span>,
    }
}

raw! {
    /// On which nodes containers run.
    Placement {
        /// Conditions that a node must meet.
        constraints: Vec<String>,
        /// How containers are spread over nodes.
        preferences: Vec<Preference>,
        /// How many run on one node at most.
        max_replicas_per_node: Option<Within<0, { i64::MAX }>>,
    }
}

raw! {
    /// How containers are spread.
    Preference {
        /// The label of nodes over whose values they are spread.
        spread: String,
    }
}
