//! What must hold, whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::chance::redefine;
use super::{World, is_synced};
use crate::change::PathState;
use crate::plan::observed::{Container, ContainerState, Health};
use crate::plan::operation::{Hold, Operation};
use crate::plan::spec::label;
use crate::plan::{Entry, replicas_of};
use crate::project::{Condition, Network, Networking, Project, Service, network_hash};
use crate::reconcile::State;
use crate::reconcile::event::Event;

impl World {
    /// What must hold whenever an operation is begun.
    pub(super) fn check_begin(&self, operation: &Operation) {
        let target = operation.target();
        if let (Some(concerned), Some(service)) = (&self.concerned, operation.service())
            && !concerned.contains(service)
        {
            self.fail(&format!("{operation}, which the save does not concern"));
        }
        if self.operations.values().any(|(other, _)| other.target() == target) {
            self.fail(&format!("two operations on the same thing at once: {operation}"));
        }
        match operation {
            // What ran before comes back whatever it depends on.
            Operation::Start { container, .. } if self.state.facts.fallbacks.contains(container) => {}
            Operation::Start { service, .. } | Operation::Exchange { service, .. } => self.check_conditions(service),
            Operation::Create { service, .. } => {
                let image = self.project.image_of(&self.project.services[service]);
                if !self.truth.images.contains_key(&image) {
                    self.fail(&format!("a container is made before its image is there: {operation}"));
                }
            }
            Operation::Stop { service, .. } => {
                let dependents =
                    self.state.project.services.values().filter(|other| other.depends_on.contains_key(service));
                for dependent in
                    dependents.filter(|it| self.state.is_ending() || self.leave_together(service, &it.name))
                {
                    let view = replicas_of(self.state.observed(), &dependent.name);
                    if view.values().any(|replica| replica.serving().state.is_running()) {
                        self.fail(&format!("{operation} while {} still runs", dependent.name));
                    }
                }
            }
            Operation::Promote { service, old, new, .. } => self.check_promotion(service, old, new),
            Operation::Build { service, generation } if *generation > 0 => self.check_twin(service),
            _ => {}
        }
    }

    /// Nothing that worked is removed for something that has not shown that it does.
    fn check_promotion(&self, service: &str, old: &str, new: &str) {
        let Some(container) = self.state.observed().containers.get(new) else {
            self.fail(&format!("{service}: {old} is to go for {new}, which is gone"));
        };
        let is_healthy = container.health == Health::Healthy || self.state.facts.healthy.contains(new);
        let never_ran = self.truth.containers.get(old).is_some_and(|it| it.started_at == 0);
        let over = matches!(container.state, ContainerState::Exited(0)) || self.is_cut_off(old) || never_ran;
        if !over && !container.state.is_running() || container.health != Health::None && !is_healthy {
            self.fail(&format!("{service}: {old} is to go for {new}, which is {:?}", container.state));
        }
    }

    /// Whether containers of two services run that have to leave networks which are to be made anew.
    fn leave_together(&self, one: &str, other: &str) -> bool {
        let plan = self.state.plan();
        let leaves = |service: &str| {
            let stops =
                |entry: &Entry| matches!(&entry.operation, Operation::Stop { service: of, .. } if of == service);
            plan.entries.iter().any(stops)
        };
        leaves(one) && leaves(other)
    }

    fn is_as_defined(&self, network: &Network) -> bool {
        let made = self.truth.networks.get(&network.name);
        made.is_none_or(|made| made.labels[label::DEFINITION] == network_hash(network))
    }

    /// Every network that is in use is as the manifest defines it, or the plan says why not.
    pub(super) fn check_networks(&self) {
        let plan = self.state.plan();
        let is_down = |it: &Container| matches!(it.state, ContainerState::Exited(code) if code != 0);
        let has_reason = self.has_stranger || self.truth.containers.values().any(is_down);
        for network in self.state.project.networks.values().filter(|it| !self.is_as_defined(it)) {
            let stays = |entry: &Entry| {
                let is_its = matches!(&entry.operation, Operation::RemoveNetwork { name } if *name == network.name);
                is_its && entry.holds.iter().any(Hold::is_failure)
            };
            let is_used = self.truth.containers.values().any(|it| it.networks.contains(&network.name));
            if is_used && !(has_reason && plan.entries.iter().any(stays)) {
                self.fail(&format!("{} is not as it is defined", network.name));
            }
        }
    }

