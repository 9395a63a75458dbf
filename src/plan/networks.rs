//! The networks and volumes that services use. One that is not there is made.
//!
//! Some networks are there and the manifest defines them otherwise than they were made. An engine cannot change a network: the containers on
//! it stop, dependents first, it is removed and made anew, and new containers come up on it in their order.
//!
//! They are new ones because a container that has been on a network keeps to that one, and cannot start when it is gone.
//! For the same reason none of them can come back when its successor fails: each goes as soon as that is made.

use std::collections::{BTreeMap, BTreeSet};

use super::observed::{Container, ContainerState, ObservedNetwork};
use super::operation::{Cause, Hold, Operation, Subject};
use super::services::Planner;
use super::spec::label;
use super::{Entry, Facts, Situation, teardown};
use crate::project::{MountSource, Networking, Service};

/// What becomes of the networks that are there and are defined otherwise now, by key.
#[derive(Debug, Default)]
pub(super) struct Changes<'a> {
    /// Those that are made anew.
    pub(super) anew: BTreeSet<&'a String>,
    /// Those that stay as they were made, with the reason.
    pub(super) staying: BTreeMap<&'a String, String>,
    /// Where among the entries what is done about them has its place.
    place: usize,
}

/// A container that has to leave a network.
struct Leaving<'a> {
    container: &'a Container,
    /// Which one; the first, where it is on several.
    key: &'a str,
    waits: Vec<Hold>,
}

