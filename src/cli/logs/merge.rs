//! What containers have written so far, in the order of time across all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DateTime;
use futures_util::future::try_join_all;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cli::error::Error;
use crate::engine::docker::Docker;
use crate::engine::{EngineError, LogOptions};
use crate::log::{self, Origin};
use crate::plan::observed::{Container, ContainerId};
use crate::ui::{Line, Message};

/// How many batches of one container may wait for the others.
const AHEAD: usize = 16;

/// How many lines go to the printing task at once.
const BATCH: usize = 1024;

/// The time of the last line of each container, since 1970.
pub(super) type Seen = BTreeMap<ContainerId, Duration>;

/// Sends what the containers have written to the printing task and says how far each of them was read.
pub(super) async fn history(
    docker: &Docker,
    containers: &[Container],
    options: &LogOptions,
    sink: &mpsc::Sender<Message>,
    timestamps: bool,
) -> Result<Seen, Error> {
    let (readers, sources): (Vec<_>, Vec<_>) =
        containers.iter().map(|container| read(docker, container, options)).unzip();
    let reading = async { try_join_all(readers).await.map_err(Error::engine("read the logs")) };
    let (_, seen) = tokio::try_join!(reading, async { Ok(merge(sources, sink, timestamps).await) })?;
    Ok(seen)
}

/// Lines of one container on their way.
struct Source {
    container: ContainerId,
    batches: mpsc::Receiver<Message>,
    ready: std::vec::IntoIter<Line>,
    /// The next line and its time.
    next: Option<(Duration, Line)>,
    last: Duration,
}

fn read(
    docker: &Docker,
    container: &Container,
    options: &LogOptions,
) -> (impl Future<Output = Result<(), EngineError>> + use<>, Source) {
    let (sender, batches) = mpsc::channel(AHEAD);
    let origin = Origin { service: container.service.clone(), number: container.number };
    let id = container.id.clone();
    let reader = log::follow(docker.clone(), id.clone(), origin, options.clone(), sender, CancellationToken::new());
    (reader, Source { container: id, batches, ready: Vec::new().into_iter(), next: None, last: Duration::ZERO })
}

impl Source {
    /// Fetches the next line; false at the end.
    async fn advance(&mut self, timestamps: bool) -> bool {
        loop {
            if let Some(mut line) = self.ready.next() {
                // A line without a time of its own, such as the rest of a long one, belongs to the one before it.
                let (time, length) =
                    split(&line.text).map_or((self.last, 0), |(time, rest)| (time, line.text.len() - rest.len()));
                if !timestamps {
                    line.text.drain(..length);
                }
                self.last = time;
                self.next = Some((time, line));
                return true;
            }
            match self.batches.recv().await {
                Some(Message::Lines(lines)) => self.ready = lines.into_iter(),
                Some(Message::Line(line)) => self.ready = vec![line].into_iter(),
                Some(_) => {}
                None => {
                    self.next = None;
                    return false;
                }
            }
        }
    }
}

async fn merge(mut sources: Vec<Source>, sink: &mpsc::Sender<Message>, timestamps: bool) -> Seen {
    let mut seen = Seen::new();
    let mut batch = Vec::with_capacity(BATCH);
    let mut live = Vec::with_capacity(sources.len());
    for mut source in sources.drain(..) {
        if source.advance(timestamps).await {
            live.push(source);
        }
    }
    while let Some(first) = earliest(&live) {
        let source = &mut live[first];
        if let Some((_, line)) = source.next.take() {
            batch.push(line);
        }
        if !source.advance(timestamps).await {
            let source = live.swap_remove(first);
            seen.insert(source.container, source.last);
        }
        if batch.len() == BATCH && sink.send(Message::Lines(std::mem::take(&mut batch))).await.is_err() {
            return seen;
        }
    }
    // Whoever stopped listening has heard enough.
    let _ = sink.send(Message::Lines(batch)).await;
    seen
}

/// The place of the source whose next line is the oldest; among equals the first one by name.
fn earliest(sources: &[Source]) -> Option<usize> {
    fn key(source: &Source) -> Option<(Duration, &str, u32)> {
        source.next.as_ref().map(|(time, line)| (*time, line.service.as_str(), line.number))
    }
    (0..sources.len()).min_by(|a, b| key(&sources[*a]).cmp(&key(&sources[*b])))
}

/// The time that a line begins with, and the rest of it.
pub(super) fn split(text: &str) -> Option<(Duration, &str)> {
    let (time, rest) = text.split_once(' ').unwrap_or((text, ""));
    let time = DateTime::parse_from_rfc3339(time).ok()?;
    let seconds = u64::try_from(time.timestamp()).ok()?;
    Some((Duration::new(seconds, time.timestamp_subsec_nanos()), rest))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::split;

    #[test]
    fn a_line_begins_with_its_time() {
        let (time, rest) = split("2026-01-02T13:23:37.000000005Z hello  world").expect("it begins with a time");
        assert_eq!((time, rest), (Duration::new(1_767_360_217, 5), "hello  world"));
        assert_eq!(split("hello world"), None);
        assert_eq!(split("2026-01-02T13:23:37Z").map(|(_, rest)| rest), Some(""));
    }
}
