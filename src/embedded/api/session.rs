//! What the routes and the daemon share about the engine's life: whether it is asked for anything, and that it is to end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The life of one daemon; clones are the same.
#[derive(Debug, Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    began: DateTime<Utc>,
    requests: Mutex<Requests>,
    stopping: CancellationToken,
    ended: CancellationToken,
    streams: TaskTracker,
}

#[derive(Debug)]
struct Requests {
    open: usize,
    last: Instant,
    last_at: DateTime<Utc>,
}

/// A request that is being answered; dropped, it is done.
#[derive(Debug, Clone)]
pub struct Hold {
    _open: Arc<Open>,
}

#[derive(Debug)]
struct Open {
    session: Session,
}

impl Session {
    /// One that begins now.
    #[must_use]
    pub fn new() -> Self {
        let now = Utc::now();
        Self {
            shared: Arc::new(Shared {
                began: now,
                requests: Mutex::new(Requests { open: 0, last: Instant::now(), last_at: now }),
                stopping: CancellationToken::new(),
                ended: CancellationToken::new(),
                streams: TaskTracker::new(),
            }),
        }
    }

    /// Notes a request, which lasts as long as what is returned or a clone of it.
    #[must_use]
    pub fn begin(&self) -> Hold {
        self.note(|requests| requests.open += 1);
        Hold { _open: Arc::new(Open { session: self.clone() }) }
    }

    /// For how long nobody has asked for anything; `None` while somebody does. An open stream is a request.
    #[must_use]
    pub fn quiet_for(&self) -> Option<Duration> {
        let requests = self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
        (requests.open == 0).then(|| requests.last.elapsed())
    }

    /// When a request last began or ended.
    #[must_use]
    pub fn last_request(&self) -> DateTime<Utc> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).last_at
    }

    /// Since when the engine is there.
    #[must_use]
    pub fn began(&self) -> DateTime<Utc> {
        self.shared.began
    }

    /// Begins the end that a client has asked for: from now on nothing new is taken on. `false` when it had begun.
    #[must_use]
    pub fn begin_stop(&self) -> bool {
        let first = !self.shared.stopping.is_cancelled();
        self.shared.stopping.cancel();
        first
    }

    /// Whether it has begun.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.is_cancelled()
    }

    /// Says that nothing runs any more and the daemon can end.
    pub fn end(&self) {
        self.shared.ended.cancel();
    }

    /// Returns once that has been said; connections that were taken over end with it.
    pub async fn ended(&self) {
        self.shared.ended.cancelled().await;
    }

    /// The tasks of connections that were taken over by a stream.
    #[must_use]
    pub fn streams(&self) -> &TaskTracker {
        &self.shared.streams
    }

    fn note(&self, change: impl FnOnce(&mut Requests)) {
        let mut requests = self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut requests);
        requests.last = Instant::now();
        requests.last_at = Utc::now();
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.session.note(|requests| requests.open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::Session;

    #[test]
    fn a_request_lasts_as_long_as_any_of_its_holds() {
        let session = Session::new();
        assert!(session.quiet_for().is_some());
        let hold = session.begin();
        let stream = hold.clone();
        drop(hold);
        assert_eq!(session.quiet_for(), None);
        drop(stream);
        assert!(session.quiet_for().is_some());
    }

    #[test]
    fn a_stop_is_begun_once() {
        let session = Session::new();
        assert!(session.begin_stop());
        assert!(!session.begin_stop());
        assert!(session.is_stopping());
    }
}
