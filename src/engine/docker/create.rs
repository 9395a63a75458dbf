//! A container's specification → the body of the Docker API's create request. Reads the host only to see whether a
//! path to be mounted is there; asks the engine nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig, Mount as ApiMount,
    MountBindOptions, MountBindOptionsPropagationEnum, MountTmpfsOptions, MountType, MountVolumeOptions,
    NetworkingConfig, PortBinding, RestartPolicy as ApiRestartPolicy, RestartPolicyNameEnum,
};

use super::Version;
use crate::engine::EngineError;
use crate::plan::spec::{ContainerSpec, NetworkEndpoint, label};
use crate::project::{
    HealthTest, Healthcheck, Mount, MountSource, Networking, Port, Published, RestartPolicy, Service,
};

/// From this version on, a container can be made in several networks at once.
const MANY_NETWORKS: Version = Version(1, 44);
/// From this version on, a healthcheck can have an interval of its own while it starts.
const START_INTERVAL: Version = Version(1, 44);
/// From this version on, a volume can be mounted by a folder inside it.
const VOLUME_SUBPATH: Version = Version(1, 45);
/// From this version on, an endpoint can be given the default route.
const GATEWAY_PRIORITY: Version = Version(1, 48);

/// What an engine must know beside the specification.
pub(super) struct Surroundings {
    /// The engine's API.
    pub(super) version: Version,
    /// The engine sees the same files as this process.
    pub(super) local: bool,
    /// Volumes taken over from the replaced container, by mount point.
    pub(super) inherited: BTreeMap<String, String>,
    /// The image's own entrypoint, when the command is to be cleared, which the API can only do beside one.
    pub(super) entrypoint: Option<Vec<String>>,
}

/// The body, and the networks that are to be joined one by one afterwards.
pub(super) fn body(
    spec: &ContainerSpec,
    surroundings: &Surroundings,
) -> Result<(ContainerCreateBody, Vec<NetworkEndpoint>), EngineError> {
    let service = &spec.service;
    let shares_network = matches!(service.networking, Networking::Service(_) | Networking::Container(_));
    let (at_once, later) = endpoints(spec, surroundings.version);
    let body = ContainerCreateBody {
        hostname: service.hostname.clone(),
        user: service.user.clone(),
        exposed_ports: if shares_network { None } else { exposed(service) },
        tty: Some(service.tty),
        open_stdin: Some(service.stdin_open),
        // A one-off container's input ends with the terminal that it was started from.
        stdin_once: Some(service.stdin_open && spec.labels.get(label::ONE_OFF).is_some_and(|value| value == "True")),
        env: Some(environment(&service.environment)),
        cmd: service.command.clone(),
        entrypoint: service.entrypoint.clone().or_else(|| surroundings.entrypoint.clone()),
        healthcheck: service.healthcheck.as_ref().map(|check| healthcheck(check, surroundings.version)),
        image: Some(spec.image.clone()),
        working_dir: service.working_dir.clone(),
        labels: Some(spec.labels.clone().into_iter().collect()),
        stop_signal: service.stop_signal.clone(),
        stop_timeout: service.stop_grace_period.map(whole_seconds),
        host_config: Some(host_config(spec, surroundings)?),
        networking_config: (!at_once.is_empty()).then_some(NetworkingConfig { endpoints_config: Some(at_once) }),
        ..Default::default()
    };
    Ok((body, later))
}

/// A container's place in a network, for creating it there or for joining it later.
pub(super) fn endpoint(endpoint: &NetworkEndpoint) -> EndpointSettings {
    let fixed = endpoint.ipv4_address.is_some() || endpoint.ipv6_address.is_some();
    EndpointSettings {
        aliases: Some(distinct(&endpoint.aliases)),
        mac_address: endpoint.mac_address.clone(),
        ipam_config: fixed.then(|| EndpointIpamConfig {
            ipv4_address: endpoint.ipv4_address.clone(),
            ipv6_address: endpoint.ipv6_address.clone(),
            link_local_ips: None,
        }),
        ..Default::default()
    }
}

