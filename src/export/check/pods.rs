//! The rules of pods: their containers, volumes, probes and what they ask of nodes.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Affinity, Container, PodSpec, PodTemplateSpec, Probe, SecurityContext, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::Kind;
use super::super::name::is_data_key;
use super::rules::is_protocol;
use super::{Findings, Known, check_labels, check_selector};
use crate::project::syntax::{is_label, is_qualified, is_subdomain, quantity};

/// Checks pods; `claims` are the names of those that each gets of its own.
pub(super) fn check_template(
    template: &PodTemplateSpec,
    restart: &[&str],
    claims: &BTreeSet<&str>,
    place: &str,
    known: &Known<'_>,
    findings: &mut Findings<'_>,
) {
    if let Some(metadata) = &template.metadata {
        check_labels(&format!("{place}.metadata"), metadata, findings);
    }
    let place = format!("{place}.spec");
    let Some(spec) = &template.spec else { return findings.add(place, "is missing") };
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    findings.need(restart.contains(&policy), &format!("{place}.restartPolicy"), "is not one of its kind");
    check_surroundings(spec, &place, known, findings);
    let mut volumes = claims.clone();
    for volume in spec.volumes.iter().flatten() {
        let place = format!("{place}.volumes.{}", volume.name);
        findings.need(is_label(&volume.name, true), &place, "is not a DNS label");
        findings.need(volumes.insert(&volume.name), &place, "is there twice");
        check_volume(volume, &place, known, findings);
    }
    findings.need(!spec.containers.is_empty(), &format!("{place}.containers"), "is empty");
    let mut names = BTreeSet::new();
    let init = spec.init_containers.iter().flatten();
    for (part, container) in
        spec.containers.iter().map(|it| ("containers", it)).chain(init.map(|it| ("initContainers", it)))
    {
        let place = format!("{place}.{part}.{}", container.name);
        findings.need(is_label(&container.name, true), &place, "is not a DNS label");
        findings.need(names.insert(&container.name), &place, "is there twice");
        check_container(container, &place, &volumes, known, findings);
        if part == "initContainers" {
            let probes = [&container.startup_probe, &container.readiness_probe, &container.liveness_probe];
            findings.need(probes.iter().all(|probe| probe.is_none()), &place, "has a probe, though it runs to its end");
        }
    }
}

/// What a pod says beside its containers and volumes.
fn check_surroundings(spec: &PodSpec, place: &str, known: &Known<'_>, findings: &mut Findings<'_>) {
    let hostname = spec.hostname.as_deref();
    findings.need(hostname.is_none_or(|name| is_label(name, true)), &format!("{place}.hostname"), "is not a DNS label");
    if let Some(account) = &spec.service_account_name {
        findings.refers(Kind::ServiceAccount, account, [].into_iter(), &format!("{place}.serviceAccountName"), known);
    }
    for secret in spec.image_pull_secrets.iter().flatten() {
        findings.refers(Kind::Secret, &secret.name, [].into_iter(), &format!("{place}.imagePullSecrets"), known);
    }
    for alias in spec.host_aliases.iter().flatten() {
        let place = format!("{place}.hostAliases");
        findings.need(alias.ip.parse::<std::net::IpAddr>().is_ok(), &place, "has one that is not an address");
        let names = alias.hostnames.iter().flatten().all(|name| is_subdomain(name));
        findings.need(names, &place, "has one that is not a DNS name");
    }
    for (key, value) in spec.node_selector.iter().flatten() {
        let is_label = is_qualified(key) && crate::project::syntax::is_label_value(value);
        findings.need(is_label, &format!("{place}.nodeSelector"), "has a label that is not valid");
    }
    for spread in spec.topology_spread_constraints.iter().flatten() {
        let place = format!("{place}.topologySpreadConstraints");
        findings.need(is_qualified(&spread.topology_key), &place, "has no valid key");
        findings.need(spread.max_skew >= 1, &place, "allows no skew");
        let is_word = ["DoNotSchedule", "ScheduleAnyway"].contains(&spread.when_unsatisfiable.as_str());
        findings.need(is_word, &place, "says nothing valid of what happens when it cannot be met");
        check_selector(spread.label_selector.as_ref(), &place, known, findings);
    }
    if let Some(affinity) = &spec.affinity {
        check_affinity(affinity, &format!("{place}.affinity"), known, findings);
    }
    if let Some(dns) = &spec.dns_config {
        let place = format!("{place}.dnsConfig");
        let servers = dns.nameservers.as_deref().unwrap_or_default();
        let are_addresses = servers.iter().all(|server| server.parse::<std::net::IpAddr>().is_ok());
        findings.need(servers.len() <= 3 && are_addresses, &place, "has more than three servers, or one that is none");
        findings.need(
            dns.searches.iter().flatten().all(|domain| is_subdomain(domain)),
            &place,
            "has a domain that is none",
        );
    }
    let sysctls = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    let mut names = BTreeSet::new();
    for sysctl in sysctls {
        findings.need(names.insert(&sysctl.name), &format!("{place}.securityContext.sysctls"), "has one twice");
    }
    let grace = spec.termination_grace_period_seconds;
    let is_grace = grace.is_none_or(|seconds| seconds >= 0);
    findings.need(is_grace, &format!("{place}.terminationGracePeriodSeconds"), "is negative");
}

