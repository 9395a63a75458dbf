//! A healthcheck as three probes, each with times of its own: one that waits until the container has started, one that
//! takes a pod out of its Services as soon as it fails, and one that starts a pod again that stays unhealthy.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ExecAction, HTTPGetAction, HTTPHeader, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::project::{HealthTest, Healthcheck, Protocol, Service};

use super::command::{Question, question};
use super::container::{escaped, seconds};
use super::{Context, Export, kompose, ports, service_key};

/// What the engine takes where a healthcheck says nothing.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: i32 = 3;

/// The shortest time, in seconds, that a container is given to start: an engine only marks one that is late, a kubelet
/// ends it, and nodes are slower than the machine of who wrote the healthcheck.
const SHORTEST_START: i32 = 60;

/// The shortest pause, in seconds, between two looks at whether a pod is to be started again.
const SHORTEST_LIVENESS: i32 = 10;

/// The probes of a container.
#[derive(Default)]
pub(super) struct Probes {
    pub(super) startup: Option<Probe>,
    pub(super) readiness: Option<Probe>,
    pub(super) liveness: Option<Probe>,
}

/// The probes that say what the healthcheck says.
pub(super) fn of<'a>(context: &Context<'a>, service: &'a Service, export: &mut Export) -> Probes {
    match &service.healthcheck {
        Some(check) => {
            let Some(handler) = handler(context, service, check, export) else { return Probes::default() };
            note(service, check, export);
            probes(check, &handler)
        }
        None => of_labels(context, service, export),
    }
}

/// The probes that labels of Kompose write, each by itself.
fn of_labels<'a>(context: &Context<'a>, service: &'a Service, export: &mut Export) -> Probes {
    let mut written = |which: &str| {
        let check = kompose::healthcheck(service, which)?;
        Some(probes(&check, &handler(context, service, &check, export)?))
    };
    let (ready, live) = (written("readiness"), written("liveness"));
    let startup = live.as_ref().or(ready.as_ref()).and_then(|probes| probes.startup.clone());
    Probes {
        startup,
        readiness: ready.and_then(|probes| probes.readiness),
        liveness: live.and_then(|probes| probes.liveness),
    }
}

fn note(service: &Service, check: &Healthcheck, export: &mut Export) {
    let key = service_key(service, "healthcheck");
    let periods = [check.interval, check.timeout, check.start_period, check.start_interval];
    if periods.iter().flatten().any(|duration| duration.subsec_nanos() > 0) {
        export.approximated(key.clone(), "probes count in whole seconds; parts are rounded up");
    }
    export.approximated(key, "a pod that stays unhealthy is started again, where the engine only marks its container");
}

fn probes(check: &Healthcheck, handler: &Probe) -> Probes {
    let interval = period(check.interval, INTERVAL);
    let timeout = period(check.timeout, TIMEOUT);
    let retries = check
        .retries
        .filter(|retries| *retries > 0)
        .map_or(RETRIES, |retries| i32::try_from(retries).unwrap_or(i32::MAX));
    let unhealthy_after = interval.saturating_mul(retries);
    let probe = |period: i32, failures: i32| Probe {
        period_seconds: Some(period),
        timeout_seconds: Some(timeout),
        failure_threshold: Some(failures),
        ..handler.clone()
    };
    // Failures do not count before the start period is over; then as many are allowed as ever.
    let start_every = period(check.start_interval, START_INTERVAL).min(interval);
    let start_within = check.start_period.map_or(0, seconds).saturating_add(unhealthy_after).max(SHORTEST_START);
    // A pod that is only slow for a while loses its requests first and its life later.
    let live_every = interval.max(SHORTEST_LIVENESS);
    let live_within = unhealthy_after.saturating_mul(2);
    Probes {
        startup: Some(probe(start_every, times(start_within, start_every))),
        readiness: Some(probe(interval, retries)),
        liveness: Some(probe(live_every, times(live_within, live_every).max(RETRIES))),
    }
}

