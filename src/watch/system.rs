//! The system's own events of changes, by way of `notify`. Folders are watched one by one, what lies in them and nothing
//! below, and what is told is what has to be looked into.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use rustix::io::Errno;

use super::error::WatchError;
use super::shared::{Shared, Touch};

/// What keeps a folder from being watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is not there.
    Absent,
    /// The system watches no more.
    Full,
    /// It is not ours, or anything else.
    Other(String),
}

/// The names of folders that have others than their real path, by that. The system tells of changes under one name only.
type Names = Mutex<BTreeMap<PathBuf, BTreeSet<PathBuf>>>;

#[derive(Debug)]
pub(super) struct System {
    watcher: RecommendedWatcher,
    /// The folders by the names that they were asked for by, with their real paths.
    watched: BTreeMap<PathBuf, PathBuf>,
    names: Arc<Names>,
}

impl System {
    /// Begins to take events.
    pub(super) fn start(shared: Arc<Shared>) -> Result<Self, WatchError> {
        let names = Arc::new(Names::default());
        let known = Arc::clone(&names);
        let watcher = notify::recommended_watcher(move |event| take(&shared, &known, event));
        let watcher = watcher.map_err(|error| match &error.kind {
            // How inotify says that the user has too many instances of it.
            notify::ErrorKind::Io(error) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {
                WatchError::too_many_watches()
            }
            _ => WatchError::Failed { message: error.to_string() },
        })?;
        Ok(Self { watcher, watched: BTreeMap::new(), names })
    }

    /// Watches a folder; once more when it is watched, since another one may be in its place. `follow`
    /// takes a symbolic link for what it leads to.
    pub(super) fn watch(&mut self, folder: &Path, follow: bool) -> Result<(), Refusal> {
        if !follow && !folder.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(Refusal::Absent);
        }
        let real = self.real_path(folder, follow).ok_or(Refusal::Absent)?;
        self.watcher.watch(&real, RecursiveMode::NonRecursive).map_err(|error| match &error.kind {
            notify::ErrorKind::PathNotFound => Refusal::Absent,
            notify::ErrorKind::MaxFilesWatch => Refusal::Full,
            notify::ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::NotFound => Refusal::Absent,
            _ => Refusal::Other(error.to_string()),
        })?;
        if self.watched.get(folder).is_some_and(|before| *before != real) {
            self.unwatch(folder);
        }
        self.note_name(folder, &real);
        self.watched.insert(folder.to_owned(), real);
        Ok(())
    }

    /// The path of a folder without symbolic links; `None` when it is not there.
    fn real_path(&self, folder: &Path, follow: bool) -> Option<PathBuf> {
        let above = folder.parent().and_then(|above| self.watched.get(above));
        match (above, folder.file_name()) {
            // It is no link itself, and where the folder above it is has been found out.
            (Some(above), Some(name)) if !follow => Some(above.join(name)),
            _ => std::fs::canonicalize(folder).ok(),
        }
    }

    fn note_name(&self, folder: &Path, real: &Path) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if folder == real && !names.contains_key(real) {
            return;
        }
        let names = names.entry(real.to_owned()).or_default();
        names.insert(folder.to_owned());
        if self.watched.contains_key(real) {
            names.insert(real.to_owned());
        }
    }

    /// Watches a folder no longer. Under its other names it is still watched.
    pub(super) fn unwatch(&mut self, folder: &Path) {
        let Some(real) = self.watched.remove(folder) else { return };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(others) = names.get_mut(&real) {
            others.remove(folder);
            if !others.is_empty() {
                return;
            }
            names.remove(&real);
        }
        drop(names);
        // It fails when the folder is gone, and the watch with it.
        self.watcher.unwatch(&real).ok();
    }

    /// Whether a folder is watched.
    pub(super) fn watches(&self, folder: &Path) -> bool {
        self.watched.contains_key(folder)
    }

    /// The watched folders at a path or below it.
    pub(super) fn watched_at(&self, path: &Path) -> Vec<PathBuf> {
        let below = self.watched.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
        below.map(|(folder, _)| folder).take_while(|folder| folder.starts_with(path)).cloned().collect()
    }

    /// How many folders are watched.
    pub(super) fn count(&self) -> usize {
        self.watched.len()
    }
}

