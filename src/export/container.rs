//! The one container of a service's pods.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Capabilities, Container, ContainerPort, SecurityContext};

use crate::project::{Project, Service};

use super::hosts::command_texts;
use super::probe::{self, Probes};
use super::{Context, Export, Options, ports, service_key};

/// The container, without its environment and mounts. That of a Job is done when it exits, and so has no probes.
pub(super) fn of(context: &Context<'_>, service: &Service, is_job: bool, export: &mut Export) -> Container {
    let (command, args) = command(service, export);
    let (image, pull) = image(context, service, export);
    let probes = if is_job { Probes::default() } else { probe::of(context, service, export) };
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
        security_context: security(service, export),
        stdin: service.stdin_open.then_some(true),
        tty: service.tty.then_some(true),
        startup_probe: probes.startup,
        readiness_probe: probes.readiness,
        liveness_probe: probes.liveness,
        ..Container::default()
    }
}

/// The images that the project builds, by service, as the objects name them.
#[must_use]
pub fn built_images(project: &Project, options: &Options) -> BTreeMap<String, String> {
    let built = project.services.values().filter(|service| service.build.is_some());
    built.map(|service| (service.name.clone(), image_name(project, options, service))).collect()
}

/// What a service's image is called in the cluster.
fn image_name(project: &Project, options: &Options, service: &Service) -> String {
    let image = project.image_of(service);
    match &options.registry {
        Some(registry) if service.image.is_none() => format!("{}/{image}", registry.trim_end_matches('/')),
        _ => image,
    }
}

/// The image, and when it is pulled. One that the project builds has to get into a registry first.
fn image(context: &Context<'_>, service: &Service, export: &mut Export) -> (String, Option<String>) {
    let image = image_name(context.project, context.options, service);
    let key = service_key(service, "build");
    if service.image.is_some() {
        if service.build.is_some() {
            export.approximated(key, format!("build it here and push it as `{image}`"));
        }
        return (image, None);
    }
    if context.options.registry.is_some() {
        export.approximated(key, format!("build it here and push it as `{image}`"));
        return (image, None);
    }
    export.approximated(
        key,
        format!("no registry is named for `{image}`; build and push it, and say where with `--registry`"),
    );
    // Without a tag, nodes would ask a registry even for an image that was loaded into them by hand.
    (image, Some("IfNotPresent".to_owned()))
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

fn container_ports(context: &Context<'_>, service: &Service) -> Option<Vec<ContainerPort>> {
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

fn security(service: &Service, export: &mut Export) -> Option<SecurityContext> {
    let user = service.user.as_deref().and_then(numeric_user);
    if let (Some(name), None) = (&service.user, user) {
        export.dropped(
            service_key(service, "user"),
            format!("Kubernetes takes numbers only, and `{name}` is a name inside the image"),
        );
    }
    let capabilities = |names: &[String]| -> Option<Vec<String>> {
        let names: Vec<String> = names.iter().map(|name| capability(name)).collect();
        (!names.is_empty()).then_some(names)
    };
    let (add, drop) = (capabilities(&service.cap_add), capabilities(&service.cap_drop));
    let context = SecurityContext {
        capabilities: (add.is_some() || drop.is_some()).then_some(Capabilities { add, drop }),
        privileged: service.privileged.then_some(true),
        read_only_root_filesystem: service.read_only.then_some(true),
        run_as_user: user.map(|(user, _)| user),
        run_as_group: user.and_then(|(_, group)| group),
        ..SecurityContext::default()
    };
    (context != SecurityContext::default()).then_some(context)
}

/// The numbers of `uid` and `uid:gid`; `root` is 0 in every image.
pub(super) fn numeric_user(user: &str) -> Option<(i64, Option<i64>)> {
    let number = |text: &str| match text {
        "root" => Some(0),
        text => text.parse::<u32>().ok().filter(|id| i32::try_from(*id).is_ok()).map(i64::from),
    };
    match user.split_once(':') {
        Some((user, group)) => Some((number(user)?, Some(number(group)?))),
        None => Some((number(user)?, None)),
    }
}

/// `CAP_NET_ADMIN` and `net_admin` are `NET_ADMIN`.
fn capability(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

/// Whole seconds, rounded up: a limit is never shorter than asked for.
pub(super) fn seconds(duration: Duration) -> i32 {
    let whole = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i32::try_from(whole).unwrap_or(i32::MAX)
}

/// What a container of a pod has no field for.
fn note_rest(service: &Service, export: &mut Export) {
    if service.init == Some(true) {
        export.dropped(service_key(service, "init"), "a pod has no init of its own; put one (`tini`) into the image");
    }
    let signal = service.stop_signal.as_deref().map(str::to_ascii_uppercase);
    if signal.is_some_and(|signal| !["SIGTERM", "TERM", "15"].contains(&signal.as_str())) {
        export.dropped(
            service_key(service, "stop_signal"),
            "pods are stopped by the image's signal; set `STOPSIGNAL` there",
        );
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

    use super::{capability, escaped_word, numeric_user, seconds};

    #[test]
    fn what_kubernetes_would_take_for_a_variable_is_escaped() {
        assert_eq!(escaped_word("echo $(date)"), "echo $$(date)");
        assert_eq!(escaped_word("echo $HOME ${X}"), "echo $HOME ${X}");
        assert_eq!(escaped_word("kill $$"), "kill $$$$");
        assert_eq!(escaped_word("$$(x)$"), "$$$$(x)$");
    }

    #[test]
    fn only_numbers_and_root_are_users() {
        assert_eq!(numeric_user("1000:50"), Some((1000, Some(50))));
        assert_eq!(numeric_user("root"), Some((0, None)));
        assert_eq!(numeric_user("node"), None);
        assert_eq!(numeric_user("1000:staff"), None);
        assert_eq!(numeric_user("4294967295"), None);
    }

    #[test]
    fn a_capability_loses_its_prefix_and_a_part_of_a_second_is_a_second() {
        assert_eq!(capability("cap_sys_ptrace"), "SYS_PTRACE");
        assert_eq!(seconds(Duration::from_millis(1500)), 2);
        assert_eq!(seconds(Duration::MAX), i32::MAX);
    }
}
