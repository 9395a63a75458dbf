//! How one container takes another's place: in which order, and when it is there for good.
//!
//! The old container stays, running or stopped, until the new one has proved itself, so that a version that does not
//! come up takes nothing away.

use super::goal::Up;
use super::images::ImageOutlook;
use super::observed::{Container, ContainerState};
use super::operation::{Cause, Hold, Operation, Subject};
use super::services::Planner;
use super::{Replica, Situation, replicas_of};
use crate::project::{MountSource, Networking, Published, Service, UpdateOrder};

impl<'a> Planner<'a> {
    /// Whether a container has to get files back before anything else is done with it.
    pub(super) fn restore(&mut self, service: &Service, number: u32, replica: &Replica<'_>) -> bool {
        let container = replica.serving();
        let Some(reason) = self.situation.facts.restores.get(&container.id) else { return false };
        // What cannot start again needs none.
        if self.is_cut_off(container) {
            return false;
        }
        let operation = Operation::Restore { service: service.name.clone(), number, container: container.id.clone() };
        self.push(operation, Cause::Rejected { reason: reason.clone() }, Vec::new());
        true
    }

    /// A container and the one that is to take its place.
    pub(super) fn replacement(
        &mut self,
        service: &'a Service,
        up: &Up,
        number: u32,
        replica: &Replica<'_>,
        new: &Container,
        image: &ImageOutlook<'_>,
    ) {
        let facts = self.situation.facts;
        let old = replica.current;
        if let (true, Some(cause)) = (self.is_cut_off(old), self.network_cause(old)) {
            // It can never serve again: the new one has the place for good, whatever becomes of it.
            self.push(promote(service, number, old, new), cause, Vec::new());
            return;
        }
        if let Some(reason) = facts.rejected.get(&new.id) {
            self.push(revert(service, number, old, new), Cause::Rejected { reason: reason.clone() }, Vec::new());
            return;
        }
        let newer = self.outdated(service, up, new, image).or_else(|| self.network_cause(new));
        let cause = match self.outdated(service, up, old, image) {
            Some(cause) => cause,
            // Why the old one had to go is not known any more.
            None if newer.is_none() => Cause::Unfinished,
            None => {
                // The manifest or the image went back to what the old one was made from.
                self.push(revert(service, number, old, new), Cause::Unfinished, Vec::new());
                return;
            }
        };
        // Whether it serves is seen before its network is made anew, or another one is made of the same image.
        let is_same = matches!(newer, Some(Cause::NetworkChanged { .. } | Cause::SourcesChanged));
        let is_on_trial = new.state.is_running() && is_same;
        if let Some(newer) = newer.filter(|_| !is_on_trial) {
            if new.state.is_running() {
                // It may be all that serves: it stays until the next one is there.
                self.create(service, number, Some(old), newer, image);
            } else {
                self.remove(service, number, new, newer);
            }
            return;
        }
        if facts.proven.contains(&new.id) {
            self.push(promote(service, number, old, new), Cause::Proven, Vec::new());
            return;
        }
        match new.state {
            ContainerState::Created | ContainerState::Exited(_) => {
                let mut holds = self.start_holds(service);
                holds.extend(self.files_hold(service));
                holds.extend(image.hold.clone());
                if !holds.is_empty() && facts.fallbacks.contains(&old.id) && !old.state.is_running() {
                    let (service, container) = (service.name.clone(), old.id.clone());
                    self.push(Operation::Start { service, number, container }, Cause::NotRunning, Vec::new());
                }
                self.push(take_over(self.situation, service, number, replica, new), cause, holds);
            }
            ContainerState::Dead => self.remove(service, number, new, Cause::Unfinished),
            ContainerState::Running
            | ContainerState::Paused
            | ContainerState::Restarting
            | ContainerState::Removing => {
                self.push(promote(service, number, old, new), cause, vec![Hold::Proof]);
            }
        }
    }

    /// Containers that an earlier exchange has left, except the one that serves while the next one is made.
    pub(super) fn leftovers(&mut self, service: &Service, number: u32, replica: &Replica<'_>) {
        let serving = replica.serving();
        for container in replica.leftovers.iter().filter(|container| container.id != serving.id) {
            self.remove(service, number, container, Cause::Unfinished);
        }
    }

    /// A container that is not running gets its files first.
    pub(super) fn files_hold(&self, service: &Service) -> Option<Hold> {
        let facts = self.situation.facts;
        let waits =
            facts.syncs.contains_key(&service.name) || facts.busy.contains(&Subject::Files(service.name.clone()));
        waits.then(|| Hold::Order { subject: "its files to be copied".into() })
    }

