//! What saved files lead to once their burst is over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::event::Action;
use super::notice::Notice;
use super::{InFlight, State};
use crate::change::settle::Settle;
use crate::change::{Change, PathState};
use crate::plan::observed::ContainerState;
use crate::plan::operation::Subject;
use crate::plan::spec::label;
use crate::plan::{PendingSync, replicas_of};
use crate::project::BuildContext;

impl State {
    pub(super) fn take_changes(&mut self, paths: BTreeMap<PathBuf, PathState>, now: Duration) {
        if paths.is_empty() || self.rules.is_none() || self.is_ending() {
            return;
        }
        self.settle.note(now, paths.len());
        self.changes.extend(paths);
    }

    /// A burst of which nothing is left leads to nothing.
    pub(super) fn take_back_changes(&mut self, paths: &BTreeSet<PathBuf>) {
        self.changes.retain(|path, _| !paths.contains(path));
        if self.changes.is_empty() {
            self.settle = Settle::default();
        }
    }

    /// Turns a settled burst into newer sources, files to copy and containers to restart.
    pub(super) fn take_settled_changes(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let paths = std::mem::take(&mut self.changes);
        let saved = std::mem::take(&mut self.settle).began().unwrap_or(now);
        let Some(rules) = self.rules.clone() else { return };
        let edit = self.next_edit;
        let manifests: BTreeSet<_> = paths.keys().filter(|path| rules.is_manifest(path)).cloned().collect();
        if !manifests.is_empty() {
            self.next_edit = edit + 1;
            self.note_manifest_edit(edit, manifests, saved, now);
            self.ask_for_reload(actions);
        }
        let scope = self.scope();
        let with_bases = self.project.with_bases(&scope);
        for (service, change) in rules.affected(&paths) {
            // Of those that only lend their image nothing runs that files could be copied into.
            if scope.contains(&service) || change.rebuild && with_bases.contains(&service) {
                self.next_edit = edit + 1;
                let paths = change.paths.clone();
                self.note_edit(edit, &service, paths.clone(), saved, now);
                actions.push(Action::Tell(Notice::Changed { edit, service: service.clone(), paths }));
                self.take_change(&service, change, now, actions);
            }
        }
    }

    fn take_change(&mut self, service: &str, change: Change, now: Duration, actions: &mut Vec<Action>) {
        self.retry(service);
        if change.rebuild {
            self.readings.insert(service.to_owned(), now);
            self.read_anew(service, actions);
            // The new image will hold what it is built from.
            let waiting = [self.facts.syncs.remove(service), self.unsynced.remove(service)];
            for waiting in waiting.into_iter().flatten() {
                if let Some(left) = self.not_built(service, waiting) {
                    self.put_back(service, left);
                }
            }
            return;
        }
        if change.sync.is_empty() {
            if change.restart {
                let own = self.observed.containers.values().filter(|it| it.service == service);
                self.facts.restarts.extend(own.map(|container| container.id.clone()));
            }
            return;
        }
        let newer = PendingSync { files: change.sync, restart: change.restart, exec: change.exec, compare: false };
        let copied = PendingSync { files: newer.files.clone(), ..PendingSync::default() };
        self.since_build.entry(service.to_owned()).or_default().add_newer(copied);
        let mut waiting = self.unsynced.remove(service).unwrap_or_default();
        waiting.add_newer(self.facts.syncs.remove(service).unwrap_or_default());
        waiting.add_newer(newer);
        self.facts.syncs.insert(service.to_owned(), waiting);
    }

    /// What the image of a service is built from may be other files now.
    pub(super) fn read_anew(&mut self, service: &str, actions: &mut Vec<Action>) {
        let generation = self.facts.generations.entry(service.to_owned()).or_default();
        *generation += 1;
        actions.push(Action::ReadInputs { service: service.to_owned(), generation: *generation });
    }

