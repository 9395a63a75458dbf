//! The few things that networks need of the kernel's netlink: links, addresses and routes, several requests a call; and
//! sockets.
//!
//! A socket belongs to the network namespace in which its thread was when it was opened, wherever it is used later. Calls
//! block for as long as the kernel works (the answer is there when a request has been sent).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::prefix::Prefix;

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
/// Of the netlink that tells of sockets.
const GET_SOCKETS: u16 = 20;

const ERROR: u16 = 2;
const DONE: u16 = 3;

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const DUMP: u16 = 0x300;
const REPLACE: u16 = 0x100;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;

const NESTED: u16 = 0x8000;
const UP: u32 = 1;
/// The main routing table, a route that an administrator made, and one whose destination is on the link.
const MAIN_TABLE: u8 = 254;
const STATIC: u8 = 4;
const SCOPE_LINK: u8 = 253;
/// An IPv6 address that is used without asking first whether somebody has it.
const NO_DUPLICATE_DETECTION: u8 = 0x02;

/// One of the kernel's requests, encoded.
#[derive(Debug, Clone)]
pub(super) struct Request {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

/// The end of a veth pair that lies in another namespace than its maker's.
#[derive(Debug)]
pub(super) struct Peer<'a> {
    /// Its name there.
    pub(super) name: &'a str,
    /// Its hardware address; `None` lets the kernel choose.
    pub(super) mac: Option<[u8; 6]>,
    /// The other namespace.
    pub(super) namespace: BorrowedFd<'a>,
}

/// An interface with what it has passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// Its number.
    pub(super) index: u32,
    /// Its name.
    pub(super) name: String,
    /// Received packets and bytes, sent packets and bytes.
    pub(super) counters: [u64; 4],
}

/// A route as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    /// Where to; a length of zero is the way to everywhere else.
    pub(super) to: Prefix,
    /// Through which interface.
    pub(super) interface: Option<u32>,
}

impl Request {
    /// A new bridge, up, with an address of its own that stays when ports come and go.
    pub(super) fn bridge(name: &str, mac: [u8; 6]) -> Self {
        let mut request = Self::link(NEW_LINK, CREATE | EXCLUSIVE, 0, UP);
        request.text(3, name).attribute(1, &mac);
        request.nested(18, |info| info.text(1, "bridge"));
        request
    }

    /// A new veth pair: this end here, in the bridge `master` when there is one. Both are to be switched on.
    pub(super) fn veth(name: &str, master: Option<u32>, peer: &Peer<'_>) -> Self {
        let mut request = Self::link(NEW_LINK, CREATE | EXCLUSIVE, 0, 0);
        request.text(3, name);
        if let Some(master) = master {
            request.attribute(10, &master.to_ne_bytes());
        }
        request.nested(18, |info| {
            info.text(1, "veth");
            info.nested(2, |data| {
                data.nested(1, |end| {
                    end.body.extend(link_header(0, 0));
                    end.text(3, peer.name);
                    if let Some(mac) = peer.mac {
                        end.attribute(1, &mac);
                    }
                    end.attribute(28, &peer.namespace.as_raw_fd().to_ne_bytes())
                })
            })
        });
        request
    }

    /// Switches an interface on.
    pub(super) fn up(index: u32) -> Self {
        Self::link(NEW_LINK, 0, index, UP)
    }

    /// Removes an interface (of a veth pair: both ends).
    pub(super) fn delete_link(name: &str) -> Self {
        let mut request = Self::link(DELETE_LINK, 0, 0, 0);
        request.text(3, name);
        request
    }

