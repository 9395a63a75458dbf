//! `security_opt`, and what of `/proc` and `/sys` a container may not see or write.

use bollard_stubs::models::HostConfig;

use super::super::error::Error;
use super::super::process::Seccomp;
use super::Machine;

/// Hidden: they tell of the machine, or of what other containers do.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Seen, not written: they change the machine.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What follows for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Security {
    pub seccomp: Seccomp,
    pub no_new_privileges: bool,
    pub apparmor: Option<String>,
    pub masked: Vec<String>,
    pub read_only: Vec<String>,
}

/// Reads what was asked for.
pub(super) fn security(host: &HostConfig, machine: &Machine, warnings: &mut Vec<String>) -> Result<Security, Error> {
    let privileged = host.privileged == Some(true);
    let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut security = Security {
        seccomp: seccomp(host)?,
        no_new_privileges: false,
        apparmor: None,
        masked: if privileged { Vec::new() } else { host.masked_paths.clone().unwrap_or_else(|| strings(&MASKED)) },
        read_only: if privileged {
            Vec::new()
        } else {
            host.readonly_paths.clone().unwrap_or_else(|| strings(&READ_ONLY))
        },
    };
    for text in host.security_opt.iter().flatten() {
        let (key, value) = parts(text)?;
        match key {
            "no-new-privileges" => security.no_new_privileges = switch(text, value)?,
            "apparmor" if value == "unconfined" => {}
            "apparmor" if machine.apparmor => security.apparmor = Some(value.to_owned()),
            "apparmor" => warnings.push(format!("AppArmor is not on this machine: {text} has no effect")),
            "label" => warnings.push(format!("this engine sets no SELinux labels: {text} has no effect")),
            "systempaths" if value == "unconfined" => {
                security.masked.clear();
                security.read_only.clear();
            }
            // Read above.
            "seccomp" => {}
            _ => return Err(invalid(text)),
        }
    }
    Ok(security)
}

/// Which filter of system calls the processes of a container have.
pub fn seccomp(host: &HostConfig) -> Result<Seccomp, Error> {
    let mut chosen = if host.privileged == Some(true) { Seccomp::Unconfined } else { Seccomp::Default };
    for text in host.security_opt.iter().flatten() {
        let (key, value) = parts(text)?;
        if key == "seccomp" {
            chosen = match value {
                "unconfined" => Seccomp::Unconfined,
                "builtin" | "default" => Seccomp::Default,
                profile => {
                    super::seccomp::check(profile)?;
                    Seccomp::Profile(profile.to_owned())
                }
            };
        }
    }
    Ok(chosen)
}

/// `key=value`, and `key:value` as it was once written.
fn parts(text: &str) -> Result<(&str, &str), Error> {
    if text == "no-new-privileges" {
        return Ok((text, "true"));
    }
    text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(|| invalid(text))
}

fn switch(text: &str, value: &str) -> Result<bool, Error> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(invalid(text)),
    }
}

fn invalid(text: &str) -> Error {
    Error::Invalid(format!("invalid --security-opt 2: \"{text}\""))
}
