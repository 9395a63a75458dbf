//! Binds through which mounts are passed on, and memory that another container shares. `libcontainer` makes all of a container's binds of one kind, private or
//! slave; what is to be otherwise is made so from inside, before the program begins.
//!
//! A shared bind has to be made of the machine's own mount, which only the shim sees: it takes a detached copy along
//! (`open_tree`), and the container's process puts it in its place (`move_mount`).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::sched::{CloneFlags, setns};
use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount_change, mount_remount, move_mount,
    open_tree,
};

use super::frame::Failure;
use super::shim::failed;
use crate::embedded::mountinfo::{self, Mount};
use crate::embedded::root::machine;
use crate::embedded::spec::{Propagated, Propagation};

/// What is to be done about a bind from inside.
#[derive(Debug, Clone)]
pub(super) struct Change {
    destination: PathBuf,
    to: To,
}

#[derive(Debug, Clone)]
enum To {
    Private,
    /// A copy of the machine's mount, and the flags that it gets where it needs others.
    Shared {
        tree: Rc<OwnedFd>,
        flags: Option<MountFlags>,
    },
}

/// In the shim: what is to be done. A bind of what the machine does not share cannot pass anything on.
pub(super) fn changes(binds: &[Propagated]) -> Result<Vec<Change>, Failure> {
    if binds.is_empty() {
        return Ok(Vec::new());
    }
    let table = mountinfo::table().map_err(failed("read what is mounted"))?;
    let mut changes = Vec::new();
    for bind in binds {
        let to = match bind.propagation {
            Propagation::Private => To::Private,
            Propagation::Slave => {
                source(&table, &bind.source, |mount| mount.shared || mount.slave, "a shared or slave mount")?;
                continue;
            }
            Propagation::Shared => {
                let mount = source(&table, &bind.source, |mount| mount.shared, "a shared mount")?;
                shared(bind, mount)?
            }
        };
        changes.push(Change { destination: bind.destination.clone(), to });
    }
    Ok(changes)
}

/// The mount that a path is on, which must be of a kind.
fn source<'a>(
    table: &'a [Mount],
    path: &Path,
    is_so: impl Fn(&Mount) -> bool,
    kind: &str,
) -> Result<&'a Mount, Failure> {
    let found = path.canonicalize().map_err(failed(format!("find `{}`", path.display())))?;
    let mount = mountinfo::holding(table, &found);
    let mount = mount.ok_or_else(|| failed(format!("find where `{}` is mounted", path.display()))("it is nowhere"))?;
    if is_so(mount) {
        return Ok(mount);
    }
    let (path, point) = (path.display(), mount.point.display());
    Err(Failure { text: format!("path {path} is mounted on {point} but it is not {kind}"), code: 128 })
}

fn shared(bind: &Propagated, mount: &Mount) -> Result<To, Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, &bind.source, flags).map_err(failed(format!("share `{}`", bind.source.display())))?;
    let mut wanted = MountFlags::empty();
    wanted.set(MountFlags::RDONLY, bind.read_only);
    // No filter keeps a container from a device node that lies there.
    wanted.set(MountFlags::NODEV, machine::cgroup2());
    let flags = (!wanted.is_empty()).then(|| wanted | mount.flags());
    Ok(To::Shared { tree: Rc::new(tree), flags })
}

/// In the shim: another container's `/dev/shm`, seen by one of its processes, in place of the container's own.
pub(super) fn shared_memory(process: u32) -> Result<Change, Failure> {
    const PLACE: &str = "/dev/shm";
    let namespace = |process: &str| File::open(format!("/proc/{process}/ns/mnt"));
    let enter = |namespace: &File| setns(namespace, CloneFlags::CLONE_NEWNS).map_err(io::Error::from);
    let take = || -> io::Result<OwnedFd> {
        let (own, other) = (namespace("self")?, namespace(&process.to_string())?);
        enter(&other)?;
        let tree = open_tree(CWD, PLACE, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC);
        enter(&own)?;
        Ok(tree?)
    };
    let tree = take().map_err(failed("share the other container's memory"))?;
    Ok(Change { destination: PLACE.into(), to: To::Shared { tree: Rc::new(tree), flags: None } })
}

impl Change {
    /// In the container's process, with the rights to mount.
    pub(super) fn make(&self) -> Result<(), Failure> {
        let place = &self.destination;
        let made = match &self.to {
            To::Private => mount_change(place, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC),
            To::Shared { tree, flags } => {
                let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
                let moved = move_mount(tree, "", CWD, place, how);
                moved.and_then(|()| flags.map_or(Ok(()), |flags| mount_remount(place, MountFlags::BIND | flags, c"")))
            }
        };
        made.map_err(failed(format!("pass mounts on at {}", place.display())))
    }
}
