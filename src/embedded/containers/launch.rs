//! Starting: everything that a container's process needs, in order, and all of it undone when a step fails.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use bollard_stubs::models::{PortBinding, PortMap};

use super::record::{Given, MountKind, Record, Status};
use super::shared::Shared;
use super::{files, health, size};
use crate::embedded::error::Error;
use crate::embedded::layout::Layout;
use crate::embedded::network::{Join, Joined};
use crate::embedded::process::{self, ContainerProcess, LogFile, Running};
use crate::embedded::root::{Bind, Rootfs};
use crate::embedded::spec::{self, Namespace, NetworkNamespace, ResolvedBind};

/// A start that went well.
pub(super) struct Launched {
    pub(super) running: Running,
    pub(super) record: Record,
}

/// Starts the container of this record. The record that says so is written before its process begins.
pub(super) async fn launch(shared: &Shared, record: &Record, hold_output: bool) -> Result<Launched, Error> {
    tokio::join!(Box::pin(launch_alone(shared, record, hold_output)), process::hasten()).0
}

async fn launch_alone(shared: &Shared, record: &Record, hold_output: bool) -> Result<Launched, Error> {
    let (network, joined, files_of) = network(shared, record).await?;
    let result = Box::pin(launch_on(shared, record, network, joined.as_ref(), &files_of, hold_output)).await;
    if result.is_err()
        && joined.is_some()
        && let Err(error) = shared.networks.leave(&record.id).await
    {
        tracing::warn!("cannot take container {} off its networks: {error}", record.id);
    }
    result
}

async fn launch_on(
    shared: &Shared,
    record: &Record,
    network: NetworkNamespace,
    joined: Option<&Joined>,
    files_of: &str,
    hold_output: bool,
) -> Result<Launched, Error> {
    if files_of == record.id {
        files::write(&shared.layout, record, joined).await?;
    }
    let binds = binds(shared, record, Some(files_of)).await?;
    let populate = populate(shared, record).await?;
    let root = shared.layout.mounts().join(record.id.get(..16).unwrap_or(&record.id));
    let request = spec::Request {
        id: &record.id,
        body: &record.body,
        host: record.host(),
        arguments: &record.arguments,
        binds: &binds,
        root,
        network,
        pid: namespace(shared, record.host().pid_mode.as_deref(), "pid")?,
        ipc: namespace(shared, record.host().ipc_mode.as_deref(), "ipc")?,
        cgroup: spec::cgroup_namespace(record.host(), &shared.machine),
        machine: &shared.machine,
    };
    let (specification, warnings) = spec::container(&request)?;
    for warning in warnings {
        tracing::info!("container {}: {warning}", record.name);
    }
    let process = ContainerProcess {
        id: record.id.clone(),
        spec: specification,
        rootfs: rootfs(&shared.layout, record),
        user: record.body.user.clone().unwrap_or_default(),
        group_add: record.host().group_add.clone().unwrap_or_default(),
        propagated: spec::propagated(&binds),
        shared_memory_of: process_of(shared, record.host().ipc_mode.as_deref(), "ipc")?,
        populate,
        terminal: record.has_terminal(),
        stdin: record.body.open_stdin == Some(true),
        stdin_once: record.body.stdin_once == Some(true),
        init: record.host().init == Some(true),
        log: log_file(&shared.layout, record)?,
        seccomp: spec::seccomp_of(record.host())?,
        hold_output,
    };
    let mut started = record.clone();
    started.given = joined.map(|joined| Given {
        namespace: joined.namespace.clone(),
        endpoints: joined.endpoints.clone().into_iter().collect(),
        ports: joined.ports.clone(),
    });
    started.state.status = Status::Running;
    started.state.started_at = Some(chrono::Utc::now());
    started.state.error.clear();
    started.state.exit_code = 0;
    started.state.oom_killed = false;
    started.write(&shared.layout).await?;
    let running = Box::pin(process::start(&shared.layout, &process)).await?;
    started.state.started_at = Some(running.started_at());
    Ok(Launched { running, record: started })
}

