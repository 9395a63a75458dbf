//! Looks at files and folders, compares them with what was last seen, and keeps the system's watches in step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::ops::Bound;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::index::{Index, Print, Seen, Unseen};
use super::shared::{Found, Shared, Told};
use super::source::{Mode, Sources, Watched};
use super::walk::{Visit, is_gone, walk};
use crate::change::PathState;
use crate::change::rules::Rules;
use crate::content::Hashes;

/// A file that has just come is read at once up to this size; of a larger one it is enough that it came.
const SMALL: u64 = 1 << 20;
/// A file larger than this is not read: its times say whether it changed.
const HUGE: u64 = 64 << 20;
/// A file that takes longer to read is left alone for a while afterwards, so that one that is always written to is not
/// always read.
const LONG: Duration = Duration::from_millis(50);
/// So many changes are told before the look goes on.
const MANY: usize = 1000;

/// Whether what was not known counts as changed.
#[derive(Debug, Clone, Copy)]
enum Newcomers<'a> {
    /// It does.
    Report,
    /// Only what the rules before these would have brought into view, had it been there.
    Accept { before: &'a Rules },
}

pub(super) struct Look {
    shared: Arc<Shared>,
    hashes: Hashes,
    rules: Arc<Rules>,
    roots: BTreeSet<PathBuf>,
    /// The files that roots which are symbolic links lead to.
    targets: BTreeMap<PathBuf, PathBuf>,
    /// The folders that the rules which are just being taken brought into view.
    accepted: BTreeSet<PathBuf>,
    index: Index,
    sources: Sources,
    /// Files that are just being written are left for when they are closed.
    is_patient: bool,
    changed: BTreeMap<PathBuf, Told>,
    /// The names of files that have several, by inode: the system tells of a change under one of them only.
    names: BTreeMap<u64, BTreeSet<PathBuf>>,
    /// Files that took long to read: when they may be read again, and whether they are to be.
    resting: BTreeMap<PathBuf, (Instant, bool)>,
}

impl Look {
    pub(super) fn new(shared: Arc<Shared>, mode: Mode, hashes: Hashes) -> Self {
        let sources = Sources::new(Arc::clone(&shared), mode);
        Self {
            shared,
            hashes,
            rules: Arc::default(),
            roots: BTreeSet::new(),
            targets: BTreeMap::new(),
            accepted: BTreeSet::new(),
            index: Index::default(),
            sources,
            is_patient: true,
            changed: BTreeMap::new(),
            names: BTreeMap::new(),
            resting: BTreeMap::new(),
        }
    }

    pub(super) fn hashes(&self) -> &Hashes {
        &self.hashes
    }

    pub(super) fn is_polling(&self) -> bool {
        self.sources.is_polling()
    }

    /// Hands over what changed, and what is in the way of noticing.
    pub(super) fn publish(&mut self) {
        self.shared.watched.store(self.sources.watched(), Ordering::Relaxed);
        self.shared.publish(&mut self.changed);
        for warning in self.sources.take_warnings(&self.rules, || self.index.folders()) {
            self.shared.warn(warning);
        }
    }

    /// Goes over to other rules: what they bring into view is taken as it is, what they no longer want is let go.
    pub(super) fn take_rules(&mut self, rules: Arc<Rules>) {
        self.roots = rules.roots().into_iter().map(Path::to_owned).collect();
        let rules_before = std::mem::replace(&mut self.rules, rules);
        let before = self.sources.begin(&self.roots);
        let unseen = self.sweep(Newcomers::Accept { before: &rules_before });
        self.accepted.clear();
        for file in &unseen.files {
            if fs::symlink_metadata(file).is_err_and(|error| is_gone(&error)) {
                let was = Found::of(self.index.file(file));
                self.tell(file, PathState::Gone, was, Found::Nothing);
            }
        }
        self.index.forget(&unseen);
        for folder in unseen.folders.iter().chain(&before) {
            if !self.index.has_folder(folder) {
                self.sources.let_go(folder);
            }
        }
    }

    /// Compares everything with what was last seen.
    pub(super) fn rescan(&mut self) {
        let unseen = self.sweep(Newcomers::Report);
        self.report_gone(&unseen);
    }

