//! Who may reach a service's pods: those that depend on it or speak of it as a host, and everybody where it is meant for
//! the outside. Pods whose networks are all internal reach nobody else either.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::project::kubernetes::ServiceType;
use crate::project::{Networking, Service};

use super::pod::{metadata, networks_of, selector};
use super::ports::{self, PodPort, known_as};
use super::{Context, Export};

/// Writes the policy of the pods that some services share.
pub(super) fn write<'a>(context: &Context<'a>, services: &[&'a Service], export: &mut Export) {
    let Some(owner) = services.first().copied().filter(|_| context.options.network_policies) else { return };
    if owner.networking == Networking::Host {
        return;
    }
    let mut ingress = Vec::new();
    let mut users: BTreeSet<&str> = BTreeSet::new();
    let mut all = Vec::new();
    for service in services {
        users.extend(users_of(context, service));
        let ports = ports::of(context, service);
        ingress.extend(from_outside(context, service, &ports));
        all.extend(ports);
    }
    users.remove(owner.name.as_str());
    if !users.is_empty() {
        let from = users.iter().filter_map(|user| peer(context, user)).collect();
        ingress.insert(0, NetworkPolicyIngressRule { from: Some(from), ports: ports_of(&all) });
    }
    let egress = is_shut_in(context, services).then(|| egress(context, services));
    let mut types = vec!["Ingress".to_owned()];
    if egress.is_some() {
        types.push("Egress".to_owned());
    }
    let policy = NetworkPolicy {
        metadata: metadata(context, &context.names.service(&owner.name), Some(owner)),
        spec: Some(NetworkPolicySpec {
            egress,
            ingress: Some(ingress),
            pod_selector: Some(pods(context, owner)),
            policy_types: Some(types),
        }),
    };
    export.objects.push(policy.into());
}

fn pods(context: &Context<'_>, service: &Service) -> LabelSelector {
    LabelSelector { match_labels: Some(selector(context, service)), match_expressions: None }
}

fn peer<'a>(context: &Context<'a>, name: &str) -> Option<NetworkPolicyPeer> {
    let service = context.project.services.get(name)?;
    Some(NetworkPolicyPeer { pod_selector: Some(pods(context, service)), ..NetworkPolicyPeer::default() })
}

/// The owners of the pods that reach a service.
fn users_of<'a>(context: &Context<'a>, service: &'a Service) -> BTreeSet<&'a str> {
    if service.networking == Networking::None {
        return BTreeSet::new();
    }
    let names: BTreeSet<&str> = known_as(service).collect();
    let mentioned: BTreeSet<&str> = names
        .iter()
        .filter_map(|name| context.hosts.mentions(name))
        .flat_map(|mentions| &mentions.users)
        .map(String::as_str)
        .collect();
    let uses =
        |other: &&Service| other.depends_on.contains_key(&service.name) || mentioned.contains(other.name.as_str());
    context.project.services.values().filter(uses).map(|other| context.owner(other).name.as_str()).collect()
}

/// Everybody, on the ports that are meant for the outside.
fn from_outside<'a>(
    context: &Context<'a>,
    service: &'a Service,
    ports: &[PodPort],
) -> Option<NetworkPolicyIngressRule> {
    let settings = context.settings(service);
    let is_public =
        settings.service_type.or(context.options.service_type).is_some_and(|it| it != ServiceType::ClusterIp);
    let open: Vec<PodPort> = if settings.hosts.is_empty() && !is_public {
        Vec::new()
    } else {
        let is_open = |port: &&PodPort| {
            service.ports.iter().any(|published| published.target == port.number) || settings.port == Some(port.number)
        };
        let published: Vec<PodPort> = ports.iter().filter(is_open).cloned().collect();
        if published.is_empty() { ports.to_vec() } else { published }
    };
    (!open.is_empty()).then(|| NetworkPolicyIngressRule { from: None, ports: ports_of(&open) })
}

fn ports_of(ports: &[PodPort]) -> Option<Vec<NetworkPolicyPort>> {
    let mut found: BTreeMap<(u16, &str), NetworkPolicyPort> = BTreeMap::new();
    for port in ports {
        let rule = NetworkPolicyPort {
            end_port: None,
            port: Some(IntOrString::Int(port.number.into())),
            protocol: Some(port.protocol.as_str().to_ascii_uppercase()),
        };
        found.insert((port.number, port.protocol.as_str()), rule);
    }
    (!found.is_empty()).then(|| found.into_values().collect())
}

/// Whether all networks of some services are internal, or they have none.
fn is_shut_in(context: &Context<'_>, services: &[&Service]) -> bool {
    services.iter().all(|service| match &service.networking {
        Networking::None => true,
        Networking::Networks(_) => {
            let mut keys = networks_of(service).peekable();
            let is_internal = |key: &String| context.project.networks.get(key).is_some_and(|network| network.internal);
            keys.peek().is_some() && keys.all(is_internal)
        }
        Networking::Service(_) => true,
        _ => false,
    })
}

/// Those that it reaches, and the cluster's name server.
fn egress<'a>(context: &Context<'a>, services: &[&'a Service]) -> Vec<NetworkPolicyEgressRule> {
    let mut rules = Vec::new();
    let named: BTreeSet<&str> = services.iter().flat_map(|service| context.hosts.named_by(&service.name)).collect();
    for other in context.project.services.values() {
        let depends = services.iter().any(|service| service.depends_on.contains_key(&other.name));
        let is_used = depends || known_as(other).any(|name| named.contains(name));
        let owner = context.owner(other);
        if !is_used || services.iter().any(|service| service.name == owner.name) {
            continue;
        }
        let to = peer(context, &owner.name).into_iter().collect();
        rules.push(NetworkPolicyEgressRule { ports: ports_of(&ports::of(context, other)), to: Some(to) });
    }
    if !rules.is_empty() {
        let port = |protocol: &str| NetworkPolicyPort {
            end_port: None,
            port: Some(IntOrString::Int(53)),
            protocol: Some(protocol.to_owned()),
        };
        rules.push(NetworkPolicyEgressRule { ports: Some(vec![port("UDP"), port("TCP")]), to: None });
    }
    rules
}
