//! The plans that take services down: `stop`, the end of an attached `up`, and `down`.

use std::collections::BTreeSet;

use super::goal::{Down, RemoveImages};
use super::observed::Container;
use super::operation::{Cause, Hold, Operation, Subject};
use super::spec::label;
use super::{Entry, Situation};

/// What runs is stopped, dependents first.
pub(super) fn stop(situation: Situation<'_>, services: &BTreeSet<String>) -> Vec<Entry> {
    let in_scope = |container: &&Container| services.contains(&container.service) && !container.one_off;
    let containers: Vec<&Container> = situation.observed.containers.values().filter(in_scope).collect();
    let running = running(situation, &containers);
    let mut entries = stop_all(situation, &running);
    let provided = providers(situation, |name| services.contains(name));
    entries.extend(provided.map(|service| Entry {
        operation: Operation::Suspend { service: service.to_owned() },
        cause: Cause::Stopping,
        holds: dependent_holds(situation, &running, service, None),
    }));
    entries
}

/// The services that a program provides and that have not been stopped or withdrawn in this run.
fn providers<'a>(situation: Situation<'a>, in_scope: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = &'a str> {
    let provided = situation.project.services.values().filter(|service| service.provider.is_some());
    let names = provided.map(|service| service.name.as_str());
    names.filter(move |name| in_scope(name) && !situation.facts.withdrawn.contains(*name))
}

fn stop_all(situation: Situation<'_>, running: &[&Container]) -> Vec<Entry> {
    running
        .iter()
        .map(|container| Entry {
            operation: Operation::Stop {
                service: container.service.clone(),
                number: container.number,
                container: container.id.clone(),
            },
            cause: Cause::Stopping,
            holds: dependent_holds(situation, running, &container.service, Some(&container.id)),
        })
        .collect()
}

/// Containers are stopped and removed, dependents first, then what they used.
pub(super) fn down(situation: Situation<'_>, down: &Down) -> Vec<Entry> {
    let Situation { project, observed, .. } = situation;
    let known = |name: &String| project.services.contains_key(name) || project.disabled.contains_key(name);
    let in_scope = |container: &&Container| {
        let name = &container.service;
        if down.services.is_empty() { down.remove_orphans || known(name) } else { down.services.contains(name) }
    };
    let containers: Vec<&Container> = observed.containers.values().filter(in_scope).collect();
    let running = running(situation, &containers);
    let mut entries: Vec<Entry> = stop_all(situation, &running);
    let stopped = containers.iter().filter(|container| !running.iter().any(|it| it.id == container.id));
    entries.extend(stopped.map(|container| Entry {
        operation: Operation::Remove {
            service: container.service.clone(),
            number: container.number,
            container: container.id.clone(),
            volumes: down.volumes,
        },
        cause: if known(&container.service) { Cause::Asked } else { Cause::Orphan },
        holds: Vec::new(),
    }));
    let provided = providers(situation, |name| down.services.is_empty() || down.services.contains(name));
    entries.extend(provided.map(|service| Entry {
        operation: Operation::Withdraw { service: service.to_owned() },
        cause: Cause::Asked,
        holds: dependent_holds(situation, &running, service, None),
    }));
    if down.services.is_empty() {
        let attached = !running.is_empty() || !situation.facts.stopping.is_empty();
        entries.extend(networks(situation).map(|name| Entry {
            operation: Operation::RemoveNetwork { name: name.clone() },
            cause: Cause::Asked,
            // What has stopped has left the network, even before it is removed.
            holds: if attached { vec![Hold::InUse] } else { Vec::new() },
        }));
    }
    let in_use = if containers.is_empty() { Vec::new() } else { vec![Hold::InUse] };
    let mut push = |operation| entries.push(Entry { operation, cause: Cause::Asked, holds: in_use.clone() });
    if down.volumes && down.services.is_empty() {
        volumes(situation).for_each(|name| push(Operation::RemoveVolume { name: name.clone() }));
    }
    for image in images(situation, down) {
        push(Operation::RemoveImage { image });
    }
    entries
}

/// Those that run, or will in a moment because their start is under way.
fn running<'a>(situation: Situation<'_>, containers: &[&'a Container]) -> Vec<&'a Container> {
    let starting = |container: &Container| {
        situation.facts.starting.contains(&Subject::Replica(container.service.clone(), container.number))
    };
    containers.iter().copied().filter(|container| container.state.is_running() || starting(container)).collect()
}

/// The services that must stop before this one's container, or what it provides without one, may.
pub(super) fn dependent_holds(
    situation: Situation<'_>,
    running: &[&Container],
    service: &str,
    id: Option<&str>,
) -> Vec<Hold> {
    situation
        .graph
        .dependents(service)
        .into_iter()
        .filter(|dependent| running.iter().any(|other| other.service == **dependent && Some(&*other.id) != id))
        .map(|dependent| Hold::Dependent { service: dependent.to_owned() })
        .collect()
}

/// The project's own networks; external ones do not carry its label.
fn networks(situation: Situation<'_>) -> impl Iterator<Item = &String> {
    let project = &situation.project.name;
    let own = move |labels: &std::collections::BTreeMap<String, String>| labels.get(label::PROJECT) == Some(project);
    situation.observed.networks.iter().filter(move |(_, network)| own(&network.labels)).map(|(name, _)| name)
}

/// The volumes that the manifest declares and that the project made.
fn volumes(situation: Situation<'_>) -> impl Iterator<Item = &String> {
    let Situation { project, observed, .. } = situation;
    let declared = project.volumes.values().filter(|volume| !volume.external).map(|volume| &volume.name);
    declared.filter(|name| observed.volumes.contains_key(*name))
}

fn images(situation: Situation<'_>, down: &Down) -> BTreeSet<String> {
    let Situation { project, observed, .. } = situation;
    let services = project.services.values().chain(project.disabled.values());
    services
        .filter(|service| down.services.is_empty() || down.services.contains(&service.name))
        .filter(|service| match down.images {
            RemoveImages::None => false,
            RemoveImages::Local => service.image.is_none(),
            RemoveImages::All => true,
        })
        .map(|service| project.image_of(service))
        .filter(|image| observed.images.contains_key(image))
        .collect()
}
