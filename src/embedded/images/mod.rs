//! Images: blobs by digest, layers unpacked once, names.
//!
//! | module | what it does |
//! |---|---|
//! | `reference` | pure: names as people write them and in full |
//! | `catalogue` | pure: which images there are and what they are called |
//! | `store`, `lease` | what is on disk, and who uses what no image refers to yet |
//! | `layers` | layers from blobs, from builds, and back to tars |
//! | `describe` | images as the API shows them |
//! | `remove` | names, images and layers away |
//! | `archive` | images as one tar, out and in |
//! | `registry` | pulls and pushes |
//! | `platform` | pure: which image of an index is for a machine |
//! | `machine` | the image that stands for this machine |

mod archive;
mod catalogue;
mod describe;
mod layers;
mod lease;
mod machine;
mod platform;
mod reading;
mod reference;
mod registry;
mod remove;
mod store;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard_stubs::models::{
    AuthConfig, EventMessageTypeEnum, ImageConfig, ImageDeleteResponseItem, ImageHistoryResponseItem, ImageInspect,
    ImageSummary,
};
use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::mpsc;

use self::catalogue::{Entry, Found};
use self::lease::Lease;
use self::reference::Reference;
use self::store::{State, Store};

use super::ByteStream;
use super::error::Error;
use super::events::Events;
use super::layout::Layout;

/// The reference of the image that stands for this machine's own root file system.
pub const MACHINE: &str = "hoist/machine:latest";

/// The engine's images; clones share them.
#[derive(Debug, Clone)]
pub struct Images {
    store: Arc<Store>,
    machine: Arc<Image>,
}

/// Filters of a listing, as the API's `filters` parameter has them: `label` → `a=b`, `c`.
pub type Filters = HashMap<String, Vec<String>>;

/// That a container has an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The container's id.
    pub container: String,
    /// The image's id: `sha256:…`.
    pub image: String,
    /// Whether the container runs.
    pub running: bool,
}

/// An image that is here, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// `sha256:…` of its configuration.
    pub id: String,
    /// What it says.
    pub document: Document,
    /// Its layers, lowest first. Empty for [`MACHINE`], which `machine` tells apart from a scratch image.
    pub layers: Vec<Layer>,
    /// Whether it is the machine's own root file system.
    pub machine: bool,
    /// `name:tag` of it, sorted.
    pub tags: Vec<String>,
    /// `name@sha256:…` of it.
    pub digests: Vec<String>,
}

/// An unpacked layer. It is not removed while the value, or a clone of it, lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// `sha256:…` of its plain tar.
    pub diff_id: String,
    /// Where it is unpacked, for overlayfs.
    pub folder: PathBuf,
    /// Bytes of its files.
    pub size: u64,
    /// Keeps it.
    lease: Lease,
}

/// The configuration of an image (OCI Image Format, Image Configuration, with Docker's own fields).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Document {
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<DateTime<Utc>>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// `amd64`.
    pub architecture: String,
    /// `v8`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// `linux`.
    pub os: String,
    /// Defaults of its containers.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: ImageConfig,
    /// Its layers.
    pub rootfs: DocumentRootfs,
    /// How they came to be.
    #[serde(default, deserialize_with = "null_is_default")]
    pub history: Vec<History>,
    /// By what the builder finds each step of `history` again that it made; empty texts for those of others.
    #[serde(
        default,
        rename = "dev.hoist.steps",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub steps: Vec<String>,
}

/// The layers of a [`Document`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DocumentRootfs {
    /// `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `sha256:…` of the plain tars, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<String>,
}

/// A step that made an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<DateTime<Utc>>,
    /// By what.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// About it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether it made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// A piece of news of a pull, push or load, as the API streams it (`CreateImageInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct News {
    /// The layer or image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `Downloading`, `Pull complete`, ….
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Bytes so far and in all.
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub progress: Option<NewsProgress>,
    /// Lines for people (`load`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
}

/// Bytes of a [`News`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NewsProgress {
    /// So far.
    pub current: u64,
    /// In all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

impl Document {
    /// Reads a configuration. What lists and orders nothing is sorted, so that it reads the same every time.
    fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut document: Self = serde_json::from_slice(bytes)?;
        for names in [&mut document.config.exposed_ports, &mut document.config.volumes].into_iter().flatten() {
            names.sort();
        }
        Ok(document)
    }

    /// The same bytes for the same content, whatever the order of its maps.
    fn to_bytes(&self) -> Vec<u8> {
        // A document is made of text, numbers, lists and maps by text: always JSON.
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value.sort_all_objects();
        value.to_string().into_bytes()
    }
}

/// Go writes `null` for an empty list.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[expect(
    clippy::unused_async,
    reason = "what is kept in memory is for the store to decide; callers wait for all alike"
)]
impl Images {
    /// Those of the folders; what a crash has left half-done is removed.
    pub async fn open(layout: &Layout, events: Events) -> Result<Self, Error> {
        let layout = layout.clone();
        let opened = tokio::task::spawn_blocking(move || {
            Ok(Self { store: Arc::new(Store::open(&layout, events)?), machine: Arc::new(machine::image()) })
        });
        opened.await.map_err(|error| Error::Failed(format!("cannot open the images: {error}")))?
    }

