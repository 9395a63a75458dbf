//! New containers, and containers with new files, prove themselves; those that do not are taken back.
//!
//! A replacement that is healthy, or alive for a moment where nothing measures health, takes its place for good. One that
//! exits or is unhealthy goes, and the container before it serves again. A container that was restarted for files that
//! were copied into it gets the files before them back; so does one that exits right after files were copied into it while
//! it ran.

use std::collections::BTreeMap;
use std::time::Duration;

use super::State;
use crate::plan::conditions::has_own_healthcheck;
use crate::plan::goal::Until;
use crate::plan::observed::{Container, ContainerId, ContainerState, Health};
use crate::plan::operation::Subject;
use crate::plan::{PendingSync, replicas_of};

/// So long a container has to stay alive where nothing measures its health.
const ALIVE: Duration = Duration::from_secs(1);

/// What exits later than so long after its start exits for something new.
const SETTLED: Duration = Duration::from_secs(10);

/// What a container is to prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trial {
    /// When being alive is enough.
    pub(super) until: Duration,
    proof: Proof,
    /// An exit may still be for the files before: then the container is started again with these.
    again: bool,
}

/// What a container proves itself by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Health,
    Life,
    /// It ran before, so that being healthy is no news.
    Staying,
}

/// How a trial stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Pending,
    Passed,
    /// What it did instead.
    Failed(String),
}

impl State {
    /// Begins trials, and ends those that are decided.
    pub(super) fn judge(&mut self, now: Duration) {
        if self.is_ending() {
            self.trials.clear();
            return;
        }
        self.begin_trials(now);
        self.note_fallbacks();
        self.take_back_proofs();
        let verdicts: Vec<(ContainerId, Verdict)> =
            self.trials.iter().map(|(id, trial)| (id.clone(), self.verdict(id, trial, now))).collect();
        for (id, verdict) in verdicts {
            match verdict {
                Verdict::Pending => {}
                Verdict::Passed => self.accept(&id),
                Verdict::Failed(_) if self.trials.get(&id).is_some_and(|trial| trial.again) => {
                    self.trials.remove(&id);
                    // Also where another one is to take its place and cannot be started yet.
                    self.facts.fallbacks.insert(id.clone());
                    self.facts.restarts.insert(id);
                }
                Verdict::Failed(reason) => self.reject(&id, reason),
            }
        }
    }

    /// When the next trial is decided by the passing of time.
    pub(super) fn next_verdict(&self) -> Option<Duration> {
        let is_decided_by_time = |(id, trial): &(&ContainerId, &Trial)| {
            let container = self.observed.containers.get(*id);
            let waits = container.is_some_and(|it| it.state == ContainerState::Running && !self.is_busy(it));
            trial.proof != Proof::Health && waits
        };
        self.trials.iter().filter(is_decided_by_time).map(|(_, trial)| trial.until).min()
    }

    /// Replacements that run, whoever started them.
    fn begin_trials(&mut self, now: Duration) {
        let mut found: BTreeMap<ContainerId, Proof> = BTreeMap::new();
        for service in self.scope() {
            for replica in replicas_of(&self.observed, &service).values() {
                let Some(new) = replica.replacement else { continue };
                let is_decided = self.facts.proven.contains(&new.id) || self.facts.rejected.contains_key(&new.id);
                let has_run = new.state.is_running() || new.started_at != 0;
                if has_run && !is_decided && !self.is_busy(new) && !self.facts.pending.contains(&new.id) {
                    found.insert(new.id.clone(), self.proof_of(new));
                }
            }
        }
        for (id, proof) in found {
            self.trials.entry(id).or_insert(Trial { until: now + ALIVE, proof, again: false });
        }
    }

