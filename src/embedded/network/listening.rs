//! Whether anybody listens on a port in a network namespace, asked of the kernel: nothing is connected to, and a question
//! costs microseconds, where to read `/proc/net/tcp` costs milliseconds on a machine with much memory.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::sched::{CloneFlags, setns};

use super::netlink::Socket;
use super::ports::{Port, Protocol};
use super::{blocking, holder, namespace};
use crate::embedded::error::Error;

/// The states of a TCP socket that listens, and of a UDP socket, as bits.
const LISTENING: u32 = 1 << 10;
const UNCONNECTED: u32 = 1 << 7;

/// Looks at the sockets of a process's network namespace.
#[derive(Debug)]
pub struct Listening {
    process: u32,
    /// `None` where the kernel tells of sockets only in `/proc`.
    socket: Option<Socket>,
}

impl Listening {
    /// Of the network namespace that a process is in; the namespace stays known when the process has gone.
    pub async fn of(process: u32) -> Result<Self, Error> {
        let socket = blocking("look at a container's sockets", move || open(process)).await?;
        Ok(Self { process, socket })
    }

    /// Those of these ports where a connection or a datagram to one of the addresses finds somebody. Without such an address
    /// a port is free, or is listened on where the addresses do not lead: on loopback alone, say.
    pub fn heard(&mut self, ports: &BTreeSet<Port>, addresses: &[IpAddr]) -> io::Result<BTreeSet<Port>> {
        let Some(socket) = &mut self.socket else { return Ok(in_tables(self.process, ports)) };
        let mut heard = BTreeSet::new();
        for port in ports {
            for address in addresses {
                if socket.socket(question(*port, *address))?.is_some() {
                    heard.insert(*port);
                    break;
                }
            }
        }
        Ok(heard)
    }
}

/// The addresses at which a process finds what listens beside it, whatever the family.
#[must_use]
pub fn loopback() -> [IpAddr; 2] {
    [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
}

fn open(process: u32) -> io::Result<Option<Socket>> {
    static TOLD: OnceLock<bool> = OnceLock::new();
    let told = *TOLD.get_or_init(|| {
        // The two protocols are told of by a module each, which may be missing; a missing socket looks the same.
        let asked =
            |protocol, states| Socket::of_sockets().and_then(|mut socket| socket.sockets(all(protocol, states)));
        let tcp = asked(Protocol::Tcp, LISTENING).and_then(|_| asked(Protocol::Udp, UNCONNECTED));
        tcp.inspect_err(|error| tracing::info!(%error, "sockets are looked for in /proc")).is_ok()
    });
    if !told {
        return Ok(None);
    }
    within(Path::new("/proc").join(process.to_string()).join("ns/net"), Socket::of_sockets).map(Some)
}

/// Like [`namespace::within`], for a namespace that is a process's.
fn within<T: Send + 'static>(file: PathBuf, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let namespace = std::fs::File::open(file)?;
    namespace::in_thread(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        work()
    })
}

fn in_tables(process: u32, ports: &BTreeSet<Port>) -> BTreeSet<Port> {
    let listens = |port: &&Port| holder::listens(process, port.protocol, port.number);
    ports.iter().filter(listens).copied().collect()
}

/// `struct inet_diag_req_v2` for all sockets in some states.
fn all(protocol: Protocol, states: u32) -> Vec<u8> {
    const ADDRESSES: usize = 48;
    let mut body = vec![2, number(protocol), 0, 0];
    body.extend(states.to_ne_bytes());
    body.resize(body.len() + ADDRESSES, 0);
    body
}

/// The same for the one socket that what comes to an address would find.
fn question(port: Port, address: IpAddr) -> Vec<u8> {
    const ANY_STATE: u32 = u32::MAX;
    const NO_COOKIE: [u8; 8] = [0xff; 8];
    let (family, mut octets) = match address {
        IpAddr::V4(address) => (2, address.octets().to_vec()),
        IpAddr::V6(address) => (10, address.octets().to_vec()),
    };
    octets.resize(16, 0);
    let own = (port.number.to_be_bytes(), octets);
    let nobody = ([0; 2], vec![0; 16]);
    // Of TCP the first place is the socket's own, of UDP the second.
    let [first, second] = match port.protocol {
        Protocol::Tcp => [own, nobody],
        Protocol::Udp => [nobody, own],
    };
    let mut body = vec![family, number(port.protocol), 0, 0];
    body.extend(ANY_STATE.to_ne_bytes());
    body.extend(first.0);
    body.extend(second.0);
    body.extend(first.1);
    body.extend(second.1);
    body.extend([0; 4]);
    body.extend(NO_COOKIE);
    body
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};

    use super::super::ports::{Port, Protocol};
    use super::{Listening, in_tables, loopback};

    #[tokio::test]
    async fn who_listens_is_found_at_the_addresses_that_lead_there() {
        let everywhere = TcpListener::bind("0.0.0.0:0").expect("a free port");
        let inside = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let six = TcpListener::bind("[::1]:0").expect("a free port");
        let datagrams = UdpSocket::bind("0.0.0.0:0").expect("a free port");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
        let tcp = |number| Port { number, protocol: Protocol::Tcp };
        let of = |listener: &TcpListener| tcp(listener.local_addr().expect("an address").port());
        let udp = Port { number: datagrams.local_addr().expect("an address").port(), protocol: Protocol::Udp };
        let ports = BTreeSet::from([of(&everywhere), of(&inside), of(&six), udp, tcp(free.port())]);
        let mut listening = Listening::of(std::process::id()).await.expect("a socket");
        let mut heard = |addresses: &[IpAddr]| listening.heard(&ports, addresses).expect("an answer");
        assert_eq!(heard(&loopback()), BTreeSet::from([of(&everywhere), of(&inside), of(&six), udp]));
        let elsewhere = [Ipv4Addr::new(198, 18, 0, 1).into()];
        assert_eq!(heard(&elsewhere), BTreeSet::from([of(&everywhere), udp]), "loopback is no way in");
        assert_eq!(in_tables(std::process::id(), &ports), heard(&loopback()), "the tables say the same");
    }
}
