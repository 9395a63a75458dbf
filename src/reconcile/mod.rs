//! The state of a run and the one function that moves it.
//!
//! [`step`] takes what happened and returns what to do. It does no I/O, reads no clock (`now` is the time since the run
//! began) and prints nothing (it returns notices). Whatever happens, it ends by planning afresh: so a start, a saved
//! file, a crash and a shutdown are all the same thing.

mod answer;
mod changes;
mod containers;
pub mod edits;
mod ending;
pub mod event;
pub mod notice;
mod reload;
mod remarks;
mod shared;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
pub mod timings;
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::change::rules::Rules;
use crate::change::settle::Settle;
use crate::change::{PathState, SyncFiles};
use crate::graph::Graph;
use crate::plan::goal::{Goal, Until, Up};
use crate::plan::observed::{Container, ContainerId, Health, Observed};
use crate::plan::operation::{Hold, Operation};
use crate::plan::{Facts, PendingSync, Plan, Situation, orphans, plan, replicas_of};
use crate::project::{Condition, HealthTest, Project, Service};
use edits::Edit;
use ending::{Ending, Readiness};
use event::{Action, Event, Ticket};
use notice::Notice;
use timings::Timings;
use trials::Trial;

/// How long a run that ends by itself waits for an engine that does not answer.
const ENGINE_PATIENCE: Duration = Duration::from_secs(10);

/// What a run is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// What the manifest asks for.
    #[serde(with = "shared")]
    pub project: Arc<Project>,
    /// What the run is to bring about.
    pub goal: Goal,
    /// What saved files lead to; `None` when nothing is watched.
    #[serde(with = "shared::optional")]
    pub rules: Option<Arc<Rules>>,
    /// When the run begins: nanoseconds since 1970.
    pub began: u64,
    /// The digests of the builds' inputs as they lie on disk.
    pub inputs: BTreeMap<String, String>,
    /// The containers that have other files than there are now, which their image says nothing of: started with them, when
    /// they are without an image, or copied into them.
    #[serde(default)]
    pub stale: BTreeSet<ContainerId>,
    /// The files that rules with `initial_sync` bring into the containers before the first save.
    pub initial_syncs: BTreeMap<String, SyncFiles>,
    /// Pass on the containers' output.
    pub follow: bool,
}

/// The state of a run.
#[derive(Debug, Clone)]
pub struct State {
    /// What the manifest says.
    declared: Arc<Project>,
    /// The same with what has been provided since.
    project: Arc<Project>,
    graph: Graph,
    goal: Goal,
    rules: Option<Arc<Rules>>,
    follow: bool,
    observed: Observed,
    facts: Facts,
    listing: Listing,
    /// Containers of which something was heard after the full listing was asked for.
    newer: BTreeSet<ContainerId>,
    /// Whether a first listing has been seen.
    has_stock: bool,
    phase: Phase,
    in_flight: BTreeMap<Ticket, InFlight>,
    next_ticket: u64,
    changes: BTreeMap<PathBuf, PathState>,
    settle: Settle,
    reload: reload::Reload,
    manifest_edit: Option<edits::ManifestEdit>,
    probes: BTreeSet<ContainerId>,
    followed: BTreeMap<ContainerId, u64>,
    /// The starts whose first lines are not this run's to show: before it began, or shown already.
    heard: BTreeMap<ContainerId, u64>,
    started: BTreeMap<ContainerId, Duration>,
    /// Containers that this run removed. News of them that was under way then must not bring them back.
    gone: BTreeSet<ContainerId>,
    back_offs: BTreeMap<(String, u32), containers::BackOff>,
    trials: BTreeMap<ContainerId, Trial>,
    /// What was copied into containers for a restart that has not yet been seen to go well.
    synced: BTreeMap<ContainerId, PendingSync>,
    /// What was copied and put back, and is to be copied again with the next change.
    unsynced: BTreeMap<String, PendingSync>,
    /// Containers whose service was saved since they were made: that they fail as replacements keeps nothing back.
    forgiven: BTreeSet<ContainerId>,
    /// The files of rules with `initial_sync`, which every container of a service has from its beginning.
    initial: BTreeMap<String, SyncFiles>,
    /// What was copied into containers of a service since its image was last built: newer containers need it too.
    since_build: BTreeMap<String, PendingSync>,
    /// The same of an image that is being built anew: for the case that this fails.
    before_build: BTreeMap<String, PendingSync>,
    edits: BTreeMap<String, Edit>,
    next_edit: u64,
    /// When the reading of a build's files began.
    readings: BTreeMap<String, Duration>,
    lost_since: Option<Duration>,
    /// What is told of as long as it lasts.
    remarks: BTreeSet<String>,
    /// What the start has been spent on; `None` once it is over.
    timings: Option<Timings>,
}

