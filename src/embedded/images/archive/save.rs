//! Images out, as one tar.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio_util::io::ReaderStream;

use super::super::super::compression::Compression;
use super::super::super::error::Error;
use super::super::super::{ByteStream, id};
use super::super::reference::Reference;
use super::super::store::Store;
use super::super::{Image, Images, Layer, MACHINE};
use super::{
    CONFIG_TYPE, Descriptor, IMAGE_NAME, INDEX, INDEX_TYPE, LAYOUT, Listed, MANIFEST, MANIFEST_TYPE, Manifest,
    Platform, REF_NAME, REPOSITORIES,
};

/// Bytes of a block of a tar.
const BLOCK: u64 = 512;

/// A file of the archive.
struct Part {
    path: String,
    length: u64,
    content: Content,
}

/// Where its bytes are.
enum Content {
    /// Here.
    Bytes(Vec<u8>),
    /// In a blob.
    Blob(String),
    /// In the files of a layer that has no blob.
    Layer(Layer),
}

impl Images {
    /// See [`Images::save`].
    pub(in super::super) async fn save_all(&self, references: &[String]) -> Result<ByteStream, Error> {
        let mut images: BTreeMap<String, (Image, BTreeSet<String>)> = BTreeMap::new();
        for reference in references {
            for (image, tags) in self.meant_by(reference)? {
                images.entry(image.id.clone()).or_insert_with(|| (image, BTreeSet::new())).1.extend(tags);
            }
        }
        let store = self.store.clone();
        let chosen: Vec<_> = images.into_values().collect();
        for (image, _) in &chosen {
            self.tell("save", &image.id, &image.id, &image.document);
        }
        let (parts, images) = self.store.blocking(move |store| Ok((parts(store, &chosen)?, chosen))).await?;
        let files = futures_util::stream::iter(parts).then(move |part| {
            let store = store.clone();
            async move { part.open(&store).await }
        });
        let end = futures_util::stream::once(async move {
            // Nothing of them is removed before the last byte has gone.
            drop(images);
            Ok(Bytes::from_static(&[0; 1024]))
        });
        Ok(files.try_flatten().chain(end).boxed())
    }

    /// The images that a text means, each with the names under which it is to be saved: a repository without a tag means all
    /// its tags, an id no name.
    fn meant_by(&self, reference: &str) -> Result<Vec<(Image, Vec<String>)>, Error> {
        let bare = Reference::parse(reference).ok().filter(|name| name.tag.is_none() && name.digest.is_none());
        let tags = bare.map(|name| self.tags_in(&name)).unwrap_or_default();
        if !tags.is_empty() {
            return Ok(tags.into_iter().filter_map(|(tag, id)| Some((self.image(&id)?, vec![tag]))).collect());
        }
        let (image, name) = self.lookup(reference)?;
        if image.machine {
            return Err(Error::Forbidden(format!("{MACHINE} is this machine itself and cannot be saved")));
        }
        let tagged = name.filter(|name| name.digest.is_none());
        Ok(vec![(image, tagged.map(|name| name.to_string()).into_iter().collect())])
    }

    /// All tags of a repository, with their images.
    fn tags_in(&self, name: &Reference) -> Vec<(String, String)> {
        let start = format!("{}:", name.name());
        let state = self.store.state();
        let those = state.catalogue.tags.range(start.clone()..).take_while(|(tag, _)| tag.starts_with(&start));
        those.map(|(tag, id)| (tag.clone(), id.clone())).collect()
    }
}

