//! What a container uses and shares of the machine that it runs on: limits, devices, namespaces, names, output.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a container may use at most, and what is kept for it. `None` is the engine's default, most often no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Processors, in billionths of one.
    pub nano_cpus: Option<i64>,
    /// The share of the processors, against that of others.
    pub cpu_shares: Option<i64>,
    /// The period of the processor quota, in microseconds.
    pub cpu_period: Option<i64>,
    /// Processor time within a period, in microseconds.
    pub cpu_quota: Option<i64>,
    /// The period of real-time scheduling, in microseconds.
    pub cpu_rt_period: Option<i64>,
    /// Real-time processor time within a period, in microseconds.
    pub cpu_rt_runtime: Option<i64>,
    /// Processors, on Windows.
    pub cpu_count: Option<i64>,
    /// Hundredths of a per cent of the processors, on Windows.
    pub cpu_percent: Option<i64>,
    /// Which processors: `0-3`.
    pub cpuset: Option<String>,
    /// Memory, in bytes.
    pub memory: Option<i64>,
    /// Memory that is kept for it, in bytes.
    pub memory_reservation: Option<i64>,
    /// Memory and swap together, in bytes; -1 is without limit.
    pub memory_swap: Option<i64>,
    /// How readily its memory is swapped out, from 0 to 100.
    pub memory_swappiness: Option<i64>,
    /// It is not ended when memory runs out.
    pub oom_kill_disable: bool,
    /// How readily it is ended when memory runs out, from -1000 to 1000.
    pub oom_score_adj: Option<i64>,
    /// Processes; -1 is without limit.
    pub pids: Option<i64>,
    /// The size of `/dev/shm`, in bytes.
    pub shm_size: Option<i64>,
    /// The use of block devices.
    pub block: BlockLimits,
    /// Limits of its processes, by name.
    pub ulimits: BTreeMap<String, Ulimit>,
}

/// Limits of the use of block devices.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BlockLimits {
    /// The share among containers, from 10 to 1000.
    pub weight: Option<i64>,
    /// The share by device.
    pub weight_device: Vec<BlockWeight>,
    /// Bytes read a second.
    pub read_bps: Vec<BlockRate>,
    /// Reads a second.
    pub read_iops: Vec<BlockRate>,
    /// Bytes written a second.
    pub write_bps: Vec<BlockRate>,
    /// Writes a second.
    pub write_iops: Vec<BlockRate>,
}

/// The share of one block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockWeight {
    /// The device.
    pub path: String,
    /// The share, from 10 to 1000.
    pub weight: i64,
}

/// A limit of one block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRate {
    /// The device.
    pub path: String,
    /// Bytes or operations a second.
    pub rate: i64,
}

/// A limit of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// What a process gets; -1 is without limit.
    pub soft: i64,
    /// What it may raise it to; -1 is without limit.
    pub hard: i64,
}

/// Devices of the machine that a container is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Devices {
    /// By path.
    pub mapped: Vec<Device>,
    /// By what they can do: GPUs and their kind.
    pub requests: Vec<DeviceRequest>,
    /// Rules for devices made later: `c 1:3 mr`.
    pub rules: Vec<String>,
}

/// A device given by its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// On the machine, or the name of a device in the words of CDI: `vendor.com/class=name`.
    pub source: String,
    /// In the container.
    pub target: String,
    /// `r`, `w` and `m`.
    pub permissions: String,
}

impl Device {
    /// Whether it is named in the words of the Container Device Interface instead of by path.
    #[must_use]
    pub fn is_named(&self) -> bool {
        let Some((kind, name)) = self.source.split_once('=') else { return false };
        let Some((vendor, class)) = kind.split_once('/') else { return false };
        self.source == self.target
            && !vendor.is_empty()
            && !class.is_empty()
            && !class.contains('/')
            && !name.is_empty()
    }
}

/// A request for devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// The driver.
    pub driver: Option<String>,
    /// How many; -1 is all.
    pub count: Option<i64>,
    /// Which.
    pub ids: Vec<String>,
    /// What they must be able to do.
    pub capabilities: Vec<String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// Whose namespaces a container uses; `None` is the engine's default, most often one of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Namespaces {
    /// Processes.
    pub pid: Option<Sharing>,
    /// Shared memory and semaphores.
    pub ipc: Option<Sharing>,
    /// Host name.
    pub uts: Option<String>,
    /// Users.
    pub user: Option<String>,
    /// Cgroups: `host` or `private`.
    pub cgroup: Option<String>,
    /// The cgroup above its own.
    pub cgroup_parent: Option<String>,
}

/// Whose namespace of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sharing {
    /// As the engine calls it: `host`, `private`, `shareable`, `none`.
    Mode(String),
    /// That of another service's container.
    Service(String),
    /// That of a container of any project.
    Container(String),
}

/// How a container finds names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dns {
    /// Servers.
    pub servers: Vec<String>,
    /// Options of the resolver.
    pub options: Vec<String>,
    /// Domains that short names are looked up in.
    pub search: Vec<String>,
}

/// Where output goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Logging {
    /// The driver; `None` is the engine's default.
    pub driver: Option<String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}