/// How a container stands towards a network of the project, by key, that it is on or was.
enum Place<'a> {
    /// The network is to be made anew.
    Changing(&'a String),
    /// The network is gone, or another one has its name.
    Gone(&'a String),
}

impl<'a> Planner<'a> {
    /// The networks that the services use are made; of those that are there, the ones that are to be made anew are noted.
    pub(super) fn networks(&mut self, is_kept: bool) {
        let Situation { project, observed, facts, .. } = self.situation;
        let used: BTreeSet<&String> = self.ordered_services().into_iter().flat_map(network_keys).collect();
        for key in used {
            let Some(network) = project.networks.get(key) else { continue };
            let Some(made) = observed.networks.get(&network.name) else {
                let holds = external_hold(network.external, "network", &network.name);
                self.push(Operation::CreateNetwork { key: key.clone() }, Cause::Missing, holds);
                continue;
            };
            let is_other = is_defined_otherwise(&made.labels, facts.hashes.networks.get(key));
            if is_kept || network.external || !is_own(made, &project.name) || !is_other {
                continue;
            }
            if let Some(reason) = self.networks.staying.get(key).cloned() {
                let operation = Operation::RemoveNetwork { name: network.name.clone() };
                self.push(operation, Cause::ConfigChanged, vec![Hold::Failed { reason }]);
            } else {
                self.networks.anew.insert(key);
            }
        }
        self.networks.place = self.entries.len();
    }

    /// The volumes that the services use are made.
    pub(super) fn volumes(&mut self) {
        let Situation { project, observed, .. } = self.situation;
        let used: BTreeSet<&String> =
            self.ordered_services().into_iter().flat_map(|service| volume_keys(service).collect::<Vec<_>>()).collect();
        for key in used {
            let Some(volume) = project.volumes.get(key) else { continue };
            if observed.volumes.contains_key(&volume.name) {
                continue;
            }
            let holds = external_hold(volume.external, "volume", &volume.name);
            self.push(Operation::CreateVolume { key: key.clone() }, Cause::Missing, holds);
        }
    }

    /// Makes the noted networks anew. What is done for that comes before the entries of the services, which wait for it.
    ///
    /// # Errors
    /// A network that cannot be made anew, with the reason. The plan is then one in which it stays.
    pub(super) fn make_networks_anew(&mut self) -> Result<(), (&'a String, String)> {
        let project = self.situation.project;
        let mut leaving: BTreeMap<&str, Leaving<'_>> = BTreeMap::new();
        let mut networks = Vec::new();
        for key in &self.networks.anew {
            let name = &project.networks[*key].name;
            let attached = self.attached(name);
            let mut holds = self.waits(key, name, &attached);
            if let Some(reason) = self.obstacle(name, &attached, &holds) {
                return Err((key, reason));
            }
            for container in attached.iter().copied().filter(|it| !self.is_removed(it)) {
                let left =
                    leaving.entry(&container.id).or_insert_with(|| Leaving { container, key, waits: Vec::new() });
                left.waits.extend(holds.iter().cloned());
            }
            if !attached.is_empty() || self.is_any_busy(key, name) {
                holds.push(Hold::InUse);
            }
            let (operation, cause) = (Operation::RemoveNetwork { name: name.clone() }, Cause::ConfigChanged);
            networks.push(Entry { operation, cause: cause.clone(), holds });
            let (operation, subject) =
                (Operation::CreateNetwork { key: (*key).clone() }, "the one before to be removed");
            networks.push(Entry { operation, cause, holds: vec![Hold::Order { subject: subject.into() }] });
        }
        let stops = self.stops(leaving.into_values().collect());
        let place = self.networks.place;
        self.entries.splice(place..place, stops.into_iter().chain(networks));
        Ok(())
    }

    /// What keeps a network from being made anew. Then it stays as it is, and so does all that is on it.
    ///
    /// Where docker compose would stop the services that it was asked for and then fail, because others are on the network
    /// too, nothing is stopped: everything comes up on the network as it is, and the run ends with that failure.
    fn obstacle(&self, name: &str, attached: &[&Container], waits: &[Hold]) -> Option<String> {
        let Facts { failures, busy, .. } = self.situation.facts;
        if busy.contains(&Subject::Network(name.to_owned())) {
            // It is being removed: it is too late to think better of it.
            return None;
        }
        if failures.contains_key(&Subject::Network(name.to_owned())) {
            return Some(format!(
                "network `{name}` stays as it was made; stop what else is on it, which `docker network inspect {name}` \
                 names, and run `hoist up` again"
            ));
        }
        let is_foreign = |it: &&&Container| it.one_off || !self.services.contains(&it.service);
        if let Some(other) = attached.iter().filter(is_foreign).find(|it| !self.is_removed(it)) {
            let or = if other.one_off { "" } else { ", or run `hoist up` for all services" };
            return Some(format!(
                "network `{name}` is defined otherwise now and stays as it was made while `{}` is on it, which is not part \
                 of this run; stop that first{or}",
                other.name
            ));
        }
        let failed = waits.iter().find_map(|hold| match hold {
            Hold::DependencyFailed { service, reason } => Some(format!("`{service}` {reason}")),
            hold => hold.failure(),
        });
        let failure_of = |it: &&Container| {
            let reason = failures.get(&Subject::Replica(it.service.clone(), it.number))?;
            Some(format!("`{}-{}`: {reason}", it.service, it.number))
        };
        let reason = failed.or_else(|| attached.iter().find_map(failure_of))?;
        Some(format!("network `{name}` stays as it was made: {reason}"))
    }

    /// The containers on a network that run, or may in a moment.
    fn attached(&self, network: &str) -> Vec<&'a Container> {
        let Situation { observed, facts, .. } = self.situation;
        let is_starting = |it: &Container| facts.starting.contains(&Subject::Replica(it.service.clone(), it.number));
        let runs = |it: &Container| it.state.is_running() || it.state == ContainerState::Restarting || is_starting(it);
        observed.containers.values().filter(|it| is_on(it, network) && runs(it)).collect()
    }

    fn is_removed(&self, container: &Container) -> bool {
        let removes =
            |it: &Entry| matches!(&it.operation, Operation::Remove { container: id, .. } if *id == container.id);
        self.entries.iter().any(removes)
    }

    /// The containers on those networks stop, dependents first.
    fn stops(&self, leaving: Vec<Leaving<'_>>) -> Vec<Entry> {
        let all: Vec<&Container> = leaving.iter().map(|it| it.container).collect();
        let stops = leaving.into_iter().map(|Leaving { container: it, key, waits: mut holds }| {
            holds.extend(teardown::dependent_holds(self.situation, &all, &it.service, Some(&it.id)));
            let (service, number, container) = (it.service.clone(), it.number, it.id.clone());
            let cause = Cause::NetworkChanged { key: key.to_owned() };
            Entry { operation: Operation::Stop { service, number, container }, cause, holds }
        });
        stops.collect()
    }

    /// What comes before anything is stopped: images and what else new containers need, so that nothing is taken away for
    /// what cannot come; and what is under way about a new version of one of them. Dependencies that failed elsewhere are
    /// needed too; those on the network get another try.
    fn waits(&self, key: &str, name: &str, attached: &[&Container]) -> Vec<Hold> {
        let Situation { project, observed, facts, .. } = self.situation;
        let has_been_on =
            |service: &str| observed.containers.values().any(|it| it.service == service && is_on(it, name));
        let services = self.services.iter().filter_map(|name| project.services.get(name));
        let concerned: Vec<&Service> =
            services.filter(|it| network_keys(it).any(|other| other == key) || has_been_on(&it.name)).collect();
        let needs = |it: &&Service| {
            let image = self.images.get(it.name.as_str()).cloned().flatten();
            image.into_iter().chain(self.provision_holds(it))
        };
        let mut holds: Vec<Hold> = concerned.iter().flat_map(needs).collect();
        for service in needed(&concerned, attached) {
            let is_elsewhere = |hold: &Hold| matches!(hold, Hold::DependencyFailed { service, .. } if concerned.iter().all(|it| it.name != *service));
            holds.extend(self.start_holds(service).into_iter().filter(is_elsewhere));
        }
        let is_under_way = |entry: &Entry| {
            let comes_first = matches!(
                entry.operation,
                Operation::Promote { .. }
                    | Operation::Revert { .. }
                    | Operation::Restore { .. }
                    | Operation::Sync { .. }
            );
            comes_first
                && concerned.iter().any(|it| entry.operation.service() == Some(&it.name))
                && !facts.failures.contains_key(&entry.operation.target())
        };
        let is_copied_to = |it: &&Service| facts.busy.contains(&Subject::Files(it.name.clone()));
        if self.entries.iter().any(is_under_way) || concerned.iter().any(is_copied_to) {
            holds.push(Hold::Order { subject: "what is under way on it".into() });
        }
        holds
    }

    /// Whether something is under way about a container that is on a network or is to be.
    fn is_any_busy(&self, key: &str, name: &str) -> bool {
        let Situation { project, observed, facts, .. } = self.situation;
        facts.busy.iter().any(|subject| {
            let Subject::Replica(service, number) = subject else { return false };
            let is_its = |it: &Container| it.service == *service && it.number == *number && is_on(it, name);
            let is_to_be = |it: &Service| network_keys(it).any(|other| other == key);
            // One that has been taken out of the manifest may be about to be made on it.
            observed.containers.values().any(is_its) || project.services.get(service).is_none_or(is_to_be)
        })
    }

    /// Why a container has to make room for another because of a network, if it has to.
    pub(super) fn network_cause(&self, container: &Container) -> Option<Cause> {
        let (Place::Changing(key) | Place::Gone(key)) = self.place(container)?;
        Some(Cause::NetworkChanged { key: key.clone() })
    }

    /// Whether a container cannot start again, because a network that it was on is no more.
    pub(super) fn is_cut_off(&self, container: &Container) -> bool {
        self.lost_network(container).is_some()
    }

    /// The name of the network for want of which a container cannot start again.
    pub(super) fn lost_network(&self, container: &Container) -> Option<&'a str> {
        let Some(Place::Gone(key)) = self.place(container) else { return None };
        Some(&self.situation.project.networks[key].name)
    }

    fn place(&self, container: &Container) -> Option<Place<'a>> {
        let Situation { project, observed, .. } = self.situation;
        let mut own = project.networks.iter().filter(|(_, it)| !it.external && is_on(container, &it.name));
        own.find_map(|(key, network)| {
            let made = observed.networks.get(&network.name);
            match container.state {
                // What starts takes the network that has the name then, and keeps to it.
                ContainerState::Created | ContainerState::Exited(_) if made.is_none() => Some(Place::Gone(key)),
                ContainerState::Exited(_)
                    if container.started_at != 0 && made.is_some_and(|it| it.created_at > container.started_at) =>
                {
                    Some(Place::Gone(key))
                }
                _ => self.networks.anew.contains(key).then_some(Place::Changing(key)),
            }
        })
    }
}