    /// Gives an interface an address, with the subnet that is behind it.
    pub(super) fn address(index: u32, address: Prefix) -> Self {
        let bytes = octets(address.address());
        let mut body = vec![family(address.address()), address.length(), NO_DUPLICATE_DETECTION, 0];
        body.extend(index.to_ne_bytes());
        let mut request = Self { kind: NEW_ADDRESS, flags: CREATE | REPLACE, body };
        request.attribute(2, &bytes).attribute(1, &bytes);
        if let (IpAddr::V4(_), IpAddr::V4(last)) = (address.address(), address.last()) {
            request.attribute(4, &last.octets());
        }
        request
    }

    /// A route to a subnet: `via` a neighbour, or straight through an interface.
    pub(super) fn route(to: Prefix, via: Option<IpAddr>, index: Option<u32>) -> Self {
        Self::routing(NEW_ROUTE, CREATE | REPLACE, to, via, index)
    }

    /// Takes one back.
    pub(super) fn delete_route(to: Prefix, via: Option<IpAddr>, index: Option<u32>) -> Self {
        Self::routing(DELETE_ROUTE, 0, to, via, index)
    }

    fn routing(kind: u16, flags: u16, to: Prefix, via: Option<IpAddr>, index: Option<u32>) -> Self {
        let scope = if via.is_some() { 0 } else { SCOPE_LINK };
        let mut body = vec![family(to.address()), to.length(), 0, 0, MAIN_TABLE, STATIC, scope, 1];
        body.extend(0_u32.to_ne_bytes());
        let mut request = Self { kind, flags, body };
        request.attribute(1, &octets(to.address()));
        if let Some(via) = via {
            request.attribute(5, &octets(via));
        }
        if let Some(index) = index {
            request.attribute(4, &index.to_ne_bytes());
        }
        request
    }

    fn link(kind: u16, flags: u16, index: u32, state: u32) -> Self {
        Self { kind, flags, body: link_header(index, state).to_vec() }
    }

    fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.body.extend(short(value.len() + 4).to_ne_bytes());
        self.body.extend(kind.to_ne_bytes());
        self.body.extend(value);
        self.body.resize(aligned(self.body.len()), 0);
        self
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self) -> &mut Self) -> &mut Self {
        let start = self.body.len();
        self.body.extend([0; 4]);
        fill(self);
        let length = short(self.body.len() - start);
        self.body[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.body[start + 2..start + 4].copy_from_slice(&(kind | NESTED).to_ne_bytes());
        self
    }

    fn encode(&self, sequence: u32, flags: u16, to: &mut Vec<u8>) {
        let length = u32::try_from(self.body.len() + 16).expect("a request is small");
        to.extend(length.to_ne_bytes());
        to.extend(self.kind.to_ne_bytes());
        to.extend((self.flags | flags | REQUEST).to_ne_bytes());
        to.extend(sequence.to_ne_bytes());
        to.extend(0_u32.to_ne_bytes());
        to.extend(&self.body);
        to.resize(aligned(to.len()), 0);
    }
}

/// A netlink socket of one namespace.
#[derive(Debug)]
pub(super) struct Socket {
    descriptor: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// One for routes, of the namespace in which the calling thread is.
    pub(super) fn open() -> io::Result<Self> {
        // No protocol is the first one of netlink: routes.
        Self::open_for(None)
    }

    /// One that tells of sockets, of the namespace in which the calling thread is.
    pub(super) fn of_sockets() -> io::Result<Self> {
        Self::open_for(Some(rustix::net::netlink::SOCK_DIAG))
    }

    fn open_for(protocol: Option<rustix::net::Protocol>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let descriptor = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        rustix::net::bind(&descriptor, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { descriptor, sequence: 0 })
    }

