//! The restricted Pod Security Standard, as the Kubernetes documentation has it, held against what is exported.

use std::path::Path;

use hoist::export::{Object, SecretValues, kubernetes};
use k8s_openapi::api::core::v1::{Container, PodSpec, SecurityContext, Volume};

use crate::support::{exported, loaded, options_with_files, project_of};

/// The parameters of the kernel that a restricted pod may set.
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// What of a pod the restricted standard forbids.
fn violations(pod: &PodSpec) -> Vec<String> {
    let mut found = Vec::new();
    let mut need = |holds: bool, rule: &str| {
        if !holds {
            found.push(rule.to_owned());
        }
    };
    need(pod.host_network != Some(true), "host namespaces: hostNetwork");
    need(pod.host_pid != Some(true), "host namespaces: hostPID");
    need(pod.host_ipc != Some(true), "host namespaces: hostIPC");
    need(pod.volumes.iter().flatten().all(is_allowed_volume), "volume types");
    let shared = pod.security_context.clone().unwrap_or_default();
    let sysctls = shared.sysctls.unwrap_or_default();
    need(sysctls.iter().all(|sysctl| SAFE_SYSCTLS.contains(&sysctl.name.as_str())), "sysctls");
    need(shared.run_as_user != Some(0), "running as root: pod");
    let is_profile = |profile: Option<&str>| matches!(profile, Some("RuntimeDefault" | "Localhost"));
    let pod_profile = shared.seccomp_profile.as_ref().map(|profile| profile.type_.as_str());
    need(pod_profile.is_none() || is_profile(pod_profile), "seccomp: pod");
    for container in pod.containers.iter().chain(pod.init_containers.iter().flatten()) {
        let own = container.security_context.clone().unwrap_or_default();
        let mut need = |holds: bool, rule: &str| {
            if !holds {
                found.push(format!("{}: {rule}", container.name));
            }
        };
        let profile = own.seccomp_profile.as_ref().map(|profile| profile.type_.as_str()).or(pod_profile);
        need(is_profile(profile), "seccomp");
        need(own.run_as_non_root.or(shared.run_as_non_root) == Some(true), "running as non-root");
        need(own.run_as_user != Some(0), "running as root");
        need(own.privileged != Some(true), "privileged");
        need(own.allow_privilege_escalation == Some(false), "privilege escalation");
        need(own.proc_mount.as_deref().is_none_or(|mount| mount == "Default"), "proc mount");
        need(has_only_allowed_capabilities(&own), "capabilities");
        need(has_only_allowed_selinux(&own), "SELinux");
        need(has_no_host_ports(container), "host ports");
    }
    found
}

fn is_allowed_volume(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.csi.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.ephemeral.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.projected.is_some()
        || volume.secret.is_some()
}

fn has_only_allowed_capabilities(context: &SecurityContext) -> bool {
    let capabilities = context.capabilities.clone().unwrap_or_default();
    let drops_all = capabilities.drop.unwrap_or_default().iter().any(|name| name == "ALL");
    drops_all && capabilities.add.unwrap_or_default().iter().all(|name| name == "NET_BIND_SERVICE")
}

fn has_only_allowed_selinux(context: &SecurityContext) -> bool {
    let Some(options) = &context.se_linux_options else { return true };
    let types = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    let type_ = options.type_.as_deref().unwrap_or_default();
    types.contains(&type_) && options.user.is_none() && options.role.is_none()
}

fn has_no_host_ports(container: &Container) -> bool {
    container.ports.iter().flatten().all(|port| port.host_port.is_none_or(|port| port == 0))
}

/// What each pod of some objects violates.
fn all_violations(objects: &[Object]) -> Vec<String> {
    let pods = objects.iter().filter_map(|object| Some((object, object.template()?.spec.as_ref()?)));
    pods.flat_map(|(object, pod)| {
        let name = object.file_name();
        violations(pod).into_iter().map(move |rule| format!("{name}: {rule}"))
    })
    .collect()
}

#[test]
fn the_examples_are_held_to_the_restricted_standard() {
    let mut pods = 0;
    for example in ["shop", "ledger"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
        let project = project_of(&folder);
        let export = kubernetes(&project, &options_with_files(&project));
        assert_eq!(all_violations(&export.objects), Vec::<String>::new(), "{example}");
        assert_eq!(export.unrestricted.into_keys().collect::<Vec<_>>(), Vec::<String>::new(), "{example}");
        pods += export.objects.iter().filter(|object| object.template().is_some()).count();
    }
    assert_eq!(pods, 8);
}

#[test]
fn who_is_not_held_to_it_is_told_why() {
    let manifest = "
name: shop
services:
  held: { image: a, user: '1000', ports: ['80:80'], cap_add: [NET_BIND_SERVICE] }
  nobody: { image: a }
  root: { image: a, user: root }
  named: { image: a, user: node }
  mighty: { image: a, user: '1000', privileged: true }
  host: { image: a, user: '1000', network_mode: host }
  capable: { image: a, user: '1000', cap_add: [NET_ADMIN] }
  unconfined: { image: a, user: '1000', security_opt: ['seccomp:unconfined'] }
  nosy: { image: a, user: '1000', pid: host }
";
    let export = exported(&loaded(manifest), SecretValues::Placeholder);
    let violating: std::collections::BTreeSet<String> = export
        .objects
        .iter()
        .filter(|object| {
            object.template().and_then(|it| it.spec.as_ref()).is_some_and(|pod| !violations(pod).is_empty())
        })
        .map(|object| object.name().to_owned())
        .collect();
    // Exactly those are told that violate it.
    assert_eq!(violating, export.unrestricted.keys().cloned().collect());
    assert_eq!(violating.len(), 8);
    assert!(export.unrestricted["named"].contains("`node` is a name"), "{:?}", export.unrestricted);
}
