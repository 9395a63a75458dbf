//! The Services by which others reach pods.
//!
//! A Service answers on the port that the container listens on, not on the one published on the host: inside a Compose
//! network that is the port that others use. What is published is reached from outside through the same Service where
//! both are the same, else through a second one. A service that others need but whose ports are nowhere told gets a
//! headless Service: its name resolves to the pods themselves, and so every port is reached.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Service as KubernetesService, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::project::kubernetes::{ServiceType, WorkloadKind};
use crate::project::syntax::{is_label_value, is_qualified};
use crate::project::{Published, Service};

use super::hosts::aliases;
use super::name::{label, with_digest};
use super::pod::{metadata, selector};
use super::ports::{self, MOST_PORTS, PodPort, exposed, is_used};
use super::{Context, Export, Object, service_key};

/// Writes the Services of a service: one under its name, one under each further name that others use.
pub(super) fn write<'a>(context: &Context<'a>, service: &'a Service, export: &mut Export) {
    let ports = ports::of(context, service);
    let name = context.names.service(&service.name);
    let is_set = context.kind(service) == WorkloadKind::StatefulSet;
    let is_owner = context.owner(service).name == service.name;
    note(context, service, export);
    let is_reached =
        (!ports.is_empty() && !context.is_job(service)) || (is_set && is_owner) || is_used(context, service);
    if !is_reached {
        return;
    }
    let outside = outside(context, service);
    let published = published(service, &ports);
    // One Service does both when it answers outside where it does inside.
    let both = outside.is_some()
        && !ports.is_empty()
        && !is_set
        && published.len() == ports.len()
        && published.iter().all(|(port, inside)| *port == inside.number);
    let inner = if both { outside } else { None };
    export.objects.push(object(context, service, &name, &ports, inner, is_set));
    if let (Some(outside), false) = (outside, both || published.is_empty()) {
        let outer = label(&format!("{name}-public"));
        let is_taken = context.names.services.values().chain(context.names.aliases.keys()).any(|other| *other == outer);
        let outer = if is_taken { with_digest(&outer, &service.name) } else { outer };
        export.objects.push(public(context, service, &outer, &published, outside));
    }
    further(context, service, &name, &ports, is_set, export);
}

/// The Services under further names: aliases of networks, links, and the container's name where somebody uses it.
fn further<'a>(
    context: &Context<'a>,
    service: &'a Service,
    name: &str,
    ports: &[PodPort],
    is_set: bool,
    export: &mut Export,
) {
    let mut others: BTreeSet<&str> = aliases(service).collect();
    others.extend(service.container_name.as_deref().filter(|name| context.hosts.mentions(name).is_some()));
    let links = context.project.services.values().flat_map(|other| &other.links);
    others.extend(links.filter(|link| link.target == service.name).map(|link| link.alias.as_str()));
    for other in others {
        let other_name = label(other);
        if other_name == name {
            continue;
        }
        if context.names.aliases.get(&other_name) != Some(&service.name) {
            let key = service_key(service, &format!("networks.aliases.{other}"));
            export.dropped(key, format!("another Service is called `{other_name}` already"));
            continue;
        }
        export.objects.push(object(context, service, &other_name, ports, None, is_set));
        note_renamed(context, service, other, &other_name, export);
    }
    note_renamed(context, service, &service.name, name, export);
}

/// How a service's published ports are reached from outside the cluster, when they are.
fn outside<'a>(context: &Context<'a>, service: &'a Service) -> Option<ServiceType> {
    let wanted = context.settings(service).service_type.or(context.options.service_type);
    wanted.filter(|wanted| *wanted != ServiceType::ClusterIp)
}

/// The ports that are published to everybody: the number outside, and the port inside.
fn published<'p>(service: &Service, ports: &'p [PodPort]) -> Vec<(u16, &'p PodPort)> {
    let mut found: Vec<(u16, &PodPort)> = Vec::new();
    for port in service.ports.iter().filter(|port| !is_local(port.host_ip.as_deref())) {
        let Some(inside) = ports.iter().find(|inside| inside.number == port.target && inside.protocol == port.protocol)
        else {
            continue;
        };
        let number = match port.published {
            Published::Port(number) | Published::Range(number, _) => number,
            Published::Ephemeral => port.target,
        };
        if found.iter().all(|(other, there)| (*other, there.protocol) != (number, inside.protocol)) {
            found.push((number, inside));
        }
    }
    found
}

fn is_local(address: Option<&str>) -> bool {
    address.is_some_and(|address| address.starts_with("127.") || address == "::1" || address == "localhost")
}

