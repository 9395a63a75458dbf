//! What the watch, its thread and the system's events have in common: what has to be looked into, and what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::error::WatchError;
use super::index::{Print, Seen};
use crate::change::PathState;
use crate::change::rules::Rules;

/// A file that is written to is looked into when it is closed, or after this long: half a file is no change yet.
const WRITING: Duration = Duration::from_millis(25);
/// What is gone may be on its way back: editors move a file away before they write it anew, git removes it.
pub(super) const GRACE: Duration = Duration::from_millis(10);
/// A name that has come is a file being made most of the time, which is closed soon, or a link, which is not.
const MAKING: Duration = Duration::from_millis(8);

/// What became of a path, and what was there before and is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) state: PathState,
    pub(crate) was: Found,
    pub(crate) is: Found,
}

/// What there is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// This.
    This(Print),
    /// Nobody knows.
    Unknown,
}

impl Found {
    pub(super) fn of(seen: Option<Seen>) -> Self {
        match seen {
            None => Self::Nothing,
            Some(seen) => seen.print.map_or(Self::Unknown, Self::This),
        }
    }

    /// Whether both are known to be the same.
    pub(crate) fn is_same(self, other: Self) -> bool {
        self == other && self != Self::Unknown
    }
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    touched: Mutex<Touched>,
    wake: Condvar,
    pub(super) changed: Mutex<BTreeMap<PathBuf, Told>>,
    pub(super) warnings: Mutex<Vec<WatchError>>,
    pub(super) notify: Notify,
    pub(super) watched: AtomicUsize,
    /// Ends the reading of files when the watch does.
    pub(super) cancel: CancellationToken,
}

/// What the thread has to look into. A set, so that it is never larger than what is there to be looked at.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) paths: BTreeSet<PathBuf>,
    /// What was not waited for any longer: files that are still being written, and what did not come back.
    pub(super) overdue: BTreeSet<PathBuf>,
    /// Files that are being written, and what is gone, and until when to wait for more.
    pending: BTreeMap<PathBuf, Instant>,
    pub(super) rescan: bool,
    /// Other rules, and who wants to know when they are taken.
    pub(super) rules: Option<(Arc<Rules>, oneshot::Sender<()>)>,
    /// Who wants all files to be looked into.
    pub(super) learn: Vec<oneshot::Sender<()>>,
    pub(super) stop: bool,
}

/// What the system says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Touch {
    /// Something has happened to a path.
    Now(PathBuf),
    /// A file is being written; that it was closed is told when it is.
    Written(PathBuf),
    /// A file has been made, and may still have to be written.
    Made(PathBuf),
    /// Something is no longer there.
    Gone(PathBuf),
    /// Nobody knows what has happened.
    Rescan,
}

impl Touched {
    fn is_empty(&self) -> bool {
        let has_paths = !self.paths.is_empty() || !self.overdue.is_empty();
        !has_paths && !self.rescan && self.rules.is_none() && self.learn.is_empty() && !self.stop
    }

    fn touch(&mut self, path: PathBuf) {
        self.pending.remove(&path);
        self.paths.insert(path);
    }

    fn touch_within(&mut self, path: PathBuf, wait: Duration) {
        self.paths.remove(&path);
        self.pending.entry(path).or_insert_with(|| Instant::now() + wait);
    }

    /// Takes what is due, and leaves what is waited for.
    fn take(&mut self) -> Self {
        let pending = std::mem::take(&mut self.pending);
        std::mem::replace(self, Self { pending, ..Self::default() })
    }
}

impl Shared {
    pub(super) fn touch(&self, change: impl FnOnce(&mut Touched)) {
        change(&mut self.touched.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    /// Waits for something to look into, at most until some moment; not at all for somebody who is busy.
    pub(super) fn wait(&self, until: Option<Instant>, is_busy: bool) -> Touched {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = Instant::now();
            let due = touched.pending.extract_if(.., |_, at| *at <= now);
            let due: Vec<PathBuf> = due.map(|(path, _)| path).collect();
            touched.overdue.extend(due);
            if is_busy || !touched.is_empty() || until.is_some_and(|until| until <= now) {
                return touched.take();
            }
            let soonest = touched.pending.values().copied().chain(until).min();
            touched = match soonest {
                None => self.wake.wait(touched).unwrap_or_else(PoisonError::into_inner),
                Some(soonest) => {
                    let wait = self.wake.wait_timeout(touched, soonest - now);
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Whether more is to come of a path, as of a file that is being written.
    pub(super) fn is_pending(&self, path: &Path) -> bool {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).pending.contains_key(path)
    }

    pub(super) fn publish(&self, changed: &mut BTreeMap<PathBuf, Told>) {
        if !changed.is_empty() {
            let mut untaken = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
            for (path, told) in std::mem::take(changed) {
                let was = untaken.get(&path).map_or(told.was, |before| before.was);
                untaken.insert(path, Told { was, ..told });
            }
            self.notify.notify_one();
        }
    }

    pub(super) fn warn(&self, warning: WatchError) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
        self.notify.notify_one();
    }

    /// Takes down what the system says.
    pub(super) fn take(&self, touches: impl IntoIterator<Item = Touch>) {
        self.touch(|touched| {
            for touch in touches {
                match touch {
                    Touch::Now(path) => touched.touch(path),
                    Touch::Written(path) => touched.touch_within(path, WRITING),
                    Touch::Made(path) => touched.touch_within(path, MAKING),
                    Touch::Gone(path) => touched.touch_within(path, GRACE),
                    Touch::Rescan => touched.rescan = true,
                }
            }
        });
    }
}
