//! Terminals and pipes into containers of a Docker engine: what `exec`, `run`, `cp` and `wait` need beyond the loop.

use std::fmt;
use std::io;
use std::pin::Pin;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use bollard::query_parameters::{
    AttachContainerOptions, DownloadFromContainerOptions, ResizeContainerTTYOptions, UploadToContainerOptions,
    WaitContainerOptions,
};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use tokio::io::AsyncWrite;

use super::error::from_bollard;
use super::stream::log_chunk;
use super::{Docker, create};
use crate::engine::{EngineError, LogChunk};
use crate::project::Hook;

/// How a command is started in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOptions {
    /// The command, as whom, where and with which variables.
    pub hook: Hook,
    /// Give it a terminal; its two outputs are then one.
    pub tty: bool,
    /// Leave its standard input open.
    pub stdin: bool,
}

/// Both ends of a process in a container: what it writes and what it reads.
pub struct Attached {
    /// The id of a command started by [`Docker::exec_interactive`], else the container's.
    pub id: String,
    /// Its output; ends with the process.
    pub output: BoxStream<'static, Result<LogChunk, EngineError>>,
    /// Its input; shutting it down ends the input.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

impl fmt::Debug for Attached {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Attached").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Docker {
    /// Starts a command in a running container and stays connected to it. How it ended says
    /// [`Docker::exec_exit_code`] with the returned id, once the output has ended.
    pub async fn exec_interactive(&self, container: &str, options: &ExecOptions) -> Result<Attached, EngineError> {
        let exec = self.make_exec(container, options, true).await?;
        let start = StartExecOptions { tty: options.tty, ..Default::default() };
        match self.patient.start_exec(&exec, Some(start)).await.map_err(from_bollard)? {
            StartExecResults::Attached { output, input } => Ok(Attached { id: exec, output: chunks(output), input }),
            StartExecResults::Detached => {
                Err(EngineError::Refused { message: "the engine started the command without its output".to_owned() })
            }
        }
    }

    /// Starts a command in a running container and leaves it to itself.
    pub async fn exec_detached(&self, container: &str, options: &ExecOptions) -> Result<(), EngineError> {
        let exec = self.make_exec(container, options, false).await?;
        let start = StartExecOptions { detach: true, tty: options.tty, ..Default::default() };
        self.client.start_exec(&exec, Some(start)).await.map(drop).map_err(from_bollard)
    }

    /// Tells a command's terminal how large it is, in characters.
    pub async fn resize_exec(&self, exec: &str, width: u16, height: u16) -> Result<(), EngineError> {
        self.client.resize_exec(exec, ResizeExecOptions { width, height }).await.map_err(from_bollard)
    }

    /// Tells the terminal of a container's process 1 how large it is, in characters.
    pub async fn resize_container(&self, container: &str, width: u16, height: u16) -> Result<(), EngineError> {
        let options = ResizeContainerTTYOptions { w: i32::from(width), h: i32::from(height) };
        self.client.resize_container_tty(container, options).await.map_err(from_bollard)
    }

    /// Connects to a container's process 1, also before its start: what it writes from now on, and its input.
    pub async fn attach(&self, container: &str, stdin: bool) -> Result<Attached, EngineError> {
        let options = AttachContainerOptions { stream: true, stdin, stdout: true, stderr: true, ..Default::default() };
        let attached = self.patient.attach_container(container, Some(options)).await.map_err(from_bollard)?;
        Ok(Attached { id: container.to_owned(), output: chunks(attached.output), input: attached.input })
    }

    /// Waits until a container exits (or has) and returns its exit code.
    pub async fn wait(&self, container: &str) -> Result<i64, EngineError> {
        self.wait_for(container, "not-running").await
    }

    /// Waits until a container that is yet to be started exits and returns its exit code.
    pub async fn wait_next_exit(&self, container: &str) -> Result<i64, EngineError> {
        self.wait_for(container, "next-exit").await
    }

    /// A file or folder of a container, running or not, as a tar.
    #[must_use]
    pub(super) fn download_tar(&self, container: &str, path: &str) -> BoxStream<'static, Result<Bytes, EngineError>> {
        let options = DownloadFromContainerOptions { path: path.to_owned() };
        let pieces = self.patient.download_from_container(container, Some(options));
        pieces.map(|piece| piece.map_err(from_bollard)).boxed()
    }

    /// Unpacks a tar, which comes piece by piece, into a folder of a container, running or not.
    pub async fn upload_stream(
        &self,
        container: &str,
        folder: &str,
        tar: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), EngineError> {
        let options = UploadToContainerOptions { path: folder.to_owned(), ..Default::default() };
        let body = bollard::body_try_stream(tar);
        self.patient.upload_to_container(container, Some(options), body).await.map_err(from_bollard)
    }

    async fn make_exec(&self, container: &str, options: &ExecOptions, attached: bool) -> Result<String, EngineError> {
        let hook = &options.hook;
        let config = ExecConfig {
            attach_stdin: Some(attached && options.stdin),
            attach_stdout: Some(attached),
            attach_stderr: Some(attached),
            tty: Some(options.tty),
            cmd: Some(hook.command.clone()),
            env: Some(create::environment(&hook.environment)),
            privileged: Some(hook.privileged),
            user: hook.user.clone(),
            working_dir: hook.working_dir.clone(),
            ..Default::default()
        };
        Ok(self.client.create_exec(container, config).await.map_err(from_bollard)?.id)
    }

    async fn wait_for(&self, container: &str, condition: &str) -> Result<i64, EngineError> {
        let options = WaitContainerOptions { condition: condition.to_owned() };
        let mut answers = std::pin::pin!(self.patient.wait_container(container, Some(options)));
        match answers.next().await {
            Some(Ok(answer)) => Ok(answer.status_code),
            // bollard takes every code but 0 for an error.
            Some(Err(Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(error)) => Err(from_bollard(error)),
            None => Err(EngineError::Unreachable { message: "the engine hung up".to_owned() }),
        }
    }
}

fn chunks(
    output: impl Stream<Item = Result<LogOutput, Error>> + Send + 'static,
) -> BoxStream<'static, Result<LogChunk, EngineError>> {
    output.map(|chunk| chunk.map(log_chunk).map_err(from_bollard)).boxed()
}
