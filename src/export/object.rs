//! The kinds of objects that an export writes, as one type.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, PersistentVolumeClaim, PodTemplateSpec, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::custom::{ExternalSecret, HTTPRoute, SealedSecret};

/// Declares all kinds, in the order in which objects are written: what others refer to comes first.
macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident = $version:literal,)*) => {
        /// A kind of object, in the order in which they are written: what others refer to comes first.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum Kind { $($(#[$meta])* $name,)* }

        impl Kind {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The kind as Kubernetes spells it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The version of the API that it is written in: `apps/v1`.
            #[must_use]
            pub fn api_version(self) -> &'static str {
                match self { $(Self::$name => $version,)* }
            }
        }

        /// One Kubernetes object.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Object { $($(#[$meta])* $name(Box<$name>),)* }

        impl Object {
            /// Its kind.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self { $(Self::$name(_) => Kind::$name,)* }
            }

            /// Its metadata.
            #[must_use]
            pub fn metadata(&self) -> &ObjectMeta {
                match self { $(Self::$name(object) => &object.metadata,)* }
            }

            /// Reads one back: its `kind` says which.
            ///
            /// # Errors
            /// When it is of no such kind or version, or does not fit its type.
            pub fn from_value(value: Value) -> Result<Self, serde_json::Error> {
                let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
                match kind {
                    $(stringify!($name) => serde_json::from_value(value).map(|object| Self::$name(Box::new(object))),)*
                    kind => Err(serde::de::Error::custom(format!("`{kind}` is no kind of object that is exported"))),
                }
            }

            /// Its metadata, to be changed.
            pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self { $(Self::$name(object) => &mut object.metadata,)* }
            }
        }

        $(impl From<$name> for Object {
            fn from(object: $name) -> Self {
                Self::$name(Box::new(object))
            }
        })*

        impl Serialize for Object {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $(Self::$name(object) => object.serialize(serializer),)* }
            }
        }
    };
}

kinds! {
    /// Where the objects of a project live.
    Namespace = "v1",
    /// As whom pods act.
    ServiceAccount = "v1",
    /// What somebody may ask of the cluster.
    Role = "rbac.authorization.k8s.io/v1",
    /// Who may.
    RoleBinding = "rbac.authorization.k8s.io/v1",
    /// A claim for storage.
    PersistentVolumeClaim = "v1",
    /// Values and files that anybody may read.
    ConfigMap = "v1",
    /// Values and files that not everybody may read.
    Secret = "v1",
    /// Such values in a store of secrets.
    ExternalSecret = "external-secrets.io/v1",
    /// Such values that only the cluster can read.
    SealedSecret = "bitnami.com/v1alpha1",
    /// A name by which pods are reached.
    Service = "v1",
    /// Pods that run to their end.
    Job = "batch/v1",
    /// Those that do so again and again.
    CronJob = "batch/v1",
    /// Pods that are kept running, each with a name of its own.
    StatefulSet = "apps/v1",
    /// Pods that are kept running.
    Deployment = "apps/v1",
    /// A pod on every node.
    DaemonSet = "apps/v1",
    /// How many pods the load asks for.
    HorizontalPodAutoscaler = "autoscaling/v2",
    /// How many pods may be missing when a node is emptied.
    PodDisruptionBudget = "policy/v1",
    /// Who may reach pods.
    NetworkPolicy = "networking.k8s.io/v1",
    /// Hosts of the outside.
    Ingress = "networking.k8s.io/v1",
    /// Hosts of the outside, through a Gateway.
    HTTPRoute = "gateway.networking.k8s.io/v1",
}

/// Which object is meant: names are unique among those of a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reference {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl Object {
    /// Its name; empty when it has none, which [`check`](super::check) refuses.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// What others refer to it by.
    #[must_use]
    pub fn reference(&self) -> Reference {
        Reference { kind: self.kind(), name: self.name().to_owned() }
    }

    /// The file that it is written to: `web-deployment.yaml`. Different objects have different files.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}-{}.yaml", self.name(), self.kind().as_str().to_ascii_lowercase())
    }

    /// What its pods are made from, when it has some.
    #[must_use]
    pub fn template(&self) -> Option<&PodTemplateSpec> {
        match self {
            Self::Job(job) => job.spec.as_ref().map(|spec| &spec.template),
            Self::CronJob(job) => job.spec.as_ref()?.job_template.spec.as_ref().map(|spec| &spec.template),
            Self::StatefulSet(set) => set.spec.as_ref().map(|spec| &spec.template),
            Self::Deployment(deployment) => deployment.spec.as_ref().map(|spec| &spec.template),
            Self::DaemonSet(set) => set.spec.as_ref().map(|spec| &spec.template),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub fn template_mut(&mut self) -> Option<&mut PodTemplateSpec> {
        match self {
            Self::Job(job) => job.spec.as_mut().map(|spec| &mut spec.template),
            Self::CronJob(job) => job.spec.as_mut()?.job_template.spec.as_mut().map(|spec| &mut spec.template),
            Self::StatefulSet(set) => set.spec.as_mut().map(|spec| &mut spec.template),
            Self::Deployment(deployment) => deployment.spec.as_mut().map(|spec| &mut spec.template),
            Self::DaemonSet(set) => set.spec.as_mut().map(|spec| &mut spec.template),
            _ => None,
        }
    }
}
