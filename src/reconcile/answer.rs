//! What the end of an operation changes.

use std::sync::Arc;
use std::time::Duration;

use super::event::{Action, Answer, Failure, Outcome, Ticket};
use super::notice::Notice;
use super::{InFlight, Listing, State};
use crate::plan::observed::{Container, ContainerState, Image, ObservedNetwork, ObservedVolume};
use crate::plan::operation::Operation;
use crate::plan::{Facts, replicas_of, spec};
use crate::project::Build;

/// A container that had exited before its start was answered, with its code.
fn exit_at_once(operation: &Operation, outcome: &Outcome) -> Option<(Container, i64)> {
    match outcome {
        Outcome::Container(container) if operation.starts() => match container.state {
            ContainerState::Exited(code) => Some((Container::clone(container), code)),
            _ => None,
        },
        _ => None,
    }
}

impl State {
    pub(super) fn take_answer(&mut self, ticket: Ticket, answer: Answer, now: Duration, actions: &mut Vec<Action>) {
        let Some(flight) = self.in_flight.remove(&ticket) else { return };
        let target = flight.operation.target();
        self.facts.busy.remove(&target);
        self.facts.starting.remove(&target);
        self.facts.stopping.remove(&target);
        if let Listing::Awaited { outdated } = &mut self.listing {
            *outdated = true;
        }
        match answer {
            Answer::Done(outcome) => self.take_success(&flight, outcome, now, actions),
            Answer::Cancelled => self.take_cancellation(flight, actions),
            Answer::Failed(_) if flight.cancelled => self.take_cancellation(flight, actions),
            Answer::Failed(failure) => self.take_failure(flight, failure, now, actions),
        }
    }

    fn take_success(&mut self, flight: &InFlight, outcome: Outcome, now: Duration, actions: &mut Vec<Action>) {
        let operation = &flight.operation;
        let took = now.saturating_sub(flight.began);
        let unchanged = match (operation, &outcome) {
            (Operation::Build { service, .. }, Outcome::Image(image)) => self.is_same_image(service, image),
            _ => false,
        };
        let exit = exit_at_once(operation, &outcome);
        self.apply(operation, outcome, now);
        if let Some(pending) = &flight.sync
            && pending.restart
            && let Operation::Sync { containers, .. } = operation
        {
            self.facts.restarts.extend(containers.iter().cloned());
        }
        let notice = match operation {
            Operation::Build { service, .. } if unchanged => Notice::ImageUnchanged { service: service.clone(), took },
            _ => Notice::Done { operation: operation.clone(), took },
        };
        actions.push(Action::Tell(notice));
        if let Some((container, code)) = exit
            && !self.is_ending()
        {
            self.take_exit(&container, code, now, actions);
        }
    }

    /// Whether a build gave what the service's containers run already.
    fn is_same_image(&self, service: &str, image: &Image) -> bool {
        let replicas = replicas_of(&self.observed, service);
        !replicas.is_empty()
            && replicas.values().all(|replica| {
                self.observed.images.get(&replica.current.image_id).is_some_and(|it| it.identity == image.identity)
            })
    }

    /// Brings what is observed up to date with what was just done.
    fn apply(&mut self, operation: &Operation, outcome: Outcome, now: Duration) {
        match (operation, outcome) {
            (Operation::CreateNetwork { key }, _) => {
                if let Some(network) = self.project.networks.get(key) {
                    let labels = spec::network(&self.project, key, network).labels;
                    let made = ObservedNetwork { id: String::new(), labels };
                    self.observed.networks.insert(network.name.clone(), made);
                }
            }
            (Operation::CreateVolume { key }, _) => {
                if let Some(volume) = self.project.volumes.get(key) {
                    let labels = spec::volume(&self.project, key, volume).labels;
                    self.observed.volumes.insert(volume.name.clone(), ObservedVolume { labels });
                }
            }
            (Operation::RemoveNetwork { name }, _) => drop(self.observed.networks.remove(name)),
            (Operation::RemoveVolume { name }, _) => drop(self.observed.volumes.remove(name)),
            (Operation::RemoveImage { image }, _) => drop(self.observed.images.remove(image)),
            (Operation::Provide { service }, Outcome::Provided(variables)) => {
                self.facts.provided.services.insert(service.clone(), variables);
                self.spread_what_is_provided();
            }
            (Operation::PrepareModel { key }, Outcome::Model(address)) => {
                self.facts.provided.models.insert(key.clone(), address);
                self.spread_what_is_provided();
            }
            (Operation::Suspend { service } | Operation::Withdraw { service }, _) => {
                self.facts.withdrawn.insert(service.clone());
            }
            (Operation::Pull { service }, Outcome::Image(image)) => {
                self.facts.pulled.insert(service.clone());
                self.insert_image(service, image);
            }
            (Operation::Build { service, generation }, Outcome::Image(image)) => {
                self.facts.built.insert(service.clone(), *generation);
                self.build_what_is_made_with(service, &image);
                self.insert_image(service, image);
            }
            (Operation::Exchange { old, .. }, Outcome::Container(container)) => {
                self.bury(old);
                self.insert_started(*container, now);
            }
            (Operation::Start { .. } | Operation::Restart { .. }, Outcome::Container(container)) => {
                self.insert_started(*container, now);
            }
            (_, Outcome::Container(container)) => {
                self.observed.containers.insert(container.id.clone(), *container);
            }
            (Operation::Stop { container, .. } | Operation::Remove { container, .. }, Outcome::Nothing) => {
                self.bury(container);
            }
            _ => {}
        }
    }

