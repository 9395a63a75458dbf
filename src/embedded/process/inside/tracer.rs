//! Installing a filter of system calls without giving up privileges that come by executing.
//!
//! The crate that installs filters always sets `no_new_privs` first, which a process with `CAP_SYS_ADMIN` need not do and
//! which cannot be taken back: `sudo` and `su` would not work in containers, as they do in Docker's. The new process
//! therefore lets itself be traced by the one that made it for just that moment; the tracer turns the request into one that
//! lasts no longer than until the program is executed, and goes.

use std::io;

use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// `PR_SET_NO_NEW_PRIVS`.
const NO_NEW_PRIVILEGES: u64 = 38;

/// `PR_SET_KEEPCAPS`: undone by executing, and of no meaning to who does not change its user before.
const KEEP_CAPABILITIES: u64 = 8;

/// In the new process: waits for the tracer.
pub(super) fn ask() -> io::Result<()> {
    ptrace::traceme()?;
    raise(Signal::SIGSTOP)?;
    Ok(())
}

/// In the process that made it: does what the new process asks for.
///
/// # Errors
/// When the new process has ended before, by itself or with its container. Nobody else hears of that end.
pub(in super::super) fn answer(pid: Pid) -> io::Result<()> {
    loop {
        match waitpid(pid, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Stopped(_, Signal::SIGSTOP)) => {
                ptrace::setoptions(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL)?;
                ptrace::syscall(pid, None)?;
            }
            Ok(WaitStatus::Stopped(_, signal)) => ptrace::syscall(pid, signal)?,
            Ok(WaitStatus::PtraceSyscall(_)) if replace(pid)? => return Ok(ptrace::detach(pid, None)?),
            Ok(WaitStatus::PtraceSyscall(_)) => ptrace::syscall(pid, None)?,
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => {
                return Err(io::Error::other("the process has ended before its program began"));
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Replaces the request when this is it.
#[cfg(target_arch = "x86_64")]
fn replace(pid: Pid) -> nix::Result<bool> {
    const PRCTL: u64 = 157;
    let mut registers = ptrace::getregs(pid)?;
    let is = registers.orig_rax == PRCTL && registers.rdi == NO_NEW_PRIVILEGES;
    if is {
        registers.rdi = KEEP_CAPABILITIES;
        ptrace::setregs(pid, registers)?;
    }
    Ok(is)
}

/// Replaces the request when this is it.
#[cfg(target_arch = "aarch64")]
fn replace(pid: Pid) -> nix::Result<bool> {
    const PRCTL: u64 = 167;
    let mut registers = ptrace::getregs(pid)?;
    let is = registers.regs[8] == PRCTL && registers.regs[0] == NO_NEW_PRIVILEGES;
    if is {
        registers.regs[0] = KEEP_CAPABILITIES;
        ptrace::setregs(pid, registers)?;
    }
    Ok(is)
}

/// Other machines' registers are not known here: their containers gain no privileges by executing.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn replace(_: Pid) -> nix::Result<bool> {
    let _ = (NO_NEW_PRIVILEGES, KEEP_CAPABILITIES);
    Ok(true)
}
