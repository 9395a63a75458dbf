//! What a container uses of its machine, as it is meant. An attribute's twin below `deploy` wins.

use std::collections::BTreeMap;

use super::given;
use crate::manifest::raw::deploy::DeviceRequest as RawRequest;
use crate::manifest::raw::forms::Form;
use crate::manifest::raw::limits::{BlkioConfig, BlkioLimit, Device as RawDevice, Ulimit as RawUlimit};
use crate::manifest::raw::scalars::{Real, Whole};
use crate::manifest::raw::service::{Logging as RawLogging, Service as RawService};
use crate::project::{
    BlockLimits, BlockRate, BlockWeight, Device, DeviceRequest, Devices, Dns, Limits, Logging, Namespaces, Sharing,
    Ulimit,
};

pub(super) fn limits(raw: &RawService) -> Limits {
    let resources = raw.deploy.as_ref().and_then(|deploy| deploy.0.as_ref()).map(|deploy| &deploy.resources);
    let most = resources.and_then(|resources| resources.limits.as_ref());
    let kept = resources.and_then(|resources| resources.reservations.as_ref());
    let whole = |value: Option<Whole>| value.map(|value| value.0).filter(|value| *value != 0);
    let bytes = |size: i64| Some(size).filter(|size| *size != 0);
    let cpus = most.and_then(|most| most.cpus).or(raw.cpus).and_then(|cpus| scaled(cpus, 1e9));
    let memory = most.and_then(|most| most.memory).map_or(raw.mem_limit.0, |memory| memory.0);
    let reservation = kept.and_then(|kept| kept.memory).map_or(raw.mem_reservation.0, |memory| memory.0);
    Limits {
        nano_cpus: cpus,
        cpu_shares: whole(raw.cpu_shares),
        cpu_period: whole(raw.cpu_period),
        cpu_quota: whole(raw.cpu_quota),
        cpu_rt_period: raw.cpu_rt_period.map(|time| time.0).filter(|time| *time != 0),
        cpu_rt_runtime: raw.cpu_rt_runtime.map(|time| time.0).filter(|time| *time != 0),
        cpu_count: raw.cpu_count.map(|count| count.0).filter(|count| *count != 0),
        cpu_percent: raw.cpu_percent.map(|percent| percent.0 * 100).filter(|percent| *percent != 0),
        cpuset: given(&raw.cpuset),
        memory: bytes(memory),
        memory_reservation: bytes(reservation),
        memory_swap: bytes(raw.memswap_limit.0),
        memory_swappiness: raw.mem_swappiness.map(|swappiness| swappiness.0),
        oom_kill_disable: raw.oom_kill_disable.0,
        oom_score_adj: raw.oom_score_adj.map(|score| score.0).filter(|score| *score != 0),
        pids: whole(most.and_then(|most| most.pids).or(raw.pids_limit)),
        shm_size: bytes(raw.shm_size.0),
        block: raw.blkio_config.as_ref().map(block_limits).unwrap_or_default(),
        ulimits: ulimits(&raw.ulimits),
    }
}

/// A number in smaller units, of which only whole ones count.
pub(super) fn scaled(number: Real, units: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a share of processors is small")]
    let scaled = (number.0 * units).round() as i64;
    Some(scaled).filter(|scaled| *scaled != 0)
}

fn block_limits(raw: &BlkioConfig) -> BlockLimits {
    let rates = |limits: &[BlkioLimit]| {
        limits.iter().map(|limit| BlockRate { path: limit.path.clone(), rate: limit.rate.0 }).collect()
    };
    let weight =
        |raw: &crate::manifest::raw::limits::BlkioWeight| BlockWeight { path: raw.path.clone(), weight: raw.weight.0 };
    BlockLimits {
        weight: raw.weight.map(|weight| weight.0),
        weight_device: raw.weight_device.iter().map(weight).collect(),
        read_bps: rates(&raw.device_read_bps),
        read_iops: rates(&raw.device_read_iops),
        write_bps: rates(&raw.device_write_bps),
        write_iops: rates(&raw.device_write_iops),
    }
}

pub(super) fn ulimits(raw: &BTreeMap<String, Form<RawUlimit>>) -> BTreeMap<String, Ulimit> {
    let ulimit = |raw: &RawUlimit| {
        let (soft, hard) = raw.both();
        Ulimit { soft, hard }
    };
    raw.iter().map(|(name, Form(raw))| (name.clone(), ulimit(raw))).collect()
}

pub(super) fn devices(raw: &RawService) -> Devices {
    let deploy = raw.deploy.as_ref().and_then(|deploy| deploy.0.as_ref());
    let reserved = deploy.and_then(|deploy| deploy.resources.reservations.as_ref());
    let reserved = reserved.iter().flat_map(|reserved| &reserved.devices).map(request);
    let gpus = raw.gpus.iter().flat_map(|gpus| &gpus.0).map(|raw| {
        let mut gpu = request(raw);
        if !gpu.capabilities.iter().any(|capability| capability == "gpu") {
            gpu.capabilities.push("gpu".to_owned());
        }
        gpu
    });
    Devices {
        mapped: raw.devices.iter().map(|Form(raw)| device(raw)).collect(),
        requests: reserved.chain(gpus).collect(),
        rules: raw.device_cgroup_rules.0.clone(),
    }
}

fn device(raw: &RawDevice) -> Device {
    Device {
        source: raw.source.clone(),
        target: given(&raw.target).unwrap_or_else(|| raw.source.clone()),
        permissions: given(&raw.permissions).unwrap_or_else(|| "rwm".to_owned()),
    }
}

fn request(raw: &RawRequest) -> DeviceRequest {
    DeviceRequest {
        driver: given(&raw.driver),
        count: raw.count.map(|count| count.0),
        ids: raw.device_ids.0.clone(),
        capabilities: raw.capabilities.0.clone(),
        options: raw.options.0.clone(),
    }
}

pub(super) fn namespaces(raw: &RawService) -> Namespaces {
    Namespaces {
        pid: raw.pid.as_ref().and_then(|pid| pid.0.as_deref()).and_then(sharing),
        ipc: sharing(&raw.ipc),
        uts: given(&raw.uts),
        user: given(&raw.userns_mode),
        cgroup: given(&raw.cgroup),
        cgroup_parent: given(&raw.cgroup_parent),
    }
}

fn sharing(mode: &str) -> Option<Sharing> {
    let mode = given(mode)?;
    Some(if let Some(service) = mode.strip_prefix("service:") {
        Sharing::Service(service.to_owned())
    } else if let Some(container) = mode.strip_prefix("container:") {
        Sharing::Container(container.to_owned())
    } else {
        Sharing::Mode(mode)
    })
}

pub(super) fn dns(raw: &RawService) -> Dns {
    Dns { servers: raw.dns.0.clone(), options: raw.dns_opt.0.clone(), search: raw.dns_search.0.clone() }
}

pub(super) fn logging(raw: &RawLogging) -> Logging {
    Logging { driver: given(&raw.driver), options: raw.options.0.clone() }
}