    /// One more edit of one network, when all is quiet, touches nothing but what is on it, and that runs again.
    pub(super) fn a_last_network(&mut self) {
        let key = ["default", "back"][self.dice.below(2)];
        let mut project = Project::clone(&self.state.project);
        redefine(&mut project, key, &mut self.dice);
        let is_on = |it: &&Service| matches!(&it.networking, Networking::Networks(places) if places.contains_key(key));
        let on_it = project.services.values().filter(is_on).map(|it| it.name.clone());
        // What waits for one of them that failed goes on with it.
        let plan = self.state.plan();
        let waiting = plan.entries.iter().filter_map(|it| it.operation.service().map(str::to_owned));
        self.concerned = Some(self.with_followers(waiting.chain(on_it).collect()));
        self.written = Some(Arc::new(project));
        self.note_good();
        let running = std::mem::take(&mut self.good);
        self.save_manifest();
        self.run_until_rest();
        self.good = running;
        self.check_good();
        self.check_networks();
        self.concerned = None;
    }

    /// What is built from the same is built once.
    fn check_twin(&self, service: &str) {
        // One that watches less of it may still be built from what was there before.
        let Service { build, watch, .. } = &self.state.project.services[service];
        let is_twin = |operation: &Operation| match operation {
            Operation::Build { service: other, .. } => {
                self.state.project.services.get(other).is_some_and(|it| it.build == *build && it.watch == *watch)
            }
            _ => false,
        };
        if self.operations.values().any(|(operation, cancelled)| !cancelled && is_twin(operation)) {
            self.fail(&format!("{service} is built twice"));
        }
    }

    fn check_conditions(&self, service: &str) {
        for (name, dependency) in &self.state.project.services[service].depends_on {
            for replica in replicas_of(self.state.observed(), name).values() {
                let current = replica.serving();
                let holds = match dependency.condition {
                    Condition::Started => current.state.is_running() || current.state.has_exited(),
                    Condition::Healthy => {
                        current.state.is_running()
                            && (current.health == Health::Healthy || self.state.facts.healthy.contains(&current.id))
                    }
                    Condition::Completed => current.state == ContainerState::Exited(0),
                };
                if !holds {
                    self.fail(&format!("{service} starts although {name} is {:?}", current.state));
                }
            }
        }
    }

    /// Nothing is remembered of a container that is gone: a run goes on for days.
    pub(super) fn check_memory(&self) {
        let State { facts, observed, .. } = &self.state;
        let sets = [&facts.pending, &facts.fallbacks, &facts.restarts, &facts.overlaid, &facts.healthy, &facts.proven];
        let by_id = self.state.started.keys().chain(self.state.trials.keys()).chain(facts.rejected.keys());
        let by_id = by_id
            .chain(&self.state.forgiven)
            .chain(self.state.followed.keys())
            .chain(facts.restores.keys())
            .chain(&facts.unproven_syncs);
        let gone = |id: &&String| !observed.containers.contains_key(*id);
        if let Some(id) = sets.into_iter().flatten().chain(by_id).find(gone) {
            self.fail(&format!("container {id} is gone and still remembered"));
        }
    }

    /// What runs now is not to be lost by what is saved next. A container that is on its way out, because the one after
    /// it has proved itself or because its network is made anew, runs no more.
    pub(super) fn note_good(&mut self) {
        let leaves = |id: &str| {
            let mut under_way = self.operations.values().map(|(operation, _)| operation);
            under_way.any(|operation| matches!(operation, Operation::Promote { old: it, .. } | Operation::Stop { container: it, .. } if it == id))
        };
        let running = self.asked_for.iter().flat_map(|name| {
            replicas_of(&self.truth, name)
                .into_iter()
                .filter(|(_, replica)| replica.serving().state.is_running() && !leaves(&replica.serving().id))
                .map(|(number, _)| (name.clone(), number))
                .collect::<Vec<_>>()
        });
        self.good = running.collect();
    }

