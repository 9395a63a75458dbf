//! The engine's containers: records on disk, and what becomes of them.
//!
//! Every container has one owner, a task that takes requests in turn and hears of its end; restart policies and
//! healthchecks live in it. What is on record is written before it is told to anyone, so that a daemon that is killed finds
//! the truth again.

use std::collections::HashMap;

use bollard_stubs::models::{
    ContainerCreateBody, ContainerCreateResponse, ContainerInspectResponse, ContainerPruneResponse,
    ContainerStatsResponse, ContainerSummary, ContainerTopResponse, ContainerUpdateBody, ContainerUpdateResponse,
    EndpointSettings, ExecConfig, ExecInspectResponse, FilesystemChange,
};
use futures_util::stream::BoxStream;

use super::ByteStream;
use super::error::Error;
use super::events::Events;
use super::images::Images;
use super::layout::Layout;
use super::network::{Join, Networks};
use super::process::{Attached, Output};
use super::root::{PathStat, WriteOptions};
use super::spec::Machine;
use super::volumes::Volumes;

/// Filters of a listing, as the API's `filters` parameter has them: `label` → `a=b`, `c`.
pub type Filters = HashMap<String, Vec<String>>;

/// The engine's containers; clones share them. `reference` is a name, an id or the beginning of one.
#[derive(Debug, Clone)]
pub struct Containers {
    _layout: Layout,
    _images: Images,
    _networks: Networks,
    _volumes: Volumes,
    _events: Events,
}

/// Which containers to list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Those that do not run too.
    pub all: bool,
    /// Only so many of the newest.
    pub limit: Option<usize>,
    /// With sizes, which takes time.
    pub size: bool,
    /// Which.
    pub filters: Filters,
}

/// Which part of a log.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Go on until the container ends.
    pub follow: bool,
    /// Only what is newer: nanoseconds since 1970.
    pub since: Option<i64>,
    /// Only what is older: nanoseconds since 1970.
    pub until: Option<i64>,
    /// Each line begins with its time.
    pub timestamps: bool,
    /// Only so many lines from the end.
    pub tail: Option<usize>,
}

/// What `POST /containers/{id}/wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitCondition {
    /// It does not run; at once when it does not.
    NotRunning,
    /// It ends the next time.
    NextExit,
    /// It is removed.
    Removed,
}

/// A command that runs in a container, for the client that started it.
#[derive(Debug)]
pub struct ExecStarted {
    /// Input and output; `None` when it was started detached.
    pub attached: Option<Attached>,
    /// Whether output comes as from a terminal, without frames.
    pub terminal: bool,
}

/// What the containers that run, by their records, have joined: for [`Networks::open`], which comes before
/// [`Containers::open`].
pub async fn running_joins(_layout: &Layout) -> Result<Vec<Join>, Error> {
    Ok(Vec::new())
}

macro_rules! not_yet {
    () => {
        Err(Error::Unsupported("containers".into()))
    };
}

impl Containers {
    /// Those on record. What runs is found again, what has ended meanwhile is noted, what was lost to a restart of the
    /// machine is started again where its restart policy says so.
    pub async fn open(
        layout: &Layout,
        _machine: Machine,
        images: Images,
        networks: Networks,
        volumes: Volumes,
        events: Events,
    ) -> Result<Self, Error> {
        Ok(Self { _layout: layout.clone(), _images: images, _networks: networks, _volumes: volumes, _events: events })
    }

    /// Makes one; its image must be here.
    pub async fn create(
        &self,
        _name: Option<&str>,
        _platform: Option<&str>,
        _body: ContainerCreateBody,
    ) -> Result<ContainerCreateResponse, Error> {
        not_yet!()
    }

    /// Those that match, newest first.
    pub async fn list(&self, _options: &ListOptions) -> Result<Vec<ContainerSummary>, Error> {
        not_yet!()
    }

    /// As `GET /containers/{id}/json` describes it.
    pub async fn inspect(&self, _reference: &str, _size: bool) -> Result<ContainerInspectResponse, Error> {
        not_yet!()
    }

    /// The full id.
    pub async fn id(&self, _reference: &str) -> Result<String, Error> {
        not_yet!()
    }

    /// Whether it has a terminal: its output has no frames.
    pub async fn has_terminal(&self, _reference: &str) -> Result<bool, Error> {
        not_yet!()
    }

    /// The ids of the images that containers have.
    pub async fn images_in_use(&self) -> Vec<String> {
        Vec::new()
    }

    /// How many run; the engine stops by itself only when none do.
    pub async fn running(&self) -> usize {
        0
    }

    /// `NotModified` when it runs.
    pub async fn start(&self, _reference: &str) -> Result<(), Error> {
        not_yet!()
    }

    /// Sends its stop signal (or `signal`), and `SIGKILL` after the grace period (seconds; its own when `None`, none when
    /// negative). `NotModified` when it does not run.
    pub async fn stop(&self, _reference: &str, _grace: Option<i64>, _signal: Option<&str>) -> Result<(), Error> {
        not_yet!()
    }

