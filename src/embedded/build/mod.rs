//! Builds: a Dockerfile and a context to an image.

mod cache;
pub mod client;
pub mod context;
mod copy;
mod document;
mod execute;
mod fetch;
pub mod files;
pub(super) mod helper;
mod ignore;
mod lend;
mod mount;
mod plan;
pub mod progress;
mod run;
mod scope;
mod stage;
pub mod tell;
mod unpack;
mod work;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard_stubs::models::{AuthConfig, HostConfig};
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::cache::{Cache, Record};
use self::client::Client;
use self::execute::Build;
use self::files::{Origin, Source};
use self::scope::Arguments;
use self::stage::Outcome;
use self::tell::{Audience, Teller};
use super::ByteStream;
use super::error::Error;
use super::id;
use super::images::{Document, Images, Layer};
use super::layout::Layout;
use super::network::Networks;
use super::process::{self, Found};
use super::root::{self, Rootfs, View};
use super::spec::Machine;

/// Builds that run have a folder each here, below [`Layout::builds`].
const STAGING: &str = "staging";
/// What stands before a command's exit code, in the words of Docker's builder.
const NON_ZERO: &str = "returned a non-zero code: ";
/// `SIGKILL`.
const KILL: i32 = 9;

/// How something is built.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Path of the Dockerfile in the context.
    pub dockerfile: String,
    /// Names for the image.
    pub tags: Vec<String>,
    /// `--build-arg`; `None` takes the value of the predefined ones from nowhere.
    pub arguments: HashMap<String, Option<String>>,
    /// Labels of the image.
    pub labels: HashMap<String, String>,
    /// The stage to build; the last when empty.
    pub target: String,
    /// `os/arch`.
    pub platform: Option<String>,
    /// Use no cache.
    pub no_cache: bool,
    /// Use none in these stages.
    pub no_cache_for: Vec<String>,
    /// Pull base images even when they are here.
    pub pull: bool,
    /// `host`, `none`, or a network's name.
    pub network: String,
    /// Further lines of `/etc/hosts`: `name:address`.
    pub extra_hosts: Vec<String>,
    /// Images whose steps may be used as a cache, if this builder made them.
    pub cache_from: Vec<String>,
    /// Bytes of `/dev/shm` of `RUN`.
    pub shm_size: Option<u64>,
    /// Limits of `RUN`: of these the ones for memory, CPU and `ulimits` count.
    pub limits: HostConfig,
    /// What `RUN` calls its host; `build` when empty.
    pub hostname: String,
    /// Credentials by registry.
    pub credentials: HashMap<String, AuthConfig>,
    /// What names in `FROM` and `--from` stand for, before stages and images; keys as [`context_name`] makes them.
    pub contexts: BTreeMap<String, Named>,
}

/// What a name stands for that is given with a build.
#[derive(Debug, Clone)]
pub enum Named {
    /// An image.
    Image(String),
    /// A folder that the client offers under this name.
    Folder(String),
    /// What another build has made.
    Product(Arc<Product>),
}

/// A name of [`Options::contexts`] in the one form in which it is compared.
#[must_use]
pub fn context_name(name: &str) -> String {
    plan::plain_name(name).to_ascii_lowercase()
}

/// A build as it is asked for.
pub struct Order {
    /// How.
    pub options: Options,
    /// From what.
    pub origin: Origin,
    /// The client's folder with the Dockerfile, where that does not lie in the context.
    pub definition: Option<String>,
    /// The client, if it stays connected.
    pub client: Option<Arc<dyn Client>>,
    /// Who is told.
    pub audience: Audience,
}

/// What a build has made; its layers are kept as long as this lives.
pub struct Product {
    outcome: Arc<Outcome>,
    labels: HashMap<String, String>,
    epoch: Option<DateTime<Utc>>,
    no_cache: bool,
}

/// The files of what was built.
pub struct Unpacked {
    tar: Option<ByteStream>,
    room: PathBuf,
    /// Removes them.
    builds: TaskTracker,
}

/// Why a build came to nothing.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong, with its place in front where it has one.
    pub error: Error,
    /// The Dockerfile's name and text, where it was read.
    pub script: Option<(String, String)>,
}

/// A line of the stream that `POST /build` answers with (the classic builder's form).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct News {
    /// Text for people: `Step 2/5 : RUN …`, and output of steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// News of a pull.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Of which layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The image's id, at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<Built>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Likewise.
    #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
}

/// The image that a build made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Built {
    /// `sha256:…`.
    #[serde(rename = "ID")]
    pub id: String,
}

/// A failure in the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorDetail {
    /// The exit code of the step, 0 when that is not what failed.
    pub code: i64,
    /// Step, place in the Dockerfile, cause.
    pub message: String,
}

