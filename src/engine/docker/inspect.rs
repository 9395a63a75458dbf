//! What the Docker API answers → what the core observes. Never asks anything itself.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerInspectResponse, ContainerState as ApiState, ContainerStateStatusEnum, ContainerSummary,
    ContainerSummaryStateEnum, HealthStatusEnum, ImageConfig, ImageInspect, MountPoint, PortMap, PortSummary,
};
use sha2::{Digest as _, Sha256};

use super::program;
use crate::plan::observed::{Container, ContainerState, Health, Image, PublishedPort};
use crate::plan::spec::label;

/// Labels that say where an image comes from, not what it is.
const PROVENANCE: [&str; 2] = ["com.docker.compose.", "dev.hoist."];

/// An inspected container; `status` is the engine's words for its state where a list gave them.
pub(super) fn container(inspected: ContainerInspectResponse, status: Option<String>) -> Container {
    let state = inspected.state.unwrap_or_default();
    let config = inspected.config.unwrap_or_default();
    let settings = inspected.network_settings.unwrap_or_default();
    let labels: BTreeMap<String, String> = config.labels.unwrap_or_default().into_iter().collect();
    let mut networks: Vec<String> = settings.networks.unwrap_or_default().into_keys().collect();
    networks.sort();
    let health = health(&state);
    let observed = container_state(&state);
    let words = inspected.path.into_iter().chain(inspected.args.unwrap_or_default()).collect();
    Container {
        id: inspected.id.unwrap_or_default(),
        name: inspected.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image: config.image.unwrap_or_default(),
        image_id: inspected.image.unwrap_or_default(),
        state: observed,
        health,
        process: state.pid.and_then(|process| u32::try_from(process).ok()).filter(|process| *process != 0),
        created_at: inspected.created.map_or(0, nanoseconds),
        started_at: time(state.started_at.as_deref()),
        finished_at: time(state.finished_at.as_deref()),
        ports: published(settings.ports.unwrap_or_default()),
        networks,
        writes_volumes: inspected.mounts.iter().flatten().any(is_written_volume),
        command: program::without_shell(words).join(" "),
        status: status.unwrap_or_else(|| describe(observed, health)),
        ..labelled(labels)
    }
}

fn is_written_volume(mount: &MountPoint) -> bool {
    mount.typ.as_deref() == Some("volume") && mount.rw != Some(false)
}

/// A container out of a list: everything but the times of its last start and exit.
pub(super) fn summary(summary: ContainerSummary) -> Container {
    let status = summary.status.unwrap_or_default();
    let labels = summary.labels.unwrap_or_default().into_iter().collect();
    let settings = summary.network_settings.unwrap_or_default();
    let mut networks: Vec<String> = settings.networks.unwrap_or_default().into_keys().collect();
    networks.sort();
    let names = summary.names.unwrap_or_default();
    // Old links add names such as `/other/alias`.
    let name = names.iter().find(|name| !name.trim_start_matches('/').contains('/')).or(names.first());
    let mut ports: Vec<PublishedPort> = summary.ports.unwrap_or_default().iter().map(port).collect();
    ports.sort();
    ports.dedup();
    Container {
        id: summary.id.unwrap_or_default(),
        name: name.map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default(),
        image: summary.image.unwrap_or_default(),
        image_id: summary.image_id.unwrap_or_default(),
        state: summary_state(summary.state, &status),
        health: summary_health(&status),
        process: None,
        created_at: u64::try_from(summary.created.unwrap_or(0)).unwrap_or(0).saturating_mul(1_000_000_000),
        ports,
        networks,
        writes_volumes: false,
        command: program::command_without_shell(&summary.command.unwrap_or_default()).to_owned(),
        status,
        ..labelled(labels)
    }
}

/// An inspected image.
pub(super) fn image(inspected: ImageInspect) -> Image {
    let identity = identity(&inspected);
    let config = inspected.config.unwrap_or_default();
    let test = config.healthcheck.and_then(|healthcheck| healthcheck.test).unwrap_or_default();
    Image {
        id: inspected.id.unwrap_or_default(),
        identity,
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        tagged_at: inspected.metadata.and_then(|metadata| metadata.last_tag_time).map_or(0, nanoseconds),
        has_healthcheck: test.first().is_some_and(|first| first != "NONE"),
    }
}

