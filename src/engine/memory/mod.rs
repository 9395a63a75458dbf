//! An engine of maps, for tests: deterministic, without a clock, without processes.
//!
//! What a container does comes from its command, read as a line of a very small shell (`echo`, `exit`, `true`, `false`;
//! anything else runs for ever), and from the test, which can end it ([`Memory::exit`]), change its health
//! ([`Memory::set_health`]) or let the next build or start fail. It passes the contract suite of the real engines, and
//! builds read their context from the disk as these do.

mod build;
mod command;
mod state;

use std::collections::{BTreeMap, VecDeque};
use std::io::Read as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{ContainerEvent, Engine, EngineError, ExecOutcome, LogChunk, LogOptions, Made, Progress, Wanted};
use crate::plan::observed::{
    Abilities, Container, ContainerId, ContainerState, Health, Image, Observed, ObservedNetwork, ObservedVolume,
};
use crate::plan::operation::Restarted;
use crate::plan::spec::{BuildSpec, ContainerSpec, NetworkSpec, VolumeSpec, label};
use crate::project::Hook;
use state::{State, StoredImage};

/// How much of a command's output is kept.
const OUTPUT_LIMIT: usize = 64 * 1024;

/// An engine of maps. Clones share everything.
#[derive(Debug, Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    /// Raised with every change; wakes the streams.
    changes: Arc<watch::Sender<u64>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { state: Arc::default(), changes: Arc::new(watch::Sender::new(0)) }
    }
}

impl Memory {
    /// An empty engine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an image there, as if somebody had built or pulled it.
    pub fn add_image(&self, reference: &str) {
        let image = Image { id: format!("sha256:{reference}"), identity: reference.to_owned(), ..Default::default() };
        self.change(|state| state.images.insert(reference.to_owned(), StoredImage { image, command: Vec::new() }));
    }

    /// Lets a pull of this reference succeed; every other one fails.
    pub fn offer_image(&self, reference: &str) {
        self.change(|state| state.offered.insert(reference.to_owned()));
    }

    /// Ends a container's process as if it had exited by itself; its restart policy applies.
    pub fn exit(&self, id: &str, code: i64) {
        self.change(|state| state.exit(id, code, true));
    }

    /// Changes what a container's healthcheck says.
    pub fn set_health(&self, id: &str, health: Health) {
        self.change(|state| state.set_health(id, health));
    }

    /// Lets a container write.
    pub fn write_log(&self, id: &str, stderr: bool, text: &str) {
        let chunk = LogChunk { stderr, bytes: Bytes::copy_from_slice(text.as_bytes()) };
        self.change(|state| {
            if let Some(stored) = state.containers.get_mut(id) {
                stored.log.push(chunk);
            }
        });
    }

    /// Lets the next build of a service fail with this.
    pub fn fail_next_build(&self, service: &str, error: EngineError) {
        self.change(|state| state.failing_builds.entry(service.to_owned()).or_default().push_back(error));
    }

    /// Lets the next start of a container of a service fail with this.
    pub fn fail_next_start(&self, service: &str, error: EngineError) {
        self.change(|state| state.failing_starts.entry(service.to_owned()).or_default().push_back(error));
    }

    /// Makes a followed log end at once when its container does, before it has handed over all that was written.
    pub fn cut_followed_logs(&self) {
        self.change(|state| state.cuts_followed_logs = true);
    }

    /// Makes the engine stop answering, or answer again.
    pub fn set_reachable(&self, reachable: bool) {
        self.change(|state| state.unreachable = !reachable);
    }

    /// How often something was built for a service, failures included.
    #[must_use]
    pub fn builds(&self, service: &str) -> usize {
        self.lock().builds.get(service).copied().unwrap_or(0)
    }

    /// The content of a file that was copied into a container.
    #[must_use]
    pub fn file(&self, id: &str, path: &str) -> Option<Vec<u8>> {
        self.lock().containers.get(id)?.files.get(path.trim_start_matches('/')).cloned()
    }

