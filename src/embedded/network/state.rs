//! What is known while the engine runs: networks with their addresses in use, and the containers that are on them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bollard_stubs::models::{EndpointResource, EndpointSettings, NetworkInspect, PortMap};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::super::error::Error;
use super::super::id;
use super::Join;
use super::parting::Parting;
use super::prefix::{Prefix, hardware, hardware_text, parse_hardware};
use super::proxy::behind::{Door, Front};
use super::proxy::{Carried, Open};
use super::record::Record;

/// A container's place on one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Endpoint {
    /// The network's id.
    pub(super) network: String,
    /// Its interface inside (`eth0`).
    pub(super) interface: String,
    /// The other end, in the hub.
    pub(super) veth: String,
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) v6: Option<Ipv6Addr>,
    /// What the API tells.
    pub(super) settings: EndpointSettings,
}

/// A container that is on networks (or on none, with a namespace of its own).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) hostname: String,
    /// In the order of their interfaces.
    pub(super) endpoints: Vec<Endpoint>,
    /// As they were found.
    #[serde(default)]
    pub(super) ports: PortMap,
    /// Name servers of its own.
    #[serde(default)]
    pub(super) dns: Vec<IpAddr>,
    /// As [`Join`] has them.
    #[serde(default)]
    pub(super) group: Option<String>,
    #[serde(default)]
    pub(super) replaces: Option<String>,
}

/// A network.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) record: Record,
    /// The number of its bridge in the hub; 0 for `host` and `none`.
    pub(super) bridge: u32,
    /// Addresses that are in use or set aside.
    pub(super) used: BTreeSet<IpAddr>,
    /// How many containers are on it or about to be.
    pub(super) endpoints: usize,
    /// Ends its name server when dropped.
    pub(super) _names: Option<tokio_util::sync::DropGuard>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct State {
    /// By id.
    pub(super) networks: BTreeMap<String, Network>,
    /// By id; only those that are there whole.
    pub(super) members: BTreeMap<String, Member>,
    /// Containers that are about to join or leave.
    pub(super) busy: HashSet<String>,
    /// Names of networks that are about to be made, and their subnets.
    pub(super) making: HashMap<String, Vec<Prefix>>,
    /// Who is behind which port of the machine, and those who listen there.
    pub(super) front: Front,
    pub(super) open: BTreeMap<Door, Open>,
    /// Tells connections through a door that they should leave a container, and those of a container that it is gone.
    pub(super) let_go: BTreeMap<(Door, String), CancellationToken>,
    pub(super) carried: BTreeMap<String, Carried>,
    /// What is left of containers that are gone, by a number.
    pub(super) parting: BTreeMap<u64, Parting>,
    pub(super) partings: u64,
    /// Somebody sees to it that doors are not held for ever.
    pub(super) sweeping: bool,
}

impl Network {
    pub(super) fn new(record: Record, bridge: u32, names: Option<tokio_util::sync::DropGuard>) -> Self {
        let used = record.reserved().into_iter().collect();
        Self { record, bridge, used, endpoints: 0, _names: names }
    }

    /// Finds addresses and the rest for a container, and counts it in.
    fn reserve(&mut self, member: &Join, asked: &EndpointSettings, interface: String) -> Result<Endpoint, Error> {
        let wanted = asked.ipam_config.clone().unwrap_or_default();
        let mac =
            asked.mac_address.as_deref().filter(|mac| !mac.is_empty()).map(|text| {
                parse_hardware(text).ok_or_else(|| Error::Invalid(format!("invalid MAC address {text:?}")))
            });
        let mac = mac.transpose()?;
        let found = self.address(false, wanted.ipv4_address.as_deref())?;
        let IpAddr::V4(v4) = found else { return Err(self.exhausted(false)) };
        let v6 = match self.record.ipv6.then(|| self.address(true, wanted.ipv6_address.as_deref())) {
            Some(Ok(IpAddr::V6(v6))) => Some(v6),
            Some(Err(error)) => {
                self.used.remove(&found);
                return Err(error);
            }
            _ => None,
        };
        self.endpoints += 1;
        let record = &self.record;
        let text = |gateway: Option<Prefix>| gateway.map(|gateway| gateway.address().to_string());
        let endpoint_id = id::random();
        let settings = EndpointSettings {
            mac_address: Some(hardware_text(mac.unwrap_or_else(|| hardware(v4)))),
            network_id: Some(record.id.clone()),
            gateway: Some(if record.internal { None } else { text(record.gateway()) }.unwrap_or_default()),
            ip_address: Some(v4.to_string()),
            ip_prefix_len: record.subnet().map(|subnet| subnet.length().into()),
            ipv6_gateway: Some(text(record.gateway_v6()).unwrap_or_default()),
            global_ipv6_address: Some(v6.map(|v6| v6.to_string()).unwrap_or_default()),
            global_ipv6_prefix_len: Some(
                record.subnet_v6().filter(|_| v6.is_some()).map_or(0, |each| each.length().into()),
            ),
            dns_names: record.has_names().then(|| names(&member.id, &member.name, &member.hostname, asked)),
            endpoint_id: Some(endpoint_id.clone()),
            ..asked.clone()
        };
        let veth = format!("v{}", &endpoint_id[..12]);
        Ok(Endpoint { network: record.id.clone(), interface, veth, v4: Some(v4), v6, settings })
    }

