//! What is mounted into containers, and the volumes, secrets and configs that it comes from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::kubernetes::Storage;

/// Something mounted into a container (chapter 5, `volumes` and `tmpfs`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The absolute path inside the container, cleaned.
    pub target: String,
    /// Not writable from inside.
    pub read_only: bool,
    /// What is mounted there.
    pub source: MountSource,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A file or folder of the host.
    Bind {
        /// Absolute path on the host.
        path: PathBuf,
        /// Make a missing folder instead of failing.
        create_host_path: bool,
        /// `rprivate`, `shared`, …
        propagation: Option<String>,
        /// `z` or `Z`.
        selinux: Option<String>,
        /// What becomes of mounts below it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recursion: Option<Recursion>,
    },
    /// A volume of the project, by its key.
    Volume {
        /// The key under the top-level `volumes`.
        key: String,
        /// Do not fill an empty volume from the image.
        nocopy: bool,
        /// A folder inside the volume.
        subpath: Option<String>,
    },
    /// A volume without a name that lives as long as its container's successors.
    Anonymous {
        /// Do not fill it from the image.
        nocopy: bool,
        /// Labels of the volume.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
    },
    /// The file system of an image.
    Image {
        /// The image's reference.
        reference: String,
        /// A folder inside it.
        subpath: Option<String>,
    },
    /// A volume of a cluster.
    Cluster(String),
    /// A named pipe of Windows.
    Pipe(String),
    /// Memory.
    Tmpfs {
        /// Limit in bytes.
        size: Option<u64>,
        /// Permissions.
        mode: Option<u32>,
        /// Options as written in the short form (`noexec,size=1m`), when it was used.
        options: Option<String>,
    },
}

/// What becomes of mounts below the source of a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recursion {
    /// They stay away.
    Disabled,
    /// They come along and stay writable where the bind is not.
    Writable,
    /// They come along and must be as read-only as the bind.
    ReadOnly,
}

/// A secret or config that a service is given as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileGrant {
    /// The key under the top-level `secrets` or `configs`.
    pub key: String,
    /// The absolute path inside the container.
    pub target: String,
    /// Owner, when written.
    pub uid: Option<String>,
    /// Group, when written.
    pub gid: Option<String>,
    /// Permissions, when written; 0444 otherwise.
    pub mode: Option<u32>,
}

/// A top-level secret or config (chapters 8 and 9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileObject {
    /// The name that the engine would know it by.
    pub name: String,
    /// Where its content is.
    pub source: FileSource,
}

/// Where the content of a secret or config is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileSource {
    /// A file of the host, absolute; it is mounted.
    File(PathBuf),
    /// The value of an environment variable, already looked up; it is copied in.
    Environment {
        /// The variable's name.
        variable: String,
        /// Its value when the manifest was loaded.
        value: String,
    },
    /// Text written in the manifest; it is copied in.
    Content(String),
    /// Something that exists outside the project.
    External,
}

/// A volume of the project (chapter 7).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Volume {
    /// Its name in the engine: `<project>_<key>` unless written.
    pub name: String,
    /// Made and removed by somebody else.
    pub external: bool,
    /// `None` is the engine's default, `local`.
    pub driver: Option<String>,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// Labels of the volume.
    pub labels: BTreeMap<String, String>,
    /// What it is claimed with in a cluster (`x-hoist.kubernetes`).
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub storage: Storage,
}
