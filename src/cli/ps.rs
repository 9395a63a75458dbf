//! `hoist ps`: the containers of the project, from one listing of the engine.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::codes::{self, Codes};
use super::engine::{self, Start};
use super::error::Error;
use super::global::Global;
use super::output::print;
use super::session;
use crate::plan::observed::{Container, ContainerState, Health, PublishedPort};
use crate::ui::table::table;

/// List containers
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// List stopped containers too
    #[arg(short, long)]
    pub(super) all: bool,
    /// Print ids only
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Print the names of services only
    #[arg(long = "services", conflicts_with = "quiet")]
    pub(super) list_services: bool,
    /// Only containers in this state; repeat for several
    #[arg(long, value_name = "STATE")]
    pub(super) status: Vec<State>,
    /// Only containers of which this holds: `status=STATE`
    #[arg(long, value_name = "FILTER", value_parser = parse_filter)]
    pub(super) filter: Vec<State>,
    /// Print whole commands and ids
    #[arg(long)]
    pub(super) no_trunc: bool,
    /// Table or JSON, one object a line
    #[arg(long, value_name = "FORMAT", default_value = "table", hide_default_value = true)]
    pub(super) format: Format,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let (project, loaded) = session::outline_and_project(global)?;
    let docker = engine::connect(global, None, Start::No).await?;
    let listed = docker.list_containers(Some(&project.name)).await;
    let mut containers = listed.map_err(Error::engine("list containers"))?;
    project.check(&arguments.services, &containers)?;
    let states: Vec<State> = arguments.status.iter().chain(&arguments.filter).copied().collect();
    containers.retain(|container| wanted(container, &arguments, &states));
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    let codes = if containers.is_empty() || arguments.quiet || arguments.list_services {
        Codes::default()
    } else {
        codes::of(loaded.or_else(|| session::loaded_quietly(global)), &docker).await
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    print(&printed(&containers, &project.name, &arguments, &codes, now))?;
    Ok(0)
}

fn wanted(container: &Container, arguments: &Arguments, states: &[State]) -> bool {
    let named = arguments.services.is_empty() || arguments.services.contains(&container.service);
    let one_off = container.one_off && !arguments.all;
    let state = match states {
        [] => {
            let restarting = container.state == ContainerState::Restarting;
            arguments.all || container.state.is_running() || restarting
        }
        states => states.iter().any(|state| state.is(container.state)),
    };
    named && state && !one_off
}

