//! Listing containers: filters, and the words that `docker ps` shows.

use std::sync::Arc;

use bollard_stubs::models::{
    ContainerSummary, ContainerSummaryHealth, ContainerSummaryHealthStatusEnum, ContainerSummaryHostConfig,
    ContainerSummaryNetworkSettings, ContainerSummaryStateEnum, HealthStatusEnum, PortSummary, PortSummaryTypeEnum,
};
use chrono::{DateTime, Utc};
use regex::Regex;

use super::record::{MountKind, Record, Status};
use super::shared::{Live, Shared};
use super::{Filters, ListOptions, inspect};
use crate::embedded::error::Error;
use crate::embedded::volumes::disk_size;

/// Those that match, newest first.
pub(super) async fn list(shared: &Shared, options: &ListOptions) -> Result<Vec<ContainerSummary>, Error> {
    let filters = Compiled::new(shared, &options.filters).await?;
    let mut all: Vec<Live> = shared.all().iter().map(|container| container.live().clone()).collect();
    all.sort_by(|one, other| (other.record.created, &other.record.id).cmp(&(one.record.created, &one.record.id)));
    let states_are_named = options.filters.contains_key("status") || options.filters.contains_key("exited");
    let everything = options.all || options.limit.is_some() || states_are_named;
    let matching = all.into_iter().filter(|live| everything || live.record.state.status.is_running());
    let matching = matching.filter(|live| filters.matches(live));
    let chosen: Vec<Live> = matching.take(options.limit.unwrap_or(usize::MAX)).collect();
    let now = Utc::now();
    let mut summaries = Vec::with_capacity(chosen.len());
    for live in chosen {
        let mut summary = summary(shared, &live, now);
        if options.size {
            let (written, image) = sizes(shared, &live.record).await;
            summary.size_rw = Some(written);
            summary.size_root_fs = Some(image + written);
        }
        summaries.push(summary);
    }
    Ok(summaries)
}

/// Whether a container is one of those that `prune` removes.
pub(super) async fn prunable(shared: &Shared, filters: &Filters) -> Result<Vec<Arc<Record>>, Error> {
    if let Some(unknown) = filters.keys().find(|key| !["label", "label!", "until"].contains(&key.as_str())) {
        return Err(Error::Invalid(format!("invalid filter '{unknown}'")));
    }
    let until = filters.get("until").and_then(|values| values.first());
    let until =
        until.map(|text| moment(text).ok_or_else(|| Error::Invalid(format!("invalid value for until: {text}"))));
    let until = until.transpose()?;
    let mut labels = filters.clone();
    labels.remove("until");
    let compiled = Compiled::new(shared, &labels).await?;
    let all = shared.all();
    let stopped = all.iter().map(|container| container.live().clone()).filter(|live| {
        let state = live.record.state.status;
        matches!(state, Status::Created | Status::Exited) && until.is_none_or(|until| live.record.created < until)
    });
    Ok(stopped.filter(|live| compiled.matches(live)).map(|live| live.record).collect())
}

/// The names of the containers that have a volume.
pub(super) fn users_of_volume(shared: &Shared, volume: &str) -> Vec<String> {
    let has = |record: &Record| {
        record.mounts.iter().any(|mount| matches!(&mount.kind, MountKind::Volume { name, .. } if name == volume))
    };
    shared
        .all()
        .iter()
        .map(|container| container.record())
        .filter(|record| has(record))
        .map(|record| record.name.clone())
        .collect()
}

/// Bytes that it has written, and that its image has.
pub(super) async fn sizes(shared: &Shared, record: &Record) -> (i64, i64) {
    let upper = match super::launch::rootfs(&shared.layout, record) {
        crate::embedded::root::Rootfs::Layers { upper, .. } | crate::embedded::root::Rootfs::Machine { upper, .. } => {
            upper
        }
    };
    let written = tokio::task::spawn_blocking(move || disk_size(&upper)).await.unwrap_or(0);
    let image =
        shared.images.find(&record.image).await.map_or(0, |image| image.layers.iter().map(|layer| layer.size).sum());
    (i64::try_from(written).unwrap_or(i64::MAX), i64::try_from(image).unwrap_or(i64::MAX))
}

