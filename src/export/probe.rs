//! A healthcheck as probes: ready when it passes, restarted when it keeps failing, given time to start.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ExecAction, HTTPGetAction, HTTPHeader, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::project::{HealthTest, Healthcheck, Protocol, Service};

use super::container::{escaped, seconds};
use super::{Context, Export, ports, service_key};

/// What the engine takes where a healthcheck says nothing.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: i32 = 3;

/// The probes of a container.
#[derive(Default)]
pub(super) struct Probes {
    pub(super) startup: Option<Probe>,
    pub(super) readiness: Option<Probe>,
    pub(super) liveness: Option<Probe>,
}

/// The probes that say what the healthcheck says.
pub(super) fn of(context: &Context<'_>, service: &Service, export: &mut Export) -> Probes {
    let Some(check) = &service.healthcheck else { return Probes::default() };
    let Some(handler) = handler(context, service, check, export) else { return Probes::default() };
    if [check.interval, check.timeout, check.start_period, check.start_interval]
        .iter()
        .flatten()
        .any(|duration| duration.subsec_nanos() > 0)
    {
        export.approximated(service_key(service, "healthcheck"), "probes count in whole seconds; parts are rounded up");
    }
    export.approximated(
        service_key(service, "healthcheck"),
        "a pod that is unhealthy is restarted, where the engine only marks its container",
    );
    let period = period(check.interval, INTERVAL);
    let retries = check
        .retries
        .filter(|retries| *retries > 0)
        .map_or(RETRIES, |retries| i32::try_from(retries).unwrap_or(i32::MAX));
    let steady = Probe {
        period_seconds: Some(period),
        timeout_seconds: Some(self::period(check.timeout, TIMEOUT)),
        failure_threshold: Some(retries),
        ..handler
    };
    Probes {
        startup: startup(check, &steady, period, retries),
        readiness: Some(steady.clone()),
        liveness: Some(steady),
    }
}

/// Failures do not count before the start period is over; then as many are allowed as ever.
fn startup(check: &Healthcheck, steady: &Probe, period: i32, retries: i32) -> Option<Probe> {
    let start_period = check.start_period.filter(|period| !period.is_zero())?;
    let every = self::period(check.start_interval, START_INTERVAL).min(period);
    let allowed = seconds(start_period).saturating_add(period.saturating_mul(retries));
    let failures = allowed / every + i32::from(allowed % every > 0);
    Some(Probe { period_seconds: Some(every), failure_threshold: Some(failures), ..steady.clone() })
}

/// Whole seconds, at least one; nothing and zero are the engine's default.
fn period(written: Option<Duration>, default: Duration) -> i32 {
    seconds(written.filter(|duration| !duration.is_zero()).unwrap_or(default))
}

fn handler(context: &Context<'_>, service: &Service, check: &Healthcheck, export: &mut Export) -> Option<Probe> {
    let command = match &check.test {
        HealthTest::Disabled => return None,
        HealthTest::Inherit => {
            export.dropped(
                service_key(service, "healthcheck"),
                "the image's own test is not read by Kubernetes; write it out as `test`",
            );
            return None;
        }
        HealthTest::Command(words) => words.clone(),
        HealthTest::Shell(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
    };
    if command.is_empty() {
        return None;
    }
    if let Some(request) = request(context, service, &check.test) {
        return Some(Probe { http_get: Some(request), ..Probe::default() });
    }
    let exec = ExecAction { command: Some(escaped(&command)) };
    Some(Probe { exec: Some(exec), ..Probe::default() })
}

/// The request that a test makes, when a request is all that it does and the port is one reached from outside the
/// container: a program may listen on localhost alone, and there only the test itself can ask.
fn request(context: &Context<'_>, service: &Service, test: &HealthTest) -> Option<HTTPGetAction> {
    let words = match test {
        HealthTest::Command(words) => words.clone(),
        HealthTest::Shell(line) => shell_words(line)?,
        HealthTest::Inherit | HealthTest::Disabled => return None,
    };
    let (program, arguments) = words.split_first()?;
    let url = match program.rsplit('/').next()? {
        "curl" => curl(arguments)?,
        "wget" => wget(arguments)?,
        _ => return None,
    };
    let (host, path) = local(url)?;
    let number = host.rsplit_once(':').map_or(Ok(80), |(_, port)| port.parse::<u16>()).ok()?;
    let is_reached =
        ports::of(context, service).iter().any(|port| port.number == number && port.protocol == Protocol::Tcp);
    is_reached.then(|| HTTPGetAction {
        // Servers that mind their host name are asked by the one that they know.
        http_headers: Some(vec![HTTPHeader { name: "Host".to_owned(), value: host.to_owned() }]),
        path: Some(path.to_owned()),
        port: IntOrString::Int(number.into()),
        ..HTTPGetAction::default()
    })
}

/// The words of a line that is nothing but one command, with or without `|| exit 1` after it.
fn shell_words(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    let command = match line.split_once("||") {
        Some((command, rest)) if ["exit 1", "false", "exit"].contains(&rest.trim()) => command,
        Some(_) => return None,
        None => line,
    };
    let plain = !command.contains(|character: char| "$`\\|&;<>()*?[]{}~#!\n".contains(character));
    plain.then(|| shell_words::split(command).ok())?
}

/// The address that `curl` asks, when a status of 400 or more makes it fail and nothing else matters.
fn curl(arguments: &[String]) -> Option<&str> {
    let mut url = None;
    let mut fails = false;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--fail" => fails = true,
            "--silent" | "--show-error" => {}
            "-o" | "--output" if arguments.next().is_some_and(|file| file == "/dev/null") => {}
            short
                if short.len() > 1 && short.starts_with('-') && short[1..].chars().all(|flag| "fsS".contains(flag)) =>
            {
                fails |= short.contains('f');
            }
            address if url.is_none() && !address.starts_with('-') => url = Some(address),
            _ => return None,
        }
    }
    url.filter(|_| fails)
}

