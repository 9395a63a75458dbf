//! Networks, and the place of a service in them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a service is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Networking {
    /// Networks of the project by key.
    Networks(BTreeMap<String, NetworkAttachment>),
    /// The host's own network.
    Host,
    /// No network at all.
    None,
    /// The network of another service's container.
    Service(String),
    /// The network of a container of any project.
    Container(String),
}

impl Default for Networking {
    fn default() -> Self {
        Self::Networks(BTreeMap::new())
    }
}

/// A service's place in one network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NetworkAttachment {
    /// More names that it answers to there, besides the service's and the container's.
    pub aliases: Vec<String>,
    /// A fixed IPv4 address.
    pub ipv4_address: Option<String>,
    /// A fixed IPv6 address.
    pub ipv6_address: Option<String>,
    /// A fixed hardware address.
    pub mac_address: Option<String>,
    /// The highest one is joined first, and gives the container its default route where no gateway has a priority.
    pub priority: i32,
    /// Addresses for the link alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub link_local_ips: Vec<String>,
    /// The name of the interface in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface_name: Option<String>,
    /// Options of the driver for this place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
    /// The highest one gives the container its default route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_priority: Option<i64>,
}

/// A network of the project (chapter 6).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Network {
    /// Its name in the engine: `<project>_<key>` unless written.
    pub name: String,
    /// Made and removed by somebody else.
    pub external: bool,
    /// `None` is the engine's default, `bridge`.
    pub driver: Option<String>,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// No way out.
    pub internal: bool,
    /// Other containers may join.
    pub attachable: bool,
    /// Addresses of version 4.
    pub enable_ipv4: Option<bool>,
    /// Addresses of version 6 too.
    pub enable_ipv6: Option<bool>,
    /// Labels of the network.
    pub labels: BTreeMap<String, String>,
    /// Address pools.
    pub ipam: Ipam,
}

/// How a network's addresses are given out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ipam {
    /// `None` is the engine's default.
    pub driver: Option<String>,
    /// The pools, in order.
    pub pools: Vec<IpamPool>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// One pool of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IpamPool {
    /// The whole subnet in CIDR form.
    pub subnet: Option<String>,
    /// The part containers get addresses from.
    pub ip_range: Option<String>,
    /// The router's address.
    pub gateway: Option<String>,
    /// Addresses taken by the driver, by host name.
    pub aux_addresses: BTreeMap<String, String>,
}
