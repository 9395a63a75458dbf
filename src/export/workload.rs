//! What owns the pods of a service: a Deployment keeps them running, a `StatefulSet` gives each a volume of its own, a
//! `DaemonSet` puts one on every node, a Job or `CronJob` lets them run to their end.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, Deployment, DeploymentSpec, StatefulSet, StatefulSetSpec};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use crate::project::cluster::Mode;
use crate::project::kubernetes::{Concurrency, WorkloadKind};
use crate::project::{MountSource, RestartPolicy, Service};

use super::name::shortened;
use super::pod::{self, Parts, metadata, selector};
use super::scale::count;
use super::{Context, Export, Object, restarts_always, service_key, storage, update, wait};

/// The most retries that a Job makes when the manifest sets no limit; Kubernetes' own default.
const DEFAULT_RETRIES: i32 = 6;

/// What owns the pods of a service: what it asks for, else what the rest of the manifest means.
pub(super) fn kind(context: &Context<'_>, service: &Service) -> WorkloadKind {
    let settings = context.settings(service);
    if settings.schedule.is_some() && !matches!(settings.kind, Some(kind) if kind != WorkloadKind::CronJob) {
        return WorkloadKind::CronJob;
    }
    match settings.kind {
        // Nothing says when it would run.
        Some(WorkloadKind::CronJob) => return WorkloadKind::Job,
        Some(kind) => return kind,
        None => {}
    }
    match service.cluster.mode {
        Mode::Global => return WorkloadKind::DaemonSet,
        Mode::ReplicatedJob | Mode::GlobalJob => return WorkloadKind::Job,
        Mode::Replicated => {}
    }
    if ends(context, service) {
        return WorkloadKind::Job;
    }
    if settings.autoscale.is_none() && service.replicas == 1 && writes_alone(context, service) {
        return WorkloadKind::StatefulSet;
    }
    WorkloadKind::Deployment
}

/// Whether it runs to its end: others wait for that, or it is told not to be started again, does something of its own
/// and is reached by nobody.
fn ends(context: &Context<'_>, service: &Service) -> bool {
    if restarts_always(service) {
        return false;
    }
    if context.awaited.contains(service.name.as_str()) {
        return true;
    }
    let words = || service.entrypoint.iter().chain(&service.command).flatten();
    let is_endless = words().any(|word| {
        ["sleep infinity", "tail -f"].iter().any(|endless| word.contains(endless)) || word == "infinity" || word == "-f"
    });
    service.cluster.never_restarts
        && words().next().is_some()
        && !is_endless
        && service.ports.is_empty()
        && service.expose.is_empty()
        && service.healthcheck.is_none()
        && !context.needed.contains(service.name.as_str())
        && context.hosts.mentions(&service.name).is_none()
}

/// Whether it writes a named volume that no other pod writes.
fn writes_alone(context: &Context<'_>, service: &Service) -> bool {
    let Some(pod) = context.pods.get(service.name.as_str()) else { return false };
    pod.iter().flat_map(|service| &service.mounts).any(|mount| match &mount.source {
        MountSource::Volume { key, .. } => {
            let users = context.volume_users.get(key.as_str());
            !mount.read_only
                && !storage::is_in_memory(context, key)
                && users.is_some_and(|users| users.values().filter(|writes| **writes).count() == 1)
        }
        _ => false,
    })
}

/// The name of what owns a service's pods. That of a `CronJob`'s run and that of a `StatefulSet`'s revision have eleven
/// letters more.
pub(super) fn object_name<'a>(context: &Context<'a>, service: &'a Service) -> String {
    let name = context.names.service(&service.name);
    match context.kind(service) {
        WorkloadKind::CronJob | WorkloadKind::StatefulSet => shortened(&name, 52),
        _ => name,
    }
}

/// Writes the owner of the pods that some services share; the first of them gives it its name.
pub(super) fn write<'a>(context: &Context<'a>, services: &[&'a Service], export: &mut Export) {
    let Some(service) = services.first().copied() else { return };
    let (pod, parts) = pod::of(context, services, export);
    note_mode(context, service, export);
    let object = match context.kind(service) {
        WorkloadKind::Deployment => deployment(context, service, pod, &parts, export),
        WorkloadKind::StatefulSet => stateful_set(context, service, pod, parts, export),
        WorkloadKind::DaemonSet => daemon_set(context, service, pod, export),
        WorkloadKind::Job => job(context, service, pod, export),
        WorkloadKind::CronJob => cron_job(context, service, pod, export),
    };
    export.objects.push(object);
}

fn note_mode(context: &Context<'_>, service: &Service, export: &mut Export) {
    let settings = context.settings(service);
    if settings.kind == Some(WorkloadKind::CronJob) && settings.schedule.is_none() {
        let reason = "nothing says when it runs: write a `schedule`; it is a Job, which runs once";
        export.approximated(service_key(service, "x-hoist.kubernetes.kind"), reason);
    }
    if service.cluster.mode == Mode::GlobalJob {
        let reason = "a Job runs where there is room, not on every node";
        export.approximated(service_key(service, "deploy.mode"), reason);
    }
}

fn labels(context: &Context<'_>, service: &Service) -> LabelSelector {
    LabelSelector { match_labels: Some(selector(context, service)), match_expressions: None }
}

fn note_restart(service: &Service, kind: &str, export: &mut Export) {
    if let RestartPolicy::OnFailure { .. } = service.restart {
        let reason = format!("a {kind} starts its pods again whatever they exit with");
        export.approximated(service_key(service, "restart"), reason);
    } else if service.cluster.never_restarts {
        let reason = format!("a {kind} starts its pods again; `x-hoist.kubernetes.kind: Job` runs it once");
        export.approximated(service_key(service, "restart"), reason);
    }
}

