//! The process 1 of a container that asked for one (`init: true`): it has the program as its child, passes signals on to it
//! and reaps whoever loses a parent. It needs no file inside the container.

use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::process::WaitOptions;

use super::super::frame::Failure;
use super::program;

/// `si_code` of a signal that the kernel sent, to a whole group where it came from a terminal: the child has had it too.
const BY_KERNEL: i32 = 0x80;

/// Starts the program and stays until it ends; then ends as it did.
pub(super) fn run(
    program: &Path,
    arguments: &[String],
    environment: &[String],
    started: impl FnOnce(),
) -> Result<std::convert::Infallible, Failure> {
    use std::os::unix::process::CommandExt as _;
    let variables = environment.iter().filter_map(|variable| variable.split_once('='));
    let mut command = Command::new(program);
    command.arg0(&arguments[0]).args(&arguments[1..]).env_clear().envs(variables);
    let other = |error: Errno| Failure { text: format!("cannot watch signals: {error}"), code: 128 };
    let all = SigSet::all();
    let signals = SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC).map_err(other)?;
    let child = command.spawn().map_err(|error| program::refused(program, &error))?;
    // Only now, because the child begins with what is blocked here. Nobody sends signals before it is told of.
    all.thread_block().map_err(other)?;
    started();
    let child = Pid::from_raw(i32::try_from(child.id()).expect("a process id is positive and small"));
    loop {
        if let Some(code) = reap(child) {
            leave(code);
        }
        let Ok(Some(signal)) = signals.read_signal() else { continue };
        let number = i32::try_from(signal.ssi_signo).unwrap_or_default();
        if number != Signal::SIGCHLD as i32
            && signal.ssi_code != BY_KERNEL
            && let Ok(signal) = Signal::try_from(number)
        {
            // It may have ended just now: then the next turn sees that.
            let _ = kill(child, signal);
        }
    }
}

/// Reaps all that have ended; the exit code of the program when it is among them.
fn reap(child: Pid) -> Option<i64> {
    let mut code = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid.as_raw_pid() == child.as_raw() {
            code = Some(super::super::relay::code(status));
        }
    }
    code
}

#[expect(clippy::exit, reason = "the process is a copy of one whose stack must not be unwound here")]
fn leave(code: i64) -> ! {
    std::process::exit(i32::try_from(code).unwrap_or(255))
}
