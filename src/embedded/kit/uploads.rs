//! Contexts that come in a request of their own, for a build that another request asks for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{Notify, oneshot};

use crate::embedded::ByteStream;
use crate::embedded::error::Error;

/// How long the one request waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// Those that have come and were not taken; clones share them.
#[derive(Clone, Default)]
pub(super) struct Uploads {
    waiting: Arc<Mutex<HashMap<String, ByteStream>>>,
    changed: Arc<Notify>,
}

impl std::fmt::Debug for Uploads {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Uploads")
    }
}

impl Uploads {
    /// Hands a context over to a build; returns when it has been read, or when nobody wants it.
    pub(super) async fn bring(&self, build: &str, context: ByteStream) -> Result<(), Error> {
        let (reading, read) = oneshot::channel::<()>();
        let context = context.map(move |piece| {
            // Goes with the stream.
            let _reading = &reading;
            piece
        });
        self.all().insert(build.to_owned(), context.boxed());
        self.changed.notify_waiters();
        let taken = tokio::time::timeout(PATIENCE, self.until(|all| (!all.contains_key(build)).then_some(()))).await;
        if taken.is_err() && self.all().remove(build).is_some() {
            return Err(Error::Invalid(format!("no build `{build}` wants the context that was sent")));
        }
        // Its end is all that is waited for; nothing is ever sent.
        let _ = read.await;
        Ok(())
    }

    /// The context that is brought for a build.
    pub(super) async fn take(&self, build: &str) -> Result<ByteStream, Error> {
        let taken = tokio::time::timeout(PATIENCE, self.until(|all| all.remove(build))).await;
        let taken = taken.map_err(|_| Error::Invalid(format!("nobody sends the context of the build `{build}`")))?;
        self.changed.notify_waiters();
        Ok(taken)
    }

    async fn until<T>(&self, mut so: impl FnMut(&mut HashMap<String, ByteStream>) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before looking, so that nothing is missed in between.
            changed.as_mut().enable();
            let found = so(&mut self.all());
            if let Some(found) = found {
                return found;
            }
            changed.await;
        }
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<String, ByteStream>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::{StreamExt as _, stream};

    use super::Uploads;

    #[tokio::test]
    async fn who_brings_a_context_waits_until_it_has_been_read() {
        let uploads = Uploads::default();
        let context = stream::iter([Ok(Bytes::from_static(b"a"))]).boxed();
        let bringing = tokio::spawn({
            let uploads = uploads.clone();
            async move { uploads.bring("b", context).await }
        });
        let taken = uploads.take("b").await.expect("it comes");
        assert!(!bringing.is_finished());
        let read: Vec<_> = taken.collect().await;
        assert_eq!(read.len(), 1);
        bringing.await.expect("it does not panic").expect("it was read");
    }
}