/// The names of the volumes in use that are defined otherwise than they were made. What is in them is worth more than
/// their definition: they stay.
pub(crate) fn changed_volumes<'a>(situation: Situation<'a>, services: &BTreeSet<String>) -> BTreeSet<&'a String> {
    let Situation { project, observed, facts, .. } = situation;
    let used = services.iter().filter_map(|name| project.services.get(name)).flat_map(volume_keys);
    let changed = used.filter_map(|key| {
        let volume = project.volumes.get(key).filter(|volume| !volume.external)?;
        let made = observed.volumes.get(&volume.name)?;
        is_defined_otherwise(&made.labels, facts.hashes.volumes.get(key)).then_some(&volume.name)
    });
    changed.collect()
}

/// Of the services that a network concerns those that run on it, and what they need to come up again.
fn needed<'a>(concerned: &[&'a Service], attached: &[&Container]) -> Vec<&'a Service> {
    let (mut found, mut rest): (Vec<&Service>, Vec<&Service>) =
        concerned.iter().partition(|it| attached.iter().any(|container| container.service == it.name));
    loop {
        let is_needed = |it: &&Service| found.iter().any(|other| other.depends_on.contains_key(&it.name));
        let (more, others): (Vec<&Service>, Vec<&Service>) = rest.into_iter().partition(is_needed);
        if more.is_empty() {
            return found;
        }
        found.extend(more);
        rest = others;
    }
}

