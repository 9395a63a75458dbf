//! Waiting for what a service depends on: a container that runs first and ends when the dependency is there.
//!
//! A Service leads only to pods that are ready, so whoever is answered by it has waited long enough; nothing of the
//! cluster has to be asked, and no right is needed. Only whether a Job is done can nobody but the cluster's API tell: then
//! the waiting container alone is given a token, which may read that Job and nothing else.

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, Container, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath,
    ObjectFieldSelector, ProjectedVolumeSource, ResourceRequirements, SecurityContext, ServiceAccountTokenProjection,
    Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::project::kubernetes::WorkloadKind;
use crate::project::{Condition, Dependency, Protocol, Service};

use super::container::escaped;
use super::name::{label, with_digest};
use super::pod::{Parts, metadata};
use super::{Context, Export, Kind, Reference, kompose, ports, security, service_key};

/// What waits when nobody says otherwise, and no Job is waited for: small, and has `sh` and `nc`.
const PLAIN_IMAGE: &str = "busybox:1.37";

/// The same where Jobs are waited for: it has `curl` too, which looks at the certificate of the cluster's API.
const API_IMAGE: &str = "curlimages/curl:8.15.0";

/// How long, in seconds, is waited for something that does not have to be there.
const SHORT_WAIT: u32 = 60;

/// The volume with the token, and where it lies.
const TOKEN_VOLUME: &str = "wait-token";
const TOKEN_FOLDER: &str = "/var/run/secrets/hoist";

/// The user that a waiting container runs as, who is nobody.
const NOBODY: i64 = 65534;

/// What is waited for.
enum Goal {
    /// A port that takes connections.
    Port(String, u16),
    /// A name that resolves to pods that are ready.
    Name(String),
    /// A Job that is done.
    Job(String),
}

/// The containers that wait for what the services of a pod depend on.
pub(super) fn containers<'a>(
    context: &Context<'a>,
    services: &[&'a Service],
    parts: &mut Parts,
    export: &mut Export,
) -> Vec<Container> {
    let mut containers: Vec<Container> =
        services.iter().filter_map(|service| kompose::init_container(context, service)).collect();
    let mut jobs = Vec::new();
    for service in services {
        for (name, dependency) in &service.depends_on {
            let Some(other) = context.project.services.get(name) else { continue };
            // Containers of one pod are started together.
            if services.iter().any(|beside| beside.name == other.name) {
                continue;
            }
            let Some(goal) = goal(context, service, other, *dependency, export) else { continue };
            let wait_name = wait_name(context, name);
            if containers.iter().any(|container| container.name == wait_name) {
                continue;
            }
            if let Goal::Job(job) = &goal {
                jobs.push(job.clone());
            }
            containers.push(container(context, &wait_name, &goal, *dependency));
        }
    }
    if let (Some(owner), false) = (services.first(), jobs.is_empty()) {
        parts.volumes.push(token());
        rights(context, owner, jobs, export);
    }
    containers
}

/// What the container is called that waits for a service; a service may be called that too.
fn wait_name(context: &Context<'_>, service: &str) -> String {
    let name = label(&format!("wait-for-{}", context.names.service(service)));
    let is_taken = context.names.services.values().any(|other| *other == name);
    if is_taken { with_digest(&name, service) } else { name }
}

/// Whether a service's pods wait.
pub(super) fn waits(context: &Context<'_>, service: &Service) -> bool {
    context.settings(service).waits.or(context.options.waits).unwrap_or(true)
}

fn goal<'a>(
    context: &Context<'a>,
    service: &'a Service,
    other: &'a Service,
    dependency: Dependency,
    export: &mut Export,
) -> Option<Goal> {
    let key = service_key(service, &format!("depends_on.{}", other.name));
    let other_name = context.names.service(&other.name);
    if other.provider.is_some() || other.is_on_machine() {
        export.dropped(key, "it has no pods to wait for");
        return None;
    }
    if !waits(context, service) {
        let reason =
            format!("it starts without waiting for `{other_name}`, and must exit or try again until that answers");
        export.approximated(key, reason);
        return None;
    }
    if dependency.restart {
        let key = service_key(service, &format!("depends_on.{}.restart", other.name));
        export.dropped(key, "a pod goes on when what it depends on is exchanged");
    }
    match (dependency.condition, context.kind(other)) {
        (Condition::Completed, WorkloadKind::Job) => Some(Goal::Job(other_name)),
        (Condition::Completed, _) => {
            let reason = format!("`{other_name}` never comes to an end in a cluster; its start is waited for");
            export.approximated(key, reason);
            Some(reached(context, other, other_name))
        }
        (_, WorkloadKind::Job | WorkloadKind::CronJob) => {
            export.dropped(key, format!("`{other_name}` runs to its end, and nobody can tell when it has begun"));
            None
        }
        (Condition::Healthy, _) => Some(reached(context, other, other_name)),
        (Condition::Started, _) => {
            let reason = format!("it waits for `{other_name}` to answer, but no longer than {SHORT_WAIT} seconds");
            export.approximated(key, reason);
            Some(reached(context, other, other_name))
        }
    }
}

fn reached<'a>(context: &Context<'a>, other: &'a Service, name: String) -> Goal {
    let ports = ports::of(context, other);
    match ports.iter().find(|port| port.protocol == Protocol::Tcp) {
        Some(port) => Goal::Port(name, port.number),
        None => Goal::Name(name),
    }
}

