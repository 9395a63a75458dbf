//! Where the engine keeps what it knows. Everything below `state` outlives a reboot, nothing below `run` does.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::id::hexadecimal;

/// The two folders of an engine. Two engines with different ones meet only where one has died (see [`super::presence`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    state: PathBuf,
    run: PathBuf,
}

impl Layout {
    /// `/var/lib/hoist` and `/run/hoist`, or `lib` and `run` below `home` (`HOIST_HOME`).
    #[must_use]
    pub fn new(home: Option<&Path>) -> Self {
        match home {
            Some(home) => Self { state: home.join("lib"), run: home.join("run") },
            None => Self { state: "/var/lib/hoist".into(), run: "/run/hoist".into() },
        }
    }

    /// The same folders, which are there, by the one path that leads to them without links.
    pub fn resolved(&self) -> io::Result<Self> {
        Ok(Self { state: self.state.canonicalize()?, run: self.run.canonicalize()? })
    }

    /// The name of the engine on the machine, of its link and its rules: `hoist` and eight digits that follow from its
    /// folder.
    #[must_use]
    pub fn name(&self) -> String {
        name(&self.run)
    }

    /// What outlives a reboot.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// What does not.
    #[must_use]
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Where the API is served.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run.join("engine.sock")
    }

    /// Locked by the one engine that uses these folders; holds its process id.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.run.join("engine.lock")
    }

    /// What the daemon says of itself.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.state.join("engine.log")
    }

    /// Images and layers.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.state.join("images")
    }

    /// The build cache.
    #[must_use]
    pub fn builds(&self) -> PathBuf {
        self.state.join("builds")
    }

    /// Volumes, a folder each.
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// Networks' records.
    #[must_use]
    pub fn networks(&self) -> PathBuf {
        self.state.join("networks")
    }

    /// All containers' records.
    #[must_use]
    pub fn containers(&self) -> PathBuf {
        self.state.join("containers")
    }

    /// What a container keeps: its record, log, written layer, `hosts` and `resolv.conf`.
    #[must_use]
    pub fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }

    /// All running containers' folders.
    #[must_use]
    pub fn runtimes(&self) -> PathBuf {
        self.run.join("c")
    }

    /// What a running container has: its shim's config and socket, how it ended. Short, because the path of a socket must
    /// be (108 bytes).
    #[must_use]
    pub fn runtime(&self, id: &str) -> PathBuf {
        self.runtimes().join(id.get(..16).unwrap_or(id))
    }

    /// Network namespaces, a file each.
    #[must_use]
    pub fn namespaces(&self) -> PathBuf {
        self.run.join("netns")
    }

    /// A tmpfs of the engine's that is private to it: the mount points of root file systems, and what containers without
    /// an image write. Mounts below it are made in the mount namespaces of shims and never seen by the machine.
    #[must_use]
    pub fn mounts(&self) -> PathBuf {
        self.run.join("mounts")
    }
}

/// The name of the engine whose folder of a run this is; see [`Layout::name`].
#[must_use]
pub fn name(run: &Path) -> String {
    let digest = hexadecimal(&Sha256::digest(run.as_os_str().as_encoded_bytes()));
    format!("hoist{}", &digest[..8])
}
