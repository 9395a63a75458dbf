//! The thread behind a watch: waits for what has to be looked into, looks, and tells what changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::look::Look;
use super::shared::{GRACE, Shared, Touched};
use super::source::Mode;
use crate::change::rules::Rules;
use crate::content::Hashes;

/// Time between two looks where the system reports no changes.
const POLL: Duration = Duration::from_secs(1);
/// A look may take this part of the time that it is repeated after, at most.
const SHARE: u32 = 20;
/// So long are files read that nobody waits for, before the next look at what does matter.
const SLICE: Duration = Duration::from_millis(5);

pub(super) struct Worker {
    shared: Arc<Shared>,
    look: Look,
    /// What was gone, and when it is to be believed.
    missing: BTreeMap<PathBuf, Instant>,
    next_poll: Option<Instant>,
    learning: Option<Learning>,
}

/// Looking into files that nobody has looked into, folder by folder.
#[derive(Default)]
struct Learning {
    after: Option<PathBuf>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, mode: Mode, hashes: Hashes) -> Self {
        let look = Look::new(Arc::clone(&shared), mode, hashes);
        Self { shared, look, missing: BTreeMap::new(), next_poll: None, learning: None }
    }

    pub(super) fn run(mut self, rules: Arc<Rules>, ready: oneshot::Sender<()>) {
        self.look.take_rules(rules);
        self.finish_round();
        // Nobody waits any more when the start was given up; the watch that was dropped has set `stop`.
        ready.send(()).ok();
        loop {
            let touched = self.wait();
            if touched.stop {
                self.look.hashes().keep();
                return;
            }
            self.round(touched);
            self.finish_round();
            self.learn();
        }
    }

    fn wait(&self) -> Touched {
        let missing = self.missing.values().copied();
        let soonest = missing.chain(self.next_poll).chain(self.look.next_rested()).min();
        self.shared.wait(soonest, self.learning.is_some())
    }

    fn round(&mut self, touched: Touched) {
        if let Some((rules, taken)) = touched.rules {
            self.look.take_rules(rules);
            // Few wait for it.
            taken.send(()).ok();
        }
        if !touched.learn.is_empty() {
            let learning = self.learning.get_or_insert_default();
            learning.after = None;
            learning.waiting.extend(touched.learn);
        }
        if touched.rescan {
            self.missing.clear();
            self.look.rescan();
        } else {
            for path in touched.paths {
                self.examine(path);
            }
        }
        for path in touched.overdue {
            self.missing.remove(&path);
            self.look.settle(&path);
        }
        for path in self.look.take_rested(Instant::now()) {
            self.examine(path);
        }
        self.confirm_missing();
        self.poll();
    }

    fn examine(&mut self, path: PathBuf) {
        let unseen = self.look.examine(&path);
        if unseen.is_empty() {
            self.missing.remove(&path);
        } else {
            self.missing.entry(path).or_insert_with(|| Instant::now() + GRACE);
        }
    }

    /// Looks again at what was gone a moment ago.
    fn confirm_missing(&mut self) {
        let now = Instant::now();
        let due = self.missing.extract_if(.., |_, at| *at <= now);
        let due: Vec<PathBuf> = due.map(|(path, _)| path).collect();
        for path in due {
            self.look.settle(&path);
        }
    }

    fn poll(&mut self) {
        let began = Instant::now();
        if self.next_poll.is_some_and(|at| at <= began) {
            self.look.poll();
            let took = began.elapsed();
            self.next_poll = Some(began + took + POLL.max(took * SHARE));
        }
    }

    fn finish_round(&mut self) {
        self.look.publish();
        let next = self.next_poll.or_else(|| Some(Instant::now() + POLL));
        self.next_poll = next.filter(|_| self.look.is_polling());
    }

    /// Looks into some files that nobody has looked into, so that a later touch of one is known for what it is.
    fn learn(&mut self) {
        let Some(learning) = &mut self.learning else { return };
        let until = Instant::now() + SLICE;
        while Instant::now() < until {
            learning.after = self.look.learn_after(learning.after.as_deref());
            if learning.after.is_none() {
                self.look.hashes().keep();
                let waiting = self.learning.take().map(|learning| learning.waiting).unwrap_or_default();
                for waiting in waiting {
                    // Some want to know when it is done, most do not.
                    waiting.send(()).ok();
                }
                return;
            }
        }
    }
}