fn check_affinity(affinity: &Affinity, place: &str, known: &Known<'_>, findings: &mut Findings<'_>) {
    let apart = affinity.pod_anti_affinity.as_ref();
    let required = apart.and_then(|it| it.required_during_scheduling_ignored_during_execution.as_deref());
    let preferred = apart.and_then(|it| it.preferred_during_scheduling_ignored_during_execution.as_deref());
    let weighted = preferred.unwrap_or_default();
    let terms = required.unwrap_or_default().iter().chain(weighted.iter().map(|term| &term.pod_affinity_term));
    for term in terms {
        findings.need(is_qualified(&term.topology_key), place, "has a term without a topology key");
        check_selector(term.label_selector.as_ref(), place, known, findings);
    }
    findings.need(weighted.iter().all(|term| (1..=100).contains(&term.weight)), place, "has a weight beyond 100");
    let nodes = affinity.node_affinity.as_ref();
    let nodes = nodes.and_then(|it| it.required_during_scheduling_ignored_during_execution.as_ref());
    let rules =
        nodes.into_iter().flat_map(|it| &it.node_selector_terms).flat_map(|it| it.match_expressions.iter().flatten());
    for rule in rules {
        findings.need(is_qualified(&rule.key), place, "has a label of a node that is not valid");
        let has_values = rule.values.as_ref().is_some_and(|values| !values.is_empty());
        let needs_values = ["In", "NotIn"].contains(&rule.operator.as_str());
        let is_word = needs_values || ["Exists", "DoesNotExist"].contains(&rule.operator.as_str());
        findings.need(is_word && has_values == needs_values, place, "has a condition that is not valid");
    }
}

fn check_volume(volume: &Volume, place: &str, known: &Known<'_>, findings: &mut Findings<'_>) {
    let mut sources = 0;
    if let Some(source) = &volume.config_map {
        sources += 1;
        let keys = source.items.iter().flatten().map(|item| item.key.as_str());
        findings.refers(Kind::ConfigMap, &source.name, keys, place, known);
        check_modes(source.items.iter().flatten(), place, findings);
    }
    if let Some(source) = &volume.secret {
        sources += 1;
        let keys = source.items.iter().flatten().map(|item| item.key.as_str());
        findings.refers(Kind::Secret, source.secret_name.as_deref().unwrap_or_default(), keys, place, known);
        check_modes(source.items.iter().flatten(), place, findings);
    }
    if let Some(source) = &volume.persistent_volume_claim {
        sources += 1;
        findings.refers(Kind::PersistentVolumeClaim, &source.claim_name, [].into_iter(), place, known);
    }
    if let Some(source) = &volume.empty_dir {
        sources += 1;
        let size = source.size_limit.as_ref().is_none_or(|size| quantity(&size.0).is_some_and(|size| size >= 0));
        findings.need(size, place, "has a limit that is not a quantity");
        let medium = source.medium.as_deref().is_none_or(|medium| ["", "Memory"].contains(&medium));
        findings.need(medium, place, "has a medium that is not one of its kind");
    }
    if let Some(source) = &volume.projected {
        sources += 1;
        let mut paths = BTreeSet::new();
        for source in source.sources.iter().flatten() {
            let mut items = Vec::new();
            if let Some(map) = &source.config_map {
                let keys = map.items.iter().flatten().map(|item| item.key.as_str());
                findings.refers(Kind::ConfigMap, &map.name, keys, place, known);
                items.extend(map.items.iter().flatten());
            }
            if let Some(secret) = &source.secret {
                let keys = secret.items.iter().flatten().map(|item| item.key.as_str());
                findings.refers(Kind::Secret, &secret.name, keys, place, known);
                items.extend(secret.items.iter().flatten());
            }
            check_modes(items.iter().copied(), place, findings);
            let all_new = items.iter().all(|item| paths.insert(item.path.clone()));
            findings.need(all_new, place, "has a path twice");
        }
    }
    findings.need(sources == 1, place, "has not exactly one source");
}

