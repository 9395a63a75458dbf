//! A pod: the containers of the services that share it, their volumes, and what they have in common.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, HostAlias, LocalObjectReference, PersistentVolumeClaim, PodDNSConfig, PodDNSConfigOption,
    PodSecurityContext, PodSpec, PodTemplateSpec, Sysctl, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::project::kubernetes::WorkloadKind;
use crate::project::syntax::{is_label, is_label_value, is_qualified, is_subdomain};
use crate::project::{Networking, Service, Sharing};

use super::name::{label, label_value, with_digest};
use super::security::User;
use super::{
    Context, Export, Kind, Reference, container, environment, files, image, kompose, placement, ports, security,
    service_key, storage, wait,
};

/// The kernel's own parameters that every node lets a pod set.
const SAFE_SYSCTLS: [&str; 8] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
];

/// What a pod gathers while it is put together.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) volumes: Vec<Volume>,
    /// Claims of which each pod gets one of its own.
    pub(super) claims: Vec<PersistentVolumeClaim>,
    /// It mounts a claim that only one node can mount at a time.
    pub(super) holds_claim: bool,
    /// It mounts a claim.
    pub(super) has_claim: bool,
}

/// What the container of one service mounts.
#[derive(Default)]
pub(super) struct Mounts(pub(super) Vec<VolumeMount>);

impl Mounts {
    /// Mounts something; a later mount hides an earlier one at the same path, as it does in Compose.
    fn add(&mut self, mount: VolumeMount) {
        self.0.retain(|other| other.mount_path != mount.mount_path);
        self.0.push(mount);
    }
}

/// Whether Kubernetes mounts something at a path; else that is told.
fn is_mountable(key: &str, mount: &VolumeMount, export: &mut Export) -> bool {
    let path = &mount.mount_path;
    let holds = path.starts_with('/') && path != "/" && !path.contains(':');
    if !holds {
        export.dropped(key.to_owned(), format!("Kubernetes mounts nothing at `{path}`"));
    }
    holds
}

impl Parts {
    /// Mounts a volume, under a name made from `base`. The same volume is listed once.
    pub(super) fn mount(
        &mut self,
        key: &str,
        base: &str,
        mut volume: Volume,
        mut mount: VolumeMount,
        mounts: &mut Mounts,
        export: &mut Export,
    ) {
        if !is_mountable(key, &mount, export) {
            return;
        }
        let mut name = label(base);
        let mut number = 2;
        loop {
            volume.name.clone_from(&name);
            let is_claim = self.claims.iter().any(|claim| claim.metadata.name.as_ref() == Some(&name));
            match self.volumes.iter().find(|other| other.name == name) {
                Some(other) if *other == volume && !is_claim => break,
                None if !is_claim => {
                    self.volumes.push(volume);
                    break;
                }
                _ => name = with_digest(&label(base), &format!("{base} {number}")),
            }
            number += 1;
        }
        mount.name = name;
        mounts.add(mount);
    }

    /// Mounts a claim of which each pod gets one of its own.
    pub(super) fn mount_own(
        &mut self,
        key: &str,
        claim: PersistentVolumeClaim,
        mut mount: VolumeMount,
        mounts: &mut Mounts,
        export: &mut Export,
    ) {
        if !is_mountable(key, &mount, export) {
            return;
        }
        mount.name = claim.metadata.name.clone().unwrap_or_default();
        if self.claims.iter().all(|other| other.metadata.name != claim.metadata.name) {
            self.claims.push(claim);
        }
        mounts.add(mount);
    }
}

/// The pods of services that share one, the owner first, and the claims of which each pod gets its own.
pub(super) fn of<'a>(context: &Context<'a>, services: &[&'a Service], export: &mut Export) -> (PodTemplateSpec, Parts) {
    let mut parts = Parts::default();
    let mut containers = Vec::new();
    for service in services {
        let mut mounts = Mounts::default();
        let env_from = environment::write(context, service, export);
        // Claims first: their names are not to be chosen.
        storage::mounts(context, service, &mut parts, &mut mounts, export);
        files::binds(context, service, &mut parts, &mut mounts, export);
        files::grants(context, service, &mut parts, &mut mounts, export);
        let mut container = container::of(context, service, export);
        container.env_from = env_from;
        container.volume_mounts = (!mounts.0.is_empty()).then_some(mounts.0);
        containers.push(container);
    }
    let init = wait::containers(context, services, &mut parts, export);
    let is_used = |name: &str| {
        let of = |container: &Container| container.volume_mounts.iter().flatten().any(|mount| mount.name == name);
        containers.iter().chain(&init).any(of)
    };
    // A volume whose every mount was hidden by a later one is not needed.
    parts.volumes.retain(|volume| is_used(&volume.name));
    parts.claims.retain(|claim| is_used(claim.metadata.name.as_deref().unwrap_or_default()));
    let mut spec = spec(context, services, &parts, export);
    spec.containers = containers;
    spec.init_containers = (!init.is_empty()).then_some(init);
    spec.volumes = (!parts.volumes.is_empty()).then(|| std::mem::take(&mut parts.volumes));
    let Some(owner) = services.first() else { return (PodTemplateSpec::default(), parts) };
    let annotations = annotations(context, services, export);
    let metadata = ObjectMeta {
        annotations: (!annotations.is_empty()).then_some(annotations),
        labels: Some(labels(context, Some(owner))),
        ..ObjectMeta::default()
    };
    (PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }, parts)
}

