//! The pods of a service: a Deployment that keeps them running, or a Job when others wait for it to end.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{HostAlias, PodSecurityContext, PodSpec, PodTemplateSpec, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use sha2::{Digest as _, Sha256};

use crate::project::{Condition, Networking, RestartPolicy, Service};

use super::name::{is_label, is_qualified, is_subdomain, label, label_value, short_digest, with_digest};
use super::{Context, Export, Object, container, environment, files, service_key, storage};

/// The annotation of a pod that changes with what it reads from `ConfigMap`s and Secrets, so that a change rolls out.
pub(super) const DIGEST_ANNOTATION: &str = "checksum/config";

/// The most retries that a Job makes when the manifest sets no limit; Kubernetes' own default.
const DEFAULT_RETRIES: i32 = 6;

/// What a pod gathers while it is put together.
#[derive(Default)]
pub(super) struct Parts {
    volumes: Vec<Volume>,
    mounts: Vec<VolumeMount>,
    digest: Option<Sha256>,
    /// Whether it mounts a claim.
    pub(super) has_claim: bool,
}

impl Parts {
    /// Mounts a volume, under a name made from `base`. The same volume is listed once; a later mount hides an earlier
    /// one at the same path, as it does in Compose.
    pub(super) fn mount(
        &mut self,
        key: &str,
        base: &str,
        mut volume: Volume,
        mut mount: VolumeMount,
        export: &mut Export,
    ) {
        if mount.mount_path.contains(':') || mount.mount_path == "/" || !mount.mount_path.starts_with('/') {
            export.dropped(key.to_owned(), format!("Kubernetes mounts nothing at `{}`", mount.mount_path));
            return;
        }
        let mut name = label(base);
        let mut number = 2;
        loop {
            volume.name.clone_from(&name);
            match self.volumes.iter().find(|other| other.name == name) {
                Some(other) if *other == volume => break,
                Some(_) => name = with_digest(&label(base), &format!("{base} {number}")),
                None => {
                    self.volumes.push(volume);
                    break;
                }
            }
            number += 1;
        }
        mount.name = name;
        self.mounts.retain(|other| other.mount_path != mount.mount_path);
        self.mounts.push(mount);
    }

    /// Lets the pod's annotation change with these entries.
    pub(super) fn digest(&mut self, entries: &BTreeMap<String, Vec<u8>>) {
        let digest = self.digest.get_or_insert_with(Sha256::new);
        for (key, value) in entries {
            for part in [key.as_bytes(), value] {
                digest.update(part.len().to_be_bytes());
                digest.update(part);
            }
        }
    }
}

/// Writes the pods of a service.
pub(super) fn write(context: &Context<'_>, service: &Service, export: &mut Export) {
    let mut parts = Parts::default();
    let env_from = environment::write(context, service, &mut parts, export);
    storage::mounts(context, service, &mut parts, export);
    files::binds(context, service, &mut parts, export);
    files::grants(context, service, &mut parts, export);
    let is_job = context.one_shot.contains(service.name.as_str());
    if is_job && service.healthcheck.is_some() {
        export.dropped(service_key(service, "healthcheck"), "a Job is done when it exits, not when it is healthy");
    }
    let mut container = container::of(context, service, is_job, export);
    container.env_from = env_from;
    // A volume whose every mount was hidden by a later one is not needed.
    parts.volumes.retain(|volume| parts.mounts.iter().any(|mount| mount.name == volume.name));
    container.volume_mounts = (!parts.mounts.is_empty()).then(|| std::mem::take(&mut parts.mounts));
    let has_claim = parts.has_claim;
    let mut pod = pod(context, service, parts, export);
    if let Some(spec) = &mut pod.spec {
        spec.containers = vec![container];
    }
    note_order(context, service, export);
    note_scale(service, has_claim, export);
    let object =
        if is_job { job(context, service, pod, export) } else { deployment(context, service, pod, has_claim, export) };
    export.objects.push(object);
}

fn deployment(
    context: &Context<'_>,
    service: &Service,
    template: PodTemplateSpec,
    has_claim: bool,
    export: &mut Export,
) -> Object {
    if let RestartPolicy::OnFailure { .. } = service.restart {
        export.approximated(
            service_key(service, "restart"),
            "a Deployment starts its pods again whatever they exit with",
        );
    }
    let name = context.names.service(&service.name);
    // A new pod could not mount the claim while the old one holds it on another node.
    let strategy =
        has_claim.then(|| DeploymentStrategy { type_: Some("Recreate".to_owned()), ..DeploymentStrategy::default() });
    Object::Deployment(Box::new(Deployment {
        metadata: metadata(context, &name, Some(service)),
        spec: Some(DeploymentSpec {
            replicas: Some(i32::try_from(service.replicas).unwrap_or(i32::MAX)),
            selector: LabelSelector { match_labels: Some(selector(context, service)), match_expressions: None },
            strategy,
            template,
            ..DeploymentSpec::default()
        }),
        status: None,
    }))
}

