//! Images to a registry.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bollard_stubs::models::AuthConfig;
use bytes::Bytes;
use chrono::Utc;
use futures_util::TryStreamExt as _;
use http::HeaderValue;
use oci_client::errors::OciDistributionError;
use oci_client::{Reference as Remote, RegistryOperation};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::io::ReaderStream;

use super::super::super::compression::Compression;
use super::super::super::error::Error;
use super::super::super::id;
use super::super::archive::{CONFIG_TYPE, Descriptor, MANIFEST_TYPE, Manifest};
use super::super::catalogue::short;
use super::super::reference::Reference;
use super::super::store::Store;
use super::super::{Image, Images, Layer, MACHINE, News, must_be_here, tell};
use super::download::Reporter;
use super::{Session, TRIES, ask, may_pass, pause, refused};

/// Layers of a push that are sent at the same time.
const UPLOADS: usize = 3;
/// Bytes that are sent at once.
const PIECE: usize = 256 << 10;

impl Images {
    /// See [`Images::push`].
    pub(in super::super) async fn push_one(
        &self,
        reference: &str,
        credentials: Option<AuthConfig>,
        news: &mpsc::Sender<News>,
    ) -> Result<(), Error> {
        let name = Reference::parse(reference)?.or_latest();
        if self.is_machine(reference) {
            return Err(Error::Forbidden(format!("{MACHINE} is this machine itself and cannot be pushed")));
        }
        if name.digest.is_some() {
            return Err(Error::Invalid("cannot push a digest reference".into()));
        }
        let id = self.store.state().catalogue.named(&name).map(str::to_owned);
        let missing = || Error::NotFound(format!("An image does not exist locally with the tag: {}", name.familiar()));
        let image = id.and_then(|id| self.image(&id)).ok_or_else(missing)?;
        let status = format!("The push refers to repository [{}]", name.name());
        tell(news, News { status, ..News::default() }).await;

        let session = Session::open(&name, credentials, RegistryOperation::Push).await?;
        let layers = session.send_layers(self, &image, news).await?;
        let configuration = {
            let id = image.id.clone();
            self.store.blocking(move |store| store.read(&id)).await?
        };
        let config = descriptor(CONFIG_TYPE, &image.id, configuration.len() as u64);
        session.send(&self.store, &config, &Reporter::silent()).await?;
        let (bytes, media_type) = self.manifest_for(&image, config, layers).await?;
        let (digest, length) = (id::digest(&bytes), bytes.len());
        session.send_manifest(bytes.clone(), &media_type).await?;

        let tag = name.tag.clone().unwrap_or_default();
        tell(news, News { status: format!("{tag}: digest: {digest} size: {length}"), ..News::default() }).await;
        let (known, named) = (image.id.clone(), name.at(None, Some(&digest)));
        let _kept = self.store.blocking(move |store| store.keep(&bytes)).await?;
        self.store
            .change(move |state| {
                must_be_here(state, &known)?;
                state.catalogue.name(&known, &named, Utc::now());
                let entry = state.catalogue.images.entry(known).or_default();
                entry.manifests.insert(digest);
                Ok(())
            })
            .await?;
        self.tell("push", &name.familiar(), &name.familiar_repository(), &image.document);
        Ok(())
    }

