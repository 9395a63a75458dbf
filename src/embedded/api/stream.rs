//! Connections that become a container's input and output: frames, taking over, half-close, leaving.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut as _, BytesMut};
use futures_util::future::{self, Either};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use rustix::event::{PollFd, PollFlags};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::answer::Refusal;
use super::escape::Escape;
use super::request::Version;
use super::session::{Hold, Session};
use crate::embedded::error::Error;
use crate::embedded::process::{Output, Source};

/// Output without frames, as from a terminal.
const RAW: &str = "application/vnd.docker.raw-stream";
/// Output in frames.
const FRAMES: &str = "application/vnd.docker.multiplexed-stream";
/// How often a silent client that has sent its last input is looked at, whether it is still there.
const HANG_UP: Duration = Duration::from_secs(1);

/// A container's or a command's input and output for one client.
pub(super) struct Conversation {
    /// What comes.
    pub(super) output: BoxStream<'static, Bytes>,
    /// Where input goes; `None` takes none.
    pub(super) input: Option<mpsc::Sender<Bytes>>,
    /// Whether output comes without frames.
    pub(super) terminal: bool,
    /// The keys that leave it.
    pub(super) escape: Option<Escape>,
}

/// The kind of a body with output.
pub(super) fn kind(terminal: bool, version: Version) -> HeaderValue {
    HeaderValue::from_static(if terminal || version < Version(1, 42) { RAW } else { FRAMES })
}

/// Output as a client reads it.
pub(super) fn frame(output: &Output, terminal: bool) -> Bytes {
    if terminal {
        return output.bytes.clone();
    }
    let source = match output.source {
        Source::Stdout => 1,
        Source::Stderr => 2,
    };
    let Ok(length) = u32::try_from(output.bytes.len()) else { return Bytes::new() };
    let mut frame = BytesMut::with_capacity(8 + output.bytes.len());
    frame.put_slice(&[source, 0, 0, 0]);
    frame.put_u32(length);
    frame.put_slice(&output.bytes);
    frame.freeze()
}

/// What comes from a container, of the sources that are wanted.
pub(super) fn frames(
    output: mpsc::Receiver<Output>,
    terminal: bool,
    wanted: (bool, bool),
) -> BoxStream<'static, Bytes> {
    stream::unfold(output, |mut output| async move { output.recv().await.map(|piece| (piece, output)) })
        .filter(move |piece| {
            future::ready(match piece.source {
                Source::Stdout => wanted.0,
                Source::Stderr => wanted.1,
            })
        })
        .map(move |piece| frame(&piece, terminal))
        .boxed()
}

/// An answer of output that goes on, past a failure of which the client is told in it.
pub(super) fn body(output: BoxStream<'static, Result<Output, Error>>, terminal: bool, version: Version) -> Response {
    let frames = output.map(move |piece| match piece {
        Ok(piece) => Ok(frame(&piece, terminal)),
        Err(error) => Err(std::io::Error::other(error.to_string())),
    });
    ([(CONTENT_TYPE, kind(terminal, version))], Body::from_stream(frames)).into_response()
}

