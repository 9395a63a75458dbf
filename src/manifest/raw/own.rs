//! `x-hoist`: what is meant for hoist alone, at the top, in a service, in a volume and beside a file of variables.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use super::Blank;
use super::forms::{Labels, OneOrMany, Short, ShortForm};
use super::scalars::{Flag, Within};
use super::service::Nullable;
use crate::project::syntax;

raw! {
    /// What is meant for hoist alone, of the whole project.
    ProjectOwn {
        /// Rules of `hoist config --check` that are not told here, such as `H001`.
        allow: OneOrMany<String>,
        /// What the project is in a Kubernetes cluster.
        kubernetes: Nullable<ProjectKubernetes>,
    }
}

raw! {
    /// What is meant for hoist alone, of a service.
    ServiceOwn {
        /// Rules of `hoist config --check` that are not told of this service, such as `H001`.
        allow: OneOrMany<String>,
        /// `false` leaves the service as it is when its files change. `true` when not given.
        watch: Option<Flag>,
        /// What the service is in a Kubernetes cluster.
        kubernetes: Nullable<ServiceKubernetes>,
    }
}

raw! {
    /// What is meant for hoist alone, of a volume.
    VolumeOwn {
        /// What it is claimed with in a Kubernetes cluster.
        kubernetes: Nullable<Storage>,
    }
}

raw! {
    /// What is meant for hoist alone, of a file of variables.
    EnvFileOwn {
        /// The values of all its variables are kept in a Secret.
        secret: Option<Flag>,
    }
}

raw! {
    /// What the project is in a Kubernetes cluster.
    ProjectKubernetes {
        /// The namespace of its objects; whoever applies them chooses when not given.
        namespace: Option<Name>,
        /// What goes before the names of images that it builds, such as `registry.example.com/team`.
        registry: String,
        /// Secrets with the credentials of its registries.
        image_pull_secrets: OneOrMany<Name>,
        /// The Ingress that leads hosts to services: its class, or the details.
        ingress: Option<super::forms::Form<Ingress>>,
        /// The Gateway that leads hosts to services, instead of an Ingress: `NAME`, `NAMESPACE/NAME`, or the details.
        gateway: Option<super::forms::Form<Gateway>>,
        /// How published ports are reached: `ClusterIP`, which is meant when not given, `NodePort` or `LoadBalancer`.
        service: Option<ServiceType>,
        /// What volumes are claimed with where nothing else says so.
        storage: Storage,
        /// Where External Secrets finds the values of Secrets: the name of a cluster's store, or the details.
        secret_store: Option<super::forms::Form<SecretStore>>,
        /// `false` lets pods start without waiting for what they depend on.
        wait: Option<Flag>,
        /// The image that pods wait with: one with `sh`, `nc`, `nslookup` and `curl`.
        wait_image: String,
        /// Allow only the connections that the manifest tells of.
        network_policies: Option<Flag>,
        /// More labels of all objects and pods.
        labels: Labels,
        /// More annotations of all objects and pods.
        annotations: Labels,
    }
}

raw! {
    /// What a service is in a Kubernetes cluster.
    ServiceKubernetes {
        /// What owns its pods; the rest of the manifest decides when not given.
        kind: Option<WorkloadKind>,
        /// When it runs, as cron has it: `0 3 * * *`, or `@daily`. It is then a `CronJob`.
        schedule: Option<Cron>,
        /// The time zone of the schedule, such as `Europe/Berlin`.
        time_zone: String,
        /// What happens when a run is due and the last one is not done: `Forbid`, which is meant when not given, `Allow`
        /// or `Replace`.
        concurrency: Option<Concurrency>,
        /// Where it is reached from outside: `shop.example.com` or `shop.example.com/api`.
        host: OneOrMany<Host>,
        /// The port that the hosts lead to; the only one, or the first that is published, when not given.
        port: Option<Within<1, 65535>>,
        /// `true` encrypts the hosts with the certificate of the Secret `SERVICE-tls`, a name with that of another.
        tls: Option<Tls>,
        /// The Ingress that leads the hosts here: its class, or the details.
        ingress: Option<super::forms::Form<Ingress>>,
        /// The Gateway that leads the hosts here, instead of an Ingress: `NAME`, `NAMESPACE/NAME`, or the details.
        gateway: Option<super::forms::Form<Gateway>>,
        /// How its published ports are reached: `ClusterIP`, `NodePort` or `LoadBalancer`.
        service: Option<ServiceType>,
        /// What its volumes are claimed with.
        storage: Storage,
        /// Between how many replicas its load decides.
        autoscale: Option<Autoscale>,
        /// `false` lets its pods start without waiting for what they depend on.
        wait: Option<Flag>,
        /// Variables whose values are kept in a Secret, whatever they look like.
        secret: OneOrMany<String>,
        /// Variables whose values anybody may read, whatever they look like.
        plain: OneOrMany<String>,
        /// More labels of its objects and pods.
        labels: Labels,
        /// More annotations of its objects and pods.
        annotations: Labels,
        /// A service account that is there already; one without rights is made when not given.
        service_account: Option<Name>,
        /// More secrets with credentials of registries.
        image_pull_secrets: OneOrMany<Name>,
    }
}

