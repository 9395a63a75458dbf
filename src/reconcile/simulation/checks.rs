//! What must hold, whatever happens.

use super::World;
use crate::plan::observed::{ContainerState, Health};
use crate::plan::operation::{Hold, Operation};
use crate::plan::replicas_of;
use crate::project::Condition;
use crate::reconcile::State;

impl World {
    /// What must hold whenever an operation is begun.
    pub(super) fn check_begin(&self, operation: &Operation) {
        let target = operation.target();
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
                for dependent in dependents {
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
        let over = matches!(container.state, ContainerState::Exited(0));
        if !over && !container.state.is_running() || container.health != Health::None && !is_healthy {
            self.fail(&format!("{service}: {old} is to go for {new}, which is {:?}", container.state));
        }
    }

    /// What is built from the same is built once.
    fn check_twin(&self, service: &str) {
        let build = &self.state.project.services[service].build;
        let is_twin = |operation: &Operation| match operation {
            Operation::Build { service: other, .. } => {
                self.state.project.services.get(other).is_some_and(|it| it.build == *build)
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
        let sets = [&facts.pending, &facts.fallbacks, &facts.restarts, &facts.healthy, &facts.proven];
        let by_id = self.state.started.keys().chain(self.state.trials.keys()).chain(facts.rejected.keys());
        let by_id = by_id.chain(self.state.followed.keys()).chain(facts.restores.keys()).chain(&facts.unproven_syncs);
        let gone = |id: &&String| !observed.containers.contains_key(*id);
        if let Some(id) = sets.into_iter().flatten().chain(by_id).find(gone) {
            self.fail(&format!("container {id} is gone and still remembered"));
        }
    }

    /// What runs now is not to be lost by what is saved next. A container that is on its way out, because the one after
    /// it has proved itself, runs no more.
    pub(super) fn note_good(&mut self) {
        let leaves = |id: &str| {
            let mut under_way = self.operations.values().map(|(operation, _)| operation);
            under_way.any(|operation| matches!(operation, Operation::Promote { old, .. } if old == id))
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
}
