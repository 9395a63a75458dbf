//! Published ports: which addresses of the machine are listened on, and who is in the way when one is taken.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use bollard_stubs::models::{PortBinding, PortMap};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use serde::{Deserialize, Serialize};

use super::super::error::Error;
use super::holder;
use super::proxy::behind::{Door, Front, Kin, Standing};

/// How many connections may wait to be taken.
const BACKLOG: i32 = 1024;
/// How often another free port is tried when the one that was found is taken in the other family.
const TRIES: usize = 16;
/// How many ports of a range are compared with those of others.
const MOST_OF_RANGE: u16 = 1024;

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A port of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Port {
    /// From 1 on.
    pub number: u16,
    /// What it speaks.
    pub protocol: Protocol,
}

impl Port {
    /// Of `80/tcp`, `53/udp` or `80`; `None` for what is no port that connections or datagrams come to.
    #[must_use]
    pub fn read(key: &str) -> Option<Self> {
        let (number, protocol) = container_port(key).ok()?;
        Some(Self { number, protocol })
    }
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A door for a container.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) door: Door,
    /// To which port of the container it leads.
    pub(super) port: u16,
    /// What listens there, not yet served; `None` where others of its kind have the door already.
    pub(super) socket: Option<OwnedFd>,
}

/// Listens on everything that a newcomer asks for, or on nothing; with the ports that were found.
pub(super) fn listen(ports: &PortMap, front: &Front, newcomer: &Kin) -> Result<(Vec<Listener>, PortMap), Error> {
    let mut listeners = Vec::new();
    let mut found = PortMap::new();
    let mut keys: Vec<&String> = ports.keys().collect();
    keys.sort();
    // Those who ask for a certain port come before those who take any.
    let any =
        |key: &String| ports[key].iter().flatten().any(|each| host_range(each).is_ok_and(|range| range.is_none()));
    keys.sort_by_key(|key| any(key));
    for key in keys {
        let (port, protocol) = container_port(key)?;
        let mut bindings = Vec::new();
        for asked in ports[key].iter().flatten() {
            for (address, socket) in open(protocol, asked, front, newcomer)? {
                bindings.push(PortBinding {
                    host_ip: Some(address.ip().to_string()),
                    host_port: Some(address.port().to_string()),
                });
                listeners.push(Listener { door: Door { protocol, address }, port, socket });
            }
        }
        found.insert(key.clone(), (!bindings.is_empty()).then_some(bindings));
    }
    Ok((listeners, found))
}

/// `80/tcp`, `53/udp`, `80`.
fn container_port(key: &str) -> Result<(u16, Protocol), Error> {
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    let port = port.parse().ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| Error::Invalid(format!("invalid port specification: {key:?}")))?;
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" | "" => Ok((port, Protocol::Tcp)),
        "udp" => Ok((port, Protocol::Udp)),
        other => Err(Error::Unsupported(format!(
            "the port {key} cannot be published: the embedded engine publishes tcp and udp, not {other}"
        ))),
    }
}

/// The ports of the machine that will do; `None` for any.
fn host_range(binding: &PortBinding) -> Result<Option<(u16, u16)>, Error> {
    let text = binding.host_port.as_deref().unwrap_or_default();
    let invalid = || Error::Invalid(format!("invalid port specification: {text:?}"));
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u16>().map_err(|_| invalid())?, last.parse::<u16>().map_err(|_| invalid())?);
    if first == 0 || last < first { Err(invalid()) } else { Ok(Some((first, last))) }
}

/// The addresses of the machine; without one, all of both families.
fn host_addresses(binding: &PortBinding) -> Result<Vec<IpAddr>, Error> {
    match binding.host_ip.as_deref().unwrap_or_default() {
        "" => Ok(vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]),
        text => {
            let bare = text.trim_start_matches('[').trim_end_matches(']');
            let address = bare.parse().map_err(|_| Error::Invalid(format!("invalid IP address: {text}")));
            Ok(vec![address?])
        }
    }
}