raw! {
    /// What leads hosts to services.
    Ingress {
        /// Its class; the cluster's default when not given.
        class: Option<Name>,
        /// What its controller is told besides.
        annotations: Labels,
    }
}

impl ShortForm for Ingress {
    const EXPECTING: &'static str = "the class of an Ingress or a mapping";

    fn from_short(short: Short<'_>) -> Result<Option<Self>, String> {
        let Short::Text(text) = short else { return Ok(None) };
        Ok(Some(Self { class: Some(name(text)?), ..Self::default() }))
    }
}

raw! {
    /// A Gateway that is there already.
    Gateway {
        /// Its name.
        name: Option<Name>,
        /// The namespace that it is in; that of the project when not given.
        namespace: Option<Name>,
        /// The listener that is used; every one that takes the host when not given.
        listener: Option<Name>,
    }
}

impl ShortForm for Gateway {
    const EXPECTING: &'static str = "a Gateway as `NAME` or `NAMESPACE/NAME`, or a mapping";

    fn from_short(short: Short<'_>) -> Result<Option<Self>, String> {
        let Short::Text(text) = short else { return Ok(None) };
        let (namespace, gateway) = text.split_once('/').map_or((None, text), |(space, name)| (Some(space), name));
        Ok(Some(Self { name: Some(name(gateway)?), namespace: namespace.map(name).transpose()?, listener: None }))
    }
}

raw! {
    /// Where External Secrets finds values.
    SecretStore {
        /// Its name.
        name: Option<Name>,
        /// `ClusterSecretStore`, which is meant when not given, or `SecretStore`.
        kind: Option<StoreKind>,
    }
}

impl ShortForm for SecretStore {
    const EXPECTING: &'static str = "the name of a store or a mapping";

    fn from_short(short: Short<'_>) -> Result<Option<Self>, String> {
        let Short::Text(text) = short else { return Ok(None) };
        Ok(Some(Self { name: Some(name(text)?), kind: None }))
    }
}

raw! {
    /// What a volume is claimed with.
    Storage {
        /// How much, such as `10Gi`. `1Gi` when not given.
        size: Option<Quantity>,
        /// The storage class; the cluster's default when not given.
        class: Option<Name>,
        /// By whom it can be mounted. `ReadWriteOnce` when not given.
        access: Option<AccessMode>,
    }
}

impl Blank for Storage {
    fn is_blank(&self) -> bool {
        *self == Self::default()
    }
}

raw! {
    /// Between how many replicas the load decides.
    Autoscale {
        /// The fewest; as many as the manifest asks for when not given.
        min: Option<Within<1, 10_000>>,
        /// The most.
        max: Option<Within<1, 10_000>>,
        /// The use of processors that is aimed at, in per cent of what is requested. 80 when neither is given.
        cpu: Option<Within<1, 1000>>,
        /// The use of memory that is aimed at, in per cent of what is requested.
        memory: Option<Within<1, 1000>>,
    }
}

impl<T> Blank for Nullable<T> {
    fn is_blank(&self) -> bool {
        self.0.is_none()
    }
}