/// `KEY=value`; a bare `KEY` takes the image's variable away.
pub(super) fn environment(variables: &BTreeMap<String, Option<String>>) -> Vec<String> {
    let entry = |(key, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{key}={value}"),
        None => key.clone(),
    };
    variables.iter().map(entry).collect()
}

/// The API counts grace periods in whole seconds: rounded up, so that nobody is killed early.
pub(super) fn whole_seconds(duration: Duration) -> i64 {
    let rounded = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i64::from(i32::try_from(rounded).unwrap_or(i32::MAX))
}

fn endpoints(spec: &ContainerSpec, version: Version) -> (HashMap<String, EndpointSettings>, Vec<NetworkEndpoint>) {
    let mut at_once = HashMap::new();
    let mut later = Vec::new();
    for (index, place) in spec.networks.iter().enumerate() {
        if index == 0 || version >= MANY_NETWORKS {
            let first_of_many = index == 0 && spec.networks.len() > 1 && version >= GATEWAY_PRIORITY;
            let settings = EndpointSettings { gw_priority: first_of_many.then_some(1), ..endpoint(place) };
            at_once.insert(place.network.clone(), settings);
        } else {
            later.push(place.clone());
        }
    }
    (at_once, later)
}

fn host_config(spec: &ContainerSpec, surroundings: &Surroundings) -> Result<HostConfig, EngineError> {
    let service = &spec.service;
    let storage = storage(spec, surroundings)?;
    let list = |words: &[String]| (!words.is_empty()).then(|| words.to_vec());
    Ok(HostConfig {
        binds: Some(storage.binds).filter(|binds| !binds.is_empty()),
        mounts: Some(storage.mounts).filter(|mounts| !mounts.is_empty()),
        tmpfs: Some(storage.tmpfs).filter(|tmpfs| !tmpfs.is_empty()),
        network_mode: network_mode(spec)?,
        port_bindings: (!service.ports.is_empty()).then(|| port_bindings(&service.ports)),
        restart_policy: Some(restart_policy(service.restart)),
        init: service.init,
        cap_add: list(&service.cap_add),
        cap_drop: list(&service.cap_drop),
        privileged: Some(service.privileged),
        readonly_rootfs: Some(service.read_only),
        extra_hosts: list(&service.extra_hosts.iter().map(|line| extra_host(line)).collect::<Vec<_>>()),
        ..Default::default()
    })
}

fn network_mode(spec: &ContainerSpec) -> Result<Option<String>, EngineError> {
    Ok(match &spec.service.networking {
        Networking::Networks(_) => spec.networks.first().map(|place| place.network.clone()),
        Networking::Host => Some("host".to_owned()),
        Networking::None => Some("none".to_owned()),
        Networking::Container(container) => Some(format!("container:{container}")),
        Networking::Service(other) => match &spec.network_container {
            Some(container) => Some(format!("container:{container}")),
            None => {
                return Err(EngineError::Refused {
                    message: format!("`{other}`, whose network it shares, has no container"),
                });
            }
        },
    })
}

#[derive(Default)]
struct Storage {
    binds: Vec<String>,
    mounts: Vec<ApiMount>,
    tmpfs: HashMap<String, String>,
}

fn storage(spec: &ContainerSpec, surroundings: &Surroundings) -> Result<Storage, EngineError> {
    let mut storage = Storage::default();
    for mount in &spec.service.mounts {
        add(&mut storage, spec, surroundings, mount)?;
    }
    for (source, target) in &spec.file_mounts {
        must_exist(source, surroundings)?;
        storage.mounts.push(bind_mount(source, target, true, None));
    }
    let taken: BTreeSet<&str> = spec.service.mounts.iter().map(|mount| mount.target.as_str()).collect();
    for (target, volume) in &surroundings.inherited {
        if !taken.contains(target.as_str()) {
            storage.mounts.push(volume_mount(Some(volume.clone()), target, false, None));
        }
    }
    Ok(storage)
}

