//! Desired × observed → operations, each with its cause and with the holds that keep it back.
//!
//! [`plan`] is computed afresh after every event; an operation that is done is simply no longer in it. So the loop
//! performs the entries without holds, `hoist plan` prints all of them, `hoist why` prints the holds, and there is no
//! stored plan that could go stale. Nothing here does anything.

pub(crate) mod conditions;
mod exchange;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod goal;
mod images;
mod networks;
pub mod observed;
pub mod operation;
mod replicas;
pub(crate) mod services;
pub mod spec;
mod teardown;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::change::SyncFiles;
use crate::graph::Graph;
use crate::project::provided::Provided;
use crate::project::{ConfigHashes, Hook, Project, Service};
use goal::Goal;
use observed::{ContainerId, Observed};
use operation::{Cause, Hold, Operation, Subject};

pub(crate) use conditions::is_restarted;
pub(crate) use networks::{changed_volumes, network_keys};
pub use replicas::{Replica, newest_of, replicas_of};
pub(crate) use services::orphans;

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// What the manifest asks for.
    pub project: &'a Project,
    /// Its dependency graph.
    pub graph: &'a Graph,
    /// What the run is to bring about.
    pub goal: &'a Goal,
    /// What the engine says.
    pub observed: &'a Observed,
    /// What the run itself knows.
    pub facts: &'a Facts,
}

/// What a run knows beside what the engine says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The hashes of what the manifest asks for.
    pub hashes: ConfigHashes,
    /// The digest of every build's inputs as they lay on disk when the run began.
    pub inputs: BTreeMap<String, String>,
    /// The source generation of every service whose files were saved during the run; missing is 0.
    pub generations: BTreeMap<String, u64>,
    /// When the run began: nanoseconds since 1970.
    pub began: u64,
    /// What providers have provided in this run, and which models are ready.
    pub provided: Provided,
    /// The services whose provider was told in this run to stop or to withdraw.
    pub withdrawn: BTreeSet<String>,
    /// The services whose image was pulled in this run.
    pub pulled: BTreeSet<String>,
    /// The source generation that each service's image was built from, for images built in this run.
    pub built: BTreeMap<String, u64>,
    /// Containers whose healthcheck passed before the engine noticed.
    pub healthy: BTreeSet<ContainerId>,
    /// Containers that were there when the run began and that its command has yet to deal with.
    pub pending: BTreeSet<ContainerId>,
    /// Containers that a watch rule wants restarted.
    pub restarts: BTreeSet<ContainerId>,
    /// Containers with copied files although their image holds all that is saved: only new ones are as it is.
    pub overlaid: BTreeSet<ContainerId>,
    /// Files that watch rules want copied, by service.
    pub syncs: BTreeMap<String, PendingSync>,
    /// What operations are under way on.
    pub busy: BTreeSet<Subject>,
    /// Replicas whose start is under way: they count as running before the engine says so.
    pub starting: BTreeSet<Subject>,
    /// Replicas whose stop is under way: they hold on to their networks until it is done.
    pub stopping: BTreeSet<Subject>,
    /// The source generation whose files were read, to tell whether the image is built from the same.
    pub read: BTreeMap<String, u64>,
    /// Services whose image is to be built whatever its files say: with other arguments, or on another image.
    pub built_otherwise: BTreeSet<String>,
    /// Replacements that have proved themselves, and are to take their places for good.
    pub proven: BTreeSet<ContainerId>,
    /// Replacements that have not, with what they did instead.
    pub rejected: BTreeMap<ContainerId, String>,
    /// Containers that ran until what was to take their place did, of which nothing runs now.
    pub fallbacks: BTreeSet<ContainerId>,
    /// Containers that did not come up with the files that were copied into them, with what they did instead.
    pub restores: BTreeMap<ContainerId, String>,
    /// Containers into which files were copied for a restart that has not yet been seen to go well.
    pub unproven_syncs: BTreeSet<ContainerId>,
    /// What failed, and nothing has changed since; with the reason.
    pub failures: BTreeMap<Subject, String>,
    /// Replicas that are started again only after a while.
    pub back_off: BTreeSet<(String, u32)>,
    /// Services that the manifest had when the run began and has no more.
    pub dropped: BTreeSet<String>,
    /// Replicas that have exited more often than their restart policy allows.
    pub exhausted: BTreeSet<(String, u32)>,
}

/// Files that are waiting to be copied into a service's containers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PendingSync {
    /// The files.
    pub files: SyncFiles,
    /// Restart the containers afterwards.
    pub restart: bool,
    /// Run these in the containers afterwards.
    pub exec: Vec<Hook>,
    /// The containers may have them already.
    pub compare: bool,
}

impl PendingSync {
    /// The files of rules with `initial_sync`.
    pub(crate) fn initial(files: SyncFiles) -> Self {
        Self { files, compare: true, ..Self::default() }
    }