/// The address that `wget` asks, when nothing else matters.
fn wget(arguments: &[String]) -> Option<&str> {
    let mut url = None;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-q" | "--quiet" | "-nv" | "--no-verbose" | "--spider" | "--tries=1" | "-qO-" | "-O-" | "-O/dev/null"
            | "-qO/dev/null" => {}
            "-O" | "-qO" if arguments.next().is_some_and(|file| file == "-" || file == "/dev/null") => {}
            "-t" if arguments.next().is_some_and(|tries| tries == "1") => {}
            address if url.is_none() && !address.starts_with('-') => url = Some(address),
            _ => return None,
        }
    }
    url
}

/// Host with port, and path, of an address on this container: `localhost:3000`, `/health`.
fn local(url: &str) -> Option<(&str, &str)> {
    let rest = match url.split_once("://") {
        Some(("http", rest)) => rest,
        Some(_) => return None,
        None => url,
    };
    let (authority, path) = match rest.find('/') {
        Some(start) => rest.split_at(start),
        None => (rest, "/"),
    };
    let host = match authority.strip_prefix("[::1]") {
        Some(_) => "[::1]",
        None => authority.split(':').next()?,
    };
    let port = &authority[host.len()..];
    let is_local = ["localhost", "127.0.0.1", "0.0.0.0", "[::1]"].contains(&host);
    let port_is_plain = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (is_local && port_is_plain && !path.contains(['#', ' '])).then_some((authority, path))
}

#[cfg(test)]
mod tests {
    use super::{curl, local, shell_words, wget};

    fn words(line: &str) -> Vec<String> {
        shell_words(line).unwrap_or_default()
    }

    #[test]
    fn a_line_with_anything_but_one_command_is_left_to_the_shell() {
        assert_eq!(words("curl -f http://localhost/ || exit 1"), ["curl", "-f", "http://localhost/"]);
        assert!(shell_words("curl -f http://localhost/ | grep ok").is_none());
        assert!(shell_words("curl -f http://localhost:$PORT/").is_none());
        assert!(shell_words("curl -f http://localhost/ || exit 0").is_none());
        assert!(shell_words("a || b || exit 1").is_none());
    }

    #[test]
    fn curl_is_a_request_only_when_a_bad_status_fails_it() {
        assert_eq!(curl(&words("-fsS -o /dev/null http://localhost/")), Some("http://localhost/"));
        assert_eq!(curl(&words("-s http://localhost/")), None);
        assert_eq!(curl(&words("-f -X POST http://localhost/")), None);
        assert_eq!(curl(&words("-f http://localhost/ http://localhost/b")), None);
    }

    #[test]
    fn wget_is_a_request_with_flags_that_change_nothing() {
        assert_eq!(wget(&words("-qO- http://localhost/")), Some("http://localhost/"));
        assert_eq!(wget(&words("--spider -q localhost:80")), Some("localhost:80"));
        assert_eq!(wget(&words("--post-data x http://localhost/")), None);
        assert_eq!(wget(&words("-O out http://localhost/")), None);
    }

    #[test]
    fn only_addresses_of_the_container_itself_are_local() {
        assert_eq!(local("http://localhost:3000/health"), Some(("localhost:3000", "/health")));
        assert_eq!(local("127.0.0.1"), Some(("127.0.0.1", "/")));
        assert_eq!(local("http://[::1]:80/x"), Some(("[::1]:80", "/x")));
        assert_eq!(local("http://db:80/"), None);
        assert_eq!(local("https://localhost/"), None);
        assert_eq!(local("http://user@localhost/"), None);
        assert_eq!(local("http://localhost:99999/"), None);
    }
}
