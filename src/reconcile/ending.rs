//! When a run is over, and with which code.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::containers::exit_code;
use super::event::Action;
use super::notice::Notice;
use super::{ENGINE_PATIENCE, Listing, Phase, State};
use crate::plan::conditions::{Standing, standing};
use crate::plan::goal::{Goal, Until};
use crate::plan::observed::{Container, ContainerState, Health};
use crate::plan::operation::Hold;
use crate::plan::{Plan, Situation, replicas_of};
use crate::project::Condition;

/// A run on its way to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    /// The exit code, unless a container gives it.
    pub(super) code: u8,
    /// What is to be stopped first; `None` leaves everything as it is.
    pub(super) stop: Option<Goal>,
    /// How often the person has asked.
    pub(super) interrupts: u8,
    /// Since when the engine is waited for, without which nothing can be stopped.
    pub(super) waits_since: Option<Duration>,
}

/// Whether everything is up in the sense of `--wait`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Yes.
    Ready,
    /// Not these services yet.
    Waiting(Vec<String>),
    /// This service never will be, for this reason.
    Failed(String, String),
}

/// Judges every service of the scope: healthy where it has a healthcheck, completed where that is all that others
/// need of it, else running.
pub(super) fn readiness(situation: Situation<'_>, scope: &BTreeSet<String>) -> Readiness {
    let mut waiting = Vec::new();
    for name in scope {
        let Some(service) = situation.project.services.get(name) else { continue };
        if service.replicas == 0 {
            continue;
        }
        let condition = ready_condition(situation, name);
        let replicas = replicas_of(situation.observed, name);
        match standing(situation, service, condition) {
            Standing::Failed(reason) => return Readiness::Failed(name.clone(), reason),
            Standing::Waiting => waiting.push(name.clone()),
            Standing::Met if replicas.values().any(|replica| replica.replacement.is_some()) => {
                waiting.push(name.clone());
            }
            Standing::Met if condition == Condition::Started => {
                let exited = replicas.values().find_map(|replica| match replica.current.state {
                    ContainerState::Exited(code) => Some(code),
                    _ => None,
                });
                if let Some(code) = exited {
                    return Readiness::Failed(name.clone(), format!("exited with code {code}"));
                }
            }
            Standing::Met => {}
        }
    }
    if waiting.is_empty() { Readiness::Ready } else { Readiness::Waiting(waiting) }
}

/// The services of which something is left to do.
fn not_up(plan: &Plan) -> Vec<String> {
    let services: BTreeSet<&str> = plan.entries.iter().filter_map(|entry| entry.operation.service()).collect();
    services.into_iter().map(str::to_owned).collect()
}

fn ready_condition(situation: Situation<'_>, name: &str) -> Condition {
    let only_completes =
        situation.project.services.values().any(|other| {
            other.depends_on.get(name).is_some_and(|dependency| dependency.condition == Condition::Completed)
        });
    if only_completes {
        return Condition::Completed;
    }
    let replicas = replicas_of(situation.observed, name);
    let is_checked = replicas.values().any(|replica| replica.serving().health != Health::None)
        || situation.project.services.get(name).is_some_and(crate::plan::conditions::has_own_healthcheck);
    if is_checked { Condition::Healthy } else { Condition::Started }
}

impl State {
    /// The first asks the run to stop, the second kills what does not stop, the third leaves at once.
    pub(super) fn take_interrupt(&mut self, code: u8, actions: &mut Vec<Action>) {
        let Phase::Ending(ending) = &mut self.phase else {
            self.finish(code, actions);
            if let Phase::Ending(ending) = &mut self.phase {
                ending.interrupts = 1;
                if self.lost_since.is_some() && ending.stop.is_some() && self.may_have_left() {
                    actions.push(Action::Tell(Notice::StopWaits { patience: ENGINE_PATIENCE }));
                }
            }
            return;
        };
        ending.interrupts += 1;
        ending.code = code;
        if ending.interrupts > 2 || self.lost_since.is_some() {
            if self.lost_since.is_some() && self.may_have_left() {
                actions.push(Action::Tell(Notice::LeftRunning { containers: self.left() }));
            }
            self.phase = Phase::Over;
            actions.push(Action::End { code });
            return;
        }
        if let Some(Goal::Stop { services, .. }) = &ending.stop {
            actions.push(Action::Tell(Notice::Killing));
            let running = self.observed.containers.values().filter(|container| container.state.is_running());
            let own = running.filter(|container| services.contains(&container.service) && !container.one_off);
            actions.extend(own.map(|container| Action::Kill { container: container.id.clone() }));
        }
    }

