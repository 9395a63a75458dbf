//! What was last seen of each file, so that an event without a change is known for one and a lost event is made up for.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What tells one content of a file from the next without reading it. Two writes within one tick of the clock and of
/// the same size look alike; the second one still comes before the burst is settled, and nothing reads earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    modified: (i64, i64),
    inode: u64,
    mode: u32,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            inode: metadata.ino(),
            mode: metadata.mode(),
        }
    }
}

/// Everything seen, with the number of the sweep that saw it last.
#[derive(Debug, Default)]
pub(super) struct Index {
    files: BTreeMap<PathBuf, (Stamp, u32)>,
    folders: BTreeMap<PathBuf, u32>,
    sweep: u32,
}

/// How a file compares with what was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sighting {
    New,
    Changed,
    Same,
}

/// What is no longer there.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    pub(super) files: Vec<PathBuf>,
    pub(super) folders: Vec<PathBuf>,
}

impl Index {
    /// Begins another sweep: what it does not see can be asked for afterwards.
    pub(super) fn begin_sweep(&mut self) {
        self.sweep = self.sweep.wrapping_add(1);
    }

    pub(super) fn saw_file(&mut self, path: PathBuf, stamp: Stamp) -> Sighting {
        match self.files.insert(path, (stamp, self.sweep)) {
            None => Sighting::New,
            Some((before, _)) if before == stamp => Sighting::Same,
            Some(_) => Sighting::Changed,
        }
    }

    /// Notes a folder; false when this sweep has been there.
    pub(super) fn saw_folder(&mut self, path: &Path) -> bool {
        match self.folders.get_mut(path) {
            Some(sweep) if *sweep == self.sweep => false,
            Some(sweep) => {
                *sweep = self.sweep;
                true
            }
            None => {
                self.folders.insert(path.to_owned(), self.sweep);
                true
            }
        }
    }

    pub(super) fn has_folder(&self, path: &Path) -> bool {
        self.folders.contains_key(path)
    }

    /// Takes out what lies at a path or below it and was not seen in this sweep.
    pub(super) fn take_unseen_at(&mut self, root: &Path) -> Unseen {
        let sweep = self.sweep;
        let from = (Bound::Included(root), Bound::Unbounded);
        let files = self.files.range::<Path, _>(from).take_while(|(path, _)| path.starts_with(root));
        let files: Vec<_> = files.filter(|(_, (_, seen))| *seen != sweep).map(|(path, _)| path.clone()).collect();
        let folders = self.folders.range::<Path, _>(from).take_while(|(path, _)| path.starts_with(root));
        let folders: Vec<_> = folders.filter(|(_, seen)| **seen != sweep).map(|(path, _)| path.clone()).collect();
        for file in &files {
            self.files.remove(file);
        }
        for folder in &folders {
            self.folders.remove(folder);
        }
        Unseen { files, folders }
    }

    /// Takes out everything that was not seen in this sweep.
    pub(super) fn take_unseen(&mut self) -> Unseen {
        self.take_unseen_at(Path::new("/"))
    }
}