fn spec<'a>(context: &Context<'a>, services: &[&'a Service], parts: &Parts, export: &mut Export) -> PodSpec {
    let Some(owner) = services.first().copied() else { return PodSpec::default() };
    let shares = |sharing: &Option<Sharing>| matches!(sharing, Some(Sharing::Mode(mode)) if mode == "host");
    let host_network = owner.networking == Networking::Host;
    let of_node =
        |pick: fn(&Service) -> &Option<Sharing>| services.iter().any(|service| shares(pick(service))).then_some(true);
    let has_init = services.iter().any(|service| service.init == Some(true));
    if has_init {
        let reason = "the pod's own first process reaps others and is no container's";
        export.approximated(service_key(owner, "init"), reason);
    }
    let mut pull_secrets: Vec<&String> = context.project.kubernetes.image_pull_secrets.iter().collect();
    pull_secrets.extend(services.iter().flat_map(|service| &context.settings(service).image_pull_secrets));
    pull_secrets.sort();
    pull_secrets.dedup();
    for name in &pull_secrets {
        export.external.insert(Reference { kind: Kind::Secret, name: (*name).clone() });
    }
    let pull_secrets: Vec<_> =
        pull_secrets.into_iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    let account = super::account(context, owner, export);
    let place = placement::of(context, owner, export);
    for service in services {
        note_network(context, service, export);
        note_rest(service, export);
    }
    let grace = services.iter().filter_map(|service| service.stop_grace_period).max();
    PodSpec {
        affinity: place.affinity,
        // Compose gives a container neither a token of the cluster nor variables such as `REDIS_PORT=tcp://…`.
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        dns_config: dns(services),
        dns_policy: host_network.then(|| "ClusterFirstWithHostNet".to_owned()),
        host_aliases: host_aliases(services, export),
        host_ipc: of_node(|service| &service.namespaces.ipc),
        host_network: host_network.then_some(true),
        host_pid: of_node(|service| &service.namespaces.pid),
        hostname: hostname(context, owner, export),
        image_pull_secrets: (!pull_secrets.is_empty()).then_some(pull_secrets),
        node_selector: place.node_selector,
        security_context: Some(shared_security(context, services, parts, export)),
        service_account_name: Some(account),
        share_process_namespace: has_init.then_some(true),
        termination_grace_period_seconds: grace.map(|period| container::seconds(period).into()),
        topology_spread_constraints: place.spread,
        ..PodSpec::default()
    }
}

/// What all containers of a pod have in common: a group that may write its claims, more groups, the kernel's parameters.
fn shared_security<'a>(
    context: &Context<'a>,
    services: &[&'a Service],
    parts: &Parts,
    export: &mut Export,
) -> PodSecurityContext {
    let users = services.iter().map(|service| security::user(context, service));
    let group = users.clone().find_map(|user| match user {
        User::Somebody { user, group } if parts.has_claim => Some(group.unwrap_or(user)),
        _ => None,
    });
    let written = services
        .iter()
        .find_map(|service| context.kompose(service, "kompose.security-context.fsgroup")?.parse::<i64>().ok());
    let mut groups = Vec::new();
    for service in services {
        for name in &service.group_add {
            match name.parse::<i64>() {
                Ok(group) if i32::try_from(group).is_ok() && group >= 0 => groups.push(group),
                _ => export.dropped(
                    service_key(service, &format!("group_add.{name}")),
                    "Kubernetes takes numbers only; a name is the image's own",
                ),
            }
        }
    }
    groups.sort_unstable();
    groups.dedup();
    let mut sysctls: BTreeMap<String, String> = BTreeMap::new();
    for service in services {
        for (name, value) in &service.sysctls {
            if !SAFE_SYSCTLS.contains(&name.as_str()) {
                let reason = "nodes let pods set it only when their kubelet is told so";
                export.approximated(service_key(service, &format!("sysctls.{name}")), reason);
            }
            sysctls.insert(name.clone(), value.clone());
        }
    }
    // Docker lets whoever is not root listen on every port, and not all nodes do.
    let is_low = |service: &&&Service| {
        matches!(security::user(context, service), User::Somebody { .. })
            && service.networking != Networking::Host
            && ports::of(context, service).iter().any(|port| port.number < 1024)
    };
    if services.iter().any(|service| is_low(&service)) {
        sysctls.entry("net.ipv4.ip_unprivileged_port_start".to_owned()).or_insert_with(|| "0".to_owned());
    }
    let sysctls: Vec<Sysctl> = sysctls.into_iter().map(|(name, value)| Sysctl { name, value }).collect();
    let is_privileged = services.iter().any(|service| service.privileged);
    PodSecurityContext {
        fs_group: written.or(group),
        // A large volume is not gone through at every start.
        fs_group_change_policy: group.or(written).map(|_| "OnRootMismatch".to_owned()),
        seccomp_profile: (!is_privileged).then(|| security::profile(false)),
        supplemental_groups: (!groups.is_empty()).then_some(groups),
        sysctls: (!sysctls.is_empty()).then_some(sysctls),
        ..PodSecurityContext::default()
    }
}

