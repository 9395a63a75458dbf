//! The Docker Engine API over bollard: any engine that serves it, from API 1.41 on. Carries out what it is told, asks
//! what it is asked, and keeps no state of its own but the shells that make it faster.

mod build;
mod container;
mod create;
mod error;
mod holder;
mod inspect;
mod interactive;
mod kit;
mod observe;
mod own;
pub(super) mod ping;
mod program;
mod progress;
mod pull;
mod push;
mod shell;
mod stream;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{Ipam as ApiIpam, IpamConfig, NetworkCreateRequest, VolumeCreateRequest};
use bollard::query_parameters::{RemoveImageOptions, RemoveVolumeOptions, TagImageOptions};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::ready;
use futures_util::stream::{BoxStream, once};
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

use super::credentials::Credentials;
use super::{
    ContainerEvent, Engine, EngineError, ExecOutcome, LogChunk, LogOptions, Made, Progress, Wanted, discovery,
};
use crate::content::Hashes;
use crate::plan::observed::{Abilities, Container, Image, Observed};
use crate::plan::operation::Restarted;
use crate::plan::spec::{BuildSpec, ContainerSpec, NetworkSpec, VolumeSpec};
use crate::project::{Hook, Ipam};

use error::{from_bollard, is_not_found, status_of};
pub use interactive::{Attached, ExecOptions};
pub(super) use ping::Greeting;
use program::Programs;
use shell::Shells;

/// How long an answer may take to begin that waits for something outside the engine: a container's end, a build.
const PATIENCE: Duration = Duration::from_hours(30 * 24);

/// A connection to an engine that speaks the Docker API. Clones share it.
#[derive(Clone)]
pub struct Docker {
    /// For what an engine answers by itself.
    client: bollard::Docker,
    /// For what takes as long as it takes.
    patient: bollard::Docker,
    facts: Arc<Facts>,
    /// Asked for once, when it is first of use.
    abilities: Arc<OnceCell<Abilities>>,
    credentials: Credentials,
    /// What is known of the files that are built from.
    hashes: Hashes,
    shells: Shells,
    programs: Programs,
}

/// What is known of an engine since it was found.
#[derive(Debug, Clone)]
struct Facts {
    address: String,
    version: Version,
    buildkit: bool,
    /// The engine sees the same files as this process.
    local: bool,
}

/// A version of the Docker API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16, pub u16);

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.0, self.1)
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (major, minor) = text.split_once('.').ok_or(())?;
        Ok(Self(major.parse().map_err(drop)?, minor.parse().map_err(drop)?))
    }
}

impl fmt::Debug for Docker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Docker").field(&self.facts).finish()
    }
}

impl Docker {
    /// Finds an engine as the docker CLI does, and then on the usual sockets.
    ///
    /// `asked` is what `--engine` says: a URL, the path of a socket, the name of a docker context, or `docker` or
    /// `podman` for the usual sockets of these. The error lists what was tried.
    pub async fn connect(asked: Option<&str>) -> Result<Self, EngineError> {
        discovery::connect(asked).await
    }

    pub(super) fn new(
        client: bollard::Docker,
        greeting: &Greeting,
        address: String,
        local: bool,
        credentials: Credentials,
    ) -> Self {
        let patient = client.clone().with_timeout(PATIENCE);
        let facts = Facts { address, version: greeting.version, buildkit: greeting.buildkit, local };
        Self {
            client,
            patient,
            facts: Arc::new(facts),
            abilities: Arc::default(),
            credentials,
            hashes: Hashes::default(),
            shells: Shells::default(),
            programs: Programs::default(),
        }
    }

    /// The same engine, building with the classic builder even where it has BuildKit (`DOCKER_BUILDKIT=0`).
    #[must_use]
    pub fn without_buildkit(mut self) -> Self {
        self.facts = Arc::new(Facts { buildkit: false, ..(*self.facts).clone() });
        self
    }

