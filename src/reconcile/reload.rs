//! A manifest that was saved while the project runs: what it asks for now takes the place of what it asked for before,
//! and the plan finds the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::event::{Action, Reloaded};
use super::notice::Notice;
use super::{Goal, State};
use crate::graph::Graph;
use crate::plan::goal::BuildPolicy;
use crate::plan::operation::{Operation, Subject};
use crate::plan::{PendingSync, network_keys, spec};
use crate::project::{ConfigHashes, Project, PullPolicy, Service, network_hash};

/// Whether the manifest is being read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Reload {
    /// It is not.
    #[default]
    Idle,
    /// It is.
    UnderWay,
    /// It is, and was saved once more meanwhile.
    Outdated,
}

/// What has become of the services.
#[derive(Debug, Default)]
struct Difference {
    changed: Vec<String>,
    added: Vec<String>,
    removed: Vec<String>,
}

/// The hashes of services with those of the networks that they are on: another one makes other containers of them.
fn with_networks(project: &Project, hashes: &ConfigHashes) -> BTreeMap<String, String> {
    let mut services = hashes.services.clone();
    for (name, hash) in &mut services {
        let keys = project.services.get(name).into_iter().flat_map(network_keys);
        let own = keys.filter(|key| project.networks.get(*key).is_some_and(|network| !network.external));
        own.filter_map(|key| hashes.networks.get(key)).for_each(|network| hash.push_str(network));
    }
    services
}

