//! The process `__engine exec FOLDER`: runs one command in a container that runs. It belongs to the daemon: its standard
//! input is a socket to it, and when that is closed the command is ended.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::Utc;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Process;
use libcontainer::syscall::syscall::SyscallType;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::capture::Causes;
use super::folder::Folder;
use super::frame::{Decoder, Failure, Kind, Started};
use super::inside::{self, Inside, Privileges, Report};
use super::relay::{End, Relay};
use super::shim::{self, Console, Streams, failed};
use super::{ContainerProcess, ExecProcess, Exit, filter};
use crate::embedded::spec::user::Account;

/// Runs it.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    let Some(folder) = arguments.first().map(|argument| Folder::at(PathBuf::from(argument))) else {
        return ExitCode::from(125);
    };
    let Ok(daemon) = shim::take_socket() else { return ExitCode::from(125) };
    shim::told(run(&folder, &daemon), &daemon)
}

fn run(folder: &Folder, daemon: &UnixStream) -> Result<(), Failure> {
    let (command, early) = asked(daemon).map_err(failed("read what to run"))?;
    let container = folder.container().map_err(failed("read what the container is"))?;
    let causes = Causes::collect().map_err(failed("collect the causes of failures"))?;
    shim::handle_ignored()?;
    let exec = Exec { folder, container: &container, command: &command, causes };
    let (pid, streams) = exec.start()?;
    let started =
        Started { pid: u32::try_from(pid.as_raw()).unwrap_or_default(), at: Utc::now(), input: command.stdin };
    let mut relay = Relay::new(pid, started).map_err(failed("watch the command"))?;
    streams.give(&mut relay, command.stdin, true).map_err(failed("watch the command"))?;
    if let (Some((columns, rows)), Some(input)) = (command.terminal, &relay.input) {
        // A size that a terminal does not take is not worth a failure.
        let _ = input.resize(columns, rows);
    }
    relay.tied = true;
    let daemon = daemon.try_clone().map_err(failed("watch the command"))?;
    relay.join(daemon, true).map_err(failed("watch the command"))?;
    relay.feed_first(early);
    match relay.run().map_err(failed("watch the command"))? {
        End::Exited(code) => relay.finish(&Exit { code, oom_killed: false, finished_at: Utc::now(), error: None }),
        // The command is the leader of its group; some of it may have gone by itself.
        End::Abandoned => drop(killpg(pid, Signal::SIGKILL)),
    }
    Ok(())
}

/// The first frame, and what came after it.
fn asked(mut daemon: &UnixStream) -> io::Result<(ExecProcess, Decoder)> {
    let mut decoder = Decoder::default();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(frame) = decoder.next().map_err(io::Error::other)? {
            let command = frame.json().filter(|_| frame.kind == Kind::Hello);
            return Ok((command.ok_or_else(|| io::Error::other("it is not a command"))?, decoder));
        }
        match daemon.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => decoder.feed(&buffer[..read]),
        }
    }
}

struct Exec<'a> {
    folder: &'a Folder,
    container: &'a ContainerProcess,
    command: &'a ExecProcess,
    causes: Causes,
}