/// Whether a container is on a network, or was when it last ran.
fn is_on(container: &Container, network: &str) -> bool {
    container.networks.iter().any(|name| name == network)
}

/// Whether a network is the project's: another one may have made one of the same name.
fn is_own(made: &ObservedNetwork, project: &str) -> bool {
    made.labels.get(label::PROJECT).is_some_and(|name| name == project)
}

/// Whether a network or volume was made from another definition. One that does not say from which, made by docker compose
/// or an earlier hoist, counts as the same.
fn is_defined_otherwise(labels: &BTreeMap<String, String>, hash: Option<&String>) -> bool {
    labels.get(label::DEFINITION).is_some_and(|made_from| Some(made_from) != hash)
}

fn external_hold(external: bool, kind: &str, name: &str) -> Vec<Hold> {
    if !external {
        return Vec::new();
    }
    let reason = format!("external {kind} `{name}` does not exist; create it with `docker {kind} create {name}`");
    vec![Hold::Failed { reason }]
}

/// The networks of a service, by key.
pub(crate) fn network_keys(service: &Service) -> impl Iterator<Item = &String> {
    match &service.networking {
        Networking::Networks(attachments) => Some(attachments.keys()),
        _ => None,
    }
    .into_iter()
    .flatten()
}

/// The volumes of a service, by key.
pub(super) fn volume_keys(service: &Service) -> impl Iterator<Item = &String> {
    service.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume { key, .. } => Some(key),
        _ => None,
    })
}