    /// A replacement that fails before it has been given its place for good has proved nothing.
    fn take_back_proofs(&mut self) {
        let failed = |id: &&ContainerId| {
            let container = self.observed.containers.get(*id);
            container
                .is_some_and(|it| matches!(it.state, ContainerState::Exited(code) if code != 0) && !self.is_busy(it))
        };
        let failed: Vec<ContainerId> = self.facts.proven.iter().filter(failed).cloned().collect();
        for id in failed {
            self.facts.proven.remove(&id);
            if let Some(container) = self.observed.containers.get(&id) {
                let trial = Trial { until: Duration::MAX, proof: self.proof_of(container), again: false };
                self.trials.insert(id, trial);
            }
        }
    }

    /// When one of several that were to take a container's place exits, nothing may be left that runs: the first one is
    /// started again until the last one can be.
    fn note_fallbacks(&mut self) {
        let mut found = Vec::new();
        for service in self.scope() {
            for replica in replicas_of(&self.observed, &service).values() {
                let has_run = replica.leftovers.iter().any(|container| container.started_at != 0);
                let is_next_ready = replica.replacement.is_some_and(|new| new.started_at != 0);
                if has_run && !is_next_ready && !replica.serving().state.is_running() {
                    found.push(replica.current.id.clone());
                }
            }
        }
        self.facts.fallbacks.extend(found);
    }

    /// A container was started for files that were copied into it.
    pub(super) fn try_synced(&mut self, id: &str, now: Duration) {
        if self.synced.contains_key(id)
            && let Some(container) = self.observed.containers.get(id)
        {
            let proof = self.proof_of(container);
            self.trials.insert(id.to_owned(), Trial { until: now + ALIVE, proof, again: false });
        }
    }

    /// Files were copied into containers, whose programs are to take them up by themselves.
    pub(super) fn try_while_running(&mut self, ids: Vec<ContainerId>, batch: &PendingSync, now: Duration) {
        for id in ids {
            let runs = self.observed.containers.get(&id).is_some_and(|it| it.state.is_running());
            // What is to be restarted, or to take another's place, has a trial of its own.
            if !runs || self.facts.restarts.contains(&id) || self.is_replacement(&id) {
                continue;
            }
            self.note_synced(std::slice::from_ref(&id), batch);
            let until = now + ALIVE;
            // What has just started, or has just got other files, may yet exit for those.
            let is_fresh = self.started.get(&id).is_some_and(|started| now < *started + SETTLED);
            let again = is_fresh || self.trials.contains_key(&id);
            let trial = self.trials.entry(id).or_insert(Trial { until, proof: Proof::Staying, again });
            (trial.until, trial.again) = (until, again);
        }
    }

    fn proof_of(&self, container: &Container) -> Proof {
        // Who starts and leaves does not wait until everything is healthy.
        let leaves = self.up().is_some_and(|up| up.until == Until::Started);
        if self.is_measured(container) && !leaves { Proof::Health } else { Proof::Life }
    }

    /// Whether a healthcheck, of the manifest or of the image, tells how a container is.
    pub(super) fn is_measured(&self, container: &Container) -> bool {
        container.health != Health::None
            || self.project.services.get(&container.service).is_some_and(has_own_healthcheck)
    }

    fn is_busy(&self, container: &Container) -> bool {
        self.facts.busy.contains(&Subject::Replica(container.service.clone(), container.number))
    }

    /// Whether an exit of the container is for a trial to judge.
    pub(super) fn is_on_trial(&self, container: &Container) -> bool {
        let is_over = container.state == ContainerState::Exited(0);
        self.trials.get(&container.id).is_some_and(|trial| trial.proof != Proof::Staying || !is_over)
            || !self.facts.proven.contains(&container.id) && self.is_replacement(&container.id)
    }

    /// Whether a container is there to take the place of another that is still there.
    pub(super) fn is_replacement(&self, id: &str) -> bool {
        self.observed.containers.get(id).is_some_and(|container| {
            replicas_of(&self.observed, &container.service)
                .get(&container.number)
                .is_some_and(|replica| replica.replacement.is_some_and(|new| new.id == id))
        })
    }