    /// Stops and starts.
    pub async fn restart(&self, _reference: &str, _grace: Option<i64>, _signal: Option<&str>) -> Result<(), Error> {
        not_yet!()
    }

    /// Sends a signal by name or number.
    pub async fn kill(&self, _reference: &str, _signal: &str) -> Result<(), Error> {
        not_yet!()
    }

    /// Freezes it.
    pub async fn pause(&self, _reference: &str) -> Result<(), Error> {
        not_yet!()
    }

    /// Lets it go on.
    pub async fn unpause(&self, _reference: &str) -> Result<(), Error> {
        not_yet!()
    }

    /// Its exit code, once the condition is met. Fails at once when there is no such container; the outer result comes
    /// before any waiting, so that a client can be answered.
    pub async fn wait(
        &self,
        _reference: &str,
        _condition: WaitCondition,
    ) -> Result<futures_util::future::BoxFuture<'static, Result<i64, Error>>, Error> {
        not_yet!()
    }

    /// Gives it another name.
    pub async fn rename(&self, _reference: &str, _name: &str) -> Result<(), Error> {
        not_yet!()
    }

    /// Removes it; one that runs only with `force`, its anonymous volumes with `volumes`.
    pub async fn remove(&self, _reference: &str, _force: bool, _volumes: bool) -> Result<(), Error> {
        not_yet!()
    }

    /// Removes those that do not run and match.
    pub async fn prune(&self, _filters: &Filters) -> Result<ContainerPruneResponse, Error> {
        not_yet!()
    }

    /// Its output, past and, with `follow`, to come.
    pub async fn logs(
        &self,
        _reference: &str,
        _options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<Output, Error>>, Error> {
        not_yet!()
    }

    /// Joins its input and output; a container that does not run yet is waited for, so that nothing of its output is missed.
    pub async fn attach(&self, _reference: &str) -> Result<Attached, Error> {
        not_yet!()
    }

    /// Gives its terminal another size.
    pub async fn resize(&self, _reference: &str, _columns: u16, _rows: u16) -> Result<(), Error> {
        not_yet!()
    }

    /// Prepares a command in it; the command's id.
    pub async fn exec_create(&self, _reference: &str, _config: ExecConfig) -> Result<String, Error> {
        not_yet!()
    }

    /// Starts the command.
    pub async fn exec_start(
        &self,
        _exec: &str,
        _detach: bool,
        _size: Option<(u16, u16)>,
    ) -> Result<ExecStarted, Error> {
        not_yet!()
    }

    /// How the command is.
    pub async fn exec_inspect(&self, _exec: &str) -> Result<ExecInspectResponse, Error> {
        not_yet!()
    }

    /// Gives its terminal another size.
    pub async fn exec_resize(&self, _exec: &str, _columns: u16, _rows: u16) -> Result<(), Error> {
        not_yet!()
    }

    /// Its processes, as `ps` shows them.
    pub async fn top(&self, _reference: &str, _arguments: Option<&str>) -> Result<ContainerTopResponse, Error> {
        not_yet!()
    }

    /// What it uses, every second or once.
    pub async fn stats(
        &self,
        _reference: &str,
        _once: bool,
    ) -> Result<BoxStream<'static, ContainerStatsResponse>, Error> {
        not_yet!()
    }

    /// Changes its limits and restart policy.
    pub async fn update(&self, _reference: &str, _body: ContainerUpdateBody) -> Result<ContainerUpdateResponse, Error> {
        not_yet!()
    }

    /// What it has changed of its image's files.
    pub async fn changes(&self, _reference: &str) -> Result<Vec<FilesystemChange>, Error> {
        not_yet!()
    }

    /// All its files as a tar.
    pub async fn export(&self, _reference: &str) -> Result<ByteStream, Error> {
        not_yet!()
    }

    /// Describes a path in it.
    pub async fn path_stat(&self, _reference: &str, _path: &str) -> Result<PathStat, Error> {
        not_yet!()
    }

    /// A path in it as a tar.
    pub async fn path_read(&self, _reference: &str, _path: &str) -> Result<(PathStat, ByteStream), Error> {
        not_yet!()
    }

    /// Unpacks a tar into a folder in it.
    pub async fn path_write(
        &self,
        _reference: &str,
        _path: &str,
        _tar: ByteStream,
        _options: WriteOptions,
    ) -> Result<(), Error> {
        not_yet!()
    }

    /// Puts it on one more network, now or at its start.
    pub async fn connect(&self, _reference: &str, _network: &str, _settings: EndpointSettings) -> Result<(), Error> {
        not_yet!()
    }

    /// Takes it off a network.
    pub async fn disconnect(&self, _reference: &str, _network: &str, _force: bool) -> Result<(), Error> {
        not_yet!()
    }

    /// The names of containers that have a volume.
    pub async fn users_of_volume(&self, _volume: &str) -> Vec<String> {
        Vec::new()
    }

    /// Stops every container; for the engine's stop.
    pub async fn stop_all(&self) {}
}
