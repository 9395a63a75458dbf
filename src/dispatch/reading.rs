//! What is read again while a run goes on: the manifest, and what its watch rules are made from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio_util::task::AbortOnDropHandle;

use super::Dispatcher;
use super::prepare::{self, ManifestRead};
use crate::change::PathState;
use crate::change::rules::Rules;
use crate::engine::Engine;
use crate::project::Project;
use crate::reconcile::event::Reloaded;
use crate::reconcile::notice::Notice;
use crate::watch::Watch;

/// How the manifest of a run is read again. What it says is the same as at the run's beginning: the same files, options
/// and environment.
#[derive(Clone)]
pub struct Manifest {
    /// The files that were looked for when it was read, there or not.
    pub files: BTreeSet<PathBuf>,
    /// Reads it. It may block.
    pub read: Arc<dyn Fn() -> Read + Send + Sync>,
}

impl fmt::Debug for Manifest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Manifest").field("files", &self.files).finish_non_exhaustive()
    }
}

/// A manifest that was read again.
#[derive(Debug)]
pub struct Read {
    /// The project and the services that the run is to bring up; or what is wrong, in lines for people.
    pub outcome: Result<(Arc<Project>, BTreeSet<String>), String>,
    /// The files that were looked for, there or not.
    pub files: BTreeSet<PathBuf>,
}

/// Something that is being read. Whoever reads it anew drops it, so that nothing older can come after the newer.
pub(super) type Reading<T> = AbortOnDropHandle<T>;

impl<E: Engine> Dispatcher<E> {
    /// An ignore file that was saved changes what is watched.
    pub(super) fn reread_rules(&mut self, paths: &BTreeMap<PathBuf, PathState>) {
        let Some(rules) = &self.rules else { return };
        if paths.keys().any(|path| rules.means_reload(path) && !rules.is_manifest(path)) {
            self.is_outdated = self.reloading.is_some();
            self.reread();
        }
    }

    pub(super) fn reread(&mut self) {
        let files = self.manifest.as_ref().map(|manifest| manifest.files.clone()).unwrap_or_default();
        let reading = prepare::read_rules(Arc::clone(self.state.project()), files);
        self.rereading = Some(AbortOnDropHandle::new(self.tasks.spawn(reading)));
    }

    pub(super) fn take_rules(&mut self, rules: &Arc<Rules>, watch: Option<&Watch>) {
        self.rules = Some(Arc::clone(rules));
        self.watched = watch.map(|watch| watch.replace(Arc::clone(rules)).shared());
    }

    pub(super) fn reload(&mut self) {
        let (before, hashes) = (Arc::clone(self.state.project()), self.hashes.clone());
        self.is_outdated = false;
        let reading = prepare::reload(self.manifest.clone(), before, hashes);
        self.reloading = Some(AbortOnDropHandle::new(self.tasks.spawn(reading)));
    }

    /// A manifest that was read again. Of one that does not load the files count, too: a save of any may mend it.
    pub(super) fn take_manifest(&mut self, read: ManifestRead) -> Option<Box<Reloaded>> {
        let ManifestRead { outcome, files } = read;
        match outcome {
            Ok(reloaded) => {
                if let Some(manifest) = &mut self.manifest {
                    manifest.files = files;
                }
                // What was read for the services before says nothing of those that come.
                self.rereading = None;
                reloaded.map(Box::new)
            }
            Err(report) => {
                if let Some(manifest) = &mut self.manifest {
                    manifest.files.extend(files);
                }
                self.reread();
                self.tell(Notice::NotReloaded { report });
                None
            }
        }
    }
}

/// What was read, once it is; never when nothing is read.
pub(super) async fn finished<T>(reading: &mut Option<Reading<T>>) -> Option<T> {
    let Some(under_way) = reading else { return std::future::pending().await };
    let read = under_way.await;
    *reading = None;
    // It is called off only by being dropped, and a panic was reported where it happened.
    read.ok()
}
