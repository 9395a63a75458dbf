//! The owner of a container: the one task that changes it. It takes commands in turn, hears of the container's end, and
//! runs its restart policy and its healthcheck.
//!
//! While it waits for a container to stop it still listens: a `kill` is sent at once, another `stop` can only shorten the
//! patience, and everything else is done afterwards, in turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bollard_stubs::models::{ContainerUpdateBody, EndpointSettings};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::ears::Ears;
use super::health::Monitor;
use super::record::{MountKind, Record, Status};
use super::restart::{self, Backoff};
use super::shared::{Container, Shared};
use super::{archive, attach, change, launch, remove, signal, succession};
use crate::embedded::error::Error;
use crate::embedded::process::{self, Exit, Running};

/// Commands that wait for an owner.
const QUEUE: usize = 64;
/// What even a killed process may take to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(30);

/// Where the answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What an owner is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    Start(Reply<()>),
    Stop { grace: Option<i64>, signal: Option<i32>, reply: Reply<()> },
    Restart { grace: Option<i64>, signal: Option<i32>, reply: Reply<()> },
    Kill { signal: i32, reply: Reply<()> },
    Pause(Reply<()>),
    Unpause(Reply<()>),
    Rename { name: String, reply: Reply<()> },
    Remove { force: bool, volumes: bool, reply: Reply<()> },
    Update { body: Box<ContainerUpdateBody>, reply: Reply<Vec<String>> },
    Connect { network: String, settings: Box<EndpointSettings>, reply: Reply<()> },
    Disconnect { network: String, force: bool, reply: Reply<()> },
}

/// What a daemon found of a container at its start.
pub(super) enum Resumed {
    /// It runs.
    Running(Running),
    /// It ended while nobody looked.
    Ended(Exit),
    /// It was about to be started again.
    Restarting,
    /// It does not run.
    Idle,
}

/// See the module.
pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    pub(super) container: Arc<Container>,
    commands: mpsc::Receiver<Command>,
    deferred: VecDeque<Command>,
    backoff: Backoff,
    restart_at: Option<Instant>,
    /// Its next end was asked for: no restart.
    exit_on_next: bool,
    /// Its next end is half a restart: `--rm` does not count.
    pub(super) keep: bool,
    monitor: Option<Monitor>,
    ears: Option<Ears>,
    pub(super) removed: bool,
}

/// Puts a container on the table and gives it its owner.
pub(super) fn adopt(shared: &Arc<Shared>, record: Record, resumed: Resumed) -> Arc<Container> {
    let (sender, commands) = mpsc::channel(QUEUE);
    let container = Arc::new(Container::new(record, sender));
    shared.table().insert(container.clone());
    let owner = Owner {
        shared: shared.clone(),
        container: container.clone(),
        commands,
        deferred: VecDeque::new(),
        backoff: Backoff::default(),
        restart_at: None,
        exit_on_next: false,
        keep: false,
        monitor: None,
        ears: None,
        removed: false,
    };
    if let Resumed::Running(running) = &resumed {
        container.live().running = Some(running.clone());
        container.phase.send_modify(|phase| phase.running = true);
    }
    shared.tasks.spawn(owner.run(resumed));
    container
}

impl Owner {
    async fn run(mut self, resumed: Resumed) {
        match resumed {
            Resumed::Running(_) => self.watch(),
            Resumed::Ended(exit) => Box::pin(self.ended(exit)).await,
            Resumed::Restarting => self.restart_at = Some(Instant::now() + self.backoff.next(Duration::ZERO)),
            Resumed::Idle => {}
        }
        while !self.removed {
            if let Some(command) = self.deferred.pop_front() {
                Box::pin(self.perform(command)).await;
                continue;
            }
            let running = self.container.live().running.clone();
            let at = self.restart_at;
            let closing = self.shared.closing.clone();
            tokio::select! {
                biased;
                () = closing.cancelled() => break,
                exit = end_of(running) => Box::pin(self.ended(exit)).await,
                () = until(at) => Box::pin(self.start_again()).await,
                command = self.commands.recv() => match command {
                    Some(command) => Box::pin(self.perform(command)).await,
                    None => break,
                },
            }
        }
        if let Some(monitor) = self.monitor.take() {
            monitor.stop().await;
        }
    }