/// Filters, understood.
#[derive(Default)]
struct Compiled {
    labels: Vec<(String, Option<String>)>,
    not_labels: Vec<(String, Option<String>)>,
    names: Vec<Regex>,
    ids: Vec<Regex>,
    states: Vec<String>,
    exited: Vec<i64>,
    health: Vec<String>,
    /// Ids and references.
    ancestors: Option<Vec<String>>,
    volumes: Vec<String>,
    networks: Vec<String>,
    published: Vec<String>,
    exposed: Vec<String>,
    before: Option<DateTime<Utc>>,
    since: Option<DateTime<Utc>>,
    nothing: bool,
}

impl Compiled {
    async fn new(shared: &Shared, filters: &Filters) -> Result<Self, Error> {
        let mut compiled = Self::default();
        for (key, values) in filters {
            match key.as_str() {
                "label" => compiled.labels.extend(values.iter().map(|text| label(text))),
                "label!" => compiled.not_labels.extend(values.iter().map(|text| label(text))),
                "name" => compiled.names = patterns(values)?,
                "id" => {
                    compiled.ids = values
                        .iter()
                        .map(|value| pattern(&format!("^{}", regex::escape(value))))
                        .collect::<Result<_, _>>()?;
                }
                "status" => compiled.states = states(values)?,
                "exited" => {
                    let codes = values.iter().map(|text| {
                        text.parse().map_err(|_| Error::Invalid(format!("invalid filter 'exited={text}'")))
                    });
                    compiled.exited = codes.collect::<Result<_, _>>()?;
                }
                "health" => compiled.health.clone_from(values),
                "ancestor" => {
                    let mut known = Vec::new();
                    for value in values {
                        known.push(value.clone());
                        if let Ok(image) = shared.images.find(value).await {
                            known.push(image.id);
                        }
                    }
                    compiled.ancestors = Some(known);
                }
                "volume" => compiled.volumes.clone_from(values),
                "network" => compiled.networks.clone_from(values),
                "publish" => compiled.published = ports(values),
                "expose" => compiled.exposed = ports(values),
                "before" => compiled.before = Some(created(shared, values)?),
                "since" => compiled.since = Some(created(shared, values)?),
                // None of ours is a Swarm's task; all are of one isolation.
                "is-task" => compiled.nothing |= values.iter().any(|value| value == "true" || value == "1"),
                "isolation" => {}
                other => return Err(Error::Invalid(format!("invalid filter '{other}'"))),
            }
        }
        Ok(compiled)
    }

    fn matches(&self, live: &Live) -> bool {
        let record = &live.record;
        let empty = std::collections::HashMap::new();
        let labels = record.body.labels.as_ref().unwrap_or(&empty);
        let has = |(key, value): &(String, Option<String>)| {
            labels.get(key).is_some_and(|own| value.as_ref().is_none_or(|value| own == value))
        };
        let any = |list: &[Regex], texts: &[&str]| {
            list.is_empty() || list.iter().any(|pattern| texts.iter().any(|text| pattern.is_match(text)))
        };
        let slashed = format!("/{}", record.name);
        let health =
            || live.health.as_ref().and_then(|health| health.status).unwrap_or(HealthStatusEnum::NONE).to_string();
        !self.nothing
            && self.labels.iter().all(has)
            && !self.not_labels.iter().any(has)
            && any(&self.names, &[&record.name, &slashed])
            && any(&self.ids, &[&record.id])
            && (self.states.is_empty() || self.states.iter().any(|state| state == record.state.status.as_str()))
            && (self.exited.is_empty()
                || (record.state.status == Status::Exited && self.exited.contains(&record.state.exit_code)))
            && (self.health.is_empty() || self.health.contains(&health()))
            && self.ancestors.as_ref().is_none_or(|known| {
                known.iter().any(|image| *image == record.image || Some(image) == record.body.image.as_ref())
            })
            && self.before.is_none_or(|before| record.created < before)
            && self.since.is_none_or(|since| record.created > since)
            && self.matches_places(record)
    }

