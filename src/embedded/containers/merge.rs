//! Pure: what was asked for and what the image says → one configuration, by Docker's rules; and what makes no sense.

use std::collections::HashMap;

use bollard_stubs::models::{ContainerCreateBody, HealthConfig, HostConfig, ImageConfig, RestartPolicyNameEnum};

use crate::embedded::error::Error;

/// Docker's least limit: below it nothing starts.
const LEAST_MEMORY: i64 = 6 << 20;
/// The shortest time that a healthcheck may name, in nanoseconds.
const LEAST_HEALTH_TIME: i64 = 1_000_000;
/// Where programs are looked for when neither image nor request says.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Fills in from the image what the request leaves open.
pub(super) fn with_image(body: &mut ContainerCreateBody, image: &ImageConfig) {
    let fill = |own: &mut Option<String>, other: &Option<String>| {
        if own.as_deref().unwrap_or_default().is_empty() {
            own.clone_from(other);
        }
    };
    fill(&mut body.user, &image.user);
    fill(&mut body.working_dir, &image.working_dir);
    fill(&mut body.stop_signal, &image.stop_signal);
    body.exposed_ports = Some(union(body.exposed_ports.take(), image.exposed_ports.as_deref()));
    body.volumes = Some(union(body.volumes.take(), image.volumes.as_deref()));
    body.env = Some(environment(body.env.take().unwrap_or_default(), image.env.as_deref().unwrap_or_default()));
    let mut labels: HashMap<String, String> = image.labels.clone().unwrap_or_default();
    labels.extend(body.labels.take().unwrap_or_default());
    body.labels = Some(labels);
    if body.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if body.cmd.as_ref().is_none_or(Vec::is_empty) {
            body.cmd.clone_from(&image.cmd);
        }
        if body.entrypoint.is_none() {
            body.entrypoint.clone_from(&image.entrypoint);
        }
    }
    // An empty word stands for no entrypoint at all.
    if body.entrypoint.as_deref() == Some(&[String::new()]) {
        body.entrypoint = None;
    }
    if let Some(default) = &image.healthcheck {
        body.healthcheck = Some(healthcheck(body.healthcheck.take(), default));
    }
}

/// Entrypoint and command in one.
pub(super) fn arguments(body: &ContainerCreateBody) -> Result<Vec<String>, Error> {
    let words = [body.entrypoint.as_deref(), body.cmd.as_deref()];
    let words: Vec<String> = words.into_iter().flatten().flatten().cloned().collect();
    if words.is_empty() {
        return Err(Error::Invalid("No command specified".into()));
    }
    Ok(words)
}

