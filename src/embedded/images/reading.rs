//! A stream read where reading blocks.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::super::ByteStream;

/// A stream as a reader, for a blocking job. Once the token is cancelled, reading is an error: who gave up the job does not
/// wait for the stream's end.
pub(crate) struct Blocking {
    runtime: Handle,
    stream: ByteStream,
    rest: Bytes,
    stop: CancellationToken,
}

impl Blocking {
    /// To be made where a runtime is.
    pub(crate) fn new(stream: ByteStream, stop: CancellationToken) -> Self {
        Self { runtime: Handle::current(), stream, rest: Bytes::new(), stop }
    }
}

impl Read for Blocking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            let next = async {
                tokio::select! {
                    () = self.stop.cancelled() => Some(Err(io::Error::other("it was given up"))),
                    piece = self.stream.next() => piece,
                }
            };
            match self.runtime.block_on(next) {
                Some(piece) => self.rest = piece?,
                None => return Ok(0),
            }
        }
        let read = self.rest.len().min(buffer.len());
        self.rest.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}
