//! What of images is on disk: blobs by digest, layers by the digest of their plain tar, names. All of it appears whole or
//! not at all; what is half done lies in `staging`.
//!
//! Changes are made by one blocking job at a time, under [`Store::writing`], first on disk and then in memory: a request
//! that is given up in between leaves both the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::super::compression::Compression;
use super::super::error::Error;
use super::super::events::Events;
use super::super::layout::Layout;
use super::super::{id, root};
use super::catalogue::Catalogue;
use super::lease::{Lease, Leases};
use super::{Document, Layer};

/// Layers that are unpacked at the same time, over all requests.
const UNPACKING: usize = 3;
/// How often a staged folder is tried to be removed, and the pause between.
const REMOVALS: u32 = 50;
const REMOVAL_PAUSE: Duration = Duration::from_millis(20);
/// Bytes of an image's configuration or manifest, at most.
pub(crate) const LARGEST_DOCUMENT: u64 = 8 << 20;

/// The folders and what is known of them; shared by all clones of `Images`.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) layout: Layout,
    pub(crate) events: Events,
    /// Who takes it may change what is on disk. Held in blocking jobs only.
    writing: Mutex<()>,
    state: Mutex<State>,
    pub(crate) leases: Leases,
    /// One lock a digest, so that the same thing is fetched or unpacked once.
    busy: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    pub(crate) unpacking: Semaphore,
}

/// What is on disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) catalogue: Catalogue,
    /// Configurations by image.
    pub(crate) documents: BTreeMap<String, Arc<Document>>,
    /// Unpacked layers by the digest of their plain tar.
    pub(crate) layers: BTreeMap<String, Record>,
}

/// What is known of an unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Bytes of its files.
    pub(crate) size: u64,
    /// Bytes of its plain tar, for one that was built here.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) length: u64,
    /// The blob that it came from; `None` when it was built here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blob: Option<String>,
    /// A compressed blob that was made of it to be pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) packed: Option<String>,
}