    /// Once everything has come to rest.
    pub(super) fn check_good(&self) {
        for (service, number) in &self.good {
            let wanted = self.state.project.services.get(service).map_or(0, |service| service.replicas);
            let replicas = replicas_of(&self.truth, service);
            let runs = replicas.get(number).is_some_and(|replica| replica.serving().state.is_running());
            if *number <= wanted && !runs {
                self.fail(&format!("{service}-{number} ran before a save and does not run after it"));
            }
        }
        let waits = |hold: &Hold| matches!(hold, Hold::Proof | Hold::Inputs | Hold::Busy);
        if let Some(entry) =
            self.state.plan().entries.iter().find(|entry| !entry.holds.is_empty() && entry.holds.iter().all(waits))
        {
            self.fail(&format!("nobody will do what is waited for: {entry}"));
        }
    }

    /// Every container that runs has what was saved last, in its image and in the files that were copied into it.
    pub(super) fn check_content(&self) {
        let plan = self.state.plan();
        let cannot = |name: &str| {
            let mut own = plan.entries.iter().filter(|entry| entry.operation.service() == Some(name));
            own.any(|entry| entry.is_stuck(&plan))
        };
        for (name, service) in self.state.project.services.iter().filter(|(name, _)| !cannot(name)) {
            let main = format!("{}/main.js", self.folder(name));
            let saved = [(main.into(), PathState::Present)].into();
            let rules = self.state.rules.as_ref().expect("files are watched");
            let is_built = service.build.is_some() && rules.affected(&saved).contains_key(name);
            let content = self.tree.get(name).copied().unwrap_or_default();
            for (number, replica) in replicas_of(&self.truth, name) {
                let container = replica.serving();
                let sources = |image: &str| image.rsplit_once('.').map(|(sources, _)| sources.to_owned());
                if is_built && sources(&container.image_id) != sources(&self.image_now(name)) {
                    self.fail(&format!("{name}-{number} runs {} and not {}", container.image_id, self.image_now(name)));
                }
                let runs = container.state.is_running();
                let has = self.files.get(&container.id).copied().unwrap_or_default();
                if runs && is_synced(service) && has != content {
                    self.fail(&format!("{name}-{number} has {has:?} and not {content:?}"));
                }
            }
        }
    }

    /// One more save, of one service, touches nothing but what it concerns.
    pub(super) fn a_last_save(&mut self) {
        let names: Vec<String> = self.state.project.services.keys().cloned().collect();
        let name = names[usize::try_from(self.dice.roll(names.len() as u64)).expect("a small number")].clone();
        let folder = self.folder(&name);
        *self.sources.entry(folder.clone()).or_default() += 1;
        let paths = BTreeMap::from([(format!("{folder}/main.js").into(), PathState::Present)]);
        let rules = self.state.rules.clone().expect("files are watched");
        self.concerned = Some(self.with_followers(rules.affected(&paths).into_keys().collect()));
        self.feed(Event::Changed(paths));
        self.run_until_rest();
        self.concerned = None;
    }

    /// These services, those on a network that waits to be made anew, and those that want to be restarted with one of them.
    fn with_followers(&self, mut concerned: BTreeSet<String>) -> BTreeSet<String> {
        let stay: Vec<&Network> = self.state.project.networks.values().filter(|it| !self.is_as_defined(it)).collect();
        let waits = |it: &&Container| stay.iter().any(|network| it.networks.contains(&network.name));
        concerned.extend(self.truth.containers.values().filter(waits).map(|it| it.service.clone()));
        loop {
            let follows = |service: &&Service| {
                service.depends_on.iter().any(|(name, needed)| needed.restart && concerned.contains(name))
            };
            let followers = self.state.project.services.values().filter(follows).map(|it| it.name.clone());
            let more: BTreeSet<String> = followers.filter(|name| !concerned.contains(name)).collect();
            if more.is_empty() {
                return concerned;
            }
            concerned.extend(more);
        }
    }

    /// A run that was interrupted is over and has left nothing running.
    pub(super) fn check_end(&self) {
        if self.ended != Some(130) && self.ended != Some(0) {
            self.fail("the run does not end when it is interrupted");
        }
        if let Some(container) = self.truth.containers.values().find(|it| it.state.is_running()) {
            self.fail(&format!("{} still runs after the end", container.id));
        }
    }
}
