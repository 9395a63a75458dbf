//! The machine, as `/info` and `/version` describe it.

use std::fs;
use std::path::Path;

use crate::embedded::id;
use crate::embedded::layout::Layout;
use crate::embedded::spec::{Control, Machine};

/// The processor, as Go names it.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// The kernel's version.
pub(super) fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Bytes of memory.
pub(super) fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    total.unwrap_or(0_u64).saturating_mul(1024)
}

pub(super) fn operating_system() -> String {
    release("PRETTY_NAME").unwrap_or_else(|| "Linux".into())
}

pub(super) fn operating_system_version() -> String {
    release("VERSION_ID").unwrap_or_default()
}

fn release(name: &str) -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

/// What tells this engine from others: the same for the same folders on the same machine.
pub(super) fn id(layout: &Layout) -> String {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let digest = id::digest(format!("{}\n{}", machine.trim(), layout.state().display()).as_bytes());
    let digits = digest.trim_start_matches("sha256:");
    let parts = [digits.get(..8), digits.get(8..12), digits.get(12..16), digits.get(16..20), digits.get(20..32)];
    parts.map(Option::unwrap_or_default).join("-")
}

/// The kind of file system that a folder is on.
pub(super) fn file_system(folder: &Path) -> &'static str {
    let Ok(found) = rustix::fs::statfs(folder) else { return "unknown" };
    match u64::try_from(found.f_type).unwrap_or_default() {
        0xef53 => "extfs",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x2fc1_2fc1 => "zfs",
        0x794c_7630 => "overlayfs",
        _ => "unknown",
    }
}

/// How containers are kept in.
pub(super) fn security(machine: &Machine) -> Vec<&'static str> {
    let mut options = vec!["name=seccomp,profile=builtin"];
    if machine.apparmor {
        options.push("name=apparmor");
    }
    if machine.cgroup2 {
        options.push("name=cgroupns");
    }
    options
}

/// What this machine withholds, for people.
pub(super) fn warnings(machine: &Machine) -> Vec<String> {
    let limits = [
        (Control::Memory, "memory"),
        (Control::Swap, "swap"),
        (Control::Cpu, "CPU time"),
        (Control::Cpuset, "which CPUs a container runs on"),
        (Control::Pids, "the number of processes"),
    ];
    let missing = limits.into_iter().filter(|(control, _)| !machine.controls.contains(control));
    let missing = missing.map(|(_, what)| format!("WARNING: The machine's cgroups cannot limit {what}"));
    let needed = [
        ("CAP_SYS_RESOURCE", "`ulimits` above the engine's own cannot be given"),
        ("CAP_SYS_ADMIN", "no container can be started"),
        ("CAP_NET_ADMIN", "no network can be made"),
        ("CAP_MKNOD", "device files cannot be made"),
    ];
    let withheld = needed.into_iter().filter(|(name, _)| !machine.capabilities.iter().any(|held| held == name));
    missing.chain(withheld.map(|(name, what)| format!("WARNING: The machine withholds {name}: {what}"))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn what_is_withheld_is_said() {
        let machine = Machine {
            cgroup2: false,
            capabilities: vec!["CAP_SYS_ADMIN".into(), "CAP_MKNOD".into()],
            apparmor: false,
            controls: BTreeSet::from([Control::Memory, Control::Swap, Control::Cpu, Control::Cpuset]),
            limits: BTreeMap::new(),
            oom_score_adj: 0,
            devices: Vec::new(),
        };
        let warnings = warnings(&machine);
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(warnings[0].contains("number of processes"));
        assert!(warnings[1].contains("CAP_SYS_RESOURCE"));
    }

    #[test]
    fn engines_with_different_folders_have_different_ids() {
        let one = id(&Layout::new(None));
        assert_eq!(one, id(&Layout::new(None)));
        assert_ne!(one, id(&Layout::new(Some(Path::new("/other")))));
        assert_eq!(one.len(), 36);
    }
}
