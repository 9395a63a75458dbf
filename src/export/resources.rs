//! What a container may use of its node, and what is kept for it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::project::Service;
use crate::project::syntax::quantity;

use super::{Context, Export, service_key};

/// What is kept for a container whose number the load decides when nobody says how much: an autoscaler counts in
/// per cent of it.
const SCALED_CPU: &str = "100m";
const SCALED_MEMORY: &str = "128Mi";

/// The requests and limits of a service's container.
pub(super) fn of(context: &Context<'_>, service: &Service, export: &mut Export) -> Option<ResourceRequirements> {
    let limits = &service.limits;
    let mut most = BTreeMap::new();
    let mut kept = BTreeMap::new();
    if let Some(cpus) = processors(service) {
        most.insert("cpu", cpus);
    }
    if let Some(memory) = limits.memory.filter(|memory| *memory > 0) {
        most.insert("memory", bytes(memory));
    }
    if let Some(cpus) = service.cluster.reserved_nano_cpus.filter(|cpus| *cpus > 0) {
        kept.insert("cpu", millis(cpus));
    }
    if let Some(memory) = limits.memory_reservation.filter(|memory| *memory > 0) {
        kept.insert("memory", bytes(memory));
    }
    for (part, resources) in [("request", &mut kept), ("limit", &mut most)] {
        let label = format!("kompose.ephemeral-storage.{part}");
        if let Some(size) = context.kompose(service, &label).filter(|size| quantity(size).is_some()) {
            resources.insert("ephemeral-storage", size.to_owned());
        }
    }
    let mut devices = BTreeMap::new();
    for request in &service.devices.requests {
        let is_gpu = request.capabilities.iter().any(|capability| ["gpu", "nvidia"].contains(&capability.as_str()));
        let vendor = if request.driver.as_deref() == Some("amd") { "amd.com/gpu" } else { "nvidia.com/gpu" };
        match request.count {
            Some(count) if is_gpu && count > 0 => drop(devices.insert(vendor, count.to_string())),
            _ if is_gpu => {
                let count = request.ids.len().max(1);
                let key = service_key(service, "gpus");
                export.approximated(key, format!("{count} of a node's GPUs: Kubernetes knows neither all nor which"));
                devices.insert(vendor, count.to_string());
            }
            _ => export.dropped(service_key(service, "devices"), "only GPUs are requested as a resource of nodes"),
        }
    }
    if let Some(scale) = &context.settings(service).autoscale {
        let mut needed = |resource, target: Option<u32>, amount: &str, attribute| {
            if target.is_some() && !kept.contains_key(resource) && !most.contains_key(resource) {
                kept.insert(resource, amount.to_owned());
                let reason = format!("counted in per cent of a request of {amount}: write `deploy.resources`");
                export.approximated(service_key(service, attribute), reason);
            }
        };
        needed("cpu", scale.cpu, SCALED_CPU, "x-hoist.kubernetes.autoscale.cpu");
        needed("memory", scale.memory, SCALED_MEMORY, "x-hoist.kubernetes.autoscale.memory");
    }
    for (resource, request) in &mut kept {
        // An API server refuses a request above its limit.
        if let Some(limit) = most.get(resource).filter(|limit| quantity(limit) < quantity(request)) {
            let key = service_key(service, "deploy.resources.reservations");
            export.approximated(key, format!("no more is requested than the limit of {limit}"));
            request.clone_from(limit);
        }
    }
    most.extend(devices);
    note(service, export);
    let list = |resources: BTreeMap<&str, String>| -> Option<BTreeMap<String, Quantity>> {
        let resources: BTreeMap<_, _> =
            resources.into_iter().map(|(name, amount)| (name.to_owned(), Quantity(amount))).collect();
        (!resources.is_empty()).then_some(resources)
    };
    let (limits, requests) = (list(most), list(kept));
    let any = limits.is_some() || requests.is_some();
    any.then(|| ResourceRequirements { limits, requests, ..ResourceRequirements::default() })
}

/// Processors at most: a number of them, or time within a period.
fn processors(service: &Service) -> Option<String> {
    let limits = &service.limits;
    if let Some(cpus) = limits.nano_cpus.filter(|cpus| *cpus > 0) {
        return Some(millis(cpus));
    }
    let quota = limits.cpu_quota.filter(|quota| *quota > 0)?;
    let period = limits.cpu_period.filter(|period| *period > 0).unwrap_or(100_000);
    Some(millis(quota.saturating_mul(1_000_000_000) / period))
}

/// Billionths of a processor as thousandths, rounded up: `500m`, `2`.
fn millis(nano: i64) -> String {
    let millis = nano / 1_000_000 + i64::from(nano % 1_000_000 > 0);
    if millis % 1000 == 0 { (millis / 1000).to_string() } else { format!("{millis}m") }
}

/// Bytes in the largest unit that leaves nothing over: `512Mi`.
pub(super) fn bytes(bytes: i64) -> String {
    let units = [(1_i64 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    let unit = units.iter().find(|(size, _)| bytes >= *size && bytes % size == 0);
    unit.map_or_else(|| bytes.to_string(), |(size, unit)| format!("{}{unit}", bytes / size))
}

/// What no pod can say of its use of a node.
fn note(service: &Service, export: &mut Export) {
    let limits = &service.limits;
    let node = "what a node gives each of its pods is set on the node";
    let drops = [
        (limits.cpu_shares.is_some(), "cpu_shares", "shares follow from requests: write `deploy.resources`"),
        (limits.cpu_rt_period.is_some(), "cpu_rt_period", node),
        (limits.cpu_rt_runtime.is_some(), "cpu_rt_runtime", node),
        (limits.cpu_count.is_some(), "cpu_count", "only containers of Windows have it"),
        (limits.cpu_percent.is_some(), "cpu_percent", "only containers of Windows have it"),
        (limits.cpuset.is_some(), "cpuset", node),
        (limits.memory_swap.is_some(), "memswap_limit", node),
        (limits.memory_swappiness.is_some(), "mem_swappiness", node),
        (limits.oom_kill_disable, "oom_kill_disable", "a pod without memory is always ended"),
        (limits.oom_score_adj.is_some(), "oom_score_adj", "it follows from requests and limits"),
        (limits.pids.is_some(), "pids_limit", node),
        (limits.block != crate::project::BlockLimits::default(), "blkio_config", node),
        (!limits.ulimits.is_empty(), "ulimits", "they are those of the node's container runtime"),
        (!service.devices.mapped.is_empty(), "devices", "a device of a node needs a plug-in there, or `privileged`"),
        (!service.devices.rules.is_empty(), "device_cgroup_rules", "a device of a node needs a plug-in there"),
        (!service.cluster.generic.is_empty(), "deploy.resources.reservations.generic_resources", node),
    ];
    for (_, attribute, reason) in drops.into_iter().filter(|(is_written, ..)| *is_written) {
        export.dropped(service_key(service, attribute), reason);
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, millis};

    #[test]
    fn amounts_are_written_in_whole_units() {
        assert_eq!([millis(500_000_000), millis(2_000_000_000), millis(1)], ["500m", "2", "1m"]);
        assert_eq!([bytes(512 << 20), bytes(3 << 30), bytes(1000), bytes(1536)], ["512Mi", "3Gi", "1000", "1536"]);
    }
}
