//! The process `__engine container FOLDER`: makes a container, watches it, and takes it away.
//!
//! Its standard input is a socket to the daemon that started it: the first client. Standard error is read by that daemon
//! until the container runs.

mod hierarchies;
mod prepare;
mod terminal;
mod volumes;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::Utc;
use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use nix::sched::CloneFlags;

use super::capture::Causes;
use super::cgroup::Cgroup;
use super::folder::Folder;
use super::frame::{self, Failure, Kind, Started};
use super::inside::{self, Inside, Report};
use super::relay::log::Log;
use super::relay::{self, End, Input, Out, Relay};
use super::{ContainerProcess, Exit, Source};
use crate::embedded::presence::Presence;
pub(super) use prepare::{be, clamp, environment, identity};
pub(super) use terminal::Console;

/// Runs it.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    let Some(folder) = arguments.first().map(|argument| Folder::at(PathBuf::from(argument))) else {
        return ExitCode::from(125);
    };
    let Ok(daemon) = take_socket() else { return ExitCode::from(125) };
    // Where the daemon ends this one goes on; so also when it is the daemon's terminal that ends.
    let _ = nix::unistd::setsid();
    told(Shim::prepare(folder).and_then(|shim| shim.run(&daemon)), &daemon)
}

/// Tells the daemon of a failure; how the process then exits.
pub(super) fn told(done: Result<(), Failure>, mut daemon: &UnixStream) -> ExitCode {
    let Err(failure) = done else { return ExitCode::SUCCESS };
    let mut words = Vec::new();
    frame::put_json(&mut words, Kind::Failed, &failure);
    // When the daemon has gone nobody waits for the container or the command either.
    let _ = io::Write::write_all(&mut daemon, &words);
    ExitCode::FAILURE
}

/// Takes the socket that standard input is; nothing is left there.
pub(super) fn take_socket() -> io::Result<UnixStream> {
    let socket = rustix::stdio::stdin().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(UnixStream::from(socket))
}

/// A program must begin with the usual meaning of all signals. This one ignores broken pipes, whoever started it may have
/// ignored others, and what is ignored stays so in the program; but what is handled does not.
pub(super) fn handle_ignored() -> Result<(), Failure> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(failed("read what is ignored"))?;
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    let ignored = u64::from_str_radix(ignored.trim(), 16).map_err(failed("read what is ignored"))?;
    for signal in (1..=31).filter(|signal| ignored >> (signal - 1) & 1 == 1) {
        if !signal_hook::consts::FORBIDDEN.contains(&signal) {
            signal_hook::flag::register(signal, std::sync::Arc::default()).map_err(failed("handle signals"))?;
        }
    }
    Ok(())
}

/// For `map_err`.
pub(super) fn failed<E: std::fmt::Display>(tried: impl Into<String>) -> impl FnOnce(E) -> Failure {
    let tried = tried.into();
    move |error| Failure { text: format!("cannot {tried}: {error}"), code: 128 }
}

/// What is known before the container is.
struct Shim {
    folder: Folder,
    container: ContainerProcess,
    /// Where the root is mounted.
    root: PathBuf,
    cgroup: Cgroup,
    causes: Causes,
    listener: UnixListener,
    _lock: File,
    _presence: Option<Presence>,
}

impl Shim {
    fn prepare(folder: Folder) -> Result<Self, Failure> {
        let lock = folder.lock().map_err(failed("lock the container's folder"))?;
        let presence = Presence::join(&folder.run()).map_err(failed("join the engine"))?;
        let container = folder.container().map_err(failed("read what the container is"))?;
        let root = container.spec.root().as_ref().map(|root| root.path().clone());
        let root = root.ok_or_else(|| failed("make the container")("its specification names no root"))?;
        std::env::set_current_dir("/").map_err(failed("leave the working directory"))?;
        let causes = Causes::collect().map_err(failed("collect the causes of failures"))?;
        handle_ignored()?;
        let listener = UnixListener::bind(folder.socket()).map_err(failed("listen for clients"))?;
        listener.set_nonblocking(true).map_err(failed("listen for clients"))?;
        let cgroup = Cgroup::of(&container.id);
        Ok(Self { folder, container, root, cgroup, causes, listener, _lock: lock, _presence: presence })
    }

