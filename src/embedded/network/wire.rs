//! What the kernel does for a container that joins: its namespace, a veth pair for each network, addresses, the way out.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;

use super::hub::{Hub, absent_is_fine};
use super::namespace;
use super::netlink::{Peer, Request, Socket};
use super::prefix::{Prefix, parse_hardware};
use super::state::{Endpoint, State};

/// One interface to be made.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    veth: String,
    bridge: u32,
    interface: String,
    mac: Option<[u8; 6]>,
    addresses: Vec<Prefix>,
}

impl Wire {
    /// For a place on a network.
    pub(super) fn new(state: &State, endpoint: &Endpoint) -> Option<Self> {
        let network = state.networks.get(&endpoint.network)?;
        let subnets = [network.record.subnet(), network.record.subnet_v6()];
        let on = |address: IpAddr| {
            let subnet = subnets.iter().flatten().find(|subnet| subnet.contains(address))?;
            Prefix::new(address, subnet.length())
        };
        Some(Self {
            veth: endpoint.veth.clone(),
            bridge: network.bridge,
            interface: endpoint.interface.clone(),
            mac: endpoint.settings.mac_address.as_deref().and_then(parse_hardware),
            addresses: endpoint.addresses().filter_map(on).collect(),
        })
    }
}

/// Makes a container's namespace with its interfaces; when something fails, nothing of it is left. Blocks.
pub(super) fn make(hub: &Arc<Hub>, container: &str, wires: Vec<Wire>, way_out: Option<IpAddr>) -> io::Result<()> {
    let file = hub.namespace(container);
    // Left by a container of this id that came to no good end.
    namespace::remove(&file)?;
    let names: Vec<String> = wires.iter().map(|wire| wire.veth.clone()).collect();
    let (own, path) = (Arc::clone(hub), file.clone());
    let made = namespace::make(&file, move || {
        settle();
        let mut inside = Socket::open()?;
        inside.apply(&[Request::up(1)])?;
        connect(&own, &path, &mut inside, &wires)?;
        default_route(&mut inside, None, way_out)
    });
    if made.is_err() {
        let _ = remove_veths(hub, &names);
    }
    made
}

/// Adds an interface to a namespace that is there, and moves its way out. Blocks.
pub(super) fn add(
    hub: &Arc<Hub>,
    container: &str,
    wire: Wire,
    ways: (Option<IpAddr>, Option<IpAddr>),
) -> io::Result<()> {
    let file = hub.namespace(container);
    let (own, path, veth) = (Arc::clone(hub), file.clone(), wire.veth.clone());
    let made = namespace::within(&file, move || {
        let mut inside = Socket::open()?;
        connect(&own, &path, &mut inside, &[wire])?;
        default_route(&mut inside, ways.0, ways.1)
    });
    if made.is_err() {
        let _ = remove_veths(hub, &[veth]);
    }
    made
}

/// Takes an interface away, and moves the way out. `nameserver`, the gateway that answers for names there, stays within
/// reach. Blocks.
pub(super) fn take(
    hub: &Arc<Hub>,
    container: &str,
    veth: String,
    ways: (Option<IpAddr>, Option<IpAddr>),
    nameserver: Option<(IpAddr, IpAddr)>,
) -> io::Result<()> {
    remove_veths(hub, &[veth])?;
    namespace::within(&hub.namespace(container), move || {
        let mut inside = Socket::open()?;
        // The route through the interface has gone with it.
        default_route(&mut inside, None, if ways.0 == ways.1 { None } else { ways.1 })?;
        match nameserver {
            Some((server, via)) => match Prefix::new(server, 32) {
                Some(host) => inside.apply(&[Request::route(host, Some(via), None)]),
                None => Ok(()),
            },
            None => Ok(()),
        }
    })
}

/// Ends a container's namespace. Blocks.
pub(super) fn remove(hub: &Hub, container: &str) -> io::Result<()> {
    namespace::remove(&hub.namespace(container))
}

/// Removes the hub's ends of interfaces, and the others with them, which takes the kernel a while. Blocks.
pub(super) fn remove_veths(hub: &Hub, veths: &[String]) -> io::Result<()> {
    veths.iter().try_for_each(|veth| absent_is_fine(hub.inside().apply(&[Request::delete_link(veth)])))
}

fn connect(hub: &Hub, file: &Path, inside: &mut Socket, wires: &[Wire]) -> io::Result<()> {
    let namespace = namespace::open(file)?;
    let pairs = wires.iter().map(|wire| {
        let peer = Peer { name: &wire.interface, mac: wire.mac, namespace: namespace.as_fd() };
        Request::veth(&wire.veth, Some(wire.bridge), &peer)
    });
    let pairs: Vec<Request> = pairs.collect();
    hub.inside().apply(&pairs)?;
    let mut requests = Vec::new();
    for wire in wires {
        let index = inside.index(&wire.interface)?;
        if wire.addresses.iter().any(|address| address.address().is_ipv6()) {
            fs::write(format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", wire.interface), "0")?;
        }
        requests.push(Request::up(index));
        requests.extend(wire.addresses.iter().map(|address| Request::address(index, *address)));
    }
    inside.apply(&requests)?;
    switch_on(hub, inside, wires)
}

/// Switches on the hub's ends after the others, and sees to it that packets pass at once.
fn switch_on(hub: &Hub, inside: &mut Socket, wires: &[Wire]) -> io::Result<()> {
    let mut outer = hub.inside();
    let mut indexes = Vec::new();
    for wire in wires {
        indexes.push(outer.index(&wire.veth)?);
    }
    let requests: Vec<Request> = indexes.iter().map(|index| Request::up(*index)).collect();
    outer.apply(&requests)?;
    let own = wires.iter().map(|wire| inside.index(&wire.interface)).collect::<io::Result<Vec<u32>>>()?;
    inside.settle(&own)?;
    indexes.extend(wires.iter().map(|wire| wire.bridge));
    outer.settle(&indexes)
}

fn default_route(inside: &mut Socket, old: Option<IpAddr>, new: Option<IpAddr>) -> io::Result<()> {
    let Some(everywhere) = Prefix::new(Ipv4Addr::UNSPECIFIED.into(), 0).filter(|_| old != new) else { return Ok(()) };
    if let Some(old) = old {
        let _ = inside.apply(&[Request::delete_route(everywhere, Some(old), None)]);
    }
    match new {
        Some(new) => inside.apply(&[Request::route(everywhere, Some(new), None)]),
        None => Ok(()),
    }
}

/// Settings of a container's namespace; those that the kernel does not know are not needed.
fn settle() {
    const SETTINGS: [(&str, &str); 5] = [
        // Interfaces speak IPv6 where their network does.
        ("net/ipv6/conf/default/disable_ipv6", "1"),
        ("net/ipv6/conf/default/accept_dad", "0"),
        ("net/ipv6/conf/default/accept_ra", "0"),
        // As with Docker: everybody inside may listen on low ports, and ping.
        ("net/ipv4/ip_unprivileged_port_start", "0"),
        ("net/ipv4/ping_group_range", "0 2147483647"),
    ];
    for (name, value) in SETTINGS {
        if let Err(error) = fs::write(Path::new("/proc/sys").join(name), value) {
            tracing::debug!(name, %error, "a setting of a container's network is not to be had");
        }
    }
}
