//! Images from a registry.

use std::collections::BTreeMap;
use std::sync::Arc;

use bollard_stubs::models::AuthConfig;
use oci_client::RegistryOperation;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::super::super::error::Error;
use super::super::archive::{Descriptor, Manifest, Platform};
use super::super::catalogue::short;
use super::super::lease::Lease;
use super::super::reference::{Reference, is_digest};
use super::super::store::{LARGEST_DOCUMENT, Store};
use super::super::{Document, Image, Images, Layer, News, platform, tell};
use super::download::{Reporter, check};
use super::{Session, ask, refused, remote};

/// Layers of a pull that are fetched at the same time.
const DOWNLOADS: usize = 3;
/// Layers of an image, at most.
const MOST_LAYERS: usize = 1000;
/// What is asked for, the best first.
const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// What a registry has under a name.
struct Offer {
    /// The image's own manifest.
    manifest: Manifest,
    /// All manifests on the way to it, kept.
    manifests: Vec<(String, Lease)>,
    /// Digest of what the name means, which is that of an index for an image for several platforms.
    digest: String,
}

impl Images {
    /// See [`Images::pull`].
    pub(in super::super) async fn pull_one(
        &self,
        reference: &str,
        platform: Option<&str>,
        credentials: Option<AuthConfig>,
        news: &mpsc::Sender<News>,
    ) -> Result<Image, Error> {
        let name = Reference::parse(reference)?.or_latest();
        if self.is_machine(reference) {
            let status = format!("Status: Image is up to date for {}", name.familiar());
            tell(news, News { status, ..News::default() }).await;
            return Ok((*self.machine).clone());
        }
        let asked = platform.filter(|text| !text.is_empty()).map(Platform::parse).transpose()?;
        let wanted = asked.clone().unwrap_or_else(Platform::here);
        let before = self.store.state().catalogue.named(&name).map(str::to_owned);
        let session = Session::open(&name, credentials, RegistryOperation::Pull).await?;
        let offer = session.offer(&self.store, &wanted).await?;
        let label = name.tag.clone().or_else(|| name.digest.clone());
        let status = format!("Pulling from {}", name.repository);
        tell(news, News { id: label, status, ..News::default() }).await;

        let config = offer.manifest.config.clone().unwrap_or_default();
        let (configuration, _kept) = session.small_blob(&self.store, &config).await?;
        let document = Document::parse(&configuration).map_err(|error| {
            Error::Failed(format!("the configuration of {} cannot be read: {error}", name.familiar()))
        })?;
        check_layers(&offer.manifest, &document, &name)?;
        if let Some(asked) = asked {
            must_be_for(&asked, &document, &name)?;
        }
        let layers = session.layers(&self.store, &offer.manifest.layers, &document.rootfs.diff_ids, news).await?;
        let mut names = vec![name.at(None, Some(&offer.digest))];
        names.extend(name.tag.is_some().then(|| name.at(name.tag.as_deref(), None)));
        let manifests = offer.manifests.iter().map(|(digest, _)| digest.clone()).collect();
        let image = self.register(configuration, names, manifests).await?;
        drop(layers);

        let digest = format!("Digest: {}", offer.digest);
        let known = before.is_some_and(|before| before == image.id);
        let what = if known { "Image is up to date for" } else { "Downloaded newer image for" };
        let status = format!("Status: {what} {}", name.familiar());
        for status in [digest, status] {
            tell(news, News { status, ..News::default() }).await;
        }
        self.tell("pull", &name.familiar(), &name.familiar_repository(), &image.document);
        Ok(image)
    }
}

/// Files and layers of an image must be of the same number, and layers of a kind that is known.
fn check_layers(manifest: &Manifest, document: &Document, name: &Reference) -> Result<(), Error> {
    let (files, layers) = (manifest.layers.len(), document.rootfs.diff_ids.len());
    if files != layers || layers > MOST_LAYERS {
        let name = name.familiar();
        return Err(Error::Failed(format!("{name} is broken: it has {files} files for {layers} layers")));
    }
    for layer in &manifest.layers {
        check(layer)?;
        if layer.media_type.contains("foreign") || !layer.media_type.contains(".tar") {
            let (name, kind) = (name.familiar(), super::shortened(&layer.media_type));
            return Err(Error::Failed(format!("{name} is no image for containers: it has a layer of type `{kind}`")));
        }
    }
    match document.rootfs.diff_ids.iter().find(|diff_id| !is_digest(diff_id)) {
        Some(bad) => Err(Error::Failed(format!("{} is broken: `{bad}` is no sha256 digest", name.familiar()))),
        None => Ok(()),
    }
}

fn must_be_for(asked: &Platform, document: &Document, name: &Reference) -> Result<(), Error> {
    if (asked.os.as_str(), asked.architecture.as_str()) == (document.os.as_str(), document.architecture.as_str()) {
        return Ok(());
    }
    Err(Error::NotFound(format!(
        "image with reference {} was found but does not match the specified platform: wanted {asked}, actual: {}/{}",
        name.familiar(),
        document.os,
        document.architecture
    )))
}

