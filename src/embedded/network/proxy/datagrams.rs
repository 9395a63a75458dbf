//! Datagrams and their answers, client by client.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Access, Turn};

/// How long a client is remembered that says nothing and hears nothing.
const FLOW: Duration = Duration::from_secs(90);
/// How many clients of a port are remembered at once.
const FLOWS: usize = 4096;
/// The largest datagram.
const DATAGRAM: usize = 65536;

/// A client: its socket lives for as long as the task that carries answers.
struct Flow {
    socket: Weak<UdpSocket>,
    sent: Arc<AtomicUsize>,
    /// Cancelled when its next datagram goes to another container.
    let_go: CancellationToken,
}

pub(super) async fn serve(listener: Arc<UdpSocket>, access: Access) {
    let mut flows: HashMap<SocketAddr, Flow> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let Ok((length, client)) = listener.recv_from(&mut buffer).await else {
            // An answer that could not be delivered is told here; the next datagram is as good as ever.
            tokio::task::yield_now().await;
            continue;
        };
        let known = flows.get(&client).filter(|flow| !flow.let_go.is_cancelled());
        let known = known.and_then(|flow| Some((flow.socket.upgrade()?, Arc::clone(&flow.sent))));
        let found = match known {
            Some(known) => Some(known),
            None => new_flow(&mut flows, client, &listener, &access).await,
        };
        let Some((socket, sent)) = found else { continue };
        sent.fetch_add(1, Ordering::Relaxed);
        // A container that does not listen yet refuses, which the next datagram may find otherwise.
        let _ = socket.send(&buffer[..length]).await;
    }
}

/// Remembers a client, and carries to it what the container says. `None` when there are too many, nobody is there, or no
/// socket is to be had.
async fn new_flow(
    flows: &mut HashMap<SocketAddr, Flow>,
    client: SocketAddr,
    listener: &Arc<UdpSocket>,
    access: &Access,
) -> Option<(Arc<UdpSocket>, Arc<AtomicUsize>)> {
    if flows.len() >= FLOWS {
        flows.retain(|_, flow| flow.socket.strong_count() > 0);
    }
    if flows.len() >= FLOWS {
        return None;
    }
    let Turn::To(mut lease) = access.turn() else { return None };
    lease.busy.set(false);
    let to = lease.to;
    let socket = access.hub.run(move || socket(to)).await.and_then(UdpSocket::from_std);
    let (socket, sent) = (Arc::new(socket.ok()?), Arc::new(AtomicUsize::new(0)));
    let flow = Flow { socket: Arc::downgrade(&socket), sent: Arc::clone(&sent), let_go: lease.let_go.clone() };
    flows.insert(client, flow);
    let answers = carry_answers(Arc::clone(&socket), Arc::clone(listener), client, Arc::clone(&sent));
    let end = access.end.clone();
    access.tasks.spawn(async move {
        tokio::select! {
            () = answers => {}
            () = end.cancelled() => {}
            () = lease.gone.cancelled() => {}
        }
    });
    Some((socket, sent))
}

fn socket(to: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
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
