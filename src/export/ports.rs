//! The ports of a service's pods, and the Services by which others reach them.
//!
//! A Service answers on the port that the container listens on, not on the one published on the host: inside a Compose
//! network that is the port that others use. A service that others need but whose ports are nowhere told gets a
//! headless Service: its name resolves to the pods themselves, and so every port is reached.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Service as KubernetesService, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::project::{Protocol, Published, Service};

use super::hosts::aliases;
use super::name::{is_label_value, is_qualified, label, port_name};
use super::workload::{metadata, selector};
use super::{Context, Export, Object, service_key};

/// More ports than this are not listed one by one.
const MOST_PORTS: usize = 100;

/// Where the images listen that most projects take as they are, for when nobody says it.
const WELL_KNOWN: [(&str, u16); 13] = [
    ("elasticsearch", 9200),
    ("kafka", 9092),
    ("mariadb", 3306),
    ("memcached", 11211),
    ("minio", 9000),
    ("mongo", 27017),
    ("mysql", 3306),
    ("nats", 4222),
    ("opensearch", 9200),
    ("postgres", 5432),
    ("rabbitmq", 5672),
    ("redis", 6379),
    ("valkey", 6379),
];

/// A port on which pods of a service are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodPort {
    pub(super) number: u16,
    pub(super) protocol: Protocol,
    /// Unique among those of the service, and valid.
    pub(super) name: String,
    app_protocol: Option<String>,
}

/// All known ports of a service: published, exposed, or named by others, in order of their number.
pub(super) fn of(context: &Context<'_>, service: &Service) -> Vec<PodPort> {
    let mut found: BTreeMap<(u16, Protocol), (Option<String>, Option<String>)> = BTreeMap::new();
    for port in &service.ports {
        let entry = found.entry((port.target, port.protocol)).or_default();
        entry.0 = entry.0.take().or_else(|| port.name.clone());
        entry.1 = entry.1.take().or_else(|| port.app_protocol.clone());
    }
    for (first, last, protocol) in service.expose.iter().filter_map(|text| exposed(text)) {
        for number in first..=last {
            found.entry((number, protocol)).or_default();
        }
    }
    for number in told(context, service) {
        if !found.keys().any(|(known, _)| *known == number) {
            found.entry((number, Protocol::Tcp)).or_default();
        }
    }
    let mut names = BTreeSet::new();
    found
        .into_iter()
        .filter(|((number, _), _)| *number > 0)
        .take(MOST_PORTS)
        .map(|((number, protocol), (name, app_protocol))| {
            let fallback = format!("{}-{number}", protocol.as_str());
            let mut name = name.map_or_else(|| fallback.clone(), |name| port_name(&name));
            if !names.insert(name.clone()) {
                name = fallback;
                names.insert(name.clone());
            }
            PodPort { number, protocol, name, app_protocol }
        })
        .collect()
}

/// The ports that nobody declares: what others name together with its host, and what its image is known for.
fn told(context: &Context<'_>, service: &Service) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    let mut is_used = context.needed.contains(service.name.as_str());
    for mentions in known_as(service).filter_map(|name| context.hosts.mentions(name)) {
        is_used = true;
        ports.extend(&mentions.ports);
    }
    if let Some(image) = service.image.as_deref().filter(|_| is_used) {
        let last = image.rsplit('/').next().unwrap_or(image);
        let plain = last.split([':', '@']).next().unwrap_or(last);
        ports.extend(WELL_KNOWN.iter().filter(|(name, _)| *name == plain).map(|(_, port)| port));
    }
    ports
}

/// The names by which a service's containers are reached.
fn known_as(service: &Service) -> impl Iterator<Item = &str> {
    std::iter::once(service.name.as_str()).chain(service.container_name.as_deref()).chain(aliases(service))
}

/// `80`, `8000-8010`, `53/udp`.
fn exposed(text: &str) -> Option<(u16, u16, Protocol)> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some((first, last, protocol))
}

/// Writes the Services of a service: one under its name, one under each further name that others use.
pub(super) fn write(context: &Context<'_>, service: &Service, export: &mut Export) {
    note(context, service, export);
    let ports = of(context, service);
    let name = context.names.service(&service.name);
    let is_used = context.needed.contains(service.name.as_str()) || context.hosts.mentions(&service.name).is_some();
    let is_job = context.one_shot.contains(service.name.as_str());
    if (!ports.is_empty() && !is_job) || is_used {
        export.objects.push(object(context, service, &name, &ports));
    }
    let mut others: BTreeSet<&str> = aliases(service).collect();
    others.extend(service.container_name.as_deref().filter(|name| context.hosts.mentions(name).is_some()));
    for other in others {
        let other_name = label(other);
        if other_name == name {
            continue;
        }
        if context.names.aliases.get(&other_name) != Some(&service.name) {
            export.dropped(
                service_key(service, &format!("networks.aliases.{other}")),
                format!("another Service is called `{other_name}` already"),
            );
            continue;
        }
        export.objects.push(object(context, service, &other_name, &ports));
        note_renamed(context, service, other, &other_name, export);
    }
    note_renamed(context, service, &service.name, &name, export);
}

fn object(context: &Context<'_>, service: &Service, name: &str, ports: &[PodPort]) -> Object {
    let ports: Vec<ServicePort> = ports
        .iter()
        .map(|port| ServicePort {
            app_protocol: port.app_protocol.clone().filter(|it| is_qualified(it) && is_label_value(it)),
            name: Some(port.name.clone()),
            port: port.number.into(),
            protocol: Some(port.protocol.as_str().to_ascii_uppercase()),
            target_port: Some(IntOrString::Int(port.number.into())),
            node_port: None,
        })
        .collect();
    Object::Service(Box::new(KubernetesService {
        metadata: metadata(context, name, Some(service)),
        spec: Some(ServiceSpec {
            cluster_ip: ports.is_empty().then(|| "None".to_owned()),
            ports: (!ports.is_empty()).then_some(ports),
            selector: Some(selector(context, service)),
            type_: Some("ClusterIP".to_owned()),
            ..ServiceSpec::default()
        }),
        status: None,
    }))
}

fn note(context: &Context<'_>, service: &Service, export: &mut Export) {
    let name = context.names.service(&service.name);
    for port in &service.ports {
        let outside = match port.published {
            Published::Port(number) => number,
            Published::Ephemeral | Published::Range(..) => port.target,
        };
        export.approximated(
            service_key(service, &format!("ports.{}", port.target)),
            format!(
                "inside the cluster only, as `{name}:{}`; for outside write an Ingress, or use \
                 `kubectl port-forward service/{name} {outside}:{}`",
                port.target, port.target
            ),
        );
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

#[cfg(test)]
mod tests {
    use super::exposed;
    use crate::project::Protocol;

    #[test]
    fn exposed_ports_are_numbers_ranges_and_may_name_a_transport() {
        assert_eq!(exposed("80"), Some((80, 80, Protocol::Tcp)));
        assert_eq!(exposed("8000-8010"), Some((8000, 8010, Protocol::Tcp)));
        assert_eq!(exposed("53/UDP"), Some((53, 53, Protocol::Udp)));
        assert_eq!(exposed("9-1"), None);
        assert_eq!(exposed("http"), None);
    }
}
