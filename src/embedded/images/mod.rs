//! Images: blobs by digest, layers unpacked once, names.

use std::path::{Path, PathBuf};

use bollard_stubs::models::{
    AuthConfig, ImageConfig, ImageDeleteResponseItem, ImageHistoryResponseItem, ImageInspect, ImageSummary,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::ByteStream;
use super::error::Error;
use super::events::Events;
use super::layout::Layout;

/// The reference of the image that stands for this machine's own root file system.
pub const MACHINE: &str = "hoist/machine:latest";

/// The engine's images; clones share them.
#[derive(Debug, Clone)]
pub struct Images {
    _layout: Layout,
    _events: Events,
}

/// An image that is here, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// `sha256:…` of its configuration.
    pub id: String,
    /// What it says.
    pub document: Document,
    /// Its layers, lowest first. Empty for [`MACHINE`], which `machine` tells apart from a scratch image.
    pub layers: Vec<Layer>,
    /// Whether it is the machine's own root file system.
    pub machine: bool,
    /// `name:tag` of it, sorted.
    pub tags: Vec<String>,
    /// `name@sha256:…` of it.
    pub digests: Vec<String>,
}

/// An unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// `sha256:…` of its plain tar.
    pub diff_id: String,
    /// Where it is unpacked, for overlayfs.
    pub folder: PathBuf,
    /// Bytes of its files.
    pub size: u64,
}

/// The configuration of an image (OCI Image Format, Image Configuration, with Docker's own fields).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Document {
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<DateTime<Utc>>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// `amd64`.
    pub architecture: String,
    /// `v8`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// `linux`.
    pub os: String,
    /// Defaults of its containers.
    #[serde(default)]
    pub config: ImageConfig,
    /// Its layers.
    pub rootfs: DocumentRootfs,
    /// How they came to be.
    #[serde(default)]
    pub history: Vec<History>,
}

/// The layers of a [`Document`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DocumentRootfs {
    /// `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `sha256:…` of the plain tars, lowest first.
    pub diff_ids: Vec<String>,
}

/// A step that made an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<DateTime<Utc>>,
    /// By what.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// About it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether it made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// A piece of news of a pull, push or load, as the API streams it (`CreateImageInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct News {
    /// The layer or image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `Downloading`, `Pull complete`, ….
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Bytes so far and in all.
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub progress: Option<NewsProgress>,
    /// Lines for people (`load`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
}

/// Bytes of a [`News`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NewsProgress {
    /// So far.
    pub current: u64,
    /// In all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

impl Images {
    /// Those of the folders; what a crash has left half-done is removed.
    pub async fn open(layout: &Layout, events: Events) -> Result<Self, Error> {
        Ok(Self { _layout: layout.clone(), _events: events })
    }

    /// One by `name`, `name:tag`, `name@digest`, id or beginning of an id.
    pub async fn find(&self, _reference: &str) -> Result<Image, Error> {
        Err(Error::Unsupported("images".into()))
    }

    /// All that are tagged, and with `all` the others.
    pub async fn list(&self, _all: bool) -> Result<Vec<ImageSummary>, Error> {
        Err(Error::Unsupported("images".into()))
    }

    /// As `GET /images/{name}/json` describes it.
    pub async fn inspect(&self, _reference: &str) -> Result<ImageInspect, Error> {
        Err(Error::Unsupported("images".into()))
    }

    /// How it came to be, newest first.
    pub async fn history(&self, _reference: &str) -> Result<Vec<ImageHistoryResponseItem>, Error> {
        Err(Error::Unsupported("images".into()))
    }

    /// Pulls from a registry. Dropped, it stops, and what was fetched whole is kept.
    pub async fn pull(
        &self,
        _reference: &str,
        _platform: Option<&str>,
        _credentials: Option<AuthConfig>,
        _news: mpsc::Sender<News>,
    ) -> Result<Image, Error> {
        Err(Error::Unsupported("pull".into()))
    }

    /// Pushes to a registry.
    pub async fn push(
        &self,
        _reference: &str,
        _credentials: Option<AuthConfig>,
        _news: mpsc::Sender<News>,
    ) -> Result<(), Error> {
        Err(Error::Unsupported("push".into()))
    }

    /// Gives an image a further name.
    pub async fn tag(&self, _image: &str, _reference: &str) -> Result<(), Error> {
        Err(Error::Unsupported("tag".into()))
    }

    /// Takes a name away, and the image with its last one. `in_use` are the ids of images that containers have.
    pub async fn remove(
        &self,
        _reference: &str,
        _force: bool,
        _in_use: &[String],
    ) -> Result<Vec<ImageDeleteResponseItem>, Error> {
        Err(Error::Unsupported("remove".into()))
    }

    /// Removes images without a name, and with `all` those that no container has; and layers that no image has. Returns
    /// what went and the bytes gained.
    pub async fn prune(&self, _all: bool, _in_use: &[String]) -> Result<(Vec<ImageDeleteResponseItem>, u64), Error> {
        Err(Error::Unsupported("prune".into()))
    }

    /// Images as `docker save` writes them (with an OCI index beside `manifest.json`).
    pub async fn save(&self, _references: &[String]) -> Result<ByteStream, Error> {
        Err(Error::Unsupported("save".into()))
    }

    /// Takes in what `docker save` or an OCI layout holds.
    pub async fn load(&self, _tar: ByteStream, _news: mpsc::Sender<News>) -> Result<Vec<Image>, Error> {
        Err(Error::Unsupported("load".into()))
    }

    /// Makes an image of one layer (`docker import`).
    pub async fn import(
        &self,
        _tar: ByteStream,
        _reference: Option<&str>,
        _config: ImageConfig,
        _message: &str,
    ) -> Result<Image, Error> {
        Err(Error::Unsupported("import".into()))
    }

    /// Takes in what a build step has written into `upper`, which becomes the layer's folder. The same files give the same
    /// layer; it is kept from [`Images::prune`] while the returned value lives.
    pub async fn add_layer(&self, _upper: &Path) -> Result<Layer, Error> {
        Err(Error::Unsupported("add_layer".into()))
    }

    /// A layer by `sha256:…` of its plain tar, if it is still here.
    pub async fn layer(&self, _diff_id: &str) -> Option<Layer> {
        None
    }

    /// Makes an image of layers that are here and gives it names.
    pub async fn add(&self, _document: &Document, _references: &[String]) -> Result<Image, Error> {
        Err(Error::Unsupported("add".into()))
    }
}
