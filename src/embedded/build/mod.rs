//! Builds: a Dockerfile and a context to an image.

mod cache;
mod context;
mod copy;
mod dockerfile;
mod document;
mod execute;
mod fetch;
pub(super) mod helper;
mod ignore;
mod instruction;
mod mount;
mod pattern;
mod plan;
mod problem;
mod run;
mod scope;
mod stage;
mod tell;
mod unpack;
mod words;
mod work;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bollard_stubs::models::AuthConfig;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::cache::{Cache, Record};
use self::context::Context;
use self::execute::Build;
use self::ignore::Ignore;
use self::scope::Arguments;
use self::stage::Outcome;
use self::tell::Teller;
use super::ByteStream;
use super::error::Error;
use super::id;
use super::images::Images;
use super::layout::Layout;
use super::network::Networks;
use super::process::{self, Found};
use super::root;
use super::spec::Machine;

/// Builds that run have a folder each here, below [`Layout::builds`].
const STAGING: &str = "staging";
/// What stands before a command's exit code, in the words of Docker's builder.
const NON_ZERO: &str = "returned a non-zero code: ";
/// `SIGKILL`.
const KILL: i32 = 9;

/// What `POST /build` is asked.
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
    /// Pull base images even when they are here.
    pub pull: bool,
    /// `host`, `none`, or a network's name.
    pub network: String,
    /// Further lines of `/etc/hosts`: `name:address`.
    pub extra_hosts: Vec<String>,
    /// Images whose layers may be used as cache.
    pub cache_from: Vec<String>,
    /// Bytes of `/dev/shm` of `RUN`.
    pub shm_size: Option<u64>,
    /// Credentials by registry.
    pub credentials: HashMap<String, AuthConfig>,
    /// Say nothing but the image's id.
    pub quiet: bool,
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

    /// Builds an image from a tar (plain or compressed) and returns its id. Dropped, it stops and cleans up behind itself. A
    /// failed step is an error whose text holds the step, its place and its exit code; its output has been told.
    pub async fn build(
        &self,
        options: &Options,
        context: ByteStream,
        news: mpsc::Sender<News>,
    ) -> Result<String, Error> {
        let cancel = self.end.child_token();
        let _guard = cancel.clone().drop_guard();
        let (builder, options) = (self.clone(), options.clone());
        // A task of its own, so that it can clean up when nobody waits for it any more.
        let built = self.builds.spawn(async move { builder.work(options, context, news, cancel).await }).await;
        built.map_err(|error| Error::Failed(format!("the build broke off: {error}")))?
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

    async fn work(
        &self,
        options: Options,
        context: ByteStream,
        news: mpsc::Sender<News>,
        cancel: CancellationToken,
    ) -> Result<String, Error> {
        let staging = self.layout.builds().join(STAGING).join(id::random());
        fs::create_dir_all(&staging).map_err(Error::io(format!("make `{}`", staging.display())))?;
        let built = Box::pin(self.build_in(&staging, options, context, news, cancel)).await;
        let removed = root::remove(&staging).await;
        let built = built?;
        removed?;
        Ok(built)
    }

    async fn build_in(
        &self,
        staging: &Path,
        options: Options,
        context: ByteStream,
        news: mpsc::Sender<News>,
        cancel: CancellationToken,
    ) -> Result<String, Error> {
        let mut context = Context::receive(context, staging.join("context"), cancel.clone()).await?;
        let file = Some(options.dockerfile.clone()).filter(|name| !name.is_empty()).unwrap_or("Dockerfile".into());
        let text = context.text(&file, dockerfile::LARGEST)?;
        let text = text.ok_or_else(|| Error::Invalid(format!("the build context has no `{file}`")))?;
        for name in [format!("{file}.dockerignore"), ".dockerignore".to_owned()] {
            if let Some(rules) = context.text(&name, dockerfile::LARGEST)? {
                context.ignore(&Ignore::new(&rules).map_err(|why| Error::Invalid(format!("{name}: {why}")))?);
                break;
            }
        }
        let given = options.arguments.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        let platform = platform();
        let arguments = Arguments::new(given.collect(), &platform);
        let plan = plan::plan(&text, &options.target, &arguments).map_err(|problem| problem.of(&file))?;
        let epoch = arguments.given.get("SOURCE_DATE_EPOCH").map(|text| {
            let time = text.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
            time.ok_or_else(|| Error::Invalid(format!("SOURCE_DATE_EPOCH={text}: it takes seconds since 1970")))
        });
        let build = Build {
            layout: self.layout.clone(),
            images: self.images.clone(),
            networks: self.networks.clone(),
            machine: self.machine.clone(),
            cache: self.cache.clone(),
            teller: Teller::new(news, options.quiet, cancel.clone(), plan.needed.len()),
            outcomes: plan.stages.iter().map(|_| watch::Sender::new(None)).collect(),
            epoch: epoch.transpose()?,
            bases: Mutex::default(),
            staging: staging.to_owned(),
            options,
            file,
            plan,
            context,
            arguments,
            platform,
            cancel,
        };
        build.check_platform(None)?;
        let outcome = build.make().await?;
        let id = self.image(&build, &outcome).await?;
        build.teller.end(&id, &build.options.tags.iter().map(|tag| whole_name(tag)).collect::<Vec<_>>()).await;
        Ok(id)
    }

    /// The image of what was built: the one of an earlier build of the same, or a new one.
    async fn image(&self, build: &Build, outcome: &Outcome) -> Result<String, Error> {
        let labels: BTreeMap<_, _> = build.options.labels.iter().collect();
        let history = outcome.document.history.iter().map(|step| step.created_by.as_str()).collect::<Vec<_>>();
        let how = format!("{labels:?} {:?} {history:?}", build.epoch);
        let key = cache::key(&["image", &outcome.key, &how]);
        let known = self.cache.find(&key).and_then(|record| record.made).filter(|_| !build.options.no_cache);
        if let Some(id) = known
            && self.images.find(&id).await.is_ok()
        {
            for tag in &build.options.tags {
                self.images.tag(&id, tag).await?;
            }
            return Ok(id);
        }
        let created = build.epoch.unwrap_or_else(Utc::now);
        let mut document = stage::finish(outcome.document.clone(), &outcome.layers, created);
        document::label(&mut document.config, &build.options.labels);
        let image = self.images.add(&document, &build.options.tags).await?;
        self.cache.keep(&key, &Record { made: Some(image.id.clone()), created })?;
        Ok(image.id)
    }
}

/// Removes what builds of an engine that was killed have left.
async fn clean(layout: &Layout, networks: &Networks) -> Result<(), Error> {
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
fn whole_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}
