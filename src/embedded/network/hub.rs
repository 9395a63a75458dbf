//! The hub: a network namespace of the engine's own in which all bridges lie, and the one veth pair (the uplink) that joins
//! it to the machine. It lives by a file, so that an engine that was killed finds it again with all that is in it.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sched::{CloneFlags, setns};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::super::layout::Layout;
use super::namespace;
use super::netlink::{Peer, Request, Socket};
use super::prefix::Prefix;
use super::record::Record;

/// The uplink's end in the hub.
pub(super) const UPLINK: &str = "uplink";
/// Bridges of networks that have a way out, and of those that have none: told apart by the first letters of their names.
pub(super) const OPEN_BRIDGE: &str = "b";
pub(super) const INTERNAL_BRIDGE: &str = "i";
/// How many pieces of work may wait for the hub's thread.
const QUEUE: usize = 4096;

type Work = Box<dyn FnOnce() + Send>;

/// The hub, open.
#[derive(Debug)]
pub(super) struct Hub {
    folder: PathBuf,
    uplink: Uplink,
    inside: Mutex<Socket>,
    machine: Mutex<Socket>,
    work: mpsc::Sender<Work>,
}

/// How the hub and the machine are joined.
#[derive(Debug, Clone)]
pub(super) struct Uplink {
    /// The name of the machine's end, and of all else on the machine that is this engine's.
    pub(super) name: String,
    /// The machine's address on it.
    pub(super) machine: Ipv4Addr,
    /// The hub's.
    pub(super) hub: Ipv4Addr,
    /// The number of the machine's end.
    index: u32,
}

impl Hub {
    /// Finds the hub, when it is to be kept and whole; else makes a new one and removes what is left of an old one. Says
    /// whether it was kept. Blocks.
    pub(super) fn open(layout: &Layout, keep: bool) -> io::Result<(Self, bool)> {
        let folder = layout.namespaces();
        namespace::prepare(&folder)?;
        let name = layout.name();
        let mut machine = Socket::open()?;
        let file = folder.join("hub");
        let kept = if keep { found(&file, &mut machine, &name)? } else { None };
        let was_kept = kept.is_some();
        let uplink = match kept {
            Some(uplink) => uplink,
            None => make(&file, &mut machine, &name)?,
        };
        let inside = namespace::within(&file, Socket::open)?;
        let work = enter(&file)?;
        Ok((Self { folder, uplink, inside: Mutex::new(inside), machine: Mutex::new(machine), work }, was_kept))
    }