fn add(
    storage: &mut Storage,
    spec: &ContainerSpec,
    surroundings: &Surroundings,
    mount: &Mount,
) -> Result<(), EngineError> {
    let target = &mount.target;
    match &mount.source {
        MountSource::Bind { path, create_host_path, propagation, selinux } => {
            if !create_host_path {
                must_exist(path, surroundings)?;
            }
            let text = path.to_string_lossy();
            // Only the form with colons makes missing folders and knows SELinux; it cannot hold a colon of its own.
            if (*create_host_path || selinux.is_some()) && !text.contains(':') && !target.contains(':') {
                let options =
                    [Some(if mount.read_only { "ro" } else { "rw" }), propagation.as_deref(), selinux.as_deref()];
                let options: Vec<&str> = options.into_iter().flatten().collect();
                storage.binds.push(format!("{text}:{target}:{}", options.join(",")));
            } else {
                if *create_host_path && surroundings.local && !path.exists() {
                    std::fs::create_dir_all(path).map_err(|error| EngineError::Refused {
                        message: format!("`{text}` cannot be made: {error}"),
                    })?;
                }
                storage.mounts.push(bind_mount(path, target, mount.read_only, propagation.as_deref()));
            }
        }
        MountSource::Volume { key, nocopy, subpath } => {
            if subpath.is_some() && surroundings.version < VOLUME_SUBPATH {
                let message = format!(
                    "the engine's API {} cannot mount a folder inside a volume (needs {VOLUME_SUBPATH})",
                    surroundings.version
                );
                return Err(EngineError::Refused { message });
            }
            let name = spec.volumes.get(key).unwrap_or(key).clone();
            let options =
                MountVolumeOptions { no_copy: nocopy.then_some(true), subpath: subpath.clone(), ..Default::default() };
            storage.mounts.push(volume_mount(Some(name), target, mount.read_only, Some(options)));
        }
        MountSource::Anonymous { nocopy } => {
            let options = MountVolumeOptions { no_copy: nocopy.then_some(true), ..Default::default() };
            let inherited = surroundings.inherited.get(target).cloned();
            storage.mounts.push(volume_mount(inherited, target, mount.read_only, Some(options)));
        }
        MountSource::Tmpfs { size, mode, options } => match options {
            Some(options) => {
                let read_only = mount.read_only.then_some("ro");
                let words = [Some(options.as_str()).filter(|options| !options.is_empty()), read_only];
                let words: Vec<&str> = words.into_iter().flatten().collect();
                storage.tmpfs.insert(target.clone(), words.join(","));
            }
            None => storage.mounts.push(tmpfs_mount(target, mount.read_only, *size, *mode)),
        },
    }
    Ok(())
}

fn must_exist(path: &Path, surroundings: &Surroundings) -> Result<(), EngineError> {
    if surroundings.local && !path.exists() {
        return Err(EngineError::MissingPath { path: PathBuf::from(path) });
    }
    Ok(())
}

fn bind_mount(source: &Path, target: &str, read_only: bool, propagation: Option<&str>) -> ApiMount {
    let propagation = propagation.and_then(|word| match word {
        "private" => Some(MountBindOptionsPropagationEnum::PRIVATE),
        "rprivate" => Some(MountBindOptionsPropagationEnum::RPRIVATE),
        "shared" => Some(MountBindOptionsPropagationEnum::SHARED),
        "rshared" => Some(MountBindOptionsPropagationEnum::RSHARED),
        "slave" => Some(MountBindOptionsPropagationEnum::SLAVE),
        "rslave" => Some(MountBindOptionsPropagationEnum::RSLAVE),
        _ => None,
    });
    ApiMount {
        typ: Some(MountType::BIND),
        source: Some(source.to_string_lossy().into_owned()),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        bind_options: propagation
            .map(|propagation| MountBindOptions { propagation: Some(propagation), ..Default::default() }),
        ..Default::default()
    }
}