    fn verdict(&self, id: &str, trial: &Trial, now: Duration) -> Verdict {
        let Some(container) = self.observed.containers.get(id) else { return Verdict::Failed("is gone".into()) };
        if self.is_busy(container) {
            return Verdict::Pending;
        }
        match container.state {
            ContainerState::Exited(0) if trial.proof == Proof::Staying => Verdict::Passed,
            ContainerState::Exited(0) if self.was_over_before(container) => Verdict::Passed,
            ContainerState::Exited(code) => Verdict::Failed(format!("exited with code {code}")),
            ContainerState::Dead | ContainerState::Removing => Verdict::Failed("is dead".into()),
            ContainerState::Restarting => Verdict::Failed("exits again and again".into()),
            ContainerState::Created | ContainerState::Paused => Verdict::Pending,
            ContainerState::Running => match (container.health, trial.proof) {
                (_, Proof::Staying) if now >= trial.until => Verdict::Passed,
                (_, Proof::Staying) => Verdict::Pending,
                (Health::Healthy, _) => Verdict::Passed,
                _ if self.facts.healthy.contains(id) => Verdict::Passed,
                (Health::Unhealthy, _) => Verdict::Failed("is unhealthy".into()),
                (_, Proof::Life) if now >= trial.until => Verdict::Passed,
                _ => Verdict::Pending,
            },
        }
    }

    /// Whether the container that this one replaces had come to its end by itself, as a job does.
    fn was_over_before(&self, container: &Container) -> bool {
        let replicas = replicas_of(&self.observed, &container.service);
        let old = replicas.get(&container.number).map(|replica| replica.current);
        old.is_some_and(|old| {
            old.id != container.id && !old.state.is_running() && old.finished_at <= container.created_at
        })
    }

    fn accept(&mut self, id: &str) {
        self.trials.remove(id);
        self.synced.remove(id);
        self.facts.unproven_syncs.remove(id);
        if self.is_replacement(id) {
            self.facts.proven.insert(id.to_owned());
        }
    }

    pub(super) fn reject(&mut self, id: &str, reason: String) {
        self.trials.remove(id);
        if !self.synced.contains_key(id) || self.is_replacement(id) {
            if self.observed.containers.contains_key(id) {
                self.facts.rejected.insert(id.to_owned(), reason);
            }
            return;
        }
        let Some(service) = self.observed.containers.get(id).map(|container| container.service.clone()) else {
            self.forget_sync(id);
            return;
        };
        // All replicas have the same files; none of them is to be restarted with these.
        for replica in replicas_of(&self.observed, &service).values() {
            let id = &replica.current.id;
            if self.synced.contains_key(id) {
                self.trials.remove(id);
                self.facts.restarts.remove(id);
                self.facts.restores.insert(id.clone(), reason.clone());
            }
        }
    }

    /// Files were copied into containers that have to prove themselves with them.
    pub(super) fn note_synced(&mut self, containers: &[ContainerId], batch: &PendingSync) {
        for id in containers {
            self.facts.unproven_syncs.insert(id.clone());
            match self.synced.get_mut(id) {
                Some(before) => before.add_newer(batch.clone()),
                None => drop(self.synced.insert(id.clone(), batch.clone())),
            }
        }
    }

    /// Files that were put back have to be copied again with the next change.
    pub(super) fn take_restored(&mut self, service: &str, id: &str) {
        if let Some(batch) = self.forget_sync(id) {
            let mut unsynced = self.unsynced.remove(service).unwrap_or_default();
            unsynced.add_newer(batch);
            self.unsynced.insert(service.to_owned(), unsynced);
        }
    }

    fn forget_sync(&mut self, id: &str) -> Option<PendingSync> {
        self.facts.restores.remove(id);
        self.facts.unproven_syncs.remove(id);
        self.synced.remove(id)
    }

    /// All that is known of a container's trial, because the container is gone.
    pub(super) fn forget_trial(&mut self, id: &str) {
        self.trials.remove(id);
        self.facts.proven.remove(id);
        self.facts.rejected.remove(id);
        self.forgiven.remove(id);
        self.forget_sync(id);
    }
}