    /// Begins the end. An attached run stops its services first.
    pub(super) fn finish(&mut self, code: u8, actions: &mut Vec<Action>) {
        if self.is_ending() {
            return;
        }
        // What was taken out of the manifest just now may still run.
        let services = || self.scope().into_iter().chain(self.facts.dropped.iter().cloned()).collect();
        let grace = self.up().and_then(|up| up.grace);
        let stop = self.is_attached().then(|| Goal::Stop { services: services(), grace });
        if stop.is_some() {
            actions.push(Action::Tell(Notice::Stopping));
            // What could not be started must not be kept from being stopped.
            self.facts.failures.clear();
        }
        self.changes.clear();
        self.phase = Phase::Ending(Ending { code, stop, interrupts: 0, waits_since: None });
    }

    /// Ends the run, or moves it to its next phase, when there is nothing left to do.
    pub(super) fn conclude(&mut self, plan: &Plan, now: Duration, actions: &mut Vec<Action>) {
        if self.lost_since.is_some() && self.is_ending() {
            self.conclude_out_of_reach(now, actions);
            return;
        }
        if let Phase::Ending(ending) = &self.phase {
            let stopped = plan.entries.is_empty() || plan.is_stuck();
            let nothing_left = ending.stop.is_none() || stopped && self.listing == Listing::Current;
            if self.in_flight.is_empty() && nothing_left {
                let code = self.final_code(ending.code);
                self.phase = Phase::Over;
                actions.push(Action::End { code });
            }
            return;
        }
        if self.listing != Listing::Current || self.lost_since.is_some() || !self.in_flight.is_empty() {
            self.time_out(now, actions);
            return;
        }
        if plan.is_stuck() && self.phase == Phase::Starting {
            self.tell_root_failures(plan, actions);
            if self.goes_on_without_what_failed() {
                self.phase = Phase::Up;
                self.tell_up(plan, now, actions);
            } else {
                self.finish(1, actions);
            }
            return;
        }
        match self.up().map(|up| up.until.clone()) {
            None | Some(Until::Started) if plan.entries.is_empty() => {
                self.tell_up(plan, now, actions);
                self.finish(0, actions);
            }
            Some(Until::Ready { .. }) => self.conclude_ready(plan, now, actions),
            Some(Until::Interrupted { .. }) => self.conclude_attached(plan, now, actions),
            _ => {}
        }
    }

    /// Whether somebody looks on whose next save can mend what failed, and something runs that they would lose.
    fn goes_on_without_what_failed(&self) -> bool {
        let Some(Until::Interrupted { abort_on_exit, abort_on_failure, exit_code_from }) =
            self.up().map(|up| &up.until)
        else {
            return false;
        };
        let is_asked_to_end = *abort_on_exit || *abort_on_failure || exit_code_from.is_some();
        self.rules.is_some() && !is_asked_to_end && !self.left().is_empty()
    }

    /// The end without an engine: what is to be stopped waits for its return a while, and is then named.
    fn conclude_out_of_reach(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let may_have_left = self.may_have_left();
        let Phase::Ending(ending) = &mut self.phase else { return };
        let waits_since = *ending.waits_since.get_or_insert(now);
        let code = ending.code;
        if ending.stop.is_none() || !may_have_left {
            actions.push(Action::End { code: self.final_code(code) });
        } else if now >= waits_since + ENGINE_PATIENCE {
            actions.push(Action::Tell(Notice::LeftRunning { containers: self.left() }));
            actions.push(Action::End { code: 1 });
        } else {
            return;
        }
        self.phase = Phase::Over;
    }

    /// Whether anything may run that the run would have to stop.
    fn may_have_left(&self) -> bool {
        !self.in_flight.is_empty() || !self.left().is_empty()
    }

    /// The containers of the run that ran when the engine was last heard of.
    fn left(&self) -> Vec<String> {
        let scope = self.scope();
        let own = self.observed.containers.values().filter(|it| scope.contains(&it.service) && !it.one_off);
        let running = own.filter(|it| it.state.is_running() || it.state == ContainerState::Restarting);
        let mut names: Vec<String> = running.map(|it| format!("{}-{}", it.service, it.number)).collect();
        names.sort();
        names
    }

    fn conclude_ready(&mut self, plan: &Plan, now: Duration, actions: &mut Vec<Action>) {
        match self.readiness() {
            Readiness::Failed(service, reason) => {
                self.tell_failure(&service, Vec::new(), reason, actions);
                self.finish(1, actions);
            }
            Readiness::Ready if plan.entries.is_empty() => {
                self.tell_up(plan, now, actions);
                self.finish(0, actions);
            }
            Readiness::Ready | Readiness::Waiting(_) => self.time_out(now, actions),
        }
    }

