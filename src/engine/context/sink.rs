//! Where a packed context goes: into memory while it is small, or through a bounded channel to the connection.

use std::io::{self, Write};

use bytes::Bytes;
use tokio::sync::mpsc;

/// How large the pieces are that a connection is handed.
const PIECE: usize = 256 * 1024;

/// Keeps what is written, up to a limit; beyond it keeps nothing and only lets the writing go on, for the digest.
#[derive(Debug)]
pub(in crate::engine) struct Spool {
    pieces: Option<Vec<Bytes>>,
    current: Vec<u8>,
    kept: usize,
    limit: usize,
}

impl Spool {
    pub(in crate::engine) fn new(limit: usize) -> Self {
        Self { pieces: Some(Vec::new()), current: Vec::new(), kept: 0, limit }
    }

    /// All that was written, unless it was too much.
    pub(in crate::engine) fn into_pieces(mut self) -> Option<Vec<Bytes>> {
        let mut pieces = self.pieces.take()?;
        if !self.current.is_empty() {
            pieces.push(Bytes::from(self.current));
        }
        Some(pieces)
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(pieces) = &mut self.pieces else { return Ok(bytes.len()) };
        self.kept += bytes.len();
        if self.kept > self.limit {
            self.pieces = None;
            self.current = Vec::new();
            return Ok(bytes.len());
        }
        self.current.extend_from_slice(bytes);
        if self.current.len() >= PIECE {
            pieces.push(Bytes::from(std::mem::take(&mut self.current)));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands what is written to a connection and waits while that is behind.
#[derive(Debug)]
pub(in crate::engine) struct Pipe {
    sender: mpsc::Sender<io::Result<Bytes>>,
    current: Vec<u8>,
}

impl Pipe {
    pub(in crate::engine) fn new(sender: mpsc::Sender<io::Result<Bytes>>) -> Self {
        Self { sender, current: Vec::with_capacity(PIECE) }
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.current, Vec::with_capacity(PIECE));
        self.sender.blocking_send(Ok(Bytes::from(piece))).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.current.extend_from_slice(bytes);
        if self.current.len() >= PIECE {
            self.hand_over()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.current.is_empty() { Ok(()) } else { self.hand_over() }
    }
}
