//! Writes one journal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use chrono::Utc;
use rustix::fs::FlockOperation;

use super::{CURRENT, Entry, place};
use crate::kept;
use crate::replay::Scribe;

/// So many bytes a journal has at most. What is longer has no end that could be replayed without its beginning, so it
/// stops there.
const LONGEST: u64 = 16 * 1024 * 1024;
/// So many journals of a project are kept.
const KEPT: usize = 5;

pub(super) struct Writer {
    folder: PathBuf,
    longest: u64,
}

impl Writer {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, longest: LONGEST }
    }

    #[cfg(test)]
    pub(super) fn bounded(folder: PathBuf, longest: u64) -> Self {
        Self { folder, longest }
    }

    /// Writes until nobody sends any more; in words for people, why it cannot.
    pub(super) fn write(self, inbox: &Receiver<Entry>) -> Result<(), String> {
        let Ok(Entry::Begin(setup, actions)) = inbox.recv() else { return Ok(()) };
        let path = self.folder.display().to_string();
        let refused = |error: io::Error| format!("cannot write below `{path}`: {error}");
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| refused(io::Error::other(error)))?;
        let mut scribe = Scribe::new(key);
        let beginning = scribe.begin(*setup, actions, env!("CARGO_PKG_VERSION"));
        let beginning = beginning.map_err(|error| refused(error.into()))?;
        let mut file = create(&self.folder).map_err(refused)?;
        file.write_all(beginning.as_bytes()).map_err(refused)?;
        let mut length = beginning.len() as u64;
        while let Ok(entry) = inbox.recv() {
            let (line, is_last) = match entry {
                Entry::Begin(..) => continue,
                Entry::Step(event, at, actions, project) => match scribe.step(*event, at, actions, &project) {
                    Ok(line) if length + line.len() as u64 <= self.longest => (line, false),
                    Ok(_) => (end(&scribe, &format!("the journal is full at {} bytes", self.longest))?, true),
                    Err(error) => (end(&scribe, &format!("the next step cannot be written: {error}"))?, true),
                },
                Entry::End => (end(&scribe, "the run is over")?, true),
            };
            length += line.len() as u64;
            // Each line at once: the last one before a crash is the one that matters.
            file.write_all(line.as_bytes()).map_err(refused)?;
            if is_last {
                break;
            }
        }
        // The loop may go on for long; what it still sends is taken and let go.
        inbox.iter().for_each(drop);
        Ok(())
    }
}

fn end(scribe: &Scribe, reason: &str) -> Result<String, String> {
    scribe.end(reason).map_err(|error| error.to_string())
}

/// A new journal in a folder that is this user's alone; the oldest ones give way.
fn create(folder: &Path) -> io::Result<File> {
    kept::make_folder(folder)?;
    let time = Utc::now().format("%Y%m%dT%H%M%S%.6f");
    let path = folder.join(format!("journal-{time}-{}.jsonl", std::process::id()));
    let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
    // Held as long as it is written.
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    let journals = place::journals(folder);
    for old in &journals[..journals.len().saturating_sub(KEPT)] {
        if !is_written(old) {
            // Another run may have removed it just now.
            let _ = fs::remove_file(old);
        }
    }
    place::remove_forgotten(folder);
    // The first one of a process is the one that it is about.
    let _ = CURRENT.set(path);
    Ok(file)
}

/// Whether a run goes on that writes it.
fn is_written(journal: &Path) -> bool {
    let locked = File::open(journal).map(|file| rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared));
    matches!(locked, Ok(Err(rustix::io::Errno::WOULDBLOCK)))
}