fn check_modes<'a>(
    items: impl Iterator<Item = &'a k8s_openapi::api::core::v1::KeyToPath>,
    place: &str,
    findings: &mut Findings<'_>,
) {
    for item in items {
        let mode = item.mode.is_none_or(|mode| (0..=0o777).contains(&mode));
        findings.need(mode, place, "has a mode that is none");
        findings.need(is_inside(&item.path), place, "has a path that leads out of it");
    }
}

fn is_inside(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && path.split('/').all(|part| part != "..")
}

fn check_container(
    container: &Container,
    place: &str,
    volumes: &BTreeSet<&str>,
    known: &Known<'_>,
    findings: &mut Findings<'_>,
) {
    let image = container.image.as_deref().unwrap_or_default();
    findings.need(!image.is_empty() && image.trim() == image, place, "has no image");
    let pull = container.image_pull_policy.as_deref();
    let is_policy = pull.is_none_or(|pull| ["Always", "IfNotPresent", "Never"].contains(&pull));
    findings.need(is_policy, &format!("{place}.imagePullPolicy"), "is not one of its kind");
    let names = check_ports(container, place, findings);
    check_environment(container, place, known, findings);
    check_mounts(container, place, volumes, findings);
    if let Some(resources) = &container.resources {
        check_resources(resources.requests.as_ref(), resources.limits.as_ref(), place, findings);
    }
    if let Some(context) = &container.security_context {
        check_security(context, &format!("{place}.securityContext"), findings);
    }
    for (name, probe) in [
        ("startupProbe", &container.startup_probe),
        ("readinessProbe", &container.readiness_probe),
        ("livenessProbe", &container.liveness_probe),
    ] {
        if let Some(probe) = probe {
            check_probe(probe, &names, &format!("{place}.{name}"), findings);
        }
    }
    for handler in container.lifecycle.iter().flat_map(|it| [&it.post_start, &it.pre_stop]).flatten() {
        let exec = handler.exec.as_ref().and_then(|exec| exec.command.as_ref());
        findings.need(exec.is_some_and(|words| !words.is_empty()), &format!("{place}.lifecycle"), "runs nothing");
    }
}

/// The names of a container's ports.
fn check_ports<'c>(container: &'c Container, place: &str, findings: &mut Findings<'_>) -> BTreeSet<&'c str> {
    let place = format!("{place}.ports");
    let mut names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for port in container.ports.iter().flatten() {
        findings.need(numbers.insert((port.container_port, &port.protocol)), &place, "has one twice");
        findings.need(is_range(port.container_port), &place, "has one that is not between 1 and 65535");
        findings.need(is_protocol(port.protocol.as_deref()), &place, "has a protocol that is not one of its kind");
        if let Some(name) = &port.name {
            findings.need(is_port_name(name), &place, "has a name of more than 15 letters, digits and dashes");
            findings.need(names.insert(name.as_str()), &place, "has a name twice");
        }
    }
    names
}

fn check_environment(container: &Container, place: &str, known: &Known<'_>, findings: &mut Findings<'_>) {
    for source in container.env_from.iter().flatten() {
        let place = format!("{place}.envFrom");
        if let Some(map) = &source.config_map_ref {
            findings.refers(Kind::ConfigMap, &map.name, [].into_iter(), &place, known);
        }
        if let Some(secret) = &source.secret_ref {
            findings.refers(Kind::Secret, &secret.name, [].into_iter(), &place, known);
        }
        let both = source.config_map_ref.is_some() == source.secret_ref.is_some();
        findings.need(!both, &place, "has not exactly one source");
    }
    let mut names = BTreeSet::new();
    for variable in container.env.iter().flatten() {
        let place = format!("{place}.env");
        findings.need(is_data_key(&variable.name), &place, "has a name that is not valid");
        findings.need(names.insert(&variable.name), &place, "has a name twice");
        let both = variable.value.is_some() && variable.value_from.is_some();
        findings.need(!both, &place, "has a value and a source of one");
        let secret = variable.value_from.as_ref().and_then(|source| source.secret_key_ref.as_ref());
        if let Some(secret) = secret {
            findings.need(!secret.key.is_empty(), &place, "names no key of a Secret");
            findings.refers(Kind::Secret, &secret.name, [secret.key.as_str()].into_iter(), &place, known);
        }
    }
}