fn job(context: &Context<'_>, service: &Service, mut template: PodTemplateSpec, export: &mut Export) -> Object {
    let retries = match service.restart {
        RestartPolicy::OnFailure { max_retries: Some(retries) } => i32::try_from(retries).unwrap_or(i32::MAX),
        // Nothing makes it wait for what it depends on, so it has to try again until that is there.
        RestartPolicy::No if service.depends_on.is_empty() => 0,
        _ => DEFAULT_RETRIES,
    };
    if let RestartPolicy::OnFailure { max_retries: None } = service.restart {
        export.approximated(
            service_key(service, "restart"),
            format!("the Job gives up after {DEFAULT_RETRIES} retries; raise its `backoffLimit` if need be"),
        );
    }
    if let Some(spec) = &mut template.spec {
        let policy = if service.restart == RestartPolicy::No { "Never" } else { "OnFailure" };
        spec.restart_policy = Some(policy.to_owned());
    }
    export.approximated(
        format!("services.{}", service.name),
        "a Job: it runs once, and must be deleted before it is applied again in another form",
    );
    let replicas = i32::try_from(service.replicas).unwrap_or(i32::MAX);
    let parallel = (replicas != 1).then_some(replicas);
    Object::Job(Box::new(Job {
        metadata: metadata(context, &context.names.service(&service.name), Some(service)),
        spec: Some(JobSpec {
            backoff_limit: Some(retries),
            completions: parallel,
            parallelism: parallel,
            template,
            ..JobSpec::default()
        }),
        status: None,
    }))
}

fn pod(context: &Context<'_>, service: &Service, parts: Parts, export: &mut Export) -> PodTemplateSpec {
    let mut annotations = annotations(service, export);
    if let Some(digest) = parts.digest {
        annotations.insert(DIGEST_ANNOTATION.to_owned(), short_digest(&digest.finalize(), 16));
    }
    let host_network = service.networking == Networking::Host;
    let user = service.user.as_deref().and_then(container::numeric_user);
    let fs_group = user.filter(|(user, _)| parts.has_claim && *user != 0).map(|(user, group)| group.unwrap_or(user));
    let spec = PodSpec {
        // Compose gives a container neither a token of the cluster nor variables such as `REDIS_PORT=tcp://…`.
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        dns_policy: host_network.then(|| "ClusterFirstWithHostNet".to_owned()),
        host_network: host_network.then_some(true),
        host_aliases: host_aliases(service, export),
        hostname: hostname(service, export),
        node_selector: node_selector(service, export),
        security_context: fs_group
            .map(|group| PodSecurityContext { fs_group: Some(group), ..PodSecurityContext::default() }),
        termination_grace_period_seconds: service.stop_grace_period.map(|period| container::seconds(period).into()),
        volumes: (!parts.volumes.is_empty()).then_some(parts.volumes),
        ..PodSpec::default()
    };
    note_network(context, service, export);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            annotations: (!annotations.is_empty()).then_some(annotations),
            labels: Some(labels(context, Some(service))),
            ..ObjectMeta::default()
        }),
        spec: Some(spec),
    }
}

/// The metadata of an object of a service, or of the project.
pub(super) fn metadata(context: &Context<'_>, name: &str, service: Option<&Service>) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels(context, service)), ..ObjectMeta::default() }
}

fn labels(context: &Context<'_>, service: Option<&Service>) -> BTreeMap<String, String> {
    let mut labels = match service {
        Some(service) => selector(context, service),
        None => BTreeMap::from([part_of(context)]),
    };
    labels.insert("app.kubernetes.io/managed-by".to_owned(), "hoist".to_owned());
    labels
}

/// What tells a service's pods from all others.
pub(super) fn selector(context: &Context<'_>, service: &Service) -> BTreeMap<String, String> {
    let name = context.names.service(&service.name);
    BTreeMap::from([("app.kubernetes.io/name".to_owned(), name), part_of(context)])
}

fn part_of(context: &Context<'_>) -> (String, String) {
    ("app.kubernetes.io/part-of".to_owned(), label_value(&context.project.name))
}

