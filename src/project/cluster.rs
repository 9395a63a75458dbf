//! What a Compose file says of a cluster, below `deploy` and elsewhere: it changes nothing about a container of this
//! machine, and is carried over into Kubernetes objects.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a service is run by a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cluster {
    /// How many run, and until when.
    pub mode: Mode,
    /// How containers are exchanged; `None` when nothing is written.
    pub update: Option<Update>,
    /// How a failed update is taken back.
    pub rollback: Option<Update>,
    /// Conditions that a node must meet, as written: `node.labels.disk == ssd`.
    pub constraints: Vec<String>,
    /// The labels of nodes over whose values containers are spread, as written.
    pub spread: Vec<String>,
    /// How many run on one node at most.
    pub max_per_node: Option<u32>,
    /// How its name is resolved, as written: `vip` or `dnsrr`.
    pub endpoint_mode: Option<String>,
    /// Labels of the service, not of its containers.
    pub labels: BTreeMap<String, String>,
    /// Processors that are kept for it, in billionths of one.
    pub reserved_nano_cpus: Option<i64>,
    /// Resources that the platform counts, by kind.
    pub generic: BTreeMap<String, i64>,
    /// The manifest says, and does not only leave it at that, that it is not started again.
    pub never_restarts: bool,
    /// The pause before it is started again.
    pub restart_delay: Option<Duration>,
    /// How long it must run for a start to count as good.
    pub restart_window: Option<Duration>,
}

/// How many containers run, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Mode {
    /// As many as are asked for.
    #[default]
    Replicated,
    /// One on every node.
    Global,
    /// As many as are asked for, to their end.
    ReplicatedJob,
    /// One on every node, to its end.
    GlobalJob,
}

/// How containers are exchanged for others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Update {
    /// How many at a time; 0 is all.
    pub parallelism: u32,
    /// The time between two groups.
    pub delay: Option<Duration>,
    /// What happens when it fails, as written.
    pub failure_action: Option<String>,
    /// How long a new container is watched for a failure.
    pub monitor: Option<Duration>,
    /// The share of failures that is put up with, in thousandths.
    pub max_failure_thousandths: Option<u32>,
    /// The new container starts before the old one stops.
    pub is_start_first: bool,
}
