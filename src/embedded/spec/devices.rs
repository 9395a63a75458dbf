//! Devices: which nodes are in `/dev`, and which may be used.

use std::path::{Path, PathBuf};

use bollard_stubs::models::HostConfig;
use libcontainer::oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};

use super::super::error::Error;
use super::{Machine, unbuildable};

/// A device node of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Where.
    pub path: PathBuf,
    /// A block device, rather than one of characters.
    pub block: bool,
    /// Driver.
    pub major: u32,
    /// Which of the driver's.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Nodes that a container gets of its own, made by what is mounted there.
const OWN: [&str; 5] = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/console", "/dev/ptmx"];

/// The nodes of a container beside the usual ones, and the rules of what it may use.
pub(super) fn devices(
    host: &HostConfig,
    machine: &Machine,
) -> Result<(Vec<LinuxDevice>, Vec<LinuxDeviceCgroup>), Error> {
    let mut nodes = Vec::new();
    if host.privileged == Some(true) {
        let own = |device: &&Device| !OWN.iter().any(|own| device.path.starts_with(own));
        for device in machine.devices.iter().filter(|device| device.path.starts_with("/dev")).filter(own) {
            nodes.push(node(device, &device.path)?);
        }
        return Ok((nodes, vec![rule(true, LinuxDeviceType::A, None, None, "rwm")?]));
    }
    let mut rules = vec![rule(false, LinuxDeviceType::A, None, None, "rwm")?];
    for asked in host.devices.iter().flatten() {
        let source = asked.path_on_host.as_deref().unwrap_or_default();
        let target = asked.path_in_container.as_deref().filter(|path| !path.is_empty()).unwrap_or(source);
        let access = asked.cgroup_permissions.as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
        if !access.chars().all(|letter| "rwm".contains(letter)) {
            return Err(Error::Invalid(format!("invalid device mode: {access}")));
        }
        for (device, path) in mapped(machine, source, target)? {
            nodes.push(node(device, &path)?);
            let (major, minor) = (i64::from(device.major), i64::from(device.minor));
            rules.push(rule(true, kind(device), Some(major), Some(minor), access)?);
        }
    }
    for text in host.device_cgroup_rules.iter().flatten() {
        rules.push(parse_rule(text)?);
    }
    Ok((nodes, rules))
}

/// One device of the machine.
pub(super) fn find<'a>(machine: &'a Machine, path: &str) -> Result<&'a Device, Error> {
    machine.devices.iter().find(|device| device.path == Path::new(path)).ok_or_else(|| missing(path))
}

/// A device, or all of those in a folder, with their places inside.
fn mapped<'a>(machine: &'a Machine, source: &str, target: &str) -> Result<Vec<(&'a Device, PathBuf)>, Error> {
    let found: Vec<_> = machine
        .devices
        .iter()
        .filter_map(|device| {
            let rest = device.path.strip_prefix(source).ok()?;
            let path = if rest.as_os_str().is_empty() { PathBuf::from(target) } else { Path::new(target).join(rest) };
            Some((device, path))
        })
        .collect();
    if source.is_empty() || found.is_empty() {
        return Err(missing(source));
    }
    for (_, path) in &found {
        if !path.starts_with("/dev") || path.components().any(|part| part.as_os_str() == "..") {
            return Err(Error::Invalid(format!(
                "invalid device path \"{}\": the engine makes devices below /dev only",
                path.display()
            )));
        }
    }
    Ok(found)
}

fn missing(path: &str) -> Error {
    Error::Invalid(format!(
        "error gathering device information while adding custom device \"{path}\": no such file or directory"
    ))
}

fn kind(device: &Device) -> LinuxDeviceType {
    if device.block { LinuxDeviceType::B } else { LinuxDeviceType::C }
}

fn node(device: &Device, path: &Path) -> Result<LinuxDevice, Error> {
    LinuxDeviceBuilder::default()
        .path(path)
        .typ(kind(device))
        .major(i64::from(device.major))
        .minor(i64::from(device.minor))
        .file_mode(device.mode)
        .uid(device.uid)
        .gid(device.gid)
        .build()
        .map_err(unbuildable)
}

