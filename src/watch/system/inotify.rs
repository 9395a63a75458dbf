//! inotify, with every watch known by its number, which goes with the folder wherever that is moved. What was renamed is
//! walked anew under its new name, which gives the number its new path; what is read of events in between is told under
//! the old one and is found by that walk. A folder that is in view under several paths, by way of symbolic links or bind
//! mounts, has one number, and its events are told under all of them.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::mem::MaybeUninit;
use std::ops::Bound;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, Event, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::Refusal;
use crate::watch::error::WatchError;
use crate::watch::shared::{Shared, Touch};

/// Reading raises no event, so that neither builds nor hoist itself wake anybody.
const WHAT: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK);
/// Hundreds of events at once.
const BUFFER: usize = 32 * 1024;

/// The paths of watches by their numbers; the thread that reads events looks them up.
type Paths = HashMap<i32, Vec<Arc<Path>>>;

#[derive(Debug)]
pub(in crate::watch) struct System {
    reader: Arc<Reader>,
    end: Arc<OwnedFd>,
    numbers: BTreeMap<Arc<Path>, i32>,
    thread: Option<JoinHandle<()>>,
}

impl System {
    /// Begins to read events.
    pub(in crate::watch) fn start(shared: Arc<Shared>) -> Result<Self, WatchError> {
        let failed = |error: std::io::Error| WatchError::Failed { message: error.to_string() };
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|error| match error {
            Errno::MFILE => WatchError::too_many_watches(),
            error => failed(error.into()),
        })?;
        let end = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let buffer = Mutex::new(vec![MaybeUninit::uninit(); BUFFER]);
        let reader = Arc::new(Reader { events, paths: Mutex::default(), buffer, shared });
        let end = Arc::new(end);
        let (for_thread, until) = (Arc::clone(&reader), Arc::clone(&end));
        let thread = std::thread::Builder::new().name("inotify".to_owned()).spawn(move || for_thread.run(&until));
        Ok(Self { reader, end, numbers: BTreeMap::new(), thread: Some(thread.map_err(failed)?) })
    }

    /// Takes down everything that has happened so far, without waiting for the thread to get round to it.
    pub(in crate::watch) fn catch_up(&self) {
        self.reader.read();
    }

    /// Watches a folder; once more when it is watched, since another one may be in its place. `follow` takes a symbolic
    /// link for what it leads to.
    pub(in crate::watch) fn watch(&mut self, folder: &Path, follow: bool) -> Result<(), Refusal> {
        // Under the lock, so that no event of the new number is read before it has its path.
        let mut paths = lock(&self.reader.paths);
        let what = if follow { WHAT } else { WHAT | WatchFlags::DONT_FOLLOW };
        let number = inotify::add_watch(&self.reader.events, folder, what).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => Refusal::Absent,
            Errno::NOSPC => Refusal::Full,
            error => Refusal::Other(std::io::Error::from(error).to_string()),
        })?;
        let own = paths.entry(number).or_default();
        if self.numbers.get(folder) == Some(&number) && own.iter().any(|path| **path == *folder) {
            return Ok(());
        }
        for before in own.extract_if(.., |before| !is_same(before, folder)) {
            if self.numbers.get(&before) == Some(&number) {
                self.numbers.remove(&before);
            }
        }
        let folder: Arc<Path> = folder.into();
        own.push(Arc::clone(&folder));
        if let Some(other) = self.numbers.insert(Arc::clone(&folder), number).filter(|other| *other != number) {
            // The folder that was here before is elsewhere, and will be watched there, or is gone.
            release(&mut paths, &self.reader.events, other, &folder);
        }
        Ok(())
    }

    /// Watches a folder no longer that is out of view, or gone. One that has another name by now is left alone.
    pub(in crate::watch) fn unwatch(&mut self, folder: &Path) {
        if let Some(number) = self.numbers.remove(folder) {
            release(&mut lock(&self.reader.paths), &self.reader.events, number, folder);
        }
    }

    /// Whether a folder is watched.
    pub(in crate::watch) fn watches(&self, folder: &Path) -> bool {
        let number = self.numbers.get(folder);
        let is_own = |paths: &Vec<Arc<Path>>| paths.iter().any(|path| **path == *folder);
        number.is_some_and(|number| lock(&self.reader.paths).get(number).is_some_and(is_own))
    }

    /// The watched folders at a path or below it.
    pub(in crate::watch) fn watched_at(&self, path: &Path) -> Vec<PathBuf> {
        let from = (Bound::Included(path), Bound::Unbounded);
        let below = self.numbers.range::<Path, _>(from).map(|(folder, _)| folder);
        below.take_while(|folder| folder.starts_with(path)).map(|folder| folder.to_path_buf()).collect()
    }

    /// How many folders are watched.
    pub(in crate::watch) fn count(&self) -> usize {
        self.numbers.len()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        rustix::io::write(&*self.end, &1_u64.to_ne_bytes()).ok();
        if let Some(thread) = self.thread.take() {
            // Its panic would have been reported where it happened.
            drop(thread.join());
        }
    }
}

