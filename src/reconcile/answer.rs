//! What the end of an operation changes.

use std::sync::Arc;
use std::time::Duration;

use super::event::{Action, Answer, Failure, Outcome, Parts, Ticket};
use super::notice::Notice;
use super::{InFlight, Listing, State};
use crate::plan::observed::{Container, ContainerId, ContainerState, Image, ObservedNetwork, ObservedVolume};
use crate::plan::operation::{Keep, Operation, Subject};
use crate::plan::{PendingSync, replicas_of, spec};
use crate::project::{Build, ConfigHashes};

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
    pub(super) fn take_answer(
        &mut self,
        ticket: Ticket,
        answer: Answer,
        parts: Parts,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Some(flight) = self.in_flight.remove(&ticket) else { return };
        let target = flight.operation.target();
        self.facts.busy.remove(&target);
        self.facts.starting.remove(&target);
        self.facts.stopping.remove(&target);
        if let Listing::Awaited { outdated } = &mut self.listing {
            *outdated = true;
        }
        match answer {
            Answer::Done(outcome) => self.take_success(&flight, outcome, parts, now, actions),
            Answer::Cancelled => self.take_cancellation(flight, actions),
            Answer::Failed(_) if flight.cancelled => self.take_cancellation(flight, actions),
            Answer::Failed(failure) => self.take_failure(flight, failure, now, actions),
        }
    }

    fn take_success(
        &mut self,
        flight: &InFlight,
        outcome: Outcome,
        parts: Parts,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let operation = &flight.operation;
        let took = now.saturating_sub(flight.began);
        let unchanged = match (operation, &outcome) {
            (Operation::Build { service, .. } | Operation::Tag { service, .. }, Outcome::Image(image)) => {
                self.is_same_image(service, image)
            }
            _ => false,
        };
        let exit = exit_at_once(operation, &outcome);
        self.note_done(flight, unchanged, took, parts);
        let cause = self.edit_of(operation.service());
        let notice = match operation {
            Operation::Build { service, .. } if unchanged => {
                Notice::ImageUnchanged { service: service.clone(), took, edit: cause }
            }
            _ => Notice::Done { operation: operation.clone(), took, edit: cause },
        };
        actions.push(Action::Tell(notice));
        self.apply(flight, outcome, now, actions);
        if let Some(pending) = &flight.sync
            && let Operation::Sync { containers, keep, .. } = operation
            && *keep != Keep::Nothing
        {
            // One that is gone meanwhile is restarted by nobody.
            let there = |id: &&ContainerId| self.observed.containers.contains_key(*id);
            let containers: Vec<ContainerId> = containers.iter().filter(there).cloned().collect();
            if pending.restart {
                self.note_synced(&containers, pending);
                self.facts.restarts.extend(containers);
            } else {
                self.try_while_running(containers, pending, now);
            }
        }
        if let Some((container, code)) = exit
            && !self.is_ending()
            && !self.is_on_trial(&container)
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
    fn apply(&mut self, flight: &InFlight, outcome: Outcome, now: Duration, actions: &mut Vec<Action>) {
        if flight.forgiven
            && matches!(flight.operation, Operation::CreateNetwork { .. } | Operation::CreateVolume { .. })
        {
            // It was made as the manifest had it then.
            self.ask_for_listing(actions);
        }
        match (&flight.operation, outcome) {
            (Operation::CreateNetwork { key }, _) => self.insert_network(key),
            (Operation::CreateVolume { key }, _) => {
                if let Some(volume) = self.project.volumes.get(key) {
                    let labels = spec::volume(&self.project, key, volume).labels;
                    self.observed.volumes.insert(volume.name.clone(), ObservedVolume { labels });
                }
            }
            (Operation::RemoveNetwork { name }, _) => {
                self.observed.networks.remove(name);
                self.retry_those_of_network(name);
            }
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
            (
                Operation::Build { service, generation } | Operation::Tag { service, generation, .. },
                Outcome::Image(image),
            ) => {
                self.facts.built.insert(service.clone(), *generation);
                self.facts.built_otherwise.remove(service);
                let copied = self.before_build.remove(service).and_then(|copied| self.not_built(service, copied));
                if let Some(copied) = copied {
                    self.keep_for_new_containers(service, copied);
                }
                self.build_what_is_made_with(service, &image);
                self.insert_image(service, image);
            }
            (Operation::Exchange { old, .. }, Outcome::Container(container)) => {
                self.facts.fallbacks.remove(old);
                self.note_stopped(old, container.started_at);
                self.insert_started(*container, now);
            }
            (Operation::Promote { old, .. }, Outcome::Container(container)) => {
                self.bury(old);
                self.forget_trial(&container.id);
                self.observed.containers.insert(container.id.clone(), *container);
            }
            (Operation::Revert { .. }, Outcome::Reverted { container, output }) => {
                self.take_reverted(flight, *container, output, now, actions);
            }
            (Operation::Restore { service, number, .. }, Outcome::Reverted { container, output }) => {
                self.take_restoration((service, *number), *container, output, now, actions);
            }
            (
                Operation::Start { container: id, .. } | Operation::Restart { container: id, .. },
                Outcome::Container(container),
            ) => {
                self.insert_started(*container, now);
                self.try_synced(id, now);
            }
            (Operation::Create { service, .. }, Outcome::Container(container)) => {
                self.sync_what_it_lacks(service);
                self.observed.containers.insert(container.id.clone(), *container);
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

    fn insert_network(&mut self, key: &str) {
        let Some(network) = self.project.networks.get(key) else { return };
        let labels = spec::network(&self.project, key, network).labels;
        // It is newer than the last start of every container; when exactly it was made, the next listing says.
        let last_start = self.observed.containers.values().map(|it| it.started_at).max();
        let created_at = last_start.map_or(0, |last| last + 1);
        let made = ObservedNetwork { id: String::new(), created_at, labels };
        self.observed.networks.insert(network.name.clone(), made);
    }

    /// A network that is made anew, or could not be, is a new try for what was on it and exited with an error.
    fn retry_those_of_network(&mut self, name: &str) {
        let scope = self.scope();
        let replicas = scope.iter().flat_map(|service| replicas_of(&self.observed, service).into_values());
        let serving = replicas.map(|replica| replica.serving()).filter(|it| it.networks.iter().any(|on| on == name));
        let failed = serving.filter(|it| matches!(it.state, ContainerState::Exited(code) if code != 0));
        self.facts.pending.extend(failed.map(|it| it.id.clone()));
    }

    /// A new container has what its image has, and neither what was copied since that was built nor what rules with
    /// `initial_sync` bring.
    fn sync_what_it_lacks(&mut self, service: &str) {
        let initial = self.initial.get(service).cloned().map(PendingSync::initial);
        for lacking in self.since_build.get(service).cloned().into_iter().chain(initial) {
            self.put_back(service, lacking);
        }
    }

    /// A container that made room for its replacement; what the engine says of it follows.
    fn note_stopped(&mut self, id: &str, at: u64) {
        if let Some(container) = self.observed.containers.get_mut(id)
            && container.state.is_running()
        {
            container.state = ContainerState::Exited(0);
            container.finished_at = at;
            self.facts.healthy.remove(id);
        }
    }

    /// A replacement is gone, and what it was to replace serves again.
    fn take_reverted(
        &mut self,
        flight: &InFlight,
        old: Container,
        output: Vec<String>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Operation::Revert { service, number, new, .. } = &flight.operation else { return };
        self.bury(new);
        let still_running = old.state.is_running();
        let was_running = self.observed.containers.get(&old.id).is_some_and(|it| it.state.is_running());
        if was_running {
            self.observed.containers.insert(old.id.clone(), old);
        } else {
            let id = old.id.clone();
            self.insert_started(old, now);
            self.try_synced(&id, now);
        }
        let Some(reason) = &flight.rejected else { return };
        self.tell_reverted((service, *number), reason, output, still_running, actions);
        // Of a service that was taken out meanwhile it keeps nobody from removing what is left.
        if !flight.forgiven && !self.is_ending() && !self.facts.dropped.contains(service) {
            let subject = Subject::Replica(service.to_owned(), *number);
            self.facts.failures.insert(subject, format!("the new version {reason}"));
        }
    }

    /// A container has the files back that it came up with.
    fn take_restoration(
        &mut self,
        (service, number): (&str, u32),
        container: Container,
        output: Vec<String>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let (id, still_running) = (container.id.clone(), container.state.is_running());
        self.insert_started(container, now);
        let reason = self.facts.restores.get(&id).cloned().unwrap_or_default();
        self.take_restored(service, &id);
        self.tell_reverted((service, number), &reason, output, still_running, actions);
    }

    fn tell_reverted(
        &mut self,
        (service, number): (&str, u32),
        reason: &str,
        output: Vec<String>,
        still_running: bool,
        actions: &mut Vec<Action>,
    ) {
        let edit = self.edit_of(Some(service));
        self.note_failure(Some(service), reason);
        let (service, reason) = (service.to_owned(), reason.to_owned());
        actions.push(Action::Tell(Notice::Reverted { service, number, reason, output, still_running, edit }));
    }

    /// What has been provided is part of the configuration of those who use it.
    pub(super) fn spread_what_is_provided(&mut self) {
        if !self.facts.provided.is_empty() {
            self.project = Arc::new(self.declared.with_provided(&self.facts.provided));
            self.facts.hashes = ConfigHashes::of(&self.project);
        }
    }

    /// An image that is another one now makes others of those that are built with it.
    fn build_what_is_made_with(&mut self, base: &str, image: &Image) {
        let Some(of) = self.project.any_service(base) else { return };
        if self.observed.images.get(&self.project.image_of(of)).is_some_and(|before| before.identity == image.identity)
        {
            return;
        }
        let services = self.project.services.iter().chain(&self.project.disabled);
        let made_with = services.filter(|(_, it)| it.build.iter().flat_map(Build::bases).any(|name| name == base));
        let made_with: Vec<String> = made_with.map(|(name, _)| name.clone()).collect();
        for name in &made_with {
            self.build_otherwise(name);
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
        self.facts.fallbacks.remove(&id);
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
        self.facts.fallbacks.remove(id);
        self.facts.restarts.remove(id);
        self.facts.overlaid.remove(id);
        self.facts.healthy.remove(id);
        self.started.remove(id);
        self.followed.remove(id);
        self.forget_trial(id);
    }

    fn take_cancellation(&mut self, flight: InFlight, actions: &mut Vec<Action>) {
        self.note_not_built(&flight.operation);
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
        let service = flight.operation.service().map(str::to_owned);
        let still_running = service.as_deref().is_some_and(|service| self.is_served(service));
        if self.is_rejection(&flight.operation, &failure.reason) {
            return;
        }
        self.note_not_built(&flight.operation);
        if let Operation::Restore { service, container, .. } = &flight.operation {
            self.take_restored(service, container);
        }
        match &flight.operation {
            Operation::Stop { container, .. } => {
                self.facts.pending.remove(container);
                self.facts.fallbacks.remove(container);
            }
            // What has stopped for it may need them.
            Operation::RemoveNetwork { name } => self.retry_those_of_network(name),
            _ => {}
        }
        match (flight.sync, &flight.operation) {
            // It is not tried again by itself; its files go with the next save's.
            (Some(pending), Operation::Sync { service, .. }) => {
                let mut unsynced = self.unsynced.remove(service).unwrap_or_default();
                unsynced.add_newer(pending);
                self.unsynced.insert(service.clone(), unsynced);
            }
            // What could not be started is no reason not to stop what runs in its place.
            (_, operation) if self.is_ending() && !operation.ends() => {}
            _ => drop(self.facts.failures.insert(target, failure.reason.clone())),
        }
        let reason = match &flight.operation {
            Operation::Build { .. } => format!("build failed: {}", failure.reason),
            _ => failure.reason.clone(),
        };
        self.note_failure(service.as_deref(), &reason);
        let edit = self.edit_of(service.as_deref());
        actions.push(Action::Tell(Notice::Failed {
            operation: flight.operation,
            reason: failure.reason,
            output: failure.output,
            still_running,
            edit,
        }));
    }

    /// The image is still the one before, and lacks what was copied since that was built.
    fn note_not_built(&mut self, operation: &Operation) {
        if let Operation::Build { service, .. } = operation
            && let Some(copied) = self.before_build.remove(service)
        {
            self.keep_for_new_containers(service, copied);
        }
    }

    /// The image lacks what was copied before its build, too.
    pub(super) fn keep_for_new_containers(&mut self, service: &str, mut copied: PendingSync) {
        copied.add_newer(self.since_build.remove(service).unwrap_or_default());
        self.since_build.insert(service.to_owned(), copied);
    }

    /// A container on trial that cannot even be started has failed it, which is told when it has been taken back.
    fn is_rejection(&mut self, operation: &Operation, reason: &str) -> bool {
        let id = match operation {
            Operation::Exchange { new: id, .. }
            | Operation::Start { container: id, .. }
            | Operation::Restart { container: id, .. } => id.clone(),
            _ => return false,
        };
        let is_on_trial = self.synced.contains_key(&id) || self.is_replacement(&id);
        if is_on_trial {
            self.reject(&id, format!("cannot start: {reason}"));
        }
        is_on_trial
    }
}