fn volume_mount(name: Option<String>, target: &str, read_only: bool, options: Option<MountVolumeOptions>) -> ApiMount {
    ApiMount {
        typ: Some(MountType::VOLUME),
        source: name,
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        volume_options: options.filter(|options| *options != MountVolumeOptions::default()),
        ..Default::default()
    }
}

fn tmpfs_mount(target: &str, read_only: bool, size: Option<u64>, mode: Option<u32>) -> ApiMount {
    ApiMount {
        typ: Some(MountType::TMPFS),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        tmpfs_options: Some(MountTmpfsOptions {
            size_bytes: size.and_then(|size| i64::try_from(size).ok()),
            mode: mode.map(i64::from),
            options: None,
        }),
        ..Default::default()
    }
}

fn exposed(service: &Service) -> Option<Vec<String>> {
    let mut ports = BTreeSet::new();
    for port in &service.ports {
        ports.insert(format!("{}/{}", port.target, port.protocol.as_str()));
    }
    for entry in &service.expose {
        let (numbers, protocol) = entry.split_once('/').unwrap_or((entry, "tcp"));
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
            ports.extend((first..=last).map(|number| format!("{number}/{protocol}")));
        }
    }
    (!ports.is_empty()).then(|| ports.into_iter().collect())
}

fn port_bindings(ports: &[Port]) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in ports {
        let host_port = match port.published {
            Published::Ephemeral => String::new(),
            Published::Port(number) => number.to_string(),
            Published::Range(first, last) => format!("{first}-{last}"),
        };
        let key = format!("{}/{}", port.target, port.protocol.as_str());
        let binding = PortBinding { host_ip: port.host_ip.clone(), host_port: Some(host_port) };
        bindings.entry(key).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

fn healthcheck(check: &Healthcheck, version: Version) -> HealthConfig {
    let nanoseconds = |duration: Option<Duration>| duration.and_then(|time| i64::try_from(time.as_nanos()).ok());
    let with = |word: &str, words: &[String]| {
        Some(std::iter::once(word.to_owned()).chain(words.iter().cloned()).collect::<Vec<_>>())
    };
    HealthConfig {
        test: match &check.test {
            HealthTest::Inherit => None,
            HealthTest::Disabled => with("NONE", &[]),
            HealthTest::Command(words) => with("CMD", words),
            HealthTest::Shell(line) => with("CMD-SHELL", std::slice::from_ref(line)),
        },
        interval: nanoseconds(check.interval),
        timeout: nanoseconds(check.timeout),
        retries: check.retries.map(i64::from),
        start_period: nanoseconds(check.start_period),
        start_interval: nanoseconds(check.start_interval).filter(|_| version >= START_INTERVAL),
    }
}

fn restart_policy(policy: RestartPolicy) -> ApiRestartPolicy {
    let named = |name| ApiRestartPolicy { name: Some(name), maximum_retry_count: None };
    match policy {
        RestartPolicy::No => named(RestartPolicyNameEnum::NO),
        RestartPolicy::Always => named(RestartPolicyNameEnum::ALWAYS),
        RestartPolicy::UnlessStopped => named(RestartPolicyNameEnum::UNLESS_STOPPED),
        RestartPolicy::OnFailure { max_retries } => ApiRestartPolicy {
            name: Some(RestartPolicyNameEnum::ON_FAILURE),
            maximum_retry_count: max_retries.map(i64::from),
        },
    }
}

/// `name=address` and `name:[address]` → `name:address`.
fn extra_host(line: &str) -> String {
    let separator = line.find(['=', ':']).unwrap_or(line.len());
    let (name, address) = line.split_at(separator);
    let address = address.get(1..).unwrap_or_default().trim();
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    format!("{}:{address}", name.trim())
}

fn distinct(words: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    words.iter().filter(|word| seen.insert(word.as_str())).cloned().collect()
}
