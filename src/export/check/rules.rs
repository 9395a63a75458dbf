//! The rules of each kind.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerSpec;
use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PodTemplateSpec, Service, ServiceSpec};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::custom::{ExternalSecret, HTTPRoute};
use super::super::files::OBJECT_LIMIT;
use super::super::name::is_data_key;
use super::super::{Kind, Object, Reference};
use super::pods::{self, is_port_name, is_range};
use super::{Findings, Known, check_selector};
use crate::project::syntax::{is_host, is_label, is_qualified, is_schedule, is_subdomain, quantity};

pub(super) fn check(object: &Object, known: &Known<'_>, findings: &mut Findings<'_>) {
    match object {
        Object::Namespace(_) | Object::ServiceAccount(_) => {}
        Object::Role(role) => {
            let rules = role.rules.as_deref().unwrap_or_default();
            findings.need(rules.iter().all(|rule| !rule.verbs.is_empty()), "rules", "allows nothing");
        }
        Object::RoleBinding(binding) => {
            findings.refers(Kind::Role, &binding.role_ref.name, [].into_iter(), "roleRef", known);
            for subject in binding.subjects.iter().flatten() {
                findings.refers(Kind::ServiceAccount, &subject.name, [].into_iter(), "subjects", known);
                findings.need(subject.namespace.is_some(), "subjects.namespace", "is missing");
            }
        }
        Object::PersistentVolumeClaim(claim) => check_claim(claim, "spec", findings),
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
        Object::ExternalSecret(secret) => check_external_secret(secret, findings),
        Object::SealedSecret(secret) => {
            let keys = secret.spec.encrypted_data.keys();
            findings.need(
                keys.clone().all(|key| is_data_key(key)),
                "spec.encryptedData",
                "has a key that is not valid",
            );
            findings.need(keys.len() > 0, "spec.encryptedData", "is empty");
        }
        Object::Service(service) => check_service(service, known, findings),
        Object::Job(job) => match &job.spec {
            Some(spec) => check_job(spec, "spec", known, findings),
            None => findings.add("spec", "is missing"),
        },
        Object::CronJob(job) => {
            let Some(spec) = &job.spec else { return findings.add("spec", "is missing") };
            findings.need(is_schedule(&spec.schedule), "spec.schedule", "is no schedule");
            let policy = spec.concurrency_policy.as_deref().unwrap_or("Allow");
            let is_policy = ["Allow", "Forbid", "Replace"].contains(&policy);
            findings.need(is_policy, "spec.concurrencyPolicy", "is not one of its kind");
            match &spec.job_template.spec {
                Some(spec) => check_job(spec, "spec.jobTemplate.spec", known, findings),
                None => findings.add("spec.jobTemplate.spec", "is missing"),
            }
        }
        Object::StatefulSet(set) => {
            let Some(spec) = &set.spec else { return findings.add("spec", "is missing") };
            check_running(&spec.template, &spec.selector, spec.replicas, known, findings);
            let claims = spec.volume_claim_templates.as_deref().unwrap_or_default();
            for claim in claims {
                check_claim(claim, "spec.volumeClaimTemplates.spec", findings);
            }
            let claims = claims.iter().filter_map(|claim| claim.metadata.name.as_deref()).collect();
            pods::check_template(&spec.template, &["Always"], &claims, "spec.template", known, findings);
            let name = spec.service_name.as_deref().unwrap_or_default();
            findings.refers(Kind::Service, name, [].into_iter(), "spec.serviceName", known);
        }
        Object::Deployment(deployment) => {
            let Some(spec) = &deployment.spec else { return findings.add("spec", "is missing") };
            check_running(&spec.template, &spec.selector, spec.replicas, known, findings);
            pods::check_template(&spec.template, &["Always"], &BTreeSet::new(), "spec.template", known, findings);
            let rolling = spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
            let is_zero = |count: Option<&IntOrString>| matches!(count, Some(IntOrString::Int(0)));
            let stuck = rolling.is_some_and(|rolling| {
                is_zero(rolling.max_surge.as_ref()) && is_zero(rolling.max_unavailable.as_ref())
            });
            findings.need(!stuck, "spec.strategy.rollingUpdate", "exchanges no pod at a time");
        }
        Object::DaemonSet(set) => {
            let Some(spec) = &set.spec else { return findings.add("spec", "is missing") };
            check_running(&spec.template, &spec.selector, None, known, findings);
            pods::check_template(&spec.template, &["Always"], &BTreeSet::new(), "spec.template", known, findings);
        }
        Object::HorizontalPodAutoscaler(scaler) => match &scaler.spec {
            Some(spec) => check_scaler(spec, known, findings),
            None => findings.add("spec", "is missing"),
        },
        Object::PodDisruptionBudget(budget) => {
            let Some(spec) = &budget.spec else { return findings.add("spec", "is missing") };
            let both = spec.max_unavailable.is_some() && spec.min_available.is_some();
            findings.need(!both, "spec", "says both how many may be missing and how many must be there");
            check_selector(spec.selector.as_ref(), "spec.selector", known, findings);
        }
        Object::NetworkPolicy(policy) => check_policy(policy, known, findings),
        Object::Ingress(ingress) => check_ingress(ingress, known, findings),
        Object::HTTPRoute(route) => check_route(route, known, findings),
    }
}

