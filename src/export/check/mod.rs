//! The rules that a real API server has beyond types and required fields, held against an export before it is written.
//!
//! No schema knows them: that names are DNS names, that a selector matches its pods, that what is referred to is there.
//! A violation is a mistake of the export, not of the project.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use k8s_openapi::api::core::v1::{Container, PodTemplateSpec, Probe, Service, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::files::OBJECT_LIMIT;
use super::name::{is_data_key, is_label, is_label_value, is_qualified, is_subdomain};
use super::{Kind, Object, Reference};

/// An object that an API server would refuse, or that could not do what it is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The object.
    pub object: Reference,
    /// The field: `spec.template.spec.containers.web.ports`.
    pub field: String,
    /// The rule that it breaks.
    pub rule: String,
}

impl Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reference { kind, name } = &self.object;
        write!(formatter, "{} `{name}`: `{}` {}", kind.as_str(), self.field, self.rule)
    }
}

/// Checks objects that are to be applied together; `external` are those that others make. The result is sorted.
#[must_use]
pub fn check(objects: &[Object], external: &BTreeSet<Reference>) -> Vec<Violation> {
    let known = Known::of(objects, external);
    let mut violations = Vec::new();
    let mut seen = BTreeSet::new();
    for object in objects {
        let mut findings = Findings { object: object.reference(), violations: &mut violations };
        if !seen.insert(object.reference()) {
            findings.add("metadata.name", "is the name of another object of its kind");
        }
        check_metadata(object, &mut findings);
        check_object(object, &known, &mut findings);
    }
    violations.sort();
    violations
}

/// What the objects may refer to.
struct Known<'a> {
    references: BTreeSet<Reference>,
    /// The keys of the `ConfigMap`s and Secrets that are exported.
    keys: BTreeMap<Reference, BTreeSet<&'a str>>,
    /// The labels of all pods.
    pods: BTreeSet<BTreeMap<&'a str, &'a str>>,
}

impl<'a> Known<'a> {
    fn of(objects: &'a [Object], external: &BTreeSet<Reference>) -> Self {
        let references = objects.iter().map(Object::reference).chain(external.iter().cloned()).collect();
        let keys = objects.iter().map(|object| (object.reference(), data_keys(object))).collect();
        let pods = objects
            .iter()
            .filter_map(|object| template(object)?.metadata.as_ref()?.labels.as_ref())
            .map(|labels| labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect())
            .collect();
        Self { references, keys, pods }
    }
}

struct Findings<'a> {
    object: Reference,
    violations: &'a mut Vec<Violation>,
}

impl Findings<'_> {
    fn add(&mut self, field: impl Into<String>, rule: impl Into<String>) {
        self.violations.push(Violation { object: self.object.clone(), field: field.into(), rule: rule.into() });
    }

    fn need(&mut self, holds: bool, field: &str, rule: &str) {
        if !holds {
            self.add(field, rule);
        }
    }
}

fn check_metadata(object: &Object, findings: &mut Findings<'_>) {
    let name_is_valid = match object.kind() {
        Kind::Service => is_label(object.name(), false),
        // Its pods carry the name as a label.
        Kind::Job => is_label(object.name(), true),
        _ => is_subdomain(object.name()),
    };
    findings.need(name_is_valid, "metadata.name", "is not a DNS name");
    check_labels("metadata", object.metadata(), findings);
}

fn check_labels(place: &str, metadata: &ObjectMeta, findings: &mut Findings<'_>) {
    for (key, value) in metadata.labels.iter().flatten() {
        findings.need(is_qualified(key), &format!("{place}.labels"), "has a key that is not valid");
        findings.need(is_label_value(value), &format!("{place}.labels.{key}"), "is not a valid value of a label");
    }
    for key in metadata.annotations.iter().flat_map(BTreeMap::keys) {
        findings.need(is_qualified(key), &format!("{place}.annotations"), "has a key that is not valid");
    }
}

