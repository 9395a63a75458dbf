//! How many pods there are: what the load asks for, and how many may be missing while a node is emptied.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
    ResourceMetricSource,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::project::Service;
use crate::project::kubernetes::{Autoscale, WorkloadKind};

use super::pod::{metadata, selector};
use super::{Context, Export, Kind, service_key, workload};

/// How many pods there are at the most.
pub(super) fn most_replicas(context: &Context<'_>, service: &Service) -> u32 {
    context.settings(service).autoscale.map_or(service.replicas, |scale| scale.max)
}

fn fewest_replicas(context: &Context<'_>, service: &Service) -> u32 {
    context.settings(service).autoscale.map_or(service.replicas, |scale| fewest(service, scale))
}

fn fewest(service: &Service, scale: Autoscale) -> u32 {
    scale.min.unwrap_or(service.replicas).clamp(1, scale.max)
}

/// Writes the autoscaler and the disruption budget of a service's pods, where there is something to say.
pub(super) fn write<'a>(context: &Context<'a>, service: &'a Service, export: &mut Export) {
    let name = context.names.service(&service.name);
    let target = match context.kind(service) {
        WorkloadKind::Deployment => Kind::Deployment,
        WorkloadKind::StatefulSet => Kind::StatefulSet,
        WorkloadKind::DaemonSet | WorkloadKind::Job | WorkloadKind::CronJob => {
            if context.settings(service).autoscale.is_some() {
                let key = service_key(service, "x-hoist.kubernetes.autoscale");
                export.dropped(key, "only a Deployment or a StatefulSet has as many pods as the load asks for");
            }
            return;
        }
    };
    if let Some(scale) = context.settings(service).autoscale {
        let spec = HorizontalPodAutoscalerSpec {
            max_replicas: count(scale.max),
            metrics: Some([metric("cpu", scale.cpu), metric("memory", scale.memory)].into_iter().flatten().collect()),
            min_replicas: Some(count(fewest(service, scale))),
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some(target.api_version().to_owned()),
                kind: target.as_str().to_owned(),
                name: workload::object_name(context, service),
            },
            behavior: None,
        };
        let metadata = metadata(context, &name, Some(service));
        export.objects.push(HorizontalPodAutoscaler { metadata, spec: Some(spec), status: None }.into());
    }
    if fewest_replicas(context, service) > 1 {
        let spec = PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector { match_labels: Some(selector(context, service)), match_expressions: None }),
            ..PodDisruptionBudgetSpec::default()
        };
        let metadata = metadata(context, &name, Some(service));
        export.objects.push(PodDisruptionBudget { metadata, spec: Some(spec), status: None }.into());
    }
}

/// A number of pods.
pub(super) fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn metric(resource: &str, utilization: Option<u32>) -> Option<MetricSpec> {
    let target = MetricTarget {
        average_utilization: Some(count(utilization?)),
        type_: "Utilization".to_owned(),
        ..MetricTarget::default()
    };
    Some(MetricSpec {
        resource: Some(ResourceMetricSource { name: resource.to_owned(), target }),
        type_: "Resource".to_owned(),
        ..MetricSpec::default()
    })
}
