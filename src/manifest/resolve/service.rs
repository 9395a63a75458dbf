//! One service as it is meant.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{build, cluster, given, machine, mount, own};
use crate::manifest::raw;
use crate::manifest::raw::develop::{Action, Watch};
use crate::manifest::raw::health::Healthcheck as RawHealthcheck;
use crate::manifest::raw::port::Port as RawPort;
use crate::manifest::raw::scalars::Span;
use crate::manifest::raw::service::{Condition as RawCondition, Nullable, Service as RawService};
use crate::manifest::raw::storage::Grant;
use crate::manifest::value;
use crate::project::{
    Condition, Dependency, FileGrant, HealthTest, Healthcheck, Hook, Link, ModelUse, NetworkAttachment, Networking,
    Port, Protocol, Provider, Published, PullPolicy, RestartPolicy, Service, VolumesFrom, VolumesSource, WatchAction,
    WatchRule,
};

pub(super) fn service(name: &str, raw: &RawService, extensions: BTreeMap<String, serde_json::Value>) -> Service {
    let deploy = raw.deploy.as_ref().and_then(|deploy| deploy.0.as_ref());
    let own = raw.own.0.as_ref();
    let replicas = deploy.and_then(|deploy| deploy.replicas).and_then(|replicas| u32::try_from(replicas.0).ok());
    Service {
        name: name.to_owned(),
        image: given(&raw.image),
        build: raw.build.as_ref().map(|build| build::build(&build.0.0)),
        command: raw.command.0.clone(),
        entrypoint: raw.entrypoint.0.clone(),
        environment: raw.environment.0.clone(),
        ports: raw.ports.0.iter().map(port).collect(),
        expose: raw.expose.0.clone(),
        mounts: raw.volumes.0.iter().map(mount::mount).chain(raw.tmpfs.0.iter().map(|it| mount::tmpfs(it))).collect(),
        secrets: raw.secrets.iter().map(|grant| secret(grant)).collect(),
        configs: raw.configs.iter().map(|grant| config(grant)).collect(),
        depends_on: raw.depends_on.0.iter().map(|(other, raw)| (other.clone(), dependency(raw))).collect(),
        healthcheck: raw.healthcheck.as_ref().map(healthcheck),
        restart: restart(raw),
        networking: networking(raw),
        working_dir: given(&raw.working_dir),
        user: given(&raw.user),
        labels: raw.labels.0.clone(),
        profiles: raw.profiles.0.clone(),
        stop_signal: given(&raw.stop_signal),
        stop_grace_period: raw.stop_grace_period.map(duration),
        init: raw.init.map(|flag| flag.0),
        container_name: given(&raw.container_name),
        hostname: given(&raw.hostname),
        extra_hosts: raw.extra_hosts.0.iter().map(|line| line.replacen('=', ":", 1)).collect(),
        cap_add: raw.cap_add.0.clone(),
        cap_drop: raw.cap_drop.0.clone(),
        privileged: raw.privileged.0,
        read_only: raw.read_only.0,
        tty: raw.tty.0,
        stdin_open: raw.stdin_open.0,
        // What a program provides has no containers.
        replicas: if raw.provider.is_some() { 0 } else { raw.scale.map(|scale| scale.0).or(replicas).unwrap_or(1) },
        platform: given(&raw.platform),
        limits: machine::limits(raw),
        devices: machine::devices(raw),
        namespaces: machine::namespaces(raw),
        dns: machine::dns(raw),
        logging: raw.logging.as_ref().map(machine::logging),
        domainname: given(&raw.domainname),
        group_add: raw.group_add.0.clone(),
        sysctls: raw.sysctls.0.clone(),
        security_opt: raw.security_opt.0.clone(),
        storage_opt: raw.storage_opt.0.clone(),
        annotations: raw.annotations.0.clone(),
        runtime: given(&raw.runtime),
        isolation: given(&raw.isolation),
        mac_address: given(&raw.mac_address),
        links: raw.links.0.iter().map(|text| link(text)).collect(),
        external_links: raw.external_links.0.iter().map(|text| link(text)).collect(),
        volumes_from: raw.volumes_from.0.iter().map(|text| volumes_from(text)).collect(),
        use_api_socket: raw.use_api_socket.0,
        pull_policy: pull_policy(raw),
        post_start: raw.post_start.iter().map(hook).collect(),
        pre_stop: raw.pre_stop.iter().map(hook).collect(),
        hides_output: raw.attach.is_some_and(|attach| !attach.0),
        provider: raw.provider.as_ref().map(provider),
        models: raw.models.0.iter().map(|(key, raw)| (key.clone(), model_use(key, raw))).collect(),
        watch: raw
            .develop
            .iter()
            .filter_map(|develop| develop.0.as_ref())
            .flat_map(|develop| &develop.watch)
            .map(watch)
            .collect(),
        extensions,
        ignores_changes: own.and_then(|own| own.watch).is_some_and(|watch| !watch.0),
        cluster: cluster::cluster(raw),
        kubernetes: own::service(own),
    }
}

