//! The plans that bring services up: `up`, `start`, `restart`.

use std::collections::{BTreeMap, BTreeSet};

use super::conditions::{Standing, standing};
use super::exchange::starts_first;
use super::goal::Up;
use super::images::ImageOutlook;
use super::networks::{Changes, network_keys, volume_keys};
use super::observed::{Container, ContainerState};
use super::operation::{Cause, Hold, Keep, Operation, Restarted, Subject};
use super::{Entry, Replica, Situation, replicas_of};
use crate::project::{Condition, Network, Published, Service};

/// Services run as the manifest says.
pub(super) fn up(situation: Situation<'_>, up: &Up) -> Vec<Entry> {
    let mut staying = BTreeMap::new();
    loop {
        let mut planner = Planner::new(situation, &up.services);
        planner.networks.staying.clone_from(&staying);
        planner.dropped();
        planner.networks(up.no_recreate);
        planner.volumes();
        planner.models(up);
        for service in planner.ordered_services() {
            planner.service(service, up);
        }
        if up.remove_orphans {
            planner.orphans();
        }
        match planner.make_networks_anew() {
            Ok(()) => return planner.entries,
            // What that means for the services is planned afresh.
            Err((key, reason)) => drop(staying.insert(key, reason)),
        }
    }
}

/// Containers that exist run.
pub(super) fn start(situation: Situation<'_>, services: &BTreeSet<String>) -> Vec<Entry> {
    let mut planner = Planner::new(situation, services);
    for service in planner.ordered_services() {
        let first = planner.entries.len();
        for (number, replica) in replicas_of(situation.observed, &service.name) {
            let current = replica.current;
            if !current.state.is_running() && situation.facts.pending.contains(&current.id) {
                let mut holds = planner.start_holds(service);
                holds.extend(planner.lost_network(current).map(|name| Hold::Failed {
                    reason: format!("cannot start: its network `{name}` is gone; `hoist up` makes a new container"),
                }));
                planner.push(start_operation(service, number, current), Cause::NotRunning, holds);
            }
        }
        planner.look_out(service, first);
    }
    planner.entries
}

/// Containers are stopped and started again, dependencies first.
pub(super) fn restart(situation: Situation<'_>, services: &BTreeSet<String>) -> Vec<Entry> {
    let mut planner = Planner::new(situation, services);
    for service in planner.ordered_services() {
        let hold = |dependency: &str| match planner.outlook.get(dependency)? {
            Outlook { failed: Some(reason), .. } => {
                Some(Hold::DependencyFailed { service: dependency.to_owned(), reason: reason.clone() })
            }
            Outlook { unsettled: true, .. } => Some(Hold::Order { subject: dependency.to_owned() }),
            Outlook { .. } => None,
        };
        let holds: Vec<Hold> = situation.graph.dependencies(&service.name).into_iter().filter_map(hold).collect();
        let first = planner.entries.len();
        for (number, replica) in replicas_of(situation.observed, &service.name) {
            let container = &replica.current.id;
            if situation.facts.pending.contains(container) {
                let operation = restart_operation(service, number, container, Restarted::Container);
                planner.push(operation, Cause::Asked, holds.clone());
            }
        }
        planner.look_out(service, first);
    }
    planner.entries
}

/// So many files are kept of a sync that no restart follows: to fetch them takes longer than to copy them.
const MOST_KEPT: usize = 64;

/// What is known of a service once its own entries are planned.
#[derive(Debug, Default)]
struct Outlook {
    /// Something is still to be done for it.
    unsettled: bool,
    /// It cannot come up; with the reason.
    failed: Option<String>,
}

pub(super) struct Planner<'a> {
    pub(super) situation: Situation<'a>,
    pub(super) services: &'a BTreeSet<String>,
    pub(super) entries: Vec<Entry>,
    outlook: BTreeMap<&'a str, Outlook>,
    /// The services whose image is planned, and what that holds up builds that are made with it for.
    pub(super) images: BTreeMap<&'a str, Option<Hold>>,
    pub(super) networks: Changes<'a>,
}