    /// Carries out all, in order. The first failure is the answer; those after it have been tried none the less.
    pub(super) fn apply(&mut self, requests: &[Request]) -> io::Result<()> {
        if requests.is_empty() {
            return Ok(());
        }
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        for request in requests {
            self.sequence = self.sequence.wrapping_add(1);
            request.encode(self.sequence, ACKNOWLEDGE, &mut bytes);
        }
        rustix::net::send(&self.descriptor, &bytes, SendFlags::empty())?;
        let mut outcome = Ok(());
        let mut open = requests.len();
        let mut buffer = vec![0; 16 * 1024];
        while open > 0 {
            let (length, _) = rustix::net::recv(&self.descriptor, &mut buffer[..], RecvFlags::empty())?;
            for message in messages(&buffer[..length]) {
                if message.kind != ERROR || message.sequence.wrapping_sub(first) as usize >= requests.len() {
                    continue;
                }
                open -= 1;
                let code = message.body.get(..4).map_or(0, |code| i32::from_ne_bytes(four(code)));
                if code != 0 && outcome.is_ok() {
                    outcome = Err(io::Error::from_raw_os_error(code.saturating_neg()));
                }
            }
        }
        outcome
    }

    /// The one socket that a request describes; `None` when there is none.
    pub(super) fn socket(&mut self, body: Vec<u8>) -> io::Result<Option<Vec<u8>>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        Request { kind: GET_SOCKETS, flags: 0, body }.encode(self.sequence, 0, &mut bytes);
        rustix::net::send(&self.descriptor, &bytes, SendFlags::empty())?;
        let mut buffer = [0; 4096];
        loop {
            let (length, _) = rustix::net::recv(&self.descriptor, &mut buffer[..], RecvFlags::empty())?;
            let mut answers = messages(&buffer[..length]).filter(|message| message.sequence == self.sequence);
            let Some(answer) = answers.next() else { continue };
            if answer.kind != ERROR {
                return Ok(Some(answer.body.to_vec()));
            }
            let code = answer.body.get(..4).map_or(0, |code| i32::from_ne_bytes(four(code)));
            return match io::Error::from_raw_os_error(code.saturating_neg()) {
                error if error.kind() == io::ErrorKind::NotFound => Ok(None),
                error => Err(error),
            };
        }
    }

    /// All sockets that a request describes.
    pub(super) fn sockets(&mut self, body: Vec<u8>) -> io::Result<Vec<Vec<u8>>> {
        self.dump(&Request { kind: GET_SOCKETS, flags: 0, body })
    }

    /// All interfaces.
    pub(super) fn links(&mut self) -> io::Result<Vec<Link>> {
        let request = Request::link(GET_LINK, 0, 0, 0);
        Ok(self.dump(&request)?.iter().filter_map(|body| read_link(body)).collect())
    }

    /// All addresses, with the interfaces that have them.
    pub(super) fn addresses(&mut self) -> io::Result<Vec<(u32, Prefix)>> {
        let request = Request { kind: GET_ADDRESS, flags: 0, body: vec![0; 8] };
        Ok(self.dump(&request)?.iter().filter_map(|body| read_address(body)).collect())
    }

    /// All routes of all tables, save those to the machine's own addresses.
    pub(super) fn routes(&mut self) -> io::Result<Vec<Route>> {
        let request = Request { kind: GET_ROUTE, flags: 0, body: vec![0; 12] };
        Ok(self.dump(&request)?.iter().filter_map(|body| read_route(body)).collect())
    }

    /// Has the kernel take note of links that have just come up, which it else does some time later: until then, what is
    /// sent there is lost. Asking for an interface is what brings it about.
    pub(super) fn settle(&mut self, indexes: &[u32]) -> io::Result<()> {
        for index in indexes {
            self.sequence = self.sequence.wrapping_add(1);
            let mut bytes = Vec::new();
            Request::link(GET_LINK, 0, *index, 0).encode(self.sequence, 0, &mut bytes);
            rustix::net::send(&self.descriptor, &bytes, SendFlags::empty())?;
            let mut buffer = vec![0; 16 * 1024];
            loop {
                let (length, _) = rustix::net::recv(&self.descriptor, &mut buffer[..], RecvFlags::empty())?;
                if messages(&buffer[..length]).any(|message| message.sequence == self.sequence) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The number of an interface.
    pub(super) fn index(&self, name: &str) -> io::Result<u32> {
        Ok(rustix::net::netdevice::name_to_index(&self.descriptor, name)?)
    }

    fn dump(&mut self, request: &Request) -> io::Result<Vec<Vec<u8>>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        request.encode(self.sequence, DUMP, &mut bytes);
        rustix::net::send(&self.descriptor, &bytes, SendFlags::empty())?;
        let mut found = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (length, _) = rustix::net::recv(&self.descriptor, &mut buffer[..], RecvFlags::empty())?;
            for message in messages(&buffer[..length]).filter(|message| message.sequence == self.sequence) {
                match message.kind {
                    DONE => return Ok(found),
                    ERROR => {
                        let code = message.body.get(..4).map_or(0, |code| i32::from_ne_bytes(four(code)));
                        return Err(io::Error::from_raw_os_error(code.saturating_neg()));
                    }
                    _ => found.push(message.body.to_vec()),
                }
            }
        }
    }
}

struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(four(bytes.get(..4)?)) as usize;
        let whole = bytes.get(..length).filter(|whole| whole.len() >= 16)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        let kind = u16::from_ne_bytes([whole[4], whole[5]]);
        Some(Message { kind, sequence: u32::from_ne_bytes(four(&whole[8..12])), body: &whole[16..] })
    })
}

/// Attributes after a fixed header: kind and value.
fn attributes(body: &[u8], header: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut bytes = body.get(header..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes([*bytes.first()?, *bytes.get(1)?]));
        let kind = u16::from_ne_bytes([*bytes.get(2)?, *bytes.get(3)?]) & !NESTED;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn read_link(body: &[u8]) -> Option<Link> {
    let index = u32::from_ne_bytes(four(body.get(4..8)?));
    let mut link = Link { index, name: String::new(), counters: [0; 4] };
    for (kind, value) in attributes(body, 16) {
        match kind {
            3 => link.name = String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned(),
            23 => {
                for (counter, bytes) in link.counters.iter_mut().zip(value.chunks_exact(8)) {
                    *counter = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
                }
                // The kernel's order is packets in, packets out, bytes in, bytes out.
                link.counters.swap(1, 2);
            }
            _ => {}
        }
    }
    Some(link)
}

fn read_address(body: &[u8]) -> Option<(u32, Prefix)> {
    let length = *body.get(1)?;
    let index = u32::from_ne_bytes(four(body.get(4..8)?));
    let mut address = None;
    for (kind, value) in attributes(body, 8) {
        // On a link between two the local address (2) differs from the one that names the subnet (1).
        if kind == 2 || (kind == 1 && address.is_none()) {
            address = read_ip(value);
        }
    }
    Some((index, Prefix::new(address?, length)?))
}

fn read_route(body: &[u8]) -> Option<Route> {
    const LOCAL_TABLE: u8 = 255;
    let (length, table) = (*body.get(1)?, *body.get(4)?);
    if table == LOCAL_TABLE {
        return None;
    }
    let any = match *body.first()? {
        2 => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        10 => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let mut route = Route { to: Prefix::new(any, 0)?, interface: None };
    for (kind, value) in attributes(body, 12) {
        match kind {
            1 => route.to = Prefix::new(read_ip(value)?, length)?,
            4 => route.interface = Some(u32::from_ne_bytes(four(value))),
            _ => {}
        }
    }
    Some(route)
}

fn read_ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}

fn link_header(index: u32, state: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&state.to_ne_bytes());
    header[12..16].copy_from_slice(&state.to_ne_bytes());
    header
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn four(bytes: &[u8]) -> [u8; 4] {
    bytes.try_into().unwrap_or_default()
}

fn short(length: usize) -> u16 {
    u16::try_from(length).expect("an attribute is small")
}

fn aligned(length: usize) -> usize {
    length.div_ceil(4) * 4
}
