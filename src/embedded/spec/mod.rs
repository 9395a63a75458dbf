//! Pure: what a client asked for, made whole with what the image says → the OCI runtime specification, with Docker's
//! defaults: capabilities, masked and read-only paths, devices, mounts, cgroup rules.

pub mod seccomp;
pub mod user;

mod capabilities;
mod devices;
mod mounts;
mod namespaces;
mod propagation;
mod resources;
mod security;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bollard_stubs::models::{ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum};
use libcontainer::oci_spec::runtime::{LinuxBuilder, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder};

pub use devices::Device;
pub use propagation::{Propagated, Propagation, propagated};
pub use resources::resources;
pub use security::seccomp as seccomp_of;

use super::error::Error;
use super::root::Bind;

/// Where programs are looked for when an image says nothing.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Which network namespace a container has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkNamespace {
    /// The machine's own (`network_mode: host`).
    Host,
    /// The one at this path: the engine's for the container, or another container's.
    Path(PathBuf),
}

/// Whose namespace of another kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespace {
    /// One of its own.
    Own,
    /// The machine's (`pid: host`, `ipc: host`).
    Host,
    /// Another container's: `/proc/PID/ns/…`.
    Path(PathBuf),
}

/// All that the specification is made from. The image's defaults have been merged into `body` before.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The container's.
    pub id: &'a str,
    /// What was asked for. `Env`, `WorkingDir`, `User` are whole; `Entrypoint` and `Cmd` are in `arguments`.
    pub body: &'a ContainerCreateBody,
    /// Likewise.
    pub host: &'a HostConfig,
    /// Entrypoint and command.
    pub arguments: &'a [String],
    /// Volumes and bind mounts resolved to folders of the machine, and the engine's `hosts`, `hostname`, `resolv.conf`.
    pub binds: &'a [ResolvedBind],
    /// Where the root will be mounted.
    pub root: PathBuf,
    /// Network.
    pub network: NetworkNamespace,
    /// Processes.
    pub pid: Namespace,
    /// Shared memory and semaphores.
    pub ipc: Namespace,
    /// Cgroups.
    pub cgroup: Namespace,
    /// What this machine has and allows.
    pub machine: &'a Machine,
}

/// A bind with the propagation that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedBind {
    /// What and where.
    pub bind: Bind,
    /// `rprivate`, `rslave`, `rshared`, …; empty for `rprivate`.
    pub propagation: String,
    /// With what is mounted below it.
    pub recursive: bool,
}

/// What the machine has, looked up once at the engine's start: see [`super::root::machine::detect`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Whether cgroups are of version 2 (one hierarchy) or 1.
    pub cgroup2: bool,
    /// Capabilities that the engine itself has (`CAP_SYS_RESOURCE`, …): it can give no others.
    pub capabilities: Vec<String>,
    /// Whether `AppArmor` is there and a profile can be named.
    pub apparmor: bool,
    /// What its cgroups can limit.
    pub controls: BTreeSet<Control>,
    /// The engine's own hard limits, by the names of `ulimits`; one that is missing has no bound.
    pub limits: BTreeMap<String, u64>,
    /// The engine's own.
    pub oom_score_adj: i32,
    /// Device nodes, sorted by path.
    pub devices: Vec<Device>,
}

/// A thing that cgroups limit where the kernel was built for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Control {
    /// Memory.
    Memory,
    /// Memory and swap together.
    Swap,
    /// How readily memory is swapped out.
    Swappiness,
    /// Processor time.
    Cpu,
    /// Which processors.
    Cpuset,
    /// Processes and threads.
    Pids,
    /// Shares of a disk.
    BlockWeight,
    /// Rates of a disk.
    BlockThrottle,
}

impl Machine {
    /// Whether it can limit something; that it cannot is said in the words for `what`.
    fn can(&self, control: Control, warnings: &mut Vec<String>, what: &str) -> bool {
        let can = self.controls.contains(&control);
        if !can {
            warnings.push(resources::discarded(what));
        }
        can
    }
}

/// The cgroup of a container, below the root of every hierarchy.
#[must_use]
pub fn cgroup(id: &str) -> PathBuf {
    Path::new("/hoist").join(id)
}

/// Whose cgroup namespace a container has: what it asks for; of its own by default where cgroups are of version 2, the
/// machine's where they are not, as with Docker.
#[must_use]
pub fn cgroup_namespace(host: &HostConfig, machine: &Machine) -> Namespace {
    let own = match host.cgroupns_mode {
        Some(HostConfigCgroupnsModeEnum::PRIVATE) => true,
        Some(HostConfigCgroupnsModeEnum::HOST) => false,
        _ => machine.cgroup2 && host.privileged != Some(true),
    };
    if own { Namespace::Own } else { Namespace::Host }
}

