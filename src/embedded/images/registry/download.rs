//! One blob from a registry, taken up again where it was cut off, its digest checked.

use std::io::SeekFrom;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use oci_client::RegistryOperation;
use oci_client::client::BlobResponse;
use oci_client::manifest::OciDescriptor;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::super::super::error::Error;
use super::super::super::id;
use super::super::archive::Descriptor;
use super::super::catalogue::short;
use super::super::lease::Lease;
use super::super::reference::is_digest;
use super::super::store::{LARGEST_DOCUMENT, Staged, Store};
use super::super::{News, NewsProgress};
use super::{Session, may_pass, refused, shortened};

/// How often in a row it is tried without getting further.
const TRIES: u32 = 5;
/// Bytes that count as getting further.
const FURTHER: u64 = 64 << 10;
/// The first pause between two tries; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_millis(100);

/// What has arrived of a blob.
struct Arriving {
    staged: Staged,
    file: File,
    digest: Sha256,
    length: u64,
}

impl Session {
    /// A blob as a file of the store, unless it is there already.
    pub(super) async fn blob(
        &self,
        store: &Arc<Store>,
        descriptor: &Descriptor,
        news: &Reporter,
    ) -> Result<Lease, Error> {
        check(descriptor)?;
        let digest = descriptor.digest.clone();
        let _alone = store.alone_with(&digest).await;
        let lease = store.leases.take(&digest);
        let path = store.blob(&digest);
        if tokio::fs::try_exists(&path).await.unwrap_or(false) {
            return Ok(lease);
        }
        let staged = self.fetch(store, descriptor, news).await?;
        store.blocking(move |store| store.keep_path(&staged.path, &digest)).await
    }

    /// A small blob's bytes.
    pub(super) async fn small_blob(
        &self,
        store: &Arc<Store>,
        descriptor: &Descriptor,
    ) -> Result<(Vec<u8>, Lease), Error> {
        if descriptor.size > LARGEST_DOCUMENT {
            let message = format!("the configuration of {} has {} bytes", self.name.familiar(), descriptor.size);
            return Err(Error::Failed(format!(
                "{message}, which is more than the {LARGEST_DOCUMENT} that it may have"
            )));
        }
        let lease = self.blob(store, descriptor, &Reporter::silent()).await?;
        let digest = descriptor.digest.clone();
        Ok((store.blocking(move |store| store.read(&digest)).await?, lease))
    }

    async fn fetch(&self, store: &Arc<Store>, descriptor: &Descriptor, news: &Reporter) -> Result<Staged, Error> {
        let (staged, file) = store.stage_file().await?;
        let mut arriving = Arriving { staged, file, digest: Sha256::new(), length: 0 };
        let mut tries = 0;
        while arriving.length < descriptor.size {
            let before = arriving.length;
            let cut = match self.fetch_more(&mut arriving, descriptor, news).await {
                Ok(()) => continue,
                Err(Cut::For(error)) => return Err(error),
                Err(Cut::Now(cause)) => cause,
            };
            tries = if arriving.length >= before + FURTHER { 1 } else { tries + 1 };
            if tries >= TRIES {
                let (name, registry) = (self.name.familiar(), &self.name.registry);
                return Err(Error::Failed(format!(
                    "the registry {registry} broke off {} of {name} after {} of {} bytes, {TRIES} times in a row: {cut}",
                    short(&descriptor.digest),
                    arriving.length,
                    descriptor.size,
                )));
            }
            tracing::debug!("download of {} goes on at byte {}: {cut}", descriptor.digest, arriving.length);
            tokio::time::sleep(PAUSE * 2_u32.pow(tries - 1)).await;
        }
        news.state("Verifying Checksum").await;
        arriving.file.flush().await.map_err(Error::io("write a download"))?;
        let found = format!("sha256:{}", id::hexadecimal(&arriving.digest.finalize()));
        if found != descriptor.digest {
            return Err(Error::Failed(format!(
                "layer {} of {} is corrupt: what the registry sent is {found}; nothing of it was kept",
                descriptor.digest,
                self.name.familiar()
            )));
        }
        news.state("Download complete").await;
        Ok(arriving.staged)
    }