/// Whether what is observed can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// A full listing has been asked for; nothing is begun until it is there.
    Awaited {
        /// Something was answered meanwhile, which the listing may not show: it must be asked for again.
        outdated: bool,
    },
    /// It is what the engine said last.
    Current,
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Not everything that was asked for has been up yet.
    Starting,
    /// Everything was up once.
    Up,
    /// It is coming to its end.
    Ending(Ending),
    /// It is over.
    Over,
}

/// An operation that was begun and has not been answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct InFlight {
    operation: Operation,
    began: Duration,
    cancelled: bool,
    sync: Option<PendingSync>,
    /// What the replacement did that is taken back: the engine may tell that it is gone before this is answered.
    rejected: Option<String>,
    /// Its service has been saved since, or since that was made; of a network or a volume, the manifest.
    forgiven: bool,
}

impl State {
    /// A run before anything has happened, and what to do first.
    ///
    /// # Errors
    /// The project's dependency cycles.
    pub fn new(setup: Setup) -> Result<(Self, Vec<Action>), Vec<Vec<String>>> {
        let graph = Graph::new(&setup.project)?;
        let initial = setup.initial_syncs;
        let syncs =
            initial.iter().map(|(service, files)| (service.clone(), PendingSync::initial(files.clone()))).collect();
        let facts = Facts {
            began: setup.began,
            inputs: setup.inputs,
            restarts: setup.stale,
            syncs,
            ..Facts::new(&setup.project)
        };
        let goal = with_restarted_dependents(&setup.project, &graph, setup.goal);
        let state = Self {
            declared: Arc::clone(&setup.project),
            project: setup.project,
            graph,
            goal,
            rules: setup.rules,
            follow: setup.follow,
            observed: Observed::default(),
            facts,
            listing: Listing::Awaited { outdated: false },
            newer: BTreeSet::new(),
            has_stock: false,
            phase: Phase::Starting,
            in_flight: BTreeMap::new(),
            next_ticket: 1,
            changes: BTreeMap::new(),
            settle: Settle::default(),
            reload: reload::Reload::default(),
            manifest_edit: None,
            probes: BTreeSet::new(),
            followed: BTreeMap::new(),
            heard: BTreeMap::new(),
            started: BTreeMap::new(),
            gone: BTreeSet::new(),
            back_offs: BTreeMap::new(),
            trials: BTreeMap::new(),
            synced: BTreeMap::new(),
            unsynced: BTreeMap::new(),
            forgiven: BTreeSet::new(),
            initial,
            since_build: BTreeMap::new(),
            before_build: BTreeMap::new(),
            edits: BTreeMap::new(),
            next_edit: 1,
            readings: BTreeMap::new(),
            lost_since: None,
            remarks: BTreeSet::new(),
            timings: Some(Timings::default()),
        };
        Ok((state, vec![Action::Observe]))
    }

    /// A run that has only looked and does nothing: for those who show what is left to do.
    ///
    /// # Errors
    /// The project's dependency cycles.
    pub fn looking(setup: Setup, observed: Observed) -> Result<Self, Vec<Vec<String>>> {
        let (mut state, _) = Self::new(setup)?;
        state.observed = observed;
        state.has_stock = true;
        state.take_stock(&mut Vec::new());
        Ok(state)
    }

    /// All that is left to do.
    #[must_use]
    pub fn plan(&self) -> Plan {
        match &self.phase {
            Phase::Over => Plan::default(),
            Phase::Ending(ending) => match &ending.stop {
                Some(goal) => plan(Situation { goal, ..self.situation() }),
                None => Plan::default(),
            },
            Phase::Starting | Phase::Up => plan(self.situation()),
        }
    }