/// How often something happens within a time, rounded up.
fn times(within: i32, every: i32) -> i32 {
    within / every + i32::from(within % every > 0)
}

/// Whole seconds, at least one; nothing and zero are the engine's default.
fn period(written: Option<Duration>, default: Duration) -> i32 {
    seconds(written.filter(|duration| !duration.is_zero()).unwrap_or(default))
}

fn handler<'a>(context: &Context<'a>, service: &'a Service, check: &Healthcheck, export: &mut Export) -> Option<Probe> {
    let command = match &check.test {
        HealthTest::Disabled => return None,
        HealthTest::Inherit => {
            let reason = "the image's own test is not read by Kubernetes; write it out as `test`";
            export.dropped(service_key(service, "healthcheck"), reason);
            return None;
        }
        HealthTest::Command(words) => words.clone(),
        HealthTest::Shell(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
    };
    if command.iter().all(String::is_empty) {
        return None;
    }
    let asked = question(&check.test).and_then(|question| asked(context, service, question));
    Some(asked.unwrap_or_else(|| {
        let exec = ExecAction { command: Some(escaped(&command)) };
        Probe { exec: Some(exec), ..Probe::default() }
    }))
}

/// The question asked by the kubelet itself, when the port is one reached from outside the container: a program may
/// listen on localhost alone, and there only the command can ask.
fn asked<'a>(context: &Context<'a>, service: &'a Service, question: Question) -> Option<Probe> {
    let named = |number: u16| {
        let ports = ports::of(context, service);
        let port = ports.into_iter().find(|port| port.number == number && port.protocol == Protocol::Tcp)?;
        Some(IntOrString::String(port.name))
    };
    Some(match question {
        Question::Connection(port) => {
            Probe { tcp_socket: Some(TCPSocketAction { port: named(port)?, host: None }), ..Probe::default() }
        }
        Question::Request { encrypted, host, port, path } => {
            let request = HTTPGetAction {
                // Servers that mind their host name are asked by the one that they know.
                http_headers: Some(vec![HTTPHeader { name: "Host".to_owned(), value: host }]),
                path: Some(path),
                port: named(port)?,
                scheme: encrypted.then(|| "HTTPS".to_owned()),
                ..HTTPGetAction::default()
            };
            Probe { http_get: Some(request), ..Probe::default() }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::core::v1::Probe;

    use super::{Probes, probes};
    use crate::project::Healthcheck;

    /// Period, timeout and failures of each probe.
    fn times(check: &Healthcheck) -> [Option<(i32, i32, i32)>; 3] {
        let Probes { startup, readiness, liveness } = probes(check, &Probe::default());
        [startup, readiness, liveness].map(|probe| {
            let probe = probe?;
            Some((probe.period_seconds?, probe.timeout_seconds?, probe.failure_threshold?))
        })
    }

    #[test]
    fn each_probe_has_times_of_its_own() {
        let check = Healthcheck {
            interval: Some(Duration::from_secs(10)),
            timeout: Some(Duration::from_millis(2500)),
            retries: Some(4),
            start_period: Some(Duration::from_secs(90)),
            start_interval: Some(Duration::from_secs(2)),
            ..Healthcheck::default()
        };
        assert_eq!(times(&check), [Some((2, 3, 65)), Some((10, 3, 4)), Some((10, 3, 8))]);
    }

    #[test]
    fn what_is_asked_every_second_is_given_a_minute_to_start_and_not_ended_for_a_hiccup() {
        let second = Some(Duration::from_secs(1));
        let check = Healthcheck { interval: second, timeout: second, retries: Some(3), ..Healthcheck::default() };
        assert_eq!(times(&check), [Some((1, 1, 60)), Some((1, 1, 3)), Some((10, 1, 3))]);
    }

    #[test]
    fn nothing_written_is_what_the_engine_takes() {
        assert_eq!(times(&Healthcheck::default()), [Some((5, 30, 18)), Some((30, 30, 3)), Some((30, 30, 6))]);
    }
}