/// Runs in notify's own thread, which must not wait: it only takes down what has to be looked into.
fn take(shared: &Shared, names: &Names, event: notify::Result<notify::Event>) {
    let Ok(event) = event else { return shared.take([Touch::Rescan]) };
    if event.need_rescan() {
        return shared.take([Touch::Rescan]);
    }
    let touch = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Touch::Now,
        // Reading is no change, and a build reads everything.
        EventKind::Access(_) => return,
        EventKind::Create(CreateKind::File) => Touch::Made,
        EventKind::Modify(ModifyKind::Data(_)) => Touch::Written,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => Touch::Gone,
        _ => Touch::Now,
    };
    let names = names.lock().unwrap_or_else(PoisonError::into_inner);
    shared.take(event.paths.into_iter().flat_map(|path| all_names(&names, path)).map(touch));
}

/// A path as the system tells it, under every name of the folder that it is or lies in.
fn all_names(names: &BTreeMap<PathBuf, BTreeSet<PathBuf>>, path: PathBuf) -> Vec<PathBuf> {
    if names.is_empty() {
        return vec![path];
    }
    let own = names.get(&path);
    let of_folder = path.parent().and_then(|folder| names.get(folder));
    let in_folder = of_folder.into_iter().flatten().filter_map(|folder| Some(folder.join(path.file_name()?)));
    let mut all: Vec<PathBuf> = own.into_iter().flatten().cloned().chain(in_folder).collect();
    // Of what has no other name, and where the folder is watched for what is below it.
    all.push(path);
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::super::shared::Shared;
    use super::{Refusal, System};

    /// Waits until all of these are told, and returns all that is told until then.
    fn wait_for(shared: &Shared, paths: &[PathBuf]) -> BTreeSet<PathBuf> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut touched = BTreeSet::new();
        while !paths.iter().all(|path| touched.contains(path)) {
            assert!(Instant::now() < deadline, "of {paths:?} only {touched:?} are told");
            touched.append(&mut shared.wait(Some(deadline), false).paths);
        }
        touched
    }

    #[test]
    fn a_folder_under_two_names_is_told_under_both_until_one_is_let_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path().canonicalize().expect("a folder");
        std::fs::create_dir_all(top.join("real/deep")).expect("folders");
        std::os::unix::fs::symlink("real", top.join("link")).expect("a link");
        let shared = Arc::new(Shared::default());
        let mut system = System::start(Arc::clone(&shared)).expect("there are events");
        for name in ["real", "link"] {
            system.watch(&top.join(name), true).expect("it is there");
            system.watch(&top.join(name).join("deep"), false).expect("it is there");
        }
        std::fs::write(top.join("real/deep/file"), "1").expect("a file");
        wait_for(&shared, &["real/deep/file", "link/deep/file"].map(|path| top.join(path)));
        for folder in ["link/deep", "link"] {
            system.unwatch(&top.join(folder));
        }
        assert_eq!(system.watched_at(&top), ["real", "real/deep"].map(|path| top.join(path)));
        std::fs::write(top.join("real/deep/file"), "two").expect("a file");
        wait_for(&shared, &[top.join("real/deep/file")]);
        system.unwatch(&top.join("real/deep"));
        std::fs::write(top.join("real/deep/file"), "three").expect("a file");
        std::fs::write(top.join("real/sentinel"), "").expect("a file");
        let touched = wait_for(&shared, &[top.join("real/sentinel")]);
        assert!(!touched.contains(&top.join("real/deep/file")), "{touched:?}");
    }

    #[test]
    fn a_write_in_a_watched_folder_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path().canonicalize().expect("a folder");
        let shared = Arc::new(Shared::default());
        let mut system = System::start(Arc::clone(&shared)).expect("there are events");
        assert_eq!(system.watch(&top.join("absent"), true), Err(Refusal::Absent));
        system.watch(&top, true).expect("it is there");
        assert!(system.watches(&top) && system.watched_at(&top) == [top.clone()]);
        let path = top.join("file");
        std::fs::write(&path, "1").expect("a file");
        wait_for(&shared, &[path]);
        system.unwatch(&top);
        assert_eq!(system.count(), 0);
    }
}
