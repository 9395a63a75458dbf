//! Input, output and sizes between a client's channels and a shim's socket.

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::frame::{self, Decoder, Kind};
use super::super::{Attached, Exit, Output, Source};
use super::{ANSWER, Inner, Line};
use crate::embedded::error::Error;

/// Pieces of output or input that wait.
const WAITING: usize = 32;

/// Joins a container's input and output.
pub(in super::super) async fn attach(inner: &Inner) -> Result<Attached, Error> {
    let gone = || Error::Conflict(format!("container {} is not running", inner.id));
    let connected = timeout(ANSWER, Line::connect(&inner.folder, true)).await;
    let (line, started) = connected.ok().flatten().ok_or_else(gone)?;
    let (attached, ends) = channels(started.input);
    // Its owner is the client: it ends when that drops its end of the output, or when the container ends.
    tokio::spawn(async move {
        let (reader, writer) = line.stream.into_split();
        let closed = ends.output.clone();
        tokio::select! {
            _ = read(reader, line.decoder, ends.output, false) => {}
            () = closed.closed() => {}
            () = write(writer, ends.input, None) => {}
        }
    });
    Ok(attached)
}

/// This side of a client's channels.
pub(super) struct Ends {
    pub(super) output: mpsc::Sender<Output>,
    pub(super) input: Option<mpsc::Receiver<Bytes>>,
}

/// A client's channels and this side of them.
pub(super) fn channels(stdin: bool) -> (Attached, Ends) {
    let (output, read) = mpsc::channel(WAITING);
    let (write, input) = mpsc::channel(WAITING);
    let (write, input) = if stdin { (Some(write), Some(input)) } else { (None, None) };
    (Attached { output: read, input: write }, Ends { output, input })
}

/// Passes output on until the end. With `to_the_end` it is read even if nobody wants it any more.
pub(super) async fn read(
    reader: OwnedReadHalf,
    mut decoder: Decoder,
    output: mpsc::Sender<Output>,
    to_the_end: bool,
) -> Option<Exit> {
    use tokio::io::AsyncReadExt as _;
    let mut reader = reader;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        while let Some(frame) = decoder.next().ok()? {
            let source = match frame.kind {
                Kind::Stdout => Source::Stdout,
                Kind::Stderr => Source::Stderr,
                Kind::Exit => return frame.json(),
                _ => continue,
            };
            if output.send(Output { source, bytes: frame.bytes.into() }).await.is_err() && !to_the_end {
                return None;
            }
        }
        match reader.read(&mut buffer).await {
            Ok(read) if read > 0 => decoder.feed(&buffer[..read]),
            _ => return None,
        }
    }
}

/// Passes input and sizes on; never returns, so that the end of input is not the end of output.
pub(super) async fn write(
    mut writer: OwnedWriteHalf,
    mut input: Option<mpsc::Receiver<Bytes>>,
    mut sizes: Option<mpsc::Receiver<(u16, u16)>>,
) {
    loop {
        let bytes = tokio::select! {
            Some(bytes) = next(&mut input) => match bytes {
                Some(bytes) => frame::one(Kind::Input, &bytes),
                None => frame::one(Kind::InputEnd, b""),
            },
            Some(size) = next(&mut sizes) => match size {
                Some((columns, rows)) => frame::one(Kind::Resize, &frame::size(columns, rows)),
                None => continue,
            },
            else => break,
        };
        if writer.write_all(&bytes).await.is_err() {
            break;
        }
    }
    std::future::pending::<()>().await;
}

/// The next of a channel that may be none: its end is told once, then it is none.
async fn next<T>(channel: &mut Option<mpsc::Receiver<T>>) -> Option<Option<T>> {
    let next = channel.as_mut()?.recv().await;
    if next.is_none() {
        *channel = None;
    }
    Some(next)
}
