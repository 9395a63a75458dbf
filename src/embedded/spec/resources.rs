//! Limits: cgroups, `ulimits`, and how willingly the kernel kills a container that has used up the memory.

use bollard_stubs::models::{HostConfig, ThrottleDevice};
use libcontainer::oci_spec::runtime::{
    LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxDeviceCgroup, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources,
    LinuxResourcesBuilder, LinuxThrottleDevice, LinuxThrottleDeviceBuilder, LinuxWeightDevice,
    LinuxWeightDeviceBuilder, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
};

use super::super::error::Error;
use super::{Control, Machine, unbuildable};

/// Least memory that a container can be limited to.
const LEAST_MEMORY: i64 = 6 * 1024 * 1024;
/// Microseconds of which `cpus` are a part.
const PERIOD: u64 = 100_000;

/// Limits by cgroups, as they can be changed on a container that runs. `devices` are the rules of a new one, and empty for
/// one that runs.
pub fn resources(
    host: &HostConfig,
    machine: &Machine,
    devices: Vec<LinuxDeviceCgroup>,
    warnings: &mut Vec<String>,
) -> Result<LinuxResources, Error> {
    let mut builder = LinuxResourcesBuilder::default().devices(devices);
    if let Some(memory) = memory(host, machine, warnings)? {
        builder = builder.memory(memory);
    }
    if let Some(cpu) = processor(host, machine, warnings)? {
        builder = builder.cpu(cpu);
    }
    if let Some(limit) = host.pids_limit.filter(|limit| *limit != 0)
        && machine.can(Control::Pids, warnings, "PIDs limit")
    {
        let limit = if limit < 0 { -1 } else { limit };
        builder = builder.pids(LinuxPidsBuilder::default().limit(limit).build().map_err(unbuildable)?);
    }
    if let Some(blocks) = blocks(host, machine, warnings)? {
        builder = builder.block_io(blocks);
    }
    builder.build().map_err(unbuildable)
}

/// Memory and swap. A limit without one of swap gives as much swap as memory.
fn memory(
    host: &HostConfig,
    machine: &Machine,
    warnings: &mut Vec<String>,
) -> Result<Option<libcontainer::oci_spec::runtime::LinuxMemory>, Error> {
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let (limit, reservation) = (set(host.memory).filter(|limit| *limit > 0), set(host.memory_reservation));
    let swap = set(host.memory_swap);
    check_memory(limit, reservation, swap)?;
    let swappiness = host.memory_swappiness.filter(|value| *value != -1);
    if let Some(value) = swappiness
        && !(0..=100).contains(&value)
    {
        return Err(Error::Invalid(format!("Invalid value: {value}, valid memory swappiness range is 0-100")));
    }
    if limit.is_none()
        && reservation.is_none()
        && swap.is_none()
        && swappiness.is_none()
        && host.oom_kill_disable.is_none()
    {
        return Ok(None);
    }
    if !machine.can(Control::Memory, warnings, "memory limit") {
        return Ok(None);
    }
    let mut builder = LinuxMemoryBuilder::default();
    if let Some(limit) = limit {
        builder = builder.limit(limit);
    }
    if let Some(reservation) = reservation {
        builder = builder.reservation(reservation);
    }
    if let Some(swap) = swap.or(limit.map(|limit| limit.saturating_mul(2))) {
        if machine.controls.contains(&Control::Swap) {
            builder = builder.swap(swap);
        } else if host.memory_swap.is_some_and(|swap| swap > 0) {
            warnings.push(discarded("swap limit"));
        }
    }
    if let Some(value) = swappiness.and_then(|value| u64::try_from(value).ok())
        && machine.can(Control::Swappiness, warnings, "memory swappiness")
    {
        builder = builder.swappiness(value);
    }
    if host.oom_kill_disable == Some(true) {
        if machine.cgroup2 {
            warnings.push(discarded("OomKillDisable"));
        } else {
            builder = builder.disable_oom_killer(true);
        }
    }
    Ok(Some(builder.build().map_err(unbuildable)?))
}

