//! A container's places in networks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{EndpointIpamConfig, EndpointSettings};

use super::too_old;
use crate::engine::EngineError;
use crate::engine::docker::Version;
use crate::plan::spec::{ContainerSpec, NetworkEndpoint};
use crate::project::Networking;

/// From this version on, a container can be made in several networks at once, and has a hardware address in each.
const MANY_NETWORKS: Version = Version(1, 44);
/// From this version on, an endpoint can be given the default route.
const GATEWAY_PRIORITY: Version = Version(1, 48);
/// From this version on, the interface of an endpoint can be given a name.
const INTERFACE_NAME: Version = Version(1, 49);
/// The driver option that names the interface.
const INTERFACE_OPTION: &str = "com.docker.network.endpoint.ifname";

/// The networks of a container.
pub(super) struct Places {
    /// Those that it is made in.
    pub(super) at_once: HashMap<String, EndpointSettings>,
    /// Those that it joins afterwards.
    pub(super) later: Vec<NetworkEndpoint>,
    /// The hardware address, for an engine that is told of it beside the networks.
    pub(super) mac_address: Option<String>,
}

/// Which networks it is made in and which it joins, and what of its wishes the engine is too old for.
pub(super) fn places(
    spec: &ContainerSpec,
    version: Version,
    warnings: &mut Vec<String>,
) -> Result<Places, EngineError> {
    let by_network = version >= MANY_NETWORKS;
    let service_address = &spec.service.mac_address;
    let mut endpoints = spec.networks.clone();
    if let Some(first) = endpoints.first_mut()
        && first.mac_address.is_none()
    {
        first.mac_address.clone_from(service_address);
    }
    let fixed = || endpoints.iter().filter_map(|place| place.mac_address.clone());
    if !by_network && fixed().count() > 1 {
        let message =
            format!("hardware addresses in several networks need API {MANY_NETWORKS}, the engine has {version}");
        return Err(EngineError::Refused { message });
    }
    let mac_address = if by_network && !endpoints.is_empty() {
        None
    } else {
        fixed()
            .next()
            .or_else(|| service_address.clone().filter(|_| matches!(spec.service.networking, Networking::None)))
    };
    let wishes = |wish: fn(&NetworkEndpoint) -> bool| endpoints.iter().any(wish);
    if version < GATEWAY_PRIORITY && wishes(|place| place.gateway_priority.is_some()) {
        warnings.push(too_old("`gw_priority` of a network", version, GATEWAY_PRIORITY));
    }
    if version < INTERFACE_NAME && wishes(|place| place.interface_name.is_some()) {
        warnings.push(too_old("`interface_name` of a network", version, INTERFACE_NAME));
    }
    let is_written = wishes(|place| place.gateway_priority.is_some());
    let several = endpoints.len() > 1;
    let mut at_once = HashMap::new();
    let mut later = Vec::new();
    for (index, place) in endpoints.into_iter().enumerate() {
        if index == 0 || by_network {
            let first = (index == 0 && several && !is_written).then_some(1);
            let priority = place.gateway_priority.or(first).filter(|_| version >= GATEWAY_PRIORITY);
            let settings = EndpointSettings { gw_priority: priority, ..endpoint(&place, &spec.links) };
            at_once.insert(place.network.clone(), settings);
        } else {
            later.push(place);
        }
    }
    Ok(Places { at_once, later, mac_address })
}

/// A container's place in a network, for creating it there or for joining it later.
pub(in super::super) fn endpoint(endpoint: &NetworkEndpoint, links: &[String]) -> EndpointSettings {
    let fixed =
        endpoint.ipv4_address.is_some() || endpoint.ipv6_address.is_some() || !endpoint.link_local_ips.is_empty();
    let mut options: BTreeMap<String, String> = endpoint.driver_opts.clone();
    if let Some(name) = &endpoint.interface_name {
        options.insert(INTERFACE_OPTION.to_owned(), name.clone());
    }
    EndpointSettings {
        aliases: Some(distinct(&endpoint.aliases)),
        links: (!links.is_empty()).then(|| links.to_vec()),
        mac_address: endpoint.mac_address.clone(),
        driver_opts: (!options.is_empty()).then(|| options.into_iter().collect()),
        ipam_config: fixed.then(|| EndpointIpamConfig {
            ipv4_address: endpoint.ipv4_address.clone(),
            ipv6_address: endpoint.ipv6_address.clone(),
            link_local_ips: Some(endpoint.link_local_ips.clone()).filter(|addresses| !addresses.is_empty()),
        }),
        ..Default::default()
    }
}

fn distinct(words: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    words.iter().filter(|word| seen.insert(word.as_str())).cloned().collect()
}
