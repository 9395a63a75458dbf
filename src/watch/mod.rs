//! Watches the folders of a project and hands over sets of changed paths.
//!
//! It keeps one watch for each folder that the rules do not leave out, so that ignored folders cost nothing. A change is
//! one of content, not of times: what a file holds is compared with what was last told of it. What changed is kept as a
//! set until somebody takes it: nothing overflows and nothing is dropped, and when the system says that its own queue
//! ran over, everything is compared with what was remembered. Where the system tells of no changes, or watches no more
//! folders, they are looked for. It never decides what a change means.

mod build_files;
mod error;
mod file_system;
mod ignore_files;
mod index;
mod look;
mod machine_files;
mod shared;
mod source;
mod system;
pub mod tar;
mod walk;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::change::PathState;
use crate::change::rules::Rules;
use crate::content::Hashes;

pub use build_files::read_build_files;
pub use error::WatchError;
pub use ignore_files::read_ignore_files;
#[cfg(test)]
pub(crate) use index::Print;
pub use machine_files::machine_digest;
use shared::Shared;
pub(crate) use shared::{Found, Told};
use source::Mode;
pub use walk::files_below;
use worker::Worker;

/// A running watch. It ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch what the rules name. Changes from the moment on at which this returns are reported.
    ///
    /// # Errors
    /// Only when no thread can be had. Over the system's limits, and where a file system tells of no changes, it looks for
    /// them itself, once a second, and says so through [`Watch::take_warnings`].
    pub async fn start(rules: Arc<Rules>, hashes: Hashes) -> Result<Self, WatchError> {
        Self::start_as(rules, hashes, Mode::Events).await
    }

    /// As [`Watch::start`], but looks for changes everywhere.
    ///
    /// # Errors
    /// As [`Watch::start`].
    pub async fn start_polling(rules: Arc<Rules>, hashes: Hashes) -> Result<Self, WatchError> {
        Self::start_as(rules, hashes, Mode::Polling).await
    }

    async fn start_as(rules: Arc<Rules>, hashes: Hashes, mode: Mode) -> Result<Self, WatchError> {
        let shared = Arc::new(Shared::default());
        let (ready, is_ready) = oneshot::channel();
        let worker = Worker::new(Arc::clone(&shared), mode, hashes);
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || worker.run(rules, ready))
            .map_err(|error| WatchError::Failed { message: error.to_string() })?;
        // Made before the wait, so that a caller who gives up stops the thread.
        let watch = Self { shared, thread: Some(thread) };
        is_ready.await.map_err(|_| WatchError::Failed { message: "the watching thread ended".to_owned() })?;
        Ok(watch)
    }

    /// Waits until something changed and takes everything that did. What is taken is empty when there is a new warning
    /// instead. Nothing is lost when the wait is given up.
    pub async fn changed(&self) -> BTreeMap<PathBuf, PathState> {
        states(self.told().await)
    }

    /// As [`Watch::changed`], with what there was before and is now.
    pub(crate) async fn told(&self) -> BTreeMap<PathBuf, Told> {
        loop {
            let notified = self.shared.notify.notified();
            let told = self.take_told();
            if !told.is_empty() || self.has_warnings() {
                return told;
            }
            notified.await;
        }
    }

    /// Takes what has changed so far, without waiting.
    #[must_use]
    pub fn take(&self) -> BTreeMap<PathBuf, PathState> {
        states(self.take_told())
    }

    fn take_told(&self) -> BTreeMap<PathBuf, Told> {
        std::mem::take(&mut *self.shared.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes on with other rules. Files that come into view are not reported; what changed in between is. The answer comes
    /// when they are taken, or others in their place: every change from then on is one of what they bring into view, too.
    #[must_use]
    pub fn replace(&self, rules: Arc<Rules>) -> oneshot::Receiver<()> {
        let (taken, is_taken) = oneshot::channel();
        self.shared.touch(|touched| touched.rules = Some((rules, taken)));
        is_taken
    }

    /// Has every file read that nobody has read, little by little and between other work, so that a touch of one is
    /// known for what it is. Until then the first touch of a file counts as a change. The answer comes when all is read;
    /// nobody has to wait for it.
    #[must_use]
    pub fn learn(&self) -> oneshot::Receiver<()> {
        let (done, is_done) = oneshot::channel();
        self.shared.touch(|touched| touched.learn.push(done));
        is_done
    }

    /// Why changes are found by looking once a second, where they are, as far as it was not taken before.
    #[must_use]
    pub fn take_warnings(&self) -> Vec<WatchError> {
        std::mem::take(&mut *self.shared.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn has_warnings(&self) -> bool {
        !self.shared.warnings.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// How many folders the system watches for this.
    #[must_use]
    pub fn watched_folders(&self) -> usize {
        self.shared.watched.load(Ordering::Relaxed)
    }
}

fn states(told: BTreeMap<PathBuf, Told>) -> BTreeMap<PathBuf, PathState> {
    told.into_iter().map(|(path, told)| (path, told.state)).collect()
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
        self.shared.touch(|touched| touched.stop = true);
        if let Some(thread) = self.thread.take() {
            // The thread's end is at most one walk away; its panic would have been reported where it happened.
            drop(thread.join());
        }
    }
}