    /// One by `name`, `name:tag`, `name@digest`, id or beginning of an id. Its layers stay while the value lives.
    pub async fn find(&self, reference: &str) -> Result<Image, Error> {
        Ok(self.lookup(reference)?.0)
    }

    /// All of them, newest first; [`MACHINE`] only with `all`. `filters`: `dangling`, `label`, `reference`, `before`,
    /// `since`, `until`.
    pub async fn list(&self, all: bool, filters: &Filters) -> Result<Vec<ImageSummary>, Error> {
        self.summaries(all, filters)
    }

    /// As `GET /images/{name}/json` describes it.
    pub async fn inspect(&self, reference: &str) -> Result<ImageInspect, Error> {
        let (image, _) = self.lookup(reference)?;
        Ok(self.describe(&image))
    }

    /// How it came to be, newest first.
    pub async fn history(&self, reference: &str) -> Result<Vec<ImageHistoryResponseItem>, Error> {
        let (image, _) = self.lookup(reference)?;
        Ok(describe::history(&image))
    }

    /// Pulls from a registry. Dropped, it stops, and what was fetched whole is kept.
    pub async fn pull(
        &self,
        reference: &str,
        platform: Option<&str>,
        credentials: Option<AuthConfig>,
        news: mpsc::Sender<News>,
    ) -> Result<Image, Error> {
        Box::pin(unbroken(self.pull_one(reference, platform, credentials, &news))).await
    }

    /// Pushes to a registry.
    pub async fn push(
        &self,
        reference: &str,
        credentials: Option<AuthConfig>,
        news: mpsc::Sender<News>,
    ) -> Result<(), Error> {
        Box::pin(unbroken(self.push_one(reference, credentials, &news))).await
    }

    /// Gives an image a further name. An image that had it loses it.
    pub async fn tag(&self, image: &str, reference: &str) -> Result<(), Error> {
        let name = self.free_name(reference)?;
        let (image, _) = self.lookup(image)?;
        if image.machine {
            return Err(Error::Forbidden(format!("{MACHINE} is this machine itself and has no other name")));
        }
        let (id, known) = (image.id.clone(), name.clone());
        self.store
            .change(move |state| {
                must_be_here(state, &id)?;
                state.catalogue.name(&id, &known, Utc::now());
                Ok(())
            })
            .await?;
        self.tell("tag", &image.id, &name.familiar(), &image.document);
        Ok(())
    }

    /// Takes a name away, and the image with its last one; an id takes the image with all its names away (several need
    /// `force`). An image that a container has is kept, nameless with `force`.
    pub async fn remove(
        &self,
        reference: &str,
        force: bool,
        in_use: &[Use],
    ) -> Result<Vec<ImageDeleteResponseItem>, Error> {
        self.remove_one(reference, force, in_use).await
    }

    /// Removes images without a name, and with `all` those that no container has; and layers that no image has and nobody
    /// holds. `filters`: `label`, `until`. Returns what went and the bytes gained.
    pub async fn prune(
        &self,
        all: bool,
        filters: &Filters,
        in_use: &[Use],
    ) -> Result<(Vec<ImageDeleteResponseItem>, u64), Error> {
        self.prune_all(all, filters, in_use).await
    }

    /// Images as `docker save` writes them (with an OCI index beside `manifest.json`).
    pub async fn save(&self, references: &[String]) -> Result<ByteStream, Error> {
        self.save_all(references).await
    }

    /// Takes in what `docker save` or an OCI layout holds.
    pub async fn load(&self, tar: ByteStream, news: mpsc::Sender<News>) -> Result<Vec<Image>, Error> {
        self.load_all(tar, &news).await
    }

    /// Makes an image of one layer (`docker import`): a tar, plain or compressed or not.
    pub async fn import(
        &self,
        tar: ByteStream,
        reference: Option<&str>,
        config: ImageConfig,
        message: &str,
    ) -> Result<Image, Error> {
        let names: Vec<_> = reference.into_iter().map(str::to_owned).collect();
        for name in &names {
            self.free_name(name)?;
        }
        let (staged, digest, _) = self.store.receive(tar, u64::MAX).await?;
        let blob = digest.clone();
        let kept = self.store.blocking(move |store| store.keep_path(&staged.path, &blob)).await?;
        let unpacked = self.store.unpack(&digest, None).await;
        drop(kept);
        // A blob of no layer, or of one that was here already.
        self.store.discard(vec![digest]).await?;
        let layer = unpacked?;
        let created = Some(Utc::now());
        let document = Document {
            created,
            architecture: machine::architecture().to_owned(),
            variant: machine::variant().to_owned(),
            os: "linux".to_owned(),
            config,
            rootfs: DocumentRootfs { kind: "layers".to_owned(), diff_ids: vec![layer.diff_id.clone()] },
            history: vec![History { created, comment: message.to_owned(), ..History::default() }],
            ..Document::default()
        };
        let image = self.add(&document, &names).await?;
        self.tell("import", &image.id, reference.unwrap_or(&image.id), &image.document);
        Ok(image)
    }