fn check_object(object: &Object, known: &Known<'_>, findings: &mut Findings<'_>) {
    match object {
        Object::PersistentVolumeClaim(claim) => {
            let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
            let storage = requests.and_then(|requests| requests.get("storage"));
            findings.need(
                storage.is_some_and(|size| is_quantity(&size.0)),
                "spec.resources.requests.storage",
                "is not a quantity",
            );
        }
        Object::ConfigMap(map) => {
            let text = map.data.iter().flatten().map(|(_, value)| value.len());
            let binary = map.binary_data.iter().flatten().map(|(_, value)| value.0.len());
            check_data(object, text.chain(binary).sum(), findings);
        }
        Object::Secret(secret) => {
            let text = secret.string_data.iter().flatten().map(|(_, value)| value.len());
            let binary = secret.data.iter().flatten().map(|(_, value)| value.0.len());
            check_data(object, text.chain(binary).sum(), findings);
        }
        Object::Service(service) => check_service(service, known, findings),
        Object::Job(job) => {
            let Some(spec) = &job.spec else { return findings.add("spec", "is missing") };
            check_template(&spec.template, &["Never", "OnFailure"], known, findings);
            let counts = [spec.backoff_limit, spec.completions, spec.parallelism];
            findings.need(counts.iter().flatten().all(|count| *count >= 0), "spec", "has a negative count");
        }
        Object::Deployment(deployment) => {
            let Some(spec) = &deployment.spec else { return findings.add("spec", "is missing") };
            check_template(&spec.template, &["Always"], known, findings);
            findings.need(spec.replicas.is_none_or(|count| count >= 0), "spec.replicas", "is negative");
            let labels = spec.template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
            let selects = |wanted: &BTreeMap<String, String>| {
                !wanted.is_empty()
                    && wanted.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
            };
            findings.need(
                spec.selector.match_labels.as_ref().is_some_and(selects),
                "spec.selector",
                "does not match the labels of its pods",
            );
        }
    }
}

fn check_data(object: &Object, size: usize, findings: &mut Findings<'_>) {
    findings.need(data_keys(object).iter().all(|key| is_data_key(key)), "data", "has a key that is not valid");
    findings.need(size <= OBJECT_LIMIT, "data", "is more than 1 MiB");
}

fn check_service(service: &Service, known: &Known<'_>, findings: &mut Findings<'_>) {
    let Some(spec) = &service.spec else { return findings.add("spec", "is missing") };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let headless = spec.cluster_ip.as_deref() == Some("None");
    findings.need(headless || !ports.is_empty(), "spec.ports", "is empty, which only a headless Service may be");
    let mut names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for port in ports {
        let name = port.name.as_deref().unwrap_or_default();
        findings.need(is_range(port.port), "spec.ports.port", "is not between 1 and 65535");
        let target = match &port.target_port {
            Some(IntOrString::Int(number)) => is_range(*number),
            Some(IntOrString::String(name)) => is_port_name(name),
            None => true,
        };
        findings.need(target, "spec.ports.targetPort", "is no port");
        findings.need(ports.len() == 1 || !name.is_empty(), "spec.ports.name", "is missing");
        findings.need(name.is_empty() || is_label(name, true), "spec.ports.name", "is not a DNS label");
        findings.need(names.insert(name), "spec.ports.name", "is there twice");
        findings.need(numbers.insert((port.port, &port.protocol)), "spec.ports.port", "is there twice");
    }
    let selector: BTreeMap<&str, &str> =
        spec.selector.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let selects = |labels: &BTreeMap<&str, &str>| selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    // Nearly always one lookup: most selectors are a part of exactly the labels that the pods of one service have.
    let mut likely = selector.clone();
    likely.insert("app.kubernetes.io/managed-by", "hoist");
    let matches = known.pods.contains(&likely) || known.pods.iter().any(selects);
    findings.need(!selector.is_empty() && matches, "spec.selector", "matches no pods");
}