    /// What a container was made from.
    #[must_use]
    pub fn spec(&self, id: &str) -> Option<ContainerSpec> {
        self.lock().containers.get(id).map(|stored| stored.spec.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changes.send_modify(|count| *count += 1);
        result
    }

    /// As [`Memory::change`], for what the engine is asked from outside.
    fn ask<T>(&self, change: impl FnOnce(&mut State) -> Result<T, EngineError>) -> Result<T, EngineError> {
        if self.lock().unreachable {
            return Err(unreachable_engine());
        }
        self.change(change)
    }

    /// The news of a build and what it came to.
    fn built(&self, spec: &BuildSpec, digest: &str, dockerfile: &str) -> (Vec<Progress>, Result<Image, EngineError>) {
        let mut news = Vec::new();
        let result = self.ask(|state| {
            *state.builds.entry(spec.service.clone()).or_default() += 1;
            if let Some(error) = state.failing_builds.get_mut(&spec.service).and_then(VecDeque::pop_front) {
                return Err(error);
            }
            let outcome = build::run(dockerfile, spec, digest);
            news = outcome.news;
            if let Some(error) = outcome.error {
                return Err(error);
            }
            let image = outcome.image.image.clone();
            state.images.insert(spec.image.clone(), outcome.image);
            Ok(image)
        });
        (news, result)
    }
}

fn unreachable_engine() -> EngineError {
    EngineError::Unreachable { message: "the engine does not answer".to_owned() }
}

impl Engine for Memory {
    async fn observe(&self, project: &str, wanted: &Wanted) -> Result<Observed, EngineError> {
        self.ask(|state| Ok(observe(state, project, wanted)))
    }

    async fn container(&self, id: &str) -> Result<Option<Container>, EngineError> {
        self.ask(|state| Ok(state.containers.get(id).map(|stored| stored.container.clone())))
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>, EngineError> {
        self.ask(|state| Ok(state.image(reference).map(|stored| stored.image.clone())))
    }

    fn events(&self, project: &str) -> BoxStream<'static, Result<ContainerEvent, EngineError>> {
        let (engine, project, changes) = (self.clone(), project.to_owned(), self.changes.subscribe());
        let next = self.lock().events.len();
        stream::unfold((engine, project, changes, next), |(engine, project, mut changes, mut next)| async move {
            loop {
                changes.borrow_and_update();
                let found = {
                    let state = engine.lock();
                    if state.unreachable {
                        return None;
                    }
                    let found = state.events.iter().enumerate().skip(next).find(|(_, event)| event.0 == project);
                    found.map(|(index, event)| (index, event.1.clone()))
                };
                if let Some((index, id)) = found {
                    next = index + 1;
                    return Some((Ok(ContainerEvent { id, exited: None }), (engine, project, changes, next)));
                }
                // The sender lives in `engine`.
                changes.changed().await.ok()?;
            }
        })
        .boxed()
    }

    async fn create_network(&self, spec: &NetworkSpec) -> Result<(), EngineError> {
        self.ask(|state| {
            let id = state.next_id("network");
            let network = ObservedNetwork { id, created_at: state.tick(), labels: spec.labels.clone() };
            state.networks.entry(spec.network.name.clone()).or_insert(network);
            Ok(())
        })
    }

    async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        self.ask(|state| {
            let used = state.containers.values().any(|stored| {
                stored.container.state.is_running() && stored.container.networks.iter().any(|used| used == name)
            });
            if used && state.networks.contains_key(name) {
                return Err(EngineError::Refused { message: format!("network {name} has active endpoints") });
            }
            state.networks.remove(name);
            Ok(())
        })
    }

    async fn create_volume(&self, spec: &VolumeSpec) -> Result<(), EngineError> {
        self.ask(|state| {
            let volume = ObservedVolume { labels: spec.labels.clone() };
            state.volumes.entry(spec.volume.name.clone()).or_insert(volume);
            Ok(())
        })
    }