    /// Asks for what is missing and takes what comes.
    async fn fetch_more(&self, arriving: &mut Arriving, wanted: &Descriptor, news: &Reporter) -> Result<(), Cut> {
        let mut stream = self.ask(arriving, wanted).await?;
        while let Some(piece) = stream.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                // What came last is only the complaint that the digest is another: that is told in our own words.
                Err(_) if arriving.length == wanted.size => return Ok(()),
                Err(error) => return Err(Cut::Now(super::chain(&error))),
            };
            arriving.length += piece.len() as u64;
            if arriving.length > wanted.size {
                let message = format!("the registry {} sent more of {} than", self.name.registry, wanted.digest);
                return Err(Cut::For(Error::Failed(format!("{message} the {} bytes that it has", wanted.size))));
            }
            arriving.digest.update(&piece);
            arriving.file.write_all(&piece).await.map_err(|error| Cut::For(Error::io("write a download")(error)))?;
            news.progress("Downloading", arriving.length, wanted.size);
        }
        if arriving.length < wanted.size { Err(Cut::Now("the answer ended early".to_owned())) } else { Ok(()) }
    }

    async fn ask(
        &self,
        arriving: &mut Arriving,
        wanted: &Descriptor,
    ) -> Result<BoxStream<'static, std::io::Result<bytes::Bytes>>, Cut> {
        let size = i64::try_from(wanted.size).unwrap_or(i64::MAX);
        let descriptor = OciDescriptor { digest: wanted.digest.clone(), size, ..OciDescriptor::default() };
        let answer = if arriving.length == 0 {
            self.client.pull_blob_stream(&self.remote, &descriptor).await.map(BlobResponse::Full)
        } else {
            self.client.pull_blob_stream_partial(&self.remote, &descriptor, arriving.length, None).await
        };
        match answer {
            Ok(BlobResponse::Partial(stream)) => Ok(stream.stream),
            Ok(BlobResponse::Full(stream)) => {
                // A registry that knows no ranges begins again.
                let again = async {
                    arriving.file.flush().await?;
                    arriving.file.set_len(0).await?;
                    arriving.file.seek(SeekFrom::Start(0)).await
                };
                again.await.map_err(|error| Cut::For(Error::io("write a download")(error)))?;
                (arriving.digest, arriving.length) = (Sha256::new(), 0);
                Ok(stream.stream)
            }
            Err(error) if may_pass(&error) => {
                Err(Cut::Now(shortened(&refused(&error, &self.name, RegistryOperation::Pull).to_string())))
            }
            Err(error) => Err(Cut::For(refused(&error, &self.name, RegistryOperation::Pull))),
        }
    }
}

/// Why a download stopped.
enum Cut {
    /// It may go on.
    Now(String),
    /// It may not.
    For(Error),
}

/// A registry may only name what can be a file of ours.
pub(super) fn check(descriptor: &Descriptor) -> Result<(), Error> {
    if !is_digest(&descriptor.digest) {
        let digest = shortened(&descriptor.digest);
        return Err(Error::Failed(format!("the registry names `{digest}`, which is no sha256 digest")));
    }
    if descriptor.size == 0 {
        return Err(Error::Failed(format!("the registry says that {} has no bytes", descriptor.digest)));
    }
    Ok(())
}

/// Tells of one layer.
pub(super) struct Reporter {
    id: String,
    news: Option<mpsc::Sender<News>>,
    last: std::sync::Mutex<Option<Instant>>,
}

impl Reporter {
    /// Under this id.
    pub(super) fn new(id: &str, news: &mpsc::Sender<News>) -> Self {
        Self { id: id.to_owned(), news: Some(news.clone()), last: std::sync::Mutex::default() }
    }

    /// Tells nobody.
    pub(super) fn silent() -> Self {
        Self { id: String::new(), news: None, last: std::sync::Mutex::default() }
    }

    /// That something begins or ends.
    pub(super) async fn state(&self, status: &str) {
        if let Some(news) = &self.news {
            super::super::tell(news, self.piece(status, None)).await;
        }
    }

    /// How far it is. Not told more than about ten times a second, nor when who listens is behind.
    pub(super) fn progress(&self, status: &str, current: u64, total: u64) {
        let Some(news) = &self.news else { return };
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < TOLD_EVERY) {
            return;
        }
        *last = Some(Instant::now());
        let progress = NewsProgress { current, total: Some(total) };
        // The next piece of news says more anyway.
        let _ = news.try_send(self.piece(status, Some(progress)));
    }

    fn piece(&self, status: &str, progress: Option<NewsProgress>) -> News {
        News { id: Some(self.id.clone()), status: status.to_owned(), progress, ..News::default() }
    }
}