impl<'a> Planner<'a> {
    fn new(situation: Situation<'a>, services: &'a BTreeSet<String>) -> Self {
        Self {
            situation,
            services,
            entries: Vec::new(),
            outlook: BTreeMap::new(),
            images: BTreeMap::new(),
            networks: Changes::default(),
        }
    }

    pub(super) fn ordered_services(&self) -> Vec<&'a Service> {
        let Situation { project, graph, .. } = self.situation;
        graph
            .order()
            .into_iter()
            .filter(|name| self.services.contains(*name))
            .filter_map(|name| project.services.get(name))
            .collect()
    }

    pub(super) fn push(&mut self, operation: Operation, cause: Cause, holds: Vec<Hold>) {
        self.entries.push(Entry { operation, cause, holds });
    }

    /// The models that the services use.
    fn models(&mut self, up: &'a Up) {
        let used = self.ordered_services().into_iter().flat_map(|service| service.models.keys());
        let used: BTreeSet<&String> = used.chain(&up.models).collect();
        let ready = &self.situation.facts.provided.models;
        for key in used.into_iter().filter(|key| !ready.contains_key(*key)) {
            self.push(Operation::PrepareModel { key: key.clone() }, Cause::Asked, Vec::new());
        }
    }

    /// A service that a program provides: the program is asked once in a run.
    fn provide(&mut self, service: &'a Service) {
        let facts = self.situation.facts;
        let mut outlook = Outlook::default();
        if !facts.provided.services.contains_key(&service.name) {
            let operation = Operation::Provide { service: service.name.clone() };
            let holds = self.start_holds(service);
            let failure = facts.failures.get(&operation.target()).cloned();
            let failed = failure.or_else(|| holds.iter().find_map(Hold::failure));
            outlook = Outlook { unsettled: true, failed: failed.map(|reason| format!("cannot start: {reason}")) };
            self.push(operation, Cause::Asked, holds);
        }
        self.outlook.insert(&service.name, outlook);
    }

    /// The image of a service, then every number of it, then what is too much.
    fn service(&mut self, service: &'a Service, up: &Up) {
        if service.provider.is_some() {
            self.provide(service);
            return;
        }
        let first = self.entries.len();
        let image = self.image(service, up);
        let is_known = self.provision_holds(service).is_empty();
        let replicas = replicas_of(self.situation.observed, &service.name);
        let wanted = service.replicas as usize;
        let mut kept = 0;
        for (number, replica) in &replicas {
            self.leftovers(service, *number, replica);
            if kept < wanted {
                kept += 1;
                // What it lacks is part of its configuration: whether it is outdated shows only then.
                if is_known {
                    self.replica(service, up, *number, replica, &image);
                }
            } else {
                let cause = Cause::Surplus;
                self.remove(service, *number, replica.current, cause.clone());
                if let Some(replacement) = replica.replacement {
                    self.remove(service, *number, replacement, cause);
                }
            }
        }
        for number in (1..).filter(|number| !replicas.contains_key(number)).take(wanted.saturating_sub(kept)) {
            self.create(service, number, None, Cause::Missing, &image);
        }
        self.sync(service, &replicas, &image);
        self.look_out(service, first);
    }

    fn replica(&mut self, service: &'a Service, up: &Up, number: u32, replica: &Replica<'_>, image: &ImageOutlook<'_>) {
        if self.restore(service, number, replica) {
            return;
        }
        if let Some(new) = replica.replacement {
            self.replacement(service, up, number, replica, new, image);
            return;
        }
        match self.outdated(service, up, replica.current, image) {
            None => self.current(service, number, replica.current, image),
            Some(cause) => self.outdated_one(service, number, replica.current, cause, image),
        }
    }

    /// A container that is to be replaced; one that stopped for that serves again while its successor cannot be made.
    fn outdated_one(
        &mut self,
        service: &'a Service,
        number: u32,
        old: &Container,
        cause: Cause,
        image: &ImageOutlook<'_>,
    ) {
        let place = self.entries.len();
        self.create(service, number, Some(old), cause, image);
        let is_held = !self.entries[place].holds.is_empty();
        let fell = self.situation.facts.fallbacks.contains(&old.id) && !old.state.is_running();
        if is_held && fell && self.network_cause(old).is_none() {
            self.push(start_operation(service, number, old), Cause::NotRunning, Vec::new());
        }
    }

    /// Why a container is not what the manifest asks for, if it is not.
    pub(super) fn outdated(
        &self,
        service: &Service,
        up: &Up,
        container: &Container,
        image: &ImageOutlook<'_>,
    ) -> Option<Cause> {
        let Situation { observed, facts, .. } = self.situation;
        // What runs on the machine's own files has the saved ones already; only a new process sees them.
        if service.is_on_machine() && facts.restarts.contains(&container.id) {
            return Some(Cause::SourcesChanged);
        }
        if up.no_recreate {
            return None;
        }
        if container.state == ContainerState::Dead || up.force_recreate && facts.pending.contains(&container.id) {
            return Some(Cause::Asked);
        }
        if container.config_hash.as_ref() != facts.hashes.services.get(&service.name) {
            return Some(Cause::ConfigChanged);
        }
        let changed = image.available.is_some_and(|wanted| {
            observed.images.get(&container.image_id).is_none_or(|runs| runs.identity != wanted.identity)
        });
        if changed {
            return Some(Cause::ImageChanged);
        }
        if facts.overlaid.contains(&container.id) {
            return Some(Cause::SourcesChanged);
        }
        // One that has come to its end, as a job does, is on no network before it is to start again.
        if !self.is_over(service, container)
            && let Some(cause) = self.network_cause(container)
        {
            return Some(cause);
        }
        let is_newer = |companion: &&str| {
            replicas_of(observed, companion)
                .values()
                .any(|replica| replica.replacement.is_none() && replica.current.created_at > container.created_at)
        };
        service.companions().find(is_newer).map(|companion| Cause::DependencyReplaced { service: companion.to_owned() })
    }

    /// A container that is what the manifest asks for: it only has to run.
    fn current(&mut self, service: &'a Service, number: u32, container: &Container, image: &ImageOutlook<'_>) {
        let final_name = self.situation.project.container_name(service, number);
        if container.name != final_name && container.replaces.is_some() {
            let operation =
                Operation::Rename { service: service.name.clone(), number, container: container.id.clone() };
            self.push(operation, Cause::Unfinished, Vec::new());
            return;
        }
        match container.state {
            ContainerState::Running => self.running(service, number, container),
            ContainerState::Created => self.start(service, number, container, Cause::NotRunning, image),
            ContainerState::Exited(code) => self.exited(service, number, container, code, image),
            ContainerState::Paused | ContainerState::Restarting | ContainerState::Removing | ContainerState::Dead => {}
        }
    }

    /// Whether a container has exited and nothing starts it again.
    fn is_over(&self, service: &Service, container: &Container) -> bool {
        let facts = self.situation.facts;
        let ContainerState::Exited(code) = container.state else { return false };
        !facts.pending.contains(&container.id)
            && !facts.restarts.contains(&container.id)
            && !facts.comes_back(service, container.number, code)
    }

    fn running(&mut self, service: &'a Service, number: u32, container: &Container) {
        let facts = self.situation.facts;
        let (cause, what) = if facts.restarts.contains(&container.id) {
            (Cause::SourcesChanged, Restarted::Program)
        } else if let Some(service) = self.replaced_dependency(service, container) {
            (Cause::DependencyReplaced { service }, Restarted::Container)
        } else {
            return;
        };
        let operation = restart_operation(service, number, &container.id, what);
        let mut holds = self.start_holds(service);
        holds.extend(self.restart_turn_holds(service, number));
        self.push(operation, cause, holds);
    }

    fn exited(
        &mut self,
        service: &'a Service,
        number: u32,
        container: &Container,
        code: i64,
        image: &ImageOutlook<'_>,
    ) {
        let facts = self.situation.facts;
        if image.hold.is_some() && facts.fallbacks.contains(&container.id) {
            // It ran, and serves again until the image of the one after it is there.
            let holds = self.files_hold(service).into_iter().collect();
            self.push(start_operation(service, number, container), Cause::NotRunning, holds);
        } else if facts.pending.contains(&container.id) || facts.restarts.contains(&container.id) {
            self.start(service, number, container, Cause::NotRunning, image);
        } else if facts.comes_back(service, number, code) {
            let mut holds = self.start_holds(service);
            holds.extend(self.files_hold(service));
            if facts.back_off.contains(&(service.name.clone(), number)) {
                holds.push(Hold::BackOff);
            }
            self.push(start_operation(service, number, container), Cause::Exited { code }, holds);
        }
    }

    fn start(
        &mut self,
        service: &'a Service,
        number: u32,
        container: &Container,
        cause: Cause,
        image: &ImageOutlook<'_>,
    ) {
        let mut holds = self.start_holds(service);
        if self.situation.facts.fallbacks.contains(&container.id) {
            // What ran without a dependency that failed, and stopped for nothing, runs without it again.
            holds.retain(|hold| !hold.is_failure());
        }
        holds.extend(self.files_hold(service));
        holds.extend(image.hold.clone());
        self.push(start_operation(service, number, container), cause, holds);
    }

    /// Makes a container and, once it is made, starts it: the second entry is held, but shows what it will wait for.
    pub(super) fn create(
        &mut self,
        service: &'a Service,
        number: u32,
        replaces: Option<&Container>,
        cause: Cause,
        image: &ImageOutlook<'_>,
    ) {
        let mut holds = self.network_and_volume_holds(service);
        holds.extend(self.provision_holds(service));
        holds.extend(image.hold.clone());
        // Where all have to leave a network, none of them waits until another one serves.
        if replaces.is_some_and(|old| self.network_cause(old).is_none()) {
            holds.extend(self.turn_holds(service, number));
        }
        let name = service.name.clone();
        let operation = Operation::Create { service: name, number, replaces: replaces.map(|old| old.id.clone()) };
        self.push(operation, cause.clone(), holds);
        let mut holds = self.start_holds(service);
        holds.push(Hold::Container);
        let (name, container) = (service.name.clone(), String::new());
        let then = match replaces {
            Some(old) if !starts_first(self.situation, service, old) && self.network_cause(old).is_none() => {
                Operation::Exchange { service: name, number, old: old.id.clone(), new: container }
            }
            _ => Operation::Start { service: name, number, container },
        };
        self.push(then, cause, holds);
    }

    pub(super) fn remove(&mut self, service: &Service, number: u32, container: &Container, cause: Cause) {
        let name = service.name.clone();
        let operation = Operation::Remove { service: name, number, container: container.id.clone(), volumes: true };
        self.push(operation, cause, Vec::new());
    }

    fn sync(&mut self, service: &'a Service, replicas: &BTreeMap<u32, Replica<'_>>, image: &ImageOutlook<'_>) {
        let Some(pending) = self.situation.facts.syncs.get(&service.name) else { return };
        // Those that do not run are started with the files.
        let takes_files = |container: &&Container| {
            matches!(container.state, ContainerState::Running | ContainerState::Created | ContainerState::Exited(_))
        };
        let all = replicas.values().flat_map(|replica| [Some(replica.serving()), replica.replacement]).flatten();
        let mut containers: Vec<_> = all.filter(takes_files).map(|container| container.id.clone()).collect();
        containers.sort();
        containers.dedup();
        if containers.is_empty() {
            return;
        }
        let holds = image.hold.clone().into_iter().collect();
        let size = pending.files.copied.len() + pending.files.deleted.len();
        let keep = match pending.restart || !pending.compare && size <= MOST_KEPT {
            false => Keep::Nothing,
            true if containers.iter().any(|id| self.situation.facts.unproven_syncs.contains(id)) => Keep::More,
            true => Keep::Anew,
        };
        let operation = Operation::Sync {
            service: service.name.clone(),
            containers,
            files: pending.files.clone(),
            exec: pending.exec.clone(),
            keep,
            compare: pending.compare,
        };
        self.push(operation, Cause::SourcesChanged, holds);
    }

    /// The containers of services that a saved manifest has taken out.
    fn dropped(&mut self) {
        let Situation { observed, facts, .. } = self.situation;
        let is_dropped = |container: &&Container| facts.dropped.contains(&container.service) && !container.one_off;
        self.remove_all(observed.containers.values().filter(is_dropped));
    }

    fn orphans(&mut self) {
        let facts = self.situation.facts;
        self.remove_all(orphans(self.situation).filter(|container| !facts.dropped.contains(&container.service)));
    }

    fn remove_all<'c>(&mut self, containers: impl Iterator<Item = &'c Container>) {
        for container in containers {
            let operation = Operation::Remove {
                service: container.service.clone(),
                number: container.number,
                container: container.id.clone(),
                volumes: false,
            };
            self.push(operation, Cause::Orphan, Vec::new());
        }
    }

    /// Containers on their way out that have a port which the service is to have.
    fn ports_in_use<'s>(&self, service: &'s Service) -> impl Iterator<Item = Hold> + use<'a, 's> {
        let Situation { observed, facts, .. } = self.situation;
        let wanted = |number: u16| service.ports.iter().any(|port| port.published == Published::Port(number));
        let dropped = observed.containers.values().filter(|container| facts.dropped.contains(&container.service));
        dropped
            .filter(move |container| container.ports.iter().any(|port| wanted(port.host_port)))
            .map(|container| Hold::Order { subject: format!("`{}` to be removed", container.name) })
    }

    /// The conditions of a service's dependencies that do not hold.
    pub(super) fn start_holds(&self, service: &Service) -> Vec<Hold> {
        let dependencies = service.depends_on.iter().filter_map(|(name, dependency)| {
            let standing = self.dependency_standing(name, dependency.condition);
            match standing {
                Standing::Met => None,
                Standing::Waiting => Some(Hold::Dependency { service: name.clone(), condition: dependency.condition }),
                Standing::Failed(_) if !dependency.required => None,
                Standing::Failed(reason) => Some(Hold::DependencyFailed { service: name.clone(), reason }),
            }
        });
        dependencies.chain(self.ports_in_use(service)).collect()
    }

    fn dependency_standing(&self, name: &str, condition: Condition) -> Standing {
        let Some(service) = self.situation.project.services.get(name) else { return Standing::Met };
        let is_provided = service.provider.is_some();
        if !self.services.contains(name) || service.replicas == 0 && !is_provided {
            return Standing::Met;
        }
        match self.outlook.get(name) {
            Some(Outlook { failed: Some(reason), .. }) => Standing::Failed(reason.clone()),
            Some(Outlook { unsettled: true, .. }) => Standing::Waiting,
            _ if is_provided => Standing::Met,
            _ => standing(self.situation, service, condition),
        }
    }

    /// What a container of the service is to be told about and is not there yet.
    pub(super) fn provision_holds(&self, service: &Service) -> Vec<Hold> {
        let Situation { project, facts, .. } = self.situation;
        let is_provider = |name: &String| project.services.get(name).is_some_and(|it| it.provider.is_some());
        let providers = service.depends_on.iter().filter(|(name, _)| is_provider(name)).filter_map(|(name, it)| {
            match self.dependency_standing(name, Condition::Started) {
                Standing::Met => None,
                Standing::Waiting => Some(Hold::Dependency { service: name.clone(), condition: Condition::Started }),
                Standing::Failed(_) if !it.required => None,
                Standing::Failed(reason) => Some(Hold::DependencyFailed { service: name.clone(), reason }),
            }
        });
        let awaited = service.models.keys().filter(|key| !facts.provided.models.contains_key(*key));
        let models = awaited.map(|key| match facts.failures.get(&Subject::Model(key.clone())) {
            Some(reason) => Hold::Failed { reason: reason.clone() },
            None => Hold::Model { key: key.clone() },
        });
        providers.chain(models).collect()
    }

    fn network_and_volume_holds(&self, service: &Service) -> Vec<Hold> {
        let Situation { project, observed, .. } = self.situation;
        let networks = network_keys(service)
            .filter(|key| {
                let is_there = |it: &Network| observed.networks.contains_key(&it.name);
                self.networks.anew.contains(key) || project.networks.get(*key).is_some_and(|it| !is_there(it))
            })
            .map(|key| self.hold_of_made(&Subject::Network(key.clone()), Hold::Network { key: key.clone() }));
        let volumes = volume_keys(service)
            .filter(|key| project.volumes.get(*key).is_some_and(|it| !observed.volumes.contains_key(&it.name)))
            .map(|key| self.hold_of_made(&Subject::Volume(key.clone()), Hold::Volume { key: key.clone() }));
        let companions = service
            .companions()
            .filter(|name| replicas_of(observed, name).is_empty())
            .map(|name| Hold::Order { subject: format!("`{name}` to be created") });
        networks.chain(volumes).chain(companions).collect()
    }

    /// What keeps back those that need something that is to be made first, which may have turned out to be impossible.
    fn hold_of_made(&self, subject: &Subject, hold: Hold) -> Hold {
        let making = self.entries.iter().find(|entry| entry.operation.target() == *subject);
        making.and_then(|entry| self.failure_of(entry)).map_or(hold, |reason| Hold::Failed { reason })
    }

    /// Why an entry cannot be done, if it cannot.
    fn failure_of(&self, entry: &Entry) -> Option<String> {
        let failure = self.situation.facts.failures.get(&entry.operation.target()).cloned();
        failure.or_else(|| entry.holds.iter().find_map(Hold::failure))
    }

    /// The dependency with `restart: true` that has a container made after this one was started.
    fn replaced_dependency(&self, service: &Service, container: &Container) -> Option<String> {
        if container.started_at == 0 {
            return None;
        }
        let newer = |name: &String| {
            replicas_of(self.situation.observed, name)
                .values()
                .any(|replica| replica.current.created_at > container.started_at)
        };
        let restarting = service.depends_on.iter().filter(|(_, dependency)| dependency.restart);
        restarting.map(|(name, _)| name).find(|name| self.services.contains(*name) && newer(name)).cloned()
    }

    /// Notes what the entries since `first` mean for those that depend on the service.
    fn look_out(&mut self, service: &'a Service, first: usize) {
        let own = &self.entries[first..];
        let runs = replicas_of(self.situation.observed, &service.name)
            .values()
            .filter(|replica| replica.serving().state.is_running())
            .count();
        let enough = runs >= service.replicas as usize;
        let failed = own.iter().find_map(|entry| self.failure_of(entry));
        let outlook = match failed {
            Some(reason) if !enough => Outlook { unsettled: true, failed: Some(format!("cannot start: {reason}")) },
            // What runs goes on as it was; those that wait for it get that.
            Some(_) => Outlook::default(),
            None => Outlook {
                unsettled: own.iter().any(|entry| !matches!(entry.operation, Operation::Sync { .. }))
                    || self.is_busy(&service.name),
                failed: None,
            },
        };
        self.outlook.insert(&service.name, outlook);
    }

    fn is_busy(&self, service: &str) -> bool {
        self.situation
            .facts
            .busy
            .iter()
            .any(|subject| matches!(subject, Subject::Image(name) | Subject::Replica(name, _) if name == service))
    }
}

/// The project's containers whose service is not in the manifest, not even in a profile that is off.
pub(crate) fn orphans(situation: Situation<'_>) -> impl Iterator<Item = &Container> {
    let Situation { project, observed, .. } = situation;
    observed.containers.values().filter(move |container| {
        let name = &container.service;
        !container.one_off && !project.services.contains_key(name) && !project.disabled.contains_key(name)
    })
}

fn restart_operation(service: &Service, number: u32, container: &str, what: Restarted) -> Operation {
    Operation::Restart { service: service.name.clone(), number, container: container.to_owned(), what }
}

fn start_operation(service: &Service, number: u32, container: &Container) -> Operation {
    Operation::Start { service: service.name.clone(), number, container: container.id.clone() }
}
