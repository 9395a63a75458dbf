//! What is mounted in a container, in order.

use std::path::{Component, Path, PathBuf};

use bollard_stubs::models::{HostConfig, MountType};
use libcontainer::oci_spec::runtime::{Mount, MountBuilder};

use super::super::error::Error;
use super::{Machine, Namespace, Request, ResolvedBind, unbuildable};

/// `/dev/shm` where `shm_size` says nothing else.
const SHARED_MEMORY: i64 = 64 * 1024 * 1024;

/// Options of tmpfs that a client may give.
const TMPFS_FLAGS: [&str; 22] = [
    "ro",
    "rw",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "sync",
    "async",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "defaults",
    "private",
    "rprivate",
];
/// Likewise, with a value.
const TMPFS_VALUES: [&str; 7] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];

/// The usual ones, then those that were asked for, parents before what lies below. What was asked for takes the place of
/// a usual one.
pub(super) fn mounts(request: &Request<'_>) -> Result<Vec<Mount>, Error> {
    let mut asked = Vec::new();
    for bind in request.binds {
        asked.push(bound(bind, request.machine)?);
    }
    asked.extend(tmpfs(request.host, request.machine)?);
    asked.sort_by_key(|mount| (mount.destination().components().count(), mount.destination().clone()));
    let mut mounts = usual(request)?;
    mounts.retain(|usual| !asked.iter().any(|asked| replaces(asked.destination(), usual.destination())));
    mounts.extend(asked);
    Ok(mounts)
}

/// Whether a mount that was asked for stands for a usual one: the same place, or all of `/dev`.
fn replaces(asked: &Path, usual: &Path) -> bool {
    asked == usual || (asked == Path::new("/dev") && usual.starts_with("/dev"))
}

/// Docker's own.
fn usual(request: &Request<'_>) -> Result<Vec<Mount>, Error> {
    let privileged = request.host.privileged == Some(true);
    let access = if privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        mount("proc", "proc", "/proc", &["nosuid", "noexec", "nodev"])?,
        mount("tmpfs", "tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"])?,
        mount(
            "devpts",
            "devpts",
            "/dev/pts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        )?,
        mount("sysfs", "sysfs", "/sys", &["nosuid", "noexec", "nodev", access])?,
        mount("cgroup", "cgroup", "/sys/fs/cgroup", &["nosuid", "noexec", "nodev", "relatime", access])?,
        mount("mqueue", "mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"])?,
    ];
    mounts.extend(shared_memory(request)?);
    Ok(mounts)
}

/// `/dev/shm`, which goes with the IPC namespace.
fn shared_memory(request: &Request<'_>) -> Result<Option<Mount>, Error> {
    if request.host.ipc_mode.as_deref() == Some("none") {
        return Ok(None);
    }
    // Where it is another container's, what is mounted here is hidden by what that one has.
    if request.ipc == Namespace::Host {
        return mount("bind", "/dev/shm", "/dev/shm", &["rbind", "nosuid", "noexec", "nodev"]).map(Some);
    }
    let size = request.host.shm_size.filter(|size| *size != 0).unwrap_or(SHARED_MEMORY);
    if size < 0 {
        return Err(Error::Invalid("SHM size can not be less than 0".into()));
    }
    mount("tmpfs", "shm", "/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", &format!("size={size}")]).map(Some)
}

/// A volume, a folder or file of the machine.
fn bound(asked: &ResolvedBind, machine: &Machine) -> Result<Mount, Error> {
    let destination = place(&asked.bind.destination)?;
    let mut options = vec![if asked.recursive { "rbind" } else { "bind" }];
    if asked.bind.read_only {
        options.push("ro");
        if asked.recursive {
            // What is mounted below it too.
            options.push("rro");
        }
    }
    if machine.cgroup2 {
        // No filter keeps a container from a device node that lies there.
        options.push("nodev");
    }
    MountBuilder::default()
        .typ("bind")
        .source(&asked.bind.source)
        .destination(destination)
        .options(options.into_iter().map(str::to_owned).collect::<Vec<_>>())
        .build()
        .map_err(unbuildable)
}

/// Both forms in which a tmpfs is asked for.
fn tmpfs(host: &HostConfig, machine: &Machine) -> Result<Vec<Mount>, Error> {
    let mut mounts = Vec::new();
    for (path, options) in host.tmpfs.iter().flatten() {
        mounts.push(memory(path, options, machine)?);
    }
    for asked in host.mounts.iter().flatten().filter(|mount| mount.typ == Some(MountType::TMPFS)) {
        let mut options = Vec::new();
        if asked.read_only == Some(true) {
            options.push("ro".to_owned());
        }
        let given = asked.tmpfs_options.as_ref();
        if let Some(size) = given.and_then(|given| given.size_bytes).filter(|size| *size > 0) {
            options.push(format!("size={size}"));
        }
        if let Some(mode) = given.and_then(|given| given.mode).filter(|mode| *mode != 0) {
            options.push(format!("mode={mode:o}"));
        }
        for words in given.and_then(|given| given.options.as_ref()).into_iter().flatten() {
            options.push(words.join("="));
        }
        mounts.push(memory(asked.target.as_deref().unwrap_or_default(), &options.join(","), machine)?);
    }
    Ok(mounts)
}

/// A tmpfs with options as `mount` takes them.
fn memory(path: &str, asked: &str, machine: &Machine) -> Result<Mount, Error> {
    let mut options = vec!["noexec", "nosuid", "nodev"];
    for option in asked.split(',').map(str::trim).filter(|option| !option.is_empty()) {
        let known = match option.split_once('=') {
            Some((key, _)) => TMPFS_VALUES.contains(&key),
            None => TMPFS_FLAGS.contains(&option),
        };
        if !known {
            return Err(Error::Invalid(format!("invalid tmpfs option \"{option}\"")));
        }
        if option == "dev" && machine.cgroup2 {
            continue;
        }
        // The last word about a thing counts.
        options.push(option);
    }
    mount("tmpfs", "tmpfs", place(Path::new(path))?, &options)
}

fn mount(kind: &str, source: &str, destination: impl Into<PathBuf>, options: &[&str]) -> Result<Mount, Error> {
    MountBuilder::default()
        .typ(kind)
        .source(source)
        .destination(destination)
        .options(options.iter().map(ToString::to_string).collect::<Vec<_>>())
        .build()
        .map_err(unbuildable)
}

/// A place inside: absolute, not the root itself, with nothing that leads upwards.
fn place(path: &Path) -> Result<PathBuf, Error> {
    let plain: PathBuf =
        path.components().filter(|part| !matches!(part, Component::CurDir)).map(Component::as_os_str).collect();
    if !plain.is_absolute() {
        return Err(Error::Invalid(format!("invalid mount path: '{}' mount path must be absolute", path.display())));
    }
    if plain.components().any(|part| part == Component::ParentDir) {
        return Err(Error::Invalid(format!("invalid mount path: '{}' must not contain '..'", path.display())));
    }
    if plain == Path::new("/") {
        return Err(Error::Invalid("invalid specification: destination can't be '/'".into()));
    }
    Ok(plain)
}