/// Its network, where it is on networks what these gave it, and the container whose `hosts` and `resolv.conf` it has.
async fn network(shared: &Shared, record: &Record) -> Result<(NetworkNamespace, Option<Joined>, String), Error> {
    if let Some(other) = record.network_of() {
        let other = shared.find(other)?;
        let running = other
            .running()
            .map_err(|_| Error::Conflict(format!("cannot join network of a non running container: {}", other.id)))?;
        let owner = other.record().network_of().map_or_else(|| other.id.clone(), str::to_owned);
        let owner = shared.find(&owner).map_or(owner, |owner| owner.id.clone());
        let path = PathBuf::from(format!("/proc/{}/ns/net", running.pid()));
        return Ok((NetworkNamespace::Path(path), None, owner));
    }
    if record.network_mode() == "host" {
        return Ok((NetworkNamespace::Host, None, record.id.clone()));
    }
    let joined = shared.networks.join(&join(record)).await?;
    Ok((NetworkNamespace::Path(joined.namespace.clone()), Some(joined), record.id.clone()))
}

/// What its networks are asked for.
pub(super) fn join(record: &Record) -> Join {
    let none = record.network_mode() == "none";
    let endpoints = record.endpoints.clone().into_iter().filter(|_| !none);
    Join {
        id: record.id.clone(),
        name: record.name.clone(),
        hostname: record.hostname(),
        endpoints: endpoints.collect(),
        ports: if none { PortMap::default() } else { ports(record) },
        dns: record.host().dns.clone().unwrap_or_default(),
        group: record.group(),
        replaces: record.replaces.clone(),
        checked: health::is_checked(record),
        has_ports: !record.ports().is_empty(),
    }
}

/// The same for one that runs: with the addresses and ports that it has.
pub(super) fn join_of_running(record: &Record) -> Option<Join> {
    let given = record.given.as_ref()?;
    let endpoints: BTreeMap<_, _> = given.endpoints.clone();
    Some(Join { endpoints: endpoints.into_iter().collect(), ports: given.ports.clone(), ..join(record) })
}

/// What is to be published: with `publish_all_ports` all that is exposed too.
fn ports(record: &Record) -> PortMap {
    let key = |port: &str| if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") };
    let mut ports: PortMap = HashMap::new();
    for (port, bindings) in record.host().port_bindings.iter().flatten() {
        let any = || vec![PortBinding { host_ip: None, host_port: None }];
        let bindings = bindings.clone().filter(|bindings| !bindings.is_empty()).unwrap_or_else(any);
        ports.entry(key(port)).or_default().get_or_insert_default().extend(bindings);
    }
    if record.host().publish_all_ports == Some(true) {
        for port in record.body.exposed_ports.iter().flatten() {
            let any = || Some(vec![PortBinding { host_ip: None, host_port: None }]);
            ports.entry(key(port)).or_insert_with(any);
        }
    }
    ports
}

/// What its root is made of.
pub(super) fn rootfs(layout: &Layout, record: &Record) -> Rootfs {
    if let Some(lower) = &record.lower {
        let folder = layout.container(&record.id);
        return Rootfs::Layers { lower: lower.clone(), upper: folder.join("upper"), work: folder.join("work") };
    }
    let [upper, work] = machine_layer(layout, &record.id);
    Rootfs::Machine { upper, work }
}

/// Where a container without an image writes: gone with a reboot, and made anew.
pub(super) fn machine_layer(layout: &Layout, id: &str) -> [PathBuf; 2] {
    let short = id.get(..16).unwrap_or(id);
    ["upper", "work"].map(|part| layout.mounts().join(format!("{short}.{part}")))
}

/// Its volumes and folders as they lie on the machine. With `files_of` for a start: what is missing is made, and the
/// container's `hosts` and `resolv.conf` come first, where no mount of its own takes their place.
pub(super) async fn binds(
    shared: &Shared,
    record: &Record,
    files_of: Option<&str>,
) -> Result<Vec<ResolvedBind>, Error> {
    let mut binds = Vec::new();
    let own = files_of.map(|owner| files::sources(&shared.layout, owner)).unwrap_or_default();
    for (source, destination) in own {
        if record.mounts.iter().all(|mount| Path::new(&mount.destination) != destination) {
            let bind = Bind { source, destination: destination.to_owned(), read_only: false };
            binds.push(ResolvedBind { bind, propagation: String::new(), recursive: false });
        }
    }
    for mount in &record.mounts {
        let source = match &mount.kind {
            MountKind::Tmpfs => continue,
            MountKind::Bind { source, make } => {
                if files_of.is_some() {
                    bind_source(source, *make).await?;
                }
                source.clone()
            }
            MountKind::Volume { name, subpath, .. } => {
                let folder = shared.volumes.folder(name).await?;
                match subpath {
                    Some(subpath) => inside(&folder, subpath, name).await?,
                    None => folder,
                }
            }
        };
        let bind = Bind { source, destination: PathBuf::from(&mount.destination), read_only: !mount.read_write };
        binds.push(ResolvedBind { bind, propagation: mount.propagation.clone(), recursive: mount.recursive });
    }
    Ok(binds)
}