    /// When [`step`] wants to be called with [`Event::Woken`], whatever else happens.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let settled = if self.changes.is_empty() { None } else { self.settle.deadline() };
        let back_off = self.back_offs.values().filter_map(|back_off| back_off.until).min();
        let patience = self.lost_since.filter(|_| !self.is_attached()).map(|since| since + ENGINE_PATIENCE);
        let patience = match &self.phase {
            Phase::Ending(ending) => ending.waits_since.map(|since| since + ENGINE_PATIENCE),
            _ => patience,
        };
        let timeout = match (&self.phase, self.up().map(|up| &up.until)) {
            (Phase::Starting, Some(Until::Ready { timeout })) => *timeout,
            _ => None,
        };
        [settled, back_off, patience, timeout, self.next_verdict()].into_iter().flatten().min()
    }

    /// Whether a path has changed and the burst of changes that it is of is not over.
    #[must_use]
    pub fn is_unsettled(&self, path: &Path) -> bool {
        self.changes.contains_key(path)
    }

    /// The project as the run has it now: as the manifest says, with what has been provided.
    #[must_use]
    pub fn project(&self) -> &Arc<Project> {
        &self.project
    }

    /// What is observed, for those who show it.
    #[must_use]
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// The containers of a service that do its work now.
    #[must_use]
    pub fn serving(&self, service: &str) -> BTreeSet<ContainerId> {
        replicas_of(&self.observed, service).values().map(|replica| replica.serving().id.clone()).collect()
    }

    /// The digest of what the image of a service would be built from, as it lay on disk when the run began.
    #[must_use]
    pub fn inputs(&self, service: &str) -> Option<&String> {
        self.facts.inputs.get(service)
    }

    /// Whether the containers of a service have files that no image tells of.
    #[must_use]
    pub fn has_copies(&self, service: &str) -> bool {
        let is_on_machine = self.project.services.get(service).is_some_and(Service::is_on_machine);
        is_on_machine || self.since_build.contains_key(service) || self.before_build.contains_key(service)
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            project: &self.project,
            graph: &self.graph,
            goal: &self.goal,
            observed: &self.observed,
            facts: &self.facts,
        }
    }

    fn up(&self) -> Option<&Up> {
        match &self.goal {
            Goal::Up(up) => Some(up),
            _ => None,
        }
    }

    /// Whether the run lasts until somebody ends it.
    fn is_attached(&self) -> bool {
        self.up().is_some_and(|up| matches!(up.until, Until::Interrupted { .. }))
    }

    fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending(_) | Phase::Over)
    }

    /// The services that the run is about.
    fn scope(&self) -> BTreeSet<String> {
        match &self.goal {
            Goal::Up(Up { services, .. })
            | Goal::Start { services }
            | Goal::Restart { services, .. }
            | Goal::Stop { services, .. } => services.clone(),
            Goal::Down(down) if down.services.is_empty() => {
                self.project.services.keys().chain(self.project.disabled.keys()).cloned().collect()
            }
            Goal::Down(down) => down.services.clone(),
        }
    }
}

/// The earliest moment at which the present life of a container can have said something: engines note a start only after
/// the process runs, when its first lines may be there already, and even its end.
fn first_output_of(container: &Container) -> u64 {
    const NOTED_LATE_NANOS: u64 = 100_000_000;
    let previous_end = if container.state.is_running() && container.finished_at <= container.started_at {
        container.finished_at
    } else {
        container.started_at.saturating_sub(NOTED_LATE_NANOS)
    };
    previous_end.max(container.created_at)
}

/// A restart of a service takes those along that ask for it with `depends_on.restart: true`.
fn with_restarted_dependents(project: &Project, graph: &Graph, goal: Goal) -> Goal {
    let Goal::Restart { mut services, grace, no_deps } = goal else { return goal };
    if !no_deps {
        let named: Vec<String> = services.iter().cloned().collect();
        for name in named {
            let wants = |dependent: &&str| {
                project.services[*dependent].depends_on.get(&name).is_some_and(|dependency| dependency.restart)
            };
            services.extend(graph.dependents(&name).into_iter().filter(wants).map(str::to_owned));
        }
    }
    Goal::Restart { services, grace, no_deps }
}