fn check_mounts(container: &Container, place: &str, volumes: &BTreeSet<&str>, findings: &mut Findings<'_>) {
    let place = format!("{place}.volumeMounts");
    let mut paths = BTreeSet::new();
    for mount in container.volume_mounts.iter().flatten() {
        findings.need(volumes.contains(mount.name.as_str()), &place, "has one of a volume that is not there");
        findings.need(paths.insert(&mount.mount_path), &place, "has a path twice");
        let path = mount.mount_path.starts_with('/') && !mount.mount_path.contains(':');
        findings.need(path, &place, "has a path that is not absolute or has a colon");
        let inside = mount.sub_path.as_ref().is_none_or(|path| is_inside(path));
        findings.need(inside, &place, "has a sub-path that leads out of its volume");
    }
}

fn check_resources(
    requests: Option<&BTreeMap<String, Quantity>>,
    limits: Option<&BTreeMap<String, Quantity>>,
    place: &str,
    findings: &mut Findings<'_>,
) {
    let place = format!("{place}.resources");
    for (name, amount) in requests.into_iter().chain(limits).flatten() {
        let is_amount = quantity(&amount.0).is_some_and(|amount| amount >= 0);
        findings.need(is_amount && is_qualified(name), &place, "has an amount that is not a quantity");
    }
    for (name, request) in requests.into_iter().flatten() {
        let limit = limits.and_then(|limits| limits.get(name));
        let fits = limit.is_none_or(|limit| quantity(&request.0) <= quantity(&limit.0));
        findings.need(fits, &place, "requests more than the limit");
    }
}

fn check_security(context: &SecurityContext, place: &str, findings: &mut Findings<'_>) {
    let forbids = context.allow_privilege_escalation == Some(false);
    let added = context.capabilities.as_ref().and_then(|it| it.add.as_deref()).unwrap_or_default();
    let gains =
        context.privileged == Some(true) || added.iter().any(|name| name == "SYS_ADMIN" || name == "CAP_SYS_ADMIN");
    findings.need(!(forbids && gains), place, "forbids more privileges and gives them");
    let is_root = context.run_as_user == Some(0) && context.run_as_non_root == Some(true);
    findings.need(!is_root, place, "runs as root and forbids it");
    let ids = [context.run_as_user, context.run_as_group];
    let are_ids = ids.iter().flatten().all(|id| (0..=i64::from(i32::MAX)).contains(id));
    findings.need(are_ids, place, "has a number of a user that is none");
}

fn check_probe(probe: &Probe, names: &BTreeSet<&str>, place: &str, findings: &mut Findings<'_>) {
    let handlers = [probe.exec.is_some(), probe.http_get.is_some(), probe.tcp_socket.is_some(), probe.grpc.is_some()];
    findings.need(handlers.iter().filter(|there| **there).count() == 1, place, "has not exactly one way to ask");
    let command = probe.exec.as_ref().is_none_or(|exec| exec.command.as_ref().is_some_and(|words| !words.is_empty()));
    findings.need(command, place, "has an empty command");
    let request = probe.http_get.as_ref().map(|request| &request.port);
    let connection = probe.tcp_socket.as_ref().map(|connection| &connection.port);
    for port in request.into_iter().chain(connection) {
        let is_there = match port {
            IntOrString::Int(number) => is_range(*number),
            IntOrString::String(name) => names.contains(name.as_str()),
        };
        findings.need(is_there, place, "asks a port that is not there");
    }
    let counts = [probe.period_seconds, probe.timeout_seconds, probe.failure_threshold];
    findings.need(counts.iter().flatten().all(|count| *count >= 1), place, "counts with something below 1");
}

pub(super) fn is_range(port: i32) -> bool {
    (1..=65535).contains(&port)
}

pub(super) fn is_port_name(name: &str) -> bool {
    is_label(name, true)
        && name.len() <= 15
        && !name.contains("--")
        && name.contains(|character: char| character.is_ascii_lowercase())
}
