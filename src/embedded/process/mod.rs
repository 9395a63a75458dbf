//! Containers' processes: a shim for each, and the daemon's side of it.
//!
//! The shim is this program again with one thread. It mounts the root, has `libcontainer` make the container, owns its
//! input and output, writes its log, and records how it ended. It outlives the daemon; a daemon that comes back
//! finds it by its socket. A shim that dies takes its container with it.

mod capture;
mod cgroup;
mod client;
pub mod exec;
mod filter;
mod folder;
mod frame;
mod inside;
mod propagation;
mod relay;
pub mod shim;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use libcontainer::oci_spec::runtime::{LinuxResources, Spec};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::error::Error;
use super::layout::Layout;
use super::root::Rootfs;
use super::spec::Propagated;
use cgroup::Cgroup;
use frame::Kind;

/// All that a shim needs to know; written to its folder of [`Layout::runtime`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContainerProcess {
    /// The container's.
    pub id: String,
    /// What `libcontainer` makes; the user is filled in by the shim, which sees the container's `/etc/passwd`.
    pub spec: Spec,
    /// Its root.
    pub rootfs: Rootfs,
    /// `name`, `uid`, `name:group`, `uid:gid`; empty for the superuser.
    pub user: String,
    /// Further groups by name or number.
    pub group_add: Vec<String>,
    /// Binds that are not all private ([`super::spec::propagated`]).
    pub propagated: Vec<Propagated>,
    /// The process of another container whose `/dev/shm` is this one's too.
    pub shared_memory_of: Option<u32>,
    /// Empty volumes to fill from the image before the start: folder of the machine, place inside.
    pub populate: Vec<(PathBuf, PathBuf)>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether its input is open.
    pub stdin: bool,
    /// Whether its input is closed when the first client that was attached goes.
    pub stdin_once: bool,
    /// A process 1 of the engine's that reaps and passes signals on (`init: true`).
    pub init: bool,
    /// Where its output is written to; `None` keeps none.
    pub log: Option<LogFile>,
    /// The filter of system calls.
    pub seccomp: Seccomp,
    /// A client waits for its output from the first byte on: the shim reads none of it, and does not end, before the first
    /// [`Running::attach`] (or five seconds, when none comes).
    pub hold_output: bool,
}

/// Docker's `json-file`: a line of JSON for each line of output (`log`, `stream`, `time`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// The newest file; older ones have `.1`, `.2`, … appended.
    pub path: PathBuf,
    /// Bytes at which it is rotated; `None` never.
    pub max_size: Option<u64>,
    /// Files kept, the newest included.
    pub max_files: u32,
}

/// Which filter of system calls a container's processes have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// Docker's default, by the capabilities that the container has.
    Default,
    /// None (`seccomp=unconfined`, `privileged`).
    Unconfined,
    /// A profile in Docker's JSON format.
    Profile(String),
}

/// Where output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Standard output, and all output of a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Output as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// From where.
    pub source: Source,
    /// The bytes.
    pub bytes: Bytes,
}

/// How a container or an exec ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code, 128 + signal where one ended it.
    pub code: i64,
    /// The kernel ended it for want of memory.
    pub oom_killed: bool,
    /// When.
    pub finished_at: DateTime<Utc>,
    /// What went wrong beside it, for people: the shim was killed, say.
    pub error: Option<String>,
}

/// A container that runs. Clones are the same container.
#[derive(Debug, Clone)]
pub struct Running {
    inner: Arc<client::Inner>,
}

/// What a daemon finds of a container that it, or one before it, has started.
#[derive(Debug)]
pub enum Found {
    /// It runs.
    Running(Running),
    /// It ended, watched by its shim.
    Ended(Exit),
    /// Neither process nor record: the machine was restarted, or the shim killed. What was left of it has been killed.
    Lost,
}

/// A client's end of a container's input and output.
#[derive(Debug)]
pub struct Attached {
    /// Output from now on; ends with the container.
    pub output: mpsc::Receiver<Output>,
    /// Input; dropped, the client is gone. `None` when the input is not open.
    pub input: Option<mpsc::Sender<Bytes>>,
}

/// A command to run in a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExecProcess {
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// The container's variables with the exec's own.
    pub environment: Vec<String>,
    /// Where; the container's working directory when empty.
    pub working_directory: String,
    /// As whom; the container's user when empty.
    pub user: String,
    /// Whether it has a terminal, and of what size (columns, rows).
    pub terminal: Option<(u16, u16)>,
    /// Whether its input is open.
    pub stdin: bool,
    /// With all capabilities.
    pub privileged: bool,
}

/// A command that runs in a container. Dropped, it goes on.
#[derive(Debug)]
pub struct Exec {
    /// Its process on the machine.
    pub pid: u32,
    /// Input and output.
    pub attached: Attached,
    /// How it ended, once.
    pub exit: tokio::sync::oneshot::Receiver<Exit>,
    /// New sizes of its terminal (columns, rows).
    pub resize: mpsc::Sender<(u16, u16)>,
}

