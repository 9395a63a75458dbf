//! What was last seen of each file and last told of it, so that an event without a change is known for one and a lost
//! event is made up for.
//!
//! Tens of thousands of files are in it: a file is known by its name in its folder, and of what it looks like and holds
//! only hashes are kept.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::content::{Hash, Stamp};

/// What a path is, as far as a change of it means something: its kind, its permissions, and its content or where it
/// leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Print([u8; 16]);

impl Print {
    pub(super) fn of_file(mode: u32, content: &Hash) -> Self {
        Self::new(b'f', mode, &content.0)
    }

    pub(crate) fn of_link(target: &Path) -> Self {
        Self::new(b'l', 0, target.as_os_str().as_encoded_bytes())
    }

    /// Of a socket, a pipe or a device.
    pub(super) fn of_other(mode: u32) -> Self {
        Self::new(b'o', mode, &[])
    }

    /// Of a file that is not or cannot be read: whatever changes its stamp counts.
    pub(super) fn of_unread(mode: u32, stamp: &Stamp) -> Self {
        Self::new(b'u', mode, &stamp.sum())
    }

    fn new(kind: u8, mode: u32, rest: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[kind]).update(&mode.to_le_bytes()).update(rest);
        let mut half = [0; 16];
        hasher.finalize_xof().fill(&mut half);
        Self(half)
    }
}

/// What was last seen of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) stamp: Stamp,
    pub(super) mode: u32,
    /// What it holds; `None` when nobody has looked.
    pub(super) print: Option<Print>,
    /// The stamp would show a later change.
    pub(super) is_settled: bool,
}

impl Seen {
    /// A file that nobody has looked into. It looked like this after `moment`.
    pub(super) fn from_outside(metadata: &Metadata, moment: SystemTime) -> Self {
        let stamp = Stamp::of(metadata);
        Self { stamp, mode: metadata.mode(), print: None, is_settled: stamp.is_settled(moment) }
    }

    /// Whether a file that looks like this one is the one that was seen, unchanged.
    pub(super) fn is_still(&self, other: &Self) -> bool {
        self.is_settled && self.stamp == other.stamp && self.mode == other.mode
    }
}

/// Everything seen, with the number of the sweep that saw it last.
#[derive(Debug, Default)]
pub(super) struct Index {
    folders: BTreeMap<PathBuf, Folder>,
    sweep: u32,
}

#[derive(Debug, Default)]
struct Folder {
    /// It was itself in view, and not only files in it.
    is_known: bool,
    sweep: u32,
    files: BTreeMap<Box<OsStr>, (Seen, u32)>,
}

/// What is no longer there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unseen {
    pub(super) files: Vec<PathBuf>,
    pub(super) folders: Vec<PathBuf>,
}

impl Unseen {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty()
    }
}

impl Index {
    /// Begins another sweep: what it does not see can be asked for afterwards.
    pub(super) fn begin_sweep(&mut self) {
        self.sweep = self.sweep.wrapping_add(1);
    }

    /// What is known of a file. That it was seen is noted.
    pub(super) fn saw_file(&mut self, path: &Path) -> Option<Seen> {
        let (folder, name) = (path.parent()?, path.file_name()?);
        let (seen, sweep) = self.folders.get_mut(folder)?.files.get_mut(name)?;
        *sweep = self.sweep;
        Some(*seen)
    }

    /// What is known of a file.
    pub(super) fn file(&self, path: &Path) -> Option<Seen> {
        let (seen, _) = self.folders.get(path.parent()?)?.files.get(path.file_name()?)?;
        Some(*seen)
    }

    /// Notes what a file is. What was known of a folder in its place is left to the sweep.
    pub(super) fn note_file(&mut self, path: &Path, seen: Seen) {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
        let files = match self.folders.get_mut(folder) {
            Some(folder) => &mut folder.files,
            None => &mut self.folders.entry(folder.to_owned()).or_default().files,
        };
        match files.get_mut(name) {
            Some(known) => *known = (seen, self.sweep),
            None => drop(files.insert(name.into(), (seen, self.sweep))),
        }
    }

