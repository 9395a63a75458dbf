//! The folder of a container that runs ([`super::super::layout::Layout::runtime`]): what lies in it, and its lock.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{ContainerProcess, Exit};

/// The folder of one container.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The engine's folder of a run, two above it.
    pub(super) fn run(&self) -> PathBuf {
        self.0.ancestors().nth(2).map(Path::to_owned).unwrap_or_default()
    }

    /// Where the shim is spoken to.
    pub(super) fn socket(&self) -> PathBuf {
        self.0.join("sock")
    }

    /// Where the shim waits for the container's terminal.
    pub(super) fn console(&self) -> PathBuf {
        self.0.join("console")
    }

    /// Where what the container sees of control groups is put together.
    pub(super) fn groups(&self) -> PathBuf {
        self.0.join("groups")
    }

    /// The specification that `libcontainer` reads.
    pub(super) fn config(&self) -> PathBuf {
        self.0.join("config.json")
    }

    /// Makes it anew with what a shim needs to know; who has none of the engine's rights sees none of it.
    pub(super) fn create(&self, container: &ContainerProcess) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        self.write("shim.json", &serde_json::to_vec(container)?)
    }

    /// What the container is.
    pub(super) fn container(&self) -> io::Result<ContainerProcess> {
        Ok(serde_json::from_slice(&fs::read(self.0.join("shim.json"))?)?)
    }

    /// Records how it ended.
    pub(super) fn record(&self, exit: &Exit) -> io::Result<()> {
        self.write("exit.json", &serde_json::to_vec(exit)?)
    }

    /// How it ended, as far as that is recorded.
    pub(super) fn exit(&self) -> Option<Exit> {
        serde_json::from_slice(&fs::read(self.0.join("exit.json")).ok()?).ok()
    }

    /// Whole or not at all.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.0.join(format!("{name}.new"));
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        drop(file);
        fs::rename(new, self.0.join(name))
    }

    /// Held by the shim as long as it lives.
    pub(super) fn lock(&self) -> io::Result<File> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.0.join("lock"))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::Error::new(io::ErrorKind::ResourceBusy, "another shim has it"),
        })?;
        Ok(file)
    }

    /// Whether a shim lives.
    pub(super) fn is_held(&self) -> bool {
        self.0.join("lock").exists() && self.lock().is_err()
    }

    /// Removes what `libcontainer` keeps of the container.
    pub(super) fn forget_runtime(&self, id: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.0.join(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes all of it.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