fn check_claim(claim: &PersistentVolumeClaim, place: &str, findings: &mut Findings<'_>) {
    const MODES: [&str; 4] = ["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany", "ReadOnlyMany"];
    let spec = claim.spec.as_ref();
    let requests = spec.and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let storage = requests.and_then(|requests| quantity(&requests.get("storage")?.0));
    findings.need(
        storage.is_some_and(|size| size > 0),
        &format!("{place}.resources.requests.storage"),
        "is not a quantity",
    );
    let modes = spec.and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
    let modes_are_known = !modes.is_empty() && modes.iter().all(|mode| MODES.contains(&mode.as_str()));
    findings.need(modes_are_known, &format!("{place}.accessModes"), "has one that is not one of its kind");
    let class = spec.and_then(|spec| spec.storage_class_name.as_deref());
    findings.need(class.is_none_or(is_subdomain), &format!("{place}.storageClassName"), "is not a DNS name");
}

/// What every owner of running pods has.
fn check_running(
    template: &PodTemplateSpec,
    selector: &LabelSelector,
    replicas: Option<i32>,
    known: &Known<'_>,
    findings: &mut Findings<'_>,
) {
    findings.need(replicas.is_none_or(|count| count >= 0), "spec.replicas", "is negative");
    let labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
    let selects = |wanted: &BTreeMap<String, String>| {
        let matches = |(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value);
        !wanted.is_empty() && wanted.iter().all(matches)
    };
    let wanted = selector.match_labels.as_ref();
    findings.need(wanted.is_some_and(selects), "spec.selector", "does not match the labels of its pods");
    // One that selects another's pods would end them.
    let alone = wanted.is_none_or(|wanted| known.selected(wanted).len() <= 1);
    findings.need(alone, "spec.selector", "matches the pods of another one too");
}

fn check_job(spec: &JobSpec, place: &str, known: &Known<'_>, findings: &mut Findings<'_>) {
    let template = format!("{place}.template");
    pods::check_template(&spec.template, &["Never", "OnFailure"], &BTreeSet::new(), &template, known, findings);
    let counts = [spec.backoff_limit, spec.completions, spec.parallelism];
    findings.need(counts.iter().flatten().all(|count| *count >= 0), place, "has a negative count");
}

fn check_data(object: &Object, size: usize, findings: &mut Findings<'_>) {
    findings.need(data_keys(object).iter().all(|key| is_data_key(key)), "data", "has a key that is not valid");
    findings.need(size <= OBJECT_LIMIT, "data", "is more than 1 MiB");
}

