//! The container of a service.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ContainerPort, ExecAction, Lifecycle, LifecycleHandler};

use crate::project::{Hook, Service};

use super::hosts::command_texts;
use super::probe::{self, Probes};
use super::{Context, Export, image, ports, resources, security, service_key};

/// The container, without its environment and mounts. One that runs to its end is done when it exits, and so has no
/// probes.
pub(super) fn of<'a>(context: &Context<'a>, service: &'a Service, export: &mut Export) -> Container {
    let (command, args) = command(service, export);
    let (image, pull) = image::name(context, service, export);
    let probes = if context.is_job(service) {
        if service.healthcheck.is_some() {
            let reason = "what runs to its end is done when it exits, not when it is healthy";
            export.dropped(service_key(service, "healthcheck"), reason);
        }
        Probes::default()
    } else {
        if service.healthcheck.is_none() && context.facts(service).has_healthcheck {
            let reason = "the test in its Dockerfile is not read by Kubernetes; write it out as `healthcheck`";
            export.dropped(service_key(service, "build"), reason);
        }
        probe::of(context, service, export)
    };
    note_rest(service, export);
    note_secrets(context, service, export);
    Container {
        name: context.names.service(&service.name),
        image: Some(image),
        image_pull_policy: pull,
        command,
        args,
        working_dir: service.working_dir.clone(),
        ports: container_ports(context, service),
        resources: resources::of(context, service, export),
        security_context: Some(security::of(context, service, export)),
        stdin: service.stdin_open.then_some(true),
        tty: service.tty.then_some(true),
        lifecycle: lifecycle(service, export),
        startup_probe: probes.startup,
        readiness_probe: probes.readiness,
        liveness_probe: probes.liveness,
        ..Container::default()
    }
}

/// `command` and `args`, which Kubernetes fills from the image where they are missing, as Docker does: except that it
/// cannot clear what the image says.
fn command(service: &Service, export: &mut Export) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let words = |words: &Option<Vec<String>>| words.as_ref().map(|words| escaped(words));
    let entrypoint = words(&service.entrypoint);
    let command = words(&service.command);
    match (entrypoint, command) {
        (Some(entrypoint), command) if !entrypoint.is_empty() => {
            (Some(entrypoint), command.filter(|it| !it.is_empty()))
        }
        (Some(_), Some(command)) if !command.is_empty() => (Some(command), None),
        (None, Some(command)) if !command.is_empty() => (None, Some(command)),
        (entrypoint, command) => {
            if entrypoint.is_some() {
                export.dropped(
                    service_key(service, "entrypoint"),
                    "the image's own cannot be cleared without a `command`",
                );
            } else if command.is_some() {
                export.dropped(
                    service_key(service, "command"),
                    "the image's own cannot be cleared without an `entrypoint`",
                );
            }
            (None, None)
        }
    }
}

/// Words that Kubernetes leaves as they are: in a command it takes `$(NAME)` for a variable and `$$` for `$`.
pub(super) fn escaped(words: &[String]) -> Vec<String> {
    words.iter().map(|word| escaped_word(word)).collect()
}

fn escaped_word(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(start) = rest.find('$') {
        let (before, run) = rest.split_at(start);
        let length = run.len() - run.trim_start_matches('$').len();
        let after = &run[length..];
        let special = length > 1 || after.starts_with('(');
        text.push_str(before);
        text.extend(std::iter::repeat_n('$', if special { 2 * length } else { length }));
        rest = after;
    }
    text.push_str(rest);
    text
}

fn container_ports<'a>(context: &Context<'a>, service: &'a Service) -> Option<Vec<ContainerPort>> {
    let ports: Vec<ContainerPort> = ports::of(context, service)
        .into_iter()
        .map(|port| ContainerPort {
            container_port: port.number.into(),
            name: Some(port.name),
            protocol: Some(port.protocol.as_str().to_ascii_uppercase()),
            ..ContainerPort::default()
        })
        .collect();
    (!ports.is_empty()).then_some(ports)
}

/// What is run in a container after its start and before its stop.
fn lifecycle(service: &Service, export: &mut Export) -> Option<Lifecycle> {
    let mut handler = |attribute: &str, hooks: &[Hook]| -> Option<LifecycleHandler> {
        let key = || service_key(service, attribute);
        let with_more = |hook: &Hook| {
            hook.user.is_some() || hook.privileged || hook.working_dir.is_some() || !hook.environment.is_empty()
        };
        if hooks.iter().any(with_more) {
            export.approximated(key(), "run as the container's own user, where and with what the container runs");
        }
        let command = match hooks {
            [] => return None,
            [hook] => hook.command.clone(),
            hooks => {
                export.approximated(key(), "one shell runs the commands one after the other");
                let lines: Vec<String> = hooks.iter().map(|hook| shell_words::join(&hook.command)).collect();
                vec!["/bin/sh".to_owned(), "-c".to_owned(), lines.join(" && ")]
            }
        };
        let exec = ExecAction { command: Some(escaped(&command)) };
        (!command.is_empty()).then(|| LifecycleHandler { exec: Some(exec), ..LifecycleHandler::default() })
    };
    let (post_start, pre_stop) = (handler("post_start", &service.post_start), handler("pre_stop", &service.pre_stop));
    (post_start.is_some() || pre_stop.is_some()).then(|| Lifecycle { post_start, pre_stop, ..Lifecycle::default() })
}

/// Whole seconds, rounded up: a limit is never shorter than asked for.
pub(super) fn seconds(duration: Duration) -> i32 {
    let whole = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i32::try_from(whole).unwrap_or(i32::MAX)
}

/// What a container of a pod has no field for.
fn note_rest(service: &Service, export: &mut Export) {
    let signal = service.stop_signal.as_deref().map(str::to_ascii_uppercase);
    if signal.is_some_and(|signal| !["SIGTERM", "TERM", "15"].contains(&signal.as_str())) {
        let reason = "pods are stopped by the image's signal; set `STOPSIGNAL` there";
        export.dropped(service_key(service, "stop_signal"), reason);
    }
}

/// A secret in a command is in the objects for everybody to read, whatever the Secrets hold.
fn note_secrets(context: &Context<'_>, service: &Service, export: &mut Export) {
    for (attribute, text) in command_texts(service) {
        if context.secret_values.iter().any(|value| text.contains(value)) {
            export.approximated(
                service_key(service, &attribute),
                "it spells out a value that is a secret elsewhere; let the program read it from a variable or a file",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{escaped_word, seconds};

    #[test]
    fn what_kubernetes_would_take_for_a_variable_is_escaped() {
        assert_eq!(escaped_word("echo $(date)"), "echo $$(date)");
        assert_eq!(escaped_word("echo $HOME ${X}"), "echo $HOME ${X}");
        assert_eq!(escaped_word("kill $$"), "kill $$$$");
        assert_eq!(escaped_word("$$(x)$"), "$$$$(x)$");
    }

    #[test]
    fn a_part_of_a_second_is_a_second() {
        assert_eq!(seconds(Duration::from_millis(1500)), 2);
        assert_eq!(seconds(Duration::MAX), i32::MAX);
    }
}
