//! What a container uses of its machine: the request's `HostConfig`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use bollard::models::{
    DeviceMapping, DeviceRequest as ApiDeviceRequest, HostConfig, HostConfigCgroupnsModeEnum, HostConfigIsolationEnum,
    HostConfigLogConfig, ResourcesBlkioWeightDevice, ResourcesUlimits, ThrottleDevice,
};

use super::{Surroundings, Version, port_bindings, restart_policy, storage, too_old};
use crate::engine::EngineError;
use crate::plan::spec::ContainerSpec;
use crate::project::{
    BlockRate, Devices, Limits, Logging, Networking, Service, Sharing, Ulimit, VolumesFrom, VolumesSource,
};

/// From this version on, a container has annotations.
const ANNOTATIONS: Version = Version(1, 43);

pub(super) fn host_config(
    spec: &ContainerSpec,
    surroundings: &Surroundings,
    warnings: &mut Vec<String>,
) -> Result<HostConfig, EngineError> {
    let service = &spec.service;
    let storage = storage::storage(spec, surroundings)?;
    let (security_opt, unconfined) = security(service, spec)?;
    if !service.annotations.is_empty() && surroundings.version < ANNOTATIONS {
        warnings.push(too_old("`annotations`", surroundings.version, ANNOTATIONS));
    }
    let namespaces = &service.namespaces;
    let mut host = HostConfig {
        binds: list(&storage.binds),
        mounts: list(&storage.mounts),
        tmpfs: Some(storage.tmpfs).filter(|tmpfs| !tmpfs.is_empty()),
        volumes_from: list(&volumes_from(spec)?),
        network_mode: network_mode(spec)?,
        links: list(&spec.links),
        port_bindings: (!service.ports.is_empty()).then(|| port_bindings(&service.ports)),
        restart_policy: Some(restart_policy(service.restart)),
        init: service.init,
        cap_add: list(&service.cap_add),
        cap_drop: list(&service.cap_drop),
        privileged: Some(service.privileged),
        readonly_rootfs: Some(service.read_only),
        extra_hosts: list(&service.extra_hosts.iter().map(|line| extra_host(line)).collect::<Vec<_>>()),
        dns: list(&service.dns.servers),
        dns_options: list(&service.dns.options),
        dns_search: list(&service.dns.search),
        group_add: list(&service.group_add),
        sysctls: map(&service.sysctls),
        storage_opt: map(&service.storage_opt),
        annotations: map(&service.annotations),
        log_config: service.logging.as_ref().map(log_config),
        runtime: service.runtime.clone(),
        isolation: service.isolation.as_deref().map(isolation).transpose()?,
        security_opt: list(&security_opt),
        masked_paths: unconfined.then(Vec::new),
        readonly_paths: unconfined.then(Vec::new),
        pid_mode: namespaces.pid.as_ref().map(|sharing| namespace("pid", sharing, spec)).transpose()?,
        ipc_mode: namespaces.ipc.as_ref().map(|sharing| namespace("ipc", sharing, spec)).transpose()?,
        uts_mode: namespaces.uts.clone(),
        userns_mode: namespaces.user.clone(),
        cgroupns_mode: namespaces.cgroup.as_deref().map(cgroup_namespace).transpose()?,
        cgroup_parent: namespaces.cgroup_parent.clone(),
        ..Default::default()
    };
    limit(&mut host, &service.limits);
    give_devices(&mut host, &service.devices);
    Ok(host)
}

fn list<T: Clone>(items: &[T]) -> Option<Vec<T>> {
    (!items.is_empty()).then(|| items.to_vec())
}

fn map(entries: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!entries.is_empty()).then(|| entries.clone().into_iter().collect())
}

fn refused(message: String) -> EngineError {
    EngineError::Refused { message }
}

fn limit(host: &mut HostConfig, limits: &Limits) {
    let rates = |rates: &[BlockRate]| {
        let rate = |rate: &BlockRate| ThrottleDevice { path: Some(rate.path.clone()), rate: Some(rate.rate) };
        list(&rates.iter().map(rate).collect::<Vec<_>>())
    };
    let block = &limits.block;
    let weights = block.weight_device.iter().map(|device| ResourcesBlkioWeightDevice {
        path: Some(device.path.clone()),
        weight: usize::try_from(device.weight).ok(),
    });
    host.nano_cpus = limits.nano_cpus;
    host.cpu_shares = limits.cpu_shares;
    host.cpu_period = limits.cpu_period;
    host.cpu_quota = limits.cpu_quota;
    host.cpu_realtime_period = limits.cpu_rt_period;
    host.cpu_realtime_runtime = limits.cpu_rt_runtime;
    host.cpu_count = limits.cpu_count;
    host.cpu_percent = limits.cpu_percent;
    host.cpuset_cpus.clone_from(&limits.cpuset);
    host.memory = limits.memory;
    host.memory_reservation = limits.memory_reservation;
    host.memory_swap = limits.memory_swap;
    host.memory_swappiness = limits.memory_swappiness;
    host.oom_kill_disable = Some(limits.oom_kill_disable);
    host.oom_score_adj = limits.oom_score_adj;
    host.pids_limit = limits.pids;
    host.shm_size = limits.shm_size;
    host.blkio_weight = block.weight.and_then(|weight| u16::try_from(weight).ok());
    host.blkio_weight_device = list(&weights.collect::<Vec<_>>());
    host.blkio_device_read_bps = rates(&block.read_bps);
    host.blkio_device_read_iops = rates(&block.read_iops);
    host.blkio_device_write_bps = rates(&block.write_bps);
    host.blkio_device_write_iops = rates(&block.write_iops);
    let ulimit = |(name, limit): (&String, &Ulimit)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    };
    host.ulimits = list(&limits.ulimits.iter().map(ulimit).collect::<Vec<_>>());
}

