//! The engine's containers: records on disk, and what becomes of them.
//!
//! Every container has one owner, a task that takes requests in turn and hears of its end; restart policies and
//! healthchecks live in it. What is on record is written before it is told to anyone, so that a daemon that is killed finds
//! the truth again.

mod archive;
mod attach;
mod change;
mod changes;
mod create;
mod ears;
mod exec;
mod files;
mod health;
mod inspect;
mod launch;
mod list;
mod logs;
mod merge;
mod mounts;
mod owner;
mod record;
mod recover;
mod remove;
mod restart;
mod shared;
mod signal;
mod size;
mod stats;
mod succession;
mod top;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard_stubs::models::{
    ContainerCreateBody, ContainerCreateResponse, ContainerInspectResponse, ContainerPruneResponse,
    ContainerStatsResponse, ContainerSummary, ContainerTopResponse, ContainerUpdateBody, ContainerUpdateResponse,
    EndpointSettings, ExecConfig, ExecInspectResponse, FilesystemChange,
};
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::BoxStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::owner::Command;
use self::shared::{Container, Shared, Table};
use super::ByteStream;
use super::error::Error;
use super::events::Events;
use super::images::Images;
use super::layout::Layout;
use super::network::{Join, Networks};
use super::process::{Attached, Output};
use super::root::{self, PathStat, WriteOptions};
use super::spec::Machine;
use super::volumes::Volumes;

/// Filters of a listing, as the API's `filters` parameter has them: `label` → `a=b`, `c`.
pub type Filters = HashMap<String, Vec<String>>;

/// The engine's containers; clones share them. `reference` is a name, an id or the beginning of one.
///
/// When the last clone is dropped, what the engine does for containers ends; the containers go on.
#[derive(Debug, Clone)]
pub struct Containers {
    shared: Arc<Shared>,
    _closing: Arc<DropGuard>,
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
pub async fn running_joins(layout: &Layout) -> Result<Vec<Join>, Error> {
    recover::running_joins(layout).await
}

#[expect(clippy::unused_async, reason = "whoever asks is ready to wait, whatever an answer takes")]
impl Containers {
    /// Those on record. What runs is found again, what has ended meanwhile is noted, what was lost to a restart of the
    /// machine is started again where its restart policy says so.
    pub async fn open(
        layout: &Layout,
        machine: Machine,
        images: Images,
        networks: Networks,
        volumes: Volumes,
        events: Events,
    ) -> Result<Self, Error> {
        let closing = CancellationToken::new();
        let shared = Arc::new(Shared {
            layout: layout.clone(),
            machine,
            images,
            networks,
            volumes,
            events,
            execs: exec::Execs::default(),
            wakers: logs::Wakers::default(),
            closing: closing.clone(),
            tasks: TaskTracker::new(),
            table: Mutex::new(Table::default()),
        });
        let opened = Self { shared: shared.clone(), _closing: Arc::new(closing.drop_guard()) };
        recover::recover(&shared).await?;
        Ok(opened)
    }

    /// Makes one; its image must be here.
    pub async fn create(
        &self,
        name: Option<&str>,
        platform: Option<&str>,
        body: ContainerCreateBody,
    ) -> Result<ContainerCreateResponse, Error> {
        create::create(&self.shared, name, platform, body).await
    }

    /// Those that match, newest first.
    pub async fn list(&self, options: &ListOptions) -> Result<Vec<ContainerSummary>, Error> {
        list::list(&self.shared, options).await
    }

    /// As `GET /containers/{id}/json` describes it.
    pub async fn inspect(&self, reference: &str, size: bool) -> Result<ContainerInspectResponse, Error> {
        let container = self.find(reference)?;
        Ok(inspect::inspect(&self.shared, &container, size).await)
    }

    /// The full id.
    pub async fn id(&self, reference: &str) -> Result<String, Error> {
        Ok(self.find(reference)?.id.clone())
    }

