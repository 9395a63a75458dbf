//! A program that is run and read. It ends with whoever waits for it.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, LinesCodec};

use super::ProviderError;
use super::message::{self, Message};
use crate::engine::Progress;

/// Where packages put plugins of the docker CLI, beside the person's own folder.
const PLUGINS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];
/// How much a program may say at once.
const ANSWER: usize = 4 * 1024 * 1024;
/// How many of the last lines of its complaints are shown, and how long each may be.
const LINES: usize = 5;
const LINE: usize = 8 * 1024;
/// How long they are waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A program that is there.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    path: PathBuf,
}

impl Program {
    #[cfg(test)]
    pub(super) fn at(name: &str, path: &str) -> Self {
        Self { name: name.to_owned(), path: path.into() }
    }

    /// A plugin of the docker CLI with this name, else a program on the path.
    pub(super) async fn find(name: &str) -> Option<Self> {
        let wanted = name.to_owned();
        let found = tokio::task::spawn_blocking(move || plugin(&wanted).or_else(|| on_path(&wanted)));
        Some(Self { name: name.to_owned(), path: found.await.ok()?? })
    }

    /// A plugin of the docker CLI.
    pub(super) async fn plugin(name: &str) -> Option<Self> {
        let wanted = name.to_owned();
        let found = tokio::task::spawn_blocking(move || plugin(&wanted));
        Some(Self { name: format!("docker-{name}"), path: found.await.ok()?? })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Ctrl-C in the terminal is for the run to act on.
        #[cfg(unix)]
        command.process_group(0);
        command
    }

    /// Starts it; its complaints are progress.
    pub(super) fn start(
        &self,
        verb: &str,
        arguments: &[String],
        progress: mpsc::Sender<Progress>,
    ) -> Result<Messages, ProviderError> {
        let (child, stdout, complaints) = self.spawn(arguments, Some(progress))?;
        let (program, verb) = (self.name.clone(), verb.to_owned());
        Ok(Messages { program, verb, child, stdout, complaints, read: Vec::new() })
    }

    /// Runs it to its end; what it prints.
    pub(super) async fn output(&self, verb: &str, arguments: &[&str]) -> Result<Vec<u8>, ProviderError> {
        let (mut child, stdout, complaints) = self.spawn(arguments, None)?;
        let mut said = Vec::new();
        let read = stdout.take(ANSWER as u64).read_to_end(&mut said).await;
        read.map_err(|error| self.cannot_run(error))?;
        let status = child.wait().await.map_err(|error| self.cannot_run(error))?;
        ended(&self.name, verb, status, complaints).await?;
        Ok(said)
    }

    /// Runs it to its end, and shows what it prints as progress.
    pub(super) async fn run(
        &self,
        verb: &str,
        arguments: &[String],
        progress: &mpsc::Sender<Progress>,
    ) -> Result<(), ProviderError> {
        let (mut child, stdout, complaints) = self.spawn(arguments, Some(progress.clone()))?;
        let printed = Complaints::of(stdout, Some(progress.clone()));
        let status = child.wait().await.map_err(|error| self.cannot_run(error))?;
        printed.last().await;
        ended(&self.name, verb, status, complaints).await
    }

    fn spawn<S: AsRef<OsStr>>(
        &self,
        arguments: &[S],
        progress: Option<mpsc::Sender<Progress>>,
    ) -> Result<(Child, ChildStdout, Complaints), ProviderError> {
        let mut child = self.command(arguments).spawn().map_err(|error| self.cannot_run(error))?;
        let no_pipe = || self.cannot_run(std::io::Error::other("it has no output"));
        let stdout = child.stdout.take().ok_or_else(no_pipe)?;
        let stderr = child.stderr.take().ok_or_else(no_pipe)?;
        Ok((child, stdout, Complaints::of(stderr, progress)))
    }

    fn cannot_run(&self, error: std::io::Error) -> ProviderError {
        ProviderError::Run { program: self.path.display().to_string(), error }
    }
}