fn object<'a>(
    context: &Context<'a>,
    service: &'a Service,
    name: &str,
    ports: &[PodPort],
    outside: Option<ServiceType>,
    is_headless: bool,
) -> Object {
    let ports: Vec<ServicePort> =
        ports.iter().map(|port| service_port(context, service, port, port.number, port.name.clone())).collect();
    let is_headless = is_headless || ports.is_empty();
    KubernetesService {
        metadata: metadata(context, name, Some(service)),
        spec: Some(ServiceSpec {
            cluster_ip: is_headless.then(|| "None".to_owned()),
            external_traffic_policy: outside.and_then(|_| traffic_policy(context, service)),
            ports: (!ports.is_empty()).then_some(ports),
            selector: Some(selector(context, context.owner(service))),
            type_: Some(type_name(outside).to_owned()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
    .into()
}

fn public<'a>(
    context: &Context<'a>,
    service: &'a Service,
    name: &str,
    published: &[(u16, &PodPort)],
    outside: ServiceType,
) -> Object {
    let mut names = BTreeSet::new();
    let node_port = context.kompose(service, "kompose.service.nodeport.port").and_then(|port| port.parse::<i32>().ok());
    let ports = published
        .iter()
        .map(|(number, port)| {
            let mut name = port.name.clone();
            if !names.insert(name.clone()) {
                name = format!("{}-{number}", port.protocol.as_str());
                names.insert(name.clone());
            }
            let node_port = node_port.filter(|port| {
                outside == ServiceType::NodePort && published.len() == 1 && (30000..=32767).contains(port)
            });
            ServicePort { node_port, ..service_port(context, service, port, *number, name) }
        })
        .collect();
    KubernetesService {
        metadata: metadata(context, name, Some(service)),
        spec: Some(ServiceSpec {
            external_traffic_policy: traffic_policy(context, service),
            ports: Some(ports),
            selector: Some(selector(context, context.owner(service))),
            type_: Some(type_name(Some(outside)).to_owned()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
    .into()
}

fn traffic_policy(context: &Context<'_>, service: &Service) -> Option<String> {
    let written = context.kompose(service, "kompose.service.external-traffic-policy")?;
    ["Local", "Cluster"].into_iter().find(|word| word.eq_ignore_ascii_case(written)).map(str::to_owned)
}

fn type_name(outside: Option<ServiceType>) -> &'static str {
    match outside {
        None | Some(ServiceType::ClusterIp) => "ClusterIP",
        Some(ServiceType::NodePort) => "NodePort",
        Some(ServiceType::LoadBalancer) => "LoadBalancer",
    }
}

/// Where containers share a pod, two may call a port the same, and only its number tells which is meant.
fn service_port<'a>(
    context: &Context<'a>,
    service: &'a Service,
    port: &PodPort,
    number: u16,
    name: String,
) -> ServicePort {
    let is_alone = context.pods.get(context.owner(service).name.as_str()).is_none_or(|pod| pod.len() == 1);
    let target = if is_alone { IntOrString::String(port.name.clone()) } else { IntOrString::Int(port.number.into()) };
    ServicePort {
        app_protocol: port.app_protocol.clone().filter(|it| is_qualified(it) && is_label_value(it)),
        name: Some(name),
        port: number.into(),
        protocol: Some(port.protocol.as_str().to_ascii_uppercase()),
        target_port: Some(target),
        node_port: None,
    }
}

fn note<'a>(context: &Context<'a>, service: &'a Service, export: &mut Export) {
    let name = context.names.service(&service.name);
    let is_outside = outside(context, service).is_some();
    let has_host = !context.settings(service).hosts.is_empty();
    for port in &service.ports {
        let number = match port.published {
            Published::Port(number) => number,
            Published::Ephemeral | Published::Range(..) => port.target,
        };
        let key = || service_key(service, &format!("ports.{}", port.target));
        if context.is_job(service) {
            export.dropped(key(), "what runs to its end is reached by nobody");
        } else if is_local(port.host_ip.as_deref()) || !(is_outside || has_host) {
            export.approximated(
                key(),
                format!(
                    "inside the cluster only, as `{name}:{}`; for outside write `x-hoist.kubernetes.host`, or use \
                     `kubectl port-forward service/{name} {number}:{}`",
                    port.target, port.target
                ),
            );
        }
    }
    let exposed: Vec<_> = service.expose.iter().map(|text| (text, exposed(text))).collect();
    for (text, _) in exposed.iter().filter(|(_, parsed)| parsed.is_none()) {
        export.dropped(service_key(service, &format!("expose.{text}")), "not a port");
    }
    let count: usize = exposed
        .iter()
        .filter_map(|(_, parsed)| *parsed)
        .map(|(first, last, _)| usize::from(last - first) + 1)
        .sum::<usize>()
        + service.ports.len();
    if count > MOST_PORTS {
        export.approximated(service_key(service, "expose"), format!("only the first {MOST_PORTS} ports are listed"));
    }
}

/// A name that is not valid in a cluster is another one there, and who uses it has to be told.
fn note_renamed(context: &Context<'_>, service: &Service, old: &str, new: &str, export: &mut Export) {
    if old == new {
        return;
    }
    let users = context.hosts.mentions(old).map(|mentions| &mentions.keys);
    let users: Vec<String> = users.into_iter().flatten().map(|key| format!("`{key}`")).collect();
    let mut reason = format!("`{old}` is called `{new}` in the cluster");
    if !users.is_empty() {
        reason.push_str("; change ");
        reason.push_str(&users.join(", "));
    }
    export.approximated(format!("services.{}", service.name), reason);
}