/// The variables that the process gets: the engine's own below what was asked for; a name without a value takes a variable
/// away.
pub(super) fn process_environment(asked: &[String], hostname: &str, terminal: bool) -> Vec<String> {
    let mut variables = vec![PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if terminal {
        variables.push("TERM=xterm".to_owned());
    }
    overlay(&mut variables, asked);
    variables
}

/// Puts variables over others of the same name.
pub(super) fn overlay(variables: &mut Vec<String>, above: &[String]) {
    for entry in above {
        let name = variable_name(entry);
        let at = variables.iter().position(|known| variable_name(known) == name);
        match (at, entry.contains('=')) {
            (Some(at), true) => variables[at].clone_from(entry),
            (Some(at), false) => {
                variables.remove(at);
            }
            (None, true) => variables.push(entry.clone()),
            (None, false) => {}
        }
    }
}

/// Refuses what Docker refuses, in its words.
pub(super) fn check(body: &ContainerCreateBody, host: &HostConfig) -> Result<(), Error> {
    let invalid = |text: String| Err(Error::Invalid(text));
    if let Some(folder) = body.working_dir.as_deref().filter(|folder| !folder.is_empty() && !folder.starts_with('/')) {
        return invalid(format!("the working directory '{folder}' is invalid, it needs to be an absolute path"));
    }
    for entry in body.env.iter().flatten() {
        if variable_name(entry).is_empty() {
            return invalid(format!("invalid environment variable: {entry}"));
        }
    }
    if let Some(signal) = body.stop_signal.as_deref().filter(|signal| !signal.is_empty()) {
        super::signal::parse(signal)?;
    }
    if host.memory.is_some_and(|bytes| bytes != 0 && bytes < LEAST_MEMORY) {
        return invalid("Minimum memory limit allowed is 6MB".into());
    }
    if let (Some(memory), Some(swap)) = (host.memory.filter(|bytes| *bytes > 0), host.memory_swap)
        && swap > 0
        && swap < memory
    {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage".into());
    }
    if let Some(runtime) = host.runtime.as_deref()
        && !["", "runc", "io.containerd.runc.v2", "hoist"].contains(&runtime)
    {
        return invalid(format!("unknown or invalid runtime name: {runtime}"));
    }
    let log = host.log_config.as_ref().and_then(|log| log.typ.as_deref()).unwrap_or_default();
    if !["", "json-file", "local", "none"].contains(&log) {
        return invalid(format!("logger: no log driver named '{log}' is registered"));
    }
    check_restart(host)?;
    check_health(body)?;
    check_network(body, host)
}

fn check_restart(host: &HostConfig) -> Result<(), Error> {
    let policy = host.restart_policy.clone().unwrap_or_default();
    let name = policy.name.unwrap_or(RestartPolicyNameEnum::NO);
    let none = matches!(name, RestartPolicyNameEnum::NO | RestartPolicyNameEnum::EMPTY);
    let retries = policy.maximum_retry_count.unwrap_or(0);
    if retries < 0 {
        return Err(Error::Invalid("invalid restart policy: maximum retry count cannot be negative".into()));
    }
    if retries > 0 && name != RestartPolicyNameEnum::ON_FAILURE {
        let name = if none { "no".to_owned() } else { name.to_string() };
        return Err(Error::Invalid(format!(
            "invalid restart policy: maximum retry count cannot be used with restart policy '{name}'"
        )));
    }
    if host.auto_remove == Some(true) && !none {
        return Err(Error::Invalid("can't create 'AutoRemove' container with restart policy".into()));
    }
    Ok(())
}

fn check_health(body: &ContainerCreateBody) -> Result<(), Error> {
    let Some(health) = &body.healthcheck else { return Ok(()) };
    let times = [
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ];
    for (name, time) in times {
        if time.is_some_and(|time| time != 0 && time < LEAST_HEALTH_TIME) {
            return Err(Error::Invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
        }
    }
    if health.retries.is_some_and(|retries| retries < 0) {
        return Err(Error::Invalid("Retries in Healthcheck cannot be negative".into()));
    }
    match health.test.as_deref().and_then(<[String]>::first).map(String::as_str) {
        None | Some("" | "NONE" | "CMD" | "CMD-SHELL") => Ok(()),
        Some(other) => Err(Error::Invalid(format!("Unknown healthcheck type '{other}' (expected 'CMD')"))),
    }
}

fn check_network(body: &ContainerCreateBody, host: &HostConfig) -> Result<(), Error> {
    let mode = host.network_mode.as_deref().unwrap_or_default();
    let conflict = |what: &str| Err(Error::Invalid(format!("conflicting options: {what}")));
    if !mode.starts_with("container:") {
        return Ok(());
    }
    let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if body.hostname.as_deref().is_some_and(|name| !name.is_empty()) {
        return conflict("hostname and the network mode");
    }
    if some(&host.dns) {
        return conflict("dns and the network mode");
    }
    if some(&host.extra_hosts) {
        return conflict("custom host-to-IP mapping and the network mode");
    }
    if host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty()) || host.publish_all_ports == Some(true) {
        return conflict("port publishing and the container type network mode");
    }
    if some(&body.exposed_ports) {
        return conflict("port exposing and the container type network mode");
    }
    Ok(())
}

fn variable_name(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

fn union(own: Option<Vec<String>>, other: Option<&[String]>) -> Vec<String> {
    let mut all = own.unwrap_or_default();
    all.extend(other.unwrap_or_default().iter().cloned());
    all.sort();
    all.dedup();
    all
}

fn environment(mut own: Vec<String>, image: &[String]) -> Vec<String> {
    let missing: Vec<String> = image
        .iter()
        .filter(|entry| !own.iter().any(|known| variable_name(known) == variable_name(entry)))
        .cloned()
        .collect();
    own.extend(missing);
    own
}

fn healthcheck(own: Option<HealthConfig>, image: &HealthConfig) -> HealthConfig {
    let Some(own) = own else { return image.clone() };
    let number = |own: Option<i64>, image: Option<i64>| own.filter(|number| *number != 0).or(image);
    HealthConfig {
        test: own.test.filter(|test| !test.is_empty()).or_else(|| image.test.clone()),
        interval: number(own.interval, image.interval),
        timeout: number(own.timeout, image.timeout),
        retries: number(own.retries, image.retries),
        start_period: number(own.start_period, image.start_period),
        start_interval: number(own.start_interval, image.start_interval),
    }
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::{
        ContainerCreateBody, HealthConfig, HostConfig, ImageConfig, RestartPolicy, RestartPolicyNameEnum,
    };

    use super::{arguments, check, process_environment, with_image};

    #[expect(clippy::unnecessary_wraps, reason = "the fields that it fills are optional")]
    fn words(text: &str) -> Option<Vec<String>> {
        Some(text.split_whitespace().map(str::to_owned).collect())
    }

    fn image() -> ImageConfig {
        ImageConfig {
            entrypoint: words("/entry"),
            cmd: words("serve -p 80"),
            env: words("PATH=/bin A=image B=image"),
            exposed_ports: words("80/tcp"),
            volumes: words("/data"),
            user: Some("web".to_owned()),
            working_dir: Some("/srv".to_owned()),
            stop_signal: Some("SIGQUIT".to_owned()),
            labels: Some([("a".to_owned(), "image".to_owned()), ("b".to_owned(), "image".to_owned())].into()),
            healthcheck: Some(HealthConfig {
                test: words("CMD true"),
                interval: Some(7),
                retries: Some(2),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn merged(mut body: ContainerCreateBody) -> ContainerCreateBody {
        with_image(&mut body, &image());
        body
    }

    fn command(body: ContainerCreateBody) -> String {
        arguments(&merged(body)).map_or_else(|error| error.to_string(), |words| words.join(" "))
    }

    #[test]
    fn what_is_left_open_comes_from_the_image() {
        let body = merged(ContainerCreateBody { env: words("A=own C=own"), ..Default::default() });
        assert_eq!(body.env, words("A=own C=own PATH=/bin B=image"));
        assert_eq!(body.user.as_deref(), Some("web"));
        assert_eq!(body.volumes, words("/data"));
        assert_eq!(body.stop_signal.as_deref(), Some("SIGQUIT"));
        assert_eq!(body.healthcheck.and_then(|health| health.interval), Some(7));
    }

    #[test]
    fn an_own_entrypoint_drops_the_images_command() {
        assert_eq!(command(ContainerCreateBody::default()), "/entry serve -p 80");
        assert_eq!(command(ContainerCreateBody { cmd: words("other"), ..Default::default() }), "/entry other");
        assert_eq!(command(ContainerCreateBody { entrypoint: words("/own"), ..Default::default() }), "/own");
        let cleared =
            ContainerCreateBody { entrypoint: Some(vec![String::new()]), cmd: words("x"), ..Default::default() };
        assert_eq!(command(cleared), "x");
        let nothing = ContainerCreateBody { entrypoint: Some(vec![String::new()]), ..Default::default() };
        assert_eq!(command(nothing), "No command specified");
    }

    #[test]
    fn a_healthcheck_changes_only_what_it_names() {
        let own = HealthConfig { interval: Some(9), ..Default::default() };
        let health = merged(ContainerCreateBody { healthcheck: Some(own), ..Default::default() }).healthcheck;
        let health = health.unwrap_or_default();
        assert_eq!((health.test, health.interval, health.retries), (words("CMD true"), Some(9), Some(2)));
    }

    #[test]
    fn a_variable_without_a_value_is_taken_away() {
        let body = merged(ContainerCreateBody { env: words("B"), ..Default::default() });
        let variables = process_environment(body.env.as_deref().unwrap_or_default(), "h", true);
        assert_eq!(variables, ["PATH=/bin", "HOSTNAME=h", "TERM=xterm", "A=image"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_dockers_words() {
        let refusal = |body: ContainerCreateBody, host: HostConfig| {
            check(&body, &host).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
        };
        let plain = ContainerCreateBody::default;
        let always = || RestartPolicy { name: Some(RestartPolicyNameEnum::ALWAYS), maximum_retry_count: None };
        assert_eq!(refusal(plain(), HostConfig::default()), "fine");
        assert_eq!(
            refusal(ContainerCreateBody { working_dir: Some("srv".into()), ..plain() }, HostConfig::default()),
            "the working directory 'srv' is invalid, it needs to be an absolute path"
        );
        assert_eq!(
            refusal(
                plain(),
                HostConfig { auto_remove: Some(true), restart_policy: Some(always()), ..Default::default() }
            ),
            "can't create 'AutoRemove' container with restart policy"
        );
        assert_eq!(
            refusal(plain(), HostConfig { memory: Some(4096), ..Default::default() }),
            "Minimum memory limit allowed is 6MB"
        );
        let shared = HostConfig { network_mode: Some("container:x".into()), ..Default::default() };
        assert_eq!(
            refusal(ContainerCreateBody { hostname: Some("h".into()), ..plain() }, shared),
            "conflicting options: hostname and the network mode"
        );
    }
}