    /// Notes a folder, in place of a file that was there.
    pub(super) fn saw_folder(&mut self, path: &Path) {
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
            && let Some(parent) = self.folders.get_mut(parent)
        {
            parent.files.remove(name);
        }
        let sweep = self.sweep;
        let folder = match self.folders.get_mut(path) {
            Some(folder) => folder,
            None => self.folders.entry(path.to_owned()).or_default(),
        };
        (folder.is_known, folder.sweep) = (true, sweep);
    }

    /// Notes that nobody can say what is at a path or below it: as far as is known it is all still there.
    pub(super) fn saw_all_at(&mut self, root: &Path) {
        self.saw_file(root);
        let sweep = self.sweep;
        let below = self.folders.range_mut::<Path, _>((Bound::Included(root), Bound::Unbounded));
        for (_, folder) in below.take_while(|(path, _)| path.starts_with(root)) {
            folder.sweep = sweep;
            folder.files.values_mut().for_each(|(_, seen)| *seen = sweep);
        }
    }

    /// Whether this sweep has been to a folder.
    pub(super) fn has_seen_folder(&self, path: &Path) -> bool {
        self.folders.get(path).is_some_and(|folder| folder.is_known && folder.sweep == self.sweep)
    }

    pub(super) fn has_folder(&self, path: &Path) -> bool {
        self.folders.get(path).is_some_and(|folder| folder.is_known)
    }

    pub(super) fn has_file(&self, path: &Path) -> bool {
        self.file(path).is_some()
    }

    /// How many folders are in view.
    pub(super) fn folders(&self) -> usize {
        self.folders.values().filter(|folder| folder.is_known).count()
    }

    /// What lies at a path or below it and was not seen in this sweep.
    pub(super) fn unseen_at(&self, root: &Path) -> Unseen {
        let mut unseen = self.unseen_below(root);
        if let (Some(parent), Some(name)) = (root.parent(), root.file_name())
            && let Some((_, sweep)) = self.folders.get(parent).and_then(|parent| parent.files.get(name))
            && *sweep != self.sweep
        {
            unseen.files.push(root.to_owned());
        }
        unseen
    }

    /// A folder that was not seen in this sweep, and what lies below it.
    pub(super) fn unseen_below(&self, root: &Path) -> Unseen {
        let mut unseen = Unseen::default();
        let from = (Bound::Included(root), Bound::Unbounded);
        for (path, folder) in self.folders.range::<Path, _>(from).take_while(|(path, _)| path.starts_with(root)) {
            if folder.is_known && folder.sweep != self.sweep {
                unseen.folders.push(path.clone());
            }
            let files = folder.files.iter().filter(|(_, (_, sweep))| *sweep != self.sweep);
            unseen.files.extend(files.map(|(name, _)| path.join(&**name)));
        }
        unseen
    }

    /// Forgets what is gone.
    pub(super) fn forget(&mut self, unseen: &Unseen) {
        for file in &unseen.files {
            if let (Some(parent), Some(name)) = (file.parent(), file.file_name())
                && let Some(folder) = self.folders.get_mut(parent)
            {
                folder.files.remove(name);
                if folder.files.is_empty() && !folder.is_known {
                    self.folders.remove(parent);
                }
            }
        }
        for path in &unseen.folders {
            if let Some(folder) = self.folders.get_mut(path) {
                folder.is_known = false;
                if folder.files.is_empty() {
                    self.folders.remove(path);
                }
            }
        }
    }

    /// The files that nobody has looked into in the first folder after this one that has some, and that folder.
    pub(super) fn unread_after(&self, folder: Option<&Path>) -> Option<(PathBuf, Vec<(PathBuf, Seen)>)> {
        let from = folder.map_or(Bound::Unbounded, Bound::Excluded);
        let after = self.folders.range::<Path, _>((from, Bound::Unbounded));
        after.into_iter().find_map(|(path, folder)| {
            let unread = folder.files.iter().filter(|(_, (seen, _))| seen.print.is_none());
            let unread: Vec<_> = unread.map(|(name, (seen, _))| (path.join(&**name), *seen)).collect();
            (!unread.is_empty()).then(|| (path.clone(), unread))
        })
    }

    /// Notes what a file holds that looks as it did.
    pub(super) fn note_print(&mut self, path: &Path, before: &Seen, after: Seen) {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
        if let Some((seen, _)) = self.folders.get_mut(folder).and_then(|folder| folder.files.get_mut(name))
            && seen == before
        {
            *seen = after;
        }
    }
}