impl Exec<'_> {
    fn start(&self) -> Result<(Pid, Streams), Failure> {
        let account = self.account()?;
        let report = Report::new().map_err(failed("make a pipe"))?;
        let number = std::process::id();
        let (console, file) = (self.name(&format!("console-{number}")), self.name(&format!("exec-{number}.json")));
        let result = self.make(&account, &report, &console, &file);
        // Neither is there when it failed before it was made.
        let _ = std::fs::remove_file(&file);
        let _ = std::fs::remove_file(&console);
        let (made, streams) = result?;
        if let Some(failure) = report.outcome() {
            return Err(failure);
        }
        let pid = made.map_err(|(error, spec)| {
            if self.is_over() {
                failed("run a command")("the container has ended")
            } else {
                shim::explain(&error, self.causes.first().as_deref(), &spec)
            }
        })?;
        Ok((pid, streams))
    }

    /// Whether the container's first process is gone.
    fn is_over(&self) -> bool {
        self.state_pid().is_none_or(|pid| !Path::new(&format!("/proc/{pid}/exe")).exists())
    }

    fn name(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// By the accounts that the container's first process sees.
    fn account(&self) -> Result<Account, Failure> {
        let root = self.state_pid().map(|pid| PathBuf::from(format!("/proc/{pid}/root")));
        let root = root.ok_or_else(|| failed("run a command")("the container is not running"))?;
        let user = if self.command.user.is_empty() { &self.container.user } else { &self.command.user };
        shim::identity(&root, user, &self.container.group_add)
    }

    fn state_pid(&self) -> Option<i64> {
        let state = std::fs::read(self.folder.path().join(&self.container.id).join("state.json")).ok()?;
        serde_json::from_slice::<serde_json::Value>(&state).ok()?.get("pid")?.as_i64()
    }

    #[expect(clippy::type_complexity, reason = "what was made, or why not with what it was made from")]
    fn make(
        &self,
        account: &Account,
        report: &Report,
        console: &Path,
        file: &Path,
    ) -> Result<
        (Result<Pid, (libcontainer::error::LibcontainerError, libcontainer::oci_spec::runtime::Spec)>, Streams),
        Failure,
    > {
        let mut spec = self.container.spec.clone();
        let inside = self.inside(account, report.clone())?;
        let mut process = spec.process().clone().unwrap_or_default();
        shim::clamp(&mut process);
        shim::be(&mut process, account)?;
        if !self.command.working_directory.is_empty() {
            process.set_cwd(PathBuf::from(&self.command.working_directory));
        }
        process
            .set_args(Some(self.command.arguments.clone()))
            .set_env(Some(inside.environment.clone()))
            .set_terminal(Some(self.command.terminal.is_some()))
            .set_capabilities(Some(inside.privileges.left()));
        let text = serde_json::to_vec(&process).map_err(failed("write the command's specification"))?;
        std::fs::write(file, text).map_err(failed("write the command's specification"))?;
        spec.set_process(Some(process));
        let builder = ContainerBuilder::new(self.container.id.clone(), SyscallType::default());
        let (builder, streams) = if self.command.terminal.is_some() {
            let listening = Console::listen(console).map_err(failed("wait for the terminal"))?;
            (builder.with_console_socket(Some(console)), Streams::Terminal(listening))
        } else {
            shim::pipes(builder, self.command.stdin, account.uid, account.gid).map_err(failed("make pipes"))?
        };
        let traced = inside.privileges.needs_tracer();
        let made = builder
            .with_root_path(self.folder.path())
            .and_then(|builder| {
                builder.with_executor(inside).as_tenant().with_process(Some(file)).with_detach(true).build()
            })
            .map(|pid| Pid::from_raw(pid.as_raw()))
            .and_then(|pid| {
                if traced {
                    inside::answer(pid).map_err(libcontainer::error::LibcontainerError::OtherIO)?;
                }
                Ok(pid)
            });
        Ok((made.map_err(|error| (error, spec)), streams))
    }

    fn inside(&self, account: &Account, report: Report) -> Result<Inside, Failure> {
        let process = self.container.spec.process().as_ref();
        let wanted = process.and_then(|process| process.capabilities().as_ref());
        let no_new_privileges = process.and_then(Process::no_new_privileges).unwrap_or(false);
        let filter = filter::make(&self.container.seccomp, wanted)?;
        let mut privileges = Privileges::new(wanted, account.uid, filter, no_new_privileges)
            .map_err(failed("read this machine's capabilities"))?;
        if self.command.privileged {
            privileges.all().map_err(failed("read this machine's capabilities"))?;
        }
        let terminal = self.command.terminal.is_some();
        let environment = shim::environment(&self.command.environment, account, terminal, &self.container.spec);
        let arguments = self.command.arguments.clone();
        Ok(Inside { arguments, environment, changes: Vec::new(), privileges, reaper: false, report })
    }
}