/// Limits that contradict each other.
fn check_memory(limit: Option<i64>, reservation: Option<i64>, swap: Option<i64>) -> Result<(), Error> {
    let refused = |text: &str| Err(Error::Invalid(text.to_owned()));
    if limit.is_some_and(|limit| limit < LEAST_MEMORY) {
        return refused("Minimum memory limit allowed is 6MB");
    }
    match (limit, swap) {
        (None, Some(swap)) if swap > 0 => {
            return refused("You should always set the Memory limit when using Memoryswap limit, see usage");
        }
        (Some(limit), Some(swap)) if swap > 0 && swap < limit => {
            return refused("Minimum memoryswap limit should be larger than memory limit, see usage");
        }
        _ => {}
    }
    if let (Some(limit), Some(reservation)) = (limit, reservation)
        && reservation > limit
    {
        return refused("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
    Ok(())
}

/// Processors: a share, a quota, and which ones.
fn processor(
    host: &HostConfig,
    machine: &Machine,
    warnings: &mut Vec<String>,
) -> Result<Option<libcontainer::oci_spec::runtime::LinuxCpu>, Error> {
    let mut builder = LinuxCpuBuilder::default();
    let mut any = false;
    let nano = host.nano_cpus.filter(|nano| *nano != 0);
    let (quota, period) = (host.cpu_quota.filter(|quota| *quota != 0), host.cpu_period.filter(|period| *period != 0));
    if nano.is_some() && (quota.is_some() || period.is_some()) {
        return Err(Error::Invalid("Conflicting options: Nano CPUs and CPU Period/Quota cannot both be set".into()));
    }
    let (quota, period) = match nano {
        Some(nano) if nano < 0 => return Err(Error::Invalid("Range of CPUs is from 0.01 up".into())),
        // A billion nano-processors are one whole: a period in microseconds, a quota of it.
        Some(nano) => (Some(nano.saturating_mul(PERIOD.cast_signed()) / 1_000_000_000), Some(PERIOD)),
        None => (quota, period.map(|period| u64::try_from(period).map_err(|_| bad_period())).transpose()?),
    };
    if period.is_some_and(|period| !(1_000..=1_000_000).contains(&period)) {
        return Err(bad_period());
    }
    if quota.is_some_and(|quota| quota > 0 && quota < 1_000) {
        return Err(Error::Invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)".into()));
    }
    if (quota.is_some() || period.is_some()) && machine.can(Control::Cpu, warnings, "CPU CFS quota") {
        any = true;
        builder = quota.into_iter().fold(builder, LinuxCpuBuilder::quota);
        builder = period.into_iter().fold(builder, LinuxCpuBuilder::period);
    }
    if let Some(shares) = host.cpu_shares.filter(|shares| *shares != 0)
        && machine.can(Control::Cpu, warnings, "CPU shares")
    {
        any = true;
        // What the kernel takes: less would be refused, more means no more.
        builder = builder.shares(shares.clamp(2, 262_144).cast_unsigned());
    }
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (cpus, mems) = (given(&host.cpuset_cpus), given(&host.cpuset_mems));
    if (cpus.is_some() || mems.is_some()) && machine.can(Control::Cpuset, warnings, "cpuset") {
        any = true;
        builder = cpus.into_iter().fold(builder, LinuxCpuBuilder::cpus);
        builder = mems.into_iter().fold(builder, LinuxCpuBuilder::mems);
    }
    any.then(|| builder.build().map_err(unbuildable)).transpose()
}

fn bad_period() -> Error {
    Error::Invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)".into())
}

/// Disks.
fn blocks(
    host: &HostConfig,
    machine: &Machine,
    warnings: &mut Vec<String>,
) -> Result<Option<libcontainer::oci_spec::runtime::LinuxBlockIo>, Error> {
    let mut builder = LinuxBlockIoBuilder::default();
    let mut any = false;
    if let Some(weight) = host.blkio_weight.filter(|weight| *weight != 0) {
        if !(10..=1000).contains(&weight) {
            return Err(Error::Invalid("Range of blkio weight is from 10 to 1000".into()));
        }
        if machine.can(Control::BlockWeight, warnings, "Block I/O weight") {
            any = true;
            builder = builder.weight(weight);
        }
    }
    let weights = host.blkio_weight_device.as_deref().unwrap_or_default();
    if !weights.is_empty() && machine.can(Control::BlockWeight, warnings, "Block I/O weight_device") {
        any = true;
        let weights = weights.iter().map(|weight| {
            let number = u16::try_from(weight.weight.unwrap_or_default()).unwrap_or(u16::MAX);
            weight_device(machine, weight.path.as_deref().unwrap_or_default(), number)
        });
        builder = builder.weight_device(weights.collect::<Result<Vec<_>, _>>()?);
    }
    let throttled = |list: &Option<Vec<ThrottleDevice>>| -> Result<Vec<LinuxThrottleDevice>, Error> {
        list.iter().flatten().map(|device| throttle_device(machine, device)).collect()
    };
    let (read, write) = (throttled(&host.blkio_device_read_bps)?, throttled(&host.blkio_device_write_bps)?);
    let (reads, writes) = (throttled(&host.blkio_device_read_iops)?, throttled(&host.blkio_device_write_iops)?);
    if ![&read, &write, &reads, &writes].iter().all(|list| list.is_empty())
        && machine.can(Control::BlockThrottle, warnings, "Block I/O rate limit")
    {
        any = true;
        builder = builder
            .throttle_read_bps_device(read)
            .throttle_write_bps_device(write)
            .throttle_read_iops_device(reads)
            .throttle_write_iops_device(writes);
    }
    any.then(|| builder.build().map_err(unbuildable)).transpose()
}

fn weight_device(machine: &Machine, path: &str, weight: u16) -> Result<LinuxWeightDevice, Error> {
    let device = super::devices::find(machine, path)?;
    LinuxWeightDeviceBuilder::default()
        .major(i64::from(device.major))
        .minor(i64::from(device.minor))
        .weight(weight)
        .build()
        .map_err(unbuildable)
}

fn throttle_device(machine: &Machine, asked: &ThrottleDevice) -> Result<LinuxThrottleDevice, Error> {
    let device = super::devices::find(machine, asked.path.as_deref().unwrap_or_default())?;
    let rate = asked.rate.and_then(|rate| u64::try_from(rate).ok());
    LinuxThrottleDeviceBuilder::default()
        .major(i64::from(device.major))
        .minor(i64::from(device.minor))
        .rate(rate.ok_or_else(|| Error::Invalid("a rate of block I/O is a positive number".into()))?)
        .build()
        .map_err(unbuildable)
}

/// `ulimits`. What lies above the engine's own limit cannot be given without `CAP_SYS_RESOURCE`.
pub(super) fn limits(
    host: &HostConfig,
    machine: &Machine,
    warnings: &mut Vec<String>,
) -> Result<Vec<PosixRlimit>, Error> {
    let free = machine.capabilities.iter().any(|own| own == "CAP_SYS_RESOURCE");
    let mut limits = Vec::new();
    for asked in host.ulimits.iter().flatten() {
        let name = asked.name.as_deref().unwrap_or_default();
        let kind = limit_kind(name).ok_or_else(|| Error::Invalid(format!("invalid ulimit type: {name}")))?;
        // -1 is no limit.
        let number = |value: Option<i64>| value.unwrap_or_default().cast_unsigned();
        let (mut soft, mut hard) = (number(asked.soft), number(asked.hard));
        if soft > hard {
            return Err(Error::Invalid(format!(
                "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            )));
        }
        let own = machine.limits.get(name).copied().unwrap_or(u64::MAX);
        if hard > own && !free {
            warnings.push(format!(
                "the limit {name} cannot be raised above {own} on this machine (the engine is without CAP_SYS_RESOURCE), so it is {own}"
            ));
            hard = own;
            soft = soft.min(own);
        }
        limits.push(PosixRlimitBuilder::default().typ(kind).soft(soft).hard(hard).build().map_err(unbuildable)?);
    }
    Ok(limits)
}

fn limit_kind(name: &str) -> Option<PosixRlimitType> {
    Some(match name {
        "as" => PosixRlimitType::RlimitAs,
        "core" => PosixRlimitType::RlimitCore,
        "cpu" => PosixRlimitType::RlimitCpu,
        "data" => PosixRlimitType::RlimitData,
        "fsize" => PosixRlimitType::RlimitFsize,
        "locks" => PosixRlimitType::RlimitLocks,
        "memlock" => PosixRlimitType::RlimitMemlock,
        "msgqueue" => PosixRlimitType::RlimitMsgqueue,
        "nice" => PosixRlimitType::RlimitNice,
        "nofile" => PosixRlimitType::RlimitNofile,
        "nproc" => PosixRlimitType::RlimitNproc,
        "rss" => PosixRlimitType::RlimitRss,
        "rtprio" => PosixRlimitType::RlimitRtprio,
        "rttime" => PosixRlimitType::RlimitRttime,
        "sigpending" => PosixRlimitType::RlimitSigpending,
        "stack" => PosixRlimitType::RlimitStack,
        _ => return None,
    })
}

/// `oom_score_adj`; the engine's own value where nothing else was asked for.
pub(super) fn oom_score_adj(
    host: &HostConfig,
    machine: &Machine,
    warnings: &mut Vec<String>,
) -> Result<Option<i32>, Error> {
    let Some(asked) = host.oom_score_adj.filter(|asked| *asked != 0) else { return Ok(None) };
    let value = i32::try_from(asked)
        .ok()
        .filter(|value| (-1000..=1000).contains(value))
        .ok_or_else(|| Error::Invalid(format!("Invalid value {asked}, range for oom score adj is [-1000, 1000]")))?;
    if value < machine.oom_score_adj && !machine.capabilities.iter().any(|own| own == "CAP_SYS_RESOURCE") {
        warnings.push(format!(
            "oom_score_adj cannot be lowered below {} on this machine (the engine is without CAP_SYS_RESOURCE), so it stays",
            machine.oom_score_adj
        ));
        return Ok(None);
    }
    Ok(Some(value))
}

/// Docker's words for what the machine cannot do.
pub(super) fn discarded(what: &str) -> String {
    format!("Your kernel does not support {what} capabilities or the cgroup is not mounted. Limitation discarded.")
}
