//! The life of a process that watches another one: a loop over its output, its clients and the ends of its children. One
//! thread, nothing that waits but `poll`.

mod client;
mod input;
pub(super) mod log;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitOptions, WaitStatus};

use super::cgroup::Cgroup;
use super::frame::{self, Frame, Kind, Started};
use super::{Exit, Source};
use client::Client;
pub(super) use input::Input;
use log::Log;

/// Bytes read at once.
const BATCH: usize = 64 * 1024;

/// How long output is waited for after the end of the process: whoever still holds the other end is none of its children.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// How long it is waited that the first client comes who has been announced.
const ANNOUNCED: Duration = Duration::from_secs(5);

/// How long the last words wait for a client to read them.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Clients at a time.
const CLIENTS: usize = 256;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The process ended, with this exit code.
    Exited(i64),
    /// The one client that it belongs to has gone.
    Abandoned,
}

/// The end of a process's output that is read.
#[derive(Debug)]
pub(super) struct Out {
    source: Source,
    descriptor: OwnedFd,
    ended: bool,
}

impl Out {
    /// Standard output, standard error, or a terminal.
    pub(super) fn new(source: Source, descriptor: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        Ok(Self { source, descriptor, ended: false })
    }
}

/// A process and all that belongs to it.
#[derive(Debug)]
pub(super) struct Relay {
    /// The process.
    pub(super) child: Pid,
    /// What is said to those who ask.
    pub(super) started: Started,
    /// Its standard input or terminal.
    pub(super) input: Option<Input>,
    /// Its output, read from here.
    pub(super) outputs: Vec<Out>,
    /// Where its output is kept.
    pub(super) log: Option<Log>,
    /// Where further clients come from.
    pub(super) listener: Option<UnixListener>,
    /// What ends with the process.
    pub(super) group: Option<Cgroup>,
    /// Whether it is over when the first client is gone.
    pub(super) tied: bool,
    /// No output is read before a client attaches, until then.
    pub(super) held_until: Option<Instant>,
    signals: SignalFd,
    clients: Vec<Client>,
    code: Option<i64>,
}

/// What the loop waits for, in the order of its descriptors.
#[derive(Clone, Copy)]
enum Waited {
    Signal,
    Listener,
    Input,
    Output(usize),
    Client(usize),
}

/// Until when an announced client is waited for.
pub(super) fn announced() -> Instant {
    Instant::now() + ANNOUNCED
}

