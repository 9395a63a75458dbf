//! Listens at doors, and carries what comes there to the containers behind them: connections and datagrams.

pub(super) mod behind;
mod connection;
mod datagrams;
pub(super) mod http;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::Inner;
use super::hub::Hub;
use super::ports::Protocol;
use behind::{Choice, Door};

/// How many connections to one door may wait at once for somebody to be there.
const HELD: usize = 1024;

/// A door that is open. It closes when this is dropped.
#[derive(Debug)]
pub(super) struct Open {
    tasks: TaskTracker,
    end: DropGuard,
}

impl Open {
    /// Serves a socket that listens.
    pub(super) fn serve(networks: Weak<Inner>, hub: &Arc<Hub>, door: Door, socket: OwnedFd) -> io::Result<Self> {
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        let (hub, token) = (Arc::clone(hub), end.clone());
        let access = Access { networks, hub, door, tasks: tasks.clone(), end: end.clone(), held: Arc::default() };
        match door.protocol {
            Protocol::Tcp => {
                let socket = TcpListener::from_std(std::net::TcpListener::from(socket))?;
                tasks.spawn(async move { token.run_until_cancelled(connection::serve(socket, access)).await });
            }
            Protocol::Udp => {
                let socket = UdpSocket::from_std(std::net::UdpSocket::from(socket))?;
                tasks.spawn(async move { token.run_until_cancelled(datagrams::serve(Arc::new(socket), access)).await });
            }
        }
        Ok(Self { tasks, end: end.drop_guard() })
    }

    /// Closes it; the port is free afterwards.
    pub(super) async fn close(self) {
        drop(self.end);
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What those who serve a door work with.
#[derive(Debug, Clone)]
struct Access {
    networks: Weak<Inner>,
    hub: Arc<Hub>,
    door: Door,
    /// Those who have its socket.
    tasks: TaskTracker,
    end: CancellationToken,
    /// How many connections wait.
    held: Arc<AtomicUsize>,
}

/// Who something that comes now goes to.
enum Turn {
    To(Lease),
    /// Nobody yet; to be asked again after the next change, or then.
    Wait(Instant),
    Nobody,
}

/// The use of a container by one connection, or one client of a UDP port.
#[derive(Debug)]
pub(super) struct Lease {
    to: SocketAddr,
    /// It has been seen to listen there.
    listened: bool,
    /// Cancelled when the connection should be another's as soon as that can be.
    let_go: CancellationToken,
    /// Cancelled when the container is gone.
    gone: CancellationToken,
    busy: Mark,
}

/// A container as those know it who carry something to it.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) gone: CancellationToken,
    pub(super) busy: Arc<Busy>,
}

/// How many exchanges are under way.
#[derive(Debug, Default)]
pub(super) struct Busy {
    count: AtomicUsize,
    changed: Notify,
}

impl Busy {
    /// Returns when none is, or the patience is at its end.
    pub(super) async fn quiet(&self, patience: Duration) {
        let quiet = async {
            loop {
                let changed = self.changed.notified();
                if self.count.load(Ordering::SeqCst) == 0 {
                    return;
                }
                changed.await;
            }
        };
        // Whoever takes longer has had its time.
        let _ = tokio::time::timeout(patience, quiet).await;
    }
}

/// That one exchange is under way, or not just now.
#[derive(Debug)]
struct Mark {
    busy: Arc<Busy>,
    set: bool,
}

impl Mark {
    fn set(&mut self, set: bool) {
        if std::mem::replace(&mut self.set, set) == set {
            return;
        }
        if set {
            self.busy.count.fetch_add(1, Ordering::SeqCst);
        } else if self.busy.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.busy.changed.notify_waiters();
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.set(false);
    }
}

impl Access {
    /// Who has the turn now. An exchange with it is taken to be under way until the connection says otherwise.
    fn turn(&self) -> Turn {
        let Some(networks) = self.networks.upgrade() else { return Turn::Nobody };
        let mut state = networks.state();
        let (id, to) = match state.front.choose(self.door, Instant::now()) {
            Choice::To(id, to) => (id, to),
            Choice::Wait(until) => return Turn::Wait(until),
            Choice::Nobody => return Turn::Nobody,
        };
        let listened = state.front.has_listened(&id, self.door.protocol, to.port());
        let let_go = state.let_go.entry((self.door, id.clone())).or_default().clone();
        let carried = state.carried.entry(id).or_default();
        let mut busy = Mark { busy: Arc::clone(&carried.busy), set: false };
        busy.set(true);
        Turn::To(Lease { to, listened, let_go, gone: carried.gone.clone(), busy })
    }

    /// A place among those that wait; `None` when there are too many.
    fn wait(&self) -> Option<Waiting> {
        let waiting = Waiting(Arc::clone(&self.held));
        (self.held.fetch_add(1, Ordering::Relaxed) < HELD).then_some(waiting)
    }
}

/// One connection that waits.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
