//! The system's own events of changes, by way of `notify`. Folders are watched one by one, what lies in them and nothing
//! below, and what is told is what has to be looked into.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

#[derive(Debug)]
pub(super) struct System {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
}

impl System {
    /// Begins to take events.
    pub(super) fn start(shared: Arc<Shared>) -> Result<Self, WatchError> {
        let watcher = notify::recommended_watcher(move |event| take(&shared, event));
        let watcher = watcher.map_err(|error| match &error.kind {
            // How inotify says that the user has too many instances of it.
            notify::ErrorKind::Io(error) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {
                WatchError::too_many_watches()
            }
            _ => WatchError::Failed { message: error.to_string() },
        })?;
        Ok(Self { watcher, watched: BTreeSet::new() })
    }

    /// Watches a folder; once more when it is watched, since another one may be in its place. `follow`
    /// takes a symbolic link for what it leads to.
    pub(super) fn watch(&mut self, folder: &Path, follow: bool) -> Result<(), Refusal> {
        if !follow && !folder.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(Refusal::Absent);
        }
        self.watcher.watch(folder, RecursiveMode::NonRecursive).map_err(|error| match &error.kind {
            notify::ErrorKind::PathNotFound => Refusal::Absent,
            notify::ErrorKind::MaxFilesWatch => Refusal::Full,
            notify::ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::NotFound => Refusal::Absent,
            _ => Refusal::Other(error.to_string()),
        })?;
        self.watched.insert(folder.to_owned());
        Ok(())
    }

    /// Watches a folder no longer.
    pub(super) fn unwatch(&mut self, folder: &Path) {
        if self.watched.remove(folder) {
            // It fails when the folder is gone, and the watch with it.
            self.watcher.unwatch(folder).ok();
        }
    }

    /// Whether a folder is watched.
    pub(super) fn watches(&self, folder: &Path) -> bool {
        self.watched.contains(folder)
    }

    /// The watched folders at a path or below it.
    pub(super) fn watched_at(&self, path: &Path) -> Vec<PathBuf> {
        let below = self.watched.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
        below.take_while(|folder| folder.starts_with(path)).cloned().collect()
    }

    /// How many folders are watched.
    pub(super) fn count(&self) -> usize {
        self.watched.len()
    }
}

/// Runs in notify's own thread, which must not wait: it only takes down what has to be looked into.
fn take(shared: &Shared, event: notify::Result<notify::Event>) {
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
    shared.take(event.paths.into_iter().map(touch));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::super::shared::Shared;
    use super::{Refusal, System};

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
        let deadline = Instant::now() + Duration::from_secs(20);
        while !shared.wait(Some(deadline), false).paths.contains(&path) {
            assert!(Instant::now() < deadline, "it is not told");
        }
        system.unwatch(&top);
        assert_eq!(system.count(), 0);
    }
}