impl Session {
    /// What the registry has under the name, for a platform.
    async fn offer(&self, store: &Arc<Store>, wanted: &Platform) -> Result<Offer, Error> {
        let (bytes, digest) = self.manifest(&self.name).await?;
        let (mut manifest, lease) = self.read_manifest(store, &bytes).await?;
        let mut manifests = vec![(digest.clone(), lease)];
        if manifest.config.is_none() && !manifest.manifests.is_empty() {
            let chosen = platform::choose(&manifest.manifests, wanted, &self.name.familiar())?.clone();
            check(&chosen)?;
            let (bytes, found) = self.manifest(&self.name.at(None, Some(&chosen.digest))).await?;
            let (inner, lease) = self.read_manifest(store, &bytes).await?;
            manifests.push((found, lease));
            manifest = inner;
        }
        if manifest.schema != 2 || manifest.config.is_none() {
            let name = self.name.familiar();
            return Err(Error::Failed(format!(
                "{name} is in a form that this engine does not read (no manifest of schema 2)"
            )));
        }
        Ok(Offer { manifest, manifests, digest })
    }

    /// A manifest's bytes and their digest.
    pub(super) async fn manifest(&self, name: &Reference) -> Result<(bytes::Bytes, String), Error> {
        let remote = remote(name);
        let asked = || self.client.pull_manifest_raw(&remote, &self.auth, &ACCEPTED);
        let (bytes, _) =
            ask(name, asked).await?.map_err(|error| refused(&error, &self.name, RegistryOperation::Pull))?;
        if bytes.len() as u64 > LARGEST_DOCUMENT {
            let name = name.familiar();
            return Err(Error::Failed(format!("the manifest of {name} is larger than {LARGEST_DOCUMENT} bytes")));
        }
        // The client has compared it with the digest that was asked for, if one was.
        let digest = super::super::super::id::digest(&bytes);
        Ok((bytes, digest))
    }

    async fn read_manifest(&self, store: &Arc<Store>, bytes: &bytes::Bytes) -> Result<(Manifest, Lease), Error> {
        let manifest = serde_json::from_slice(bytes).map_err(|error| {
            Error::Failed(format!("the manifest of {} cannot be read: {error}", self.name.familiar()))
        })?;
        let bytes = bytes.clone();
        let (_, lease) = store.blocking(move |store| store.keep(&bytes)).await?;
        Ok((manifest, lease))
    }

    /// All layers, fetched and unpacked side by side. Dropped, all of it stops.
    async fn layers(
        &self,
        store: &Arc<Store>,
        files: &[Descriptor],
        diff_ids: &[String],
        news: &mpsc::Sender<News>,
    ) -> Result<Vec<Layer>, Error> {
        let turns = Arc::new(Semaphore::new(DOWNLOADS));
        // Dropped with this future, which aborts its tasks.
        let mut tasks = JoinSet::new();
        let wanted: BTreeMap<&String, &Descriptor> = diff_ids.iter().zip(files).collect();
        let order: Vec<_> = diff_ids.iter().filter(|diff_id| wanted.contains_key(diff_id)).collect();
        let mut begun = std::collections::BTreeSet::new();
        for diff_id in order.into_iter().filter(|diff_id| begun.insert((*diff_id).clone())) {
            let Some(file) = wanted.get(diff_id) else { continue };
            let reporter = Reporter::new(short(&file.digest), news);
            let known = store.layer(diff_id);
            reporter.state(if known.is_some() { "Already exists" } else { "Pulling fs layer" }).await;
            if let Some(layer) = known {
                tasks.spawn(async move { Ok(layer) });
                continue;
            }
            let (session, store, turns) = (self.clone(), store.clone(), turns.clone());
            let (diff_id, file) = (diff_id.clone(), (*file).clone());
            tasks.spawn(async move { session.layer(&store, &file, &diff_id, &turns, &reporter).await });
        }
        let mut layers = Vec::new();
        while let Some(done) = tasks.join_next().await {
            layers.push(done.map_err(|error| Error::Failed(format!("the engine failed at a layer: {error}")))??);
        }
        Ok(layers)
    }

    async fn layer(
        &self,
        store: &Arc<Store>,
        file: &Descriptor,
        diff_id: &str,
        turns: &Semaphore,
        news: &Reporter,
    ) -> Result<Layer, Error> {
        let kept = {
            let _turn = turns.acquire().await.map_err(|_| Error::Failed("the pull stops".into()))?;
            self.blob(store, file, news).await?
        };
        news.state("Extracting").await;
        let unpacked = store.unpack(&file.digest, Some(diff_id)).await;
        drop(kept);
        if unpacked.is_ok() {
            news.state("Pull complete").await;
        } else {
            // Asked for again, it is fetched again.
            store.discard(vec![file.digest.clone()]).await?;
        }
        unpacked
    }
}
