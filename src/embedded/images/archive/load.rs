//! Images in, from one tar. Nothing of it is trusted: its files get names of our own, its paths lead nowhere but to each
//! other, and what is read into memory is small.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::super::super::compression::plain;
use super::super::super::error::Error;
use super::super::super::{ByteStream, id};
use super::super::catalogue::short;
use super::super::lease::Lease;
use super::super::platform;
use super::super::reading::Blocking;
use super::super::reference::Reference;
use super::super::store::{LARGEST_DOCUMENT, Staged};
use super::super::{Document, Image, Images, Layer, MACHINE, News, tell};
use super::{IMAGE_NAME, INDEX, Listed, MANIFEST, Manifest, Platform, REF_NAME};

/// Entries of an archive, at most.
const MOST_ENTRIES: usize = 100_000;
/// How far links of an archive lead on to each other, and indexes to indexes.
const DEEPEST: usize = 8;
/// Images of an archive, at most; and layers of an image.
const MOST_IMAGES: usize = 1000;
const MOST_LAYERS: usize = 1000;

/// The archive, unpacked into a staged folder.
#[derive(Debug)]
struct Archive {
    folder: Staged,
    entries: BTreeMap<String, Entry>,
}

/// What is at a path of the archive.
#[derive(Debug, Clone)]
enum Entry {
    /// A file: where it is now, its digest, its bytes.
    File { number: usize, digest: String, length: u64 },
    /// The same as another path.
    Link(String),
}

/// An image that is to be taken in.
struct Candidate {
    configuration: Vec<u8>,
    names: Vec<Reference>,
    /// Paths of its layers' files.
    layers: Vec<String>,
}

impl Images {
    /// See [`Images::load`].
    pub(in super::super) async fn load_all(
        &self,
        tar: ByteStream,
        news: &tokio::sync::mpsc::Sender<News>,
    ) -> Result<Vec<Image>, Error> {
        let stop = CancellationToken::new();
        let _guard = stop.clone().drop_guard();
        let folder = self.store.stage();
        let reader = Blocking::new(tar, stop);
        let archive = self.store.blocking(move |_| Archive::unpack(folder, reader)).await?;
        let (archive, candidates) = self
            .store
            .blocking(move |_| {
                let candidates = archive.candidates()?;
                Ok((archive, candidates))
            })
            .await?;
        let archive = std::sync::Arc::new(archive);
        let mut images = Vec::new();
        for candidate in candidates {
            let named = candidate.names.iter().map(Reference::familiar).collect::<Vec<_>>();
            let image = self.take(&archive, candidate, news).await?;
            self.tell("load", &image.id, &image.id, &image.document);
            let lines = match named.len() {
                0 => vec![format!("Loaded image ID: {}\n", image.id)],
                _ => named.iter().map(|name| format!("Loaded image: {name}\n")).collect(),
            };
            for line in lines {
                tell(news, News { stream: Some(line), ..News::default() }).await;
            }
            images.push(image);
        }
        Ok(images)
    }

    /// Takes one image in.
    async fn take(
        &self,
        archive: &std::sync::Arc<Archive>,
        candidate: Candidate,
        news: &tokio::sync::mpsc::Sender<News>,
    ) -> Result<Image, Error> {
        let document = Document::parse(&candidate.configuration)
            .map_err(|error| Error::Invalid(format!("the archive has a configuration that cannot be read: {error}")))?;
        let diff_ids = &document.rootfs.diff_ids;
        if diff_ids.len() != candidate.layers.len() || diff_ids.len() > MOST_LAYERS {
            return Err(Error::Invalid(format!(
                "the archive has an image of {} layers with {} files for them",
                diff_ids.len(),
                candidate.layers.len()
            )));
        }
        let mut held = Vec::new();
        let mut blobs = Vec::new();
        let made = async {
            for (diff_id, path) in diff_ids.iter().zip(&candidate.layers) {
                let status = |status: &str| News {
                    id: Some(short(diff_id).to_owned()),
                    status: status.to_owned(),
                    ..News::default()
                };
                tell(news, status("Loading layer")).await;
                let layer = self.take_layer(archive, diff_id, path, &mut blobs).await?;
                held.push(layer);
            }
            self.register(candidate.configuration.clone(), candidate.names.clone(), Vec::new()).await
        }
        .await;
        // Those of layers that were not to be, or were here already.
        let digests: Vec<String> = blobs.into_iter().map(|(digest, _)| digest).collect();
        self.store.discard(digests).await?;
        made
    }