    async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        self.ask(|state| {
            let used = state.containers.values().any(|stored| stored.spec.volumes.values().any(|used| used == name));
            if used && state.volumes.contains_key(name) {
                return Err(EngineError::Refused { message: format!("volume {name} is in use") });
            }
            state.volumes.remove(name);
            Ok(())
        })
    }

    async fn pull(
        &self,
        image: &str,
        _platform: Option<&str>,
        progress: mpsc::Sender<Progress>,
        cancel: CancellationToken,
    ) -> Result<Image, EngineError> {
        if cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        let offered = self.ask(|state| Ok(state.offered.contains(image) || state.images.contains_key(image)))?;
        if !offered {
            return Err(EngineError::NotFound { message: format!("no registry has `{image}`") });
        }
        // Nobody has to listen.
        let _ = progress.try_send(Progress::Bytes { received: 1, total: Some(1) });
        self.add_image(image);
        self.image(image).await?.ok_or_else(unreachable_engine)
    }

    async fn build(
        &self,
        spec: &BuildSpec,
        progress: mpsc::Sender<Progress>,
        cancel: CancellationToken,
    ) -> Result<Image, EngineError> {
        let building = async {
            let (digest, dockerfile) = build::read_context(spec.clone()).await?;
            let (news, result) = self.built(spec, &digest, &dockerfile);
            for news in news {
                // Nobody has to listen.
                let _ = progress.send(news).await;
            }
            result
        };
        cancel.run_until_cancelled(building).await.unwrap_or(Err(EngineError::Cancelled))
    }

    async fn tag_image(&self, image: &str, name: &str) -> Result<(), EngineError> {
        self.ask(|state| {
            let gone = || EngineError::NotFound { message: format!("no image {image}") };
            let stored = state.image(image).cloned().ok_or_else(gone)?;
            state.images.insert(name.to_owned(), stored);
            Ok(())
        })
    }

    async fn remove_image(&self, reference: &str) -> Result<(), EngineError> {
        self.ask(|state| {
            let Some(id) = state.image(reference).map(|stored| stored.image.id.clone()) else { return Ok(()) };
            if state.containers.values().any(|stored| stored.container.image_id == id) {
                return Err(EngineError::Refused { message: format!("image {reference} is in use by a container") });
            }
            state.images.retain(|name, stored| name != reference && stored.image.id != reference);
            Ok(())
        })
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<Made, EngineError> {
        self.ask(|state| Ok(Made { container: state.create(spec)?, warnings: Vec::new() }))
    }

    async fn start_container(&self, id: &str) -> Result<Container, EngineError> {
        self.ask(|state| state.start(id))
    }

    async fn restart_container(
        &self,
        id: &str,
        grace: Option<Duration>,
        _what: Restarted,
    ) -> Result<Container, EngineError> {
        self.stop_container(id, grace).await?;
        self.start_container(id).await
    }

    async fn stop_container(&self, id: &str, grace: Option<Duration>) -> Result<Option<Container>, EngineError> {
        self.ask(|state| {
            let code = if grace == Some(Duration::ZERO) { 137 } else { 143 };
            state.exit(id, code, false);
            Ok(state.containers.get(id).map(|stored| stored.container.clone()))
        })
    }

    async fn kill_container(&self, id: &str, signal: &str) -> Result<(), EngineError> {
        self.ask(|state| {
            state.existing(id)?;
            if matches!(signal, "SIGKILL" | "KILL" | "9") {
                state.exit(id, 137, false);
            }
            Ok(())
        })
    }

    async fn remove_container(&self, id: &str, _volumes: bool) -> Result<(), EngineError> {
        self.ask(|state| {
            state.remove(id);
            Ok(())
        })
    }

    async fn rename_container(&self, id: &str, name: &str) -> Result<(), EngineError> {
        self.ask(|state| state.rename(id, name))
    }

    async fn exec(&self, id: &str, hook: &Hook) -> Result<ExecOutcome, EngineError> {
        self.ask(|state| {
            let stored = state.existing(id)?;
            if stored.container.state != ContainerState::Running {
                return Err(EngineError::Refused { message: format!("container {id} is not running") });
            }
            let outcome = command::run(&hook.command);
            let mut output = String::new();
            for (_, line) in &outcome.output {
                output.push_str(line);
                output.push('\n');
            }
            output.truncate(output.floor_char_boundary(OUTPUT_LIMIT));
            Ok(ExecOutcome { code: outcome.code.unwrap_or(0), output })
        })
    }

    fn logs(&self, id: &str, options: &LogOptions) -> BoxStream<'static, Result<LogChunk, EngineError>> {
        let Some(length) = self.lock().containers.get(id).map(|stored| stored.log.len()) else {
            let error = EngineError::NotFound { message: format!("no such container: {id}") };
            return stream::iter([Err(error)]).boxed();
        };
        let tail = options.tail.map_or(length, |lines| usize::try_from(lines).unwrap_or(usize::MAX));
        let (engine, id, follow) = (self.clone(), id.to_owned(), options.follow);
        let (changes, next) = (self.changes.subscribe(), length.saturating_sub(tail));
        stream::unfold((engine, id, changes, next), move |(engine, id, mut changes, next)| async move {
            loop {
                changes.borrow_and_update();
                let (chunk, ended) = {
                    let state = engine.lock();
                    let stored = state.containers.get(&id)?;
                    let ended = !stored.container.state.is_running();
                    let is_cut = ended && follow && state.cuts_followed_logs;
                    (stored.log.get(next).filter(|_| !is_cut).cloned(), ended)
                };
                if let Some(chunk) = chunk {
                    return Some((Ok(chunk), (engine, id, changes, next + 1)));
                }
                if ended || !follow {
                    return None;
                }
                // The sender lives in `engine`.
                changes.changed().await.ok()?;
            }
        })
        .boxed()
    }

    fn download(&self, id: &str, path: &str) -> BoxStream<'static, Result<Bytes, EngineError>> {
        let archive = self.ask(|state| {
            let gone = || EngineError::NotFound { message: format!("no {path} in {id}") };
            pack(&state.existing(id)?.files, path).ok_or_else(gone)
        });
        stream::iter([archive]).boxed()
    }

    async fn upload(&self, id: &str, folder: &str, tar: Bytes) -> Result<(), EngineError> {
        let files = unpack(folder, &tar)
            .map_err(|error| EngineError::Refused { message: format!("the tar cannot be read: {error}") })?;
        self.ask(|state| {
            state.existing(id)?.files.extend(files);
            Ok(())
        })
    }
}