    /// What of copied files an image of the service does not hold: those from outside the folder that it is built from.
    pub(super) fn not_built(&self, service: &str, mut copied: PendingSync) -> Option<PendingSync> {
        let build = self.project.any_service(service).and_then(|service| service.build.as_ref());
        if let Some(BuildContext::Local(folder)) = build.map(|build| &build.context) {
            copied.files.copied.retain(|(path, _)| !path.starts_with(folder));
        }
        copied.files.deleted.clear();
        (!copied.files.is_empty()).then_some(copied)
    }

    /// An image is to be built although none of its files was saved.
    pub(super) fn build_otherwise(&mut self, service: &str) {
        *self.facts.generations.entry(service.to_owned()).or_default() += 1;
        self.facts.built_otherwise.insert(service.to_owned());
    }

    /// What an image is built from is known: an image that was built from the same is what a build would give.
    pub(super) fn take_inputs(&mut self, service: &str, generation: u64, digest: Option<String>, now: Duration) {
        // Newer files are being read.
        if generation < self.facts.generation(service) {
            return;
        }
        let image = self.project.any_service(service).map(|service| self.project.image_of(service));
        let image = image.and_then(|image| self.observed.images.get(&image));
        let is_current = digest.is_some()
            && !self.facts.built_otherwise.contains(service)
            && image.and_then(|image| image.labels.get(label::INPUTS)) == digest.as_ref();
        let read = self.facts.read.entry(service.to_owned()).or_default();
        *read = (*read).max(generation);
        let is_overlaid = is_current && self.mark_overlaid(service);
        if is_current {
            self.facts.built.insert(service.to_owned(), generation);
        }
        if let Some(digest) = digest {
            self.facts.inputs.insert(service.to_owned(), digest);
        }
        let began = self.readings.remove(service).unwrap_or(now);
        self.note_read(service, now.saturating_sub(began), is_current && !is_overlaid);
    }

    /// Everything saved is in the image again, and nothing is to be built: what was copied over it meanwhile is older.
    fn mark_overlaid(&mut self, service: &str) -> bool {
        let copied = [self.before_build.remove(service), self.since_build.remove(service)];
        let mut is_overlaid = false;
        for copied in copied.into_iter().flatten() {
            let left = self.not_built(service, copied.clone());
            is_overlaid |= left.as_ref() != Some(&copied);
            if let Some(left) = left {
                self.keep_for_new_containers(service, left);
            }
        }
        if is_overlaid {
            let own = self.observed.containers.values().filter(|it| it.service == service && !it.one_off);
            self.facts.overlaid.extend(own.map(|container| container.id.clone()));
        }
        is_overlaid
    }

    /// A save is a new try for what failed or exited with an error.
    fn retry(&mut self, service: &str) {
        self.facts.failures.retain(|subject, _| match subject {
            Subject::Image(name) | Subject::Files(name) | Subject::Replica(name, _) | Subject::Provider(name) => {
                name != service
            }
            Subject::Network(_) | Subject::Volume(_) | Subject::Model(_) => true,
        });
        // Also what is still on trial: it fails as the version before.
        let own = self.observed.containers.values().filter(|it| it.service == service);
        self.forgiven.extend(own.map(|container| container.id.clone()));
        let is_of_service = |flight: &&mut InFlight| flight.operation.service() == Some(service);
        self.in_flight.values_mut().filter(is_of_service).for_each(|flight| flight.forgiven = true);
        self.facts.exhausted.retain(|(name, _)| name != service);
        self.back_offs.retain(|(name, _), _| name != service);
        self.facts.back_off.retain(|(name, _)| name != service);
        let failed = replicas_of(&self.observed, service)
            .into_values()
            .map(|replica| replica.serving())
            .filter(|serving| matches!(serving.state, ContainerState::Exited(code) if code != 0))
            .map(|serving| serving.id.clone());
        self.facts.pending.extend(failed);
    }

    /// Adds older files to those that wait; the newer word on a path counts.
    pub(super) fn put_back(&mut self, service: &str, mut older: PendingSync) {
        if let Some(newer) = self.facts.syncs.remove(service) {
            older.add_newer(newer);
        }
        self.facts.syncs.insert(service.to_owned(), older);
    }
}
