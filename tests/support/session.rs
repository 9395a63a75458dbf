//! A binary that is left running: its lines as they come, signals to it, its end.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::{DEADLINE, process};

/// A running command whose output is collected; killed when dropped.
pub(crate) struct Session {
    command: String,
    child: Mutex<Child>,
    output: Arc<Lines>,
}

#[derive(Default)]
struct Lines {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Session {
    /// Starts a command in a process group of its own.
    pub(crate) fn start(mut command: Command) -> Self {
        let shown = process::shown(&command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {shown}: {error}"));
        let output = Arc::new(Lines::default());
        collect(child.stdout.take().expect("standard output is a pipe"), &output);
        collect(child.stderr.take().expect("standard error is a pipe"), &output);
        Self { command: shown, child: Mutex::new(child), output }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().expect("nothing panics while it holds the child").id()
    }

    /// How many lines have come so far: a place to wait from.
    pub(crate) fn mark(&self) -> usize {
        self.output.lines.lock().expect("the readers do not panic").len()
    }

    /// Waits for a line with this text, among all that came and come.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_from(0, text)
    }

    /// Waits for a line with this text after a mark.
    pub(crate) fn wait_from(&self, mark: usize, text: &str) -> String {
        let end = Instant::now() + DEADLINE;
        let mut lines = self.output.lines.lock().expect("the readers do not panic");
        loop {
            if let Some(line) = lines.iter().skip(mark).find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(lines);
                panic!("`{text}` is not said by `{}`:\n{}", self.command, self.said());
            }
            lines = self.output.more.wait_timeout(lines, left).expect("the readers do not panic").0;
        }
    }

    /// All that it said so far.
    pub(crate) fn said(&self) -> String {
        self.output.lines.lock().expect("the readers do not panic").join("\n")
    }

    /// How many lines with this text came so far.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.output.lines.lock().expect("the readers do not panic").iter().filter(|line| line.contains(text)).count()
    }

    /// Fails when it has ended.
    pub(crate) fn assert_running(&self) {
        let ended = self.child.lock().expect("nothing panics while it holds the child").try_wait();
        let ended = ended.expect("ask for a child's status");
        assert!(ended.is_none(), "`{}` ended with {ended:?}:\n{}", self.command, self.said());
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("signal `{}`: {error}\n{}", self.command, self.said()));
    }

    /// Waits for its end and returns its exit code, `None` when a signal ended it.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        self.end().code()
    }

    fn end(&self) -> ExitStatus {
        let mut child = self.child.lock().expect("nothing panics while it holds the child");
        process::wait(&mut child, DEADLINE)
            .unwrap_or_else(|| panic!("`{}` does not end:\n{}", self.command, self.said()))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("$ {}\n{}", self.command, self.said());
        }
        if let Ok(child) = self.child.get_mut() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn collect(stream: impl Read + Send + 'static, output: &Arc<Lines>) {
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            output.lines.lock().expect("the readers do not panic").push(line);
            output.more.notify_all();
        }
    });
}