/// All files of the archive, each once, those that list the others last. Blocking.
fn parts(store: &Store, images: &[(Image, BTreeSet<String>)]) -> Result<Vec<Part>, Error> {
    let mut files: BTreeMap<String, (u64, Content)> = BTreeMap::new();
    let (mut listed, mut index, mut repositories) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (image, tags) in images {
        let configuration = store.read(&image.id)?;
        let mut manifest = Manifest { schema: 2, media_type: MANIFEST_TYPE.to_owned(), ..Manifest::default() };
        manifest.config = Some(descriptor(CONFIG_TYPE, &image.id, configuration.len() as u64));
        files.insert(image.id.clone(), (configuration.len() as u64, Content::Bytes(configuration)));
        for layer in &image.layers {
            let (digest, length, compression, content) =
                if let Some((digest, length, compression)) = store.blob_of(layer)? {
                    (digest.clone(), length, compression, Content::Blob(digest))
                } else {
                    let record = store.state().layers.get(&layer.diff_id).cloned();
                    let length = record.map_or(0, |record| record.length);
                    (layer.diff_id.clone(), length, Compression::Plain, Content::Layer(layer.clone()))
                };
            manifest.layers.push(descriptor(compression.media_type(), &digest, length));
            files.insert(digest, (length, content));
        }
        let bytes = json(&manifest)?;
        let digest = id::digest(&bytes);
        index.extend(index_entries(image, tags, &digest, bytes.len() as u64));
        files.insert(digest, (bytes.len() as u64, Content::Bytes(bytes)));
        let names: Vec<Reference> = tags.iter().filter_map(|tag| Reference::parse(tag).ok()).collect();
        for name in &names {
            let of_it: &mut BTreeMap<String, String> = repositories.entry(name.familiar_repository()).or_default();
            let top = image.layers.last().map_or(&image.id, |layer| &layer.diff_id);
            of_it.insert(name.tag.clone().unwrap_or_default(), top.trim_start_matches("sha256:").to_owned());
        }
        listed.push(Listed {
            config: path(&image.id),
            tags: names.iter().map(Reference::familiar).collect(),
            layers: manifest.layers.iter().map(|layer| path(&layer.digest)).collect(),
        });
    }
    let index = Manifest { schema: 2, media_type: INDEX_TYPE.to_owned(), manifests: index, ..Manifest::default() };
    let mut parts: Vec<Part> =
        files.into_iter().map(|(digest, (length, content))| Part { path: path(&digest), length, content }).collect();
    let lists = [
        (INDEX, json(&index)?),
        (MANIFEST, json(&listed)?),
        (LAYOUT, br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        (REPOSITORIES, json(&repositories)?),
    ];
    parts.extend(lists.map(|(path, bytes)| Part {
        path: path.to_owned(),
        length: bytes.len() as u64,
        content: Content::Bytes(bytes),
    }));
    Ok(parts)
}

/// An image in the OCI list, once for each of its names.
fn index_entries(image: &Image, tags: &BTreeSet<String>, digest: &str, length: u64) -> Vec<Descriptor> {
    let platform = Platform {
        architecture: image.document.architecture.clone(),
        os: image.document.os.clone(),
        variant: image.document.variant.clone(),
    };
    let plain = Descriptor { platform: Some(platform), ..descriptor(MANIFEST_TYPE, digest, length) };
    let named = tags.iter().map(|name| {
        let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        let annotations = [(IMAGE_NAME.to_owned(), name.clone()), (REF_NAME.to_owned(), tag.to_owned())];
        Descriptor { annotations: annotations.into(), ..plain.clone() }
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() { vec![plain] } else { named }
}

impl Part {
    /// Its header, bytes and padding.
    async fn open(self, store: &Arc<Store>) -> io::Result<ByteStream> {
        let mut header = tar::Header::new_ustar();
        header.set_path(&self.path)?;
        header.set_size(self.length);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        let header = Bytes::copy_from_slice(header.as_bytes());
        let content: ByteStream = match self.content {
            Content::Bytes(bytes) => futures_util::stream::iter([Ok(bytes.into())]).boxed(),
            Content::Blob(digest) => ReaderStream::new(tokio::fs::File::open(store.blob(&digest)).await?).boxed(),
            Content::Layer(layer) => store.plain_tar(&layer).await.map_err(io::Error::other)?,
        };
        let padding = usize::try_from((BLOCK - self.length % BLOCK) % BLOCK).unwrap_or_default();
        let around = |bytes: Bytes| futures_util::stream::iter([Ok(bytes)]);
        let content = exactly(content, self.length, self.path);
        Ok(around(header).chain(content).chain(around(vec![0; padding].into())).boxed())
    }
}

/// A stream that has the length which the header says, or fails: another would shift all that follows.
fn exactly(content: ByteStream, length: u64, path: String) -> ByteStream {
    let wrong =
        move |path: &str| io::Error::new(io::ErrorKind::InvalidData, format!("`{path}` has changed its length"));
    futures_util::stream::unfold((content, Some(length), path), move |(mut content, left, path)| async move {
        let left = left?;
        match content.next().await {
            Some(Ok(piece)) if piece.len() as u64 <= left => {
                let left = left - piece.len() as u64;
                Some((Ok(piece), (content, Some(left), path)))
            }
            Some(Err(error)) => Some((Err(error), (content, None, path))),
            None if left == 0 => None,
            _ => Some((Err(wrong(&path)), (content, None, path))),
        }
    })
    .boxed()
}

pub(super) fn path(digest: &str) -> String {
    format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"))
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Descriptor {
    Descriptor { media_type: media_type.to_owned(), digest: digest.to_owned(), size, ..Descriptor::default() }
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Failed(format!("cannot write the archive: {error}")))
}
