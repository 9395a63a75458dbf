//! The ports of a service's pods: published, exposed by the manifest or by the Dockerfile, named by others, or known of the
//! image. Each has a name that says what is spoken there, as far as that is known.

use std::collections::{BTreeMap, BTreeSet};

use crate::project::{Protocol, Service};

use super::Context;
use super::command::{Question, question};
use super::hosts::aliases;
use super::name::port_name;

/// More ports than this are not listed one by one.
pub(super) const MOST_PORTS: usize = 100;

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

/// What is spoken on ports that are nearly always used for it.
const SPOKEN: [(u16, &str); 16] = [
    (22, "ssh"),
    (53, "dns"),
    (80, "http"),
    (443, "https"),
    (1883, "mqtt"),
    (3306, "mysql"),
    (4222, "nats"),
    (5432, "postgres"),
    (5672, "amqp"),
    (6379, "redis"),
    (8080, "http"),
    (8443, "https"),
    (9092, "kafka"),
    (9200, "http"),
    (11211, "memcached"),
    (27017, "mongo"),
];

/// A port on which pods of a service are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodPort {
    pub(super) number: u16,
    pub(super) protocol: Protocol,
    /// Unique among those of the service, and valid.
    pub(super) name: String,
    pub(super) app_protocol: Option<String>,
}

/// All known ports of a service: published, exposed, or named by others, in order of their number.
pub(super) fn of(context: &Context<'_>, service: &Service) -> Vec<PodPort> {
    context.ports.get(service.name.as_str()).cloned().unwrap_or_default()
}

/// Finds the ports of a service.
pub(super) fn find(context: &Context<'_>, service: &Service) -> Vec<PodPort> {
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
    if is_used(context, service) || !found.is_empty() {
        for port in &context.facts(service).ports {
            found.entry(*port).or_default();
        }
    }
    let requested = match service.healthcheck.as_ref().and_then(|check| question(&check.test)) {
        Some(Question::Request { encrypted, port, .. }) => Some((port, if encrypted { "https" } else { "http" })),
        _ => None,
    };
    let shown = context.settings(service).port;
    let spoken = |number: u16, protocol: Protocol, app_protocol: Option<&str>| -> Option<String> {
        let word = app_protocol.map(|word| word.rsplit('/').next().unwrap_or(word));
        let asked = || requested.filter(|(port, _)| *port == number).map(|(_, word)| word);
        let led_to = || (shown == Some(number)).then_some("http");
        let usual = || SPOKEN.iter().find(|(port, _)| *port == number).map(|(_, word)| *word);
        (protocol == Protocol::Tcp || number == 53)
            .then(|| word.or_else(asked).or_else(led_to).or_else(usual).map(str::to_owned))?
    };
    let mut names = BTreeSet::new();
    found
        .into_iter()
        .filter(|((number, _), _)| *number > 0)
        .take(MOST_PORTS)
        .map(|((number, protocol), (name, app_protocol))| {
            let spoken = spoken(number, protocol, app_protocol.as_deref());
            let numbered = |word: &str| port_name(&format!("{word}-{number}"));
            let plain = name.map(|name| port_name(&name)).or_else(|| spoken.as_deref().map(port_name));
            let further = spoken.as_deref().map(numbered);
            let fallback = format!("{}-{number}", protocol.as_str());
            let name = [plain, further].into_iter().flatten().find(|name| !names.contains(name)).unwrap_or(fallback);
            names.insert(name.clone());
            PodPort { number, protocol, name, app_protocol }
        })
        .collect()
}

/// The ports that nobody declares: what others name together with its host, and what its image is known for.
fn told(context: &Context<'_>, service: &Service) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for mentions in known_as(service).filter_map(|name| context.hosts.mentions(name)) {
        ports.extend(&mentions.ports);
    }
    ports.extend(context.settings(service).port);
    if let Some(image) = service.image.as_deref().filter(|_| is_used(context, service)) {
        let last = image.rsplit('/').next().unwrap_or(image);
        let plain = last.split([':', '@']).next().unwrap_or(last);
        ports.extend(WELL_KNOWN.iter().filter(|(name, _)| *name == plain).map(|(_, port)| port));
    }
    ports
}

/// Whether somebody needs a service while it runs, or speaks of it as a host.
pub(super) fn is_used(context: &Context<'_>, service: &Service) -> bool {
    context.needed.contains(service.name.as_str())
        || !context.settings(service).hosts.is_empty()
        || known_as(service).any(|name| context.hosts.mentions(name).is_some())
}

/// The names by which a service's containers are reached.
pub(super) fn known_as(service: &Service) -> impl Iterator<Item = &str> {
    std::iter::once(service.name.as_str()).chain(service.container_name.as_deref()).chain(aliases(service))
}

/// `80`, `8000-8010`, `53/udp`.
pub(super) fn exposed(text: &str) -> Option<(u16, u16, Protocol)> {
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