fn printed(containers: &[Container], project: &str, arguments: &Arguments, codes: &Codes, now: Duration) -> String {
    if arguments.quiet {
        return containers.iter().fold(String::new(), |text, container| text + &container.id + "\n");
    }
    if arguments.list_services {
        let services: BTreeSet<&str> = containers.iter().map(|container| container.service.as_str()).collect();
        return services.into_iter().fold(String::new(), |text, service| text + service + "\n");
    }
    match arguments.format {
        Format::Table => {
            let rows: Vec<_> =
                containers.iter().map(|container| row(container, codes, arguments.no_trunc, now)).collect();
            table(&["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "CODE", "PORTS"], &rows)
        }
        Format::Json => containers.iter().fold(String::new(), |text, container| {
            text + &object(container, project, codes, arguments.no_trunc, now).to_string() + "\n"
        }),
    }
}

fn row(container: &Container, codes: &Codes, whole: bool, now: Duration) -> Vec<String> {
    vec![
        container.name.clone(),
        container.image.clone(),
        command(container, whole),
        container.service.clone(),
        format!("{} ago", age(now.saturating_sub(Duration::from_nanos(container.created_at)))),
        container.status.clone(),
        codes.of(container).map(ToString::to_string).unwrap_or_default(),
        ports(&container.ports),
    ]
}

fn command(container: &Container, whole: bool) -> String {
    const SHORT: usize = 20;
    match container.command.chars().count() {
        length if whole || length <= SHORT => format!("\"{}\"", container.command),
        _ => format!("\"{}…\"", container.command.chars().take(SHORT - 1).collect::<String>()),
    }
}

/// The container as docker compose describes it, so that scripts for either tool read both, and what its code is.
fn object(container: &Container, project: &str, codes: &Codes, whole: bool, now: Duration) -> Value {
    let exit_code = match container.state {
        ContainerState::Exited(code) => code,
        _ => 0,
    };
    let health = match container.health {
        Health::None => "",
        Health::Starting => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    };
    let publishers: Vec<Value> = container
        .ports
        .iter()
        .map(|port| {
            json!({
                "URL": port.host_ip,
                "TargetPort": port.target,
                "PublishedPort": port.host_port,
                "Protocol": port.protocol,
            })
        })
        .collect();
    let labels: Vec<String> = container.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let created = i64::try_from(container.created_at / 1_000_000_000).unwrap_or(i64::MAX);
    let created = DateTime::from_timestamp(created, 0).unwrap_or_default();
    json!({
        "ID": if whole { &container.id } else { container.id.get(..12).unwrap_or(&container.id) },
        "Name": container.name,
        "Service": container.service,
        "Project": project,
        "Number": container.number,
        "Image": container.image,
        "Command": command(container, whole),
        "State": container.state.as_str(),
        "Status": container.status,
        "Health": health,
        "ExitCode": exit_code,
        "Code": codes.of(container).map(ToString::to_string).unwrap_or_default(),
        "CreatedAt": created.to_rfc3339_opts(SecondsFormat::Secs, true),
        "RunningFor": format!("{} ago", age(now.saturating_sub(Duration::from_nanos(container.created_at)))),
        "Ports": ports(&container.ports),
        "Publishers": publishers,
        "Networks": container.networks.join(","),
        "Labels": labels.join(","),
    })
}

fn ports(ports: &[PublishedPort]) -> String {
    let mut sorted: Vec<_> = ports.iter().collect();
    sorted.sort_by_key(|port| (port.target, port.host_port, port.host_ip.contains(':'), &port.host_ip));
    let words: Vec<String> = sorted.into_iter().map(port).collect();
    words.join(", ")
}

fn port(port: &PublishedPort) -> String {
    let PublishedPort { host_ip, host_port, target, protocol } = port;
    match (*host_port, host_ip.contains(':')) {
        (0, _) => format!("{target}/{protocol}"),
        (host_port, true) => format!("[{host_ip}]:{host_port}->{target}/{protocol}"),
        (host_port, false) => format!("{host_ip}:{host_port}->{target}/{protocol}"),
    }
}

/// How long ago, as coarse as docker says it.
fn age(time: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = time.as_secs();
    match seconds {
        0 => "less than a second".into(),
        1 => "1 second".into(),
        2..MINUTE => format!("{seconds} seconds"),
        MINUTE..120 => "about a minute".into(),
        120..HOUR => format!("{} minutes", seconds / MINUTE),
        HOUR..7200 => "about an hour".into(),
        7200..172_800 => format!("{} hours", seconds / HOUR),
        172_800..1_209_600 => format!("{} days", seconds / DAY),
        1_209_600..5_184_000 => format!("{} weeks", seconds / (7 * DAY)),
        5_184_000..63_072_000 => format!("{} months", seconds / (30 * DAY)),
        _ => format!("{} years", seconds / (365 * DAY)),
    }
}

/// How the command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// A container's state, by Docker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    /// Held still.
    Paused,
    /// About to be started again.
    Restarting,
    /// Being removed.
    Removing,
    /// Running.
    Running,
    /// Broken beyond starting.
    Dead,
    /// Made and never started.
    Created,
    /// Exited.
    Exited,
}

impl State {
    fn is(self, state: ContainerState) -> bool {
        match self {
            Self::Paused => state == ContainerState::Paused,
            Self::Restarting => state == ContainerState::Restarting,
            Self::Removing => state == ContainerState::Removing,
            Self::Running => state == ContainerState::Running,
            Self::Dead => state == ContainerState::Dead,
            Self::Created => state == ContainerState::Created,
            Self::Exited => matches!(state, ContainerState::Exited(_)),
        }
    }
}

fn parse_filter(text: &str) -> Result<State, String> {
    let state = text.strip_prefix("status=").ok_or("expected `status=STATE`")?;
    State::from_str(state, true).map_err(|_| format!("no container is ever `{state}`"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{age, ports};
    use crate::plan::observed::PublishedPort;

    fn port(host_ip: &str, host_port: u16) -> PublishedPort {
        PublishedPort { host_ip: host_ip.into(), host_port, target: 80, protocol: "tcp".into() }
    }

    #[test]
    fn ports_are_written_as_docker_writes_them() {
        let all = [port("::", 8080), port("0.0.0.0", 8080), port("", 0)];
        assert_eq!(ports(&all), "80/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
    }

    #[test]
    fn ages_get_coarser_as_they_grow() {
        let words = [0, 30, 90, 600, 4000, 10_000, 200_000].map(|seconds| age(Duration::from_secs(seconds)));
        let expected =
            ["less than a second", "30 seconds", "about a minute", "10 minutes", "about an hour", "2 hours", "2 days"];
        assert_eq!(words, expected);
    }
}
