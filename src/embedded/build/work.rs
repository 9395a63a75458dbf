//! What a helper process is asked to do in a root file system.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::embedded::root::Rootfs;

/// The whole of it, sent to the helper's standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Work {
    /// Where it happens.
    pub(super) place: Place,
    /// Root file systems to copy from.
    pub(super) sources: Vec<Mounted>,
    /// The contents of the context.
    pub(super) spool: Option<PathBuf>,
    /// What is done, in order.
    pub(super) tasks: Vec<Task>,
    /// The time of folders that are made on the way: seconds since 1970.
    pub(super) epoch: i64,
}

/// Where work happens.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Place {
    /// In a root file system.
    Mounted(Mounted),
    /// In a plain folder.
    Folder(PathBuf),
}

/// A root file system and where it is mounted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mounted {
    pub(super) rootfs: Rootfs,
    pub(super) at: PathBuf,
}

/// One thing to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Task {
    /// Make a folder with those above it, where it is not there.
    Folder(String),
    /// Copy.
    Copy(Copying),
    /// Copy a piece to `file` or `folder`, whichever it is.
    Bring(Piece),
}

/// `COPY` and `ADD`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Copying {
    /// Absolute.
    pub(super) destination: String,
    /// The destination is a folder, also where it is not there yet.
    pub(super) into: bool,
    /// `name:group`, by name or number; that of the source when `None`.
    pub(super) owner: Option<String>,
    /// Permissions; those of the source when `None`.
    pub(super) mode: Option<u32>,
    /// Unpack archives.
    pub(super) unpack: bool,
    /// Patterns of what is left out.
    pub(super) exclude: Vec<String>,
    /// What is copied.
    pub(super) pieces: Vec<Piece>,
}

/// One source.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Piece {
    /// Of the context.
    Listed {
        /// What it is called in a folder.
        name: String,
        /// The file itself, its path being empty; or a folder with what is in it.
        items: Vec<Item>,
    },
    /// Of a root file system.
    Tree {
        /// Which of the sources.
        source: usize,
        /// A path, or a pattern of paths.
        path: String,
        /// Keep the folders above it.
        parents: bool,
    },
}

/// A file, folder or link of the context.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Item {
    /// Below the piece; empty for itself.
    pub(super) path: String,
    pub(super) kind: ItemKind,
    pub(super) mode: u32,
    pub(super) mtime: i64,
}

/// What an [`Item`] is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ItemKind {
    Folder,
    /// Where its contents are in the spool.
    File {
        offset: u64,
        size: u64,
        /// Hexadecimal digits of their SHA-256.
        #[serde(skip)]
        digest: String,
    },
    /// A file of the build's own.
    Fetched {
        path: PathBuf,
        #[serde(skip)]
        digest: String,
    },
    /// The contents themselves: a here-document.
    Text(String),
    Link(String),
}