    /// The manifest of an image: the one it came with when that names the same parts, so that it stays the same image.
    async fn manifest_for(
        &self,
        image: &Image,
        config: Descriptor,
        layers: Vec<Descriptor>,
    ) -> Result<(Vec<u8>, String), Error> {
        let known = self.store.state().catalogue.images.get(&image.id).map(|entry| entry.manifests.clone());
        let digests = |layers: &[Descriptor]| layers.iter().map(|layer| layer.digest.clone()).collect::<Vec<_>>();
        self.store
            .blocking(move |store| {
                for digest in known.unwrap_or_default() {
                    let Ok(bytes) = store.read(&digest) else { continue };
                    let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else { continue };
                    let same = manifest.config.as_ref().is_some_and(|found| found.digest == config.digest);
                    if same && !manifest.media_type.is_empty() && digests(&manifest.layers) == digests(&layers) {
                        return Ok((bytes, manifest.media_type));
                    }
                }
                let media_type = MANIFEST_TYPE.to_owned();
                let manifest = Manifest { schema: 2, media_type, config: Some(config), layers, manifests: Vec::new() };
                let bytes = serde_json::to_vec(&manifest)
                    .map_err(|error| Error::Failed(format!("cannot write a manifest: {error}")))?;
                Ok((bytes, MANIFEST_TYPE.to_owned()))
            })
            .await
    }

    /// Repositories of the same registry that are known to have a layer.
    fn others_with(&self, name: &Reference, layer: &Layer) -> Vec<Reference> {
        let state = self.store.state();
        let has = |id: &String| {
            state.documents.get(id).is_some_and(|document| document.rootfs.diff_ids.contains(&layer.diff_id))
        };
        let names = state.catalogue.digests.iter().filter(|(_, id)| has(id));
        let names = names.filter_map(|(key, _)| Reference::parse(key).ok());
        names.filter(|other| other.registry == name.registry && other.repository != name.repository).take(2).collect()
    }
}

impl Session {
    /// All layers, side by side; their descriptors, lowest first. Dropped, all of it stops.
    async fn send_layers(
        &self,
        images: &Images,
        image: &Image,
        news: &mpsc::Sender<News>,
    ) -> Result<Vec<Descriptor>, Error> {
        let turns = Arc::new(Semaphore::new(UPLOADS));
        // Dropped with this future, which aborts its tasks.
        let mut tasks = JoinSet::new();
        for (number, layer) in image.layers.iter().enumerate() {
            let reporter = Reporter::new(short(&layer.diff_id), news);
            reporter.state("Preparing").await;
            let others = images.others_with(&self.name, layer);
            let (session, store, turns, layer) = (self.clone(), images.store.clone(), turns.clone(), layer.clone());
            tasks.spawn(async move {
                let _turn = turns.acquire().await.map_err(|_| Error::Failed("the push stops".into()))?;
                let descriptor = session.send_layer(&store, &layer, &others, &reporter).await?;
                Ok::<_, Error>((number, descriptor))
            });
        }
        let mut sent = vec![Descriptor::default(); image.layers.len()];
        while let Some(done) = tasks.join_next().await {
            let done = done.map_err(|error| Error::Failed(format!("the engine failed at a layer: {error}")))?;
            let (number, descriptor) = done?;
            sent[number] = descriptor;
        }
        Ok(sent)
    }

    async fn send_layer(
        &self,
        store: &Arc<Store>,
        layer: &Layer,
        others: &[Reference],
        news: &Reporter,
    ) -> Result<Descriptor, Error> {
        let (digest, length, compression) = store.compressed(layer).await?;
        let descriptor = descriptor(compression.media_type(), &digest, length);
        if self.has(&descriptor).await? {
            news.state("Layer already exists").await;
            return Ok(descriptor);
        }
        for other in others {
            let from = super::remote(other);
            let asked = || self.client.mount_blob(&self.remote, &from, &digest);
            // A registry need not know how; then it is sent.
            if ask(&self.name, asked).await?.is_ok() && self.has(&descriptor).await? {
                news.state(&format!("Mounted from {}", other.repository)).await;
                return Ok(descriptor);
            }
        }
        self.send(store, &descriptor, news).await?;
        news.state("Pushed").await;
        Ok(descriptor)
    }