    async fn take_layer(
        &self,
        archive: &std::sync::Arc<Archive>,
        diff_id: &str,
        path: &str,
        blobs: &mut Vec<(String, Lease)>,
    ) -> Result<Layer, Error> {
        if !super::super::reference::is_digest(diff_id) {
            return Err(Error::Invalid(format!("`{diff_id}` is no digest of a layer")));
        }
        if let Some(layer) = self.store.layer(diff_id) {
            return Ok(layer);
        }
        let (number, digest, _) = archive.file(path)?;
        let (archive, known) = (archive.clone(), digest.clone());
        let lease = self.store.blocking(move |store| store.keep_path(&archive.path(number), &known)).await?;
        blobs.push((digest.clone(), lease));
        self.store.unpack(&digest, Some(diff_id)).await
    }
}

impl Archive {
    /// Writes all files of a tar, plain or compressed, below `folder` under names of our own. Blocking.
    fn unpack(folder: Staged, tar: Blocking) -> Result<Self, Error> {
        let bad = |error: io::Error| Error::Invalid(format!("the archive cannot be read: {error}"));
        std::fs::create_dir(&folder.path).map_err(Error::io("make a folder for an archive"))?;
        let mut archive = Self { folder, entries: BTreeMap::new() };
        let mut tar = tar::Archive::new(plain(tar).map_err(bad)?);
        for entry in tar.entries().map_err(bad)? {
            let mut entry = entry.map_err(bad)?;
            let path = inside(&entry.path().map_err(bad)?, Path::new(""))?;
            if archive.entries.len() >= MOST_ENTRIES {
                return Err(Error::Invalid(format!("the archive has more than {MOST_ENTRIES} entries")));
            }
            let made = match entry.header().entry_type() {
                tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                    archive.write(&mut entry)?
                }
                kind @ (tar::EntryType::Symlink | tar::EntryType::Link) => {
                    let target = entry.link_name().map_err(bad)?.unwrap_or_default().into_owned();
                    let from = if kind.is_symlink() { Path::new(&path).parent() } else { None };
                    Entry::Link(inside(&target, from.unwrap_or(Path::new("")))?)
                }
                _ => continue,
            };
            archive.entries.insert(path, made);
        }
        Ok(archive)
    }

    fn write(&self, entry: &mut impl io::Read) -> Result<Entry, Error> {
        let number = self.entries.len();
        let what = || Error::io("unpack the archive");
        let mut file = File::create(self.path(number)).map_err(what())?;
        let (mut digest, mut length, mut piece) = (Sha256::new(), 0, vec![0; 128 << 10]);
        loop {
            let read = entry.read(&mut piece).map_err(what())?;
            if read == 0 {
                break;
            }
            digest.update(&piece[..read]);
            file.write_all(&piece[..read]).map_err(what())?;
            length += read as u64;
        }
        Ok(Entry::File { number, digest: format!("sha256:{}", id::hexadecimal(&digest.finalize())), length })
    }

    fn path(&self, number: usize) -> PathBuf {
        self.folder.path.join(number.to_string())
    }

    /// A file of the archive, through its links.
    fn file(&self, path: &str) -> Result<(usize, String, u64), Error> {
        let mut at = inside(Path::new(path), Path::new(""))?;
        for _ in 0..DEEPEST {
            match self.entries.get(&at) {
                Some(Entry::File { number, digest, length }) => return Ok((*number, digest.clone(), *length)),
                Some(Entry::Link(target)) => at.clone_from(target),
                None => break,
            }
        }
        Err(Error::Invalid(format!("the archive has no file `{path}`")))
    }

    /// A small file's bytes.
    fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let (number, _, length) = self.file(path)?;
        if length > LARGEST_DOCUMENT {
            return Err(Error::Invalid(format!("`{path}` of the archive is larger than {LARGEST_DOCUMENT} bytes")));
        }
        let mut bytes = Vec::new();
        let read = File::open(self.path(number)).and_then(|file| file.take(LARGEST_DOCUMENT).read_to_end(&mut bytes));
        read.map_err(Error::io(format!("read `{path}` of the archive")))?;
        Ok(bytes)
    }

    /// What images it holds: by Docker's list, else by that of the OCI layout. Blocking.
    fn candidates(&self) -> Result<Vec<Candidate>, Error> {
        let mut found = Vec::new();
        if self.entries.contains_key(MANIFEST) {
            let listed: Vec<Listed> = self.json(MANIFEST)?;
            for one in listed.into_iter().take(MOST_IMAGES) {
                let names = one.tags.iter().map(|name| name_of(name)).collect::<Result<_, _>>()?;
                found.push(Candidate { configuration: self.read(&one.config)?, names, layers: one.layers });
            }
        } else if self.entries.contains_key(INDEX) {
            let index: Manifest = self.json(INDEX)?;
            for entry in index.manifests.into_iter().take(MOST_IMAGES) {
                let whole = entry.annotations.get(IMAGE_NAME);
                // The tag alone names nothing.
                let name = whole.or(entry.annotations.get(REF_NAME).filter(|name| name.contains([':', '/'])));
                let names = name.map(|name| name_of(name)).transpose()?.into_iter().collect();
                self.add_manifest(&entry.digest, names, 0, &mut found)?;
            }
        } else {
            return Err(Error::Invalid(format!(
                "the archive holds no image: it has neither `{MANIFEST}` nor `{INDEX}`"
            )));
        }
        merged(found)
    }

    /// An image of the OCI layout; of an index that for this machine.
    fn add_manifest(
        &self,
        digest: &str,
        names: Vec<Reference>,
        depth: usize,
        found: &mut Vec<Candidate>,
    ) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(Error::Invalid("the archive has indexes of indexes without end".into()));
        }
        let manifest: Manifest = self.json(&blob(digest)?)?;
        let Some(configuration) = manifest.config else {
            let chosen = platform::choose(&manifest.manifests, &Platform::here(), "the archive")?;
            return self.add_manifest(&chosen.digest, names, depth + 1, found);
        };
        let layers = manifest.layers.iter().map(|layer| blob(&layer.digest)).collect::<Result<_, _>>()?;
        found.push(Candidate { configuration: self.read(&blob(&configuration.digest)?)?, names, layers });
        Ok(())
    }

    fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        serde_json::from_slice(&self.read(path)?)
            .map_err(|error| Error::Invalid(format!("`{path}` of the archive cannot be read: {error}")))
    }
}