    /// Adds what was saved later: its word on a path counts.
    pub(crate) fn add_newer(&mut self, newer: Self) {
        let older = std::mem::replace(self, newer);
        for (path, target) in older.files.copied {
            if !self.files.deleted.contains(&target) {
                self.files.copied.insert((path, target));
            }
        }
        let copied: BTreeSet<&String> = self.files.copied.iter().map(|(_, target)| target).collect();
        let deleted: Vec<String> = older.files.deleted.into_iter().filter(|target| !copied.contains(target)).collect();
        self.files.deleted.extend(deleted);
        self.restart |= older.restart;
        self.compare |= older.compare;
        for hook in older.exec {
            if !self.exec.contains(&hook) {
                self.exec.push(hook);
            }
        }
    }
}

impl Facts {
    /// What is known of a project before anything is observed.
    #[must_use]
    pub fn new(project: &Project) -> Self {
        Self { hashes: ConfigHashes::of(project), ..Self::default() }
    }

    /// Whether the restart policy brings a replica back that exited with this code.
    #[must_use]
    pub(crate) fn comes_back(&self, service: &Service, number: u32, code: i64) -> bool {
        is_restarted(service.restart, code) && !self.exhausted.contains(&(service.name.clone(), number))
    }

    /// Whether the files of a service have been read since they were last saved.
    #[must_use]
    pub(crate) fn are_inputs_read(&self, service: &str) -> bool {
        self.built_otherwise.contains(service)
            || self.read.get(service).copied().unwrap_or(0) >= self.generation(service)
    }

    /// The source generation of a service.
    #[must_use]
    pub fn generation(&self, service: &str) -> u64 {
        self.generations.get(service).copied().unwrap_or(0)
    }
}

/// All that is left to do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Plan {
    /// In the order of the graph, what others wait for first.
    pub entries: Vec<Entry>,
}

/// One operation of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What is to be done.
    pub operation: Operation,
    /// Why.
    pub cause: Cause,
    /// What keeps it back; nothing means that it can be done now.
    pub holds: Vec<Hold>,
}

impl Plan {
    /// The entries that nothing keeps back.
    pub fn runnable(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.holds.is_empty())
    }

    /// Whether nothing can move any more without something changing: every entry waits for something that failed.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        !self.entries.is_empty() && self.entries.iter().all(|entry| entry.is_stuck(self))
    }
}

impl Entry {
    /// Whether this entry waits for something that failed, by itself or through another entry that does.
    #[must_use]
    pub(crate) fn is_stuck(&self, plan: &Plan) -> bool {
        let failed = |entry: &Self| entry.holds.iter().any(Hold::is_failure);
        let service = self.operation.service();
        let through_another = |hold: &Hold| match hold {
            Hold::Image { .. } | Hold::Container | Hold::Order { .. } => {
                plan.entries.iter().any(|other| other.operation.service() == service && failed(other))
            }
            // A chain of those that stop one after the other ends at one that can be stopped or at one that could not.
            Hold::Dependent { .. } | Hold::InUse => plan.entries.iter().any(failed),
            _ => false,
        };
        failed(self) || self.holds.iter().any(through_another)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.operation, self.cause)?;
        for (position, hold) in self.holds.iter().enumerate() {
            write!(formatter, "{} {hold}", if position == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| writeln!(formatter, "{entry}"))
    }
}

/// All that is left to do in this situation.
#[must_use]
pub fn plan(situation: Situation<'_>) -> Plan {
    let mut entries = match situation.goal {
        Goal::Up(up) => services::up(situation, up),
        Goal::Start { services } => services::start(situation, services),
        Goal::Restart { services, .. } => services::restart(situation, services),
        Goal::Stop { services, .. } => teardown::stop(situation, services),
        Goal::Down(down) => teardown::down(situation, down),
    };
    for entry in &mut entries {
        entry.holds.extend(common_holds(situation.facts, &entry.operation));
        entry.holds.sort();
        entry.holds.dedup();
    }
    Plan { entries }
}

/// The holds that any operation may have.
fn common_holds(facts: &Facts, operation: &Operation) -> Vec<Hold> {
    let target = operation.target();
    let mut holds = Vec::new();
    if facts.busy.contains(&target) || is_sync_under_way(facts, operation) {
        holds.push(Hold::Busy);
    }
    // A new version that failed does not keep the one before from getting its files back.
    let is_undoing = matches!(operation, Operation::Restore { .. });
    if let Some(reason) = facts.failures.get(&target).filter(|_| !is_undoing) {
        holds.push(Hold::Failed { reason: reason.clone() });
    }
    holds
}

/// Files are not copied into a container that is being exchanged, nor is one restarted while files are copied.
fn is_sync_under_way(facts: &Facts, operation: &Operation) -> bool {
    match operation {
        Operation::Sync { service, .. } => {
            facts.busy.iter().any(|subject| matches!(subject, Subject::Replica(name, _) if name == service))
        }
        Operation::Exchange { service, .. }
        | Operation::Restart { service, .. }
        | Operation::Restore { service, .. } => facts.busy.contains(&Subject::Files(service.clone())),
        _ => false,
    }
}