    /// Whether it has a terminal: its output has no frames.
    pub async fn has_terminal(&self, reference: &str) -> Result<bool, Error> {
        Ok(self.find(reference)?.record().has_terminal())
    }

    /// The ids of the images that containers have.
    pub async fn images_in_use(&self) -> Vec<String> {
        let mut images: Vec<String> =
            self.shared.all().iter().map(|container| container.record().image.clone()).collect();
        images.sort();
        images.dedup();
        images
    }

    /// How many run; the engine stops by itself only when none do.
    pub async fn running(&self) -> usize {
        self.shared.all().iter().filter(|container| container.record().state.status.is_running()).count()
    }

    /// `NotModified` when it runs.
    pub async fn start(&self, reference: &str) -> Result<(), Error> {
        self.find(reference)?.ask(Command::Start).await
    }

    /// Sends its stop signal (or `signal`), and `SIGKILL` after the grace period (seconds; its own when `None`, none when
    /// negative). `NotModified` when it does not run.
    pub async fn stop(&self, reference: &str, grace: Option<i64>, signal: Option<&str>) -> Result<(), Error> {
        let signal = signal.filter(|signal| !signal.is_empty()).map(signal::parse).transpose()?;
        self.find(reference)?.ask(|reply| Command::Stop { grace, signal, reply }).await
    }

    /// Stops and starts.
    pub async fn restart(&self, reference: &str, grace: Option<i64>, signal: Option<&str>) -> Result<(), Error> {
        let signal = signal.filter(|signal| !signal.is_empty()).map(signal::parse).transpose()?;
        self.find(reference)?.ask(|reply| Command::Restart { grace, signal, reply }).await
    }

    /// Sends a signal by name or number.
    pub async fn kill(&self, reference: &str, signal: &str) -> Result<(), Error> {
        let signal = if signal.is_empty() { signal::KILL } else { signal::parse(signal)? };
        let killed = self.find(reference)?.ask(|reply| Command::Kill { signal, reply }).await;
        killed.map_err(|error| match error {
            Error::Conflict(text) => Error::Conflict(format!("cannot kill container: {reference}: {text}")),
            other => other,
        })?;
        if signal == signal::KILL
            && let Ok(ended) = self.wait(reference, WaitCondition::NotRunning).await
        {
            // As with Docker, whoever kills for good finds it ended; how long that may take is bounded.
            let _ = tokio::time::timeout(Duration::from_secs(10), ended).await;
        }
        Ok(())
    }

    /// Freezes it.
    pub async fn pause(&self, reference: &str) -> Result<(), Error> {
        self.find(reference)?.ask(Command::Pause).await
    }

    /// Lets it go on.
    pub async fn unpause(&self, reference: &str) -> Result<(), Error> {
        self.find(reference)?.ask(Command::Unpause).await
    }

    /// Its exit code, once the condition is met. Fails at once when there is no such container; the outer result comes
    /// before any waiting, so that a client can be answered.
    pub async fn wait(
        &self,
        reference: &str,
        condition: WaitCondition,
    ) -> Result<BoxFuture<'static, Result<i64, Error>>, Error> {
        let mut phase = self.find(reference)?.phase.subscribe();
        let ends = phase.borrow().ends;
        Ok(Box::pin(async move {
            let met = phase.wait_for(|phase| {
                phase.removed
                    || match condition {
                        WaitCondition::NotRunning => !phase.running || phase.ends != ends,
                        WaitCondition::NextExit => phase.ends != ends,
                        WaitCondition::Removed => phase.stuck.is_some(),
                    }
            });
            match met.await {
                Ok(phase) => match &phase.stuck {
                    Some(error) if condition == WaitCondition::Removed && !phase.removed => Err(error.clone()),
                    _ => Ok(phase.code),
                },
                Err(_) => Err(Error::Failed("the engine ends".into())),
            }
        }))
    }

    /// Gives it another name.
    pub async fn rename(&self, reference: &str, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        self.find(reference)?.ask(|reply| Command::Rename { name, reply }).await
    }