    fn address(&mut self, v6: bool, wanted: Option<&str>) -> Result<IpAddr, Error> {
        let record = &self.record;
        let subnet = if v6 { record.subnet_v6() } else { record.subnet() };
        let subnet = subnet.ok_or_else(|| self.exhausted(v6))?;
        let found = if let Some(text) = wanted.filter(|text| !text.is_empty()) {
            if !record.chosen {
                return Err(Error::Invalid(
                    "user specified IP address is supported only when connecting to networks with user configured subnets"
                        .into(),
                ));
            }
            let address = text.parse::<IpAddr>().ok().filter(|address| subnet.usable(*address)).ok_or_else(|| {
                Error::Invalid(format!(
                    "invalid address {text}: it does not belong to any of this network's subnets ({subnet})"
                ))
            })?;
            if self.used.contains(&address) {
                return Err(Error::Forbidden("Address already in use".into()));
            }
            address
        } else {
            subnet.free(record.range(v6).unwrap_or(subnet), &self.used).ok_or_else(|| self.exhausted(v6))?
        };
        self.used.insert(found);
        Ok(found)
    }

    fn exhausted(&self, v6: bool) -> Error {
        let (family, record) = (if v6 { "IPv6" } else { "IPv4" }, &self.record);
        Error::Failed(format!(
            "no available {family} addresses on this network's address pools: {} ({})",
            record.name, record.id
        ))
    }

    /// Counts one in that is on it already, after a crash.
    pub(super) fn restore(&mut self, endpoint: &Endpoint) {
        self.used.extend(endpoint.addresses());
        self.endpoints += 1;
    }
}

impl Endpoint {
    /// Its addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }

    /// How much it is wanted as the way out.
    pub(super) fn priority(&self) -> i64 {
        self.settings.gw_priority.unwrap_or(0)
    }

    fn is_called(&self, name: &str) -> bool {
        self.settings.dns_names.iter().flatten().any(|own| own.eq_ignore_ascii_case(name))
    }
}

impl State {
    /// The network that a name, an id or the beginning of one means.
    pub(super) fn find(&self, reference: &str) -> Result<&Network, Error> {
        let by_name = || self.networks.values().find(|network| network.record.name == reference);
        if let Some(network) = self.networks.get(reference).or_else(by_name) {
            return Ok(network);
        }
        let mut begun = self.networks.range(reference.to_owned()..).map(|(_, network)| network);
        let mut matching =
            begun.by_ref().take_while(|network| !reference.is_empty() && network.record.id.starts_with(reference));
        match (matching.next(), matching.next()) {
            (Some(network), None) => Ok(network),
            (Some(_), Some(_)) => {
                Err(Error::Invalid(format!("network {reference} is ambiguous: several ids begin with it")))
            }
            _ => Err(Error::NotFound(format!("network {reference} not found"))),
        }
    }