fn check_template(template: &PodTemplateSpec, restart: &[&str], known: &Known<'_>, findings: &mut Findings<'_>) {
    if let Some(metadata) = &template.metadata {
        check_labels("spec.template.metadata", metadata, findings);
    }
    let Some(spec) = &template.spec else { return findings.add("spec.template.spec", "is missing") };
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    findings.need(restart.contains(&policy), "spec.template.spec.restartPolicy", "is not one of its kind");
    findings.need(!spec.containers.is_empty(), "spec.template.spec.containers", "is empty");
    let hostname = spec.hostname.as_deref();
    findings.need(
        hostname.is_none_or(|name| is_label(name, true)),
        "spec.template.spec.hostname",
        "is not a DNS label",
    );
    for alias in spec.host_aliases.iter().flatten() {
        let address = alias.ip.parse::<std::net::IpAddr>();
        findings.need(address.is_ok(), "spec.template.spec.hostAliases.ip", "is not an address");
        let names = alias.hostnames.iter().flatten().all(|name| is_subdomain(name));
        findings.need(names, "spec.template.spec.hostAliases.hostnames", "has one that is not a DNS name");
    }
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    let mut volume_names = BTreeSet::new();
    for volume in volumes {
        let place = format!("spec.template.spec.volumes.{}", volume.name);
        findings.need(is_label(&volume.name, true), &place, "is not a DNS label");
        findings.need(volume_names.insert(volume.name.as_str()), &place, "is there twice");
        check_volume(volume, &place, known, findings);
    }
    let mut container_names = BTreeSet::new();
    for container in &spec.containers {
        let place = format!("spec.template.spec.containers.{}", container.name);
        findings.need(is_label(&container.name, true), &place, "is not a DNS label");
        findings.need(container_names.insert(&container.name), &place, "is there twice");
        check_container(container, &place, &volume_names, known, findings);
    }
}

fn check_volume(volume: &Volume, place: &str, known: &Known<'_>, findings: &mut Findings<'_>) {
    let mut sources = 0;
    if let Some(source) = &volume.config_map {
        sources += 1;
        let keys = source.items.iter().flatten().map(|item| item.key.as_str());
        check_reference(Kind::ConfigMap, &source.name, keys, place, known, findings);
    }
    if let Some(source) = &volume.secret {
        sources += 1;
        let keys = source.items.iter().flatten().map(|item| item.key.as_str());
        check_reference(Kind::Secret, source.secret_name.as_deref().unwrap_or_default(), keys, place, known, findings);
    }
    if let Some(source) = &volume.persistent_volume_claim {
        sources += 1;
        check_reference(Kind::PersistentVolumeClaim, &source.claim_name, [].into_iter(), place, known, findings);
    }
    if let Some(source) = &volume.empty_dir {
        sources += 1;
        let size = source.size_limit.as_ref().is_none_or(|size| is_quantity(&size.0));
        findings.need(size, place, "has a limit that is not a quantity");
    }
    findings.need(sources == 1, place, "has not exactly one source");
}

fn check_reference<'a>(
    kind: Kind,
    name: &str,
    mut keys: impl Iterator<Item = &'a str>,
    place: &str,
    known: &Known<'_>,
    findings: &mut Findings<'_>,
) {
    let reference = Reference { kind, name: name.to_owned() };
    if !known.references.contains(&reference) {
        findings.add(place, format!("refers to the {} `{name}`, which is not there", kind.as_str()));
    } else if let Some(there) = known.keys.get(&reference) {
        let all = keys.all(|key| there.contains(key));
        findings.need(all, place, &format!("refers to a key that the {} `{name}` does not have", kind.as_str()));
    }
}

