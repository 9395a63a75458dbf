//! Which capabilities a container has.

use std::collections::BTreeSet;

use libcontainer::oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, LinuxCapabilitiesBuilder};

use super::super::error::Error;
use super::Machine;

/// What Docker gives to a container that asks for nothing else.
const DEFAULT: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// All that the kernel knows.
pub(super) const ALL: [&str; 41] = [
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_AUDIT_WRITE",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_KILL",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_MKNOD",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_RAW",
    "CAP_PERFMON",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYSLOG",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_WAKE_ALARM",
];

/// What was asked for, by the names of `cap_add` and `cap_drop`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    pub privileged: bool,
    pub add: &'a [String],
    pub drop: &'a [String],
}

/// Names with their prefix, sorted. What the engine itself does not have, it cannot give: said where it was asked for by
/// name, left out in silence where it is a part of `ALL` or of the defaults.
pub(super) fn chosen(
    asked: Asked<'_>,
    machine: &Machine,
    warnings: &mut Vec<String>,
) -> Result<BTreeSet<&'static str>, Error> {
    let (add, all_added) = known(asked.add)?;
    let (drop, all_dropped) = known(asked.drop)?;
    let mut names: BTreeSet<_> = match (asked.privileged || all_added, all_dropped) {
        // A privileged container has all, whatever else is said.
        _ if asked.privileged => ALL.into_iter().collect(),
        (true, _) => ALL.into_iter().filter(|name| !drop.contains(name)).collect(),
        (false, true) => BTreeSet::new(),
        (false, false) => DEFAULT.into_iter().filter(|name| !drop.contains(name)).collect(),
    };
    names.extend(&add);
    if machine.cgroup2 && !asked.privileged && names.remove("CAP_MKNOD") && add.contains("CAP_MKNOD") {
        warnings.push(
            "with cgroups of version 2 the engine does not filter devices, so the container is without CAP_MKNOD"
                .into(),
        );
    }
    names.retain(|name| {
        let given = machine.capabilities.iter().any(|own| own == name);
        if !given && add.contains(name) {
            warnings.push(format!(
                "the engine itself does not have {name} on this machine, so the container is without it"
            ));
        }
        given
    });
    Ok(names)
}

/// The names meant by a list, and whether `ALL` is among them.
fn known(names: &[String]) -> Result<(BTreeSet<&'static str>, bool), Error> {
    let mut found = BTreeSet::new();
    let mut all = false;
    for name in names {
        let upper = name.trim().to_ascii_uppercase();
        if upper == "ALL" {
            all = true;
            continue;
        }
        let whole = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        let same = ALL.into_iter().find(|known| *known == whole);
        found
            .insert(same.ok_or_else(|| Error::Invalid(format!("invalid capability: unknown capability: \"{name}\"")))?);
    }
    Ok((found, all))
}

/// The sets of a process that has these. None is inherited or ambient, as with Docker.
pub(super) fn sets(names: &BTreeSet<&str>) -> Result<LinuxCapabilities, Error> {
    let mut set = Capabilities::new();
    for name in names {
        let bare = name.strip_prefix("CAP_").unwrap_or(name);
        let capability: Capability =
            bare.parse().map_err(|error| Error::Failed(format!("cannot name the capability {name}: {error}")))?;
        set.insert(capability);
    }
    LinuxCapabilitiesBuilder::default()
        .bounding(set.clone())
        .effective(set.clone())
        .permitted(set)
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new())
        .build()
        .map_err(super::unbuildable)
}

#[cfg(test)]
mod tests {
    use super::super::tests::machine;
    use super::*;

    fn shown(privileged: bool, add: &[&str], drop: &[&str]) -> (Vec<&'static str>, Vec<String>) {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (add, drop) = (owned(add), owned(drop));
        let mut warnings = Vec::new();
        let names =
            chosen(Asked { privileged, add: &add, drop: &drop }, &machine(), &mut warnings).expect("known names");
        (names.into_iter().collect(), warnings)
    }

    #[test]
    fn every_name_is_one_that_the_specification_has() {
        assert!(sets(&ALL.into_iter().collect()).is_ok());
        assert!(DEFAULT.iter().all(|name| ALL.contains(name)));
    }

    #[test]
    fn nothing_asked_for_gives_dockers_defaults() {
        assert_eq!(shown(false, &[], &[]), (DEFAULT.to_vec(), vec![]));
    }

    #[test]
    fn names_are_known_with_and_without_their_prefix_and_in_any_case() {
        let (names, _) = shown(false, &["net_admin", "CAP_SYS_PTRACE"], &["ALL"]);
        assert_eq!(names, ["CAP_NET_ADMIN", "CAP_SYS_PTRACE"]);
    }

    #[test]
    fn all_may_be_added_but_for_some() {
        let (names, warnings) = shown(false, &["ALL"], &["SYS_ADMIN"]);
        assert!(names.contains(&"CAP_NET_ADMIN") && !names.contains(&"CAP_SYS_ADMIN"));
        assert!(warnings.is_empty());
    }

    #[test]
    fn what_the_engine_does_not_have_is_left_out_and_said() {
        let (names, warnings) = shown(false, &["SYS_RESOURCE"], &[]);
        assert_eq!(names, DEFAULT);
        assert_eq!(
            warnings,
            ["the engine itself does not have CAP_SYS_RESOURCE on this machine, so the container is without it"]
        );
    }

    #[test]
    fn no_device_is_made_where_none_is_filtered() {
        let machine = Machine { cgroup2: true, ..machine() };
        let mut warnings = Vec::new();
        let names = chosen(Asked::default(), &machine, &mut warnings).expect("defaults");
        assert_eq!((names.contains("CAP_MKNOD"), warnings.len()), (false, 0));
        let add = ["MKNOD".to_owned()];
        let names = chosen(Asked { add: &add, ..Asked::default() }, &machine, &mut warnings).expect("known names");
        assert_eq!((names.contains("CAP_MKNOD"), warnings.len()), (false, 1));
    }

    #[test]
    fn a_privileged_container_has_all_that_there_is_to_give() {
        let (names, warnings) = shown(true, &[], &["ALL"]);
        assert_eq!(names.len(), ALL.len() - 1);
        assert!(warnings.is_empty());
    }

    #[test]
    fn a_name_that_does_not_exist_is_refused() {
        let wrong = known(&["CAP_FLY".to_owned()]);
        assert_eq!(wrong, Err(Error::Invalid("invalid capability: unknown capability: \"CAP_FLY\"".into())));
    }
}