fn give_devices(host: &mut HostConfig, devices: &Devices) {
    let (named, by_path): (Vec<_>, Vec<_>) = devices.mapped.iter().partition(|device| device.is_named());
    let by_path = by_path.into_iter().map(|device| DeviceMapping {
        path_on_host: Some(device.source.clone()),
        path_in_container: Some(device.target.clone()),
        cgroup_permissions: Some(device.permissions.clone()),
    });
    host.devices = list(&by_path.collect::<Vec<_>>());
    host.device_cgroup_rules = list(&devices.rules);
    let mut requests: Vec<_> = devices
        .requests
        .iter()
        .map(|request| ApiDeviceRequest {
            driver: request.driver.clone(),
            count: request.count,
            device_ids: list(&request.ids),
            capabilities: Some(vec![request.capabilities.clone()]),
            options: map(&request.options),
        })
        .collect();
    if !named.is_empty() {
        requests.push(ApiDeviceRequest {
            driver: Some("cdi".to_owned()),
            device_ids: Some(named.into_iter().map(|device| device.source.clone()).collect()),
            ..Default::default()
        });
    }
    host.device_requests = list(&requests);
}

fn log_config(logging: &Logging) -> HostConfigLogConfig {
    HostConfigLogConfig { typ: logging.driver.clone(), config: map(&logging.options) }
}

fn isolation(word: &str) -> Result<HostConfigIsolationEnum, EngineError> {
    match word {
        "default" => Ok(HostConfigIsolationEnum::DEFAULT),
        "process" => Ok(HostConfigIsolationEnum::PROCESS),
        "hyperv" => Ok(HostConfigIsolationEnum::HYPERV),
        _ => Err(refused(format!("`{word}` is no isolation: it is `default`, `process` or `hyperv`"))),
    }
}

fn cgroup_namespace(word: &str) -> Result<HostConfigCgroupnsModeEnum, EngineError> {
    match word {
        "host" => Ok(HostConfigCgroupnsModeEnum::HOST),
        "private" => Ok(HostConfigCgroupnsModeEnum::PRIVATE),
        _ => Err(refused(format!("`{word}` is no cgroup namespace: it is `host` or `private`"))),
    }
}

fn companion<'a>(what: &str, service: &str, spec: &'a ContainerSpec) -> Result<&'a str, EngineError> {
    let missing = || refused(format!("`{service}`, whose {what} it shares, has no container"));
    spec.companions.get(service).map(String::as_str).ok_or_else(missing)
}

fn namespace(what: &str, sharing: &Sharing, spec: &ContainerSpec) -> Result<String, EngineError> {
    Ok(match sharing {
        Sharing::Mode(mode) => mode.clone(),
        Sharing::Container(container) => format!("container:{container}"),
        Sharing::Service(other) => format!("container:{}", companion(what, other, spec)?),
    })
}

fn network_mode(spec: &ContainerSpec) -> Result<Option<String>, EngineError> {
    Ok(match &spec.service.networking {
        Networking::Networks(_) => spec.networks.first().map(|place| place.network.clone()),
        Networking::Host => Some("host".to_owned()),
        Networking::None => Some("none".to_owned()),
        Networking::Container(container) => Some(format!("container:{container}")),
        Networking::Service(other) => Some(format!("container:{}", companion("network", other, spec)?)),
    })
}

fn volumes_from(spec: &ContainerSpec) -> Result<Vec<String>, EngineError> {
    let one = |from: &VolumesFrom| {
        let container = match &from.source {
            VolumesSource::Container(name) => name,
            VolumesSource::Service(service) => companion("volumes", service, spec)?,
        };
        Ok(match from.read_only {
            None => container.to_owned(),
            Some(true) => format!("{container}:ro"),
            Some(false) => format!("{container}:rw"),
        })
    };
    spec.service.volumes_from.iter().map(one).collect()
}

/// The options with profiles read from their files, and whether the engine's masks of system paths are taken away.
fn security(service: &Service, spec: &ContainerSpec) -> Result<(Vec<String>, bool), EngineError> {
    let mut options = Vec::new();
    let mut unconfined = false;
    for option in &service.security_opt {
        let (name, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
        match (name, value) {
            ("systempaths", "unconfined") => unconfined = true,
            ("seccomp", "unconfined" | "builtin" | "default") => options.push(option.clone()),
            ("seccomp", file) => options.push(format!("seccomp={}", profile(&spec.directory.join(file))?)),
            _ => options.push(option.clone()),
        }
    }
    Ok((options, unconfined))
}

/// The text of a seccomp profile.
fn profile(path: &Path) -> Result<String, EngineError> {
    let unreadable = |why: &str| refused(format!("the seccomp profile `{}` cannot be read: {why}", path.display()));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(EngineError::MissingPath { path: path.to_owned() });
        }
        Err(error) => return Err(unreadable(&error.to_string())),
    };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| unreadable(&error.to_string()))?;
    Ok(value.to_string())
}

/// `name=address` and `name:[address]` → `name:address`.
fn extra_host(line: &str) -> String {
    let separator = line.find(['=', ':']).unwrap_or(line.len());
    let (name, address) = line.split_at(separator);
    let address = address.get(1..).unwrap_or_default().trim();
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    format!("{}:{address}", name.trim())
}