/// Declares a choice between words that are written as Kubernetes writes them.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
        pub(crate) enum $name { $($(#[$variant_meta])* $variant,)* }
    };
}

choice! {
    /// What owns the pods of a service.
    WorkloadKind {
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
}

choice! {
    /// What happens when a run is due and the last one is not done.
    Concurrency {
        /// Both run.
        Allow,
        /// The new one is left out.
        Forbid,
        /// The old one is ended.
        Replace,
    }
}

choice! {
    /// How a Service is reached.
    ServiceType {
        /// From inside the cluster.
        #[serde(rename = "ClusterIP")]
        ClusterIp,
        /// On a port of every node.
        NodePort,
        /// At an address that the cluster's surroundings give it.
        LoadBalancer,
    }
}

choice! {
    /// By whom a volume can be mounted.
    AccessMode {
        /// By pods of one node, to be written.
        ReadWriteOnce,
        /// By one pod, to be written.
        ReadWriteOncePod,
        /// By pods of many nodes, to be written.
        ReadWriteMany,
        /// By pods of many nodes, to be read.
        ReadOnlyMany,
    }
}

choice! {
    /// Whose a store of secrets is.
    StoreKind {
        /// The cluster's.
        ClusterSecretStore,
        /// The namespace's.
        SecretStore,
    }
}

/// Declares a text of a certain form.
macro_rules! text {
    ($(#[$meta:meta])* $name:ident, $read:path, $schema:tt) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) String);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $read(&String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }

            fn inline_schema() -> bool {
                true
            }
        }
    };
}

text!(
    /// The name of an object of a cluster.
    Name, name, { "type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" }
);
text!(
    /// A host with or without a path.
    Host, host, { "type": "string" }
);
text!(
    /// When something runs.
    Cron, cron, { "type": "string" }
);

fn name(text: &str) -> Result<Name, String> {
    if syntax::is_subdomain(text) {
        return Ok(Name(text.to_owned()));
    }
    Err(format!("`{text}` is no name in a cluster\nuse lower-case letters, digits, `-` and `.`"))
}

fn host(text: &str) -> Result<Host, String> {
    let (name, path) = text.split_once('/').map_or((text, ""), |(name, path)| (name, path));
    if name.contains(':') {
        return Err(format!("`{text}` is no host\nwrite it without `http://` and without a port"));
    }
    let is_path = path.chars().all(|character| character.is_ascii_graphic() && !"{}?#%\\".contains(character))
        && !path.contains("//")
        && path.split('/').all(|part| part != ".." && part != ".");
    if syntax::is_host(name) && is_path {
        return Ok(Host(text.to_owned()));
    }
    Err(format!("`{text}` is no host\nwrite it as in `shop.example.com` or `shop.example.com/api`"))
}

fn cron(text: &str) -> Result<Cron, String> {
    if syntax::is_schedule(text) {
        return Ok(Cron(text.to_owned()));
    }
    Err(format!("`{text}` is no schedule\nwrite minute, hour, day, month and weekday, as in `0 3 * * *`, or `@daily`"))
}

/// An amount as Kubernetes writes it, also as a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quantity(pub(crate) String);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = super::forms::Scalar::deserialize(deserializer)?.0.unwrap_or_default();
        match syntax::quantity(&text) {
            Some(amount) if amount > 0 => Ok(Self(text)),
            _ => Err(de::Error::custom(format!("`{text}` is no amount\nwrite a number with its unit, as in `10Gi`"))),
        }
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Whether hosts are encrypted, and with the certificate of which Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tls {
    Off,
    Own,
    Secret(String),
}

impl<'de> Deserialize<'de> for Tls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TlsVisitor;

        impl Visitor<'_> for TlsVisitor {
            type Value = Tls;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("`true`, `false` or the name of a Secret")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Tls, E> {
                Ok(if value { Tls::Own } else { Tls::Off })
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Tls, E> {
                match text {
                    "true" => Ok(Tls::Own),
                    "false" => Ok(Tls::Off),
                    text => name(text).map(|name| Tls::Secret(name.0)).map_err(E::custom),
                }
            }
        }

        deserializer.deserialize_any(TlsVisitor)
    }
}

impl Serialize for Tls {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::Own => serializer.serialize_bool(true),
            Self::Secret(name) => serializer.serialize_str(name),
        }
    }
}

impl JsonSchema for Tls {
    fn schema_name() -> Cow<'static, str> {
        "Tls".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["boolean", "string"] })
    }

    fn inline_schema() -> bool {
        true
    }
}