/// What is at a path, below the path's last name, as engines give it.
fn pack(files: &BTreeMap<String, Vec<u8>>, path: &str) -> Option<Bytes> {
    let path = path.trim_matches('/');
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut builder = tar::Builder::new(Vec::new());
    let mut is_there = false;
    for (name, content) in files {
        if name != path && !name.starts_with(&format!("{path}/")) {
            continue;
        }
        is_there = true;
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let inside = name[folder.len()..].trim_start_matches('/');
        builder.append_data(&mut header, inside, &content[..]).ok()?;
    }
    builder.into_inner().ok().filter(|_| is_there).map(Bytes::from)
}

fn unpack(folder: &str, tar: &[u8]) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let path = format!("{folder}/{}", entry.path()?.display());
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        files.insert(path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"), content);
    }
    Ok(files)
}

fn observe(state: &State, project: &str, wanted: &Wanted) -> Observed {
    let own = |labels: &BTreeMap<String, String>| labels.get(label::PROJECT).is_some_and(|name| name == project);
    let containers: BTreeMap<ContainerId, Container> = state
        .containers
        .iter()
        .filter(|(_, stored)| own(&stored.container.labels))
        .map(|(id, stored)| (id.clone(), stored.container.clone()))
        .collect();
    let run = containers.values().map(|container| &container.image_id);
    let references = wanted.images.iter().chain(run);
    let mut images: BTreeMap<String, Image> =
        references.filter_map(|reference| Some((reference.clone(), state.image(reference)?.image.clone()))).collect();
    let by_id: Vec<Image> = images.values().cloned().collect();
    images.extend(by_id.into_iter().map(|image| (image.id.clone(), image)));
    let named = |wanted: &[String], name: &String| wanted.iter().any(|wanted| wanted == name);
    let networks = state.networks.iter();
    let networks = networks.filter(|(name, network)| own(&network.labels) || named(&wanted.networks, name));
    let volumes = state.volumes.iter();
    let volumes = volumes.filter(|(name, volume)| own(&volume.labels) || named(&wanted.volumes, name));
    Observed {
        containers,
        networks: networks.map(|(name, network)| (name.clone(), network.clone())).collect(),
        volumes: volumes.map(|(name, volume)| (name.clone(), volume.clone())).collect(),
        images,
        abilities: Abilities::default(),
    }
}