    /// The same engine, with the registry credentials of the docker config in this folder.
    #[must_use]
    pub fn with_docker_config(mut self, folder: &Path) -> Self {
        self.credentials = Credentials::in_folder(Some(folder.to_owned()));
        self
    }

    /// The same engine; what it reads for a build adds to what is known of files.
    #[must_use]
    pub fn with_hashes(mut self, hashes: Hashes) -> Self {
        self.hashes = hashes;
        self
    }

    /// Where the engine was found: `unix:///var/run/docker.sock`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.facts.address
    }

    /// The newest API that the engine speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.facts.version
    }

    async fn make_network(&self, spec: &NetworkSpec) -> Result<(), EngineError> {
        let network = &spec.network;
        // Engines before API 1.44 would make a second network of the same name.
        if self.network(&network.name).await?.is_some() {
            return Ok(());
        }
        let request = NetworkCreateRequest {
            name: network.name.clone(),
            driver: network.driver.clone(),
            internal: Some(network.internal),
            attachable: Some(network.attachable),
            enable_ipv4: network.enable_ipv4,
            enable_ipv6: network.enable_ipv6,
            options: Some(network.driver_opts.clone().into_iter().collect()),
            labels: Some(spec.labels.clone().into_iter().collect()),
            ipam: ipam(&network.ipam),
            ..Default::default()
        };
        match self.client.create_network(request).await {
            Ok(_) => Ok(()),
            Err(error) if status_of(&error) == Some(409) => Ok(()),
            Err(error) => Err(from_bollard(error)),
        }
    }
}

/// A reference as repository and tag. A colon before the last slash is a port's.
fn split_tag(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (reference, "latest"),
    }
}

fn ipam(ipam: &Ipam) -> Option<ApiIpam> {
    if *ipam == Ipam::default() {
        return None;
    }
    let pools = ipam.pools.iter().map(|pool| IpamConfig {
        subnet: pool.subnet.clone(),
        ip_range: pool.ip_range.clone(),
        gateway: pool.gateway.clone(),
        auxiliary_addresses: Some(pool.aux_addresses.clone().into_iter().collect()),
    });
    let options: HashMap<_, _> = ipam.options.clone().into_iter().collect();
    Some(ApiIpam {
        driver: ipam.driver.clone(),
        config: Some(pools.collect()),
        options: Some(options).filter(|it| !it.is_empty()),
    })
}

/// What an error of bollard means, in words.
pub(super) fn message(error: bollard::errors::Error) -> String {
    from_bollard(error).to_string()
}

/// Success, also when the thing was gone already.
fn gone<T>(result: Result<T, bollard::errors::Error>) -> Result<(), EngineError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => Err(from_bollard(error)),
    }
}

impl Engine for Docker {
    async fn observe(&self, project: &str, wanted: &Wanted) -> Result<Observed, EngineError> {
        self.observed(project, wanted).await
    }

    async fn container(&self, id: &str) -> Result<Option<Container>, EngineError> {
        self.inspected(id, None).await
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>, EngineError> {
        self.inspected_image(reference).await
    }

    fn events(&self, project: &str) -> BoxStream<'static, Result<ContainerEvent, EngineError>> {
        self.event_stream(project)
    }

    async fn create_network(&self, spec: &NetworkSpec) -> Result<(), EngineError> {
        self.make_network(spec).await
    }

