//! The hashes of files' contents, remembered, so that a file that did not change is not read again.
//!
//! What is remembered is found again by a file's path and trusted as long as its size, its times and its inode are what
//! they were, and only where a later change would have shown in them. It is kept between runs in the user's cache
//! folder. It never decides what a change means, and nothing depends on it but time: forgetting all of it is harmless.

mod cache;
mod stamp;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

pub use stamp::Stamp;

/// So many files are remembered at most; what more there is gets read again every time.
const MOST: usize = 1 << 18;
/// How much of a file is read at once.
const PIECE: usize = 64 * 1024;

/// The BLAKE3 hash of a file's content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// A file that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What it looked like when it had been read.
    pub stamp: Stamp,
    /// The hash of what was read.
    pub hash: Hash,
    /// A later change would show in the stamp. If not, the file has to be read again before it can be said that it has
    /// not changed since.
    pub is_settled: bool,
}

/// Hashes of contents, by path. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Hashes {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    entries: HashMap<Key, Entry>,
    /// There is something new since it was last kept.
    is_dirty: bool,
    /// Where it is kept between runs.
    place: Option<PathBuf>,
    /// What is kept there has been read, or there is nothing to read.
    is_read: bool,
}

/// A path's own hash: paths are long, and nobody has to read them out of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key([u8; 16]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    stamp: [u8; 16],
    hash: Hash,
    /// How many runs ago it was last asked for.
    age: u8,
}

impl Key {
    fn of(path: &Path) -> Self {
        Self(stamp::shortened(&blake3::hash(path.as_os_str().as_encoded_bytes())))
    }
}

impl Hashes {
    /// With what earlier runs found out about the files of a project in this folder, which is read when it is first of use.
    #[must_use]
    pub fn of_project(directory: &Path) -> Self {
        Self::kept_at(cache::place(directory))
    }

    fn kept_at(place: Option<PathBuf>) -> Self {
        Self { known: Arc::new(Mutex::new(Known { place, ..Known::default() })) }
    }

    /// The hash of a file's content, read only when it has to be. Blocks; ends early when `cancel` is.
    ///
    /// # Errors
    /// When the file cannot be read, or `cancel` is.
    pub fn of(&self, path: &Path, metadata: &Metadata, cancel: &CancellationToken) -> io::Result<Hash> {
        match self.known(path, &Stamp::of(metadata)) {
            Some(hash) => Ok(hash),
            None => self.read(path, cancel).map(|reading| reading.hash),
        }
    }

    /// The hash of a file that looks like this, when that is known without reading it.
    #[must_use]
    pub fn known(&self, path: &Path, stamp: &Stamp) -> Option<Hash> {
        let mut known = self.lock();
        let entry = known.entries.get_mut(&Key::of(path)).filter(|entry| entry.stamp == stamp.sum())?;
        entry.age = 0;
        Some(entry.hash)
    }

    /// Reads a file, whatever is known of it. Blocks; ends early when `cancel` is.
    ///
    /// # Errors
    /// As [`Hashes::of`].
    pub fn read(&self, path: &Path, cancel: &CancellationToken) -> io::Result<Reading> {
        // Before the file is looked at: whatever changes it from here on gets a later time.
        let began = SystemTime::now();
        let mut file = File::open(path)?;
        let before = Stamp::of(&file.metadata()?);
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; PIECE];
        loop {
            if cancel.is_cancelled() {
                return Err(io::Error::other("cancelled"));
            }
            let read = match file.read(&mut piece) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if read == 0 {
                break;
            }
            hasher.update(&piece[..read]);
        }
        let stamp = Stamp::of(&file.metadata()?);
        let hash = Hash(*hasher.finalize().as_bytes());
        let is_settled = stamp == before && stamp.is_settled(began);
        if is_settled {
            self.note(path, &stamp, hash);
        }
        Ok(Reading { stamp, hash, is_settled })
    }

    /// Takes down what somebody found out who read the file: it looked like `stamp` before and after, and was opened at
    /// `began`.
    pub fn learn(&self, path: &Path, stamp: &Stamp, began: SystemTime, hash: Hash) {
        if stamp.is_settled(began) {
            self.note(path, stamp, hash);
        }
    }

    /// Keeps what is known for the next run. Failing to is no matter.
    pub fn keep(&self) {
        let mut known = self.lock();
        if !std::mem::take(&mut known.is_dirty) {
            return;
        }
        let (Some(place), entries) = (known.place.clone(), known.entries.clone()) else { return };
        drop(known);
        if let Err(error) = cache::write(&place, &entries) {
            tracing::debug!(%error, place = %place.display(), "the hashes of files are not kept");
        }
    }

    fn note(&self, path: &Path, stamp: &Stamp, hash: Hash) {
        let mut known = self.lock();
        let entry = Entry { stamp: stamp.sum(), hash, age: 0 };
        let key = Key::of(path);
        if known.entries.len() >= MOST && !known.entries.contains_key(&key) {
            known.entries.retain(|_, entry| entry.age == 0);
            if known.entries.len() >= MOST {
                return;
            }
        }
        if known.entries.insert(key, entry) != Some(entry) {
            known.is_dirty = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut known.is_read, true) {
            known.entries = known.place.as_deref().and_then(cache::read).unwrap_or_default();
        }
        known
    }
}
