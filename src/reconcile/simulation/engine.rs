//! The engine of a simulated world: what operations make of what is there.

use super::{Due, World};
use crate::plan::newest_of;
use crate::plan::observed::{Container, ContainerState, Health, Image, ObservedNetwork};
use crate::plan::operation::{Keep, Operation, Restarted};
use crate::plan::spec::{self, Replaces, label};
use crate::project::{BuildContext, WatchAction, WatchRule};
use crate::reconcile::event::Outcome;

impl World {
    /// Where the files lie that a service's image is built from.
    pub(super) fn folder(&self, service: &str) -> String {
        match self.project.services[service].build.as_ref().map(|build| &build.context) {
            Some(BuildContext::Local(path)) => path.display().to_string(),
            _ => format!("/shop/{service}"),
        }
    }

    /// Of all files that a service's image is built from, those that are copied when they are saved among them.
    pub(super) fn digest(&self, service: &str) -> String {
        let sources = self.sources.get(&self.folder(service)).copied().unwrap_or(0);
        let content = self.tree.get(service).copied().unwrap_or_default();
        format!("{sources}.{}", content.version)
    }

    /// The image that a service's would be if it were built now.
    pub(super) fn image_now(&self, service: &str) -> String {
        format!("sha256:{}@{}", self.folder(service), self.digest(service))
    }