fn dns(services: &[&Service]) -> Option<PodDNSConfig> {
    let mut config = PodDNSConfig::default();
    for dns in services.iter().map(|service| &service.dns) {
        let own = |texts: &[String]| (!texts.is_empty()).then(|| texts.to_vec());
        config.nameservers = config.nameservers.or_else(|| own(&dns.servers)).map(|mut servers| {
            servers.retain(|server| server.parse::<std::net::IpAddr>().is_ok());
            servers.truncate(3);
            servers
        });
        config.searches = config.searches.or_else(|| own(&dns.search));
        let options = dns.options.iter().map(|option| {
            let (name, value) = option.split_once(':').map_or((&**option, None), |(name, value)| (name, Some(value)));
            PodDNSConfigOption { name: Some(name.to_owned()), value: value.map(str::to_owned) }
        });
        let options: Vec<_> = options.collect();
        config.options = config.options.or((!options.is_empty()).then_some(options));
    }
    config.nameservers = config.nameservers.filter(|servers| !servers.is_empty());
    config.searches = config.searches.map(|mut searches| {
        searches.retain(|domain| is_subdomain(domain));
        searches
    });
    config.searches = config.searches.filter(|searches| !searches.is_empty());
    (config != PodDNSConfig::default()).then_some(config)
}

/// The metadata of an object of a service, or of the project.
pub(super) fn metadata(context: &Context<'_>, name: &str, service: Option<&Service>) -> ObjectMeta {
    let mut annotations = context.project.kubernetes.annotations.clone();
    if let Some(service) = service {
        annotations.extend(context.settings(service).annotations.clone());
        let labels = service.cluster.labels.iter().filter(|(key, _)| !key.starts_with(kompose::PREFIX));
        annotations.extend(labels.map(|(key, value)| (key.clone(), value.clone())));
    }
    annotations.retain(|key, _| is_qualified(key));
    ObjectMeta {
        annotations: (!annotations.is_empty()).then_some(annotations),
        name: Some(name.to_owned()),
        namespace: context.options.namespace.clone(),
        labels: Some(labels(context, service)),
        ..ObjectMeta::default()
    }
}

fn labels(context: &Context<'_>, service: Option<&Service>) -> BTreeMap<String, String> {
    let mut labels = match service {
        Some(service) => selector(context, service),
        None => BTreeMap::from([instance(context)]),
    };
    let mut more: Vec<&BTreeMap<String, String>> = vec![&context.project.kubernetes.labels];
    if let Some(service) = service {
        more.push(&context.settings(service).labels);
        let image = context.project.image_of(service);
        if let Some(version) = image::tag(&image).filter(|tag| *tag != "latest" && is_label_value(tag)) {
            labels.insert("app.kubernetes.io/version".to_owned(), version.to_owned());
        }
    }
    let (_, project) = instance(context);
    labels.insert("app.kubernetes.io/part-of".to_owned(), project);
    labels.insert("app.kubernetes.io/managed-by".to_owned(), "hoist".to_owned());
    for (key, value) in more.into_iter().flatten() {
        if is_qualified(key) && is_label_value(value) && !is_selected_by(key) {
            labels.insert(key.clone(), value.clone());
        }
    }
    labels
}

/// What tells a service's pods from all others. It can never be changed afterwards, and so it says only who they are.
pub(super) fn selector(context: &Context<'_>, service: &Service) -> BTreeMap<String, String> {
    let name = context.names.service(&service.name);
    BTreeMap::from([("app.kubernetes.io/name".to_owned(), name), instance(context)])
}

fn is_selected_by(key: &str) -> bool {
    ["app.kubernetes.io/name", "app.kubernetes.io/instance"].contains(&key)
}