impl Difference {
    fn of(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Self {
        let mut difference = Self::default();
        for (name, hash) in now {
            match before.get(name) {
                None => difference.added.push(name.clone()),
                Some(old) if old != hash => difference.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        difference.removed = before.keys().filter(|name| !now.contains_key(*name)).cloned().collect();
        difference
    }
}

impl State {
    pub(super) fn ask_for_reload(&mut self, actions: &mut Vec<Action>) {
        if self.reload == Reload::Idle {
            self.reload = Reload::UnderWay;
            actions.push(Action::Reload);
        } else {
            self.reload = Reload::Outdated;
        }
    }

    pub(super) fn take_reloaded(&mut self, reloaded: Option<Reloaded>, now: Duration, actions: &mut Vec<Action>) {
        let was = std::mem::take(&mut self.reload);
        if self.is_ending() {
            return;
        }
        if was == Reload::Outdated {
            return self.ask_for_reload(actions);
        }
        // Services that depend on each other in a circle are an error of the manifest, so one that loads has a graph.
        let Some((reloaded, graph)) = reloaded.and_then(|it| Graph::new(&it.project).ok().map(|graph| (it, graph)))
        else {
            self.manifest_edit = None;
            return;
        };
        self.take_project(reloaded, graph, now, actions);
    }

    fn take_project(&mut self, reloaded: Reloaded, graph: Graph, at: Duration, actions: &mut Vec<Action>) {
        let Reloaded { project, services, rules, inputs, initial_syncs } = reloaded;
        let Goal::Up(up) = &mut self.goal else { return };
        let before = std::mem::replace(&mut up.services, services);
        self.forget_what_is_provided_otherwise(&project);
        let declared_before = std::mem::replace(&mut self.declared, Arc::clone(&project));
        let old = std::mem::replace(&mut self.project, project);
        self.facts.hashes = ConfigHashes::of(&self.project);
        let hashes_before = with_networks(&declared_before, &ConfigHashes::of(&declared_before));
        let hashes_now = with_networks(&self.project, &self.facts.hashes);
        let of_run = |hashes: &BTreeMap<String, String>, scope: &BTreeSet<String>| {
            hashes.iter().filter(|(name, _)| scope.contains(*name)).map(|(a, b)| (a.clone(), b.clone())).collect()
        };
        let now: BTreeMap<String, String> = of_run(&hashes_now, &self.scope());
        let difference = Difference::of(&of_run(&hashes_before, &before), &now);
        self.spread_what_is_provided();
        self.graph = graph;
        self.rules = Some(rules);
        self.facts.inputs.extend(inputs);
        self.build_what_is_built_otherwise(&old);
        self.read_what_was_not_watched(&difference.added, actions);
        for (service, files) in initial_syncs {
            self.put_back(&service, PendingSync::initial(files.clone()));
            self.initial.insert(service, files);
        }
        self.facts.dropped.retain(|name| !now.contains_key(name));
        self.facts.dropped.extend(difference.removed.iter().cloned());
        self.start_what_is_new(&difference.added);
        // A saved manifest is a new try for everything that failed.
        self.keep_what_saves_do_not_mend(&old);
        self.facts.exhausted.clear();
        let Difference { changed, added, removed } = difference;
        let edits = self.spread_manifest_edit(changed.iter().chain(&added), at);
        actions.push(Action::Tell(Notice::Reloaded { edits, changed, added, removed }));
        // Networks, volumes and images that nobody has asked about so far.
        self.ask_for_listing(actions);
    }

    /// Of all failures only that of a network that could not be removed: for each try all that is on it would stop again.
    fn keep_what_saves_do_not_mend(&mut self, old: &Project) {
        let is_as_before = |name: &String| {
            let of = |project: &Project| project.networks.values().find(|it| it.name == *name).map(network_hash);
            self.observed.networks.contains_key(name) && of(old) == of(&self.project)
        };
        self.facts.failures.retain(|subject, _| matches!(subject, Subject::Network(name) if is_as_before(name)));
        for flight in self.in_flight.values_mut() {
            let is_made = matches!(flight.operation, Operation::CreateNetwork { .. } | Operation::CreateVolume { .. });
            flight.forgiven |= is_made;
        }
    }

    /// What is to be provided by another program, with other options, or is another model, has to be provided anew.
    fn forget_what_is_provided_otherwise(&mut self, project: &Project) {
        let before = &self.declared;
        let asked = |project: &Project, name: &str| project.services.get(name).map(|it| it.provider.clone());
        let provided = &mut self.facts.provided;
        provided.services.retain(|name, _| asked(before, name) == asked(project, name));
        provided.models.retain(|key, _| before.models.get(key) == project.models.get(key));
    }

    /// Nobody watched the files of a service while it was not in the run.
    fn read_what_was_not_watched(&mut self, added: &[String], actions: &mut Vec<Action>) {
        let by_need = self.up().is_some_and(|up| up.build == BuildPolicy::Needed);
        let is_compared =
            |service: &Service| by_need && service.build.is_some() && service.pull_policy != PullPolicy::Build;
        for name in added {
            self.unsynced.remove(name);
            if self.facts.built.contains_key(name) || self.facts.generation(name) > 0 {
                self.since_build.remove(name);
                self.read_anew(name, actions);
            } else if self.project.services.get(name).is_some_and(is_compared) {
                // They may have been saved after they were read with the manifest and before they were watched.
                actions.push(Action::ReadInputs { service: name.clone(), generation: 0 });
            }
        }
    }

    /// An image of other arguments, another target or another folder is another image.
    fn build_what_is_built_otherwise(&mut self, old: &Arc<Project>) {
        let is_other = |(name, service): (&String, &Service)| {
            let (before, now) = (old.services.get(name)?, spec::build(&self.project, service)?);
            (spec::build(old, before).as_ref() != Some(&now)).then(|| name.clone())
        };
        let others: Vec<String> = self.project.services.iter().filter_map(is_other).collect();
        for name in &others {
            self.build_otherwise(name);
        }
    }

    /// Containers of services that come into the run are started as they are at its beginning.
    fn start_what_is_new(&mut self, added: &[String]) {
        let containers = self.observed.containers.values();
        let stopped = containers.filter(|it| added.contains(&it.service) && !it.state.is_running());
        self.facts.pending.extend(stopped.map(|container| container.id.clone()));
    }
}