    /// What has been provided is part of the configuration of those who use it.
    pub(super) fn spread_what_is_provided(&mut self) {
        if !self.facts.provided.is_empty() {
            self.project = Arc::new(self.declared.with_provided(&self.facts.provided));
            self.facts.hashes = Facts::new(&self.project).hashes;
        }
    }

    /// An image that is another one now makes others of those that are built with it.
    fn build_what_is_made_with(&mut self, base: &str, image: &Image) {
        let Some(of) = self.project.any_service(base) else { return };
        if self.observed.images.get(&self.project.image_of(of)).is_some_and(|before| before.identity == image.identity)
        {
            return;
        }
        for (name, service) in self.project.services.iter().chain(&self.project.disabled) {
            if service.build.iter().flat_map(Build::bases).any(|name| name == base) {
                *self.facts.generations.entry(name.clone()).or_default() += 1;
            }
        }
    }

    fn insert_image(&mut self, service: &str, image: Image) {
        if let Some(service) = self.project.any_service(service) {
            self.observed.images.insert(self.project.image_of(service), image.clone());
            self.observed.images.insert(image.id.clone(), image);
        }
    }

    fn insert_started(&mut self, container: Container, now: Duration) {
        let id = container.id.clone();
        self.facts.pending.remove(&id);
        self.facts.restarts.remove(&id);
        self.facts.healthy.remove(&id);
        self.started.insert(id.clone(), now);
        self.observed.containers.insert(id, container);
    }

    fn bury(&mut self, id: &str) {
        self.forget(id);
        self.gone.insert(id.to_owned());
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.observed.containers.remove(id);
        self.facts.pending.remove(id);
        self.facts.restarts.remove(id);
        self.facts.healthy.remove(id);
        self.started.remove(id);
        self.followed.remove(id);
    }

    fn take_cancellation(&mut self, flight: InFlight, actions: &mut Vec<Action>) {
        // Files that were not copied still have to be, together with those that have changed since.
        if let (Operation::Sync { service, .. }, Some(pending)) = (&flight.operation, flight.sync) {
            self.put_back(service, pending);
        }
        actions.push(Action::Tell(Notice::Cancelled { operation: flight.operation }));
    }

    fn take_failure(&mut self, flight: InFlight, failure: Failure, now: Duration, actions: &mut Vec<Action>) {
        if failure.unreachable {
            if let (Operation::Sync { service, .. }, Some(pending)) = (&flight.operation, flight.sync) {
                self.put_back(service, pending);
            }
            self.lose_engine(failure.reason, now, actions);
            return;
        }
        // How far it came is for the engine to say.
        self.ask_for_listing(actions);
        let target = flight.operation.target();
        let still_running = flight.operation.service().is_some_and(|service| {
            replicas_of(&self.observed, service).values().any(|replica| replica.current.state.is_running())
        });
        // A sync is not tried again by itself: its files are gone from the plan, and the next save brings newer ones.
        if !matches!(flight.operation, Operation::Sync { .. }) {
            self.facts.failures.insert(target, failure.reason.clone());
        }
        if let Operation::Restart { container, .. } = &flight.operation {
            self.facts.restarts.remove(container);
        }
        actions.push(Action::Tell(Notice::Failed {
            operation: flight.operation,
            reason: failure.reason,
            output: failure.output,
            still_running,
        }));
    }
}