fn check_container(
    container: &Container,
    place: &str,
    volumes: &BTreeSet<&str>,
    known: &Known<'_>,
    findings: &mut Findings<'_>,
) {
    findings.need(container.image.as_deref().is_some_and(|image| !image.is_empty()), place, "has no image");
    let mut names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    let ports_place = format!("{place}.ports");
    for port in container.ports.iter().flatten() {
        findings.need(is_range(port.container_port), &ports_place, "has one that is not between 1 and 65535");
        findings.need(numbers.insert((port.container_port, &port.protocol)), &ports_place, "has one twice");
        if let Some(name) = &port.name {
            findings.need(is_port_name(name), &ports_place, "has a name of more than 15 letters, digits and dashes");
            findings.need(names.insert(name), &ports_place, "has a name twice");
        }
    }
    for source in container.env_from.iter().flatten() {
        let place = format!("{place}.envFrom");
        if let Some(map) = &source.config_map_ref {
            check_reference(Kind::ConfigMap, &map.name, [].into_iter(), &place, known, findings);
        }
        if let Some(secret) = &source.secret_ref {
            check_reference(Kind::Secret, &secret.name, [].into_iter(), &place, known, findings);
        }
    }
    let mut paths = BTreeSet::new();
    for mount in container.volume_mounts.iter().flatten() {
        let place = format!("{place}.volumeMounts");
        findings.need(volumes.contains(mount.name.as_str()), &place, "has one of a volume that is not there");
        findings.need(paths.insert(&mount.mount_path), &place, "has a path twice");
        let path = mount.mount_path.starts_with('/') && !mount.mount_path.contains(':');
        findings.need(path, &place, "has a path that is not absolute or has a colon");
        let inside = mount
            .sub_path
            .as_ref()
            .is_none_or(|path| !path.starts_with('/') && path.split('/').all(|part| part != ".."));
        findings.need(inside, &place, "has a sub-path that leads out of its volume");
    }
    let probes = [&container.startup_probe, &container.readiness_probe, &container.liveness_probe];
    for probe in probes.into_iter().flatten() {
        check_probe(probe, &format!("{place}.probes"), findings);
    }
}

fn check_probe(probe: &Probe, place: &str, findings: &mut Findings<'_>) {
    let handlers = [probe.exec.is_some(), probe.http_get.is_some(), probe.tcp_socket.is_some(), probe.grpc.is_some()];
    findings.need(handlers.iter().filter(|there| **there).count() == 1, place, "has not exactly one way to ask");
    let command = probe.exec.as_ref().is_none_or(|exec| exec.command.as_ref().is_some_and(|words| !words.is_empty()));
    findings.need(command, place, "has an empty command");
    if let Some(request) = &probe.http_get {
        let port = matches!(request.port, IntOrString::Int(number) if is_range(number));
        findings.need(port, place, "asks a port that is not between 1 and 65535");
    }
    let counts = [probe.period_seconds, probe.timeout_seconds, probe.failure_threshold];
    findings.need(counts.iter().flatten().all(|count| *count >= 1), place, "counts with something below 1");
}

fn template(object: &Object) -> Option<&PodTemplateSpec> {
    match object {
        Object::Job(job) => job.spec.as_ref().map(|spec| &spec.template),
        Object::Deployment(deployment) => deployment.spec.as_ref().map(|spec| &spec.template),
        _ => None,
    }
}

fn data_keys(object: &Object) -> BTreeSet<&str> {
    match object {
        Object::ConfigMap(map) => {
            let text = map.data.iter().flat_map(BTreeMap::keys);
            text.chain(map.binary_data.iter().flat_map(BTreeMap::keys)).map(String::as_str).collect()
        }
        Object::Secret(secret) => {
            let text = secret.string_data.iter().flat_map(BTreeMap::keys);
            text.chain(secret.data.iter().flat_map(BTreeMap::keys)).map(String::as_str).collect()
        }
        _ => BTreeSet::new(),
    }
}

fn is_range(port: i32) -> bool {
    (1..=65535).contains(&port)
}

fn is_port_name(name: &str) -> bool {
    is_label(name, true)
        && name.len() <= 15
        && !name.contains("--")
        && name.contains(|character: char| character.is_ascii_lowercase())
}

/// A number with an optional fraction and one of the suffixes of Kubernetes.
fn is_quantity(text: &str) -> bool {
    let number = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "m", "k", "M", "G", "T", "P", "E"]
        .iter()
        .find_map(|suffix| text.strip_suffix(suffix))
        .unwrap_or(text);
    number.chars().all(|digit| digit.is_ascii_digit() || digit == '.')
        && number.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests;