/// The doors that are asked for one by one: a certain port at each of its addresses.
pub(super) fn certain(ports: &PortMap) -> Vec<Door> {
    let mut doors = Vec::new();
    for (key, bindings) in ports {
        let Some(port) = Port::read(key) else { continue };
        for binding in bindings.iter().flatten() {
            let (Ok(Some((first, last))), Ok(addresses)) = (host_range(binding), host_addresses(binding)) else {
                continue;
            };
            let numbers = first..=last.min(first.saturating_add(MOST_OF_RANGE));
            let at = |number| addresses.iter().map(move |address| SocketAddr::new(*address, number));
            doors.extend(numbers.flat_map(at).map(|address| Door { protocol: port.protocol, address }));
        }
    }
    doors
}

/// An address, and what listens there now.
type Opened = (SocketAddr, Option<OwnedFd>);

fn open(protocol: Protocol, asked: &PortBinding, front: &Front, newcomer: &Kin) -> Result<Vec<Opened>, Error> {
    let addresses = host_addresses(asked)?;
    let range = host_range(asked)?;
    let candidates: Vec<u16> = match range {
        Some((first, last)) => (first..=last).collect(),
        None => vec![0; TRIES],
    };
    let single = candidates.len() == 1;
    let mut refused = None;
    for port in candidates {
        let at = |address: SocketAddr| match front.standing(Door { protocol, address }, newcomer, single) {
            Standing::Shared => Ok((address, None)),
            Standing::Free => bind(protocol, address).map(|(address, socket)| (address, Some(socket))),
            Standing::Held | Standing::Taken(_) => Err(io::ErrorKind::AddrInUse.into()),
        };
        match open_all(&addresses, port, at) {
            Ok(opened) => return Ok(opened),
            Err((address, error)) => {
                let taken = error.kind() == io::ErrorKind::AddrInUse;
                refused.get_or_insert_with(|| in_the_way(Door { protocol, address }, &error, front));
                if !taken {
                    break;
                }
            }
        }
    }
    Err(Error::Failed(refused.unwrap_or_default()))
}

/// Opens the same port on all addresses.
fn open_all(
    addresses: &[IpAddr],
    port: u16,
    open: impl Fn(SocketAddr) -> io::Result<Opened>,
) -> Result<Vec<Opened>, (SocketAddr, io::Error)> {
    let mut opened: Vec<Opened> = Vec::new();
    for address in addresses {
        let at = SocketAddr::new(*address, opened.first().map_or(port, |(first, _)| first.port()));
        match open(at) {
            Ok(one) => opened.push(one),
            // A machine without IPv6 has all of IPv4.
            Err(error) if addresses.len() > 1 && at.is_ipv6() && no_family(&error) => {}
            Err(error) => return Err((at, error)),
        }
    }
    Ok(opened)
}