/// The line of the Dockerfile that a build's failure names.
#[must_use]
pub fn place(error: &Error, file: &str) -> Option<usize> {
    let text = error.to_string();
    let rest = text.strip_prefix(file)?.strip_prefix(':')?;
    rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

/// The code with which a step's command ended, of a build's failure; a client ends with the same.
#[must_use]
pub fn exit_code(error: &Error) -> Option<i64> {
    let text = error.to_string();
    let (_, rest) = text.rsplit_once(NON_ZERO)?;
    rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

/// Builds; clones share the cache.
#[derive(Debug, Clone)]
pub struct Builder {
    layout: Layout,
    images: Images,
    networks: Networks,
    machine: Arc<Machine>,
    cache: Cache,
    /// The builds that run, which outlive their callers as long as they clean up.
    builds: TaskTracker,
    /// Ends them all.
    end: CancellationToken,
}

impl Builder {
    /// With the cache of the folders; what a crash has left half-done is removed.
    pub async fn open(layout: &Layout, images: Images, networks: Networks) -> Result<Self, Error> {
        let cache = Cache::open(layout)?;
        clean(layout, &networks).await?;
        let machine = Arc::new(root::machine::detect()?);
        Ok(Self {
            layout: layout.clone(),
            images,
            networks,
            machine,
            cache,
            builds: TaskTracker::new(),
            end: CancellationToken::new(),
        })
    }

    /// Builds an image and names it as the options say; its id.
    pub async fn build(&self, order: Order) -> Result<String, Failure> {
        let tags = order.options.tags.clone();
        let news = match &order.audience {
            Audience::Lines { news, quiet } => Some((news.clone(), *quiet)),
            Audience::Steps(_) => None,
        };
        let product = self.make(order).await?;
        let id = self.image(&product, &tags).await?;
        if let Some((news, quiet)) = news {
            tell::end(&news, quiet, &id, &tags.iter().map(|tag| whole_name(tag)).collect::<Vec<_>>()).await;
        }
        Ok(id)
    }

    /// Builds, and makes no image of it yet. Dropped, it stops and cleans up behind itself. A failed step is an error whose
    /// text holds the step, its place and its exit code; its output has been told.
    pub async fn make(&self, order: Order) -> Result<Product, Failure> {
        let cancel = self.end.child_token();
        let _guard = cancel.clone().drop_guard();
        let builder = self.clone();
        // A task of its own, so that it can clean up when nobody waits for it any more.
        let made = self.builds.spawn(async move { builder.work(order, cancel).await }).await;
        made.map_err(|error| Error::Failed(format!("the build broke off: {error}")))?
    }

    /// The files of what was built as one tar.
    pub async fn files(&self, product: &Product) -> Result<Unpacked, Error> {
        let room = self.layout.builds().join(STAGING).join(id::random());
        let (upper, work) = (room.join("upper"), room.join("work"));
        for folder in [&upper, &work] {
            fs::create_dir_all(folder).map_err(Error::io(format!("make `{}`", folder.display())))?;
        }
        let mut unpacked = Unpacked { tar: None, room, builds: self.builds.clone() };
        let lower = product.layers().iter().rev().map(|layer| layer.folder.clone()).collect();
        let view = View::Stopped { rootfs: Rootfs::Layers { lower, upper, work }, binds: Vec::new() };
        unpacked.tar = Some(root::read(&self.layout, &view, "/.").await?.1);
        Ok(unpacked)
    }

    /// Bytes of the cache.
    pub async fn size(&self) -> u64 {
        let folder = self.layout.builds();
        tokio::task::spawn_blocking(move || cache::size(&folder).unwrap_or(0)).await.unwrap_or(0)
    }

    /// Empties the cache; the bytes gained.
    pub async fn prune(&self) -> Result<u64, Error> {
        self.cache.prune().await
    }

    /// Gives up all builds and waits until they have cleaned up; for the engine's stop.
    pub async fn close(&self) {
        self.end.cancel();
        self.builds.close();
        self.builds.wait().await;
    }

    async fn work(&self, order: Order, cancel: CancellationToken) -> Result<Product, Failure> {
        let staging = self.layout.builds().join(STAGING).join(id::random());
        fs::create_dir_all(&staging).map_err(Error::io(format!("make `{}`", staging.display())))?;
        let made = Box::pin(self.build_in(&staging, order, cancel)).await;
        let removed = root::remove(&staging).await;
        let made = made?;
        removed?;
        Ok(made)
    }

    async fn build_in(&self, staging: &Path, order: Order, cancel: CancellationToken) -> Result<Product, Failure> {
        let Order { options, origin, definition, client, audience } = order;
        let listener = match &audience {
            Audience::Steps(listener) => Some(listener.clone()),
            Audience::Lines { .. } => None,
        };
        let source = Source { client, staging: staging.to_owned(), listener, cancel: cancel.clone() };
        let file = Some(options.dockerfile.clone()).filter(|name| !name.is_empty()).unwrap_or("Dockerfile".into());
        let script = files::script(&source, origin, definition.as_deref(), &file).await?;
        let text = script.text.clone();
        let with_script = |error| Failure { error, script: Some((file.clone(), text.clone())) };
        let given = options.arguments.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        let platform = platform();
        let arguments = Arguments::new(given.collect(), &platform);
        let named = options.contexts.keys().cloned().collect();
        let plan = plan::plan(&text, &options.target, &arguments, named);
        let plan = plan.map_err(|problem| with_script(Error::Invalid(problem.of(&file))))?;
        let files = script.files(source, plan::paths(&plan));
        let build = Build {
            layout: self.layout.clone(),
            images: self.images.clone(),
            networks: self.networks.clone(),
            machine: self.machine.clone(),
            cache: self.cache.clone(),
            teller: Teller::new(audience, cancel.clone(), plan.needed.len()),
            outcomes: plan.stages.iter().map(|_| watch::Sender::new(None)).collect(),
            epoch: epoch(&arguments)?,
            bases: Mutex::default(),
            staging: staging.to_owned(),
            options,
            file: file.clone(),
            plan,
            files,
            arguments,
            platform,
            cancel,
        };
        build.check_platform(None)?;
        let outcome = Box::pin(build.make()).await.map_err(with_script)?;
        let Options { labels, no_cache, .. } = build.options;
        Ok(Product { outcome, labels, epoch: build.epoch, no_cache })
    }

    /// Makes an image of what was built and names it: the image of an earlier build of the same, or a new one. Its id.
    pub async fn image(&self, product: &Product, tags: &[String]) -> Result<String, Error> {
        let outcome = &product.outcome;
        let labels: BTreeMap<_, _> = product.labels.iter().collect();
        let history = outcome.document.history.iter().map(|step| step.created_by.as_str()).collect::<Vec<_>>();
        let how = format!("{labels:?} {:?} {history:?}", product.epoch);
        let key = cache::key(&["image", &outcome.key, &how]);
        let known = self.cache.find(&key).and_then(|record| record.made).filter(|_| !product.no_cache);
        if let Some(id) = known
            && self.images.find(&id).await.is_ok()
        {
            for tag in tags {
                self.images.tag(&id, tag).await?;
            }
            return Ok(id);
        }
        let created = product.epoch.unwrap_or_else(Utc::now);
        let document = product.document(created);
        let image = self.images.add(&document, tags).await?;
        self.cache.keep(&key, &Record { made: Some(image.id.clone()), created })?;
        Ok(image.id)
    }
}

impl Product {
    /// Its configuration, as an image that is made at this time has it.
    #[must_use]
    pub fn document(&self, created: DateTime<Utc>) -> Document {
        let mut document = stage::finish(self.outcome.document.clone(), &self.outcome.layers, created);
        document::label(&mut document.config, &self.labels);
        document
    }

    /// Its layers, lowest first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.outcome.layers
    }
}

impl Unpacked {
    /// The tar; it can be taken once.
    pub fn tar(&mut self) -> ByteStream {
        self.tar.take().unwrap_or_else(|| futures_util::stream::empty().boxed())
    }

    /// A folder in which there is room as long as this lives.
    #[must_use]
    pub fn room(&self) -> &Path {
        &self.room
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        self.tar = None;
        let room = std::mem::take(&mut self.room);
        // What resists is removed by the next start of the engine.
        self.builds.spawn(async move { root::remove(&room).await });
    }
}

impl fmt::Debug for Product {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Product").field("key", &self.outcome.key).finish_non_exhaustive()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, script: None }
    }
}