    /// Takes in what a build step has written into `upper`, which becomes the layer's folder and must lie on the file system
    /// of [`Layout::images`]. The same files give the same layer; it is kept from [`Images::prune`] while the returned value
    /// lives.
    pub async fn add_layer(&self, upper: &Path) -> Result<Layer, Error> {
        self.store.take_in(upper).await
    }

    /// A layer by `sha256:…` of its plain tar, if it is still here. It is kept while the value lives.
    pub async fn layer(&self, diff_id: &str) -> Option<Layer> {
        self.store.layer(diff_id)
    }

    /// Makes an image of layers that are here and gives it names.
    pub async fn add(&self, document: &Document, references: &[String]) -> Result<Image, Error> {
        let names: Vec<_> = references.iter().map(|name| self.free_name(name)).collect::<Result<_, _>>()?;
        self.register(document.to_bytes(), names, Vec::new()).await
    }

    /// Keeps a configuration whose layers are here as an image.
    async fn register(
        &self,
        configuration: Vec<u8>,
        names: Vec<Reference>,
        manifests: Vec<String>,
    ) -> Result<Image, Error> {
        let document = Document::parse(&configuration)
            .map_err(|error| Error::Invalid(format!("the image's configuration cannot be read: {error}")))?;
        let layers: Option<Vec<Layer>> = document.rootfs.diff_ids.iter().map(|id| self.store.layer(id)).collect();
        let layers = layers.ok_or_else(|| Error::NotFound("a layer of the image is not here".into()))?;
        let (id, _kept) = self.store.blocking(move |store| store.keep(&configuration)).await?;
        let (known, document) = (id.clone(), Arc::new(document));
        self.store
            .change(move |state| {
                state.documents.insert(known.clone(), document);
                let entry: &mut Entry = state.catalogue.images.entry(known.clone()).or_default();
                entry.manifests.extend(manifests);
                let now = Utc::now();
                for name in &names {
                    state.catalogue.name(&known, name, now);
                }
                Ok(())
            })
            .await?;
        // Held until the image refers to them.
        drop(layers);
        self.find(&id).await
    }

    /// The image that a text names, and what it was named by.
    fn lookup(&self, reference: &str) -> Result<(Image, Option<Reference>), Error> {
        if self.is_machine(reference) {
            return Ok(((*self.machine).clone(), None));
        }
        let Found { id, name } = self.store.state().catalogue.find(reference)?;
        self.image(&id).map(|image| (image, name)).ok_or_else(|| catalogue::not_found(reference))
    }

    /// An image by its whole id.
    fn image(&self, id: &str) -> Option<Image> {
        let (document, tags, digests) = {
            let state = self.store.state();
            let document = state.documents.get(id)?.clone();
            (document, state.catalogue.tags_of(id), state.catalogue.digests_of(id))
        };
        let layers: Option<Vec<Layer>> = document.rootfs.diff_ids.iter().map(|id| self.store.layer(id)).collect();
        let document = (*document).clone();
        Some(Image { id: id.to_owned(), document, layers: layers?, machine: false, tags, digests })
    }

    /// Whether a text names [`MACHINE`].
    fn is_machine(&self, reference: &str) -> bool {
        let digits = self.machine.id.trim_start_matches("sha256:");
        let by_name = Reference::parse(reference).is_ok_and(|name| name.or_latest().familiar() == MACHINE);
        by_name || reference == self.machine.id || reference == digits || reference == &digits[..catalogue::SHORT]
    }

    /// A name that an image can be given.
    fn free_name(&self, text: &str) -> Result<Reference, Error> {
        let name = Reference::parse(text)?;
        if name.digest.is_some() {
            return Err(Error::Invalid("refusing to create a tag with a digest reference".into()));
        }
        if self.is_machine(text) {
            return Err(Error::Forbidden(format!("{MACHINE} is this machine itself; no other image can be called so")));
        }
        Ok(name.or_latest())
    }

    /// Tells an event of an image, with its labels.
    fn tell(&self, action: &str, id: &str, name: &str, document: &Document) {
        let mut attributes = document.config.labels.clone().unwrap_or_default();
        attributes.insert("name".to_owned(), name.to_owned());
        self.store.events.tell(EventMessageTypeEnum::IMAGE, action, id, attributes);
    }
}

/// The client of registries gives up where it meets what it holds to be impossible; a registry can bring that about, and is
/// then what failed.
async fn unbroken<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.unwrap_or_else(|_| Err(Error::Failed("the registry sent what cannot be an answer".into())))
}

/// Tells a piece of news. That nobody listens any more is fine: who asked gives up by dropping the request.
async fn tell(news: &mpsc::Sender<News>, piece: News) {
    let _ = news.send(piece).await;
}

/// An error when the image has been removed meanwhile.
fn must_be_here(state: &State, id: &str) -> Result<(), Error> {
    if state.catalogue.images.contains_key(id) { Ok(()) } else { Err(catalogue::not_found(id)) }
}