fn instance(context: &Context<'_>) -> (String, String) {
    ("app.kubernetes.io/instance".to_owned(), label_value(&context.project.name))
}

/// Labels of Compose hold any text, as annotations do.
fn annotations(context: &Context<'_>, services: &[&Service], export: &mut Export) -> BTreeMap<String, String> {
    let mut annotations = context.project.kubernetes.annotations.clone();
    for service in services {
        annotations.extend(context.settings(service).annotations.clone());
        for (attribute, written) in [("labels", &service.labels), ("annotations", &service.annotations)] {
            for (key, value) in written.iter().filter(|(key, _)| !key.starts_with(kompose::PREFIX)) {
                if is_qualified(key) {
                    annotations.insert(key.clone(), value.clone());
                } else {
                    let key = service_key(service, &format!("{attribute}.{key}"));
                    export.dropped(key, "not a key that an annotation may have");
                }
            }
        }
        if service.labels.keys().any(|key| !key.starts_with(kompose::PREFIX)) {
            export.approximated(service_key(service, "labels"), "annotations of the pod: labels may not hold any text");
        }
    }
    annotations.retain(|key, _| is_qualified(key));
    annotations
}

fn host_aliases(services: &[&Service], export: &mut Export) -> Option<Vec<HostAlias>> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (service, line) in
        services.iter().flat_map(|service| service.extra_hosts.iter().map(move |line| (service, line)))
    {
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

fn hostname<'a>(context: &Context<'a>, service: &'a Service, export: &mut Export) -> Option<String> {
    let hostname = service.hostname.as_deref()?;
    // The pods of a StatefulSet are called after it and their number, and found by that.
    if context.kind(service) == WorkloadKind::StatefulSet {
        export.dropped(service_key(service, "hostname"), "a StatefulSet's pods are called after it");
        return None;
    }
    if is_label(hostname, true) {
        return Some(hostname.to_owned());
    }
    export.dropped(service_key(service, "hostname"), "a pod's host name is a single DNS label in lower case");
    None
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
        Networking::None if context.options.network_policies => {
            export.approximated(key, "a pod always has a network; nobody reaches it, and it reaches nobody");
        }
        Networking::None => export.dropped(key, "a pod always has a network; `--network-policies` closes it"),
        Networking::Service(other) if context.owners.contains_key(service.name.as_str()) => {
            let other = context.names.service(other);
            export.approximated(key, format!("its container is in the pods of `{other}`, as many as there are"));
        }
        Networking::Service(_) => export.dropped(key, "the services share each other's network in a circle"),
        Networking::Container(_) => export.dropped(key, "a container outside the project has no pod"),
    }
}

/// What no field of a pod says.
fn note_rest(service: &Service, export: &mut Export) {
    let shared = |sharing: &Option<Sharing>| matches!(sharing, Some(sharing) if !matches!(sharing, Sharing::Mode(mode) if mode == "host" || mode == "shareable" || mode == "private"));
    let engine = "it is the engine's own; a cluster's nodes decide it";
    let drops = [
        (service.domainname.is_some(), "domainname", "a pod's domain is its Service's"),
        (service.logging.is_some(), "logging", "a cluster collects what pods print to their output"),
        (service.mac_address.is_some(), "mac_address", "pods have no fixed addresses"),
        (!service.storage_opt.is_empty(), "storage_opt", engine),
        (service.runtime.is_some(), "runtime", "nodes offer runtimes as a RuntimeClass of their own names"),
        (service.isolation.is_some(), "isolation", "only containers of Windows have it"),
        (service.namespaces.uts.is_some(), "uts", "a pod has a host name of its own"),
        (service.namespaces.user.is_some(), "userns_mode", engine),
        (service.namespaces.cgroup.is_some(), "cgroup", engine),
        (service.namespaces.cgroup_parent.is_some(), "cgroup_parent", engine),
        (shared(&service.namespaces.pid), "pid", "pods do not share their processes with others"),
        (shared(&service.namespaces.ipc), "ipc", "pods do not share their memory with others"),
        (service.use_api_socket, "use_api_socket", "a cluster's nodes have no engine socket for pods"),
        (!service.models.is_empty(), "models", "a cluster has no runner of models"),
        (!service.external_links.is_empty(), "external_links", "what is outside the project has no pods here"),
        (service.cluster.endpoint_mode.is_some(), "deploy.endpoint_mode", "the kind of Service decides it"),
        (service.cluster.restart_delay.is_some(), "deploy.restart_policy.delay", "nodes wait longer each time"),
        (service.cluster.restart_window.is_some(), "deploy.restart_policy.window", "probes decide it"),
    ];
    for (_, attribute, reason) in drops.into_iter().filter(|(is_written, ..)| *is_written) {
        export.dropped(service_key(service, attribute), reason);
    }
}