impl Relay {
    /// Watches a child of this process from now on. Signals that tell of children are blocked here, so that none is lost.
    pub(super) fn new(child: Pid, started: Started) -> io::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGCHLD);
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self {
            child,
            started,
            input: None,
            outputs: Vec::new(),
            log: None,
            listener: None,
            group: None,
            tied: false,
            held_until: None,
            signals,
            clients: Vec::new(),
            code: None,
        })
    }

    /// A client that is there from the beginning and has said what it wants.
    pub(super) fn join(&mut self, stream: UnixStream, attach: bool) -> io::Result<()> {
        let mut client = Client::new(stream)?;
        client.patient = self.tied;
        client.greet(attach, &self.started);
        self.clients.push(client);
        Ok(())
    }

    /// What the first client sent together with what it wants.
    pub(super) fn feed_first(&mut self, early: frame::Decoder) {
        if let Some(client) = self.clients.first_mut() {
            client.go_on(early);
        }
    }

    /// Runs until it is over.
    pub(super) fn run(&mut self) -> io::Result<End> {
        let mut buffer = vec![0; BATCH];
        let mut over_by = None;
        self.reap();
        loop {
            if self.code.is_some() && over_by.is_none() {
                over_by = Some(Instant::now() + LAST_OUTPUT);
                self.input = None;
                if let Some(group) = &self.group {
                    group.kill();
                }
            }
            if let Some(code) = self.code
                && self.held_until.is_none()
                && (self.outputs.is_empty() || over_by.is_some_and(|by| by <= Instant::now()))
            {
                if let Some(log) = &mut self.log {
                    log.close();
                }
                return Ok(End::Exited(code));
            }
            if self.tied && self.clients.is_empty() {
                return Ok(End::Abandoned);
            }
            self.turn(&mut buffer, over_by)?;
        }
    }

    /// Tells all clients at once how it ended; what they do not take now they take with the last word.
    pub(super) fn tell(&mut self, ended: &Exit) {
        let mut words = Vec::new();
        frame::put_json(&mut words, Kind::Ended, ended);
        for client in &mut self.clients {
            client.send(&words);
            client.flush();
        }
    }

    /// Tells all clients how it ended, and waits a little that they read it.
    pub(super) fn finish(mut self, exit: &Exit) {
        let mut words = Vec::new();
        frame::put_json(&mut words, Kind::Exit, exit);
        for client in &mut self.clients {
            client.send(&words);
        }
        // Who has connected in the meantime is told as well.
        self.accept();
        let by = Instant::now() + LAST_WORDS;
        while Instant::now() < by {
            for client in &mut self.clients {
                client.read_all();
                while let Some(frame) = client.next_frame() {
                    if frame.kind == Kind::Hello {
                        client.send(&words);
                    }
                }
                client.flush();
            }
            self.clients.retain(|client| !client.gone() && (client.waits() || !client.is_known()));
            if self.clients.is_empty() {
                return;
            }
            let mut fds = Vec::new();
            for client in &self.clients {
                let flags = if client.waits() { PollFlags::OUT } else { PollFlags::IN };
                fds.push(PollFd::new(client.stream(), flags));
            }
            // Whatever it returns, the deadline ends the loop.
            let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 }));
        }
    }

    /// Waits for the next thing to happen and deals with all that has.
    fn turn(&mut self, buffer: &mut [u8], over_by: Option<Instant>) -> io::Result<()> {
        let now = Instant::now();
        if self.held_until.is_some_and(|until| until <= now) || self.clients.iter().any(Client::is_attached) {
            self.held_until = None;
        }
        self.clients.iter_mut().for_each(|client| client.check(now));
        // What is written after the end of the process is not much, and nobody waits for its clients then.
        let full = self.code.is_none() && self.clients.iter().any(Client::is_full);
        let waiting = self.wait(full, over_by)?;
        for waited in waiting {
            match waited {
                Waited::Signal => {
                    while self.signals.read_signal()?.is_some() {}
                    self.reap();
                }
                Waited::Listener => self.accept(),
                Waited::Input => {
                    if self.input.as_mut().is_some_and(|input| !input.flush()) {
                        self.input = None;
                    }
                }
                Waited::Output(index) => self.read(index, buffer),
                Waited::Client(index) => self.serve(index),
            }
        }
        // What had to wait for room.
        (0..self.clients.len()).for_each(|index| self.obey_all(index));
        self.outputs.retain(|output| !output.ended);
        self.clients.iter_mut().for_each(Client::flush);
        let mut left = false;
        self.clients.retain(|client| {
            left |= client.gone() && client.is_attached();
            !client.gone()
        });
        if left && self.input.as_ref().is_some_and(Input::ends_with_client) {
            self.input = None;
        }
        Ok(())
    }

    fn wait(&self, full: bool, over_by: Option<Instant>) -> io::Result<Vec<Waited>> {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let mut names = vec![Waited::Signal];
        if let Some(listener) = self.listener.as_ref().filter(|_| self.clients.len() < CLIENTS) {
            fds.push(PollFd::new(listener, PollFlags::IN));
            names.push(Waited::Listener);
        }
        if let Some(input) = self.input.as_ref().filter(|input| input.waits()) {
            fds.push(PollFd::from_borrowed_fd(input.descriptor(), PollFlags::OUT));
            names.push(Waited::Input);
        }
        if !full && self.held_until.is_none() {
            for (index, output) in self.outputs.iter().enumerate() {
                fds.push(PollFd::from_borrowed_fd(output.descriptor.as_fd(), PollFlags::IN));
                names.push(Waited::Output(index));
            }
        }
        let choked = self.input.as_ref().is_some_and(Input::is_full);
        for (index, client) in self.clients.iter().enumerate() {
            let mut flags = if choked { PollFlags::empty() } else { PollFlags::IN };
            flags.set(PollFlags::OUT, client.waits());
            fds.push(PollFd::new(client.stream(), flags));
            names.push(Waited::Client(index));
        }
        let now = Instant::now();
        let until = [over_by, self.held_until, full.then(|| now + Duration::from_secs(1))].into_iter().flatten().min();
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(now) + Duration::from_millis(1);
            Timespec { tv_sec: left.as_secs().try_into().unwrap_or(1), tv_nsec: left.subsec_nanos().into() }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = fds.iter().zip(names).filter(|(fd, _)| !fd.revents().is_empty());
        Ok(ready.map(|(_, name)| name).collect())
    }

    /// Reaps all that have ended.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if pid.as_raw_pid() == self.child.as_raw() {
                self.code = Some(code(status));
            }
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        while self.clients.len() < CLIENTS {
            // Not blocking: it was made so.
            let Ok((stream, _)) = listener.accept() else { return };
            if let Ok(client) = Client::new(stream) {
                self.clients.push(client);
            }
        }
    }

    /// Reads what there is of an output, once.
    fn read(&mut self, index: usize, buffer: &mut [u8]) {
        let output = &mut self.outputs[index];
        let source = output.source;
        let read = match rustix::io::read(&output.descriptor, &mut buffer[..]) {
            Ok(read) => read,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
            // A terminal whose other end nobody has open any more.
            Err(_) => 0,
        };
        if read == 0 {
            if let Some(log) = &mut self.log {
                log.end(source);
            }
            output.ended = true;
            return;
        }
        let bytes = &buffer[..read];
        if let Some(log) = &mut self.log {
            log.write(source, bytes);
        }
        let mut framed = Vec::new();
        for client in self.clients.iter_mut().filter(|client| client.is_attached()) {
            if framed.is_empty() {
                frame::put(&mut framed, Kind::output(source), bytes);
            }
            client.send(&framed);
        }
    }

    /// Deals with what a client has sent.
    fn serve(&mut self, index: usize) {
        self.clients[index].read_all();
        self.obey_all(index);
    }

    /// Carries out what a client has sent, as long as its input finds room.
    fn obey_all(&mut self, index: usize) {
        if self.input.as_ref().is_some_and(Input::is_full) {
            return;
        }
        while let Some(frame) = self.clients[index].next_frame() {
            self.obey(index, &frame);
            if self.input.as_ref().is_some_and(Input::is_full) {
                // The rest of its frames waits in its buffer.
                return;
            }
        }
    }

    fn obey(&mut self, index: usize, frame: &Frame) {
        let answer = match frame.kind {
            Kind::Hello => match frame.json::<frame::Hello>().filter(|hello| hello.version == frame::VERSION) {
                Some(hello) => return self.clients[index].greet(hello.attach, &self.started),
                None => Err("it is of another version".into()),
            },
            Kind::Input => {
                if self.input.as_mut().is_some_and(|input| !input.take(&frame.bytes)) {
                    self.input = None;
                }
                return;
            }
            Kind::InputEnd => {
                if self.input.as_mut().is_some_and(Input::end) {
                    self.input = None;
                }
                return;
            }
            Kind::Resize => self.resize(&frame.bytes),
            Kind::Signal => self.signal(&frame.bytes),
            _ => Err("that is for the other side to say".into()),
        };
        match answer {
            Ok(()) => self.clients[index].send(&frame::one(Kind::Done, b"")),
            Err(why) => self.clients[index].refuse(&why),
        }
    }

    fn resize(&self, size: &[u8]) -> Result<(), String> {
        let input = self.input.as_ref().ok_or("it has no terminal")?;
        let (columns, rows) = frame::size_of(size).ok_or("that is no size")?;
        input.resize(columns, rows).map_err(|error| format!("its terminal does not take the size: {error}"))
    }

    /// To the process, which is still there or has not been reaped: its number is nobody else's.
    fn signal(&self, number: &[u8]) -> Result<(), String> {
        let number = <[u8; 4]>::try_from(number).map_or(0, i32::from_le_bytes);
        if self.code.is_some() {
            return Err("it has ended".into());
        }
        let Ok(signal) = Signal::try_from(number) else { return Err(format!("there is no signal {number}")) };
        nix::sys::signal::kill(self.child, signal).map_err(|error| format!("the signal does not reach it: {error}"))
    }
}

/// An exit code as a shell has it.
pub(super) fn code(status: WaitStatus) -> i64 {
    let signal = || 128 + status.terminating_signal().unwrap_or_default();
    status.exit_status().unwrap_or_else(signal).into()
}
