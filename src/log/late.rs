//! What a followed log has left out at its end. An engine may end it with its container before it has handed over the
//! last lines (Docker's does now and then, before version 23); the log itself is whole, so it is read once more, and what
//! had come already is passed over.

use futures_util::StreamExt as _;
use futures_util::future;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Streams, TAIL_DEADLINE, Taken, send_lines};
use crate::engine::{Engine, EngineError, LogChunk, LogOptions};
use crate::ui::Message;

/// A log that was longer than this is not read again: that would keep the engine busy, and whoever reads waiting.
const LONGEST: u64 = 16 << 20;

/// Sends on what followed on what `streams` has taken, as far as it belongs to the life of the container that was
/// followed.
pub(super) async fn send<E: Engine>(
    engine: &E,
    container: &str,
    options: LogOptions,
    streams: &mut Streams,
    sink: &mpsc::Sender<Message>,
    cancel: &CancellationToken,
) {
    if streams.taken.stdout + streams.taken.stderr > LONGEST {
        return;
    }
    let reading = async {
        let Ok(Some(found)) = engine.container(container).await else { return };
        let mut options = LogOptions { follow: false, ..options };
        if found.state.is_running() {
            // It has been started again, and its next life is followed from the end of the last one on.
            if found.finished_at == 0 {
                return;
            }
            options.until =
                Some(format!("{}.{:09}", found.finished_at / 1_000_000_000, found.finished_at % 1_000_000_000));
        }
        let chunks = unseen(engine.logs(container, &options), streams.taken);
        // What the engine refuses now, it has not said before either; the container may be gone.
        let _ = send_lines(chunks, streams, sink, cancel).await;
    };
    let _ = tokio::time::timeout(TAIL_DEADLINE, reading).await;
}

/// The chunks without so many bytes at the beginning of each stream.
fn unseen(
    chunks: BoxStream<'static, Result<LogChunk, EngineError>>,
    mut seen: Taken,
) -> BoxStream<'static, Result<LogChunk, EngineError>> {
    let rest = chunks.filter_map(move |chunk| {
        let chunk = chunk.map(|mut chunk| {
            let left = seen.of(chunk.stderr);
            let known = usize::try_from(*left).unwrap_or(usize::MAX).min(chunk.bytes.len());
            *left -= known as u64;
            chunk.bytes = chunk.bytes.slice(known..);
            chunk
        });
        future::ready(Some(chunk).filter(|chunk| chunk.as_ref().map_or(true, |chunk| !chunk.bytes.is_empty())))
    });
    rest.boxed()
}
