//! The daemon's side of shims: starting them, speaking with them, and what is to be done when one is lost.

mod exec;
mod lost;
mod pump;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::folder::Folder;
use super::frame::{self, Decoder, Failure, Frame, Hello, Kind, Started};
use super::{ContainerProcess, Exit, Found, Running};
use crate::embedded::error::Error;
use crate::embedded::layout::Layout;
use crate::embedded::{ROLE, program};
pub(super) use exec::exec;
pub(super) use pump::attach;

/// How long a start may take; volumes are filled before it.
const START: Duration = Duration::from_mins(10);

/// How long a shim may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// How much of what a shim says before it fails is shown.
const SAID: u64 = 16 * 1024;

/// A container that runs, as all its clones share it.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) id: String,
    pub(super) started: Started,
    pub(super) folder: Folder,
    pub(super) exit: watch::Receiver<Option<Exit>>,
    /// Known a little sooner than `exit`.
    pub(super) ended: watch::Receiver<Option<Exit>>,
    /// Waits for its end; goes with the last clone.
    watcher: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// A connection to a shim, or to the process of an exec.
#[derive(Debug)]
pub(super) struct Line {
    stream: UnixStream,
    decoder: Decoder,
}

impl Line {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, decoder: Decoder::default() }
    }

    /// The next frame; `None` at the end, or what cannot be understood.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            if let Some(frame) = self.decoder.next().ok()? {
                return Some(frame);
            }
            match self.stream.read(&mut buffer).await {
                Ok(read) if read > 0 => self.decoder.feed(&buffer[..read]),
                _ => return None,
            }
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Speaks to the shim of a container that runs.
    async fn connect(folder: &Folder, attach: bool) -> Option<(Self, Started)> {
        let mut line = Self::new(UnixStream::connect(folder.socket()).await.ok()?);
        let mut hello = Vec::new();
        frame::put_json(&mut hello, Kind::Hello, &Hello { version: frame::VERSION, attach });
        line.send(&hello).await.ok()?;
        let started = line.next().await.filter(|frame| frame.kind == Kind::Started)?.json()?;
        Some((line, started))
    }
}

/// Starts a process of the engine's own: what it is spoken to by, and what it says of its failures.
fn spawn(role: &str, folder: &Folder) -> std::io::Result<(Child, Line, ChildStderr)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = Command::new(program());
    command.arg0("hoist").arg(ROLE).arg(role).arg(folder.path());
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let said = child.stderr.take().ok_or_else(|| std::io::Error::other("it has no standard error"))?;
    Ok((child, Line::new(UnixStream::from_std(ours)?), said))
}

/// Waits until the process runs.
async fn started(line: &mut Line, child: &mut Child, said: ChildStderr) -> Result<Started, Error> {
    let text = match timeout(START, line.next()).await {
        Ok(Some(frame)) if frame.kind == Kind::Started => {
            return frame.json().ok_or_else(|| Error::Failed("the container's shim is of another version".into()));
        }
        Ok(Some(frame)) if frame.kind == Kind::Failed => {
            let failure = frame.json().unwrap_or(Failure { text: "the container's shim failed".into(), code: 128 });
            // It is on its way out.
            let _ = timeout(ANSWER, child.wait()).await;
            // Docker says so to a client that named a wrong program.
            return Err(if failure.code == 128 { Error::Failed(failure.text) } else { Error::Invalid(failure.text) });
        }
        Ok(_) => "ended too early",
        Err(_) => "did not answer in time",
    };
    // It has ended by itself unless it hangs.
    let _ = child.start_kill();
    let mut words = String::new();
    let _ = timeout(ANSWER, said.take(SAID).read_to_string(&mut words)).await;
    let _ = timeout(ANSWER, child.wait()).await;
    Err(Error::Failed(format!("the process that makes the container {text}: {}", words.trim())))
}

/// See [`super::hasten`].
pub(super) async fn hasten() {
    let hastened = tokio::task::spawn_blocking(super::cgroup::hasten).await;
    debug_assert!(hastened.is_ok(), "it does not panic, and is not cancelled");
}

/// Starts a container.
pub(super) async fn start(layout: &Layout, container: &ContainerProcess) -> Result<Running, Error> {
    let folder = Folder::at(layout.runtime(&container.id));
    let (at, what, id) = (folder.clone(), container.clone(), container.id.clone());
    blocking(move || {
        if at.path().exists() {
            lost::clean(&at, &id);
        }
        at.create(&what)
    })
    .await
    .map_err(Error::io(format!("prepare the container's folder {}", folder.path().display())))?;
    let (mut child, mut line, said) = spawn("container", &folder).map_err(Error::io("start the container's shim"))?;
    match started(&mut line, &mut child, said).await {
        Ok(started) => Ok(running(container.id.clone(), folder, started, line, Some(child))),
        Err(error) => {
            let (at, id) = (folder.clone(), container.id.clone());
            blocking(move || {
                lost::clean(&at, &id);
                // What is left is looked at again before the next start.
                at.remove()
            })
            .await
            .map_err(Error::io("remove what is left of a container that did not start"))?;
            Err(error)
        }
    }
}

