//! What earlier builds have made: a record for each step that was carried out, and the folders of cache mounts.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::mount::{self, Sharing};
use crate::embedded::error::Error;
use crate::embedded::id;
use crate::embedded::images::Document;
use crate::embedded::layout::Layout;
use crate::embedded::root;

/// A record that was of no use for so long goes.
const OLDEST: Duration = Duration::from_hours(30 * 24);
/// More records than these are not kept; the oldest go.
const MOST: usize = 20_000;

/// The cache; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    folder: PathBuf,
    /// Cache mounts in use, by the digest of their id.
    mounts: Arc<Mutex<HashMap<String, Arc<RwLock<()>>>>>,
}

/// What a step has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The `sha256:…` of its layer, if it wrote anything; or of the image.
    pub(super) made: Option<String>,
    /// When.
    pub(super) created: DateTime<Utc>,
}

/// A cache mount while a step uses it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) folder: PathBuf,
    _turn: Turn,
}

#[derive(Debug)]
#[expect(dead_code, reason = "they are held, not read")]
enum Turn {
    Shared(OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>),
    /// A folder that nobody else knows.
    Own,
}

impl Cache {
    /// That of the folders, without what is old.
    pub(super) fn open(layout: &Layout) -> Result<Self, Error> {
        let folder = layout.builds();
        let cache = Self { folder, mounts: Arc::default() };
        for folder in [cache.records(), cache.mounts()] {
            fs::create_dir_all(&folder).map_err(Error::io(format!("make `{}`", folder.display())))?;
        }
        cache.trim(SystemTime::now()).map_err(Error::io("tidy the build cache"))?;
        Ok(cache)
    }

    fn records(&self) -> PathBuf {
        self.folder.join("records")
    }

    fn mounts(&self) -> PathBuf {
        self.folder.join("mounts")
    }

    /// Removes records that are old or too many.
    fn trim(&self, now: SystemTime) -> io::Result<()> {
        let mut records = Vec::new();
        for entry in fs::read_dir(self.records())? {
            let entry = entry?;
            records.push((entry.metadata()?.modified()?, entry.path()));
        }
        records.sort();
        let too_many = records.len().saturating_sub(MOST);
        for (at, (used, path)) in records.iter().enumerate() {
            if at < too_many || now.duration_since(*used).is_ok_and(|age| age > OLDEST) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// What was made under a key. A record that cannot be read is none.
    pub(super) fn find(&self, key: &str) -> Option<Record> {
        let path = self.records().join(key);
        let record = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        // Its age counts from its last use; that it cannot be noted makes it older, no more.
        let _ = fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(record)
    }

    /// Takes over what the steps of an image have made, as far as the image tells by what they are found again.
    pub(super) fn adopt(&self, document: &Document) -> Result<(), Error> {
        let mut layers = document.rootfs.diff_ids.iter();
        for (step, key) in document.history.iter().zip(&document.steps) {
            let layer = if step.empty_layer { None } else { layers.next() };
            if !is_key(key) || self.find(key).is_some() {
                continue;
            }
            let created = step.created.unwrap_or(DateTime::UNIX_EPOCH);
            self.keep(key, &Record { made: layer.cloned(), created })?;
        }
        Ok(())
    }

    /// Keeps what was made under a key.
    pub(super) fn keep(&self, key: &str, record: &Record) -> Result<(), Error> {
        let path = self.records().join(key);
        let half = self.records().join(format!("{}.half", id::random()));
        let text = serde_json::to_vec(record).map_err(|error| Error::Failed(error.to_string()))?;
        let written = fs::write(&half, text).and_then(|()| fs::rename(&half, &path));
        written.map_err(|error| {
            // The error that is told is the first one.
            let _ = fs::remove_file(&half);
            Error::io(format!("write `{}`", path.display()))(error)
        })
    }

    /// The folder of a cache mount, as soon as it may be used. `spare` is where one is made that is used once.
    pub(super) async fn mount(&self, cache: &mount::Cache, spare: &Path) -> Result<Held, Error> {
        let name = id::hexadecimal(&Sha256::digest(&cache.id));
        let folder = self.mounts().join(&name);
        let lock = {
            let mut mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
            mounts.retain(|_, lock| Arc::strong_count(lock) > 1);
            mounts.entry(name).or_default().clone()
        };
        let (turn, folder) = match cache.sharing {
            Sharing::Shared => (Turn::Shared(lock.read_owned().await), folder),
            Sharing::Locked => (Turn::Alone(lock.write_owned().await), folder),
            Sharing::Private => match lock.try_write_owned() {
                Ok(turn) => (Turn::Alone(turn), folder),
                Err(_) => (Turn::Own, spare.to_owned()),
            },
        };
        if !folder.exists() {
            let made = || {
                fs::create_dir_all(&folder)?;
                std::os::unix::fs::chown(&folder, Some(cache.uid), Some(cache.gid))?;
                fs::set_permissions(&folder, fs::Permissions::from_mode(cache.mode))
            };
            made().map_err(Error::io(format!("make the cache `{}`", cache.id)))?;
        }
        Ok(Held { folder, _turn: turn })
    }

    /// Removes all records, and cache mounts that nobody uses; the bytes gained.
    pub(super) async fn prune(&self) -> Result<u64, Error> {
        let mut gained = 0;
        let mut free = Vec::new();
        for entry in read(&self.mounts())? {
            let name = entry.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let lock = self.mounts.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().clone();
            // One in use stays.
            if let Ok(turn) = lock.try_write_owned() {
                free.push((entry, turn));
            }
        }
        for (folder, _turn) in free {
            gained += size(&folder).map_err(Error::io(format!("measure `{}`", folder.display())))?;
            root::remove(&folder).await?;
        }
        for record in read(&self.records())? {
            gained += fs::metadata(&record).map_or(0, |found| found.len());
            fs::remove_file(&record).map_err(Error::io(format!("remove `{}`", record.display())))?;
        }
        Ok(gained)
    }
}

/// What lies in a folder.
pub(super) fn read(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(Error::io(format!("read `{}`", folder.display()))),
    }
}

/// Bytes of the files of a tree.
pub(super) fn size(folder: &Path) -> io::Result<u64> {
    let mut folders = vec![folder.to_owned()];
    let mut sum = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let found = entry.metadata()?;
            if found.is_dir() {
                folders.push(entry.path());
            } else {
                sum += found.len();
            }
        }
    }
    Ok(sum)
}