/// Starts a container and returns when its program has been executed. A failure says why in the container's words
/// (`exec: "nod": executable file not found in $PATH`, as [`Error::Invalid`]) and leaves nothing behind.
pub async fn start(layout: &Layout, container: &ContainerProcess) -> Result<Running, Error> {
    client::start(layout, container).await
}

/// Has what a start would wait for in the kernel pass beforehand: to be begun a few milliseconds before [`start`].
pub async fn hasten() {
    client::hasten().await;
}

/// Finds a container that an earlier daemon has started.
pub async fn find(layout: &Layout, id: &str) -> Result<Found, Error> {
    client::find(layout, id).await
}

/// Removes what is kept of how a container ended, when it has been written down elsewhere or the container is removed.
pub async fn forget(layout: &Layout, id: &str) -> Result<(), Error> {
    client::forget(layout, id).await
}

/// Ends what is left of the containers of a dead engine whose shims were killed. Their folders stay for the engine, should
/// it come back. Blocks.
pub fn clear_lost(layout: &Layout) {
    client::clear_lost(layout);
}

/// The exit code that Docker gives a container or an exec that could not be started: 127 where the program is not there,
/// 126 where it cannot be executed, 128 for everything else.
#[must_use]
pub fn failure_code(error: &Error) -> i64 {
    let text = error.to_string();
    let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
    if says(&["executable file not found", "no such file or directory"]) {
        127
    } else if says(&["permission denied", "is a directory", "exec format error"]) {
        126
    } else {
        128
    }
}

impl Running {
    /// The container's.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Its first process, on the machine.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.inner.started.pid
    }

    /// Since when.
    #[must_use]
    pub fn started_at(&self) -> DateTime<Utc> {
        self.inner.started.at
    }

    /// Waits until it has ended and nothing of it is left: no process, no mount. Any number may wait.
    pub async fn wait(&self) -> Exit {
        told(self.inner.exit.clone()).await
    }

    /// Waits until it has ended, a little sooner: what is left of it may just be taken away.
    pub async fn ended(&self) -> Exit {
        told(self.inner.ended.clone()).await
    }

    /// Sends a signal to its first process.
    pub async fn signal(&self, signal: i32) -> Result<(), Error> {
        self.inner.ask(Kind::Signal, &signal.to_le_bytes()).await
    }

    /// Freezes all its processes.
    pub async fn pause(&self) -> Result<(), Error> {
        self.on_cgroup("pause", Cgroup::freeze).await
    }

    /// Lets them go on.
    pub async fn resume(&self) -> Result<(), Error> {
        self.on_cgroup("resume", Cgroup::thaw).await
    }

    /// Gives its terminal another size.
    pub async fn resize(&self, columns: u16, rows: u16) -> Result<(), Error> {
        self.inner.ask(Kind::Resize, &frame::size(columns, rows)).await
    }

    /// Joins its output and input.
    pub async fn attach(&self) -> Result<Attached, Error> {
        client::attach(&self.inner).await
    }

    /// Changes its limits.
    pub async fn update(&self, resources: &LinuxResources) -> Result<(), Error> {
        let resources = resources.clone();
        self.on_cgroup("update", move |cgroup| cgroup.limit(&resources)).await
    }

    /// All its processes, on the machine.
    pub async fn processes(&self) -> Result<Vec<u32>, Error> {
        self.on_cgroup("list the processes of", |cgroup| Ok(cgroup.processes().into_iter().collect())).await
    }

    /// What it uses.
    pub async fn usage(&self) -> Result<Usage, Error> {
        self.on_cgroup("measure", |cgroup| Ok(cgroup.usage())).await
    }

    /// Runs a command in it; several may be started at once.
    pub async fn exec(&self, _layout: &Layout, process: &ExecProcess) -> Result<Exec, Error> {
        // What its move into the container's groups would wait for passes while its process begins.
        tokio::join!(client::exec(&self.inner, process), hasten()).0
    }

    async fn on_cgroup<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce(&Cgroup) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let id = self.inner.id.clone();
        let tried = format!("{what} the container {id}");
        client::blocking(move || work(&Cgroup::of(&id))).await.map_err(Error::io(tried))
    }
}

async fn told(mut exit: tokio::sync::watch::Receiver<Option<Exit>>) -> Exit {
    let told = exit.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone());
    match told {
        Some(exit) => exit,
        // The watcher ends only after it has told, or with the whole daemon.
        None => std::future::pending().await,
    }
}

/// What a container uses, by its cgroups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// Nanoseconds of processor time.
    pub cpu: u64,
    /// Of these in the kernel.
    pub cpu_kernel: u64,
    /// Bytes of memory, page cache included.
    pub memory: u64,
    /// Of these inactive page cache.
    pub memory_inactive_file: u64,
    /// Its limit; `None` for none.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
    /// Their limit.
    pub pids_limit: Option<u64>,
    /// Bytes read from and written to disks.
    pub blocks: (u64, u64),
}
