//! A container's root file system: what it is made of, mounting it, and work inside it.
//!
//! Work inside is done by a helper process (`__engine root`) with a mount namespace of its own, behind a chroot: no link in
//! a container or an image leads out of it. Mounting happens in shims and helpers only, never in the daemon.

pub mod helper;
pub mod machine;
pub mod mount;

mod client;
mod remove;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ByteStream;
use super::error::Error;
use super::layout::Layout;
use helper::{Place, Work};

/// What a root file system is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rootfs {
    /// Layers of an image, topmost first, below a written one (overlayfs).
    Layers {
        /// Folders of unpacked layers; may be empty (`FROM scratch`).
        lower: Vec<PathBuf>,
        /// What is written.
        upper: PathBuf,
        /// Overlayfs's own; on the same file system as `upper`.
        work: PathBuf,
    },
    /// The machine's own root file system, read-only, below a written layer that lies in [`Layout::mounts`].
    Machine {
        /// What is written.
        upper: PathBuf,
        /// Overlayfs's own.
        work: PathBuf,
    },
}

/// A folder or file of the machine at a place inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// On the machine.
    pub source: PathBuf,
    /// Inside.
    pub destination: PathBuf,
    /// Whether it can be written through here.
    pub read_only: bool,
}

/// Whose files are worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum View {
    /// Those that a running container's first process sees; its process id on the machine.
    Process(u32),
    /// Those of a container that does not run.
    Stopped {
        /// Its root.
        rootfs: Rootfs,
        /// Its volumes and bind mounts.
        binds: Vec<Bind>,
    },
    /// A plain folder as the root: a volume, a layer.
    Folder(PathBuf),
}

/// A file as `HEAD /containers/{id}/archive` describes it (`X-Docker-Container-Path-Stat`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStat {
    /// Last part of the path.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Go's `FileMode` bits.
    pub mode: u32,
    /// RFC 3339.
    pub mtime: String,
    /// Where a symbolic link leads, resolved inside.
    #[serde(rename = "linkTarget")]
    pub link_target: String,
}

/// How a tar is written into a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WriteOptions {
    /// Refuse to replace a folder by a file, and the other way round.
    pub no_overwrite_dir_non_dir: bool,
    /// Docker's `copyUIDGID`. Owners are those that the tar names with and without it.
    pub copy_owner: bool,
}

/// Describes a path; `NotFound` when it is not there.
pub async fn stat(layout: &Layout, view: &View, path: &str) -> Result<PathStat, Error> {
    client::perform_shortly(&Work::Stat { place: place(layout, view), path: path.to_owned() }, None).await
}

/// A path as a tar whose entries begin with its last part, as `docker cp` expects.
pub async fn read(layout: &Layout, view: &View, path: &str) -> Result<(PathStat, ByteStream), Error> {
    client::stream(&Work::Read { place: place(layout, view), path: path.to_owned() }).await
}

/// Unpacks a tar, compressed or not, into a folder that is there.
pub async fn write(
    layout: &Layout,
    view: &View,
    path: &str,
    tar: ByteStream,
    options: WriteOptions,
) -> Result<(), Error> {
    let work = Work::Write { place: place(layout, view), path: path.to_owned(), options };
    client::perform_shortly(&work, Some(tar)).await
}

/// Removes files and folders with all that is in them. Those that are not there are no failure, what is mounted there is.
pub async fn remove_inside(layout: &Layout, view: &View, paths: Vec<String>) -> Result<(), Error> {
    client::perform_shortly(&Work::Remove { place: place(layout, view), paths }, None).await
}

/// Unpacks a layer (a plain tar, whiteouts as OCI image layers write them) into an empty folder, as overlayfs wants it.
/// Returns the bytes of its files. On an error what was unpacked is the caller's to remove.
pub async fn unpack(_layout: &Layout, folder: &Path, tar: ByteStream) -> Result<u64, Error> {
    client::perform(&Work::Unpack { folder: folder.to_owned() }, Some(tar)).await
}

/// What overlayfs wrote into `upper` as an OCI layer: a plain tar, sorted, the same bytes for the same files. Times are
/// whole seconds, as in Docker's layers.
pub async fn pack(_layout: &Layout, upper: &Path) -> Result<ByteStream, Error> {
    let ((), stream) = client::stream(&Work::Pack { upper: upper.to_owned() }).await?;
    Ok(stream)
}

/// Removes a tree that may be large or read-only; that it is gone already is fine. A mount in it is an error, and what it
/// shows is left alone. Once begun it goes on, even when nobody waits any more.
pub async fn remove(folder: &Path) -> Result<(), Error> {
    let owned = folder.to_owned();
    let removed = tokio::task::spawn_blocking(move || remove::tree(&owned)).await;
    match removed.unwrap_or_else(|ended| Err(std::io::Error::other(ended))) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Error::io(format!("remove {}", folder.display()))),
    }
}

fn place(layout: &Layout, view: &View) -> Place {
    Place { view: view.clone(), mounts: layout.mounts() }
}
