//! Builds that need more of BuildKit than the engine's own endpoint passes on: secrets, SSH agents, caches elsewhere. The
//! engine shows no steps of these; a failure brings its words.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bollard::auth::DockerCredentials;
use bollard::grpc::build::{
    ImageBuildFrontendOptions, ImageBuildHostIp, ImageBuildLoadInput, ImageBuildNetworkMode, ImageBuildPlatform,
    SecretSource,
};
use bollard::grpc::driver::Build as _;
use bollard::grpc::driver::moby::Moby;
use bollard::grpc::error::GrpcError;
use bollard::moby::buildkit::v1::CacheOptionsEntry;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Docker;
use super::error::from_bollard;
use crate::engine::{EngineError, Progress};
use crate::plan::spec::{BuildSpec, label};
use crate::project::{BuildContext, FileSource, hexadecimal};

/// What a build needs BuildKit for, in words for people; `None` when any builder does.
pub(super) fn need(spec: &BuildSpec) -> Option<&'static str> {
    let build = &spec.build;
    let secrets = (!build.secrets.is_empty()).then_some("`build.secrets`");
    let ssh = (!build.ssh.is_empty()).then_some("`build.ssh`");
    let cache = (!build.cache_to.is_empty()).then_some("`build.cache_to`");
    let elsewhere = build.cache_from.iter().any(|cache| cache.contains('=')).then_some("`build.cache_from`");
    secrets.or(ssh).or(cache).or(elsewhere)
}

impl Docker {
    /// Builds from a context that is held whole.
    pub(super) async fn build_with_session(
        &self,
        spec: &BuildSpec,
        dockerfile: &str,
        digest: &str,
        context: Vec<Bytes>,
        credentials: HashMap<String, DockerCredentials>,
        progress: &mpsc::Sender<Progress>,
    ) -> Result<(), EngineError> {
        if let BuildContext::Remote(_) = &spec.build.context {
            return Err(refused("a build from an address cannot have secrets, SSH agents or caches elsewhere"));
        }
        let folder = Folder::new().map_err(|error| refused(&format!("no folder for secrets: {error}")))?;
        let options = frontend(spec, dockerfile, digest, &folder.0)?;
        // Nobody has to listen.
        let _ = progress.send(Progress::Step("builds in a session of BuildKit, which shows no steps".to_owned())).await;
        let input = ImageBuildLoadInput::Upload(context.concat().into());
        let names = std::iter::once(&spec.image).chain(&spec.build.tags).cloned().collect::<Vec<_>>().join(",");
        let driver = Moby::new(&self.patient);
        // bollard's session stays on one thread. Dropping this future ends it.
        let cancel = CancellationToken::new();
        let _guard = cancel.clone().drop_guard();
        let runtime = tokio::runtime::Handle::current();
        let session = tokio::task::spawn_blocking(move || {
            let credentials = credentials.iter().map(|(host, it)| (host.as_str(), it.clone())).collect();
            let build = driver.docker_build(&names, options, input, Some(credentials), None);
            runtime.block_on(cancel.run_until_cancelled(build))
        });
        match session.await {
            Ok(Some(built)) => built.map_err(failed),
            Ok(None) | Err(_) => Err(EngineError::Cancelled),
        }
    }
}

fn refused(message: &str) -> EngineError {
    EngineError::Refused { message: message.to_owned() }
}

fn failed(error: GrpcError) -> EngineError {
    match error {
        GrpcError::DockerError { err } => from_bollard(err),
        GrpcError::TonicStatus { err } => {
            EngineError::CommandFailed { message: err.message().to_owned(), output: Vec::new() }
        }
        other => refused(&other.to_string()),
    }
}

fn frontend(
    spec: &BuildSpec,
    dockerfile: &str,
    digest: &str,
    folder: &Path,
) -> Result<ImageBuildFrontendOptions, EngineError> {
    let build = &spec.build;
    let mut options = ImageBuildFrontendOptions::builder()
        .dockerfile(Path::new(dockerfile))
        .pull(spec.pull)
        .enable_ssh(!build.ssh.is_empty())
        .label(label::INPUTS, digest);
    if spec.no_cache {
        options = options.nocache(true);
    }
    if let Some(target) = &build.target {
        options = options.target(target);
    }
    if let Some(size) = build.shm_size.and_then(|size| u64::try_from(size).ok()) {
        options = options.shmsize(size);
    }
    for (name, value) in &build.args {
        if let Some(value) = value {
            options = options.buildarg(name, value);
        }
    }
    for (name, value) in &spec.labels {
        options = options.label(name, value);
    }
    for (id, source) in &spec.secrets {
        let path = secret(source, id, folder)?;
        options = options.set_secret(id, &SecretSource::File(path));
    }
    for host in &build.extra_hosts {
        let (name, address) = host.split_once(':').unwrap_or((host, ""));
        let ip = address.parse().map_err(|_| refused(&format!("`{address}` is no address of the host `{name}`")))?;
        options = options.extrahost(&ImageBuildHostIp { host: name.to_owned(), ip });
    }
    match build.network.as_deref() {
        Some("host") => options = options.force_network_mode(&ImageBuildNetworkMode::Host),
        Some("none") => options = options.force_network_mode(&ImageBuildNetworkMode::None),
        None | Some("default" | "") => {}
        Some(name) => return Err(refused(&format!("a build in a session cannot use the network `{name}`"))),
    }
    if let Some(platform) = &spec.platform {
        options = options.platforms(&self::platform(platform));
    }
    for cache in &build.cache_from {
        options = options.cachefrom(&cache_entry(cache));
    }
    for cache in &build.cache_to {
        options = options.cacheto(&cache_entry(cache));
    }
    Ok(options.build())
}

/// The file that has a secret: its own, or one in the folder, which only this process's user reads.
fn secret(source: &FileSource, id: &str, folder: &Path) -> Result<PathBuf, EngineError> {
    let text = match source {
        FileSource::File(path) if path.is_file() => return Ok(path.clone()),
        FileSource::File(path) => return Err(EngineError::MissingPath { path: path.clone() }),
        FileSource::Environment { value, .. } => value,
        FileSource::Content(text) => text,
        FileSource::External => return Err(refused(&format!("the secret `{id}` is external: a build cannot have it"))),
    };
    let path = folder.join(hexadecimal(id.as_bytes()));
    let written = std::fs::write(&path, text);
    written.map_err(|error| refused(&format!("the secret `{id}` cannot be written: {error}")))?;
    Ok(path)
}

/// A folder that only this process's user may enter; it goes with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("hoist-{}-{time}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clear away.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn platform(text: &str) -> ImageBuildPlatform {
    let mut parts = text.splitn(3, '/').map(str::to_owned);
    let (os, architecture) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    ImageBuildPlatform { architecture, os, variant: parts.next() }
}

/// `type=local,dest=/x`; a bare reference is an image of a registry.
fn cache_entry(text: &str) -> CacheOptionsEntry {
    if !text.contains('=') {
        let attributes = HashMap::from([("ref".to_owned(), text.to_owned())]);
        return CacheOptionsEntry { r#type: "registry".to_owned(), attrs: attributes };
    }
    let mut attributes: HashMap<String, String> = text
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let kind = attributes.remove("type").unwrap_or_else(|| "registry".to_owned());
    CacheOptionsEntry { r#type: kind, attrs: attributes }
}
