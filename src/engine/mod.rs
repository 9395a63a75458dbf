//! The containers' side of the world: one trait, as narrow as the loop needs it, and what stands behind it.
//!
//! `docker` speaks the Docker Engine API through bollard to any engine that serves it; `memory` is an engine of maps for
//! tests and passes the same contract suite. An engine carries out what it is told and decides nothing.

pub mod context;
mod credentials;
mod discovery;
pub mod docker;
pub mod memory;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::plan::observed::{Container, ContainerId, Image, Observed};
use crate::plan::operation::Restarted;
use crate::plan::spec::{BuildSpec, ContainerSpec, NetworkSpec, VolumeSpec};
use crate::project::Hook;

/// So many of the last lines of a command's output are shown.
const LAST_LINES: usize = 20;

/// What the loop asks of an engine.
///
/// Every call is idempotent where the Docker Engine API is: starting what runs, stopping what is stopped, making a
/// network or volume that exists and removing what is gone all succeed.
pub trait Engine: Clone + Send + Sync + 'static {
    /// Everything of the project that the engine knows, each container inspected; `images` are looked up beside those
    /// that the containers run, `networks` and `volumes` beside those that carry the project's label.
    fn observe(&self, project: &str, wanted: &Wanted) -> impl Future<Output = Result<Observed, EngineError>> + Send;

    /// One container, or `None` when it is gone.
    fn container(&self, id: &str) -> impl Future<Output = Result<Option<Container>, EngineError>> + Send;

    /// One image by reference or id, or `None` when it is not there.
    fn image(&self, reference: &str) -> impl Future<Output = Result<Option<Image>, EngineError>> + Send;

    /// What happens to the project's containers, from the call on. The stream ends with the connection.
    fn events(&self, project: &str) -> BoxStream<'static, Result<ContainerEvent, EngineError>>;

    /// Makes a network, unless one of that name is there.
    fn create_network(&self, spec: &NetworkSpec) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Removes a network by name.
    fn remove_network(&self, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Makes a volume, unless one of that name is there.
    fn create_volume(&self, spec: &VolumeSpec) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Removes a volume by name.
    fn remove_volume(&self, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Pulls an image with the credentials of the docker config.
    fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        progress: mpsc::Sender<Progress>,
        cancel: CancellationToken,
    ) -> impl Future<Output = Result<Image, EngineError>> + Send;

    /// Builds an image, tags it and labels it with the digest of its inputs.
    fn build(
        &self,
        spec: &BuildSpec,
        progress: mpsc::Sender<Progress>,
        cancel: CancellationToken,
    ) -> impl Future<Output = Result<Image, EngineError>> + Send;

    /// Gives an image one more name.
    fn tag_image(&self, image: &str, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Removes an image by reference or id, unless a container uses it.
    fn remove_image(&self, reference: &str) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Makes a container, joins its networks and copies its files in; does not start it.
    fn create_container(&self, spec: &ContainerSpec) -> impl Future<Output = Result<Made, EngineError>> + Send;

    /// Starts a container and says how it is then.
    fn start_container(&self, id: &str) -> impl Future<Output = Result<Container, EngineError>> + Send;

    /// Stops a container with its stop signal, kills it after the grace period (`None`: its own), and says how it is
    /// then; `None` when it was gone.
    fn stop_container(
        &self,
        id: &str,
        grace: Option<Duration>,
    ) -> impl Future<Output = Result<Option<Container>, EngineError>> + Send;

    /// Stops a container as [`Engine::stop_container`] does and starts it again; says how it is once it has started. Of
    /// one that was made ready for it, only the program is, when no more is asked for: no event tells of that.
    fn restart_container(
        &self,
        id: &str,
        grace: Option<Duration>,
        what: Restarted,
    ) -> impl Future<Output = Result<Container, EngineError>> + Send;

    /// Sends a signal (`SIGKILL`, `HUP`, `9`) to process 1 of a running container.
    fn kill_container(&self, id: &str, signal: &str) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Removes a container, killing it if it runs; `volumes` takes its anonymous volumes with it.
    fn remove_container(&self, id: &str, volumes: bool) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Gives a container another name.
    fn rename_container(&self, id: &str, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Runs a command in a running container to its end, without a terminal and without input, and returns its code
    /// and its output, of which the first 64 KiB are kept.
    fn exec(&self, id: &str, hook: &Hook) -> impl Future<Output = Result<ExecOutcome, EngineError>> + Send;

    /// A container's output. Chunks are as the engine cut them, not lines.
    fn logs(&self, id: &str, options: &LogOptions) -> BoxStream<'static, Result<LogChunk, EngineError>>;

    /// A tar of what is at a path of a container, running or not: of a folder with all that is in it. The first piece is
    /// [`EngineError::NotFound`] when there is nothing.
    fn download(&self, id: &str, path: &str) -> BoxStream<'static, Result<Bytes, EngineError>>;

    /// Unpacks a tar into a folder of a container, running or not.
    fn upload(&self, id: &str, folder: &str, tar: Bytes) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// Removes files and folders of a container with all that is in them; what is not there is no error. An engine that
    /// has no request for it needs a container that runs and has `rm`.
    fn remove_files(&self, id: &str, paths: &[String]) -> impl Future<Output = Result<(), EngineError>> + Send {
        rm(self, id, paths)
    }
}

/// Removes files with the `rm` of a running container.
async fn rm<E: Engine>(engine: &E, id: &str, paths: &[String]) -> Result<(), EngineError> {
    let mut command = vec!["rm".to_owned(), "-rf".into(), "--".into()];
    command.extend(paths.iter().cloned());
    let hook = Hook { command, user: Some("0".into()), ..Hook::default() };
    engine.exec(id, &hook).await?.checked(&hook)
}

/// What [`Engine::observe`] is to look up beside what carries the project's label.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// References of images.
    pub images: Vec<String>,
    /// Names of networks.
    pub networks: Vec<String>,
    /// Names of volumes.
    pub volumes: Vec<String>,
}

/// A container that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// It.
    pub container: Container,
    /// What was asked for and has no effect, in words for people.
    pub warnings: Vec<String>,
}

