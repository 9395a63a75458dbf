//! Layers: unpacked from blobs, or taken in as a build has written them.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use super::super::compression::{Compression, plain};
use super::super::error::Error;
use super::super::{ByteStream, id, root};
use super::Layer;
use super::lease::Lease;
use super::store::{Record, Staged, Store};

/// Bytes that are read at once.
const PIECE: usize = 128 << 10;
/// Pieces that wait for the one who unpacks.
const QUEUE: usize = 8;

impl Store {
    /// Writes a stream to a staged file; its digest and length. More than `most` bytes are an error.
    pub(crate) async fn receive(
        self: &Arc<Self>,
        mut stream: ByteStream,
        most: u64,
    ) -> Result<(Staged, String, u64), Error> {
        let (staged, mut file) = self.stage_file().await?;
        let what = || Error::io(format!("write `{}`", staged.path.display()));
        let (mut digest, mut length) = (Sha256::new(), 0);
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(Error::io("read what is sent"))?;
            length += piece.len() as u64;
            if length > most {
                return Err(Error::Invalid(format!("what is sent is larger than the {most} bytes that it may have")));
            }
            digest.update(&piece);
            file.write_all(&piece).await.map_err(what())?;
        }
        file.flush().await.map_err(what())?;
        Ok((staged, format!("sha256:{}", id::hexadecimal(&digest.finalize())), length))
    }

    /// Unpacks a blob that is here and whole, plain or compressed, unless its layer is here already. `expected` is the digest
    /// that the plain tar must have; a layer that turns out to be another leaves nothing behind.
    pub(crate) async fn unpack(self: &Arc<Self>, blob: &str, expected: Option<&str>) -> Result<Layer, Error> {
        let _alone = self.alone_with(expected.unwrap_or(blob)).await;
        if let Some(layer) = expected.and_then(|diff_id| self.layer(diff_id)) {
            return Ok(layer);
        }
        let _turn = self.unpacking.acquire().await.map_err(|_| Error::Failed("the engine stops".into()))?;
        let (common, kept) = self.common(blob).await?;
        let unpacked = self.unpack_common(&common, expected).await;
        drop(kept);
        if unpacked.is_err() && common != blob {
            self.discard(vec![common]).await?;
        }
        unpacked
    }

    /// The blob, or one of its plain bytes when it is compressed in a way that other engines do not read: they will be
    /// given it when the image is saved or pushed.
    async fn common(self: &Arc<Self>, blob: &str) -> Result<(String, Option<Lease>), Error> {
        let blob = blob.to_owned();
        self.blocking(move |store| {
            let (blob, _, compression) = store.look_at(blob)?;
            if compression.is_common() {
                return Ok((blob, None));
            }
            let staged = store.stage();
            let mut digest = Sha256::new();
            let mut copy = || {
                let mut source = plain(File::open(store.blob(&blob))?)?;
                let (mut file, mut piece) = (File::create(&staged.path)?, vec![0; PIECE]);
                loop {
                    match source.read(&mut piece)? {
                        0 => return Ok(()),
                        read => {
                            digest.update(&piece[..read]);
                            file.write_all(&piece[..read])?;
                        }
                    }
                }
            };
            copy().map_err(Error::io("read the layer"))?;
            let digest = format!("sha256:{}", id::hexadecimal(&digest.finalize()));
            let lease = store.keep_path(&staged.path, &digest)?;
            Ok((digest, Some(lease)))
        })
        .await
    }

    /// Unpacks a blob that is plain or compressed in a common way.
    async fn unpack_common(self: &Arc<Self>, blob: &str, expected: Option<&str>) -> Result<Layer, Error> {
        let path = self.blob(blob);
        let staged = self.stage_folder().await?;
        let (size, diff_id) = match self.unpack_into(&path, &staged.path).await {
            Ok(done) => done,
            Err(error) => {
                staged.remove().await?;
                return Err(with_name(error, expected.unwrap_or(blob)));
            }
        };
        if let Some(expected) = expected
            && expected != diff_id
        {
            staged.remove().await?;
            return Err(Error::Failed(format!(
                "layer {expected} is corrupt: its blob {blob} unpacks to {diff_id}; nothing of it was kept"
            )));
        }
        let record = Record { size, length: 0, blob: Some(blob.to_owned()), packed: None };
        self.blocking(move |store| store.keep_layer(&staged.path, &diff_id, record)).await
    }

    /// Unpacks into a folder; the bytes of the files, and the digest of the plain tar.
    async fn unpack_into(self: &Arc<Self>, blob: &Path, folder: &Path) -> Result<(u64, String), Error> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let blob = blob.to_owned();
        let reader = tokio::task::spawn_blocking(move || read_plain(&blob, &sender, &stop));
        let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        let unpacked = root::unpack(&self.layout, folder, pieces.boxed()).await;
        if unpacked.is_err() {
            drop(guard);
            // A blob that cannot be read is the reason for whatever was said of the tar.
            let read = reader.await.map_err(|error| Error::Failed(error.to_string()))?;
            read.map_err(Error::io("read the layer"))?;
            return unpacked.map(|size| (size, String::new()));
        }
        let digest = reader.await.map_err(|error| Error::Failed(error.to_string()))?;
        drop(guard);
        Ok((unpacked?, digest.map_err(Error::io("read the layer"))?))
    }

    /// Takes in what overlayfs wrote into `upper`: the folder itself becomes the layer's.
    pub(crate) async fn take_in(self: &Arc<Self>, upper: &Path) -> Result<Layer, Error> {
        let (diff_id, length) = digest_of(root::pack(&self.layout, upper).await?).await?;
        let _alone = self.alone_with(&diff_id).await;
        let upper = upper.to_owned();
        let moved = self
            .blocking({
                let upper = upper.clone();
                move |store| {
                    if let Some(layer) = store.layer(&diff_id) {
                        return Ok(layer);
                    }
                    let size = size_of(&upper).map_err(Error::io("measure a layer"))?;
                    store.keep_layer(&upper, &diff_id, Record { size, length, blob: None, packed: None })
                }
            })
            .await?;
        // Still there when the same files were a layer already.
        root::remove(&upper).await?;
        Ok(moved)
    }

    /// How a layer is stored, when it is: its blob's digest, bytes and compression. Blocking.
    pub(crate) fn blob_of(&self, layer: &Layer) -> Result<Option<(String, u64, Compression)>, Error> {
        let record = self.state().layers.get(&layer.diff_id).cloned();
        record.and_then(|record| record.blob).map(|digest| self.look_at(digest)).transpose()
    }

    /// The same, but only when it is compressed. Blocking.
    pub(crate) fn compressed_blob_of(&self, layer: &Layer) -> Result<Option<(String, u64, Compression)>, Error> {
        let Some(record) = self.state().layers.get(&layer.diff_id).cloned() else { return Ok(None) };
        for digest in record.blob.into_iter().chain(record.packed) {
            let found = self.look_at(digest)?;
            if found.2 != Compression::Plain {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn look_at(&self, digest: String) -> Result<(String, u64, Compression), Error> {
        let path = self.blob(&digest);
        let looked = || {
            let mut file = File::open(&path)?;
            let mut first = Vec::new();
            (&mut file).take(8).read_to_end(&mut first)?;
            Ok::<_, io::Error>((file.metadata()?.len(), Compression::of(&first)))
        };
        let (length, compression) = looked().map_err(Error::io(format!("read `{}`", path.display())))?;
        Ok((digest, length, compression))
    }

    /// The plain tar of a layer, from its blob where it has a plain one.
    pub(crate) async fn tar_of(self: &Arc<Self>, layer: &Layer) -> Result<ByteStream, Error> {
        let wanted = layer.clone();
        match self.blocking(move |store| store.blob_of(&wanted)).await? {
            Some((digest, _, Compression::Plain)) => {
                let file = tokio::fs::File::open(self.blob(&digest)).await.map_err(Error::io("read a layer"))?;
                Ok(ReaderStream::with_capacity(file, PIECE).boxed())
            }
            _ => self.plain_tar(layer).await,
        }
    }

    /// The plain tar of a layer that has no blob, made again from its files; the digest is checked at its end.
    pub(crate) async fn plain_tar(&self, layer: &Layer) -> Result<ByteStream, Error> {
        let tar = root::pack(&self.layout, &layer.folder).await?;
        let state = (tar, Some(Sha256::new()), layer.diff_id.clone());
        let checked = futures_util::stream::unfold(state, |(mut tar, digest, expected)| async move {
            let mut digest = digest?;
            match tar.next().await {
                Some(Ok(piece)) => {
                    digest.update(&piece);
                    Some((Ok(piece), (tar, Some(digest), expected)))
                }
                Some(Err(error)) => Some((Err(error), (tar, None, expected))),
                None => {
                    let found = format!("sha256:{}", id::hexadecimal(&digest.finalize()));
                    (found != expected).then(|| {
                        let text = format!("the files of layer {expected} have been changed: they make {found} now");
                        (Err(io::Error::new(io::ErrorKind::InvalidData, text)), (tar, None, expected))
                    })
                }
            }
        });
        Ok(checked.boxed())
    }
}

/// Reads a blob, tells its plain bytes on, and returns their digest. Bytes behind the end of the archive, which nobody wants
/// to have, are part of it.
fn read_plain(blob: &Path, sender: &mpsc::Sender<io::Result<Bytes>>, stop: &CancellationToken) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut wanted = true;
    let mut source = plain(File::open(blob)?)?;
    loop {
        let mut piece = vec![0; PIECE];
        let read = match source.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let told = io::Error::new(error.kind(), error.to_string());
                // Nobody there: they have given up already.
                let _ = sender.blocking_send(Err(told));
                return Err(error);
            }
        };
        if stop.is_cancelled() {
            return Ok(String::new());
        }
        piece.truncate(read);
        digest.update(&piece);
        if wanted {
            wanted = sender.blocking_send(Ok(piece.into())).is_ok();
        }
    }
    Ok(format!("sha256:{}", id::hexadecimal(&digest.finalize())))
}

/// The digest and length of a stream.
async fn digest_of(stream: ByteStream) -> Result<(String, u64), Error> {
    let start = (Sha256::new(), 0);
    let (digest, length) = stream
        .try_fold(start, |(mut digest, length), piece| async move {
            digest.update(&piece);
            Ok((digest, length + piece.len() as u64))
        })
        .await
        .map_err(Error::io("read a layer"))?;
    Ok((format!("sha256:{}", id::hexadecimal(&digest.finalize())), length))
}

/// Bytes of the files below a folder. Follows no links. Blocking.
fn size_of(folder: &Path) -> io::Result<u64> {
    let (mut folders, mut size) = (vec![folder.to_owned()], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.is_file() {
                size += metadata.len();
            }
        }
    }
    Ok(size)
}

fn with_name(error: Error, layer: &str) -> Error {
    match error {
        Error::Failed(text) => Error::Failed(format!("cannot unpack layer {layer}: {text}")),
        Error::Invalid(text) => Error::Invalid(format!("cannot unpack layer {layer}: {text}")),
        other => other,
    }
}
