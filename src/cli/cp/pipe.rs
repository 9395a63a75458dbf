//! Between the engine's streams and code that reads and writes as it did before there were any: bounded on the way, so
//! that neither side runs ahead of the other.

use std::io::{self, Read, Write};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use crate::engine::EngineError;

/// How many pieces may be on their way.
const AHEAD: usize = 16;

/// How many bytes make a piece.
const PIECE: usize = 64 * 1024;

/// Which side failed.
#[derive(Debug)]
pub(super) enum PipeError {
    /// The engine's.
    Engine(EngineError),
    /// This machine's.
    Io(io::Error),
}

/// Gives an engine's stream to code that blocks while it reads.
pub(super) async fn read_with<T: Send + 'static>(
    mut pieces: BoxStream<'static, Result<Bytes, EngineError>>,
    work: impl FnOnce(PieceReader) -> io::Result<T> + Send + 'static,
) -> Result<T, PipeError> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let reading =
        tokio::task::spawn_blocking(move || work(PieceReader { receiver, current: Bytes::new(), is_whole: false }));
    let mut broken = None;
    while let Some(piece) = pieces.next().await {
        match piece {
            // A reader that has gone away says why itself.
            Ok(piece) => {
                if sender.send(Some(piece)).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    if broken.is_none() {
        let _ = sender.send(None).await;
    }
    drop(sender);
    let result = reading.await.expect("unpacking does not panic");
    match broken {
        Some(error) => Err(PipeError::Engine(error)),
        None => result.map_err(PipeError::Io),
    }
}

/// Reads the pieces one after the other.
pub(super) struct PieceReader {
    receiver: mpsc::Receiver<Option<Bytes>>,
    current: Bytes,
    is_whole: bool,
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            if self.is_whole {
                return Ok(0);
            }
            match self.receiver.blocking_recv() {
                Some(Some(piece)) => self.current = piece,
                Some(None) => self.is_whole = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

/// What code that blocks while it writes gives out, as a stream; an error of it is the last item.
pub(super) fn write_with(
    work: impl FnOnce(PieceWriter) -> io::Result<()> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let errors = sender.clone();
    // It ends by itself: with its work, or when nobody receives any more.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = work(PieceWriter { sender, collected: Vec::with_capacity(PIECE) }) {
            let _ = errors.blocking_send(Err(error));
        }
    });
    futures_util::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
}

/// Sends what is written in pieces.
pub(super) struct PieceWriter {
    sender: mpsc::Sender<io::Result<Bytes>>,
    collected: Vec<u8>,
}

impl Write for PieceWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.collected.extend_from_slice(buffer);
        if self.collected.len() >= PIECE {
            self.flush()?;
        }
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.collected, Vec::with_capacity(PIECE));
        if piece.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for PieceWriter {
    fn drop(&mut self) {
        // Whoever receives no more does not miss the end.
        let _ = self.flush();
    }
}
