//! What a manifest that was written for Kompose says in labels, for whoever comes from there: each `kompose.…` label has
//! a word of `x-hoist.kubernetes` that means the same, and that word wins.
//!
//! Source: Kompose's user guide, "Labels".

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Container;

use crate::project::kubernetes::{Autoscale, Concurrency, Entry, Kubernetes, Schedule, ServiceType, Tls, WorkloadKind};
use crate::project::syntax;
use crate::project::{HealthTest, Healthcheck, Service};

use super::Context;
use super::container::escaped;
use super::name::label;

/// How Kompose's labels begin.
pub(super) const PREFIX: &str = "kompose.";

/// What a service is in a cluster, by `x-hoist` and else by its labels.
pub(super) fn settings(service: &Service) -> Kubernetes {
    let labels = &service.labels;
    let mut settings = service.kubernetes.clone();
    if !labels.keys().any(|key| key.starts_with(PREFIX)) {
        return settings;
    }
    let get = |key: &str| labels.get(key).map(|value| value.trim()).filter(|value| !value.is_empty());
    settings.kind = settings.kind.or_else(|| kind(get("kompose.controller.type")?));
    settings.service_type = settings.service_type.or_else(|| service_type(get("kompose.service.type")?));
    if settings.schedule.is_none() {
        settings.schedule = get("kompose.cronjob.schedule").filter(|cron| syntax::is_schedule(cron)).map(|cron| {
            let concurrency = match get("kompose.cronjob.concurrency_policy").unwrap_or_default() {
                "Allow" => Concurrency::Allow,
                "Replace" => Concurrency::Replace,
                _ => Concurrency::Forbid,
            };
            Schedule { cron: cron.to_owned(), time_zone: None, concurrency }
        });
    }
    if settings.hosts.is_empty() {
        let hosts = get("kompose.service.expose").filter(|word| !["true", "false"].contains(word)).unwrap_or_default();
        settings.hosts = hosts
            .split(',')
            .map(str::trim)
            .filter(|host| syntax::is_host(host.split('/').next().unwrap_or_default()))
            .map(str::to_owned)
            .collect();
    }
    if let (Tls::Off, Some(secret)) = (&settings.tls, get("kompose.service.expose.tls-secret")) {
        settings.tls = Tls::Secret(secret.to_owned());
    }
    if let (None, Some(class)) = (&settings.entry, get("kompose.service.expose.ingress-class-name")) {
        settings.entry = Some(Entry::Ingress { class: Some(class.to_owned()), annotations: BTreeMap::new() });
    }
    let storage = &mut settings.storage;
    let quantity = |text: &&str| syntax::quantity(text).is_some_and(|amount| amount > 0);
    storage.size = storage.size.take().or_else(|| get("kompose.volume.size").filter(quantity).map(str::to_owned));
    storage.class = storage.class.take().or_else(|| get("kompose.volume.storage-class-name").map(str::to_owned));
    settings.autoscale = settings.autoscale.or_else(|| autoscale(labels, service.replicas));
    settings.image_pull_secrets.extend(get("kompose.image-pull-secret").map(str::to_owned));
    settings
}

fn kind(word: &str) -> Option<WorkloadKind> {
    Some(match word.to_ascii_lowercase().as_str() {
        "deployment" => WorkloadKind::Deployment,
        "daemonset" => WorkloadKind::DaemonSet,
        "statefulset" => WorkloadKind::StatefulSet,
        _ => return None,
    })
}

fn service_type(word: &str) -> Option<ServiceType> {
    Some(match word.to_ascii_lowercase().as_str() {
        "clusterip" => ServiceType::ClusterIp,
        "nodeport" => ServiceType::NodePort,
        "loadbalancer" => ServiceType::LoadBalancer,
        _ => return None,
    })
}

fn autoscale(labels: &BTreeMap<String, String>, replicas: u32) -> Option<Autoscale> {
    let number = |key: &str| labels.get(key)?.trim().parse::<u32>().ok().filter(|number| *number > 0);
    let any = labels.keys().any(|key| key.starts_with("kompose.hpa."));
    let (cpu, memory) = (number("kompose.hpa.cpu"), number("kompose.hpa.memory"));
    let min = number("kompose.hpa.replicas.min").unwrap_or_else(|| replicas.max(1));
    let max = number("kompose.hpa.replicas.max").unwrap_or(3).max(min);
    any.then_some(Autoscale {
        min: Some(min),
        max,
        cpu: cpu.or(if memory.is_none() { Some(80) } else { None }),
        memory,
    })
}

/// The healthcheck that Kompose's labels write, for a service without one of its own.
pub(super) fn healthcheck(service: &Service, which: &str) -> Option<Healthcheck> {
    let get = |key: &str| service.labels.get(&format!("kompose.service.healthcheck.{which}.{key}"));
    let port = |key: &str| get(key)?.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let test = if let Some(port) = port("http_get_port") {
        let path = get("http_get_path").map_or("/", |path| path.trim());
        HealthTest::Command(["curl", "-f", &format!("http://localhost:{port}{path}")].map(str::to_owned).into())
    } else if let Some(port) = port("tcp_port") {
        HealthTest::Command(["nc", "-z", "localhost", &port.to_string()].map(str::to_owned).into())
    } else {
        let line = get("test")?.trim();
        let words = shell_words::split(line.strip_prefix("CMD").unwrap_or(line)).ok()?;
        HealthTest::Command(words)
    };
    let period = |key: &str| {
        let text = get(key)?.trim();
        text.strip_suffix('s').unwrap_or(text).parse().ok().map(std::time::Duration::from_secs)
    };
    Some(Healthcheck {
        test,
        interval: period("interval"),
        timeout: period("timeout"),
        retries: get("retries").and_then(|retries| retries.trim().parse().ok()),
        start_period: period("start_period"),
        start_interval: None,
    })
}

/// The container that runs before a service's own, which Kompose's labels write.
pub(super) fn init_container(context: &Context<'_>, service: &Service) -> Option<Container> {
    let get = |key: &str| context.kompose(service, &format!("kompose.init.containers.{key}"));
    let command = get("command").map(|text| {
        let words = serde_yaml::from_str::<Vec<String>>(text).ok().or_else(|| shell_words::split(text).ok());
        escaped(&words.unwrap_or_default())
    });
    Some(Container {
        name: get("name").map_or_else(|| label(&format!("{}-init", service.name)), label),
        image: Some(get("image")?.to_owned()),
        command: command.filter(|words| !words.is_empty()),
        ..Container::default()
    })
}
