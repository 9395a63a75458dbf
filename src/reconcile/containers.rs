//! What the engine's news of single containers, and hoist's own probes, change.

use std::time::Duration;

use super::event::Action;
use super::notice::Notice;
use super::{Listing, State};
use crate::plan::goal::Until;
use crate::plan::is_restarted;
use crate::plan::observed::{Container, ContainerState, Health, Observed};
use crate::plan::operation::Subject;
use crate::project::RestartPolicy;

/// The first pause before a container that exited is started again; the engine's own restart comes before it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A container that ran this long has recovered.
const RECOVERED_AFTER_NANOS: u64 = 10_000_000_000;

/// How often a replica has exited in a row, and until when it rests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BackOff {
    failures: u32,
    pub(super) until: Option<Duration>,
}

impl State {
    pub(super) fn take_container(
        &mut self,
        id: &str,
        container: Option<Container>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        if self.gone.contains(id) {
            return;
        }
        if matches!(self.listing, Listing::Awaited { .. }) {
            self.newer.insert(id.to_owned());
        }
        let old = self.observed.containers.get(id).cloned();
        match container {
            Some(container) => {
                self.observed.containers.insert(id.to_owned(), container.clone());
                if let Some(old) = old {
                    self.compare_container(&old, Some(&container), now, actions);
                }
            }
            None => self.forget(id),
        }
    }

    /// What was heard of a container while the listing was under way counts, unless the listing saw more of its life.
    pub(super) fn keep_newer(&mut self, before: &Observed) {
        for id in std::mem::take(&mut self.newer) {
            let Some(heard) = before.containers.get(&id) else {
                self.observed.containers.remove(&id);
                continue;
            };
            let moment = |it: &Container| it.started_at.max(it.finished_at);
            let is_newer = |listed: &Container| moment(listed) > moment(heard);
            if !self.observed.containers.get(&id).is_some_and(is_newer) {
                self.observed.containers.insert(id, heard.clone());
            }
        }
    }

    /// An exit, known before the engine lets itself be asked about the container.
    pub(super) fn take_early_exit(&mut self, id: &str, code: i64, now: Duration, actions: &mut Vec<Action>) {
        let Some(old) = self.observed.containers.get(id).filter(|container| container.state.is_running()) else {
            return;
        };
        let finished_at = self.facts.began.saturating_add(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        let exited = Container { state: ContainerState::Exited(code), finished_at, ..old.clone() };
        self.take_container(id, Some(exited), now, actions);
    }

    /// Tells what has become of a container, and lets it rest when it exited by itself.
    pub(super) fn compare_container(
        &mut self,
        old: &Container,
        new: Option<&Container>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Some(new) = new else {
            self.forget(&old.id);
            return;
        };
        if !new.state.is_running() || new.started_at != old.started_at {
            self.facts.healthy.remove(&new.id);
        }
        if new.state.is_running() {
            self.tell_health(old, new, now, actions);
        }
        let subject = Subject::Replica(new.service.clone(), new.number);
        let is_expected = new.one_off || self.facts.busy.contains(&subject) || self.is_ending();
        let has_run =
            old.state.is_running() || old.state == ContainerState::Restarting || new.started_at != old.started_at;
        if let ContainerState::Exited(code) = new.state
            && has_run
            && !is_expected
            && self.scope().contains(&new.service)
            && !self.is_on_trial(new)
        {
            self.take_exit(new, code, now, actions);
        }
    }

    fn tell_health(&mut self, old: &Container, new: &Container, now: Duration, actions: &mut Vec<Action>) {
        match new.health {
            Health::Healthy if old.health != Health::Healthy && !self.facts.healthy.contains(&new.id) => {
                actions.extend(self.healthy_notice(new, now));
            }
            Health::Unhealthy => {
                self.facts.healthy.remove(&new.id);
                if old.health != Health::Unhealthy {
                    let (service, number) = (new.service.clone(), new.number);
                    actions.push(Action::Tell(Notice::Unhealthy { service, number }));
                }
            }
            _ => {}
        }
    }

    /// Of a container that this run started; of others it is not known since when they are healthy.
    fn healthy_notice(&mut self, container: &Container, now: Duration) -> Option<Action> {
        let took = now.saturating_sub(*self.started.get(&container.id)?);
        self.note_healthy(&container.service, took);
        let edit = self.edit_of(Some(&container.service));
        let (service, number) = (container.service.clone(), container.number);
        Some(Action::Tell(Notice::Healthy { service, number, took, edit }))
    }

    /// Whether it is known of a container, one way or the other, how its healthcheck ends.
    pub(super) fn is_decided_healthy(&self, container: &Container) -> bool {
        self.facts.healthy.contains(&container.id) || matches!(container.health, Health::Healthy | Health::Unhealthy)
    }

    pub(super) fn take_probe(&mut self, id: &str, now: Duration, actions: &mut Vec<Action>) {
        let Some(container) = self.observed.containers.get(id).cloned() else { return };
        let already = container.health == Health::Healthy || self.facts.healthy.contains(id);
        if container.state.is_running() && !already {
            actions.extend(self.healthy_notice(&container, now));
            self.facts.healthy.insert(id.to_owned());
        }
    }

    pub(super) fn take_exit(&mut self, container: &Container, code: i64, now: Duration, actions: &mut Vec<Action>) {
        let key = (container.service.clone(), container.number);
        let policy = self.project.services.get(&container.service).map(|service| service.restart).unwrap_or_default();
        let mut restart_in = is_restarted(policy, code).then(|| {
            let back_off = self.back_offs.entry(key.clone()).or_default();
            if container.finished_at.saturating_sub(container.started_at) >= RECOVERED_AFTER_NANOS {
                back_off.failures = 0;
            }
            let pause = FIRST_PAUSE.saturating_mul(1 << back_off.failures.min(5)).min(LONGEST_PAUSE);
            back_off.failures += 1;
            back_off.until = Some(now + pause);
            self.facts.back_off.insert(key.clone());
            pause
        });
        let failures = self.back_offs.get(&key).map_or(0, |back_off| back_off.failures);
        if let RestartPolicy::OnFailure { max_retries: Some(most) } = policy
            && failures > most
        {
            self.facts.exhausted.insert(key);
            restart_in = None;
        }
        actions.push(Action::Tell(Notice::Exited {
            service: container.service.clone(),
            number: container.number,
            code,
            restart_in,
        }));
        self.abort_after_exit(code, actions);
    }

    /// `--abort-on-container-exit` and its kin.
    fn abort_after_exit(&mut self, code: i64, actions: &mut Vec<Action>) {
        let Some(Until::Interrupted { abort_on_exit, abort_on_failure, .. }) = self.up().map(|up| &up.until) else {
            return;
        };
        if *abort_on_exit || *abort_on_failure && code != 0 {
            self.finish(exit_code(code), actions);
        }
    }

    pub(super) fn pass_back_offs(&mut self, now: Duration) {
        for (key, back_off) in &mut self.back_offs {
            if back_off.until.is_some_and(|until| now >= until) {
                back_off.until = None;
                self.facts.back_off.remove(key);
            }
        }
    }
}

/// A container's exit code as this process's own.
pub(super) fn exit_code(code: i64) -> u8 {
    u8::try_from(code).unwrap_or(1)
}
