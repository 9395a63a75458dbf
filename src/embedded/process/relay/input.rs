//! The standard input of a process, or its terminal.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::termios::Winsize;

/// Bytes that wait for the process to read them, at which no more are taken from clients.
const FULL: usize = 64 * 1024;

/// What goes in.
#[derive(Debug)]
pub(in super::super) struct Input {
    descriptor: OwnedFd,
    waiting: Vec<u8>,
    written: usize,
    /// Whether it is a terminal, which is never closed.
    terminal: bool,
    /// Whether only the first client's input counts, and it ends with that client.
    once: bool,
    /// Whether clients may write to it.
    open: bool,
    /// No more comes: close it when all has been written.
    ending: bool,
}

impl Input {
    /// Of a process; `once` as Docker's `StdinOnce`.
    pub(in super::super) fn new(descriptor: OwnedFd, terminal: bool, once: bool, open: bool) -> std::io::Result<Self> {
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        Ok(Self { descriptor, waiting: Vec::new(), written: 0, terminal, once, open, ending: false })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    pub(super) fn waits(&self) -> bool {
        self.written < self.waiting.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() - self.written > FULL
    }

    /// Whether the going of an attached client closes it.
    pub(super) fn ends_with_client(&self) -> bool {
        self.once && !self.terminal
    }

    /// More bytes. `false`: nobody will read them, or any others.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        if !self.open || self.ending {
            return true;
        }
        self.waiting.extend_from_slice(bytes);
        self.flush()
    }

    /// A client has no more. `true`: it is to be closed now.
    pub(super) fn end(&mut self) -> bool {
        self.ending |= self.ends_with_client();
        self.ending && !self.waits()
    }

    /// Writes as much as the process takes. `false`: it is over.
    pub(super) fn flush(&mut self) -> bool {
        while self.waits() {
            match rustix::io::write(&self.descriptor, &self.waiting[self.written..]) {
                Ok(written) => self.written += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
        self.waiting.clear();
        self.written = 0;
        !self.ending
    }

    /// Another size of the terminal.
    pub(in super::super) fn resize(&self, columns: u16, rows: u16) -> std::io::Result<()> {
        if !self.terminal {
            return Err(std::io::Error::other("it is none"));
        }
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(rustix::termios::tcsetwinsize(&self.descriptor, size)?)
    }
}
