//! Where the engine keeps what it knows. Everything below `state` outlives a reboot, nothing below `run` does.

use std::path::{Path, PathBuf};

/// The two folders of an engine. Two engines with different ones never meet.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// What a running container has: its shim's config and socket, how it ended. Short, because the path of a socket must
    /// be (108 bytes).
    #[must_use]
    pub fn runtime(&self, id: &str) -> PathBuf {
        self.run.join("c").join(id.get(..16).unwrap_or(id))
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