/// Moves the run by one event.
#[must_use]
pub fn step(state: &mut State, event: Event, now: Duration) -> Vec<Action> {
    if state.phase == Phase::Over {
        return Vec::new();
    }
    let mut actions = Vec::new();
    match event {
        Event::Observed(observed) => state.take_listing(observed, now, &mut actions),
        Event::Container { id, container } => state.take_container(&id, container.map(|it| *it), now, &mut actions),
        Event::Exited { id, code } => state.take_early_exit(&id, code, now, &mut actions),
        Event::Answered { ticket, answer, parts } => state.take_answer(ticket, answer, parts, now, &mut actions),
        Event::InputsRead { service, generation, digest } => state.take_inputs(&service, generation, digest, now),
        Event::ProbePassed { container } => state.take_probe(&container, now, &mut actions),
        Event::Changed(paths) => state.take_changes(paths, now),
        Event::Undone(paths) => state.take_back_changes(&paths),
        Event::Interrupted { code } => state.take_interrupt(code, &mut actions),
        Event::EngineLost { reason } => state.lose_engine(reason, now, &mut actions),
        Event::Reconnected => state.ask_for_listing(&mut actions),
        Event::RulesRead(rules) => state.rules = Some(rules),
        Event::Reloaded(reloaded) => state.take_reloaded(reloaded.map(|it| *it), now, &mut actions),
        Event::Woken => {}
    }
    state.pass_deadlines(now, &mut actions);
    state.settle(now, &mut actions);
    if let Some(timings) = &mut state.timings {
        timings.note(&actions, now);
    }
    actions
}

impl State {
    /// Plans afresh and begins, cancels, probes, follows or ends accordingly.
    fn settle(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.cancel_what_is_void(actions);
        self.judge(now);
        let plan = self.plan();
        if self.listing == Listing::Current && self.lost_since.is_none() {
            self.remark(&plan, actions);
            self.begin(&plan, now, actions);
        }
        self.probe(&plan, actions);
        self.follow(actions);
        self.tell_edits(&plan, now, actions);
        let was_ending = self.is_ending();
        self.conclude(&plan, now, actions);
        // A run that has just begun to end has another plan: what runs is to be stopped.
        if !was_ending && matches!(self.phase, Phase::Ending(_)) {
            self.settle(now, actions);
        }
    }

    fn begin(&mut self, plan: &Plan, now: Duration, actions: &mut Vec<Action>) {
        for entry in plan.runnable() {
            let target = entry.operation.target();
            // Two entries of one plan can be about the same thing; the second has its turn in a later plan.
            if !self.facts.busy.insert(target.clone()) {
                continue;
            }
            if entry.operation.starts() {
                self.facts.starting.insert(target);
            } else if matches!(entry.operation, Operation::Stop { .. }) {
                self.facts.stopping.insert(target);
            }
            let ticket = Ticket(self.next_ticket);
            self.next_ticket += 1;
            let sync = match &entry.operation {
                Operation::Sync { service, .. } => self.facts.syncs.remove(service),
                _ => None,
            };
            let operation = entry.operation.clone();
            self.note_begun(&operation);
            let edit = self.edit_of(operation.service());
            actions.push(Action::Tell(Notice::Began {
                operation: operation.clone(),
                cause: entry.cause.clone(),
                edit,
            }));
            actions.push(Action::Perform { ticket, operation: operation.clone() });
            let (rejected, forgiven) = match &operation {
                Operation::Revert { new, .. } => (self.facts.rejected.get(new).cloned(), self.forgiven.contains(new)),
                _ => (None, false),
            };
            let flight = InFlight { operation, began: now, cancelled: false, sync, rejected, forgiven };
            self.in_flight.insert(ticket, flight);
        }
    }

    /// A change from now on is one more.
    fn note_begun(&mut self, operation: &Operation) {
        match operation {
            Operation::Restart { container, .. } | Operation::Start { container, .. } => {
                self.facts.restarts.remove(container);
                self.trials.remove(container);
            }
            Operation::Build { service, .. } => {
                if let Some(copied) = self.since_build.remove(service) {
                    self.before_build.insert(service.clone(), copied);
                }
            }
            Operation::Stop { container, .. } => {
                // That it stops is nothing to be judged by. Where that is for a network that is made anew, it or its
                // successor is to run again, whether or not the engine comes to answer.
                self.trials.remove(container);
                self.facts.proven.remove(container);
                self.facts.pending.insert(container.clone());
                self.facts.fallbacks.insert(container.clone());
            }
            _ => {}
        }
    }