    /// Makes the container and stays until it is gone.
    fn run(self, daemon: &UnixStream) -> Result<(), Failure> {
        let relay = self.launch(daemon).inspect_err(|_| {
            // Why it failed is said already; what is left is found and removed before the next start.
            let _ = self.clean();
        })?;
        // The daemon reads no more from here, and no more memory is needed than what follows uses.
        let quiet =
            File::options().write(true).open("/dev/null").and_then(|null| Ok(rustix::stdio::dup2_stderr(null)?));
        debug_assert!(quiet.is_ok(), "the null device is always there");
        self.watch(relay)
    }

    fn watch(self, mut relay: Relay) -> Result<(), Failure> {
        let ended = relay.run().map_err(failed("watch the container"))?;
        let code = match ended {
            End::Exited(code) => code,
            End::Abandoned => 137,
        };
        let oom_killed = self.cgroup.out_of_memory() > 0;
        let mut exit = Exit { code, oom_killed, finished_at: Utc::now(), error: None };
        relay.tell(&exit);
        exit.error = self.clean().err().map(|error| format!("something of it is left: {error}"));
        self.folder.record(&exit).map_err(failed("record how the container ended"))?;
        relay.finish(&exit);
        Ok(())
    }

    /// Takes away what the container was made of.
    fn clean(&self) -> io::Result<()> {
        let groups = self.cgroup.remove();
        // Not mounted, when it failed before.
        let _ = rustix::mount::unmount(&self.root, rustix::mount::UnmountFlags::DETACH);
        let root = missing_is_fine(std::fs::remove_dir(&self.root));
        self.folder.forget_runtime(&self.container.id)?;
        groups.and(root)
    }

    fn launch(&self, daemon: &UnixStream) -> Result<Relay, Failure> {
        nix::sched::unshare(CloneFlags::CLONE_NEWNS).map_err(failed("have a mount namespace"))?;
        crate::embedded::root::mount::mount(&self.container.rootfs, &self.root).map_err(failed("mount the root"))?;
        let account = identity(&self.root, &self.container.user, &self.container.group_add)?;
        for (folder, inside) in &self.container.populate {
            volumes::populate(folder, &self.root, inside)
                .map_err(failed(format!("fill the volume at {}", inside.display())))?;
        }
        let report = Report::new().map_err(failed("make a pipe"))?;
        let (mut spec, inside) = prepare::make(&self.container, &self.cgroup, &account, &self.root, report.clone())?;
        hierarchies::stage(&mut spec, &self.cgroup, &self.folder.groups())?;
        spec.save(self.folder.config()).map_err(failed("write the container's specification"))?;
        let (builder, ours) = self.streams(account.uid, account.gid)?;
        let adjusted = std::fs::read_to_string(OOM_SCORE).ok();
        let made = self.make(builder, inside);
        if let Some(score) = adjusted.filter(|_| spec.process().as_ref().is_some_and(|it| it.oom_score_adj().is_some()))
        {
            // It was the container's for the time of its making; kept when the machine insists.
            let _ = std::fs::write(OOM_SCORE, score.trim());
        }
        let container = made.map_err(|error| {
            // Whoever is left of it holds the other end of the report.
            let _ = self.cgroup.remove();
            report.outcome().unwrap_or_else(|| explain(&error, self.causes.first().as_deref(), &spec))
        })?;
        if let Some(failure) = report.outcome() {
            return Err(failure);
        }
        let pid = container.pid().ok_or_else(|| failed("make the container")("it has no process"))?;
        self.relay(nix::unistd::Pid::from_raw(pid.as_raw()), ours, daemon)
    }

    fn make(&self, builder: ContainerBuilder, inside: Inside) -> Result<Container, LibcontainerError> {
        let traced = inside.privileges.needs_tracer();
        let builder = builder.with_root_path(self.folder.path())?.with_executor(inside);
        let mut container = builder.as_init(self.folder.path()).with_systemd(false).with_detach(true).build()?;
        let limits = self.container.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
        if let Some(limits) = limits {
            self.cgroup.correct(limits).map_err(LibcontainerError::OtherIO)?;
        }
        container.start()?;
        if let Some(pid) = container.pid().filter(|_| traced) {
            inside::answer(nix::unistd::Pid::from_raw(pid.as_raw())).map_err(LibcontainerError::OtherIO)?;
        }
        Ok(container)
    }

    /// The container's standard streams, and this side of them.
    fn streams(&self, uid: u32, gid: u32) -> Result<(ContainerBuilder, Streams), Failure> {
        let builder = ContainerBuilder::new(self.container.id.clone(), SyscallType::default());
        if self.container.terminal {
            let console = Console::listen(&self.folder.console()).map_err(failed("wait for the terminal"))?;
            let builder = builder.with_console_socket(Some(self.folder.console()));
            return Ok((builder, Streams::Terminal(console)));
        }
        pipes(builder, self.container.stdin, uid, gid).map_err(failed("make pipes"))
    }

