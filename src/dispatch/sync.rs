//! Files into containers, and what a container had in their place back out of it, for the case that it does not come up
//! with them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tar::{Archive, Builder};

use super::perform::{Job, SYNC, refused};
use crate::change::SyncFiles;
use crate::engine::{Engine, EngineError};
use crate::plan::observed::ContainerId;
use crate::plan::operation::Keep;
use crate::project::Hook;
use crate::reconcile::event::Outcome;
use crate::watch::tar::{SyncTar, sync_tar};

/// How much of a container's files is kept for the case that it wants them back.
const LARGEST: usize = 64 << 20;
/// How many files are fetched from a container at once.
pub(super) const PARALLEL: usize = 8;

/// What containers had in the place of files that were copied into them.
#[derive(Debug, Clone, Default)]
pub(super) struct Backups(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    backups: BTreeMap<ContainerId, Backup>,
    /// What is to be removed from containers once they run.
    left: BTreeMap<ContainerId, BTreeSet<String>>,
}

/// What one container had.
#[derive(Debug, Clone, Default)]
struct Backup {
    /// Tars of what was at a path, each with the folder that it is unpacked into.
    archives: BTreeMap<String, (String, Bytes)>,
    /// Paths at which there was nothing.
    absent: BTreeSet<String>,
}

impl Backup {
    fn has(&self, path: &str) -> bool {
        self.absent.contains(path) || self.archives.contains_key(path)
    }

    fn size(&self) -> usize {
        self.archives.values().map(|(_, archive)| archive.len()).sum()
    }
}

impl Backups {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &str) -> Option<Backup> {
        self.kept().backups.get(id).cloned()
    }

    fn put(&self, id: &str, backup: Option<Backup>) {
        let mut kept = self.kept();
        match backup {
            Some(backup) => drop(kept.backups.insert(id.to_owned(), backup)),
            None => drop(kept.backups.remove(id)),
        }
    }

    fn to_remove(&self, id: &str, paths: &[String]) {
        self.kept().left.entry(id.to_owned()).or_default().extend(paths.iter().cloned());
    }

    /// What could only be emptied while a container did not run, and is to be removed now that it does.
    pub(super) fn take_left(&self, id: &str) -> Vec<String> {
        self.kept().left.remove(id).unwrap_or_default().into_iter().collect()
    }

    /// Files that are copied are not to be removed any more.
    fn is_there_again(&self, id: &str, files: &SyncFiles) {
        if let Some(left) = self.kept().left.get_mut(id) {
            left.retain(|path| files.copied.iter().all(|(_, inside)| inside != path));
        }
    }

    /// All that is kept of a container that is gone.
    pub(super) fn forget(&self, id: &str) {
        let mut kept = self.kept();
        kept.backups.remove(id);
        kept.left.remove(id);
    }
}

impl<E: Engine> Job<E> {
    pub(super) async fn sync(
        &self,
        containers: &[ContainerId],
        files: &SyncFiles,
        exec: &[Hook],
        keep: Keep,
        compare: bool,
    ) -> Result<Outcome, EngineError> {
        let mut packed = if compare { SyncTar::default() } else { pack(files.clone()).await? };
        for id in containers {
            if compare {
                packed = pack(self.differing(id, files).await?).await?;
            }
            self.keep(id, files, keep).await?;
            self.backups.is_there_again(id, files);
            self.delete(id, &packed.deleted).await?;
            if let Some(archive) = &packed.archive {
                self.engine.upload(id, "/", archive.clone()).await?;
            }
            for hook in exec.iter().filter(|_| self.is_running(id)) {
                self.run_in(id, hook).await?;
            }
        }
        match packed.unreadable.first() {
            None => Ok(Outcome::Nothing),
            Some((path, reason)) => Err(refused(&format!("cannot read `{}`: {reason}", path.display()))),
        }
    }

    /// Removes files. Where the engine cannot, because the container does not run or has no `rm`, they are left empty: a
    /// program that loads every file of a folder comes up with an empty one. Once the container runs, they go.
    async fn delete(&self, id: &str, paths: &[String]) -> Result<(), EngineError> {
        if paths.is_empty() {
            return Ok(());
        }
        if !self.is_open(id) {
            self.backups.to_remove(id, paths);
            return self.empty(id, paths).await;
        }
        let Err(error) = self.engine.remove_files(id, paths).await else { return Ok(()) };
        if matches!(error, EngineError::Cancelled | EngineError::Unreachable { .. } | EngineError::NotFound { .. }) {
            return Err(error);
        }
        self.empty(id, paths).await?;
        let service = self.operation.service().unwrap_or_default();
        let left = paths.join("`, `");
        self.warn(format!("`{service}`: `{left}` is empty instead of gone: {error}")).await;
        Ok(())
    }

    /// Leaves an empty file at each of the paths at which there is something.
    async fn empty(&self, id: &str, paths: &[String]) -> Result<(), EngineError> {
        let mut there = Vec::new();
        for path in paths {
            if !matches!(self.fetch(id, path).await?, Fetched::Nothing) {
                there.push(path.clone());
            }
        }
        if there.is_empty() {
            return Ok(());
        }
        let archive = empty_files(&there).map_err(|error| refused(&format!("files cannot be emptied: {error}")))?;
        self.engine.upload(id, "/", archive).await
    }