    /// Removes it; one that runs only with `force`, its anonymous volumes with `volumes`.
    pub async fn remove(&self, reference: &str, force: bool, volumes: bool) -> Result<(), Error> {
        let container = self.find(reference)?;
        if container.is_being_removed() {
            return Err(Error::Conflict(format!("removal of container {reference} is already in progress")));
        }
        container.ask(|reply| Command::Remove { force, volumes, reply }).await
    }

    /// Removes those that do not run and match.
    pub async fn prune(&self, filters: &Filters) -> Result<ContainerPruneResponse, Error> {
        let (mut deleted, mut reclaimed) = (Vec::new(), 0_i64);
        for record in list::prunable(&self.shared, filters).await? {
            let (written, _) = list::sizes(&self.shared, &record).await;
            match self.remove(&record.id, false, false).await {
                Ok(()) => {
                    deleted.push(record.id.clone());
                    reclaimed = reclaimed.saturating_add(written);
                }
                // Started or removed meanwhile.
                Err(error) => tracing::debug!("container {} is not pruned: {error}", record.id),
            }
        }
        Ok(ContainerPruneResponse { containers_deleted: Some(deleted), space_reclaimed: Some(reclaimed) })
    }

    /// Its output, past and, with `follow`, to come.
    pub async fn logs(
        &self,
        reference: &str,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<Output, Error>>, Error> {
        let container = self.find(reference)?;
        logs::logs(&self.shared, &container, options).await
    }

    /// Joins its input and output; a container that does not run yet is waited for, so that nothing of its output is missed.
    pub async fn attach(&self, reference: &str) -> Result<Attached, Error> {
        let container = self.find(reference)?;
        let attached = attach::attach(&container).await?;
        self.shared.tell(&container.record(), "attach", &[]);
        Ok(attached)
    }

    /// Gives its terminal another size.
    pub async fn resize(&self, reference: &str, columns: u16, rows: u16) -> Result<(), Error> {
        let container = self.find(reference)?;
        container.running()?.resize(columns, rows).await?;
        let (width, height) = (columns.to_string(), rows.to_string());
        self.shared.tell(&container.record(), "resize", &[("width", &width), ("height", &height)]);
        Ok(())
    }

    /// Prepares a command in it; the command's id.
    pub async fn exec_create(&self, reference: &str, config: ExecConfig) -> Result<String, Error> {
        let container = self.find(reference)?;
        self.shared.execs.create(&self.shared, container, config)
    }

    /// Starts the command.
    pub async fn exec_start(&self, exec: &str, detach: bool, size: Option<(u16, u16)>) -> Result<ExecStarted, Error> {
        self.shared.execs.start(&self.shared, exec, detach, size).await
    }

    /// How the command is.
    pub async fn exec_inspect(&self, exec: &str) -> Result<ExecInspectResponse, Error> {
        self.shared.execs.inspect(exec)
    }

    /// Gives its terminal another size.
    pub async fn exec_resize(&self, exec: &str, columns: u16, rows: u16) -> Result<(), Error> {
        self.shared.execs.resize(exec, columns, rows).await
    }

    /// Its processes, as `ps` shows them.
    pub async fn top(&self, reference: &str, arguments: Option<&str>) -> Result<ContainerTopResponse, Error> {
        let container = self.find(reference)?;
        let processes = top::top(&container, arguments).await?;
        self.shared.tell(&container.record(), "top", &[]);
        Ok(processes)
    }

    /// What it uses, every second or once.
    pub async fn stats(
        &self,
        reference: &str,
        once: bool,
    ) -> Result<BoxStream<'static, ContainerStatsResponse>, Error> {
        Ok(stats::stats(&self.shared, &self.find(reference)?, once))
    }