/// A negative duration means none.
pub(super) fn duration(span: Span) -> Duration {
    Duration::from_nanos(u64::try_from(span.0).unwrap_or(0))
}

fn port(raw: &RawPort) -> Port {
    let published = match raw.published.0.split_once('-') {
        Some((first, last)) => match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) => Published::Range(first, last),
            _ => Published::Ephemeral,
        },
        None => match raw.published.0.parse() {
            Ok(0) | Err(_) => Published::Ephemeral,
            Ok(port) => Published::Port(port),
        },
    };
    let protocol = match &*raw.protocol.0 {
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => Protocol::Tcp,
    };
    Port {
        target: raw.target.0,
        published,
        host_ip: given(&raw.host_ip.0),
        protocol,
        name: given(&raw.name),
        app_protocol: given(&raw.app_protocol),
    }
}

/// `TARGET` or `TARGET:ALIAS`.
fn link(text: &str) -> Link {
    let (target, alias) = text.split_once(':').unwrap_or((text, text));
    Link { target: target.to_owned(), alias: alias.to_owned() }
}

/// `SERVICE[:ro]` or `container:NAME[:ro]`.
fn volumes_from(text: &str) -> VolumesFrom {
    let (text, of_container) = text.strip_prefix("container:").map_or((text, false), |name| (name, true));
    let (name, mode) = text.split_once(':').map_or((text, None), |(name, mode)| (name, Some(mode)));
    let source = if of_container { VolumesSource::Container } else { VolumesSource::Service };
    VolumesFrom { source: source(name.to_owned()), read_only: mode.map(|mode| mode == "ro") }
}

fn pull_policy(raw: &RawService) -> PullPolicy {
    const DAY: Duration = Duration::from_hours(24);
    let period = |text: &str| {
        let nanoseconds = value::duration::parse(text).ok()?;
        Some(PullPolicy::Every(Duration::from_nanos(u64::try_from(nanoseconds).ok()?)))
    };
    match &*raw.pull_policy.0 {
        "always" => PullPolicy::Always,
        "never" => PullPolicy::Never,
        "build" => PullPolicy::Build,
        "daily" => PullPolicy::Every(DAY),
        "weekly" => PullPolicy::Every(DAY * 7),
        "refresh" => period(&raw.pull_refresh_after).unwrap_or(PullPolicy::Always),
        policy => policy.strip_prefix("every_").and_then(period).unwrap_or_default(),
    }
}