/// Answers with a conversation: over the connection itself where the client asked for it (`Upgrade: tcp`), else in the
/// bodies of request and answer.
pub(super) fn converse(
    request: Request,
    session: &Session,
    version: Version,
    conversation: Conversation,
) -> Result<Response, Refusal> {
    let kind = kind(conversation.terminal, version);
    let (mut parts, body) = request.into_parts();
    let hold = parts.extensions.remove::<Hold>();
    if !parts.headers.contains_key(UPGRADE) {
        if let Some(input) = conversation.input {
            session.streams().spawn(take_body(body, input, session.clone()));
        }
        let output = conversation.output.map(Ok::<_, std::io::Error>);
        return Ok(([(CONTENT_TYPE, kind)], Body::from_stream(output)).into_response());
    }
    let upgrade = parts
        .extensions
        .remove::<OnUpgrade>()
        .ok_or_else(|| Refusal::invalid("this connection cannot be taken over"))?;
    session.streams().spawn(take_over(upgrade, conversation, session.clone(), hold));
    let headers = [
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("tcp")),
        (CONTENT_TYPE, kind),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

/// Input from the body of a request.
async fn take_body(body: Body, input: mpsc::Sender<Bytes>, session: Session) {
    let mut body = body.into_data_stream();
    let copy = async {
        while let Some(Ok(bytes)) = body.next().await {
            if input.send(bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = copy => {}
        () = session.ended() => {}
    }
}

/// The conversation over the connection, until the container ends, the client goes or the daemon ends. `hold` keeps the
/// request open as long.
async fn take_over(upgrade: OnUpgrade, conversation: Conversation, session: Session, hold: Option<Hold>) {
    let talk = async {
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!("a connection was not taken over: {error}"),
        };
        let Ok(parts) = upgraded.downcast::<TokioIo<UnixStream>>() else {
            return tracing::warn!("a connection that is no Unix socket cannot be taken over");
        };
        talk(parts.io.into_inner(), parts.read_buf, conversation).await;
    };
    tokio::select! {
        () = talk => {}
        () = session.ended() => {}
    }
    drop(hold);
}

/// How a client's input ended.
enum Left {
    /// It has no more, and may still listen.
    Silent,
    /// It pressed the keys that leave.
    Escaped,
}

async fn talk(connection: UnixStream, early: Bytes, conversation: Conversation) {
    let (reader, writer) = connection.into_split();
    let Conversation { output, input, escape, .. } = conversation;
    let send = std::pin::pin!(send(writer, output));
    let listen = std::pin::pin!(listen(reader, early, input, escape));
    match future::select(send, listen).await {
        Either::Left(_) | Either::Right(((Left::Escaped, _), _)) => {}
        Either::Right(((Left::Silent, reader), send)) => {
            tokio::select! {
                () = send => {}
                () = gone(&reader) => {}
            }
        }
    }
}

async fn send(mut writer: OwnedWriteHalf, mut output: BoxStream<'static, Bytes>) {
    while let Some(bytes) = output.next().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
    // Nobody may be left to be told.
    let _ = writer.shutdown().await;
}

async fn listen(
    mut reader: OwnedReadHalf,
    early: Bytes,
    mut input: Option<mpsc::Sender<Bytes>>,
    mut escape: Option<Escape>,
) -> (Left, OwnedReadHalf) {
    let mut early = Some(early).filter(|early| !early.is_empty());
    let mut buffer = BytesMut::new();
    loop {
        let bytes = if let Some(early) = early.take() {
            early
        } else {
            buffer.reserve(8 << 10);
            match reader.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return (Left::Silent, reader),
                Ok(_) => buffer.split().freeze(),
            }
        };
        let (bytes, escaped) = match &mut escape {
            Some(escape) => escape.feed(&bytes),
            None => (bytes, false),
        };
        if let Some(open) = &input
            && !bytes.is_empty()
            && open.send(bytes).await.is_err()
        {
            // Nobody reads it any more; what comes is thrown away, so that the client's end is noticed.
            input = None;
        }
        if escaped {
            return (Left::Escaped, reader);
        }
    }
}

/// Returns once the client has closed the connection both ways, which its silence alone does not tell.
async fn gone(reader: &OwnedReadHalf) {
    let mut look = tokio::time::interval(HANG_UP);
    loop {
        look.tick().await;
        let stream: &UnixStream = reader.as_ref();
        let mut polled = [PollFd::new(stream, PollFlags::empty())];
        let now = rustix::time::Timespec::default();
        if rustix::event::poll(&mut polled, Some(&now)).is_err()
            || polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_source_and_length() {
        let output = Output { source: Source::Stderr, bytes: Bytes::from_static(b"no") };
        assert_eq!(&frame(&output, false)[..], b"\x02\0\0\0\0\0\0\x02no");
        assert_eq!(&frame(&output, true)[..], b"no");
    }

    #[tokio::test]
    async fn a_client_that_goes_is_noticed_and_one_that_only_listens_is_not() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, _writer) = ours.into_split();
        let (their_reader, mut their_writer) = theirs.into_split();
        their_writer.shutdown().await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), gone(&reader)).await.is_err());
        drop((their_reader, their_writer));
        tokio::time::timeout(Duration::from_secs(10), gone(&reader)).await.unwrap();
    }

    #[tokio::test]
    async fn input_ends_and_output_goes_on() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (output_sender, output) = mpsc::channel(1);
        let (input, mut input_receiver) = mpsc::channel(1);
        let conversation = Conversation {
            output: frames(output, true, (true, true)),
            input: Some(input),
            terminal: true,
            escape: None,
        };
        let talking = tokio::spawn(talk(ours, Bytes::from_static(b"a"), conversation));
        theirs.write_all(b"b").await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut heard = Vec::new();
        while let Some(bytes) = input_receiver.recv().await {
            heard.extend_from_slice(&bytes);
        }
        assert_eq!(heard, b"ab");
        output_sender.send(Output { source: Source::Stdout, bytes: Bytes::from_static(b"c") }).await.unwrap();
        drop(output_sender);
        let mut said = Vec::new();
        theirs.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"c");
        talking.await.unwrap();
    }
}
