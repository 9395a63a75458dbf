//! A container's specification → the body of the Docker API's create request. Reads of the host what the request must
//! hold or be sure of: whether a path to be mounted is there, the profile of a security module; asks the engine nothing.

mod host;
mod network;
mod storage;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HealthConfig, NetworkingConfig, PortBinding, RestartPolicy as ApiRestartPolicy,
    RestartPolicyNameEnum,
};

use super::Version;
use crate::engine::EngineError;
use crate::plan::spec::{ContainerSpec, NetworkEndpoint, label};
use crate::project::{HealthTest, Healthcheck, Networking, Port, Published, RestartPolicy, Service};

pub(super) use network::endpoint;

/// The variable that names the folder of the docker config.
pub(super) const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// Where a container that is given the engine's socket finds the docker config.
pub(super) const CONFIG_FOLDER: &str = "/run/secrets/docker";
/// From this version on, a healthcheck can have an interval of its own while it starts.
const START_INTERVAL: Version = Version(1, 44);

/// What an engine must know beside the specification.
pub(super) struct Surroundings {
    /// The engine's API.
    pub(super) version: Version,
    /// The engine sees the same files as this process.
    pub(super) local: bool,
    /// The engine's own socket on this machine.
    pub(super) socket: Option<String>,
    /// Volumes taken over from the replaced container, by mount point.
    pub(super) inherited: BTreeMap<String, String>,
    /// The image's own entrypoint, when the command is to be cleared, which the API can only do beside one.
    pub(super) entrypoint: Option<Vec<String>>,
}

/// What a container is made with.
pub(super) struct Request {
    /// The create request's body.
    pub(super) body: ContainerCreateBody,
    /// The hardware address, for an engine that is told of it beside the networks.
    pub(super) mac_address: Option<String>,
    /// Networks that are to be joined one by one afterwards.
    pub(super) later: Vec<NetworkEndpoint>,
    /// What the engine would pass over without a word.
    pub(super) warnings: Vec<String>,
}

/// The whole request.
pub(super) fn request(spec: &ContainerSpec, surroundings: &Surroundings) -> Result<Request, EngineError> {
    let service = &spec.service;
    let shares_network = matches!(service.networking, Networking::Service(_) | Networking::Container(_));
    let mut warnings = spec.left_out.clone();
    let places = network::places(spec, surroundings.version, &mut warnings)?;
    let at_once = places.at_once;
    let body = ContainerCreateBody {
        hostname: service.hostname.clone(),
        domainname: service.domainname.clone(),
        user: service.user.clone(),
        exposed_ports: if shares_network { None } else { exposed(service) },
        tty: Some(service.tty),
        open_stdin: Some(service.stdin_open),
        // A one-off container's input ends with the terminal that it was started from.
        stdin_once: Some(service.stdin_open && spec.labels.get(label::ONE_OFF).is_some_and(|value| value == "True")),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        env: Some(variables(service)),
        cmd: service.command.clone(),
        entrypoint: service.entrypoint.clone().or_else(|| surroundings.entrypoint.clone()),
        healthcheck: service.healthcheck.as_ref().map(|check| healthcheck(check, surroundings.version)),
        image: Some(spec.image.clone()),
        working_dir: service.working_dir.clone(),
        labels: Some(spec.labels.clone().into_iter().collect()),
        stop_signal: service.stop_signal.clone(),
        stop_timeout: service.stop_grace_period.map(whole_seconds),
        host_config: Some(host::host_config(spec, surroundings, &mut warnings)?),
        networking_config: (!at_once.is_empty()).then_some(NetworkingConfig { endpoints_config: Some(at_once) }),
        ..Default::default()
    };
    Ok(Request { body, mac_address: places.mac_address, later: places.later, warnings })
}

/// What this version of the API does not know.
fn too_old(what: &str, version: Version, needed: Version) -> String {
    format!("{what} has no effect with this engine: its API {version} is older than {needed}")
}

fn variables(service: &Service) -> Vec<String> {
    let mut variables = environment(&service.environment);
    if service.use_api_socket && !service.environment.contains_key(DOCKER_CONFIG) {
        variables.push(format!("{DOCKER_CONFIG}={CONFIG_FOLDER}"));
    }
    variables
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