fn container(context: &Context<'_>, name: &str, goal: &Goal, dependency: Dependency) -> Container {
    let (test, what) = match goal {
        Goal::Port(host, port) => (format!("nc -z -w 2 {host} {port}"), format!("{host}:{port}")),
        Goal::Name(host) => (format!("nslookup {host} >/dev/null 2>&1"), host.clone()),
        Goal::Job(job) => {
            let url = format!(
                "https://kubernetes.default.svc/apis/batch/v1/namespaces/$(cat {TOKEN_FOLDER}/namespace)/jobs/{job}"
            );
            let test = format!(
                "curl -fsS --cacert {TOKEN_FOLDER}/ca.crt -H \"Authorization: Bearer $(cat {TOKEN_FOLDER}/token)\" \
                 \"{url}\" | grep -q '\"type\": *\"Complete\"'"
            );
            (test, format!("the Job {job}"))
        }
    };
    let is_short = !dependency.required || dependency.condition == Condition::Started;
    let script = if is_short {
        format!("echo 'waits for {what}'\nfor i in $(seq {SHORT_WAIT}); do {test} && exit 0; sleep 1; done\n")
    } else {
        format!("echo 'waits for {what}'\nuntil {test}; do sleep 1; done\n")
    };
    let mount = VolumeMount {
        mount_path: TOKEN_FOLDER.to_owned(),
        name: TOKEN_VOLUME.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    let amount = |cpu: &str, memory: &str| {
        let amounts = [("cpu", cpu), ("memory", memory)];
        Some(amounts.map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned()))).into())
    };
    Container {
        name: name.to_owned(),
        image: Some(image(context)),
        command: Some(escaped(&["/bin/sh", "-c", &script].map(str::to_owned))),
        resources: Some(ResourceRequirements {
            limits: amount("100m", "32Mi"),
            requests: amount("10m", "16Mi"),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
            read_only_root_filesystem: Some(true),
            run_as_group: Some(NOBODY),
            run_as_non_root: Some(true),
            run_as_user: Some(NOBODY),
            seccomp_profile: Some(security::profile(false)),
            ..SecurityContext::default()
        }),
        volume_mounts: matches!(goal, Goal::Job(_)).then(|| vec![mount]),
        ..Container::default()
    }
}

/// The one image that waiting needs.
fn image(context: &Context<'_>) -> String {
    if let Some(image) = &context.options.wait_image {
        return image.clone();
    }
    let image = if context.asks_api { API_IMAGE } else { PLAIN_IMAGE };
    context.options.pins.get(image).cloned().unwrap_or_else(|| image.to_owned())
}

/// Whether somebody waits for a Job.
pub(super) fn asks_api(context: &Context<'_>) -> bool {
    context.project.services.values().any(|service| {
        waits(context, service)
            && service.depends_on.iter().any(|(name, dependency)| {
                let other = context.project.services.get(name);
                dependency.condition == Condition::Completed
                    && other.is_some_and(|other| context.kind(other) == WorkloadKind::Job)
            })
    })
}

/// A token that lasts an hour, with what else the cluster's API is asked with.
fn token() -> Volume {
    let item = |key: &str| vec![KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None }];
    let namespace = DownwardAPIVolumeFile {
        path: "namespace".to_owned(),
        field_ref: Some(ObjectFieldSelector { field_path: "metadata.namespace".to_owned(), api_version: None }),
        ..DownwardAPIVolumeFile::default()
    };
    let sources = vec![
        VolumeProjection {
            service_account_token: Some(ServiceAccountTokenProjection {
                path: "token".to_owned(),
                expiration_seconds: Some(3600),
                audience: None,
            }),
            ..VolumeProjection::default()
        },
        VolumeProjection {
            config_map: Some(ConfigMapProjection {
                name: CLUSTER_CERTIFICATE.to_owned(),
                items: Some(item("ca.crt")),
                optional: None,
            }),
            ..VolumeProjection::default()
        },
        VolumeProjection {
            downward_api: Some(DownwardAPIProjection { items: Some(vec![namespace]) }),
            ..VolumeProjection::default()
        },
    ];
    Volume {
        name: TOKEN_VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource { sources: Some(sources), default_mode: None }),
        ..Volume::default()
    }
}

/// Every namespace has it, made by the cluster itself.
pub(super) const CLUSTER_CERTIFICATE: &str = "kube-root-ca.crt";

/// Lets a service's account read the Jobs that are waited for.
fn rights(context: &Context<'_>, service: &Service, mut jobs: Vec<String>, export: &mut Export) {
    jobs.sort();
    jobs.dedup();
    let base = context.names.service(&service.name);
    let name = label(&format!("{base}-wait"));
    let name =
        if context.names.services.values().any(|other| *other == name) { with_digest(&name, "wait") } else { name };
    let account = context.settings(service).service_account.clone().unwrap_or(base);
    let namespace = context.options.namespace.clone().unwrap_or_else(|| {
        let reason = "who may read the Job is named with the namespace `default`: say with `--namespace` which it is";
        export.approximated(service_key(service, "depends_on"), reason);
        "default".to_owned()
    });
    let rule = PolicyRule {
        api_groups: Some(vec!["batch".to_owned()]),
        resources: Some(vec!["jobs".to_owned()]),
        resource_names: Some(jobs),
        verbs: vec!["get".to_owned()],
        ..PolicyRule::default()
    };
    export.objects.push(Role { metadata: metadata(context, &name, Some(service)), rules: Some(vec![rule]) }.into());
    let binding = RoleBinding {
        metadata: metadata(context, &name, Some(service)),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: Kind::Role.as_str().to_owned(),
            name,
        },
        subjects: Some(vec![Subject {
            kind: Kind::ServiceAccount.as_str().to_owned(),
            name: account,
            namespace: Some(namespace),
            api_group: None,
        }]),
    };
    export.external.insert(Reference { kind: Kind::ConfigMap, name: CLUSTER_CERTIFICATE.to_owned() });
    export.objects.push(binding.into());
}