    /// A build whose sources have changed since is void, and so is any build, pull or sync of a run that ends.
    fn cancel_what_is_void(&mut self, actions: &mut Vec<Action>) {
        let ending = self.is_ending();
        for (ticket, flight) in &mut self.in_flight {
            let void = match &flight.operation {
                Operation::Build { service, generation } => ending || *generation < self.facts.generation(service),
                Operation::Provide { .. }
                | Operation::PrepareModel { .. }
                | Operation::Pull { .. }
                | Operation::Sync { .. } => ending,
                _ => false,
            };
            if void && !flight.cancelled {
                flight.cancelled = true;
                actions.push(Action::Cancel { ticket: *ticket });
            }
        }
    }

    /// Has the healthchecks run of those containers whose health somebody waits for.
    fn probe(&mut self, plan: &Plan, actions: &mut Vec<Action>) {
        let wanted = self.wanted_probes(plan);
        for container in self.probes.difference(&wanted.keys().cloned().collect()) {
            actions.push(Action::StopProbe { container: container.clone() });
        }
        let attached = self.is_attached();
        for (container, (service, waited_for)) in &wanted {
            if !self.probes.contains(container) {
                let (service, container) = (service.clone(), container.clone());
                actions.push(Action::Probe { service, container, urgent: *waited_for || !attached });
            }
        }
        self.probes = wanted.into_keys().collect();
    }

    /// The containers, each with its service and whether a dependent waits for it.
    fn wanted_probes(&self, plan: &Plan) -> BTreeMap<ContainerId, (String, bool)> {
        if self.is_ending() || self.observed.abilities.probes_early {
            return BTreeMap::new();
        }
        // Who waits for readiness, and who looks on, wants to know at once; who starts and leaves does not.
        let all = self.up().is_some_and(|up| up.until != Until::Started);
        let waited_for = plan.entries.iter().flat_map(|entry| &entry.holds).filter_map(|hold| match hold {
            Hold::Dependency { service, condition: Condition::Healthy } => Some(service.clone()),
            _ => None,
        });
        let waited_for: BTreeSet<String> = waited_for.collect();
        let services = if all { self.scope() } else { waited_for.clone() };
        let mut wanted = BTreeMap::new();
        for service in services {
            let runs_command = self.project.services.get(&service).is_some_and(|service| {
                service
                    .healthcheck
                    .as_ref()
                    .is_some_and(|check| matches!(check.test, HealthTest::Command(_) | HealthTest::Shell(_)))
            });
            if !runs_command {
                continue;
            }
            for replica in replicas_of(&self.observed, &service).values() {
                let container = replica.serving();
                let unknown = !matches!(container.health, Health::Healthy | Health::Unhealthy);
                if container.state.is_running() && unknown && !self.facts.healthy.contains(&container.id) {
                    wanted.insert(container.id.clone(), (service.clone(), waited_for.contains(&service)));
                }
            }
        }
        wanted
    }

    /// Passes on the output of every container of the run that runs, once for each of its starts.
    fn follow(&mut self, actions: &mut Vec<Action>) {
        // An engine that is away has nothing to pass on; asked for output, it would only fail, and not be asked again.
        if !self.follow || self.phase == Phase::Over || self.lost_since.is_some() {
            return;
        }
        let scope = self.scope();
        for container in self.observed.containers.values() {
            let ran = container.state.is_running() || self.started.contains_key(&container.id);
            if container.one_off || !ran || !scope.contains(&container.service) {
                continue;
            }
            if self.followed.get(&container.id) == Some(&container.started_at) {
                continue;
            }
            self.followed.insert(container.id.clone(), container.started_at);
            let is_heard = self.heard.get(&container.id) == Some(&container.started_at);
            let since = (!is_heard).then(|| first_output_of(container));
            actions.push(Action::Follow {
                service: container.service.clone(),
                number: container.number,
                container: container.id.clone(),
                since,
            });
        }
    }

