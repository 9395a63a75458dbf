//! Commands in running containers: prepared, started, and remembered as long as their container runs.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard_stubs::models::{ExecConfig, ExecInspectResponse, ProcessConfig};
use tokio::sync::mpsc;

use super::ExecStarted;
use super::merge;
use super::record::{Record, Status};
use super::shared::{Container, Shared};
use crate::embedded::error::Error;
use crate::embedded::id;
use crate::embedded::process::{self, Attached, Exec, ExecProcess, Exit, Output};

/// Finished commands that are remembered of one container.
const REMEMBERED: usize = 256;
/// Pieces of output under way to a client.
const QUEUE: usize = 16;
/// What may pass between the end of a command's output and its exit code.
const EXIT_DEADLINE: Duration = Duration::from_secs(10);

/// All commands that are remembered.
#[derive(Debug, Default)]
pub(super) struct Execs {
    known: Mutex<HashMap<String, Arc<Known>>>,
    /// The ids of each container's, oldest first.
    of_containers: Mutex<HashMap<String, VecDeque<String>>>,
}

/// A command.
#[derive(Debug)]
struct Known {
    id: String,
    container: Arc<Container>,
    config: ExecConfig,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    started: bool,
    pid: Option<u32>,
    exit_code: Option<i64>,
    resize: Option<mpsc::Sender<(u16, u16)>>,
    /// The size that was asked for before the start.
    size: Option<(u16, u16)>,
}

impl Execs {
    /// Prepares a command; its id.
    pub(super) fn create(
        &self,
        shared: &Shared,
        container: Arc<Container>,
        config: ExecConfig,
    ) -> Result<String, Error> {
        let record = container.record();
        running(&record)?;
        let words = config.cmd.clone().unwrap_or_default();
        if words.is_empty() {
            return Err(Error::Invalid("no exec command specified".into()));
        }
        let id = id::random();
        let known = Known { id: id.clone(), container, config, now: Mutex::default() };
        self.known().insert(id.clone(), Arc::new(known));
        let oldest = {
            let mut of_containers = self.of_containers.lock().unwrap_or_else(PoisonError::into_inner);
            let ids = of_containers.entry(record.id.clone()).or_default();
            ids.push_back(id.clone());
            if ids.len() > REMEMBERED { Some(ids.clone()) } else { None }
        };
        if let Some(ids) = oldest {
            self.forget_finished(&record.id, &ids);
        }
        shared.tell(&record, &format!("exec_create: {}", words.join(" ")), &[("execID", &id)]);
        Ok(id)
    }

    /// Those of a container, for its inspection.
    pub(super) fn ids(&self, container: &str) -> Vec<String> {
        let of_containers = self.of_containers.lock().unwrap_or_else(PoisonError::into_inner);
        of_containers.get(container).map(|ids| ids.iter().cloned().collect()).unwrap_or_default()
    }

    /// Its container has ended.
    pub(super) fn forget(&self, container: &str) {
        let ids = self.of_containers.lock().unwrap_or_else(PoisonError::into_inner).remove(container);
        let mut known = self.known();
        for id in ids.into_iter().flatten() {
            known.remove(&id);
        }
    }

