//! News that a log has grown: one inotify instance for all who follow, started with the first of them.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe;
use tokio::sync::watch;

use super::super::shared::Shared;

/// Bytes of an event without its name.
const EVENT: usize = 16;
/// `IN_Q_OVERFLOW`.
const OVERFLOW: u32 = 0x4000;

/// All folders that are watched.
#[derive(Debug, Default)]
pub(in super::super) struct Wakers {
    inner: Mutex<Option<Arc<Inner>>>,
}

#[derive(Debug)]
struct Inner {
    /// Not a pipe, but read like one.
    instance: pipe::Receiver,
    watched: Mutex<HashMap<i32, Watched>>,
}

#[derive(Debug)]
struct Watched {
    followers: usize,
    news: watch::Sender<()>,
}

/// A folder that is watched; dropped, it no longer is.
#[derive(Debug)]
pub(super) struct Watch {
    inner: Arc<Inner>,
    descriptor: i32,
    /// Changes with each piece of news.
    pub(super) news: watch::Receiver<()>,
}

impl Wakers {
    /// Watches the files of a folder.
    pub(super) fn watch(&self, shared: &Arc<Shared>, folder: &Path) -> io::Result<Watch> {
        let inner = self.inner(shared)?;
        let mut watched = inner.watched();
        let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        // The same folder has the same descriptor.
        let descriptor = inotify::add_watch(&inner.instance, folder, flags)?;
        let entry = watched.entry(descriptor).or_insert_with(|| Watched { followers: 0, news: watch::Sender::new(()) });
        entry.followers += 1;
        let news = entry.news.subscribe();
        drop(watched);
        Ok(Watch { inner, descriptor, news })
    }

    fn inner(&self, shared: &Arc<Shared>) -> io::Result<Arc<Inner>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = &*inner {
            return Ok(inner.clone());
        }
        let instance = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let instance = pipe::Receiver::from_owned_fd_unchecked(instance)?;
        let made = Arc::new(Inner { instance, watched: Mutex::default() });
        *inner = Some(made.clone());
        let (listening, closing) = (made.clone(), shared.closing.clone());
        shared.tasks.spawn(async move {
            tokio::select! {
                () = closing.cancelled() => {}
                error = listening.listen() => tracing::error!("logs can no longer be followed: {error}"),
            }
        });
        Ok(made)
    }
}

impl Inner {
    fn watched(&self) -> MutexGuard<'_, HashMap<i32, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes news on, for ever.
    async fn listen(&self) -> io::Error {
        let mut buffer = [0; 4096];
        loop {
            if let Err(error) = self.instance.readable().await {
                return error;
            }
            match self.instance.try_read(&mut buffer) {
                Ok(read) => self.tell(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error,
            }
        }
    }

    /// `events`: descriptor, what happened, a cookie and the length of the name that follows, four bytes each.
    fn tell(&self, mut events: &[u8]) {
        let watched = self.watched();
        let number = |events: &[u8], at: usize| {
            let bytes = events.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_ne_bytes)
        };
        while events.len() >= EVENT {
            let descriptor = number(events, 0).cast_signed();
            if number(events, 4) & OVERFLOW != 0 {
                // Some were lost: everyone looks.
                watched.values().for_each(|watched| watched.news.send_modify(|()| {}));
            } else if let Some(watched) = watched.get(&descriptor) {
                watched.news.send_modify(|()| {});
            }
            let length = EVENT + usize::try_from(number(events, 12)).unwrap_or(0);
            events = events.get(length..).unwrap_or_default();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.inner.watched();
        let Some(entry) = watched.get_mut(&self.descriptor) else { return };
        entry.followers -= 1;
        if entry.followers == 0 {
            watched.remove(&self.descriptor);
            // The kernel has done so already when the folder is gone.
            let _ = inotify::remove_watch(&self.inner.instance, self.descriptor);
        }
    }
}