    async fn perform(&mut self, command: Command) {
        // Whoever asked may be gone; what was asked for is done all the same.
        match command {
            Command::Start(reply) => drop(reply.send(Box::pin(self.start()).await)),
            Command::Stop { grace, signal, reply } => {
                let done = self.stop(grace, signal).await;
                let _ = reply.send(done);
            }
            Command::Restart { grace, signal, reply } => drop(reply.send(Box::pin(self.restart(grace, signal)).await)),
            Command::Kill { signal, reply } => drop(reply.send(self.kill(signal).await)),
            Command::Pause(reply) => drop(reply.send(self.pause().await)),
            Command::Unpause(reply) => drop(reply.send(self.unpause().await)),
            Command::Rename { name, reply } => drop(reply.send(change::rename(self, &name).await)),
            Command::Remove { force, volumes, reply } => {
                drop(reply.send(remove::remove(self, force, volumes).await));
            }
            Command::Update { body, reply } => drop(reply.send(change::update(self, *body).await)),
            Command::Connect { network, settings, reply } => {
                drop(reply.send(change::connect(self, &network, *settings).await));
            }
            Command::Disconnect { network, force, reply } => {
                drop(reply.send(change::disconnect(self, &network, force).await));
            }
        }
    }

    pub(super) fn record(&self) -> Arc<Record> {
        self.container.record()
    }

    pub(super) fn status(&self) -> Status {
        self.container.live().record.state.status
    }

    pub(super) fn running(&self) -> Result<Running, Error> {
        self.container.running()
    }

    /// Writes a changed record, then lets it be seen.
    pub(super) async fn commit(&self, record: Record) -> Result<(), Error> {
        record.write(&self.shared.layout).await?;
        self.container.publish(record);
        Ok(())
    }

    /// The same where what has happened cannot be refused any more.
    async fn note(&self, record: Record) -> Arc<Record> {
        if let Err(error) = record.write(&self.shared.layout).await {
            tracing::error!("{error}");
        }
        self.container.publish(record)
    }

    async fn start(&mut self) -> Result<(), Error> {
        match self.status() {
            Status::Running | Status::Restarting => return Err(Error::NotModified),
            Status::Paused => {
                return Err(Error::Conflict("cannot start a paused container, try unpause instead".into()));
            }
            Status::Removing => {
                return Err(Error::Conflict("container is marked for removal and cannot be started".into()));
            }
            Status::Created | Status::Exited => {}
        }
        self.backoff = Backoff::default();
        let mut record = Record::clone(&self.record());
        record.restart_count = 0;
        Box::pin(self.launch(record)).await
    }

    /// Starts the process; what the record is to say beside that is in `record` already.
    async fn launch(&mut self, mut record: Record) -> Result<(), Error> {
        self.exit_on_next = false;
        self.restart_at = None;
        record.stopped_by_hand = false;
        let waiting = attach::waiting(&self.container);
        let launched = async {
            let files = archive::own(&self.container).await?;
            Ok((launch::launch(&self.shared, &record, !waiting.is_empty()).await?, files))
        };
        match Box::pin(launched).await {
            Ok((launched, files)) => {
                self.container.live().running = Some(launched.running.clone());
                drop(files);
                let record = self.container.publish(launched.record);
                attach::serve(&self.shared, &launched.running, waiting);
                self.watch();
                self.tell_mounts(&record, "mount");
                self.shared.tell(&record, "start", &[]);
                Ok(())
            }
            Err(error) => {
                self.failed_to_start(record, &error).await;
                attach::put_back(&self.container, waiting);
                Err(error)
            }
        }
    }

    async fn failed_to_start(&mut self, mut record: Record, error: &Error) {
        let ran_before = record.state.finished_at.is_some() || record.state.status != Status::Created;
        record.state.status = if ran_before { Status::Exited } else { Status::Created };
        record.state.exit_code = process::failure_code(error);
        record.state.error = error.to_string();
        let remove = record.auto_remove() && !self.keep;
        self.shared.networks.give_up(&record.id, false).await;
        self.note(record).await;
        if remove {
            self.remove_by_itself().await;
        }
    }

    /// By its restart policy.
    async fn start_again(&mut self) {
        self.restart_at = None;
        let record = Record::clone(&self.record());
        if let Err(error) = Box::pin(self.launch(record)).await {
            tracing::warn!("container {} cannot be started again: {error}", self.container.id);
        }
    }

    async fn stop(&mut self, grace: Option<i64>, signal: Option<i32>) -> Result<(), Error> {
        if !self.status().is_running() {
            return Err(Error::NotModified);
        }
        self.halt(grace, signal).await?;
        let record = self.record();
        self.shared.tell(&record, "stop", &[]);
        Ok(())
    }

    async fn restart(&mut self, grace: Option<i64>, signal: Option<i32>) -> Result<(), Error> {
        if self.status().is_running() {
            self.keep = true;
            let halted = self.halt(grace, signal).await;
            self.keep = false;
            halted?;
            let record = self.record();
            self.shared.tell(&record, "stop", &[]);
        }
        Box::pin(self.start()).await?;
        let record = self.record();
        self.shared.tell(&record, "restart", &[]);
        Ok(())
    }