    /// The oldest that has finished makes room.
    fn forget_finished(&self, container: &str, ids: &VecDeque<String>) {
        let finished = {
            let mut known = self.known();
            let is_finished = |id: &&String| known.get(*id).is_none_or(|exec| exec.now().exit_code.is_some());
            let finished = ids.iter().find(is_finished).cloned();
            if let Some(id) = &finished {
                known.remove(id);
            }
            finished
        };
        if let Some(id) = finished
            && let Some(ids) = self.of_containers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(container)
        {
            ids.retain(|other| *other != id);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &str) -> Result<Arc<Known>, Error> {
        self.known().get(id).cloned().ok_or_else(|| Error::NotFound(format!("No such exec instance: {id}")))
    }

    /// How a command is.
    pub(super) fn inspect(&self, id: &str) -> Result<ExecInspectResponse, Error> {
        let exec = self.find(id)?;
        let now = exec.now();
        let config = &exec.config;
        let mut words = config.cmd.clone().unwrap_or_default().into_iter();
        Ok(ExecInspectResponse {
            can_remove: Some(false),
            detach_keys: Some(String::new()),
            id: Some(exec.id.clone()),
            running: Some(now.started && now.exit_code.is_none()),
            exit_code: now.exit_code,
            process_config: Some(ProcessConfig {
                privileged: Some(config.privileged == Some(true)),
                user: config.user.clone(),
                tty: Some(config.tty == Some(true)),
                entrypoint: words.next(),
                arguments: Some(words.collect()),
            }),
            open_stdin: Some(config.attach_stdin == Some(true)),
            open_stderr: Some(config.attach_stderr == Some(true)),
            open_stdout: Some(config.attach_stdout == Some(true)),
            container_id: Some(exec.container.id.clone()),
            pid: Some(now.pid.map_or(0, i64::from)),
        })
    }

    /// Gives a command's terminal another size; before the start it is remembered for it.
    pub(super) async fn resize(&self, id: &str, columns: u16, rows: u16) -> Result<(), Error> {
        let exec = self.find(id)?;
        let resize = {
            let mut now = exec.now();
            now.size = Some((columns, rows));
            now.resize.clone()
        };
        if let Some(resize) = resize {
            // One that has just ended has no terminal any more.
            let _ = resize.send((columns, rows)).await;
        }
        Ok(())
    }

    /// Starts a command.
    pub(super) async fn start(
        &self,
        shared: &Arc<Shared>,
        id: &str,
        detach: bool,
        size: Option<(u16, u16)>,
    ) -> Result<ExecStarted, Error> {
        let exec = self.find(id)?;
        let record = exec.container.record();
        running(&record)?;
        let size = {
            let mut now = exec.now();
            if std::mem::replace(&mut now.started, true) {
                return Err(Error::Conflict(format!("Error: Exec command {id} has already run")));
            }
            size.or(now.size)
        };
        let words = exec.config.cmd.clone().unwrap_or_default().join(" ");
        shared.tell(&record, &format!("exec_start: {words}"), &[("execID", id)]);
        let terminal = exec.config.tty == Some(true);
        let process = command(&record, &exec.config, detach, size);
        let started = match exec.container.running() {
            Ok(running) => Box::pin(running.exec(&shared.layout, &process)).await,
            Err(error) => Err(error),
        };
        let started = match started {
            Ok(started) => started,
            Err(error) => {
                exec.now().exit_code = Some(process::failure_code(&error));
                return Err(error);
            }
        };
        {
            let mut now = exec.now();
            now.pid = Some(started.pid);
            now.resize = Some(started.resize.clone());
        }
        let attached = watch(shared, exec, started, detach);
        Ok(ExecStarted { attached, terminal })
    }
}

impl Known {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The container's variables with a command's own.
pub(super) fn environment(record: &Record, own: &[String]) -> Vec<String> {
    let asked = record.body.env.as_deref().unwrap_or_default();
    let mut variables = merge::process_environment(asked, &record.hostname(), record.has_terminal());
    merge::overlay(&mut variables, own);
    variables
}

/// Kills a process of the machine that is known to run.
pub(super) fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = rustix::process::kill_process(pid, rustix::process::Signal::KILL)
    {
        tracing::debug!("cannot kill process {pid:?}: {error}");
    }
}

fn running(record: &Record) -> Result<(), Error> {
    match record.state.status {
        Status::Running => Ok(()),
        Status::Paused => {
            Err(Error::Conflict(format!("Container {} is paused, unpause the container before exec", record.id)))
        }
        Status::Restarting => {
            Err(Error::Conflict(format!("Container {} is restarting, wait until the container is running", record.id)))
        }
        _ => Err(Error::Conflict(format!("container {} is not running", record.id))),
    }
}

fn command(record: &Record, config: &ExecConfig, detach: bool, size: Option<(u16, u16)>) -> ExecProcess {
    let terminal = config.tty == Some(true);
    let configured = config.console_size.as_deref().and_then(|size| match size {
        [rows, columns] => Some((u16::try_from(*columns).ok()?, u16::try_from(*rows).ok()?)),
        _ => None,
    });
    let mut own = config.env.clone().unwrap_or_default();
    if terminal && !own.iter().any(|entry| entry.starts_with("TERM=")) {
        own.push("TERM=xterm".to_owned());
    }
    ExecProcess {
        arguments: config.cmd.clone().unwrap_or_default(),
        environment: environment(record, &own),
        working_directory: config.working_dir.clone().unwrap_or_default(),
        user: config.user.clone().unwrap_or_default(),
        terminal: terminal.then(|| size.or(configured).unwrap_or((80, 24))),
        stdin: !detach && config.attach_stdin == Some(true),
        privileged: config.privileged == Some(true),
    }
}

/// Follows a command to its end. Its exit code is known before its output ends, for clients ask for it just then.
fn watch(shared: &Arc<Shared>, exec: Arc<Known>, started: Exec, detach: bool) -> Option<Attached> {
    let (to_client, output) = mpsc::channel(QUEUE);
    let Exec { attached: Attached { output: from, input }, exit, resize, .. } = started;
    // The command's own end closes it; kept here it would outlive that.
    drop(resize);
    let config = &exec.config;
    let wanted = (config.attach_stdout == Some(true), config.attach_stderr == Some(true));
    let (tasks, closing) = (shared.tasks.clone(), shared.closing.clone());
    let shared = shared.clone();
    tasks.spawn(async move {
        let following = follow(&shared, &exec, from, exit, to_client, wanted);
        tokio::select! {
            () = closing.cancelled() => {}
            () = following => {}
        }
    });
    (!detach).then_some(Attached { output, input })
}

async fn follow(
    shared: &Shared,
    exec: &Known,
    mut from: mpsc::Receiver<Output>,
    mut exit: tokio::sync::oneshot::Receiver<Exit>,
    to_client: mpsc::Sender<Output>,
    wanted: (bool, bool),
) {
    let mut client = Some(to_client);
    let mut noted = false;
    loop {
        tokio::select! {
            piece = from.recv() => match piece {
                Some(piece) => pass_on(&mut client, piece, wanted, exec.config.tty == Some(true)).await,
                None => break,
            },
            ended = &mut exit, if !noted => {
                noted = true;
                note_exit(shared, exec, ended.ok());
            }
        }
    }
    if !noted {
        let ended = tokio::time::timeout(EXIT_DEADLINE, exit).await;
        note_exit(shared, exec, ended.ok().and_then(Result::ok));
    }
}

async fn pass_on(client: &mut Option<mpsc::Sender<Output>>, piece: Output, wanted: (bool, bool), terminal: bool) {
    use crate::embedded::process::Source;
    let (stdout, stderr) = wanted;
    let is_wanted = match piece.source {
        Source::Stdout => stdout || terminal,
        Source::Stderr => stderr,
    };
    // Without a client its output goes nowhere, but it goes: a full pipe would stop the command.
    if is_wanted
        && let Some(to) = client
        && to.send(piece).await.is_err()
    {
        *client = None;
    }
}

fn note_exit(shared: &Shared, exec: &Known, exit: Option<Exit>) {
    // Lost with its container.
    let code = exit.map_or(137, |exit| exit.code);
    {
        let mut now = exec.now();
        now.exit_code = Some(code);
        now.resize = None;
    }
    shared.tell(&exec.container.record(), "exec_die", &[("execID", &exec.id), ("exitCode", &code.to_string())]);
}