    pub(super) fn perform(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::CreateNetwork { key } => {
                // It is made as it was defined when it was asked for.
                let network = self.asked_networks[key].clone();
                let labels = spec::network(&self.project, key, &network).labels;
                let made = ObservedNetwork { id: "n".into(), created_at: self.tick(), labels };
                self.truth.networks.entry(network.name).or_insert(made);
                Outcome::Nothing
            }
            Operation::RemoveNetwork { name } => {
                let is_on = |it: &&Container| it.state.is_running() && it.networks.contains(name);
                if let Some(container) = self.truth.containers.values().find(is_on) {
                    self.fail(&format!("{operation} while {} is on it", container.id));
                }
                self.truth.networks.remove(name);
                Outcome::Nothing
            }
            Operation::Pull { service } | Operation::Build { service, .. } => Outcome::Image(self.make_image(service)),
            Operation::Tag { service, from, .. } => {
                let image = self.truth.images[&self.project.image_of(&self.project.services[from])].clone();
                self.truth.images.insert(self.project.image_of(&self.project.services[service]), image.clone());
                Outcome::Image(image)
            }
            Operation::Create { service, number, replaces } => self.create(service, *number, replaces.as_deref()),
            Operation::Start { container, .. } => self.start(container),
            Operation::Restart { container, what: Restarted::Program, .. } if self.dice.one_in(2) => {
                self.start_program(container)
            }
            Operation::Restart { container, .. } => {
                self.set_state(container, ContainerState::Exited(143));
                self.start(container)
            }
            Operation::Exchange { old, new, .. } => {
                self.end(old);
                self.later(20, Due::News(old.clone()));
                self.start(new)
            }
            Operation::Promote { service, number, old, new } => {
                self.truth.containers.remove(old);
                let name = self.project.container_name(&self.project.services[service], *number);
                self.truth.containers.entry(new.clone()).and_modify(|it| it.name = name);
                self.outcome(new)
            }
            Operation::Revert { old, new, .. } => {
                self.truth.containers.remove(new);
                let runs = self.truth.containers.get(old).is_some_and(|it| it.state.is_running());
                let outcome = if runs { self.outcome(old) } else { self.start_safely(old) };
                reverted(outcome)
            }
            Operation::Restore { container, .. } => {
                self.set_state(container, ContainerState::Exited(143));
                let before = self.kept.remove(container).unwrap_or_default();
                self.files.insert(container.clone(), before);
                reverted(self.start_safely(container))
            }
            Operation::Sync { service, containers, keep, .. } => {
                let content = self.tree.get(service).copied().unwrap_or_default();
                for id in containers {
                    let before = self.files.insert(id.clone(), content).unwrap_or_default();
                    match keep {
                        Keep::Nothing => drop(self.kept.remove(id)),
                        Keep::Anew => drop(self.kept.insert(id.clone(), before)),
                        Keep::More => drop(self.kept.entry(id.clone()).or_insert(before)),
                    }
                    self.take_up(service, id);
                }
                Outcome::Nothing
            }
            Operation::Rename { container, .. } => self.outcome(container),
            Operation::Stop { container, .. } => {
                self.set_state(container, ContainerState::Exited(143));
                self.outcome(container)
            }
            Operation::Remove { container, .. } => {
                self.truth.containers.remove(container);
                Outcome::Nothing
            }
            _ => Outcome::Nothing,
        }
    }

    /// A program that loads what is copied while it runs exits when it cannot.
    fn take_up(&mut self, service: &str, id: &str) {
        let restarts = |rule: &WatchRule| matches!(rule.action, WatchAction::SyncRestart { .. });
        let is_restarted = self.project.services[service].watch.iter().any(restarts);
        if let Some(container) = self.truth.containers.get(id)
            && container.state.is_running()
            && !is_restarted
            && self.files[id].crashes
        {
            self.later(300, Due::Trip(id.to_owned(), container.started_at));
        }
    }

    fn make_image(&mut self, service: &str) -> Image {
        let id = self.image_now(service);
        let labels = [(label::INPUTS.to_owned(), self.digest(service))].into();
        if self.project.services[service].build.is_some() {
            self.contents.insert(id.clone(), self.tree.get(service).copied().unwrap_or_default());
        }
        let image = Image { identity: id.clone(), id: id.clone(), labels, ..Image::default() };
        let reference = self.project.image_of(&self.project.services[service]);
        self.truth.images.insert(reference, image.clone());
        self.truth.images.insert(id, image.clone());
        image
    }

    fn create(&mut self, service: &str, number: u32, replaces: Option<&str>) -> Outcome {
        self.made += 1;
        let reference = self.project.image_of(&self.project.services[service]);
        let mut made = crate::plan::fixtures::container(&self.project, service, number, ContainerState::Created);
        made.id = format!("{service}-{number}-{}", self.made);
        made.image_id = self.truth.images[&reference].id.clone();
        let newest = newest_of(self.state.observed(), service, number).map(|it| it.id.clone());
        let beside = replaces.map(|old| Replaces { old, newest: newest.as_deref().unwrap_or(old) });
        made.name =
            spec::container(&self.project, &self.project.services[service], number, &made.image_id, beside).name;
        if self.truth.containers.values().any(|other| other.name == made.name) {
            self.fail(&format!("there is a container of the name {} already", made.name));
        }
        if let Some(name) = made.networks.iter().find(|name| !self.truth.networks.contains_key(*name)) {
            self.fail(&format!("{} is made without its network {name}", made.id));
        }
        made.replaces = replaces.map(Into::into);
        made.created_at = self.tick();
        let id = made.id.clone();
        self.files.insert(id.clone(), self.contents.get(&made.image_id).copied().unwrap_or_default());
        self.truth.containers.insert(id.clone(), made);
        self.outcome(&id)
    }

    /// Starts what has run before and does not crash.
    fn start_safely(&mut self, id: &str) -> Outcome {
        let calm = std::mem::replace(&mut self.calm, true);
        let outcome = self.start(id);
        self.calm = calm;
        outcome
    }

    pub(super) fn end(&mut self, id: &str) {
        let at = self.tick();
        if let Some(container) = self.truth.containers.get_mut(id)
            && container.state.is_running()
        {
            container.state = ContainerState::Exited(143);
            container.finished_at = at;
        }
    }

    /// Whether a container has been on a network that is no more: an engine cannot start it.
    pub(super) fn is_cut_off(&self, id: &str) -> bool {
        let made_at = |name: &String| self.truth.networks.get(name).map(|network| network.created_at);
        self.joined.get(id).is_some_and(|joined| joined.iter().any(|(name, at)| made_at(name) != Some(*at)))
    }

    fn join_networks(&mut self, id: &str) {
        let Some(container) = self.truth.containers.get(id) else { return };
        if self.is_cut_off(id) {
            self.fail(&format!("{id} starts although its network is gone"));
        }
        let joined = container.networks.iter().map(|name| match self.truth.networks.get(name) {
            Some(network) => (name.clone(), network.created_at),
            None => self.fail(&format!("{id} starts without its network {name}")),
        });
        let joined = joined.collect();
        self.joined.insert(id.to_owned(), joined);
    }

    fn start(&mut self, id: &str) -> Outcome {
        self.join_networks(id);
        let at = self.tick();
        let Some(container) = self.truth.containers.get_mut(id) else { return Outcome::Nothing };
        container.state = ContainerState::Running;
        container.started_at = at;
        self.begin_program(id)
    }

    /// Starts what runs in a container again, of which no event tells; what it was to come to is over with it.
    fn start_program(&mut self, id: &str) -> Outcome {
        let runs = self.truth.containers.get(id).is_some_and(|it| it.state.is_running());
        if runs {
            self.due.retain(|(_, due)| !matches!(due, Due::Exit(other, ..) if other == id));
            return self.begin_program(id);
        }
        self.start(id)
    }

    fn begin_program(&mut self, id: &str) -> Outcome {
        let Some(container) = self.truth.containers.get_mut(id) else { return Outcome::Nothing };
        let (service, at) = (&self.project.services[&container.service], container.started_at);
        container.health = if service.healthcheck.is_some() { Health::Starting } else { Health::None };
        let is_job = service.labels.contains_key("job");
        if is_job {
            self.later(500, Due::Exit(id.to_owned(), 0, at));
        } else if self.truth.containers[id].health == Health::Starting {
            self.later(1_000, Due::Health(id.to_owned()));
        }
        let crashes = self.files.get(id).is_some_and(|content| content.crashes);
        if crashes || !self.calm && !is_job && self.dice.one_in(8) {
            self.later(if crashes { 300 } else { 2_000 }, Due::Exit(id.to_owned(), 1, at));
        }
        self.outcome(id)
    }

    pub(super) fn set_state(&mut self, id: &str, state: ContainerState) {
        if let Some(container) = self.truth.containers.get_mut(id) {
            container.state = state;
        }
    }

    fn outcome(&self, id: &str) -> Outcome {
        self.truth.containers.get(id).map_or(Outcome::Nothing, |it| Outcome::Container(Box::new(it.clone())))
    }
}

fn reverted(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Container(container) => Outcome::Reverted { container, output: Vec::new() },
        other => other,
    }
}