/// The keys of a `ConfigMap` or Secret.
pub(super) fn data_keys(object: &Object) -> BTreeSet<&str> {
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

fn check_external_secret(secret: &ExternalSecret, findings: &mut Findings<'_>) {
    let spec = &secret.spec;
    let keys = spec.data.iter().map(|data| data.secret_key.as_str());
    findings.need(keys.clone().all(is_data_key), "spec.data", "has a key that is not valid");
    findings.need(keys.collect::<BTreeSet<_>>().len() == spec.data.len(), "spec.data", "has a key twice");
    findings.need(is_subdomain(&spec.secret_store_ref.name), "spec.secretStoreRef.name", "is not a DNS name");
    let is_kind = ["SecretStore", "ClusterSecretStore"].contains(&spec.secret_store_ref.kind.as_str());
    findings.need(is_kind, "spec.secretStoreRef.kind", "is not one of its kind");
}

fn check_service(service: &Service, known: &Known<'_>, findings: &mut Findings<'_>) {
    let Some(spec) = &service.spec else { return findings.add("spec", "is missing") };
    let type_ = spec.type_.as_deref().unwrap_or("ClusterIP");
    let is_type = ["ClusterIP", "NodePort", "LoadBalancer"].contains(&type_);
    findings.need(is_type, "spec.type", "is not one of its kind");
    let headless = spec.cluster_ip.as_deref() == Some("None");
    findings.need(!headless || type_ == "ClusterIP", "spec.clusterIP", "has no address, which its type needs");
    let pods = spec.selector.as_ref().filter(|wanted| !wanted.is_empty()).map(|wanted| known.selected(wanted));
    let pods = pods.unwrap_or_default();
    findings.need(!pods.is_empty(), "spec.selector", "matches no pods");
    check_service_ports(spec, headless, &pods, findings);
}

fn check_service_ports(spec: &ServiceSpec, headless: bool, pods: &[&BTreeSet<&str>], findings: &mut Findings<'_>) {
    let ports = spec.ports.as_deref().unwrap_or_default();
    findings.need(headless || !ports.is_empty(), "spec.ports", "is empty, which only a headless Service may be");
    let mut names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for port in ports {
        let name = port.name.as_deref().unwrap_or_default();
        findings.need(is_range(port.port), "spec.ports.port", "is not between 1 and 65535");
        match &port.target_port {
            Some(IntOrString::Int(number)) => {
                findings.need(is_range(*number), "spec.ports.targetPort", "is no port");
            }
            Some(IntOrString::String(name)) => {
                findings.need(is_port_name(name), "spec.ports.targetPort", "is no port");
                let is_there = pods.iter().all(|ports| ports.contains(name.as_str()));
                findings.need(is_there, "spec.ports.targetPort", "is no port of its pods");
            }
            None => {}
        }
        let node = port.node_port.is_none_or(|port| (30000..=32767).contains(&port));
        findings.need(node, "spec.ports.nodePort", "is not between 30000 and 32767");
        findings.need(is_protocol(port.protocol.as_deref()), "spec.ports.protocol", "is not one of its kind");
        findings.need(ports.len() == 1 || !name.is_empty(), "spec.ports.name", "is missing");
        findings.need(name.is_empty() || is_label(name, true), "spec.ports.name", "is not a DNS label");
        findings.need(names.insert(name), "spec.ports.name", "is there twice");
        findings.need(numbers.insert((port.port, &port.protocol)), "spec.ports.port", "is there twice");
        let app = port.app_protocol.as_deref();
        findings.need(app.is_none_or(is_qualified), "spec.ports.appProtocol", "is not a valid name");
    }
}

pub(super) fn is_protocol(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
}

fn check_scaler(spec: &HorizontalPodAutoscalerSpec, known: &Known<'_>, findings: &mut Findings<'_>) {
    let least = spec.min_replicas.unwrap_or(1);
    findings.need(spec.max_replicas >= 1, "spec.maxReplicas", "is less than 1");
    findings.need((1..=spec.max_replicas).contains(&least), "spec.minReplicas", "is not between 1 and the most");
    let target = &spec.scale_target_ref;
    let kind = Kind::ALL.iter().find(|kind| kind.as_str() == target.kind);
    match kind {
        Some(kind) => findings.refers(*kind, &target.name, [].into_iter(), "spec.scaleTargetRef", known),
        None => findings.add("spec.scaleTargetRef.kind", "is not one of its kind"),
    }
    let metrics = spec.metrics.as_deref().unwrap_or_default();
    findings.need(!metrics.is_empty(), "spec.metrics", "is empty");
    for metric in metrics {
        findings.need(metric.type_ == "Resource", "spec.metrics.type", "is not one of its kind");
        let target = metric.resource.as_ref().map(|resource| &resource.target);
        let is_whole = target.is_some_and(|target| {
            target.type_ == "Utilization" && target.average_utilization.is_some_and(|percent| percent > 0)
        });
        findings.need(is_whole, "spec.metrics.resource", "does not say what is aimed at");
    }
}

fn check_policy(policy: &NetworkPolicy, known: &Known<'_>, findings: &mut Findings<'_>) {
    let Some(spec) = &policy.spec else { return findings.add("spec", "is missing") };
    check_selector(spec.pod_selector.as_ref(), "spec.podSelector", known, findings);
    let types = spec.policy_types.as_deref().unwrap_or_default();
    let are_types = !types.is_empty() && types.iter().all(|word| ["Ingress", "Egress"].contains(&word.as_str()));
    findings.need(are_types, "spec.policyTypes", "is not one of its kind");
    for rule in spec.ingress.iter().flatten() {
        check_peers(rule.from.as_deref(), "spec.ingress.from", known, findings);
        check_policy_ports(rule.ports.as_deref(), "spec.ingress.ports", findings);
    }
    for rule in spec.egress.iter().flatten() {
        check_peers(rule.to.as_deref(), "spec.egress.to", known, findings);
        check_policy_ports(rule.ports.as_deref(), "spec.egress.ports", findings);
    }
}

fn check_peers(peers: Option<&[NetworkPolicyPeer]>, place: &str, known: &Known<'_>, findings: &mut Findings<'_>) {
    for peer in peers.unwrap_or_default() {
        if let Some(block) = &peer.ip_block {
            findings.need(is_block(&block.cidr), place, "is no block of addresses");
            findings.need(peer.pod_selector.is_none(), place, "names both pods and addresses");
        } else {
            check_selector(peer.pod_selector.as_ref(), place, known, findings);
        }
    }
}

/// `10.0.0.0/8`, with nothing set behind the prefix.
fn is_block(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let (Ok(address), Ok(length)) = (address.parse::<std::net::IpAddr>(), length.parse::<u32>()) else { return false };
    match address {
        std::net::IpAddr::V4(address) => {
            length <= 32 && u32::from(address).checked_shl(length).is_none_or(|rest| rest == 0)
        }
        std::net::IpAddr::V6(address) => {
            length <= 128 && u128::from(address).checked_shl(length).is_none_or(|rest| rest == 0)
        }
    }
}

fn check_policy_ports(ports: Option<&[NetworkPolicyPort]>, place: &str, findings: &mut Findings<'_>) {
    for port in ports.unwrap_or_default() {
        let is_port = match &port.port {
            Some(IntOrString::Int(number)) => is_range(*number),
            Some(IntOrString::String(name)) => is_port_name(name),
            None => true,
        };
        findings.need(is_port, place, "has one that is not between 1 and 65535");
        findings.need(is_protocol(port.protocol.as_deref()), place, "has a protocol that is not one of its kind");
    }
}

/// That a Service is there and has a port.
fn check_backend(
    name: &str,
    is_port: impl Fn(&k8s_openapi::api::core::v1::ServicePort) -> bool,
    place: &str,
    known: &Known<'_>,
    findings: &mut Findings<'_>,
) {
    findings.refers(Kind::Service, name, [].into_iter(), place, known);
    let service = known.objects.get(&Reference { kind: Kind::Service, name: name.to_owned() });
    if let Some(Object::Service(service)) = service {
        let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        findings.need(
            ports.into_iter().any(is_port),
            place,
            &format!("names a port that the Service `{name}` does not have"),
        );
    }
}

fn check_ingress(ingress: &Ingress, known: &Known<'_>, findings: &mut Findings<'_>) {
    let Some(spec) = &ingress.spec else { return findings.add("spec", "is missing") };
    let class = spec.ingress_class_name.as_deref();
    findings.need(class.is_none_or(is_subdomain), "spec.ingressClassName", "is not a DNS name");
    for rule in spec.rules.iter().flatten() {
        findings.need(rule.host.as_deref().is_none_or(is_host), "spec.rules.host", "is no host");
        for path in rule.http.iter().flat_map(|http| &http.paths) {
            let place = "spec.rules.http.paths";
            let is_type = ["Prefix", "Exact", "ImplementationSpecific"].contains(&path.path_type.as_str());
            findings.need(is_type, place, "has a type that is not one of its kind");
            let text = path.path.as_deref().unwrap_or("/");
            findings.need(is_path(text), place, "has a path that is not absolute and plain");
            let Some(service) = &path.backend.service else {
                findings.add(place, "leads nowhere");
                continue;
            };
            let port = service.port.as_ref();
            let wanted = |there: &k8s_openapi::api::core::v1::ServicePort| {
                port.is_some_and(|port| match (&port.name, port.number) {
                    (Some(name), None) => there.name.as_ref() == Some(name),
                    (None, Some(number)) => there.port == number,
                    _ => false,
                })
            };
            check_backend(&service.name, wanted, place, known, findings);
        }
    }
    for tls in spec.tls.iter().flatten() {
        let name = tls.secret_name.as_deref().unwrap_or_default();
        findings.refers(Kind::Secret, name, [].into_iter(), "spec.tls.secretName", known);
        let hosts = tls.hosts.iter().flatten().all(|host| is_host(host));
        findings.need(hosts, "spec.tls.hosts", "has one that is no host");
    }
}

fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains("//")
        && path.split('/').all(|part| part != "." && part != "..")
        && path.chars().all(|character| character.is_ascii_graphic())
}

fn check_route(route: &HTTPRoute, known: &Known<'_>, findings: &mut Findings<'_>) {
    let spec = &route.spec;
    findings.need(route.api_version == Kind::HTTPRoute.api_version(), "apiVersion", "is not that of its kind");
    findings.need(!spec.parent_refs.is_empty(), "spec.parentRefs", "is empty");
    findings.need(
        spec.parent_refs.iter().all(|parent| is_subdomain(&parent.name)),
        "spec.parentRefs",
        "is not a DNS name",
    );
    findings.need(spec.hostnames.iter().all(|host| is_host(host)), "spec.hostnames", "has one that is no host");
    for rule in &spec.rules {
        for wanted in &rule.matches {
            let is_type = ["Exact", "PathPrefix", "RegularExpression"].contains(&wanted.path.type_.as_str());
            findings.need(is_type, "spec.rules.matches.path.type", "is not one of its kind");
            findings.need(is_path(&wanted.path.value), "spec.rules.matches.path.value", "is not absolute and plain");
        }
        for backend in &rule.backend_refs {
            let place = "spec.rules.backendRefs";
            check_backend(&backend.name, |there| there.port == backend.port, place, known, findings);
        }
    }
}