fn no_family(error: &io::Error) -> bool {
    const UNSUPPORTED: i32 = 97;
    error.raw_os_error() == Some(UNSUPPORTED) || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn bind(protocol: Protocol, at: SocketAddr) -> io::Result<(SocketAddr, OwnedFd)> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Protocol::Tcp {
        // Connections of the last container that wait for their end do not hold the port.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &at)?;
    if protocol == Protocol::Tcp {
        rustix::net::listen(&socket, BACKLOG)?;
    }
    let bound = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok((bound, socket))
}

/// Says why a port is not to be had, in the words that clients of Docker look for.
fn in_the_way(door: Door, error: &io::Error, front: &Front) -> String {
    let Door { protocol, address: at } = door;
    let family = if at.is_ipv4() { 4 } else { 6 };
    let listen = format!("listen {}{family} {at}: bind", protocol.name());
    if error.kind() != io::ErrorKind::AddrInUse {
        return format!("failed to publish a port: {listen}: {error}");
    }
    if let Some(other) = front.in_the_way(door) {
        return format!("Bind for {at} failed: port is already allocated (by the container {other})");
    }
    match holder::process(protocol, at.port()) {
        Some(process) => format!("failed to publish a port: {listen}: address already in use (by {process})"),
        None => format!("failed to publish a port: {listen}: address already in use"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard_stubs::models::PortBinding;

    use std::time::Instant;

    use super::super::super::error::Error;
    use super::super::proxy::behind::{Behind, Front, Health, Kin};
    use super::{Listener, PortMap, Protocol, certain, container_port, host_range};

    fn binding(address: &str, port: &str) -> PortBinding {
        PortBinding { host_ip: Some(address.into()), host_port: Some(port.into()) }
    }

    fn listen(ports: &PortMap, front: &Front) -> Result<(Vec<Listener>, PortMap), Error> {
        super::listen(ports, front, &Kin::default())
    }

    #[test]
    fn ports_are_read() {
        assert_eq!(container_port("80/tcp"), Ok((80, Protocol::Tcp)));
        assert_eq!(container_port("53/udp"), Ok((53, Protocol::Udp)));
        assert!(matches!(container_port("80/sctp"), Err(Error::Unsupported(_))));
        assert!(matches!(container_port("0/tcp"), Err(Error::Invalid(_))));
        assert_eq!(host_range(&binding("", "")), Ok(None));
        assert_eq!(host_range(&binding("", "80")), Ok(Some((80, 80))));
        assert_eq!(host_range(&binding("", "80-82")), Ok(Some((80, 82))));
        assert!(host_range(&binding("", "82-80")).is_err());
        assert!(host_range(&binding("", "99999")).is_err());
    }

    #[test]
    fn a_taken_port_is_said_with_who_has_it() {
        let asked = HashMap::from([("80/tcp".to_owned(), Some(vec![binding("127.0.0.1", "")]))]);
        let (listeners, found) = listen(&asked, &Front::default()).expect("a free port");
        let port = found["80/tcp"].as_ref().and_then(|all| all[0].host_port.clone()).expect("a port");
        let again = HashMap::from([("80/tcp".to_owned(), Some(vec![binding("127.0.0.1", &port)]))]);
        let Err(Error::Failed(text)) = listen(&again, &Front::default()) else { panic!("the port is taken") };
        assert!(text.contains(&format!("listen tcp4 127.0.0.1:{port}: bind: address already in use")), "{text}");
        assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
        let mut front = Front::default();
        let behind = Behind {
            kin: Kin { id: "1".into(), ..Kin::default() },
            name: "web".into(),
            address: None,
            health: Health::Unchecked,
            has_ports: true,
        };
        front.enter(behind, &[(listeners[0].door, 80)], Instant::now());
        let Err(Error::Failed(text)) = listen(&again, &front) else { panic!("the port is taken") };
        let words = format!("Bind for 127.0.0.1:{port} failed: port is already allocated (by the container web)");
        assert_eq!(text, words);
    }

    #[test]
    fn a_port_of_a_range_that_is_taken_gives_way_to_the_next() {
        let asked = |port: &str| HashMap::from([("80/udp".to_owned(), Some(vec![binding("127.0.0.1", port)]))]);
        let (first, _) = listen(&asked("42310-42319"), &Front::default()).expect("a free port");
        let (second, _) = listen(&asked("42310-42319"), &Front::default()).expect("another");
        assert_ne!(first[0].door.address.port(), second[0].door.address.port());
    }

    #[test]
    fn without_an_address_both_families_listen_on_the_same_port() {
        let asked = HashMap::from([("80/tcp".to_owned(), Some(vec![PortBinding::default()]))]);
        let (listeners, found) = listen(&asked, &Front::default()).expect("a free port");
        assert!(listeners.iter().all(|each| each.door.address.port() == listeners[0].door.address.port()));
        assert_eq!(found["80/tcp"].as_ref().map(Vec::len), Some(listeners.len()));
    }

    #[test]
    fn only_certain_ports_can_be_somebody_elses_too() {
        let ports = HashMap::from([
            ("80/tcp".to_owned(), Some(vec![binding("127.0.0.1", "8080-8081"), binding("127.0.0.1", "")])),
            ("53/udp".to_owned(), Some(vec![binding("::1", "53")])),
            ("99/tcp".to_owned(), None),
        ]);
        let mut doors: Vec<String> =
            certain(&ports).iter().map(|door| format!("{} {}", door.protocol.name(), door.address)).collect();
        doors.sort();
        assert_eq!(doors, ["tcp 127.0.0.1:8080", "tcp 127.0.0.1:8081", "udp [::1]:53"]);
    }
}
