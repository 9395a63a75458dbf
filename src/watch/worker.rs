//! The thread behind a watch: keeps the watched folders in step with the file system and turns events into changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, oneshot};

use super::error::WatchError;
use super::index::{Index, Sighting, Stamp, Unseen};
use super::walk::{Visit, walk};
use crate::change::PathState;
use crate::change::rules::Rules;

/// Time between two looks where the system reports no changes.
const POLL: Duration = Duration::from_secs(1);

/// What the watch, its thread and the system's events have in common.
#[derive(Debug, Default)]
pub(super) struct Shared {
    touched: Mutex<Touched>,
    wake: Condvar,
    pub(super) changed: Mutex<BTreeMap<PathBuf, PathState>>,
    pub(super) notify: Notify,
    pub(super) degraded: Mutex<Option<WatchError>>,
    pub(super) watched: AtomicUsize,
}

/// What the thread has to look into. A set, so that it is never larger than what is there to be looked at.
#[derive(Debug, Default)]
pub(super) struct Touched {
    paths: BTreeSet<PathBuf>,
    rescan: bool,
    pub(super) rules: Option<Arc<Rules>>,
    pub(super) stop: bool,
}

/// Where changes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Events,
    Polling,
}

/// Whether files that were not known count as changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Newcomers {
    Report,
    Accept,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    mode: Mode,
    rules: Arc<Rules>,
    roots: BTreeSet<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    index: Index,
    /// Folders above the roots, watched so that a root that comes, goes or is exchanged is noticed.
    anchors: BTreeSet<PathBuf>,
    watched: BTreeSet<PathBuf>,
    changed: BTreeMap<PathBuf, PathState>,
}