    fn sweep(&mut self, newcomers: Newcomers<'_>) -> Unseen {
        self.index.begin_sweep();
        self.targets.clear();
        for root in self.roots.clone() {
            self.anchor(&root);
            self.look_at(&root, newcomers);
        }
        self.index.unseen_at(Path::new("/"))
    }

    /// Compares what the system reports no changes of.
    pub(super) fn poll(&mut self) {
        for root in self.sources.polled() {
            self.index.begin_sweep();
            self.look_at(&root, Newcomers::Report);
            let unseen = self.index.unseen_at(&root);
            self.report_gone(&unseen);
        }
    }

    /// Looks into a path that an event named; what is no longer there may come back and is only returned.
    pub(super) fn examine(&mut self, path: &Path) -> Unseen {
        if let Some((_, is_wanted)) = self.resting.get_mut(path) {
            *is_wanted = true;
            return Unseen::default();
        }
        if let Some(root) = self.targets.get(path).cloned() {
            self.look_at(&root, Newcomers::Report);
        }
        let from = (Bound::Excluded(path), Bound::Unbounded);
        let below = self.roots.range::<Path, _>(from).take_while(|root| root.starts_with(path));
        let below: Vec<PathBuf> = below.cloned().collect();
        if !below.is_empty() {
            // What is there now need not be what was watched.
            self.sources.forget(path);
        }
        self.index.begin_sweep();
        self.look_at(path, Newcomers::Report);
        for root in &below {
            self.anchor(root);
            self.look_at(root, Newcomers::Report);
        }
        self.index.unseen_at(path)
    }

    /// Looks into a path that was waited for long enough: as it is now it is told.
    pub(super) fn settle(&mut self, path: &Path) {
        self.is_patient = false;
        let unseen = self.examine(path);
        self.is_patient = true;
        self.report_gone(&unseen);
    }

    /// Files that have rested and are to be looked into again.
    pub(super) fn take_rested(&mut self, now: Instant) -> Vec<PathBuf> {
        let rested = self.resting.extract_if(.., |_, (until, _)| *until <= now);
        rested.filter(|(_, (_, is_wanted))| *is_wanted).map(|(path, _)| path).collect()
    }

    pub(super) fn next_rested(&self) -> Option<Instant> {
        self.resting.values().filter(|(_, is_wanted)| *is_wanted).map(|(until, _)| *until).min()
    }

    /// Tells of what is no longer there, and forgets it.
    pub(super) fn report_gone(&mut self, unseen: &Unseen) {
        let was: Vec<Found> = unseen.files.iter().map(|file| Found::of(self.index.file(file))).collect();
        self.index.forget(unseen);
        for folder in &unseen.folders {
            self.sources.forget(folder);
            // A root that is gone may be on its way back (a branch switch), and its target is not ours to delete.
            if !self.roots.contains(folder) && !self.index.has_file(folder) && self.rules.concerns(folder) {
                self.tell(folder, PathState::Gone, Found::Unknown, Found::Unknown);
            }
        }
        for (file, was) in unseen.files.iter().zip(was) {
            if !self.index.has_folder(file) {
                self.tell(file, PathState::Gone, was, Found::Nothing);
            }
        }
    }

    fn tell(&mut self, path: &Path, state: PathState, was: Found, is: Found) {
        let was = self.changed.get(path).map_or(was, |told| told.was);
        self.changed.insert(path.to_owned(), Told { state, was, is });
    }