    /// Changes its limits and restart policy.
    pub async fn update(&self, reference: &str, body: ContainerUpdateBody) -> Result<ContainerUpdateResponse, Error> {
        let body = Box::new(body);
        let warnings = self.find(reference)?.ask(|reply| Command::Update { body, reply }).await?;
        Ok(ContainerUpdateResponse { warnings: Some(warnings) })
    }

    /// What it has changed of its image's files.
    pub async fn changes(&self, reference: &str) -> Result<Vec<FilesystemChange>, Error> {
        let container = self.find(reference)?;
        changes::changes(launch::rootfs(&self.shared.layout, &container.record())).await
    }

    /// All its files as a tar.
    pub async fn export(&self, reference: &str) -> Result<ByteStream, Error> {
        let container = self.find(reference)?;
        let sight = archive::view(&self.shared, &container).await?;
        let (_, tar) = root::read(&self.shared.layout, &sight.view, "/.").await?;
        self.shared.tell(&container.record(), "export", &[]);
        Ok(sight.keep(tar))
    }

    /// Describes a path in it.
    pub async fn path_stat(&self, reference: &str, path: &str) -> Result<PathStat, Error> {
        let container = self.find(reference)?;
        let sight = archive::view(&self.shared, &container).await?;
        root::stat(&self.shared.layout, &sight.view, path).await
    }

    /// A path in it as a tar.
    pub async fn path_read(&self, reference: &str, path: &str) -> Result<(PathStat, ByteStream), Error> {
        let container = self.find(reference)?;
        let sight = archive::view(&self.shared, &container).await?;
        let (stat, tar) = root::read(&self.shared.layout, &sight.view, path).await?;
        self.shared.tell(&container.record(), "archive-path", &[]);
        Ok((stat, sight.keep(tar)))
    }

    /// Unpacks a tar into a folder in it.
    pub async fn path_write(
        &self,
        reference: &str,
        path: &str,
        tar: ByteStream,
        options: WriteOptions,
    ) -> Result<(), Error> {
        let container = self.find(reference)?;
        let sight = archive::view(&self.shared, &container).await?;
        root::write(&self.shared.layout, &sight.view, path, tar, options).await?;
        self.shared.tell(&container.record(), "extract-to-dir", &[]);
        Ok(())
    }

    /// Removes files and folders in it, as [`root::remove_inside`] does.
    pub async fn path_remove(&self, reference: &str, paths: Vec<String>) -> Result<(), Error> {
        let container = self.find(reference)?;
        let sight = archive::view(&self.shared, &container).await?;
        root::remove_inside(&self.shared.layout, &sight.view, paths).await?;
        self.shared.tell(&container.record(), "remove-path", &[]);
        Ok(())
    }

    /// Puts it on one more network, now or at its start.
    pub async fn connect(&self, reference: &str, network: &str, settings: EndpointSettings) -> Result<(), Error> {
        let (network, settings) = (network.to_owned(), Box::new(settings));
        self.find(reference)?.ask(|reply| Command::Connect { network, settings, reply }).await
    }

    /// Takes it off a network.
    pub async fn disconnect(&self, reference: &str, network: &str, force: bool) -> Result<(), Error> {
        let network = network.to_owned();
        self.find(reference)?.ask(|reply| Command::Disconnect { network, force, reply }).await
    }

    /// The names of containers that have a volume.
    pub async fn users_of_volume(&self, volume: &str) -> Vec<String> {
        list::users_of_volume(&self.shared, volume)
    }

    /// Stops every container; for the engine's stop.
    pub async fn stop_all(&self) {
        let all = self.shared.all();
        let stopped = all.iter().map(|container| async {
            let stopped = container.ask(|reply| Command::Stop { grace: None, signal: None, reply }).await;
            match stopped {
                Ok(()) | Err(Error::NotModified | Error::NotFound(_)) => {}
                Err(error) => tracing::warn!("container {} does not stop: {error}", container.id),
            }
        });
        join_all(stopped).await;
    }

    fn find(&self, reference: &str) -> Result<Arc<Container>, Error> {
        self.shared.find(reference)
    }
}