impl Shared {
    pub(super) fn touch(&self, change: impl FnOnce(&mut Touched)) {
        change(&mut self.touched.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    fn degrade(&self, error: WatchError) {
        self.degraded.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, mode: Mode) -> Self {
        Self {
            shared,
            mode,
            rules: Arc::default(),
            roots: BTreeSet::new(),
            watcher: None,
            index: Index::default(),
            anchors: BTreeSet::new(),
            watched: BTreeSet::new(),
            changed: BTreeMap::new(),
        }
    }

    pub(super) fn run(mut self, rules: Arc<Rules>, ready: oneshot::Sender<()>) {
        self.make_watcher();
        self.take_rules(rules);
        self.publish();
        // Nobody waits any more when the start was given up; the watch that was dropped has set `stop`.
        ready.send(()).ok();
        loop {
            let touched = self.wait();
            if touched.stop {
                return;
            }
            if let Some(rules) = touched.rules {
                self.take_rules(rules);
            }
            if touched.rescan {
                self.rescan();
            } else {
                for path in touched.paths {
                    self.examine(&path);
                }
            }
            self.publish();
        }
    }

    fn make_watcher(&mut self) {
        if self.mode == Mode::Polling {
            return;
        }
        let shared = Arc::clone(&self.shared);
        match notify::recommended_watcher(move |event| take_event(&shared, event)) {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => self.degrade(WatchError::from_start(&error)),
        }
    }

    fn degrade(&mut self, error: WatchError) {
        self.mode = Mode::Polling;
        self.shared.degrade(error);
    }

    fn wait(&self) -> Touched {
        let is_idle = |touched: &mut Touched| {
            touched.paths.is_empty() && !touched.rescan && touched.rules.is_none() && !touched.stop
        };
        let touched = self.shared.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut touched = match self.mode {
            Mode::Events => self.shared.wake.wait_while(touched, is_idle).unwrap_or_else(PoisonError::into_inner),
            Mode::Polling => {
                let waited = self.shared.wake.wait_timeout_while(touched, POLL, is_idle);
                let (mut touched, result) = waited.unwrap_or_else(PoisonError::into_inner);
                touched.rescan |= result.timed_out();
                touched
            }
        };
        std::mem::take(&mut *touched)
    }

    fn publish(&mut self) {
        self.shared.watched.store(self.watched.len(), Ordering::Relaxed);
        if self.changed.is_empty() {
            return;
        }
        self.shared.changed.lock().unwrap_or_else(PoisonError::into_inner).append(&mut self.changed);
        self.shared.notify.notify_one();
    }

    /// Goes over to other rules: what they bring into view is taken as it is, what they no longer want is let go.
    fn take_rules(&mut self, rules: Arc<Rules>) {
        self.roots = rules.roots().into_iter().map(Path::to_owned).collect();
        self.rules = rules;
        let before = std::mem::take(&mut self.anchors);
        let unseen = self.sweep(Newcomers::Accept);
        for file in unseen.files {
            if fs::symlink_metadata(&file).is_err() {
                self.changed.insert(file, PathState::Gone);
            }
        }
        for folder in unseen.folders.into_iter().chain(before) {
            if !self.index.has_folder(&folder) && !self.anchors.contains(&folder) {
                self.unwatch(&folder);
            }
        }
    }

    fn rescan(&mut self) {
        let unseen = self.sweep(Newcomers::Report);
        self.report_gone(unseen);
    }

    fn sweep(&mut self, newcomers: Newcomers) -> Unseen {
        self.index.begin_sweep();
        for root in self.roots.clone() {
            self.anchor(&root);
            self.look_at(&root, newcomers);
        }
        self.index.take_unseen()
    }

    /// Looks into a path that an event named.
    fn examine(&mut self, path: &Path) {
        let below: Vec<PathBuf> = self
            .roots
            .range::<Path, _>((Bound::Excluded(path), Bound::Unbounded))
            .take_while(|root| root.starts_with(path))
            .cloned()
            .collect();
        if !below.is_empty() {
            // What is there now need not be what was watched.
            self.watched.remove(path);
        }
        self.index.begin_sweep();
        self.look_at(path, Newcomers::Report);
        for root in &below {
            self.anchor(root);
            self.look_at(root, Newcomers::Report);
        }
        let unseen = self.index.take_unseen_at(path);
        self.report_gone(unseen);
    }

    /// Compares a path and everything below it with the index.
    fn look_at(&mut self, path: &Path, newcomers: Newcomers) {
        // A root may be a symbolic link, as the manifest named it; below it, links are files.
        let found = if self.roots.contains(path) { fs::metadata(path) } else { fs::symlink_metadata(path) };
        let Ok(metadata) = found else { return };
        if metadata.is_dir() {
            if !self.rules.prunes(path) {
                self.look_below(path, newcomers);
            }
        } else if self.rules.concerns(path) {
            self.see(path.to_owned(), Stamp::of(&metadata), newcomers);
        }
    }

    fn look_below(&mut self, folder: &Path, newcomers: Newcomers) {
        let rules = Arc::clone(&self.rules);
        let mut newcomers_here = newcomers;
        walk(&rules, folder, &mut |visit| match visit {
            Visit::Folder(folder) => {
                // In a folder that was in view all along, a new file is a change even while the rules are exchanged.
                newcomers_here = if self.index.has_folder(folder) { Newcomers::Report } else { newcomers };
                // Watched before it is read: what comes in between is seen twice rather than never.
                self.index.saw_folder(folder) && self.watch(folder)
            }
            Visit::File(path, metadata) => {
                self.see(path, Stamp::of(metadata), newcomers_here);
                true
            }
        });
    }

    fn see(&mut self, path: PathBuf, stamp: Stamp, newcomers: Newcomers) {
        let sighting = self.index.saw_file(path.clone(), stamp);
        if sighting == Sighting::Changed || (sighting == Sighting::New && newcomers == Newcomers::Report) {
            self.changed.insert(path, PathState::Present);
        }
    }

    fn report_gone(&mut self, unseen: Unseen) {
        for folder in unseen.folders {
            self.watched.remove(&folder);
            // A root that is gone may be on its way back (a branch switch), and its target is not ours to delete.
            if !self.roots.contains(&folder) && self.rules.concerns(&folder) {
                self.changed.insert(folder, PathState::Gone);
            }
        }
        for file in unseen.files {
            self.changed.insert(file, PathState::Gone);
        }
    }

    /// Watches the nearest folder above a root that is there.
    fn anchor(&mut self, root: &Path) {
        for folder in root.ancestors().skip(1) {
            if !folder.is_dir() {
                continue;
            }
            let is_known = self.watched.contains(folder);
            self.anchors.insert(folder.to_owned());
            if is_known || self.watch(folder) {
                // What was made before the watch stood has raised no event.
                let next = root.ancestors().take_while(|above| *above != folder).last();
                if next.is_none_or(|next| next == root || !next.is_dir()) {
                    return;
                }
                return self.anchor(root);
            }
        }
    }

    /// Has the system watch a folder; false when it is not there.
    fn watch(&mut self, folder: &Path) -> bool {
        // Over the limit every further attempt would fail as well, once a second for each folder.
        let (Some(watcher), Mode::Events) = (&mut self.watcher, self.mode) else { return true };
        match watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched.insert(folder.to_owned());
                true
            }
            Err(error) if is_absent(&error) => false,
            Err(error) => {
                if let error @ WatchError::Limit { .. } = WatchError::from_notify(&error) {
                    self.degrade(error);
                }
                true
            }
        }
    }

    fn unwatch(&mut self, folder: &Path) {
        if self.watched.remove(folder)
            && let Some(watcher) = &mut self.watcher
        {
            // It fails when the folder is gone, and the watch with it.
            watcher.unwatch(folder).ok();
        }
    }
}

fn is_absent(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Runs in notify's own thread, which must not wait: it only takes down what has to be looked into.
fn take_event(shared: &Shared, event: notify::Result<notify::Event>) {
    match event {
        // Reading is no change, and a build reads everything.
        Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
        Ok(event) => shared.touch(|touched| {
            touched.rescan |= event.need_rescan();
            touched.paths.extend(event.paths);
        }),
        Err(_) => shared.touch(|touched| touched.rescan = true),
    }
}