    fn matches_places(&self, record: &Record) -> bool {
        let volume = |wanted: &String| {
            record.mounts.iter().any(|mount| {
                let named = matches!(&mount.kind, MountKind::Volume { name, .. } if name == wanted);
                let bound =
                    matches!(&mount.kind, MountKind::Bind { source, .. } if source.as_os_str() == wanted.as_str());
                named || bound || mount.destination == *wanted
            })
        };
        let network = |wanted: &String| {
            let by_id = |endpoint: &bollard_stubs::models::EndpointSettings| {
                endpoint.network_id.as_deref().is_some_and(|id| id.starts_with(wanted.as_str()))
            };
            let given = record.given.iter().flat_map(|given| given.endpoints.values());
            record.endpoints.contains_key(wanted) || given.chain(record.endpoints.values()).any(by_id)
        };
        let published = |wanted: &String| {
            record.host().port_bindings.iter().flatten().any(|(port, _)| port == wanted)
                || record.given.iter().flat_map(|given| &given.ports).any(|(port, bindings)| {
                    port == wanted && bindings.as_ref().is_some_and(|bindings| !bindings.is_empty())
                })
        };
        let exposed = |wanted: &String| record.body.exposed_ports.iter().flatten().any(|port| port == wanted);
        let any = |list: &[String], test: &dyn Fn(&String) -> bool| list.is_empty() || list.iter().any(test);
        any(&self.volumes, &volume)
            && any(&self.networks, &network)
            && any(&self.published, &published)
            && any(&self.exposed, &|port| exposed(port) || published(port))
    }
}

fn label(text: &str) -> (String, Option<String>) {
    match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    }
}

fn pattern(text: &str) -> Result<Regex, Error> {
    // A client's pattern: what takes too much room when it is understood is refused.
    let built = regex::RegexBuilder::new(text).size_limit(1 << 20).build();
    built.map_err(|error| Error::Invalid(format!("invalid pattern '{text}': {error}")))
}

fn patterns(values: &[String]) -> Result<Vec<Regex>, Error> {
    values.iter().map(|value| pattern(value)).collect()
}

fn states(values: &[String]) -> Result<Vec<String>, Error> {
    const ALL: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
    match values.iter().find(|value| !ALL.contains(&value.as_str())) {
        Some(unknown) => Err(Error::Invalid(format!("invalid filter 'status={unknown}'"))),
        None => Ok(values.to_vec()),
    }
}

fn ports(values: &[String]) -> Vec<String> {
    let mut ports = Vec::new();
    for value in values {
        let (numbers, protocol) = value.split_once('/').unwrap_or((value, "tcp"));
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) {
            ports.extend((first..=last).map(|port| format!("{port}/{protocol}")));
        }
    }
    ports
}

fn created(shared: &Shared, values: &[String]) -> Result<DateTime<Utc>, Error> {
    let reference = values.first().map_or("", String::as_str);
    Ok(shared.find(reference)?.record().created)
}

/// A point in time as filters name it: seconds since 1970, RFC 3339, or how long ago (`10m`, `1h30m`).
fn moment(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(seconds) = text.parse::<i64>() {
        return DateTime::from_timestamp(seconds, 0);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let mut seconds: i64 = 0;
    let mut digits = String::new();
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        let factor = match letter {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(std::mem::take(&mut digits).parse::<i64>().ok()?.checked_mul(factor)?)?;
    }
    let ago = chrono::TimeDelta::try_seconds(seconds).filter(|_| digits.is_empty() && !text.is_empty())?;
    Utc::now().checked_sub_signed(ago)
}

fn summary(shared: &Shared, live: &Live, now: DateTime<Utc>) -> ContainerSummary {
    let record = &live.record;
    ContainerSummary {
        id: Some(record.id.clone()),
        names: Some(vec![format!("/{}", record.name)]),
        image: record.body.image.clone(),
        image_id: Some(record.image.clone()),
        command: Some(record.arguments.join(" ")),
        created: Some(record.created.timestamp()),
        ports: Some(port_list(record)),
        labels: record.body.labels.clone(),
        state: Some(match record.state.status {
            Status::Created => ContainerSummaryStateEnum::CREATED,
            Status::Running => ContainerSummaryStateEnum::RUNNING,
            Status::Paused => ContainerSummaryStateEnum::PAUSED,
            Status::Restarting => ContainerSummaryStateEnum::RESTARTING,
            Status::Exited => ContainerSummaryStateEnum::EXITED,
            Status::Removing => ContainerSummaryStateEnum::REMOVING,
        }),
        status: Some(status_words(live, now)),
        host_config: Some(ContainerSummaryHostConfig {
            network_mode: record.host().network_mode.clone(),
            annotations: record.host().annotations.clone(),
        }),
        network_settings: Some(ContainerSummaryNetworkSettings { networks: Some(inspect::networks(record)) }),
        mounts: Some(inspect::mounts(shared, record)),
        health: live.health.as_ref().map(|health| ContainerSummaryHealth {
            status: health.status.map(|status| match status {
                HealthStatusEnum::STARTING => ContainerSummaryHealthStatusEnum::STARTING,
                HealthStatusEnum::HEALTHY => ContainerSummaryHealthStatusEnum::HEALTHY,
                HealthStatusEnum::UNHEALTHY => ContainerSummaryHealthStatusEnum::UNHEALTHY,
                _ => ContainerSummaryHealthStatusEnum::NONE,
            }),
            failing_streak: health.failing_streak,
        }),
        ..Default::default()
    }
}

/// `Up 3 minutes (healthy)`, `Exited (1) 2 hours ago`.
fn status_words(live: &Live, now: DateTime<Utc>) -> String {
    let state = &live.record.state;
    let since = |time: Option<DateTime<Utc>>| elapsed(time.map_or(0, |time| (now - time).num_seconds()));
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Paused => format!("Up {} (Paused)", since(state.started_at)),
        Status::Restarting => format!("Restarting ({}) {} ago", state.exit_code, since(state.finished_at)),
        Status::Exited => format!("Exited ({}) {} ago", state.exit_code, since(state.finished_at)),
        Status::Running => {
            let up = format!("Up {}", since(state.started_at));
            match live.health.as_ref().and_then(|health| health.status) {
                Some(HealthStatusEnum::STARTING) => format!("{up} (health: starting)"),
                Some(HealthStatusEnum::HEALTHY) => format!("{up} (healthy)"),
                Some(HealthStatusEnum::UNHEALTHY) => format!("{up} (unhealthy)"),
                _ => up,
            }
        }
    }
}

