//! Carries what comes to published ports to the containers: connections and datagrams.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::net::{Shutdown, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::hub::Hub;
use super::ports::{Listener, Protocol};

/// How long a container may take to accept.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a client of UDP is remembered that says nothing and hears nothing.
const FLOW: Duration = Duration::from_secs(90);
/// How many clients of a UDP port are remembered at once.
const FLOWS: usize = 4096;
/// How much is read at once.
const CHUNK: usize = 256 * 1024;
/// The largest datagram.
const DATAGRAM: usize = 65536;

thread_local! {
    /// What is being carried on this thread: connections that say nothing hold no memory.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// The proxies of a container. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Proxies {
    tasks: TaskTracker,
    end: CancellationToken,
    _guard: DropGuard,
}

impl Proxies {
    /// Serves listeners with what is behind `container`'s address.
    pub(super) fn start(hub: &Arc<Hub>, listeners: Vec<Listener>, container: std::net::IpAddr) -> io::Result<Self> {
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        let proxies = Self { tasks: tasks.clone(), end: end.clone(), _guard: end.clone().drop_guard() };
        for listener in listeners {
            let way = Way {
                hub: Arc::clone(hub),
                to: SocketAddr::new(container, listener.port),
                tasks: tasks.clone(),
                end: end.clone(),
            };
            let own = end.clone();
            match listener.protocol {
                Protocol::Tcp => {
                    let socket = TcpListener::from_std(std::net::TcpListener::from(listener.socket))?;
                    tasks.spawn(async move { own.run_until_cancelled(serve_connections(socket, way)).await });
                }
                Protocol::Udp => {
                    let socket = UdpSocket::from_std(std::net::UdpSocket::from(listener.socket))?;
                    tasks.spawn(async move { own.run_until_cancelled(serve_datagrams(Arc::new(socket), way)).await });
                }
            }
        }
        Ok(proxies)
    }

    /// Ends them; their ports are free afterwards.
    pub(super) async fn stop(self) {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// How a proxy gets to its container.
#[derive(Debug, Clone)]
struct Way {
    hub: Arc<Hub>,
    to: SocketAddr,
    tasks: TaskTracker,
    end: CancellationToken,
}

async fn serve_connections(listener: TcpListener, way: Way) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let own = way.clone();
                way.tasks.spawn(async move { own.end.run_until_cancelled(carry(&client, &own)).await });
            }
            Err(error) => {
                // Out of descriptors, most likely: others are being closed.
                tracing::warn!(to = %way.to, %error, "a published port cannot take a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Carries a connection both ways until both are over. A failure of one side becomes a reset of the other.
async fn carry(client: &TcpStream, way: &Way) {
    let connected = match way.hub.run(TcpSocket::new_v4).await {
        Ok(socket) => {
            timeout(CONNECT, socket.connect(way.to)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
        Err(error) => Err(error),
    };
    let Ok(server) = connected else { return reset(client) };
    for stream in [client, &server] {
        let _ = stream.set_nodelay(true);
        let _ = sockopt::set_socket_keepalive(stream, true);
    }
    if tokio::try_join!(pump(client, &server), pump(&server, client)).is_err() {
        reset(client);
        reset(&server);
    }
}

/// Makes the end of a connection a reset.
fn reset(stream: &TcpStream) {
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// Carries one way until its end, which it passes on. What the receiver cannot take yet waits, and the sender with it.
async fn pump(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    loop {
        from.readable().await?;
        let (over, left) = SCRATCH.with_borrow_mut(|scratch| hand_over(from, to, scratch))?;
        if over {
            return match rustix::net::shutdown(to, Shutdown::Write) {
                // The other way has ended it all.
                Err(rustix::io::Errno::NOTCONN) => Ok(()),
                outcome => Ok(outcome?),
            };
        }
        let mut rest = left.as_slice();
        while !rest.is_empty() {
            to.writable().await?;
            match to.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        // Two sides that are always ready do not keep the thread to themselves.
        tokio::task::coop::consume_budget().await;
    }
}

/// Reads once and writes once. Whether the sender has ended, and what the receiver has not taken.
fn hand_over(from: &TcpStream, to: &TcpStream, scratch: &mut [u8]) -> io::Result<(bool, Vec<u8>)> {
    let length = match from.try_read(scratch) {
        Ok(0) => return Ok((true, Vec::new())),
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((false, Vec::new())),
        Err(error) => return Err(error),
    };
    let written = match to.try_write(&scratch[..length]) {
        Ok(written) => written,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    Ok((false, scratch[written..length].to_vec()))
}

/// A client of a UDP port: its socket lives for as long as the task that carries answers.
struct Flow {
    socket: Weak<UdpSocket>,
    sent: Arc<AtomicUsize>,
}

async fn serve_datagrams(listener: Arc<UdpSocket>, way: Way) {
    let mut flows: HashMap<SocketAddr, Flow> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let Ok((length, client)) = listener.recv_from(&mut buffer).await else {
            // An answer that could not be delivered is told here; the next datagram is as good as ever.
            tokio::task::yield_now().await;
            continue;
        };
        let known = flows.get(&client).and_then(|flow| Some((flow.socket.upgrade()?, Arc::clone(&flow.sent))));
        let found = match known {
            Some(known) => Some(known),
            None => new_flow(&mut flows, client, &listener, &way).await,
        };
        let Some((socket, sent)) = found else { continue };
        sent.fetch_add(1, Ordering::Relaxed);
        // A container that does not listen yet refuses, which the next datagram may find otherwise.
        let _ = socket.send(&buffer[..length]).await;
    }
}

/// Remembers a client, and carries to it what the container says. `None` when there are too many, or no socket is to be had.
async fn new_flow(
    flows: &mut HashMap<SocketAddr, Flow>,
    client: SocketAddr,
    listener: &Arc<UdpSocket>,
    way: &Way,
) -> Option<(Arc<UdpSocket>, Arc<AtomicUsize>)> {
    if flows.len() >= FLOWS {
        flows.retain(|_, flow| flow.socket.strong_count() > 0);
    }
    if flows.len() >= FLOWS {
        return None;
    }
    let socket = Arc::new(flow_socket(way).await.ok()?);
    let sent = Arc::new(AtomicUsize::new(0));
    flows.insert(client, Flow { socket: Arc::downgrade(&socket), sent: Arc::clone(&sent) });
    let answers = carry_answers(Arc::clone(&socket), Arc::clone(listener), client, Arc::clone(&sent));
    let end = way.end.clone();
    way.tasks.spawn(async move { end.run_until_cancelled(answers).await });
    Some((socket, sent))
}

async fn flow_socket(way: &Way) -> io::Result<UdpSocket> {
    let to = way.to;
    let socket = way.hub.run(move || {
        let socket = std::net::UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    UdpSocket::from_std(socket.await?)
}

/// Carries a container's answers to a client, until neither has said anything for a while.
async fn carry_answers(socket: Arc<UdpSocket>, listener: Arc<UdpSocket>, client: SocketAddr, sent: Arc<AtomicUsize>) {
    let mut buffer = Vec::new();
    loop {
        let before = sent.load(Ordering::Relaxed);
        match timeout(FLOW, socket.readable()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) if sent.load(Ordering::Relaxed) == before => return,
            Err(_) => continue,
        }
        buffer.resize(DATAGRAM, 0);
        match socket.try_recv(&mut buffer) {
            Ok(length) => {
                let _ = listener.send_to(&buffer[..length], client).await;
            }
            // Nothing there after all, or word that nobody listens.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
