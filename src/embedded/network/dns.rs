//! The name server of a network, on its gateway's address; what it does not know it asks of other name servers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Inner;
use super::hub::Hub;
use super::names::{Verdict, consider, failure};

/// How many queries of a network may be under way to other name servers, and how many connections may be open.
const QUERIES: usize = 512;
const CONNECTIONS: usize = 128;
/// How long another name server may take, how many are asked in turn, and how long a connection may say nothing.
const PATIENCE: Duration = Duration::from_secs(3);
const SERVERS: usize = 3;
const IDLE: Duration = Duration::from_secs(10);
/// Where the machine's name servers are written.
const RESOLVERS: &str = "/etc/resolv.conf";

/// Starts one; it ends when the guard is dropped or the engine's networks are.
pub(super) async fn start(hub: &Arc<Hub>, networks: Weak<Inner>, address: IpAddr) -> io::Result<DropGuard> {
    let at = SocketAddr::new(address, 53);
    let (datagrams, connections) = hub
        .run(move || {
            let datagrams = std::net::UdpSocket::bind(at)?;
            datagrams.set_nonblocking(true)?;
            let connections = std::net::TcpListener::bind(at)?;
            connections.set_nonblocking(true)?;
            Ok((datagrams, connections))
        })
        .await?;
    let datagrams = Arc::new(UdpSocket::from_std(datagrams)?);
    let connections = TcpListener::from_std(connections)?;
    let end = CancellationToken::new();
    let (token, own) = (end.clone(), networks.clone());
    tokio::spawn(async move { token.run_until_cancelled(serve_datagrams(own, datagrams, token.clone())).await });
    let token = end.clone();
    tokio::spawn(
        async move { token.run_until_cancelled(serve_connections(networks, connections, token.clone())).await },
    );
    Ok(end.drop_guard())
}

async fn serve_datagrams(networks: Weak<Inner>, socket: Arc<UdpSocket>, end: CancellationToken) {
    let room = Arc::new(Semaphore::new(QUERIES));
    let mut buffer = vec![0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            // An answer that could not be delivered is told here; the next packet is as good as ever.
            tokio::task::yield_now().await;
            continue;
        };
        let query = &buffer[..length];
        match verdict(&networks, query, from.ip(), false) {
            Verdict::Answer(answer) => {
                let _ = socket.send_to(&answer, from).await;
            }
            Verdict::Forward(servers) => {
                // Past the bound a query is lost, as on any busy network; its sender asks again.
                let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
                let (socket, query, end) = (Arc::clone(&socket), query.to_vec(), end.clone());
                tokio::spawn(async move {
                    let answered = end.run_until_cancelled(forward(&query, &servers, false)).await;
                    if let Some(Some(answer)) = answered {
                        let _ = socket.send_to(&answer, from).await;
                    }
                    drop(permit);
                });
            }
            Verdict::Ignore => {}
        }
    }
}

async fn serve_connections(networks: Weak<Inner>, listener: TcpListener, end: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let (networks, end) = (networks.clone(), end.clone());
                tokio::spawn(async move {
                    let _ = end.run_until_cancelled(serve_connection(&networks, stream, from.ip())).await;
                    drop(permit);
                });
            }
            // Out of descriptors, most likely; others are being closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve_connection(networks: &Weak<Inner>, mut stream: TcpStream, from: IpAddr) -> io::Result<()> {
    loop {
        let query = timeout(IDLE, read_framed(&mut stream)).await??;
        let answer = match verdict(networks, &query, from, true) {
            Verdict::Answer(answer) => Some(answer),
            Verdict::Forward(servers) => forward(&query, &servers, true).await,
            Verdict::Ignore => None,
        };
        let Some(answer) = answer else { return Ok(()) };
        timeout(IDLE, write_framed(&mut stream, &answer)).await??;
    }
}

fn verdict(networks: &Weak<Inner>, query: &[u8], from: IpAddr, whole: bool) -> Verdict {
    let Some(networks) = networks.upgrade() else { return Verdict::Ignore };
    let turn = usize::from(random());
    consider(&networks.state(), query, from, whole, turn)
}

/// Asks other name servers in turn, from the machine's own network. The answer says so when none answers.
async fn forward(query: &[u8], servers: &[IpAddr], whole: bool) -> Option<Vec<u8>> {
    let servers = if servers.is_empty() { resolvers() } else { servers.to_vec() };
    for server in servers.into_iter().take(SERVERS) {
        let asked = timeout(PATIENCE, ask(query, SocketAddr::new(server, 53), whole)).await;
        if let Ok(Ok(answer)) = asked {
            return Some(answer);
        }
    }
    failure(query)
}

async fn ask(query: &[u8], server: SocketAddr, whole: bool) -> io::Result<Vec<u8>> {
    let mut sent = query.to_vec();
    // A number of our own: an asker's may be guessed by others inside.
    let number = random().to_be_bytes();
    sent.get_mut(..2).ok_or(io::ErrorKind::InvalidData)?.copy_from_slice(&number);
    let mut answer = if whole {
        let mut stream = TcpStream::connect(server).await?;
        write_framed(&mut stream, &sent).await?;
        read_framed(&mut stream).await?
    } else {
        ask_datagram(&sent, server).await?
    };
    if !answers(&answer, &sent) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    answer[..2].copy_from_slice(&query[..2]);
    Ok(answer)
}

async fn ask_datagram(sent: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(sent).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if answers(&buffer[..length], sent) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

/// Whether a packet is a reply with the number of the query.
fn answers(packet: &[u8], query: &[u8]) -> bool {
    packet.len() >= 12 && packet[..2] == query[..2] && packet[2] & 0x80 != 0
}

async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}

async fn write_framed(stream: &mut TcpStream, packet: &[u8]) -> io::Result<()> {
    let length = u16::try_from(packet.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let framed = [&length.to_be_bytes()[..], packet].concat();
    stream.write_all(&framed).await
}

/// The machine's name servers, as they are written now: a laptop that changes networks writes others.
fn resolvers() -> Vec<IpAddr> {
    let text = std::fs::read_to_string(RESOLVERS).unwrap_or_default();
    let found = read_resolvers(&text);
    if found.is_empty() { vec![Ipv4Addr::LOCALHOST.into()] } else { found }
}

fn read_resolvers(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| words.next()?.parse().ok()).flatten()
    });
    lines.collect()
}

fn random() -> u16 {
    let mut bytes = [0; 2];
    let _ = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    u16::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::{answers, read_resolvers};

    #[test]
    fn the_machines_name_servers_are_read() {
        let text = "# here\nsearch a b\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver ::1 # x\n";
        let found: Vec<String> = read_resolvers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.1", "::1"]);
    }

    #[test]
    fn only_a_reply_with_the_querys_number_answers_it() {
        let query = [1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let mut reply = query;
        assert!(!answers(&reply, &query));
        reply[2] = 0x81;
        assert!(answers(&reply, &query));
        reply[0] = 9;
        assert!(!answers(&reply, &query));
    }
}