impl State {
    /// Blobs that images and unpacked layers refer to.
    fn needed_blobs(&self) -> BTreeSet<String> {
        let of_images = self.catalogue.images.iter().flat_map(|(id, entry)| entry.manifests.iter().chain([id]));
        let of_layers = self.layers.values().flat_map(|record| record.blob.iter().chain(&record.packed));
        of_images.chain(of_layers).cloned().collect()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(length: &u64) -> bool {
    *length == 0
}

impl Store {
    /// Reads what is there, and removes what a crash has left half-done. Blocking.
    pub(crate) fn open(layout: &Layout, events: Events) -> Result<Self, Error> {
        let store = Self {
            layout: layout.clone(),
            events,
            writing: Mutex::default(),
            state: Mutex::default(),
            leases: Leases::default(),
            busy: Mutex::default(),
            unpacking: Semaphore::new(UNPACKING),
        };
        let staging = store.staging();
        if let Err(error) = remove_folder(&staging)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(Error::io(format!("remove `{}`", staging.display()))(error));
        }
        for folder in [staging, store.root().join("blobs/sha256"), store.root().join("layers/sha256")] {
            fs::create_dir_all(&folder).map_err(Error::io(format!("make the folder `{}`", folder.display())))?;
        }
        let mut state = State { catalogue: store.read_names()?, ..State::default() };
        store.read_layers(&mut state)?;
        store.read_documents(&mut state);
        *store.state() = state;
        Ok(store)
    }

    fn read_names(&self) -> Result<Catalogue, Error> {
        let path = self.names();
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                let path = path.display();
                Error::Failed(format!("cannot read `{path}`: {error}; remove it to forget all names of images"))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Catalogue::default()),
            Err(error) => Err(Error::io(format!("read `{}`", path.display()))(error)),
        }
    }

    fn read_layers(&self, state: &mut State) -> Result<(), Error> {
        let folder = self.root().join("layers/sha256");
        let entries = fs::read_dir(&folder).map_err(Error::io(format!("read `{}`", folder.display())))?;
        for entry in entries.flatten() {
            let record = fs::read(entry.path().join("record.json")).ok();
            let record = record.and_then(|text| serde_json::from_slice::<Record>(&text).ok());
            if let (Some(record), Some(name)) = (record, entry.file_name().to_str()) {
                state.layers.insert(format!("sha256:{name}"), record);
            } else {
                tracing::warn!("`{}` is not a layer; it is left alone", entry.path().display());
            }
        }
        Ok(())
    }

    /// An image whose configuration or layers are gone (somebody has removed files) is forgotten rather than shown broken.
    fn read_documents(&self, state: &mut State) {
        for image in state.catalogue.images.keys().cloned().collect::<Vec<_>>() {
            let document = fs::read(self.blob(&image)).ok();
            let document = document.and_then(|text| Document::parse(&text).ok());
            let whole = |document: &Document| document.rootfs.diff_ids.iter().all(|id| state.layers.contains_key(id));
            if let Some(document) = document.filter(whole) {
                state.documents.insert(image, Arc::new(document));
            } else {
                tracing::warn!("image {image} has lost files; it is forgotten");
                state.catalogue.forget(&image);
            }
        }
    }

    /// What is known now. For looking only, and never over an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn root(&self) -> PathBuf {
        self.layout.images()
    }

    fn names(&self) -> PathBuf {
        self.root().join("names.json")
    }

    fn staging(&self) -> PathBuf {
        self.root().join("staging")
    }

    /// The file of a blob, by `sha256:…`, which the caller has checked to be one.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        self.root().join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap_or(digest))
    }

    /// Where a layer and its record are.
    fn layer_folder(&self, diff_id: &str) -> PathBuf {
        self.root().join("layers/sha256").join(diff_id.strip_prefix("sha256:").unwrap_or(diff_id))
    }

    /// A path in `staging` that nothing else has. What is there is removed when the value goes.
    pub(crate) fn stage(&self) -> Staged {
        Staged { path: self.staging().join(&id::random()[..24]) }
    }

    /// A staged file, empty. Made in a job that is never given up half-way, so that it is removed in any case.
    pub(crate) async fn stage_file(self: &Arc<Self>) -> Result<(Staged, tokio::fs::File), Error> {
        self.blocking(|store| {
            let staged = store.stage();
            let file = File::create(&staged.path).map_err(Error::io(format!("make `{}`", staged.path.display())))?;
            Ok((staged, file.into()))
        })
        .await
    }

    /// A staged folder, likewise.
    pub(crate) async fn stage_folder(self: &Arc<Self>) -> Result<Staged, Error> {
        self.blocking(|store| {
            let staged = store.stage();
            fs::create_dir(&staged.path).map_err(Error::io(format!("make `{}`", staged.path.display())))?;
            Ok(staged)
        })
        .await
    }

    /// Waits until nobody else in this engine fetches or unpacks the thing of this digest.
    pub(crate) async fn alone_with(&self, digest: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.retain(|_, lock| lock.strong_count() > 0);
            let known = busy.get(digest).and_then(Weak::upgrade);
            let lock = known.unwrap_or_default();
            busy.insert(digest.to_owned(), Arc::downgrade(&lock));
            lock
        };
        // Held over awaits on purpose: who waits here wants exactly what the holder is making.
        lock.lock_owned().await
    }

    /// A layer that is here. It stays while the value lives.
    pub(crate) fn layer(&self, diff_id: &str) -> Option<Layer> {
        // The lease first: from then on nobody removes it.
        let lease = self.leases.take(diff_id);
        let size = self.state().layers.get(diff_id)?.size;
        Some(Layer { diff_id: diff_id.to_owned(), folder: self.layer_folder(diff_id).join("diff"), size, lease })
    }

    /// Does blocking work.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.map_err(|error| Error::Failed(format!("the engine failed at its images: {error}")))?
    }

    /// Changes names and images: all of `change` or nothing of it.
    pub(crate) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut State) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.blocking(move |store| {
            let _writing = store.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut next = store.state().clone();
            let result = change(&mut next)?;
            let text = serde_json::to_vec_pretty(&next.catalogue)
                .map_err(|error| Error::Failed(format!("cannot write down the names of images: {error}")))?;
            store.write(&store.names(), &text)?;
            *store.state() = next;
            Ok(result)
        })
        .await
    }

    /// Writes a file whole or not at all. Blocking.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let staged = self.stage();
        let written = File::create(&staged.path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&staged.path, path)).map_err(Error::io(format!("write `{}`", path.display())))
    }

    /// Keeps a small blob (a configuration, a manifest); its digest. Blocking.
    pub(crate) fn keep(&self, bytes: &[u8]) -> Result<(String, Lease), Error> {
        let digest = id::digest(bytes);
        let lease = self.leases.take(&digest);
        let path = self.blob(&digest);
        if !path.exists() {
            self.write(&path, bytes)?;
        }
        Ok((digest, lease))
    }

    /// Makes a file, whose digest has been checked, a blob. It is moved from where it is, below `staging`. Blocking.
    pub(crate) fn keep_path(&self, path: &Path, digest: &str) -> Result<Lease, Error> {
        let lease = self.leases.take(digest);
        if self.blob(digest).exists() {
            return Ok(lease);
        }
        // Not synced, as its layer is not: what the machine loses in a crash shows when its plain tar is checked.
        fs::rename(path, self.blob(digest)).map_err(Error::io(format!("keep the blob {digest}")))?;
        Ok(lease)
    }

    /// Removes blobs that came for an image that is not to be, unless somebody else needs them.
    pub(crate) async fn discard(self: &Arc<Self>, digests: Vec<String>) -> Result<(), Error> {
        self.blocking(move |store| {
            let _writing = store.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let needed = store.state().needed_blobs();
            for digest in digests.iter().filter(|digest| !needed.contains(*digest)) {
                // One that cannot be removed is removed by the next prune.
                store.leases.if_free(digest, || fs::remove_file(store.blob(digest)).ok());
            }
            Ok(())
        })
        .await
    }

    /// A small blob's bytes. Blocking.
    pub(crate) fn read(&self, digest: &str) -> Result<Vec<u8>, Error> {
        let path = self.blob(digest);
        fs::read(&path).map_err(Error::io(format!("read `{}`", path.display())))
    }

    /// Makes the unpacked folder `diff` a layer, unless it is here already, in which case the folder is left where it is.
    /// Blocking.
    pub(crate) fn keep_layer(&self, diff: &Path, diff_id: &str, record: Record) -> Result<Layer, Error> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layer) = self.layer(diff_id) {
            return Ok(layer);
        }
        let what = || Error::io(format!("keep the layer {diff_id}"));
        let staged = self.stage();
        fs::create_dir(&staged.path).map_err(what())?;
        let text = serde_json::to_vec(&record).unwrap_or_default();
        self.write(&staged.path.join("record.json"), &text)?;
        fs::rename(diff, staged.path.join("diff")).map_err(what())?;
        let folder = self.layer_folder(diff_id);
        fs::rename(&staged.path, &folder).map_err(what())?;
        self.state().layers.insert(diff_id.to_owned(), record);
        self.layer(diff_id).ok_or_else(|| Error::Failed(format!("the layer {diff_id} went as it came")))
    }

    /// Makes a staged file the compressed blob of a layer. Blocking.
    pub(crate) fn keep_packed(&self, path: &Path, diff_id: &str) -> Result<(String, u64, Compression), Error> {
        let what = || Error::io(format!("keep the layer {diff_id}, compressed"));
        let mut file = File::open(path).map_err(what())?;
        let mut digest = HashingWriter(Sha256::new());
        let length = io::copy(&mut file, &mut digest).map_err(what())?;
        let digest = format!("sha256:{}", id::hexadecimal(&digest.0.finalize()));
        let _lease = self.keep_path(path, &digest)?;
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let record = self.state().layers.get(diff_id).cloned();
        if let Some(record) = record {
            let record = Record { packed: Some(digest.clone()), ..record };
            let text = serde_json::to_vec(&record).unwrap_or_default();
            self.write(&self.layer_folder(diff_id).join("record.json"), &text)?;
            self.state().layers.insert(diff_id.to_owned(), record);
        }
        Ok((digest, length, Compression::Gzip))
    }

    /// Takes layers and blobs away that no image needs and nobody holds. Returns the folders to remove, which nobody sees any
    /// more, and the bytes that goes with them. Blocking.
    pub(crate) fn sweep(&self) -> Result<(Vec<Staged>, u64), Error> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (needed, layers) = {
            let state = self.state();
            let needed = state.documents.values().flat_map(|document| document.rootfs.diff_ids.iter().cloned());
            (needed.collect::<BTreeSet<_>>(), state.layers.clone())
        };
        let (mut gone, mut bytes) = (Vec::new(), 0);
        for (diff_id, record) in layers {
            let free = !needed.contains(&diff_id)
                && self.leases.if_free(&diff_id, || self.state().layers.remove(&diff_id)).is_some();
            if !free {
                continue;
            }
            let staged = self.stage();
            fs::rename(self.layer_folder(&diff_id), &staged.path)
                .map_err(Error::io(format!("remove the layer {diff_id}")))?;
            gone.push(staged);
            bytes += record.size;
        }
        let needed = self.state().needed_blobs();
        let folder = self.root().join("blobs/sha256");
        for entry in fs::read_dir(&folder).map_err(Error::io(format!("read `{}`", folder.display())))?.flatten() {
            let digest = format!("sha256:{}", entry.file_name().to_string_lossy());
            if !needed.contains(&digest) {
                let length = entry.metadata().map_or(0, |metadata| metadata.len());
                let removed = self.leases.if_free(&digest, || fs::remove_file(entry.path()).ok());
                bytes += removed.map_or(0, |()| length);
            }
        }
        Ok((gone, bytes))
    }
}

/// A path in `staging`; what is there is removed with the value.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) path: PathBuf,
}

impl Staged {
    /// Removes a folder that may be large, and waits for it.
    pub(crate) async fn remove(self) -> Result<(), Error> {
        root::remove(&self.path).await
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What has been moved to its place, or removed, is not here any more.
        let Ok(metadata) = fs::symlink_metadata(&self.path) else { return };
        let path = self.path.clone();
        let remove = move || {
            let removed = if metadata.is_dir() { remove_folder(&path) } else { fs::remove_file(&path) };
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!("cannot remove `{}`: {error}; it goes at the next start", path.display());
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Removes a folder into which a helper that has just been told to end, or has lost the engine that it worked for, may write
/// for another moment. Blocking.
fn remove_folder(folder: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries < REMOVALS => {
                tries += 1;
                std::thread::sleep(REMOVAL_PAUSE);
            }
            done => return done,
        }
    }
}

/// Writes into a digest.
struct HashingWriter(Sha256);

impl io::Write for HashingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
