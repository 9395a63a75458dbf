//! Follows each edit from the save to its effect, so that one line can tell of it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::event::{Action, Part, Parts};
use super::notice::Notice;
use super::{InFlight, State};
use crate::plan::observed::Container;
use crate::plan::operation::Operation;
use crate::plan::{Entry, Plan, replicas_of};

/// What saved files have led to for one service, until it is at rest again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    /// The numbers of the bursts that are in it.
    ids: Vec<u64>,
    paths: BTreeSet<PathBuf>,
    /// When the first file was saved.
    saved: Duration,
    parts: Parts,
    deeds: BTreeSet<Deed>,
    failure: Option<String>,
}

/// A save of the manifest that is being read: which services it concerns is known then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ManifestEdit {
    ids: Vec<u64>,
    paths: BTreeSet<PathBuf>,
    /// When the first file was saved.
    saved: Duration,
    /// When the last burst was over.
    settled: Duration,
}

/// Something that was done because of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// The image was built, and is another one.
    Rebuilt,
    /// The image was built, and is the same.
    Unchanged,
    /// What the image is built from is as it was when it was built.
    Current,
    /// Files were copied.
    Synced,
    /// Commands were run in the containers.
    Executed,
    /// Containers were restarted.
    Restarted,
    /// Containers were replaced.
    Replaced,
    /// Containers that had exited were started.
    Started,
    /// Containers are healthy.
    Healthy,
}

impl State {
    /// A burst that concerns a service has settled.
    pub(super) fn note_edit(
        &mut self,
        id: u64,
        service: &str,
        paths: BTreeSet<PathBuf>,
        saved: Duration,
        now: Duration,
    ) {
        let edit = self.edits.entry(service.to_owned()).or_insert_with(|| Edit {
            ids: Vec::new(),
            paths: BTreeSet::new(),
            saved,
            parts: Vec::new(),
            deeds: BTreeSet::new(),
            failure: None,
        });
        if edit.failure.take().is_some() {
            // What has not worked is told of already, and this is another try.
            (edit.parts, edit.deeds, edit.saved) = (Vec::new(), BTreeSet::new(), saved);
        }
        edit.ids.push(id);
        edit.paths.extend(paths);
        edit.add(Part::Settle, now.saturating_sub(saved));
    }

    /// A burst that the manifest was in has settled.
    pub(super) fn note_manifest_edit(&mut self, id: u64, paths: BTreeSet<PathBuf>, saved: Duration, now: Duration) {
        let new = ManifestEdit { ids: Vec::new(), paths: BTreeSet::new(), saved, settled: now };
        let edit = self.manifest_edit.get_or_insert(new);
        edit.ids.push(id);
        edit.paths.extend(paths);
        edit.settled = now;
    }