    fn relay(&self, pid: nix::unistd::Pid, ours: Streams, daemon: &UnixStream) -> Result<Relay, Failure> {
        let started = Started {
            pid: u32::try_from(pid.as_raw()).unwrap_or_default(),
            at: Utc::now(),
            input: self.container.stdin,
        };
        let again = failed("watch the container");
        let fill = || -> io::Result<Relay> {
            let mut relay = Relay::new(pid, started)?;
            ours.give(&mut relay, self.container.stdin, self.container.stdin_once)?;
            relay.log = self.container.log.as_ref().map(Log::open).transpose()?;
            relay.listener = Some(self.listener.try_clone()?);
            relay.group = Some(self.cgroup.clone());
            relay.held_until = self.container.hold_output.then(relay::announced);
            relay.join(daemon.try_clone()?, false)?;
            Ok(relay)
        };
        fill().map_err(again)
    }
}

/// Where this process's likelihood of being ended for want of memory is set.
const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// This side of a process's standard streams.
pub(super) enum Streams {
    /// A terminal that is still to come.
    Terminal(Console),
    /// Standard input, where there is one, and both outputs.
    Pipes(Option<OwnedFd>, OwnedFd, OwnedFd),
}

impl Streams {
    /// Hands them to who watches.
    pub(super) fn give(self, relay: &mut Relay, stdin: bool, once: bool) -> io::Result<()> {
        match self {
            Self::Terminal(console) => {
                let terminal = console.receive()?;
                relay.outputs.push(Out::new(Source::Stdout, terminal.try_clone()?)?);
                relay.input = Some(Input::new(terminal, true, once, stdin)?);
            }
            Self::Pipes(input, output, error) => {
                relay.outputs.push(Out::new(Source::Stdout, output)?);
                relay.outputs.push(Out::new(Source::Stderr, error)?);
                relay.input = input.map(|input| Input::new(input, false, once, stdin)).transpose()?;
            }
        }
        Ok(())
    }
}

/// Pipes as standard streams. They belong to the user, who may want to open them again by name.
pub(super) fn pipes(
    builder: ContainerBuilder,
    stdin: bool,
    uid: u32,
    gid: u32,
) -> io::Result<(ContainerBuilder, Streams)> {
    use rustix::fs::{Gid, Uid, fchown};
    let make = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let own = |end: &OwnedFd| fchown(end.as_fd(), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    let ((output, their_output), (error, their_error)) = (make()?, make()?);
    own(&their_output)?;
    own(&their_error)?;
    let (input, their_input) = if stdin {
        let (theirs, ours) = make()?;
        own(&theirs)?;
        (Some(ours), theirs)
    } else {
        (None, File::open("/dev/null")?.into())
    };
    let builder = builder.with_stdin(their_input).with_stdout(their_output).with_stderr(their_error);
    Ok((builder, Streams::Pipes(input, output, error)))
}

/// What went wrong, in words that help: `libcontainer` says only in which step it was.
pub(super) fn explain(
    error: &LibcontainerError,
    cause: Option<&str>,
    spec: &libcontainer::oci_spec::runtime::Spec,
) -> Failure {
    let cwd = spec.process().as_ref().map(|process| process.cwd().display().to_string()).unwrap_or_default();
    if let Some(reason) = cause.and_then(|cause| cause.strip_prefix("failed to chdir")) {
        let reason = if reason.contains("ENOENT") {
            "no such file or directory".into()
        } else if reason.contains("EACCES") {
            "permission denied".into()
        } else if reason.contains("ENOTDIR") {
            "not a directory".into()
        } else {
            reason.trim_start_matches([',', ' ']).to_owned()
        };
        return Failure { text: format!("chdir to cwd ({cwd:?}) set in config.json failed: {reason}"), code: 126 };
    }
    let mut text = format!("cannot make the container: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    if let Some(cause) = cause {
        text = format!("{text} ({cause})");
    }
    Failure { text, code: 128 }
}

/// For removals.
pub(super) fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Opens a file below a folder that is another root: no link leads out of it.
pub(super) fn open_inside(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
    let root = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let path = path.strip_prefix("/").unwrap_or(path);
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    Ok(openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)?)
}