    /// Finds places on all the networks that a container asks for, or none.
    pub(super) fn reserve(&mut self, join: &Join) -> Result<Vec<Endpoint>, Error> {
        let mut asked = Vec::new();
        for (reference, settings) in &join.endpoints {
            let network = self.find(reference)?;
            if network.record.driver == "host" {
                return Err(Error::Invalid("a container on the network \"host\" has no network of its own".into()));
            }
            if network.record.is_bridge() {
                let priority = std::cmp::Reverse(settings.gw_priority.unwrap_or(0));
                asked.push((priority, network.record.name.clone(), network.record.id.clone(), settings));
            }
        }
        asked.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        asked.dedup_by(|a, b| a.2 == b.2);
        let mut endpoints = Vec::new();
        for (number, (_, _, id, settings)) in asked.into_iter().enumerate() {
            match self.reserve_one(join, &id, settings, format!("eth{number}")) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(error) => {
                    self.release(&endpoints);
                    return Err(error);
                }
            }
        }
        Ok(endpoints)
    }

    /// Finds a place on one network.
    pub(super) fn reserve_one(
        &mut self,
        join: &Join,
        network: &str,
        asked: &EndpointSettings,
        interface: String,
    ) -> Result<Endpoint, Error> {
        let network =
            self.networks.get_mut(network).ok_or_else(|| Error::NotFound(format!("network {network} not found")))?;
        network.reserve(join, asked, interface)
    }

    /// Gives places back.
    pub(super) fn release(&mut self, endpoints: &[Endpoint]) {
        self.count_out(endpoints);
        self.free(endpoints);
    }

    /// Has networks count containers no more; their addresses stay set aside.
    pub(super) fn count_out(&mut self, endpoints: &[Endpoint]) {
        for endpoint in endpoints {
            if let Some(network) = self.networks.get_mut(&endpoint.network) {
                network.endpoints = network.endpoints.saturating_sub(1);
            }
        }
    }

    /// Gives addresses back.
    pub(super) fn free(&mut self, endpoints: &[Endpoint]) {
        for endpoint in endpoints {
            if let Some(network) = self.networks.get_mut(&endpoint.network) {
                for address in endpoint.addresses() {
                    network.used.remove(&address);
                }
            }
        }
    }

    /// A network with the containers on it, in the API's form.
    pub(super) fn inspect(&self, network: &Network) -> NetworkInspect {
        let resource = |member: &Member, endpoint: &Endpoint| {
            let with_length = |address: Option<String>, subnet: Option<Prefix>| match (address, subnet) {
                (Some(address), Some(subnet)) => format!("{address}/{}", subnet.length()),
                _ => String::new(),
            };
            EndpointResource {
                name: Some(member.name.clone()),
                endpoint_id: endpoint.settings.endpoint_id.clone(),
                mac_address: endpoint.settings.mac_address.clone(),
                ipv4_address: Some(with_length(endpoint.v4.map(|v4| v4.to_string()), network.record.subnet())),
                ipv6_address: Some(with_length(endpoint.v6.map(|v6| v6.to_string()), network.record.subnet_v6())),
            }
        };
        let on =
            self.members.values().flat_map(|member| member.endpoints.iter().map(move |endpoint| (member, endpoint)));
        let here = on.filter(|(_, endpoint)| endpoint.network == network.record.id);
        let containers = here.map(|(member, endpoint)| (member.id.clone(), resource(member, endpoint))).collect();
        NetworkInspect { containers: Some(containers), ..network.record.inspect() }
    }

    /// The way out of a container: the place whose gateway is its default route.
    pub(super) fn way_out<'a>(&self, endpoints: &'a [Endpoint]) -> Option<&'a Endpoint> {
        let open =
            |endpoint: &&Endpoint| self.networks.get(&endpoint.network).is_some_and(|network| !network.record.internal);
        // The first of the greatest priority.
        endpoints.iter().rev().filter(open).max_by_key(|endpoint| endpoint.priority())
    }

    /// Who has an address.
    pub(super) fn member_at(&self, address: IpAddr) -> Option<&Member> {
        let has =
            |member: &&Member| member.endpoints.iter().any(|endpoint| endpoint.addresses().any(|own| own == address));
        self.members.values().find(has)
    }

    /// The places that a name means to a container: on its networks, under names that count there, and its own links. Whether
    /// anybody has the name at all is told too: those who do may all be on their way out.
    pub(super) fn called<'a>(&'a self, asker: &'a Member, name: &'a str) -> (Vec<&'a Endpoint>, bool) {
        let mut found = Vec::new();
        for own in &asker.endpoints {
            let linked = own.settings.links.iter().flatten().filter_map(|link| {
                let (target, alias) = link.split_once(':').unwrap_or((link, link));
                alias.eq_ignore_ascii_case(name).then(|| target.trim_start_matches('/'))
            });
            let linked: Vec<&str> = linked.collect();
            for member in self.members.values() {
                let is_linked = linked.iter().any(|target| member.name == *target || member.id.starts_with(target));
                let here = member.endpoints.iter().filter(|each| each.network == own.network);
                let here = here.filter(|each| is_linked || each.is_called(name));
                found.extend(here.map(|endpoint| (member.id.as_str(), endpoint)));
            }
        }
        let meant = self.front.named(found.iter().map(|(id, _)| *id));
        let known = !found.is_empty();
        (found.into_iter().filter(|(id, _)| meant.contains(id)).map(|(_, endpoint)| endpoint).collect(), known)
    }
}

/// The names of a container on a network.
pub(super) fn names(id: &str, name: &str, hostname: &str, asked: &EndpointSettings) -> Vec<String> {
    let mut names = vec![name.trim_start_matches('/').to_owned()];
    names.extend(asked.aliases.iter().flatten().cloned());
    names.extend([id.get(..12).unwrap_or(id).to_owned(), hostname.to_owned()]);
    let mut seen = HashSet::new();
    names.retain(|name| !name.is_empty() && seen.insert(name.to_ascii_lowercase()));
    names
}
