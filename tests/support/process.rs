//! Commands that are run to their end, with a deadline.

use std::fmt;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How a command ended and what it printed.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    command: String,
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Output {
    /// Fails unless the command exited with 0.
    pub(crate) fn success(self) -> Self {
        self.exits_with(0)
    }

    /// Fails unless the command exited with this code.
    pub(crate) fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "the exit code of:\n{self}");
        self
    }

    /// Fails unless the command exited with 1 or 2: it could not do it, or was asked for what makes no sense.
    pub(crate) fn fails(self) -> Self {
        assert!(matches!(self.code, Some(1 | 2)), "the exit code of:\n{self}");
        self
    }

    /// Fails unless standard output or standard error has each of these texts.
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stdout.contains(text) || self.stderr.contains(text), "`{text}` is not said by:\n{self}");
        }
        self
    }

    /// The lines of standard output, without blanks at their ends.
    pub(crate) fn lines(&self) -> Vec<&str> {
        self.stdout.lines().map(str::trim_end).collect()
    }

    /// Standard output read as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in the output of:\n{self}"))
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        writeln!(f, "$ {}\n(ended with {code} after {:?})", self.command, self.took)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            for line in text.lines() {
                writeln!(f, "{name}: {line}")?;
            }
        }
        Ok(())
    }
}

/// Runs a command to its end; kills it and fails when it takes longer than the deadline.
pub(crate) fn run(mut command: Command, deadline: Duration) -> Output {
    let shown = shown(&command);
    let begun = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("start {shown}: {error}"));
    let stdout = collect(child.stdout.take().expect("standard output is a pipe"));
    let stderr = collect(child.stderr.take().expect("standard error is a pipe"));
    let status = wait(&mut child, deadline);
    if status.is_none() {
        child.kill().expect("kill a child");
        child.wait().expect("wait for a killed child");
    }
    let output = Output {
        command: shown,
        code: status.and_then(|status| status.code()),
        stdout: stdout.join().expect("the reader does not panic"),
        stderr: stderr.join().expect("the reader does not panic"),
        took: begun.elapsed(),
    };
    assert!(status.is_some(), "no end after {deadline:?}:\n{output}");
    output
}

/// Waits for a child's end until the deadline.
pub(crate) fn wait(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let mut status = None;
    poll(deadline, || {
        status = child.try_wait().expect("ask for a child's status");
        status.is_some()
    });
    status
}

/// Asks again and again until something holds; whether it did before the deadline.
pub(crate) fn poll(deadline: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn collect(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Err(error) = read { format!("{text}\n[{error}]") } else { text }
    })
}