/// Labels of Compose hold any text, as annotations do.
fn annotations(service: &Service, export: &mut Export) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    for (key, value) in &service.labels {
        if is_qualified(key) {
            annotations.insert(key.clone(), value.clone());
        } else {
            export.dropped(service_key(service, &format!("labels.{key}")), "not a key that an annotation may have");
        }
    }
    if !annotations.is_empty() {
        export.approximated(service_key(service, "labels"), "annotations of the pod: labels may not hold any text");
    }
    annotations
}

fn host_aliases(service: &Service, export: &mut Export) -> Option<Vec<HostAlias>> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in &service.extra_hosts {
        let split = line.split_once('=').or_else(|| line.split_once(':'));
        let (name, address) = split.unwrap_or((line, ""));
        let address = address.trim_matches(['[', ']']);
        if address.parse::<std::net::IpAddr>().is_ok() && is_subdomain(&name.to_ascii_lowercase()) {
            names.entry(address.to_owned()).or_default().push(name.to_ascii_lowercase());
        } else {
            export.dropped(
                service_key(service, &format!("extra_hosts.{name}")),
                format!("`{address}` is no address that a cluster knows"),
            );
        }
    }
    let aliases: Vec<HostAlias> =
        names.into_iter().map(|(ip, hostnames)| HostAlias { ip, hostnames: Some(hostnames) }).collect();
    (!aliases.is_empty()).then_some(aliases)
}

fn hostname(service: &Service, export: &mut Export) -> Option<String> {
    let hostname = service.hostname.as_deref()?;
    if is_label(hostname, true) {
        return Some(hostname.to_owned());
    }
    export.dropped(service_key(service, "hostname"), "a pod's host name is a single DNS label in lower case");
    None
}

fn node_selector(service: &Service, export: &mut Export) -> Option<BTreeMap<String, String>> {
    let platform = service.platform.as_deref()?;
    let mut parts = platform.split('/');
    let (os, architecture) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let known = ["linux", "windows"].contains(&os)
        && ["amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64"].contains(&architecture);
    if !known {
        export
            .dropped(service_key(service, "platform"), format!("`{platform}` is no system and architecture of a node"));
        return None;
    }
    Some(BTreeMap::from([
        ("kubernetes.io/arch".to_owned(), architecture.to_owned()),
        ("kubernetes.io/os".to_owned(), os.to_owned()),
    ]))
}

/// The keys of the networks that a service joins.
pub(super) fn networks_of(service: &Service) -> impl Iterator<Item = &String> {
    let attachments = match &service.networking {
        Networking::Networks(attachments) => Some(attachments),
        _ => None,
    };
    attachments.into_iter().flat_map(BTreeMap::keys)
}

fn note_network(context: &Context<'_>, service: &Service, export: &mut Export) {
    let key = service_key(service, "network_mode");
    match &service.networking {
        Networking::Networks(attachments) => {
            for (name, attachment) in attachments {
                let key = service_key(service, &format!("networks.{name}"));
                let fixed = [&attachment.ipv4_address, &attachment.ipv6_address, &attachment.mac_address];
                if fixed.iter().any(|address| address.is_some()) {
                    export.dropped(key, "pods have no fixed addresses; they are reached by the Service's name");
                }
            }
        }
        Networking::Host => {
            export.approximated(key, "the network of the node that the pod happens to run on");
        }
        Networking::None => export.dropped(key, "a pod always has a network; write a NetworkPolicy that denies all"),
        Networking::Service(other) => export.dropped(
            key,
            format!("`{}` gets pods of its own, reached by name, not on localhost", context.names.service(other)),
        ),
        Networking::Container(_) => export.dropped(key, "a container outside the project has no pod"),
    }
}

/// Kubernetes starts everything at once.
fn note_order(context: &Context<'_>, service: &Service, export: &mut Export) {
    for (name, dependency) in &service.depends_on {
        let other = context.names.service(name);
        let reason = match dependency.condition {
            Condition::Completed => {
                format!(
                    "it starts without waiting for the Job `{other}`, and must exit or try again until that is done"
                )
            }
            Condition::Healthy | Condition::Started => {
                format!("it starts without waiting for `{other}`, and must exit or try again until that answers")
            }
        };
        export.approximated(service_key(service, &format!("depends_on.{name}")), reason);
    }
}

fn note_scale(service: &Service, has_claim: bool, export: &mut Export) {
    if has_claim && service.replicas > 1 {
        export.approximated(
            service_key(service, "replicas"),
            "all replicas share its ReadWriteOnce claims, and so must run on one node",
        );
    }
}