    /// The file of the hub's namespace.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join("hub")
    }

    /// The file of a container's namespace.
    pub(super) fn namespace(&self, container: &str) -> PathBuf {
        self.folder.join(container.get(..16).unwrap_or(container))
    }

    /// How it is joined to the machine.
    pub(super) fn uplink(&self) -> &Uplink {
        &self.uplink
    }

    /// Netlink of the hub.
    pub(super) fn inside(&self) -> MutexGuard<'_, Socket> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Netlink of the machine.
    pub(super) fn machine(&self) -> MutexGuard<'_, Socket> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the hub's thread do something short: what sockets it makes are the hub's.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (answer, result) = oneshot::channel();
        let work: Work = Box::new(move || {
            // Whoever asked may have gone.
            let _ = answer.send(work());
        });
        let gone = || io::Error::other("the thread of the network hub has ended");
        self.work.send(work).await.map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }

    /// Makes a network's bridge, unless it is there, with the gateway's addresses, and the machine's route to it. Its
    /// number. Blocks.
    pub(super) fn bridge(&self, record: &Record) -> io::Result<u32> {
        let name = bridge_name(record);
        let known = self.inside().index(&name);
        let index = match known {
            Ok(index) => index,
            Err(_) => self.new_bridge(record, &name)?,
        };
        if let Some(subnet) = record.subnet() {
            let route = Request::route(subnet.network(), Some(self.uplink.hub.into()), Some(self.uplink.index));
            match self.machine().apply(&[route]) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    tracing::debug!(%subnet, "the machine has a route to the subnet");
                }
                outcome => outcome?,
            }
        }
        Ok(index)
    }

    fn new_bridge(&self, record: &Record, name: &str) -> io::Result<u32> {
        let mut inside = self.inside();
        inside.apply(&[Request::bridge(name, bridge_address(&record.id))])?;
        let index = inside.index(name)?;
        let mut requests = Vec::new();
        if let Some(gateway) = record.gateway() {
            requests.push(Request::address(index, gateway));
        }
        if let Some(gateway) = record.gateway_v6() {
            drop(inside);
            let switch = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
            namespace::within(&self.file(), move || fs::write(switch, "0"))?;
            inside = self.inside();
            requests.push(Request::address(index, gateway));
        }
        inside.apply(&requests)?;
        Ok(index)
    }

    /// Removes a network's bridge and the machine's route to it. Blocks.
    pub(super) fn remove_bridge(&self, record: &Record) -> io::Result<()> {
        if let Some(subnet) = record.subnet() {
            let route = Request::delete_route(subnet.network(), Some(self.uplink.hub.into()), Some(self.uplink.index));
            let _ = self.machine().apply(&[route]);
        }
        absent_is_fine(self.inside().apply(&[Request::delete_link(&bridge_name(record))]))
    }

    /// Removes the hub with all that is in it, and the machine's end of the uplink. Blocks.
    pub(super) fn close(&self) -> io::Result<()> {
        let uplink = absent_is_fine(self.machine().apply(&[Request::delete_link(&self.uplink.name)]));
        let file = namespace::remove(&self.file());
        namespace::dismantle(&self.folder)?;
        uplink.and(file)
    }
}

/// The name of a network's bridge in the hub.
pub(super) fn bridge_name(record: &Record) -> String {
    let kind = if record.internal { INTERNAL_BRIDGE } else { OPEN_BRIDGE };
    format!("{kind}{}", record.id.get(..12).unwrap_or(&record.id))
}

fn bridge_address(id: &str) -> [u8; 6] {
    let digest = Sha256::digest(id);
    [0x02, 0x42, digest[0], digest[1], digest[2], digest[3]]
}

/// Removes the machine's end of an uplink, and with it every route that leads there. Blocks.
pub(super) fn remove_uplink(name: &str) -> io::Result<()> {
    absent_is_fine(Socket::open()?.apply(&[Request::delete_link(name)]))
}

