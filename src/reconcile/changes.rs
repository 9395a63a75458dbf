//! What saved files lead to once their burst is over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::State;
use super::event::Action;
use super::notice::Notice;
use crate::change::settle::Settle;
use crate::change::{Change, PathState};
use crate::plan::observed::ContainerState;
use crate::plan::operation::Subject;
use crate::plan::{PendingSync, replicas_of};

impl State {
    pub(super) fn take_changes(&mut self, paths: BTreeMap<PathBuf, PathState>, now: Duration) {
        if paths.is_empty() || self.rules.is_none() || self.is_ending() {
            return;
        }
        self.settle.note(now, paths.len());
        self.changes.extend(paths);
    }

    /// Turns a settled burst into newer sources, files to copy and containers to restart.
    pub(super) fn take_settled_changes(&mut self, actions: &mut Vec<Action>) {
        let paths = std::mem::take(&mut self.changes);
        self.settle = Settle::default();
        let Some(rules) = self.rules.clone() else { return };
        if paths.keys().any(|path| rules.is_manifest(path)) {
            self.ask_for_reload(actions);
        }
        let scope = self.scope();
        for (service, change) in rules.affected(&paths) {
            if scope.contains(&service) {
                let paths = change.paths.clone();
                actions.push(Action::Tell(Notice::Changed { service: service.clone(), paths }));
                self.take_change(&service, change);
            }
        }
    }

    fn take_change(&mut self, service: &str, change: Change) {
        self.retry(service);
        if change.rebuild {
            *self.facts.generations.entry(service.to_owned()).or_default() += 1;
            // The new image will hold the files.
            self.facts.syncs.remove(service);
            return;
        }
        if change.sync.is_empty() {
            if change.restart {
                let ids = replicas_of(&self.observed, service).into_values().map(|replica| replica.current.id.clone());
                self.facts.restarts.extend(ids);
            }
            return;
        }
        let newer = PendingSync { files: change.sync, restart: change.restart, exec: change.exec };
        if let Some(older) = self.facts.syncs.insert(service.to_owned(), newer) {
            self.put_back(service, older);
        }
    }

    /// A save is a new try for what failed or exited with an error.
    fn retry(&mut self, service: &str) {
        self.facts.failures.retain(|subject, _| match subject {
            Subject::Image(name) | Subject::Files(name) | Subject::Replica(name, _) | Subject::Provider(name) => {
                name != service
            }
            Subject::Network(_) | Subject::Volume(_) | Subject::Model(_) => true,
        });
        self.facts.exhausted.retain(|(name, _)| name != service);
        self.back_offs.retain(|(name, _), _| name != service);
        self.facts.back_off.retain(|(name, _)| name != service);
        let failed = replicas_of(&self.observed, service)
            .into_values()
            .filter(|replica| matches!(replica.current.state, ContainerState::Exited(code) if code != 0))
            .map(|replica| replica.current.id.clone());
        self.facts.pending.extend(failed);
    }

    /// Adds older files to those that wait; the newer word on a path counts.
    pub(super) fn put_back(&mut self, service: &str, older: PendingSync) {
        let waiting = self.facts.syncs.entry(service.to_owned()).or_default();
        for (path, target) in older.files.copied {
            if !waiting.files.deleted.contains(&target) {
                waiting.files.copied.insert((path, target));
            }
        }
        let copied: BTreeSet<&String> = waiting.files.copied.iter().map(|(_, target)| target).collect();
        let deleted: Vec<String> = older.files.deleted.into_iter().filter(|target| !copied.contains(target)).collect();
        waiting.files.deleted.extend(deleted);
        waiting.restart |= older.restart;
        for hook in older.exec {
            if !waiting.exec.contains(&hook) {
                waiting.exec.push(hook);
            }
        }
    }
}