    fn time_out(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let Some(Until::Ready { timeout: Some(timeout) }) = self.up().map(|up| up.until.clone()) else { return };
        if now >= timeout {
            let services = match self.readiness() {
                Readiness::Waiting(services) => services,
                Readiness::Ready | Readiness::Failed(..) => Vec::new(),
            };
            actions.push(Action::Tell(Notice::TimedOut { services }));
            self.finish(1, actions);
        }
    }

    fn conclude_attached(&mut self, plan: &Plan, now: Duration, actions: &mut Vec<Action>) {
        if self.phase == Phase::Starting && plan.entries.is_empty() {
            self.phase = Phase::Up;
            self.tell_up(plan, now, actions);
        }
        if self.phase == Phase::Up && plan.entries.is_empty() && self.has_all_exited() {
            self.finish(0, actions);
        }
    }

    /// Whether nothing runs any more and no save could bring it back.
    fn has_all_exited(&self) -> bool {
        let scope = self.scope();
        let own: Vec<&Container> = self
            .observed
            .containers
            .values()
            .filter(|container| scope.contains(&container.service) && !container.one_off)
            .collect();
        let over = own.iter().all(|container| matches!(container.state, ContainerState::Exited(_)));
        let failed = own.iter().any(|container| matches!(container.state, ContainerState::Exited(code) if code != 0));
        over && (self.rules.is_none() || !failed)
    }

    /// The code of the container that `--exit-code-from` names, else the run's own.
    fn final_code(&self, code: u8) -> u8 {
        let Some(Until::Interrupted { exit_code_from: Some(service), .. }) = self.up().map(|up| &up.until) else {
            return code;
        };
        let replicas = replicas_of(&self.observed, service);
        let exited = replicas.values().find_map(|replica| match replica.current.state {
            ContainerState::Exited(code) => Some(exit_code(code)),
            _ => None,
        });
        exited.unwrap_or(code)
    }

    fn tell_up(&mut self, plan: &Plan, now: Duration, actions: &mut Vec<Action>) {
        if self.up().is_none() {
            return;
        }
        let scope = self.scope();
        let is_own = |container: &&Container| scope.contains(&container.service) && !container.one_off;
        let running =
            self.observed.containers.values().filter(is_own).filter(|container| container.state.is_running()).count();
        let path = self.timings.take().map(|mut timings| {
            timings.note(actions, now);
            timings.path(&self.project)
        });
        actions.push(Action::Tell(Notice::Up {
            running,
            took: now,
            path: path.unwrap_or_default(),
            without: not_up(plan),
        }));
    }

    /// Names the services at the root of what cannot come up, and those that need them.
    fn tell_root_failures(&self, plan: &Plan, actions: &mut Vec<Action>) {
        let mut roots: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
        let held: Vec<(&str, &Hold)> = plan
            .entries
            .iter()
            .filter_map(|entry| Some((entry.operation.service()?, entry)))
            .flat_map(|(service, entry)| entry.holds.iter().map(move |hold| (service, hold)))
            .collect();
        let waits_itself = |service: &str| {
            held.iter().any(|(name, hold)| *name == service && matches!(hold, Hold::DependencyFailed { .. }))
        };
        for (name, hold) in &held {
            let Hold::DependencyFailed { service, reason } = hold else { continue };
            if !waits_itself(service) {
                let entry = roots.entry(service.clone()).or_insert_with(|| (reason.clone(), BTreeSet::new()));
                entry.1.insert((*name).to_owned());
            }
        }
        // What failed has been told of when it did; what was never begun has not.
        for (name, hold) in &held {
            let Hold::Failed { reason } = hold else { continue };
            if !self.facts.failures.values().any(|told| told == reason) {
                roots.insert((*name).to_owned(), (reason.clone(), BTreeSet::new()));
            }
        }
        for (service, (reason, needed_by)) in roots {
            self.tell_failure(&service, needed_by.into_iter().collect(), reason, actions);
        }
    }

    fn tell_failure(&self, service: &str, needed_by: Vec<String>, reason: String, actions: &mut Vec<Action>) {
        let replicas = replicas_of(&self.observed, service);
        let container = replicas
            .values()
            .find(|replica| !replica.current.state.is_running() || replica.current.health == Health::Unhealthy)
            .filter(|replica| replica.current.state != ContainerState::Created)
            .map(|replica| replica.current.id.clone());
        actions.push(Action::Tell(Notice::ServiceFailed { service: service.to_owned(), needed_by, reason, container }));
    }
}