/// The specification of a container, and what of the request this machine cannot give, for people.
///
/// Its user is the superuser: who it really is, the shim finds out behind the root ([`user::resolve`]), with `HOME`.
pub fn container(request: &Request<'_>) -> Result<(Spec, Vec<String>), Error> {
    let mut warnings = Vec::new();
    let host = request.host;
    let security = security::security(host, request.machine, &mut warnings)?;
    let (nodes, rules) = devices::devices(host, request.machine)?;
    let resources = resources::resources(host, request.machine, rules, &mut warnings)?;
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces::namespaces(request)?)
        .cgroups_path(cgroup(request.id))
        .resources(resources)
        .devices(nodes)
        .masked_paths(security.masked)
        .readonly_paths(security.read_only)
        .rootfs_propagation(propagation(request.binds));
    if let Some(sysctls) = &host.sysctls {
        linux = linux.sysctl(namespaces::sysctls(sysctls, request)?);
    }
    let mut process = ProcessBuilder::default()
        .terminal(request.body.tty == Some(true))
        .user(UserBuilder::default().uid(0_u32).gid(0_u32).build().map_err(unbuildable)?)
        .args(request.arguments)
        .env(environment(request))
        .cwd(working_folder(request)?)
        .capabilities(capabilities(host, request.machine, &mut warnings)?)
        .rlimits(resources::limits(host, request.machine, &mut warnings)?)
        .no_new_privileges(security.no_new_privileges);
    if let Some(profile) = security.apparmor {
        process = process.apparmor_profile(profile);
    }
    if let Some(adjustment) = resources::oom_score_adj(host, request.machine, &mut warnings)? {
        process = process.oom_score_adj(adjustment);
    }
    let root = RootBuilder::default().path(&request.root).readonly(host.readonly_rootfs == Some(true));
    let mut spec = SpecBuilder::default()
        .version("1.0.2")
        .root(root.build().map_err(unbuildable)?)
        .mounts(mounts::mounts(request)?)
        .process(process.build().map_err(unbuildable)?)
        .linux(linux.build().map_err(unbuildable)?)
        .annotations(host.annotations.clone().unwrap_or_default())
        .build()
        .map_err(unbuildable)?;
    if host.uts_mode.as_deref() == Some("host") {
        spec.set_hostname(None);
        spec.set_domainname(None);
    } else {
        spec.set_hostname(Some(hostname(request).to_owned()));
        spec.set_domainname(request.body.domainname.clone().filter(|name| !name.is_empty()));
    }
    unsupported(host, &mut warnings);
    Ok((spec, warnings))
}

/// The name that a container calls itself by.
fn hostname<'a>(request: &Request<'a>) -> &'a str {
    let given = request.body.hostname.as_deref().filter(|name| !name.is_empty());
    given.unwrap_or_else(|| request.id.get(..12).unwrap_or(request.id))
}

/// Docker's variables below those that were asked for. One without `=` was to be removed.
fn environment(request: &Request<'_>) -> Vec<String> {
    let mut variables = vec![PATH.to_owned(), format!("HOSTNAME={}", hostname(request))];
    if request.body.tty == Some(true) {
        variables.push("TERM=xterm".to_owned());
    }
    for given in request.body.env.iter().flatten() {
        let name = given.split('=').next().unwrap_or_default();
        let same = |variable: &String| variable.split('=').next() == Some(name);
        match (variables.iter().position(same), given.contains('=')) {
            (Some(at), true) => variables[at].clone_from(given),
            (Some(at), false) => drop(variables.remove(at)),
            (None, true) if !name.is_empty() => variables.push(given.clone()),
            (None, _) => {}
        }
    }
    variables
}

/// Where its program begins.
fn working_folder(request: &Request<'_>) -> Result<PathBuf, Error> {
    let folder = request.body.working_dir.as_deref().filter(|folder| !folder.is_empty()).unwrap_or("/");
    if !folder.starts_with('/') {
        return Err(Error::Invalid(format!(
            "the working directory '{folder}' is invalid, it needs to be an absolute path"
        )));
    }
    Ok(folder.into())
}

fn capabilities(
    host: &HostConfig,
    machine: &Machine,
    warnings: &mut Vec<String>,
) -> Result<libcontainer::oci_spec::runtime::LinuxCapabilities, Error> {
    let asked = capabilities::Asked {
        privileged: host.privileged == Some(true),
        add: host.cap_add.as_deref().unwrap_or_default(),
        drop: host.cap_drop.as_deref().unwrap_or_default(),
    };
    capabilities::sets(&capabilities::chosen(asked, machine, warnings)?)
}

/// Whether what the machine mounts later is seen inside: only where a bind asks for it, for a mount that a container
/// holds cannot be taken away by the machine.
fn propagation(binds: &[ResolvedBind]) -> &'static str {
    let seen = |bind: &ResolvedBind| bind.propagation.ends_with("slave") || bind.propagation.ends_with("shared");
    if binds.iter().any(seen) { "slave" } else { "private" }
}

/// What is passed over.
fn unsupported(host: &HostConfig, warnings: &mut Vec<String>) {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut say = |what: &str, why: &str| warnings.push(format!("{what} has no effect with this engine: {why}"));
    if let Some(mode) = given(&host.userns_mode).filter(|mode| mode != "host") {
        say(&format!("userns_mode {mode}"), "containers have the machine's users");
    }
    if let Some(parent) = given(&host.cgroup_parent) {
        say(&format!("cgroup_parent {parent}"), "all containers are in the cgroup /hoist");
    }
    if let Some(runtime) = given(&host.runtime).filter(|name| name != "runc" && name != "io.containerd.runc.v2") {
        say(&format!("runtime {runtime}"), "it has one of its own");
    }
    if host.storage_opt.as_ref().is_some_and(|options| !options.is_empty()) {
        say("storage_opt", "what a container writes has no quota");
    }
    if host.device_requests.as_ref().is_some_and(|requests| !requests.is_empty()) {
        say("a device request (gpus)", "name the devices under `devices` instead");
    }
    if host.cpu_realtime_period.is_some_and(|value| value != 0)
        || host.cpu_realtime_runtime.is_some_and(|value| value != 0)
    {
        say("cpu_rt_period and cpu_rt_runtime", "it gives no real-time processor time");
    }
}

/// For what a builder of the specification refuses: a field that is not given.
fn unbuildable(error: impl std::fmt::Display) -> Error {
    Error::Failed(format!("cannot write the container's specification: {error}"))
}
