//! How pods are exchanged for newer ones.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{
    DaemonSetUpdateStrategy, DeploymentStrategy, RollingUpdateDaemonSet, RollingUpdateDeployment,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::project::Service;
use crate::project::cluster::Update;

use super::container::seconds;
use super::{Export, service_key};

/// A Deployment's strategy. A claim that only one node can mount is let go before it is taken again.
pub(super) fn deployment(service: &Service, holds_claim: bool, export: &mut Export) -> Option<DeploymentStrategy> {
    note(service, export);
    if holds_claim {
        if service.cluster.update.as_ref().is_some_and(|update| update.is_start_first) {
            let reason = "the old pod stops first: only one of them can mount the volume";
            export.approximated(service_key(service, "deploy.update_config.order"), reason);
        }
        return Some(DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None });
    }
    let update = service.cluster.update.as_ref()?;
    let many = many(update);
    let none = IntOrString::Int(0);
    let (max_surge, max_unavailable) = if update.is_start_first { (many, none) } else { (none, many) };
    Some(DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(max_surge),
            max_unavailable: Some(max_unavailable),
        }),
    })
}

/// A `DaemonSet`'s strategy.
pub(super) fn daemon_set(service: &Service, export: &mut Export) -> Option<DaemonSetUpdateStrategy> {
    note(service, export);
    let update = service.cluster.update.as_ref()?;
    let many = many(update);
    let none = IntOrString::Int(0);
    let (max_surge, max_unavailable) = if update.is_start_first { (many, none) } else { (none, many) };
    Some(DaemonSetUpdateStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDaemonSet {
            max_surge: Some(max_surge),
            max_unavailable: Some(max_unavailable),
        }),
    })
}

/// What a `StatefulSet` does otherwise: it exchanges its pods one by one, the last one first.
pub(super) fn note_stateful_set(service: &Service, export: &mut Export) {
    note(service, export);
    if service.cluster.update.as_ref().is_some_and(|update| update.is_start_first || update.parallelism != 1) {
        let reason = "a StatefulSet exchanges its pods one by one, the old one first";
        export.approximated(service_key(service, "deploy.update_config"), reason);
    }
}

/// How long a new pod must be ready before the next one is exchanged.
pub(super) fn min_ready(service: &Service) -> Option<i32> {
    let update = service.cluster.update.as_ref()?;
    let longest: Option<Duration> = update.delay.max(update.monitor);
    longest.map(seconds)
}

fn many(update: &Update) -> IntOrString {
    match update.parallelism {
        0 => IntOrString::String("100%".to_owned()),
        count => IntOrString::Int(i32::try_from(count).unwrap_or(i32::MAX)),
    }
}

fn note(service: &Service, export: &mut Export) {
    let cluster = &service.cluster;
    if let Some(update) = &cluster.update {
        if update.failure_action.as_deref().is_some_and(|action| action != "pause") {
            let key = service_key(service, "deploy.update_config.failure_action");
            export.dropped(key, "a rollout that fails stops where it is; `kubectl rollout undo` takes it back");
        }
        if update.max_failure_thousandths.is_some_and(|ratio| ratio > 0) {
            let key = service_key(service, "deploy.update_config.max_failure_ratio");
            export.dropped(key, "a rollout goes on only while its pods become ready");
        }
        if update.delay.is_some() || update.monitor.is_some() {
            let key = service_key(service, "deploy.update_config.delay");
            export.approximated(key, "a new pod must have been ready that long before the next one is exchanged");
        }
    }
    if cluster.rollback.is_some() {
        let key = service_key(service, "deploy.rollback_config");
        export.dropped(key, "a rollout is taken back as another rollout");
    }
}
