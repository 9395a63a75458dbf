//! Images as one tar: what `docker save` writes, which is an OCI layout as well.

pub(super) mod load;
pub(super) mod save;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::null_is_default;

/// The file that tells an OCI layout.
const LAYOUT: &str = "oci-layout";
/// An OCI layout's list of images.
const INDEX: &str = "index.json";
/// Docker's list of images.
const MANIFEST: &str = "manifest.json";
/// Docker's list of names, for old readers.
const REPOSITORIES: &str = "repositories";
/// Where names are in an OCI layout: the tag, and the whole name.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const IMAGE_NAME: &str = "io.containerd.image.name";

/// An image in Docker's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Listed {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags", default, deserialize_with = "null_is_default")]
    tags: Vec<String>,
    #[serde(rename = "Layers", default, deserialize_with = "null_is_default")]
    layers: Vec<String>,
}

/// A reference to a blob.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Descriptor {
    /// What it is.
    #[serde(rename = "mediaType", default)]
    pub(super) media_type: String,
    /// `sha256:…`.
    pub(super) digest: String,
    /// Bytes.
    pub(super) size: u64,
    /// Whose image it is, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
    /// About it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub(super) annotations: BTreeMap<String, String>,
}

/// For which machines an image is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Platform {
    /// `amd64`.
    pub(super) architecture: String,
    /// `linux`.
    pub(super) os: String,
    /// `v8`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) variant: String,
}

/// A manifest: an image's parts; or an index: images for several platforms.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    #[serde(rename = "schemaVersion")]
    pub(super) schema: u64,
    #[serde(rename = "mediaType", default, skip_serializing_if = "String::is_empty")]
    pub(super) media_type: String,
    /// The image's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) config: Option<Descriptor>,
    /// Its layers, lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub(super) layers: Vec<Descriptor>,
    /// Of an index.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub(super) manifests: Vec<Descriptor>,
}

/// Media types that are written.
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