/// A bind's source must be there, or is made where the form of the request asks for that.
pub(super) async fn bind_source(source: &Path, make: bool) -> Result<(), Error> {
    match tokio::fs::metadata(source).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Invalid(format!("invalid mount config for type \"bind\": {}: {error}", source.display())))
        }
        Err(_) if make => tokio::fs::create_dir_all(source)
            .await
            .map_err(Error::io(format!("make the mount source path '{}'", source.display()))),
        Err(_) => Err(Error::Invalid(format!(
            "invalid mount config for type \"bind\": bind source path does not exist: {}",
            source.display()
        ))),
    }
}

/// A folder inside a volume; links in it that lead outside are refused.
async fn inside(folder: &Path, subpath: &str, volume: &str) -> Result<PathBuf, Error> {
    let path = folder.join(subpath);
    let refused =
        |why: &dyn std::fmt::Display| Error::Invalid(format!("cannot access path {subpath} of volume {volume}: {why}"));
    let folder = tokio::fs::canonicalize(folder).await.map_err(|error| refused(&error))?;
    let real = tokio::fs::canonicalize(path).await.map_err(|error| refused(&error))?;
    if real.starts_with(&folder) { Ok(real) } else { Err(refused(&"it leads outside")) }
}

/// Volumes that are empty and may be filled from the image. The machine's own files stay where they are.
async fn populate(shared: &Shared, record: &Record) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
    let mut populate = Vec::new();
    if record.lower.is_none() {
        return Ok(populate);
    }
    for mount in &record.mounts {
        let MountKind::Volume { name, subpath: None, no_copy: false, .. } = &mount.kind else { continue };
        let folder = shared.volumes.folder(name).await?;
        let mut entries = tokio::fs::read_dir(&folder).await.map_err(Error::io(format!("read volume {name}")))?;
        if matches!(entries.next_entry().await, Ok(None)) {
            populate.push((folder, PathBuf::from(&mount.destination)));
        }
    }
    Ok(populate)
}

fn namespace(shared: &Shared, mode: Option<&str>, kind: &str) -> Result<Namespace, Error> {
    Ok(match process_of(shared, mode, kind)? {
        Some(process) => Namespace::Path(PathBuf::from(format!("/proc/{process}/ns/{kind}"))),
        None if mode == Some("host") => Namespace::Host,
        None => Namespace::Own,
    })
}

/// The process of the container whose namespace is joined, where one is.
fn process_of(shared: &Shared, mode: Option<&str>, kind: &str) -> Result<Option<u32>, Error> {
    let Some(other) = mode.and_then(|mode| mode.strip_prefix("container:")) else { return Ok(None) };
    let other = shared.find(other)?;
    let running = other.running().map_err(|_| {
        Error::Conflict(format!("cannot join {} of a non running container: {}", kind.to_uppercase(), other.id))
    })?;
    Ok(Some(running.pid()))
}

/// Where its output is kept, as `log_opt` says.
pub(super) fn log_file(layout: &Layout, record: &Record) -> Result<Option<LogFile>, Error> {
    let Some(path) = record.log_path(layout) else { return Ok(None) };
    let options = record.host().log_config.as_ref().and_then(|log| log.config.clone()).unwrap_or_default();
    let max_size = match options.get("max-size").map(String::as_str) {
        None | Some("-1") => None,
        Some(text) => {
            let bytes = size::parse(text).filter(|bytes| *bytes > 0);
            Some(bytes.ok_or_else(|| Error::Invalid(format!("invalid value for max-size: {text}")))?)
        }
    };
    let max_files = match options.get("max-file") {
        None => 1,
        Some(text) => match text.parse() {
            Ok(count) if count > 0 => count,
            _ => return Err(Error::Invalid(format!("max-file must be a number greater than 0: {text}"))),
        },
    };
    if max_files > 1 && max_size.is_none() {
        return Err(Error::Invalid("max-size must be set when using max-file with more than 1 file".into()));
    }
    Ok(Some(LogFile { path, max_size, max_files }))
}