    /// What keeps back the restart of one of several replicas for files that were copied: as in an exchange.
    pub(super) fn restart_turn_holds(&self, service: &Service, number: u32) -> Vec<Hold> {
        let Situation { observed, facts, .. } = self.situation;
        let others = replicas_of(observed, &service.name).into_iter().filter(|(other, _)| *other != number);
        let holds = others.filter_map(|(other, replica)| {
            let id = &replica.current.id;
            let is_next = facts.restarts.contains(id);
            let is_on_trial = facts.unproven_syncs.contains(id) && !is_next;
            let is_busy = facts.busy.contains(&Subject::Replica(service.name.clone(), other));
            let has_turn = is_next && other < number || is_on_trial || is_busy;
            has_turn.then(|| Hold::Order { subject: format!("`{}-{other}` to be restarted", service.name) })
        });
        holds.collect()
    }

    /// What keeps back the exchange of one of several replicas: they are exchanged one after the other, and when one
    /// has failed, the others stay as they are.
    pub(super) fn turn_holds(&self, service: &Service, number: u32) -> Vec<Hold> {
        let Situation { observed, facts, .. } = self.situation;
        let replicas = replicas_of(observed, &service.name);
        let is_begun = replicas.get(&number).is_some_and(|replica| replica.replacement.is_some());
        let others = replicas.into_iter().filter(|(other, _)| *other != number);
        let holds = others.filter_map(|(other, replica)| {
            let subject = Subject::Replica(service.name.clone(), other);
            if let Some(reason) = facts.failures.get(&subject) {
                return Some(Hold::Failed { reason: format!("{}-{other}: {reason}", service.name) });
            }
            // One whose exchange has begun comes before one whose has not, else the first by number.
            let is_first = match (replica.replacement.is_some(), is_begun) {
                (true, false) => true,
                (false, true) => false,
                _ => other < number,
            };
            let is_wanted =
                replica.replacement.is_some() || self.entries.iter().any(|entry| entry.operation.target() == subject);
            let is_exchanged = facts.busy.contains(&subject) || is_first && is_wanted;
            is_exchanged.then(|| Hold::Order { subject: format!("`{}-{other}` to be replaced", service.name) })
        });
        holds.collect()
    }
}

/// The operation by which a replacement that does not run takes over.
pub(super) fn take_over(
    situation: Situation<'_>,
    service: &Service,
    number: u32,
    replica: &Replica<'_>,
    new: &Container,
) -> Operation {
    let serving = replica.serving();
    let (service_name, container) = (service.name.clone(), new.id.clone());
    if serving.state.is_running() && starts_first(situation, service, serving) {
        Operation::Start { service: service_name, number, container }
    } else {
        Operation::Exchange { service: service_name, number, old: serving.id.clone(), new: container }
    }
}

/// Whether a replacement is started while the other one still runs: when the manifest says so, or when nothing speaks
/// against it. Without the engine's help two containers cannot publish one port.
pub(super) fn starts_first(situation: Situation<'_>, service: &Service, old: &Container) -> bool {
    let has_fixed_port = service.ports.iter().any(|port| !matches!(port.published, Published::Ephemeral));
    let is_possible = !has_fixed_port || situation.observed.abilities.hands_over_ports;
    match service.update_order {
        Some(UpdateOrder::StopFirst) => false,
        Some(UpdateOrder::StartFirst) => is_possible,
        None => is_possible && is_server(situation, service) && can_run_twice(service, old),
    }
}

/// Whether others call the service. Of what works by itself, such as a consumer of a queue, one at a time is expected,
/// and nobody minds a pause.
fn is_server(situation: Situation<'_>, service: &Service) -> bool {
    let has_ports = !service.ports.is_empty() || !service.expose.is_empty();
    has_ports || !situation.graph.dependents(&service.name).is_empty()
}

/// Whether two containers of a service get along: nothing that both would write, and nothing that only one can have.
fn can_run_twice(service: &Service, old: &Container) -> bool {
    let shares_nothing = service.mounts.iter().all(|mount| match &mount.source {
        // What runs on the machine's own files has the project's folder.
        MountSource::Bind { .. } => mount.read_only || service.is_on_machine(),
        MountSource::Volume { .. } | MountSource::Anonymous { .. } => mount.read_only,
        _ => true,
    });
    let has_own_addresses = match &service.networking {
        Networking::Networks(places) => places
            .values()
            .all(|place| place.ipv4_address.is_none() && place.ipv6_address.is_none() && place.mac_address.is_none()),
        Networking::None => true,
        _ => false,
    };
    shares_nothing
        && has_own_addresses
        && !old.writes_volumes
        && !service.privileged
        && service.mac_address.is_none()
        && service.volumes_from.is_empty()
        && service.devices.mapped.is_empty()
        && service.devices.requests.is_empty()
        && service.companions().next().is_none()
}

fn promote(service: &Service, number: u32, old: &Container, new: &Container) -> Operation {
    Operation::Promote { service: service.name.clone(), number, old: old.id.clone(), new: new.id.clone() }
}

fn revert(service: &Service, number: u32, old: &Container, new: &Container) -> Operation {
    Operation::Revert { service: service.name.clone(), number, old: old.id.clone(), new: new.id.clone() }
}
