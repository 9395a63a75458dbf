//! Whether a dependency has reached the state that a start waits for.

use super::goal::Goal;
use super::observed::{Container, ContainerState, Health};
use super::{Situation, replicas_of};
use crate::project::{Condition, HealthTest, RestartPolicy, Service};

/// How a dependency stands towards a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It holds.
    Met,
    /// It may come to hold.
    Waiting,
    /// It cannot come to hold unless something changes; with the reason.
    Failed(String),
}

/// How the containers of a service that nothing more is planned for stand towards a condition.
pub(crate) fn standing(situation: Situation<'_>, service: &Service, condition: Condition) -> Standing {
    let replicas = replicas_of(situation.observed, &service.name);
    match situation.goal {
        // It makes none: those that there are have to do.
        Goal::Start { .. } if replicas.is_empty() => return Standing::Failed("has no container".into()),
        Goal::Start { .. } => {}
        _ if (replicas.len() as u64) < u64::from(service.replicas) => return Standing::Waiting,
        _ => {}
    }
    let mut all = Standing::Met;
    for replica in replicas.values() {
        let serving = replica.serving();
        if replica.replacement.is_some() && !serving.state.is_running() {
            // One has gone and the other is about to come.
            all = Standing::Waiting;
            continue;
        }
        match container_standing(situation, service, serving, condition) {
            Standing::Met => {}
            Standing::Waiting => all = Standing::Waiting,
            failed @ Standing::Failed(_) => return failed,
        }
    }
    all
}

fn container_standing(
    situation: Situation<'_>,
    service: &Service,
    container: &Container,
    condition: Condition,
) -> Standing {
    let pending = situation.facts.pending.contains(&container.id) && !container.state.is_running();
    match (container.state, condition) {
        _ if pending => Standing::Waiting,
        (ContainerState::Exited(0), Condition::Completed) => Standing::Met,
        (state, Condition::Started) if state.is_running() || state.has_exited() => Standing::Met,
        (ContainerState::Running | ContainerState::Paused, Condition::Healthy) => {
            health_standing(situation, service, container)
        }
        (ContainerState::Exited(code), _) if !situation.facts.comes_back(service, container.number, code) => {
            Standing::Failed(format!("exited with code {code}"))
        }
        (ContainerState::Dead, _) => Standing::Failed("is dead".into()),
        _ => Standing::Waiting,
    }
}

fn health_standing(situation: Situation<'_>, service: &Service, container: &Container) -> Standing {
    if situation.facts.healthy.contains(&container.id) {
        return Standing::Met;
    }
    match container.health {
        Health::Healthy => Standing::Met,
        Health::Starting => Standing::Waiting,
        Health::Unhealthy => Standing::Failed("is unhealthy".into()),
        // Some engines report a healthcheck only once it has run.
        Health::None if has_own_healthcheck(service) => Standing::Waiting,
        Health::None => Standing::Failed("has no healthcheck".into()),
    }
}

/// Whether the manifest itself gives the service a healthcheck.
pub(crate) fn has_own_healthcheck(service: &Service) -> bool {
    service
        .healthcheck
        .as_ref()
        .is_some_and(|check| matches!(check.test, HealthTest::Command(_) | HealthTest::Shell(_)))
}

/// Whether a policy starts a container again that exited with this code.
pub(crate) fn is_restarted(policy: RestartPolicy, code: i64) -> bool {
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure { .. } => code != 0,
    }
}
