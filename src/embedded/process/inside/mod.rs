//! What runs last in a container's new process, in its namespaces and as its user: it finds the program, gives up what the
//! program must not have, and becomes the program.

mod privileges;
mod program;
mod reaper;
mod tracer;

use std::cell::RefCell;
use std::ffi::CString;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::unistd::execve;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::frame::Failure;
use super::propagation::Change;
pub(super) use privileges::{Privileges, has};
pub(super) use program::PATH;
pub(super) use tracer::answer;

/// Highest descriptor that can have come from the process that made the container.
const DESCRIPTORS: i32 = 1024;

/// What the new process becomes.
#[derive(Debug, Clone)]
pub(super) struct Inside {
    /// Program and arguments.
    pub(super) arguments: Vec<String>,
    /// Its whole environment.
    pub(super) environment: Vec<String>,
    /// What is to be made of the container's binds first.
    pub(super) changes: Vec<Change>,
    /// What it may do.
    pub(super) privileges: Privileges,
    /// Whether the new process stays as the one that reaps, with the program as its child.
    pub(super) reaper: bool,
    /// Where a failure is told. Closed by becoming the program.
    pub(super) report: Report,
}

/// A pipe to the process that watches: a failure as JSON, or nothing at all when the program runs.
#[derive(Debug, Clone)]
pub(super) struct Report {
    /// The watcher's end; the new process has a copy of it that it must not keep.
    watcher: Rc<RefCell<Option<OwnedFd>>>,
    writer: Rc<RefCell<Option<OwnedFd>>>,
}

impl Report {
    /// A new pipe, closed by becoming another program.
    pub(super) fn new() -> std::io::Result<Self> {
        let (watcher, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        Ok(Self { watcher: Rc::new(RefCell::new(Some(watcher))), writer: Rc::new(RefCell::new(Some(writer))) })
    }

    /// In the watcher: waits until the program runs, or says why it does not.
    pub(super) fn outcome(&self) -> Option<Failure> {
        self.writer.take();
        let watcher = self.watcher.take()?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::fs::File::from(watcher), &mut text).ok()?;
        (!text.is_empty()).then(|| {
            serde_json::from_str(&text)
                .unwrap_or(Failure { text: "its first process ended too early".into(), code: 128 })
        })
    }

    /// In the new process: tells.
    fn tell(&self, failure: &Failure) {
        if let Some(writer) = self.writer.take() {
            let text = serde_json::to_vec(failure).expect("a text and a number");
            // When nobody watches any more the process is about to end as well.
            let _ = std::fs::File::from(writer).write_all(&text);
        }
    }

    /// In the new process: whether the watcher is still there.
    fn is_watched(&self) -> bool {
        self.watcher.take();
        let writer = self.writer.borrow();
        let Some(writer) = writer.as_ref() else { return false };
        let mut fds = [PollFd::new(writer, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok() && !fds[0].revents().contains(PollFlags::ERR)
    }

    /// In the new process: the program runs, though not in this process.
    fn close(&self) {
        self.writer.take();
    }
}

impl Inside {
    fn begin(&self) -> Result<std::convert::Infallible, Failure> {
        self.changes.iter().try_for_each(Change::make)?;
        self.close_others();
        self.run()
    }

    fn run(&self) -> Result<std::convert::Infallible, Failure> {
        let program = self.privileges.as_program(|| program::find(&self.arguments, &self.environment))?;
        if self.reaper {
            self.privileges.drop_all()?;
            self.tie()?;
            return reaper::run(&program, &self.arguments, &self.environment, || self.report.close());
        }
        let text = |value: &String| CString::new(value.as_str()).map_err(|_| program::invalid(value));
        let path =
            CString::new(program.as_os_str().as_encoded_bytes()).map_err(|_| program::invalid(&self.arguments[0]))?;
        let arguments = self.arguments.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let environment = self.environment.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        self.privileges.drop_all()?;
        self.tie()?;
        execve(&path, &arguments, &environment).map_err(|error| program::refused(&program, &error.into()))
    }

    /// What this process was made by is none of the program's business, and the watcher must not wait for it to be closed.
    fn close_others(&self) {
        use std::os::fd::AsRawFd as _;
        let number = |end: &RefCell<Option<OwnedFd>>| end.borrow().as_ref().map(OwnedFd::as_raw_fd);
        let kept = [number(&self.report.watcher), number(&self.report.writer)];
        for descriptor in (3..DESCRIPTORS).filter(|descriptor| !kept.contains(&Some(*descriptor))) {
            // Most are not open.
            let _ = nix::unistd::close(descriptor);
        }
    }

    /// Ends this process when the one that watches it ends. Changing user has undone what was set before.
    fn tie(&self) -> Result<(), Failure> {
        let other = |text: String| Failure { text, code: 128 };
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|error| other(format!("cannot tie the process to its watcher: {error}")))?;
        if self.report.is_watched() { Ok(()) } else { Err(other("its watcher has ended".into())) }
    }
}

impl Executor for Inside {
    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        self.privileges.as_program(|| program::find(&self.arguments, &self.environment)).map(drop).map_err(|failure| {
            self.report.tell(&failure);
            ExecutorValidationError::ArgValidationError(failure.text)
        })
    }

    fn setup_envs(&self, _: std::collections::HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        // The program is given its environment when it is executed.
        Ok(())
    }

    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        let Err(failure) = self.begin();
        self.report.tell(&failure);
        Err(ExecutorError::Other(failure.text))
    }
}
