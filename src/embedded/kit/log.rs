//! What a build tells, as BuildKit's clients read it: kept until somebody does, in bounds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning};
use chrono::Utc;
use futures_util::Stream;
use futures_util::stream;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::embedded::build::progress::{Happening, Progress};
use crate::embedded::id;
use crate::embedded::process::Source;

/// So many bytes of output wait for the client to read them; what comes then is dropped.
const MOST_WAITING: usize = 4 << 20;
/// What stands in the place of output that was dropped.
const DROPPED: &[u8] = b"[output dropped: it comes faster than it is read]\n";

/// What a build tells.
#[derive(Debug)]
pub(super) struct Log {
    /// Makes the names of its steps its own.
    build: String,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    steps: HashMap<String, Vertex>,
    parts: HashMap<(String, String), Timestamp>,
    waiting: StatusResponse,
    /// Bytes of output that wait.
    bytes: usize,
    ended: bool,
}

impl Log {
    /// Of the build with this name.
    pub(super) fn new(build: &str) -> Self {
        Self { build: build.to_owned(), state: Mutex::default(), news: Notify::new() }
    }

    /// Takes in what has happened.
    pub(super) fn take(&self, progress: Progress) {
        let digest = self.digest(&progress.step);
        self.state().take(digest, progress.what, now());
        self.news.notify_one();
    }

    /// Says that this was all.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.news.notify_one();
    }

    /// All that is told and has not been read, as it comes. For one reader.
    pub(super) fn news(self: Arc<Self>) -> impl Stream<Item = StatusResponse> + Send + 'static + use<> {
        stream::unfold(self, |log| async move {
            loop {
                let (news, ended) = log.state().read();
                if let Some(news) = news {
                    return Some((news, log));
                }
                if ended {
                    return None;
                }
                // One that came since is noted.
                log.news.notified().await;
            }
        })
    }

    /// The name of a step, as clients have names.
    fn digest(&self, step: &str) -> String {
        let mut hash = Sha256::new();
        for part in [&self.build, step] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        format!("sha256:{}", id::hexadecimal(&hash.finalize()))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn read(&mut self) -> (Option<StatusResponse>, bool) {
        self.bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        let is_empty = waiting == StatusResponse::default();
        ((!is_empty).then_some(waiting), self.ended)
    }

    fn take(&mut self, digest: String, what: Happening, now: Timestamp) {
        match what {
            Happening::Began(name) => {
                let vertex = Vertex { digest: digest.clone(), name, started: Some(now), ..Vertex::default() };
                self.steps.insert(digest, vertex.clone());
                self.waiting.vertexes.push(vertex);
            }
            Happening::Cached => {
                if let Some(vertex) = self.steps.get_mut(&digest) {
                    vertex.cached = true;
                }
            }
            Happening::Ended(error) => {
                let Some(mut vertex) = self.steps.remove(&digest) else { return };
                vertex.completed = Some(now);
                vertex.error = error.unwrap_or_default();
                self.waiting.vertexes.push(vertex);
            }
            Happening::Output(source, text) => self.output(digest, source, text, now),
            Happening::Part { name, current, total, done } => {
                let key = (digest.clone(), name.clone());
                let started = *self.parts.entry(key).or_insert(now);
                let status = VertexStatus {
                    id: name.clone(),
                    vertex: digest,
                    name,
                    current: i64::try_from(current).unwrap_or(i64::MAX),
                    total: total.and_then(|total| i64::try_from(total).ok()).unwrap_or(0),
                    timestamp: Some(now),
                    started: Some(started),
                    completed: done.then_some(now),
                };
                let same = |waiting: &&mut VertexStatus| (&waiting.vertex, &waiting.id) == (&status.vertex, &status.id);
                match self.waiting.statuses.iter_mut().find(same) {
                    // What nobody has read yet is old by now.
                    Some(waiting) => *waiting = status,
                    None => self.waiting.statuses.push(status),
                }
            }
            Happening::Warned(text) => self.waiting.warnings.push(VertexWarning {
                vertex: digest,
                level: 1,
                short: text.into_bytes(),
                ..VertexWarning::default()
            }),
        }
    }

    fn output(&mut self, vertex: String, source: Source, text: String, now: Timestamp) {
        let stream = match source {
            Source::Stdout => 1,
            Source::Stderr => 2,
        };
        let was_full = self.bytes > MOST_WAITING;
        self.bytes += text.len();
        let msg = match (was_full, self.bytes > MOST_WAITING) {
            (true, _) => return,
            (false, true) => DROPPED.to_vec(),
            (false, false) => text.into_bytes(),
        };
        self.waiting.logs.push(VertexLog { vertex, timestamp: Some(now), stream, msg });
    }
}

fn now() -> Timestamp {
    let now = Utc::now();
    Timestamp { seconds: now.timestamp(), nanos: i32::try_from(now.timestamp_subsec_nanos()).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    fn tell(log: &Log, step: &str, what: Happening) {
        log.take(Progress { step: step.into(), what });
    }

    #[tokio::test]
    async fn a_step_keeps_its_name_and_ends_once() {
        let log = Arc::new(Log::new("build"));
        tell(&log, "1", Happening::Began("[1/1] FROM a".into()));
        tell(&log, "1", Happening::Cached);
        for current in 0..5 {
            tell(&log, "1", Happening::Part { name: "p".into(), current, total: None, done: current == 4 });
        }
        tell(&log, "1", Happening::Ended(Some("no".into())));
        tell(&log, "1", Happening::Ended(None));
        log.end();
        let news: Vec<_> = log.news().collect().await;
        let [news] = &news[..] else { panic!("they are read at once: {news:?}") };
        let [began, ended] = &news.vertexes[..] else { panic!("it begins and ends: {news:?}") };
        assert_eq!((&began.digest, &began.name), (&ended.digest, &ended.name));
        assert!(began.completed.is_none() && ended.completed.is_some() && ended.cached && ended.error == "no");
        assert!(began.digest.starts_with("sha256:") && began.digest.len() == 71);
        assert_eq!(news.statuses.len(), 1);
        assert!(news.statuses[0].completed.is_some() && news.statuses[0].current == 4);
    }

    #[tokio::test]
    async fn output_that_nobody_reads_is_bounded() {
        let log = Arc::new(Log::new("build"));
        let text = "x".repeat(1 << 20);
        for _ in 0..20 {
            tell(&log, "1", Happening::Output(Source::Stderr, text.clone()));
        }
        let mut news = Box::pin(log.clone().news());
        let first = news.next().await.expect("there are some");
        let bytes: usize = first.logs.iter().map(|log| log.msg.len()).sum();
        assert!(bytes <= MOST_WAITING + DROPPED.len(), "{bytes}");
        assert_eq!(first.logs.last().map(|log| &log.msg[..]), Some(DROPPED));
        tell(&log, "1", Happening::Output(Source::Stdout, "more".into()));
        let second = news.next().await.expect("there are more");
        assert_eq!((second.logs[0].stream, &second.logs[0].msg[..]), (1, &b"more"[..]));
    }
}
