//! Container output on its way to the printing task: whole lines, each with its service and number.
//!
//! It never goes through the event loop: a container that writes fast slows down itself, by the bounded channel, and
//! nothing else. Within one stream of one container no line is dropped and none overtakes another.

mod clean;
mod late;
mod lines;

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, EngineError, LogChunk, LogOptions};
use crate::plan::observed::ContainerId;
use crate::ui::{Line, Message};

pub use lines::LineSplitter;

/// The last lines of a dead container are there at once; an engine that hangs must not hold up the bad news.
const TAIL_DEADLINE: Duration = Duration::from_secs(5);

/// So many chunks at most go as one message.
const BATCH: usize = 64;

/// A text from elsewhere, safe to print: colours stay, nothing else that a terminal obeys.
#[must_use]
pub fn readable(text: &str) -> String {
    clean::clean(text.as_bytes().to_vec())
}

/// Whose output it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The service.
    pub service: String,
    /// The container's number within it.
    pub number: u32,
}

/// Sends a container's output on as lines, until it ends (with `options.follow`: until the container exits) or until it
/// is called off.
///
/// # Errors
/// The engine's, when the stream breaks; what came before has been sent.
pub async fn follow<E: Engine>(
    engine: E,
    container: ContainerId,
    origin: Origin,
    options: LogOptions,
    sink: mpsc::Sender<Message>,
    cancel: CancellationToken,
) -> Result<(), EngineError> {
    let mut streams = Streams::new(origin);
    let chunks = engine.logs(&container, &options);
    let ending = send_lines(chunks, &mut streams, &sink, &cancel).await;
    if ending.is_ok() && options.follow && options.tail.is_none() && !cancel.is_cancelled() {
        late::send(&engine, &container, options, &mut streams, &sink, &cancel).await;
    }
    send_rest(streams, &sink, &cancel).await;
    ending
}

/// Sends on what lines the chunks hold; a line that has not ended stays in `streams`.
async fn send_lines(
    chunks: BoxStream<'static, Result<LogChunk, EngineError>>,
    streams: &mut Streams,
    sink: &mpsc::Sender<Message>,
    cancel: &CancellationToken,
) -> Result<(), EngineError> {
    // An engine sends a chunk for each write of the container; those that are there already go together.
    let mut batches = chunks.ready_chunks(BATCH);
    let mut ending = Ok(());
    while ending.is_ok() {
        let batch = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            batch = batches.next() => batch,
        };
        let Some(batch) = batch else { break };
        let mut lines = Vec::new();
        for chunk in batch {
            match chunk {
                Ok(chunk) => streams.take(&chunk, &mut lines),
                Err(error) => ending = Err(error),
            }
        }
        if lines.is_empty() {
            continue;
        }
        tokio::select! {
            biased;
            sent = sink.send(Message::Lines(lines)) => if sent.is_err() { return Ok(()) },
            () = cancel.cancelled() => break,
        }
    }
    ending
}

/// Sends on the last lines, which nothing ended.
async fn send_rest(mut streams: Streams, sink: &mpsc::Sender<Message>, cancel: &CancellationToken) {
    let rest = streams.finish();
    if !rest.is_empty() && cancel.is_cancelled() {
        // Whoever called it off need not read any more.
        sink.try_send(Message::Lines(rest)).ok();
    } else if !rest.is_empty() {
        sink.send(Message::Lines(rest)).await.ok();
    }
}

/// The last lines that a container wrote, for the report of its failure; empty when the engine does not say.
pub async fn tail<E: Engine>(engine: &E, container: &str, count: usize) -> Vec<String> {
    let options = LogOptions { tail: Some(count as u64), ..LogOptions::default() };
    let mut chunks = engine.logs(container, &options);
    let mut stdout = LineSplitter::default();
    let mut stderr = LineSplitter::default();
    let mut last = VecDeque::with_capacity(count.min(1_000));
    let mut keep = |line| {
        if last.len() == count {
            last.pop_front();
        }
        if count > 0 {
            last.push_back(line);
        }
    };
    let reading = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            let splitter = if chunk.stderr { &mut stderr } else { &mut stdout };
            splitter.push(&chunk.bytes, &mut keep);
        }
    };
    // What came before the deadline is better than nothing.
    tokio::time::timeout(TAIL_DEADLINE, reading).await.ok();
    stdout.finish().into_iter().chain(stderr.finish()).for_each(keep);
    last.into()
}

struct Streams {
    origin: Origin,
    stdout: LineSplitter,
    stderr: LineSplitter,
    taken: Taken,
}

/// How many bytes of each stream have been taken.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    stdout: u64,
    stderr: u64,
}

impl Taken {
    fn of(&mut self, stderr: bool) -> &mut u64 {
        if stderr { &mut self.stderr } else { &mut self.stdout }
    }
}

impl Streams {
    fn new(origin: Origin) -> Self {
        let (stdout, stderr) = (LineSplitter::default(), LineSplitter::default());
        Self { origin, stdout, stderr, taken: Taken::default() }
    }

    fn take(&mut self, chunk: &LogChunk, lines: &mut Vec<Line>) {
        *self.taken.of(chunk.stderr) += chunk.bytes.len() as u64;
        let splitter = if chunk.stderr { &mut self.stderr } else { &mut self.stdout };
        splitter.push(&chunk.bytes, |text| lines.push(line(&self.origin, chunk.stderr, text)));
    }

    fn finish(&mut self) -> Vec<Line> {
        let stdout = self.stdout.finish().map(|text| line(&self.origin, false, text));
        let stderr = self.stderr.finish().map(|text| line(&self.origin, true, text));
        stdout.into_iter().chain(stderr).collect()
    }
}

fn line(origin: &Origin, stderr: bool, text: String) -> Line {
    Line { service: origin.service.clone(), number: origin.number, stderr, text }
}

#[cfg(test)]
mod tests;