fn provider(raw: &raw::storage::Provider) -> Provider {
    let options = raw.options.iter().map(|(name, values)| (name.clone(), values.0.clone())).collect();
    Provider { program: raw.r#type.clone(), options }
}

fn model_use(key: &str, raw: &Nullable<raw::storage::ModelUse>) -> ModelUse {
    let prefix = key.to_uppercase().replace('-', "_");
    let raw = raw.0.as_ref();
    ModelUse {
        endpoint_variable: raw.and_then(|raw| given(&raw.endpoint_var)).unwrap_or_else(|| format!("{prefix}_URL")),
        model_variable: raw.and_then(|raw| given(&raw.model_var)).unwrap_or_else(|| format!("{prefix}_MODEL")),
    }
}

pub(super) fn grant(raw: &Grant, target: String) -> FileGrant {
    FileGrant {
        key: raw.source.clone(),
        target,
        uid: given(&raw.uid),
        gid: given(&raw.gid),
        mode: raw.mode.map(|mode| mode.0),
    }
}

fn secret(raw: &Grant) -> FileGrant {
    let target = if raw.target.starts_with('/') { raw.target.clone() } else { format!("/run/secrets/{}", raw.target) };
    grant(raw, target)
}

fn config(raw: &Grant) -> FileGrant {
    let target = if raw.target.is_empty() { &raw.source } else { &raw.target };
    let target = if target.starts_with('/') { target.clone() } else { format!("/{target}") };
    grant(raw, target)
}

fn dependency(raw: &raw::service::Dependency) -> Dependency {
    let condition = match raw.condition {
        RawCondition::Started => Condition::Started,
        RawCondition::Healthy => Condition::Healthy,
        RawCondition::Completed => Condition::Completed,
    };
    Dependency { condition, required: raw.required.0, restart: raw.restart.0 }
}

fn healthcheck(raw: &RawHealthcheck) -> Healthcheck {
    let test = match raw.test.0.as_slice() {
        _ if raw.disable.0 => HealthTest::Disabled,
        [] => HealthTest::Inherit,
        [kind, ..] if kind == "NONE" => HealthTest::Disabled,
        [kind, words @ ..] if kind == "CMD-SHELL" => HealthTest::Shell(words.join(" ")),
        [_, words @ ..] => HealthTest::Command(words.to_vec()),
    };
    Healthcheck {
        test,
        interval: raw.interval.map(duration),
        timeout: raw.timeout.map(duration),
        retries: raw.retries.map(|retries| retries.0),
        start_period: raw.start_period.map(duration),
        start_interval: raw.start_interval.map(duration),
    }
}

/// What `deploy.restart_policy` says beats `restart`.
fn restart(raw: &RawService) -> RestartPolicy {
    let deploy = raw.deploy.as_ref().and_then(|deploy| deploy.0.as_ref());
    if let Some(policy) = deploy.and_then(|deploy| deploy.restart_policy.as_ref()) {
        let max_retries = policy.max_attempts.and_then(|attempts| u32::try_from(attempts.0).ok());
        return match policy.condition.as_str() {
            "none" => RestartPolicy::No,
            "on-failure" => RestartPolicy::OnFailure { max_retries },
            "unless-stopped" => RestartPolicy::UnlessStopped,
            _ => RestartPolicy::Always,
        };
    }
    restart_policy(&raw.restart).unwrap_or_default()
}

/// The policy that a word names; `None` when it names none.
pub(in crate::manifest) fn restart_policy(word: &str) -> Option<RestartPolicy> {
    match word {
        "" | "no" => Some(RestartPolicy::No),
        "always" => Some(RestartPolicy::Always),
        "unless-stopped" => Some(RestartPolicy::UnlessStopped),
        "on-failure" => Some(RestartPolicy::OnFailure { max_retries: None }),
        _ => {
            let max_retries = Some(word.strip_prefix("on-failure:")?.parse().ok()?);
            Some(RestartPolicy::OnFailure { max_retries })
        }
    }
}

fn networking(raw: &RawService) -> Networking {
    match &*raw.network_mode {
        "host" => return Networking::Host,
        "none" => return Networking::None,
        mode => {
            if let Some(other) = mode.strip_prefix("service:") {
                return Networking::Service(other.to_owned());
            }
            if let Some(other) = mode.strip_prefix("container:") {
                return Networking::Container(other.to_owned());
            }
        }
    }
    let attachment = |raw: &Nullable<raw::network::Attachment>| {
        let Some(raw) = &raw.0 else { return NetworkAttachment::default() };
        NetworkAttachment {
            aliases: raw.aliases.0.clone(),
            ipv4_address: given(&raw.ipv4_address),
            ipv6_address: given(&raw.ipv6_address),
            mac_address: given(&raw.mac_address),
            priority: raw.priority.and_then(|priority| i32::try_from(priority.0).ok()).unwrap_or(0),
            link_local_ips: raw.link_local_ips.0.clone(),
            interface_name: given(&raw.interface_name),
            driver_opts: raw.driver_opts.0.clone(),
            gateway_priority: raw.gw_priority.map(|priority| priority.0),
        }
    };
    let networks = raw.networks.iter().flat_map(|networks| &networks.0);
    Networking::Networks(networks.map(|(key, raw)| (key.clone(), attachment(raw))).collect())
}

fn watch(raw: &Watch) -> WatchRule {
    let target = raw.target.clone();
    let action = match raw.action {
        None | Some(Action::Rebuild) => WatchAction::Rebuild,
        Some(Action::Restart) => WatchAction::Restart,
        Some(Action::Sync) => WatchAction::Sync { target },
        Some(Action::SyncRestart) => WatchAction::SyncRestart { target },
        Some(Action::SyncExec) => WatchAction::SyncExec { target, exec: hook(&raw.exec) },
    };
    WatchRule {
        path: PathBuf::from(&raw.path.0),
        action,
        ignore: raw.ignore.0.clone(),
        include: raw.include.0.clone(),
        initial_sync: raw.initial_sync.0,
    }
}

fn hook(raw: &raw::develop::Hook) -> Hook {
    Hook {
        command: raw.command.0.clone().unwrap_or_default(),
        user: given(&raw.user),
        privileged: raw.privileged.0,
        working_dir: given(&raw.working_dir),
        environment: raw.environment.0.clone(),
    }
}
