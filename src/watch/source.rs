//! Where changes come from: which folders the system is asked to watch, and which are looked at because it would say
//! nothing of them, or watches no more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::WatchError;
use super::file_system;
use super::shared::Shared;
use super::system::{Refusal, System};
use crate::change::rules::Rules;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The system's events, where there are some.
    Events,
    /// A look once a second, everywhere.
    Polling,
}

/// What became of a request to watch a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    /// The system tells of its changes.
    Yes,
    /// It is looked at.
    Polled,
    /// It is not there.
    Absent,
}

/// Why something is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    /// Nothing else was asked for, or nothing else can be had.
    Everything,
    /// Its file system reports no changes.
    FileSystem(String),
    /// The system watches no more folders.
    Full,
}

pub(super) struct Sources {
    mode: Mode,
    system: Option<System>,
    /// Folders above the roots, watched so that a root that comes, goes or is exchanged is noticed.
    anchors: BTreeSet<PathBuf>,
    polled: BTreeMap<PathBuf, Cause>,
    /// What was told of already.
    told: BTreeSet<PathBuf>,
    failure: Option<WatchError>,
}

impl Sources {
    pub(super) fn new(shared: Arc<Shared>, mode: Mode) -> Self {
        let mut sources = Self {
            mode,
            system: None,
            anchors: BTreeSet::new(),
            polled: BTreeMap::new(),
            told: BTreeSet::new(),
            failure: None,
        };
        if mode == Mode::Events {
            match System::start(shared) {
                Ok(system) => sources.system = Some(system),
                Err(failure) => (sources.mode, sources.failure) = (Mode::Polling, Some(failure)),
            }
        }
        sources
    }

    /// Begins anew with these roots; returns the folders that were watched for the sake of roots before.
    pub(super) fn begin(&mut self, roots: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        self.polled.clear();
        for root in roots {
            if self.mode == Mode::Polling {
                self.polled.insert(root.clone(), Cause::Everything);
            } else if let Some(name) = file_system::silent(root) {
                self.poll(root, Cause::FileSystem(name));
            }
        }
        std::mem::take(&mut self.anchors)
    }

    /// How many folders the system watches.
    pub(super) fn watched(&self) -> usize {
        self.system.as_ref().map_or(0, System::count)
    }

    pub(super) fn is_polling(&self) -> bool {
        !self.polled.is_empty()
    }

    /// Whether a path is looked at, by itself or with a folder above it.
    pub(super) fn is_polled(&self, path: &Path) -> bool {
        !self.polled.is_empty() && path.ancestors().any(|above| self.polled.contains_key(above))
    }

    /// What is looked at, without what lies in it.
    pub(super) fn polled(&self) -> Vec<PathBuf> {
        let outermost = |path: &&PathBuf| path.parent().is_none_or(|parent| !self.is_polled(parent));
        self.polled.keys().filter(outermost).cloned().collect()
    }

    /// Has a folder that belongs to a root watched. `follow` takes a symbolic link for what it leads to.
    pub(super) fn watch(&mut self, folder: &Path, root: &Path, follow: bool) -> Watched {
        if self.is_polled(folder) {
            return Watched::Polled;
        }
        // Another file system may begin at any folder.
        if let Some(name) = file_system::silent(folder) {
            self.poll(folder, Cause::FileSystem(name));
            return Watched::Polled;
        }
        self.ask(folder, root, follow)
    }

    /// Has a folder watched that is not in view itself, for the sake of a root.
    pub(super) fn watch_for(&mut self, folder: &Path, root: &Path) -> Watched {
        self.anchors.insert(folder.to_owned());
        let is_watched = self.system.as_ref().is_some_and(|system| system.watches(folder));
        if is_watched { Watched::Yes } else { self.ask(folder, root, true) }
    }

    fn ask(&mut self, folder: &Path, root: &Path, follow: bool) -> Watched {
        let Some(system) = &mut self.system else { return Watched::Polled };
        match system.watch(folder, follow) {
            Ok(()) => Watched::Yes,
            Err(Refusal::Absent) => Watched::Absent,
            Err(Refusal::Full) => {
                self.poll(root, Cause::Full);
                Watched::Polled
            }
            Err(Refusal::Other(reason)) => {
                tracing::debug!(folder = %folder.display(), reason, "not watched");
                // What is not ours to watch is not ours to read either.
                Watched::Yes
            }
        }
    }

    /// Looks at a path from now on, and leaves the system's watches to others.
    fn poll(&mut self, path: &Path, cause: Cause) {
        self.polled.insert(path.to_owned(), cause);
        if let Some(system) = &mut self.system {
            for folder in system.watched_at(path) {
                system.unwatch(&folder);
            }
        }
    }

    /// A folder is no longer there, or another one may be in its place.
    pub(super) fn forget(&mut self, folder: &Path) {
        if let Some(system) = &mut self.system {
            system.unwatch(folder);
        }
    }

    /// A folder is no longer in view.
    pub(super) fn let_go(&mut self, folder: &Path) {
        if !self.anchors.contains(folder) {
            self.forget(folder);
        }
    }

    /// What is looked at and has not been told of. `needed` counts the folders that would have to be watched.
    pub(super) fn take_warnings(&mut self, rules: &Rules, needed: impl FnOnce() -> usize) -> Vec<WatchError> {
        let mut warnings: Vec<WatchError> = self.failure.take().into_iter().collect();
        let is_new = |path: &PathBuf| !self.told.contains(path);
        let mut full = BTreeSet::new();
        for (path, cause) in self.polled.iter().filter(|(path, _)| is_new(path)) {
            let services = rules.services_at(path);
            match cause {
                Cause::Full => full.extend(services),
                Cause::FileSystem(name) if !services.is_empty() => warnings.push(WatchError::Silent {
                    path: path.clone(),
                    file_system: name.clone(),
                    services: services.into_iter().map(str::to_owned).collect(),
                }),
                Cause::FileSystem(_) | Cause::Everything => {}
            }
        }
        if !full.is_empty() {
            let services = full.into_iter().map(str::to_owned).collect();
            warnings.push(WatchError::full(needed() + self.anchors.len(), services));
        }
        self.told = self.polled.keys().cloned().collect();
        warnings
    }
}