    async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        gone(self.client.remove_network(name).await)
    }

    async fn create_volume(&self, spec: &VolumeSpec) -> Result<(), EngineError> {
        let request = VolumeCreateRequest {
            name: Some(spec.volume.name.clone()),
            driver: spec.volume.driver.clone(),
            driver_opts: Some(spec.volume.driver_opts.clone().into_iter().collect()),
            labels: Some(spec.labels.clone().into_iter().collect()),
            ..Default::default()
        };
        self.client.create_volume(request).await.map(drop).map_err(from_bollard)
    }

    async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        gone(self.client.remove_volume(name, None::<RemoveVolumeOptions>).await)
    }

    async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        progress: mpsc::Sender<Progress>,
        cancel: CancellationToken,
    ) -> Result<Image, EngineError> {
        self.pull_image(image, platform, progress, cancel).await
    }

    async fn build(
        &self,
        spec: &BuildSpec,
        progress: mpsc::Sender<Progress>,
        cancel: CancellationToken,
    ) -> Result<Image, EngineError> {
        self.build_image(spec, progress, cancel).await
    }

    async fn tag_image(&self, image: &str, name: &str) -> Result<(), EngineError> {
        let (repository, tag) = split_tag(name);
        let options = TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
        self.client.tag_image(image, Some(options)).await.map_err(from_bollard)
    }

    async fn remove_image(&self, reference: &str) -> Result<(), EngineError> {
        gone(self.client.remove_image(reference, None::<RemoveImageOptions>, None).await)
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<Made, EngineError> {
        self.create(spec).await
    }

    async fn start_container(&self, id: &str) -> Result<Container, EngineError> {
        let started = self.start(id).await?;
        self.reopen_shell(id);
        Ok(started)
    }

    async fn stop_container(&self, id: &str, grace: Option<Duration>) -> Result<Option<Container>, EngineError> {
        self.stop(id, grace).await
    }

    async fn restart_container(
        &self,
        id: &str,
        grace: Option<Duration>,
        what: Restarted,
    ) -> Result<Container, EngineError> {
        let again = match what {
            Restarted::Program => self.restart_program(id, grace).await?,
            Restarted::Container => None,
        };
        let started = match again {
            Some(started) => started,
            None => self.restart(id, grace).await?,
        };
        self.reopen_shell(id);
        Ok(started)
    }

    async fn kill_container(&self, id: &str, signal: &str) -> Result<(), EngineError> {
        self.kill(id, signal).await
    }

    async fn remove_container(&self, id: &str, volumes: bool) -> Result<(), EngineError> {
        self.shells.forget(id);
        self.programs.forget(id);
        self.remove(id, volumes).await
    }

    async fn rename_container(&self, id: &str, name: &str) -> Result<(), EngineError> {
        self.rename(id, name).await
    }

    async fn exec(&self, id: &str, hook: &Hook) -> Result<ExecOutcome, EngineError> {
        self.run_hook(id, hook).await
    }

    fn logs(&self, id: &str, options: &LogOptions) -> BoxStream<'static, Result<LogChunk, EngineError>> {
        self.log_stream(id, options)
    }

    fn download(&self, id: &str, path: &str) -> BoxStream<'static, Result<Bytes, EngineError>> {
        let (engine, id, path) = (self.clone(), id.to_owned(), path.to_owned());
        let found = async move {
            match engine.pack_in_shell(&id, &path).await {
                Some(tar) if tar.is_empty() => {
                    let message = format!("there is no `{path}` in the container");
                    once(ready(Err(EngineError::NotFound { message }))).boxed()
                }
                Some(tar) => once(ready(Ok(tar))).boxed(),
                None => engine.download_tar(&id, &path),
            }
        };
        once(found).flatten().boxed()
    }

    async fn upload(&self, id: &str, folder: &str, tar: Bytes) -> Result<(), EngineError> {
        if folder == "/" && self.unpack_in_shell(id, &tar).await.is_some() {
            return Ok(());
        }
        self.upload_tar(id, folder, tar).await?;
        self.expect_files(id);
        Ok(())
    }

    async fn remove_files(&self, id: &str, paths: &[String]) -> Result<(), EngineError> {
        if self.remove_in_shell(id, paths).await.is_some() {
            return Ok(());
        }
        self.remove_paths(id, paths).await?;
        self.expect_files(id);
        Ok(())
    }
}
