//! What only a cluster does, as it is meant.

use std::time::Duration;

use super::given;
use super::service::duration;
use crate::manifest::raw::deploy::{Order, UpdateConfig};
use crate::manifest::raw::scalars::Span;
use crate::manifest::raw::service::Service as RawService;
use crate::project::cluster::{Cluster, Mode, Update};

pub(super) fn cluster(raw: &RawService) -> Cluster {
    let never_restarts = raw.restart == "no";
    let Some(deploy) = raw.deploy.as_ref().and_then(|deploy| deploy.0.as_ref()) else {
        return Cluster { never_restarts, ..Cluster::default() };
    };
    let reserved = deploy.resources.reservations.as_ref();
    let policy = deploy.restart_policy.as_ref();
    let generic = reserved.iter().flat_map(|reserved| &reserved.generic_resources);
    let period = |span: Option<Span>| span.map(duration).filter(|duration| !duration.is_zero());
    Cluster {
        mode: match deploy.mode.as_str() {
            "global" => Mode::Global,
            "replicated-job" => Mode::ReplicatedJob,
            "global-job" => Mode::GlobalJob,
            _ => Mode::Replicated,
        },
        update: deploy.update_config.as_ref().map(update),
        rollback: deploy.rollback_config.as_ref().map(update),
        constraints: deploy.placement.constraints.clone(),
        spread: deploy.placement.preferences.iter().filter_map(|preference| given(&preference.spread)).collect(),
        max_per_node: deploy
            .placement
            .max_replicas_per_node
            .and_then(|most| u32::try_from(most.0).ok())
            .filter(|most| *most > 0),
        endpoint_mode: given(&deploy.endpoint_mode),
        labels: deploy.labels.0.clone(),
        reserved_nano_cpus: reserved
            .and_then(|reserved| reserved.cpus)
            .and_then(|cpus| super::machine::scaled(cpus, 1e9)),
        generic: generic
            .filter_map(|generic| generic.discrete_resource_spec.as_ref())
            .map(|spec| (spec.kind.clone(), spec.value.map_or(0, |value| value.0)))
            .collect(),
        never_restarts: policy.map_or(never_restarts, |policy| policy.condition == "none"),
        restart_delay: period(policy.and_then(|policy| policy.delay)),
        restart_window: period(policy.and_then(|policy| policy.window)),
    }
}

fn update(raw: &UpdateConfig) -> Update {
    let period = |span: Option<Span>| span.map(duration).filter(|period: &Duration| !period.is_zero());
    Update {
        parallelism: raw.parallelism.map_or(1, |count| u32::try_from(count.0).unwrap_or(u32::MAX)),
        delay: period(raw.delay),
        failure_action: given(&raw.failure_action),
        monitor: period(raw.monitor),
        max_failure_thousandths: raw
            .max_failure_ratio
            .and_then(|ratio| super::machine::scaled(ratio, 1e3))
            .and_then(|ratio| u32::try_from(ratio).ok()),
        is_start_first: raw.order == Some(Order::StartFirst),
    }
}