/// Something has happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEvent {
    /// Which; how it is now is for [`Engine::container`] to say.
    pub id: ContainerId,
    /// The exit code when its process has just ended. The engine tells this before it has cleaned up behind it, and
    /// until it has, it does not answer questions about the container.
    pub exited: Option<i64>,
}

/// A piece of news from a build or a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The step that is now worked on, such as `[2/4] COPY . /app`.
    Step(String),
    /// A line of output of that step.
    Output(String),
    /// Bytes received so far, of so many where that is known.
    Bytes {
        /// So far.
        received: u64,
        /// In all.
        total: Option<u64>,
    },
}

/// How a command in a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutcome {
    /// Its exit code.
    pub code: i64,
    /// Standard output and standard error, as they came.
    pub output: String,
}

impl ExecOutcome {
    /// An error when a command did not end well. It names the program alone: the words after it may hold a password.
    pub(crate) fn checked(self, hook: &Hook) -> Result<(), EngineError> {
        if self.code == 0 {
            return Ok(());
        }
        let program = hook.command.first().map_or("", String::as_str);
        let lines: Vec<&str> = self.output.trim_end().lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].iter().map(|line| (*line).to_owned()).collect();
        Err(EngineError::CommandFailed {
            message: format!("`{program}` exited with code {} in the container", self.code),
            output: last,
        })
    }
}

/// Which part of a container's output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogOptions {
    /// Go on as more comes, until the container exits.
    pub follow: bool,
    /// Only so many lines from the end.
    pub tail: Option<u64>,
    /// Only what is newer: seconds since 1970, with a fraction.
    pub since: Option<String>,
    /// Only what is older: seconds since 1970, with a fraction.
    pub until: Option<String>,
    /// Each line begins with its time.
    pub timestamps: bool,
}

/// A piece of a container's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// Whether it came from standard error.
    pub stderr: bool,
    /// The bytes.
    pub bytes: Bytes,
}

/// What an engine could not do. `Display` is what the person reads, without the operation, which the caller names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// No engine answers.
    #[error("{message}")]
    Unreachable {
        /// What was tried.
        message: String,
    },
    /// What was asked for does not exist.
    #[error("{message}")]
    NotFound {
        /// The engine's words.
        message: String,
    },
    /// A host port is in use.
    #[error("port {port} is already in use{}", .holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default())]
    PortTaken {
        /// The port.
        port: u16,
        /// Who has it, where that can be known: a container or a process.
        holder: Option<String>,
    },
    /// A path of the manifest is not on this machine.
    #[error("`{}` does not exist", .path.display())]
    MissingPath {
        /// The path.
        path: PathBuf,
    },
    /// A step of a build failed, or a command in a container.
    #[error("{message}")]
    CommandFailed {
        /// The step or the program, and its exit code.
        message: String,
        /// Its last lines of output.
        output: Vec<String>,
    },
    /// The operation was called off.
    #[error("cancelled")]
    Cancelled,
    /// Anything else that the engine refused.
    #[error("{message}")]
    Refused {
        /// The engine's words.
        message: String,
    },
}
