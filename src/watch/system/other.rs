//! The events of systems other than Linux, by way of `notify`.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Refusal;
use crate::watch::error::WatchError;
use crate::watch::shared::{Shared, Touch};

#[derive(Debug)]
pub(in crate::watch) struct System {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
}

impl System {
    /// Begins to take events.
    pub(in crate::watch) fn start(shared: Arc<Shared>) -> Result<Self, WatchError> {
        let watcher = notify::recommended_watcher(move |event| take(&shared, event));
        let watcher = watcher.map_err(|error| WatchError::Failed { message: error.to_string() })?;
        Ok(Self { watcher, watched: BTreeSet::new() })
    }

    /// Events come by themselves.
    pub(in crate::watch) fn catch_up(&self) {
        let _ = &self.watcher;
    }

    /// Watches a folder; once more when it is watched, since another one may be in its place. Links are followed.
    pub(in crate::watch) fn watch(&mut self, folder: &Path, _follow: bool) -> Result<(), Refusal> {
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
    pub(in crate::watch) fn unwatch(&mut self, folder: &Path) {
        if self.watched.remove(folder) {
            // It fails when the folder is gone, and the watch with it.
            self.watcher.unwatch(folder).ok();
        }
    }

    /// Whether a folder is watched.
    pub(in crate::watch) fn watches(&self, folder: &Path) -> bool {
        self.watched.contains(folder)
    }

    /// The watched folders at a path or below it.
    pub(in crate::watch) fn watched_at(&self, path: &Path) -> Vec<PathBuf> {
        let below = self.watched.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
        below.take_while(|folder| folder.starts_with(path)).cloned().collect()
    }

    /// How many folders are watched.
    pub(in crate::watch) fn count(&self) -> usize {
        self.watched.len()
    }
}

/// Runs in notify's own thread, which must not wait: it only takes down what has to be looked into.
fn take(shared: &Shared, event: notify::Result<notify::Event>) {
    match event {
        Ok(event) if event.need_rescan() => shared.take([Touch::Rescan]),
        // Reading is no change, and a build reads everything.
        Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
        Ok(event) => shared.take(event.paths.into_iter().map(Touch::Now)),
        Err(_) => shared.take([Touch::Rescan]),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{Refusal, System};
    use crate::watch::shared::Shared;

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
