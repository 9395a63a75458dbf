//! The machine itself: what it has and allows, and its own root file system as the lowest layer of a container.

mod hierarchy;
mod rootfs;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use bollard_stubs::models::HostConfig;
use caps::CapSet;
use rustix::process::{Resource, getrlimit};

use super::super::error::Error;
use super::super::spec::{Control, Device, Machine};

use hierarchy::handed_down;
pub(super) use rootfs::mount;

/// Where hierarchies of cgroups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";
/// More device nodes than any machine has; a `/dev` that someone filled is not read to its end.
const MOST_DEVICES: usize = 8192;

/// The limits of a process, by the names of `ulimits`.
const LIMITS: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// Looks up what this machine has and allows. Blocks for about a millisecond.
pub fn detect() -> Result<Machine, Error> {
    let capabilities = caps::read(None, CapSet::Permitted)
        .map_err(|error| Error::Failed(format!("cannot read the engine's own capabilities: {error}")))?;
    let mut capabilities: Vec<_> = capabilities.iter().map(ToString::to_string).collect();
    capabilities.sort();
    let mut limits = BTreeMap::new();
    for (name, resource) in LIMITS {
        if let Some(maximum) = getrlimit(resource).maximum {
            limits.insert(name.to_owned(), maximum);
        }
    }
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    Ok(Machine {
        cgroup2: cgroup2(),
        capabilities,
        apparmor: text("/sys/module/apparmor/parameters/enabled").trim() == "Y",
        controls: controls(Path::new(CGROUPS)),
        limits,
        oom_score_adj: text("/proc/self/oom_score_adj").trim().parse().unwrap_or(0),
        devices: devices(),
    })
}

/// The capabilities that the kernel knows and that the engine itself does not have.
#[must_use]
pub fn withheld(machine: &Machine) -> Vec<String> {
    let mut withheld: Vec<String> = caps::runtime::procfs_all_supported(None)
        .unwrap_or_else(|_| caps::all())
        .iter()
        .map(ToString::to_string)
        .filter(|name| !machine.capabilities.contains(name))
        .collect();
    withheld.sort();
    withheld
}

/// The machine as a container needs it: device nodes come and go, so they are looked up anew where the container asks for
/// some, links followed.
#[must_use]
pub fn refreshed(machine: &Machine, host: &HostConfig) -> Machine {
    let mut machine = machine.clone();
    let asked = host.devices.as_deref().unwrap_or_default();
    let throttled = [&host.blkio_device_read_bps, &host.blkio_device_write_bps]
        .into_iter()
        .chain([&host.blkio_device_read_iops, &host.blkio_device_write_iops])
        .flatten()
        .flatten()
        .filter_map(|device| device.path.as_deref());
    let weighed = host.blkio_weight_device.iter().flatten().filter_map(|device| device.path.as_deref());
    let named: Vec<_> =
        asked.iter().filter_map(|device| device.path_on_host.as_deref()).chain(throttled).chain(weighed).collect();
    if host.privileged == Some(true) || !named.is_empty() {
        machine.devices = devices();
    }
    for path in named {
        let path = Path::new(path);
        if machine.devices.iter().all(|device| device.path != path)
            && let Ok(metadata) = fs::metadata(path)
        {
            machine.devices.extend(device(path, &metadata));
        }
    }
    machine
}

/// Whether this machine's cgroups are of version 2.
pub(crate) fn cgroup2() -> bool {
    Path::new(CGROUPS).join("cgroup.controllers").exists()
}

/// What cgroups can limit here.
fn controls(root: &Path) -> BTreeSet<Control> {
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).map(|all| handed_down(root, all));
    let present = |control: Control| {
        if let Ok(controllers) = &controllers {
            let has = |name: &str| controllers.split_whitespace().any(|controller| controller == name);
            match control {
                Control::Memory => has("memory"),
                Control::Swap => has("memory") && offers(root, "memory.swap.max"),
                Control::Swappiness => false,
                Control::Cpu => has("cpu"),
                Control::Cpuset => has("cpuset"),
                Control::Pids => has("pids"),
                Control::BlockWeight => has("io") && (offers(root, "io.weight") || offers(root, "io.bfq.weight")),
                Control::BlockThrottle => has("io"),
            }
        } else {
            let has = |hierarchy: &str, file: &str| offers(&root.join(hierarchy), file);
            match control {
                Control::Memory => has("memory", "memory.limit_in_bytes"),
                Control::Swap => has("memory", "memory.memsw.limit_in_bytes"),
                Control::Swappiness => has("memory", "memory.swappiness"),
                Control::Cpu => has("cpu", "cpu.cfs_quota_us"),
                Control::Cpuset => has("cpuset", "cpuset.cpus"),
                Control::Pids => has("pids", "cgroup.procs"),
                Control::BlockWeight => has("blkio", "blkio.weight") || has("blkio", "blkio.bfq.weight"),
                Control::BlockThrottle => has("blkio", "blkio.throttle.read_bps_device"),
            }
        }
    };
    [
        Control::Memory,
        Control::Swap,
        Control::Swappiness,
        Control::Cpu,
        Control::Cpuset,
        Control::Pids,
        Control::BlockWeight,
        Control::BlockThrottle,
    ]
    .into_iter()
    .filter(|control| present(*control))
    .collect()
}

/// Whether a hierarchy has a file. Some are not in its root: then one of its groups is asked.
fn offers(hierarchy: &Path, file: &str) -> bool {
    hierarchy.join(file).exists()
        || fs::read_dir(hierarchy)
            .is_ok_and(|mut groups| groups.any(|group| group.is_ok_and(|group| group.path().join(file).exists())))
}

/// All nodes of `/dev`, but for those on file systems of their own below it (terminals).
fn devices() -> Vec<Device> {
    let mut found = Vec::new();
    if let Ok(root) = fs::symlink_metadata("/dev") {
        walk(Path::new("/dev"), root.dev(), &mut found);
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn walk(folder: &Path, file_system: u64, found: &mut Vec<Device>) {
    // What goes away while it is looked at is passed over.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if found.len() >= MOST_DEVICES {
            return;
        }
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.dev() != file_system {
            continue;
        }
        if metadata.is_dir() {
            walk(&entry.path(), file_system, found);
        } else {
            found.extend(device(&entry.path(), &metadata));
        }
    }
}

/// A node; `None` for another kind of file.
fn device(path: &Path, metadata: &fs::Metadata) -> Option<Device> {
    let kind = metadata.file_type();
    (kind.is_char_device() || kind.is_block_device()).then(|| Device {
        path: path.to_owned(),
        block: kind.is_block_device(),
        major: rustix::fs::major(metadata.rdev()),
        minor: rustix::fs::minor(metadata.rdev()),
        mode: metadata.mode() & 0o777,
        uid: metadata.uid(),
        gid: metadata.gid(),
    })
}