/// Whether a text that comes from elsewhere can be a key.
fn is_key(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The key of what comes after a step: nothing that reads the same is the same by chance.
pub(super) fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    id::hexadecimal(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use chrono::DateTime;

    use super::super::mount::{self, Sharing};
    use super::{Cache, OLDEST, Record, key};
    use crate::embedded::images::{Document, DocumentRootfs, History};
    use crate::embedded::layout::Layout;

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(&Layout::new(Some(folder.path()))).expect("it opens");
        (folder, cache)
    }

    #[test]
    fn a_record_is_found_again_until_it_is_old() {
        let (_folder, cache) = cache();
        let record = Record { made: Some("sha256:a".into()), created: DateTime::UNIX_EPOCH };
        cache.keep(&key(&["a", "b"]), &record).expect("it is written");
        assert_eq!(cache.find(&key(&["a", "b"])), Some(record));
        assert_eq!(cache.find(&key(&["ab"])), None);
        cache.trim(SystemTime::now() + OLDEST + Duration::from_secs(1)).expect("it is tidied");
        assert_eq!(cache.find(&key(&["a", "b"])), None);
    }

    #[test]
    fn the_steps_of_an_image_are_taken_over() {
        let (_folder, cache) = cache();
        let step = |empty_layer| History { empty_layer, ..History::default() };
        let keys = ["", "../../x", &key(&["run"]), &key(&["env"]), &key(&["copy"])].map(str::to_owned);
        let document = Document {
            history: vec![step(false), step(true), step(false), step(true), step(false)],
            steps: keys.to_vec(),
            rootfs: DocumentRootfs { kind: "layers".into(), diff_ids: ["a", "b", "c"].map(str::to_owned).to_vec() },
            ..Document::default()
        };
        cache.adopt(&document).expect("it is written");
        let made = |key: &str| cache.find(key).map(|record| record.made);
        assert_eq!(made(&keys[2]), Some(Some("b".into())));
        assert_eq!(made(&keys[3]), Some(None));
        assert_eq!(made(&keys[4]), Some(Some("c".into())));
        assert_eq!(super::read(&cache.records()).expect("it can be read").len(), 3);
    }

    #[tokio::test]
    async fn a_private_cache_that_is_in_use_is_another_one() {
        let (folder, cache) = cache();
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let sharing = Sharing::Private;
        let wanted =
            mount::Cache { id: "a".into(), target: "/a".into(), sharing, read_only: false, mode: 0o700, uid, gid };
        let first = cache.mount(&wanted, &folder.path().join("1")).await.expect("a folder");
        let second = cache.mount(&wanted, &folder.path().join("2")).await.expect("a folder");
        assert_eq!(second.folder, folder.path().join("2"));
        drop(first);
        let third = cache.mount(&wanted, &folder.path().join("3")).await.expect("a folder");
        assert!(third.folder.starts_with(cache.mounts()));
    }
}