fn lock(paths: &Mutex<Paths>) -> MutexGuard<'_, Paths> {
    paths.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether two paths lead to one folder.
fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    identity(one).is_some_and(|one| Some(one) == identity(other))
}

/// Takes a path from a number, and with the last one its watch.
fn release(paths: &mut Paths, events: &OwnedFd, number: i32, path: &Path) {
    let Some(own) = paths.get_mut(&number) else { return };
    let before = own.len();
    own.retain(|own| **own != *path);
    if own.is_empty() && before > 0 {
        paths.remove(&number);
        // It fails when the folder is gone, and the watch with it.
        inotify::remove_watch(events, number).ok();
    }
}

/// Reads events as soon as they come, so that the system's queue stays short, and takes down what they are about.
#[derive(Debug)]
struct Reader {
    events: OwnedFd,
    paths: Mutex<Paths>,
    buffer: Mutex<Vec<MaybeUninit<u8>>>,
    shared: Arc<Shared>,
}

impl Reader {
    fn run(&self, end: &OwnedFd) {
        loop {
            let mut ready = [PollFd::new(&self.events, PollFlags::IN), PollFd::new(end, PollFlags::IN)];
            match poll(&mut ready, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            if !ready[1].revents().is_empty() {
                return;
            }
            self.read();
        }
    }

    fn read(&self) {
        // Held until all is taken down: who catches up must not overtake who has just read.
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reader = inotify::Reader::new(&self.events, &mut buffer);
        let mut touched = Vec::new();
        // An error but for an empty queue does not come; if it did, the next round would have it again.
        while let Ok(event) = reader.next() {
            touched.extend(self.touch(&event));
        }
        if !touched.is_empty() {
            self.shared.take(touched);
        }
    }

    /// What an event is about; several paths when its folder has several.
    fn touch(&self, event: &Event<'_>) -> Vec<Touch> {
        let what = event.events();
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            return vec![Touch::Rescan];
        }
        let mut paths = lock(&self.paths);
        if what.contains(ReadFlags::IGNORED) {
            paths.remove(&event.wd());
            return Vec::new();
        }
        let Some(folders) = paths.get(&event.wd()) else { return Vec::new() };
        let Some(name) = event.file_name() else {
            // Only its file system's going away is news of a folder itself: the rest is for the folder above to tell.
            let is_gone = what.contains(ReadFlags::UNMOUNT);
            return folders.iter().filter(|_| is_gone).map(|folder| Touch::Now(folder.to_path_buf())).collect();
        };
        let is_file = !what.contains(ReadFlags::ISDIR);
        let touch = |folder: &Arc<Path>| {
            let path = folder.join(OsStr::from_bytes(name.to_bytes()));
            match what {
                what if what.contains(ReadFlags::MODIFY) => Touch::Written(path),
                what if what.contains(ReadFlags::CREATE) && is_file => Touch::Made(path),
                what if what.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) => Touch::Gone(path),
                _ => Touch::Now(path),
            }
        };
        folders.iter().map(touch).collect()
    }
}