/// The time that everything is given (`SOURCE_DATE_EPOCH`).
fn epoch(arguments: &Arguments) -> Result<Option<DateTime<Utc>>, Error> {
    let read = |text: &String| {
        let time = text.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        time.ok_or_else(|| Error::Invalid(format!("SOURCE_DATE_EPOCH={text}: it takes seconds since 1970")))
    };
    arguments.given.get("SOURCE_DATE_EPOCH").map(read).transpose()
}

/// Removes what builds of an engine that was killed have left.
async fn clean(layout: &Layout, networks: &Networks) -> Result<(), Error> {
    for entry in cache::read(&layout.mounts())? {
        if entry.extension().is_some_and(|ending| ending == lend::FOLDER.trim_start_matches('.')) {
            root::remove(&entry).await?;
        }
    }
    let staging = layout.builds().join(STAGING);
    for build in cache::read(&staging)? {
        for room in cache::read(&build).unwrap_or_default() {
            let name = room.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            // A step's room bears the name of its container, if it has one.
            if name.len() == 64 && room.is_dir() {
                if let Found::Running(running) = process::find(layout, &name).await? {
                    // It may end at the same moment by itself.
                    let _ = running.signal(KILL).await;
                    running.wait().await;
                }
                process::forget(layout, &name).await?;
                networks.leave(&name).await?;
            }
        }
        root::remove(&build).await?;
    }
    Ok(())
}

/// This machine's platform, as images name it.
fn platform() -> String {
    match std::env::consts::ARCH {
        "x86_64" => "linux/amd64".into(),
        "x86" => "linux/386".into(),
        "aarch64" => "linux/arm64".into(),
        "arm" => "linux/arm/v7".into(),
        "powerpc64" => "linux/ppc64le".into(),
        other => format!("linux/{other}"),
    }
}

/// A name with its tag.
#[must_use]
pub fn whole_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}