/// A digest of the layers and of every setting that a container inherits.
fn identity(image: &ImageInspect) -> String {
    let mut hash = Sha256::new();
    let mut field = |name: &str, values: &[String]| {
        // Lengths in front keep two neighbouring values from passing for one.
        hash.update(format!("{name} {}\n", values.len()));
        for value in values {
            hash.update(format!("{} {value}\n", value.len()));
        }
    };
    let of = |text: &Option<String>| text.iter().cloned().collect::<Vec<_>>();
    let layers = image.root_fs.as_ref().and_then(|root| root.layers.clone()).unwrap_or_default();
    field("layers", &layers);
    field("platform", &[of(&image.os), of(&image.architecture), of(&image.variant)].concat());
    let ImageConfig {
        user,
        exposed_ports,
        env,
        cmd,
        healthcheck,
        volumes,
        working_dir,
        entrypoint,
        on_build,
        labels,
        stop_signal,
        shell,
        args_escaped: _,
    } = image.config.clone().unwrap_or_default();
    field("user", &of(&user));
    field("ports", &sorted(exposed_ports));
    field("env", &env.unwrap_or_default());
    field("cmd", &cmd.unwrap_or_default());
    field("volumes", &sorted(volumes));
    field("workdir", &of(&working_dir));
    field("entrypoint", &entrypoint.unwrap_or_default());
    field("onbuild", &on_build.unwrap_or_default());
    field("stopsignal", &of(&stop_signal));
    field("shell", &shell.unwrap_or_default());
    let labels = labels.unwrap_or_default().into_iter();
    let kept = labels.filter(|(key, _)| !PROVENANCE.iter().any(|prefix| key.starts_with(prefix)));
    field("labels", &sorted(Some(kept.map(|(key, value)| format!("{key}={value}")).collect())));
    let healthcheck = healthcheck.unwrap_or_default();
    field("health", &healthcheck.test.unwrap_or_default());
    let numbers = [
        healthcheck.interval,
        healthcheck.timeout,
        healthcheck.retries,
        healthcheck.start_period,
        healthcheck.start_interval,
    ];
    field("health times", &numbers.map(|number| number.unwrap_or(0).to_string()));
    crate::project::hexadecimal(&hash.finalize())
}

fn sorted(values: Option<Vec<String>>) -> Vec<String> {
    let mut values = values.unwrap_or_default();
    values.sort();
    values
}

/// What a container's labels say about it; the rest is empty.
fn labelled(labels: BTreeMap<String, String>) -> Container {
    let get = |key: &str| labels.get(key).cloned();
    Container {
        id: String::new(),
        name: String::new(),
        service: get(label::SERVICE).unwrap_or_default(),
        number: get(label::NUMBER).and_then(|number| number.parse().ok()).unwrap_or(1),
        one_off: get(label::ONE_OFF).is_some_and(|value| value.eq_ignore_ascii_case("true")),
        config_hash: get(label::CONFIG_HASH),
        replaces: get(label::REPLACE),
        image: String::new(),
        image_id: String::new(),
        state: ContainerState::Created,
        health: Health::None,
        process: None,
        created_at: 0,
        started_at: 0,
        finished_at: 0,
        ports: Vec::new(),
        writes_volumes: false,
        networks: Vec::new(),
        labels,
        command: String::new(),
        status: String::new(),
    }
}

fn container_state(state: &ApiState) -> ContainerState {
    match state.status {
        Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING) => ContainerState::Running,
        Some(ContainerStateStatusEnum::PAUSED) => ContainerState::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => ContainerState::Restarting,
        Some(ContainerStateStatusEnum::REMOVING) => ContainerState::Removing,
        Some(ContainerStateStatusEnum::EXITED) => ContainerState::Exited(state.exit_code.unwrap_or(0)),
        Some(ContainerStateStatusEnum::DEAD) => ContainerState::Dead,
        Some(ContainerStateStatusEnum::CREATED | ContainerStateStatusEnum::EMPTY) | None => ContainerState::Created,
    }
}

fn health(state: &ApiState) -> Health {
    match state.health.as_ref().and_then(|health| health.status) {
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => Health::None,
    }
}

fn summary_state(state: Option<ContainerSummaryStateEnum>, status: &str) -> ContainerState {
    match state {
        Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::STOPPING) => ContainerState::Running,
        Some(ContainerSummaryStateEnum::PAUSED) => ContainerState::Paused,
        Some(ContainerSummaryStateEnum::RESTARTING) => ContainerState::Restarting,
        Some(ContainerSummaryStateEnum::REMOVING) => ContainerState::Removing,
        Some(ContainerSummaryStateEnum::EXITED) => ContainerState::Exited(exit_code(status)),
        Some(ContainerSummaryStateEnum::DEAD) => ContainerState::Dead,
        Some(ContainerSummaryStateEnum::CREATED | ContainerSummaryStateEnum::EMPTY) | None => ContainerState::Created,
    }
}

/// The code in `Exited (137) 3 minutes ago`; a list has it nowhere else.
fn exit_code(status: &str) -> i64 {
    let inside = status.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    inside.and_then(|(code, _)| code.parse().ok()).unwrap_or(0)
}