    /// Fetches what is about to be replaced.
    async fn keep(&self, id: &str, files: &SyncFiles, keep: Keep) -> Result<(), EngineError> {
        let mut backup = match keep {
            Keep::Nothing => return Ok(()),
            Keep::Anew => Backup::default(),
            Keep::More => self.backups.get(id).unwrap_or_default(),
        };
        let copied = files.copied.iter().map(|(_, inside)| inside);
        let paths: BTreeSet<String> = copied.chain(&files.deleted).filter(|path| !backup.has(path)).cloned().collect();
        let fetched =
            stream::iter(paths).map(|path| async move { self.fetch(id, &path).await.map(|fetched| (path, fetched)) });
        let fetched: Vec<(String, Fetched)> = fetched.buffer_unordered(PARALLEL).try_collect().await?;
        for (path, fetched) in fetched {
            match fetched {
                Fetched::Archive(archive) => drop(backup.archives.insert(path.clone(), (parent(&path), archive))),
                Fetched::Nothing => drop(backup.absent.insert(path)),
                Fetched::TooLarge => {
                    self.backups.put(id, None);
                    return Ok(());
                }
            }
        }
        let backup = (backup.size() <= LARGEST).then_some(backup);
        self.backups.put(id, backup);
        Ok(())
    }

    pub(super) async fn fetch(&self, id: &str, path: &str) -> Result<Fetched, EngineError> {
        let mut pieces = self.engine.download(id, path);
        let mut archive = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => archive.extend_from_slice(&piece),
                Err(EngineError::NotFound { .. }) => return Ok(Fetched::Nothing),
                Err(error) => return Err(error),
            }
            if archive.len() > LARGEST {
                return Ok(Fetched::TooLarge);
            }
        }
        Ok(Fetched::Archive(archive.freeze()))
    }

    /// Puts a container's files back as they were.
    pub(super) async fn put_back(&self, id: &str) -> Result<(), EngineError> {
        let Some(backup) = self.backups.get(id) else {
            return Err(refused("the files that it came up with were too large to be kept"));
        };
        let absent: Vec<String> = backup.absent.iter().cloned().collect();
        let joined = blocking("unpacking", move || join(&backup.archives))
            .await?
            .map_err(|error| refused(&format!("the files that were kept cannot be read: {error}")))?;
        self.engine.upload(id, "/", joined).await?;
        self.delete(id, &absent).await?;
        self.backups.put(id, None);
        Ok(())
    }

    async fn run_in(&self, container: &str, hook: &Hook) -> Result<(), EngineError> {
        self.exec(SYNC, container, hook).await?.checked(hook)
    }
}

async fn pack(files: SyncFiles) -> Result<SyncTar, EngineError> {
    blocking("packing", move || sync_tar(&files)).await?.map_err(|error| refused(&error.to_string()))
}

/// Work on files that waits for the disk; `doing` says what, for the case that it panics.
pub(super) async fn blocking<T: Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EngineError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| refused(&format!("internal error while {doing} files; please report it")))
}

/// What was at a path of a container.
pub(super) enum Fetched {
    Archive(Bytes),
    Nothing,
    TooLarge,
}

/// The folder of an absolute path inside a container.
pub(super) fn parent(path: &str) -> String {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some((folder, _)) if !folder.is_empty() => folder.to_owned(),
        _ => "/".to_owned(),
    }
}

/// A tar for `/` with an empty file at each path.
fn empty_files(paths: &[String]) -> io::Result<Bytes> {
    let mut archive = Builder::new(Vec::new());
    for path in paths {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(0);
        archive.append_data(&mut header, path.trim_start_matches('/'), io::empty())?;
    }
    archive.into_inner().map(Bytes::from)
}

/// One tar for `/` out of many for their folders.
fn join(archives: &BTreeMap<String, (String, Bytes)>) -> io::Result<Bytes> {
    let mut joined = Builder::new(Vec::new());
    for (folder, archive) in archives.values() {
        for entry in Archive::new(Cursor::new(archive)).entries()? {
            let mut entry = entry?;
            let mut header = entry.header().clone();
            let path = Path::new(folder.trim_start_matches('/')).join(entry.path()?);
            match entry.link_name()? {
                Some(target) => joined.append_link(&mut header, &path, &target)?,
                None => joined.append_data(&mut header, &path, &mut entry)?,
            }
        }
    }
    joined.into_inner().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::{join, parent};

    #[test]
    fn the_folder_of_a_path_is_what_it_is_unpacked_into() {
        for (path, expected) in [("/app/src/a.js", "/app/src"), ("/a", "/"), ("/app/src/", "/app")] {
            assert_eq!(parent(path), expected);
        }
    }

    #[test]
    fn archives_of_several_folders_become_one() {
        let archive = |name: &str, text: &str| {
            let mut builder = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o755);
            builder.append_data(&mut header, name, text.as_bytes()).expect("it fits");
            bytes::Bytes::from(builder.into_inner().expect("it is in memory"))
        };
        let archives = [
            ("/app/a.js".to_owned(), ("/app".to_owned(), archive("a.js", "one"))),
            ("/b".to_owned(), ("/".to_owned(), archive("b", "two"))),
        ];
        let joined = join(&archives.into()).expect("both are whole");
        let mut archive = tar::Archive::new(&joined[..]);
        let entries = archive.entries().expect("a tar").map(|entry| {
            let entry = entry.expect("an entry");
            (entry.path().expect("a path").display().to_string(), entry.header().mode().expect("a mode"))
        });
        assert_eq!(entries.collect::<Vec<_>>(), [("app/a.js".to_owned(), 0o755), ("b".to_owned(), 0o755)]);
    }
}
