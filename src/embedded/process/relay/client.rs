//! One who has connected: what it sent, what it has not read yet.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::super::frame::{self, Decoder, Frame, Kind, Started};

/// Unread bytes at which output waits for the client.
const FULL: usize = 256 * 1024;

/// How long it waits for a client that reads nothing at all. Then that one goes, for the others' sake and the log's.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    decoder: Decoder,
    unread: Vec<u8>,
    sent: usize,
    attached: bool,
    known: bool,
    gone: bool,
    /// Since when it has read nothing though there was much.
    stuck: Option<Instant>,
    /// Whether it may be sent away for that.
    pub(super) patient: bool,
}

impl Client {
    pub(super) fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            decoder: Decoder::default(),
            unread: Vec::new(),
            sent: 0,
            attached: false,
            known: false,
            gone: false,
            stuck: None,
            patient: false,
        })
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// It is told what runs, and from now on the output if it wants that.
    pub(super) fn greet(&mut self, attach: bool, started: &Started) {
        self.attached = attach;
        self.known = true;
        frame::put_json(&mut self.unread, Kind::Started, started);
    }

    /// Takes over what has been read of it before.
    pub(super) fn go_on(&mut self, early: Decoder) {
        self.decoder = early;
    }

    /// Whether it has said what it wants.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    pub(super) fn is_attached(&self) -> bool {
        self.attached
    }

    pub(super) fn gone(&self) -> bool {
        self.gone
    }

    /// Whether there is something that it has not read.
    pub(super) fn waits(&self) -> bool {
        self.sent < self.unread.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.unread.len() - self.sent > FULL
    }

    /// Sends it away when it has not read for too long.
    pub(super) fn check(&mut self, now: Instant) {
        if !self.is_full() || self.patient {
            self.stuck = None;
        } else if now.duration_since(*self.stuck.get_or_insert(now)) > PATIENCE {
            self.gone = true;
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    pub(super) fn refuse(&mut self, why: &str) {
        self.send(&frame::one(Kind::Refused, why.as_bytes()));
    }

    /// Writes as much as it takes.
    pub(super) fn flush(&mut self) {
        while self.waits() {
            match self.stream.write(&self.unread[self.sent..]) {
                Ok(written) => {
                    self.sent += written;
                    self.stuck = None;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.gone = true;
                    break;
                }
            }
        }
        self.unread.clear();
        self.unread.shrink_to(FULL / 4);
        self.sent = 0;
    }

    /// Reads what it has sent, up to a bound.
    pub(super) fn read_all(&mut self) {
        let mut buffer = [0; 16 * 1024];
        for _ in 0..16 {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.gone = true,
                Ok(read) => {
                    self.decoder.feed(&buffer[..read]);
                    continue;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => self.gone = true,
            }
            return;
        }
    }

    /// The next frame that it sent; one that speaks another language is sent away.
    pub(super) fn next_frame(&mut self) -> Option<Frame> {
        self.decoder.next().unwrap_or_else(|_| {
            self.gone = true;
            None
        })
    }
}