    /// Ends it, whatever it takes, and notes that.
    pub(super) async fn halt(&mut self, grace: Option<i64>, signal: Option<i32>) -> Result<(), Error> {
        self.exit_on_next = true;
        let Ok(running) = self.running() else {
            self.give_up_restart().await;
            return Ok(());
        };
        let record = self.record();
        let asked = match (signal, record.body.stop_signal.as_deref().filter(|name| !name.is_empty())) {
            (Some(signal), _) => signal,
            (None, Some(name)) => signal::parse(name)?,
            (None, None) => signal::TERMINATE,
        };
        let grace = grace.unwrap_or_else(|| record.grace());
        succession::retire(self).await;
        match self.end(&running, asked, grace).await {
            Ok(exit) => self.ended(exit).await,
            Err(error) => {
                self.shared.networks.stay(&record.id);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Sends a signal and waits; sends `SIGKILL` when the patience (seconds; negative for ever) is at its end.
    async fn end(&mut self, running: &Running, asked: i32, grace: i64) -> Result<Exit, Error> {
        let mut deadline = patience(grace);
        let mut killed = asked == signal::KILL;
        self.send(running, asked).await;
        if killed {
            deadline = Some(Instant::now() + KILL_DEADLINE);
        }
        let mut others = Vec::new();
        let result = loop {
            let room = self.deferred.len() < QUEUE;
            tokio::select! {
                biased;
                exit = running.ended() => break Ok(exit),
                () = self.shared.closing.cancelled() => break Err(Error::Failed("the engine ends".into())),
                () = until(deadline) => {
                    if killed {
                        let id = &self.container.id;
                        break Err(Error::Failed(format!("tried to kill container {id}, but it has not ended")));
                    }
                    killed = true;
                    self.send(running, signal::KILL).await;
                    deadline = Some(Instant::now() + KILL_DEADLINE);
                }
                command = self.commands.recv(), if room => match command {
                    Some(Command::Kill { signal, reply }) => {
                        self.send(running, signal).await;
                        let _ = reply.send(Ok(()));
                    }
                    Some(Command::Stop { grace, reply, .. }) if !killed => {
                        let sooner = patience(grace.unwrap_or_else(|| self.record().grace()));
                        deadline = match (deadline, sooner) {
                            (Some(one), Some(other)) => Some(one.min(other)),
                            (one, other) => one.or(other),
                        };
                        others.push(reply);
                    }
                    Some(command) => {
                        if let Command::Remove { force: true, .. } = &command
                            && !killed
                        {
                            deadline = Some(Instant::now());
                        }
                        self.deferred.push_back(command);
                    }
                    None => break Err(Error::Failed("the engine ends".into())),
                },
            }
        };
        for reply in others {
            let _ = reply.send(result.as_ref().map(|_| ()).map_err(Clone::clone));
        }
        result
    }

    async fn kill(&mut self, signal: i32) -> Result<(), Error> {
        let record = self.record();
        if !record.state.status.is_running() {
            return Err(Error::Conflict(format!("container {} is not running", record.id)));
        }
        let configured = record.body.stop_signal.as_deref().filter(|name| !name.is_empty());
        let ends = match configured {
            Some(name) if signal != signal::KILL => signal::parse(name) == Ok(signal),
            _ => true,
        };
        self.exit_on_next |= ends;
        if let Ok(running) = self.running() {
            self.send(&running, signal).await;
        } else {
            self.give_up_restart().await;
        }
        Ok(())
    }

    /// One that ends just now needs no signal; a frozen one hears it when it goes on.
    async fn send(&self, running: &Running, signal: i32) {
        if let Err(error) = running.signal(signal).await {
            tracing::debug!("container {} takes no signal {signal}: {error}", self.container.id);
        }
        let record = self.record();
        if record.state.status == Status::Paused && self.exit_on_next {
            if let Err(error) = running.resume().await {
                tracing::warn!("container {} stays frozen: {error}", self.container.id);
            }
            let mut record = Record::clone(&record);
            record.state.status = Status::Running;
            self.container.publish(record);
        }
        self.shared.tell(&record, "kill", &[("signal", &signal.to_string())]);
    }

    /// It does not run and will not be started again.
    async fn give_up_restart(&mut self) {
        self.restart_at = None;
        let mut record = Record::clone(&self.record());
        record.state.status = Status::Exited;
        record.stopped_by_hand = true;
        self.note(record).await;
    }

    /// It has ended: notes how, tells, and does what follows from it.
    async fn ended(&mut self, exit: Exit) {
        self.ears = None;
        if let Some(monitor) = self.monitor.take() {
            monitor.stop().await;
        }
        let mut record = Record::clone(&self.record());
        let had_networks = record.given.take().is_some();
        let ran = record.state.started_at.map_or(0, |start| (exit.finished_at - start).num_milliseconds().max(0));
        let ran = Duration::from_millis(ran.unsigned_abs());
        record.state.exit_code = exit.code;
        record.state.oom_killed = exit.oom_killed;
        record.state.finished_at = Some(exit.finished_at);
        record.state.error = exit.error.unwrap_or_default();
        record.stopped_by_hand |= self.exit_on_next;
        let policy = record.restart_policy();
        let again = restart::wanted(&policy, exit.code, record.restart_count, record.stopped_by_hand);
        let pause = again.then(|| self.backoff.next(ran));
        if let Some(pause) = pause {
            self.restart_at = Some(Instant::now() + pause);
            record.restart_count += 1;
        }
        if had_networks {
            succession::hold(self, pause);
        }
        record.state.status = if again { Status::Restarting } else { Status::Exited };
        if let Err(error) = record.write(&self.shared.layout).await {
            tracing::error!("{error}");
        }
        self.container.live().record = Arc::new(record.clone());
        if record.state.oom_killed {
            self.shared.tell(&record, "oom", &[]);
        }
        let (code, seconds) = (exit.code.to_string(), ran.as_secs().to_string());
        self.shared.tell(&record, "die", &[("exitCode", &code), ("execDuration", &seconds)]);
        let record = self.take_down(record, had_networks).await;
        self.container.phase.send_modify(|phase| phase.ends += 1);
        if record.auto_remove() && !again && !self.keep {
            self.remove_by_itself().await;
        }
    }

    /// Takes away what is left of one that has ended; only then does it pass for one that does not run.
    async fn take_down(&mut self, mut record: Record, had_networks: bool) -> Arc<Record> {
        if had_networks && let Err(error) = self.shared.networks.leave(&record.id).await {
            tracing::warn!("cannot take container {} off its networks: {error}", record.id);
        }
        let running = self.container.live().running.clone();
        let left = match running {
            Some(running) => running.wait().await.error,
            None => None,
        };
        self.container.live().running = None;
        let record = match left {
            Some(error) => {
                record.state.error = error;
                self.note(record).await
            }
            None => self.container.publish(record),
        };
        // On our own record now.
        if let Err(error) = process::forget(&self.shared.layout, &record.id).await {
            tracing::warn!("cannot remove what was kept of the end of container {}: {error}", record.id);
        }
        self.shared.execs.forget(&record.id);
        self.tell_mounts(&record, "unmount");
        record
    }

    async fn remove_by_itself(&mut self) {
        if let Err(error) = remove::purge(self, true).await {
            tracing::warn!("container {} cannot be removed: {error}", self.container.id);
        }
    }

    async fn pause(&mut self) -> Result<(), Error> {
        let record = self.record();
        match record.state.status {
            Status::Paused => return Err(Error::Conflict(format!("Container {} is already paused", record.id))),
            Status::Restarting => {
                let text = "is restarting, wait until the container is running";
                return Err(Error::Conflict(format!("Container {} {text}", record.id)));
            }
            _ => {}
        }
        self.running()?.pause().await?;
        let mut record = Record::clone(&record);
        record.state.status = Status::Paused;
        if let Some(monitor) = self.monitor.take() {
            monitor.stop().await;
        }
        let record = self.note(record).await;
        self.shared.tell(&record, "pause", &[]);
        Ok(())
    }

    async fn unpause(&mut self) -> Result<(), Error> {
        let record = self.record();
        if record.state.status != Status::Paused {
            return Err(Error::Conflict(format!("Container {} is not paused", record.id)));
        }
        self.running()?.resume().await?;
        let mut record = Record::clone(&record);
        record.state.status = Status::Running;
        let record = self.note(record).await;
        self.watch_health();
        self.shared.tell(&record, "unpause", &[]);
        Ok(())
    }

    /// Watches what has just been started, or found.
    fn watch(&mut self) {
        self.ears = Ears::open(&self.shared, &self.container);
        self.watch_health();
    }

    fn watch_health(&mut self) {
        // A frozen one answers no probe.
        if self.status() != Status::Paused {
            self.monitor = Monitor::begin(&self.shared, &self.container, self.ears.as_ref());
        }
    }

    fn tell_mounts(&self, record: &Record, action: &str) {
        for mount in &record.mounts {
            if let MountKind::Volume { name, .. } = &mount.kind {
                self.shared.volumes.tell_mount(action, name, &record.id, &mount.destination, mount.read_write);
            }
        }
    }
}

/// Never, when nothing runs.
async fn end_of(running: Option<Running>) -> Exit {
    match running {
        Some(running) => running.ended().await,
        None => std::future::pending().await,
    }
}

/// Never, when there is no such moment.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn patience(seconds: i64) -> Option<Instant> {
    let seconds = u64::try_from(seconds).ok()?;
    // Beyond a year it makes no difference, and no clock overflows.
    Some(Instant::now() + Duration::from_secs(seconds.min(365 * 24 * 3600)))
}
