//! What `x-hoist.kubernetes` says of a service, a volume and the project: what a Compose file has no word for and only a
//! cluster needs. No container of this machine is made from it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What a service is in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kubernetes {
    /// The kind of its pods' owner; `None` lets the rest of the manifest decide.
    pub kind: Option<WorkloadKind>,
    /// When it runs, for one that comes back.
    pub schedule: Option<Schedule>,
    /// Where it is reached from outside: `shop.example.com` or `shop.example.com/api`.
    pub hosts: Vec<String>,
    /// Its port that those hosts lead to; `None` is the only one, or the first that is published.
    pub port: Option<u16>,
    /// How its hosts are encrypted.
    pub tls: Tls,
    /// What leads its hosts to it; `None` is what the project says.
    pub entry: Option<Entry>,
    /// How its published ports are reached; `None` is what the project says.
    pub service_type: Option<ServiceType>,
    /// What its volumes are claimed with.
    pub storage: Storage,
    /// Between how many replicas its load decides.
    pub autoscale: Option<Autoscale>,
    /// Whether its pods wait for what they depend on; `None` is what the project says.
    pub waits: Option<bool>,
    /// Variables whose values are kept in a Secret, whatever they look like.
    pub secret_variables: BTreeSet<String>,
    /// Variables whose values anybody may read, whatever they look like.
    pub plain_variables: BTreeSet<String>,
    /// More labels of its objects and pods.
    pub labels: BTreeMap<String, String>,
    /// More annotations of its objects and pods.
    pub annotations: BTreeMap<String, String>,
    /// A `ServiceAccount` that is there already; `None` makes one without rights.
    pub service_account: Option<String>,
    /// Secrets with the credentials of its image's registry, with those of the project.
    pub image_pull_secrets: Vec<String>,
}

/// What the whole project is in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProjectKubernetes {
    /// The namespace of its objects; `None` leaves that to whoever applies them.
    pub namespace: Option<String>,
    /// What goes before the names of images that it builds: `registry.example.com/team`.
    pub registry: Option<String>,
    /// Secrets with the credentials of its registries.
    pub image_pull_secrets: Vec<String>,
    /// What leads hosts to services; `None` is an Ingress of the cluster's default class.
    pub entry: Option<Entry>,
    /// How published ports are reached; `None` is from inside the cluster only.
    pub service_type: Option<ServiceType>,
    /// What volumes are claimed with where nothing else says so.
    pub storage: Storage,
    /// Where an operator finds the values of Secrets.
    pub secret_store: Option<SecretStore>,
    /// Whether pods wait for what they depend on; `None` is yes.
    pub waits: Option<bool>,
    /// The image that they wait with.
    pub wait_image: Option<String>,
    /// Whether only who is meant to reach a service does; `None` is no.
    pub network_policies: Option<bool>,
    /// More labels of all objects and pods.
    pub labels: BTreeMap<String, String>,
    /// More annotations of all objects and pods.
    pub annotations: BTreeMap<String, String>,
}

/// What owns the pods of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkloadKind {
    /// Pods that are kept running, any of which is as good as another.
    Deployment,
    /// Pods with names and volumes of their own.
    StatefulSet,
    /// A pod on every node.
    DaemonSet,
    /// A pod that runs to its end.
    Job,
    /// One that does so again and again.
    CronJob,
}

/// When something runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// In the five fields of cron, or a word such as `@daily`.
    pub cron: String,
    /// The time zone that it is meant in; `None` is the cluster's, most often UTC.
    pub time_zone: Option<String>,
    /// What happens when the last run is not done yet.
    pub concurrency: Concurrency,
}

/// What happens when a run is due and the last one is not done yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Concurrency {
    /// Both run.
    Allow,
    /// The new one is left out.
    #[default]
    Forbid,
    /// The old one is ended.
    Replace,
}

/// How hosts are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Tls {
    /// Not by what is exported.
    #[default]
    Off,
    /// With the certificate of a Secret that is called after the service.
    Own,
    /// With that of a Secret of this name.
    Secret(String),
}

/// What leads hosts of the outside to services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// An Ingress.
    Ingress {
        /// Its class; `None` is the cluster's default.
        class: Option<String>,
        /// What its controller is told besides.
        annotations: BTreeMap<String, String>,
    },
    /// A route of a Gateway that is there already.
    Gateway {
        /// The Gateway.
        name: String,
        /// The namespace that it is in; `None` is that of the project.
        namespace: Option<String>,
        /// Its listener; `None` is every one that takes the host.
        listener: Option<String>,
    },
}

/// How a Service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    /// From inside the cluster.
    ClusterIp,
    /// On a port of every node.
    NodePort,
    /// At an address that the cluster's surroundings give it.
    LoadBalancer,
}

/// What a volume is claimed with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Storage {
    /// A quantity: `10Gi`.
    pub size: Option<String>,
    /// The storage class; `None` is the cluster's default.
    pub class: Option<String>,
    /// By whom it can be mounted.
    pub access: Option<AccessMode>,
}

/// By whom a volume can be mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessMode {
    /// By pods of one node, to be written.
    ReadWriteOnce,
    /// By one pod, to be written.
    ReadWriteOncePod,
    /// By pods of many nodes, to be written.
    ReadWriteMany,
    /// By pods of many nodes, to be read.
    ReadOnlyMany,
}

impl AccessMode {
    /// The word that Kubernetes uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadWriteOnce => "ReadWriteOnce",
            Self::ReadWriteOncePod => "ReadWriteOncePod",
            Self::ReadWriteMany => "ReadWriteMany",
            Self::ReadOnlyMany => "ReadOnlyMany",
        }
    }
}

/// Between how many replicas the load decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Autoscale {
    /// The fewest; `None` is as many as the manifest asks for.
    pub min: Option<u32>,
    /// The most.
    pub max: u32,
    /// The use of processors that is aimed at, in per cent of what is requested.
    pub cpu: Option<u32>,
    /// The use of memory that is aimed at, in per cent of what is requested.
    pub memory: Option<u32>,
}

/// Where an operator finds the values of Secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretStore {
    /// Its name.
    pub name: String,
    /// It is one of the namespace (`SecretStore`), not of the cluster (`ClusterSecretStore`).
    pub is_namespaced: bool,
}