/// An image that is listed once for each name is one.
fn merged(found: Vec<Candidate>) -> Result<Vec<Candidate>, Error> {
    let mut merged: Vec<Candidate> = Vec::new();
    for one in found {
        match merged.iter_mut().find(|other| other.configuration == one.configuration) {
            Some(other) => other.names.extend(one.names),
            None => merged.push(one),
        }
    }
    if merged.is_empty() { Err(Error::Invalid("the archive holds no image".into())) } else { Ok(merged) }
}

/// The path of a blob in an OCI layout.
fn blob(digest: &str) -> Result<String, Error> {
    if super::super::reference::is_digest(digest) {
        Ok(super::save::path(digest))
    } else {
        Err(Error::Invalid(format!("the archive names `{digest}`, which is no sha256 digest")))
    }
}

/// A name that the archive gives an image.
fn name_of(text: &str) -> Result<Reference, Error> {
    let name = Reference::parse(text)?.or_latest();
    if name.familiar() == MACHINE {
        return Err(Error::Forbidden(format!("{MACHINE} is this machine itself; no other image can be called so")));
    }
    Ok(name)
}

/// A path of the archive, from `folder` of it, written plainly. One that leads out of the archive is an error.
fn inside(path: &Path, folder: &Path) -> Result<String, Error> {
    let mut parts: Vec<&str> = folder.iter().filter_map(|part| part.to_str()).collect();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str().ok_or_else(|| leads_out(path))?),
            Component::CurDir => {}
            Component::ParentDir if !folder.as_os_str().is_empty() && !parts.is_empty() => {
                parts.pop();
            }
            _ => return Err(leads_out(path)),
        }
    }
    Ok(parts.join("/"))
}

fn leads_out(path: &Path) -> Error {
    Error::Invalid(format!("the archive has the path `{}`, which is not inside it", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_inside_the_archive() {
        let plainly = |path: &str, folder: &str| inside(Path::new(path), Path::new(folder)).ok();
        assert_eq!(plainly("./a/b", "").as_deref(), Some("a/b"));
        assert_eq!(plainly("../b/layer.tar", "a").as_deref(), Some("b/layer.tar"));
        assert_eq!(plainly("../../b", "a"), None);
        assert_eq!(plainly("a/../../b", ""), None);
        assert_eq!(plainly("/etc/passwd", ""), None);
    }
}
