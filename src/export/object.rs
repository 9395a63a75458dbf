//! The kinds of objects that an export writes, as one type.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Serialize, Serializer};

/// A kind of object, in the order in which they are written: what others refer to comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    /// A claim for storage.
    PersistentVolumeClaim,
    /// Values and files that anybody may read.
    ConfigMap,
    /// Values and files that not everybody may read.
    Secret,
    /// A name by which pods are reached.
    Service,
    /// Pods that run to their end.
    Job,
    /// Pods that are kept running.
    Deployment,
}

impl Kind {
    /// The kind as Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::Service => "Service",
            Self::Job => "Job",
            Self::Deployment => "Deployment",
        }
    }
}

/// Which object is meant: names are unique among those of a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reference {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

/// One Kubernetes object.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// `v1` `PersistentVolumeClaim`.
    PersistentVolumeClaim(Box<PersistentVolumeClaim>),
    /// `v1` `ConfigMap`.
    ConfigMap(Box<ConfigMap>),
    /// `v1` `Secret`.
    Secret(Box<Secret>),
    /// `v1` `Service`.
    Service(Box<Service>),
    /// `batch/v1` `Job`.
    Job(Box<Job>),
    /// `apps/v1` `Deployment`.
    Deployment(Box<Deployment>),
}

impl Object {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::PersistentVolumeClaim(_) => Kind::PersistentVolumeClaim,
            Self::ConfigMap(_) => Kind::ConfigMap,
            Self::Secret(_) => Kind::Secret,
            Self::Service(_) => Kind::Service,
            Self::Job(_) => Kind::Job,
            Self::Deployment(_) => Kind::Deployment,
        }
    }

    /// Its metadata.
    #[must_use]
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::PersistentVolumeClaim(object) => &object.metadata,
            Self::ConfigMap(object) => &object.metadata,
            Self::Secret(object) => &object.metadata,
            Self::Service(object) => &object.metadata,
            Self::Job(object) => &object.metadata,
            Self::Deployment(object) => &object.metadata,
        }
    }

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
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::PersistentVolumeClaim(object) => object.serialize(serializer),
            Self::ConfigMap(object) => object.serialize(serializer),
            Self::Secret(object) => object.serialize(serializer),
            Self::Service(object) => object.serialize(serializer),
            Self::Job(object) => object.serialize(serializer),
            Self::Deployment(object) => object.serialize(serializer),
        }
    }
}