/// Finds a container that an earlier daemon started.
pub(super) async fn find(layout: &Layout, id: &str) -> Result<Found, Error> {
    let folder = Folder::at(layout.runtime(id));
    let by = tokio::time::Instant::now() + ANSWER;
    loop {
        let at = folder.clone();
        let (exit, held) = blocking(move || Ok((at.exit(), at.is_held())))
            .await
            .map_err(Error::io("look for the container's shim"))?;
        if !held {
            if let Some(exit) = exit {
                return Ok(Found::Ended(exit));
            }
            let (at, id) = (folder.clone(), id.to_owned());
            let removed = blocking(move || {
                lost::clean(&at, &id);
                at.remove()
            });
            removed.await.map_err(Error::io("remove what is left of a container"))?;
            return Ok(Found::Lost);
        }
        if let Ok(Some((line, started))) = timeout(ANSWER, Line::connect(&folder, false)).await {
            return Ok(Found::Running(running(id.to_owned(), folder, started, line, None)));
        }
        if tokio::time::Instant::now() > by {
            return Err(Error::Failed(format!("the shim of the container {id} does not answer")));
        }
        // It is just starting, or just going.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// See [`super::clear_lost`].
pub(super) fn clear_lost(layout: &Layout) {
    for entry in std::fs::read_dir(layout.runtimes()).into_iter().flatten().flatten() {
        let folder = Folder::at(entry.path());
        if let Ok(container) = folder.container()
            && folder.exit().is_none()
            && !folder.is_held()
        {
            lost::clean(&folder, &container.id);
        }
    }
}

fn running(id: String, folder: Folder, started: Started, line: Line, child: Option<Child>) -> Running {
    let (exit_sender, exit) = watch::channel(None);
    let (ended_sender, ended) = watch::channel(None);
    let end = End { ended: ended_sender, exit: exit_sender };
    let watcher = tokio::spawn(watch_end(id.clone(), folder.clone(), line, child, end));
    Running { inner: Arc::new(Inner { id, started, folder, exit, ended, watcher }) }
}

/// Where it is told how a container ended.
struct End {
    ended: watch::Sender<Option<Exit>>,
    exit: watch::Sender<Option<Exit>>,
}

/// Waits for the shim's last words.
async fn watch_end(id: String, folder: Folder, mut line: Line, child: Option<Child>, end: End) {
    let mut told = None;
    while let Some(frame) = line.next().await {
        match frame.kind {
            Kind::Ended => drop(end.ended.send_replace(frame.json())),
            Kind::Exit => {
                told = frame.json();
                break;
            }
            _ => {}
        }
    }
    let exit = match told {
        Some(exit) => exit,
        None => blocking(move || Ok(lost::end(&folder, &id))).await.unwrap_or_else(|error| lost::killed(Some(&error))),
    };
    end.ended.send_modify(|ended| {
        ended.get_or_insert_with(|| exit.clone());
    });
    end.exit.send_replace(Some(exit));
    if let Some(mut child) = child {
        // It has nothing left to do but to go.
        let _ = child.wait().await;
    }
}

impl Inner {
    /// One request that is done or refused.
    pub(super) async fn ask(&self, kind: Kind, bytes: &[u8]) -> Result<(), Error> {
        let gone = || Error::Conflict(format!("container {} is not running", self.id));
        let answer = timeout(ANSWER, async {
            let (mut line, _) = Line::connect(&self.folder, false).await?;
            line.send(&frame::one(kind, bytes)).await.ok()?;
            line.next().await
        });
        let answer = answer
            .await
            .map_err(|_| Error::Failed(format!("the shim of the container {} does not answer", self.id)))?;
        match answer {
            Some(frame) if frame.kind == Kind::Done => Ok(()),
            Some(frame) if frame.kind == Kind::Refused => {
                Err(Error::Conflict(format!("container {}: {}", self.id, String::from_utf8_lossy(&frame.bytes))))
            }
            _ => Err(gone()),
        }
    }
}

/// Work that waits for the machine.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

/// The folder of a container of which nothing is left is removed.
pub(super) async fn forget(layout: &Layout, id: &str) -> Result<(), Error> {
    let path: PathBuf = layout.runtime(id);
    let folder = Folder::at(path.clone());
    blocking(move || folder.remove()).await.map_err(Error::io(format!("remove {}", path.display())))
}
