//! The journals of a project's runs on the disk, and what they told: where they are, how they are written and found again.
//!
//! A task of its own writes, so that the loop never waits for a disk. A journal is for its owner's eyes only, is
//! bounded, and only the newest are kept. It never keeps a run from going on: what goes wrong is told once.

mod events;
mod place;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::project::Project;
use crate::reconcile::Setup;
use crate::reconcile::event::{Action, Event};

pub use events::{Events, Reader};
pub use place::{folder, latest};
use writer::Writer;

/// How many steps may wait to be written; a disk that is slower ends the journal.
const QUEUE: usize = 4096;

/// The journal that is being written now, for a panic to name.
static CURRENT: OnceLock<PathBuf> = OnceLock::new();

/// The journal of a run that goes on.
#[derive(Debug)]
pub struct Journal {
    entries: Option<SyncSender<Entry>>,
    task: tokio::task::JoinHandle<()>,
    trouble: Arc<OnceLock<String>>,
    is_told: bool,
}

/// Something to be written.
#[derive(Debug)]
enum Entry {
    Begin(Box<Setup>, Vec<Action>),
    Step(Box<Event>, Duration, Vec<Action>, Arc<Project>),
    End,
}

impl Journal {
    /// Begins to write the journal of a run of a project; `None` where there is no place for one.
    #[must_use]
    pub fn start(project: &Project) -> Option<Self> {
        let folder = folder(project)?;
        let (entries, inbox) = sync_channel(QUEUE);
        let trouble = Arc::new(OnceLock::new());
        let told = Arc::clone(&trouble);
        let task = tokio::task::spawn_blocking(move || {
            if let Err(error) = Writer::new(folder).write(&inbox) {
                // Nobody else sets it.
                let _ = told.set(error);
            }
        });
        Some(Self { entries: Some(entries), task, trouble, is_told: false })
    }

    /// Notes how a run begins.
    pub fn begin(&mut self, setup: Setup, actions: &[Action]) {
        self.put(Entry::Begin(Box::new(setup), actions.to_vec()));
    }

    /// Notes a step; `project` is what the run has after it.
    pub fn step(&mut self, event: Event, at: Duration, actions: &[Action], project: &Arc<Project>) {
        self.put(Entry::Step(Box::new(event), at, actions.to_vec(), Arc::clone(project)));
    }

    fn put(&mut self, entry: Entry) {
        let Some(entries) = &self.entries else { return };
        if let Err(refused) = entries.try_send(entry) {
            if matches!(refused, std::sync::mpsc::TrySendError::Full(_)) {
                let _ = self.trouble.set("the disk does not keep up".into());
            }
            // A journal with a gap replays to nonsense: there is no more of it.
            self.entries = None;
        }
    }

    /// Why nothing is written any more; told once.
    pub fn take_trouble(&mut self) -> Option<String> {
        let trouble = self.trouble.get().filter(|_| !self.is_told)?.clone();
        self.is_told = true;
        Some(trouble)
    }

    /// Waits until everything is written; in words for people what went wrong and has not been told.
    pub async fn finish(mut self) -> Option<String> {
        self.put(Entry::End);
        self.entries = None;
        // It returns nothing, and a panic in it has been reported by the panic hook.
        let _ = (&mut self.task).await;
        self.take_trouble()
    }
}

/// The journal that is being written now.
#[must_use]
pub fn current() -> Option<&'static PathBuf> {
    CURRENT.get()
}
