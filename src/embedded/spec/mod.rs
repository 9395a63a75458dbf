//! Pure: what a client asked for, made whole with what the image says → the OCI runtime specification, with Docker's
//! defaults: capabilities, masked and read-only paths, devices, mounts, cgroup rules.

pub mod seccomp;
pub mod user;

use std::path::PathBuf;

use bollard_stubs::models::{ContainerCreateBody, HostConfig};
use libcontainer::oci_spec::runtime::Spec;

use super::error::Error;
use super::root::Bind;

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

/// What the machine has, looked up once at the engine's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Whether cgroups are of version 2 (one hierarchy) or 1.
    pub cgroup2: bool,
    /// Capabilities that the engine itself has (`CAP_SYS_RESOURCE`, …): it can give no others.
    pub capabilities: Vec<String>,
    /// Whether `AppArmor` is there and a profile can be named.
    pub apparmor: bool,
}

/// The specification of a container, and what of the request this machine cannot give, for people.
pub fn container(_request: &Request<'_>) -> Result<(Spec, Vec<String>), Error> {
    Err(Error::Unsupported("spec".into()))
}