    /// Compares a path and everything below it with the index.
    fn look_at(&mut self, path: &Path, newcomers: Newcomers<'_>) {
        let moment = SystemTime::now();
        let metadata = match self.metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if is_gone(&error) => return,
            Err(_) => return self.index.saw_all_at(path),
        };
        let is_wanted = if metadata.is_dir() { !self.rules.prunes(path) } else { self.rules.concerns(path) };
        if !is_wanted || self.lies_behind_link(path) {
            return;
        }
        if metadata.is_dir() {
            self.look_below(path, newcomers, moment);
        } else {
            self.see(path, &metadata, newcomers, moment);
        }
    }

    /// Whether a link has taken the place of a folder above a path, so that the path leads to what has another one.
    fn lies_behind_link(&self, path: &Path) -> bool {
        if self.roots.contains(path) {
            return false;
        }
        let mut above = path.ancestors().skip(1).take_while(|above| !self.roots.contains(*above));
        above.any(|above| match fs::symlink_metadata(above) {
            Ok(metadata) => !metadata.is_dir(),
            Err(error) => is_gone(&error),
        })
    }

    /// A root may be a symbolic link, as the manifest named it; below it, links are files.
    fn metadata(&self, path: &Path) -> std::io::Result<Metadata> {
        if self.roots.contains(path) { fs::metadata(path) } else { fs::symlink_metadata(path) }
    }

    fn look_below(&mut self, folder: &Path, newcomers: Newcomers<'_>, moment: SystemTime) {
        let rules = Arc::clone(&self.rules);
        walk(&rules, folder, &mut |visit| match visit {
            Visit::Folder(folder) => {
                let is_known = self.index.has_folder(folder);
                // Watched before it is read: what comes in between is seen twice rather than never.
                if self.index.has_seen_folder(folder) || self.lies_behind_link(folder) || !self.watch(folder) {
                    return false;
                }
                if !is_known && !self.is_news(folder, newcomers, |before| !before.prunes(folder)) {
                    self.accepted.insert(folder.to_owned());
                } else if !is_known && rules.concerns(folder) {
                    self.tell(folder, PathState::Folder, Found::Unknown, Found::Unknown);
                }
                self.index.saw_folder(folder);
                true
            }
            Visit::File(path, metadata) => {
                self.see(&path, metadata, newcomers, moment);
                true
            }
            Visit::Unreadable(path) => {
                self.index.saw_all_at(path);
                true
            }
        });
    }

    /// Whether a path that was not known has come just now, and was not only left out before.
    fn is_news(&self, path: &Path, newcomers: Newcomers<'_>, was_wanted: impl FnOnce(&Rules) -> bool) -> bool {
        let Newcomers::Accept { before } = newcomers else { return true };
        let was_in_view = |folder: &Path| self.index.has_folder(folder) && !self.accepted.contains(folder);
        path.parent().is_some_and(was_in_view) && was_wanted(before)
    }

    /// Compares a file with the index. It looked like this after `moment`.
    fn see(&mut self, path: &Path, metadata: &Metadata, newcomers: Newcomers<'_>, moment: SystemTime) {
        let outside = Seen::from_outside(metadata, moment);
        let before = self.index.saw_file(path);
        if before.is_none() && self.index.has_folder(path) {
            // At once, together with what has taken its place: a link might lead who deletes late to something else.
            let unseen = self.index.unseen_below(path);
            self.report_gone(&unseen);
        }
        if before.is_some_and(|before| before.is_still(&outside)) {
            return;
        }
        let is_news = before.is_none() && self.is_news(path, newcomers, |before| before.concerns(path));
        let seen = match before {
            None if !is_news => self.glance(path, metadata, outside),
            None if metadata.len() > SMALL => Some(outside),
            _ => self.read(path, metadata, outside),
        };
        // It has gone since, which has an event of its own.
        let Some(seen) = seen else { return };
        let is_changed = match before {
            // Nobody knows what was in it: better told once too often than once too seldom.
            Some(before) => before.print.is_none() || before.print != seen.print,
            None => is_news,
        };
        if is_changed && self.is_being_written(path) {
            return;
        }
        self.index.note_file(path, seen);
        if is_changed {
            self.tell(path, PathState::Present, Found::of(before), Found::of(Some(seen)));
        }
        if metadata.is_file() && metadata.nlink() > 1 {
            self.see_other_names(path, metadata, is_changed);
        }
        if self.changed.len() >= MANY {
            self.shared.publish(&mut self.changed);
        }
    }

    /// Whether a file is half written, so that what it holds is no change yet. An event will tell of the rest.
    fn is_being_written(&self, path: &Path) -> bool {
        self.is_patient && self.shared.is_pending(path)
    }

    fn see_other_names(&mut self, path: &Path, metadata: &Metadata, is_changed: bool) {
        let names = self.names.entry(metadata.ino()).or_default();
        names.insert(path.to_owned());
        if is_changed {
            let others: Vec<PathBuf> = names.iter().filter(|name| *name != path).cloned().collect();
            for other in others {
                // A name that is gone, or another file's now, has had an event of its own.
                if self.metadata(&other).is_ok_and(|other| other.ino() == metadata.ino()) {
                    self.look_at(&other, Newcomers::Report);
                } else if let Some(names) = self.names.get_mut(&metadata.ino()) {
                    names.remove(&other);
                }
            }
        }
    }

    /// What a file holds that is seen for the first time, as far as that can be said at once. It is read only when it
    /// might change without a trace before somebody reads it.
    fn glance(&mut self, path: &Path, metadata: &Metadata, outside: Seen) -> Option<Seen> {
        let known = if metadata.is_file() { self.hashes.known(path, &outside.stamp) } else { None };
        if let Some(hash) = known {
            return Some(Seen { print: Some(Print::of_file(outside.mode, &hash)), is_settled: true, ..outside });
        }
        if !metadata.is_file() || (!outside.is_settled && metadata.len() <= SMALL) {
            return self.read(path, metadata, outside);
        }
        Some(outside)
    }

    /// What a file holds; `None` when it is gone.
    fn read(&mut self, path: &Path, metadata: &Metadata, outside: Seen) -> Option<Seen> {
        let began = Instant::now();
        let unread = Print::of_unread(outside.mode, &outside.stamp);
        let print = if metadata.is_symlink() {
            fs::read_link(path).map(|target| Print::of_link(&target))
        } else if !metadata.is_file() {
            Ok(Print::of_other(outside.mode))
        } else if metadata.len() > HUGE {
            Ok(unread)
        } else {
            match self.hashes.read(path, &self.shared.cancel) {
                Ok(read) => {
                    let took = began.elapsed();
                    if took > LONG && metadata.len() > SMALL {
                        self.resting.insert(path.to_owned(), (began + took * 3, false));
                    }
                    let print = Some(Print::of_file(outside.mode, &read.hash));
                    return Some(Seen { stamp: read.stamp, print, is_settled: read.is_settled, ..outside });
                }
                Err(error) => Err(error),
            }
        };
        match print {
            Ok(print) => Some(Seen { print: Some(print), ..outside }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            // It is not ours to read.
            Err(_) => Some(Seen { print: Some(unread), ..outside }),
        }
    }

    /// Looks into the files of the next folder that has some which nobody has looked into, and returns it.
    pub(super) fn learn_after(&mut self, folder: Option<&Path>) -> Option<PathBuf> {
        let (folder, files) = self.index.unread_after(folder)?;
        for (path, before) in files {
            if self.shared.cancel.is_cancelled() {
                return None;
            }
            let moment = SystemTime::now();
            let Ok(metadata) = self.metadata(&path) else { continue };
            // What has changed since is for the event that tells of it.
            if metadata.is_file() && before.is_still(&Seen::from_outside(&metadata, moment)) {
                let seen = self.glance(&path, &metadata, before).filter(|seen| seen.print.is_some());
                let seen = seen.or_else(|| self.read(&path, &metadata, before));
                if let Some(seen) = seen.filter(|seen| seen.stamp == before.stamp) {
                    self.index.note_print(&path, &before, seen);
                }
            }
        }
        Some(folder)
    }

    /// Watches the nearest folder above a root that is there.
    fn anchor(&mut self, root: &Path) {
        if self.sources.is_polled(root) {
            return;
        }
        if let Ok(target) = fs::read_link(root).and_then(|_| fs::canonicalize(root))
            && !target.is_dir()
            && let Some(folder) = target.parent()
        {
            let watched = self.sources.watch_for(folder, root);
            if watched == Watched::Yes {
                self.targets.insert(target, root.to_owned());
            }
        }
        for folder in root.ancestors().skip(1) {
            if !folder.is_dir() {
                continue;
            }
            if self.sources.watch_for(folder, root) != Watched::Absent {
                // What was made before the watch stood has raised no event.
                let next = root.ancestors().take_while(|above| *above != folder).last();
                if next.is_none_or(|next| next == root || !next.is_dir()) {
                    return;
                }
                return self.anchor(root);
            }
        }
    }

    /// Has a folder watched; false when it is not there.
    fn watch(&mut self, folder: &Path) -> bool {
        // The outermost root: if one of its folders is looked at, all of them are.
        let root = folder.ancestors().filter(|above| self.roots.contains(*above)).last().unwrap_or(folder);
        self.sources.watch(folder, root, self.roots.contains(folder)) != Watched::Absent
    }
}