    /// The manifest was read, and asks for something else of these services; returns the numbers of its edits.
    pub(super) fn spread_manifest_edit<'a>(
        &mut self,
        services: impl IntoIterator<Item = &'a String>,
        now: Duration,
    ) -> Vec<u64> {
        let Some(ManifestEdit { ids, paths, saved, settled }) = self.manifest_edit.take() else { return Vec::new() };
        for service in services {
            for id in &ids {
                self.note_edit(*id, service, paths.clone(), saved, settled);
            }
            if let Some(edit) = self.edits.get_mut(service) {
                edit.add(Part::Read, now.saturating_sub(settled));
            }
        }
        ids
    }

    /// The number of the last edit that a service has not come to rest from.
    pub(super) fn edit_of(&self, service: Option<&str>) -> Option<u64> {
        self.edits.get(service?)?.ids.last().copied()
    }

    /// An operation for a service with an edit is done.
    pub(super) fn note_done(&mut self, flight: &InFlight, same: bool, took: Duration, parts: Parts) {
        let operation = &flight.operation;
        let Some(edit) = operation.service().and_then(|service| self.edits.get_mut(service)) else { return };
        // What was under way when the file was saved is not for its sake.
        if flight.began < edit.saved {
            return;
        }
        let (part, deeds): (Option<Part>, &[Deed]) = match operation {
            Operation::Build { .. } | Operation::Tag { .. } => {
                (Some(Part::Build), if same { &[Deed::Unchanged] } else { &[Deed::Rebuilt] })
            }
            Operation::Sync { exec, .. } if exec.is_empty() => (Some(Part::Sync), &[Deed::Synced]),
            Operation::Sync { .. } => (Some(Part::Sync), &[Deed::Synced, Deed::Executed]),
            Operation::Create { replaces: Some(_), .. } => (Some(Part::Create), &[Deed::Replaced]),
            Operation::Create { .. } => (Some(Part::Create), &[]),
            Operation::Start { .. } if edit.deeds.contains(&Deed::Replaced) => (Some(Part::Start), &[]),
            Operation::Start { .. } => (Some(Part::Start), &[Deed::Started]),
            Operation::Restart { .. } => (Some(Part::Start), &[Deed::Restarted]),
            Operation::Exchange { .. } => (Some(Part::Start), &[]),
            _ => (None, &[]),
        };
        edit.deeds.extend(deeds);
        let whole = part.filter(|_| parts.is_empty()).map(|part| (part, took));
        for (part, took) in parts.into_iter().chain(whole) {
            edit.add(part, took);
        }
    }

    /// The files of a build were read.
    pub(super) fn note_read(&mut self, service: &str, took: Duration, is_current: bool) {
        if let Some(edit) = self.edits.get_mut(service) {
            edit.add(Part::Read, took);
            if is_current {
                edit.deeds.insert(Deed::Current);
            }
        }
    }

    /// A container became healthy so long after its start.
    pub(super) fn note_healthy(&mut self, service: &str, took: Duration) {
        if let Some(edit) = self.edits.get_mut(service)
            && edit.deeds.iter().any(|deed| matches!(deed, Deed::Replaced | Deed::Restarted | Deed::Started))
        {
            edit.add(Part::Healthy, took);
            edit.deeds.insert(Deed::Healthy);
        }
    }

    /// Something that an edit led to did not work.
    pub(super) fn note_failure(&mut self, service: Option<&str>, reason: &str) {
        if let Some(edit) = service.and_then(|service| self.edits.get_mut(service)) {
            edit.failure.get_or_insert_with(|| reason.to_owned());
        }
    }

    /// Tells of the edits whose services have come to rest.
    pub(super) fn tell_edits(&mut self, plan: &Plan, now: Duration, actions: &mut Vec<Action>) {
        let at_rest: Vec<String> =
            self.edits.keys().filter(|service| self.is_at_rest(service, plan)).cloned().collect();
        for service in at_rest {
            let Some(edit) = self.edits.remove(&service) else { continue };
            let still_running = self.is_served(&service);
            let Edit { ids, paths, saved, parts, deeds, failure } = edit;
            let took = now.saturating_sub(saved);
            actions.push(Action::Tell(Notice::Edited {
                edits: ids,
                service,
                paths,
                deeds: deeds.into_iter().collect(),
                failure,
                still_running,
                parts,
                took,
            }));
        }
    }

    /// Whether something of a service runs.
    pub(super) fn is_served(&self, service: &str) -> bool {
        replicas_of(&self.observed, service).values().any(|replica| replica.serving().state.is_running())
    }

    /// Whether nothing is under way or left to do for a service but to see whether a container stays alive, and to
    /// remove the one before it.
    fn is_at_rest(&self, service: &str, plan: &Plan) -> bool {
        let runs = |id: &String| self.observed.containers.get(id).is_some_and(|it| it.state.is_running());
        let is_kept = |it: &Operation| matches!(it, Operation::Promote { new, .. } if runs(new));
        let matters = |operation: &Operation| operation.service() == Some(service) && !is_kept(operation);
        let is_under_way = self.in_flight.values().any(|flight| matters(&flight.operation));
        let is_left = |entry: &&Entry| matters(&entry.operation) && !entry.is_stuck(plan);
        !is_under_way && plan.entries.iter().find(is_left).is_none() && !self.is_becoming_healthy(service)
    }

    /// Whether a container of the service was started by this run and its healthcheck has not spoken yet.
    fn is_becoming_healthy(&self, service: &str) -> bool {
        let is_becoming = |container: &Container| {
            container.state.is_running()
                && self.started.contains_key(&container.id)
                && self.is_measured(container)
                && !self.is_decided_healthy(container)
        };
        replicas_of(&self.observed, service).values().any(|replica| is_becoming(replica.serving()))
    }
}

impl Edit {
    /// Adds to a part that there may be already, as for several replicas.
    fn add(&mut self, part: Part, took: Duration) {
        match self.parts.iter_mut().find(|(known, _)| *known == part) {
            Some((_, sum)) => *sum += took,
            None => self.parts.push((part, took)),
        }
    }
}