fn rule(
    allow: bool,
    kind: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> Result<LinuxDeviceCgroup, Error> {
    let mut builder = LinuxDeviceCgroupBuilder::default().allow(allow).typ(kind).access(access);
    builder = major.into_iter().fold(builder, LinuxDeviceCgroupBuilder::major);
    builder = minor.into_iter().fold(builder, LinuxDeviceCgroupBuilder::minor);
    builder.build().map_err(unbuildable)
}

/// `c 13:* rwm`.
fn parse_rule(text: &str) -> Result<LinuxDeviceCgroup, Error> {
    let invalid = || Error::Invalid(format!("invalid device cgroup rule format: '{text}'"));
    let number = |text: &str| match text {
        "*" => Ok(None),
        text => text.parse::<u32>().map(|number| Some(i64::from(number))).map_err(|_| invalid()),
    };
    let mut words = text.split_whitespace();
    let (Some(kind), Some(numbers), Some(access), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(invalid());
    };
    let kind = match kind {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return Err(invalid()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    if access.is_empty() || access.len() > 3 || !access.chars().all(|letter| "rwm".contains(letter)) {
        return Err(invalid());
    }
    rule(true, kind, number(major)?, number(minor)?, access)
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::DeviceMapping;

    use super::super::tests::machine;
    use super::*;

    fn shown(host: &HostConfig) -> String {
        match devices(host, &machine()) {
            Ok((nodes, rules)) => {
                let nodes =
                    nodes.iter().map(|node| format!("{} {}:{}", node.path().display(), node.major(), node.minor()));
                let rules = rules.iter().map(|rule| format!("{} {rule}", if rule.allow() { "+" } else { "-" }));
                nodes.chain(rules).collect::<Vec<_>>().join("\n")
            }
            Err(error) => error.to_string(),
        }
    }

    fn mapping(source: &str, target: &str) -> HostConfig {
        let mapping = DeviceMapping {
            path_on_host: Some(source.into()),
            path_in_container: Some(target.into()),
            cgroup_permissions: Some("r".into()),
        };
        HostConfig { devices: Some(vec![mapping]), ..HostConfig::default() }
    }

    #[test]
    fn all_is_denied_that_is_not_asked_for() {
        assert_eq!(shown(&HostConfig::default()), "- a *:* rwm");
    }

    #[test]
    fn a_device_appears_where_it_is_wanted_and_may_be_used_as_said() {
        assert_eq!(shown(&mapping("/dev/fuse", "/dev/other")), "/dev/other 10:229\n- a *:* rwm\n+ c 10:229 r");
        assert_eq!(shown(&mapping("/dev/snd", "/dev/snd")), "/dev/snd/timer 116:33\n- a *:* rwm\n+ c 116:33 r");
    }

    #[test]
    fn a_device_that_is_not_there_or_would_lie_elsewhere_is_refused() {
        assert!(shown(&mapping("/dev/nothing", "")).contains("\"/dev/nothing\": no such file"));
        assert!(shown(&mapping("/dev/fuse", "/etc/passwd")).starts_with("invalid device path"));
        assert!(shown(&mapping("/dev/fuse", "/dev/../etc/passwd")).starts_with("invalid device path"));
    }

    #[test]
    fn a_privileged_container_has_all_of_them() {
        let host = HostConfig { privileged: Some(true), ..HostConfig::default() };
        assert_eq!(shown(&host), "/dev/fuse 10:229\n/dev/snd/timer 116:33\n/dev/vda 254:0\n+ a *:* rwm");
    }

    #[test]
    fn rules_are_read_as_docker_writes_them() {
        let rules =
            |text: &str| shown(&HostConfig { device_cgroup_rules: Some(vec![text.into()]), ..HostConfig::default() });
        assert_eq!(rules("c 13:* rwm"), "- a *:* rwm\n+ c 13:* rwm");
        assert_eq!(rules("x 1:2 r"), "invalid device cgroup rule format: 'x 1:2 r'");
        assert_eq!(rules("c 1 r"), "invalid device cgroup rule format: 'c 1 r'");
        assert_eq!(rules("c 1:2 x"), "invalid device cgroup rule format: 'c 1:2 x'");
    }
}