/// A time as people say it, in Docker's steps.
fn elapsed(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..=59 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// Published and exposed ports, sorted.
fn port_list(record: &Record) -> Vec<PortSummary> {
    let mut list = Vec::new();
    let parse = |key: &str| {
        let (number, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
        let kind = match protocol {
            "udp" => PortSummaryTypeEnum::UDP,
            "sctp" => PortSummaryTypeEnum::SCTP,
            _ => PortSummaryTypeEnum::TCP,
        };
        number.parse::<u16>().ok().map(|number| (number, kind))
    };
    if !record.state.status.is_running() {
        return list;
    }
    let given = record.given.as_ref().map(|given| given.ports.clone()).unwrap_or_default();
    for key in record.body.exposed_ports.iter().flatten().filter(|key| !given.contains_key(*key)) {
        if let Some((private_port, kind)) = parse(key) {
            list.push(PortSummary { ip: None, private_port, public_port: None, typ: Some(kind) });
        }
    }
    for (key, bindings) in given {
        let Some((private_port, kind)) = parse(&key) else { continue };
        for binding in bindings.unwrap_or_default() {
            let public_port = binding.host_port.and_then(|port| port.parse().ok());
            let ip = binding.host_ip.filter(|ip| !ip.is_empty());
            list.push(PortSummary { ip, private_port, public_port, typ: Some(kind) });
        }
    }
    list.sort_by_key(|port| (port.private_port, port.typ, port.ip.clone(), port.public_port));
    list
}

#[cfg(test)]
mod tests {
    use super::{elapsed, moment, ports};

    #[test]
    fn times_are_told_as_docker_tells_them() {
        let told: Vec<String> = [0, 1, 59, 60, 119, 120, 3600, 5400, 86_400, 200_000].map(elapsed).into();
        assert_eq!(
            told,
            [
                "Less than a second",
                "1 second",
                "59 seconds",
                "About a minute",
                "About a minute",
                "2 minutes",
                "About an hour",
                "2 hours",
                "24 hours",
                "2 days"
            ]
        );
    }

    #[test]
    fn filters_know_ranges_and_times() {
        assert_eq!(ports(&["80-81/udp".to_owned(), "9".to_owned(), "x".to_owned()]), ["80/udp", "81/udp", "9/tcp"]);
        assert_eq!(moment("10").map(|time| time.timestamp()), Some(10));
        assert!(moment("1h30m").is_some() && moment("24h").is_some());
        assert!(moment("").is_none() && moment("soon").is_none() && moment("5").is_some());
    }
}
