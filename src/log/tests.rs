use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Origin, Streams, send_rest};
use crate::engine::{EngineError, LogChunk};
use crate::ui::Message;

fn chunk(stderr: bool, text: &str) -> LogChunk {
    LogChunk { stderr, bytes: Bytes::copy_from_slice(text.as_bytes()) }
}

async fn send_lines(
    chunks: BoxStream<'static, Result<LogChunk, EngineError>>,
    sink: &mpsc::Sender<Message>,
    cancel: &CancellationToken,
) -> Result<(), EngineError> {
    let mut streams = Streams::new(Origin { service: "web".to_owned(), number: 2 });
    let ending = super::send_lines(chunks, &mut streams, sink, cancel).await;
    send_rest(streams, sink, cancel).await;
    ending
}

/// What arrives, a text a line: `web-2 out: text`.
async fn received(mut messages: mpsc::Receiver<Message>) -> Vec<String> {
    let mut received = Vec::new();
    while let Some(message) = messages.recv().await {
        let Message::Lines(lines) = message else { panic!("{message:?}") };
        received.extend(lines.into_iter().map(|line| {
            let stream = if line.stderr { "err" } else { "out" };
            format!("{}-{} {stream}: {}", line.service, line.number, line.text)
        }));
    }
    received
}

#[tokio::test]
async fn the_two_streams_do_not_mix_their_halves_of_lines() {
    let chunks = vec![chunk(false, "one "), chunk(true, "war"), chunk(false, "line\nrest"), chunk(true, "ning\n")];
    let (sink, messages) = mpsc::channel(8);
    send_lines(stream::iter(chunks).map(Ok).boxed(), &sink, &CancellationToken::new()).await.expect("it ends well");
    drop(sink);
    assert_eq!(received(messages).await, ["web-2 out: one line", "web-2 err: warning", "web-2 out: rest"]);
}

#[tokio::test]
async fn a_slow_reader_gets_every_line_in_order() {
    let lines: Vec<String> = (0..5_000).map(|number| format!("line {number}")).collect();
    let chunks: Vec<_> = lines.iter().map(|line| chunk(false, &format!("{line}\n"))).collect();
    let (sink, messages) = mpsc::channel(1);
    let sending = async move {
        send_lines(stream::iter(chunks).map(Ok).boxed(), &sink, &CancellationToken::new()).await.expect("it ends well");
    };
    let ((), received) = tokio::join!(sending, received(messages));
    let expected: Vec<String> = lines.iter().map(|line| format!("web-2 out: {line}")).collect();
    assert_eq!(received, expected);
}

#[tokio::test]
async fn a_broken_stream_is_an_error_after_what_came_before_it() {
    let broken = EngineError::Unreachable { message: "gone".to_owned() };
    let chunks = vec![Ok(chunk(false, "one\nhalf")), Err(broken.clone())];
    let (sink, messages) = mpsc::channel(8);
    let ended = send_lines(stream::iter(chunks).boxed(), &sink, &CancellationToken::new()).await;
    drop(sink);
    assert_eq!(ended, Err(broken));
    assert_eq!(received(messages).await, ["web-2 out: one", "web-2 out: half"]);
}

#[tokio::test]
async fn it_ends_when_called_off_although_nobody_reads() {
    let (sink, _messages) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    let endless = stream::repeat_with(|| Ok(chunk(false, "y\n"))).boxed();
    let cancelling = async {
        // The queue is full and the sender waits.
        while sink.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(send_lines(endless, &sink, &cancel), cancelling);
    assert_eq!(ended, Ok(()));
}