/// What is gone need not be removed.
pub(super) fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    const NO_DEVICE: i32 = 19;
    match outcome {
        Err(error) if error.raw_os_error() == Some(NO_DEVICE) || error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// The uplink of a hub that is still there.
fn found(file: &Path, machine: &mut Socket, name: &str) -> io::Result<Option<Uplink>> {
    let (Ok(_), Ok(index)) = (namespace::open(file), machine.index(name)) else { return Ok(None) };
    let addresses = machine.addresses()?;
    let own = addresses.iter().find_map(|(interface, address)| (*interface == index).then_some(*address));
    Ok(own.and_then(|address| match (address.address(), address.network().nth(2)) {
        (IpAddr::V4(machine), Some(IpAddr::V4(hub))) => Some(Uplink { name: name.to_owned(), machine, hub, index }),
        _ => None,
    }))
}

/// A new hub with its uplink.
fn make(file: &Path, machine: &mut Socket, name: &str) -> io::Result<Uplink> {
    namespace::remove(file)?;
    absent_is_fine(machine.apply(&[Request::delete_link(name)]))?;
    let subnet = uplink_subnet(machine, name)?;
    let address = |number| match subnet.nth(number) {
        Some(IpAddr::V4(address)) => address,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    let (machine_end, hub_end) = (address(1), address(2));
    let mut inside = namespace::make(file, || {
        let mut inside = Socket::open()?;
        settle_hub();
        inside.apply(&[Request::up(1)])?;
        Ok(inside)
    })?;
    let hub = namespace::open(file)?;
    let peer = Peer { name: UPLINK, mac: None, namespace: hub.as_fd() };
    machine.apply(&[Request::veth(name, None, &peer)])?;
    let index = machine.index(name)?;
    // The machine has no use for IPv6 there.
    let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
    let on = |address: Ipv4Addr| Prefix::new(address.into(), subnet.length()).unwrap_or(subnet);
    machine.apply(&[Request::address(index, on(machine_end)), Request::up(index)])?;
    let inner = inside.index(UPLINK)?;
    let everywhere = Prefix::new(Ipv4Addr::UNSPECIFIED.into(), 0).unwrap_or(subnet);
    inside.apply(&[
        Request::address(inner, on(hub_end)),
        Request::up(inner),
        Request::route(everywhere, Some(machine_end.into()), Some(inner)),
    ])?;
    inside.settle(&[inner])?;
    machine.settle(&[index])?;
    Ok(Uplink { name: name.to_owned(), machine: machine_end, hub: hub_end, index })
}

/// A subnet for the two ends that nothing on the machine has. From the range set aside for measuring networks, which
/// nobody reaches; where in it follows from the name, so that engines that start at once do not take the same.
fn uplink_subnet(machine: &mut Socket, name: &str) -> io::Result<Prefix> {
    let taken = taken(machine)?;
    let digest = Sha256::digest(name);
    let start = u16::from_be_bytes([digest[0], digest[1]]) / 4;
    let candidates = (0..16384_u16).filter_map(|step| {
        let [third, fourth] = ((start + step) % 16384 * 4).to_be_bytes();
        Prefix::new(Ipv4Addr::new(198, 19, third, fourth).into(), 30)
    });
    candidates
        .into_iter()
        .find(|each| !taken.iter().any(|other| other.overlaps(*each)))
        .ok_or_else(|| io::Error::other("198.19.0.0/16 is in use on this machine: no subnet is left for the uplink"))
}

/// Every subnet to which the machine has a way of its own, the default route left out.
pub(super) fn taken(machine: &mut Socket) -> io::Result<Vec<Prefix>> {
    let routes = machine.routes()?.into_iter().map(|route| route.to).filter(|to| to.length() > 0);
    let mut all: Vec<Prefix> = routes.collect();
    all.extend(machine.addresses()?.into_iter().map(|(_, address)| address.network()));
    Ok(all)
}

/// Settings of the hub; those that the kernel does not know are not needed.
fn settle_hub() {
    const SETTINGS: [(&str, &str); 8] = [
        // Until there are rules for it, nothing passes from one network to another.
        ("net/ipv4/ip_forward", "0"),
        // Frames between the ports of a bridge are nobody's business but the bridge's.
        ("net/bridge/bridge-nf-call-iptables", "0"),
        ("net/bridge/bridge-nf-call-ip6tables", "0"),
        ("net/bridge/bridge-nf-call-arptables", "0"),
        ("net/ipv4/conf/all/rp_filter", "1"),
        ("net/ipv4/conf/default/rp_filter", "1"),
        ("net/ipv6/conf/default/disable_ipv6", "1"),
        ("net/ipv6/conf/default/accept_dad", "0"),
    ];
    for (name, value) in SETTINGS {
        if let Err(error) = fs::write(Path::new("/proc/sys").join(name), value) {
            tracing::debug!(name, %error, "a setting of the network hub is not to be had");
        }
    }
}

/// Starts the hub's thread. It ends when nobody can ask it for anything any more.
fn enter(file: &Path) -> io::Result<mpsc::Sender<Work>> {
    let hub = namespace::open(file)?;
    let (sender, mut queue) = mpsc::channel::<Work>(QUEUE);
    let (entered, outcome) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new().name("hub".into()).spawn(move || {
        let inside = setns(hub, CloneFlags::CLONE_NEWNET);
        let worked = inside.is_ok();
        let _ = entered.send(inside);
        while worked && let Some(work) = queue.blocking_recv() {
            work();
        }
    })?;
    outcome.recv().map_err(io::Error::other)??;
    Ok(sender)
}
