//! How an image is built.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::FileGrant;
use super::machine::Ulimit;

/// How an image is built (Compose Build Specification).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Build {
    /// Where the files come from.
    pub context: BuildContext,
    /// The Dockerfile, relative to the context or absolute; `Dockerfile` when nothing else is said.
    pub dockerfile: String,
    /// The Dockerfile's text itself, in place of a file.
    pub dockerfile_inline: Option<String>,
    /// Build arguments; `None` is a bare `KEY` that is set nowhere.
    pub args: BTreeMap<String, Option<String>>,
    /// The stage to build; `None` is the last one.
    pub target: Option<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// More names for the image.
    pub tags: Vec<String>,
    /// Images and caches that layers are taken from.
    pub cache_from: Vec<String>,
    /// Where the build's cache is written to.
    pub cache_to: Vec<String>,
    /// More contexts for `FROM` and `COPY --from`, by name.
    pub additional_contexts: BTreeMap<String, String>,
    /// The network of `RUN` steps.
    pub network: Option<String>,
    /// The size of `/dev/shm` of `RUN` steps, in bytes.
    pub shm_size: Option<i64>,
    /// More lines for `/etc/hosts` of `RUN` steps: `name:address`.
    pub extra_hosts: Vec<String>,
    /// SSH agents and keys: `None` is the agent of the environment.
    pub ssh: BTreeMap<String, Option<String>>,
    /// Secrets of `RUN --mount=type=secret` steps; the target is the secret's id.
    pub secrets: Vec<FileGrant>,
    /// Limits of the processes of `RUN` steps.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// The platforms to build for.
    pub platforms: Vec<String>,
    /// Privileges that the build may ask for.
    pub entitlements: Vec<String>,
    /// How `RUN` steps are isolated, on Windows.
    pub isolation: Option<String>,
    /// The build has all privileges.
    pub privileged: bool,
    /// Newer base images are pulled.
    pub pull: bool,
    /// Every step is built anew.
    pub no_cache: bool,
    /// What is attested of how it was built: `true`, `false` or settings.
    pub provenance: Option<String>,
    /// Whether the software in it is listed: `true`, `false` or settings.
    pub sbom: Option<String>,
}

impl Build {
    /// The services whose images it is made with.
    pub fn bases(&self) -> impl Iterator<Item = &str> {
        self.additional_contexts.values().filter_map(|source| source.strip_prefix("service:"))
    }

    /// The further folders whose files are part of it, absolute.
    pub fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.additional_contexts.values().map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

/// Where a build's files come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildContext {
    /// A folder of this machine, absolute.
    Local(PathBuf),
    /// A git repository or archive that the engine fetches itself.
    Remote(String),
}

impl Default for BuildContext {
    fn default() -> Self {
        Self::Local(PathBuf::from("."))
    }
}
