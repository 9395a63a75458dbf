//! Which services a changed path concerns, what is to be done about it, and when a burst of changes is over.
//!
//! Pure: paths and the texts of ignore files come in, decisions go out. It looks at no file and reads no clock.

pub mod ignore;
pub mod infer;
mod noise;
pub mod rules;
pub mod settle;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::project::Hook;

/// What saved files mean for one service. A rebuild stands alone: the new container has what a sync, a restart or a
/// hook would have brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Build its image anew and exchange its containers if the image differs.
    pub rebuild: bool,
    /// Restart its containers, after the sync.
    pub restart: bool,
    /// The files to copy and to delete.
    pub sync: SyncFiles,
    /// What to run in its containers, after the sync; each hook once.
    pub exec: Vec<Hook>,
    /// The paths that led to this, absolute.
    pub paths: BTreeSet<PathBuf>,
}

/// The files of one sync.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct SyncFiles {
    /// From the host to the container: files, links, and folders that are new, without what is in them.
    pub copied: BTreeSet<(PathBuf, String)>,
    /// Paths inside the container.
    pub deleted: BTreeSet<String>,
}

impl SyncFiles {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.copied.is_empty() && self.deleted.is_empty()
    }
}

/// What became of a changed path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PathState {
    /// A file or a symbolic link is there.
    Present,
    /// A folder is there that was not.
    Folder,
    /// Nothing is there any more.
    Gone,
}