/// Where a plugin of the docker CLI is.
fn plugin(name: &str) -> Option<PathBuf> {
    let home = || Some(Path::new(&env::var_os("HOME")?).join(".docker"));
    let own = env::var_os("DOCKER_CONFIG").map(PathBuf::from).or_else(home).map(|it| it.join("cli-plugins"));
    let folders = own.into_iter().chain(PLUGINS.map(PathBuf::from));
    let file = format!("docker-{name}{}", env::consts::EXE_SUFFIX);
    is_a_name(name).then(|| folders.map(|folder| folder.join(&file)).find(|path| is_program(path)))?
}

fn on_path(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    let mut paths = env::split_paths(&folders).filter(|folder| folder.is_absolute()).map(|folder| folder.join(&file));
    is_a_name(name).then(|| paths.find(|path| is_program(path)))?
}

/// Whether it names a file and not a way to one.
fn is_a_name(name: &str) -> bool {
    Path::new(name).file_name() == Some(OsStr::new(name))
}

fn is_program(path: &Path) -> bool {
    #[cfg(unix)]
    let executable =
        |metadata: &std::fs::Metadata| std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let executable = |_: &std::fs::Metadata| true;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && executable(&metadata))
}

/// What a provider says, as it comes.
#[derive(Debug)]
pub(super) struct Messages {
    program: String,
    verb: String,
    child: Child,
    stdout: ChildStdout,
    complaints: Complaints,
    read: Vec<u8>,
}

impl Messages {
    /// The next message; `None` when it has said all.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, ProviderError> {
        loop {
            if let Some(message) = message::take(&mut self.read).map_err(|text| self.not_understood(text))? {
                return Ok(Some(message));
            }
            let read = self.stdout.read_buf(&mut self.read).await;
            let read = read.map_err(|error| ProviderError::Run { program: self.program.clone(), error })?;
            let rest = || String::from_utf8_lossy(&self.read).chars().take(200).collect::<String>();
            if read == 0 && self.read.iter().all(u8::is_ascii_whitespace) {
                return Ok(None);
            }
            if read == 0 || self.read.len() > ANSWER {
                return Err(self.not_understood(rest()));
            }
        }
    }

    /// Waits until it has ended, and well.
    pub(super) async fn end(mut self) -> Result<(), ProviderError> {
        let status = self.child.wait().await;
        let status = status.map_err(|error| ProviderError::Run { program: self.program.clone(), error })?;
        ended(&self.program, &self.verb, status, self.complaints).await
    }

    fn not_understood(&self, text: String) -> ProviderError {
        ProviderError::NotUnderstood { program: self.program.clone(), verb: self.verb.clone(), text }
    }
}

async fn ended(program: &str, verb: &str, status: ExitStatus, complaints: Complaints) -> Result<(), ProviderError> {
    let said = complaints.last().await;
    if status.success() {
        return Ok(());
    }
    let ended = match status.code() {
        Some(code) => format!("exited with code {code}"),
        None => "was killed".to_owned(),
    };
    Err(ProviderError::Ended { program: program.to_owned(), verb: verb.to_owned(), ended, said })
}

/// The lines that a program prints beside its answer; goes with who holds it.
#[derive(Debug)]
struct Complaints {
    reader: JoinHandle<VecDeque<String>>,
}

impl Complaints {
    fn of(stream: impl AsyncRead + Unpin + Send + 'static, progress: Option<mpsc::Sender<Progress>>) -> Self {
        let reader = tokio::spawn(async move {
            let mut lines = FramedRead::new(stream, LinesCodec::new_with_max_length(LINE));
            let mut last = VecDeque::new();
            while let Some(line) = lines.next().await {
                // A line that is too long or no text is passed over.
                let Ok(line) = line else { continue };
                if last.len() == LINES {
                    last.pop_front();
                }
                last.push_back(line.clone());
                if let Some(progress) = &progress {
                    let _ = progress.send(Progress::Output(line)).await;
                }
            }
            last
        });
        Self { reader }
    }

    /// The last of them, in one line, once the program has ended. Something that it leaves running may keep its pipes.
    async fn last(mut self) -> String {
        let lines = timeout(LAST_WORDS, &mut self.reader).await.map(Result::unwrap_or_default).unwrap_or_default();
        lines
            .into_iter()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join("; ")
    }
}

impl Drop for Complaints {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