    async fn has(&self, descriptor: &Descriptor) -> Result<bool, Error> {
        let asked = || self.client.blob_exists(&self.remote, &descriptor.digest);
        match ask(&self.name, asked).await? {
            Ok(there) => Ok(there),
            Err(error) if may_pass(&error) && !matches!(error, OciDistributionError::RequestError(_)) => Ok(false),
            // Who may write need not be able to look; what is wrong otherwise shows when it is sent.
            Err(OciDistributionError::RequestError(error)) if error.status().is_some() => Ok(false),
            Err(error) => Err(refused(&error, &self.name, RegistryOperation::Push)),
        }
    }

    /// Sends a blob of the store, unless it is there.
    async fn send(&self, store: &Arc<Store>, descriptor: &Descriptor, news: &Reporter) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            if self.has(descriptor).await? {
                return Ok(());
            }
            let file = tokio::fs::File::open(store.blob(&descriptor.digest)).await.map_err(Error::io("read a blob"))?;
            let (total, told) = (descriptor.size, Arc::new(std::sync::atomic::AtomicU64::new(0)));
            let counted = told.clone();
            let pieces = ReaderStream::with_capacity(file, PIECE).inspect_ok(move |piece: &Bytes| {
                counted.fetch_add(piece.len() as u64, std::sync::atomic::Ordering::Relaxed);
            });
            let pieces = pieces.map_err(OciDistributionError::from);
            let sending = self.client.push_blob_stream(&self.remote, pieces, &descriptor.digest, Some(total));
            let mut sending = std::pin::pin!(sending);
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            let sent = loop {
                tokio::select! {
                    sent = &mut sending => break sent,
                    _ = tick.tick() => {
                        news.progress("Pushing", told.load(std::sync::atomic::Ordering::Relaxed), total);
                    }
                }
            };
            match sent {
                Ok(_) => return Ok(()),
                Err(error) if may_pass(&error) && tries + 1 < TRIES => {
                    tries += 1;
                    tokio::time::sleep(pause(tries - 1)).await;
                }
                Err(error) => return Err(refused(&error, &self.name, RegistryOperation::Push)),
            }
        }
    }

    async fn send_manifest(&self, bytes: Vec<u8>, media_type: &str) -> Result<(), Error> {
        let kind: HeaderValue =
            media_type.parse().map_err(|_| Error::Failed("the image has a manifest of a bad type".into()))?;
        let remote: &Remote = &self.remote;
        let asked = || self.client.push_manifest_raw(remote, bytes.clone(), kind.clone());
        ask(&self.name, asked).await?.map_err(|error| refused(&error, &self.name, RegistryOperation::Push))?;
        Ok(())
    }
}

impl Store {
    /// A layer as a compressed blob, which is made and kept when there is none: its digest, bytes and compression.
    async fn compressed(self: &Arc<Self>, layer: &Layer) -> Result<(String, u64, Compression), Error> {
        let _alone = self.alone_with(&format!("packed {}", layer.diff_id)).await;
        let wanted = layer.clone();
        let known = self.blocking(move |store| store.compressed_blob_of(&wanted)).await?;
        if let Some(known) = known {
            return Ok(known);
        }
        let stop = tokio_util::sync::CancellationToken::new();
        let _guard = stop.clone().drop_guard();
        let tar = self.tar_of(layer).await?;
        let tar = super::super::reading::Blocking::new(tar, stop);
        let staged = self.stage();
        let diff_id = layer.diff_id.clone();
        self.blocking(move |store| {
            let what = || Error::io(format!("compress the layer {diff_id}"));
            let mut tar = tar;
            let file = std::fs::File::create(&staged.path).map_err(what())?;
            let mut encoder = flate2::write::GzEncoder::new(io::BufWriter::new(file), flate2::Compression::fast());
            io::copy(&mut tar, &mut encoder).map_err(what())?;
            encoder
                .finish()
                .and_then(|file| file.into_inner().map_err(io::IntoInnerError::into_error))
                .map_err(what())?;
            store.keep_packed(&staged.path, &diff_id)
        })
        .await
    }
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Descriptor {
    Descriptor { media_type: media_type.to_owned(), digest: digest.to_owned(), size, ..Descriptor::default() }
}