    fn take_listing(&mut self, observed: Observed, now: Duration, actions: &mut Vec<Action>) {
        if self.listing == (Listing::Awaited { outdated: true }) {
            return self.look(actions);
        }
        if self.lost_since.take().is_some() {
            actions.push(Action::Tell(Notice::EngineBack));
            if let Phase::Ending(ending) = &mut self.phase {
                ending.waits_since = None;
            }
        }
        self.listing = Listing::Current;
        if let Some(timings) = &mut self.timings {
            timings.looked(now);
        }
        let before = std::mem::replace(&mut self.observed, observed);
        self.keep_newer(&before);
        if !self.has_stock {
            self.has_stock = true;
            self.take_stock(actions);
            return;
        }
        for (id, old) in before.containers {
            let new = self.observed.containers.get(&id).cloned();
            self.compare_container(&old, new.as_ref(), now, actions);
        }
    }

    /// Notes what is there when the run begins and has to be dealt with once.
    fn take_stock(&mut self, actions: &mut Vec<Action>) {
        self.take_stock_of_files();
        let scope = self.scope();
        let force = self.up().is_some_and(|up| up.force_recreate);
        let is_wanted = |container: &&Container| match &self.goal {
            Goal::Up(_) | Goal::Start { .. } => force || !container.state.is_running(),
            Goal::Restart { .. } => true,
            Goal::Stop { .. } | Goal::Down(_) => false,
        };
        let running = self.observed.containers.values().filter(|container| container.state.is_running());
        self.heard = running.map(|container| (container.id.clone(), container.started_at)).collect();
        let containers = self.observed.containers.values();
        let in_scope = containers.filter(|container| scope.contains(&container.service));
        self.facts.pending = in_scope.filter(is_wanted).map(|container| container.id.clone()).collect();
        let names: Vec<String> = orphans(self.situation()).map(|container| container.name.clone()).collect();
        if self.up().is_some_and(|up| !up.remove_orphans) && !names.is_empty() {
            actions.push(Action::Tell(Notice::Orphans { names }));
        }
    }

    /// Of containers with other files those without an image run their program again, and the others are made anew.
    fn take_stock_of_files(&mut self) {
        for id in std::mem::take(&mut self.facts.restarts) {
            let Some(container) = self.observed.containers.get(&id) else { continue };
            if !self.project.services.get(&container.service).is_some_and(Service::is_on_machine) {
                // Nor is the one better that it was about to take the place of.
                let same = |it: &&Container| it.service == container.service && it.number == container.number;
                let both = self.observed.containers.values().filter(same).filter(|it| !it.one_off);
                self.facts.overlaid.extend(both.map(|it| it.id.clone()));
            } else if container.state.is_running() {
                self.facts.restarts.insert(id);
            }
        }
    }

    fn lose_engine(&mut self, reason: String, now: Duration, actions: &mut Vec<Action>) {
        if self.lost_since.is_none() {
            self.lost_since = Some(now);
            // Their output breaks off with the connection; it is taken up again from the moment of the return.
            self.heard.append(&mut self.followed);
            self.started.clear();
            actions.push(Action::Tell(Notice::EngineLost { reason }));
        }
        self.ask_for_listing(actions);
    }

    fn ask_for_listing(&mut self, actions: &mut Vec<Action>) {
        match self.listing {
            Listing::Current => self.look(actions),
            Listing::Awaited { .. } => self.listing = Listing::Awaited { outdated: true },
        }
    }

    fn look(&mut self, actions: &mut Vec<Action>) {
        self.listing = Listing::Awaited { outdated: false };
        self.newer.clear();
        actions.push(Action::Observe);
    }

    /// Does what the passing of time alone brings about.
    fn pass_deadlines(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.pass_back_offs(now);
        if !self.changes.is_empty() && self.settle.deadline().is_some_and(|deadline| now >= deadline) {
            self.take_settled_changes(now, actions);
        }
        let lost = self.lost_since.is_some_and(|since| now >= since + ENGINE_PATIENCE);
        if lost && !self.is_attached() && !self.is_ending() {
            self.finish(1, actions);
        }
    }

    fn readiness(&self) -> Readiness {
        ending::readiness(self.situation(), &self.scope())
    }
}