fn summary_health(status: &str) -> Health {
    if status.ends_with("(healthy)") {
        Health::Healthy
    } else if status.ends_with("(unhealthy)") {
        Health::Unhealthy
    } else if status.ends_with("(health: starting)") || status.ends_with("(starting)") {
        Health::Starting
    } else {
        Health::None
    }
}

/// Words like the engine's, where only an inspection is at hand, which has none.
fn describe(state: ContainerState, health: Health) -> String {
    let text = match state {
        ContainerState::Running => "Up",
        ContainerState::Paused => "Up (Paused)",
        ContainerState::Restarting => "Restarting",
        ContainerState::Removing => "Removal In Progress",
        ContainerState::Created => "Created",
        ContainerState::Dead => "Dead",
        ContainerState::Exited(code) => return format!("Exited ({code})"),
    };
    match health {
        Health::Healthy => format!("{text} (healthy)"),
        Health::Unhealthy => format!("{text} (unhealthy)"),
        Health::Starting => format!("{text} (health: starting)"),
        Health::None => text.to_owned(),
    }
}

fn published(ports: PortMap) -> Vec<PublishedPort> {
    let mut published = Vec::new();
    for (key, bindings) in ports {
        let (target, protocol) = key.split_once('/').unwrap_or((&key, "tcp"));
        let Ok(target) = target.parse() else { continue };
        let entry = |host_ip: String, host_port: u16| PublishedPort {
            host_ip,
            host_port,
            target,
            protocol: protocol.to_owned(),
        };
        match bindings {
            Some(bindings) if !bindings.is_empty() => published.extend(bindings.into_iter().map(|binding| {
                let port = binding.host_port.and_then(|port| port.parse().ok()).unwrap_or(0);
                entry(binding.host_ip.unwrap_or_default(), port)
            })),
            _ => published.push(entry(String::new(), 0)),
        }
    }
    published.sort();
    published.dedup();
    published
}

fn port(port: &PortSummary) -> PublishedPort {
    PublishedPort {
        host_ip: port.ip.clone().unwrap_or_default(),
        host_port: port.public_port.unwrap_or(0),
        target: port.private_port,
        protocol: port.typ.map(|protocol| protocol.to_string()).unwrap_or_default(),
    }
}

/// Labels and options come in hash maps.
pub(super) fn ordered(map: Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    map.unwrap_or_default().into_iter().collect()
}

/// `2026-11-23T21:54:14.123456789Z` → nanoseconds since 1970; 0 for the year 1, which stands for never.
fn time(text: Option<&str>) -> u64 {
    let parsed = text.and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
    parsed.map_or(0, |time| nanoseconds(time.to_utc()))
}

pub(super) fn nanoseconds(time: chrono::DateTime<chrono::Utc>) -> u64 {
    time.timestamp_nanos_opt().and_then(|nanoseconds| u64::try_from(nanoseconds).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, ImageConfig, ImageInspect};

    use super::{image, summary, time};
    use crate::plan::observed::{ContainerState, Health};

    #[test]
    fn a_list_gives_exit_code_and_health_in_words() {
        let listed = |state, status: &str| {
            summary(ContainerSummary { state: Some(state), status: Some(status.to_owned()), ..Default::default() })
        };
        let exited = listed(ContainerSummaryStateEnum::EXITED, "Exited (137) 3 minutes ago");
        assert_eq!(exited.state, ContainerState::Exited(137));
        let healthy = listed(ContainerSummaryStateEnum::RUNNING, "Up 3 minutes (healthy)");
        assert_eq!((healthy.state, healthy.health), (ContainerState::Running, Health::Healthy));
        let starting = listed(ContainerSummaryStateEnum::RUNNING, "Up Less than a second (health: starting)");
        assert_eq!(starting.health, Health::Starting);
        let unhealthy = listed(ContainerSummaryStateEnum::RUNNING, "Up 3 minutes (unhealthy)");
        assert_eq!(unhealthy.health, Health::Unhealthy);
    }

    #[test]
    fn times_keep_their_nanoseconds_and_never_is_zero() {
        assert_eq!(time(Some("1970-01-01T00:00:01.000000002Z")), 1_000_000_002);
        assert_eq!(time(Some("0001-01-01T00:00:00Z")), 0);
        assert_eq!(time(Some("nonsense")), 0);
    }

    #[test]
    fn an_images_identity_ignores_where_it_comes_from_and_nothing_else() {
        let with = |labels: &[(&str, &str)], user: &str| {
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let config = ImageConfig { labels: Some(labels), user: Some(user.to_owned()), ..Default::default() };
            image(ImageInspect { config: Some(config), ..Default::default() }).identity
        };
        assert_eq!(with(&[("dev.hoist.inputs", "a")], "x"), with(&[("com.docker.compose.project", "p")], "x"));
        assert_ne!(with(&[("own", "a")], "x"), with(&[("own", "b")], "x"));
        assert_ne!(with(&[], "x"), with(&[], "y"));
    }
}