/// How many pods there are; nothing where the load decides, which an apply must not undo.
fn replicas(context: &Context<'_>, service: &Service) -> Option<i32> {
    context.settings(service).autoscale.is_none().then(|| count(service.replicas))
}

fn deployment(
    context: &Context<'_>,
    service: &Service,
    template: PodTemplateSpec,
    parts: &Parts,
    export: &mut Export,
) -> Object {
    note_restart(service, "Deployment", export);
    if parts.holds_claim && service.replicas > 1 {
        let reason = "all replicas share its ReadWriteOnce claims, and so must run on one node";
        export.approximated(service_key(service, "deploy.replicas"), reason);
    }
    Deployment {
        metadata: metadata(context, &context.names.service(&service.name), Some(service)),
        spec: Some(DeploymentSpec {
            min_ready_seconds: update::min_ready(service),
            replicas: replicas(context, service),
            selector: labels(context, service),
            strategy: update::deployment(service, parts.holds_claim, export),
            template,
            ..DeploymentSpec::default()
        }),
        status: None,
    }
    .into()
}

fn stateful_set<'a>(
    context: &Context<'a>,
    service: &'a Service,
    template: PodTemplateSpec,
    parts: Parts,
    export: &mut Export,
) -> Object {
    note_restart(service, "StatefulSet", export);
    update::note_stateful_set(service, export);
    StatefulSet {
        metadata: metadata(context, &object_name(context, service), Some(service)),
        spec: Some(StatefulSetSpec {
            min_ready_seconds: update::min_ready(service),
            pod_management_policy: (service.replicas > 1).then(|| "Parallel".to_owned()),
            replicas: replicas(context, service),
            selector: labels(context, service),
            service_name: Some(context.names.service(&service.name)),
            template,
            volume_claim_templates: (!parts.claims.is_empty()).then_some(parts.claims),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
    .into()
}

fn daemon_set(context: &Context<'_>, service: &Service, template: PodTemplateSpec, export: &mut Export) -> Object {
    note_restart(service, "DaemonSet", export);
    if service.replicas != 1 {
        export.dropped(service_key(service, "deploy.replicas"), "there is one pod on every node");
    }
    DaemonSet {
        metadata: metadata(context, &context.names.service(&service.name), Some(service)),
        spec: Some(DaemonSetSpec {
            min_ready_seconds: update::min_ready(service),
            selector: labels(context, service),
            template,
            update_strategy: update::daemon_set(service, export),
            ..DaemonSetSpec::default()
        }),
        status: None,
    }
    .into()
}

fn job(context: &Context<'_>, service: &Service, template: PodTemplateSpec, export: &mut Export) -> Object {
    let reason = "a Job: it runs once, and must be deleted before it is applied again in another form";
    export.approximated(format!("services.{}", service.name), reason);
    Job {
        metadata: metadata(context, &context.names.service(&service.name), Some(service)),
        spec: Some(job_spec(context, service, template, export)),
        status: None,
    }
    .into()
}

fn job_spec(context: &Context<'_>, service: &Service, mut template: PodTemplateSpec, export: &mut Export) -> JobSpec {
    let retries = match service.restart {
        RestartPolicy::OnFailure { max_retries: Some(retries) } => i32::try_from(retries).unwrap_or(i32::MAX),
        RestartPolicy::OnFailure { max_retries: None } => {
            let reason = format!("it gives up after {DEFAULT_RETRIES} retries; `on-failure:N` says how many");
            export.approximated(service_key(service, "restart"), reason);
            DEFAULT_RETRIES
        }
        // What does not wait has to try again until what it depends on is there.
        RestartPolicy::No if service.depends_on.is_empty() || wait::waits(context, service) => 0,
        RestartPolicy::No => DEFAULT_RETRIES,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => {
            export
                .approximated(service_key(service, "restart"), "it runs to its end, and is tried again when it fails");
            DEFAULT_RETRIES
        }
    };
    let written = context.kompose(service, "kompose.cronjob.backoff_limit").and_then(|limit| limit.parse().ok());
    if let Some(spec) = &mut template.spec {
        let policy = if service.restart == RestartPolicy::No { "Never" } else { "OnFailure" };
        spec.restart_policy = Some(policy.to_owned());
    }
    let replicas = count(service.replicas);
    let parallel = (replicas != 1).then_some(replicas);
    JobSpec {
        backoff_limit: Some(written.filter(|limit| *limit >= 0).unwrap_or(retries)),
        completions: parallel,
        parallelism: parallel,
        template,
        ..JobSpec::default()
    }
}

fn cron_job<'a>(context: &Context<'a>, service: &'a Service, template: PodTemplateSpec, export: &mut Export) -> Object {
    let settings = context.settings(service);
    let schedule = settings.schedule.as_ref();
    let spec = job_spec(context, service, template, export);
    let labels = spec.template.metadata.as_ref().and_then(|metadata| metadata.labels.clone());
    let policy = match schedule.map(|schedule| schedule.concurrency).unwrap_or_default() {
        Concurrency::Allow => "Allow",
        Concurrency::Forbid => "Forbid",
        Concurrency::Replace => "Replace",
    };
    CronJob {
        metadata: metadata(context, &object_name(context, service), Some(service)),
        spec: Some(CronJobSpec {
            concurrency_policy: Some(policy.to_owned()),
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta { labels, ..ObjectMeta::default() }),
                spec: Some(spec),
            },
            schedule: schedule.map(|schedule| schedule.cron.clone()).unwrap_or_default(),
            time_zone: schedule.and_then(|schedule| schedule.time_zone.clone()),
            ..CronJobSpec::default()
        }),
        status: None,
    }
    .into()
}
