//! `x-hoist.kubernetes` as it is meant.

use super::given;
use crate::manifest::raw::forms::{Form, OneOrMany};
use crate::manifest::raw::own::{self, Name};
use crate::project::kubernetes::{
    AccessMode, Autoscale, Concurrency, Entry, Kubernetes, ProjectKubernetes, Schedule, SecretStore, ServiceType,
    Storage, Tls, WorkloadKind,
};

pub(super) fn project(own: Option<&own::ProjectOwn>) -> ProjectKubernetes {
    let Some(raw) = own.and_then(|own| own.kubernetes.0.as_ref()) else { return ProjectKubernetes::default() };
    ProjectKubernetes {
        namespace: text(raw.namespace.as_ref()),
        registry: given(&raw.registry),
        image_pull_secrets: names(&raw.image_pull_secrets),
        entry: entry(raw.gateway.as_ref(), raw.ingress.as_ref()),
        service_type: raw.service.map(service_type),
        storage: storage(&raw.storage),
        secret_store: raw.secret_store.as_ref().and_then(|Form(raw)| {
            let is_namespaced = raw.kind == Some(own::StoreKind::SecretStore);
            Some(SecretStore { name: text(raw.name.as_ref())?, is_namespaced })
        }),
        waits: raw.wait.map(|flag| flag.0),
        wait_image: given(&raw.wait_image),
        network_policies: raw.network_policies.map(|flag| flag.0),
        labels: raw.labels.0.clone(),
        annotations: raw.annotations.0.clone(),
    }
}

pub(super) fn service(own: Option<&own::ServiceOwn>) -> Kubernetes {
    let Some(raw) = own.and_then(|own| own.kubernetes.0.as_ref()) else { return Kubernetes::default() };
    Kubernetes {
        kind: raw.kind.map(kind),
        schedule: raw.schedule.as_ref().map(|cron| Schedule {
            cron: cron.0.clone(),
            time_zone: given(&raw.time_zone),
            concurrency: raw.concurrency.map(concurrency).unwrap_or_default(),
        }),
        hosts: raw.host.0.iter().map(|host| host.0.clone()).collect(),
        port: raw.port.and_then(|port| u16::try_from(port.0).ok()),
        tls: match &raw.tls {
            None | Some(own::Tls::Off) => Tls::Off,
            Some(own::Tls::Own) => Tls::Own,
            Some(own::Tls::Secret(name)) => Tls::Secret(name.clone()),
        },
        entry: entry(raw.gateway.as_ref(), raw.ingress.as_ref()),
        service_type: raw.service.map(service_type),
        storage: storage(&raw.storage),
        autoscale: raw.autoscale.as_ref().and_then(autoscale),
        waits: raw.wait.map(|flag| flag.0),
        secret_variables: raw.secret.0.iter().cloned().collect(),
        plain_variables: raw.plain.0.iter().cloned().collect(),
        labels: raw.labels.0.clone(),
        annotations: raw.annotations.0.clone(),
        service_account: text(raw.service_account.as_ref()),
        image_pull_secrets: names(&raw.image_pull_secrets),
    }
}

fn text(name: Option<&Name>) -> Option<String> {
    name.map(|name| name.0.clone())
}

fn names(names: &OneOrMany<Name>) -> Vec<String> {
    names.0.iter().map(|name| name.0.clone()).collect()
}

fn entry(gateway: Option<&Form<own::Gateway>>, ingress: Option<&Form<own::Ingress>>) -> Option<Entry> {
    let of_gateway = gateway.and_then(|Form(raw)| {
        Some(Entry::Gateway {
            name: text(raw.name.as_ref())?,
            namespace: text(raw.namespace.as_ref()),
            listener: text(raw.listener.as_ref()),
        })
    });
    let of_ingress = || {
        let Form(raw) = ingress?;
        Some(Entry::Ingress { class: text(raw.class.as_ref()), annotations: raw.annotations.0.clone() })
    };
    of_gateway.or_else(of_ingress)
}

pub(super) fn storage(raw: &own::Storage) -> Storage {
    Storage {
        size: raw.size.as_ref().map(|size| size.0.clone()),
        class: text(raw.class.as_ref()),
        access: raw.access.map(|access| match access {
            own::AccessMode::ReadWriteOnce => AccessMode::ReadWriteOnce,
            own::AccessMode::ReadWriteOncePod => AccessMode::ReadWriteOncePod,
            own::AccessMode::ReadWriteMany => AccessMode::ReadWriteMany,
            own::AccessMode::ReadOnlyMany => AccessMode::ReadOnlyMany,
        }),
    }
}

fn autoscale(raw: &own::Autoscale) -> Option<Autoscale> {
    let count = |value: i64| u32::try_from(value).ok();
    let (cpu, memory) = (raw.cpu.and_then(|cpu| count(cpu.0)), raw.memory.and_then(|memory| count(memory.0)));
    let max = count(raw.max?.0)?;
    Some(Autoscale {
        min: raw.min.and_then(|min| count(min.0)).map(|min| min.min(max)),
        max,
        cpu: if memory.is_none() { cpu.or(Some(80)) } else { cpu },
        memory,
    })
}

fn kind(raw: own::WorkloadKind) -> WorkloadKind {
    match raw {
        own::WorkloadKind::Deployment => WorkloadKind::Deployment,
        own::WorkloadKind::StatefulSet => WorkloadKind::StatefulSet,
        own::WorkloadKind::DaemonSet => WorkloadKind::DaemonSet,
        own::WorkloadKind::Job => WorkloadKind::Job,
        own::WorkloadKind::CronJob => WorkloadKind::CronJob,
    }
}

fn concurrency(raw: own::Concurrency) -> Concurrency {
    match raw {
        own::Concurrency::Allow => Concurrency::Allow,
        own::Concurrency::Forbid => Concurrency::Forbid,
        own::Concurrency::Replace => Concurrency::Replace,
    }
}

fn service_type(raw: own::ServiceType) -> ServiceType {
    match raw {
        own::ServiceType::ClusterIp => ServiceType::ClusterIp,
        own::ServiceType::NodePort => ServiceType::NodePort,
        own::ServiceType::LoadBalancer => ServiceType::LoadBalancer,
    }
}
